//! Signatures, algorithms and keys that must not be taken for the issuer's.

use serde_json::{Value, json};

use super::desk::*;
use crate::identity::{Algorithm, Reason};

#[tokio::test]
async fn algorithm_tricks_are_refused() {
    let desk = Desk::new();
    let body = claims();
    let signed = |changes: Value| desk.key.sign(&with(header(), changes), &body);
    for alg in [
        "none", "None", "NONE", "HS256", "HS512", "eddsa", "ES256K", "A128KW", "dir", "",
    ] {
        assert_eq!(
            desk.refuse(&signed(json!({"alg": alg}))).await,
            Reason::Algorithm,
            "{alg}"
        );
    }
    assert_eq!(
        desk.refuse(&signed(json!({"alg": null}))).await,
        Reason::Algorithm
    );
    assert_eq!(
        desk.refuse(&signed(json!({"alg": ["EdDSA"]}))).await,
        Reason::Malformed
    );
    assert_eq!(
        desk.refuse(&signed(json!({"alg": "RS512"}))).await,
        Reason::Algorithm,
        "not on the list"
    );
    assert_eq!(
        desk.refuse(&signed(json!({"alg": "RS256"}))).await,
        Reason::UnknownKey,
        "not this key's"
    );
    assert_eq!(
        desk.refuse(&signed(json!({"alg": "ES256"}))).await,
        Reason::UnknownKey
    );
    // RFC 9864's name for the same algorithm.
    desk.admit(&signed(json!({"alg": "Ed25519"}))).await.unwrap();
    let none = format!(
        "{}.{}.",
        b64(json!({"alg": "none", "typ": "at+jwt"}).to_string()),
        b64(body.to_string())
    );
    assert_eq!(desk.refuse(&none).await, Reason::Algorithm);
    let unsigned = format!("{}.{}.", b64(header().to_string()), b64(body.to_string()));
    assert_eq!(desk.refuse(&unsigned).await, Reason::Signature);
}

#[tokio::test]
async fn hs256_with_the_public_key_as_secret_is_refused() {
    let desk = Desk::new();
    for secret in [
        desk.key.0.verifying_key().to_bytes().to_vec(),
        desk.key.x().into_bytes(),
    ] {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some("k1".to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let forged = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(desk.refuse(&forged).await, Reason::Algorithm);
    }
    for name in ["HS256", "HS384", "HS512", "none", ""] {
        assert!(
            name.parse::<Algorithm>().is_err(),
            "{name} cannot even be configured"
        );
    }
}

#[tokio::test]
async fn keys_a_token_brings_along_are_not_followed() {
    let desk = Desk::new();
    let mallory = Pair::new(66);
    for lure in [
        json!({"jwk": mallory.jwk("k1")}),
        json!({"jku": "https://evil.example.org/keys"}),
        json!({"x5u": "https://evil.example.org/cert"}),
        json!({"x5c": ["MIIB"]}),
        json!({"iss": "https://evil.example.org"}),
    ] {
        let forged = mallory.sign(&with(header(), lure.clone()), &claims());
        assert_eq!(desk.refuse(&forged).await, Reason::Signature, "{lure}");
        desk.admit(&desk.key.sign(&with(header(), lure), &claims()))
            .await
            .unwrap();
    }
    assert!(
        desk.network
            .asked()
            .iter()
            .all(|url| url.starts_with("https://login.example.com/"))
    );
}

#[tokio::test]
async fn critical_extensions_are_refused() {
    let desk = Desk::new();
    for crit in [json!(["b64"]), json!([]), json!("exp")] {
        let token = desk
            .key
            .sign(&with(header(), json!({"crit": crit, "b64": false})), &claims());
        assert_eq!(desk.refuse(&token).await, Reason::Critical);
    }
}

#[tokio::test]
async fn key_id_is_compared_and_never_interpreted() {
    let desk = Desk::new();
    for kid in [
        "../../../../dev/null",
        "k1' OR '1'='1",
        "/etc/passwd",
        "K1",
        "k1 ",
        "",
        "https://evil.example.org/",
    ] {
        let token = desk.key.sign(&with(header(), json!({"kid": kid})), &claims());
        assert_eq!(desk.refuse(&token).await, Reason::UnknownKey, "{kid}");
    }
    let long = desk
        .key
        .sign(&with(header(), json!({"kid": "k".repeat(257)})), &claims());
    assert_eq!(desk.refuse(&long).await, Reason::UnknownKey);
    let number = desk.key.sign(&with(header(), json!({"kid": 1})), &claims());
    assert_eq!(desk.refuse(&number).await, Reason::Malformed);
    assert!(
        desk.network
            .asked()
            .iter()
            .all(|url| url == DISCOVERY || url == JWKS)
    );
}

#[tokio::test]
async fn tampered_token_is_refused() {
    let desk = Desk::new();
    let good = desk.good();
    let parts: Vec<_> = good.split('.').collect();
    let root = b64(with(claims(), json!({"sub": "root"})).to_string());
    assert_eq!(
        desk.refuse(&format!("{}.{root}.{}", parts[0], parts[2])).await,
        Reason::Signature
    );
    let other = Pair::new(9).sign(&header(), &claims());
    assert_eq!(desk.refuse(&other).await, Reason::Signature);
    desk.admit(&good).await.unwrap();
}

/// A P-256 private key in PKCS #8 (RFC 5208, RFC 5915), made from a scalar.
fn p256(scalar: u8) -> jsonwebtoken::EncodingKey {
    let mut der = vec![
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
        0x20,
    ];
    der.extend([scalar; 32]);
    jsonwebtoken::EncodingKey::from_ec_der(&der)
}

#[tokio::test]
async fn es256_passes_and_its_other_forms_do_not() {
    let desk = Desk::new();
    let pair = p256(5);
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&pair, jsonwebtoken::Algorithm::ES256).unwrap();
    let jwk = with(serde_json::to_value(jwk).unwrap(), json!({"kid": "e1"}));
    let publish = |jwk: &Value| desk.network.serve(JWKS, 200, &json!({"keys": [jwk]}), None);
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("e1".to_owned()));
    let long = with(claims(), json!({"exp": NOW + 3_600}));
    let token = jsonwebtoken::encode(&header, &long, &pair).unwrap();
    let forged = jsonwebtoken::encode(&header, &long, &p256(6)).unwrap();
    publish(&with(jwk.clone(), json!({"crv": "P-384", "alg": null})));
    assert_eq!(
        desk.refuse(&token).await,
        Reason::UnknownKey,
        "a curve it is not on"
    );
    desk.clock.advance(10);
    publish(&jwk);
    desk.admit(&token).await.unwrap();
    assert_eq!(desk.refuse(&forged).await, Reason::Signature);
    // A point that is on no curve, learned in the background once the keys are stale.
    publish(&with(jwk.clone(), json!({"x": jwk["y"]})));
    desk.clock.advance(600);
    desk.admit(&token).await.unwrap();
    desk.identity.rings[ISSUER].settled().await;
    desk.clock.advance(30);
    assert_eq!(desk.refuse(&token).await, Reason::Signature);
}

#[tokio::test]
async fn every_one_character_change_is_refused() {
    let desk = Desk::new();
    let good = desk.good();
    desk.admit(&good).await.unwrap();
    for index in 0..good.len() {
        for other in ['A', 'b', '_', '.', '='] {
            let mut changed: Vec<char> = good.chars().collect();
            if changed[index] == other {
                continue;
            }
            changed[index] = other;
            let changed: String = changed.into_iter().collect();
            assert!(desk.admit(&changed).await.is_err(), "{index} {other}");
        }
        desk.refuse(good.get(..index).unwrap()).await;
    }
    desk.admit(&good).await.unwrap();
}
