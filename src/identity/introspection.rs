//! Tokens that say nothing themselves: the issuer is asked what they are (RFC 7662).
//!
//! An opaque token does not say whose it is either, so at most one issuer can be asked, and whatever a
//! stranger sends makes at most one question of a bounded number. What comes back is checked like the
//! claims of a signed token (`claims`): an answer is no proof that the token is for us.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::discovery::Metadata;
use super::fetch::{Fetch, Form};
use super::jose::strict_json;
use super::recent::Recent;
use super::rejection::Reason;
use super::spec::{IssuerSpec, Opaque, secure};
use crate::call::Hash;
use crate::clock::World;
use crate::secret::Secret;

/// The longest opaque token that is asked about, in bytes.
const TOKEN_BYTES: usize = 4 * 1024;
/// Questions under way at once; beyond that a token cannot be checked now.
const MOST: usize = 64;
/// An answer `active: false` is remembered this long: who repeats a dead token asks nobody.
const DEAD: Duration = Duration::from_secs(10);
/// Half of the dead tokens remembered.
const DEAD_HALF: usize = 2_048;
/// The endpoint is looked up again after this long, and after a failure after this long.
const FRESH: Duration = Duration::from_mins(10);
const RETRY: Duration = Duration::from_secs(10);

/// What an issuer says of a token.
type Answer = Result<Arc<Map<String, Value>>, Reason>;

/// Asks one issuer. Shows no token and no secret.
pub(super) struct Introspector {
    issuer: IssuerSpec,
    client: Opaque,
    fetch: Arc<dyn Fetch>,
    world: Arc<dyn World>,
    /// As last looked up (monotonic); `None` inside: that failed.
    endpoint: tokio::sync::Mutex<Option<(Duration, Option<Arc<Endpoint>>)>>,
    /// Questions under way, by SHA-256 of the token.
    asking: Mutex<HashMap<Hash, Shared<BoxFuture<'static, Answer>>>>,
    /// Until when (monotonic) a token is known to be dead.
    dead: Mutex<Recent<Hash, Duration>>,
    /// When the operator was last told of a failure (monotonic).
    told: Mutex<Option<Duration>>,
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector")
            .field("issuer", &self.issuer.name)
            .finish_non_exhaustive()
    }
}

/// Where and how it is asked.
#[derive(Debug)]
struct Endpoint {
    url: Url,
    /// It takes the client's secret in the form alone.
    posts_secret: bool,
}

impl Introspector {
    /// For the one issuer of opaque tokens; `None` for the others.
    pub(super) fn new(issuer: &IssuerSpec, fetch: &Arc<dyn Fetch>, world: &Arc<dyn World>) -> Option<Self> {
        Some(Self {
            client: issuer.opaque.clone()?,
            issuer: issuer.clone(),
            fetch: Arc::clone(fetch),
            world: Arc::clone(world),
            endpoint: tokio::sync::Mutex::default(),
            asking: Mutex::default(),
            dead: Mutex::new(Recent::new(DEAD_HALF)),
            told: Mutex::default(),
        })
    }

    /// The issuer that is asked.
    pub(super) fn issuer(&self) -> &IssuerSpec {
        &self.issuer
    }

    /// What the issuer says of a token whose SHA-256 is `hash`. All who ask at once get one answer.
    pub(super) async fn ask(self: &Arc<Self>, token: &str, hash: Hash) -> Answer {
        if !is_token(token) {
            return Err(Reason::Opaque);
        }
        if self.is_dead(&hash) {
            return Err(Reason::Inactive);
        }
        let asking = self.question(token, hash)?;
        asking.await
    }

    fn is_dead(&self, hash: &Hash) -> bool {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.world.monotonic();
        dead.get(hash).is_some_and(|until| now < *until)
    }

    /// The question about this token, asked now unless it is under way. It is a task of its own: callers
    /// that give up take nothing from those who wait.
    fn question(
        self: &Arc<Self>,
        token: &str,
        hash: Hash,
    ) -> Result<Shared<BoxFuture<'static, Answer>>, Reason> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(question) = asking.get(&hash) {
            return Ok(question.clone());
        }
        if asking.len() >= MOST {
            return Err(Reason::Unavailable);
        }
        let (this, token) = (Arc::clone(self), Zeroizing::new(token.to_owned()));
        let work = tokio::spawn(async move {
            let _done = Done(&this.asking, hash); // waits for the lock we hold: never before it is noted
            let answer = this.answer(&token).await;
            if matches!(answer, Err(Reason::Inactive)) {
                let until = this.world.monotonic() + DEAD;
                let mut dead = this.dead.lock().unwrap_or_else(PoisonError::into_inner);
                dead.put(hash, until);
            }
            answer
        });
        let question = work
            .map(|done| done.unwrap_or(Err(Reason::Unavailable)))
            .boxed()
            .shared();
        asking.insert(hash, question.clone());
        Ok(question)
    }

    async fn answer(&self, token: &str) -> Answer {
        let endpoint = self.endpoint().await?;
        let (status, body) = self
            .post(&endpoint, token)
            .await
            .map_err(|cause| self.failed(&cause))?;
        match status {
            200 => read(&body, &self.issuer).map_err(|fault| match fault {
                Fault::Reason(reason) => reason,
                Fault::Nonsense => self.failed("it does not answer with a JSON object that has `active`"),
            }),
            401 | 403 => {
                Err(self
                    .failed("it does not accept our client_id and client_secret, or not for introspection"))
            }
            status => Err(self.failed(&format!("it answered HTTP {status}"))),
        }
    }

    async fn post(&self, endpoint: &Endpoint, token: &str) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
        let mut fields = vec![("token", token), ("token_type_hint", "access_token")];
        let authorization = if endpoint.posts_secret {
            fields.push(("client_id", &self.client.client_id));
            fields.push(("client_secret", self.client.client_secret.expose()));
            None
        } else {
            Some(basic(&self.client.client_id, &self.client.client_secret))
        };
        let form = Form {
            fields: &fields,
            authorization: authorization.as_ref().map(|value| value.as_str()),
        };
        let answer = self.fetch.post(&endpoint.url, form).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok((answer.status, Zeroizing::new(answer.body)))
    }

    /// Where to ask, looked up if need be; who comes meanwhile waits.
    async fn endpoint(&self) -> Result<Arc<Endpoint>, Reason> {
        let mut known = self.endpoint.lock().await;
        let now = self.world.monotonic();
        if let Some((at, found)) = &*known {
            let good = if found.is_some() { FRESH } else { RETRY };
            if now.saturating_sub(*at) < good {
                return found.clone().ok_or(Reason::Unavailable);
            }
        }
        let found = self.look_up().await.map(Arc::new);
        let answer = found.map_err(|cause| self.failed(&cause));
        // Counted from the end: those who waited for a slow failure must not each repeat it.
        *known = Some((self.world.monotonic(), answer.as_ref().ok().cloned()));
        answer
    }

    async fn look_up(&self) -> Result<Endpoint, String> {
        if let Some(configured) = &self.client.endpoint {
            return Ok(Endpoint {
                url: secure(configured).map_err(str::to_owned)?,
                posts_secret: false, // RFC 6749 §2.3.1: Basic is what every server must take
            });
        }
        let metadata = Metadata::read(self.fetch.as_ref(), &self.issuer.url).await?;
        let takes = |word| {
            let own = metadata.lists("introspection_endpoint_auth_methods_supported", word);
            own.or_else(|| metadata.lists("token_endpoint_auth_methods_supported", word))
        };
        Ok(Endpoint {
            url: metadata.own("introspection_endpoint", "introspection_endpoint")?,
            posts_secret: takes("client_secret_basic") == Some(false)
                && takes("client_secret_post") == Some(true),
        })
    }

    /// Whether the issuer can be asked as this client: a token nobody has must be called inactive. For
    /// `tollgate doctor`; the error is for the operator.
    pub(super) async fn probe(&self) -> Result<Url, String> {
        let endpoint = self.look_up().await?;
        let (status, body) = self
            .post(&endpoint, "tollgate-doctor-asks-about-no-token")
            .await?;
        match (status, read(&body, &self.issuer)) {
            (200, Err(Fault::Reason(Reason::Inactive))) => Ok(endpoint.url),
            (200, _) => Err("it did not call a token inactive that nobody has".to_owned()),
            (401 | 403, _) => Err(format!(
                "it refuses our client_id and client_secret (HTTP {status})"
            )),
            (status, _) => Err(format!("it answered HTTP {status}")),
        }
    }

    /// Tells the operator, now and then; the caller hears that it cannot be checked now.
    fn failed(&self, cause: &str) -> Reason {
        let now = self.world.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| now.saturating_sub(last) >= RETRY) {
            *told = Some(now);
            tracing::warn!(
                issuer = self.issuer.name,
                cause,
                "the issuer cannot be asked about a token"
            );
        }
        Reason::Unavailable
    }
}

/// Takes a question off the list when it is answered, also when answering fell over.
struct Done<'a>(&'a Mutex<HashMap<Hash, Shared<BoxFuture<'static, Answer>>>>, Hash);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut asking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asking.remove(&self.1);
    }
}

/// RFC 6750 §2.1 `b64token`: anything else was never issued, so nobody is asked about it.
fn is_token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    token.len() <= TOKEN_BYTES && !body.is_empty() && body.bytes().all(fits)
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// With the token.
    Reason(Reason),
    /// With the answer itself.
    Nonsense,
}

/// Reads an answer (RFC 7662 §2.2). The claims a signed token has too are left to `claims`.
pub(super) fn read(body: &[u8], issuer: &IssuerSpec) -> Result<Arc<Map<String, Value>>, Fault> {
    let Ok(Value::Object(answer)) = strict_json(body) else {
        return Err(Fault::Nonsense);
    };
    match answer.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(Fault::Reason(Reason::Inactive)),
        _ => return Err(Fault::Nonsense),
    }
    match answer.get("iss") {
        None => {}
        Some(Value::String(url)) if *url == issuer.url => {}
        Some(_) => return Err(Fault::Reason(Reason::Issuer)),
    }
    // Optional in the RFC. Without it a refresh token looks like an access token at some issuers.
    let kind = answer.get("token_type").and_then(Value::as_str);
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("bearer" | "access_token") => Ok(Arc::new(answer)),
        Some("dpop" | "n_a" | "pop") => Err(Fault::Reason(Reason::SenderConstrained)),
        _ => Err(Fault::Reason(Reason::NotAnAccessToken)),
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded before they are joined. A space as `%20`, which reads the same where
/// a server undoes the encoding of URLs instead (Authlib does) and would keep a `+`.
pub(super) fn basic(client: &str, secret: &Secret) -> Zeroizing<String> {
    let encoded = |text: &str| {
        let encoded = Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
        Zeroizing::new(encoded.replace('+', "%20"))
    };
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client), *encoded(secret.expose())));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(answer: &Value) -> Fault {
        let issuer = IssuerSpec::new("corp", "https://login.example.com", "aud");
        read(answer.to_string().as_bytes(), &issuer).unwrap_err()
    }

    #[test]
    fn an_answer_counts_only_when_it_says_active_bearer_and_nobody_elses() {
        let issuer = IssuerSpec::new("corp", "https://login.example.com", "aud");
        for good in [
            json!({"active": true, "token_type": "Bearer"}),
            json!({"active": true, "token_type": "bearer", "iss": "https://login.example.com"}),
            json!({"active": true, "token_type": "access_token"}),
        ] {
            assert!(read(good.to_string().as_bytes(), &issuer).is_ok(), "{good}");
        }
        assert_eq!(fault(&json!({"active": false})), Fault::Reason(Reason::Inactive));
        for nonsense in [
            json!({}),
            json!([]),
            json!("active"),
            json!({"active": "true"}),
            json!({"active": 1}),
            json!({"active": null, "token_type": "Bearer"}),
        ] {
            assert_eq!(fault(&nonsense), Fault::Nonsense, "{nonsense}");
        }
        let with = |name: &str, value: Value| {
            let mut answer = json!({"active": true, "token_type": "Bearer"});
            answer[name] = value;
            fault(&answer)
        };
        for other in ["https://login.example.com/", "https://evil.example.com", ""] {
            assert_eq!(with("iss", json!(other)), Fault::Reason(Reason::Issuer));
        }
        assert_eq!(
            with("iss", json!(["https://login.example.com"])),
            Fault::Reason(Reason::Issuer)
        );
        assert_eq!(
            with("token_type", json!("DPoP")),
            Fault::Reason(Reason::SenderConstrained)
        );
        for kind in [
            json!("refresh_token"),
            json!("Refresh"),
            json!(null),
            json!(true),
            json!(""),
        ] {
            assert_eq!(with("token_type", kind), Fault::Reason(Reason::NotAnAccessToken));
        }
        let twice = br#"{"active":false,"active":true,"token_type":"Bearer"}"#;
        assert_eq!(read(twice, &issuer).unwrap_err(), Fault::Nonsense);
    }

    #[test]
    fn only_what_can_be_a_token_is_asked_about() {
        for token in ["abc", "a.b.c", "ya29.a0AfH6-_~+/xyz==", "x="] {
            assert!(is_token(token), "{token}");
        }
        for not in ["", "=", "a b", "a&token=b", "a\"b", "a\u{e9}", "a=b", "a\r\nb"] {
            assert!(!is_token(not), "{not}");
        }
        assert!(is_token(&"a".repeat(TOKEN_BYTES)));
        assert!(!is_token(&"a".repeat(TOKEN_BYTES + 1)));
    }

    proptest::proptest! {
        /// Whatever an issuer sends: no panic, and nothing passes that does not say all it must.
        #[test]
        fn no_answer_passes_by_accident(
            active in "(true|false|null|\"true\"|1)",
            kind in "(\"Bearer\"|\"DPoP\"|\"refresh_token\"|null|7)",
            issuer in "(null|\"https://login.example.com\"|\"https://x.example.com\")",
            cut in 0_usize..120,
        ) {
            let spec = IssuerSpec::new("corp", "https://login.example.com", "aud");
            let whole = format!(r#"{{"active":{active},"token_type":{kind},"iss":{issuer}}}"#);
            let passes = read(whole.as_bytes(), &spec).is_ok();
            proptest::prop_assert_eq!(
                passes,
                active == "true" && kind == "\"Bearer\"" && issuer == "\"https://login.example.com\""
            );
            let part = whole.get(..cut.min(whole.len().saturating_sub(1))).unwrap_or_default();
            proptest::prop_assert!(read(part.as_bytes(), &spec).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_falling_over(bytes in proptest::collection::vec(0_u8..=255, 0..200)) {
            let spec = IssuerSpec::new("corp", "https://login.example.com", "aud");
            proptest::prop_assert!(read(&bytes, &spec).is_err());
        }
    }
}
