//! What the doctor says of an issuer that is as configured, and of each way it can be wrong.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::identity::tests::desk::*;

const TOKEN: &str = "https://login.example.com/realm/token";

fn discovery(changes: Value) -> Value {
    let document = json!({
        "issuer": ISSUER, "jwks_uri": JWKS, "token_endpoint": TOKEN,
        "userinfo_endpoint": "https://login.example.com/realm/me",
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "offline_access"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
    });
    with(document, changes)
}

fn client() -> ClientSpec {
    ClientSpec {
        purpose: "agents",
        id: "tollgate".to_owned(),
        secret: Some(Secret::new("sesame-secret".to_owned())),
        redirect_uri: "https://tollgate.example.com/oauth/callback/corp".to_owned(),
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
    }
}

async fn found(change: impl FnOnce(&Desk, &mut IssuerSpec, &mut ClientSpec)) -> (Findings, Desk) {
    let desk = Desk::new();
    desk.network.serve(DISCOVERY, 200, &discovery(json!({})), None);
    desk.network.serve(
        &format!("POST {TOKEN}"),
        400,
        &json!({"error": "invalid_grant"}),
        None,
    );
    let (mut issuer, mut client) = (corp(), client());
    change(&desk, &mut issuer, &mut client);
    let (fetch, world): (Arc<dyn Fetch>, Arc<dyn World>) = (desk.network.clone(), desk.clock.clone());
    let findings = examine((&fetch, &world), &issuer, &[client]).await;
    (findings, desk)
}

fn bad(findings: &Findings) -> Vec<&str> {
    let bad = findings.0.iter().filter(|one| one.level == Level::Bad);
    bad.inspect(|one| assert!(!one.remedy.is_empty(), "{one:?}"))
        .map(|one| one.text.as_str())
        .collect()
}

fn texts(findings: &Findings) -> String {
    let lines = findings
        .0
        .iter()
        .map(|one| format!("{} / {}", one.text, one.remedy));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_issuer_as_configured_is_well_and_says_what_to_register() {
    let (findings, desk) = found(|_, _, _| {}).await;
    assert!(findings.passed(), "{findings:?}");
    let texts = texts(&findings);
    for said in [
        "it is https://login.example.com/realm",
        "keys: 1 can be used",
        "redirect URI to register there: https://tollgate.example.com/oauth/callback/corp",
        "accepts our client credentials",
        "by refresh token",
    ] {
        assert!(texts.contains(said), "{said} in {texts}");
    }
    assert!(!texts.contains("sesame"), "{texts}");
    let posted = desk.network.posted.lock().unwrap();
    assert_eq!(posted[0].0["grant_type"], "authorization_code");
    assert!(posted[0].1.as_ref().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn every_ill_has_a_name_and_a_remedy() {
    let serve = |changes: Value| {
        move |desk: &Desk, _: &mut IssuerSpec, _: &mut ClientSpec| {
            desk.network.serve(DISCOVERY, 200, &discovery(changes), None);
        }
    };
    let token = |status, body: Value| {
        move |desk: &Desk, _: &mut IssuerSpec, _: &mut ClientSpec| {
            desk.network.serve(&format!("POST {TOKEN}"), status, &body, None);
        }
    };
    let slash = json!({"issuer": format!("{ISSUER}/")});
    for (findings, ill) in [
        (
            found(serve(slash)).await.0,
            "names another issuer: `https://login.example.com/realm/`",
        ),
        (
            found(|desk, _, _| desk.network.cut(DISCOVERY)).await.0,
            "unreachable",
        ),
        (found(|desk, _, _| desk.network.cut(JWKS)).await.0, "keys: "),
        (
            found(|desk, _, _| desk.network.serve(JWKS, 200, &json!({"keys": []}), None))
                .await
                .0,
            "none that can be used",
        ),
        (
            found(serve(json!({"jwks_uri": "https://keys.example.com/k"})))
                .await
                .0,
            "keys.example.com",
        ),
        (
            found(serve(json!({"id_token_signing_alg_values_supported": ["HS256"]})))
                .await
                .0,
            "signs with none that is accepted",
        ),
        (
            found(serve(json!({"code_challenge_methods_supported": ["plain"]})))
                .await
                .0,
            "PKCE",
        ),
        (
            found(token(401, json!({"error": "invalid_client"}))).await.0,
            "refuses our client (invalid_client)",
        ),
        (
            found(token(401, json!("no"))).await.0,
            "refuses our client (invalid_client)",
        ),
        (
            found(token(400, json!({"error": "unauthorized_client"}))).await.0,
            "unauthorized_client",
        ),
        (found(token(500, json!("no"))).await.0, "HTTP 500"),
        (
            found(serve(json!({"token_endpoint": "http://login.example.com/t"})))
                .await
                .0,
            "must be https",
        ),
        (
            found(serve(json!({"token_endpoint": null}))).await.0,
            "no token_endpoint",
        ),
    ] {
        assert!(!findings.passed(), "{ill}: {findings:?}");
        let bad = bad(&findings).join("\n");
        assert!(bad.contains(ill), "{ill} in {bad}");
    }
}

#[tokio::test]
async fn how_a_person_is_asked_about_again_is_said_before_it_matters() {
    let serve = |changes: Value| {
        move |desk: &Desk, _: &mut IssuerSpec, client: &mut ClientSpec| {
            desk.network.serve(DISCOVERY, 200, &discovery(changes), None);
            client.scopes.pop();
        }
    };
    let (by_userinfo, _) = found(serve(json!({}))).await;
    assert!(
        texts(&by_userinfo).contains("at the userinfo endpoint"),
        "{by_userinfo:?}"
    );
    let (never, _) = found(serve(json!({"userinfo_endpoint": null}))).await;
    assert!(texts(&never).contains("cannot be asked again"), "{never:?}");
    let (told, _) = found(serve(json!({"backchannel_logout_supported": true}))).await;
    assert!(texts(&told).contains("back-channel logout URI"), "{told:?}");
}

async fn login(changes: Value) -> Findings {
    let desk = Desk::new();
    let id_token = json!({
        "iss": ISSUER, "aud": "tollgate", "sub": "alice", "email": "sesame@example.com",
        "groups": ["analysts", "un\u{1b}[2Jmapped"], "auth_time": NOW, "acr": "mfa", "exp": NOW + 60,
    });
    let token = desk
        .key
        .sign(&json!({"alg": "EdDSA", "kid": "k1"}), &with(id_token, changes));
    let (fetch, world): (Arc<dyn Fetch>, Arc<dyn World>) = (desk.network.clone(), desk.clock.clone());
    let map = GroupMap::parse([("analyst", vec!["corp:analysts"])]).unwrap();
    read_login((&fetch, &world), &corp(), &map, &Secret::new(token)).await
}

#[tokio::test]
async fn a_real_sign_in_shows_names_of_claims_and_groups_and_no_value() {
    let findings = login(json!({})).await;
    assert!(findings.passed(), "{findings:?}");
    let said = texts(&findings);
    for part in [
        "acr, aud, auth_time, email",
        "groups: 2 there: analysts",
        "here these make analyst",
        "acr: mfa",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("sesame") && !said.contains('\u{1b}'), "{said}");
    for (changes, ill) in [
        (json!({"groups": null}), "the groups claim is missing"),
        (json!({"_claim_names": {}}), "ApplicationGroup"),
        (json!({"groups": vec!["g"; 100]}), "In Okta"),
        (json!({"sub": null}), "no usable sub"),
        (
            json!({"iss": "https://other.example.com"}),
            "iss is not the configured url",
        ),
    ] {
        let findings = login(changes).await;
        assert!(bad(&findings).join("\n").contains(ill), "{ill}: {findings:?}");
    }
    let unmapped = login(json!({"groups": ["x"], "auth_time": null, "acr": null})).await;
    for part in ["they make no local group", "auth_time: not said", "acr: not said"] {
        assert!(texts(&unmapped).contains(part), "{part}: {unmapped:?}");
    }
}
