//! Standard input and output, as a client sees them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::MODERN;
use super::door::{Event, Held, principal};
use super::world::Fixed;
use crate::call::Transport;
use crate::transport::stdio::{StdioSpec, serve};

struct Pipe {
    door: Arc<Held>,
    events: mpsc::UnboundedReceiver<Event>,
    read: BufReader<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Pipe {
    fn open() -> Self {
        Self::open_with(|_| {})
    }

    fn open_with(change: impl FnOnce(&mut StdioSpec)) -> Self {
        let mut spec = StdioSpec::new(Arc::new(Fixed::default()));
        change(&mut spec);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (door, events) = Held::new();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(
            Arc::clone(&door) as _,
            principal("local").unwrap(),
            spec,
            tokio::io::split(far),
            shutdown.clone(),
        ));
        let (read, write) = tokio::io::split(near);
        Self {
            door,
            events,
            read: BufReader::new(read),
            write,
            shutdown,
            served,
        }
    }

    async fn line(&mut self, line: &str) {
        self.write.write_all(line.as_bytes()).await.unwrap();
        self.write.write_all(b"\n").await.unwrap();
    }

    async fn send(&mut self, message: Value) {
        self.line(&message.to_string()).await;
    }

    async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.read.read_line(&mut line).await.unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await.unwrap()
    }

    async fn initialize(&mut self) {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "older", "version": "1"}});
        let answer = self
            .ask(json!({"jsonrpc": "2.0", "id": "init", "method": "initialize", "params": params}))
            .await;
        assert_eq!(answer["result"]["protocolVersion"], json!("2025-06-18"));
        self.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
    }

    /// The end of the input; what was written can still be read.
    async fn end(mut self) -> Vec<Value> {
        self.write.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        self.served.await.unwrap().unwrap();
        rest
    }
}

fn call(id: u64, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
}

fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "newer", "version": "2"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test]
async fn the_older_era_speaks_over_lines() {
    let mut pipe = Pipe::open();
    pipe.initialize().await;
    let listed = pipe
        .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .await;
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 3);
    let answer = pipe.ask(call(2, "echo")).await;
    let Some(Event::Entered(seen)) = pipe.events.recv().await else {
        panic!("no call")
    };
    assert_eq!(answer["id"], json!(2));
    assert_eq!(
        answer["result"]["structuredContent"]["call_id"],
        json!(seen.call_id)
    );
    assert_eq!(seen.transport, Transport::Stdio);
    assert_eq!(seen.principal.user.subject, "local");
    assert_eq!(seen.principal.agent.claimed_name, "older");
    assert!(matches!(pipe.events.recv().await, Some(Event::Accepted(id)) if id == seen.call_id));
    assert_eq!(
        pipe.ask(call(3, "invented")).await["error"]["code"],
        json!(-32602)
    );
    assert!(pipe.end().await.is_empty());
}

#[tokio::test]
async fn the_newest_revision_speaks_over_lines() {
    let mut pipe = Pipe::open();
    let discovered = pipe.ask(modern(1, "server/discover", json!({}))).await;
    assert!(
        discovered["result"]["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!(MODERN))
    );
    let answer = pipe
        .ask(modern(
            2,
            "tools/call",
            json!({"name": "echo", "arguments": {"a": 1}}),
        ))
        .await;
    assert_eq!(answer["result"]["structuredContent"]["data"], json!({"a": 1}));
    let Some(Event::Entered(seen)) = pipe.events.recv().await else {
        panic!("no call")
    };
    assert_eq!(seen.principal.agent.claimed_name, "newer");
    assert!(pipe.end().await.is_empty());
}

#[tokio::test]
async fn a_line_that_is_no_message_is_answered_and_the_next_one_works() {
    let mut pipe = Pipe::open_with(|spec| spec.max_line_bytes = 4096);
    pipe.initialize().await;
    for (line, id, code) in [
        ("hunter2".to_owned(), Value::Null, -32700),
        ("{\"a\":".to_owned(), Value::Null, -32700),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":7,\"hunter2\":1}".to_owned(),
            json!(4),
            -32600,
        ),
        ("[]".to_owned(), Value::Null, -32600),
        ("x".repeat(5000), Value::Null, -32600),
        ("x".repeat(500_000), Value::Null, -32600),
        (
            format!("{}{}", "[".repeat(65), "]".repeat(65)),
            Value::Null,
            -32600,
        ),
    ] {
        pipe.line(&line).await;
        let answer = pipe.next().await.unwrap();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&id, &json!(code)),
            "{answer}"
        );
        assert!(!answer.to_string().contains("hunter2"));
        pipe.line("").await;
        pipe.line("\r").await;
        assert_eq!(pipe.ask(call(9, "no")).await["id"], json!(9));
    }
    assert!(pipe.end().await.is_empty());
}

#[tokio::test]
async fn what_comes_before_the_introduction_is_not_fatal() {
    let mut pipe = Pipe::open();
    pipe.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .await;
    pipe.send(json!({"jsonrpc": "2.0", "id": 1, "result": {}})).await;
    assert_eq!(
        pipe.ask(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}))
            .await["id"],
        json!(2)
    );
    assert_eq!(
        pipe.ask(call(3, "echo")).await["error"]["code"],
        json!(-32602),
        "who are you?"
    );
    assert!(pipe.events.try_recv().is_err());
    pipe.initialize().await;
    assert_eq!(pipe.ask(call(3, "echo")).await["id"], json!(3));
    assert!(pipe.end().await.is_empty());
}

#[tokio::test]
async fn requests_under_way_are_bounded_and_their_ids_are_their_own() {
    let mut pipe = Pipe::open_with(|spec| spec.max_requests = 2);
    pipe.initialize().await;
    pipe.send(call(1, "hold")).await;
    pipe.send(call(2, "hold")).await;
    for _ in 0..2 {
        assert!(matches!(pipe.events.recv().await, Some(Event::Entered(_))));
    }
    let again = pipe.ask(call(1, "echo")).await;
    assert!(
        again["error"]["message"]
            .as_str()
            .unwrap()
            .contains("already under way")
    );
    let more = pipe.ask(call(3, "echo")).await;
    assert!(more["error"]["message"].as_str().unwrap().contains("overloaded"));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    pipe.send(cancel).await;
    assert!(matches!(pipe.events.recv().await, Some(Event::Cancelled(_))));
    assert_eq!(
        pipe.ask(call(3, "echo")).await["id"],
        json!(3),
        "there is room again"
    );
    pipe.door.let_go.add_permits(1);
    assert_eq!(pipe.next().await.unwrap()["id"], json!(2));
    assert!(pipe.end().await.is_empty());
}

#[tokio::test]
async fn progress_reaches_who_asked_for_it() {
    let mut pipe = Pipe::open_with(|spec| spec.progress_every = Duration::from_millis(1));
    pipe.initialize().await;
    let mut request = call(1, "hold");
    request["params"]["_meta"] = json!({"progressToken": 77});
    let progress = pipe.ask(request).await;
    assert_eq!(progress["method"], json!("notifications/progress"));
    assert_eq!(progress["params"]["progressToken"], json!(77));
    pipe.door.let_go.add_permits(1);
    while pipe.next().await.unwrap().get("id").is_none() {}
    pipe.end().await;
}

#[tokio::test]
async fn at_the_end_of_the_input_what_is_under_way_is_answered() {
    let mut pipe = Pipe::open();
    pipe.initialize().await;
    pipe.send(call(1, "hold")).await;
    assert!(matches!(pipe.events.recv().await, Some(Event::Entered(_))));
    let door = Arc::clone(&pipe.door);
    pipe.write.shutdown().await.unwrap();
    door.let_go.add_permits(1);
    let rest = pipe.end().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["result"]["structuredContent"]["data"], json!("let go"));
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_reads_no_more() {
    let mut pipe = Pipe::open();
    pipe.initialize().await;
    pipe.send(call(1, "hold")).await;
    assert!(matches!(pipe.events.recv().await, Some(Event::Entered(_))));
    pipe.shutdown.cancel();
    pipe.door.let_go.add_permits(1);
    assert_eq!(pipe.next().await.unwrap()["id"], json!(1));
    assert_eq!(pipe.next().await, None);
    pipe.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_or_an_end_before_the_first_word_is_clean() {
    let pipe = Pipe::open();
    pipe.shutdown.cancel();
    pipe.served.await.unwrap().unwrap();
    assert!(Pipe::open().end().await.is_empty());
}

#[tokio::test]
async fn an_answer_counts_as_accepted_when_its_line_was_taken() {
    let mut pipe = Pipe::open();
    pipe.initialize().await;
    pipe.send(call(1, "large")).await;
    assert!(matches!(pipe.events.recv().await, Some(Event::Entered(_))));
    pipe.send(call(2, "echo")).await;
    assert!(
        matches!(pipe.events.recv().await, Some(Event::Entered(_))),
        "the pipe is full, reading is not"
    );
    assert!(pipe.events.try_recv().is_err(), "nobody has read a byte");
    for _ in 0..2 {
        pipe.next().await.unwrap();
        assert!(matches!(pipe.events.recv().await, Some(Event::Accepted(_))));
    }
    assert!(pipe.end().await.is_empty());
}
