//! The official Python SDK's own OAuth client against the real server.

use serde_json::{Value, json};

use super::served::{Document, Served, site, with};
use crate::identity::idp::Idp;
use crate::peers::script;
use crate::support::process::Process;

/// What a program nobody vouches for hears of production, whoever speaks through it.
const UNKNOWN: &str = "Nobody vouches for this agent";

/// The tools are there, and a call is answered: with masked rows where somebody vouches for the program.
fn assert_worked(told: &Value, vouched: bool) {
    let tools = told["tools"].as_array().unwrap_or_else(|| panic!("{told}"));
    assert!(
        tools.contains(&json!("sql_query")) && !tools.contains(&json!("file_read")),
        "{tools:?}"
    );
    let (listed, asked) = (
        &told["results"][0]["structured"],
        &told["results"][1]["structured"],
    );
    assert_eq!(listed["status"], "ok", "{told}");
    if vouched {
        assert_eq!(listed["data"]["resources"][0]["name"], "shop", "{told}");
        assert_eq!(asked["status"], "ok", "{told}");
        assert!(!asked.to_string().contains("@example"), "{told}");
    } else {
        assert_eq!(listed["data"]["resources"], json!([]), "{told}");
        let why = asked["refusal"]["message"].as_str();
        assert!(why.is_some_and(|why| why.contains(UNKNOWN)), "{told}");
    }
}

/// Everything after the first sign-in: renewal by the refresh token, an end by the program, and a no.
fn assert_lived(all: &Value, server: &str, vouched: bool) {
    let told = &all["told"];
    for work in [0, 1, 3] {
        assert_worked(&told[work], vouched);
    }
    for taken_back in [2, 4] {
        assert_eq!(told[taken_back]["status"], 200);
    }
    assert_eq!(told.as_array().unwrap().len(), 5, "{all}");
    let refused = all["error"].as_str().unwrap_or_else(|| panic!("{all}"));
    assert!(refused.contains("No authorization code received"), "{refused}");
    // Three times somebody was asked: at first, after the session was over, and to say no.
    assert_eq!(all["asked"].as_array().unwrap().len(), 3, "{all}");
    let answers = all["answers"].as_array().unwrap();
    assert!(
        answers.iter().all(|answer| answer["iss"] == server),
        "{answers:?}"
    );
    assert_eq!(answers[0].get("error"), None);
    assert_eq!(answers[2]["error"], "access_denied");
    // Sign-in, renewal, sign-in: no token twice.
    let tokens = all["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    let mut seen = std::collections::BTreeSet::new();
    for token in tokens {
        assert!(token["access_token"].as_str().unwrap().starts_with("tga_"));
        assert!(token["refresh_token"].as_str().unwrap().starts_with("tgr_"));
        seen.insert(token["access_token"].as_str().unwrap());
        seen.insert(token["refresh_token"].as_str().unwrap());
    }
    assert_eq!(seen.len(), 6);
}

const ACTS: [&str; 9] = [
    "work", "expire", "work", "revoke", "work", "revoke", "decline", "expire", "work",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_is_known_by_its_document() {
    let idp = Idp::start();
    let mut site = site(&idp.issuer, "gate-none").await;
    with(&site, "client_documents_private = true");
    let document = Document::serve(site.dir.path());
    let server = Process::serve_trusting(&mut site, &document.authority).await;
    let all = script(
        "oauth.py",
        json!({"url": site.endpoint(), "user": "alice", "mode": "auto", "document": document.address, "acts": ACTS}),
    )
    .await;
    assert_lived(&all, &site.url, true);
    assert_eq!(all["client"]["client_id"], document.address.as_str());
    assert_no_secret(&all, &server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_registers_itself_where_that_is_on_in_both_eras() {
    let served = Served::with("registration = true").await;
    for (mode, acts) in [("auto", &ACTS[..]), ("legacy", &["work", "expire", "work"][..])] {
        let all = script(
            "oauth.py",
            json!({"url": served.site.endpoint(), "user": "alice", "mode": mode, "acts": acts}),
        )
        .await;
        if mode == "auto" {
            assert_lived(&all, &served.site.url, false);
        } else {
            assert_worked(&all["told"][0], false);
            assert_worked(&all["told"][1], false);
            assert_eq!(all["tokens"].as_array().unwrap().len(), 2, "{all}");
        }
        assert_no_secret(&all, &served.server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_cannot_register_itself_where_that_is_off() {
    let served = Served::with("").await;
    let all = script(
        "oauth.py",
        json!({"url": served.site.endpoint(), "user": "alice", "mode": "auto", "acts": ["work"]}),
    )
    .await;
    assert!(all["error"].as_str().unwrap().contains("Registration"), "{all}");
    assert_eq!(all["asked"], json!([]));
    assert_eq!(all["tokens"], json!([]));
}

/// What the client held is nowhere in the server's log.
fn assert_no_secret(all: &Value, server: &Process) {
    let log = server.log();
    for token in all["tokens"].as_array().unwrap() {
        for name in ["access_token", "refresh_token"] {
            assert!(!log.contains(token[name].as_str().unwrap()), "{log}");
        }
    }
}
