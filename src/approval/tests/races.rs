//! A thousand races between two views of one file, each with its own connections, clock and memory, as
//! two processes have them (incident note H9).

use std::sync::Arc;

use super::bench::*;
use crate::approval::review::{Choice, NotDecided, State};
use crate::approval::*;
use crate::call::refusal::Code;

/// Races of each kind.
const ROUNDS: u64 = 170;

struct Two {
    here: Arc<Bench>,
    there: Arc<Bench>,
    _folder: tempfile::TempDir,
}

async fn two() -> Two {
    let folder = tempfile::tempdir().unwrap();
    let one = async |seed| {
        let settings = Settings {
            requests_per_hour: 100_000,
            ..Settings::default()
        };
        Arc::new(bench_with(folder.path(), seed, settings).await)
    };
    Two {
        here: one(1).await,
        there: one(2).await,
        _folder: folder,
    }
}

impl Two {
    fn at(&self, here: u64, there: u64) {
        self.here.at(here);
        self.there.at(there);
    }

    /// Runs both at once; who is started first alternates.
    async fn race<A, B>(&self, round: u64, a: A, b: B) -> (A::Output, B::Output)
    where
        A: Future<Output: Send> + Send + 'static,
        B: Future<Output: Send> + Send + 'static,
    {
        if round.is_multiple_of(2) {
            let (a, b) = (tokio::spawn(a), tokio::spawn(b));
            (a.await.unwrap(), b.await.unwrap())
        } else {
            let (b, a) = (tokio::spawn(b), tokio::spawn(a));
            (a.await.unwrap(), b.await.unwrap())
        }
    }

    async fn granted(&self, round: u64) -> ApprovalId {
        let id = self.here.opened(&statement(round)).await;
        assert_eq!(self.here.approve("dan", &["dba"], &id).await, State::Granted);
        id
    }

    async fn transitions(&self, id: &ApprovalId) -> Vec<String> {
        let rows = crate::store::rows::Rows::new(self.here.store.clone());
        let mut tx = rows.read().await.unwrap();
        let events = tx.events_of(&id.0).await.unwrap();
        tx.commit().await.unwrap();
        events.into_iter().map(|event| event.word).collect()
    }
}

fn statement(round: u64) -> String {
    format!("UPDATE {round}")
}

/// One executor, up to the moment in which its effect becomes final; gives whether that may happen.
async fn execute(bench: Arc<Bench>, round: u64) -> Result<(), Unmet> {
    let call = bench.call(&statement(round));
    bench.intended(&call);
    let evidence = bench
        .walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"]))
        .await?;
    let following = bench.approvals.follow(&call.arrival.call_id);
    let spent = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["2"])), &bench.rules())
        .await;
    if spent.is_ok() {
        following.settle(true).await;
    }
    spent
}

fn decision(
    bench: &Arc<Bench>,
    who: &'static str,
    id: &ApprovalId,
    choice: Choice,
) -> impl Future<Output = Result<State, NotDecided>> + Send + 'static {
    let (bench, id) = (bench.clone(), id.clone());
    async move { bench.decide(who, &["dba"], &id, choice).await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_two_deciders() {
    let two = two().await;
    for round in 0..ROUNDS {
        let id = two.here.opened(&statement(round)).await;
        let second = match round % 3 {
            0 => Choice::Refuse("no".to_owned()),
            _ => Choice::Approve,
        };
        let who = if round % 3 == 1 { "dan" } else { "eve" };
        let refuses = second != Choice::Approve;
        let (a, b) = two
            .race(
                round,
                decision(&two.here, "dan", &id, Choice::Approve),
                decision(&two.there, who, &id, second),
            )
            .await;
        let end = two.here.row(&id).await.state;
        if refuses {
            assert_eq!(
                (b, end.as_str()),
                (Ok(State::Refused), "refused"),
                "any refusal wins"
            );
            assert!(
                matches!(
                    a,
                    Ok(State::Granted | State::Refused) | Err(NotDecided::Final("refused"))
                ),
                "{a:?}"
            );
        } else {
            let won = [&a, &b].into_iter().filter(|one| one.is_ok()).count();
            assert_eq!((won, end.as_str()), (1, "granted"), "{a:?} {b:?}");
        }
        let words = two.transitions(&id).await;
        assert!(
            words.iter().filter(|word| *word == "granted").count() <= 1,
            "{words:?}"
        );
        if end == "granted" {
            two.here
                .approvals
                .cancel(&two.here.reviewer("dan", &["dba"]), &two.here.rules(), &id)
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_two_halves_of_a_quorum_grant_once() {
    let two = two().await;
    for round in 0..ROUNDS {
        let call = two.here.call(&statement(round));
        let id = pending(two.here.walk(&call, asks(&[(2, "dba")]), &effect(&["1"])).await).id;
        let (a, b) = two
            .race(
                round,
                decision(&two.here, "dan", &id, Choice::Approve),
                decision(&two.there, "eve", &id, Choice::Approve),
            )
            .await;
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        let words = two.transitions(&id).await;
        assert_eq!(words, ["requested", "approved", "approved", "granted"]);
        two.here
            .approvals
            .cancel(&two.here.reviewer("dan", &["dba"]), &two.here.rules(), &id)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_a_decider_against_the_clock_of_another_process() {
    let two = two().await;
    for round in 0..ROUNDS {
        let start = round * 10_000;
        two.at(start, start);
        let id = two.here.opened(&statement(round)).await;
        two.at(start + 1799, start + 1800);
        let there = two.there.clone();
        let (decided, ticked) = two
            .race(
                round,
                decision(&two.here, "dan", &id, Choice::Approve),
                async move { there.approvals.tick().await },
            )
            .await;
        ticked.unwrap();
        let end = two.here.row(&id).await.state;
        match decided {
            Ok(State::Granted) => assert_eq!(end, "granted"),
            Err(NotDecided::Final("expired")) => assert_eq!(end, "expired"),
            other => panic!("{other:?} and {end}"),
        }
        assert_eq!(two.transitions(&id).await.last(), Some(&end));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_a_decider_against_a_withdrawal() {
    let two = two().await;
    for round in 0..ROUNDS {
        let id = two.here.opened(&statement(round)).await;
        let (there, of) = (two.there.clone(), id.clone());
        let withdraws = async move {
            let asker = there.reviewer("asker", &["dba"]);
            there.approvals.cancel(&asker, &there.rules(), &of).await
        };
        let (decided, withdrawn) = two
            .race(round, decision(&two.here, "dan", &id, Choice::Approve), withdraws)
            .await;
        assert_eq!(withdrawn.unwrap().state, State::Cancelled);
        assert!(
            matches!(
                decided,
                Ok(State::Granted | State::Cancelled) | Err(NotDecided::Final("cancelled"))
            ),
            "{decided:?}"
        );
        assert_eq!(two.here.row(&id).await.state, "cancelled");
        let refusal = refused(execute_held(&two, round, &id).await);
        assert_eq!(refusal.code, Code::ApprovalDenied);
    }
}

/// Tries to spend a request without asking whether it is granted, as an executor that came too late.
async fn execute_held(two: &Two, round: u64, id: &ApprovalId) -> Result<(), Unmet> {
    let call = two.there.call(&statement(round));
    let row = two.there.row(id).await;
    let evidence = Evidence {
        approved: Some(crate::call::Approved {
            id: id.clone(),
            action_sha256: Hash(row.action_sha256),
            approvers: Vec::new(),
            effect: Some(effect(&["1", "2"])),
            bound: crate::call::Bound::Keys,
            grant: None,
            break_glass: None,
        }),
        ..Evidence::default()
    };
    two.there
        .approvals
        .spend(
            call.subject(),
            &evidence,
            Some(&effect(&["1"])),
            &two.there.rules(),
        )
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_two_executors_one_run() {
    let two = two().await;
    for round in 0..ROUNDS {
        let id = two.granted(round).await;
        let (a, b) = two
            .race(
                round,
                execute(two.here.clone(), round),
                execute(two.there.clone(), round),
            )
            .await;
        let runs = [&a, &b].into_iter().filter(|one| one.is_ok()).count();
        assert_eq!(runs, 1, "{a:?} {b:?}");
        let lost = if a.is_ok() { b } else { a };
        match lost {
            Err(Unmet::Answered(call_id)) => {
                assert_eq!(two.here.row(&id).await.call_id.as_deref(), Some(call_id.as_str()));
            }
            Err(Unmet::Pending(pending)) => assert!(pending.note.contains("carried out now")),
            other => panic!("{other:?}"),
        }
        let words = two.transitions(&id).await;
        assert_eq!(words, ["requested", "approved", "granted", "spent", "answered"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h9_an_executor_against_the_clock_and_against_a_refusal() {
    let two = two().await;
    for round in 0..ROUNDS {
        let start = round * 10_000;
        two.at(start, start);
        let id = two.granted(round).await;
        let runs = execute(two.here.clone(), round);
        if round % 4 < 2 {
            two.at(start + 599, start + 600);
            let there = two.there.clone();
            let (ran, ticked) = two
                .race(round, runs, async move { there.approvals.tick().await })
                .await;
            ticked.unwrap();
            let end = two.here.row(&id).await.state;
            match ran {
                Ok(()) => assert_eq!(end, "spent"),
                // Before it had evidence: the same call is a request again, and has not run.
                Err(Unmet::Pending(new)) => assert!(end == "expired" && new.id != id),
                Err(Unmet::Refused(refusal)) => {
                    assert_eq!((refusal.code, end.as_str()), (Code::ApprovalExpired, "expired"));
                }
                other => panic!("{other:?}"),
            }
        } else {
            let refuses = decision(&two.there, "eve", &id, Choice::Refuse("no".to_owned()));
            let (ran, refused) = two.race(round, runs, refuses).await;
            assert_ne!(ran.is_ok(), refused.is_ok(), "{ran:?} {refused:?}");
            let end = if ran.is_ok() { "spent" } else { "refused" };
            assert_eq!(two.here.row(&id).await.state, end);
        }
        let words = two.transitions(&id).await;
        assert!(words.iter().filter(|word| *word == "spent").count() <= 1);
        two.at(start + 5_000, start + 5_000); // whatever was asked anew is over
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_identical_call_twice_at_once_is_one_request() {
    let two = two().await;
    for round in 0..ROUNDS / 2 {
        let asks_here = |bench: Arc<Bench>| async move {
            let call = bench.call(&statement(round));
            pending(bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1"])).await).id
        };
        let (a, b) = two
            .race(round, asks_here(two.here.clone()), asks_here(two.there.clone()))
            .await;
        assert_eq!(a, b);
        two.here
            .approvals
            .cancel(&two.here.reviewer("dan", &["dba"]), &two.here.rules(), &a)
            .await
            .unwrap();
    }
}
