//! The store as a file: where it is, who may write it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{StoreError, Tuning};

/// "Toll": marks a SQLite file as ours (`PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x546f_6c6c;
/// Version of the record format the file holds (`PRAGMA user_version`).
pub(super) const FORMAT: i64 = 1;
pub(super) const PAGE_BYTES: u32 = 4096;

fn unusable(path: &str, what: impl Into<String>) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// The file as a database, and how connections to it are made.
#[derive(Debug, Clone)]
pub(super) struct Database {
    path: PathBuf,
    options: SqliteConnectOptions,
}

impl Database {
    pub(super) fn new(path: PathBuf, tuning: &Tuning) -> Result<Self, StoreError> {
        check(&path)?;
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
        Ok(Self { path, options })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection, with what must hold of it checked rather than assumed.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
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
    pub(super) async fn claim(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
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
            _ => Err(self.unusable("it is a SQLite file of something else; give Tollgate a file of its own")),
        }
    }

    pub(super) fn unusable(&self, what: impl Into<String>) -> StoreError {
        unusable(&self.path.display().to_string(), what)
    }
}

/// Creates a missing file before SQLite does, readable by its owner alone. SQLite gives its `-wal`
/// and `-shm` files the mode of the database file.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(
            &path.display().to_string(),
            format!("cannot be created ({error}); create its folder and make it writable for this user"),
        )),
    }
}

/// Refuses a file, or the folder it is in, that another user may write.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let about = folder.metadata()?;
    if about.mode() & 0o002 != 0 && about.mode() & 0o1000 == 0 {
        return Err(unusable(
            &folder.display().to_string(),
            "every user may replace files in this folder; `chmod o-w` it",
        ));
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = Path::new(&name);
        let about = match file.metadata() {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let shown = file.display().to_string();
        if about.mode() & 0o022 != 0 {
            return Err(unusable(&shown, "other users may write it; `chmod go-w` it"));
        }
        let me = rustix::process::geteuid().as_raw();
        if about.uid() != me && about.uid() != 0 && me != 0 {
            return Err(unusable(
                &shown,
                format!(
                    "it belongs to user {}, not to the user Tollgate runs as ({me})",
                    about.uid()
                ),
            ));
        }
    }
    Ok(())
}

/// Held while tables are created, so that two processes starting at once do it one after the other.
///
/// A file of its own: closing any descriptor of the database file would drop the locks that SQLite
/// holds on it in this process (POSIX advisory locks belong to the process, not the descriptor).
pub(super) fn lock_setup(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-setup");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(Path::new(&name))?;
    file.lock()?;
    Ok(file)
}
