//! `access_request`: the path of a call up to people's decision, and no further.

use super::{Gate, Stop};
use crate::approval::{Subject, ahead};
use crate::audit::Entry;
use crate::call::request::AccessRequest;
use crate::call::{
    Arrival, Caller, Code, Effect, Evidence, Hash, Invocation, Probe, RawOutput, Refusal, Request, Visible,
};
use crate::mask::Masked;
use crate::policy::{Ask, RuleSet, Verdict};
use crate::seats::Seat;
use crate::tool::Misfit;
use serde_json::Value;

/// The call that is asked about ahead.
pub(super) struct Meant<'a> {
    access: &'a AccessRequest,
    arrival: Arrival,
    invocation: Invocation,
}

impl Gate {
    /// The call that is meant by an asking, where it is one: typed, and noted on what it is. Nothing has run.
    /// `stored` is the key of the request that is asked about again.
    pub(super) fn meant<'a>(
        &self,
        arrival: &Arrival,
        (request, stored): (&'a Request, Option<Hash>),
        visible: &Visible,
        entry: &mut Entry,
    ) -> Option<Result<Meant<'a>, Refusal>> {
        let Request::AccessRequest(access) = request else {
            return None;
        };
        let arrival = Arrival {
            call_id: arrival.call_id.clone(),
            principal: arrival.principal.clone(),
            transport: arrival.transport,
            tool: access.tool.clone(),
            arguments: access.arguments.clone(),
            cancel: arrival.cancel.clone(),
            hold: arrival.hold,
        };
        Some(self.typed(&arrival, visible).map(|mut invocation| {
            if let Some(key) = stored {
                invocation.request_key = key;
            }
            entry.regards(&invocation);
            Meant {
                access,
                arrival,
                invocation,
            }
        }))
    }

    /// Inspects and decides the call that is meant as it would be if it were made, and asks people for it. Nothing
    /// but a measurement runs.
    pub(super) async fn access(
        &self,
        arrival: &Arrival,
        Meant {
            access,
            arrival: meant,
            invocation,
        }: Meant<'_>,
        caller: &dyn Caller,
        (entry, seat): (&mut Entry, Seat),
    ) -> Result<Masked, Stop> {
        let facts = self.resources.inspect(&invocation, &meant.cancel).await?;
        let rules = self.policies.current();
        let ask = match rules.decide(&meant, &invocation, &facts, &Evidence::default()) {
            Verdict::Permit(permit) => {
                entry.permitted(&permit);
                return self
                    .allowed(Subject::new(&meant, &invocation, &facts), &rules)
                    .await;
            }
            Verdict::Deny(denial) => return Err(entry.denied(denial).into()),
            Verdict::Ask(ask) => ask,
        };
        entry.asked(&ask);
        let subject = Subject::new(&meant, &invocation, &facts).ahead(access);
        if !ask.needs_people() {
            return self.allowed(subject, &rules).await;
        }
        if let Some(stands) = self.approvals.access(&ask, subject, &rules).await? {
            return self.told(arrival, stands);
        }
        let effect = self.measured(&ask, subject, entry).await?;
        drop(seat); // who waits for people takes no seat
        let id = self.approvals.ask_ahead(&ask, subject, effect, caller).await?;
        let rules = self.policies.current();
        let granted = self.approvals.granted_ahead(&ask, subject, &id, &rules);
        self.told(arrival, granted.await?)
    }

    /// Nobody has to be asked. Who waits with an earlier request for people waits for nothing: it goes.
    async fn allowed(&self, subject: Subject<'_>, rules: &RuleSet) -> Result<Masked, Stop> {
        let nobody = Evidence::default();
        self.approvals.spend(subject, &nobody, None, rules).await?;
        self.told(subject.arrival, ahead::allowed())
    }

    /// The call that is meant, which has to exist for the caller and to be about a resource.
    fn typed(&self, meant: &Arrival, visible: &Visible) -> Result<Invocation, Refusal> {
        let made = self.tools.invocation(meant, visible);
        let invocation = made.map_err(|misfit| match misfit {
            Misfit::Refused(refusal) => refusal,
            Misfit::Tool(unknown) => Refusal::new(
                Code::InvalidArguments,
                format!("There is no tool `{}` for you.", unknown.name),
                "Name a tool of the list, with the arguments you will send.",
            ),
        })?;
        let of_none = invocation.resource.is_none() || matches!(invocation.request, Request::Steps(_));
        if of_none {
            return Err(ahead::of_no_target(&meant.tool));
        }
        Ok(invocation)
    }

    /// What people are to see of the effect: as it was measured for the open request, or measured now.
    pub(super) async fn measured(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        entry: &mut Entry,
    ) -> Result<Option<Effect>, Stop> {
        let Subject {
            arrival,
            invocation,
            facts,
            ..
        } = subject;
        let attached = self.approvals.attach(ask, subject).await?; // the identical call is the same request
        Ok(match attached {
            Some(attached) => attached.effect,
            None if ask.needs_people() && facts.probe == Probe::Measurable => {
                self.approvals.measuring(subject)?;
                let rules = self.policies.current();
                let permit = rules.decide_measure(arrival, invocation, facts).permit();
                let permit = permit.map_err(|denial| entry.denied(denial))?;
                entry.measures(&permit).await?;
                let measured = self.resources.measure(permit, invocation, facts, &arrival.cancel);
                Some(measured.await?)
            }
            None => None,
        })
    }

    fn told(&self, arrival: &Arrival, data: Value) -> Result<Masked, Stop> {
        let raw = RawOutput::new(data);
        let raw = raw.map_err(|error| Refusal::internal(format!("access_request: {error}")))?;
        Ok(self.mask.output(&arrival.call_id, raw))
    }
}
