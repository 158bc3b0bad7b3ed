//! A client of either era that sends exactly what the test says.

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::site::Site;

const MODERN: &str = "2026-07-28";
const OLDER: &str = "2025-06-18";

/// One person's agent.
#[derive(Clone)]
pub(crate) struct Agent {
    http: reqwest::Client,
    url: String,
    token: String,
    /// What it takes the server for, where that is not its address.
    host: Option<String>,
}

impl Agent {
    pub(crate) fn new(site: &Site, subject: &str, groups: &[&str]) -> Self {
        Self {
            http: tollgate::app::http_client().unwrap(),
            url: site.endpoint(),
            token: site.token(subject, groups),
            host: None,
        }
    }

    /// With this credential, whatever it is.
    pub(crate) fn with(site: &Site, token: String) -> Self {
        Self {
            http: tollgate::app::http_client().unwrap(),
            url: site.endpoint(),
            token,
            host: None,
        }
    }

    /// The same through another process of this server, which listens at `address`.
    pub(crate) fn by(&self, address: &str) -> Self {
        let url = url::Url::parse(&self.url).unwrap();
        Self {
            url: format!("http://{address}/mcp"),
            host: Some(url.authority().to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A request with this agent's token and whatever body.
    pub(crate) fn post(&self, body: &Value) -> RequestBuilder {
        self.request(reqwest::Method::POST).json(body)
    }

    fn request(&self, method: reqwest::Method) -> RequestBuilder {
        let request = self
            .http
            .request(method, &self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream");
        match &self.host {
            Some(host) => request.header("host", host),
            None => request,
        }
    }

    /// Listens in a session of the older era.
    pub(crate) async fn listen(&self, session: &str) -> Events {
        let request = self.request(reqwest::Method::GET);
        let request = request.header("mcp-session-id", session);
        let answer = request
            .header("mcp-protocol-version", OLDER)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Events::new(answer)
    }

    /// What a request that asks for nothing much is answered with.
    pub(crate) async fn status(&self) -> u16 {
        let request = self.modern("tools/list", json!({}), &json!({}));
        request.send().await.unwrap().status().as_u16()
    }

    /// A request of the newest revision. `params` may hold anything, and a progress
    /// token in `_meta`.
    pub(crate) fn modern(&self, method: &str, mut params: Value, capabilities: &Value) -> RequestBuilder {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "raw", "version": "1" });
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
        let request = self
            .post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        match params["name"].as_str() {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// A call of the newest revision, to its result or its protocol error.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let response = self
            .modern("tools/call", params, &json!({}))
            .send()
            .await
            .unwrap();
        let message = last(response).await;
        message.get("result").unwrap_or(&message["error"]).clone()
    }

    /// Opens a session of the older era.
    pub(crate) async fn open(&self, capabilities: &Value) -> String {
        let response = self
            .post(
                &json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                    "protocolVersion": OLDER, "capabilities": capabilities,
                    "clientInfo": { "name": "older", "version": "1" },
                }}),
            )
            .send()
            .await
            .unwrap();
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        last(response).await;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.older(&session, &ready).send().await.unwrap();
        session
    }

    /// A message in a session of the older era.
    pub(crate) fn older(&self, session: &str, body: &Value) -> RequestBuilder {
        self.post(body)
            .header("mcp-session-id", session)
            .header("mcp-protocol-version", OLDER)
    }

    /// A call in a session of the older era.
    pub(crate) fn older_call(&self, session: &str, id: u64, tool: &str, arguments: &Value) -> RequestBuilder {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        self.older(session, &body)
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: &str) {
        let request = self.http.delete(&self.url).bearer_auth(&self.token);
        let ended = request.header("mcp-session-id", session).send().await.unwrap();
        assert!(ended.status().is_success(), "{}", ended.status());
    }
}

/// The JSON-RPC answer: the whole body, or the last event of a stream.
pub(crate) async fn last(response: Response) -> Value {
    let mut events = Events::new(response);
    let mut found = Value::Null;
    while let Some(message) = events.next().await {
        found = message;
    }
    found
}

/// The messages of one response, as they come.
pub(crate) struct Events {
    response: Response,
    streamed: bool,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        let kind = response.headers().get("content-type");
        let streamed = kind.is_some_and(|kind| kind.to_str().unwrap().starts_with("text/event-stream"));
        Self {
            response,
            streamed,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if self.streamed
                && let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n')
            {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let message = line
                    .strip_prefix(b"data:")
                    .and_then(|data| serde_json::from_slice(data).ok());
                if message.is_some() {
                    return message;
                }
                continue;
            }
            match self.response.chunk().await.unwrap() {
                Some(chunk) => self.buffer.extend_from_slice(&chunk), // may end within a character
                None if self.streamed || self.buffer.is_empty() => return None,
                None => return serde_json::from_slice(&std::mem::take(&mut self.buffer)).ok(),
            }
        }
    }
}
