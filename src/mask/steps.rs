//! The answer of a tool with steps: made of answers that are masked already, and of nothing else.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Mask, Masked};
use crate::call::CallId;

/// What was answered to the steps that were reached.
#[derive(Debug)]
pub struct Taken {
    /// In order: the tool's name and its answer.
    pub answers: Vec<(String, Masked)>,
    /// Whether the last of them is the reason why the whole call goes no further.
    pub ended: bool,
    /// How many steps there are in all.
    pub steps: usize,
}

impl Mask {
    /// Puts the answers of steps into one. It is `ok` unless the last answer ended the steps: then it is
    /// `approval_pending` or `refused`, as that answer is, and says so in the same words.
    #[must_use]
    pub fn steps(&self, call_id: &CallId, taken: Taken) -> Masked {
        let reached = taken.answers.len();
        let not_reached = taken.steps.saturating_sub(reached);
        let ending = taken.answers.last().filter(|_| taken.ended);
        let mut whole = Map::new();
        whole.insert("status".into(), "ok".into());
        whole.insert("call_id".into(), call_id.as_str().into());
        if let Some((tool, answer)) = ending {
            for member in ["status", "refusal", "approval"] {
                if let Some(value) = answer.head.get(member) {
                    whole.insert(member.into(), value.clone());
                }
            }
            if let Some(approval) = whole.get_mut("approval").and_then(Value::as_object_mut) {
                approval.insert(
                    "next".into(),
                    "once it is decided, send the same call again".into(),
                );
                whole.insert(
                    "note".into(),
                    format!("Step {reached} ({tool}) waits for people's approval.").into(),
                );
            }
        }
        let is_error = ending.is_some_and(|(_, answer)| answer.is_error);
        let mut text = String::new();
        let mut steps = Vec::with_capacity(reached);
        for (number, (tool, answer)) in (1..).zip(taken.answers) {
            let (mut envelope, words) = answer.into_parts();
            let _ = writeln!(text, "== step {number} of {}: {tool}\n{words}", taken.steps);
            if let Some(members) = envelope.as_object_mut() {
                members.insert("tool".into(), tool.into());
            }
            steps.push(envelope);
        }
        if not_reached > 0 {
            let _ = writeln!(text, "== not reached: {not_reached} of {} steps", taken.steps);
        }
        if whole.contains_key("approval") {
            text.push_str("== once it is decided, send the same call again: it goes on from here\n");
        }
        let _ = write!(text, "-- call {call_id}");
        whole.insert("data".into(), json!({"steps": steps, "not_reached": not_reached}));
        Masked::of(whole.into(), text, is_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{ApprovalId, Code, Pending, Refusal};

    fn answers(mask: &Mask, last: fn(&Mask, &CallId) -> Masked) -> Vec<(String, Masked)> {
        let (whole, first) = (CallId::new(1, &[1; 10]), |id: &CallId| {
            Masked::for_tests(
                json!({"status": "ok", "call_id": id, "data": {"rows": []}}),
                format!("rows\n-- call {id}"),
                false,
            )
        });
        vec![
            ("first".to_owned(), first(&whole.step(1))),
            ("second".to_owned(), last(mask, &whole.step(2))),
        ]
    }

    fn pending(mask: &Mask, id: &CallId) -> Masked {
        let pending = Pending {
            id: ApprovalId("a".repeat(32)),
            url: Some("http://localhost:7331/approvals/a".to_owned()),
            expires_at: "2026-01-01T00:00:00Z".to_owned(),
            note: "Waiting for 1 dba.".to_owned(),
        };
        mask.pending(id, &pending)
    }

    fn refused(mask: &Mask, id: &CallId) -> Masked {
        mask.refusal(id, &Refusal::new(Code::NotPermitted, "No.", "Stop."))
    }

    fn whole(last: fn(&Mask, &CallId) -> Masked, ended: bool) -> Masked {
        let mask = Mask::new();
        let taken = Taken {
            answers: answers(&mask, last),
            ended,
            steps: 3,
        };
        mask.steps(&CallId::new(1, &[1; 10]), taken)
    }

    #[test]
    fn a_step_that_waits_makes_the_whole_wait_and_says_how_to_go_on() {
        let answer = whole(pending, true);
        assert!(answer.is_pending() && !answer.is_error());
        let envelope = answer.envelope();
        assert_eq!(envelope["status"], "approval_pending");
        assert_eq!(envelope["approval"]["id"], "a".repeat(32));
        assert_eq!(
            envelope["approval"]["next"],
            "once it is decided, send the same call again"
        );
        assert_eq!(envelope["data"]["not_reached"], 1);
        assert_eq!(envelope["data"]["steps"][0]["tool"], "first");
        assert_eq!(envelope["data"]["steps"][1]["status"], "approval_pending");
        assert!(
            answer
                .text()
                .contains("== not reached: 1 of 3 steps\n== once it is decided")
        );
        assert_eq!(envelope["call_id"], json!(CallId::new(1, &[1; 10])));
    }

    #[test]
    fn a_refusal_is_the_wholes_only_where_it_ended_it() {
        let (ended, passed) = (whole(refused, true), whole(refused, false));
        assert!(ended.is_error() && !passed.is_error());
        assert_eq!(ended.envelope()["refusal"]["code"], "not_permitted");
        assert_eq!(passed.envelope()["status"], "ok");
        assert!(passed.envelope().get("refusal").is_none());
        assert_eq!(
            passed.envelope()["data"]["steps"][1]["refusal"]["code"],
            "not_permitted"
        );
    }

    #[test]
    fn steps_have_ids_of_their_own_that_the_whole_gives() {
        let whole = CallId::new(1_700_000_000_000, &[9; 10]);
        assert_eq!(whole.step(1), whole.step(1));
        assert_ne!(whole.step(1), whole.step(2));
        assert_ne!(CallId::new(1_700_000_000_000, &[8; 10]).step(1), whole.step(1));
        assert_eq!(
            whole.step(1).as_str().get(..12),
            whole.as_str().get(..12),
            "the same time"
        );
    }
}
