//! What a request's row says in JSON: what is asked of whom, and what is gone once it is final.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ahead::Ahead;
use super::review::State;
use super::shape::Shape;
use crate::call::{
    Agent, Approved, Approver, Arrival, Bound, Effect, Facts, Hash, Invocation, Principal, Scope, Session,
    Transport, User, UserKind,
};
use crate::policy::{Ask, Escalation, Grantable, ObligationKind, quorum};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, DecisionRow};

/// What stays for as long as the row does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Every `@approval` that asked.
    pub(super) asks: Vec<Asked>,
    /// Whether the caller's own person confirmed first, where that was asked as well.
    pub(super) self_confirmed: bool,
    /// What the adapter found.
    pub(super) facts: Value,
    /// What would happen, without keys and samples.
    pub(super) counts: Option<Value>,
    /// The grant it falls under: people approved it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grant: Option<Under>,
    /// The same for requests that differ in values alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) similar: Option<String>,
    /// Asked about before the call: nothing runs by itself when it is approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ahead: bool,
}

/// A grant that a request falls under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Under {
    /// Its id.
    pub(super) id: String,
    /// Most rows of an answer, where nothing is changed.
    pub(super) rows: Option<u64>,
}

/// One obligation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) seats: Vec<(u32, String)>,
    pub(super) explain: Option<String>,
    pub(super) bound: Bound,
    pub(super) unattended: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grantable: Option<Grantable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) escalate: Vec<Escalation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) break_glass: Option<String>,
    /// Whether it is decided on its page alone; so is what an earlier version asked, which knew no risks.
    #[serde(default = "unknown_risk")]
    pub(super) high_risk: bool,
}

fn unknown_risk() -> bool {
    true
}

/// What is needed until it has run, and erased then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) arguments: Map<String, Value>,
    /// What would run, as the adapter gets it; null where the arguments say all of it.
    #[serde(default)]
    pub(super) runs: Value,
    pub(super) effect: Option<Effect>,
    /// What another call would have to be to fall under a grant of this one.
    #[serde(default)]
    pub(super) shape: Option<Shape>,
    /// What was said of it, where it was asked about before the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ahead: Option<Ahead>,
    kind: String,
    groups: BTreeSet<String>,
    verified: bool,
    claimed_name: String,
    claimed_version: String,
    labels: BTreeSet<String>,
    /// What the credential was good for; an older row bounds nothing, as there were no bounds then.
    #[serde(default)]
    scope: Scope,
    stdio: bool,
}

impl Terms {
    pub(super) fn of(ask: &Ask, self_confirmed: bool, facts: &Facts, effect: Option<&Effect>) -> Self {
        Self {
            asks: Self::asks_of_ask(ask),
            self_confirmed,
            facts: json!(facts),
            counts: effect.map(Effect::counts),
            grant: None,
            similar: None,
            ahead: false,
        }
    }

    /// The obligations of an [`Ask`] that other people meet.
    pub(super) fn asks_of_ask(ask: &Ask) -> Vec<Asked> {
        let asks = ask.obligations.iter().filter_map(|one| match &one.kind {
            ObligationKind::Approval(seats) => Some(Asked {
                id: one.id.clone(),
                seats: seats.clone(),
                explain: one.explain.clone(),
                bound: one.bound,
                unattended: one.unattended,
                grantable: one.grantable,
                escalate: one.escalate.clone(),
                break_glass: one.break_glass.clone(),
                high_risk: one.high_risk,
            }),
            _ => None,
        });
        asks.collect()
    }

    pub(super) fn read(row: &ApprovalRow) -> Result<Self, StoreError> {
        serde_json::from_str(&row.terms).map_err(|error| damaged(row, &error))
    }

    /// Whether it may run without its caller: every obligation must say so.
    pub(super) fn unattended(&self) -> bool {
        !self.asks.is_empty() && self.asks.iter().all(|asked| asked.unattended)
    }

    /// The strictest bound of all obligations.
    pub(super) fn bound(&self) -> Bound {
        let count = !self.asks.is_empty() && self.asks.iter().all(|asked| asked.bound == Bound::Count);
        if count { Bound::Count } else { Bound::Keys }
    }

    /// Whether the people who approved are enough, for each obligation by itself.
    pub(super) fn is_met(&self, approvers: &[Approver], requester: &User) -> bool {
        all_met(&self.asks, approvers, requester)
    }

    /// The first time (Unix milliseconds) after `since` at which further groups may decide a request made at
    /// `created`.
    pub(super) fn next_escalation(&self, created: u64, since: u64) -> Option<u64> {
        let all = self.asks.iter().flat_map(|asked| &asked.escalate);
        all.map(|one| due(created, one)).filter(|at| *at > since).min()
    }

    /// The groups that may decide since `at` at the latest, beside those that are asked.
    pub(super) fn escalated(&self, created: u64, at: u64) -> BTreeSet<&str> {
        let all = self.asks.iter().flat_map(|asked| &asked.escalate);
        all.filter(|one| due(created, one) <= at)
            .map(|one| one.group.as_str())
            .collect()
    }

    /// Whether somebody in these groups may go on alone with what is theirs: each obligation must say so.
    pub(super) fn breaks(&self, groups: &BTreeSet<String>) -> bool {
        let mut asks = self.asks.iter();
        let may = |asked: &Asked| {
            asked
                .break_glass
                .as_ref()
                .is_some_and(|group| groups.contains(group))
        };
        !self.asks.is_empty() && asks.all(may)
    }

    /// Whether somebody in these groups is asked.
    pub(super) fn asks_of(&self, groups: &BTreeSet<String>) -> bool {
        let mut seats = self.asks.iter().flat_map(|asked| &asked.seats);
        seats.any(|(_, group)| groups.contains(group))
    }
}

impl Sealed {
    pub(super) fn of(
        arrival: &Arrival,
        invocation: &Invocation,
        effect: Option<Effect>,
        shape: Option<Shape>,
    ) -> Self {
        let Principal {
            user,
            agent,
            session,
            scope,
        } = &arrival.principal;
        Self {
            arguments: arrival.arguments.clone(),
            runs: invocation.request.runs(),
            effect,
            shape,
            ahead: None,
            kind: match user.kind {
                UserKind::Person => "person",
                UserKind::Service => "service",
            }
            .to_owned(),
            groups: user.groups.clone(),
            verified: agent.verified,
            claimed_name: agent.claimed_name.clone(),
            claimed_version: agent.claimed_version.clone(),
            labels: session.labels.clone(),
            scope: scope.clone(),
            stdio: arrival.transport == Transport::Stdio,
        }
    }

    /// Why the agent says it wants this. Claimed.
    pub(super) fn reason(&self) -> Option<&str> {
        match &self.ahead {
            Some(ahead) => Some(&ahead.reason),
            None => self.arguments.get("reason")?.as_str(),
        }
    }

    /// `None` once it was erased.
    pub(super) fn read(row: &ApprovalRow) -> Result<Option<Self>, StoreError> {
        let sealed = row.sealed.as_deref().map(serde_json::from_str);
        sealed.transpose().map_err(|error| damaged(row, &error))
    }

    /// Who asked, as they were then.
    pub(super) fn principal(&self, row: &ApprovalRow) -> Principal {
        Principal {
            user: User {
                kind: if self.kind == "person" {
                    UserKind::Person
                } else {
                    UserKind::Service
                },
                groups: self.groups.clone(),
                ..requester(row)
            },
            agent: Agent {
                client_id: row.client_id.clone(),
                verified: self.verified,
                claimed_name: self.claimed_name.clone(),
                claimed_version: self.claimed_version.clone(),
            },
            session: Session {
                id: row.session.clone(),
                labels: self.labels.clone(),
            },
            scope: self.scope.clone(),
        }
    }

    pub(super) fn transport(&self) -> Transport {
        if self.stdio {
            Transport::Stdio
        } else {
            Transport::Http
        }
    }
}

/// Whether the people who approved are enough for each of these, by itself; of nobody, where nothing is asked.
pub(super) fn all_met(asks: &[Asked], approvers: &[Approver], requester: &User) -> bool {
    let met = |asked: &Asked| quorum::is_met(&asked.seats, approvers, requester);
    !asks.is_empty() && asks.iter().all(met)
}

/// Who asked, as far as counting people goes.
pub(super) fn requester(row: &ApprovalRow) -> User {
    User {
        issuer: row.issuer.clone(),
        subject: row.subject.clone(),
        kind: UserKind::Person,
        groups: BTreeSet::new(),
    }
}

pub(super) fn state(row: &ApprovalRow) -> Result<State, StoreError> {
    State::parse(&row.state).ok_or_else(|| StoreError::Damaged(format!("approval {}: its state", row.id)))
}

/// The people who approved, in the order of their decisions. One refusal makes it nobody.
pub(super) fn approvers(decisions: &[DecisionRow]) -> Result<Vec<Approver>, StoreError> {
    if decisions.iter().any(|decision| !decision.approves) {
        return Ok(Vec::new());
    }
    decisions
        .iter()
        .map(|decision| {
            Ok(Approver {
                issuer: decision.issuer.clone(),
                subject: decision.subject.clone(),
                groups: serde_json::from_str(&decision.groups)
                    .map_err(|error| StoreError::Damaged(format!("a decision: {error}")))?,
            })
        })
        .collect()
}

/// What a granted row is evidence of.
pub(super) fn approved(
    row: &ApprovalRow,
    terms: &Terms,
    effect: Option<Effect>,
    (approvers, break_glass): (Vec<Approver>, Option<Approver>),
) -> Approved {
    Approved {
        id: crate::call::ApprovalId(row.id.clone()),
        action_sha256: Hash(row.action_sha256),
        approvers,
        effect,
        bound: terms.bound(),
        grant: terms.grant.as_ref().map(|grant| grant.id.clone()),
        break_glass,
    }
}

/// When a group may decide a request made at `created`, in Unix milliseconds.
pub(super) fn due(created: u64, escalation: &Escalation) -> u64 {
    created.saturating_add(escalation.seconds.saturating_mul(1_000))
}

fn damaged(row: &ApprovalRow, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged(format!("approval {}: {error}", row.id))
}

/// What was read of one of several requests: one that cannot be read is set aside, so that it keeps no other back.
pub(super) fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error) if error.is_of_a_row() => {
            tracing::error!("approvals: set aside: {error}");
            Ok(None)
        }
        read => read.map(Some),
    }
}
