//! Who may do what, as one page a reviewer can read: users × tools × resources → decision, asked of a
//! running Tollgate with the shipped policies and tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use tollgate::audit::list::Query;

use crate::support::site::{Site, envelope, root};

const USERS: &[(&str, &[&str])] = &[
    ("analyst", &["analyst"]),
    ("developer", &["developer"]),
    ("dba", &["dba"]),
    ("analyst+developer", &["analyst", "developer"]),
    ("nobody", &["somewhere-else"]),
];

const NOBODY_DECIDES: &str = "nobody decides here; effects::changes and effects::commands show it";

/// Shipped policies that no call of this version can meet, and why.
const NOT_MET: &[(&str, &str)] = &[
    (
        "analyst-finds-by-email",
        "no class of the demo has tokens; its decision tests show it",
    ),
    ("dba-changes-shop", NOBODY_DECIDES),
    ("dba-approves-shop", NOBODY_DECIDES),
    ("developer-approves-work", NOBODY_DECIDES),
    (
        "no-key-files",
        "the repository hides such files before policy is asked",
    ),
    (
        "cards-stay-masked",
        "it forbids what nothing permits; its decision tests show it",
    ),
];

/// A change that an operator declares.
const REFUND: &str = r#"name = "refund"
title = "Refund an order"
description = "Marks an order as refunded."
kind = "sqlite"
execute = "UPDATE orders SET status = 'refunded' WHERE id = :order_id"
[parameters.order_id]
type = "integer"
description = "orders.id"
"#;

/// The same as the last of two steps.
const LOOK_AND_REFUND: &str = r#"name = "look_and_refund"
title = "Look at an order and refund it"
description = "Shows an order, then marks it as refunded."
[parameters.database]
type = "string"
description = "Resource name"
[parameters.order_id]
type = "integer"
description = "orders.id"
[[step]]
tool = "sql_query"
[step.arguments]
resource = "{database}"
statement = "SELECT id, status FROM orders WHERE id = :id"
parameters = { id = "{order_id}" }
[[step]]
tool = "refund"
arguments = { resource = "{database}", order_id = "{order_id}" }
"#;

/// One harmless call of every tool. A tool that is not here fails the test.
fn arguments(tool: &str, resource: &str) -> Value {
    match tool {
        "list_resources" => json!({}),
        "file_list" => json!({ "resource": resource, "path": "" }),
        "file_read" => json!({ "resource": resource, "path": "README.md" }),
        "file_search" => json!({ "resource": resource, "pattern": "shop" }),
        "sql_schema" => json!({ "resource": resource }),
        "sql_query" => {
            json!({ "resource": resource, "statement": "SELECT id, email FROM customers LIMIT 1" })
        }
        "sql_execute" => {
            json!({ "resource": resource, "statement": "UPDATE orders SET status = status WHERE id = 1" })
        }
        "shell_run" => json!({ "resource": resource, "argv": ["ls"] }),
        "shell_run: script" => json!({ "resource": resource, "argv": ["bash", "-c", "true"] }),
        "shell_run: change" => json!({ "resource": resource, "argv": ["ls"], "change": true }),
        "sql_execute: all" => {
            json!({ "resource": resource, "statement": "UPDATE reviews SET rating = 1" })
        }
        "refund" => json!({ "resource": resource, "order_id": 7 }),
        "look_and_refund" => json!({ "database": resource, "order_id": 8 }),
        "approval_wait" => json!({ "approval_id": "none" }),
        "orders_of_customer" => json!({ "resource": resource, "customer_id": 1 }),
        "top_products" => json!({ "resource": resource, "from": "2024-01-01", "to": "2025-12-31" }),
        "revenue_by_month" => json!({ "resource": resource, "year": 2025 }),
        "customer_overview" => json!({ "database": resource, "customer_id": 1 }),
        "find_text" => json!({ "resource": resource, "text": "shop" }),
        other => panic!("add the tool `{other}` to the matrix"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_user_tool_and_resource() {
    let mut site = Site::new().await;
    site.add_control(1, "people"); // somebody could decide; nobody does
    site.configure("[approval]\nhold_seconds = 0\npending_per_person = 100\n");
    for (name, text) in [("refund", REFUND), ("look_and_refund", LOOK_AND_REFUND)] {
        std::fs::write(site.dir.path().join(format!("tools/{name}.toml")), text).unwrap();
    }
    let server = site.serve().await;
    let mut page = String::new();
    let mut seen = BTreeSet::new();
    let everybody = site.client_in("all", &["analyst", "developer", "dba"]);
    let mut tools: Vec<String> = everybody
        .tools()
        .await
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    tools.extend(["sql_execute: all", "shell_run: script", "shell_run: change"].map(str::to_owned));
    for (user, groups) in USERS {
        let client = site.client_in(user, groups);
        writeln!(page, "{user}").unwrap();
        for tool in &tools {
            let mut row = format!("  {tool:<20}");
            let name = tool.split(':').next().unwrap();
            for resource in ["shop", "code", "work", "elsewhere"] {
                let word = match client.call(name, arguments(tool, resource)).await {
                    Ok(result) => word(&result),
                    Err(error) => {
                        assert!(error.to_string().contains("Unknown tool"), "{error}");
                        "-".to_owned()
                    }
                };
                write!(row, " {resource}: {word:<24}").unwrap();
            }
            seen.insert(tool.clone());
            writeln!(page, "{}", row.trim_end()).unwrap();
        }
    }
    writeln!(
        page,
        "a service of all these groups, whose key names {} on shop and work",
        SERVICE_TOOLS.join(", ")
    )
    .unwrap();
    let service = service(&site).await;
    for tool in &tools {
        let mut row = format!("  {tool:<20}");
        let name = tool.split(':').next().unwrap();
        for resource in ["shop", "code", "work", "elsewhere"] {
            let word = match service.call(name, arguments(tool, resource)).await {
                Ok(result) => word(&result),
                Err(_) => "-".to_owned(),
            };
            write!(row, " {resource}: {word:<24}").unwrap();
        }
        writeln!(page, "{}", row.trim_end()).unwrap();
    }
    let unvouched = site.unvouched_client("analyst", &["analyst"]);
    let arguments = arguments("sql_query", "shop");
    let answer = word(&unvouched.call("sql_query", arguments).await.unwrap());
    writeln!(
        page,
        "analyst, through an agent nobody vouches for\n  sql_query            shop: {answer}"
    )
    .unwrap();
    server.stop().await;
    writeln!(page, "policies that decided").unwrap();
    for (id, verdicts) in decided(&site).await {
        writeln!(
            page,
            "  {id:<40} {}",
            verdicts.into_iter().collect::<Vec<_>>().join(", ")
        )
        .unwrap();
    }
    insta::assert_snapshot!(page);
    let policies = std::fs::read_dir(root().join("policies")).unwrap();
    for file in policies
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension() == Some("cedar".as_ref()))
    {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let Some(id) = line
                .strip_prefix("@id(\"")
                .and_then(|rest| rest.strip_suffix("\")"))
            else {
                continue;
            };
            assert!(
                page.contains(id) || NOT_MET.iter().any(|(one, _)| *one == id),
                "policy {id} is not in the matrix"
            );
        }
    }
    for file in std::fs::read_dir(root().join("tools")).unwrap() {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        // A command exists only where there is a folder to run it in.
        let shell = std::fs::read_to_string(root().join("tools").join(&name))
            .unwrap()
            .contains("kind = \"shell\"");
        let runs = std::fs::read_to_string(site.config())
            .unwrap()
            .contains("kind = \"shell\"");
        if let Some(tool) = name.strip_suffix(".toml").filter(|_| runs || !shell) {
            assert!(seen.contains(tool), "tools/{name} does not appear in the matrix");
        }
    }
}

/// What the service of the matrix may call; a tool with steps without those of its steps.
const SERVICE_TOOLS: [&str; 5] = [
    "sql_query",
    "file_read",
    "shell_run",
    "list_resources",
    "customer_overview",
];

/// A service in every group whose key names little.
async fn service(site: &Site) -> tollgate::demo::client::Client {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let terms = tollgate::identity::services::Terms {
        service: "matrix".to_owned(),
        groups: words(&["analyst", "developer", "dba"]),
        tools: words(&SERVICE_TOOLS),
        resources: words(&["shop", "work"]),
        life: std::time::Duration::from_secs(3600),
    };
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let change = tollgate::app::KeyChange::Create(terms);
    let (_, key) = tollgate::app::keys_change(&config, change).await.unwrap();
    let http = tollgate::app::http_client().unwrap();
    let key = key.unwrap().expose().to_owned();
    tollgate::demo::client::Client::new(http, &site.endpoint(), key, "test")
}

/// Policy id → how the calls ended that it decided, from the journal.
async fn decided(site: &Site) -> BTreeMap<String, BTreeSet<String>> {
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let query = Query {
        limit: 1_000,
        ..Query::default()
    };
    let mut decided: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in tollgate::app::audit_replay(&config, &query).await.unwrap().items {
        let outcome = &step.outcome["outcome"];
        let how = outcome["code"]
            .as_str()
            .or(outcome["status"].as_str())
            .unwrap()
            .to_owned();
        for (list, how) in [("ids", how.as_str()), ("satisfied", "met")] {
            for id in step.outcome["policy"][list].as_array().into_iter().flatten() {
                let id = id.as_str().unwrap().to_owned();
                decided.entry(id).or_default().insert(how.to_owned());
            }
        }
    }
    decided
}

/// `ok`, `ok masked` or the refusal's code.
fn word(result: &Value) -> String {
    let envelope = envelope(result);
    match envelope["status"].as_str().unwrap() {
        "approval_pending" => "pending".to_owned(),
        "ok" if envelope.get("masked").is_some_and(|masked| masked != &json!([])) => "ok, masked".to_owned(),
        "ok" => "ok".to_owned(),
        _ => envelope["refusal"]["code"].as_str().unwrap().to_owned(),
    }
}
