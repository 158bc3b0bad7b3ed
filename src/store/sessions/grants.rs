//! What a session is opened for: a code that a sign-in left, and devices that wait for one.

use super::digest;
use crate::store::StoreError;
use crate::store::db::{Row, query};
use crate::store::journal::{to_i64, to_u64};
use crate::store::rows::Tx;
use crate::store::sign_ins::CodeRow;

/// A device that waits for a person. Times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `device`")]
pub struct DeviceRow {
    pub hash: [u8; 32],
    pub user_code: String,
    pub client_id: String,
    pub client_name: String,
    pub verified: bool,
    pub resource: String,
    pub scope: String,
    pub created_at: u64,
    pub expires_at: u64,
    pub polled_at: Option<u64>,
    pub pause: u64,
    pub denied: bool,
    pub code: Option<[u8; 32]>,
}

macro_rules! devices {
    ($rest:expr) => {
        concat!(
            "SELECT hash, user_code, client_id, client_name, verified, resource, scope, created_at, expires_at, \
             polled_at, pause, denied, code FROM device ",
            $rest
        )
    };
}

impl Tx {
    /// The code of that hash, and the session it was exchanged for.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn code(&mut self, hash: &[u8; 32]) -> Result<Option<(CodeRow, Option<String>)>, StoreError> {
        let row = query(
            "SELECT hash, client_id, client_name, verified, redirect_uri, challenge, resource, scope, issuer, subject, \
             claimed, auth_time, provider_sid, sealed, created_at, expires_at, session FROM code WHERE hash = ?1",
        )
        .bind(&hash[..])
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(code).transpose()
    }

    /// Notes which session a code was exchanged for, once, and erases what was sealed. `false` when it
    /// was exchanged before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn exchange_code(&mut self, hash: &[u8; 32], session: &str) -> Result<bool, StoreError> {
        let done = query("UPDATE code SET session = ?2, sealed = NULL WHERE hash = ?1 AND session IS NULL")
            .bind(&hash[..])
            .bind(session)
            .execute(&mut self.conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a code away that was not exchanged.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn burn_code(&mut self, hash: &[u8; 32]) -> Result<(), StoreError> {
        query("DELETE FROM code WHERE hash = ?1 AND session IS NULL")
            .bind(&hash[..])
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    /// A new device. When there are `most`, those go that end first and for which nobody has signed in: whoever floods
    /// us pushes out their own, and nobody is kept from beginning. `false` when the user code is taken, or somebody
    /// has signed in for all of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_device(&mut self, row: &DeviceRow, most: u32) -> Result<bool, StoreError> {
        query(
            "DELETE FROM device WHERE hash IN (SELECT hash FROM device WHERE code IS NULL ORDER BY expires_at \
             LIMIT (SELECT CASE WHEN count(*) < ?1 THEN 0 ELSE count(*) - ?1 + 1 END FROM device))",
        )
        .bind(most)
        .execute(&mut self.conn)
        .await?;
        let done = query(
            "INSERT INTO device (hash, user_code, client_id, client_name, verified, resource, scope, created_at, \
             expires_at, pause) SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10 \
             WHERE (SELECT count(*) FROM device WHERE expires_at > ?8) < ?11 ON CONFLICT DO NOTHING",
        )
        .bind(&row.hash[..])
        .bind(&row.user_code)
        .bind(&row.client_id)
        .bind(&row.client_name)
        .bind(row.verified)
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .bind(to_i64(row.pause))
        .bind(most)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The device of that device code's hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn device(&mut self, hash: &[u8; 32]) -> Result<Option<DeviceRow>, StoreError> {
        let row = query(devices!("WHERE hash = ?1"))
            .bind(&hash[..])
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(device).transpose()
    }

    /// The device that shows this user code and still waits at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn waiting_device(
        &mut self,
        user_code: &str,
        now: u64,
    ) -> Result<Option<DeviceRow>, StoreError> {
        let row = query(devices!(
            "WHERE user_code = ?1 AND expires_at > ?2 AND denied = 0 AND code IS NULL"
        ))
        .bind(user_code)
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(device).transpose()
    }

    /// Notes that a device asked at `now`, and how long it must pause from here on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn device_polled(&mut self, hash: &[u8; 32], now: u64, pause: u64) -> Result<(), StoreError> {
        query("UPDATE device SET polled_at = ?2, pause = ?3 WHERE hash = ?1")
            .bind(&hash[..])
            .bind(to_i64(now))
            .bind(to_i64(pause))
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }
}

fn code(row: &Row) -> Result<(CodeRow, Option<String>), StoreError> {
    let auth_time: Option<i64> = row.try_get(11)?;
    let code = CodeRow {
        hash: digest(row.try_get(0)?)?,
        client_id: row.try_get(1)?,
        client_name: row.try_get(2)?,
        verified: row.try_get(3)?,
        redirect_uri: row.try_get(4)?,
        challenge: row.try_get(5)?,
        resource: row.try_get(6)?,
        scope: row.try_get(7)?,
        issuer: row.try_get(8)?,
        subject: row.try_get(9)?,
        claimed: row.try_get(10)?,
        auth_time: auth_time.map(to_u64),
        provider_sid: row.try_get(12)?,
        sealed: row.try_get(13)?,
        created_at: to_u64(row.try_get(14)?),
        expires_at: to_u64(row.try_get(15)?),
    };
    Ok((code, row.try_get(16)?))
}

fn device(row: &Row) -> Result<DeviceRow, StoreError> {
    let polled: Option<i64> = row.try_get(9)?;
    let code: Option<Vec<u8>> = row.try_get(12)?;
    Ok(DeviceRow {
        hash: digest(row.try_get(0)?)?,
        user_code: row.try_get(1)?,
        client_id: row.try_get(2)?,
        client_name: row.try_get(3)?,
        verified: row.try_get(4)?,
        resource: row.try_get(5)?,
        scope: row.try_get(6)?,
        created_at: to_u64(row.try_get(7)?),
        expires_at: to_u64(row.try_get(8)?),
        polled_at: polled.map(to_u64),
        pause: to_u64(row.try_get(10)?),
        denied: row.try_get(11)?,
        code: code.map(digest).transpose()?,
    })
}
