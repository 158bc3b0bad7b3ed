//! The command line as a stranger meets it: the real binary, its exit codes and its two streams.

use std::path::Path;
use std::process::Output;

const USAGE: i32 = 2;

/// Runs the binary in a folder with an environment of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_shows_the_commands_and_an_unknown_one_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let help = tollgate(folder.path(), &["--help"]);
    assert!(help.status.success());
    for command in [
        "serve",
        "stdio",
        "check",
        "init",
        "audit",
        "policy",
        "demo",
        "completions",
    ] {
        assert!(stdout(&help).contains(&format!("\n  {command}")), "{command}");
    }
    let wrong = tollgate(folder.path(), &["sevre"]);
    assert_eq!(wrong.status.code(), Some(USAGE));
    assert!(stderr(&wrong).contains("serve"), "{}", stderr(&wrong));
    assert!(stdout(&wrong).is_empty());
    assert_eq!(
        tollgate(folder.path(), &["serve", "--readonly"]).status.code(),
        Some(USAGE)
    );
    assert_eq!(
        tollgate(folder.path(), &["--log", "inof", "completions", "bash"])
            .status
            .code(),
        Some(USAGE)
    );
}

#[test]
fn init_writes_a_set_that_check_accepts_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let init = tollgate(folder.path(), &["init", "gateway"]);
    assert!(init.status.success(), "{}", stderr(&init));
    assert!(stdout(&init).contains("gateway/tollgate.toml"));
    let gateway = folder.path().join("gateway");
    let written = std::fs::read(gateway.join("tollgate.toml")).unwrap();

    let check = tollgate(&gateway, &["check"]);
    assert!(check.status.success(), "{}{}", stdout(&check), stderr(&check));
    assert!(stdout(&check).contains("what this set-up does not protect against"));
    assert!(!stdout(&check).contains('\u{1b}'), "colour without a terminal");

    let again = tollgate(folder.path(), &["init", "gateway"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
    assert_eq!(std::fs::read(gateway.join("tollgate.toml")).unwrap(), written);
}

/// What `init` leaves commented out is right as soon as the marks are taken away.
#[test]
fn what_init_comments_out_loads_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    assert!(tollgate(dir, &["init", "."]).status.success());
    let offered = regex::Regex::new(
        r#"(?m)^# (\[\[?[a-z_.]+\]\]?|(control_|name|kind|url|audience|client_id|client_secret|scopes|key|groups_claim|workdir|programs|description|labels|support|secret|hold|decide)[a-z_]* = .*)$"#,
    )
    .unwrap();
    let uncomment = |name: &str, pattern: &regex::Regex| {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        let text = pattern.replace_all(&text, "$1").into_owned();
        std::fs::write(dir.join(name), &text).unwrap();
        text
    };
    let config = uncomment("tollgate.toml", &offered);
    // The repository is not on this machine, and the signing key's folder neither.
    let web = regex::Regex::new(r#"(?s)# A repository on this machine.*?\n\n"#).unwrap();
    let audit = regex::Regex::new(r#"(?s)\[audit\].*?\n\n"#).unwrap();
    let config = web.replace(&config, "");
    let config = audit.replace(&config, "");
    let config = config.replace("reader = [", "dba = [\"corp:dba\"]\nreader = [");
    std::fs::write(dir.join("tollgate.toml"), config).unwrap();
    uncomment(
        "policies/roles.cedar",
        &regex::Regex::new(r#"(?m)^// ?((@|permit|forbid|  |\)|when|unless).*)$"#).unwrap(),
    );

    let report = tollgate(dir, &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap();
    let wrong: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "error" && line["group"] != "identity")
        .filter(|line| {
            !line
                .to_string()
                .contains("TOLLGATE_WEBHOOK_SECRET, which is not set")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let no_key = |line: &&serde_json::Value| {
        line["level"] == "error" && line.to_string().contains("TOLLGATE_FACADE_KEY")
    };
    assert!(lines.iter().any(|line| no_key(&line)), "{lines:#?}"); // `serve` would not start without it
    assert!(
        lines.iter().any(|line| line.to_string().contains("work (shell)")),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.to_string().contains("5 permits")),
        "{lines:#?}"
    );
}

#[test]
fn check_gives_json_whether_or_not_the_configuration_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    assert!(tollgate(folder.path(), &["init", "."]).status.success());
    let check = tollgate(folder.path(), &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert!(
        report["gaps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|gap| gap["id"] == "stdio-same-user")
    );

    let file = folder.path().join("tollgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("kind = \"sqlite\"", "kind = \"sqlight\"")).unwrap();
    let check = tollgate(folder.path(), &["check", "--json"]);
    assert_eq!(check.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    let line = &report["lines"][0];
    assert_eq!(line["level"], "error");
    assert!(line["remedy"].as_str().unwrap().contains("`sqlite`"), "{line}");
}

#[test]
fn a_missing_configuration_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["serve"][..],
        &["stdio"],
        &["policy", "test"],
        &["audit", "list"],
    ] {
        let output = tollgate(folder.path(), command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(stderr(&output).contains("tollgate init"), "{}", stderr(&output));
        assert!(
            stdout(&output).is_empty(),
            "{command:?}: stdout carries answers alone"
        );
    }
}

#[test]
fn reload_without_a_server_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(tollgate(folder.path(), &["init", "."]).status.success());
    std::fs::write(folder.path().join("tollgate.db.lock"), "1\n").unwrap();
    let reload = tollgate(folder.path(), &["policy", "reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert!(
        stderr(&reload).contains("no server is running"),
        "{}",
        stderr(&reload)
    );
}

#[test]
fn erasing_wants_to_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let asked = tollgate(folder.path(), &["audit", "erase"]);
    assert_eq!(asked.status.code(), Some(USAGE));
    let asked = tollgate(
        folder.path(),
        &[
            "audit",
            "erase",
            "--before",
            "yesterday",
            "--reason",
            "retention",
            "--yes",
        ],
    );
    assert_eq!(asked.status.code(), Some(1));
    assert!(
        stderr(&asked).contains("2026-01-01T00:00:00Z"),
        "{}",
        stderr(&asked)
    );
    let asked = tollgate(
        folder.path(),
        &["audit", "erase", "--call", "abc", "--reason", "retention"],
    );
    assert!(stderr(&asked).contains("--yes"), "{}", stderr(&asked));
}

#[test]
fn completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = tollgate(folder.path(), &["completions", shell]);
        assert!(script.status.success());
        for command in ["serve", "stdio", "policy", "audit"] {
            assert!(stdout(&script).contains(command), "{shell} {command}");
        }
    }
}
