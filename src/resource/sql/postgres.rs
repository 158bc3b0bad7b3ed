//! Databases of PostgreSQL servers, read behind masks and changed with a known effect.
//!
//! An agent's statement is read by the server's own grammar, walked node by node, and written anew: each
//! reference to a relation with classified columns becomes a subquery in which these columns are masks, so
//! no predicate, join, function, ordering or error sees what the mask does not give. What is written is
//! read again, and must differ in nothing else. Only that text reaches the server, alone, in a transaction
//! of its own, as a role that cannot do more.

mod anatomy;
mod catalog;
mod change;
mod choosing;
mod commit;
mod ddl;
mod dependents;
mod functions;
mod guard;
mod impact;
mod lineage;
mod link;
mod loader;
mod locks;
mod lookup;
mod oracle;
mod parameters;
mod probe;
mod query;
mod reach;
mod refusals;
mod report;
mod returning;
mod role;
mod sampling;
mod schema;
mod standing;
mod tokens;
mod unmade;
mod values;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use url::Url;

use super::bounds::{Expected, bounded, not_for_a_database};
use super::{ColumnsDefault, MaskStyle, address, lookup as asked, pages};
use crate::call::{
    Action, Effect, Facts, Invocation, LastLook, Limits, LookAhead, Probe, RawOutput, Refusal, Request,
    Target,
};
use crate::clock::World;
use crate::policy::Permit;
use crate::secret::Secret;
use guard::{Checked, Mode};
use link::{Link, Pool};
use loader::Loaded;
use probe::{Moment, Voice};
pub use report::{Changeable, DefinerReport, Report, Table, TableColumn};
pub use sampling::Look;

/// For `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    guard::fuzzing::statement(data);
}

/// A configured database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// `postgres://role@host:port/database`; no password, no parameters.
    pub url: Url,
    /// The role's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// What agents see, in the order in which plain names are looked up.
    pub schemas: Vec<String>,
    /// `table.column` or `schema.table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// `schema.name` of functions of the database's own that statements may call.
    pub functions: BTreeSet<String>,
    /// A session variable that holds the person, for row-level security.
    pub session: Option<String>,
    /// Whether the role may be a superuser, bypass row security or own what it reads.
    pub privileged: bool,
    /// Who changes schemas; without one nobody does.
    pub definer: Option<Definer>,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// An account of its own that changes schemas: it owns tables, which the one that reads must not.
#[derive(Debug, Clone)]
pub struct Definer {
    /// The role's name.
    pub account: String,
    /// Its password.
    pub password: Option<Secret>,
}

/// The most texts whose check is kept, and the longest that is.
const REMEMBERED: usize = 256;
const REMEMBERED_BYTES: usize = 8_192;
/// Where a server listens whose address does not say.
const PORT: u16 = 5432;

/// A database, and the connections to it.
#[derive(Debug)]
pub struct Database {
    spec: Arc<Spec>,
    pool: Arc<Pool>,
    /// As the account that changes schemas.
    defining: Option<Arc<Pool>>,
    known: Mutex<Option<Arc<Known>>>,
    /// Why nobody could look when everything started; nothing since somebody could.
    away: Mutex<Option<Refusal>>,
    lookahead: Option<Arc<dyn LookAhead>>,
}

/// The catalogue as it was seen last.
#[derive(Debug)]
struct Known {
    moment: Moment,
    loaded: Arc<Loaded>,
}

impl Database {
    /// Connects to nothing yet: a server that is away refuses calls, not the start.
    ///
    /// # Errors
    /// For the operator: what in `spec` cannot be used.
    pub fn new(spec: Spec, world: Arc<dyn World>) -> Result<Self, String> {
        let defined = |class: &&String| *class == "public" || spec.classes.contains_key(*class);
        if let Some(class) = spec.columns.values().find(|class| !defined(class)) {
            return Err(format!("there is no class `{class}`"));
        }
        let own = |definer: &Definer| Pool::of_definer(&spec, definer, world.clone());
        let defining = spec.definer.as_ref().map(own).transpose()?;
        Ok(Self {
            defining: defining.map(Arc::new),
            pool: Arc::new(Pool::new(&spec, world)?),
            spec: Arc::new(spec),
            known: Mutex::default(),
            away: Mutex::default(),
            lookahead: None,
        })
    }

    /// Rows of queries are looked at while more of them come: large answers are there sooner.
    #[must_use]
    pub fn looked_at_by(self, lookahead: Arc<dyn LookAhead>) -> Self {
        Self {
            lookahead: Some(lookahead),
            ..self
        }
    }

    /// What a request would touch. The statement is checked against the catalogue as it is now. Nothing is run.
    ///
    /// # Errors
    /// `statement_refused`, `wrong_tool`, `limit_exceeded`, `cancelled`, `target_failed`.
    pub async fn inspect(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        let work = async {
            let mut link = self.reading(invocation, self.spec.limits.seconds).await?;
            let fresh = self.fresh(&mut link, invocation, self.spec.limits.seconds).await;
            let facts = match fresh {
                Ok(fresh) => self.facts(&mut link, &fresh, invocation).await,
                Err(refusal) => Err(refusal),
            };
            match &invocation.request {
                // Nothing of what the agent wrote was sent.
                Request::SqlQuery(_) | Request::SqlSchema(_) => link.give_back_as_it_was().await,
                _ => link.give_back().await,
            }
            let template = match &invocation.request {
                Request::SqlQuery(query) => guard::template(&query.statement),
                Request::SqlExecute(change) => guard::template(&change.statement),
                _ => None,
            };
            facts.map(|facts| facts.templated(template))
        };
        bounded(work, self.spec.limits.seconds, cancel).await
    }

    /// Does what the permit is for, once. The statement is checked again in the transaction that runs it, behind
    /// the masks that the permit leaves.
    ///
    /// # Errors
    /// As [`Self::inspect`]; `target_failed` (retry) when the catalogue changed since then; `invalid_arguments`
    /// for parameters that do not fit.
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        approved: Option<&Effect>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let limits = permit.limits();
        if let Request::SqlExecute(request) = &invocation.request {
            let order = change::Order::new(invocation, request, facts, (limits, permit.reveal().clone()))?;
            if guard::defines(&request.statement) {
                return self.make_definition(&order, last, cancel).await;
            }
            let people = (permit.is_approved(), approved);
            return self.make_change(&order, people, last, cancel).await;
        }
        let expected = Expected::of(facts)?;
        let work = async {
            let mut link = self.reading(invocation, limits.seconds).await?;
            let outcome = self
                .in_transaction(&mut link, invocation, &expected, limits, permit.reveal())
                .await;
            link.give_back().await;
            outcome
        };
        bounded(work, limits.seconds, cancel).await
    }

    /// What a change would do: it is done and undone in one transaction. Numbers that sequences gave stay used.
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
        let order = change::Order::new(invocation, request, facts, (permit.limits(), BTreeSet::new()))?;
        match guard::defines(&request.statement) {
            true => self.foresee(&order, cancel).await,
            false => self.try_change(&order, cancel).await,
        }
    }

    async fn in_transaction(
        &self,
        link: &mut Link,
        invocation: &Invocation,
        expected: &Expected,
        limits: Limits,
        reveal: &BTreeSet<String>,
    ) -> Result<RawOutput, Refusal> {
        let loaded = self.fresh(link, invocation, limits.seconds).await?;
        loaded.fit(self.spec.privileged)?;
        expected.matches_version(&loaded.catalog.version)?;
        match &invocation.request {
            Request::SqlQuery(request) => {
                let touched = expected.classified.iter().map(|column| &column.column);
                let reveal = touched
                    .filter(|column| reveal.contains(*column))
                    .cloned()
                    .collect();
                let checked = checked(&loaded, &*asked::with(request, "")?, &reveal)?;
                expected.matches(&checked.facts, &checked.classified)?;
                let request = lookup::bound(link, request, &checked, &reveal, &self.spec).await?;
                let order = query::Order {
                    request: &request,
                    limits,
                    lookahead: self.lookahead.as_ref(),
                    reveal: &reveal,
                };
                query::run(link, &order, &loaded, &checked).await
            }
            Request::SqlSchema(wanted) => {
                let schema = schema::answer(&loaded.catalog, wanted, reveal, limits)?;
                RawOutput::new(schema).map_err(|error| Refusal::internal(format!("postgres schema: {error}")))
            }
            _ => Err(not_for_a_database()),
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection in a transaction that only reads, and that the server knows whose it is.
    async fn reading(&self, invocation: &Invocation, seconds: u64) -> Result<Link, Refusal> {
        let hello = probe::hello(&self.spec, &Voice::of(invocation, seconds));
        self.pool.reading_with(&hello).await
    }

    /// The catalogue as the link's transaction sees it. Tells the server whose call this is.
    async fn fresh(
        &self,
        link: &mut Link,
        invocation: &Invocation,
        seconds: u64,
    ) -> Result<Arc<Loaded>, Refusal> {
        self.seen(link, &Voice::of(invocation, seconds)).await
    }

    async fn seen(&self, link: &mut Link, voice: &Voice) -> Result<Arc<Loaded>, Refusal> {
        let known = self.known();
        let before = known
            .as_ref()
            .map(|known| known.moment.clone())
            .unwrap_or_default();
        let moment = probe::ask(link, &self.spec, voice, &before).await?;
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let loaded = match known.filter(|_| moment.version == before.version) {
            Some(known) if moment == before => return Ok(Arc::clone(&known.loaded)),
            Some(known) => Arc::clone(&known.loaded),
            None => Arc::new(loader::load(link, &self.spec, &moment).await?),
        };
        if let Some(problem) = &loaded.misfit {
            tracing::warn!(resource = self.spec.name, "closed: {problem}");
        }
        let known = Known {
            moment,
            loaded: Arc::clone(&loaded),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(loaded)
    }

    async fn facts(
        &self,
        link: &mut Link,
        loaded: &Loaded,
        invocation: &Invocation,
    ) -> Result<Facts, Refusal> {
        loaded.fit(self.spec.privileged)?;
        let mut facts = Facts {
            shell: None,
            probe: Probe::None,
            action: invocation.action,
            target: Target::Postgres {
                database: address::address(&self.spec.url, PORT),
                role: address::decoded(self.spec.url.username()),
                catalog: loaded.catalog.version.clone(),
            },
            sql: None,
            file: None,
            classified: BTreeSet::new(),
        };
        match &invocation.request {
            Request::SqlQuery(request) => {
                let checked = checked(loaded, &*asked::with(request, "")?, &BTreeSet::new())?;
                lookup::column(request, &checked, &self.spec)?;
                facts.action = checked.action;
                facts.sql = Some(checked.facts.clone());
                facts.classified = checked.classified.clone();
            }
            Request::SqlSchema(wanted) => {
                facts.classified = schema::classified(&loaded.catalog, wanted.table.as_deref());
            }
            Request::SqlExecute(request) if guard::defines(&request.statement) => {
                let plan = ddl::plan(link, loaded, &self.spec, request).await?;
                facts.action = Action::SqlDdl;
                facts.sql = Some(plan.definition.facts);
                facts.classified = plan.definition.classified;
                facts.probe = Probe::Measurable;
            }
            Request::SqlExecute(request) => {
                let plan = change::plan(link, loaded, &self.spec, (request, &BTreeSet::new())).await?;
                facts.action = plan.checked.action;
                facts.sql = Some(plan.checked.facts);
                facts.classified = plan.checked.classified;
                facts.probe = plan.probe;
            }
            _ => return Err(not_for_a_database()),
        }
        Ok(facts)
    }
}

fn checked(
    loaded: &Loaded,
    request: &crate::call::request::SqlQuery,
    reveal: &BTreeSet<String>,
) -> Result<Arc<Checked>, Refusal> {
    let named = pages::names(request.parameters.as_ref());
    let key = (request.statement.clone(), named, reveal.clone());
    let remembered = loaded.checked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = remembered.get(&key) {
        return Ok(Arc::clone(known));
    }
    drop(remembered);
    let (statement, named, reveal) = &key;
    let found = Arc::new(guard::check(
        statement,
        named,
        &loaded.catalog,
        reveal,
        Mode::Query,
    )?);
    if statement.len() <= REMEMBERED_BYTES {
        let mut remembered = loaded.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, Arc::clone(&found));
    }
    Ok(found)
}
