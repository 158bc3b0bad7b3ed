//! The demo's identity provider: honest tokens, loopback only, secrets that cannot be guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::desk::{Clock, set};
use crate::identity::issuer::{Credential, DemoClient, DemoIssuer, DemoSpec, Page, TokenRefused};

const URL: &str = "http://127.0.0.1:7330/demo";
const VERIFIER: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

fn demo() -> DemoSpec {
    DemoSpec {
        url: URL.to_owned(),
        users: BTreeMap::from([
            ("analyst".to_owned(), set(&["analysts"])),
            ("developer".to_owned(), BTreeSet::new()),
        ]),
        clients: vec![client("tollgate"), client("other")],
    }
}

fn start(clock: &Arc<Clock>) -> (DemoIssuer, Vec<Credential>) {
    DemoIssuer::start(demo(), clock.clone()).unwrap()
}

fn client(id: &str) -> DemoClient {
    DemoClient {
        id: id.to_owned(),
        redirect_uris: [format!("https://{id}.example.com/back")].into(),
        terminal: false,
    }
}

/// The fields of an authorization request, with the person's answer.
fn asked(client: &str, user: &str, secret: &str) -> Vec<(String, String)> {
    let challenge = URL_SAFE_NO_PAD.encode(crate::call::Hash::of(VERIFIER.as_bytes()).0);
    let back = format!("https://{client}.example.com/back");
    let fields = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", &back),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("username", user),
        ("password", secret),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// What a sign-in for a client comes to: a code, or the status of the page that is shown again.
fn code(issuer: &DemoIssuer, client: &str, user: &str, secret: &str) -> Result<String, u16> {
    match issuer.authorize(&asked(client, user, secret), true) {
        Page::Html(status, _) => Err(status),
        Page::See(place) => {
            let place = url::Url::parse(&place).unwrap();
            let code = place.query_pairs().find(|(name, _)| name == "code");
            Ok(code.unwrap().1.into_owned())
        }
    }
}

fn redeem(issuer: &DemoIssuer, client: &str, code: &str) -> Result<Value, TokenRefused> {
    let back = format!("https://{client}.example.com/back");
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("redirect_uri", &back),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    issuer.redeem(&fields.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

#[test]
fn a_code_is_good_once_for_its_client_for_a_minute() {
    let clock = Arc::<Clock>::default();
    let (issuer, secrets) = start(&clock);
    let (user, secret) = (&secrets[0].0, &secrets[0].1);
    let first = code(&issuer, "tollgate", user, secret).unwrap();
    let token = redeem(&issuer, "tollgate", &first).unwrap()["id_token"].clone();
    let claims = token.as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("analyst"), &json!("tollgate"))
    );
    assert_eq!(claims["groups"], json!(["analysts"]));
    assert_eq!(
        redeem(&issuer, "tollgate", &first),
        Err(TokenRefused::BadCredentials)
    );
    let second = code(&issuer, "tollgate", user, secret).unwrap();
    assert_eq!(
        redeem(&issuer, "other", &second),
        Err(TokenRefused::BadCredentials)
    );
    let third = code(&issuer, "tollgate", user, secret).unwrap();
    clock.advance(60);
    assert_eq!(
        redeem(&issuer, "tollgate", &third),
        Err(TokenRefused::BadCredentials)
    );
    assert_eq!(redeem(&issuer, "nobody", &third), Err(TokenRefused::BadClient));
}

#[test]
fn wrong_secrets_are_refused_and_then_paused_whether_the_user_exists_or_not() {
    let clock = Arc::<Clock>::default();
    let (issuer, secrets) = start(&clock);
    let answer = |user: &str, secret: &str| code(&issuer, "tollgate", user, secret).map(drop);
    for user in ["analyst", "nobody"] {
        for _ in 0..5 {
            assert_eq!(answer(user, "guess"), Err(403));
        }
        assert_eq!(answer(user, "guess"), Err(429));
    }
    assert_eq!(answer("analyst", &secrets[0].1), Err(429));
    assert_eq!(answer("developer", &secrets[1].1), Ok(()));
    clock.advance(60);
    assert_eq!(answer("analyst", &secrets[0].1), Ok(()));
    assert_eq!(answer("developer", &secrets[0].1), Err(403));
    assert_eq!(answer("", ""), Err(403));
}

#[test]
fn it_serves_loopback_alone() {
    let refused = |change: fn(&mut DemoSpec)| {
        let mut spec = demo();
        change(&mut spec);
        DemoIssuer::start(spec, Arc::<Clock>::default())
            .unwrap_err()
            .to_string()
    };
    for message in [
        refused(|s| s.url = "https://demo.example.com".into()),
        refused(|s| s.url = "http://0.0.0.0:7330".into()),
        refused(|s| s.url = "http://10.0.0.1:7330".into()),
        refused(|s| s.url = "http://127.0.0.1@evil.example.org/".into()),
        refused(|s| s.url = "http://[::]:7330".into()),
    ] {
        assert!(message.contains("loopback"), "{message}");
    }
    assert!(refused(|s| s.users.clear()).contains("no user"));
    assert!(refused(|s| drop(s.users.insert("a#b".into(), BTreeSet::new()))).contains("login name"));
    assert!(refused(|s| s.clients.clear()).contains("clients"));
}

#[test]
fn secrets_are_long_fresh_and_never_shown() {
    let clock = Arc::<Clock>::default();
    let (issuer, secrets) = start(&clock);
    let (_, others) = start(&clock);
    assert_eq!(secrets.len(), 2);
    let shown = format!("{issuer:?} {} {}", issuer.metadata(), issuer.jwks());
    for (_, secret) in secrets.iter().chain(&others) {
        assert_eq!(secret.len(), 32);
        assert!(!shown.contains(secret.as_str()));
    }
    assert_ne!(secrets[0].1, secrets[1].1);
    assert_ne!(secrets[0].1, others[0].1);
    let jwks = issuer.jwks();
    assert!(jwks["keys"][0].get("d").is_none(), "{jwks}");
    assert_eq!(issuer.metadata()["token_endpoint"], json!(format!("{URL}/token")));
    assert_eq!(issuer.paths().token, "/demo/token");
}
