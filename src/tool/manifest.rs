//! Tools a deployment declares: `tools/*.toml`, one tool per file, no code. Format: `docs/tools.md`.
//!
//! What a declared tool runs is fixed by its file; an agent gives values, which are checked here and
//! bound by the adapter, never pasted. The statement is inspected at each call like one an agent wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Spanned;

use super::arguments::{is_placeholder, what};
use super::catalogue::{BUILT_IN, rows_envelope};
use super::{LoadError, ToolCard};
use crate::call::{Action, Code, Refusal, ResourceKind};

/// Names that every declared tool has anyway.
const RESERVED: [&str; 3] = ["resource", "limit", "cursor"];

/// Largest file, in bytes.
const LARGEST: u64 = 256 * 1024;

/// A file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    title: String,
    description: Spanned<String>,
    kind: Spanned<ResourceKind>,
    resource: Option<Spanned<String>>,
    statement: Spanned<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<Parameter>>,
}

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
    pattern: Option<String>,
    values: Option<Vec<String>>,
    #[serde(skip)]
    compiled: Option<Regex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Date,
    Enum,
}

/// A declared tool, checked.
#[derive(Debug)]
pub(super) struct Declared {
    pub name: String,
    title: String,
    description: String,
    pub kind: ResourceKind,
    pub resource: Option<String>,
    pub statement: String,
    parameters: BTreeMap<String, Parameter>,
}

/// Loads every `*.toml` directly inside a folder, sorted by tool name.
pub(super) fn load(dir: &Path, kinds: &BTreeMap<String, ResourceKind>) -> Result<Vec<Declared>, LoadError> {
    let failed = |file: &Path, error: &std::io::Error| LoadError {
        file: file.to_owned(),
        line: None,
        message: format!("cannot be read: {error}"),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut tools: BTreeMap<String, (PathBuf, Declared)> = BTreeMap::new();
    for path in files {
        let size = std::fs::metadata(&path)
            .map_err(|error| failed(&path, &error))?
            .len();
        if size > LARGEST {
            return Err(LoadError {
                file: path,
                line: None,
                message: format!("is larger than {LARGEST} bytes; a tool is one statement"),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let declared = Source {
            path: &path,
            text: &text,
        }
        .declared(kinds)?;
        if let Some((other, _)) = tools.get(&declared.name) {
            return Err(LoadError {
                message: format!(
                    "`{}` is already declared in {}; choose another name",
                    declared.name,
                    other.display()
                ),
                file: path,
                line: None,
            });
        }
        tools.insert(declared.name.clone(), (path, declared));
    }
    Ok(tools.into_values().map(|(_, declared)| declared).collect())
}

/// One file while it is checked: knows where things are.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, at: Option<usize>, message: impl Into<String>) -> LoadError {
        LoadError {
            file: self.path.to_owned(),
            line: at.map(|at| self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1),
            message: message.into(),
        }
    }

    fn declared(&self, kinds: &BTreeMap<String, ResourceKind>) -> Result<Declared, LoadError> {
        let file: File = toml::from_str(self.text)
            .map_err(|error| self.wrong(error.span().map(|span| span.start), error.message()))?;
        self.name(&file.name)?;
        if file.title.trim().is_empty() || file.description.get_ref().trim().is_empty() {
            let at = Some(file.description.span().start);
            return Err(self.wrong(at, "`title` and `description` must say what the tool does"));
        }
        if file.description.get_ref().chars().count() > 500 {
            let at = Some(file.description.span().start);
            return Err(self.wrong(
                at,
                "`description` is longer than 500 characters; every agent reads it in every session",
            ));
        }
        if *file.kind.get_ref() != ResourceKind::Sqlite {
            let at = Some(file.kind.span().start);
            return Err(self.wrong(at, "a declared tool is a query: `kind` must be \"sqlite\""));
        }
        let kind = file.kind.into_inner();
        if let Some(resource) = &file.resource {
            self.resource(resource, kind, kinds)?;
        }
        let mut parameters = BTreeMap::new();
        for (name, parameter) in &file.parameters {
            parameters.insert(name.clone(), self.parameter(name, parameter)?);
        }
        self.statement(&file.statement, &file.parameters)?;
        Ok(Declared {
            name: file.name.into_inner(),
            title: file.title,
            description: file.description.into_inner(),
            kind,
            resource: file.resource.map(Spanned::into_inner),
            statement: file.statement.into_inner(),
            parameters,
        })
    }

    fn name(&self, name: &Spanned<String>) -> Result<(), LoadError> {
        let (at, name) = (Some(name.span().start), name.get_ref());
        let mut bytes = name.bytes();
        let fits = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && name.len() <= 40;
        if !fits {
            return Err(self.wrong(
                at,
                format!("the name {name:?} must be lower-case letters, digits and _, begin with a letter, and have at most 40 characters"),
            ));
        }
        if BUILT_IN.iter().any(|tool| tool.name == name) {
            return Err(self.wrong(at, format!("`{name}` is a built-in tool; choose another name")));
        }
        Ok(())
    }

    fn resource(
        &self,
        resource: &Spanned<String>,
        kind: ResourceKind,
        kinds: &BTreeMap<String, ResourceKind>,
    ) -> Result<(), LoadError> {
        let (at, name) = (Some(resource.span().start), resource.get_ref());
        match kinds.get(name) {
            Some(its) if *its == kind => Ok(()),
            Some(its) => Err(self.wrong(
                at,
                format!("resource `{name}` is of kind {}, this tool of kind {}", its.as_str(), kind.as_str()),
            )),
            None => Err(self.wrong(
                at,
                format!("no resource `{name}` is configured; name one, or leave `resource` out to make it an argument"),
            )),
        }
    }

    fn parameter(&self, name: &str, spanned: &Spanned<Parameter>) -> Result<Parameter, LoadError> {
        let wrong = |message: String| {
            self.wrong(
                Some(spanned.span().start),
                format!("parameter `{name}`: {message}"),
            )
        };
        if !is_placeholder(name) {
            return Err(wrong(
                "a name is letters, digits and _, and begins with a letter".to_owned(),
            ));
        }
        if RESERVED.contains(&name) {
            return Err(wrong(
                "this name is taken: every tool has `limit` and `cursor`, some have `resource`".to_owned(),
            ));
        }
        let mut parameter = spanned.get_ref().clone();
        parameter.own_keys().map_err(wrong)?;
        if let Some(pattern) = &parameter.pattern {
            parameter.compiled = Some(anchored(pattern).map_err(wrong)?);
        }
        if parameter.required == Some(true) && parameter.default.is_some() {
            return Err(wrong(
                "`required = true` and `default` contradict each other".to_owned(),
            ));
        }
        for (key, value) in [
            ("default", &parameter.default),
            ("min", &parameter.min),
            ("max", &parameter.max),
        ] {
            let fits = value.as_ref().is_none_or(|value| parameter.is_of_kind(value));
            if !fits {
                return Err(wrong(format!("`{key}` is not {}", parameter.kind.words())));
            }
        }
        if let Some(default) = &parameter.default {
            parameter
                .accept(name, default)
                .map_err(|refusal| wrong(format!("`default`: {}", refusal.message)))?;
        }
        Ok(parameter)
    }

    /// Every placeholder is declared, every parameter is used, and there is one kind of placeholder.
    fn statement(
        &self,
        statement: &Spanned<String>,
        parameters: &BTreeMap<String, Spanned<Parameter>>,
    ) -> Result<(), LoadError> {
        let span = statement.span();
        if statement.get_ref().trim().is_empty() {
            return Err(self.wrong(Some(span.start), "`statement` is empty"));
        }
        let mut used = BTreeSet::new();
        for placeholder in placeholders(statement.get_ref()) {
            let at = self.find(&span, &placeholder.text);
            match placeholder.name {
                Some(name) if parameters.contains_key(&name) => {
                    used.insert(name);
                }
                Some(name) => {
                    return Err(self.wrong(at, format!("`:{name}` has no [parameters.{name}]")));
                }
                None => {
                    return Err(
                        self.wrong(at, format!("`{}`: write placeholders as :name", placeholder.text))
                    );
                }
            }
        }
        match parameters.iter().find(|(name, _)| !used.contains(*name)) {
            Some((name, parameter)) => Err(self.wrong(
                Some(parameter.span().start),
                format!("parameter `{name}` is not used: put :{name} into the statement, outside of quotes and comments"),
            )),
            None => Ok(()),
        }
    }

    /// Where a piece of the statement stands in the file.
    fn find(&self, span: &Range<usize>, text: &str) -> Option<usize> {
        let inside = self.text.get(span.clone())?;
        Some(span.start + inside.find(text).unwrap_or_default())
    }
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
        }
    }
}

impl Parameter {
    /// Keys that mean nothing for this type are mistakes.
    fn own_keys(&self) -> Result<(), String> {
        let bounds = matches!(self.kind, Kind::Integer | Kind::Number | Kind::Date);
        if (self.min.is_some() || self.max.is_some()) && !bounds {
            return Err("`min` and `max` are for integer, number and date".to_owned());
        }
        if (self.max_length.is_some() || self.pattern.is_some()) && self.kind != Kind::String {
            return Err("`max_length` and `pattern` are for string".to_owned());
        }
        match (&self.values, self.kind) {
            (Some(values), Kind::Enum) if !values.is_empty() => Ok(()),
            (_, Kind::Enum) => Err("an enum needs `values` with at least one word".to_owned()),
            (Some(_), _) => Err("`values` is for enum".to_owned()),
            (None, _) => Ok(()),
        }
    }

    fn is_required(&self) -> bool {
        self.default.is_none() && self.required != Some(false)
    }

    fn is_of_kind(&self, value: &Value) -> bool {
        match self.kind {
            Kind::String | Kind::Enum => value.is_string(),
            Kind::Integer => value.is_i64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Date => value.as_str().and_then(date).is_some(),
        }
    }

    /// The parameter in an input schema.
    fn schema(&self) -> Value {
        let mut schema = Map::new();
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
        if let Some(most) = self.max_length {
            schema.insert("maxLength".into(), most.into());
        }
        if let Some(pattern) = &self.pattern {
            schema.insert("pattern".into(), format!("^(?:{pattern})$").into());
        }
        schema.insert("description".into(), self.description.clone().into());
        if let Some(default) = &self.default {
            schema.insert("default".into(), default.clone());
        }
        schema.into()
    }

    /// Checks what the schema check does not: patterns and dates.
    fn accept(&self, name: &str, value: &Value) -> Result<(), Refusal> {
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
            Kind::String => match (&self.compiled, &self.pattern) {
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

impl Declared {
    pub(super) fn card(&self) -> ToolCard {
        let mut properties = Map::new();
        let mut required: Vec<&str> = Vec::new();
        if self.resource.is_none() {
            properties.insert(
                "resource".into(),
                json!({"type": "string", "description": "Resource name"}),
            );
            required.push("resource");
        }
        for (name, parameter) in &self.parameters {
            properties.insert(name.clone(), parameter.schema());
            if parameter.is_required() {
                required.push(name);
            }
        }
        properties.insert(
            "limit".into(),
            json!({"type": "integer", "minimum": 1, "description": "Most rows"}),
        );
        properties.insert(
            "cursor".into(),
            json!({"type": "string", "description": "From next_cursor"}),
        );
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), properties.into());
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        schema.insert("additionalProperties".into(), false.into());
        ToolCard {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            input_schema: Arc::new(schema),
            output_schema: Arc::new(rows_envelope()),
            action: Action::SqlRead,
        }
    }

    /// The value of every placeholder: given, else the default, else NULL.
    pub(super) fn bind(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        self.parameters
            .iter()
            .map(|(name, parameter)| {
                let value = match given.get(name) {
                    Some(value) => {
                        parameter.accept(name, value)?;
                        value.clone()
                    }
                    None => parameter.default.clone().unwrap_or(Value::Null),
                };
                Ok((name.clone(), value))
            })
            .collect()
    }
}

/// A placeholder in a statement; `name` is there for `:name` only.
struct Placeholder {
    text: String,
    name: Option<String>,
}

/// Placeholders outside of string literals, quoted names and comments.
fn placeholders(statement: &str) -> Vec<Placeholder> {
    let mut found = Vec::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '\'' | '"' | '`' => 1 + until(rest.get(1..), &first.to_string()),
            '[' => 1 + until(rest.get(1..), "]"),
            '-' if rest.starts_with("--") => until(Some(rest), "\n"),
            '/' if rest.starts_with("/*") => 2 + until(rest.get(2..), "*/"),
            ':' | '@' | '$' | '?' => {
                let name: String = rest
                    .chars()
                    .skip(1)
                    .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
                    .collect();
                found.push(Placeholder {
                    text: format!("{first}{name}"),
                    name: (first == ':' && is_placeholder(&name)).then(|| name.clone()),
                });
                1 + name.len()
            }
            // A name may contain `$`; a placeholder begins a word.
            character if character.is_alphanumeric() || character == '_' => rest
                .find(|next: char| !next.is_alphanumeric() && next != '_' && next != '$')
                .unwrap_or(rest.len()),
            character => character.len_utf8(),
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    found
}

/// Bytes up to and with an ending; all when it does not come.
fn until(text: Option<&str>, ending: &str) -> usize {
    let text = text.unwrap_or_default();
    text.find(ending).map_or(text.len(), |at| at + ending.len())
}
