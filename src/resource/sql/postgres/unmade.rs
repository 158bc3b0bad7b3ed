//! Why a change was not made, in words that tell nothing of what is stored: the same as for every database.

use super::refusals;
use crate::call::{Code, Refusal};
use crate::resource::sql::bounds::timed_out;

/// Rows that one change may touch, over all tables.
pub(super) const MAX_CHANGED: usize = 10_000;

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

/// The one answer to whatever stood in the way of a measurement.
pub(super) fn not_measured() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!(
            "What this change would do could not be established, so nobody can be asked about it and nothing was \
             changed. A change may touch at most {MAX_CHANGED} rows."
        ),
        "Check the statement with sql_query (its WHERE, its keys, its values), and change fewer rows at a time.",
    )
}

/// More than anybody could look at.
pub(super) fn too_much() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!("The change touches more than {MAX_CHANGED} rows; nothing was changed."),
        "Change fewer rows at a time.",
    )
}

/// A constraint, or the like.
pub(super) fn not_possible() -> Refusal {
    refused(
        "The database does not allow this change (a constraint, a trigger, or a value that does not fit); nothing \
         was changed.",
        "Check keys, references and values with sql_schema and sql_query.",
    )
}

/// Only people may let an oracle be asked.
pub(super) fn approval_first() -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        "Whether this change succeeds could tell something of a masked value, so people have to approve it before it \
         is tried, and no policy asks them.",
        "Leave masked columns that are unique, referenced or checked out of the change, or ask your operator for a \
         policy with @approval.",
    )
}

/// Somebody else holds what it needs, or was faster.
pub(super) fn busy() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database is in use by somebody else; nothing was changed.",
        "Send the call again in a moment.",
    )
    .retry()
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

/// A value of the change is what answers show in place of one.
pub(super) fn gives_a_mask() -> Refusal {
    refused(
        "A value of the change is a mask, as answers show it in place of a value: writing it would overwrite what it \
         hides.",
        "Give only the columns you have a new value for, and leave the masked ones out.",
    )
}

/// The connection was lost while the change was made final, and the server itself says that it was not.
pub(super) fn lost() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The connection to the database was lost before the change was final; the database says that nothing was \
         changed.",
        "Send the call again in a moment.",
    )
    .retry()
}

/// A COMMIT of which nobody can say whether it happened.
pub(super) fn unknown(why: &str) -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        "The database failed while the change was being made final; it is not known whether it is there.",
        "Do not repeat it. Look with sql_query, and tell your operator the call_id.",
    )
    .detail(format!("COMMIT: {why}"))
}
