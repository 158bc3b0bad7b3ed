//! Values in and out: JSON scalars to the engine's types and back, without loss.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Statement;
use rusqlite::types::{Value as Sql, ValueRef};
use serde_json::{Value, json};

use crate::call::request::Parameters;
use crate::call::{Code, Refusal};

/// The largest integer every JSON reader keeps exactly (RFC 8259, 6).
const EXACT: u64 = 1 << 53;

/// The declared type of each column, in order; an expression has none.
pub(super) fn types(statement: &Statement<'_>) -> Vec<String> {
    let columns = statement.columns();
    let declared = columns
        .iter()
        .map(|column| column.decl_type().unwrap_or_default());
    declared.map(str::to_owned).collect()
}

/// What the names and types of columns take of an answer, in bytes.
pub(super) fn head(columns: &[String], types: &[String]) -> u64 {
    columns
        .iter()
        .chain(types)
        .map(|name| name.len() as u64 + 3)
        .sum()
}

/// Binds a call's parameters; every placeholder must have a value and every value a placeholder.
///
/// # Errors
/// `invalid_arguments`, naming the parameter.
pub(super) fn bind(statement: &mut Statement<'_>, parameters: Option<&Parameters>) -> Result<(), Refusal> {
    let wanted = statement.parameter_count();
    let bound = match parameters {
        None if wanted == 0 => return Ok(()),
        None => return Err(missing(statement, 1, wanted)),
        Some(Parameters::Positional(values)) => positional(statement, values)?,
        Some(Parameters::Named(values)) => named(statement, values)?,
    };
    for (index, value) in bound {
        statement
            .raw_bind_parameter(index, value)
            .map_err(|_| invalid(format!("Parameter {index} is too long."), "Send a shorter value."))?;
    }
    Ok(())
}

fn positional(statement: &Statement<'_>, values: &[Value]) -> Result<Vec<(usize, Sql)>, Refusal> {
    let wanted = statement.parameter_count();
    let named =
        (1..=wanted).find_map(|index| statement.parameter_name(index).filter(|n| !n.starts_with('?')));
    if let Some(name) = named {
        return Err(invalid(
            format!("The statement has the named placeholder `{name}`, but `parameters` is a list."),
            "Send `parameters` as an object, name to value.",
        ));
    }
    if values.len() < wanted {
        return Err(missing(statement, values.len() + 1, wanted));
    }
    if values.len() > wanted {
        return Err(invalid(
            format!(
                "`parameters` has {} values; the statement has {wanted} placeholders.",
                values.len()
            ),
            format!("Leave out value {} and those after it.", wanted + 1),
        ));
    }
    let numbered = values.iter().enumerate();
    numbered
        .map(|(at, value)| Ok((at + 1, scalar(value, &format!("parameters[{at}]"))?)))
        .collect()
}

fn named(
    statement: &Statement<'_>,
    values: &serde_json::Map<String, Value>,
) -> Result<Vec<(usize, Sql)>, Refusal> {
    let mut bound = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    for index in 1..=statement.parameter_count() {
        let Some(name) = statement
            .parameter_name(index)
            .filter(|name| !name.starts_with('?'))
        else {
            return Err(invalid(
                format!("Placeholder {index} has no name, but `parameters` is an object."),
                "Send `parameters` as a list, or name every placeholder (:name).",
            ));
        };
        let bare = name.get(1..).unwrap_or_default();
        let Some((key, value)) = values.get_key_value(bare).or_else(|| values.get_key_value(name)) else {
            return Err(invalid(
                format!("The placeholder `{name}` has no value."),
                format!("Add \"{bare}\" to `parameters`."),
            ));
        };
        used.insert(key);
        bound.push((index, scalar(value, key)?));
    }
    match values.keys().find(|key| !used.contains(key)) {
        Some(unused) => Err(invalid(
            format!("The parameter `{unused}` is not used by the statement."),
            format!("Leave it out, or write :{unused} where it belongs."),
        )),
        None => Ok(bound),
    }
}

fn missing(statement: &Statement<'_>, index: usize, wanted: usize) -> Refusal {
    let name = statement.parameter_name(index).unwrap_or("?");
    invalid(
        format!("Placeholder {index} (`{name}`) has no value; the statement has {wanted}."),
        "Send `parameters`: a list for ?1, ?2 …, or an object for :name.",
    )
}

fn scalar(value: &Value, name: &str) -> Result<Sql, Refusal> {
    match value {
        Value::Null => Ok(Sql::Null),
        Value::Bool(flag) => Ok(Sql::Integer(i64::from(*flag))),
        Value::String(text) => Ok(Sql::Text(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.is_u64(), number.as_f64()) {
            (Some(integer), _, _) => Ok(Sql::Integer(integer)),
            (None, false, Some(real)) => Ok(Sql::Real(real)),
            _ => Err(invalid(
                format!("The parameter `{name}` is beyond SQLite's 64-bit integers."),
                "Send it as a string if it is not a number to count with.",
            )),
        },
        Value::Array(_) | Value::Object(_) => Err(invalid(
            format!("The parameter `{name}` is a list or an object; a placeholder takes one scalar."),
            "Send a string, number, boolean or null; use json_each(:name) over a JSON text for a list.",
        )),
    }
}

/// An argument of the call that cannot be used.
pub(super) fn invalid(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}

/// A value as it travels: integers beyond ±2^53 and infinities are strings; blobs, and texts that are
/// not UTF-8, are {"base64": …, "bytes": n}.
pub(super) fn render(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) if integer.unsigned_abs() <= EXACT => json!(integer),
        ValueRef::Integer(integer) => Value::String(integer.to_string()),
        ValueRef::Real(real) if real.is_finite() => json!(real),
        ValueRef::Real(real) if real.is_nan() => Value::String("NaN".to_owned()),
        ValueRef::Real(real) if real > 0.0 => Value::String("Infinity".to_owned()),
        ValueRef::Real(_) => Value::String("-Infinity".to_owned()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => blob(bytes),
        },
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

fn blob(bytes: &[u8]) -> Value {
    json!({"base64": STANDARD.encode(bytes), "bytes": bytes.len()})
}

/// Bytes a value takes in the answer, found before it is copied; never less than it will take.
pub(super) fn cost(value: ValueRef<'_>) -> u64 {
    let bytes = match value {
        ValueRef::Null => 5,
        ValueRef::Integer(_) | ValueRef::Real(_) => 26,
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => text.bytes().map(escaped).sum::<usize>() + 3,
            Err(_) => blob_cost(text),
        },
        ValueRef::Blob(bytes) => blob_cost(bytes),
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn escaped(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..=0x1f => 6,
        _ => 1,
    }
}

fn blob_cost(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4 + 48
}
