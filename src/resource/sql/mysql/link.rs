//! Connections: few, each for one call at a time, and none with anything left of the call before.
//!
//! The driver has no way to reset a connection. So one is used again only where nothing can have been left on it: by a
//! statement that read, to its end, without a function of the database's own. Whether it is as it was made is asked all the
//! same, before anybody else has it: settings, variables, locks. Every other one is closed, and a new one is made ready
//! while nobody waits.
//!
//! What is prepared stays prepared until the connection ends (`persistent`, the driver's default): to close a statement is
//! a packet that no answer follows, and behind it the next question waits for the server's delayed acknowledgement
//! (RFC 1122, 4.2.3.2; 40 ms on Linux), because the driver leaves Nagle's algorithm on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{PORT, Spec, refusals};
use crate::call::{CallId, Refusal, hex};
use crate::clock::World;
use crate::resource::sql::address::{decoded, host};

/// Statements that may run on one database at a time; more wait.
const CONNECTIONS: usize = 8;
/// Statements of one connection that stay prepared: more than one call has, so that none is closed on the way.
const PREPARED: usize = 64;
/// Statements of agents that a connection may have had, each with a text of its own, before another takes its place.
const USES: usize = PREPARED - 16;
/// How long the server may take to let us in, or to hear that a statement is to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection as old as this is closed: the server and firewalls forget one that nobody wanted, and some rights of an
/// account are those that it had when it signed in.
const IDLE: Duration = Duration::from_secs(300);
/// What the guard's reading rests on. Nothing that changes what a quotation mark, a bar, a backslash or a space
/// after a function's name means.
const SQL_MODE: &str = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// What a session is like.
const KEPT: &str = "@@sql_mode, @@time_zone, @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@wait_timeout, \
    @@sql_select_limit, @@sql_safe_updates, @@sql_auto_is_null, @@default_week_format, @@div_precision_increment, \
    @@group_concat_max_len, @@lc_time_names, @@autocommit, @@max_statement_time, @@idle_transaction_timeout, \
    @@tx_isolation, @@tx_read_only, @@character_set_client, @@character_set_connection, @@character_set_results, \
    @@collation_connection, @@last_insert_id, @@foreign_key_checks, @@optimizer_switch, \
    COALESCE(CURRENT_ROLE(), ''), COALESCE(DATABASE(), '')";

/// How a transaction begins that can change nothing and that sees one moment.
const READING: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The oldest versions with everything that is asked for.
const OLDEST_MARIADB: (u32, u32) = (10, 5);
const OLDEST_MYSQL: (u32, u32) = (8, 0);

/// Connections of one resource.
pub(super) struct Pool {
    options: MySqlConnectOptions,
    seconds: u64,
    world: Arc<dyn World>,
    turns: Arc<Semaphore>,
    /// Those that nobody has.
    idle: Mutex<Vec<Session>>,
    /// The variable that holds the person.
    person: Option<String>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive() // the options hold a password
    }
}

/// One connection.
struct Session {
    conn: MySqlConnection,
    /// The name of a lock that it alone holds: by it the server tells which connection this is, also where a proxy
    /// stands between, whose numbers are others. None where the server has no such locks.
    lock: Option<String>,
    /// As the server gives it.
    version: String,
    /// When it signed in.
    since: Duration,
    /// What it was like when it was made, where that can be told: a server of MariaDB with such locks.
    made: Option<String>,
    /// Transactions that it has begun for calls.
    uses: usize,
}

/// A connection that is lent to one call. Dropped with a statement under way, it has the server end that.
pub(super) struct Link {
    session: Option<Session>,
    turn: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    /// Whether a statement's rows are on their way: until they have come the connection does not listen.
    pub(super) busy: bool,
}

impl Pool {
    /// # Errors
    /// For the operator.
    pub(super) fn new(spec: &Spec, world: Arc<dyn World>) -> Result<Self, String> {
        Ok(Self {
            options: options(spec)?,
            seconds: spec.limits.seconds,
            world,
            turns: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Mutex::default(),
            person: spec.session.clone(),
        })
    }

    /// A connection, in a transaction that can change nothing and that sees one moment.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn reading(self: &Arc<Self>) -> Result<Link, Refusal> {
        let turn = self.turn().await?;
        while let Some(session) = self.waiting() {
            let mut link = self.lend(session, None);
            if link.begin().await.is_ok() {
                link.turn = Some(turn);
                return Ok(link);
            }
            link.session = None; // the server has been away meanwhile
        }
        let mut link = self.lend(self.connect().await?, turn);
        if let Err(error) = link.begin().await {
            link.session = None; // what it was is closed
            return Err(refusals::away(&error));
        }
        Ok(link)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| Refusal::internal("mysql: closed"))
    }

    /// A connection that has nothing begun.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn link(self: &Arc<Self>) -> Result<Link, Refusal> {
        let turn = self.turn().await?;
        while let Some(mut session) = self.waiting() {
            // The server may have been away meanwhile.
            if matches!(
                tokio::time::timeout(PATIENCE, session.conn.ping()).await,
                Ok(Ok(()))
            ) {
                return Ok(self.lend(session, turn));
            }
        }
        let session = self.connect().await?;
        Ok(self.lend(session, turn))
    }

    /// A connection of a call that has one already; it waits for nobody, so that no two calls wait for each other.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn beside(self: &Arc<Self>) -> Result<Link, Refusal> {
        match self.waiting() {
            Some(session) => Ok(self.lend(session, None)),
            None => self.anew().await,
        }
    }

    /// The same, made for it.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn anew(self: &Arc<Self>) -> Result<Link, Refusal> {
        Ok(self.lend(self.connect().await?, None))
    }

    fn lend(self: &Arc<Self>, session: Session, turn: impl Into<Option<OwnedSemaphorePermit>>) -> Link {
        Link {
            session: Some(session),
            turn: turn.into(),
            pool: Arc::clone(self),
            busy: false,
        }
    }

    fn waiting(&self) -> Option<Session> {
        let now = self.world.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| now.saturating_sub(session.since) < IDLE);
        idle.pop()
    }

    /// A connection of another account to the same server, with the same meaning of texts; it may change things.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn administrator(&self, name: &str, password: &str) -> Result<MySqlConnection, Refusal> {
        let options = self.options.clone().username(name).password(password);
        let mut session = self.connect_as(&options).await?;
        let change = "SET SESSION TRANSACTION READ WRITE";
        let change = sqlx::raw_sql(change).execute(&mut session.conn).await;
        change.map_err(|error| refusals::away(&error))?;
        Ok(session.conn)
    }

    async fn connect(&self) -> Result<Session, Refusal> {
        self.connect_as(&self.options).await
    }

    async fn connect_as(&self, options: &MySqlConnectOptions) -> Result<Session, Refusal> {
        let mut name = [0; 16];
        self.world.random(&mut name);
        let name = format!("tollgate-{}", hex(&name));
        let since = self.world.monotonic();
        let connecting = async {
            let mut conn = sign_in(options).await?;
            let question = sqlx::query("SELECT VERSION()");
            let version: String = question.fetch_one(&mut conn).await?.try_get_unchecked(0)?;
            let question = sqlx::query("SELECT GET_LOCK(?, 0)");
            let held = question.bind(name.clone()).fetch_one(&mut conn).await;
            let lock = match held {
                Ok(_) => Some(name),
                Err(sqlx::Error::Database(_)) => None, // some clusters
                Err(error) => return Err(error),
            };
            let session = Session {
                conn,
                lock,
                version,
                since,
                made: None,
                uses: 0,
            };
            Ok((session, ()))
        };
        let mut session = match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok((session, ()))) => session,
            Ok(Err(error)) => return Err(refusals::away(&error)),
            Err(_) => return Err(refusals::silent()),
        };
        let mariadb = is_mariadb(&session.version);
        let oldest = if mariadb { OLDEST_MARIADB } else { OLDEST_MYSQL };
        if numbers(&session.version) < oldest {
            return Err(refusals::too_old());
        }
        for text in settings(mariadb, self.seconds) {
            let set = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut session.conn);
            match tokio::time::timeout(PATIENCE, set).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(refusals::away(&error)),
                Err(_) => return Err(refusals::silent()),
            }
        }
        if mariadb {
            let like = tokio::time::timeout(PATIENCE, self.like(&mut session, "")).await;
            session.made = like.ok().flatten().and_then(|(_, like)| like);
        }
        Ok(session)
    }

    /// What is asked first, in what was begun. Then ends that, and tells what the connection is like: all that a statement
    /// could have left on it, and what the next one's meaning and bounds rest on; none where it has more locks than its own.
    /// All in one text. None where the server does not answer.
    ///
    /// Numbers by chance begin anew, so that nobody knows them from those of another call.
    async fn like(&self, session: &mut Session, first: &str) -> Option<(Vec<MySqlRow>, Option<String>)> {
        let lock = literal(session.lock.as_ref()?);
        let mut seeds = [0; 8];
        self.world.random(&mut seeds);
        let [one, other] =
            [seeds.first_chunk::<4>()?, seeds.last_chunk::<4>()?].map(|half| u32::from_le_bytes(*half) >> 2);
        let (person, beside) = match &self.person {
            Some(name) => (
                format!("SET @{} = NULL; ", quoted(name)),
                format!(" WHERE VARIABLE_NAME <> {}", literal(name)),
            ),
            None => Default::default(),
        };
        let question = format!(
            "{first}ROLLBACK; {person}SET rand_seed1 = {one}, rand_seed2 = {other}; \
             SELECT RELEASE_ALL_LOCKS(), GET_LOCK({lock}, 0), CONCAT_WS('/', {KEPT}, \
             (SELECT COUNT(*) FROM information_schema.USER_VARIABLES{beside}))"
        );
        let asked = sqlx::raw_sql(sqlx::AssertSqlSafe(question));
        let mut rows = asked.fetch_all(&mut session.conn).await.ok()?;
        let row = rows.pop()?;
        let number = |at: usize| row.try_get_unchecked::<i64, _>(at).ok();
        let like = match (number(0)?, number(1)?) {
            (1, 1) => row.try_get_unchecked(2).ok(),
            _ => None,
        };
        Some((rows, like))
    }

    /// Puts a connection by for the next call, if the server gives one.
    async fn prepare(&self) {
        if let Ok(session) = self.connect().await {
            self.put_by(session);
        }
    }

    fn put_by(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < CONNECTIONS {
            idle.push(session);
        }
    }
}

impl Link {
    /// The connection.
    ///
    /// # Errors
    /// `internal`: it was given back.
    pub(super) fn conn(&mut self) -> Result<&mut MySqlConnection, Refusal> {
        let session = self.session.as_mut().map(|session| &mut session.conn);
        session.ok_or_else(|| Refusal::internal("mysql: no connection"))
    }

    /// What the server says it is.
    pub(super) fn version(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.version)
    }

    /// Nothing of the call is under way any more: undoes all of it, so that no lock stays when this returns, and
    /// closes the connection. Where rows are on their way, or the server does not answer, it is ended there.
    pub(super) async fn give_back(mut self) {
        if !self.undone().await {
            return; // dropped
        }
        let (session, turn) = (self.session.take(), self.turn.take());
        let pool = Arc::clone(&self.pool);
        let Some(session) = session else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(PATIENCE, session.conn.close()).await;
                pool.prepare().await;
                drop(turn);
            });
        }
    }
}

impl Link {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let session = self.session.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        session.uses += 1;
        let begun = sqlx::raw_sql(READING).execute(&mut session.conn);
        match tokio::time::timeout(PATIENCE, begun).await {
            Ok(begun) => begun.map(drop),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Gives back a connection on which a statement has read to its end that can have left nothing: if that is so, the
    /// next call may have it. What the call had locked is free when this returns. Gives what is asked `first`, within the
    /// transaction; none where the server does not answer.
    pub(super) async fn rest(mut self, first: &str) -> Option<Vec<MySqlRow>> {
        let fits = |session: &&mut Session| session.made.is_some() && session.uses < USES;
        let Some(session) = self.session.as_mut().filter(fits).filter(|_| !self.busy) else {
            let rows = self.asked(first).await;
            self.give_back().await;
            return rows;
        };
        let like = tokio::time::timeout(PATIENCE, self.pool.like(session, first)).await;
        let (rows, like) = like.ok().flatten()?; // else dropped
        let same = like.is_some() && like == session.made;
        if let Some(session) = self.session.take_if(|_| same) {
            self.pool.put_by(session);
        } // else dropped
        Some(rows)
    }

    /// What our own questions give, in what was begun; none where they cannot be asked.
    pub(super) async fn asked(&mut self, questions: &str) -> Option<Vec<MySqlRow>> {
        let session = self.session.as_mut().filter(|_| !self.busy)?;
        if questions.is_empty() {
            return Some(Vec::new());
        }
        let asked = sqlx::raw_sql(sqlx::AssertSqlSafe(questions.to_owned()));
        let asked = asked.fetch_all(&mut session.conn);
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }

    /// Whether nothing of what was done is left in the server.
    async fn undone(&mut self) -> bool {
        match &mut self.session {
            Some(session) if !self.busy => {
                let undo = sqlx::raw_sql("ROLLBACK").execute(&mut session.conn);
                matches!(tokio::time::timeout(PATIENCE, undo).await, Ok(Ok(_)))
            }
            _ => false,
        }
    }

    /// Gives back a connection on which nothing was begun, and only our own questions were answered: the next call may
    /// have it.
    pub(super) fn keep(mut self) {
        if let Some(session) = self.session.take() {
            self.pool.put_by(session);
        }
    }
}

impl Drop for Link {
    /// The caller is gone, or the statement took too long, or nobody wants the rest of its rows: whatever runs is
    /// ended by another connection, since the one that it runs on does not listen. The turn is kept until then.
    fn drop(&mut self) {
        let (session, turn) = (self.session.take(), self.turn.take());
        let pool = Arc::clone(&self.pool);
        let (Some(session), Ok(runtime)) = (session, tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let end = async {
                let lock = session.lock.as_ref().ok_or(sqlx::Error::RowNotFound)?;
                let mut other = sign_in(&pool.options).await?;
                let question = sqlx::query("SELECT IS_USED_LOCK(?)");
                let row = question.bind(lock).fetch_one(&mut other).await?;
                // Nobody: it has ended, or this is another server than the one that it is on.
                if let Some(id) = row.try_get_unchecked::<Option<u64>, _>(0)? {
                    let kill = format!("KILL CONNECTION {id}"); // a number
                    sqlx::raw_sql(sqlx::AssertSqlSafe(kill))
                        .execute(&mut other)
                        .await?;
                }
                other.close().await
            };
            let ended = matches!(tokio::time::timeout(PATIENCE, end).await, Ok(Ok(())));
            if !ended {
                tracing::warn!("a statement was left to the server, which ends it when its time is up");
            }
            drop(session); // closes it: the server ends what is left
            drop(turn);
        });
    }
}

/// Everything is said here: nothing of it may come from the environment of this process. The connection has no
/// default database: a name without one is none.
fn options(spec: &Spec) -> Result<MySqlConnectOptions, String> {
    let url = &spec.url;
    let (host, near) = host(url).ok_or("url: no host")?;
    let mode = match (near, &spec.ca) {
        (true, None) => MySqlSslMode::Disabled,
        _ => MySqlSslMode::VerifyIdentity,
    };
    let password = spec.password.as_ref().map_or("", |secret| secret.expose());
    let mut options = MySqlConnectOptions::new()
        .host(&host)
        .port(url.port().unwrap_or(PORT))
        .username(&decoded(url.username()))
        .password(password)
        .ssl_mode(mode)
        .statement_cache_capacity(PREPARED)
        // Settings are ours alone; what the driver would send first is left out.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false);
    if let Some(ca) = &spec.ca {
        options = options.ssl_ca(ca);
    }
    // The driver would log statements, and what is bound to them.
    Ok(options.disable_statement_logging())
}

/// Signs in.
///
/// Nothing that is said on this machine is encrypted, but MySQL asks for the password itself where it does not remember an
/// account (`caching_sha2_password`): that goes over TLS. With whatever certificate, as no authority was named.
async fn sign_in(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    match (options.connect().await, options.get_ssl_mode()) {
        // The driver's word for that, and it has not sent it.
        (Err(sqlx::Error::Configuration(_)), MySqlSslMode::Disabled) => {
            options.clone().ssl_mode(MySqlSslMode::Required).connect().await
        }
        (signed_in, _) => signed_in,
    }
}

/// What a session begins with, each one statement.
fn settings(mariadb: bool, seconds: u64) -> Vec<String> {
    let seconds = seconds.clamp(1, 1_000_000);
    let (waits, idle) = (seconds.min(2), seconds.saturating_add(30));
    let of_kind = match mariadb {
        true => format!("max_statement_time = {seconds}, idle_transaction_timeout = {idle}"),
        false => format!("max_execution_time = {}", seconds.saturating_mul(1000)),
    };
    vec![
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', lock_wait_timeout = {waits}, \
             innodb_lock_wait_timeout = {waits}, wait_timeout = {}, sql_select_limit = 18446744073709551615, \
             sql_safe_updates = 0, sql_auto_is_null = 0, default_week_format = 0, div_precision_increment = 4, \
             group_concat_max_len = 1048576, lc_time_names = 'en_US', autocommit = 1, {of_kind}",
            idle.max(IDLE.as_secs() + 60)
        ),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned(),
    ]
}

/// Whether a version is one of MariaDB.
pub(super) fn is_mariadb(version: &str) -> bool {
    version.to_ascii_lowercase().contains("mariadb")
}

/// The first two numbers; MariaDB may say `5.5.5-` before its own for the sake of old clients.
pub(super) fn numbers(version: &str) -> (u32, u32) {
    let own = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = own.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// What stands before a checked statement, so that the server's logs and its list of processes name the call. An id is
/// of our making alone and `[a-z0-9]`: nothing in it can end a comment.
pub(super) fn comment(call: &CallId) -> String {
    format!("/* tollgate {call} */")
}

/// A name as the server reads it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as the server reads it, under the mode that our own connections have.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        for (version, mariadb, found) in [
            ("10.11.19-MariaDB-0+deb12u1", true, (10, 11)),
            ("5.5.5-10.4.2-MariaDB", true, (10, 4)),
            ("8.0.36", false, (8, 0)),
            ("8.4.0-commercial", false, (8, 4)),
            ("", false, (0, 0)),
        ] {
            assert_eq!(
                (is_mariadb(version), numbers(version)),
                (mariadb, found),
                "{version}"
            );
        }
    }

    /// Whatever the server says that it can do: to another machine nothing goes in the clear.
    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let mode = |url: &str, ca: Option<&str>| {
            let spec = Spec {
                url: url::Url::parse(url).unwrap(),
                ca: ca.map(std::path::PathBuf::from),
                ..super::super::tests::spec()
            };
            options(&spec).unwrap().get_ssl_mode()
        };
        for (url, ca, verified) in [
            ("mysql://reader@127.0.0.1/shop", None, false),
            ("mysql://reader@[::1]/shop", None, false),
            ("mysql://reader@127.0.0.1/shop", Some("/ca.pem"), true),
            ("mysql://reader@db.example.com/shop", None, true),
            ("mysql://reader@192.0.2.7:3307/shop", None, true),
            ("mysql://reader@db.example.com/shop", Some("/ca.pem"), true),
        ] {
            let found = mode(url, ca);
            assert_eq!(
                matches!(found, MySqlSslMode::VerifyIdentity),
                verified,
                "{url} {found:?}"
            );
            assert_eq!(
                matches!(found, MySqlSslMode::Disabled),
                !verified,
                "{url} {found:?}"
            );
        }
    }

    #[test]
    fn names_and_texts_end_where_they_should() {
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ 1"), "'it''s \\\\ 1'");
    }
}
