//! Looks at the catalogue, which calls share: one that began after a call did is that call's own, whoever had it made.
//! So nothing that was changed before a call came is missed by it, and as many calls as come at once cost one look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use futures::FutureExt;

use super::loader::{self, Loaded};
use super::{Database, probe};
use crate::call::Refusal;
use crate::resource::sql::bounds::schema_changed;

/// What the last look saw, and which one it was.
type Last = Option<(u64, Result<Arc<Loaded>, Refusal>)>;

/// The looks at one database. One is made at a time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How many have begun.
    begun: AtomicU64,
    last: tokio::sync::Mutex<Last>,
}

impl Looks {
    /// What a look sees that begins after this was called.
    ///
    /// # Errors
    /// What `look` says; it may have said it to somebody else.
    async fn after_now<F>(&self, look: impl FnOnce() -> F) -> Result<Arc<Loaded>, Refusal>
    where
        F: Future<Output = Result<Arc<Loaded>, Refusal>>,
    {
        let before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((_, seen)) = last.as_ref().filter(|(number, _)| *number > before) {
            return seen.clone();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let seen = look().await; // dropped half done, it is nobody's: the next one makes another
        *last = Some((number, seen.clone()));
        seen
    }
}

impl Database {
    /// The catalogue as it is now, as far as that shows at a glance: enough to check a statement by that is asked for once
    /// more when it has run.
    ///
    /// # Errors
    /// As [`Self::fresh`].
    pub(super) async fn glanced(&self) -> Result<Arc<Loaded>, Refusal> {
        self.glances.after_now(|| self.glance_now().boxed()).await
    }

    async fn glance_now(&self) -> Result<Arc<Loaded>, Refusal> {
        let open = |known: &Arc<Loaded>| known.fit(self.spec.privileged).is_ok();
        let known = self.last_known().filter(open); // what is closed is looked at closely
        let with_glimpse = |known: Arc<Loaded>| known.glimpse().map(|glimpse| (known, glimpse));
        if let Some((known, glimpse)) = known.and_then(with_glimpse) {
            let mut link = self.pool.beside().await?;
            match probe::glance(&mut link, &self.spec, &known).await {
                Ok(seen) => {
                    link.keep();
                    if seen == Some(glimpse) {
                        return Ok(known);
                    }
                    known.set_glimpse(None); // it may be the same and look otherwise: it is learned anew
                }
                Err(_) => drop(link), // the server may have been away since the connection was put by
            }
        }
        self.fresh().await
    }

    pub(super) fn last_known(&self) -> Option<Arc<Loaded>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The catalogue as it is now.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server; (retry) when it is being changed.
    pub(super) async fn fresh(&self) -> Result<Arc<Loaded>, Refusal> {
        self.looks.after_now(|| self.look_now().boxed()).await
    }

    /// On a connection of its own, outside of every transaction: what a snapshot holds is not what is there now.
    async fn look_now(&self) -> Result<Arc<Loaded>, Refusal> {
        let mut link = self.pool.beside().await?;
        let version = match probe::version(&mut link, &self.spec).await {
            Ok(version) => version,
            // The server may have been away since the connection was put by.
            Err(_) => {
                drop(link);
                link = self.pool.anew().await?;
                probe::version(&mut link, &self.spec).await?
            }
        };
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let known = self.last_known().filter(|known| known.catalog.version == version);
        let is_new = known.is_none();
        let loaded = match known {
            Some(known) => known,
            None => Arc::new(loader::load(&mut link, &self.spec, &version).await?),
        };
        let glimpse = match loaded.glimpse() {
            None => probe::glance(&mut link, &self.spec, &loaded).await?,
            Some(_) => None,
        };
        if (is_new || glimpse.is_some()) && probe::version(&mut link, &self.spec).await? != version {
            return Err(schema_changed()); // half of it may be of the time before
        }
        link.keep();
        if glimpse.is_some() {
            loaded.set_glimpse(glimpse);
        }
        if let (true, Some(problem)) = (is_new, &loaded.misfit) {
            tracing::warn!(resource = self.spec.name, "closed: {problem}");
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Notify;

    use super::*;
    use crate::resource::sql::mysql::loader::tests::loaded;

    /// A look that has begun when a call comes may have passed what was changed just before: the call waits for another,
    /// which all share that have come meanwhile.
    #[tokio::test]
    async fn a_call_never_has_what_a_look_saw_that_began_before_it() {
        let (looks, made, go) = (Looks::default(), AtomicUsize::new(0), Notify::new());
        let look = async || {
            let number = made.fetch_add(1, Ordering::SeqCst) + 1;
            go.notified().await;
            Ok(loaded(&number.to_string()))
        };
        let ask = async || looks.after_now(look).await.unwrap().catalog.version.clone();
        let mut first = Box::pin(ask());
        assert!(futures::poll!(&mut first).is_pending(), "it has begun");
        let mut later: Vec<_> = (0..5).map(|_| Box::pin(ask())).collect();
        for one in &mut later {
            assert!(futures::poll!(one).is_pending());
        }
        go.notify_one();
        assert_eq!(first.await, "1");
        go.notify_one();
        assert_eq!(futures::future::join_all(later).await, ["2"; 5]);
        go.notify_one();
        assert_eq!(ask().await, "3", "what was seen before is nobody's any more");
    }

    /// Whoever makes a look may go before it has ended.
    #[tokio::test]
    async fn a_look_that_nobody_makes_to_its_end_is_made_by_the_next() {
        let looks = Looks::default();
        {
            let mut gone = Box::pin(looks.after_now(std::future::pending));
            assert!(futures::poll!(&mut gone).is_pending());
        }
        let seen = looks.after_now(async || Ok(loaded("x"))).await;
        assert_eq!(seen.unwrap().catalog.version, "x");
    }
}
