//! Changes that are cut off: cancelled, dropped, ended by the server, or lost at the very COMMIT. Nothing is said to be
//! done that is not, and what nobody can know is said to be unknown.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate::call::{Effect, LastLook, Refusal};

use super::changes::{Looks, execute, make};
use super::{SHOP, Stand, code};
use crate::support::until;

/// Takes longer than any test; the numbers are read and not locked each.
pub(super) const ENDLESS: &str = "UPDATE orders SET cents = (SELECT COUNT(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n = 7)
    WHERE id = 10";
pub(super) const RAISE: &str = "UPDATE orders SET cents = cents + 1 WHERE id = 10";
const NUMBERS: &str =
    "CREATE TABLE numbers (n int PRIMARY KEY); INSERT INTO numbers SELECT seq FROM seq_1_to_20000";

pub(super) async fn stand(change: impl FnOnce(&mut super::Spec)) -> Stand {
    Stand::changing(&[SHOP, NUMBERS], |spec| {
        spec.columns.insert("numbers.n".to_owned(), "public".to_owned());
        change(spec);
    })
    .await
}

pub(super) fn cents(stand: &Stand) -> String {
    stand.sql("SELECT cents FROM orders WHERE id = 10")
}

const RUNNING: &str =
    "SELECT id FROM information_schema.processlist WHERE user = 'writer' AND info LIKE '%UPDATE `shop`%'";

pub(super) async fn running(stand: &Stand) -> String {
    until("the change runs", async || {
        let id = stand.sql(RUNNING);
        (!id.is_empty()).then_some(id)
    })
    .await
}

pub(super) async fn closed(stand: &Stand) {
    until("nothing is open", async || (stand.open() == "0").then_some(())).await;
}

#[tokio::test]
async fn a_change_that_ends_early_leaves_nothing_and_nothing_running() {
    let mut stand = stand(|spec| spec.limits.seconds = 300).await;
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
        closed(&stand).await;
        assert_eq!(cents(&stand), "500");
    }
    // Ended by the server while it runs.
    let (lost, ()) = tokio::join!(stand.change(ENDLESS), async {
        let id = running(&stand).await;
        stand.sql(&format!("KILL {id}"));
    });
    assert_eq!(code(&lost), "target_failed", "{lost}");
    closed(&stand).await;
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
    closed(&stand).await;
    // The server is away, and comes back.
    for hard in [true, false] {
        stand.server.stop(hard);
        let away = stand.change(RAISE).await;
        assert_eq!(code(&away), "target_failed", "{away}");
        stand.server.again().await;
    }
    assert_eq!(cents(&stand), "500");
    assert_eq!(stand.change(RAISE).await["status"], "ok");
    assert_eq!(cents(&stand), "501");
}

#[tokio::test]
async fn a_change_that_takes_too_long_is_ended_and_one_that_is_in_the_way_of_another_waits_for_nobody() {
    let stand = stand(|spec| spec.limits.seconds = 3).await;
    let late = stand.change(ENDLESS).await;
    assert_eq!(code(&late), "limit_exceeded", "{late}");
    closed(&stand).await;
    assert_eq!(cents(&stand), "500");
    let many = (0..8).map(|_| stand.change(RAISE));
    let answers = futures::future::join_all(many).await;
    let made = answers.iter().filter(|answer| answer["status"] == "ok").count();
    for answer in answers.iter().filter(|answer| answer["status"] != "ok") {
        let late = code(answer) == "limit_exceeded"; // it waited for its turn
        assert!(late || answer["refusal"]["retry"] == json!(true), "{answer}");
    }
    assert!(made > 0);
    assert_eq!(cents(&stand), (500 + made).to_string());
    closed(&stand).await;
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

/// COMMIT as a command: length, number in the exchange, `COM_QUERY`, text.
const COMMIT: &[u8] = b"\x07\0\0\0\x03COMMIT";

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
                let commits = at != Cut::Nowhere && said.windows(COMMIT.len()).any(|part| part == COMMIT);
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

/// A stand whose every connection goes through such a wire.
async fn wired(cut: &Arc<Mutex<(Cut, bool)>>) -> Stand {
    stand(|spec| {
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
    })
    .await
}

#[tokio::test]
async fn a_lost_commit_is_what_the_server_says_became_of_it() {
    let cut = Arc::new(Mutex::new((Cut::Nowhere, false)));
    let mut stand = wired(&cut).await;
    let mut expected = 500;
    for (at, crash) in [
        (Cut::Before, false),
        (Cut::After, false),
        (Cut::Before, true),
        (Cut::After, true),
    ] {
        *cut.lock().unwrap() = (at, crash);
        let answer = match crash {
            false => stand.change(RAISE).await,
            true => {
                let Stand {
                    server,
                    resources,
                    policies,
                    ..
                } = &mut stand;
                let looks = Looks::default();
                let never = CancellationToken::new();
                let work = make(
                    (resources, policies),
                    execute(RAISE, None),
                    None,
                    (&looks, &never),
                );
                let crash = async {
                    until("the cut", async || {
                        (cut.lock().unwrap().0 == Cut::Gone).then_some(())
                    })
                    .await;
                    server.stop(true);
                    server.again().await;
                    cut.lock().unwrap().0 = Cut::Nowhere;
                };
                tokio::join!(work, crash).0
            }
        };
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
