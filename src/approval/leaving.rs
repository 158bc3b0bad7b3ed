//! What happens to open requests when the session ends in which they were made: nobody waits for them any
//! more who may, so they are withdrawn.

use super::Approvals;
use super::people::People;
use super::review::State;
use super::terms::state;
use crate::call::CallId;
use crate::store::StoreError;
use crate::store::approvals::Change;

impl Approvals {
    /// Withdraws every open request that was made in this session; what was spent runs to its end. Returns
    /// once it is on record, or the next tick puts it there.
    ///
    /// # Errors
    /// The store's; the next tick tries again, where the store knows the session.
    pub async fn end_session(&self, session: &str) -> Result<(), StoreError> {
        let Some(people) = &self.people else {
            return Ok(());
        };
        loop {
            let mut tx = people.rows.read().await?;
            let open = tx.open_in_session(session).await?;
            tx.commit().await?;
            if open.is_empty() {
                return Ok(());
            }
            people.leave(&open).await?;
        }
    }

    /// Whether a call of this process has taken an approval, or is just taking it.
    #[must_use]
    pub fn has_spent(&self, call_id: &CallId) -> bool {
        let people = self.people.as_ref();
        people.is_some_and(|people| people.spending().contains_key(call_id))
    }
}

impl People {
    /// Withdraws what was asked for in sessions that are over by now, on whatever replica they ended.
    pub(super) async fn leave_ended(&self) -> Result<(), StoreError> {
        let mut tx = self.rows.read().await?;
        let open = tx.open_in_ended_sessions(self.now()).await?;
        tx.commit().await?;
        self.leave(&open).await
    }

    async fn leave(&self, ids: &[String]) -> Result<(), StoreError> {
        for id in ids {
            let mut tx = self.rows.write().await?;
            let row = self.taken(&mut tx, id).await?; // it may just have expired
            let open = |row: &crate::store::approvals::ApprovalRow| {
                state(row).map(|state| matches!(state, State::Pending | State::Granted))
            };
            if let Some(row) = row
                && open(&row)?
            {
                let now = self.now();
                let over = Change {
                    settled_at: Some(now),
                    ..Change::default()
                };
                let word = State::Cancelled.as_str();
                if tx.shift(id, &row.state, word, &over).await? {
                    let why = Some("the session in which it was asked for has ended");
                    tx.event(id, now, word, None, why, None).await?;
                }
            }
            tx.commit().await?;
            self.wake();
            if self.record(Some(id)).await.is_err() {
                tracing::warn!(approval = %id, "a withdrawal is not on record yet"); // the next tick does it
            }
        }
        Ok(())
    }
}
