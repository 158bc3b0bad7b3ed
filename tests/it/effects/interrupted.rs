//! A server that ends between a decision and its effect, or in the middle of one.

use serde_json::{Value, json};

use super::{RAISE, change, changed, code, dan, pending, prices, ran, shop, transitions, wait};
use crate::support::agent::{Agent, last};
use crate::support::governed::Governed;
use crate::support::process::verify;
use crate::support::site::{Site, envelope};
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_change_survives_a_restart_and_is_made_once() {
    for hard in [false, true] {
        let mut all = Governed::new(0).await;
        let server = all.serve().await;
        let before = prices(&all.site);
        let id = pending(&dan(&all.site).call("sql_execute", change(RAISE)).await);
        let lea = all.person("lea", &["dba"]);
        lea.approve(&lea.asked().await).await;
        if hard {
            server.kill();
        } else {
            server.terminate();
            server.exit().await;
        }
        assert_eq!(prices(&all.site), before);

        let server = all.serve().await;
        let agent = dan(&all.site);
        changed(&agent.call("approval_wait", wait(&id)).await, 3);
        let again = agent.call("approval_wait", wait(&id)).await;
        assert!(envelope(&again)["repeats"].is_string(), "{again}");
        assert_eq!(prices(&all.site), before + 300, "once");
        assert_eq!(ran(&all.site, "sql_execute").await.len(), 1);
        server.terminate();
        server.exit().await;
        assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
    }
}

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

async fn task(agent: &Agent, id: &str) -> Value {
    let request = agent.modern("tasks/get", json!({ "taskId": id }), &tasks());
    let response = request.header("mcp-name", id).send().await.unwrap();
    last(response).await["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_change_survives_a_restart_and_is_made_once() {
    let mut all = Governed::new(3_600).await;
    let server = all.serve().await;
    let before = prices(&all.site);
    let params = json!({ "name": "sql_execute", "arguments": change(RAISE) });
    let agent = dan(&all.site);
    let created = agent.modern("tools/call", params, &tasks()).send().await.unwrap();
    let id = last(created).await["result"]["taskId"]
        .as_str()
        .unwrap()
        .to_owned();
    let lea = all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    assert_eq!(sheet["id"], json!(id));
    server.kill();
    let server = all.serve().await;
    lea.approve(&lea.asked().await).await;
    let agent = dan(&all.site);
    let done = until("the end of the task", async || {
        let task = task(&agent, &id).await;
        (task["status"] != "working").then_some(task)
    })
    .await;
    assert_eq!(done["status"], "completed", "{done}");
    changed(&done["result"], 3);
    let again = task(&agent, &id).await["result"].clone();
    assert_eq!(envelope(&again)["data"], envelope(&done["result"])["data"]);
    assert!(envelope(&again)["repeats"].is_string(), "{again}");
    let other = Agent::new(&all.site, "eve", &["dba"]);
    assert_eq!(task(&other, &id).await, Value::Null, "somebody else's");
    assert_eq!(prices(&all.site), before + 300, "once");
    assert_eq!(ran(&all.site, "sql_execute").await.len(), 1);
    server.terminate();
    server.exit().await;
}

async fn spent(site: &Site, id: &str) {
    until("the approval is spent, on record", async || {
        let words = transitions(site, id).await;
        words.contains(&"spent".to_owned()).then_some(())
    })
    .await;
}

/// The outcome is unknown, for whoever asks and as often as they ask, and nothing runs again.
async fn unknown(agent: &Agent, id: &str) {
    for _ in 0..2 {
        let answer = agent.call("approval_wait", wait(id)).await;
        assert_eq!(code(&answer), "outcome_unknown", "{answer}");
        assert_eq!(answer["isError"], json!(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_taking_the_approval_and_the_commit_it_is_unknown_and_never_made_again() {
    let mut all = Governed::new(0).await;
    // With a rollback journal a commit waits until nobody reads: the place to be killed at.
    shop(&all.site)
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
        .unwrap();
    let server = all.serve().await;
    let before = prices(&all.site);
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = all.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    let reader = shop(&all.site);
    reader.execute_batch("BEGIN").unwrap();
    let read = |sql| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(read("SELECT count(*) FROM orders") > 0);
    let running = {
        let (agent, id) = (agent.clone(), id.clone());
        tokio::spawn(async move { agent.call("approval_wait", wait(&id)).await })
    };
    spent(&all.site, &id).await;
    server.kill();
    running.abort();
    drop(reader);
    assert_eq!(prices(&all.site), before, "the file's own journal took it back");

    let server = all.serve().await;
    let agent = dan(&all.site);
    unknown(&agent, &id).await;
    assert_eq!(prices(&all.site), before);
    assert!(ran(&all.site, "sql_execute").await.is_empty());
    assert_eq!(transitions(&all.site, &id).await.last().unwrap(), "unknown");
    assert_eq!(lea.show(&id).await["state"], json!("unknown"));
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
    server.terminate();
    server.exit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_cut_off_by_kill_9_is_unknown_ends_with_its_server_and_never_runs_again() {
    let mut all = Governed::new(0).await;
    let server = all.serve().await;
    let agent = Agent::new(&all.site, "dev", &["developer"]);
    // Its own text says which script it is, among those of other tests.
    let marker = all.site.dir.path().display().to_string();
    let script = format!("echo ran >> ran.txt; sleep 1000; echo {marker}");
    let arguments = json!({ "resource": "work", "argv": ["bash", "-c", script], "change": true });
    let id = pending(&agent.call("shell_run", arguments.clone()).await);
    let kim = all.person("kim", &["developer"]);
    kim.approve(&kim.asked().await).await;
    let running = {
        let (agent, id) = (agent.clone(), id.clone());
        tokio::spawn(async move { agent.call("approval_wait", wait(&id)).await })
    };
    let users = all.site.dir.path().join("work/users");
    let written = until("the script runs", async || {
        let folders = std::fs::read_dir(&users).ok()?;
        let mut files = folders.map(|folder| folder.unwrap().path().join("ran.txt"));
        let file = files.find(|file| file.exists())?;
        let text = std::fs::read_to_string(&file).unwrap();
        (!text.is_empty()).then_some((file, text))
    })
    .await;
    spent(&all.site, &id).await;
    let script = |line: &String| line.contains(&marker) && line.contains("ran.txt");
    assert!(
        command_lines().iter().any(script),
        "it is not found while it runs"
    );
    server.kill();
    running.abort();
    until("the script ends with its server", async || {
        (!command_lines().iter().any(script)).then_some(())
    })
    .await;

    let server = all.serve().await;
    let agent = Agent::new(&all.site, "dev", &["developer"]);
    unknown(&agent, &id).await;
    assert_eq!(std::fs::read_to_string(&written.0).unwrap(), "ran\n", "once");
    assert!(ran(&all.site, "shell_run").await.is_empty());
    assert_eq!(kim.show(&id).await["state"], json!("unknown"));
    server.terminate();
    server.exit().await;
}

/// The command lines of every process on this machine.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}
