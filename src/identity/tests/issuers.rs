//! What issuers write differently, and that none of it mixes one issuer up with another.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::*;
use crate::call::UserKind;
use crate::clock::World;
use crate::identity::{Bearer, GroupMap, Identity, IssuerSpec, Reason, Scopes};

const OTHER: &str = "https://other.example.com";

fn changed(change: impl FnOnce(&mut IssuerSpec)) -> Desk {
    let mut issuer = corp();
    change(&mut issuer);
    Desk::with(issuer)
}

fn clients(names: &[&str]) -> Option<std::collections::BTreeSet<String>> {
    Some(set(names))
}

#[tokio::test]
async fn a_token_without_aud_passes_only_where_the_file_says_so_and_only_of_listed_clients() {
    let without = json!({"aud": null});
    assert_eq!(
        Desk::new().refuse_claims(without.clone()).await,
        Reason::Claim("aud")
    );
    let desk = changed(|issuer| {
        issuer.accept_missing_aud = true;
        issuer.client_ids = clients(&["agent-1"]);
    });
    assert_eq!(desk.admit_claims(without.clone()).await.user.id(), "corp#alice");
    for (changes, reason) in [
        (json!({"aud": null, "client_id": "agent-2"}), Reason::Client),
        (json!({"aud": null, "client_id": null}), Reason::Client),
        (
            json!({"aud": null, "client_id": null, "azp": "agent-2"}),
            Reason::Client,
        ),
        (json!({"aud": null, "azp": "agent-2"}), Reason::Client),
        // An audience that is there is not passed over: Keycloak's `account`, another API, nobody.
        (json!({"aud": "account"}), Reason::Audience),
        (json!({"aud": []}), Reason::Audience),
        (json!({"aud": ""}), Reason::Audience),
        (json!({"aud": 7}), Reason::Claim("aud")),
        (json!({"aud": "agent-1"}), Reason::Audience),
        // Cognito and Keycloak say in the claims what a token is.
        (json!({"aud": null, "token_use": "id"}), Reason::NotAnAccessToken),
        (json!({"aud": null, "typ": "Refresh"}), Reason::NotAnAccessToken),
        (json!({"aud": null, "nonce": "n"}), Reason::NotAnAccessToken),
    ] {
        assert_eq!(desk.refuse_claims(changes.clone()).await, reason, "{changes}");
    }
    let keycloak = json!({"aud": null, "client_id": null, "azp": "agent-1", "typ": "Bearer"});
    desk.admit_claims(keycloak).await;
    let cognito = json!({"aud": null, "token_use": "access", "groups": ["analysts"]});
    desk.admit_claims(cognito).await;
}

#[test]
fn a_relaxed_audience_without_a_list_of_clients_refuses_to_start() {
    let desk = Desk::new();
    for list in [None, Some(set(&[]))] {
        let mut issuer = corp();
        issuer.accept_missing_aud = true;
        issuer.client_ids = list;
        let world: Arc<dyn World> = desk.clock.clone();
        let refused = Identity::new(spec(vec![issuer]), desk.network.clone(), world).unwrap_err();
        assert!(refused.to_string().contains("needs client_ids"), "{refused}");
    }
}

#[tokio::test]
async fn an_audience_is_compared_character_for_character() {
    // Entra v1 writes the app id URI, Entra v2 the client id; Auth0 what the API was registered as.
    let entra = changed(|issuer| issuer.audience = "3f2b1c00-0000-4000-8000-000000000001".to_owned());
    entra
        .admit_claims(json!({"aud": "3f2b1c00-0000-4000-8000-000000000001"}))
        .await;
    assert_eq!(
        entra
            .refuse_claims(json!({"aud": "api://3f2b1c00-0000-4000-8000-000000000001"}))
            .await,
        Reason::Audience
    );
    let auth0 = Desk::new();
    auth0
        .admit_claims(json!({"aud": [RESOURCE, "https://login.example.com/userinfo"]}))
        .await;
    for near in [
        format!("{RESOURCE}/"),
        RESOURCE.to_uppercase(),
        format!(" {RESOURCE}"),
        format!("{RESOURCE}#"),
    ] {
        assert_eq!(
            auth0.refuse_claims(json!({"aud": near})).await,
            Reason::Audience,
            "{near}"
        );
    }
}

#[tokio::test]
async fn an_issuer_that_ends_in_a_slash_is_found_and_is_not_the_one_without() {
    const SLASHED: &str = "https://tenant.eu.auth0.example/";
    let desk = Desk::with(IssuerSpec::new("corp", SLASHED, RESOURCE));
    let document = json!({"issuer": SLASHED, "jwks_uri": "https://tenant.eu.auth0.example/keys"});
    let place = "https://tenant.eu.auth0.example/.well-known/openid-configuration";
    desk.network.serve(place, 200, &document, None);
    let keys = json!({"keys": [desk.key.jwk("k1")]});
    desk.network
        .serve("https://tenant.eu.auth0.example/keys", 200, &keys, None);
    desk.admit_claims(json!({"iss": SLASHED})).await;
    assert_eq!(
        desk.refuse_claims(json!({"iss": SLASHED.trim_end_matches('/')}))
            .await,
        Reason::Issuer
    );
}

#[tokio::test]
async fn typ_is_relaxed_for_one_issuer_and_for_no_other() {
    let desk = two(|corp, _| corp.accept_typ_jwt = true);
    for typ in [json!({"typ": "JWT"}), json!({"typ": null})] {
        let head = with(header(), typ);
        assert!(admit(&desk, &Pair::new(1).sign(&head, &claims())).await.is_ok());
        let other = Pair::new(2).sign(&head, &with(claims(), json!({"iss": OTHER})));
        assert_eq!(admit(&desk, &other).await.unwrap_err(), Reason::Type);
    }
    let head = with(header(), json!({"typ": "logout+jwt"}));
    let token = Pair::new(1).sign(&head, &claims());
    assert_eq!(admit(&desk, &token).await.unwrap_err(), Reason::Type);
}

#[tokio::test]
async fn a_person_goes_by_the_claim_the_file_names() {
    let desk = changed(|issuer| issuer.subject_claim = "oid".to_owned());
    let person = desk.admit_claims(json!({"sub": "pairwise", "oid": "9c1e"})).await;
    assert_eq!(person.user.id(), "corp#9c1e");
    for wrong in [
        json!(null),
        json!(7),
        json!(""),
        json!(["9c1e"]),
        json!("a\nb"),
        json!("x".repeat(256)),
    ] {
        assert_eq!(desk.refuse_claims(json!({"oid": wrong})).await, Reason::Subject);
    }
    assert_eq!(
        desk.refuse_claims(json!({"sub": null, "oid": "9c1e"})).await,
        Reason::Claim("sub")
    );
    let plain = Desk::new().admit_claims(json!({"oid": "9c1e"})).await;
    assert_eq!(
        plain.user.id(),
        "corp#alice",
        "no claim changes who somebody is by being there"
    );
}

#[tokio::test]
async fn programs_without_a_person_are_services_however_their_issuer_says_it() {
    let desk = Desk::new();
    for (changes, kind) in [
        (json!({}), UserKind::Person),
        (json!({"sub": "agent-1"}), UserKind::Service),
        (json!({"idtyp": "app"}), UserKind::Service),
        (json!({"idtyp": "user"}), UserKind::Person),
        (
            json!({"gty": "client-credentials", "sub": "agent-1@clients"}),
            UserKind::Service,
        ),
        (json!({"client_id": null}), UserKind::Person),
    ] {
        assert_eq!(
            desk.admit_claims(changes.clone()).await.user.kind,
            kind,
            "{changes}"
        );
    }
}

/// Two issuers whose keys have the same id: `corp` signs with the first, `other` with the second.
fn two(change: impl FnOnce(&mut IssuerSpec, &mut IssuerSpec)) -> Identity {
    let desk = Desk::new();
    let mut other = IssuerSpec::new("other", OTHER, RESOURCE);
    let mut corp = corp();
    change(&mut corp, &mut other);
    let document = json!({"issuer": OTHER, "jwks_uri": format!("{OTHER}/keys")});
    desk.network.serve(
        &format!("{OTHER}/.well-known/openid-configuration"),
        200,
        &document,
        None,
    );
    let keys = json!({"keys": [Pair::new(2).jwk("k1")]});
    desk.network.serve(&format!("{OTHER}/keys"), 200, &keys, None);
    let mut spec = spec(vec![corp, other]);
    let table = [
        ("analyst", vec!["corp:analysts"]),
        ("dba", vec!["other:analysts"]),
    ];
    spec.groups = GroupMap::parse(table).unwrap();
    let world: Arc<dyn World> = desk.clock.clone();
    Identity::new(spec, desk.network.clone(), world).unwrap()
}

async fn admit(identity: &Identity, token: &str) -> Result<crate::call::Principal, Reason> {
    let admitted = identity.admit(Bearer(Some(token))).await;
    admitted.map_err(|rejection| rejection.reason())
}

#[tokio::test]
async fn the_same_name_and_group_at_two_issuers_are_two_people_in_two_groups() {
    let identity = two(|_, _| {});
    let first = admit(&identity, &Pair::new(1).sign(&header(), &claims()))
        .await
        .unwrap();
    let second = Pair::new(2).sign(&header(), &with(claims(), json!({"iss": OTHER})));
    let second = admit(&identity, &second).await.unwrap();
    assert_eq!(
        (first.user.id().as_str(), second.user.id().as_str()),
        ("corp#alice", "other#alice")
    );
    assert_eq!(
        (first.user.groups, second.user.groups),
        (set(&["analyst"]), set(&["dba"]))
    );
    assert_ne!(first.session.id, second.session.id);
    let sid = json!({"sid": "s1"});
    let first = Pair::new(1).sign(&header(), &with(claims(), sid.clone()));
    let second = Pair::new(2).sign(&header(), &with(with(claims(), sid), json!({"iss": OTHER})));
    let (first, second) = (admit(&identity, &first).await, admit(&identity, &second).await);
    assert_ne!(first.unwrap().session.id, second.unwrap().session.id);
}

#[tokio::test]
async fn no_issuer_signs_for_another_though_their_keys_share_an_id() {
    let identity = two(|_, _| {});
    let others = |changes: Value| with(claims(), changes);
    for (key, url) in [(2, ISSUER), (1, OTHER)] {
        let forged = Pair::new(key).sign(&header(), &others(json!({"iss": url})));
        assert_eq!(
            admit(&identity, &forged).await.unwrap_err(),
            Reason::Signature,
            "{url}"
        );
    }
    for iss in [
        json!([ISSUER]),
        json!([ISSUER, OTHER]),
        json!({"0": ISSUER}),
        json!(null),
        json!(1),
    ] {
        let token = Pair::new(1).sign(&header(), &others(json!({"iss": iss})));
        assert_eq!(admit(&identity, &token).await.unwrap_err(), Reason::Claim("iss"));
    }
}

#[tokio::test]
async fn rules_of_one_issuer_do_not_loosen_the_other() {
    let identity = two(|corp, _| {
        corp.audience = "corp-audience".to_owned();
        corp.accept_missing_aud = true;
        corp.client_ids = clients(&["agent-1"]);
    });
    let other = |changes: Value| {
        let claims = with(with(claims(), json!({"iss": OTHER})), changes);
        Pair::new(2).sign(&header(), &claims)
    };
    assert_eq!(
        admit(&identity, &other(json!({"aud": null}))).await.unwrap_err(),
        Reason::Claim("aud")
    );
    assert_eq!(
        admit(&identity, &other(json!({"aud": "corp-audience"})))
            .await
            .unwrap_err(),
        Reason::Audience
    );
    assert!(
        admit(&identity, &other(json!({"client_id": "agent-9"})))
            .await
            .is_ok(),
        "its list is its own"
    );
    let corp = Pair::new(1).sign(&header(), &with(claims(), json!({"aud": RESOURCE})));
    assert_eq!(admit(&identity, &corp).await.unwrap_err(), Reason::Audience);
}

/// The scope `mcp:read` opens `read`, `mcp:write` opens `write`; `list` needs none.
fn scoped(change: impl FnOnce(&mut IssuerSpec)) -> (Desk, Identity) {
    let desk = Desk::new();
    let mut issuer = corp();
    change(&mut issuer);
    let table = BTreeMap::from([
        ("mcp:read".to_owned(), set(&["read"])),
        ("mcp:write".to_owned(), set(&["write"])),
    ]);
    let scopes = Scopes::new(&table, ["list", "read", "write"]).unwrap();
    let world: Arc<dyn World> = desk.clock.clone();
    let identity = Identity::new(spec(vec![issuer]), desk.network.clone(), world).unwrap();
    (desk, identity.scoped(scopes))
}

#[tokio::test]
async fn the_scopes_of_a_token_bound_its_tools_wherever_the_issuer_writes_them() {
    let (desk, identity) = scoped(|_| {});
    for (changes, tools) in [
        (json!({"scope": "mcp:read"}), &["list", "read"][..]),
        (
            json!({"scope": "mcp:read openid  mcp:write"}),
            &["list", "read", "write"],
        ),
        (json!({"scope": null, "scp": ["mcp:write"]}), &["list", "write"]),
        (json!({"scope": null, "scp": "mcp:write x"}), &["list", "write"]),
        (json!({"scope": null}), &["list"]),
        (
            json!({"scope": "mcp:readx MCP:WRITE mcp:read,mcp:write"}),
            &["list"],
        ),
    ] {
        let token = desk.key.sign(&header(), &with(claims(), changes.clone()));
        let principal = admit(&identity, &token).await.unwrap();
        assert_eq!(principal.scope.tools, Some(set(tools)), "{changes}");
    }
    let unbounded = Desk::new();
    assert_eq!(
        unbounded.admit_claims(json!({})).await.scope,
        crate::call::Scope::default()
    );
}

#[tokio::test]
async fn a_step_up_is_one_403_with_every_scope_and_the_metadata() {
    let (desk, identity) = scoped(|_| {});
    let principal = admit(&identity, &desk.good()).await.unwrap();
    let rejection = identity.step_up(&principal, ["write"]).unwrap();
    assert_eq!(rejection.status(), 403);
    assert_eq!(
        rejection.challenge(),
        "Bearer resource_metadata=\"https://tollgate.example.com/.well-known/oauth-protected-resource/mcp\", \
         scope=\"mcp:read mcp:write\", error=\"insufficient_scope\", \
         error_description=\"The token lacks a required scope.\""
    );
    assert!(identity.step_up(&principal, ["read"]).is_none());
    assert!(identity.step_up(&principal, ["list"]).is_none());
    assert!(identity.step_up(&principal, ["invented"]).is_none());
    assert_eq!(identity.rejections()["scope"], 1);
    // What a key is made for is not widened by asking.
    let mut key = principal.clone();
    key.user.kind = UserKind::Service;
    key.user.issuer = "keys".to_owned();
    assert!(identity.step_up(&key, ["write"]).is_none());
    assert!(
        identity.step_up(&identity.local(), ["write"]).is_none(),
        "stdio has no token"
    );
}

#[tokio::test]
async fn a_missing_required_scope_is_challenged_with_all_that_will_be_needed() {
    let (desk, identity) = scoped(|issuer| issuer.required_scopes = vec!["tollgate".to_owned()]);
    let rejection = identity.admit(Bearer(Some(&desk.good()))).await.unwrap_err();
    assert_eq!((rejection.reason(), rejection.status()), (Reason::Scope, 403));
    assert!(
        rejection
            .challenge()
            .contains("scope=\"mcp:read mcp:write tollgate\""),
        "{}",
        rejection.challenge()
    );
    let first = identity.admit(Bearer(None)).await.unwrap_err();
    assert!(
        first
            .challenge()
            .contains("scope=\"mcp:read mcp:write tollgate\""),
        "the first 401 names it too, or every sign-in would be made twice: {}",
        first.challenge()
    );
}

#[tokio::test]
async fn a_refresh_token_is_never_asked_for_on_behalf_of_a_resource() {
    let desk = Desk::new();
    let mut spec = spec(vec![corp()]);
    spec.scopes.push("offline_access".to_owned());
    let world: Arc<dyn World> = desk.clock.clone();
    let identity = Identity::new(spec, desk.network.clone(), world).unwrap();
    let challenge = identity.admit(Bearer(None)).await.unwrap_err().challenge();
    let metadata = identity.protected_resource_metadata();
    assert!(!challenge.contains("offline_access"), "{challenge}");
    assert_eq!(metadata["scopes_supported"], json!(["mcp:read", "mcp:write"]));
}

proptest::proptest! {
    /// Whatever scopes are configured (RFC 6749 §3.3 allows no quote and no backslash): a challenge is one
    /// line of ASCII whose quotes are even and in which each scope stands once.
    #[test]
    fn challenges_are_sound(names in proptest::collection::btree_set("[!#-\\[\\]-~]{1,12}", 0..6)) {
        let desk = Desk::new();
        let mut spec = spec(vec![corp()]);
        spec.scopes = names.iter().chain(&names).cloned().collect();
        let world: Arc<dyn World> = desk.clock.clone();
        let identity = Identity::new(spec, desk.network.clone(), world).unwrap();
        for reason in [Reason::Missing, Reason::Scope, Reason::Inactive, Reason::Unavailable] {
            let challenge = identity.reject(reason, None).challenge();
            proptest::prop_assert!(challenge.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
            proptest::prop_assert_eq!(challenge.matches('"').count() % 2, 0);
            proptest::prop_assert!(!challenge.contains('\\'));
            let quoted: Vec<&str> = challenge.split('"').collect();
            let place = quoted.iter().position(|part| part.ends_with("scope="));
            let said: Vec<&str> = place.map_or(vec![], |n| quoted[n + 1].split(' ').collect());
            let expected: Vec<&str> = names.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!(said, expected);
        }
    }
}
