//! What nobody listed, and the beginnings of what is in it.

use std::collections::BTreeSet;

use super::Database;
use super::catalog::{Catalog, Column, Relation, UNLISTED};
use super::guard::Mode;
use super::link::{Key, Link};
use super::masks::quoted;
use super::pool::unreadable;
use crate::call::Refusal;
use crate::resource::sql::unlisted::{CHARACTERS, ROWS, Samples, Unlisted, VALUE};

impl Database {
    /// Every column that nobody listed, in order. `look` reads some rows of each table as well. It is blocking work.
    ///
    /// # Errors
    /// `target_failed`: the file cannot be read.
    pub fn unlisted(&self, look: bool) -> Result<Vec<Unlisted>, Refusal> {
        let catalog = self.pool.current_catalog()?;
        let key = Key {
            reveal: paths(&catalog),
            ..Key::default()
        };
        let link = self.pool.lease(&key)?;
        link.guard.enter(Mode::Ours);
        let mut found = Vec::new();
        for relation in catalog.relations.values() {
            for column in relation.columns.iter().filter(|column| is_unlisted(column)) {
                let samples = match look {
                    true => sampled(&link, relation, column)
                        .map(Samples::of)
                        .unwrap_or_default(),
                    false => Samples::default(),
                };
                found.push(Unlisted {
                    column: relation.path(column),
                    declared_type: column.declared_type.clone(),
                    key: column.primary_key || column.references.is_some(),
                    comment: None,
                    samples,
                });
            }
        }
        if link.version().map_err(unreadable)? != catalog.version {
            return Err(super::pool::schema_changed());
        }
        self.pool.give_back(link);
        found.sort_by(|one, other| one.column.cmp(&other.column));
        Ok(found)
    }
}

fn is_unlisted(column: &Column) -> bool {
    column.class.as_ref().is_some_and(|(class, _)| class == UNLISTED)
}

fn paths(catalog: &Catalog) -> BTreeSet<String> {
    let relations = catalog.relations.values();
    relations
        .flat_map(|relation| {
            let columns = relation.columns.iter().filter(|column| is_unlisted(column));
            columns.map(|column| relation.path(column))
        })
        .collect()
}

/// Some of its values as texts; none if they cannot be read. It goes through the view that agents read, which shows
/// this column here.
fn sampled(link: &Link, relation: &Relation, column: &Column) -> Option<Vec<String>> {
    let name = quoted(&column.name);
    let sql = format!(
        "SELECT CASE WHEN octet_length({name}) <= {VALUE} THEN substr(CAST({name} AS TEXT), 1, {CHARACTERS}) END \
         FROM {} LIMIT {ROWS}",
        quoted(&relation.name)
    );
    let mut statement = link.conn.prepare(&sql).ok()?;
    let values = statement
        .query_map([], |row| row.get::<_, Option<String>>(0))
        .ok()?;
    Some(values.filter_map(|value| value.ok().flatten()).collect()) // what is no text is no name or address either
}
