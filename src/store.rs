//! The server's own store: the only place, with `resource/sql`, that knows sqlx.
//!
//! One SQLite file, opened the same way by every process: WAL with `synchronous=FULL`, so that a committed
//! transaction has been through `fsync`. Whoever can write this file can change what is on record,
//! so a file that other users may write is refused. Or a schema on a PostgreSQL server that several replicas
//! share, with the same promises: see [`postgres`]. Statements are written once ([`db`]).

mod address;
pub mod approvals;
mod copy;
mod db;
mod file;
pub mod journal;
pub mod keys;
mod lookups;
#[cfg(feature = "postgres")]
mod postgres;
pub mod read;
#[cfg(feature = "postgres")]
mod remote;
pub mod rows;
pub mod security_keys;
pub mod sessions;
pub mod sign_ins;
pub mod slack;
#[cfg(test)]
pub(crate) mod testing;
pub mod wake;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::secret::Secret;
pub use address::{Address, AddressProblem, ServerAddress, Tls};
pub use copy::Restored;
use db::Conn;

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

impl StoreError {
    /// Whether it says something of what was read, and nothing of the store: other rows can be read.
    #[must_use]
    pub const fn is_of_a_row(&self) -> bool {
        matches!(
            self,
            Self::Damaged(_) | Self::Database(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // Primary result codes of SQLite, <https://www.sqlite.org/rescode.html>, whose extended codes carry the
        // primary one in their low byte; or five characters of SQLSTATE, PostgreSQL's appendix A.
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        let sqlite = code
            .as_deref()
            .filter(|code| code.len() < 5)
            .and_then(|code| code.parse::<u32>().ok());
        match (sqlite.map(|code| code & 0xff), code.as_deref()) {
            (Some(13), _) | (_, Some("53100")) => Self::Full,
            (Some(5 | 6), _) | (_, Some("55P03" | "57014" | "40001" | "40P01")) => Self::Busy,
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
    /// How long a server may take to answer a statement. One that does not is given up: what it made of it is open.
    pub answer: Duration,
    /// The password of the server's role.
    pub password: Option<Arc<Secret>>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            vfs: None,
            busy: Duration::from_secs(10),
            answer: Duration::from_secs(15), // longer than it may wait for a lock
            password: None,
        }
    }
}

/// An opened and checked store. Cheap to clone; connections are made from it.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    max_pages: Arc<AtomicU32>,
}

#[derive(Debug, Clone)]
enum Engine {
    File(Arc<file::Database>),
    #[cfg(feature = "postgres")]
    Server(Arc<postgres::Server>),
}

impl Store {
    /// Opens the store at `url` (see [`Address::parse`]). Makes a missing file (mode 0600) or schema, and its
    /// tables.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the url is of another kind, the place belongs to something else
    /// or others may write it, what is committed there could be lost, or a newer Tollgate has written it.
    pub async fn open(url: &str, tuning: &Tuning) -> Result<Self, StoreError> {
        Self::open_at(&address(url)?, tuning).await
    }

    /// Opens a store that must exist already: for reading commands, which must not create an empty
    /// journal where somebody mistyped a path.
    ///
    /// # Errors
    /// As [`Store::open`]; also when there is none.
    pub async fn open_existing(url: &str, tuning: &Tuning) -> Result<Self, StoreError> {
        Self::open_existing_at(&address(url)?, tuning).await
    }

    /// As [`Store::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_at(address: &Address, tuning: &Tuning) -> Result<Self, StoreError> {
        match address {
            Address::File(path) => Self::open_file(path, tuning).await,
            Address::Server(server) => Self::open_server(server, tuning, true).await,
        }
    }

    /// As [`Store::open_existing`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_existing_at(address: &Address, tuning: &Tuning) -> Result<Self, StoreError> {
        match address {
            Address::File(path) if !path.is_file() => Err(StoreError::Unusable {
                path: path.display().to_string(),
                what: "there is no such file; name the store of the configuration, [store] url".into(),
            }),
            Address::File(path) => Self::open_file(path, tuning).await,
            Address::Server(server) => Self::open_server(server, tuning, false).await,
        }
    }

    async fn open_file(path: &Path, tuning: &Tuning) -> Result<Self, StoreError> {
        file::create(path)?;
        let path = path.canonicalize()?; // leases lie beside the file: one name for every process
        // Two first starts must not create tables at once. Waiting for the other one blocks, so it
        // must not be done on a thread that the other one may need.
        let place = path.clone();
        let _lock = tokio::task::spawn_blocking(move || file::lock_setup(&place))
            .await
            .map_err(std::io::Error::other)??;
        let database = file::Database::new(path, tuning)?;
        let mut conn = database.connect().await?;
        database.claim(&mut conn).await?;
        let migrated = SQLITE.migrator().run_direct(None, &mut conn, false).await;
        migrated.map_err(|error| database.unusable(migration_problem(&error)))?;
        Conn::Sqlite(conn).close().await?;
        Ok(Self::with(Engine::File(Arc::new(database))))
    }

    #[cfg(feature = "postgres")]
    async fn open_server(address: &ServerAddress, tuning: &Tuning, make: bool) -> Result<Self, StoreError> {
        let server = postgres::Server::new(address, tuning);
        server.set_up(make).await?;
        Ok(Self::with(Engine::Server(Arc::new(server))))
    }

    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_async, reason = "it is not with the feature")]
    async fn open_server(address: &ServerAddress, _: &Tuning, _: bool) -> Result<Self, StoreError> {
        Err(StoreError::Unusable {
            path: address.to_string(),
            what: "this build of Tollgate has no PostgreSQL: take a release build, or build with \
                   `--features postgres`"
                .to_owned(),
        })
    }

    /// The steps that made the tables, and whether each has been taken; takes those that are missing with `take`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn steps(
        address: &Address,
        tuning: &Tuning,
        take: bool,
    ) -> Result<Vec<(i64, &'static str, bool)>, StoreError> {
        let (known, taken) = match address {
            Address::File(path) if path.is_file() => {
                let database = file::Database::new(path.clone(), tuning)?;
                (
                    &SQLITE,
                    taken(&mut Conn::Sqlite(database.connect().await?)).await?,
                )
            }
            Address::File(_) => (&SQLITE, Vec::new()),
            #[cfg(feature = "postgres")]
            Address::Server(server) => {
                let server = postgres::Server::new(server, tuning);
                (&POSTGRES, taken(&mut Conn::Postgres(server.open().await?)).await?)
            }
            #[cfg(not(feature = "postgres"))]
            Address::Server(_) => (&SQLITE, Vec::new()),
        };
        if take {
            Self::open_at(address, tuning).await?;
        }
        let step = |(number, name, _): &(i64, &'static str, _)| (*number, *name, taken.contains(number));
        Ok(known.0.iter().map(step).collect())
    }

    fn with(engine: Engine) -> Self {
        Self {
            engine,
            max_pages: Arc::new(AtomicU32::new(u32::MAX - 1)),
        }
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.engine {
            Engine::File(database) => Some(database.path()),
            #[cfg(feature = "postgres")]
            Engine::Server(_) => None,
        }
    }

    /// Bounds the size of a file in bytes (rounded down to pages); `None` lifts the bound. Writes
    /// beyond it fail with [`StoreError::Full`] and calls are refused until there is room again.
    pub fn limit_bytes(&self, bytes: Option<u64>) {
        let pages = bytes.map_or(u64::from(u32::MAX - 1), |bytes| {
            bytes / u64::from(file::PAGE_BYTES)
        });
        self.max_pages
            .store(u32::try_from(pages).unwrap_or(u32::MAX - 1), Ordering::Relaxed);
    }

    /// A connection, with what must hold of it checked rather than assumed.
    async fn connect(&self) -> Result<Conn, StoreError> {
        match &self.engine {
            Engine::File(database) => database.connect().await.map(Conn::Sqlite),
            #[cfg(feature = "postgres")]
            Engine::Server(server) => server.open().await.map(Conn::Postgres),
        }
    }
}

/// The numbers of the steps that a store has taken; none where there are no tables of ours.
async fn taken(conn: &mut Conn) -> Result<Vec<i64>, StoreError> {
    let there: Vec<String> = if conn.is_sqlite() {
        db::query_scalar("SELECT name FROM sqlite_schema WHERE name = '_sqlx_migrations'")
    } else {
        db::query_scalar(
            "SELECT to_regclass('_sqlx_migrations')::text WHERE to_regclass('_sqlx_migrations') IS NOT NULL",
        )
    }
    .fetch_all(conn)
    .await?;
    if there.is_empty() {
        return Ok(Vec::new());
    }
    Ok(
        db::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(conn)
            .await?,
    )
}

/// For people: which one it is.
impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.engine {
            Engine::File(database) => database.path().display().fmt(f),
            #[cfg(feature = "postgres")]
            Engine::Server(server) => server.fmt(f),
        }
    }
}

fn address(url: &str) -> Result<Address, StoreError> {
    Address::parse(url).map_err(|problem| StoreError::Unusable {
        path: "url".to_owned(),
        what: problem.to_string(),
    })
}

/// The tables, step by step. The steps of both engines have the same numbers and make the same tables and columns;
/// each only adds, so that a replica of the version before goes on beside a newer one. The name of one that such a replica
/// may also start beside ends in `beside N`, where N is the last step that it has to know.
struct Steps(&'static [(i64, &'static str, &'static str)]);

const SQLITE: Steps = Steps(&[
    (1, "journal", include_str!("../migrations/0001_journal.sql")),
    (2, "approvals", include_str!("../migrations/0002_approvals.sql")),
    (3, "identity", include_str!("../migrations/0003_identity.sql")),
    (4, "webauthn", include_str!("../migrations/0004_webauthn.sql")),
    (5, "replicas", include_str!("../migrations/0005_replicas.sql")),
    (6, "lookups", include_str!("../migrations/0006_lookups.sql")),
    (7, "writer", include_str!("../migrations/0007_writer.sql")),
    (8, "grants", include_str!("../migrations/0008_grants.sql")),
    (9, "slack", include_str!("../migrations/0009_slack.sql")),
    (10, "console", include_str!("../migrations/0010_console.sql")),
    (11, "callbacks", include_str!("../migrations/0011_callbacks.sql")),
    (12, "standing", include_str!("../migrations/0012_standing.sql")),
    (13, "chat, beside 12", include_str!("../migrations/0013_chat.sql")),
]);

#[cfg(feature = "postgres")]
const POSTGRES: Steps = Steps(&[
    (
        1,
        "journal",
        include_str!("../migrations/postgres/0001_journal.sql"),
    ),
    (
        2,
        "approvals",
        include_str!("../migrations/postgres/0002_approvals.sql"),
    ),
    (
        3,
        "identity",
        include_str!("../migrations/postgres/0003_identity.sql"),
    ),
    (
        4,
        "webauthn",
        include_str!("../migrations/postgres/0004_webauthn.sql"),
    ),
    (
        5,
        "replicas",
        include_str!("../migrations/postgres/0005_replicas.sql"),
    ),
    (
        6,
        "lookups",
        include_str!("../migrations/postgres/0006_lookups.sql"),
    ),
    (
        7,
        "writer",
        include_str!("../migrations/postgres/0007_writer.sql"),
    ),
    (
        8,
        "grants",
        include_str!("../migrations/postgres/0008_grants.sql"),
    ),
    (9, "slack", include_str!("../migrations/postgres/0009_slack.sql")),
    (
        10,
        "console",
        include_str!("../migrations/postgres/0010_console.sql"),
    ),
    (
        11,
        "callbacks",
        include_str!("../migrations/postgres/0011_callbacks.sql"),
    ),
    (
        12,
        "standing",
        include_str!("../migrations/postgres/0012_standing.sql"),
    ),
    (
        13,
        "chat, beside 12",
        include_str!("../migrations/postgres/0013_chat.sql"),
    ),
]);

impl Steps {
    /// The number of the newest.
    #[cfg(feature = "postgres")]
    fn last(&self) -> i64 {
        self.0.last().map_or(0, |(number, ..)| *number)
    }

    /// Whether a step of this name says that a version which knows the steps up to `known` may start beside it.
    #[cfg(feature = "postgres")]
    fn is_beside(name: &str, known: i64) -> bool {
        let needs = name
            .rsplit_once("beside ")
            .and_then(|(_, number)| number.parse().ok());
        needs.is_some_and(|needs: i64| needs <= known)
    }

    fn migrator(&self) -> Migrator {
        let step = |(version, name, sql): &(i64, &'static str, &'static str)| {
            Migration::new(
                *version,
                (*name).into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        };
        Migrator::with_migrations(self.0.iter().map(step).collect())
    }
}

fn migration_problem(error: &MigrateError) -> String {
    use MigrateError::{VersionMismatch, VersionMissing};
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
