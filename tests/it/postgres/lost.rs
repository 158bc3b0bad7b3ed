//! Changes that are cut off: cancelled, dropped, ended by the server, or lost at the very COMMIT. Nothing is said to be
//! done that is not, and what nobody can know is said to be unknown.

use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate::call::{Effect, LastLook, Refusal};

use super::changes::{Looks, execute};
use super::{Spec, Stand, code};
use crate::support::until;

/// Takes longer than any test.
pub(super) const ENDLESS: &str = "UPDATE orders SET cents = (SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b)
    WHERE id = 10";
pub(super) const RAISE: &str = "UPDATE orders SET cents = cents + 1 WHERE id = 10";

/// Statements that the server works at for us.
const ACTIVE: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state <> 'idle'";

pub(super) async fn open(stand: &Stand, many: bool) {
    until("as many transactions as there should be", async || {
        ((stand.sql(ACTIVE) != "0") == many).then_some(())
    })
    .await;
}

pub(super) fn cents(stand: &Stand) -> String {
    stand.sql("SELECT cents FROM orders WHERE id = 10")
}

async fn running(stand: &Stand) {
    until("the change runs", async || {
        let found = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active' AND query LIKE 'UPDATE%'";
        (stand.sql(found) == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_that_ends_early_leaves_nothing_and_nothing_running() {
    let stand = Stand::changing("", |_| {}).await;
    // Cancelled while it runs, and while it is only measured.
    for measures in [false, true] {
        let cancel = CancellationToken::new();
        let looks = Looks::default();
        let work = async {
            match measures {
                false => code(&stand.make(execute(ENDLESS, None), None, (&looks, &cancel)).await),
                true => {
                    let dropped = stand.measure(ENDLESS); // nobody waits for it any more
                    tokio::select! { _ = dropped => "done".to_owned(), () = cancel.cancelled() => "cancelled".to_owned() }
                }
            }
        };
        let (said, ()) = tokio::join!(work, async {
            running(&stand).await;
            cancel.cancel();
        });
        assert_eq!(said, "cancelled");
        open(&stand, false).await;
        assert_eq!(cents(&stand), "500");
    }
    // Ended by the server while it runs.
    let (lost, ()) = tokio::join!(stand.change(ENDLESS), async {
        running(&stand).await;
        stand.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'");
    });
    assert_eq!(code(&lost), "target_failed", "{lost}");
    open(&stand, false).await;
    assert_eq!(cents(&stand), "500");
    // Cancelled at the last look.
    struct Leaves(CancellationToken);
    impl LastLook for Leaves {
        fn look<'a>(&'a self, _: Option<&'a Effect>) -> futures::future::BoxFuture<'a, Result<(), Refusal>> {
            self.0.cancel();
            Box::pin(std::future::ready(Ok(())))
        }
        fn progress<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, ()> {
            Box::pin(std::future::ready(()))
        }
    }
    let leaves = Leaves(CancellationToken::new());
    let answer = stand.make(execute(RAISE, None), None, (&leaves, &leaves.0)).await;
    assert_eq!(code(&answer), "cancelled", "{answer}");
    assert_eq!(cents(&stand), "500");
    open(&stand, false).await;
    assert_eq!(stand.change(RAISE).await["status"], "ok");
    assert_eq!(cents(&stand), "501");
}

#[tokio::test]
async fn two_changes_of_one_row_are_never_both_made_of_the_same_moment() {
    let stand = Stand::changing("", |_| {}).await;
    let many = (0..12).map(|_| stand.change(RAISE));
    let answers = futures::future::join_all(many).await;
    let made = answers.iter().filter(|answer| answer["status"] == "ok").count();
    let others = answers.iter().filter(|answer| answer["status"] != "ok");
    for answer in others {
        assert_eq!(code(answer), "target_failed", "{answer}");
        assert_eq!(answer["refusal"]["retry"], json!(true), "{answer}");
    }
    assert!(made > 0);
    assert_eq!(cents(&stand), (500 + made).to_string());
    open(&stand, false).await;
}

/// Where a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    Nowhere,
    /// The server never hears of the COMMIT.
    Before,
    /// Nobody hears its answer.
    After,
    /// It was cut, and no connection is taken any more.
    Gone,
}

/// COMMIT as a simple query: type, length, text, NUL.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Passes everything on, up to the cut.
async fn pass(mut client: TcpStream, mut server: TcpStream, cut: Arc<Mutex<(Cut, bool)>>) {
    let (mut up, mut down) = ([0; 65536], [0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let said = up.get(..read).unwrap();
                let (at, lasting) = *cut.lock().unwrap();
                if at == Cut::Gone { return }
                let commits = at != Cut::Nowhere && at != Cut::Gone && said.windows(COMMIT.len()).any(|part| part == COMMIT);
                if commits && at == Cut::After {
                    server.write_all(said).await.unwrap();
                    assert!(server.read(&mut down).await.unwrap() > 0);
                }
                if commits {
                    cut.lock().unwrap().0 = if lasting { Cut::Gone } else { Cut::Nowhere };
                    return;
                }
                if server.write_all(said).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(down.get(..read).unwrap()).await.is_err() { return }
            }
        }
    }
}

/// Every connection goes through such a wire.
fn wire(spec: &mut Spec, cut: &Arc<Mutex<(Cut, bool)>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let here = listener.local_addr().unwrap().port();
    let there = spec.url.port().unwrap();
    spec.url.set_port(Some(here)).unwrap();
    let cut = Arc::clone(cut);
    tokio::spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            if cut.lock().unwrap().0 == Cut::Gone {
                continue; // and it is closed
            }
            if let Ok(server) = TcpStream::connect(("127.0.0.1", there)).await {
                tokio::spawn(pass(client, server, Arc::clone(&cut)));
            }
        }
    });
}

#[tokio::test]
async fn a_lost_commit_is_what_the_server_says_became_of_it() {
    let cut = Arc::new(Mutex::new((Cut::Nowhere, false)));
    let stand = Stand::changing("", |spec| wire(spec, &cut)).await;
    let mut expected = 500;
    for (at, crash) in [
        (Cut::Before, false),
        (Cut::After, false),
        (Cut::Before, true),
        (Cut::After, true),
    ] {
        *cut.lock().unwrap() = (at, crash);
        let (answer, ()) = tokio::join!(stand.change(RAISE), async {
            if !crash {
                return;
            }
            until("the cut", async || {
                (cut.lock().unwrap().0 == Cut::Gone).then_some(())
            })
            .await;
            let process = stand.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
            kill_process(Pid::from_raw(process.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
            until("the server is back", async || {
                let login = ("postgres", crate::support::postgres::PASSWORD);
                let now = stand.server.sql_as(
                    login,
                    "shop",
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
                );
                now.is_ok_and(|now| now != process && !now.is_empty())
                    .then_some(())
            })
            .await;
            cut.lock().unwrap().0 = Cut::Nowhere;
        });
        match at {
            Cut::After => {
                assert_eq!(answer["status"], "ok", "{at:?} {crash}: {answer}");
                expected += 1;
            }
            _ => {
                assert_eq!(code(&answer), "target_failed", "{at:?} {crash}: {answer}");
                assert!(answer.to_string().contains("nothing was changed"), "{answer}");
            }
        }
        assert_eq!(cents(&stand), expected.to_string(), "{at:?} {crash}");
    }
    // Nobody answers any more.
    *cut.lock().unwrap() = (Cut::After, true);
    let answer = stand.change(RAISE).await;
    assert_eq!(code(&answer), "outcome_unknown", "{answer}");
    assert_eq!(cents(&stand), (expected + 1).to_string());
}

/// The same of a schema change, whose account is another one than the one that is asked.
#[tokio::test]
async fn a_lost_commit_of_a_schema_change_is_what_the_server_says_became_of_it() {
    let cut = Arc::new(Mutex::new((Cut::Nowhere, false)));
    let stand = Stand::defining("", |spec| wire(spec, &cut)).await;
    let there = async |column: &str| {
        let found = format!(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = '{column}'"
        );
        stand.sql(&found) == "1"
    };
    for (at, column, lasting) in [
        (Cut::Before, "one", false),
        (Cut::After, "two", false),
        (Cut::After, "three", true),
        (Cut::Before, "four", true),
    ] {
        *cut.lock().unwrap() = (at, lasting);
        let answer = stand
            .change(&format!("ALTER TABLE orders ADD COLUMN {column} int"))
            .await;
        let said = match (at, lasting) {
            (Cut::After, false) => "none",
            (_, false) => "target_failed",
            (_, true) => "outcome_unknown", // nobody can be asked
        };
        assert_eq!(code(&answer), said, "{column}: {answer}");
        assert_eq!(said == "none", answer["status"] == "ok", "{column}: {answer}");
        until("the server has seen that the connection is gone", async || {
            let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'definer'";
            (stand.sql(left) == "0").then_some(())
        })
        .await;
        assert_eq!(there(column).await, at == Cut::After, "{column}");
        *cut.lock().unwrap() = (Cut::Nowhere, false);
    }
    assert_eq!(
        stand.change("ALTER TABLE orders ADD COLUMN last int").await["status"],
        "ok"
    );
}
