//! Tools with steps: other tools in a fixed order, with arguments made from the tool's own.
//!
//! A step is a call like any other: nothing here decides or runs anything. What one step answers never
//! reaches another step's arguments, and a value fills a whole argument, so it becomes neither a
//! statement nor a command line.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::arguments::{self, is_placeholder};
use super::declared::{Declared, Does};
use super::parameter::Parameter;
use super::{LoadError, Misfit, Tool, Tools};
use crate::call::request::{Step, Steps};
use crate::call::{Action, CallId, Refusal, ResourceKind, Visible};

/// Most steps of one tool.
pub(super) const MOST: usize = 10;

/// Arguments whose text is code: they are the operator's, from beginning to end.
const CODE: [&str; 3] = ["statement", "command", "argv"];

/// How `toml` hands a date to a reader that knows none.
const DATE: &str = "$__toml_private_datetime";

/// One step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub tool: Spanned<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    on_error: OnError,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnError {
    /// The first refusal is the end.
    #[default]
    Stop,
    /// A refusal of this step is noted, and the next one is taken.
    Continue,
}

/// One step, checked on its own.
#[derive(Debug)]
pub(super) struct StepTemplate {
    pub tool: String,
    arguments: Map<String, Value>,
    goes_on: bool,
    /// 1-based.
    pub line: usize,
}

impl StepTemplate {
    /// Reads a step as it is written.
    ///
    /// # Errors
    /// What to write instead, for the author.
    pub(super) fn parse(
        written: Written,
        line: usize,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Self, String> {
        for (name, value) in &written.arguments {
            check(value, parameters).map_err(|why| format!("`{name}`: {why}"))?;
        }
        Ok(Self {
            tool: written.tool.into_inner(),
            arguments: written.arguments,
            goes_on: written.on_error == OnError::Continue,
            line,
        })
    }

    /// Names of the parameters that have a place.
    pub(super) fn uses(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.arguments
            .values()
            .for_each(|value| collect(value, &mut names));
        names
    }

    /// The step's arguments for these values. An argument whose parameter has no value is left out.
    fn arguments(&self, values: &Map<String, Value>) -> Map<String, Value> {
        let filled = self.arguments.iter().filter_map(|(name, value)| {
            let empty = value
                .as_str()
                .and_then(place)
                .is_some_and(|name| !values.contains_key(name));
            (!empty).then(|| (name.clone(), fill(value, values)))
        });
        filled.collect()
    }

    /// Whether a call of this step may change something: as the tool says, and for a built-in command
    /// as the step's `change` says.
    fn changes(&self, tool: &Tool) -> bool {
        match (&tool.declared, tool.card.action) {
            (Some(declared), _) => declared.changes(),
            (None, Action::ShellRun) => !matches!(
                self.arguments.get("change"),
                None | Some(Value::Null | Value::Bool(false))
            ),
            (None, action) => !action.is_pure_read(),
        }
    }
}

/// The name in a text that is one placeholder and nothing else.
fn place(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    is_placeholder(name).then_some(name)
}

/// A value fills a whole text, or nothing of it.
fn check(value: &Value, parameters: &BTreeMap<String, Parameter>) -> Result<(), String> {
    match value {
        Value::String(text) => match place(text) {
            Some(name) if parameters.contains_key(name) => Ok(()),
            Some(name) => Err(format!("`{text}` has no [parameters.{name}]")),
            None => match parameters
                .keys()
                .find(|name| text.contains(&format!("{{{name}}}")))
            {
                Some(name) => Err(format!(
                    "`{{{name}}}` must be the whole text: a value does not become part of another one"
                )),
                None => Ok(()),
            },
        },
        Value::Array(items) => items.iter().try_for_each(|item| check(item, parameters)),
        Value::Object(fields) if fields.contains_key(DATE) => Err("write a date in quotes".to_owned()),
        Value::Object(fields) => fields.values().try_for_each(|field| check(field, parameters)),
        _ => Ok(()),
    }
}

fn collect<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => names.extend(place(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, names)),
        _ => {}
    }
}

fn fill(value: &Value, values: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => match place(text) {
            Some(name) => values.get(name).cloned().unwrap_or(Value::Null),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, values)).collect(),
        Value::Object(fields) => {
            let filled = fields
                .iter()
                .map(|(name, field)| (name.clone(), fill(field, values)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

impl Tools {
    /// Checks the steps of every tool against the tools they name, and notes which tools change something.
    ///
    /// # Errors
    /// The first step that could not be taken, with its line.
    pub(super) fn settle_steps(&mut self) -> Result<(), LoadError> {
        let mut changing = Vec::new();
        for (index, tool) in self.tools.iter().enumerate() {
            let Some(declared) = &tool.declared else { continue };
            let Some(steps) = declared.steps() else { continue };
            for (number, step) in (1..).zip(steps) {
                let changes = self.settle(step).and_then(|changes| match number < steps.len() {
                    true if changes => Err(
                        "only the last step may change something: the ones before it run again when people had to be asked"
                            .to_owned(),
                    ),
                    _ => Ok(changes),
                });
                match changes {
                    Ok(true) => changing.push(index),
                    Ok(false) => {}
                    Err(why) => {
                        return Err(LoadError {
                            file: declared.file.clone(),
                            line: Some(step.line),
                            message: format!("step {number} ({}): {why}", step.tool),
                        });
                    }
                }
            }
        }
        for index in changing {
            let Some(tool) = self.tools.get_mut(index) else {
                continue;
            };
            let Some(declared) = &mut tool.declared else {
                continue;
            };
            if let Does::Steps { change, .. } = &mut declared.does {
                *change = true;
            }
            tool.card = declared.card();
        }
        Ok(())
    }

    /// Whether a step may change something.
    fn settle(&self, step: &StepTemplate) -> Result<bool, String> {
        let tool = self.tools.iter().find(|tool| tool.card.name == step.tool);
        let tool = tool.ok_or("there is no such tool")?;
        if tool
            .declared
            .as_ref()
            .is_some_and(|declared| declared.steps().is_some())
        {
            return Err("a step cannot be a tool with steps".to_owned());
        }
        if tool.card.name == "approval_wait" {
            return Err(
                "waiting is not a step: sending the same call again goes on where it waited".to_owned(),
            );
        }
        if tool.card.name == super::ACCESS_REQUEST {
            return Err("asking ahead is not a step".to_owned());
        }
        let schema = &tool.card.input_schema;
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, value) in &step.arguments {
            let Some(schema) = properties.and_then(|properties| properties.get(name)) else {
                return Err(format!("the tool has no argument `{name}`"));
            };
            let mut names = BTreeSet::new();
            collect(value, &mut names);
            if names.is_empty() {
                self.literal(tool, name, schema, value)?;
            } else if tool.declared.is_none() && CODE.contains(&name.as_str()) {
                return Err(format!(
                    "`{name}` is code, so no value may stand in it: bind `parameters`, or declare a command as a tool of its own"
                ));
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !step.arguments.contains_key(name) {
                return Err(format!("the argument `{name}` is missing"));
            }
        }
        Ok(step.changes(tool))
    }

    /// A value that stands in the file must fit now, not at the first call.
    fn literal(&self, tool: &Tool, name: &str, schema: &Value, value: &Value) -> Result<(), String> {
        arguments::one(name, schema, value).map_err(|(wrong, better)| format!("{wrong} {better}"))?;
        let parameter = tool
            .declared
            .as_ref()
            .and_then(|declared| declared.parameters.get(name));
        if let Some(parameter) = parameter {
            parameter.accept(name, value).map_err(|refusal| refusal.message)?;
        }
        let its = |resource: &str| self.kinds.get(resource);
        if let ("resource", Some(resource)) = (name, value.as_str())
            && !tool.kinds.is_empty()
            && !its(resource).is_some_and(|its| tool.kinds.contains(its))
        {
            return Err(format!(
                "no resource `{resource}` of kind {} is configured",
                ResourceKind::words(&tool.kinds)
            ));
        }
        Ok(())
    }

    /// A tool with steps exists for whoever every step's tool exists for, on the resource it names.
    pub(super) fn steps_exist(&self, steps: &[StepTemplate], visible: &Visible) -> bool {
        steps.iter().all(|step| {
            let named = step.arguments.get("resource").and_then(Value::as_str);
            let named = named.filter(|name| place(name).is_none());
            self.tools.iter().any(|tool| {
                tool.card.name == step.tool
                    && self.exists(tool, visible)
                    && named.is_none_or(|name| visible.may(tool.card.action, name))
            })
        })
    }

    /// The calls that a call of a tool with steps makes. Every one of them is checked before the first
    /// is made; each is checked and decided again when its turn comes.
    ///
    /// # Errors
    /// As [`Tools::invocation`]; what a step refuses names the step.
    pub(super) fn steps_of(
        &self,
        declared: &Declared,
        steps: &[StepTemplate],
        call_id: &CallId,
        given: &Map<String, Value>,
        visible: &Visible,
    ) -> Result<Steps, Misfit> {
        let values = declared.values(given)?;
        let mut calls = Vec::with_capacity(steps.len());
        for (number, step) in (1..).zip(steps) {
            let tool = self.find(&step.tool, visible)?;
            let mut arguments = step.arguments(&values);
            if let (true, Some(reason)) = (step.changes(tool), given.get("reason")) {
                arguments.entry("reason").or_insert_with(|| reason.clone());
            }
            self.typed(tool, call_id, &arguments, visible)
                .map_err(|misfit| named(misfit, number, &step.tool))?;
            calls.push(Step {
                call_id: call_id.step(number),
                tool: step.tool.clone(),
                arguments,
                goes_on: step.goes_on,
            });
        }
        Ok(Steps {
            steps: calls,
            change: declared.changes(),
        })
    }
}

fn named(misfit: Misfit, number: usize, tool: &str) -> Misfit {
    match misfit {
        Misfit::Refused(refusal) => Misfit::Refused(Refusal {
            message: format!("Step {number} ({tool}): {}", refusal.message),
            ..refusal
        }),
        unknown @ Misfit::Tool(_) => unknown,
    }
}
