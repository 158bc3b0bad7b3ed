//! Where the issuer's `sub` differs from client to client, another claim says who somebody is: on every way in
//! the same one, or one person would be two users and could approve what they asked for.

use serde_json::{Value, json};

use super::super::desk::{ISSUER, NOW};
use super::bench::{ACCESS, Bench, CLIENT, USERINFO};
use crate::identity::Reason;
use crate::identity::provider::{Again, Provider, SignInError, Upstream};

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.issuer(|issuer| issuer.subject_claim = "oid".to_owned());
    bench
}

fn by(refresh: Option<&str>, access: Option<&str>) -> Upstream {
    Upstream {
        refresh: refresh.map(str::to_owned),
        access: access.map(str::to_owned),
        access_until: access.map(|_| NOW + 300),
    }
}

fn userinfo(bench: &Bench, said: &Value) {
    bench.net.page(USERINFO, 200, said.to_string().into_bytes());
}

#[tokio::test]
async fn a_sign_in_is_of_whom_the_chosen_claim_names() {
    let bench = bench();
    let said = json!({"sub": "pairwise-1", "oid": "o-alice"});
    assert_eq!(bench.sign_in(said).await.unwrap().subject, "o-alice");
    for (changes, reason) in [
        (json!({}), Reason::Subject),
        (json!({"oid": ""}), Reason::Subject),
        (json!({"oid": 7}), Reason::Subject),
        (json!({"oid": ["o-alice"]}), Reason::Subject),
        (json!({"oid": "o-alice", "sub": null}), Reason::Claim("sub")),
        (json!({"oid": CLIENT}), Reason::Claim("sub")),
    ] {
        let got = bench.sign_in(changes.clone()).await.unwrap_err();
        assert_eq!(got, SignInError::Token(reason), "{changes}");
    }
}

#[tokio::test]
async fn userinfo_answers_for_the_sub_of_the_id_token_it_came_with() {
    let bench = bench();
    let silent = json!({"sub": "pairwise-1", "oid": "o-alice", "groups": null});
    userinfo(&bench, &json!({"sub": "pairwise-1", "groups": ["dba"]}));
    let signed_in = bench.sign_in(silent.clone()).await.unwrap();
    assert_eq!(signed_in.subject, "o-alice");
    assert_eq!(signed_in.claimed.into_iter().collect::<Vec<_>>(), ["dba"]);
    for other in [
        json!({"sub": "pairwise-2", "oid": "o-alice", "groups": []}),
        json!({"sub": "o-alice", "groups": []}),
        json!({"oid": "o-alice", "groups": []}),
    ] {
        userinfo(&bench, &other);
        let got = bench.sign_in(silent.clone()).await.unwrap_err();
        assert_eq!(got, SignInError::Token(Reason::Claim("sub")), "{other}");
    }
}

#[tokio::test]
async fn a_refresh_is_of_whom_the_chosen_claim_names() {
    let bench = bench();
    let refresh = by(Some("upstream-refresh"), None);
    let answer = |id_token| bench.serve(bench.whole(json!({"id_token": id_token})));
    // The same `oid` with another `sub` is the same person, and the reverse is not.
    answer(Some(bench.id_token(json!({"oid": "o-alice", "sub": "x"}))));
    let again = bench.oidc.again("o-alice", &refresh).await.unwrap();
    assert!(
        matches!(again, Again::Stands { claimed: Some(_), .. }),
        "{again:?}"
    );
    for (changes, reason) in [
        (json!({"oid": "o-mallory"}), Reason::Claim("sub")),
        (json!({"sub": "o-alice"}), Reason::Subject),
    ] {
        answer(Some(bench.id_token(changes.clone())));
        let got = bench.oidc.again("o-alice", &refresh).await.unwrap_err();
        assert_eq!(got, SignInError::Token(reason), "{changes}");
    }
    // Groups from userinfo: of the new ID token's `sub`.
    answer(Some(
        bench.id_token(json!({"oid": "o-alice", "sub": "x", "groups": null})),
    ));
    userinfo(&bench, &json!({"sub": "x", "groups": []}));
    let again = bench.oidc.again("o-alice", &refresh).await.unwrap();
    assert!(
        matches!(again, Again::Stands { claimed: Some(_), .. }),
        "{again:?}"
    );
    userinfo(&bench, &json!({"sub": "y", "groups": []}));
    let got = bench.oidc.again("o-alice", &refresh).await.unwrap_err();
    assert_eq!(got, SignInError::Token(Reason::Claim("sub")));
}

#[tokio::test]
async fn userinfo_alone_is_believed_by_the_chosen_claim_alone() {
    let bench = bench();
    bench.serve(bench.whole(json!({"id_token": null})));
    let ways = [by(Some("upstream-refresh"), None), by(None, Some(ACCESS))];
    for upstream in &ways {
        userinfo(&bench, &json!({"sub": "x", "oid": "o-alice", "groups": ["dba"]}));
        let again = bench.oidc.again("o-alice", upstream).await.unwrap();
        assert!(
            matches!(again, Again::Stands { claimed: Some(_), .. }),
            "{again:?}"
        );
        for other in [
            json!({"sub": "x", "oid": "o-mallory", "groups": []}),
            json!({"sub": "o-alice", "oid": 7, "groups": []}),
            json!({"oid": "o-alice", "groups": []}),
        ] {
            userinfo(&bench, &other);
            let got = bench.oidc.again("o-alice", upstream).await.unwrap_err();
            assert_eq!(got, SignInError::Token(Reason::Claim("sub")), "{other}");
        }
    }
    // It names nobody by that claim: its groups may be anybody's. The refresh itself was good.
    userinfo(&bench, &json!({"sub": "o-alice", "groups": ["admins"]}));
    let again = bench.oidc.again("o-alice", &ways[0]).await.unwrap();
    assert!(matches!(again, Again::Stands { claimed: None, .. }), "{again:?}");
    let again = bench.oidc.again("o-alice", &ways[1]).await.unwrap();
    assert!(matches!(again, Again::CannotAsk), "{again:?}");
}

#[tokio::test]
async fn a_logout_by_sub_names_no_session_of_another_claim() {
    let bench = bench();
    let told = async |changes: Value| {
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let claims = json!({
            "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "j-1", "events": {event: {}},
        });
        let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "logout+jwt"});
        let token = bench
            .key
            .sign(&header, &super::super::desk::with(claims, changes));
        bench.oidc.logged_out(&token).await
    };
    assert_eq!(told(json!({"sub": "o-alice"})).await, Err(Reason::Subject));
    let said = told(json!({"sub": "pairwise-1", "sid": "s-1"})).await.unwrap();
    assert_eq!((said.subject, said.sid.as_deref()), (None, Some("s-1")));
    let said = told(json!({"sub": "pairwise-1", "oid": "o-alice"}))
        .await
        .unwrap();
    assert_eq!((said.subject.as_deref(), said.sid), (Some("o-alice"), None));
}
