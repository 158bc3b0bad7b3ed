//! What went wrong, in our words and the agent's own. Of what the server says only the error's number and, for a
//! statement that it cannot understand, a message whose every word is the agent's or the server's own are looked at:
//! the rest quotes values.

use sqlx::mysql::MySqlDatabaseError;

use crate::call::{Code, Refusal};
use crate::resource::sql::bounds::{plain, timed_out};
use crate::resource::sql::servers::{self, unavailable};
pub(super) use crate::resource::sql::servers::{misfit, silent};

const SEE_SCHEMA: &str = "Call sql_schema to see the tables, views and columns you can read.";
const OPERATOR: &str = "Tell your operator the call_id.";
const AGAIN: &str = "Send the call again in a moment.";

fn said(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error
        .as_database_error()?
        .try_downcast_ref::<MySqlDatabaseError>()
}

/// What the server said of a statement: while it was read, planned or run.
pub(super) fn running(error: &sqlx::Error, statement: &str) -> Refusal {
    let Some(said) = said(error) else {
        return away(error);
    };
    by_number(said, statement).detail(format!("error {}", said.number()))
}

fn by_number(said: &MySqlDatabaseError, statement: &str) -> Refusal {
    match said.number() {
        // ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT of either kind of server
        1317 | 1969 | 3024 => timed_out(),
        1044 | 1045 | 1142 | 1143 | 1227 | 1345 | 1370 => Refusal::new(
            Code::TargetFailed,
            "The database does not let the account of this resource do that.",
            format!("Select the columns you need by name. {OPERATOR}"),
        ),
        1176 => Refusal::new(
            Code::TargetFailed,
            "A masking view names an index that is not there any more.",
            "Ask whoever runs Tollgate to make the masking views again (tollgate db views).",
        ),
        1205 | 1412 | 3572 => Refusal::new(
            Code::TargetFailed,
            "A table is locked or being changed by somebody else.",
            AGAIN,
        )
        .retry(),
        1213 | 1020 => Refusal::new(
            Code::TargetFailed,
            "The statement came across a change by somebody else.",
            AGAIN,
        )
        .retry(),
        1290 | 1792 | 1836 => Refusal::new(
            Code::WrongTool,
            "The statement would change something; this tool only reads.",
            "Send one SELECT here.",
        ),
        1356 | 1449 => Refusal::new(
            Code::TargetFailed,
            "A view that the statement reads is broken: what it is made of is gone.",
            OPERATOR,
        ),
        1037 | 1038 | 1041 | 1114 | 1119 | 1126 | 1135 | 1153 | 1021 | 1226 | 1436 | 1456 => Refusal::new(
            Code::LimitExceeded,
            "The statement needs more memory, space or depth than the server gives.",
            "Sort, group and join fewer rows; split large statements.",
        ),
        1040 | 1053 | 1077 | 1079 | 1129 | 1152 | 1158..=1161 | 1184 | 1203 | 1927 | 2006 | 2013 => {
            unavailable()
        }
        number if MISTAKES.contains(&number) => not_understood(said, statement),
        number => failed(number),
    }
}

/// Numbers of mistakes in the text itself: syntax, names, arguments, grouping, what may not stand where it stands.
const MISTAKES: &[u16] = &[
    1046, 1047, 1051, 1052, 1054, 1055, 1056, 1057, 1060, 1063, 1064, 1065, 1066, 1103, 1104, 1109, 1110,
    1111, 1115, 1116, 1117, 1120, 1128, 1140, 1146, 1149, 1191, 1210, 1214, 1221, 1222, 1234, 1235, 1241,
    1247, 1248, 1250, 1267, 1270, 1271, 1273, 1253, 1305, 1318, 1327, 1349, 1353, 1390, 1582, 1583, 1584,
    1585, 1630, 1747, 3029, 3065, 3500, 3573, 3574, 3575, 3576, 3577, 3579, 3580, 3581, 3582, 3583, 3584,
    3586, 3587, 3588, 3589, 3590, 3591, 3592, 3593, 3594, 3595, 4002, 4004, 4005, 4006, 4015, 4016, 4017,
    4018, 4019, 4020, 4021, 4022, 4023, 4024, 4078, 4079, 4107,
];

/// A mistake in the text.
fn not_understood(said: &MySqlDatabaseError, statement: &str) -> Refusal {
    let message = match said.number() != 1046 && plain(said.message(), statement, SERVER_WORDS) {
        true => format!(
            "The server cannot read the statement: {}.",
            said.message().trim_end_matches('.')
        ),
        false => format!("The server cannot read the statement{}.", known(said.number())),
    };
    let suggestion = match said.number() {
        1055 | 1140 => "Name every column of the SELECT list in GROUP BY.".to_owned(),
        1267 | 1270 | 1271 => "Compare with COLLATE, so that both sides have one collation.".to_owned(),
        1210 => {
            "Correct it. On MySQL, JSON_TABLE takes a column of a view as CAST(column AS JSON).".to_owned()
        }
        1046 => "Use another function: MySQL has no MD5, SHA and SHA1 any more (SHA2 it has).".to_owned(),
        _ => format!("Correct it. {SEE_SCHEMA}"),
    };
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// What some mistakes are called, when the server's own words cannot be passed on.
fn known(number: u16) -> &'static str {
    match number {
        1064 | 1149 => ": it is not SQL of this server, or not there",
        1146 => ": there is no such table or view",
        1054 => ": there is no such column",
        1052 => ": a column's name is ambiguous",
        // No statement has a table's name without its database; a function's it can be.
        1046 | 1305 | 1630 => ": there is no such function",
        1582 => ": a function has another number of arguments",
        1241 | 1222 => ": rows of different numbers of columns",
        1267 | 1270 | 1271 => ": texts of different collations are compared",
        1055 | 1140 => ": a column is neither grouped nor aggregated",
        1191 => ": there is no FULLTEXT index of exactly these columns",
        _ => "",
    }
}

/// What values did to a statement that is right.
fn failed(number: u16) -> Refusal {
    let what = match number {
        1242 => "a subquery that stands for one value gave more than one row",
        1365 => "something is divided by zero",
        1264 | 1690 | 1916 => "a number is out of range",
        1292 | 1366 | 1367 | 1411 | 1525 => "a text is not of the form that its type or function takes",
        1441 => "a date or time is out of range",
        1260 | 1301 | 1406 => "a text is too long",
        1139 | 3685..=3699 => "a regular expression is not one",
        1300 | 3854 => "a text has a character that cannot be shown",
        3037 | 3048 | 3055 | 3064 | 3516 | 3548 | 3616 | 3617 | 3618 => "a geometry is not one",
        3140..=3160 | 4035..=4044 => "JSON is not of the form that the path or function takes",
        _ => "a function was given what it does not take",
    };
    Refusal::new(
        Code::StatementRefused,
        format!("The statement failed while it ran: {what}."),
        "Exclude such values (WHERE, NULLIF, CASE, a regular expression) before they are converted or divided.",
    )
}

/// Whether what was asked for does not exist, or not for the account.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    said(error).is_some_and(|said| matches!(said.number(), 1044 | 1049 | 1142 | 1146 | 1356 | 1449))
}

/// There is no way to the server, or it broke off.
pub(super) fn away(error: &sqlx::Error) -> Refusal {
    let number = said(error).map(MySqlDatabaseError::number);
    let passes = matches!(
        number,
        Some(1040 | 1053 | 1129 | 1152 | 1203 | 1205 | 1317 | 1927 | 1969 | 3024)
    );
    servers::away(error, (format!("error {}", number.unwrap_or_default()), passes))
}

/// The server is older than what this was made for.
pub(super) fn too_old() -> Refusal {
    servers::too_old("MariaDB 10.5 or MySQL 8.0 or later is needed")
}

/// The account can do more than it should; nothing is sent in its name.
pub(super) fn privileged(findings: &[String]) -> Refusal {
    servers::privileged("account", findings)
}

/// This version only reads.
pub(super) fn reads_only() -> Refusal {
    Refusal::new(
        Code::StatementRefused,
        "MySQL and MariaDB databases are only read by this version of Tollgate.",
        "Send one SELECT with sql_query; make the change another way.",
    )
}

/// Words of the server's own messages about a statement (`errmsg-utf8.txt`).
const SERVER_WORDS: &[&str] = &[
    "a",
    "aggregate",
    "alias",
    "ambiguous",
    "an",
    "and",
    "any",
    "are",
    "arguments",
    "aggregated",
    "be",
    "by",
    "call",
    "can",
    "cannot",
    "clause",
    "collation",
    "collations",
    "column",
    "columns",
    "contain",
    "contains",
    "count",
    "derived",
    "different",
    "does",
    "doesn",
    "every",
    "exist",
    "expression",
    "field",
    "find",
    "found",
    "for",
    "from",
    "full",
    "fulltext",
    "function",
    "group",
    "having",
    "have",
    "illegal",
    "in",
    "incorrect",
    "index",
    "invalid",
    "is",
    "isn",
    "it",
    "its",
    "list",
    "matching",
    "mix",
    "must",
    "mixing",
    "name",
    "native",
    "no",
    "nonaggregated",
    "not",
    "number",
    "of",
    "on",
    "only",
    "operand",
    "operation",
    "or",
    "order",
    "own",
    "parameter",
    "parameters",
    "query",
    "reference",
    "select",
    "should",
    "statement",
    "statements",
    "supported",
    "t",
    "table",
    "the",
    "this",
    "to",
    "too",
    "type",
    "union",
    "unique",
    "unknown",
    "use",
    "usage",
    "used",
    "using",
    "values",
    "version",
    "where",
    "window",
    "with",
    "yet",
    "you",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_passed_on_only_if_every_word_is_the_agents_or_the_servers() {
        let statement = "SELECT c.emial FROM customers c";
        for (message, passed) in [
            ("Unknown column 'c.emial' in 'field list'", true),
            ("Column 'emial' in where clause is ambiguous", true),
            ("Incorrect datetime value: 'ann@example.com'", false),
            ("Table 'shop.secrets' doesn't exist", false),
            ("Unknown column '4111111111111111' in 'field list'", false),
        ] {
            assert_eq!(plain(message, statement, SERVER_WORDS), passed, "{message}");
        }
    }
}
