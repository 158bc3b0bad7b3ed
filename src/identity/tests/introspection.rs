//! Tokens that are no JWT: who is asked, how often, and which answers let somebody in (RFC 7662).

use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::*;
use crate::identity::{Bearer, Identity, IssuerSpec, Opaque, Reason};
use crate::secret::Secret;

const ENDPOINT: &str = "https://login.example.com/realm/introspect";
const POST: &str = "POST https://login.example.com/realm/introspect";
const TOKEN: &str = "opaque-token_of.alice";

fn client() -> Opaque {
    Opaque {
        client_id: "tollgate:1".to_owned(),
        client_secret: Secret::new("s e+cret/%".to_owned()),
        endpoint: None,
    }
}

fn opaque() -> IssuerSpec {
    IssuerSpec {
        opaque: Some(client()),
        ..corp()
    }
}

/// What a good answer says.
fn answer() -> Value {
    json!({
        "active": true, "token_type": "Bearer", "iss": ISSUER, "aud": RESOURCE, "sub": "alice",
        "client_id": "agent-1", "iat": NOW, "exp": NOW + 600, "groups": ["analysts"], "scope": "mcp:read",
    })
}

fn discovery(changes: Value) -> Value {
    let document = json!({"issuer": ISSUER, "jwks_uri": JWKS, "introspection_endpoint": ENDPOINT});
    with(document, changes)
}

fn desk() -> Desk {
    let desk = Desk::with(opaque());
    desk.network.serve(DISCOVERY, 200, &discovery(json!({})), None);
    desk.network.serve(POST, 200, &answer(), None);
    desk
}

/// The desk after the issuer began to say something else of a token.
async fn says(changes: Value) -> Result<crate::call::Principal, Reason> {
    let desk = desk();
    desk.network.serve(POST, 200, &with(answer(), changes), None);
    desk.admit(TOKEN).await.map_err(|rejection| rejection.reason())
}

#[tokio::test]
async fn an_active_token_for_us_is_admitted_and_remembered_for_half_a_minute() {
    let desk = desk();
    let principal = desk.admit(TOKEN).await.unwrap();
    assert_eq!(principal.user.id(), "corp#alice");
    assert_eq!(principal.user.groups, set(&["analyst"]));
    assert_eq!(
        (principal.agent.client_id.as_str(), principal.agent.verified),
        ("agent-1", true)
    );
    desk.clock.advance(29);
    desk.admit(TOKEN).await.unwrap();
    assert_eq!(desk.network.count(POST), 1);
    desk.network.serve(POST, 200, &json!({"active": false}), None);
    desk.admit(TOKEN).await.unwrap();
    desk.clock.advance(1);
    assert_eq!(
        desk.refuse(TOKEN).await,
        Reason::Inactive,
        "taken back: half a minute at most"
    );
    assert_eq!(desk.network.count(POST), 2);
    assert_eq!(desk.network.count(JWKS), 0, "no key is needed");
}

#[tokio::test]
async fn the_end_of_the_token_bounds_what_is_remembered() {
    let desk = desk();
    desk.network
        .serve(POST, 200, &with(answer(), json!({"exp": NOW + 3})), None);
    desk.admit(TOKEN).await.unwrap();
    desk.clock.advance(3);
    desk.admit(TOKEN).await.unwrap();
    assert_eq!(
        desk.network.count(POST),
        2,
        "asked again: within the leeway, but no longer from memory"
    );
}

#[tokio::test]
async fn an_answer_is_checked_like_the_claims_of_a_signed_token() {
    assert!(
        says(json!({"iss": null, "iat": null})).await.is_ok(),
        "both optional"
    );
    for (changes, reason) in [
        (json!({"active": false}), Reason::Inactive),
        (json!({"active": "true"}), Reason::Unavailable),
        (json!({"active": null}), Reason::Unavailable),
        (json!({"iss": "https://other.example.com"}), Reason::Issuer),
        (json!({"aud": null}), Reason::Claim("aud")),
        (json!({"aud": "https://other.example.com/mcp"}), Reason::Audience),
        (json!({"aud": []}), Reason::Audience),
        (json!({"aud": {RESOURCE: 1}}), Reason::Claim("aud")),
        (json!({"exp": null}), Reason::Claim("exp")),
        (json!({"exp": NOW - 30}), Reason::Expired),
        (json!({"nbf": NOW + 31}), Reason::NotYetValid),
        (json!({"exp": NOW + 90_000}), Reason::Lifetime),
        (json!({"sub": null}), Reason::Claim("sub")),
        (json!({"token_type": "DPoP"}), Reason::SenderConstrained),
        (json!({"cnf": {"jkt": "x"}}), Reason::SenderConstrained),
        (json!({"token_type": "refresh_token"}), Reason::NotAnAccessToken),
        (json!({"token_type": null}), Reason::NotAnAccessToken),
        (json!({"nonce": "n"}), Reason::NotAnAccessToken),
        (json!({"aud": [RESOURCE, "agent-1"]}), Reason::NotAnAccessToken),
        (json!({"azp": "agent-2"}), Reason::Client),
        (json!({"scope": 7}), Reason::Claim("scope")),
        (
            json!({"groups": null}),
            Reason::Groups(crate::identity::GroupsFault::Missing),
        ),
        (
            json!({"hasgroups": true}),
            Reason::Groups(crate::identity::GroupsFault::Overage),
        ),
    ] {
        assert_eq!(says(changes.clone()).await.unwrap_err(), reason, "{changes}");
    }
}

#[tokio::test]
async fn we_say_who_we_are_as_the_issuer_wants_it() {
    let sent = |changes: Value| async move {
        let desk = desk();
        desk.network.serve(DISCOVERY, 200, &discovery(changes), None);
        desk.admit(TOKEN).await.unwrap();
        let posted = desk.network.posted.lock().unwrap().clone();
        assert_eq!(posted.len(), 1);
        posted.into_iter().next().unwrap()
    };
    // base64("tollgate%3A1:s%20e%2Bcret%2F%25")
    let basic = "Basic dG9sbGdhdGUlM0ExOnMlMjBlJTJCY3JldCUyRiUyNQ==";
    let (fields, authorization) = sent(json!({})).await;
    assert_eq!(authorization.as_deref(), Some(basic));
    assert_eq!(fields.get("token").map(String::as_str), Some(TOKEN));
    assert_eq!(
        fields.get("token_type_hint").map(String::as_str),
        Some("access_token")
    );
    assert!(!fields.contains_key("client_secret"));
    let both = json!({"introspection_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"]});
    assert!(sent(both).await.1.is_some());
    let posts = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    let (fields, authorization) = sent(posts).await;
    assert_eq!(authorization, None);
    assert_eq!(
        fields.get("client_secret").map(String::as_str),
        Some("s e+cret/%")
    );
}

#[tokio::test]
async fn a_discovery_document_cannot_send_tokens_elsewhere() {
    for elsewhere in [
        json!("https://evil.example.com/introspect"),
        json!("https://login.example.com:8443/introspect"),
        json!("http://login.example.com/introspect"),
        json!("https://x@login.example.com/introspect"),
        json!(null),
        json!(7),
    ] {
        let desk = desk();
        let document = discovery(json!({"introspection_endpoint": elsewhere}));
        desk.network.serve(DISCOVERY, 200, &document, None);
        assert_eq!(desk.refuse(TOKEN).await, Reason::Unavailable, "{elsewhere}");
        assert!(desk.network.posted.lock().unwrap().is_empty(), "{elsewhere}");
    }
    let mut configured = opaque();
    configured.opaque = Some(Opaque {
        endpoint: Some("https://tokens.example.com/introspect".to_owned()),
        ..client()
    });
    let desk = Desk::with(configured);
    desk.network
        .serve("POST https://tokens.example.com/introspect", 200, &answer(), None);
    desk.admit(TOKEN).await.unwrap();
    assert_eq!(
        desk.network.count(DISCOVERY),
        0,
        "what is configured is not looked up"
    );
}

#[tokio::test]
async fn tokens_of_ours_and_broken_jwts_never_go_upstream() {
    let desk = desk();
    for token in [
        "tga_x",
        "tgr_x",
        "tgc_x",
        "tgd_x",
        "tgk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(desk.refuse(token).await, Reason::Ended, "{token}");
    }
    let unsigned = format!("{}.", desk.good().rsplit_once('.').unwrap().0);
    assert_eq!(desk.refuse(&unsigned).await, Reason::Signature);
    let none = desk.key.sign(&json!({"alg": "none"}), &claims());
    assert_eq!(desk.refuse(&none).await, Reason::Algorithm);
    for never_issued in ["a b", "a\"b", "a%0d%0ab", &"x".repeat(5_000)] {
        assert_eq!(desk.refuse(never_issued).await, Reason::Opaque);
    }
    assert_eq!(desk.refuse(&"x".repeat(17_000)).await, Reason::Oversized);
    assert!(desk.network.posted.lock().unwrap().is_empty());
    // A signed token of the same issuer is still checked by its signature alone.
    assert_eq!(desk.admit(&desk.good()).await.unwrap().user.id(), "corp#alice");
    assert!(desk.network.posted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn all_who_ask_at_once_are_one_question() {
    let desk = desk();
    let wire = desk.network.wire.lock().await;
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let identity = Arc::clone(&desk.identity);
            tokio::spawn(async move { identity.admit(Bearer(Some(TOKEN))).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(wire);
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    assert_eq!(desk.network.count(POST), 1);
    assert_eq!(desk.network.count(DISCOVERY), 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nothing_from_the_others() {
    let desk = desk();
    let wire = desk.network.wire.lock().await;
    let ask = || {
        let identity = Arc::clone(&desk.identity);
        tokio::spawn(async move { identity.admit(Bearer(Some(TOKEN))).await.is_ok() })
    };
    let (first, second) = (ask(), ask());
    tokio::task::yield_now().await;
    first.abort();
    let _ = first.await;
    drop(wire);
    assert!(second.await.unwrap());
    assert_eq!(desk.network.count(POST), 1);
}

#[tokio::test]
async fn strangers_cannot_make_us_ask_without_bound() {
    let desk = desk();
    desk.admit(TOKEN).await.unwrap();
    desk.network.serve(POST, 200, &json!({"active": false}), None);
    for _ in 0..100 {
        assert_eq!(desk.refuse("made-up").await, Reason::Inactive);
    }
    assert_eq!(desk.network.count(POST), 2, "a dead token is asked about once");
    desk.clock.advance(10);
    assert_eq!(desk.refuse("made-up").await, Reason::Inactive);
    assert_eq!(desk.network.count(POST), 3);

    let wire = desk.network.wire.lock().await;
    let mut waiting = Vec::new();
    for n in 0..64 {
        let identity = Arc::clone(&desk.identity);
        let token = format!("made-up-{n}");
        waiting.push(tokio::spawn(async move {
            identity.admit(Bearer(Some(&token))).await.unwrap_err().reason()
        }));
    }
    while desk.network.count(POST) < 67 {
        tokio::task::yield_now().await;
    }
    let rejection = desk.admit("one-too-many").await.unwrap_err();
    assert_eq!(
        (rejection.reason(), rejection.status()),
        (Reason::Unavailable, 503)
    );
    desk.admit(TOKEN).await.expect("who is known needs no question");
    drop(wire);
    for asked in waiting {
        assert_eq!(asked.await.unwrap(), Reason::Inactive);
    }
    assert_eq!(
        desk.refuse("one-too-many").await,
        Reason::Inactive,
        "there is room again"
    );
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_lets_nobody_in_and_costs_nobody_their_token() {
    let desk = desk();
    for (status, body) in [
        (401, json!({"error": "invalid_client"})),
        (403, json!({})),
        (400, json!({"active": true})),
        (500, json!({"active": true})),
        (302, answer()),
        (200, json!("active")),
    ] {
        desk.network.serve(POST, status, &body, None);
        let rejection = desk.admit(TOKEN).await.unwrap_err();
        assert_eq!(
            (rejection.reason(), rejection.status()),
            (Reason::Unavailable, 503),
            "{status}"
        );
    }
    desk.network.cut(POST);
    assert_eq!(desk.refuse(TOKEN).await, Reason::Unavailable);
    desk.network.serve(POST, 200, &answer(), None);
    desk.admit(TOKEN).await.expect("nothing of it is remembered");

    let away = Desk::with(opaque());
    away.network.cut(DISCOVERY);
    for _ in 0..20 {
        assert_eq!(away.refuse(TOKEN).await, Reason::Unavailable);
    }
    assert_eq!(
        away.network.count(DISCOVERY),
        1,
        "strangers do not make us look again"
    );
    away.network.serve(DISCOVERY, 200, &discovery(json!({})), None);
    away.network.serve(POST, 200, &answer(), None);
    away.clock.advance(10);
    away.admit(TOKEN).await.unwrap();
}

#[test]
fn only_one_issuer_may_have_opaque_tokens() {
    let second = IssuerSpec {
        opaque: Some(client()),
        ..IssuerSpec::new("other", "https://b.example.com", RESOURCE)
    };
    let desk = Desk::new();
    let world: Arc<dyn crate::clock::World> = desk.clock.clone();
    let refused = Identity::new(spec(vec![opaque(), second]), desk.network.clone(), world).unwrap_err();
    assert!(refused.to_string().contains("`corp` and `other`"), "{refused}");
    assert!(refused.to_string().contains("only one"), "{refused}");
}

#[tokio::test]
async fn nothing_secret_shows() {
    let desk = desk();
    desk.admit(TOKEN).await.unwrap();
    let shown = format!("{:?} {:?}", desk.identity, client());
    for secret in [TOKEN, "s e+cret", "dG9sbGdhdGU"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn a_token_taken_back_during_a_call_does_not_stand_at_its_end() {
    let desk = desk();
    let principal = desk.admit(TOKEN).await.unwrap();
    desk.clock.advance(29);
    desk.identity.stands(&principal).await.unwrap();
    assert_eq!(
        desk.network.count(POST),
        1,
        "an answer of half a minute ago counts"
    );
    desk.clock.advance(1);
    desk.identity.stands(&principal).await.unwrap();
    assert_eq!(
        desk.network.count(POST),
        2,
        "asked again, though nobody sent the token again"
    );
    desk.network.serve(POST, 200, &json!({"active": false}), None);
    desk.clock.advance(29);
    desk.identity.stands(&principal).await.unwrap();
    desk.clock.advance(1);
    let refusal = desk.identity.stands(&principal).await.unwrap_err();
    assert!(refusal.message.contains("was taken back"), "{refusal:?}");
    assert_eq!(desk.network.count(POST), 3);
    let shown = format!("{:?}", desk.identity);
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn whoever_is_somebody_else_meanwhile_does_not_stand() {
    for changes in [
        json!({"sub": "mallory"}),
        json!({"client_id": "agent-2"}),
        json!({"groups": []}),
        json!({"aud": "https://other.example.com/mcp"}),
        json!({"exp": NOW + 20}),
        json!({"gty": "client-credentials"}),
    ] {
        let desk = desk();
        let principal = desk.admit(TOKEN).await.unwrap();
        desk.network
            .serve(POST, 200, &with(answer(), changes.clone()), None);
        desk.clock.advance(61);
        assert!(desk.identity.stands(&principal).await.is_err(), "{changes}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_lets_nobody_change_anything_and_says_so() {
    let desk = desk();
    let principal = desk.admit(TOKEN).await.unwrap();
    desk.network.cut(POST);
    desk.clock.advance(30);
    let refusal = desk.identity.stands(&principal).await.unwrap_err();
    assert!(refusal.message.contains("does not answer"), "{refusal:?}");
    desk.network.serve(POST, 200, &answer(), None);
    desk.identity.stands(&principal).await.unwrap();
}

#[tokio::test]
async fn a_newer_token_of_the_same_caller_is_the_one_asked_about() {
    let desk = desk();
    let principal = desk.admit(TOKEN).await.unwrap();
    assert_eq!(desk.admit("opaque-token_2").await.unwrap(), principal);
    desk.clock.advance(30);
    desk.identity.stands(&principal).await.unwrap();
    let posted = desk.network.posted.lock().unwrap().clone();
    let last = posted.last().unwrap().0.get("token").cloned();
    assert_eq!(last.as_deref(), Some("opaque-token_2"));
}
