//! One request from being asked to being answered, and every way it can end otherwise.

use super::bench::*;
use crate::approval::review::{Choice, NotDecided, State};
use crate::approval::*;
use crate::call::refusal::Code;
use crate::call::{Confirmation, Transport};
use serde_json::{Map, json};

#[tokio::test]
async fn asked_approved_spent_once_answered_again() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("UPDATE 1");
    let first = pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await);
    assert_eq!(
        first.url.as_deref(),
        Some(format!("http://localhost:7331/approvals/{}", first.id).as_str())
    );
    assert!(first.note.contains("Writes are reviewed.") && !first.note.contains("dba"));
    // The identical call is the same request, and is not measured again.
    let attached = bench
        .approvals
        .attach(&asks(&[(1, "dba")]), call.subject())
        .await
        .unwrap();
    assert_eq!(attached.unwrap().effect, Some(effect(&["1", "2"])));

    assert_eq!(bench.approve("dan", &["dba"], &first.id).await, State::Granted);
    let again = bench.call("UPDATE 1");
    let evidence = bench.evidence(&again).await;
    let approved = evidence.approved.as_ref().unwrap();
    assert_eq!(approved.approvers[0].subject, "dan");
    assert_eq!(
        approved.action_sha256,
        again.facts.action_sha256(&again.invocation, evidence.effect())
    );
    assert!(evidence.satisfied.contains("reviewed"));

    let following = bench.approvals.follow(&again.arrival.call_id);
    bench
        .approvals
        .spend(again.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await
        .unwrap();
    assert!(
        bench.row(&first.id).await.sealed.is_some(),
        "its arguments are still needed"
    );
    let other = bench.call("UPDATE 1");
    let note = pending(
        bench
            .approvals
            .spend(other.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await,
    )
    .note;
    assert!(note.contains("carried out now"), "{note}");
    following.settle(true).await;

    let row = bench.row(&first.id).await;
    assert_eq!(
        (row.state.as_str(), row.answered, row.sealed),
        ("spent", Some(true), None)
    );
    let spent = bench
        .approvals
        .spend(other.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    assert!(matches!(spent, Err(Unmet::Answered(call_id)) if call_id == again.arrival.call_id));
    let same = bench
        .walk(&bench.call("UPDATE 1"), asks(&[(1, "dba")]), &effect(&["9"]))
        .await;
    assert!(matches!(same, Err(Unmet::Answered(call_id)) if call_id == again.arrival.call_id));
    assert_eq!(
        bench.book.words(),
        ["requested", "approved", "granted", "spent", "answered"]
    );
    // Its result has a life; afterwards the same call is a new request.
    bench.at(901);
    assert!(matches!(
        bench.walk(&bench.call("UPDATE 1"), asks(&[(1, "dba")]), &effect(&["9"])).await,
        Err(Unmet::Pending(new)) if new.id != first.id
    ));
}

#[tokio::test]
async fn a_refusal_wins_over_approvals_and_is_told_as_a_persons_words() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("UPDATE 1");
    let ask = || asks(&[(2, "dba")]);
    let id = pending(bench.walk(&call, ask(), &effect(&["1"])).await).id;
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
    let long = Choice::Refuse("x".repeat(501));
    assert!(matches!(
        bench.decide("eve", &["dba"], &id, long).await,
        Err(NotDecided::BadReason(_))
    ));
    let empty = Choice::Refuse("\u{202e} \n".to_owned());
    assert!(matches!(
        bench.decide("eve", &["dba"], &id, empty).await,
        Err(NotDecided::BadReason(_))
    ));
    let no = Choice::Refuse("not on\na \"Friday\"\u{1b}[2J".to_owned());
    assert_eq!(bench.decide("eve", &["dba"], &id, no).await, Ok(State::Refused));
    for what in ["sent again", "waited for"] {
        let refusal = match what {
            "sent again" => refused(bench.walk(&bench.call("UPDATE 1"), ask(), &effect(&["1"])).await),
            _ => refused(bench.wait_for(bench.call("x"), &id).await.map(|_| ())),
        };
        assert_eq!(refusal.code, Code::ApprovalDenied);
        assert!(
            refusal.message.ends_with("Their words: \"not on a 'Friday'[2J\""),
            "{}",
            refusal.message
        );
    }
    let row = bench.row(&id).await;
    assert_eq!((row.sealed, row.settled_at.is_some()), (None, true));
    assert_eq!(
        bench.decide("fay", &["dba"], &id, Choice::Approve).await,
        Err(NotDecided::Final("refused"))
    );
}

#[tokio::test]
async fn any_refusal_wins_even_over_a_grant_that_has_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    let no = Choice::Refuse("stop".to_owned());
    assert_eq!(bench.decide("eve", &["dba"], &id, no).await, Ok(State::Refused));
    let refusal = refused(
        bench
            .approvals
            .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await,
    );
    assert_eq!(refusal.code, Code::ApprovalDenied);
}

#[tokio::test]
async fn silence_is_refusal_before_and_after_the_grant() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.at(1800); // the deadline itself is too late
    assert_eq!(
        bench.decide("dan", &["dba"], &id, Choice::Approve).await,
        Err(NotDecided::Final("expired"))
    );
    let refusal = refused(bench.wait_for(bench.call("x"), &id).await.map(|_| ()));
    assert_eq!(refusal.code, Code::ApprovalExpired);

    let id = bench.opened("UPDATE 1").await;
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    bench.at(1800 + 600);
    let refusal = refused(
        bench
            .approvals
            .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await,
    );
    assert_eq!(refusal.code, Code::ApprovalExpired);
    assert_eq!(bench.row(&id).await.sealed, None);
}

#[tokio::test]
async fn h3_whoever_asks_never_decides_whatever_groups_and_rights_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    for choice in [Choice::Approve, Choice::Refuse("no".to_owned())] {
        assert_eq!(
            bench.decide("asker", &["dba", "security"], &id, choice).await,
            Err(NotDecided::OwnRequest)
        );
    }
    let own = bench.reviewer("asker", &["dba"]);
    let cards = bench.listed(&own).await;
    assert!(
        cards.len() == 1 && !cards[0].may_decide,
        "their own is shown to them"
    );
    // A row that says otherwise does not help: it is counted again when it is spent.
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    bench.store.tamper(
        &[("approval_decision_kept", "approval_decision")],
        "UPDATE approval_decision SET subject = 'asker'",
    );
    let refusal = refused(
        bench
            .approvals
            .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await,
    );
    assert_eq!(refusal.code, Code::Internal);
}

#[tokio::test]
async fn h4_somebody_in_two_groups_fills_one_seat() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let ask = || asks(&[(1, "dba"), (1, "security")]);
    let id = pending(bench.walk(&bench.call("UPDATE 1"), ask(), &effect(&["1"])).await).id;
    assert_eq!(
        bench.approve("both", &["dba", "security"], &id).await,
        State::Pending
    );
    assert_eq!(
        bench
            .decide("both", &["dba", "security"], &id, Choice::Approve)
            .await,
        Err(NotDecided::Twice)
    );
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Granted);
}

#[tokio::test]
async fn h5_one_seat_and_a_person_of_two_groups_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    assert_eq!(
        bench.approve("both", &["dba", "security", "ops"], &id).await,
        State::Granted
    );
}

#[tokio::test]
async fn each_obligation_is_met_by_itself_and_one_person_may_stand_in_both() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let ask = asks_all(&[("a", &[(1, "dba")]), ("b", &[(1, "security")])]);
    let id = pending(bench.walk(&bench.call("UPDATE 1"), ask, &effect(&["1"])).await).id;
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
    assert_eq!(bench.approve("sue", &["security"], &id).await, State::Granted);
}

#[tokio::test]
async fn h8_a_request_does_not_exist_for_people_who_are_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE secret").await;
    let rules = bench.rules();
    let mut robot = bench.reviewer("robot", &["dba"]);
    robot.user.kind = crate::call::UserKind::Service;
    for stranger in [
        bench.reviewer("olga", &["ops"]),
        bench.reviewer("sue", &["security"]), // may approve, and is not asked
        bench.reviewer("nobody", &[]),
        robot,
    ] {
        assert!(bench.listed(&stranger).await.is_empty());
        let shown = bench.approvals.show(&stranger, &rules, &id).await;
        assert_eq!(shown.unwrap_err(), NotDecided::Unknown);
        let seen = bench.signed(&id).await;
        let decided = bench
            .approvals
            .decide(&stranger, &rules, &id, Choice::Approve, &seen)
            .await;
        assert!(matches!(decided, Err(NotDecided::Unknown | NotDecided::NotAsked)));
        let cancelled = bench.approvals.cancel(&stranger, &rules, &id).await;
        assert!(matches!(
            cancelled,
            Err(NotDecided::Unknown | NotDecided::NotAsked)
        ));
    }
    let sheet = bench
        .approvals
        .show(&bench.reviewer("dan", &["dba"]), &rules, &id)
        .await
        .unwrap();
    assert_eq!(sheet.arguments.unwrap()["statement"], "UPDATE secret");
    assert_eq!(sheet.claimed_reason.as_deref(), Some("clean up"));
    assert_eq!(sheet.effect.unwrap()["rows"]["orders"]["updated"], 2);
}

#[tokio::test]
async fn a_decision_needs_a_fresh_sign_in_and_what_was_really_seen() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let seen = bench.signed(&id).await;
    let mut reviewer = bench.reviewer("dan", &["dba"]);
    for at in [START - 301 * SECOND, START + 61 * SECOND, 0] {
        reviewer.signed_in_at = crate::clock::Timestamp(at);
        let decided = bench
            .approvals
            .decide(&reviewer, &bench.rules(), &id, Choice::Approve, &seen)
            .await;
        assert_eq!(decided.unwrap_err(), NotDecided::SignInAgain(300));
        let withdrawn = bench.approvals.cancel(&reviewer, &bench.rules(), &id).await;
        assert_eq!(withdrawn.unwrap_err(), NotDecided::SignInAgain(300));
    }
    reviewer.signed_in_at = bench.clock.now();
    for wrong in ["", seen.get(1..).unwrap(), &"0".repeat(64), &seen.to_uppercase()] {
        let decided = bench
            .approvals
            .decide(&reviewer, &bench.rules(), &id, Choice::Approve, wrong)
            .await;
        assert_eq!(decided.unwrap_err(), NotDecided::Changed, "{wrong}");
    }
    assert!(bench.row(&id).await.granted_at.is_none());
}

#[tokio::test]
async fn row_20_and_22_what_cannot_be_undone_or_grew_is_asked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("DELETE").await;
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("DELETE");
    let evidence = bench.evidence(&call).await;
    let following = bench.approvals.follow(&call.arrival.call_id);
    // Another row, the same count; and the same rows, but for good.
    let new = pending(
        bench
            .approvals
            .spend(
                call.subject(),
                &evidence,
                Some(&effect(&["1", "3"])),
                &bench.rules(),
            )
            .await,
    );
    assert!(new.id != id && new.note.contains("no longer what was approved"));
    following.settle(false).await;
    assert_eq!(bench.row(&id).await.state, "cancelled");
    let spent = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    assert_eq!(
        refused(spent).code,
        Code::ApprovalDenied,
        "the old approval is gone"
    );

    bench.approve("dan", &["dba"], &new.id).await;
    let call = bench.call("DELETE");
    let evidence = bench.evidence(&call).await;
    assert_eq!(
        evidence.effect(),
        Some(&effect(&["1", "3"])),
        "people saw the new effect"
    );
    let irreversible = Effect {
        irreversible: true,
        ..effect(&["1"])
    };
    let third = pending(
        bench
            .approvals
            .spend(call.subject(), &evidence, Some(&irreversible), &bench.rules())
            .await,
    );
    bench.approve("dan", &["dba"], &third.id).await;
    let call = bench.call("DELETE");
    let evidence = bench.evidence(&call).await;
    bench
        .approvals
        .spend(call.subject(), &evidence, Some(&irreversible), &bench.rules())
        .await
        .unwrap();
    let unmeasured = bench
        .approvals
        .spend(call.subject(), &evidence, None, &bench.rules())
        .await;
    assert!(unmeasured.is_err());
}

#[tokio::test]
async fn another_action_does_not_ride_on_an_approval() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.approve("dan", &["dba"], &id).await;
    let evidence = bench.evidence(&bench.call("UPDATE 1")).await;
    let other = bench.call("UPDATE 2");
    let refusal = refused(
        bench
            .approvals
            .spend(other.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await,
    );
    assert_eq!(refusal.code, Code::Internal);
    // The same words that mean something else by now: the old request is replaced.
    let mut changed = bench.call("UPDATE 1");
    changed.facts.classified.insert(crate::call::ClassifiedColumn {
        class: "email".to_owned(),
        column: "customers.email".to_owned(),
    });
    let new = pending(bench.walk(&changed, asks(&[(1, "dba")]), &effect(&["1"])).await);
    assert_ne!(new.id, id);
    assert_eq!(bench.row(&id).await.state, "cancelled");
    // And so is one of which more is asked since.
    let more = pending(bench.walk(&changed, asks(&[(2, "dba")]), &effect(&["1"])).await);
    assert_ne!(more.id, new.id);
}

/// Whatever the moment at which time runs out: a caller who waits for a request learns its end, and does
/// not open another one by waiting.
#[tokio::test]
async fn approval_wait_never_opens_a_request() {
    for attaches in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 1).await;
        let id = bench.opened("UPDATE 1").await;
        let (resumed, key) = bench.wait_for(bench.call("x"), &id).await.unwrap();
        let mut call = bench.call("UPDATE 1");
        call.arrival = resumed.arrival;
        call.invocation.request_key = key;
        bench.at(100_000); // after it was looked up, before it is joined
        let ended = if attaches {
            bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await
        } else {
            let ask = asks(&[(1, "dba")]);
            bench
                .approvals
                .satisfy(ask, call.subject(), None, &Agentless)
                .await
        };
        assert_eq!(refused(ended).code, Code::ApprovalExpired);
        let cards = bench.reviewer("dora", &["dba"]);
        let cards = bench.listed(&cards).await;
        assert_eq!(cards.len(), 1, "{cards:?}");
    }
}

#[tokio::test]
async fn approval_wait_is_for_its_owner_in_any_session_of_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let asker = user("asker", &["dba", "security"]);
    let later = bench.call_by(asker.clone(), "another session", "x");
    let (resumed, key) = bench.wait_for(later, &id).await.unwrap();
    assert_eq!(key, bench.call("UPDATE 1").invocation.request_key);
    assert_eq!(resumed.arrival.tool, "sql_execute");
    assert_eq!(resumed.arrival.arguments["statement"], "UPDATE 1");
    assert_eq!(
        resumed.arrival.principal.session.id, "another session",
        "policy sees the session that asks now"
    );

    let mut other_client = bench.call("x");
    other_client.arrival.principal.agent.client_id = "cli".to_owned();
    let mut other_issuer = bench.call("x");
    other_issuer.arrival.principal.user.issuer = "partner".to_owned();
    let other_user = bench.call_by(user("dan", &["dba"]), "s", "x");
    for stranger in [other_client, other_issuer, other_user] {
        assert_eq!(
            refused(bench.wait_for(stranger, &id).await.map(|_| ())).code,
            Code::NotFound
        );
    }
    let unknown = ApprovalId("0".repeat(32));
    assert_eq!(
        refused(bench.wait_for(bench.call("x"), &unknown).await.map(|_| ())).code,
        Code::NotFound
    );

    // What a session has read is noted when it reads: the answer stays with the one that read it.
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    let following = bench.approvals.follow(&call.arrival.call_id);
    bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await
        .unwrap();
    following.settle(true).await;
    let elsewhere = bench.call_by(asker, "another session", "x");
    assert_eq!(
        refused(bench.wait_for(elsewhere, &id).await.map(|_| ())).code,
        Code::NotFound
    );
    assert!(matches!(
        bench.wait_for(bench.call("x"), &id).await,
        Err(Unmet::Answered(_))
    ));
}

#[tokio::test]
async fn one_person_may_have_so_many_open_requests_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    for n in 0..5 {
        bench.opened(&format!("UPDATE {n}")).await;
    }
    let more = bench.call("UPDATE 5");
    let refusal = refused(bench.approvals.attach(&asks(&[(1, "dba")]), more.subject()).await);
    assert_eq!(
        (refusal.code, refusal.retry),
        (Code::LimitExceeded, true),
        "before anything is measured"
    );
    let same = bench.call("UPDATE 0");
    assert!(
        bench
            .approvals
            .attach(&asks(&[(1, "dba")]), same.subject())
            .await
            .unwrap()
            .is_some()
    );
    bench.at(1800);
    bench.opened("UPDATE 5").await; // the others have expired
}

#[tokio::test]
async fn nothing_runs_and_nobody_is_answered_before_the_journal_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let fails = |on| bench.book.fails.store(on, std::sync::atomic::Ordering::SeqCst);
    fails(true);
    assert_eq!(
        bench.decide("dan", &["dba"], &id, Choice::Approve).await,
        Err(NotDecided::Unrecorded)
    );
    let call = bench.call("UPDATE 1");
    let refusal = refused(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await);
    assert_eq!(refusal.code, Code::AuditUnavailable);
    fails(false);
    let evidence = bench.evidence(&call).await; // whoever comes next puts it on record first
    assert_eq!(bench.book.words(), ["requested", "approved", "granted"]);
    fails(true);
    let following = bench.approvals.follow(&call.arrival.call_id);
    let spent = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    assert_eq!(refused(spent).code, Code::AuditUnavailable);
    following.settle(false).await;
    fails(false);
    bench.approvals.tick().await.unwrap();
    let other = bench.call("UPDATE 1");
    let again = bench
        .approvals
        .spend(other.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    assert!(again.is_err(), "taken is taken");
}

#[tokio::test]
async fn a_call_that_goes_away_while_it_runs_leaves_an_unknown_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    let following = bench.approvals.follow(&call.arrival.call_id);
    bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await
        .unwrap();
    drop(following);
    while bench.row(&id).await.state == "spent" {
        tokio::task::yield_now().await;
    }
    let row = bench.row(&id).await;
    assert_eq!((row.state.as_str(), row.sealed), ("unknown", None));
    for again in [
        refused(bench.wait_for(bench.call("x"), &id).await.map(|_| ())),
        refused(
            bench
                .walk(&bench.call("UPDATE 1"), asks(&[(1, "dba")]), &effect(&["1"]))
                .await,
        ),
    ] {
        assert_eq!(again.code, Code::OutcomeUnknown);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_is_noted_and_nothing_runs_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let mut call = bench.call("UPDATE 1");
    call.arrival.hold = Some(std::time::Duration::from_secs(3600));
    let cancel = call.arrival.cancel.clone();
    let measured = effect(&["1"]);
    let walked = bench.walk(&call, asks(&[(1, "dba")]), &measured);
    let leaves = async {
        while bench.book.words().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (walked, ()) = tokio::join!(walked, leaves);
    assert_eq!(refused(walked).code, Code::Cancelled);
    let listed = bench.listed(&bench.reviewer("dan", &["dba"])).await;
    assert_eq!(listed[0].state, State::Pending);
    assert!(bench.row(&listed[0].id).await.left_at.is_some());
    bench.approve("dan", &["dba"], &listed[0].id).await;
    bench.at(60);
    assert!(bench.approvals.unattended_due().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_every_obligation_allows_unattended_is_due_once_nobody_carries_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let unattended = |both: bool| {
        let mut ask = asks_all(&[("a", &[(1, "dba")]), ("b", &[(1, "dba")])]);
        ask.obligations[0].unattended = true;
        ask.obligations[1].unattended = both;
        ask
    };
    for (statement, both) in [("UPDATE 1", true), ("UPDATE 2", false)] {
        let id = pending(
            bench
                .walk(&bench.call(statement), unattended(both), &effect(&["1"]))
                .await,
        )
        .id;
        bench.approve("dan", &["dba"], &id).await;
    }
    assert!(
        bench.approvals.unattended_due().await.unwrap().is_empty(),
        "its caller may still come"
    );
    bench.at(6);
    let due = bench.approvals.unattended_due().await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].arguments["statement"], "UPDATE 1");
    assert_eq!(due[0].principal, bench.call("UPDATE 1").arrival.principal);
    assert_eq!(due[0].transport, Transport::Http);
    assert!(
        bench.approvals.unattended_due().await.unwrap().is_empty(),
        "not twice at once"
    );
}

#[tokio::test]
async fn what_runs_unattended_without_an_approval_by_now_runs_once_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let mut ask = asks(&[(1, "dba")]);
    ask.obligations[0].unattended = true;
    let id = pending(bench.walk(&bench.call("UPDATE 1"), ask, &effect(&["1"])).await).id;
    bench.approve("dan", &["dba"], &id).await;
    bench.at(6);
    let due = bench.approvals.unattended_due().await.unwrap().remove(0);
    // Policies changed meanwhile and permit it: there is no evidence, and none is needed.
    let mut call = bench.call("UPDATE 1");
    call.arrival = due;
    let following = bench.approvals.follow(&call.arrival.call_id);
    let spent = bench
        .approvals
        .spend(call.subject(), &Evidence::default(), None, &bench.rules())
        .await;
    assert!(spent.is_ok(), "{spent:?}");
    following.settle(true).await;
    assert_eq!(bench.row(&id).await.state, "cancelled");
    bench.at(120);
    assert!(
        bench.approvals.unattended_due().await.unwrap().is_empty(),
        "it has run"
    );
}

#[tokio::test]
async fn until_it_has_run_those_who_are_asked_are_told_that_they_can_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let may = async |subject: &str, groups: &[&str]| {
        let reviewer = bench.reviewer(subject, groups);
        let shown = bench
            .approvals
            .show(&reviewer, &bench.rules(), &id)
            .await
            .unwrap();
        let card = shown.card;
        (card.may_decide, card.may_refuse, card.may_withdraw)
    };
    assert_eq!(may("dan", &["dba"]).await, (true, true, true));
    assert_eq!(may("asker", &["dba"]).await, (false, false, true));
    bench.approve("dan", &["dba"], &id).await;
    assert_eq!(
        may("dan", &["dba"]).await,
        (false, true, true),
        "who approved can think better of it"
    );
    assert_eq!(
        may("eve", &["dba"]).await,
        (false, true, true),
        "one refusal still ends it"
    );
    let refused = bench
        .decide("eve", &["dba"], &id, Choice::Refuse("no".to_owned()))
        .await;
    assert_eq!(refused, Ok(State::Refused));
    assert_eq!(may("eve", &["dba"]).await, (false, false, false));
}

#[tokio::test]
async fn people_see_and_sign_the_statement_that_a_declared_tool_would_run() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    // The agent sends a number; the statement is the tool's author's.
    let declared = |statement: &str| {
        let mut call = bench.call("close_order");
        call.arrival.arguments = Map::from_iter([("order".to_owned(), json!(5))]);
        call.invocation.request = bench.call(statement).invocation.request;
        call
    };
    let (before, after) = (
        declared("UPDATE orders SET a = ?1"),
        declared("UPDATE orders SET b = ?1"),
    );
    let measured = effect(&["1"]);
    let id = pending(bench.walk(&before, asks(&[(1, "dba")]), &measured).await).id;
    let reviewer = bench.reviewer("dan", &["dba"]);
    let shown = bench
        .approvals
        .show(&reviewer, &bench.rules(), &id)
        .await
        .unwrap();
    assert_eq!(shown.arguments, Some(json!({"order": 5})));
    assert_eq!(shown.runs, Some(json!({"statement": "UPDATE orders SET a = ?1"})));
    bench.approve("dan", &["dba"], &id).await;
    // The same tool, the same arguments, the same rows; another definition by the time it is fetched.
    let walked = bench.walk(&before, asks(&[(1, "dba")]), &measured).await;
    let evidence = walked.unwrap();
    let spent = bench
        .approvals
        .spend(after.subject(), &evidence, Some(&measured), &bench.rules())
        .await;
    assert_eq!(
        refused(spent).code,
        Code::Internal,
        "an approval of another action"
    );
    let new = pending(bench.walk(&after, asks(&[(1, "dba")]), &measured).await).id;
    assert_ne!(new, id, "people are asked about what would run now");
    assert_eq!(bench.row(&id).await.state, "cancelled");
    assert_eq!(bench.row(&id).await.sealed, None);
}

#[tokio::test]
async fn the_callers_own_person_confirms_first_and_once() {
    struct Yes(std::sync::atomic::AtomicU32);
    impl Caller for Yes {
        fn confirm<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, Confirmation> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Box::pin(std::future::ready(Confirmation::Yes))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let ask = || {
        let mut ask = asks(&[(1, "dba")]);
        let mut confirm = ask.obligations[0].clone();
        confirm.id = "confirm".to_owned();
        confirm.kind = ObligationKind::Confirm;
        ask.obligations.push(confirm);
        ask
    };
    let call = bench.call("UPDATE 1");
    let nobody = refused(bench.walk(&call, ask(), &effect(&["1"])).await);
    assert_eq!(nobody.code, Code::ApprovalUnavailable);
    assert!(
        bench.book.words().is_empty(),
        "nobody else is asked for what their own person has not confirmed"
    );
    let yes = Yes(0.into());
    let satisfy = || {
        bench
            .approvals
            .satisfy(ask(), call.subject(), Some(effect(&["1"])), &yes)
    };
    let id = pending(satisfy().await).id;
    bench.approve("dan", &["dba"], &id).await;
    let evidence = satisfy().await.unwrap();
    assert!(evidence.self_confirmed && evidence.approved.is_some());
    assert_eq!(evidence.satisfied.len(), 2);
    assert_eq!(yes.0.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn old_requests_go_and_open_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.at(1800);
    bench.approvals.tick().await.unwrap();
    assert_eq!(bench.approvals.prune().await.unwrap(), 0);
    bench.at(1801 + 30 * 24 * 3600);
    let open = bench.opened("UPDATE 2").await;
    assert_eq!(bench.approvals.prune().await.unwrap(), 1);
    let dan = bench.reviewer("dan", &["dba"]);
    let shown = bench.approvals.show(&dan, &bench.rules(), &id).await;
    assert_eq!(shown.unwrap_err(), NotDecided::Unknown);
    assert!(bench.approvals.show(&dan, &bench.rules(), &open).await.is_ok());
}

#[tokio::test]
async fn a_stored_call_that_needs_no_approval_any_more_runs_once_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let (first, _) = bench.wait_for(bench.call("x"), &id).await.unwrap();
    let (second, _) = bench.wait_for(bench.call("x"), &id).await.unwrap();
    let none = Evidence::default();
    let other = bench.call("UPDATE 2");
    assert!(
        bench
            .approvals
            .spend(first.subject(), &none, None, &bench.rules())
            .await
            .is_ok()
    );
    let again = bench
        .approvals
        .spend(second.subject(), &none, None, &bench.rules())
        .await;
    assert!(again.is_err(), "it has run");
    assert!(bench.wait_for(bench.call("x"), &id).await.is_err());
    let other = bench
        .approvals
        .spend(other.subject(), &none, None, &bench.rules())
        .await;
    assert!(other.is_ok(), "other calls are left alone");
}
