//! One session from its first token to its end.

use super::bench::*;
use crate::call::{Scope, UserKind};
use crate::identity::facade::Times;
use crate::identity::provider::Upstream;
use crate::identity::sessions::*;
use crate::identity::{OwnTokens, Reason};
use crate::store::testing;
use std::time::Duration;

#[tokio::test]
async fn a_token_says_who_asks_through_which_client_and_for_what() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    assert!(issued.access.starts_with("tga_") && issued.refresh.starts_with("tgr_"));
    assert_eq!(issued.expires_in, 900);
    let principal = bench.admit(&issued.access).await.unwrap();
    assert_eq!(principal.user.id(), "corp#alice");
    assert_eq!(principal.user.kind, UserKind::Person);
    assert_eq!(principal.user.groups, set(&["analyst"]));
    assert_eq!(
        (principal.agent.client_id.as_str(), principal.agent.verified),
        (CLIENT, true)
    );
    assert_eq!(principal.session.id, issued.session);
    assert_eq!(principal.scope.tools, Some(set(&["sql_execute", "sql_query"])));
    assert_eq!(bench.sessions.stands(&principal).await, Some(true));
}

#[tokio::test]
async fn nothing_of_a_token_is_in_the_store() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let bench = Bench::new().await;
    let code = bench.code("alice").await;
    let issued = bench.redeem(&code).await.unwrap();
    bench.admit(&issued.access).await.unwrap();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(bench.folder()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let text = String::from_utf8_lossy(&bytes);
    for secret in [issued.access.as_str(), &issued.refresh, &code, "upstream-1"] {
        let secret = secret.split_once('_').map_or(secret, |(_, random)| random);
        assert!(!text.contains(secret));
    }
    assert!(text.contains("alice"), "the store was read");
    let shown = format!("{issued:?} {:?}", bench.sessions);
    assert!(!shown.contains("tga_") && !shown.contains("tgr_"), "{shown}");
}

#[tokio::test]
async fn only_an_access_token_opens_anything() {
    let bench = Bench::new().await;
    let code = bench.code("alice").await;
    let issued = bench.redeem(&code).await.unwrap();
    let dressed_up = issued.refresh.replacen("tgr_", "tga_", 1);
    let long = format!("{}x", issued.access.as_str());
    let cut = issued.access.strip_suffix(|_: char| true).unwrap();
    for text in [
        issued.refresh.as_str(),
        &dressed_up,
        &code,
        &long,
        cut,
        "",
        "tga_",
        "tga_\0",
    ] {
        assert_eq!(bench.admit(text).await.unwrap_err(), Reason::Ended, "{text}");
    }
    let dressed_up = issued.access.replacen("tga_", "tgr_", 1);
    for text in [issued.access.as_str(), &dressed_up, &code] {
        assert_eq!(bench.refresh(text).await.unwrap_err(), Refused::Grant);
    }
    bench.admit(&issued.access).await.unwrap();
}

#[tokio::test]
async fn times() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    bench.clock.advance(299);
    bench.admit(&issued.access).await.unwrap();
    bench.clock.advance(600);
    bench.admit(&issued.access).await.unwrap();
    bench.clock.advance(1);
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Expired);
    // Unused for a little less than the bound, twice; then for exactly that long.
    let mut refresh = issued.refresh.to_string();
    for _ in 0..2 {
        bench.clock.advance(TIMES.idle.as_secs() - 2);
        refresh = bench.refresh(&refresh).await.unwrap().refresh.to_string();
    }
    let left = START + TIMES.session.as_millis() as u64 - bench.clock.now().0;
    let issued = bench.refresh(&refresh).await.unwrap();
    bench.clock.advance(left / 1000);
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Expired);
    assert_eq!(
        bench.refresh(&issued.refresh).await.unwrap_err(),
        Refused::Grant,
        "30 days are over"
    );
    let other = bench.open("bob").await;
    bench.clock.advance(TIMES.idle.as_secs());
    assert_eq!(
        bench.refresh(&other.refresh).await.unwrap_err(),
        Refused::Grant,
        "idle"
    );
    assert_eq!(bench.told(), [""; 0], "nobody has looked yet");
    bench.sessions.watch().await.unwrap();
    let mut told = bench.told();
    told.sort();
    let mut both = vec![issued.session, other.session];
    both.sort();
    assert_eq!(told, both);
    assert_eq!(bench.session(&told[0]).await.sealed, None);
}

#[tokio::test]
async fn a_token_near_the_end_of_its_session_ends_with_it() {
    let bench = Bench::with(Times {
        session: Duration::from_secs(1000),
        ..TIMES
    })
    .await;
    let issued = bench.open("alice").await;
    bench.clock.advance(990);
    let issued = bench.refresh(&issued.refresh).await.unwrap();
    assert_eq!(issued.expires_in, 10);
    bench.admit(&issued.access).await.unwrap();
    bench.clock.advance(10);
    bench.admit(&issued.access).await.unwrap_err();
}

#[tokio::test]
async fn an_end_takes_everything_with_it() {
    let bench = Bench::new().await;
    let (issued, other) = (bench.open("alice").await, bench.open("bob").await);
    assert!(!bench.sessions.knows(&issued.access), "nobody has asked yet");
    let principal = bench.admit(&issued.access).await.unwrap();
    assert!(bench.sessions.knows(&issued.access));
    assert!(!bench.sessions.knows(&issued.refresh) && !bench.sessions.knows("tga_"));
    assert!(bench.sessions.end(&issued.session, Why::SignedOut).await.unwrap());
    assert!(!bench.sessions.knows(&issued.access));
    assert!(
        !bench
            .sessions
            .end(&issued.session, Why::Administrator)
            .await
            .unwrap(),
        "once"
    );
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(bench.refresh(&issued.refresh).await.unwrap_err(), Refused::Grant);
    assert_eq!(bench.sessions.stands(&principal).await, Some(false));
    assert_eq!(bench.told(), std::slice::from_ref(&issued.session));
    let row = bench.session(&issued.session).await;
    assert_eq!((row.sealed, row.ended_why.as_deref()), (None, Some("signed_out")));
    bench
        .until("the provider forgets", async || {
            bench.corp.forgotten() == ["upstream-1"]
        })
        .await;
    bench.admit(&other.access).await.unwrap();
    bench.sessions.watch().await.unwrap();
    assert_eq!(bench.told(), [""; 0], "told once");
}

#[tokio::test]
async fn ends_of_a_person_and_of_a_session_of_the_provider_reach_no_others() {
    let bench = Bench::new().await;
    let (one, two, bob) = (
        bench.open("alice").await,
        bench.open("alice").await,
        bench.open("bob").await,
    );
    assert_eq!(
        bench.sessions.list(Some(("corp", "alice"))).await.unwrap().len(),
        2
    );
    assert_eq!(bench.sessions.list(None).await.unwrap().len(), 3);
    assert_eq!(
        bench
            .sessions
            .end_person("other", "alice", Why::Administrator)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        bench
            .sessions
            .end_person("corp", "alice", Why::Administrator)
            .await
            .unwrap(),
        2
    );
    for token in [&one.access, &two.access] {
        assert_eq!(bench.admit(token).await.unwrap_err(), Reason::Ended);
    }
    bench.admit(&bob.access).await.unwrap();
    assert_eq!(
        bench.sessions.end_provider_sid("other", "sid-bob").await.unwrap(),
        0
    );
    assert_eq!(
        bench.sessions.end_provider_sid("corp", "sid-bob").await.unwrap(),
        1
    );
    bench.admit(&bob.access).await.unwrap_err();
    assert_eq!(bench.sessions.list(None).await.unwrap(), []);
}

#[tokio::test]
async fn the_provider_is_asked_again_and_its_groups_count_at_once() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let before = bench.admit(&issued.access).await.unwrap();
    bench.corp.says_groups(&["dbas"]);
    bench.clock.advance(300);
    bench.admit(&issued.access).await.unwrap();
    bench
        .until("asked in the background", async || bench.corp.asked() == 1)
        .await;
    bench
        .until("other groups", async || {
            bench.admit(&issued.access).await.unwrap().user.groups == set(&["dba"])
        })
        .await;
    assert_eq!(
        bench.sessions.stands(&before).await,
        Some(false),
        "decided with other groups"
    );
    assert_eq!(bench.corp.asked(), 1, "not due yet");
}

#[tokio::test]
async fn somebody_who_is_gone_works_no_longer_than_the_bound() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let principal = bench.admit(&issued.access).await.unwrap();
    bench.corp.mood(Mood::Gone);
    bench.clock.advance(600);
    assert_eq!(bench.sessions.stands(&principal).await, Some(false));
    assert_eq!(bench.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(bench.told(), [issued.session]);
    assert_eq!(bench.refresh(&issued.refresh).await.unwrap_err(), Refused::Grant);
}

#[tokio::test]
async fn without_an_answer_nobody_is_trusted_beyond_the_bound_and_nothing_is_thrown_away() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let principal = bench.admit(&issued.access).await.unwrap();
    bench.corp.mood(Mood::Away);
    bench.clock.advance(599);
    bench.admit(&issued.access).await.unwrap();
    bench
        .until("asked in the background", async || bench.corp.asked() == 1)
        .await;
    bench.clock.advance(1);
    assert_eq!(
        bench.admit(&issued.access).await.unwrap_err(),
        Reason::Unavailable
    );
    assert_eq!(bench.sessions.stands(&principal).await, Some(false));
    assert_eq!(
        bench.refresh(&issued.refresh).await.unwrap_err(),
        Refused::Unavailable
    );
    assert_eq!(bench.corp.asked(), 1, "not more often than every ten seconds");
    bench.corp.mood(Mood::Stands);
    bench.clock.advance(10);
    bench.admit(&issued.access).await.unwrap();
    bench.refresh(&issued.refresh).await.unwrap();
}

#[tokio::test]
async fn where_the_provider_cannot_be_asked_the_time_is_short() {
    let bench = Bench::new().await;
    let nothing = bench.code_with("carol", &Upstream::default(), |_| ()).await;
    let never = bench.redeem(&nothing).await.unwrap();
    let issued = bench.open("alice").await;
    bench.corp.mood(Mood::CannotAsk);
    bench.clock.advance(600);
    bench.admit(&issued.access).await.unwrap();
    let end = START + TIMES.unchecked.as_millis() as u64;
    for session in [&issued.session, &never.session] {
        let row = bench.session(session).await;
        assert_eq!((row.sealed, row.ends_at), (None, end));
    }
    bench.clock.advance(2_990);
    let last = bench.refresh(&issued.refresh).await.unwrap();
    assert_eq!(last.expires_in, 10);
    bench.clock.advance(10);
    bench.admit(&last.access).await.unwrap_err();
    assert_eq!(bench.refresh(&never.refresh).await.unwrap_err(), Refused::Grant);
    assert_eq!(bench.corp.asked(), 1);
}

#[tokio::test]
async fn a_session_whose_sealed_text_cannot_be_opened_ends_when_it_must_be_asked_about() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let rekeyed = bench.replica_with_key("other").await;
    rekeyed.admit(&issued.access).await.unwrap();
    rekeyed.clock.advance(600);
    assert_eq!(rekeyed.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(
        bench.session(&issued.session).await.ended_why.as_deref(),
        Some("unsealed")
    );
}

#[tokio::test]
async fn fewer_scopes_may_be_asked_for_and_never_more() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let ask = async |token: &str, scope: &str, resource: &str| {
        let refresh = Refresh {
            token,
            client_id: CLIENT,
            scope: Some(scope),
            resource: Some(resource),
        };
        bench.sessions.refresh(&refresh).await
    };
    assert_eq!(
        ask(&issued.refresh, "read admin", RESOURCE).await.unwrap_err(),
        Refused::Scope
    );
    assert_eq!(
        ask(&issued.refresh, "read", "https://other").await.unwrap_err(),
        Refused::Target
    );
    let narrow = ask(&issued.refresh, "read", RESOURCE).await.unwrap();
    assert_eq!(narrow.scope, "read");
    let principal = bench.admit(&narrow.access).await.unwrap();
    assert_eq!(
        principal.scope,
        Scope {
            tools: Some(set(&["sql_query"])),
            resources: None
        }
    );
    let wide = bench.refresh(&narrow.refresh).await.unwrap();
    assert_eq!(wide.scope, "read write", "what was granted stays granted");
}

#[tokio::test]
async fn a_session_of_a_provider_that_is_not_configured_any_more_does_not_stand() {
    let bench = Bench::new().await;
    let code = bench
        .code_with("alice", &Upstream::default(), |row| {
            row.issuer = "gone".to_owned()
        })
        .await;
    assert_eq!(bench.redeem(&code).await.unwrap_err(), Refused::Grant);
}

#[tokio::test]
async fn a_broken_store_opens_nothing() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let principal = bench.admit(&issued.access).await.unwrap();
    let mut tx = bench.rows.write().await.unwrap();
    tx.break_sessions().await;
    tx.commit().await.unwrap();
    bench.sessions.watch().await.unwrap_err();
    assert_eq!(
        bench.admit(&issued.access).await.unwrap_err(),
        Reason::Unavailable
    );
    assert_eq!(bench.sessions.stands(&principal).await, Some(false));
    assert_eq!(
        bench.refresh(&issued.refresh).await.unwrap_err(),
        Refused::Unavailable
    );
}

#[tokio::test]
async fn what_is_of_no_use_any_more_is_erased() {
    let bench = Bench::new().await;
    let issued = bench.open("alice").await;
    let code = bench.code("bob").await;
    bench.sessions.end(&issued.session, Why::SignedOut).await.unwrap();
    bench.clock.advance(24 * 3600 - 1);
    bench.sessions.prune().await.unwrap();
    assert!(bench.sessions.card(&issued.session).await.unwrap().is_some());
    bench.clock.advance(1);
    bench.sessions.prune().await.unwrap();
    assert!(bench.sessions.card(&issued.session).await.unwrap().is_none());
    assert_eq!(bench.redeem(&code).await.unwrap_err(), Refused::Grant);
    bench.sessions.watch().await.unwrap();
    let other = bench.open("carol").await;
    bench.told();
    bench.sessions.end(&other.session, Why::SignedOut).await.unwrap();
    assert_eq!(
        bench.told(),
        [other.session],
        "numbers of ends are not used again"
    );
}
