//! API keys: what lets one in, and what ends it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::desk::Clock;
use crate::call::{Principal, UserKind};
use crate::clock::World;
use crate::identity::services::{Key, KeyFault, KeyState, KeyText, LONGEST, Services, Terms};
use crate::identity::{OwnTokens, Reason, SERVICE};
use crate::store::rows::Rows;
use crate::store::{Store, testing};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One store, and as many processes on it as a test wants.
struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    clock: Arc<Clock>,
    services: Services,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::open(&folder.path().join("t.db")).await;
        let clock = Arc::new(Clock::default());
        Self {
            services: Services::new(Rows::new(store.clone()), clock.clone()),
            _folder: folder,
            store,
            clock,
        }
    }

    fn another(&self) -> Services {
        Services::new(Rows::new(self.store.clone()), self.clock.clone())
    }

    async fn made(&self, service: &str) -> (Key, KeyText) {
        let draft = self.services.draft(terms(service), "corp#ada").await.unwrap();
        self.services.keep(draft).await.unwrap()
    }

    async fn admit(&self, text: &KeyText) -> Result<Principal, Reason> {
        self.services.admit(text.expose()).await
    }
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn terms(service: &str) -> Terms {
    Terms {
        service: service.to_owned(),
        groups: words(&["analyst"]),
        tools: words(&["sql_query", "list_resources"]),
        resources: words(&["shop"]),
        life: DAY * 30,
    }
}

#[tokio::test]
async fn a_key_is_a_service_within_its_bounds_and_nothing_else() {
    let bench = Bench::new().await;
    let (key, text) = bench.made("nightly").await;
    let who = bench.admit(&text).await.unwrap();
    assert_eq!(who.user.id(), "service#nightly");
    assert_eq!(who.user.kind, UserKind::Service);
    assert_eq!(who.user.groups, words(&["analyst"]));
    assert_eq!(who.agent.client_id, format!("key:{}", key.id));
    assert!(who.agent.verified);
    assert_eq!(who.scope.tools, Some(words(&["list_resources", "sql_query"])));
    assert_eq!(who.scope.resources, Some(words(&["shop"])));
    let again = bench.another().admit(text.expose()).await.unwrap();
    assert_eq!(again, who, "the session is the key's, on every replica");
    assert_eq!(bench.services.stands(&who).await, Some(true));
    let mut stranger = who.clone();
    stranger.user.issuer = "corp".to_owned();
    assert_eq!(bench.services.stands(&stranger).await, None, "not theirs");
    let mut other = who.clone();
    other.user.subject = "daily".to_owned();
    assert_eq!(
        bench.services.stands(&other).await,
        Some(false),
        "another service's key"
    );
    assert_eq!(SERVICE, who.user.issuer);
}

#[tokio::test]
async fn only_the_whole_key_opens_and_the_store_does_not_hold_it() {
    let bench = Bench::new().await;
    let (key, text) = bench.made("nightly").await;
    let whole = text.expose();
    assert!(
        whole.starts_with(&format!("tgk_{}_", key.id)),
        "the id can be read off it"
    );
    assert_eq!(whole.len(), 60);
    let secret = whole.get(17..).unwrap();
    let cut = whole.get(..59).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
    let last = if whole.ends_with('A') { 'B' } else { 'A' };
    for wrong in [
        "tgk_".to_owned(),
        cut.to_owned(),
        format!("{whole}A"),
        format!("{}{last}", cut),
        whole.to_uppercase(),
        format!(" {whole}"),
        format!("tgk_{}_{}", key.id, "A".repeat(43)),
        format!("tgk_{}_{}", "a".repeat(12), secret),
        format!("tgk_{}_{}", key.id, "é".repeat(21)),
        key.id.clone(),
        secret.to_owned(),
    ] {
        assert_eq!(bench.services.admit(&wrong).await, Err(Reason::Ended), "{wrong}");
    }
    let Some(file) = bench.store.file() else { return };
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for part in [
            whole.as_bytes(),
            secret.as_bytes(),
            &URL_SAFE_NO_PAD.decode(secret).unwrap(),
        ] {
            assert!(!bytes.windows(part.len()).any(|window| window == part));
        }
    }
    assert!(!format!("{text:?} {:?}", bench.services).contains(secret));
}

#[tokio::test]
async fn it_ends_with_its_time_also_when_it_is_remembered() {
    let bench = Bench::new().await;
    let (key, text) = bench.made("nightly").await;
    bench.clock.advance(30 * 24 * 3600 - 1);
    let who = bench.admit(&text).await.unwrap();
    bench.clock.advance(1);
    assert_eq!(
        bench.admit(&text).await,
        Err(Reason::Expired),
        "at the end itself"
    );
    assert_eq!(bench.services.stands(&who).await, Some(false));
    assert_eq!(key.state(bench.clock.now()), KeyState::Expired);
    let rotated = bench.services.draft_rotation(&key.id, DAY, None, "x").await;
    assert!(
        matches!(rotated, Err(KeyFault::Over(_))),
        "what is over is not revived"
    );
    bench.made("nightly").await; // and its name is free
}

#[tokio::test]
async fn taken_back_it_is_dead_here_at_once_and_elsewhere_within_seconds() {
    let bench = Bench::new().await;
    let other = bench.another();
    let (key, text) = bench.made("nightly").await;
    assert!(!other.knows(text.expose()), "nobody has asked yet");
    let who = other.admit(text.expose()).await.unwrap();
    assert!(other.knows(text.expose()) && !other.knows("tgk_"));
    bench.admit(&text).await.unwrap();
    let gone = bench.services.revoke(&key.id, "corp#ben").await.unwrap();
    assert_eq!(gone.state(bench.clock.now()), KeyState::Revoked);
    assert_eq!(gone.revoked_by.as_deref(), Some("corp#ben"));
    assert_eq!(bench.admit(&text).await, Err(Reason::Ended));
    assert!(
        !bench.services.knows(text.expose()),
        "what is known to be bad is tried like any other"
    );
    assert_eq!(
        other.stands(&who).await,
        Some(false),
        "asked before an effect: never remembered"
    );
    bench.clock.advance(5);
    assert!(!other.knows(text.expose()));
    assert_eq!(other.admit(text.expose()).await, Err(Reason::Ended));
    let twice = bench.services.revoke(&key.id, "corp#eve").await;
    assert!(matches!(twice, Err(KeyFault::Over(_))));
    assert_eq!(
        bench.services.find(&key.id).await.unwrap().revoked_by.as_deref(),
        Some("corp#ben")
    );
    for nobody in ["", "aaaaaaaaaaaa", "' OR 1=1 --", &"a".repeat(100_000)] {
        assert!(matches!(
            bench.services.revoke(nobody, "x").await,
            Err(KeyFault::Unknown(_))
        ));
    }
}

#[tokio::test]
async fn two_keys_of_a_rotation_work_side_by_side_until_the_overlap_is_over() {
    let bench = Bench::new().await;
    let (old, old_text) = bench.made("nightly").await;
    let was = bench.admit(&old_text).await.unwrap();
    let draft = bench
        .services
        .draft_rotation(&old.id, DAY, None, "corp#ben")
        .await
        .unwrap();
    assert_eq!(
        draft.replaces,
        Some((
            old.id.clone(),
            crate::clock::Timestamp(bench.clock.now().0 + 86_400_000)
        ))
    );
    let (new, new_text) = bench.services.keep(draft).await.unwrap();
    assert_eq!(
        new.expires_at.0 - new.created_at.0,
        old.expires_at.0 - old.created_at.0
    );
    let is = bench.admit(&new_text).await.unwrap();
    assert_eq!(
        (is.user.clone(), is.scope.clone()),
        (was.user.clone(), was.scope.clone())
    );
    assert_ne!(
        (is.agent, is.session),
        (was.agent.clone(), was.session.clone()),
        "a session of its own"
    );
    bench.admit(&old_text).await.unwrap();
    bench.clock.advance(86_399);
    bench.admit(&old_text).await.unwrap();
    bench.clock.advance(1);
    assert_eq!(bench.admit(&old_text).await, Err(Reason::Expired));
    bench.admit(&new_text).await.unwrap();
    // An overlap never lengthens a life.
    bench.clock.advance(29 * 24 * 3600 - 3_600);
    let draft = bench
        .services
        .draft_rotation(&new.id, DAY, Some(DAY), "x")
        .await
        .unwrap();
    assert_eq!(draft.replaces, Some((new.id, new.expires_at)));
}

#[tokio::test]
async fn what_a_key_is_asked_to_be_is_checked() {
    let bench = Bench::new().await;
    for name in [
        "",
        "Nightly",
        "-x",
        ".x",
        "a b",
        "a#b",
        "ä",
        "a/b",
        &"a".repeat(64),
        "a\n",
    ] {
        let wrong = bench.services.draft(terms(name), "x").await;
        assert!(matches!(wrong, Err(KeyFault::Name(_))), "{name:?}");
    }
    for life in [
        Duration::ZERO,
        Duration::from_secs(59),
        LONGEST + Duration::from_millis(1),
        Duration::MAX,
    ] {
        let wrong = bench.services.draft(Terms { life, ..terms("a") }, "x").await;
        assert!(matches!(wrong, Err(KeyFault::Life)), "{life:?}");
    }
    let many = (0..257).map(|n| format!("t{n}")).collect();
    let wrong = bench
        .services
        .draft(
            Terms {
                tools: many,
                ..terms("a")
            },
            "x",
        )
        .await;
    assert!(matches!(wrong, Err(KeyFault::TooLong)));
    bench.made("a").await;
    let taken = bench.services.draft(terms("a"), "x").await;
    assert!(
        matches!(taken, Err(KeyFault::Taken(_))),
        "a service is defined once"
    );
    let nothing = Terms {
        tools: BTreeSet::new(),
        resources: BTreeSet::new(),
        ..terms("b")
    };
    let draft = bench.services.draft(nothing, "x").await.unwrap();
    let (_, text) = bench.services.keep(draft).await.unwrap();
    let who = bench.admit(&text).await.unwrap();
    assert!(
        !who.scope.has_tool("sql_query") && !who.scope.has_resource("shop"),
        "no names: nothing"
    );
}

#[tokio::test]
async fn of_two_who_make_the_same_at_once_one_is_told() {
    let bench = Bench::new().await;
    let other = bench.another();
    let one = bench.services.draft(terms("a"), "x").await.unwrap();
    let two = other.draft(terms("a"), "y").await.unwrap();
    let (one, two) = tokio::join!(bench.services.keep(one), other.keep(two));
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let (old, _) = one.or(two).unwrap();
    for _ in 0..3 {
        let draft = bench
            .services
            .draft_rotation(&old.id, DAY, None, "x")
            .await
            .unwrap();
        bench.services.keep(draft).await.unwrap();
    }
    let draft = bench
        .services
        .draft_rotation(&old.id, DAY, None, "x")
        .await
        .unwrap();
    assert!(matches!(
        bench.services.keep(draft).await,
        Err(KeyFault::TooMany(_))
    ));
    let draft = bench
        .services
        .draft_rotation(&old.id, DAY, None, "x")
        .await
        .unwrap();
    bench.services.revoke(&old.id, "x").await.unwrap();
    assert!(
        matches!(bench.services.keep(draft).await, Err(KeyFault::Over(_))),
        "revoked meanwhile"
    );
    assert_eq!(bench.services.list().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_lets_nobody_in_and_says_try_again() {
    let bench = Bench::new().await;
    let (_, text) = bench.made("a").await;
    let who = bench.admit(&text).await.unwrap();
    let other = bench.another();
    let Some(file) = bench.store.file() else { return };
    let held = std::fs::read(file).unwrap();
    std::fs::write(file, vec![0; held.len()]).unwrap();
    assert_eq!(other.admit(text.expose()).await, Err(Reason::Unavailable));
    assert_eq!(other.stands(&who).await, Some(false));
}

#[tokio::test]
async fn the_first_use_is_noted() {
    let bench = Bench::new().await;
    let (key, text) = bench.made("a").await;
    assert_eq!(key.used_at, None);
    bench.admit(&text).await.unwrap();
    let noted = async {
        while bench.services.find(&key.id).await.unwrap().used_at.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), noted)
        .await
        .expect("noted");
    assert_eq!(
        bench.services.find(&key.id).await.unwrap().used_at,
        Some(bench.clock.now())
    );
}

/// Whatever comes with our prefix is refused without a panic.
#[test]
fn whatever_is_sent_as_a_key_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let _made = runtime.block_on(bench.made("a"));
    proptest!(|(rest in "(?s).{0,80}|[a-z2-9]{12}_[A-Za-z0-9_-]{43}")| {
        let answer = runtime.block_on(bench.services.admit(&format!("tgk_{rest}")));
        prop_assert_eq!(answer, Err(Reason::Ended));
    });
}
