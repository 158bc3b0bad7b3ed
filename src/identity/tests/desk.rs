//! A bench for the tests: a settable clock, an issuer with keys in memory, a counted network.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use crate::call::Principal;
use crate::clock::{Timestamp, World};
use crate::identity::{
    Bearer, Fetch, FetchError, Fetched, Form, GroupMap, Identity, IdentitySpec, IssuerSpec, Reason, Rejection,
};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://login.example.com/realm";
pub(super) const DISCOVERY: &str = "https://login.example.com/realm/.well-known/openid-configuration";
pub(super) const JWKS: &str = "https://login.example.com/realm/keys";
pub(super) const RESOURCE: &str = "https://tollgate.example.com/mcp";

/// A clock that moves when told to, and bytes that never repeat.
#[derive(Debug, Default)]
pub(super) struct Clock {
    seconds: AtomicU64,
    random: AtomicU64,
}

impl Clock {
    pub(super) fn advance(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp((NOW + self.seconds.load(Ordering::SeqCst)) * 1000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let hash = crate::call::Hash::of(&self.random.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.0[..chunk.len()]);
        }
    }
}

/// Documents by address; everything else is unreachable. Counts every request.
#[derive(Default)]
pub(super) struct Network {
    pages: Mutex<HashMap<String, Fetched>>,
    asked: Mutex<Vec<String>>,
    /// Forms as they were sent, each with its `Authorization`.
    pub(super) posted: Mutex<Vec<(BTreeMap<String, String>, Option<String>)>>,
    /// Taken by every request: a test that holds it keeps answers from arriving.
    pub(super) wire: tokio::sync::Mutex<()>,
}

impl Network {
    pub(super) fn serve(&self, url: &str, status: u16, body: &Value, cache_control: Option<&str>) {
        let page = Fetched {
            status,
            cache_control: cache_control.map(str::to_owned),
            body: body.to_string().into_bytes(),
        };
        self.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    pub(super) fn cut(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }

    pub(super) fn count(&self, url: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| *asked == url)
            .count()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What was sent is for the tests to look at and in no `Debug`.
impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    async fn page(&self, name: String) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(name.clone());
        let _wire = self.wire.lock().await;
        let page = self.pages.lock().unwrap().get(&name).cloned();
        page.ok_or_else(|| FetchError(format!("{name}: unreachable")))
    }
}

/// What is posted to an address has the name `POST <address>`.
impl Fetch for Network {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.page(url.to_string()))
    }

    fn post<'a>(&'a self, url: &'a Url, form: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let fields = form
            .fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sent = (fields.collect(), form.authorization.map(str::to_owned));
        self.posted.lock().unwrap().push(sent);
        Box::pin(self.page(format!("POST {url}")))
    }
}

/// An issuer's key pair.
pub(super) struct Pair(pub(super) SigningKey);

impl Pair {
    pub(super) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    pub(super) fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": self.x(), "kid": kid, "use": "sig", "alg": "EdDSA"})
    }

    /// Signs whatever it is given, like an issuer gone mad.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", b64(signature))
    }
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "alice", "client_id": "agent-1",
        "iat": NOW, "nbf": NOW, "exp": NOW + 600, "groups": ["analysts", "unmapped"], "scope": "mcp:read",
    })
}

/// `base` with some fields replaced; null removes one.
pub(super) fn with(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let fields = base.as_object_mut().unwrap();
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    base
}

/// Identity in front of one issuer, `corp`, whose key is `k1`.
pub(super) struct Desk {
    pub(super) identity: Arc<Identity>,
    pub(super) clock: Arc<Clock>,
    pub(super) network: Arc<Network>,
    pub(super) key: Pair,
}

pub(super) fn corp() -> IssuerSpec {
    IssuerSpec::new("corp", ISSUER, RESOURCE)
}

pub(super) fn spec(issuers: Vec<IssuerSpec>) -> IdentitySpec {
    IdentitySpec {
        issuers,
        groups: GroupMap::parse([("analyst", vec!["corp:analysts"])]).unwrap(),
        resource: RESOURCE.to_owned(),
        scopes: vec!["mcp:read".to_owned(), "mcp:write".to_owned()],
        facade: None,
        own: Vec::new(),
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(corp())
    }

    pub(super) fn with(issuer: IssuerSpec) -> Self {
        let (clock, network, key) = (Arc::<Clock>::default(), Arc::<Network>::default(), Pair::new(1));
        network.serve(DISCOVERY, 200, &json!({"issuer": ISSUER, "jwks_uri": JWKS}), None);
        network.serve(JWKS, 200, &json!({"keys": [key.jwk("k1")]}), None);
        let world: Arc<dyn World> = clock.clone();
        let identity = Identity::new(spec(vec![issuer]), network.clone(), world).unwrap();
        Self {
            identity: Arc::new(identity),
            clock,
            network,
            key,
        }
    }

    pub(super) fn good(&self) -> String {
        self.key.sign(&header(), &claims())
    }

    pub(super) async fn admit(&self, token: &str) -> Result<Principal, Rejection> {
        self.identity.admit(Bearer(Some(token))).await
    }

    /// Why the token is refused; panics when it is not.
    pub(super) async fn refuse(&self, token: &str) -> Reason {
        self.admit(token).await.unwrap_err().reason()
    }

    /// Why a good token with these claims changed is refused.
    pub(super) async fn refuse_claims(&self, changes: Value) -> Reason {
        self.refuse(&self.key.sign(&header(), &with(claims(), changes)))
            .await
    }

    pub(super) async fn admit_claims(&self, changes: Value) -> Principal {
        self.admit(&self.key.sign(&header(), &with(claims(), changes)))
            .await
            .unwrap()
    }
}

pub(super) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
