//! The console of the real server in a real browser: a call waits, its reviewer sees all of it, the page tells of the end
//! by itself, and an auditor replays the session, on record.

use serde_json::{Value, json};

use super::chromium::{Browser, Driver};
use super::stand::Stand;
use crate::support::process::tollgate;
use crate::support::site::envelope;

/// Analysts read the shop with the leave of a second person, who may audit it too.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst", action in Tollgate::Action::"read", resource);
@id("dba-decide") permit (principal in Tollgate::Group::"dba",
  action in [Tollgate::Action::"approve", Tollgate::Action::"audit_read"], resource);
@id("second-person") @approval("1 dba") @explain("A second person looks at it.")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("second-person") };
"#;

async fn at_the_provider(browser: &Browser<'_>, stand: &Stand, user: &str, back: &str) {
    let asked = browser
        .at(&format!("{}/test/interaction/", stand.idp.issuer))
        .await;
    browser.open(&format!("{asked}?user={user}")).await;
    browser.at(back).await;
}

/// What the journal says was replayed, and by whom.
fn replays(stand: &Stand, file: &str) -> Vec<Value> {
    let file = stand.site.dir.path().join(file);
    let done = tollgate(&stand.site, &["audit", "export", file.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["record"]["config"].clone())
        .filter(|config| config["event"] == "replay")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_question_to_the_replay_in_one_browser() {
    let mut stand = Stand::new(POLICY, "[approval]\nhold_seconds = 3600\n").await;
    let _server = stand.serve(&[]).await;
    let alice = stand.agent(&stand.sign_in("alice").await);
    let call = |statement: &'static str| {
        let alice = alice.clone();
        let arguments = json!({ "resource": "shop", "statement": statement });
        tokio::spawn(async move { alice.call("sql_query", arguments).await })
    };
    let schema = alice.call("sql_schema", json!({ "resource": "shop" })).await;
    assert_eq!(envelope(&schema)["status"], "ok", "{schema}");

    let driver = Driver::start();
    let browser = driver.browser().await;
    browser.open(&format!("{}/approvals", stand.control)).await;
    at_the_provider(&browser, &stand, "dora", &format!("{}/approvals", stand.control)).await;
    browser.says("There is no request that you may see").await;
    let waiting = call("SELECT count(*) FROM orders");
    // Nobody loads the list again.
    let html = browser.says("<strong>waits for you").await;
    assert!(
        html.contains("Waiting for you <span class=\"count\">1</span>"),
        "{html}"
    );
    browser.click("p.title a").await;
    let html = browser.says("Your decision").await;
    for shown in [
        "SELECT count(*) FROM orders",
        "What this session did before",
        "sql_schema",
        "A second person looks at it.",
        "second-person",
        "verified:",
        "<code>orders</code>",
        "What could not be measured",
    ] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
    browser.click("button.yes").await;
    // Nor the request.
    let html = browser.says("carried out</span>").await;
    // The call that waits, asks again and is carried out is not what its session did before.
    let before = html.split("What this session did before").nth(1).unwrap();
    let before = before.split("</section>").next().unwrap();
    assert!(
        before.contains("sql_schema") && !before.contains("sql_query"),
        "{before}"
    );
    let answer = waiting.await.unwrap();
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");

    assert!(replays(&stand, "before").is_empty());
    browser.click("nav a[href='/journal']").await;
    browser.says("Sessions in the journal").await;
    browser.click("p.title a").await;
    let html = browser.says("Your reading this is on record.").await;
    assert!(
        html.contains("sql_schema") && html.contains("SELECT count(*) FROM orders"),
        "{html}"
    );
    let told = replays(&stand, "after");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["by"], "corp#dora");

    browser
        .open(&format!(
            "{}/policies?person=corp%23alice&action=sql_read&resource=shop&group=analyst&verified=1",
            stand.control
        ))
        .await;
    let html = browser.says("Permitted once somebody agrees").await;
    assert!(
        html.contains("second-person") && html.contains("approval by 1 of group dba"),
        "{html}"
    );
    browser.click("nav a[href='/me']").await;
    let html = browser.says("What you may do here").await;
    assert!(
        html.contains("dora") && html.contains("<code>shop</code>"),
        "{html}"
    );

    // Somebody who asks is no auditor: nothing of this exists for them.
    let other = driver.browser().await;
    other.open(&format!("{}/me", stand.control)).await;
    at_the_provider(&other, &stand, "alice", &format!("{}/me", stand.control)).await;
    let html = other.says("Policies give you nothing else").await;
    assert!(!html.contains("href=\"/journal\""), "{html}");
    for path in ["/journal", "/journal/replay?session=any", "/policies"] {
        other.open(&format!("{}{path}", stand.control)).await;
        other.says("nothing that you may see").await;
    }
    assert_eq!(
        replays(&stand, "last").len(),
        1,
        "what is refused is not a replay"
    );
    // From a terminal it is on record as well, before it shows anything.
    let shown = tollgate(&stand.site, &["audit", "replay", "--tool", "sql_schema"]);
    assert!(shown.status.success() && !shown.stdout.is_empty());
    let told = replays(&stand, "terminal");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[1]["by"].as_str().is_some_and(|by| by.starts_with("local#")),
        "{told:?}"
    );
    assert_eq!(
        (&told[1]["tool"], &told[1]["calls"]),
        (&json!("sql_schema"), &json!(1))
    );
    other.close().await;
    browser.close().await;
}
