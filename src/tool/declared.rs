//! A declared tool, checked: what an agent is told of it, and what a call of it asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::command::Template;
use super::parameter::Parameter;
use super::steps::StepTemplate;
use super::{ToolCard, catalogue};
use crate::call::request::{Parameters, ShellRun, SqlExecute, SqlQuery};
use crate::call::{Action, Hash, Refusal, Request, ResourceKind};

/// A tool from `tools/*.toml`.
#[derive(Debug)]
pub(super) struct Declared {
    pub name: String,
    pub title: String,
    pub description: String,
    /// The kind of its resource; none for steps.
    pub kind: Option<ResourceKind>,
    pub resource: Option<String>,
    pub does: Does,
    pub parameters: BTreeMap<String, Parameter>,
    /// Where it is declared.
    pub file: PathBuf,
    /// Of the whole file: part of every `request_key`, so that what people agreed to for one definition
    /// is not agreed to for another.
    pub digest: Hash,
}

/// What a declared tool does.
#[derive(Debug)]
pub(super) enum Does {
    /// One SELECT.
    Query(String),
    /// One statement that changes a database.
    Change(String),
    /// One program.
    Command {
        template: Template,
        /// Whether the work folder is to be writable.
        change: bool,
        timeout_seconds: Option<u64>,
    },
    /// Other tools, in order.
    Steps {
        steps: Vec<StepTemplate>,
        /// Whether one of them may change something.
        change: bool,
    },
}

impl Declared {
    pub(super) fn steps(&self) -> Option<&[StepTemplate]> {
        match &self.does {
            Does::Steps { steps, .. } => Some(steps),
            _ => None,
        }
    }

    /// Whether a call may change something at a target. A command's work folder is read-only unless its
    /// file says `change = true`.
    pub(super) fn changes(&self) -> bool {
        match self.does {
            Does::Query(_) => false,
            Does::Change(_) => true,
            Does::Command { change, .. } | Does::Steps { change, .. } => change,
        }
    }

    /// What the tool promises, in the policy's words. For steps it is what a client is told; each step
    /// is decided as its own tool.
    pub(super) fn action(&self) -> Action {
        match self.does {
            Does::Query(_) => Action::SqlRead,
            Does::Change(_) => Action::SqlWrite,
            Does::Command { .. } => Action::ShellRun,
            Does::Steps { change: true, .. } => Action::SqlWrite,
            Does::Steps { .. } => Action::Describe,
        }
    }

    pub(super) fn card(&self) -> ToolCard {
        let mut properties = Map::new();
        let mut required: Vec<&str> = Vec::new();
        if self.resource.is_none() && self.kind.is_some() {
            let schema = json!({"type": "string", "description": "Resource name"});
            properties.insert("resource".into(), schema);
            required.push("resource");
        }
        for (name, parameter) in &self.parameters {
            properties.insert(name.clone(), parameter.schema());
            if parameter.is_required() && !parameter.is_list() {
                required.push(name);
            }
        }
        for (name, schema) in self.own_arguments() {
            properties.insert(name.into(), schema);
        }
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
            output_schema: Arc::new(catalogue::declared_envelope(&self.does)),
            action: self.action(),
        }
    }

    /// Arguments that a tool has without declaring them.
    fn own_arguments(&self) -> Vec<(&'static str, Value)> {
        let reason = json!({"type": "string", "description": "Why, for the reviewer"});
        match self.does {
            Does::Query(_) => vec![
                (
                    "limit",
                    json!({"type": "integer", "minimum": 1, "description": "Most rows"}),
                ),
                (
                    "cursor",
                    json!({"type": "string", "description": "From next_cursor"}),
                ),
            ],
            Does::Change(_) | Does::Command { .. } | Does::Steps { change: true, .. } => {
                vec![("reason", reason)]
            }
            Does::Steps { .. } => Vec::new(),
        }
    }

    /// The call: what it does is the operator's, the agent gave values only. Steps are expanded by
    /// [`super::Tools`].
    ///
    /// # Errors
    /// `invalid_arguments` when a value does not fit its grammar.
    pub(super) fn request(&self, resource: &str, given: &Map<String, Value>) -> Result<Request, Refusal> {
        let resource = resource.to_owned();
        let reason = word(given, "reason");
        match &self.does {
            Does::Query(statement) => Ok(Request::SqlQuery(SqlQuery {
                lookup: None,
                resource,
                statement: statement.clone(),
                parameters: self.bound(given)?,
                limit: given.get("limit").and_then(Value::as_u64),
                cursor: word(given, "cursor"),
            })),
            Does::Change(statement) => Ok(Request::SqlExecute(SqlExecute {
                resource,
                statement: statement.clone(),
                parameters: self.bound(given)?,
                reason,
            })),
            Does::Command {
                template,
                change,
                timeout_seconds,
            } => Ok(Request::ShellRun(ShellRun {
                resource,
                argv: Some(template.argv(&self.values(given)?)?),
                command: None,
                change: change.then_some(true),
                timeout_seconds: *timeout_seconds,
                reason,
            })),
            Does::Steps { .. } => Err(Refusal::internal("steps are no request of their own")),
        }
    }

    /// The value of every parameter that has one: given, else the default.
    ///
    /// # Errors
    /// `invalid_arguments` when a given value does not fit.
    pub(super) fn values(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let mut values = Map::new();
        for (name, parameter) in &self.parameters {
            if let Some(value) = parameter.value(name, given.get(name))? {
                values.insert(name.clone(), value);
            }
        }
        Ok(values)
    }

    /// The value of every placeholder of a statement; one that has none is NULL.
    fn bound(&self, given: &Map<String, Value>) -> Result<Option<Parameters>, Refusal> {
        let mut values = self.values(given)?;
        for name in self.parameters.keys() {
            values.entry(name.clone()).or_insert(Value::Null);
        }
        Ok((!values.is_empty()).then_some(Parameters::Named(values)))
    }
}

fn word(given: &Map<String, Value>, name: &str) -> Option<String> {
    given.get(name).and_then(Value::as_str).map(str::to_owned)
}
