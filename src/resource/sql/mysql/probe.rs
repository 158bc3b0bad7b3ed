//! The first thing and the last thing a call asks: what version of the catalogue there is. Tables and views are not
//! versioned with rows in these servers, so what was true before a statement must still be true after it.

use futures::TryStreamExt;
use sqlx::mysql::{MySql, MySqlConnection, MySqlRow};
use sqlx::{Decode, Row};

use super::link::{Link, is_mariadb, literal, quoted};
use super::loader::Loaded;
use super::{Spec, refusals, tokens};
use crate::call::{Hash, Refusal};

/// The table of the plan that the masking views were made by, in their database.
pub(super) const PLAN: &str = "tollgate_plan";
/// The view there that shows, with the rights of its definer, what columns the tables have now.
pub(super) const NOW: &str = "tollgate_now";
/// The view there of how the database's own views are made now. One of its own, as each of these is, so that the server
/// merges them into what asks: what is put together it would first write down.
pub(super) const MADE: &str = "tollgate_made";
/// The view there of what is a table and what is a view, and since when it is as it is: cheaper to ask than what columns
/// there are.
pub(super) const KINDS: &str = "tollgate_kinds";
/// The view there of the function that makes tokens, and that of a token, which tells one key from another.
pub(super) const MAKER: &str = "tollgate_maker";
pub(super) const MARK: &str = "tollgate_mark";
/// On MySQL the function there that such views have it from: what a view reads of the server's own descriptions is there
/// what whoever asks may see, what a function reads is what its owner may.
pub(super) const CATALOGUE: &str = "tollgate_catalogue";
/// The view there of what is around tables, for changes.
pub(super) const GROUND: &str = "tollgate_ground";
/// The table there in which a change leaves a note until it is known to be final.
pub(super) const LEDGER: &str = "tollgate_ledger";
/// Names that no table may have.
pub(super) const RESERVED: [&str; 8] = [PLAN, NOW, MADE, KINDS, MAKER, MARK, GROUND, LEDGER];

/// Parts of the catalogue that a check rests on: what of which rows, where. Each is a question of its own about one
/// database: asked about two, or as one with others, the server looks through all there are, or puts what it finds on disk
/// before it counts.
const TABLES: &str = "CONCAT_WS('/', TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '')) AS one \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = ";
const COLUMNS: &str = "CONCAT_WS('/', TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY, \
    EXTRA, COALESCE(COLLATION_NAME, '')) AS one FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ";
const VIEWS: &str = "CONCAT_WS('/', TABLE_NAME, VIEW_DEFINITION, SECURITY_TYPE, DEFINER) AS one \
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ";

/// A server keeps by the second since when a table is as it is: what was made longer ago than this many seconds has another
/// time than whatever is made next.
const SETTLED: u32 = 2;

/// How the account may sign in, and whether it is locked: MariaDB tells everybody of themselves.
const ACCOUNT: &str = "SHOW CREATE USER";

/// What the account may do.
const GRANTS: &str = "SHOW GRANTS";

/// A column of a table, as the account of the masking views sees it now.
pub(super) const COLUMN: &str = "CONCAT_WS('/', table_name, at, column_name, column_type, extra) AS one";

/// The databases that the account may see: those on which it has any right, whoever that was given to.
const DATABASES: &str = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME";

/// One row of what is asked, as texts.
pub(super) type Texts = Vec<Option<String>>;

/// A value of a row that is there.
pub(super) fn text(row: &Texts, at: usize) -> String {
    row.get(at).cloned().flatten().unwrap_or_default()
}

/// What one of our own questions gives, every value as a text; `bound` are its parameters.
///
/// # Errors
/// What the server says.
pub(super) async fn texts(
    conn: &mut MySqlConnection,
    question: String,
    bound: &[&str],
) -> Result<Vec<Texts>, sqlx::Error> {
    let mut query = sqlx::query(sqlx::AssertSqlSafe(question));
    for value in bound {
        query = query.bind(*value);
    }
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(row).collect()
}

/// A row, every value as a text.
///
/// # Errors
/// What the driver says.
pub(super) fn row(row: &MySqlRow) -> Result<Texts, sqlx::Error> {
    let cell = |at: usize| -> Result<Option<String>, sqlx::Error> {
        let raw = row.try_get_raw(at)?;
        let found = <&[u8] as Decode<MySql>>::decode(raw).ok(); // fails for NULL alone
        Ok(found.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    (0..row.len()).map(cell).collect()
}

/// Tells the server who asks, and asks what it has: the version of the catalogue.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn ask(link: &mut Link, spec: &Spec, user: &str) -> Result<String, Refusal> {
    tell(link, spec, user).await?;
    version(link, spec).await
}

/// Tells the server who asks.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn tell(link: &mut Link, spec: &Spec, user: &str) -> Result<(), Refusal> {
    if let Some(variable) = &spec.session {
        // A plain name, as the configuration has made sure.
        let set = format!("SET @{} = ?", quoted(variable));
        let set = sqlx::query(sqlx::AssertSqlSafe(set)).bind(user);
        let set = set.execute(link.conn()?).await;
        set.map_err(|error| refusals::away(&error))?;
    }
    Ok(())
}

/// A digest of all that a check rests on, asked in one text: the server answers each of its questions in turn.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn version(link: &mut Link, spec: &Spec) -> Result<String, Refusal> {
    let mut questions: Vec<String> = parts(spec).iter().map(|part| digest(part)).collect();
    if spec.behind_views() && tokens::wanted(spec) {
        // Another function may give this one token as ours does.
        questions.push(format!("SELECT SHA2(made, 256) FROM {}", ours(spec, MAKER)));
        questions.push(format!("SELECT token FROM {}", ours(spec, MARK)));
    }
    let seen = asked(link, spec, questions).await;
    let seen = seen.map_err(|error| refusals::away(&error))?;
    Ok(Hash::of(format!("{seen:?}\n{}", spec.laid_over()).as_bytes()).hex())
}

/// What a known catalogue looks like at a glance: the account's rights, the plan of the masking views, and of each table since
/// when it is as it is, which a server keeps by the second. So this tells a catalogue from nearly every other, and a
/// statement that was checked after a glance is asked for once more when it has run. None where there are no such words, or
/// where something was made so short a while ago that the next thing could bear the same time.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn glance(link: &mut Link, spec: &Spec, known: &Loaded) -> Result<Option<Hash>, Refusal> {
    if !spec.behind_views() || !is_mariadb(link.version()) || !known.hidden {
        return Ok(None);
    }
    let mut questions = vec![digest(&planned(spec))];
    if known.catalog.relations.values().any(|relation| relation.view) {
        questions.push(digest(&made(spec)));
    }
    let kinds = format!(
        "CONCAT_WS('/', table_name, kind, since) AS one, since FROM {}",
        ours(spec, KINDS)
    );
    let unsettled = format!("COALESCE(MAX(since) > NOW() - INTERVAL {SETTLED} SECOND, FALSE)");
    questions.push(digest_and(&kinds, &unsettled)); // last
    let seen = match asked(link, spec, questions).await {
        Ok(seen) => seen,
        Err(sqlx::Error::Database(_)) => return Ok(None), // an earlier version made the views
        Err(error) => return Err(refusals::away(&error)),
    };
    let settled = seen.last().is_some_and(|last| text(last, DIGEST) == "0");
    Ok(settled.then(|| Hash::of(format!("{seen:?}").as_bytes())))
}

/// In the place of what is not there.
fn missing() -> Texts {
    vec![None]
}

/// What these questions give, after those about the account.
///
/// # Errors
/// What the server says.
async fn asked(link: &mut Link, spec: &Spec, of_databases: Vec<String>) -> Result<Vec<Texts>, sqlx::Error> {
    let mut questions = vec![GRANTS.to_owned(), DATABASES.to_owned()];
    if is_mariadb(link.version()) {
        questions.push(ACCOUNT.to_owned());
    }
    questions.extend(of_databases);
    let question = questions.join("; ");
    let mut all: Vec<Texts> = Vec::new();
    let conn = link.conn().map_err(|_| sqlx::Error::PoolClosed)?;
    let mut rows = sqlx::raw_sql(sqlx::AssertSqlSafe(question)).fetch(conn);
    loop {
        match rows.try_next().await {
            Ok(Some(found)) => all.push(row(&found)?),
            Ok(None) => break,
            // Of those about views, which nobody has made yet: what stands before them is seen.
            Err(error) if spec.behind_views() && refusals::is_missing(&error) => {
                all.push(missing());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Of what there has to be a digest. Behind views the account sees no table, so that their names are enough; what columns
/// a masking view has follows from how it is made and from what its table is now.
fn parts(spec: &Spec) -> Vec<String> {
    let (database, views) = (literal(&spec.database()), literal(&spec.views));
    let tables = format!("{TABLES}{database}");
    match spec.behind_views() {
        true => vec![
            tables,
            format!("{VIEWS}{views}"),
            planned(spec),
            format!("{COLUMN} FROM {}", ours(spec, NOW)),
            made(spec),
        ],
        false => vec![
            tables,
            format!("{COLUMNS}{database}"),
            format!("{VIEWS}{database}"),
        ],
    }
}

/// The full name of what is ours in the database of the views.
pub(super) fn ours(spec: &Spec, name: &str) -> String {
    format!("{}.{}", quoted(&spec.views), quoted(name))
}

/// The plan of the masking views.
fn planned(spec: &Spec) -> String {
    format!(
        "CONCAT_WS('/', relation, plan, made) AS one FROM {}",
        ours(spec, PLAN)
    )
}

/// How the database's own views are made.
fn made(spec: &Spec) -> String {
    format!(
        "CONCAT_WS('/', table_name, digest) AS one FROM {}",
        ours(spec, MADE)
    )
}

/// How many rows of a part there are, and a sum of what they are. MySQL has no MD5 of its own any more (9.6).
fn digest(part: &str) -> String {
    digest_and(part, "NULL")
}

/// So many columns has a digest; what else is asked of the same rows stands behind them.
const DIGEST: usize = 3;

fn digest_and(part: &str, more: &str) -> String {
    let half =
        |side| format!("CAST(SUM(CAST(CONV({side}(SHA2(one, 256), 15), 16, 10) AS UNSIGNED)) AS CHAR)");
    format!(
        "SELECT COUNT(*), {}, {}, {more} FROM (SELECT {part}) AS part",
        half("LEFT"),
        half("RIGHT")
    )
}

/// Whether the server says that the account is locked, so that nobody may sign in with it: what has signed in before stays
/// for as long as it likes. Of MySQL, where connections are not used again, it is not asked.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn locked(link: &mut Link) -> Result<bool, Refusal> {
    if !is_mariadb(link.version()) {
        return Ok(false);
    }
    let found = texts(link.conn()?, ACCOUNT.to_owned(), &[]).await;
    let found = found.map_err(|error| refusals::away(&error))?;
    Ok(found.iter().any(|row| text(row, 0).contains(" ACCOUNT LOCK")))
}

/// What the account may do, in the server's own words: also by what is granted to everybody (`PUBLIC`), which the
/// server leaves out where it is asked for an account by name.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn grants(conn: &mut MySqlConnection) -> Result<Vec<Texts>, Refusal> {
    let found = texts(conn, GRANTS.to_owned(), &[]).await;
    found.map_err(|error| refusals::away(&error))
}

/// Every database that the account may see.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn databases(conn: &mut MySqlConnection) -> Result<Vec<Texts>, Refusal> {
    let found = texts(conn, DATABASES.to_owned(), &[]).await;
    found.map_err(|error| refusals::away(&error))
}
