//! The whole store as one file, and back: a backup is a SQLite store, whichever engine it is of, so that it can be
//! read, checked and put into either.

use futures::TryStreamExt;

use super::db::{Conn, Query, Row, Value, query, query_scalar};
use super::journal::to_i64;
use super::{Store, StoreError};

/// Every table with its columns, in an order that references allow: `i` an integer, `t` a text, `b` bytes. Not
/// `probe` and `replica`, which say nothing about another moment.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("meta", "key:t value:t"),
    ("head", "one:i size:i last_leaf:b frontier:b"),
    (
        "journal",
        "seq:i leaf:b at:t phase:t call_id:t user:t session:t tool:t resource:t status:t record:b",
    ),
    ("checkpoint", "size:i note:t frontier:b"),
    ("payload", "seq:i blob:t salt:b data:b"),
    ("open_call", "call_id:t seq:i boot:t"),
    (
        "approval",
        "rowid:i id:t state:t request_key:b asked_sha256:b action_sha256:b issuer:t subject:t client_id:t session:t \
         tool:t resource:t unattended:i terms:t sealed:t created_at:i decide_by:i granted_at:i execute_by:i left_at:i \
         settled_at:i call_id:t answered:i escalate_at:i",
    ),
    (
        "approval_decision",
        "approval:t issuer:t subject:t groups:t approves:i at:i method:t wish:t acr:t standing_for:t standing:t on_behalf:t",
    ),
    (
        "approval_callback",
        "approval:t integration:t nonce:b made_at:i spent_at:i",
    ),
    (
        "approval_grant",
        "id:t approval:t issuer:t subject:t client_id:t session:t tool:t resource:t shape_sha256:b terms:t sealed:t \
         uses:i uses_left:i created_at:i ends_at:i ended_at:i ended_how:t ended_by:t",
    ),
    (
        "approval_grant_person",
        "grant_id:t issuer:t subject:t groups:t at:i method:t acr:t standing_for:t standing:t",
    ),
    (
        "approval_delegation",
        "id:t issuer:t subject:t to_issuer:t to_subject:t group_name:t starts_at:i ends_at:i created_at:i ended_at:i \
         ended_by:t",
    ),
    (
        "approval_break_glass",
        "approval:t issuer:t subject:t groups:t reason:t at:i tool:t resource:t action_sha256:b terms:t reviewed_at:i \
         reviewed_by:t reviewed_words:t",
    ),
    (
        "approval_event",
        "seq:i approval:t at:i word:t by:t words:t call_id:t recorded:i method:t",
    ),
    ("approval_channel", "name:t after:i"),
    (
        "approval_delivery",
        "channel:t event:i state:t attempts:i next_at:i error:t",
    ),
    (
        "slack_card",
        "approval:t channel:t ts:t decides:i shown:i leased_until:i attempts:i error:t",
    ),
    (
        "slack_link",
        "team:t account:t name:t issuer:t subject:t groups:t signed_in_at:i linked_at:i warned:i",
    ),
    (
        "slack_code",
        "code:b team:t account:t name:t created_at:i expires_at:i",
    ),
    (
        "slack_offer",
        "code:b team:t account:t name:t issuer:t subject:t groups:t signed_in_at:i expires_at:i",
    ),
    ("slack_seen", "what:b at:i"),
    (
        "session",
        "id:t issuer:t subject:t client_id:t client_name:t verified:i scope:t claimed:t auth_time:i provider_sid:t \
         sealed:b created_at:i used_at:i checked_at:i asking_until:i ends_at:i ended_at:i ended_why:t",
    ),
    ("session_end", "seq:i session:t at:i"),
    (
        "token",
        "hash:b session:t kind:t resource:t scope:t created_at:i expires_at:i generation:i replaced_at:i",
    ),
    (
        "sign_in",
        "hash:b client_id:t client_name:t verified:i redirect_uri:t state:t challenge:t resource:t scope:t device:b \
         issuer:t nonce:t sealed:b bound:b created_at:i expires_at:i answered_at:i",
    ),
    (
        "code",
        "hash:b client_id:t client_name:t verified:i redirect_uri:t challenge:t resource:t scope:t issuer:t subject:t \
         claimed:t auth_time:i provider_sid:t sealed:b created_at:i expires_at:i session:t",
    ),
    (
        "device",
        "hash:b user_code:t client_id:t client_name:t verified:i resource:t scope:t created_at:i expires_at:i \
         polled_at:i pause:i denied:i code:b",
    ),
    (
        "security_key",
        "id:t credential:b issuer:t subject:t handle:b public:b state:b transports:i name:t signed_in_at:i created_at:i \
         used_at:i",
    ),
    (
        "security_challenge",
        "challenge:b issuer:t subject:t about:t kind:t ceremony:b expires_at:i",
    ),
    ("lookup_spent", "issuer:t subject:t since:i spent:i"),
    ("client", "id:t name:t redirect_uris:t created_at:i used_at:i"),
    (
        "api_key",
        "id:t hash:b name:t groups:t tools:t resources:t made_by:t created_at:i expires_at:i used_at:i revoked_at:i \
         revoked_by:t",
    ),
];

/// Columns that number themselves.
const NUMBERED: &[(&str, &str)] = &[
    ("approval", "rowid"),
    ("approval_event", "seq"),
    ("session_end", "seq"),
];
/// Rows in one INSERT.
const GROUP: usize = 64;

/// What is done with what was under way when the backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It is over: what happened after the backup is not known here. Open requests are withdrawn, at this time (Unix
    /// milliseconds), and sessions end, or an approval could be spent twice and an ended session stand again.
    Later {
        /// Now.
        now: u64,
    },
    /// It goes on: the other store was stopped before the backup was made, and is not used any more.
    Moved,
}

impl Store {
    /// Copies everything, as it is in one moment, into a store that is empty.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the other one is not empty; nothing is written then.
    pub async fn copy_into(&self, to: &Self, restored: Restored) -> Result<u64, StoreError> {
        let mut source = self.connect().await?;
        let mut target = to.connect().await?;
        source.run(snapshot(&source)).await?;
        target.run(exclusive(&target)).await?;
        for (table, _) in TABLES.iter().filter(|(table, _)| *table != "head") {
            let held: i64 = query_scalar(format!(
                "SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS one"
            ))
            .fetch_one(&mut target)
            .await?;
            if held > 0 {
                return Err(StoreError::Unusable {
                    path: to.to_string(),
                    what: format!("it is not empty (`{table}`); give a store that was never used"),
                });
            }
        }
        query("DELETE FROM head").execute(&mut target).await?;
        let mut rows = 0;
        for (table, columns) in TABLES {
            rows += copy(&mut source, &mut target, table, columns).await?;
        }
        if !target.is_sqlite() {
            for (table, column) in NUMBERED {
                query(format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), \
                     coalesce((SELECT max({column}) FROM {table}), 0) + 1, false)"
                ))
                .fetch_one(&mut target)
                .await?;
            }
        }
        if let Restored::Later { now } = restored {
            end_what_was_under_way(&mut target, now).await?;
        }
        target
            .run(if target.is_sqlite() {
                "COMMIT"
            } else {
                "SELECT 1; COMMIT"
            })
            .await?;
        source.close().await?;
        target.close().await?;
        Ok(rows)
    }
}

fn snapshot(conn: &Conn) -> &'static str {
    match conn.is_sqlite() {
        true => "BEGIN",
        false => {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
                  SET LOCAL idle_in_transaction_session_timeout = 0"
        }
    }
}

fn exclusive(conn: &Conn) -> &'static str {
    match conn.is_sqlite() {
        true => "BEGIN IMMEDIATE",
        false => {
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; \
                  SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE head IN ACCESS EXCLUSIVE MODE"
        }
    }
}

async fn copy(source: &mut Conn, target: &mut Conn, table: &str, columns: &str) -> Result<u64, StoreError> {
    let columns: Vec<(&str, &str)> = columns.split(' ').filter_map(|one| one.split_once(':')).collect();
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let (names, marks) = (names.join(", "), vec!["?"; columns.len()].join(","));
    let select = query(format!("SELECT {names} FROM {table}"));
    let mut groups = select.stream(source).try_chunks(GROUP);
    let mut copied = 0;
    while let Some(rows) = groups.try_next().await.map_err(|error| error.1)? {
        let values = vec![format!("({marks})"); rows.len()].join(",");
        let mut insert = query(format!("INSERT INTO {table} ({names}) VALUES {values}"));
        for row in &rows {
            insert = bound(insert, row, &columns)?;
        }
        copied += insert.execute(target).await?.rows_affected();
    }
    Ok(copied)
}

fn bound(insert: Query, row: &Row, columns: &[(&str, &str)]) -> Result<Query, StoreError> {
    columns
        .iter()
        .enumerate()
        .try_fold(insert, |insert, (place, (_, kind))| {
            Ok(insert.bind(match *kind {
                "i" => Value::Int(row.try_get(place)?),
                "t" => Value::Text(row.try_get(place)?),
                _ => Value::Bytes(row.try_get(place)?),
            }))
        })
}

async fn end_what_was_under_way(conn: &mut Conn, now: u64) -> Result<(), StoreError> {
    let now = to_i64(now);
    for (statement, value) in [
        (
            "INSERT INTO approval_event (approval, at, word, words) SELECT id, ?, 'cancelled', \
             'the store was restored from a backup' FROM approval WHERE state IN ('pending','granted')",
            now,
        ),
        (
            "UPDATE approval SET state = 'cancelled', settled_at = ?, sealed = NULL WHERE state IN ('pending','granted')",
            now,
        ),
        (
            "UPDATE approval_grant SET ended_at = ?, ended_how = 'void', sealed = NULL WHERE ended_at IS NULL",
            now,
        ),
        (
            "INSERT INTO session_end (session, at) SELECT id, ? FROM session WHERE ended_at IS NULL",
            now,
        ),
        (
            "UPDATE session SET ended_at = ?, ended_why = 'restored', sealed = NULL, asking_until = NULL \
             WHERE ended_at IS NULL",
            now,
        ),
    ] {
        query(statement).bind(value).execute(&mut *conn).await?;
    }
    for table in ["token", "code", "device", "sign_in", "security_challenge"] {
        query(format!("DELETE FROM {table}")).execute(&mut *conn).await?;
    }
    Ok(())
}
