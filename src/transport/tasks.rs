//! Tasks (SEP-2663, the extension `io.modelcontextprotocol/tasks` of 2026-07-28): a call that waits for
//! people answers at once, and its client asks now and then what became of it.
//!
//! A task is a view of the request's row in the store, and its id is the request's: it outlives the
//! process, and it is nobody's but its requester's. Polling a granted one starts its execution, once, in
//! the background: whoever polls is there. What the execution answered is read from the record, as often
//! as the client asks within the request's life. Kept in memory is only which executions this process has
//! under way, and what ended without having spent the approval.
//!
//! The revision has neither `tasks/list` nor `tasks/result`: a result comes with `tasks/get`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::{CreateTaskResult, DetailedTask, ErrorData, JsonObject, Task, TaskPayload, TaskStatus};
use rmcp::service::RequestContext;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::confirm::{declared, is_modern};
use super::http::Alive;
use super::mcp::{Mcp, came_of, exchange};
use super::wire;
use crate::approval::review::State;
use crate::approval::standing::Standing;
use crate::call::{ApprovalId, CallId, Caller, Confirmation, Principal};
use crate::mask::Masked;

/// How often a client should ask, in milliseconds.
const POLL_MS: u64 = 2_000;
/// Most executions and unspent ends that are kept in mind.
const MOST: usize = 1_024;

/// The executions of this process that a poll has started.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<Key, Run>>);

/// One task of one person through one client: issuer, subject, client, request.
type Key = (String, String, String, ApprovalId);

#[derive(Debug)]
enum Run {
    /// It runs.
    UnderWay(Arc<Watch>),
    /// It ended, and the approval is not spent: it would end the same way again. For the session that it
    /// ran in: what a session has read is noted when it reads.
    Ended(String, JsonObject),
}

/// Stands in for the client while it only polls: keeps the newest piece of news, and answers no question.
#[derive(Debug, Default)]
struct Watch {
    /// Whose news it is: what a session has read is noted when it reads.
    session: String,
    news: Mutex<Option<String>>,
    cancel: CancellationToken,
    /// The execution, once it has begun.
    call: OnceLock<CallId>,
}

impl Caller for Watch {
    fn confirm<'a>(&'a self, _prompt: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }

    fn progress<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
        Box::pin(std::future::ready(()))
    }
}

impl Watch {
    fn newest(&self, session: &str) -> Option<String> {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        news.filter(|_| self.session == session)
    }
}

/// What is known here of a task.
enum Known {
    UnderWay(Arc<Watch>),
    Ended(JsonObject),
    /// It was not under way and now is.
    Started(Arc<Watch>),
    /// Too many are.
    Full,
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key, session: &str) -> Option<Known> {
        match self.lock().get(key)? {
            Run::UnderWay(watch) => Some(Known::UnderWay(Arc::clone(watch))),
            Run::Ended(own, result) => (own == session).then(|| Known::Ended(result.clone())),
        }
    }

    /// Marks it as under way, unless it is already: of many polls one starts it.
    fn start(&self, key: &Key, session: &str, end: &CancellationToken) -> Known {
        if let Some(known) = self.get(key, session) {
            return known;
        }
        let mut runs = self.lock();
        if runs.len() >= MOST {
            let ended = runs.iter().find(|(_, run)| matches!(run, Run::Ended(..)));
            let Some(ended) = ended.map(|(key, _)| key.clone()) else {
                return Known::Full;
            };
            runs.remove(&ended); // asked again, it runs into the same end again
        }
        let watch = Arc::new(Watch {
            session: session.to_owned(),
            news: Mutex::default(),
            cancel: end.child_token(),
            call: OnceLock::new(),
        });
        if let Some(Run::UnderWay(theirs)) = runs.get(key) {
            return Known::UnderWay(Arc::clone(theirs)); // a moment ago
        }
        runs.insert(key.clone(), Run::UnderWay(Arc::clone(&watch)));
        Known::Started(watch)
    }
}

impl Running {
    /// The executions of a session under way; what ended in it is forgotten.
    fn end(&self, session: &str) -> Vec<Arc<Watch>> {
        let mut runs = self.lock();
        runs.retain(|_, run| !matches!(run, Run::Ended(own, _) if own == session));
        let under_way = runs.values().filter_map(|run| match run {
            Run::UnderWay(watch) => Some(watch),
            Run::Ended(..) => None,
        });
        let mine = under_way.filter(|watch| watch.session == session);
        mine.cloned().collect()
    }
}

/// An execution under way. However it ends, even by falling over, it is no longer under way.
struct Execution {
    running: Arc<Running>,
    key: Key,
}

impl Execution {
    /// It ended without having spent the approval, and would again.
    fn ended(self, session: String, result: JsonObject) {
        let ended = Run::Ended(session, result);
        self.running.lock().insert(self.key.clone(), ended);
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let mut runs = self.running.lock();
        if matches!(runs.get(&self.key), Some(Run::UnderWay(_))) {
            runs.remove(&self.key);
        }
    }
}

/// Whether this request may be answered with a task: the client declared so, in the revision that has
/// them. Some clients declare the extension in `initialize` and then cannot read a task.
pub(super) fn wants_tasks(ctx: &RequestContext<RoleServer>) -> bool {
    is_modern(ctx) && declared(ctx).is_some_and(|capabilities| capabilities.supports_tasks())
}

impl Mcp {
    /// A task in the place of an answer that says that people were asked.
    pub(super) async fn task_for(&self, principal: &Principal, masked: &Masked) -> Option<CreateTaskResult> {
        let id = wire::pending_approval(masked)?;
        let standing = self.door.approval(principal, &id).await.ok().flatten()?;
        let message = status_message(&standing, None);
        Some(CreateTaskResult::new(seed(&id, &standing, message)))
    }

    /// `tasks/get`: how it stands, with the result once there is one.
    pub(super) async fn task(
        &self,
        id: String,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<DetailedTask, ErrorData> {
        let principal = self.principal(ctx)?;
        let id = ApprovalId(id);
        let standing = self.standing(&principal, &id).await?;
        let key = key(&principal, &id);
        let mut news = None;
        let session = principal.session.id.clone();
        let payload = match (self.running.get(&key, &session), standing.state) {
            (_, State::Pending) => TaskPayload::Working,
            (Some(Known::Ended(result)), _) => TaskPayload::Completed { result },
            (_, State::Cancelled) => TaskPayload::Cancelled,
            (_, State::Granted) => match self.running.start(&key, &session, &self.end) {
                Known::Ended(result) => TaskPayload::Completed { result },
                Known::Started(watch) => {
                    let alive = exchange(ctx).map(|exchange| Arc::clone(&exchange.alive));
                    self.execute(principal, key, watch, alive);
                    TaskPayload::Working
                }
                Known::UnderWay(watch) => {
                    news = watch.newest(&session);
                    TaskPayload::Working
                }
                Known::Full => TaskPayload::Working,
            },
            (Some(Known::UnderWay(watch)), _) => {
                news = watch.newest(&session);
                TaskPayload::Working
            }
            (_, State::Spent) if !standing.settled => TaskPayload::Working,
            (_, State::Spent | State::Refused | State::Expired | State::Unknown) => {
                let (masked, call_id) = self.approval_wait(principal, &id, ctx.ct.clone()).await?;
                self.note(ctx, call_id);
                TaskPayload::Completed {
                    result: wire::result(&masked)?,
                }
            }
        };
        let message = status_message(&standing, news);
        Ok(DetailedTask::new(seed(&id, &standing, message), payload))
    }

    /// `tasks/cancel`: what has not run will not; what runs is told to stop.
    pub(super) async fn cancel(&self, id: String, ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let principal = self.principal(ctx)?;
        let id = ApprovalId(id);
        let withdrawn = self.door.withdraw(&principal, &id).await;
        if !withdrawn.map_err(|_| wire::internal())? {
            return Err(wire::unknown_task());
        }
        if let Some(Known::UnderWay(watch)) = self.running.get(&key(&principal, &id), &principal.session.id) {
            watch.cancel.cancel();
        }
        Ok(())
    }

    /// A session has ended: its executions stop, but for those that have taken their approval.
    pub(super) fn end_tasks(&self, session: &str) {
        for watch in self.running.end(session) {
            let spent = |call: &CallId| self.door.has_spent(call);
            if !watch.call.get().is_some_and(spent) {
                watch.cancel.cancel();
            }
        }
    }

    /// Whether this task is the caller's.
    pub(super) async fn owns(&self, id: String, ctx: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
        let standing = self.standing(&self.principal(ctx)?, &ApprovalId(id)).await;
        standing.map(|_| ())
    }

    async fn standing(&self, principal: &Principal, id: &ApprovalId) -> Result<Standing, ErrorData> {
        let standing = self.door.approval(principal, id).await;
        let standing = standing.map_err(|_| wire::internal())?;
        standing.ok_or_else(wire::unknown_task)
    }

    /// Runs what was granted, whatever its client does meanwhile.
    fn execute(&self, principal: Principal, key: Key, watch: Arc<Watch>, alive: Option<Arc<Alive>>) {
        let mcp = self.clone();
        let execution = Execution {
            running: Arc::clone(&self.running),
            key,
        };
        tokio::spawn(async move {
            let _under_way = (mcp.calls().enter(), alive);
            let id = execution.key.3.clone();
            let arrival = mcp.waiting(principal.clone(), &id, watch.cancel.clone());
            let _first = watch.call.set(arrival.call_id.clone());
            let span = mcp.span(&arrival, None);
            let answer = mcp.door.call(arrival, &*watch).instrument(span.clone()).await;
            came_of(&span, answer.as_ref().ok());
            drop(span);
            let Ok(masked) = answer else {
                return;
            };
            let standing = mcp.door.approval(&principal, &id).await.ok().flatten();
            let spent = standing.is_none_or(|standing| standing.state == State::Spent);
            if !spent
                && !wire::may_be_repeated(&masked)
                && let Ok(result) = wire::result(&masked)
            {
                execution.ended(principal.session.id.clone(), result);
            }
        });
    }

    /// The same as `approval_wait` that does not wait: the way to what came of a request.
    async fn approval_wait(
        &self,
        principal: Principal,
        id: &ApprovalId,
        cancel: CancellationToken,
    ) -> Result<(Masked, CallId), ErrorData> {
        let arrival = self.waiting(principal, id, cancel);
        let call_id = arrival.call_id.clone();
        let span = self.span(&arrival, None);
        let masked = self
            .door
            .call(arrival, &Watch::default())
            .instrument(span.clone())
            .await;
        came_of(&span, masked.as_ref().ok());
        masked
            .map(|masked| (masked, call_id))
            .map_err(|_| wire::unknown_task())
    }

    fn waiting(
        &self,
        principal: Principal,
        id: &ApprovalId,
        cancel: CancellationToken,
    ) -> crate::call::Arrival {
        let mut arguments = serde_json::Map::new();
        arguments.insert("approval_id".to_owned(), json!(id));
        let mut arrival = self.arrival(principal, "approval_wait".to_owned(), arguments, cancel);
        arrival.hold = Some(Duration::ZERO);
        arrival
    }
}

fn key(principal: &Principal, id: &ApprovalId) -> Key {
    (
        principal.user.issuer.clone(),
        principal.user.subject.clone(),
        principal.agent.client_id.clone(),
        id.clone(),
    )
}

/// The task's own fields. It lives as long as its result can be asked for.
fn seed(id: &ApprovalId, standing: &Standing, message: String) -> Task {
    let life = standing.until.0.saturating_sub(standing.created_at.0);
    Task::new(
        &id.0,
        TaskStatus::Working,
        standing.created_at.rfc3339(),
        standing.changed_at.rfc3339(),
    )
    .with_ttl_ms(life)
    .with_poll_interval_ms(POLL_MS)
    .with_status_message(message)
}

/// Words of ours, and the masked news of a running command.
fn status_message(standing: &Standing, news: Option<String>) -> String {
    match standing.state {
        State::Pending => {
            let at = standing.url.as_ref().map(|url| format!(" at {url}"));
            format!(
                "Waiting for people's approval until {}. A person can see and decide it{}.",
                standing.deadline.rfc3339(),
                at.as_deref().unwrap_or_default()
            )
        }
        State::Granted | State::Spent if !standing.settled => {
            news.unwrap_or_else(|| "Approved. It is being executed.".to_owned())
        }
        State::Granted | State::Spent => "Approved and executed.".to_owned(),
        State::Refused => "Refused by a reviewer.".to_owned(),
        State::Expired => "Not decided, or not executed, in time.".to_owned(),
        State::Cancelled => "Withdrawn.".to_owned(),
        State::Unknown => "Nobody knows whether it was executed. It will not be tried again.".to_owned(),
    }
}
