//! Decisions by a message: under the sign-in of a link, and never about what wants a page.

use std::time::Duration;

use super::bench::*;
use crate::approval::Settings;
use crate::approval::review::{Choice, NotDecided, Reviewer, State, Via};
use crate::call::{ApprovalId, Effect, Unmet};
use crate::clock::{Timestamp, World};
use crate::policy::Ask;

async fn asked(bench: &Bench, statement: &str, ask: Ask, effect: &Effect) -> ApprovalId {
    match bench.walk(&bench.call(statement), ask, effect).await {
        Err(Unmet::Pending(pending)) => pending.id,
        other => panic!("{other:?}"),
    }
}

/// Dan, by a message, who linked his account so long ago.
fn dan(bench: &Bench, ago: Duration) -> Reviewer {
    let now = bench.clock.now().0;
    let ago = u64::try_from(ago.as_millis()).unwrap();
    Reviewer {
        signed_in_at: Timestamp(now.saturating_sub(ago)),
        via: Via::Message {
            account: "slack T1/U1".to_owned(),
            message: "C1/1.1".to_owned(),
        },
        ..bench.reviewer("dan", &["dba"])
    }
}

async fn decide(bench: &Bench, who: &Reviewer, id: &ApprovalId, choice: Choice) -> Result<State, NotDecided> {
    let seen = bench.signed(id).await;
    let rules = bench.rules();
    let decided = bench.approvals.decide(who, &rules, id, choice, &seen).await;
    decided.map(|card| card.state)
}

#[tokio::test]
async fn a_link_counts_as_long_as_it_lasts_and_only_for_messages() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        link: Duration::from_secs(3600),
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    let id = bench.opened("UPDATE 1").await;
    let old = dan(&bench, Duration::from_secs(3601));
    let decided = decide(&bench, &old, &id, Choice::Approve).await;
    assert_eq!(decided, Err(NotDecided::SignInAgain(3600)));
    let elsewhere = Reviewer {
        via: Via::Control,
        ..dan(&bench, Duration::from_secs(3599))
    };
    let decided = decide(&bench, &elsewhere, &id, Choice::Approve).await;
    assert_eq!(decided, Err(NotDecided::SignInAgain(300)));
    let linked = dan(&bench, Duration::from_secs(3599));
    assert_eq!(
        decide(&bench, &linked, &id, Choice::Approve).await,
        Ok(State::Granted)
    );
    let events = bench.approvals.events().unwrap();
    let posting = events.posting(&id).await.unwrap().unwrap();
    assert_eq!(posting.approved_by.len(), 1);
    assert!(posting.asks.iter().all(|ask| ask.is_met));
}

#[tokio::test]
async fn what_is_high_risk_or_cannot_be_undone_wants_its_page_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench_with(folder.path(), 1, Settings::default()).await;
    let mut risky = asks(&[(1, "dba")]);
    for one in &mut risky.obligations {
        one.high_risk = true;
    }
    let gone = Effect {
        irreversible: true,
        ..effect(&["1"])
    };
    let cases = [
        asked(&bench, "UPDATE 1", risky, &effect(&["1"])).await,
        asked(&bench, "UPDATE 2", asks(&[(1, "dba")]), &gone).await,
    ];
    for id in cases {
        let linked = dan(&bench, Duration::ZERO);
        for choice in [Choice::Approve, Choice::Refuse("no".to_owned())] {
            let decided = decide(&bench, &linked, &id, choice).await;
            assert!(
                matches!(&decided, Err(NotDecided::OnItsPage(_, page)) if page.contains(&id.0)),
                "{decided:?}"
            );
        }
        let withdrawn = bench.approvals.cancel(&linked, &bench.rules(), &id).await;
        assert!(matches!(withdrawn, Err(NotDecided::OnItsPage(..))));
        let posting = bench
            .approvals
            .events()
            .unwrap()
            .posting(&id)
            .await
            .unwrap()
            .unwrap();
        assert!(posting.page_only.is_some());
        assert_eq!(
            bench.approve("dan", &["dba"], &id).await,
            State::Granted,
            "on its page he may"
        );
    }
}

#[tokio::test]
async fn where_keys_are_needed_no_message_approves() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        security_key: true,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    let id = bench.opened("UPDATE 1").await;
    let decided = decide(&bench, &dan(&bench, Duration::ZERO), &id, Choice::Approve).await;
    assert!(matches!(decided, Err(NotDecided::OnItsPage(..))), "{decided:?}");
}

/// A row of a version that knew no risks says nothing of them: it is taken for the worst.
#[test]
fn an_obligation_without_a_risk_is_decided_on_its_page() {
    let old = serde_json::json!({
        "asks": [{"id": "a", "seats": [[1, "dba"]], "explain": null, "bound": "keys", "unattended": false}],
        "self_confirmed": false, "facts": {}, "counts": null,
    });
    let terms: crate::approval::terms::Terms = serde_json::from_value(old).unwrap();
    assert!(terms.asks[0].high_risk);
}

/// Whoever holds one account is one person, whomever it was linked to between two presses.
#[tokio::test]
async fn h4_one_account_fills_one_seat_whoever_it_is_linked_to() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench_with(folder.path(), 1, Settings::default()).await;
    let id = asked(&bench, "UPDATE 1", asks(&[(2, "dba")]), &effect(&["1"])).await;
    let first = dan(&bench, Duration::ZERO);
    assert_eq!(
        decide(&bench, &first, &id, Choice::Approve).await,
        Ok(State::Pending)
    );
    let relinked = |account: &str| Reviewer {
        via: Via::Message {
            account: account.to_owned(),
            message: "C1/1.1".to_owned(),
        },
        ..bench.reviewer("eve", &["dba"])
    };
    let again = decide(&bench, &relinked("slack T1/U1"), &id, Choice::Approve).await;
    assert_eq!(again, Err(NotDecided::Twice));
    let own = decide(&bench, &relinked("slack T1/U11"), &id, Choice::Approve).await;
    assert_eq!(own, Ok(State::Granted), "another account is another");
}

/// What policy takes away while a request is open, the request does not keep.
#[tokio::test]
async fn what_became_high_risk_is_asked_anew_and_what_was_approved_by_a_message_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench_with(folder.path(), 1, Settings::default()).await;
    let id = bench.opened("UPDATE 1").await;
    let linked = dan(&bench, Duration::from_secs(3600));
    assert_eq!(
        decide(&bench, &linked, &id, Choice::Approve).await,
        Ok(State::Granted)
    );
    let mut risky = asks(&[(1, "dba")]);
    risky.obligations[0].high_risk = true;
    let new = asked(&bench, "UPDATE 1", risky, &effect(&["1", "2"])).await;
    assert_ne!(new, id);
    assert_eq!(bench.row(&id).await.state, "cancelled");
    assert!(matches!(
        decide(&bench, &linked, &new, Choice::Approve).await,
        Err(NotDecided::OnItsPage(..))
    ));
}
