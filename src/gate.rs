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

mod last;
mod steps;
mod stop;

use crate::approval::{Approvals, Subject};
use crate::audit::{Audit, Entry};
use crate::call::{Arrival, Caller, Evidence, Principal, Probe, Refusal, Request};
use crate::identity::{Bearer, Identity, Rejection};
use crate::mask::{Mask, Masked};
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
}

impl Gate {
    /// Who asks: a bearer token becomes a principal, or a reason for HTTP 401.
    pub async fn admit(&self, bearer: Bearer<'_>) -> Result<Principal, Rejection> {
        self.identity.admit(bearer).await
    }

    /// The tools that exist for this principal, by the same policies that decide calls. What only a scope
    /// of the token is missing for is among them: a client cannot ask for the scope of a tool it
    /// never hears of.
    #[must_use]
    pub fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        let stepped_up = self.stepped_up(principal);
        let principal = stepped_up.as_ref().unwrap_or(principal);
        self.tools.listed(&self.policies.current().visible(principal))
    }

    /// Why a call of this tool needs a token with more scopes, where the tool exists for the principal.
    /// Said by the transport, before the call; policy keeps to the token's scopes in any case.
    #[must_use]
    pub fn step_up(&self, principal: &Principal, tool: &str) -> Option<Rejection> {
        let stepped_up = self.stepped_up(principal)?;
        let visible = self.policies.current().visible(&stepped_up);
        let tools = self.tools.taken_by(tool, &visible)?;
        self.identity.step_up(principal, tools)
    }

    /// The principal with a token of all scopes, if they could get one.
    fn stepped_up(&self, principal: &Principal) -> Option<Principal> {
        let mut stepped_up = self.identity.can_step_up(principal).then(|| principal.clone())?;
        stepped_up.scope.tools = None;
        Some(stepped_up)
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
        if let Some(key) = self.approvals.resume(arrival, &invocation).await? {
            invocation = self.tools.invocation(arrival, &visible)?; // approval_wait: the stored call, for its owner
            invocation.request_key = key; // in whatever session it was first sent
        }
        entry.concerns(&invocation);
        let facts = self.resources.inspect(&invocation, cancel).await?; // by the adapter that will execute it
        entry.intent(&invocation, &facts).await?; // no record, no call
        if let Request::Steps(steps) = &invocation.request {
            drop(seat); // each of them takes its own
            return Ok(self.steps(arrival, steps, caller).await); // and walks this path itself
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
        let last = Last::new(
            self,
            Subject::new(arrival, &invocation, &facts),
            &evidence,
            caller,
        );
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
        let Subject {
            arrival,
            invocation,
            facts,
        } = subject;
        let attached = self.approvals.attach(&ask, subject).await?; // the identical call is the same request
        let effect = match attached {
            Some(attached) => attached.effect,
            None if ask.needs_people() && facts.probe == Probe::Measurable => {
                let rules = self.policies.current();
                let permit = rules.decide_measure(arrival, invocation, facts).permit();
                let permit = permit.map_err(|denial| entry.denied(denial))?;
                entry.measures(&permit).await?;
                Some(
                    self.resources
                        .measure(permit, invocation, facts, &arrival.cancel)
                        .await?,
                )
            }
            None => None,
        };
        if !ask.needs_people() {
            return Ok((self.approvals.satisfy(ask, subject, effect, caller).await?, seat));
        }
        drop(seat); // who waits for people takes no seat
        let evidence = self.approvals.satisfy(ask, subject, effect, caller).await?;
        entry.approved(&evidence);
        Ok((evidence, self.seats.take(&arrival.principal)?))
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
