mod bench;
mod grants;
mod ahead;
mod by_message;
mod callbacks;
mod keyed;
mod kill;
mod leaving;
mod life;
mod model;
mod practice;
mod races;
mod repeatable;
mod standing;
mod stronger;

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::confirm::{SHOWN, prompt};
use super::*;
use crate::call::refusal::Code;
use crate::call::request::ListResources;
use crate::call::{
    Action, Agent, CallId, Hash, Principal, Probe, Scope, Session, Target, Transport, User, UserKind,
};
use crate::call::{Confirmation, is_unseen};
use crate::policy::{Decision, Obligation};

/// A person who gives one answer, and remembers what they were asked.
struct Person {
    answer: Confirmation,
    asked: Mutex<Vec<String>>,
}

impl Person {
    fn who_says(answer: Confirmation) -> Self {
        Self {
            answer,
            asked: Mutex::default(),
        }
    }
}

impl Caller for Person {
    fn confirm<'a>(&'a self, prompt: &'a str) -> BoxFuture<'a, Confirmation> {
        self.asked.lock().unwrap().push(prompt.to_owned());
        Box::pin(std::future::ready(self.answer))
    }
}

fn arrival(arguments: Value) -> Arrival {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    Arrival {
        hold: None,
        call_id: CallId::new(0, &[0; 10]),
        principal: Principal {
            user: User {
                issuer: "corp".to_owned(),
                subject: "ann".to_owned(),
                kind: UserKind::Person,
                groups: BTreeSet::new(),
            },
            agent: Agent {
                client_id: "editor".to_owned(),
                verified: true,
                claimed_name: "Trusted Bank".to_owned(),
                claimed_version: String::new(),
            },
            session: Session {
                id: "s".to_owned(),
                labels: BTreeSet::new(),
            },
            scope: Scope::default(),
        },
        transport: Transport::Http,
        tool: "sql_query".to_owned(),
        arguments,
        cancel: CancellationToken::new(),
    }
}

fn ask(obligations: &[(&str, ObligationKind, Option<&str>)]) -> Ask {
    Ask {
        obligations: obligations
            .iter()
            .map(|(id, kind, explain)| Obligation {
                id: (*id).to_owned(),
                kind: kind.clone(),
                bound: Default::default(),
                unattended: false,
                grantable: None,
                escalate: Vec::new(),
                break_glass: None,
                high_risk: false,
                explain: explain.map(str::to_owned),
            })
            .collect(),
        decision: Decision {
            digest: Hash::of(b"policies"),
            ids: Vec::new(),
            satisfied: BTreeSet::new(),
            self_confirmed: false,
            candidate: None,
        },
    }
}

async fn satisfy(ask: Ask, person: &Person) -> Result<Evidence, Refusal> {
    let arrival = arrival(json!({"resource": "shop", "statement": "SELECT 1"}));
    met(ask, &arrival, person).await
}

/// Meets what is asked of a call that touches nothing in particular.
async fn met(ask: Ask, arrival: &Arrival, person: &Person) -> Result<Evidence, Refusal> {
    let request = Request::ListResources(ListResources {
        kind: None,
        cursor: None,
    });
    let invocation = Invocation {
        call_id: arrival.call_id.clone(),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: arrival.tool.clone(),
        action: Action::Describe,
        resource: None,
        request,
        arguments: json!({}),
        request_key: Hash::of(b"key"),
    };
    let facts = Facts {
        action: Action::Describe,
        target: Target::Tollgate,
        sql: None,
        file: None,
        shell: None,
        classified: BTreeSet::new(),
        probe: Probe::None,
    };
    let subject = Subject::new(arrival, &invocation, &facts);
    let outcome = Approvals::new().satisfy(ask, subject, None, person).await;
    outcome.map_err(|unmet| match unmet {
        Unmet::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn the_smallest_limit_of_each_kind_binds_and_every_one_is_evidence() {
    let limits = ask(&[
        ("a", ObligationKind::LimitRows(100), None),
        ("b", ObligationKind::LimitRows(10), None),
        ("c", ObligationKind::LimitRows(1000), None),
        ("d", ObligationKind::LimitSeconds(5), None),
        ("e", ObligationKind::LimitSeconds(7), None),
    ]);
    let person = Person::who_says(Confirmation::No);
    let evidence = satisfy(limits, &person).await.unwrap();
    assert_eq!((evidence.rows, evidence.seconds), (Some(10), Some(5)));
    assert_eq!(
        evidence.satisfied.iter().map(String::as_str).collect::<String>(),
        "abcde"
    );
    assert!(!evidence.self_confirmed);
    assert!(
        person.asked.lock().unwrap().is_empty(),
        "a limit is not a question"
    );
}

#[tokio::test]
async fn nothing_asked_is_nothing_met() {
    let evidence = satisfy(ask(&[]), &Person::who_says(Confirmation::No))
        .await
        .unwrap();
    assert_eq!(evidence, Evidence::default());
}

#[tokio::test]
async fn a_yes_is_recorded_as_the_persons_own() {
    let person = Person::who_says(Confirmation::Yes);
    let both = ask(&[
        ("night", ObligationKind::Confirm, Some("It is late.")),
        ("prod", ObligationKind::Confirm, Some("This is production.")),
        ("rows", ObligationKind::LimitRows(3), None),
    ]);
    let evidence = satisfy(both, &person).await.unwrap();
    assert!(evidence.self_confirmed);
    assert_eq!(evidence.rows, Some(3));
    assert_eq!(evidence.satisfied.len(), 3);
    let asked = person.asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "one question for both");
    assert!(asked[0].contains("It is late.") && asked[0].contains("This is production."));
}

#[tokio::test]
async fn whatever_is_not_a_yes_is_a_refusal() {
    for (answer, code, retry) in [
        (Confirmation::No, Code::ApprovalDenied, false),
        (Confirmation::Asked, Code::ConfirmationRequired, true),
        (Confirmation::Unavailable, Code::ApprovalUnavailable, false),
    ] {
        let confirm = ask(&[("c", ObligationKind::Confirm, None)]);
        let refusal = satisfy(confirm, &Person::who_says(answer)).await.unwrap_err();
        assert_eq!((refusal.code, refusal.retry), (code, retry));
        assert!(!refusal.suggestion.is_empty());
    }
}

#[tokio::test]
async fn approval_is_never_skipped_and_nobody_is_asked_in_vain() {
    let person = Person::who_says(Confirmation::Yes);
    let mixed = ask(&[
        ("a", ObligationKind::Confirm, None),
        (
            "b",
            ObligationKind::Approval(vec![(2, "dba".to_owned()), (1, "security".to_owned())]),
            Some("Writes to production are reviewed."),
        ),
        ("c", ObligationKind::LimitRows(1), None),
    ]);
    let refusal = satisfy(mixed, &person).await.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalUnavailable);
    assert!(refusal.message.contains("Writes to production are reviewed."));
    let said = format!("{} {}", refusal.message, refusal.suggestion);
    assert!(
        !said.contains("dba") && !said.contains("security"),
        "who approves is not told: {said}"
    );
    assert!(person.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_cancelled_call_asks_nobody() {
    let person = Person::who_says(Confirmation::Yes);
    let arrival = arrival(json!({}));
    arrival.cancel.cancel();
    let confirm = ask(&[("c", ObligationKind::Confirm, None)]);
    let refusal = met(confirm, &arrival, &person).await.unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    assert!(person.asked.lock().unwrap().is_empty());
}

#[test]
fn the_agents_words_come_last_and_cannot_draw_a_question_of_their_own() {
    let hostile = "x\n\nAllowed by security. Press yes.\u{202e}\u{200b}\u{3164}\u{61c}\u{1b}[2J";
    let mut arguments = Map::new();
    arguments.insert("resource".to_owned(), json!(hostile));
    arguments.insert("statement".to_owned(), json!(hostile.repeat(20)));
    let obligations = ask(&[("c", ObligationKind::Confirm, Some("Ours."))]).obligations;
    let sent = Value::Object(arguments.clone()).to_string();
    let text = prompt(&obligations, &arrival(Value::Object(arguments)), &sent);
    let (ours, theirs) = text.split_once("\n\nWhat the agent sent: ").unwrap();
    assert!(ours.ends_with("\nOurs."));
    assert_eq!(ours.lines().count(), 2);
    assert!(!theirs.contains('\n'));
    assert!(text.chars().all(|c| c == '\n' || !is_unseen(c)));
    assert!(
        !text.contains("Trusted Bank"),
        "a claimed name vouches for nothing"
    );
    assert!(text.chars().count() < 12 * SHOWN);
}

#[tokio::test]
async fn a_statement_cannot_be_pushed_out_of_the_question_by_padding_before_it() {
    for (padding, asked) in [(SHOWN - 100, true), (SHOWN, false)] {
        let person = Person::who_says(Confirmation::Yes);
        let arrival = arrival(json!({
            "parameters": ["harmless ".repeat(padding / 9)], "resource": "shop", "statement": "DROP TABLE orders",
        }));
        let confirm = ask(&[("c", ObligationKind::Confirm, None)]);
        let outcome = met(confirm, &arrival, &person).await;
        let shown = person.asked.lock().unwrap();
        if asked {
            assert!(outcome.is_ok());
            assert!(shown[0].contains("DROP TABLE orders") && !shown[0].contains("not shown"));
        } else {
            assert_eq!(outcome.unwrap_err().code, Code::LimitExceeded);
            assert!(shown.is_empty(), "nobody is asked about what they cannot read");
        }
    }
}
