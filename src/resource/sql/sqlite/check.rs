//! What a statement would touch: prepared by the engine that will run it, behind both locks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bytecode::{self, Opened, Unfit};
use super::catalog::Kind;
use super::guard::{Mode, Seen};
use super::link::Link;
use super::text::{self, Shape, refused};
use super::{refusals, watch::Watch};
use crate::call::{ClassifiedColumn, Refusal, SqlFacts};

/// Statements remembered per connection.
const REMEMBERED: usize = 128;
/// Longer statements are not remembered.
const REMEMBERED_BYTES: usize = 8_192;

/// A statement that is fit to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// For policy.
    pub(super) facts: SqlFacts,
    /// Classified columns of every relation touched.
    pub(super) classified: BTreeSet<ClassifiedColumn>,
    /// The classified columns it names itself, directly or through a view.
    pub(super) named: BTreeSet<ClassifiedColumn>,
    /// Whether the plan visits rows in an order that tells something of masked values.
    pub(super) tells_order: bool,
}

/// Checks a statement on a connection.
///
/// # Errors
/// `statement_refused`, `wrong_tool`, or what ended the preparation.
pub(super) fn check(link: &mut Link, statement: &str, watch: &Watch) -> Result<Arc<Checked>, Refusal> {
    if let Some(known) = link.checked.get(statement) {
        return Ok(Arc::clone(known));
    }
    let shape = text::read(statement)?;
    reserved_names(&shape)?;
    refusals::by_first_word(&shape)?;
    let seen = prepare(link, statement, &shape, watch)?;
    let opened = bytecode::verify(&link.conn, statement, &link.catalog, &link.key.reveal);
    let opened = opened.map_err(|unfit| match unfit {
        Unfit::Engine(error) => refusals::preparing(&error, &link.guard.seen(), &shape, &link.catalog, watch),
        Unfit::Program(what) => refused(
            "The statement reads something that is not available here.",
            "Call sql_schema to see the tables and views you can read.",
        )
        .detail(what),
    })?;
    let checked = Arc::new(describe(link, &shape, seen, &opened));
    if statement.len() <= REMEMBERED_BYTES {
        if link.checked.len() >= REMEMBERED {
            link.checked.clear();
        }
        link.checked.insert(statement.to_owned(), Arc::clone(&checked));
    }
    Ok(checked)
}

/// Names the engine keeps for itself look the same whether or not this file has them.
///
/// # Errors
/// `statement_refused`.
pub(super) fn reserved_names(shape: &Shape) -> Result<(), Refusal> {
    match shape.words.iter().find(|(lower, _)| lower.starts_with("sqlite_")) {
        None => Ok(()),
        Some((_, word)) => Err(refused(
            format!("`{word}` is not available: names that begin with sqlite_ belong to the engine."),
            "Call sql_schema to see tables and columns.",
        )),
    }
}

fn prepare(link: &Link, statement: &str, shape: &Shape, watch: &Watch) -> Result<Seen, Refusal> {
    link.guard.enter(Mode::Agent);
    let prepared = match link.conn.prepare(statement) {
        Ok(prepared) => prepared,
        Err(error) => {
            return Err(refusals::preparing(
                &error,
                &link.guard.seen(),
                shape,
                &link.catalog,
                watch,
            ));
        }
    };
    if prepared.is_explain() != 0 {
        return Err(refusals::no_plan());
    }
    if !prepared.readonly() || prepared.column_count() == 0 {
        return Err(refusals::not_a_select(shape));
    }
    Ok(link.guard.seen())
}

/// What was seen, as facts.
pub(super) fn describe(link: &Link, shape: &Shape, seen: Seen, opened: &Opened) -> Checked {
    let catalog = &link.catalog;
    // The engine does not name a view over a view of which it uses no column: what is called like one counts as one.
    let is_view = |name: &&String| {
        let relation = catalog.relations.get(*name);
        relation.is_some_and(|relation| matches!(relation.kind, Kind::View(_)))
    };
    let views = shape.words.keys().chain(&shape.quoted).filter(is_view);
    let reached = seen.relations.union(&opened.tables);
    let relations: BTreeSet<&String> = reached.chain(views).collect();
    let touched = || relations.iter().filter_map(|lower| catalog.relations.get(*lower));
    let mut columns = seen.columns;
    if shape.joins_by_name {
        columns.extend(shared_columns(link, &relations));
    }
    let mut named = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for (lower, column) in &columns {
        let Some(relation) = catalog.relations.get(lower) else {
            continue;
        };
        for column in relation
            .columns
            .iter()
            .filter(|c| c.name.eq_ignore_ascii_case(column))
        {
            paths.insert(relation.path(column));
            if let Some((class, _)) = &column.class {
                let (class, column) = (class.clone(), relation.path(column));
                named.insert(ClassifiedColumn { class, column });
            }
        }
    }
    Checked {
        facts: SqlFacts {
            kind: "select".to_owned(),
            tables: touched().map(|relation| relation.name.clone()).collect(),
            columns: paths,
            functions: seen.functions,
            has_where: shape.has_where,
            irreversible: false,
            template: None,
        },
        classified: touched().flat_map(|relation| relation.classified()).collect(),
        named,
        tells_order: opened.ordered_by.iter().any(|(table, index)| {
            let relation = catalog.relations.get(table);
            relation.is_none_or(|relation| relation.tells(*index, &link.key.reveal))
        }),
    }
}

/// The engine does not report the columns of `USING` and `NATURAL`: every column name that two of the
/// relations share may be one.
fn shared_columns(link: &Link, relations: &BTreeSet<&String>) -> Vec<(String, String)> {
    let all: Vec<(String, String)> = relations
        .iter()
        .filter_map(|lower| {
            link.catalog
                .relations
                .get(*lower)
                .map(|relation| (*lower, relation))
        })
        .flat_map(|(lower, relation)| {
            let names = relation
                .columns
                .iter()
                .map(|column| column.name.to_ascii_lowercase());
            names.map(|name| (lower.clone(), name)).collect::<Vec<_>>()
        })
        .collect();
    let self_join = relations.len() == 1;
    let shared = |name: &str| self_join || all.iter().filter(|(_, other)| other == name).count() > 1;
    all.iter().filter(|(_, name)| shared(name)).cloned().collect()
}
