//! The MCP server: written by hand, because the tools are data.
//!
//! One handler serves both protocol eras. What differs between them is where a client says who it is
//! and how a person is asked; both are decided per request. What is not advertised keeps rmcp's own
//! answer, an empty list: clients of the older era ask for prompts and resources without looking. Tools have no `x-mcp-header` parameters, so
//! `get_tool`, which would have to answer without knowing who asks, stays unimplemented.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, RequestId, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::confirm::{Desk, Questions, is_modern};
use super::delivery::Delivery;
use super::{Door, wire};
use crate::call::{Arrival, CallId, Principal, Transport};
use crate::clock::World;

/// Longest client name or version that is kept, in characters.
const CLAIM: usize = 64;

/// What the HTTP front found out about a request, for the handler.
#[derive(Clone)]
pub(super) struct Exchange {
    /// Who asks, by the token of this very request.
    pub(super) principal: Principal,
    /// Where to note the calls this exchange answers.
    pub(super) delivery: Arc<Delivery>,
}

/// Told which call answers which request.
pub(super) type Replies = Arc<dyn Fn(&RequestId, CallId) + Send + Sync>;

/// How a request says who asks, and where its answer is noted.
#[derive(Clone)]
pub(super) enum Origin {
    /// An [`Exchange`] in the request's extensions.
    Http,
    /// One principal for the life of the process.
    Stdio {
        /// The local user.
        principal: Arc<Principal>,
        /// Where to note which call answers which request.
        replies: Replies,
    },
}

/// The handler; cheap to clone.
#[derive(Clone)]
pub(super) struct Mcp {
    door: Arc<dyn Door>,
    origin: Origin,
    world: Arc<dyn World>,
    pace: Pace,
    questions: Arc<Questions>,
    calls: Calls,
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time between two progress messages.
    pub(super) progress: Duration,
    /// How long a person has to answer a question of the older kind.
    pub(super) confirm: Duration,
}

impl Mcp {
    /// A handler in front of `door`.
    pub(super) fn new(door: Arc<dyn Door>, origin: Origin, world: Arc<dyn World>, pace: Pace) -> Self {
        Self {
            door,
            origin,
            questions: Arc::new(Questions::new(Arc::clone(&world))),
            world,
            pace,
            calls: Calls::default(),
        }
    }

    /// The calls under way.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Who asks. Without a principal there is no request: it fails, whatever let it come this far.
    fn principal(&self, ctx: &RequestContext<RoleServer>) -> Result<Principal, ErrorData> {
        let mut principal = match &self.origin {
            Origin::Http => exchange(ctx).ok_or_else(wire::internal)?.principal.clone(),
            Origin::Stdio { principal, .. } => Principal::clone(principal),
        };
        let claimed = if is_modern(ctx) {
            ctx.meta.client_info()
        } else {
            ctx.client_info()
        };
        if let Some(client) = claimed {
            principal.agent.claimed_name = claim(&client.name);
            principal.agent.claimed_version = claim(&client.version);
        }
        Ok(principal)
    }

    /// Notes that the answer to `call_id` is in the response to this request.
    fn note(&self, ctx: &RequestContext<RoleServer>, call_id: CallId) {
        match &self.origin {
            Origin::Http => {
                if let Some(exchange) = exchange(ctx) {
                    exchange.delivery.note(call_id);
                }
            }
            Origin::Stdio { replies, .. } => replies(&ctx.id, call_id),
        }
    }

    fn call_id(&self) -> CallId {
        let mut random = [0; 10];
        self.world.random(&mut random);
        CallId::new(self.world.now().0, &random)
    }

    fn arrival(
        &self,
        request: &mut CallToolRequestParams,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<Arrival, ErrorData> {
        Ok(Arrival {
            hold: None,
            call_id: self.call_id(),
            principal: self.principal(ctx)?,
            transport: match self.origin {
                Origin::Http => Transport::Http,
                Origin::Stdio { .. } => Transport::Stdio,
            },
            tool: request.name.to_string(),
            arguments: request.arguments.take().unwrap_or_default(),
            cancel: ctx.ct.clone(),
        })
    }

    /// Tells a client that asked for it that we are still there, until `done`: how long, and nothing of
    /// what. A message that was begun is finished first, so that none comes after the answer.
    async fn beats(&self, ctx: &RequestContext<RoleServer>, done: &CancellationToken) {
        let Some(token) = ctx.meta.get_progress_token() else {
            return;
        };
        let start = self.world.monotonic();
        let every = self.pace.progress.max(Duration::from_millis(1)); // zero is no interval
        let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                biased;
                () = done.cancelled() => return,
                _ = interval.tick() => count += 1,
            }
            let seconds = self.world.monotonic().saturating_sub(start).as_secs();
            let note = ProgressNotificationParam::new(token.clone(), f64::from(count))
                .with_message(format!("still running, {seconds} s"));
            if ctx.peer.notify_progress(note).await.is_err() {
                return;
            }
        }
    }
}

impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        wire::server()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if request.is_some_and(|page| page.cursor.is_some()) {
            return Err(wire::unknown_cursor());
        }
        let principal = self.principal(&ctx)?;
        let cards = std::panic::catch_unwind(AssertUnwindSafe(|| self.door.list(&principal)))
            .map_err(|_| wire::internal())?;
        Ok(wire::tools(cards))
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _under_way = self.calls.enter();
        let arrival = self.arrival(&mut request, &ctx)?;
        let call_id = arrival.call_id.clone();
        let desk = Desk::new(&self.questions, &ctx, &arrival, &request, self.pace.confirm);
        // Side by side: a client that does not read its progress does not hold up the call.
        let done = CancellationToken::new();
        let work = async {
            let answer = self.door.call(arrival, &desk).await;
            done.cancel();
            answer
        };
        let (answer, ()) = tokio::join!(work, self.beats(&ctx, &done));
        let masked = answer.map_err(|_| wire::unknown_tool())?;
        if wire::awaits_confirmation(&masked)
            && let Some(question) = desk.into_question()
        {
            return Ok(question.into()); // the recorded refusal was not sent, so it is not noted as accepted
        }
        self.note(&ctx, call_id);
        Ok(wire::answer(&masked).into())
    }
}

fn exchange(ctx: &RequestContext<RoleServer>) -> Option<&Exchange> {
    ctx.extensions
        .get::<http::request::Parts>()?
        .extensions
        .get::<Exchange>()
}

/// What a client says of itself, cut and on one line.
fn claim(words: &str) -> String {
    words
        .chars()
        .filter(|character| matches!(character, ' '..='~') || character.is_alphanumeric())
        .take(CLAIM)
        .collect()
}

/// How many calls are under way, so that a shutdown can wait for them.
#[derive(Debug, Clone)]
pub(super) struct Calls(Arc<Semaphore>);

/// More calls than the seats can ever allow.
const MOST_CALLS: u32 = 1 << 20;

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_CALLS as usize)))
    }
}

impl Calls {
    fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Waits until none is under way, at most `within`.
    pub(super) async fn idle(&self, within: Duration) {
        let _ = tokio::time::timeout(within, self.0.acquire_many(MOST_CALLS)).await;
    }
}
