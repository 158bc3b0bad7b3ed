//! What an approval rests on can go before the call runs: the policy that asked, the stand-in, the key, and that two
//! accounts are two people.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::bench::*;
use crate::approval::delegation::Delegate;
use crate::approval::review::{Choice, NotDecided, Reviewer, State, Via, Wish};
use crate::approval::*;
use crate::call::SqlFacts;
use crate::call::refusal::Code;
use crate::identity::SERVICE;
use crate::identity::security_keys::{About, Proof};
use crate::policy::{Escalation, Grantable};
use crate::store::security_keys::SecurityKeyRow;

const APPROVE: &str = r#"
@id("reviewers-approve")
permit (principal, action == Tollgate::Action::"approve", resource)
when { principal in Tollgate::Group::"dba" || principal in Tollgate::Group::"security"
    || principal in Tollgate::Group::"ops" };
@id("writes")
permit (principal, action == Tollgate::Action::"sql_write", resource);
"#;

/// The policy that asks one dba, with more annotations.
fn reviewed(more: &str) -> String {
    format!(
        "{APPROVE}\n@id(\"reviewed\")\n@approval(\"1 dba\")\n{more}\nforbid (principal, action == \
         Tollgate::Action::\"sql_write\", resource)\nunless {{ context.satisfied.contains(\"reviewed\") }};\n"
    )
}

fn write(folder: &Path, policies: &str) {
    let dir = folder.join("policies");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("all.cedar"), policies).unwrap();
}

async fn one(policies: &str, settings: Settings) -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), policies);
    let bench = bench_with(folder.path(), 1, settings).await;
    (folder, bench)
}

fn standing_in() -> Settings {
    Settings {
        delegation_days: 7,
        ..Settings::default()
    }
}

async fn asked(bench: &Bench, call: &Call, ask: Ask) -> ApprovalId {
    pending(bench.walk(call, ask, &effect(&["1", "2"])).await).id
}

/// A change that policy can be asked about.
fn change(bench: &Bench) -> Call {
    let mut call = bench.call("UPDATE 1");
    call.facts.sql = Some(SqlFacts::default());
    call
}

async fn spend(bench: &Bench, call: &Call, evidence: &Evidence) -> Result<(), Unmet> {
    let (two, rules) = (effect(&["1", "2"]), bench.rules());
    let spent = bench
        .approvals
        .spend(call.subject(), evidence, Some(&two), &rules);
    spent.await
}

fn by_message(bench: &Bench, who: &str) -> Reviewer {
    Reviewer {
        via: Via::Message {
            account: "slack T1/U1".to_owned(),
            message: "C1/1.1".to_owned(),
        },
        ..bench.reviewer(who, &["dba"])
    }
}

async fn as_reviewer(
    bench: &Bench,
    who: &Reviewer,
    id: &ApprovalId,
    choice: Choice,
) -> Result<State, NotDecided> {
    let seen = bench.signed(id).await;
    let card = bench
        .approvals
        .decide(who, &bench.rules(), id, choice, &seen)
        .await;
    card.map(|card| card.state)
}

/// Whatever policy tightens between the approval and the last look, the approval is not used, and people are asked
/// what policy asks now.
#[tokio::test]
async fn what_policy_tightens_while_a_call_waits_is_asked_anew_at_the_last_look() {
    let plain = "@bound(\"count\")\n@grantable(\"30m, 20 uses\")\n@escalate(\"ops after 10m\")\n@break_glass(\"ops\")\n@unattended";
    let tighter = [
        format!("{plain}\n@risk(\"high\")"),
        plain.replace("count", "keys"),
        plain.replace("@grantable(\"30m, 20 uses\")\n", ""),
        plain.replace("@escalate(\"ops after 10m\")\n", ""),
        plain.replace("@break_glass(\"ops\")\n", ""),
        plain.replace("\n@unattended", ""),
    ];
    for now in tighter {
        let (folder, bench) = one(&reviewed(plain), Settings::default()).await;
        let call = change(&bench);
        let rules = bench.rules();
        let nothing = Evidence::default();
        let ask = || match rules.decide(&call.arrival, &call.invocation, &call.facts, &nothing) {
            crate::policy::Verdict::Ask(ask) => ask,
            other => panic!("{other:?}"),
        };
        let id = asked(&bench, &call, ask()).await;
        let dan = by_message(&bench, "dan");
        assert_eq!(
            as_reviewer(&bench, &dan, &id, Choice::Approve).await,
            Ok(State::Granted)
        );
        let evidence = bench.walk(&call, ask(), &effect(&["1", "2"])).await.unwrap();
        write(folder.path(), &reviewed(&now));
        bench.policies.reload().unwrap();
        let new = pending(spend(&bench, &call, &evidence).await).id;
        assert_ne!(new, id, "{now}");
        assert_eq!(bench.row(&id).await.state, "cancelled", "{now}");
        assert_eq!(bench.row(&new).await.state, "pending", "{now}");
        let again = as_reviewer(&bench, &dan, &new, Choice::Approve).await;
        if now.contains("high") {
            assert!(matches!(again, Err(NotDecided::OnItsPage(..))), "{again:?}");
        } else {
            assert_eq!(again, Ok(State::Granted));
        }
    }
}

/// What did not change, or asks less, is no reason to ask again.
#[tokio::test]
async fn what_policy_loosens_or_leaves_does_not_ask_anew() {
    for now in [
        "",
        "@risk(\"high\")",
        "@explain(\"Other words.\")\n@risk(\"high\")",
    ] {
        let (folder, bench) = one(&reviewed("@risk(\"high\")"), Settings::default()).await;
        let call = change(&bench);
        let rules = bench.rules();
        let nothing = Evidence::default();
        let risky = || match rules.decide(&call.arrival, &call.invocation, &call.facts, &nothing) {
            crate::policy::Verdict::Ask(ask) => ask,
            other => panic!("{other:?}"),
        };
        let id = asked(&bench, &call, risky()).await;
        bench.approve("dan", &["dba"], &id).await;
        let evidence = bench.walk(&call, risky(), &effect(&["1", "2"])).await.unwrap();
        write(folder.path(), &reviewed(now));
        bench.policies.reload().unwrap();
        assert!(spend(&bench, &call, &evidence).await.is_ok(), "{now}");
    }
}

/// Eligibility is judged when they decide, and again when it runs.
#[tokio::test]
async fn whom_policy_lets_approve_no_more_has_not_approved() {
    let (folder, bench) = one(APPROVE, Settings::default()).await;
    let call = bench.call("UPDATE 1");
    let id = asked(&bench, &call, asks(&[(1, "dba")])).await;
    bench.approve("dan", &["dba"], &id).await;
    let evidence = bench.evidence(&call).await;
    write(
        folder.path(),
        &APPROVE.replace("principal in Tollgate::Group::\"dba\" ||", ""),
    );
    bench.policies.reload().unwrap();
    let new = pending(spend(&bench, &call, &evidence).await).id;
    assert_ne!(new, id);
    assert_eq!(bench.row(&id).await.state, "cancelled");
}

fn grantable() -> Ask {
    let mut ask = asks(&[(1, "dba")]);
    ask.obligations[0].grantable = Some(Grantable {
        seconds: 1800,
        uses: 20,
        rows: None,
    });
    ask
}

fn wish() -> Wish {
    Wish {
        minutes: 30,
        uses: 20,
        rows: None,
        session: false,
        free: BTreeSet::new(),
    }
}

async fn runs(bench: &Bench, call: &Call, ask: Ask) -> Result<(), Unmet> {
    bench.intended(call);
    let evidence = bench.walk(call, ask, &effect(&["1", "2"])).await?;
    let following = bench.approvals.follow(&call.arrival.call_id);
    let rules = bench.rules();
    bench
        .approvals
        .still_granted(&evidence, &rules, Some("shop"))
        .await?;
    spend(bench, call, &evidence).await?;
    following.settle(true).await;
    Ok(())
}

async fn card(bench: &Bench) -> grants::GrantCard {
    let dan = bench.reviewer("dan", &["dba"]);
    let cards = bench.approvals.grants(&dan, &bench.rules()).await.unwrap();
    cards.into_iter().next().unwrap()
}

async fn stands_in(bench: &Bench, until: u64) -> String {
    let wish = Delegate {
        to: "corp#sam".to_owned(),
        group: "dba".to_owned(),
        from: Some(START / SECOND),
        until: START / SECOND + until,
    };
    let dan = bench.reviewer("dan", &["dba"]);
    bench.approvals.delegate(&dan, &wish).await.unwrap().id
}

#[tokio::test]
async fn a_grant_ends_with_the_delegation_that_it_rests_on() {
    let (_folder, bench) = one(APPROVE, standing_in()).await;
    let delegation = stands_in(&bench, 7_200).await;
    let call = |session: &str| bench.call_by(user("asker", &["dba"]), session, "UPDATE 1");
    let id = asked(&bench, &call("s"), grantable()).await;
    let made = bench.decide("sam", &[], &id, Choice::ApproveFor(wish())).await;
    assert_eq!(made, Ok(State::Granted));
    runs(&bench, &call("s"), grantable()).await.unwrap();
    runs(&bench, &call("t"), grantable()).await.unwrap();
    // Held by a call that has not spent it yet.
    let held = call("u");
    let evidence = bench
        .walk(&held, grantable(), &effect(&["1", "2"]))
        .await
        .unwrap();
    let sam = bench.reviewer("sam", &[]);
    bench.approvals.end_delegation(&sam, &delegation).await.unwrap();
    assert_eq!(card(&bench).await.state, "void");
    let spent = refused(spend(&bench, &held, &evidence).await);
    assert_eq!(spent.code, Code::ApprovalDenied);
    pending(runs(&bench, &call("v"), grantable()).await);
    assert!(
        bench.book.words().contains(&"grant_ended".to_owned()),
        "on record"
    );
}

#[tokio::test]
async fn no_grant_outlives_the_time_of_the_delegation() {
    let (_folder, bench) = one(APPROVE, standing_in()).await;
    stands_in(&bench, 600).await;
    let call = |session: &str| bench.call_by(user("asker", &["dba"]), session, "UPDATE 1");
    let id = asked(&bench, &call("s"), grantable()).await;
    let made = bench.decide("sam", &[], &id, Choice::ApproveFor(wish())).await;
    assert_eq!(made, Ok(State::Granted));
    runs(&bench, &call("s"), grantable()).await.unwrap();
    bench.at(599);
    runs(&bench, &call("t"), grantable()).await.unwrap();
    bench.at(600);
    pending(runs(&bench, &call("u"), grantable()).await);
    assert_eq!(card(&bench).await.state, "expired");
}

/// An approval by a stand-in counts as long as the delegation was not taken back before the call ran.
#[tokio::test]
async fn an_approval_goes_with_a_delegation_that_was_taken_back() {
    let (_folder, bench) = one(APPROVE, standing_in()).await;
    let delegation = stands_in(&bench, 60).await;
    let call = bench.call("UPDATE 1");
    let id = asked(&bench, &call, asks(&[(1, "dba")])).await;
    assert_eq!(
        bench.decide("sam", &[], &id, Choice::Approve).await,
        Ok(State::Granted)
    );
    bench.at(61); // it ended by itself: what was decided before stays
    assert!(
        bench
            .walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"]))
            .await
            .is_ok()
    );
    bench.at(0);
    let dan = bench.reviewer("dan", &["dba"]);
    bench.approvals.end_delegation(&dan, &delegation).await.unwrap();
    let again = bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await;
    assert_eq!(refused(again).code, Code::ApprovalExpired);
    assert_eq!(bench.row(&id).await.state, "cancelled");
    let new = asked(&bench, &bench.call("UPDATE 1"), asks(&[(1, "dba")])).await;
    assert_ne!(new, id);
}

/// A seat that was open to somebody else is no right of theirs: policy is asked about the groups they are in.
#[tokio::test]
async fn an_escalated_seat_gives_nobody_the_right_to_approve() {
    let (folder, bench) = one(APPROVE, Settings::default()).await;
    let late = || {
        let mut ask = grantable();
        ask.obligations[0].escalate = vec![Escalation {
            group: "ops".to_owned(),
            seconds: 60,
        }];
        ask
    };
    let call = |session: &str| bench.call_by(user("asker", &["dba"]), session, "UPDATE 1");
    let id = asked(&bench, &call("s"), late()).await;
    bench.at(60);
    let made = bench
        .decide("olga", &["ops"], &id, Choice::ApproveFor(wish()))
        .await;
    assert_eq!(made, Ok(State::Granted));
    runs(&bench, &call("s"), late()).await.unwrap();
    runs(&bench, &call("t"), late()).await.unwrap();
    // Policy offers the seat to nobody else any more.
    pending(runs(&bench, &call("u"), grantable()).await);
    write(
        folder.path(),
        &APPROVE.replace("\n    || principal in Tollgate::Group::\"ops\"", ""),
    );
    bench.policies.reload().unwrap();
    pending(runs(&bench, &call("v"), late()).await);
}

fn of(issuer: &str, bench: &Bench, subject: &str) -> Reviewer {
    let mut reviewer = bench.reviewer(subject, &["dba"]);
    reviewer.user.issuer = issuer.to_owned();
    reviewer
}

#[tokio::test]
async fn two_accounts_at_two_issuers_may_be_one_human() {
    for disjoint in [false, true] {
        let settings = Settings {
            disjoint_issuers: disjoint,
            ..standing_in()
        };
        let (_folder, bench) = one(APPROVE, settings).await;
        let call = bench.call("UPDATE 1");
        let id = asked(&bench, &call, asks(&[(2, "dba")])).await;
        let elsewhere = of("partner", &bench, "asker");
        let shown = bench
            .approvals
            .show(&elsewhere, &bench.rules(), &id)
            .await
            .unwrap();
        assert_eq!((shown.card.may_decide, shown.card.may_refuse), (disjoint, true));
        let got = as_reviewer(&bench, &elsewhere, &id, Choice::Approve).await;
        assert_eq!(
            got,
            if disjoint {
                Ok(State::Pending)
            } else {
                Err(NotDecided::OtherIssuer)
            }
        );
        bench.approve("dan", &["dba"], &id).await;
        let left = if disjoint { "granted" } else { "pending" };
        assert_eq!(bench.row(&id).await.state, left);
        // What somebody there delegates may be the requester's own doing.
        let mut by = of("partner", &bench, "boss");
        by.user.groups = ["security".to_owned()].into();
        let delegate = Delegate {
            to: "corp#pal".to_owned(),
            group: "security".to_owned(),
            from: None,
            until: START / SECOND + 3_600,
        };
        bench.approvals.delegate(&by, &delegate).await.unwrap();
        let other = asked(&bench, &bench.call("UPDATE 2"), asks(&[(1, "security")])).await;
        let got = bench.decide("pal", &[], &other, Choice::Approve).await;
        assert_eq!(got.is_ok(), disjoint, "{got:?}");
        // Saying no is nobody's privilege.
        let third = asked(&bench, &bench.call("UPDATE 3"), asks(&[(1, "dba")])).await;
        let no = Choice::Refuse("no".to_owned());
        assert_eq!(
            as_reviewer(&bench, &elsewhere, &third, no).await,
            Ok(State::Refused)
        );
    }
}

#[tokio::test]
async fn for_a_service_the_people_of_one_issuer_are_enough_and_of_two_together_not() {
    let (_folder, bench) = one(APPROVE, Settings::default()).await;
    let mut service = user("bot", &[]);
    service.issuer = SERVICE.to_owned();
    service.kind = crate::call::UserKind::Service;
    let call = bench.call_by(service, "s", "UPDATE 1");
    let id = asked(&bench, &call, asks(&[(2, "dba")])).await;
    for (issuer, who, state) in [
        ("partner", "dan", State::Pending),
        ("corp", "dan", State::Pending),
        ("corp", "eve", State::Granted),
    ] {
        let reviewer = of(issuer, &bench, who);
        assert_eq!(
            as_reviewer(&bench, &reviewer, &id, Choice::Approve).await,
            Ok(state)
        );
    }
    let evidence = bench
        .walk(&call, asks(&[(2, "dba")]), &effect(&["1", "2"]))
        .await
        .unwrap();
    let people = evidence.approved.clone().unwrap().approvers;
    assert!(people.iter().all(|one| one.issuer == "corp") && people.len() == 2);
    assert!(spend(&bench, &call, &evidence).await.is_ok());
}

/// A key as it would be registered.
pub(super) async fn registered(bench: &Bench, who: &str, id: &str) {
    let row = SecurityKeyRow {
        id: id.to_owned(),
        credential: id.as_bytes().to_vec(),
        issuer: "corp".to_owned(),
        subject: who.to_owned(),
        handle: vec![0; 64],
        public: vec![1],
        state: vec![0; 7],
        transports: 0,
        name: "a key".to_owned(),
        signed_in_at: START,
        created_at: START,
        used_at: None,
    };
    let rows = crate::store::rows::Rows::new(bench.store.clone());
    let mut tx = rows.write().await.unwrap();
    assert!(tx.insert_security_key(&row).await.unwrap());
    tx.commit().await.unwrap();
}

async fn remove(bench: &Bench, who: &str, id: &str) {
    let rows = crate::store::rows::Rows::new(bench.store.clone());
    let mut tx = rows.write().await.unwrap();
    assert!(tx.remove_security_key("corp", who, id).await.unwrap());
    tx.commit().await.unwrap();
}

/// A key is removed because somebody else may have it: what it approved and has not run does not run.
#[tokio::test]
async fn an_approval_goes_with_the_key_that_gave_it() {
    let settings = Settings {
        security_key: true,
        ..Settings::default()
    };
    let (_folder, bench) = one(APPROVE, settings).await;
    registered(&bench, "dan", "k1").await;
    registered(&bench, "eve", "k2").await;
    let with = async |who: &str, key: &str, id: &ApprovalId| {
        let seen = bench.signed(id).await;
        let reviewer = bench.reviewer(who, &["dba"]);
        let about = About::Approve {
            approval: id.0.clone(),
            action_sha256: seen,
        };
        let reviewer = Reviewer {
            key: Some(Proof::of(key, &reviewer.user, about)),
            ..reviewer
        };
        as_reviewer(&bench, &reviewer, id, Choice::Approve).await
    };
    let call = bench.call("UPDATE 1");
    let id = asked(&bench, &call, asks(&[(1, "dba")])).await;
    let two = asked(&bench, &bench.call("UPDATE 2"), asks(&[(2, "dba")])).await;
    assert_eq!(with("dan", "k1", &id).await, Ok(State::Granted));
    assert_eq!(with("dan", "k1", &two).await, Ok(State::Pending));
    let evidence = bench.evidence(&call).await;
    remove(&bench, "dan", "k1").await;
    // With a call that holds it, with one that comes back, and with one more person.
    let new = pending(spend(&bench, &call, &evidence).await).id;
    assert_ne!(new, id);
    assert_eq!(bench.row(&id).await.state, "cancelled");
    assert_eq!(
        with("eve", "k2", &two).await,
        Ok(State::Pending),
        "one of two is left"
    );
    assert_eq!(with("eve", "k2", &new).await, Ok(State::Granted));
    remove(&bench, "eve", "k2").await;
    let again = bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await;
    assert_eq!(refused(again).code, Code::ApprovalExpired);
    assert_eq!(bench.row(&new).await.state, "cancelled");
}

/// A value that is free can be the LIMIT: how much one use reads has to be said.
#[tokio::test]
async fn a_read_with_a_free_value_is_bounded_by_rows() {
    let (_folder, bench) = one(APPROVE, Settings::default()).await;
    let call = |session: &str, limit: u64| {
        let mut call = bench.call_by(user("asker", &["dba"]), session, "SELECT 1");
        call.facts.action = crate::call::Action::SqlRead;
        call.facts.probe = crate::call::Probe::None;
        call.facts.sql = Some(SqlFacts::default());
        call.invocation.request_key = Hash::of_json(&serde_json::json!([session, limit]));
        call.invocation.request = Request::SqlQuery(crate::call::request::SqlQuery {
            resource: "shop".to_owned(),
            statement: "SELECT name FROM goods LIMIT ?1".to_owned(),
            parameters: Some(crate::call::request::Parameters::Positional(vec![limit.into()])),
            limit: None,
            cursor: None,
            lookup: None,
        });
        call
    };
    let walk = async |call: &Call| {
        let subject = call.subject();
        if bench.approvals.attach(&grantable(), subject).await?.is_none() {
            let rules = bench.rules();
            bench
                .approvals
                .under_grant(&grantable(), subject, None, &rules)
                .await?;
        }
        bench
            .approvals
            .satisfy(grantable(), subject, None, &Agentless)
            .await
    };
    let id = pending(walk(&call("s", 5)).await).id;
    let free = Wish {
        free: ["parameter 1".to_owned()].into(),
        ..wish()
    };
    let unbounded = bench
        .decide("dan", &["dba"], &id, Choice::ApproveFor(free.clone()))
        .await;
    assert!(matches!(unbounded, Err(NotDecided::NotOffered(why)) if why.contains("rows")));
    let bounded = Wish {
        rows: Some(7),
        ..free
    };
    assert_eq!(
        bench
            .decide("dan", &["dba"], &id, Choice::ApproveFor(bounded))
            .await,
        Ok(State::Granted)
    );
    let evidence = walk(&call("t", 1_000_000)).await.unwrap();
    assert!(evidence.approved.is_some_and(|approved| approved.grant.is_some()));
    assert_eq!(evidence.rows, Some(7));
}

#[test]
fn what_an_interpreter_runs_cannot_be_free() {
    let cases: [(&[&str], bool, &[&str]); 14] = [
        (&["python3", "x.py"], false, &[]),
        (&["python3", "x1"], false, &[]),
        (&["python3", "report.py", "2024-01"], false, &["argv 2"]),
        (&["python3", "run.py", "lib/y.py"], false, &[]),
        (&["python3", "run.py", "y.py"], false, &[]),
        (&["python3", "-W", "x1", "y1"], false, &[]),
        (&["env", "python3", "x1"], false, &[]),
        (&["timeout", "5", "node", "x1"], false, &[]),
        (&["npm", "run", "job1"], false, &[]),
        (&["make", "all1", "x2"], false, &[]),
        (&["/usr/bin/env", "sh", "x1"], false, &[]),
        (&["kubectl", "get", "pod", "web-1"], false, &["argv 3"]),
        (&["git", "push", "origin", "v1.2"], false, &["argv 3"]),
        (&["cat", "notes/a.txt"], true, &["argv 1"]),
    ];
    for (argv, inspected, free) in cases {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let mut open = std::collections::BTreeMap::new();
        crate::approval::shape::words(&argv, inspected, &mut open);
        let names: Vec<&str> = open.keys().map(String::as_str).collect();
        assert_eq!(names, free, "{argv:?}");
    }
}

/// Of two processes one gives a notice, and the other only when the first one never did.
#[tokio::test]
async fn a_notice_is_given_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let here = bench(folder.path(), 1).await;
    let there = bench(folder.path(), 2).await;
    let (a, b) = (
        here.approvals.events().unwrap(),
        there.approvals.events().unwrap(),
    );
    a.open("channel").await.unwrap();
    here.opened("UPDATE 1").await;
    let lease = Duration::from_secs(30);
    let owed = async |events: &Events<'_>| events.undelivered("channel", 9).await.unwrap();
    let (seen, too) = (owed(&a).await, owed(&b).await);
    let (seq, other) = (seen[0].0.seq, too[0].0.seq);
    assert_eq!(seq, other, "both see it");
    assert!(a.claim("channel", seq, lease).await.unwrap());
    assert!(!b.claim("channel", seq, lease).await.unwrap());
    assert!(owed(&b).await.is_empty());
    // Given back it counts as no attempt; left alone, it is anybody's after the lease.
    a.unclaim("channel", seq).await.unwrap();
    assert_eq!(owed(&b).await[0].1, 0);
    assert!(b.claim("channel", seq, lease).await.unwrap());
    here.at(31);
    assert!(a.claim("channel", seq, lease).await.unwrap());
    let how = crate::store::approvals::Delivery::Delivered;
    a.mark("channel", seq, &how).await.unwrap();
    there.at(62);
    assert!(!b.claim("channel", seq, lease).await.unwrap(), "it was given");
    assert!(owed(&b).await.is_empty());
}

/// Of one request a channel hears in order, whichever process tells; what it did not take keeps nothing back.
#[tokio::test]
async fn a_channel_hears_of_a_request_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let here = bench(folder.path(), 1).await;
    let there = bench(folder.path(), 2).await;
    let (a, b) = (
        here.approvals.events().unwrap(),
        there.approvals.events().unwrap(),
    );
    a.open("channel").await.unwrap();
    let lease = Duration::from_secs(30);
    let id = here.opened("UPDATE 1").await;
    let requested = a.undelivered("channel", 9).await.unwrap()[0].0.seq;
    here.decide("dan", &["dba"], &id, Choice::Approve).await.unwrap();
    let owed: Vec<u64> = a
        .undelivered("channel", 9)
        .await
        .unwrap()
        .iter()
        .map(|one| one.0.seq)
        .collect();
    assert!(
        owed.len() >= 3 && owed[0] == requested,
        "asked, approved, granted: {owed:?}"
    );
    let (first, second) = (owed[1], owed[2]);
    // Who tells what is urgent first may leave the request itself for later, but not while somebody tells of it.
    assert!(
        !b.claim("channel", second, lease).await.unwrap(),
        "another comes before it"
    );
    assert!(a.claim("channel", requested, lease).await.unwrap());
    assert!(
        !b.claim("channel", first, lease).await.unwrap(),
        "the request is being told"
    );
    a.unclaim("channel", requested).await.unwrap();
    assert!(a.claim("channel", first, lease).await.unwrap());
    assert!(
        !b.claim("channel", second, lease).await.unwrap(),
        "the one before it is being told"
    );
    // Of another request anything may be told meanwhile.
    let other = there.opened("UPDATE 2").await;
    let owed = b.undelivered("channel", 9).await.unwrap();
    let other = owed.iter().find(|one| one.0.approval == other).unwrap().0.seq;
    assert!(b.claim("channel", other, lease).await.unwrap());
    // A failure is waited for by nobody.
    let how = crate::store::approvals::Delivery::Failed {
        next_at: u64::MAX / 4,
        error: "not now".to_owned(),
    };
    a.mark("channel", first, &how).await.unwrap();
    assert!(b.claim("channel", second, lease).await.unwrap());
}

/// A request that was made a moment before its channel was known is told all the same, and what is over is not.
#[tokio::test]
async fn a_new_channel_hears_of_what_waits() {
    let (_folder, bench) = one(APPROVE, Settings::default()).await;
    let events = bench.approvals.events().unwrap();
    let owed = async |channel: &str| {
        events.open(channel).await.unwrap();
        let owed = events.undelivered(channel, 9).await.unwrap();
        let told = owed.into_iter().map(|(event, _)| event.approval.0);
        told.collect::<BTreeSet<_>>()
    };
    assert!(owed("at first").await.is_empty());
    let refuse = async |id: &ApprovalId| {
        let no = Choice::Refuse("no".to_owned());
        bench.decide("dan", &["dba"], id, no).await.unwrap();
    };
    refuse(&bench.opened("UPDATE 1").await).await;
    let waits = bench.opened("UPDATE 2").await;
    assert_eq!(owed("at first").await.len(), 2);
    assert_eq!(owed("later").await, BTreeSet::from([waits.0.clone()]));
    refuse(&waits).await;
    assert!(owed("last").await.is_empty());
}

/// However many there are, every one is on one page, and none on two.
#[tokio::test]
async fn a_list_of_everything_has_pages() {
    let settings = Settings {
        pending_per_person: 100,
        ..Settings::default()
    };
    let (_folder, bench) = one(APPROVE, settings).await;
    let mut made = BTreeSet::new();
    for number in 0..55 {
        bench.at(number);
        made.insert(bench.opened(&format!("UPDATE {number}")).await.0);
    }
    for who in [bench.reviewer("dan", &["dba"]), bench.reviewer("asker", &[])] {
        let mut wanted = listing::Wanted::on(listing::Shelf::All);
        let mut seen = Vec::new();
        loop {
            let page = bench.approvals.page(&who, &bench.rules(), &wanted).await.unwrap();
            seen.extend(page.items.into_iter().map(|one| one.card.id.0));
            wanted.before = page.next;
            if wanted.before.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 55);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made);
    }
    let stranger = bench.reviewer("olga", &["ops"]);
    assert!(bench.listed(&stranger).await.is_empty());
}
