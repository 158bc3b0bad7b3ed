//! What a database and the role in use are, for their operator.

use std::fmt::Write;

use serde::Serialize;
use sqlx::Row;

use super::catalog::{Column, Relation};
use super::link::quoted;
use super::loader::Loaded;
use super::probe::{self, Moment, Voice};
use super::{Database, MaskStyle, loader, refusals};
use crate::call::Refusal;
use crate::resource::sql::address;

/// What was found. Nothing of it is a value of the database.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `host:port/database`.
    pub database: String,
    /// The role that the server knows us by.
    pub role: String,
    /// The server's version.
    pub version: String,
    /// Whether what is said there is encrypted.
    pub encrypted: bool,
    /// What the role can do that it should not.
    pub excess: Vec<String>,
    /// Whether the configuration says that it may.
    pub privileged: bool,
    /// What is listed in the configuration and not there.
    pub misfit: Option<String>,
    /// The relations of the exposed schemas.
    pub tables: Vec<Table>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// `schema.name`.
    pub name: String,
    /// In order.
    pub columns: Vec<TableColumn>,
}

/// One column.
#[derive(Debug, Clone, Serialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its class; `unlisted` if nobody listed it, none if it is public.
    pub class: Option<String>,
    /// Whether Tollgate has to read it: it is public, or its mask shows a part.
    pub needed: bool,
    /// Whether the role may read it.
    pub granted: bool,
}

impl Database {
    /// Looks at the database as a call would, and at the role.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub async fn report(&self) -> Result<Report, Refusal> {
        let mut link = self.pool.reading().await?;
        let voice = Voice {
            call: "doctor".to_owned(),
            user: String::new(),
            seconds: self.spec.limits.seconds,
        };
        let moment = probe::ask(&mut link, &self.spec, &voice, &Moment::default()).await?;
        let loaded = loader::load(&mut link, &self.spec, &moment).await?;
        let facts = sqlx::query(
            "SELECT pg_catalog.current_setting('server_version'),
                COALESCE((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()), false)",
        );
        let row = facts.persistent(false).fetch_one(link.conn()?).await;
        let read = |row: sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let (version, encrypted) = row.and_then(read).map_err(|error| refusals::away(&error))?;
        link.give_back().await;
        Ok(Report {
            database: address::address(&self.spec.url, super::PORT),
            role: address::decoded(self.spec.url.username()),
            version,
            encrypted,
            excess: loaded.findings.clone(),
            privileged: self.spec.privileged,
            misfit: loaded.misfit.clone(),
            tables: tables(&loaded),
        })
    }
}

fn tables(loaded: &Loaded) -> Vec<Table> {
    let column = |column: &Column| TableColumn {
        name: column.name.clone(),
        class: column.class.as_ref().map(|(class, _)| class.clone()),
        needed: match &column.class {
            None => true,
            Some((_, style)) => matches!(style, MaskStyle::Last4 | MaskStyle::Domain),
        },
        granted: column.granted,
    };
    let table = |relation: &Relation| Table {
        name: format!("{}.{}", relation.schema, relation.name),
        columns: relation.columns.iter().map(column).collect(),
    };
    let mut tables: Vec<Table> = loaded
        .catalog
        .relations
        .values()
        .chain(&loaded.unreadable)
        .map(table)
        .collect();
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    tables
}

impl Report {
    /// The statements that give the role what it needs and nothing else, to be run by whoever owns the tables.
    #[must_use]
    pub fn grants(&self) -> String {
        let role = quoted(&self.role);
        let database = self.database.rsplit('/').next().unwrap_or_default();
        let mut text = String::new();
        let _ = write!(
            text,
            "-- Once, as somebody who may make roles:\n\
             -- CREATE ROLE {role} LOGIN PASSWORD '…' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\
             BEGIN;\nGRANT CONNECT ON DATABASE {} TO {role};\n",
            quoted(database)
        );
        let mut schemas: Vec<&str> = self
            .tables
            .iter()
            .filter_map(|table| Some(table.name.split_once('.')?.0))
            .collect();
        schemas.dedup();
        for schema in schemas {
            let _ = writeln!(text, "GRANT USAGE ON SCHEMA {} TO {role};", quoted(schema));
        }
        for table in &self.tables {
            let Some((schema, name)) = table.name.split_once('.') else {
                continue;
            };
            let whole = format!("{}.{}", quoted(schema), quoted(name));
            let needed = table.columns.iter().filter(|column| column.needed);
            let needed: Vec<String> = needed.map(|column| quoted(&column.name)).collect();
            let _ = writeln!(text, "REVOKE ALL ON TABLE {whole} FROM {role};");
            if !needed.is_empty() {
                let _ = writeln!(
                    text,
                    "GRANT SELECT ({}) ON TABLE {whole} TO {role};",
                    needed.join(", ")
                );
            }
        }
        text.push_str("COMMIT;\n");
        text
    }
}
