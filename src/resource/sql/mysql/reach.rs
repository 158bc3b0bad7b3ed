//! What is reached through views of the database's own: learned by whoever may see how they are made, and kept in the plan
//! beside the masking views. Of a view about which that is not known, nothing is available.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlConnection;

use super::catalog::{Catalog, Relation};
use super::guard::views::{self, Table};
use super::link::literal;
use super::probe::{self, text};
use super::{Spec, refusals};
use crate::call::Refusal;

/// By what another definition is noticed, of a row of `information_schema.VIEWS`.
pub(super) const DIGEST: &str = "SHA2(CONCAT_WS('\\n', VIEW_DEFINITION, SECURITY_TYPE, DEFINER), 256)";

/// Why a view is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// What it reads is not known.
    Unknown,
    /// Masked columns choose its rows.
    Chosen,
    /// Its rows may come in the order of masked columns: our views say which indexes are used, those of others do not.
    Ordered,
}

/// Learns how the views among `relations` are made, as far as whoever asks may see it.
///
/// # Errors
/// `target_failed`.
pub(super) async fn learn(
    conn: &mut MySqlConnection,
    spec: &Spec,
    relations: &mut BTreeMap<String, Relation>,
) -> Result<(), Refusal> {
    if relations.values().all(|relation| !relation.view) {
        return Ok(());
    }
    let question = format!(
        "SELECT TABLE_NAME, VIEW_DEFINITION, {DIGEST} FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?"
    );
    let database = spec.database();
    let definitions = probe::texts(conn, question, &[&database]).await;
    let definitions = definitions.map_err(|error| refusals::away(&error))?;
    let mut named: BTreeSet<String> = BTreeSet::from([database.clone()]);
    named.extend(definitions.iter().flat_map(|row| views::databases(&text(row, 1))));
    let named: Vec<String> = named.iter().map(|name| literal(name)).collect();
    let question = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
        named.join(", ")
    );
    let found = probe::texts(conn, question, &[]).await;
    let found = found.map_err(|error| refusals::away(&error))?;
    let tables: BTreeMap<(String, String), bool> = found
        .iter()
        .map(|row| {
            (
                (text(row, 0).to_lowercase(), text(row, 1).to_lowercase()),
                text(row, 2) == "VIEW",
            )
        })
        .collect();
    let key = |database: &str, name: &str| (database.to_lowercase(), name.to_lowercase());
    for row in &definitions {
        let Some(relation) = relations.get_mut(&text(row, 0)) else {
            continue;
        };
        let made = views::read(&text(row, 1), &database, |database, name| {
            tables.contains_key(&key(database, name))
        });
        // What a view of another database is made of is not watched.
        let elsewhere =
            |table: &Table| !table.0.is_empty() && tables.get(&key(&table.0, &table.1)) != Some(&false);
        relation.made = made
            .filter(|made| !made.reads.iter().any(elsewhere))
            .map(|made| views::Made {
                digest: text(row, 2),
                ..made
            });
    }
    Ok(())
}

/// The views of which nothing is available, by their keys.
pub(super) fn closed(catalog: &Catalog, spec: &Spec) -> BTreeMap<String, Closed> {
    let mut all = BTreeMap::new();
    for (key, relation) in catalog.relations.iter().filter(|(_, relation)| relation.view) {
        let through = catalog.through(relation);
        let unknown = through
            .iter()
            .any(|one| one.view && one.made.is_none() || catalog.lacks(one));
        let chosen = through.iter().any(|one| is_chosen(one, catalog, spec));
        let vouched = is_listed(relation, spec);
        if unknown {
            all.insert(key.clone(), Closed::Unknown);
        } else if chosen && !vouched {
            all.insert(key.clone(), Closed::Chosen);
        } else if !vouched && through.iter().any(|one| one.ordered || reads_elsewhere(one)) {
            all.insert(key.clone(), Closed::Ordered);
        }
    }
    all
}

/// Whether it reads tables of another database, whose indexes nobody here knows.
fn reads_elsewhere(view: &Relation) -> bool {
    let mut reads = view.made.iter().flat_map(|made| &made.reads);
    reads.any(|(database, _)| !database.is_empty())
}

/// Whether masked columns choose the rows of a view itself, and nobody has said what it may tell.
fn is_chosen(view: &Relation, catalog: &Catalog, spec: &Spec) -> bool {
    let Some(made) = &view.made else {
        return false;
    };
    let hidden = |((database, table), column): &(Table, String)| {
        let relation = catalog.relation(table).filter(|_| database.is_empty());
        let Some(relation) = relation else {
            return true; // nobody lists columns of another database
        };
        let mut columns = relation.columns.iter();
        let column = columns.find(|one| one.name.to_lowercase() == column.to_lowercase());
        column.is_none_or(|column| column.class.is_some())
    };
    !is_listed(view, spec) && (made.calls || made.by.iter().any(hidden))
}

/// Whether `[resource.columns]` has every column of it.
fn is_listed(relation: &Relation, spec: &Spec) -> bool {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let listed = |column: &str| {
        let mut all = spec.columns.keys().filter_map(|written| written.rsplit_once('.'));
        all.any(|(table, name)| same(table, &relation.name) && same(name, column))
    };
    relation.columns.iter().all(|column| listed(&column.name))
}

impl Catalog {
    /// A relation with the views of the same database that it is made of, over any number of steps, and with what these
    /// read.
    fn through<'c>(&'c self, relation: &'c Relation) -> Vec<&'c Relation> {
        let (mut seen, mut all, mut open) = (BTreeSet::new(), Vec::new(), vec![relation]);
        while let Some(at) = open.pop() {
            if seen.insert(&at.name) {
                all.push(at);
                let reads = at.made.iter().flat_map(|made| &made.reads);
                let own = reads.filter(|(database, _)| database.is_empty());
                open.extend(own.filter_map(|(_, name)| self.relation(name)));
            }
        }
        all
    }

    /// Whether any of these relations calls, over any number of steps, what is not the server's own; or may.
    pub(super) fn calls(&self, names: &BTreeSet<String>) -> bool {
        let calls = |one: &Relation| one.view && one.made.as_ref().is_none_or(|made| made.calls);
        let mut all = names.iter().map(|name| self.relation(name));
        all.any(|relation| relation.is_none_or(|relation| self.through(relation).into_iter().any(calls)))
    }

    /// Whether a view reads something of the same database that no statement has: another view that is not there for
    /// agents.
    fn lacks(&self, view: &Relation) -> bool {
        let mut reads = view.made.iter().flat_map(|made| &made.reads);
        reads.any(|(database, name)| database.is_empty() && self.relation(name).is_none())
    }

    /// How policies call a relation and all that is reached with it.
    pub(super) fn reached(&self, relation: &Relation) -> BTreeSet<String> {
        let through = self.through(relation);
        let reads = through.iter().filter_map(|one| one.made.as_ref());
        let reads = reads.flat_map(|made| &made.reads).map(|table| self.shown(table));
        through.iter().map(|one| one.name.clone()).chain(reads).collect()
    }

    /// The columns that are read with a view, as `table.column`.
    pub(super) fn used(&self, relation: &Relation) -> BTreeSet<String> {
        let through = self.through(relation);
        let made = through.iter().filter_map(|one| one.made.as_ref());
        let uses = made.flat_map(|made| &made.uses);
        uses.map(|(table, column)| format!("{}.{column}", self.shown(table)))
            .collect()
    }

    fn shown(&self, (database, name): &Table) -> String {
        match database.is_empty() {
            true => self
                .relation(name)
                .map_or_else(|| name.clone(), |relation| relation.name.clone()),
            false => format!("{database}.{name}"),
        }
    }
}
