//! Mask styles as SQL of PostgreSQL. Every expression is total: no value can make it fail, and the cost of
//! each is bounded whatever the value.

use crate::resource::sql::postgres::catalog::{Catalog, Column};
use crate::resource::sql::tokens::fits;
use crate::resource::sql::{MaskStyle, TokenScope};

/// What stands for a text that is not shown.
pub(super) const CONSTANT: &str = "***";

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How a column looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// As it is.
    Raw,
    /// A mask that never reads it.
    Blind(String),
    /// A mask that is made of it.
    Partial(String),
}

/// What a type is to a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    Integer,
    /// Another type of the server's own, by its name.
    Own,
    /// A type of the database's own: an enumeration, a domain, one of an extension.
    Foreign,
}

/// The types by whose values `***` can stand.
const TEXTS: [&str; 4] = ["bpchar", "name", "text", "varchar"];
const INTEGERS: [&str; 3] = ["int2", "int4", "int8"];

/// How a column looks for someone who may see `raw` or not. A column that the role may not read is never
/// read, whatever its style.
pub(super) fn look(catalog: &Catalog, column: &Column, raw: bool) -> Look {
    let (class, style) = match &column.class {
        _ if !column.granted => ("", MaskStyle::Constant),
        Some((class, style)) if !raw => (class.as_str(), *style),
        _ => return Look::Raw,
    };
    let name = type_name(catalog, column);
    let family = family(name);
    let partial = matches!(family, Family::Text | Family::Integer)
        || family == Family::Foreign && bare(&column.declared_type) == "citext";
    match style {
        MaskStyle::Last4 if partial => Look::Partial(last4(&column.name)),
        MaskStyle::Domain if partial && family != Family::Integer => Look::Partial(domain(&column.name)),
        MaskStyle::Token(scope) if fits(&column.declared_type) => {
            Look::Partial(token(scope, class, &column.name))
        }
        MaskStyle::Null => Look::Blind(null(name)),
        MaskStyle::Constant | MaskStyle::Last4 | MaskStyle::Domain | MaskStyle::Token(_) => {
            Look::Blind(match family {
                Family::Text | Family::Foreign => format!("'{CONSTANT}'::pg_catalog.text"),
                // Last4 of an integer is text, so its constant is text too; here nothing is read.
                Family::Integer | Family::Own => null(name),
            })
        }
    }
}

/// The server's own name of a column's type.
fn type_name<'c>(catalog: &'c Catalog, column: &Column) -> Option<&'c str> {
    let mut types = catalog.types.iter();
    let found = types.find(|(_, known)| known.oid == column.type_oid);
    found.and_then(|((schema, name), _)| (schema == "pg_catalog").then_some(name.as_str()))
}

fn family(name: Option<&str>) -> Family {
    match name {
        Some(name) if TEXTS.contains(&name) => Family::Text,
        Some(name) if INTEGERS.contains(&name) => Family::Integer,
        Some(_) => Family::Own,
        None => Family::Foreign,
    }
}

/// NULL of the column's own type, so that sums, comparisons and joins still run. A type of the database's own
/// may be a domain that forbids NULL: there it is a text's.
fn null(name: Option<&str>) -> String {
    format!("NULL::pg_catalog.{}", quoted(name.unwrap_or("text")))
}

fn bare(declared: &str) -> &str {
    declared.rsplit('.').next().unwrap_or(declared)
}

/// `***` and the last four characters of what has eight or more, and at most a mebibyte.
fn last4(column: &str) -> String {
    let text = format!("{}::pg_catalog.text", quoted(column));
    format!(
        "CASE WHEN pg_catalog.octet_length({text}) OPERATOR(pg_catalog.<=) 1048576 \
         AND pg_catalog.length({text}) OPERATOR(pg_catalog.>=) 8 \
         THEN '{CONSTANT}'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.right({text}, 4) \
         ELSE '{CONSTANT}'::pg_catalog.text END"
    )
}

/// `***@` and what follows the last `@`. Nothing of what is longer than an address can be (RFC 5321, 4.5.3.1).
/// The collation is fixed because searching fails under some, and then the default again, so that what is
/// compared with it has no conflict.
fn domain(column: &str) -> String {
    let text = format!("{}::pg_catalog.text COLLATE pg_catalog.\"C\"", quoted(column));
    format!(
        "CASE WHEN pg_catalog.octet_length({text}) OPERATOR(pg_catalog.<=) 1280 \
         AND pg_catalog.length({text}) OPERATOR(pg_catalog.<=) 320 \
         AND pg_catalog.strpos({text}, '@'::pg_catalog.text) OPERATOR(pg_catalog.>) 0 \
         THEN ('{CONSTANT}@'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.reverse(pg_catalog.split_part(\
         pg_catalog.reverse({text}), '@'::pg_catalog.text, 1))) COLLATE pg_catalog.\"default\" \
         ELSE '{CONSTANT}'::pg_catalog.text END"
    )
}

/// The database's own function makes it: the key never leaves the server. The class is a plain name, as the
/// configuration has made sure; whatever it is, it is a text here.
fn token(scope: TokenScope, class: &str, column: &str) -> String {
    let function = match scope {
        TokenScope::Deployment => "token",
        TokenScope::Session => "session_token",
    };
    let class = class.replace('\'', "''");
    format!(
        "tollgate.{function}('{class}'::pg_catalog.text, {}::pg_catalog.text)",
        quoted(column)
    )
}
