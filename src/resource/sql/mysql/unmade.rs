//! Why a change was not made, in words that tell nothing of what is stored: the same as for every database. Of what
//! the server says only the number of the error is looked at: its words quote values.

use sqlx::mysql::MySqlDatabaseError;

use super::refusals;
use crate::call::{Code, Refusal};
use crate::resource::sql::bounds::timed_out;
pub(super) use crate::resource::sql::servers::{MAX_CHANGED, gives_a_mask, lost, not_measured, too_much};
pub(super) use crate::resource::sql::unmade::{approval_first, busy, unknown};

fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// The number of a server's error.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let said = error.as_database_error()?;
    Some(said.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// A change that failed while it was tried. Whatever of the data stood in its way, an agent is told the same.
pub(super) fn failed(error: &sqlx::Error, measures: bool) -> Refusal {
    let Some(number) = number(error) else {
        return refusals::away(error);
    };
    let refusal = match number {
        // Lock wait, deadlock, changed by others, NOWAIT, a table that is altered.
        1020 | 1205 | 1213 | 1412 | 3572 => busy(),
        1040 | 1053 | 1077 | 1079 | 1129 | 1152 | 1158..=1161 | 1184 | 1203 | 1927 | 2006 | 2013 => {
            return refusals::away(error);
        }
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1792 | 1836 => {
            return no_right().detail(format!(
                "error {number}; `tollgate db grants NAME --write TABLES` prints what the account of `write` needs"
            ));
        }
        _ if measures => not_measured(),
        1317 | 1969 | 3024 => timed_out(),
        _ => not_possible(),
    };
    refusal.detail(format!("error {number}"))
}

/// A constraint, or the like.
pub(super) fn not_possible() -> Refusal {
    refused(
        "The database does not allow this change (a constraint, or a value that does not fit); nothing was changed.",
        "Check keys, references and values with sql_schema and sql_query.",
    )
}

/// The same words for whatever is in the way, so that they do not tell what it is.
pub(super) fn out_of_reach(why: impl Into<String>) -> Refusal {
    refused(
        "The change reaches something that is not available here.",
        "Change one table that sql_schema shows; if it has triggers or is of another engine than InnoDB, ask your \
         operator.",
    )
    .detail(why)
}

/// The account lacks what the change, or finding its effect, needs.
pub(super) fn no_right() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database does not let the account of this resource make this change.",
        "Tell your operator the call_id.",
    )
}

/// What changes need beside the account is not there.
pub(super) fn not_prepared(resource: &str, why: &str) -> Refusal {
    no_right().detail(format!(
        "the view {} of what is around tables: {why}; `tollgate db grants {resource} --write TABLES` prints what makes it",
        super::probe::GROUND
    ))
}

/// The account that makes changes can do more than it should.
pub(super) fn privileged(findings: &[String]) -> Refusal {
    no_right().detail(format!(
        "the account of `write`: {}; `tollgate db grants NAME --write TABLES` prints what it needs, or set privileged = true",
        findings.join("; ")
    ))
}

/// Changes of a server of another kind.
pub(super) fn not_mariadb() -> Refusal {
    refused(
        "This server is only read: changes with a known effect need MariaDB.",
        "Send one SELECT with sql_query; make the change another way.",
    )
}

/// A clause that makes a row new or not, whatever people saw.
pub(super) fn upserts() -> Refusal {
    refused(
        "ON DUPLICATE KEY UPDATE is not available: which rows it adds and which it changes is not known beforehand.",
        "Look with sql_query which of the rows are there; send an UPDATE for those, and an INSERT for the others.",
    )
}

/// The rows of the statement depend on the table that it changes.
pub(super) fn reads_itself(table: &str) -> Refusal {
    refused(
        format!("The change reads `{table}` in a subquery, and changes it."),
        "Find the rows' keys with sql_query first, and name those.",
    )
}

/// The rows of the statement depend on what becomes of the first of them.
pub(super) fn reads_what_follows(table: &str, target: &str) -> Refusal {
    refused(
        format!("The change reads `{table}`, whose rows follow those of `{target}` by a key."),
        "Find the rows' keys with sql_query first, and name those.",
    )
}

/// What it reads may be another thing a moment later.
pub(super) fn reads_unsteady(table: &str) -> Refusal {
    refused(
        format!("A change cannot read `{table}`, which is a view or not kept by InnoDB."),
        "Find the rows' keys with sql_query first, and name those.",
    )
}

/// New rows that nobody looks at when they are made have to be what the statement says.
pub(super) fn reads_beside(table: &str) -> Refusal {
    refused(
        format!("An INSERT that gives values to masked columns of `{table}` cannot read another table."),
        "Read the values with sql_query first, and give them as constants or parameters.",
    )
}

/// A function whose value nobody could approve.
pub(super) fn by_chance(function: &str) -> Refusal {
    refused(
        format!(
            "`{}` gives another value each time: what people approve would not be what happens.",
            function.to_ascii_uppercase()
        ),
        "Give the value itself, as a constant or a parameter; for the time use NOW().",
    )
}

/// Rows that cannot be told apart.
pub(super) fn no_key(table: &str) -> Refusal {
    refused(
        format!(
            "The rows of `{table}` cannot be told apart: it has no primary key whose every column is public and of a plain \
             type."
        ),
        "Change a table with a primary key that sql_schema shows; your operator can list its columns as public.",
    )
}

/// A row that becomes another one.
pub(super) fn key_given(table: &str) -> Refusal {
    refused(
        format!("The change gives the primary key of `{table}` another value."),
        "Send an INSERT of the new row and a DELETE of the old one.",
    )
}
