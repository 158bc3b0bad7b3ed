//! What a change does, found by comparing tables before and after it: whatever did it (the statement,
//! a trigger, a cascade, a conflict clause) is counted, because nothing needs to announce itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Statement};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::anatomy::{Anatomy, Table};
use super::catalog::Relation;
use super::link::Link;
use super::masks::quoted;
use super::values;
use super::watch::{Ended, Watch};
use crate::call::effect::{Affected, RowChanges, RowSample};
use crate::call::{Effect, hex};

/// Rows that one change may touch, over all tables.
pub(super) const MAX_CHANGED: usize = 10_000;
/// Rows the tables a change may touch may hold together.
pub(super) const MAX_COMPARED: usize = 1_000_000;
/// Rows shown of one table.
const SAMPLE: usize = 5;
/// Longer texts are told by their length: a part of a text could hide what the whole shows.
const SHOWN_BYTES: usize = 256;

/// Why an effect could not be found.
#[derive(Debug)]
pub(super) enum Unmeasured {
    Engine(rusqlite::Error),
    TooLarge,
    /// A table whose rows have no name.
    Unnamed,
    Ended(Ended),
    /// The transaction is not there any more.
    Over,
}

impl From<rusqlite::Error> for Unmeasured {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

type Short = [u8; 16];

/// Tables as they were: key → content, both as digests.
#[derive(Debug)]
pub(super) struct Before {
    tables: BTreeMap<String, HashMap<Short, Short>>,
}

/// How new rows of a table are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newness {
    /// By all their values.
    Whole,
    /// By all values but the key the engine gives them.
    ButKey,
    /// Not at all: their values depend on the time.
    Counted,
}

/// What happened to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Inserted,
    Updated,
    Deleted,
}

/// A change, row by row.
#[derive(Debug, Default)]
pub(super) struct Impact {
    pub(super) effect: Effect,
    shown: Vec<Shown>,
}

/// A row to be shown.
#[derive(Debug)]
struct Shown {
    /// Lower case.
    table: String,
    fate: Fate,
    digest: Short,
    /// What names it; of rows that are gone, found later.
    key: Vec<Sql>,
}

impl Before {
    /// Notes every row of `tables` (lower case). `schema` is the file's name on the connection.
    ///
    /// # Errors
    /// [`Unmeasured`].
    pub(super) fn take(
        conn: &Connection,
        schema: &str,
        anatomy: &Anatomy,
        tables: &BTreeSet<String>,
        watch: &Watch,
    ) -> Result<Self, Unmeasured> {
        let mut before = Self {
            tables: BTreeMap::new(),
        };
        let mut rows = 0;
        for lower in tables {
            let Some(table) = anatomy.tables.get(lower) else {
                continue;
            };
            let mut known = HashMap::new();
            scan(conn, schema, table, watch, &mut |row| {
                rows += 1;
                known.insert(row.key, row.content);
                if rows > MAX_COMPARED {
                    Err(Unmeasured::TooLarge)
                } else {
                    Ok(true)
                }
            })?;
            before.tables.insert(lower.clone(), known);
        }
        Ok(before)
    }

    /// Compares with what is there now.
    ///
    /// # Errors
    /// [`Unmeasured`].
    pub(super) fn compare(
        mut self,
        conn: &Connection,
        schema: &str,
        anatomy: &Anatomy,
        newness: &dyn Fn(&str) -> Newness,
        watch: &Watch,
    ) -> Result<Impact, Unmeasured> {
        let mut impact = Impact::default();
        let mut changed = 0;
        for (lower, known) in &mut self.tables {
            let Some(table) = anatomy.tables.get(lower) else {
                continue;
            };
            let mut changes = RowChanges::default();
            let new = newness(lower);
            let mut room = |more: usize| {
                changed += more;
                if changed > MAX_CHANGED {
                    Err(Unmeasured::TooLarge)
                } else {
                    Ok(true)
                }
            };
            scan(conn, schema, table, watch, &mut |row| {
                let (fate, affected, key) = match known.remove(&row.key) {
                    Some(content) if content == row.content => return Ok(true),
                    Some(_) => (Fate::Updated, &mut changes.updated, row.key),
                    None => {
                        let key = new.key(row, lower, changes.inserted.count)?;
                        (Fate::Inserted, &mut changes.inserted, key)
                    }
                };
                affected.count += 1;
                affected.keys.insert(hex(&key));
                if affected.count <= SAMPLE as u64 {
                    impact.shown.push(Shown {
                        table: lower.clone(),
                        fate,
                        digest: row.key,
                        key: row.values()?,
                    });
                }
                room(1)
            })?;
            room(known.len())?;
            changes.deleted = Affected {
                count: known.len() as u64,
                keys: known.keys().map(|key| hex(key)).collect(),
            };
            let gone = known.keys().take(SAMPLE);
            impact
                .shown
                .extend(gone.map(|digest| Shown::gone(lower, *digest)));
            if changes != RowChanges::default() {
                impact.effect.rows.insert(table.name.clone(), changes);
            }
        }
        Ok(impact)
    }
}

impl Shown {
    /// What names it is found where it is still there.
    fn gone(table: &str, digest: Short) -> Self {
        Self {
            table: table.to_owned(),
            fate: Fate::Deleted,
            digest,
            key: Vec::new(),
        }
    }
}

impl Newness {
    /// What stands for a new row.
    fn key(self, row: &Row<'_, '_>, table: &str, nth: u64) -> rusqlite::Result<Short> {
        Ok(match self {
            Self::Whole => row.content,
            Self::ButKey => row.rest()?,
            Self::Counted => ordinal(table, nth),
        })
    }
}

/// The rows of tables that go as a whole, with one digest over each table's content: a table is dropped
/// with exactly the rows people saw, however many.
///
/// # Errors
/// [`Unmeasured`].
pub(super) fn whole(
    conn: &Connection,
    schema: &str,
    table: &Table,
    watch: &Watch,
) -> Result<RowChanges, Unmeasured> {
    let mut count = 0;
    // A sum does not depend on the order of rows.
    let mut sum = [0_u64; 2];
    scan(conn, schema, table, watch, &mut |row| {
        count += 1;
        for (part, of) in sum.iter_mut().zip(row.content.chunks(8)) {
            let bytes = of.try_into().unwrap_or_default();
            *part = part.wrapping_add(u64::from_le_bytes(bytes));
        }
        Ok(true)
    })?;
    let mut hash = Sha256::new();
    hash.update(table.name.to_ascii_lowercase());
    for part in sum {
        hash.update(part.to_le_bytes());
    }
    let keys = if count == 0 {
        BTreeSet::new()
    } else {
        BTreeSet::from([hex(&short(&hash.finalize()))])
    };
    Ok(RowChanges {
        deleted: Affected { count, keys },
        ..RowChanges::default()
    })
}

impl Impact {
    /// The sample's halves that can be seen now: rows after the change (`now` is true), or before it.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn look(
        &mut self,
        link: &Link,
        anatomy: &Anatomy,
        now: bool,
        watch: &Watch,
    ) -> Result<(), Unmeasured> {
        if !now {
            self.find_deleted(link, anatomy, watch)?;
        }
        for (at, row) in self.shown.iter().enumerate() {
            let (Some(table), Some(relation)) = (
                anatomy.tables.get(&row.table),
                link.catalog.relations.get(&row.table),
            ) else {
                continue;
            };
            if self.effect.sample.len() <= at {
                self.effect.sample.push(RowSample {
                    table: table.name.clone(),
                    key: Value::Null,
                    before: None,
                    after: None,
                });
            }
            if (now && row.fate == Fate::Deleted)
                || (!now && row.fate == Fate::Inserted)
                || row.key.is_empty()
            {
                continue;
            }
            let cells = shown_row(link, table, relation, &row.key)?;
            let key: serde_json::Map<String, Value> = relation
                .columns
                .iter()
                .filter(|column| column.primary_key)
                .filter_map(|column| Some((column.name.clone(), cells.get(&column.name)?.clone())))
                .collect();
            if let Some(sample) = self.effect.sample.get_mut(at) {
                if !key.is_empty() {
                    sample.key = Value::Object(key);
                }
                *(if now {
                    &mut sample.after
                } else {
                    &mut sample.before
                }) = Some(cells);
            }
        }
        Ok(())
    }
}

impl Impact {
    /// Finds what names the rows that are gone, where they are still there.
    fn find_deleted(&mut self, link: &Link, anatomy: &Anatomy, watch: &Watch) -> Result<(), Unmeasured> {
        let tables: BTreeSet<String> = self
            .shown
            .iter()
            .filter(|row| row.key.is_empty())
            .map(|row| row.table.clone())
            .collect();
        for lower in tables {
            let Some(table) = anatomy.tables.get(&lower) else {
                continue;
            };
            let mut missing: Vec<&mut Shown> = self
                .shown
                .iter_mut()
                .filter(|row| row.table == lower && row.key.is_empty())
                .collect();
            scan(&link.conn, &link.schema, table, watch, &mut |row| {
                if let Some(at) = missing.iter().position(|one| one.digest == row.key) {
                    missing.swap_remove(at).key = row.values()?;
                }
                Ok(!missing.is_empty())
            })?;
        }
        Ok(())
    }
}

impl Row<'_, '_> {
    fn values(&self) -> rusqlite::Result<Vec<Sql>> {
        (0..self.keys).map(|at| self.raw.get(at)).collect()
    }

    /// Of everything but the key. Few rows are asked for it, so it is not made for all.
    fn rest(&self) -> rusqlite::Result<Short> {
        let mut rest = Feed::of(self.table);
        for (at, _) in self.is_key.iter().enumerate().filter(|(_, is_key)| !**is_key) {
            if at >= self.keys {
                rest.value(self.raw.get_ref(at)?);
            }
        }
        Ok(rest.take())
    }
}

/// A row as its masking view would show it.
fn shown_row(
    link: &Link,
    table: &Table,
    relation: &Relation,
    key: &[Sql],
) -> rusqlite::Result<BTreeMap<String, Value>> {
    let columns = relation.columns.iter();
    let list: Vec<String> = columns.map(|column| link.shown(relation, column)).collect();
    let terms: Vec<String> = table.key().iter().map(|name| format!("{name} IS ?")).collect();
    let sql = format!(
        "SELECT {} FROM {}.{} WHERE {}",
        list.join(", "),
        quoted(&link.schema),
        quoted(&table.name),
        terms.join(" AND ")
    );
    let mut statement = link.conn.prepare(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(key.iter()))?;
    let mut shown = BTreeMap::new();
    if let Some(row) = rows.next()? {
        for (at, column) in relation.columns.iter().enumerate() {
            let value = row.get_ref(at)?;
            let long = match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() > SHOWN_BYTES,
                _ => false,
            };
            let value = match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) if long => {
                    Value::String(format!("({} bytes)", bytes.len()))
                }
                value => values::render(value),
            };
            shown.insert(column.name.clone(), value);
        }
    }
    Ok(shown)
}

/// One row, as digests.
struct Row<'r, 's> {
    key: Short,
    content: Short,
    raw: &'r rusqlite::Row<'s>,
    /// Lower case.
    table: &'r str,
    keys: usize,
    /// By position in `raw`, where the first `keys` values are what names the row.
    is_key: &'r [bool],
}

/// Visits the rows until told not to go on.
fn scan(
    conn: &Connection,
    schema: &str,
    table: &Table,
    watch: &Watch,
    visit: &mut dyn FnMut(&Row<'_, '_>) -> Result<bool, Unmeasured>,
) -> Result<(), Unmeasured> {
    let key = table.key();
    if key.is_empty() {
        return Err(Unmeasured::Unnamed);
    }
    let keys = key.len();
    let columns = table.stored().map(|column| quoted(&column.name));
    let list: Vec<String> = key.into_iter().chain(columns).collect();
    let sql = format!(
        "SELECT {} FROM {}.{} NOT INDEXED",
        list.join(", "),
        quoted(schema),
        quoted(&table.name)
    );
    let is_key: Vec<bool> = std::iter::repeat_n(false, keys)
        .chain(table.stored().map(|column| column.key > 0))
        .collect();
    let mut statement: Statement<'_> = conn.prepare(&sql)?;
    let mut rows = statement.raw_query();
    let lower = table.name.to_ascii_lowercase();
    let (mut key, mut content) = (Feed::of(&lower), Feed::of(&lower));
    while let Some(raw) = rows.next()? {
        if let Some(why) = watch.ended() {
            return Err(Unmeasured::Ended(why));
        }
        for at in 0..is_key.len() {
            let digest = if at < keys { &mut key } else { &mut content };
            digest.value(raw.get_ref(at)?);
        }
        let row = Row {
            key: key.take(),
            content: content.take(),
            raw,
            table: &lower,
            keys,
            is_key: &is_key,
        };
        if !visit(&row)? {
            break;
        }
    }
    Ok(())
}

/// Makes digests of values of one table, one after the other. Short values are gathered first: every
/// row of a table comes through here twice, and a hash is fastest in one piece.
struct Feed {
    /// The table's name: what each digest begins with.
    name: Vec<u8>,
    hash: Sha256,
    /// What is not in the hash yet.
    gathered: Vec<u8>,
}

/// So many bytes are gathered; longer values are not copied.
const GATHERED: usize = 4096;

impl Feed {
    fn of(table: &str) -> Self {
        let mut name = table.as_bytes().to_vec();
        name.push(0);
        Self {
            gathered: name.clone(),
            name,
            hash: Sha256::new(),
        }
    }

    /// One value, so that no two rows are fed alike.
    fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.number(0, [0; 8]),
            ValueRef::Integer(integer) => self.number(1, integer.to_le_bytes()),
            ValueRef::Real(real) => self.number(2, real.to_le_bytes()),
            ValueRef::Text(bytes) => self.bytes(3, bytes),
            ValueRef::Blob(bytes) => self.bytes(4, bytes),
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.number(kind, (bytes.len() as u64).to_le_bytes());
        if self.gathered.len().saturating_add(bytes.len()) > GATHERED {
            self.hash.update(&self.gathered);
            self.hash.update(bytes);
            self.gathered.clear();
        } else {
            self.gathered.extend_from_slice(bytes);
        }
    }

    fn number(&mut self, kind: u8, bytes: [u8; 8]) {
        self.gathered.push(kind);
        self.gathered.extend_from_slice(&bytes);
    }

    /// The digest of what came since the last one.
    fn take(&mut self) -> Short {
        self.hash.update(&self.gathered);
        self.gathered.clone_from(&self.name);
        short(&self.hash.finalize_reset())
    }
}

fn ordinal(table: &str, nth: u64) -> Short {
    let mut hash = Sha256::new();
    hash.update(table);
    hash.update(b" new ");
    hash.update(nth.to_le_bytes());
    short(&hash.finalize())
}

/// Half of a digest: two of ten thousand rows are alike by chance once in 2^100.
fn short(digest: &[u8]) -> Short {
    let mut short = Short::default();
    for (to, from) in short.iter_mut().zip(digest) {
        *to = *from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_its_own_values_however_they_are_gathered() {
        let long = "x".repeat(GATHERED + 1);
        let nearly = "y".repeat(GATHERED - 20);
        let rows = [
            vec!["a", "b"],
            vec![&*long, "b"],
            vec!["a", "b"],
            vec![&*nearly, "c", "d"],
        ];
        let mut feed = Feed::of("t");
        for row in rows {
            let mut whole = b"t\0".to_vec();
            for value in row {
                feed.value(ValueRef::Text(value.as_bytes()));
                whole.push(3);
                whole.extend_from_slice(&(value.len() as u64).to_le_bytes());
                whole.extend_from_slice(value.as_bytes());
            }
            assert_eq!(feed.take(), short(&Sha256::digest(whole)));
        }
    }
}
