//! Every transition, told once it is in the journal: no notice and no waiter runs ahead of the record.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::people::People;
use super::terms::Terms;
use crate::call::{ApprovalId, CallId, hex};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Delivery, EventRow, Waiting};

/// One transition of one request, without arguments, keys and samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number in this store; the same event may come more than once, with the same number.
    pub seq: u64,
    /// The request.
    pub approval: ApprovalId,
    /// RFC 3339 UTC.
    pub at: String,
    /// `requested`, `approved` (one person), `granted`, `refused`, `expired`, `cancelled`, `spent`,
    /// `answered`, `failed` or `unknown`; of a grant `grant_made`, `grant_used`, `grant_revoked` or `grant_ended`;
    /// `escalated`, `break_glass` or `reviewed`; and, of no request, `delegated` or `delegation_ended`.
    pub event: String,
    /// Which person's doing it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Words of theirs, or why it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// What proved that person beyond their sign-in (`security-key <id>`), or through what they decided
    /// (`slack <team>/<user> <channel>/<ts>`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The call that asked, or that spent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Who asks: `<issuer>#<subject>`.
    pub requester: String,
    /// Through which program.
    pub agent: String,
    /// Its session.
    pub session: String,
    /// With which tool.
    pub tool: String,
    /// On what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The policies that ask, by their ids.
    pub rules: Vec<String>,
    /// How long after it was asked for this happened.
    #[serde(skip)]
    pub waited: Option<Duration>,
    /// What people sign.
    pub action_sha256: String,
    /// Rows per table and kind of change, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Value>,
}

/// The event could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be written")]
pub struct Unrecorded;

/// Where transitions go on record before anybody acts on them: the journal.
pub trait Ledger: Send + Sync {
    /// Returns once it is durable.
    ///
    /// # Errors
    /// It is not; nobody may act on it.
    fn record<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unrecorded>>;
}

impl Event {
    pub(super) fn of(row: EventRow) -> Self {
        let terms: Option<Terms> = serde_json::from_str(&row.terms).ok();
        let rules = terms.iter().flat_map(|terms| &terms.asks);
        Self {
            rules: rules.map(|asked| asked.id.clone()).collect(),
            waited: Some(Duration::from_millis(row.at.saturating_sub(row.created_at))),
            seq: row.seq,
            approval: ApprovalId(row.approval),
            at: Timestamp(row.at).rfc3339(),
            event: row.word,
            by: row.by,
            words: row.words,
            method: row.method,
            call_id: row.call_id,
            requester: format!("{}#{}", row.issuer, row.subject),
            agent: row.client_id,
            session: row.session,
            tool: row.tool,
            resource: row.resource,
            action_sha256: hex(&row.action_sha256),
            effect: terms.and_then(|terms| terms.counts),
        }
    }
}

/// The transitions as notices: what is still to be told to which channel.
#[derive(Clone, Copy)]
pub struct Events<'a> {
    pub(super) people: &'a People,
}

impl Events<'_> {
    /// Makes a channel known, by a name that stays. A new one hears of what happens from now on,
    /// and since the oldest request that still waits.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(&self, channel: &str) -> Result<(), StoreError> {
        let mut tx = self.people.rows.write().await?;
        tx.open_channel(channel).await?;
        tx.commit().await
    }

    /// Up to `limit` events that a channel was not told of, or failed to take and may be tried again
    /// now, oldest first, each with the attempts made so far.
    ///
    /// # Errors
    /// The store's.
    pub async fn undelivered(&self, channel: &str, limit: u32) -> Result<Vec<(Event, u32)>, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let now = self.people.now();
        let rows = tx.undelivered(channel, now, limit).await?;
        tx.commit().await?;
        Ok(rows
            .into_iter()
            .map(|(row, attempts)| (Event::of(row), attempts))
            .collect())
    }

    /// The same with what everybody has to hear before everything else, and what became of requests before new ones.
    ///
    /// # Errors
    /// The store's.
    pub async fn urgent_first(&self, channel: &str, limit: u32) -> Result<Vec<(Event, u32)>, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let rows = tx.urgent_first(channel, self.people.now(), limit).await?;
        tx.commit().await?;
        Ok(rows
            .into_iter()
            .map(|(row, attempts)| (Event::of(row), attempts))
            .collect())
    }

    /// Takes a notice for so long, to give it: of all processes that share the store one gives it at a time. Gives
    /// whether it was to be had.
    ///
    /// # Errors
    /// The store's.
    pub async fn claim(&self, channel: &str, seq: u64, lease: Duration) -> Result<bool, StoreError> {
        let now = self.people.now();
        let until = now.saturating_add(super::people::millis(lease));
        let mut tx = self.people.rows.write().await?;
        let claimed = tx.claim_notice(channel, seq, (now, until)).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Gives back a notice that was taken and not given.
    ///
    /// # Errors
    /// The store's.
    pub async fn unclaim(&self, channel: &str, seq: u64) -> Result<(), StoreError> {
        let mut tx = self.people.rows.write().await?;
        tx.return_notice(channel, seq).await?;
        tx.commit().await
    }

    /// Notes how a notice fared.
    ///
    /// # Errors
    /// The store's.
    pub async fn mark(&self, channel: &str, seq: u64, how: &Delivery) -> Result<(), StoreError> {
        let mut tx = self.people.rows.write().await?;
        tx.delivered(channel, seq, how).await?;
        tx.commit().await
    }

    /// What a channel was told of a request before one of its transitions: each as (word, whether the channel took it,
    /// whether that is still open), oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn told_before(
        &self,
        channel: &str,
        event: &Event,
    ) -> Result<Vec<(String, bool, bool)>, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let told = tx.told_before(channel, (&event.approval.0, event.seq)).await?;
        tx.commit().await?;
        Ok(told)
    }

    /// How it stands with requests and notices.
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(&self) -> Result<Waiting, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let waiting = tx.waiting().await?;
        tx.commit().await?;
        Ok(waiting)
    }

    /// Notices that were given up, and messages that a channel does not take while their request waits; newest first:
    /// (channel, event, why).
    ///
    /// # Errors
    /// The store's.
    pub async fn dead(&self, limit: u32) -> Result<Vec<(String, Event, String)>, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let mut rows = tx.unshown(limit).await?;
        rows.extend(tx.dead(limit).await?);
        tx.commit().await?;
        Ok(rows
            .into_iter()
            .map(|(row, channel, why)| (channel, Event::of(row), why))
            .collect())
    }
}

/// The id of the call that this row was spent by.
pub(super) fn spent_by(row: &ApprovalRow) -> Option<CallId> {
    row.call_id.as_deref().and_then(CallId::parse)
}
