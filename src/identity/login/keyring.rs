//! The keyring of the user's desktop (freedesktop.org Secret Service), where there is one.
//!
//! Every question goes to another process over D-Bus, which may ask the user to unlock it; so each has a
//! thread that may wait, and an end.

use std::sync::Arc;
use std::time::Duration;

use keyring_core::{CredentialStore, Entry, Error};
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

use super::cache::Kept;
use super::{Key, LoginError};
use crate::call::Hash;

/// What our entries are called in it.
const SERVICE: &str = "tollgate";
/// How long finding one may take.
const FIND_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take: a person may have to unlock it.
const WITHIN: Duration = Duration::from_mins(1);

/// A keyring that answers.
#[derive(Debug, Clone)]
pub(super) struct Keyring(Arc<CredentialStore>);

impl Keyring {
    /// The keyring, if there is one.
    pub(super) async fn find() -> Option<Self> {
        let found = within(FIND_WITHIN, || Store::new().ok()).await.flatten();
        found.map(|store| Self(store))
    }

    /// The tokens of a login.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Kept>, LoginError> {
        let (store, user) = (Arc::clone(&self.0), user(key));
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
            Some(Err(_)) | None => Err(LoginError::Cache(
                "the keyring does not give the login: unlock it, or log in again".to_owned(),
            )),
        }
    }

    /// Keeps them; `false` when it will not, and then a file does.
    pub(super) async fn put(&self, key: &Key, tokens: &Kept) -> bool {
        let Ok(secret) = serde_json::to_vec(tokens).map(Zeroizing::new) else {
            return false;
        };
        let (store, user) = (Arc::clone(&self.0), user(key));
        let write = move || entry(&store, &user)?.set_secret(&secret);
        matches!(within(WITHIN, write).await, Some(Ok(())))
    }

    /// Forgets them.
    pub(super) async fn remove(&self, key: &Key) {
        let (store, user) = (Arc::clone(&self.0), user(key));
        let remove = move || entry(&store, &user)?.delete_credential();
        if !matches!(within(WITHIN, remove).await, Some(Ok(()) | Err(Error::NoEntry))) {
            tracing::warn!("the keyring did not forget the login; remove its entry `{SERVICE}` there");
        }
    }
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
