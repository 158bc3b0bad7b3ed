//! Ask → Evidence | Refusal.
use crate::call::{Arrival, Caller, Evidence, Refusal};
use crate::policy::Ask;

/// Meets obligations.
pub struct Approvals;

impl Approvals {
    /// Meets every obligation of `ask`, or says why not.
    pub async fn satisfy(
        &self,
        _ask: Ask,
        _arrival: &Arrival,
        _caller: &dyn Caller,
    ) -> Result<Evidence, Refusal> {
        unimplemented!()
    }
}
