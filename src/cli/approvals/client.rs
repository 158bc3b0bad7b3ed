//! The API over HTTP, with a token that exists as long as this command.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use url::{Host, Url};

use crate::app;
use crate::clock::System;
use crate::identity::HttpFetch;
use crate::identity::people::terminal::{self, At};
use crate::secret::Secret;

/// The largest answer, in bytes.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
const WITHIN: Duration = Duration::from_secs(30);

/// Somebody signed in at one server.
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
    token: Secret,
}

impl Client {
    /// Signs somebody in; `show` gets the address to open.
    pub(super) async fn sign_in(server: Url, issuer: Option<&str>, show: impl FnOnce(&Url)) -> Result<Self> {
        if !is_private_enough(&server) {
            bail!("{server} is not https, so the token would cross the network in the clear");
        }
        let http = app::http_client()?;
        let mut client = Self {
            http,
            server,
            token: Secret::new(String::new()),
        };
        let ways = client.read(client.http.get(client.at("/api/sign-in")?)).await?;
        let ways = ways
            .get("issuers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let name = |way: &Value| {
            way.get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let names: Vec<String> = ways.iter().map(name).collect();
        let way = match (issuer, ways.as_slice()) {
            (Some(issuer), ways) => ways.iter().find(|way| name(way) == issuer),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let way =
            way.with_context(|| format!("say where you sign in with --issuer; there: {}", names.join(", ")))?;
        if way.get("public").and_then(Value::as_bool) != Some(true) {
            bail!("the client of that issuer has a secret, which no terminal has: decide on the page");
        }
        let text = |name| {
            way.get(name)
                .and_then(Value::as_str)
                .context("the server's answer is not whole")
        };
        let classes = way.get("acr_values").and_then(Value::as_array);
        let classes = classes.into_iter().flatten().filter_map(Value::as_str);
        let classes: Vec<String> = classes.map(str::to_owned).collect();
        let at = At {
            issuer: text("url")?,
            client_id: text("client_id")?,
            acr_values: &classes,
        };
        client.token = terminal::sign_in(&HttpFetch::new(), &System::new(), at, show).await?;
        Ok(client)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(self.at(path)?).bearer_auth(self.token.expose());
        self.read(request).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(self.at(path)?).bearer_auth(self.token.expose());
        self.read(request.json(body)).await
    }

    fn at(&self, path: &str) -> Result<Url> {
        Ok(self.server.join(path)?)
    }

    async fn read(&self, request: RequestBuilder) -> Result<Value> {
        let answer = request.timeout(WITHIN).send().await;
        let answer = answer.with_context(|| format!("{} does not answer", self.server))?;
        let status = answer.status();
        let body = whole(answer).await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let said = |name| value.get(name).and_then(Value::as_str);
        match (said("title"), said("detail")) {
            (Some(title), Some(detail)) => bail!("{title}: {detail}"),
            _ => bail!("{} answered HTTP {}", self.server, status.as_u16()),
        }
    }
}

async fn whole(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            bail!("the answer is longer than {ANSWER_BYTES} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The path of a request. An id is letters and digits: nothing else gets into an address.
pub(super) fn path(id: &str) -> Result<String> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        bail!("that is not the id of a request");
    }
    Ok(format!("/api/approvals/{id}"))
}

fn is_private_enough(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && here)
}
