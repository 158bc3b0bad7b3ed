//! A program, its person and their browser: authorize, agree, sign in at the provider, come back, get
//! tokens. Every request is made and timed by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, REFRESH, SET_COOKIE};
use serde_json::Value;
use tollgate::app::http_client;
use tollgate::call::Hash;
use tollgate::clock::{System, World};
use tollgate::identity::facade::CLI;
use url::Url;

use crate::identity::{PERSON, row};
use crate::table::{Times, table};

/// Where the program would listen for its code.
const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// What a sign-in gives.
pub(crate) struct Tokens {
    pub(crate) access: String,
    refresh: String,
}

/// What each step took.
#[derive(Default)]
struct Steps {
    authorize: Times,
    agree: Times,
    provider: Times,
    back: Times,
    token: Times,
    whole: Times,
    refresh: Times,
}

/// A program that signs its person in over and over.
pub(crate) struct Program {
    http: reqwest::Client,
    url: String,
    secret: String,
    world: Arc<System>,
    steps: Steps,
}

/// An answer, read whole.
struct Got {
    headers: HeaderMap,
    body: String,
}

type Fields<'a> = &'a [(&'a str, &'a str)];

impl Program {
    pub(crate) fn new(url: &str, secret: &str, world: Arc<System>) -> Result<Self> {
        Ok(Self {
            http: http_client()?,
            url: url.to_owned(),
            secret: secret.to_owned(),
            world,
            steps: Steps::default(),
        })
    }

    /// One sign-in, from the program's question to its tokens.
    pub(crate) async fn sign_in(&mut self) -> Result<Tokens> {
        let verifier = self.word();
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).0);
        let state = self.word();
        let began = self.world.monotonic();

        let resource = format!("{}/mcp", self.url);
        let mut ask: Url = format!("{}/oauth/authorize", self.url).parse()?;
        ask.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", CLI),
            ("redirect_uri", REDIRECT),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &resource),
        ]);
        let question = self.get(&ask, None).await?;
        let authorized = self.world.monotonic();

        let (id, token) = (hidden(&question.body, "id")?, hidden(&question.body, "token")?);
        let fields = [("id", id.as_str()), ("token", &token), ("at", "demo")];
        let agree = format!("{}/oauth/consent", self.url);
        let onward = self.post(&agree, &fields, Some(&cookie(&question)?)).await?;
        let agreed = self.world.monotonic();

        let login = leads(&onward)?;
        self.get(&login, None).await?; // the form repeats what the address says
        let asked: Vec<(String, String)> = login.query_pairs().into_owned().collect();
        let mut fields: Vec<(&str, &str)> = asked
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        fields.extend([("username", PERSON), ("password", self.secret.as_str())]);
        let signed_in = self
            .post(&format!("{}/demo/authorize", self.url), &fields, None)
            .await?;
        let provided = self.world.monotonic();

        let back = self.get(&leads(&signed_in)?, Some(&cookie(&onward)?)).await?;
        let code = leads(&back)?;
        let code = code.query_pairs().find(|(name, _)| name == "code");
        let code = code.context("no code came back")?.1.into_owned();
        let returned = self.world.monotonic();

        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", CLI),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
            ("resource", &resource),
        ];
        let tokens = self.tokens(&fields).await?;
        let ended = self.world.monotonic();
        let steps = &mut self.steps;
        steps.authorize.add(authorized - began);
        steps.agree.add(agreed - authorized);
        steps.provider.add(provided - agreed);
        steps.back.add(returned - provided);
        steps.token.add(ended - returned);
        steps.whole.add(ended - began);
        Ok(tokens)
    }

    /// The next tokens of a session.
    pub(crate) async fn refresh(&mut self, tokens: &Tokens) -> Result<Tokens> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", CLI),
            ("refresh_token", &tokens.refresh),
        ];
        let start = self.world.monotonic();
        let next = self.tokens(&fields).await?;
        self.steps.refresh.add(self.world.monotonic() - start);
        Ok(next)
    }

    /// What the sign-ins cost.
    pub(crate) fn print(&mut self) -> Result<()> {
        let steps = &mut self.steps;
        table(
            "A sign-in through the facade over HTTP, µs (requests of browser and program; +n of the facade to the provider)",
            &["", "requests", "times", "p50", "p95"],
            &[
                row("the question: authorize", "1", &mut steps.authorize),
                row("the person agrees", "1", &mut steps.agree),
                row("the person signs in at the provider", "2", &mut steps.provider),
                row("back with the provider's code", "1 +1", &mut steps.back),
                row("the code becomes tokens", "1", &mut steps.token),
                row("all of it", "6 +1", &mut steps.whole),
                row("later: a refresh token becomes tokens", "1", &mut steps.refresh),
            ],
        )
    }

    async fn tokens(&self, fields: Fields<'_>) -> Result<Tokens> {
        let got = self
            .post(&format!("{}/oauth/token", self.url), fields, None)
            .await?;
        let answer: Value = serde_json::from_str(&got.body)?;
        let text = |name: &str| {
            let found = answer.get(name).and_then(Value::as_str);
            found.map(str::to_owned).with_context(|| format!("no {name}"))
        };
        Ok(Tokens {
            access: text("access_token")?,
            refresh: text("refresh_token")?,
        })
    }

    async fn get(&self, url: &Url, cookie: Option<&str>) -> Result<Got> {
        self.send(self.http.get(url.clone()), cookie).await
    }

    async fn post(&self, url: &str, fields: Fields<'_>, cookie: Option<&str>) -> Result<Got> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self.http.post(url).header(ORIGIN, &self.url);
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.send(request, cookie).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, cookie: Option<&str>) -> Result<Got> {
        let request = match cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let answer = request.timeout(Duration::from_secs(30)).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await?;
        ensure!(status.is_success() || status.is_redirection(), "{status}: {body}");
        Ok(Got { headers, body })
    }

    /// 256 bits nobody can guess.
    fn word(&self) -> String {
        let mut bytes = [0; 32];
        self.world.random(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// Where an answer leads: by redirect, or by a page that goes on by itself.
fn leads(got: &Got) -> Result<Url> {
    let said = |name| got.headers.get(name).and_then(|to| to.to_str().ok());
    let to = said(LOCATION).or_else(|| said(REFRESH)?.strip_prefix("0;url="));
    Ok(to
        .with_context(|| format!("it leads nowhere: {}", got.body))?
        .parse()?)
}

/// The cookie that an answer sets and does not take away.
fn cookie(got: &Got) -> Result<String> {
    let lines = got.headers.get_all(SET_COOKIE).iter();
    let mut pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    let kept = pairs.find(|pair| !pair.ends_with('='));
    Ok(kept.context("no cookie")?.to_owned())
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> Result<String> {
    let found = html.split_once(&format!("name=\"{name}\" value=\""));
    let value = found.and_then(|(_, rest)| rest.split_once('"'));
    Ok(value
        .with_context(|| format!("no field {name}: {html}"))?
        .0
        .to_owned())
}
