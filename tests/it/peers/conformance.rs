//! The MCP conformance suite, both requirement sets, against the product itself.
//!
//! Every scenario of a set is run. Those in [`NEEDS_FIXTURES`] ask for tools, prompts or resources with
//! prescribed names and answers, which a product does not have; the list may only shrink.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{node, proxy};
use crate::support::site::Site;

/// Scenario (a prefix where it ends in `*`) → why it cannot pass here.
const NEEDS_FIXTURES: &[(&str, &str)] = &[
    (
        "logging-set-level",
        "no protocol logging: deprecated, and log lines are for operators",
    ),
    (
        "completion-complete",
        "no prompts and no resource templates, so nothing to complete",
    ),
    ("tools-call-*", "calls test_* tools with prescribed answers"),
    (
        "elicitation-sep*",
        "calls test_* tools that elicit prescribed forms",
    ),
    (
        "resources-*",
        "no MCP resources: what a resource is here is only reached through tools",
    ),
    (
        "prompts-*",
        "no prompts: words put into a model's mouth are not ours to serve",
    ),
    ("sep-2164-resource-not-found", "no MCP resources"),
    (
        "input-required-result-*",
        "calls test_input_required_result_* tools",
    ),
    (
        "tasks-*",
        "calls greet, slow_compute and test_* tools that become tasks by themselves",
    ),
    ("json-schema-2020-12", "lists a json_schema_2020_12_tool"),
    (
        "http-custom-header-server-validation",
        "calls test tools with x-mcp-header parameters",
    ),
];

/// Single checks that do not hold, in scenarios that otherwise must pass.
const NOT_OURS: &[(&str, &str)] = &[(
    "sep-2575-server-declares-prompts-in-discover",
    "there are no prompts to declare; asked all the same, an empty list serves clients that never look",
)];

fn excepted(scenario: &str) -> bool {
    NEEDS_FIXTURES
        .iter()
        .any(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => scenario.starts_with(prefix),
            None => scenario == *pattern,
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_2025_11_25() {
    conforms("2025-11-25").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_2026_07_28() {
    conforms("2026-07-28").await;
}

async fn conforms(revision: &str) {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let token = site.token("ana", &["analyst", "developer"]);
    let url = proxy::start(&site.url, &token).await + "/mcp";
    let out = site.dir.path().join("conformance").display().to_string();
    let output = node(
        "conformance",
        &["server", "--url", &url, "--requirements", revision, "-o", &out],
        site.dir.path(),
    )
    .await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let results = results(std::path::Path::new(&out));
    assert!(
        results.len() > 20,
        "the suite ran {} scenarios\n{told}",
        results.len()
    );
    for (scenario, failures) in &results {
        if !excepted(scenario) {
            assert!(failures.is_empty(), "{revision} {scenario}: {failures:#?}");
        }
    }
    server.stop().await;
}

/// Scenario → messages of its failed checks.
fn results(out: &std::path::Path) -> BTreeMap<String, Vec<String>> {
    let mut results = BTreeMap::new();
    for entry in std::fs::read_dir(out).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("checks.json")) else {
            continue;
        };
        let checks: Vec<Value> = serde_json::from_str(&text).unwrap();
        // A check that needs a diagnostic tool says itself that it could not be made.
        let untestable = |check: &Value| {
            check["errorMessage"]
                .as_str()
                .is_some_and(|why| why.starts_with("Not testable: server does not list"))
        };
        let failed = checks
            .iter()
            .filter(|check| check["status"] == "FAILURE" && !untestable(check))
            .filter(|check| !NOT_OURS.iter().any(|(id, _)| check["id"] == *id))
            .map(|check| format!("{}: {}", check["id"], check["errorMessage"]))
            .collect();
        // `server-<scenario>-2026-11-22T09-57-51-009Z`
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let stamp = "-2026-11-22T09-57-51-009Z".len();
        let scenario = name
            .strip_prefix("server-")
            .and_then(|rest| rest.get(..rest.len() - stamp));
        results.insert(scenario.unwrap().to_owned(), failed);
    }
    results
}
