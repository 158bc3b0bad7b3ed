//! What is refused before the first token: configuration. What is said to clients, and never said at all.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::desk::*;
use crate::identity::{Bearer, GroupMap, Identity, IdentitySpec, IssuerSpec, Reason};

fn fault(spec: IdentitySpec) -> String {
    let desk = Desk::new();
    Identity::new(spec, desk.network, desk.clock)
        .unwrap_err()
        .to_string()
}

#[test]
fn an_unsound_issuer_refuses_to_start() {
    let changed = |change: fn(&mut IssuerSpec)| {
        let mut issuer = corp();
        change(&mut issuer);
        fault(spec(vec![issuer]))
    };
    for (message, expected) in [
        (changed(|i| i.name = "Corp".into()), "a-z"),
        (changed(|i| i.name = "corp#x".into()), "a-z"),
        (changed(|i| i.name = "a:b".into()), "a-z"),
        (changed(|i| i.name = String::new()), "a-z"),
        (changed(|i| i.name = "local".into()), "stdio"),
        (changed(|i| i.name = "service".into()), "API keys"),
        (changed(|i| i.name = "demo".into()), "loopback"),
        (
            changed(|i| i.url = "http://login.example.com".into()),
            "must be https",
        ),
        (
            changed(|i| i.url = "http://127.0.0.1.example.com".into()),
            "must be https",
        ),
        (
            changed(|i| i.url = "http://localhost.example.com".into()),
            "must be https",
        ),
        (
            changed(|i| i.url = "ftp://login.example.com".into()),
            "must be https",
        ),
        (
            changed(|i| i.url = "login.example.com".into()),
            "not an absolute URL",
        ),
        (
            changed(|i| i.url = "https://a:b@login.example.com".into()),
            "user name",
        ),
        (
            changed(|i| i.url = "https://login.example.com/#x".into()),
            "fragment",
        ),
        (
            changed(|i| i.url = "https://login.example.com/?x=1".into()),
            "query",
        ),
        (
            changed(|i| i.jwks_uri = Some("http://login.example.com/k".into())),
            "jwks_uri",
        ),
        (changed(|i| i.audience = String::new()), "audience is empty"),
        (changed(|i| i.algorithms.clear()), "algorithms is empty"),
        (
            changed(|i| i.groups_claim = Some("groups".into())),
            "JSON pointer",
        ),
        (changed(|i| i.groups_claim = Some(String::new())), "JSON pointer"),
        (changed(|i| i.groups_claim = None), "no groups_claim"),
        (
            changed(|i| i.required_scopes = vec!["a b".into()]),
            "not one scope",
        ),
        (changed(|i| i.max_lifetime_seconds = 0), "max_lifetime_seconds"),
    ] {
        assert!(message.contains(expected), "{message} / {expected}");
    }
}

#[test]
fn a_contradictory_specification_refuses_to_start() {
    let twin = |name: &str, url: &str| fault(spec(vec![corp(), IssuerSpec::new(name, url, RESOURCE)]));
    assert!(twin("corp", "https://b.example.com").contains("configured twice"));
    assert!(twin("other", ISSUER).contains("two issuers"));
    assert!(fault(spec(vec![])).contains("`corp` is not a configured issuer"));
    let with_resource = |resource: &str| {
        let mut spec = spec(vec![corp()]);
        spec.resource = resource.to_owned();
        fault(spec)
    };
    for resource in [
        "",
        "/mcp",
        "http://tollgate.example.com/mcp",
        "https://h/mcp#x",
        "https://u@h/mcp",
    ] {
        assert!(with_resource(resource).contains("resource"), "{resource}");
    }
    let mut quoted = spec(vec![corp()]);
    quoted.scopes = vec!["a\"b".to_owned()];
    assert!(
        fault(quoted).contains("not one scope"),
        "it would break out of the challenge"
    );
}

#[test]
fn loopback_issuers_may_speak_http() {
    for url in [
        "http://127.0.0.1:9400",
        "http://[::1]:9400/x",
        "http://localhost:9400",
        "http://127.9.9.9/",
    ] {
        let desk = Desk::new();
        let issuer = IssuerSpec::new("corp", url, RESOURCE);
        Identity::new(spec(vec![issuer]), desk.network, desk.clock).unwrap();
    }
}

#[tokio::test]
async fn incident_44_without_issuers_every_token_is_refused() {
    let desk = Desk::new();
    let mut none = spec(vec![]);
    none.groups = GroupMap::default();
    let identity = Identity::new(none, desk.network.clone(), desk.clock.clone()).unwrap();
    assert_eq!(
        identity
            .admit(Bearer(Some(&desk.good())))
            .await
            .unwrap_err()
            .reason(),
        Reason::Issuer
    );
}

#[tokio::test]
async fn challenges_follow_rfc_6750_and_rfc_9728() {
    let desk = Desk::new();
    let plain = "Bearer resource_metadata=\"https://tollgate.example.com/.well-known/oauth-protected-resource/mcp\", \
                 scope=\"mcp:read mcp:write\"";
    let missing = desk.identity.admit(Bearer(None)).await.unwrap_err();
    assert_eq!((missing.status(), missing.challenge().as_str()), (401, plain));
    let wrong = desk.admit("x").await.unwrap_err();
    let expected =
        format!("{plain}, error=\"invalid_token\", error_description=\"The token was not accepted.\"");
    assert_eq!((wrong.status(), wrong.challenge()), (401, expected));
    let groups = desk.key.sign(&header(), &with(claims(), json!({"groups": null})));
    let groups = desk.admit(&groups).await.unwrap_err();
    assert!(
        groups.challenge().contains("tell your operator"),
        "{}",
        groups.challenge()
    );
    assert!(groups.to_string().contains("groups claim is missing"), "{groups}");
}

#[test]
fn metadata_follows_rfc_9728() {
    let desk = Desk::new();
    let document = desk.identity.protected_resource_metadata();
    assert_eq!(
        document,
        json!({
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["mcp:read", "mcp:write"],
            "resource_name": "Tollgate",
        })
    );
    let bare = "/.well-known/oauth-protected-resource";
    assert_eq!(
        desk.identity.metadata_paths(),
        [bare.to_owned(), format!("{bare}/mcp")]
    );
}

#[tokio::test]
async fn rejections_are_counted_by_reason() {
    let desk = Desk::new();
    for _ in 0..3 {
        desk.refuse("garbage").await;
    }
    desk.refuse_claims(json!({"aud": "x"})).await;
    let _ = desk.identity.admit(Bearer(None)).await;
    let counts = desk.identity.rejections();
    assert_eq!(
        (
            counts["opaque"],
            counts["audience"],
            counts["missing"],
            counts["expired"]
        ),
        (3, 1, 1, 0)
    );
    assert_eq!(counts.values().sum::<u64>(), 5);
}

#[tokio::test]
async fn every_reason_has_a_counter_and_a_sound_description() {
    use crate::identity::GroupsFault as G;
    let desk = Desk::new();
    let reasons = [
        Reason::Missing,
        Reason::Oversized,
        Reason::Opaque,
        Reason::Inactive,
        Reason::Subject,
        Reason::Ended,
        Reason::Unavailable,
        Reason::Malformed,
        Reason::Critical,
        Reason::Algorithm,
        Reason::Type,
        Reason::Issuer,
        Reason::UnknownKey,
        Reason::KeysUnavailable,
        Reason::Signature,
        Reason::Claim("x"),
        Reason::Audience,
        Reason::Expired,
        Reason::NotYetValid,
        Reason::Lifetime,
        Reason::NotAnAccessToken,
        Reason::NotAnIdToken,
        Reason::NotALogoutToken,
        Reason::Weak,
        Reason::SenderConstrained,
        Reason::Client,
        Reason::Required,
        Reason::Scope,
        Reason::Groups(G::Missing),
    ];
    for reason in reasons {
        let challenge = desk.identity.reject(reason, None).challenge();
        assert!(
            challenge.is_ascii() && challenge.matches('"').count().is_multiple_of(2),
            "{challenge}"
        );
        assert!(!challenge.contains('\\') && challenge.len() < 400, "{challenge}");
        assert_eq!(desk.identity.rejections()[reason.word()], 1, "{reason:?}");
    }
    assert_eq!(desk.identity.rejections().len(), reasons.len());
}

/// Everything logged while it lives, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_appears_in_logs_errors_or_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let desk = Desk::new();
    let mut tokens = vec![
        desk.good(),
        "opaque-sesame-token".to_owned(),
        "sesame.sesame.sesame".to_owned(),
    ];
    for changes in [
        json!({"exp": 1}),
        json!({"aud": "sesame-audience"}),
        json!({"groups": "sesame-group"}),
        json!({"iss": "https://sesame.example.org"}),
        json!({"client_id": 1}),
    ] {
        tokens.push(desk.key.sign(&header(), &with(claims(), changes)));
    }
    tokens.push(
        desk.key
            .sign(&with(header(), json!({"kid": "sesame-kid"})), &claims()),
    );
    tokens.push(Pair::new(3).sign(&header(), &claims()));
    let mut seen = String::new();
    for token in &tokens {
        seen.push_str(&format!("{:?}", Bearer(Some(token))));
        match desk.admit(token).await {
            Ok(_) => {}
            Err(rejection) => {
                seen.push_str(&format!("{rejection:?} {rejection} {}", rejection.challenge()));
                seen.push_str(&format!("{:?} {}", rejection.reason(), rejection.reason()));
            }
        }
    }
    seen.push_str(&format!("{:?}", desk.identity));
    drop(guard);
    seen.push_str(&String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(
        seen.contains("credential not accepted") && seen.contains("login refused"),
        "the log is on: {seen}"
    );
    for token in &tokens {
        for part in token.split('.').filter(|part| part.len() > 5) {
            assert!(!seen.contains(part), "{part} in {seen}");
        }
    }
    assert!(!seen.contains("sesame"), "{seen}");
}

#[test]
fn the_process_is_the_session_of_stdio() {
    let desk = Desk::new();
    let (one, two) = (desk.identity.local(), desk.identity.local());
    assert_eq!(one, two);
    assert_eq!(one.user.issuer, "local");
    let uid = rustix::process::getuid().as_raw();
    assert!(
        one.user.subject.starts_with(&format!("{uid}@")),
        "{}",
        one.user.subject
    );
    assert_eq!(
        (one.agent.client_id.as_str(), one.agent.verified),
        ("stdio", false)
    );
    assert_eq!(one.session.id.len(), 32);
    let other = Identity::new(spec(vec![corp()]), desk.network.clone(), desk.clock.clone()).unwrap();
    assert_ne!(other.local().session.id, one.session.id);
}
