//! Slack's requests over HTTP: what its own library signs counts, once and for five minutes.

use serde_json::json;
use tollgate::clock::{System, World};

use super::fake::{Press, request_of};
use super::official::blocks;
use super::{Bench, POLICY};

pub(super) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

async fn post(bench: &Bench, body: &str, stamp: u64, signature: &str) -> u16 {
    let http = tollgate::app::http_client().unwrap();
    let sent = http
        .post(format!("{}/slack/interactivity", bench.control))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", stamp.to_string())
        .header("x-slack-signature", signature)
        .body(body.to_owned());
    sent.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slacks_library_signs_counts_once_and_neither_old_nor_to_come() {
    let bench = Bench::with(POLICY, "", &format!("signing_secret = {:?}\n", "SIGNING")).await;
    bench.link("U1", "second").await;
    let waiting = bench.reads("asker", "SELECT count(*) FROM orders");
    let card = bench.fake.messages(1).await.remove(0);
    let id = request_of(&card);
    let body = |at: &str| {
        let payload = Press::new("U1", "approve", at).payload(&card).to_string();
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload)
            .finish()
    };
    let now = System::new().now().seconds();
    let body = body("1.1");
    let stamps = [now, now - 400, now + 400, now + 4000];
    let sign: Vec<_> = stamps.iter().map(|stamp| json!([stamp, body])).collect();
    let signed =
        blocks(&json!({"messages": [], "views": [], "now": now, "secret": SECRET, "sign": sign})).await;
    let signature = |at: usize| signed["signed"][at].as_str().unwrap().to_owned();
    for (at, stamp) in stamps.iter().enumerate().skip(1) {
        assert_eq!(post(&bench, &body, *stamp, &signature(at)).await, 403, "{stamp}");
    }
    assert_eq!(
        post(&bench, &body, now, &signature(1)).await,
        403,
        "of another moment"
    );
    assert_eq!(post(&bench, &format!("{body}x"), now, &signature(0)).await, 403);
    assert_eq!(bench.state_of(&id).await, "pending");
    assert_eq!(post(&bench, &body, now, &signature(0)).await, 200);
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    // Replayed: taken for what it is, and nothing comes of it, not even words.
    assert_eq!(post(&bench, &body, now, &signature(0)).await, 200);
    bench.fake.says(&card["ts"], "Carried out").await;
    assert_eq!(bench.fake.state().await["ephemerals"], json!([]));
    bench.end().await;
}
