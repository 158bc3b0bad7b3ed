//! Rows of what Slack shows and says: messages, linked accounts, what links them, and what came already.

mod cards;

use super::StoreError;
use super::db::{Row, query};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;
pub use cards::CardRow;

/// An account and the person who linked it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `slack_link`")]
pub struct LinkRow {
    pub team: String,
    pub account: String,
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub groups: String,
    pub signed_in_at: u64,
    pub linked_at: u64,
}

/// A code that waits to be typed. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `slack_code`")]
pub struct CodeRow {
    pub code: [u8; 32],
    pub team: String,
    pub account: String,
    pub name: String,
    pub created_at: u64,
    pub expires_at: u64,
}

/// A link that its person confirmed, and its account not yet. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `slack_offer`")]
pub struct OfferRow {
    pub code: [u8; 32],
    pub team: String,
    pub account: String,
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub groups: String,
    pub signed_in_at: u64,
    pub expires_at: u64,
}

macro_rules! links {
    ($rest:expr) => {
        concat!(
            "SELECT team, account, name, issuer, subject, groups, signed_in_at, linked_at FROM slack_link ",
            $rest
        )
    };
}

impl Tx {
    /// Whether this has not come before; from now on it has. What came before `forget` is forgotten.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn first_time(&mut self, what: &[u8; 32], now: u64, forget: u64) -> Result<bool, StoreError> {
        query("DELETE FROM slack_seen WHERE what IN (SELECT what FROM slack_seen WHERE at < ?1 LIMIT 256)")
            .bind(to_i64(forget))
            .execute(&mut self.conn)
            .await?;
        let done = query("INSERT INTO slack_seen (what, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(&what[..])
            .bind(to_i64(now))
            .execute(&mut self.conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps the code that an account was shown, in place of an earlier one; what is over goes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_slack_code(&mut self, row: &CodeRow) -> Result<(), StoreError> {
        query("DELETE FROM slack_code WHERE expires_at <= ?1 OR (team = ?2 AND account = ?3)")
            .bind(to_i64(row.created_at))
            .bind(&row.team)
            .bind(&row.account)
            .execute(&mut self.conn)
            .await?;
        query(
            "INSERT INTO slack_code (code, team, account, name, created_at, expires_at) VALUES (?,?,?,?,?,?)",
        )
        .bind(&row.code[..])
        .bind(&row.team)
        .bind(&row.account)
        .bind(&row.name)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Whose code this is, if it counts at `now`. It stays.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn slack_code(&mut self, code: &[u8; 32], now: u64) -> Result<Option<CodeRow>, StoreError> {
        let row = query(
            "SELECT team, account, name, created_at, expires_at FROM slack_code WHERE code = ?1 AND expires_at > ?2",
        )
        .bind(&code[..])
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        row.map(|row| {
            Ok(CodeRow {
                code: *code,
                team: row.try_get(0)?,
                account: row.try_get(1)?,
                name: row.try_get(2)?,
                created_at: to_u64(row.try_get(3)?),
                expires_at: to_u64(row.try_get(4)?),
            })
        })
        .transpose()
    }

    /// Uses a code up. Gives whether it was there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn spend_slack_code(&mut self, code: &[u8; 32]) -> Result<bool, StoreError> {
        let done = query("DELETE FROM slack_code WHERE code = ?1")
            .bind(&code[..])
            .execute(&mut self.conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Links an account, in place of whom it was linked to.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn link_slack(&mut self, row: &LinkRow) -> Result<(), StoreError> {
        query("DELETE FROM slack_link WHERE team = ?1 AND account = ?2")
            .bind(&row.team)
            .bind(&row.account)
            .execute(&mut self.conn)
            .await?;
        query(
            "INSERT INTO slack_link (team, account, name, issuer, subject, groups, signed_in_at, linked_at) \
             VALUES (?,?,?,?,?,?,?,?)",
        )
        .bind(&row.team)
        .bind(&row.account)
        .bind(&row.name)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.groups)
        .bind(to_i64(row.signed_in_at))
        .bind(to_i64(row.linked_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Whose account this is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn slack_link(&mut self, team: &str, account: &str) -> Result<Option<LinkRow>, StoreError> {
        let row = query(links!("WHERE team = ?1 AND account = ?2"))
            .bind(team)
            .bind(account)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(link).transpose()
    }

    /// The accounts of a person.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn slack_links(&mut self, issuer: &str, subject: &str) -> Result<Vec<LinkRow>, StoreError> {
        let rows = query(links!(
            "WHERE issuer = ?1 AND subject = ?2 ORDER BY team, account"
        ))
        .bind(issuer)
        .bind(subject)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(link).collect()
    }

    /// Takes a link of this person away. Gives whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unlink_slack(
        &mut self,
        (issuer, subject): (&str, &str),
        (team, account): (&str, &str),
    ) -> Result<bool, StoreError> {
        let done =
            query("DELETE FROM slack_link WHERE team = ?1 AND account = ?2 AND issuer = ?3 AND subject = ?4")
                .bind(team)
                .bind(account)
                .bind(issuer)
                .bind(subject)
                .execute(&mut self.conn)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps what waits for the account's own word, in place of an earlier one of it; what is over at `now` goes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_slack_offer(&mut self, row: &OfferRow, now: u64) -> Result<(), StoreError> {
        query("DELETE FROM slack_offer WHERE expires_at <= ?1 OR (team = ?2 AND account = ?3)")
            .bind(to_i64(now))
            .bind(&row.team)
            .bind(&row.account)
            .execute(&mut self.conn)
            .await?;
        query(
            "INSERT INTO slack_offer (code, team, account, name, issuer, subject, groups, signed_in_at, expires_at) \
             VALUES (?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.code[..])
        .bind(&row.team)
        .bind(&row.account)
        .bind(&row.name)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.groups)
        .bind(to_i64(row.signed_in_at))
        .bind(to_i64(row.expires_at))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// Uses up what waits for this account's word, if that is what its button says and it counts at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_slack_offer(
        &mut self,
        code: &[u8; 32],
        (team, account): (&str, &str),
        now: u64,
    ) -> Result<Option<OfferRow>, StoreError> {
        let row = query(
            "DELETE FROM slack_offer WHERE code = ?1 AND team = ?2 AND account = ?3 AND expires_at > ?4 \
             RETURNING name, issuer, subject, groups, signed_in_at, expires_at",
        )
        .bind(&code[..])
        .bind(team)
        .bind(account)
        .bind(to_i64(now))
        .fetch_optional(&mut self.conn)
        .await?;
        row.map(|row| {
            Ok(OfferRow {
                code: *code,
                team: team.to_owned(),
                account: account.to_owned(),
                name: row.try_get(0)?,
                issuer: row.try_get(1)?,
                subject: row.try_get(2)?,
                groups: row.try_get(3)?,
                signed_in_at: to_u64(row.try_get(4)?),
                expires_at: to_u64(row.try_get(5)?),
            })
        })
        .transpose()
    }

    /// Links whose sign-in was within (`after`, `until`], and whose person was not told that they end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn slack_links_to_end(&mut self, after: u64, until: u64) -> Result<Vec<LinkRow>, StoreError> {
        let rows = query(links!(
            "WHERE warned = 0 AND signed_in_at > ?1 AND signed_in_at <= ?2 ORDER BY signed_in_at LIMIT 20"
        ))
        .bind(to_i64(after))
        .bind(to_i64(until))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(link).collect()
    }

    /// Notes that its person is told, or was not; of all processes that share the store one tells. Gives whether that was to
    /// be noted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn warn_slack_link(&mut self, row: &LinkRow, told: bool) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE slack_link SET warned = ?4 WHERE team = ?1 AND account = ?2 AND signed_in_at = ?3 AND warned = ?5",
        )
        .bind(&row.team)
        .bind(&row.account)
        .bind(to_i64(row.signed_in_at))
        .bind(i64::from(told))
        .bind(i64::from(!told))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn link(row: &Row) -> Result<LinkRow, StoreError> {
    Ok(LinkRow {
        team: row.try_get(0)?,
        account: row.try_get(1)?,
        name: row.try_get(2)?,
        issuer: row.try_get(3)?,
        subject: row.try_get(4)?,
        groups: row.try_get(5)?,
        signed_in_at: to_u64(row.try_get(6)?),
        linked_at: to_u64(row.try_get(7)?),
    })
}
