//! From the agent's call to its answer, with everything in between in Slack.

use serde_json::{Value, json};
use tollgate::call::Hash;
use tollgate::clock::{System, World};

use super::fake::{Press, TEAM, request_of, value_of};
use super::{Bench, CHANNEL, CLIENT, POLICY};
use crate::support::until;

const READ: &str = "SELECT count(*) FROM orders";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_first_then_approves_and_the_card_goes_along() {
    let bench = Bench::start().await;
    let waiting = bench.reads("asker", READ);
    bench.fake.connected(1).await;
    let card = bench.fake.messages(1).await.remove(0);
    let text = card["blocks"].to_string();
    for shown in [
        "sql_query on shop",
        "test#asker",
        READ,
        "0 of 1 approved",
        "Reading the shop needs",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let id = request_of(&card);
    // Nobody's account: a code for it alone, kept as a digest, and nothing is decided.
    bench.fake.press(&card, &Press::new("U1", "approve", "1.1")).await;
    let offer = bench.fake.told("ephemerals", "not linked to a person").await;
    assert_eq!(offer["user"], "U1");
    let found = regex::Regex::new("code: ([A-Z]{5})-([A-Z]{5})").unwrap();
    let words = offer["blocks"].to_string();
    let code = found.captures(&words).unwrap();
    let code = format!("{}{}", &code[1], &code[2]);
    assert!(
        !offer["blocks"].to_string().contains(&format!("slack?{code}")),
        "no address carries it"
    );
    let kept = Hash::of(format!("slack code {code}").as_bytes()).0;
    let mut tx = bench.rows.read().await.unwrap();
    let row = tx
        .slack_code(&kept, System::new().now().0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.team.as_str(), row.account.as_str()), (TEAM, "U1"));
    tx.commit().await.unwrap();
    assert_eq!(bench.state_of(&id).await, "pending");
    // Linked by a sign-in: it counts as that person.
    bench.link("U1", "second").await;
    bench.fake.press(&card, &Press::new("U1", "approve", "1.2")).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let done = bench.fake.says(&card["ts"], "Carried out").await;
    assert_eq!(value_of(&done, "tollgate_approve"), None);
    assert_eq!(value_of(&done, "tollgate_refuse"), None);
    assert!(
        !done["blocks"].to_string().contains(READ),
        "what ran is erased: {done}"
    );
    assert_eq!(
        bench.fake.messages(1).await.len(),
        1,
        "one message, updated in place"
    );
    let thread = bench.fake.threaded("Approved by test#second").await;
    assert_eq!(thread["thread_ts"], card["ts"]);
    let request = bench.request(&id).await;
    assert!(
        request["history"]
            .to_string()
            .contains(&format!("slack {TEAM}/U1 C0000000001/")),
        "{request}"
    );
    // The card as it was decides nothing more.
    bench.fake.press(&card, &Press::new("U1", "approve", "1.3")).await;
    bench.fake.told("ephemerals", "on its page alone").await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_asks_for_its_reason_and_the_requester_is_told() {
    let bench = Bench::start().await;
    bench.link("U1", "second").await;
    bench.link("U2", "asker").await;
    let waiting = bench.reads("asker", READ);
    bench.fake.connected(1).await;
    let card = bench.fake.messages(1).await.remove(0);
    // The person who asked decides nothing, whatever their groups.
    bench.fake.press(&card, &Press::new("U2", "approve", "1.1")).await;
    bench.fake.told("ephemerals", "you asked for this yourself").await;
    bench.fake.press(&card, &Press::new("U1", "refuse", "1.2")).await;
    let view = bench.fake.told("views", "Why not?").await;
    assert_eq!(view["trigger_id"], "trigger.1.2");
    let mut submitted = view["view"].clone();
    submitted["id"] = view["id"].clone();
    let reason = "<!channel> not on a Friday";
    submitted["state"] =
        json!({"values": {"reason": {"reason": {"type": "plain_text_input", "value": reason}}}});
    let payload = json!({
        "type": "view_submission", "user": {"id": "U1", "team_id": TEAM}, "team": {"id": TEAM}, "view": submitted,
    });
    bench.fake.send("form-1", &payload, 1).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["isError"], true, "{answer}");
    assert!(answer.to_string().contains("not on a Friday"), "{answer}");
    bench.fake.says(&card["ts"], "Refused").await;
    let thread = bench.fake.threaded("Refused by test#second").await;
    assert!(
        !thread["text"].as_str().unwrap().contains("<!channel>"),
        "{thread}"
    );
    let own = until("the requester is told", async || {
        let state = bench.fake.state().await;
        let all = state["messages"].as_array()?.clone();
        all.into_iter().find(|one| one["channel"] == "U2")
    })
    .await;
    assert!(own.to_string().contains("not on a Friday"), "{own}");
    bench.end().await;
}

/// Whatever Slack says of a button, what policy calls high-risk and what does not fit is decided on its page.
#[tokio::test(flavor = "multi_thread")]
async fn high_risk_and_what_does_not_fit_has_no_button_and_a_forged_one_decides_nothing() {
    let risky = POLICY.replace("@approval(", "@risk(\"high\") @approval(");
    let bench = Bench::with(&risky, "", "").await;
    bench.link("U1", "second").await;
    let waiting = bench.reads("asker", READ);
    bench.fake.connected(1).await;
    let card = bench.fake.messages(1).await.remove(0);
    assert!(card["blocks"].to_string().contains("high-risk"), "{card}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_whole_or_says_so_and_values_are_never_shown() {
    let bench = Bench::start().await;
    let long = format!(
        "SELECT count(*) FROM orders WHERE id IN ({})",
        vec!["1"; 4000].join(", ")
    );
    let rtl = "SELECT count(*) FROM orders WHERE status = 'שלום'";
    let waits = [
        bench.reads("one", &long),
        bench.reads("two", rtl),
        bench.asks(
            "three",
            json!({"resource": "shop", "statement": "SELECT count(*) FROM orders WHERE status = :s",
                   "parameters": {"s": "closed-and-secret"}}),
        ),
    ];
    let cards = bench.fake.messages(3).await;
    let about = |subject: &str| {
        let found = cards
            .iter()
            .find(|card| card.to_string().contains(&format!("test#{subject}")));
        found.unwrap_or_else(|| panic!("{subject}: {cards:#?}"))
    };
    for (subject, why) in [
        ("one", "it does not fit here"),
        ("two", "right to left"),
        ("three", "its parameters are values"),
    ] {
        let card = about(subject);
        assert!(card["blocks"].to_string().contains(why), "{why}: {card}");
        assert_eq!(value_of(card, "tollgate_approve"), None, "{subject}");
    }
    let digest = Hash::of(long.as_bytes()).hex();
    assert!(about("one").to_string().contains(&digest));
    assert!(!about("three").to_string().contains("closed-and-secret"));
    for wait in waits {
        wait.abort();
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_members_of_the_workspace_whose_link_stands_decide() {
    let bench = Bench::start().await;
    for (account, subject) in [("U1", "second"), ("U3", "second"), ("U4", "second")] {
        bench.link(account, subject).await;
    }
    let weeks_ago = System::new().now().0 - 8 * 24 * 3_600_000;
    bench.link_since("U5", "second", weeks_ago).await;
    bench
        .fake
        .tell("user", &json!({"id": "U3", "is_restricted": true}))
        .await;
    bench
        .fake
        .tell("user", &json!({"id": "U4", "team_id": "T0000000009"}))
        .await;
    let waiting = bench.reads("asker", READ);
    bench.fake.connected(1).await;
    let card = bench.fake.messages(1).await.remove(0);
    let id = request_of(&card);
    bench.fake.press(&card, &Press::new("U3", "approve", "1.3")).await;
    bench.fake.told("ephemerals", "a guest's").await;
    bench.fake.press(&card, &Press::new("U4", "approve", "1.4")).await;
    bench.fake.told("ephemerals", "another workspace").await;
    bench.fake.press(&card, &Press::new("U5", "approve", "1.5")).await;
    bench.fake.told("ephemerals", "its link is over").await;
    // Somebody of another workspace in a shared channel is not even answered.
    let mut stranger = Press::new("U1", "approve", "1.6");
    stranger.team = "T0000000009";
    bench.fake.press(&card, &stranger).await;
    // An action other than the one they saw.
    let mut other = Press::new("U1", "approve", "1.7").payload(&card);
    other["actions"][0]["value"] = json!(format!("v1 {id} {}", "0".repeat(64)));
    bench.fake.send("other", &other, 1).await;
    bench
        .fake
        .told("ephemerals", "what you saw is not what is asked")
        .await;
    assert_eq!(bench.state_of(&id).await, "pending");
    waiting.abort();
    bench.end().await;
}

/// By the group that is asked, and later where nobody decided; never everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_where_its_group_is() {
    let bench = Bench::with(POLICY, "", "routes = { dba = \"C0000000002\" }\n").await;
    let waiting = bench.reads("asker", READ);
    let cards = bench.fake.messages(1).await;
    assert_eq!(cards[0]["channel"], "C0000000002");
    assert_eq!(cards.len(), 1);
    waiting.abort();
    bench.end().await;
}

/// Who shows the request tells it there; every other channel is told as well, and nothing of what would run. Nobody reads
/// that people approved.
#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_is_told_in_every_channel_and_as_what_it_is() {
    let policy = POLICY.replace(
        "@approval(\"1 dba\")",
        "@approval(\"1 dba\") @break_glass(\"analyst\")",
    );
    let bench = Bench::with(&policy, "", "routes = { dba = \"C0000000002\" }\n").await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let id = request_of(&card);
    let said = json!({
        "action_sha256": bench.request(&id).await["action_sha256"],
        "reason": "the shop is on fire",
    });
    let token = bench.site.issuer.id_token(CLIENT, "asker", &["analyst"]);
    let url = format!("{}/api/approvals/{id}/break-glass", bench.control);
    let http = tollgate::app::http_client().unwrap();
    let broken = http
        .post(url)
        .bearer_auth(token)
        .json(&said)
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 200, "{}", broken.text().await.unwrap());
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let there = bench.fake.threaded("broke the glass").await;
    assert_eq!(
        (&there["channel"], &there["thread_ts"]),
        (&card["channel"], &card["ts"])
    );
    let all = bench.fake.messages(2).await;
    let alarm = all.iter().find(|one| one["channel"] == CHANNEL).unwrap();
    let words = alarm["blocks"].to_string();
    assert!(
        words.contains("broke the glass") && words.contains("the shop is on fire"),
        "{words}"
    );
    assert!(!words.contains("SELECT"), "{words}");
    let card = bench.fake.says(&card["ts"], "Carried out").await;
    assert!(
        card["blocks"]
            .to_string()
            .contains("The glass was broken by test#asker"),
        "{card}"
    );
    bench.fake.threaded("Carried out").await;
    let state = bench.fake.state().await["messages"].to_string();
    assert!(!state.contains("Enough people approved"), "{state}");
    bench.end().await;
}

/// Two processes on one store share one app: one message, and a press that comes to both decides once.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_show_a_request_once_and_take_a_press_once() {
    let bench = Bench::start().await;
    let second = bench.second(None);
    bench.fake.connected(2).await;
    bench.link("U1", "second").await;
    let waiting = bench.reads("asker", READ);
    let card = bench.fake.messages(1).await.remove(0);
    let payload = Press::new("U1", "approve", "1.1").payload(&card);
    bench.fake.send("twice", &payload, 4).await;
    bench.fake.send("again-under-another-name", &payload, 2).await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    bench.fake.says(&card["ts"], "Carried out").await;
    assert_eq!(bench.fake.messages(1).await.len(), 1);
    let history: Value = bench.request(&request_of(&card)).await["history"].clone();
    let approvals = history.as_array().unwrap().iter();
    let approvals = approvals.filter(|one| one[1].as_str().unwrap().starts_with("approved"));
    assert_eq!(approvals.count(), 1, "{history}");
    let told = bench.fake.state().await["ephemerals"].as_array().unwrap().len();
    assert_eq!(told, 0, "a press that came again is not answered");
    second.cancel();
    bench.end().await;
}
