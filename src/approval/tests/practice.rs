//! Quorum in practice: stand-ins, escalation, broken glass, and what the statistics make of it all.

use super::bench::*;
use crate::approval::delegation::Delegate;
use crate::approval::review::{Choice, NotDecided, State};
use crate::approval::*;
use crate::policy::Escalation;

const POLICIES: &str = r#"
@id("reviewers-approve")
permit (principal, action == Tollgate::Action::"approve", resource)
when { principal in Tollgate::Group::"dba" || principal in Tollgate::Group::"security"
    || principal in Tollgate::Group::"ops" };
"#;

async fn one(delegation_days: u32) -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("policies");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("all.cedar"), POLICIES).unwrap();
    let settings = Settings {
        delegation_days,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    (folder, bench)
}

fn stand_in(to: &str, group: &str, from: u64, until: u64) -> Delegate {
    Delegate {
        to: to.to_owned(),
        group: group.to_owned(),
        from: Some(START / SECOND + from),
        until: START / SECOND + until,
    }
}

/// From 22:00 to 02:00: two moments, not two times of a day.
#[tokio::test]
async fn h6_a_time_over_midnight_is_two_moments() {
    let (_folder, bench) = one(7).await;
    let dan = bench.reviewer("dan", &["dba"]);
    let hour = 3_600;
    let evening = 22 * hour - START / SECOND % (24 * hour);
    let night = stand_in("corp#sam", "dba", evening, evening + 4 * hour);
    bench.approvals.delegate(&dan, &night).await.unwrap();
    for (at, may) in [
        (evening - 1, false),
        (evening, true),
        (evening + 3 * hour, true),
        (evening + 4 * hour, false),
    ] {
        bench.at(at);
        let id = bench.opened(&format!("UPDATE {at}")).await;
        let decided = bench.decide("sam", &["security"], &id, Choice::Approve).await;
        let expected = if may {
            Ok(State::Granted)
        } else {
            Err(NotDecided::Unknown)
        };
        assert_eq!(decided, expected, "{at}");
    }
}

async fn ask_two(bench: &Bench, statement: &str) -> ApprovalId {
    let call = bench.call(statement);
    pending(
        bench
            .walk(&call, asks(&[(1, "dba"), (1, "security")]), &effect(&["1"]))
            .await,
    )
    .id
}

#[tokio::test]
async fn a_stand_in_counts_once_as_themselves_between_the_dates() {
    let (_folder, bench) = one(7).await;
    let dan = bench.reviewer("dan", &["dba"]);
    let made = bench
        .approvals
        .delegate(&dan, &stand_in("corp#sam", "dba", 100, 3_600))
        .await
        .unwrap();
    assert_eq!(made.state, "ahead");
    let early = bench.opened("UPDATE 1").await;
    let got = bench.decide("sam", &["security"], &early, Choice::Approve).await;
    assert_eq!(got, Err(NotDecided::Unknown), "not before it begins");
    bench.at(100);
    assert_eq!(
        bench.decide("sam", &["security"], &early, Choice::Approve).await,
        Ok(State::Granted)
    );
    // In both groups by now, and one person all the same (incident note H4).
    let two = ask_two(&bench, "UPDATE 2").await;
    assert_eq!(
        bench.decide("sam", &["security"], &two, Choice::Approve).await,
        Ok(State::Pending)
    );
    assert_eq!(
        bench.decide("sam", &["security"], &two, Choice::Approve).await,
        Err(NotDecided::Twice)
    );
    assert_eq!(
        bench.decide("dan", &["dba"], &two, Choice::Approve).await,
        Ok(State::Granted)
    );
    let told = bench.book.events.lock().unwrap().clone();
    let told: Vec<_> = told.iter().filter_map(|event| event.words.clone()).collect();
    assert!(
        told.iter()
            .any(|words| words.contains("standing in for corp#dan in dba")),
        "{told:?}"
    );
    assert!(bench.book.words().contains(&"delegated".to_owned()), "on record");
    // Ended at once, by the one who stands in as well.
    let sam = bench.reviewer("sam", &["security"]);
    let other = bench.reviewer("eve", &["dba"]);
    assert_eq!(
        bench.approvals.end_delegation(&other, &made.id).await,
        Err(NotDecided::Unknown)
    );
    bench.approvals.end_delegation(&sam, &made.id).await.unwrap();
    let late = bench.opened("UPDATE 3").await;
    let got = bench.decide("sam", &["security"], &late, Choice::Approve).await;
    assert_eq!(got, Err(NotDecided::Unknown));
}

#[tokio::test]
async fn h3_nobody_chooses_who_decides_their_own_request() {
    let (_folder, bench) = one(7).await;
    let asker = bench.reviewer("asker", &["dba", "security"]);
    bench
        .approvals
        .delegate(&asker, &stand_in("corp#pal", "dba", 0, 3_600))
        .await
        .unwrap();
    let dan = bench.reviewer("dan", &["dba"]);
    bench
        .approvals
        .delegate(&dan, &stand_in("corp#asker", "dba", 0, 3_600))
        .await
        .unwrap();
    let id = bench.opened("UPDATE 1").await;
    assert_eq!(
        bench.decide("pal", &[], &id, Choice::Approve).await,
        Err(NotDecided::Unknown)
    );
    assert_eq!(
        bench.decide("asker", &["ops"], &id, Choice::Approve).await,
        Err(NotDecided::OwnRequest)
    );
    // For a request of somebody else, the same delegation counts.
    let call = bench.call_by(user("zoe", &[]), "z", "UPDATE 2");
    let other = pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await).id;
    assert_eq!(
        bench.decide("pal", &[], &other, Choice::Approve).await,
        Ok(State::Granted)
    );
}

#[tokio::test]
async fn what_cannot_be_delegated() {
    let (_folder, bench) = one(7).await;
    let dan = bench.reviewer("dan", &["dba"]);
    bench
        .approvals
        .delegate(&dan, &stand_in("corp#sam", "dba", 0, 3_600))
        .await
        .unwrap();
    let no =
        |got: Result<delegation::DelegationCard, NotDecided>| matches!(got, Err(NotDecided::NotOffered(_)));
    // What one has only because somebody delegated it.
    let sam = bench.reviewer("sam", &["security"]);
    assert!(no(bench
        .approvals
        .delegate(&sam, &stand_in("corp#kim", "dba", 0, 3_600))
        .await));
    let day = 24 * 3_600;
    for wish in [
        stand_in("corp#dan", "dba", 0, 60),
        stand_in("corp#sam", "security", 0, 60),
        stand_in("service#bot", "dba", 0, 60),
        stand_in("nobody", "dba", 0, 60),
        stand_in("corp#", "dba", 0, 60),
        stand_in("corp#sam", "dba", 60, 60),
        stand_in("corp#sam", "dba", 0, 7 * day + 1),
        stand_in("corp#sam", "dba", 93 * day, 94 * day),
    ] {
        assert!(no(bench.approvals.delegate(&dan, &wish).await), "{wish:?}");
    }
    let mut stale = dan.clone();
    stale.signed_in_at = crate::clock::Timestamp(START - 301 * SECOND);
    let got = bench
        .approvals
        .delegate(&stale, &stand_in("corp#sam", "dba", 0, 60))
        .await;
    assert_eq!(got, Err(NotDecided::SignInAgain(300)));
    bench.book.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let got = bench
        .approvals
        .delegate(&dan, &stand_in("corp#kim", "dba", 0, 60))
        .await;
    assert_eq!(got, Err(NotDecided::Unrecorded));
    bench.book.fails.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        bench.approvals.delegations(&dan).await.unwrap().len(),
        1,
        "what is not on record is not"
    );
    // Turned off, nothing counts, whatever was made before.
    let (_folder, off) = one(0).await;
    assert!(no(off
        .approvals
        .delegate(
            &off.reviewer("dan", &["dba"]),
            &stand_in("corp#sam", "dba", 0, 60)
        )
        .await));
}

#[tokio::test]
async fn after_a_time_further_people_are_asked_and_one_of_them_still_fills_one_seat() {
    let (_folder, bench) = one(0).await;
    let late = || {
        let mut ask = asks(&[(2, "dba")]);
        ask.obligations[0].escalate = vec![Escalation {
            group: "ops".to_owned(),
            seconds: 600,
        }];
        ask
    };
    let call = bench.call("UPDATE 1");
    let id = pending(bench.walk(&call, late(), &effect(&["1"])).await).id;
    bench.at(599);
    assert!(bench.approvals.tick().await.is_ok());
    let olga = bench.decide("olga", &["ops"], &id, Choice::Approve).await;
    assert_eq!(olga, Err(NotDecided::Unknown), "not yet");
    bench.at(600);
    for _ in 0..3 {
        bench.approvals.tick().await.unwrap();
    }
    let words = bench.book.words();
    assert_eq!(
        words.iter().filter(|word| *word == "escalated").count(),
        1,
        "told once"
    );
    let seen = bench.listed(&bench.reviewer("olga", &["ops"])).await;
    assert_eq!(seen[0].escalated_to, ["ops"]);
    assert_eq!(
        bench.decide("olga", &["ops"], &id, Choice::Approve).await,
        Ok(State::Pending)
    );
    assert_eq!(
        bench.decide("dan", &["dba"], &id, Choice::Approve).await,
        Ok(State::Granted)
    );
    let evidence = bench
        .walk(&bench.call("UPDATE 1"), late(), &effect(&["1"]))
        .await
        .unwrap();
    let all = evidence.approved.unwrap().approvers;
    let groups = &all.iter().find(|one| one.subject == "olga").unwrap().groups;
    assert!(groups.contains("dba") && groups.contains("ops"), "{groups:?}");
}

#[tokio::test]
async fn an_escalation_of_one_rule_opens_no_seat_of_another() {
    let (_folder, bench) = one(0).await;
    let mut ask = asks_all(&[("late", &[(1, "dba")]), ("strict", &[(1, "dba")])]);
    ask.obligations[0].escalate = vec![Escalation {
        group: "ops".to_owned(),
        seconds: 60,
    }];
    let id = pending(bench.walk(&bench.call("UPDATE 1"), ask, &effect(&["1"])).await).id;
    bench.at(60);
    let olga = bench.decide("olga", &["ops"], &id, Choice::Approve).await;
    assert_eq!(
        olga,
        Err(NotDecided::Unknown),
        "the other rule asks the dba alone"
    );
    let (who, rules) = (bench.reviewer("olga", &["ops"]), bench.rules());
    let counts = bench.approvals.counts(&who, &rules).await.unwrap();
    assert_eq!(counts.waiting, 0, "and it is not counted as hers");
    assert_eq!(
        bench.decide("dan", &["dba"], &id, Choice::Approve).await,
        Ok(State::Granted)
    );
}

fn glass(seats: &[(u32, &str)]) -> Ask {
    let mut ask = asks(seats);
    ask.obligations[0].break_glass = Some("security".to_owned());
    ask
}

#[tokio::test]
async fn broken_glass_is_the_requesters_own_loud_and_reviewed_by_somebody_else() {
    let (_folder, bench) = one(0).await;
    let call = bench.call("UPDATE 1");
    let id = pending(bench.walk(&call, glass(&[(2, "dba")]), &effect(&["1"])).await).id;
    let (seen, rules) = (bench.signed(&id).await, bench.rules());
    let asker = bench.reviewer("asker", &["dba", "security"]);
    let breaks = async |who: &review::Reviewer, reason: &str, seen: &str| {
        let card = bench.approvals.break_glass(who, &rules, &id, reason, seen).await;
        card.map(|card| card.state)
    };
    assert!(matches!(
        breaks(&asker, " ", &seen).await,
        Err(NotDecided::BadReason(_))
    ));
    assert_eq!(breaks(&asker, "on fire", "other").await, Err(NotDecided::Changed));
    let dan = bench.reviewer("dan", &["dba", "security"]);
    assert_eq!(
        breaks(&dan, "on fire", &seen).await,
        Err(NotDecided::Unknown),
        "not theirs"
    );
    let outside = bench.reviewer("asker", &["dba"]);
    assert_eq!(
        breaks(&outside, "on fire", &seen).await,
        Err(NotDecided::OwnRequest)
    );
    let mut stale = asker.clone();
    stale.signed_in_at = crate::clock::Timestamp(START - 301 * SECOND);
    assert_eq!(
        breaks(&stale, "on fire", &seen).await,
        Err(NotDecided::SignInAgain(300))
    );
    assert_eq!(breaks(&asker, "on fire", &seen).await, Ok(State::Granted));
    assert!(bench.book.words().contains(&"break_glass".to_owned()), "loud");
    let again = bench.call("UPDATE 1");
    bench.intended(&again);
    let evidence = bench
        .walk(&again, glass(&[(2, "dba")]), &effect(&["1"]))
        .await
        .unwrap();
    let approved = evidence.approved.clone().unwrap();
    assert!(approved.approvers.is_empty() && approved.break_glass.unwrap().subject == "asker");
    let following = bench.approvals.follow(&again.arrival.call_id);
    bench
        .approvals
        .spend(again.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await
        .unwrap();
    following.settle(true).await;
    let open = bench.approvals.broken_glass(&asker, &rules).await.unwrap();
    assert!(open[0].reviewed_by.is_none() && !open[0].may_review);
    let review = async |who: &review::Reviewer| {
        bench
            .approvals
            .review_broken_glass(who, &rules, &id, "it was on fire")
            .await
    };
    assert_eq!(review(&asker).await, Err(NotDecided::OwnRequest));
    assert_eq!(
        review(&bench.reviewer("olga", &["ops"])).await,
        Err(NotDecided::Unknown)
    );
    assert_eq!(review(&dan).await, Ok(()));
    assert_eq!(
        review(&bench.reviewer("eve", &["dba"])).await,
        Err(NotDecided::Final("reviewed"))
    );
    assert_eq!(
        review(&bench.reviewer("olga", &["ops"])).await,
        Err(NotDecided::Unknown),
        "reviewed or not is nothing for strangers"
    );
    assert!(bench.book.words().contains(&"reviewed".to_owned()));
}

#[tokio::test]
async fn glass_is_not_broken_where_one_rule_does_not_say_so_or_somebody_refused() {
    let (_folder, bench) = one(0).await;
    let rules = bench.rules();
    let asker = bench.reviewer("asker", &["dba", "security"]);
    let mut both = asks_all(&[("one", &[(1, "dba")]), ("two", &[(1, "dba")])]);
    both.obligations[0].break_glass = Some("security".to_owned());
    let id = pending(bench.walk(&bench.call("UPDATE 1"), both, &effect(&["1"])).await).id;
    let seen = bench.signed(&id).await;
    let got = bench
        .approvals
        .break_glass(&asker, &rules, &id, "on fire", &seen)
        .await;
    assert_eq!(got.unwrap_err(), NotDecided::OwnRequest);
    let id = pending(
        bench
            .walk(&bench.call("UPDATE 2"), glass(&[(1, "dba")]), &effect(&["1"]))
            .await,
    )
    .id;
    bench
        .decide("dan", &["dba"], &id, Choice::Refuse("no".to_owned()))
        .await
        .unwrap();
    let seen = bench.signed(&id).await;
    let got = bench
        .approvals
        .break_glass(&asker, &rules, &id, "on fire", &seen)
        .await;
    assert_eq!(got.unwrap_err(), NotDecided::Final("refused"));
    // A refusal after it was broken, and before it ran, wins as any refusal does.
    let call = bench.call("UPDATE 3");
    let id = pending(bench.walk(&call, glass(&[(1, "dba")]), &effect(&["1"])).await).id;
    let seen = bench.signed(&id).await;
    bench
        .approvals
        .break_glass(&asker, &rules, &id, "on fire", &seen)
        .await
        .unwrap();
    let evidence = bench
        .walk(&call, glass(&[(1, "dba")]), &effect(&["1"]))
        .await
        .unwrap();
    let refusal = bench
        .decide("dan", &["dba"], &id, Choice::Refuse("stop".to_owned()))
        .await;
    assert_eq!(refusal, Ok(State::Refused));
    assert!(
        bench
            .approvals
            .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn broken_glass_is_nobodys_approval_and_no_reason_to_stop_asking() {
    let (_folder, bench) = one(0).await;
    for number in 0..51_u64 {
        bench.at(number * 4_000);
        let id = bench.opened(&format!("UPDATE {number}")).await;
        bench.approve("dan", &["dba"], &id).await;
    }
    let call = bench.call("UPDATE x");
    let id = pending(bench.walk(&call, glass(&[(1, "dba")]), &effect(&["1"])).await).id;
    let (seen, rules) = (bench.signed(&id).await, bench.rules());
    let asker = bench.reviewer("asker", &["security"]);
    let by_message = review::Reviewer {
        via: review::Via::Message {
            account: "slack T1/U1".to_owned(),
            message: "C1/1.1".to_owned(),
        },
        ..asker.clone()
    };
    let breaks = async |who: &review::Reviewer| {
        let broken = bench.approvals.break_glass(who, &rules, &id, "on fire", &seen);
        broken.await.map(|card| card.state)
    };
    assert_eq!(breaks(&by_message).await, Err(NotDecided::OwnRequest));
    assert_eq!(breaks(&asker).await, Ok(State::Granted));
    let dan = bench.reviewer("dan", &["dba"]);
    let stats = bench.approvals.stats(&dan, &rules).await.unwrap();
    let rule = &stats.rules[0];
    assert_eq!((rule.asked, rule.approved), (52, 51));
    assert_eq!(rule.candidate, None);
}

/// Fifty-one requests over twelve days; who decides is up to the test.
async fn asked_often(bench: &Bench, deciders: &[&str], hasty: u64) {
    for number in 0..51_u64 {
        bench.at(number * 20_000);
        let mut call = bench.call(&format!("UPDATE {number}"));
        call.facts.sql = Some(crate::call::SqlFacts {
            kind: "update".to_owned(),
            tables: ["orders".to_owned()].into(),
            has_where: true,
            ..crate::call::SqlFacts::default()
        });
        let id = pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await).id;
        bench.at(number * 20_000 + if number < hasty { 1 } else { 10 });
        let who = deciders[usize::try_from(number).unwrap() % deciders.len()];
        bench.approve(who, &["dba"], &id).await;
    }
}

const THREE: [&str; 3] = ["dan", "eve", "fay"];

async fn counted(bench: &Bench) -> crate::approval::stats::Stats {
    let dan = bench.reviewer("dan", &["dba"]);
    bench.approvals.stats(&dan, &bench.rules()).await.unwrap()
}

#[tokio::test]
async fn statistics_count_what_happened_and_find_what_nobody_ever_refused() {
    let (_folder, bench) = one(0).await;
    asked_often(&bench, &THREE, 1).await;
    let stats = counted(&bench).await;
    let rule = &stats.rules[0];
    assert_eq!(
        (rule.id.as_str(), rule.asked, rule.approved, rule.hasty),
        ("reviewed", 51, 51, 1)
    );
    assert_eq!((rule.median_seconds, rule.p90_seconds), (Some(10.0), Some(10.0)));
    let found = rule.candidate.as_ref().unwrap();
    assert_eq!(
        (found.approved, found.reviewers, found.days),
        (50, 3, 13),
        "not the hasty one"
    );
    assert_eq!(found.most_rows, Some(2));
    assert_eq!(found.exemption.people, ["corp#asker".to_owned()].into());
    assert_eq!(found.exemption.agents, ["editor".to_owned()].into());
    let mut people: Vec<_> = stats
        .people
        .iter()
        .map(|one| (one.person.as_str(), one.decided))
        .collect();
    people.sort_unstable();
    assert_eq!(people, [("corp#dan", 17), ("corp#eve", 17), ("corp#fay", 17)]);
    let olga = bench
        .approvals
        .stats(&bench.reviewer("olga", &["ops"]), &bench.rules())
        .await
        .unwrap();
    assert!(
        olga.rules.is_empty() && olga.people.is_empty(),
        "not hers to see (incident note H8)"
    );
}

#[tokio::test]
async fn few_people_haste_and_a_refusal_are_no_reason_to_stop_asking() {
    let why = async |bench: &Bench| {
        let rule = counted(bench).await.rules.remove(0);
        assert_eq!(rule.candidate, None);
        rule.not_proposed.unwrap_or_default()
    };
    let (_folder, bench) = one(0).await;
    asked_often(&bench, &THREE[..2], 0).await;
    assert!(why(&bench).await.contains("too few people"));
    let (_folder, bench) = one(0).await;
    asked_often(&bench, &THREE, 2).await;
    assert_eq!(why(&bench).await, "", "49 are not enough");
    let (_folder, bench) = one(0).await;
    asked_often(&bench, &THREE, 0).await;
    let mut call = bench.call("UPDATE x");
    call.facts.sql = Some(crate::call::SqlFacts {
        kind: "update".to_owned(),
        tables: ["orders".to_owned()].into(),
        has_where: true,
        ..crate::call::SqlFacts::default()
    });
    let id = pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await).id;
    let no = Choice::Refuse("no".to_owned());
    bench.decide("dan", &["dba"], &id, no).await.unwrap();
    assert!(why(&bench).await.contains("refused"));
}

#[tokio::test]
async fn what_is_high_risk_or_cannot_be_taken_back_is_never_a_candidate() {
    let lost = Effect {
        irreversible: true,
        ..effect(&["1"])
    };
    let cases = [
        (true, effect(&["1"]), "@risk"),
        (false, lost, "cannot be taken back"),
    ];
    for (risky, effect, word) in cases {
        let (_folder, bench) = one(0).await;
        for number in 0..51_u64 {
            bench.at(number * 20_000);
            let mut call = bench.call(&format!("UPDATE {number}"));
            call.facts.sql = Some(crate::call::SqlFacts::default());
            let mut ask = asks(&[(1, "dba")]);
            ask.obligations[0].high_risk = risky;
            let id = pending(bench.walk(&call, ask, &effect).await).id;
            bench.at(number * 20_000 + 10);
            let who = THREE[usize::try_from(number).unwrap() % 3];
            bench.approve(who, &["dba"], &id).await;
        }
        let rule = counted(&bench).await.rules.remove(0);
        assert_eq!(rule.candidate, None);
        assert!(rule.not_proposed.unwrap().contains(word));
    }
}
