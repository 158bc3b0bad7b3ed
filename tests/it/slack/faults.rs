//! Slack being slow, wrong or away: nothing is lost, and nothing is let through.

use serde_json::json;

use super::Bench;
use super::fake::{Press, request_of, value_of};

const READ: &str = "SELECT count(*) FROM orders";

#[tokio::test(flavor = "multi_thread")]
async fn too_much_broken_garbage_and_nothing_are_tried_again_until_it_is_there() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    for kind in ["429", "garbage", "nothing"] {
        bench.fake.fault("chat.postMessage", kind, 1).await;
    }
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    // Nobody can be asked who presses: nothing is decided, and they are told.
    bench.fake.fault("users.info", "500", 1).await;
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    bench.fake.told("ephemerals", "could not say who you are").await;
    assert_eq!(bench.state_of(&request_of(&card)).await, "pending");
    bench.fake.fault("chat.update", "500", 1).await;
    bench.fake.fault("chat.update", "internal_error", 1).await;
    bench.fake.press(&card, &Press::new("U1", "approve", "1.2")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    bench.fake.says(&card["ts"], "Carried out").await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_is_made_again_and_what_is_no_envelope_is_passed_over() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    bench.fake.fault("apps.connections.open", "500", 1).await;
    bench.fake.tell("disconnect", &json!({})).await;
    crate::support::until("another connection", async || {
        (bench.fake.state().await["greeted"].as_u64()? >= 2).then_some(())
    })
    .await;
    bench.fake.connected(1).await;
    for raw in [
        "",
        "{",
        "[]",
        "{\"type\":\"interactive\",\"envelope_id\":\"x\",\"payload\":7}",
        "{\"type\":\"hello\"}",
    ] {
        bench.fake.tell("send", &json!({"raw": raw})).await;
    }
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    bench.end().await;
}

/// In the channel for that, once, with the same buttons: what is decided there is decided.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decided_is_shown_to_others_too() {
    let bench = Bench::start().await;
    bench.link("U1", "second").await;
    let others = "C0000000003";
    let stop = bench.second(Some((std::time::Duration::ZERO, others.to_owned())));
    bench.fake.connected(2).await;
    let waiting = bench.reads("asker", READ);
    let cards = bench.fake.messages(2).await;
    let there = cards.iter().find(|card| card["channel"] == others).unwrap();
    bench.fake.press(there, &Press::new("U1", "approve", "1.1")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    for card in &cards {
        bench.fake.says(&card["ts"], "Carried out").await;
    }
    assert_eq!(bench.fake.messages(2).await.len(), 2);
    stop.cancel();
    bench.end().await;
}

/// What Slack counts it does not say: where it refuses a message for its size, less of the request is shown, and that decides
/// nothing, whoever forges a press.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_slack_calls_too_long_is_shown_shorter_and_without_buttons() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    bench
        .fake
        .fault("chat.postMessage", "msg_blocks_too_long", 1)
        .await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let text = card["blocks"].to_string();
    assert!(
        text.contains("does not fit here") && text.contains("Open its page"),
        "{text}"
    );
    assert_eq!(value_of(&card, "tollgate_approve"), None);
    let id = request_of(&card);
    let action = bench.request(&id).await["action_sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut forged = Press::new("U1", "approve", "1.1").payload(&card);
    forged["actions"][0]["value"] = json!(format!("v1 {id} {action}"));
    bench.fake.send("forged", &forged, 1).await;
    bench.fake.told("ephemerals", "on its page alone").await;
    assert_eq!(bench.state_of(&id).await, "pending");
    waiting.abort();
    bench.end().await;
}
