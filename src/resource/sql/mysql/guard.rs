//! The guard: what an agent's statement becomes before anything of it is sent.
//!
//! Bytes, one statement, a tree of known nodes and fields, names that exist and may be used; what is sent is the
//! tree as it is printed, after that print was read again and gave the same tree. Without a connection: what the
//! database holds comes in as a [`Catalog`].

mod change;
mod compared;
mod expressions;
mod form;
mod from;
mod functions;
mod grammar;
mod lexer;
mod plain;
mod refusals;
mod scope;
mod text;
mod types;
mod verify;
pub(super) mod views;
mod walk;

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sqlparser::ast::Statement;
use sqlparser::parser::ParserError;

use super::catalog::Catalog;
use crate::call::{Action, ClassifiedColumn, Code, Refusal, SqlFacts};
use crate::resource::sql::deep::deep;
use lexer::{Kind, Token};
use walk::Walk;

/// Where people find what exists.
const SEE_SCHEMA: &str = "Call sql_schema to see the tables, views and columns you can read.";

/// Refuses a statement with our own words.
fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// Our own fault.
fn broken(what: &str) -> Refusal {
    Refusal::internal(format!("mysql guard: {what}"))
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
    /// The only text that is ever sent; parameters are `?`.
    pub(super) sql: String,
    /// For each `?` of `sql`, in order, which parameter it is, from 0.
    pub(super) order: Vec<usize>,
    /// For policy.
    pub(super) facts: SqlFacts,
    /// What it really is.
    pub(super) action: Action,
    /// Classified columns of every relation referred to.
    pub(super) classified: BTreeSet<ClassifiedColumn>,
    /// Those it names or shows.
    pub(super) named: BTreeSet<ClassifiedColumn>,
    /// Beside which columns each parameter stands, as `column = ?`.
    pub(super) compared: compared::Places,
    /// Relations referred to, as the catalogue spells them.
    pub(super) relations: BTreeSet<String>,
    /// What a change is of: the relation, and the columns it gives values to. Where one of these is classified, no
    /// parameter may begin with `***`; and none of any change may have `[masked:` in it.
    pub(super) target: Option<(String, BTreeSet<String>)>,
    /// Which rows a change is of.
    pub(super) which: Option<Which>,
}

/// Which rows a change is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// New ones.
    New,
    /// New ones, or those in whose place they would be.
    Perhaps,
    /// Those of a table that are there.
    There(Chosen),
}

/// The rows that an UPDATE or a DELETE is of, in its own words: what was checked, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The table, with its alias.
    pub(super) from: String,
    /// `WHERE …`; empty for all of them.
    pub(super) condition: String,
    /// How many `?` stand before it.
    pub(super) skipped: usize,
}

/// Whether a text is what answers show in place of a value; `strict` where it is given to classified columns.
pub(super) fn is_mask(text: &str, strict: bool) -> bool {
    change::is_mask(text, strict)
}

/// Checks a statement, and writes what is sent.
///
/// `named`: the names of `:name` parameters, in the order of their numbers; empty where they are `?`.
///
/// # Errors
/// `statement_refused`, `wrong_tool`; `internal` when what was written does not hold.
#[tracing::instrument(level = "debug", skip_all, name = "guard")]
pub(super) fn check(
    statement: &str,
    named: &[String],
    catalog: &Catalog,
    mode: Mode,
) -> Result<Checked, Refusal> {
    let tokens = text::read(statement, named)?;
    refusals::words(&tokens, mode)?;
    let done = deep(|| checked(&tokens, catalog, mode));
    done.unwrap_or_else(|| Err(broken("a statement was not read to its end")))
}

fn checked(tokens: &[Token<'_>], catalog: &Catalog, mode: Mode) -> Result<Checked, Refusal> {
    let skeleton = text::skeleton(tokens);
    let mut tree = grammar::parse(&skeleton).map_err(|error| match error {
        ParserError::RecursionLimitExceeded => refused(
            "The statement is nested too deeply.",
            "Split it into several statements.",
        ),
        ParserError::TokenizerError(said) | ParserError::ParserError(said) => refusals::unreadable(&said),
    })?;
    verify::nothing_lost(&skeleton, &tree)?;
    let mut walk = Walk::new(catalog, mode, tokens);
    let change = match (&mut tree, mode) {
        (Statement::Query(query), Mode::Query) => {
            walk.query(query)?;
            None
        }
        (_, Mode::Query) => return Err(refusals::not_a_select()),
        (tree, Mode::Change) => Some(walk.change(tree, tokens)?),
    };
    let print = tree.to_string();
    let sending = sent(tokens, verify::printed(&print, &tree, &walk)?)?;
    let sql = text::written(&sending, |token| text::literal(&token.text));
    if sql.len() > text::MAX_SENT {
        return Err(refused(
            "The statement is too long with its full names.",
            "Split it.",
        ));
    }
    // By the server's rules, what is sent is what was printed, with each string in its place.
    if lexer::scan(&sql, &[]).ok().as_ref() != Some(&sending) {
        return Err(broken("what would be sent is not what was printed"));
    }
    let order = tokens.iter().filter_map(|token| match token.kind {
        Kind::Parameter(number) => Some(number),
        _ => None,
    });
    let has_where = match &tree {
        Statement::Query(query) => walk::has_where(&query.body),
        _ => false,
    };
    let mut checked = walk.described(sql, order.collect());
    checked.facts.has_where = has_where;
    if let Some(change) = change {
        change.describe(&mut checked, catalog, &sending);
    }
    Ok(checked)
}

/// The tokens of the print with each string as it was.
fn sent<'t>(tokens: &[Token<'t>], printed: Vec<Token<'t>>) -> Result<Vec<Token<'t>>, Refusal> {
    let is_text = |token: &&Token<'_>| token.kind == Kind::Text;
    let mut strings = tokens.iter().filter(is_text);
    let mut sent = printed;
    for token in sent.iter_mut().filter(|token| token.kind == Kind::Text) {
        *token = strings
            .next()
            .ok_or_else(|| broken("a string was added"))?
            .clone();
    }
    match strings.next() {
        None => Ok(sent),
        Some(_) => Err(broken("a string was lost")),
    }
}
