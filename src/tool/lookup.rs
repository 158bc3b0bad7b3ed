//! A value that is looked up, out of sight: what the journal and the hashes see of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::Problem;
use crate::call::{Code, Refusal, Request};

/// Column and value → what may be kept of them: equal for equal ones, and made with a key.
pub type Digesting = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// The same, with nothing to show of itself.
pub(super) struct Digest(pub(super) Digesting);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// The arguments with a digest in the place of the value.
///
/// # Errors
/// `statement_refused` where nothing can be looked up: no column has tokens.
pub(super) fn digested(
    request: &Request,
    mut arguments: Value,
    digest: Option<&Digest>,
) -> Result<Value, Refusal> {
    if matches!(request, Request::AccessRequest(_)) {
        return Ok(meant(arguments, digest));
    }
    let Some(lookup) = request.lookup() else {
        return Ok(arguments);
    };
    let digest = digest.ok_or_else(|| {
        Refusal::new(
            Code::StatementRefused,
            "Nothing can be looked up here: no column is shown as tokens.",
            "Leave `lookup` out, and pass values as parameters.",
        )
    })?;
    let kept = (digest.0)(&lookup.column, &lookup.value);
    if let Some(value) = arguments.pointer_mut("/lookup/value") {
        *value = Value::String(kept);
    }
    Ok(arguments)
}

/// The same for the arguments of a call that is asked about ahead, in whatever form they are: nothing has checked them,
/// and the hashes of the asking are on record.
fn meant(mut arguments: Value, digest: Option<&Digest>) -> Value {
    let Some(lookup) = arguments.pointer_mut("/arguments/lookup") else {
        return arguments;
    };
    let text = |name: &str| lookup.get(name).and_then(Value::as_str);
    let column = text("column");
    let kept = match (digest, column, text("value")) {
        (Some(digest), Some(column), Some(value)) => (digest.0)(column, value),
        _ => "[masked:lookup]".to_owned(),
    };
    *lookup = json!({"column": column, "value": kept});
    arguments
}

/// Checks the argument, and repeats nothing of it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn checked(value: &Value) -> Result<Value, Problem> {
    let texts = ["column", "value"].map(|name| value.get(name).and_then(Value::as_str));
    let two = value.as_object().is_some_and(|members| members.len() == 2);
    let problem = match texts {
        [Some(column), Some(text)] if two => {
            if column.len() <= 200 && text.len() <= 4096 && !text.contains('\0') {
                return Ok(value.clone());
            }
            "A member of `lookup` is too long, or has a NUL character."
        }
        _ => "`lookup` must have a `column` and a `value`, both texts, and nothing else.",
    };
    Err((
        problem.to_owned(),
        "Send `lookup` as {\"column\": \"table.column\", \"value\": \"…\"}.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{Digest, digested};
    use crate::call::Request;
    use crate::call::request::AccessRequest;

    /// What the asking has instead of the arguments of the call that is meant.
    fn kept(arguments: &serde_json::Value, digest: Option<&Digest>) -> serde_json::Value {
        let access = AccessRequest {
            tool: "sql_query".to_owned(),
            arguments: arguments.as_object().expect("an object").clone(),
            reason: "why".to_owned(),
            minutes: None,
        };
        let whole = json!(access);
        let kept = digested(&Request::AccessRequest(access), whole, digest).expect("arguments");
        kept["arguments"].clone()
    }

    /// The hashes of a call are on record, and whoever reads them could try values.
    #[test]
    fn a_value_is_in_no_hash_of_asking_ahead() {
        let digest = Digest(Arc::new(|column, _| format!("hmac:{column}")));
        let one = json!({"statement": "SELECT :lookup", "lookup": {"column": "c.email", "value": "dan@example.com"}});
        let made = kept(&one, Some(&digest));
        assert_eq!(
            made["lookup"],
            json!({"column": "c.email", "value": "hmac:c.email"})
        );
        assert_eq!(made["statement"], one["statement"]);
        for lookup in [
            json!({"column": "c.email", "value": "dan@example.com"}),
            json!({"column": "c.email", "value": ["dan@example.com"]}),
            json!({"column": 1, "value": "dan@example.com", "more": "dan@example.com"}),
            json!(["dan@example.com"]),
            json!("dan@example.com"),
        ] {
            let kept = kept(&json!({ "lookup": lookup }), None).to_string();
            assert!(!kept.contains("dan") && kept.contains("masked"), "{kept}");
        }
        assert_eq!(kept(&json!({"statement": "x"}), None), json!({"statement": "x"}));
    }
}
