//! What every database server may refuse in the same words: that nothing can be sent to it, and that a change was not made.

use crate::call::{Code, Refusal};

/// Rows that one change may touch, over all tables.
pub(super) const MAX_CHANGED: usize = 10_000;
const OPERATOR: &str = "Tell your operator the call_id.";

/// There is no way to the server, or it broke off. Of what it said itself only its number and whether it passes; of what the
/// driver says only its kind, for the operator: the server may have put anything into the rest.
pub(super) fn away(error: &sqlx::Error, said: (String, bool)) -> Refusal {
    let (kind, retry) = match error {
        sqlx::Error::Database(_) => said,
        sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            (error.kind().to_string(), true)
        }
        // What the other side shows of itself is told as data that is invalid.
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => (
            "TLS: the server has none, or its certificate is not vouched for, or is for another name"
                .to_owned(),
            false,
        ),
        sqlx::Error::Protocol(_) => ("the server speaks something else".to_owned(), false),
        sqlx::Error::Configuration(_) => (
            "configuration: an account that signs in with its password itself needs TLS".to_owned(),
            false,
        ),
        _ => ("the connection failed".to_owned(), true),
    };
    let refusal = match retry {
        true => unavailable(),
        false => Refusal::new(
            Code::TargetFailed,
            "The database server does not let this resource in.",
            OPERATOR,
        ),
    };
    refusal.detail(kind)
}

/// The server cannot be reached.
pub(super) fn unavailable() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database server cannot be reached, or broke off.",
        "Send the call again in a moment.",
    )
    .retry()
}

/// The server took the connection and said nothing.
pub(super) fn silent() -> Refusal {
    unavailable().detail("no answer while connecting")
}

/// The server is older than what this was made for; `needed` is for the operator.
pub(super) fn too_old(needed: &str) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database server is too old for this resource.",
        OPERATOR,
    )
    .detail(needed)
}

/// The role or account can do more than it should; nothing is sent in its name.
pub(super) fn privileged(who: &str, findings: &[String]) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        format!(
            "The database {who} of this resource can do more than an agent may, so no statement is sent."
        ),
        OPERATOR,
    )
    .detail(format!(
        "{}; use one of its own (`tollgate db grants NAME` prints it), or set privileged = true",
        findings.join("; ")
    ))
}

/// The configuration does not fit what is there.
pub(super) fn misfit(problem: &str) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The configuration of this resource does not fit its database, so no statement is sent.",
        OPERATOR,
    )
    .detail(problem)
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

/// A value of the change is what answers show in place of one.
pub(super) fn gives_a_mask() -> Refusal {
    Refusal::new(
        Code::StatementRefused,
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
