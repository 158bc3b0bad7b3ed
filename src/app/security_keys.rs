//! People's security keys: the part, and what the operator does with them at the server.

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::parts;
use crate::audit::Audit;
use crate::clock::{System, World};
use crate::config::Config;
use crate::identity::LocalUser;
use crate::identity::security_keys::{Held, KeyLedger, SecurityKeys, operator};
use crate::store::Store;
use crate::store::rows::Rows;

/// Changes of people's security keys go into the journal.
struct OnRecord(Audit);

impl KeyLedger for OnRecord {
    fn record(&self, what: Value) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let recorded = self.0.config_change(what).await;
            recorded
                .inspect_err(|error| tracing::error!("a change of security keys is not on record: {error}"))
                .is_ok()
        })
    }
}

/// People's security keys, where approving needs one.
///
/// # Errors
/// An address that no key can be bound to.
pub(super) fn security_keys(
    config: &Config,
    store: &Store,
    audit: &Audit,
    world: &Arc<dyn World>,
) -> Result<Option<Arc<SecurityKeys>>> {
    let Some(control) = config
        .server
        .control
        .as_ref()
        .filter(|_| config.approval.security_key)
    else {
        return Ok(None);
    };
    let (rows, ledger) = (Rows::new(store.clone()), Arc::new(OnRecord(audit.clone())));
    let keys = SecurityKeys::new(rows, ledger, world.clone(), &control.url);
    Ok(Some(Arc::new(keys.map_err(anyhow::Error::msg)?)))
}

/// Everybody's keys, by owner, oldest first.
///
/// # Errors
/// The store cannot be read.
pub async fn security_keys_list(config: &Config) -> Result<Vec<Held>> {
    let store = super::store::existing(config).await?;
    Ok(operator::all(&Rows::new(store)).await?)
}

/// Removes a key whose owner cannot, on record under the operating-system user.
///
/// # Errors
/// There is no such key; the store or the journal cannot be written.
pub async fn security_keys_remove(config: &Config, id: &str) -> Result<Held> {
    let world: Arc<dyn World> = Arc::new(System::new());
    let user = LocalUser::current();
    let by = format!("local#{}@{}", user.uid, user.host);
    let start = json!({ "command": "security-keys" });
    let (audit, store, _) = parts::audit(config, &super::mask(), &world, start).await?;
    let ledger = OnRecord(audit.clone());
    let removed = operator::forget(&Rows::new(store), &ledger, id, &by).await;
    audit.close().await?;
    Ok(removed?)
}
