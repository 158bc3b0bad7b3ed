//! What the executing adapter finds in a request, before anything runs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Action, Effect, Hash, Invocation};

/// What a SQL statement would touch, as the executing engine's own parser reports it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SqlFacts {
    /// `select`, `insert`, `update`, `delete`, `ddl` …
    pub kind: String,
    /// Relations, by the names the agent sees.
    pub tables: BTreeSet<String>,
    /// `table.column`.
    pub columns: BTreeSet<String>,
    /// Functions called, lower case.
    pub functions: BTreeSet<String>,
    /// Whether the statement restricts its rows.
    pub has_where: bool,
    /// Whether it is of the class `irreversible`: every row of a table changed or gone, or a table gone.
    pub irreversible: bool,
    /// The statement with its literals numbered, where the executing engine's grammar can say which they are. It
    /// follows from the statement, so it is no part of any hash.
    #[serde(skip)]
    pub template: Option<Template>,
}

/// But for the template, which follows from the statement: who checks a statement again does not make it again.
impl PartialEq for SqlFacts {
    fn eq(&self, other: &Self) -> bool {
        let sets = |facts: &Self| (facts.has_where, facts.irreversible);
        self.kind == other.kind
            && self.tables == other.tables
            && self.columns == other.columns
            && self.functions == other.functions
            && sets(self) == sets(other)
    }
}

impl Eq for SqlFacts {}

/// A statement without its literals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Its tokens, each literal as its number.
    pub text: String,
    /// What stands at the numbers, from 1.
    pub literals: Vec<Literal>,
}

/// One literal of a statement, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// What it is.
    pub kind: LiteralKind,
    /// As in the statement.
    pub text: String,
}

/// What a literal is: another one of the same kind in its place makes the same parse tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// Any other number.
    Decimal,
}

impl LiteralKind {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
        }
    }
}

/// What a command would start. `programs`, `kind`, `network` and `change` are what policy sees; the
/// rest is what a reviewer sees and what the hashes bind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShellFacts {
    /// `inspection` (every program is known, every flag of it allowed) or `script` (what it does is
    /// decided by a text or by files; only the sandbox bounds it).
    pub kind: String,
    /// Names from the resource's `programs`.
    pub programs: BTreeSet<String>,
    /// Whether it could reach the network. Always false as yet.
    pub network: bool,
    /// Whether the work folder is writable for it.
    pub change: bool,
    /// What will be started, exactly: the pipelines' argument vectors in order.
    pub commands: Vec<Vec<String>>,
}

/// Which file, where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Path inside the repository, `/`-separated, no leading slash; empty for the root.
    pub path: String,
    /// The full ref name, e.g. `refs/heads/main`.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// A classified column a call would touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClassifiedColumn {
    /// The configured class, or `unlisted`.
    pub class: String,
    /// `table.column`.
    pub column: String,
}

/// What exactly is addressed, as far as it is known before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    /// Tollgate itself (its own catalogue).
    Tollgate,
    /// One commit of a repository.
    Git {
        /// Full ref name.
        #[serde(rename = "ref")]
        reference: String,
        /// The commit the ref pointed to.
        commit: String,
    },
    /// One database file.
    Sqlite {
        /// The configured path.
        database: String,
        /// The engine's schema version when it was inspected.
        schema_version: i64,
    },
    /// One database of a PostgreSQL server.
    Postgres {
        /// Host, port and database as configured; no user and no secret.
        database: String,
        /// The role that the server knows us by.
        role: String,
        /// What the catalogue was when it was inspected: a digest of all that a check rests on.
        catalog: String,
    },
    /// One database of a MySQL or MariaDB server.
    Mysql {
        /// Host, port and database as configured; no user and no secret.
        database: String,
        /// The account that the server knows us by.
        account: String,
        /// What the catalogue was when it was inspected: a digest of all that a check rests on.
        catalog: String,
    },
    /// A work folder on this machine.
    Shell {
        /// The folder of this user.
        workdir: String,
        /// The layers of the sandbox that hold here, as the start's self-test found them.
        sandbox: Vec<String>,
    },
}

/// What the executing adapter found in a request, before anything ran. Nothing here may depend on
/// classified data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The verb the adapter says this really is. Policy decides on this one.
    pub action: Action,
    /// What is addressed.
    pub target: Target,
    /// SQL only.
    pub sql: Option<SqlFacts>,
    /// Files only.
    pub file: Option<FileFacts>,
    /// Commands only.
    pub shell: Option<ShellFacts>,
    /// Classified columns of the relations touched; masked unless policy reveals them.
    pub classified: BTreeSet<ClassifiedColumn>,
    /// What the adapter can say of the effect before it happens.
    pub probe: Probe,
}

/// Whether, and when, an effect may be measured before it is approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// There is nothing to measure.
    #[default]
    None,
    /// It can be measured by doing and undoing it.
    Measurable,
    /// Even the attempt could tell something of a classified value (an equality oracle): people must
    /// approve before anything is tried, or it is refused.
    Oracle,
}

impl Facts {
    /// The same, of a statement with its literals numbered.
    #[must_use]
    pub fn templated(mut self, template: Option<Template>) -> Self {
        if let Some(sql) = &mut self.sql {
            sql.template = template;
        }
        self
    }

    /// Identifies the one action these facts describe: SHA-256 over JCS{request_key, what runs, target,
    /// facts, measured effect}. This is what a reviewer signs and what a `Permit` is for. What runs is in
    /// it beside the arguments: the definition of a declared tool may be another one by the time a stored
    /// call is carried out.
    #[must_use]
    pub fn action_sha256(&self, invocation: &Invocation, effect: Option<&Effect>) -> Hash {
        Hash::of_json(&serde_json::json!({
            "request_key": invocation.request_key,
            "runs": invocation.request.runs(),
            "facts": self,
            "effect": effect,
        }))
    }
}
