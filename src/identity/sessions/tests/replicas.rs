//! Two processes on one store.

use std::sync::Arc;

use super::bench::*;
use crate::identity::sessions::*;
use crate::identity::{OwnTokens, Reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_redeemed_once_by_whichever_process() {
    let (here, there) = two().await;
    for _ in 0..20 {
        let code = here.code("alice").await;
        let (a, b) = tokio::join!(here.redeem(&code), there.redeem(&code));
        let won = [a, b].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
        assert_eq!(won.len(), 1);
        // The second was a replay, and nobody knows of whom.
        assert_eq!(there.refresh(&won[0].refresh).await.unwrap_err(), Refused::Grant);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_refreshes_of_two_processes_all_work_and_make_one_generation() {
    let (here, there) = two().await;
    for _ in 0..20 {
        let issued = here.open("alice").await;
        let (a, b) = tokio::join!(here.refresh(&issued.refresh), there.refresh(&issued.refresh));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_ne!(a.refresh.as_str(), b.refresh.as_str());
        let next = there.refresh(&a.refresh).await.unwrap();
        here.refresh(&b.refresh).await.unwrap();
        here.clock.advance(61);
        here.admit(&next.access).await.unwrap();
        assert_eq!(
            here.refresh(&b.refresh).await.unwrap_err(),
            Refused::Grant,
            "theft"
        );
        here.refresh(&next.refresh).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_is_asked_by_one_process_at_a_time() {
    let (here, there) = two().await;
    let issued = here.open("alice").await;
    let principal = here.admit(&issued.access).await.unwrap();
    for round in 1..=10 {
        here.clock.advance(600);
        let looks = (0..8).map(|nth| {
            let sessions = if nth % 2 == 0 {
                &here.sessions
            } else {
                &there.sessions
            };
            let (sessions, principal) = (sessions.clone(), principal.clone());
            tokio::spawn(async move { sessions.stands(&principal).await })
        });
        let found = futures::future::join_all(looks).await;
        assert!(
            found.iter().all(|one| matches!(one, Ok(Some(true)))),
            "{round}: {found:?}"
        );
        assert_eq!(here.corp.asked(), round);
        assert!(!here.corp.saw_reuse("alice"));
    }
}

#[tokio::test]
async fn an_end_is_heard_by_the_other_process() {
    let (here, there) = two().await;
    let issued = here.open("alice").await;
    let principal = there.admit(&issued.access).await.unwrap();
    here.sessions
        .end(&issued.session, Why::Administrator)
        .await
        .unwrap();
    // Before anything was heard: what is remembered may still admit, and no effect happens.
    there.admit(&issued.access).await.unwrap();
    assert_eq!(there.sessions.stands(&principal).await, Some(false));
    there.sessions.watch().await.unwrap();
    assert_eq!(there.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert_eq!(there.told(), [issued.session]);
    there.sessions.watch().await.unwrap();
    assert_eq!(there.told(), [""; 0]);
}

#[tokio::test]
async fn an_end_that_nobody_heard_of_counts_after_five_seconds() {
    let (here, there) = two().await;
    let issued = here.open("alice").await;
    there.admit(&issued.access).await.unwrap();
    here.sessions
        .end(&issued.session, Why::Administrator)
        .await
        .unwrap();
    here.clock.advance(4);
    there.admit(&issued.access).await.unwrap();
    here.clock.advance(1);
    assert_eq!(there.admit(&issued.access).await.unwrap_err(), Reason::Ended);
}

#[tokio::test]
async fn ends_are_heard_in_any_number() {
    let (here, there) = two().await;
    for _ in 0..3 {
        here.open("alice").await;
    }
    for card in here.sessions.list(None).await.unwrap() {
        here.sessions.end(&card.id, Why::SignedOut).await.unwrap();
    }
    there.sessions.watch().await.unwrap();
    assert_eq!(there.told().len(), 3);
    let late = here.replica().await;
    late.sessions.watch().await.unwrap();
    assert_eq!(
        late.told(),
        [""; 0],
        "what ended before it began concerns nobody in it"
    );
}

#[tokio::test]
async fn a_rotated_token_that_was_lost_ends_the_session_and_leaves_none_unchecked() {
    let (here, there) = two().await;
    let issued = here.open("alice").await;
    here.clock.advance(600);
    // The provider rotates; then the process that asked is gone, before it could store anything.
    here.corp.wire.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let row = here.session(&issued.session).await;
    let asking = tokio::spawn(here.sessions.clone().ask(row));
    here.until("asked", async || here.corp.asked() == 1).await;
    asking.abort();
    asking.await.unwrap_err();
    here.corp.wire.add_permits(1000);
    // Its claim keeps others from asking until it is known to be gone; nobody is let in meanwhile.
    let soon = std::time::Duration::from_millis(60);
    let meanwhile = tokio::time::timeout(soon, there.admit(&issued.access)).await;
    assert!(!matches!(meanwhile, Ok(Ok(_))));
    assert_eq!(here.corp.asked(), 1);
    here.clock.advance(60);
    assert_eq!(there.admit(&issued.access).await.unwrap_err(), Reason::Ended);
    assert!(here.corp.saw_reuse("alice"));
    assert_eq!(
        here.session(&issued.session).await.ended_why.as_deref(),
        Some("provider")
    );
}

#[tokio::test]
async fn an_answer_that_comes_after_the_end_changes_nothing() {
    let (here, there) = two().await;
    let issued = here.open("alice").await;
    here.clock.advance(600);
    here.corp.wire.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let row = here.session(&issued.session).await;
    let asking = tokio::spawn(here.sessions.clone().ask(row));
    here.until("asked", async || here.corp.asked() == 1).await;
    there
        .sessions
        .end(&issued.session, Why::Administrator)
        .await
        .unwrap();
    here.corp.wire.add_permits(1000);
    asking.await.unwrap();
    let row = here.session(&issued.session).await;
    assert_eq!(
        (row.sealed, row.ended_why.as_deref()),
        (None, Some("administrator"))
    );
    here.admit(&issued.access).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_races_with_the_end_leaves_nothing_that_works() {
    let (here, there) = two().await;
    for round in 0..20 {
        let issued = here.open("alice").await;
        let (refreshed, ended) = if round % 2 == 0 {
            tokio::join!(
                here.refresh(&issued.refresh),
                there.sessions.end(&issued.session, Why::Administrator)
            )
        } else {
            let (ended, refreshed) = tokio::join!(
                there.sessions.end(&issued.session, Why::Administrator),
                here.refresh(&issued.refresh)
            );
            (refreshed, ended)
        };
        assert!(ended.unwrap());
        here.sessions.watch().await.unwrap();
        if let Ok(issued) = refreshed {
            here.admit(&issued.access).await.unwrap_err();
            here.refresh(&issued.refresh).await.unwrap_err();
        }
    }
}

async fn two() -> (Arc<Bench>, Arc<Bench>) {
    let here = Bench::new().await;
    let there = here.replica().await;
    (Arc::new(here), Arc::new(there))
}
