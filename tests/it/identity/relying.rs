//! We as a relying party of a certified provider: the whole code flow, asking again, being told.

use std::sync::Arc;

use serde_json::json;
use tollgate::clock::System;
use tollgate::identity::provider::{
    Again, Oidc, OidcClient, Provider, Question, SignInError, SignedIn, Upstream,
};
use tollgate::identity::{HttpFetch, Reason};
use tollgate::secret::Secret;

use super::idp::Idp;

const REDIRECT: &str = "http://127.0.0.1:7330/oauth/callback/corp";

/// One sign-in's words, told apart by a number.
pub(super) fn question(number: u8) -> Question {
    Question {
        redirect_uri: REDIRECT.to_owned(),
        state: format!("state-{number}").into(),
        nonce: format!("nonce-{number}").into(),
        verifier: char::from(b'a' + number).to_string().repeat(43).into(),
        max_age: None,
        acr_values: Vec::new(),
    }
}

fn oidc(idp: &Idp, client: &str, secret: Option<&str>) -> Oidc {
    let client = OidcClient {
        id: client.to_owned(),
        secret: secret.map(|secret| Secret::new(secret.to_owned())),
        scopes: Vec::new(),
        acr_values: Vec::new(),
    };
    Oidc::new(
        idp.spec(),
        client,
        Arc::new(HttpFetch::new()),
        Arc::new(System::new()),
    )
    .unwrap()
}

/// Signs `user` in there and gives what the browser brings back.
pub(super) async fn answered(
    idp: &Idp,
    oidc: &Oidc,
    question: &Question,
    user: &str,
    acr: Option<&str>,
) -> Vec<(String, String)> {
    let url = oidc.begin(question).await.unwrap();
    let mut query = vec![("url", url.as_str()), ("to", REDIRECT), ("user", user)];
    query.extend(acr.map(|acr| ("acr", acr)));
    let end = idp.ask("visit", &query).await;
    let end = url::Url::parse(end.as_str().unwrap()).unwrap();
    end.query_pairs().into_owned().collect()
}

async fn sign_in(idp: &Idp, oidc: &Oidc, number: u8, user: &str) -> Result<SignedIn, SignInError> {
    let question = question(number);
    let fields = answered(idp, oidc, &question, user, None).await;
    oidc.finish(&question, &fields).await
}

fn upstream(again: Again) -> Upstream {
    match again {
        Again::Stands { claimed, upstream } => {
            assert!(claimed.unwrap().contains("analysts"));
            upstream
        }
        other => panic!("{other:?}"),
    }
}

const SECRET: Option<&str> = Some("gate-secret of/this test");

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_signs_somebody_in_and_rotates_its_refresh_token() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-none", None);
    let signed_in = sign_in(&idp, &oidc, 0, "alice").await.unwrap();
    assert_eq!(
        (signed_in.issuer.as_str(), signed_in.subject.as_str()),
        ("corp", "alice")
    );
    assert!(signed_in.claimed.contains("analysts"));
    let first = &signed_in.upstream;
    let second = upstream(oidc.again("alice", first).await.unwrap());
    assert_ne!(
        first.refresh, second.refresh,
        "this provider rotates for public clients"
    );
    let third = upstream(oidc.again("alice", &second).await.unwrap());
    // One that was used before is theft to the provider: everything of this sign-in ends.
    assert!(matches!(oidc.again("alice", first).await.unwrap(), Again::Gone));
    assert!(matches!(oidc.again("alice", &third).await.unwrap(), Again::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confidential_client_asks_again_until_the_account_is_gone_or_it_forgets() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-basic", SECRET);
    let signed_in = sign_in(&idp, &oidc, 0, "alice").await.unwrap();
    let kept = upstream(oidc.again("alice", &signed_in.upstream).await.unwrap());
    assert!(oidc.again("mallory", &kept).await.is_err(), "it is alice's");
    oidc.forget(&kept).await;
    assert!(matches!(oidc.again("alice", &kept).await.unwrap(), Again::Gone));
    let signed_in = sign_in(&idp, &oidc, 1, "alice").await.unwrap();
    idp.ask("dismiss", &[("user", "alice")]).await;
    assert!(matches!(
        oidc.again("alice", &signed_in.upstream).await.unwrap(),
        Again::Gone
    ));
    let impostor = self::oidc(&idp, "gate-basic", Some("wrong"));
    let refused = sign_in(&idp, &impostor, 2, "frank").await.unwrap_err();
    assert_eq!(refused, SignInError::Refused("invalid_client".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_token_userinfo_says_who_is_still_there() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-post", SECRET);
    let signed_in = sign_in(&idp, &oidc, 0, "alice").await.unwrap();
    assert!(signed_in.upstream.refresh.is_none() && signed_in.upstream.access.is_some());
    let kept = upstream(oidc.again("alice", &signed_in.upstream).await.unwrap());
    assert!(oidc.again("mallory", &kept).await.is_err(), "it is alice's");
    oidc.forget(&kept).await;
    assert!(matches!(oidc.again("alice", &kept).await.unwrap(), Again::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_for_its_own_question_once() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-none", None);
    let (mine, other) = (question(0), question(1));
    let fields = answered(&idp, &oidc, &mine, "alice", None).await;
    assert!(
        fields
            .iter()
            .any(|(name, value)| name == "iss" && *value == idp.issuer)
    );
    // The code of one sign-in in the answer to another: PKCE finds out before the nonce does.
    let injected: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| {
            let value = if name == "state" { "state-1" } else { value };
            (name.clone(), value.to_owned())
        })
        .collect();
    let refused = oidc.finish(&other, &injected).await.unwrap_err();
    assert_eq!(refused, SignInError::Refused("invalid_grant".to_owned()));
    let fields = answered(&idp, &oidc, &mine, "alice", None).await;
    let mut stripped = fields.clone();
    stripped.retain(|(name, _)| name != "iss");
    assert_eq!(
        oidc.finish(&mine, &stripped).await.unwrap_err(),
        SignInError::OtherIssuer
    );
    assert!(oidc.finish(&mine, &fields).await.is_ok());
    let replayed = oidc.finish(&mine, &fields).await.unwrap_err();
    assert_eq!(replayed, SignInError::Refused("invalid_grant".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_methods_are_what_the_provider_really_says() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-none", None);
    for (number, user) in [(0, "bob"), (1, "carol"), (2, "dave"), (3, "erin"), (4, "frank")] {
        let refused = sign_in(&idp, &oidc, number, user).await.unwrap_err();
        assert!(matches!(refused, SignInError::Groups(_)), "{user}: {refused}");
    }
    let mut strong = question(5);
    strong.acr_values = vec!["mfa".to_owned()];
    strong.max_age = Some(0);
    let fields = answered(&idp, &oidc, &strong, "alice", Some("mfa")).await;
    let signed_in = oidc.finish(&strong, &fields).await.unwrap();
    assert_eq!(signed_in.acr.as_deref(), Some("mfa"));
    assert!(signed_in.auth_time.is_some());
    let fields = answered(&idp, &oidc, &strong, "alice", None).await;
    let weak = oidc.finish(&strong, &fields).await.unwrap_err();
    assert_eq!(weak, SignInError::Token(Reason::Weak));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_own_logout_token_is_one() {
    let idp = Idp::start();
    let oidc = oidc(&idp, "gate-none", None);
    let query = [("client", "gate-none"), ("user", "alice"), ("sid", "s-1")];
    let token = idp.ask("log-out", &query).await;
    let said = oidc.logged_out(token.as_str().unwrap()).await.unwrap();
    assert_eq!(said.subject.as_deref(), Some("alice"));
    assert!(!said.jti.is_empty());
    // Of the same provider, for another client of it.
    let other = [("client", "gate-basic"), ("user", "alice"), ("sid", "s-1")];
    let token = idp.ask("log-out", &other).await;
    let refused = oidc.logged_out(token.as_str().unwrap()).await;
    assert_eq!(refused, Err(Reason::Audience), "{}", json!(token));
}
