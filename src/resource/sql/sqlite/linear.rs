//! `instr`, `replace` and the two-argument trims, in linear time.
//!
//! The engine's own take the product of their arguments' lengths in one instruction, during which no
//! watch can end the statement: minutes, for two long texts. These give the same results; a test
//! compares them. LIKE and GLOB are bounded by the length of their patterns instead.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Result, ffi};

use super::link::MAX_VALUE;

/// Puts them in the place of the engine's.
pub(super) fn register(conn: &Connection) -> Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(c"instr", 2, flags, instr)?;
    conn.create_scalar_function(c"replace", 3, flags, replace)?;
    conn.create_scalar_function(c"trim", 2, flags, |context| trim(context, true, true))?;
    conn.create_scalar_function(c"ltrim", 2, flags, |context| trim(context, true, false))?;
    conn.create_scalar_function(c"rtrim", 2, flags, |context| trim(context, false, true))
}

/// A result: texts need not be UTF-8.
#[derive(Debug)]
enum Made {
    Null,
    Text(Vec<u8>),
}

impl ToSql for Made {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Text(bytes) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
        })
    }
}

fn instr(context: &Context<'_>) -> Result<Option<i64>> {
    let (haystack, needle) = (context.get_raw(0), context.get_raw(1));
    let (Some(text), Some(sought)) = (bytes(haystack), bytes(needle)) else {
        return Ok(None);
    };
    let blobs = matches!((haystack, needle), (ValueRef::Blob(_), ValueRef::Blob(_)));
    // In texts the engine looks only where a character starts, and at the very start.
    let inside_a_char = !blobs && sought.first().is_some_and(|first| !starts_char(*first));
    let found = memmem::find(&text, &sought).filter(|at| !inside_a_char || *at == 0);
    let Some(at) = found else {
        return Ok(Some(0));
    };
    let before = text.get(..at).unwrap_or_default();
    let position = if blobs {
        at
    } else {
        before.iter().filter(|byte| starts_char(**byte)).count()
    };
    Ok(Some(i64::try_from(position).unwrap_or(i64::MAX) + 1))
}

fn replace(context: &Context<'_>) -> Result<Made> {
    let arguments = (
        bytes(context.get_raw(0)),
        bytes(context.get_raw(1)),
        bytes(context.get_raw(2)),
    );
    let (Some(text), Some(pattern), Some(by)) = arguments else {
        return Ok(Made::Null);
    };
    if pattern.first().is_none_or(|first| *first == 0) {
        return Ok(Made::Text(text.into_owned()));
    }
    let most = usize::try_from(MAX_VALUE).unwrap_or(0);
    let mut made = Vec::with_capacity(text.len());
    let mut rest: &[u8] = &text;
    while let Some(at) = memmem::find(rest, &pattern) {
        made.extend_from_slice(rest.get(..at).unwrap_or_default());
        made.extend_from_slice(&by);
        rest = rest.get(at + pattern.len()..).unwrap_or_default();
        if made.len() > most {
            return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None));
        }
    }
    made.extend_from_slice(rest);
    Ok(Made::Text(made))
}

fn trim(context: &Context<'_>, left: bool, right: bool) -> Result<Made> {
    let (Some(text), Some(set)) = (bytes(context.get_raw(0)), bytes(context.get_raw(1))) else {
        return Ok(Made::Null);
    };
    // The engine reads the set as a C string, and tries its characters in order.
    let mut ranks: HashMap<&[u8], usize> = HashMap::new();
    for (rank, c) in chars(&set).take_while(|c| *c != [0]).enumerate() {
        ranks.entry(c).or_insert(rank);
    }
    let mut kept: &[u8] = &text;
    while let (true, Some(len)) = (left, first_in(&ranks, |len| kept.get(..len))) {
        kept = kept.get(len..).unwrap_or_default();
    }
    while let (true, Some(len)) = (
        right,
        first_in(&ranks, |len| {
            kept.len().checked_sub(len).and_then(|at| kept.get(at..))
        }),
    ) {
        kept = kept.get(..kept.len() - len).unwrap_or_default();
    }
    Ok(Made::Text(kept.to_vec()))
}

/// How many bytes the first character of the set takes that is found there. Characters of UTF-8 have
/// four at most; longer runs, which are none, are kept.
fn first_in<'t>(ranks: &HashMap<&[u8], usize>, there: impl Fn(usize) -> Option<&'t [u8]>) -> Option<usize> {
    let found = (1..=4).filter_map(|len| there(len).and_then(|c| ranks.get(c)).map(|rank| (rank, len)));
    found.min().map(|(_, len)| len)
}

fn starts_char(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Characters as the engine counts them (`SQLITE_SKIP_UTF8`): a byte, and if it opens a longer
/// character, the continuation bytes after it.
fn chars(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let more = rest
            .iter()
            .skip(1)
            .take_while(|byte| first >= 0xc0 && !starts_char(**byte));
        let (head, tail) = rest.split_at_checked(1 + more.count())?;
        rest = tail;
        Some(head)
    })
}

/// A value as text, as the engine converts it; `None` is NULL.
pub(super) fn bytes(value: ValueRef<'_>) -> Option<Cow<'_, [u8]>> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(integer) => Cow::Owned(integer.to_string().into_bytes()),
        ValueRef::Real(real) => Cow::Owned(decimal(real).into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cow::Borrowed(bytes),
    })
}

/// The engine's `%!.15g`: fifteen significant digits, no trailing zeros, always a decimal point.
fn decimal(real: f64) -> String {
    if real.is_infinite() {
        return if real > 0.0 {
            "Inf".to_owned()
        } else {
            "-Inf".to_owned()
        };
    }
    let scientific = format!("{real:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let tidy = |digits: &str| {
        let tidy = digits.trim_end_matches('0');
        if tidy.ends_with('.') {
            format!("{tidy}0")
        } else {
            tidy.to_owned()
        }
    };
    if (-4..15).contains(&exponent) {
        let places = usize::try_from(14 - exponent).unwrap_or(0);
        let fixed = format!("{real:.places$}");
        if fixed.contains('.') {
            tidy(&fixed)
        } else {
            format!("{fixed}.0")
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", tidy(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [&str; 27] = [
        "NULL",
        "''",
        "'a'",
        "'aa'",
        "'abcabcab'",
        "'xyx'",
        "'äöä'",
        "'ö'",
        "' a '",
        "1",
        "0",
        "-12",
        "1.5",
        "0.1",
        "100.0",
        "1e20",
        "-1e-7",
        "123456789012345678.0",
        "x'c3a4'",
        "x'61'",
        "x'a4'",
        "x''",
        "CAST(x'ff41fe' AS TEXT)",
        "'.'",
        "'e'",
        "'a' || char(0) || 'b'",
        "9e999",
    ];

    #[test]
    fn they_give_what_the_engines_own_give() {
        let (own, ours) = (
            Connection::open_in_memory().unwrap(),
            Connection::open_in_memory().unwrap(),
        );
        register(&ours).unwrap();
        let told = |conn: &Connection, sql: &str| {
            let mut statement = conn.prepare_cached(sql).unwrap();
            statement
                .query_row([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
                .unwrap()
        };
        for a in VALUES {
            for b in VALUES {
                for call in [
                    "instr(A, B)",
                    "trim(A, B)",
                    "ltrim(A, B)",
                    "rtrim(A, B)",
                    "replace(A, B, 'zz')",
                    "replace(A, 'a', B)",
                ] {
                    let call = call.replace('A', "\u{1}").replace('B', b).replace('\u{1}', a);
                    let sql = format!("SELECT hex(x) || '', typeof(x) FROM (SELECT {call} AS x)");
                    assert_eq!(told(&ours, &sql), told(&own, &sql), "{call}");
                }
            }
        }
    }

    #[test]
    fn reals_become_the_text_the_engine_makes_of_them() {
        let conn = Connection::open_in_memory().unwrap();
        let mut statement = conn.prepare("SELECT CAST(?1 AS TEXT)").unwrap();
        let mut seed = 7_u64;
        for n in 0..4_000_u32 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let money = f64::from(u32::try_from(seed >> 40).unwrap()) / 100.0;
            let scaled = money * 10_f64.powi(i32::try_from(n % 60).unwrap() - 30);
            for real in [money, -scaled, scaled] {
                let text: String = statement.query_row([real], |row| row.get(0)).unwrap();
                assert_eq!(decimal(real), text);
            }
        }
    }

    #[test]
    fn two_long_texts_are_done_in_no_time() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let sql = "WITH t(a, b) AS (SELECT replace(printf('%01000000d', 0), '0', 'a'), replace(printf('%0500000d', 0), '0', 'a') || 'b')
            SELECT instr(a, b), length(replace(a, b, '')), length(rtrim(b, a)), length(rtrim(a, b)), length(trim(a, 'b')) FROM t";
        let row = conn.query_row(sql, [], |row| {
            let at = |column: usize| row.get::<_, i64>(column);
            Ok([at(0)?, at(1)?, at(2)?, at(3)?, at(4)?])
        });
        assert_eq!(row.unwrap(), [0_i64, 1_000_000, 500_001, 0, 1_000_000]);
    }
}
