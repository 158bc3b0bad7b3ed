//! Looks at the catalogue, which calls share: one that began after a call did is that call's own, whoever had it made.
//! So nothing that was changed before a call came is missed by it, and as many calls as come at once cost one look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use futures::FutureExt;

use super::link::Link;
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
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let other = match self.other(&mut link, known.as_deref()).await {
            Ok(other) => other,
            // The server may have been away since the connection was put by.
            Err(_) => {
                drop(link);
                link = self.pool.anew().await?;
                self.other(&mut link, known.as_deref()).await?
            }
        };
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let version = match (other, known) {
            (None, Some(known)) => {
                link.keep();
                return Ok(known);
            }
            (Some(version), _) => version,
            (None, None) => return Err(Refusal::internal("mysql: what is not known cannot be the same")),
        };
        let mut loaded = loader::load(&mut link, &self.spec, &version).await?;
        if loaded.misfit.is_none() {
            loaded.short = probe::short(&mut link, &self.spec, &loaded.catalog).await?;
        }
        let loaded = Arc::new(loaded);
        if probe::version(&mut link, &self.spec).await? != version {
            return Err(schema_changed()); // half of it may be of the time before
        }
        link.keep();
        if let Some(problem) = &loaded.misfit {
            tracing::warn!(resource = self.spec.name, "closed: {problem}");
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The version of what is there, if it is not what is known. What was not told from every other by less dear words is
    /// told by all of them; what looks otherwise in the former is read anew, so that these are those of now.
    async fn other(&self, link: &mut Link, known: Option<&Loaded>) -> Result<Option<String>, Refusal> {
        let short = known.and_then(|known| Some((known, known.short?)));
        if let Some((known, short)) = short
            && probe::short(link, &self.spec, &known.catalog).await? == Some(short)
        {
            return Ok(None);
        }
        let version = probe::version(link, &self.spec).await?;
        let same = known.is_some_and(|known| known.short.is_none() && known.catalog.version == version);
        Ok((!same).then_some(version))
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
