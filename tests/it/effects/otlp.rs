//! What a collector gets, decoded by OpenTelemetry's own types.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{RAISE, change, dan};
use crate::support::governed::Governed;

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// In arguments, in a name of a tool, in the collector's own token: in no record of any.
const CANARY: &str = "canary-7Zq";

/// One request: path, headers, body.
type Posted = (String, String, Vec<u8>);

struct Collector {
    url: String,
    got: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let all = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&all)));
            }
        });
        Self { url, got }
    }

    async fn told(&self) -> Value {
        let got = self.got.lock().unwrap().clone();
        let spec: Vec<Value> = got
            .iter()
            .map(|(path, _, body)| json!([path, STANDARD.encode(body)]))
            .collect();
        crate::peers::script("otlp.py", json!(spec)).await
    }
}

async fn take(stream: tokio::net::TcpStream, all: Arc<Mutex<Vec<Posted>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        all.lock().unwrap().push((path, head, body));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).await.unwrap();
    }
}

fn configured(all: &Governed, more: &str) {
    let path = all.site.config();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}\n{more}")).unwrap();
}

fn by_name<'a>(told: &'a Value, name: &str) -> Vec<&'a Value> {
    let spans = told["spans"].as_array().unwrap().iter();
    spans.filter(|span| span["name"] == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_spans_that_nest_and_nothing_that_a_caller_sent() {
    let mut all = Governed::new(0).await;
    let collector = Collector::new().await;
    let token = all.site.dir.path().join("collector.token");
    std::fs::write(&token, format!("Bearer {CANARY}")).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let section = format!(
        "[telemetry]\nendpoint = \"{}\"\n[telemetry.headers]\nauthorization = \"file:{}\"\n\
         [telemetry.attributes]\n\"deployment.environment.name\" = \"test\"\n",
        collector.url,
        token.display()
    );
    configured(&all, &section);
    let server = all.serve().await;
    let agent = dan(&all.site);
    let query = |id: u64, tool: &str, statement: &str| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": tool, "arguments": { "resource": "shop", "statement": statement },
        }})
    };
    let session = agent.open(&json!({})).await;
    let read = format!("SELECT name FROM products WHERE name = '{CANARY}'");
    let send = async |body: Value, trace: &str| {
        let request = agent.older(&session, &body).header("traceparent", trace);
        assert!(request.send().await.unwrap().text().await.is_ok());
    };
    send(query(41, "sql_query", &read), THEIRS).await;
    send(
        query(42, "sql_query", &format!("DROP TABLE \"{CANARY}\"")),
        CANARY,
    )
    .await;
    send(query(43, &format!("tool-{CANARY}"), "SELECT 1"), "").await;
    agent.call("sql_execute", change(RAISE)).await;
    server.terminate();
    assert!(server.exit().await.success());

    let told = collector.told().await;
    let text = told.to_string();
    assert!(
        !text.contains(CANARY) && !text.contains("products") && !text.contains("SELECT"),
        "{text}"
    );
    let person = regex::Regex::new(r"\bdan\b").unwrap(); // letters of an id are no name
    assert!(!person.is_match(&text), "{text}");
    for resource in told["resources"].as_array().unwrap() {
        assert_eq!(resource["service.name"], "tollgate");
        assert_eq!(resource["deployment.environment.name"], "test");
    }
    let got = collector.got.lock().unwrap().clone();
    for (_, head, _) in &got {
        assert!(
            head.contains(&format!("authorization: Bearer {CANARY}")),
            "{head}"
        );
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    }

    let queries = by_name(&told, "tools/call sql_query");
    assert_eq!(queries.len(), 2, "{text}");
    let good = queries
        .iter()
        .find(|span| span["attributes"]["tollgate.outcome"] == "ok")
        .unwrap();
    let attributes = &good["attributes"];
    assert_eq!(attributes["mcp.method.name"], "tools/call");
    assert_eq!(attributes["gen_ai.operation.name"], "execute_tool");
    assert_eq!(attributes["gen_ai.tool.name"], "sql_query");
    assert_eq!(attributes["jsonrpc.request.id"], "41");
    assert_eq!(attributes["network.transport"], "tcp");
    assert!(attributes["mcp.session.id"].is_string() && attributes["tollgate.call.id"].is_string());
    assert_eq!(
        (&good["kind"], &good["parent"]),
        (&json!("SPAN_KIND_SERVER"), &json!(""))
    );
    assert_eq!(
        good["links"],
        json!([["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]])
    );
    assert_eq!(good["status"], "STATUS_CODE_UNSET");
    let bad = queries.iter().find(|span| span["id"] != good["id"]).unwrap();
    assert_eq!(
        (&bad["status"], &bad["links"]),
        (&json!("STATUS_CODE_ERROR"), &json!([]))
    );
    assert!(bad["attributes"]["error.type"].is_string(), "{bad}");
    let unknown = by_name(&told, "tools/call");
    assert_eq!(unknown.len(), 1, "{text}");
    assert_eq!(unknown[0]["attributes"]["error.type"], "unknown_tool");
    assert_eq!(by_name(&told, "tools/call sql_execute").len(), 1, "{text}");

    // Every stage lies in the span it ran in, up to the request.
    let spans = told["spans"].as_array().unwrap();
    let parent = |span: &Value| spans.iter().find(|other| other["id"] == span["parent"]);
    for name in ["inspect", "intent", "policy", "resource", "mask", "settle"] {
        let stage = by_name(&told, name);
        let stage = stage.iter().find(|span| span["trace"] == good["trace"]);
        let stage = stage.unwrap_or_else(|| panic!("{name}: {text}"));
        assert_eq!(stage["kind"], "SPAN_KIND_INTERNAL");
        let mut outer = parent(stage);
        while let Some(up) = outer.filter(|up| up["id"] != good["id"]) {
            outer = parent(up);
        }
        assert!(outer.is_some(), "{name} is not in its request: {text}");
    }
    let lines = told["logs"].as_array().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line["body"].as_str().unwrap().starts_with("serving MCP")),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_slows_no_call_and_what_is_lost_is_counted() {
    let mut all = Governed::new(0).await;
    let port = crate::support::site::Site::free_port()
        .await
        .local_addr()
        .unwrap()
        .port();
    let text = std::fs::read_to_string(all.site.config()).unwrap();
    let listen = format!("[server]\nmetrics_listen = \"127.0.0.1:{port}\"\n");
    std::fs::write(all.site.config(), text.replacen("[server]\n", &listen, 1)).unwrap();
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections, answers nothing
    let section = format!(
        "[telemetry]\nendpoint = \"http://{}\"\n",
        away.local_addr().unwrap()
    );
    configured(&all, &section);
    let server = all.serve().await;
    let agent = dan(&all.site);
    for _ in 0..3 {
        let answer = agent
            .call(
                "sql_query",
                json!({ "resource": "shop", "statement": "SELECT count(*) FROM products" }),
            )
            .await;
        assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    }
    let page = tollgate::app::http_client().unwrap();
    let page = page
        .get(format!("http://127.0.0.1:{port}/metrics"))
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert!(
        page.contains("tollgate_otlp_dropped_total{signal=\"traces\",reason=\"queue_full\"} 0"),
        "{page}"
    );
    server.terminate();
    assert!(server.exit().await.success());
}
