//! Asking before the call: people are asked for a grant, and nothing runs when they agree.
//!
//! The request is the one that the call itself would open, so the call, made later, is part of it: it finds the
//! decision, or waits for it. It never runs without its caller.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::people::{People, failed};
use super::repeatable;
use super::shape::Shape;
use super::terms::Terms;
use super::{Approvals, Subject, words};
use crate::call::request::AccessRequest;
use crate::call::{ApprovalId, Caller, Effect, Refusal, Unmet};
use crate::clock::Timestamp;
use crate::policy::{Ask, RuleSet};
use crate::store::StoreError;

/// What the agent says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ahead {
    /// Why. Claimed.
    pub(super) reason: String,
    /// For how long at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) minutes: Option<u32>,
}

/// Measurements in an hour, by one person's agents and in one process, of which no request came: whoever asks ahead takes a
/// place among the requests that may wait, or else costs the target its work for nothing.
const FRUITLESS: u32 = 20;
/// Milliseconds in which that is counted.
const HOUR: u64 = 3_600_000;
/// Most people of whom it is counted at once; then those of the hours before are forgotten.
const COUNTED: usize = 10_000;

/// Person → the hour, and how many in it.
pub(super) type Measured = HashMap<(String, String), (u64, u32)>;

impl Approvals {
    /// To be called before a measurement: what is asked about ahead is measured only so often without a request that comes
    /// of it. Calls are not counted: they take a place while they run.
    ///
    /// # Errors
    /// `limit_exceeded`.
    pub fn measuring(&self, subject: Subject<'_>) -> Result<(), Refusal> {
        match &self.people {
            Some(people) if subject.ahead.is_some() => people.measuring(subject),
            _ => Ok(()),
        }
    }

    /// What already stands for such a call where people approve it for a while; `None` when they have to be asked.
    /// To be called before anything is measured.
    ///
    /// # Errors
    /// `invalid_arguments` for no minutes; `approval_unavailable` where nobody could decide, or policy lets people approve such calls only one by one.
    pub async fn access(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        rules: &RuleSet,
    ) -> Result<Option<Value>, Unmet> {
        let people = self.people_for(ask)?;
        if subject.ahead.is_some_and(|asked| asked.minutes == Some(0)) {
            return Err(words::no_minutes().into());
        }
        let asks = Terms::asks_of_ask(ask);
        let settings = &people.settings;
        let may = settings.grant_minutes > 0 && !settings.security_key;
        let may = may && asks.iter().all(|asked| asked.grantable.is_some());
        if !may || !repeatable::is_kind(subject.facts) || Shape::of(subject, &asks).is_none() {
            return Err(words::one_by_one().into());
        }
        people.access(ask, subject, rules).await.map_err(failed)
    }

    /// Asks people for it, and gives the request that they granted. The subject says that it is asked ahead.
    ///
    /// # Errors
    /// [`Unmet::Pending`] when they took longer than the call may wait; `approval_unavailable` for what cannot be
    /// undone; what became of the request; as [`Approvals::satisfy`].
    pub async fn ask_ahead(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        effect: Option<Effect>,
        caller: &dyn Caller,
    ) -> Result<ApprovalId, Unmet> {
        let people = self.people_for(ask)?;
        let row = match people.open_one(ask, subject).await? {
            Some(row) => row,
            None => {
                let mut terms = Terms::of(ask, false, subject.facts, effect.as_ref());
                let row = people
                    .row_of(&mut terms, subject, effect.clone())
                    .map_err(failed)?;
                if people.offer(&row, &terms).map_err(failed)?.is_none() {
                    return Err(words::one_by_one().into());
                }
                let measured = effect.is_some();
                let row = people.ask(ask, subject, effect, false).await?;
                if measured {
                    people.came_of(subject);
                }
                row
            }
        };
        let id = row.id.clone();
        caller.waits_for(Some(&format!("approval {id} by other people")));
        let decided = people.wait(row, subject.arrival).await;
        caller.waits_for(None);
        decided?;
        Ok(ApprovalId(id))
    }

    /// What they granted with it.
    ///
    /// # Errors
    /// `not_found` where they approved the one call, and that is another session's; the store's, as a refusal.
    pub async fn granted_ahead(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        id: &ApprovalId,
        rules: &RuleSet,
    ) -> Result<Value, Unmet> {
        let people = self.people_for(ask)?;
        let granted = people.access(ask, subject, rules).await.map_err(failed)?;
        if let Some(granted) = granted {
            return Ok(granted);
        }
        let row = people.fresh(&id.0).await.map_err(failed)?;
        let here = &subject.arrival.principal.session.id;
        if row.as_ref().is_none_or(|row| row.session != *here) {
            return Err(words::of_its_session().into());
        }
        let until = row
            .and_then(|row| row.execute_by)
            .map(|at| Timestamp(at).rfc3339());
        Ok(json!({
            "access": "once", "until": until,
            "note": "People approved this one call: make it now, exactly as you asked for it.",
        }))
    }
}

impl People {
    fn measuring(&self, subject: Subject<'_>) -> Result<(), Refusal> {
        let hour = self.now() / HOUR;
        let mut measured = self.measured();
        if measured.len() >= COUNTED {
            measured.retain(|_, (at, _)| *at == hour);
        }
        if measured.len() >= COUNTED {
            return Err(words::measured_enough(FRUITLESS)); // so many people in an hour: nobody knows who is who
        }
        let count = measured.entry(whose(subject)).or_insert((hour, 0));
        if count.0 != hour {
            *count = (hour, 0);
        }
        if count.1 >= FRUITLESS {
            return Err(words::measured_enough(FRUITLESS));
        }
        count.1 += 1;
        Ok(())
    }

    /// A request came of what was measured.
    fn came_of(&self, subject: Subject<'_>) {
        if let Some((_, count)) = self.measured().get_mut(&whose(subject)) {
            *count = count.saturating_sub(1);
        }
    }

    /// The grant that stands for such a call, and that policy still has stand.
    async fn access(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        rules: &RuleSet,
    ) -> Result<Option<Value>, StoreError> {
        let asks = Terms::asks_of_ask(ask);
        let all = self.standing_grant(subject, &asks).await?;
        let mut tx = self.rows.read().await?;
        let mut stands = None;
        for grant in &all {
            if self.is_valid(&mut tx, grant, &asks, subject, rules).await? {
                stands = Some(grant);
                break;
            }
        }
        tx.commit().await?;
        Ok(stands.map(|(grant, terms, _)| {
            json!({
                "access": "granted", "until": Timestamp(grant.ends_at).rfc3339(), "uses": grant.uses_left,
                "rows": terms.rows, "free": terms.free,
                "note": "Such calls are approved: make them. What is in `free` may be another value; all else stays as it is.",
            })
        }))
    }
}

fn whose(subject: Subject<'_>) -> (String, String) {
    let user = &subject.arrival.principal.user;
    (user.issuer.clone(), user.subject.clone())
}

/// The arguments with which a request that was made ahead is asked about again.
pub(super) fn again(tool: &str, arguments: serde_json::Map<String, Value>, ahead: &Ahead) -> Value {
    json!(AccessRequest {
        tool: tool.to_owned(),
        arguments,
        reason: ahead.reason.clone(),
        minutes: ahead.minutes,
    })
}

/// What stands for a call that needs nobody's approval.
#[must_use]
pub fn allowed() -> Value {
    json!({"access": "allowed", "note": "You may make this call already: nobody has to approve it."})
}

/// Nothing of a target is asked for by it.
#[must_use]
pub fn of_no_target(tool: &str) -> Refusal {
    Refusal::new(
        crate::call::Code::InvalidArguments,
        format!("`{tool}` is no tool for which access is asked: it needs none, or its steps do."),
        "Name the tool that reads or changes the resource, with the arguments you will send.",
    )
}
