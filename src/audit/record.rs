//! The journal record, version 1: canonical JSON, built before it is known where in the log it will
//! stand.
//!
//! Two members depend on that place: `seq` and `prev`. All others are made canonical (RFC 8785) by
//! the call itself; the writer, which holds the store's lock, only puts the pieces in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Masking;
use super::merkle::Node;
use crate::approval::Event;
use crate::call::{Arrival, CallId, Code, Facts, Hash, Invocation, MaskCounts, Request, canonical, hex};
use crate::clock::Timestamp;
use crate::policy::Decision;
use crate::store::journal::RecordRow;

/// Version of the record.
pub(crate) const VERSION: u64 = 1;
/// Masked arguments beyond this many bytes are kept as a digest and a beginning.
const ARGS_MAX: usize = 16 * 1024;
const ARGS_HEAD: usize = 4 * 1024;
/// Names that come from outside are cut after this many characters.
const NAME_MAX: usize = 200;
/// Words for the operator are cut after this many characters.
const DETAIL_MAX: usize = 2_000;

/// What the digest of a value that is looked up begins with.
pub(crate) const LOOKUP_DIGEST: &str = "hmac:";

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Intent,
    Result,
    Refusal,
    Interrupted,
    Decision,
    Config,
    Delivery,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Result => "result",
            Self::Refusal => "refusal",
            Self::Interrupted => "interrupted",
            Self::Decision => "decision",
            Self::Config => "config",
            Self::Delivery => "delivery",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [
            Self::Intent,
            Self::Result,
            Self::Refusal,
            Self::Interrupted,
            Self::Decision,
            Self::Config,
            Self::Delivery,
        ]
        .into_iter()
        .find(|phase| phase.as_str() == word)
    }
}

/// A record without its place in the log.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) phase: Phase,
    /// Member name → canonical bytes; sorted, as the canonical form wants it.
    members: BTreeMap<&'static str, Vec<u8>>,
    columns: RecordRow,
    at: Timestamp,
    /// Whether a target may have been changed by the call this is about.
    pub(crate) effect_possible: bool,
}

impl Draft {
    pub(crate) fn new(phase: Phase, at: Timestamp) -> Self {
        let mut draft = Self {
            phase,
            members: BTreeMap::new(),
            columns: RecordRow {
                at: at.rfc3339(),
                phase: phase.as_str().to_owned(),
                ..RecordRow::default()
            },
            at,
            effect_possible: false,
        };
        draft.put("v", &json!(VERSION));
        draft.put("phase", &json!(phase.as_str()));
        draft.put("at", &json!(draft.columns.at));
        draft
    }

    /// The same call's next record.
    pub(crate) fn follow(&self, phase: Phase, at: Timestamp) -> Self {
        let mut next = self.clone();
        next.phase = phase;
        next.columns.phase = phase.as_str().to_owned();
        next.at = at;
        next.columns.at = at.rfc3339();
        next.put("phase", &json!(phase.as_str()));
        next.put("at", &json!(next.columns.at));
        next
    }

    /// Who asks for what, from where. Names that come from outside are masked and cut.
    pub(crate) fn of_call(arrival: &Arrival, at: Timestamp, masking: &dyn Masking) -> Self {
        let mut draft = Self::new(Phase::Intent, at);
        let (user, agent, session) = (
            &arrival.principal.user,
            &arrival.principal.agent,
            &arrival.principal.session,
        );
        draft.call(&arrival.call_id);
        draft.columns.user = Some(user.id());
        draft.columns.session = Some(session.id.clone());
        draft.put(
            "principal",
            &json!({"id": user.id(), "kind": user.kind, "groups": user.groups}),
        );
        draft.put(
            "agent",
            &json!({
                "client_id": agent.client_id,
                "verified": agent.verified,
                "claimed_name": name(&agent.claimed_name, masking),
                "claimed_version": name(&agent.claimed_version, masking),
            }),
        );
        draft.put(
            "session",
            &without_empty(json!({"id": session.id, "labels": session.labels})),
        );
        draft.put("transport", &json!(arrival.transport));
        let tool = name(&arrival.tool, masking);
        draft.put("tool", &json!(tool));
        draft.columns.tool = Some(tool);
        draft
    }

    /// That a call's process went away before its outcome was recorded; `intent` is its record.
    pub(crate) fn interrupted(intent: &Value, at: Timestamp) -> Self {
        let mut draft = Self::new(Phase::Interrupted, at);
        for member in [
            "principal",
            "agent",
            "session",
            "transport",
            "tool",
            "action",
            "resource",
        ] {
            if let Some(value) = intent.get(member) {
                draft.put(member, value);
            }
        }
        let columns = columns_of(intent);
        draft.columns.user = columns.user;
        draft.columns.session = columns.session;
        draft.columns.tool = columns.tool;
        draft.columns.resource = columns.resource;
        draft.call_named(columns.call_id.as_deref().unwrap_or_default());
        draft.outcome(json!({
            "status": "interrupted",
            "code": Code::OutcomeUnknown,
            "intent": intent.get("seq"),
        }));
        draft
    }

    /// A transition of a request for people's approval. Its words come from people, and are masked.
    pub(crate) fn of_event(event: &Event, at: Timestamp, masking: &dyn Masking) -> Self {
        let mut draft = Self::new(Phase::Decision, at);
        if let Some(call_id) = &event.call_id {
            draft.call_named(call_id);
        }
        draft.columns.user = Some(event.requester.clone());
        draft.put("principal", &json!({"id": event.requester}));
        draft.columns.session = Some(event.session.clone());
        draft.put("session", &json!({"id": event.session}));
        draft.put("agent", &json!({"client_id": event.agent}));
        let tool = name(&event.tool, masking);
        draft.put("tool", &json!(tool));
        draft.columns.tool = Some(tool);
        if let Some(resource) = &event.resource {
            draft.put("resource", &json!(resource));
            draft.columns.resource = Some(resource.clone());
        }
        let words = event.words.as_deref().map(|words| detail(words, masking));
        let approval = json!({
            "id": event.approval, "event": event.seq, "at": event.at, "by": event.by, "words": words,
            "method": event.method,
        });
        draft.put("approval", &without_empty(approval));
        draft.put("action_sha256", &json!(event.action_sha256));
        if let Some(effect) = &event.effect {
            draft.put("effect", effect);
        }
        draft.outcome(json!({"status": event.event}));
        draft
    }

    /// Makes it the same outcome, withheld because it could not be recorded in time.
    pub(crate) fn withhold(&mut self) {
        for member in ["payload", "fragments", "masks", "delivered"] {
            self.members.remove(member);
        }
        let code = self.withheld_code();
        self.phase = Phase::Refusal;
        self.columns.phase = Phase::Refusal.as_str().to_owned();
        self.put("phase", &json!(Phase::Refusal.as_str()));
        self.outcome(json!({"status": "refused", "code": code, "withheld": true}));
    }

    /// What the agent is told of an answer that could not be recorded.
    pub(crate) fn withheld_code(&self) -> Code {
        if self.effect_possible {
            Code::OutcomeUnknown
        } else {
            Code::AuditUnavailable
        }
    }

    /// What is about to happen.
    pub(crate) fn intend(&mut self, invocation: &Invocation, facts: &Facts) {
        self.concern(invocation);
        self.put("action", &json!(facts.action)); // the adapter knows better than the tool
    }

    /// What the call is about: known before the adapter has looked at it, so that a statement it
    /// refuses is found under its resource too.
    pub(crate) fn concern(&mut self, invocation: &Invocation) {
        // approval_wait carries out the call it waited for: that is what is on record, by its own tool.
        self.put("tool", &json!(invocation.tool));
        self.columns.tool = Some(invocation.tool.clone());
        self.put("action", &json!(invocation.action));
        self.regard(invocation);
        if let Request::Steps(steps) = &invocation.request {
            let calls: Vec<&CallId> = steps.steps.iter().map(|step| &step.call_id).collect();
            self.put("steps", &json!(calls));
        }
    }

    /// On what the call is.
    pub(crate) fn regard(&mut self, invocation: &Invocation) {
        if let Some(resource) = &invocation.resource {
            self.put("resource", &json!(resource));
            self.columns.resource = Some(resource.clone());
        }
    }

    /// The arguments, masked, and what the adapter found in them.
    pub(crate) fn detail_intent(&mut self, invocation: &Invocation, facts: &Facts, masking: &dyn Masking) {
        self.arguments(&invocation.arguments, masking);
        self.put("action_sha256", &json!(facts.action_sha256(invocation, None)));
        self.put("target", &json!(facts.target));
        let mut found = without_empty(json!({
            "sql": facts.sql, "file": facts.file, "shell": facts.shell, "classified": facts.classified,
        }));
        if found.as_object().is_some_and(|found| !found.is_empty()) {
            masking.value(&mut found, &mut MaskCounts::default());
            self.put("facts", &found);
        }
    }

    /// Arguments as they may be kept: masked, exact, bounded. The digest of what was cut off is over
    /// the masked form: a digest of the raw one would let short secrets be guessed.
    pub(crate) fn arguments(&mut self, arguments: &Value, masking: &dyn Masking) {
        let mut arguments = arguments.clone();
        match self.columns.tool.as_deref() {
            Some("sql_query") => hide_lookup(&mut arguments),
            Some("access_request") => {
                let meant = arguments.get_mut("arguments"); // of the call that is meant
                meant.into_iter().for_each(hide_lookup);
            }
            _ => {}
        }
        masking.value(&mut arguments, &mut MaskCounts::default());
        keep_integers(&mut arguments);
        let bytes = canonical(&arguments);
        if bytes.len() <= ARGS_MAX {
            self.members.insert("args_masked", bytes);
            return;
        }
        let head = String::from_utf8_lossy(bytes.get(..ARGS_HEAD).unwrap_or_default());
        self.put(
            "args_masked",
            &json!({"cut": {"bytes": bytes.len(), "sha256": Hash::of(&bytes), "head": head.trim_end_matches('\u{fffd}')}}),
        );
    }

    pub(crate) fn call(&mut self, call_id: &CallId) {
        self.call_named(call_id.as_str());
    }

    pub(crate) fn call_named(&mut self, call_id: &str) {
        self.put("call_id", &json!(call_id));
        self.columns.call_id = Some(call_id.to_owned());
    }

    pub(crate) fn decided(&mut self, decision: &Decision) {
        let policy = json!({
            "digest": decision.digest,
            "ids": decision.ids,
            "satisfied": decision.satisfied,
            "self_confirmed": decision.self_confirmed.then_some(true),
        });
        self.put("policy", &without_empty(policy));
    }

    /// `outcome`, whose `status` can be searched for.
    pub(crate) fn outcome(&mut self, outcome: Value) {
        self.columns.status = outcome.get("status").and_then(Value::as_str).map(str::to_owned);
        self.put("outcome", &without_empty(outcome));
    }

    pub(crate) fn put(&mut self, member: &'static str, value: &Value) {
        self.members.insert(member, canonical(value));
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn call_id(&self) -> Option<&str> {
        self.columns.call_id.as_deref()
    }

    /// The record at its place: the canonical bytes that are hashed and kept.
    pub(crate) fn assemble(&self, seq: u64, prev: Option<Node>) -> Vec<u8> {
        let seq = seq.to_string().into_bytes();
        let prev = prev.map(|prev| format!("\"{}\"", hex(&prev)).into_bytes());
        let mut all: BTreeMap<&str, &[u8]> = self
            .members
            .iter()
            .map(|(key, value)| (*key, value.as_slice()))
            .collect();
        all.insert("seq", &seq);
        if let Some(prev) = &prev {
            all.insert("prev", prev);
        }
        let mut record = Vec::with_capacity(all.iter().map(|(key, value)| key.len() + value.len() + 4).sum());
        for (key, value) in all {
            record.push(if record.is_empty() { b'{' } else { b',' });
            record.push(b'"');
            record.extend_from_slice(key.as_bytes());
            record.extend_from_slice(b"\":");
            record.extend_from_slice(value);
        }
        record.push(b'}');
        record
    }

    /// The row that holds it.
    pub(crate) fn row(&self, seq: u64, leaf: Node, record: Vec<u8>) -> RecordRow {
        RecordRow {
            seq,
            leaf,
            record,
            ..self.columns.clone()
        }
    }
}

/// What is looked up is no record's: an argument that was checked has a digest in the place of the value, and of one
/// that was not nothing is kept but the column.
fn hide_lookup(arguments: &mut Value) {
    let kept = |text: &str| {
        let digits = text.strip_prefix(LOOKUP_DIGEST).unwrap_or_default();
        digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    match arguments.get_mut("lookup") {
        Some(Value::Object(members)) => {
            for (name, member) in members {
                if name != "column" && !member.as_str().is_some_and(kept) {
                    *member = json!("[masked:lookup]");
                }
            }
        }
        Some(other) if !other.is_null() => *other = json!("[masked:lookup]"),
        _ => {}
    }
}

/// The search columns that belong to a record: what `verify` compares the stored ones with.
pub(crate) fn columns_of(record: &Value) -> RecordRow {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    RecordRow {
        at: text("/at").unwrap_or_default(),
        phase: text("/phase").unwrap_or_default(),
        call_id: text("/call_id"),
        user: text("/principal/id"),
        session: text("/session/id"),
        tool: text("/tool"),
        resource: text("/resource"),
        status: text("/outcome/status"),
        ..RecordRow::default()
    }
}

/// A name from outside, as it may be kept.
pub(crate) fn name(text: &str, masking: &dyn Masking) -> String {
    cut(&masking.text(text), NAME_MAX)
}

/// Words for the operator, as they may be kept.
pub(crate) fn detail(text: &str, masking: &dyn Masking) -> String {
    cut(&masking.text(text), DETAIL_MAX)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

/// Members that do not apply are absent, not null or empty.
pub(crate) fn without_empty(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| match member {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        });
    }
    value
}

/// RFC 8785 writes every number as a double; integers a double cannot hold are kept as text.
pub(crate) fn keep_integers(value: &mut Value) {
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Array(items) => items.iter_mut().for_each(keep_integers),
        Value::Object(members) => members.values_mut().for_each(keep_integers),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|magnitude| magnitude > EXACT) {
                *value = Value::String(number.to_string());
            }
        }
        _ => {}
    }
}
