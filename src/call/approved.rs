//! What the approval stage hands to the others.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bound, CallId, Effect, Hash, Refusal};

/// Names one request for people's decision: 32 characters of `[a-z0-9]`, chosen by us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApprovalId(pub String);

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A person who approved, with the local groups they had when they did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Approver {
    /// The issuer's configured name.
    pub issuer: String,
    /// The subject at that issuer.
    pub subject: String,
    /// Local group names.
    pub groups: BTreeSet<String>,
}

/// What people approved: evidence for `@approval`. Policy counts the people and compares the hash; this
/// is only what the durable record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approved {
    /// The request.
    pub id: ApprovalId,
    /// The action they saw and signed.
    pub action_sha256: Hash,
    /// Who, in the order of their decisions.
    pub approvers: Vec<Approver>,
    /// The effect they saw.
    #[serde(skip)]
    pub effect: Option<Effect>,
    /// How closely the executed effect must keep to it.
    pub bound: Bound,
    /// The grant that the request fell under, where people approved it for a while before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The requester, with the groups of a fresh sign-in, where they went on without the people who were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<Approver>,
}

/// People have been asked and have not all decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The request.
    pub id: ApprovalId,
    /// Where a person can see it, when there is a control side.
    pub url: Option<String>,
    /// RFC 3339 UTC; afterwards silence is refusal.
    pub expires_at: String,
    /// What the agent should know: whom it waits for, or why it was asked anew.
    pub note: String,
}

/// Why obligations are not met.
#[derive(Debug)]
pub enum Unmet {
    /// Somebody or something said no.
    Refused(Refusal),
    /// Not yet.
    Pending(Pending),
    /// This very request was carried out before, by that call; its answer can be read again.
    Answered(CallId),
}

impl From<Refusal> for Unmet {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
