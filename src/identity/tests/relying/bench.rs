//! An issuer made of documents, and a client of ours at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use url::Url;

use super::super::desk::{Clock, ISSUER, JWKS, NOW, Pair, b64, corp, with};
use crate::clock::World;
use crate::identity::provider::{Oidc, OidcClient, Provider, Question, SignInError, SignedIn};
use crate::identity::{Fetch, FetchError, Fetched, Form, IssuerSpec};
use crate::secret::Secret;

pub(super) const DISCOVERY: &str = super::super::desk::DISCOVERY;
pub(super) const TOKEN: &str = "https://login.example.com/realm/token";
pub(super) const USERINFO: &str = "https://login.example.com/realm/me";
pub(super) const REVOCATION: &str = "https://login.example.com/realm/revoke";
pub(super) const REDIRECT: &str = "https://gate.example.com/oauth/callback/corp";
pub(super) const CLIENT: &str = "tollgate:gate";
/// With characters that must be encoded (RFC 6749 2.3.1).
pub(super) const SECRET: &str = "s/ecret é%";
pub(super) const VERIFIER: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
pub(super) const ACCESS: &str = "upstream-access";

/// One POST, or one GET with a credential.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) fields: Vec<(String, String)>,
    pub(super) authorization: Option<String>,
}

impl Sent {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers by address; everything else is unreachable. Keeps what was sent.
#[derive(Debug, Default)]
pub(super) struct Net {
    gets: Mutex<HashMap<String, (u16, Vec<u8>)>>,
    posts: Mutex<HashMap<String, (u16, Vec<u8>)>>,
    sent: Mutex<Vec<(String, Sent)>>,
}

impl Net {
    pub(super) fn page(&self, url: &str, status: u16, body: Vec<u8>) {
        self.gets.lock().unwrap().insert(url.to_owned(), (status, body));
        self.sent.lock().unwrap().retain(|(to, _)| to != url);
    }

    pub(super) fn posts(&self, url: &str, status: u16, body: Vec<u8>) {
        self.posts.lock().unwrap().insert(url.to_owned(), (status, body));
    }

    pub(super) fn cut(&self, url: &str) {
        self.gets.lock().unwrap().remove(url);
        self.posts.lock().unwrap().remove(url);
    }

    pub(super) fn count(&self, url: &str) -> usize {
        self.sent
            .lock()
            .unwrap()
            .iter()
            .filter(|(to, _)| to == url)
            .count()
    }

    pub(super) fn sent(&self, url: &str) -> Sent {
        let sent = self.sent.lock().unwrap();
        let mut found = sent.iter().filter(|(to, _)| to == url);
        found.next_back().expect("nothing was sent there").1.clone()
    }

    pub(super) fn bearers(&self, url: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let found = sent.iter().filter(|(to, _)| to == url);
        found.filter_map(|(_, sent)| sent.authorization.clone()).collect()
    }

    fn answer(
        &self,
        pages: &Mutex<HashMap<String, (u16, Vec<u8>)>>,
        url: &Url,
        sent: Sent,
    ) -> Result<Fetched, FetchError> {
        self.sent.lock().unwrap().push((url.to_string(), sent));
        let page = pages.lock().unwrap().get(url.as_str()).cloned();
        let (status, body) = page.ok_or_else(|| FetchError(format!("{url}: unreachable")))?;
        Ok(Fetched {
            status,
            cache_control: None,
            body,
        })
    }
}

impl Fetch for Net {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move { self.answer(&self.gets, url, Sent::default()) })
    }

    fn get_as<'a>(
        &'a self,
        url: &'a Url,
        authorization: &'a str,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let sent = Sent {
            fields: Vec::new(),
            authorization: Some(authorization.to_owned()),
        };
        Box::pin(async move { self.answer(&self.gets, url, sent) })
    }

    fn post<'a>(&'a self, url: &'a Url, form: Form<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let pairs = form.fields.iter();
        let sent = Sent {
            fields: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            authorization: form.authorization.map(str::to_owned),
        };
        Box::pin(async move { self.answer(&self.posts, url, sent) })
    }
}

pub(super) fn question() -> Question {
    Question {
        redirect_uri: REDIRECT.to_owned(),
        state: "the-state".to_owned().into(),
        nonce: "the-nonce".to_owned().into(),
        verifier: VERIFIER.to_owned().into(),
        max_age: None,
        acr_values: Vec::new(),
    }
}

/// What a browser brings back, with these in the place of what a good answer has.
pub(super) fn fields(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [("state", "the-state"), ("code", "the-code")];
    let kept = own
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) struct Bench {
    pub(super) oidc: Oidc,
    pub(super) clock: Arc<Clock>,
    pub(super) net: Arc<Net>,
    pub(super) key: Pair,
    spec: IssuerSpec,
    client: OidcClient,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (clock, net, key) = (Arc::<Clock>::default(), Arc::<Net>::default(), Pair::new(1));
        let client = OidcClient {
            id: CLIENT.to_owned(),
            secret: Some(Secret::new(SECRET.to_owned())),
            scopes: ["openid", "offline_access", "groups"].map(str::to_owned).to_vec(),
            acr_values: Vec::new(),
        };
        let oidc = Self::made(&corp(), &client, &net, &clock);
        let bench = Self {
            oidc,
            clock,
            net,
            key,
            spec: corp(),
            client,
        };
        let keys = json!({"keys": [bench.key.jwk("k1")]});
        bench.net.page(JWKS, 200, keys.to_string().into_bytes());
        bench
            .net
            .page(DISCOVERY, 200, bench.document(json!({})).to_string().into_bytes());
        bench.serve(bench.whole(json!({})));
        bench
    }

    fn made(spec: &IssuerSpec, client: &OidcClient, net: &Arc<Net>, clock: &Arc<Clock>) -> Oidc {
        let world: Arc<dyn World> = clock.clone();
        Oidc::new(spec.clone(), client.clone(), net.clone(), world).unwrap()
    }

    /// The same with another client.
    pub(super) fn remake(&mut self, change: impl FnOnce(&mut OidcClient)) {
        change(&mut self.client);
        self.oidc = Self::made(&self.spec, &self.client, &self.net, &self.clock);
    }

    /// The same with other settings of the issuer.
    pub(super) fn issuer(&mut self, change: impl FnOnce(&mut IssuerSpec)) {
        change(&mut self.spec);
        self.oidc = Self::made(&self.spec, &self.client, &self.net, &self.clock);
    }

    pub(super) fn document(&self, changes: Value) -> Value {
        let document = json!({
            "issuer": ISSUER, "jwks_uri": JWKS, "token_endpoint": TOKEN, "userinfo_endpoint": USERINFO,
            "revocation_endpoint": REVOCATION, "authorization_endpoint": "https://login.example.com/auth",
        });
        with(document, changes)
    }

    /// The metadata with changes, read anew.
    pub(super) fn metadata(&mut self, changes: Value) {
        self.net
            .page(DISCOVERY, 200, self.document(changes).to_string().into_bytes());
        self.remake(|_| {});
    }

    pub(super) fn claims(&self) -> Value {
        let hash = Sha512::digest(ACCESS.as_bytes());
        json!({
            "iss": ISSUER, "aud": CLIENT, "sub": "alice", "nonce": "the-nonce", "iat": NOW, "exp": NOW + 600,
            "auth_time": NOW, "at_hash": b64(&hash[..32]), "groups": ["analysts", "unmapped"],
        })
    }

    pub(super) fn id_token(&self, changes: Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"});
        self.key.sign(&header, &with(self.claims(), changes))
    }

    /// A token answer, with changes.
    pub(super) fn whole(&self, changes: Value) -> Value {
        let answer = json!({
            "access_token": ACCESS, "token_type": "Bearer", "expires_in": 300, "refresh_token": "upstream-refresh",
            "id_token": self.id_token(json!({})),
        });
        with(answer, changes)
    }

    /// What the token endpoint says from now on.
    pub(super) fn serve(&self, answer: Value) {
        self.net.posts(TOKEN, 200, answer.to_string().into_bytes());
    }

    /// A sign-in where the token endpoint answers with these changes.
    pub(super) async fn answer(&self, changes: Value) -> Result<SignedIn, SignInError> {
        self.serve(self.whole(changes));
        self.oidc.finish(&question(), &fields(&[])).await
    }

    /// A sign-in whose ID token has these changes.
    pub(super) async fn sign_in(&self, changes: Value) -> Result<SignedIn, SignInError> {
        self.answer(json!({"id_token": self.id_token(changes)})).await
    }

    /// A sign-in whose ID token has this header.
    pub(super) async fn answer_with(&self, header: &Value, changes: Value) -> Result<SignedIn, SignInError> {
        let id_token = self.key.sign(header, &with(self.claims(), changes));
        self.answer(json!({"id_token": id_token})).await
    }

    /// Where a browser is sent, by its parts.
    pub(super) async fn asked(&self, question: &Question) -> BTreeMap<String, String> {
        let url = self.oidc.begin(question).await.unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "nothing is said twice: {url}");
        map
    }
}
