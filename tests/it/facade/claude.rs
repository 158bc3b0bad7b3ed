//! Claude Code signs in at the real server: `claude mcp login --no-browser`, where a person pastes the address that
//! their browser ended at. Its document lies at an address of the internet, which a test does not ask: it is known
//! here by its id, as on a server without a way out: the demo's configuration names it.

use serde_json::json;

use super::served::Served;
use crate::peers::{clients, run, script};

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_signs_in_and_connects() {
    let served = Served::with("").await;
    let home = tempfile::tempdir().unwrap();
    let claude = clients().join("node_modules/.bin/claude");
    let envs = || {
        vec![
            ("HOME", home.path().display().to_string()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ]
    };
    let endpoint = served.site.endpoint();
    let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let add = [
        "mcp",
        "add",
        "--scope",
        "user",
        "--transport",
        "http",
        "gate",
        &endpoint,
    ];
    let added = run(claude.clone(), words(&add), envs()).await;
    assert!(added.status.success(), "{added:?}");
    let list = || run(claude.clone(), words(&["mcp", "list"]), envs());
    let before = String::from_utf8(list().await.stdout).unwrap();
    assert!(before.contains("Needs authentication"), "{before}");

    let env: serde_json::Map<_, _> = envs()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let program = claude.display().to_string();
    let login =
        json!({"command": [program, "mcp", "login", "--no-browser", "gate"], "env": env, "user": "alice"});
    let told = script("paste.py", login).await;
    assert_eq!(told["ended"], 0, "{told}");
    assert!(
        told["shown"].as_str().unwrap().contains("Authenticated with"),
        "{told}"
    );
    let after = String::from_utf8(list().await.stdout).unwrap();
    assert!(after.contains("Connected"), "{after}");
}
