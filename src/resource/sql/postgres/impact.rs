//! What a change does, found in the rows themselves: those that its transaction sees and the moment before it
//! does not, and the other way about. Whatever did it (the statement, a trigger, a cascade, a conflict clause) is
//! counted, because nothing needs to announce itself: the server's own locks say which tables were written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::TryStreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row, ValueRef};

use super::anatomy::Columns;
use super::catalog::{Catalog, Relation, RelationKind};
use super::link::{Link, quoted};
use super::loader::Kind;
use super::unmade::{self, MAX_CHANGED};
use super::{guard, values};
use crate::call::effect::{Affected, RowChanges, RowSample};
use crate::call::{Effect, Refusal, hex};

/// Rows shown of one table.
const SAMPLE: usize = 5;
/// Longer texts are told by their length: a part of a text could hide what the whole shows.
const SHOWN_BYTES: usize = 256;
/// Rows whose fate is asked for at a time.
const BATCH: usize = 5_000;
/// Rows of one table that may have been touched by anybody since it was last vacuumed.
const MAX_LOOKED_AT: usize = 1_000_000;

/// Where a row lies: its table (of a partitioned one, the part) and its place there.
type Place = (i64, String);

/// A table whose rows are looked at.
#[derive(Debug, Clone)]
pub(super) struct Written<'a> {
    pub(super) relation: &'a Relation,
    /// Columns whose new values stand for a row beside its key: what people saw is what it becomes.
    pub(super) given: Columns,
    /// Whether new rows are told apart by what they are given, or only counted.
    pub(super) told_apart: bool,
}

/// What the change did, and where.
#[derive(Debug, Default)]
pub(super) struct Impact {
    pub(super) effect: Effect,
    shown: Vec<Shown>,
}

/// A row to be shown: as it was, as it is.
#[derive(Debug)]
struct Shown {
    table: (String, String),
    before: Option<Place>,
    after: Option<Place>,
}

/// A row that one side sees and the other does not.
#[derive(Debug)]
struct Version {
    place: Place,
    /// Of its making, so that a place which is used again is another row.
    made: String,
    key: String,
    given: String,
}

/// The two sides of a change.
pub(super) struct Sides<'a> {
    /// The connection that made it.
    pub(super) after: &'a mut Link,
    /// One that sees what was before.
    pub(super) before: &'a mut Link,
    pub(super) catalog: &'a Catalog,
    pub(super) kinds: &'a BTreeMap<u32, Kind>,
}

impl Sides<'_> {
    /// What became of the rows of these tables.
    ///
    /// # Errors
    /// `limit_exceeded` when there are too many; what the connection says.
    pub(super) async fn impact(&mut self, tables: &[Written<'_>]) -> Result<Impact, Refusal> {
        let mut impact = Impact::default();
        let mut changed = 0;
        for table in tables {
            let new = self.made(table).await?;
            let old = self.gone(table).await?;
            changed += new.len().max(old.len());
            if changed > MAX_CHANGED {
                return Err(unmade::too_much());
            }
            impact.add(self.catalog, table, new, old);
        }
        Ok(impact)
    }

    /// Rows that are there now and were not before.
    async fn made(&mut self, table: &Written<'_>) -> Result<Vec<Version>, Refusal> {
        // Of the numbers of transactions, as they are compared: no earlier than the first that began after the moment.
        let ours = "((t.xmin::pg_catalog.text::pg_catalog.int8 - pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())\
            ::pg_catalog.text::pg_catalog.int8 % 4294967296) + 4294967296) % 4294967296 < 2147483648";
        let text = table.scan(&table.digest(&table.given), ours);
        let found = versions(self.after, text, MAX_CHANGED).await?;
        let places = found
            .iter()
            .map(|version| version.place.clone())
            .collect::<Vec<_>>();
        let known = seen(self.before, table.relation, &places).await?;
        Ok(found
            .into_iter()
            .filter(|version| !known.contains(&version.place))
            .collect())
    }

    /// Rows that were there before and are not now. Those that somebody has locked look as if, so there may be many:
    /// they are asked after a few at a time.
    async fn gone(&mut self, table: &Written<'_>) -> Result<Vec<Version>, Refusal> {
        let text = table.scan("''", "t.xmax::pg_catalog.text <> '0'");
        let failed = |error: sqlx::Error| unmade::failed(&error, true);
        let mut rows = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).fetch(self.before.conn()?);
        let (mut gone, mut looked_at) = (Vec::new(), 0);
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let Some(row) = rows.try_next().await.map_err(failed)? else {
                    break;
                };
                batch.push(Version::read(&row)?);
            }
            if batch.is_empty() {
                return Ok(gone);
            }
            looked_at += batch.len();
            let places: Vec<Place> = batch.iter().map(|version| version.place.clone()).collect();
            let still = seen(self.after, table.relation, &places).await?;
            gone.extend(
                batch
                    .into_iter()
                    .filter(|version| !still.contains(&version.place)),
            );
            if gone.len() > MAX_CHANGED || looked_at > MAX_LOOKED_AT {
                return Err(unmade::too_much());
            }
        }
    }

    /// Adds a few rows as they were and as they are, behind their masks.
    ///
    /// # Errors
    /// What the connection says.
    pub(super) async fn sample(&mut self, impact: &mut Impact) -> Result<(), Refusal> {
        for shown in std::mem::take(&mut impact.shown) {
            let Some(relation) = self.catalog.relations.get(&shown.table) else {
                continue;
            };
            let mut sample = RowSample {
                table: self.catalog.shown(relation),
                key: Value::Null,
                before: None,
                after: None,
            };
            if let Some(place) = &shown.before {
                sample.before = look(self.before, (self.catalog, self.kinds), relation, place).await?;
            }
            if let Some(place) = &shown.after {
                sample.after = look(self.after, (self.catalog, self.kinds), relation, place).await?;
            }
            let cells = sample.before.as_ref().or(sample.after.as_ref());
            let key = relation.columns.iter().filter(|column| column.primary_key);
            let key: serde_json::Map<String, Value> = key
                .filter_map(|column| Some((column.name.clone(), cells?.get(&column.name)?.clone())))
                .collect();
            if !key.is_empty() {
                sample.key = Value::Object(key);
            }
            impact.effect.sample.push(sample);
        }
        Ok(())
    }
}

impl Written<'_> {
    fn scan(&self, given: &str, which: &str) -> String {
        format!(
            "SELECT t.tableoid::pg_catalog.int8, t.ctid::pg_catalog.text, t.xmin::pg_catalog.text, {}, {given} FROM {} t \
             WHERE {which} LIMIT {}",
            self.digest(&self.key()),
            from(self.relation),
            MAX_LOOKED_AT + 1
        )
    }

    /// The primary key, if it may be known: a digest of a masked one could be guessed.
    fn key(&self) -> Columns {
        let key = self.relation.columns.iter().filter(|column| column.primary_key);
        if key
            .clone()
            .any(|column| column.class.is_some() || !column.granted)
        {
            return Columns::new();
        }
        key.map(|column| column.number).collect()
    }

    /// One text for the values of these columns, as far as they may be known.
    fn digest(&self, of: &Columns) -> String {
        let columns = self.relation.columns.iter();
        let open =
            columns.filter(|column| of.contains(&column.number) && column.class.is_none() && column.granted);
        let list: Vec<String> = open.map(|column| format!("t.{}", quoted(&column.name))).collect();
        match list.is_empty() {
            true => "''".to_owned(),
            false => format!(
                "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(ROW({})::pg_catalog.text, 'UTF8')), 'hex')",
                list.join(", ")
            ),
        }
    }
}

impl Impact {
    fn add(&mut self, catalog: &Catalog, table: &Written<'_>, new: Vec<Version>, old: Vec<Version>) {
        let name = catalog.shown(table.relation);
        let full = (table.relation.schema.clone(), table.relation.name.clone());
        let mut changes = RowChanges::default();
        let keyed = !table.key().is_empty();
        // Of rows without a key that may be known it is not known which became which: any may have become any.
        let call = |at: usize, version: &Version| match keyed {
            true => version.key.clone(),
            false => at.to_string(),
        };
        let was = old.into_iter().enumerate();
        let mut was: HashMap<String, Version> =
            was.map(|(at, version)| (call(at, &version), version)).collect();
        let all = if keyed { String::new() } else { all_given(&new) };
        let mut shown = Vec::new();
        for (at, version) in new.into_iter().enumerate() {
            let before = was.remove(&call(at, &version));
            let nth = changes.inserted.count.to_string();
            let (affected, mark) = match &before {
                Some(was) if keyed => (
                    &mut changes.updated,
                    mark(&[&name, "u", &was.key, &version.given]),
                ),
                Some(was) => (&mut changes.updated, mark(&[&name, "u", &was.identity(), &all])),
                None if table.told_apart => (&mut changes.inserted, mark(&[&name, "i", &version.given])),
                None => (&mut changes.inserted, mark(&[&name, "n", &nth])),
            };
            take(affected, mark);
            shown.push(Shown {
                table: full.clone(),
                before: before.map(|version| version.place),
                after: Some(version.place),
            });
        }
        shown.truncate(SAMPLE);
        let mut gone: Vec<Version> = was.into_values().collect();
        gone.sort_by(|one, other| one.place.cmp(&other.place));
        for version in &gone {
            let identity = version.identity();
            let key = if keyed { &version.key } else { &identity };
            take(&mut changes.deleted, mark(&[&name, "d", key]));
        }
        shown.extend(gone.into_iter().take(SAMPLE).map(|version| Shown {
            table: full.clone(),
            before: Some(version.place),
            after: None,
        }));
        self.shown.extend(shown);
        if changes != RowChanges::default() {
            self.effect.rows.insert(name, changes);
        }
    }

    /// Rows of a table that changed in any way.
    pub(super) fn changed(&self, name: &str) -> u64 {
        self.effect.rows.get(name).map_or(0, |rows| {
            rows.inserted.count + rows.updated.count + rows.deleted.count
        })
    }
}

impl Version {
    /// A row of [`Written::scan`].
    fn read(row: &PgRow) -> Result<Self, Refusal> {
        let get = |at| cell(row, at).ok_or_else(broken);
        let table = get(0)?.parse().map_err(|_| broken())?;
        Ok(Self {
            place: (table, get(1)?),
            made: get(2)?,
            key: get(3)?,
            given: get(4)?,
        })
    }

    fn identity(&self) -> String {
        let (table, place) = &self.place;
        format!("{table} {place} {}", self.made)
    }
}

/// What rows become, whichever becomes which.
fn all_given(new: &[Version]) -> String {
    let mut given: Vec<&str> = new.iter().map(|version| version.given.as_str()).collect();
    given.sort_unstable();
    given.join(" ")
}

fn take(affected: &mut Affected, mark: String) {
    affected.count += 1;
    affected.keys.insert(mark);
}

fn mark(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    hex(digest.get(..16).unwrap_or_default())
}

/// A partitioned table has its rows in its parts; any other has its own.
fn from(relation: &Relation) -> String {
    let only = match relation.kind {
        RelationKind::Partitioned => "",
        _ => "ONLY ",
    };
    format!("{only}{}.{}", quoted(&relation.schema), quoted(&relation.name))
}

fn broken() -> Refusal {
    Refusal::internal("postgres: a row version that is none")
}

fn cell(row: &PgRow, at: usize) -> Option<String> {
    let raw = row.try_get_raw(at).ok()?;
    raw.as_str().ok().map(str::to_owned)
}

async fn versions(link: &mut Link, text: String, most: usize) -> Result<Vec<Version>, Refusal> {
    let mut rows = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).fetch(link.conn()?);
    let mut found = Vec::new();
    let failed = |error: sqlx::Error| unmade::failed(&error, true);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        if found.len() >= most {
            return Err(unmade::too_much());
        }
        found.push(Version::read(&row)?);
    }
    Ok(found)
}

/// Which of these places have a row that this side sees.
async fn seen(link: &mut Link, relation: &Relation, places: &[Place]) -> Result<BTreeSet<Place>, Refusal> {
    let mut all = BTreeSet::new();
    for batch in places.chunks(BATCH) {
        let tables: Vec<i64> = batch.iter().map(|(table, _)| *table).collect();
        let rows: Vec<&str> = batch.iter().map(|(_, place)| place.as_str()).collect();
        let text = format!(
            "SELECT t.tableoid::pg_catalog.int8, t.ctid::pg_catalog.text
             FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[]::pg_catalog.tid[])) AS c (of, place)
             JOIN {} t ON t.ctid = c.place AND t.tableoid::pg_catalog.int8 = c.of",
            from(relation)
        );
        let asked = sqlx::query_as::<_, Place>(sqlx::AssertSqlSafe(text)).persistent(false);
        let found = asked.bind(tables).bind(rows).fetch_all(link.conn()?).await;
        all.extend(found.map_err(|error| unmade::failed(&error, true))?);
    }
    Ok(all)
}

/// A row as somebody sees it who is shown nothing.
async fn look(
    link: &mut Link,
    (catalog, kinds): (&Catalog, &BTreeMap<u32, Kind>),
    relation: &Relation,
    (table, place): &Place,
) -> Result<Option<BTreeMap<String, Value>>, Refusal> {
    let columns = relation.columns.iter();
    let list: Vec<String> = columns
        .map(|column| format!("{} AS {}", guard::masked(catalog, column), quoted(&column.name)))
        .collect();
    let text = format!(
        "SELECT {} FROM {} WHERE ctid = '{}'::pg_catalog.tid AND tableoid = {table}",
        list.join(", "),
        from(relation),
        place.replace('\'', "")
    );
    let found = sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .fetch_optional(link.conn()?)
        .await;
    let Some(row) = found.map_err(|error| unmade::failed(&error, true))? else {
        return Ok(None);
    };
    let mut cells = BTreeMap::new();
    for (at, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(at).map_err(|_| broken())?;
        let value = match raw.is_null() {
            true => Value::Null,
            false => {
                let bytes = raw.as_bytes().map_err(|_| broken())?;
                let kind = raw.type_info().oid().map_or(0, |oid| oid.0);
                match bytes.len() > SHOWN_BYTES {
                    true => Value::String(format!("({} bytes)", bytes.len())),
                    false => values::render(bytes, kind, kinds),
                }
            }
        };
        cells.insert(column.name().to_owned(), value);
    }
    Ok(Some(cells))
}
