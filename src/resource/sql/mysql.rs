//! Databases of MySQL and MariaDB servers, read behind masks.
//!
//! An agent's statement is read, every name in it is looked up, and it is printed anew; what was printed is read
//! again and must be the same. Only that text reaches the server, prepared and alone. Masks are not in it: where
//! anything is classified, its names are those of views, made by an administrator with the rights of another account,
//! and the account in use has no right to what is behind them. So the database itself holds the masks, whatever a
//! statement says.

mod admin;
mod catalog;
mod change;
mod ground;
mod guard;
mod impact;
mod keys;
mod link;
mod loader;
mod looks;
mod lookup;
mod masks;
mod oracle;
mod ours;
mod parameters;
mod probe;
mod query;
mod reach;
mod refusals;
mod report;
mod rights;
mod role;
mod sampling;
mod schema;
mod standing;
mod still;
mod tables;
mod tokens;
mod unmade;
mod values;
mod writing;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::bounds::{Expected, bounded, not_for_a_database, schema_changed};
use super::{ColumnsDefault, MaskStyle, address, lookup as asked, pages};
use crate::call::request::SqlQuery;
use crate::call::{
    Effect, Facts, Invocation, LastLook, Limits, LookAhead, Probe, RawOutput, Refusal, Request, Target,
};
use crate::clock::World;
use crate::policy::Permit;
use crate::secret::Secret;
pub use admin::{Administrator, Views};
use guard::{Checked, Mode};
use link::Pool;
use loader::Loaded;
use looks::Looks;
pub use report::{Changes, Report, Table};
use still::Unproven;

/// The most texts whose check is kept, and the longest that is.
const REMEMBERED: usize = 256;
const REMEMBERED_BYTES: usize = 8_192;
/// Where a server listens whose address does not say.
const PORT: u16 = 3306;

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
    /// `mysql://account@host:port/database`; no password, no parameters.
    pub url: Url,
    /// The account's password.
    pub password: Option<Secret>,
    /// A PEM file with the certificates that may vouch for the server; without it the machine's own.
    pub ca: Option<PathBuf>,
    /// The database with the masking views.
    pub views: String,
    /// `table.column` = class; `public` shows it.
    pub columns: BTreeMap<String, String>,
    /// What an unlisted column is.
    pub columns_default: ColumnsDefault,
    /// How each class looks when masked.
    pub classes: BTreeMap<String, MaskStyle>,
    /// A user variable that holds the person.
    pub session: Option<String>,
    /// Whether the account may have rights that reading behind masks never needs.
    pub privileged: bool,
    /// The account that makes changes; without one, agents only read.
    pub writer: Option<Writer>,
    /// Server-wide bounds.
    pub limits: Limits,
}

/// An account that makes changes.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Its name.
    pub account: String,
    /// Its password.
    pub password: Option<Secret>,
}

impl Spec {
    /// The database with the tables.
    fn database(&self) -> String {
        address::decoded(self.url.path().trim_start_matches('/'))
    }

    /// Whether anything may be classified, so that all is read through masking views: also a table that nobody has
    /// made yet, where what nobody listed is masked.
    fn behind_views(&self) -> bool {
        self.columns_default == ColumnsDefault::Mask || self.columns.values().any(|class| class != "public")
    }

    /// The database that statements name.
    fn place(&self) -> String {
        match self.behind_views() {
            true => self.views.clone(),
            false => self.database(),
        }
    }

    /// What is laid over the catalogue belongs to its version: a restart with another configuration is another one.
    fn laid_over(&self) -> String {
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{}",
            self.views, self.columns, self.columns_default, self.classes, self.privileged
        )
    }
}

/// A database, and the connections to it.
#[derive(Debug)]
pub struct Database {
    spec: Arc<Spec>,
    pool: Arc<Pool>,
    /// Of the account that makes changes.
    writes: Option<Arc<Pool>>,
    world: Arc<dyn World>,
    known: Mutex<Option<Arc<Loaded>>>,
    looks: Looks,
    glances: Looks,
    /// Why the server could not be looked at, until it was.
    away: Mutex<Option<Refusal>>,
    lookahead: Option<Arc<dyn LookAhead>>,
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
        tokens::possible(&spec)?;
        let writes = match &spec.writer {
            Some(writer) => {
                let pool = Pool::new(&spec.as_writer(writer)?, Arc::clone(&world))?;
                Some(Arc::new(pool))
            }
            None => None,
        };
        Ok(Self {
            pool: Arc::new(Pool::new(&spec, Arc::clone(&world))?),
            writes,
            world,
            spec: Arc::new(spec),
            known: Mutex::default(),
            looks: Looks::default(),
            glances: Looks::default(),
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
            if let Request::SqlQuery(_) = &invocation.request
                && let Ok(facts) = self.facts(&*self.glanced().await?, invocation).await
            {
                return Ok(facts);
            }
            self.facts(&*self.fresh().await?, invocation).await // nothing is refused after a glance
        };
        bounded(work, self.spec.limits.seconds, cancel).await
    }

    /// Does what the permit is for, once. The statement is checked again beside the transaction that runs it, and
    /// the catalogue must be the same when it has run. Masks are in the database: a permit cannot lift them.
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
        if let Request::SqlExecute(request) = &invocation.request {
            let order = change::Order::new(invocation, request, facts, permit.limits())?;
            return self.make_change(&order, permit.is_approved(), last, cancel).await;
        }
        let _ = approved; // for what its keys are: the last look compares
        let expected = Expected::of(facts)?;
        let (limits, asked_people) = (permit.limits(), permit.is_approved());
        let work = async {
            let loaded = match self.known_as(&expected) {
                Some(known) => known, // is it still so? that is asked when the statement has run
                None => self.fresh().await?,
            };
            loaded.fit(self.spec.privileged)?;
            expected.matches_version(&loaded.catalog.version)?;
            match &invocation.request {
                Request::SqlQuery(request) => {
                    // While people were asked, anything may have changed.
                    let known = (&*loaded, &expected, asked_people);
                    self.query(invocation, request, known, limits).boxed().await
                }
                Request::SqlSchema(wanted) => {
                    let schema = schema::answer(&loaded.catalog, wanted, limits)?;
                    let output = RawOutput::new(schema);
                    let output = output.map_err(|error| Refusal::internal(format!("mysql schema: {error}")));
                    self.of_one_catalog(&loaded, output).await
                }
                _ => Err(not_for_a_database()),
            }
        };
        bounded(work, limits.seconds, cancel).await
    }

    /// What a change would do: it is made in a transaction that is undone.
    ///
    /// # Errors
    /// As [`Self::inspect`]; `limit_exceeded` when that cannot be established, whatever stands in its way.
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
        let order = change::Order::new(invocation, request, facts, permit.limits())?;
        self.try_change(&order, cancel).await
    }

    /// What a query gives. It is run on a connection that no other call has meanwhile, and that another may have later
    /// if nothing can have been left on it.
    async fn query(
        &self,
        invocation: &Invocation,
        request: &SqlQuery,
        (loaded, expected, looked_long_ago): (&Loaded, &Expected, bool),
        limits: Limits,
    ) -> Result<RawOutput, Refusal> {
        let checked = checked(loaded, &*asked::with(request, "")?)?;
        expected.matches(&checked.facts, &checked.classified)?;
        let known = |name: &String| loaded.catalog.relation(name).is_some();
        if !checked.relations.iter().all(known) {
            return Err(Refusal::internal(
                "mysql: a relation that does not exist was let through",
            ));
        }
        let mut link = self.pool.reading().await?;
        let unproven = Unproven::new(loaded);
        let read = async {
            probe::tell(&mut link, &self.spec, &invocation.user).await?;
            let request = lookup::bound(&mut link, request, &checked, &self.spec).await?;
            let order = query::Order {
                request: &request,
                limits,
                lookahead: self.lookahead.as_ref(),
                call: &invocation.call_id,
            };
            query::run(&mut link, &order, &checked).await
        };
        let read = read.await;
        let reuse = !loaded.catalog.calls(&checked.relations);
        let question = still::question(loaded, &checked, &self.spec, link.version());
        let plain = reuse && !link.busy && !looked_long_ago && request.lookup.is_none();
        if let (true, Some(question), Ok(_)) = (plain, question, &read) {
            let read = self.still_the_same(link, loaded, &question, read?).await;
            unproven.proven();
            return read;
        }
        let read = self.of_one_catalog(loaded, read).await;
        unproven.proven();
        match read.is_ok() && reuse {
            true => drop(link.rest("").await),
            false => link.give_back().await,
        }
        read
    }

    /// What a statement gave, if the catalogue is still that which it was checked against. Definitions are not part
    /// of what a transaction sees; what is used is locked until it ends, which it has not. So what is as it was before is
    /// what the statement was run with, and nothing of another run leaves, not even what was wrong with it.
    async fn of_one_catalog(
        &self,
        loaded: &Loaded,
        output: Result<RawOutput, Refusal>,
    ) -> Result<RawOutput, Refusal> {
        match self.fresh().await {
            Ok(now) if now.catalog.version == loaded.catalog.version => output,
            Ok(_) => Err(schema_changed()),
            Err(away) => {
                loaded.set_glimpse(None);
                Err(away) // what was wrong with the statement may be of another catalogue
            }
        }
    }

    /// The catalogue that facts were made from, if it is the one that was loaded last.
    fn known_as(&self, expected: &Expected) -> Option<Arc<Loaded>> {
        self.last_known()
            .filter(|known| expected.matches_version(&known.catalog.version).is_ok())
    }

    async fn facts(&self, loaded: &Loaded, invocation: &Invocation) -> Result<Facts, Refusal> {
        loaded.fit(self.spec.privileged)?;
        let mut facts = Facts {
            shell: None,
            probe: Probe::None,
            action: invocation.action,
            target: Target::Mysql {
                database: address::address(&self.spec.url, PORT),
                account: self
                    .spec
                    .account(matches!(invocation.request, Request::SqlExecute(_))),
                catalog: loaded.catalog.version.clone(),
            },
            sql: None,
            file: None,
            classified: BTreeSet::new(),
        };
        match &invocation.request {
            Request::SqlQuery(request) => {
                let checked = checked(loaded, &*asked::with(request, "")?)?;
                lookup::column(request, &checked, &self.spec)?;
                facts.action = checked.action;
                facts.sql = Some(checked.facts.clone());
                facts.classified = checked.classified.clone();
            }
            Request::SqlSchema(wanted) => {
                facts.classified = schema::classified(&loaded.catalog, wanted.table.as_deref());
            }
            Request::SqlExecute(request) => self.inspect_change(loaded, request, &mut facts).await?,
            _ => return Err(not_for_a_database()),
        }
        Ok(facts)
    }
}

fn checked(loaded: &Loaded, request: &SqlQuery) -> Result<Arc<Checked>, Refusal> {
    let key = (
        request.statement.clone(),
        pages::names(request.parameters.as_ref()),
    );
    let remembered = loaded.checked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = remembered.get(&key) {
        return Ok(Arc::clone(known));
    }
    drop(remembered);
    let found = Arc::new(guard::check(&key.0, &key.1, &loaded.catalog, Mode::Query)?);
    if key.0.len() <= REMEMBERED_BYTES {
        let mut remembered = loaded.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, Arc::clone(&found));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resource over the database `shop` whose columns are masked unless they are listed.
    pub(super) fn spec() -> Spec {
        Spec {
            name: "shop".to_owned(),
            url: Url::parse("mysql://reader@127.0.0.1:3306/shop").unwrap(),
            password: None,
            ca: None,
            views: "shop_tollgate".to_owned(),
            columns: BTreeMap::from([("customers.id".to_owned(), "public".to_owned())]),
            columns_default: ColumnsDefault::Mask,
            classes: BTreeMap::new(),
            session: None,
            privileged: false,
            writer: None,
            limits: Limits {
                rows: 10,
                bytes: 1000,
                seconds: 5,
            },
        }
    }

    #[test]
    fn only_what_can_have_nothing_classified_is_read_without_views() {
        let mut shown = spec();
        assert!(shown.behind_views(), "a column that nobody listed is masked");
        shown.columns_default = ColumnsDefault::Show;
        assert_eq!((shown.behind_views(), shown.place()), (false, "shop".to_owned()));
        shown
            .columns
            .insert("customers.email".to_owned(), "email".to_owned());
        assert_eq!(
            (shown.behind_views(), shown.place()),
            (true, "shop_tollgate".to_owned())
        );
    }
}
