//! What may be approved for a while at all, whatever policy offers: reads, commands whose sandbox lets them write nothing
//! that stays, and changes of rows that were measured and can be undone. Asked when a grant is offered, when it is
//! made, and at each use: what an earlier version granted is not used, either.

use serde_json::{Value, json};

use super::terms::Terms;
use crate::call::{Action, Effect, Facts};

/// Before anything is measured: whether a call of which the adapter found this could be.
pub(super) fn is_kind(facts: &Facts) -> bool {
    kind(&json!(facts)).is_some()
}

/// Whether a call that would do this may be.
pub(super) fn is_repeatable(facts: &Facts, effect: Option<&Effect>) -> bool {
    judge(&json!(facts), effect)
}

/// The same of a request that people decide.
pub(super) fn is_offered(terms: &Terms, effect: Option<&Effect>) -> bool {
    judge(&terms.facts, effect)
}

enum Kind {
    /// Nothing stays of it.
    Reads,
    /// Rows change, and how is measured.
    Changes,
}

/// `None` for what people approve one by one. A word that is missing or unknown is no permission.
fn kind(facts: &Value) -> Option<Kind> {
    let fact = |pointer: &str| facts.pointer(pointer).and_then(Value::as_bool);
    let action = facts.get("action").and_then(Value::as_str)?;
    let action = Action::ALL.into_iter().find(|one| one.as_str() == action)?;
    if fact("/sql/irreversible") == Some(true) {
        return None;
    }
    match action {
        Action::Describe | Action::FileRead | Action::FileSearch | Action::GitHistory | Action::SqlRead => {
            Some(Kind::Reads)
        }
        // A sandbox that lets the work folder be written bounds where, not what: nobody can undo it.
        Action::ShellRun => {
            let writes = fact("/shell/change") != Some(false) || fact("/shell/network") != Some(false);
            (!writes).then_some(Kind::Reads)
        }
        Action::SqlWrite => Some(Kind::Changes),
        Action::SqlDdl
        | Action::GitCommit
        | Action::HttpSend
        | Action::Measure
        | Action::Reveal
        | Action::Lookup
        | Action::Approve
        | Action::AuditRead
        | Action::Administer => None,
    }
}

fn judge(facts: &Value, effect: Option<&Effect>) -> bool {
    match kind(facts) {
        None => false,
        Some(Kind::Reads) => effect.is_none(),
        Some(Kind::Changes) => effect.is_some_and(|effect| {
            !effect.irreversible && effect.schema.is_empty() && effect.unmeasured.is_empty()
        }),
    }
}
