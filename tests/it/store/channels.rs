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

/// Whoever was too slow for its lease takes its message back: the one that counts is the other one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_second_message_is_taken_back_and_the_other_one_decides() {
    let (mut two, fake) = slack(0).await;
    let here = two.serve_here().await;
    let there = two.serve_there().await;
    fake.connected(2).await;
    link(&two, "U1", "second");
    let [agent, _] = agents(&two, "asker");
    let said = |words: &str| -> usize {
        let logs = [&here, &there].into_iter();
        logs.map(|one| one.log().matches(words).count()).sum()
    };
    // Either of both posts first, and hears nothing of it until the other one has posted too. Where that takes longer than a
    // request to Slack may, it is not this that was seen, and there is another round.
    for round in 0..10 {
        let before = fake.messages(0).await.len();
        let given_up = said("no answer in time");
        fake.fault("chat.postMessage", "held", 1).await;
        let id = crate::effects::pending(&agent.call("sql_query", read(round)).await);
        fake.messages(before + 1).await;
        free(&two);
        fake.messages(before + 2).await;
        let kept = format!("SELECT ts FROM tollgate.slack_card WHERE approval = '{id}' AND ts IS NOT NULL");
        let counts = until("one of them counts", async || {
            let ts = two.sql(&kept);
            (!ts.is_empty()).then_some(ts)
        })
        .await;
        fake.tell("release", &json!({})).await;
        let late = until("what became of the late one", async || {
            let late = said("came too late") > 0;
            (late || said("no answer in time") > given_up).then_some(late)
        })
        .await;
        if !late {
            continue;
        }
        let deleted = until("it is taken back", async || {
            fake.state().await["deleted"].get(0).cloned()
        })
        .await;
        assert_ne!(deleted["ts"], json!(counts));
        assert_eq!(request_of(&deleted), id, "both were about the same request");
        let cards = fake.messages(before + 1).await;
        let of_it: Vec<_> = cards.iter().filter(|card| request_of(card) == id).collect();
        assert_eq!(of_it.len(), 1, "{of_it:#?}");
        assert_eq!(of_it[0]["ts"], json!(counts));
        fake.press(of_it[0], &Press::new("U1", "approve", "1.1")).await;
        until("it is approved", async || {
            (decisions(&two, &id) == "1").then_some(())
        })
        .await;
        return;
    }
    panic!("nobody was ever late");
}

/// Step by step: the first channel, after one time the second, after another the third with its user group; whichever process
/// looks, and each is shown once.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_goes_from_step_to_step() {
    let (mut two, fake) = slack(0).await;
    let last = "C0000000005";
    two.configure(|text| {
        format!(
            "{text}escalate_after_seconds = 60\nescalate_routes = {{ dba = [\"{ESCALATED}\", \"{last} S0000000006\"] }}\n"
        )
    });
    let here = two.serve_here().await;
    let [agent, agent_there] = agents(&two, "asker");
    let id = crate::effects::pending(&agent.call("sql_query", read(1)).await);
    let shown = fake.messages(1).await;
    assert_eq!(shown[0]["channel"], CHANNEL);
    let later = format!("UPDATE tollgate.approval SET created_at = created_at - 61000 WHERE id = '{id}'");
    let kept = async |count: u32| {
        let all = "SELECT count(*) FROM tollgate.slack_card WHERE ts IS NOT NULL";
        until("it is known whose message it is", async || {
            (two.sql(all) == count.to_string()).then_some(())
        })
        .await;
    };
    // Which channel is due when is known to a process from the time when it first looked: so another one looks.
    kept(1).await;
    drop(here);
    free(&two);
    two.sql(&later);
    let there = two.serve_there().await;
    let shown = fake.messages(2).await;
    assert_eq!(shown[1]["channel"], ESCALATED);
    assert!(!shown[1].to_string().contains("S0000000006"), "{shown:#?}");
    // A look at the step after that found nothing to show.
    let looked = crate::effects::pending(&agent_there.call("sql_query", read(2)).await);
    let shown = fake.messages(3).await;
    assert_eq!(
        (&shown[2]["channel"], request_of(&shown[2])),
        (&json!(CHANNEL), looked)
    );
    kept(3).await;
    drop(there);
    free(&two);
    two.sql(&later);
    let _there = two.serve_there().await;
    fake.connected(1).await;
    let shown = fake.messages(4).await;
    assert_eq!(
        (&shown[3]["channel"], request_of(&shown[3])),
        (&json!(last), id.clone())
    );
    assert!(
        shown[3].to_string().contains("S0000000006"),
        "the group is called: {shown:#?}"
    );
    link(&two, "U1", "second");
    fake.press(&shown[3], &Press::new("U1", "approve", "1.1")).await;
    until("it is approved", async || {
        (decisions(&two, &id) == "1").then_some(())
    })
    .await;
    let answer = agent_there
        .call("approval_wait", json!({"approval_id": id}))
        .await;
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    for card in shown.iter().filter(|card| request_of(card) == id) {
        fake.says(&card["ts"], "Carried out").await;
    }
    assert_eq!(fake.messages(4).await.len(), 4);
}

/// Who watches the server sees how many requests Slack does not show, beside the notices that it does not take.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_slack_does_not_show_are_counted() {
    let (mut two, fake) = slack(0).await;
    let port = crate::support::site::Site::free_port()
        .await
        .local_addr()
        .unwrap()
        .port();
    two.configure(|text| {
        let listen = format!("[server]\nmetrics_listen = \"127.0.0.1:{port}\"\n");
        text.replacen("[server]\n", &listen, 1)
    });
    let _here = two.serve_here().await;
    let notices = async |state: &str| -> f64 {
        let http = tollgate::app::http_client().unwrap();
        let page = http
            .get(format!("http://127.0.0.1:{port}/metrics"))
            .send()
            .await
            .unwrap();
        let page = crate::peers::script("metrics.py", json!(page.text().await.unwrap())).await;
        let labels = json!({"channel": format!("slack {CHANNEL}"), "kind": "slack", "state": state});
        let samples = page["tollgate_notices"].as_array().unwrap();
        let mut found = samples.iter().filter(|one| one[0] == labels);
        let count = found.next().unwrap_or_else(|| panic!("no {labels}: {samples:?}"))[1]
            .as_f64()
            .unwrap();
        assert!(found.next().is_none(), "{labels} twice");
        count
    };
    fake.connected(1).await;
    fake.fault("chat.postMessage", "channel_not_found", 1_000).await;
    let [agent, _] = agents(&two, "asker");
    for number in 0..2 {
        let _ = crate::effects::pending(&agent.call("sql_query", read(number)).await);
    }
    until("both are counted", async || {
        (notices("failed").await == 2.0).then_some(())
    })
    .await;
    assert_eq!(
        notices("dead").await,
        0.0,
        "while a request waits it is not given up"
    );
    fake.tell("forget", &json!({})).await;
    fake.messages(2).await;
    until("nothing is owed any more", async || {
        (notices("failed").await == 0.0).then_some(())
    })
    .await;
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
