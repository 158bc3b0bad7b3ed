//! Cards of every state: what they show, and when they decide.

use serde_json::json;

use super::*;
use crate::approval::review::PostedAsk;
use crate::call::{ApprovalId, User, UserKind};
use crate::clock::Timestamp;

pub(in crate::console::slack) fn posting() -> Posting {
    Posting {
        id: ApprovalId("a".repeat(32)),
        state: State::Pending,
        answered: None,
        requester: User {
            issuer: "corp".to_owned(),
            subject: "asker".to_owned(),
            kind: UserKind::Person,
            groups: std::collections::BTreeSet::new(),
        },
        agent: "agent".to_owned(),
        claimed_agent: Some("Nice Agent <!here>".to_owned()),
        tool: "sql_execute".to_owned(),
        resource: Some("shop".to_owned()),
        created_at: Timestamp(0),
        decide_by: Timestamp(1_000),
        execute_by: None,
        asks: vec![PostedAsk {
            policy: "two-people".to_owned(),
            seats: vec![(2, "dba".to_owned())],
            explain: Some("Changes need two.".to_owned()),
            is_met: false,
        }],
        approved_by: Vec::new(),
        escalated_to: Vec::new(),
        broken_by: None,
        action_sha256: "b".repeat(64),
        runs: Some(json!({"statement": "UPDATE orders SET status = 'closed' WHERE id = 17"})),
        facts: json!({"probe": "measurable", "sql": {"irreversible": false}}),
        counts: Some(json!({"rows": {"orders": {"updated": 1}}, "schema": {}, "irreversible": false})),
        bound: Bound::Keys,
        unattended: false,
        claimed_reason: Some("please\u{202e} now".to_owned()),
        page: Some("https://control.example/approvals/a".to_owned()),
        page_only: None,
        latest: 1,
    }
}

/// What makes a posting another one.
type Change = fn(&mut Posting);

fn made(posting: &Posting) -> (Message, String) {
    let message = message(posting, &|words| words.to_owned(), &[]);
    let text = message.blocks.to_string();
    assert!(message.blocks.as_array().unwrap().len() <= 50);
    (message, text)
}

#[test]
fn a_card_says_who_what_and_how_much_and_last_what_is_claimed() {
    let (message, text) = made(&posting());
    assert!(message.decides);
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    for words in [
        "corp#asker",
        "2 of dba",
        "0 of 2 approved",
        "orders: 0 new, 1 changed, 0 removed",
        "Changes need two.",
    ] {
        at(words);
    }
    assert!(
        at("Claimed by the program") > at("UPDATE orders")
            && at("Claimed by the program") > at("Changes need two.")
    );
    assert!(text.contains("please⟨U+202E⟩ now") && !text.contains('\u{202e}'));
    assert!(!text.contains("mrkdwn"));
    assert_eq!(
        read_value(&value(&"a".repeat(32), "b")),
        Some(("a".repeat(32).as_str(), "b"))
    );
    for wrong in ["", "v1", "v1 a", "v2 a b", "v1 a b c"] {
        assert_eq!(read_value(wrong), None, "{wrong}");
    }
}

#[test]
fn nothing_decides_that_is_not_whole() {
    let changes: [(&str, Change); 6] = [
        ("high-risk", |one| {
            one.page_only = Some("policy calls this high-risk")
        }),
        ("parameters", |one| {
            one.runs = Some(json!({"statement": "SELECT :a", "parameters": {"a": "hunter2"}}));
        }),
        ("does not fit", |one| {
            one.runs = Some(json!({"statement": "x".repeat(100_000)}));
        }),
        ("does not fit", |one| {
            let tables: serde_json::Map<_, _> = (0..30)
                .map(|at| (format!("t{at}"), json!({"updated": 1})))
                .collect();
            one.counts = Some(json!({"rows": tables}));
        }),
        ("right to left", |one| {
            one.runs = Some(json!({"statement": "SELECT 'א'"}))
        }),
        ("page alone", |one| one.runs = Some(json!({"path": "x"}))),
    ];
    for (why, change) in changes {
        let mut one = posting();
        change(&mut one);
        let (message, text) = made(&one);
        assert!(!message.decides && text.contains(why), "{why}: {text}");
        assert!(!text.contains(APPROVE) && !text.contains(REFUSE) && text.contains(PAGE));
        assert!(!text.contains("hunter2"));
    }
}

#[test]
fn what_is_masked_is_not_decided_here() {
    let message = message(&posting(), &|words| words.replace("closed", "***"), &[]);
    assert!(!message.decides && !message.blocks.to_string().contains("closed"));
}

#[test]
fn each_state_has_its_word_and_its_buttons() {
    let all = [
        (State::Pending, None, true, true),
        (State::Granted, None, false, true),
        (State::Refused, None, false, false),
        (State::Expired, None, false, false),
        (State::Cancelled, None, false, false),
        (State::Spent, None, false, false),
        (State::Spent, Some(true), false, false),
        (State::Spent, Some(false), false, false),
        (State::Unknown, None, false, false),
    ];
    let mut words = std::collections::BTreeSet::new();
    for (state, answered, approves, refuses) in all {
        let one = Posting {
            state,
            answered,
            ..posting()
        };
        let (_, text) = made(&one);
        assert_eq!(
            (text.contains(APPROVE), text.contains(REFUSE)),
            (approves, refuses),
            "{state:?}"
        );
        assert!(words.insert(word(&one)));
    }
}

#[test]
fn what_notifications_say_can_hold_no_markup() {
    assert_eq!(
        fallback("<!channel> & <@U1>"),
        "&lt;!channel&gt; &amp; &lt;@U1&gt;"
    );
}

/// However much there is in every part, and in whatever letters, Slack takes the whole of it, and it decides nothing.
#[test]
fn all_of_it_together_is_never_more_than_slack_takes() {
    for letter in ["x", "\"", "\\", "語", "🙂", "\u{202e}", "א", "\n", "\t"] {
        let much = letter.repeat(100_000);
        let tables = |count: usize| -> serde_json::Map<_, _> {
            let change = || json!({"updated": 1});
            (0..count)
                .map(|at| (format!("{at}{}", letter.repeat(100)), change()))
                .collect()
        };
        let ask = PostedAsk {
            policy: much.clone(),
            seats: vec![(2, much.clone())],
            explain: Some(much.clone()),
            is_met: false,
        };
        let approver = |at: usize| crate::call::Approver {
            groups: std::collections::BTreeSet::new(),
            issuer: format!("{at}"),
            subject: much.clone(),
        };
        let one = Posting {
            agent: much.clone(),
            tool: much.clone(),
            resource: Some(much.clone()),
            claimed_agent: Some(much.clone()),
            claimed_reason: Some(much.clone()),
            asks: vec![ask.clone(), ask],
            approved_by: vec![approver(1), approver(2)],
            escalated_to: vec![much.clone()],
            broken_by: Some(much.clone()),
            execute_by: Some(Timestamp(1)),
            runs: Some(json!({"statement": much, "parameters": [1]})),
            counts: Some(json!({"rows": tables(300), "schema": tables(300), "measured": false})),
            unattended: true,
            bound: Bound::Count,
            ..posting()
        };
        let (message, text) = made(&one);
        assert!(
            text.len() <= WHOLE && !message.decides,
            "{letter}: {}",
            text.len()
        );
        assert!(text.contains("does not fit here") && text.contains(PAGE));
        let (message, text) = (narrow(&one, &|words| words.to_owned(), &[]), text);
        assert_eq!(message.blocks.to_string(), text, "it was narrow already");
    }
    let argv: Vec<String> = (0..15)
        .map(|at| format!("{at}{}", "<!here>\u{202e}א".repeat(400)))
        .collect();
    let command = Posting {
        runs: Some(json!({"argv": argv})),
        facts: json!({"probe": "none", "shell": {"kind": "script", "commands": [argv]}}),
        ..posting()
    };
    let (message, text) = made(&command);
    assert!(!message.decides && text.contains("These are its first lines") && text.len() <= WHOLE);
    assert!(!text.contains('\u{202e}') && text.contains("⟨U+202E⟩"));
    let fits = Posting {
        runs: Some(json!({"statement": "SELECT 1\n".repeat(59)})),
        ..posting()
    };
    assert!(made(&fits).0.decides, "an ordinary one keeps its buttons");
}

/// Who is on call is called while it waits, by the id that the configuration has, and nobody by what anybody writes.
#[test]
fn a_user_group_is_called_while_a_request_waits() {
    let one = posting();
    let called = message(&one, &|words| words.to_owned(), &["S0123456789"]);
    let group = json!({"type": "usergroup", "usergroup_id": "S0123456789"});
    assert_eq!(called.blocks[2]["elements"][0]["elements"][0], group);
    assert!(
        called.text.starts_with("<!subteam^S0123456789> Waits for"),
        "{}",
        called.text
    );
    assert!(
        narrow(&one, &|words| words.to_owned(), &["S0123456789"])
            .text
            .contains("<!subteam^")
    );
    assert!(called.decides);
    for state in [
        State::Granted,
        State::Refused,
        State::Expired,
        State::Cancelled,
        State::Spent,
    ] {
        let mut over = posting();
        over.state = state;
        let message = message(&over, &|words| words.to_owned(), &["S0123456789"]);
        assert!(!message.blocks.to_string().contains("usergroup"), "{state:?}");
        assert!(!message.text.contains('<'), "{}", message.text);
    }
    let (_, text) = made(&one);
    assert!(!text.contains("usergroup"), "{text}");
}
