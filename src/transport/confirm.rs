//! Asking the caller's own person, in both protocol eras.
//!
//! Before 2026-07-28 a server may send the question on its own (`elicitation/create`) and waits. Since
//! then it answers `input_required`, and the client sends the call again with the answer. The state the
//! client carries between the two is a random handle to a [`Question`] kept here, so it can be neither
//! forged nor used twice: it is bound to the person, the client, the tool, the exact arguments and the
//! exact words of the question. A question without an answer is a no.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CancelledNotificationParam, ClientCapabilities, ClientResult, ElicitRequest,
    ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequiredResult, ProtocolVersion, RequestId, ServerRequest,
};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, RequestHandle, ServiceError};
use serde_json::{Value, json};

use super::progress::News;
use crate::call::{Arrival, Caller, Confirmation, Hash, hex};
use crate::clock::World;

/// How long an answer to a question is taken.
const WITHIN: Duration = Duration::from_mins(5);
/// Most open questions in all, and of one person.
const OPEN: usize = 1024;
const OPEN_PER_PERSON: usize = 16;
/// The name of the one question, and of the one field of its form.
const KEY: &str = "confirm";

/// The questions that wait for a second request. Its size is bounded.
#[derive(Debug)]
pub(super) struct Questions {
    world: Arc<dyn World>,
    open: Mutex<HashMap<Hash, Question>>,
}

#[derive(Debug)]
struct Question {
    person: (String, String),
    binding: Hash,
    asked: Duration,
}

impl Questions {
    /// No question is open yet.
    pub(super) fn new(world: Arc<dyn World>) -> Self {
        Self {
            world,
            open: Mutex::default(),
        }
    }

    /// Opens a question and gives the handle the client has to bring back, or nothing when too many
    /// are open. A person's oldest question makes room for their newest.
    fn ask(&self, person: (String, String), binding: Hash) -> Option<String> {
        let now = self.world.monotonic();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, question| now.saturating_sub(question.asked) < WITHIN);
        let mine = open.iter().filter(|(_, question)| question.person == person);
        if mine.clone().count() >= OPEN_PER_PERSON
            && let Some(oldest) = mine
                .min_by_key(|(_, question)| question.asked)
                .map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        if open.len() >= OPEN {
            return None;
        }
        let mut handle = [0_u8; 32];
        self.world.random(&mut handle);
        let handle = hex(&handle);
        open.insert(
            Hash::of(handle.as_bytes()),
            Question {
                person,
                binding,
                asked: now,
            },
        );
        Some(handle)
    }

    /// Whether this handle was given for exactly this call. It is spent either way.
    fn redeem(&self, handle: &str, binding: Hash) -> bool {
        let now = self.world.monotonic();
        let question = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&Hash::of(handle.as_bytes()));
        question.is_some_and(|question| {
            question.binding == binding && now.saturating_sub(question.asked) < WITHIN
        })
    }
}

/// An answer that came with a call.
struct Reply {
    handle: String,
    yes: bool,
}

/// The [`Caller`] of one call.
pub(super) struct Desk<'a> {
    questions: &'a Questions,
    ctx: &'a RequestContext<RoleServer>,
    person: (String, String),
    call: Value,
    within: Duration,
    reply: Mutex<Option<Reply>>,
    asked: Mutex<Option<InputRequiredResult>>,
    news: News,
}

impl<'a> Desk<'a> {
    /// `within` bounds how long a question of the older kind waits.
    pub(super) fn new(
        questions: &'a Questions,
        ctx: &'a RequestContext<RoleServer>,
        arrival: &Arrival,
        reply: &CallToolRequestParams,
        within: Duration,
    ) -> Self {
        let user = &arrival.principal.user;
        Self {
            questions,
            ctx,
            person: (user.issuer.clone(), user.subject.clone()),
            // The arguments go in as exact text: canonical JSON would round large numbers.
            call: json!({
                "user": user.id(),
                "client": arrival.principal.agent.client_id,
                "tool": arrival.tool,
                "arguments": Value::Object(arrival.arguments.clone()).to_string(),
            }),
            within,
            reply: Mutex::new(given(reply)),
            asked: Mutex::default(),
            news: News::default(),
        }
    }

    /// What the call has to tell.
    pub(super) fn news(&self) -> &News {
        &self.news
    }

    /// The question that has to be sent instead of an answer, if one was put.
    pub(super) fn into_question(self) -> Option<InputRequiredResult> {
        self.asked.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn binding(&self, prompt: &str) -> Hash {
        Hash::of_json(&json!({"call": self.call, "prompt": prompt}))
    }

    /// The newer way: take the answer that came with the call, or send the question.
    fn exchange(&self, prompt: &str) -> Confirmation {
        let binding = self.binding(prompt);
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply
            && self.questions.redeem(&reply.handle, binding)
        {
            return if reply.yes {
                Confirmation::Yes
            } else {
                Confirmation::No
            };
        }
        let Some(handle) = self.questions.ask(self.person.clone(), binding) else {
            return Confirmation::Unavailable;
        };
        let Some(form) = form(prompt) else {
            return Confirmation::Unavailable;
        };
        let requests = BTreeMap::from([(KEY.to_owned(), InputRequest::Elicitation(form))]);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(InputRequiredResult::new(Some(requests), Some(handle)));
        Confirmation::Asked
    }

    /// The older way: ask, and wait.
    async fn elicit(&self, prompt: &str) -> Confirmation {
        let Some(form) = form(prompt) else {
            return Confirmation::Unavailable;
        };
        let options = PeerRequestOptions::with_timeout(self.within);
        let asking = self
            .ctx
            .peer
            .send_request_with_option(ServerRequest::ElicitRequest(form), options);
        let answer = match asking.await {
            Ok(waiting) => {
                let mut open = Open::new(&waiting);
                let answer = waiting.await_response().await;
                open.answered = true;
                answer
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(ClientResult::ElicitResult(result)) if says_yes(&result) => Confirmation::Yes,
            Ok(_) | Err(ServiceError::Timeout { .. } | ServiceError::Cancelled { .. }) => Confirmation::No,
            Err(error) => {
                tracing::debug!(%error, "the client could not ask its person");
                Confirmation::Unavailable
            }
        }
    }
}

impl Caller for Desk<'_> {
    fn confirm<'a>(&'a self, prompt: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(async move {
            if !asks_forms(self.ctx) {
                Confirmation::Unavailable
            } else if is_modern(self.ctx) {
                self.exchange(prompt)
            } else {
                self.elicit(prompt).await
            }
        })
    }

    fn progress<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        self.news.tell(text);
        Box::pin(std::future::ready(()))
    }

    fn waits_for(&self, what: Option<&str>) {
        self.news.waits_for(what);
    }
}

/// A question that was sent. Dropped without an answer (the call was cancelled), it is taken back, so
/// that neither the client's screen nor the list of open requests keeps it.
struct Open {
    peer: Peer<RoleServer>,
    id: RequestId,
    answered: bool,
}

impl Open {
    fn new(waiting: &RequestHandle<RoleServer>) -> Self {
        Self {
            peer: waiting.peer.clone(),
            id: waiting.id.clone(),
            answered: false,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (peer, id) = (self.peer.clone(), self.id.clone());
        let note = CancelledNotificationParam::new(Some(id), Some("the call was cancelled".to_owned()));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = peer.notify_cancelled(note).await {
                    tracing::debug!(%error, "a question could not be taken back");
                }
            });
        }
    }
}

/// Whether this request follows the revision that has no requests from server to client.
pub(super) fn is_modern(ctx: &RequestContext<RoleServer>) -> bool {
    ctx.protocol_version()
        .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// What the client declared, where its revision has it.
pub(super) fn declared(ctx: &RequestContext<RoleServer>) -> Option<ClientCapabilities> {
    if is_modern(ctx) {
        ctx.meta.client_capabilities()
    } else {
        ctx.client_capabilities()
    }
}

/// Whether the client declared that it can show a form. An empty declaration means forms, as it did
/// before there was anything else (2025-06-18).
fn asks_forms(ctx: &RequestContext<RoleServer>) -> bool {
    declared(ctx)
        .and_then(|capabilities| capabilities.elicitation)
        .is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
}

fn form(prompt: &str) -> Option<ElicitRequest> {
    let requested_schema = ElicitationSchema::builder()
        .required_bool_with(KEY, |field| {
            field
                .title("Allow this call")
                .description("Only this one call, with exactly these arguments.")
                .with_default(false)
        })
        .build()
        .ok()?;
    Some(ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: prompt.to_owned(),
        requested_schema,
    }))
}

/// Accepted, and the box ticked: a client that accepts everything unseen sends no content.
fn says_yes(result: &ElicitResult) -> bool {
    result.action == ElicitationAction::Accept
        && result
            .content
            .as_ref()
            .and_then(|content| content.get(KEY))
            .and_then(Value::as_bool)
            == Some(true)
}

fn given(request: &CallToolRequestParams) -> Option<Reply> {
    let result = request.input_responses.as_ref()?.get(KEY)?;
    let result: ElicitResult = serde_json::from_value(result.clone()).ok()?;
    Some(Reply {
        handle: request.request_state.clone()?,
        yes: says_yes(&result),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tests::world::Fixed;

    fn ann() -> (String, String) {
        ("corp".to_owned(), "ann".to_owned())
    }

    fn questions() -> (Arc<Fixed>, Questions) {
        let world = Arc::new(Fixed::default());
        (Arc::clone(&world), Questions::new(world))
    }

    #[test]
    fn a_handle_answers_its_own_call_once() {
        let (_, questions) = questions();
        let this = Hash::of(b"this");
        let handle = questions.ask(ann(), this).unwrap();
        assert!(questions.redeem(&handle, this));
        assert!(!questions.redeem(&handle, this), "spent");
    }

    #[test]
    fn a_handle_for_another_call_is_spent_in_vain() {
        let (_, questions) = questions();
        let handle = questions.ask(ann(), Hash::of(b"this")).unwrap();
        assert!(!questions.redeem(&handle, Hash::of(b"that")));
        assert!(!questions.redeem(&handle, Hash::of(b"this")));
        assert!(!questions.redeem("", Hash::of(b"this")));
        assert!(!questions.redeem(&"0".repeat(64), Hash::of(b"this")));
    }

    #[test]
    fn a_late_answer_is_none() {
        let (world, questions) = questions();
        let this = Hash::of(b"this");
        let in_time = questions.ask(ann(), this).unwrap();
        let late = questions.ask(ann(), this).unwrap();
        world.advance(WITHIN.checked_sub(Duration::from_millis(1)).unwrap());
        assert!(questions.redeem(&in_time, this));
        world.advance(Duration::from_millis(1));
        assert!(!questions.redeem(&late, this));
    }

    #[test]
    fn open_questions_are_bounded_and_a_person_crowds_out_only_themselves() {
        let (world, questions) = questions();
        let this = Hash::of(b"this");
        let other = questions
            .ask(("corp".to_owned(), "bob".to_owned()), this)
            .unwrap();
        let first = questions.ask(ann(), this).unwrap();
        for _ in 0..OPEN_PER_PERSON {
            world.advance(Duration::from_millis(1));
            questions.ask(ann(), this).unwrap();
        }
        assert_eq!(questions.open.lock().unwrap().len(), OPEN_PER_PERSON + 1);
        assert!(!questions.redeem(&first, this));
        assert!(questions.redeem(&other, this));
        for person in 0..OPEN {
            questions.ask(("corp".to_owned(), person.to_string()), this);
        }
        assert_eq!(questions.open.lock().unwrap().len(), OPEN);
        assert_eq!(questions.ask(("corp".to_owned(), "late".to_owned()), this), None);
    }
}
