//! An issuer on loopback: discovery, one signing key, and tokens on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A running issuer; stops with the runtime that started it.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    key: Arc<EncodingKey>,
    /// Who is at the browser.
    person: Arc<Mutex<(String, Vec<String>)>>,
}

/// The parameters of a request.
type Parameters = HashMap<String, String>;

impl Issuer {
    pub(crate) async fn start() -> Self {
        let mut seed = [0; 32];
        tollgate::clock::World::random(&tollgate::clock::System::new(), &mut seed);
        let key = SigningKey::from_bytes(&seed);
        let jwks = json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one",
            "x": URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
        }]});
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"),
            "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        let der = key.to_pkcs8_der().unwrap();
        let issuer = Self {
            url,
            key: Arc::new(EncodingKey::from_ed_der(der.as_bytes())),
            person: Arc::default(),
        };
        let router = issuer
            .signing_in()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { Json(metadata) }),
            )
            .route("/jwks", get(move || async move { Json(jwks) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    /// Whoever is sent here in a browser from now on is this person, and signs in at once.
    pub(crate) fn at_the_browser(&self, subject: &str, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        *self.person.lock().unwrap() = (subject.to_owned(), groups);
    }

    /// The authorization code flow (OpenID Connect Core, section 3.1), without a page that asks.
    fn signing_in(&self) -> Router {
        let codes: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let (issuer, given) = (self.clone(), Arc::clone(&codes));
        let authorize = async move |Query(asked): Query<Parameters>| {
            let (subject, groups) = issuer.person.lock().unwrap().clone();
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let mut claims = issuer.id_claims(&asked["client_id"], &subject, &groups);
            if let Some(nonce) = asked.get("nonce") {
                claims["nonce"] = json!(nonce);
            }
            let mut given = given.lock().unwrap();
            let code = format!("code-{}", given.len());
            given.insert(code.clone(), issuer.sign_as(Some("JWT"), &claims));
            let mut back = url::Url::parse(&asked["redirect_uri"]).unwrap();
            back.query_pairs_mut()
                .append_pair("code", &code)
                .append_pair("state", &asked["state"]);
            Redirect::to(back.as_str())
        };
        let token = async move |Form(said): Form<Parameters>| {
            let id_token = codes.lock().unwrap().remove(&said["code"]).unwrap();
            Json(
                json!({"access_token": "none", "token_type": "Bearer", "expires_in": 60, "id_token": id_token}),
            )
        };
        Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
    }

    /// An access token (RFC 9068) that is good for an hour.
    pub(crate) fn token(&self, audience: &str, subject: &str, groups: &[&str]) -> String {
        let mut claims = self.claims(audience, subject, groups);
        claims
            .as_object_mut()
            .unwrap()
            .insert("client_id".into(), json!("test-agent"));
        self.sign(claims)
    }

    /// The same without a client.
    pub(crate) fn anonymous_agent(&self, audience: &str, subject: &str, groups: &[&str]) -> String {
        self.sign(self.claims(audience, subject, groups))
    }

    fn claims(&self, audience: &str, subject: &str, groups: &[&str]) -> Value {
        let now = tollgate::clock::World::now(&tollgate::clock::System::new()).seconds();
        json!({
            "iss": self.url, "aud": audience, "sub": subject, "jti": "1",
            "iat": now, "exp": now + 3600, "scope": "mcp", "groups": groups,
        })
    }

    fn sign(&self, claims: Value) -> String {
        self.sign_as(Some("at+jwt"), &claims)
    }

    /// An ID token of this client, of somebody who signed in just now.
    pub(crate) fn id_token(&self, client: &str, subject: &str, groups: &[&str]) -> String {
        self.sign_as(Some("JWT"), &self.id_claims(client, subject, groups))
    }

    fn id_claims(&self, client: &str, subject: &str, groups: &[&str]) -> Value {
        let mut claims = self.claims(client, subject, groups);
        let now = claims.get("iat").unwrap().clone();
        let members = claims.as_object_mut().unwrap();
        members.insert("auth_time".to_owned(), now);
        members.remove("scope");
        claims
    }

    /// Any claims under any type.
    pub(crate) fn sign_as(&self, typ: Option<&str>, claims: &Value) -> String {
        let header = Header {
            typ: typ.map(str::to_owned),
            kid: Some("one".into()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}
