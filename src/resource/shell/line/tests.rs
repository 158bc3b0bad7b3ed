//! What is taken and what is not. The lines are in `tests/honest.rs` and `tests/hostile.rs`.

use std::collections::BTreeSet;

use super::{Argv, Line, ProgramKind, Step, When, facts, read};
use crate::call::request::ShellRun;
use crate::call::{Code, Refusal};

mod fuzz;
mod honest;
mod hostile;
mod incidents;
mod units;

/// What an operator might allow: everything in the table, and programs that run what they are given.
pub(super) const INSPECTION: &[&str] = &[
    "ls",
    "cat",
    "head",
    "tail",
    "wc",
    "sort",
    "uniq",
    "cut",
    "tr",
    "grep",
    "rg",
    "find",
    "file",
    "stat",
    "du",
    "diff",
    "cmp",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "b2sum",
    "base64",
    "base32",
    "nl",
    "tac",
    "comm",
    "paste",
    "join",
    "fold",
    "expand",
    "od",
    "column",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "pwd",
    "date",
    "seq",
    "true",
    "false",
    "test",
    "echo",
    "printf",
    "jq",
];
pub(super) const SCRIPTS: &[&str] = &[
    "bash", "sh", "python3", "node", "perl", "awk", "sed", "env", "xargs", "make", "cargo", "npm", "git",
    "tar", "timeout", "nice", "tee", "xxd",
];

pub(super) fn allowed() -> BTreeSet<String> {
    INSPECTION
        .iter()
        .chain(SCRIPTS)
        .map(|name| (*name).to_owned())
        .collect()
}

pub(super) fn command(line: &str) -> Result<Line, Refusal> {
    read(&run(None, Some(line.to_owned())), &allowed())
}

pub(super) fn argv(words: &[&str]) -> Result<Line, Refusal> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    read(&run(Some(words), None), &allowed())
}

fn run(argv: Option<Vec<String>>, command: Option<String>) -> ShellRun {
    ShellRun {
        resource: "build".into(),
        argv,
        command,
        change: None,
        timeout_seconds: None,
        reason: None,
    }
}

/// `refused`, `inspection` or `script`.
pub(super) fn verdict(read: &Result<Line, Refusal>) -> String {
    match read {
        Ok(line) => facts(line, false).kind,
        Err(_) => "refused".to_owned(),
    }
}

pub(super) fn words(line: &Line) -> Vec<Vec<String>> {
    facts(line, false).commands
}
