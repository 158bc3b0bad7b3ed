//! The journal as a file that can be carried away and verified there: one canonical JSON object a line.
//!
//! `header`, then per record a `record` line (with its leaf hash), then, if asked for, a `payload`
//! line; a `checkpoint` line stands after the last record it covers.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::AuditError;
use super::merkle::Frontier;
use crate::call::{canonical, hex};
use crate::store::{Store, StoreError};

/// Name and version of the format.
pub const FORMAT: &str = "tollgate-journal/1";
const CHUNK: u32 = 512;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

/// Writes the whole journal, as it is at one moment, record by record. With `payloads`, what was
/// offered is included: then the file is as confidential as the answers were.
///
/// # Errors
/// When the store cannot be read or `out` cannot be written.
pub async fn export(
    store: &Store,
    payloads: bool,
    out: &mut (dyn Write + Send),
) -> Result<Exported, AuditError> {
    let mut reader = store.reader().await?;
    let head = reader.head().await?;
    let tree = Frontier::restore(head.size, head.frontier)
        .ok_or_else(|| StoreError::Damaged("its stored head fits no tree".to_owned()))?;
    let checkpoints = reader.checkpoint_count().await?;
    let header = json!({
        "type": "header",
        "format": FORMAT,
        "public_key": reader.meta("key").await?,
        "records": head.size,
        "checkpoints": checkpoints,
        "root": STANDARD.encode(tree.root()),
        "with_payloads": payloads,
    });
    line(out, &header)?;
    let mut notes = reader.checkpoints(0, CHUNK).await?.into_iter().peekable();
    let mut next = 0;
    loop {
        let rows = reader.range(next, CHUNK).await?;
        if rows.is_empty() {
            break;
        }
        for (row, payload) in rows {
            let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
            line(
                out,
                &json!({"type": "record", "leaf": hex(&row.leaf), "record": record}),
            )?;
            if let Some(payload) = payload.filter(|_| payloads) {
                let (salt, data) = (STANDARD.encode(&payload.salt), STANDARD.encode(&payload.data));
                line(out, &json!({"type": "payload", "salt": salt, "data": data}))?;
            }
            next = row.seq + 1;
            while let Some(note) = notes.next_if(|note| note.size <= next) {
                line(out, &json!({"type": "checkpoint", "note": note.note}))?;
                if notes.peek().is_none() {
                    notes = reader.checkpoints(note.size, CHUNK).await?.into_iter().peekable();
                }
            }
        }
    }
    for note in notes {
        line(out, &json!({"type": "checkpoint", "note": note.note}))?; // beyond the end: verify says so
    }
    out.flush()?;
    reader.close().await?;
    Ok(Exported {
        records: next,
        checkpoints,
    })
}

fn line(out: &mut (dyn Write + Send), value: &Value) -> std::io::Result<()> {
    let mut bytes = canonical(value);
    bytes.push(b'\n');
    out.write_all(&bytes)
}
