//! An issuer on loopback: discovery, one signing key, and tokens on request.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A running issuer; stops with the runtime that started it.
pub(crate) struct Issuer {
    pub(crate) url: String,
    key: Arc<EncodingKey>,
}

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
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { Json(metadata) }),
            )
            .route("/jwks", get(move || async move { Json(jwks) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let der = key.to_pkcs8_der().unwrap();
        Self {
            url,
            key: Arc::new(EncodingKey::from_ed_der(der.as_bytes())),
        }
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
        let mut claims = self.claims(client, subject, groups);
        let now = claims.get("iat").unwrap().clone();
        let members = claims.as_object_mut().unwrap();
        members.insert("auth_time".to_owned(), now);
        members.remove("scope");
        self.sign_as(Some("JWT"), &claims)
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
