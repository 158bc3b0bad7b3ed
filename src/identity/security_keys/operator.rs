//! What the operator does at the server: sees everybody's keys, and removes one whose owner cannot.

use serde_json::json;

use super::{Fault, Held, KeyLedger, held};
use crate::store::rows::Rows;

/// The keys of everybody, by owner, oldest first.
///
/// # Errors
/// [`Fault::Failed`].
pub async fn all(rows: &Rows) -> Result<Vec<Held>, Fault> {
    let mut tx = rows.read().await?;
    let keys = tx.all_security_keys().await?;
    tx.commit().await?;
    Ok(keys.into_iter().map(held).collect())
}

/// Removes the key of this id, whoever's it is, for `by`. Removed first and recorded then, as when its owner does.
///
/// # Errors
/// [`Fault::Unknown`]; [`Fault::Failed`]; [`Fault::Unrecorded`] when it is removed and that is not on record.
pub async fn forget(rows: &Rows, ledger: &dyn KeyLedger, id: &str, by: &str) -> Result<Held, Fault> {
    let mut tx = rows.write().await?;
    let keys = tx.all_security_keys().await?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(Fault::Unknown)?;
    tx.remove_security_key(&key.issuer, &key.subject, id).await?;
    tx.commit().await?;
    let key = held(key);
    let record = json!({"event": "security_key_remove", "key": key.id, "of": key.owner, "by": by});
    let recorded = ledger.record(record).await;
    recorded.then_some(key).ok_or(Fault::RemovedUnrecorded)
}
