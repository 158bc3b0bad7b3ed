//! The bridge with the official Python SDK on one side and a Tollgate on the other.

use serde_json::{Value, json};

use super::{Machine, Place, text};
use crate::peers::python;
use crate::support::BINARY;
use crate::support::site::Site;

const ERAS: [(&str, &str); 2] = [("auto", "2026-07-28"), ("legacy", "2025-11-25")];

fn session(machine: &Machine, server: &str, mode: &str, env: Value) -> Value {
    let mut all = json!({"HOME": machine.home.path()});
    for (name, value) in env.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({
        "command": BINARY, "args": ["stdio", "--server", server], "env": all, "mode": mode, "calls": [
            ["list_resources", {}],
            ["sql_query", { "resource": "shop", "statement": "SELECT email FROM customers ORDER BY id LIMIT 2" }],
            ["sql_query", { "resource": "shop", "statement": "DELETE FROM customers" }],
        ],
    })
}

fn assert_served(told: &Value, protocol: &str) {
    assert_eq!(told["protocol"], protocol, "{told}");
    let results = told["results"].as_array().unwrap();
    assert_eq!(
        results[0]["structured"]["data"]["resources"][0]["name"], "shop",
        "{told}"
    );
    assert_eq!(results[1]["structured"]["status"], "ok", "{told}");
    assert!(!results[1].to_string().contains("@example"), "{told}");
    assert_eq!(results[2]["structured"]["status"], "refused", "{told}");
}

fn assert_logged_out(told: &Value, protocol: &str, server: &str) {
    assert_eq!(told["protocol"], protocol, "{told}");
    let built_in = [
        "list_resources",
        "file_list",
        "file_read",
        "file_search",
        "sql_schema",
        "sql_query",
        "sql_execute",
        "shell_run",
        "approval_wait",
    ];
    let mut tools: Vec<&str> = told["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    tools.sort_unstable();
    let mut expected = built_in.to_vec();
    expected.sort_unstable();
    assert_eq!(tools, expected);
    for result in told["results"].as_array().unwrap() {
        assert_eq!(result["is_error"], true, "{told}");
        assert_eq!(result["structured"]["refusal"]["code"], "not_permitted", "{told}");
        let advice = result["structured"]["refusal"]["try"].as_str().unwrap();
        assert!(
            advice.contains(&format!("tollgate login --server {server}")),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reaches_the_server_with_a_login_in_both_eras() {
    let place = Place::new().await;
    let machine = place.person().await;
    for (mode, protocol) in ERAS {
        machine.age(); // the bridge renews it
        let told = python(session(&machine, &place.site.url, mode, json!({}))).await;
        assert_served(&told, protocol);
    }
    assert_eq!(place.provider.counts().await["refresh_token"], 2);
    place.server.stop().await;
}

/// A token that the server does not take, although it has not expired, is renewed once.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_is_renewed_once() {
    let place = Place::new().await;
    let machine = place.person().await;
    let mut kept = machine.kept();
    kept["tokens"]["access"] = json!("not-one-of-yours");
    std::fs::write(machine.file(), kept.to_string()).unwrap();
    let told = python(session(&machine, &place.site.url, "auto", json!({}))).await;
    assert_served(&told, "2026-07-28");
    assert_eq!(place.provider.counts().await["refresh_token"], 1);
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_login_sees_the_built_in_tools_and_is_told_what_to_do() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let machine = Machine::new();
    for (mode, protocol) in ERAS {
        let told = python(session(&machine, &site.url, mode, json!({}))).await;
        assert_logged_out(&told, protocol, &site.url);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_brings_its_token_in_the_environment() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let machine = Machine::new();
    let token = site.token("ana", &["analyst"]);
    for (mode, protocol) in ERAS {
        let told = python(session(
            &machine,
            &site.url,
            mode,
            json!({"TOLLGATE_TOKEN": token}),
        ))
        .await;
        assert_served(&told, protocol);
        let env = json!({"TOLLGATE_ID_TOKEN_ENV": "JOB_TOKEN", "JOB_TOKEN": token});
        assert_served(&python(session(&machine, &site.url, mode, env)).await, protocol);
    }
    let mut command = machine.command(&["token", "--server", &site.url]);
    command.env("TOLLGATE_TOKEN", &token);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert_eq!(text(&output).trim(), token);
    // One that the server does not take: every call says so, and nothing else is tried.
    let told = python(session(
        &machine,
        &site.url,
        "auto",
        json!({"TOLLGATE_TOKEN": "nonsense"}),
    ))
    .await;
    let refusal = &told["results"][0]["structured"]["refusal"];
    assert_eq!(refusal["code"], "not_permitted", "{told}");
    assert!(
        refusal["message"].as_str().unwrap().contains("TOLLGATE_TOKEN"),
        "{told}"
    );
    server.stop().await;
}
