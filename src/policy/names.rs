//! Names and words a policy uses that nothing knows: a typing mistake in a `forbid` fails open, so
//! it has to fail at load.

use std::collections::BTreeSet;

use cedar_policy::EntityUid;
use serde_json::Value;

use super::{Scene, schema};

/// How many known names an error lists.
const LISTED: usize = 20;

/// What a policy's conditions speak of.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// How often `context.satisfied` is named.
    pub(super) satisfied: usize,
    /// `context` used as a whole, behind which `satisfied` could hide.
    pub(super) bare_context: bool,
    /// Literals compared with a field: the field's path, the literal.
    pub(super) compared: BTreeSet<(String, String)>,
}

impl Mentions {
    /// Reads conditions in Cedar's JSON form.
    pub(super) fn of(conditions: &[Value]) -> Self {
        let mut found = Self::default();
        for condition in conditions {
            if let Some(body) = condition.get("body") {
                found.walk(body);
            }
        }
        found
    }

    fn walk(&mut self, node: &Value) {
        match node {
            Value::Array(nodes) => nodes.iter().for_each(|node| self.walk(node)),
            Value::Object(fields) => {
                for (operator, operands) in fields {
                    self.operator(operator, operands);
                }
            }
            _ => {}
        }
    }

    fn operator(&mut self, operator: &str, operands: &Value) {
        match operator {
            "Value" => return,
            "Var" => {
                self.bare_context |= operands == "context";
                return;
            }
            "." | "has" if operands.pointer("/left/Var").is_some_and(|var| var == "context") => {
                if operands.get("attr").is_some_and(|attr| attr == "satisfied") {
                    self.satisfied += 1;
                }
                return;
            }
            "==" | "!=" | "contains" | "containsAll" | "containsAny" => self.compare(operands),
            _ => {}
        }
        self.walk(operands);
    }

    fn compare(&mut self, operands: &Value) {
        let (Some(left), Some(right)) = (operands.get("left"), operands.get("right")) else {
            return;
        };
        for (field, other) in [(left, right), (right, left)] {
            if let Some(path) = path(field) {
                for literal in literals(other) {
                    self.compared.insert((path.clone(), literal.to_owned()));
                }
            }
        }
    }
}

/// `context.session.labels`, for a chain of fields that starts at a variable.
fn path(node: &Value) -> Option<String> {
    if let Some(var) = node.get("Var") {
        return var.as_str().map(str::to_owned);
    }
    let field = node.get(".")?;
    let attr = field.get("attr")?.as_str()?;
    Some(format!("{}.{attr}", path(field.get("left")?)?))
}

/// The text literals of a value or of a set of values.
fn literals(node: &Value) -> Vec<&str> {
    if let Some(text) = node.get("Value").and_then(Value::as_str) {
        return vec![text];
    }
    node.get("Set")
        .and_then(Value::as_array)
        .map(|set| {
            set.iter()
                .filter_map(|member| member.get("Value").and_then(Value::as_str))
                .collect()
        })
        .unwrap_or_default()
}

/// A name that is used and not known.
#[derive(Debug)]
pub(super) struct Unknown {
    /// As written.
    pub(super) name: String,
    /// What kind of thing it should have been.
    pub(super) what: String,
    /// Where such names come from, and the ones there are.
    pub(super) help: String,
}

/// Every name configuration knows.
#[derive(Debug)]
pub(super) struct Known<'a> {
    groups: BTreeSet<&'a str>,
    resources: BTreeSet<&'a str>,
    labels: BTreeSet<&'a str>,
    classes: BTreeSet<&'a str>,
    tools: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        let words = |names: &'a BTreeSet<String>| names.iter().map(String::as_str).collect();
        let mut classes: BTreeSet<&str> = words(&scene.classes);
        classes.insert(super::UNLISTED);
        Self {
            groups: words(&scene.groups),
            resources: scene.resources.iter().map(|card| card.name.as_str()).collect(),
            labels: scene
                .resources
                .iter()
                .flat_map(|card| card.labels.iter().map(String::as_str))
                .collect(),
            classes,
            tools: words(&scene.tools),
        }
    }

    /// Checks an entity a policy names.
    pub(super) fn entity(&self, uid: &EntityUid, types: &schema::Types) -> Option<Unknown> {
        let name = uid.id().unescaped();
        let kind = uid.type_name();
        if *kind == types.group {
            return self.group(name);
        }
        if *kind == types.resource {
            return self.resource(name);
        }
        if *kind == types.label {
            return self.label(name);
        }
        let shaped = name
            .split_once('#')
            .is_some_and(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
        (*kind == types.user && !shaped).then(|| Unknown {
            name: name.to_owned(),
            what: "user".to_owned(),
            help: "A user is written as <issuer name>#<subject>, on stdio local#<uid>@<host>.".to_owned(),
        })
    }

    /// Checks a literal that a policy compares with a field.
    pub(super) fn word(&self, path: &str, literal: &str) -> Option<Unknown> {
        if let Some(words) = schema::words(path) {
            return unknown(
                literal,
                &format!("value of {path}"),
                "the schema",
                &words.into_iter().collect(),
            );
        }
        match path {
            "context.class" => self.class(literal),
            "context.tool" => self.tool(literal),
            "context.session.labels" => self.label(literal),
            _ => None,
        }
    }

    pub(super) fn group(&self, name: &str) -> Option<Unknown> {
        unknown(name, "group", "[groups]", &self.groups)
    }

    pub(super) fn resource(&self, name: &str) -> Option<Unknown> {
        unknown(name, "resource", "[[resource]]", &self.resources)
    }

    pub(super) fn label(&self, name: &str) -> Option<Unknown> {
        unknown(name, "label", "`labels` of [[resource]]", &self.labels)
    }

    pub(super) fn class(&self, name: &str) -> Option<Unknown> {
        unknown(name, "class", "[classes]", &self.classes)
    }

    pub(super) fn tool(&self, name: &str) -> Option<Unknown> {
        unknown(name, "tool", "the catalogue", &self.tools)
    }
}

fn unknown(name: &str, what: &str, source: &str, known: &BTreeSet<&str>) -> Option<Unknown> {
    if known.contains(name) {
        return None;
    }
    let listed: Vec<&str> = known.iter().copied().take(LISTED).collect();
    let more = if known.len() > LISTED { " …" } else { "" };
    let help = if listed.is_empty() {
        format!("There is none: {source} is empty.")
    } else {
        format!("Known from {source}: {}{more}.", listed.join(", "))
    };
    Some(Unknown {
        name: name.to_owned(),
        what: what.to_owned(),
        help,
    })
}
