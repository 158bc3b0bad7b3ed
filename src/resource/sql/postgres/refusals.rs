//! What went wrong, in our words and the agent's own. Of what the server says only the SQLSTATE, the position
//! and, for a statement that it cannot understand, a message whose every word is the agent's or the server's
//! own are looked at: the rest may quote values. Detail, hint and context are never read.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::call::{Code, Refusal};
use crate::resource::sql::bounds::{plain, timed_out};
use crate::resource::sql::servers::{self, unavailable};
pub(super) use crate::resource::sql::servers::{misfit, silent};

const SEE_SCHEMA: &str = "Call sql_schema to see the tables, views and columns you can read.";
const OPERATOR: &str = "Tell your operator the call_id.";
const AGAIN: &str = "Send the call again in a moment.";

/// Where the text that failed came from.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// As the agent wrote it.
    pub(super) statement: &'a str,
    /// From a character of the text that was sent (from 1) to a byte of the agent's.
    pub(super) place: &'a (dyn Fn(usize) -> Option<usize> + Sync),
}

/// What the server said of a statement: while it was read, planned or run.
pub(super) fn running(error: &sqlx::Error, asked: Asked<'_>) -> Refusal {
    let Some(said) = said(error) else {
        return away(error);
    };
    let refusal = by_code(said, asked);
    refusal.detail(format!("SQLSTATE {}", said.code()))
}

fn said(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

fn by_code(said: &PgDatabaseError, asked: Asked<'_>) -> Refusal {
    let code = said.code();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "57014") => timed_out(),
        (_, "42501") => Refusal::new(
            Code::TargetFailed,
            "The database does not let the role of this resource do that.",
            format!("Select the columns you need by name. {OPERATOR}"),
        ),
        (_, "55P03") => {
            Refusal::new(Code::TargetFailed, "A table is locked by somebody else.", AGAIN).retry()
        }
        ("42" | "0A", _) => not_understood(said, asked),
        ("21" | "22", _) => failed(code, said, asked),
        ("25", _) => Refusal::new(
            Code::WrongTool,
            "The statement would change something; this tool only reads.",
            "Send one SELECT here.",
        ),
        ("40", _) => Refusal::new(
            Code::TargetFailed,
            "The statement came across a change by somebody else.",
            AGAIN,
        )
        .retry(),
        ("53", "53200" | "53100" | "53400") | ("54", _) => Refusal::new(
            Code::LimitExceeded,
            "The statement needs more memory, space or depth than the server gives.",
            "Sort, group and join fewer rows; split large statements.",
        ),
        ("08" | "53" | "57", _) => unavailable(),
        ("20" | "23" | "2F" | "38" | "39" | "P0", _) => Refusal::new(
            Code::StatementRefused,
            "A function or a rule of the database refused what the statement gave it.",
            "Check the arguments of the database's own functions.",
        ),
        _ => Refusal::new(Code::TargetFailed, "The database could not be read.", OPERATOR),
    }
}

/// A mistake in the text.
fn not_understood(said: &PgDatabaseError, asked: Asked<'_>) -> Refusal {
    let at = position(said, asked);
    let message = match plain(said.message(), asked.statement, SERVER_WORDS) {
        true => format!("PostgreSQL cannot read the statement{at}: {}.", said.message()),
        false => format!("PostgreSQL cannot read the statement{at}{}.", known(said.code())),
    };
    let refusal = Refusal::new(Code::StatementRefused, message, "");
    Refusal {
        suggestion: match said.code() {
            "42803" => {
                "Name every column of the SELECT list in GROUP BY, also where a key would do.".to_owned()
            }
            "42883" => "Check the names and the types of what is given; cast where they differ.".to_owned(),
            _ => format!("Correct it. {SEE_SCHEMA}"),
        },
        ..refusal
    }
}

/// What some mistakes are called, when the server's own words cannot be passed on.
fn known(code: &str) -> &'static str {
    match code {
        "42601" => ": it is not SQL",
        "42P01" => ": there is no such table or view",
        "42703" => ": there is no such column",
        "42702" => ": a column's name is ambiguous",
        "42883" => ": there is no such function or operator for these types",
        "42803" => ": a column is neither grouped nor aggregated",
        "42804" => ": types do not fit",
        _ => "",
    }
}

/// What values did to a statement that is right.
fn failed(code: &str, said: &PgDatabaseError, asked: Asked<'_>) -> Refusal {
    let at = position(said, asked);
    let what = match code {
        "21000" => "a subquery that stands for one value gave more than one row",
        "22012" => "something is divided by zero",
        "22003" => "a number is out of range",
        "22P02" | "22P03" | "22007" | "22018" | "22023" | "22030" | "22032" => {
            "a text is not of the form that its type or function takes"
        }
        "22008" => "a date or time is out of range",
        "22001" | "22026" => "a text is too long or of another length",
        "2201B" => "a regular expression is not one",
        "22019" | "22025" | "2200B" | "2200C" => "a pattern has an escape that is none",
        "2201W" | "2201X" => "LIMIT or OFFSET is negative",
        "22013" | "22014" | "22016" => "a frame or an argument of a window function is out of range",
        "22011" => "a length is negative",
        "22021" | "22P05" => "a text has a character that cannot be shown",
        "2202E" | "22033" => "a subscript is out of range",
        "22034" | "22035" | "22036" | "22037" | "22038" | "22039" | "2203A" | "2203F" => {
            "JSON is not of the form that the path or function takes"
        }
        _ => "a function was given what it does not take",
    };
    Refusal::new(
        Code::StatementRefused,
        format!("The statement failed while it ran{at}: {what}."),
        "Exclude such values (WHERE, NULLIF, CASE, a regular expression) before they are converted or divided.",
    )
}

/// Where in the agent's own text.
fn position(said: &PgDatabaseError, asked: Asked<'_>) -> String {
    let Some(PgErrorPosition::Original(character)) = said.position() else {
        return String::new();
    };
    let byte = (asked.place)(character);
    match byte.and_then(|byte| asked.statement.get(..byte)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!(" (line {line}, column {column})")
        }
        None => String::new(),
    }
}

/// There is no way to the server, or it broke off.
pub(super) fn away(error: &sqlx::Error) -> Refusal {
    let code = said(error).map_or("none", PgDatabaseError::code);
    let passes = matches!(code.get(..2), Some("08" | "53" | "57"));
    servers::away(error, (format!("SQLSTATE {code}"), passes))
}

/// The server is older than what this was made for.
pub(super) fn too_old() -> Refusal {
    servers::too_old(
        "PostgreSQL 14 or later is needed: older ones do not end statements whose client is gone",
    )
}

/// The role can do more than it should; nothing is sent in its name.
pub(super) fn privileged(findings: &[String]) -> Refusal {
    servers::privileged("role", findings)
}

/// Words of the server's own messages about a statement (`parse_*.c`, `scan.l`, `analyze.c`, `functioncmds.c`),
/// and names of its own types.
const SERVER_WORDS: &[&str] = &[
    "a",
    "aggregate",
    "aggregates",
    "alias",
    "all",
    "allowed",
    "already",
    "ambiguous",
    "an",
    "and",
    "any",
    "anyarray",
    "anyelement",
    "appear",
    "are",
    "argument",
    "arguments",
    "array",
    "as",
    "at",
    "be",
    "before",
    "bigint",
    "bit",
    "boolean",
    "both",
    "box",
    "but",
    "by",
    "bytea",
    "calls",
    "cannot",
    "case",
    "cast",
    "char",
    "character",
    "cidr",
    "clause",
    "coerced",
    "collation",
    "column",
    "columns",
    "combined",
    "common",
    "comparison",
    "constant",
    "contain",
    "convert",
    "correct",
    "could",
    "date",
    "default",
    "defined",
    "definition",
    "determine",
    "distinct",
    "do",
    "does",
    "double",
    "each",
    "element",
    "end",
    "error",
    "except",
    "exist",
    "exists",
    "expression",
    "expressions",
    "field",
    "filter",
    "first",
    "for",
    "frame",
    "from",
    "full",
    "function",
    "functions",
    "group",
    "grouping",
    "has",
    "have",
    "having",
    "identified",
    "implemented",
    "in",
    "index",
    "inet",
    "input",
    "integer",
    "interval",
    "intersect",
    "into",
    "invalid",
    "is",
    "item",
    "items",
    "join",
    "json",
    "jsonb",
    "lateral",
    "limit",
    "list",
    "literal",
    "lower",
    "match",
    "matches",
    "materialized",
    "merge",
    "missing",
    "more",
    "multidimensional",
    "must",
    "name",
    "named",
    "names",
    "near",
    "nested",
    "no",
    "not",
    "notation",
    "null",
    "number",
    "numeric",
    "of",
    "offset",
    "on",
    "once",
    "only",
    "operator",
    "or",
    "order",
    "ordered",
    "ordering",
    "outer",
    "over",
    "parameter",
    "parameters",
    "parentheses",
    "part",
    "partition",
    "path",
    "point",
    "polymorphic",
    "position",
    "precision",
    "procedure",
    "query",
    "quoted",
    "real",
    "record",
    "recursive",
    "reference",
    "relation",
    "require",
    "required",
    "requires",
    "return",
    "returning",
    "returns",
    "row",
    "rows",
    "same",
    "schema",
    "select",
    "set",
    "should",
    "smallint",
    "specified",
    "statement",
    "string",
    "subquery",
    "subscript",
    "support",
    "supported",
    "syntax",
    "table",
    "target",
    "term",
    "terms",
    "text",
    "that",
    "than",
    "the",
    "there",
    "this",
    "time",
    "timestamp",
    "to",
    "too",
    "tsquery",
    "tsvector",
    "type",
    "types",
    "undefined",
    "unicode",
    "union",
    "unique",
    "unknown",
    "unnamed",
    "unterminated",
    "up",
    "upper",
    "use",
    "used",
    "using",
    "uuid",
    "value",
    "values",
    "variadic",
    "varying",
    "view",
    "where",
    "window",
    "with",
    "within",
    "without",
    "xml",
    "yet",
    "zone",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_passed_on_only_if_every_word_is_the_agents_or_the_servers() {
        let statement = "SELECT c.emial FROM customers c";
        for (message, passed) in [
            ("column c.emial does not exist", true),
            ("relation \"customers\" does not exist", true),
            ("operator does not exist: integer = text", true),
            (
                "invalid input syntax for type integer: \"ann@example.com\"",
                false,
            ),
            ("column \"secret_note\" does not exist", false),
            ("relation \"4111111111111111\" does not exist", false),
        ] {
            assert_eq!(plain(message, statement, SERVER_WORDS), passed, "{message}");
        }
    }
}
