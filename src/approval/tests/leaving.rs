//! Open requests go with the session in which they were made.

use super::bench::*;
use crate::approval::people::Settings;
use crate::approval::review::State;
use crate::approval::*;
use crate::call::refusal::Code;

async fn in_session(bench: &Bench, session: &str, statement: &str) -> ApprovalId {
    let call = bench.call_by(user("asker", &[]), session, statement);
    pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await).id
}

/// A session of the store, ended or ending then.
fn known(bench: &Bench, id: &str, ends_at: u64, ended_at: Option<u64>) {
    let ended_at = ended_at.map_or("NULL".to_owned(), |at| at.to_string());
    let insert = format!(
        "INSERT INTO session (id, issuer, subject, client_id, client_name, verified, scope, claimed, created_at, \
         used_at, checked_at, ends_at, ended_at) VALUES ('{id}','corp','asker','editor','Editor',1,'','[]',0,0,0,{ends_at},{ended_at})",
    );
    bench.store.tamper(&[], &insert);
}

#[tokio::test]
async fn open_requests_of_a_session_that_ended_are_withdrawn_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let pending = in_session(&bench, "gone", "UPDATE 1").await;
    let granted = in_session(&bench, "gone", "UPDATE 2").await;
    let other = in_session(&bench, "stays", "UPDATE 3").await;
    assert_eq!(bench.approve("dan", &["dba"], &granted).await, State::Granted);
    bench.approvals.end_session("gone").await.unwrap();
    for id in [&pending, &granted] {
        let row = bench.row(id).await;
        assert_eq!((row.state.as_str(), row.sealed), ("cancelled", None));
    }
    assert_eq!(bench.row(&other).await.state, "pending");
    let told = bench.book.events.lock().unwrap().clone();
    let cancelled: Vec<_> = told.iter().filter(|event| event.event == "cancelled").collect();
    assert_eq!(cancelled.len(), 2, "on record, once each");
    assert!(
        cancelled
            .iter()
            .all(|event| event.by.is_none() && event.words.as_ref().unwrap().contains("session"))
    );
    bench.approvals.end_session("gone").await.unwrap();
    assert_eq!(
        bench.book.events.lock().unwrap().len(),
        told.len(),
        "again is nothing"
    );
    let waiting = bench.call_by(user("asker", &[]), "new", "UPDATE 2");
    let refusal = refused(bench.wait_for(waiting, &granted).await.map(|_| ()));
    assert_eq!(refusal.code, Code::ApprovalDenied, "{}", refusal.message);
}

#[tokio::test]
async fn what_was_spent_by_then_runs_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    bench.approve("dan", &["dba"], &id).await;
    let call = bench.call("UPDATE 1");
    let evidence = bench.evidence(&call).await;
    let following = bench.approvals.follow(&call.arrival.call_id);
    assert!(!bench.approvals.has_spent(&call.arrival.call_id));
    bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await
        .unwrap();
    assert!(bench.approvals.has_spent(&call.arrival.call_id));
    bench.approvals.end_session("s").await.unwrap();
    assert_eq!(bench.row(&id).await.state, "spent");
    following.settle(true).await;
    assert_eq!(bench.row(&id).await.answered, Some(true));
    assert!(!bench.approvals.has_spent(&call.arrival.call_id));
}

#[tokio::test]
async fn a_session_that_ended_on_another_replica_is_found_by_the_next_tick() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let ended = in_session(&bench, "ended", "UPDATE 1").await;
    let over = in_session(&bench, "over", "UPDATE 2").await;
    let open = in_session(&bench, "open", "UPDATE 3").await;
    let unknown = in_session(&bench, "bearer", "UPDATE 4").await;
    known(&bench, "ended", START + 1_000_000, Some(START));
    known(&bench, "over", START, None);
    known(&bench, "open", START + 1_000_000, None);
    bench.approvals.tick().await.unwrap();
    for (id, state) in [
        (&ended, "cancelled"),
        (&over, "cancelled"),
        (&open, "pending"),
        (&unknown, "pending"),
    ] {
        assert_eq!(bench.row(id).await.state, state);
    }
}

#[tokio::test]
async fn a_call_that_waits_is_refused_when_its_session_ends() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        pending_per_person: 2,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    let id = in_session(&bench, "gone", "UPDATE 1").await;
    bench.approvals.end_session("gone").await.unwrap();
    let waiting = bench.call_by(user("asker", &[]), "gone", "UPDATE 1");
    let refusal = refused(bench.wait_for(waiting, &id).await.map(|_| ()));
    assert_eq!(refusal.code, Code::ApprovalDenied);
    for statement in ["UPDATE 2", "UPDATE 3"] {
        in_session(&bench, "new", statement).await; // withdrawn ones take no room
    }
}

/// However many sessions it opens, and however often it withdraws what it asked: people are asked for one person so often in an
/// hour, and somebody else is not kept from asking.
#[tokio::test]
async fn new_sessions_and_withdrawn_requests_are_counted_by_person_and_hour() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        requests_per_hour: 3,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    for round in 0..3_u64 {
        bench.at(round);
        let session = format!("session-{round}");
        in_session(&bench, &session, &format!("UPDATE {round}")).await;
        bench.approvals.end_session(&session).await.unwrap();
    }
    let asks_again = async |who: &str| {
        let call = bench.call_by(user(who, &[]), "another", "UPDATE 9");
        bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await
    };
    let refusal = refused(asks_again("asker").await);
    assert_eq!(refusal.code, Code::LimitExceeded);
    assert!(refusal.message.contains("3 times"), "{}", refusal.message);
    pending(asks_again("somebody").await);
    bench.at(3_600); // the first of them is an hour ago
    pending(asks_again("asker").await);
}
