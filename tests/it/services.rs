//! Services with API keys on the real binary: what a key opens, what it never opens, and how it ends.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::agent::{Agent, last};
use crate::support::governed::{Governed, Person};
use crate::support::process::{phase, tollgate, verify};
use crate::support::site::Site;
use crate::support::until;

/// Analysts read everything, those of the `dba` change, decide and administer the shop.
const POLICY: &str = r#"
@id("analysts") permit (principal in Tollgate::Group::"analyst", action in Tollgate::Action::"read", resource);
@id("changes") permit (principal in Tollgate::Group::"dba", action in Tollgate::Action::"change", resource);
@id("measures") permit (principal, action == Tollgate::Action::"measure", resource);
@id("control") permit (principal in Tollgate::Group::"dba",
  action in [Tollgate::Action::"approve", Tollgate::Action::"administer"], resource in Tollgate::Label::"shop");
@id("second-person") @approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_write", resource)
unless { context.satisfied.contains("second-person") };
"#;

async fn governed() -> Governed {
    let governed = Governed::new(0).await;
    governed.site.set_policies(POLICY);
    governed
}

/// One request to the API of keys.
async fn keys(person: &Person, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let base = person.url().replace("/api/approvals", "/api/keys");
    let http = tollgate::app::http_client().unwrap();
    let mut request = http.request(method, format!("{base}{path}"));
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.bearer_auth(person.token()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn reader(service: &str) -> Value {
    json!({"service": service, "groups": ["analyst"], "tools": ["list_resources", "sql_query"],
        "resources": ["shop"], "life_seconds": 86_400})
}

async fn make(person: &Person, new: &Value) -> (String, String) {
    let (status, made) = keys(person, Method::POST, "", Some(new)).await;
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn status(agent: &Agent) -> u16 {
    let request = agent.modern("tools/list", json!({}), &json!({}));
    request.send().await.unwrap().status().as_u16()
}

async fn tools(agent: &Agent) -> Vec<String> {
    let answer = agent
        .modern("tools/list", json!({}), &json!({}))
        .send()
        .await
        .unwrap();
    let message = last(answer).await;
    let tools = message["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

fn query(resource: &str) -> Value {
    json!({"resource": resource, "statement": "SELECT id FROM orders LIMIT 1"})
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["refusal"]["code"]
        .as_str()
        .unwrap_or_default()
}

/// Every text the site's folder holds: store, journal, log.
fn assert_nowhere(site: &Site, secret: &str) {
    let mut folders = vec![site.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_tools_on_its_resources_and_ends_wherever_it_is_taken_back() {
    let mut governed = governed().await;
    let server = governed.serve().await;
    let admin = governed.person("ada", &["dba"]);
    let (id, key) = make(&admin, &reader("nightly")).await;
    let agent = Agent::with(&governed.site, key.clone());
    assert_eq!(tools(&agent).await, ["list_resources", "sql_query"]);
    let listed = agent.call("list_resources", json!({})).await;
    let resources = listed["structuredContent"]["data"]["resources"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = resources
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["shop"], "{listed}");
    let answer = agent.call("sql_query", query("shop")).await;
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    // Policies permit the group all of this; the key does not.
    let person = Agent::new(&governed.site, "ann", &["analyst"]);
    let read = json!({"resource": "code", "path": "README.md"});
    assert_eq!(
        person.call("file_read", read.clone()).await["structuredContent"]["status"],
        "ok"
    );
    assert_eq!(agent.call("file_read", read).await["code"], -32602);
    assert_eq!(
        agent.call("sql_schema", json!({"resource": "shop"})).await["code"],
        -32602
    );
    let outside = agent.call("sql_query", query("code")).await;
    let invented = agent.call("sql_query", query("elsewhere")).await;
    assert_eq!(
        (code(&outside), code(&invented)),
        ("unknown_resource", "unknown_resource")
    );
    // On record as a service, and its making too.
    let call = answer["structuredContent"]["call_id"].as_str().unwrap();
    let records = crate::support::process::history(&governed.site, call).await["records"].clone();
    assert_eq!(records[0]["principal"]["kind"], "service");
    assert_eq!(records[0]["principal"]["id"], "service#nightly");
    assert_eq!(records[0]["agent"]["client_id"], format!("key:{id}"));
    assert_eq!(
        changes(&governed.site).await,
        [("create".to_owned(), "test#ada".to_owned())]
    );
    // Another process on the same store takes it back.
    let done = tollgate(&governed.site, &["keys", "revoke", &id]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    until("the key to end", async || {
        (status(&agent).await == 401).then_some(())
    })
    .await;
    let refused = agent
        .modern("tools/list", json!({}), &json!({}))
        .send()
        .await
        .unwrap();
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(
        challenge.contains("error=\"invalid_token\"") && !challenge.contains("tgk_"),
        "{challenge}"
    );
    let log = server.log();
    drop(server);
    assert!(!log.contains(&key));
    let secret = key.rsplit_once(&format!("{id}_")).unwrap().1.to_owned();
    assert_nowhere(&governed.site, &secret);
    assert_eq!(verify(&governed.site, &[])["intact"], true);
    assert_eq!(changes(&governed.site).await.len(), 2);
}

/// What became of keys, as the journal tells: (change, by whom).
async fn changes(site: &Site) -> Vec<(String, String)> {
    let file = site
        .dir
        .path()
        .join(format!("export-{}", phase(site, "config").await.len()));
    let _old = std::fs::remove_file(&file);
    let done = tollgate(site, &["audit", "export", file.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut found = Vec::new();
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let config = &line["record"]["config"];
        if let Some(change) = config["event"]
            .as_str()
            .and_then(|event| event.strip_prefix("api_key_"))
        {
            found.push((change.to_owned(), config["by"].as_str().unwrap().to_owned()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_loses_no_call_and_only_administrators_come_near() {
    let mut governed = governed().await;
    let server = governed.serve().await;
    let admin = governed.person("ada", &["dba"]);
    let (id, old) = make(&admin, &reader("nightly")).await;
    let old = Agent::with(&governed.site, old);
    let path = format!("/{id}/rotate");
    let (status_, made) = keys(
        &admin,
        Method::POST,
        &path,
        Some(&json!({"overlap_seconds": 3600})),
    )
    .await;
    assert_eq!(status_, 201, "{made}");
    let new = Agent::with(&governed.site, made["key"].as_str().unwrap().to_owned());
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    let now = json!({"overlap_seconds": 0});
    let path = format!("/{}/rotate", made["id"].as_str().unwrap());
    let (_, third) = keys(&admin, Method::POST, &path, Some(&now)).await;
    let third = Agent::with(&governed.site, third["key"].as_str().unwrap().to_owned());
    assert_eq!(
        (status(&new).await, status(&third).await),
        (401, 200),
        "at once, in this process"
    );
    assert_eq!(status(&old).await, 200, "its own hour goes on");
    // Neither the key nor an agent's token nor a person without the right reaches the API.
    let analyst = governed.person("ann", &["analyst"]);
    let (refused, body) = keys(&analyst, Method::GET, "", None).await;
    assert_eq!(
        (refused, &body["type"]),
        (403, &json!("urn:tollgate:problem:not-permitted"))
    );
    assert_eq!(keys(&analyst, Method::POST, "", Some(&reader("x"))).await.0, 403);
    let url = admin.url().replace("/api/approvals", "/api/keys");
    let person_agent = Agent::new(&governed.site, "ada", &["dba"]);
    for token in [old.token(), person_agent.token()] {
        let http = tollgate::app::http_client().unwrap();
        let sent = http
            .post(&url)
            .bearer_auth(token)
            .json(&reader("x"))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 401);
    }
    // What she may not administer, and what there is not, is in no key.
    for (change, status) in [
        (json!({"resources": ["shop", "code"]}), 403),
        (json!({"resources": ["shoop"]}), 422),
        (json!({"tools": ["sql_qury"]}), 422),
        (json!({"groups": ["root"]}), 422),
        (json!({"life_seconds": 366 * 86_400}), 422),
        (json!({"service": "nightly"}), 409),
    ] {
        let mut new = reader("other");
        for (name, value) in change.as_object().unwrap() {
            new[name] = value.clone();
        }
        let (got, body) = keys(&admin, Method::POST, "", Some(&new)).await;
        assert_eq!(got, status, "{body}");
        if change["tools"].is_array() {
            assert_eq!(
                body["detail"],
                "There is no tool `sql_qury`: did you mean `sql_query`?"
            );
        }
    }
    let kinds: Vec<String> = changes(&governed.site)
        .await
        .into_iter()
        .map(|(change, _)| change)
        .collect();
    assert_eq!(kinds, ["create", "rotate", "rotate"]);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_asks_people_and_a_revoked_one_cannot_carry_out_what_they_granted() {
    let mut governed = governed().await;
    let server = governed.serve().await;
    let admin = governed.person("ada", &["dba"]);
    let writer = json!({"service": "cleaner", "groups": ["analyst", "dba"],
        "tools": ["sql_execute", "approval_wait"], "resources": ["shop"], "life_seconds": 86_400});
    let (id, key) = make(&admin, &writer).await;
    let agent = Agent::with(&governed.site, key);
    let change = |order: u32| json!({"resource": "shop", "statement": format!("UPDATE orders SET status = 'closed' WHERE id = {order}")});
    let pending = agent.call("sql_execute", change(1)).await;
    assert_eq!(
        pending["structuredContent"]["status"], "approval_pending",
        "{pending}"
    );
    let sheet = admin.asked().await;
    assert_eq!(sheet["requester"], "service#cleaner");
    admin.approve(&sheet).await;
    let done = agent.call("sql_execute", change(1)).await;
    assert_eq!(done["structuredContent"]["status"], "ok", "{done}");
    agent.call("sql_execute", change(2)).await;
    let sheet = admin.asked().await;
    admin.approve(&sheet).await;
    assert_eq!(
        keys(&admin, Method::POST, &format!("/{id}/revoke"), Some(&json!({})))
            .await
            .0,
        200
    );
    assert_eq!(status(&agent).await, 401);
    let card = admin.show(sheet["id"].as_str().unwrap()).await;
    assert_eq!(card["state"], "granted", "and nobody is left to spend it");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_keys_at_the_server_and_they_are_on_record() {
    let mut site = Site::for_process().await;
    site.set_policies(POLICY);
    let server = crate::support::process::Process::serve(&mut site, &[]).await;
    let run = |arguments: &[&str]| {
        let done = tollgate(&site, &[&["keys"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            done.status.code().unwrap(),
            text(&done.stdout),
            text(&done.stderr),
        )
    };
    let create = [
        "create",
        "nightly",
        "--tool",
        "sql_query",
        "--resource",
        "shop",
        "--group",
        "analyst",
    ];
    assert_eq!(run(&create).0, 2, "without an end there is no key");
    let (code, out, notes) = run(&[&create[..], &["--expires", "90d"]].concat());
    assert_eq!(code, 0, "{notes}");
    let key = out.strip_suffix('\n').unwrap().to_owned();
    assert!(
        key.starts_with("tgk_") && key.len() == 60 && !notes.contains("tgk_"),
        "{out}{notes}"
    );
    let agent = Agent::with(&site, key.clone());
    let answer = agent.call("sql_query", query("shop")).await;
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    let (_, listed, _) = run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let one = &listed["keys"][0];
    assert_eq!(
        (&one["service"], &one["state"]),
        (&json!("nightly"), &json!("live"))
    );
    let id = one["id"].as_str().unwrap();
    assert!(one["made_by"].as_str().unwrap().starts_with("local#"), "{one}");
    let (_, plain, _) = run(&["list"]);
    assert!(
        plain.contains("service#nightly") && !plain.contains("tgk_"),
        "{plain}"
    );
    for (arguments, words) in [
        (
            vec!["create", "x", "--tool", "sql_qeury", "--expires", "1d"],
            "did you mean `sql_query`?",
        ),
        (
            vec!["create", "x", "--resource", "shpo", "--expires", "1d"],
            "did you mean `shop`?",
        ),
        (
            vec!["create", "x", "--group", "analist", "--expires", "1d"],
            "did you mean `analyst`?",
        ),
        (
            vec!["create", "X y", "--expires", "1d"],
            "cannot be the name of a service",
        ),
        (vec!["create", "x", "--expires", "366d"], "at most 365 days"),
        (vec!["create", "nightly", "--expires", "1d"], "rotate that one"),
        (vec!["rotate", "aaaaaaaaaaaa"], "there is no such key"),
        (vec!["rotate", id, "--overlap", "31d"], "at most 30 days"),
        (vec!["revoke", "nightly"], "there is no such key"),
    ] {
        let (code, out, notes) = run(&arguments);
        assert!(
            code == 1 && out.is_empty() && notes.contains(words),
            "{arguments:?}: {notes}"
        );
    }
    let (code, new, notes) = run(&["rotate", id, "--overlap", "1h"]);
    assert_eq!(code, 0, "{notes}");
    let second = Agent::with(&site, new.trim().to_owned());
    assert_eq!((status(&agent).await, status(&second).await), (200, 200));
    assert_eq!(run(&["revoke", id]).0, 0);
    assert_eq!(run(&["revoke", id]).0, 1, "once");
    until("the key to end", async || {
        (status(&agent).await == 401).then_some(())
    })
    .await;
    assert_eq!(status(&second).await, 200);
    drop(server);
    let kinds: Vec<String> = changes(&site)
        .await
        .into_iter()
        .map(|(change, _)| change)
        .collect();
    assert_eq!(kinds, ["create", "rotate", "revoke"]);
    for key in [key, new.trim().to_owned()] {
        assert_nowhere(&site, key.get(17..).unwrap());
    }
}

/// Whoever could call themselves a service, or put one into a group, would hold a key they were not given.
#[tokio::test]
async fn no_issuer_is_called_service_and_no_claim_makes_one() {
    let site = Site::new().await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    let refused = |changed: String| {
        assert_ne!(changed, text);
        std::fs::write(site.config(), changed).unwrap();
        let error = tollgate::config::Config::load(&site.config()).unwrap_err();
        let messages = error.problems.iter().map(|problem| problem.message.clone());
        messages.collect::<Vec<_>>().join("\n")
    };
    let words = refused(text.replace("name = \"test\"", "name = \"service\""));
    assert!(words.contains("which Tollgate keeps for itself"), "{words}");
    let words = refused(text.replace("[\"test:", "[\"service:nightly\", \"test:"));
    assert!(words.contains("in the groups that its API key names"), "{words}");
}
