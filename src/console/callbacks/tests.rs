//! Signatures: the standard's own example, several keys, and everything that is none.

use super::*;

const BODY: &[u8] = br#"{"test": 2432232314}"#;
const STAMP: u64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// Standard Webhooks, the reference libraries' own test vector.
fn secret() -> Secret {
    Secret::new(["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat())
}

fn other() -> Secret {
    Secret::new(["whsec_", &STANDARD.encode([7; 32])].concat())
}

fn headers(message: &str, stamp: &str, signatures: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", message.parse().unwrap());
    headers.insert("webhook-timestamp", stamp.parse().unwrap());
    headers.insert("webhook-signature", signatures.parse().unwrap());
    headers
}

fn check(secrets: &[Secret], headers: &HeaderMap, body: &[u8], now: u64) -> bool {
    let integration = Integration::new("portal".to_owned(), secrets, BTreeSet::new()).unwrap();
    Signed::of(headers).is_some_and(|signed| integration.has_signed(&signed, body, now))
}

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

#[test]
fn the_example_of_the_standard_counts_for_five_minutes_either_way() {
    let sent = headers(ID, &STAMP.to_string(), SIGNATURE);
    for now in [STAMP, STAMP + 300, STAMP - 300] {
        assert!(check(&[secret()], &sent, BODY, now), "{now}");
    }
    for now in [STAMP + 301, STAMP - 301, 0, u64::MAX] {
        assert!(!check(&[secret()], &sent, BODY, now), "{now}");
    }
}

#[test]
fn while_a_key_is_changed_each_of_both_counts() {
    let sent = headers(ID, &STAMP.to_string(), SIGNATURE);
    assert!(check(&[other(), secret()], &sent, BODY, STAMP));
    assert!(!check(&[other()], &sent, BODY, STAMP));
    let both = format!("v1,{} {SIGNATURE}", STANDARD.encode([1; 32]));
    assert!(check(
        &[secret()],
        &headers(ID, &STAMP.to_string(), &both),
        BODY,
        STAMP
    ));
}

#[test]
fn nothing_else_counts() {
    let stamp = STAMP.to_string();
    let bare = SIGNATURE.trim_start_matches("v1,");
    let late = ["v1,AA"; AT_ONCE].join(" ");
    for signatures in [
        "",
        "v1,",
        bare,
        &SIGNATURE.replacen("v1", "v1a", 1),
        &SIGNATURE.replacen('g', "h", 1),
        &format!("{late} {SIGNATURE}"),
        &format!("{SIGNATURE}{}", " v1,AA".repeat(200)),
    ] {
        assert!(
            !check(&[secret()], &headers(ID, &stamp, signatures), BODY, STAMP),
            "{signatures}"
        );
    }
    let sent = headers(ID, &stamp, SIGNATURE);
    assert!(!check(&[secret()], &sent, br#"{"test": 2432232315}"#, STAMP));
    assert!(!check(
        &[secret()],
        &headers("msg_2", &stamp, SIGNATURE),
        BODY,
        STAMP
    ));
    for (id, stamp) in [
        ("a.b", "1"),
        ("", "1"),
        (ID, "+1614265330"),
        (ID, " 1614265330"),
        (ID, "1e9"),
    ] {
        assert!(
            !check(&[secret()], &headers(id, stamp, SIGNATURE), BODY, STAMP),
            "{id} {stamp}"
        );
    }
    let mut twice = headers(ID, &stamp, SIGNATURE);
    twice.append("webhook-signature", SIGNATURE.parse().unwrap());
    assert!(!check(&[secret()], &twice, BODY, STAMP));
}

/// What is signed is parted by dots: nothing of one part can be taken for another's.
#[test]
fn what_was_signed_for_one_message_is_no_other_message() {
    let (id, stamp, body) = ("msg", "1614265330", b"1614265330.{}".as_slice());
    let key = notices::key(&secret()).unwrap();
    let mut code = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    code.update(format!("{id}.{stamp}.").as_bytes());
    code.update(body);
    let signature = format!("v1,{}", STANDARD.encode(code.finalize().into_bytes()));
    assert!(check(&[secret()], &headers(id, stamp, &signature), body, STAMP));
    let moved = format!("{id}.{stamp}");
    assert!(!check(
        &[secret()],
        &headers(&moved, stamp, &signature),
        b"{}",
        STAMP
    ));
}

#[test]
fn an_integration_has_a_whole_key_and_shows_none() {
    let made = |secrets: &[Secret]| Integration::new("portal".to_owned(), secrets, BTreeSet::new());
    assert_eq!(made(&[]).map(|_| ()), Err(ChannelError::Secret));
    let short = Secret::new("whsec_AAAA".to_owned());
    assert_eq!(made(&[secret(), short]).map(|_| ()), Err(ChannelError::Secret));
    assert!(!format!("{:?}", made(&[secret()]).unwrap()).contains("24"));
}

#[test]
fn a_claim_names_a_person_as_they_are_called_here() {
    let callbacks = Callbacks::new(Vec::new(), BTreeSet::from(["corp".to_owned()]));
    assert!(callbacks.is_person("corp#dan") && callbacks.is_person("corp#a#b"));
    let long = format!("corp#{}", "x".repeat(256));
    for no in [
        "",
        "dan",
        "corp#",
        "other#dan",
        "Corp#dan",
        "corp/#dan",
        " corp#dan",
        "corp#dan ",
        "corp#\u{a0}dan",
        "callback#portal",
        "corp#d\u{202e}an",
        &long,
    ] {
        assert!(!callbacks.is_person(no), "{no}");
    }
}
