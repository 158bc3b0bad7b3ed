//! Why a walk ended early, in the words of the stages that can end it.

use crate::call::{CallId, Code, Pending, Refusal, Unmet};
use crate::tool::{Misfit, UnknownTool};

/// When recording itself fell over: nobody knows how far the call came.
pub(super) fn unsettled() -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        "Tollgate failed while recording this call, so its answer is withheld.",
        "Do not repeat it. Tell your operator the call_id.",
    )
}

/// Why the walk ended early.
pub(super) enum Stop {
    Refused(Refusal),
    Pending(Pending),
    Answered(CallId),
    UnknownTool(UnknownTool),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unmet> for Stop {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Refused(refusal) => Self::Refused(refusal),
            Unmet::Pending(pending) => Self::Pending(pending),
            Unmet::Answered(earlier) => Self::Answered(earlier),
        }
    }
}

impl From<Misfit> for Stop {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Tool(unknown) => Self::UnknownTool(unknown),
            Misfit::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
