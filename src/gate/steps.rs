//! A tool with steps: each step walks the whole path, as a call of its own.

use futures::future::BoxFuture;

use super::Gate;
use crate::call::request::Steps;
use crate::call::{Arrival, Caller, Code, Refusal};
use crate::mask::{Masked, Taken};

impl Gate {
    /// Makes the calls of `steps` in order, each with its own id, intent, decision, record and mask, and
    /// puts what they were answered into one answer. The first one that waits for people ends it, and so
    /// does a refusal, unless its step says that the next one is taken anyway.
    pub(super) fn steps<'a>(
        &'a self,
        whole: &'a Arrival,
        steps: &'a Steps,
        caller: &'a dyn Caller,
    ) -> BoxFuture<'a, Masked> {
        Box::pin(async move {
            let mut taken = Taken {
                answers: Vec::with_capacity(steps.steps.len()),
                ended: false,
                steps: steps.steps.len(),
            };
            for step in &steps.steps {
                if whole.cancel.is_cancelled() {
                    return self.mask.refusal(&whole.call_id, &Refusal::cancelled()); // nobody reads the rest
                }
                let arrival = Arrival {
                    call_id: step.call_id.clone(),
                    principal: whole.principal.clone(),
                    transport: whole.transport,
                    tool: step.tool.clone(),
                    arguments: step.arguments.clone(),
                    cancel: whole.cancel.clone(),
                    hold: whole.hold,
                };
                let answer = self.call(arrival, caller).await;
                let answer = answer.unwrap_or_else(|_| self.mask.refusal(&step.call_id, &gone(&step.tool)));
                taken.ended =
                    answer.is_pending() || answer.is_error() && !(step.goes_on && may_go_on(&answer));
                taken.answers.push((step.tool.clone(), answer));
                if taken.ended {
                    break;
                }
            }
            self.mask.steps(&whole.call_id, taken)
        })
    }
}

/// Some refusals are never passed over: nobody knows what happened, nothing can be recorded, the caller
/// is gone, or their person is being asked.
fn may_go_on(answer: &Masked) -> bool {
    let code = answer
        .head()
        .pointer("/refusal/code")
        .and_then(|code| code.as_str());
    let never = [
        Code::OutcomeUnknown,
        Code::AuditUnavailable,
        Code::Cancelled,
        Code::ConfirmationRequired,
    ];
    code.is_some_and(|code| never.iter().all(|one| one.as_str() != code))
}

/// Policies changed while the steps before it ran.
fn gone(tool: &str) -> Refusal {
    Refusal::new(
        Code::NotPermitted,
        format!("The tool `{tool}` does not exist for you any more."),
        "Read the list of tools again.",
    )
}
