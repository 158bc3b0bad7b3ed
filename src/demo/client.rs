//! A small MCP client (revision 2026-07-28, Streamable HTTP): enough to play the agent's side of the
//! demo and of the benchmark over the real wire.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

const REVISION: &str = "2026-07-28";

/// One agent with one user's token.
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    name: String,
}

impl Client {
    /// A client called `name` that shows `token` to the server at `url`.
    #[must_use]
    pub fn new(http: reqwest::Client, url: &str, token: String, name: &str) -> Self {
        Self {
            http,
            url: url.to_owned(),
            token,
            name: name.to_owned(),
        }
    }

    /// `tools/list`: the tools as the server describes them.
    ///
    /// # Errors
    /// When the server cannot be reached or answers with a protocol error.
    pub async fn tools(&self) -> Result<Vec<Value>> {
        let result = self.request("tools/list", None, json!({})).await?;
        result
            .get("tools")
            .and_then(Value::as_array)
            .cloned()
            .context("no tools in the answer")
    }

    /// `tools/call`: the whole result, as a model would get it.
    ///
    /// # Errors
    /// When the server cannot be reached or answers with a protocol error (an unknown tool is one).
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value> {
        self.request(
            "tools/call",
            Some(tool),
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    async fn request(&self, method: &str, name: Option<&str>, mut params: Value) -> Result<Value> {
        if let Some(params) = params.as_object_mut() {
            params.insert(
                "_meta".to_owned(),
                json!({
                    "io.modelcontextprotocol/protocolVersion": REVISION,
                    "io.modelcontextprotocol/clientInfo": { "name": self.name, "version": env!("CARGO_PKG_VERSION") },
                    "io.modelcontextprotocol/clientCapabilities": {},
                }),
            );
        }
        let mut request = self
            .http
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", REVISION)
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = request
            .json(&body)
            .send()
            .await
            .context("the server did not answer")?;
        let status = response.status();
        let text = response.text().await.context("the answer was cut off")?;
        let message = message(&text).with_context(|| format!("HTTP {status}: {text}"))?;
        if let Some(error) = message.get("error") {
            bail!(
                "{}",
                error
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or("protocol error")
            );
        }
        message
            .get("result")
            .cloned()
            .context("neither a result nor an error")
    }
}

/// The JSON-RPC answer in a body that is plain JSON or a stream of events (the last one counts).
fn message(body: &str) -> Option<Value> {
    serde_json::from_str(body).ok().or_else(|| {
        body.lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok())
            .rfind(|message| message.get("result").is_some() || message.get("error").is_some())
    })
}
