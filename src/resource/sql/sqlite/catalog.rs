//! What a database holds, and what of it exists for an agent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;

use super::masks::{self, quoted};
use super::{ColumnsDefault, MaskStyle, Spec};
use crate::call::ClassifiedColumn;

/// The class of a column nobody listed.
pub(super) const UNLISTED: &str = "unlisted";
/// The class that shows a column.
const PUBLIC: &str = "public";

/// One version of a database's schema, with the configured classes laid over it.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// The engine's schema cookie.
    pub(super) version: i64,
    /// Relations that exist for an agent, by lower-case name.
    pub(super) relations: BTreeMap<String, Relation>,
    /// Names in the file that do not exist for an agent.
    pub(super) unexposed: BTreeSet<String>,
    /// Root page → what may be read there.
    pub(super) roots: HashMap<i64, Root>,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    /// As the schema spells it.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<Index>,
    /// Columns in whose order the rows are stored, by position.
    pub(super) stored_by: Vec<usize>,
    /// What is stored where in a row.
    layout: Vec<Part>,
}

/// What a relation is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A b-tree at this page.
    Table(i64),
    /// The stored `CREATE VIEW`.
    View(String),
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) declared_type: String,
    pub(super) primary_key: bool,
    /// `table.column` it refers to, if that is exposed.
    pub(super) references: Option<String>,
    /// Class and style; `None` is public.
    pub(super) class: Option<(String, MaskStyle)>,
    generated: Generated,
}

/// Whether a column is made of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generated {
    No,
    Virtual,
    Stored,
}

/// One index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// Zero for the primary key of a WITHOUT ROWID table, which is the table.
    root: i64,
    parts: Vec<Part>,
    partial: bool,
}

/// What is at one position of a stored row or index entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The column at this position of the declaration.
    Column(usize),
    Rowid,
    Expression,
}

/// What a root page belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The table, lower case.
    pub(super) table: String,
    /// Position among the table's indexes; `None` is the table itself.
    pub(super) index: Option<usize>,
}

impl Relation {
    /// `table.column`.
    pub(super) fn path(&self, column: &Column) -> String {
        format!("{}.{}", self.name, column.name)
    }

    /// Whether a column is masked for somebody who is shown `reveal`.
    pub(super) fn hides(&self, column: &Column, reveal: &BTreeSet<String>) -> bool {
        column.class.is_some() && !reveal.contains(&self.path(column))
    }

    /// Whether the masking view reads this column of the file, raw or to show a part of it.
    pub(super) fn reads(&self, column: &Column, reveal: &BTreeSet<String>) -> bool {
        let partly = column
            .class
            .as_ref()
            .is_some_and(|(_, style)| masks::reads(*style));
        partly || !self.hides(column, reveal)
    }

    fn hides_any(&self, positions: &[usize], reveal: &BTreeSet<String>) -> bool {
        positions
            .iter()
            .filter_map(|at| self.columns.get(*at))
            .any(|column| self.hides(column, reveal))
    }

    /// Whether the order of this index tells something of masked values.
    pub(super) fn tells(&self, index: usize, reveal: &BTreeSet<String>) -> bool {
        let parts = self.indexes.get(index).map(|index| index.parts.as_slice());
        let partial = self.indexes.get(index).is_some_and(|index| index.partial);
        let hides = |part: &Part| !self.shows_part(*part, &|column| !self.hides(column, reveal));
        parts.unwrap_or_default().iter().any(hides)
            || (partial && self.columns.iter().any(|column| self.hides(column, reveal)))
    }

    /// Whether a program may read what is at `position` of the table (or of its index), given which
    /// columns it may read. Generated columns are made of columns the engine does not name: where one
    /// of them may be read, so may what it is made of.
    pub(super) fn may_read(
        &self,
        index: Option<usize>,
        position: i64,
        reads: &dyn Fn(&Column) -> bool,
    ) -> bool {
        let parts = match index {
            Some(index) => self.indexes.get(index).map(|index| &index.parts),
            None => Some(&self.layout),
        };
        let part = usize::try_from(position)
            .ok()
            .and_then(|at| parts.and_then(|parts| parts.get(at)));
        let made = |column: &&Column| column.generated != Generated::No;
        part.is_some_and(|part| self.shows_part(*part, reads)) || self.columns.iter().filter(made).any(reads)
    }

    /// Whether the rowid may be read.
    pub(super) fn may_read_rowid(&self, reads: &dyn Fn(&Column) -> bool) -> bool {
        self.shows_part(Part::Rowid, reads)
    }

    fn shows_part(&self, part: Part, shows: &dyn Fn(&Column) -> bool) -> bool {
        match part {
            Part::Column(at) => self.columns.get(at).is_some_and(shows),
            Part::Rowid => self
                .stored_by
                .iter()
                .filter_map(|at| self.columns.get(*at))
                .all(shows),
            Part::Expression => self.columns.iter().all(shows),
        }
    }

    /// Whether the order in which rows are stored tells something of masked values.
    pub(super) fn stored_order_tells(&self, reveal: &BTreeSet<String>) -> bool {
        self.hides_any(&self.stored_by, reveal)
    }

    /// The classified columns.
    pub(super) fn classified(&self) -> impl Iterator<Item = ClassifiedColumn> + '_ {
        self.columns.iter().filter_map(|column| {
            column.class.as_ref().map(|(class, _)| ClassifiedColumn {
                class: class.clone(),
                column: self.path(column),
            })
        })
    }
}

impl Catalog {
    /// Reads the schema `schema` of a connection. Views come out without columns: the caller finds
    /// them by preparing the views over masked tables.
    ///
    /// # Errors
    /// What the engine says of a schema it cannot read.
    pub(super) fn read(conn: &Connection, schema: &str, spec: &Spec) -> rusqlite::Result<Self> {
        let mut catalog = Self {
            version: version(conn, schema)?,
            ..Self::default()
        };
        let entries = entries(conn, schema)?;
        let kinds = kinds(conn, schema)?;
        let virtual_prefixes: Vec<String> = kinds
            .iter()
            .filter(|(_, kind)| kind.0 == "virtual")
            .map(|(name, _)| format!("{name}_"))
            .collect();
        for entry in entries.iter().filter(|entry| entry.kind != "index") {
            let lower = entry.name.to_ascii_lowercase();
            if lower.starts_with("sqlite_") || entry.kind == "trigger" {
                continue;
            }
            let (kind, without_rowid) = kinds
                .get(&lower)
                .map_or(("", false), |(kind, wr)| (kind.as_str(), *wr));
            // A table named after a virtual one holds its content, whether or not its module is known.
            let shadow = virtual_prefixes.iter().any(|prefix| lower.starts_with(prefix));
            let relation = match kind {
                "view" => Some(view(entry)),
                "table" if !shadow && entry.root > 0 => {
                    table(conn, schema, entry, without_rowid, &entries, spec)?
                }
                _ => None,
            };
            match relation {
                Some(relation) => {
                    catalog.relations.insert(lower, relation);
                }
                None => {
                    catalog.unexposed.insert(entry.name.clone());
                }
            }
        }
        catalog.find_roots();
        catalog.find_references(conn, schema)?;
        Ok(catalog)
    }

    fn find_roots(&mut self) {
        for (lower, relation) in &self.relations {
            let Kind::Table(root) = relation.kind else {
                continue;
            };
            let mut add = |page: i64, index: Option<usize>| {
                let table = lower.clone();
                self.roots.insert(page, Root { table, index });
            };
            for (at, index) in relation.indexes.iter().enumerate() {
                add(index.root, Some(at));
            }
            add(root, None);
            self.roots.remove(&0); // the primary key that is its table
        }
    }

    fn find_references(&mut self, conn: &Connection, schema: &str) -> rusqlite::Result<()> {
        let mut found = Vec::new();
        for (lower, relation) in &self.relations {
            if matches!(relation.kind, Kind::View(_)) {
                continue;
            }
            let mut keys = pragma(conn, schema, "foreign_key_list", &relation.name)?;
            let mut rows = keys.raw_query();
            while let Some(row) = rows.next()? {
                let (seq, parent): (u32, String) = (row.get("seq")?, row.get("table")?);
                let (from, to): (String, Option<String>) = (row.get("from")?, row.get("to")?);
                if let Some(target) = self.target(&parent, to.as_deref(), seq as usize) {
                    found.push((lower.clone(), from, target));
                }
            }
        }
        for (lower, from, target) in found {
            let columns = self
                .relations
                .get_mut(&lower)
                .map(|relation| &mut relation.columns);
            for column in columns.into_iter().flatten() {
                if column.name.eq_ignore_ascii_case(&from) {
                    column.references = Some(target.clone());
                }
            }
        }
        Ok(())
    }

    fn target(&self, parent: &str, to: Option<&str>, seq: usize) -> Option<String> {
        let parent = self.relations.get(&parent.to_ascii_lowercase())?;
        let column = match to {
            Some(to) => parent.columns.iter().find(|c| c.name.eq_ignore_ascii_case(to)),
            None => parent.columns.iter().filter(|c| c.primary_key).nth(seq),
        };
        column.map(|column| parent.path(column))
    }

    /// Takes a relation out of what exists for an agent.
    pub(super) fn withdraw(&mut self, lower: &str) {
        if let Some(relation) = self.relations.remove(lower) {
            self.unexposed.insert(relation.name);
            self.roots.retain(|_, root| root.table != lower);
        }
    }

    /// Gives a view its columns.
    pub(super) fn set_view_columns(&mut self, lower: &str, columns: Vec<(String, String)>, spec: &Spec) {
        let Some(relation) = self.relations.get_mut(lower) else {
            return;
        };
        relation.columns = columns
            .into_iter()
            .map(|(name, declared_type)| {
                let class = configured(spec, &format!("{}.{name}", relation.name))
                    .and_then(|class| masked_as(spec, class));
                Column {
                    name,
                    declared_type: plain_type(&declared_type),
                    primary_key: false,
                    references: None,
                    class,
                    generated: Generated::No,
                }
            })
            .collect();
    }

    /// Which configured columns are not here: a typing error, or a schema that has changed.
    pub(super) fn missing(&self, spec: &Spec) -> Vec<String> {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for relation in self.relations.values() {
            for column in &relation.columns {
                *known
                    .entry(relation.path(column).to_ascii_lowercase())
                    .or_default() += 1;
            }
        }
        let found = |key: &str| known.get(&key.to_ascii_lowercase()) == Some(&1);
        spec.columns.keys().filter(|key| !found(key)).cloned().collect()
    }
}

/// The schema cookie; reading it also proves that the file is a database.
pub(super) fn version(conn: &Connection, schema: &str) -> rusqlite::Result<i64> {
    conn.prepare_cached(&format!("PRAGMA {}.schema_version", quoted(schema)))?
        .query_row([], |row| row.get(0))
}

struct Entry {
    kind: String,
    name: String,
    root: i64,
    sql: String,
}

/// Rows of the schema table. A name that is not UTF-8 cannot be written in a statement of ours or of
/// an agent's: such entries are passed over, and so do not exist.
fn entries(conn: &Connection, schema: &str) -> rusqlite::Result<Vec<Entry>> {
    let sql = format!(
        "SELECT type, name, coalesce(rootpage, 0), coalesce(sql, '') FROM {}.sqlite_schema",
        quoted(schema)
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        if let (Ok(kind), Ok(name), Ok(sql)) = (row.get(0), row.get(1), row.get(3)) {
            let root = row.get(2)?;
            entries.push(Entry {
                kind,
                name,
                root,
                sql,
            });
        }
    }
    Ok(entries)
}

/// Lower-case name → (kind as the engine sees it, WITHOUT ROWID).
fn kinds(conn: &Connection, schema: &str) -> rusqlite::Result<HashMap<String, (String, bool)>> {
    let mut statement = conn.prepare(&format!("PRAGMA {}.table_list", quoted(schema)))?;
    let mut rows = statement.query([])?;
    let mut kinds = HashMap::new();
    while let Some(row) = rows.next()? {
        if let Ok(name) = row.get::<_, String>("name") {
            kinds.insert(name.to_ascii_lowercase(), (row.get("type")?, row.get("wr")?));
        }
    }
    Ok(kinds)
}

fn pragma<'c>(
    conn: &'c Connection,
    schema: &str,
    pragma: &str,
    of: &str,
) -> rusqlite::Result<rusqlite::Statement<'c>> {
    conn.prepare(&format!("PRAGMA {}.{pragma}({})", quoted(schema), quoted(of)))
}

fn view(entry: &Entry) -> Relation {
    Relation {
        name: entry.name.clone(),
        kind: Kind::View(entry.sql.clone()),
        columns: Vec::new(),
        indexes: Vec::new(),
        stored_by: Vec::new(),
        layout: Vec::new(),
    }
}

/// `None` for a table with a column that cannot be named.
fn table(
    conn: &Connection,
    schema: &str,
    entry: &Entry,
    without_rowid: bool,
    entries: &[Entry],
    spec: &Spec,
) -> rusqlite::Result<Option<Relation>> {
    let mut columns = Vec::new();
    let mut positions = HashMap::new();
    let mut key = Vec::new();
    let mut statement = pragma(conn, schema, "table_xinfo", &entry.name)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let (cid, hidden, part): (i64, i64, i64) = (row.get("cid")?, row.get("hidden")?, row.get("pk")?);
        let (Ok(name), Ok(declared)) = (row.get::<_, String>("name"), row.get::<_, String>("type")) else {
            return Ok(None);
        };
        if name.is_empty() || hidden == 1 {
            return Ok(None);
        }
        if part > 0 {
            key.push((columns.len(), declared.eq_ignore_ascii_case("integer")));
        }
        positions.insert(cid, columns.len());
        columns.push(Column {
            class: None,
            declared_type: plain_type(&declared),
            primary_key: part > 0,
            references: None,
            generated: match hidden {
                0 => Generated::No,
                2 => Generated::Virtual,
                _ => Generated::Stored,
            },
            name,
        });
    }
    classify(spec, &entry.name, &mut columns);
    let stored_by = match key.as_slice() {
        _ if without_rowid => key.iter().map(|(at, _)| *at).collect(),
        [(at, true)] => vec![*at],
        _ => Vec::new(),
    };
    let indexes = indexes(conn, schema, &entry.name, &positions, entries)?;
    Ok(Some(Relation {
        name: entry.name.clone(),
        kind: Kind::Table(entry.root),
        layout: layout(&columns, without_rowid, &indexes),
        indexes,
        columns,
        stored_by,
    }))
}

/// A WITHOUT ROWID table is stored as its primary key's index; another one as declared, virtual
/// columns last (they have a number, but nothing is stored).
fn layout(columns: &[Column], without_rowid: bool, indexes: &[Index]) -> Vec<Part> {
    if without_rowid {
        let key = indexes.iter().find(|index| index.root == 0);
        return key.map(|index| index.parts.clone()).unwrap_or_default();
    }
    let is_virtual = |at: &usize| {
        columns
            .get(*at)
            .is_some_and(|c| c.generated == Generated::Virtual)
    };
    let (last, first): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(is_virtual);
    first.into_iter().chain(last).map(Part::Column).collect()
}

fn indexes(
    conn: &Connection,
    schema: &str,
    table: &str,
    positions: &HashMap<i64, usize>,
    entries: &[Entry],
) -> rusqlite::Result<Vec<Index>> {
    let mut found = Vec::new();
    let mut list = pragma(conn, schema, "index_list", table)?;
    let mut rows = list.raw_query();
    while let Some(row) = rows.next()? {
        let Ok(name) = row.get::<_, String>("name") else {
            continue;
        };
        let is_it = |entry: &&Entry| entry.kind == "index" && entry.name == name;
        let mut index = Index {
            root: entries.iter().find(is_it).map_or(0, |entry| entry.root),
            parts: Vec::new(),
            partial: row.get("partial")?,
        };
        let mut info = pragma(conn, schema, "index_xinfo", &name)?;
        let mut parts = info.raw_query();
        while let Some(part) = parts.next()? {
            let cid: i64 = part.get("cid")?;
            index.parts.push(match positions.get(&cid) {
                Some(at) => Part::Column(*at),
                None if cid == -1 => Part::Rowid,
                None => Part::Expression,
            });
        }
        found.push(index);
    }
    Ok(found)
}

/// Lays the configured classes over a table's columns.
fn classify(spec: &Spec, table: &str, columns: &mut [Column]) {
    for column in columns.iter_mut() {
        let path = format!("{table}.{}", column.name);
        column.class = class_of(spec, &path);
    }
    // A generated column may be made of a masked one, and the engine does not say of which.
    if columns.iter().any(|column| column.class.is_some()) {
        for column in columns
            .iter_mut()
            .filter(|column| column.generated != Generated::No)
        {
            if configured(spec, &format!("{table}.{}", column.name)).is_none() {
                column.class = unlisted();
            }
        }
    }
}

/// What a column of this path would be classified as, were it there.
pub(super) fn class_of(spec: &Spec, path: &str) -> Option<(String, MaskStyle)> {
    match (configured(spec, path), spec.columns_default) {
        (Some(class), _) => masked_as(spec, class),
        (None, ColumnsDefault::Mask) => unlisted(),
        (None, ColumnsDefault::Show) => None,
    }
}

fn unlisted() -> Option<(String, MaskStyle)> {
    Some((UNLISTED.to_owned(), MaskStyle::Constant))
}

fn configured<'s>(spec: &'s Spec, path: &str) -> Option<&'s str> {
    spec.columns
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(path))
        .map(|(_, class)| class.as_str())
}

/// A class as a mask. An unknown one, which [`unknown_classes`] refuses, masks.
fn masked_as(spec: &Spec, class: &str) -> Option<(String, MaskStyle)> {
    if class == PUBLIC {
        return None;
    }
    let style = spec.classes.get(class).copied().unwrap_or(MaskStyle::Constant);
    Some((class.to_owned(), style))
}

/// Configured columns whose class is none.
pub(super) fn unknown_classes(spec: &Spec) -> Vec<String> {
    spec.columns
        .iter()
        .filter(|(_, class)| {
            let class = class.as_str();
            class != PUBLIC && class != UNLISTED && !spec.classes.contains_key(class)
        })
        .map(|(column, class)| format!("{column} = {class}"))
        .collect()
}

/// Keys that differ only in case name one column twice.
pub(super) fn repeated_columns(spec: &Spec) -> Vec<String> {
    let mut seen = BTreeSet::new();
    spec.columns
        .keys()
        .filter(|key| !seen.insert(key.to_ascii_lowercase()))
        .cloned()
        .collect()
}

/// A declared type if it is one: SQLite stores whatever stood there.
fn plain_type(declared: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '(' | ')' | ',');
    if declared.len() <= 64 && declared.chars().all(plain) {
        declared.to_owned()
    } else {
        String::new()
    }
}
