//! Logout tokens: exactly the ones of OpenID Connect Back-Channel Logout 1.0 section 2.6.

use serde_json::{Value, json};

use super::super::desk::{ISSUER, NOW, Pair, with};
use super::bench::{Bench, CLIENT};
use crate::identity::Reason;
use crate::identity::provider::{LoggedOut, Provider};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn claims(changes: Value) -> Value {
    let claims = json!({
        "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "j-1", "sub": "alice", "sid": "s-1",
        "events": {EVENT: {}},
    });
    with(claims, changes)
}

async fn check(bench: &Bench, typ: Option<&str>, changes: Value) -> Result<LoggedOut, Reason> {
    let header = with(json!({"alg": "EdDSA", "kid": "k1"}), json!({"typ": typ}));
    let token = bench.key.sign(&header, &claims(changes));
    bench.oidc.logged_out(&token).await
}

#[tokio::test]
async fn a_logout_token_says_whose_sessions_end() {
    let bench = Bench::new();
    for typ in [
        Some("logout+jwt"),
        Some("application/logout+jwt"),
        Some("JWT"),
        None,
    ] {
        let said = check(&bench, typ, json!({})).await.unwrap();
        let expected = LoggedOut {
            subject: Some("alice".to_owned()),
            sid: Some("s-1".to_owned()),
            jti: "j-1".to_owned(),
            until: NOW + 150,
        };
        assert_eq!(said, expected, "{typ:?}");
    }
    let one = check(&bench, None, json!({"sub": null})).await.unwrap();
    assert_eq!((one.subject, one.sid.as_deref()), (None, Some("s-1")));
    let all = check(&bench, None, json!({"sid": null})).await.unwrap();
    assert_eq!((all.subject.as_deref(), all.sid), (Some("alice"), None));
}

#[tokio::test]
async fn nothing_else_ends_a_session() {
    let bench = Bench::new();
    for (changes, reason) in [
        (json!({"nonce": "n"}), Reason::NotALogoutToken),
        (json!({"events": null}), Reason::NotALogoutToken),
        (json!({"events": {}}), Reason::NotALogoutToken),
        (json!({"events": EVENT}), Reason::NotALogoutToken),
        (json!({"events": {EVENT: true}}), Reason::NotALogoutToken),
        (json!({"sub": null, "sid": null}), Reason::Claim("sub")),
        (json!({"jti": null}), Reason::Claim("jti")),
        (json!({"iat": null}), Reason::Claim("iat")),
        (json!({"exp": null}), Reason::Claim("exp")),
        (json!({"exp": NOW - 60}), Reason::Expired),
        (json!({"iat": NOW + 60}), Reason::NotYetValid),
        (json!({"aud": "another"}), Reason::Audience),
        (json!({"aud": [CLIENT, "another"]}), Reason::Audience),
        (json!({"iss": "https://other.example.com"}), Reason::Issuer),
        (json!({"iss": null}), Reason::Claim("iss")),
    ] {
        let got = check(&bench, Some("logout+jwt"), changes.clone()).await;
        assert_eq!(got, Err(reason), "{changes}");
    }
    for typ in ["at+jwt", "secevent+jwt", "x"] {
        let got = check(&bench, Some(typ), json!({})).await;
        assert_eq!(got, Err(Reason::NotALogoutToken), "{typ}");
    }
    let id_token = bench.id_token(json!({}));
    assert_eq!(
        bench.oidc.logged_out(&id_token).await,
        Err(Reason::NotALogoutToken)
    );
    let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "logout+jwt"});
    let stranger = Pair::new(9).sign(&header, &claims(json!({})));
    assert_eq!(bench.oidc.logged_out(&stranger).await, Err(Reason::Signature));
    let unsigned = Pair::new(9).sign(&json!({"alg": "none"}), &claims(json!({})));
    assert_eq!(bench.oidc.logged_out(&unsigned).await, Err(Reason::Algorithm));
    assert_eq!(bench.oidc.logged_out("nothing").await, Err(Reason::Opaque));
}
