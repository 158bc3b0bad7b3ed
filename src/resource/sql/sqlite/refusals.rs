//! What went wrong, in our words and the agent's own. Nothing the engine says while it runs is passed
//! on: it may quote a value. What it says while it prepares is passed on only if every word of it is
//! the agent's or the engine's own.

use rusqlite::ErrorCode;

use super::catalog::Catalog;
use super::guard::{Denial, Seen};
use super::link::MAX_VALUE;
use super::text::{Shape, refused};
use super::watch::{Ended, MEMORY, Watch};
use crate::call::{Code, Refusal};

const SEE_SCHEMA: &str = "Call sql_schema to see the tables, views and columns you can read.";

/// A statement that could not be prepared.
pub(super) fn preparing(
    error: &rusqlite::Error,
    seen: &Seen,
    shape: &Shape,
    catalog: &Catalog,
    watch: &Watch,
) -> Refusal {
    if let Some(denial) = &seen.denial {
        return denied(denial, shape);
    }
    match error {
        rusqlite::Error::SqlInputError { msg, error, .. } if error.code == ErrorCode::Unknown => {
            syntax(msg, shape, catalog)
        }
        rusqlite::Error::SqliteFailure(error, Some(msg)) if error.code == ErrorCode::Unknown => {
            syntax(msg, shape, catalog)
        }
        rusqlite::Error::MultipleStatement => {
            refused("There is more than one statement.", "Send one SELECT per call.")
        }
        rusqlite::Error::SqlInputError { error, .. } => {
            running(&rusqlite::Error::SqliteFailure(*error, None), watch)
        }
        _ => running(error, watch),
    }
}

fn denied(denial: &Denial, shape: &Shape) -> Refusal {
    match denial {
        Denial::Relation(name) => no_relation(name, shape),
        Denial::Function(name) => refused(
            format!("The function `{}` is not available.", as_written(name, shape)),
            "Use SQLite's own scalar, aggregate, window, date and JSON functions.",
        ),
        Denial::Change => not_a_select(shape),
        Denial::Engine => of_the_engine(),
    }
}

fn of_the_engine() -> Refusal {
    refused(
        "PRAGMA, ATTACH and DETACH are not available.",
        "Send one SELECT; call sql_schema for tables and columns.",
    )
}

/// A plan would tell of statistics, which are made of values.
pub(super) fn no_plan() -> Refusal {
    refused(
        "A plan is not shown: it tells of data that may be masked.",
        "Send the SELECT itself.",
    )
}

/// What a statement's first word already says. The engine would refuse these too, in words that
/// differ with what exists.
pub(super) fn by_first_word(shape: &Shape) -> Result<(), Refusal> {
    match shape.first.as_str() {
        "pragma" | "attach" | "detach" => Err(of_the_engine()),
        "explain" => Err(no_plan()),
        "insert" | "update" | "delete" | "replace" | "create" | "drop" | "alter" | "begin" | "commit"
        | "end" | "rollback" | "savepoint" | "release" | "analyze" | "reindex" | "vacuum" => {
            Err(not_a_select(shape))
        }
        _ => Ok(()),
    }
}

/// This tool only reads.
pub(super) fn not_a_select(shape: &Shape) -> Refusal {
    const CHANGES: [&str; 8] = [
        "insert", "update", "delete", "replace", "create", "drop", "alter", "with",
    ];
    let code = if CHANGES.contains(&shape.first.as_str()) {
        Code::WrongTool
    } else {
        Code::StatementRefused
    };
    Refusal::new(
        code,
        "The statement is not a SELECT; this tool only reads.",
        "Send one SELECT here, and changes with sql_execute.",
    )
}

/// The same words whether a relation is not there or not exposed.
pub(super) fn no_relation(name: &str, shape: &Shape) -> Refusal {
    let message = match shape.words.get(&name.to_ascii_lowercase()) {
        Some(written) => format!("There is no table or view `{written}`."),
        None => "The statement reads a table or view that does not exist.".to_owned(),
    };
    refused(message, SEE_SCHEMA)
}

fn as_written<'s>(name: &'s str, shape: &'s Shape) -> &'s str {
    shape.words.get(name).map_or("of this operator", String::as_str)
}

/// The engine's words about the text.
fn syntax(message: &str, shape: &Shape, catalog: &Catalog) -> Refusal {
    if message.starts_with("cannot modify ") {
        return not_a_select(shape);
    }
    let called = message
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix("' is not a function"));
    if let Some(name) = called.filter(|name| !catalog.relations.contains_key(&name.to_ascii_lowercase())) {
        return no_relation(name, shape);
    }
    if let Some(name) = message.strip_prefix("no such table: ") {
        let last = name.rsplit('.').next().unwrap_or(name);
        return no_relation(last, shape);
    }
    let words = message.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    let plain = words.filter(|word| !word.is_empty()).all(|word| {
        let lower = word.to_ascii_lowercase();
        shape.words.contains_key(&lower)
            || ENGINE_WORDS.contains(&lower.as_str())
            || (lower.len() <= 4 && lower.chars().all(|c| c.is_ascii_digit()))
    });
    let message = if plain {
        format!("SQLite cannot read the statement: {message}.")
    } else {
        "SQLite cannot read the statement.".to_owned()
    };
    refused(message, format!("Correct it. {SEE_SCHEMA}"))
}

/// A statement that failed while it ran.
pub(super) fn running(error: &rusqlite::Error, watch: &Watch) -> Refusal {
    let code = error.sqlite_error_code();
    let detail = match error.sqlite_error() {
        Some(error) => format!("SQLite result code {}", error.extended_code),
        None => "rusqlite".to_owned(),
    };
    let refusal = match code {
        Some(ErrorCode::OperationInterrupted) => return ended(watch.reason()),
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => Refusal::new(
            Code::LimitExceeded,
            format!("A value grew beyond {MAX_VALUE} bytes, or the statement is too large."),
            "Use substr() or length() on large values, and split large statements.",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Refusal::new(
            Code::TargetFailed,
            "The database is being written to.",
            "Send the call again in a moment.",
        )
        .retry(),
        Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation) => refused(
            "The statement failed while it ran: a function was given what it does not take.",
            "Check the arguments of JSON, arithmetic and LIMIT expressions; json_valid(x) and typeof(x) tell.",
        ),
        _ => Refusal::new(
            Code::TargetFailed,
            "The database could not be read.",
            "Tell your operator the call_id.",
        ),
    };
    refusal.detail(detail)
}

/// A statement that was ended from outside.
pub(super) fn ended(why: Ended) -> Refusal {
    match why {
        Ended::Cancelled => Refusal::cancelled(),
        Ended::TimedOut => Refusal::new(
            Code::LimitExceeded,
            "The statement took longer than it may.",
            "Narrow it: a WHERE on an indexed column, fewer joins, a LIMIT.",
        ),
        Ended::Memory => Refusal::new(
            Code::LimitExceeded,
            format!(
                "The statement, with others running beside it, needed more than {MEMORY} bytes of memory."
            ),
            "Sort, group and aggregate fewer rows.",
        ),
    }
}

/// Words of the engine's own messages about a statement (`parse.y`, `resolve.c`, `select.c`,
/// `expr.c`, `window.c`, `build.c`, `func.c`).
const ENGINE_WORDS: &[&str] = &[
    "a",
    "aggregate",
    "aliases",
    "all",
    "allowed",
    "ambiguous",
    "an",
    "and",
    "any",
    "are",
    "argument",
    "arguments",
    "as",
    "at",
    "be",
    "before",
    "between",
    "both",
    "but",
    "by",
    "cannot",
    "circular",
    "circularly",
    "clause",
    "clauses",
    "column",
    "columns",
    "come",
    "compound",
    "contain",
    "context",
    "could",
    "defined",
    "depth",
    "did",
    "distinct",
    "do",
    "does",
    "duplicate",
    "each",
    "error",
    "escape",
    "exactly",
    "except",
    "exceeds",
    "exist",
    "expected",
    "expression",
    "expressions",
    "filter",
    "following",
    "for",
    "found",
    "frame",
    "from",
    "full",
    "function",
    "functions",
    "group",
    "has",
    "have",
    "having",
    "in",
    "incomplete",
    "input",
    "integer",
    "intersect",
    "is",
    "it",
    "join",
    "joins",
    "large",
    "left",
    "length",
    "like",
    "limit",
    "literal",
    "many",
    "match",
    "matching",
    "materialized",
    "maximum",
    "may",
    "misuse",
    "more",
    "most",
    "multiple",
    "must",
    "name",
    "named",
    "natural",
    "near",
    "no",
    "non",
    "not",
    "nth",
    "number",
    "of",
    "on",
    "one",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "over",
    "override",
    "parameter",
    "parser",
    "partition",
    "preceding",
    "present",
    "quotes",
    "range",
    "recursive",
    "reference",
    "references",
    "requires",
    "result",
    "returns",
    "right",
    "row",
    "rows",
    "same",
    "select",
    "selects",
    "should",
    "single",
    "specification",
    "specified",
    "stack",
    "statement",
    "string",
    "sub",
    "subqueries",
    "subquery",
    "such",
    "supplied",
    "supported",
    "syntax",
    "table",
    "tables",
    "term",
    "terms",
    "that",
    "the",
    "this",
    "to",
    "token",
    "too",
    "tree",
    "type",
    "unbounded",
    "union",
    "unknown",
    "unrecognized",
    "unsafe",
    "unsupported",
    "use",
    "used",
    "using",
    "value",
    "values",
    "variable",
    "variables",
    "view",
    "where",
    "window",
    "with",
    "within",
    "without",
    "wrong",
    "you",
];

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    #[test]
    fn a_message_with_a_word_that_is_not_the_agents_is_not_passed_on() {
        let shape = text::read("SELECT emial FROM customers WHERE \"Odd Name\" = 1").unwrap();
        let told = |message: &str| syntax(message, &shape, &Catalog::default()).message;
        assert!(told("no such column: customers.emial").contains("customers.emial"));
        assert!(told("near \"FROM\": syntax error").contains("near"));
        for message in [
            "no such column: v0123456789abcdef_6f",
            "no such table: main.hidden",
            "error in view secret_view: no such column",
            "near \"4111111111111234\": syntax error",
        ] {
            let words = ["v0123", "hidden", "secret_view", "4111"];
            assert!(
                !words.iter().any(|word| told(message).contains(word)),
                "{}",
                told(message)
            );
        }
    }
}
