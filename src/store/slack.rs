//! Rows of what Slack shows and says: messages, linked accounts, codes for linking, and what came already.

use super::StoreError;
use super::db::{Row, query, query_scalar};
use super::journal::{to_i64, to_u64};
use super::rows::Tx;

/// One message that shows a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `slack_card`")]
pub struct CardRow {
    pub approval: String,
    pub channel: String,
    pub ts: Option<String>,
    pub decides: bool,
    pub shown: u64,
}

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

macro_rules! links {
    ($rest:expr) => {
        concat!(
            "SELECT team, account, name, issuer, subject, groups, signed_in_at, linked_at FROM slack_link ",
            $rest
        )
    };
}

impl Tx {
    /// Takes the message of a request in a channel until `until`, to write it: nobody else does meanwhile. `None` when
    /// somebody is at it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lease_card(
        &mut self,
        (approval, channel): (&str, &str),
        (now, until): (u64, u64),
    ) -> Result<Option<CardRow>, StoreError> {
        let row = query(
            "INSERT INTO slack_card (approval, channel, leased_until) VALUES (?1, ?2, ?4) \
             ON CONFLICT (approval, channel) DO UPDATE SET leased_until = ?4 WHERE slack_card.leased_until <= ?3 \
             RETURNING approval, channel, ts, decides, shown",
        )
        .bind(approval)
        .bind(channel)
        .bind(to_i64(now))
        .bind(to_i64(until))
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(card).transpose()
    }

    /// What a message is now, and that nobody is at it any more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_card(&mut self, row: &CardRow) -> Result<(), StoreError> {
        query(
            "UPDATE slack_card SET ts = ?3, decides = ?4, shown = ?5, leased_until = 0 \
             WHERE approval = ?1 AND channel = ?2",
        )
        .bind(&row.approval)
        .bind(&row.channel)
        .bind(&row.ts)
        .bind(row.decides)
        .bind(to_i64(row.shown))
        .execute(&mut self.conn)
        .await?;
        Ok(())
    }

    /// The request that this message shows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn card_at(&mut self, channel: &str, ts: &str) -> Result<Option<CardRow>, StoreError> {
        let row = query(
            "SELECT approval, channel, ts, decides, shown FROM slack_card WHERE channel = ?1 AND ts = ?2",
        )
        .bind(channel)
        .bind(ts)
        .fetch_optional(&mut self.conn)
        .await?;
        row.as_ref().map(card).transpose()
    }

    /// Whether a channel has a message of a request.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_card(&mut self, approval: &str, channel: &str) -> Result<bool, StoreError> {
        let count: i64 = query_scalar(
            "SELECT count(*) FROM slack_card WHERE approval = ?1 AND channel = ?2 AND ts IS NOT NULL",
        )
        .bind(approval)
        .bind(channel)
        .fetch_one(&mut self.conn)
        .await?;
        Ok(count > 0)
    }

    /// Requests that wait for people at `now`, and did so at `since` already, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn waiting_since(&mut self, since: u64, now: u64) -> Result<Vec<String>, StoreError> {
        let rows = query(
            "SELECT id FROM approval WHERE state = 'pending' AND created_at <= ?1 AND decide_by > ?2 \
             ORDER BY created_at LIMIT 256",
        )
        .bind(to_i64(since))
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

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
}

fn card(row: &Row) -> Result<CardRow, StoreError> {
    Ok(CardRow {
        approval: row.try_get(0)?,
        channel: row.try_get(1)?,
        ts: row.try_get(2)?,
        decides: row.try_get(3)?,
        shown: to_u64(row.try_get(4)?),
    })
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
