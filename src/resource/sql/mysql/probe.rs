//! The first thing and the last thing a call asks: what version of the catalogue there is. Tables and views are not
//! versioned with rows in these servers, so what was true before a statement must still be true after it.

use futures::TryStreamExt;
use sqlx::mysql::{MySql, MySqlConnection, MySqlRow};
use sqlx::{Decode, Row};

use super::catalog::Catalog;
use super::link::{Link, is_mariadb, literal, quoted};
use super::{Spec, refusals, tokens};
use crate::call::{Hash, Refusal};

/// The table of the plan that the masking views were made by, in their database.
pub(super) const PLAN: &str = "tollgate_plan";
/// The view there that shows, with the rights of its definer, what columns the tables have now.
pub(super) const NOW: &str = "tollgate_now";
/// The view there of how the database's own views are made now. One of its own, as each of these is, so that the server
/// merges them into what asks: what is put together it would first write down.
pub(super) const MADE: &str = "tollgate_made";
/// The view there of what is a table and what is a view: cheaper to ask than how views are made, where there are none.
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

/// Up to so many masking views are asked for one by one; of more, the server's own table of views costs less.
const ONE_BY_ONE: usize = 8;

/// Parts of the catalogue that a check rests on: what of which rows, where. Each is a question of its own about one
/// database: asked about two, or as one with others, the server looks through all there are, or puts what it finds on disk
/// before it counts.
const TABLES: &str = "CONCAT_WS('/', TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '')) AS one \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = ";
const COLUMNS: &str = "CONCAT_WS('/', TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY, \
    EXTRA, COALESCE(COLLATION_NAME, '')) AS one FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ";
const VIEWS: &str = "CONCAT_WS('/', TABLE_NAME, VIEW_DEFINITION, SECURITY_TYPE, DEFINER) AS one \
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ";

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
    let questions = parts(spec).iter().map(|part| digest(part)).collect();
    let seen = asked(link, spec, questions).await;
    let seen = seen.map_err(|error| refusals::away(&error))?;
    Ok(Hash::of(format!("{seen:?}\n{}", spec.laid_over()).as_bytes()).hex())
}

/// A digest of the same things in less dear words, which says only whether they are still those of a catalogue that is known:
/// its masking views are asked for by name; and where it has no views of the database's own, that there are none. None where
/// there are no such words, or the server cannot answer them: of a view that names an index that is gone it tells nothing.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn short(link: &mut Link, spec: &Spec, known: &Catalog) -> Result<Option<Hash>, Refusal> {
    if !spec.behind_views() || !is_mariadb(link.version()) {
        return Ok(None);
    }
    let mut questions = Vec::new();
    let mut parts = parts(spec);
    let relations = || known.relations.values();
    if relations().all(|relation| !relation.view) {
        parts.retain(|part| !part.ends_with(&ours(spec, MADE)));
        let views = ours(spec, KINDS);
        questions.push(format!(
            "SELECT table_name FROM {views} WHERE kind <> 'BASE TABLE'"
        ));
    }
    if known.relations.len() <= ONE_BY_ONE {
        parts.retain(|part| !part.starts_with(VIEWS));
        let shown = relations().map(|relation| format!("SHOW CREATE VIEW {}", ours(spec, &relation.name)));
        questions.extend(shown);
    }
    questions.extend(parts.iter().map(|part| digest(part)));
    let seen = match asked(link, spec, questions).await {
        Ok(seen) if seen.last() != Some(&missing()) => seen,
        Ok(_) => return Ok(None), // what stands behind that is not seen
        Err(sqlx::Error::Database(_)) => return Ok(None),
        Err(error) => return Err(refusals::away(&error)),
    };
    Ok(Some(Hash::of(format!("{seen:?}").as_bytes())))
}

/// In the place of what is not there.
fn missing() -> Texts {
    vec![None]
}

/// What these questions give, after those about the account's rights, and before the others that are of no database.
///
/// # Errors
/// What the server says.
async fn asked(link: &mut Link, spec: &Spec, of_databases: Vec<String>) -> Result<Vec<Texts>, sqlx::Error> {
    let mut questions = vec![GRANTS.to_owned(), DATABASES.to_owned()];
    questions.extend(of_databases);
    if spec.behind_views() && tokens::wanted(spec) {
        // Another function may give this one token as ours does.
        questions.push(format!("SELECT SHA2(made, 256) FROM {}", ours(spec, MAKER)));
        questions.push(format!("SELECT token FROM {}", ours(spec, MARK)));
    }
    if is_mariadb(link.version()) {
        questions.push(ACCOUNT.to_owned());
    }
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
            format!(
                "CONCAT_WS('/', relation, plan, made) AS one FROM {}",
                ours(spec, PLAN)
            ),
            format!("{COLUMN} FROM {}", ours(spec, NOW)),
            format!(
                "CONCAT_WS('/', table_name, digest) AS one FROM {}",
                ours(spec, MADE)
            ),
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

/// How many rows of a part there are, and a sum of what they are. MySQL has no MD5 of its own any more (9.6).
fn digest(part: &str) -> String {
    let half =
        |side| format!("CAST(SUM(CAST(CONV({side}(SHA2(one, 256), 15), 16, 10) AS UNSIGNED)) AS CHAR)");
    format!(
        "SELECT COUNT(*), {}, {} FROM (SELECT {part}) AS part",
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
