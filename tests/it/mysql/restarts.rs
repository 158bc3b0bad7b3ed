//! The server is killed (`kill -9`) or shut down while it works for a call, in every phase of one: no write is told that
//! is not there, nothing goes on in the server, and what nobody can know is said to be unknown.

use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Executor};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tollgate::call::{Effect, LastLook, Refusal, Request};

use super::changes::execute;
use super::lost::{ENDLESS, RAISE, cents, closed, running, stand};
use super::{Stand, code, mysql, query};
use crate::support::until;

/// The server is gone while `call` waits for it; what the call then says, with the server back.
async fn gone<T>(
    stand: &mut Stand,
    hard: bool,
    work: impl AsyncFn(&Stand) -> T,
    at: impl AsyncFn(&Stand),
) -> T {
    let (said, ()) = {
        let stand = &*stand;
        tokio::join!(work(stand), async {
            at(stand).await;
            stand.server.signal(hard);
        })
    };
    stand.server.stop(hard);
    stand.server.again().await;
    closed(stand).await;
    said
}

#[tokio::test]
async fn whatever_the_server_was_at_when_it_went_away_nothing_is_told_that_is_not_so() {
    let mut stand = stand(|spec| spec.limits.seconds = 300).await;
    let never = CancellationToken::new();
    let read = "SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n = 7";
    for hard in [true, false] {
        // In a read.
        let reads = async |stand: &Stand| {
            let request = Request::SqlQuery(query(read));
            stand.call(&["analyst"], request, &never).await
        };
        let said = gone(&mut stand, hard, reads, async |stand| {
            let found = "SELECT id FROM information_schema.processlist WHERE user = 'reader' AND command = 'Execute' AND info LIKE '%numbers%'";
            until("the read runs", async || (!stand.sql(found).is_empty()).then_some(())).await;
        })
        .await;
        assert_eq!(code(&said), "target_failed", "{hard}: {said}");
        assert_eq!(said["refusal"]["retry"], true, "{said}");
        // In a measurement: there is none, and nothing of it stays.
        let measures = async |stand: &Stand| stand.measure(ENDLESS).await;
        let said = gone(&mut stand, hard, measures, async |stand| {
            running(stand).await;
        })
        .await;
        assert_eq!(
            said.unwrap_err().code,
            tollgate::call::Code::TargetFailed,
            "{hard}"
        );
        assert_eq!(cents(&stand), "500");
        // In a change.
        let changes = async |stand: &Stand| stand.change(ENDLESS).await;
        let said = gone(&mut stand, hard, changes, async |stand| {
            running(stand).await;
        })
        .await;
        assert_eq!(code(&said), "target_failed", "{hard}: {said}");
        assert_eq!(cents(&stand), "500");
    }
    assert_eq!(stand.change(RAISE).await["status"], "ok");
    assert_eq!(cents(&stand), "501");
}

/// From the last look on nobody may commit, as while a backup is made.
struct Blocks(Mutex<MySqlConnection>);

impl LastLook for Blocks {
    fn look<'a>(&'a self, _: Option<&'a Effect>) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async {
            let mut conn = self.0.lock().await;
            for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
                let stage = sqlx::AssertSqlSafe(format!("BACKUP STAGE {stage}"));
                conn.execute(sqlx::raw_sql(stage)).await.unwrap();
            }
            Ok(())
        })
    }

    fn progress<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

async fn backup(stand: &Stand) -> Blocks {
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(stand.spec.url.port().unwrap())
        .username("root")
        .password(mysql::PASSWORD)
        .ssl_mode(MySqlSslMode::Disabled);
    Blocks(Mutex::new(options.connect().await.unwrap()))
}

#[tokio::test]
async fn a_server_that_goes_away_at_a_commit_leaves_an_unknown_outcome() {
    let mut stand = stand(|spec| spec.limits.seconds = 300).await;
    let never = CancellationToken::new();
    for hard in [true, false] {
        let before: u32 = cents(&stand).parse().unwrap();
        let blocks = backup(&stand).await;
        let raise = async |stand: &Stand| -> Value {
            stand.make(execute(RAISE, None), None, (&blocks, &never)).await
        };
        let said = gone(&mut stand, hard, raise, async |stand| {
            let found =
                "SELECT id FROM information_schema.processlist WHERE user = 'writer' AND info = 'COMMIT'";
            until("the COMMIT waits", async || {
                (!stand.sql(found).is_empty()).then_some(())
            })
            .await;
        })
        .await;
        let after: u32 = cents(&stand).parse().unwrap();
        // Who is killed has not committed; who is told to end may let it go on. Nobody is there to be asked; and whoever
        // says what became of it is right.
        match (code(&said).as_str(), hard) {
            ("outcome_unknown", true) => assert_eq!(after, before),
            ("outcome_unknown", false) => assert!(after == before || after == before + 1, "{after}"),
            ("target_failed", _) => {
                assert!(said.to_string().contains("nothing was changed"), "{said}");
                assert_eq!(after, before);
            }
            (_, false) if said["status"] == "ok" => assert_eq!(after, before + 1),
            _ => panic!("{hard}: {said}"),
        }
    }
    assert_eq!(stand.change(RAISE).await["status"], "ok");
}
