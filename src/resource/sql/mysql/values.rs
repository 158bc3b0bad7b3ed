//! Values out: the server's binary form of each (a statement is always prepared), as JSON without loss.

use serde_json::{Value, json};
use sqlx::mysql::{MySql, MySqlRow, MySqlTypeInfo};
use sqlx::{Column, Decode, Row, Type, TypeInfo};

use crate::call::Refusal;
use crate::resource::sql::pages::{EXACT, bytes};

/// How the values of a column are written: told by its type, once for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Unsigned,
    Signed,
    Bits,
    Float,
    Double,
    Date,
    Moment,
    Time,
    Text,
    Bytes,
}

impl Kind {
    fn of(kind: &MySqlTypeInfo) -> Self {
        match kind.name() {
            "NULL" => Self::Null,
            "YEAR" => Self::Unsigned,
            "BIT" => Self::Bits,
            "FLOAT" => Self::Float,
            "DOUBLE" => Self::Double,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" => Self::Moment,
            "TIME" => Self::Time,
            "GEOMETRY" => Self::Bytes,
            "DECIMAL" | "JSON" | "SET" | "ENUM" => Self::Text,
            _ if <u64 as Type<MySql>>::compatible(kind) => Self::Unsigned,
            _ if <i64 as Type<MySql>>::compatible(kind) => Self::Signed,
            _ if <str as Type<MySql>>::compatible(kind) => Self::Text,
            _ => Self::Bytes,
        }
    }

    /// Those of a row's columns.
    pub(super) fn of_columns(row: &MySqlRow) -> Vec<Self> {
        let columns = row.columns().iter();
        columns.map(|column| Self::of(column.type_info())).collect()
    }
}

/// A value as it travels: integers beyond ±2^53 and decimals are strings; dates, also those that are zero, and times,
/// also those beyond a day, are the server's own text; bytes and geometries are {"base64": …, "bytes": n}.
///
/// # Errors
/// `internal`: it is not of the form that its type has.
pub(super) fn of_row(row: &MySqlRow, at: usize) -> Result<Value, Refusal> {
    let column = row.columns().get(at).ok_or_else(unreadable)?;
    let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
    // The driver takes zero dates for NULL; their bytes are there.
    match <&[u8] as Decode<MySql>>::decode(raw) {
        Err(_) => Ok(Value::Null),
        Ok(found) => render(found, Kind::of(column.type_info())).ok_or_else(unreadable),
    }
}

pub(super) fn unreadable() -> Refusal {
    Refusal::internal("mysql: a row that is none")
}

/// The same, of the bytes that came; `None` for what is not of the form that its type has.
pub(super) fn render(found: &[u8], kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::Null => Value::Null,
        Kind::Unsigned => whole(unsigned(found)?.into()),
        Kind::Signed => whole(signed(found)?),
        Kind::Bits => {
            let bits = found.iter().try_fold(0_u64, |all, byte| {
                all.checked_mul(256)?.checked_add(u64::from(*byte))
            });
            whole(bits?.into())
        }
        Kind::Float => {
            let real = f32::from_le_bytes(found.try_into().ok()?);
            // As short as it can be written, and halfway between two as all numbers are; what is none has no JSON.
            let short = serde_json::to_string(&real).ok()?.parse();
            number(short.unwrap_or(f64::from(real)))
        }
        Kind::Double => number(f64::from_le_bytes(found.try_into().ok()?)),
        Kind::Date => Value::String(date(found.split_first()?.1, false)?),
        Kind::Moment => Value::String(date(found.split_first()?.1, true)?),
        Kind::Time => Value::String(time(found.split_first()?.1)?),
        Kind::Text => text(found),
        Kind::Bytes => bytes(found),
    })
}

/// Everything but bytes comes in UTF-8; what is not, is bytes.
fn text(found: &[u8]) -> Value {
    match std::str::from_utf8(found) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => bytes(found),
    }
}

fn number(real: f64) -> Value {
    match real.is_finite() {
        true => json!(real),
        false => Value::String(real.to_string()),
    }
}

/// Whether every JSON reader keeps an integer.
pub(super) fn exact(integer: i128) -> bool {
    integer.unsigned_abs() <= u128::from(EXACT)
}

fn whole(integer: i128) -> Value {
    match i64::try_from(integer) {
        Ok(small) if exact(integer) => json!(small),
        _ => Value::String(integer.to_string()),
    }
}

/// Little-endian, of one to eight bytes.
pub(super) fn unsigned(found: &[u8]) -> Option<u64> {
    let mut whole = [0; 8];
    whole.get_mut(..found.len())?.copy_from_slice(found);
    Some(u64::from_le_bytes(whole))
}

/// The same, of which the last bit is the sign.
pub(super) fn signed(found: &[u8]) -> Option<i128> {
    let negative = found.last().is_some_and(|byte| *byte >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole.get_mut(..found.len())?.copy_from_slice(found);
    Some(i64::from_le_bytes(whole).into())
}

/// Year, month, day, and if there are hours, minutes, seconds, microseconds; what is left out at the end is zero.
pub(super) fn date(found: &[u8], with_time: bool) -> Option<String> {
    let mut whole = [0_u8; 11];
    whole.get_mut(..found.len())?.copy_from_slice(found);
    let [y1, y2, month, day, hour, minute, second, rest @ ..] = whole;
    let mut text = String::with_capacity(26);
    padded(&mut text, u16::from_le_bytes([y1, y2]).into(), 4);
    for part in [month, day] {
        text.push('-');
        padded(&mut text, part.into(), 2);
    }
    if with_time {
        text.push(' ');
        clock(&mut text, hour.into(), minute, second, rest);
    }
    Some(text)
}

/// Sign, days, hours, minutes, seconds, microseconds.
pub(super) fn time(found: &[u8]) -> Option<String> {
    let mut whole = [0_u8; 12];
    whole.get_mut(..found.len())?.copy_from_slice(found);
    let [sign, d1, d2, d3, d4, hour, minute, second, rest @ ..] = whole;
    let hours = u64::from(u32::from_le_bytes([d1, d2, d3, d4])) * 24 + u64::from(hour);
    let mut text = String::with_capacity(17);
    if sign != 0 {
        text.push('-');
    }
    clock(&mut text, hours, minute, second, rest);
    Some(text)
}

fn clock(text: &mut String, hours: u64, minute: u8, second: u8, microseconds: [u8; 4]) {
    padded(text, hours, 2);
    for part in [minute, second] {
        text.push(':');
        padded(text, part.into(), 2);
    }
    let microseconds = u32::from_le_bytes(microseconds);
    if microseconds > 0 {
        text.push('.');
        padded(text, microseconds.into(), 6);
    }
}

/// With zeros before it, to so many digits. Dates are many: a formatter takes several times as long.
fn padded(text: &mut String, number: u64, width: u32) {
    let mut unit = 10_u64.pow(width - 1);
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        text.push(char::from(b'0' + (number / unit % 10) as u8));
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_every_digit() {
        for (found, value) in [
            (&[255][..], json!(-1)),
            (&[0, 0x80], json!(-32768)),
            (&[1, 0, 0, 0], json!(1)),
            (&[0, 0, 0, 0, 0, 0, 0, 0x80], json!("-9223372036854775808")),
            (&[1, 0, 0, 0, 0, 0, 0x20, 0], json!("9007199254740993")),
        ] {
            assert_eq!(render(found, Kind::Signed), Some(value), "{found:?}");
        }
        let unsigned = |found: &[u8]| render(found, Kind::Unsigned);
        assert_eq!(unsigned(&[255]), Some(json!(255)));
        assert_eq!(unsigned(&[255; 8]), Some(json!("18446744073709551615")));
        assert_eq!(unsigned(&[0; 9]), None);
    }

    #[test]
    fn dates_and_times_are_what_the_server_would_write() {
        for (found, value) in [
            (&[][..], "0000-00-00 00:00:00"),
            (&[0xe8, 0x07, 0, 0], "2024-00-00 00:00:00"),
            (&[0xea, 0x07, 2, 3, 4, 5, 6], "2026-02-03 04:05:06"),
            (
                &[0xea, 0x07, 2, 3, 4, 5, 6, 0x20, 0xa1, 7, 0],
                "2026-02-03 04:05:06.500000",
            ),
        ] {
            assert_eq!(date(found, true).as_deref(), Some(value));
        }
        assert_eq!(date(&[0xea, 0x07, 2, 3], false).as_deref(), Some("2026-02-03"));
        assert_eq!(time(&[]).as_deref(), Some("00:00:00"));
        assert_eq!(time(&[1, 34, 0, 0, 0, 22, 59, 59]).as_deref(), Some("-838:59:59"));
        assert_eq!(date(&[0; 12], true), None);
    }
}
