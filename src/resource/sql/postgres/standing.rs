//! Whether a database may be used at all, told before anybody asks for anything: a role that can do too much, or a
//! configuration that does not fit, is better met when everything starts than by the first agent.

use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use super::Database;
use super::probe::Voice;
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
        let voice = Voice {
            call: None,
            user: String::new(),
            session: String::new(),
            seconds: PATIENCE,
        };
        let work = async {
            let mut link = self.pool.reading().await?;
            let looked = self.seen(&mut link, &voice).await;
            link.give_back().await;
            looked
        };
        match bounded(work, PATIENCE, &CancellationToken::new()).await {
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
        away.or_else(|| self.known()?.loaded.fit(self.spec.privileged).err())
    }
}
