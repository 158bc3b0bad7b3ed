//! Channels of two processes on one PostgreSQL: one Slack app with a Socket Mode connection of each, and decisions by
//! signed callback. Whichever process something comes to, it counts once; when one of them dies, the other goes on.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tollgate::clock::{System, World};

use super::{SECRET, Two};
use crate::control::whole::{Received, receiver, secret, secret_file};
use crate::slack::fake::{Fake, Press, TEAM, request_of, value_of};
use crate::support::agent::Agent;
use crate::support::process::verify;
use crate::support::site::envelope;
use crate::support::until;

const CHANNEL: &str = "C0000000001";
const ESCALATED: &str = "C0000000003";
/// Analysts read the shop when a `dba` agrees.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop");
@id("dba-decides") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("people-agree") @approval("1 dba") @explain("Reading the shop needs a second person.")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("people-agree") };
"#;

/// Two replicas that hold calls for `hold` seconds and have this channel.
async fn two(hold: u32, channel: &str) -> Two {
    let two = Two::new(hold).await;
    two.site().set_policies(POLICY);
    two.configure(|text| format!("{text}\n[[approval.channel]]\n{channel}"));
    two
}

/// An agent of this person at either replica.
fn agents(two: &Two, subject: &str) -> [Agent; 2] {
    let here = Agent::new(two.site(), subject, &["analyst"]);
    let there = two.there(&here);
    [here, there]
}

fn read(number: usize) -> Value {
    json!({"resource": "shop", "statement": format!("SELECT count(*) FROM orders WHERE id > {number}")})
}

async fn slack(hold: u32) -> (Two, Fake) {
    let fake = Fake::start().await;
    let two = two(hold, "").await;
    let (bot, app) = (
        secret_file(two.site(), "bot", "xoxb-test"),
        secret_file(two.site(), "app", "xapp-test"),
    );
    two.configure(|text| {
        format!(
            "{text}kind = \"slack\"\nurl = \"{}api/\"\nchannel = \"{CHANNEL}\"\nbot_token = \"{bot}\"\napp_token = \"{app}\"\n",
            fake.url
        )
    });
    (two, fake)
}

/// As its page does once somebody has signed in and confirmed.
fn link(two: &Two, account: &str, subject: &str) {
    let now = System::new().now().0;
    two.sql(&format!(
        "INSERT INTO tollgate.slack_link (team, account, name, issuer, subject, groups, signed_in_at, linked_at) VALUES \
         ('{TEAM}', '{account}', '{account}', 'test', '{subject}', '[\"dba\"]', {now}, {now})"
    ));
}

fn decisions(two: &Two, id: &str) -> String {
    two.sql(&format!(
        "SELECT count(*) FROM tollgate.approval_decision WHERE approval = '{id}'"
    ))
}

/// The messages about requests and how often each was changed to say this.
fn told(state: &Value, words: &str) -> usize {
    let all = state["messages"].as_array().unwrap().iter();
    all.filter(|one| one.get("thread_ts").is_some() && one.to_string().contains(words))
        .count()
}

/// What a killed process had for itself is free after forty seconds: here what it took is moved back.
fn free(two: &Two) {
    two.sql("UPDATE tollgate.slack_card SET leased_until = 0");
    two.sql("UPDATE tollgate.approval_delivery SET next_at = 0 WHERE state <> 'delivered'");
}

/// Each thread tells in the order in which it happened, whichever process told.
fn in_order(state: &Value) {
    let mut threads: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in state["messages"].as_array().unwrap() {
        if let Some(thread) = one["thread_ts"].as_str() {
            threads
                .entry(thread)
                .or_default()
                .push(one["text"].as_str().unwrap());
        }
    }
    for lines in threads.values() {
        let starts = [
            "Approved by test#second",
            "Enough people approved",
            "Carried out.",
        ];
        assert_eq!(lines.len(), starts.len(), "{lines:?}");
        assert!(
            lines
                .iter()
                .zip(starts)
                .all(|(line, start)| line.starts_with(start)),
            "{lines:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slack_app_of_two_processes_shows_once_decides_once_and_outlives_one_of_them() {
    let (mut two, fake) = slack(90).await;
    let here = two.serve_here().await;
    let there = two.serve_there().await;
    fake.connected(2).await;
    link(&two, "U1", "second");
    let agents = agents(&two, "asker");
    // Requests that come to either; each envelope to both processes, and once more under another name.
    for (round, agent) in agents.iter().cycle().take(4).enumerate() {
        let waiting = {
            let (agent, asked) = (agent.clone(), read(round));
            tokio::spawn(async move { agent.call("sql_query", asked).await })
        };
        let card = fake.messages(round + 1).await.remove(round);
        let payload = Press::new("U1", "approve", &format!("{round}.1")).payload(&card);
        fake.send(&format!("both-{round}"), &payload, 2).await;
        fake.send(&format!("again-{round}"), &payload, 3).await;
        let answer = waiting.await.unwrap();
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
        let done = fake.says(&card["ts"], "Carried out").await;
        assert_eq!(value_of(&done, "tollgate_approve"), None);
        assert_eq!(decisions(&two, &request_of(&card)), "1");
        assert_eq!(
            fake.messages(round + 1).await.len(),
            round + 1,
            "one message a request"
        );
    }
    let state = until("every thread is told", async || {
        let state = fake.state().await;
        (told(&state, "Carried out.") >= 4).then_some(state)
    })
    .await;
    assert_eq!(told(&state, "Approved by test#second"), 4, "each once: {state}");
    assert_eq!(told(&state, "Carried out."), 4);
    assert_eq!(state["ephemerals"], json!([]), "what came again is not answered");
    in_order(&state);
    // One is killed while a request of the other waits: the other has everything.
    let waiting = {
        let (agent, asked) = (agents[1].clone(), read(100));
        tokio::spawn(async move { agent.call("sql_query", asked).await })
    };
    let card = fake.messages(5).await.remove(4);
    let kept = format!(
        "SELECT count(*) FROM tollgate.slack_card WHERE ts = '{}'",
        card["ts"].as_str().unwrap()
    );
    until("it is known whose message it is", async || {
        (two.sql(&kept) == "1").then_some(())
    })
    .await;
    here.kill();
    until("the killed one is gone", async || {
        (fake.state().await["connected"] == json!(1)).then_some(())
    })
    .await;
    free(&two);
    fake.press(&card, &Press::new("U1", "approve", "9.1")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    fake.says(&card["ts"], "Carried out").await;
    assert_eq!(fake.messages(5).await.len(), 5);
    drop(there);
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
    for log in ["serve.log", "there.log"] {
        let log = std::fs::read_to_string(two.site().dir.path().join(log)).unwrap();
        assert!(!log.contains(SECRET) && !log.contains("xoxb-test") && !log.contains("xapp-test"));
    }
}

/// What a process that was killed owed Slack, the other tells: the message, where nobody decided the second channel, and
/// what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_owed_the_other_tells_and_escalates() {
    let (mut two, fake) = slack(0).await;
    two.configure(|text| format!("{text}escalate_after_seconds = 60\nescalate_to = \"{ESCALATED}\"\n"));
    let here = two.serve_here().await;
    fake.connected(1).await;
    // Slack is away for as long as the one that was asked lives.
    fake.fault("chat.postMessage", "500", 1_000).await;
    let [agent, agent_there] = agents(&two, "asker");
    let id = crate::effects::pending(&agent.call("sql_query", read(1)).await);
    until("it was tried", async || {
        let calls = fake.state().await["calls"].as_array()?.clone();
        calls.contains(&json!("chat.postMessage")).then_some(())
    })
    .await;
    here.kill();
    // Nobody decided it for a minute, when the other one looks.
    two.sql(&format!(
        "UPDATE tollgate.approval SET created_at = created_at - 61000 WHERE id = '{id}'"
    ));
    let _there = two.serve_there().await;
    fake.connected(1).await;
    fake.tell("forget", &json!({})).await;
    free(&two);
    let cards = fake.messages(2).await;
    assert!(cards.iter().any(|one| one["channel"] == CHANNEL), "{cards:?}");
    let second = cards.iter().find(|one| one["channel"] == ESCALATED).unwrap();
    link(&two, "U1", "second");
    fake.press(second, &Press::new("U1", "approve", "1.1")).await;
    until("it is approved", async || {
        (decisions(&two, &id) == "1").then_some(())
    })
    .await;
    let answer = agent_there
        .call("approval_wait", json!({"approval_id": id}))
        .await;
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    for card in &cards {
        fake.says(&card["ts"], "Carried out").await;
    }
    assert_eq!(decisions(&two, &id), "1");
    assert_eq!(fake.messages(2).await.len(), 2);
}

fn key(number: u8) -> String {
    format!("whsec_{}", STANDARD.encode([number; 32]))
}

/// The notice of the nth request.
async fn notice(received: &Received, nth: usize) -> Value {
    until("a notice of a request", async || {
        let received = received.lock().unwrap();
        let bodies = received
            .iter()
            .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
        bodies
            .filter(|body| body["type"] == "approval.requested")
            .nth(nth)
    })
    .await["data"]
        .clone()
}

/// A decision of the portal, signed by the library of the standard's makers, as one message to either replica.
fn message(two: &Two, told: &Value, id: &str, there: bool) -> Value {
    let said = json!({
        "approval": told["approval"], "action_sha256": told["action_sha256"],
        "nonce": told["callback"]["nonce"], "decide_by": told["callback"]["decide_by"],
        "decision": "approve", "on_behalf": "test#second",
    });
    let url = url::Url::parse(told["callback"]["url"].as_str().unwrap()).unwrap();
    let host = url.authority().to_owned();
    let at = match there {
        true => format!("http://127.0.0.1:{}{}", two.control, url.path()),
        false => url.to_string(),
    };
    json!({"id": id, "secret": key(1), "url": at, "host": host, "body": said.to_string()})
}

async fn send(messages: Vec<Value>) -> Vec<u64> {
    let answers = crate::peers::script("callback.py", json!({ "messages": messages })).await;
    let answers = answers.as_array().unwrap().iter();
    answers.map(|one| one[0].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_spent_once_over_both_replicas() {
    let (hook, received) = receiver().await;
    let mut two = two(0, "").await;
    let (outward, inward) = (
        secret_file(two.site(), "hook.secret", &secret()),
        secret_file(two.site(), "in.secret", &key(1)),
    );
    two.configure(|text| {
        format!(
            "{text}kind = \"webhook\"\nurl = \"{hook}\"\nsecret = \"{outward}\"\ncallback = \"portal\"\n\
             callback_secrets = [\"{inward}\"]\ncallback_groups = [\"dba\"]\n"
        )
    });
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let [agent, agent_there] = agents(&two, "asker");
    for round in 0..4 {
        let asks = if round % 2 == 0 { &agent } else { &agent_there };
        let id = crate::effects::pending(&asks.call("sql_query", read(round)).await);
        let told = notice(&received, round).await;
        assert_eq!(told["approval"], json!(id));
        // Different messages and the same one, at both at once.
        let messages = (0..8).map(|at| message(&two, &told, &format!("msg_{round}_{}", at / 4), at % 2 == 1));
        let statuses = send(messages.collect()).await;
        let taken = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(taken, 1, "{statuses:?}");
        assert!(
            statuses.iter().all(|status| [200, 409].contains(status)),
            "{statuses:?}"
        );
        assert_eq!(decisions(&two, &id), "1");
        // And later, at each.
        for there in [false, true] {
            assert_eq!(
                send(vec![message(&two, &told, &format!("later_{round}"), there)]).await,
                [409]
            );
        }
        let spent = format!(
            "SELECT count(*) FROM tollgate.approval_callback WHERE spent_at IS NOT NULL AND approval = '{id}'"
        );
        assert_eq!(two.sql(&spent), "1");
        let answer = asks.call("sql_query", read(round)).await;
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    }
    let notices = received
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, body)| body.contains("approval.requested"))
        .count();
    assert_eq!(notices, 4, "each request is told once, by one of them");
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}
