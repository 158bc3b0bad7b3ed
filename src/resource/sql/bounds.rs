//! What every adapter of a database server does the same way: how long a call may take, what must not have
//! changed since it was inspected, which words of a server may be passed on.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::call::{ClassifiedColumn, Code, Facts, Refusal, SqlFacts, Target};

/// Ends with the caller's patience, or with its own time. What is dropped half done ends in the server as well.
pub(super) async fn bounded<T>(
    work: impl Future<Output = Result<T, Refusal>>,
    seconds: u64,
    cancel: &CancellationToken,
) -> Result<T, Refusal> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Refusal::cancelled()),
        done = tokio::time::timeout(Duration::from_secs(seconds.max(1)), work) => {
            done.unwrap_or_else(|_| Err(timed_out()))
        }
    }
}

/// What was inspected and must still be so in the executing transaction.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    version: String,
    sql: Option<SqlFacts>,
    /// Classified columns of everything referred to.
    pub(super) classified: BTreeSet<ClassifiedColumn>,
}

impl Expected {
    /// # Errors
    /// `wrong_tool`: they are of no database of a server.
    pub(super) fn of(facts: &Facts) -> Result<Self, Refusal> {
        let (Target::Postgres { catalog, .. } | Target::Mysql { catalog, .. }) = &facts.target else {
            return Err(not_for_a_database());
        };
        Ok(Self {
            version: catalog.clone(),
            sql: facts.sql.clone(),
            classified: facts.classified.clone(),
        })
    }

    /// # Errors
    /// `target_failed` (retry).
    pub(super) fn matches_version(&self, version: &str) -> Result<(), Refusal> {
        match self.version == version {
            true => Ok(()),
            false => Err(schema_changed()),
        }
    }

    /// # Errors
    /// `target_failed` (retry).
    pub(super) fn matches(
        &self,
        facts: &SqlFacts,
        classified: &BTreeSet<ClassifiedColumn>,
    ) -> Result<(), Refusal> {
        match self.sql.as_ref() == Some(facts) && self.classified == *classified {
            true => Ok(()),
            false => Err(schema_changed()),
        }
    }
}

/// The statement took longer than it may.
pub(super) fn timed_out() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        "The statement took longer than it may.",
        "Narrow it: a WHERE on an indexed column, fewer joins, a LIMIT.",
    )
}

/// Somebody changed tables, views, rights or functions between the inspection and the run.
pub(super) fn schema_changed() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database's schema changed while the call was under way.",
        "Send the call again.",
    )
    .retry()
}

/// Whether every word of a server's message is the agent's or one of `known`, which are the server's own.
pub(super) fn plain(message: &str, statement: &str, known: &[&str]) -> bool {
    let split = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let own = split(statement);
    message.len() <= 500
        && split(message)
            .iter()
            .all(|word| own.contains(word) || known.contains(&word.as_str()))
}

pub(super) fn not_for_a_database() -> Refusal {
    Refusal::new(
        Code::WrongTool,
        "This resource is a database.",
        "Use sql_schema, sql_query and sql_execute with it.",
    )
}
