//! The path of a call. This file is the product: what is not a line of [`Gate::walk`] does not happen.
//!
//! ```text
//! transport → identity → tool → inspect → audit(intent) → policy → approval → policy → resource → mask → audit(result) → transport
//! ```
//!
//! Words and codes: ARCHITECTURE.md. Types make the path hold: only `policy` can make a
//! [`Permit`](crate::policy::Permit), a resource consumes one per effect, a resource's answer can
//! only be opened by `mask`, and a transport can only send [`Masked`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use crate::approval::Approvals;
use crate::audit::{Audit, Entry};
use crate::call::{Arrival, Caller, Code, Evidence, Principal, Refusal};
use crate::identity::{Bearer, Identity, Rejection};
use crate::mask::{Mask, Masked};
use crate::policy::{Policies, Verdict};
use crate::resource::Resources;
use crate::seats::Seats;
use crate::tool::{Misfit, ToolCard, Tools, UnknownTool};

/// Every part of the path, put together once by `app`.
#[expect(missing_docs, reason = "each field is the stage of that name")]
pub struct Gate {
    pub identity: Identity,
    pub tools: Tools,
    pub policies: Policies,
    pub approvals: Approvals,
    pub resources: Resources,
    pub mask: Arc<Mask>,
    pub audit: Audit,
    pub seats: Seats,
}

impl Gate {
    /// Who asks: a bearer token becomes a principal, or a reason for HTTP 401.
    pub async fn admit(&self, bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        self.identity.admit(bearer).await
    }

    /// The tools that exist for this principal, by the same policies that decide calls.
    #[must_use]
    pub fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        self.tools.listed(&self.policies.current().visible(principal))
    }

    /// One call, from arrival to an answer that is masked and on record.
    ///
    /// # Errors
    /// [`UnknownTool`] when the tool does not exist for this principal: a protocol error, so that an
    /// invisible tool and an invented one look the same. Everything else is an answer.
    #[tracing::instrument(level = "debug", skip_all, name = "call")]
    pub async fn call(&self, mut arrival: Arrival, caller: &dyn Caller) -> Result<Masked, UnknownTool> {
        self.identity.recall(&mut arrival.principal); // what this session has read from, for policy
        let mut entry = self.audit.open(&arrival);
        let call_id = arrival.call_id.clone();
        let walk = AssertUnwindSafe(self.walk(&mut arrival, caller, &mut entry)).catch_unwind();
        let answer = match walk
            .await
            .unwrap_or_else(|_| Err(Stop::Refused(Refusal::internal("panic"))))
        {
            Ok(masked) => masked,
            Err(Stop::Refused(refusal)) => entry.refused(&self.mask, refusal),
            Err(Stop::UnknownTool(unknown)) => {
                entry.unknown_tool(&unknown).await;
                return Err(unknown);
            }
        };
        let settled = AssertUnwindSafe(entry.settle(&self.mask, answer)).catch_unwind(); // durable before it is offered
        Ok(settled
            .await
            .unwrap_or_else(|_| self.mask.refusal(&call_id, &unsettled())))
    }

    async fn walk(
        &self,
        arrival: &mut Arrival,
        caller: &dyn Caller,
        entry: &mut Entry,
    ) -> Result<Masked, Stop> {
        let cancel = &arrival.cancel.clone();
        let _seat = self.seats.take(&arrival.principal)?; // overloaded, not collapsed
        let rules = self.policies.current(); // one set of policies from here to the end
        let visible = rules.visible(&arrival.principal);
        let invocation = self.tools.invocation(arrival, &visible)?; // typed; nothing has run
        entry.concerns(&invocation);
        let facts = self.resources.inspect(&invocation, cancel).await?; // by the adapter that will execute it
        entry.intent(&invocation, &facts).await?; // no record, no call
        let mut evidence = Evidence::default();
        let mut permit = match rules.decide(arrival, &invocation, &facts, &evidence) {
            Verdict::Permit(permit) => permit,
            Verdict::Deny(denial) => return Err(entry.denied(denial).into()),
            Verdict::Ask(ask) => {
                entry.asked(&ask);
                evidence = self.approvals.satisfy(ask, arrival, caller).await?; // limits, people
                rules
                    .decide(arrival, &invocation, &facts, &evidence)
                    .permit()
                    .map_err(|denial| entry.denied(denial))?
            }
        };
        let labels = self.resources.labels(&invocation, &facts);
        while !self.identity.has_read(&arrival.principal.session, labels) {
            self.identity.recall(&mut arrival.principal); // another call of this session was faster
            permit = rules
                .decide(arrival, &invocation, &facts, &evidence)
                .permit()
                .map_err(|denial| entry.denied(denial))?;
        }
        entry.permitted(&permit);
        let raw = self.resources.run(permit, &invocation, &facts, cancel).await?; // one permit, one effect
        Ok(self.mask.output(&arrival.call_id, raw))
    }
}

/// When recording itself fell over: nobody knows how far the call came.
fn unsettled() -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        "Tollgate failed while recording this call, so its answer is withheld.",
        "Do not repeat it. Tell your operator the call_id.",
    )
}

/// Why the walk ended early.
enum Stop {
    Refused(Refusal),
    UnknownTool(UnknownTool),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Misfit> for Stop {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Tool(unknown) => Self::UnknownTool(unknown),
            Misfit::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
