//! What is rare: a request that cannot be read, an alarm while two hundred cards are owed, a workspace that answers nobody.

use serde_json::{Value, json};

use super::fake::{Press, request_of};
use super::{Bench, CHANNEL, CLIENT, POLICY};
use crate::support::until;

const READ: &str = "SELECT count(*) FROM orders";
const POSTS: &str = "chat.postMessage";

fn store(bench: &Bench) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(bench.site.dir.path().join("journal.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    store
}

fn terms(bench: &Bench, id: &str) -> String {
    let row = "SELECT terms FROM approval WHERE id = ?1";
    store(bench).query_row(row, [id], |row| row.get(0)).unwrap()
}

fn write_terms(bench: &Bench, id: &str, terms: &str) {
    let changed = store(bench)
        .execute("UPDATE approval SET terms = ?2 WHERE id = ?1", [id, terms])
        .unwrap();
    assert_eq!(changed, 1);
}

/// The requests that wait, oldest first.
fn waiting(bench: &Bench) -> Vec<String> {
    let store = store(bench);
    let mut rows = store
        .prepare("SELECT id FROM approval WHERE state = 'pending' ORDER BY created_at")
        .unwrap();
    let ids = rows.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

fn told_of(bench: &Bench, id: &str) -> Vec<(String, String, u32)> {
    let store = store(bench);
    let mut rows = store
        .prepare(
            "SELECT e.word, d.state, d.attempts FROM approval_delivery d JOIN approval_event e ON e.seq = d.event \
             WHERE e.approval = ?1 AND d.channel = ?2 ORDER BY e.seq",
        )
        .unwrap();
    let told = rows.query_map([id, &format!("slack {CHANNEL}")], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    told.unwrap().map(Result::unwrap).collect()
}

async fn list(bench: &Bench) -> Value {
    let token = bench.site.issuer.id_token(CLIENT, "second", &["dba"]);
    let url = format!("{}/api/approvals", bench.control);
    let http = tollgate::app::http_client().unwrap();
    let answer = http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// One request that is shown and one that is not are damaged in the store: whatever else there is goes on as ever, in Slack
/// and in people's list, and once they are mended nothing of them was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_read_is_set_aside_and_nothing_else_is() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    let one = bench.reads("shown", READ);
    let shown = bench.fake.messages(1).await.remove(0);
    bench
        .fake
        .fault_about(POSTS, "500", "test#unshown", 1_000_000)
        .await;
    let two = bench.reads("unshown", READ);
    bench.fake.refused(POSTS, 1).await;
    let shown_id = request_of(&shown);
    let all = waiting(&bench);
    let unshown_id = all.iter().find(|id| **id != shown_id).unwrap().clone();
    let kept = [&shown_id, &unshown_id].map(|id| (id.clone(), terms(&bench, id)));
    for (id, _) in &kept {
        write_terms(&bench, id, "{");
    }
    bench.fake.tell("forget", &json!({})).await;
    // Something happens to the one that is shown, which has to be told.
    let told = "INSERT INTO approval_event (approval, at, word, words, recorded) VALUES (?1, 1, 'escalated', 'oncall', 1)";
    assert_eq!(store(&bench).execute(told, [&shown_id]).unwrap(), 1);
    until("it was tried and is owed", async || {
        let all = told_of(&bench, &shown_id);
        let last = all.last()?;
        (last.0 == "escalated" && last.1 == "failed" && last.2 >= 1).then_some(())
    })
    .await;
    for round in 0..2 {
        let waits = bench.reads(&format!("fine-{round}"), READ);
        let cards = bench.fake.messages(2 + round).await;
        assert!(!json!(cards).to_string().contains("test#unshown"), "{cards:#?}");
        let card = cards.last().unwrap();
        let press = format!("{round}.1");
        bench.fake.press(card, &Press::new("U1", "approve", &press)).await;
        let answer = waits.await.unwrap();
        assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
        bench.fake.says(&card["ts"], "Carried out").await;
    }
    let open = bench.reads("listed", READ);
    bench.fake.messages(4).await;
    let listed = list(&bench).await.to_string();
    assert!(
        listed.contains("test#listed") && !listed.contains("test#shown"),
        "{listed}"
    );
    // Mended, both are as they would have been.
    for (id, terms) in &kept {
        write_terms(&bench, id, terms);
    }
    bench.fake.threaded("Nobody decided in time: so may oncall").await;
    let cards = bench.fake.messages(5).await;
    let late = cards.last().unwrap();
    assert_eq!(request_of(late), unshown_id);
    bench.fake.press(late, &Press::new("U1", "approve", "9.1")).await;
    let answer = two.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    one.abort();
    open.abort();
    bench.end().await;
}

/// Two hundred requests like this one, older than it.
fn crowd(bench: &Bench, like: &str) {
    let store = store(bench);
    let mut named = store
        .prepare("SELECT name FROM pragma_table_info('approval')")
        .unwrap();
    let names = named.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    let values: Vec<String> = names
        .iter()
        .map(|name| match name.as_str() {
            "id" => "printf('%032d', n.i)".to_owned(),
            "request_key" => "randomblob(32)".to_owned(),
            "created_at" => "a.created_at - 1000 + n.i".to_owned(),
            name => format!("a.{name}"),
        })
        .collect();
    let script = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
         INSERT INTO approval ({}) SELECT {} FROM approval a, n WHERE a.id = ?1",
        names.join(", "),
        values.join(", ")
    );
    assert_eq!(store.execute(&script, [like]).unwrap(), 200);
}

fn new_cards(state: &Value, before: usize) -> usize {
    let all = state["messages"].as_array().unwrap().iter().take(before);
    all.filter(|one| one["blocks"].to_string().contains("test#crowd"))
        .count()
}

/// Where a message with these words is among all that were sent.
async fn place(bench: &Bench, words: &str) -> (Value, usize) {
    until("it is told", async || {
        let state = bench.fake.state().await;
        let all = state["messages"].as_array()?;
        let at = all
            .iter()
            .position(|one| one["text"].to_string().contains(words))?;
        Some((state.clone(), at))
    })
    .await
}

/// While two hundred requests wait to be shown, an alarm and what became of a request are told as if there were none: at most the
/// few that were under way come before.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_and_what_was_decided_come_before_two_hundred_new_cards() {
    let policy = POLICY.replace(
        "@approval(\"1 dba\")",
        "@approval(\"1 dba\") @break_glass(\"analyst\")",
    );
    let bench = Bench::with(&policy, "", "").await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    let decided = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let broken = bench.reads("breaker", READ);
    let glass = bench.fake.messages(2).await.remove(1);
    let like = bench.reads("crowd", READ);
    let crowded = bench.fake.messages(3).await.remove(2);
    crowd(&bench, &request_of(&crowded));
    until("the crowd comes", async || {
        let state = bench.fake.state().await;
        (new_cards(&state, usize::MAX) >= 3).then_some(())
    })
    .await;

    let id = request_of(&glass);
    let said =
        json!({"action_sha256": bench.request(&id).await["action_sha256"], "reason": "the shop is on fire"});
    let token = bench.site.issuer.id_token(CLIENT, "breaker", &["analyst"]);
    let url = format!("{}/api/approvals/{id}/break-glass", bench.control);
    let http = tollgate::app::http_client().unwrap();
    let sent = http
        .post(url)
        .bearer_auth(token)
        .json(&said)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200, "{}", sent.text().await.unwrap());
    let shown = new_cards(&bench.fake.state().await, usize::MAX);
    let (state, at) = place(&bench, "broke the glass").await;
    let before = new_cards(&state, at);
    assert!(
        before <= shown + 3,
        "{before} cards before the alarm, {shown} when the glass broke"
    );

    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    let answer = decided.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let shown = new_cards(&bench.fake.state().await, usize::MAX);
    bench.fake.says(&card["ts"], "Carried out").await;
    let after = new_cards(&bench.fake.state().await, usize::MAX);
    assert!(
        after <= shown + 30,
        "{after} cards before it was told, {shown} when it ran"
    );
    broken.abort();
    like.abort();
    bench.end().await;
}

/// The whole workspace wants to hear nothing for two seconds, whatever is asked, and then a proxy answers everything with a page:
/// nothing is asked again before its time, and afterwards nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_limited_is_left_alone_and_one_that_talks_garbage_is_not_believed() {
    let bench = Bench::start().await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    bench.link("U2", "asker").await;
    let first = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let limit = json!({"method": "*", "kind": "429", "times": 1_000_000, "after": "2"});
    bench.fake.tell("fault", &limit).await;
    let second = bench.reads("another", READ);
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    bench.fake.refused("auth.test", 1).await;
    bench.fake.tell("disconnect", &json!({})).await;
    bench.fake.refused("apps.connections.open", 2).await;
    bench.fake.refused(POSTS, 3).await;
    assert_eq!(bench.state_of(&request_of(&card)).await, "pending");
    bench.fake.tell("forget", &json!({})).await;
    bench.fake.fault("*", "garbage", 1_000_000).await;
    let before = bench.fake.state().await["refused"].as_array().unwrap().len();
    until("garbage is tried again", async || {
        let refused = bench.fake.state().await["refused"].as_array()?.clone();
        let late = refused.get(before..)?;
        let of = |method: &str| late.iter().filter(|one| **one == method).count();
        (of(POSTS) >= 2 && of("apps.connections.open") >= 1).then_some(())
    })
    .await;
    bench.fake.tell("forget", &json!({})).await;
    bench.fake.connected(1).await;
    let cards = bench.fake.messages(2).await;
    for (nth, card) in cards.iter().enumerate() {
        let press = format!("{nth}.2");
        bench.fake.press(card, &Press::new("U1", "approve", &press)).await;
    }
    for waits in [first, second] {
        let answer = waits.await.unwrap();
        assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    }
    for card in &cards {
        bench.fake.says(&card["ts"], "Carried out").await;
    }
    let state = bench.fake.state().await;
    assert_eq!(state["early"], json!([]), "asked before its time");
    bench.end().await;
}
