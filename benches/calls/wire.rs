//! The agent's end of the wire: one connection, one request at a time, as little of its own as can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use memchr::memmem;
use serde_json::{Value, json};

/// A keep-alive connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a request and gives the body of the answer, which must be a good one.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let text = std::str::from_utf8(self.buffer.get(..head).context("no head")?)?;
        let good = text.starts_with("HTTP/1.1 200 ");
        let length: usize = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .with_context(|| format!("an answer without a length: {text}"))?
            .1
            .parse()?;
        while self.buffer.len() < head + length {
            self.more()?;
        }
        let body = self.buffer.get(head..head + length).context("no body")?;
        if !good {
            bail!("{}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(body)
    }

    /// Calls a tool; the answer must be `ok`. Gives its size in bytes.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<usize> {
        let body = self.exchange(request)?;
        if memmem::find(body, br#""status":"ok""#).is_none() {
            bail!("{}", String::from_utf8_lossy(body));
        }
        Ok(body.len())
    }

    fn more(&mut self) -> Result<()> {
        let mut piece = [0; 64 * 1024];
        let read = self.stream.read(&mut piece)?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        self.buffer
            .extend_from_slice(piece.get(..read).context("more than fits")?);
        Ok(())
    }
}

/// A `tools/call` of MCP 2026-07-28 as it goes over the wire.
pub(crate) fn call(address: SocketAddr, token: &str, tool: &str, arguments: &Value) -> Vec<u8> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
    .to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request that does nothing.
pub(crate) fn health(address: SocketAddr) -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}
