//! SQLite files, read behind masks.
//!
//! An agent's statement runs on a connection whose own database is empty. The file is attached
//! read-only under a random name, and in front of each of its tables stand two temporary views: an
//! inner one with a random name, the only text that names the file's table, in which classified
//! columns are masks; and an outer one with the table's own name, the only one an agent can find. The
//! database's own views are made again with their own text, so that they find masks too. No
//! predicate, join, function, ordering or error can see what the inner view does not give.
//!
//! Two locks hold that in place: the engine asks `guard` about every name it resolves, and `bytecode`
//! reads the finished program and refuses it if it would open anything else. `docs/sqlite.md` says
//! what is promised and what is not.
//!
//! ```text
//! text → link (pool) → check = guard + bytecode → facts        inspect
//!        link        → same transaction: version, check, bind, rows under watch → answer      run
//! ```

mod anatomy;
mod bytecode;
mod catalog;
mod change;
mod check;
mod ddl;
mod engine;
mod functions;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod impact;
mod linear;
mod link;
mod lookup;
mod masks;
mod oracle;
mod pool;
mod query;
mod refusals;
mod sampling;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod unmade;
mod values;
mod warden;
mod watch;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{ColumnsDefault, MaskStyle, TokenKey, TokenScope};
use crate::call::{
    Action, ClassifiedColumn, Effect, Facts, Invocation, LastLook, Limits, Probe, RawOutput, Refusal,
    Request, SqlFacts, Target,
};
use crate::clock::World;
use crate::policy::Permit;
use check::Checked;
use pool::Pool;
use query::Order;

/// Statements that may run on one database at a time; more wait.
const CONNECTIONS: usize = 8;

/// A configured database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// The database file.
    pub path: PathBuf,
    /// `table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// The key of tokens, where a class has these.
    pub tokens: Option<TokenKey>,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// An opened database.
#[derive(Debug)]
pub struct Database {
    pool: Arc<Pool>,
    running: Arc<Semaphore>,
}

impl Database {
    /// Opens the file and lays the configured classes over its schema. Random names and the clock
    /// come from `world`.
    ///
    /// # Errors
    /// For the operator: the file is missing or not a database, a configured column or class does not
    /// exist, or a column is configured twice.
    pub fn open(spec: Spec, world: Arc<dyn World>) -> Result<Self, String> {
        Ok(Self {
            pool: Arc::new(Pool::open(spec, world)?),
            running: Arc::new(Semaphore::new(CONNECTIONS)),
        })
    }

    /// What a request would touch. The statement is prepared by the engine that will run it, with
    /// every classified column masked; nothing is run.
    ///
    /// # Errors
    /// `statement_refused`, `wrong_tool`, `limit_exceeded`, `cancelled`, or `target_failed` when the
    /// file cannot be read.
    pub async fn inspect(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        let request = invocation.request.clone();
        let action = invocation.action;
        self.blocking(cancel, move |pool, stop| match request {
            Request::SqlQuery(query) => {
                let (checked, version) = query::inspect(&pool, &query.statement, &stop)?;
                lookup::fits(&query, &checked.classified, pool.spec())?;
                let facts = facts(&pool, Action::SqlRead, version, Some(&checked));
                Ok(facts.templated(text::template(&query.statement)))
            }
            Request::SqlSchema(wanted) => {
                let catalog = pool.current_catalog()?;
                let mut facts = facts(&pool, action, catalog.version, None);
                facts.classified = schema::classified(&catalog, wanted.table.as_deref());
                Ok(facts)
            }
            Request::SqlExecute(change) => {
                let plan = change::inspect(&pool, &change, &stop)?;
                let mut facts = facts(&pool, plan.action, plan.version, Some(&plan.checked));
                facts.probe = plan.probe;
                Ok(facts.templated(text::template(&change.statement)))
            }
            _ => Err(not_for_a_database()),
        })
        .await
    }

    /// Does what the permit is for, once. The statement is checked again in the transaction that runs
    /// it, on a connection that shows what the permit reveals. `approved` is the effect that people saw.
    ///
    /// # Errors
    /// As [`Self::inspect`]; `target_failed` (retry) when the schema changed since then;
    /// `invalid_arguments` for parameters that do not fit.
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        approved: Option<&Effect>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let expected = Expected::of(facts)?;
        if let Request::SqlExecute(request) = &invocation.request {
            let order = change::Order {
                request: request.clone(),
                limits: permit.limits(),
                reveal: permit.reveal().clone(),
                expected,
                probe: facts.probe,
                approved: permit.is_approved(),
                seen: approved.cloned(),
            };
            return self.make(order, last, cancel).await;
        }
        self.perform(
            invocation,
            expected,
            permit.limits(),
            permit.reveal().clone(),
            cancel,
        )
        .await
    }

    /// What a change would do: it is done and undone in one transaction.
    ///
    /// # Errors
    /// As [`Self::inspect`]; nothing in them tells the outcome.
    pub async fn measure(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        let Request::SqlExecute(request) = &invocation.request else {
            return Err(not_for_a_database());
        };
        let order = change::Order {
            request: request.clone(),
            limits: permit.limits(),
            reveal: BTreeSet::new(),
            expected: Expected::of(facts)?,
            probe: facts.probe,
            approved: false,
            seen: None,
        };
        self.blocking(cancel, move |pool, stop| change::measure(&pool, &order, &stop))
            .await
    }

    /// Makes a change. The work waits, in its transaction, for the last look; if nobody is there any more to
    /// take it, or it says no, nothing stays.
    async fn make(
        &self,
        order: change::Order,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let (found, effect) = tokio::sync::oneshot::channel::<Effect>();
        let (judge, verdict) = tokio::sync::oneshot::channel::<Result<(), Refusal>>();
        let work = self.blocking(cancel, move |pool, stop| {
            let mut asked = Some((found, verdict));
            change::run(&pool, &order, &stop, &mut |effect| {
                let (found, verdict) = asked.take().ok_or_else(Refusal::cancelled)?;
                found.send(effect.clone()).map_err(|_| Refusal::cancelled())?;
                verdict
                    .blocking_recv()
                    .unwrap_or_else(|_| Err(Refusal::cancelled()))
            })
        });
        let look = async {
            let Ok(effect) = effect.await else {
                return; // it ended before there was anything to look at
            };
            let said = last.look(Some(&effect)).await;
            let gone = said.is_ok() && cancel.is_cancelled();
            // If the work is gone there is nobody to tell.
            let _ = judge.send(if gone { Err(Refusal::cancelled()) } else { said });
        };
        let (made, ()) = tokio::join!(work, look);
        made
    }

    async fn perform(
        &self,
        invocation: &Invocation,
        expected: Expected,
        limits: Limits,
        reveal: BTreeSet<String>,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let request = invocation.request.clone();
        let session = self.session_of(invocation);
        self.blocking(cancel, move |pool, stop| match request {
            Request::SqlQuery(request) => {
                let touched = &expected.classified;
                let order = Order {
                    request: lookup::bound(request, touched, &reveal, &session, pool.spec())?,
                    session,
                    limits,
                    reveal,
                    expected,
                };
                Ok(query::run(&pool, &order, &stop)?.into_output())
            }
            Request::SqlSchema(wanted) => {
                let catalog = pool.current_catalog()?;
                expected.matches_version(catalog.version)?;
                RawOutput::new(schema::answer(&catalog, &wanted, &reveal, limits)?)
                    .map_err(|error| Refusal::internal(format!("sqlite schema: {error}")))
            }
            _ => Err(not_for_a_database()),
        })
        .await
    }

    /// Within what equal values have equal tokens: the session, or nothing, which is everywhere.
    fn session_of(&self, invocation: &Invocation) -> String {
        let mut styles = self.pool.spec().classes.values();
        match styles.any(|style| *style == MaskStyle::Token(TokenScope::Session)) {
            true => invocation.session.clone(),
            false => String::new(),
        }
    }

    /// Runs blocking work that ends soon after the caller is gone, by cancelling or by dropping us.
    async fn blocking<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(Arc<Pool>, Arc<AtomicBool>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.running).acquire_owned();
        let turn = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Refusal::cancelled()),
            turn = turn => turn.map_err(|_| Refusal::internal("sqlite: closed"))?,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let _when_dropped = StopWhenDropped(Arc::clone(&stop));
        let (pool, told) = (Arc::clone(&self.pool), Arc::clone(&stop));
        let mut job = tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept until the work has really ended
            work(pool, told)
        });
        let done = tokio::select! {
            biased;
            done = &mut job => done,
            () = cancel.cancelled() => {
                stop.store(true, Ordering::Relaxed);
                job.await
            }
        };
        done.map_err(|_| Refusal::internal("sqlite: panic"))?
    }
}

/// Tells the engine to stop when nobody waits for it any more.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What was inspected and must still be so in the executing transaction.
#[derive(Debug, Clone)]
struct Expected {
    version: i64,
    sql: Option<SqlFacts>,
    classified: BTreeSet<ClassifiedColumn>,
}

impl Expected {
    fn of(facts: &Facts) -> Result<Self, Refusal> {
        let Target::Sqlite { schema_version, .. } = &facts.target else {
            return Err(not_for_a_database());
        };
        Ok(Self {
            version: *schema_version,
            sql: facts.sql.clone(),
            classified: facts.classified.clone(),
        })
    }

    fn matches_version(&self, version: i64) -> Result<(), Refusal> {
        if self.version == version {
            Ok(())
        } else {
            Err(pool::schema_changed())
        }
    }

    fn matches(&self, checked: &Checked) -> Result<(), Refusal> {
        if self.sql.as_ref() == Some(&checked.facts) && self.classified == checked.classified {
            Ok(())
        } else {
            Err(pool::schema_changed())
        }
    }
}

fn facts(pool: &Pool, action: Action, version: i64, checked: Option<&Checked>) -> Facts {
    Facts {
        shell: None,
        probe: Probe::None,
        action,
        target: Target::Sqlite {
            database: pool.spec().path.display().to_string(),
            schema_version: version,
        },
        sql: checked.map(|checked| checked.facts.clone()),
        file: None,
        classified: checked
            .map(|checked| checked.classified.clone())
            .unwrap_or_default(),
    }
}

fn not_for_a_database() -> Refusal {
    Refusal::new(
        crate::call::Code::WrongTool,
        "This resource is a database.",
        "Use sql_schema, sql_query and sql_execute with it.",
    )
}
