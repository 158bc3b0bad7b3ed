//! Whether the mere success of a change could tell something of a classified value, and whether it runs what
//! nobody has listed.
//!
//! Every rule looks at the catalogue alone, never at data, and prefers to say yes: then people approve before
//! anything is tried.

use std::collections::BTreeSet;

use super::anatomy::{Anatomy, Columns, Index, Key, Table, Trigger};
use super::catalog::{Catalog, Relation, RelationKind};
use super::{MaskStyle, Spec};

/// What happens to rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// New rows with values for these columns; the others are as they are by themselves.
    Insert(Columns),
    /// Other values in these columns.
    Update(Columns),
    Delete,
}

/// A change with all that follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Tables whose rows it may change.
    pub(super) written: BTreeSet<u32>,
    /// Whether it could tell.
    pub(super) tells: bool,
    /// What it would run, change or look at that is not available here; for the operator.
    pub(super) barred: Option<String>,
    /// Whether triggers run, so that other tables may be changed as well.
    pub(super) triggers: bool,
    /// Tables that are named in the texts of these.
    pub(super) named: BTreeSet<u32>,
}

/// What does something to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Statement,
    Key,
    /// Perhaps.
    Trigger,
}

type Next = (u32, Deed, By);

/// The database around a change.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) anatomy: &'a Anatomy,
    pub(super) catalog: &'a Catalog,
    pub(super) spec: &'a Spec,
}

impl Around<'_> {
    /// What comes of doing this to that table.
    pub(super) fn reach(&self, table: u32, deeds: Vec<Deed>) -> Reach {
        let mut reach = Reach::default();
        let mut done = BTreeSet::new();
        let mut open: Vec<Next> = Vec::new();
        open.extend(deeds.into_iter().map(|deed| (table, deed, By::Statement)));
        while let Some((family, deed, by)) = open.pop() {
            for table in self.anatomy.family(family) {
                let deed = self.moved(&deed, family, table);
                if done.insert((table, deed.clone(), by)) {
                    self.one((table, &deed, by), &mut reach, &mut open);
                }
            }
        }
        reach
    }

    /// The same done to a part, or to what it is a part of.
    fn moved(&self, deed: &Deed, from: u32, to: u32) -> Deed {
        match deed {
            Deed::Insert(columns) => Deed::Insert(self.anatomy.moved(columns, from, to)),
            Deed::Update(columns) => Deed::Update(self.anatomy.moved(columns, from, to)),
            Deed::Delete => Deed::Delete,
        }
    }

    fn one(&self, (oid, deed, by): (u32, &Deed, By), reach: &mut Reach, open: &mut Vec<Next>) {
        let Some(table) = self.anatomy.tables.get(&oid) else {
            reach
                .barred
                .get_or_insert(format!("a table {oid} of which nothing is known"));
            return;
        };
        reach.tells |= self.tells(oid, table, deed);
        let run = table.triggers.iter().filter(|trigger| trigger.runs_for(deed));
        for trigger in run {
            reach.triggers = true;
            let named = self.named(trigger);
            for other in named
                .iter()
                .filter(|other| self.anatomy.tables.contains_key(other))
            {
                // It may do anything to what it names.
                let deeds = [
                    Deed::Insert(self.all(*other)),
                    Deed::Update(self.all(*other)),
                    Deed::Delete,
                ];
                open.extend(deeds.map(|deed| (*other, deed, By::Trigger)));
            }
            reach.named.extend(named);
        }
        let by_key = match by {
            By::Trigger => By::Trigger,
            By::Statement | By::Key => By::Key,
        };
        if by != By::Trigger {
            reach.written.insert(oid);
            let hides = by == By::Key && table.filtered;
            let hidden = || {
                format!(
                    "row-level security hides rows of {}.{} that a key's own work changes",
                    table.schema, table.name
                )
            };
            if let Some(why) = self.barred(table, deed).or_else(|| hides.then(hidden)) {
                reach.barred.get_or_insert(why);
            }
        }
        if let (Deed::Update(_), "p") = (deed, table.kind.as_str()) {
            // A row may move to another part.
            open.extend([Deed::Insert(self.all(oid)), Deed::Delete].map(|deed| (oid, deed, by)));
        }
        // Rows of a part are those of what it is a part of.
        let tables = self.anatomy.tables.keys();
        let own: BTreeSet<u32> = tables
            .filter(|table| self.anatomy.family(**table).contains(&oid))
            .copied()
            .collect();
        for key in &self.anatomy.keys {
            if own.contains(&key.parent) {
                let deed = self.moved(deed, oid, key.parent);
                open.extend(key.follows(&deed).map(|deed| (key.child, deed, by_key)));
            }
        }
    }

    /// Whether a column of tokens is `given` a value of the agent's own choice: the token of that row, which queries
    /// show, says then where else the value is. That is a guess, and guesses are counted or approved.
    pub(super) fn gives_tokens(&self, target: u32, given: &Columns) -> bool {
        let one = |oid: &u32| {
            let given = self.anatomy.moved(given, target, *oid);
            let table = self.anatomy.tables.get(oid);
            let generated = table.into_iter().flat_map(|table| &table.generated);
            let made = generated.filter(|(_, of)| given.contains(of));
            let all: Columns = made.map(|(made, _)| *made).chain(given.iter().copied()).collect();
            let columns = self
                .relation(*oid)
                .into_iter()
                .flat_map(|relation| &relation.columns);
            let mut tokens = columns.filter(|column| matches!(column.class, Some((_, MaskStyle::Token(_)))));
            tokens.any(|column| all.contains(&column.number))
        };
        self.anatomy.family(target).iter().any(one)
    }

    fn all(&self, oid: u32) -> Columns {
        let relation = self.relation(oid);
        let columns = relation
            .map(|relation| relation.columns.as_slice())
            .unwrap_or_default();
        columns.iter().map(|column| column.number).collect()
    }

    /// The tables whose names are in a trigger's text.
    fn named(&self, trigger: &Trigger) -> BTreeSet<u32> {
        let words = words(trigger.body.as_deref().unwrap_or_default());
        let relations = self.catalog.relations.values();
        let tables =
            relations.filter(|one| matches!(one.kind, RelationKind::Table | RelationKind::Partitioned));
        let named = tables.filter(|relation| words.contains(&relation.name.to_lowercase()));
        named.map(|relation| relation.oid).collect()
    }

    /// What of a table's own is not available, whatever is done to it.
    pub(super) fn barred_at(&self, oid: u32) -> Option<String> {
        let Some(table) = self.anatomy.tables.get(&oid) else {
            return Some("nothing is known of it".to_owned());
        };
        let deeds = [
            Deed::Insert(Columns::new()),
            Deed::Update(Columns::new()),
            Deed::Delete,
        ];
        deeds.iter().find_map(|deed| self.barred(table, deed))
    }

    fn barred(&self, table: &Table, deed: &Deed) -> Option<String> {
        let name = format!("{}.{}", table.schema, table.name);
        if table.ruled {
            return Some(format!("{name} has rules"));
        }
        if table.kind == "f" {
            return Some(format!(
                "{name} is a foreign table: what it does elsewhere is not undone"
            ));
        }
        let unlisted = |function: &&String| {
            !function.starts_with("pg_catalog.") && !self.spec.functions.contains(*function)
        };
        let mut run = table.triggers.iter().filter(|trigger| trigger.runs_for(deed));
        if let Some(trigger) = run.find(|trigger| unlisted(&&trigger.function)) {
            let function = &trigger.function;
            return Some(format!(
                "a trigger of {name} runs {function}, which `functions` does not list"
            ));
        }
        let function = table.calls.iter().find(unlisted)?;
        Some(format!(
            "a default, check, index, policy, domain or condition of {name} runs {function}, which `functions` does not list"
        ))
    }

    fn tells(&self, oid: u32, table: &Table, deed: &Deed) -> bool {
        let by_trigger = |trigger: &Trigger| trigger.runs_for(deed) && self.trigger_tells(oid, trigger);
        let by_policy = table.filtered
            && (table
                .policies
                .iter()
                .any(|(of, column)| self.policy_hides(*of, *column))
                || !table.calls.is_empty());
        let mut texts = table.texts.iter();
        table.triggers.iter().any(by_trigger)
            || by_policy
            || texts.any(|(function, text)| self.text_tells(function, text))
            || match deed {
                Deed::Insert(listed) => self.insert_tells(oid, table, listed),
                Deed::Update(written) => self.update_tells(oid, table, written),
                Deed::Delete => false,
            }
            || self.keys_tell(oid, table, deed)
    }

    fn insert_tells(&self, oid: u32, table: &Table, listed: &Columns) -> bool {
        let mut refusing = table.indexes.iter().filter(|index| index.refuses);
        refusing.any(|index| index.is_given(table, listed) && self.hides_any_of(oid, &index.columns))
    }

    fn update_tells(&self, oid: u32, table: &Table, written: &Columns) -> bool {
        let touched = |columns: &[i16]| columns.iter().any(|column| written.contains(column));
        let by_index = |index: &Index| {
            (index.computes || index.refuses && touched(&index.columns))
                && self.hides_any_of(oid, &index.columns)
        };
        let by_check = |(columns, valid): &(Vec<i16>, bool)| {
            (touched(columns) || !valid || columns.is_empty()) && self.hides_any_of(oid, columns)
        };
        // A generated column that is made of a written and of a classified one.
        let by_generated = |(made, of): &(i16, i16)| {
            let mut sources = table.generated.iter().filter(|(other, _)| other == made);
            written.contains(of) && sources.any(|(_, source)| self.hides(oid, *source))
        };
        table.indexes.iter().any(by_index)
            || table.checks.iter().any(by_check)
            || table.generated.iter().any(by_generated)
    }

    fn keys_tell(&self, oid: u32, table: &Table, deed: &Deed) -> bool {
        let mut keys = self.anatomy.keys.iter();
        keys.any(|key| {
            let refers = key.child == oid
                && match deed {
                    Deed::Insert(listed) => key
                        .from
                        .iter()
                        .all(|column| listed.contains(column) || table.filled.contains(column)),
                    Deed::Update(written) => key.from.iter().any(|column| written.contains(column)),
                    Deed::Delete => false,
                };
            let referred = self.anatomy.family(key.parent).contains(&oid)
                && match &self.moved(deed, oid, key.parent) {
                    Deed::Insert(_) => false,
                    Deed::Update(written) => key.to.iter().any(|column| written.contains(column)),
                    Deed::Delete => true,
                };
            (refers || referred) && self.key_hides(key)
        })
    }

    fn key_hides(&self, key: &Key) -> bool {
        self.hides_any_of(key.child, &key.from) || self.hides_any_of(key.parent, &key.to)
    }

    /// What a listed function reads beside its row is the operator's word; but if its text has the name of anything
    /// classified, or makes a statement of a text, that word is not taken for it.
    fn trigger_tells(&self, oid: u32, trigger: &Trigger) -> bool {
        let relation = self.relation(oid);
        if relation.is_none_or(|relation| relation.columns.iter().any(|column| column.class.is_some())) {
            return true; // it is given the whole row
        }
        if trigger.function.starts_with("pg_catalog.") {
            return false; // the server's own look at nothing else
        }
        let body = trigger.body.as_deref();
        body.is_none_or(|body| self.text_tells(&trigger.function, body))
    }

    fn text_tells(&self, function: &str, body: &str) -> bool {
        let words = words(body);
        let classified = |relation: &Relation| {
            let mut columns = relation.columns.iter().filter(|column| column.class.is_some());
            let named = words.contains(&relation.name.to_lowercase());
            columns.any(|column| named || words.contains(&column.name.to_lowercase()))
        };
        let mut functions = self.catalog.functions.keys();
        words.contains("execute")
            || self.catalog.relations.values().any(classified)
            || functions.any(|(schema, name)| {
                let own = schema != "pg_catalog" && format!("{schema}.{name}") != function;
                (own || reads_by_name(name)) && words.contains(&name.to_lowercase())
            })
    }

    fn relation(&self, oid: u32) -> Option<&Relation> {
        self.catalog
            .relations
            .values()
            .find(|relation| relation.oid == oid)
    }

    /// A column nobody knows is classified.
    fn hides(&self, oid: u32, column: i16) -> bool {
        let relation = self.relation(oid);
        let columns = relation
            .map(|relation| relation.columns.as_slice())
            .unwrap_or_default();
        let known = columns.iter().find(|known| known.number == column);
        known.is_none_or(|column| column.class.is_some())
    }

    fn hides_any_of(&self, oid: u32, columns: &[i16]) -> bool {
        columns.iter().any(|column| self.hides(oid, *column))
            || columns.is_empty() && self.relation(oid).is_none_or(Self::has_hidden)
    }

    fn has_hidden(relation: &Relation) -> bool {
        relation.columns.iter().any(|column| column.class.is_some())
    }

    /// Column 0 is the whole row, or a mere name.
    fn policy_hides(&self, oid: u32, column: i16) -> bool {
        match column {
            0 => self.relation(oid).is_none_or(Self::has_hidden),
            column => self.hides(oid, column),
        }
    }
}

/// Functions of the server's own that read what a text names.
fn reads_by_name(name: &str) -> bool {
    name.ends_with("_to_xml")
        || name.ends_with("_to_xmlschema")
        || name.starts_with("pg_read_")
        || name == "ts_stat"
}

impl Trigger {
    fn runs_for(&self, deed: &Deed) -> bool {
        let [insert, update, delete] = self.on;
        match deed {
            Deed::Insert(_) => insert,
            Deed::Update(_) => update,
            Deed::Delete => delete,
        }
    }
}

impl Index {
    /// Whether a row that gives `listed` has a value for each of its columns: NULL is in nobody's way, mostly.
    fn is_given(&self, table: &Table, listed: &Columns) -> bool {
        let given = |column: &i16| listed.contains(column) || table.filled.contains(column);
        self.computes || self.nulls || self.columns.iter().all(given)
    }
}

impl Key {
    /// What becomes of the children.
    fn follows(&self, deed: &Deed) -> Option<Deed> {
        let to_children = || self.from.iter().copied().collect();
        match (deed, self.on_update.as_str(), self.on_delete.as_str()) {
            (Deed::Delete, _, "c") => Some(Deed::Delete),
            (Deed::Delete, _, "n" | "d") => Some(Deed::Update(to_children())),
            (Deed::Update(written), "c" | "n" | "d", _) if self.to.iter().any(|to| written.contains(to)) => {
                Some(Deed::Update(to_children()))
            }
            _ => None,
        }
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
