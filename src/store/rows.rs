//! Transactions on a store, for everything that is rows: approvals, sessions, sign-ins, keys.
//!
//! Each kind of row adds its own methods to [`Tx`], in a file of its own.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::db::Conn;
use super::{Store, StoreError};

/// Connections kept for the next transaction.
const IDLE: usize = 4;
/// Transactions at once: a server has a bound of its own, for all that use it.
const AT_ONCE: usize = 12;
/// How long a transaction may wait for its turn in this process.
const SEAT: Duration = Duration::from_secs(20);

/// The rows of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rows {
    store: Store,
    idle: Idle,
    seats: Arc<Semaphore>,
}

type Idle = Arc<Mutex<Vec<Conn>>>;

/// One transaction. Dropped without a commit, it has changed nothing: its connection closes.
#[derive(Debug)]
pub struct Tx {
    pub(super) conn: Conn,
    /// How it ends.
    end: Cow<'static, str>,
    idle: Idle,
    _seat: OwnedSemaphorePermit,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy)]
enum Aim {
    Read,
    Write,
}

impl Rows {
    /// The rows of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            idle: Arc::default(),
            seats: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Begins a transaction that writes rows: from here on no other process does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn write(&self) -> Result<Tx, StoreError> {
        self.begin(Aim::Write).await
    }

    /// Begins a transaction that only reads, from one snapshot.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read(&self) -> Result<Tx, StoreError> {
        self.begin(Aim::Read).await
    }

    async fn begin(&self, aim: Aim) -> Result<Tx, StoreError> {
        let seat = tokio::time::timeout(SEAT, Arc::clone(&self.seats).acquire_owned()).await;
        let seat = seat
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Busy)?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let kept = idle.is_some();
            let mut conn = match idle {
                Some(conn) => conn,
                None => self.store.connect().await?,
            };
            match self.store.begin(&mut conn, aim).await {
                Ok(()) => {
                    return Ok(Tx {
                        conn,
                        end: self.store.end(aim),
                        idle: Arc::clone(&self.idle),
                        _seat: seat,
                    });
                }
                // A server that says nothing says nothing on the others either.
                Err(StoreError::Database(error)) if Store::is_silent(&error) => {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return Err(StoreError::Database(error));
                }
                // The server may have been away since: what it closed is not what it says now.
                Err(StoreError::Database(_)) if kept => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Store {
    #[cfg(feature = "postgres")]
    fn is_silent(error: &sqlx::Error) -> bool {
        super::remote::is_silence(error)
    }

    #[cfg(not(feature = "postgres"))]
    fn is_silent(_: &sqlx::Error) -> bool {
        false
    }

    async fn begin(&self, conn: &mut Conn, aim: Aim) -> Result<(), StoreError> {
        let how = match (&self.engine, aim) {
            (super::Engine::File(_), Aim::Read) => "BEGIN".to_owned(),
            (super::Engine::File(_), Aim::Write) => "BEGIN IMMEDIATE".to_owned(),
            #[cfg(feature = "postgres")]
            (super::Engine::Server(_), Aim::Read) => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned()
            }
            // Each statement sees what was committed before it began: all that held the lock before.
            #[cfg(feature = "postgres")]
            (super::Engine::Server(_), Aim::Write) => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT one FROM writer FOR UPDATE"
                    .to_owned()
            }
        };
        Ok(conn.run(how).await?)
    }

    fn end(&self, aim: Aim) -> Cow<'static, str> {
        // PostgreSQL says yes to the COMMIT of a transaction that has failed, and undoes it; to a SELECT it says no.
        match (&self.engine, aim) {
            (super::Engine::File(_), _) => "COMMIT".into(),
            #[cfg(feature = "postgres")]
            (super::Engine::Server(_), Aim::Read) => "SELECT 1; COMMIT".into(),
            #[cfg(feature = "postgres")]
            (super::Engine::Server(server), Aim::Write) => {
                format!("SELECT pg_notify('{}', ''); COMMIT", server.channel()).into()
            }
        }
    }
}

impl Tx {
    /// Makes everything durable.
    ///
    /// # Errors
    /// See [`StoreError`]; it is then open whether it happened.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let commit = std::mem::take(&mut self.end);
        self.conn.run(commit).await?;
        let Self { conn, idle, .. } = self;
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(conn);
        }
        Ok(())
    }
}
