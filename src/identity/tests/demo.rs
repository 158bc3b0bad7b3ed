//! The demo issuer: honest tokens, loopback only, secrets that cannot be guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::desk::{Clock, Network, RESOURCE, set};
use crate::call::UserKind;
use crate::identity::issuer::{Credential, DemoIssuer, DemoSpec, TokenRefused};
use crate::identity::{Bearer, GroupMap, Identity, IdentitySpec, Reason};

const URL: &str = "http://127.0.0.1:7330/demo";

fn demo() -> DemoSpec {
    DemoSpec {
        url: URL.to_owned(),
        audience: RESOURCE.to_owned(),
        users: BTreeMap::from([
            ("analyst".to_owned(), set(&["analysts"])),
            ("developer".to_owned(), BTreeSet::new()),
        ]),
        token_seconds: 3_600,
        control: None,
    }
}

fn start(clock: &Arc<Clock>) -> (DemoIssuer, Vec<Credential>) {
    DemoIssuer::start(demo(), clock.clone()).unwrap()
}

fn identity(issuer: &DemoIssuer, clock: &Arc<Clock>) -> Identity {
    let network = Arc::<Network>::default();
    let base = URL.trim_end_matches("/demo");
    let paths = issuer.paths();
    for path in &paths.metadata {
        network.serve(&format!("{base}{path}"), 200, &issuer.metadata(), None);
    }
    network.serve(&format!("{base}{}", paths.jwks), 200, &issuer.jwks(), None);
    let spec = IdentitySpec {
        issuers: vec![issuer.issuer_spec()],
        groups: GroupMap::parse([("analyst", vec!["demo:analysts"])]).unwrap(),
        resource: RESOURCE.to_owned(),
        scopes: vec![],
        facade: None,
        own: Vec::new(),
    };
    Identity::new(spec, network, clock.clone()).unwrap()
}

#[tokio::test]
async fn its_tokens_pass_the_same_checks_as_any_others() {
    let clock = Arc::<Clock>::default();
    let (issuer, secrets) = start(&clock);
    let identity = identity(&issuer, &clock);
    let (name, secret) = &secrets[0];
    let token = issuer.token(name, secret, "claude-code").unwrap();
    let principal = identity.admit(Bearer(Some(&token))).await.unwrap();
    assert_eq!(principal.user.id(), "demo#analyst");
    assert_eq!(principal.user.kind, UserKind::Person);
    assert_eq!(principal.user.groups, set(&["analyst"]));
    assert_eq!(principal.agent.client_id, "claude-code");
    assert_ne!(
        issuer.token(name, secret, "claude-code").unwrap(),
        token,
        "every token is another"
    );
    clock.advance(3_631);
    assert_eq!(
        identity.admit(Bearer(Some(&token))).await.unwrap_err().reason(),
        Reason::Expired
    );
    assert_eq!(identity.probe().await, [("demo".to_owned(), Ok(1))]);
}

#[tokio::test]
async fn incident_44_a_token_of_an_earlier_start_is_worthless() {
    let clock = Arc::<Clock>::default();
    let (earlier, secrets) = start(&clock);
    let (now, _) = start(&clock);
    let token = earlier.token("analyst", &secrets[0].1, "x").unwrap();
    let refused = identity(&now, &clock)
        .admit(Bearer(Some(&token)))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Reason::UnknownKey);
    assert_eq!(
        now.token("analyst", &secrets[0].1, "x"),
        Err(TokenRefused::BadCredentials)
    );
}

#[test]
fn wrong_secrets_are_refused_and_then_paused_whether_the_user_exists_or_not() {
    let clock = Arc::<Clock>::default();
    let (issuer, secrets) = start(&clock);
    for user in ["analyst", "nobody"] {
        for _ in 0..5 {
            assert_eq!(
                issuer.token(user, "guess", "x"),
                Err(TokenRefused::BadCredentials)
            );
        }
        assert_eq!(
            issuer.token(user, "guess", "x"),
            Err(TokenRefused::TooManyAttempts)
        );
    }
    assert_eq!(
        issuer.token("analyst", &secrets[0].1, "x"),
        Err(TokenRefused::TooManyAttempts)
    );
    issuer.token("developer", &secrets[1].1, "x").unwrap();
    clock.advance(60);
    issuer.token("analyst", &secrets[0].1, "x").unwrap();
    assert_eq!(
        issuer.token("developer", &secrets[0].1, "x"),
        Err(TokenRefused::BadCredentials)
    );
    assert_eq!(issuer.token("", "", "x"), Err(TokenRefused::BadCredentials));
    for client in ["", "a b", "x\"", &"x".repeat(65)] {
        assert_eq!(
            issuer.token("developer", &secrets[1].1, client),
            Err(TokenRefused::BadClient)
        );
    }
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
    assert!(refused(|s| s.token_seconds = 0).contains("86,400"));
    assert!(refused(|s| s.audience.clear()).contains("audience"));
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
