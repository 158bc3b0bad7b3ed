//! A person of the demo on the control side: signs in as people do (the issuer's login form, RFC 8252
//! loopback, PKCE), reads requests and decides, over the same API that `tollgate approvals` uses.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use url::Url;

use crate::app;
use crate::clock::System;
use crate::identity::HttpFetch;
use crate::identity::people::terminal::{self, At};
use crate::secret::Secret;

/// How often and how many times a person looks whether there is something to decide.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 200;

/// Where people sign in and decide.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The control side, `http://localhost:PORT/`.
    pub url: Url,
    /// The issuer.
    pub issuer: String,
    /// Its client for the control side.
    pub client_id: String,
}

/// Somebody signed in.
pub struct Person {
    http: reqwest::Client,
    desk: Desk,
    token: Secret,
}

impl Person {
    /// Signs `user` in with their secret, in a browser's stead.
    ///
    /// # Errors
    /// When the issuer does not let them in.
    pub async fn sign_in(desk: &Desk, user: &str, secret: &str) -> Result<Self> {
        let http = app::http_client()?;
        let form = [("username", user.to_owned()), ("password", secret.to_owned())];
        let browser = http.clone();
        let at = At {
            issuer: &desk.issuer,
            client_id: &desk.client_id,
            acr_values: &[],
        };
        let (fetch, world) = (HttpFetch::new(), System::new());
        let token = terminal::sign_in(&fetch, &world, at, |page: &Url| {
            tokio::spawn(fill_in(browser, page.clone(), form));
        });
        Ok(Self {
            http,
            desk: desk.clone(),
            token: token.await?,
        })
    }

    /// The oldest request that waits for this person; waits a while for one.
    ///
    /// # Errors
    /// When none comes.
    pub async fn waiting(&self) -> Result<Value> {
        for _ in 0..LOOKS {
            let list = self.get("api/approvals").await?;
            let cards = list.get("approvals").and_then(Value::as_array);
            let mine = |card: &&Value| card.get("may_decide") == Some(&Value::Bool(true));
            if let Some(card) = cards.and_then(|cards| cards.iter().rfind(mine)) {
                let id = card
                    .get("id")
                    .and_then(Value::as_str)
                    .context("a card has an id")?;
                return self.show(id).await;
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("nothing came to be decided")
    }

    /// One request, with everything a reviewer sees.
    ///
    /// # Errors
    /// The problem the server names.
    pub async fn show(&self, id: &str) -> Result<Value> {
        self.get(&format!("api/approvals/{id}")).await
    }

    /// Approves exactly what `sheet` shows.
    ///
    /// # Errors
    /// The problem the server names.
    pub async fn approve(&self, sheet: &Value) -> Result<Value> {
        let text = |name| sheet.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = self.at(&format!("api/approvals/{}/approve", text("id")))?;
        let body = json!({ "action_sha256": text("action_sha256") });
        let request = self.http.post(url).bearer_auth(self.token.expose()).json(&body);
        said(request).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(self.at(path)?).bearer_auth(self.token.expose());
        said(request).await
    }

    fn at(&self, path: &str) -> Result<Url> {
        Ok(self.desk.url.join(path)?)
    }
}

/// The login form, as a browser would send it: to where it came from, and on to where the answer leads.
async fn fill_in(http: reqwest::Client, page: Url, form: [(&str, String); 2]) {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(page.query_pairs())
        .extend_pairs(form)
        .finish();
    let mut at = page;
    at.set_query(None);
    // What goes wrong here shows at the other end, as a sign-in that nobody finished.
    let kind = (CONTENT_TYPE, "application/x-www-form-urlencoded");
    let Ok(answer) = http.post(at).header(kind.0, kind.1).body(body).send().await else {
        return;
    };
    let back = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    if let Some(back) = back {
        let _ = http.get(back).send().await;
    }
}

async fn said(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.send().await.context("the control side does not answer")?;
    let good = answer.status().is_success();
    let value: Value = answer.json().await?;
    if good {
        return Ok(value);
    }
    let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
    bail!("{}: {}", text("title"), text("detail"))
}
