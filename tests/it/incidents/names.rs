//! Incidents in which something was refused in one place and allowed in another, or told apart what
//! must look the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::process::phase;
use crate::support::site::{Site, envelope};

const TOOLS: &[(&str, &str)] = &[
    ("sql_query", r#"{"resource":"shop","statement":"SELECT 1"}"#),
    ("sql_schema", r#"{"resource":"shop"}"#),
    ("orders_of_customer", r#"{"resource":"shop","customer_id":1}"#),
    (
        "top_products",
        r#"{"resource":"shop","from":"2024-01-01","to":"2025-12-31"}"#,
    ),
    ("revenue_by_month", r#"{"resource":"shop","year":2025}"#),
    ("file_read", r#"{"resource":"code","path":"README.md"}"#),
    ("file_list", r#"{"resource":"code","path":""}"#),
    ("file_search", r#"{"resource":"code","pattern":"shop"}"#),
];

fn arguments(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The same catalogue decides in `tools/list` and in `tools/call`, in both eras, for built-in and for
/// declared tools: what is not listed is not there.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_20_38_a_tool_that_is_not_listed_cannot_be_called() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    for (user, groups) in [
        ("ana", &["analyst"][..]),
        ("dev", &["developer"]),
        ("nobody", &["elsewhere"]),
    ] {
        let client = site.client_in(user, groups);
        let agent = Agent::new(&site, user, groups);
        let session = agent.open(&json!({})).await;
        let listed: BTreeSet<String> = client
            .tools()
            .await
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect();
        let invented = agent.call("sql_exec", json!({})).await;
        for (id, (tool, text)) in (1..).zip(TOOLS) {
            let newer = agent.call(tool, arguments(text)).await;
            let call = agent.older_call(&session, id, tool, &arguments(text)).send();
            let older: Value = crate::support::agent::last(call.await.unwrap()).await;
            if listed.contains(*tool) {
                assert_eq!(envelope(&newer)["status"], json!("ok"), "{user} {tool}: {newer}");
                assert_eq!(
                    envelope(&older["result"])["status"],
                    json!("ok"),
                    "{user} {tool}: {older}"
                );
            } else {
                assert_eq!(newer, invented, "{user} {tool} looks like a tool nobody has");
                assert_eq!(older["error"], invented, "{user} {tool}");
            }
        }
    }
    server.stop().await;
    let unknown = phase(&site, "refusal").await;
    assert!(
        unknown
            .iter()
            .all(|record| record.code.as_deref() == Some("unknown_tool")),
        "{unknown:?}"
    );
    assert!(
        phase(&site, "intent")
            .await
            .iter()
            .all(|intent| intent.user.as_deref() != Some("test#nobody"))
    );
}

/// Rows 45 and 31: a resource that exists for others and one that exists for nobody are the same to
/// whoever has neither.
#[tokio::test(flavor = "multi_thread")]
async fn incident_45_what_is_somebody_elses_looks_like_nothing() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    for (groups, theirs, tools) in [
        (
            &["analyst"][..],
            "code",
            ["sql_query", "sql_schema", "revenue_by_month"],
        ),
        (&["developer"], "shop", ["file_read", "file_list", "file_search"]),
    ] {
        let client = site.client_in("user", groups);
        for tool in tools {
            let (_, text) = TOOLS.iter().find(|(name, _)| *name == tool).unwrap();
            let mut answers = [theirs, "nope"].map(|_| Value::Null);
            for (answer, name) in answers.iter_mut().zip([theirs, "nope"]) {
                let mut arguments = arguments(text);
                arguments["resource"] = json!(name);
                *answer = client.call(tool, arguments).await.unwrap();
                assert_eq!(
                    envelope(answer)["refusal"]["code"],
                    json!("unknown_resource"),
                    "{answer}"
                );
                let text = answer.to_string().replace(&format!("`{name}`"), "`?`");
                let call = envelope(answer)["call_id"].as_str().unwrap().to_owned();
                *answer = serde_json::from_str(&text.replace(&call, "?")).unwrap();
            }
            assert_eq!(answers[0], answers[1], "{tool}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_h8_lists_hold_what_is_the_callers() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let names = |result: &Value| -> Vec<String> {
        let resources = envelope(result)["data"]["resources"].as_array().unwrap();
        let names = resources
            .iter()
            .map(|resource| resource["name"].as_str().unwrap().to_owned());
        names.collect()
    };
    for (groups, expected) in [
        (&["analyst"][..], &["shop"][..]),
        (&["developer"], &["code", "work"]),
        (&["analyst", "developer"], &["code", "shop", "work"]),
    ] {
        let listed = site
            .client_in("user", groups)
            .call("list_resources", json!({}))
            .await
            .unwrap();
        assert_eq!(names(&listed), expected, "{groups:?}");
        for kind in ["git", "sqlite", "shell"] {
            let listed = site
                .client_in("user", groups)
                .call("list_resources", json!({ "kind": kind }))
                .await
                .unwrap();
            assert!(
                names(&listed)
                    .iter()
                    .all(|name| expected.contains(&name.as_str())),
                "{listed}"
            );
        }
    }
    let nobody = site.client_in("nobody", &["elsewhere"]);
    assert!(nobody.call("list_resources", json!({})).await.is_err());
    assert_eq!(nobody.tools().await.unwrap(), Vec::<Value>::new());
    server.stop().await;
}

/// Row H11: no argument is a command line or a script, but for those of the one tool that starts programs;
/// and that one takes no environment, no input and no shell beside them.
#[tokio::test(flavor = "multi_thread")]
async fn incident_h11_every_argument_is_named_typed_and_closed() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let tools = site
        .client_in("root", &["analyst", "developer", "dba"])
        .tools()
        .await
        .unwrap();
    assert!(tools.len() >= 9);
    for tool in &tools {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["additionalProperties"], json!(false), "{tool}");
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(
                !["script", "args", "env", "shell", "stdin", "cwd"].contains(&name.as_str()),
                "{tool}"
            );
            let line = ["command", "argv"].contains(&name.as_str());
            assert!(!line || tool["name"] == json!("shell_run"), "{tool}");
            let typed = ["type", "enum", "anyOf", "oneOf", "$ref"]
                .iter()
                .any(|key| property.get(*key).is_some());
            assert!(typed, "{name} of {tool}");
        }
    }
    server.stop().await;
}
