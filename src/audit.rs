//! The journal: no record, no call.
use crate::call::{Arrival, CallId, Facts, Invocation, Refusal};
use crate::mask::{Mask, Masked};
use crate::policy::{Denial, Permit};
use crate::tool::UnknownTool;

/// The journal.
pub struct Audit;

impl Audit {
    /// Opens the record of one call; nothing is written yet.
    pub fn open(&self, _arrival: &Arrival) -> Entry {
        unimplemented!()
    }

    /// Notes that the transport took every byte of the answer: offered and accepted are two facts.
    pub fn accepted(&self, _call_id: &CallId) {
        unimplemented!()
    }
}

/// One call's records. Dropped unsettled, it records that the caller went away.
#[must_use]
pub struct Entry;

impl Entry {
    /// Records what is about to happen.
    pub async fn intent(&mut self, _invocation: &Invocation, _facts: &Facts) -> Result<(), Refusal> {
        unimplemented!()
    }
    /// Notes the decision.
    pub fn permitted(&mut self, _permit: &Permit) {
        unimplemented!()
    }
    /// Notes a denial and gives what the agent may read of it.
    pub fn denied(&mut self, _denial: Denial) -> Refusal {
        unimplemented!()
    }
    /// Notes why it did not happen and gives the sendable form.
    pub fn refused(&mut self, _mask: &Mask, _refusal: Refusal) -> Masked {
        unimplemented!()
    }
    /// Records a call to a tool that does not exist for the caller.
    pub async fn unknown_tool(self, _unknown: &UnknownTool) {
        unimplemented!()
    }
    /// Makes the outcome durable, and only then gives the answer back.
    pub async fn settle(self, _mask: &Mask, _answer: Masked) -> Masked {
        unimplemented!()
    }
}
