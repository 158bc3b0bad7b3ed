//! Sessions and their tokens as rows, and what they are opened for: codes and waiting devices. Every change
//! is a compare-and-swap inside one `BEGIN IMMEDIATE`; several processes may share the file. What a change
//! means is `identity`'s business: here are only rows.

mod grants;

use super::StoreError;
use super::db::{Row, query, query_scalar};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

pub use grants::DeviceRow;

/// One session. Times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `session`")]
pub struct SessionRow {
    pub id: String,
    pub issuer: String,
    pub subject: String,
    pub client_id: String,
    pub client_name: String,
    pub verified: bool,
    pub scope: String,
    pub claimed: String,
    pub auth_time: Option<u64>,
    pub provider_sid: Option<String>,
    pub sealed: Option<Vec<u8>>,
    pub created_at: u64,
    pub used_at: u64,
    pub checked_at: u64,
    pub asking_until: Option<u64>,
    pub ends_at: u64,
    pub ended_at: Option<u64>,
    pub ended_why: Option<String>,
}

/// One token, by the SHA-256 of its text.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `token`")]
pub struct TokenRow {
    pub hash: [u8; 32],
    pub session: String,
    /// A refresh token; else an access token.
    pub refresh: bool,
    pub resource: String,
    pub scope: String,
    pub generation: u64,
    pub created_at: u64,
    pub expires_at: u64,
    pub replaced_at: Option<u64>,
}

/// What a provider's answer changes.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// The claim this answer was got under.
    pub claim: u64,
    /// When the provider was asked.
    pub at: u64,
    /// The groups, if it said them: a JSON list.
    pub claimed: Option<&'a str>,
    /// What to ask with next time.
    pub sealed: &'a [u8],
}

macro_rules! sessions {
    ($rest:expr) => {
        concat!(
            "SELECT id, issuer, subject, client_id, client_name, verified, scope, claimed, auth_time, provider_sid, \
             sealed, created_at, used_at, checked_at, asking_until, ends_at, ended_at, ended_why FROM session ",
            $rest
        )
    };
}

impl Tx {
    /// A new session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_session(&mut self, row: &SessionRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO session (id, issuer, subject, client_id, client_name, verified, scope, claimed, auth_time, \
             provider_sid, sealed, created_at, used_at, checked_at, ends_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.id)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.client_id)
        .bind(&row.client_name)
        .bind(row.verified)
        .bind(&row.scope)
        .bind(&row.claimed)
        .bind(row.auth_time.map(to_i64))
        .bind(&row.provider_sid)
        .bind(&row.sealed)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.used_at))
        .bind(to_i64(row.checked_at))
        .bind(to_i64(row.ends_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The session of that id, ended or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn session(&mut self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        let row = query(sessions!("WHERE id = ?1"))
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(session).transpose()
    }

    /// Open sessions, newest first: those of a person, or everybody's; at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_sessions(
        &mut self,
        person: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let (issuer, subject) = person.unzip();
        let rows = query(sessions!(
            "WHERE ended_at IS NULL AND (?1 IS NULL OR (issuer = ?1 AND subject = ?2)) \
             ORDER BY created_at DESC, id LIMIT ?3"
        ))
        .bind(issuer)
        .bind(subject)
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(session).collect()
    }

    /// Ids of open sessions that belong to a session of the provider.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sessions_of_provider(
        &mut self,
        issuer: &str,
        provider_sid: &str,
    ) -> Result<Vec<String>, StoreError> {
        let found = query_scalar(
            "SELECT id FROM session WHERE issuer = ?1 AND provider_sid = ?2 AND ended_at IS NULL",
        )
        .bind(issuer)
        .bind(provider_sid)
        .fetch_all(&mut self.conn)
        .await?;
        Ok(found)
    }

    /// Ids of open sessions whose time is over at `now`, or that were not used since `used_before`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sessions_over(&mut self, now: u64, used_before: u64) -> Result<Vec<String>, StoreError> {
        let found = query_scalar(
            "SELECT id FROM session WHERE ended_at IS NULL AND (ends_at <= ?1 OR used_at <= ?2) LIMIT 256",
        )
        .bind(to_i64(now))
        .bind(to_i64(used_before))
        .fetch_all(&mut self.conn)
        .await?;
        Ok(found)
    }

    /// Notes that a session was used at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn use_session(&mut self, id: &str, now: u64) -> Result<(), StoreError> {
        query("UPDATE session SET used_at = ?2 WHERE id = ?1 AND ended_at IS NULL AND used_at < ?2")
            .bind(id)
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Takes the right to ask the provider about a session until `until`, unless another process has it at
    /// `now`, has asked since `checked_at`, or the session has ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_session(
        &mut self,
        id: &str,
        checked_at: u64,
        now: u64,
        until: u64,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE session SET asking_until = ?4 WHERE id = ?1 AND checked_at = ?2 AND ended_at IS NULL \
             AND sealed IS NOT NULL AND (asking_until IS NULL OR asking_until <= ?3)",
        )
        .bind(id)
        .bind(to_i64(checked_at))
        .bind(to_i64(now))
        .bind(to_i64(until))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives that right back without an answer.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unclaim_session(&mut self, id: &str, claim: u64) -> Result<(), StoreError> {
        query("UPDATE session SET asking_until = NULL WHERE id = ?1 AND asking_until = ?2")
            .bind(id)
            .bind(to_i64(claim))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// The person is still there: stores what the provider said. `false` when the session has ended, or the
    /// claim is not ours any more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn session_checked(&mut self, id: &str, checked: Checked<'_>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE session SET asking_until = NULL, checked_at = ?3, claimed = coalesce(?4, claimed), sealed = ?5 \
             WHERE id = ?1 AND asking_until = ?2 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(to_i64(checked.claim))
        .bind(to_i64(checked.at))
        .bind(checked.claimed)
        .bind(checked.sealed)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// There is nothing to ask with: the session ends at `ends_at` at the latest.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn session_unchecked(
        &mut self,
        id: &str,
        claim: u64,
        ends_at: u64,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE session SET asking_until = NULL, sealed = NULL, ends_at = CASE WHEN ends_at < ?3 THEN ends_at ELSE ?3 END \
             WHERE id = ?1 AND asking_until = ?2 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(to_i64(claim))
        .bind(to_i64(ends_at))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a session: its tokens are gone, what was sealed is erased, and the end is told to the other
    /// processes. `false` when it has ended before, or there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_session(&mut self, id: &str, now: u64, why: &str) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE session SET ended_at = ?2, ended_why = ?3, sealed = NULL, asking_until = NULL \
             WHERE id = ?1 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(to_i64(now))
        .bind(why)
        .execute(&mut self.conn)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        query("DELETE FROM token WHERE session = ?1")
            .bind(id)
            .execute(&mut self.conn)
            .await?;
        query("INSERT INTO session_end (session, at) VALUES (?1, ?2)")
            .bind(id)
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        Ok(true)
    }

    /// The number of the last end that is still remembered; 0 when there is none. Whatever comes has a higher one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn last_end(&mut self) -> Result<u64, StoreError> {
        let last: i64 = query_scalar("SELECT coalesce(max(seq), 0) FROM session_end")
            .fetch_one(&mut self.conn)
            .await?;
        Ok(to_u64(last))
    }

    /// Ends after that number, in order, at most 512: (number, session).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ends_after(&mut self, seq: u64) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = query("SELECT seq, session FROM session_end WHERE seq > ?1 ORDER BY seq LIMIT 512")
            .bind(to_i64(seq))
            .fetch_all(&mut self.conn)
            .await?;
        let end = |row: &Row| Ok((to_u64(row.try_get(0)?), row.try_get(1)?));
        rows.iter().map(end).collect()
    }

    /// A new token.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_token(&mut self, row: &TokenRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO token (hash, session, kind, resource, scope, created_at, expires_at, generation) \
             VALUES (?,?,?,?,?,?,?,?)",
        )
        .bind(&row.hash[..])
        .bind(&row.session)
        .bind(if row.refresh { "refresh" } else { "access" })
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .bind(to_i64(row.generation))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The token of that hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token(&mut self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let row = query(
            "SELECT hash, session, kind, resource, scope, generation, created_at, expires_at, replaced_at \
             FROM token WHERE hash = ?1",
        )
        .bind(&hash[..])
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(token).transpose()
    }

    /// Takes a token away.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_token(&mut self, hash: &[u8; 32]) -> Result<(), StoreError> {
        query("DELETE FROM token WHERE hash = ?1")
            .bind(&hash[..])
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// The newest generation of a session's refresh tokens, and how many tokens it has.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn newest_generation(&mut self, session: &str) -> Result<(u64, u64), StoreError> {
        let row = query(
            "SELECT generation, count(*) FROM token WHERE session = ?1 AND kind = 'refresh' \
             GROUP BY generation ORDER BY generation DESC LIMIT 1",
        )
        .bind(session)
        .fetch_optional(&mut self.conn)
        .await?;
        let Some(row) = row else { return Ok((0, 0)) };
        Ok((to_u64(row.try_get(0)?), to_u64(row.try_get(1)?)))
    }

    /// Marks a whole generation of refresh tokens as exchanged, and forgets what is more than `keep`
    /// generations older, and all but the newest `access` access tokens.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_generation(
        &mut self,
        session: &str,
        generation: u64,
        now: u64,
        (keep, access): (u64, u32),
    ) -> Result<(), StoreError> {
        query(
            "UPDATE token SET replaced_at = ?3 \
             WHERE session = ?1 AND kind = 'refresh' AND generation = ?2 AND replaced_at IS NULL",
        )
        .bind(session)
        .bind(to_i64(generation))
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        query("DELETE FROM token WHERE session = ?1 AND kind = 'refresh' AND generation < ?2")
            .bind(session)
            .bind(to_i64(generation.saturating_sub(keep)))
            .execute(&mut self.conn)
            .await?;
        query(
            "DELETE FROM token WHERE session = ?1 AND kind = 'access' AND hash NOT IN \
             (SELECT hash FROM token WHERE session = ?1 AND kind = 'access' ORDER BY created_at DESC LIMIT ?2)",
        )
        .bind(session)
        .bind(access)
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Forgets what can be of no use any more: tokens and devices expired at `expired`, and
    /// sessions (with what is left of them) ended before `ended`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune_sessions(&mut self, expired: u64, ended: u64) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM token WHERE expires_at <= ?1",
            "DELETE FROM device WHERE expires_at <= ?1",
        ] {
            query(statement)
                .bind(to_i64(expired))
                .execute(&mut self.conn)
                .await?;
        }
        for statement in [
            "DELETE FROM session WHERE ended_at <= ?1",
            "DELETE FROM session_end WHERE at <= ?1",
        ] {
            query(statement)
                .bind(to_i64(ended))
                .execute(&mut self.conn)
                .await?;
        }
        Ok(())
    }

    /// From here on nothing can be read or written.
    #[cfg(test)]
    pub(crate) async fn break_sessions(&mut self) {
        for table in ["session", "session_end"] {
            let broken = format!("ALTER TABLE {table} RENAME TO {table}_away");
            self.conn.run(broken).await.unwrap();
        }
    }
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    let time = |index| row.try_get::<Option<i64>>(index).map(|time| time.map(to_u64));
    Ok(SessionRow {
        id: row.try_get(0)?,
        issuer: row.try_get(1)?,
        subject: row.try_get(2)?,
        client_id: row.try_get(3)?,
        client_name: row.try_get(4)?,
        verified: row.try_get(5)?,
        scope: row.try_get(6)?,
        claimed: row.try_get(7)?,
        auth_time: time(8)?,
        provider_sid: row.try_get(9)?,
        sealed: row.try_get(10)?,
        created_at: to_u64(row.try_get(11)?),
        used_at: to_u64(row.try_get(12)?),
        checked_at: to_u64(row.try_get(13)?),
        asking_until: time(14)?,
        ends_at: to_u64(row.try_get(15)?),
        ended_at: time(16)?,
        ended_why: row.try_get(17)?,
    })
}

fn token(row: &Row) -> Result<TokenRow, StoreError> {
    let replaced: Option<i64> = row.try_get(8)?;
    Ok(TokenRow {
        hash: digest(row.try_get(0)?)?,
        session: row.try_get(1)?,
        refresh: row.try_get::<String>(2)? == "refresh",
        resource: row.try_get(3)?,
        scope: row.try_get(4)?,
        generation: to_u64(row.try_get(5)?),
        created_at: to_u64(row.try_get(6)?),
        expires_at: to_u64(row.try_get(7)?),
        replaced_at: replaced.map(to_u64),
    })
}

fn digest(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    let digest = <[u8; 32]>::try_from(bytes);
    digest.map_err(|_| StoreError::Damaged("a hash of another length than 32 bytes".to_owned()))
}
