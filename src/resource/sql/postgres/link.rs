//! Connections: few, each for one call at a time, and none with anything left of the call before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Definer, Spec, refusals};
use crate::call::Refusal;
use crate::clock::World;
use crate::resource::sql::address::{decoded, host};

/// Statements that may run on one database at a time; more wait.
const CONNECTIONS: usize = 8;
/// How long the server may take to let us in, or to hear that a statement is to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that nobody wanted for so long is closed: firewalls forget it anyway.
const IDLE: Duration = Duration::from_secs(300);
/// Ends statements whose client is gone, and knows everything else we ask for.
const OLDEST: u32 = 140_000;

/// How transactions begin.
const READING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const CHANGING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE";

/// The server takes definitions as they are when it has their locks, not as they were when the transaction began.
const DEFINING: &str = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// The turn of a second connection.
pub(super) struct Beside(Option<OwnedSemaphorePermit>);

/// Connections of one resource.
pub(super) struct Pool {
    options: PgConnectOptions,
    world: Arc<dyn World>,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<(Session, Duration)>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive() // the options hold a password
    }
}

/// One connection and the server's number for it.
struct Session {
    conn: PgConnection,
    backend: i32,
}

/// A connection that is lent to one call. Dropped with a statement under way, it has the server end that.
pub(super) struct Link {
    session: Option<Session>,
    /// What the server answered to the question that its transaction began with.
    heard: Option<String>,
    turn: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
}

impl Pool {
    /// # Errors
    /// For the operator.
    pub(super) fn new(spec: &Spec, world: Arc<dyn World>) -> Result<Self, String> {
        Ok(Self {
            options: options(spec)?,
            world,
            turns: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Mutex::default(),
        })
    }

    /// A connection, in a transaction that can change nothing and that sees one moment.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn reading(self: &Arc<Self>) -> Result<Link, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::internal("postgres: closed"))?;
        self.lend(Some(turn), READING, None).await
    }

    /// The same, and with it, in the one round trip, a question of ours whose answer [`Link::heard`] gives: one
    /// column of one row.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub(super) async fn reading_with(self: &Arc<Self>, question: &str) -> Result<Link, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::internal("postgres: closed"))?;
        self.lend(Some(turn), READING, Some(question)).await
    }

    /// The connections of the account that changes schemas.
    ///
    /// # Errors
    /// For the operator.
    pub(super) fn of_definer(spec: &Spec, definer: &Definer, world: Arc<dyn World>) -> Result<Self, String> {
        let mut own = spec.clone();
        let set = own.url.set_username(&definer.account);
        set.map_err(|()| "ddl: not an account".to_owned())?;
        own.password.clone_from(&definer.password);
        Self::new(&own, world)
    }

    /// A connection in a transaction that can change schemas.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub(super) async fn defining(self: &Arc<Self>) -> Result<Link, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::internal("postgres: closed"))?;
        self.lend(Some(turn), DEFINING, None).await
    }

    /// A connection in a transaction that can change what the role may, and the turn of a second one beside it.
    /// Both turns are taken together: whoever holds one never waits for another.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub(super) async fn changing(self: &Arc<Self>) -> Result<(Link, Beside), Refusal> {
        let turns = Arc::clone(&self.turns).acquire_many_owned(2).await;
        let mut turns = turns.map_err(|_| Refusal::internal("postgres: closed"))?;
        let second = turns.split(1);
        let link = self.lend(Some(turns), CHANGING, None).await?;
        Ok((link, Beside(second)))
    }

    /// The second connection, in a transaction that sees the moment that another one has exported.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub(super) async fn beside(self: &Arc<Self>, turn: Beside, moment: &str) -> Result<Link, Refusal> {
        let told: String = moment
            .chars()
            .filter(|c| c.is_ascii_hexdigit() || *c == '-')
            .collect();
        let begin = format!("{READING}; SET TRANSACTION SNAPSHOT '{told}'");
        self.lend(turn.0, &begin, None).await
    }

    /// A connection beside the turns, for one question that cannot wait.
    ///
    /// # Errors
    /// As [`Self::reading`].
    pub(super) async fn asking(self: &Arc<Self>) -> Result<Link, Refusal> {
        self.lend(None, READING, None).await
    }

    async fn lend(
        self: &Arc<Self>,
        turn: Option<OwnedSemaphorePermit>,
        begin: &str,
        question: Option<&str>,
    ) -> Result<Link, Refusal> {
        let mut link = Link {
            session: None,
            heard: None,
            turn,
            pool: Arc::clone(self),
        };
        while let Some(session) = self.rested() {
            link.session = Some(session);
            if link.begin(begin, question).await.is_ok() {
                return Ok(link);
            }
            link.session = None; // the server has been away meanwhile
        }
        link.session = Some(self.connect().await?);
        let begun = link.begin(begin, question).await;
        begun.map_err(|error| refusals::away(&error))?;
        Ok(link)
    }

    fn rested(&self) -> Option<Session> {
        let now = self.world.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| now.saturating_sub(*since) < IDLE);
        idle.pop().map(|(session, _)| session)
    }

    fn rest(&self, mut session: Session) {
        session.conn.shrink_buffers();
        let since = self.world.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((session, since));
    }

    async fn connect(&self) -> Result<Session, Refusal> {
        let connecting = tokio::time::timeout(PATIENCE, self.options.connect());
        let mut conn = match connecting.await {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => return Err(refusals::away(&error)),
            Err(_) => return Err(refusals::silent()),
        };
        if conn.server_version_num().is_none_or(|version| version < OLDEST) {
            return Err(refusals::too_old());
        }
        let row = sqlx::query("SELECT pg_catalog.pg_backend_pid()").persistent(false);
        let row = row.fetch_one(&mut conn).await;
        let backend = row.and_then(|row| row.try_get(0));
        let backend = backend.map_err(|error| refusals::away(&error))?;
        Ok(Session { conn, backend })
    }
}

impl Link {
    /// The connection.
    ///
    /// # Errors
    /// `internal`: it was given back.
    pub(super) fn conn(&mut self) -> Result<&mut PgConnection, Refusal> {
        let session = self.session.as_mut().map(|session| &mut session.conn);
        session.ok_or_else(|| Refusal::internal("postgres: no connection"))
    }

    /// What the question that the transaction began with was answered; once.
    pub(super) fn heard(&mut self) -> Option<String> {
        self.heard.take()
    }

    async fn begin(&mut self, how: &str, question: Option<&str>) -> Result<(), sqlx::Error> {
        self.heard = None;
        let Some(session) = &mut self.session else {
            return Err(sqlx::Error::PoolClosed);
        };
        let Some(question) = question else {
            let begin = sqlx::raw_sql(sqlx::AssertSqlSafe(how.to_owned()));
            begin.execute(&mut session.conn).await?;
            return Ok(());
        };
        let begin = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{how}; {question}")));
        let row = begin.fetch_one(&mut session.conn).await?;
        self.heard = Some(row.try_get(0)?);
        Ok(())
    }

    /// Ends the transaction of a connection that only looks, and begins another, which sees what is now.
    ///
    /// # Errors
    /// What [`refusals::away`] makes of it.
    pub(super) async fn look_anew(&mut self) -> Result<(), Refusal> {
        let begun = self.begin(&format!("ROLLBACK; {READING}"), None).await;
        begun.map_err(|error| refusals::away(&error))
    }

    /// Nothing of the call is under way any more: undoes all of it, so that no lock stays, and keeps the
    /// connection if it then forgets all that it knows.
    pub(super) async fn give_back(mut self) {
        let Some(mut session) = self.undo().await else {
            return;
        };
        let (turn, pool) = (self.turn.take(), Arc::clone(&self.pool));
        let forget = async move {
            let forget = sqlx::raw_sql("DISCARD ALL").execute(&mut session.conn);
            if matches!(tokio::time::timeout(PATIENCE, forget).await, Ok(Ok(_))) {
                pool.rest(session);
            }
            drop(turn);
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(forget);
        }
    }

    /// The same where nothing was sent but questions of our own, with what is set for the length of the transaction:
    /// with that undone there is nothing to forget.
    pub(super) async fn give_back_as_it_was(mut self) {
        if let Some(session) = self.undo().await {
            self.pool.rest(session);
        }
    }

    /// Undoes all that the call has done, so that no lock stays. `None`: the server undoes it, when it sees the
    /// connection closed.
    async fn undo(&mut self) -> Option<Session> {
        let session = self.session.as_mut()?;
        let undo = sqlx::raw_sql("ROLLBACK").execute(&mut session.conn);
        let undone = matches!(tokio::time::timeout(PATIENCE, undo).await, Ok(Ok(_)));
        self.session.take().filter(|_| undone)
    }
}

impl Drop for Link {
    /// The caller is gone, or the statement took too long: whatever runs is ended by another connection, since
    /// the one that it runs on does not listen. The turn is kept until then.
    fn drop(&mut self) {
        let (session, turn) = (self.session.take(), self.turn.take());
        let pool = Arc::clone(&self.pool);
        let (Some(session), Ok(runtime)) = (session, tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let end = async {
                let mut other = pool.options.connect().await?;
                let cancel = sqlx::query("SELECT pg_catalog.pg_cancel_backend($1)").persistent(false);
                cancel.bind(session.backend).execute(&mut other).await?;
                other.close().await
            };
            let ended = matches!(tokio::time::timeout(PATIENCE, end).await, Ok(Ok(())));
            if !ended {
                tracing::warn!("a statement was left to the server, which ends it when it sees us gone");
            }
            drop(session); // closes it: the server ends what is left
            drop(turn);
        });
    }
}

/// Everything is said here: nothing of it may come from the environment of this process.
fn options(spec: &Spec) -> Result<PgConnectOptions, String> {
    let url = &spec.url;
    let (host, near) = host(url).ok_or("url: no host")?;
    let mode = match (near, &spec.ca) {
        (true, None) => PgSslMode::Disable,
        _ => PgSslMode::VerifyFull,
    };
    let password = spec.password.as_ref().map_or("", |secret| secret.expose());
    let settings = settings(spec);
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&host)
        .port(url.port().unwrap_or(5432))
        .username(&decoded(url.username()))
        .password(password)
        .database(&decoded(url.path().trim_start_matches('/')))
        .application_name("tollgate")
        .ssl_mode(mode)
        .statement_cache_capacity(0)
        .extra_float_digits(1)
        .options(settings.iter().map(|(name, value)| (name, value)));
    if let Some(ca) = &spec.ca {
        options = options.ssl_root_cert(ca);
    }
    // The driver would log statements, and what is bound to them.
    Ok(options.disable_statement_logging())
}

/// What a session begins with, and what DISCARD ALL takes it back to.
fn settings(spec: &Spec) -> Vec<(&'static str, String)> {
    let whole = |text: &str| text.to_owned();
    let milliseconds = |seconds: u64| seconds.saturating_mul(1000).min(2_000_000_000).to_string();
    let seconds = spec.limits.seconds;
    vec![
        // Every name that is sent has its schema. Operators have none, so none of the database's own are found.
        ("search_path", whole("pg_catalog, pg_temp")),
        ("default_transaction_read_only", whole("on")),
        ("statement_timeout", milliseconds(seconds)),
        ("lock_timeout", milliseconds(seconds.clamp(1, 2))),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(seconds.saturating_add(30)),
        ),
        ("client_connection_check_interval", whole("1000")),
        ("standard_conforming_strings", whole("on")),
        ("row_security", whole("on")),
        ("client_min_messages", whole("error")),
        ("DateStyle", whole("ISO, YMD")),
        ("IntervalStyle", whole("postgres")),
        ("TimeZone", whole("UTC")),
        ("bytea_output", whole("hex")),
        ("xmlbinary", whole("base64")),
        ("xmloption", whole("content")),
        // A cursor is planned for all its rows, as the statement alone would be.
        ("cursor_tuple_fraction", whole("1.0")),
        ("transform_null_equals", whole("off")),
        ("array_nulls", whole("on")),
        ("backslash_quote", whole("safe_encoding")),
    ]
}

/// An identifier as the server reads it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
