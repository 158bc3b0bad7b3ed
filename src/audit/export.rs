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
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Payloads.
    pub payloads: u64,
    /// Bytes.
    pub bytes: u64,
    /// The key that verifies it, in note form.
    pub public_key: String,
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
    let mut done = Exported {
        checkpoints: reader.checkpoint_count().await?,
        public_key: reader.meta("key").await?.unwrap_or_default(),
        ..Exported::default()
    };
    let header = json!({
        "type": "header",
        "format": FORMAT,
        "public_key": done.public_key,
        "records": head.size,
        "checkpoints": done.checkpoints,
        "root": STANDARD.encode(tree.root()),
        "with_payloads": payloads,
    });
    done.bytes += line(out, &header)?;
    let mut notes = reader.checkpoints(0, CHUNK).await?.into_iter().peekable();
    loop {
        let rows = reader.range(done.records, CHUNK).await?;
        if rows.is_empty() {
            break;
        }
        for (row, payload) in rows {
            let record: Value = serde_json::from_slice(&row.record).unwrap_or_default();
            let whole = json!({"type": "record", "leaf": hex(&row.leaf), "record": record});
            done.bytes += line(out, &whole)?;
            if let Some(payload) = payload.filter(|_| payloads) {
                let (salt, data) = (STANDARD.encode(&payload.salt), STANDARD.encode(&payload.data));
                done.payloads += 1;
                done.bytes += line(out, &json!({"type": "payload", "salt": salt, "data": data}))?;
            }
            done.records = row.seq + 1;
            while let Some(note) = notes.next_if(|note| note.size <= done.records) {
                done.bytes += line(out, &json!({"type": "checkpoint", "note": note.note}))?;
                if notes.peek().is_none() {
                    notes = reader.checkpoints(note.size, CHUNK).await?.into_iter().peekable();
                }
            }
        }
    }
    for note in notes {
        // Beyond the last record: `verify` says what that means.
        done.bytes += line(out, &json!({"type": "checkpoint", "note": note.note}))?;
    }
    out.flush()?;
    reader.close().await?;
    Ok(done)
}

fn line(out: &mut (dyn Write + Send), value: &Value) -> std::io::Result<u64> {
    let mut bytes = canonical(value);
    bytes.push(b'\n');
    out.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}
