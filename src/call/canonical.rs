//! Canonical JSON (RFC 8785) of a value that is there already, written as it goes: an answer may be large, records
//! have many small members, and the library allocates for every token and keeps whole objects back.
//!
//! Both write the same bytes, which a test holds them to.

use std::io::{Error, Result, Write};

use serde_json::{Map, Number, Value};

/// Beyond this an integer is written as the floating-point number it is to every reader.
const EXACT: u64 = 1 << 53;

/// Writes a value.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(value: &Value, out: &mut impl Write) -> Result<()> {
    match value {
        Value::Null => out.write_all(b"null"),
        Value::Bool(true) => out.write_all(b"true"),
        Value::Bool(false) => out.write_all(b"false"),
        Value::Number(found) => number(found, out),
        Value::String(found) => text(found, out),
        Value::Array(items) => {
            out.write_all(b"[")?;
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.write_all(b",")?;
                }
                write(item, out)?;
            }
            out.write_all(b"]")
        }
        Value::Object(members) => object(members, out),
    }
}

/// Writes a string: what has to be escaped, and how, is the same as in any JSON of ours.
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(text: &str, out: &mut impl Write) -> Result<()> {
    serde_json::to_writer(&mut *out, text).map_err(Error::from)
}

/// Writes a value, and what `fill` writes in place of the member at `path`.
///
/// # Errors
/// Those of `out` and of `fill`.
pub(crate) fn write_filled<W: Write>(
    value: &Value,
    path: &[&str],
    out: &mut W,
    fill: &mut dyn FnMut(&mut W) -> Result<()>,
) -> Result<()> {
    match (path.split_first(), value) {
        (None, _) => fill(out),
        (Some((hole, rest)), Value::Object(members)) => {
            each_member(members, out, |name, member, out| match name == *hole {
                true => write_filled(member, rest, out, fill),
                false => write(member, out),
            })
        }
        (Some(_), other) => write(other, out),
    }
}

fn object(members: &Map<String, Value>, out: &mut impl Write) -> Result<()> {
    each_member(members, out, |_, member, out| write(member, out))
}

/// Members in the order of their names' UTF-16 code units.
fn each_member<W: Write>(
    members: &Map<String, Value>,
    out: &mut W,
    mut each: impl FnMut(&str, &Value, &mut W) -> Result<()>,
) -> Result<()> {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_unstable_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    out.write_all(b"{")?;
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        text(name, out)?;
        out.write_all(b":")?;
        each(name, value, out)?;
    }
    out.write_all(b"}")
}

/// Numbers as ECMAScript writes them.
fn number(number: &Number, out: &mut impl Write) -> Result<()> {
    // The longest of them has 24 characters.
    let mut room = [0; 40];
    let written = {
        let mut free = room.as_mut_slice();
        serde_json::to_writer(&mut free, number)?;
        let left = free.len();
        room.get(..room.len() - left).unwrap_or_default()
    };
    let exact = match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => integer.unsigned_abs() <= EXACT,
        (None, Some(_)) => false,
        (None, None) => {
            if !written.iter().any(|byte| matches!(byte, b'e' | b'E')) {
                // The same digits; a whole number has no fraction there, and zero no sign.
                let digits = written.strip_suffix(b".0").unwrap_or(written);
                return out.write_all(if digits == b"-0" { b"0" } else { digits });
            }
            false
        }
    };
    if exact {
        return out.write_all(written);
    }
    out.write_all(&serde_json_canonicalizer::to_vec(number)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ours(value: &Value) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn agree(value: &Value) {
        assert_eq!(ours(value), serde_json_canonicalizer::to_string(value).unwrap());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1_000_000_i64..1_000_000).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-1_000_000_i64..1_000_000, 0_i32..9).prop_map(|(n, p)| (n as f64 / 10_f64.powi(p)).into()),
            any::<String>().prop_map(Value::from),
            "[ -~\\x00-\\x1f\u{7f}\u{e9}\u{2028}\u{1f600}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_is_written_as_the_library_writes_it(value in value()) {
            agree(&value);
        }
    }

    #[test]
    fn numbers_and_names_at_the_edges_are_too() {
        for number in [
            0.0,
            -0.0,
            1.0,
            -1.5,
            1e15,
            1e16,
            1e17,
            1e20,
            1e21,
            1e-4,
            1e-5,
            1e-6,
            1e-7,
            123_456_789.125,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            9_007_199_254_740_993.0,
            0.1,
            1.0 / 3.0,
        ] {
            agree(&json!([number, -number]));
        }
        for integer in [EXACT - 1, EXACT, EXACT + 1, u64::MAX] {
            agree(&json!([
                integer,
                (integer >> 1) as i64,
                -((integer >> 1) as i64),
                i64::MIN
            ]));
        }
        agree(
            &json!({"b": 1, "a": [{}, []], "\u{fb33}": 2, "\u{1f600}": 3, "": null, "a\"\n": "/\u{7f}\u{8}"}),
        );
    }
}
