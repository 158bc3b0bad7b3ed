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
mod whole;
mod wire;

use std::sync::Arc;

use futures::TryFutureExt;
use futures::future::BoxFuture;
use tokio::sync::broadcast;

use crate::approval::standing::Standing;
use crate::call::{ApprovalId, Arrival, CallId, Caller, Principal};
use crate::gate::Gate;
use crate::identity::{Bearer, Rejection};
use crate::mask::Masked;
use crate::tool::{ToolCard, UnknownTool};

/// The target of the span that is a client's request for a call. Its fields are for `telemetry::otlp`, which chooses
/// among them; no log line has them.
pub const REQUEST: &str = "tollgate::request";

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
    /// Whether this very token was found good a moment ago: cheap, and no promise that it still is.
    fn knows(&self, bearer: Bearer<'_>) -> bool;
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
    /// The ids of sessions that end from now on.
    fn ended(&self) -> broadcast::Receiver<Arc<str>>;
    /// Lets go of what waits in a session that has ended, beyond this process: its open requests.
    fn leave<'a>(&'a self, session: &'a str) -> BoxFuture<'a, ()>;
    /// Whether a principal's session has ended, as far as is known here. Asks the store.
    fn has_fallen<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, bool>;
    /// Whether a call has taken its approval: it then runs to its end, whoever has left.
    fn has_spent(&self, call_id: &CallId) -> bool;
    /// Nothing is decided any more in a session that has ended.
    fn forget(&self, session: &str);
    /// The operating system took every byte of the answer to this call.
    fn accepted(&self, call_id: &CallId);
    /// RFC 9728 metadata of the MCP endpoint.
    fn protected_resource_metadata(&self) -> serde_json::Value;
}

impl Door for Gate {
    fn admit<'a>(&'a self, bearer: Bearer<'a>) -> BoxFuture<'a, Result<Principal, Challenge>> {
        Box::pin(async move {
            let admitted = Self::admit(self, bearer).await;
            let admitted = admitted.inspect_err(|_| self.meter.turned_away());
            admitted.map_err(Challenge::from)
        })
    }

    fn step_up(&self, principal: &Principal, tool: &str) -> Option<Challenge> {
        Self::step_up(self, principal, tool).map(Challenge::from)
    }

    fn knows(&self, bearer: Bearer<'_>) -> bool {
        self.identity.knows(bearer)
    }

    fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        Self::list(self, principal)
    }

    fn call<'a>(
        &'a self,
        arrival: Arrival,
        caller: &'a dyn Caller,
    ) -> BoxFuture<'a, Result<Masked, UnknownTool>> {
        Box::pin(async move {
            // A call may be refused before anybody has looked which tool it names: that is the caller's own word.
            let tool = self.tools.names().find(|known| *known == arrival.tool);
            let answer = Self::call(self, arrival, caller).await;
            self.meter.answered(tool, answer.as_ref().ok());
            if let (Some(tool), Ok(_)) = (tool, &answer) {
                tracing::Span::current().record("tool", tool);
            }
            answer
        })
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

    fn ended(&self) -> broadcast::Receiver<Arc<str>> {
        self.identity.ended()
    }

    fn leave<'a>(&'a self, session: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.approvals.end_session(session).await {
                tracing::error!("approvals of a session that ended: {error}"); // the next tick tries again
            }
        })
    }

    fn has_fallen<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, bool> {
        Box::pin(self.identity.has_fallen(principal))
    }

    fn has_spent(&self, call_id: &CallId) -> bool {
        self.approvals.has_spent(call_id)
    }

    fn forget(&self, session: &str) {
        self.identity.forget(session);
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
