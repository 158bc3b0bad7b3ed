//! One statement that changes the schema: CREATE, ALTER, DROP, TRUNCATE or COMMENT, of an allow-listed kind.
//!
//! Its names are completed, it is printed, and what was printed is read again: that text alone is sent. What would
//! read rows is available only where every column that is looked at is public, so that neither a copy nor a refusal
//! tells of a masked value. What would give a column another class than it has is not available at all.

mod columns;
mod names;
mod objects;
mod shapes;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf as pb;
use pg_query::{DeparseOptions, NodeEnum};

use super::refusals;
use super::tree::{Node, Tree, is_place};
use super::{derived, refused, rewrite, text};
use crate::call::{ClassifiedColumn, Refusal, SqlFacts};
use crate::resource::sql::postgres::catalog::{Catalog, Name, Relation};

/// What is known beside the catalogue.
#[derive(Debug, Clone, Copy)]
pub(in crate::resource::sql::postgres) struct Known<'a> {
    pub(in crate::resource::sql::postgres) catalog: &'a Catalog,
    /// `[resource.columns]`.
    pub(in crate::resource::sql::postgres) listed: &'a BTreeMap<String, String>,
    /// Whether functions of the database's own may be called, which find tables and columns by their names.
    pub(in crate::resource::sql::postgres) has_functions: bool,
    /// Each index: its number, and its table's.
    pub(in crate::resource::sql::postgres) indexes: &'a BTreeMap<Name, (u32, u32)>,
}

/// A schema change that may be sent.
#[derive(Debug, Clone, Default)]
pub(in crate::resource::sql::postgres) struct Definition {
    /// The only text that is ever sent.
    pub(in crate::resource::sql::postgres) sql: String,
    /// For policy.
    pub(in crate::resource::sql::postgres) facts: SqlFacts,
    /// Classified columns of every relation it names.
    pub(in crate::resource::sql::postgres) classified: BTreeSet<ClassifiedColumn>,
    /// What becomes of which object, in words.
    pub(in crate::resource::sql::postgres) schema: BTreeMap<String, String>,
    /// What it does with relations that exist.
    pub(in crate::resource::sql::postgres) touched: BTreeMap<u32, Touch>,
    /// What it removes.
    pub(in crate::resource::sql::postgres) gone: BTreeSet<Gone>,
    /// Tables that it empties.
    pub(in crate::resource::sql::postgres) emptied: BTreeSet<u32>,
    /// Schemas in which it makes something.
    pub(in crate::resource::sql::postgres) makes_in: BTreeSet<String>,
    /// Whether it removes what depends on what it removes.
    pub(in crate::resource::sql::postgres) cascade: bool,
    /// Whether it may compute or compare values: with casts, operator classes and types, which no statement names.
    pub(in crate::resource::sql::postgres) computes: bool,
    /// Types that it names, by `pg_type.oid`.
    pub(in crate::resource::sql::postgres) types: BTreeSet<u32>,
}

/// What is done with one relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::resource::sql::postgres) struct Touch {
    /// Who waits: the name of the table lock.
    pub(in crate::resource::sql::postgres) lock: &'static str,
    /// Whether each row is written anew.
    pub(in crate::resource::sql::postgres) rewrites: bool,
    /// Columns of it whose values decide whether the statement succeeds.
    pub(in crate::resource::sql::postgres) reads: BTreeSet<i16>,
    /// Whether the statement looks at its rows at all.
    pub(in crate::resource::sql::postgres) scans: bool,
    /// Columns that are new in it.
    pub(in crate::resource::sql::postgres) adds: BTreeSet<String>,
    /// Whether the statement's success may tell how many rows it has.
    pub(in crate::resource::sql::postgres) counts: bool,
    /// Whether somebody other than its owner may do it, as to a table that a key refers to.
    pub(in crate::resource::sql::postgres) foreign: bool,
}

/// Something that a statement removes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::resource::sql::postgres) enum Gone {
    /// A table, view or index, by `pg_class.oid`.
    Relation(u32),
    /// A column, by its table and `attnum`.
    Column(u32, i16),
    /// A constraint, by its table and name.
    Constraint(u32, String),
}

const ACCESS_EXCLUSIVE: &str = "ACCESS EXCLUSIVE";

/// Whether a text begins as a schema change does: what it is beyond that, [`define`] finds out.
pub(in crate::resource::sql::postgres) fn defines(statement: &str) -> bool {
    let Ok(tokens) = text::read(statement) else {
        return false; // refused with the words for changes of rows
    };
    let first = tokens.tokens.first().map(|lexeme| tokens.of(*lexeme));
    let words = ["create", "alter", "drop", "truncate", "comment"];
    first.is_some_and(|first| words.iter().any(|word| first.eq_ignore_ascii_case(word)))
}

/// Checks a schema change, and writes what is sent.
///
/// # Errors
/// `statement_refused`.
pub(in crate::resource::sql::postgres) fn define(
    statement: &str,
    known: Known<'_>,
) -> Result<Definition, Refusal> {
    text::deep(|| read(statement, known))
}

fn read(statement: &str, known: Known<'_>) -> Result<Definition, Refusal> {
    let plain = rewrite::plain(statement, &[])?;
    let tokens = text::read(&plain.sql)?;
    text::parse(&tokens)?; // says where a mistake is, and that there is one statement
    let tree = tree_of(typed(&plain.sql).ok_or_else(unprinted)?).ok_or_else(unprinted)?;
    let root = tree
        .node()
        .ok_or_else(|| refused("There is no statement.", "Send one statement."))?;
    if !shapes::is_statement(root.kind) {
        return Err(refusals::definition(root.kind));
    }
    shapes::listed(&tree).map_err(|unlisted| refusals::unlisted(&unlisted, &plain.sql))?;
    if !has_plain_types(&tree) {
        return Err(refused(
            "What stands in parentheses behind a type is no number.",
            "Write it as in numeric(10, 2).",
        ));
    }
    let mut statement = typed(&plain.sql).ok_or_else(unprinted)?;
    let mut clerk = Clerk {
        known,
        found: Definition {
            facts: SqlFacts {
                kind: "ddl".to_owned(),
                ..SqlFacts::default()
            },
            ..Definition::default()
        },
    };
    clerk.statement(&mut statement)?;
    let mut found = clerk.found;
    found.computes = matches!(
        statement,
        NodeEnum::CreateStmt(_)
            | NodeEnum::AlterTableStmt(_)
            | NodeEnum::ViewStmt(_)
            | NodeEnum::IndexStmt(_)
    );
    let wanted = tree_of(statement.clone());
    if let Some(tree) = &wanted {
        types(tree, known.catalog, &mut found.types);
    }
    let sql = printed(statement)?;
    // What was printed is what was checked, and nothing else.
    let again = typed(&sql).and_then(tree_of);
    if !wanted
        .zip(again)
        .is_some_and(|(wanted, again)| same(&wanted, &again))
    {
        return Err(unprinted());
    }
    found.sql = sql;
    Ok(found)
}

/// Walks one statement, completes its names, and notes what it does.
struct Clerk<'a> {
    known: Known<'a>,
    found: Definition,
}

impl<'a> Clerk<'a> {
    fn statement(&mut self, statement: &mut NodeEnum) -> Result<(), Refusal> {
        match statement {
            NodeEnum::CreateStmt(create) => self.create_table(create),
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::ViewStmt(view) => self.create_view(view),
            NodeEnum::IndexStmt(index) => self.create_index(index),
            NodeEnum::DropStmt(drop) => self.drop(drop),
            NodeEnum::RenameStmt(rename) => self.rename(rename),
            NodeEnum::TruncateStmt(truncate) => self.truncate(truncate),
            NodeEnum::CommentStmt(comment) => self.comment(comment),
            _ => Err(refusals::definition("")),
        }
    }

    /// Notes that the statement is about a relation that exists.
    fn touch(&mut self, relation: &Relation, lock: &'static str) -> &mut Touch {
        let catalog = self.known.catalog;
        self.found.facts.tables.extend(catalog.reached(relation));
        self.found.classified.extend(catalog.classified(relation));
        let touch = self.found.touched.entry(relation.oid).or_default();
        if touch.lock != ACCESS_EXCLUSIVE {
            touch.lock = lock;
        }
        touch
    }

    /// What becomes of an object, added to what was noted of it.
    fn becomes(&mut self, object: String, what: &str) {
        let words = self.found.schema.entry(object).or_default();
        if !words.is_empty() {
            words.push_str("; ");
        }
        words.push_str(what);
    }
}

/// The statement as the grammar's own type. `None` for what has no tree or several.
fn typed(text: &str) -> Option<NodeEnum> {
    let mut parsed = pg_query::parse(text, 0).ok()?.protobuf;
    let raw = parsed.stmts.pop().filter(|_| parsed.stmts.is_empty())?;
    raw.stmt?.node
}

/// Whether only whole numbers stand behind types: for anything else the library that writes statements has no words,
/// and ends the process.
fn has_plain_types(tree: &Tree) -> bool {
    let number = |one: &Tree| {
        one.of_kind("AConst")
            .is_some_and(|constant| constant.get("val").of_kind("Integer").is_some())
    };
    match tree {
        Tree::Node(node) => {
            (node.kind != "TypeName" || node.list("typmods").iter().all(number))
                && node.fields.iter().all(|(_, value)| has_plain_types(value))
        }
        Tree::List(items) => items.iter().all(has_plain_types),
        _ => true,
    }
}

/// The types of the database's own that a tree names. Any schema's: what a plain name stands for is not decided here.
fn types(tree: &Tree, catalog: &Catalog, found: &mut BTreeSet<u32>) {
    match tree {
        Tree::Node(node) => {
            if node.kind == "TypeName" {
                let name = node.list("names").last().and_then(|last| last.of_kind("String"));
                let name = name.map_or("", |last| last.text("sval"));
                let same = catalog.types.iter().filter(|(known, _)| known.1 == name);
                found.extend(same.map(|(_, kind)| kind.oid));
            }
            node.fields
                .iter()
                .for_each(|(_, value)| types(value, catalog, found));
        }
        Tree::List(items) => items.iter().for_each(|one| types(one, catalog, found)),
        _ => {}
    }
}

fn tree_of(statement: NodeEnum) -> Option<Tree> {
    derived::of(&pb::Node {
        node: Some(statement),
    })
}

/// A statement as text.
///
/// # Errors
/// `statement_refused`.
fn printed(statement: NodeEnum) -> Result<String, Refusal> {
    let whole = pb::ParseResult {
        stmts: vec![pb::RawStmt {
            stmt: Some(Box::new(pb::Node {
                node: Some(statement),
            })),
            ..pb::RawStmt::default()
        }],
        ..pb::ParseResult::default()
    };
    pg_query::deparse(&whole, DeparseOptions::default()).map_err(|_| unprinted())
}

fn unprinted() -> Refusal {
    refused(
        "The statement has a form that cannot be checked.",
        "Write it in the plainest form that PostgreSQL's manual gives for it.",
    )
}

/// Whether two trees say the same, wherever their parts stand in their texts.
fn same(one: &Tree, other: &Tree) -> bool {
    match (one, other) {
        (Tree::Node(one), Tree::Node(other)) => {
            let fields = |node: &'_ Node| -> Vec<(&'static str, Tree)> {
                let fields = node.fields.iter().filter(|(name, _)| !is_place(name));
                fields.cloned().collect()
            };
            let (ones, others) = (fields(one), fields(other));
            one.kind == other.kind
                && ones.len() == others.len()
                && ones
                    .iter()
                    .zip(&others)
                    .all(|((name, value), (with, against))| name == with && same(value, against))
        }
        (Tree::List(ones), Tree::List(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}
