//! The rules of the house that no compiler checks, read off the files themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

mod lock;
mod migrations;
mod source;

/// The longest source file and the longest test file, in lines; tables of test data need room.
const FILE: usize = 600;
const TEST_FILE: usize = 900;
/// The longest function, in lines.
const FUNCTION: usize = 60;

/// Which crates may be named where (paths below `src`); a crate that is not listed may be used anywhere.
const CONFINED: &[(&str, &[&str])] = &[
    ("rmcp", &["transport"]),
    ("axum", &["transport", "console"]),
    ("cedar_policy", &["policy"]),
    ("git2", &["resource/git", "demo/repo"]),
    ("sqlx", &["store", "resource/sql"]),
    ("pg_query", &["resource/sql/postgres"]),
    ("sqlparser", &["resource/sql/mysql"]),
    ("brush_parser", &["resource/shell"]),
    ("rusqlite", &["resource/sql", "demo/shop", "cli/init"]),
    ("jsonwebtoken", &["identity"]),
    ("openidconnect", &["identity/provider"]),
    ("webauthn_rp", &["identity/security_keys"]),
    ("saml_rs", &["identity/saml"]),
    ("quick_xml", &["identity/saml"]),
    ("x509_cert", &["identity/saml"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli", "app", "demo", "main"]),
    ("toml", &["config", "policy", "tool"]),
    ("tokio_rustls", &["console/notices/mail"]),
    ("tokio_tungstenite", &["console/slack/socket"]),
];

/// Functions that are longer than [`FUNCTION`]; the list may only get shorter.
const LONG_FUNCTIONS: &[&str] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders that builds and tests fill; none is tracked.
const MADE: &[&str] = &[
    ".git",
    "target",
    "node_modules",
    ".venv",
    "__pycache__",
    "demo-run",
    "installed",
];

/// Every file of the repository, with its path from the root, in order.
fn tracked() -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if MADE.iter().any(|made| entry.file_name() == *made) {
                continue; // `.git` is a file in a linked work tree
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.push((name, path));
            }
        }
    }
    files.sort();
    files
}

/// Every Rust file below a folder, with its text.
fn rust_files(below: &str) -> Vec<(String, String)> {
    let prefix = format!("{below}/");
    tracked()
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix) && name.ends_with(".rs"))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// Every Rust file of the product: unit tests in files of their own are left out.
fn product_files() -> Vec<(String, String)> {
    let mut files = rust_files("src");
    files.retain(|(name, _)| !name.contains("/tests/") && !name.ends_with("/tests.rs"));
    files
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn files_are_short_enough_to_read() {
    let mut long = Vec::new();
    for (below, limit) in [("src", FILE), ("tests", TEST_FILE), ("benches", FILE)] {
        for (name, text) in rust_files(below) {
            let limit = if name.contains("tests") {
                limit.max(TEST_FILE)
            } else {
                limit
            };
            let lines = text.lines().count();
            if lines > limit {
                long.push(format!("{name}: {lines} lines, at most {limit}"));
            }
        }
    }
    assert_none("split these", &long);
}

#[test]
fn functions_are_short_enough_to_read() {
    let mut long = Vec::new();
    for (name, text) in product_files() {
        let production = source::production(&text);
        for (function, lines) in source::functions(&production) {
            let known = LONG_FUNCTIONS.contains(&format!("{name} {function}").as_str());
            if lines > FUNCTION && !known {
                long.push(format!("{name} {function}: {lines} lines, at most {FUNCTION}"));
            }
        }
    }
    assert_none("split these", &long);
}

#[test]
fn exceptions_for_long_functions_are_still_needed() {
    let lengths: BTreeMap<String, usize> = product_files()
        .iter()
        .flat_map(|(name, text)| {
            let functions = source::functions(&source::production(text));
            functions
                .into_iter()
                .map(move |(function, lines)| (format!("{name} {function}"), lines))
        })
        .collect();
    let idle = LONG_FUNCTIONS
        .iter()
        .filter(|one| lengths.get(**one).is_none_or(|lines| *lines <= FUNCTION));
    assert_none(
        "take out of LONG_FUNCTIONS",
        &idle.map(|one| (*one).to_owned()).collect::<Vec<_>>(),
    );
}

#[test]
fn the_path_of_a_call_is_one_short_function() {
    let text = std::fs::read_to_string(root().join("src/gate.rs")).unwrap();
    assert!(
        text.lines().count() < 200,
        "src/gate.rs: {} lines",
        text.lines().count()
    );
    let functions = source::functions(&text);
    let walk = functions
        .iter()
        .find(|(name, _)| name == "walk")
        .expect("Gate::walk is the path");
    assert!(walk.1 <= 60, "Gate::walk: {} lines", walk.1);
}

#[test]
fn a_stage_imports_only_from_stages_above_it() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let place = |module: &str| order.iter().position(|one| *one == module);
    assert!(
        place("gate") > place("audit") && place("audit") > place("policy"),
        "{order:?}"
    );
    let mut wrong = Vec::new();
    for (name, text) in product_files() {
        let module = source::module(&name);
        let Some(here) = place(module) else { continue };
        for used in source::used_modules(&source::production(&text)) {
            if place(&used).is_some_and(|there| there > here) {
                wrong.push(format!("{name}: uses crate::{used}, which comes later"));
            }
        }
    }
    assert_none("see src/lib.rs for the order", &wrong);
}

#[test]
fn the_gate_is_opened_by_transport_and_app_alone() {
    let mut wrong = Vec::new();
    for (name, text) in product_files() {
        let module = source::module(&name);
        let used = source::used_modules(&source::production(&text));
        if used.contains("gate") && !["gate", "transport", "app"].contains(&module) {
            wrong.push(format!("{name}: uses crate::gate"));
        }
        if used.contains("config") && !["config", "telemetry", "app", "demo", "cli"].contains(&module) {
            wrong.push(format!("{name}: uses crate::config; app hands it what it needs"));
        }
    }
    assert_none("one door", &wrong);
}

#[test]
fn each_library_lives_where_it_belongs() {
    let files: Vec<(String, String)> = product_files()
        .into_iter()
        .map(|(name, text)| (name, source::production(&text)))
        .collect();
    let mut wrong = Vec::new();
    for (library, homes) in CONFINED {
        let named = Regex::new(&format!(r"(^|[^\w:.]){library}::")).unwrap();
        let at_home = |path: &str| {
            let inside = |home: &&str| {
                path.strip_prefix(*home)
                    .is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            homes.iter().any(inside)
        };
        for (name, text) in &files {
            if !at_home(name.trim_start_matches("src/")) && text.contains(library) && named.is_match(text) {
                wrong.push(format!("{name}: names {library}, which lives in {homes:?}"));
            }
        }
    }
    assert_none("keep libraries behind their seam", &wrong);
}

#[test]
fn only_mask_opens_a_raw_output() {
    let mut wrong = Vec::new();
    for (name, text) in product_files() {
        let module = source::module(&name);
        let opens = text.contains("take_data") || text.contains("take_table");
        if opens && module != "mask" && name != "src/call/answer.rs" {
            wrong.push(name);
        }
    }
    assert_none(
        "RawOutput::take_data and take_table are for the mask stage",
        &wrong,
    );
}

#[test]
fn only_mask_says_what_needs_no_mask() {
    let mut wrong = Vec::new();
    for (name, text) in product_files() {
        if text.contains(" LookAhead for ") && source::module(&name) != "mask" {
            wrong.push(name);
        }
    }
    assert_none("LookAhead is for the mask stage to implement", &wrong);
}

#[test]
fn only_the_journal_gives_an_answer_again() {
    let mut wrong = Vec::new();
    for (name, text) in product_files() {
        if text.contains("mask.again(") && name != "src/audit/entry.rs" {
            wrong.push(name);
        }
    }
    assert_none("Mask::again is for what the journal kept", &wrong);
}

#[test]
fn nothing_unfinished_or_of_one_machine_is_tracked() {
    let unfinished = ["TO", "FIX", "XX"].map(|start| match start {
        "TO" => format!("{start}DO"),
        "FIX" => format!("{start}ME"),
        _ => format!("{start}X"),
    });
    let word = Regex::new(&format!(r"\b({})\b", unfinished.join("|"))).unwrap();
    // Written apart, so that this file does not hold what it looks for.
    let homes = ["ro", "wo"].iter().zip(["ot", "rk"]);
    let homes: Vec<String> = homes.map(|(start, end)| format!("{start}{end}")).collect();
    let place = Regex::new(&format!(r"(^|[\s\x22'`=(:])/({})/\w", homes.join("|"))).unwrap();
    // A lock file may name the public registry and no other.
    let resolved = Regex::new(r"\x22resolved\x22: \x22(https?://[^/]+/)").unwrap();
    let mut found = Vec::new();
    for (name, path) in tracked() {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let locked = name.ends_with(".lock") || name.ends_with("package-lock.json");
        for (number, line) in (1..).zip(text.lines()) {
            let host = resolved.captures(line).map(|found| found[1].to_owned());
            let stranger = host.is_some_and(|host| host != format!("https://registry.{}.org/", "npmjs"));
            if stranger || place.is_match(line) || (!locked && name != "LICENSE" && word.is_match(line)) {
                found.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert_none("take out", &found);
}

#[test]
fn scripts_can_be_run_and_stop_at_the_first_error() {
    use std::os::unix::fs::PermissionsExt;
    for name in ["scripts/setup", "scripts/test", ".ci/run"] {
        let path = root().join(name);
        assert_ne!(path.metadata().unwrap().permissions().mode() & 0o111, 0, "{name}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.starts_with("#!/usr/bin/env bash\n") && text.contains("set -euo pipefail"),
            "{name}"
        );
    }
}

#[test]
fn the_licence_is_apache_2() {
    let text = std::fs::read_to_string(root().join("LICENSE")).unwrap();
    assert!(text.contains("Apache License") && text.contains("Version 2.0, January 2004"));
}
