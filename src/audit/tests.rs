//! The journal, tested through its own doors: entries in, reports out.

mod again;
mod faults;
mod hindsight;
mod journal;
mod kill;
mod notes;

mod reading;
mod replicas;
mod tamper;
mod tree;
mod vfs;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::list::{Listed, Query};
use super::verify::{Report, Trust};
use super::*;
use crate::call::request::{ListResources, Request};
use crate::call::{
    Action, Agent, Facts, Hash, Invocation, Principal, Probe, Scope, Session, Target, Transport, User,
    UserKind,
};
use crate::clock::Timestamp;
use crate::policy::Decision;
use crate::store::read::RecordFilter;
use crate::store::{Tuning, testing};

pub(super) const SECRET: &str = "hunter2-very-secret";

/// A clock that ticks once per question, and bytes that never repeat within one seed.
#[derive(Debug)]
pub(super) struct TestWorld {
    seed: u64,
    asked: AtomicU64,
}

impl World for TestWorld {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_000_000_000 + self.asked.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.asked.fetch_add(1, Ordering::Relaxed))
    }
    fn random(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::digest([self.seed.to_be_bytes(), asked.to_be_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

pub(super) fn world(seed: u64) -> Arc<TestWorld> {
    Arc::new(TestWorld {
        seed,
        asked: AtomicU64::new(0),
    })
}

/// Masks one word.
pub(super) struct OneWord;

impl Masking for OneWord {
    fn value(&self, value: &mut Value, counts: &mut MaskCounts) {
        match value {
            Value::String(text) => {
                counts.add("value", "one-word", text.matches(SECRET).count() as u64);
                *text = text.replace(SECRET, "[masked]");
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, counts)),
            Value::Object(members) => members.values_mut().for_each(|item| self.value(item, counts)),
            _ => {}
        }
    }
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Owned(text.replace(SECRET, "[masked]"))
    }
    fn refusal(&self, call_id: &CallId, refusal: &Refusal) -> Masked {
        let message = self.text(&refusal.message).into_owned();
        let envelope = json!({
            "status": "refused", "call_id": call_id,
            "refusal": {"code": refusal.code, "message": message},
        });
        Masked::for_tests(envelope, message, true)
    }
}

/// A store in a folder of its own, and a journal on it.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) audit: Audit,
    pub(super) report: StartReport,
    pub(super) world: Arc<TestWorld>,
    pub(super) free: Arc<AtomicU64>,
}

pub(super) struct Options {
    pub(super) seed: u64,
    pub(super) every: u64,
    pub(super) publish: bool,
    pub(super) vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            every: 1_000,
            publish: false,
            vfs: None,
        }
    }
}

pub(super) async fn bench(folder: &Path, options: Options) -> Bench {
    try_bench(folder, options).await.expect("the journal starts")
}

pub(super) async fn try_bench(folder: &Path, options: Options) -> Result<Bench, AuditError> {
    let world = world(options.seed);
    let tuning = Tuning {
        vfs: options.vfs,
        ..Tuning::default()
    };
    let store = testing::try_open(&folder.join("tollgate.db"), &tuning).await?;
    let key = load_or_create_key(&folder.join("log.key"), "example.org/tollgate", &*world).expect("a key");
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let asked = Arc::clone(&free);
    let spec = AuditSpec {
        key,
        checkpoint_every: options.every,
        publish: options.publish.then(|| folder.join("checkpoints")),
        disk: DiskRule {
            warn_below: 2_000,
            refuse_below: 1_000,
            free: Arc::new(move || Ok(asked.load(Ordering::Relaxed))),
        },
        start: json!({"version": "test"}),
    };
    let (audit, report) = Audit::start(store.clone(), spec, Arc::new(OneWord), world.clone()).await?;
    Ok(Bench {
        store,
        audit,
        report,
        world,
        free,
    })
}

impl Bench {
    pub(super) fn arrival(&self, tool: &str, arguments: &Value) -> Arrival {
        arrival(&*self.world, tool, arguments)
    }

    /// One whole call: what the agent gets, and its id.
    pub(super) async fn call(&self, action: Action, text: &str) -> (String, Masked) {
        let arrival = self.arrival("file_read", &json!({"resource": "web", "path": text}));
        let entry = self.audit.open(&arrival);
        let answer = walk(entry, &arrival, action, text).await;
        (arrival.call_id.to_string(), answer)
    }

    pub(super) async fn records(&self) -> Vec<Value> {
        records(&self.store).await
    }

    pub(super) async fn verify(&self) -> Report {
        verify_store(&self.store, &Trust::default())
            .await
            .expect("readable")
    }

    pub(super) async fn listed(&self, filter: RecordFilter) -> Vec<Listed> {
        let query = Query {
            filter,
            limit: list::PAGE_MAX,
            oldest_first: true,
            ..Query::default()
        };
        list(&self.store, &query).await.expect("readable").items
    }
}

pub(super) async fn records(store: &Store) -> Vec<Value> {
    let mut reader = store.reader().await.expect("a reader");
    let rows = reader.range(0, 100_000).await.expect("records");
    rows.iter()
        .map(|(row, _)| serde_json::from_slice(&row.record).expect("a record"))
        .collect()
}

pub(super) fn arrival(world: &dyn World, tool: &str, arguments: &Value) -> Arrival {
    let mut random = [0; 10];
    world.random(&mut random);
    Arrival {
        hold: None,
        call_id: CallId::new(world.now().0, &random),
        principal: Principal {
            user: User {
                issuer: "corp".into(),
                subject: "u-17".into(),
                kind: UserKind::Person,
                groups: BTreeSet::from(["analyst".into()]),
            },
            agent: Agent {
                client_id: "agent-1".into(),
                verified: true,
                claimed_name: "coder".into(),
                claimed_version: "1.0".into(),
            },
            session: Session {
                id: "session-1".into(),
                labels: BTreeSet::new(),
            },
            scope: Scope::default(),
        },
        transport: Transport::Http,
        tool: tool.into(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
        cancel: CancellationToken::new(),
    }
}

pub(super) fn invocation(arrival: &Arrival, action: Action) -> (Invocation, Facts) {
    let invocation = Invocation {
        call_id: arrival.call_id.clone(),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: arrival.tool.clone(),
        action,
        resource: Some("web".into()),
        request: Request::ListResources(ListResources {
            kind: None,
            cursor: None,
        }),
        arguments: Value::Object(arrival.arguments.clone()),
        request_key: Hash::of(arrival.call_id.as_str().as_bytes()),
    };
    let facts = Facts {
        shell: None,
        probe: Probe::None,
        action,
        target: Target::Tollgate,
        sql: None,
        file: None,
        classified: BTreeSet::new(),
    };
    (invocation, facts)
}

pub(super) fn decision() -> Decision {
    Decision {
        digest: Hash::of(b"policies"),
        ids: vec!["analysts-read".into()],
        satisfied: BTreeSet::new(),
        self_confirmed: false,
        candidate: None,
    }
}

pub(super) fn answer(arrival: &Arrival, text: &str) -> Masked {
    let envelope = json!({
        "status": "ok", "call_id": arrival.call_id, "data": {"text": text},
        "masked": [{"where": "text", "rule": "email", "count": 2}], "truncated": false,
    });
    Masked::for_tests(envelope, text.to_owned(), false)
}

/// As the gate walks: intent, decision, effect, outcome.
pub(super) async fn walk(mut entry: Entry, arrival: &Arrival, action: Action, text: &str) -> Masked {
    let (invocation, facts) = invocation(arrival, action);
    let answer = match entry.intent(&invocation, &facts).await {
        Ok(()) => {
            entry.permitted_by(&decision());
            answer(arrival, text)
        }
        Err(refusal) => entry.refused(&OneWord, refusal),
    };
    entry.settle(&OneWord, answer).await
}

pub(super) fn code(answer: &Masked) -> &str {
    answer
        .envelope()
        .pointer("/refusal/code")
        .and_then(Value::as_str)
        .unwrap_or("none")
}

/// Phases of each call, in journal order.
pub(super) fn phases(records: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records {
        if let Some(call_id) = record["call_id"].as_str() {
            let phase = record["phase"].as_str().unwrap_or_default();
            calls
                .entry(call_id.to_owned())
                .or_default()
                .push(phase.to_owned());
        }
    }
    calls
}
