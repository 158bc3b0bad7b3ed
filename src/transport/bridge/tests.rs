//! The bridge against a server that says what no Tollgate would: scripted answers on a real socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::events::{Events, TooLong};
use super::message::{Kind, Message};
use super::*;
use crate::clock::System;
use crate::identity::login::LoginError;
use crate::secret::Secret;

/// Gives `token-1`, and after a refusal `token-2` and so on.
#[derive(Debug, Default)]
struct Tokens {
    count: AtomicU64,
    logged_out: bool,
}

impl Credential for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<Secret, LoginError>> {
        Box::pin(async {
            if self.logged_out {
                return Err(LoginError::LoggedOut("https://gate.example.com".to_owned()));
            }
            let count = self.count.load(Ordering::SeqCst) + 1;
            Ok(Secret::new(format!("token-{count}")))
        })
    }

    fn instead<'a>(&'a self, _: &'a Secret) -> BoxFuture<'a, Result<Secret, LoginError>> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.token()
    }
}

/// A server that gives these answers, whole, one for each connection; what it was sent is kept.
struct Script {
    url: Url,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn new(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut answers = VecDeque::from(answers);
            while let Some(answer) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = request(&mut stream).await;
                kept.lock().unwrap().push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            heard,
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// One request, head and body.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        all.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        assert!(read > 0, "{text}");
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn json_answer(body: &Value) -> String {
    answer("200 OK", "content-type: application/json\r\n", &body.to_string())
}

/// The agent's side of a bridge.
struct Agent {
    write: WriteHalf<DuplexStream>,
    read: Lines<BufReader<ReadHalf<DuplexStream>>>,
    bridge: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Agent {
    fn new(url: &Url, tokens: Tokens) -> Self {
        let (ours, theirs) = tokio::io::duplex(1024 * 1024);
        let server = url.as_str().trim_end_matches("/mcp").to_owned();
        let spec = BridgeSpec::new(server, url.clone(), Arc::new(tokens), Arc::new(System::new()));
        let (read, write) = tokio::io::split(theirs);
        let bridge = tokio::spawn(serve(spec, (read, write), CancellationToken::new()));
        let (read, write) = tokio::io::split(ours);
        Self {
            write,
            read: BufReader::new(read).lines(),
            bridge,
        }
    }

    async fn send(&mut self, message: &str) {
        self.write
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = self.read.next_line().await.unwrap().expect("the bridge ended");
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.send(&message.to_string()).await;
        self.next().await
    }

    async fn end(mut self) {
        self.write.shutdown().await.unwrap();
        drop((self.write, self.read));
        self.bridge.await.unwrap().unwrap();
    }
}

fn call(id: u64, name: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": name, "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}},
    })
}

fn done(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}})
}

fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["structuredContent"]["refusal"]["code"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn what_the_body_says_is_repeated_in_headers_and_the_body_is_as_it_was() {
    let script = Script::new(vec![json_answer(&done(1)), json_answer(&done(2))]).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    let line = r#"{"jsonrpc":"2.0", "id":1,"method":"tools/call","params":{"name":"sql_query","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"x":1.0}}"#;
    agent.send(line).await;
    assert_eq!(agent.next().await, done(1));
    let heard = script.heard().remove(0);
    assert!(heard.ends_with(line), "{heard}");
    let lower = heard.to_ascii_lowercase();
    for header in [
        "authorization: bearer token-1",
        "mcp-protocol-version: 2026-07-28",
        "mcp-method: tools/call",
        "mcp-name: sql_query",
        "accept: application/json, text/event-stream",
    ] {
        assert!(lower.contains(&format!("\r\n{header}\r\n")), "{header}: {heard}");
    }
    agent.ask(&call(2, "größe\r\nX: y")).await;
    let heard = script.heard().remove(1);
    assert!(
        heard.contains("=?base64?") && !heard.contains("\r\nX: y"),
        "{heard}"
    );
    agent.end().await;
}

#[tokio::test]
async fn a_401_is_answered_with_another_token_once_and_then_the_agent_is_told() {
    let refused = || answer("401 Unauthorized", "", "");
    let script = Script::new(vec![refused(), json_answer(&done(1)), refused(), refused()]).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    assert_eq!(agent.ask(&call(1, "t")).await, done(1));
    let told = agent.ask(&call(2, "t")).await;
    assert_eq!(refusal(&told), "not_permitted");
    assert!(told.to_string().contains("tollgate login --server"), "{told}");
    let heard = script.heard();
    assert_eq!(heard.len(), 4);
    for (request, token) in heard.iter().zip(["token-1", "token-2", "token-2", "token-3"]) {
        assert!(request.contains(&format!("Bearer {token}")), "{request}");
    }
    agent.end().await;
}

/// The token goes to the server it is for and to nobody the server points to.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Script::new(vec![json_answer(&done(1))]).await;
    let header = format!("location: {}\r\n", elsewhere.url);
    let script = Script::new(vec![answer("307 Temporary Redirect", &header, "")]).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    let told = agent.ask(&call(1, "t")).await;
    assert!(
        told["error"]["message"].as_str().unwrap().contains("HTTP 307"),
        "{told}"
    );
    assert!(elsewhere.heard().is_empty());
    agent.end().await;
}

#[tokio::test]
async fn a_stream_is_brought_message_by_message_until_the_answer() {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
    let other = json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}});
    let body = format!(
        ": hello\r\n\r\nid: 1\r\ndata: {progress}\r\n\r\nevent: message\ndata: {{\"jsonrpc\":\ndata: \"2.0\",\"id\":1,\"method\":\"elicitation/create\",\"params\":{{}}}}\n\ndata: not json\n\ndata: {}\n\n",
        done(1)
    );
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";
    let script = Script::new(vec![format!("{head}{body}")]).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    assert_eq!(agent.ask(&call(1, "t")).await, progress);
    assert_eq!(
        agent.next().await,
        other,
        "a question of the server under the same id is no answer"
    );
    assert_eq!(agent.next().await, done(1));
    agent.end().await;
}

/// Whether it happened is known only when the server says so.
#[tokio::test]
async fn an_answer_that_is_lost_is_an_unknown_outcome_and_one_never_sent_is_not() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"json";
    let answers = [
        format!("{head}data: {{}}\n\n"),
        half.to_owned(),
        String::new(),
        answer("502 Bad Gateway", "", ""),
        answer("200 OK", "content-type: application/json\r\n", "not json"),
    ];
    let count = answers.len() as u64;
    let script = Script::new(answers.to_vec()).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    for id in 1..=count {
        let mut told = agent.ask(&call(id, "t")).await;
        if told == json!({}) {
            told = agent.next().await;
        }
        assert_eq!(refusal(&told), "outcome_unknown", "{told}");
    }
    assert_eq!(script.heard().len() as u64, count, "nothing is sent twice");
    agent.end().await;

    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = Url::parse(&format!("http://{closed}/mcp")).unwrap();
    let mut agent = Agent::new(&url, Tokens::default());
    let told = agent.ask(&call(1, "t")).await;
    assert_eq!(refusal(&told), "internal");
    assert!(told.to_string().contains("nothing was executed"), "{told}");
    agent.end().await;
}

#[tokio::test]
async fn a_server_that_forgot_the_session_is_greeted_again() {
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}});
    let welcome = json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}});
    let opened = |id: &str| {
        let headers = format!("content-type: application/json\r\nmcp-session-id: {id}\r\n");
        answer("200 OK", &headers, &welcome.to_string())
    };
    let script = Script::new(vec![
        opened("first"),
        answer("404 Not Found", "", ""),
        opened("second"),
        answer("202 Accepted", "", ""),
        json_answer(&done(1)),
        answer("204 No Content", "", ""),
    ])
    .await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    assert_eq!(agent.ask(&hello).await, welcome);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(agent.ask(&list).await, done(1));
    agent.end().await;
    let heard = script.heard();
    assert!(heard[1].contains("mcp-session-id: first") && heard[4].contains("mcp-session-id: second"));
    assert!(
        heard[4].contains("mcp-protocol-version: 2025-06-18"),
        "{}",
        heard[4]
    );
    assert!(
        heard[5].starts_with("DELETE ") && heard[5].contains("second"),
        "{}",
        heard[5]
    );
}

#[tokio::test]
async fn logged_out_each_era_is_answered_here_and_nothing_is_sent() {
    let script = Script::new(vec![json_answer(&done(1))]).await;
    let tokens = Tokens {
        logged_out: true,
        ..Tokens::default()
    };
    let mut agent = Agent::new(&script.url, tokens);
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "1999-01-01"}});
    let told = agent.ask(&hello).await;
    assert_eq!(told["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(told["result"]["capabilities"], json!({"tools": {}}));
    agent
        .send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        .await;
    let list = agent
        .ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .await;
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 9);
    assert!(
        list["result"].get("resultType").is_none(),
        "of the newer revision alone"
    );
    assert_eq!(
        agent
            .ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}))
            .await["result"],
        json!({})
    );
    assert_eq!(refusal(&agent.ask(&call(3, "sql_query")).await), "not_permitted");
    let discover = json!({
        "jsonrpc": "2.0", "id": 4, "method": "server/discover",
        "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}},
    });
    assert_eq!(
        agent.ask(&discover).await["result"]["supportedVersions"][0],
        "2026-07-28"
    );
    let unknown = agent
        .ask(&json!({"jsonrpc": "2.0", "id": 5, "method": "prompts/list"}))
        .await;
    assert!(
        unknown["error"]["message"]
            .as_str()
            .unwrap()
            .contains("tollgate login"),
        "{unknown}"
    );
    agent.end().await;
    assert!(script.heard().is_empty());
}

#[tokio::test]
async fn lines_that_are_no_messages_are_answered_and_go_nowhere() {
    let script = Script::new(vec![json_answer(&done(1))]).await;
    let mut agent = Agent::new(&script.url, Tokens::default());
    for (line, code) in [
        ("not json".to_owned(), -32700),
        ("[]".to_owned(), -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#.to_owned(), -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#.to_owned(), -32600),
        (r#"{"jsonrpc":"2.0"}"#.to_owned(), -32600),
        ("[".repeat(100), -32600),
        (format!(r#"{{"a":"{}"}}"#, "a".repeat(5 * 1024 * 1024)), -32600),
    ] {
        agent.send(&line).await;
        assert_eq!(agent.next().await["error"]["code"], code);
    }
    assert!(script.heard().is_empty());
    assert_eq!(agent.ask(&call(1, "t")).await, done(1), "and it goes on");
    agent.end().await;
}

#[test]
fn events_are_the_same_however_the_stream_is_cut() {
    let stream = b"\r\n: c\ndata: one\rdata:two\r\n\r\ndata\nid: 3\n\ndata: \n\ndata: three\n\ndata: rest";
    let whole = Events::new(1024).take(stream).unwrap();
    assert_eq!(whole, [b"one\ntwo".to_vec(), b"three".to_vec()]);
    for size in 1..stream.len() {
        let mut events = Events::new(1024);
        let pieces = stream.chunks(size).flat_map(|piece| events.take(piece).unwrap());
        assert_eq!(pieces.collect::<Vec<_>>(), whole, "{size}");
    }
    assert_eq!(Events::new(10).take(b"data: 0123456789"), Err(TooLong));
    let mut many = Events::new(10);
    let lines = (0..10).try_for_each(|_| many.take(b"data: 12\n").map(drop));
    assert_eq!(lines, Err(TooLong), "also over several lines");
}

#[test]
fn what_a_message_is_is_read_off_it() {
    let read = |text: &str| Message::read(text.as_bytes().to_vec()).unwrap();
    let cancelled =
        read(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#);
    assert!(matches!(cancelled.kind, Kind::Cancelled(id) if id == "a"));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).kind,
        Kind::Answer
    ));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).kind,
        Kind::Request(_)
    ));
    let task = read(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t-1"}}"#);
    assert_eq!(task.name.as_deref(), Some("t-1"));
}
