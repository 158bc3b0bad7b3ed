//! Incidents with doors that stood open: no authentication, foreign pages, control beside data, defaults.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::process::{Process, phase, records, tollgate, verify};
use crate::support::site::{Site, envelope};

fn list() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "x", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    }}})
}

fn request(site: &Site, method: Method, path: &str) -> reqwest::RequestBuilder {
    tollgate::app::http_client()
        .unwrap()
        .request(method, format!("{}{path}", site.url))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .json(&list())
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_13_18_44_loopback_is_no_reason_to_let_anybody_in() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let good = site.token("ana", &["analyst"]);
    let welcome = request(&site, Method::POST, "/mcp")
        .bearer_auth(&good)
        .send()
        .await
        .unwrap();
    assert_eq!(welcome.status(), 200, "with a token it is served");
    let other = site
        .issuer
        .token("https://elsewhere.example.com/mcp", "ana", &["analyst"]);
    let headers = [
        None,
        Some(("authorization", String::new())),
        Some(("authorization", "Bearer".to_owned())),
        Some(("authorization", "Bearer undefined".to_owned())),
        Some(("authorization", format!("Basic {good}"))),
        Some(("authorization", format!("Bearer {other}"))),
        Some(("x-api-key", good.clone())),
        Some(("x-forwarded-user", "ana".to_owned())),
        Some(("x-forwarded-for", "127.0.0.1".to_owned())),
        Some(("router-key", "default".to_owned())),
        Some(("cookie", format!("access_token={good}"))),
    ];
    for method in [Method::POST, Method::GET, Method::DELETE] {
        for path in ["/mcp".to_owned(), format!("/mcp?access_token={good}")] {
            for header in &headers {
                let mut request = request(&site, method.clone(), &path);
                if let Some((name, value)) = header {
                    request = request.header(*name, value);
                }
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 401, "{method} {path} {header:?}");
                let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
                assert!(challenge.contains("resource_metadata="), "{challenge}");
            }
        }
    }
    server.stop().await;
    assert_eq!(
        phase(&site, "refusal").await.len(),
        0,
        "a stranger cannot fill the journal"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_42_a_page_in_a_browser_reaches_nothing_even_with_a_token() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let good = site.token("ana", &["analyst"]);
    let port = site.url.rsplit(':').next().unwrap().to_owned();
    for (name, value) in [
        ("host", "rebound.example.com".to_owned()),
        ("host", format!("rebound.example.com:{port}")),
        ("host", "127.0.0.1".to_owned()),
        ("origin", "https://rebound.example.com".to_owned()),
        ("origin", "null".to_owned()),
        ("origin", format!("http://127.0.0.1:{port}.example.com")),
        ("origin", format!("https://127.0.0.1:{port}")),
    ] {
        let request = request(&site, Method::POST, "/mcp").bearer_auth(&good);
        let answer = request.header(name, &value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
        assert!(!answer.text().await.unwrap().contains("sql_query"));
    }
    let own = request(&site, Method::POST, "/mcp")
        .bearer_auth(&good)
        .header("origin", &site.url);
    assert_eq!(own.send().await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_h2_no_control_is_reachable_where_agents_are() {
    let mut site = Site::new().await;
    // Whatever policies say, by mistake too.
    site.set_policies(r#"@id("all") permit (principal, action, resource);"#);
    let before = std::fs::read(site.dir.path().join("policies/all.cedar")).unwrap();
    let server = site.serve().await;
    let client = site.client_in("root", &["analyst", "developer", "dba"]);
    let tools = client.tools().await.unwrap();
    assert!(tools.len() > 6);
    for tool in &tools {
        let name = tool["name"].as_str().unwrap();
        // Databases and work folders, never Tollgate itself; whatever starts programs counts.
        let changes = ["sql_execute", "shell_run", "find_text"].contains(&name);
        assert_eq!(tool["annotations"]["readOnlyHint"], json!(!changes), "{tool}");
        for word in [
            "approve", "policy", "policies", "audit", "admin", "guard", "config", "token", "reload", "user",
        ] {
            assert!(!name.contains(word), "{name}");
        }
    }
    for name in [
        "approve",
        "approval_approve",
        "policy_reload",
        "policy_write",
        "audit_erase",
        "administer",
        "reveal",
        "measure",
    ] {
        let error = client.call(name, json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), "Unknown tool", "{name}");
    }
    let good = site.token("root", &["dba"]);
    for path in [
        "/",
        "/admin",
        "/console",
        "/approvals",
        "/policies",
        "/audit",
        "/api",
        "/reload",
        "/metrics",
        "/demo/token",
        "/mcp/admin",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let answer = request(&site, method.clone(), path)
                .bearer_auth(&good)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 404, "{method} {path}");
        }
    }
    server.stop().await;
    assert_eq!(
        std::fs::read(site.dir.path().join("policies/all.cedar")).unwrap(),
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_h10_what_nobody_configured_is_closed() {
    // No policy: nothing is allowed, nothing is listed.
    let mut site = Site::new().await;
    site.set_policies("");
    let server = site.serve().await;
    let client = site.client_in("root", &["analyst", "developer", "dba"]);
    assert_eq!(client.tools().await.unwrap(), Vec::<Value>::new());
    let query = json!({ "resource": "shop", "statement": "SELECT 1" });
    assert_eq!(
        client.call("sql_query", query).await.unwrap_err().to_string(),
        "Unknown tool"
    );
    server.stop().await;

    // A column nobody classified is masked, and so is one that came after the start.
    let mut site = Site::new().await;
    let shop = rusqlite::Connection::open(site.dir.path().join("shop.db")).unwrap();
    shop.execute_batch("ALTER TABLE customers ADD COLUMN nick TEXT DEFAULT 'Falcon'")
        .unwrap();
    let server = site.serve().await;
    shop.execute_batch("ALTER TABLE customers ADD COLUMN late TEXT DEFAULT 'Kestrel'")
        .unwrap();
    let client = site.client_in("ana", &["analyst"]);
    let query = json!({ "resource": "shop", "statement": "SELECT id, nick, late, nick || late FROM customers LIMIT 1" });
    let answer = client.call("sql_query", query).await.unwrap();
    assert_eq!(envelope(&answer)["data"]["rows"][0][0], json!(1), "{answer}");
    assert!(
        !answer.to_string().contains("Falcon") && !answer.to_string().contains("Kestrel"),
        "{answer}"
    );
    server.stop().await;
}

/// Row H13, and 19: whoever writes into the journal's file is found out.
#[tokio::test(flavor = "multi_thread")]
async fn incident_h13_a_changed_journal_does_not_verify() {
    let mut site = Site::for_process().await;
    site.configure("[audit]\ncheckpoint_file = \"checkpoints\"\n");
    let server = Process::serve(&mut site, &[]).await;
    let client = site.client_in("ana", &["analyst"]);
    for n in 1..=5 {
        let query = json!({ "resource": "shop", "statement": format!("SELECT {n}") });
        client.call("sql_query", query).await.unwrap();
    }
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    let held = std::fs::read_to_string(site.dir.path().join("checkpoints")).unwrap();
    let last = held.trim_end().split("\n\n\n").last().unwrap_or(&held).to_owned();
    assert!(last.contains('—'), "a signed note: {held}");
    assert_eq!(verify(&site, &[])["intact"], json!(true));
    let journal = site.dir.path().join("journal.db");
    let whole = std::fs::read(&journal).unwrap();
    for (change, fault) in [
        (
            "UPDATE journal SET record = CAST(replace(CAST(record AS TEXT), 'SELECT 2', 'SELECT 9') AS BLOB)",
            "record",
        ),
        (
            "UPDATE journal SET user = 'test#somebody' WHERE phase = 'result'",
            "index",
        ),
        ("DELETE FROM journal WHERE seq = 3", "order"),
        ("DELETE FROM journal WHERE seq > 4", "truncated"),
        (
            "UPDATE payload SET data = zeroblob(length(data))",
            "payload_changed",
        ),
        ("DELETE FROM payload", "payload_missing"),
    ] {
        std::fs::write(&journal, &whole).unwrap();
        let store = rusqlite::Connection::open(&journal).unwrap();
        let triggers: Vec<String> = {
            let mut named = store
                .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
                .unwrap();
            let names = named.query_map([], |row| row.get(0)).unwrap();
            names.map(Result::unwrap).collect()
        };
        for trigger in triggers {
            store
                .execute_batch(&format!("DROP TRIGGER \"{trigger}\""))
                .unwrap();
        }
        assert!(store.execute(change, []).unwrap() > 0, "{change}");
        store.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").ok();
        drop(store);
        let report = verify(&site, &[]);
        assert_eq!(report["intact"], json!(false), "{change}");
        let faults = report["problems"].to_string();
        assert!(
            faults.contains(&format!("\"fault\":\"{fault}\"")),
            "{change}: {faults}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incident_17_a_typing_mistake_keeps_the_server_from_starting() {
    let site = Site::for_process().await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    for (right, wrong) in [
        ("[policies]", "[policy]"),
        ("labels = ", "lables = "),
        ("kind = \"sqlite\"", "kind = \"sqlite\"\nread_only-true = true"),
        ("hidden = [", "hiden = ["),
        (
            "\"customers.email\" = \"email\"",
            "\"customers.email\" = \"emial\"",
        ),
        (
            "\"customers.email\" = \"email\"",
            "\"customers.emial\" = \"email\"",
        ),
        ("email = \"constant\"", "email = \"const\""),
        ("audience = ", "audiance = "),
    ] {
        let changed = text.replacen(right, wrong, 1);
        assert_ne!(changed, text, "{right} is not in the configuration");
        std::fs::write(site.config(), &changed).unwrap();
        for command in ["serve", "stdio"] {
            let output = tollgate(&site, &[command]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command} with {wrong}: {said}");
            assert!(!said.contains("serving MCP"), "{said}");
        }
    }
    std::fs::write(site.config(), &text).unwrap();
    // A name that only the database knows is found when it is opened; no call was taken before.
    let written = records(&site, tollgate::store::read::RecordFilter::default()).await;
    assert!(
        written.iter().all(|record| record.phase == "config"),
        "{written:?}"
    );
}
