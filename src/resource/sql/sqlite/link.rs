//! One connection: an empty database, the file attached read-only under a name nobody knows, and a
//! view of masks in front of every table.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::catalog::{self, Catalog, Kind, Relation};
use super::check::Checked;
use super::guard::{Guard, Inner, Mode, Rules};
use super::masks::{self, quoted};
use super::{MaskStyle, Spec, bytecode, engine, linear, text};
use crate::clock::World;

/// Longest text, blob or row the engine may make, in bytes. Times the rows it can make between two
/// looks of the watch, this also bounds memory.
pub(super) const MAX_VALUE: i32 = 1 << 20;

/// The same for a row that is changed: it is read whole.
const MAX_ROW: i32 = 16 << 20;

/// What a connection shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Classified columns shown raw.
    pub(super) reveal: BTreeSet<String>,
    /// Whether indexes that tell the order of masked values are out of the planner's reach.
    pub(super) unordered: bool,
    /// Whose tokens these are; empty where they are everybody's.
    pub(super) session: String,
}

/// A connection on which an agent's statement may be prepared.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: Connection,
    pub(super) guard: Arc<Guard>,
    pub(super) key: Key,
    pub(super) catalog: Arc<Catalog>,
    /// Statements that have been through both locks here.
    pub(super) checked: HashMap<String, Arc<Checked>>,
    pub(super) schema: String,
    /// The name of the function that makes tokens.
    token: String,
    access: Access,
    /// Of its inner views.
    names: Option<Names>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Queries.
    Read,
    /// Preparing a change, on a file that cannot be written.
    Prepare,
    /// Making a change.
    Change,
}

impl Link {
    /// Opens the file and reads its catalogue.
    ///
    /// # Errors
    /// What the engine says: the file cannot be opened, or is not a database.
    pub(super) fn discover(spec: &Spec, world: &dyn World) -> rusqlite::Result<Self> {
        let mut link = Self::attach(spec, world, Access::Read, "")?;
        link.guard.enter(Mode::Ours);
        let mut catalog = Catalog::read(&link.conn, &link.schema, spec)?;
        let names = Names::new(world);
        for lower in &catalog.unexposed {
            link.block(lower);
        }
        let relations: Vec<Relation> = catalog.relations.values().cloned().collect();
        link.define(&relations, &names, &mut catalog)?;
        link.resolve_views(spec, &names, &mut catalog)?;
        link.catalog = Arc::new(catalog);
        link.guard.rule(link.rules(&names)?);
        link.withdraw_unreadable()?;
        link.lock(&names)?;
        Ok(link)
    }

    /// Opens the file as `catalog` knows it.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn open(
        spec: &Spec,
        world: &dyn World,
        key: Key,
        catalog: &Arc<Catalog>,
    ) -> rusqlite::Result<Self> {
        Self::open_for(spec, world, key, catalog, Access::Read)
    }

    /// Opens the file for one change, as `catalog` knows it. Such a connection is never given to a query.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn open_for(
        spec: &Spec,
        world: &dyn World,
        key: Key,
        catalog: &Arc<Catalog>,
        access: Access,
    ) -> rusqlite::Result<Self> {
        let mut link = Self::attach(spec, world, access, &key.session)?;
        link.guard.enter(Mode::Ours);
        let names = Names::new(world);
        for name in &catalog.unexposed {
            link.block(name);
        }
        link.key = key;
        link.catalog = Arc::clone(catalog);
        for relation in catalog.relations.values() {
            link.create(relation, &names)?;
        }
        link.lock(&names)?;
        link.names = Some(names);
        Ok(link)
    }

    /// An empty connection with the file attached.
    fn attach(spec: &Spec, world: &dyn World, access: Access, session: &str) -> rusqlite::Result<Self> {
        let conn = empty(access)?;
        let token = format!("t{}", random(world));
        masks::register(&conn, &token, spec.tokens.as_ref(), session)?;
        let guard = Guard::new();
        let asked = Arc::clone(&guard);
        conn.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            asked.authorize(context)
        }))?;
        let schema = format!("d{}", random(world));
        conn.execute_batch(
            "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
        )?;
        attach_file(&conn, &spec.path, &schema, access)?;
        conn.execute_batch(&format!("PRAGMA {}.cache_size = -2000", quoted(&schema)))?;
        Ok(Self {
            conn,
            guard,
            key: Key::default(),
            catalog: Arc::default(),
            checked: HashMap::new(),
            schema,
            token,
            access,
            names: None,
        })
    }

    /// What may be read here, by name. For another lock than the guard; the connection is ours.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn reading_rules(&self) -> rusqlite::Result<Rules> {
        let names = self.names.as_ref();
        names.map_or_else(|| Ok(Rules::default()), |names| self.rules(names))
    }

    /// Creates the views of every relation; what cannot be made does not exist for agents.
    fn define(&self, relations: &[Relation], names: &Names, catalog: &mut Catalog) -> rusqlite::Result<()> {
        for relation in relations {
            if self.create(relation, names).is_err() {
                self.drop_view(&relation.name)?;
                self.block(&relation.name);
                catalog.withdraw(&relation.name.to_ascii_lowercase());
            }
        }
        Ok(())
    }

    /// Finds the columns of the database's own views, now that their names lead to masks.
    fn resolve_views(&self, spec: &Spec, names: &Names, catalog: &mut Catalog) -> rusqlite::Result<()> {
        let views: Vec<Relation> = catalog
            .relations
            .values()
            .filter(|relation| matches!(relation.kind, Kind::View(_)))
            .cloned()
            .collect();
        for view in &views {
            let lower = view.name.to_ascii_lowercase();
            match self.view_columns(&view.name) {
                Ok(columns) => catalog.set_view_columns(&lower, columns, spec),
                Err(_) => {
                    self.drop_view(&view.name)?;
                    self.block(&view.name);
                    catalog.withdraw(&lower);
                }
            }
        }
        for view in &views {
            let Some(now) = catalog.relations.get(&view.name.to_ascii_lowercase()) else {
                continue;
            };
            if now.columns.iter().any(|column| column.class.is_some()) {
                self.drop_view(&now.name)?;
                self.create(now, names)?;
            }
        }
        Ok(())
    }

    fn view_columns(&self, view: &str) -> rusqlite::Result<Vec<(String, String)>> {
        let sql = format!("SELECT * FROM temp.{}", quoted(view));
        let statement = self.conn.prepare(&sql)?;
        let named = statement
            .columns()
            .iter()
            .map(|column| {
                (
                    column.name().to_owned(),
                    column.decl_type().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        Ok(named)
    }

    /// From here on the only statements are agents', and ours that read the schema's version.
    fn lock(&mut self, names: &Names) -> rusqlite::Result<()> {
        self.guard.rule(self.rules(names)?);
        if self.access != Access::Change {
            self.conn.execute_batch("PRAGMA query_only = ON")?;
        }
        for (limit, most) in LIMITS {
            self.conn.set_limit(limit, most)?;
        }
        if self.access != Access::Read {
            // A row is read whole to be changed, and triggers make the program longer.
            self.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW)?;
        }
        Ok(())
    }

    fn rules(&self, names: &Names) -> rusqlite::Result<Rules> {
        let mut modules = self.conn.prepare("PRAGMA module_list")?;
        let engine = modules
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut rules = Rules {
            schema: self.schema.clone(),
            engine,
            token: self.token.clone(),
            ..Rules::default()
        };
        for (lower, relation) in &self.catalog.relations {
            rules.outer.insert(lower.clone(), relation.name.clone());
            let over_table = matches!(relation.kind, Kind::Table(_));
            let read = |column: &&catalog::Column| over_table && relation.reads(column, &self.key.reveal);
            let reads = relation.columns.iter().filter(read);
            let inner = Inner {
                relation: lower.clone(),
                over_table,
                reads: reads.map(|column| column.name.to_ascii_lowercase()).collect(),
            };
            rules.inner.insert(names.inner(lower), inner);
        }
        Ok(rules)
    }

    /// Puts both locks to use on ourselves: what an agent could not read is not exposed.
    fn withdraw_unreadable(&mut self) -> rusqlite::Result<()> {
        let mut unreadable = Vec::new();
        for (lower, relation) in &self.catalog.relations {
            let sql = format!("SELECT * FROM {}", quoted(&relation.name));
            self.guard.enter(Mode::Agent);
            if bytecode::verify(&self.conn, &sql, &self.catalog, &self.key.reveal).is_err() {
                unreadable.push(lower.clone());
            }
        }
        self.guard.enter(Mode::Ours);
        for lower in &unreadable {
            self.drop_view(lower)?;
            self.block(lower);
        }
        let catalog = Arc::make_mut(&mut self.catalog);
        for lower in &unreadable {
            catalog.withdraw(lower);
        }
        Ok(())
    }

    /// Makes a name that is in the file lead to the error of one that is not: otherwise it would be
    /// found in the attached database, and which columns it has could be guessed.
    fn block(&self, name: &str) {
        let sql = format!("CREATE TEMP VIEW {0} AS SELECT 1 FROM main.{0}", quoted(name));
        // Names the engine reserves for itself cannot be taken; the statement's reader refuses those.
        let _ = self.conn.execute(&sql, []);
    }

    fn drop_view(&self, name: &str) -> rusqlite::Result<()> {
        self.conn
            .execute(&format!("DROP VIEW IF EXISTS temp.{}", quoted(name)), [])
            .map(drop)
    }

    fn create(&self, relation: &Relation, names: &Names) -> rusqlite::Result<()> {
        let lower = relation.name.to_ascii_lowercase();
        let inner = names.inner(&lower);
        let masked = relation
            .columns
            .iter()
            .any(|column| relation.hides(column, &self.key.reveal));
        match &relation.kind {
            Kind::Table(_) => {
                let sql = self.inner_select(relation);
                self.conn
                    .execute(&format!("CREATE TEMP VIEW {inner} AS {sql}"), [])?;
                let columns: Vec<String> = relation.columns.iter().map(|c| quoted(&c.name)).collect();
                let outer = quoted(&relation.name);
                let sql = format!(
                    "CREATE TEMP VIEW {outer} AS SELECT {} FROM {inner}",
                    columns.join(", ")
                );
                self.conn.execute(&sql, [])?;
            }
            Kind::View(sql) if !masked => {
                let rest = sql.strip_prefix("CREATE VIEW ").unwrap_or_default();
                self.conn.execute(&format!("CREATE TEMP VIEW {rest}"), [])?;
            }
            Kind::View(sql) => {
                let rest = text::after_view_name(sql).unwrap_or_default();
                self.conn
                    .execute(&format!("DROP VIEW IF EXISTS temp.{inner}"), [])?;
                self.conn
                    .execute(&format!("CREATE TEMP VIEW {inner} {rest}"), [])?;
                let columns: Vec<String> = relation.columns.iter().map(|c| self.shown(relation, c)).collect();
                let outer = quoted(&relation.name);
                let sql = format!(
                    "CREATE TEMP VIEW {outer} AS SELECT {} FROM {inner}",
                    columns.join(", ")
                );
                self.conn.execute(&sql, [])?;
            }
        }
        Ok(())
    }

    /// A column as it is shown, under its own name.
    pub(super) fn shown(&self, relation: &Relation, column: &catalog::Column) -> String {
        let name = quoted(&column.name);
        match &column.class {
            Some((class, MaskStyle::Token(_))) if relation.hides(column, &self.key.reveal) => {
                let again = matches!(relation.kind, Kind::View(_));
                format!("{} AS {name}", masks::token(&self.token, class, &name, again))
            }
            Some((_, style)) if relation.hides(column, &self.key.reveal) => {
                format!("{} AS {name}", masks::expression(*style, &name))
            }
            _ => format!("{name} AS {name}"),
        }
    }

    /// The innermost view of a table: the only text that names the file's table.
    ///
    /// Rows stored in the order of a masked column are put into the order of what is shown, or the
    /// order of an answer would tell that of the masked values. The LIMIT keeps the engine from
    /// leaving that order out.
    fn inner_select(&self, relation: &Relation) -> String {
        let reveal = &self.key.reveal;
        let mut sql = String::from("SELECT ");
        for (at, column) in relation.columns.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}{}", self.shown(relation, column));
        }
        let _ = write!(sql, " FROM {}.{}", quoted(&self.schema), quoted(&relation.name));
        let sorted = relation.stored_order_tells(reveal);
        let told = (0..relation.indexes.len()).any(|index| relation.tells(index, reveal));
        if sorted || (self.key.unordered && told) {
            sql.push_str(" NOT INDEXED");
        }
        let order: Vec<String> = relation
            .columns
            .iter()
            .filter(|column| relation.reads(column, reveal))
            .map(|column| {
                let name = quoted(&column.name);
                // Alone, the name is that of what is shown; inside a function it is the file's column.
                match relation.hides(column, reveal) {
                    true => format!("{name} COLLATE BINARY"),
                    false => format!("{name} COLLATE BINARY, typeof({name})"),
                }
            })
            .collect();
        if sorted && !order.is_empty() {
            let _ = write!(sql, " ORDER BY {} LIMIT -1", order.join(", "));
        }
        sql
    }

    /// The schema's version in the file now.
    ///
    /// # Errors
    /// What the engine says; among others that the file is locked.
    pub(super) fn version(&self) -> rusqlite::Result<i64> {
        self.guard.enter(Mode::Ours);
        catalog::version(&self.conn, &self.schema)
    }

    /// Starts or ends the transaction around an agent's statement.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn ours(&self, sql: &str) -> rusqlite::Result<()> {
        self.guard.enter(Mode::Ours);
        self.conn.prepare_cached(sql)?.raw_execute().map(drop)
    }
}

/// Attaches the file. A view or trigger that spells its own schema as `main.` is an error under any
/// other name; then what can be read of the schema is read, and those do not exist for agents.
fn attach_file(conn: &Connection, path: &Path, schema: &str, access: Access) -> rusqlite::Result<()> {
    let sql = format!("ATTACH ?1 AS {}", quoted(schema));
    let attach = || conn.execute(&sql, [uri(path, access)]).map(drop);
    match attach() {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
            let attached = attach();
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            attached
        }
        outcome => outcome,
    }
}

/// The random names of one connection.
#[derive(Debug)]
struct Names {
    prefix: String,
}

impl Names {
    fn new(world: &dyn World) -> Self {
        Self {
            prefix: format!("v{}", random(world)),
        }
    }

    fn inner(&self, lower: &str) -> String {
        // A suffix per relation, made of the name itself, so that it needs no table of names.
        format!("{}_{}", self.prefix, crate::call::hex(lower.as_bytes()))
    }
}

fn random(world: &dyn World) -> String {
    let mut bytes = [0; 16];
    world.random(&mut bytes);
    crate::call::hex(&bytes)
}

/// An empty database in memory, with every setting that holds an agent's statement back.
fn empty(access: Access) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_in_memory_with_flags(flags)?;
    settle(&conn, access)?;
    Ok(conn)
}

/// The settings of every connection.
///
/// # Errors
/// What the engine says.
pub(super) fn settle(conn: &Connection, access: Access) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_millis(500))?;
    conn.set_prepared_statement_cache_capacity(64);
    for (setting, on) in SETTINGS {
        conn.set_db_config(setting, on)?;
    }
    if access != Access::Read {
        // A database's own triggers are part of what a change does.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = OFF; PRAGMA cache_spill = OFF",
        )?;
    }
    engine::plan_without_values(conn);
    linear::register(conn)
}

/// The file as a URI; it can be written only for a change.
pub(super) fn uri(path: &Path, access: Access) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri + match access {
        Access::Read | Access::Prepare => "?mode=ro&cache=private",
        Access::Change => "?mode=rw&cache=private",
    }
}

const SETTINGS: [(DbConfig, bool); 9] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    // "A name in double quotes that fits no column is a string" would turn typing errors into answers.
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    // The program that was read must be the one that runs, whatever values are bound.
    (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
];

const LIMITS: [(Limit, i32); 9] = [
    (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_016), // `EXPLAIN ` in front of the longest statement
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_VDBE_OP, 200_000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 250),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1_000),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];
