//! The real binary: told to stop, killed, and beside others on one store.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::agent::{Agent, Events};
use crate::support::process::{Lines, Process, assert_on_record, history, phase, tollgate, verify, wait_for};
use crate::support::site::{Site, envelope};
use crate::support::until;

fn cheap(n: u64) -> (&'static str, Value) {
    match n % 3 {
        0 => ("list_resources", json!({})),
        1 => {
            let statement = format!("SELECT id, name, email FROM customers WHERE id > {n} LIMIT 3");
            ("sql_query", json!({ "resource": "shop", "statement": statement }))
        }
        _ => ("file_read", json!({ "resource": "code", "path": "README.md" })),
    }
}

/// A call waits for its person when SIGTERM comes; the answer is on its way already. `Expect:
/// 100-continue` (RFC 9110 section 10.1.1) tells us that the server has begun with that request.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_the_binary_is_told_to_stop_finishes_and_is_recorded() {
    let mut site = Site::for_process().await;
    let server = Process::serve(&mut site, &[]).await;
    let agent = Agent::new(&site, "dora", &["dba"]);
    let session = agent.open(&json!({ "elicitation": {} })).await;
    let arguments = json!({ "resource": "shop", "statement": "SELECT email FROM customers WHERE id = 1" });
    let call = agent.older_call(&session, 5, "sql_query", &arguments).send();
    let mut events = Events::new(call.await.unwrap());
    let question = events.next().await.unwrap();
    assert_eq!(question["method"], json!("elicitation/create"), "{question}");

    let answer = json!({ "jsonrpc": "2.0", "id": question["id"],
        "result": { "action": "accept", "content": { "confirm": true } } })
    .to_string();
    let address = site.url.trim_start_matches("http://").to_owned();
    let mut line = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nMcp-Session-Id: {session}\r\n\
         MCP-Protocol-Version: 2025-06-18\r\nAccept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        site.token("dora", &["dba"]),
        answer.len()
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    line.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    server.terminate();
    until("a closed door", async || TcpStream::connect(&address).await.err()).await;
    line.write_all(answer.as_bytes()).await.unwrap();
    let result = events.next().await.unwrap()["result"].clone();
    let status = server.exit().await;
    assert_eq!(status.code(), Some(0));
    assert!(
        result["structuredContent"]["data"]["rows"][0][0]
            .as_str()
            .unwrap()
            .contains('@'),
        "{result}"
    );
    assert_on_record(&site, &result).await;
    let report = verify(&site, &[]);
    assert_eq!(report["intact"], json!(true));
    assert_eq!(
        report["unsigned"],
        json!(0),
        "the last checkpoint covers everything"
    );
    assert_eq!(
        (&report["interrupted"], &report["unfinished"]),
        (&json!([]), &json!([]))
    );
}

/// Clients call without end until the server is gone; gives every answer any of them got.
async fn busy(site: &Site, answers: &Arc<Mutex<Vec<Value>>>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for lane in 0..6_u64 {
        let client = site.client_in(&format!("user{lane}"), &["analyst", "developer"]);
        let answers = Arc::clone(answers);
        clients.spawn(async move {
            for n in lane.. {
                let (tool, arguments) = cheap(n);
                match client.call(tool, arguments).await {
                    Ok(result) => answers.lock().unwrap().push(result),
                    Err(_) => return, // the server is gone
                }
            }
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_answer_without_its_record_and_says_what_it_interrupted() {
    let mut site = Site::for_process().await;
    site.set_policies(r#"@id("read") permit (principal, action in Tollgate::Action::"read", resource);"#);
    site.configure("[limits]\nseconds = 3600\n");
    let endless = json!({ "resource": "shop", "statement":
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c" });
    let mut interrupted = Vec::new();
    for (round, answers_first) in [1, 7, 40, 150].into_iter().enumerate() {
        let server = Process::serve(&mut site, &[]).await;
        for call in &interrupted {
            assert!(server.log().contains(call), "the log does not name {call}");
        }
        let agent = Agent::new(&site, "ana", &["analyst"]);
        let params = json!({ "name": "sql_query", "arguments": endless });
        let held = tokio::spawn(agent.modern("tools/call", params, &json!({})).send());
        let begun = until("the intent of the endless call", async || {
            let intents = phase(&site, "intent").await;
            let ana: Vec<_> = intents
                .into_iter()
                .filter(|intent| intent.user.as_deref() == Some("test#ana"))
                .collect();
            (ana.len() == round + 1).then(|| ana[round].call_id.clone().unwrap())
        })
        .await;
        let answers = Arc::new(Mutex::new(Vec::new()));
        let clients = busy(&site, &answers).await;
        until("answers", async || {
            (answers.lock().unwrap().len() >= answers_first).then_some(())
        })
        .await;
        server.kill();
        clients.join_all().await;
        assert!(held.await.unwrap().is_err(), "nobody answered the call under way");

        let report = verify(&site, &[]);
        assert_eq!(report["intact"], json!(true), "{report}");
        assert!(report["unfinished"].to_string().contains(&begun), "{report}");
        let answers = answers.lock().unwrap().clone();
        for result in answers {
            assert_on_record(&site, &result).await;
        }
        interrupted.push(begun);
    }
    let server = Process::serve(&mut site, &[]).await;
    let report = verify(&site, &[]);
    assert_eq!(report["intact"], json!(true), "{report}");
    for call in &interrupted {
        assert!(report["interrupted"].to_string().contains(call), "{report}");
        let records = history(&site, call).await["records"].clone();
        assert_eq!(
            records[1]["outcome"]["code"],
            json!("outcome_unknown"),
            "{records}"
        );
        assert_eq!(records.as_array().unwrap().len(), 2, "said once: {records}");
    }
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stdio_processes_and_a_server_share_one_store() {
    let mut site = Site::for_process().await;
    let server = Process::serve(&mut site, &[]).await;
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let lines = [0, 1].map(|_| {
            let mut lines = Lines::start(&site);
            scope.spawn(move || {
                let calls = (0..12).map(|n| {
                    let (tool, arguments) = cheap(n);
                    lines.call(tool, &arguments)
                });
                let answers: Vec<Value> = calls.collect();
                assert!(lines.finish().success());
                answers
            })
        });
        let client = site.client_in("ana", &["analyst", "developer"]);
        let runtime = tokio::runtime::Handle::current();
        for n in 0..12 {
            let (tool, arguments) = cheap(n);
            let call = client.call(tool, arguments);
            answers.push(tokio::task::block_in_place(|| runtime.block_on(call)).unwrap());
        }
        for lines in lines {
            answers.extend(lines.join().unwrap());
        }
    });
    for result in &answers {
        assert_eq!(envelope(result)["status"], json!("ok"), "{result}");
        assert_on_record(&site, result).await;
    }
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    let starts = wait_for(&site, "config", 3).await;
    let starts = starts
        .iter()
        .filter(|record| record.event.as_deref() == Some("start"));
    assert_eq!(starts.count(), 3);
    let results = phase(&site, "result").await;
    assert_eq!(results.len(), 36);
    let local = results
        .iter()
        .filter(|record| record.user.as_ref().unwrap().starts_with("local#"));
    assert_eq!(local.count(), 24);
    let report = verify(&site, &[]);
    assert_eq!(report["intact"], json!(true), "{report}");
    assert_eq!(
        (&report["interrupted"], &report["unfinished"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stdio_ends_when_it_is_told_to_although_its_input_stays_open() {
    let site = Site::for_process().await;
    for lines in [Lines::start(&site), Lines::start_on_a_socket(&site)] {
        let mut lines = lines;
        let (tool, arguments) = cheap(0);
        let result = lines.call(tool, &arguments);
        assert_eq!(envelope(&result)["status"], json!("ok"), "{result}");
        assert_eq!(lines.terminate().await.code(), Some(0));
    }
    assert_eq!(verify(&site, &[])["intact"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_is_not_on_record() {
    let site = Site::for_process().await;
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replace("customers.email", "customers.emial")).unwrap();
    let output = tollgate(&site, &["stdio"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("emial"), "{told}");
    assert!(!site.dir.path().join("journal.db").exists());
}
