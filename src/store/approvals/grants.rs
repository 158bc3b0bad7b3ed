//! Approvals for a while, as rows. A use is a compare-and-swap in the transaction that spends.

use super::ApprovalRow;
use crate::store::StoreError;
use crate::store::db::{Row, query};
use crate::store::journal::{to_i64, to_u64};
use crate::store::rows::Tx;

/// One grant. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval_grant`")]
pub struct GrantRow {
    pub id: String,
    pub approval: String,
    pub issuer: String,
    pub subject: String,
    pub client_id: String,
    pub session: Option<String>,
    pub tool: String,
    pub resource: Option<String>,
    pub shape_sha256: [u8; 32],
    pub terms: String,
    pub sealed: Option<String>,
    pub uses: u32,
    pub uses_left: u32,
    pub created_at: u64,
    pub ends_at: u64,
    pub ended_at: Option<u64>,
    pub ended_how: Option<String>,
    pub ended_by: Option<String>,
}

/// One of the people who agreed to a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table `approval_grant_person`")]
pub struct PersonRow {
    pub issuer: String,
    pub subject: String,
    pub groups: String,
    pub at: u64,
    pub method: Option<String>,
    pub acr: Option<String>,
    pub standing_for: Option<String>,
    pub standing: Option<String>,
}

macro_rules! grants {
    ($rest:expr) => {
        concat!(
            "SELECT id, approval, issuer, subject, client_id, session, tool, resource, shape_sha256, terms, sealed, \
             uses, uses_left, created_at, ends_at, ended_at, ended_how, ended_by FROM approval_grant ",
            $rest
        )
    };
}

impl Tx {
    /// A new grant, and the people who agreed to it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant(&mut self, row: &GrantRow, people: &[PersonRow]) -> Result<(), StoreError> {
        query(
            "INSERT INTO approval_grant (id, approval, issuer, subject, client_id, session, tool, resource, \
             shape_sha256, terms, sealed, uses, uses_left, created_at, ends_at) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(&row.id)
        .bind(&row.approval)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.client_id)
        .bind(&row.session)
        .bind(&row.tool)
        .bind(&row.resource)
        .bind(&row.shape_sha256[..])
        .bind(&row.terms)
        .bind(&row.sealed)
        .bind(row.uses)
        .bind(row.uses_left)
        .bind(to_i64(row.created_at))
        .bind(to_i64(row.ends_at))
        .execute(&mut self.conn)
        .await?;
        for one in people {
            query(
                "INSERT INTO approval_grant_person (grant_id, issuer, subject, groups, at, method, acr, \
                 standing_for, standing) VALUES (?,?,?,?,?,?,?,?,?)",
            )
            .bind(&row.id)
            .bind(&one.issuer)
            .bind(&one.subject)
            .bind(&one.groups)
            .bind(to_i64(one.at))
            .bind(&one.method)
            .bind(&one.acr)
            .bind(&one.standing_for)
            .bind(&one.standing)
            .execute(&mut self.conn)
            .await?;
        }
        Ok(())
    }

    /// The grant of that id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant_row(&mut self, id: &str) -> Result<Option<GrantRow>, StoreError> {
        let row = query(grants!("WHERE id = ?1"))
            .bind(id)
            .fetch_optional(&mut self.conn)
            .await?;
        row.as_ref().map(grant).transpose()
    }

    /// Grants that stand at `now` for calls of this person through this program with this tool, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grants_for(
        &mut self,
        (issuer, subject): (&str, &str),
        client_id: &str,
        tool: &str,
        now: u64,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let rows = query(grants!(
            "WHERE issuer = ?1 AND subject = ?2 AND client_id = ?3 AND tool = ?4 AND ended_at IS NULL \
             AND uses_left > 0 AND ends_at > ?5 ORDER BY created_at, id LIMIT 256"
        ))
        .bind(issuer)
        .bind(subject)
        .bind(client_id)
        .bind(tool)
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// The newest `limit` grants, those that stand first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn latest_grants(&mut self, limit: u32) -> Result<Vec<GrantRow>, StoreError> {
        let rows = query(grants!(
            "ORDER BY ended_at IS NOT NULL, created_at DESC, id LIMIT ?1"
        ))
        .bind(limit)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// Grants that are not noted as over and are: their time has come, or nothing is left of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grants_over(&mut self, now: u64) -> Result<Vec<GrantRow>, StoreError> {
        let rows = query(grants!(
            "WHERE ended_at IS NULL AND (ends_at <= ?1 OR uses_left = 0) LIMIT 256"
        ))
        .bind(to_i64(now))
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// The people who agreed to a grant, in the order in which they did.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant_people(&mut self, id: &str) -> Result<Vec<PersonRow>, StoreError> {
        let rows = query(
            "SELECT issuer, subject, groups, at, method, acr, standing_for, standing FROM approval_grant_person \
             WHERE grant_id = ?1 ORDER BY at, issuer, subject",
        )
        .bind(id)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PersonRow {
                    issuer: row.try_get(0)?,
                    subject: row.try_get(1)?,
                    groups: row.try_get(2)?,
                    at: to_u64(row.try_get(3)?),
                    method: row.try_get(4)?,
                    acr: row.try_get(5)?,
                    standing_for: row.try_get(6)?,
                    standing: row.try_get(7)?,
                })
            })
            .collect()
    }

    /// Takes one use of a grant that stands at `now`. Gives whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn use_grant(&mut self, id: &str, now: u64) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval_grant SET uses_left = uses_left - 1 \
             WHERE id = ?1 AND uses_left > 0 AND ended_at IS NULL AND ends_at > ?2",
        )
        .bind(id)
        .bind(to_i64(now))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a grant and erases what it showed. Gives whether it stood.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_grant(
        &mut self,
        id: &str,
        now: u64,
        how: &str,
        by: Option<&str>,
    ) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE approval_grant SET ended_at = ?2, ended_how = ?3, ended_by = ?4, sealed = NULL \
             WHERE id = ?1 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(to_i64(now))
        .bind(how)
        .bind(by)
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Grants that stand, of which somebody agreed to them by this delegation.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grants_by_delegation(&mut self, delegation: &str) -> Result<Vec<String>, StoreError> {
        // An id is of [a-z0-9]: nothing of it means something in a pattern, and nothing else is spelt like it.
        let rows = query(
            "SELECT DISTINCT approval_grant.id FROM approval_grant JOIN approval_grant_person ON grant_id = approval_grant.id \
             WHERE ended_at IS NULL AND standing LIKE '%\"' || ?1 || '\"%' LIMIT 4096",
        )
        .bind(delegation)
        .fetch_all(&mut self.conn)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Requests that are granted and not spent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn granted_open(&mut self) -> Result<Vec<ApprovalRow>, StoreError> {
        self.where_state("granted").await
    }

    /// Removes grants that ended before `time`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prune_grants(&mut self, time: u64) -> Result<u64, StoreError> {
        let done = query(
            "DELETE FROM approval_grant WHERE id IN (SELECT id FROM approval_grant WHERE ended_at < ?1 LIMIT 256)",
        )
        .bind(to_i64(time))
        .execute(&mut self.conn)
        .await?;
        Ok(done.rows_affected())
    }
}

fn grant(row: &Row) -> Result<GrantRow, StoreError> {
    let shape: Vec<u8> = row.try_get(8)?;
    Ok(GrantRow {
        id: row.try_get(0)?,
        approval: row.try_get(1)?,
        issuer: row.try_get(2)?,
        subject: row.try_get(3)?,
        client_id: row.try_get(4)?,
        session: row.try_get(5)?,
        tool: row.try_get(6)?,
        resource: row.try_get(7)?,
        shape_sha256: shape
            .try_into()
            .map_err(|_| StoreError::Damaged("a digest of a grant has another length".to_owned()))?,
        terms: row.try_get(9)?,
        sealed: row.try_get(10)?,
        uses: row.try_get(11)?,
        uses_left: row.try_get(12)?,
        created_at: to_u64(row.try_get(13)?),
        ends_at: to_u64(row.try_get(14)?),
        ended_at: row.try_get::<Option<i64>>(15)?.map(to_u64),
        ended_how: row.try_get(16)?,
        ended_by: row.try_get(17)?,
    })
}
