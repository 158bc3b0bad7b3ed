//! Values out, of many rows: what [`render`] makes of them, as the JSON that leaves. How a column is written is looked up
//! once, and what the server wrote mostly stands in the answer as it is.

use std::collections::BTreeMap;

use super::loader::Kind;
use super::values::{oid, render};
use crate::call::Row;
use crate::resource::sql::pages;

/// How the values of a column are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Bool,
    Integer(u32),
    Real(u32),
    Text,
    /// Arrays, bytes.
    Other(u32),
}

impl Form {
    /// Of a type.
    pub(super) fn of(kind: u32, kinds: &BTreeMap<u32, Kind>) -> Self {
        let is_array = || kinds.get(&kind).is_some_and(|kind| kind.element.is_some());
        match kind {
            oid::BOOL => Self::Bool,
            oid::INT8 | oid::INT2 | oid::INT4 => Self::Integer(kind),
            oid::FLOAT8 => Self::Real(kind),
            oid::TEXT | oid::VARCHAR => Self::Text,
            _ if is_array() => Self::Other(kind),
            oid::OID => Self::Integer(kind),
            oid::FLOAT4 => Self::Real(kind),
            oid::BYTEA => Self::Other(kind),
            _ => Self::Text,
        }
    }

    /// Writes a value, `None` for NULL, and gives what it costs.
    pub(super) fn write(self, text: Option<&[u8]>, kinds: &BTreeMap<u32, Kind>, out: &mut Row<'_>) -> u64 {
        let Some(bytes) = text else {
            out.plain("null");
            return WORD;
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return slowly(bytes, oid::TEXT, kinds, out);
        };
        match (self, text) {
            (Self::Bool, "t") => out.plain("true"),
            (Self::Bool, "f") => out.plain("false"),
            (Self::Integer(_), _) if is_small(bytes) => {
                out.plain(text);
                return NUMBER;
            }
            (Self::Real(kind), _) => {
                match real(bytes) {
                    Real::Whole => out.whole(text),
                    Real::Fraction => out.plain(text),
                    Real::Other => return slowly(bytes, kind, kinds, out),
                }
                return NUMBER;
            }
            (Self::Text, _) => {
                let long = pages::written(bytes);
                if long != bytes.len() as u64 {
                    return slowly(bytes, oid::TEXT, kinds, out);
                }
                out.unescaped(text);
                return long + 3;
            }
            (Self::Bool, _) => return slowly(bytes, oid::BOOL, kinds, out),
            (Self::Integer(kind) | Self::Other(kind), _) => return slowly(bytes, kind, kinds, out),
        }
        WORD
    }
}

/// What [`pages::cost`] says of null, true and false.
const WORD: u64 = 6;
/// And of a number.
const NUMBER: u64 = 26;

fn slowly(text: &[u8], kind: u32, kinds: &BTreeMap<u32, Kind>, out: &mut Row<'_>) -> u64 {
    let value = render(text, kind, kinds);
    out.value(&value);
    pages::cost(&value)
}

/// Whether it is an integer of at most 15 digits as JSON writes it.
fn is_small(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// How the server wrote a floating-point number.
enum Real {
    /// JSON writes the same and `.0`.
    Whole,
    /// JSON writes the same.
    Fraction,
    Other,
}

/// Up to 15 digits name one number, and no fewer name it: whoever writes it without an exponent writes these.
fn real(text: &[u8]) -> Real {
    if is_small(text) {
        return Real::Whole;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let Some(point) = memchr::memchr(b'.', digits) else {
        return Real::Other;
    };
    let (Some(whole), Some(fraction)) = (digits.get(..point), digits.get(point + 1..)) else {
        return Real::Other;
    };
    // Near zero JSON has an exponent sooner or later.
    let far_from_zero = whole != b"0" || fraction.iter().take(3).any(|digit| *digit != b'0');
    let shortest = fraction.last().is_some_and(|last| *last != b'0') && digits.len() <= 16;
    match is_small(whole) && fraction.iter().all(u8::is_ascii_digit) && far_from_zero && shortest {
        true => Real::Fraction,
        false => Real::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::call::Table;
    use crate::packed::Unpacked;

    /// Types with a number of their own here, one with none, and arrays of some.
    const KINDS: [u32; 14] = [
        oid::BOOL,
        oid::BYTEA,
        oid::INT8,
        oid::INT2,
        oid::INT4,
        oid::TEXT,
        oid::OID,
        oid::FLOAT4,
        oid::FLOAT8,
        oid::VARCHAR,
        oid::BPCHAR,
        1700,
        FLOATS,
        TEXTS,
    ];
    const FLOATS: u32 = 1022;
    const TEXTS: u32 = 1009;

    fn kinds() -> BTreeMap<u32, Kind> {
        let of = |element: Option<u32>, name: &str| Kind {
            name: ("pg_catalog".to_owned(), name.to_owned()),
            send: ("pg_catalog".to_owned(), String::new()),
            element,
            allowed: true,
        };
        BTreeMap::from([
            (oid::FLOAT8, of(None, "float8")),
            (oid::TEXT, of(None, "text")),
            (FLOATS, of(Some(oid::FLOAT8), "_float8")),
            (TEXTS, of(Some(oid::TEXT), "_text")),
        ])
    }

    /// The row in JSON and in canonical JSON, and what its cells cost.
    fn written(cells: &[(u32, Option<Vec<u8>>)]) -> (String, String, u64) {
        let (kinds, mut table) = (kinds(), Table::new(cells.len()));
        let mut row = table.row();
        let mut cost = 0;
        for (kind, text) in cells {
            cost += Form::of(*kind, &kinds).write(text.as_deref(), &kinds, &mut row);
        }
        assert!(row.keep());
        let mut canonical = Vec::new();
        table.write_canonical(&mut Unpacked(&mut canonical)).unwrap();
        (table.into_json(), String::from_utf8(canonical).unwrap(), cost)
    }

    fn rendered(cells: &[(u32, Option<Vec<u8>>)]) -> (String, String, u64) {
        let kinds = kinds();
        let value = |(kind, text): &(u32, Option<Vec<u8>>)| match text {
            None => Value::Null,
            Some(text) => render(text, *kind, &kinds),
        };
        let cells: Vec<Value> = cells.iter().map(value).collect();
        let cost = cells.iter().map(pages::cost).sum();
        let rows = Value::from(vec![cells]);
        let canonical = String::from_utf8(crate::call::canonical(&rows)).unwrap();
        (rows.to_string(), canonical, cost)
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let digits = "-?[0-9]{1,18}(\\.[0-9]{0,18})?(e[+-]?[0-9]{1,3})?";
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            (-1000_i64..1000).prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| number.to_string()),
            (any::<i32>(), 0_i32..12).prop_map(|(n, p)| (f64::from(n) / 10_f64.powi(p)).to_string()),
            digits.prop_map(String::from),
            "-?0\\.0{0,6}[0-9]{1,4}".prop_map(String::from),
            "(t|f|NaN|Infinity|-Infinity|-0|0|-|\\.|\\\\x([0-9a-f]{2}){0,9})".prop_map(String::from),
            "\\{([0-9.,]|\"[a-z\\\\\"]{0,3}\"|NULL|\\{|\\}){0,9}\\}".prop_map(String::from),
            any::<String>(),
            "[ -~\\x01-\\x1f\u{7f}\u{e9}\u{2028}]{0,12}".prop_map(String::from),
        ]
        .prop_map(String::into_bytes)
        .boxed()
        .prop_union(prop::collection::vec(any::<u8>(), 0..6).boxed())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_of_any_type_is_written_as_its_tree_would_be(
            cells in prop::collection::vec((prop::sample::select(&KINDS[..]), prop::option::weighted(0.9, text())), 0..6),
        ) {
            prop_assert_eq!(written(&cells), rendered(&cells));
        }
    }

    #[test]
    fn numbers_at_the_edges_are_too() {
        let numbers = [
            "0",
            "-0",
            "1",
            "-1",
            "00",
            "01",
            "+1",
            "9007199254740992",
            "9007199254740993",
            "999999999999999",
            "0.1",
            "-0.5",
            "0.001",
            "0.0001",
            "0.00001",
            "1.0",
            "1.50",
            "123456789.125",
            "1e+16",
            "1e16",
            "12345678901234.5",
            "123456789012345.6",
            "1e-07",
            "4.9e-324",
            "1.7976931348623157e+308",
            ".5",
            "5.",
            "",
        ];
        for number in numbers {
            for kind in [oid::INT8, oid::INT4, oid::OID, oid::FLOAT4, oid::FLOAT8, 1700] {
                let cells = [(kind, Some(number.as_bytes().to_vec()))];
                assert_eq!(written(&cells), rendered(&cells), "{number} as {kind}");
            }
        }
    }
}
