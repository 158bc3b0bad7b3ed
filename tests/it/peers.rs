//! Clients nobody here wrote: the official Python SDK, the MCP Inspector, Claude Code and the
//! conformance suite, over HTTP and stdio, in both eras of the protocol.
//!
//! They are installed by `tests/peers/setup-clients` (`make test` runs it). Missing ones fail.

mod agent;
mod analyst;
mod approval;
mod conformance;
mod proxy;

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::BINARY;
use crate::support::site::{Site, root};

pub(crate) fn clients() -> PathBuf {
    root().join("tests/peers/clients")
}

#[expect(clippy::disallowed_methods, reason = "the tests start clients")]
pub(crate) async fn run(program: PathBuf, args: Vec<String>, envs: Vec<(&'static str, String)>) -> Output {
    tokio::task::spawn_blocking(move || {
        std::process::Command::new(&program)
            .args(args)
            .envs(envs)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; run tests/peers/setup-clients", program.display()))
    })
    .await
    .unwrap()
}

/// Starts a client and goes on.
#[expect(clippy::disallowed_methods, reason = "the tests start clients")]
fn start(program: PathBuf, args: Vec<String>) -> std::process::Child {
    std::process::Command::new(program)
        .args(args)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs a line in a terminal of its own (`script`, util-linux); what it shows goes into `screen`. Its input
/// stays open until the child is dropped.
#[expect(clippy::disallowed_methods, reason = "the tests start clients")]
fn terminal(
    line: &str,
    screen: &std::path::Path,
    folder: &std::path::Path,
    envs: Vec<(&'static str, String)>,
) -> std::process::Child {
    std::process::Command::new("script")
        .args(["-qfec", line])
        .arg(screen)
        .current_dir(folder)
        .envs(envs)
        .env("TERM", "xterm-256color")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) async fn python(spec: Value) -> Value {
    script("session.py", spec).await
}

/// Runs a script of the clients' folder on a specification, to the JSON it prints.
pub(crate) async fn script(name: &str, spec: Value) -> Value {
    let script = clients().join(name).display().to_string();
    let output = run(
        clients().join(".venv/bin/python"),
        vec![script, spec.to_string()],
        vec![],
    )
    .await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that asciinema, the makers' own player, shows of a recording.
pub(crate) async fn played(file: &std::path::Path) -> String {
    let program = clients().join(".venv/bin/asciinema");
    let output = run(
        program,
        vec!["cat".to_owned(), file.display().to_string()],
        vec![],
    )
    .await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a package's command with the Node that the packages bring along.
async fn node(command: &str, args: &[&str], home: &std::path::Path) -> Output {
    let modules = clients().join("node_modules");
    let mut all = vec![modules.join(".bin").join(command).display().to_string()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    run(
        modules.join("node/bin/node"),
        all,
        vec![("HOME", home.display().to_string())],
    )
    .await
}

fn calls() -> Value {
    json!([
        ["list_resources", {}],
        ["sql_query", { "resource": "shop", "statement": "SELECT email FROM customers ORDER BY id LIMIT 2" }],
        ["sql_query", { "resource": "shop", "statement": "DELETE FROM customers" }],
        ["file_read", { "resource": "code", "path": "README.md" }],
    ])
}

fn assert_analyst(told: &Value) {
    let results = told["results"].as_array().unwrap();
    assert_eq!(results[0]["structured"]["data"]["resources"][0]["name"], "shop");
    assert_eq!(results[1]["structured"]["status"], "ok", "{told}");
    assert!(!results[1].to_string().contains("@example"), "{told}");
    assert_eq!(results[2]["structured"]["status"], "refused");
    assert_eq!(results[2]["is_error"], true);
    assert!(
        results[3]["protocol_error"]
            .as_str()
            .unwrap()
            .contains("Unknown tool"),
        "{told}"
    );
    assert!(told["instructions"].as_str().unwrap().len() < 2048);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_over_http_in_both_eras() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    for (mode, protocol) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let token = site.token("ana", &["analyst"]);
        let spec = json!({ "url": site.endpoint(), "token": token, "mode": mode, "calls": calls() });
        let told = python(spec).await;
        assert_eq!(told["protocol"], protocol);
        assert_analyst(&told);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_over_stdio_in_both_eras() {
    let site = Site::new().await;
    let config = site.config().display().to_string();
    for (mode, protocol) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let told = python(json!({
            "command": BINARY, "args": ["stdio", "--config", config], "mode": mode, "calls": [
                ["sql_query", { "resource": "shop", "statement": "SELECT email FROM customers LIMIT 1" }],
                ["file_read", { "resource": "code", "path": "deploy/settings.py" }],
            ],
        }))
        .await;
        assert_eq!(told["protocol"], protocol);
        assert_eq!(told["results"][0]["structured"]["status"], "ok", "{told}");
        assert!(!told.to_string().contains("@example"), "{told}");
        assert!(
            !told.to_string().contains(&crate::support::site::planted_key()),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspector_command_line_in_both_eras() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let header = format!("Authorization: Bearer {}", site.token("ana", &["analyst"]));
    for era in ["legacy", "modern"] {
        let endpoint = site.endpoint();
        let base = [
            "--cli",
            &endpoint,
            "--transport",
            "http",
            "--protocol-era",
            era,
            "--header",
            &header,
        ];
        let mut list = base.to_vec();
        list.extend(["--method", "tools/list", "--strict"]);
        let output = node("inspector", &list, site.dir.path()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            text.contains("sql_query") && !text.contains("file_read"),
            "{text}"
        );

        let mut call = base.to_vec();
        call.extend([
            "--method",
            "tools/call",
            "--tool-name",
            "sql_query",
            "--tool-arg",
            "resource=shop",
        ]);
        call.extend([
            "--tool-arg",
            "statement=SELECT id, email FROM customers ORDER BY id LIMIT 1",
        ]);
        let output = node("inspector", &call, site.dir.path()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains("\"ok\"") && !text.contains("@example"), "{text}");
    }
    server.stop().await;
}

/// Registers Tollgate in Claude Code as a user would and lets it connect, over HTTP and stdio.
#[tokio::test(flavor = "multi_thread")]
async fn claude_code_connects_over_http_and_stdio() {
    let mut site = Site::new().await;
    let server = site.serve().await;
    let home = tempfile::tempdir().unwrap();
    let claude = clients().join("node_modules/.bin/claude");
    let envs = || {
        vec![
            ("HOME", home.path().display().to_string()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ]
    };
    let header = format!("Authorization: Bearer {}", site.token("ana", &["analyst"]));
    let config = site.config().display().to_string();
    let endpoint = site.endpoint();
    for add in [
        vec![
            "mcp",
            "add",
            "--scope",
            "user",
            "--transport",
            "http",
            "gate",
            &endpoint,
            "--header",
            &header,
        ],
        vec![
            "mcp", "add", "--scope", "user", "local", "--", BINARY, "stdio", "--config", &config,
        ],
    ] {
        let output = run(
            claude.clone(),
            add.iter().map(|arg| (*arg).to_owned()).collect(),
            envs(),
        )
        .await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let output = run(claude.clone(), vec!["mcp".into(), "list".into()], envs()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text.matches("Connected").count(),
        2,
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    server.stop().await;
}
