//! Ask → Evidence | Refusal: obligations are met here, and nowhere else.
//!
//! Limits are met by applying them, `@confirm` by the caller's own person over the protocol, recorded
//! as self-confirmed, `@approval` by other people whose decisions are rows of the store (`review`).
//! Without a control side nobody could decide, and `@approval` is refused, never skipped. Deliberately
//! absent: any way for an agent to answer for a person, and any mention of who would have to approve
//! beyond what the policy itself explains.

pub mod ahead;
mod asking;
pub mod break_glass;
pub mod callbacks;
mod confirm;
mod counting;
mod deciding;
pub mod delegation;
mod events;
pub mod grants;
mod lasting;
mod leaving;
pub mod listing;
mod people;
mod posting;
mod repeatable;
pub mod review;
mod reviewer;
mod shape;
mod spending;
mod stand;
pub mod standing;
pub mod stats;
mod stronger;
mod terms;
mod words;

use std::sync::Arc;

use crate::call::request::AccessRequest;
use crate::call::{
    ApprovalId, Arrival, CallId, Caller, Effect, Evidence, Facts, Hash, Invocation, Refusal, Request, Unmet,
};
use crate::clock::World;
use crate::policy::{Ask, ObligationKind, RuleSet};
use crate::store::{Store, StoreError};
use confirm::confirmed;
pub use events::{Event, Events, Ledger, Unrecorded};
use people::People;
pub use people::Settings;

/// Meets obligations. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Approvals {
    people: Option<Arc<People>>,
}

impl Approvals {
    /// Lets all who wait for people look again: another process may have changed something.
    pub fn wake(&self) {
        if let Some(people) = &self.people {
            people.wake();
        }
    }

    /// Says, once, that this process stops: calls that wait for people answer that they are pending, so that they can be
    /// waited for at another process.
    pub fn leave(&self) {
        if let Some(people) = &self.people {
            people.leaving.cancel();
        }
    }

    /// Limits and confirmations; nothing that outlives a call, and nobody to ask.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With people: their decisions are rows of `store`, and every transition is in `ledger` before anybody
    /// acts on it. `url` is where people decide: a request's page is `<url>/approvals/<id>`.
    #[must_use]
    pub fn with_people(
        store: &Store,
        ledger: Arc<dyn Ledger>,
        world: Arc<dyn World>,
        settings: Settings,
        url: Option<url::Url>,
    ) -> Self {
        let rows = crate::store::rows::Rows::new(store.clone());
        Self {
            people: Some(Arc::new(People::new(rows, ledger, world, settings, url))),
        }
    }

    /// The transitions as notices; `None` without a control side.
    #[must_use]
    pub fn events(&self) -> Option<Events<'_>> {
        self.people.as_deref().map(|people| Events { people })
    }

    /// To be called at the start, once the journal has recorded what earlier processes left, and about
    /// every second: silence becomes refusal, calls that died are settled, the journal gets what it does
    /// not have yet. Gives the requests whose outcome turned out to be unknown.
    ///
    /// # Errors
    /// The store's; nothing is lost, the next time does it.
    pub async fn tick(&self) -> Result<Vec<ApprovalId>, StoreError> {
        match &self.people {
            Some(people) => people.tick().await,
            None => Ok(Vec::new()),
        }
    }

    /// Removes requests that became final long ago; the journal keeps what happened. Gives how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        match &self.people {
            Some(people) => people.prune().await,
            None => Ok(0),
        }
    }

    /// Granted requests that may run without their caller and that nobody has carried out: each as a call
    /// of its requester's, to be walked like any other.
    ///
    /// # Errors
    /// The store's.
    pub async fn unattended_due(&self) -> Result<Vec<Arrival>, StoreError> {
        match &self.people {
            Some(people) => people.unattended_due().await,
            None => Ok(Vec::new()),
        }
    }

    /// For `approval_wait`: puts the stored call in the place of this one, for its owner alone (the same
    /// user through the same program, in any session), and gives its `request_key`; every other call is
    /// left as it is, and gives `None`.
    ///
    /// # Errors
    /// `not_found` when there is no such request of this caller's; what became of it when it is final.
    pub async fn resume(
        &self,
        arrival: &mut Arrival,
        invocation: &Invocation,
    ) -> Result<Option<Hash>, Unmet> {
        match (&invocation.request, &self.people) {
            (Request::ApprovalWait(wait), Some(people)) => people.resume(arrival, wait).await,
            (Request::ApprovalWait(wait), None) => Err(Refusal::not_found(&wait.approval_id).into()),
            _ => Ok(None),
        }
    }

    /// The request this very call is already part of: the identical call attaches to it, and nothing is
    /// measured or asked twice.
    ///
    /// # Errors
    /// Before anything is measured: `approval_unavailable`, `limit_exceeded` (too many open requests); what
    /// became of the identical call a short time ago.
    pub async fn attach(&self, ask: &Ask, subject: Subject<'_>) -> Result<Option<Attached>, Unmet> {
        if !ask.needs_people() {
            return Ok(None);
        }
        let people = self.people_for(ask)?;
        let attached = people.attach(ask, subject).await?;
        Ok(attached.map(|effect| Attached { effect }))
    }

    /// Meets every obligation of `ask`, or says why not. An obligation that can never be met is found
    /// before anybody is asked anything. `effect` is what was measured for the reviewers.
    ///
    /// # Errors
    /// `approval_unavailable`, `approval_denied`, `approval_expired`, `confirmation_required` (the question
    /// went to the client, which calls again), `limit_exceeded` (more than a person can be shown, or too
    /// many open requests), `cancelled`; [`Unmet::Pending`] when people took longer than the call may wait.
    #[tracing::instrument(level = "debug", skip_all, name = "approval")]
    pub async fn satisfy(
        &self,
        ask: Ask,
        subject: Subject<'_>,
        effect: Option<Effect>,
        caller: &dyn Caller,
    ) -> Result<Evidence, Unmet> {
        let mut people = None;
        let mut open = None;
        if ask.needs_people() {
            let asked = self.people_for(&ask)?;
            open = asked.open_one(&ask, subject).await?;
            people = Some(asked);
        }
        let mut evidence = limits(&ask);
        let confirms = ask.obligations.iter().any(|o| o.kind == ObligationKind::Confirm);
        let before = open
            .as_ref()
            .is_some_and(|row| terms::Terms::read(row).is_ok_and(|terms| terms.self_confirmed));
        if confirms && !before {
            confirmed(&ask.obligations, subject.arrival, caller).await?; // their own person first
        }
        evidence.self_confirmed = confirms;
        if let Some(people) = people {
            let row = match open {
                Some(row) if before || !confirms => row,
                _ => people.ask(&ask, subject, effect, confirms).await?,
            };
            caller.waits_for(Some(&format!("approval {} by other people", row.id)));
            let decided = people.wait(row, subject.arrival).await;
            caller.waits_for(None);
            let (approved, terms) = decided?;
            if let Some(most) = terms.grant.and_then(|grant| grant.rows) {
                evidence.rows = Some(evidence.rows.map_or(most, |rows| rows.min(most)));
            }
            evidence.approved = Some(approved);
        }
        Ok(evidence)
    }

    /// Where people approved such calls for a while, grants this one by them: [`Self::satisfy`] then finds it
    /// granted. To be called with what was measured for it, before anybody is asked.
    ///
    /// # Errors
    /// The store's, as a refusal.
    pub async fn under_grant(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        effect: Option<&Effect>,
        rules: &RuleSet,
    ) -> Result<(), Unmet> {
        match &self.people {
            Some(people) if ask.needs_people() => people.under_grant(ask, subject, effect, rules).await,
            _ => Ok(()),
        }
    }

    /// For the last look: whether policy still lets those approve who granted what this call falls under. Ends the
    /// grant if not.
    ///
    /// # Errors
    /// `approval_expired`; the store's, as a refusal.
    pub async fn still_granted(
        &self,
        evidence: &Evidence,
        rules: &RuleSet,
        resource: Option<&str>,
    ) -> Result<(), Unmet> {
        let approved = evidence.approved.as_ref();
        let Some((approved, grant)) = approved.and_then(|one| Some((one, one.grant.as_ref()?))) else {
            return Ok(());
        };
        let people = self.people.as_ref();
        let people = people.ok_or_else(|| Refusal::internal("a grant without a record of it"))?;
        let resource = resource.unwrap_or_default();
        people.still_granted(grant, &approved.id.0, rules, resource).await
    }

    /// Takes the approval, durably, in the last moment before the effect becomes final: once, whatever
    /// other calls and processes hold the same evidence. `effect` is what the executing transaction
    /// measured; when it is not inside the approved one, people are asked anew. So they are when `rules` ask more by now
    /// than people were asked, or no longer let enough of them approve.
    ///
    /// # Errors
    /// [`Unmet::Pending`] for the new request; a refusal when the approval is spent, refused, expired or
    /// cancelled meanwhile. Nothing may then remain of the effect.
    pub async fn spend(
        &self,
        subject: Subject<'_>,
        evidence: &Evidence,
        effect: Option<&Effect>,
        rules: &RuleSet,
    ) -> Result<(), Unmet> {
        match (&evidence.approved, &self.people) {
            (None, Some(people)) => people.moot(&subject.arrival.call_id).await,
            (None, None) => Ok(()),
            (Some(approved), Some(people)) => people.spend(subject, approved, effect, rules).await,
            (Some(_), None) => Err(Refusal::internal("an approval without a record of it").into()),
        }
    }

    /// Stands by a call that may spend an approval, so that the request learns what came of it.
    pub fn follow(&self, call_id: &CallId) -> Follow {
        Follow {
            people: self.people.clone(),
            call_id: call_id.clone(),
        }
    }

    fn people_for(&self, ask: &Ask) -> Result<&Arc<People>, Refusal> {
        self.people.as_ref().ok_or_else(|| {
            let asks = ask.obligations.iter();
            let asks = asks.filter(|one| matches!(one.kind, ObligationKind::Approval(_)));
            words::unavailable(asks.filter_map(|one| one.explain.as_deref()))
        })
    }
}

/// The limits that apply, and every obligation by name: each is either a limit, or met before the evidence
/// is given away.
fn limits(ask: &Ask) -> Evidence {
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
    evidence
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
    /// Where the call is not made, but asked about ahead.
    ahead: Option<&'a AccessRequest>,
}

impl<'a> Subject<'a> {
    /// One call.
    #[must_use]
    pub fn new(arrival: &'a Arrival, invocation: &'a Invocation, facts: &'a Facts) -> Self {
        Self {
            arrival,
            invocation,
            facts,
            ahead: None,
        }
    }

    /// The same, asked about ahead: nothing runs.
    #[must_use]
    pub fn ahead(self, access: &'a AccessRequest) -> Self {
        Self {
            ahead: Some(access),
            ..self
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
    people: Option<Arc<People>>,
    call_id: CallId,
}

impl Follow {
    /// The call's answer is on record, or withheld because it could not be recorded.
    pub async fn settle(mut self, answered: bool) {
        let Some(people) = self.people.take() else {
            return;
        };
        people.resumed().remove(&self.call_id);
        if let Err(error) = people.settle(&self.call_id, answered).await {
            tracing::error!(call_id = %self.call_id, "approvals: {error}"); // the next tick settles it
            people.spending().remove(&self.call_id);
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let Some(people) = self.people.take() else {
            return;
        };
        people.resumed().remove(&self.call_id);
        let Some(id) = people.spending().get(&self.call_id).cloned() else {
            return;
        };
        let call_id = self.call_id.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = people.lose(&call_id, &id).await {
                    tracing::error!(%call_id, "approvals: {error}");
                    people.spending().remove(&call_id);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
