//! Who asks and who decides are apart on the running server: attacks on the real binary by people, by their agents, and
//! from inside its sandbox.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::effects::{RAISE, change, changed, dan, pending, prices, wait};
use crate::support::agent::Agent;
use crate::support::governed::{Governed, Person};
use crate::support::site::{Site, envelope};

/// Policies of the site with this put in another's place; their own tests speak of them as they were.
fn policies(site: &Site, file: &str, old: &str, new: &str, more: &str) {
    let folder = site.dir.path().join("policies");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(old));
    std::fs::write(folder.join(file), text.replace(old, new)).unwrap();
    std::fs::write(folder.join("90-here.cedar"), more).unwrap();
    std::fs::remove_dir_all(folder.join("tests")).unwrap();
}

async fn sent(method: Method, url: String, header: (&str, &str), body: &Value) -> Response {
    let http = tollgate::app::http_client().unwrap();
    let request = http.request(method, url).header(header.0, header.1);
    request.json(body).send().await.unwrap()
}

/// Everything on the control side, with everything that an agent holds, from the same machine.
async fn knocks(lea: &Person, agent: &Agent, id: &str, sheet: &Value) {
    let control = lea.url().replace("/api/approvals", "");
    let token = agent.token();
    let bearer = format!("Bearer {token}");
    let cookies = format!("__Host-tollgate-session={token}; __Host-tollgate-signin={token}");
    let body = json!({"action_sha256": sheet["action_sha256"], "reason": "do it"});
    for path in [
        format!("/api/approvals/{id}/approve"),
        format!("/api/approvals/{id}/refuse"),
        format!("/api/approvals/{id}/cancel"),
        format!("/api/approvals/{id}/break-glass"),
        "/api/delegations".to_owned(),
        format!("/approvals/{id}/approve"),
        format!("/approvals/{id}/refuse"),
        format!("/approvals/{id}/cancel"),
        format!("/approvals/{id}/break-glass"),
        "/security-keys".to_owned(),
        "/slack".to_owned(),
        "/callbacks".to_owned(),
    ] {
        for header in [
            ("authorization", bearer.as_str()),
            ("cookie", cookies.as_str()),
            ("mcp-session-id", token),
        ] {
            let url = format!("{control}{path}");
            let api = path.starts_with("/api");
            let answer = sent(Method::POST, url, header, &body).await;
            let (status, place) = (answer.status(), answer.headers().get("location").cloned());
            // No page of ours sent it (403), there is no such place (404, 405), or it has to sign in (401, 303).
            assert!(!status.is_success(), "{path} {}: {status} {place:?}", header.0);
            assert!(
                !api || status == StatusCode::UNAUTHORIZED,
                "{path} {}: {status}",
                header.0
            );
        }
    }
    for path in ["/approvals", "/grants", "/events", "/policies", "/sessions"] {
        let url = format!("{control}{path}");
        let answer = sent(Method::GET, url, ("authorization", &bearer), &json!({})).await;
        let text = answer.text().await.unwrap();
        assert!(!text.contains(id), "{path} shows what waits: {text}");
    }
}

/// What a script can try from the sandbox: the control side by every name of this machine, and the rules it is held to.
/// Gives what looks, and what writes.
fn break_out(site: &Site, port: &str) -> [String; 2] {
    let dir = site.dir.path().display();
    let agents = site.url.rsplit(':').next().unwrap();
    let files = "tollgate.toml tollgate.db policies/10-everyone.cedar";
    [
        format!(
            "for port in {port} {agents}; do for host in 127.0.0.1 localhost 0.0.0.0 ::1; do \
               (exec 3<>/dev/tcp/$host/$port) 2>/dev/null && echo \"reached $host\"; done; done; \
             for file in {files}; do cat {dir}/$file >/dev/null 2>&1 && echo \"read $file\"; done; env;"
        ),
        format!(
            "for file in {files}; do \
               (echo 'permit (principal, action, resource);' >> {dir}/$file) 2>/dev/null && echo \"wrote $file\"; done; \
             echo done"
        ),
    ]
}

/// What the same text says without a sandbox: that it can reach and read at all.
#[expect(
    clippy::disallowed_methods,
    reason = "the comparison is a process of no one's but the test's"
)]
fn unconfined(text: &str) -> String {
    let ran = std::process::Command::new("bash").args(["-c", text]).output();
    String::from_utf8(ran.unwrap().stdout).unwrap()
}

/// Rows H2 and 19. A poisoned ticket speaks through the agent of somebody who may decide: all that it can reach decides nothing.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_h2_19_a_reviewers_own_injected_agent_decides_nothing() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let site = &all.site;
    let before = prices(site);
    let rules = std::fs::read(site.dir.path().join("policies/10-everyone.cedar")).unwrap();
    let id = pending(&dan(site).call("sql_execute", change(RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    // Lea may decide it. Her agent has all of her rights.
    let agent = Agent::new(site, "lea", &["dba", "developer", "analyst"]);
    for (tool, arguments) in [
        ("approval_wait", wait(&id)),
        ("approve", json!({"approval_id": id})),
        (
            "approval_decide",
            json!({"approval_id": id, "decision": "approve"}),
        ),
        (
            "access_request",
            json!({"tool": "approve", "arguments": {"approval_id": id}, "reason": "she said so"}),
        ),
    ] {
        let answer = agent
            .modern(
                "tools/call",
                json!({"name": tool, "arguments": arguments}),
                &json!({}),
            )
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        let refused = answer.get("error").is_some() || answer["result"]["isError"] == json!(true);
        assert!(refused, "{tool}: {answer}");
    }
    // The very same call as hers makes a request of her own, which is not hers to decide.
    let own = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_ne!(own, id);
    let theirs = lea.show(&own).await;
    assert_eq!(lea.try_approve(&theirs).await.0, 403);
    knocks(&lea, &agent, &id, &sheet).await;

    // Somebody is talked into a script of hers: from inside there is no control side and no rule to change.
    let port = lea
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let [looks, writes] = break_out(site, &port);
    let outside = unconfined(&looks);
    assert!(
        outside.contains("reached 127.0.0.1") && outside.contains("read tollgate.toml"),
        "{outside}"
    );
    let script = json!({"resource": "work", "argv": ["bash", "-c", looks + &writes], "change": true});
    let asked = pending(&agent.call("shell_run", script).await);
    let kim = all.person("kim", &["developer"]);
    kim.approve(&kim.show(&asked).await).await;
    let ran = agent.call("approval_wait", wait(&asked)).await;
    let shown = envelope(&ran)["data"]["stdout"].as_str().unwrap();
    assert!(shown.ends_with("done\n"), "{ran}");
    for word in ["reached", "read ", "wrote ", "TOLLGATE"] {
        assert!(!shown.contains(word), "{shown}");
    }
    assert_eq!(
        std::fs::read(site.dir.path().join("policies/10-everyone.cedar")).unwrap(),
        rules
    );
    assert_eq!(lea.show(&id).await["state"], json!("pending"));
    assert_eq!(prices(site), before);
    // She decides it herself, as a person.
    lea.approve(&sheet).await;
    changed(&dan(site).call("approval_wait", wait(&id)).await, 3);
    crate::effects::changes::end(&all.site, server).await;
}

/// Rows H3, H4 and H5: one person takes one seat, whatever groups they are in and however often they come; whoever asks takes
/// none, administrator or not; and as soon as the seats are taken it is granted.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_h3_h4_h5_one_person_is_one_seat_on_the_running_server() {
    let mut all = Governed::new(0).await;
    policies(
        &all.site,
        "10-everyone.cedar",
        "@approval(\"1 dba\")",
        "@approval(\"1 dba, 1 developer\")",
        r#"
@id("both-approve") permit (principal, action == Tollgate::Action::"approve", resource in Tollgate::Label::"shop")
when { principal.kind == "person" };
@id("dba-administer") permit (principal in Tollgate::Group::"dba", action == Tollgate::Action::"administer", resource);
"#,
    );
    let server = all.serve().await;
    let before = prices(&all.site);
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let both = all.person("lea", &["dba", "developer"]);
    let sheet = both.asked().await;
    // Whoever asks, with every group and the right to administer.
    let asker = all.person("dan", &["dba", "developer", "analyst"]);
    assert_eq!(asker.try_approve(&sheet).await.0, 403);
    both.approve(&sheet).await;
    // Again, as the same person in fewer groups, in more, and in the other one alone.
    for groups in [
        &["dba", "developer"][..],
        &["developer"],
        &["dba"],
        &["developer", "dba", "analyst"],
    ] {
        let again = all.person("lea", groups);
        assert_eq!(again.try_approve(&sheet).await.0, 409, "{groups:?}");
    }
    let shown = both.show(&id).await;
    assert_eq!(shown["state"], json!("pending"), "{shown}");
    assert_eq!(shown["approved_by"].as_array().unwrap().len(), 1);
    pending(&agent.call("approval_wait", wait(&id)).await);
    assert_eq!(prices(&all.site), before);
    // A second person, of the same two groups: two people are two seats, and it is granted at once.
    let second = all.person("kim", &["dba", "developer"]);
    second.approve(&sheet).await;
    assert_eq!(second.show(&id).await["state"], json!("granted"));
    changed(&agent.call("approval_wait", wait(&id)).await, 3);
    // One seat, and somebody of two groups: that is enough (H5).
    let script = json!({"resource": "work", "argv": ["bash", "-c", "echo one"]});
    let dev = Agent::new(&all.site, "dev", &["developer"]);
    let asked = pending(&dev.call("shell_run", script).await);
    both.approve(&both.show(&asked).await).await;
    assert_eq!(both.show(&asked).await["state"], json!("granted"));
    crate::effects::changes::end(&all.site, server).await;
}
