//! The server's own store (SQLite by default): the only place, with `resource/sql`, that knows sqlx.
//!
//! One file, opened the same way by every process: WAL with `synchronous=FULL`, so that a committed
//! transaction has been through `fsync`. Whoever can write this file can change what is on record,
//! so a file that other users may write is refused.

pub mod approvals;
mod file;
pub mod journal;
pub mod keys;
pub mod read;
pub mod rows;
pub mod security_keys;
pub mod sessions;
pub mod sign_ins;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};

/// "Toll": marks a SQLite file as ours (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x546f_6c6c;
/// Version of the record format the file holds (`PRAGMA user_version`).
const FORMAT: i64 = 1;
const PAGE_BYTES: u32 = 4096;

/// Why the store cannot be used, or a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or the url is not one we may use; the text says what to do instead.
    #[error("store {path}: {what}")]
    Unusable {
        /// As configured.
        path: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// What is stored contradicts itself.
    #[error("the journal is damaged: {0}; run `tollgate audit verify`")]
    Damaged(String),
    /// There is no room left: the disk, or the bound on the store's size.
    #[error("the store is full")]
    Full,
    /// Another process held the store for too long.
    #[error("the store was locked by another process for too long")]
    Busy,
    /// The file system.
    #[error("store: {0}")]
    Io(#[from] std::io::Error),
    /// The database.
    #[error("store: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // Primary result codes of SQLite, <https://www.sqlite.org/rescode.html>; extended codes
        // carry the primary one in their low byte.
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            Some(13) => Self::Full,
            Some(5 | 6) => Self::Busy,
            _ => Self::Database(error),
        }
    }
}

/// How to open a store, beyond its url.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// A registered SQLite VFS to use instead of the default one.
    pub vfs: Option<String>,
    /// How long a write waits for another process's write.
    pub busy: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            vfs: None,
            busy: Duration::from_secs(10),
        }
    }
}

/// An opened and checked store. Cheap to clone; connections are made from it.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    options: SqliteConnectOptions,
    max_pages: Arc<AtomicU32>,
}

impl Store {
    /// Opens the store at `url` (`sqlite:path`), creating the file (mode 0600) and its tables if
    /// they are missing.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the url is of another kind, the file belongs to something else
    /// or other users may write it, WAL cannot be had, or a newer Tollgate has written it.
    pub async fn open(url: &str, tuning: &Tuning) -> Result<Self, StoreError> {
        let path = file::path_of(url)?;
        file::create(&path)?;
        let path = path.canonicalize()?; // leases lie beside the file: one name for every process
        // Two first starts must not create tables at once. Waiting for the other one blocks, so it
        // must not be done on a thread that the other one may need.
        let place = path.clone();
        let _lock = tokio::task::spawn_blocking(move || file::lock_setup(&place))
            .await
            .map_err(std::io::Error::other)??;
        let store = Self::connected(path, tuning)?;
        let mut conn = store.connect().await?;
        store.claim(&mut conn).await?;
        migrator()
            .run_direct(None, &mut conn, false)
            .await
            .map_err(|error| store.unusable(migration_problem(&error)))?;
        conn.close().await?;
        Ok(store)
    }

    /// Opens a store that must exist already: for reading commands, which must not create an empty
    /// journal where somebody mistyped a path.
    ///
    /// # Errors
    /// As [`Store::open`]; also when there is no such file.
    pub async fn open_existing(url: &str, tuning: &Tuning) -> Result<Self, StoreError> {
        let path = file::path_of(url)?;
        if !path.is_file() {
            return Err(StoreError::Unusable {
                path: path.display().to_string(),
                what: "there is no such file; name the store of the configuration, [store] url".into(),
            });
        }
        Self::open(url, tuning).await
    }

    fn connected(path: PathBuf, tuning: &Tuning) -> Result<Self, StoreError> {
        file::check(&path)?;
        let mut options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(tuning.busy)
            .pragma("trusted_schema", "OFF")
            .pragma("secure_delete", "ON") // an erased payload is overwritten, not only unlinked
            .disable_statement_logging();
        if let Some(vfs) = &tuning.vfs {
            options = options.vfs(vfs.clone());
        }
        Ok(Self {
            path,
            options,
            max_pages: Arc::new(AtomicU32::new(u32::MAX - 1)),
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bounds the size of the store in bytes (rounded down to pages); `None` lifts the bound. Writes
    /// beyond it fail with [`StoreError::Full`] and calls are refused until there is room again.
    pub fn limit_bytes(&self, bytes: Option<u64>) {
        let pages = bytes.map_or(u64::from(u32::MAX - 1), |bytes| bytes / u64::from(PAGE_BYTES));
        self.max_pages
            .store(u32::try_from(pages).unwrap_or(u32::MAX - 1), Ordering::Relaxed);
    }

    /// A connection, with what must hold of it checked rather than assumed.
    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let mut conn = self.options.connect().await?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut conn)
            .await?;
        let sync: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut conn)
            .await?;
        if mode != "wal" || sync != 2 {
            return Err(self.unusable(format!(
                "SQLite gave journal_mode={mode}, synchronous={sync} instead of wal and 2 (full); \
                 put the store on a local disk"
            )));
        }
        Ok(conn)
    }

    /// Checks that the file is ours, and marks a fresh one.
    async fn claim(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let id: i64 = sqlx::query_scalar("PRAGMA application_id")
            .fetch_one(&mut *conn)
            .await?;
        let format: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *conn)
            .await?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut *conn)
            .await?;
        match (id, format, tables) {
            (APPLICATION_ID, FORMAT, _) => Ok(()),
            (0, 0, 0) => {
                // One transaction: a power cut must not leave half of the mark.
                sqlx::raw_sql(
                    "BEGIN IMMEDIATE; PRAGMA application_id = 0x546f6c6c; PRAGMA user_version = 1; COMMIT",
                )
                .execute(&mut *conn)
                .await?;
                Ok(())
            }
            (APPLICATION_ID, newer, _) => Err(self.unusable(format!(
                "it holds record format {newer}, this Tollgate writes {FORMAT}; use the newer Tollgate"
            ))),
            _ => Err(self.unusable(
                "it is a SQLite file of something else; give Tollgate a file of its own".to_owned(),
            )),
        }
    }

    fn unusable(&self, what: String) -> StoreError {
        StoreError::Unusable {
            path: self.path.display().to_string(),
            what,
        }
    }
}

fn migrator() -> Migrator {
    let simple = |version, name: &'static str, sql: &'static str| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![
        simple(1, "journal", include_str!("../migrations/0001_journal.sql")),
        simple(2, "approvals", include_str!("../migrations/0002_approvals.sql")),
        simple(3, "identity", include_str!("../migrations/0003_identity.sql")),
        simple(4, "webauthn", include_str!("../migrations/0004_webauthn.sql")),
    ])
}

fn migration_problem(error: &sqlx::migrate::MigrateError) -> String {
    use sqlx::migrate::MigrateError::{VersionMismatch, VersionMissing};
    match error {
        VersionMissing(_) => "a newer Tollgate has written it; use that version".to_owned(),
        VersionMismatch(version) => {
            format!("its tables were made by a changed migration {version}; restore the released version")
        }
        other => format!("its tables could not be brought up to date: {other}"),
    }
}

#[cfg(test)]
mod tests;
