//! Whether a database may be used at all, told before anybody asks for anything. Its masks are views that somebody else
//! makes: without these, and with an account that could do without them, nothing of the resource is available.

use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use super::Database;
use crate::call::Refusal;
use crate::resource::sql::bounds::bounded;

/// How long the server may take to be looked at when everything starts, in seconds.
const PATIENCE: u64 = 10;

impl Database {
    /// Looks at the server as a call does.
    ///
    /// # Errors
    /// `target_failed`, with what to do for the operator: why every call is refused, or that there is no way to the
    /// server.
    pub async fn look(&self) -> Result<(), Refusal> {
        match bounded(self.fresh(), PATIENCE, &CancellationToken::new()).await {
            Ok(loaded) => loaded.fit(self.spec.privileged),
            Err(refusal) => {
                *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    /// Why every call is refused, as it was seen last. Nobody is asked.
    #[must_use]
    pub fn refused(&self) -> Option<Refusal> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        away.or_else(|| known?.fit(self.spec.privileged).err())
    }
}
