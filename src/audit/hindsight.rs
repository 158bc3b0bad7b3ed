//! The calls on record, judged again: what would another set of policies have changed, for calls that really came?
//!
//! A record keeps who called through what, with which labels, what the adapter found, and what became of it; that is
//! what policies decide on. What it does not keep (a credential's own bounds, a value that is looked up, facts in
//! which a secret was masked) is counted as not replayed, and where today's very set decided a call before, the
//! replay must come to the same or it does not count either.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::AuditError;
use crate::call::{
    Action, Agent, ClassifiedColumn, FileFacts, Scope, Session, ShellFacts, SqlFacts, Transport, User,
    UserKind,
};
use crate::policy::RuleSet;
use crate::policy::exempt::{Exempted, Stance};
use crate::policy::explain::Supposed;
use crate::store::Store;
use crate::store::read::Told;

/// Most records of one resource that are looked at, newest first.
const RECORDS: usize = 100_000;
/// Records of one page.
const PAGE: u32 = 1_000;

/// What a change of policies would have changed among the calls on record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hindsight {
    /// RFC 3339 UTC: the oldest record looked at.
    pub since: Option<String>,
    /// Whether older records were left out.
    pub cut: bool,
    /// Calls that were judged again, by today's set and by the changed one.
    pub replayed: u64,
    /// Calls that were not, by why not.
    pub not_replayed: BTreeMap<&'static str, u64>,
    /// Calls that nobody would have been asked about.
    pub not_asked: NotAsked,
    /// Calls that this policy would not have asked about, and another one would.
    pub still_asked: u64,
    /// What the change would do beyond what it is for. Anything but zeros, and it is not proposed.
    pub beyond: Beyond,
}

/// What had become of the calls that nobody would have been asked about. A request and its waiting are one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotAsked {
    /// All of them.
    pub calls: u64,
    /// People approved.
    pub approved: u64,
    /// It ran under an approval for a while.
    pub under_grant: u64,
    /// Nobody decided in time, it was withdrawn, or it is still open.
    pub undecided: u64,
    /// No request is on record: it was denied, or ended before anybody was asked.
    pub not_requested: u64,
    /// How many people sent them.
    pub people: u64,
}

/// Why a change is wider than it may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// Calls that somebody refused.
    pub refused: u64,
    /// Calls that went on without the people who were asked.
    pub broke_glass: u64,
    /// Calls of which it was found that they cannot be taken back.
    pub irreversible: u64,
    /// Calls about which the sets differ in anything else.
    pub other_verdict: u64,
}

impl Hindsight {
    /// Whether the change does what it is for, and nothing else.
    #[must_use]
    pub fn is_as_said(&self) -> bool {
        self.not_asked.calls > 0 && self.beyond == Beyond::default()
    }
}

/// Judges the calls to a resource again, by `now` and by the changed set, in which the policy `id` asks less.
/// `promised` knows what a tool promises to do, where that is known.
///
/// # Errors
/// When the store cannot be read.
pub async fn look_back(
    store: &Store,
    now: &RuleSet,
    (id, changed): (&str, &Exempted),
    resource: &str,
    promised: &(dyn Fn(&str) -> Option<Action> + Sync),
) -> Result<Hindsight, AuditError> {
    let mut replay = Replay::default();
    let mut seen = 0;
    let mut before = None;
    let mut reader = store.reader().await?;
    loop {
        let rows = reader.told_of(resource, before, PAGE).await?;
        let Some(last) = rows.last() else { break };
        before = Some(last.seq);
        seen += rows.len();
        for row in &rows {
            replay.take(row, |supposed| {
                let mut supposed = supposed;
                supposed.promised = promised(&supposed.tool);
                (now.stance(&supposed), changed.rules.stance(&supposed))
            });
        }
        if rows.len() < PAGE as usize {
            break;
        }
        if seen >= RECORDS {
            replay.told.cut = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    reader.close().await?;
    Ok(replay.done(id, &now.digest().hex()))
}

/// What is known of a call from the records that follow its intent.
struct Ended {
    approval: Option<String>,
    is_grant: bool,
    status: String,
    code: String,
    digest: String,
}

/// One call that was judged twice.
struct Judged {
    user: String,
    call: String,
    /// What was to be done, by its hash: the same for a request and for each wait for it.
    action: String,
    ended: Option<Ended>,
    before: Stance,
    after: Stance,
    is_irreversible: bool,
}

#[derive(Default)]
struct Replay {
    told: Hindsight,
    ended: HashMap<String, Ended>,
    /// Words of the events of each request.
    events: HashMap<String, BTreeSet<String>>,
    irreversible: BTreeSet<String>,
    judged: Vec<Judged>,
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn cannot_be_undone(record: &Value) -> bool {
    let yes = |pointer: &str| record.pointer(pointer) == Some(&Value::Bool(true));
    let schema = record.pointer("/effect/schema").and_then(Value::as_object);
    yes("/effect/irreversible") || yes("/facts/sql/irreversible") || schema.is_some_and(|all| !all.is_empty())
}

impl Replay {
    /// Takes one record; the newest come first, so an outcome comes before its intent.
    fn take(&mut self, row: &Told, judge: impl Fn(Supposed) -> (Stance, Stance)) {
        let Ok(record) = serde_json::from_slice::<Value>(&row.record) else {
            return self.skip("its record cannot be read");
        };
        self.told.since = Some(text(&record, "/at").to_owned());
        let approval = Some(text(&record, "/approval/id")).filter(|id| !id.is_empty());
        if let Some(id) = approval.filter(|_| cannot_be_undone(&record)) {
            self.irreversible.insert(id.to_owned());
        }
        let call = row.call_id.clone().unwrap_or_default();
        match row.phase.as_str() {
            "decision" => {
                if let (Some(id), Some(_)) = (approval, record.pointer("/approval/event")) {
                    let word = text(&record, "/outcome/status").to_owned();
                    self.events.entry(id.to_owned()).or_default().insert(word);
                }
            }
            "intent" if text(&record, "/action") == Action::Measure.as_str() => {}
            "intent" => {
                let ended = self.ended.remove(&call);
                if text(&record, "/tool") == "access_request" {
                    return self.skip("it only asked ahead, and ran nothing");
                }
                let supposed = match supposed(&record) {
                    Ok(supposed) => supposed,
                    Err(why) => return self.skip(why),
                };
                let user = supposed.user.id();
                let (before, after) = judge(supposed);
                self.judged.push(Judged {
                    user,
                    call,
                    action: text(&record, "/action_sha256").to_owned(),
                    ended,
                    before,
                    after,
                    is_irreversible: cannot_be_undone(&record),
                });
            }
            _ => {
                let ended = Ended {
                    approval: approval.map(str::to_owned),
                    is_grant: record.pointer("/approval/grant").is_some(),
                    status: text(&record, "/outcome/status").to_owned(),
                    code: text(&record, "/outcome/code").to_owned(),
                    digest: text(&record, "/policy/digest").to_owned(),
                };
                self.ended.insert(call, ended);
            }
        }
    }

    fn skip(&mut self, why: &'static str) {
        *self.told.not_replayed.entry(why).or_default() += 1;
    }

    fn done(mut self, id: &str, digest: &str) -> Hindsight {
        for _ in 0..self.ended.len() {
            self.skip("it ended before it was inspected"); // no intent: nothing for a policy to decide on
        }
        let judged = std::mem::take(&mut self.judged);
        // A wait that ends with a refusal does not name its request; another call for the same action may.
        let requests: HashMap<String, String> = judged
            .iter()
            .filter_map(|one| Some((one.action.clone(), one.approval()?.to_owned())))
            .collect();
        let mut freed: BTreeMap<String, Judged> = BTreeMap::new();
        for one in judged {
            if !one.agrees_with_record(digest) {
                self.skip(
                    "the record and today's policies disagree, so something that mattered is not on record",
                );
                continue;
            }
            self.told.replayed += 1;
            if one.before == one.after {
                continue;
            }
            let mut rest = one.before.people.clone();
            let is_ours = rest.remove(id) && one.before.verdict == "ask" && rest == one.after.people;
            let others = one.before.others == one.after.others && one.after.verdict != "deny";
            match (is_ours && others, rest.is_empty()) {
                (false, _) => self.told.beyond.other_verdict += 1,
                (true, false) => self.told.still_asked += 1,
                (true, true) => {
                    let request = one.approval().or(requests.get(&one.action).map(String::as_str));
                    let matter = request.unwrap_or(&one.call).to_owned();
                    let known = freed.get(&matter).is_some_and(|known| known.approval().is_some());
                    if !known || one.is_refused() {
                        freed.insert(matter, one);
                    }
                }
            }
        }
        let people: BTreeSet<&str> = freed.values().map(|one| one.user.as_str()).collect();
        self.told.not_asked.people = people.len() as u64;
        for (matter, one) in &freed {
            self.count(matter, one);
        }
        self.told
    }

    /// Tells what had become of a call that nobody would have been asked about.
    fn count(&mut self, matter: &str, one: &Judged) {
        let (told, beyond) = (&mut self.told.not_asked, &mut self.told.beyond);
        let events = self.events.get(matter);
        let has = |word: &str| events.is_some_and(|events| events.contains(word));
        told.calls += 1;
        beyond.irreversible += u64::from(one.is_irreversible || self.irreversible.contains(matter));
        if has("break_glass") {
            beyond.broke_glass += 1;
        } else if has("refused") || one.is_refused() {
            beyond.refused += 1;
        } else if one.ended.as_ref().is_some_and(|ended| ended.is_grant) || has("grant_used") {
            told.under_grant += 1;
        } else if has("granted") || has("spent") || has("answered") {
            told.approved += 1;
        } else if events.is_some() || one.approval().is_some() || one.code() == "approval_expired" {
            told.undecided += 1;
        } else {
            told.not_requested += 1;
        }
    }
}

impl Judged {
    fn approval(&self) -> Option<&str> {
        self.ended.as_ref()?.approval.as_deref()
    }

    fn code(&self) -> &str {
        self.ended.as_ref().map_or("", |ended| ended.code.as_str())
    }

    fn is_refused(&self) -> bool {
        self.code() == "approval_denied"
    }

    /// Whether today's set, where it is the one that decided then, says again what it said.
    fn agrees_with_record(&self, digest: &str) -> bool {
        let Some(ended) = self.ended.as_ref().filter(|ended| ended.digest == digest) else {
            return true;
        };
        let asked = ended.approval.is_some();
        let denied = ended.code == "not_permitted";
        if asked {
            return !self.before.people.is_empty();
        }
        !(denied && self.before.verdict != "deny" || ended.status == "ok" && !self.before.people.is_empty())
    }
}

/// The question that a recorded call put to the policies.
fn supposed(record: &Value) -> Result<Supposed, &'static str> {
    const PARTIAL: &str = "its record lacks what policies decide on";
    if record.get("steps").is_some() {
        return Err("a tool of several calls; each of them is replayed by itself");
    }
    if record.pointer("/args_masked/lookup").is_some() {
        return Err("it looks a value up, and the value is not kept");
    }
    let (issuer, subject) = text(record, "/principal/id").split_once('#').ok_or(PARTIAL)?;
    let user = User {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        kind: match text(record, "/principal/kind") {
            "person" => UserKind::Person,
            "service" => UserKind::Service,
            _ => return Err(PARTIAL),
        },
        groups: words(record.pointer("/principal/groups")).ok_or(PARTIAL)?,
    };
    let action = text(record, "/action");
    let action = Action::ALL
        .into_iter()
        .find(|one| one.as_str() == action)
        .ok_or(PARTIAL)?;
    let resource = Some(text(record, "/resource")).filter(|name| !name.is_empty());
    let mut supposed = Supposed::new(user, action, resource.map(str::to_owned));
    supposed.agent = Agent {
        client_id: text(record, "/agent/client_id").to_owned(),
        verified: flag(record, "/agent/verified").ok_or(PARTIAL)?,
        claimed_name: text(record, "/agent/claimed_name").to_owned(),
        claimed_version: text(record, "/agent/claimed_version").to_owned(),
    };
    supposed.session = Session {
        id: text(record, "/session/id").to_owned(),
        labels: words(record.pointer("/session/labels")).unwrap_or_default(),
    };
    supposed.transport = match text(record, "/transport") {
        "http" => Transport::Http,
        "stdio" => Transport::Stdio,
        _ => return Err(PARTIAL),
    };
    supposed.scope = Scope::default();
    text(record, "/tool").clone_into(&mut supposed.tool);
    facts(&mut supposed, record).ok_or(PARTIAL)?;
    Ok(supposed)
}

fn facts(supposed: &mut Supposed, record: &Value) -> Option<()> {
    let found = record.get("facts");
    let part = |name: &str| {
        found
            .and_then(|found| found.get(name))
            .filter(|part| !part.is_null())
    };
    if let Some(sql) = part("sql") {
        supposed.sql = Some(SqlFacts {
            kind: text(sql, "/kind").to_owned(),
            tables: words(sql.get("tables"))?,
            columns: words(sql.get("columns"))?,
            functions: words(sql.get("functions"))?,
            has_where: flag(sql, "/has_where")?,
            irreversible: flag(sql, "/irreversible")?,
            template: None,
        });
    }
    if let Some(file) = part("file") {
        supposed.file = Some(FileFacts {
            path: text(file, "/path").to_owned(),
            reference: text(file, "/ref").to_owned(),
        });
    }
    if let Some(shell) = part("shell") {
        supposed.shell = Some(ShellFacts {
            kind: text(shell, "/kind").to_owned(),
            programs: words(shell.get("programs"))?,
            network: flag(shell, "/network")?,
            change: flag(shell, "/change")?,
            commands: Vec::new(),
        });
    }
    for column in part("classified").and_then(Value::as_array).into_iter().flatten() {
        supposed.classified.insert(ClassifiedColumn {
            class: text(column, "/class").to_owned(),
            column: text(column, "/column").to_owned(),
        });
    }
    Some(())
}

fn flag(record: &Value, pointer: &str) -> Option<bool> {
    record.pointer(pointer).and_then(Value::as_bool)
}

fn words(list: Option<&Value>) -> Option<BTreeSet<String>> {
    let all = list?.as_array()?.iter();
    all.map(|one| one.as_str().map(str::to_owned)).collect()
}
