//! The reviewers' side: what people see of a request, and their decisions.

use serde::Serialize;

use super::people::{People, millis};
pub use super::reviewer::Reviewer;
use super::reviewer::told;
use super::stronger::{stronger, would_do};
use super::terms::{Sealed, Terms, approvers, requester, state};
use super::{Approvals, words};
use crate::call::{ApprovalId, Approver, Bound, UserKind, hex};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change, DecisionRow};
use crate::store::rows::Tx;

/// Requests in one list.
const LISTED: u32 = 200;
/// How far ahead of ours the clock of an identity provider may be, in milliseconds.
const AHEAD: u64 = 60_000;

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
    const ALL: [Self; 7] = [
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

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Yes, to exactly this action.
    Approve,
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
    /// Whether this reviewer may refuse it now: also one that enough others have approved and that has not
    /// run.
    pub may_refuse: bool,
    /// Whether this person may withdraw it now.
    pub may_withdraw: bool,
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
    /// A reason is missing or too long.
    #[error("{0}")]
    BadReason(&'static str),
    /// The decision could not be recorded.
    #[error("it cannot be put on record now, and does not count before it is; look again in a minute")]
    Unrecorded,
}

impl Approvals {
    /// The requests this person may see, open ones first, then newest first: those they are asked about,
    /// and their own (incident note H8).
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn list(&self, reviewer: &Reviewer, rules: &RuleSet) -> Result<Vec<Card>, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Vec::new());
        };
        people.tick().await.map_err(unrecorded)?; // nobody is shown as pending what has expired
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let mut cards = Vec::new();
        for row in tx.latest(LISTED).await.map_err(unrecorded)? {
            let terms = Terms::read(&row).map_err(unrecorded)?;
            if View::of(reviewer, rules, &row, &terms).is_shown() {
                cards.push(
                    card(&mut tx, reviewer, rules, &row, &terms)
                        .await
                        .map_err(unrecorded)?,
                );
            }
        }
        tx.commit().await.map_err(unrecorded)?;
        Ok(cards)
    }

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
        match View::of(reviewer, rules, &row, &terms) {
            View::Own | View::Decides => {}
            View::Weak => return Err(stronger(reviewer, rules, &row)),
            View::Nothing | View::Only => return Err(NotDecided::Unknown),
        }
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let card = card(&mut tx, reviewer, rules, &row, &terms)
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
        sheet(card, &row, terms, history).map_err(unrecorded)
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
            Choice::Approve => Choice::Approve,
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

impl People {
    /// Commits, also when nothing was decided (the request may just have expired), and returns once it is on
    /// record.
    async fn finish(&self, tx: Tx, done: Result<(), NotDecided>, id: &ApprovalId) -> Result<(), NotDecided> {
        if done == Err(NotDecided::Unrecorded) {
            return done; // half of it must not stay
        }
        tx.commit().await.map_err(unrecorded)?;
        self.wake();
        let recorded = self.record(Some(&id.0)).await;
        recorded.map_err(|_| NotDecided::Unrecorded)?;
        done
    }

    /// A decision needs a person who proved who they are a moment ago; a time to come proves nothing.
    fn signed_in(&self, reviewer: &Reviewer) -> Result<(), NotDecided> {
        let (now, at) = (self.now(), reviewer.signed_in_at.0);
        let most = self.settings.max_age;
        if at > now.saturating_add(AHEAD) || now.saturating_sub(at) > millis(most) {
            return Err(NotDecided::SignInAgain(most.as_secs()));
        }
        Ok(())
    }

    async fn card(&self, reviewer: &Reviewer, rules: &RuleSet, id: &ApprovalId) -> Result<Card, NotDecided> {
        let mut tx = self.rows.read().await.map_err(unrecorded)?;
        let row = tx
            .row(&id.0)
            .await
            .map_err(unrecorded)?
            .ok_or(NotDecided::Unknown)?;
        let terms = Terms::read(&row).map_err(unrecorded)?;
        let card = card(&mut tx, reviewer, rules, &row, &terms)
            .await
            .map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        Ok(card)
    }

    /// The decision and what follows from it, in the caller's transaction. On an error nothing was
    /// written here.
    async fn judge(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        rules: &RuleSet,
        row: &ApprovalRow,
        choice: &Choice,
        seen: &str,
    ) -> Result<(), NotDecided> {
        let terms = Terms::read(row).map_err(unrecorded)?;
        match View::of(reviewer, rules, row, &terms) {
            View::Nothing => return Err(NotDecided::Unknown),
            View::Own => return Err(NotDecided::OwnRequest),
            View::Only => return Err(NotDecided::NotAsked),
            View::Weak => return Err(stronger(reviewer, rules, row)),
            View::Decides => {}
        }
        let now_state = state(row).map_err(unrecorded)?;
        let late_refusal = now_state == State::Granted && matches!(choice, Choice::Refuse(_)); // any refusal wins
        if now_state != State::Pending && !late_refusal {
            return Err(NotDecided::Final(now_state.as_str()));
        }
        if hex(&row.action_sha256) != seen {
            return Err(NotDecided::Changed);
        }
        if *choice == Choice::Approve {
            self.keyed(reviewer, row, seen)?;
        }
        self.write(tx, reviewer, row, &terms, choice).await
    }

    async fn write(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        row: &ApprovalRow,
        terms: &Terms,
        choice: &Choice,
    ) -> Result<(), NotDecided> {
        let now = self.now();
        let user = &reviewer.user;
        let by = user.id();
        let decision = DecisionRow {
            issuer: user.issuer.clone(),
            subject: user.subject.clone(),
            groups: serde_json::json!(user.groups).to_string(),
            approves: *choice == Choice::Approve,
            at: now,
            method: reviewer.method().filter(|_| *choice == Choice::Approve),
        };
        if !tx.decide(&row.id, &decision).await.map_err(unrecorded)? {
            return Err(NotDecided::Twice);
        }
        if let Choice::Refuse(reason) = choice {
            let (word, over) = (State::Refused.as_str(), over(now));
            tx.shift(&row.id, &row.state, word, &over)
                .await
                .map_err(unrecorded)?;
            let told = tx.event(&row.id, now, word, Some(&by), Some(reason), None).await;
            return told.map_err(unrecorded);
        }
        tx.approved(&row.id, now, &by, decision.method.as_deref())
            .await
            .map_err(unrecorded)?;
        let decisions = tx.decisions(&row.id).await.map_err(unrecorded)?;
        let people = self.counted(decisions).map_err(unrecorded)?;
        if terms.is_met(&people, &requester(row)) {
            let execute_by = now.saturating_add(millis(self.settings.execute_within));
            let change = Change {
                granted: Some((now, execute_by)),
                ..Change::default()
            };
            let word = State::Granted.as_str();
            tx.shift(&row.id, State::Pending.as_str(), word, &change)
                .await
                .map_err(unrecorded)?;
            tx.event(&row.id, now, word, None, None, None)
                .await
                .map_err(unrecorded)?;
        }
        Ok(())
    }

    async fn withdraw(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        rules: &RuleSet,
        row: &ApprovalRow,
    ) -> Result<(), NotDecided> {
        let terms = Terms::read(row).map_err(unrecorded)?;
        match View::of(reviewer, rules, row, &terms) {
            View::Nothing => return Err(NotDecided::Unknown),
            View::Only => return Err(NotDecided::NotAsked),
            View::Weak => return Err(stronger(reviewer, rules, row)),
            View::Own | View::Decides => {}
        }
        let now_state = state(row).map_err(unrecorded)?;
        if !matches!(now_state, State::Pending | State::Granted) {
            return Err(NotDecided::Final(now_state.as_str()));
        }
        let now = self.now();
        let word = State::Cancelled.as_str();
        tx.shift(&row.id, &row.state, word, &over(now))
            .await
            .map_err(unrecorded)?;
        let by = reviewer.user.id();
        tx.event(&row.id, now, word, Some(&by), None, None)
            .await
            .map_err(unrecorded)
    }
}

/// What a request is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// It does not exist for them.
    Nothing,
    /// They asked for it, whatever else they are (incident note H3).
    Own,
    /// Their group is asked, and policy does not let them decide.
    Only,
    /// They are asked, and policy lets them decide with a stronger sign-in than theirs.
    Weak,
    /// They are asked.
    Decides,
}

impl View {
    fn is_shown(self) -> bool {
        matches!(self, Self::Own | Self::Decides | Self::Weak)
    }

    fn of(reviewer: &Reviewer, rules: &RuleSet, row: &ApprovalRow, terms: &Terms) -> Self {
        let user = &reviewer.user;
        let resource = row.resource.as_deref().unwrap_or_default();
        let allowed = || rules.may_approve(user, resource, reviewer.acr.as_deref());
        if user.issuer == row.issuer && user.subject == row.subject {
            Self::Own
        } else if !terms.asks_of(&user.groups) {
            Self::Nothing
        } else if user.kind != UserKind::Person {
            Self::Only
        } else if allowed() {
            Self::Decides
        } else if would_do(reviewer, rules, row).is_some() {
            Self::Weak
        } else {
            Self::Only
        }
    }
}

async fn card(
    tx: &mut Tx,
    reviewer: &Reviewer,
    rules: &RuleSet,
    row: &ApprovalRow,
    terms: &Terms,
) -> Result<Card, StoreError> {
    let decisions = tx.decisions(&row.id).await?;
    let user = &reviewer.user;
    let decided = decisions
        .iter()
        .any(|one| one.issuer == user.issuer && one.subject == user.subject);
    let approved: Vec<DecisionRow> = decisions.into_iter().filter(|one| one.approves).collect();
    let time = |at: u64| Timestamp(at).rfc3339();
    let now_state = state(row)?;
    let is_open = matches!(now_state, State::Pending | State::Granted);
    let view = View::of(reviewer, rules, row, terms);
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
        may_decide: now_state == State::Pending && !decided && view == View::Decides,
        may_refuse: is_open && !decided && view == View::Decides,
        may_withdraw: is_open && matches!(view, View::Own | View::Decides),
    })
}

fn sheet(
    card: Card,
    row: &ApprovalRow,
    terms: Terms,
    history: Vec<(String, String, Option<String>, Option<String>)>,
) -> Result<Sheet, StoreError> {
    let sealed = Sealed::read(row)?;
    let (bound, unattended) = (terms.bound(), terms.unattended());
    let mut effect = terms.counts;
    let sample = sealed
        .as_ref()
        .and_then(|sealed| sealed.effect.as_ref())
        .map(|effect| &effect.sample);
    if let (Some(serde_json::Value::Object(effect)), Some(sample)) = (&mut effect, sample) {
        effect.insert("sample".to_owned(), serde_json::json!(sample));
    }
    let reason = sealed
        .as_ref()
        .and_then(|sealed| sealed.arguments.get("reason")?.as_str());
    Ok(Sheet {
        card,
        bound,
        unattended,
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
fn reason_of(reason: &str) -> Result<String, NotDecided> {
    if reason.chars().count() > words::REASON {
        return Err(NotDecided::BadReason("say why in at most 500 characters"));
    }
    let reason = words::cleaned(reason);
    if reason.is_empty() {
        return Err(NotDecided::BadReason("say why: the requester reads it"));
    }
    Ok(reason)
}

fn over(now: u64) -> Change {
    Change {
        settled_at: Some(now),
        ..Change::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unrecorded(error: StoreError) -> NotDecided {
    tracing::error!("approvals: {error}");
    NotDecided::Unrecorded
}
