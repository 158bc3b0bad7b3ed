//! Issuers that sign for everybody: whose jobs are ours, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::desk::*;
use crate::call::UserKind;
use crate::identity::{Identity, IssuerSpec, Opaque, Reason};
use crate::secret::Secret;

fn required(claims: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
    let entry = |(claim, values): &(&str, &[&str])| ((*claim).to_owned(), set(values));
    claims.iter().map(entry).collect()
}

/// As a runner's issuer is configured.
fn runner() -> IssuerSpec {
    IssuerSpec {
        services: true,
        accept_typ_jwt: true,
        groups_claim: None,
        required_claims: required(&[
            ("repository_owner_id", &["4711"]),
            ("event_name", &["push", "schedule"]),
        ]),
        ..corp()
    }
}

/// What GitHub writes for a job, as far as it matters.
fn job() -> Value {
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "repo:acme/shop:ref:refs/heads/main", "jti": "j",
        "iat": NOW, "nbf": NOW - 5, "exp": NOW + 300, "repository": "acme/shop", "repository_owner": "acme",
        "repository_owner_id": "4711", "repository_id": "1", "event_name": "push", "ref": "refs/heads/main",
        "ref_protected": "true", "run_id": "7", "actor": "alice", "runner_environment": "github-hosted",
    })
}

/// A desk whose one issuer is this; it has no group of its own.
fn desk(issuer: IssuerSpec) -> Desk {
    let mut desk = Desk::with(corp());
    let mut spec = spec(vec![issuer]);
    spec.groups = crate::identity::GroupMap::default();
    desk.identity = Identity::new(spec, desk.network.clone(), desk.clock.clone())
        .unwrap()
        .into();
    desk
}

fn token(desk: &Desk, changes: Value) -> String {
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"});
    desk.key.sign(&header, &with(job(), changes))
}

#[tokio::test]
async fn a_job_of_ours_is_a_service_of_no_group() {
    let desk = desk(runner());
    for event in ["push", "schedule"] {
        let job = desk
            .admit(&token(&desk, json!({"event_name": event})))
            .await
            .unwrap();
        assert_eq!(job.user.id(), "corp#repo:acme/shop:ref:refs/heads/main");
        assert_eq!(job.user.kind, UserKind::Service);
        assert!(job.user.groups.is_empty() && !job.agent.verified);
    }
}

#[tokio::test]
async fn somebody_elses_job_is_refused_whatever_else_it_says() {
    let desk = desk(runner());
    for changes in [
        json!({"repository_owner_id": "4712"}),
        json!({"repository_owner_id": null}),
        json!({"repository_owner_id": ""}),
        json!({"repository_owner_id": 4711}),
        json!({"repository_owner_id": ["4711"]}),
        json!({"repository_owner_id": "4711 "}),
        json!({"repository_owner_id": "4711\u{0}"}),
        json!({"repository_owner_id": {"4711": true}}),
        json!({"repository_owner_id": null, "REPOSITORY_OWNER_ID": "4711"}),
        json!({"event_name": "pull_request"}),
        json!({"event_name": "Push"}),
        json!({"event_name": ["push", "schedule"]}),
        json!({"event_name": null}),
    ] {
        let refused = desk.admit(&token(&desk, changes.clone())).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Required, "{changes}");
        assert_eq!(refused.status(), 401);
        assert!(!refused.challenge().contains("4711"), "{}", refused.challenge());
        assert!(refused.message().contains("not of anybody who is accepted"));
    }
    assert_eq!(desk.identity.rejections().get("required_claims"), Some(&13));
    let twice = job()
        .to_string()
        .replacen('{', r#"{"repository_owner_id":"1","#, 1);
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}).to_string();
    assert_eq!(
        desk.refuse(&desk.key.sign_text(&header, &twice)).await,
        Reason::Malformed,
        "said twice: which one counts is nobody's choice"
    );
}

#[tokio::test]
async fn an_issuer_of_both_tells_a_person_from_a_service_by_the_token() {
    let desk = desk(IssuerSpec {
        services: false,
        ..runner()
    });
    let person = desk
        .admit(&token(&desk, json!({"client_id": "agent-1"})))
        .await
        .unwrap();
    assert_eq!(person.user.kind, UserKind::Person);
}

#[tokio::test]
async fn an_opaque_token_must_say_it_as_well() {
    let opaque = Opaque {
        client_id: "tollgate".to_owned(),
        client_secret: Secret::new("secret".to_owned()),
        endpoint: Some("https://login.example.com/realm/introspect".to_owned()),
    };
    let desk = desk(IssuerSpec {
        opaque: Some(opaque),
        ..runner()
    });
    let answer = |changes| {
        with(
            with(job(), json!({"active": true, "token_type": "Bearer"})),
            changes,
        )
    };
    let endpoint = "POST https://login.example.com/realm/introspect";
    desk.network.serve(endpoint, 200, &answer(json!({})), None);
    assert_eq!(desk.admit("opaque-1").await.unwrap().user.kind, UserKind::Service);
    let other = answer(json!({"repository_owner_id": "1"}));
    desk.network.serve(endpoint, 200, &other, None);
    assert_eq!(desk.refuse("opaque-2").await, Reason::Required);
}

#[test]
fn an_issuer_that_signs_for_everybody_needs_a_claim_that_says_whose() {
    let fault = |change: &dyn Fn(&mut IssuerSpec)| {
        let bench = Desk::new();
        let mut issuer = runner();
        change(&mut issuer);
        let mut spec = spec(vec![issuer]);
        spec.groups = crate::identity::GroupMap::default();
        Identity::new(spec, bench.network, bench.clock)
            .map_err(|error| error.to_string())
            .err()
    };
    for url in [
        "https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/acme",
        "https://TOKEN.actions.githubusercontent.com./",
        "https://token.actions.githubusercontent.com:443",
        "https://gitlab.com",
        "https://agent.buildkite.com",
        "https://app.terraform.io",
        "https://accounts.google.com",
    ] {
        let bare = fault(&|issuer: &mut IssuerSpec| {
            issuer.url = url.to_owned();
            issuer.required_claims.clear();
        });
        assert!(bare.unwrap().contains("required_claims = {"), "{url}");
        let bound = fault(&|issuer: &mut IssuerSpec| issuer.url = url.to_owned());
        assert_eq!(bound, None, "{url}");
    }
    for wrong in [
        required(&[("", &["x"])]),
        required(&[("a", &[])]),
        required(&[("a", &["x", ""])]),
        required(&[("iss", &["https://gitlab.com"])]),
        required(&[("aud", &[RESOURCE])]),
    ] {
        let fault = fault(&|issuer: &mut IssuerSpec| issuer.required_claims.clone_from(&wrong));
        assert!(fault.unwrap().contains("required_claims"), "{wrong:?}");
    }
    assert!(fault(&|issuer: &mut IssuerSpec| issuer.bearer = false).is_some());
    let control = fault(&|issuer: &mut IssuerSpec| issuer.control_audience = Some("people".to_owned()));
    assert!(control.unwrap().contains("decide nothing"));
}
