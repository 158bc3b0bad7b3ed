//! Schema changes: CREATE, DROP and ALTER of what an agent can see, in one transaction.
//!
//! They run on a connection of their own, whose `main` is the file, because ALTER rewrites the texts of
//! every schema it finds, masking views included. No statement here gives rows back: what would read
//! (CREATE TABLE … AS SELECT) or compute later (triggers, generated columns) is not offered. A column
//! that is masked must not become one that is shown, whatever it is called afterwards.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OpenFlags};

use super::anatomy::Anatomy;
use super::catalog::{self, Catalog, Kind, Relation};
use super::change::{self, Ask, Order, Plan};
use super::check::{self, Checked};
use super::functions;
use super::guard::Mode;
use super::impact::{self, Before, Marks, Newness, Unmeasured};
use super::link::{self, Access};
use super::oracle::Oracle;
use super::pool::{self, Pool};
use super::text::{
    self,
    change::{Definition, Step},
    refused,
};
use super::watch::{self, Watch};
use super::{Spec, masks, refusals, unmade};
use crate::call::answer::Changed;
use crate::call::{Action, Effect, Probe, RawOutput, Refusal, SqlFacts};

const MAIN: &str = "main";

/// A connection for one schema change.
struct Desk {
    conn: Connection,
    catalog: Arc<Catalog>,
    anatomy: Anatomy,
    clerk: Arc<Clerk>,
}

/// What a statement may do to the schema, and the authorizer that holds it to that.
struct Clerk(Mutex<Clerical>);

struct Clerical {
    mode: Mode,
    /// Names it may create, drop or alter, lower case.
    names: BTreeSet<String>,
    /// Tables the engine may look into on the way, lower case.
    tables: BTreeSet<String>,
    /// The table of an index, as the engine says it.
    of_index: Option<String>,
    denied: bool,
}

/// A schema change, fit to be made.
struct Prepared {
    definition: Definition,
    checked: Checked,
    probe: Probe,
    /// The table it is about, lower case, when there is one already.
    table: Option<String>,
}

/// See [`change::inspect`].
///
/// # Errors
/// `statement_refused`, or what ended the preparation.
pub(super) fn inspect(pool: &Pool, statement: &str, watch: &Watch) -> Result<Plan, Refusal> {
    let desk = Desk::open(pool, Access::Prepare)?;
    let prepared = desk.watched(watch, || desk.prepare(pool.spec(), statement, watch))?;
    Ok(Plan {
        action: Action::SqlDdl,
        checked: prepared.checked,
        probe: prepared.probe,
        version: desk.catalog.version,
    })
}

/// See [`change::measure`].
///
/// # Errors
/// As there.
pub(super) fn measure(pool: &Pool, order: &Order, watch: &Watch) -> Result<Effect, Refusal> {
    let desk = Desk::open(pool, Access::Change)?;
    let outcome = desk.watched(watch, || {
        change::begin(&desk.conn, watch)?;
        let (_, effect) = desk.attempt(pool, order, watch, true)?;
        change::settled(&desk.conn, true)?;
        Ok(effect)
    });
    change::undo(&desk.conn);
    outcome
}

/// See [`change::run`].
///
/// # Errors
/// As there.
pub(super) fn run(pool: &Pool, order: &Order, watch: &Watch, ask: Ask<'_>) -> Result<RawOutput, Refusal> {
    let desk = Desk::open(pool, Access::Change)?;
    let made = desk.watched(watch, || {
        change::begin(&desk.conn, watch)?;
        let (prepared, effect) = desk.attempt(pool, order, watch, false)?;
        change::settled(&desk.conn, false)?;
        let mut output = change::output(&Changed {
            rows_affected: 0,
            kind: format!("{} {}", prepared.definition.verb, prepared.definition.object),
            returned: None,
        })?;
        output.effect = Some(effect);
        Ok(output)
    });
    let made = made.and_then(|output| {
        change::stay(&desk.conn, output.effect.as_ref(), watch, ask)?;
        Ok(output)
    });
    change::undo(&desk.conn);
    made
}

impl Desk {
    fn open(pool: &Pool, access: Access) -> Result<Self, Refusal> {
        let catalog = pool.current_catalog()?;
        Self::connect(pool.spec(), access, catalog).map_err(pool::unreadable)
    }

    fn connect(spec: &Spec, access: Access, catalog: Arc<Catalog>) -> rusqlite::Result<Self> {
        let mode = match access {
            Access::Change => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read | Access::Prepare => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let flags = mode | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(link::uri(&spec.path, access), flags)?;
        link::settle(&conn, access)?;
        conn.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF")?;
        let clerk = Arc::new(Clerk(Mutex::new(Clerical {
            mode: Mode::Ours,
            names: BTreeSet::new(),
            tables: BTreeSet::new(),
            of_index: None,
            denied: false,
        })));
        let asked = Arc::clone(&clerk);
        conn.authorizer(Some(move |context: AuthContext<'_>| asked.authorize(context)))?;
        Ok(Self {
            anatomy: Anatomy::read(&conn, MAIN)?,
            conn,
            catalog,
            clerk,
        })
    }

    fn watched<T>(&self, watch: &Watch, work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let watching = watch.over(&self.conn);
        let outcome = watching
            .map_err(|_| Refusal::internal("sqlite: no progress handler"))
            .and_then(|()| work());
        watch::off(&self.conn);
        self.clerk.enter(Mode::Ours);
        outcome
    }

    fn prepare(&self, spec: &Spec, statement: &str, watch: &Watch) -> Result<Prepared, Refusal> {
        let shape = text::read(statement)?;
        check::reserved_names(&shape)?;
        let definition = text::change::definition(statement)?;
        computes_nothing(&definition)?;
        if definition.verb == "create" && definition.object == "view" {
            let others = self.anatomy.objects.iter();
            let views = others.filter(|(_, (kind, ..))| kind == "view");
            let views = views.map(|(name, (_, _, sql))| (name.as_str(), sql.as_str()));
            text::view_is_small(&definition.name, statement, views)?;
        }
        let lower = definition.name.to_ascii_lowercase();
        let named = self.named(&definition, &lower)?;
        if let (Some(relation), Some(step)) = (named, &definition.step) {
            keeps_its_masks(spec, relation, step)?;
        }
        self.clerk.allow(
            &definition,
            &self.anatomy,
            named.is_some().then_some(lower.as_str()),
        );
        self.clerk.enter(Mode::Agent);
        let prepared = self.conn.prepare(statement).map(drop);
        self.clerk.enter(Mode::Ours);
        let (denied, of_index) = self.clerk.told();
        if denied {
            return Err(not_available());
        }
        prepared.map_err(|error| self.unprepared(&error, &shape, watch))?;
        let table = match definition.object {
            "index" => of_index,
            _ => named.map(|_| lower),
        };
        if let Some(table) = table
            .as_deref()
            .filter(|table| !self.catalog.relations.contains_key(*table))
        {
            return Err(refusals::no_relation(table, &shape));
        }
        let oracle = Oracle {
            anatomy: &self.anatomy,
            catalog: &self.catalog,
        };
        Ok(Prepared {
            probe: if oracle.of_definition(&definition, table.as_deref()) {
                Probe::Oracle
            } else {
                Probe::Measurable
            },
            checked: self.facts(&definition, table.as_deref()),
            definition,
            table,
        })
    }

    /// The relation it drops or alters. One that is not exposed looks like one that is not there.
    fn named(&self, definition: &Definition, lower: &str) -> Result<Option<&Relation>, Refusal> {
        let wanted = match (definition.verb, definition.object) {
            ("create", _) | (_, "index") => return Ok(None),
            (_, object) => object,
        };
        let is_it = |relation: &&Relation| match relation.kind {
            Kind::Table(_) => wanted == "table",
            Kind::View(_) => wanted == "view",
        };
        match self.catalog.relations.get(lower).filter(is_it) {
            Some(relation) => Ok(Some(relation)),
            None => Err(refused(
                format!("There is no {wanted} `{}`.", definition.name),
                "Call sql_schema to see the tables and views.",
            )),
        }
    }

    fn unprepared(&self, error: &rusqlite::Error, shape: &text::Shape, watch: &Watch) -> Refusal {
        let seen = super::guard::Seen::default();
        let mut refusal = refusals::preparing(error, &seen, shape, &self.catalog, watch);
        if refusal.suggestion.starts_with("Send one SELECT") {
            "Send one statement per call.".clone_into(&mut refusal.suggestion);
        }
        refusal
    }

    fn facts(&self, definition: &Definition, table: Option<&str>) -> Checked {
        let relations = &self.catalog.relations;
        let own = table.and_then(|table| relations.get(table));
        let mentioned = definition.words.iter().filter_map(|word| relations.get(word));
        let touched: Vec<&Relation> = own.into_iter().chain(mentioned).collect();
        let mut tables: BTreeSet<String> = touched.iter().map(|relation| relation.name.clone()).collect();
        if definition.object != "index" {
            tables.insert(definition.name.clone());
        }
        let columns = touched.iter().flat_map(|relation| {
            let named = relation
                .columns
                .iter()
                .filter(|column| definition.words.contains(&column.name.to_ascii_lowercase()));
            named.map(|column| relation.path(column))
        });
        Checked {
            facts: SqlFacts {
                kind: "ddl".to_owned(),
                tables,
                columns: columns.collect(),
                functions: BTreeSet::new(),
                has_where: false,
                irreversible: definition.verb == "drop" || matches!(definition.step, Some(Step::Drop(_))),
                template: None,
            },
            classified: touched
                .iter()
                .flat_map(|relation| relation.classified())
                .collect(),
            named: BTreeSet::new(),
            tells_order: false,
        }
    }

    /// As [`change`]'s: everything again in the transaction, then the change, then what it did.
    fn attempt(
        &self,
        pool: &Pool,
        order: &Order,
        watch: &Watch,
        measures: bool,
    ) -> Result<(Prepared, Effect), Refusal> {
        let version = catalog::version(&self.conn, MAIN).map_err(|error| refusals::running(&error, watch))?;
        order.expected.matches_version(version)?;
        order.expected.matches_version(self.catalog.version)?;
        let prepared = self.prepare(pool.spec(), &order.request.statement, watch)?;
        order.expected.matches(&prepared.checked)?;
        if prepared.probe != order.probe {
            return Err(pool::schema_changed());
        }
        if order.request.parameters.is_some() {
            return Err(super::values::invalid(
                "A schema change takes no parameters.",
                "Leave `parameters` out.",
            ));
        }
        let done = self.carry_out(&prepared, order, watch);
        let effect = done.map_err(|why| {
            if measures {
                unmade::unmeasured(why, watch)
            } else {
                unmade::unlimited(why, watch)
            }
        })?;
        Ok((prepared, effect))
    }

    fn carry_out(&self, prepared: &Prepared, order: &Order, watch: &Watch) -> Result<Effect, Unmeasured> {
        let drops = prepared.definition.verb == "drop" && prepared.definition.object == "table";
        let gone = prepared.table.as_deref().filter(|_| drops);
        let mut children = gone.map(|table| self.anatomy.below(table)).unwrap_or_default();
        let mut effect = Effect::default();
        if let Some(table) = gone.and_then(|table| self.anatomy.tables.get(table)) {
            children.remove(&table.name.to_ascii_lowercase());
            let rows = impact::whole(&self.conn, MAIN, table, watch)?;
            effect.rows.insert(table.name.clone(), rows);
        }
        let before = Before::take(&self.conn, MAIN, &self.anatomy, &children, watch)?;
        self.clerk.enter(Mode::Agent);
        let done = self.conn.prepare(&order.request.statement);
        let done = done.and_then(|mut statement| statement.raw_execute());
        self.clerk.enter(Mode::Ours);
        done?;
        let by_key = |_: &str| Marks {
            new: Newness::Whole,
            given: BTreeSet::new(),
        };
        let impact = before.compare(&self.conn, MAIN, &self.anatomy, &by_key, watch)?;
        effect.rows.extend(impact.effect.rows);
        let now = Anatomy::read(&self.conn, MAIN)?;
        for (name, (kind, ..)) in &self.anatomy.objects {
            if !now.objects.contains_key(name) {
                effect.schema.insert(name.clone(), format!("drop {kind}"));
            }
        }
        for (name, (kind, table, sql)) in &now.objects {
            match self.anatomy.objects.get(name) {
                None => effect.schema.insert(name.clone(), format!("create {kind}")),
                Some(was) if *was != (kind.clone(), table.clone(), sql.clone()) => {
                    effect.schema.insert(name.clone(), format!("alter {kind}"))
                }
                Some(_) => None,
            };
        }
        effect.irreversible = prepared.checked.facts.irreversible;
        Ok(effect)
    }
}

impl Clerk {
    fn enter(&self, mode: Mode) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).mode = mode;
    }

    fn allow(&self, definition: &Definition, anatomy: &Anatomy, table: Option<&str>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.names = BTreeSet::from([definition.name.to_ascii_lowercase()]);
        state.tables = table.map(|table| anatomy.below(table)).unwrap_or_default();
        if definition.verb == "drop" && definition.object == "table" {
            state.tables.extend(anatomy.related());
        }
        state.of_index = None;
        state.denied = false;
    }

    fn told(&self) -> (bool, Option<String>) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.denied, state.of_index.clone())
    }

    fn authorize(&self, asked: AuthContext<'_>) -> Authorization {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.mode == Mode::Ours || state.judge(&asked) {
            Authorization::Allow
        } else {
            state.denied = true;
            Authorization::Deny
        }
    }
}

impl Clerical {
    fn judge(&mut self, asked: &AuthContext<'_>) -> bool {
        let lower = |name: &str| name.to_ascii_lowercase();
        let of_engine = |name: &str| lower(name).starts_with("sqlite_");
        let named = |name: &str| self.names.contains(&lower(name));
        match asked.action {
            AuthAction::CreateTable { table_name } | AuthAction::DropTable { table_name } => {
                named(table_name) || of_engine(table_name)
            }
            AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => named(view_name),
            AuthAction::AlterTable { table_name, .. } => named(table_name),
            AuthAction::CreateIndex {
                index_name,
                table_name,
            }
            | AuthAction::DropIndex {
                index_name,
                table_name,
            } => {
                let is_it = named(index_name) || of_engine(index_name);
                self.of_index.get_or_insert_with(|| lower(table_name));
                is_it
            }
            AuthAction::Reindex { index_name } => named(index_name),
            // The columns of a new index.
            AuthAction::Read { table_name, .. } if self.of_index.as_deref() == Some(&lower(table_name)) => {
                true
            }
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Read { table_name, .. } => {
                of_engine(table_name) || self.tables.contains(&lower(table_name)) || named(table_name)
            }
            AuthAction::Function { function_name } => {
                of_engine(function_name) || functions::allowed(&lower(function_name))
            }
            AuthAction::Select | AuthAction::Recursive => true,
            _ => false,
        }
    }
}

/// A table's own text must not compute: what it made of a masked column would be another column.
fn computes_nothing(definition: &Definition) -> Result<(), Refusal> {
    let adds = matches!(definition.step, Some(Step::Add(_)));
    let is_table = definition.object == "table" && (definition.verb == "create" || adds);
    if is_table && (definition.words.contains("as") || definition.words.contains("generated")) {
        return Err(refused(
            "CREATE TABLE … AS and generated columns are not offered.",
            "Create the table with plain columns, then fill it with INSERT.",
        ));
    }
    Ok(())
}

/// A rename must neither show what was masked nor take a name away that the configuration lists.
fn keeps_its_masks(spec: &Spec, relation: &Relation, step: &Step) -> Result<(), Refusal> {
    let listed = |path: &str| spec.columns.keys().any(|key| key.eq_ignore_ascii_case(path));
    let moves: Vec<(&catalog::Column, String)> = match step {
        Step::RenameTable(name) => relation
            .columns
            .iter()
            .map(|column| (column, format!("{name}.{}", column.name)))
            .collect(),
        Step::RenameColumn(from, to) => relation
            .columns
            .iter()
            .filter(|column| column.name.eq_ignore_ascii_case(from))
            .map(|column| (column, format!("{}.{to}", relation.name)))
            .collect(),
        Step::Add(_) | Step::Drop(_) => Vec::new(),
    };
    for (column, new) in moves {
        let shows = match (&column.class, catalog::class_of(spec, &new)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(old), Some(new)) => *old != new && masks::reads(new.1),
        };
        if shows || listed(&relation.path(column)) {
            return Err(refused(
                "The configuration of this database goes by that name, so it is not changed here.",
                "Ask your operator, who can change the configuration with it.",
            ));
        }
    }
    Ok(())
}

fn not_available() -> Refusal {
    refused(
        "The schema change reaches something that is not available here.",
        "CREATE, DROP or ALTER one table, index or view that sql_schema shows.",
    )
}
