//! An agent that asks ahead: people approve for a while, and nothing runs until it calls.

use reqwest::Method;
use serde_json::{Value, json};

use super::{change, changed, code, dan, number, pending, ran, transitions, wait};
use crate::support::agent::Agent;
use crate::support::governed::Governed;
use crate::support::process::{history, phase};
use crate::support::site::envelope;

const RAISE: &str = "UPDATE products SET price_cents = price_cents + 100 WHERE id = 1";

fn message(result: &Value) -> String {
    envelope(result)["refusal"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn ahead(tool: &str, arguments: &Value) -> Value {
    json!({"tool": tool, "arguments": arguments, "reason": "the spring prices\u{202e}"})
}

/// Changes may be approved for a while, as nothing else may.
async fn governed() -> Governed {
    let all = Governed::new(0).await;
    let file = all.site.dir.path().join("policies/10-everyone.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    let marked = text.replace(
        "@approval(\"1 dba\")",
        "@approval(\"1 dba\")\n@unattended\n@grantable(\"30m, 5 uses\")",
    );
    assert_ne!(marked, text);
    std::fs::write(&file, marked).unwrap();
    all
}

async fn tools(agent: &Agent) -> Vec<String> {
    let listed = agent
        .modern("tools/list", json!({}), &json!({}))
        .send()
        .await
        .unwrap();
    let listed: Value = listed.json().await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_asked_for_runs_nothing_and_then_the_calls_run_under_it() {
    let mut all = governed().await;
    let server = all.serve().await;
    let (agent, lea) = (dan(&all.site), all.person("lea", &["dba"]));
    let price = || number(&all.site, "SELECT price_cents FROM products WHERE id = 1");
    let before = price();
    assert!(tools(&agent).await.contains(&"access_request".to_owned()));
    let asked = ahead("sql_execute", &change(RAISE));
    let id = pending(&agent.call("access_request", asked.clone()).await);
    assert_eq!(
        pending(&agent.call("access_request", asked.clone()).await),
        id,
        "the same request"
    );
    assert_eq!(pending(&agent.call("approval_wait", wait(&id)).await), id);
    let sheet = lea.asked().await;
    assert_eq!(
        (&sheet["ahead"], &sheet["unattended"]),
        (&json!(true), &json!(false)),
        "{sheet}"
    );
    assert_eq!(sheet["claimed_reason"], json!("the spring prices"), "{sheet}");
    assert_eq!(sheet["arguments"], change(RAISE));
    assert_eq!(sheet["effect"]["rows"], json!({"products": {"updated": 1}}));
    // H3: nobody grants to themselves.
    assert_eq!(all.person("dan", &["dba"]).try_approve(&sheet).await.0, 403);
    let wish = json!({"minutes": 10, "uses": 2});
    let body = json!({"action_sha256": sheet["action_sha256"], "for": wish});
    let (status, card) = lea
        .api(Method::POST, &format!("/{id}/approve"), Some(&body))
        .await;
    assert_eq!((status, &card["state"]), (200, &json!("granted")), "{card}");
    for answer in [
        agent.call("approval_wait", wait(&id)).await,
        agent.call("access_request", asked).await,
    ] {
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
        assert_eq!(envelope(&answer)["data"]["access"], "granted", "{answer}");
        assert_eq!(envelope(&answer)["data"]["uses"], json!(2), "{answer}");
    }
    assert_eq!(price(), before, "nothing ran by itself");
    assert!(ran(&all.site, "sql_execute").await.is_empty());
    for raised in 1..=3 {
        changed(&agent.call("sql_execute", change(RAISE)).await, 1);
        assert_eq!(price(), before + 100 * raised);
    }
    let again = agent.call("sql_execute", change(RAISE)).await;
    assert!(
        envelope(&again)["repeats"].is_string(),
        "the uses are gone: {again}"
    );
    assert_eq!(price(), before + 300);
    assert_eq!(
        transitions(&all.site, &id).await[..3],
        ["requested", "approved", "granted"]
    );
    super::changes::end(&all.site, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_calls_and_what_needs_no_people_or_never_is_said_so() {
    let mut all = governed().await;
    let server = all.serve().await;
    let (agent, lea) = (dan(&all.site), all.person("lea", &["dba"]));
    let id = pending(
        &agent
            .call("access_request", ahead("sql_execute", &change(RAISE)))
            .await,
    );
    lea.refuse(&lea.asked().await, "not this week").await;
    for answer in [
        agent.call("approval_wait", wait(&id)).await,
        agent
            .call("access_request", ahead("sql_execute", &change(RAISE)))
            .await,
        agent.call("sql_execute", change(RAISE)).await,
    ] {
        assert_eq!(code(&answer), "approval_denied", "{answer}");
        assert!(answer.to_string().contains("not this week"), "{answer}");
    }
    let read = json!({"resource": "shop", "statement": "SELECT count(*) FROM products"});
    let answer = agent.call("access_request", ahead("sql_query", &read)).await;
    assert_eq!(envelope(&answer)["data"]["access"], "allowed", "{answer}");
    // That is on record, with the policies that say so, and found under what it was about.
    let records = history(&all.site, envelope(&answer)["call_id"].as_str().unwrap()).await;
    let last = records["records"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["tool"], &last["resource"], &last["phase"]),
        (&json!("access_request"), &json!("shop"), &json!("result")),
        "{records}"
    );
    assert!(last["policy"]["ids"].is_array(), "{records}");
    let never = [
        ("sql_execute", change("DROP TABLE products")),
        ("sql_execute", change("no statement")),
        ("sql_execute", json!({"resource": "shop"})),
        ("sql_execute", json!({"resource": "nothing", "statement": RAISE})),
        ("no_such_tool", json!({})),
        ("list_resources", json!({})),
        ("approval_wait", wait(&id)),
        ("access_request", ahead("sql_execute", &change(RAISE))),
    ];
    for (tool, arguments) in never {
        let answer = agent.call("access_request", ahead(tool, &arguments)).await;
        assert_eq!(answer["isError"], json!(true), "{tool} {arguments}: {answer}");
    }
    // What is looked up is no record's, nor is it approved for a while.
    let mut looked =
        json!({"resource": "shop", "statement": "SELECT count(*) FROM customers WHERE email = :lookup"});
    looked["lookup"] = json!({"column": "customers.email", "value": "looked-up@example.com"});
    let answer = agent.call("access_request", ahead("sql_query", &looked)).await;
    let call = envelope(&answer)["call_id"].as_str().unwrap();
    let records = history(&all.site, call).await;
    assert!(
        records["records"][0]["tool"] == "access_request" && !records.to_string().contains("looked-up"),
        "{records}"
    );
    // Somebody whom no policy lets change anything is not told of it.
    let reader = Agent::new(&all.site, "rita", &["analyst"]);
    let answer = reader
        .call("access_request", ahead("sql_execute", &change(RAISE)))
        .await;
    assert!(
        answer["isError"] == json!(true) || answer["code"] == json!(-32602),
        "{answer}"
    );
    assert!(lea.waiting().await.is_empty(), "nobody is asked about any of it");
    super::changes::end(&all.site, server).await;
}

/// Where nothing can be approved for a while there is no such tool.
#[tokio::test(flavor = "multi_thread")]
async fn without_anything_to_grant_the_tool_does_not_exist() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    assert!(!tools(&agent).await.contains(&"access_request".to_owned()));
    let answer = agent
        .call("access_request", ahead("sql_execute", &change(RAISE)))
        .await;
    assert_eq!(answer["code"], json!(-32602), "{answer}");
    super::changes::end(&all.site, server).await;
}

/// Nobody is given more time than they asked for; the asking is found under what it is about from its intent on.
#[tokio::test(flavor = "multi_thread")]
async fn the_minutes_that_were_asked_for_bound_what_people_grant() {
    let mut all = governed().await;
    let server = all.serve().await;
    let (agent, lea) = (dan(&all.site), all.person("lea", &["dba"]));
    let mut asked = ahead("sql_execute", &change(RAISE));
    for wrong in [json!(0), json!(-1), json!("10"), json!(1.5)] {
        asked["minutes"] = wrong;
        assert_eq!(
            code(&agent.call("access_request", asked.clone()).await),
            "invalid_arguments"
        );
    }
    asked["minutes"] = json!(5);
    let answer = agent.call("access_request", asked.clone()).await;
    let id = pending(&answer);
    let call = envelope(&answer)["call_id"].as_str().unwrap();
    let records = history(&all.site, call).await;
    for record in records["records"].as_array().unwrap() {
        assert_eq!(record["resource"], "shop", "{records}");
    }
    let sheet = lea.asked().await;
    assert_eq!(sheet["offer"]["minutes"], json!(5), "{sheet}");
    let path = format!("/{id}/approve");
    let granted = async |minutes: u32| {
        let wish = json!({"minutes": minutes, "uses": 2});
        let body = json!({"action_sha256": sheet["action_sha256"], "for": wish});
        lea.api(Method::POST, &path, Some(&body)).await
    };
    let (status, why) = granted(6).await;
    assert!(status == 422 || status == 409 || status == 400, "{status} {why}");
    assert!(why.to_string().contains("1 to 5 minutes"), "{why}");
    assert_eq!(granted(5).await.0, 200);
    let answer = agent.call("access_request", asked).await;
    assert_eq!(envelope(&answer)["data"]["access"], "granted", "{answer}");
    // More than policy allows is what policy allows.
    let mut more = ahead(
        "sql_execute",
        &change("UPDATE products SET price_cents = price_cents + 1 WHERE id = 2"),
    );
    more["minutes"] = json!(100_000);
    pending(&agent.call("access_request", more).await);
    assert_eq!(lea.asked().await["offer"]["minutes"], json!(30));
    super::changes::end(&all.site, server).await;
}

/// Asking ahead for what the target does not take measures, and takes no place among what waits: so it has an end. What can
/// only be approved one by one is refused before anything is measured.
#[tokio::test(flavor = "multi_thread")]
async fn measuring_without_a_request_has_an_end() {
    let mut all = governed().await;
    let folder = all.site.dir.path().join("policies");
    std::fs::remove_dir_all(folder.join("tests")).unwrap();
    let more = r#"@id("dba-changes-structure") permit (principal in Tollgate::Group::"dba",
        action == Tollgate::Action::"sql_ddl", resource in Tollgate::Label::"shop");"#;
    std::fs::write(folder.join("90-here.cedar"), more).unwrap();
    let server = all.serve().await;
    let agent = dan(&all.site);
    let structure = change("CREATE TABLE notes (id INTEGER PRIMARY KEY)");
    let structure = ahead("sql_execute", &structure);
    let asked = phase(&all.site, "intent").await.len();
    for _ in 0..21 {
        let answer = agent.call("access_request", structure.clone()).await;
        assert_eq!(code(&answer), "approval_unavailable", "{answer}");
    }
    assert_eq!(
        phase(&all.site, "intent").await.len(),
        asked + 21,
        "none measured"
    );
    let never = ahead("sql_execute", &change("UPDATE products SET id = 2 WHERE id = 1"));
    for _ in 0..20 {
        let answer = agent.call("access_request", never.clone()).await;
        assert!(message(&answer).contains("could not be established"), "{answer}");
    }
    let measured = phase(&all.site, "intent").await.len();
    let answer = agent.call("access_request", never).await;
    assert_eq!(code(&answer), "limit_exceeded", "{answer}");
    assert!(message(&answer).contains("ahead"), "{answer}");
    // One intent more, of the asking, and none of a measurement.
    assert_eq!(phase(&all.site, "intent").await.len(), measured + 1);
    // Calls are asked about as ever, and so is somebody else's asking.
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let other = Agent::new(&all.site, "pat", &["dba"]);
    let theirs = change("UPDATE products SET price_cents = price_cents + 2 WHERE id = 3");
    pending(&other.call("access_request", ahead("sql_execute", &theirs)).await);
    assert!(!id.is_empty());
    super::changes::end(&all.site, server).await;
}
