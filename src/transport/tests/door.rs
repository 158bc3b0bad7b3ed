//! A door the test holds: it tells what comes through, and keeps a call inside until told to let go.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::people::People;
use crate::approval::standing::Standing;
use crate::call::refusal::Code;
use crate::call::{
    Action, Agent, ApprovalId, Arrival, CallId, Caller, Confirmation, Principal, Scope, Session, Transport,
    User, UserKind,
};
use crate::identity::Bearer;
use crate::identity::ends::Ends;
use crate::mask::Masked;
use crate::tool::{ToolCard, UnknownTool};
use crate::transport::{Challenge, Door, Unreadable};

/// What happened at the door.
#[derive(Debug)]
pub(in crate::transport) enum Event {
    Entered(Box<Seen>),
    Cancelled(CallId),
    Accepted(CallId),
}

/// What arrived.
#[derive(Debug)]
pub(in crate::transport) struct Seen {
    pub(in crate::transport) call_id: CallId,
    pub(in crate::transport) principal: Principal,
    pub(in crate::transport) transport: Transport,
    pub(in crate::transport) arguments: Value,
}

pub(in crate::transport) const CHALLENGE: &str =
    r#"Bearer resource_metadata="http://x/.well-known/oauth-protected-resource/mcp", scope="tollgate""#;

pub(in crate::transport) const STEP_UP: &str = r#"Bearer resource_metadata="http://x/.well-known/oauth-protected-resource/mcp", scope="change read", error="insufficient_scope", error_description="The token lacks a required scope.""#;

pub(in crate::transport) struct Held {
    events: mpsc::UnboundedSender<Event>,
    /// One permit lets one `hold` go.
    pub(in crate::transport) let_go: Semaphore,
    /// Every token that was shown, as it was shown.
    pub(in crate::transport) shown: Mutex<Vec<Option<String>>>,
    /// Where the test ends sessions.
    pub(in crate::transport) ends: Ends,
    /// Sessions that have ended elsewhere.
    pub(in crate::transport) fallen: Mutex<BTreeSet<String>>,
    /// Sessions of which nobody can say whether they stand: asking never ends.
    pub(in crate::transport) stuck: Mutex<BTreeSet<String>>,
    /// How often that was asked.
    pub(in crate::transport) asked: AtomicUsize,
    /// Calls count as having taken their approval.
    pub(in crate::transport) spent: AtomicBool,
    /// What was let go of: sessions left, and forgotten.
    pub(in crate::transport) let_go_of: Mutex<Vec<(&'static str, String)>>,
    /// People who decide, as the test says.
    pub(in crate::transport) people: People,
}

impl Held {
    pub(in crate::transport) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Event>) {
        let (events, told) = mpsc::unbounded_channel();
        let door = Self {
            events,
            let_go: Semaphore::new(0),
            shown: Mutex::default(),
            ends: Ends::default(),
            fallen: Mutex::default(),
            stuck: Mutex::default(),
            asked: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
            let_go_of: Mutex::default(),
            people: People::default(),
        };
        (Arc::new(door), told)
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event); // a test that listens no more has seen enough
    }
}

/// Tokens are `<subject>` or `<subject>@<client>`, for subjects that start with a letter, and may end with
/// `/<session>`. The tokens of `scarce` have the scope `read` alone, which opens `echo`.
pub(in crate::transport) fn principal(token: &str) -> Option<Principal> {
    let (token, session) = token.split_once('/').unwrap_or((token, ""));
    let (subject, client) = token.split_once('@').unwrap_or((token, "cli"));
    subject
        .starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| Principal {
            user: User {
                issuer: "corp".to_owned(),
                subject: subject.to_owned(),
                kind: UserKind::Person,
                groups: BTreeSet::new(),
            },
            agent: Agent {
                client_id: client.to_owned(),
                verified: true,
                claimed_name: String::new(),
                claimed_version: String::new(),
            },
            session: Session {
                id: format!("s-{subject}{session}"),
                labels: BTreeSet::new(),
            },
            scope: Scope {
                tools: (subject == "scarce").then(|| BTreeSet::from(["echo".to_owned()])),
                resources: None,
            },
        })
}

fn card(name: &str, action: Action) -> ToolCard {
    let object = |value: Value| Arc::new(value.as_object().unwrap().clone());
    ToolCard {
        name: name.to_owned(),
        title: format!("Title of {name}"),
        description: format!("Does {name}."),
        input_schema: object(json!({"type": "object", "additionalProperties": true})),
        output_schema: object(json!({"type": "object", "required": ["status", "call_id"]})),
        action,
    }
}

pub(in crate::transport) fn ok(call_id: &CallId, data: &Value) -> Masked {
    let envelope =
        json!({"status": "ok", "call_id": call_id, "data": data, "masked": [], "truncated": false});
    Masked::for_tests(envelope, "text form".to_owned(), false)
}

pub(in crate::transport) fn refused(call_id: &CallId, code: Code) -> Masked {
    let refusal = json!({"code": code, "message": "m", "try": "t", "retry": false});
    let envelope = json!({"status": "refused", "call_id": call_id, "refusal": refusal});
    Masked::for_tests(envelope, "refused".to_owned(), true)
}

impl Held {
    async fn answer(&self, arrival: Arrival, caller: &dyn Caller) -> Result<Masked, UnknownTool> {
        let id = arrival.call_id.clone();
        let arguments = Value::Object(arrival.arguments.clone());
        self.tell(Event::Entered(Box::new(Seen {
            call_id: id.clone(),
            principal: arrival.principal.clone(),
            transport: arrival.transport,
            arguments: arguments.clone(),
        })));
        match arrival.tool.as_str() {
            "echo" => Ok(ok(&id, &arguments)),
            "large" => Ok(ok(&id, &json!("x".repeat(16 * 1024 * 1024)))),
            "no" => Ok(refused(&id, Code::NotPermitted)),
            "hold" => {
                tokio::select! {
                    () = arrival.cancel.cancelled() => {
                        self.tell(Event::Cancelled(id.clone()));
                        Ok(refused(&id, Code::Cancelled))
                    }
                    permit = self.let_go.acquire() => {
                        permit.unwrap().forget();
                        Ok(ok(&id, &json!("let go")))
                    }
                }
            }
            "ask" => Ok(match ask(&arrival, caller).await {
                Confirmation::Yes => ok(&id, &json!("confirmed")),
                Confirmation::No => refused(&id, Code::ApprovalDenied),
                Confirmation::Asked => refused(&id, Code::ConfirmationRequired),
                Confirmation::Unavailable => refused(&id, Code::ApprovalUnavailable),
            }),
            "news" => {
                for piece in ["one", "two", "three"] {
                    caller.progress(piece).await;
                }
                self.let_go.acquire().await.unwrap().forget();
                Ok(ok(&id, &json!("told")))
            }
            "change" => Ok(self.people.ask(&arrival, caller).await),
            "approval_wait" => Ok(self.people.wait(&arrival, caller, &self.let_go).await),
            name => Err(UnknownTool {
                name: name.to_owned(),
            }),
        }
    }
}

impl Door for Held {
    fn admit<'a>(&'a self, Bearer(token): Bearer<'a>) -> BoxFuture<'a, Result<Principal, Challenge>> {
        self.shown.lock().unwrap().push(token.map(str::to_owned));

        let admitted = token.and_then(principal).ok_or(Challenge {
            status: if token == Some("0later") { 503 } else { 401 },
            value: CHALLENGE.to_owned(),
        });
        Box::pin(std::future::ready(admitted))
    }

    /// The scope `change` opens the tool `change`.
    fn step_up(&self, principal: &Principal, tool: &str) -> Option<Challenge> {
        let missing = tool == "change" && !principal.scope.has_tool(tool);
        missing.then(|| Challenge {
            status: 403,
            value: STEP_UP.to_owned(),
        })
    }

    /// Tokens that begin with `known` are.
    fn knows(&self, Bearer(token): Bearer<'_>) -> bool {
        token.is_some_and(|token| token.starts_with("known"))
    }

    fn list(&self, principal: &Principal) -> Vec<ToolCard> {
        match principal.user.subject.as_str() {
            "bob" => vec![card("echo", Action::Describe)],
            "cursed" => panic!("the catalogue fell over"),
            _ => vec![
                card("echo", Action::SqlRead),
                card("change", Action::SqlWrite),
                card("send", Action::HttpSend),
            ],
        }
    }

    fn call<'a>(
        &'a self,
        arrival: Arrival,
        caller: &'a dyn Caller,
    ) -> BoxFuture<'a, Result<Masked, UnknownTool>> {
        Box::pin(self.answer(arrival, caller))
    }

    fn approval<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Standing>, Unreadable>> {
        Box::pin(std::future::ready(Ok(self.people.standing(principal, id))))
    }

    fn withdraw<'a>(
        &'a self,
        principal: &'a Principal,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<bool, Unreadable>> {
        Box::pin(std::future::ready(Ok(self.people.withdraw(principal, id))))
    }

    fn ended(&self) -> broadcast::Receiver<Arc<str>> {
        self.ends.listen()
    }

    fn leave<'a>(&'a self, session: &'a str) -> BoxFuture<'a, ()> {
        self.let_go_of.lock().unwrap().push(("left", session.to_owned()));
        Box::pin(std::future::ready(()))
    }

    fn has_fallen<'a>(&'a self, principal: &'a Principal) -> BoxFuture<'a, bool> {
        if self.stuck.lock().unwrap().contains(&principal.session.id) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return Box::pin(std::future::pending());
        }
        let fallen = self.fallen.lock().unwrap().contains(&principal.session.id);
        Box::pin(std::future::ready(fallen))
    }

    fn has_spent(&self, _call_id: &CallId) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    fn forget(&self, session: &str) {
        self.let_go_of
            .lock()
            .unwrap()
            .push(("forgot", session.to_owned()));
    }

    fn accepted(&self, call_id: &CallId) {
        self.tell(Event::Accepted(call_id.clone()));
    }

    fn protected_resource_metadata(&self) -> Value {
        json!({"resource": "http://x/mcp", "authorization_servers": ["https://login.example.com"]})
    }
}

/// As the approval stage asks: not for a call that was cancelled.
async fn ask(arrival: &Arrival, caller: &dyn Caller) -> Confirmation {
    tokio::select! {
        biased;
        () = arrival.cancel.cancelled() => Confirmation::No,
        answer = caller.confirm("Allow it?") => answer,
    }
}
