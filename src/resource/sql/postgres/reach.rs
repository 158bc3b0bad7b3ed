//! What a statement reaches beside what it names: what views read, and parts of the tables that it names or is among.
//! By names, since policies speak of these: a relation that agents do not have is called by its schema and name.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use super::lineage::Made;
use super::link::Link;
use super::loader::rows;
use crate::call::Refusal;

/// Relations that others are made of, of every schema, by their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Beyond {
    /// How policies call them.
    names: BTreeMap<u32, String>,
    /// The columns of those that agents have.
    known: BTreeMap<u32, BTreeSet<String>>,
    /// What a view reads.
    reads: BTreeMap<u32, BTreeSet<u32>>,
    /// Which columns of that.
    uses: BTreeMap<u32, BTreeSet<(u32, String)>>,
    parents: BTreeMap<u32, BTreeSet<u32>>,
    children: BTreeMap<u32, BTreeSet<u32>>,
}

/// A relation of any schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anyone {
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) kind: String,
}

impl Anyone {
    pub(super) fn is_view(&self) -> bool {
        self.kind == "v" || self.kind == "m"
    }
}

/// Every relation of the database.
///
/// # Errors
/// As [`super::loader::load`].
pub(super) async fn everyone(link: &mut Link) -> Result<BTreeMap<u32, Anyone>, Refusal> {
    let found: Vec<(i64, String, String, String)> = rows(
        link,
        "SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
            c.relkind::pg_catalog.text
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't' LIMIT 400001",
        &[],
    )
    .await?;
    let each = |(oid, schema, name, kind): (i64, String, String, String)| {
        let oid = u32::try_from(oid).unwrap_or_default();
        (oid, Anyone { schema, name, kind })
    };
    Ok(found.into_iter().map(each).collect())
}

/// Which columns each view reads of what. Of a whole row the server notes the relation alone, so then it is all of them.
async fn uses(link: &mut Link) -> Result<BTreeMap<u32, BTreeSet<(u32, String)>>, Refusal> {
    let found: Vec<(i64, i64, String)> = rows(
        link,
        "WITH rules AS MATERIALIZED (
            SELECT r.oid, r.ev_class, pg_catalog.strpos(r.ev_action::pg_catalog.text, ':varattno 0 ') > 0 AS whole
            FROM pg_catalog.pg_rewrite r WHERE r.oid >= 16384 AND r.ev_type = '1')
         SELECT DISTINCT r.ev_class::pg_catalog.int8, a.attrelid::pg_catalog.int8, a.attname::pg_catalog.text
         FROM rules r JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
         JOIN pg_catalog.pg_attribute a
            ON a.attrelid = d.refobjid AND a.attnum > 0 AND NOT a.attisdropped
            AND (a.attnum = d.refobjsubid OR r.whole)
         LIMIT 400001",
        &[],
    )
    .await?;
    let number = |oid: i64| u32::try_from(oid).unwrap_or_default();
    let mut uses: BTreeMap<u32, BTreeSet<(u32, String)>> = BTreeMap::new();
    for (view, base, column) in found {
        let columns = uses.entry(number(view)).or_default();
        columns.insert((number(base), column));
    }
    Ok(uses)
}

impl Beyond {
    /// # Errors
    /// As [`super::loader::load`].
    pub(super) async fn of(
        link: &mut Link,
        everyone: &BTreeMap<u32, Anyone>,
        made: &Made,
        catalog: &Catalog,
    ) -> Result<Self, Refusal> {
        let mut beyond = Self {
            uses: uses(link).await?,
            ..Self::default()
        };
        for (view, bases) in &made.reads {
            // A table has rules too, but who reads the table does not read by these.
            if everyone.get(view).is_some_and(Anyone::is_view) {
                beyond.reads.insert(*view, bases.clone());
            }
        }
        for (child, parent) in &made.inherits {
            beyond.parents.entry(*child).or_default().insert(*parent);
            beyond.children.entry(*parent).or_default().insert(*child);
        }
        for relation in catalog.relations.values() {
            beyond.names.insert(relation.oid, catalog.shown(relation));
            let columns = relation.columns.iter().map(|column| column.name.clone());
            beyond.known.insert(relation.oid, columns.collect());
        }
        beyond.name_others(everyone, catalog);
        Ok(beyond)
    }

    /// What agents do not have is called plainly where its plain name is in an exposed schema and stands for nothing
    /// else, as it would be if the role were given it; otherwise by its schema.
    fn name_others(&mut self, everyone: &BTreeMap<u32, Anyone>, catalog: &Catalog) {
        let mut plain: BTreeSet<&str> = BTreeSet::new();
        for schema in &catalog.path {
            for (oid, one) in everyone.iter().filter(|(_, one)| one.schema == *schema) {
                let is_taken = catalog.relation(None, &one.name).is_some();
                if !self.names.contains_key(oid) && !is_taken && plain.insert(&one.name) {
                    self.names.insert(*oid, one.name.clone());
                }
            }
        }
        for (oid, one) in everyone {
            let whole = || format!("{}.{}", one.schema, one.name);
            self.names.entry(*oid).or_insert_with(whole);
        }
    }

    /// Names of all that a relation is read with, without itself: what a view reads and what that is made of, the parts
    /// of a table, and what each of these is a part of, since its rows are rows of that too.
    pub(super) fn tables(&self, relation: u32) -> BTreeSet<String> {
        let below = self.below(relation);
        let above = below.iter().flat_map(|one| self.above(*one));
        let all: BTreeSet<u32> = below.iter().copied().chain(above).collect();
        let others = all.iter().filter(|one| **one != relation);
        others.map(|one| self.name(*one)).collect()
    }

    /// The columns that are read with a view, as `table.column`: those that its definition uses and those of the views
    /// below it, each in every part of its table.
    pub(super) fn columns(&self, relation: u32) -> BTreeSet<String> {
        let below = self.below(relation);
        let used = below.iter().filter_map(|one| self.uses.get(one)).flatten();
        let each = used.flat_map(|(table, column)| {
            let own = format!("{}.{column}", self.name(*table));
            self.same(*table, column).into_iter().chain([own])
        });
        each.collect()
    }

    /// A column in the parts of its table, and in what that is a part of.
    pub(super) fn same(&self, table: u32, column: &str) -> BTreeSet<String> {
        let kin = closure(table, |one| self.children.get(&one));
        let kin = kin.into_iter().chain(self.above(table));
        let has = |one: &u32| self.known.get(one).is_none_or(|known| known.contains(column));
        kin.filter(|one| *one != table)
            .filter(has)
            .map(|one| format!("{}.{column}", self.name(one)))
            .collect()
    }

    fn below(&self, relation: u32) -> BTreeSet<u32> {
        let nothing = BTreeSet::new();
        let mut all = BTreeSet::new();
        let mut open = vec![relation];
        while let Some(at) = open.pop() {
            if all.insert(at) {
                open.extend(self.reads.get(&at).unwrap_or(&nothing));
                open.extend(self.children.get(&at).unwrap_or(&nothing));
            }
        }
        all
    }

    fn above(&self, relation: u32) -> BTreeSet<u32> {
        closure(relation, |one| self.parents.get(&one))
    }

    /// What is not there any more by name is told by its number: no policy permits that.
    fn name(&self, relation: u32) -> String {
        let known = self.names.get(&relation).cloned();
        known.unwrap_or_else(|| format!("pg_class.{relation}"))
    }
}

/// Everything that is reached by steps, the start too.
fn closure<'a>(from: u32, step: impl Fn(u32) -> Option<&'a BTreeSet<u32>>) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if all.insert(at) {
            open.extend(step(at).into_iter().flatten());
        }
    }
    all
}
