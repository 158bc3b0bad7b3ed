//! The last look, taken by the adapter in its executing transaction: everything is decided once more, and
//! the approval is spent, before the effect becomes final.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;

use super::{Gate, Stop};
use crate::approval::Subject;
use crate::call::{Caller, Code, Effect, Evidence, LastLook, RawOutput, Refusal, Unmet};

/// One call's last look.
pub(super) struct Last<'a> {
    gate: &'a Gate,
    subject: Subject<'a>,
    evidence: &'a Evidence,
    caller: &'a dyn Caller,
    /// Why the approval could not be spent, when that is more than a refusal.
    unmet: Mutex<Option<Unmet>>,
}

impl<'a> Last<'a> {
    pub(super) fn new(
        gate: &'a Gate,
        subject: Subject<'a>,
        evidence: &'a Evidence,
        caller: &'a dyn Caller,
    ) -> Self {
        Self {
            gate,
            subject,
            evidence,
            caller,
            unmet: Mutex::new(None),
        }
    }

    /// What came of the call, given what the adapter said.
    pub(super) fn judged(self, raw: Result<RawOutput, Refusal>) -> Result<RawOutput, Stop> {
        let unmet = self.unmet.into_inner().unwrap_or_else(PoisonError::into_inner);
        raw.map_err(|refusal| unmet.map_or(Stop::Refused(refusal), Stop::from))
    }

    async fn decide(&self, effect: Option<&Effect>) -> Result<(), Refusal> {
        let Subject {
            arrival,
            invocation,
            facts,
            ..
        } = self.subject;
        let rules = self.gate.policies.current();
        let still = rules.decide(arrival, invocation, facts, self.evidence).permit();
        let _unused = still.map_err(|denial| denial.refusal)?; // the right to run was taken before
        self.gate.identity.stands(&arrival.principal).await?;
        let approvals = &self.gate.approvals;
        let resource = invocation.resource.as_deref();
        let spent = match approvals.still_granted(self.evidence, &rules, resource).await {
            Ok(()) => approvals.spend(self.subject, self.evidence, effect, &rules).await,
            Err(void) => Err(void),
        };
        spent.map_err(|unmet| match unmet {
            Unmet::Refused(refusal) => refusal,
            other => {
                *self.unmet.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
                Refusal::new(
                    Code::ApprovalExpired,
                    "What this call would change is no longer what was approved, so nothing was changed.",
                    "Wait for the new decision.",
                )
            }
        })
    }
}

impl LastLook for Last<'_> {
    fn look<'b>(&'b self, effect: Option<&'b Effect>) -> BoxFuture<'b, Result<(), Refusal>> {
        Box::pin(self.decide(effect))
    }

    fn progress<'b>(&'b self, text: &'b str) -> BoxFuture<'b, ()> {
        Box::pin(async move {
            let call_id = &self.subject.arrival.call_id;
            if self.gate.audit.progress(call_id, text).await.is_ok() {
                self.caller.progress(text).await; // on record first
            }
        })
    }
}
