//! JSON Schemas as agents get them: complete, and without what costs tokens and says nothing.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The arguments of a built-in tool.
pub(super) fn input<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = terse(&generate::<T>(), true);
    schema.remove("description"); // the tool has its own
    schema.entry("properties").or_insert_with(|| json!({}));
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// The same without a word about each: their names say it.
pub(super) fn unexplained<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = input::<T>();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for field in properties.into_iter().flat_map(Map::values_mut) {
        if let Some(field) = field.as_object_mut() {
            field.retain(|name, _| name == "type");
        }
    }
    schema
}

/// The envelope around a tool's own data: what every answer has. What some have besides (`masked`,
/// `truncated`, `next_cursor`, `approval`, `note`, `refusal`) is told once, in the server's instructions,
/// and not with every tool.
pub(super) fn envelope(data: Value) -> Map<String, Value> {
    let schema = if data == any() {
        any()
    } else {
        json!({
            "type": "object",
            "properties": {
                "status": {"enum": ["ok", "approval_pending", "refused"]},
                "call_id": {"type": "string"},
                "data": data,
            },
        })
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// What `data` holds, one level deep: its fields, and which of them are always there. The shapes below
/// are told by the data itself.
pub(super) fn data<T: JsonSchema>() -> Value {
    let schema = terse(&generate::<T>(), false);
    let fields: Map<String, Value> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|fields| {
            fields
                .iter()
                .map(|(name, field)| (name.clone(), json!({"type": field.get("type")})))
                .collect()
        })
        .unwrap_or_default();
    json!({"type": "object", "properties": fields})
}

/// Whatever the tool that is waited for answers with.
pub(super) fn any() -> Value {
    json!({"type": "object"})
}

fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Drops titles, formats, defaults and nullable noise: an optional argument is absent, never null.
fn terse(schema: &Value, described: bool) -> Map<String, Value> {
    let mut out = Map::new();
    let Some(fields) = schema.as_object() else {
        return out;
    };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("title" | "$schema" | "default" | "additionalProperties", _) => {}
            ("format", Value::String(format)) if format == "uint64" => {
                // Every count and every line number an agent gives starts at one.
                out.insert("minimum".into(), 1.into());
            }
            ("format" | "minimum", _) => {}
            ("description", _) if !described => {}
            ("description", Value::String(text)) => {
                out.insert(key.clone(), text.trim_end_matches('.').into());
            }
            ("type", Value::Array(types)) => {
                let kept: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
                let kind = if let [only] = kept.as_slice() {
                    (*only).clone()
                } else {
                    json!(kept)
                };
                out.insert(key.clone(), kind);
            }
            ("properties", Value::Object(properties)) => {
                let properties: Map<String, Value> = properties
                    .iter()
                    .map(|(name, property)| (name.clone(), terse(property, described).into()))
                    .collect();
                out.insert(key.clone(), properties.into());
            }
            ("anyOf" | "oneOf", Value::Array(choices)) => choose(&mut out, choices),
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    if !described {
        out.remove("required");
    }
    out
}

/// One choice of types becomes a list of types, one choice of words a list of words.
fn choose(out: &mut Map<String, Value>, choices: &[Value]) {
    let real: Vec<&Value> = choices
        .iter()
        .filter(|choice| choice.get("type") != Some(&json!("null")))
        .collect();
    let words: Vec<&Value> = real.iter().filter_map(|choice| choice.get("const")).collect();
    if let [only] = real.as_slice() {
        let inner = terse(only, false);
        out.extend(inner);
    } else if words.len() == real.len() {
        out.insert("enum".into(), json!(words));
    } else {
        let types: Vec<&Value> = real.iter().filter_map(|choice| choice.get("type")).collect();
        out.insert("type".into(), json!(types));
    }
    if let Some(Value::Array(words)) = out.get("oneOf").cloned() {
        out.remove("oneOf");
        let words: Vec<Value> = words
            .iter()
            .filter_map(|word| word.get("const").cloned())
            .collect();
        out.insert("enum".into(), json!(words));
    }
}
