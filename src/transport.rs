//! bytes → Arrival, Masked → bytes: the only code that knows rmcp, hyper and axum.
//!
//! Two ways in, one handler: [`http`] (Streamable HTTP, both protocol eras on one endpoint) and
//! [`stdio`] lead to the same hand-written MCP handler (tools are data), which only knows a [`Door`].
//! What leaves is a [`Masked`] answer, a tool card, or a constant text of ours; `wire.rs` is where.
//!
//! Deliberately absent: any decision. A transport authenticates nobody, allows nothing and masks
//! nothing; it refuses what is malformed, too big, too deep or too much, and carries the rest.
//!
//! rmcp logs whole requests and answers at `debug` and `trace`: `telemetry` keeps its target at `warn`.

pub mod bridge;
pub mod http;
pub mod stdio;

mod confirm;
mod delivery;
mod depth;
mod mcp;
mod progress;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

use futures::TryFutureExt;
use futures::future::BoxFuture;

use crate::approval::standing::Standing;
use crate::call::{ApprovalId, Arrival, CallId, Caller, Principal};
use crate::gate::Gate;
use crate::identity::{Bearer, Rejection};
use crate::mask::Masked;
use crate::tool::{ToolCard, UnknownTool};

/// Why a credential was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// 401; 403 when a scope is missing; 503 when it cannot be checked now.
    pub status: u16,
    /// The exact value of `WWW-Authenticate`.
    pub value: String,
}

impl From<Rejection> for Challenge {
    fn from(rejection: Rejection) -> Self {
        Self {
            status: rejection.status(),
            value: rejection.challenge(),
        }
    }
}

/// The store does not answer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What a transport needs of the path. [`Gate`] is the one door; the trait is the seam at which the
/// transport is tested against real sockets without the other stages.
pub trait Door: Send + Sync + 'static {
    /// Who asks, by the bearer token of one request.
    fn admit<'a>(&'a self, bearer: Bearer<'a>) -> BoxFuture<'a, Result<Principal, Challenge>>;
    /// What the principal's token lacks for a call of this tool, if another token of theirs could have
    /// it and they may know of the tool.
    fn step_up(&self, principal: &Principal, tool: &str) -> Option<Challenge>;
    /// The tools that exist for a principal, in a fixed order.
    fn list(&self, principal: &Principal) -> Vec<ToolCard>;
    /// One call, from arrival to an answer that is masked and on record.
    fn call<'a>(
        &'a self,
        arrival: Arrival,
        caller: &'a dyn Caller,
    ) -> BoxFuture<'a, Result<Masked, UnknownTool>>;
    /// How a request for people's decision stands; `None` when it is not this person's through this
    /// client. Cheap, and leaves no record.
    fn approval<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Standing>, Unreadable>>;
    /// Withdraws the caller's own request, if nothing has run. Gives whether there is such a request.
    fn withdraw<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<bool, Unreadable>>;
    /// The operating system took every byte of the answer to this call.
    fn accepted(&self, call_id: &CallId);
    /// RFC 9728 metadata of the MCP endpoint.
    fn protected_resource_metadata(&self) -> serde_json::Value;
}

impl Door for Gate {
    fn admit<'a>(&'a self, bearer: Bearer<'a>) -> BoxFuture<'a, Result<Principal, Challenge>> {
        Box::pin(async move { Self::admit(self, bearer).await.map_err(Challenge::from) })
    }

    fn step_up(&self, principal: &Principal, tool: &str) -> Option<Challenge> {
        Self::step_up(self, principal, tool).map(Challenge::from)
    }

    fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        Self::list(self, principal)
    }

    fn call<'a>(
        &'a self,
        arrival: Arrival,
        caller: &'a dyn Caller,
    ) -> BoxFuture<'a, Result<Masked, UnknownTool>> {
        Box::pin(Self::call(self, arrival, caller))
    }

    fn approval<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Standing>, Unreadable>> {
        Box::pin(self.approvals.standing(principal, id).map_err(unreadable))
    }

    fn withdraw<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<bool, Unreadable>> {
        Box::pin(self.approvals.withdraw(principal, id).map_err(unreadable))
    }

    fn accepted(&self, call_id: &CallId) {
        self.audit.accepted(call_id);
    }

    fn protected_resource_metadata(&self) -> serde_json::Value {
        self.identity.protected_resource_metadata()
    }
}

fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    tracing::error!("approvals: {error}");
    Unreadable
}
