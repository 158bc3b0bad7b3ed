//! One message to the server, and what comes back.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use zeroize::Zeroizing;

use super::events::Events;
use super::message::{self, Message, ON_THE_WAY};
use super::{BridgeSpec, local, pipe};
use crate::identity::install_tls_provider;
use crate::identity::login::LoginError;
use crate::secret::Secret;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that vanished without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the server may take to take a notification.
const NOTICE: Duration = Duration::from_secs(10);
/// What follows `initialize`.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A session of the older era.
#[derive(Debug, Clone)]
struct Session {
    /// `None`: the server keeps none, or has not been asked yet.
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

/// The older era's conversation: how it began, and the session it has at the server now.
#[derive(Debug, Default)]
struct Talk {
    /// The agent's `initialize`, to be said again where the server does not know us (any more).
    opening: Option<Vec<u8>>,
    session: Option<Session>,
}

/// Carries messages.
#[derive(Debug)]
pub(super) struct Carrier {
    spec: BridgeSpec,
    client: Client,
    outgoing: mpsc::Sender<Vec<u8>>,
    talk: Mutex<Talk>,
}

/// Why a message was not carried, or its answer not brought.
enum Failure {
    /// There is no usable token: the bridge answers itself.
    Token(LoginError),
    /// The server did not begin with it.
    Unsent,
    /// The answer was lost.
    Lost,
}

impl Carrier {
    pub(super) fn new(spec: BridgeSpec, outgoing: mpsc::Sender<Vec<u8>>) -> std::io::Result<Self> {
        install_tls_provider();
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none()) // a token goes to the server it is for alone
            .referer(false)
            .connect_timeout(CONNECT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_nodelay(true)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        let builder = match spec.endpoint.scheme() {
            "https" => builder.https_only(true),
            _ => builder.no_proxy().tls_certs_only([]), // this machine
        };
        Ok(Self {
            client: builder.build().map_err(std::io::Error::other)?,
            spec,
            outgoing,
            talk: Mutex::default(),
        })
    }

    /// To the agent.
    pub(super) async fn send(&self, line: Vec<u8>) {
        let _ = self.outgoing.send(line).await;
    }

    /// Whether this is a conversation of the older era.
    pub(super) async fn has_session(&self) -> bool {
        self.talk.lock().await.opening.is_some()
    }

    /// Carries a request and brings what comes back, up to its answer.
    pub(super) async fn request(&self, request: &Message) {
        let opens = request.method == "initialize";
        if opens {
            let mut talk = self.talk.lock().await;
            talk.opening = Some(request.bytes.clone());
            talk.session = None;
        }
        let carried = match self.exchange(request, opens).await {
            Ok(response) => self.bring(request, response, opens).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = carried else { return };
        let (server, world) = (&self.spec.server, self.spec.world.as_ref());
        let answer = match failure {
            Failure::Token(error) if error.needs_login() => {
                local::answer(request, &local::logged_out(server, &error.to_string()), world)
            }
            Failure::Token(error @ LoginError::Environment(_)) => {
                local::answer(request, &local::no_identity(server, &error.to_string()), world)
            }
            Failure::Token(error) => {
                local::answer(request, &local::no_token(server, &error.to_string()), world)
            }
            Failure::Unsent => local::failed(request, &local::unreachable(server), world),
            Failure::Lost => local::failed(request, &local::lost(server), world),
        };
        self.send(answer).await;
    }

    /// Carries what wants no answer. What cannot be carried is dropped: there is nobody to tell.
    pub(super) async fn notify(&self, message: &Message) {
        let done = async {
            if self.talk.lock().await.session.is_none() && message.version.is_none() {
                return Ok(()); // the session opens with the first request, and says this itself
            }
            self.exchange(message, false).await.map(drop)
        };
        if !matches!(tokio::time::timeout(NOTICE, done).await, Ok(Ok(()))) {
            tracing::debug!(method = message.method, "a notification was not carried");
        }
    }

    /// Ends the session at the server.
    pub(super) async fn close(&self) {
        let session = self.talk.lock().await.session.take();
        if let Some(session) = session.filter(|session| session.id.is_some())
            && let Ok(token) = self.spec.credential.token().await
        {
            let request = self.bare(Method::DELETE, &token, Some(&session));
            let _ = request.send().await;
        }
    }

    /// Sends a message, a second time where the server has not begun with it: with another token after a
    /// 401, in another session after a 404.
    async fn exchange(&self, message: &Message, opens: bool) -> Result<Response, Failure> {
        let mut token = self.spec.credential.token().await.map_err(Failure::Token)?;
        let (mut renewed, mut reopened) = (false, false);
        loop {
            let session = match &message.version {
                Some(_) => None,
                None if opens => None,
                None => self.session(&token).await?,
            };
            let response = self.post(message, &token, session.as_ref()).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if !renewed => {
                    renewed = true;
                    let another = self.spec.credential.instead(&token).await;
                    token = another.map_err(Failure::Token)?;
                }
                StatusCode::UNAUTHORIZED => {
                    return Err(Failure::Token(LoginError::Ended(self.spec.server.clone())));
                }
                StatusCode::NOT_FOUND if !reopened && session.is_some() => {
                    reopened = true;
                    self.forget(session.as_ref()).await;
                }
                _ => return Ok(response),
            }
        }
    }

    async fn post(
        &self,
        message: &Message,
        token: &Secret,
        session: Option<&Session>,
    ) -> Result<Response, Failure> {
        let mut request = self
            .bare(Method::POST, token, session)
            .header(CONTENT_TYPE, "application/json")
            .body(message.bytes.clone());
        if let Some(version) = &message.version {
            request = request.header(VERSION, version).header(METHOD, &message.method);
            if let Some(name) = &message.name {
                request = request.header(NAME, name);
            }
        }
        request.send().await.map_err(|error| {
            // Before there was a connection, nothing was sent; a request that cannot be built neither.
            if error.is_connect() || error.is_builder() {
                Failure::Unsent
            } else {
                Failure::Lost
            }
        })
    }

    fn bare(&self, method: Method, token: &Secret, session: Option<&Session>) -> reqwest::RequestBuilder {
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut request = self
            .client
            .request(method, self.spec.endpoint.clone())
            .header(ACCEPT, "application/json, text/event-stream");
        if let Ok(mut value) = HeaderValue::from_str(&bearer) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(session) = session {
            if let Some(id) = &session.id {
                request = request.header(SESSION, id.clone());
            }
            if let Some(version) = &session.version {
                request = request.header(VERSION, version.clone());
            }
        }
        request
    }

    /// The session of the older era, opened if there is none: the agent was answered here while nobody was
    /// logged in, or the server has forgotten us. One at a time.
    async fn session(&self, token: &Secret) -> Result<Option<Session>, Failure> {
        let mut talk = self.talk.lock().await;
        if talk.session.is_some() {
            return Ok(talk.session.clone());
        }
        let Some(opening) = talk.opening.clone() else {
            return Ok(None); // it has not said hello; the server knows what to say to that
        };
        let Ok(opening) = Message::read(opening) else {
            return Ok(None);
        };
        let response = self.post(&opening, token, None).await?;
        if !response.status().is_success() {
            // Not opened. The message goes without a session, and the server says what it thinks of that.
            return Ok(None);
        }
        let id = response.headers().get(&SESSION).cloned();
        let answer = self.whole(response).await.ok_or(Failure::Unsent)?;
        let session = Session {
            id,
            version: negotiated(&answer),
        };
        talk.session = Some(session.clone());
        drop(talk);
        let hello = self
            .bare(Method::POST, token, Some(&session))
            .header(CONTENT_TYPE, "application/json")
            .body(INITIALIZED);
        hello.send().await.map_err(|_| Failure::Unsent)?;
        Ok(Some(session))
    }

    async fn forget(&self, session: Option<&Session>) {
        let mut talk = self.talk.lock().await;
        let same = talk.session.as_ref().map(|session| &session.id) == session.map(|session| &session.id);
        if same {
            talk.session = None; // unless another request has opened the next one already
        }
    }

    /// Brings the messages of a response to the agent.
    async fn bring(&self, request: &Message, response: Response, opens: bool) -> Result<(), Failure> {
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let id = opens.then(|| response.headers().get(&SESSION).cloned()).flatten();
        if !status.is_success() {
            return self.refused(request, response).await;
        }
        if kind == "text/event-stream" {
            return self.stream(request, response, id, opens).await;
        }
        let answer = self.whole(response).await.ok_or(Failure::Lost)?;
        if opens {
            self.opened(id, &answer).await;
        }
        self.send(pipe::one_line(answer).ok_or(Failure::Lost)?).await;
        Ok(())
    }

    /// An error of the server as the agent can read it: its own words where they are a JSON-RPC message.
    async fn refused(&self, request: &Message, response: Response) -> Result<(), Failure> {
        let status = response.status().as_u16();
        let body = self.whole(response).await.unwrap_or_default();
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        let error = said.as_ref().and_then(|said| said.get("error"));
        let error = error.filter(|error| error.get("code").is_some_and(Value::is_i64));
        let (server, world) = (&self.spec.server, self.spec.world.as_ref());
        let line = match (error, status) {
            (_, 500 | 502 | 504) => return Err(Failure::Lost),
            (_, 403 | 429 | 503) => local::failed(request, &local::turned_away(server, status), world),
            (Some(error), _) => serde_json::json!({"jsonrpc": "2.0", "id": request.id(), "error": error})
                .to_string()
                .into_bytes(),
            (None, _) => {
                let words = format!("{server} answered HTTP {status}");
                message::error(&request.id(), ON_THE_WAY, &words)
            }
        };
        self.send(line).await;
        Ok(())
    }

    async fn stream(
        &self,
        request: &Message,
        mut response: Response,
        session: Option<HeaderValue>,
        opens: bool,
    ) -> Result<(), Failure> {
        let mut events = Events::new(self.spec.max_message_bytes);
        let id = request.id();
        loop {
            let piece = response.chunk().await.map_err(|_| Failure::Lost)?;
            let Some(piece) = piece else {
                return Err(Failure::Lost); // it ended without the answer
            };
            for data in events.take(&piece).map_err(|_| Failure::Lost)? {
                let Some(line) = pipe::one_line(data) else {
                    continue;
                };
                let answers = answers(&line, &id);
                if answers && opens {
                    self.opened(session.clone(), &line).await;
                }
                self.send(line).await;
                if answers {
                    return Ok(());
                }
            }
        }
    }

    async fn opened(&self, id: Option<HeaderValue>, answer: &[u8]) {
        let version = negotiated(answer);
        if version.is_some() {
            self.talk.lock().await.session = Some(Session { id, version });
        }
    }

    /// A body, if it is not too long.
    async fn whole(&self, mut response: Response) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.ok()? {
            if body.len() + piece.len() > self.spec.max_message_bytes {
                return None;
            }
            body.extend_from_slice(&piece);
        }
        Some(body)
    }
}

/// The revision that a server has agreed to, from its answer to `initialize`, as JSON or as a stream.
fn negotiated(answer: &[u8]) -> Option<HeaderValue> {
    let json = serde_json::from_slice::<Value>(answer).ok().or_else(|| {
        let mut events = Events::new(answer.len().saturating_add(2));
        let messages = events.take(answer).ok()?;
        messages
            .iter()
            .find_map(|message| serde_json::from_slice(message).ok())
    })?;
    let version = json.pointer("/result/protocolVersion")?.as_str()?;
    HeaderValue::from_str(version).ok()
}

/// Whether a message is the answer to this request.
fn answers(line: &[u8], id: &Value) -> bool {
    let said: Option<Value> = serde_json::from_slice(line).ok();
    said.is_some_and(|said| said.get("method").is_none() && said.get("id") == Some(id))
}
