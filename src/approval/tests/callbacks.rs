//! Decisions by signed callback: one vote, about what the notice told, once; and what is claimed with it gives nothing.

use std::sync::Arc;

use super::bench::*;
use crate::approval::Settings;
use crate::approval::callbacks::Callback;
use crate::approval::review::{Choice, NotDecided, Reviewer, State, Via, Wish};
use crate::call::{ApprovalId, Effect, Unmet, UserKind};
use crate::clock::Timestamp;
use crate::identity::CALLBACK;
use crate::policy::{Ask, Grantable};

/// What the portal was told of a request, and says of it.
async fn callback(bench: &Bench, name: &str, id: &ApprovalId, on_behalf: Option<&str>) -> Callback {
    let events = bench.approvals.events().unwrap();
    Callback {
        integration: name.to_owned(),
        message: "msg_1".to_owned(),
        nonce: events.nonce(id, name).await.unwrap(),
        decide_by: Timestamp(bench.row(id).await.decide_by).rfc3339(),
        on_behalf: on_behalf.map(str::to_owned),
    }
}

fn portal(bench: &Bench, groups: &[&str], callback: Callback) -> Reviewer {
    let mut reviewer = bench.reviewer(&callback.integration, groups);
    reviewer.user.issuer = CALLBACK.to_owned();
    reviewer.user.kind = UserKind::Service;
    reviewer.via = Via::Callback(callback);
    reviewer
}

async fn send(bench: &Bench, who: &Reviewer, id: &ApprovalId, choice: Choice) -> Result<State, NotDecided> {
    let seen = bench.signed(id).await;
    let decided = bench
        .approvals
        .decide(who, &bench.rules(), id, choice, &seen)
        .await;
    decided.map(|card| card.state)
}

async fn approves(
    bench: &Bench,
    name: &str,
    groups: &[&str],
    id: &ApprovalId,
    person: &str,
) -> Result<State, NotDecided> {
    let callback = callback(bench, name, id, Some(person)).await;
    send(bench, &portal(bench, groups, callback), id, Choice::Approve).await
}

async fn asked(bench: &Bench, statement: &str, ask: Ask) -> ApprovalId {
    let unmet = bench.walk(&bench.call(statement), ask, &effect(&["1"])).await;
    pending(unmet).id
}

#[tokio::test]
async fn an_integration_in_the_group_approves_once_and_is_on_record_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let granted = approves(&bench, "portal", &["dba"], &id, "corp#dan").await;
    assert_eq!(granted, Ok(State::Granted));
    let events = bench.book.events.lock().unwrap().clone();
    let approved = events.iter().find(|one| one.event == "approved").unwrap();
    assert_eq!(approved.by.as_deref(), Some("callback#portal"));
    let method = approved.method.as_deref();
    assert_eq!(
        method,
        Some("callback portal msg_1, claimed on behalf of corp#dan")
    );
    bench.evidence(&bench.call("UPDATE 1")).await;
}

#[tokio::test]
async fn without_a_group_it_sees_nothing_and_where_policy_forbids_it_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    for groups in [&[][..], &["ops"]] {
        let decided = approves(&bench, "portal", groups, &id, "corp#dan").await;
        assert_eq!(decided, Err(NotDecided::Unknown), "{groups:?}");
    }
    let id = asked(&bench, "UPDATE 2", asks(&[(1, "ops")])).await; // ops are asked and may not approve
    let decided = approves(&bench, "portal", &["ops"], &id, "corp#dan").await;
    assert_eq!(decided, Err(NotDecided::NotAsked));
}

/// H3: whose name the integration gives may only take away. The requester's own is no approval, and none is none.
#[tokio::test]
async fn h3_on_behalf_of_the_requester_or_of_nobody_is_no_approval() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = bench.opened("UPDATE 1").await;
    let own = approves(&bench, "portal", &["dba"], &id, "corp#asker").await;
    assert_eq!(own, Err(NotDecided::OwnRequest));
    let silent = callback(&bench, "portal", &id, None).await;
    let silent = portal(&bench, &["dba"], silent);
    let decided = send(&bench, &silent, &id, Choice::Approve).await;
    assert!(matches!(decided, Err(NotDecided::NotOffered(_))), "{decided:?}");
    // None of that spent the nonce.
    assert_eq!(
        send(&bench, &silent, &id, Choice::Refuse("no".to_owned())).await,
        Ok(State::Refused)
    );
}

/// H4: one person is one person, in person and through as many integrations as there are.
#[tokio::test]
async fn h4_one_person_is_counted_once_however_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let two = || asks(&[(2, "dba")]);
    // In person first.
    let id = asked(&bench, "UPDATE 1", two()).await;
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
    let again = approves(&bench, "portal", &["dba"], &id, "corp#dan").await;
    assert_eq!(again, Err(NotDecided::Twice));
    // The integration first: the person may, and the two are one.
    let id = asked(&bench, "UPDATE 2", two()).await;
    let first = approves(&bench, "portal", &["dba"], &id, "corp#dan").await;
    assert_eq!(first, Ok(State::Pending));
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
    let posting = bench
        .approvals
        .events()
        .unwrap()
        .posting(&id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(posting.approved_by.len(), 1);
    assert_eq!(bench.approve("eve", &["dba"], &id).await, State::Granted);
    // Two integrations for one person; and one for two people.
    let id = asked(&bench, "UPDATE 3", two()).await;
    let first = approves(&bench, "portal", &["dba"], &id, "corp#dan").await;
    assert_eq!(first, Ok(State::Pending));
    let same = approves(&bench, "desk", &["dba"], &id, "corp#dan").await;
    assert_eq!(same, Err(NotDecided::Twice));
    let other = approves(&bench, "portal", &["dba"], &id, "corp#eve").await;
    assert_eq!(other, Err(NotDecided::Twice));
    assert_eq!(bench.row(&id).await.state, "pending");
}

/// H3, H4: a name that is spelled another way names the same person. A claim is typed somewhere, and only takes away.
#[tokio::test]
async fn h4_another_spelling_is_not_another_person() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = asked(&bench, "UPDATE 1", asks(&[(2, "dba")])).await;
    for own in [
        "corp#Asker",
        "corp#ASKER",
        "corp#\u{ff41}sker",
        "corp#as ker",
        "corp#asker\u{200b}",
    ] {
        let decided = approves(&bench, "portal", &["dba"], &id, own).await;
        assert_eq!(decided, Err(NotDecided::OwnRequest), "{own:?}");
    }
    assert_eq!(bench.approve("jose\u{301}", &["dba"], &id).await, State::Pending);
    for same in ["corp#jos\u{e9}", "corp#JOS\u{c9}"] {
        let decided = approves(&bench, "portal", &["dba"], &id, same).await;
        assert_eq!(decided, Err(NotDecided::Twice), "{same}");
    }
    // The integration first, and then the person; and a second integration for them.
    let id = asked(&bench, "UPDATE 2", asks(&[(2, "dba")])).await;
    let first = approves(&bench, "portal", &["dba"], &id, "corp#Dan").await;
    assert_eq!(first, Ok(State::Pending));
    let second = approves(&bench, "desk", &["dba"], &id, "corp#DAN").await;
    assert_eq!(second, Err(NotDecided::Twice));
    assert_eq!(bench.approve("dan", &["dba"], &id).await, State::Pending);
    assert_eq!(bench.approve("eve", &["dba"], &id).await, State::Granted);
}

/// H4: an integration in both groups that are asked takes one seat.
#[tokio::test]
async fn h4_an_integration_in_two_groups_has_one_vote() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = asked(&bench, "UPDATE 1", asks(&[(1, "dba"), (1, "security")])).await;
    let one = approves(&bench, "portal", &["dba", "security"], &id, "corp#dan").await;
    assert_eq!(one, Ok(State::Pending));
    assert_eq!(bench.approve("sue", &["security"], &id).await, State::Granted);
}

#[tokio::test]
async fn what_a_notice_told_of_another_request_action_or_deadline_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let (one, other) = (bench.opened("UPDATE 1").await, bench.opened("UPDATE 2").await);
    let told = callback(&bench, "portal", &one, Some("corp#dan")).await;
    let elsewhere = callback(&bench, "desk", &one, Some("corp#dan")).await;
    let wrong = [
        (told.clone(), &other),
        (
            Callback {
                nonce: elsewhere.nonce,
                ..told.clone()
            },
            &one,
        ),
        (
            Callback {
                nonce: "0".repeat(64),
                ..told.clone()
            },
            &one,
        ),
        (
            Callback {
                nonce: String::new(),
                ..told.clone()
            },
            &one,
        ),
        (
            Callback {
                nonce: told.nonce.to_uppercase() + " ",
                ..told.clone()
            },
            &one,
        ),
        (
            Callback {
                decide_by: "2099-01-01T00:00:00.000Z".to_owned(),
                ..told.clone()
            },
            &one,
        ),
    ];
    for (callback, id) in wrong {
        let decided = send(&bench, &portal(&bench, &["dba"], callback), id, Choice::Approve).await;
        assert_eq!(decided, Err(NotDecided::Changed));
    }
    let right = portal(&bench, &["dba"], told);
    let seen = bench.signed(&other).await;
    let decided = bench
        .approvals
        .decide(&right, &bench.rules(), &one, Choice::Approve, &seen)
        .await;
    assert_eq!(decided.map(|card| card.state), Err(NotDecided::Changed));
    assert_eq!(
        send(&bench, &right, &one, Choice::Approve).await,
        Ok(State::Granted)
    );
}

#[tokio::test]
async fn a_callback_counts_once_and_not_after_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let id = asked(&bench, "UPDATE 1", asks(&[(2, "dba")])).await;
    let told = callback(&bench, "portal", &id, Some("corp#dan")).await;
    let who = portal(&bench, &["dba"], told);
    assert_eq!(send(&bench, &who, &id, Choice::Approve).await, Ok(State::Pending));
    for choice in [Choice::Approve, Choice::Refuse("no".to_owned())] {
        assert_eq!(send(&bench, &who, &id, choice).await, Err(NotDecided::Twice));
    }
    let late = bench.opened("UPDATE 2").await;
    let told = callback(&bench, "portal", &late, Some("corp#dan")).await;
    bench.at(1800);
    let decided = send(&bench, &portal(&bench, &["dba"], told), &late, Choice::Approve).await;
    assert_eq!(decided, Err(NotDecided::Final("expired")));
}

/// H9: two processes on one store, the same message to both at once: one takes it.
#[tokio::test(flavor = "multi_thread")]
async fn h9_two_replicas_take_one_message_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (bench(folder.path(), 1).await, bench(folder.path(), 2).await);
    let (one, two) = (Arc::new(one), Arc::new(two));
    for round in 0..8 {
        let id = asked(&one, &format!("UPDATE {round}"), asks(&[(2, "dba")])).await;
        let told = callback(&one, "portal", &id, Some("corp#dan")).await;
        assert_eq!(
            told,
            callback(&two, "portal", &id, Some("corp#dan")).await,
            "one nonce, whoever tells"
        );
        let tries = [&one, &two, &one, &two].map(|bench| {
            let (bench, id, told) = (Arc::clone(bench), id.clone(), told.clone());
            tokio::spawn(async move {
                let who = portal(&bench, &["dba"], told);
                send(&bench, &who, &id, Choice::Approve).await
            })
        });
        let mut taken = 0;
        for one in tries {
            match one.await.unwrap() {
                Ok(state) => {
                    assert_eq!(state, State::Pending);
                    taken += 1;
                }
                Err(why) => assert_eq!(why, NotDecided::Twice),
            }
        }
        assert_eq!(taken, 1);
        one.approvals
            .cancel(&one.reviewer("eve", &["dba"]), &one.rules(), &id)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_is_high_risk_or_cannot_be_undone_takes_no_callback_and_nothing_is_approved_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let mut risky = asks(&[(1, "dba")]);
    for one in &mut risky.obligations {
        one.high_risk = true;
    }
    let gone = Effect {
        irreversible: true,
        ..effect(&["1"])
    };
    let undone = match bench
        .walk(&bench.call("UPDATE 2"), asks(&[(1, "dba")]), &gone)
        .await
    {
        Err(Unmet::Pending(pending)) => pending.id,
        other => panic!("{other:?}"),
    };
    for id in [asked(&bench, "UPDATE 1", risky).await, undone] {
        let told = callback(&bench, "portal", &id, Some("corp#dan")).await;
        let who = portal(&bench, &["dba"], told);
        for choice in [Choice::Approve, Choice::Refuse("no".to_owned())] {
            let decided = send(&bench, &who, &id, choice).await;
            assert!(matches!(decided, Err(NotDecided::OnItsPage(..))), "{decided:?}");
        }
        let withdrawn = bench.approvals.cancel(&who, &bench.rules(), &id).await;
        assert!(withdrawn.is_err());
    }
    let mut lasting = asks(&[(1, "dba")]);
    for one in &mut lasting.obligations {
        one.grantable = Some(Grantable {
            seconds: 600,
            uses: 3,
            rows: None,
        });
    }
    let id = asked(&bench, "UPDATE 3", lasting).await;
    let told = callback(&bench, "portal", &id, Some("corp#dan")).await;
    let who = portal(&bench, &["dba"], told);
    let wish = Wish {
        minutes: 5,
        uses: 1,
        rows: None,
        session: false,
        free: std::collections::BTreeSet::new(),
    };
    assert!(send(&bench, &who, &id, Choice::ApproveFor(wish)).await.is_err());
    let withdrawn = bench.approvals.cancel(&who, &bench.rules(), &id).await;
    assert_eq!(withdrawn.map(|card| card.state), Err(NotDecided::NotAsked));
}

#[tokio::test]
async fn nobody_names_an_integration_to_stand_in_and_keys_are_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        delegation_days: 7,
        ..Settings::default()
    };
    let bench = bench_with(folder.path(), 1, settings).await;
    let id = bench.opened("UPDATE 1").await;
    bench.store.tamper(
        &[],
        &format!(
            "INSERT INTO approval_delegation VALUES ('d','corp','dan','callback','portal','dba',{},{},{START},NULL,NULL)",
            START - 1,
            START + 100_000 * SECOND
        ),
    );
    let decided = approves(&bench, "portal", &[], &id, "corp#eve").await;
    assert_eq!(decided, Err(NotDecided::Unknown));
    let keyed = Settings {
        security_key: true,
        ..Settings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let bench = bench_with(folder.path(), 1, keyed).await;
    let id = bench.opened("UPDATE 1").await;
    let decided = approves(&bench, "portal", &["dba"], &id, "corp#eve").await;
    assert!(matches!(decided, Err(NotDecided::OnItsPage(..))), "{decided:?}");
}
