//! COMMIT, and what is known of one whose answer was lost: the server is asked what became of the transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;

use super::link::{Link, Pool};
use super::unmade;
use crate::call::Refusal;

/// How long the server may take to make a change final.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is asked what became of a transaction, and how often.
const ASKING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// By what a transaction is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    /// `pg_current_xact_id()`.
    number: String,
    /// Of the server's history: another one begins when a standby takes over.
    timeline: String,
    /// Whether the number is on the server's disk, so that no crash gives it to anybody else.
    kept: bool,
}

const TICKET: &str = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text,
    pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)";

/// The ticket of the change on `link`, after it was made there. `beside` is another connection, whose transaction is
/// ended: with a COMMIT of its own it has the server write all before it to its disk.
///
/// # Errors
/// What [`unmade::failed`] makes of it.
pub(super) async fn ticket(link: &mut Link, beside: &mut Link) -> Result<Ticket, Refusal> {
    let failed = |error: sqlx::Error| unmade::failed(&error, false);
    let row = sqlx::query(TICKET)
        .persistent(false)
        .fetch_one(link.conn()?)
        .await;
    let read = |row: sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    let (number, timeline) = row.and_then(read).map_err(failed)?;
    let keep = "COMMIT; BEGIN TRANSACTION READ WRITE; \
        SET LOCAL synchronous_commit = local; \
        SELECT pg_catalog.pg_logical_emit_message(true, 'tollgate', ''); COMMIT";
    let kept = sqlx::raw_sql(keep).execute(beside.conn()?).await;
    Ok(Ticket {
        number,
        timeline,
        kept: kept.is_ok(),
    })
}

/// Makes the change of `link` final. Whoever waits for this may go: it is done to its end.
///
/// # Errors
/// `target_failed` and `statement_refused` when the server says that nothing was changed; `outcome_unknown`.
pub(super) async fn commit(link: Link, pool: Arc<Pool>, ticket: Ticket) -> Result<(), Refusal> {
    let work = tokio::spawn(to_the_end(link, pool, ticket));
    work.await.unwrap_or_else(|_| Err(unmade::unknown("panic")))
}

async fn to_the_end(mut link: Link, pool: Arc<Pool>, ticket: Ticket) -> Result<(), Refusal> {
    let commit = sqlx::raw_sql("COMMIT").execute(link.conn()?);
    match tokio::time::timeout(PATIENCE, commit).await {
        Ok(Ok(_)) => {
            link.give_back().await;
            return Ok(());
        }
        Ok(Err(error)) if refuses(&error) => {
            link.give_back().await;
            return Err(unmade::failed(&error, false));
        }
        Ok(Err(_)) | Err(_) => drop(link), // has the server end it, if it is still at it
    }
    let asking = tokio::time::timeout(ASKING, ask(&pool, &ticket));
    asking.await.unwrap_or_else(|_| Err(unmade::unknown("no answer")))
}

/// Whether the server itself says that it did not.
fn refuses(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let class = code.as_deref().and_then(|code| code.get(..2));
    class.is_some_and(|class| matches!(class, "23" | "40" | "P0" | "22" | "42"))
}

/// Asks until the server knows.
async fn ask(pool: &Arc<Pool>, ticket: &Ticket) -> Result<(), Refusal> {
    loop {
        match told(pool, ticket).await {
            Some((status, timeline)) if timeline == ticket.timeline => match status.as_str() {
                "committed" if ticket.kept => return Ok(()),
                "committed" => return Err(unmade::unknown("committed, but perhaps by somebody else")),
                "aborted" => return Err(unmade::lost()),
                _ => {} // in progress: it has yet to see that we are gone
            },
            Some(_) => return Err(unmade::unknown("another server has taken over")),
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn told(pool: &Arc<Pool>, ticket: &Ticket) -> Option<(String, String)> {
    let mut link = pool.asking().await.ok()?;
    let question = sqlx::query(
        "SELECT pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8),
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
            ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END",
    );
    let question = question.persistent(false).bind(&ticket.number);
    let row = question.fetch_one(link.conn().ok()?).await.ok()?;
    link.give_back().await;
    Some((row.try_get::<Option<String>, _>(0).ok()??, row.try_get(1).ok()?))
}
