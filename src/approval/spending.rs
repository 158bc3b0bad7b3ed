//! Taking an approval, once, and learning what came of it.

use serde_json::Value;

use super::Subject;
use super::asking::{ask_more, steady};
use super::people::{People, failed, millis};
use super::repeatable;
use super::review::State;
use super::terms::{Asked, Sealed, Terms, state};
use super::words;
use crate::call::{ApprovalId, Approved, CallId, Effect, Evidence, Refusal, Unmet};
use crate::policy::{RuleSet, Verdict};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change, Ended};
use crate::store::rows::Tx;

/// What came of trying to take an approval.
enum Taken {
    Spent,
    /// The new request.
    Overtaken(Box<ApprovalRow>),
    /// Somebody was faster, or it is not to be had any more.
    Gone(Box<ApprovalRow>),
}

impl People {
    /// See [`super::Approvals::spend`].
    pub(super) async fn spend(
        &self,
        subject: Subject<'_>,
        approved: &Approved,
        effect: Option<&Effect>,
        rules: &RuleSet,
    ) -> Result<(), Unmet> {
        let call_id = &subject.arrival.call_id;
        self.record(Some(&approved.id.0))
            .await
            .map_err(|_| words::unrecorded())?; // the grant first
        // Before the row: whatever interrupts this call now, `Follow` knows of it.
        self.spending().insert(call_id.clone(), approved.id.clone());
        // After an error its note stays: a commit that failed may have happened, and `Follow` looks.
        let taken = self.take(subject, approved, effect, rules).await?;
        self.wake();
        match taken {
            Taken::Spent => self
                .record(Some(&approved.id.0))
                .await
                .map_err(|_| words::unrecorded().into()),
            Taken::Overtaken(row) => {
                self.spending().remove(call_id);
                self.record(None).await.map_err(|_| words::unrecorded())?;
                let note = "What this call would change is no longer what was approved, so nothing was changed \
                            and people are asked anew, about what it would change now.";
                Err(Unmet::Pending(self.pending(&row, note.to_owned())))
            }
            Taken::Gone(row) => {
                self.spending().remove(call_id);
                let ending = self.ending(&row).await.map_err(failed)?;
                Err(ending.unwrap_or_else(|| self.runs_now(&row)))
            }
        }
    }

    /// A stored call that policy by now permits without an approval: it runs without one, and once. Its
    /// request goes, whatever else waits for it.
    pub(super) async fn moot(&self, call_id: &CallId) -> Result<(), Unmet> {
        let Some(id) = self.resumed().get(call_id).cloned() else {
            return Ok(());
        };
        let mut tx = self.rows.write().await.map_err(failed)?;
        let row = self.taken(&mut tx, &id.0).await.map_err(failed)?;
        let row = row.ok_or_else(|| Refusal::not_found(&id.0))?;
        let open = matches!(state(&row).map_err(failed)?, State::Pending | State::Granted);
        if open {
            let why = "not needed any more: policy permits the call without it";
            self.overtake(&mut tx, &row, why).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        self.wake();
        self.record(Some(&id.0)).await.map_err(|_| words::unrecorded())?;
        if open {
            self.resumed().remove(call_id);
            return Ok(());
        }
        Err(self
            .ending(&row)
            .await
            .map_err(failed)?
            .unwrap_or_else(|| self.runs_now(&row)))
    }

    pub(super) fn runs_now(&self, row: &ApprovalRow) -> Unmet {
        let note = "It was approved and is being carried out now. Call approval_wait again for its answer.";
        Unmet::Pending(self.pending(row, note.to_owned()))
    }

    /// Why people have to be asked anew before this becomes final, if they have: `more` where policy asks more by now.
    async fn why_anew(
        &self,
        tx: &mut Tx,
        (row, terms): (&ApprovalRow, &Terms),
        subject: Subject<'_>,
        approved: &Approved,
        effect: Option<&Effect>,
        (rules, more): (&RuleSet, bool),
    ) -> Result<Option<&'static str>, Unmet> {
        let enough = self.check(tx, (row, terms), subject, approved, rules).await?;
        let why = if more {
            "replaced: policy asks more of it by now"
        } else if !enough {
            "replaced: not enough of those who approved it count any more"
        } else if !is_within(effect, approved, terms)? {
            "replaced: its effect is no longer the approved one"
        } else if !self.count_use(tx, terms, row, subject).await.map_err(failed)? {
            "replaced: its grant is over"
        } else {
            return Ok(None);
        };
        Ok(Some(why))
    }

    async fn take(
        &self,
        subject: Subject<'_>,
        approved: &Approved,
        effect: Option<&Effect>,
        rules: &RuleSet,
    ) -> Result<Taken, Unmet> {
        let mut tx = self.rows.write().await.map_err(failed)?;
        let row = self
            .taken(&mut tx, &approved.id.0)
            .await
            .map_err(failed)?
            .ok_or_else(|| Refusal::not_found(&approved.id.0))?;
        if state(&row).map_err(failed)? != State::Granted {
            tx.commit().await.map_err(failed)?; // it may just have expired
            return Ok(Taken::Gone(Box::new(row)));
        }
        let mut terms = Terms::read(&row).map_err(failed)?;
        let now = asked_now(subject, rules);
        let more = now.as_ref().is_some_and(|now| ask_more(&terms.asks, now));
        let why = self
            .why_anew(&mut tx, (&row, &terms), subject, approved, effect, (rules, more))
            .await?;
        if let Some(why) = why {
            terms.asks = now.unwrap_or(terms.asks);
            let new = self.anew(&row, terms, subject, effect).map_err(failed)?;
            self.overtake(&mut tx, &row, why).await.map_err(failed)?;
            self.put(&mut tx, &new, subject.arrival).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            return Ok(Taken::Overtaken(Box::new(new)));
        }
        let call_id = subject.arrival.call_id.as_str();
        let spent = State::Spent.as_str();
        let change = Change {
            call_id: Some(call_id.to_owned()),
            session: Some(subject.arrival.principal.session.id.clone()),
            ..Change::default()
        };
        let won = tx
            .shift(&row.id, State::Granted.as_str(), spent, &change)
            .await
            .map_err(failed)?;
        if !won {
            return Err(Refusal::internal("a row changed under its lock").into());
        }
        tx.event(&row.id, self.now(), spent, None, None, Some(call_id))
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Taken::Spent)
    }

    /// Counts one use of the grant that the request falls under, if it falls under one. Gives whether it was to be had.
    async fn count_use(
        &self,
        tx: &mut Tx,
        terms: &Terms,
        row: &ApprovalRow,
        subject: Subject<'_>,
    ) -> Result<bool, StoreError> {
        let Some(under) = &terms.grant else {
            return Ok(true);
        };
        let now = self.now();
        if !repeatable::is_kind(subject.facts) || !tx.use_grant(&under.id, now).await? {
            return Ok(false);
        }
        let left = tx.grant_row(&under.id).await?.map_or(0, |grant| grant.uses_left);
        let told = format!("grant {}: {left} uses left", under.id);
        let call = Some(subject.arrival.call_id.as_str());
        tx.event(&row.id, now, "grant_used", None, Some(&told), call)
            .await?;
        Ok(true)
    }

    /// What the state alone does not say: that it is this action, that nobody refused it, and that all of this is on
    /// record. Gives whether enough people approved it and still count.
    async fn check(
        &self,
        tx: &mut Tx,
        (row, terms): (&ApprovalRow, &Terms),
        subject: Subject<'_>,
        approved: &Approved,
        rules: &RuleSet,
    ) -> Result<bool, Unmet> {
        let action = subject
            .facts
            .action_sha256(subject.invocation, approved.effect.as_ref());
        if row.action_sha256 != action.0 || row.action_sha256 != approved.action_sha256.0 {
            return Err(Refusal::internal("an approval of another action").into());
        }
        let met = self.met(tx, row, terms, Some(rules)).await?;
        if !tx.owed(Some(&row.id)).await.map_err(failed)?.is_empty() {
            return Err(words::unrecorded().into());
        }
        Ok(met.is_some())
    }

    /// Ends a granted request that not enough people approve any more: the same call opens a new one. Gives what its
    /// caller reads.
    pub(super) async fn void(&self, id: &str) -> Result<Unmet, Unmet> {
        let mut tx = self.rows.write().await.map_err(failed)?;
        let row = self.taken(&mut tx, id).await.map_err(failed)?;
        if let Some(row) = row.filter(|row| row.state == State::Granted.as_str()) {
            let why = "not enough of those who approved it count any more";
            self.overtake(&mut tx, &row, why).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        self.wake();
        self.record(Some(id)).await.map_err(|_| words::unrecorded())?;
        Ok(words::void_approval().into())
    }

    /// The request about what the call would do now.
    fn anew(
        &self,
        row: &ApprovalRow,
        mut terms: Terms,
        subject: Subject<'_>,
        effect: Option<&Effect>,
    ) -> Result<ApprovalRow, StoreError> {
        let json = |error: serde_json::Error| StoreError::Damaged(error.to_string());
        let effect = effect.cloned().and_then(steady);
        let mut sealed = Sealed::read(row)?
            .ok_or_else(|| StoreError::Damaged(format!("approval {}: nothing to run", row.id)))?;
        terms.counts = effect.as_ref().map(Effect::counts);
        terms.grant = None; // people who see it now decide
        terms.ahead = false; // and by now the call is made
        sealed.ahead = None;
        let action = subject.facts.action_sha256(subject.invocation, effect.as_ref());
        sealed.effect = effect;
        let now = self.now();
        Ok(ApprovalRow {
            id: self.new_id(),
            state: State::Pending.as_str().to_owned(),
            action_sha256: action.0,
            terms: serde_json::to_string(&terms).map_err(json)?,
            sealed: Some(serde_json::to_string(&sealed).map_err(json)?),
            created_at: now,
            decide_by: now.saturating_add(millis(self.settings.decide_within)),
            granted_at: None,
            execute_by: None,
            unattended: terms.unattended(),
            escalate_at: terms.next_escalation(now, now),
            ..row.clone()
        })
    }

    /// The call's outcome is on record: the request learns it, and what was sealed goes.
    pub(super) async fn settle(&self, call_id: &CallId, answered: bool) -> Result<(), StoreError> {
        let Some(id) = self.spending().get(call_id).cloned() else {
            return Ok(());
        };
        let mut tx = self.rows.write().await?;
        if let Some(row) = unsettled(&mut tx, &id, call_id).await? {
            let known = if answered {
                Known::Answered
            } else {
                known(&tx.ended(call_id.as_str()).await?)
            };
            self.conclude(&mut tx, &row, known).await?;
        }
        tx.commit().await?;
        self.spending().remove(call_id);
        self.wake();
        let _later = self.record(Some(&id.0)).await; // it has happened; the next tick tries again
        Ok(())
    }

    /// The call went away without an outcome.
    pub(super) async fn lose(&self, call_id: &CallId, id: &ApprovalId) -> Result<(), StoreError> {
        let mut tx = self.rows.write().await?;
        if let Some(row) = unsettled(&mut tx, id, call_id).await? {
            self.conclude(&mut tx, &row, Known::Nothing).await?;
        }
        tx.commit().await?;
        self.spending().remove(call_id);
        self.wake();
        let _later = self.record(Some(&id.0)).await;
        Ok(())
    }

    /// What calls of processes that are gone left spent: their outcome, where the journal has it; else
    /// nobody knows. Gives the requests of which nobody does.
    pub(super) async fn reconcile(&self) -> Result<Vec<ApprovalId>, StoreError> {
        let mut tx = self.rows.read().await?;
        let rows = tx.unsettled().await?;
        tx.commit().await?;
        let mut lost = Vec::new();
        for row in rows {
            let own = |call: &String| self.spending().keys().any(|one| one.as_str() == call);
            if row.call_id.as_ref().is_some_and(own) {
                continue;
            }
            let mut tx = self.rows.write().await?;
            let call_id = row.call_id.clone().unwrap_or_default();
            let known = known(&tx.ended(&call_id).await?);
            let still = tx.row(&row.id).await?.filter(|row| row.settled_at.is_none());
            if let Some(row) = still {
                if known == Known::Nothing {
                    lost.push(ApprovalId(row.id.clone()));
                }
                self.conclude(&mut tx, &row, known).await?;
            }
            tx.commit().await?;
            self.wake();
        }
        Ok(lost)
    }

    async fn conclude(&self, tx: &mut Tx, row: &ApprovalRow, known: Known) -> Result<(), StoreError> {
        let now = self.now();
        let word = match known {
            Known::Running => return Ok(()),
            Known::Answered | Known::Failed => {
                let answered = known == Known::Answered;
                if !tx.answered(&row.id, answered, now).await? {
                    return Ok(());
                }
                if answered { "answered" } else { "failed" }
            }
            Known::Nothing => {
                let word = State::Unknown.as_str();
                let over = Change {
                    settled_at: Some(now),
                    ..Change::default()
                };
                if !tx.shift(&row.id, State::Spent.as_str(), word, &over).await? {
                    return Ok(());
                }
                word
            }
        };
        tx.event(&row.id, now, word, None, None, row.call_id.as_deref())
            .await
    }
}

/// What policy asks of people for this call now. `None` where it asks nothing of them.
fn asked_now(subject: Subject<'_>, rules: &RuleSet) -> Option<Vec<Asked>> {
    let nothing = Evidence::default();
    match rules.decide(subject.arrival, subject.invocation, subject.facts, &nothing) {
        Verdict::Ask(ask) => Some(Terms::asks_of_ask(&ask)).filter(|asks| !asks.is_empty()),
        Verdict::Permit(_) | Verdict::Deny(_) => None,
    }
}

/// How the call that spent an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Running,
    Answered,
    Failed,
    Nothing,
}

fn known(ended: &Ended) -> Known {
    let record = match ended {
        Ended::Open => return Known::Running,
        Ended::Nothing => return Known::Nothing,
        Ended::Outcome(record) => record,
    };
    let record: Value = serde_json::from_slice(record).unwrap_or_default();
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match (text("/phase"), text("/outcome/code")) {
        ("result", _) => Known::Answered,
        ("refusal", "outcome_unknown" | "internal" | "") => Known::Nothing,
        ("refusal", _) => Known::Failed,
        _ => Known::Nothing,
    }
}

async fn unsettled(
    tx: &mut Tx,
    id: &ApprovalId,
    call_id: &CallId,
) -> Result<Option<ApprovalRow>, StoreError> {
    let row = tx.row(&id.0).await?;
    Ok(row.filter(|row| {
        row.state == State::Spent.as_str()
            && row.settled_at.is_none()
            && row.call_id.as_deref() == Some(call_id.as_str())
    }))
}

/// Whether what would happen is inside what people saw. Where it could not be measured for them, there
/// is nothing it could be outside of: they approved the words.
fn is_within(effect: Option<&Effect>, approved: &Approved, terms: &Terms) -> Result<bool, Unmet> {
    match (effect, &approved.effect) {
        (_, None) => Ok(true),
        (Some(effect), Some(seen)) => Ok(effect.is_within(seen, terms.bound())),
        (None, Some(_)) => {
            Err(Refusal::internal("the executed effect of an approved change was not measured").into())
        }
    }
}
