//! What the commands ask for and what they are told: plain data between `app` and the command line.

use serde::{Deserialize, Serialize};

use crate::call::Transport;
use crate::config::gaps::Gap;

/// A number and its noun: `1 file`, `2 files`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// How a line of a check turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but probably not as meant.
    Warn,
    /// `serve` and `stdio` would refuse to start.
    Error,
}

/// One line of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// What it is about: `configuration`, `policies`, `tools` …
    pub group: &'static str,
    /// How it turned out.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do; empty when nothing.
    pub remedy: String,
}

/// Everything `tollgate check` found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// In the order they were found.
    pub lines: Vec<CheckLine>,
    /// What this set-up does not protect against.
    pub gaps: Vec<Gap>,
}

impl CheckReport {
    /// Whether the server would start.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.level != Level::Error)
    }

    /// Adds a line about something that is as it should be.
    pub fn ok(&mut self, group: &'static str, text: impl Into<String>) {
        self.line(group, Level::Ok, text.into(), String::new());
    }

    /// Adds a line about something that is probably not meant.
    pub fn warn(&mut self, group: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.line(group, Level::Warn, text.into(), remedy.into());
    }

    /// Adds a line about something that keeps the server from starting.
    pub fn error(&mut self, group: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.line(group, Level::Error, text.into(), remedy.into());
    }

    fn line(&mut self, group: &'static str, level: Level, text: String, remedy: String) {
        self.lines.push(CheckLine {
            group,
            level,
            text,
            remedy,
        });
    }
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReport {
    /// Records written.
    pub records: u64,
    /// Signed checkpoints written.
    pub checkpoints: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The public key to verify it with.
    pub public_key: String,
}

/// "Would U through agent A be allowed to …?"
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainQuery {
    /// `<issuer>#<subject>`.
    pub user: String,
    /// Whether the user is a service, not a person.
    pub service: bool,
    /// Local groups the user would be in.
    pub groups: Vec<String>,
    /// The agent's client id.
    pub agent: String,
    /// Whether the issuer vouches for it.
    pub agent_verified: bool,
    /// How the call would come.
    pub transport: Transport,
    /// Labels the session has read from already.
    pub session_labels: Vec<String>,
    /// The verb.
    pub action: String,
    /// The resource; absent for `list_resources`.
    pub resource: Option<String>,
    /// The tool; the built-in one of the action when absent.
    pub tool: Option<String>,
    /// For files.
    pub path: Option<String>,
    /// For files.
    pub reference: Option<String>,
    /// For SQL: relations.
    pub tables: Vec<String>,
    /// For SQL: `table.column`; their classes are those of the configuration.
    pub columns: Vec<String>,
    /// For SQL: functions called.
    pub functions: Vec<String>,
}

/// What the decision tests say.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PolicyTests {
    /// Tests that ran.
    pub total: u64,
    /// Those that failed.
    pub failures: Vec<PolicyFailure>,
}

/// One failed decision test.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyFailure {
    /// `file:line`.
    pub place: String,
    /// What it expected and what came, in words.
    pub message: String,
}

/// What a running server said to a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadReport {
    /// How many reloads there were in this process, this one included.
    pub count: u64,
    /// Whether the new set decides now.
    pub accepted: bool,
    /// Digest of the set that decides now, hexadecimal.
    pub digest: String,
    /// What was wrong with the new set, when it was not accepted.
    pub message: String,
}
