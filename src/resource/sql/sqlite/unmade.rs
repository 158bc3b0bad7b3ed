//! Why a change was not made, in words that tell nothing of what is stored.

use rusqlite::ErrorCode;

use super::impact::{self, Unmeasured};
use super::watch::{self, Watch};
use super::{refusals, text};
use crate::call::{Code, Refusal};
use crate::resource::sql::unmade;
pub(super) use crate::resource::sql::unmade::{approval_first, busy};

/// A change that failed while it was made.
fn failed(error: &rusqlite::Error, watch: &Watch) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::Unknown) => not_possible(),
        _ => refusals::running(error, watch),
    }
}

/// Whatever stood in the way of a measurement, an agent is told the same.
pub(super) fn unmeasured(why: Unmeasured, watch: &Watch) -> Refusal {
    match why {
        Unmeasured::Ended(watch::Ended::Cancelled) => Refusal::cancelled(),
        Unmeasured::Engine(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            match watch.reason() {
                watch::Ended::Cancelled => Refusal::cancelled(),
                why => not_measured().detail(format!("{why:?}")),
            }
        }
        why => not_measured().detail(told(&why)),
    }
}

/// What stood in the way of finding the effect of a change that was being made.
pub(super) fn unlimited(why: Unmeasured, watch: &Watch) -> Refusal {
    match why {
        Unmeasured::Ended(why) => refusals::ended(why),
        Unmeasured::Engine(error) => failed(&error, watch),
        Unmeasured::Over => not_possible(),
        why => too_much().detail(told(&why)),
    }
}

fn told(why: &Unmeasured) -> String {
    match why {
        Unmeasured::Engine(error) => {
            let code = error.sqlite_error().map_or(0, |error| error.extended_code);
            format!("SQLite result code {code}")
        }
        other => format!("{other:?}"),
    }
}

/// The one answer to whatever stood in the way of a measurement.
pub(super) fn not_measured() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!(
            "What this change would do could not be established, so nobody can be asked about it and nothing was \
             changed. A change may touch at most {} rows, in tables of at most {} rows.",
            impact::MAX_CHANGED,
            impact::MAX_COMPARED
        ),
        "Check the statement with sql_query (its WHERE, its keys, its values), and change fewer rows at a time.",
    )
}

fn too_much() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!(
            "The change touches more than {} rows, or tables of more than {} rows; nothing was changed.",
            impact::MAX_CHANGED,
            impact::MAX_COMPARED
        ),
        "Change fewer rows at a time.",
    )
}

/// A constraint, or the like.
pub(super) fn not_possible() -> Refusal {
    text::refused(
        "The database does not allow this change (a constraint, a trigger, or a value that does not fit); nothing \
         was changed.",
        "Check keys, references and values with sql_schema and sql_query.",
    )
}

/// Done twice in one transaction, it was not the same twice.
pub(super) fn not_the_same() -> Refusal {
    text::refused(
        "The statement does something else each time it runs, and more than was approved; nothing was changed.",
        "Name the rows by their keys and the values as they are.",
    )
}

/// A COMMIT that failed in a way that leaves open whether it happened.
pub(super) fn unknown(error: &rusqlite::Error) -> Refusal {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    unmade::unknown(&format!("SQLite result code {code}"))
}
