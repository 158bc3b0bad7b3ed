//! What an agent reads of a denial: what it tried and what to do instead, and never which policy it was.

use std::collections::BTreeSet;

use crate::call::{Action, Code, Refusal};

/// A question that cannot be answered is answered with no. `why` is for the operator.
pub(super) fn not_evaluated(why: String) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        "The policies could not be evaluated for this call, so it is refused.",
        "Tell your operator the call_id; the log has the cause.",
    )
    .detail(why)
}

/// There is nothing to list.
pub(super) fn nothing_visible() -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        "There is no resource you may use.",
        "Ask your operator for access.",
    )
}

/// A tool that the credential is not good for.
pub(super) fn out_of_scope(tool: &str) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("Your credential is not good for the tool `{tool}`."),
        "Use one of the tools you are listed, or ask your operator for a credential that includes it.",
    )
}

/// What only people do, at the control side.
pub(super) fn people_only(action: Action) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("`{}` is for people: a service never may.", action.as_str()),
        "Ask a person who may.",
    )
}

/// Denied on a resource that exists for the caller. `explained` is what the final `forbid`s explain.
pub(super) fn not_permitted(actions: &BTreeSet<Action>, resource: &str, explained: &[&str]) -> Refusal {
    let tried: Vec<&str> = actions.iter().map(|action| verb(*action)).collect();
    let tried = format!("You may not {} `{resource}` in this way", tried.join(" and "));
    if explained.is_empty() {
        Refusal::new(
            Code::NotPermitted,
            format!("{tried}."),
            "Call list_resources to see what you may use, or ask your operator for access.",
        )
    } else {
        Refusal::new(
            Code::NotPermitted,
            format!("{tried}: {}", explained.join(" ")),
            "Change the call so that this does not apply, or ask your operator for access.",
        )
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Describe => "look at",
        Action::FileRead => "read files of",
        Action::FileSearch => "search",
        Action::GitHistory => "read the history of",
        Action::SqlRead => "query",
        Action::SqlWrite => "change data in",
        Action::SqlDdl => "change the structure of",
        Action::ShellRun => "run programs on",
        Action::GitCommit => "commit to",
        Action::HttpSend => "send requests to",
        Action::Measure => "measure effects on",
        Action::Lookup => "look values up in",
        Action::Reveal => "see classified values of",
        Action::Approve => "approve calls to",
        Action::AuditRead => "read the journal of",
        Action::Administer => "administer",
    }
}
