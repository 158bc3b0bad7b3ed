//! The keyring of the user's desktop (freedesktop.org Secret Service), where there is one.
//!
//! Every question goes to another process over D-Bus, which may ask the user to unlock it; so each has a
//! thread that may wait, and an end.

use std::sync::Arc;
use std::time::Duration;

use keyring_core::{CredentialStore, Entry, Error};
use tokio::sync::OnceCell;
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

use super::cache::Kept;
use super::{Key, LoginError};
use crate::call::Hash;

/// What our entries are called in it.
pub(super) const SERVICE: &str = "tollgate";
/// How long finding one may take.
const FIND_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: a person may have to unlock it.
const WITHIN: Duration = Duration::from_mins(1);

/// What to do about one that is locked, gone or not answering.
const UNLOCK: &str = "unlock it, or log in again";

/// The user's keyring. It is looked for when it is needed first: a login that a file holds asks nobody.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyring(Arc<OnceCell<Option<Arc<CredentialStore>>>>);

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    /// It is there, and would not: locked, or it failed.
    Refused,
    /// There is none.
    NoKeyring,
}

impl Keyring {
    async fn store(&self) -> Option<Arc<CredentialStore>> {
        let found = self.0.get_or_init(|| async {
            let store: Arc<CredentialStore> = within(FIND_WITHIN, connect).await??;
            Some(store)
        });
        found.await.clone()
    }

    /// The tokens of a login; `None`: it has none.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Kept>, LoginError> {
        let Some(store) = self.store().await else {
            return Err(LoginError::Keyring(format!("does not answer here: {UNLOCK}")));
        };
        let user = user(key);
        let read = move || {
            let entry = entry(&store, &user)?;
            entry.get_secret().map(Zeroizing::new)
        };
        match within(WITHIN, read).await {
            Some(Ok(secret)) => serde_json::from_slice(&secret).map(Some).map_err(|_| {
                LoginError::Cache("the login in the keyring is damaged; log in again".to_owned())
            }),
            Some(Err(Error::NoEntry)) => Ok(None),
            // What the keyring says may hold what it was asked for; only that it failed is said.
            Some(Err(_)) | None => Err(LoginError::Keyring(format!("does not give it: {UNLOCK}"))),
        }
    }

    /// Keeps them. Unless it did, a file has to.
    pub(super) async fn put(&self, key: &Key, tokens: &Kept) -> Done {
        let Ok(secret) = serde_json::to_vec(tokens).map(Zeroizing::new) else {
            return Done::Refused;
        };
        let Some(store) = self.store().await else {
            return Done::NoKeyring;
        };
        let user = user(key);
        let write = move || entry(&store, &user)?.set_secret(&secret);
        match within(WITHIN, write).await {
            Some(Ok(())) => Done::Yes,
            _ => Done::Refused,
        }
    }

    /// Forgets them.
    pub(super) async fn remove(&self, key: &Key) -> Done {
        let Some(store) = self.store().await else {
            return Done::NoKeyring;
        };
        let user = user(key);
        let remove = move || entry(&store, &user)?.delete_credential();
        match within(WITHIN, remove).await {
            Some(Ok(()) | Err(Error::NoEntry)) => Done::Yes,
            _ => Done::Refused,
        }
    }
}

/// A connection that is closed by the end of the process alone: letting go of one waits for D-Bus, and zbus ends a
/// thread of an asynchronous program that would.
fn connect() -> Option<Arc<Store>> {
    let store = Store::new().ok()?;
    std::mem::forget(Arc::clone(&store));
    Some(store)
}

fn entry(store: &Arc<CredentialStore>, user: &str) -> Result<Entry, Error> {
    store.build(SERVICE, user, None)
}

/// One entry for one login: a token for one server, issuer, client or resource is never found for another.
fn user(key: &Key) -> String {
    let parts = [&key.server, &key.issuer, &key.client_id, &key.resource];
    Hash::of_json(&serde_json::json!(parts)).hex()
}

async fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::time::timeout(time, tokio::task::spawn_blocking(work)).await;
    done.ok()?.ok()
}
