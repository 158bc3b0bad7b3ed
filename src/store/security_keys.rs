//! The rows of people's security keys, public keys only, and of the challenges they are asked with.

use super::StoreError;
use super::db::{Row, query};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

/// The row of one security key. Times are Unix milliseconds.
#[expect(
    missing_docs,
    reason = "each field is the column of that name: migrations/0004_webauthn.sql"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityKeyRow {
    pub id: String,
    pub credential: Vec<u8>,
    pub issuer: String,
    pub subject: String,
    pub handle: Vec<u8>,
    pub public: Vec<u8>,
    pub state: Vec<u8>,
    pub transports: u8,
    pub name: String,
    pub signed_in_at: u64,
    pub created_at: u64,
    pub used_at: Option<u64>,
}

/// The row of one challenge. Times are Unix milliseconds.
#[expect(
    missing_docs,
    reason = "each field is the column of that name: migrations/0004_webauthn.sql"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeRow {
    pub challenge: [u8; 16],
    pub issuer: String,
    pub subject: String,
    pub about: String,
    pub kind: String,
    pub ceremony: Vec<u8>,
    pub expires_at: u64,
}

macro_rules! columns {
    () => {
        "id, credential, issuer, subject, handle, public, state, transports, name, signed_in_at, created_at, used_at"
    };
}

impl Tx {
    /// The keys of everybody, by person, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn all_security_keys(&mut self) -> Result<Vec<SecurityKeyRow>, StoreError> {
        let rows = query(concat!(
            "SELECT ",
            columns!(),
            " FROM security_key ORDER BY issuer, subject, created_at, id"
        ))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(key).collect()
    }

    /// The keys of a person, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn security_keys(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Vec<SecurityKeyRow>, StoreError> {
        let rows = query(concat!(
            "SELECT ",
            columns!(),
            " FROM security_key WHERE issuer = ?1 AND subject = ?2 ORDER BY created_at, id"
        ))
        .bind(issuer)
        .bind(subject)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(key).collect()
    }

    /// Whether this person has this key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_security_key(
        &mut self,
        issuer: &str,
        subject: &str,
        id: &str,
    ) -> Result<bool, StoreError> {
        let found = query("SELECT 1 FROM security_key WHERE id = ?1 AND issuer = ?2 AND subject = ?3")
            .bind(id)
            .bind(issuer)
            .bind(subject)
            .fetch_optional(&mut self.conn)
            .await?;
        Ok(found.is_some())
    }

    /// A new key; false when there is one of that credential.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_security_key(&mut self, row: &SecurityKeyRow) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO security_key (id, credential, issuer, subject, handle, public, state, transports, name, \
             signed_in_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        )
        .bind(&row.id)
        .bind(&row.credential)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.handle)
        .bind(&row.public)
        .bind(&row.state)
        .bind(u32::from(row.transports))
        .bind(&row.name)
        .bind(to_i64(row.signed_in_at))
        .bind(to_i64(row.created_at))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What a key said of itself when it was used at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn security_key_used(&mut self, id: &str, state: &[u8], now: u64) -> Result<(), StoreError> {
        query("UPDATE security_key SET state = ?2, used_at = ?3 WHERE id = ?1")
            .bind(id)
            .bind(state)
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Removes a key of this person; false when they have none of that id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_security_key(
        &mut self,
        issuer: &str,
        subject: &str,
        id: &str,
    ) -> Result<bool, StoreError> {
        let done = query("DELETE FROM security_key WHERE id = ?1 AND issuer = ?2 AND subject = ?3")
            .bind(id)
            .bind(issuer)
            .bind(subject)
            .execute(&mut self.conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps a challenge made at `now`. What is over goes; so does the oldest of this person when they have `most_each`,
    /// and the oldest of all when there are `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_challenge(
        &mut self,
        row: &ChallengeRow,
        now: u64,
        most_each: u32,
        most: u32,
    ) -> Result<(), StoreError> {
        query("DELETE FROM security_challenge WHERE expires_at <= ?1")
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        query(
            "DELETE FROM security_challenge WHERE challenge IN (SELECT challenge FROM security_challenge \
             WHERE issuer = ?1 AND subject = ?2 ORDER BY expires_at LIMIT (SELECT CASE WHEN count(*) < ?3 THEN 0 \
             ELSE count(*) - ?3 + 1 END FROM security_challenge WHERE issuer = ?1 AND subject = ?2))",
        )
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(most_each)
        .execute(&mut self.conn)
        .await?;
        query(
            "DELETE FROM security_challenge WHERE challenge IN (SELECT challenge FROM security_challenge \
             ORDER BY expires_at LIMIT (SELECT CASE WHEN count(*) < ?1 THEN 0 ELSE count(*) - ?1 + 1 END \
             FROM security_challenge))",
        )
        .bind(most)
        .execute(&mut self.conn)
        .await?;
        query(
            "INSERT INTO security_challenge (challenge, issuer, subject, about, kind, ceremony, expires_at) \
             VALUES (?,?,?,?,?,?,?)",
        )
        .bind(&row.challenge[..])
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.about)
        .bind(&row.kind)
        .bind(&row.ceremony)
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Takes a challenge away: whoever is given it is the only one, whatever other processes share the store.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_challenge(&mut self, challenge: [u8; 16]) -> Result<Option<ChallengeRow>, StoreError> {
        let row = query(
            "DELETE FROM security_challenge WHERE challenge = ?1 \
             RETURNING issuer, subject, about, kind, ceremony, expires_at",
        )
        .bind(&challenge[..])
        .fetch_optional(&mut self.conn)
        .await?;
        row.map(|row| {
            Ok(ChallengeRow {
                challenge,
                issuer: row.try_get("issuer")?,
                subject: row.try_get("subject")?,
                about: row.try_get("about")?,
                kind: row.try_get("kind")?,
                ceremony: row.try_get("ceremony")?,
                expires_at: to_u64(row.try_get("expires_at")?),
            })
        })
        .transpose()
    }
}

fn key(row: &Row) -> Result<SecurityKeyRow, StoreError> {
    Ok(SecurityKeyRow {
        id: row.try_get("id")?,
        credential: row.try_get("credential")?,
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
        handle: row.try_get("handle")?,
        public: row.try_get("public")?,
        state: row.try_get("state")?,
        transports: row.try_get("transports")?,
        name: row.try_get("name")?,
        signed_in_at: to_u64(row.try_get("signed_in_at")?),
        created_at: to_u64(row.try_get("created_at")?),
        used_at: row.try_get::<Option<i64>>("used_at")?.map(to_u64),
    })
}
