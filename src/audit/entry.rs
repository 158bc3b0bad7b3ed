//! One call's records: its intent before anything happens, its outcome before anything is offered.

use std::io::Error;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::list::{Kept, kept};
use super::payload::{Offered, Payload};
use super::record::{Draft, Phase, detail, without_empty};
use super::writer::{Item, Mark, plain};
use super::{AuditError, Core, Masking};
use crate::call::{Action, Arrival, CallId, Code, Evidence, Facts, Invocation, Pending, Refusal, Request};
use crate::mask::{Mask, Masked};
use crate::policy::{Ask, Decision, Denial, Permit};
use crate::tool::UnknownTool;

/// Answers above this size are hashed and compressed off the async threads.
const INLINE_BYTES: usize = 32 * 1024;

/// One call's records. Dropped unsettled, it records that the caller went away.
#[must_use]
pub struct Entry {
    core: Arc<Core>,
    call_id: CallId,
    /// What every record of this call says.
    draft: Draft,
    /// As sent; kept only until the intent has recorded the masked form.
    arguments: Option<Map<String, Value>>,
    /// Whether nothing outside Tollgate can change because of this call.
    pure: bool,
    /// Its intent is on record, or in the queue before everything that follows.
    began: bool,
    refusal: Option<Refusal>,
    /// The call whose answer is given again.
    repeats: Option<CallId>,
    settled: bool,
}

impl Entry {
    pub(super) fn new(core: Arc<Core>, arrival: &Arrival) -> Self {
        let draft = Draft::of_call(arrival, core.shared.world.now(), &*core.shared.masking);
        Self {
            core,
            call_id: arrival.call_id.clone(),
            draft,
            arguments: Some(arrival.arguments.clone()),
            pure: true,
            began: false,
            refusal: None,
            repeats: None,
            settled: false,
        }
    }

    /// Notes what the call is about, for every record that follows.
    pub fn concerns(&mut self, invocation: &Invocation) {
        self.draft.concern(invocation);
    }

    /// Notes on what the call is that is only asked about: what comes of the asking is found under its resource.
    pub fn regards(&mut self, meant: &Invocation) {
        self.draft.regard(meant);
    }

    /// Records what is about to happen. For a pure read the record is put in its place in the queue
    /// and becomes durable with the result; for anything else this waits until it is durable.
    ///
    /// # Errors
    /// `audit_unavailable` when it cannot be recorded, or the disk is nearly full: nothing may run.
    #[tracing::instrument(level = "debug", skip_all, name = "intent")]
    pub async fn intent(&mut self, invocation: &Invocation, facts: &Facts) -> Result<(), Refusal> {
        let shared = &self.core.shared;
        // Both must say so: the adapter may find that a read is more than the tool promised. What a tool
        // with steps does is what its steps do, so its own outcome is as dear as theirs.
        let steps = matches!(&invocation.request, Request::Steps(steps) if steps.change);
        self.pure = invocation.action.is_pure_read() && facts.action.is_pure_read() && !steps;
        self.draft.intend(invocation, facts);
        if shared.is_low() && shared.look_at_disk() {
            return Err(unavailable());
        }
        let mut draft = self.draft.follow(Phase::Intent, shared.world.now());
        draft.detail_intent(invocation, facts, &*shared.masking);
        let mut item = plain(draft);
        item.mark = Mark::Opens;
        let recorded = if self.pure && !shared.is_closed() {
            self.core.send_when_room(item).await
        } else {
            self.core.send_durably(item).await
        };
        recorded.map_err(|_| unavailable())?;
        self.began = true;
        self.draft.effect_possible = steps;
        self.arguments = None;
        Ok(())
    }

    /// Notes the decision.
    pub fn permitted(&mut self, permit: &Permit) {
        self.permitted_by(permit.decision());
    }

    /// Apart from [`Entry::permitted`] because only `policy` can make a permit, in tests too.
    pub(super) fn permitted_by(&mut self, decision: &Decision) {
        self.decided(decision, "permit");
        self.draft.effect_possible = !self.pure;
    }

    /// Notes a denial and gives what the agent may read of it.
    pub fn denied(&mut self, denial: Denial) -> Refusal {
        self.decided(&denial.decision, "deny");
        denial.refusal
    }

    /// Notes that obligations have to be met first: if they are not, the outcome names them.
    pub fn asked(&mut self, ask: &Ask) {
        let mut decision = ask.decision.clone();
        decision.ids = ask
            .obligations
            .iter()
            .map(|obligation| obligation.id.clone())
            .collect();
        self.draft.decided(&decision);
    }

    /// The decision goes into the outcome; what a candidate set would have decided differently is a
    /// record of its own.
    fn decided(&mut self, decision: &Decision, verdict: &str) {
        self.draft.decided(decision);
        if let Some(candidate) = &decision.candidate {
            let mut draft = self.draft.follow(Phase::Decision, self.core.shared.world.now());
            draft.outcome(json!({"status": verdict}));
            draft.put(
                "candidate",
                &without_empty(json!({
                    "digest": candidate.digest, "verdict": candidate.verdict, "ids": candidate.ids,
                })),
            );
            self.core.send_lazily(plain(draft));
        }
    }

    /// Records, durably, that the effect is about to be measured.
    ///
    /// # Errors
    /// As [`Entry::intent`].
    pub async fn measures(&mut self, permit: &Permit) -> Result<(), Refusal> {
        let mut draft = self.draft.follow(Phase::Intent, self.core.shared.world.now());
        draft.decided(permit.decision());
        draft.put("action", &json!(Action::Measure));
        draft.put("action_sha256", &json!(permit.action_sha256()));
        let recorded = self.core.send_durably(plain(draft)).await;
        recorded.map_err(|_| unavailable())
    }

    /// Notes who approved what.
    pub fn approved(&mut self, evidence: &Evidence) {
        if let Some(approved) = &evidence.approved {
            let by: Vec<String> = approved
                .approvers
                .iter()
                .map(|one| format!("{}#{}", one.issuer, one.subject))
                .collect();
            self.draft
                .put(
                    "approval",
                    &without_empty(json!({
                        "id": approved.id,
                        "approvers": by,
                        "grant": approved.grant,
                        "break_glass": approved.break_glass.as_ref().map(|by| format!("{}#{}", by.issuer, by.subject)),
                    })),
                );
            self.draft.put("action_sha256", &json!(approved.action_sha256));
        }
    }

    /// Notes that people have been asked, and gives the sendable form.
    pub fn pending(&mut self, mask: &Mask, pending: &Pending) -> Masked {
        self.draft.put("approval", &json!({"id": pending.id}));
        mask.pending(&self.call_id, pending)
    }

    /// Gives again what an earlier call was answered, from the record of it and checked against its
    /// commitment. The bytes are not kept a second time, so that erasing them there erases them.
    pub async fn repeats(&mut self, mask: &Mask, earlier: &CallId) -> Masked {
        match self.earlier(earlier).await {
            Ok(Some(offered)) => {
                self.repeats = Some(earlier.clone());
                mask.again(&self.call_id, earlier, offered.structured, &offered.text)
            }
            Ok(None) => self.refused(mask, no_longer_kept(earlier)),
            Err(error) => {
                let detail = format!("the answer of {earlier} cannot be read: {error}");
                self.refused(mask, unavailable().detail(detail))
            }
        }
    }

    async fn earlier(&self, call_id: &CallId) -> Result<Option<Offered>, AuditError> {
        let mut reader = self.core.store.reader().await?;
        let rows = reader.call(call_id.as_str()).await?;
        reader.close().await?;
        let offered = rows.iter().rev().find_map(|(row, payload)| {
            let record: Value = serde_json::from_slice(&row.record).ok()?;
            record.get("payload")?;
            Some(kept(&record, payload.as_ref()))
        });
        match offered {
            Some(Kept::Held { offered }) => Ok(Some(offered)),
            Some(Kept::Gone | Kept::Changed) | None => Ok(None),
        }
    }

    /// Notes why it did not happen and gives the sendable form.
    pub fn refused(&mut self, mask: &dyn Masking, refusal: Refusal) -> Masked {
        let answer = mask.refusal(&self.call_id, &refusal);
        self.refusal = Some(refusal);
        answer
    }

    /// Records a call to a tool that does not exist for the caller. The caller learns the same
    /// whether or not it can be recorded: that there is no such tool.
    pub async fn unknown_tool(mut self, _unknown: &UnknownTool) {
        let mut draft = self.outcome_draft(Phase::Refusal);
        draft.outcome(json!({"status": "refused", "code": "unknown_tool"}));
        self.settled = true;
        let _ = self.core.send_durably(closing(draft, false)).await;
    }

    /// Makes the outcome and the answer durable, and only then gives the answer back. If they cannot
    /// be recorded the answer is withheld: `outcome_unknown` where a target may have changed,
    /// `audit_unavailable` otherwise, and no calls are taken until a write succeeds again.
    #[tracing::instrument(level = "debug", skip_all, name = "settle")]
    pub async fn settle(mut self, mask: &dyn Masking, answer: Masked) -> Masked {
        let Ok((answer, payload)) = self.keep(answer).await else {
            return self.withhold(mask);
        };
        let mut draft = self.outcome_draft(if answer.is_error() {
            Phase::Refusal
        } else {
            Phase::Result
        });
        draft.outcome(self.outcome_of(&answer));
        if let Some(masks) = answer.head().get("masked").filter(|masks| is_filled(masks)) {
            draft.put("masks", masks);
        }
        if !answer.fragments().is_empty() {
            draft.put("fragments", &json!(answer.fragments()));
        }
        if let Some(effect) = answer.effect() {
            draft.put("effect", effect);
        }
        draft.put("delivered", &json!("offered"));
        let item = if let Some(earlier) = &self.repeats {
            draft.put("repeats", &json!(earlier));
            closing(draft, self.began)
        } else {
            draft.put(
                "payload",
                &json!({"commitment": payload.commitment, "bytes": payload.bytes, "blob": self.call_id}),
            );
            Item {
                payload: Some(payload),
                ..closing(draft, self.began)
            }
        };
        let mut item = item;
        let Ok(room) = self.core.room().await else {
            return self.withhold(mask);
        };
        item.room = Some(room);
        self.settled = true; // from here on the queue has it, whatever becomes of this future
        let recorded = match self.core.send_with_room(item) {
            Ok(result) => result.await.is_ok_and(|result| result.is_ok()),
            Err(_) => false,
        };
        if recorded { answer } else { self.withhold(mask) }
    }

    /// The answer as it will be kept.
    async fn keep(&self, answer: Masked) -> Result<(Masked, Payload), Error> {
        let world = Arc::clone(&self.core.shared.world);
        let large = answer.text_bytes().max(answer.recording().map_or(0, str::len)) > INLINE_BYTES;
        let keep = move || Payload::new(&answer, &*world).map(|payload| (answer, payload));
        if large {
            tokio::task::spawn_blocking(keep).await.map_err(Error::other)?
        } else {
            keep()
        }
    }

    fn outcome_draft(&mut self, phase: Phase) -> Draft {
        let shared = &self.core.shared;
        let mut draft = self.draft.follow(phase, shared.world.now());
        if let Some(arguments) = self.arguments.take() {
            draft.arguments(&Value::Object(arguments), &*shared.masking);
        }
        draft
    }

    fn outcome_of(&self, answer: &Masked) -> Value {
        let envelope = answer.head();
        let refusal = self.refusal.as_ref();
        let shown = refusal.and_then(|refusal| refusal.detail.as_deref());
        json!({
            "status": envelope.get("status"),
            "code": refusal.map(|refusal| json!(refusal.code)).or(envelope.pointer("/refusal/code").cloned()),
            "detail": shown.map(|text| detail(text, &*self.core.shared.masking)),
            "policies": refusal.map(|refusal| &refusal.policies),
            "truncated": envelope.get("truncated").filter(|cut| cut.as_bool() == Some(true)),
            "effect_possible": (refusal.is_some() && self.draft.effect_possible).then_some(true),
        })
    }

    fn withhold(&self, mask: &dyn Masking) -> Masked {
        let refusal = match self.draft.withheld_code() {
            Code::OutcomeUnknown => Refusal::new(
                Code::OutcomeUnknown,
                "The call was carried out, but its outcome could not be recorded, so it is withheld.",
                "Do not repeat it. Tell your operator the call_id and look at the target first.",
            ),
            _ => unavailable(),
        };
        mask.refusal(&self.call_id, &refusal)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let code = if self.draft.effect_possible {
            Code::OutcomeUnknown
        } else {
            Code::Cancelled
        };
        let mut draft = self.outcome_draft(Phase::Refusal);
        draft.outcome(json!({"status": "refused", "code": code, "detail": "the caller went away"}));
        let mut item = closing(draft, self.began);
        item.lazy = self.pure;
        self.core.send_lazily(item);
    }
}

fn closing(draft: Draft, began: bool) -> Item {
    Item {
        mark: Mark::Closes { began },
        ..plain(draft)
    }
}

fn is_filled(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
}

fn no_longer_kept(earlier: &CallId) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("This was carried out before, as call {earlier}; what it was answered is no longer kept."),
        "Do not send it again unchanged. Look at the target to see what it did.",
    )
}

fn unavailable() -> Refusal {
    Refusal::new(
        Code::AuditUnavailable,
        "The call cannot be recorded now, so it was not carried out or its answer is withheld.",
        "Try again in a minute. If it stays so, tell your operator the call_id.",
    )
    .retry()
}
