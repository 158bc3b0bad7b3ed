//! Signatures as the specification's own example has them, waits that grow, secrets that are secrets.

use super::*;

#[test]
fn a_signature_is_the_one_of_the_standards_example() {
    // Standard Webhooks, the reference libraries' own test vector.
    let secret = Secret::new(["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat());
    let channel = Channel::new("https://hook.example.com/".parse().unwrap(), &secret, false).unwrap();
    let signature = channel.signature(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(
        signature.as_deref(),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    );
    assert!(!format!("{channel:?}").contains("MfKQ"));
}

#[test]
fn a_secret_is_whole_or_refused_and_an_inside_address_too() {
    let channel = |secret: &str, url: &str| {
        Channel::new(url.parse().unwrap(), &Secret::new(secret.to_owned()), false).map(|_| ())
    };
    let good = ["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat();
    for short in [
        "",
        "whsec_",
        "whsec_AAAA",
        "hunter2",
        good.trim_start_matches("whsec_"),
    ] {
        assert_eq!(
            channel(short, "https://a.example"),
            Err(ChannelError::Secret),
            "{short}"
        );
    }
    assert_eq!(channel(&good, "https://10.1.2.3/"), Err(ChannelError::Private));
    assert_eq!(channel(&good, "https://a.example"), Ok(()));
}

#[test]
fn waits_grow_to_an_hour_and_differ() {
    assert_eq!(wait(1, u16::MAX), FIRST_WAIT);
    assert_eq!(wait(1, 0), FIRST_WAIT / 2);
    for attempts in 1..ATTEMPTS + 50 {
        assert!(wait(attempts, u16::MAX) <= LONGEST_WAIT);
        assert!(wait(attempts, 0) < wait(attempts, u16::MAX));
        assert!(wait(attempts + 1, 7) >= wait(attempts, 7));
    }
}
