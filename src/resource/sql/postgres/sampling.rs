//! What nobody listed, and the beginnings of what is in it: read as the role in use, which sees what it is granted, or as
//! an administrator, who sees all, and with whose rights nobody else's program may run.

use std::collections::BTreeMap;

use sqlx::Row;

use super::catalog::{Column, Relation, RelationKind};
use super::link::{Link, quoted};
use super::loader::{self, Loaded, rows};
use super::probe::{self, Moment, Voice};
use super::{Database, refusals};
use crate::call::Refusal;
use crate::resource::sql::unlisted::{CHARACTERS, ROWS, Samples, Unlisted, VALUE};

/// What columns that nobody listed have as their class.
const UNLISTED: &str = "unlisted";

/// Whose eyes look at values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nobody's: names and types alone.
    Away,
    /// Those of the role in use.
    AsRole,
    /// Those of an administrator.
    AsAdministrator,
}

impl Look {
    /// A view is a program of somebody's, and a foreign table another server's: neither runs with an administrator's rights.
    fn reads(self, relation: &Relation) -> bool {
        match self {
            Self::Away => false,
            Self::AsRole => true,
            Self::AsAdministrator => !matches!(relation.kind, RelationKind::View | RelationKind::Foreign),
        }
    }
}

impl Database {
    /// Every column that nobody listed, in order. `look` says whether some rows of each table are read as well.
    ///
    /// # Errors
    /// `target_failed`: no way to the server, or what is listed is not there.
    pub async fn unlisted(&self, look: Look) -> Result<Vec<Unlisted>, Refusal> {
        let mut link = self.pool.reading().await?;
        if look == Look::AsAdministrator {
            // A policy of a table is a program of its owner's: with this off, a table whose policies would run is not read.
            let off = sqlx::raw_sql("SET LOCAL row_security = off").execute(link.conn()?);
            off.await.map_err(|error| refusals::away(&error))?;
        }
        let voice = Voice {
            call: None,
            user: String::new(),
            session: String::new(),
            seconds: self.spec.limits.seconds,
        };
        let moment = probe::ask(&mut link, &self.spec, &voice, &Moment::default()).await?;
        let loaded = loader::load(&mut link, &self.spec, &moment).await?;
        let comments = comments(&mut link, &self.spec.schemas).await?;
        let mut found = Vec::new();
        for relation in loaded.catalog.relations.values().chain(&loaded.unreadable) {
            let columns: Vec<&Column> = relation
                .columns
                .iter()
                .filter(|column| is_unlisted(column))
                .collect();
            let mut samples = match look.reads(relation) {
                true => sampled(&mut link, relation, &columns).await?,
                false => BTreeMap::new(),
            };
            for column in columns {
                found.push(Unlisted {
                    column: name(&loaded, relation, column),
                    declared_type: column.declared_type.clone(),
                    key: column.primary_key || column.references.is_some(),
                    comment: comments.get(&(relation.oid, column.number)).cloned(),
                    samples: samples
                        .remove(&column.number)
                        .map(Samples::of)
                        .unwrap_or_default(),
                });
            }
        }
        link.give_back().await;
        found.sort_by(|one, other| one.column.cmp(&other.column));
        Ok(found)
    }
}

fn is_unlisted(column: &Column) -> bool {
    column.class.as_ref().is_some_and(|(class, _)| class == UNLISTED)
}

/// A table without a grant is not among those that a plain name is looked up in.
fn name(loaded: &Loaded, relation: &Relation, column: &Column) -> String {
    let hidden = loaded.unreadable.iter().any(|one| one.oid == relation.oid);
    let first = loaded.catalog.path.first() == Some(&relation.schema);
    match hidden && first {
        true => format!("{}.{}", relation.name, column.name),
        false => loaded.catalog.shown_column(relation, column),
    }
}

async fn comments(link: &mut Link, schemas: &[String]) -> Result<BTreeMap<(u32, i16), String>, Refusal> {
    let found: Vec<(i64, i32, String)> = rows(
        link,
        "SELECT d.objoid::pg_catalog.int8, d.objsubid, d.description
         FROM pg_catalog.pg_description d JOIN pg_catalog.pg_class c ON c.oid = d.objoid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid > 0 AND n.nspname = ANY($1) LIMIT 400001",
        schemas,
    )
    .await?;
    let place = |(oid, number, text): (i64, i32, String)| {
        Some(((u32::try_from(oid).ok()?, i16::try_from(number).ok()?), text))
    };
    Ok(found.into_iter().filter_map(place).collect())
}

/// Some values of each column that the role may read. What cannot be read is left out, and does not end the rest.
async fn sampled(
    link: &mut Link,
    relation: &Relation,
    columns: &[&Column],
) -> Result<BTreeMap<i16, Vec<String>>, Refusal> {
    let columns: Vec<&&Column> = columns.iter().filter(|column| column.granted).collect();
    if columns.is_empty() {
        return Ok(BTreeMap::new());
    }
    // By the type's own output, which only a superuser can make; a cast to text may be a function of anybody's.
    let value = |column: &&&Column| {
        let name = quoted(&column.name);
        format!(
            "CASE WHEN pg_catalog.pg_column_size({name}) OPERATOR(pg_catalog.<=) {VALUE} \
             THEN pg_catalog.left(pg_catalog.format('%s', {name}), {CHARACTERS}) END"
        )
    };
    let list: Vec<String> = columns.iter().map(value).collect();
    let text = format!(
        "SELECT {} FROM {}.{} LIMIT {ROWS}",
        list.join(", "),
        quoted(&relation.schema),
        quoted(&relation.name)
    );
    let away = |error: sqlx::Error| refusals::away(&error);
    let begun = sqlx::raw_sql("SAVEPOINT tollgate_look")
        .execute(link.conn()?)
        .await;
    begun.map_err(away)?;
    let asked = sqlx::query(sqlx::AssertSqlSafe(text)).persistent(false);
    let read = asked.fetch_all(link.conn()?).await;
    let ended = sqlx::raw_sql("ROLLBACK TO SAVEPOINT tollgate_look")
        .execute(link.conn()?)
        .await;
    ended.map_err(away)?;
    let read = match read {
        Ok(read) => read,
        Err(sqlx::Error::Database(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(away(error)),
    };
    let mut samples: BTreeMap<i16, Vec<String>> = BTreeMap::new();
    for (at, column) in columns.iter().enumerate() {
        let values = read
            .iter()
            .filter_map(|row| row.try_get::<Option<String>, _>(at).ok().flatten());
        samples.insert(column.number, values.collect());
    }
    Ok(samples)
}
