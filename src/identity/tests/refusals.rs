//! Tokens that must not pass, and the principal of one that does.

use serde_json::{Value, json};

use super::desk::*;
use crate::call::UserKind;
use crate::identity::{Bearer, GroupsFault, Reason};

#[tokio::test]
async fn a_good_token_names_user_groups_and_agent() {
    let desk = Desk::new();
    let principal = desk.admit(&desk.good()).await.unwrap();
    assert_eq!(principal.user.id(), "corp#alice");
    assert_eq!(principal.user.kind, UserKind::Person);
    assert_eq!(
        principal.user.groups,
        set(&["analyst"]),
        "unmapped claims are ignored"
    );
    assert_eq!(principal.agent.client_id, "agent-1");
    assert!(principal.agent.verified);
    assert_eq!(principal.agent.claimed_name, "");
    assert_eq!(principal.session.id.len(), 32);
    assert!(
        principal
            .session
            .id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    );
}

#[tokio::test]
async fn incidents_13_and_18_no_token_is_no_entry() {
    let desk = Desk::new();
    let refused = |bearer| async move { Desk::new().identity.admit(bearer).await.unwrap_err().reason() };
    assert_eq!(refused(Bearer(None)).await, Reason::Missing);
    for header in ["Basic YTpi", "Bearer", "Bearer  ", "", "bearer\tx", "DPoP abc"] {
        let bearer = Bearer::from_authorization(Some(header));
        assert_eq!(refused(bearer).await, Reason::Missing, "{header}");
    }
    let good = desk.good();
    let header = format!("bEARER {good}");
    assert_eq!(Bearer::from_authorization(Some(&header)).0, Some(good.as_str()));
}

#[tokio::test]
async fn token_without_a_required_claim_is_refused() {
    let desk = Desk::new();
    for claim in ["exp", "aud", "iss", "sub"] {
        assert_eq!(
            desk.refuse_claims(json!({claim: null})).await,
            Reason::Claim(claim),
            "{claim}"
        );
        let wrong = json!({claim: {"nested": true}});
        assert_eq!(desk.refuse_claims(wrong).await, Reason::Claim(claim), "{claim}");
    }
    // `null` in JSON is not an absent claim either.
    let text = claims().to_string().replace("\"alice\"", "null");
    assert_eq!(
        desk.refuse(&desk.key.sign_text(&header().to_string(), &text))
            .await,
        Reason::Claim("sub")
    );
}

#[tokio::test]
async fn token_without_aud_is_refused() {
    let desk = Desk::new();
    assert_eq!(
        desk.refuse_claims(json!({"aud": null})).await,
        Reason::Claim("aud")
    );
    assert_eq!(desk.refuse_claims(json!({"aud": []})).await, Reason::Audience);
    assert_eq!(desk.refuse_claims(json!({"aud": ""})).await, Reason::Audience);
}

#[tokio::test]
async fn token_for_another_audience_is_refused() {
    let desk = Desk::new();
    for near in [
        "https://tollgate.example.com",
        "https://tollgate.example.com/mcp/",
        "https://tollgate.example.com/MCP",
        "https://other.example.com/mcp",
    ] {
        assert_eq!(
            desk.refuse_claims(json!({"aud": near})).await,
            Reason::Audience,
            "{near}"
        );
        assert_eq!(
            desk.refuse_claims(json!({"aud": [near]})).await,
            Reason::Audience,
            "{near}"
        );
    }
    assert_eq!(
        desk.refuse_claims(json!({"aud": [RESOURCE, 7]})).await,
        Reason::Claim("aud")
    );
    desk.admit_claims(json!({"aud": ["https://other.example.com", RESOURCE]}))
        .await;
}

#[tokio::test]
async fn unknown_or_listed_issuer_is_refused() {
    let desk = Desk::new();
    for near in [
        "https://login.example.com/realm/",
        "https://login.example.com",
        "https://LOGIN.example.com/realm",
        "https://evil.example.org",
        "corp",
        "",
    ] {
        assert_eq!(
            desk.refuse_claims(json!({"iss": near})).await,
            Reason::Issuer,
            "{near}"
        );
    }
    assert_eq!(
        desk.refuse_claims(json!({"iss": [ISSUER]})).await,
        Reason::Claim("iss")
    );
    assert_eq!(
        desk.network.asked().len(),
        0,
        "an unknown issuer makes us fetch nothing"
    );
}

#[tokio::test]
async fn expired_token_is_refused_after_thirty_seconds_of_leeway() {
    let desk = Desk::new();
    let token = desk.good(); // valid until NOW + 600
    desk.admit(&token).await.unwrap();
    desk.clock.advance(629);
    desk.admit(&token).await.unwrap();
    desk.clock.advance(1);
    assert_eq!(desk.refuse(&token).await, Reason::Expired);
    for wrong in [
        json!("1900000000"),
        json!(-5),
        json!(true),
        json!([1_900_000_000]),
    ] {
        assert_eq!(
            desk.refuse_claims(json!({"exp": wrong})).await,
            Reason::Claim("exp")
        );
    }
    desk.admit_claims(json!({"exp": NOW as f64 + 700.5})).await;
}

#[tokio::test]
async fn token_not_valid_yet_is_refused() {
    let desk = Desk::new();
    for claim in ["nbf", "iat"] {
        desk.admit_claims(json!({claim: NOW + 30})).await;
        assert_eq!(
            desk.refuse_claims(json!({claim: NOW + 31})).await,
            Reason::NotYetValid
        );
        assert_eq!(
            desk.refuse_claims(json!({claim: "soon"})).await,
            Reason::Claim(claim)
        );
    }
    desk.admit_claims(json!({"nbf": null, "iat": null})).await;
}

#[tokio::test]
async fn token_that_lives_too_long_is_refused() {
    let desk = Desk::new();
    desk.admit_claims(json!({"exp": NOW + 86_400})).await;
    assert_eq!(
        desk.refuse_claims(json!({"exp": NOW + 86_431})).await,
        Reason::Lifetime
    );
    assert_eq!(desk.refuse_claims(json!({"exp": 1e15})).await, Reason::Lifetime);
    assert_eq!(
        desk.refuse_claims(json!({"exp": 1e300})).await,
        Reason::Claim("exp")
    );
}

#[tokio::test]
async fn the_time_of_the_world_counts_not_the_systems() {
    // The system's clock is years before NOW while this test is young, and years after it later.
    let desk = Desk::new();
    desk.admit(&desk.good()).await.unwrap();
    desk.clock.advance(10_000);
    assert_eq!(desk.refuse(&desk.good()).await, Reason::Expired);
}

#[tokio::test]
async fn only_access_tokens_by_type() {
    let desk = Desk::new();
    let typed = |typ: Value| desk.key.sign(&with(header(), json!({"typ": typ})), &claims());
    for typ in [
        "JWT",
        "jwt",
        "id_token+jwt",
        "logout+jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "at",
        "",
    ] {
        assert_eq!(desk.refuse(&typed(typ.into())).await, Reason::Type, "{typ}");
    }
    assert_eq!(desk.refuse(&typed(Value::Null)).await, Reason::Type, "no typ");
    assert_eq!(desk.refuse(&typed(json!(1))).await, Reason::Malformed);
    desk.admit(&typed("application/at+jwt".into())).await.unwrap();
    desk.admit(&typed("AT+JWT".into())).await.unwrap();

    let mut relaxed = corp();
    relaxed.accept_typ_jwt = true;
    let relaxed = Desk::with(relaxed);
    for typ in [json!("JWT"), Value::Null] {
        relaxed.admit(&typed(typ)).await.unwrap();
    }
    for typ in ["logout+jwt", "dpop+jwt", "oauth-id-jag+jwt"] {
        assert_eq!(relaxed.refuse(&typed(typ.into())).await, Reason::Type, "{typ}");
    }
}

#[tokio::test]
async fn id_token_is_refused_even_where_typ_cannot_tell() {
    let mut issuer = corp();
    issuer.accept_typ_jwt = true;
    let desk = Desk::with(issuer);
    let refuse = |changes: Value| {
        let header = with(header(), json!({"typ": "JWT"}));
        let token = desk.key.sign(&header, &with(claims(), changes));
        let desk = &desk;
        async move { desk.refuse(&token).await }
    };
    for mark in ["nonce", "at_hash", "c_hash", "s_hash", "events"] {
        assert_eq!(
            refuse(json!({mark: "x"})).await,
            Reason::NotAnAccessToken,
            "{mark}"
        );
    }
    assert_eq!(
        refuse(json!({"client_id": RESOURCE})).await,
        Reason::NotAnAccessToken,
        "aud is the client"
    );
    assert_eq!(
        refuse(json!({"typ": "ID"})).await,
        Reason::NotAnAccessToken,
        "Keycloak"
    );
    assert_eq!(
        refuse(json!({"typ": "Refresh"})).await,
        Reason::NotAnAccessToken,
        "Keycloak"
    );
    assert_eq!(
        refuse(json!({"token_use": "id"})).await,
        Reason::NotAnAccessToken,
        "Cognito"
    );
    let keycloak = with(header(), json!({"typ": "JWT"}));
    desk.admit(
        &desk
            .key
            .sign(&keycloak, &with(claims(), json!({"typ": "Bearer"}))),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn sender_constrained_token_is_refused_as_bearer() {
    let desk = Desk::new();
    for cnf in [
        json!({"jkt": "abc"}),
        json!({"x5t#S256": "abc"}),
        json!({}),
        json!(1),
    ] {
        assert_eq!(
            desk.refuse_claims(json!({"cnf": cnf})).await,
            Reason::SenderConstrained
        );
    }
}

#[tokio::test]
async fn duplicated_claims_are_refused() {
    let desk = Desk::new();
    let (head, body) = (header().to_string(), claims().to_string());
    for twice in [
        body.replacen('{', "{\"sub\":\"root\",", 1),
        body.replacen('{', "{\"aud\":\"x\",", 1),
        body.replacen("\"groups\"", "\"x\":{\"a\":1,\"a\":2},\"groups\"", 1),
        body.replacen('{', "{\"s\\u0075b\":\"root\",", 1),
    ] {
        assert_eq!(
            desk.refuse(&desk.key.sign_text(&head, &twice)).await,
            Reason::Malformed,
            "{twice}"
        );
    }
    let twice = head.replacen('{', "{\"alg\":\"none\",", 1);
    assert_eq!(
        desk.refuse(&desk.key.sign_text(&twice, &body)).await,
        Reason::Malformed
    );
}

#[tokio::test]
async fn garbage_is_refused_without_a_fetch() {
    let desk = Desk::new();
    let good = desk.good();
    let parts: Vec<_> = good.split('.').collect();
    let (h, c, s) = (parts[0], parts[1], parts[2]);
    for garbage in [
        "".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "opaque-token-0123456789".to_owned(),
        format!("{h}.{c}"),
        format!("{h}.{c}.{s}.{s}"),
        format!("{h}.{c}.{s}.{s}.{s}"),
        format!("{h}=.{c}.{s}"),
        format!("{h}.{c}\n.{s}"),
        format!(" {good}"),
        format!("{h}.{}.{s}", b64("[1]")),
        format!("{h}.{}.{s}", b64("null")),
        format!("{h}.{}.{s}", b64(format!("{} ,", claims()))),
        format!("{}.{c}.{s}", b64("\u{0}{}")),
        "🔑.🔑.🔑".to_owned(),
        format!("{h}.{}.{s}", b64("[".repeat(5_000))),
    ] {
        let reason = desk.refuse(&garbage).await;
        assert!(
            matches!(reason, Reason::Opaque | Reason::Malformed),
            "{garbage}: {reason:?}"
        );
    }
    assert!(desk.network.asked().is_empty());
}

#[tokio::test]
async fn huge_token_is_refused_before_it_is_read() {
    let desk = Desk::new();
    let huge = desk
        .key
        .sign(&header(), &with(claims(), json!({"pad": "x".repeat(16 * 1024)})));
    assert_eq!(desk.refuse(&huge).await, Reason::Oversized);
    assert!(desk.network.asked().is_empty());
    let large = desk
        .key
        .sign(&header(), &with(claims(), json!({"pad": "x".repeat(11 * 1024)})));
    desk.admit(&large).await.unwrap();
}

#[tokio::test]
async fn oversized_or_missing_groups_refuse_the_login() {
    let desk = Desk::new();
    // "g" repeated keeps a thousand groups below the token's own limit.
    let many: Vec<_> = vec!["g"; 1_001];
    for (groups, fault) in [
        (Value::Null, GroupsFault::Missing),
        (json!("analysts"), GroupsFault::NotAList),
        (json!([["analysts"]]), GroupsFault::NotAList),
        (json!(many), GroupsFault::TooLarge),
        (json!(["g".repeat(257)]), GroupsFault::TooLarge),
        (json!(vec!["g"; 100]), GroupsFault::CutOff(100)),
    ] {
        assert_eq!(
            desk.refuse_claims(json!({"groups": groups})).await,
            Reason::Groups(fault)
        );
    }
    let overage = json!({"_claim_names": {"groups": "src1"}, "groups": null});
    assert_eq!(
        desk.refuse_claims(overage).await,
        Reason::Groups(GroupsFault::Overage)
    );
    let nobody = desk.admit_claims(json!({"groups": []})).await;
    assert!(nobody.user.groups.is_empty());
}

#[tokio::test]
async fn the_client_is_whom_the_token_names() {
    let desk = Desk::new();
    for claim in ["client_id", "azp", "cid", "appid"] {
        let principal = desk.admit_claims(json!({"client_id": null, claim: "x"})).await;
        assert_eq!(
            (principal.agent.client_id.as_str(), principal.agent.verified),
            ("x", true)
        );
    }
    let unnamed = desk.admit_claims(json!({"client_id": null})).await;
    assert_eq!(
        (unnamed.agent.client_id.as_str(), unnamed.agent.verified),
        ("unknown", false)
    );
    assert_eq!(desk.refuse_claims(json!({"azp": "other"})).await, Reason::Client);
    desk.admit_claims(json!({"azp": "agent-1"})).await;
    for wrong in [json!(""), json!(7), json!("a\nb"), json!("x".repeat(256))] {
        assert_eq!(
            desk.refuse_claims(json!({"client_id": wrong})).await,
            Reason::Claim("client_id")
        );
    }
    let service = desk.admit_claims(json!({"sub": "agent-1"})).await;
    assert_eq!(service.user.kind, UserKind::Service);
}

#[tokio::test]
async fn client_allow_list_fails_closed() {
    let mut issuer = corp();
    issuer.client_ids = Some(set(&["agent-2"]));
    let desk = Desk::with(issuer.clone());
    assert_eq!(desk.refuse_claims(json!({})).await, Reason::Client);
    assert_eq!(
        desk.refuse_claims(json!({"client_id": null})).await,
        Reason::Client
    );
    desk.admit_claims(json!({"client_id": "agent-2"})).await;
    issuer.client_ids = Some(set(&[]));
    let desk = Desk::with(issuer);
    assert_eq!(
        desk.refuse_claims(json!({})).await,
        Reason::Client,
        "an empty list allows nobody"
    );
    assert_eq!(
        desk.refuse_claims(json!({"client_id": null})).await,
        Reason::Client
    );
}

#[tokio::test]
async fn required_scopes_are_demanded_in_one_challenge() {
    let mut issuer = corp();
    issuer.required_scopes = vec!["mcp:read".to_owned(), "mcp:use".to_owned()];
    let desk = Desk::with(issuer);
    for scope in [
        json!("mcp:read"),
        json!("mcp:useful mcp:read"),
        Value::Null,
        json!(""),
    ] {
        assert_eq!(desk.refuse_claims(json!({"scope": scope})).await, Reason::Scope);
    }
    let token = desk.good();
    let rejection = desk.admit(&token).await.unwrap_err();
    assert_eq!(rejection.status(), 403);
    let challenge = rejection.challenge();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"mcp:read mcp:use\""), "{challenge}");
    desk.admit_claims(json!({"scope": "mcp:use x mcp:read"})).await;
    desk.admit_claims(json!({"scope": null, "scp": ["mcp:use", "mcp:read"]}))
        .await;
    desk.admit_claims(json!({"scope": null, "scp": "mcp:use mcp:read"}))
        .await;
}
