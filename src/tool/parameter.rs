//! A parameter of a declared tool: its type, its grammar, and whether a value fits.

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::arguments::what;
use crate::call::{Code, Refusal};

/// One parameter as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    #[serde(rename = "type")]
    kind: Kind,
    description: String,
    /// Absent: required, unless there is a default.
    required: Option<bool>,
    default: Option<Value>,
    min: Option<Value>,
    max: Option<Value>,
    max_length: Option<u64>,
    max_items: Option<u64>,
    pattern: Option<String>,
    values: Option<Vec<String>>,
    #[serde(skip)]
    compiled: Option<Regex>,
}

/// Most items of a list that does not say, and of any list.
const ITEMS: (u64, u64) = (32, 200);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Date,
    Enum,
    /// Several strings, each of the same grammar.
    List,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Date => "a date (YYYY-MM-DD)",
            Self::Enum => "one of the values",
            Self::List => "a list of strings",
        }
    }
}

impl Parameter {
    /// The parameter with its grammar compiled.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub(super) fn checked(mut self, name: &str) -> Result<Self, String> {
        self.own_keys()?;
        if let Some(pattern) = &self.pattern {
            self.compiled = Some(anchored(pattern)?);
        }
        if self.required == Some(true) && self.default.is_some() {
            return Err("`required = true` and `default` contradict each other".to_owned());
        }
        for (key, value) in [("default", &self.default), ("min", &self.min), ("max", &self.max)] {
            if !value.as_ref().is_none_or(|value| self.is_of_kind(value)) {
                return Err(format!("`{key}` is not {}", self.kind.words()));
            }
        }
        if let Some(default) = &self.default {
            self.accept(name, default)
                .map_err(|refusal| format!("`default`: {}", refusal.message))?;
        }
        Ok(self)
    }

    /// What a command asks of its parameters: a value in every place, and a grammar for every text.
    ///
    /// # Errors
    /// What is missing, for the operator.
    pub(super) fn fits_a_command(&self) -> Result<(), String> {
        match self.kind {
            Kind::String | Kind::List if self.pattern.is_none() => Err(
                "in a command a string needs `pattern`, a regular expression for the whole value; or make it an enum with `values`"
                    .to_owned(),
            ),
            Kind::Boolean => {
                Err("a boolean has no text in a command: use an enum, or write the option into the command".to_owned())
            }
            Kind::List => Ok(()),
            _ if self.required == Some(false) && self.default.is_none() => {
                Err("in a command every place needs a value: give a `default`".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What a statement asks: one value for each placeholder.
    ///
    /// # Errors
    /// For a list.
    pub(super) fn fits_a_statement(&self) -> Result<(), String> {
        match self.kind {
            Kind::List => {
                Err("a list is for commands; a statement binds one value per placeholder".to_owned())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        self.kind == Kind::List
    }

    /// Values that are known beforehand: an enum's words, a default, the least number.
    pub(super) fn known_values(&self) -> Vec<Value> {
        let words = self.values.iter().flatten().map(|word| json!(word));
        words.chain(self.default.clone()).collect()
    }

    /// Whether a number may be below zero, and so begin with a minus sign.
    pub(super) fn may_be_negative(&self) -> bool {
        let least = self.min.as_ref().and_then(Value::as_f64);
        matches!(self.kind, Kind::Integer | Kind::Number) && least.is_none_or(|least| least < 0.0)
    }

    /// The given value, else the default, else nothing.
    ///
    /// # Errors
    /// `invalid_arguments` when the given value does not fit.
    pub(super) fn value(&self, name: &str, given: Option<&Value>) -> Result<Option<Value>, Refusal> {
        match given {
            Some(value) => self.accept(name, value).map(|()| Some(value.clone())),
            None => Ok(self.default.clone()),
        }
    }

    /// Keys that mean nothing for this type are mistakes.
    fn own_keys(&self) -> Result<(), String> {
        let bounds = matches!(self.kind, Kind::Integer | Kind::Number | Kind::Date);
        if (self.min.is_some() || self.max.is_some()) && !bounds {
            return Err("`min` and `max` are for integer, number and date".to_owned());
        }
        let texts = matches!(self.kind, Kind::String | Kind::List);
        if (self.max_length.is_some() || self.pattern.is_some()) && !texts {
            return Err("`max_length` and `pattern` are for string and list".to_owned());
        }
        if self.max_items.is_some() && self.kind != Kind::List {
            return Err("`max_items` is for list".to_owned());
        }
        if self.max_items.is_some_and(|most| most > ITEMS.1) {
            return Err(format!("`max_items` is at most {}", ITEMS.1));
        }
        match (&self.values, self.kind) {
            (Some(values), Kind::Enum) if !values.is_empty() => Ok(()),
            (_, Kind::Enum) => Err("an enum needs `values` with at least one word".to_owned()),
            (Some(_), _) => Err("`values` is for enum".to_owned()),
            (None, _) => Ok(()),
        }
    }

    pub(super) fn is_required(&self) -> bool {
        self.default.is_none() && self.required != Some(false)
    }

    fn is_of_kind(&self, value: &Value) -> bool {
        match self.kind {
            Kind::String | Kind::Enum => value.is_string(),
            Kind::Integer => value.is_i64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Date => value.as_str().and_then(date).is_some(),
            Kind::List => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
        }
    }

    /// The parameter in an input schema.
    pub(super) fn schema(&self) -> Value {
        let mut schema = Map::new();
        if self.kind == Kind::List {
            let most = self.max_items.unwrap_or(ITEMS.0);
            schema.insert("type".into(), "array".into());
            schema.insert("items".into(), self.text_schema().into());
            schema.insert("maxItems".into(), most.into());
            schema.insert("description".into(), self.description.clone().into());
            return schema.into();
        }
        match (self.kind, &self.values) {
            (Kind::Enum, Some(values)) => schema.insert("enum".into(), json!(values)),
            (Kind::Integer, _) => schema.insert("type".into(), "integer".into()),
            (Kind::Number, _) => schema.insert("type".into(), "number".into()),
            (Kind::Boolean, _) => schema.insert("type".into(), "boolean".into()),
            _ => schema.insert("type".into(), "string".into()),
        };
        if self.kind == Kind::Date {
            schema.insert("format".into(), "date".into());
        } else {
            for (key, bound) in [("minimum", &self.min), ("maximum", &self.max)] {
                if let Some(bound) = bound {
                    schema.insert(key.into(), bound.clone());
                }
            }
        }
        if self.kind == Kind::String {
            schema.extend(self.text_schema());
        }
        schema.insert("description".into(), self.description.clone().into());
        if let Some(default) = &self.default {
            schema.insert("default".into(), default.clone());
        }
        schema.into()
    }

    fn text_schema(&self) -> Map<String, Value> {
        let mut schema = Map::from_iter([("type".to_owned(), json!("string"))]);
        if let Some(most) = self.max_length {
            schema.insert("maxLength".into(), most.into());
        }
        if let Some(pattern) = &self.pattern {
            schema.insert("pattern".into(), format!("^(?:{pattern})$").into());
        }
        schema
    }

    /// Checks what the schema check does not: patterns and dates.
    pub(super) fn accept(&self, name: &str, value: &Value) -> Result<(), Refusal> {
        if let Some(items) = value.as_array() {
            let mut numbered = items.iter().enumerate();
            return numbered.try_for_each(|(index, item)| self.accept_one(&format!("{name}[{index}]"), item));
        }
        self.accept_one(name, value)
    }

    fn accept_one(&self, name: &str, value: &Value) -> Result<(), Refusal> {
        let wrong = |expected: String| {
            Refusal::new(
                Code::InvalidArguments,
                format!("`{name}` must be {expected}, but {} came.", what(value)),
                format!("Send `{name}` as {expected}."),
            )
        };
        let Some(text) = value.as_str() else { return Ok(()) };
        match self.kind {
            Kind::Date => {
                let given = date(text).ok_or_else(|| wrong("a date such as 2026-01-31".to_owned()))?;
                let bound = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_str).and_then(date);
                if bound(&self.min).is_some_and(|least| given < least)
                    || bound(&self.max).is_some_and(|most| given > most)
                {
                    return Err(wrong(self.date_range()));
                }
                Ok(())
            }
            Kind::Enum
                if self
                    .values
                    .as_ref()
                    .is_some_and(|values| !values.iter().any(|word| word == text)) =>
            {
                Err(wrong(format!("one of {}", json!(self.values))))
            }
            Kind::String | Kind::List => match (&self.compiled, &self.pattern) {
                (Some(compiled), Some(pattern)) if !compiled.is_match(text) => {
                    Err(wrong(format!("a string that matches {pattern}")))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn date_range(&self) -> String {
        let word = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_str).map(str::to_owned);
        match (word(&self.min), word(&self.max)) {
            (Some(least), Some(most)) => format!("a date from {least} to {most}"),
            (Some(least), None) => format!("a date not before {least}"),
            (None, Some(most)) => format!("a date not after {most}"),
            (None, None) => self.kind.words().to_owned(),
        }
    }
}

/// A pattern for the whole value, whatever the author wrote. It must be complete on its own: `a)|(b`
/// would otherwise step out of the anchors.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    build(pattern)
        .and_then(|_| build(&format!("^(?:{pattern})$")))
        .map_err(|error| {
            let error = error.to_string();
            let reason = error
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            format!("`pattern` is not a regular expression: {reason}")
        })
}

/// A day of the calendar, `YYYY-MM-DD`, as a comparable triple.
fn date(text: &str) -> Option<(i32, u8, u8)> {
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let widths = year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none();
    let month = time::Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    (plain && widths).then_some((date.year(), u8::from(date.month()), date.day()))
}
