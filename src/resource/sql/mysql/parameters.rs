//! Values in: JSON scalars. What a text means as a number or a date is for the server to say.

use serde_json::Value;
use sqlx::Arguments;
use sqlx::mysql::MySqlArguments;

use super::guard::Checked;
use crate::call::Refusal;
use crate::call::request::Parameters;
use crate::resource::sql::pages::invalid;

/// What is bound to the text that is sent.
///
/// # Errors
/// `invalid_arguments`, naming the parameter and never its value.
pub(super) fn bind(checked: &Checked, parameters: Option<&Parameters>) -> Result<MySqlArguments, Refusal> {
    bind_from(checked, parameters, 0)
}

/// The same for the part of the text that begins behind so many `?`.
///
/// # Errors
/// As [`bind`].
pub(super) fn bind_from(
    checked: &Checked,
    parameters: Option<&Parameters>,
    skipped: usize,
) -> Result<MySqlArguments, Refusal> {
    let values: Vec<(String, &Value)> = match parameters {
        None => Vec::new(),
        Some(Parameters::Positional(values)) => {
            let numbered = values.iter().enumerate();
            numbered
                .map(|(at, value)| (format!("number {}", at + 1), value))
                .collect()
        }
        Some(Parameters::Named(values)) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
    };
    for (at, (name, value)) in values.iter().enumerate() {
        if matches!(value, Value::Array(_) | Value::Object(_)) {
            return Err(invalid(
                format!("The parameter `{name}` is a list or an object; a placeholder takes one scalar."),
                "Send one parameter for each value, or JSON as a text.",
            ));
        }
        if !checked.order.contains(&at) {
            return Err(invalid(
                format!("The parameter `{name}` is not used by the statement."),
                "Leave it out, or use it where it belongs.",
            ));
        }
    }
    let mut arguments = MySqlArguments::default();
    for at in checked.order.iter().skip(skipped) {
        let Some((_, value)) = values.get(*at) else {
            return Err(invalid(
                format!("Placeholder {} has no value.", at + 1),
                "Send `parameters`: a list with one value for each `?`, in order.",
            ));
        };
        let added = match value {
            Value::Bool(flag) => arguments.add(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => arguments.add(integer),
                (None, Some(integer)) => arguments.add(integer),
                (None, None) => arguments.add(number.as_f64()),
            },
            Value::String(text) => arguments.add(text),
            _ => arguments.add(None::<String>),
        };
        added.map_err(|_| Refusal::internal("mysql: a parameter cannot be sent"))?;
    }
    Ok(arguments)
}
