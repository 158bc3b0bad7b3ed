//! The account that makes changes, its connections, and COMMIT: what is known of one whose answer was lost, because a
//! note in a table of ours is part of the same transaction.

use std::sync::Arc;
use std::time::Duration;

use super::link::{Link, Pool, is_mariadb, literal, quoted};
use super::probe::{self, LEDGER};
use super::tables::text;
use super::{Spec, Writer, refusals, unmade};
use crate::call::{Refusal, hex};
use crate::clock::World;
use crate::resource::sql::bounds::schema_changed;

/// How long the server may take to make a change final.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is asked what became of a change, and how often.
const ASKING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// What a session of a change has beside that of a query. `SERIALIZABLE`: what the transaction has read, and where it
/// found nothing, stays so until it ends.
const SETTINGS: [&str; 3] = [
    "SET SESSION foreign_key_checks = 1, unique_checks = 1, check_constraint_checks = 1, completion_type = 'NO_CHAIN'",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "START TRANSACTION READ WRITE",
];

/// Which server it is, as far as it says: another one may have taken over.
const SERVER: &str = "SELECT CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir)";

impl Spec {
    /// The same resource, as the account that makes changes.
    pub(super) fn as_writer(&self, writer: &Writer) -> Result<Self, String> {
        let mut spec = self.clone();
        spec.url
            .set_username(&writer.account)
            .map_err(|()| "write: not an account".to_owned())?;
        spec.password.clone_from(&writer.password);
        Ok(spec)
    }
}

/// A connection in a transaction that may change things, for this person.
///
/// # Errors
/// `target_failed` when there is no way to the server; `statement_refused`: it is not one whose changes are known.
pub(super) async fn changing(pool: &Arc<Pool>, spec: &Spec, user: &str) -> Result<Link, Refusal> {
    let mut link = pool.link().await?;
    match begin(&mut link, spec, user).await {
        Ok(()) => Ok(link),
        Err(refusal) => {
            link.give_back().await;
            Err(refusal)
        }
    }
}

async fn begin(link: &mut Link, spec: &Spec, user: &str) -> Result<(), Refusal> {
    if !is_mariadb(link.version()) {
        return Err(unmade::not_mariadb());
    }
    probe::tell(link, spec, user).await?;
    for text in SETTINGS {
        let set = sqlx::raw_sql(text).execute(link.conn()?).await;
        set.map_err(|error| refusals::away(&error))?;
    }
    Ok(())
}

/// By what a change is found again.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Of our making: hexadecimal digits.
    number: String,
    server: String,
}

/// Leaves a note in the transaction of the change.
///
/// # Errors
/// What [`unmade::failed`] makes of it.
pub(super) async fn ticket(link: &mut Link, spec: &Spec, world: &dyn World) -> Result<Ticket, Refusal> {
    let mut random = [0; 16];
    world.random(&mut random);
    let number = hex(&random);
    let note = format!(
        "INSERT INTO {} (ticket) VALUES ({})",
        ledger(spec),
        literal(&number)
    );
    let noted = sqlx::raw_sql(sqlx::AssertSqlSafe(note))
        .execute(link.conn()?)
        .await;
    noted.map_err(|error| unmade::failed(&error, false))?;
    let server = server(link).await.ok_or_else(schema_changed)?;
    Ok(Ticket { number, server })
}

fn ledger(spec: &Spec) -> String {
    format!("{}.{LEDGER}", quoted(&spec.views))
}

async fn server(link: &mut Link) -> Option<String> {
    let rows = probe::texts(link.conn().ok()?, SERVER.to_owned(), &[])
        .await
        .ok()?;
    Some(text(rows.first()?, 0))
}

/// Makes the change of `link` final. Whoever waits for this may go: it is done to its end.
///
/// # Errors
/// `target_failed` when the server says that nothing was changed; `outcome_unknown`.
pub(super) async fn commit(
    link: Link,
    pool: Arc<Pool>,
    spec: Arc<Spec>,
    ticket: Ticket,
) -> Result<(), Refusal> {
    let work = tokio::spawn(to_the_end(link, pool, spec, ticket));
    work.await.unwrap_or_else(|_| Err(unmade::unknown("panic")))
}

async fn to_the_end(mut link: Link, pool: Arc<Pool>, spec: Arc<Spec>, ticket: Ticket) -> Result<(), Refusal> {
    let commit = sqlx::raw_sql("COMMIT").execute(link.conn()?);
    if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, commit).await {
        // Nobody will ask for it. If this is lost, a note too many stays.
        let done = format!(
            "DELETE FROM {} WHERE ticket = {}",
            ledger(&spec),
            literal(&ticket.number)
        );
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(done)).execute(link.conn()?);
        if !matches!(tokio::time::timeout(PATIENCE, done).await, Ok(Ok(_))) {
            tracing::warn!("a note of a change that is final stays in the table {LEDGER}");
        }
        link.give_back().await;
        return Ok(());
    }
    drop(link); // has the server end it, if it is still at it
    let asking = tokio::time::timeout(ASKING, ask(&pool, &spec, &ticket));
    asking.await.unwrap_or_else(|_| Err(unmade::unknown("no answer")))
}

/// Asks until the server knows.
async fn ask(pool: &Arc<Pool>, spec: &Spec, ticket: &Ticket) -> Result<(), Refusal> {
    loop {
        match told(pool, spec, ticket).await {
            Some((_, server)) if server != ticket.server => {
                return Err(unmade::unknown("another server has taken over"));
            }
            Some((true, _)) => return Ok(()),
            Some((false, _)) => return Err(unmade::lost()),
            None => {} // away; or the transaction has not ended, and the note is locked
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the note is there for good. It is read with a lock, which a transaction that has not ended does not give.
async fn told(pool: &Arc<Pool>, spec: &Spec, ticket: &Ticket) -> Option<(bool, String)> {
    let mut link = pool.beside().await.ok()?;
    let asked = async {
        begin(&mut link, spec, "").await.ok()?;
        let question = format!(
            "SELECT ticket FROM {} WHERE ticket = {} LOCK IN SHARE MODE",
            ledger(spec),
            literal(&ticket.number)
        );
        let found = probe::texts(link.conn().ok()?, question, &[]).await.ok()?;
        Some((!found.is_empty(), server(&mut link).await?))
    };
    let told = asked.await;
    link.give_back().await;
    told
}
