//! The requester's side: how their request stands, told to the client that made it and to nobody else.

use super::Approvals;
use super::asking::is_owner;
use super::people::{People, millis};
use super::review::State;
use super::terms::state;
use crate::call::{ApprovalId, Principal};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change};

/// What the requester's own client may know of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it is.
    pub state: State,
    /// Whether what came of it is on record: never while it is open or while the call that spent it runs.
    pub settled: bool,
    /// When people were first asked.
    pub created_at: Timestamp,
    /// The last transition.
    pub changed_at: Timestamp,
    /// While it is open: until when it has to be decided or, once granted, executed.
    pub deadline: Timestamp,
    /// Until when its requester can ask for it, at the latest.
    pub until: Timestamp,
    /// Where a person can see it.
    pub url: Option<String>,
}

impl Approvals {
    /// How this request stands, when it is this person's through this client. Costs one read; leaves no
    /// record, so that a client may poll it.
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(
        &self,
        principal: &Principal,
        id: &ApprovalId,
    ) -> Result<Option<Standing>, StoreError> {
        match &self.people {
            Some(people) => people.standing(principal, id).await,
            None => Ok(None),
        }
    }

    /// Withdraws this person's own request, if it has not been spent. Gives whether there is such a
    /// request; returns once it is on record.
    ///
    /// # Errors
    /// The store's; it is then open whether it was withdrawn.
    pub async fn withdraw(&self, principal: &Principal, id: &ApprovalId) -> Result<bool, StoreError> {
        match &self.people {
            Some(people) => people.withdraw_own(principal, id).await,
            None => Ok(false),
        }
    }
}

impl People {
    async fn standing(&self, principal: &Principal, id: &ApprovalId) -> Result<Option<Standing>, StoreError> {
        let row = self.fresh(&id.0).await?;
        row.filter(|row| is_owner(row, principal))
            .map(|row| self.standing_of(&row))
            .transpose()
    }

    fn standing_of(&self, row: &ApprovalRow) -> Result<Standing, StoreError> {
        let settings = &self.settings;
        let last_chance = row
            .decide_by
            .saturating_add(millis(settings.execute_within))
            .saturating_add(millis(settings.result));
        let changed_at = row.settled_at.or(row.granted_at).unwrap_or(row.created_at);
        Ok(Standing {
            state: state(row)?,
            settled: row.settled_at.is_some(),
            created_at: Timestamp(row.created_at),
            changed_at: Timestamp(changed_at),
            deadline: Timestamp(row.execute_by.unwrap_or(row.decide_by)),
            until: Timestamp(last_chance),
            url: self.page(&row.id),
        })
    }

    async fn withdraw_own(&self, principal: &Principal, id: &ApprovalId) -> Result<bool, StoreError> {
        let mut tx = self.rows.write().await?;
        let row = self.taken(&mut tx, &id.0).await?;
        let Some(row) = row.filter(|row| is_owner(row, principal)) else {
            tx.commit().await?; // it may just have expired
            return Ok(false);
        };
        let now = self.now();
        if matches!(state(&row)?, State::Pending | State::Granted) {
            let over = Change {
                settled_at: Some(now),
                ..Change::default()
            };
            let word = State::Cancelled.as_str();
            if tx.shift(&row.id, &row.state, word, &over).await? {
                let by = principal.user.id();
                let why = Some("withdrawn by the client that asked");
                tx.event(&row.id, now, word, Some(&by), why, None).await?;
            }
        }
        tx.commit().await?;
        self.wake();
        if self.record(Some(&row.id)).await.is_err() {
            tracing::warn!(approval = %row.id, "a withdrawal is not on record yet"); // the next tick does it
        }
        Ok(true)
    }
}
