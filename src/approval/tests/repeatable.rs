//! What cannot be undone is approved one by one: it is not offered for a while, no grant is made of it, and a grant that
//! says otherwise is not used. And who approved may think better of it.

use std::collections::BTreeSet;

use serde_json::json;

use super::bench::*;
use crate::approval::review::{Choice, NotDecided, Sheet, State, Wish};
use crate::approval::shape::Shape;
use crate::approval::terms::Terms;
use crate::approval::*;
use crate::call::request::ShellRun;
use crate::call::{Action, Probe, ShellFacts, SqlFacts, Target};
use crate::policy::Grantable;

fn grantable(seats: &[(u32, &str)]) -> Ask {
    let mut ask = asks(seats);
    ask.obligations[0].grantable = Some(Grantable {
        seconds: 1800,
        uses: 20,
        rows: None,
    });
    ask
}

fn for_a_while() -> Choice {
    Choice::ApproveFor(Wish {
        minutes: 30,
        uses: 20,
        rows: None,
        session: false,
        free: BTreeSet::new(),
    })
}

/// A script in a sandbox that may write the work folder (`change`), or not.
fn script(bench: &Bench, session: &str, change: bool) -> Call {
    let mut call = bench.call_by(user("asker", &["dba"]), session, &format!("script {change}"));
    let argv = vec!["bash".to_owned(), "-c".to_owned(), "make all".to_owned()];
    call.invocation.action = Action::ShellRun;
    call.invocation.tool = "shell_run".to_owned();
    call.arrival.tool = "shell_run".to_owned();
    call.invocation.request = Request::ShellRun(ShellRun {
        resource: "shop".to_owned(),
        argv: Some(argv.clone()),
        command: None,
        change: change.then_some(true),
        timeout_seconds: None,
        reason: None,
    });
    call.facts = Facts {
        action: Action::ShellRun,
        target: Target::Tollgate,
        sql: None,
        file: None,
        shell: Some(ShellFacts {
            kind: "script".to_owned(),
            programs: BTreeSet::from(["bash".to_owned()]),
            network: false,
            change,
            commands: vec![argv],
        }),
        classified: BTreeSet::new(),
        probe: Probe::None,
    };
    call
}

/// As the gate walks.
async fn walk(bench: &Bench, call: &Call, ask: Ask, effect: Option<&Effect>) -> Result<Evidence, Unmet> {
    if bench.approvals.attach(&ask, call.subject()).await?.is_none() {
        let rules = bench.rules();
        let granted = bench.approvals.under_grant(&ask, call.subject(), effect, &rules);
        granted.await?;
    }
    let effect = effect.cloned();
    bench
        .approvals
        .satisfy(ask, call.subject(), effect, &Agentless)
        .await
}

async fn shown(bench: &Bench, id: &ApprovalId) -> Sheet {
    let dan = bench.reviewer("dan", &["dba"]);
    bench.approvals.show(&dan, &bench.rules(), id).await.unwrap()
}

async fn grants(bench: &Bench) -> usize {
    let dan = bench.reviewer("dan", &["dba"]);
    bench.approvals.grants(&dan, &bench.rules()).await.unwrap().len()
}

#[tokio::test]
async fn what_cannot_be_undone_is_neither_offered_nor_granted_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let sql = |irreversible| {
        Some(SqlFacts {
            irreversible,
            ..SqlFacts::default()
        })
    };
    let mut foreseen = effect(&["1"]);
    foreseen
        .unmeasured
        .insert("products".to_owned(), "about 5 rows".to_owned());
    let mut table = effect(&[]);
    table
        .schema
        .insert("products".to_owned(), "drop table".to_owned());
    let whole = |call: &mut Call| call.facts.sql = sql(true);
    let ddl = |call: &mut Call| (call.facts.action, call.facts.sql) = (Action::SqlDdl, sql(false));
    let untried = |call: &mut Call| call.facts.probe = Probe::None;
    let commit = |call: &mut Call| call.facts.action = Action::GitCommit;
    let sent = |call: &mut Call| call.facts.action = Action::HttpSend;
    let network = |call: &mut Call| call.facts.shell.as_mut().unwrap().network = true;
    type Change<'a> = &'a dyn Fn(&mut Call);
    let change = || bench.call("UPDATE");
    let all: [(&str, Call, Change<'_>, Option<Effect>); 9] = [
        ("a script that writes", script(&bench, "s", true), &|_| {}, None),
        (
            "a script on a network",
            script(&bench, "s", false),
            &network,
            None,
        ),
        ("every row", change(), &whole, Some(effect(&["1"]))),
        ("a schema by its verb", change(), &ddl, Some(effect(&["1"]))),
        ("a schema by its effect", change(), &|_| {}, Some(table)),
        ("what is only foreseen", change(), &|_| {}, Some(foreseen)),
        ("what nobody tried", change(), &untried, None),
        ("a commit", change(), &commit, None),
        ("a request to somewhere", change(), &sent, None),
    ];
    for (number, (what, mut call, alter, effect)) in all.into_iter().enumerate() {
        alter(&mut call);
        call.invocation.request_key = Hash::of(what.as_bytes());
        bench.at(2_000 * number as u64); // the one before is over
        let id = pending(walk(&bench, &call, grantable(&[(1, "dba")]), effect.as_ref()).await).id;
        assert_eq!(shown(&bench, &id).await.offer, None, "{what}");
        let made = bench.decide("dan", &["dba"], &id, for_a_while()).await;
        assert!(matches!(made, Err(NotDecided::NotOffered(_))), "{what}: {made:?}");
        assert_eq!(
            bench.decide("dan", &["dba"], &id, Choice::Approve).await,
            Ok(State::Granted)
        );
        assert_eq!(grants(&bench).await, 0, "{what}");
        // Nor is it asked about ahead, and nothing is measured for that.
        let access = AccessRequest {
            tool: call.arrival.tool.clone(),
            arguments: call.arrival.arguments.clone(),
            reason: "ahead".to_owned(),
            minutes: None,
        };
        let never = matches!(number, 0..=3 | 7..=8);
        let ahead = call.subject().ahead(&access);
        let rules = bench.rules();
        let ahead = bench
            .approvals
            .access(&grantable(&[(1, "dba")]), ahead, &rules)
            .await;
        assert_eq!(ahead.is_err(), never, "{what}: {ahead:?}");
    }
    // The same script, in a sandbox that lets it write nothing, is offered.
    bench.at(40_000);
    let id = pending(
        walk(
            &bench,
            &script(&bench, "s", false),
            grantable(&[(1, "dba")]),
            None,
        )
        .await,
    )
    .id;
    assert_eq!(shown(&bench, &id).await.offer.unwrap().uses, 20);
}

#[tokio::test]
async fn no_grant_is_made_of_what_is_offered_no_more() {
    for change in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 1).await;
        let call = script(&bench, "s", false);
        let id = pending(walk(&bench, &call, grantable(&[(2, "dba")]), None).await).id;
        let first = bench.decide("dan", &["dba"], &id, for_a_while()).await;
        assert_eq!(first, Ok(State::Pending));
        // As if the facts of what waits had been another version's.
        let mut terms: Terms = serde_json::from_str(&bench.row(&id).await.terms).unwrap();
        terms.facts["shell"]["change"] = json!(change);
        let row = bench.row(&id).await;
        let people = bench.approvals.people.as_ref().unwrap();
        let mut tx = people.rows.write().await.unwrap();
        let decisions = tx.decisions(&id.0).await.unwrap();
        people.grant(&mut tx, &row, &terms, &decisions).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(grants(&bench).await, usize::from(!change), "{change}");
    }
}

#[tokio::test]
async fn a_grant_of_an_earlier_version_lets_no_script_write() {
    for (change, is_used) in [(false, true), (true, false)] {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 1).await;
        let ask = || grantable(&[(1, "dba")]);
        // Made for a command that looks …
        let mut looks = script(&bench, "s", false);
        let Request::ShellRun(run) = &mut looks.invocation.request else {
            unreachable!("a command")
        };
        run.argv = Some(vec!["ls".to_owned()]);
        let id = pending(walk(&bench, &looks, ask(), None).await).id;
        let made = bench.decide("dan", &["dba"], &id, for_a_while()).await;
        assert_eq!(made, Ok(State::Granted));
        // … and made out for this script, as one of a version that offered such grants was.
        let call = script(&bench, "t", change);
        let asks = Terms::asks_of_ask(&ask());
        let shape = Shape::of(call.subject(), &asks)
            .unwrap()
            .digest(&BTreeSet::new())
            .unwrap();
        bench.store.tamper(
            &[("approval_grant_shrinks", "approval_grant")],
            &format!("UPDATE approval_grant SET shape_sha256 = x'{}'", shape.hex()),
        );
        let got = walk(&bench, &call, ask(), None).await;
        if is_used {
            assert!(got.unwrap().approved.unwrap().grant.is_some());
        } else {
            pending(got);
        }
    }
}

#[tokio::test]
async fn who_approved_may_refuse_or_withdraw_while_it_waits_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let two = || asks(&[(2, "dba")]);
    let open = async |statement: &str| {
        let call = bench.call(statement);
        let id = pending(bench.walk(&call, two(), &effect(&["1"])).await).id;
        assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
        let card = shown(&bench, &id).await.card;
        let may = (card.may_decide, card.may_refuse, card.may_withdraw);
        assert_eq!(
            may,
            (false, true, true),
            "approved once, and may think better of it"
        );
        (call, id)
    };
    let (call, id) = open("UPDATE 1").await;
    let no = || Choice::Refuse("I read it again: wrong table".to_owned());
    assert_eq!(bench.decide("dan", &["dba"], &id, no()).await, Ok(State::Refused));
    let again = bench.decide("dan", &["dba"], &id, no()).await;
    assert_eq!(again, Err(NotDecided::Final("refused")));
    let late = bench.decide("eve", &["dba"], &id, Choice::Approve).await;
    assert_eq!(late, Err(NotDecided::Final("refused")));
    let told = refused(bench.walk(&call, two(), &effect(&["1"])).await);
    assert!(told.message.contains("wrong table"), "{}", told.message);
    let words: Vec<String> = shown(&bench, &id)
        .await
        .history
        .into_iter()
        .map(|one| one.1)
        .collect();
    assert_eq!(words, ["requested", "approved", "refused"], "both stay on record");

    let (_, id) = open("UPDATE 2").await;
    let dan = bench.reviewer("dan", &["dba"]);
    let card = bench.approvals.cancel(&dan, &bench.rules(), &id).await.unwrap();
    assert_eq!(card.state, State::Cancelled);
    // Also when enough others agreed, until it has run.
    let (call, id) = open("UPDATE 3").await;
    assert_eq!(bench.approve("eve", &["dba"], &id).await, State::Granted);
    let evidence = bench.walk(&call, two(), &effect(&["1"])).await.unwrap();
    assert_eq!(bench.decide("dan", &["dba"], &id, no()).await, Ok(State::Refused));
    let spent = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    refused(spent);
}

#[tokio::test]
async fn a_list_says_of_each_request_what_it_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let mut gone = effect(&["1", "2"]);
    gone.irreversible = true;
    let one = || asks(&[(1, "dba")]);
    pending(bench.walk(&bench.call("UPDATE 1"), one(), &gone).await);
    pending(walk(&bench, &script(&bench, "s", true), one(), None).await);
    let dan = bench.reviewer("dan", &["dba"]);
    let wanted = listing::Wanted::on(listing::Shelf::Waiting);
    let page = bench.approvals.page(&dan, &bench.rules(), &wanted).await.unwrap();
    let mut would: Vec<Vec<String>> = page.items.into_iter().map(|one| one.would).collect();
    would.sort();
    assert_eq!(
        would,
        [
            vec!["cannot be undone", "orders: 2 changed"],
            vec!["runs bash", "may write the work folder"]
        ]
    );
}
