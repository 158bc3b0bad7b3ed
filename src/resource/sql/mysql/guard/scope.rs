//! What names stand for: scopes of FROM, outermost first.
//!
//! Masking does not rest on this: it is for policy, and for the rule that a change reads nothing classified. So
//! where it is not certain which relation a name is of, it is of all that it could be of.

use std::collections::BTreeSet;

use super::super::catalog::{Catalog, Relation};

/// Something in a FROM.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// By what its columns are qualified; empty for none.
    pub(super) alias: String,
    /// The relation, by its name in the catalogue; `None` for a subquery, whose own columns were met within it.
    pub(super) relation: Option<String>,
}

/// `relation` and `column`, both as the catalogue spells them.
pub(super) type Columns = BTreeSet<(String, String)>;

/// Scopes of one place in a statement.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    levels: Vec<Vec<Item>>,
    /// Whether a plain name is only of the innermost scope that has it, as for the server.
    pub(super) precise: bool,
}

/// Whether two names could be one to the server, which compares more loosely than by letters.
pub(super) fn alike(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || !one.is_ascii() || !other.is_ascii()
}

impl Scopes {
    pub(super) fn enter(&mut self) {
        self.levels.push(Vec::new());
    }

    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    pub(super) fn add(&mut self, item: Item) {
        if let Some(level) = self.levels.last_mut() {
            level.push(item);
        }
    }

    /// What the outermost scope has first: in a change, the table that is changed.
    pub(super) fn outermost(&self) -> Option<&Item> {
        self.levels.first().and_then(|level| level.first())
    }

    /// The columns that a name could be of. `item` qualifies it.
    pub(super) fn touch(&self, catalog: &Catalog, item: Option<&str>, name: &str, into: &mut Columns) {
        if self.precise && item.is_none() {
            return self.touch_first(catalog, name, into);
        }
        let items = self.levels.iter().flatten();
        let known = items
            .clone()
            .any(|known| item.is_some_and(|item| alike(&known.alias, item)));
        for one in items {
            if known && item.is_some_and(|item| !alike(&one.alias, item)) {
                continue;
            }
            let every = item.is_some() && !known;
            touch_in(catalog, one, into, |column| every || alike(column, name));
        }
    }

    /// The columns of a plain name in the innermost scope that has it; none where a subquery might have it.
    fn touch_first(&self, catalog: &Catalog, name: &str, into: &mut Columns) {
        for level in self.levels.iter().rev() {
            let mut found = Columns::new();
            for item in level {
                touch_in(catalog, item, &mut found, |column| alike(column, name));
            }
            let unknown = level.iter().any(|item| item.relation.is_none());
            if unknown || !found.is_empty() {
                into.extend(found);
                return;
            }
        }
    }

    /// The columns that `*` stands for, or `item.*`.
    pub(super) fn touch_all(&self, catalog: &Catalog, item: Option<&str>, into: &mut Columns) {
        let levels = match item {
            Some(_) => self.levels.as_slice(),
            None => self.levels.last().map_or(&[][..], std::slice::from_ref),
        };
        let items = levels.iter().flatten();
        let known = items
            .clone()
            .any(|known| item.is_some_and(|item| alike(&known.alias, item)));
        for one in items {
            if !known || item.is_none_or(|item| alike(&one.alias, item)) {
                touch_in(catalog, one, into, |_| true);
            }
        }
    }

    /// The columns that the items of the innermost scope have in common: a NATURAL join's.
    pub(super) fn touch_shared(&self, catalog: &Catalog, into: &mut Columns) {
        let items: Vec<&Item> = self.levels.last().into_iter().flatten().collect();
        let unknown = items.iter().any(|item| item.relation.is_none());
        let relations = items
            .iter()
            .filter_map(|item| catalog.relations.get(item.relation.as_ref()?));
        let names: Vec<&str> = relations
            .flat_map(|relation| relation.columns.iter().map(|column| column.name.as_str()))
            .collect();
        for item in &items {
            touch_in(catalog, item, into, |column| {
                unknown || names.iter().filter(|name| alike(name, column)).count() > 1
            });
        }
    }
}

fn touch_in(catalog: &Catalog, item: &Item, into: &mut Columns, is_meant: impl Fn(&str) -> bool) {
    let key = item.relation.as_ref();
    let relation: Option<&Relation> = key.and_then(|key| catalog.relations.get(key));
    for column in relation.into_iter().flat_map(|relation| &relation.columns) {
        if let (true, Some(relation)) = (is_meant(&column.name), relation) {
            into.insert((relation.name.clone(), column.name.clone()));
        }
    }
}
