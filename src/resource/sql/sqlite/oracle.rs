//! Whether the mere success of a change could tell something of a classified value.
//!
//! Every rule looks at the schema alone, never at data, and prefers to say yes: then people approve
//! before anything is tried.

use std::collections::BTreeSet;

use super::anatomy::{self, Anatomy, Index, Table};
use super::catalog::Catalog;
use super::text::change::{self, Definition, Step};
use super::warden::Written;
use super::writer::Prepared;
use crate::resource::sql::MaskStyle;

/// The schema, with what of it is classified.
pub(super) struct Oracle<'a> {
    pub(super) anatomy: &'a Anatomy,
    pub(super) catalog: &'a Catalog,
}

impl Oracle<'_> {
    /// Whether a data change could tell.
    pub(super) fn of_change(&self, prepared: &Prepared) -> bool {
        let target = prepared.change.target.to_ascii_lowercase();
        let read = prepared.told.read_by_code.iter();
        let by_code = read.filter(|(_, column)| !column.is_empty());
        if by_code
            .into_iter()
            .any(|(table, column)| self.hides(table, column))
        {
            return true;
        }
        // What the program may write and nobody announced may be written in every way.
        let unannounced = prepared
            .reach
            .iter()
            .any(|table| !prepared.told.written.contains_key(table) && self.hides_any(table));
        unannounced
            || prepared.told.written.iter().any(|(table, written)| {
                let listed = prepared.change.columns.as_ref().filter(|_| *table == target);
                let replaces = (prepared.change.replaces && *table == target) || self.replaces(table);
                let deletes = written.deletes || replaces;
                self.gives_tokens(table, written, listed)
                    || (written.inserts && self.insert_tells(table, listed))
                    || (deletes && self.delete_tells(table))
                    || (!written.updates.is_empty() && self.update_tells(table, written))
            })
    }

    /// Whether a column of tokens is given a value of the agent's own choice: the token of that row, which queries show,
    /// says then where else the value is. That is a guess, and guesses are counted or approved.
    fn gives_tokens(&self, table: &str, written: &Written, listed: Option<&BTreeSet<String>>) -> bool {
        let relation = self.catalog.relations.get(table);
        let columns = relation
            .map(|relation| relation.columns.as_slice())
            .unwrap_or_default();
        let mut tokens = columns
            .iter()
            .filter(|column| matches!(column.class, Some((_, MaskStyle::Token(_)))));
        tokens.any(|column| {
            let name = column.name.to_ascii_lowercase();
            let stored = self
                .anatomy
                .tables
                .get(table)
                .and_then(|stored| stored.column(&name));
            let generated = stored.is_none_or(|column| column.generated);
            let named = generated || listed.is_none_or(|listed| listed.contains(&name));
            written.inserts && named || written.updates.contains(&name)
        })
    }

    /// Whether the schema itself, or a trigger, may let rows go that are in the way of others.
    fn replaces(&self, table: &str) -> bool {
        let says = |sql: &str, words: &[&str]| {
            change::words_of(sql).is_none_or(|found| words.iter().all(|word| found.contains(*word)))
        };
        let stored = self.anatomy.tables.get(table);
        let mut triggers = self.anatomy.triggers.iter();
        stored.is_none_or(|stored| says(&stored.sql, &["conflict", "replace"]))
            || triggers.any(|(_, sql)| says(sql, &["replace"]))
    }

    /// Whether a schema change could tell: it looks at the rows that are there.
    pub(super) fn of_definition(&self, definition: &Definition, table: Option<&str>) -> bool {
        let hidden_words = |table: &str| self.hides_one_of(table, Some(&definition.words));
        match (definition.verb, definition.object, &definition.step) {
            ("create", "index", _) => table.is_none_or(hidden_words),
            ("drop", "table", _) => table.is_none_or(|table| {
                self.anatomy
                    .below(table)
                    .iter()
                    .any(|table| self.delete_tells(table))
            }),
            ("alter", _, Some(Step::Add(_))) => {
                let looks = ["check", "null", "unique", "references"];
                looks.iter().any(|word| definition.words.contains(*word))
                    && table.is_none_or(|table| self.hides_any(table))
            }
            _ => false,
        }
    }

    /// A column nobody knows is classified.
    fn hides(&self, table: &str, column: &str) -> bool {
        let relation = self.catalog.relations.get(table);
        let columns = relation
            .map(|relation| relation.columns.as_slice())
            .unwrap_or_default();
        let known = columns
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(column));
        known.is_none_or(|column| column.class.is_some())
    }

    fn hides_any(&self, table: &str) -> bool {
        let relation = self.catalog.relations.get(table);
        relation.is_none_or(|relation| relation.columns.iter().any(|column| column.class.is_some()))
    }

    /// A word for the rowid names the column that is another name of it.
    fn hides_one_of(&self, table: &str, words: Option<&BTreeSet<String>>) -> bool {
        let relation = self.catalog.relations.get(table);
        let columns = relation.map(|relation| relation.columns.as_slice());
        match (words, columns) {
            (Some(words), Some(columns)) => {
                let by_rowid = words.iter().any(|word| anatomy::names_rowid(word)) && self.hides_rowid(table);
                let named = |name: &str| words.contains(&name.to_ascii_lowercase());
                let mut columns = columns.iter();
                by_rowid || columns.any(|column| column.class.is_some() && named(&column.name))
            }
            _ => self.hides_any(table),
        }
    }

    fn hides_rowid(&self, table: &str) -> bool {
        let stored = self.anatomy.tables.get(table);
        let alias = stored.map(Table::rowid_alias);
        alias.is_none_or(|alias| alias.is_some_and(|alias| self.hides(table, &alias.name)))
    }

    fn index_hides(&self, table: &str, index: &Index) -> bool {
        let columns = index.columns.iter().flatten();
        columns.into_iter().any(|column| self.hides(table, column))
            || ((index.partial || index.columns.contains(&None))
                && self.hides_one_of(table, change::words_of(&index.sql).as_ref()))
    }

    /// `listed`: the columns it names; without a list, all of them.
    fn insert_tells(&self, table: &str, listed: Option<&BTreeSet<String>>) -> bool {
        let Some(stored) = self.anatomy.tables.get(table) else {
            return true;
        };
        // NULL is never equal to anything, so a column that stays NULL can neither conflict nor refer.
        let given = |column: &str| {
            let named = listed.is_none_or(|listed| listed.contains(column));
            let known = stored.column(column);
            named || known.is_none_or(|known| known.default.is_some() || known.generated)
        };
        let conflicts =
            |index: &&Index| index.unique && index.columns.iter().flatten().all(|column| given(column));
        stored
            .indexes
            .iter()
            .filter(conflicts)
            .any(|index| self.index_hides(table, index))
            || stored.rowid_alias().is_some_and(|alias| {
                let lower = alias.name.to_ascii_lowercase();
                given(&lower) && self.hides(table, &lower)
            })
            || self.refers(table, &|from| from.iter().all(|column| given(column)))
            || self.checks_rowid(table, stored)
    }

    /// Whether a CHECK looks at a key that the engine gives: the next one tells of the last.
    fn checks_rowid(&self, table: &str, stored: &Table) -> bool {
        let alias = stored.rowid_alias().map(|alias| alias.name.to_ascii_lowercase());
        let is_it = |word: &String| anatomy::names_rowid(word) || alias.as_ref() == Some(word);
        let words = change::words_in_checks(&stored.sql);
        self.hides_rowid(table) && words.is_none_or(|words| words.iter().any(is_it))
    }

    fn update_tells(&self, table: &str, written: &Written) -> bool {
        let Some(stored) = self.anatomy.tables.get(table) else {
            return true;
        };
        let changed = |column: &String| written.updates.contains(column);
        let alias = stored.rowid_alias().map(|alias| alias.name.to_ascii_lowercase());
        let moves =
            |alias: &String| changed(alias) || written.updates.iter().any(|name| anatomy::names_rowid(name));
        alias.is_some_and(|alias| moves(&alias) && self.hides(table, &alias))
            || stored
                .indexes
                .iter()
                .any(|index| self.index_tells(table, index, written))
            || self.check_tells(table, stored, written)
            || (stored.columns.iter().any(|column| column.generated) && self.hides_any(table))
            || self.refers(table, &|from| from.iter().any(changed))
            || self.referred(table, &|to| to.iter().any(changed))
    }

    fn index_tells(&self, table: &str, index: &Index, written: &Written) -> bool {
        let computes = index.partial || index.columns.contains(&None);
        let touched = if computes {
            let words = change::words_of(&index.sql);
            words.is_none_or(|words| !words.is_disjoint(&written.updates))
        } else {
            index.unique
                && index
                    .columns
                    .iter()
                    .flatten()
                    .any(|column| written.updates.contains(column))
        };
        touched && self.index_hides(table, index)
    }

    fn check_tells(&self, table: &str, stored: &Table, written: &Written) -> bool {
        let words = change::words_in_checks(&stored.sql);
        let touched = words
            .as_ref()
            .is_none_or(|words| !words.is_disjoint(&written.updates));
        touched && self.hides_one_of(table, words.as_ref())
    }

    /// A row that is referred to cannot go; whether it is may be classified on either side.
    fn delete_tells(&self, table: &str) -> bool {
        self.referred(table, &|_| true)
    }

    fn refers(&self, table: &str, touched: &dyn Fn(&[String]) -> bool) -> bool {
        let mut keys = self.anatomy.foreign.iter().filter(|key| key.child == table);
        keys.any(|key| touched(&key.from) && self.key_hides(key))
    }

    fn referred(&self, table: &str, touched: &dyn Fn(&[String]) -> bool) -> bool {
        let mut keys = self.anatomy.foreign.iter().filter(|key| key.parent == table);
        keys.any(|key| touched(&key.parent_columns(self.anatomy)) && self.key_hides(key))
    }

    fn key_hides(&self, key: &super::anatomy::Foreign) -> bool {
        key.from.iter().any(|column| self.hides(&key.child, column))
            || key
                .parent_columns(self.anatomy)
                .iter()
                .any(|column| self.hides(&key.parent, column))
    }
}
