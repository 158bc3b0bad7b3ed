//! Why a change was not made, in the words that are the same for every database: what differed would tell of what is stored.

use crate::call::{Code, Refusal};

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

/// A COMMIT of which nobody can say whether it happened; `why` is for the operator.
pub(super) fn unknown(why: &str) -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        "The database failed while the change was being made final; it is not known whether it is there.",
        "Do not repeat it. Look with sql_query, and tell your operator the call_id.",
    )
    .detail(format!("COMMIT: {why}"))
}
