//! What nobody listed, and the beginnings of what is in it: read as an administrator, because the account of the resource
//! sees masks; or the names and types alone, as that account.

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;

use super::admin::Administrator;
use super::catalog::{Column, Relation};
use super::link::quoted;
use super::probe::{self, NOW, Texts, text};
use super::tables::{self, UNLISTED};
use super::{Database, Spec, refusals};
use crate::call::Refusal;
use crate::resource::sql::ColumnsDefault;
use crate::resource::sql::unlisted::{CHARACTERS, ROWS, Samples, Unlisted, VALUE};

/// Types whose values have no text.
const SHAPES: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];

impl Database {
    /// Every column that nobody listed, in order. With an administrator, `look` reads some rows of each table as well;
    /// without, no value is read.
    ///
    /// # Errors
    /// `target_failed`: no way to the server, or what is listed is not there.
    pub async fn unlisted(
        &self,
        administrator: Option<&Administrator>,
        look: bool,
    ) -> Result<Vec<Unlisted>, Refusal> {
        // As if nothing unlisted were shown: otherwise a column that nobody listed looks like one that is public.
        let mut masked = (*self.spec).clone();
        masked.columns_default = ColumnsDefault::Mask;
        let Some(administrator) = administrator else {
            let mut link = self.pool.reading().await?;
            let found = match self.spec.behind_views() {
                true => described(link.conn()?, &masked).await,
                false => all(link.conn()?, &masked, false).await,
            };
            link.give_back().await;
            return found;
        };
        let mut conn = self.administered(administrator).await?;
        // Whoever made the tables has not made this account write.
        let begin = sqlx::raw_sql("START TRANSACTION READ ONLY").execute(&mut conn);
        begin.await.map_err(|error| refusals::away(&error))?;
        all(&mut conn, &masked, look).await
    }
}

/// What the database says of its columns, and what is in them.
async fn all(conn: &mut MySqlConnection, spec: &Spec, look: bool) -> Result<Vec<Unlisted>, Refusal> {
    let mut relations = tables::read(conn, &spec.database()).await?;
    let folded = tables::folded(conn).await?;
    tables::classify(spec, folded, &mut relations).map_err(|problem| refusals::misfit(&problem))?;
    let question = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_COMMENT FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = ? AND COLUMN_COMMENT <> '' LIMIT 400001";
    let comments = probe::texts(conn, question.to_owned(), &[&spec.database()]).await;
    let comments = comments.map_err(|error| refusals::away(&error))?;
    let comments: BTreeMap<(String, String), String> = comments
        .iter()
        .map(|row| ((text(row, 0), text(row, 1)), text(row, 2)))
        .collect();
    let mut found = Vec::new();
    for relation in relations.values() {
        let columns: Vec<&Column> = unlisted(relation).collect();
        // A view is a program of somebody's, which would run with the administrator's rights.
        let samples = match look && !relation.view {
            true => sampled(conn, spec, relation, &columns).await?,
            false => Vec::new(),
        };
        let mut samples = samples.into_iter();
        for column in columns {
            let place = (relation.name.clone(), column.name.clone());
            found.push(Unlisted {
                comment: comments.get(&place).cloned(),
                samples: samples.next().map(Samples::of).unwrap_or_default(),
                ..one(relation, column)
            });
        }
    }
    Ok(found)
}

/// What the account of the resource can know of columns that it cannot read: the views tell their names and types.
async fn described(conn: &mut MySqlConnection, spec: &Spec) -> Result<Vec<Unlisted>, Refusal> {
    let question = format!(
        "SELECT table_name, column_name, column_type, extra FROM {}.{} WHERE table_name <> '' ORDER BY table_name, at",
        quoted(&spec.views),
        quoted(NOW)
    );
    let missing = "the masking views, which tell what columns there are, are not there or say nothing; \
        run `tollgate db views`, or name an administrator with --as";
    let rows = match probe::texts(conn, question, &[]).await {
        Ok(rows) if rows.is_empty() => return Err(refusals::misfit(missing)),
        Ok(rows) => rows,
        Err(error) if refusals::is_missing(&error) => return Err(refusals::misfit(missing)),
        Err(error) => return Err(refusals::away(&error)),
    };
    let mut relations: BTreeMap<String, Relation> = BTreeMap::new();
    for row in &rows {
        let name = text(row, 0);
        let relation = relations.entry(name.clone()).or_insert_with(|| Relation {
            name,
            view: false,
            engine: None,
            made: None,
            indexes: Vec::new(),
            ordered: false,
            columns: Vec::new(),
        });
        relation.columns.push(column(row));
    }
    let folded = tables::folded(conn).await?;
    tables::classify(spec, folded, &mut relations).map_err(|problem| refusals::misfit(&problem))?;
    let each = |relation: &Relation| -> Vec<Unlisted> {
        unlisted(relation).map(|column| one(relation, column)).collect()
    };
    Ok(relations.values().flat_map(each).collect())
}

/// A column by its line in the view of what there is.
fn column(row: &Texts) -> Column {
    let declared_type = text(row, 2);
    let extra = text(row, 3);
    Column {
        name: text(row, 1),
        data_type: declared_type
            .split(['(', ' '])
            .next()
            .unwrap_or_default()
            .to_lowercase(),
        declared_type,
        not_null: extra.starts_with("NO/"),
        primary_key: extra.split('/').nth(1) == Some("PRI"),
        references: None,
        generated: extra.contains(" GENERATED"),
        class: None,
    }
}

fn unlisted(relation: &Relation) -> impl Iterator<Item = &Column> {
    let nobodys = |column: &&Column| column.class.as_ref().is_some_and(|(class, _)| class == UNLISTED);
    relation.columns.iter().filter(nobodys)
}

fn one(relation: &Relation, column: &Column) -> Unlisted {
    Unlisted {
        column: format!("{}.{}", relation.name, column.name),
        declared_type: column.declared_type.clone(),
        key: column.primary_key || column.references.is_some(),
        comment: None,
        samples: Samples::default(),
    }
}

/// Some values of each column, in their order; nothing where the table cannot be read, which does not end the rest.
async fn sampled(
    conn: &mut MySqlConnection,
    spec: &Spec,
    relation: &Relation,
    columns: &[&Column],
) -> Result<Vec<Vec<String>>, Refusal> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let value = |column: &&Column| {
        let name = quoted(&column.name);
        if SHAPES.contains(&column.data_type.as_str()) {
            return "NULL".to_owned(); // no text
        }
        format!("CASE WHEN LENGTH({name}) <= {VALUE} THEN LEFT(CAST({name} AS CHAR), {CHARACTERS}) END")
    };
    let list: Vec<String> = columns.iter().map(value).collect();
    let text = format!(
        "SELECT {} FROM {}.{} LIMIT {ROWS}",
        list.join(", "),
        quoted(&spec.database()),
        quoted(&relation.name)
    );
    let rows = match probe::texts(conn, text, &[]).await {
        Ok(rows) => rows,
        Err(sqlx::Error::Database(_)) => return Ok(Vec::new()),
        Err(error) => return Err(refusals::away(&error)),
    };
    let of = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at).cloned().flatten())
            .collect()
    };
    Ok((0..columns.len()).map(of).collect())
}
