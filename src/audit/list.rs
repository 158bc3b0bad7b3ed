//! Looking things up in the journal.

use serde_json::Value;

use super::AuditError;
use super::payload::{Offered, commitment, inflate, read_offered};
use crate::store::Store;
use crate::store::journal::RecordRow;
use crate::store::read::{RecordFilter, Stored, StoredPayload};

/// Most entries of one page.
pub const PAGE_MAX: u32 = 1_000;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which records.
    pub filter: RecordFilter,
    /// Entries per page, at most [`PAGE_MAX`]; 0 stands for 50.
    pub limit: u32,
    /// From the `next` of the page before.
    pub page: Option<u64>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
}

/// One record in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the members of the record of the same names")]
pub struct Listed {
    pub seq: u64,
    pub at: String,
    pub phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, for a record that is not about a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Values that were masked.
    pub masked: u64,
    /// Size of what was offered, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered_bytes: Option<u64>,
}

/// A page of something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Pass this as `page` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Lists records.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(store: &Store, query: &Query) -> Result<Page<Listed>, AuditError> {
    let page = records(store, query).await?;
    Ok(Page {
        items: page.items.iter().map(|(row, _)| Listed::of(row)).collect(),
        next: page.next,
    })
}

/// The records themselves, with their payloads.
pub(super) async fn records(store: &Store, query: &Query) -> Result<Page<Stored>, AuditError> {
    let limit = if query.limit == 0 {
        50
    } else {
        query.limit.min(PAGE_MAX)
    };
    let mut reader = store.reader().await?;
    let mut items = reader
        .matching(&query.filter, query.page, !query.oldest_first, limit + 1)
        .await?;
    reader.close().await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let last = items
        .last()
        .map(|(row, _)| if query.oldest_first { row.seq + 1 } else { row.seq });
    Ok(Page {
        next: last.filter(|_| more),
        items,
    })
}

impl Listed {
    fn of(row: &RecordRow) -> Self {
        let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let masks = record.get("masks").and_then(Value::as_array);
        Self {
            seq: row.seq,
            at: row.at.clone(),
            phase: row.phase.clone(),
            call_id: row.call_id.clone(),
            user: row.user.clone(),
            agent: text("/agent/client_id"),
            session: row.session.clone(),
            tool: row.tool.clone(),
            action: text("/action"),
            resource: row.resource.clone(),
            status: row.status.clone(),
            code: text("/outcome/code"),
            event: text("/config/event"),
            masked: masks
                .into_iter()
                .flatten()
                .filter_map(|mask| mask.get("count")?.as_u64())
                .sum(),
            offered_bytes: record.pointer("/payload/bytes").and_then(Value::as_u64),
        }
    }
}

/// What has become of what was offered.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Kept {
    /// It is here, and is what was committed to.
    Held {
        /// The answer.
        offered: Offered,
    },
    /// It was erased, or lost: `verify` says which.
    Gone,
    /// It is not what was committed to.
    Changed,
}

/// Everything about one call.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CallHistory {
    /// The call.
    pub call_id: String,
    /// Its records, in order.
    pub records: Vec<Value>,
    /// What was offered; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// Shows one call.
///
/// # Errors
/// [`AuditError::UnknownCall`], or when the store cannot be read.
pub async fn show(store: &Store, call_id: &str) -> Result<CallHistory, AuditError> {
    let mut reader = store.reader().await?;
    let rows = reader.call(call_id).await?;
    reader.close().await?;
    if rows.is_empty() {
        return Err(AuditError::UnknownCall(call_id.to_owned()));
    }
    let mut history = CallHistory {
        call_id: call_id.to_owned(),
        records: Vec::new(),
        kept: None,
    };
    for (row, payload) in &rows {
        let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
        if record.get("payload").is_some() {
            history.kept = Some(kept(&record, payload.as_ref()));
        }
        history.records.push(record);
    }
    Ok(history)
}

/// Opens a payload, and checks that it is the one the record commits to.
pub(super) fn kept(record: &Value, payload: Option<&StoredPayload>) -> Kept {
    let Some(payload) = payload else {
        return Kept::Gone;
    };
    let committed = record.pointer("/payload/commitment").and_then(Value::as_str);
    let opened = inflate(&payload.data)
        .ok()
        .filter(|bytes| committed == Some(&commitment(&payload.salt, bytes).hex()))
        .and_then(|bytes| read_offered(&bytes).ok());
    opened.map_or(Kept::Changed, |offered| Kept::Held { offered })
}
