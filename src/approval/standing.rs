//! The requester's side: how their request stands, told to the client that made it and to nobody else.

use super::Approvals;
use super::review::State;
use crate::call::{ApprovalId, Principal};
use crate::clock::Timestamp;

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
    /// Until when its requester can ask for it.
    pub until: Timestamp,
    /// Where a person can see it.
    pub url: Option<String>,
}

#[expect(clippy::unused_async, reason = "reads the store once there are rows")]
impl Approvals {
    /// How this request stands, when it is this person's through this client. Costs one read; leaves no
    /// record, so that a client may poll it.
    pub async fn standing(&self, _principal: &Principal, _id: &ApprovalId) -> Option<Standing> {
        None
    }

    /// Withdraws this person's own request, if it has not been spent. Gives whether there is such a request.
    pub async fn withdraw(&self, _principal: &Principal, _id: &ApprovalId) -> bool {
        false
    }
}
