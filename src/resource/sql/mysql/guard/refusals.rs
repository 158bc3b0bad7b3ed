//! What was wrong with a statement, and a way out.

use super::super::reach::Closed;
use super::lexer::Token;
use super::{Mode, SEE_SCHEMA, refused};
use crate::call::{Code, Refusal};

/// Words that begin changes.
const CHANGES: [&str; 10] = [
    "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "MERGE",
];

/// Reserved words that no query has, outside of names: a second look that knows nothing of the tree.
const NEVER: [&str; 16] = [
    "INTO",
    "OUTFILE",
    "PROCEDURE",
    "LOCK",
    "UNLOCK",
    "CALL",
    "LOAD",
    "KILL",
    "GRANT",
    "REVOKE",
    "DELETE",
    "UPDATE",
    "DROP",
    "ALTER",
    "CREATE",
    "RENAME",
];

/// The same words whether a relation is not there or not exposed.
pub(super) fn no_relation(name: &str) -> Refusal {
    refused(format!("There is no table or view `{name}`."), SEE_SCHEMA)
}

/// A view of the database's own that tells of what is masked, or may.
pub(super) fn closed(view: &str, why: Closed) -> Refusal {
    let why = match why {
        Closed::Chosen => refused(
            format!(
                "The view `{view}` chooses or orders its rows by masked columns, so how many there are tells of their \
                 values."
            ),
            "Ask for the tables that it is made of, or have your operator list every column of the view in \
             [resource.columns].",
        ),
        Closed::Ordered => refused(
            format!(
                "The view `{view}` reads a table that has an index of masked columns, or one of another database, so the \
                 order of its rows may tell of their values."
            ),
            "Ask for the tables that it is made of, or have your operator list every column of the view in \
             [resource.columns].",
        ),
        Closed::Unknown => refused(
            format!("What the view `{view}` reads is not known, so no policy can be asked about it."),
            "Ask for the tables that it is made of, or have your operator run `tollgate db views NAME --apply` again \
             (where nothing is classified, the account needs SHOW VIEW).",
        ),
    };
    why.detail("only views that read this database, or tables of another one, in plain words, are understood")
}

/// This tool only reads.
pub(super) fn not_a_select() -> Refusal {
    Refusal::new(
        Code::WrongTool,
        "The statement is not a SELECT; this tool only reads.",
        "Send one SELECT here, and changes with sql_execute.",
    )
}

/// This tool only changes.
pub(super) fn not_a_change() -> Refusal {
    Refusal::new(
        Code::WrongTool,
        "The statement changes nothing.",
        "Send queries with sql_query.",
    )
}

/// What begins in a way that is never run, and words that no statement may have.
///
/// # Errors
/// `statement_refused`, `wrong_tool`.
pub(super) fn words(tokens: &[Token<'_>], mode: Mode) -> Result<(), Refusal> {
    let first = tokens.iter().find(|token| !token.is("("));
    let begins = |word: &str| first.is_some_and(|token| token.is_word(word));
    let known = match mode {
        Mode::Query => ["SELECT", "WITH", "VALUES"].iter().any(|word| begins(word)),
        Mode::Change => ["INSERT", "UPDATE", "DELETE"].iter().any(|word| begins(word)),
    };
    if !known {
        return Err(beginning(first, mode));
    }
    if mode == Mode::Change {
        return Ok(());
    }
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        let of_a_name = before.is_some_and(|before| before.is("."));
        if let Some(word) = NEVER.iter().find(|word| !of_a_name && token.is_word(word)) {
            return Err(never(word));
        }
        before = Some(token);
    }
    Ok(())
}

fn never(word: &str) -> Refusal {
    match word {
        "INTO" | "OUTFILE" => refused(
            "SELECT … INTO is not available: a query writes no files, tables or variables.",
            "Leave the clause out; the rows come with the answer.",
        ),
        "LOCK" | "UPDATE" => refused(
            "FOR UPDATE and LOCK IN SHARE MODE are not available: a query takes no locks.",
            "Leave the clause out; send changes with sql_execute.",
        ),
        _ => refused(
            format!("`{word}` is not available in a query."),
            "Send one SELECT; put a column of that name in backticks.",
        ),
    }
}

fn beginning(first: Option<&Token<'_>>, mode: Mode) -> Refusal {
    let is = |words: &[&str]| first.is_some_and(|token| words.iter().any(|word| token.is_word(word)));
    if mode == Mode::Query && is(&CHANGES) {
        return not_a_select();
    }
    if mode == Mode::Change && is(&["SELECT", "VALUES", "TABLE"]) {
        return not_a_change();
    }
    if is(&["EXPLAIN", "ANALYZE"]) {
        return refused(
            "A plan is not shown: it tells of data that may be masked.",
            "Send the SELECT itself.",
        );
    }
    if is(&["SHOW", "DESCRIBE", "DESC", "HELP", "CHECKSUM", "CHECK"]) {
        return refused("The server's own tables and settings are not shown.", SEE_SCHEMA);
    }
    if is(&["TABLE", "HANDLER"]) {
        return refused(
            "TABLE and HANDLER are not available.",
            "Write SELECT * FROM and the table.",
        );
    }
    other(&is, mode)
}

/// Statements that are of neither kind.
fn other(is: &dyn Fn(&[&str]) -> bool, mode: Mode) -> Refusal {
    if is(&[
        "START",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "XA",
        "LOCK",
        "UNLOCK",
    ]) {
        return refused(
            "Transactions and locks are not the statement's to take or end: each runs in a transaction of its own.",
            "Send the statement alone.",
        );
    }
    if is(&["REPLACE"]) {
        return refused(
            "REPLACE is not available: it removes rows that it does not name.",
            "Look with sql_query which of the rows are there; send an UPDATE for those, and an INSERT for the others.",
        );
    }
    if is(&["TRUNCATE"]) {
        return refused(
            "TRUNCATE is not available: what it removes cannot be measured row by row.",
            "Send a DELETE.",
        );
    }
    if mode == Mode::Change && is(&["WITH"]) {
        return refused(
            "A change after WITH is not available.",
            "Put the query into the change: INSERT INTO … SELECT, or WHERE id IN (SELECT …).",
        );
    }
    refused(
        "This kind of statement is not available.",
        match mode {
            Mode::Query => "Send one SELECT; call sql_schema for tables and columns.",
            Mode::Change => "Send one INSERT, UPDATE or DELETE.",
        },
    )
}

/// What the grammar says of a text that it cannot read. Strings are not in what it was given.
pub(super) fn unreadable(said: &str) -> Refusal {
    let said = said.strip_prefix("sql parser error: ").unwrap_or(said);
    let said = said.split(" at Line:").next().unwrap_or("").trim();
    let short: String = said.chars().take(200).collect();
    refused(
        format!("The statement cannot be read: {short}."),
        "Write it in plain SQL of MySQL or MariaDB: one statement, values as parameters, names that are words of the \
         language in backticks.",
    )
}

/// What was read is not what was written, or has something nobody listed.
pub(super) fn plainer(what: &str) -> Refusal {
    refused(
        format!("{what} is not available here."),
        "Write it in plainer SQL: SELECT with joins, subqueries, WITH, windows, aggregates and JSON.",
    )
}
