//! The authorization code flow with PKCE (OpenID Connect Core 3.1, RFC 7636, RFC 9700), as a relying party.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use crate::call::Hash;
use crate::identity::fetch::{Fetch, Form};
use crate::identity::jose::strict_json;
use crate::identity::rejection::Reason;
use crate::identity::spec::secure;
use crate::secret::Secret;

/// Endpoints are looked up again after this long.
const FRESH: Duration = Duration::from_mins(10);
/// The least time between two attempts that fail, whatever strangers send.
const RETRY: Duration = Duration::from_secs(10);
/// The longest code or error word an issuer may send back.
const WORD_BYTES: usize = 4096;

/// Why nobody was signed in. Its words may be shown: they hold nothing secret, and of what an issuer says
/// only its OAuth error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No issuer of that name has a client for the people's side.
    #[error("people of this issuer do not sign in here: it has no control_audience")]
    NoWay,
    /// Begun elsewhere, too long ago, twice, or not at all.
    #[error("this sign-in was not begun in this browser, or too long ago; begin again")]
    NotBegunHere,
    /// The issuer's own word (RFC 6749 4.1.2.1).
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The answer is by another issuer (RFC 9207).
    #[error("the answer does not come from the identity provider that was asked")]
    OtherIssuer,
    /// For the operator: a document or an answer that cannot be used.
    #[error("the identity provider cannot be used: {0}")]
    Provider(String),
    /// The ID token is not one that opens the people's side.
    #[error("what the identity provider sent is not accepted: {0}")]
    Token(Reason),
    /// `auth_time` is older than what was asked for.
    #[error("the identity provider did not ask you again (auth_time is too old)")]
    NotFresh,
}

/// An issuer's endpoints, as last looked up (monotonic), or that it failed then.
#[derive(Debug, Default)]
pub(super) struct Known {
    last: Option<(Duration, Result<Arc<Endpoints>, SignInError>)>,
}

impl Known {
    /// The endpoints, looked up if need be.
    pub(super) async fn get(
        &mut self,
        fetch: &dyn Fetch,
        issuer: &str,
        now: Duration,
    ) -> Result<Arc<Endpoints>, SignInError> {
        if let Some((at, known)) = &self.last {
            let good = if known.is_ok() { FRESH } else { RETRY };
            if now.saturating_sub(*at) < good {
                return known.clone();
            }
        }
        let found = Endpoints::discover(fetch, issuer).await.map(Arc::new);
        self.last = Some((now, found.clone()));
        found
    }
}

/// Where an issuer is asked.
#[derive(Debug)]
pub(super) struct Endpoints {
    issuer: String,
    authorization: Url,
    token: Url,
    /// It takes a secret in the form alone.
    posts_secret: bool,
    /// It says who it is in its answers (RFC 9207).
    names_itself: bool,
}

/// One sign-in: what is asked, and what the answer must repeat.
pub(super) struct Question<'a> {
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) state: &'a str,
    pub(super) nonce: &'a str,
    pub(super) verifier: &'a str,
    /// How old the person's last interactive proof may be, in seconds; 0 asks them again in any case.
    pub(super) max_age: u64,
}

impl Endpoints {
    /// Reads the metadata (OpenID Connect Discovery 4), which must be of this very issuer.
    pub(super) async fn discover(fetch: &dyn Fetch, issuer: &str) -> Result<Self, SignInError> {
        let wrong = |what: &str| SignInError::Provider(what.to_owned());
        let mut address = secure(issuer).map_err(wrong)?;
        let path = address.path().trim_end_matches('/').to_owned();
        address.set_path(&format!("{path}/.well-known/openid-configuration"));
        let answer = fetch.get(&address).await;
        let answer = answer.map_err(|error| SignInError::Provider(error.to_string()))?;
        if answer.status != 200 {
            return Err(SignInError::Provider(format!(
                "{address} answered HTTP {}",
                answer.status
            )));
        }
        let document = strict_json(&answer.body).map_err(|_| wrong("the discovery document is not JSON"))?;
        let text = |name| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return Err(wrong("the discovery document names another issuer"));
        }
        let endpoint = |name| {
            secure(text(name).unwrap_or_default())
                .map_err(|why| SignInError::Provider(format!("{name} {why}")))
        };
        let lists = |name, word: &str| {
            let list = document.get(name).and_then(Value::as_array);
            list.map(|list| list.iter().any(|one| one == word))
        };
        if lists("code_challenge_methods_supported", "S256") == Some(false) {
            return Err(wrong("it does not support PKCE with S256"));
        }
        let methods = "token_endpoint_auth_methods_supported";
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: endpoint("authorization_endpoint")?,
            token: endpoint("token_endpoint")?,
            posts_secret: lists(methods, "client_secret_basic") == Some(false)
                && lists(methods, "client_secret_post") == Some(true),
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }

    /// Where the person goes to sign in.
    pub(super) fn ask(&self, question: &Question<'_>) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(question.verifier.as_bytes()).0);
        let mut url = self.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", question.client_id)
            .append_pair("redirect_uri", question.redirect_uri)
            .append_pair("scope", "openid")
            .append_pair("state", question.state)
            .append_pair("nonce", question.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("max_age", &question.max_age.to_string());
        if question.max_age == 0 {
            query.append_pair("prompt", "login");
        }
        drop(query);
        url
    }

    /// Reads what the person's browser brought back: the code, if it answers this question.
    pub(super) fn code(
        &self,
        fields: &[(String, String)],
        state: &str,
    ) -> Result<Zeroizing<String>, SignInError> {
        let one = |name: &str| {
            let mut found = fields
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value);
            match (found.next(), found.next()) {
                (Some(value), None) if value.len() <= WORD_BYTES => Some(value.as_str()),
                _ => None,
            }
        };
        let same = one("state").is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(state.as_bytes())));
        if !same {
            return Err(SignInError::NotBegunHere);
        }
        match one("iss") {
            Some(issuer) if issuer != self.issuer => return Err(SignInError::OtherIssuer),
            None if self.names_itself => return Err(SignInError::OtherIssuer),
            _ => {}
        }
        if let Some(error) = one("error") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let word: String = error.chars().filter(|c| plain(*c)).take(64).collect();
            return Err(SignInError::Refused(word));
        }
        let code = one("code").ok_or(SignInError::NotBegunHere)?;
        Ok(Zeroizing::new(code.to_owned()))
    }

    /// Exchanges the code for the ID token; the access token that comes with it is dropped.
    pub(super) async fn redeem(
        &self,
        fetch: &dyn Fetch,
        question: &Question<'_>,
        secret: Option<&Secret>,
        code: &str,
    ) -> Result<Zeroizing<String>, SignInError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", question.redirect_uri),
            ("code_verifier", question.verifier),
        ];
        let authorization = match secret {
            Some(secret) if self.posts_secret => {
                fields.extend([
                    ("client_id", question.client_id),
                    ("client_secret", secret.expose()),
                ]);
                None
            }
            Some(secret) => Some(basic(question.client_id, secret)),
            None => {
                fields.push(("client_id", question.client_id));
                None
            }
        };
        let form = Form {
            fields: &fields,
            authorization: authorization.as_ref().map(|value| value.as_str()),
        };
        let answer = fetch.post(&self.token, form).await;
        let answer = answer.map_err(|error| SignInError::Provider(error.to_string()))?;
        if answer.status != 200 {
            return Err(SignInError::Provider(format!(
                "its token endpoint answered HTTP {}",
                answer.status
            )));
        }
        let body = strict_json(&answer.body)
            .map_err(|_| SignInError::Provider("its token endpoint did not answer in JSON".to_owned()))?;
        let token = body.get("id_token").and_then(Value::as_str);
        token
            .map(|token| Zeroizing::new(token.to_owned()))
            .ok_or_else(|| SignInError::Provider("its token endpoint sent no ID token".to_owned()))
    }
}

/// RFC 6749 2.3.1: both parts are form-encoded before they are joined.
fn basic(client: &str, secret: &Secret) -> Zeroizing<String> {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!(
        "{}:{}",
        encoded(client),
        *Zeroizing::new(encoded(secret.expose()))
    ));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}
