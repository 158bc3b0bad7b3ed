//! Breaking the glass: where policy names a group for it (`@break_glass`), a member who asked for something goes on
//! without the people who were asked. On the control side, with a reason and a fresh sign-in, and never by an agent.
//! Every channel hears of it, and somebody else has to review it afterwards.

use serde::Serialize;

use super::people::{People, millis};
use super::review::{Card, NotDecided, Reviewer, State, Via, reason_of, unrecorded};
use super::terms::{Terms, state};
use super::{Approvals, Event};
use crate::call::{ApprovalId, UserKind, hex};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
use crate::store::approvals::{ApprovalRow, BreakGlassRow, Change};
use crate::store::rows::Tx;

/// Most in one list.
const LISTED: u32 = 200;

/// One request that went on without the people who were asked.
#[derive(Debug, Clone, Serialize)]
pub struct BrokenGlass {
    /// The request.
    pub approval: String,
    /// Who did it: `<issuer>#<subject>`.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// RFC 3339 UTC.
    pub at: String,
    /// With which tool.
    pub tool: String,
    /// On what.
    pub resource: Option<String>,
    /// Which action.
    pub action_sha256: String,
    /// Who reviewed it; nobody yet, without it.
    pub reviewed_by: Option<String>,
    /// RFC 3339 UTC.
    pub reviewed_at: Option<String>,
    /// What they found.
    pub review: Option<String>,
    /// Whether this person may review it now.
    pub may_review: bool,
}

impl Approvals {
    /// Goes on with one's own request, whose hash is repeated. Returns once it is on record.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn break_glass(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
        reason: &str,
        seen: &str,
    ) -> Result<Card, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        people.signed_in(reviewer)?;
        let reason = reason_of(reason)?;
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        let row = people.taken(&mut tx, &id.0).await.map_err(unrecorded)?;
        let row = row.ok_or(NotDecided::Unknown)?;
        let done = people.break_it(&mut tx, reviewer, &row, &reason, seen).await;
        people.finish(tx, done, id).await?;
        people.card(reviewer, rules, id).await
    }

    /// What went on without the people who were asked, unreviewed first: their own, and what they are asked about or
    /// administer.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn broken_glass(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
    ) -> Result<Vec<BrokenGlass>, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Vec::new());
        };
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let rows = tx.all_broken_glass(LISTED).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let user = &reviewer.user;
        let shown = rows.into_iter().filter_map(|row| {
            let terms: Terms = serde_json::from_str(&row.terms).ok()?;
            let own = row.issuer == user.issuer && row.subject == user.subject;
            let asked = terms.asks_of(&user.groups);
            let resource = row.resource.as_deref().unwrap_or_default();
            let sees = own || asked || rules.may_administer(user, resource);
            let may_review = row.reviewed_at.is_none() && people.reviews(reviewer, rules, &row);
            sees.then(|| shown(&row, may_review))
        });
        Ok(shown.collect())
    }

    /// Closes the review of one, in words. Somebody who is asked about such requests does it, never who broke the
    /// glass. Returns once it is on record.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn review_broken_glass(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
        words: &str,
    ) -> Result<(), NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        people.signed_in(reviewer)?;
        let words = reason_of(words)?;
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let row = tx.broken_glass(&id.0).await.map_err(unrecorded)?;
        let is_there = tx.row(&id.0).await.map_err(unrecorded)?.is_some();
        tx.commit().await.map_err(unrecorded)?;
        let row = row.ok_or(NotDecided::Unknown)?;
        if row.issuer == reviewer.user.issuer && row.subject == reviewer.user.subject {
            return Err(NotDecided::OwnRequest);
        }
        if !people.reviews(reviewer, rules, &row) {
            return Err(NotDecided::Unknown); // reviewed or not is nothing for strangers
        }
        let (now, by) = (people.now(), reviewer.user.id());
        if row.reviewed_by.is_some() {
            return Err(NotDecided::Final("reviewed"));
        }
        if !is_there {
            // Its request is gone by now, and no event of it can be kept: on record first, with nothing held, because the
            // journal may be in the same file.
            let event = late_review(&row, now, &by, &words);
            people.note(&event).await.map_err(|_| NotDecided::Unrecorded)?;
        }
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        if !tx.reviewed(&id.0, now, &by, &words).await.map_err(unrecorded)? {
            return Err(NotDecided::Final("reviewed"));
        }
        if is_there {
            let told = tx
                .event(&id.0, now, "reviewed", Some(&by), Some(&words), None)
                .await;
            told.map_err(unrecorded)?;
        }
        people.finish(tx, Ok(()), id).await
    }
}

impl People {
    /// Whether somebody may go on with this request of theirs alone.
    pub(super) fn may_break(&self, reviewer: &Reviewer, row: &ApprovalRow, terms: &Terms) -> bool {
        let user = &reviewer.user;
        let own = user.issuer == row.issuer && user.subject == row.subject;
        let open = row.state == State::Pending.as_str();
        own && open && user.kind == UserKind::Person && terms.breaks(&user.groups)
    }

    /// Whether somebody is one of those who review it: beyond doubt another human than who broke the glass.
    fn reviews(&self, reviewer: &Reviewer, rules: &RuleSet, row: &BreakGlassRow) -> bool {
        let user = &reviewer.user;
        let own = row.issuer == user.issuer && row.subject == user.subject;
        let Ok(terms) = serde_json::from_str::<Terms>(&row.terms) else {
            return false;
        };
        let resource = row.resource.as_deref().unwrap_or_default();
        !own && self.is_other(user, &row.issuer)
            && user.kind == UserKind::Person
            && terms.asks_of(&user.groups)
            && rules.may_approve(user, resource, reviewer.acr.as_deref())
    }

    async fn break_it(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        row: &ApprovalRow,
        reason: &str,
        seen: &str,
    ) -> Result<(), NotDecided> {
        let terms = Terms::read(row).map_err(unrecorded)?;
        let user = &reviewer.user;
        if user.issuer != row.issuer || user.subject != row.subject {
            return Err(NotDecided::Unknown); // and those who are asked decide it
        }
        let now_state = state(row).map_err(unrecorded)?;
        if now_state != State::Pending {
            return Err(NotDecided::Final(now_state.as_str()));
        }
        if !self.may_break(reviewer, row, &terms) || reviewer.via != Via::Control {
            return Err(NotDecided::OwnRequest); // never by a message, whatever the message says
        }
        if hex(&row.action_sha256) != seen {
            return Err(NotDecided::Changed);
        }
        self.keyed(reviewer, row, seen)?;
        let (now, by) = (self.now(), user.id());
        let broken = BreakGlassRow {
            approval: row.id.clone(),
            issuer: user.issuer.clone(),
            subject: user.subject.clone(),
            groups: serde_json::json!(user.groups).to_string(),
            reason: reason.to_owned(),
            at: now,
            tool: row.tool.clone(),
            resource: row.resource.clone(),
            action_sha256: row.action_sha256.to_vec(),
            terms: row.terms.clone(),
            reviewed_at: None,
            reviewed_by: None,
            reviewed_words: None,
        };
        if !tx.break_glass(&broken).await.map_err(unrecorded)? {
            return Err(NotDecided::Twice);
        }
        let told = tx
            .event(&row.id, now, "break_glass", Some(&by), Some(reason), None)
            .await;
        told.map_err(unrecorded)?;
        let change = Change {
            granted: Some((now, now.saturating_add(millis(self.settings.execute_within)))),
            ..Change::default()
        };
        let word = State::Granted.as_str();
        let shifted = tx.shift(&row.id, State::Pending.as_str(), word, &change).await;
        shifted.map_err(unrecorded)?;
        let why = Some("the glass was broken");
        let told = tx.event(&row.id, now, word, None, why, None).await;
        told.map_err(unrecorded)
    }
}

fn shown(row: &BreakGlassRow, may_review: bool) -> BrokenGlass {
    BrokenGlass {
        approval: row.approval.clone(),
        by: format!("{}#{}", row.issuer, row.subject),
        reason: row.reason.clone(),
        at: Timestamp(row.at).rfc3339(),
        tool: row.tool.clone(),
        resource: row.resource.clone(),
        action_sha256: hex(&row.action_sha256),
        reviewed_by: row.reviewed_by.clone(),
        reviewed_at: row.reviewed_at.map(|at| Timestamp(at).rfc3339()),
        review: row.reviewed_words.clone(),
        may_review,
    }
}

fn late_review(row: &BreakGlassRow, now: u64, by: &str, words: &str) -> Event {
    Event {
        seq: 0,
        approval: ApprovalId(row.approval.clone()),
        at: Timestamp(now).rfc3339(),
        event: "reviewed".to_owned(),
        by: Some(by.to_owned()),
        words: Some(words.to_owned()),
        method: None,
        call_id: None,
        requester: format!("{}#{}", row.issuer, row.subject),
        agent: "control".to_owned(),
        session: "control".to_owned(),
        tool: row.tool.clone(),
        resource: row.resource.clone(),
        rules: Vec::new(),
        waited: None,
        action_sha256: hex(&row.action_sha256),
        effect: None,
    }
}
