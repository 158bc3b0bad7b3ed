//! A server on a free port, and an HTTP client that sends exactly what it is told: the bytes are the contract.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::door::{Event, Held, Seen};
use super::world::Fixed;
use crate::call::CallId;
use crate::transport::http::{HttpSpec, serve};

pub(super) const MODERN: &str = "2026-07-28";

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) door: Arc<Held>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) world: Arc<Fixed>,
    pub(super) shutdown: CancellationToken,
    pub(super) served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut HttpSpec)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let world = Arc::new(Fixed::default());
        let url = url::Url::parse(&format!("http://{addr}")).unwrap();
        let mut spec = HttpSpec::new(url, Arc::clone(&world) as _);
        change(&mut spec);
        let (door, events) = Held::new();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(Arc::clone(&door) as _, spec, listener, shutdown.clone()));
        Self {
            addr,
            door,
            events,
            world,
            shutdown,
            served,
        }
    }

    pub(super) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            addr: self.addr,
            stream: BufReader::new(stream),
        }
    }

    pub(super) async fn event(&mut self) -> Event {
        self.events.recv().await.expect("the door is gone")
    }

    pub(super) async fn entered(&mut self) -> Seen {
        match self.event().await {
            Event::Entered(seen) => *seen,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn accepted(&mut self) -> CallId {
        match self.event().await {
            Event::Accepted(call) => call,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn cancelled(&mut self) -> CallId {
        match self.event().await {
            Event::Cancelled(call) => call,
            other => panic!("{other:?}"),
        }
    }

    /// One exchange on a connection of its own.
    pub(super) async fn send(&self, request: &Request) -> Reply {
        self.connect().await.exchange(request).await
    }

    /// Opens a session of the older era and gives its id.
    pub(super) async fn session(&self, token: &str, capabilities: &Value) -> String {
        let reply = self.send(&Request::initialize(token, capabilities)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.header("mcp-session-id").unwrap().to_owned()
    }
}

/// A request as it will be sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) host: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(super) fn post(token: &str, body: &Value) -> Self {
        Self {
            method: "POST",
            path: "/mcp".to_owned(),
            body: Some(body.to_string()),
            ..Self::get("/mcp")
        }
        .with("Authorization", &format!("Bearer {token}"))
        .with("Accept", "application/json, text/event-stream")
        .with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// A request of the newest revision, with the headers it requires.
    pub(super) fn modern(token: &str, method: &str, mut params: Value, capabilities: &Value) -> Self {
        let name = params.get("name").and_then(Value::as_str).map(str::to_owned);
        let meta = params
            .as_object_mut()
            .unwrap()
            .entry("_meta")
            .or_insert_with(|| json!({}));
        meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
        meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "tester", "version": "9.1"});
        meta["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let request = Self::post(token, &body)
            .with("MCP-Protocol-Version", MODERN)
            .with("Mcp-Method", method);
        match name {
            Some(name) => request.with("Mcp-Name", &name),
            None => request,
        }
    }

    /// A call of the newest revision.
    pub(super) fn call(token: &str, tool: &str, arguments: &Value) -> Self {
        let params = json!({"name": tool, "arguments": arguments});
        Self::modern(token, "tools/call", params, &json!({}))
    }

    pub(super) fn initialize(token: &str, capabilities: &Value) -> Self {
        let params = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": capabilities,
            "clientInfo": {"name": "older", "version": "0.1"},
        });
        Self::post(
            token,
            &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}),
        )
    }

    /// A message in a session of the older era.
    pub(super) fn older(token: &str, session: &str, body: &Value) -> Self {
        Self::post(token, body)
            .with("Mcp-Session-Id", session)
            .with("MCP-Protocol-Version", "2025-06-18")
    }

    /// A call in a session of the older era.
    pub(super) fn older_call(token: &str, session: &str, id: u64, tool: &str) -> Self {
        let params = json!({"name": tool, "arguments": {}});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        Self::older(token, session, &body)
    }

    fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let host = self.host.clone().unwrap_or_else(|| addr.to_string());
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !host.is_empty() {
            out.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            out.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        out.push_str("\r\n");
        out.push_str(self.body.as_deref().unwrap_or(""));
        out.into_bytes()
    }
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub(super) fn headers_named(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The JSON-RPC message: the whole body, or the last event of a stream.
    pub(super) fn message(&self) -> Value {
        self.messages()
            .pop()
            .unwrap_or_else(|| panic!("no message in {self:?}"))
    }

    pub(super) fn messages(&self) -> Vec<Value> {
        if self.header("content-type") == Some("application/json") {
            return vec![serde_json::from_str(&self.body).unwrap()];
        }
        self.body.lines().filter_map(event).collect()
    }

    pub(super) fn result(&self) -> Value {
        let message = self.message();
        message
            .get("result")
            .unwrap_or_else(|| panic!("{message}"))
            .clone()
    }

    pub(super) fn error_code(&self) -> i64 {
        self.message()["error"]["code"].as_i64().unwrap()
    }
}

fn event(line: &str) -> Option<Value> {
    let data = line.strip_prefix("data:")?.trim();
    (!data.is_empty()).then(|| serde_json::from_str(data).unwrap())
}

pub(super) struct Client {
    addr: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    pub(super) async fn send(&mut self, request: &Request) {
        let bytes = request.bytes(self.addr);
        let _ = self.stream.get_mut().write_all(&bytes).await; // refused before it was read is fine
    }

    pub(super) async fn exchange(&mut self, request: &Request) -> Reply {
        self.send(request).await;
        self.reply().await
    }

    /// Status and headers.
    pub(super) async fn head(&mut self) -> Reply {
        let status = self.line().await.expect("a status line");
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await.expect("a header");
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Reply {
            status,
            headers,
            body: String::new(),
        }
    }

    pub(super) async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        if let Some(length) = reply.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut body).await.unwrap();
            reply.body = String::from_utf8(body).unwrap();
        } else if reply.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                reply.body.push_str(&chunk);
            }
        }
        reply
    }

    /// The next message of an event stream, or nothing at its end.
    pub(super) async fn event(&mut self) -> Option<Value> {
        loop {
            let chunk = self.chunk().await?;
            if let Some(message) = chunk.lines().find_map(event) {
                return Some(message);
            }
        }
    }

    async fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Whether the server closed, rather than answered.
    pub(super) async fn closed(&mut self) -> bool {
        self.line().await.is_none()
    }
}
