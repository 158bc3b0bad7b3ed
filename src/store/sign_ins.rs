//! Sign-ins under way, the codes they end in, and clients that registered themselves, as rows. Every step of a
//! sign-in is one compare-and-swap, so of two replicas that are asked the same at once, one does it.

use super::StoreError;
use super::db::{Row, query};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

/// A code is remembered this long after its end: a second use of it is a theft noticed (RFC 6749 4.1.2).
const CODE_REMEMBERED: u64 = 3_600_000;
/// A client that registered itself and was not used goes after this long.
const CLIENT_UNUSED: u64 = 24 * 3_600_000;

/// An authorization request under way. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `sign_in`")]
pub struct SignInRow {
    pub hash: [u8; 32],
    pub client_id: String,
    pub client_name: String,
    pub verified: bool,
    pub redirect_uri: Option<String>,
    pub state: Option<String>,
    pub challenge: Option<String>,
    pub resource: String,
    pub scope: String,
    pub device: Option<[u8; 32]>,
    pub created_at: u64,
    pub expires_at: u64,
}

/// What was decided on the consent page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns of the table `sign_in`")]
pub struct Approved {
    pub issuer: String,
    pub nonce: String,
    pub sealed: Vec<u8>,
    pub bound: [u8; 32],
}

/// What a client's code is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `code`")]
pub struct CodeRow {
    pub hash: [u8; 32],
    pub client_id: String,
    pub client_name: String,
    pub verified: bool,
    pub redirect_uri: Option<String>,
    pub challenge: Option<String>,
    pub resource: String,
    pub scope: String,
    pub issuer: String,
    pub subject: String,
    pub claimed: String,
    pub auth_time: Option<u64>,
    pub provider_sid: Option<String>,
    pub sealed: Option<Vec<u8>>,
    pub created_at: u64,
    pub expires_at: u64,
}

/// A client that registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `client`")]
pub struct ClientRow {
    pub id: String,
    pub name: String,
    pub redirect_uris: String,
    pub created_at: u64,
}

macro_rules! columns {
    () => {
        "hash, client_id, client_name, verified, redirect_uri, state, challenge, resource, scope, device, \
         created_at, expires_at"
    };
}

impl Tx {
    /// Begins a sign-in. When there are `most` already, those that end first go, of the larger kind: waiting for a
    /// decision, or decided. So a flood pushes out its own, and one that decides, too, does not push out who is
    /// still reading.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_sign_in(&mut self, row: &SignInRow, most: u32) -> Result<(), StoreError> {
        query(
            "DELETE FROM sign_in WHERE hash IN (SELECT hash FROM sign_in ORDER BY (bound IS NOT NULL) = \
             ((SELECT count(*) FROM sign_in WHERE bound IS NULL) * 2 > (SELECT count(*) FROM sign_in)), expires_at \
             LIMIT (SELECT CASE WHEN count(*) < ?1 THEN 0 ELSE count(*) - ?1 + 1 END FROM sign_in))",
        )
        .bind(most)
        .execute(&mut self.conn)
        .await?;
        query(concat!(
            "INSERT INTO sign_in (",
            columns!(),
            ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
        ))
        .bind(&row.hash[..])
        .bind(&row.client_id)
        .bind(&row.client_name)
        .bind(row.verified)
        .bind(&row.redirect_uri)
        .bind(&row.state)
        .bind(&row.challenge)
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(row.device.as_ref().map(|hash| &hash[..]))
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The sign-in of that hash, while nobody has decided about it and its time is not over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn undecided_sign_in(
        &mut self,
        hash: &[u8; 32],
        now: u64,
    ) -> Result<Option<SignInRow>, StoreError> {
        let row = query(concat!(
            "SELECT ",
            columns!(),
            " FROM sign_in WHERE hash = ?1 AND bound IS NULL AND answered_at IS NULL AND expires_at > ?2"
        ))
        .bind(&hash[..])
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(sign_in).transpose()
    }

    /// Binds a sign-in to the browser that approved it. Gives whether nobody had decided.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn approve_sign_in(
        &mut self,
        hash: &[u8; 32],
        approved: &Approved,
        now: u64,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE sign_in SET issuer = ?2, nonce = ?3, sealed = ?4, bound = ?5 \
             WHERE hash = ?1 AND bound IS NULL AND answered_at IS NULL AND expires_at > ?6",
        )
        .bind(&hash[..])
        .bind(&approved.issuer)
        .bind(&approved.nonce)
        .bind(&approved.sealed)
        .bind(&approved.bound[..])
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a sign-in that was denied. Gives whether nobody had decided.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn deny_sign_in(&mut self, hash: &[u8; 32], now: u64) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE sign_in SET answered_at = ?2 \
             WHERE hash = ?1 AND bound IS NULL AND answered_at IS NULL AND expires_at > ?2",
        )
        .bind(&hash[..])
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes the sign-in a provider's answer belongs to: it is given once, to the browser that approved it, at the
    /// path of the provider it was sent to, in time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_sign_in(
        &mut self,
        hash: &[u8; 32],
        issuer: &str,
        bound: &[u8; 32],
        now: u64,
    ) -> Result<Option<(SignInRow, Approved)>, StoreError> {
        let row = query(concat!(
            "UPDATE sign_in SET answered_at = ?4 \
             WHERE hash = ?1 AND issuer = ?2 AND bound = ?3 AND answered_at IS NULL AND expires_at > ?4 \
             RETURNING issuer, nonce, sealed, bound, ",
            columns!()
        ))
        .bind(&hash[..])
        .bind(issuer)
        .bind(&bound[..])
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        let taken = |row: &Row| {
            let approved = Approved {
                issuer: row.try_get("issuer")?,
                nonce: row.try_get("nonce")?,
                sealed: row.try_get("sealed")?,
                bound: hash_of(row.try_get("bound")?)?,
            };
            Ok((sign_in(row)?, approved))
        };
        row.as_ref().map(taken).transpose()
    }

    /// Keeps what a code is worth.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_code(&mut self, row: &CodeRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO code (hash, client_id, client_name, verified, redirect_uri, challenge, resource, scope, \
             issuer, subject, claimed, auth_time, provider_sid, sealed, created_at, expires_at) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.hash[..])
        .bind(&row.client_id)
        .bind(&row.client_name)
        .bind(row.verified)
        .bind(&row.redirect_uri)
        .bind(&row.challenge)
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.claimed)
        .bind(row.auth_time.map(to_i64))
        .bind(&row.provider_sid)
        .bind(&row.sealed)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Leaves a code for a waiting device. Gives when the device stops waiting; `None` when it does no more, was
    /// denied, or has a code.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leave_for_device(
        &mut self,
        device: &[u8; 32],
        code: &[u8; 32],
        now: u64,
    ) -> Result<Option<u64>, StoreError> {
        let row = query(
            "UPDATE device SET code = ?2 WHERE hash = ?1 AND code IS NULL AND denied = 0 AND expires_at > ?3 \
             RETURNING expires_at",
        )
        .bind(&device[..])
        .bind(&code[..])
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        row.map(|row| Ok(to_u64(row.try_get(0)?))).transpose()
    }

    /// Tells a waiting device that the person said no.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn refuse_device(&mut self, device: &[u8; 32]) -> Result<(), StoreError> {
        query("UPDATE device SET denied = 1 WHERE hash = ?1 AND code IS NULL")
            .bind(&device[..])
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Registers a client. When there are `most`, one that nobody used goes, the oldest first; else the one that was
    /// used the longest ago: programs register anew for every login, so there would never be room again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_client(&mut self, row: &ClientRow, most: u32) -> Result<(), StoreError> {
        query(
            "DELETE FROM client WHERE id IN (SELECT id FROM client \
             ORDER BY used_at IS NOT NULL, coalesce(used_at, created_at) \
             LIMIT (SELECT CASE WHEN count(*) < ?1 THEN 0 ELSE count(*) - ?1 + 1 END FROM client))",
        )
        .bind(most)
        .execute(&mut self.conn)
        .await?;
        query("INSERT INTO client (id, name, redirect_uris, created_at) VALUES (?1, ?2, ?3, ?4)")
            .bind(&row.id)
            .bind(&row.name)
            .bind(&row.redirect_uris)
            .bind(to_i64(row.created_at))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// The client that registered under this id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn registered_client(&mut self, id: &str) -> Result<Option<ClientRow>, StoreError> {
        let row = query("SELECT id, name, redirect_uris, created_at FROM client WHERE id = ?1")
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        let client = |row: Row| {
            Ok(ClientRow {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                redirect_uris: row.try_get(2)?,
                created_at: to_u64(row.try_get(3)?),
            })
        };
        row.map(client).transpose()
    }

    /// Notes that somebody signed in through a registered client. Of another client there is nothing to note.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn client_used(&mut self, id: &str, now: u64) -> Result<(), StoreError> {
        query("UPDATE client SET used_at = ?2 WHERE id = ?1")
            .bind(id)
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// Removes sign-ins whose time is over, codes an hour after theirs, and registered clients that nobody used
    /// within a day.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune_sign_ins(&mut self, now: u64) -> Result<(), StoreError> {
        for (statement, before) in [
            ("DELETE FROM sign_in WHERE expires_at <= ?1", now),
            (
                "DELETE FROM code WHERE expires_at <= ?1",
                now.saturating_sub(CODE_REMEMBERED),
            ),
            (
                "DELETE FROM client WHERE used_at IS NULL AND created_at <= ?1",
                now.saturating_sub(CLIENT_UNUSED),
            ),
        ] {
            query(statement)
                .bind(to_i64(before))
                .execute(&mut self.conn)
                .await?;
        }
        Ok(())
    }
}

fn sign_in(row: &Row) -> Result<SignInRow, StoreError> {
    let device: Option<Vec<u8>> = row.try_get("device")?;
    Ok(SignInRow {
        hash: hash_of(row.try_get("hash")?)?,
        client_id: row.try_get("client_id")?,
        client_name: row.try_get("client_name")?,
        verified: row.try_get("verified")?,
        redirect_uri: row.try_get("redirect_uri")?,
        state: row.try_get("state")?,
        challenge: row.try_get("challenge")?,
        resource: row.try_get("resource")?,
        scope: row.try_get("scope")?,
        device: device.map(hash_of).transpose()?,
        created_at: to_u64(row.try_get("created_at")?),
        expires_at: to_u64(row.try_get("expires_at")?),
    })
}

fn hash_of(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    let wrong = |_| StoreError::Damaged("a hash of a sign-in does not have 32 bytes".to_owned());
    bytes.try_into().map_err(wrong)
}
