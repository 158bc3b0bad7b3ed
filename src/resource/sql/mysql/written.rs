//! Values out, of many rows: what [`render`] makes of them, as the JSON that leaves, mostly without a tree in between.

use sqlx::mysql::{MySql, MySqlRow};
use sqlx::{Decode, Row as _};

use super::values::{self, Kind, exact, render, unreadable};
use crate::call::{Refusal, Row};
use crate::resource::sql::pages;

/// What [`pages::cost`] says of null.
const WORD: u64 = 6;
/// And of a number.
const NUMBER: u64 = 26;

/// Writes a cell of a column of this kind, and gives what it costs.
///
/// # Errors
/// `internal`: it is not of the form that its type has.
pub(super) fn cell(row: &MySqlRow, at: usize, kind: Kind, out: &mut Row<'_>) -> Result<u64, Refusal> {
    let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
    // The driver takes zero dates for NULL; their bytes are there.
    let found = <&[u8] as Decode<MySql>>::decode(raw).ok();
    write(found, kind, out).ok_or_else(unreadable)
}

/// `None` is NULL; gives `None` for what is not of the form that its type has.
fn write(found: Option<&[u8]>, kind: Kind, out: &mut Row<'_>) -> Option<u64> {
    let Some(found) = found else {
        out.plain("null");
        return Some(WORD);
    };
    Some(match kind {
        Kind::Signed => integer(values::signed(found)?, out),
        Kind::Unsigned => integer(i128::from(values::unsigned(found)?), out),
        Kind::Float => {
            let real = f32::from_le_bytes(found.try_into().ok()?);
            number(real, f64::from(real), out).or_else(|| slowly(found, kind, out))?
        }
        Kind::Double => {
            let real = f64::from_le_bytes(found.try_into().ok()?);
            number(real, real, out).or_else(|| slowly(found, kind, out))?
        }
        Kind::Date => unescaped(&values::date(found.split_first()?.1, false)?, out),
        Kind::Moment => unescaped(&values::date(found.split_first()?.1, true)?, out),
        Kind::Time => unescaped(&values::time(found.split_first()?.1)?, out),
        Kind::Text => match std::str::from_utf8(found) {
            Ok(text) if pages::written(found) == found.len() as u64 => unescaped(text, out),
            _ => slowly(found, kind, out)?,
        },
        Kind::Null | Kind::Bits | Kind::Bytes => slowly(found, kind, out)?,
    })
}

fn slowly(found: &[u8], kind: Kind, out: &mut Row<'_>) -> Option<u64> {
    let value = render(found, kind)?;
    out.value(&value);
    Some(pages::cost(&value))
}

fn integer(integer: i128, out: &mut Row<'_>) -> u64 {
    match i64::try_from(integer).ok().filter(|_| exact(integer)) {
        Some(integer) => {
            out.integer(integer);
            NUMBER
        }
        None => unescaped(&integer.to_string(), out),
    }
}

fn unescaped(text: &str, out: &mut Row<'_>) -> u64 {
    out.unescaped(text);
    text.len() as u64 + 3
}

/// Writes a number of about that size. Far from zero and from what has an exponent, every JSON has the same digits: the
/// fewest that name it.
fn number(real: impl serde::Serialize, size: f64, out: &mut Row<'_>) -> Option<u64> {
    if !(1e-3..1e15).contains(&size.abs()) {
        return None;
    }
    let mut room = [0; 32];
    let mut free = &mut room[..];
    serde_json::to_writer(&mut free, &real).ok()?;
    let left = free.len();
    let json = std::str::from_utf8(room.get(..room.len() - left)?).ok()?;
    match (json.strip_suffix(".0"), json.contains('e')) {
        (_, true) => return None,
        (Some(digits), false) => out.whole(digits),
        (None, false) => out.plain(json),
    }
    Some(NUMBER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::call::Table;
    use crate::packed::Unpacked;

    const KINDS: [Kind; 11] = [
        Kind::Null,
        Kind::Unsigned,
        Kind::Signed,
        Kind::Bits,
        Kind::Float,
        Kind::Double,
        Kind::Date,
        Kind::Moment,
        Kind::Time,
        Kind::Text,
        Kind::Bytes,
    ];

    type Cells = Vec<(Kind, Option<Vec<u8>>)>;

    /// The row in JSON and in canonical JSON, and what its cells cost; nothing if one is not of the form of its kind.
    fn written(cells: &Cells) -> Option<(String, String, u64)> {
        let mut table = Table::new(cells.len());
        let mut row = table.row();
        let mut cost = 0;
        for (kind, found) in cells {
            cost += write(found.as_deref(), *kind, &mut row)?;
        }
        assert!(row.keep());
        let mut canonical = Vec::new();
        table.write_canonical(&mut Unpacked(&mut canonical)).unwrap();
        Some((table.into_json(), String::from_utf8(canonical).unwrap(), cost))
    }

    fn rendered(cells: &Cells) -> Option<(String, String, u64)> {
        let value = |(kind, found): &(Kind, Option<Vec<u8>>)| match found {
            None => Some(Value::Null),
            Some(found) => render(found, *kind),
        };
        let cells: Option<Vec<Value>> = cells.iter().map(value).collect();
        let cells = cells?;
        let cost = cells.iter().map(pages::cost).sum();
        let rows = Value::from(vec![cells]);
        let canonical = String::from_utf8(crate::call::canonical(&rows)).unwrap();
        Some((rows.to_string(), canonical, cost))
    }

    fn found() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_le_bytes().to_vec()),
            (-1000_i16..1000).prop_map(|number| number.to_le_bytes().to_vec()),
            any::<f64>().prop_map(|number| number.to_le_bytes().to_vec()),
            any::<f32>().prop_map(|number| number.to_le_bytes().to_vec()),
            (any::<i32>(), 0_i32..12)
                .prop_map(|(n, p)| (f64::from(n) / 10_f64.powi(p)).to_le_bytes().to_vec()),
            (-100_000_i32..100_000, 0_i32..5)
                .prop_map(|(n, p)| (n as f32 / 10_f32.powi(p)).to_le_bytes().to_vec()),
            prop::collection::vec(0_u8..60, 0..14),
            any::<String>().prop_map(String::into_bytes),
            "[ -~\\x01-\\x1f\u{7f}\u{e9}\u{2028}]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..10),
        ]
    }

    /// Such bytes, as those of a kind that fits their number where there is one.
    fn cell() -> impl Strategy<Value = (Kind, Option<Vec<u8>>)> {
        (
            any::<bool>(),
            prop::sample::select(&KINDS[..]),
            prop::option::weighted(0.9, found()),
        )
            .prop_map(|(fits, kind, found)| match (fits, found.as_ref().map(Vec::len)) {
                (true, Some(8)) => (Kind::Double, found),
                (true, Some(4)) => (Kind::Float, found),
                _ => (kind, found),
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_of_any_kind_is_written_as_its_tree_would_be(cells in prop::collection::vec(cell(), 0..3)) {
            prop_assert_eq!(written(&cells), rendered(&cells));
        }
    }

    #[test]
    fn numbers_at_the_edges_are_too() {
        let doubles = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            -0.5,
            0.001,
            0.000_999,
            1e15,
            999_999_999_999_999.0,
            123_456_789.125,
            2_097_153.25, // halfway between two ways to write it as a FLOAT
            -3_000_000.25,
            1e-7,
            5e-324,
            1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        for double in doubles {
            for cells in [
                vec![(Kind::Double, Some(double.to_le_bytes().to_vec()))],
                vec![(Kind::Float, Some((double as f32).to_le_bytes().to_vec()))],
            ] {
                assert_eq!(written(&cells), rendered(&cells), "{double}");
            }
        }
        for integer in [
            0,
            1,
            -1,
            1 << 53,
            -(1 << 53),
            (1 << 53) + 1,
            -(1 << 53) - 1,
            i64::MIN,
            i64::MAX,
        ] {
            for kind in [Kind::Signed, Kind::Unsigned, Kind::Bits] {
                let cells = vec![(kind, Some(integer.to_le_bytes().to_vec()))];
                assert_eq!(written(&cells), rendered(&cells), "{integer}");
            }
        }
    }
}
