//! Principal + Invocation + Facts → Permit | Ask | Deny.
use crate::call::{Arrival, Evidence, Facts, Hash, Invocation, Limits, Principal, Refusal, Visible};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The loaded policies; swapped as a whole on reload.
pub struct Policies;

impl Policies {
    /// The set in force now.
    #[must_use]
    pub fn current(&self) -> Arc<RuleSet> {
        unimplemented!()
    }
}

/// One validated, indexed set of policies.
pub struct RuleSet;

impl RuleSet {
    /// What exists for a principal.
    #[must_use]
    pub fn visible(&self, _principal: &Principal) -> Visible {
        unimplemented!()
    }

    /// Decides one call.
    #[must_use]
    pub fn decide(
        &self,
        _arrival: &Arrival,
        _invocation: &Invocation,
        _facts: &Facts,
        _evidence: &Evidence,
    ) -> Verdict {
        unimplemented!()
    }
}

/// How it was decided: for the journal.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Digest of the policy set.
    pub digest: Hash,
    /// Determining policies.
    pub ids: Vec<String>,
    /// Ids of the obligations met.
    pub satisfied: BTreeSet<String>,
    /// What a candidate set would have decided, when it differs.
    pub candidate: Option<CandidateDifference>,
}

/// What a candidate policy set would have decided.
#[derive(Debug, Clone)]
pub struct CandidateDifference {
    /// Digest of the candidate set.
    pub digest: Hash,
    /// `permit`, `ask` or `deny`.
    pub verdict: String,
    /// Determining policies.
    pub ids: Vec<String>,
}

/// What policy says.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Go.
    Permit(Permit),
    /// Only if these obligations are met.
    Ask(Ask),
    /// No.
    Deny(Denial),
}

impl Verdict {
    /// The permit, or why there is none. An `Ask` at this point is a denial: evidence did not satisfy.
    pub fn permit(self) -> Result<Permit, Denial> {
        match self {
            Self::Permit(permit) => Ok(permit),
            Self::Deny(denial) => Err(denial),
            Self::Ask(_ask) => unimplemented!(),
        }
    }
}

/// The right to one effect. Made here only, consumed by the resource that runs.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    action_sha256: Hash,
    limits: Limits,
    reveal: BTreeSet<String>,
    resources: BTreeSet<String>,
    decision: Decision,
}

impl Permit {
    /// The one action it is for.
    #[must_use]
    pub fn action_sha256(&self) -> Hash {
        self.action_sha256
    }
    /// Upper bounds.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }
    /// `table.column` that may be shown.
    #[must_use]
    pub fn reveal(&self) -> &BTreeSet<String> {
        &self.reveal
    }
    /// For `list_resources`: what may be named.
    #[must_use]
    pub fn resources(&self) -> &BTreeSet<String> {
        &self.resources
    }
    /// For the journal.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// Obligations that must be met first.
#[derive(Debug)]
pub struct Ask {
    /// What is asked, in id order.
    pub obligations: Vec<Obligation>,
    /// For the journal.
    pub decision: Decision,
}

/// One obligation.
#[derive(Debug, Clone)]
pub struct Obligation {
    /// The policy's id.
    pub id: String,
    /// What it wants.
    pub kind: ObligationKind,
    /// `@explain`, if the policy has one.
    pub explain: Option<String>,
}

/// What an obligation wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObligationKind {
    /// At most this many rows.
    LimitRows(u64),
    /// At most this many seconds.
    LimitSeconds(u64),
    /// The same person, interactively.
    Confirm,
    /// Distinct people: (count, group).
    Approval(Vec<(u32, String)>),
}

/// A final no.
#[derive(Debug)]
pub struct Denial {
    /// What the agent may read.
    pub refusal: Refusal,
    /// For the journal.
    pub decision: Decision,
}
