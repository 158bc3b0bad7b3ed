//! A small identity provider for the demo: where its people sign in, for the facade and to decide.
//!
//! It is honest but small: loopback only, a fresh Ed25519 key and fresh secrets at every start,
//! ID tokens for the clients it was started with, no refresh, nothing on disk. It hands out documents and
//! tokens as data; `app` mounts them. A deployment never runs it: its issuer name is [`super::DEMO`],
//! which an [`super::IssuerSpec`] may carry on loopback only, and `serve` refuses.

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use self::code::{CODES_HALF, Issued};
use super::recent::Recent;
use super::spec::{SpecError, is_loopback, secure};
use crate::call::Hash;
use crate::clock::World;

pub use code::{DemoClient, Page, page_policy};

/// Wrong secrets after which an account pauses, and for how long.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(60);
/// Half of the names whose wrong attempts are remembered.
const NAMES_HALF: usize = 256;

/// What the demo issuer is told.
#[derive(Debug, Clone)]
pub struct DemoSpec {
    /// Its issuer URL, on loopback; its documents hang below it.
    pub url: String,
    /// Login name → groups.
    pub users: BTreeMap<String, BTreeSet<String>>,
    /// The programs it signs people in for.
    pub clients: Vec<DemoClient>,
}

/// Why no token was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// The user does not exist or the secret is wrong: which, is not said. OAuth `invalid_grant`.
    #[error("unknown user or wrong secret")]
    BadCredentials,
    /// Too many wrong secrets for this user; try again in a minute. OAuth `slow_down`.
    #[error("too many wrong secrets; wait a minute")]
    TooManyAttempts,
    /// `client_id` is none of its clients. OAuth `invalid_client`.
    #[error("there is no such client")]
    BadClient,
}

/// The demo issuer.
pub struct DemoIssuer {
    spec: DemoSpec,
    key: SigningKey,
    key_id: String,
    /// Login name → SHA-256 of the secret.
    secrets: BTreeMap<String, Hash>,
    /// By hash of the name, whether such a user exists or not: wrong secrets in a row, and when the
    /// last one came (monotonic).
    wrong: Mutex<Recent<Hash, (u32, Duration)>>,
    /// By hash of the code.
    codes: Mutex<Recent<Hash, Issued>>,
    world: Arc<dyn World>,
}

impl fmt::Debug for DemoIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoIssuer")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// A login name and its secret, to be shown once to whoever started the demo.
pub type Credential = (String, Zeroizing<String>);

impl DemoIssuer {
    /// Makes a key, and a secret of 192 bits for each user.
    ///
    /// # Errors
    /// An address that is not loopback, no user, no client, or a name of either that is not 1 to 64
    /// characters of `[a-z0-9._-]`.
    pub fn start(spec: DemoSpec, world: Arc<dyn World>) -> Result<(Self, Vec<Credential>), SpecError> {
        let wrong = |what: String| Err(SpecError(format!("demo issuer: {what}")));
        match secure(&spec.url) {
            Ok(url) if is_loopback(&url) && url.query().is_none() => {}
            _ => {
                return wrong(format!(
                    "`{}` is not a loopback address; it serves nothing else",
                    spec.url
                ));
            }
        }
        if spec.users.is_empty() {
            return wrong("there is no user".to_owned());
        }
        if let Some(name) = spec.users.keys().find(|name| !is_plain(name)) {
            return wrong(format!(
                "`{name}` is not a login name: use a-z, 0-9, dot, dash, underscore"
            ));
        }
        if spec.clients.is_empty() || spec.clients.iter().any(|client| !is_plain(&client.id)) {
            return wrong("give it clients, and each an id of a-z, 0-9, dot, dash, underscore".to_owned());
        }
        let mut seed = Zeroizing::new([0; 32]);
        world.random(seed.as_mut_slice());
        let key = SigningKey::from_bytes(&seed);
        let credentials: Vec<Credential> = spec
            .users
            .keys()
            .map(|name| (name.clone(), secret(world.as_ref())))
            .collect();
        let hashed = credentials
            .iter()
            .map(|(name, secret)| (name.clone(), Hash::of(secret.as_bytes())));
        let issuer = Self {
            key_id: URL_SAFE_NO_PAD.encode(Hash::of(key.verifying_key().as_bytes()).0),
            secrets: hashed.collect(),
            key,
            spec,
            wrong: Mutex::new(Recent::new(NAMES_HALF)),
            codes: Mutex::new(Recent::new(CODES_HALF)),
            world,
        };
        Ok((issuer, credentials))
    }

    /// The authorization server metadata (RFC 8414 §2), to be served at the paths of
    /// [`DemoIssuer::paths`].
    #[must_use]
    pub fn metadata(&self) -> Value {
        json!({
            "issuer": self.spec.url,
            "authorization_endpoint": self.below("/authorize"),
            "token_endpoint": self.below("/token"),
            "jwks_uri": self.below("/jwks"),
            "grant_types_supported": ["authorization_code"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// The key set with the one public key (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            "kid": self.key_id,
            "use": "sig",
            "alg": "EdDSA",
        }]})
    }

    /// Where transport serves the documents.
    #[must_use]
    pub fn paths(&self) -> DemoPaths {
        let path = Url::parse(&self.spec.url).map_or_else(|_| String::new(), |url| url.path().to_owned());
        let path = path.trim_end_matches('/');
        DemoPaths {
            metadata: vec![
                format!("{path}/.well-known/openid-configuration"),
                format!("/.well-known/oauth-authorization-server{path}"),
            ],
            jwks: format!("{path}/jwks"),
            token: format!("{path}/token"),
            authorize: format!("{path}/authorize"),
        }
    }

    fn authenticate(&self, user: &str, secret: &str) -> Result<(), TokenRefused> {
        let now = self.world.monotonic();
        let name = Hash::of(user.as_bytes());
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |(_, last): (u32, Duration)| now.saturating_sub(last) < PAUSE;
        let before = wrong.get(&name).copied().filter(|seen| recent(*seen));
        let count = before.map_or(0, |(count, _)| count);
        if count >= ATTEMPTS {
            return Err(TokenRefused::TooManyAttempts);
        }
        // An unknown user costs the same comparison, against what no secret hashes to.
        let known = self.secrets.get(user);
        let expected = known.map_or([0; 32], |hash| hash.0);
        let same = bool::from(Hash::of(secret.as_bytes()).0.ct_eq(&expected));
        if same && known.is_some() {
            wrong.remove(&name);
            return Ok(());
        }
        wrong.put(name, (count + 1, now));
        Err(TokenRefused::BadCredentials)
    }

    fn signed(&self, media_type: &str, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": media_type, "kid": self.key_id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn below(&self, path: &str) -> String {
        format!("{}{path}", self.spec.url.trim_end_matches('/'))
    }
}

/// Paths on the server that carries the demo issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoPaths {
    /// [`DemoIssuer::metadata`], in both places clients look.
    pub metadata: Vec<String>,
    /// [`DemoIssuer::jwks`].
    pub jwks: String,
    /// [`DemoIssuer::redeem`]: POST of a form.
    pub token: String,
    /// [`DemoIssuer::authorize`]: GET and POST.
    pub authorize: String,
}

fn secret(world: &dyn World) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 24]);
    world.random(bytes.as_mut_slice());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

fn is_plain(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
