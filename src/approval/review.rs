//! The reviewers' side: what people see of a request, and their decisions.

use serde::Serialize;

use super::Approvals;
use crate::call::{ApprovalId, Approver, User};
use crate::clock::Timestamp;
use crate::policy::RuleSet;

/// A person on the control side.
#[derive(Debug, Clone)]
pub struct Reviewer {
    /// Who they are, with the groups of their latest sign-in.
    pub user: User,
    /// When they last proved it interactively (`auth_time`, OpenID Connect Core 2).
    pub signed_in_at: Timestamp,
}

/// Where a request is on its way. Each transition is one compare-and-swap of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// People are being asked.
    Pending,
    /// Enough people approved; it may run once.
    Granted,
    /// Somebody refused.
    Refused,
    /// Not decided, or not executed, in time.
    Expired,
    /// Withdrawn by its requester, or overtaken by a new request.
    Cancelled,
    /// Taken by a call that runs or has run.
    Spent,
    /// Taken by a call of which nobody knows what became of it. Final.
    Unknown,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Yes, to exactly this action.
    Approve,
    /// No, and why: the requester reads it.
    Refuse(String),
}

/// A request as it stands in a list: masked, without arguments and samples.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// The request.
    pub id: ApprovalId,
    /// Where it is.
    pub state: State,
    /// Who asks: `<issuer>#<subject>`.
    pub requester: String,
    /// Through which program.
    pub agent: String,
    /// With which tool.
    pub tool: String,
    /// On what.
    pub resource: Option<String>,
    /// RFC 3339 UTC.
    pub created_at: String,
    /// Afterwards silence is refusal. RFC 3339 UTC.
    pub decide_by: String,
    /// Once granted: afterwards it cannot be executed. RFC 3339 UTC.
    pub execute_by: Option<String>,
    /// What is asked of whom: obligation id = seats by group.
    pub asks: Vec<(u32, String)>,
    /// Who approved so far.
    pub approved_by: Vec<Approver>,
    /// Whether this reviewer may decide it now.
    pub may_decide: bool,
}

/// Everything a reviewer decides on.
#[derive(Debug, Clone, Serialize)]
pub struct Sheet {
    /// The head.
    #[serde(flatten)]
    pub card: Card,
    /// What they sign: [`crate::call::Facts::action_sha256`]. A decision repeats it.
    pub action_sha256: String,
    /// Policies that asked, with what they explain.
    pub because: Vec<(String, Option<String>)>,
    /// The exact arguments; gone once the request is final.
    pub arguments: Option<serde_json::Value>,
    /// What the adapter found.
    pub facts: serde_json::Value,
    /// What would happen: rows per table, schema changes, a masked sample.
    pub effect: Option<serde_json::Value>,
    /// Why the agent says it wants this. Claimed, and shown last.
    pub claimed_reason: Option<String>,
    /// Every transition so far: (RFC 3339 UTC, word, by whom, words of theirs).
    pub history: Vec<(String, String, Option<String>, Option<String>)>,
}

/// Why a reviewer gets nothing, or a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// No such request, or none that this person may see.
    #[error("there is no request of that id that you may see")]
    Unknown,
    /// They asked for it themselves.
    #[error("you asked for this yourself; other people decide it")]
    OwnRequest,
    /// Not one of those who are asked, or policy does not let them approve.
    #[error("you are not one of the people who decide this")]
    NotAsked,
    /// They decided it before.
    #[error("you have decided this already")]
    Twice,
    /// It is final.
    #[error("it is {0} already")]
    Final(&'static str),
    /// The action is another one than the one they saw.
    #[error("what you saw is not what is asked; look at it again")]
    Changed,
    /// Their sign-in is too old.
    #[error("sign in again: a decision needs a sign-in within the last {0} seconds")]
    SignInAgain(u64),
    /// A reason is missing or too long.
    #[error("{0}")]
    BadReason(&'static str),
    /// The decision could not be recorded.
    #[error("it cannot be recorded now; nothing was decided")]
    Unrecorded,
}

#[expect(clippy::unused_async, reason = "reads the store once there are rows")]
impl Approvals {
    /// The requests this person may see, newest first: those they may decide, and their own.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn list(&self, _reviewer: &Reviewer, _rules: &RuleSet) -> Result<Vec<Card>, NotDecided> {
        Ok(Vec::new())
    }

    /// One request with its evidence.
    ///
    /// # Errors
    /// [`NotDecided::Unknown`] also for one that exists and is not theirs to see.
    pub async fn show(
        &self,
        _reviewer: &Reviewer,
        _rules: &RuleSet,
        _id: &ApprovalId,
    ) -> Result<Sheet, NotDecided> {
        Err(NotDecided::Unknown)
    }

    /// Takes one person's decision about the action whose hash they repeat.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn decide(
        &self,
        _reviewer: &Reviewer,
        _rules: &RuleSet,
        _id: &ApprovalId,
        _choice: Choice,
        _seen: &str,
    ) -> Result<Card, NotDecided> {
        Err(NotDecided::Unknown)
    }

    /// Withdraws a request: its requester may, and whoever may decide it.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn cancel(
        &self,
        _reviewer: &Reviewer,
        _rules: &RuleSet,
        _id: &ApprovalId,
    ) -> Result<Card, NotDecided> {
        Err(NotDecided::Unknown)
    }
}
