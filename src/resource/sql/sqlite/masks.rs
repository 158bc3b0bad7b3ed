//! Mask styles as SQL. Every expression is total: no value can make it fail.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::catalog::{Catalog, Column};
use super::linear;
use crate::resource::sql::{MaskStyle, TokenKey, tokens};

/// What stands for a value that is not shown.
pub(super) const CONSTANT: &str = "***";

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether the style's expression has to read the column.
pub(super) fn reads(style: MaskStyle) -> bool {
    match style {
        MaskStyle::Constant | MaskStyle::Null => false,
        MaskStyle::Last4 | MaskStyle::Domain | MaskStyle::Token(_) => true,
    }
}

/// The masked form of `column` (already quoted).
///
/// `last4` shows nothing of a value shorter than eight characters, so at most half of a value is
/// shown. `domain` shows nothing of what is longer than an address can be (RFC 5321, 4.5.3.1), which
/// also bounds its cost: `rtrim` with the other characters of the text finds the last `@`.
pub(super) fn expression(style: MaskStyle, column: &str) -> String {
    let constant = literal(CONSTANT);
    match style {
        // A token's is `token` below; without its function nothing is shown.
        MaskStyle::Constant | MaskStyle::Token(_) => constant,
        MaskStyle::Null => "NULL".to_owned(),
        MaskStyle::Last4 => format!(
            "CASE WHEN typeof({column}) IN ('text', 'integer') AND length({column}) >= 8 \
             THEN {constant} || substr({column}, -4) ELSE {constant} END"
        ),
        MaskStyle::Domain => format!(
            "CASE WHEN typeof({column}) = 'text' AND length({column}) <= 320 \
             AND octet_length({column}) <= 1280 AND instr({column}, '@') > 0 \
             THEN {constant} || '@' || substr({column}, \
             length(rtrim({column}, replace({column}, '@', ''))) + 1) ELSE {constant} END"
        ),
    }
}

/// The token of `column` (already quoted), by the connection's own function; NULL stays NULL. What a view gives may be
/// a token already (`again`): a token of that would be equal to nothing.
pub(super) fn token(function: &str, class: &str, column: &str, again: bool) -> String {
    let token = format!("{}({}, {column})", quoted(function), literal(class));
    match again {
        false => token,
        true => format!(
            "CASE WHEN typeof({column}) = 'text' AND length({column}) = 36 AND substr({column}, 1, 4) = 'tok_' \
             AND substr({column}, 5) NOT GLOB '*[^0-9a-f]*' THEN {column} ELSE {token} END"
        ),
    }
}

/// Registers the function of tokens under a name that nobody is told: what an agent cannot name it cannot call.
///
/// # Errors
/// What the engine says.
pub(super) fn register(
    conn: &Connection,
    name: &str,
    key: Option<&TokenKey>,
    session: &str,
) -> rusqlite::Result<()> {
    let Some(key) = key.cloned() else {
        return Ok(()); // no class has tokens here
    };
    let session = session.to_owned();
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(name, 2, flags, move |context| {
        let class = context.get_raw(0).as_str().unwrap_or_default().to_owned();
        Ok(linear::bytes(context.get_raw(1)).map(|value| key.token(&session, &class, &value)))
    })
}

/// The first column that is to have tokens and cannot: by its declared type it has too few values.
pub(super) fn too_few(catalog: &Catalog) -> Option<String> {
    let tokened = |column: &&Column| matches!(column.class, Some((_, MaskStyle::Token(_))));
    let fits = |declared: &str| {
        let upper = declared.to_ascii_uppercase();
        tokens::fits(declared) || matches!(upper.as_str(), "" | "INTEGER" | "BLOB")
    };
    catalog.relations.values().find_map(|relation| {
        let mut columns = relation.columns.iter().filter(tokened);
        let column = columns.find(|column| !fits(&column.declared_type))?;
        let path = relation.path(column);
        Some(format!(
            "{path} is to have tokens, but of type {} there are too few values; give its class another mask",
            column.declared_type
        ))
    })
}
