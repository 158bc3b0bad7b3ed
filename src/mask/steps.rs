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
                if let Some(value) = answer.envelope.get(member) {
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
            let _ = writeln!(
                text,
                "== step {number} of {}: {tool}\n{}",
                taken.steps, answer.text
            );
            let mut envelope = answer.envelope;
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
        Masked {
            envelope: whole.into(),
            text,
            is_error,
            fragments: Vec::new(),
            effect: None,
        }
    }
}
