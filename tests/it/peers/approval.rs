//! Calls that wait for people, made by clients that nobody here wrote: decided within the hold, after it,
//! refused, not decided in time, left alone, sent again. Each ends right, and what was approved runs once.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::approval::review::{Choice, State};

use super::agent::{Model, ask_claude, envs, register, tool_results};
use super::{clients, node, python};
use crate::support::people::{People, holding, runs};
use crate::support::process::{phase, wait_for};
use crate::support::site::Site;
use crate::support::until;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(40);
/// Over at once: a client that follows asks again and again.
const SHORT: Duration = Duration::from_millis(300);
const COUNT: &str = "SELECT count(*) FROM orders";

fn spec(site: &Site, mode: &str, times: usize) -> Value {
    let call = json!(["sql_query", { "resource": "shop", "statement": COUNT }]);
    json!({ "url": site.endpoint(), "token": site.token("ana", &["analyst"]), "mode": mode,
        "calls": vec![call; times], "follow": true })
}

/// Waits until somebody was answered that their call is pending.
async fn told_pending(site: &Site) {
    until("a pending answer", async || {
        let results = phase(site, "result").await;
        results
            .iter()
            .any(|result| result.status.as_deref() == Some("approval_pending"))
            .then_some(())
    })
    .await;
}

fn counted(result: &Value) {
    assert_eq!(result["structured"]["data"]["rows"], json!([[8000]]), "{result}");
    assert_eq!(result["is_error"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_in_both_eras_decided_within_the_hold() {
    for mode in ["auto", "legacy"] {
        let (site, people) = People::site(holding(LONG)).await;
        let decide = async {
            let id = people.asked(1).await;
            people.approve(&id).await;
        };
        let (told, ()) = tokio::join!(python(spec(&site, mode, 1)), decide);
        let result = &told["results"][0];
        counted(result);
        assert_eq!(result["waits"], json!(0));
        let heard = result["heard"][0].as_str().unwrap();
        assert!(heard.starts_with("waiting for approval"), "{heard}");
        assert_eq!(runs(&site).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_in_both_eras_decided_after_the_hold_and_asked_again() {
    for mode in ["auto", "legacy"] {
        let (site, people) = People::site(holding(SHORT)).await;
        let decide = async {
            let id = people.asked(1).await;
            told_pending(&site).await;
            people.approve(&id).await;
        };
        let (told, ()) = tokio::join!(python(spec(&site, mode, 3)), decide);
        let results = told["results"].as_array().unwrap();
        results.iter().for_each(counted);
        assert!(results[0]["waits"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(
            runs(&site).await.len(),
            1,
            "the identical call, sent again, runs nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_in_both_eras_refused_or_not_decided_in_time() {
    for mode in ["auto", "legacy"] {
        let (site, people) = People::site(holding(SHORT)).await;
        let refuse = async {
            let id = people.asked(1).await;
            told_pending(&site).await;
            let why = Choice::Refuse("Use the report instead.".to_owned());
            people.decide(&id, why).await.unwrap();
        };
        let (told, ()) = tokio::join!(python(spec(&site, mode, 1)), refuse);
        let result = &told["results"][0];
        assert_eq!(
            result["structured"]["refusal"]["code"], "approval_denied",
            "{told}"
        );
        assert!(
            result["text"][0]
                .as_str()
                .unwrap()
                .contains("Use the report instead.")
        );
        assert_eq!(result["is_error"], json!(true));

        let (late, people) = People::site(holding(SHORT)).await;
        let expire = async {
            people.asked(1).await;
            told_pending(&late).await;
            people.world.advance(Duration::from_secs(3600));
        };
        let (told, ()) = tokio::join!(python(spec(&late, mode, 1)), expire);
        let result = &told["results"][0];
        assert_eq!(
            result["structured"]["refusal"]["code"], "approval_expired",
            "{told}"
        );
        assert!(runs(&site).await.is_empty() && runs(&late).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_in_both_eras_killed_while_it_waits() {
    for mode in ["auto", "legacy"] {
        let (site, people) = People::site(holding(LONG)).await;
        let script = clients().join("session.py").display().to_string();
        let mut child = super::start(
            clients().join(".venv/bin/python"),
            vec![script, spec(&site, mode, 1).to_string()],
        );
        let id = people.asked(1).await;
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for(&site, "refusal", 1).await;
        people.approve(&id).await;
        assert_eq!(people.state(&id).await, State::Granted);
        assert!(runs(&site).await.is_empty(), "nothing runs unattended");
        let told = python(spec(&site, mode, 1)).await;
        counted(&told["results"][0]);
        assert_eq!(runs(&site).await.len(), 1);
    }
}

async fn inspect(site: &Site, era: &str) -> String {
    let header = format!("Authorization: Bearer {}", site.token("ana", &["analyst"]));
    let statement = format!("statement={COUNT}");
    let endpoint = site.endpoint();
    let arguments = [
        "--cli",
        &endpoint,
        "--transport",
        "http",
        "--protocol-era",
        era,
        "--header",
        &header,
        "--method",
        "tools/call",
        "--tool-name",
        "sql_query",
        "--tool-arg",
        "resource=shop",
        "--tool-arg",
        &statement,
    ];
    let output = node("inspector", &arguments, site.dir.path()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn inspector_of_the_older_era_takes_the_pending_answer_and_comes_back_for_the_result() {
    let (site, people) = People::site(holding(SHORT)).await;
    let text = inspect(&site, "legacy").await;
    assert!(
        text.contains("approval_pending") && text.contains("approval_wait"),
        "{text}"
    );
    let id = people.asked(1).await;
    people.approve(&id).await;
    let text = inspect(&site, "legacy").await;
    assert!(text.contains("8000"), "{text}");
    assert_eq!(runs(&site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn inspector_of_the_newest_revision_follows_the_task() {
    let (site, people) = People::site(holding(LONG)).await;
    let decide = async {
        let id = people.asked(1).await;
        told_pending(&site).await; // at once, whatever the hold: it polls
        people.approve(&id).await;
    };
    let (text, ()) = tokio::join!(inspect(&site, "modern"), decide);
    assert!(text.contains("8000"), "{text}");
    assert_eq!(runs(&site).await.len(), 1);
}

const QUERY: &str = "mcp__tollgate__sql_query";
const WAIT: &str = "mcp__tollgate__approval_wait";

/// A model that does as the instructions say.
fn follows(asked: &Value) -> Option<(&'static str, Value)> {
    let Some(last) = tool_results(asked).pop() else {
        return Some((QUERY, json!({ "resource": "shop", "statement": COUNT })));
    };
    let text = last.to_string();
    // Whether the model gets the structured answer or the text, and however often it was quoted.
    let id = regex::Regex::new(r#"(?:"id\\*":\\*"|Waiting for approval )([0-9a-f]{32})"#).unwrap();
    let id = id.captures(&text)?.get(1)?.as_str();
    text.contains("approval_pending")
        .then_some((WAIT, json!({ "approval_id": id })))
}

/// The interactive program in a terminal of its own, with what a user has answered before: it declares
/// tasks, is told that the call goes on in the background, and reads the result when there is one.
#[tokio::test(flavor = "multi_thread")]
async fn claude_code_interactive_follows_the_task() {
    let (site, people) = People::site(holding(LONG)).await;
    let (model, base) = Model::start(follows).await;
    let home = tempfile::tempdir().unwrap();
    register(&site, home.path(), &base).await;
    accept_dialogs(home.path());
    let program = clients().join("node_modules/.bin/claude").display().to_string();
    let line =
        format!("stty rows 50 cols 150; exec {program} 'How many orders?' --allowedTools {QUERY},{WAIT}");
    let screen = home.path().join("screen");
    let mut terminal = super::terminal(&line, &screen, home.path(), envs(home.path(), &base));
    let keys = terminal.stdin.as_mut().unwrap();
    let mut looks = 0;
    until("a request", async || {
        looks += 1;
        if looks % 100 == 0 {
            keys.write_all(b"How many?\r").unwrap(); // the first turn may begin before the tools are there
        }
        (!people.cards().await.is_empty()).then_some(())
    })
    .await;
    let id = people.asked(1).await;
    told_pending(&site).await; // at once, whatever the hold: it polls
    people.approve(&id).await;
    let read = until("the result reaches the model", async || {
        let bodies = model.bodies.lock().unwrap();
        bodies
            .iter()
            .any(|body| body["messages"].to_string().contains("8000"))
            .then_some(())
    });
    let seen = || String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).into_owned();
    if tokio::time::timeout(Duration::from_secs(60), read).await.is_err() {
        panic!("{}\n{}", seen(), json!(*model.bodies.lock().unwrap()));
    }
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let runs = runs(&site).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(people.state(&id).await, State::Spent);
}

/// What the first start would ask.
fn accept_dialogs(home: &std::path::Path) {
    let path = home.join(".claude.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["hasCompletedOnboarding"] = json!(true);
    config["theme"] = json!("dark");
    config["customApiKeyResponses"] = json!({ "approved": ["none"], "rejected": [] });
    config["projects"][home.display().to_string()]["hasTrustDialogAccepted"] = json!(true);
    std::fs::write(path, config.to_string()).unwrap();
}

async fn claude(site: &Site) -> Vec<String> {
    let (model, base) = Model::start(follows).await;
    ask_claude(site, &base, &format!("{QUERY},{WAIT}")).await;
    let bodies = model.bodies.lock().unwrap().clone();
    let results = bodies.iter().map(tool_results).max_by_key(Vec::len).unwrap();
    results.iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_headless_decided_within_the_hold() {
    let (site, people) = People::site(holding(LONG)).await;
    let decide = async {
        let id = people.asked(1).await;
        people.approve(&id).await;
    };
    let (results, ()) = tokio::join!(claude(&site), decide);
    assert_eq!(results.len(), 1, "{results:?}");
    assert!(results[0].contains("8000"), "{results:?}");
    assert_eq!(runs(&site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_headless_decided_after_the_hold() {
    let (site, people) = People::site(holding(SHORT)).await;
    let decide = async {
        let id = people.asked(1).await;
        told_pending(&site).await;
        people.approve(&id).await;
    };
    let (results, ()) = tokio::join!(claude(&site), decide);
    assert!(results[0].contains("approval_pending"), "{results:?}");
    assert!(results.last().unwrap().contains("8000"), "{results:?}");
    assert_eq!(runs(&site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_headless_refused_with_a_reason() {
    let (site, people) = People::site(holding(SHORT)).await;
    let refuse = async {
        let id = people.asked(1).await;
        told_pending(&site).await;
        let why = Choice::Refuse("Use the report instead.".to_owned());
        people.decide(&id, why).await.unwrap();
    };
    let (results, ()) = tokio::join!(claude(&site), refuse);
    let last = results.last().unwrap();
    assert!(last.contains("Use the report instead."), "{results:?}");
    assert!(last.contains("\"is_error\":true"), "{last}");
    assert!(runs(&site).await.is_empty());
}
