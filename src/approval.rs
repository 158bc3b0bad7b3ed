//! Ask → Evidence | Refusal: obligations are met here, and nowhere else.
//!
//! Limits are met by applying them, `@confirm` by the caller's own person over the protocol, recorded
//! as self-confirmed, `@approval` by other people whose decisions are rows of the store (`review`).
//! Without a control side nobody could decide, and `@approval` is refused, never skipped. Deliberately
//! absent: any way for an agent to answer for a person, and any mention of who would have to approve
//! beyond what the policy itself explains.

pub mod review;
pub mod standing;

use std::fmt::Write;

use crate::call::refusal::Code;
use crate::call::{
    Arrival, CallId, Caller, Confirmation, Effect, Evidence, Facts, Invocation, Refusal, Request, Unmet,
    is_unseen,
};
use crate::policy::{Ask, Obligation, ObligationKind};

/// How much of the agent's own words a question shows, in characters. A call that says more is not put
/// to a person: what they confirm is what they have read.
const SHOWN: usize = 2_000;

/// Meets obligations.
#[derive(Debug, Default)]
pub struct Approvals {}

impl Approvals {
    /// Limits and confirmations; nothing that outlives a call.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// For `approval_wait`: puts the stored call in the place of this one, for its owner alone, and gives
    /// `true`; every other call is left as it is.
    ///
    /// # Errors
    /// `not_found` when there is no such request of this caller's, or it has become final.
    #[expect(clippy::unused_async, reason = "reads the store once there are rows")]
    pub async fn resume(&self, _arrival: &mut Arrival, invocation: &Invocation) -> Result<bool, Unmet> {
        match &invocation.request {
            Request::ApprovalWait(wait) => Err(Refusal::not_found(&wait.approval_id).into()),
            _ => Ok(false),
        }
    }

    /// The request this very call is already part of: the identical call attaches to it, and nothing is
    /// measured or asked twice.
    ///
    /// # Errors
    /// Before anything is measured: `approval_unavailable`, `limit_exceeded` (too many open requests).
    #[expect(clippy::unused_async, reason = "reads the store once there are rows")]
    pub async fn attach(&self, ask: &Ask, _subject: Subject<'_>) -> Result<Option<Attached>, Unmet> {
        match ask.obligations.iter().find(|one| needs_others(one)) {
            Some(obligation) => Err(needs_approval(obligation).into()),
            None => Ok(None),
        }
    }

    /// Meets every obligation of `ask`, or says why not. An obligation that can never be met is found
    /// before anybody is asked anything. `effect` is what was measured for the reviewers.
    ///
    /// # Errors
    /// `approval_unavailable`, `approval_denied`, `confirmation_required` (the question went to the
    /// client, which calls again), `limit_exceeded` (more than a person can be shown), `cancelled`.
    #[tracing::instrument(level = "debug", skip_all, name = "approval")]
    pub async fn satisfy(
        &self,
        ask: Ask,
        subject: Subject<'_>,
        _effect: Option<Effect>,
        caller: &dyn Caller,
    ) -> Result<Evidence, Unmet> {
        if let Some(obligation) = ask.obligations.iter().find(|o| needs_others(o)) {
            return Err(needs_approval(obligation).into());
        }
        let mut evidence = Evidence::default();
        for obligation in &ask.obligations {
            match obligation.kind {
                ObligationKind::LimitRows(rows) => {
                    evidence.rows = Some(evidence.rows.map_or(rows, |bound| bound.min(rows)));
                }
                ObligationKind::LimitSeconds(seconds) => {
                    evidence.seconds = Some(evidence.seconds.map_or(seconds, |bound| bound.min(seconds)));
                }
                ObligationKind::Confirm | ObligationKind::Approval(_) => {}
            }
            evidence.satisfied.insert(obligation.id.clone());
        }
        if ask.obligations.iter().any(|o| o.kind == ObligationKind::Confirm) {
            confirmed(&ask.obligations, subject.arrival, caller).await?;
            evidence.self_confirmed = true;
        }
        Ok(evidence)
    }

    /// Takes the approval, durably, in the last moment before the effect becomes final: once, whatever
    /// other calls and processes hold the same evidence. `effect` is what the executing transaction
    /// measured; when it is not inside the approved one, people are asked anew.
    ///
    /// # Errors
    /// [`Unmet::Pending`] for the new request; a refusal when the approval is spent, refused, expired or
    /// cancelled meanwhile. Nothing may then remain of the effect.
    #[expect(clippy::unused_async, reason = "writes the store once there are rows")]
    pub async fn spend(
        &self,
        _subject: Subject<'_>,
        evidence: &Evidence,
        _effect: Option<&Effect>,
    ) -> Result<(), Unmet> {
        match &evidence.approved {
            None => Ok(()),
            Some(_) => Err(Refusal::internal("an approval without a record of it").into()),
        }
    }

    /// Stands by a call that may spend an approval, so that the request learns what came of it.
    pub fn follow(&self, call_id: &CallId) -> Follow {
        Follow {
            call_id: call_id.clone(),
        }
    }
}

/// One call as the approval stage sees it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who asks, and how.
    pub arrival: &'a Arrival,
    /// What for.
    pub invocation: &'a Invocation,
    /// What it would touch.
    pub facts: &'a Facts,
}

impl<'a> Subject<'a> {
    /// One call.
    #[must_use]
    pub fn new(arrival: &'a Arrival, invocation: &'a Invocation, facts: &'a Facts) -> Self {
        Self {
            arrival,
            invocation,
            facts,
        }
    }
}

/// An open request that a call is part of.
#[derive(Debug)]
pub struct Attached {
    /// What was measured for it.
    pub effect: Option<Effect>,
}

/// Told of the end of a call. Dropped before, it makes the spent approval's outcome unknown.
#[derive(Debug)]
#[must_use]
pub struct Follow {
    call_id: CallId,
}

impl Follow {
    /// The call's answer is on record.
    #[expect(clippy::unused_async, reason = "writes the store once there are rows")]
    pub async fn settle(self, answered: bool) {
        tracing::trace!(call_id = %self.call_id, answered, "settled");
    }
}

fn needs_others(obligation: &Obligation) -> bool {
    matches!(obligation.kind, ObligationKind::Approval(_))
}

/// One question for all confirmations: a person asked twice stops reading.
async fn confirmed(
    obligations: &[Obligation],
    arrival: &Arrival,
    caller: &dyn Caller,
) -> Result<(), Refusal> {
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

fn needs_approval(obligation: &Obligation) -> Refusal {
    let mut message =
        "This call needs the approval of other people, which this server cannot collect.".to_owned();
    if let Some(explain) = &obligation.explain {
        message.push(' ');
        message.push_str(explain);
    }
    Refusal::new(
        Code::ApprovalUnavailable,
        message,
        "Do not retry. Ask for something smaller, or ask your person to arrange it with the operator.",
    )
}

/// What the person reads: our words first, the agent's last, escaped and marked as the agent's. It
/// holds nothing that came from a target.
fn prompt(obligations: &[Obligation], arrival: &Arrival, arguments: &str) -> String {
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

#[cfg(test)]
mod tests;
