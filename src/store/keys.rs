//! The rows of API keys: never a key, only its SHA-256.

use super::StoreError;
use super::db::{Row, query};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

/// The row of one API key. Times are Unix milliseconds; lists are JSON.
#[expect(
    missing_docs,
    reason = "each field is the column of that name: migrations/0003_identity.sql"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub id: String,
    pub hash: [u8; 32],
    pub name: String,
    pub groups: String,
    pub tools: String,
    pub resources: String,
    pub made_by: String,
    pub created_at: u64,
    pub expires_at: u64,
    pub used_at: Option<u64>,
    pub revoked_at: Option<u64>,
    pub revoked_by: Option<String>,
}

macro_rules! keys {
    ($($rest:expr),+) => {
        concat!(
            "SELECT id, hash, name, groups, tools, resources, made_by, created_at, expires_at, used_at, \
             revoked_at, revoked_by FROM api_key ",
            $($rest),+
        )
    };
}

impl Tx {
    /// The key with this hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn key_of_hash(&mut self, hash: &[u8; 32]) -> Result<Option<KeyRow>, StoreError> {
        let row = query(keys!("WHERE hash = ?1"))
            .bind(&hash[..])
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(key).transpose()
    }

    /// The key of that id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn key(&mut self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let row = query(keys!("WHERE id = ?1"))
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(key).transpose()
    }

    /// Keys of a service that work at `now`, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn live_keys(&mut self, name: &str, now: u64) -> Result<Vec<KeyRow>, StoreError> {
        let rows = query(keys!(
            "WHERE name = ?1 AND revoked_at IS NULL AND expires_at > ?2 ORDER BY created_at, id"
        ))
        .bind(name)
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(key).collect()
    }

    /// The newest `limit` keys, by service; those that work at `now` first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keys(&mut self, now: u64, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        let rows = query(keys!(
            "ORDER BY (revoked_at IS NULL AND expires_at > ?1) DESC, created_at DESC, id LIMIT ?2"
        ))
        .bind(to_i64(now))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(key).collect()
    }

    /// A new key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_key(&mut self, row: &KeyRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO api_key (id, hash, name, groups, tools, resources, made_by, created_at, expires_at) \
             VALUES (?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.id)
        .bind(&row.hash[..])
        .bind(&row.name)
        .bind(&row.groups)
        .bind(&row.tools)
        .bind(&row.resources)
        .bind(&row.made_by)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Brings a key's end forward to `at`; never back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn shorten_key(&mut self, id: &str, at: u64) -> Result<(), StoreError> {
        query("UPDATE api_key SET expires_at = ?2 WHERE id = ?1 AND expires_at > ?2")
            .bind(id)
            .bind(to_i64(at))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Takes a key back. Gives whether it had not been before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoke_key(&mut self, id: &str, at: u64, by: &str) -> Result<bool, StoreError> {
        let done =
            query("UPDATE api_key SET revoked_at = ?2, revoked_by = ?3 WHERE id = ?1 AND revoked_at IS NULL")
                .bind(id)
                .bind(to_i64(at))
                .bind(by)
                .execute(&mut self.conn)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes when a key was last used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn key_used(&mut self, id: &str, at: u64) -> Result<(), StoreError> {
        query("UPDATE api_key SET used_at = ?2 WHERE id = ?1 AND (used_at IS NULL OR used_at < ?2)")
            .bind(id)
            .bind(to_i64(at))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }
}

fn key(row: &Row) -> Result<KeyRow, StoreError> {
    let hash: Vec<u8> = row.try_get(1)?;
    let time = |at: usize| row.try_get::<Option<i64>>(at).map(|at| at.map(to_u64));
    Ok(KeyRow {
        id: row.try_get(0)?,
        hash: hash
            .try_into()
            .map_err(|_| StoreError::Damaged("an API key's hash".to_owned()))?,
        name: row.try_get(2)?,
        groups: row.try_get(3)?,
        tools: row.try_get(4)?,
        resources: row.try_get(5)?,
        made_by: row.try_get(6)?,
        created_at: to_u64(row.try_get(7)?),
        expires_at: to_u64(row.try_get(8)?),
        used_at: time(9)?,
        revoked_at: time(10)?,
        revoked_by: row.try_get(11)?,
    })
}
