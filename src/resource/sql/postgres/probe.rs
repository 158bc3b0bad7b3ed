//! The first thing a call asks: what version of the catalogue its transaction sees. The same round trip tells
//! the server whose call it is. Only where transactions have ended since the last call is the catalogue itself
//! looked at: merely to plan that question costs the server more than most statements.

use sqlx::Row;

use super::link::{Link, quoted};
use super::{Spec, refusals, tokens};
use crate::call::{CallId, Hash, Invocation, Refusal, hex};
use crate::resource::sql::TokenScope;

/// What a call tells the server of itself, for the length of its transaction.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    /// `[a-z0-9]`, of our making, and the journal's: stands in the server's log. None for an operator's own questions.
    pub(super) call: Option<CallId>,
    /// The person, for row-level security.
    pub(super) user: String,
    /// The session, for tokens.
    pub(super) session: String,
    /// Seconds that one statement may take.
    pub(super) seconds: u64,
}

impl Voice {
    /// Of a call whose statements may take so many seconds.
    pub(super) fn of(invocation: &Invocation, seconds: u64) -> Self {
        Self {
            call: Some(invocation.call_id.clone()),
            user: invocation.user.clone(),
            session: invocation.session.clone(),
            seconds,
        }
    }
}

/// A moment of the server, and what the catalogue was then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which transactions can be seen: the same text means the same catalogue. Empty where that is not so.
    snapshot: String,
    /// A digest of all that a check rests on.
    pub(super) version: String,
}

/// Everything that a check rests on, in one line: whatever was created, altered, renamed, dropped, granted or
/// revoked has rows of a new transaction. What an ordinary database has is looked at as a whole, except for
/// columns, of which there are many: those of the exposed schemas, and of our own, where the key of tokens lies.
///
/// `$1` is the list of these schemas.
const DIGEST: &str = "
WITH
  spaces AS MATERIALIZED (
    SELECT n.oid, n.xmin, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1) OR n.nspname = 'tollgate'),
  relations AS MATERIALIZED (
    SELECT c.oid, c.xmin, c.relnamespace FROM pg_catalog.pg_class c
    WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't'),
  marks (part, at, of) AS (
    SELECT 1, oid::pg_catalog.int8, xmin::pg_catalog.text || nspname FROM spaces
    UNION ALL SELECT 2, oid::pg_catalog.int8, xmin::pg_catalog.text FROM relations
    UNION ALL SELECT 3, a.attrelid::pg_catalog.int8 * 2000 + a.attnum, a.xmin::pg_catalog.text
      FROM pg_catalog.pg_attribute a JOIN relations r ON r.oid = a.attrelid
      WHERE a.attnum > 0 AND r.relnamespace IN (SELECT oid FROM spaces)
    UNION ALL SELECT 4, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT 5, inhrelid::pg_catalog.int8, xmin::pg_catalog.text || '.' || inhparent::pg_catalog.text
      FROM pg_catalog.pg_inherits
    UNION ALL SELECT 6, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 7, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_policy
    UNION ALL SELECT 8, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_proc WHERE oid >= 16384
    UNION ALL SELECT 9, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_type
      WHERE oid >= 16384 AND typtype <> 'c' AND typcategory <> 'A'
    UNION ALL SELECT 10, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_operator WHERE oid >= 16384
    UNION ALL SELECT 11, oid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_cast WHERE oid >= 16384
    UNION ALL SELECT 12, roleid::pg_catalog.int8, xmin::pg_catalog.text || '.' || member::pg_catalog.text
      FROM pg_catalog.pg_auth_members
    UNION ALL SELECT 13, oid::pg_catalog.int8,
      pg_catalog.concat_ws('.', rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit)
      FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER
    UNION ALL SELECT 14, indexrelid::pg_catalog.int8, xmin::pg_catalog.text FROM pg_catalog.pg_index WHERE indrelid >= 16384)
SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', part, many, total), '/' ORDER BY part) FROM (
  SELECT part, pg_catalog.count(*) AS many,
    pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws('/', part, at, of), 0)) AS total
  FROM marks GROUP BY part) AS parts";

/// Tells the server of the call, and asks what it sees. `known` is what was seen last.
///
/// # Errors
/// What [`refusals::away`] makes of it.
pub(super) async fn ask(
    link: &mut Link,
    spec: &Spec,
    voice: &Voice,
    known: &Moment,
) -> Result<Moment, Refusal> {
    let snapshot = match link.heard() {
        Some(snapshot) => snapshot, // it was told when its transaction began
        None => moment(link, spec, voice).await?,
    };
    if !snapshot.is_empty() && snapshot == known.snapshot {
        return Ok(known.clone());
    }
    let digest = sqlx::query_scalar::<_, Option<String>>(DIGEST)
        .persistent(false)
        .bind(&spec.schemas);
    let digest = digest.fetch_one(link.conn()?).await;
    let digest = digest.map_err(|error| refusals::away(&error))?;
    let version = Hash::of(laid_over(spec, &digest.unwrap_or_default()).as_bytes()).hex();
    Ok(Moment { snapshot, version })
}

/// Says whose call it is, and gives which transactions it sees; nothing on a standby, whose snapshots do not tell.
async fn moment(link: &mut Link, spec: &Spec, voice: &Voice) -> Result<String, Refusal> {
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(hello(spec, voice)))
        .fetch_one(link.conn()?)
        .await;
    let snapshot = row.and_then(|row| row.try_get(0));
    snapshot.map_err(|error| refusals::away(&error))
}

/// What says it.
///
/// With parameters it would take two round trips, so its values stand in it: as hexadecimal digits, which cannot be
/// anything else.
pub(super) fn hello(spec: &Spec, voice: &Voice) -> String {
    let person = spec.session.as_ref().map(|variable| {
        // Two plain names with a point, as the configuration has made sure.
        setting(&variable.replace('\'', ""), &voice.user.replace('\0', ""))
    });
    // In whose session the tokens are: no secret, and no text of anybody's.
    let session = match tokens::scope(spec) {
        Some(TokenScope::Session) => {
            let session = Hash::of(voice.session.as_bytes()).hex();
            Some(setting("tollgate.session", &session))
        }
        _ => None,
    };
    let milliseconds = voice.seconds.saturating_mul(1000).clamp(1, 2_000_000_000);
    let call = voice.call.as_ref().map_or("", CallId::as_str);
    let settings = [
        Some(setting("application_name", &format!("tollgate{call}"))),
        Some(setting("statement_timeout", &milliseconds.to_string())),
        person,
        session,
    ];
    let settings: String = settings.into_iter().flatten().collect();
    format!(
        "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN '' ELSE pg_catalog.concat_ws('@',
             pg_catalog.pg_current_snapshot(), pg_catalog.pg_postmaster_start_time()) END{settings}"
    )
}

/// One more column, which sets a variable for the length of the transaction.
fn setting(variable: &str, value: &str) -> String {
    let digits = hex(value.as_bytes());
    format!(
        ", pg_catalog.set_config('{variable}', \
         pg_catalog.convert_from(pg_catalog.decode('{digits}', 'hex'), 'UTF8'), true)"
    )
}

/// What is laid over the catalogue belongs to its version: a restart with another configuration is another one.
fn laid_over(spec: &Spec, digest: &str) -> String {
    let schemas: Vec<String> = spec.schemas.iter().map(|schema| quoted(schema)).collect();
    format!(
        "{digest}\n{schemas:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}",
        spec.columns, spec.columns_default, spec.classes, spec.functions, spec.privileged
    )
}
