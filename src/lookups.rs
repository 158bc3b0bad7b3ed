//! How often a person may look up the rows of a value they know: each is a question about classified data, and many of
//! them are a list of everybody. All processes of one store count together.

use std::sync::Arc;

use crate::call::{Code, Invocation, Principal, Refusal};
use crate::clock::{Timestamp, World};
use crate::store::StoreError;
use crate::store::rows::Rows;

/// Milliseconds of the hour that is counted in.
const HOUR: u64 = 3_600_000;

/// The budgets.
#[derive(Debug)]
pub struct Lookups {
    rows: Rows,
    world: Arc<dyn World>,
    per_hour: u64,
}

impl Lookups {
    /// `per_hour` for each (issuer, subject); zero refuses every one.
    #[must_use]
    pub fn new(rows: Rows, world: Arc<dyn World>, per_hour: u64) -> Self {
        Self {
            rows,
            world,
            per_hour,
        }
    }

    /// Spends one of the person's, if the call looks something up. It is spent whatever comes of the call.
    ///
    /// # Errors
    /// `limit_exceeded` when there is none left, with the time when there is again; `internal` (to be retried) when
    /// the store cannot count.
    #[tracing::instrument(level = "debug", skip_all, name = "lookup")]
    pub async fn spend(&self, invocation: &Invocation, principal: &Principal) -> Result<(), Refusal> {
        if invocation.request.lookup().is_none() {
            return Ok(());
        }
        let person = (principal.user.issuer.as_str(), principal.user.subject.as_str());
        match self.count(person).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(again)) => Err(Refusal::new(
                Code::LimitExceeded,
                format!("You may look up {} values in an hour, and have.", self.per_hour),
                format!(
                    "Look up again after {}; ask without `lookup` until then.",
                    Timestamp(again).rfc3339()
                ),
            )),
            Err(error) => Err(Refusal::internal(format!("look-ups cannot be counted: {error}")).retry()),
        }
    }

    async fn count(&self, person: (&str, &str)) -> Result<Result<(), u64>, StoreError> {
        let mut tx = self.rows.write().await?;
        let now = self.world.now().0;
        let counted = tx.spend_lookup(person, (now, HOUR, self.per_hour)).await?;
        tx.commit().await?;
        Ok(counted)
    }
}
