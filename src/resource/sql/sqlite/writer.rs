//! A connection for one change: masking views as for queries, the target's real table, and the whole
//! schema. It is opened for a call and closed with it; no query is ever given one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::anatomy::{self, Anatomy};
use super::bytecode::{self, Unfit};
use super::catalog::{Kind, Relation};
use super::check::{self, Checked};
use super::guard::{Denial, Mode};
use super::link::{Access, Key, Link};
use super::masks;
use super::pool::Pool;
use super::refusals;
use super::text::{
    self, Shape,
    change::{Change, Verb},
    refused,
};
use super::warden::{Scope, Told, Warden};
use super::watch::Watch;
use crate::call::request::Parameters;
use crate::call::{ClassifiedColumn, Refusal};
use crate::resource::sql::tokens::holds_token;

/// A connection for one change.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) link: Link,
    pub(super) anatomy: Anatomy,
    warden: Arc<Warden>,
}

/// A data change, fit to be made.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) change: Change,
    pub(super) checked: Checked,
    pub(super) told: Told,
    /// Tables whose rows it may change, lower case.
    pub(super) reach: BTreeSet<String>,
}

impl Writer {
    /// Opens the file as the pool knows it.
    ///
    /// # Errors
    /// `target_failed` when it cannot be read.
    pub(super) fn open(pool: &Pool, access: Access) -> Result<Self, Refusal> {
        let key = Key {
            reveal: BTreeSet::new(),
            // A change is planned once: without the indexes that tell the order of masked values.
            unordered: true,
            session: String::new(), // nothing masked is read
        };
        let link = pool.open_for(key, access)?;
        let warden = Warden::new();
        let asked = Arc::clone(&warden);
        let set = link
            .conn
            .authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
                asked.authorize(context)
            }));
        set.map_err(|_| Refusal::internal("sqlite: no authorizer"))?;
        let anatomy = Anatomy::read(&link.conn, &link.schema);
        let anatomy = anatomy.map_err(super::pool::unreadable)?;
        Ok(Self {
            link,
            anatomy,
            warden,
        })
    }

    /// From here on the statements are ours.
    pub(super) fn ours(&self) {
        self.warden.enter(Mode::Ours);
    }

    /// From here on the statements are the agent's.
    pub(super) fn theirs(&self) {
        self.warden.enter(Mode::Agent);
    }

    /// Reads and prepares a data change behind both locks.
    ///
    /// # Errors
    /// `statement_refused`, or what ended the preparation.
    pub(super) fn prepare(&mut self, statement: &str, watch: &Watch) -> Result<Prepared, Refusal> {
        let shape = text::read(statement).map_err(one_change)?;
        check::reserved_names(&shape)?;
        let change = text::change::read(statement)?;
        let lower = change.target.to_ascii_lowercase();
        let relation = self.target(&change, &shape)?;
        if let Some(main) = self.names_main() {
            return Err(main);
        }
        let known = |name: &str| {
            relation
                .columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(name))
        };
        let mut listed = change.columns.iter().flatten();
        if listed.any(|name| anatomy::names_rowid(name) && !known(name)) {
            return Err(refusals::no_relation(&change.target, &shape)); // as for reading it
        }
        let hidden = hidden(&relation, &BTreeSet::new());
        self.allow(&relation, &change, hidden.clone())?;
        let columns: Vec<String> = relation
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let rewritten = change.rewritten(statement, &self.link.schema, &columns, &hidden)?;
        let mut told = self.ask(&rewritten.text, &shape, watch)?;
        let mut reach = self.verify(&rewritten.text, &told, watch, &shape)?;
        reach.remove("sqlite_sequence");
        for table in &reach {
            if !self.is_exposed_table(table) {
                return Err(out_of_reach());
            }
        }
        let seen = std::mem::take(&mut told.seen);
        let checked = check::describe(&self.link, &shape, seen, &bytecode::Opened::default());
        // Whatever is classified and named is read: of the target, that was refused already.
        if let Some(column) = checked.named.first() {
            return Err(writes_a_mask(&column.column));
        }
        let checked = self.with_written(checked, &change, &told, &reach, (&lower, &rewritten.masked));
        Ok(Prepared {
            change,
            checked,
            told,
            reach,
        })
    }

    /// Refuses values that answers show in place of others: a row that was read with masks and is written back
    /// would lose what they hide, and no reviewer could see it, who is shown masks before and after.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn gives_no_masks(
        &self,
        prepared: &Prepared,
        parameters: Option<&Parameters>,
    ) -> Result<(), Refusal> {
        let change = &prepared.change;
        let target = change.target.to_ascii_lowercase();
        let updates = prepared.told.written.get(&target).map(|written| &written.updates);
        let given = |column: &str| {
            let listed = change
                .columns
                .as_ref()
                .is_none_or(|listed| listed.contains(column));
            (change.verb == Verb::Insert && listed) || updates.is_some_and(|names| names.contains(column))
        };
        let classified = self.relation(&target).is_some_and(|relation| {
            let mut columns = relation.columns.iter();
            columns.any(|column| column.class.is_some() && given(&column.name.to_ascii_lowercase()))
        });
        let is_mask = |text: &str| {
            // A column's mask stands alone or before what it shows; a detector's anywhere in a text.
            (classified && text.starts_with(masks::CONSTANT))
                || text.contains("[masked:")
                || holds_token(text)
        };
        let spelled = change.spelled.iter().any(|text| is_mask(text));
        let bound = parameters.is_some_and(|parameters| match parameters {
            Parameters::Positional(values) => values.iter().filter_map(Value::as_str).any(is_mask),
            Parameters::Named(values) => values.values().filter_map(Value::as_str).any(is_mask),
        });
        match change.verb {
            Verb::Insert | Verb::Update if spelled || bound => Err(gives_a_mask()),
            _ => Ok(()),
        }
    }

    /// The statement as it runs for somebody who is shown `reveal`.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub(super) fn revealing(
        &self,
        statement: &str,
        prepared: &Prepared,
        reveal: &BTreeSet<String>,
    ) -> Result<String, Refusal> {
        let relation = self.relation(&prepared.change.target).ok_or_else(out_of_reach)?;
        let hidden = hidden(relation, reveal);
        self.ours();
        self.allow(relation, &prepared.change, hidden.clone())?;
        let columns: Vec<String> = relation
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let rewritten = prepared
            .change
            .rewritten(statement, &self.link.schema, &columns, &hidden)?;
        Ok(rewritten.text)
    }

    fn relation(&self, name: &str) -> Option<&Relation> {
        self.link.catalog.relations.get(&name.to_ascii_lowercase())
    }

    fn is_exposed_table(&self, lower: &str) -> bool {
        let relation = self.link.catalog.relations.get(lower);
        relation.is_some_and(|relation| matches!(relation.kind, Kind::Table(_)))
    }

    fn target(&self, change: &Change, shape: &Shape) -> Result<Relation, Refusal> {
        match self.relation(&change.target) {
            None => Err(refusals::no_relation(&change.target, shape)),
            Some(relation) if matches!(relation.kind, Kind::View(_)) => Err(refused(
                "It is a view; only tables are changed here.",
                "Change the tables it is made of.",
            )),
            Some(relation) => Ok(relation.clone()),
        }
    }

    /// The file is attached under another name than `main`, so such a trigger would not exist here.
    fn names_main(&self) -> Option<Refusal> {
        let mut texts = self.anatomy.triggers.iter().map(|(_, sql)| sql);
        let named = texts.any(|sql| text::change::words_of(sql).is_none_or(|words| words.contains("main")));
        named.then(|| out_of_reach().detail("a trigger of the database names its schema as `main`"))
    }

    fn allow(&self, relation: &Relation, change: &Change, hidden: BTreeSet<String>) -> Result<(), Refusal> {
        let rules = self.link.reading_rules();
        let rules = rules.map_err(|_| Refusal::internal("sqlite: no module list"))?;
        let code = self.anatomy.code.iter();
        self.warden.allow(Scope {
            rules,
            target: relation.name.to_ascii_lowercase(),
            hidden,
            columns: relation
                .columns
                .iter()
                .map(|column| column.name.to_ascii_lowercase())
                .collect(),
            related: self.anatomy.related(),
            code: code
                .filter(|name| !change.spelled.contains(*name))
                .cloned()
                .collect(),
        });
        Ok(())
    }

    /// The first lock.
    fn ask(&self, text: &str, shape: &Shape, watch: &Watch) -> Result<Told, Refusal> {
        self.theirs();
        let prepared = self.link.conn.prepare(text);
        let told = self.warden.told();
        let explains = match &prepared {
            Ok(prepared) => prepared.is_explain() != 0 || prepared.readonly(),
            Err(_) => false,
        };
        let outcome = prepared.map(drop);
        self.ours();
        if let Some(column) = &told.hidden {
            return Err(reads_hidden(column, shape));
        }
        match outcome {
            Err(error) => Err(self.unprepared(&error, &told, shape, watch)),
            Ok(()) if explains => Err(not_a_change()),
            Ok(()) => Ok(told),
        }
    }

    fn unprepared(&self, error: &rusqlite::Error, told: &Told, shape: &Shape, watch: &Watch) -> Refusal {
        match &told.seen.denial {
            Some(Denial::Change | Denial::Engine) => out_of_reach(),
            _ => one_change(refusals::preparing(
                error,
                &told.seen,
                shape,
                &self.link.catalog,
                watch,
            )),
        }
    }

    /// The second lock, and which tables the program may write.
    fn verify(
        &self,
        text: &str,
        told: &Told,
        watch: &Watch,
        shape: &Shape,
    ) -> Result<BTreeSet<String>, Refusal> {
        let related = self.anatomy.related();
        let code = told.read_by_code.iter().map(|(table, _)| table);
        let open: BTreeSet<&str> = related
            .iter()
            .chain(told.written.keys())
            .chain(code)
            .map(String::as_str)
            .collect();
        self.theirs();
        let reach = bytecode::verify_change(
            &self.link.conn,
            text,
            &self.link.catalog,
            &self.anatomy.roots,
            &open,
        );
        self.ours();
        reach.map_err(|unfit| match unfit {
            Unfit::Engine(error) => self.unprepared(&error, told, shape, watch),
            Unfit::Program(what) => out_of_reach().detail(what),
        })
    }

    /// Adds what is written to what was read.
    fn with_written(
        &self,
        mut checked: Checked,
        change: &Change,
        told: &Told,
        reach: &BTreeSet<String>,
        (target, masked): (&str, &BTreeSet<String>),
    ) -> Checked {
        let facts = &mut checked.facts;
        change.kind.clone_into(&mut facts.kind);
        for lower in reach.iter().map(String::as_str).chain([target]) {
            let Some(relation) = self.link.catalog.relations.get(lower) else {
                continue;
            };
            facts.tables.insert(relation.name.clone());
            checked.classified.extend(relation.classified());
            let updates = told.written.get(lower).map(|written| &written.updates);
            let listed = change.columns.as_ref().filter(|_| lower == target);
            for column in &relation.columns {
                let name = column.name.to_ascii_lowercase();
                let returned = lower == target && masked.contains(&name);
                let touched = updates.is_some_and(|names| names.contains(&name))
                    || listed.is_some_and(|names| names.contains(&name));
                if touched || returned {
                    facts.columns.insert(relation.path(column));
                }
                if let (true, Some((class, _))) = (returned, &column.class) {
                    checked.named.insert(ClassifiedColumn {
                        class: class.clone(),
                        column: relation.path(column),
                    });
                }
            }
        }
        let restricted = change.restricts_by.as_ref();
        facts.has_where = restricted.is_some();
        facts.irreversible = change.columns_restricting(self.relation(&change.target)) == Some(false);
        checked
    }
}

impl Change {
    /// Whether an UPDATE or DELETE is restricted by a column of its target; `None` for an INSERT.
    /// `WHERE 1` restricts nothing.
    fn columns_restricting(&self, relation: Option<&Relation>) -> Option<bool> {
        if self.verb == Verb::Insert {
            return None;
        }
        let words = self.restricts_by.as_ref();
        let columns = relation
            .map(|relation| relation.columns.as_slice())
            .unwrap_or_default();
        Some(words.is_some_and(|words| {
            columns
                .iter()
                .any(|column| words.contains(&column.name.to_ascii_lowercase()))
        }))
    }
}

/// Lower-case columns of a relation that somebody who is shown `reveal` does not see raw.
fn hidden(relation: &Relation, reveal: &BTreeSet<String>) -> BTreeSet<String> {
    let hides = relation
        .columns
        .iter()
        .filter(|column| relation.hides(column, reveal));
    hides.map(|column| column.name.to_ascii_lowercase()).collect()
}

/// Words about one SELECT, said of a change.
pub(super) fn one_change(mut refusal: Refusal) -> Refusal {
    if refusal.suggestion.starts_with("Send one SELECT") {
        "Send one INSERT, UPDATE, DELETE or schema change per call.".clone_into(&mut refusal.suggestion);
    }
    refusal
}

fn not_a_change() -> Refusal {
    Refusal::new(
        crate::call::Code::WrongTool,
        "The statement changes nothing.",
        "Use sql_query to read.",
    )
}

fn reads_hidden(column: &str, shape: &Shape) -> Refusal {
    let written = shape.words.get(column).map_or("a masked column", String::as_str);
    refused(
        format!(
            "The statement reads `{written}`, which is masked: a change cannot depend on a masked value."
        ),
        "Name the rows by columns that sql_schema shows unmasked. Masked columns may be given new values, and \
         RETURNING gives their masks.",
    )
}

fn writes_a_mask(column: &str) -> Refusal {
    refused(
        format!(
            "The statement reads `{column}`, which is masked here: a mask cannot be written back or decide a change."
        ),
        "Leave that column out, or name the rows by columns that sql_schema shows unmasked.",
    )
}

fn gives_a_mask() -> Refusal {
    refused(
        "A value of the change is a mask, as answers show it in place of a value: writing it would overwrite what it \
         hides.",
        "Give only the columns you have a new value for, and leave the masked ones out.",
    )
}

/// The same words for whatever is in the way, so that they do not tell what it is.
fn out_of_reach() -> Refusal {
    refused(
        "The change reaches something that is not available here.",
        "Change one table that sql_schema shows; if it has triggers that use other things, ask your operator.",
    )
}
