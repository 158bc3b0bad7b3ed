//! Why a call did not happen, in words an agent can act on and a stranger learns nothing from.

use serde::Serialize;

/// The closed set of reasons (contracts, "Refusal codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each variant is its own word; README, \"Refusals\", explains them"
)]
pub enum Code {
    InvalidArguments,
    /// Also for a resource that exists but is invisible to the caller.
    UnknownResource,
    /// Also for a hidden path.
    NotFound,
    NotPermitted,
    WrongTool,
    StatementRefused,
    ProgramRefused,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalUnavailable,
    /// The question went to the client; the call comes again with the answer.
    ConfirmationRequired,
    LimitExceeded,
    SandboxUnavailable,
    TargetFailed,
    OutcomeUnknown,
    AuditUnavailable,
    Cancelled,
    Overloaded,
    Internal,
}

impl Code {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::UnknownResource => "unknown_resource",
            Self::NotFound => "not_found",
            Self::NotPermitted => "not_permitted",
            Self::WrongTool => "wrong_tool",
            Self::StatementRefused => "statement_refused",
            Self::ProgramRefused => "program_refused",
            Self::ApprovalDenied => "approval_denied",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalUnavailable => "approval_unavailable",
            Self::ConfirmationRequired => "confirmation_required",
            Self::LimitExceeded => "limit_exceeded",
            Self::SandboxUnavailable => "sandbox_unavailable",
            Self::TargetFailed => "target_failed",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

/// A call that did not happen (or whose answer is withheld).
///
/// `message` and `suggestion` go to the agent, after masking: they are built from our words and the
/// agent's own, never from what a target said. `detail` and `policies` are for the operator and the
/// journal only. There is deliberately no `Display`: whoever shows a refusal says to whom.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// What was wrong, for the agent.
    pub message: String,
    /// What to do instead, for the agent; serialised as `try`.
    pub suggestion: String,
    /// Whether the same call may succeed later without a change.
    pub retry: bool,
    /// For the operator: never leaves the journal and the log, and is masked there.
    pub detail: Option<String>,
    /// Ids of the policies that decided, for the journal only.
    pub policies: Vec<String>,
}

impl Refusal {
    /// A refusal the agent should not repeat unchanged.
    pub fn new(code: Code, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            suggestion: suggestion.into(),
            retry: false,
            detail: None,
            policies: Vec::new(),
        }
    }

    /// Marks that the same call may succeed later.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.retry = true;
        self
    }

    /// Adds what only the operator may read.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same words whether the resource does not exist or is invisible.
    #[must_use]
    pub fn unknown_resource(name: &str) -> Self {
        Self::new(
            Code::UnknownResource,
            format!("There is no resource `{name}` for you."),
            "Call list_resources to see the names you can use.",
        )
    }

    /// The same words whether the path does not exist or is hidden.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("`{what}` was not found."),
            "Call file_list or sql_schema to see what there is.",
        )
    }

    /// The client went away or cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(
            Code::Cancelled,
            "The call was cancelled.",
            "Send it again if you still need it.",
        )
        .retry()
    }

    /// Something of ours failed; the operator finds `detail` in the log under the call id.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            Code::Internal,
            "Tollgate failed while handling this call.",
            "Tell your operator the call_id; the log has the cause.",
        )
        .detail(detail)
    }
}
