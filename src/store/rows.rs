//! Transactions on a store, for everything that is rows: approvals, sessions, sign-ins, keys.
//!
//! Each kind of row adds its own methods to [`Tx`], in a file of its own.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::SqliteConnection;

use super::{Store, StoreError};

/// Connections kept for the next transaction.
const IDLE: usize = 4;

/// The rows of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rows {
    store: Store,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

/// One transaction. Dropped without a commit, it has changed nothing: its connection closes.
#[derive(Debug)]
pub struct Tx {
    pub(super) conn: SqliteConnection,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl Rows {
    /// The rows of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            idle: Arc::default(),
        }
    }

    /// Begins a transaction that writes: from here on no other process writes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn write(&self) -> Result<Tx, StoreError> {
        self.begin("BEGIN IMMEDIATE").await
    }

    /// Begins a transaction that only reads, from one snapshot.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read(&self) -> Result<Tx, StoreError> {
        self.begin("BEGIN").await
    }

    async fn begin(&self, how: &'static str) -> Result<Tx, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => self.store.connect().await?,
        };
        let mut tx = Tx {
            conn,
            idle: Arc::clone(&self.idle),
        };
        sqlx::query(how).execute(&mut tx.conn).await?;
        Ok(tx)
    }
}

impl Tx {
    /// Makes everything durable.
    ///
    /// # Errors
    /// See [`StoreError`]; it is then open whether it happened.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(&mut self.conn).await?;
        let Self { conn, idle } = self;
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(conn);
        }
        Ok(())
    }
}
