//! What a change does, row by row. The rows that it is of are chosen and locked before it runs, by its own condition, in
//! a transaction in which nobody can change what it reads; so are those that keys reach from them. When it has run, the
//! same rows are looked at again, and the server's count has to be theirs. New rows are what the server returns.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::mysql::{MySqlArguments, MySqlRow};

use super::Spec;
use super::catalog::{Catalog, Column, Relation};
use super::guard::Chosen;
use super::keys::{Key, RowKey};
use super::link::{Link, quoted};
use super::oracle::{Follow, Reach};
use super::probe::{self, Texts};
use super::unmade::{self, MAX_CHANGED};
use super::values;
use crate::call::effect::{Affected, RowChanges, RowSample};
use crate::call::{Effect, Refusal, hex};

/// Rows shown of one table, of each kind of change.
const SAMPLE: usize = 5;
/// Longer texts are told by their length.
const SHOWN_BYTES: usize = 256;
/// Keys in one statement.
const BATCH: usize = 200;

/// A row as somebody sees it who is shown nothing.
type Cells = BTreeMap<String, Value>;

/// The rows of one table that a change is of.
#[derive(Debug)]
struct Touched<'a> {
    relation: &'a Relation,
    key: RowKey,
    updated: BTreeSet<Key>,
    deleted: BTreeSet<Key>,
    before: BTreeMap<Key, Cells>,
}

/// A change under way: its connection, and what it is of.
pub(super) struct Scene<'a> {
    pub(super) link: &'a mut Link,
    pub(super) catalog: &'a Catalog,
    pub(super) spec: &'a Spec,
    pub(super) reach: &'a Reach,
    /// The table that the statement names.
    pub(super) target: &'a Relation,
    /// Columns whose new values stand for a row beside its key: what people saw is what it becomes.
    pub(super) given: Vec<&'a Column>,
    /// Before each statement: `/* tollgate … */`.
    pub(super) comment: String,
    /// Whether it is only measured.
    pub(super) measures: bool,
}

/// A text to run, and what is bound to it.
pub(super) type Bound = (String, MySqlArguments);

impl<'a> Scene<'a> {
    /// An UPDATE or DELETE: the rows it is of, the change, the same rows. `narrowed` is bound to the condition alone.
    ///
    /// # Errors
    /// `limit_exceeded` when there are too many; one refusal for all that the data does to it.
    pub(super) async fn changes(
        &mut self,
        (chosen, narrowed): (&Chosen, MySqlArguments),
        deletes: bool,
        change: Bound,
    ) -> Result<(u64, Effect), Refusal> {
        let keys = self.choose(chosen, narrowed).await?;
        let many = keys.len() as u64;
        let mut all = BTreeMap::new();
        let own = Touched::of(&mut all, self.target)?;
        let only = (own.key.clone(), keys.iter().cloned().collect::<Vec<_>>());
        own.take(keys, deletes);
        self.follow(&mut all).await?;
        for one in all.values_mut() {
            one.before = self.look(one.relation, &one.key, &one.shown()).await?;
        }
        let (text, arguments) = only_these(chosen, (&only.0, &only.1), change)?;
        let query = sqlx::query_with(sqlx::AssertSqlSafe(text), arguments);
        let done = query.execute(self.link.conn()?).await;
        let affected = done.map_err(|error| self.failed(&error))?.rows_affected();
        // Rows of its own that the change reaches by a key are gone before it comes to them.
        let mut follows = self.reach.follows.iter();
        let itself = follows.any(|follow| follow.child == self.target.name);
        if affected != many && !(itself && affected < many) {
            return Err(self.unlike("the server counts other rows than were chosen"));
        }
        let mut effect = Effect::default();
        for one in all.values() {
            self.compare(one, &mut effect).await?;
        }
        Ok((affected, effect))
    }

    /// An INSERT that gives values to masked columns: the server would return no row of it to an account that may not
    /// read these. Its values stand in the statement, all of them, so its rows are counted.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub(super) async fn adds_unseen(&mut self, (text, arguments): Bound) -> Result<(u64, Effect), Refusal> {
        let query = sqlx::query_with(sqlx::AssertSqlSafe(text), arguments);
        let done = query.execute(self.link.conn()?).await;
        let affected = done.map_err(|error| self.failed(&error))?.rows_affected();
        if affected > MAX_CHANGED as u64 {
            return Err(self.too_much());
        }
        let name = &self.target.name;
        let mut changes = RowChanges::default();
        for nth in 0..affected {
            take(&mut changes.inserted, mark(&[name, "n", &nth.to_string()]));
        }
        let rows = BTreeMap::from([(name.clone(), changes)]);
        Ok((
            affected,
            Effect {
                rows,
                ..Effect::default()
            },
        ))
    }

    /// An INSERT.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub(super) async fn adds(&mut self, (text, arguments): Bound) -> Result<(u64, Effect), Refusal> {
        let key = RowKey::of(self.target).ok_or_else(|| unmade::no_key(&self.target.name))?;
        let wanted = self.wanted(&key, self.target);
        let rows = self
            .rows((format!("{text} RETURNING {wanted}"), arguments))
            .await?;
        let name = &self.target.name;
        let mut changes = RowChanges::default();
        let mut keys = Vec::new();
        for row in &rows {
            let (own, given) = split(row, key.width());
            let nth = changes.inserted.count.to_string();
            let mark = match self.given.is_empty() {
                false => mark(&[name, "i", &given]),
                true => mark(&[name, "n", &nth]),
            };
            take(&mut changes.inserted, mark);
            if keys.len() < SAMPLE {
                keys.push(own);
            }
        }
        let mut effect = Effect::default();
        for cells in self.look(self.target, &key, &keys).await?.into_values() {
            effect.sample.push(sample(self.target, &key, None, Some(cells)));
        }
        if changes != RowChanges::default() {
            effect.rows.insert(name.clone(), changes);
        }
        Ok((rows.len() as u64, effect))
    }

    /// The rows of the statement's own condition, locked until the end.
    async fn choose(&mut self, chosen: &Chosen, arguments: MySqlArguments) -> Result<BTreeSet<Key>, Refusal> {
        let key = RowKey::of(self.target).ok_or_else(|| unmade::no_key(&self.target.name))?;
        let text = format!(
            "{} SELECT {} FROM {} {} LIMIT {} FOR UPDATE",
            self.comment,
            key.read(""),
            chosen.from,
            chosen.condition,
            MAX_CHANGED + 1
        );
        let rows = self.rows((text, arguments)).await?;
        Ok(rows.iter().map(|row| split(row, key.width()).0).collect())
    }

    /// Adds the rows that keys reach, and what these reach.
    async fn follow(&mut self, all: &mut BTreeMap<String, Touched<'a>>) -> Result<(), Refusal> {
        let reach = self.reach;
        let mut done: BTreeSet<(&Follow, Key)> = BTreeSet::new();
        loop {
            let mut found = false;
            for follow in &reach.follows {
                let Some(parent) = all.get(&follow.parent) else {
                    continue;
                };
                let of = if follow.of_deleted {
                    &parent.deleted
                } else {
                    &parent.updated
                };
                let new: Vec<Key> = of
                    .iter()
                    .filter(|key| done.insert((follow, (*key).clone())))
                    .cloned()
                    .collect();
                let parent = (parent.relation, parent.key.clone());
                let child = self.catalog.relation(&follow.child);
                let child = child.ok_or_else(|| unmade::out_of_reach("a child that agents do not have"))?;
                for keys in new.chunks(BATCH) {
                    let children = self.children(follow, (parent.0, &parent.1), child, keys).await?;
                    found |= !children.is_empty();
                    Touched::of(all, child)?.take(children, follow.deletes);
                }
                let many: usize = all
                    .values()
                    .map(|one| one.updated.len() + one.deleted.len())
                    .sum();
                if many > MAX_CHANGED {
                    return Err(self.too_much());
                }
            }
            if !found {
                return Ok(());
            }
        }
    }

    /// The rows that refer to these by that key.
    async fn children(
        &mut self,
        follow: &Follow,
        (parent, parent_key): (&Relation, &RowKey),
        child: &Relation,
        keys: &[Key],
    ) -> Result<BTreeSet<Key>, Refusal> {
        let key = RowKey::of(child).ok_or_else(|| unmade::no_key(&child.name))?;
        let on = follow.columns.iter();
        let on = on.map(|(of, to)| format!("c.{} = p.{}", quoted(of), quoted(to)));
        let text = format!(
            "{} SELECT {} FROM {} c JOIN {} p ON {} WHERE {} LIMIT {}",
            self.comment,
            key.read("c."),
            self.table(child),
            self.table(parent),
            on.collect::<Vec<_>>().join(" AND "),
            one_of(parent_key, "p.", keys)?,
            MAX_CHANGED + 1
        );
        let rows = self.rows((text, MySqlArguments::default())).await?;
        Ok(rows.iter().map(|row| split(row, key.width()).0).collect())
    }

    /// What became of these rows.
    async fn compare(&mut self, one: &Touched<'a>, effect: &mut Effect) -> Result<(), Refusal> {
        let name = &one.relation.name;
        let wanted = match name == &self.target.name {
            true => self.wanted(&one.key, one.relation),
            false => one.key.read(""),
        };
        let mut there = BTreeMap::new();
        let keys: Vec<Key> = one.updated.union(&one.deleted).cloned().collect();
        for keys in keys.chunks(BATCH) {
            let condition = one_of(&one.key, "", keys)?;
            let text = format!(
                "{} SELECT {wanted} FROM {} WHERE {condition}",
                self.comment,
                self.table(one.relation)
            );
            let rows = self.rows((text, MySqlArguments::default())).await?;
            there.extend(rows.iter().map(|row| split(row, one.key.width())));
        }
        let mut changes = RowChanges::default();
        for key in one.updated.difference(&one.deleted) {
            let given = there.get(key);
            let given = given.ok_or_else(|| self.unlike("a row that was to be changed is gone"))?;
            take(&mut changes.updated, mark(&[name, "u", &key.join("\0"), given]));
        }
        for key in &one.deleted {
            if there.contains_key(key) {
                return Err(self.unlike("a row that was to be deleted is there"));
            }
            take(&mut changes.deleted, mark(&[name, "d", &key.join("\0")]));
        }
        let mut after = self.look(one.relation, &one.key, &one.shown()).await?;
        for key in one.shown() {
            let (before, after) = (one.before.get(&key).cloned(), after.remove(&key));
            effect.sample.push(sample(one.relation, &one.key, before, after));
        }
        if changes != RowChanges::default() {
            effect.rows.insert(name.clone(), changes);
        }
        Ok(())
    }

    /// A few rows through their masks.
    async fn look(
        &mut self,
        relation: &Relation,
        key: &RowKey,
        keys: &[Key],
    ) -> Result<BTreeMap<Key, Cells>, Refusal> {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let columns: Vec<String> = relation
            .columns
            .iter()
            .map(|column| quoted(&column.name))
            .collect();
        let text = format!(
            "{} SELECT {}, {} FROM {}.{} WHERE {}",
            self.comment,
            key.read(""),
            columns.join(", "),
            quoted(&self.spec.place()),
            quoted(&relation.name),
            one_of(key, "", keys)?
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(text));
        let rows = query.fetch_all(self.link.conn()?).await;
        let mut found = BTreeMap::new();
        for row in rows.map_err(|error| self.failed(&error))? {
            let own = probe::row(&row).map_err(|_| values::unreadable())?;
            let mut cells = Cells::new();
            for (at, column) in relation.columns.iter().enumerate() {
                cells.insert(column.name.clone(), cell(&row, at + key.width())?);
            }
            found.insert(split(&own, key.width()).0, cells);
        }
        Ok(found)
    }

    /// What is asked of a row: its key, and a digest of what it is given.
    fn wanted(&self, key: &RowKey, relation: &Relation) -> String {
        let given = self.given.iter().filter(|_| relation.name == self.target.name);
        let digests = given.map(|column| digest(column));
        let all: Vec<String> = std::iter::once(key.read("")).chain(digests).collect();
        all.join(", ")
    }

    fn table(&self, relation: &Relation) -> String {
        format!("{}.{}", quoted(&self.spec.database()), quoted(&relation.name))
    }

    /// The rows of a text, as texts; more than anybody could look at are none.
    async fn rows(&mut self, (text, arguments): Bound) -> Result<Vec<Texts>, Refusal> {
        let query = sqlx::query_with(sqlx::AssertSqlSafe(text), arguments);
        let mut found = Vec::new();
        self.link.busy = true;
        let mut failed = None;
        {
            let mut rows = query.fetch(self.link.conn()?);
            loop {
                match rows.try_next().await {
                    Ok(Some(row)) if found.len() < MAX_CHANGED => {
                        found.push(probe::row(&row).map_err(|_| values::unreadable())?);
                    }
                    Ok(Some(_)) => break,
                    Ok(None) => {
                        failed = Some(None);
                        break;
                    }
                    Err(error) => {
                        failed = Some(Some(error));
                        break;
                    }
                }
            }
        }
        let Some(ended) = failed else {
            return Err(self.too_much()); // and the rest of them is ended with the connection
        };
        self.link.busy = false;
        match ended {
            None => Ok(found),
            Some(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &sqlx::Error) -> Refusal {
        unmade::failed(error, self.measures)
    }

    /// Of what an agent is told, nothing tells why a measurement failed.
    fn too_much(&self) -> Refusal {
        match self.measures {
            true => unmade::not_measured().detail("too many rows"),
            false => unmade::too_much(),
        }
    }

    fn unlike(&self, why: &str) -> Refusal {
        match self.measures {
            true => unmade::not_measured().detail(why),
            false => unmade::not_possible().detail(why),
        }
    }
}

impl<'a> Touched<'a> {
    /// Those of a table.
    fn of<'m>(all: &'m mut BTreeMap<String, Self>, relation: &'a Relation) -> Result<&'m mut Self, Refusal> {
        let key = RowKey::of(relation).ok_or_else(|| unmade::no_key(&relation.name))?;
        Ok(all.entry(relation.name.clone()).or_insert_with(|| Self {
            relation,
            key,
            updated: BTreeSet::new(),
            deleted: BTreeSet::new(),
            before: BTreeMap::new(),
        }))
    }

    fn take(&mut self, keys: BTreeSet<Key>, deletes: bool) {
        match deletes {
            true => self.deleted.extend(keys),
            false => self.updated.extend(keys),
        }
    }

    /// The few that people see.
    fn shown(&self) -> Vec<Key> {
        let updated = self.updated.difference(&self.deleted).take(SAMPLE);
        updated.chain(self.deleted.iter().take(SAMPLE)).cloned().collect()
    }
}

fn one_of(key: &RowKey, item: &str, keys: &[Key]) -> Result<String, Refusal> {
    let condition = key.is_one_of(item, keys);
    condition.ok_or_else(|| Refusal::internal("mysql: a key that is none"))
}

/// The change of these rows alone, by its own condition too: the server may take the rows of a condition in another order
/// than when they were chosen, and where a subquery has a LIMIT these would be others, and as many.
fn only_these(
    chosen: &Chosen,
    (key, keys): (&RowKey, &[Key]),
    (text, arguments): Bound,
) -> Result<Bound, Refusal> {
    let cut = || Refusal::internal("mysql: a condition that is not the end of its change");
    let head = text.strip_suffix(&chosen.condition).ok_or_else(cut)?;
    let own = match chosen.condition.strip_prefix("WHERE") {
        Some(own) => format!("({own}) AND "),
        None if chosen.condition.is_empty() => String::new(),
        None => return Err(cut()),
    };
    let these = match keys.is_empty() {
        true => "FALSE".to_owned(),
        false => one_of(key, "", keys)?,
    };
    Ok((format!("{} WHERE {own}{these}", head.trim_end()), arguments))
}

/// What a row becomes, so that it can be compared and not be read. NULL is itself.
fn digest(column: &Column) -> String {
    let name = quoted(&column.name);
    let text = match column.data_type.as_str() {
        // All digits of it, and not as many as it is shown with.
        "float" => format!("{name} + 0e0"),
        "bit" => format!("{name} + 0"),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" => format!("ST_AsWKB({name})"),
        _ => name,
    };
    format!("SHA2(CONCAT({text}), 256)")
}

/// The key of a row, and one text of all that was asked beside it.
fn split(row: &Texts, width: usize) -> (Key, String) {
    let mut cells = row
        .iter()
        .map(|cell| cell.clone().unwrap_or_else(|| "NULL".to_owned()));
    let key = cells.by_ref().take(width).collect();
    (key, cells.collect::<Vec<_>>().join(" "))
}

fn cell(row: &MySqlRow, at: usize) -> Result<Value, Refusal> {
    let value = values::of_row(row, at)?;
    Ok(match &value {
        Value::String(text) if text.len() > SHOWN_BYTES => Value::String(format!("({} bytes)", text.len())),
        Value::Object(parts) if value.to_string().len() > SHOWN_BYTES => {
            let bytes = parts.get("bytes").map(Value::to_string).unwrap_or_default();
            Value::String(format!("({bytes} bytes)"))
        }
        _ => value,
    })
}

fn sample(relation: &Relation, key: &RowKey, before: Option<Cells>, after: Option<Cells>) -> RowSample {
    let cells = before.as_ref().or(after.as_ref());
    let own = key
        .names()
        .filter_map(|name| Some((name.to_owned(), cells?.get(name)?.clone())));
    RowSample {
        table: relation.name.clone(),
        key: Value::Object(own.collect()),
        before,
        after,
    }
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
