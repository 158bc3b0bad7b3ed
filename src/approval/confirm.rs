//! `@confirm`: the caller's own person is asked over the protocol.

use std::fmt::Write;

use crate::call::refusal::Code;
use crate::call::{Arrival, Caller, Confirmation, Refusal, UserKind, is_unseen};
use crate::policy::{Obligation, ObligationKind};

/// How much of the agent's own words a question shows, in characters. A call that says more is not put
/// to a person: what they confirm is what they have read.
pub(super) const SHOWN: usize = 2_000;

/// One question for all confirmations: a person asked twice stops reading.
pub(super) async fn confirmed(
    obligations: &[Obligation],
    arrival: &Arrival,
    caller: &dyn Caller,
) -> Result<(), Refusal> {
    if arrival.principal.user.kind == UserKind::Service {
        return Err(nobody_there());
    }
    if arrival.cancel.is_cancelled() {
        return Err(Refusal::cancelled()); // before the question is even put
    }
    let arguments = serde_json::Value::Object(arrival.arguments.clone()).to_string();
    if arguments.chars().count() > SHOWN {
        return Err(too_long_to_show());
    }
    let prompt = prompt(obligations, arrival, &arguments);
    let answer = tokio::select! {
        biased;
        () = arrival.cancel.cancelled() => return Err(Refusal::cancelled()),
        answer = caller.confirm(&prompt) => answer,
    };
    match answer {
        Confirmation::Yes => Ok(()),
        Confirmation::No => Err(Refusal::new(
            Code::ApprovalDenied,
            "Your person was asked to confirm this call and did not.",
            "Do not send it again unchanged. Ask them in the conversation what they want instead.",
        )),
        Confirmation::Asked => Err(Refusal::new(
            Code::ConfirmationRequired,
            "This call needs your person's confirmation; the question was handed to your client.",
            "Send the same call again with the answer.",
        )
        .retry()),
        Confirmation::Unavailable => Err(Refusal::new(
            Code::ApprovalUnavailable,
            "This call needs your person's confirmation, and this client cannot ask them.",
            "Use a client that supports MCP form elicitation, or ask for something that needs no confirmation.",
        )),
    }
}

/// What a service's program answers is the program's word, and no person's.
fn nobody_there() -> Refusal {
    Refusal::new(
        Code::ApprovalUnavailable,
        "This call needs the confirmation of the caller's own person, and you are a service: there is nobody to ask.",
        "Ask for something that needs no confirmation, or have a person's agent do it.",
    )
}

/// Cut, the rest could be what matters: members come in order of their names, so an agent could fill
/// the question with one that nobody minds and keep the statement out of sight.
fn too_long_to_show() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        "This call needs your person's confirmation, and its arguments are too long to be shown to them whole.",
        format!(
            "Send at most {SHOWN} characters of arguments as JSON: split the work, or leave out what is not needed."
        ),
    )
}

/// What the person reads: our words first, the agent's last, escaped and marked as the agent's. It
/// holds nothing that came from a target.
pub(super) fn prompt(obligations: &[Obligation], arrival: &Arrival, arguments: &str) -> String {
    let mut text = format!("Allow the tool `{}`", escaped(&arrival.tool, 64));
    if let Some(resource) = arrival.arguments.get("resource").and_then(|name| name.as_str()) {
        let _ = write!(text, " on `{}`", escaped(resource, 64));
    }
    let _ = write!(text, " for {}?", escaped(&arrival.principal.agent.client_id, 64));
    for explain in obligations
        .iter()
        .filter(|obligation| obligation.kind == ObligationKind::Confirm)
        .filter_map(|obligation| obligation.explain.as_deref())
    {
        let _ = write!(text, "\n{explain}");
    }
    let _ = write!(text, "\n\nWhat the agent sent: {}", escaped(arguments, SHOWN));
    text
}

/// At most `most` characters, on one line, nothing invisible: control, bidirectional and other format
/// characters become escapes, so that the agent cannot draw its own question.
fn escaped(words: &str, most: usize) -> String {
    let mut out = String::new();
    for character in words.chars().take(most) {
        match character {
            ' '..='~' => out.push(character),
            _ if character.is_alphanumeric() && !is_unseen(character) => out.push(character),
            _ => out.extend(character.escape_unicode()),
        }
    }
    let hidden = words.chars().skip(most).count();
    if hidden > 0 {
        let _ = write!(out, " … ({hidden} more characters not shown)");
    }
    out
}
