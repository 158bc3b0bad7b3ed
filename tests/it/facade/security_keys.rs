//! Approving with a security key, all of it: the real server, a certified provider, a real browser with an
//! authenticator of its own.

use serde_json::{Value, json};

use super::chromium::{Browser, Driver};
use super::stand::Stand;
use crate::support::process::tollgate;
use crate::support::site::envelope;
use crate::support::until;

/// Analysts read the shop with the leave of a second person.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst", action in Tollgate::Action::"read", resource);
@id("dba-decide") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("second-person") @approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("second-person") };
"#;

/// Somebody signs in at the provider that the browser was sent to, and is sent back.
async fn at_the_provider(browser: &Browser<'_>, stand: &Stand, user: &str, back: &str) {
    let asked = browser
        .at(&format!("{}/test/interaction/", stand.idp.issuer))
        .await;
    browser.open(&format!("{asked}?user={user}")).await;
    browser.at(back).await;
}

/// Keeps a picture of the page for who wants to look at it.
async fn keep(browser: &Browser<'_>, name: &str) {
    if let Some(folder) = std::env::var_os("TOLLGATE_SCREENSHOTS") {
        std::fs::write(std::path::Path::new(&folder).join(name), browser.picture().await).unwrap();
    }
}

fn keys(stand: &Stand) -> Vec<Value> {
    let done = tollgate(&stand.site, &["security-keys", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&done.stdout).unwrap();
    listed["security_keys"].as_array().unwrap().clone()
}

/// The journal, as the operator exports it.
fn journal(stand: &Stand) -> Vec<Value> {
    let file = stand.site.dir.path().join("export");
    let done = tollgate(&stand.site, &["audit", "export", file.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["record"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_runs_when_somebody_has_approved_it_with_a_key_they_registered() {
    let more = "[approval]\nhold_seconds = 3600\nwebauthn = \"required\"\n";
    let mut stand = Stand::new(POLICY, more).await;
    let _server = stand.serve(&[]).await;
    let alice = stand.agent(&stand.sign_in("alice").await);
    let arguments = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    let call = tokio::spawn(async move { alice.call("sql_query", arguments).await });
    let dora = stand.person("dora").await;
    let sheet = dora.asked().await;
    let page = format!("{}/approvals/{}", stand.control, sheet["id"].as_str().unwrap());
    let (status, problem) = dora.try_approve(&sheet).await;
    assert_eq!(status, 403, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&page), "{problem}");

    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.authenticator().await;
    browser.open(&page).await;
    at_the_provider(&browser, &stand, "dora", &page).await;
    browser.says("you have registered none").await;
    browser.click("section.decide a[href='/security-keys']").await;
    browser.write("input[name=name]", "the blue one").await;
    browser.click("button.yes").await;
    browser.says("<bdi>the blue one</bdi>").await;
    keep(&browser, "security-keys.png").await;
    browser.open(&page).await;
    let html = browser.says("counts from the next one on").await;
    assert!(!html.contains("class=\"yes\""), "{html}");
    // The provider tells sign-ins apart by the second.
    until("a later sign-in", async || {
        browser.click("section.decide a[href*=again]").await;
        at_the_provider(&browser, &stand, "dora", &page).await;
        browser.html().await.contains("class=\"yes\"").then_some(())
    })
    .await;
    keep(&browser, "approve-with-key.png").await;
    browser.click("button.yes").await;
    let answer = call.await.unwrap();
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");

    let listed = keys(&stand);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["owner"], &listed[0]["name"]),
        (&json!("corp#dora"), &json!("the blue one"))
    );
    let id = listed[0]["id"].as_str().unwrap();
    // The operator takes it back while the server runs.
    let remove = || tollgate(&stand.site, &["security-keys", "remove", id]);
    assert!(remove().status.success());
    assert!(keys(&stand).is_empty());
    let again = remove();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        again.status.code() == Some(1) && said.contains("there is no such key"),
        "{said}"
    );
    browser.open(&format!("{}/security-keys", stand.control)).await;
    browser.says("You have registered none").await;
    let journal = journal(&stand);
    let methods: Vec<&Value> = journal
        .iter()
        .map(|record| &record["approval"]["method"])
        .filter(|method| !method.is_null())
        .collect();
    assert_eq!(methods, [&json!(format!("security-key {id}"))]);
    let changes: Vec<&Value> = journal
        .iter()
        .map(|record| &record["config"])
        .filter(|change| change["key"] == *id)
        .collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0]["event"], "security_key_register");
    assert_eq!(changes[0]["by"], "corp#dora");
    assert_eq!(changes[1]["event"], "security_key_remove");
    assert_eq!(changes[1]["of"], "corp#dora");
    assert!(
        changes[1]["by"].as_str().unwrap().starts_with("local#"),
        "{changes:?}"
    );
    browser.close().await;
}
