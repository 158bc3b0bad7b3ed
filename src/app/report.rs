//! What the commands ask for and what they are told: plain data between `app` and the command line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Transport;
use crate::config::gaps::Gap;

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

/// Which calls of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this call.
    pub call_id: Option<String>,
    /// Only this session.
    pub session: Option<String>,
    /// Only this user, `<issuer>#<subject>`.
    pub user: Option<String>,
    /// Only this tool.
    pub tool: Option<String>,
    /// Only this resource.
    pub resource: Option<String>,
    /// Only refusals.
    pub refused: bool,
    /// Only records at or after this time, in RFC 3339 as the journal writes it.
    pub since: Option<String>,
    /// The most calls.
    pub limit: u64,
    /// Where to go on.
    pub page: Option<u64>,
}

/// One call as the journal tells it.
#[derive(Debug, Clone, Serialize)]
pub struct CallStory {
    /// Its records in order, in the journal's JSON form.
    pub records: Vec<Value>,
    /// Exactly what was offered to the agent, as text; absent when nothing was or it is erased.
    pub offered: Option<String>,
}

/// What verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Records in the log.
    pub records: u64,
    /// Signed checkpoints that were checked.
    pub checkpoints: u64,
    /// The tree's root, hexadecimal.
    pub root: String,
    /// Calls that have an intent and no result.
    pub interrupted: Vec<String>,
    /// Everything that does not hold; empty means verified.
    pub problems: Vec<String>,
    /// What this run could not show, e.g. records after the last checkpoint.
    pub unproven: Vec<String>,
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReport {
    /// Records written.
    pub records: u64,
    /// Payloads written.
    pub payloads: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The public key to verify it with.
    pub public_key: String,
}

/// Which payloads to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// That of one call.
    Call(String),
    /// All offered before this time, in RFC 3339 as the journal writes it.
    Before(String),
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

/// The answer to an [`ExplainQuery`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct Explanation {
    /// `permit`, `ask` or `deny`.
    pub verdict: String,
    /// In one sentence.
    pub summary: String,
    /// The policies that decide.
    pub policies: Vec<PolicyLine>,
    /// What would have to be met.
    pub obligations: Vec<String>,
    /// What else to know, e.g. that a candidate set would decide otherwise.
    pub notes: Vec<String>,
}

/// One policy in an explanation.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyLine {
    /// Its `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// `file:line`.
    pub place: String,
    /// Its `@explain`.
    pub explain: Option<String>,
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
