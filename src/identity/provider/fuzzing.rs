//! For `crate::fuzzing`.

use futures::FutureExt;
use url::Url;

use super::discovery::Endpoints;
use super::userinfo::{self, Said, Whom};
use super::{Question, id_token, logout};
use crate::identity::fuzzing::{CLIENT, ISSUER, NOW, Says, issuer};
use crate::identity::jose::Compact;
use crate::identity::spec::is_loopback;

/// A token whose signature is right, for us as a relying party.
pub(in crate::identity) fn token(token: &Compact<'_>) {
    let issuer = issuer();
    let _ = id_token::issued_by(&issuer, &token.claims);
    if let Ok(told) = logout::told(token, &issuer, CLIENT, NOW) {
        assert!(told.subject.is_some() || told.sid.is_some());
        assert!(told.until > NOW);
    }
    if let Ok(vouched) = id_token::claims(&token.header, token.claims.clone(), &issuer, CLIENT, NOW) {
        assert!(vouched.subject != CLIENT);
        assert!(vouched.auth_time.is_none_or(|at| at <= NOW));
    }
}

/// The metadata of a provider, and what it sends a browser back with.
pub(crate) fn discovery(data: &[u8]) {
    if let Ok(endpoints) = Endpoints::read(data, ISSUER) {
        for url in [&endpoints.authorization, &endpoints.token] {
            assert!(url.scheme() == "https" || is_loopback(url), "{url}");
        }
    }
}

/// The query that an authorization server sends a browser back with.
pub(crate) fn answer(data: &[u8]) {
    let metadata = serde_json::json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://login.example.com/token",
    });
    let Ok(endpoints) = Endpoints::read(metadata.to_string().as_bytes(), ISSUER) else {
        return;
    };
    let question = Question {
        redirect_uri: "https://gate.example.com/oauth/callback/corp".to_owned(),
        state: "the-state".to_owned().into(),
        nonce: "the-nonce".to_owned().into(),
        verifier: "v".repeat(43).into(),
        max_age: None,
        acr_values: Vec::new(),
    };
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(data).into_owned().collect();
    if let Ok(code) = endpoints.code(&fields, &question) {
        let states: Vec<&str> = fields
            .iter()
            .filter(|(name, _)| name == "state")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(states, ["the-state"]);
        assert!(!code.is_empty());
    }
}

/// What a userinfo endpoint says.
pub(crate) fn userinfo(data: &[u8]) {
    let says = Says(data.to_vec());
    let Ok(address) = Url::parse("https://login.example.com/userinfo") else {
        return;
    };
    let issuer = issuer();
    for whom in [Whom::Sub("alice"), Whom::Subject(&issuer, "alice")] {
        let said = userinfo::ask(&says, &address, "token", whom).now_or_never();
        if let Some(Ok(Said::Claims(claims))) = said {
            assert_eq!(claims.get("sub").and_then(|sub| sub.as_str()), Some("alice"));
        }
    }
}
