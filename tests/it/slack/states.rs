//! What Slack's own software says of a message through its whole life: hostile quotes, counts of an effect, user groups, and
//! every state that a request ends in.

use serde_json::{Value, json};

use super::fake::{Press, TEAM, value_of};
use super::official::{ALL, accepted};
use super::{Bench, CLIENT, POLICY};
use crate::support::until;

const HOSTILE: &str =
    "<!channel> <@U1> <!subteam^S1> *x* `y` https://evil.example \u{202e}txt.exe\u{200b} @here\n> quoted";

/// As an agent sends it.
fn change(id: u32) -> Value {
    let statement = format!("UPDATE orders SET status = '{HOSTILE}' WHERE id = {id}");
    json!({"resource": "shop", "statement": statement, "reason": HOSTILE})
}

fn read(statement: &str) -> Value {
    json!({"resource": "shop", "statement": statement})
}

/// What a message shows while it waits.
fn waits(cards: &[Value]) {
    for card in cards {
        let text = card["blocks"].to_string();
        assert!(text.contains("\"usergroup_id\":\"S0000000007\""), "{text}");
        assert!(
            card["text"]
                .as_str()
                .unwrap()
                .starts_with("<!subteam^S0000000007> "),
            "{card}"
        );
    }
}

/// Counts, and what the program says: quoted, and a link to nowhere.
fn claims(shown: &str) {
    assert!(shown.contains("orders: 0 new, 1 changed, 0 removed"), "{shown}");
    let quoted = shown.split("Claimed by the program").nth(1).unwrap();
    assert!(
        quoted.contains("https[:]//evil[.]example") && quoted.contains("[@]here"),
        "{quoted}"
    );
    assert!(
        !quoted.contains('\u{202e}') && !quoted.contains("://evil"),
        "{quoted}"
    );
}

async fn about(bench: &Bench, subject: &str, says: &str) -> Value {
    until(says, async || {
        let cards = bench.fake.messages(1).await;
        let named = format!("test#{subject}");
        let mine = |card: &Value| card["blocks"].to_string().contains(&named);
        let says = |card: &Value| card["blocks"].to_string().contains(says);
        cards.into_iter().find(|card| mine(card) && says(card))
    })
    .await
}

async fn refuse(bench: &Bench, card: &Value, reason: &str) {
    bench.fake.press(card, &Press::new("U1", "refuse", "7.1")).await;
    let view = bench.fake.told("views", "Why not?").await;
    let mut submitted = view["view"].clone();
    submitted["id"] = view["id"].clone();
    submitted["state"] =
        json!({"values": {"reason": {"reason": {"type": "plain_text_input", "value": reason}}}});
    let payload = json!({
        "type": "view_submission", "user": {"id": "U1", "team_id": TEAM}, "team": {"id": TEAM}, "view": submitted,
    });
    bench.fake.send("form-7", &payload, 1).await;
}

async fn withdraw(bench: &Bench, card: &Value, subject: &str) {
    let id = super::fake::request_of(card);
    let token = bench.site.issuer.id_token(CLIENT, subject, &["analyst"]);
    let url = format!("{}/api/approvals/{id}/cancel", bench.control);
    let http = tollgate::app::http_client().unwrap();
    let sent = http
        .post(url)
        .bearer_auth(token)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200, "{}", sent.text().await.unwrap());
}

/// Its time is over.
fn expire(bench: &Bench, card: &Value) {
    let store = rusqlite::Connection::open(bench.site.dir.path().join("journal.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let id = super::fake::request_of(card);
    let changed = store
        .execute("UPDATE approval SET decide_by = 1 WHERE id = ?1", [&id])
        .unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slacks_software_accepts_a_message_in_every_state_of_its_life() {
    let policy = format!("{POLICY}{ALL}");
    let bench = Bench::with(&policy, "", "routes = { dba = \"S0000000007\" }\n").await;
    bench.fake.connected(1).await;
    bench.link("U1", "second").await;
    let done = bench.calls("done", "sql_execute", change(1));
    let refused = bench.calls("refused", "sql_execute", change(2));
    let failed = bench.calls(
        "failed",
        "sql_query",
        read("SELECT abs(-9223372036854775807 - id) FROM orders"),
    );
    let rest: Vec<_> = ["withdrawn", "expired", "granted"]
        .iter()
        .map(|who| bench.calls(who, "sql_query", read("SELECT count(*) FROM orders")))
        .collect();
    let cards = bench.fake.messages(6).await;
    waits(&cards);
    claims(&about(&bench, "done", "Claimed by the program").await["blocks"].to_string());
    for (subject, at) in [("done", "1.1"), ("failed", "1.2")] {
        let card = about(&bench, subject, "Waits for").await;
        bench.fake.press(&card, &Press::new("U1", "approve", at)).await;
    }
    refuse(&bench, &about(&bench, "refused", "Waits for").await, HOSTILE).await;
    for wait in [done, refused, failed] {
        wait.await.unwrap();
    }
    rest.iter().for_each(tokio::task::JoinHandle::abort);
    withdraw(
        &bench,
        &about(&bench, "withdrawn", "Waits for").await,
        "withdrawn",
    )
    .await;
    expire(&bench, &about(&bench, "expired", "Waits for").await);
    let card = about(&bench, "granted", "Waits for").await;
    bench.fake.press(&card, &Press::new("U1", "approve", "1.3")).await;
    let mut ends = Vec::new();
    for (subject, word) in [
        ("done", "Carried out"),
        ("refused", "Refused"),
        ("failed", "Approved, and it failed"),
        ("withdrawn", "Withdrawn"),
        ("expired", "Expired"),
        ("granted", "Approved, not yet carried out"),
    ] {
        let card = about(&bench, subject, word).await;
        assert_eq!(value_of(&card, "tollgate_approve"), None, "{subject}");
        let refuses = value_of(&card, "tollgate_refuse").is_some();
        assert_eq!(refuses, subject == "granted", "{subject}: {card}");
        assert!(
            !card["blocks"].to_string().contains("usergroup"),
            "{subject}: nobody is called any more"
        );
        ends.push(card);
    }
    let thread = bench.fake.threaded("Refused by test#second").await;
    let said = thread["blocks"].to_string();
    assert!(
        said.contains("https[:]//evil[.]example") && !thread["text"].as_str().unwrap().contains('<'),
        "{thread}"
    );
    // As they began, as they changed, as they ended, and what was said beside them.
    let mut all: Vec<Value> = ends.clone();
    all.extend(
        ends.iter()
            .flat_map(|card| card["versions"].as_array().unwrap().clone()),
    );
    assert!(all.len() >= 12, "{}", all.len());
    accepted(&all, &[thread["blocks"].clone()], "Why not?", &bench.fake).await;
    bench.end().await;
}
