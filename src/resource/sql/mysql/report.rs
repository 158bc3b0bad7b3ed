//! What a database and the account in use are, for their operator.

use serde::Serialize;

use super::admin::pattern;
use super::catalog::{Column, Relation};
use super::ground::Ground;
use super::link::literal;
use super::loader::Loaded;
use super::tables::{UNLISTED, text};
use super::{Database, PORT, loader, probe, refusals, rights, writing};
use crate::call::Refusal;
use crate::resource::sql::address;

/// What was found. Nothing of it is a value of the database.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `host:port/database`.
    pub database: String,
    /// The account that the server knows us by, `name@host`.
    pub account: String,
    /// The server's version.
    pub version: String,
    /// Whether what is said there is encrypted.
    pub encrypted: bool,
    /// Whether statements name masking views; the database they are in.
    pub views: Option<String>,
    /// What the account can do that it should not.
    pub excess: Vec<String>,
    /// Whether the configuration says that it may.
    pub privileged: bool,
    /// Why every call is refused, if views, tables and configuration do not fit one another.
    pub misfit: Option<String>,
    /// What agents see.
    pub tables: Vec<Table>,
    /// The account that makes changes, if there is one.
    pub changes: Option<Changes>,
}

/// An account that makes changes.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// Its name.
    pub account: String,
    /// Tables that it may change something of.
    pub tables: Vec<String>,
    /// Why every change is refused.
    pub problem: Option<String>,
}

/// A table or a view.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Columns that nobody listed, and that are masked therefore.
    pub unlisted: Vec<String>,
    /// Masked columns of its primary key, where rows lie in the order of that: read from the table they show it, which no
    /// view hides.
    pub lies_by: Vec<String>,
}

impl Database {
    /// Looks at the database as a call would, and at the account.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub async fn report(&self) -> Result<Report, Refusal> {
        let mut link = self.pool.reading().await?;
        let version = probe::ask(&mut link, &self.spec, "").await?;
        let loaded = loader::load(&mut link, &self.spec, &version).await?;
        let mut said = Vec::new();
        for question in ["SELECT CURRENT_USER()", "SHOW SESSION STATUS LIKE 'Ssl_cipher'"] {
            let rows = probe::texts(link.conn()?, question.to_owned(), &[]).await;
            said.push(rows.map_err(|error| refusals::away(&error))?);
        }
        let one = |at: usize, column| said.get(at).and_then(|rows| Some(text(rows.first()?, column)));
        let report = Report {
            database: address::address(&self.spec.url, PORT),
            account: one(0, 0).unwrap_or_default(),
            version: link.version().to_owned(),
            encrypted: one(1, 1).is_some_and(|cipher| !cipher.is_empty()),
            views: self.spec.behind_views().then(|| self.spec.views.clone()),
            excess: loaded.findings.clone(),
            privileged: self.spec.privileged,
            misfit: loaded.misfit.clone(),
            tables: tables(&loaded),
            changes: self.changes(&loaded).await,
        };
        link.give_back().await;
        Ok(report)
    }

    /// What the account that makes changes is.
    async fn changes(&self, loaded: &Loaded) -> Option<Changes> {
        let (pool, account) = self.writer().ok()?;
        let asked = async {
            let mut link = writing::changing(pool, &self.spec, "").await?;
            let tables = rights::changeable(&mut link, &self.spec).await;
            let looked = async {
                rights::fit(&mut link, &self.spec, &loaded.catalog).await?;
                Ground::read(&mut link, &self.spec).await.map(drop)
            };
            let looked = looked.await;
            link.give_back().await;
            Ok((tables?, looked))
        };
        let (tables, looked) = match asked.await {
            Ok(found) => found,
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let said = |refusal: Refusal| refusal.detail.unwrap_or(refusal.message);
        Some(Changes {
            account: account.to_owned(),
            tables,
            problem: looked.err().map(said),
        })
    }

    /// The statements that give the account what it needs and nothing else, for an administrator. The server is not
    /// asked: before they are run it does not let the account in.
    #[must_use]
    pub fn grants(&self) -> String {
        let account = literal(&address::decoded(self.spec.url.username()));
        let place = pattern(&self.spec.place());
        let (rights, after) = match self.spec.behind_views() {
            true => (
                "SELECT, SHOW VIEW",
                format!(
                    "-- Then: tollgate db views {} --apply makes what it reads.\n",
                    self.spec.name
                ),
            ),
            false => ("SELECT, SHOW VIEW", String::new()), // so that what views read is known
        };
        format!(
            "-- As an administrator. '%' is any host: name Tollgate's where you can, in every line.\n\
             -- CREATE USER {account}@'%' IDENTIFIED BY '…' REQUIRE SSL;\n\
             REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}@'%';\n\
             GRANT {rights} ON {place}.* TO {account}@'%';\n{after}"
        )
    }
}

fn tables(loaded: &Loaded) -> Vec<Table> {
    let unlisted = |column: &&Column| column.class.as_ref().is_some_and(|(class, _)| class == UNLISTED);
    let named = |relation: &Relation, keep: &dyn Fn(&&Column) -> bool| -> Vec<String> {
        let columns = relation.columns.iter().filter(keep);
        columns.map(|column| column.name.clone()).collect()
    };
    let table = |relation: &Relation| Table {
        name: relation.name.clone(),
        unlisted: named(relation, &unlisted),
        lies_by: named(relation, &|column| {
            relation.lies_by_key() && column.primary_key && column.class.is_some()
        }),
    };
    loaded.catalog.relations.values().map(table).collect()
}
