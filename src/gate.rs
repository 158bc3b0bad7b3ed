//! The path of a call. This file is the product: what is not a line of [`Gate::walk`] does not happen.
//!
//! ```text
//! transport → identity → tool → inspect → audit(intent) → policy → approval → policy → resource → mask → audit(result) → transport
//! ```
//!
//! Words and codes: ARCHITECTURE.md. Types make the path hold: only `policy` can make a [`Permit`], a resource consumes
//! one per effect, its answer can only be opened by `mask`, and a transport can only send [`Masked`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

mod access;
mod last;
mod scope;
mod steps;
mod stop;

use crate::approval::{Approvals, Subject};
use crate::audit::{Audit, Entry};
use crate::call::{Arrival, Caller, Evidence, Principal, Refusal, Request};
use crate::identity::{Bearer, Identity, Rejection};
use crate::lookups::Lookups;
use crate::mask::{Mask, Masked};
use crate::meter::Meter;
use crate::policy::{Ask, Permit, Policies, RuleSet, Verdict};
use crate::resource::Resources;
use crate::seats::{Seat, Seats};
use crate::tool::{ToolCard, Tools, UnknownTool};
use last::Last;
use stop::{Stop, unsettled};

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
    pub lookups: Lookups,
    pub meter: Meter,
}

impl Gate {
    /// Who asks: a bearer token becomes a principal, or a reason for HTTP 401.
    pub async fn admit(&self, bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        self.identity.admit(bearer).await
    }

    /// The tools that exist for this principal, by the same policies that decide calls. What only a scope
    /// is missing for is among them: a client cannot ask for the scope of a tool it never hears of.
    #[must_use]
    pub fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        let principal = &self.stepped_up(principal);
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
        let spending = self.approvals.follow(&call_id); // an approval it spends learns what came of it
        let walk = AssertUnwindSafe(self.walk(&mut arrival, caller, &mut entry)).catch_unwind();
        let answer = match walk
            .await
            .unwrap_or_else(|_| Err(Stop::Refused(Refusal::internal("panic"))))
        {
            Ok(masked) => masked,
            Err(Stop::Refused(refusal)) => entry.refused(&self.mask, refusal),
            Err(Stop::Pending(pending)) => entry.pending(&self.mask, &pending),
            Err(Stop::Answered(earlier)) => entry.repeats(&self.mask, &earlier).await,
            Err(Stop::UnknownTool(unknown)) => {
                entry.unknown_tool(&unknown).await;
                return Err(unknown);
            }
        };
        let settled = AssertUnwindSafe(entry.settle(&self.mask, answer)).catch_unwind(); // durable before it is offered
        let answer = settled
            .await
            .unwrap_or_else(|_| self.mask.refusal(&call_id, &unsettled()));
        spending.settle(!answer.is_error()).await;
        Ok(answer)
    }

    async fn walk(
        &self,
        arrival: &mut Arrival,
        caller: &dyn Caller,
        entry: &mut Entry,
    ) -> Result<Masked, Stop> {
        let cancel = &arrival.cancel.clone();
        let mut seat = self.seats.take(&arrival.principal)?; // overloaded, not collapsed
        let mut rules = self.policies.current(); // one set of policies, but for whoever had to wait
        let visible = rules.visible(&arrival.principal);
        let mut invocation = self.tools.invocation(arrival, &visible)?; // typed; nothing has run
        let stored = self.approvals.resume(arrival, &invocation).await?;
        if let Some(key) = stored {
            invocation = self.tools.invocation(arrival, &visible)?; // approval_wait: the stored call, for its owner
            invocation.request_key = key; // in whatever session it was first sent
        }
        entry.concerns(&invocation);
        let meant = self.meant(arrival, (&invocation.request, stored), &visible, entry); // by access_request
        let facts = self.resources.inspect(&invocation, cancel).await?; // by the adapter that will execute it
        entry.intent(&invocation, &facts).await?; // no record, no call
        if let Request::Steps(steps) = &invocation.request {
            drop(seat); // each of them takes its own
            return Ok(self.steps(arrival, steps, caller).await); // and walks this path itself
        }
        if let Some(meant) = meant {
            return self.access(arrival, meant?, caller, (entry, seat)).await; // up to people's decision
        }
        let mut evidence = Evidence::default();
        let mut permit = match rules.decide(arrival, &invocation, &facts, &evidence) {
            Verdict::Permit(permit) => permit,
            Verdict::Deny(denial) => return Err(entry.denied(denial).into()),
            Verdict::Ask(ask) => {
                entry.asked(&ask);
                let subject = Subject::new(arrival, &invocation, &facts);
                (evidence, seat) = self.agree(ask, subject, caller, entry, seat).await?; // limits, people
                rules = self.policies.current();
                let subject = Subject::new(arrival, &invocation, &facts);
                Self::decided(&rules, subject, &evidence, entry)?
            }
        };
        let labels = self.resources.labels(&invocation, &facts);
        while !self.identity.has_read(&arrival.principal.session, labels) {
            self.identity.recall(&mut arrival.principal); // another call of this session was faster
            let subject = Subject::new(arrival, &invocation, &facts);
            permit = Self::decided(&rules, subject, &evidence, entry)?;
        }
        entry.permitted(&permit);
        self.lookups.spend(&invocation, &arrival.principal).await?; // a budget of its own
        let subject = Subject::new(arrival, &invocation, &facts);
        let last = Last::new(self, subject, &evidence, caller);
        let raw = self
            .resources
            .run(permit, &invocation, &facts, evidence.effect(), &last, cancel)
            .await; // one permit, one effect
        drop(seat);
        Ok(self.mask.output(&arrival.call_id, last.judged(raw)?))
    }

    /// Ask → Evidence. People see what would happen: its effect is measured first, under a permit and an
    /// intent of its own, and only when nothing but their decision stands between the call and its effect.
    async fn agree(
        &self,
        ask: Ask,
        subject: Subject<'_>,
        caller: &dyn Caller,
        entry: &mut Entry,
        seat: Seat,
    ) -> Result<(Evidence, Seat), Stop> {
        let effect = self.measured(&ask, subject, entry).await?;
        let rules = self.policies.current();
        let granted = self.approvals.under_grant(&ask, subject, effect.as_ref(), &rules);
        granted.await?; // where people approved such calls for a while
        if !ask.needs_people() {
            return Ok((self.approvals.satisfy(ask, subject, effect, caller).await?, seat));
        }
        drop(seat); // who waits for people takes no seat
        let evidence = self.approvals.satisfy(ask, subject, effect, caller).await?;
        entry.approved(&evidence);
        Ok((evidence, self.seats.take(&subject.arrival.principal)?))
    }

    /// Decides with the evidence; only now there is a permit.
    fn decided(
        rules: &RuleSet,
        subject: Subject<'_>,
        evidence: &Evidence,
        entry: &mut Entry,
    ) -> Result<Permit, Refusal> {
        let verdict = rules.decide(subject.arrival, subject.invocation, subject.facts, evidence);
        verdict.permit().map_err(|denial| entry.denied(denial))
    }
}
