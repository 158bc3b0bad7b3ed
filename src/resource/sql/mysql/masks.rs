//! Mask styles as SQL of MySQL and MariaDB. Every expression is total: no value can make it fail or warn, and the
//! cost of each is bounded whatever the value.

use super::catalog::Column;
use super::link::quoted;
use super::tokens;
use crate::resource::sql::MaskStyle;

/// What stands for a text that is not shown.
const CONSTANT: &str = "'***'";

const TEXTS: [&str; 6] = ["char", "varchar", "tinytext", "text", "mediumtext", "longtext"];
const INTEGERS: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];

/// How a column of a table looks in its masking view: an expression over that table, which the view calls `table`, and the
/// key of tokens alone.
pub(super) fn expression(table: &str, column: &Column) -> String {
    let name = format!("{table}.{}", quoted(&column.name));
    let kind = column.data_type.as_str();
    let Some((class, style)) = &column.class else {
        // The driver does not know how MySQL sends these.
        return match kind {
            "vector" => format!("CAST({name} AS BINARY)"),
            _ => name,
        };
    };
    let (text, integer) = (TEXTS.contains(&kind), INTEGERS.contains(&kind));
    if let (MaskStyle::Token(_), Some(made)) = (style, tokens::expression(&name, class, column)) {
        return made;
    }
    match style {
        MaskStyle::Last4 if text || integer => last4(&name, integer),
        MaskStyle::Domain if text => domain(&name),
        MaskStyle::Constant | MaskStyle::Last4 | MaskStyle::Domain | MaskStyle::Token(_)
            if text || foreign(kind) =>
        {
            CONSTANT.to_owned()
        }
        _ => null(kind).to_owned(),
    }
}

/// Types that sums, dates and comparisons do not care for.
fn foreign(kind: &str) -> bool {
    matches!(kind, "enum" | "set" | "json" | "uuid" | "inet4" | "inet6")
}

/// NULL of a type of the same family, so that sums, comparisons and joins still run.
fn null(kind: &str) -> &'static str {
    match kind {
        "decimal" => "CAST(NULL AS DECIMAL(65,30))",
        "float" | "double" => "(CAST(NULL AS DECIMAL(1,0)) + 0e0)",
        "date" => "CAST(NULL AS DATE)",
        "datetime" | "timestamp" => "CAST(NULL AS DATETIME)",
        "time" => "CAST(NULL AS TIME)",
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => "CAST(NULL AS BINARY)",
        "year" | "bit" => "CAST(NULL AS SIGNED)",
        kind if INTEGERS.contains(&kind) => "CAST(NULL AS SIGNED)",
        _ => "CAST(NULL AS CHAR)",
    }
}

/// `***` and the last four characters of what has eight or more, and at most a mebibyte.
fn last4(name: &str, integer: bool) -> String {
    let text = match integer {
        // Without the zeros that ZEROFILL shows: they would make a short number long.
        true => format!("CAST({name} + 0 AS CHAR)"),
        false => name.to_owned(),
    };
    format!(
        "CASE WHEN LENGTH({text}) <= 1048576 AND CHAR_LENGTH({text}) >= 8 \
         THEN CONCAT({CONSTANT}, RIGHT({text}, 4)) ELSE {CONSTANT} END"
    )
}

/// `***@` and what follows the last `@`. Nothing of what is longer than an address can be (RFC 5321, 4.5.3.1).
/// What finds no delimiter gives the whole text, and what is equal to `@` under a collation is not always found: so
/// what was found must be shorter than all of it.
fn domain(name: &str) -> String {
    format!(
        "CASE WHEN LENGTH({name}) <= 1280 AND CHAR_LENGTH({name}) <= 320 \
         AND CHAR_LENGTH(SUBSTRING_INDEX({name}, '@', -1)) < CHAR_LENGTH({name}) \
         THEN CONCAT('***@', SUBSTRING_INDEX({name}, '@', -1)) ELSE {CONSTANT} END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::sql::TokenScope;

    fn column(kind: &str, style: Option<MaskStyle>) -> Column {
        Column {
            name: "a`b".to_owned(),
            declared_type: kind.to_owned(),
            data_type: kind.to_owned(),
            not_null: false,
            primary_key: false,
            references: None,
            generated: false,
            class: style.map(|style| ("c".to_owned(), style)),
        }
    }

    #[test]
    fn only_partial_masks_read_the_column() {
        for kind in [
            "varchar", "int", "decimal", "date", "datetime", "time", "blob", "json", "geometry", "enum",
            "bit",
        ] {
            for style in [MaskStyle::Constant, MaskStyle::Null] {
                let made = expression("t", &column(kind, Some(style)));
                assert!(!made.contains("a``b"), "{kind} {style:?}: {made}");
            }
            assert_eq!(expression("t", &column(kind, None)), "t.`a``b`");
        }
        for (kind, style, reads) in [
            ("varchar", MaskStyle::Last4, true),
            ("bigint", MaskStyle::Last4, true),
            ("blob", MaskStyle::Last4, false),
            ("date", MaskStyle::Last4, false),
            ("text", MaskStyle::Domain, true),
            ("int", MaskStyle::Domain, false),
            ("varchar", MaskStyle::Token(TokenScope::Deployment), true),
            ("bigint", MaskStyle::Token(TokenScope::Deployment), true),
            ("date", MaskStyle::Token(TokenScope::Deployment), false),
            ("enum", MaskStyle::Token(TokenScope::Deployment), false),
        ] {
            let made = expression("t", &column(kind, Some(style)));
            assert_eq!(made.contains("a``b"), reads, "{kind} {style:?}: {made}");
        }
    }
}
