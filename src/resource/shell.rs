//! Commands in a sandbox.

#[cfg_attr(not(test), expect(dead_code, reason = "the runner starts what these read"))]
mod programs;
#[cfg_attr(not(test), expect(dead_code, reason = "the runner starts what these read"))]
mod line;

use tokio_util::sync::CancellationToken;

use crate::call::{Code, Facts, Invocation, LastLook, RawOutput, Refusal};
use crate::policy::Permit;

/// A configured work folder in which programs run.
#[derive(Debug)]
pub struct Folder {}

#[expect(clippy::unused_async, reason = "starts processes once there is a sandbox")]
impl Folder {
    /// What a command would start, without starting anything.
    ///
    /// # Errors
    /// `program_refused`, `invalid_arguments`, `sandbox_unavailable`.
    pub async fn inspect(&self, _invocation: &Invocation) -> Result<Facts, Refusal> {
        Err(unavailable())
    }

    /// Runs the command in the sandbox, once.
    ///
    /// # Errors
    /// `sandbox_unavailable`, `limit_exceeded`, `cancelled`, and what the last look says.
    pub async fn run(
        &self,
        _permit: Permit,
        _invocation: &Invocation,
        _facts: &Facts,
        _last: &dyn LastLook,
        _cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        Err(unavailable())
    }
}

fn unavailable() -> Refusal {
    Refusal::new(
        Code::SandboxUnavailable,
        "Commands cannot be run here: there is no sandbox.",
        "Ask your operator to run `tollgate check`.",
    )
}
