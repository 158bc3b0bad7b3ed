//! Mask styles as SQL. Every expression is total: no value can make it fail.

use crate::resource::sql::MaskStyle;

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
        MaskStyle::Last4 | MaskStyle::Domain => true,
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
        MaskStyle::Constant => constant,
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
