//! Decisions by signed callback, over real sockets: the integration signs with the library of the standard's makers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::place::http;
use super::whole::{CLIENT, POLICY, Whole, secret, secret_file};
use crate::support::agent::Agent;
use crate::support::until;

/// What the portal signs with: the new key and the one before it.
fn key(number: u8) -> String {
    format!("whsec_{}", STANDARD.encode([number; 32]))
}

async fn portal(policy: &str) -> Whole {
    Whole::dressed("", policy, |site| {
        format!(
            "callback = \"portal\"\ncallback_secrets = [\"{}\", \"{}\"]\ncallback_groups = [\"dba\"]\n",
            secret_file(site, "in.new", &key(1)),
            secret_file(site, "in.old", &key(2)),
        )
    })
    .await
}

fn asks(whole: &Whole, statement: &str, more: Value) -> JoinHandle<Value> {
    let agent = Agent::new(&whole.site, "asker", &["analyst"]);
    let mut arguments = json!({"resource": "shop", "statement": statement});
    arguments
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    tokio::spawn(async move { agent.call("sql_query", arguments).await })
}

/// The notice of a request, as its receiver reads it.
async fn told(whole: &Whole, nth: usize) -> Value {
    until("a notice of a request", async || {
        let received = whole.received.lock().unwrap();
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

fn decision(told: &Value, word: &str) -> Value {
    json!({
        "approval": told["approval"], "action_sha256": told["action_sha256"],
        "nonce": told["callback"]["nonce"], "decide_by": told["callback"]["decide_by"],
        "decision": word,
    })
}

fn approval(told: &Value, person: &str) -> Value {
    let mut said = decision(told, "approve");
    said["on_behalf"] = json!(person);
    said
}

/// One message; more keys of it in `more`.
fn message(told: &Value, said: &Value, more: Value) -> Value {
    let mut message = json!({
        "id": "msg_1", "secret": key(1), "url": told["callback"]["url"], "body": said.to_string(),
    });
    message
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    message
}

async fn send(messages: Vec<Value>) -> Vec<(u64, Value)> {
    let answers = crate::peers::script("callback.py", json!({ "messages": messages })).await;
    let answers = answers.as_array().unwrap().iter();
    answers
        .map(|one| (one[0].as_u64().unwrap(), one[1].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_decides_once_by_a_signed_callback_and_the_call_goes_on() {
    let whole = portal(POLICY).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let told = told(&whole, 0).await;
    assert_eq!(
        told["callback"]["statement"], "SELECT count(*) FROM orders",
        "{told}"
    );
    assert_eq!(
        told["callback"]["url"],
        format!("{}/api/callbacks/portal", whole.control)
    );
    assert_eq!(
        (&told["callback"]["bound"], &told["callback"]["unattended"]),
        (&json!("keys"), &json!(false)),
        "{told}"
    );
    let said = approval(&told, "test#second");
    let same = message(&told, &said, json!({}));
    let answers = send(vec![same.clone(); 6]).await;
    let taken: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(taken.len(), 1, "{answers:?}");
    assert_eq!(
        taken[0].1,
        json!({"approval": told["approval"], "state": "granted"})
    );
    for (status, problem) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!((*status, &problem["status"]), (409, &json!(409)), "{problem}");
    }
    let answer = waiting.await.unwrap();
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    // A new message with the same nonce, by the other key: it was spent.
    let again = message(&told, &said, json!({"id": "msg_2", "secret": key(2)}));
    assert_eq!(send(vec![again]).await[0].0, 409);
    // Who decided is on record, in the very words of the integration.
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    let path = format!("/api/approvals/{}", told["approval"].as_str().unwrap());
    let (_, sheet) = whole.api(&second, &path, None).await;
    assert_eq!(sheet["approved_by"][0]["issuer"], "callback", "{sheet}");
    assert!(
        sheet["history"]
            .to_string()
            .contains("by callback portal msg_1, claimed on behalf of test#second"),
        "{sheet}"
    );
    whole.end().await;
}

/// The key before the new one still counts; the requester is told why it was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_requester_and_the_claim_of_their_own_approval_is_none() {
    let whole = portal(POLICY).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let told = told(&whole, 0).await;
    let own = message(&told, &approval(&told, "test#asker"), json!({}));
    let nobody = message(&told, &decision(&told, "approve"), json!({}));
    let stranger = message(&told, &approval(&told, "elsewhere#second"), json!({}));
    let mut lasting = approval(&told, "test#second");
    lasting["for"] = json!({"minutes": 5, "uses": 1});
    let lasting = message(&told, &lasting, json!({}));
    let mut statuses = Vec::new();
    for one in [own, nobody, stranger, lasting] {
        statuses.push(send(vec![one]).await[0].0);
    }
    assert_eq!(statuses, [403, 422, 400, 400]);
    let mut said = decision(&told, "refuse");
    said["reason"] = json!("not today");
    let old = message(&told, &said, json!({"secret": key(2)}));
    assert_eq!(send(vec![old]).await[0].1["state"], "refused");
    let answer = waiting.await.unwrap();
    assert!(answer.to_string().contains("not today"), "{answer}");
    whole.end().await;
}

/// Who has no key learns nothing: one answer, whatever they name and however they come.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_every_answer_is_the_same_and_nothing_is_decided() {
    let whole = portal(POLICY).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let told = told(&whole, 0).await;
    let said = approval(&told, "test#second");
    let url = told["callback"]["url"].as_str().unwrap();
    let elsewhere = url.replace("portal", "other");
    let forged = [
        json!({"secret": secret()}), // what our own notices are signed with
        json!({"secret": key(3)}),
        json!({"later": -301}),
        json!({"later": 360}),
        json!({"url": elsewhere}),
        json!({"instead": said.to_string().replace("approve", "refuse")}),
        json!({"instead": "{"}),
        json!({"secret": key(3), "body": "{}"}),
        json!({"secret": key(3), "body": said.to_string().replace(told["approval"].as_str().unwrap(), "x")}),
    ];
    let messages = forged
        .into_iter()
        .map(|more| message(&told, &said, more))
        .collect();
    let answers = send(messages).await;
    for (status, problem) in &answers {
        assert_eq!((*status, problem), (403, &answers[0].1));
    }
    let plain = http().post(url).json(&said).send().await.unwrap();
    assert_eq!(plain.status(), 403);
    assert_eq!(plain.json::<Value>().await.unwrap(), answers[0].1);
    // The agent's and a person's tokens are no signature; nothing is decided by looking.
    let agent = Agent::new(&whole.site, "asker", &["analyst", "dba"]);
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    for token in [agent.token(), &second] {
        let answer = http()
            .post(url)
            .bearer_auth(token)
            .json(&said)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403);
    }
    for read in [http().get(url), http().head(url)] {
        assert_eq!(read.send().await.unwrap().status(), 405);
    }
    let large = message(&told, &json!("x".repeat(17 * 1024)), json!({}));
    assert_eq!(send(vec![large]).await[0].0, 413);
    let path = format!("/api/approvals/{}", told["approval"].as_str().unwrap());
    let (_, sheet) = whole.api(&second, &path, None).await;
    assert_eq!(sheet["state"], "pending", "{sheet}");
    waiting.abort();
    whole.end().await;
}

/// Signed is not enough. What can be read in two ways is read in none, what one notice said does not go with what another said,
/// and nothing of it uses anything up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_and_says_two_things_decides_nothing_and_spends_nothing() {
    let whole = portal(POLICY).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let first = told(&whole, 0).await;
    let another = asks(&whole, "SELECT 1 FROM orders", json!({}));
    let second = told(&whole, 1).await;
    let right = approval(&first, "test#second").to_string();
    let open = right.strip_suffix('}').unwrap();
    let (nested, nonce) = ("[".repeat(4_000), &first["callback"]["nonce"]);
    let bodies = [
        format!("{open},\"decision\":\"refuse\"}}"),
        format!("{open},\"decision\":\"approve\"}}"),
        format!("{open},\"on_behalf\":\"test#third\"}}"),
        format!("{open},\"nonce\":{nonce}}}"),
        format!("{open},\"reason\":{nested}{}}}", nested.replace('[', "]")),
        format!("{open},\"reason\":\"it is fine\"}}"),
        format!("{open},\"groups\":[\"dba\"]}}"),
        format!("{right}{right}"),
        format!("[{right}]"),
        format!("\u{feff}{right}"),
        right.replace("\"approve\"", "\"APPROVE\""),
        right.replace("\"approve\"", "[\"approve\"]"),
        "null".to_owned(),
    ];
    let messages = bodies
        .iter()
        .map(|body| message(&first, &json!(null), json!({"body": body})));
    for ((status, problem), body) in send(messages.collect()).await.iter().zip(&bodies) {
        assert_eq!(*status, 400, "{body}: {problem}");
    }
    // What another notice said: its nonce, its request, its action, its deadline.
    let mut swapped = Vec::new();
    for (member, value) in [
        ("nonce", &second["callback"]["nonce"]),
        ("approval", &second["approval"]),
        ("action_sha256", &second["action_sha256"]),
        ("decide_by", &json!("2099-01-01T00:00:00.000Z")),
    ] {
        let mut said = approval(&first, "test#second");
        said[member] = value.clone();
        swapped.push(message(&first, &said, json!({})));
    }
    for (status, problem) in send(swapped).await {
        assert_eq!(
            (status, &problem["type"]),
            (409, &json!("urn:tollgate:problem:changed")),
            "{problem}"
        );
    }
    // Of all that nothing was used up: both are decided by what their own notices said. What a proxy made of the content type
    // is no part of what was signed.
    let plain = json!({"type": "text/plain"});
    for (told, waits) in [(&first, waiting), (&second, another)] {
        let taken = send(vec![message(told, &approval(told, "test#second"), plain.clone())]).await;
        assert_eq!(taken[0].0, 200, "{taken:?}");
        let answer = waits.await.unwrap();
        assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    }
    whole.end().await;
}

/// One request that cannot be read from the store: its notice is owed, and those of others are given.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_a_request_that_cannot_be_read_is_owed_and_keeps_no_other_back() {
    let whole = portal(POLICY).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let id = told(&whole, 0).await["approval"].as_str().unwrap().to_owned();
    let store = rusqlite::Connection::open(whole.site.dir.path().join("journal.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let kept: String = store
        .query_row("SELECT terms FROM approval WHERE id = ?1", [&id], |row| {
            row.get(0)
        })
        .unwrap();
    let write = |terms: &str| {
        let done = store.execute("UPDATE approval SET terms = ?2 WHERE id = ?1", [&id, terms]);
        assert_eq!(done.unwrap(), 1);
    };
    write("{");
    let told_of = "INSERT INTO approval_event (approval, at, word, words, recorded) VALUES (?1, 1, 'escalated', 'dba', 1)";
    assert_eq!(store.execute(told_of, [&id]).unwrap(), 1);
    let owed = "SELECT count(*) FROM approval_delivery d JOIN approval_event e ON e.seq = d.event \
                WHERE e.word = 'escalated' AND d.state = 'failed' AND d.attempts > 0 AND d.error LIKE '%cannot be read%'";
    until("it is owed", async || {
        let count: u32 = store.query_row(owed, [], |row| row.get(0)).unwrap();
        (count == 1).then_some(())
    })
    .await;
    let another = asks(&whole, "SELECT 1 FROM orders", json!({}));
    assert!(told(&whole, 1).await["callback"]["nonce"].is_string());
    write(&kept);
    until("what was owed is told", async || {
        let received = whole.received.lock().unwrap();
        let escalated = received
            .iter()
            .find(|(_, body)| body.contains("\"approval.escalated\""))?;
        escalated.1.contains(&id).then_some(())
    })
    .await;
    waiting.abort();
    another.abort();
    whole.end().await;
}

/// What wants its page is told without what it takes to decide; and what somebody's words would do, they do not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_high_risk_or_does_not_fit_is_told_and_not_put_to_it() {
    let whole =
        portal(&POLICY.replacen("@approval(\"1 dba\")", "@approval(\"1 dba\") @risk(\"high\")", 1)).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders", json!({}));
    let risky = told(&whole, 0).await;
    assert!(risky["url"].is_string() && risky["callback"].is_null(), "{risky}");
    waiting.abort();
    whole.end().await;
    let whole = portal(POLICY).await;
    let with_values = json!({"parameters": ["o1"]});
    let waiting = asks(&whole, "SELECT count(*) FROM orders WHERE id = ?", with_values);
    let told = told(&whole, 0).await;
    assert!(
        told["callback"].is_null() && !told.to_string().contains("o1\""),
        "{told}"
    );
    waiting.abort();
    whole.end().await;
}

/// The operator is told which key is missing, is none, or is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_key_that_is_missing_or_shared() {
    let whole = portal(POLICY).await;
    let config = whole.site.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let folder = whole.site.dir.path().display().to_string();
    let checked = async |text: &str| {
        std::fs::write(&config, text).unwrap();
        let config = tollgate::config::Config::load(&config).unwrap();
        let report = tollgate::app::check(&config).await;
        format!("{report:?}")
    };
    let missing = checked(&text.replace(&format!("file:{folder}/in.new"), "env:TOLLGATE_NO_SUCH_KEY")).await;
    assert!(
        missing.contains("callback_secrets") && missing.contains("TOLLGATE_NO_SUCH_KEY"),
        "{missing}"
    );
    let shared = checked(&text.replace("in.new", "hook.secret")).await;
    assert!(
        shared.contains("signs with is a secret of another place"),
        "{shared}"
    );
    let right = checked(&text).await;
    assert!(!right.contains("mend the [[approval.channel]]"), "{right}");
    assert!(right.contains("deciding-integration"), "{right}");
    whole.end().await;
}
