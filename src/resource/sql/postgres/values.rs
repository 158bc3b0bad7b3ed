//! Values out: the server's own text of each, as JSON without loss.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::loader::Kind;
use crate::resource::sql::pages::{EXACT, bytes};

/// Deeper arrays do not exist (`MAXDIM`).
const DEPTH: usize = 6;

/// Numbers of types (`pg_type.dat`).
pub(super) mod oid {
    pub(in super::super) const BOOL: u32 = 16;
    pub(in super::super) const BYTEA: u32 = 17;
    pub(in super::super) const INT8: u32 = 20;
    pub(in super::super) const INT2: u32 = 21;
    pub(in super::super) const INT4: u32 = 23;
    pub(in super::super) const TEXT: u32 = 25;
    pub(in super::super) const OID: u32 = 26;
    pub(in super::super) const FLOAT4: u32 = 700;
    pub(in super::super) const FLOAT8: u32 = 701;
    pub(in super::super) const UNKNOWN: u32 = 705;
    pub(in super::super) const BPCHAR: u32 = 1042;
    pub(in super::super) const VARCHAR: u32 = 1043;
}

/// What the server calls a type; an array is `element[]`. Of a type that no schema of the resource has, nothing.
pub(super) fn name(oid: u32, kinds: &BTreeMap<u32, Kind>) -> String {
    let Some(kind) = kinds.get(&oid) else {
        return String::new();
    };
    match kind.element.and_then(|element| kinds.get(&element)) {
        Some(element) => format!("{}[]", element.name.1),
        None => kind.name.1.clone(),
    }
}

/// A value of a type as it travels: integers beyond ±2^53, numerics and what is no finite number are strings;
/// bytes are {"base64": …, "bytes": n}; arrays are lists. Everything else is the server's own text.
pub(super) fn render(text: &[u8], kind: u32, kinds: &BTreeMap<u32, Kind>) -> Value {
    let Ok(text) = std::str::from_utf8(text) else {
        return bytes(text); // a database whose encoding is SQL_ASCII holds anything
    };
    // What most columns are is no array, whatever the catalogue says of it.
    let element = match kind {
        oid::BOOL | oid::INT8 | oid::INT2 | oid::INT4 | oid::TEXT | oid::FLOAT8 | oid::VARCHAR => None,
        _ => kinds.get(&kind).and_then(|kind| kind.element),
    };
    match element {
        Some(element) => match List::read(text, element, kinds) {
            Some(list) => list,
            None => Value::String(text.to_owned()), // with bounds of its own: '[0:1]={…}'
        },
        None => scalar(text, kind),
    }
}

fn scalar(text: &str, kind: u32) -> Value {
    let whole = || Value::String(text.to_owned());
    match kind {
        oid::BOOL => match text {
            "t" => json!(true),
            "f" => json!(false),
            _ => whole(),
        },
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => match text.parse::<i64>() {
            Ok(integer) if integer.unsigned_abs() <= EXACT => json!(integer),
            _ => whole(),
        },
        oid::FLOAT4 | oid::FLOAT8 => match text.parse::<f64>() {
            Ok(real) if real.is_finite() => json!(real),
            _ => whole(),
        },
        oid::BYTEA => match text.strip_prefix("\\x").and_then(unhex) {
            Some(found) => bytes(&found),
            None => whole(),
        },
        _ => whole(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

/// An array's text, being read (PostgreSQL documentation, 8.15.6).
struct List<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    element: u32,
    delimiter: char,
}

impl<'t> List<'t> {
    fn read(text: &'t str, element: u32, kinds: &BTreeMap<u32, Kind>) -> Option<Value> {
        // The one type of the server's own with another delimiter.
        let is_box = kinds.get(&element).is_some_and(|kind| kind.name.1 == "box");
        let mut list = Self {
            rest: text.chars().peekable(),
            element,
            delimiter: if is_box { ';' } else { ',' },
        };
        let value = list.list(DEPTH)?;
        list.rest.next().is_none().then_some(value)
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        if self.rest.next()? != '{' {
            return None;
        }
        let mut found = Vec::new();
        if self.rest.next_if_eq(&'}').is_some() {
            return Some(Value::Array(found));
        }
        loop {
            found.push(match self.rest.peek()? {
                '{' => self.list(depth.checked_sub(1)?)?,
                '"' => self.quoted()?,
                _ => self.plain(),
            });
            match self.rest.next()? {
                '}' => return Some(Value::Array(found)),
                next if next == self.delimiter => {}
                _ => return None,
            }
        }
    }

    fn quoted(&mut self) -> Option<Value> {
        let mut text = String::new();
        self.rest.next();
        loop {
            match self.rest.next()? {
                '"' => return Some(scalar(&text, self.element)),
                '\\' => text.push(self.rest.next()?),
                other => text.push(other),
            }
        }
    }

    fn plain(&mut self) -> Value {
        let mut text = String::new();
        let delimiter = self.delimiter;
        while let Some(next) = self.rest.next_if(|next| *next != delimiter && *next != '}') {
            text.push(next);
        }
        match text.as_str() {
            "NULL" => Value::Null,
            text => scalar(text, self.element),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> BTreeMap<u32, Kind> {
        let name = |name: &str| ("pg_catalog".to_owned(), name.to_owned());
        let kind = |of: &str, element| Kind {
            name: name(of),
            send: name("x"),
            element,
            allowed: true,
        };
        BTreeMap::from([
            (1007, kind("_int4", Some(oid::INT4))),
            (1009, kind("_text", Some(oid::TEXT))),
            (1001, kind("_bytea", Some(oid::BYTEA))),
            (603, kind("box", None)),
            (1020, kind("_box", Some(603))),
        ])
    }

    #[test]
    fn arrays_are_lists_of_what_they_hold() {
        for (text, kind, value) in [
            ("{}", 1007, json!([])),
            ("{1,NULL,-3}", 1007, json!([1, null, -3])),
            ("{{1,2},{3,4}}", 1007, json!([[1, 2], [3, 4]])),
            (
                r#"{a,"b,c","NULL",NULL,"q\"\\"}"#,
                1009,
                json!(["a", "b,c", "NULL", null, "q\"\\"]),
            ),
            (r#"{"\\x00ff"}"#, 1001, json!([{"base64": "AP8=", "bytes": 2}])),
            (
                "{(1,1),(0,0);(2,2),(1,1)}",
                1020,
                json!(["(1,1),(0,0)", "(2,2),(1,1)"]),
            ),
            ("[0:1]={1,2}", 1007, json!("[0:1]={1,2}")),
        ] {
            assert_eq!(render(text.as_bytes(), kind, &kinds()), value, "{text}");
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        for (text, kind, value) in [
            ("9007199254740992", oid::INT8, json!(9_007_199_254_740_992_i64)),
            ("9007199254740993", oid::INT8, json!("9007199254740993")),
            ("-9223372036854775808", oid::INT8, json!("-9223372036854775808")),
            ("0.1", oid::FLOAT4, json!(0.1)),
            ("NaN", oid::FLOAT8, json!("NaN")),
            ("-Infinity", oid::FLOAT8, json!("-Infinity")),
            ("12.50", 1700, json!("12.50")),
        ] {
            assert_eq!(render(text.as_bytes(), kind, &kinds()), value, "{text}");
        }
    }
}
