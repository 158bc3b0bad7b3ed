//! Tokens that the server makes: the masking views do, over a key that only the account they belong to may read, in a
//! database of its own. For values that are looked up there is a function of that account. The key is made in the server and never leaves it: not in a statement,
//! not as a parameter, not in a plan.

use std::collections::BTreeMap;

use super::catalog::{Column, Relation};
use super::link::{Link, literal, quoted};
use super::probe::{self, Texts, text};
use super::{Spec, refusals};
use crate::call::Refusal;
use crate::resource::sql::tokens::{LONGEST, PREFIX, fits};
use crate::resource::sql::{MaskStyle, TokenScope};

/// The account whose rights the views and the function have; and as the server's descriptions spell it.
pub(super) const DEFINER: &str = "'tollgate_views'@'localhost'";
pub(super) const OWNER: &str = "tollgate_views@localhost";
/// The function, in the database of the views.
pub(super) const FUNCTION: &str = "tollgate_token";
/// The table of the key, in the database of the key.
pub(super) const KEY: &str = "tollgate_key";
/// What stands behind the name of the views' database in that of the key's.
const BESIDE: &str = "_key";
/// Longest name of a database, in characters.
const NAME: usize = 64;

/// Whether a column of the resource has tokens.
pub(super) fn wanted(spec: &Spec) -> bool {
    let mut styles = spec.columns.values().filter_map(|class| spec.classes.get(class));
    styles.any(|style| matches!(style, MaskStyle::Token(_)))
}

/// Whether the resource can have the tokens that it asks for.
///
/// # Errors
/// For the operator.
pub(super) fn possible(spec: &Spec) -> Result<(), String> {
    let mut styles = spec.columns.values().filter_map(|class| spec.classes.get(class));
    if styles.any(|style| *style == MaskStyle::Token(TokenScope::Session)) {
        return Err(
            "[masking] tokens = \"session\" is not possible with MySQL and MariaDB, where views make the tokens; write \
             tokens = \"deployment\", or give the classes of this resource another mask"
                .to_owned(),
        );
    }
    if wanted(spec) && key_place(spec).eq_ignore_ascii_case(&spec.database()) {
        return Err(format!(
            "views: the key of tokens would be in {}, where the tables are; name another database in views",
            spec.database()
        ));
    }
    match wanted(spec) && key_place(spec).chars().count() > NAME {
        true => Err(format!(
            "views: {} is too long a name for tokens, whose key is in a database called {}",
            spec.views,
            key_place(spec)
        )),
        false => Ok(()),
    }
}

/// The database with the key: the account of the resource has no right there.
pub(super) fn key_place(spec: &Spec) -> String {
    format!("{}{BESIDE}", spec.views)
}

/// The function's full name.
fn function(place: &str) -> String {
    format!("{}.{}", quoted(place), quoted(FUNCTION))
}

/// SHA-256 over SHA-256, each behind a block of the key's own (NMAC, of which HMAC is the form with one key), over class
/// and value with NUL between them; `k` is the key's row. NULL of NULL.
fn formula(class: &str, value: &str) -> String {
    format!(
        "CONCAT('{PREFIX}', LEFT(SHA2(CONCAT(k.outer_pad, UNHEX(SHA2(CONCAT(k.inner_pad, X'00', {class}, X'00', {value}), \
         256))), 256), 32))"
    )
}

/// A column's token, of the bytes of its text in UTF-8, whatever its character set; none where values of its type have no
/// tokens. Not by the function: each call of one costs more than ten tokens.
pub(super) fn expression(name: &str, class: &str, column: &Column) -> Option<String> {
    if too_few(column) {
        return None;
    }
    let value = match column.data_type.as_str() {
        // Without the zeros that ZEROFILL shows.
        "bigint" => format!("CAST({name} + 0 AS CHAR)"),
        "uuid" => format!("CAST({name} AS CHAR)"),
        _ => format!("CONVERT({name} USING utf8mb4)"),
    };
    Some(format!(
        "CASE WHEN LENGTH({name}) > {LONGEST} THEN '***' ELSE {} END",
        formula(&literal(class), &format!("CAST({value} AS BINARY)"))
    ))
}

/// Whether a view of this has tokens.
pub(super) fn has(relation: &Relation) -> bool {
    let tokened = |column: &Column| matches!(column.class, Some((_, MaskStyle::Token(_))));
    relation.columns.iter().any(tokened)
}

/// What such a view reads beside its table: the one row of the key.
pub(super) fn join(spec: &Spec) -> String {
    format!("\n  JOIN {}.{KEY} AS k ON k.id = 1", quoted(&key_place(spec)))
}

fn too_few(column: &Column) -> bool {
    let declared = column.declared_type.to_ascii_lowercase();
    let bare = declared
        .trim_end_matches(" zerofill")
        .trim_end_matches(" unsigned");
    !(fits(bare) || ["tinytext", "mediumtext", "longtext"].contains(&bare))
}

/// The first column that is to have tokens and has too few values for them.
///
/// # Errors
/// In words for the operator.
pub(super) fn enough(relations: &BTreeMap<String, Relation>) -> Result<(), String> {
    for relation in relations.values() {
        let tokened = |column: &&Column| matches!(column.class, Some((_, MaskStyle::Token(_))));
        let mut columns = relation.columns.iter().filter(tokened);
        if let Some(column) = columns.find(|column| too_few(column)) {
            return Err(format!(
                "{}.{} is to have tokens, but of type {} there are too few values; give its class another mask",
                relation.name, column.name, column.declared_type
            ));
        }
    }
    Ok(())
}

/// The function's body. One statement, so that any client can send it.
fn body(spec: &Spec) -> String {
    format!(
        "RETURN CASE WHEN LENGTH(held) > {LONGEST} THEN '***' ELSE (SELECT {} FROM {}.{KEY} AS k WHERE k.id = 1) END",
        formula("of_class", "held"),
        quoted(&key_place(spec))
    )
}

/// The statements that make the key, once, and the function. `there`: the body of a function of that name, and whose it is.
///
/// # Errors
/// For the operator: a function of that name that is somebody else's.
pub(super) fn statements(spec: &Spec, there: Option<&(String, String)>) -> Result<Vec<String>, String> {
    let (key, function) = (quoted(&key_place(spec)), function(&spec.views));
    if there.is_some_and(|(_, other)| other != OWNER) {
        return Err(format!(
            "{}.{FUNCTION} is somebody else's function: drop it, or name another database in views",
            spec.views
        ));
    }
    let mut all = vec![
        format!("CREATE DATABASE IF NOT EXISTS {key} CHARACTER SET utf8mb4"),
        format!(
            "CREATE TABLE IF NOT EXISTS {key}.{KEY} (id TINYINT NOT NULL PRIMARY KEY, inner_pad BINARY(64) NOT NULL, \
             outer_pad BINARY(64) NOT NULL) ENGINE = InnoDB"
        ),
        format!(
            "INSERT INTO {key}.{KEY} SELECT 1, RANDOM_BYTES(64), RANDOM_BYTES(64) FROM DUAL \
             WHERE NOT EXISTS (SELECT 1 FROM {key}.{KEY})"
        ),
        format!("GRANT SELECT ON {key}.{KEY} TO {DEFINER}"),
    ];
    let body = body(spec);
    if there.is_none_or(|(made, _)| *made != body) {
        all.push(format!("DROP FUNCTION IF EXISTS {function}"));
        all.push(format!(
            "CREATE DEFINER = {DEFINER} FUNCTION {function}(of_class VARBINARY(1000), held LONGBLOB)\n  \
             RETURNS VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin\n  \
             DETERMINISTIC READS SQL DATA SQL SECURITY DEFINER\n  {body}"
        ));
    }
    all.push(grant(spec, DEFINER));
    Ok(all)
}

/// The right to call it: the resource's account needs it for values that are looked up, the views' to see that it works.
pub(super) fn grant(spec: &Spec, account: &str) -> String {
    format!("GRANT EXECUTE ON FUNCTION {} TO {account}", function(&spec.views))
}

/// What takes the function away where no column has tokens any more. The key stays: tokens that were shown stay true.
pub(super) fn unmade(spec: &Spec) -> String {
    format!("DROP FUNCTION IF EXISTS {}", function(&spec.views))
}

/// Whether a line of rights is that to call the function, `FUNCTION db.name` the object.
pub(super) fn is_ours(spec: &Spec, object: &str) -> bool {
    wanted(spec) && object.strip_prefix("FUNCTION ") == Some(&function(&spec.views))
}

/// What shows the function, whoever may not see how it is made.
pub(super) fn maker(spec: &Spec) -> String {
    format!(
        "SELECT CONCAT_WS('/', ROUTINE_DEFINITION, SECURITY_TYPE, DEFINER) AS made\n  \
         FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} AND ROUTINE_NAME = {}",
        literal(&spec.views),
        literal(FUNCTION)
    )
}

/// What shows the token of nothing of no class, which another key makes another, and almost any other function.
pub(super) fn mark(spec: &Spec) -> String {
    format!("SELECT {}('', '') AS token", function(&spec.views))
}

/// What is wrong with the function or its key, by what [`maker`] and [`mark`] gave.
///
/// # Errors
/// In words for the operator.
pub(super) fn installed(spec: &Spec, maker: &[Texts], mark: &[Texts]) -> Result<(), String> {
    if !wanted(spec) {
        return Ok(());
    }
    let expected = format!("{}/DEFINER/{OWNER}", body(spec));
    let found = |rows: &[Texts]| rows.first().map(|row| text(row, 0));
    if found(maker).is_none_or(|made| made != expected) {
        return Err(format!(
            "the function {}.{FUNCTION} is not the one of this version",
            spec.views
        ));
    }
    match found(mark).is_some_and(|token| token.starts_with(PREFIX)) {
        true => Ok(()),
        false => Err(format!("there is no key in {}", key_place(spec))),
    }
}

/// The token of a value, made by the server in the link's transaction. A value never stands in a statement's text.
///
/// # Errors
/// What the server says.
pub(super) async fn made(link: &mut Link, spec: &Spec, class: &str, value: &str) -> Result<String, Refusal> {
    let question = format!("SELECT {}(?, ?)", function(&spec.views));
    let rows = probe::texts(link.conn()?, question, &[class, value]).await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    let token = rows.first().map(|row| text(row, 0)).unwrap_or_default();
    match token.starts_with(PREFIX) {
        true => Ok(token),
        false => Err(refusals::misfit(
            "the server made no token of a value that is looked up",
        )),
    }
}
