//! The server crashes (`kill -9` of the process that works for a call) or is shut down, in every phase of one: no write
//! is told that is not there, nothing goes on in the server, and what nobody can know is said to be unknown.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tollgate::call::{Code, Request};

use super::lost::{ENDLESS, RAISE, cents, open};
use super::{Stand, code, query};
use crate::support::until;

/// The process that works for us at a statement like this.
fn worker(condition: &str) -> String {
    format!("SELECT pid FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active' AND {condition}")
}

/// The server goes away under the statement that `condition` describes, while `work` waits for it: a crash of it all
/// when `hard`, from which it comes back by itself. What `work` then says, with the server back.
async fn gone<T>(stand: &mut Stand, hard: bool, condition: &str, work: impl AsyncFn(&Stand) -> T) -> T {
    let postmaster = "SELECT pg_postmaster_start_time()::text || (SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer')";
    let before = stand.sql(postmaster);
    let (said, ()) = {
        let stand = &*stand;
        tokio::join!(work(stand), async {
            let pid = until("the server is at it", async || {
                Some(stand.sql(&worker(condition))).filter(|pid| !pid.is_empty())
            })
            .await;
            match hard {
                true => kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap(),
                false => stand.server.shut_down(),
            }
        })
    };
    if !hard {
        stand.server.stop(false);
        stand.server.again().await;
    }
    let stand = &*stand;
    until("the server is back", async || {
        let login = ("postgres", crate::support::postgres::PASSWORD);
        let now = stand.server.sql_as(login, "shop", postmaster).ok()?;
        (now != before && !now.is_empty()).then_some(())
    })
    .await;
    open(stand, false).await;
    said
}

#[tokio::test]
async fn whatever_the_server_was_at_when_it_went_away_nothing_is_told_that_is_not_so() {
    let mut stand = Stand::changing("", |spec| spec.limits.seconds = 300).await;
    let never = CancellationToken::new();
    let read = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    for hard in [true, false] {
        // In a read.
        let reads = async |stand: &Stand| {
            let request = Request::SqlQuery(query(read));
            stand.call(&["analyst"], request, &never).await
        };
        let said = gone(&mut stand, hard, "query LIKE 'FETCH%'", reads).await;
        assert_eq!(code(&said), "target_failed", "{hard}: {said}");
        assert_eq!(said["refusal"]["retry"], true, "{said}");
        // In a measurement: there is none, and nothing of it stays.
        let measures = async |stand: &Stand| stand.measure(ENDLESS).await;
        let said = gone(&mut stand, hard, "query LIKE 'UPDATE%'", measures).await;
        assert_eq!(said.unwrap_err().code, Code::TargetFailed, "{hard}");
        assert_eq!(cents(&stand), "500");
        // In a change.
        let changes = async |stand: &Stand| stand.change(ENDLESS).await;
        let said = gone(&mut stand, hard, "query LIKE 'UPDATE%'", changes).await;
        assert_eq!(code(&said), "target_failed", "{hard}: {said}");
        assert_eq!(cents(&stand), "500");
    }
    assert_eq!(stand.change(RAISE).await["status"], "ok");
    assert_eq!(cents(&stand), "501");
}

/// A COMMIT that waits for a standby which never comes is on the server's own disk, and not answered.
#[tokio::test]
async fn a_server_that_goes_away_at_a_commit_leaves_what_it_says_or_an_unknown_outcome() {
    let mut stand = Stand::changing("", |spec| spec.limits.seconds = 300).await;
    let mut expected = 500;
    for hard in [true, false] {
        stand.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        stand.sql("SELECT pg_reload_conf()");
        let raise = async |stand: &Stand| -> Value { stand.change(RAISE).await };
        let said = gone(&mut stand, hard, "wait_event = 'SyncRep'", raise).await;
        stand.sql("ALTER SYSTEM RESET synchronous_standby_names");
        stand.sql("SELECT pg_reload_conf()");
        expected += 1;
        let made = said["status"] == "ok";
        assert!(made || code(&said) == "outcome_unknown", "{hard}: {said}");
        assert_eq!(cents(&stand), expected.to_string(), "{hard}");
    }
}
