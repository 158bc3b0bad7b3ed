//! Linking a Slack account: by a code typed by hand after a sign-in, confirmed by a form, then by the account itself, told who
//! signed in, and by nothing else.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollgate::approval::Approvals;
use tollgate::call::Hash;
use tollgate::clock::{System, World};
use tollgate::console::slack::{Delivery, LinkLedger, Parts, Slack, Spec};
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::slack::{CodeRow, LinkRow};
use tollgate::store::{Store, Tuning};

use super::place::{Browser, OneRequest, Place, form, sheet};
use crate::slack::fake::{Fake, Press, TEAM, value_of};
use crate::support::until;

const CODE: &str = "BCDFGHJKLM";

/// What went on record.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

impl LinkLedger for Kept {
    fn record(&self, what: Value) -> BoxFuture<'_, bool> {
        self.0.lock().unwrap().push(what);
        Box::pin(std::future::ready(true))
    }
}

pub(super) struct Bench {
    pub(super) place: Place,
    rows: Rows,
    kept: Arc<Kept>,
    fake: Fake,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(dir.path(), private).unwrap();
        let url = format!("sqlite:{}", dir.path().join("tollgate.db").display());
        let store = Store::open(&url, &Tuning::default()).await.unwrap();
        let (rows, kept) = (Rows::new(store), Arc::new(Kept::default()));
        let fake = Fake::start().await;
        let spec = Spec {
            url: format!("{}api/", fake.url).parse().unwrap(),
            bot_token: Secret::new("xoxb-test".to_owned()),
            delivery: Delivery::Socket(Secret::new("xapp-test".to_owned())),
            channel: "C0000000001".to_owned(),
            routes: std::collections::BTreeMap::new(),
            escalation: None,
            link: std::time::Duration::from_secs(7 * 86_400),
            control: "http://localhost/".parse().unwrap(),
            acr: std::collections::BTreeMap::new(),
        };
        let parts = Parts {
            approvals: Approvals::new(),
            desk: Arc::new(OneRequest::new(sheet("SELECT 1"))),
            rows: rows.clone(),
            mask: Arc::new(str::to_owned),
            ledger: kept.clone(),
            world: Arc::new(System::new()),
        };
        let slack = Slack::new(spec, parts).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(slack.clone().run(stop.clone()));
        let place = Place::with(sheet("SELECT 1"), |spec| spec.slack = Some(slack)).await;
        Self {
            place,
            rows,
            kept,
            fake,
            stop,
            _dir: dir,
        }
    }

    /// As when an account pressed a button without a link, `ahead` milliseconds from now.
    async fn shown(&self, account: &str, ahead: u64) {
        let now = System::new().now().0 + ahead;
        let row = CodeRow {
            code: Hash::of(format!("slack code {CODE}").as_bytes()).0,
            team: TEAM.to_owned(),
            account: account.to_owned(),
            name: "Mallory <b>M</b> (@mallory)".to_owned(),
            created_at: now,
            expires_at: now + 600_000,
        };
        let mut tx = self.rows.write().await.unwrap();
        tx.keep_slack_code(&row).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The message to an account that says this.
    async fn asked(&self, account: &str, words: &str) -> Value {
        until(words, async || {
            let state = self.fake.state().await;
            let all = state["messages"].as_array()?.clone();
            all.into_iter()
                .rfind(|one| one["channel"] == account && one.to_string().contains(words))
        })
        .await
    }

    /// Signed in, typed and confirmed on the page, for this account: what it is asked.
    async fn confirmed(&self, browser: &mut Browser, account: &str) -> Value {
        self.shown(account, 0).await;
        let (_, html) = browser.sign_in(&self.place, "/slack", "second").await;
        let typed = self.send(browser, &html, "/slack", &[("code", CODE)]).await;
        let asked = typed.text().await.unwrap();
        let answer = self.send(browser, &asked, "/slack/link", &[]).await;
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.contains("One more step, in Slack"), "{text}");
        self.asked(account, "Are you demo#second?").await
    }

    /// So many things are on record.
    async fn on_record(&self, count: usize) -> Vec<Value> {
        until("on record", async || {
            let kept = self.kept.0.lock().unwrap().clone();
            (kept.len() >= count).then_some(kept)
        })
        .await
    }

    async fn links(&self) -> Vec<LinkRow> {
        let mut tx = self.rows.read().await.unwrap();
        let links = tx.slack_links("demo", "second").await.unwrap();
        tx.commit().await.unwrap();
        links
    }

    /// Sends the form for this action of a page, with more fields.
    async fn send(
        &self,
        browser: &mut Browser,
        html: &str,
        action: &str,
        more: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut fields = form(html, action);
        for (name, value) in more {
            fields.retain(|(key, _)| key != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let address = format!("{}{action}", self.place.url);
        browser.submit(&address, &fields, Some(&self.place.url)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_typed_by_hand_and_confirmed_at_both_ends_links_once_on_record_and_is_removed() {
    let bench = Bench::new().await;
    bench.fake.connected(1).await;
    bench.shown("U1", 0).await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&bench.place, "/slack", "second").await;
    assert!(html.contains("Type no code that somebody sent you"), "{html}");
    let answer = bench
        .send(&mut browser, &html, "/slack", &[("code", "bcdfg-hjklm")])
        .await;
    assert_eq!(answer.status(), 200);
    let asked = answer.text().await.unwrap();
    assert!(
        asked.contains("Mallory &lt;b&gt;M") && asked.contains("U1") && asked.contains("second"),
        "{asked}"
    );
    assert!(
        bench.links().await.is_empty(),
        "whose it is was shown, and nothing linked"
    );
    let answer = bench.send(&mut browser, &asked, "/slack/link", &[]).await;
    assert_eq!(answer.status(), 200);
    let question = bench.asked("U1", "Are you demo#second?").await;
    assert!(
        bench.links().await.is_empty() && bench.kept.0.lock().unwrap().is_empty(),
        "the account was asked, and nothing linked"
    );
    // Another account that comes by the question links nothing, neither this one nor itself.
    bench
        .fake
        .press(&question, &Press::new("U2", "link", "1.1"))
        .await;
    bench.fake.told("ephemerals", "This question is over").await;
    assert!(bench.links().await.is_empty());
    bench
        .fake
        .press(&question, &Press::new("U1", "link", "1.2"))
        .await;
    bench.asked("U1", "now decides as demo#second. The link").await;
    let links = bench.links().await;
    assert_eq!((links.len(), links[0].account.as_str()), (1, "U1"));
    assert_eq!(links[0].groups, "[\"dba\"]");
    assert_eq!(bench.on_record(1).await[0]["slack_account"], "linked");
    let told = bench.fake.told("messages", "If that is not right").await;
    assert_eq!(told["channel"], "C0000000001");
    bench
        .fake
        .press(&question, &Press::new("U1", "link", "1.3"))
        .await;
    bench.fake.told("ephemerals", "was answered").await;
    // The same form again: the code is used up.
    let again = bench.send(&mut browser, &asked, "/slack/link", &[]).await;
    assert_eq!(again.status(), 303);
    assert_eq!(bench.on_record(1).await.len(), 1);
    let (_, html) = browser.open(&format!("{}/slack", bench.place.url)).await;
    let gone = bench.send(&mut browser, &html, "/slack/unlink", &[]).await;
    assert_eq!(gone.status(), 303);
    assert!(bench.links().await.is_empty());
    assert_eq!(bench.kept.0.lock().unwrap()[1]["slack_account"], "unlinked");
}

#[tokio::test]
async fn no_link_no_stranger_no_old_sign_in_and_no_other_form_links() {
    let bench = Bench::new().await;
    bench.shown("U1", 0).await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&bench.place, "/slack", "second").await;
    // A GET, with the code in it, as somebody would send it.
    for path in ["/slack?code=BCDFGHJKLM", "/slack/link?code=BCDFGHJKLM"] {
        browser.get(&format!("{}{path}", bench.place.url)).await;
    }
    // A wrong code; the confirmation without the page that shows whose it is.
    let wrong = bench
        .send(&mut browser, &html, "/slack", &[("code", "XXXXXXXXXX")])
        .await;
    assert!(wrong.text().await.unwrap().contains("There is no such code"));
    let token = form(&html, "/slack")
        .into_iter()
        .find(|(name, _)| name == "token")
        .unwrap()
        .1;
    let address = format!("{}/slack/link", bench.place.url);
    let skipped = browser
        .submit(
            &address,
            &[("code", CODE), ("token", &token)],
            Some(&bench.place.url),
        )
        .await;
    assert_eq!(skipped.status(), 403);
    // From a page of somebody else.
    let asked = bench
        .send(&mut browser, &html, "/slack", &[("code", CODE)])
        .await
        .text()
        .await
        .unwrap();
    let fields = form(&asked, "/slack/link");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let foreign = browser
        .submit(&address, &fields, Some("https://evil.example"))
        .await;
    assert_eq!(foreign.status(), 403);
    assert!(bench.links().await.is_empty());
    // A code that was made after this sign-in wants another one.
    bench.shown("U1", 120_000).await;
    let late = bench.send(&mut browser, &html, "/slack", &[("code", CODE)]).await;
    assert!(late.text().await.unwrap().contains("Sign in again first"));
    // An open browser: the sign-in is too old to link anything.
    bench.place.world.by(301);
    let (_, html) = browser.open(&format!("{}/slack", bench.place.url)).await;
    assert!(
        html.contains("sign in again") && !html.contains("name=\"code\""),
        "{html}"
    );
    let old = browser.submit(&address, &fields, Some(&bench.place.url)).await;
    assert_eq!(old.status(), 303);
    assert!(bench.links().await.is_empty() && bench.kept.0.lock().unwrap().is_empty());
}

/// Somebody typed the code of another's account: whoever uses that is told who signed in, and says no. And a link that its
/// account regrets is ended where it was told.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_says_no_and_ends_its_link_where_it_was_told() {
    let bench = Bench::new().await;
    bench.fake.connected(1).await;
    let mut browser = Browser::default();
    let question = bench.confirmed(&mut browser, "U1").await;
    bench
        .fake
        .press(&question, &Press::new("U1", "unlink", "1.1"))
        .await;
    bench.asked("U1", "you said that you are not demo#second").await;
    assert_eq!(bench.on_record(1).await[0]["slack_account"], "link refused");
    bench
        .fake
        .press(&question, &Press::new("U1", "link", "1.2"))
        .await;
    bench.fake.told("ephemerals", "This question is over").await;
    assert!(bench.links().await.is_empty());
    let question = bench.confirmed(&mut Browser::default(), "U1").await;
    bench
        .fake
        .press(&question, &Press::new("U1", "link", "2.1"))
        .await;
    let told = bench.asked("U1", "now decides as demo#second. The link").await;
    // A second account of the same person: the first one hears of it, and can end it.
    let question = bench.confirmed(&mut Browser::default(), "U2").await;
    bench
        .fake
        .press(&question, &Press::new("U2", "link", "3.1"))
        .await;
    let heard = until("the first account hears of the second", async || {
        let state = bench.fake.state().await;
        let all = state["messages"].as_array()?.clone();
        all.into_iter().find(|one| {
            one["channel"] == "U1" && value_of(one, "tollgate_unlink").as_deref() == Some("v1 end U2")
        })
    })
    .await;
    // A stranger ends nothing.
    bench.fake.press(&heard, &Press::new("U9", "unlink", "4.1")).await;
    bench.fake.told("ephemerals", "There is no such link").await;
    assert_eq!(bench.links().await.len(), 2);
    bench.fake.press(&heard, &Press::new("U1", "unlink", "4.2")).await;
    until("one is ended", async || {
        (bench.links().await.len() == 1).then_some(())
    })
    .await;
    bench.fake.press(&told, &Press::new("U1", "unlink", "4.3")).await;
    until("both are ended", async || {
        bench.links().await.is_empty().then_some(())
    })
    .await;
    let words: Vec<Value> = bench
        .on_record(5)
        .await
        .iter()
        .map(|one| one["slack_account"].clone())
        .collect();
    assert_eq!(
        words,
        ["link refused", "linked", "linked", "unlinked", "unlinked"]
    );
}

/// A guest's account says yes: nobody decides with it, and nothing is linked. And when Slack does not take the question, the page says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_not_asked_or_that_a_guest_answers_links_nothing() {
    let bench = Bench::new().await;
    bench.fake.connected(1).await;
    let question = bench.confirmed(&mut Browser::default(), "U1").await;
    bench
        .fake
        .tell("user", &serde_json::json!({"id": "U1", "is_restricted": true}))
        .await;
    bench
        .fake
        .press(&question, &Press::new("U1", "link", "1.1"))
        .await;
    bench.fake.told("ephemerals", "a guest").await;
    bench.fake.fault("chat.postMessage", "500", 1).await;
    bench.shown("U2", 0).await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&bench.place, "/slack", "second").await;
    let typed = bench.send(&mut browser, &html, "/slack", &[("code", CODE)]).await;
    let asked = typed.text().await.unwrap();
    let answer = bench.send(&mut browser, &asked, "/slack/link", &[]).await;
    assert_eq!(answer.status(), 503);
    assert!(bench.links().await.is_empty() && bench.kept.0.lock().unwrap().is_empty());
}

/// A day before its end its person is told, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_says_a_day_before_that_it_ends() {
    let bench = Bench::new().await;
    let now = System::new().now().0;
    let day = 86_400_000;
    for (account, age) in [("U1", 6 * day + 60_000), ("U2", 5 * day), ("U3", 8 * day)] {
        let row = LinkRow {
            team: TEAM.to_owned(),
            account: account.to_owned(),
            name: account.to_owned(),
            issuer: "demo".to_owned(),
            subject: "second".to_owned(),
            groups: "[]".to_owned(),
            signed_in_at: now - age,
            linked_at: now - age,
        };
        let mut tx = bench.rows.write().await.unwrap();
        tx.link_slack(&row).await.unwrap();
        tx.commit().await.unwrap();
    }
    bench.asked("U1", "Your link ends: from ").await;
    let mut tx = bench.rows.read().await.unwrap();
    let left = tx.slack_links_to_end(0, now).await.unwrap();
    tx.commit().await.unwrap();
    let left: Vec<&str> = left.iter().map(|row| row.account.as_str()).collect();
    assert_eq!(left, ["U3", "U2"], "what is over, and what lasts, is not told");
    let state = bench.fake.state().await;
    let ends = state["messages"].as_array().unwrap().iter();
    assert_eq!(
        ends.filter(|one| one.to_string().contains("Your link ends"))
            .count(),
        1
    );
}
