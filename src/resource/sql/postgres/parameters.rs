//! Values in: JSON scalars, as whatever type the statement wants. What a text means as a type is for the
//! server's own input function to say.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments, Encode, Executor, Postgres, Row, Statement, Type};

use super::link::{Link, quoted};
use super::loader::Kind;
use super::refusals::{self, Asked};
use super::values::oid;
use crate::call::Refusal;
use crate::call::request::Parameters;
use crate::resource::sql::pages::invalid;

/// A value as it is sent: of a type, and in that type's binary form.
struct Wire {
    kind: u32,
    bytes: Option<Vec<u8>>,
}

impl Type<Postgres> for Wire {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(oid::UNKNOWN))
    }
}

impl Encode<'_, Postgres> for Wire {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.kind)))
    }
}

/// What is to be bound to the text that will be sent; `placeholders` is how many it has.
///
/// # Errors
/// `invalid_arguments`, naming the parameter and never its value; what the server says of the text.
pub(super) async fn bind(
    link: &mut Link,
    text: &str,
    asked: Asked<'_>,
    (parameters, placeholders): (Option<&Parameters>, usize),
    kinds: &BTreeMap<u32, Kind>,
) -> Result<PgArguments, Refusal> {
    let values: Vec<(String, &Value)> = match parameters {
        None => Vec::new(),
        Some(Parameters::Positional(values)) => {
            let numbered = values.iter().enumerate();
            numbered
                .map(|(at, value)| (format!("${}", at + 1), value))
                .collect()
        }
        Some(Parameters::Named(values)) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
    };
    for (name, value) in &values {
        plain(name, value)?;
    }
    if placeholders == 0 {
        fits(&values, 0)?;
        return Ok(PgArguments::default());
    }
    let sql = sqlx::AssertSqlSafe(text.to_owned());
    let prepared = link.conn()?.prepare(sqlx::SqlSafeStr::into_sql_str(sql)).await;
    let prepared = prepared.map_err(|error| refusals::running(&error, asked))?;
    let wanted: Vec<u32> = match prepared.parameters() {
        Some(sqlx::Either::Left(kinds)) => kinds
            .iter()
            .map(|kind| kind.oid().map_or(0, |oid| oid.0))
            .collect(),
        _ => Vec::new(),
    };
    fits(&values, wanted.len())?;
    let mut arguments = PgArguments::default();
    for ((name, value), kind) in values.iter().zip(wanted) {
        let bytes = match text_of(value) {
            None => None,
            Some(text) => Some(match native(value, &text, kind) {
                Some(bytes) => bytes,
                None => converted(link, name, &text, kind, kinds).await?,
            }),
        };
        let added = arguments.add(Wire { kind, bytes });
        added.map_err(|_| Refusal::internal("postgres: a parameter cannot be sent"))?;
    }
    Ok(arguments)
}

fn fits(values: &[(String, &Value)], wanted: usize) -> Result<(), Refusal> {
    if values.len() < wanted {
        return Err(invalid(
            format!(
                "Placeholder ${} has no value; the statement has {wanted}.",
                values.len() + 1
            ),
            "Send `parameters`: a list for $1, $2 …",
        ));
    }
    match values.get(wanted) {
        None => Ok(()),
        Some((name, _)) => Err(invalid(
            format!("The parameter `{name}` is not used by the statement."),
            "Leave it out, or use it where it belongs.",
        )),
    }
}

/// Only scalars, and no NUL, which the server's texts cannot hold.
fn plain(name: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Array(_) | Value::Object(_) => Err(invalid(
            format!("The parameter `{name}` is a list or an object; a placeholder takes one scalar."),
            "Send it as a text: '{1,2}' for an array (x = ANY($1::int[])), JSON for a json value.",
        )),
        Value::String(text) if text.contains('\0') => Err(invalid(
            format!("The parameter `{name}` has a NUL character, which PostgreSQL cannot hold."),
            "Leave that character out.",
        )),
        _ => Ok(()),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The binary form of what needs nobody's help.
fn native(value: &Value, text: &str, kind: u32) -> Option<Vec<u8>> {
    match (kind, value) {
        (oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::UNKNOWN, _) => Some(text.as_bytes().to_vec()),
        (oid::BOOL, Value::Bool(flag)) => Some(vec![u8::from(*flag)]),
        (oid::INT2, Value::Number(number)) => {
            let small = i16::try_from(number.as_i64()?).ok()?;
            Some(small.to_be_bytes().to_vec())
        }
        (oid::INT4, Value::Number(number)) => {
            let middle = i32::try_from(number.as_i64()?).ok()?;
            Some(middle.to_be_bytes().to_vec())
        }
        (oid::INT8, Value::Number(number)) => Some(number.as_i64()?.to_be_bytes().to_vec()),
        (oid::FLOAT8, Value::Number(number)) => Some(number.as_f64()?.to_be_bytes().to_vec()),
        _ => None,
    }
}

/// Has the server read the text as the type, and send it back as it wants to have it.
async fn converted(
    link: &mut Link,
    name: &str,
    text: &str,
    kind: u32,
    kinds: &BTreeMap<u32, Kind>,
) -> Result<Vec<u8>, Refusal> {
    let known = kinds.get(&kind).filter(|kind| kind.allowed);
    let Some(known) = known else {
        return Err(invalid(
            format!("The placeholder of the parameter `{name}` has a type that cannot be given a value."),
            "Cast it to a type of PostgreSQL's own, as in $1::text.",
        ));
    };
    let whole = |(schema, name): &(String, String)| format!("{}.{}", quoted(schema), quoted(name));
    let (send, of) = (whole(&known.send), whole(&known.name));
    let question = format!("SELECT {send}(CAST($1::pg_catalog.text AS {of}))");
    let question = sqlx::query(sqlx::AssertSqlSafe(question)).persistent(false);
    let row = question.bind(text).fetch_one(link.conn()?).await;
    let unfit = |error: sqlx::Error| match error {
        sqlx::Error::Database(_) => invalid(
            format!(
                "The parameter `{name}` is not a value of type {}.",
                known.name.1.trim_start_matches('_')
            ),
            "Send a value of that type, or cast the placeholder to another.",
        ),
        error => refusals::away(&error),
    };
    row.and_then(|row| row.try_get::<Vec<u8>, _>(0)).map_err(unfit)
}
