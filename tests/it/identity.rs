//! Identity against a certified provider (npm `oidc-provider` on Node 22, `tests/peers/idp`).
//!
//! What the provider can mint is minted by real grants. What no sane provider mints is signed with
//! its own current key, so that only the defect differs from a good token.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests may panic"
)]

pub(crate) mod canaille;
mod again;
mod doctor;
mod fetching;
pub(crate) mod idp;
mod relying;

use serde_json::{Value, json};
use tollgate::call::UserKind;
use tollgate::identity::{Algorithm, GroupsFault, Opaque, Reason};
use tollgate::secret::Secret;

use idp::{Desk, Idp, RESOURCE, open, text};

/// A good login and everything to change it.
struct Login {
    idp: Idp,
    desk: Desk,
    token: String,
    header: Value,
    claims: Value,
}

impl Login {
    /// `alice` logs in at a fresh provider; the clock stands where the token was issued.
    async fn new() -> Self {
        let idp = Idp::start();
        let token = idp.access_token("alice", "ES256").await;
        let (header, claims) = open(&token);
        let desk = Desk::new(vec![idp.spec()], claims["iat"].as_u64().unwrap());
        Self {
            idp,
            desk,
            token,
            header,
            claims,
        }
    }

    fn now(&self) -> u64 {
        self.claims["iat"].as_u64().unwrap()
    }

    /// The good token with some claims changed; null removes one.
    async fn claims(&self, changes: Value) -> String {
        let claims = with(&self.claims, changes).to_string();
        self.idp.sign(&self.header.to_string(), &claims, "key").await
    }

    async fn refuse(&self, changes: Value) -> Reason {
        let token = self.claims(changes).await;
        self.desk.refuse(&token).await
    }

    /// The good claims under a changed header, signed as `how` says.
    async fn headed(&self, changes: Value, how: &str) -> String {
        let header = with(&self.header, changes).to_string();
        self.idp.sign(&header, &self.claims.to_string(), how).await
    }
}

fn with(base: &Value, changes: Value) -> Value {
    let mut changed = base.clone();
    for (name, value) in changes.as_object().unwrap() {
        let fields = changed.as_object_mut().unwrap();
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    changed
}

#[tokio::test]
async fn real_logins_pass_under_every_default_algorithm() {
    let login = Login::new().await;
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = login.idp.access_token("alice", algorithm).await;
        let (header, claims) = open(&token);
        assert_eq!(
            (header["alg"].as_str(), header["typ"].as_str()),
            (Some(algorithm), Some("at+jwt"))
        );
        let desk = Desk::new(vec![login.idp.spec()], claims["iat"].as_u64().unwrap());
        let principal = desk.admit(&token).await;
        assert_eq!(principal.user.id(), "corp#alice");
        assert_eq!(principal.user.kind, UserKind::Person);
        assert_eq!(principal.user.groups.into_iter().collect::<Vec<_>>(), ["analyst"]);
        assert_eq!(principal.agent.client_id, format!("agent-{algorithm}"));
        assert!(principal.agent.verified);
    }
    let service = text(
        &login.idp.ask("service", &[("resource", RESOURCE)]).await,
        "access_token",
    );
    let principal = login.desk.admit(&service).await;
    assert_eq!(
        (principal.user.id().as_str(), principal.user.kind),
        ("corp#robot", UserKind::Service)
    );
    assert_eq!(principal.user.groups.into_iter().collect::<Vec<_>>(), ["robot"]);
}

#[tokio::test]
async fn expired_and_early_tokens_are_refused() {
    let login = Login::new().await;
    assert_eq!(
        login.refuse(json!({"exp": login.now() - 30})).await,
        Reason::Expired
    );
    assert_eq!(
        login.refuse(json!({"nbf": login.now() + 31})).await,
        Reason::NotYetValid
    );
    assert_eq!(
        login.refuse(json!({"iat": login.now() + 31})).await,
        Reason::NotYetValid
    );
    login
        .desk
        .admit(&login.claims(json!({"exp": login.now() - 29})).await)
        .await;
    login.desk.admit(&login.token).await;
    login.desk.clock.advance(600 + 30);
    assert_eq!(
        login.desk.refuse(&login.token).await,
        Reason::Expired,
        "the provider's own token, later"
    );
}

#[tokio::test]
async fn tokens_for_somebody_else_are_refused() {
    let login = Login::new().await;
    let elsewhere = login.idp.login("alice", "ES256", "http://127.0.0.1:9/mcp").await;
    let elsewhere = text(&elsewhere, "access_token");
    assert_eq!(
        login.desk.refuse(&elsewhere).await,
        Reason::Audience,
        "really minted for another resource"
    );
    assert_eq!(login.refuse(json!({"aud": null})).await, Reason::Claim("aud"));
    assert_eq!(login.refuse(json!({"aud": ["x"]})).await, Reason::Audience);
    assert_eq!(
        login.refuse(json!({"iss": "https://login.example.com"})).await,
        Reason::Issuer
    );
    assert_eq!(login.refuse(json!({"iss": null})).await, Reason::Claim("iss"));
    assert_eq!(login.refuse(json!({"sub": null})).await, Reason::Claim("sub"));
    assert_eq!(login.refuse(json!({"exp": null})).await, Reason::Claim("exp"));
}

#[tokio::test]
async fn another_provider_cannot_speak_for_the_first() {
    let login = Login::new().await;
    let second = Idp::start();
    let mut other = second.spec();
    other.name = "other".to_owned();
    let desk = Desk::new(vec![login.idp.spec(), other], login.now());
    desk.admit(&login.token).await;
    // The second provider signs, with its own good key of the same id, that it is the first.
    let header = login.header.to_string();
    let forged = second.sign(&header, &login.claims.to_string(), "key").await;
    assert_eq!(desk.refuse(&forged).await, Reason::Signature);
    let own = with(&login.claims, json!({"iss": second.issuer.as_str()}));
    let principal = desk
        .admit(&second.sign(&header, &own.to_string(), "key").await)
        .await;
    assert_eq!(principal.user.id(), "other#alice");
    assert!(
        principal.user.groups.is_empty(),
        "the groups of corp are not those of other"
    );
}

#[tokio::test]
async fn real_id_tokens_and_opaque_tokens_are_refused() {
    let login = Login::new().await;
    let answer = login.idp.login("alice", "RS256", RESOURCE).await;
    let id_token = text(&answer, "id_token");
    assert_eq!(login.desk.refuse(&id_token).await, Reason::Type);
    // Even where typ is relaxed, and where somebody made the client's id the audience.
    let mut relaxed = login.idp.spec();
    relaxed.accept_typ_jwt = true;
    let desk = Desk::new(vec![relaxed.clone()], login.now());
    assert_eq!(desk.refuse(&id_token).await, Reason::Audience);
    relaxed.audience = "agent-RS256".to_owned();
    let desk = Desk::new(vec![relaxed], login.now());
    assert_eq!(desk.refuse(&id_token).await, Reason::NotAnAccessToken);

    let opaque = login
        .idp
        .login("alice", "ES256", "http://127.0.0.1:7330/opaque")
        .await;
    assert_eq!(
        login.desk.refuse(&text(&opaque, "access_token")).await,
        Reason::Opaque
    );
}

#[tokio::test]
async fn a_real_provider_is_asked_about_its_opaque_tokens() {
    const OPAQUE: &str = "http://127.0.0.1:7330/opaque";
    let login = Login::new().await;
    let mut spec = login.idp.spec();
    spec.audience = OPAQUE.to_owned();
    spec.opaque = Some(Opaque {
        client_id: "tollgate:asks".to_owned(),
        client_secret: Secret::new("s e+cret/%-of-this-test-alone-0123456789".to_owned()),
        endpoint: None,
    });
    let desk = Desk::new(vec![spec.clone()], login.now());
    let answer = login.idp.login("alice", "ES256", OPAQUE).await;
    let token = text(&answer, "access_token");
    assert!(!token.contains('.'), "it is opaque");
    let principal = desk.admit(&token).await;
    assert_eq!(principal.user.id(), "corp#alice");
    assert_eq!(principal.user.groups.into_iter().collect::<Vec<_>>(), ["analyst"]);
    assert_eq!(principal.agent.client_id, "agent-ES256");
    assert_eq!(desk.refuse(&format!("{token}x")).await, Reason::Inactive);

    // Of the same issuer and good there, but of a JWT for another audience, or with groups unknown.
    assert_eq!(desk.refuse(&login.token).await, Reason::Audience);
    let bob = text(&login.idp.login("bob", "ES256", OPAQUE).await, "access_token");
    assert_eq!(desk.refuse(&bob).await, Reason::Groups(GroupsFault::Missing));
    let mut elsewhere = spec.clone();
    elsewhere.audience = "http://127.0.0.1:7330/other".to_owned();
    let elsewhere = Desk::new(vec![elsewhere], login.now());
    assert_eq!(elsewhere.refuse(&token).await, Reason::Audience);

    // Taken back at the provider: what was remembered ends within half a minute.
    login.idp.ask("revoke", &[("token", &token)]).await;
    desk.admit(&token).await;
    desk.clock.advance(30);
    assert_eq!(desk.refuse(&token).await, Reason::Inactive);

    let mut wrong = spec;
    wrong.opaque.as_mut().unwrap().client_secret = Secret::new("wrong".to_owned());
    let wrong = Desk::new(vec![wrong], login.now());
    assert_eq!(
        wrong.refuse(&token).await,
        Reason::Unavailable,
        "the provider does not know us"
    );
}

#[tokio::test]
async fn keys_rotate() {
    let login = Login::new().await;
    login.desk.admit(&login.token).await;
    assert_eq!(login.idp.key_set_reads().await, 1);
    login.idp.ask("rotate", &[]).await;
    let fresh = login.idp.access_token("alice", "ES256").await;
    assert_eq!(open(&fresh).0["kid"], "es-2");
    assert_eq!(
        login.desk.refuse(&fresh).await,
        Reason::UnknownKey,
        "the keys were read a moment ago"
    );
    assert_eq!(login.idp.key_set_reads().await, 1);
    login.desk.clock.advance(10);
    login.desk.admit(&fresh).await;
    assert_eq!(login.idp.key_set_reads().await, 2);
    // A new token under the withdrawn key, signed by the provider's own retired key.
    assert_eq!(login.refuse(json!({"jti": "late"})).await, Reason::UnknownKey);
    let invented = login
        .headed(json!({"alg": "ES256", "kid": "es-77"}), "stranger")
        .await;
    assert_eq!(login.desk.refuse(&invented).await, Reason::UnknownKey);
    assert_eq!(
        login.idp.key_set_reads().await,
        2,
        "strangers do not make us ask again"
    );
}

#[tokio::test]
async fn algorithm_tricks_are_refused() {
    let login = Login::new().await;
    for (changes, how, reason) in [
        (json!({"alg": "none"}), "nothing", Reason::Algorithm),
        (json!({}), "nothing", Reason::Signature),
        (
            json!({"alg": "HS256", "kid": "rs-1"}),
            "hmac-pem",
            Reason::Algorithm,
        ),
        (
            json!({"alg": "HS256", "kid": "rs-1"}),
            "hmac-der",
            Reason::Algorithm,
        ),
        (
            json!({"alg": "HS256", "kid": "es-1"}),
            "hmac-jwk",
            Reason::Algorithm,
        ),
        (
            json!({"alg": "RS256", "kid": "rs-1"}),
            "hmac-pem",
            Reason::Signature,
        ),
        // A P-384 signature under ES256, by the id of either key.
        (json!({}), "wrong-curve", Reason::Signature),
        (json!({"kid": "es384-1"}), "wrong-curve", Reason::UnknownKey),
        // The right key in the wrong form (RFC 7518 §3.4 wants r || s).
        (json!({}), "der-signature", Reason::Signature),
        // A key the issuer publishes for PS256 does not serve RS256, though both are RSA.
        (
            json!({"alg": "ES256", "kid": "ps-1"}),
            "nothing",
            Reason::UnknownKey,
        ),
        (
            json!({"alg": "RS256", "kid": "ps-1"}),
            "nothing",
            Reason::UnknownKey,
        ),
        (json!({}), "stranger", Reason::Signature),
        (json!({"jwk": {}}), "stranger", Reason::Signature),
        (
            json!({"jku": "http://127.0.0.1:1/jwks"}),
            "stranger",
            Reason::Signature,
        ),
        (
            json!({"x5u": "http://127.0.0.1:1/cert"}),
            "stranger",
            Reason::Signature,
        ),
        (
            json!({"kid": "../../../../dev/null"}),
            "stranger",
            Reason::UnknownKey,
        ),
        (json!({"kid": "es-1' OR '1'='1"}), "stranger", Reason::UnknownKey),
        (json!({"typ": "JWT"}), "key", Reason::Type),
        (json!({"typ": null}), "key", Reason::Type),
    ] {
        let token = login.headed(changes.clone(), how).await;
        assert_eq!(login.desk.refuse(&token).await, reason, "{changes} {how}");
    }
    let mut narrow = login.idp.spec();
    narrow.algorithms = vec![Algorithm::RS256];
    let desk = Desk::new(vec![narrow], login.now());
    assert_eq!(
        desk.refuse(&login.token).await,
        Reason::Algorithm,
        "a good token off the list"
    );
    login.desk.admit(&login.token).await;
}

#[tokio::test]
async fn groups_that_cannot_be_known_refuse_the_login() {
    let login = Login::new().await;
    for (user, fault) in [
        ("bob", GroupsFault::Missing),
        ("carol", GroupsFault::CutOff(100)),
        ("dave", GroupsFault::TooLarge),
        ("erin", GroupsFault::Overage),
        ("frank", GroupsFault::NotAList),
    ] {
        let token = login.idp.access_token(user, "ES256").await;
        assert_eq!(login.desk.refuse(&token).await, Reason::Groups(fault), "{user}");
    }
    let long = login.refuse(json!({"groups": ["g".repeat(257)]})).await;
    assert_eq!(long, Reason::Groups(GroupsFault::TooLarge));
}

#[tokio::test]
async fn garbage_duplicates_and_bound_tokens_are_refused() {
    let login = Login::new().await;
    let (header, claims) = (login.header.to_string(), login.claims.to_string());
    let twice = claims.replacen('{', "{\"sub\":\"root\",", 1);
    let twice = login.idp.sign(&header, &twice, "key").await;
    assert_eq!(login.desk.refuse(&twice).await, Reason::Malformed);
    let aud = claims.replacen('{', "{\"aud\":\"http://127.0.0.1:9/mcp\",", 1);
    assert_eq!(
        login
            .desk
            .refuse(&login.idp.sign(&header, &aud, "key").await)
            .await,
        Reason::Malformed
    );
    let huge = login.claims(json!({"pad": "x".repeat(17_000)})).await;
    assert_eq!(login.desk.refuse(&huge).await, Reason::Oversized);
    let cut = &login.token[..login.token.len() - 4];
    assert_eq!(login.desk.refuse(cut).await, Reason::Signature);
    for garbage in ["", "x", "a.b.c", "....", &login.token.replace('.', "")] {
        assert_eq!(login.desk.refuse(garbage).await, Reason::Opaque, "{garbage}");
    }
    let bound = [("resource", RESOURCE), ("dpop", "1")];
    let bound = login.idp.ask("service", &bound).await;
    assert_eq!(bound["token_type"], "DPoP");
    let bound = text(&bound, "access_token");
    assert_eq!(login.desk.refuse(&bound).await, Reason::SenderConstrained);
}

#[tokio::test]
async fn a_provider_that_is_gone_leaves_no_way_in() {
    let Login { idp, desk, token, .. } = Login::new().await;
    let (issuer, spec) = (idp.issuer.clone(), idp.spec());
    assert_eq!(desk.identity.probe().await, [("corp".to_owned(), Ok(5))]);
    drop(idp);
    let rejection = desk
        .identity
        .admit(tollgate::identity::Bearer(Some(&token)))
        .await
        .unwrap_err();
    assert_eq!(
        (rejection.reason(), rejection.status()),
        (Reason::KeysUnavailable, 503)
    );
    let probe = desk.identity.probe().await;
    let cause = probe[0].1.as_ref().unwrap_err();
    assert!(cause.contains(&issuer) || cause.contains("refused"), "{cause}");
    assert_eq!(spec.url, issuer);
}
