//! What a database and the role in use are, for their operator.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use sqlx::Row;

use super::catalog::{Column, Relation};
use super::link::{Pool, quoted};
use super::loader::Loaded;
use super::probe::{self, Moment, Voice};
use super::{Database, MaskStyle, Spec, anatomy, loader, refusals, role, tokens, unmade};
use crate::call::Refusal;
use crate::resource::sql::{TokenScope, address};

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
    /// The scope of its tokens, where a column has these.
    pub tokens: Option<TokenScope>,
    /// The relations of the exposed schemas.
    pub tables: Vec<Table>,
    /// What the role may change of them.
    pub changes: Vec<Changeable>,
    /// Who changes schemas, if anybody does.
    pub definer: Option<DefinerReport>,
    /// Masked columns that a table lies in the order of: rows read from it show that order, which nothing hides.
    pub lies_by: BTreeSet<String>,
}

/// The role that changes schemas.
#[derive(Debug, Clone, Serialize)]
pub struct DefinerReport {
    /// Its name.
    pub account: String,
    /// Why it cannot be used, if it cannot.
    pub problem: Option<String>,
    /// What it can do that it should not.
    pub excess: Vec<String>,
    /// `schema.name` of what it owns, and may change.
    pub owns: Vec<String>,
}

/// A table that the role may change in any way.
#[derive(Debug, Clone, Serialize)]
pub struct Changeable {
    /// `schema.name`.
    pub name: String,
    /// Whether the role sees which rows are new, which every change needs.
    pub versions: bool,
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
    /// Whether it is shown as tokens.
    pub token: bool,
    /// Whether Tollgate has to read it: it is public, or its mask is made of it.
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
            call: None,
            user: String::new(),
            session: String::new(),
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
        let changes: Vec<(String, bool)> = loader::rows(&mut link, CHANGEABLE, &self.spec.schemas).await?;
        let lies_by: Vec<(i64, i16)> = loader::rows(&mut link, CLUSTERED, &self.spec.schemas).await?;
        link.give_back().await;
        let definer = match (&self.spec.definer, &self.defining) {
            (Some(definer), Some(pool)) => Some(definer_report(&self.spec, &definer.account, pool).await),
            _ => None,
        };
        Ok(Report {
            definer,
            lies_by: masked(&loaded, &lies_by),
            database: address::address(&self.spec.url, super::PORT),
            role: address::decoded(self.spec.url.username()),
            version,
            encrypted,
            excess: loaded.findings.clone(),
            privileged: self.spec.privileged,
            misfit: loaded.misfit.clone(),
            tokens: tokens::scope(&self.spec),
            tables: tables(&loaded),
            changes: changes
                .into_iter()
                .map(|(name, versions)| Changeable { name, versions })
                .collect(),
        })
    }

    /// The statements that let the role of `ddl` change what these tables (`table` or `schema.table`) are, and make new
    /// ones: it has to own them.
    ///
    /// # Errors
    /// `statement_refused` where no such role is configured; `not_found` for a table that is none; `target_failed` when
    /// there is no way to the server.
    pub async fn ddl_grants(&self, wanted: &[String]) -> Result<String, Refusal> {
        let definer = self.spec.definer.as_ref();
        let definer = definer.ok_or_else(|| unmade::no_definer(&self.spec.name))?;
        let mut link = self.pool.reading().await?;
        let tables: Vec<(i64, String, String)> = loader::rows(&mut link, TABLES, &self.spec.schemas).await?;
        link.give_back().await;
        let (role, reader) = (
            quoted(&definer.account),
            quoted(&address::decoded(self.spec.url.username())),
        );
        let database = address::decoded(self.spec.url.path().trim_start_matches('/'));
        let mut text = format!(
            "-- Once, as somebody who may make roles:\n\
             -- CREATE ROLE {role} LOGIN PASSWORD '…' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\
             BEGIN;\nGRANT CONNECT ON DATABASE {} TO {role};\n",
            quoted(&database)
        );
        for schema in &self.spec.schemas {
            let _ = writeln!(
                text,
                "GRANT USAGE, CREATE ON SCHEMA {} TO {role};",
                quoted(schema)
            );
        }
        text.push_str("-- Who owned them before has what is granted from now on, and nothing else.\n");
        for wanted in wanted {
            let found = tables
                .iter()
                .find(|(_, schema, name)| wanted == name || *wanted == format!("{schema}.{name}"));
            let (_, schema, name) = found.ok_or_else(|| Refusal::not_found(wanted))?;
            let _ = writeln!(
                text,
                "ALTER TABLE {}.{} OWNER TO {role};",
                quoted(schema),
                quoted(name)
            );
        }
        text.push_str(
            "COMMIT;\n-- So that agents see what is made, with every column masked that nobody listed:\n",
        );
        for schema in &self.spec.schemas {
            let _ = writeln!(
                text,
                "-- ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {} GRANT SELECT ON TABLES TO {reader};",
                quoted(schema)
            );
        }
        Ok(text)
    }

    /// The statements that let the role change these tables (`table` or `schema.table`), and see what it did there
    /// and in what follows by keys. To be run after [`Report::grants`], which takes all away first.
    ///
    /// # Errors
    /// `not_found` for a table that is none; `target_failed` when there is no way to the server.
    pub async fn write_grants(&self, write: &[String]) -> Result<String, Refusal> {
        let mut link = self.pool.reading().await?;
        let tables: Vec<(i64, String, String)> = loader::rows(&mut link, TABLES, &self.spec.schemas).await?;
        let mut seeds = BTreeSet::new();
        for wanted in write {
            let found = tables
                .iter()
                .find(|(_, schema, name)| wanted == name || *wanted == format!("{schema}.{name}"));
            let (oid, _, _) = found.ok_or_else(|| Refusal::not_found(wanted))?;
            seeds.insert(u32::try_from(*oid).unwrap_or_default());
        }
        let anatomy = anatomy::read(&mut link, &seeds).await?;
        let sequences: Vec<(i64, String, String)> = loader::rows(&mut link, SEQUENCES, &[]).await?;
        link.give_back().await;
        let role = quoted(&address::decoded(self.spec.url.username()));
        let mut text = String::from("BEGIN;\n");
        for (oid, table) in &anatomy.tables {
            let whole = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
            let _ = writeln!(
                text,
                "GRANT SELECT (ctid, xmin, xmax, tableoid) ON TABLE {whole} TO {role};"
            );
            if !seeds.contains(oid) {
                continue; // changed only by what follows from a key
            }
            let _ = writeln!(text, "GRANT INSERT, UPDATE, DELETE ON TABLE {whole} TO {role};");
            let own = sequences
                .iter()
                .filter(|(of, _, _)| u32::try_from(*of) == Ok(*oid));
            for (_, schema, name) in own {
                let whole = format!("{}.{}", quoted(schema), quoted(name));
                let _ = writeln!(text, "GRANT USAGE ON SEQUENCE {whole} TO {role};");
            }
        }
        text.push_str("COMMIT;\n");
        Ok(text)
    }
}

/// Looks at the role that changes schemas, as itself.
async fn definer_report(spec: &Spec, account: &str, pool: &Arc<Pool>) -> DefinerReport {
    let mut report = DefinerReport {
        account: account.to_owned(),
        problem: None,
        excess: Vec::new(),
        owns: Vec::new(),
    };
    let looked = async {
        let mut link = pool.defining().await?;
        let found = async {
            let excess = role::excess(&mut link).await?;
            let owns: Vec<(String,)> = loader::rows(&mut link, OWNED, &spec.schemas).await?;
            Ok((excess, owns))
        };
        let found = found.await;
        link.give_back().await;
        found
    };
    let looked: Result<_, Refusal> = looked.await;
    match looked {
        Ok((excess, owns)) => {
            report.excess = excess;
            report.owns = owns.into_iter().map(|(name,)| name).collect();
        }
        Err(refusal) => {
            let detail = refusal.detail.unwrap_or_default();
            report.problem = Some(format!("{} {detail}", refusal.message).trim_end().to_owned());
        }
    }
    report
}

const OWNED: &str = "
SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p','v','m') AND c.relpersistence <> 't'
  AND pg_catalog.pg_has_role(CURRENT_USER, c.relowner, 'USAGE')
ORDER BY 1 LIMIT 400001";

const CHANGEABLE: &str = "
SELECT n.nspname || '.' || c.relname,
  pg_catalog.has_column_privilege(c.oid, 'ctid', 'SELECT') AND pg_catalog.has_column_privilege(c.oid, 'xmin', 'SELECT')
    AND pg_catalog.has_column_privilege(c.oid, 'xmax', 'SELECT')
    AND pg_catalog.has_column_privilege(c.oid, 'tableoid', 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p') AND c.relpersistence <> 't'
  AND (pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE') OR pg_catalog.has_table_privilege(c.oid, 'DELETE'))
ORDER BY 1 LIMIT 400001";

/// In the order in which plain names are looked up.
const TABLES: &str = "
SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p') AND c.relpersistence <> 't'
ORDER BY pg_catalog.array_position($1, n.nspname::pg_catalog.text), c.relname LIMIT 400001";

/// Those that fill columns of tables (`serial`); identity columns need no grant.
const SEQUENCES: &str = "
SELECT d.refobjid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a' LIMIT 400001";

/// Columns of the index that a table was last put in the order of (CLUSTER), those of its expressions too.
const CLUSTERED: &str = "
SELECT DISTINCT i.indrelid::pg_catalog.int8, a.attnum
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND (a.attnum = ANY(i.indkey) OR EXISTS (
    SELECT 1 FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
WHERE i.indisclustered AND a.attnum > 0 AND n.nspname = ANY($1) LIMIT 400001";

/// The masked ones of these columns, `table.column`.
fn masked(loaded: &Loaded, columns: &[(i64, i16)]) -> BTreeSet<String> {
    let catalog = &loaded.catalog;
    let of = |oid: u32, number: i16| {
        let relation = catalog.relations.values().find(|relation| relation.oid == oid)?;
        let column = relation.columns.iter().find(|column| column.number == number)?;
        column.class.as_ref()?;
        Some(catalog.shown_column(relation, column))
    };
    let columns = columns.iter();
    columns
        .filter_map(|(oid, number)| of(u32::try_from(*oid).ok()?, *number))
        .collect()
}

fn tables(loaded: &Loaded) -> Vec<Table> {
    let column = |column: &Column| TableColumn {
        name: column.name.clone(),
        class: column.class.as_ref().map(|(class, _)| class.clone()),
        token: matches!(column.class, Some((_, MaskStyle::Token(_)))),
        needed: match &column.class {
            None => true,
            Some((_, style)) => matches!(style, MaskStyle::Last4 | MaskStyle::Domain | MaskStyle::Token(_)),
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
            for column in table.columns.iter().filter(|column| column.token) {
                if self.tokens == Some(TokenScope::Deployment) {
                    let class = column.class.as_deref().unwrap_or_default();
                    text.push_str(&tokens::index(class, &whole, &column.name));
                }
            }
        }
        if let Some(scope) = self.tokens {
            text.push_str(&tokens::script(scope, &self.role));
        }
        text.push_str("COMMIT;\n");
        text
    }
}
