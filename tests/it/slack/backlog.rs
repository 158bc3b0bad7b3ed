//! Many requests at once, Slack away for as long as one lasts, a process that died, a store that hangs: nothing is lost,
//! nothing is shown that is over, and whoever presses knows that it did not count.

use serde_json::{Value, json};
use tollgate::clock::{System, World};
use tollgate::config::Config;

use super::fake::{Press, request_of, value_of};
use super::{Bench, CHANNEL, CLIENT, POLICY};
use crate::support::until;

const READ: &str = "SELECT count(*) FROM orders";
const POSTS: &str = "chat.postMessage";

/// Slack counts here. What it does not take of one request, for whatever reason, is that request's alone, stays owed for as
/// long as it waits, and is listed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_keeps_slacks_pace_and_what_cannot_be_shown_keeps_nothing_back() {
    let bench = Bench::start().await;
    bench.fake.tell("count", &json!({})).await;
    let poison = [
        ("poison-1", "invalid_blocks"),
        ("poison-2", "garbage"),
        ("poison-3", "channel_not_found"),
    ];
    for (subject, kind) in poison {
        bench
            .fake
            .fault_about(POSTS, kind, &format!("test#{subject}"), 1_000_000)
            .await;
    }
    let mut waits: Vec<_> = poison
        .iter()
        .map(|(subject, _)| bench.reads(subject, READ))
        .collect();
    bench.fake.refused(POSTS, 3).await;
    waits.extend((0..22).map(|at| bench.reads(&format!("asker-{at}"), READ)));
    let cards = bench.fake.messages(22).await;
    assert!(!json!(cards).to_string().contains("poison"), "{cards:#?}");
    let state = bench.fake.state().await;
    assert_eq!(
        state["limited"], 0,
        "it was never too fast for Slack: {}",
        state["limited"]
    );
    bench.fake.refused(POSTS, 8).await;
    let config = Config::load(&bench.site.config()).unwrap();
    let listed = tollgate::app::dead_letters(&config, 50).await.unwrap();
    let about = |why: &str| listed.iter().filter(|one| one.2.contains(why)).count();
    assert_eq!(
        (about("invalid_blocks"), about("channel_not_found")),
        (1, 1),
        "{listed:?}"
    );
    bench.fake.tell("forget", &json!({})).await;
    let cards = bench.fake.messages(25).await;
    for (subject, _) in poison {
        let named = format!("test#{subject}");
        let shown = cards
            .iter()
            .filter(|card| card.to_string().contains(&named))
            .count();
        assert_eq!(shown, 1, "{subject}");
    }
    for wait in waits {
        wait.abort();
    }
    bench.end().await;
}

/// Whoever asked is told by themselves, also when Slack had no time for that; and what it has no time for there keeps
/// nothing else back.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_is_told_when_slack_has_time_again() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    bench.link("U2", "asker").await;
    bench.fake.fault_about(POSTS, "429", "Your request", 1).await;
    bench.fake.fault_about(POSTS, "500", "Your request", 1).await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let told = until("the requester is told of all of it", async || {
        let state = bench.fake.state().await;
        let all = state["messages"].as_array()?.iter();
        let own: Vec<Value> = all.filter(|one| one["channel"] == "U2").cloned().collect();
        (own.len() >= 2).then_some(own)
    })
    .await;
    let words = json!(told).to_string();
    assert!(
        words.contains("Enough people approved") && words.contains("Carried out"),
        "{words}"
    );
    assert_eq!(told.len(), 2, "each once: {words}");
    bench.end().await;
}

/// Another process died while it wrote a message: what it had for itself is free again, and is written once. Who comes back too
/// late changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_for_itself_is_anothers_and_written_once() {
    let bench = Bench::start().await;
    bench.fake.fault(POSTS, "500", 1_000_000).await;
    let waiting = bench.reads("asker", READ);
    bench.fake.refused(POSTS, 1).await;
    let mut tx = bench.rows.read().await.unwrap();
    let id = tx
        .without_card("another", System::new().now().0, 9)
        .await
        .unwrap()
        .remove(0);
    tx.commit().await.unwrap();
    let dead = until("its lease", async || {
        let now = System::new().now().0;
        let mut tx = bench.rows.write().await.unwrap();
        let row = tx.lease_card((&id, CHANNEL), (now, now + 3_000)).await.unwrap();
        tx.commit().await.unwrap();
        row
    })
    .await;
    bench.fake.tell("forget", &json!({})).await;
    let card = bench.fake.messages(1).await.remove(0);
    assert!(
        System::new().now().0 >= dead.leased_until,
        "nobody writes what another one writes"
    );
    let mut late = dead.clone();
    late.ts = Some("1.000001".to_owned());
    let mut tx = bench.rows.write().await.unwrap();
    assert!(!tx.keep_card(&late).await.unwrap(), "it is another's by now");
    assert_eq!(tx.card_at(CHANNEL, "1.000001").await.unwrap(), None);
    tx.commit().await.unwrap();
    bench.link("U1", "second").await;
    bench.fake.connected(1).await;
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    bench.fake.says(&card["ts"], "Carried out").await;
    assert_eq!(bench.fake.messages(1).await.len(), 1);
    bench.end().await;
}

/// While the store hangs Slack is answered, and whoever pressed is told that it did not count; afterwards it is as if they had
/// not pressed.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_hangs_a_press_is_acknowledged_and_told_not_to_count() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let mut held = bench.rows.write().await.unwrap();
    held.first_time(&[7; 32], 1, 0).await.unwrap(); // now nobody else writes
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await; // gives the acknowledgement
    let told = bench.fake.told("ephemerals", "nothing was decided").await;
    assert_eq!(
        (&told["user"], &told["channel"]),
        (&json!("U1"), &card["channel"])
    );
    held.commit().await.unwrap(); // it hung all the while
    assert_eq!(bench.state_of(&request_of(&card)).await, "pending");
    bench.fake.press(&card, &Press::new("U1", "approve", "1.2")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    bench.end().await;
}

async fn at_the_console(bench: &Bench, id: &str, verb: &str, who: &str) {
    let token = bench.site.issuer.id_token(CLIENT, who, &["dba"]);
    let mut said = json!({"action_sha256": bench.request(id).await["action_sha256"]});
    if verb == "refuse" {
        said["reason"] = json!("no");
    }
    let url = format!("{}/api/approvals/{id}/{verb}", bench.control);
    let http = tollgate::app::http_client().unwrap();
    let sent = http
        .post(url)
        .bearer_auth(token)
        .json(&said)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200, "{}", sent.text().await.unwrap());
}

/// Slack is away while one request is shown and another is not, both are decided in the console, and the server starts again.
/// When Slack is back the one says what became of it, and the other is not shown any more.
#[tokio::test(flavor = "multi_thread")]
async fn slack_away_for_a_whole_life_leaves_no_message_that_decides() {
    let mut bench = Bench::with(POLICY, "", "").await;
    let shown = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    for method in [POSTS, "chat.update"] {
        bench.fake.fault(method, "500", 1_000_000).await;
    }
    let unshown = bench.reads("another", "SELECT 2 FROM orders");
    bench.fake.refused(POSTS, 1).await;
    let mut tx = bench.rows.read().await.unwrap();
    let other = tx
        .without_card("elsewhere", System::new().now().0, 9)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let first = request_of(&card);
    let other = other.into_iter().find(|id| *id != first).unwrap();
    at_the_console(&bench, &first, "approve", "second").await;
    at_the_console(&bench, &other, "refuse", "second").await;
    shown.await.unwrap();
    unshown.await.unwrap();
    bench.restart().await;
    bench.fake.tell("forget", &json!({})).await;
    let done = bench.fake.says(&card["ts"], "Carried out").await;
    assert_eq!(value_of(&done, "tollgate_approve"), None);
    assert_eq!(value_of(&done, "tollgate_refuse"), None);
    let next = bench.reads("third", READ);
    let cards = bench.fake.messages(2).await;
    assert_eq!(cards.len(), 2, "{cards:#?}");
    assert!(cards[1].to_string().contains("test#third"), "{cards:#?}");
    next.abort();
    bench.end().await;
}
