//! Asking ahead: what the request becomes once the call is made, and grants that policy took back.

use std::collections::BTreeSet;

use serde_json::json;

use super::bench::*;
use crate::approval::review::{Choice, State, Wish};
use crate::approval::*;
use crate::policy::Grantable;

fn grantable() -> Ask {
    let mut ask = asks(&[(1, "dba")]);
    ask.obligations[0].grantable = Some(Grantable {
        seconds: 1800,
        uses: 20,
        rows: None,
    });
    ask
}

fn access(call: &Call) -> AccessRequest {
    AccessRequest {
        tool: call.arrival.tool.clone(),
        arguments: call.arrival.arguments.clone(),
        reason: "ahead of time".to_owned(),
        minutes: None,
    }
}

async fn asked(bench: &Bench, call: &Call) -> ApprovalId {
    let access = access(call);
    let subject = call.subject().ahead(&access);
    let measured = Some(effect(&["1", "2"]));
    let waits = bench
        .approvals
        .ask_ahead(&grantable(), subject, measured, &Agentless)
        .await;
    pending(waits).id
}

/// What the call would do by now is put to people as the call that it is: they are not told that nothing runs, and
/// who waits for it gets the call.
#[tokio::test]
async fn a_call_that_outgrew_what_was_asked_ahead_is_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("DELETE");
    let id = asked(&bench, &call).await;
    assert!(bench.row(&id).await.terms.contains("\"ahead\":true"));
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Granted);
    let evidence = bench
        .walk(&call, grantable(), &effect(&["1", "2"]))
        .await
        .unwrap();
    let following = bench.approvals.follow(&call.arrival.call_id);
    let grown = effect(&["1", "3"]);
    let new = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&grown), &bench.rules())
        .await;
    let new = pending(new).id;
    following.settle(false).await;
    let row = bench.row(&new).await;
    assert!(new != id && !row.terms.contains("ahead"), "{}", row.terms);
    assert!(!row.sealed.unwrap().contains("ahead of time"));
    let (resumed, key) = bench.wait_for(bench.call("DELETE"), &new).await.unwrap();
    assert_eq!(resumed.arrival.tool, "sql_execute");
    assert_eq!(key, call.invocation.request_key);
}

/// A grant whose people may not approve any more says nothing to who asks ahead, as it covers no call.
#[tokio::test]
async fn a_grant_that_policy_took_back_does_not_stand() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("UPDATE");
    let id = asked(&bench, &call).await;
    let wish = Wish {
        minutes: 10,
        uses: 2,
        rows: None,
        session: false,
        free: BTreeSet::new(),
    };
    let state = bench.decide("dan", &["dba"], &id, Choice::ApproveFor(wish)).await;
    assert_eq!(state, Ok(State::Granted));
    let access = access(&call);
    let subject = call.subject().ahead(&access);
    let ask = grantable();
    let stands = bench
        .approvals
        .access(&ask, subject, &bench.rules())
        .await
        .unwrap();
    assert_eq!(stands.unwrap()["uses"], json!(2));
    let without = r#"@id("security-approves")
        permit (principal, action == Tollgate::Action::"approve", resource)
        when { principal in Tollgate::Group::"security" };"#;
    std::fs::write(folder.path().join("policies/all.cedar"), without).unwrap();
    bench.policies.reload().unwrap();
    let stands = bench
        .approvals
        .access(&ask, subject, &bench.rules())
        .await
        .unwrap();
    assert_eq!(stands, None);
}

/// One call that was approved ahead is one of the session that asked: another session of the same person's is not told
/// that it may make it.
#[tokio::test]
async fn one_call_approved_ahead_is_one_of_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("UPDATE");
    let id = asked(&bench, &call).await;
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Granted);
    let ask = grantable();
    let told = async |call: &Call| {
        let access = access(call);
        let subject = call.subject().ahead(&access);
        let rules = bench.rules();
        bench.approvals.granted_ahead(&ask, subject, &id, &rules).await
    };
    assert_eq!(told(&call).await.unwrap()["access"], json!("once"));
    let other = bench.call_by(user("asker", &["dba"]), "another", "UPDATE");
    assert!(refused(told(&other).await).message.contains("none of yours"));
}

/// What is measured and comes to no request is counted by person, and forgotten in the next hour; a request that comes of
/// it takes it back, and a call is never counted.
#[tokio::test]
async fn measuring_for_nothing_is_counted_by_person() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let call = bench.call("UPDATE");
    let access = access(&call);
    let measuring = |call: &Call| bench.approvals.measuring(call.subject().ahead(&access));
    for _ in 0..19 {
        measuring(&call).unwrap();
    }
    measuring(&call).unwrap();
    asked(&bench, &call).await;
    measuring(&call).unwrap();
    let refusal = measuring(&call).unwrap_err();
    assert_eq!(refusal.code, crate::call::Code::LimitExceeded);
    assert!(
        bench.approvals.measuring(call.subject()).is_ok(),
        "a call takes a place"
    );
    let other = bench.call_by(user("another", &["dba"]), "another", "UPDATE");
    measuring(&other).unwrap();
    bench.at(3_600);
    measuring(&call).unwrap();
}
