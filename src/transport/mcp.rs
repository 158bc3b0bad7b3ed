//! The MCP server: written by hand, because the tools are data.
//!
//! One handler serves both protocol eras. What differs between them is where a client says who it is
//! and how a person is asked; both are decided per request. What is not advertised keeps rmcp's own
//! answer, an empty list: clients of the older era ask for prompts and resources without looking. Tools have no `x-mcp-header` parameters, so
//! `get_tool`, which would have to answer without knowing who asks, stays unimplemented.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskMethod, CancelTaskParams, ErrorData,
    GetTaskMethod, GetTaskParams, GetTaskResult, InitializeRequestParams, InitializeResult, JsonObject,
    ListToolsResult, PaginatedRequestParams, RequestId, ServerConfig, UpdateTaskMethod, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::confirm::{Desk, Questions, is_modern};
use super::delivery::Delivery;
use super::http::Alive;
use super::progress::{News, Teller};
use super::tasks::{Running, wants_tasks};
use super::{Door, REQUEST, whole, wire};
use crate::call::{Arrival, CallId, Principal, Transport};
use crate::clock::World;
use crate::mask::Masked;

/// Longest client name or version that is kept, in characters.
const CLAIM: usize = 64;

/// Longest `traceparent` that is looked at, in bytes.
const TRACEPARENT: usize = 256;

/// What the HTTP front found out about a request, for the handler.
#[derive(Clone)]
pub(super) struct Exchange {
    /// Who asks, by the token of this very request.
    pub(super) principal: Principal,
    /// Where to note the calls this exchange answers.
    pub(super) delivery: Arc<Delivery>,
    /// The session of the credential, while anything is held for it.
    pub(super) alive: Arc<Alive>,
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
    pub(super) door: Arc<dyn Door>,
    /// Executions that polls have started.
    pub(super) running: Arc<Running>,
    /// Fires when whatever runs without a request has to stop.
    pub(super) end: CancellationToken,
    origin: Origin,
    world: Arc<dyn World>,
    pace: Pace,
    questions: Arc<Questions>,
    calls: Calls,
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time between two progress messages when there is no news.
    pub(super) progress: Duration,
    /// Shortest time between two messages.
    pub(super) news: Duration,
    /// How long a person has to answer a question of the older kind.
    pub(super) confirm: Duration,
}

impl Mcp {
    /// A handler in front of `door`; `end` stops what it runs without a request.
    pub(super) fn new(
        door: Arc<dyn Door>,
        origin: Origin,
        world: Arc<dyn World>,
        pace: Pace,
        end: CancellationToken,
    ) -> Self {
        Self {
            door,
            running: Arc::default(),
            end,
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
    pub(super) fn principal(&self, ctx: &RequestContext<RoleServer>) -> Result<Principal, ErrorData> {
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
    pub(super) fn note(&self, ctx: &RequestContext<RoleServer>, call_id: CallId) {
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

    /// A new call.
    pub(super) fn arrival(
        &self,
        principal: Principal,
        tool: String,
        arguments: JsonObject,
        cancel: CancellationToken,
    ) -> Arrival {
        Arrival {
            hold: None,
            call_id: self.call_id(),
            principal,
            transport: match self.origin {
                Origin::Http => Transport::Http,
                Origin::Stdio { .. } => Transport::Stdio,
            },
            tool,
            arguments,
            cancel,
        }
    }

    /// The span of a request, for whoever watches: not of any other span, since it may begin another trace.
    pub(super) fn span(&self, arrival: &Arrival, ctx: Option<&RequestContext<RoleServer>>) -> Span {
        tracing::debug_span!(
            target: REQUEST,
            parent: None,
            "request",
            call_id = arrival.call_id.as_str(),
            session = arrival.principal.session.id.as_str(),
            transport = match self.origin {
                Origin::Http => "tcp",
                Origin::Stdio { .. } => "pipe",
            },
            request = ctx.and_then(|ctx| match &ctx.id {
                RequestId::Number(number) => Some(*number),
                RequestId::String(_) => None, // could be anything
            }),
            traceparent = ctx.and_then(traceparent),
            tool = tracing::field::Empty,
            outcome = tracing::field::Empty,
            code = tracing::field::Empty,
        )
    }

    /// Cancels a call: when its client says so; when the client has gone while the call waits for people, in
    /// the era in which a broken connection alone is no cancellation (nothing is approved for nobody); and
    /// when its session ends, unless the call has taken its approval by then: that is over with this call,
    /// which runs to its end and is recorded, and nobody is answered.
    async fn stop(
        &self,
        ctx: &RequestContext<RoleServer>,
        news: &News,
        call_id: &CallId,
        cancel: &CancellationToken,
    ) {
        let Some(exchange) = exchange(ctx) else {
            ctx.ct.cancelled().await; // on stdio the end of the input cancels
            return cancel.cancel();
        };
        let end = exchange.alive.end();
        tokio::select! {
            () = ctx.ct.cancelled() => {}
            () = news.left_waiting(exchange.delivery.gone()) => {}
            () = end.cancelled() => {}
        }
        if !(end.is_cancelled() && self.door.has_spent(call_id)) {
            cancel.cancel();
        }
    }

    /// Tells a client that asked for it what there is to tell, until `done`.
    async fn tell(&self, ctx: &RequestContext<RoleServer>, news: &News, done: &CancellationToken) {
        let Some(token) = ctx.meta.get_progress_token() else {
            return;
        };
        let teller = Teller {
            peer: &ctx.peer,
            token,
            world: &*self.world,
            pace: self.pace,
        };
        teller.tell(news, done).await;
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
        let arguments = request.arguments.take().unwrap_or_default();
        let principal = self.principal(&ctx)?;
        let mut arrival = self.arrival(
            principal,
            request.name.to_string(),
            arguments,
            CancellationToken::new(),
        );
        let tasks = wants_tasks(&ctx).then(|| arrival.principal.clone());
        arrival.hold = tasks.as_ref().map(|_| Duration::ZERO); // it polls instead of waiting
        let (call_id, cancel) = (arrival.call_id.clone(), arrival.cancel.clone());
        let span = self.span(&arrival, Some(&ctx));
        let desk = Desk::new(&self.questions, &ctx, &arrival, &request, self.pace.confirm);
        // Side by side: a client that does not read its progress does not hold up the call.
        let done = CancellationToken::new();
        let work = async {
            let call = std::pin::pin!(self.door.call(arrival, &desk).instrument(span.clone()));
            let stop = std::pin::pin!(self.stop(&ctx, desk.news(), &call_id, &cancel));
            let answer = match futures::future::select(call, stop).await {
                Either::Left((answer, _)) => answer,
                Either::Right(((), call)) => call.await,
            };
            done.cancel();
            answer
        };
        let (answer, ()) = tokio::join!(work, self.tell(&ctx, desk.news(), &done));
        came_of(&span, answer.as_ref().ok());
        drop(span);
        let masked = answer.map_err(|_| wire::unknown_tool())?;
        if wire::awaits_confirmation(&masked)
            && let Some(question) = desk.into_question()
        {
            return Ok(question.into()); // the recorded refusal was not sent, so it is not noted as accepted
        }
        self.note(&ctx, call_id.clone());
        if let Some(principal) = tasks
            && let Some(task) = self.task_for(&principal, &masked).await
        {
            return Ok(CallToolResponse::Task(task));
        }
        Ok(answered(&ctx, &call_id, masked).into())
    }

    /// What only the newest revision has is told to that revision alone.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        ctx.peer.set_peer_info(request.clone());
        let mut told = self.negotiate_initialize(&request)?;
        told.capabilities.extensions = None;
        Ok(told)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        if !is_modern(&ctx) {
            return Err(ErrorData::method_not_found::<GetTaskMethod>());
        }
        self.task(request.task_id, &ctx).await.map(GetTaskResult::new)
    }

    /// A task here never asks for input; answers to questions that were not put are passed over.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if !is_modern(&ctx) {
            return Err(ErrorData::method_not_found::<UpdateTaskMethod>());
        }
        self.owns(request.task_id, &ctx).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if !is_modern(&ctx) {
            return Err(ErrorData::method_not_found::<CancelTaskMethod>());
        }
        self.cancel(request.task_id, &ctx).await
    }
}

/// The answer to one call. Rows are taken apart from it where the response is one document: to the newest revision, and
/// when no progress can have been told before.
fn answered(ctx: &RequestContext<RoleServer>, call_id: &CallId, masked: Masked) -> CallToolResult {
    let is_document = is_modern(ctx) && ctx.meta.get_progress_token().is_none();
    match exchange(ctx) {
        Some(exchange) if is_document && masked.has_rows() => {
            let (result, whole) = whole::apart(call_id, masked);
            exchange.delivery.hold(whole);
            result
        }
        _ => wire::answer(masked),
    }
}

pub(super) fn exchange(ctx: &RequestContext<RoleServer>) -> Option<&Exchange> {
    ctx.extensions
        .get::<http::request::Parts>()?
        .extensions
        .get::<Exchange>()
}

/// Which span of the client's asks, by what it says (`params._meta`, else the header): a claim.
fn traceparent(ctx: &RequestContext<RoleServer>) -> Option<&str> {
    let said = ctx.meta.get("traceparent").and_then(Value::as_str);
    let parts = ctx.extensions.get::<http::request::Parts>();
    said.or_else(|| parts?.headers.get("traceparent")?.to_str().ok())
        .filter(|text| text.len() <= TRACEPARENT)
}

/// Notes what came of a request. Which tool it was is noted where tools are known.
pub(super) fn came_of(span: &Span, answer: Option<&Masked>) {
    if span.is_disabled() {
        return;
    }
    let Some(answer) = answer else {
        span.record("code", "unknown_tool");
        return;
    };
    let text = |pointer: &str| answer.head().pointer(pointer).and_then(Value::as_str);
    if let Some(status) = text("/status") {
        span.record("outcome", status);
    }
    if let Some(code) = text("/refusal/code") {
        span.record("code", code);
    }
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
    /// Counts one in, until the permit is dropped.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Waits until none is under way, at most `within`.
    pub(super) async fn idle(&self, within: Duration) {
        let _ = tokio::time::timeout(within, self.0.acquire_many(MOST_CALLS)).await;
    }
}
