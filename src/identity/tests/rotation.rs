//! Keys over time: rotation, floods of unknown keys, an issuer that is away, sessions and memory.

use std::sync::Arc;

use serde_json::json;

use super::desk::*;
use crate::identity::keys::KEPT;
use crate::identity::{Identity, IssuerSpec, Reason};

fn signed(pair: &Pair, kid: &str, sub: &str) -> String {
    pair.sign(
        &with(header(), json!({"kid": kid})),
        &with(claims(), json!({"sub": sub, "exp": NOW + 86_000})),
    )
}

#[tokio::test]
async fn rotated_key_is_fetched_and_the_old_one_forgotten() {
    let desk = Desk::new();
    let (old, new) = (signed(&desk.key, "k1", "a"), Pair::new(2));
    desk.admit(&old).await.unwrap();
    desk.network
        .serve(JWKS, 200, &json!({"keys": [new.jwk("k2")]}), None);
    assert_eq!(
        desk.refuse(&signed(&new, "k2", "a")).await,
        Reason::UnknownKey,
        "fetched a moment ago"
    );
    desk.clock.advance(10);
    desk.admit(&signed(&new, "k2", "a")).await.unwrap();
    assert_eq!(desk.network.count(JWKS), 2);
    assert_eq!(
        desk.refuse(&signed(&desk.key, "k1", "b")).await,
        Reason::UnknownKey,
        "withdrawn"
    );
    desk.admit(&old).await.unwrap(); // verified less than 30 seconds ago
    desk.clock.advance(30);
    assert_eq!(desk.refuse(&old).await, Reason::UnknownKey, "and then no more");
}

#[tokio::test]
async fn unknown_keys_cannot_make_us_flood_the_issuer() {
    let desk = Desk::new();
    desk.admit(&desk.good()).await.unwrap();
    for n in 0..200 {
        assert_eq!(
            desk.refuse(&signed(&desk.key, &format!("x{n}"), "a")).await,
            Reason::UnknownKey
        );
    }
    assert_eq!(desk.network.count(JWKS), 1);
    for round in 2..5 {
        desk.clock.advance(10);
        for n in 0..20 {
            assert_eq!(
                desk.refuse(&signed(&desk.key, &format!("y{n}"), "a")).await,
                Reason::UnknownKey
            );
        }
        assert_eq!(desk.network.count(JWKS), round);
    }
}

#[tokio::test]
async fn concurrent_first_calls_fetch_once() {
    let desk = Desk::new();
    let tokens: Vec<_> = (0..50)
        .map(|n| signed(&desk.key, "k1", &format!("user{n}")))
        .collect();
    let wire = desk.network.wire.lock().await;
    let calls = tokens.iter().map(|token| desk.admit(token));
    let answers = async {
        let all = futures::future::join_all(calls);
        let release = async { drop(wire) };
        futures::join!(all, release).0
    };
    assert!(answers.await.iter().all(Result::is_ok));
    assert_eq!((desk.network.count(DISCOVERY), desk.network.count(JWKS)), (1, 1));
}

#[tokio::test]
async fn a_slow_failure_is_not_repeated_by_everyone_who_waited() {
    let desk = Desk::new();
    desk.network.cut(DISCOVERY);
    let tokens: Vec<_> = (0..5)
        .map(|n| signed(&desk.key, "k1", &format!("user{n}")))
        .collect();
    let wire = desk.network.wire.lock().await;
    let calls = futures::future::join_all(tokens.iter().map(|token| desk.refuse(token)));
    let slow = async {
        while desk.network.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        desk.clock.advance(15);
        drop(wire);
    };
    let (reasons, ()) = futures::join!(calls, slow);
    assert_eq!(reasons, [Reason::KeysUnavailable; 5]);
    assert_eq!(desk.network.count(DISCOVERY), 1);
}

#[tokio::test]
async fn callers_that_give_up_do_not_stop_the_fetch() {
    let desk = Desk::new();
    let token = desk.good();
    let wire = desk.network.wire.lock().await;
    let mut call = Box::pin(desk.admit(&token));
    while desk.network.asked().is_empty() {
        assert!(futures::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
    drop(call);
    drop(wire);
    desk.identity.rings[ISSUER].settled().await;
    desk.admit(&token).await.unwrap();
    assert_eq!(desk.network.count(JWKS), 1);
}

#[tokio::test]
async fn last_good_keys_serve_for_a_while_and_then_every_token_is_refused() {
    let desk = Desk::new();
    desk.admit(&signed(&desk.key, "k1", "a")).await.unwrap();
    desk.network.cut(DISCOVERY);
    desk.clock.advance(700); // stale
    desk.admit(&signed(&desk.key, "k1", "b")).await.unwrap();
    desk.identity.rings[ISSUER].settled().await;
    assert_eq!(desk.network.count(DISCOVERY), 2, "one attempt in the background");
    desk.admit(&signed(&desk.key, "k1", "c")).await.unwrap();
    desk.identity.rings[ISSUER].settled().await;
    assert_eq!(desk.network.count(DISCOVERY), 2, "not again at once");
    desk.clock.advance(KEPT.as_secs() - 700);
    let rejection = desk.admit(&signed(&desk.key, "k1", "d")).await.unwrap_err();
    assert_eq!(rejection.reason(), Reason::KeysUnavailable);
    assert_eq!(rejection.status(), 503);
    assert!(
        !rejection.challenge().contains("invalid_token"),
        "the token may be good"
    );
    desk.network
        .serve(DISCOVERY, 200, &json!({"issuer": ISSUER, "jwks_uri": JWKS}), None);
    desk.clock.advance(10);
    desk.admit(&signed(&desk.key, "k1", "d")).await.unwrap();
}

#[tokio::test]
async fn without_keys_nothing_passes() {
    for (url, status, page) in [
        (DISCOVERY, 500, json!({})),
        (DISCOVERY, 200, json!("hello")),
        (DISCOVERY, 200, json!({"issuer": ISSUER})),
        (
            DISCOVERY,
            200,
            json!({"issuer": format!("{ISSUER}/"), "jwks_uri": JWKS}),
        ),
        (
            DISCOVERY,
            200,
            json!({"issuer": "https://evil.example.org", "jwks_uri": JWKS}),
        ),
        (
            DISCOVERY,
            200,
            json!({"issuer": ISSUER, "jwks_uri": "https://evil.example.org/keys"}),
        ),
        (
            DISCOVERY,
            200,
            json!({"issuer": ISSUER, "jwks_uri": "http://login.example.com/realm/keys"}),
        ),
        (
            DISCOVERY,
            200,
            json!({"issuer": ISSUER, "jwks_uri": "https://login.example.com:8443/realm/keys"}),
        ),
        (
            DISCOVERY,
            200,
            json!({"issuer": ISSUER, "jwks_uri": "file:///realm/keys"}),
        ),
        (DISCOVERY, 302, json!({"issuer": ISSUER, "jwks_uri": JWKS})),
        (JWKS, 404, json!({"keys": []})),
        (JWKS, 200, json!({})),
        (JWKS, 200, json!([Pair::new(1).jwk("k1")])),
        (JWKS, 200, json!({"keys": vec![Pair::new(1).jwk("k1"); 101]})),
    ] {
        let desk = Desk::new();
        desk.network.serve(
            "https://evil.example.org/keys",
            200,
            &json!({"keys": [desk.key.jwk("k1")]}),
            None,
        );
        desk.network.serve(url, status, &page, None);
        assert_eq!(
            desk.refuse(&desk.good()).await,
            Reason::KeysUnavailable,
            "{url} {status} {page}"
        );
        assert!(
            !desk.network.asked().iter().any(|asked| asked.contains("evil")),
            "{page}"
        );
    }
}

#[tokio::test]
async fn an_emptied_key_set_withdraws_every_key() {
    let desk = Desk::new();
    desk.admit(&signed(&desk.key, "k1", "a")).await.unwrap();
    desk.network.serve(JWKS, 200, &json!({"keys": []}), None);
    desk.clock.advance(600);
    desk.admit(&signed(&desk.key, "k1", "b")).await.unwrap(); // stale, replaced meanwhile
    desk.identity.rings[ISSUER].settled().await;
    assert_eq!(
        desk.refuse(&signed(&desk.key, "k1", "c")).await,
        Reason::UnknownKey
    );
}

#[tokio::test]
async fn discovery_falls_back_to_rfc_8414() {
    let desk = Desk::new();
    desk.network.serve(DISCOVERY, 404, &json!({}), None);
    let second = "https://login.example.com/.well-known/oauth-authorization-server/realm";
    desk.network
        .serve(second, 200, &json!({"issuer": ISSUER, "jwks_uri": JWKS}), None);
    desk.admit(&desk.good()).await.unwrap();
    assert_eq!(desk.network.asked(), [DISCOVERY, second, JWKS]);
}

#[tokio::test]
async fn issuer_address_counts_with_its_trailing_slash() {
    let mut issuer = corp();
    issuer.url = "https://tenant.example.com/".to_owned();
    let desk = Desk::with(issuer);
    let page =
        json!({"issuer": "https://tenant.example.com/", "jwks_uri": "https://tenant.example.com/keys"});
    let place = "https://tenant.example.com/.well-known/openid-configuration";
    desk.network.serve(place, 200, &page, None);
    desk.network.serve(
        "https://tenant.example.com/keys",
        200,
        &json!({"keys": [desk.key.jwk("k1")]}),
        None,
    );
    desk.admit_claims(json!({"iss": "https://tenant.example.com/"}))
        .await;
    assert_eq!(
        desk.refuse_claims(json!({"iss": "https://tenant.example.com"}))
            .await,
        Reason::Issuer
    );
}

#[tokio::test]
async fn configured_key_address_replaces_discovery() {
    let mut issuer = corp();
    issuer.jwks_uri = Some("https://keys.example.net/certs".to_owned());
    let desk = Desk::with(issuer);
    desk.network.serve(
        "https://keys.example.net/certs",
        200,
        &json!({"keys": [desk.key.jwk("k1")]}),
        None,
    );
    desk.admit(&desk.good()).await.unwrap();
    assert_eq!(desk.network.asked(), ["https://keys.example.net/certs"]);
}

#[tokio::test]
async fn cache_control_is_honoured_between_bounds() {
    for (header, fresh) in [
        (None, 600),
        (Some("max-age=5"), 60),
        (Some("public, MAX-AGE=\"300\""), 300),
        (Some("max-age=999999999"), 3_600),
        (Some("max-age=300, no-cache"), 60),
        (Some("no-store"), 60),
        (Some("max-age=-1, s-maxage=7"), 600),
    ] {
        let desk = Desk::new();
        desk.network
            .serve(JWKS, 200, &json!({"keys": [desk.key.jwk("k1")]}), header);
        desk.admit(&signed(&desk.key, "k1", "a")).await.unwrap();
        desk.clock.advance(fresh - 1);
        desk.admit(&signed(&desk.key, "k1", "b")).await.unwrap();
        desk.identity.rings[ISSUER].settled().await;
        assert_eq!(desk.network.count(JWKS), 1, "{header:?}");
        desk.clock.advance(1);
        desk.admit(&signed(&desk.key, "k1", "c")).await.unwrap();
        desk.identity.rings[ISSUER].settled().await;
        assert_eq!(desk.network.count(JWKS), 2, "{header:?}");
    }
}

#[tokio::test]
async fn unusable_and_ambiguous_keys_are_passed_over() {
    let desk = Desk::new();
    let (good, x) = (desk.key.jwk("k1"), desk.key.x());
    let keys = |list: serde_json::Value| desk.network.serve(JWKS, 200, &json!({"keys": list}), None);
    for bad in [
        json!([good, Pair::new(2).jwk("k1")]),
        json!([Pair::new(2).jwk("k1"), good]),
        json!([{"kty": "oct", "k": x, "kid": "k1", "alg": "HS256"}]),
        json!([with(good.clone(), json!({"use": "enc"}))]),
        json!([with(good.clone(), json!({"key_ops": ["sign"]}))]),
        json!([with(good.clone(), json!({"alg": "ES256"}))]),
        json!([with(good.clone(), json!({"alg": "HS256"}))]),
        json!([with(good.clone(), json!({"d": b64([1; 32])}))]),
        json!([with(good.clone(), json!({"crv": "X25519"}))]),
        json!([with(good.clone(), json!({"x": b64([1; 8])}))]), // jsonwebtoken itself would panic here
        json!([with(good.clone(), json!({"x": b64([0; 32])}))]), // a point of small order
        json!([with(
            good.clone(),
            json!({"kty": "EC", "crv": "P-256", "y": x, "alg": null})
        )]),
        json!([with(
            good.clone(),
            json!({"kty": "RSA", "n": b64([255; 128]), "e": "AQAB", "alg": null})
        )]),
        json!([null, 7, "k1", {}]),
    ] {
        keys(bad.clone());
        assert_eq!(desk.refuse(&desk.good()).await, Reason::UnknownKey, "{bad}");
        desk.clock.advance(10);
    }
    keys(json!([{"kty": "oct", "k": x, "kid": "k1"}, null, Pair::new(3).jwk("k3"), good]));
    desk.admit(&desk.good()).await.unwrap();
}

#[tokio::test]
async fn token_without_key_id_needs_a_set_of_one() {
    let desk = Desk::new();
    let token = desk.key.sign(&with(header(), json!({"kid": null})), &claims());
    desk.network.serve(
        JWKS,
        200,
        &json!({"keys": [desk.key.jwk("k1"), Pair::new(2).jwk("k2")]}),
        None,
    );
    assert_eq!(desk.refuse(&token).await, Reason::UnknownKey);
    desk.clock.advance(10);
    let unnamed = with(desk.key.jwk("k1"), json!({"kid": null}));
    desk.network.serve(JWKS, 200, &json!({"keys": [unnamed]}), None);
    desk.admit(&token).await.unwrap();
}

#[tokio::test]
async fn one_issuer_cannot_vouch_for_anothers_users() {
    let desk = Desk::new();
    let other = Pair::new(7);
    let other_url = "https://other.example.com";
    let network = desk.network.clone();
    // The second issuer even uses the same key id, and publishes the first one's name in its documents.
    network.serve(
        "https://other.example.com/.well-known/openid-configuration",
        200,
        &json!({"issuer": other_url, "jwks_uri": "https://other.example.com/keys"}),
        None,
    );
    network.serve(
        "https://other.example.com/keys",
        200,
        &json!({"keys": [other.jwk("k1")]}),
        None,
    );
    let second = IssuerSpec::new("other", other_url, RESOURCE);
    let identity = Identity::new(spec(vec![corp(), second]), network, desk.clock.clone()).unwrap();
    let two = Desk {
        identity: Arc::new(identity),
        ..desk
    };
    let theirs = with(claims(), json!({"iss": other_url}));
    let principal = two.admit(&other.sign(&header(), &theirs)).await.unwrap();
    assert_eq!(principal.user.id(), "other#alice");
    assert!(
        principal.user.groups.is_empty(),
        "`analysts` was mapped for corp alone"
    );
    assert_eq!(two.admit(&two.good()).await.unwrap().user.id(), "corp#alice");
    assert_eq!(
        two.refuse(&other.sign(&header(), &claims())).await,
        Reason::Signature
    );
    assert_eq!(
        two.refuse(&two.key.sign(&header(), &theirs)).await,
        Reason::Signature
    );
}

#[tokio::test]
async fn verified_tokens_are_remembered_for_thirty_seconds() {
    let desk = Desk::new();
    let token = signed(&desk.key, "k1", "a");
    desk.admit(&token).await.unwrap();
    desk.network.serve(JWKS, 200, &json!({"keys": []}), None);
    desk.clock.advance(12);
    // Somebody's unknown key makes us learn that k1 was withdrawn.
    assert_eq!(
        desk.refuse(&signed(&desk.key, "zz", "a")).await,
        Reason::UnknownKey
    );
    desk.clock.advance(17);
    desk.admit(&token).await.unwrap();
    desk.clock.advance(1);
    assert_eq!(desk.refuse(&token).await, Reason::UnknownKey);
}

#[tokio::test]
async fn session_is_the_tokens_sid_or_ends_after_thirty_idle_minutes() {
    let desk = Desk::new();
    let session = |changes: serde_json::Value| {
        let desk = &desk;
        let long = with(changes, json!({"exp": NOW + 86_000}));
        async move { desk.admit_claims(long).await.session.id }
    };
    let first = session(json!({})).await;
    for _ in 0..3 {
        desk.clock.advance(29 * 60 + 59);
        assert_eq!(session(json!({})).await, first);
    }
    assert_ne!(session(json!({"client_id": "agent-2"})).await, first);
    assert_ne!(session(json!({"sub": "bob"})).await, first);
    desk.clock.advance(30 * 60);
    let second = session(json!({})).await;
    assert_ne!(second, first);

    let sid = session(json!({"sid": "S"})).await;
    assert_eq!(session(json!({"sid": "S", "client_id": "agent-2"})).await, sid);
    assert_ne!(session(json!({"sid": "T"})).await, sid);
    assert_ne!(session(json!({"sid": "S", "sub": "bob"})).await, sid);
    assert_eq!(sid.len(), 32);
    let restarted = Desk::new();
    assert_eq!(
        restarted.admit_claims(json!({"sid": "S"})).await.session.id,
        sid,
        "the same after a restart"
    );
    assert_eq!(
        desk.refuse_claims(json!({"sid": 5, "exp": NOW + 86_000})).await,
        Reason::Claim("sid")
    );
}
