//! What a request's row says in JSON: what is asked of whom, and what is gone once it is final.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::review::State;
use crate::call::{
    Agent, Approved, Approver, Arrival, Bound, Effect, Facts, Hash, Invocation, Principal, Scope, Session,
    Transport, User, UserKind,
};
use crate::policy::{Ask, ObligationKind, quorum};
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
}

/// One obligation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) seats: Vec<(u32, String)>,
    pub(super) explain: Option<String>,
    pub(super) bound: Bound,
    pub(super) unattended: bool,
}

/// What is needed until it has run, and erased then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) arguments: Map<String, Value>,
    /// What would run, as the adapter gets it; null where the arguments say all of it.
    #[serde(default)]
    pub(super) runs: Value,
    pub(super) effect: Option<Effect>,
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
        let mut asks = self.asks.iter();
        !self.asks.is_empty() && asks.all(|asked| quorum::is_met(&asked.seats, approvers, requester))
    }

    /// Whether somebody in these groups is asked.
    pub(super) fn asks_of(&self, groups: &BTreeSet<String>) -> bool {
        let mut seats = self.asks.iter().flat_map(|asked| &asked.seats);
        seats.any(|(_, group)| groups.contains(group))
    }
}

impl Sealed {
    pub(super) fn of(arrival: &Arrival, invocation: &Invocation, effect: Option<Effect>) -> Self {
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
    approvers: Vec<Approver>,
) -> Approved {
    Approved {
        id: crate::call::ApprovalId(row.id.clone()),
        action_sha256: Hash(row.action_sha256),
        approvers,
        effect,
        bound: terms.bound(),
    }
}

fn damaged(row: &ApprovalRow, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged(format!("approval {}: {error}", row.id))
}
