//! Checks the arguments of a call against the input schema the agent was shown.
//!
//! A message names the argument, what came (its type; the value only when it is short) and what was
//! expected. It says nothing about what exists.

use serde_json::{Map, Value};

use super::ToolCard;
use crate::call::{Code, Refusal, canonical};

/// Largest integer every JSON reader understands exactly (RFC 8259, section 6; RFC 7493). Beyond it two
/// different numbers would have the same canonical form, and so the same `request_key`.
const EXACT: u64 = (1 << 53) - 1;

/// Most bytes of all arguments together, in canonical form.
const MOST_BYTES: usize = 256 * 1024;

/// Most values bound to one statement.
const MOST_PARAMETERS: usize = 100;

/// Most texts in one list.
const MOST_ITEMS: usize = 256;

/// Most problems named in one message.
const MOST_PROBLEMS: usize = 4;

/// Words agents use for an argument that has another name here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("sql", "statement"),
    ("query", "statement"),
    ("query", "pattern"),
    ("search", "pattern"),
    ("text", "pattern"),
    ("params", "parameters"),
    ("args", "parameters"),
    ("values", "parameters"),
    ("file", "path"),
    ("filename", "path"),
    ("file_path", "path"),
    ("folder", "path"),
    ("dir", "path"),
    ("directory", "path"),
    ("branch", "ref"),
    ("tag", "ref"),
    ("revision", "ref"),
    ("commit", "ref"),
    ("database", "resource"),
    ("db", "resource"),
    ("repo", "resource"),
    ("repository", "resource"),
    ("from_line", "start_line"),
    ("to_line", "end_line"),
    ("max_results", "limit"),
    ("page_token", "cursor"),
    ("next_cursor", "cursor"),
];

/// What is wrong and what to do about it.
pub(super) type Problem = (String, String);

/// Checks names and types. Gives the arguments with nulls for optional ones dropped and whole numbers
/// written as integers.
///
/// # Errors
/// `invalid_arguments`, naming up to four problems.
pub(super) fn check(card: &ToolCard, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let empty = Map::new();
    let properties = card
        .input_schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let required: Vec<&str> = card
        .input_schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut problems: Vec<Problem> = Vec::new();
    let mut checked = Map::new();
    for (name, value) in given {
        match properties.get(name) {
            None => problems.push(unknown(card, properties, given, name)),
            Some(_) if value.is_null() && !required.contains(&name.as_str()) => {}
            Some(schema) => match one(name, schema, value) {
                Ok(value) => {
                    checked.insert(name.clone(), value);
                }
                Err(problem) => problems.push(problem),
            },
        }
        if problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    for name in required.iter().filter(|name| !given.contains_key(**name)) {
        let schema = properties.get(*name).unwrap_or(&Value::Null);
        problems.push((
            format!("`{name}` is missing."),
            format!("Add `{name}`: {}.", expected(schema)),
        ));
    }
    if problems.is_empty() && canonical(&Value::Object(checked.clone())).len() > MOST_BYTES {
        problems.push((
            format!("The arguments are larger than {MOST_BYTES} bytes."),
            "Send less in one call.".to_owned(),
        ));
    }
    if problems.is_empty() {
        return Ok(checked);
    }
    problems.truncate(MOST_PROBLEMS);
    let (wrong, better): (Vec<String>, Vec<String>) = problems.into_iter().unzip();
    let mut unique: Vec<String> = Vec::new();
    for hint in better {
        if !unique.contains(&hint) {
            unique.push(hint);
        }
    }
    Err(Refusal::new(
        Code::InvalidArguments,
        wrong.join(" "),
        unique.join(" "),
    ))
}

fn unknown(
    card: &ToolCard,
    properties: &Map<String, Value>,
    given: &Map<String, Value>,
    name: &str,
) -> Problem {
    let message = format!("{} has no argument {}.", card.name, called(name));
    let free = |candidate: &&String| !given.contains_key(*candidate);
    let meant = OTHER_NAMES
        .iter()
        .filter(|(other, _)| name.eq_ignore_ascii_case(other))
        .find_map(|(_, ours)| properties.keys().filter(free).find(|key| key == ours))
        .or_else(|| nearest(name, properties.keys().filter(free)));
    let hint = match meant {
        Some(meant) => format!("Did you mean `{meant}`?"),
        None if properties.is_empty() => "Call it without arguments.".to_owned(),
        None => {
            let names: Vec<String> = properties.keys().map(|key| format!("`{key}`")).collect();
            format!("It takes {}.", names.join(", "))
        }
    };
    (message, hint)
}

/// A name as it can be shown: short and plain, or only its length.
fn called(name: &str) -> String {
    let plain = name
        .chars()
        .all(|character| character.is_ascii_graphic() && character != '`');
    match (name.chars().count(), plain) {
        (1..=40, true) => format!("`{name}`"),
        (length, _) => format!("with that name ({length} characters)"),
    }
}

fn nearest<'a>(name: &str, keys: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_lowercase().replace(['-', ' '], "_");
    keys.map(|key| (distance(&name, key), key))
        .filter(|(distance, key)| *distance <= key.len().div_ceil(3))
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let change = diagonal + usize::from(a != *b);
            diagonal = *cell;
            *cell = change.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Checks one argument.
///
/// # Errors
/// What is wrong with it and what to send instead.
pub(super) fn one(name: &str, schema: &Value, value: &Value) -> Result<Value, Problem> {
    if name == "parameters" && schema.get("type").is_some_and(Value::is_array) {
        return parameters(schema, value);
    }
    if name == "lookup" && schema.get("type").and_then(Value::as_str) == Some("object") {
        return super::lookup::checked(value);
    }
    let wrong = || {
        (
            format!("`{name}` must be {}, but {} came.", expected(schema), what(value)),
            format!("Send `{name}` as {}.", expected(schema)),
        )
    };
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return if words.contains(value) {
            Ok(value.clone())
        } else {
            Err(wrong())
        };
    }
    match (schema.get("type").and_then(Value::as_str), value) {
        (Some("string"), Value::String(text)) => string(name, schema, text).map(|()| value.clone()),
        (Some("boolean"), Value::Bool(_)) => Ok(value.clone()),
        // Of another call: checked again by the schema of the tool that they are for.
        (Some("object"), Value::Object(_)) if name == "arguments" => Ok(value.clone()),
        (Some("array"), Value::Array(items)) => list(name, schema, items).map(|()| value.clone()),
        (Some("integer"), Value::Number(_)) => {
            let whole = integer(value).ok_or_else(wrong)?;
            let least = schema.get("minimum").and_then(Value::as_i64);
            let most = schema.get("maximum").and_then(Value::as_i64);
            let fits = least.is_none_or(|least| whole >= least) && most.is_none_or(|most| whole <= most);
            if fits { Ok(whole.into()) } else { Err(wrong()) }
        }
        (Some("number"), Value::Number(number)) => {
            let float = number.as_f64().filter(|_| exact(value)).ok_or_else(wrong)?;
            let least = schema.get("minimum").and_then(Value::as_f64);
            let most = schema.get("maximum").and_then(Value::as_f64);
            let fits = least.is_none_or(|least| float >= least) && most.is_none_or(|most| float <= most);
            if fits { Ok(value.clone()) } else { Err(wrong()) }
        }
        _ => Err(wrong()),
    }
}

/// Longest string of an argument, in bytes, where the schema does not say.
fn longest(name: &str) -> usize {
    match name {
        "statement" => 64 * 1024,
        "path" | "cursor" => 4096,
        "pattern" | "glob" | "ref" => 1024,
        "resource" | "table" => 200,
        _ => 4096,
    }
}

fn string(name: &str, schema: &Value, text: &str) -> Result<(), Problem> {
    let bytes = longest(name);
    let characters = schema.get("maxLength").and_then(Value::as_u64);
    if text.len() > bytes {
        return Err((
            format!("`{name}` has {} bytes; at most {bytes} are taken.", text.len()),
            format!("Send a shorter `{name}`."),
        ));
    }
    if let Some(most) = characters.filter(|most| text.chars().count() as u64 > *most) {
        return Err((
            format!(
                "`{name}` has {} characters; at most {most} are taken.",
                text.chars().count()
            ),
            format!("Send a shorter `{name}`."),
        ));
    }
    if text.contains('\0') {
        return Err((
            format!("`{name}` contains a NUL character."),
            "Leave it out.".to_owned(),
        ));
    }
    if matches!(name, "resource" | "statement" | "pattern" | "table") && text.is_empty() {
        return Err((
            format!("`{name}` is empty."),
            format!("Send {}.", expected(schema)),
        ));
    }
    Ok(())
}

/// A list of texts, such as an argument vector.
fn list(name: &str, schema: &Value, items: &[Value]) -> Result<(), Problem> {
    let most = schema.get("maxItems").and_then(Value::as_u64);
    let most = most.map_or(MOST_ITEMS, |most| usize::try_from(most).unwrap_or(MOST_ITEMS));
    if items.len() > most {
        return Err((
            format!("`{name}` has {} items; at most {most} are taken.", items.len()),
            format!("Send a shorter `{name}`."),
        ));
    }
    let each = schema.get("items").unwrap_or(&Value::Null);
    for (index, item) in items.iter().enumerate() {
        let name = format!("{name}[{index}]");
        match item {
            Value::String(text) => string(&name, each, text)?,
            other => {
                return Err((
                    format!("`{name}` must be a string, but {} came.", what(other)),
                    "Send every item as a string.".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn parameters(schema: &Value, value: &Value) -> Result<Value, Problem> {
    let size = match value {
        Value::Array(values) => values.len(),
        Value::Object(values) => values.len(),
        other => {
            return Err((
                format!(
                    "`parameters` must be {}, but {} came.",
                    expected(schema),
                    what(other)
                ),
                "Send a list for ?1, ?2 …, or an object for :name.".to_owned(),
            ));
        }
    };
    if size > MOST_PARAMETERS {
        return Err((
            format!("`parameters` has {size} values; at most {MOST_PARAMETERS} are taken."),
            "Bind fewer values.".to_owned(),
        ));
    }
    match value {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                scalar(&format!("parameters[{index}]"), value)?;
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                if !is_placeholder(name) {
                    return Err((
                        format!(
                            "`parameters` has a name that no placeholder can have: {}.",
                            called(name)
                        ),
                        "Use the placeholder's name without its colon: letters, digits, underscore."
                            .to_owned(),
                    ));
                }
                scalar(&format!("parameters.{name}"), value)?;
            }
        }
        _ => {}
    }
    Ok(value.clone())
}

/// What can stand after a colon: a letter or underscore, then letters, digits, underscores; 64 at most.
pub(super) fn is_placeholder(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn scalar(name: &str, value: &Value) -> Result<(), Problem> {
    match value {
        Value::Array(_) | Value::Object(_) => Err((
            format!(
                "`{name}` must be a string, number, boolean or null, but {} came.",
                what(value)
            ),
            "Bind one value per placeholder.".to_owned(),
        )),
        Value::Number(_) if !exact(value) => Err((
            format!("`{name}` is an integer beyond 2^53, which JSON does not carry exactly."),
            "Send it as a string; in the statement write CAST(:name AS INTEGER).".to_owned(),
        )),
        Value::String(text) if text.len() > 64 * 1024 => Err((
            format!("`{name}` has {} bytes; at most 65536 are taken.", text.len()),
            "Send a shorter value.".to_owned(),
        )),
        Value::String(text) if text.contains('\0') => Err((
            format!("`{name}` contains a NUL character."),
            "Leave it out.".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// A whole number, also when it is written as `5.0`, within what JSON carries exactly.
fn integer(value: &Value) -> Option<i64> {
    if let Some(float) = value.as_f64().filter(|_| value.is_f64()) {
        let whole = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_991.0;
        #[expect(clippy::cast_possible_truncation, reason = "checked on the line above")]
        return whole.then_some(float as i64);
    }
    value.as_i64().filter(|_| exact(value))
}

fn exact(value: &Value) -> bool {
    value.is_f64() || value.as_i64().is_some_and(|whole| whole.unsigned_abs() <= EXACT)
}

/// What a schema asks for, in words.
fn expected(schema: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        return format!("one of {}", words.join(", "));
    }
    let bound = |key: &str| schema.get(key).map(Value::to_string);
    let article = |kind: &str| match kind {
        "integer" | "array" | "object" => format!("an {kind}"),
        kind => format!("a {kind}"),
    };
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => article(kind),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<String> = kinds.iter().filter_map(Value::as_str).map(article).collect();
            kinds.join(" or ")
        }
        _ => "a value".to_owned(),
    };
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        (Some(least), None) => format!("{kind} of at least {least}"),
        (None, Some(most)) => format!("{kind} of at most {most}"),
        (None, None) => kind,
    }
}

/// What came: the type, and the value itself only when it is short and plain. It is shown whole or not
/// at all, so that the mask sees what it has to hide.
pub(super) fn what(value: &Value) -> String {
    let shown = |text: &str| {
        text.len() <= 32
            && text.chars().all(|character| {
                !character.is_control() && (character.is_ascii() || character.is_alphabetic())
            })
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if shown(text) => format!("the string {value}"),
        Value::String(text) => format!("a string of {} characters", text.chars().count()),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object with {} fields", fields.len()),
    }
}
