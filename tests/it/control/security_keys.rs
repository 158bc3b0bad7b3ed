//! Approving with a security key: in a real browser with a virtual authenticator, and everything without one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tollgate::approval::review::Choice;
use tollgate::identity::security_keys::{KeyLedger, SecurityKeys};
use tollgate::store::rows::Rows;
use tollgate::store::{Store, Tuning};

use super::place::{Browser, ID, Place, SHA, form, sheet};
use crate::facade::chromium::{self, Driver};

struct Recorded;

impl KeyLedger for Recorded {
    fn record(&self, _: Value) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }
}

pub(super) async fn place(folder: &std::path::Path) -> Place {
    let url = format!("sqlite:{}", folder.join("t.db").display());
    let rows = Rows::new(Store::open(&url, &Tuning::default()).await.unwrap());
    let place = Place::with(sheet("UPDATE orders SET status = 'closed'"), |spec| {
        let keys = SecurityKeys::new(rows, Arc::new(Recorded), spec.world.clone(), &spec.url);
        spec.security_keys = Some(Arc::new(keys.unwrap()));
    })
    .await;
    place.desk.needs_key.store(true, Ordering::SeqCst);
    place
}

async fn sign_in(browser: &chromium::Browser<'_>, place: &Place, path: &str, user: &str) {
    browser.open(&format!("{}{path}", place.url)).await;
    browser.write("input[name=username]", user).await;
    browser.write("input[name=password]", place.secret(user)).await;
    browser.click("button").await;
    browser.at(&format!("{}{path}", place.url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_registers_a_key_in_a_real_browser_and_approves_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let driver = Driver::start();
    let browser = driver.browser().await;
    let authenticator = browser.authenticator().await;
    let request = format!("{}/approvals/{ID}", place.url);
    sign_in(&browser, &place, "/security-keys", "second").await;
    browser.open(&request).await;
    let html = browser.says("you have registered none").await;
    assert!(
        !html.contains("class=\"yes\""),
        "nobody approves without a key: {html}"
    );
    browser.open(&format!("{}/security-keys", place.url)).await;
    browser.write("input[name=name]", "on the desk").await;
    browser.click("button.yes").await;
    browser.says("<bdi>on the desk</bdi>").await;
    // Under the sign-in that registered it, it is good for nothing: neither for deciding nor for another key.
    let html = browser.says("counts from the next one on").await;
    assert!(
        !html.contains("data-use") && !html.contains("data-make"),
        "{html}"
    );
    browser.open(&request).await;
    let html = browser.says("counts from the next one on").await;
    assert!(
        !html.contains("class=\"yes\"") && html.contains("was registered for you at"),
        "{html}"
    );
    place.world.by(1); // sign-ins are told apart by the second
    browser.click("section.decide a[href*=again]").await;
    browser.write("input[name=username]", "second").await;
    browser
        .write("input[name=password]", place.secret("second"))
        .await;
    browser.click("button").await;
    browser.at(&request).await;
    // Nobody verified by the key: the browser gives nothing, and nothing is sent.
    browser.open(&request).await;
    browser.verifies(&authenticator, false).await;
    browser.click("button.yes").await;
    browser.says("No key was used").await;
    assert!(place.decided().is_empty());
    browser.verifies(&authenticator, true).await;
    browser.click("button.yes").await;
    browser.says("approved, not yet carried out").await;
    assert_eq!(place.decided(), [("demo#second".to_owned(), Choice::Approve)]);
    // Removing it needs it.
    browser.open(&format!("{}/security-keys", place.url)).await;
    browser.click("form[action$=remove] button").await;
    browser.says("You have registered none").await;
    browser.close().await;
}

#[tokio::test]
async fn without_a_key_nobody_approves_and_everybody_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let token = place.id_token("third");
    let path = format!("/api/approvals/{ID}");
    let answer = place
        .post(&format!("{path}/approve"), &token, &json!({"action_sha256": SHA}))
        .await;
    assert_eq!(answer.status(), 403);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:tollgate:problem:security-key");
    let words = problem["detail"].as_str().unwrap();
    assert!(words.contains("in a browser"), "{words}");

    let mut browser = Browser::default();
    let (_, html) = browser
        .sign_in(&place, &format!("/approvals/{ID}"), "third")
        .await;
    assert!(
        html.contains("you have registered none") && !html.contains("security-keys.js"),
        "{html}"
    );
    // A form for approving is not offered; the token of another verb is not one for it.
    let refuse = form(&html, &format!("/approvals/{ID}/refuse"));
    let token = &refuse.iter().find(|(name, _)| name == "token").unwrap().1;
    let approve = format!("{}/approvals/{ID}/approve", place.url);
    for assertion in ["", "{}"] {
        let fields = [("action_sha256", SHA), ("token", token), ("assertion", assertion)];
        let answer = browser.submit(&approve, &fields, Some(&place.url)).await;
        assert_eq!(answer.status(), 403);
    }
    assert!(place.decided().is_empty());
    let page = browser.get(&format!("{}/approvals/{ID}", place.url)).await;
    let leave = page.headers()["permissions-policy"].to_str().unwrap();
    assert!(leave.contains("publickey-credentials-get=()"), "{leave}");
    let page = browser.get(&format!("{}/security-keys", place.url)).await;
    let policies: Vec<_> = page.headers().get_all("content-security-policy").iter().collect();
    let policy = policies[0].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'; script-src 'self'; style-src 'self'"),
        "{policies:?}"
    );
    assert!(
        page.headers()["permissions-policy"]
            .to_str()
            .unwrap()
            .contains("publickey-credentials-create=(self)")
    );
    let script = browser.get(&format!("{}/security-keys.js", place.url)).await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");

    let refuse_at = format!("{}/approvals/{ID}/refuse", place.url);
    let fields = [("action_sha256", SHA), ("token", token), ("reason", "not today")];
    let answer = browser.submit(&refuse_at, &fields, Some(&place.url)).await;
    assert_eq!(answer.status(), 303);
    assert_eq!(place.decided().len(), 1, "taking rights away needs no key");
}

/// A bearer reads and refuses; keys are registered and removed by a form of a signed-in browser alone.
#[tokio::test]
async fn no_bearer_registers_or_removes_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let token = place.id_token("third");
    let page = place.get("/security-keys", Some(&token)).await;
    assert_eq!(page.status(), 303);
    assert!(
        page.headers()["location"]
            .to_str()
            .unwrap()
            .starts_with("/sign-in")
    );
    for path in ["/security-keys", "/security-keys/abc/remove"] {
        let answer = place.post(path, &token, &json!({"name": "mine"})).await;
        assert_eq!(answer.status(), 403, "{path}");
        for origin in [None, Some("https://elsewhere.example"), Some(place.url.as_str())] {
            let mut browser = Browser::default();
            let fields = [("token", ""), ("name", "mine"), ("registration", "{}")];
            let answer = browser
                .submit(&format!("{}{path}", place.url), &fields, origin)
                .await;
            let gone = answer.headers().get("location").map(|to| to.to_str().unwrap());
            assert!(
                answer.status() == 403 || gone == Some("/security-keys"),
                "{path} {origin:?}: {}",
                answer.status()
            );
        }
    }
    // Signed in, but with the token of another form, or long ago: nothing either.
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, "/security-keys", "third").await;
    let register = form(&html, "/security-keys");
    let token = &register.iter().find(|(name, _)| name == "token").unwrap().1;
    let url = format!("{}/security-keys", place.url);
    let fields = [
        ("token", token.as_str()),
        ("name", "mine"),
        ("registration", "{}"),
    ];
    let forged = browser
        .submit(&format!("{url}/abc/remove"), &fields, Some(&place.url))
        .await;
    assert_eq!(forged.status(), 403);
    let wrong = browser.submit(&url, &fields, Some(&place.url)).await;
    assert_eq!(wrong.status(), 400, "not what a browser answers");
    place.world.by(301);
    let late = browser.submit(&url, &fields, Some(&place.url)).await;
    assert_eq!(
        late.headers()["location"],
        "/security-keys",
        "which asks for a sign-in"
    );
    let html = browser.get(&url).await.text().await.unwrap();
    assert!(
        html.contains("Sign in again") && !html.contains("data-make"),
        "{html}"
    );
}

#[tokio::test]
async fn where_keys_are_off_there_is_neither_page_nor_script() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let (_, html) = browser
        .sign_in(&place, &format!("/approvals/{ID}"), "second")
        .await;
    assert!(!html.contains("security-keys.js") && !html.contains("data-use"));
    for path in ["/security-keys", "/security-keys.js", "/security-keys/abc/remove"] {
        let answer = browser.get(&format!("{}{path}", place.url)).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
}
