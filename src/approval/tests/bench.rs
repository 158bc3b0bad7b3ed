//! Real rows in a real file, a clock that stands still unless it is told otherwise, a journal that can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::approval::listing::{Shelf, Wanted};
use crate::approval::review::{Card, Choice, NotDecided, Reviewer, State, Via};
use crate::approval::*;
use crate::call::effect::{Affected, RowChanges};
use crate::call::request::{ApprovalWait, SqlExecute};
use crate::call::{
    Action, Agent, Bound, Confirmation, Limits, Principal, Probe, ResourceCard, ResourceKind, Scope, Session,
    Target, Transport, User, UserKind,
};
use crate::clock::Timestamp;
use crate::policy::{Decision, Obligation, Policies, RuleSet, Scene};
use crate::store::testing;

/// A clock that is set, and bytes that never repeat.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now: AtomicU64,
    seed: u64,
    asked: AtomicU64,
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::SeqCst))
    }
    fn random(&self, buffer: &mut [u8]) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let block = Sha256::digest([self.seed.to_be_bytes(), asked.to_be_bytes()].concat());
        let filled = buffer.len().min(block.len());
        buffer[..filled].copy_from_slice(&block[..filled]);
    }
}

/// A journal in memory.
#[derive(Default)]
pub(super) struct Book {
    pub(super) fails: AtomicBool,
    pub(super) events: Mutex<Vec<Event>>,
}

impl Ledger for Book {
    fn record<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unrecorded>> {
        let failed = self.fails.load(Ordering::SeqCst);
        if !failed {
            self.events.lock().unwrap().push(event.clone());
        }
        Box::pin(std::future::ready(if failed { Err(Unrecorded) } else { Ok(()) }))
    }
}

impl Book {
    pub(super) fn words(&self) -> Vec<String> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.event.clone())
            .collect()
    }
}

/// Nobody who could confirm.
pub(super) struct Agentless;

impl Caller for Agentless {
    fn confirm<'a>(&'a self, _prompt: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(std::future::ready(Confirmation::Unavailable))
    }
}

/// One process's view of a store.
pub(super) struct Bench {
    pub(super) approvals: Approvals,
    pub(super) clock: Arc<Clock>,
    pub(super) book: Arc<Book>,
    pub(super) store: Store,
    pub(super) policies: Arc<Policies>,
}

pub(super) const START: u64 = 1_795_000_000_000;
pub(super) const SECOND: u64 = 1_000;

const POLICIES: &str = r#"
@id("reviewers-approve")
permit (principal, action == Tollgate::Action::"approve", resource)
when { principal in Tollgate::Group::"dba" || principal in Tollgate::Group::"security" };
"#;

fn policies(folder: &Path) -> Policies {
    let dir = folder.join("policies");
    if std::fs::create_dir(&dir).is_ok() {
        std::fs::write(dir.join("all.cedar"), POLICIES).unwrap();
    }
    let scene = Scene {
        resources: vec![ResourceCard {
            name: "shop".to_owned(),
            kind: ResourceKind::Sqlite,
            description: String::new(),
            labels: BTreeSet::new(),
        }],
        groups: ["dba", "security", "ops"].map(str::to_owned).into(),
        classes: BTreeSet::new(),
        tools: ["sql_execute".to_owned()].into(),
        limits: Limits {
            rows: 100,
            bytes: 1000,
            seconds: 10,
        },
    };
    Policies::load(&dir, scene, None).unwrap()
}

/// Opens the store of a folder as one more process would.
pub(super) async fn bench(folder: &Path, seed: u64) -> Bench {
    bench_with(folder, seed, Settings::default()).await
}

pub(super) async fn bench_with(folder: &Path, seed: u64, settings: Settings) -> Bench {
    let store = testing::open(&folder.join("tollgate.db")).await;
    let clock = Arc::new(Clock {
        now: AtomicU64::new(START),
        seed,
        asked: AtomicU64::new(0),
    });
    let book = Arc::new(Book::default());
    let settings = Settings {
        hold: Duration::ZERO, // nothing in these tests waits for a person who does not come
        ..settings
    };
    let url = url::Url::parse("http://localhost:7331/").unwrap();
    Bench {
        approvals: Approvals::with_people(&store, book.clone(), clock.clone(), settings, Some(url)),
        clock,
        book,
        store,
        policies: Arc::new(policies(folder)),
    }
}

pub(super) fn user(subject: &str, groups: &[&str]) -> User {
    User {
        issuer: "corp".to_owned(),
        subject: subject.to_owned(),
        kind: UserKind::Person,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

pub(super) fn effect(keys: &[&str]) -> Effect {
    let updated = Affected {
        count: keys.len() as u64,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let changes = RowChanges {
        updated,
        ..RowChanges::default()
    };
    Effect {
        rows: BTreeMap::from([("orders".to_owned(), changes)]),
        ..Effect::default()
    }
}

pub(super) fn asks(seats: &[(u32, &str)]) -> Ask {
    asks_all(&[("reviewed", seats)])
}

pub(super) fn asks_all(all: &[(&str, &[(u32, &str)])]) -> Ask {
    Ask {
        obligations: all
            .iter()
            .map(|(id, seats)| Obligation {
                id: (*id).to_owned(),
                kind: ObligationKind::Approval(
                    seats
                        .iter()
                        .map(|(count, group)| (*count, (*group).to_owned()))
                        .collect(),
                ),
                bound: Bound::Keys,
                unattended: false,
                grantable: None,
                escalate: Vec::new(),
                break_glass: None,
                high_risk: false,
                explain: Some("Writes are reviewed.".to_owned()),
            })
            .collect(),
        decision: Decision {
            digest: Hash::of(b"policies"),
            ids: Vec::new(),
            satisfied: BTreeSet::new(),
            self_confirmed: false,
            candidate: None,
        },
    }
}

/// One call on its way.
pub(super) struct Call {
    pub(super) arrival: Arrival,
    pub(super) invocation: Invocation,
    pub(super) facts: Facts,
}

impl Call {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject::new(&self.arrival, &self.invocation, &self.facts)
    }
}

pub(super) fn request_key(user: &User, client: &str, session: &str, statement: &str) -> Hash {
    Hash::of_json(&json!([user.id(), client, session, statement]))
}

impl Bench {
    pub(super) fn at(&self, seconds: u64) {
        self.clock.now.store(START + seconds * SECOND, Ordering::SeqCst);
    }

    pub(super) fn rules(&self) -> Arc<RuleSet> {
        self.policies.current()
    }

    pub(super) fn call_by(&self, user: User, session: &str, statement: &str) -> Call {
        let mut random = [0; 10];
        self.clock.random(&mut random);
        let arguments = json!({"resource": "shop", "statement": statement, "reason": "clean\u{202e} up"});
        let Value::Object(sent) = arguments.clone() else {
            unreachable!("an object")
        };
        let call_id = CallId::new(self.clock.now().0, &random);
        let invocation = Invocation {
            call_id: call_id.clone(),
            user: user.id(),
            session: "one".to_owned(),
            tool: "sql_execute".to_owned(),
            action: Action::SqlWrite,
            resource: Some("shop".to_owned()),
            request: Request::SqlExecute(SqlExecute {
                resource: "shop".to_owned(),
                statement: statement.to_owned(),
                parameters: None,
                reason: None,
            }),
            arguments,
            request_key: request_key(&user, "editor", session, statement),
        };
        Call {
            arrival: Arrival {
                call_id,
                principal: Principal {
                    user,
                    agent: Agent {
                        client_id: "editor".to_owned(),
                        verified: true,
                        claimed_name: String::new(),
                        claimed_version: String::new(),
                    },
                    session: Session {
                        id: session.to_owned(),
                        labels: BTreeSet::new(),
                    },
                    scope: Scope::default(),
                },
                transport: Transport::Http,
                tool: "sql_execute".to_owned(),
                arguments: sent,
                cancel: CancellationToken::new(),
                hold: None,
            },
            invocation,
            facts: Facts {
                action: Action::SqlWrite,
                target: Target::Tollgate,
                sql: None,
                file: None,
                shell: None,
                classified: BTreeSet::new(),
                probe: Probe::Measurable,
            },
        }
    }

    pub(super) fn call(&self, statement: &str) -> Call {
        self.call_by(user("asker", &["dba", "security"]), "s", statement)
    }

    /// The journal has the intent of a call, and not its outcome.
    pub(super) fn intended(&self, call: &Call) {
        let call_id = call.arrival.call_id.as_str();
        self.store.tamper(
            &[],
            &format!("INSERT INTO open_call VALUES ('{call_id}', 0, 'here')"),
        );
    }

    /// As the gate walks: attach, measure, satisfy.
    pub(super) async fn walk(&self, call: &Call, ask: Ask, measured: &Effect) -> Result<Evidence, Unmet> {
        let attached = self.approvals.attach(&ask, call.subject()).await?;
        let effect = match attached {
            Some(attached) => attached.effect,
            None => {
                let rules = self.rules();
                let granted = self
                    .approvals
                    .under_grant(&ask, call.subject(), Some(measured), &rules);
                granted.await?;
                Some(measured.clone())
            }
        };
        self.approvals
            .satisfy(ask, call.subject(), effect, &Agentless)
            .await
    }

    /// Opens a request that one dba decides, and gives its id.
    pub(super) async fn opened(&self, statement: &str) -> ApprovalId {
        let call = self.call(statement);
        let unmet = self.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await;
        match unmet {
            Err(Unmet::Pending(pending)) => pending.id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn reviewer(&self, subject: &str, groups: &[&str]) -> Reviewer {
        Reviewer {
            user: user(subject, groups),
            signed_in_at: self.clock.now(),
            acr: None,
            may_reach: Vec::new(),
            key: None,
            via: Via::Control,
        }
    }

    /// The newest of what somebody may see.
    pub(super) async fn listed(&self, reviewer: &Reviewer) -> Vec<Card> {
        let all = Wanted::on(Shelf::All);
        let page = self.approvals.page(reviewer, &self.rules(), &all).await.unwrap();
        page.items.into_iter().map(|one| one.card).collect()
    }

    pub(super) async fn decide(
        &self,
        subject: &str,
        groups: &[&str],
        id: &ApprovalId,
        choice: Choice,
    ) -> Result<State, NotDecided> {
        let seen = self.signed(id).await;
        let reviewer = self.reviewer(subject, groups);
        let card = self
            .approvals
            .decide(&reviewer, &self.rules(), id, choice, &seen)
            .await?;
        Ok(card.state)
    }

    pub(super) async fn approve(&self, subject: &str, groups: &[&str], id: &ApprovalId) -> State {
        self.decide(subject, groups, id, Choice::Approve).await.unwrap()
    }

    /// What people sign, as the row says.
    pub(super) async fn signed(&self, id: &ApprovalId) -> String {
        crate::call::hex(&self.row(id).await.action_sha256)
    }

    pub(super) async fn row(&self, id: &ApprovalId) -> crate::store::approvals::ApprovalRow {
        let rows = crate::store::rows::Rows::new(self.store.clone());
        let mut tx = rows.read().await.unwrap();
        let row = tx.row(&id.0).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        row
    }

    /// The evidence of a granted request, for one more call of the same.
    pub(super) async fn evidence(&self, call: &Call) -> Evidence {
        self.walk(call, asks(&[(1, "dba")]), &effect(&["1", "2"]))
            .await
            .unwrap()
    }

    /// `approval_wait` by this caller.
    pub(super) async fn wait_for(&self, mut call: Call, id: &ApprovalId) -> Result<(Call, Hash), Unmet> {
        call.arrival.tool = "approval_wait".to_owned();
        call.arrival.arguments = Map::new();
        call.invocation.request = Request::ApprovalWait(ApprovalWait {
            approval_id: id.0.clone(),
            wait_seconds: Some(0),
        });
        let key = self.approvals.resume(&mut call.arrival, &call.invocation).await?;
        Ok((call, key.unwrap()))
    }
}

pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Unmet>) -> Refusal {
    match result {
        Err(Unmet::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn pending<T: std::fmt::Debug>(result: Result<T, Unmet>) -> crate::call::Pending {
    match result {
        Err(Unmet::Pending(pending)) => pending,
        other => panic!("{other:?}"),
    }
}
