//! Taking one person's decision, and what follows from it, in one transaction.

use super::counting::Count;
use super::people::{People, millis};
use super::review::{Card, Choice, NotDecided, Reviewer, State, Via, card, unrecorded};
use super::stand::{Acting, View};
use super::stronger::stronger;
use super::terms::{Terms, requester, state};
use crate::call::{ApprovalId, hex};
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change, DecisionRow};
use crate::store::rows::Tx;

impl People {
    /// Commits, also when nothing was decided (the request may just have expired), and returns once it is on
    /// record.
    pub(super) async fn finish(
        &self,
        tx: Tx,
        done: Result<(), NotDecided>,
        id: &ApprovalId,
    ) -> Result<(), NotDecided> {
        if done == Err(NotDecided::Unrecorded) {
            return done; // half of it must not stay
        }
        tx.commit().await.map_err(unrecorded)?;
        self.wake();
        let recorded = self.record(Some(&id.0)).await;
        recorded.map_err(|_| NotDecided::Unrecorded)?;
        done
    }

    pub(super) async fn card(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
    ) -> Result<Card, NotDecided> {
        let mut tx = self.rows.read().await.map_err(unrecorded)?;
        let row = tx
            .row(&id.0)
            .await
            .map_err(unrecorded)?
            .ok_or(NotDecided::Unknown)?;
        let terms = Terms::read(&row).map_err(unrecorded)?;
        let acting = self.acting(&mut tx, reviewer).await.map_err(unrecorded)?;
        let card = card(&mut tx, &acting, rules, &row, &terms)
            .await
            .map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        Ok(card)
    }

    /// The decision and what follows from it, in the caller's transaction. On an error nothing was
    /// written here.
    pub(super) async fn judge(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        rules: &RuleSet,
        row: &ApprovalRow,
        choice: &Choice,
        seen: &str,
    ) -> Result<(), NotDecided> {
        let terms = Terms::read(row).map_err(unrecorded)?;
        let acting = self.acting(tx, reviewer).await.map_err(unrecorded)?;
        match View::of(&acting, rules, row, &terms) {
            View::Nothing => return Err(NotDecided::Unknown),
            View::Own => return Err(NotDecided::OwnRequest),
            View::Only => return Err(NotDecided::NotAsked),
            View::Weak => return Err(stronger(&acting, rules, row, &terms)),
            View::Decides => {}
        }
        let now_state = state(row).map_err(unrecorded)?;
        let late_refusal = now_state == State::Granted && matches!(choice, Choice::Refuse(_)); // any refusal wins
        if now_state != State::Pending && !late_refusal {
            return Err(NotDecided::Final(now_state.as_str()));
        }
        if hex(&row.action_sha256) != seen {
            return Err(NotDecided::Changed);
        }
        self.decided_here(reviewer, row, &terms)?;
        if !matches!(choice, Choice::Refuse(_)) {
            if !acting.may_count(row) {
                return Err(NotDecided::OtherIssuer);
            }
            let before = tx.decisions(&row.id).await.map_err(unrecorded)?;
            reviewer.first_by_account(&before)?;
            self.keyed(reviewer, row, seen)?;
        }
        if let Choice::ApproveFor(wish) = choice {
            self.grantable(row, &terms, wish)?;
        }
        self.called_back(tx, reviewer, row, choice).await?;
        self.write(tx, &acting, rules, (row, &terms), choice).await
    }

    async fn write(
        &self,
        tx: &mut Tx,
        acting: &Acting<'_>,
        rules: &RuleSet,
        (row, terms): (&ApprovalRow, &Terms),
        choice: &Choice,
    ) -> Result<(), NotDecided> {
        let now = self.now();
        let by = acting.reviewer.user.id();
        let decision = decision(acting, row, terms, choice, now).map_err(unrecorded)?;
        let is_first = tx.decide(&row.id, &decision).await.map_err(unrecorded)?;
        // Who approved may think better of it. That they approved stays on record: a decision does not change.
        if !is_first && !matches!(choice, Choice::Refuse(_)) {
            return Err(NotDecided::Twice);
        }
        if let Choice::Refuse(reason) = choice {
            let (word, over) = (State::Refused.as_str(), over(now));
            tx.shift(&row.id, &row.state, word, &over)
                .await
                .map_err(unrecorded)?;
            let (who, how) = ((by.as_str(), Some(reason.as_str())), decision.method.as_deref());
            let told = tx.decided((&row.id, now), word, who, how).await;
            return told.map_err(unrecorded);
        }
        let told = decision
            .standing_for
            .as_ref()
            .map(|whom| format!("standing in for {whom}"));
        let (who, how) = ((by.as_str(), told.as_deref()), decision.method.as_deref());
        tx.decided((&row.id, now), "approved", who, how)
            .await
            .map_err(unrecorded)?;
        let decisions = tx.decisions(&row.id).await.map_err(unrecorded)?;
        let asker = requester(row);
        let count = Count::of(terms, &asker).under(rules, row.resource.as_deref());
        let people = self.counted(tx, &decisions, count).await.map_err(unrecorded)?;
        if terms.is_met(&people, &asker) {
            let execute_by = now.saturating_add(millis(self.settings.execute_within));
            let change = Change {
                granted: Some((now, execute_by)),
                ..Change::default()
            };
            let word = State::Granted.as_str();
            tx.shift(&row.id, State::Pending.as_str(), word, &change)
                .await
                .map_err(unrecorded)?;
            tx.event(&row.id, now, word, None, None, None)
                .await
                .map_err(unrecorded)?;
            self.grant(tx, row, terms, &decisions).await.map_err(unrecorded)?;
        }
        Ok(())
    }

    pub(super) async fn withdraw(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        rules: &RuleSet,
        row: &ApprovalRow,
    ) -> Result<(), NotDecided> {
        let terms = Terms::read(row).map_err(unrecorded)?;
        let acting = self.acting(tx, reviewer).await.map_err(unrecorded)?;
        match View::of(&acting, rules, row, &terms) {
            View::Nothing => return Err(NotDecided::Unknown),
            View::Decides if matches!(reviewer.via, Via::Callback(_)) => return Err(NotDecided::NotAsked),
            View::Only => return Err(NotDecided::NotAsked),
            View::Weak => return Err(stronger(&acting, rules, row, &terms)),
            View::Own | View::Decides => {}
        }
        let now_state = state(row).map_err(unrecorded)?;
        if !matches!(now_state, State::Pending | State::Granted) {
            return Err(NotDecided::Final(now_state.as_str()));
        }
        self.decided_here(reviewer, row, &terms)?;
        let now = self.now();
        let word = State::Cancelled.as_str();
        tx.shift(&row.id, &row.state, word, &over(now))
            .await
            .map_err(unrecorded)?;
        let by = reviewer.user.id();
        tx.event(&row.id, now, word, Some(&by), None, None)
            .await
            .map_err(unrecorded)
    }
}

fn decision(
    acting: &Acting<'_>,
    row: &ApprovalRow,
    terms: &Terms,
    choice: &Choice,
    now: u64,
) -> Result<DecisionRow, StoreError> {
    let reviewer = acting.reviewer;
    let standing = acting.before(row, terms);
    let approves = !matches!(choice, Choice::Refuse(_));
    let wish = match choice {
        Choice::ApproveFor(wish) => Some(serde_json::json!(wish).to_string()),
        Choice::Approve | Choice::Refuse(_) => None,
    };
    let held = serde_json::to_string(&standing.held);
    Ok(DecisionRow {
        standing: Some(held.map_err(|error| StoreError::Damaged(error.to_string()))?),
        issuer: reviewer.user.issuer.clone(),
        subject: reviewer.user.subject.clone(),
        groups: serde_json::json!(standing.seats).to_string(),
        approves,
        at: now,
        method: reviewer.method().filter(|_| approves || reviewer.key.is_none()),
        wish,
        acr: reviewer.acr.clone(),
        standing_for: standing.standing_for,
        on_behalf: match &reviewer.via {
            Via::Callback(callback) => callback.on_behalf.clone(),
            Via::Control | Via::Message { .. } => None,
        },
    })
}

pub(super) fn over(now: u64) -> Change {
    Change {
        settled_at: Some(now),
        ..Change::default()
    }
}
