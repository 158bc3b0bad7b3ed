//! What tables and views a database has, as whoever asks may see it, with the configured classes laid over it.

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;

use super::catalog::{Column, Relation};
pub(super) use super::probe::text;
use super::probe::{self, Texts};
use super::{Spec, refusals, tokens};
use crate::call::{Code, Refusal};
use crate::resource::sql::{ColumnsDefault, MaskStyle};

/// The most relations and columns that are kept in memory for a resource.
const RELATIONS: usize = 20_000;
const COLUMNS: usize = 400_000;

/// What nobody listed.
pub(super) const UNLISTED: &str = "unlisted";

/// The indexes that masking views may use: those of nothing but public columns.
///
/// # Errors
/// `target_failed`.
pub(super) async fn indexes(
    conn: &mut MySqlConnection,
    database: &str,
    relations: &mut BTreeMap<String, Relation>,
) -> Result<(), Refusal> {
    // A hint that names one that the server was told to pass over is refused (error 1176).
    let passed_over = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'STATISTICS'
        AND COLUMN_NAME IN ('IGNORED', 'IS_VISIBLE')";
    let known = ask(conn, passed_over, "information_schema").await?;
    let in_use = match known.first().map(|row| text(row, 0)).as_deref() {
        Some("IGNORED") => "AND IGNORED = 'NO'",        // MariaDB since 10.6
        Some("IS_VISIBLE") => "AND IS_VISIBLE = 'YES'", // MySQL since 8.0
        _ => "",
    };
    // A part that is an expression has no column's name, and is of nobody knows what.
    let question = format!(
        "SELECT TABLE_NAME, INDEX_NAME, COALESCE(COLUMN_NAME, '') FROM information_schema.STATISTICS
        WHERE TABLE_SCHEMA = ? {in_use} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX LIMIT 400001"
    );
    let mut parts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let found = ask(conn, &question, database).await?;
    if found.len() > COLUMNS {
        return Err(too_large());
    }
    for row in found {
        let index = parts.entry((text(&row, 0), text(&row, 1))).or_default();
        index.push(text(&row, 2).to_lowercase());
    }
    for ((table, index), columns) in parts {
        let Some(relation) = relations.get_mut(&table) else {
            continue;
        };
        let public = |name: &String| {
            let mut known = relation.columns.iter();
            known.any(|column| column.name.to_lowercase() == *name && column.class.is_none())
        };
        // In the order of its primary key such a table lies, whoever reads it: `doctor db` says so.
        let lies = index == "PRIMARY" && relation.lies_by_key();
        match columns.iter().all(public) {
            true => relation.indexes.push(index),
            false => relation.ordered |= !lies,
        }
    }
    Ok(())
}

/// Every table and view of a database, by its name, no class laid over it yet. What the server cannot describe (a
/// view of a table that is gone) is left out.
///
/// # Errors
/// `target_failed`; `limit_exceeded` for what does not fit in memory.
pub(super) async fn read(
    conn: &mut MySqlConnection,
    database: &str,
) -> Result<BTreeMap<String, Relation>, Refusal> {
    let tables = "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = ? LIMIT 20001";
    let mut relations = BTreeMap::new();
    for row in ask(conn, tables, database).await? {
        let name = text(&row, 0);
        let relation = Relation {
            name: name.clone(),
            view: text(&row, 1) == "VIEW",
            engine: row.get(2).cloned().flatten(),
            made: None,
            indexes: Vec::new(),
            ordered: false,
            columns: Vec::new(),
        };
        relations.insert(name, relation);
    }
    let columns = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE, COLUMN_KEY, EXTRA
        FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION LIMIT 400001";
    let found = ask(conn, columns, database).await?;
    if relations.len() > RELATIONS || found.len() > COLUMNS {
        return Err(too_large());
    }
    for row in found {
        if let Some(relation) = relations.get_mut(&text(&row, 0)) {
            relation.columns.push(column(&row));
        }
    }
    relations.retain(|_, relation| !relation.columns.is_empty());
    let keys = "SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
        FROM information_schema.KEY_COLUMN_USAGE
        WHERE TABLE_SCHEMA = ? AND REFERENCED_TABLE_SCHEMA = TABLE_SCHEMA LIMIT 400001";
    for row in ask(conn, keys, database).await? {
        let relation = relations.get_mut(&text(&row, 0));
        let mut columns = relation.into_iter().flat_map(|relation| &mut relation.columns);
        if let Some(column) = columns.find(|column| column.name == text(&row, 1)) {
            column.references = Some(format!("{}.{}", text(&row, 2), text(&row, 3)));
        }
    }
    Ok(relations)
}

/// Whether names of tables are compared without case.
///
/// # Errors
/// `target_failed`.
pub(super) async fn folded(conn: &mut MySqlConnection) -> Result<bool, Refusal> {
    let asked = "SELECT CAST(@@lower_case_table_names AS CHAR)".to_owned();
    let rows = probe::texts(conn, asked, &[]).await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    Ok(rows.first().is_none_or(|row| text(row, 0) != "0"))
}

async fn ask(conn: &mut MySqlConnection, question: &str, database: &str) -> Result<Vec<Texts>, Refusal> {
    let found = probe::texts(conn, question.to_owned(), &[database]).await;
    found.map_err(|error| refusals::away(&error))
}

fn column(row: &Texts) -> Column {
    let extra = text(row, 6).to_ascii_uppercase();
    Column {
        name: text(row, 1),
        declared_type: text(row, 2),
        data_type: text(row, 3).to_lowercase(),
        not_null: text(row, 4) == "NO",
        primary_key: text(row, 5) == "PRI",
        references: None,
        generated: extra.contains("STORED GENERATED") || extra.contains("VIRTUAL GENERATED"),
        class: None,
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        "The database has more tables and columns than Tollgate keeps in mind.",
        "Tell your operator the call_id.",
    )
    .detail("give the resource a database with fewer tables")
}

/// Lays the configured classes over all of it. What names a column that is not there, or that cannot have the tokens it
/// is to have, is told, for the operator.
///
/// # Errors
/// The first such name.
pub(super) fn classify(
    spec: &Spec,
    folded: bool,
    relations: &mut BTreeMap<String, Relation>,
) -> Result<(), String> {
    let key = |table: &str, column: &str| {
        let table = if folded {
            table.to_lowercase()
        } else {
            table.to_owned()
        };
        (table, column.to_lowercase())
    };
    let mut listed: BTreeMap<(String, String), (&String, bool)> = BTreeMap::new();
    for (written, class) in &spec.columns {
        let (table, column) = written.rsplit_once('.').unwrap_or(("", written));
        if listed.insert(key(table, column), (class, false)).is_some() {
            return Err(format!(
                "`{written}` is listed twice: names are compared without case"
            ));
        }
    }
    for relation in relations.values_mut() {
        let mut made = Vec::new();
        for (at, column) in relation.columns.iter_mut().enumerate() {
            let found = listed.get_mut(&key(&relation.name, &column.name));
            column.class = match found {
                Some((class, seen)) => {
                    *seen = true;
                    of_class(spec, class)
                }
                None if relation.view || spec.columns_default == ColumnsDefault::Mask => {
                    Some((UNLISTED.to_owned(), MaskStyle::Constant))
                }
                None => {
                    made.extend(column.generated.then_some(at));
                    None
                }
            };
        }
        // A generated column may be made of a masked one.
        if relation.columns.iter().any(|column| column.class.is_some()) {
            for at in made {
                if let Some(column) = relation.columns.get_mut(at) {
                    column.class = Some((UNLISTED.to_owned(), MaskStyle::Constant));
                }
            }
        }
    }
    let missing = listed.iter().find(|(_, (_, seen))| !seen);
    match missing {
        None => tokens::enough(relations),
        Some(((table, column), _)) => Err(format!(
            "[resource.columns] lists {table}.{column}, which is not there"
        )),
    }
}

/// A class without a style is one that nobody made: masked.
fn of_class(spec: &Spec, class: &str) -> Option<(String, MaskStyle)> {
    let style = spec.classes.get(class).copied().unwrap_or(MaskStyle::Constant);
    (class != "public").then(|| (class.to_owned(), style))
}
