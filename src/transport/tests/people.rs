//! People who decide when the test says so, in the place of the approval stage.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::door::{ok, refused};
use crate::approval::review::State;
use crate::approval::standing::Standing;
use crate::call::refusal::Code;
use crate::call::{ApprovalId, Arrival, CallId, Caller, Principal};
use crate::clock::Timestamp;
use crate::mask::Masked;

const ASKED: u64 = 1_767_225_600_000;
const LIFE: u64 = 3_600_000;

/// Requests by id, each with its owner. `overloaded` and `unspent` shape the next executions.
#[derive(Default)]
pub(in crate::transport) struct People {
    rows: Mutex<BTreeMap<String, Row>>,
    decided: Notify,
    /// Told of a wait that was cancelled.
    pub(in crate::transport) cancelled: Notify,
    /// Executions so far.
    pub(in crate::transport) ran: AtomicUsize,
    /// Calls of `approval_wait` so far.
    pub(in crate::transport) waited: AtomicUsize,
    /// What an execution is answered instead of running, without spending the approval.
    pub(in crate::transport) instead: Mutex<Option<Code>>,
}

#[derive(Debug, Clone)]
struct Row {
    owner: (String, String),
    state: State,
    settled: bool,
}

fn owner(principal: &Principal) -> (String, String) {
    (principal.user.id(), principal.agent.client_id.clone())
}

fn pending(call_id: &CallId, id: &str) -> Masked {
    let approval =
        json!({"id": id, "url": "http://control/approvals/1", "expires_at": "2026-01-01T01:00:00Z"});
    let envelope =
        json!({"status": "approval_pending", "call_id": call_id, "approval": approval, "note": "2 dba"});
    Masked::for_tests(envelope, "Waiting for approval".to_owned(), false)
}

impl People {
    fn change(&self, id: &str, state: State, settled: bool) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(id).unwrap();
        (row.state, row.settled) = (state, settled);
        self.decided.notify_waiters();
    }

    /// What somebody decides.
    pub(in crate::transport) fn decide(&self, id: &str, state: State) {
        self.change(id, state, false);
    }

    fn row(&self, id: &str) -> Option<Row> {
        self.rows.lock().unwrap().get(id).cloned()
    }

    pub(super) fn standing(&self, principal: &Principal, id: &ApprovalId) -> Option<Standing> {
        let row = self.row(&id.0).filter(|row| row.owner == owner(principal))?;
        Some(Standing {
            state: row.state,
            settled: row.settled,
            created_at: Timestamp(ASKED),
            changed_at: Timestamp(ASKED + 1_000),
            deadline: Timestamp(ASKED + LIFE),
            until: Timestamp(ASKED + 2 * LIFE),
            url: Some(format!("http://control/approvals/{id}")),
        })
    }

    pub(super) fn withdraw(&self, principal: &Principal, id: &ApprovalId) -> bool {
        let Some(row) = self.row(&id.0).filter(|row| row.owner == owner(principal)) else {
            return false;
        };
        if matches!(row.state, State::Pending | State::Granted) {
            self.change(&id.0, State::Cancelled, false);
        }
        true
    }

    /// One request for each owner: the identical call attaches.
    pub(super) async fn ask(&self, arrival: &Arrival, caller: &dyn Caller) -> Masked {
        let owner = owner(&arrival.principal);
        let id = format!("r-{}-{}", arrival.principal.user.subject, owner.1);
        self.rows.lock().unwrap().entry(id.clone()).or_insert(Row {
            owner,
            state: State::Pending,
            settled: false,
        });
        if arrival.hold.is_some_and(|hold| hold.is_zero()) {
            return pending(&arrival.call_id, &id);
        }
        caller.waits_for(Some("approval by 2 dba"));
        loop {
            let decided = self.decided.notified();
            if self.row(&id).is_some_and(|row| row.state != State::Pending) {
                caller.waits_for(None);
                return self.carry_out(&arrival.call_id, &id);
            }
            tokio::select! {
                () = decided => {}
                () = arrival.cancel.cancelled() => {
                    self.cancelled.notify_one();
                    return refused(&arrival.call_id, Code::Cancelled);
                }
            }
        }
    }

    pub(super) async fn wait(&self, arrival: &Arrival, caller: &dyn Caller, let_go: &Semaphore) -> Masked {
        self.waited.fetch_add(1, Ordering::Relaxed);
        let id = arrival.arguments["approval_id"].as_str().unwrap();
        let row = self.row(id).filter(|row| row.owner == owner(&arrival.principal));
        let Some(row) = row else {
            return refused(&arrival.call_id, Code::NotFound);
        };
        let instead = *self.instead.lock().unwrap();
        match (row.state, instead) {
            (State::Granted, Some(code)) => refused(&arrival.call_id, code),
            (State::Granted, None) => {
                self.change(id, State::Spent, false);
                caller.progress("line 1 of the command").await;
                let let_go = tokio::select! {
                    permit = let_go.acquire() => permit.unwrap(),
                    () = arrival.cancel.cancelled() => {
                        self.change(id, State::Spent, true);
                        return refused(&arrival.call_id, Code::Cancelled);
                    }
                };
                let_go.forget();
                self.carry_out(&arrival.call_id, id)
            }
            _ => self.answered(&arrival.call_id, id),
        }
    }

    fn carry_out(&self, call_id: &CallId, id: &str) -> Masked {
        if matches!(self.row(id).unwrap().state, State::Granted | State::Spent) {
            self.ran.fetch_add(1, Ordering::Relaxed);
            self.change(id, State::Spent, true);
        }
        self.answered(call_id, id)
    }

    fn answered(&self, call_id: &CallId, id: &str) -> Masked {
        match self.row(id).unwrap().state {
            State::Spent => ok(call_id, &json!("ran")),
            State::Pending => pending(call_id, id),
            State::Unknown => refused(call_id, Code::OutcomeUnknown),
            State::Expired | State::Cancelled => refused(call_id, Code::ApprovalExpired),
            State::Granted | State::Refused => refused(call_id, Code::ApprovalDenied),
        }
    }
}
