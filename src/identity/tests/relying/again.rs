//! Asking again: who is still there, who is gone, and what must not get lost.

use serde_json::{Value, json};

use super::super::desk::{NOW, b64, set};
use super::bench::{ACCESS, Bench, REVOCATION, SECRET, TOKEN, USERINFO};
use crate::identity::Reason;
use crate::identity::provider::{Again, Provider, SignInError, Upstream};

fn refresh() -> Upstream {
    Upstream {
        refresh: Some("upstream-refresh".to_owned()),
        access: None,
        access_until: None,
    }
}

fn access(until: u64) -> Upstream {
    Upstream {
        refresh: None,
        access: Some(ACCESS.to_owned()),
        access_until: Some(until),
    }
}

fn is_gone(again: &Again) -> bool {
    matches!(again, Again::Gone)
}

/// Their groups, if said, and the refresh token for next time.
fn stands(again: Again) -> (Option<Vec<String>>, Option<String>) {
    match again {
        Again::Stands { claimed, upstream } => (
            claimed.map(|groups| groups.into_iter().collect()),
            upstream.refresh.clone(),
        ),
        other => panic!("{other:?}"),
    }
}

impl Bench {
    /// Asked with a refresh token; the token endpoint answers with these changes.
    async fn refreshed(&self, changes: Value) -> Result<Again, SignInError> {
        self.serve(self.whole(changes));
        self.oidc.again("alice", &refresh()).await
    }

    fn renewed(&self, changes: Value) -> Value {
        json!({"refresh_token": "next-refresh", "id_token": self.id_token(changes)})
    }
}

#[tokio::test]
async fn a_refresh_token_is_used_and_its_successor_handed_back() {
    let bench = Bench::new();
    let again = bench
        .refreshed(bench.renewed(json!({"groups": ["dba"], "nonce": null})))
        .await;
    let (groups, next) = stands(again.unwrap());
    assert_eq!(groups.unwrap(), ["dba"]);
    assert_eq!(next.as_deref(), Some("next-refresh"));
    let sent = bench.net.sent(TOKEN);
    assert_eq!(sent.field("grant_type"), Some("refresh_token"));
    assert_eq!(sent.field("refresh_token"), Some("upstream-refresh"));
    assert!(sent.authorization.unwrap().starts_with("Basic "));
    let unrotated = json!({"refresh_token": null});
    let (_, next) = stands(bench.refreshed(unrotated).await.unwrap());
    assert_eq!(next.as_deref(), Some("upstream-refresh"));
}

#[tokio::test]
async fn what_was_taken_back_ends_the_session_and_trouble_does_not() {
    let bench = Bench::new();
    for word in [
        "invalid_grant",
        "login_required",
        "interaction_required",
        "consent_required",
    ] {
        bench
            .net
            .posts(TOKEN, 400, json!({"error": word}).to_string().into_bytes());
        assert!(
            is_gone(&bench.oidc.again("alice", &refresh()).await.unwrap()),
            "{word}"
        );
    }
    for (status, said) in [
        (401, json!({"error": "invalid_client"})),
        (400, json!({"error": "unauthorized_client"})),
        (400, json!({"error": "temporarily_unavailable"})),
        (400, json!({})),
        (503, json!({"error": "invalid_grant"})),
        (429, json!({"error": "invalid_grant"})),
    ] {
        bench.net.posts(TOKEN, status, said.to_string().into_bytes());
        assert!(
            bench.oidc.again("alice", &refresh()).await.is_err(),
            "{status} {said}"
        );
    }
    bench.net.cut(TOKEN);
    assert!(bench.oidc.again("alice", &refresh()).await.is_err());
}

#[tokio::test]
async fn a_refresh_never_turns_somebody_into_somebody_else() {
    let bench = Bench::new();
    for (changes, reason) in [
        (json!({"sub": "mallory"}), Reason::Claim("sub")),
        (json!({"iss": "https://other.example.com"}), Reason::Issuer),
        (json!({"aud": "another"}), Reason::Audience),
        (json!({"exp": NOW - 60}), Reason::Expired),
        (json!({"at_hash": b64([0; 32])}), Reason::Claim("at_hash")),
    ] {
        let got = bench.refreshed(bench.renewed(changes.clone())).await.unwrap_err();
        assert_eq!(got, SignInError::Token(reason), "{changes}");
    }
    let userinfo = json!({"sub": "mallory", "groups": []});
    bench.net.page(USERINFO, 200, userinfo.to_string().into_bytes());
    let got = bench.refreshed(json!({"id_token": null})).await.unwrap_err();
    assert_eq!(got, SignInError::Token(Reason::Claim("sub")));
}

#[tokio::test]
async fn groups_of_a_refresh_are_new_or_the_session_ends() {
    let mut bench = Bench::new();
    let rotated = json!({"id_token": null, "refresh_token": "next-refresh"});
    // No ID token: userinfo is asked, with the new access token.
    bench
        .net
        .page(USERINFO, 200, br#"{"sub":"alice","groups":["dba"]}"#.to_vec());
    let (groups, next) = stands(bench.refreshed(rotated.clone()).await.unwrap());
    assert_eq!(
        (groups.unwrap(), next.unwrap()),
        (vec!["dba".to_owned()], "next-refresh".to_owned())
    );
    assert_eq!(bench.net.bearers(USERINFO), [format!("Bearer {ACCESS}")]);
    // An ID token without groups: the same.
    let silent = bench.renewed(json!({"groups": null}));
    let (groups, _) = stands(bench.refreshed(silent.clone()).await.unwrap());
    assert_eq!(groups.unwrap(), ["dba"]);
    // Somebody taken out of all groups may have no claim at all: no reason to keep the old ones.
    bench.net.page(USERINFO, 200, br#"{"sub":"alice"}"#.to_vec());
    assert!(is_gone(&bench.refreshed(rotated.clone()).await.unwrap()));
    assert!(is_gone(&bench.refreshed(silent.clone()).await.unwrap()));
    let many: Vec<String> = (0..100).map(|n| format!("g{n}")).collect();
    for unknowable in [
        json!({"groups": many}),
        json!({"groups": null, "hasgroups": true}),
    ] {
        let again = bench.refreshed(bench.renewed(unknowable)).await.unwrap();
        assert!(is_gone(&again));
    }
    // Userinfo is away: a rotated token must not get lost, an old one may be used again.
    bench.net.page(USERINFO, 503, Vec::new());
    let (groups, next) = stands(bench.refreshed(rotated.clone()).await.unwrap());
    assert_eq!((groups, next.as_deref()), (None, Some("next-refresh")));
    assert!(bench.refreshed(json!({"id_token": null})).await.is_err());
    bench.net.page(USERINFO, 401, Vec::new());
    assert!(is_gone(&bench.refreshed(rotated.clone()).await.unwrap()));
    // Neither is offered.
    bench.metadata(json!({"userinfo_endpoint": null}));
    let (groups, next) = stands(bench.refreshed(rotated).await.unwrap());
    assert_eq!((groups, next.as_deref()), (None, Some("next-refresh")));
    assert!(is_gone(&bench.refreshed(silent).await.unwrap()));
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_asks_while_it_lives() {
    let mut bench = Bench::new();
    let signed_in = bench.answer(json!({"refresh_token": null})).await.unwrap();
    assert_eq!(signed_in.upstream.access.as_deref(), Some(ACCESS));
    assert_eq!(signed_in.upstream.access_until, Some(NOW + 300));
    let text = bench
        .answer(json!({"refresh_token": null, "expires_in": "60"}))
        .await
        .unwrap();
    assert_eq!(text.upstream.access_until, Some(NOW + 60), "some say it as text");
    let unsaid = bench
        .answer(json!({"refresh_token": null, "expires_in": null}))
        .await
        .unwrap();
    assert_eq!(unsaid.upstream.access_until, Some(NOW + 3600));
    let upstream = signed_in.upstream;
    for (status, said, groups) in [
        (
            200,
            json!({"sub": "alice", "groups": ["dba"]}),
            Some(vec!["dba".to_owned()]),
        ),
        (200, json!({"sub": "alice"}), None), // only its ID tokens say them
    ] {
        bench.net.page(USERINFO, status, said.to_string().into_bytes());
        let again = bench.oidc.again("alice", &upstream).await.unwrap();
        assert_eq!(stands(again), (groups, None));
    }
    bench.net.page(USERINFO, 401, Vec::new());
    assert!(is_gone(&bench.oidc.again("alice", &upstream).await.unwrap()));
    for status in [403, 500, 302] {
        bench.net.page(USERINFO, status, Vec::new());
        assert!(bench.oidc.again("alice", &upstream).await.is_err(), "{status}");
    }
    bench
        .net
        .page(USERINFO, 200, br#"{"sub":"mallory","groups":[]}"#.to_vec());
    assert!(bench.oidc.again("alice", &upstream).await.is_err());
    let cannot = |again: Result<Again, SignInError>| matches!(again, Ok(Again::CannotAsk));
    assert!(
        cannot(bench.oidc.again("alice", &access(NOW)).await),
        "it has ended"
    );
    assert!(cannot(bench.oidc.again("alice", &Upstream::default()).await));
    bench.metadata(json!({"userinfo_endpoint": null}));
    assert!(cannot(bench.oidc.again("alice", &access(NOW + 9)).await));
    let nothing = bench.answer(json!({"refresh_token": null})).await.unwrap();
    assert!(nothing.upstream.is_empty(), "what cannot be used is not kept");
    assert_eq!(nothing.claimed, set(&["analysts", "unmapped"]));
}

#[tokio::test]
async fn tokens_are_taken_back_where_that_is_offered() {
    let mut bench = Bench::new();
    bench.net.posts(REVOCATION, 200, Vec::new());
    bench.oidc.forget(&refresh()).await;
    let sent = bench.net.sent(REVOCATION);
    assert_eq!(sent.field("token"), Some("upstream-refresh"));
    assert_eq!(sent.field("token_type_hint"), Some("refresh_token"));
    assert!(sent.authorization.unwrap().starts_with("Basic "));
    assert_eq!(sent.fields.len(), 2);
    bench.oidc.forget(&access(NOW + 9)).await;
    assert_eq!(bench.net.sent(REVOCATION).field("token"), Some(ACCESS));
    bench.oidc.forget(&Upstream::default()).await;
    assert_eq!(bench.net.count(REVOCATION), 2);
    bench.metadata(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    bench.oidc.forget(&refresh()).await;
    assert_eq!(bench.net.sent(REVOCATION).field("client_secret"), Some(SECRET));
    bench.remake(|client| client.secret = None);
    bench.oidc.forget(&refresh()).await;
    let sent = bench.net.sent(REVOCATION);
    assert_eq!(
        (sent.authorization.as_deref(), sent.field("client_secret")),
        (None, None)
    );
    assert!(sent.field("client_id").is_some());
    bench.net.cut(REVOCATION);
    bench.oidc.forget(&refresh()).await; // best effort
    bench.metadata(json!({"revocation_endpoint": null}));
    let before = bench.net.count(REVOCATION);
    bench.oidc.forget(&refresh()).await;
    assert_eq!(bench.net.count(REVOCATION), before);
}
