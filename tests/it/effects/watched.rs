//! What those who watch the server are told, read by Prometheus' own parser.

use serde_json::{Value, json};

use super::{RAISE, change, dan, pending};
use crate::support::governed::Governed;
use crate::support::site::Site;

/// The value of the sample with these labels; `None` where there is none.
fn sample(page: &Value, name: &str, labels: &Value) -> Option<f64> {
    let samples = page[name].as_array()?.iter();
    let mut with = samples.filter(|sample| sample[0] == *labels);
    let value = with.next()?[1].as_f64();
    assert!(with.next().is_none(), "{name} {labels} twice");
    value
}

struct Watched {
    url: String,
}

impl Watched {
    async fn get(&self, path: &str) -> (u16, String) {
        let http = tollgate::app::http_client().unwrap();
        let answer = http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn page(&self) -> Value {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        crate::peers::script("metrics.py", json!(text)).await
    }
}

async fn watched() -> (Governed, Watched) {
    let all = Governed::new(0).await;
    let port = Site::free_port().await.local_addr().unwrap().port();
    let text = std::fs::read_to_string(all.site.config()).unwrap();
    let listen = format!("[server]\nmetrics_listen = \"127.0.0.1:{port}\"\n");
    std::fs::write(all.site.config(), text.replacen("[server]\n", &listen, 1)).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    (all, Watched { url })
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_what_calls_and_people_did() {
    let (mut all, watched) = watched().await;
    let server = all.serve().await;
    let before = watched.page().await;
    let pending_now = |page: &Value| sample(page, "tollgate_approvals", &json!({ "state": "pending" }));
    assert_eq!(pending_now(&before), Some(0.0), "{before}");
    assert_eq!(
        sample(&before, "tollgate_journal_takes_calls", &json!({})),
        Some(1.0)
    );

    let agent = dan(&all.site);
    let _ = pending(&agent.call("sql_execute", change(RAISE)).await);
    agent
        .call(
            "sql_query",
            json!({ "resource": "shop", "statement": "DROP TABLE x" }),
        )
        .await;
    agent.call("no-such-tool\"} 1", json!({})).await;
    let waiting = watched.page().await;
    assert_eq!(pending_now(&waiting), Some(1.0), "{waiting}");

    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    lea.refuse(&sheet, "not today").await;
    let page = watched.page().await;
    assert_eq!(pending_now(&page), Some(0.0), "{page}");
    let calls = |tool: &str, outcome: &str| {
        let labels = json!({ "tool": tool, "outcome": outcome });
        sample(&page, "tollgate_calls_total", &labels)
    };
    assert_eq!(calls("sql_execute", "approval_pending"), Some(1.0), "{page}");
    assert!(calls("sql_query", "wrong_tool").or(calls("sql_query", "statement_refused")) == Some(1.0));
    assert_eq!(
        calls("none", "unknown_tool"),
        Some(1.0),
        "what a caller wrote is in no label"
    );
    let rule = sheet["because"][0][0].as_str().unwrap();
    let event = |event: &str| {
        let labels = json!({ "rule": rule, "event": event });
        sample(&page, "tollgate_approval_transitions_total", &labels)
    };
    assert_eq!(
        (event("requested"), event("refused")),
        (Some(1.0), Some(1.0)),
        "{page}"
    );
    let decided = sample(
        &page,
        "tollgate_approval_decision_seconds_count",
        &json!({ "rule": rule }),
    );
    assert_eq!(decided, Some(1.0));
    for stage in ["call", "inspect", "policy", "settle"] {
        let count = sample(&page, "tollgate_stage_seconds_count", &json!({ "stage": stage }));
        assert!(count.is_some_and(|count| count >= 1.0), "{stage}: {page}");
    }
    let text = watched.get("/metrics").await.1;
    for word in ["dan", "lea", "products", "not today", "no-such-tool"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_say_whether_calls_are_taken_and_nothing_else_is_served() {
    let (mut all, watched) = watched().await;
    let server = all.serve().await;
    assert_eq!(watched.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(watched.get("/readyz").await, (200, "ok\n".to_owned()));
    for path in ["/", "/mcp", "/approvals", "/api/approvals", "/metrics/x"] {
        assert_eq!(watched.get(path).await.0, 404, "{path}");
    }
    let http = tollgate::app::http_client().unwrap();
    let posted = http
        .post(format!("{}/metrics", watched.url))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    let rebound = http
        .get(format!("{}/metrics", watched.url))
        .header("host", "evil.example");
    let rebound = rebound.send().await.unwrap();
    assert_eq!(rebound.status().as_u16(), 421);
    assert!(!rebound.text().await.unwrap().contains("tollgate_"));
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
}
