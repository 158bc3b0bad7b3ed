//! Approvals for a while: what falls under one, what does not, who makes and ends it, and two processes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::*;
use crate::approval::review::{Choice, NotDecided, State, Wish};
use crate::approval::shape::Shape;
use crate::approval::*;
use crate::call::Probe;
use crate::call::refusal::Code;
use crate::call::request::{Parameters, SqlExecute};
use crate::policy::Grantable;

const REQUESTER: (&str, &[&str]) = ("asker", &["dba", "security"]);

/// What one dba decides and may approve for a while.
fn grantable(seats: &[(u32, &str)], rows: Option<u64>) -> Ask {
    let mut ask = asks(seats);
    ask.obligations[0].grantable = Some(Grantable {
        seconds: 1800,
        uses: 20,
        rows,
    });
    ask
}

fn wish(minutes: u32, uses: u32) -> Wish {
    Wish {
        minutes,
        uses,
        rows: None,
        session: false,
        free: BTreeSet::new(),
    }
}

/// A change with one value bound, as a call of its own.
fn bound(bench: &Bench, session: &str, value: Value) -> Call {
    let mut call = bench.call_by(user(REQUESTER.0, REQUESTER.1), session, "UPDATE ?1");
    let key = request_key(
        &call.arrival.principal.user,
        "editor",
        session,
        &value.to_string(),
    );
    call.invocation.request_key = key;
    call.invocation.request = Request::SqlExecute(SqlExecute {
        resource: "shop".to_owned(),
        statement: "UPDATE ?1".to_owned(),
        parameters: Some(Parameters::Positional(vec![value])),
        reason: Some("because".to_owned()),
    });
    call
}

/// As the gate walks, up to the evidence.
async fn walk(bench: &Bench, call: &Call, ask: Ask, measured: &Effect) -> Result<Evidence, Unmet> {
    let attached = bench.approvals.attach(&ask, call.subject()).await?;
    if attached.is_none() {
        let rules = bench.rules();
        let granted = bench
            .approvals
            .under_grant(&ask, call.subject(), Some(measured), &rules);
        granted.await?;
    }
    let effect = attached.map_or_else(|| Some(measured.clone()), |attached| attached.effect);
    bench
        .approvals
        .satisfy(ask, call.subject(), effect, &Agentless)
        .await
}

/// As the gate walks, up to the moment in which the effect becomes final.
async fn run(bench: &Bench, call: &Call, ask: Ask, measured: &Effect) -> Result<Evidence, Unmet> {
    bench.intended(call);
    let evidence = walk(bench, call, ask, measured).await?;
    let following = bench.approvals.follow(&call.arrival.call_id);
    let rules = bench.rules();
    bench
        .approvals
        .still_granted(&evidence, &rules, Some("shop"))
        .await?;
    bench
        .approvals
        .spend(call.subject(), &evidence, Some(measured), &bench.rules())
        .await?;
    following.settle(true).await;
    Ok(evidence)
}

/// A request for `value`, approved by dan as wished. Gives its id.
async fn approved(bench: &Bench, value: Value, wish: Wish) -> ApprovalId {
    let call = bound(bench, "s", value);
    let id = pending(walk(bench, &call, grantable(&[(1, "dba")], None), &effect(&["1", "2"])).await).id;
    let state = bench.decide("dan", &["dba"], &id, Choice::ApproveFor(wish)).await;
    assert_eq!(state, Ok(State::Granted));
    id
}

async fn cards(bench: &Bench) -> Vec<grants::GrantCard> {
    let reviewer = bench.reviewer("dan", &["dba"]);
    bench.approvals.grants(&reviewer, &bench.rules()).await.unwrap()
}

async fn one() -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    (folder, bench)
}

#[tokio::test]
async fn the_same_call_runs_as_often_as_people_said_and_then_they_are_asked_again() {
    let (_folder, bench) = one().await;
    approved(&bench, json!(5), wish(30, 2)).await;
    let two = effect(&["1", "2"]);
    let ask = || grantable(&[(1, "dba")], None);
    let first = run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
        .await
        .unwrap();
    assert_eq!(
        first.approved.unwrap().grant,
        None,
        "the approved call itself is no use"
    );
    for left in [1, 0] {
        let call = bound(&bench, "s", json!(5));
        let evidence = run(&bench, &call, ask(), &two).await.unwrap();
        let approved = evidence.approved.unwrap();
        assert_eq!(approved.approvers[0].subject, "dan");
        assert!(approved.grant.is_some());
        assert_eq!(cards(&bench).await[0].uses_left, left);
    }
    // Nothing is left: the identical call is answered as it was, and a later one is asked about.
    let last = run(&bench, &bound(&bench, "s", json!(5)), ask(), &two).await;
    assert!(matches!(last, Err(Unmet::Answered(_))), "{last:?}");
    bench.at(901);
    pending(run(&bench, &bound(&bench, "s", json!(5)), ask(), &two).await);
    assert_eq!(cards(&bench).await[0].state, "used up");
    let words = bench.book.words();
    let count = |word: &str| words.iter().filter(|one| *one == word).count();
    assert_eq!(
        (count("grant_made"), count("grant_used"), count("grant_ended")),
        (1, 2, 1)
    );
    assert_eq!(
        count("requested"),
        2,
        "nobody is told that they are asked when they are not"
    );
}

#[tokio::test]
async fn whatever_is_not_the_same_is_asked_about() {
    let (_folder, bench) = one().await;
    approved(&bench, json!(5), wish(30, 20)).await;
    let two = effect(&["1", "2"]);
    let ask = || grantable(&[(1, "dba")], None);
    run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
        .await
        .unwrap();
    let mut more = effect(&["1", "2", "3"]);
    pending(walk(&bench, &bound(&bench, "s", json!(6)), ask(), &two).await);
    let mut other = bound(&bench, "t", json!(5));
    other.arrival.principal.user.subject = "somebody".to_owned();
    pending(walk(&bench, &other, ask(), &two).await);
    let mut program = bound(&bench, "u", json!(5));
    program.arrival.principal.agent.client_id = "another".to_owned();
    pending(walk(&bench, &program, ask(), &two).await);
    // Another session of the same person and program, more rows, and what cannot be undone.
    pending(walk(&bench, &bound(&bench, "v", json!(5)), ask(), &more).await);
    more.rows.clear();
    more.irreversible = true;
    pending(walk(&bench, &bound(&bench, "w", json!(5)), ask(), &more).await);
    let mut elsewhere = two.clone();
    let moved = elsewhere.rows.remove("orders").unwrap();
    elsewhere.rows.insert("people".to_owned(), moved);
    let mut call = bound(&bench, "x", json!(5));
    call.facts.probe = Probe::Oracle;
    // The oldest five wait: one more of the same person would be too many.
    bench.at(1_801);
    approved(&bench, json!(7), wish(30, 20)).await;
    pending(walk(&bench, &bound(&bench, "y", json!(7)), ask(), &elsewhere).await);
    call.invocation.request = bound(&bench, "x", json!(7)).invocation.request;
    pending(walk(&bench, &call, ask(), &two).await);
    // Policy asks more people by now.
    pending(
        walk(
            &bench,
            &bound(&bench, "z", json!(7)),
            grantable(&[(2, "dba")], None),
            &two,
        )
        .await,
    );
    // And the same in a session of its own falls under it.
    run(&bench, &bound(&bench, "session two", json!(7)), ask(), &two)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_grant_for_one_session_is_for_no_other() {
    let (_folder, bench) = one().await;
    let session = Wish {
        session: true,
        ..wish(30, 20)
    };
    approved(&bench, json!(5), session).await;
    let two = effect(&["1", "2"]);
    let ask = || grantable(&[(1, "dba")], None);
    run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
        .await
        .unwrap();
    run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
        .await
        .unwrap();
    pending(walk(&bench, &bound(&bench, "t", json!(5)), ask(), &two).await);
}

#[tokio::test]
async fn a_freed_value_may_be_another_of_its_kind_and_nothing_else_may() {
    let (_folder, bench) = one().await;
    let free = Wish {
        free: BTreeSet::from(["parameter 1".to_owned()]),
        ..wish(30, 20)
    };
    approved(&bench, json!(5), free).await;
    let two = effect(&["3", "4"]);
    let ask = || grantable(&[(1, "dba")], None);
    run(&bench, &bound(&bench, "s", json!(6)), ask(), &two)
        .await
        .unwrap();
    pending(walk(&bench, &bound(&bench, "s", json!("6")), ask(), &two).await);
    let mut other = bound(&bench, "s", json!(8));
    let Request::SqlExecute(change) = &mut other.invocation.request else {
        unreachable!("a change")
    };
    change.statement = "DELETE ?1".to_owned();
    pending(walk(&bench, &other, ask(), &two).await);
}

#[tokio::test]
async fn a_quorum_that_does_not_agree_makes_a_plain_approval() {
    let (_folder, bench) = one().await;
    let same = || Choice::ApproveFor(wish(30, 3));
    let others = [
        (Choice::Approve, 0),
        (Choice::ApproveFor(wish(29, 3)), 0),
        (same(), 1),
    ];
    for (number, (second, made)) in others.into_iter().enumerate() {
        let call = bound(&bench, "s", json!(number));
        let ask = grantable(&[(2, "dba")], None);
        let id = pending(walk(&bench, &call, ask, &effect(&["1"])).await).id;
        assert_eq!(
            bench.decide("dan", &["dba"], &id, same()).await,
            Ok(State::Pending)
        );
        assert_eq!(
            bench.decide("eve", &["dba"], &id, second).await,
            Ok(State::Granted)
        );
        assert_eq!(cards(&bench).await.len(), made);
    }
}

#[tokio::test]
async fn what_is_not_offered_is_not_to_be_had() {
    let (folder, bench) = one().await;
    let not_offered = |got: Result<State, NotDecided>| matches!(got, Err(NotDecided::NotOffered(_)));
    // Policy says nothing of it; or it cannot be undone.
    let plain = bench.opened("UPDATE 1").await;
    let said = bench
        .decide("dan", &["dba"], &plain, Choice::ApproveFor(wish(1, 1)))
        .await;
    assert!(not_offered(said));
    let mut gone = effect(&["1"]);
    gone.irreversible = true;
    let call = bound(&bench, "s", json!(1));
    let id = pending(walk(&bench, &call, grantable(&[(1, "dba")], None), &gone).await).id;
    assert!(not_offered(
        bench
            .decide("dan", &["dba"], &id, Choice::ApproveFor(wish(1, 1)))
            .await
    ));
    // More than is offered, and names of nothing.
    let call = bound(&bench, "s", json!(2));
    let id = pending(walk(&bench, &call, grantable(&[(1, "dba")], None), &effect(&["1"])).await).id;
    let rows = Wish {
        rows: Some(2),
        ..wish(1, 1)
    };
    let named = Wish {
        free: BTreeSet::from(["literal 1".to_owned()]),
        ..wish(1, 1)
    };
    for wish in [wish(31, 1), wish(0, 1), wish(1, 21), wish(1, 0), rows, named] {
        assert!(not_offered(
            bench.decide("dan", &["dba"], &id, Choice::ApproveFor(wish)).await
        ));
    }
    assert_eq!(bench.row(&id).await.state, "pending", "nothing was decided");
    // The requester least of all.
    let own = bench
        .decide(REQUESTER.0, REQUESTER.1, &id, Choice::ApproveFor(wish(1, 1)))
        .await;
    assert_eq!(own, Err(NotDecided::OwnRequest));
    // And where the operator turned it off.
    let off = Settings {
        grant_minutes: 0,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 2, off).await;
    assert!(not_offered(
        bench
            .decide("dan", &["dba"], &id, Choice::ApproveFor(wish(1, 1)))
            .await
    ));
}

#[tokio::test]
async fn a_grant_ends_with_its_time_and_shows_nothing_then() {
    let (_folder, bench) = one().await;
    approved(&bench, json!(5), wish(10, 20)).await;
    let two = effect(&["1", "2"]);
    run(
        &bench,
        &bound(&bench, "s", json!(5)),
        grantable(&[(1, "dba")], None),
        &two,
    )
    .await
    .unwrap();
    bench.at(599);
    assert!(cards(&bench).await[0].call.is_some());
    let held = bound(&bench, "t", json!(5));
    let evidence = walk(&bench, &held, grantable(&[(1, "dba")], None), &two)
        .await
        .unwrap();
    bench.at(600);
    let late = bench
        .approvals
        .spend(held.subject(), &evidence, Some(&two), &bench.rules())
        .await;
    assert!(
        matches!(late, Err(Unmet::Pending(_))),
        "people are asked: {late:?}"
    );
    let card = cards(&bench).await.remove(0);
    assert_eq!((card.state.as_str(), card.call), ("expired", None));
    pending(
        walk(
            &bench,
            &bound(&bench, "u", json!(5)),
            grantable(&[(1, "dba")], None),
            &two,
        )
        .await,
    );
}

#[tokio::test]
async fn a_revoked_grant_is_over_at_once_for_whoever_holds_it() {
    for (who, groups, may) in [
        ("dan", &["dba"][..], true),
        (REQUESTER.0, REQUESTER.1, true),
        ("eve", &["dba"], false),
        ("olga", &["ops"], false),
    ] {
        let (_folder, bench) = one().await;
        approved(&bench, json!(5), wish(30, 20)).await;
        let two = effect(&["1", "2"]);
        let ask = || grantable(&[(1, "dba")], None);
        run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
            .await
            .unwrap();
        let held = bound(&bench, "t", json!(5));
        let evidence = walk(&bench, &held, ask(), &two).await.unwrap();
        let id = cards(&bench).await[0].id.clone();
        let revoked = bench
            .approvals
            .revoke(&bench.reviewer(who, groups), &bench.rules(), &id)
            .await;
        let spent = bench
            .approvals
            .spend(held.subject(), &evidence, Some(&two), &bench.rules())
            .await;
        if may {
            assert_eq!(revoked, Ok(()));
            assert_eq!(refused(spent).code, Code::ApprovalDenied);
            pending(walk(&bench, &bound(&bench, "u", json!(5)), ask(), &two).await);
            let again = bench
                .approvals
                .revoke(&bench.reviewer(who, groups), &bench.rules(), &id)
                .await;
            assert_eq!(again, Err(NotDecided::Final("over")));
        } else {
            assert_eq!(revoked, Err(NotDecided::Unknown));
            assert!(spent.is_ok());
        }
    }
}

#[tokio::test]
async fn who_may_not_approve_any_more_grants_nothing() {
    let (folder, bench) = one().await;
    approved(&bench, json!(5), wish(30, 20)).await;
    let two = effect(&["1", "2"]);
    let ask = || grantable(&[(1, "dba")], None);
    run(&bench, &bound(&bench, "s", json!(5)), ask(), &two)
        .await
        .unwrap();
    let held = bound(&bench, "t", json!(5));
    let evidence = walk(&bench, &held, ask(), &two).await.unwrap();
    let without = r#"@id("security-approves")
        permit (principal, action == Tollgate::Action::"approve", resource)
        when { principal in Tollgate::Group::"security" };"#;
    std::fs::write(folder.path().join("policies/all.cedar"), without).unwrap();
    bench.policies.reload().unwrap();
    let still = bench
        .approvals
        .still_granted(&evidence, &bench.rules(), Some("shop"))
        .await;
    assert_eq!(refused(still).code, Code::ApprovalExpired);
    assert!(
        bench
            .approvals
            .spend(held.subject(), &evidence, Some(&two), &bench.rules())
            .await
            .is_err()
    );
    pending(walk(&bench, &bound(&bench, "u", json!(5)), ask(), &two).await);
    assert_eq!(cards(&bench).await[0].state, "void");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_two_replicas_spend_the_last_use_once_and_a_revocation_comes_before_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let here = Arc::new(bench(folder.path(), 1).await);
    let there = Arc::new(bench(folder.path(), 2).await);
    for round in 0..60_u32 {
        let start = u64::from(round) * 10_000;
        here.at(start);
        there.at(start);
        approved(&here, json!(round), wish(30, 1)).await;
        let two = effect(&["1", "2"]);
        let ask = || grantable(&[(1, "dba")], None);
        run(&here, &bound(&here, "s", json!(round)), ask(), &two)
            .await
            .unwrap();
        let id = cards(&here).await[0].id.clone();
        let uses = |bench: Arc<Bench>, session: &'static str| async move {
            let call = bound(&bench, session, json!(round));
            run(
                &bench,
                &call,
                grantable(&[(1, "dba")], None),
                &effect(&["1", "2"]),
            )
            .await
        };
        let a = tokio::spawn(uses(here.clone(), "a"));
        if round % 2 == 0 {
            let b = tokio::spawn(uses(there.clone(), "b"));
            let (a, b) = (a.await.unwrap(), b.await.unwrap());
            let ran = [&a, &b].into_iter().filter(|one| one.is_ok()).count();
            assert_eq!(ran, 1, "{a:?} {b:?}");
            assert_eq!(cards(&here).await[0].uses_left, 0);
        } else {
            let there = there.clone();
            let revokes = tokio::spawn(async move {
                let dan = there.reviewer("dan", &["dba"]);
                there.approvals.revoke(&dan, &there.rules(), &id).await
            });
            let (a, revoked) = (a.await.unwrap(), revokes.await.unwrap());
            let card = cards(&here).await.remove(0);
            assert_eq!(card.uses_left, u32::from(a.is_err()), "{a:?} {revoked:?}");
            assert!(card.state == "revoked" || a.is_ok(), "{card:?}");
        }
    }
}

#[test]
fn a_shape_holds_still_what_is_not_free() {
    let shape = |argv: &[&str]| {
        let (mut open, mut fixed) = (BTreeMap::new(), Vec::new());
        for (place, word) in argv.iter().enumerate() {
            open.insert(format!("argv {place}"), json!(word));
            fixed.push(place);
        }
        Shape {
            fixed: json!(fixed),
            open,
        }
    };
    let free = BTreeSet::from(["argv 1".to_owned()]);
    let digest = |argv: &[&str]| shape(argv).digest(&free).unwrap();
    assert_eq!(digest(&["ls", "a"]), digest(&["ls", "b"]));
    assert_ne!(digest(&["ls", "a"]), digest(&["rm", "a"]));
    assert_eq!(
        shape(&["ls"]).digest(&free),
        None,
        "what is not there cannot be free"
    );
}

#[test]
fn no_word_that_may_say_what_a_program_does_can_be_free() {
    for (argv, free) in [
        (vec!["kubectl", "get", "pod", "web-1"], vec!["argv 3"]),
        (vec!["terraform", "plan"], vec![]),
        (vec!["terraform", "state", "list"], vec![]),
        (vec!["rake", "db:migrate"], vec![]),
        (vec!["mix", "run_all"], vec![]),
        (vec!["git", "push", "origin", "v1.2"], vec!["argv 3"]),
        (vec!["cat", "notes/a.txt"], vec!["argv 1"]),
        (vec!["tool", "--to", "v1"], vec![]),
    ] {
        let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
        let mut open = BTreeMap::new();
        crate::approval::shape::words(&argv, argv[0] == "cat", &mut open);
        let names: Vec<&str> = open.keys().map(String::as_str).collect();
        assert_eq!(names, free, "{argv:?}");
    }
}

#[tokio::test]
async fn what_policy_takes_away_ends_what_was_offered_under_it() {
    let (_folder, bench) = one().await;
    approved(&bench, json!(5), wish(30, 20)).await;
    let two = effect(&["1", "2"]);
    let call = |session: &str| bound(&bench, session, json!(5));
    let ask = || grantable(&[(1, "dba")], None);
    run(&bench, &call("s"), ask(), &two).await.unwrap();
    // Taken up, and its caller left: the use stays open for a while.
    let held = walk(&bench, &call("r"), ask(), &two).await.unwrap();
    assert!(held.approved.unwrap().grant.is_some());
    // Fewer rows than it was given for; then none of it at all.
    let fewer = grantable(&[(1, "dba")], Some(1));
    pending(walk(&bench, &call("t"), fewer, &two).await);
    pending(walk(&bench, &call("r"), asks(&[(1, "dba")]), &two).await);
    assert_eq!(cards(&bench).await[0].uses_left, 20);
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(|b| json!(b)),
        ".{0,8}".prop_map(|s| json!(s)),
        Just(Value::Null),
    ]
}

fn same_kind(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of two calls with the same values but at some places, exactly those fall under the same grant that differ at
    /// free places alone, in values of the same kind.
    #[test]
    fn a_freed_value_frees_that_value_alone(
        values in prop::collection::vec(scalar(), 1..6),
        others in prop::collection::vec(scalar(), 6),
        free in prop::collection::vec(any::<bool>(), 6),
    ) {
        let shape = |values: &[Value]| Shape {
            fixed: json!("fixed"),
            open: (1..).zip(values).map(|(n, value)| (format!("parameter {n}"), value.clone())).collect(),
        };
        let named: BTreeSet<String> =
            (1..=values.len()).filter(|n| free[n - 1]).map(|n| format!("parameter {n}")).collect();
        let others = &others[..values.len()];
        let same = shape(&values).digest(&named) == shape(others).digest(&named);
        let should = values.iter().zip(others).enumerate().all(|(place, (one, other))| {
            one == other || free[place] && same_kind(one, other)
        });
        prop_assert_eq!(same, should);
    }
}
