//! Signatures as the specification's own example has them, waits that grow, secrets that are secrets.

use super::*;

#[test]
fn a_signature_is_the_one_of_the_standards_example() {
    // Standard Webhooks, the reference libraries' own test vector.
    let secret = Secret::new(["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"].concat());
    let channel = Channel::new("https://hook.example.com/".parse().unwrap(), &secret, false).unwrap();
    let Carrier::Webhook(webhook) = &channel.carrier else {
        panic!("a webhook");
    };
    let signature = webhook.signature(
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

#[test]
fn teams_has_an_address_that_is_a_secret_and_no_other() {
    let made = |address: &str| Channel::teams(&Secret::new(address.to_owned()), false);
    let channel = made("https://prod.example.com/workflows/1?sig=SIGNATURE").unwrap();
    let shown = format!("{channel:?} {}", channel.name());
    assert!(shown.contains("teams ") && !shown.contains("SIGNATURE") && !shown.contains("example"));
    for (no, why) in [
        ("", ChannelError::Address),
        ("http://prod.example.com/", ChannelError::Address),
        ("file:///etc/passwd", ChannelError::Address),
        ("https://10.1.2.3/", ChannelError::Private),
        ("https://169.254.169.254/", ChannelError::Private),
    ] {
        let error = made(no).map(|_| ()).unwrap_err();
        assert_eq!(error, why, "{no}");
        assert!(!error.to_string().contains("example"));
    }
}

#[test]
fn a_card_has_text_in_runs_alone_and_one_link() {
    let hostile = "**bold** [x](https://evil.example) <at>all</at> {{DATE(1)}} \"quoted\"".to_owned();
    let told = Told {
        title: hostile.clone(),
        facts: vec![("Asked by", hostile.clone())],
        changes: vec![hostile.clone()],
        because: vec![hostile.clone()],
        claimed: vec![hostile.clone()],
        said: None,
        page: Some("https://approve.example.com/approvals/1".to_owned()),
        id: "1.2".to_owned(),
    };
    let message = teams::message(&told);
    let card = &message["attachments"][0]["content"];
    let mut kinds = Vec::new();
    walk(card, &mut kinds);
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "Action.OpenUrl",
            "AdaptiveCard",
            "Container",
            "RichTextBlock",
            "TextRun"
        ]
    );
    assert_eq!(card["actions"].as_array().unwrap().len(), 1);
    assert_eq!(
        card["actions"][0]["url"],
        "https://approve.example.com/approvals/1"
    );
    let last = card["body"].as_array().unwrap().last().unwrap();
    assert!(
        last.to_string().contains("Claimed by the program"),
        "claims are last"
    );
}

fn walk(value: &Value, kinds: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            kinds.extend(members.get("type").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|one| walk(one, kinds));
        }
        Value::Array(items) => items.iter().for_each(|one| walk(one, kinds)),
        _ => {}
    }
}

#[test]
fn who_asks_to_be_left_alone_is() {
    let answer = |after: &str| {
        let answer = http::Response::builder().status(429).header("retry-after", after);
        outcome(Ok(answer.body(Vec::new()).unwrap().into()))
    };
    assert_eq!(answer("17"), Err(Failure::Status(429, Some(17))));
    assert_eq!(answer("soon"), Err(Failure::Status(429, None)));
}
