//! A session that ended, and whatever belongs to it, on every replica; and what is of no use to anybody else.

use serde_json::{Value, json};

use super::stand::Stand;
use crate::support::agent::{Agent, last};
use crate::support::governed::Person;
use crate::support::people::runs;
use crate::support::process::{Process, phase};
use crate::support::site::{Server, envelope};
use crate::support::until;

/// Analysts read; the shop with the leave of a second person, and searches after they have confirmed them.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst", action in Tollgate::Action::"read", resource);
@id("dba-decide") permit (principal in Tollgate::Group::"dba",
  action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop");
@id("second-person") @approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_read", resource)
unless { context.satisfied.contains("second-person") };
@id("confirmed") @confirm
forbid (principal, action == Tollgate::Action::"file_search", resource)
unless { context.satisfied.contains("confirmed") };
"#;

fn count() -> Value {
    json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" })
}

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

async fn about(agent: &Agent, method: &str, id: &str) -> Value {
    let request = agent.modern(method, json!({ "taskId": id }), &tasks());
    last(request.header("mcp-name", id).send().await.unwrap()).await
}

/// Another query than [`count`]: the same one would wait for the same decision.
async fn task(agent: &Agent) -> String {
    let statement = "SELECT count(*) FROM products";
    let arguments = json!({ "resource": "shop", "statement": statement });
    let params = json!({ "name": "sql_query", "arguments": arguments });
    let answer = agent.modern("tools/call", params, &tasks()).send().await.unwrap();
    let created = last(answer).await["result"].clone();
    assert_eq!(created["resultType"], "task", "{created}");
    created["taskId"].as_str().unwrap().to_owned()
}

/// Waits until so many requests wait for a decision, and gives them.
async fn waiting(dora: &Person, count: usize) -> Vec<Value> {
    until("requests that wait", async || {
        Some(dora.waiting().await).filter(|cards| cards.len() == count)
    })
    .await
}

/// Two replicas on one store: the binary, and one in this process.
async fn two() -> (Stand, Process, Server) {
    let mut stand = Stand::new(POLICY, "[approval]\nhold_seconds = 3600\n").await;
    let here = stand.serve(&[]).await;
    let there = stand.serve_second().await;
    (stand, here, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_on_one_replica_is_nothing_on_the_other_and_leaves_nothing_behind() {
    let (stand, _here, _there) = two().await;
    let grant = stand.sign_in("alice").await;
    let alice = stand.agent(&grant);
    let there = alice.by(&stand.second);
    let gina = stand.agent(&stand.sign_in("gina").await).by(&stand.second);
    assert_eq!((alice.status().await, there.status().await), (200, 200));
    let older = there.open(&json!({})).await;
    let mut stream = there.listen(&older).await;
    let params = json!({ "name": "sql_query", "arguments": count() });
    let held = tokio::spawn(there.modern("tools/call", params.clone(), &json!({})).send());
    let dora = stand.person("dora").await;
    let of_call = waiting(&dora, 1).await;
    let task_id = task(&there).await;
    waiting(&dora, 2).await;
    let others = tokio::spawn(gina.modern("tools/call", params, &json!({})).send());
    waiting(&dora, 3).await;

    let id_token = stand.id_token("alice").await;
    let sessions = stand.sessions(&id_token).await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    stand.end(&id_token, &sessions[0]).await;
    assert_eq!(alice.status().await, 401, "at once where it was ended");
    until("the other replica hears of it", async || {
        (there.status().await == 401).then_some(())
    })
    .await;
    // Cut off by the end of its session, or, a moment before, refused because its request was withdrawn.
    let held = held.await.unwrap().unwrap();
    if held.status() != 401 {
        let answer = last(held).await;
        assert_eq!(
            answer["result"]["isError"], true,
            "the call that waited: {answer}"
        );
    }
    while stream.next().await.is_some() {} // until the stream of the older session is closed
    let open = waiting(&dora, 1).await;
    assert!(
        open[0]["requester"].as_str().unwrap().ends_with("#gina"),
        "{open:?}"
    );
    assert_ne!(open[0]["id"], of_call[0]["id"]);
    let sheet = dora.show(of_call[0]["id"].as_str().unwrap()).await;
    assert_eq!(sheet["state"], "cancelled", "{sheet}");
    assert_eq!(dora.try_approve(&sheet).await.0, 409, "it was withdrawn");
    let refreshed = stand.refresh(&grant.refresh).await;
    assert_eq!(
        (refreshed.status, refreshed.json()["error"].clone()),
        (400, json!("invalid_grant"))
    );

    // The same person in a new session: the old one's things are over, or not theirs.
    let again = stand.agent(&stand.sign_in("alice").await).by(&stand.second);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(again.older(&older, &call).send().await.unwrap().status(), 404);
    let old_task = about(&again, "tasks/get", &task_id).await;
    let status = &old_task["result"]["status"];
    assert!(
        old_task.get("error").is_some() || status == "cancelled",
        "{old_task}"
    );
    assert!(runs(&stand.site).await.is_empty(), "nothing ran");

    // And what is somebody else's went on.
    dora.approve(&dora.show(open[0]["id"].as_str().unwrap()).await)
        .await;
    assert_eq!(others.await.unwrap().unwrap().status(), 200);
    assert_eq!(runs(&stand.site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_refresh_token_takes_the_access_tokens_of_every_replica_along() {
    let (stand, _here, _there) = two().await;
    let grant = stand.sign_in("alice").await;
    let (access, _) = stand.tokens(&stand.refresh(&grant.refresh).await);
    let first = stand.agent(&grant).by(&stand.second);
    let next = Agent::with(&stand.site, access).by(&stand.second);
    assert_eq!((first.status().await, next.status().await), (200, 200));
    let fields = [("token", grant.refresh.as_str()), ("client_id", "editor")];
    assert_eq!(stand.post("/oauth/revoke", &fields).await.status, 200);
    for agent in [first, next] {
        until("the other replica hears of it", async || {
            (agent.status().await == 401).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_provider_opens_nothing_here_and_one_of_ours_nothing_there() {
    let mut stand = Stand::new(POLICY, "").await;
    let _server = stand.serve(&[]).await;
    let grant = stand.sign_in("alice").await;
    let issued = stand.idp.ask("issued", &[]).await;
    let theirs = issued.as_array().unwrap();
    assert_eq!(theirs.len(), 3, "{issued}");
    let theirs = theirs.iter().map(|one| one["token"].as_str().unwrap());
    for token in theirs.chain([grant.refresh.as_str(), &grant.code]) {
        let agent = Agent::with(&stand.site, token.to_owned());
        assert_eq!(agent.status().await, 401);
        let request = Stand::http().get(format!("{}/api/sessions", stand.control));
        let answer = stand.send("a token", request.bearer_auth(token)).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(stand.agent(&grant).status().await, 200);
    let request = Stand::http().get(format!("{}/me", stand.idp.issuer));
    let answer = stand.send("userinfo", request.bearer_auth(&grant.access)).await;
    assert_eq!(answer.status, 401, "{}", answer.text);
    let request = Stand::http().get(format!("{}/api/sessions", stand.control));
    let answer = stand
        .send("the people's side", request.bearer_auth(&grant.access))
        .await;
    assert_eq!(answer.status, 401);
}

/// Two people of the same groups behind the same program.
async fn two_people() -> (Stand, Process, Agent, Agent) {
    let mut stand = Stand::new(POLICY, "[approval]\nhold_seconds = 0\n").await;
    let server = stand.serve(&[]).await;
    let alice = stand.agent(&stand.sign_in("alice").await);
    let gina = stand.agent(&stand.sign_in("gina").await);
    (stand, server, alice, gina)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_session_of_one_person_is_useless_to_another() {
    let (_stand, _server, alice, gina) = two_people().await;
    let session = alice.open(&json!({})).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let status = async |agent: &Agent| agent.older(&session, &call).send().await.unwrap().status();
    assert_eq!(status(&alice).await, 200);
    assert_eq!(status(&gina).await, 404);
    assert_eq!(status(&alice).await, 200, "and it is still theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_one_person_is_useless_to_another() {
    let (stand, _server, alice, gina) = two_people().await;
    let id = task(&alice).await;
    let unknown = about(&gina, "tasks/get", &"0".repeat(32)).await["error"].clone();
    assert_eq!(unknown["message"], "Unknown task");
    let dora = stand.person("dora").await;
    let useless = async || {
        for method in ["tasks/get", "tasks/cancel"] {
            assert_eq!(about(&gina, method, &id).await["error"], unknown, "{method}");
        }
    };
    useless().await;
    let sheet = dora.asked().await;
    dora.approve(&sheet).await;
    useless().await;
    assert!(runs(&stand.site).await.is_empty(), "granted, and nobody ran it");
    let done = until("the task", async || {
        let task = about(&alice, "tasks/get", &id).await["result"].clone();
        (task["status"] != "working").then_some(task)
    })
    .await;
    assert_eq!(done["status"], "completed", "{done}");
    useless().await;
    assert_eq!(runs(&stand.site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_one_person_is_useless_to_another() {
    let (stand, _server, alice, gina) = two_people().await;
    let asked = alice.call("sql_query", count()).await;
    assert_eq!(envelope(&asked)["status"], "approval_pending", "{asked}");
    let id = envelope(&asked)["approval"]["id"].as_str().unwrap().to_owned();
    let dora = stand.person("dora").await;
    dora.approve(&dora.asked().await).await;
    let wait = json!({ "approval_id": id });
    let refused = gina.call("approval_wait", wait.clone()).await;
    assert_eq!(envelope(&refused)["refusal"]["code"], "not_found", "{refused}");
    let same = gina.call("sql_query", count()).await;
    assert_eq!(envelope(&same)["status"], "approval_pending", "{same}");
    assert_ne!(envelope(&same)["approval"]["id"], json!(id), "one of their own");
    assert!(runs(&stand.site).await.is_empty());
    let done = alice.call("approval_wait", wait).await;
    assert_eq!(envelope(&done)["status"], "ok", "{done}");
    assert_eq!(runs(&stand.site).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_state_of_one_person_is_useless_to_another() {
    let (stand, _server, alice, gina) = two_people().await;
    let send = async |agent: &Agent, state: Option<&Value>| {
        let arguments = json!({ "resource": "code", "pattern": "fn" });
        let mut params = json!({ "name": "file_search", "arguments": arguments });
        if let Some(state) = state {
            params["requestState"] = state.clone();
            let yes = json!({ "action": "accept", "content": { "confirm": true } });
            params["inputResponses"] = json!({ "confirm": yes });
        }
        let forms = json!({ "elicitation": { "form": {} } });
        let answer = agent.modern("tools/call", params, &forms).send().await.unwrap();
        last(answer).await["result"].clone()
    };
    let question = send(&alice, None).await;
    assert_eq!(question["resultType"], "input_required", "{question}");
    let stolen = send(&gina, Some(&question["requestState"])).await;
    assert_eq!(stolen["resultType"], "input_required", "asked for themselves");
    assert!(phase(&stand.site, "result").await.is_empty(), "nothing ran");
    let question = send(&alice, None).await;
    let done = send(&alice, Some(&question["requestState"])).await;
    assert_eq!(envelope(&done)["status"], "ok", "{done}");
}
