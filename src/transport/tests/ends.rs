//! When a session ends, what is held for it is let go of, and nothing of anybody else's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Request, Server};
use super::door::Event;
use crate::approval::review::State;

/// The session of a token, as the door gives it.
fn session(token: &str) -> String {
    super::door::principal(token).unwrap().session.id
}

fn ping(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "ping"})
}

async fn open_stream(server: &Server, token: &str, session: &str) -> Client {
    let mut client = server.connect().await;
    let request = Request::get("/mcp")
        .with("Authorization", &format!("Bearer {token}"))
        .with("Accept", "text/event-stream")
        .with("Mcp-Session-Id", session);
    client.send(&request).await;
    assert_eq!(client.head().await.status, 200);
    client
}

/// Looks until it is so.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if look().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

fn let_go_of(server: &Server) -> Vec<(&'static str, String)> {
    server.door.let_go_of.lock().unwrap().clone()
}

#[tokio::test]
async fn a_call_of_the_newest_revision_is_cancelled_and_nobody_hears_of_it() {
    let mut server = Server::start().await;
    let (mut anns, mut bobs) = (server.connect().await, server.connect().await);
    anns.send(&Request::call("ann", "hold", &json!({}))).await;
    let call = server.entered().await.call_id;
    bobs.send(&Request::call("bob", "hold", &json!({}))).await;
    server.entered().await;
    server.door.ends.tell(&session("ann"));
    assert_eq!(server.cancelled().await, call);
    let reply = anns.reply().await;
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    let late = server.send(&Request::call("ann", "echo", &json!({}))).await;
    assert_eq!(late.status, 401, "admitted by a cache, and too late all the same");
    server.door.let_go.add_permits(1);
    assert_eq!(bobs.reply().await.status, 200, "bob's is bob's");
    until("forgotten", async || let_go_of(&server).len() == 2).await;
    let mut gone = let_go_of(&server);
    gone.sort();
    assert_eq!(gone, [("forgot", session("ann")), ("left", session("ann"))]);
}

#[tokio::test]
async fn a_call_that_took_its_approval_runs_to_its_end_and_is_not_answered() {
    for older in [false, true] {
        let mut server = Server::start().await;
        server.door.spent.store(true, Ordering::Relaxed);
        let mut client = server.connect().await;
        let request = if older {
            let opened = server.session("ann", &json!({})).await;
            Request::older_call("ann", &opened, 1, "hold")
        } else {
            Request::call("ann", "hold", &json!({}))
        };
        client.send(&request).await;
        server.entered().await;
        server.door.ends.tell(&session("ann"));
        if older {
            assert!(!client.reply().await.body.contains("let go"));
        } else {
            assert_eq!(client.reply().await.status, 401);
        }
        until("left", async || {
            let_go_of(&server).contains(&("left", session("ann")))
        })
        .await;
        assert!(server.events.try_recv().is_err(), "not cancelled");
        assert!(
            !let_go_of(&server).contains(&("forgot", session("ann"))),
            "still decided in"
        );
        server.door.let_go.add_permits(1);
        until("taken", async || server.door.let_go.available_permits() == 0).await;
        until("forgotten", async || {
            let_go_of(&server).contains(&("forgot", session("ann")))
        })
        .await;
        assert!(server.events.try_recv().is_err(), "nor accepted");
    }
}

#[tokio::test]
async fn sessions_and_streams_of_the_older_era_close() {
    let mut server = Server::start().await;
    let (anns, bobs) = (
        server.session("ann", &json!({})).await,
        server.session("bob", &json!({})).await,
    );
    let mut stream = open_stream(&server, "ann", &anns).await;
    let mut call = server.connect().await;
    call.send(&Request::older_call("ann", &anns, 1, "hold")).await;
    let held = server.entered().await.call_id;
    server.door.ends.tell(&session("ann"));
    assert_eq!(server.cancelled().await, held);
    assert_eq!(stream.event().await, None, "the stream ends");
    let reply = call.reply().await;
    assert!(!reply.body.contains("\"result\""), "{reply:?}");
    // Another session of the same person through the same client, after a new sign-in.
    let again = Request::older("ann/2", &anns, &ping(2));
    assert_eq!(server.send(&again).await.status, 404, "closed");
    assert_eq!(
        server.send(&Request::older("bob", &bobs, &ping(1))).await.status,
        200
    );
}

#[tokio::test]
async fn a_session_of_the_older_era_belongs_to_who_used_it_last() {
    let server = Server::start().await;
    let opened = server.session("ann", &json!({})).await;
    let renewed = Request::older("ann/2", &opened, &ping(1));
    assert_eq!(server.send(&renewed).await.status, 200);
    server.door.ends.tell(&session("ann"));
    until("left", async || {
        let_go_of(&server).contains(&("left", session("ann")))
    })
    .await;
    assert_eq!(
        server.send(&renewed).await.status,
        200,
        "used with the new sign-in"
    );
    server.door.ends.tell(&session("ann/2"));
    until("closed", async || server.send(&renewed).await.status == 401).await;
}

#[tokio::test]
async fn executions_of_tasks_stop_unless_they_took_their_approval() {
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    for spent in [false, true] {
        let server = Server::start().await;
        server.door.spent.store(spent, Ordering::Relaxed);
        let call = Request::modern(
            "ann",
            "tools/call",
            json!({"name": "change", "arguments": {}}),
            &tasks,
        );
        let id = server.send(&call).await.result()["taskId"]
            .as_str()
            .unwrap()
            .to_owned();
        server.door.people.decide(&id, State::Granted);
        let poll = Request::modern("ann", "tasks/get", json!({"taskId": id}), &tasks).with("Mcp-Name", &id);
        assert_eq!(server.send(&poll).await.result()["status"], json!("working"));
        until("it runs", async || {
            server.door.people.waited.load(Ordering::Relaxed) == 1
        })
        .await;
        server.door.ends.tell(&session("ann"));
        until("left", async || {
            let_go_of(&server).contains(&("left", session("ann")))
        })
        .await;
        if spent {
            server.door.let_go.add_permits(1);
        }
        until("over", async || {
            let_go_of(&server).contains(&("forgot", session("ann")))
        })
        .await;
        let ran = server.door.people.ran.load(Ordering::Relaxed);
        assert_eq!(ran, usize::from(spent), "spent: {spent}");
    }
}

#[tokio::test]
async fn a_session_that_ended_on_another_replica_is_found_by_looking() {
    let mut server = Server::start_with(|spec| spec.look_every = Duration::from_millis(1)).await;
    let opened = server.session("ann", &json!({})).await;
    let mut stream = open_stream(&server, "ann", &opened).await;
    let mut bobs = server.connect().await;
    bobs.send(&Request::call("bob", "hold", &json!({}))).await;
    server.entered().await;
    server.door.fallen.lock().unwrap().insert(session("ann"));
    assert_eq!(stream.event().await, None);
    server.door.fallen.lock().unwrap().clear();
    // It stands again (its provider answers again): nothing of it was remembered against it.
    until("let in", async || {
        server
            .send(&Request::call("ann", "echo", &json!({})))
            .await
            .status
            == 200
    })
    .await;
    server.door.let_go.add_permits(1);
    assert_eq!(bobs.reply().await.status, 200);
}

#[tokio::test]
async fn more_ends_than_a_listener_can_follow_are_found_by_looking() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.send(&Request::call("ann", "hold", &json!({}))).await;
    let held = server.entered().await.call_id;
    server.door.fallen.lock().unwrap().insert(session("ann"));
    server.door.ends.tell(&session("ann"));
    for other in 0..3_000 {
        server.door.ends.tell(&format!("other-{other}")); // in one go: the listener is behind
    }
    assert_eq!(server.cancelled().await, held);
    assert_eq!(client.reply().await.status, 401);
    assert!(!matches!(server.events.try_recv(), Ok(Event::Accepted(_))));
}

#[tokio::test]
async fn an_end_waits_for_nobody_elses_provider() {
    let mut server = Server::start_with(|spec| spec.look_every = Duration::from_millis(1)).await;
    let opened = server.session("ann", &json!({})).await;
    let _stream = open_stream(&server, "ann", &opened).await;
    server.door.stuck.lock().unwrap().insert(session("ann"));
    until("asked about", async || {
        server.send(&Request::get("/healthz")).await;
        server.door.asked.load(Ordering::Relaxed) > 0
    })
    .await;
    let mut bobs = server.connect().await;
    bobs.send(&Request::call("bob", "hold", &json!({}))).await;
    let held = server.entered().await.call_id;
    server.door.ends.tell(&session("bob"));
    assert_eq!(server.cancelled().await, held);
    assert_eq!(bobs.reply().await.status, 401);
    assert_eq!(server.door.asked.load(Ordering::Relaxed), 1, "one look at a time");
}
