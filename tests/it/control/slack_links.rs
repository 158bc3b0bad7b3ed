//! Linking a Slack account: by a code typed by hand after a sign-in, confirmed by a form, and by nothing else.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::Value;
use tollgate::approval::Approvals;
use tollgate::call::Hash;
use tollgate::clock::{System, World};
use tollgate::console::slack::{Delivery, LinkLedger, Parts, Slack, Spec};
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::slack::{CodeRow, LinkRow};
use tollgate::store::{Store, Tuning};

use super::place::{Browser, OneRequest, Place, form, sheet};

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
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(dir.path(), private).unwrap();
        let url = format!("sqlite:{}", dir.path().join("tollgate.db").display());
        let store = Store::open(&url, &Tuning::default()).await.unwrap();
        let (rows, kept) = (Rows::new(store), Arc::new(Kept::default()));
        let spec = Spec {
            url: "http://127.0.0.1:1/api/".parse().unwrap(), // nobody is there: a link needs no word of Slack's
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
        let place = Place::with(sheet("SELECT 1"), |spec| spec.slack = Some(slack)).await;
        Self {
            place,
            rows,
            kept,
            _dir: dir,
        }
    }

    /// As when an account pressed a button without a link, `ahead` milliseconds from now.
    async fn shown(&self, account: &str, ahead: u64) {
        let now = System::new().now().0 + ahead;
        let row = CodeRow {
            code: Hash::of(format!("slack code {CODE}").as_bytes()).0,
            team: "T1".to_owned(),
            account: account.to_owned(),
            name: "Mallory <b>M</b> (@mallory)".to_owned(),
            created_at: now,
            expires_at: now + 600_000,
        };
        let mut tx = self.rows.write().await.unwrap();
        tx.keep_slack_code(&row).await.unwrap();
        tx.commit().await.unwrap();
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

#[tokio::test]
async fn a_code_typed_by_hand_and_confirmed_links_once_on_record_and_is_removed() {
    let bench = Bench::new().await;
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
    assert_eq!(answer.status(), 303);
    let links = bench.links().await;
    assert_eq!((links.len(), links[0].account.as_str()), (1, "U1"));
    assert_eq!(links[0].groups, "[\"dba\"]");
    assert_eq!(bench.kept.0.lock().unwrap()[0]["slack_account"], "linked");
    // The same form again: the code is used up.
    let again = bench.send(&mut browser, &asked, "/slack/link", &[]).await;
    assert_eq!(again.status(), 303);
    assert_eq!(bench.kept.0.lock().unwrap().len(), 1);
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
