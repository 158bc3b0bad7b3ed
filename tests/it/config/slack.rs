//! `[[approval.channel]]` of kind `slack`: what it needs, and what it refuses.

use std::time::Duration;

use tollgate::config::SlackDelivery;
use tollgate::console::slack::{Escalation, Route};

use super::{LEAST, parse};

/// A configuration whose people's side is there.
fn with(channel: &str) -> String {
    format!(
        "{LEAST}[server]\ncontrol_listen = \"127.0.0.1:7331\"\ncontrol_url = \"https://approve.example.com\"\n\
         [[approval.channel]]\nkind = \"slack\"\n{channel}"
    )
}

const GOOD: &str = "channel = \"C0123456789\"\nbot_token = \"env:BOT\"\napp_token = \"env:APP\"\n";

fn to(channel: &str, group: Option<&str>) -> Route {
    Route {
        channel: channel.to_owned(),
        group: group.map(str::to_owned),
    }
}

/// A user group is called in a channel; where none is named, in the app's own. Steps are each a route.
#[test]
fn a_route_is_a_channel_a_user_group_or_both_and_steps_are_routes() {
    let more = "routes = { dba = \"S0123456781\", ops = \"C0123456782 S0123456783\" }\nescalate_after_seconds = 300\n\
                escalate_routes = { dba = [\"C0123456784\", \"S0123456785\"] }\n";
    let slack = parse(&with(&format!("{GOOD}{more}"))).unwrap().slack.unwrap();
    assert_eq!(slack.routes["dba"], to("C0123456789", Some("S0123456781")));
    assert_eq!(slack.routes["ops"], to("C0123456782", Some("S0123456783")));
    let escalation = slack.escalation.unwrap();
    assert_eq!(escalation.steps, []);
    assert_eq!(
        escalation.routes["dba"],
        [to("C0123456784", None), to("C0123456789", Some("S0123456785"))]
    );
    for wrong in [
        "routes = { dba = \"C0123456782 <!channel>\" }\n",
        "routes = { dba = \"<!here>\" }\n",
        "routes = { dba = \"S0123456781 C0123456782\" }\n",
        "routes = { dba = \"C0123456782 S0123456781 S0123456783\" }\n",
        "escalate_after_seconds = 300\nescalate_routes = { dba = [\"everyone\"] }\n",
    ] {
        let refused = parse(&with(&format!("{GOOD}{wrong}"))).unwrap_err();
        assert!(refused.contains("nor of a user group"), "{wrong}: {refused}");
    }
    let none = "escalate_after_seconds = 300\nescalate_routes = { dba = [] }\n";
    assert!(
        parse(&with(&format!("{GOOD}{none}")))
            .unwrap_err()
            .contains("1 to 5 steps")
    );
}

#[test]
fn a_channel_and_two_references_are_enough() {
    let config = parse(&with(GOOD)).unwrap();
    let slack = config.slack.unwrap();
    assert_eq!(slack.url.as_str(), "https://slack.com/api/");
    assert!(matches!(slack.delivery, SlackDelivery::Socket(_)));
    assert_eq!(slack.link, Duration::from_secs(7 * 86_400));
    assert_eq!(config.approval.link, slack.link);
    assert_eq!((slack.escalation, slack.routes.len()), (None, 0));
    let more = "routes = { dba = \"C0123456781\" }\nescalate_after_seconds = 60\nescalate_to = \"G0123456782\"\nlink_days = 1\n";
    let slack = parse(&with(&format!("{GOOD}{more}"))).unwrap().slack.unwrap();
    assert_eq!(slack.routes["dba"], to("C0123456781", None));
    let escalation = Some(Escalation {
        after: Duration::from_secs(60),
        steps: vec![to("G0123456782", None)],
        routes: std::collections::BTreeMap::new(),
    });
    assert_eq!(
        (slack.escalation, slack.link),
        (escalation, Duration::from_secs(86_400))
    );
    let signed = GOOD.replace("app_token", "signing_secret");
    let slack = parse(&with(&signed)).unwrap().slack.unwrap();
    assert!(matches!(slack.delivery, SlackDelivery::Http(_)));
}

#[test]
fn what_is_missing_or_does_not_belong_is_said() {
    let literal = ["xoxb", "-1-hunter2"].concat();
    let cases = [
        (
            GOOD.replace("C0123456789", "#approvals"),
            "not the id of a channel",
        ),
        (
            GOOD.replace("env:BOT", &literal),
            "a secret must never be written",
        ),
        (
            GOOD.replace("app_token = \"env:APP\"\n", ""),
            "app_token or signing_secret",
        ),
        (
            format!("{GOOD}signing_secret = \"env:S\"\n"),
            "app_token or signing_secret",
        ),
        (
            GOOD.replace("bot_token = \"env:BOT\"\n", ""),
            "Slack has no bot_token",
        ),
        (
            GOOD.replace("channel = \"C0123456789\"\n", ""),
            "Slack has no channel",
        ),
        (format!("{GOOD}secret = \"env:S\"\n"), "secret is for webhooks"),
        (
            format!("{GOOD}allow_private = true\n"),
            "allow_private is for webhooks",
        ),
        (
            format!("{GOOD}escalate_to = \"C0123456781\"\n"),
            "belong together",
        ),
        (format!("{GOOD}link_days = 31\n"), "link_days"),
        (
            format!("{GOOD}url = \"http://slack.example/api/\"\n"),
            "not an https URL",
        ),
        (
            format!("{GOOD}routes = {{ dba = \"everybody\" }}\n"),
            "nor of a user group",
        ),
        (
            format!("{GOOD}[[approval.channel]]\nkind = \"slack\"\n{GOOD}"),
            "a second channel",
        ),
    ];
    for (channel, said) in cases {
        let refused = parse(&with(&channel)).unwrap_err();
        assert!(refused.contains(said), "{said}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let without = with(GOOD).replace("control_listen = \"127.0.0.1:7331\"\n", "");
    let without = without.replace("control_url = \"https://approve.example.com\"\n", "");
    assert!(parse(&without).unwrap_err().contains("without a side for people"));
    let hook =
        "[[approval.channel]]\nkind = \"webhook\"\nurl = \"https://h.example.com\"\nsecret = \"env:H\"\n";
    let mixed = format!("{LEAST}{hook}bot_token = \"env:B\"\nlink_days = 3\n");
    let refused = parse(&mixed).unwrap_err();
    assert!(
        refused.contains("bot_token is for Slack") && refused.contains("link_days is for Slack"),
        "{refused}"
    );
}
