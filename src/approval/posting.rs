//! A request as it is told where people see it without having signed in (a channel of a chat): counts and never
//! rows, and whether it may be decided there.

use serde_json::Value;

use super::counting::Count;
use super::events::Events;
use super::people::People;
use super::review::State;
use super::terms::{Sealed, Terms, requester, state};
use crate::call::{ApprovalId, Approver, Bound, User};
use crate::clock::Timestamp;
use crate::policy::quorum;
use crate::store::StoreError;
use crate::store::approvals::ApprovalRow;

/// One request, for everybody who may read a channel.
#[derive(Debug, Clone)]
pub struct Posting {
    /// The request.
    pub id: ApprovalId,
    /// Where it is.
    pub state: State,
    /// Once it was carried out and settled: whether its caller got an answer.
    pub answered: Option<bool>,
    /// Who asks.
    pub requester: User,
    /// Through which program.
    pub agent: String,
    /// What that program calls itself. Claimed.
    pub claimed_agent: Option<String>,
    /// With which tool.
    pub tool: String,
    /// On what.
    pub resource: Option<String>,
    /// Unix time.
    pub created_at: Timestamp,
    /// Afterwards silence is refusal.
    pub decide_by: Timestamp,
    /// Once granted: afterwards it cannot be executed.
    pub execute_by: Option<Timestamp>,
    /// What is asked of whom: policy, seats by group, what the policy explains, whether these are met.
    pub asks: Vec<PostedAsk>,
    /// Who approved so far.
    pub approved_by: Vec<Approver>,
    /// Groups that may decide by now as well, because nobody did in time.
    pub escalated_to: Vec<String>,
    /// Who went on without the people who are asked: `<issuer>#<subject>`.
    pub broken_by: Option<String>,
    /// What people sign, hexadecimal.
    pub action_sha256: String,
    /// What would run; gone once the request is final.
    pub runs: Option<Value>,
    /// What the adapter found.
    pub facts: Value,
    /// Rows per table and kind of change, where it was measured.
    pub counts: Option<Value>,
    /// How closely what runs must be inside that effect.
    pub bound: Bound,
    /// Whether it runs without its caller once it is approved.
    pub unattended: bool,
    /// Why the agent says it wants this. Claimed.
    pub claimed_reason: Option<String>,
    /// Its page on the control side.
    pub page: Option<String>,
    /// Why it cannot be decided by a message, where it cannot.
    pub page_only: Option<&'static str>,
    /// The number of its latest transition.
    pub latest: u64,
}

/// One obligation of a posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedAsk {
    /// The policy's id.
    pub policy: String,
    /// How many people of which group.
    pub seats: Vec<(u32, String)>,
    /// What the policy explains.
    pub explain: Option<String>,
    /// Whether enough people approved for it.
    pub is_met: bool,
}

impl Events<'_> {
    /// A request as a channel may show it. `None` when there is none, or when something of it is not on record yet:
    /// nothing is told before it is.
    ///
    /// # Errors
    /// The store's.
    pub async fn posting(&self, id: &ApprovalId) -> Result<Option<Posting>, StoreError> {
        let Some(row) = self.people.fresh(&id.0).await? else {
            return Ok(None);
        };
        let mut tx = self.people.rows.read().await?;
        let events = tx.events_of(&id.0).await?;
        let decisions = tx.decisions(&id.0).await?;
        let now = tx.row(&id.0).await?;
        let broken = tx.broken_glass(&id.0).await?;
        let (terms, asker) = (Terms::read(&row)?, requester(&row));
        let count = Count::of(&terms, &asker);
        let people = self.people.counted(&mut tx, &decisions, count).await?;
        tx.commit().await?;
        let Some(row) = now.filter(|now| now.state == row.state) else {
            return Ok(None);
        };
        if events.iter().any(|event| !event.recorded) {
            return Ok(None);
        }
        let latest = events.last().map_or(0, |event| event.seq);
        let mut posting = self.people.posting(&row, people, latest)?;
        posting.broken_by = broken.map(|by| format!("{}#{}", by.issuer, by.subject));
        Ok(Some(posting))
    }
}

impl People {
    fn posting(
        &self,
        row: &ApprovalRow,
        approved_by: Vec<Approver>,
        latest: u64,
    ) -> Result<Posting, StoreError> {
        let terms = Terms::read(row)?;
        let sealed = Sealed::read(row)?;
        let asker = requester(row);
        let agent = sealed.as_ref().map(|sealed| sealed.principal(row).agent);
        let runs = sealed.as_ref().map(|sealed| match &sealed.runs {
            Value::Null => Value::Object(sealed.arguments.clone()),
            runs => runs.clone(),
        });
        let reason = sealed.as_ref().and_then(Sealed::reason);
        let (bound, unattended, page_only) = (terms.bound(), row.unattended, self.page_only(&terms));
        let later = terms.escalated(row.created_at, self.now());
        let escalated_to = later.into_iter().map(str::to_owned).collect();
        let ask = |asked: &super::terms::Asked| PostedAsk {
            policy: asked.id.clone(),
            seats: asked.seats.clone(),
            explain: asked.explain.clone(),
            is_met: quorum::is_met(&asked.seats, &approved_by, &asker),
        };
        Ok(Posting {
            id: ApprovalId(row.id.clone()),
            state: state(row)?,
            answered: row.answered,
            agent: row.client_id.clone(),
            claimed_agent: agent
                .map(|agent| agent.claimed_name)
                .filter(|name| !name.is_empty()),
            tool: row.tool.clone(),
            resource: row.resource.clone(),
            created_at: Timestamp(row.created_at),
            decide_by: Timestamp(row.decide_by),
            execute_by: row.execute_by.map(Timestamp),
            asks: terms.asks.iter().map(ask).collect(),
            escalated_to,
            broken_by: None,
            action_sha256: crate::call::hex(&row.action_sha256),
            claimed_reason: reason.map(str::to_owned),
            runs,
            facts: terms.facts,
            counts: terms.counts,
            bound,
            unattended,
            page: self.page(&row.id),
            page_only,
            latest,
            requester: asker,
            approved_by,
        })
    }

    /// Why a request is decided on its page alone, where the person signs in for it and sees everything.
    pub(super) fn page_only(&self, terms: &Terms) -> Option<&'static str> {
        let is = |value: Option<&Value>| value == Some(&Value::Bool(true));
        let undone = terms
            .counts
            .as_ref()
            .and_then(|counts| counts.get("irreversible"));
        let measured = terms.facts.get("probe").and_then(Value::as_str);
        if terms.asks.iter().any(|asked| asked.high_risk) {
            Some("policy calls this high-risk")
        } else if self.settings.security_key {
            Some("approving needs a security key")
        } else if terms.ahead {
            Some("this asks for an approval for a while")
        } else if is(undone) || is(terms.facts.pointer("/sql/irreversible")) {
            Some("this cannot be undone")
        } else if terms.counts.is_none() && measured != Some("none") {
            Some("what this would change was not measured")
        } else if is(terms.facts.pointer("/shell/change"))
            || terms.facts.pointer("/shell/kind").and_then(Value::as_str) == Some("script")
        {
            Some("what a command changes cannot be measured")
        } else {
            None
        }
    }
}
