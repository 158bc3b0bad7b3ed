//! The store on a PostgreSQL server: a schema of its own in one database, for as many replicas as there are.
//!
//! Where SQLite has one writer at a time, a transaction that writes rows holds one row until its end
//! (`writer`), and an append to the journal holds the row of its head. Both are given back by the
//! server however a replica ends; one that does not go on inside a transaction is cut off.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row as _};

use super::address::{ServerAddress, Tls};
use super::remote::{Remote, silent};
use super::{POSTGRES, Steps, StoreError, Tuning, migration_problem};

/// The oldest server that is tested with.
const OLDEST: i64 = 150_000;

/// A server, and how connections to it are made. Shows no password.
#[derive(Clone)]
pub(super) struct Server {
    address: ServerAddress,
    options: PgConnectOptions,
    settings: Arc<str>,
    answer: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

/// What one advisory lock is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// Making and changing tables.
    Setup,
    /// The name of the channel; nothing is locked by it.
    Rows,
}

impl Server {
    pub(super) fn new(address: &ServerAddress, tuning: &Tuning) -> Self {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .username(&address.user)
            .database(&address.database)
            .application_name("tollgate")
            .disable_statement_logging()
            .ssl_mode(match address.tls {
                Tls::Off => PgSslMode::Disable,
                Tls::Signed => PgSslMode::VerifyCa,
                Tls::Full => PgSslMode::VerifyFull,
            });
        if address.host.starts_with('/') {
            options = options.socket(&address.host);
        }
        if let Some(ca) = &address.ca {
            options = options.ssl_root_cert(ca);
        }
        if let Some(password) = &tuning.password {
            options = options.password(password.expose());
        }
        let busy = tuning.busy.as_millis();
        // The schema's name is plain (see `Address::parse`). A replica that hangs inside a transaction would keep
        // all others waiting for its locks: the server cuts it off.
        let settings = format!(
            "SET search_path = {schema}, pg_temp; SET lock_timeout = {busy}; \
             SET idle_in_transaction_session_timeout = {busy}; SET statement_timeout = {most}; \
             SET client_min_messages = warning; SET default_transaction_read_only = off; \
             SET row_security = off; SET standard_conforming_strings = on; SET tcp_keepalives_idle = 10; \
             SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
            schema = address.schema,
            most = busy.saturating_mul(6),
        );
        Self {
            address: address.clone(),
            options,
            settings: settings.into(),
            answer: tuning.answer,
        }
    }

    pub(super) fn schema(&self) -> &str {
        &self.address.schema
    }

    pub(super) fn unusable(&self, what: impl Into<String>) -> StoreError {
        StoreError::Unusable {
            path: self.address.to_string(),
            what: what.into(),
        }
    }

    /// The number of an advisory lock: those of one schema are not those of another in the same database.
    pub(super) fn lock(&self, lock: Lock) -> i64 {
        let digest = Sha256::new()
            .chain_update(b"tollgate\0")
            .chain_update(self.schema())
            .chain_update(match lock {
                Lock::Setup => b"\0setup",
                Lock::Rows => b"\0rows\0",
            })
            .finalize();
        let mut number = [0; 8];
        number.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        i64::from_be_bytes(number)
    }

    /// The channel on which a commit is told of.
    pub(super) fn channel(&self) -> String {
        format!("tollgate_{:016x}", self.lock(Lock::Rows).cast_unsigned())
    }

    /// A connection that hears of commits.
    pub(super) async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(self.options.clone());
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&self.channel()).await?;
            Ok(listener)
        };
        tokio::time::timeout(CONNECT, listening)
            .await
            .map_err(|_| silent(CONNECT))?
    }

    /// Waits for a commit to be told of. False when the connection is lost, or the server says nothing even when it is
    /// asked: a connection nobody writes to does not tell that its other end is gone.
    pub(super) async fn heard(&self, listener: &mut PgListener) -> bool {
        loop {
            match tokio::time::timeout(self.answer, listener.try_recv()).await {
                Ok(told) => return matches!(told, Ok(Some(_))),
                Err(_) => {
                    let asked =
                        tokio::time::timeout(self.answer, sqlx::query("SELECT 1").execute(&mut *listener));
                    if !matches!(asked.await, Ok(Ok(_))) {
                        return false;
                    }
                }
            }
        }
    }

    /// A connection of which each answer comes in time, or none.
    pub(super) async fn open(&self) -> Result<Remote, StoreError> {
        Ok(Remote::new(self.connect().await?, self.answer))
    }

    /// A connection, with what a committed record needs checked rather than assumed.
    async fn connect(&self) -> Result<PgConnection, StoreError> {
        // Nobody else bounds how long a host that does not answer is waited for.
        let connected = tokio::time::timeout(CONNECT, self.connect_and_check()).await;
        connected.map_err(|_| silent(CONNECT))?
    }

    async fn connect_and_check(&self) -> Result<PgConnection, StoreError> {
        let mut conn = self.options.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(self.settings.as_ref()))
            .execute(&mut conn)
            .await?;
        let row = sqlx::query(
            "SELECT pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync'), \
             current_setting('server_encoding'), current_setting('server_version_num')::bigint",
        )
        .fetch_one(&mut conn)
        .await?;
        let (standby, commit, fsync): (bool, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (encoding, version): (String, i64) = (row.try_get(3)?, row.try_get(4)?);
        if standby {
            return Err(self.unusable("this server is a standby; name the primary"));
        }
        if !matches!(commit.as_str(), "on" | "remote_apply") {
            return Err(self.unusable(format!(
                "synchronous_commit is {commit}: a record could be lost after it was promised, and an approval \
                 spent twice; `ALTER ROLE {} SET synchronous_commit = on`",
                self.address.user
            )));
        }
        if fsync != "on" {
            return Err(self.unusable(
                "fsync is off: a record could be lost after it was promised; set fsync = on in postgresql.conf",
            ));
        }
        if encoding != "UTF8" {
            return Err(self.unusable(format!(
                "the database's encoding is {encoding}; `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
            )));
        }
        if version < OLDEST {
            return Err(self.unusable("the server is older than PostgreSQL 15; use 15 or newer"));
        }
        Ok(conn)
    }

    /// Brings schema and tables up to date, one process after the other, and checks that they are fit.
    pub(super) async fn set_up(&self, make: bool) -> Result<(), StoreError> {
        let done = tokio::time::timeout(SET_UP, self.set_up_tables(make)).await;
        done.map_err(|_| silent(SET_UP))?
    }

    async fn set_up_tables(&self, make: bool) -> Result<(), StoreError> {
        let mut conn = self.connect().await?;
        // Another start may be at it for as long as this one may take. Of the session: given back with the
        // connection, however that ends.
        let most = SET_UP.as_millis();
        let patient = format!("SET lock_timeout = {most}; SET statement_timeout = {most}");
        sqlx::raw_sql(AssertSqlSafe(patient)).execute(&mut conn).await?;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(self.lock(Lock::Setup))
            .execute(&mut conn)
            .await?;
        self.failover(&mut conn).await?;
        self.claim(&mut conn, make).await?;
        let mut migrator = POSTGRES.migrator();
        migrator.set_locking(false); // its lock is one for the whole database
        // A replica may start again beside newer ones. Whoever reads or copies all there is must know all of it.
        migrator.set_ignore_missing(make && self.goes_beside(&mut conn).await?);
        self.bring_up_to_date(&migrator, &mut conn).await?;
        conn.close().await?;
        Ok(())
    }

    /// Takes the steps that are missing. Whoever waits for a table's lock has everybody behind it wait too: a step waits
    /// shorter than a call does, gives back what it has, and is tried again.
    async fn bring_up_to_date(&self, migrator: &Migrator, conn: &mut PgConnection) -> Result<(), StoreError> {
        let brief = format!("SET lock_timeout = {}", STEP_WAITS.as_millis());
        sqlx::raw_sql(AssertSqlSafe(brief)).execute(&mut *conn).await?;
        for _ in 0..STEP_TRIES {
            match migrator.run_direct(None, conn, false).await {
                Err(MigrateError::ExecuteMigration(error, _)) if is_in_use(&error) => {
                    tokio::time::sleep(STEP_REST).await;
                }
                migrated => return migrated.map_err(|error| self.unusable(migration_problem(&error))),
            }
        }
        Err(self.unusable(
            "its tables could not be brought up to date: something reads them all the time (a backup, `tollgate audit \
             verify`); let it end and try again",
        ))
    }

    /// Whether all steps that this version does not know were made for one like it to go on beside.
    async fn goes_beside(&self, conn: &mut PgConnection) -> Result<bool, StoreError> {
        let made: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
        if !made {
            return Ok(false);
        }
        let known = POSTGRES.last();
        let unknown: Vec<String> =
            sqlx::query_scalar("SELECT description FROM _sqlx_migrations WHERE version > $1")
                .bind(known)
                .fetch_all(&mut *conn)
                .await?;
        let beside = unknown.iter().all(|name| Steps::is_beside(name, known));
        if beside && !unknown.is_empty() {
            tracing::warn!(
                steps = unknown.len(),
                "a newer Tollgate has added to the store; this version goes on beside it: bring it up to date"
            );
        }
        Ok(beside)
    }

    /// Makes the schema if it is missing, and refuses one of somebody else, or that others may write. The caller
    /// holds [`Lock::Setup`].
    async fn claim(&self, conn: &mut PgConnection, make: bool) -> Result<(), StoreError> {
        let exists: bool = sqlx::query_scalar("SELECT count(*) > 0 FROM pg_namespace WHERE nspname = $1")
            .bind(self.schema())
            .fetch_one(&mut *conn)
            .await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE nspname = $1 AND relkind IN ('r','p','v','m','f')",
        )
        .bind(self.schema())
        .fetch_all(&mut *conn)
        .await?;
        if !make && !tables.iter().any(|name| name == "journal") {
            return Err(self.unusable("there is no store; name the store of the configuration, [store] url"));
        }
        if !exists {
            let made = sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {}", self.schema())))
                .execute(&mut *conn)
                .await;
            made.map_err(|error| {
                self.unusable(format!(
                    "the schema cannot be made ({error}); let the owner of the database run \
                     `CREATE SCHEMA {} AUTHORIZATION {}`",
                    self.schema(),
                    self.address.user
                ))
            })?;
        }
        if !tables.is_empty() && !tables.iter().any(|name| name == "_sqlx_migrations") {
            return Err(self.unusable(
                "the schema holds tables of something else; give Tollgate one of its own: `?schema=name`",
            ));
        }
        self.is_ours_alone(conn).await
    }

    /// Whoever can write the tables can change what is on record.
    async fn is_ours_alone(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let others: Option<String> = sqlx::query_scalar(
            "SELECT concat(CASE WHEN g.rolname IS NULL THEN 'PUBLIC' ELSE g.rolname END, ' has ', what, ' on ', thing) \
             FROM (SELECT c.relname::text AS thing, c.relowner AS owner, a.grantee, a.privilege_type AS what \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a \
                   WHERE nspname = $1 AND c.relkind IN ('r','p','S') \
                   AND a.privilege_type IN ('INSERT','UPDATE','DELETE','TRUNCATE','TRIGGER') \
                   UNION ALL \
                   SELECT concat(c.relname, '.', t.attname), c.relowner, a.grantee, a.privilege_type \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a \
                   WHERE nspname = $1 AND a.privilege_type IN ('INSERT','UPDATE') \
                   UNION ALL \
                   SELECT nspname::text, nspowner, a.grantee, a.privilege_type \
                   FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = $1 AND a.privilege_type = 'CREATE') granted \
             LEFT JOIN pg_roles g ON g.oid = grantee \
             WHERE grantee <> owner AND g.rolname IS DISTINCT FROM current_user LIMIT 1",
        )
        .bind(self.schema())
        .fetch_optional(&mut *conn)
        .await?;
        match others {
            None => Ok(()),
            Some(who) => Err(self.unusable(format!("other roles may write it ({who}); REVOKE that"))),
        }
    }

    /// Refuses a server whose data would go on at a standby that may lack what was promised.
    async fn failover(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let row = sqlx::query(
            "SELECT current_setting('synchronous_standby_names') <> '', \
             count(*) FILTER (WHERE sync_state = 'async' AND state IN ('streaming','catchup')), \
             count(*) FILTER (WHERE state IS NULL) FROM pg_stat_replication",
        )
        .fetch_one(&mut *conn)
        .await?;
        let (synchronous, behind, hidden): (bool, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if synchronous || (behind == 0 && hidden == 0) {
            return Ok(());
        }
        let hint = if behind == 0 {
            format!(
                "; or `GRANT pg_read_all_stats TO {}`, so that it can be seen what is connected",
                self.address.user
            )
        } else {
            String::new()
        };
        Err(self.unusable(format!(
            "an asynchronous standby is connected: after a failover to it, what was promised could be gone and an \
             approval spent twice; name it in synchronous_standby_names{hint}"
        )))
    }
}

/// Whether somebody else holds what a step needs.
fn is_in_use(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// How long a step waits for a lock: shorter than it takes a server to look for a deadlock (1 s), so that no call is what
/// it ends one with.
const STEP_WAITS: Duration = Duration::from_millis(250);
/// What calls that waited behind it have for themselves.
const STEP_REST: Duration = Duration::from_millis(500);
/// A minute or so.
const STEP_TRIES: u32 = 100;
/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the tables may take to be brought up to date.
const SET_UP: Duration = Duration::from_secs(300);
