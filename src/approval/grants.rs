//! Grants as people see them, and how one is revoked.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::Approvals;
use super::lasting::{GrantTerms, is_theirs};
use super::review::{NotDecided, Reviewer, unrecorded};
use crate::call::{Approver, User};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{GrantRow, PersonRow};

/// Grants in one list.
const LISTED: u32 = 200;

/// One approval for a while.
#[derive(Debug, Clone, Serialize)]
pub struct GrantCard {
    /// Its id: 32 of `[a-z0-9]`.
    pub id: String,
    /// The request it was given with.
    pub approval: String,
    /// Whose calls fall under it: `<issuer>#<subject>`.
    pub requester: String,
    /// Through which program.
    pub agent: String,
    /// The only session, if it is for one.
    pub session: Option<String>,
    /// With which tool.
    pub tool: String,
    /// On what.
    pub resource: Option<String>,
    /// What may be another value of the same kind, by name.
    pub free: BTreeSet<String>,
    /// Most rows of one use.
    pub rows: Option<u64>,
    /// The call it was given with (`runs`), and the free values as they were in it (`free`). Gone once it is over.
    pub call: Option<Value>,
    /// How often it could be used.
    pub uses: u32,
    /// How often it can still be used.
    pub uses_left: u32,
    /// RFC 3339 UTC.
    pub created_at: String,
    /// RFC 3339 UTC.
    pub ends_at: String,
    /// `stands`, `revoked`, `expired`, `used up`, or `void` (its people may not approve any more).
    pub state: String,
    /// Who revoked it.
    pub ended_by: Option<String>,
    /// Who agreed to it.
    pub approved_by: Vec<Approver>,
    /// Whether this person may revoke it now.
    pub may_revoke: bool,
}

impl Approvals {
    /// The grants this person may see, those that stand first, then newest first: those of their own calls, those they
    /// agreed to or are asked about, and all of what they administer.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn grants(&self, reviewer: &Reviewer, rules: &RuleSet) -> Result<Vec<GrantCard>, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Vec::new());
        };
        people.tick().await.map_err(unrecorded)?; // nothing is shown as standing that is over
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let mut cards = Vec::new();
        for row in tx.latest_grants(LISTED).await.map_err(unrecorded)? {
            let agreed = tx.grant_people(&row.id).await.map_err(unrecorded)?;
            let terms = GrantTerms::read(&row).map_err(unrecorded)?;
            let part = may_revoke(&reviewer.user, rules, &row, &agreed);
            let mut seats = terms.asks.iter().flat_map(|asked| &asked.seats);
            if part || seats.any(|(_, group)| reviewer.user.groups.contains(group)) {
                cards.push(card(row, terms, &agreed, part).map_err(unrecorded)?);
            }
        }
        tx.commit().await.map_err(unrecorded)?;
        Ok(cards)
    }

    /// Ends a grant at once; a call that has not spent it does not any more. Those who agreed to it may, its requester,
    /// and who administers the resource. It only takes a right away, so no fresh sign-in is asked. Returns once it is
    /// on record.
    ///
    /// # Errors
    /// [`NotDecided::Unknown`] also for one that is not theirs to end; [`NotDecided::Final`] for one that is over.
    pub async fn revoke(&self, reviewer: &Reviewer, rules: &RuleSet, id: &str) -> Result<(), NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        let row = tx.grant_row(id).await.map_err(unrecorded)?;
        let row = row.ok_or(NotDecided::Unknown)?;
        let agreed = tx.grant_people(id).await.map_err(unrecorded)?;
        if !may_revoke(&reviewer.user, rules, &row, &agreed) {
            return Err(NotDecided::Unknown);
        }
        let by = reviewer.user.id();
        let ended = people.end_grant(&mut tx, id, "revoked", Some(&by)).await;
        if !ended.map_err(unrecorded)? {
            return Err(NotDecided::Final("over"));
        }
        people.drop_uses(&mut tx, id).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        people.wake();
        people.record(None).await.map_err(|_| NotDecided::Unrecorded)
    }
}

fn may_revoke(user: &User, rules: &RuleSet, row: &GrantRow, agreed: &[PersonRow]) -> bool {
    let one_of = |one: &PersonRow| one.issuer == user.issuer && one.subject == user.subject;
    is_theirs(row, user)
        || agreed.iter().any(one_of)
        || rules.may_administer(user, row.resource.as_deref().unwrap_or_default())
}

fn card(row: GrantRow, terms: GrantTerms, agreed: &[PersonRow], part: bool) -> Result<GrantCard, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::Damaged(format!("grant {}: {error}", row.id));
    let call = row.sealed.as_deref().map(serde_json::from_str);
    let call = call.transpose().map_err(damaged)?;
    let approved_by = agreed.iter().map(|one| {
        Ok(Approver {
            issuer: one.issuer.clone(),
            subject: one.subject.clone(),
            groups: serde_json::from_str(&one.groups).map_err(damaged)?,
        })
    });
    Ok(GrantCard {
        approved_by: approved_by.collect::<Result<_, StoreError>>()?,
        requester: format!("{}#{}", row.issuer, row.subject),
        may_revoke: part && row.ended_at.is_none(),
        state: row.ended_how.unwrap_or_else(|| "stands".to_owned()),
        id: row.id,
        approval: row.approval,
        agent: row.client_id,
        session: row.session,
        tool: row.tool,
        resource: row.resource,
        free: terms.free,
        rows: terms.rows,
        call,
        uses: row.uses,
        uses_left: row.uses_left,
        created_at: Timestamp(row.created_at).rfc3339(),
        ends_at: Timestamp(row.ends_at).rfc3339(),
        ended_by: row.ended_by,
    })
}
