//! The reviewers' side: what people see of a request, and their decisions.

use serde::Serialize;

pub use super::lasting::{Offer, Wish};
pub use super::posting::{PostedAsk, Posting};
use super::reviewer::told;
pub use super::reviewer::{Reviewer, Via};
use super::stand::{Acting, View};
use super::stronger::stronger;
use super::terms::{Sealed, Terms, approvers, state};
use super::{Approvals, words};
use crate::call::{ApprovalId, Approver, Bound, hex};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, DecisionRow};
use crate::store::rows::Tx;

/// Where a request is on its way. Each transition is one compare-and-swap of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// People are being asked.
    Pending,
    /// Enough people approved; it may run once.
    Granted,
    /// Somebody refused.
    Refused,
    /// Not decided, or not executed, in time.
    Expired,
    /// Withdrawn by its requester, or overtaken by a new request.
    Cancelled,
    /// Taken by a call that runs or has run.
    Spent,
    /// Taken by a call of which nobody knows what became of it. Final.
    Unknown,
}

impl State {
    /// All of them, as they come.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Granted,
        Self::Refused,
        Self::Expired,
        Self::Cancelled,
        Self::Spent,
        Self::Unknown,
    ];

    /// The word in the store, in events and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Spent => "spent",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Yes, to exactly this action.
    Approve,
    /// Yes, and to the same call again for a while, if all who make up the quorum say so in the same words.
    ApproveFor(Wish),
    /// No, and why: the requester reads it.
    Refuse(String),
}

/// A request as it stands in a list: masked, without arguments and samples.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// The request.
    pub id: ApprovalId,
    /// Where it is.
    pub state: State,
    /// Who asks: `<issuer>#<subject>`.
    pub requester: String,
    /// Through which program.
    pub agent: String,
    /// With which tool.
    pub tool: String,
    /// On what.
    pub resource: Option<String>,
    /// RFC 3339 UTC.
    pub created_at: String,
    /// Afterwards silence is refusal. RFC 3339 UTC.
    pub decide_by: String,
    /// Once granted: afterwards it cannot be executed. RFC 3339 UTC.
    pub execute_by: Option<String>,
    /// What is asked of whom: obligation id = seats by group.
    pub asks: Vec<(u32, String)>,
    /// Who approved so far.
    pub approved_by: Vec<Approver>,
    /// Whether this reviewer may decide it now.
    pub may_decide: bool,
    /// Whether this reviewer may refuse it now: also one that they or enough others have approved and that has
    /// not run.
    pub may_refuse: bool,
    /// Whether this person may withdraw it now.
    pub may_withdraw: bool,
    /// The same for requests that ask the same and differ in values alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similar: Option<String>,
    /// The grant it fell under, where it was approved for a while before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Groups that may decide it by now beside those that are asked, because nobody did in time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalated_to: Vec<String>,
}

/// Everything a reviewer decides on.
#[derive(Debug, Clone, Serialize)]
pub struct Sheet {
    /// The head.
    #[serde(flatten)]
    pub card: Card,
    /// What they sign: [`crate::call::Facts::action_sha256`]. A decision repeats it.
    pub action_sha256: String,
    /// Policies that asked, with what they explain.
    pub because: Vec<(String, Option<String>)>,
    /// What would run, exactly, where the arguments do not say all of it (a declared tool's statement is
    /// its author's); gone once the request is final.
    pub runs: Option<serde_json::Value>,
    /// The exact arguments; gone once the request is final.
    pub arguments: Option<serde_json::Value>,
    /// What the adapter found.
    pub facts: serde_json::Value,
    /// What would happen: rows per table, schema changes, a masked sample.
    pub effect: Option<serde_json::Value>,
    /// How closely what runs must be inside that effect.
    pub bound: Bound,
    /// Whether it runs without its caller once it is approved.
    pub unattended: bool,
    /// Whether it is asked about before the call: nothing runs by itself when it is approved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
    /// For how long it may be approved at most, where policy lets people approve it for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// Whether this person asked for it and may go on alone, with a reason, in an emergency.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_break_glass: bool,
    /// Why the agent says it wants this. Claimed, and shown last.
    pub claimed_reason: Option<String>,
    /// Every transition so far: (RFC 3339 UTC, word, by whom, words of theirs).
    pub history: Vec<(String, String, Option<String>, Option<String>)>,
}

/// Why a reviewer gets nothing, or a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// No such request, or none that this person may see.
    #[error("there is no request of that id that you may see")]
    Unknown,
    /// They asked for it themselves.
    #[error("you asked for this yourself; other people decide it")]
    OwnRequest,
    /// They may be who asked, under another account: the two are at different issuers.
    #[error(
        "you and whoever asked are at different issuers, where one human may have both accounts, so your approval would \
         not count; the operator can say that nobody has two ([approval] disjoint_issuers)"
    )]
    OtherIssuer,
    /// Not one of those who are asked, or policy does not let them approve.
    #[error("you are not one of the people who decide this")]
    NotAsked,
    /// They decided it before.
    #[error("you have decided this already")]
    Twice,
    /// It is final.
    #[error("it is {0} already")]
    Final(&'static str),
    /// The action is another one than the one they saw.
    #[error("what you saw is not what is asked; look at it again")]
    Changed,
    /// Their sign-in is too old.
    #[error("sign in again: a decision needs a sign-in within the last {0} seconds")]
    SignInAgain(u64),
    /// Policy lets them decide with a sign-in of this class (`acr`), and not with theirs.
    #[error("sign in again, more strongly: policy wants the class {0} for this")]
    StrongerSignIn(String),
    /// Approving needs a security key, used for this very decision, which only a browser can ask for.
    #[error("approving needs your security key: open {0} in a browser and approve there")]
    SecurityKey(String),
    /// What they wish beside the approval is not to be had.
    #[error("{0}")]
    NotOffered(String),
    /// This cannot be decided by a message: why, and the page where it can.
    #[error("{0}: open {1} and decide there, signed in")]
    OnItsPage(&'static str, String),
    /// A reason is missing or too long.
    #[error("{0}")]
    BadReason(&'static str),
    /// The decision could not be recorded.
    #[error("it cannot be put on record now, and does not count before it is; look again in a minute")]
    Unrecorded,
}

impl Approvals {
    /// One request with its evidence.
    ///
    /// # Errors
    /// [`NotDecided::Unknown`] also for one that exists and is not theirs to see.
    pub async fn show(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
    ) -> Result<Sheet, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        let row = people
            .fresh(&id.0)
            .await
            .map_err(unrecorded)?
            .ok_or(NotDecided::Unknown)?;
        let terms = Terms::read(&row).map_err(unrecorded)?;
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let acting = people.acting(&mut tx, reviewer).await.map_err(unrecorded)?;
        match View::of(&acting, rules, &row, &terms) {
            View::Own | View::Decides => {}
            View::Weak => return Err(stronger(&acting, rules, &row, &terms)),
            View::Nothing | View::Only => return Err(NotDecided::Unknown),
        }
        let card = card(&mut tx, &acting, rules, &row, &terms)
            .await
            .map_err(unrecorded)?;
        let events = tx.events_of(&id.0).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let mut history: Vec<_> = events
            .into_iter()
            .map(|event| (Timestamp(event.at).rfc3339(), told(&event), event.by, event.words))
            .collect();
        if let Some(at) = row.left_at {
            history.push((Timestamp(at).rfc3339(), "caller left".to_owned(), None, None));
            history.sort();
        }
        let offer = people.offer(&row, &terms).map_err(unrecorded)?;
        let may_break_glass = people.may_break(reviewer, &row, &terms);
        let sheet = sheet(card, &row, terms, history).map_err(unrecorded)?;
        Ok(Sheet {
            offer,
            may_break_glass,
            ..sheet
        })
    }

    /// Takes one person's decision about the action whose hash they repeat. Returns once it is on record.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn decide(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
        choice: Choice,
        seen: &str,
    ) -> Result<Card, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        people.signed_in(reviewer)?;
        let choice = match choice {
            Choice::Refuse(reason) => Choice::Refuse(reason_of(&reason)?),
            Choice::Approve | Choice::ApproveFor(_) => choice,
        };
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        let row = people
            .taken(&mut tx, &id.0)
            .await
            .map_err(unrecorded)?
            .ok_or(NotDecided::Unknown)?;
        let decided = people.judge(&mut tx, reviewer, rules, &row, &choice, seen).await;
        people.finish(tx, decided, id).await?;
        people.card(reviewer, rules, id).await
    }

    /// Withdraws a request: its requester may, and whoever may decide it. A decision like the others, so it
    /// needs a fresh sign-in too.
    ///
    /// # Errors
    /// See [`NotDecided`].
    pub async fn cancel(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
    ) -> Result<Card, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        people.signed_in(reviewer)?;
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        let row = people
            .taken(&mut tx, &id.0)
            .await
            .map_err(unrecorded)?
            .ok_or(NotDecided::Unknown)?;
        let cancelled = people.withdraw(&mut tx, reviewer, rules, &row).await;
        people.finish(tx, cancelled, id).await?;
        people.card(reviewer, rules, id).await
    }
}

pub(super) async fn card(
    tx: &mut Tx,
    acting: &Acting<'_>,
    rules: &RuleSet,
    row: &ApprovalRow,
    terms: &Terms,
) -> Result<Card, StoreError> {
    let decisions = tx.decisions(&row.id).await?;
    drawn(decisions, acting, rules, row, terms)
}

pub(super) fn drawn(
    decisions: Vec<DecisionRow>,
    acting: &Acting<'_>,
    rules: &RuleSet,
    row: &ApprovalRow,
    terms: &Terms,
) -> Result<Card, StoreError> {
    let user = &acting.reviewer.user;
    let decided = decisions
        .iter()
        .any(|one| one.issuer == user.issuer && one.subject == user.subject);
    let approved: Vec<DecisionRow> = decisions.into_iter().filter(|one| one.approves).collect();
    let time = |at: u64| Timestamp(at).rfc3339();
    let now_state = state(row)?;
    let is_open = matches!(now_state, State::Pending | State::Granted);
    let view = View::of(acting, rules, row, terms);
    Ok(Card {
        id: ApprovalId(row.id.clone()),
        state: now_state,
        requester: format!("{}#{}", row.issuer, row.subject),
        agent: row.client_id.clone(),
        tool: row.tool.clone(),
        resource: row.resource.clone(),
        created_at: time(row.created_at),
        decide_by: time(row.decide_by),
        execute_by: row.execute_by.map(time),
        asks: terms.asks.iter().flat_map(|asked| asked.seats.clone()).collect(),
        approved_by: approvers(&approved)?,
        may_decide: now_state == State::Pending && !decided && view == View::Decides && acting.may_count(row),
        may_refuse: is_open && view == View::Decides,
        may_withdraw: is_open && matches!(view, View::Own | View::Decides),
        similar: terms.similar.clone(),
        grant: terms.grant.as_ref().map(|grant| grant.id.clone()),
        escalated_to: acting.escalated(row, terms),
    })
}

fn sheet(
    card: Card,
    row: &ApprovalRow,
    terms: Terms,
    history: Vec<(String, String, Option<String>, Option<String>)>,
) -> Result<Sheet, StoreError> {
    let sealed = Sealed::read(row)?;
    let (bound, unattended, ahead) = (terms.bound(), row.unattended, terms.ahead);
    let mut effect = terms.counts;
    let sample = sealed
        .as_ref()
        .and_then(|sealed| sealed.effect.as_ref())
        .map(|effect| &effect.sample);
    if let (Some(serde_json::Value::Object(effect)), Some(sample)) = (&mut effect, sample) {
        effect.insert("sample".to_owned(), serde_json::json!(sample));
        let effect_of = sealed.as_ref().and_then(|sealed| sealed.effect.as_ref());
        let known = effect_of.map(|effect| &effect.unmeasured);
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            effect.insert("unmeasured".to_owned(), serde_json::json!(known));
        }
    }
    let reason = sealed.as_ref().and_then(Sealed::reason);
    Ok(Sheet {
        card,
        bound,
        unattended,
        ahead,
        offer: None,
        may_break_glass: false,
        action_sha256: hex(&row.action_sha256),
        because: terms
            .asks
            .into_iter()
            .map(|asked| (asked.id, asked.explain))
            .collect(),
        claimed_reason: reason.map(words::cleaned),
        runs: sealed
            .as_ref()
            .map(|sealed| sealed.runs.clone())
            .filter(|runs| !runs.is_null()),
        arguments: sealed.map(|sealed| serde_json::Value::Object(sealed.arguments)),
        facts: terms.facts,
        effect,
        history,
    })
}

/// A refusal's reason as it is kept and passed on.
pub(super) fn reason_of(reason: &str) -> Result<String, NotDecided> {
    if reason.chars().count() > words::REASON {
        return Err(NotDecided::BadReason("say why in at most 500 characters"));
    }
    let reason = words::cleaned(reason);
    if reason.is_empty() {
        return Err(NotDecided::BadReason("say why: the requester reads it"));
    }
    Ok(reason)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unrecorded(error: StoreError) -> NotDecided {
    tracing::error!("approvals: {error}");
    NotDecided::Unrecorded
}
