//! The plain data of a call: what every stage of the path may see, and nothing that acts.
//!
//! The words are those of the path in [`crate::gate`]: an [`Arrival`] becomes an [`Invocation`],
//! the adapter that will execute it says what it found ([`Facts`]), an obligation is met by
//! [`Evidence`], the target answers with a [`RawOutput`]. Types that carry a right (`Permit`) or a
//! promise (`Masked`) are not here: they live in the one stage that may make them.

pub mod answer;
mod approved;
pub(crate) mod canonical;
pub mod effect;
mod facts;
pub mod refusal;
pub mod request;
mod scope;
mod table;
mod unseen;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub use answer::RawOutput;
pub use approved::{ApprovalId, Approved, Approver, Pending, Unmet};
pub use effect::{Bound, Effect};
pub use facts::{
    ClassifiedColumn, Facts, FileFacts, Literal, LiteralKind, Probe, ShellFacts, SqlFacts, Target, Template,
};
pub use refusal::{Code, Refusal};
pub use request::Request;
pub use scope::{Scope, Visible};
pub use table::{Cells, LookAhead, Row, Seen, Table};
pub use unseen::is_unseen;

/// Names one call, everywhere: in the answer, in the journal, in a target's own log.
///
/// 32 characters of `[a-z0-9]` (a version 7 UUID without dashes), chosen by us alone, so it is safe
/// to place in a SQL session variable or a log line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(String);

impl CallId {
    /// Makes an id from a time (Unix milliseconds) and ten random bytes.
    #[must_use]
    pub fn new(unix_millis: u64, random: &[u8; 10]) -> Self {
        Self(
            uuid::Builder::from_unix_timestamp_millis(unix_millis, random)
                .into_uuid()
                .simple()
                .to_string(),
        )
    }

    /// An id of ours read back from a store; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        (text.len() == 32 && plain).then(|| Self(text.to_owned()))
    }

    /// The id of one step of this call, from 1: made from it alone, so that whoever has the one finds the
    /// other.
    #[must_use]
    pub fn step(&self, number: usize) -> Self {
        let digest = Hash::of(format!("{self}/{number}").as_bytes());
        let mut random = [0; 10];
        random.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
        let millis = self.0.get(..12).map(|hex| u64::from_str_radix(hex, 16));
        Self::new(millis.and_then(Result::ok).unwrap_or_default(), &random)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest, shown and serialised as 64 lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Hashes bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hashes a value in its canonical form (JCS, RFC 8785).
    #[must_use]
    pub fn of_json(value: &Value) -> Self {
        Self::of(&canonical(value))
    }

    /// Sixty-four hexadecimal characters.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.hex())
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// The canonical bytes of a JSON value (JCS, RFC 8785): sorted keys, no white space, one form per number.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    match canonical::write(value, &mut bytes) {
        Ok(()) => bytes,
        // It can only fail for a number that JSON cannot hold, and `Value` cannot hold one either; the
        // fallback is still canonical for us because `Value`'s maps are sorted.
        Err(_) => value.to_string().into_bytes(),
    }
}

/// How a call reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Streamable HTTP; the caller showed a bearer token.
    Http,
    /// Standard input and output of a process the user started.
    Stdio,
}

impl Transport {
    /// The word used in policy and journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
        }
    }
}

/// Whether a person or a machine is behind a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UserKind {
    /// Somebody who signs in.
    Person,
    /// An unattended identity.
    Service,
}

/// Who asks: a person (or service) at an issuer. Identity is (issuer, subject), never an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The issuer's configured name, or `local`.
    pub issuer: String,
    /// The subject at that issuer; `<uid>@<host>` on stdio.
    pub subject: String,
    /// Person or service.
    pub kind: UserKind,
    /// Local group names, already mapped through `[groups]`.
    pub groups: BTreeSet<String>,
}

impl User {
    /// The Cedar entity id, `<issuer>#<subject>`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}#{}", self.issuer, self.subject)
    }
}

/// The program that speaks for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The OAuth client (`client_id`, else `azp`), or `stdio`.
    pub client_id: String,
    /// Whether somebody other than the client vouches for `client_id`.
    pub verified: bool,
    /// What the client calls itself. It may narrow a right, never widen one.
    pub claimed_name: String,
    /// The version the client claims.
    pub claimed_version: String,
}

/// The stretch of work a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// An opaque id.
    pub id: String,
    /// Labels of resources this session has already read from.
    pub labels: BTreeSet<String>,
}

/// User + agent + session: who is responsible for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Principal {
    /// The person or service.
    pub user: User,
    /// The program.
    pub agent: Agent,
    /// The stretch of work.
    pub session: Session,
    /// What the credential is good for at most.
    pub scope: Scope,
}

/// A tool call as it came in, from a known principal. Nothing in it is trusted yet.
#[derive(Debug)]
pub struct Arrival {
    /// Our name for this call.
    pub call_id: CallId,
    /// Who asks.
    pub principal: Principal,
    /// How it came.
    pub transport: Transport,
    /// The tool's name as sent.
    pub tool: String,
    /// The arguments as sent.
    pub arguments: Map<String, Value>,
    /// Fires when the client cancels or goes away.
    pub cancel: CancellationToken,
    /// How long this call may wait for people's decisions; `None` is the configured hold.
    pub hold: Option<std::time::Duration>,
}

/// A fixed verb of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each variant is the word of the policy schema; docs/policy explains them"
)]
pub enum Action {
    Describe,
    FileRead,
    FileSearch,
    GitHistory,
    SqlRead,
    SqlWrite,
    SqlDdl,
    ShellRun,
    GitCommit,
    HttpSend,
    Measure,
    Reveal,
    Lookup,
    Approve,
    AuditRead,
    Administer,
}

impl Action {
    /// Every verb, in the order of the contracts.
    pub const ALL: [Self; 16] = [
        Self::Describe,
        Self::FileRead,
        Self::FileSearch,
        Self::GitHistory,
        Self::SqlRead,
        Self::SqlWrite,
        Self::SqlDdl,
        Self::ShellRun,
        Self::GitCommit,
        Self::HttpSend,
        Self::Measure,
        Self::Reveal,
        Self::Lookup,
        Self::Approve,
        Self::AuditRead,
        Self::Administer,
    ];

    /// The word in policies and the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::FileRead => "file_read",
            Self::FileSearch => "file_search",
            Self::GitHistory => "git_history",
            Self::SqlRead => "sql_read",
            Self::SqlWrite => "sql_write",
            Self::SqlDdl => "sql_ddl",
            Self::ShellRun => "shell_run",
            Self::GitCommit => "git_commit",
            Self::HttpSend => "http_send",
            Self::Measure => "measure",
            Self::Reveal => "reveal",
            Self::Lookup => "lookup",
            Self::Approve => "approve",
            Self::AuditRead => "audit_read",
            Self::Administer => "administer",
        }
    }

    /// Whether nothing outside Tollgate can change because of it: only then may the intent become
    /// durable together with the result. New verbs are effects until somebody says otherwise.
    #[must_use]
    pub fn is_pure_read(self) -> bool {
        matches!(
            self,
            Self::Describe | Self::FileRead | Self::FileSearch | Self::GitHistory | Self::SqlRead
        )
    }
}

/// What kind of thing a resource is; also which tools apply to it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ResourceKind {
    /// A git repository.
    Git,
    /// A SQLite database.
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
    /// A MySQL or MariaDB database.
    Mysql,
    /// A folder in which programs run, sandboxed.
    Shell,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Git, Self::Sqlite, Self::Postgres, Self::Mysql, Self::Shell];

    /// The kinds that take SQL.
    pub const DATABASES: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Mysql];

    /// These kinds as words, for people.
    #[must_use]
    pub fn words(kinds: &[Self]) -> String {
        Self::either(kinds.iter().map(|kind| kind.as_str().to_owned()))
    }

    /// `a`, `a or b`, `a, b or c`.
    #[must_use]
    pub fn either(words: impl Iterator<Item = String>) -> String {
        let mut words: Vec<String> = words.collect();
        let last = words.pop().unwrap_or_default();
        match words.is_empty() {
            true => last,
            false => format!("{} or {last}", words.join(", ")),
        }
    }

    /// The word in configuration and policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Shell => "shell",
        }
    }
}

/// What may be said of a resource to somebody who may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceCard {
    /// The configured name.
    pub name: String,
    /// Its kind.
    pub kind: ResourceKind,
    /// The configured description.
    pub description: String,
    /// The configured labels.
    pub labels: BTreeSet<String>,
}

/// A checked request: typed, canonical, and nothing has run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Which call it is of: the journal's records carry it, and so does what a target logs of the call.
    pub call_id: CallId,
    /// The tool's name (built in or declared).
    pub tool: String,
    /// Whose call it is (`<issuer>#<subject>`): what a resource keeps for one user is kept by this.
    pub user: String,
    /// In which session it is made.
    pub session: String,
    /// What it does, in the policy's words.
    pub action: Action,
    /// The resource, where the tool has one.
    pub resource: Option<String>,
    /// What to do, typed.
    pub request: Request,
    /// The arguments in canonical form: what the journal and the hashes see.
    pub arguments: Value,
    /// SHA-256 over JCS{user, client_id, session, tool, resource, canonical arguments}.
    pub request_key: Hash,
}

/// Bounds on one effect. Every field is an upper bound; the smallest of all sources wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rows, list entries or matches in one answer.
    pub rows: u64,
    /// Bytes of one answer's data before masking.
    pub bytes: u64,
    /// Seconds of wall time at the target.
    pub seconds: u64,
}

/// What satisfies obligations: the ids of the policies that are met, and by what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Ids of the obligations satisfied.
    pub satisfied: BTreeSet<String>,
    /// Row bound applied, if an obligation asked for one.
    pub rows: Option<u64>,
    /// Time bound applied in seconds, if an obligation asked for one.
    pub seconds: Option<u64>,
    /// Whether the caller's own person confirmed interactively.
    pub self_confirmed: bool,
    /// What other people approved.
    pub approved: Option<Approved>,
}

impl Evidence {
    /// The measured effect that was approved, if one was measured.
    #[must_use]
    pub fn effect(&self) -> Option<&Effect> {
        self.approved.as_ref()?.effect.as_ref()
    }
}

/// The last look before an effect becomes final: policy and the caller's standing are decided again,
/// the effect is compared with the approved one, and the approval is spent. The adapter calls it once,
/// in the executing transaction (or before the process starts), and gives up on an error.
pub trait LastLook: Send + Sync {
    /// `effect` is what was measured in that transaction.
    ///
    /// # Errors
    /// Why it must not become final. Nothing may then remain of it.
    fn look<'a>(&'a self, effect: Option<&'a Effect>) -> futures::future::BoxFuture<'a, Result<(), Refusal>>;

    /// Records and passes on a piece of news of a running call, already masked and cut.
    fn progress<'a>(&'a self, text: &'a str) -> futures::future::BoxFuture<'a, ()>;
}

/// One piece of a file that is on its way to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fragment {
    /// Commit it was read from.
    pub commit: String,
    /// Path in that commit (lossless UTF-8, or percent-escaped where it is not).
    pub path: String,
    /// Blob id.
    pub blob: String,
    /// First byte and one past the last, in the blob.
    pub bytes: (u64, u64),
    /// First and last line, 1-based, inclusive; (0, 0) for an empty range.
    pub lines: (u64, u64),
    /// JSON pointer, inside the answer's data, of the string that carries it.
    #[serde(skip)]
    pub pointer: String,
}

/// Says what of a text must not leave. For adapters that cut or search texts before the answer is
/// masked: what is cut off can be what made a secret known as one, and a match can tell of it.
pub trait Conceal: Send + Sync + fmt::Debug {
    /// Byte ranges of `line` (one line out of a longer text) that an answer would hide, each with its
    /// rule: in order, apart, at the edges of characters.
    fn hidden(&self, line: &str) -> Vec<(std::ops::Range<usize>, &'static str)>;
}

/// Hides what must not leave in texts that arrive in pieces, for adapters that pass on or cut an answer
/// while it is still being made.
pub trait Screen: Send + Sync + fmt::Debug {
    /// Starts with a new text.
    fn stream(&self) -> Box<dyn ScreenStream>;
}

/// One text under way.
pub trait ScreenStream: Send + fmt::Debug {
    /// Takes the next piece; gives what may be seen now (perhaps nothing: what may still turn out to be part
    /// of a secret is held back).
    fn push(&mut self, text: &str) -> String;

    /// The text is over: the rest, and how often each rule hid something.
    fn finish(self: Box<Self>) -> (String, BTreeMap<&'static str, u64>);
}

/// How often something was hidden, where, and by which rule.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct MaskNote {
    /// Where in the data (`text`, `rows.notes`, a column name).
    #[serde(rename = "where")]
    pub place: String,
    /// The class or detector.
    pub rule: String,
    /// How many values.
    pub count: u64,
}

/// Counts masks by place and rule; deterministic order.
#[derive(Debug, Clone, Default)]
pub struct MaskCounts(BTreeMap<(String, String), u64>);

impl MaskCounts {
    /// Adds `count` masks of `rule` at `place`.
    pub fn add(&mut self, place: &str, rule: &str, count: u64) {
        if count > 0 {
            *self.0.entry((place.to_owned(), rule.to_owned())).or_default() += count;
        }
    }

    /// The notes, sorted by place and rule.
    #[must_use]
    pub fn notes(&self) -> Vec<MaskNote> {
        self.0
            .iter()
            .map(|((place, rule), count)| MaskNote {
                place: place.clone(),
                rule: rule.clone(),
                count: *count,
            })
            .collect()
    }
}

/// The person at the other end of the transport, as far as the protocol lets us reach them.
pub trait Caller: Send + Sync {
    /// Asks the caller's own person to confirm. `prompt` is our text, already free of target data.
    fn confirm<'a>(&'a self, prompt: &'a str) -> futures::future::BoxFuture<'a, Confirmation>;

    /// Passes on a piece of news of a running call (masked, on record), if the client asked for any.
    /// Never waits for the client.
    fn progress<'a>(&'a self, _text: &'a str) -> futures::future::BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Says what the call waits for from now on (words of ours, `approval by 2 dba`), or that it waits no
    /// longer. A client that asked for progress is told, with how long it has been.
    fn waits_for(&self, _what: Option<&str>) {}
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The person said yes.
    Yes,
    /// The person said no, or closed the question.
    No,
    /// The question has been put to the client, which will send the call again with the answer
    /// (`input_required`, MCP 2026-07-28). Nothing may run now.
    Asked,
    /// This client cannot ask its person.
    Unavailable,
}
