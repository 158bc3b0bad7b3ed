//! Why a change was not made, in words that tell nothing of what is stored: the same as for every database.

use super::refusals;
use crate::call::{Code, Refusal};
use crate::resource::sql::bounds::timed_out;
pub(super) use crate::resource::sql::servers::{MAX_CHANGED, gives_a_mask, lost, not_measured, too_much};
pub(super) use crate::resource::sql::unmade::{approval_first, busy, unknown};

fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::StatementRefused, message, suggestion)
}

/// A change that failed while it was tried. Whatever of the data stood in its way, an agent is told the same.
pub(super) fn failed(error: &sqlx::Error, measures: bool) -> Refusal {
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code else {
        return refusals::away(error);
    };
    let refusal = match code.get(..2) {
        Some("40" | "55") => busy(),
        Some("08" | "53" | "57" | "58") if code != "57014" && code != "53200" && code != "53400" => {
            return refusals::away(error);
        }
        _ if measures => not_measured(),
        _ if code == "57014" => timed_out(),
        _ => not_possible(),
    };
    refusal.detail(format!("SQLSTATE {code}"))
}

/// A constraint, or the like.
pub(super) fn not_possible() -> Refusal {
    refused(
        "The database does not allow this change (a constraint, a trigger, or a value that does not fit); nothing \
         was changed.",
        "Check keys, references and values with sql_schema and sql_query.",
    )
}

/// The same words for whatever is in the way, so that they do not tell what it is.
pub(super) fn out_of_reach() -> Refusal {
    refused(
        "The change reaches something that is not available here.",
        "Change one table that sql_schema shows; if it has triggers that use other things, ask your operator.",
    )
}

/// The role lacks what the change, or finding its effect, needs.
pub(super) fn no_right(resource: &str, table: &str, what: &str) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database does not let the role of this resource make this change.",
        "Tell your operator the call_id.",
    )
    .detail(format!(
        "{what} on {table}; `tollgate db grants {resource} --write {table}` prints what it needs"
    ))
}

/// Nobody is configured who changes schemas.
pub(super) fn no_definer(resource: &str) -> Refusal {
    refused(
        "Schema changes are not available here: this resource has no account of its own for them.",
        "Send one INSERT, UPDATE or DELETE; or ask your operator for the schema change.",
    )
    .detail(format!(
        "set `ddl` of `{resource}` to a role that owns the tables; `tollgate db grants {resource} --ddl TABLES` prints its rights"
    ))
}

/// The grammar has no place for them.
pub(super) fn no_parameters() -> Refusal {
    Refusal::new(
        Code::InvalidArguments,
        "A schema change takes no parameters.",
        "Leave `parameters` out.",
    )
}

/// The account that changes schemas does not own what it would have to.
pub(super) fn no_right_to_define(resource: &str, account: &str, what: &str) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database does not let the role of this resource make this schema change.",
        "Tell your operator the call_id.",
    )
    .detail(format!(
        "{account} needs {what}; `tollgate db grants {resource} --ddl TABLES` prints what it needs"
    ))
}

/// Row-level security hides rows that the statement would look at.
pub(super) fn hidden_rows(table: &str) -> Refusal {
    refused(
        format!(
            "Row-level security hides rows of `{table}`, and whether the statement succeeds would tell of them."
        ),
        "Ask your operator to make the change.",
    )
}

/// A new column would be joined with that of a child.
pub(super) fn column_of_a_part() -> Refusal {
    refused(
        "A table that inherits from this one has a column of that name: it would be held to what is said of the new one.",
        "Choose another name.",
    )
}

/// Whether rows fit a page would tell how long masked values are.
pub(super) fn too_wide(columns: usize) -> Refusal {
    refused(
        format!("The table has masked columns, and would have, or has, more than {columns} columns."),
        "Make another table that refers to it.",
    )
}

/// A check, an index or a trigger has it compared with what is masked.
pub(super) fn tells_of_masked() -> Refusal {
    refused(
        "Constraints or indexes of the table look at masked columns beside this one: whether the statement succeeds would \
         tell of them.",
        "Ask your operator to make the change.",
    )
}

/// Something that no statement names would be run by the account that owns the tables.
pub(super) fn own_code() -> Refusal {
    refused(
        "Types, casts or operator classes of this database run code of its own, which a schema change would run as the owner \
         of the tables; or keep values in their row.",
        "Use PostgreSQL's own types without them, or ask your operator to make the change.",
    )
}

/// The classes of columns would not be what they are, or the configuration would name what is not there.
pub(super) fn unfit() -> Refusal {
    refused(
        "After this change the configuration would no longer fit the database, or a column would have another class; \
         nothing was changed.",
        "Ask your operator: the configuration has to be changed first.",
    )
}

/// A schema change that failed: what of the data or of other objects stood in its way, an agent is not told.
pub(super) fn undefined(error: &sqlx::Error, resource: &str) -> Refusal {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("42501") => Refusal::new(
            Code::TargetFailed,
            "The database does not let the role of this resource make this schema change.",
            "Tell your operator the call_id.",
        )
        .detail(format!(
            "`tollgate db grants {resource} --ddl TABLES` prints what the role of `ddl` needs"
        )),
        Some("2BP01") => refused(
            "Something depends on what the statement would remove; nothing was changed.",
            "Remove that first, or write CASCADE: people are then shown what goes with it.",
        ),
        _ => failed(error, false),
    }
}
