//! Whether the mere success of a change could tell something of a classified value, and whether it reaches what is
//! not available: what cannot be undone, or not be looked at.
//!
//! Every rule looks at the catalogue alone, never at data, and prefers to say yes: then people approve before
//! anything is tried.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Relation};
use super::ground::{Columns, Ground, Key, Table};
use super::keys;
use crate::resource::sql::MaskStyle;

/// What happens to rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// New rows with values for these columns; the others are as they are by themselves.
    Insert(Columns),
    /// Other values in these columns.
    Update(Columns),
    Delete,
}

/// What a key does to children, for rows of a parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Follow {
    pub(super) parent: String,
    pub(super) child: String,
    /// Of the child, of the parent.
    pub(super) columns: Vec<(String, String)>,
    /// Whether it is deleted rows of the parent that it follows; else updated ones.
    pub(super) of_deleted: bool,
    /// Whether the children are deleted; else they are updated.
    pub(super) deletes: bool,
}

/// A change with all that follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Tables whose rows it may change.
    pub(super) written: BTreeSet<String>,
    /// Whether it could tell.
    pub(super) tells: bool,
    /// What it would run, change or look at that is not available here; for the operator.
    pub(super) barred: Option<String>,
    /// What keys do.
    pub(super) follows: BTreeSet<Follow>,
}

/// The database around a change.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) ground: &'a Ground,
    pub(super) catalog: &'a Catalog,
}

impl Around<'_> {
    /// What comes of doing this to that table.
    pub(super) fn reach(&self, table: &str, deed: Deed) -> Reach {
        let mut reach = Reach::default();
        let mut done = BTreeSet::new();
        let mut open = vec![(table.to_owned(), deed, true)];
        while let Some((name, deed, by_statement)) = open.pop() {
            let deed = self.whole(&name, deed);
            if !done.insert((name.clone(), deed.clone(), by_statement)) {
                continue;
            }
            if let Some(why) = self.barred(&name, &deed, by_statement) {
                reach.barred.get_or_insert(why);
                continue;
            }
            let Some(table) = self.ground.tables.get(&name) else {
                continue; // barred
            };
            reach.tells |= self.tells(&name, table, &deed);
            for key in self.ground.keys.values() {
                let hides = self.key_hides(key);
                reach.tells |= hides && key.child == name && refers(key, table, &deed);
                if key.parent != name || key.leaves || !is_referred(key, &deed) {
                    continue;
                }
                reach.tells |= hides;
                let Some((follow, next)) = follows(key, &deed) else {
                    continue;
                };
                if hides {
                    let why = format!("{} refers to {name} by masked columns, and follows it", key.child);
                    reach.barred.get_or_insert(why);
                }
                reach.follows.insert(follow);
                open.push((key.child.clone(), next, false));
            }
            reach.written.insert(name);
        }
        reach
    }

    /// What of a table is not available.
    fn barred(&self, name: &str, deed: &Deed, by_statement: bool) -> Option<String> {
        let (Some(table), Some(relation)) = (self.ground.tables.get(name), self.catalog.relation(name))
        else {
            return Some(format!("{name} is not a table that agents have"));
        };
        if !table.is_plain() {
            return Some(format!(
                "{name} is {}: what is done to it cannot be undone",
                table.kind
            ));
        }
        if self.ground.is_known_abroad(&self.catalog.database, name) {
            return Some(format!("a table of another database refers to {name}"));
        }
        let (event, written) = match deed {
            Deed::Insert(_) => ("INSERT", None),
            Deed::Update(written) => ("UPDATE", Some(written)),
            Deed::Delete => ("DELETE", None),
        };
        // What follows from a key runs none.
        if by_statement && table.triggers.contains(event) {
            return Some(format!("{name} has a trigger for {event}"));
        }
        if by_statement {
            return None; // its key is looked at with words of their own
        }
        let Some(key) = keys::RowKey::of(relation) else {
            return Some(format!("the rows of {name} cannot be told apart"));
        };
        let moved = written.is_some_and(|written| key.is_given_by(written));
        moved.then(|| format!("rows of {name} would get other primary keys"))
    }

    /// With what is made of the columns that an update gives, of what is made of these, and what the server gives beside.
    fn whole(&self, name: &str, deed: Deed) -> Deed {
        let (Deed::Update(mut written), Some(table)) = (deed.clone(), self.ground.tables.get(name)) else {
            return deed;
        };
        let renewed = table.columns.iter().filter(|(_, column)| column.renewed);
        written.extend(renewed.map(|(name, _)| name.clone()));
        loop {
            let many = written.len();
            for (name, column) in &table.columns {
                let of = column.made_of.as_deref().map(words).unwrap_or_default();
                if !of.is_disjoint(&written) {
                    written.insert(name.clone());
                }
            }
            if written.len() == many {
                return Deed::Update(written);
            }
        }
    }

    /// Whether a column of tokens is given a value of the agent's own choice: the token of that row, which queries show,
    /// says then where else the value is. That is a guess, and guesses are approved. One that is made of others, or that
    /// the table fills by itself in a new row, may be made of what is given.
    fn gives_tokens(&self, name: &str, table: &Table, deed: &Deed) -> bool {
        let given = |name: &String| match deed {
            Deed::Insert(listed) => {
                listed.contains(name) || table.columns.get(name).is_none_or(|known| known.filled)
            }
            Deed::Update(written) => written.contains(name),
            Deed::Delete => false,
        };
        let relation = self.catalog.relation(name);
        let mut columns = relation.into_iter().flat_map(|relation| &relation.columns);
        columns.any(|column| {
            matches!(column.class, Some((_, MaskStyle::Token(_)))) && given(&column.name.to_lowercase())
        })
    }

    fn tells(&self, name: &str, table: &Table, deed: &Deed) -> bool {
        if self.gives_tokens(name, table, deed) {
            return true;
        }
        match deed {
            Deed::Insert(listed) => {
                let given = |column: &String| {
                    listed.contains(column) || table.columns.get(column).is_none_or(|known| known.filled)
                };
                let mut uniques = table.uniques.values();
                uniques.any(|unique| unique.iter().all(given) && self.hides_any(name, unique))
            }
            Deed::Update(written) => {
                let mut uniques = table.uniques.values();
                let by_unique =
                    uniques.any(|unique| !unique.is_disjoint(written) && self.hides_any(name, unique));
                let mut checks = table.checks.values();
                let by_check = checks.any(|check| self.hides_any(name, &words(check)));
                // The server makes all of them anew, also where nothing that they are made of is given; a row may be
                // there that could not be made now.
                let mut made = table
                    .columns
                    .values()
                    .filter_map(|column| column.made_of.as_deref());
                let by_made = made.any(|text| self.hides_any(name, &words(text)));
                // It stays as it is where the row already has the values that it is given.
                let by_time = table.columns.values().any(|column| column.renewed);
                by_unique || by_check || by_made || by_time && self.hides_any(name, written)
            }
            Deed::Delete => false,
        }
    }

    fn key_hides(&self, key: &Key) -> bool {
        let mut columns = key.columns.iter();
        columns.any(|(of, to)| self.hides(&key.child, of) || key.leaves || self.hides(&key.parent, to))
    }

    /// Whether any of these words is a classified column of the table.
    fn hides_any(&self, table: &str, words: &Columns) -> bool {
        let relation = self.catalog.relation(table);
        relation.is_none_or(|relation| {
            let mut columns = relation.columns.iter().filter(|column| column.class.is_some());
            columns.any(|column| words.contains(&column.name.to_lowercase()))
        })
    }

    /// A column nobody knows is classified.
    fn hides(&self, table: &str, column: &str) -> bool {
        let relation: Option<&Relation> = self.catalog.relation(table);
        let mut columns = relation.into_iter().flat_map(|relation| &relation.columns);
        let known = columns.find(|known| known.name.to_lowercase() == column);
        known.is_none_or(|column| column.class.is_some())
    }
}

/// Whether the change gives a child something that has to be there.
fn refers(key: &Key, table: &Table, deed: &Deed) -> bool {
    let mut columns = key.columns.iter().map(|(of, _)| of);
    match deed {
        Deed::Insert(listed) => columns.all(|column| {
            listed.contains(column) || table.columns.get(column).is_none_or(|known| known.filled)
        }),
        Deed::Update(written) => columns.any(|column| written.contains(column)),
        Deed::Delete => false,
    }
}

/// Whether the change takes away what a child may refer to.
fn is_referred(key: &Key, deed: &Deed) -> bool {
    match deed {
        Deed::Insert(_) => false,
        Deed::Update(written) => key.columns.iter().any(|(_, to)| written.contains(to)),
        Deed::Delete => true,
    }
}

/// What becomes of the children; nothing where they stand in the way.
fn follows(key: &Key, deed: &Deed) -> Option<(Follow, Deed)> {
    let of_deleted = *deed == Deed::Delete;
    let rule = if of_deleted {
        &key.on_delete
    } else {
        &key.on_update
    };
    let deletes = match rule.as_str() {
        "CASCADE" => of_deleted,
        "RESTRICT" | "NO ACTION" => return None,
        _ => false, // SET NULL, SET DEFAULT, and what nobody has thought of
    };
    let follow = Follow {
        parent: key.parent.clone(),
        child: key.child.clone(),
        columns: key.columns.clone(),
        of_deleted,
        deletes,
    };
    let next = match deletes {
        true => Deed::Delete,
        false => Deed::Update(key.columns.iter().map(|(of, _)| of.clone()).collect()),
    };
    Some((follow, next))
}

/// The words of an expression, as the server writes it, lower case; names in backticks are words.
fn words(text: &str) -> Columns {
    let quoted = text.split('`').skip(1).step_by(2);
    let plain = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    let all = quoted.chain(plain).filter(|word| !word.is_empty());
    all.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_expression_are_found_however_they_are_written() {
        let found = words("`b al`>=level and (lower(`Ssn`) <> 'x')");
        for word in ["b al", "level", "ssn", "lower"] {
            assert!(found.contains(word), "{word}: {found:?}");
        }
    }

    #[test]
    fn a_rule_that_nobody_knows_is_taken_for_one_that_writes() {
        let key = Key {
            child: "lines".to_owned(),
            parent: "orders".to_owned(),
            columns: vec![("order_id".to_owned(), "id".to_owned())],
            on_delete: "SET SOMETHING".to_owned(),
            on_update: "RESTRICT".to_owned(),
            leaves: false,
        };
        let (follow, next) = follows(&key, &Deed::Delete).unwrap();
        assert!(!follow.deletes && matches!(next, Deed::Update(_)));
        assert!(follows(&key, &Deed::Update(Columns::from(["id".to_owned()]))).is_none());
    }
}
