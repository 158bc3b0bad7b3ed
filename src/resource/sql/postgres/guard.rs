//! The guard: what an agent's statement becomes before anything of it is sent.
//!
//! Bytes, tokens, one statement, a tree of known nodes and fields, names that exist and may be used, masks in
//! the place of relations; then all of it is read again. Without a connection: what the database holds comes
//! in as a [`Catalog`].
//!
//! What it rests on, to be given by whoever sends the text: `standard_conforming_strings` is on, the client's
//! encoding is UTF-8, and the search path is `pg_catalog, pg_temp` for queries, so that no operator, and no
//! name that a scope was mistaken about, is of the database's own.

pub(super) mod functions;
mod change;
mod compared;
mod ddl;
mod derived;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod grammar;
mod json;
mod masks;
mod messages;
mod names;
mod refusals;
mod rewrite;
mod scope;
mod shapes;
mod text;
mod tree;
mod verify;
mod views;
mod walk;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub(super) use ddl::{Definition, Gone, Known, Touch, define, defines};
pub(super) use functions::{FunctionFacts, allowed};
pub(super) use rewrite::Places;
pub(super) use text::template;
pub(super) use verify::Masks;
pub(super) use views::choice;

use super::catalog::{Catalog, Column, Relation};
use crate::call::{Action, ClassifiedColumn, Code, Refusal, SqlFacts};
use crate::resource::sql::tokens::holds_token;
use change::Change;
use rewrite::Written;
use scope::Scopes;
use tree::{Node, Tree};
use walk::{Seen, Walk};

/// Where people find what exists.
const SEE_SCHEMA: &str = "Call sql_schema to see the tables, views and columns you can read.";

/// Refuses a statement with our own words.
fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// What a statement may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One that reads.
    Query,
    /// One that changes.
    Change,
}

/// A statement that may be sent.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// The only text that is ever sent.
    pub(super) sql: String,
    /// For policy.
    pub(super) facts: SqlFacts,
    /// What it really is.
    pub(super) action: Action,
    /// Classified columns of every relation referred to.
    pub(super) classified: BTreeSet<ClassifiedColumn>,
    /// Those it names or shows.
    pub(super) named: BTreeSet<ClassifiedColumn>,
    /// `pg_class.oid` of everything referred to, for the second opinion by the plan.
    pub(super) relations: BTreeSet<u32>,
    /// Columns of those that must not be read: relation and `attnum`.
    pub(super) masked: BTreeSet<(u32, i16)>,
    /// What a change is of.
    pub(super) target: Option<Target>,
    /// Whether a change's mere success could tell of a classified value.
    pub(super) oracle: bool,
    /// The largest `$n`.
    pub(super) parameters: usize,
    /// Of each parameter, by number: the columns it is compared with, where it stands nowhere else.
    pub(super) compared: BTreeMap<i64, Option<BTreeSet<String>>>,
    /// How places of `sql` lead back to the agent's statement.
    pub(super) places: Places,
}

/// What a change is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `pg_class.oid`.
    pub(super) relation: u32,
    /// Columns it gives values to, by `attnum`; of an INSERT without a list, all.
    pub(super) written: BTreeSet<i16>,
    /// Those of them whose value is, or may be, what the table gives by itself.
    pub(super) defaults: BTreeSet<i16>,
    /// Whether the statement asks what time it is by a keyword; functions are among the facts.
    pub(super) clock: bool,
    /// Columns of it that the statement's conditions name.
    pub(super) conditions: BTreeSet<i16>,
    /// Whether it has RETURNING.
    pub(super) returning: bool,
    /// Parameters, by number from 1, that give values to classified columns: none of these may begin with `***`,
    /// and no parameter at all may have `[masked:` or a token (`tokens::holds_token`) in it.
    pub(super) parameters: BTreeSet<usize>,
}

/// A column of a relation, as somebody sees it who is shown nothing raw.
pub(super) fn masked(catalog: &Catalog, column: &Column) -> String {
    match masks::look(catalog, column, column.class.is_none()) {
        masks::Look::Raw => masks::quoted(&column.name),
        masks::Look::Blind(mask) | masks::Look::Partial(mask) => mask,
    }
}

/// Whether a text is what stands for a value, alone or before what a mask shows of it; `classified`: whether it
/// would be the value of a classified column.
pub(super) fn is_mask(text: &str, classified: bool) -> bool {
    text.contains(change::MARKER) || holds_token(text) || classified && text.starts_with(masks::CONSTANT)
}

/// Checks a statement, and writes what is sent.
///
/// `named`: the names of `:name` parameters, in the order of their numbers; empty where they are `$n`.
/// `reveal`: `table.column` that may be shown raw.
///
/// # Errors
/// `statement_refused`, `wrong_tool`; `internal` when what was written does not hold.
#[tracing::instrument(level = "debug", skip_all, name = "guard")]
pub(super) fn check(
    statement: &str,
    named: &[String],
    catalog: &Catalog,
    reveal: &BTreeSet<String>,
    mode: Mode,
) -> Result<Checked, Refusal> {
    text::deep(|| read(statement, named, catalog, reveal, mode))
}

/// The same, on a stack that is deep enough.
fn read(
    statement: &str,
    named: &[String],
    catalog: &Catalog,
    reveal: &BTreeSet<String>,
    mode: Mode,
) -> Result<Checked, Refusal> {
    let plain = rewrite::plain(statement, named)?;
    let tokens = text::read(&plain.sql)?;
    let tree = text::parse(&tokens)?;
    let root = tree
        .node()
        .ok_or_else(|| refused("There is no statement.", "Send one statement."))?;
    let known = match mode {
        Mode::Query => root.kind == "SelectStmt",
        Mode::Change => matches!(root.kind, "InsertStmt" | "UpdateStmt" | "DeleteStmt"),
    };
    if !known {
        return Err(refusals::statement(root.kind, mode));
    }
    shapes::listed(&tree).map_err(|unlisted| refusals::unlisted(&unlisted, &plain.sql))?;
    // What a change reads is never revealed to it.
    let none = BTreeSet::new();
    let seeing = if mode == Mode::Query { reveal } else { &none };
    let mut walk = Walk {
        catalog,
        reveal: seeing,
        tokens: &tokens,
        mode,
        scopes: Scopes::default(),
        seen: Seen::default(),
    };
    let change = match mode {
        Mode::Query => {
            walk.select(root)?;
            None
        }
        Mode::Change => {
            walk.scopes.wide = true;
            Some(walk.change(root, reveal)?)
        }
    };
    let seen = walk.seen;
    let written = plain.edited(seen.edits.clone())?;
    verified(&tree, &written, &seen, catalog, seeing, change.as_ref())?;
    let checked = describe(root, written, &seen, catalog, seeing);
    Ok(match change {
        Some(change) => of_change(checked, change, catalog),
        None => checked,
    })
}

/// Reads what was written again.
///
/// # Errors
/// `internal` when it is anything but the statement with its masks.
fn verified(
    tree: &Tree,
    written: &Written,
    seen: &Seen,
    catalog: &Catalog,
    reveal: &BTreeSet<String>,
    change: Option<&Change>,
) -> Result<(), Refusal> {
    let again = text::parse_ours(&written.sql)?;
    let mut compare = verify::Compare {
        found: &seen.found,
        masks: &catalog.masks,
        returning: change.and_then(|change| change.returning.as_deref()),
    };
    compare.trees(tree, &again)?;
    let sealed = verify::Sealed {
        catalog,
        reveal,
        ctes: &seen.ctes,
        target: change.map(|change| change.table.clone()),
        looks: RefCell::default(),
    };
    sealed.check(&again)
}

fn describe(
    root: &Node,
    written: Written,
    seen: &Seen,
    catalog: &Catalog,
    reveal: &BTreeSet<String>,
) -> Checked {
    let relations = || seen.relations.iter().filter_map(|key| catalog.relations.get(key));
    let mut checked = Checked {
        sql: written.sql,
        facts: SqlFacts {
            kind: "select".to_owned(),
            tables: relations()
                .flat_map(|relation| catalog.reached(relation))
                .collect(),
            columns: BTreeSet::new(),
            functions: seen.functions.clone(),
            has_where: has_where(root),
            irreversible: false,
            template: None,
        },
        action: Action::SqlRead,
        classified: relations()
            .flat_map(|relation| catalog.classified(relation))
            .collect(),
        named: BTreeSet::new(),
        relations: relations().map(|relation| relation.oid).collect(),
        masked: BTreeSet::new(),
        target: None,
        oracle: false,
        parameters: seen.parameters,
        compared: compared::of(root),
        places: written.places,
    };
    for relation in relations() {
        for column in &relation.columns {
            let raw = column.class.is_none() || walk::revealed(catalog, relation, column, reveal);
            if matches!(masks::look(catalog, column, raw), masks::Look::Blind(_)) {
                checked.masked.insert((relation.oid, column.number));
            }
            if seen.columns.contains(&(relation.oid, column.number)) {
                name(&mut checked, catalog, relation, column);
            }
        }
        checked.facts.columns.extend(catalog.beyond.columns(relation.oid));
    }
    checked
}

/// A column that the statement names or shows.
fn name(checked: &mut Checked, catalog: &Catalog, relation: &Relation, column: &Column) {
    let shown = catalog.shown_column(relation, column);
    if let Some((class, _)) = &column.class {
        checked.named.insert(ClassifiedColumn {
            class: class.clone(),
            column: shown.clone(),
        });
    }
    checked.facts.columns.insert(shown);
    let same = catalog.beyond.same(relation.oid, &column.name);
    checked.facts.columns.extend(same);
}

fn of_change(mut checked: Checked, change: Change, catalog: &Catalog) -> Checked {
    checked.action = Action::SqlWrite;
    checked.facts.kind = change.kind.to_owned();
    checked.facts.has_where = change.has_where;
    checked.facts.irreversible = change.irreversible;
    if let Some(table) = catalog.relations.get(&change.table) {
        for column in &table.columns {
            let number = column.number;
            if change.target.written.contains(&number) || change.returned.contains(&number) {
                name(&mut checked, catalog, table, column);
            }
        }
        // What constraints, indexes and triggers make of a classified column is not known here.
        checked.oracle = table.columns.iter().any(|column| column.class.is_some());
        // The plan of a change reads whole rows of its table; that the text names none of these was checked.
        checked.masked.retain(|(relation, _)| *relation != table.oid);
    }
    checked.target = Some(change.target);
    checked
}

/// Whether every SELECT of the outermost level has a WHERE.
fn has_where(select: &Node) -> bool {
    match (select.node("larg"), select.node("rarg")) {
        (Some(left), Some(right)) => has_where(left) && has_where(right),
        _ => select.node("where_clause").is_some(),
    }
}
