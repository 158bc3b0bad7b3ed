//! The demo as a stranger plays it, and what the commands say about the folder it leaves.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::BINARY;

/// Calls of the whole story, refused ones among them.
const CALLS: usize = 14;

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_demo_plays_and_its_journal_can_be_read_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let play = tollgate(dir, &["demo"]);
    let story = said(&play);
    assert!(play.status.success());
    for shown in [
        "analyst   sees",
        "developer sees",
        "masked: customers.email",
        "Refused (wrong_tool)",
        "[masked:aws-access-key]",
        "Refused (not_found)",
        "-- exit code 0",
        "masked: stdout aws-access-key",
        "Refused (program_refused): `-delete` of `find`",
        "Refused (program_refused): `curl`",
        "Your own request",
        "orders: 3 updated",
        "status \"delivered\" becomes \"refunded\"",
        "lead approves: granted",
        "-- update: 3 rows changed",
        "nothing ran now",
        "refunded orders: 0 before, 3 now: it happened once",
        "the first of them, replayed:",
        " again\n",
        "all 9 answers",
        "verified: ",
    ] {
        assert!(story.contains(shown), "{shown}\n{story}");
    }
    assert!(!story.contains("AKIA") && !story.contains("@example."), "{story}");
    assert!(story.lines().all(|line| line.chars().count() <= 120), "{story}");
    assert!(!story.contains('\u{1b}'), "colour without a terminal");

    let at = ["--config", "demo-run/tollgate.toml"];
    let with = |words: &[&str]| tollgate(dir, &[&at[..], words].concat());
    let list = said(&with(&["audit", "list"]));
    assert!(list.starts_with("time (UTC)"), "{list}");
    assert_eq!(
        list.lines().count(),
        1 + CALLS,
        "the calls under a heading\n{list}"
    );
    let refused = said(&with(&["audit", "list", "--refused", "--resource", "shop"]));
    assert!(
        refused.contains("refused: wrong_tool"),
        "found by its resource\n{refused}"
    );
    let all = json(&with(&["audit", "list", "--all", "--json"]));
    assert!(
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|record| record["phase"] == "delivery")
    );
    let page = json(&with(&["audit", "list", "--limit", "3", "--json"]));
    let next = page["next"].to_string();
    let second = json(&with(&[
        "audit", "list", "--limit", "3", "--json", "--page", &next,
    ]));
    assert_eq!(second["items"].as_array().unwrap().len(), 3);
    assert_ne!(page["items"], second["items"]);
    let call = page["items"][0]["call_id"].as_str().unwrap();
    assert_eq!(json(&with(&["audit", "show", call, "--json"]))["call_id"], call);
    assert_eq!(
        json(&with(&["audit", "replay", "--json"]))["items"]
            .as_array()
            .unwrap()
            .len(),
        CALLS
    );

    let exported = said(&with(&["audit", "export", "journal.ndjson"]));
    let key = exported.split('\'').nth(1).expect("the public key").to_owned();
    let offline = [
        "audit",
        "verify",
        "--export",
        "journal.ndjson",
        "--public-key",
        &key,
        "--json",
    ];
    assert_eq!(json(&tollgate(dir, &offline))["intact"], true);
    let again = with(&["audit", "export", "journal.ndjson"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("does not exist yet"));

    let check = with(&["check"]);
    assert_eq!(check.status.code(), Some(1));
    let told = String::from_utf8_lossy(&check.stdout).into_owned(); // its issuer is gone: the log says so too
    assert!(told.contains("tollgate stdio"), "what does work is named");
    let serve = with(&["serve"]);
    assert_eq!(serve.status.code(), Some(1));
    let why = json(&with(&[
        "policy", "explain", "--user", "demo#ana", "--group", "analyst", "sql_read", "shop", "--json",
    ]));
    assert_eq!(why["verdict"], "ask");
    let reveal = with(&["policy", "explain", "--user", "demo#ana", "reveal", "shop"]);
    assert!(String::from_utf8_lossy(&reveal.stderr).contains("--column"));
}

#[test]
fn a_demo_removes_neither_a_running_one_nor_somebody_elses_folder() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo-run");
    std::fs::create_dir(&demo).unwrap();
    std::fs::write(demo.join("precious"), "work").unwrap();
    let refused = tollgate(folder.path(), &["demo"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--dir"));

    let marker = std::fs::File::create(demo.join(".tollgate-demo")).unwrap();
    marker.lock().unwrap(); // as a running demo does
    let refused = tollgate(folder.path(), &["demo"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is running"));
    assert!(demo.join("precious").exists());
}
