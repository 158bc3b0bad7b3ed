//! Tool name + JSON → [`Invocation`]; the catalogue.
//!
//! The built-in tools come from the argument types in `call::request`; declared ones from
//! `tools/*.toml` (`docs/tools.md`). The schema an agent is shown is also what its arguments are checked
//! against, so the two cannot disagree. Nothing here depends on who asks except which tools exist.

mod arguments;
mod catalogue;
mod manifest;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::call::request::{Parameters, SqlQuery};
use crate::call::{
    Action, Arrival, Code, Hash, Invocation, Refusal, Request, ResourceCard, ResourceKind, Visible,
};

use catalogue::BUILT_IN;
use manifest::Declared;

/// What an agent is told of a tool.
#[derive(Debug, Clone)]
pub struct ToolCard {
    /// Name on the wire.
    pub name: String,
    /// For people.
    pub title: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: Arc<Map<String, Value>>,
    /// JSON Schema of the envelope; admits every status.
    pub output_schema: Arc<Map<String, Value>>,
    /// What it does.
    pub action: Action,
}

/// The tool does not exist for this principal (JSON-RPC −32602).
#[derive(Debug)]
pub struct UnknownTool {
    /// As it was sent, cut at 128 characters.
    pub name: String,
}

/// Why an invocation could not be made.
#[derive(Debug)]
pub enum Misfit {
    /// No such tool for this principal.
    Tool(UnknownTool),
    /// Something about the arguments.
    Refused(Refusal),
}

impl From<Refusal> for Misfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why the declared tools could not be loaded. `Display` is for the operator: file, line, what to write.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct LoadError {
    /// The file (or folder).
    pub file: PathBuf,
    /// 1-based line, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// The catalogue: built-in and declared tools, loaded once.
#[derive(Debug)]
pub struct Tools {
    tools: Vec<Tool>,
    kinds: BTreeMap<String, ResourceKind>,
}

#[derive(Debug)]
struct Tool {
    card: ToolCard,
    /// The kind of resource it works on; `None` for `list_resources`.
    kind: Option<ResourceKind>,
    /// Present for tools from `tools/*.toml`.
    declared: Option<Declared>,
}

impl Tools {
    /// Loads the built-in tools and those declared by the `*.toml` files directly inside `dir`.
    ///
    /// # Errors
    /// The first thing wrong with a declared tool, with its file and line: unknown keys, a name that is
    /// taken, a resource that is not configured or of another kind, a placeholder without parameter.
    pub fn load(dir: Option<&Path>, cards: &[ResourceCard]) -> Result<Self, LoadError> {
        let kinds: BTreeMap<String, ResourceKind> =
            cards.iter().map(|card| (card.name.clone(), card.kind)).collect();
        let mut tools: Vec<Tool> = BUILT_IN
            .iter()
            .map(|built_in| Tool {
                card: built_in.card(),
                kind: built_in.kind,
                declared: None,
            })
            .collect();
        if let Some(dir) = dir {
            let declared = manifest::load(dir, &kinds)?;
            tools.extend(declared.into_iter().map(|declared| Tool {
                card: declared.card(),
                kind: Some(declared.kind),
                declared: Some(declared),
            }));
        }
        Ok(Self { tools, kinds })
    }

    /// Tools that exist for a principal: the built-in ones in a fixed order, then the declared ones by
    /// name. What a card says is the same for everybody.
    #[must_use]
    pub fn listed(&self, visible: &Visible) -> Vec<ToolCard> {
        self.tools
            .iter()
            .filter(|tool| self.exists(tool, visible))
            .map(|tool| tool.card.clone())
            .collect()
    }

    /// Names of every tool that is loaded, in the order of [`Tools::listed`]; for `check` and the matrix.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.card.name.as_str())
    }

    /// Checks and types a call.
    ///
    /// # Errors
    /// [`Misfit::Tool`] when the tool does not exist for this principal; otherwise a refusal that names
    /// the argument, what came and what was expected.
    #[tracing::instrument(level = "debug", skip_all, name = "tool")]
    pub fn invocation(&self, arrival: &Arrival, visible: &Visible) -> Result<Invocation, Misfit> {
        let tool = self
            .tools
            .iter()
            .find(|tool| tool.card.name == arrival.tool && self.exists(tool, visible))
            .ok_or_else(|| {
                Misfit::Tool(UnknownTool {
                    name: arrival.tool.chars().take(128).collect(),
                })
            })?;
        let given = arguments::check(&tool.card, &arrival.arguments)?;
        let resource = self.resource(tool, &given, visible)?;
        let (request, arguments) = match &tool.declared {
            None => catalogue::request(&tool.card.name, given)?,
            Some(declared) => declared_request(declared, resource.as_deref(), given)?,
        };
        Ok(Invocation {
            user: arrival.principal.user.id(),
            request_key: request_key(arrival, resource.as_deref(), &arguments),
            tool: tool.card.name.clone(),
            action: tool.card.action,
            resource,
            request,
            arguments,
        })
    }

    /// A tool exists iff some visible resource of its kind admits its action.
    fn exists(&self, tool: &Tool, visible: &Visible) -> bool {
        let fixed = tool
            .declared
            .as_ref()
            .and_then(|declared| declared.resource.as_ref());
        match (fixed, tool.kind) {
            (Some(name), _) => visible.may(tool.card.action, name),
            (None, None) => !visible.0.is_empty(),
            (None, Some(kind)) => self
                .kinds
                .iter()
                .any(|(name, its)| *its == kind && visible.may(tool.card.action, name)),
        }
    }

    /// The resource a call names, if it exists for the caller and the tool works on it.
    fn resource(
        &self,
        tool: &Tool,
        given: &Map<String, Value>,
        visible: &Visible,
    ) -> Result<Option<String>, Refusal> {
        if let Some(name) = tool
            .declared
            .as_ref()
            .and_then(|declared| declared.resource.clone())
        {
            return Ok(Some(name));
        }
        let (Some(kind), Some(name)) = (tool.kind, given.get("resource").and_then(Value::as_str)) else {
            return Ok(None);
        };
        match self.kinds.get(name) {
            Some(its) if visible.has(name) && *its == kind => Ok(Some(name.to_owned())),
            Some(its) if visible.has(name) => Err(self.wrong_tool(tool, kind, name, *its, visible)),
            _ => Err(Refusal::unknown_resource(name)),
        }
    }

    fn wrong_tool(
        &self,
        tool: &Tool,
        kind: ResourceKind,
        name: &str,
        its: ResourceKind,
        visible: &Visible,
    ) -> Refusal {
        let fitting: Vec<String> = self
            .tools
            .iter()
            .filter(|other| other.kind == Some(its) && other.declared.is_none())
            .filter(|other| visible.may(other.card.action, name))
            .map(|other| other.card.name.clone())
            .collect();
        let suggestion = match fitting.is_empty() {
            false => format!("For `{name}` use {}.", fitting.join(", ")),
            true => format!(
                "Choose a resource of kind {}: call list_resources.",
                kind.as_str()
            ),
        };
        Refusal::new(
            Code::WrongTool,
            format!(
                "`{name}` is of kind {}; {} works on kind {}.",
                its.as_str(),
                tool.card.name,
                kind.as_str()
            ),
            suggestion,
        )
    }
}

/// A declared call: the statement is the operator's, the agent gave values only.
fn declared_request(
    declared: &Declared,
    resource: Option<&str>,
    mut given: Map<String, Value>,
) -> Result<(Request, Value), Refusal> {
    let arguments = Value::Object(given.clone());
    let limit = given.remove("limit").and_then(|limit| limit.as_u64());
    let cursor = given
        .remove("cursor")
        .and_then(|cursor| cursor.as_str().map(str::to_owned));
    let parameters = declared.bind(&given)?;
    let request = SqlQuery {
        resource: resource.unwrap_or_default().to_owned(),
        statement: declared.statement.clone(),
        parameters: (!parameters.is_empty()).then_some(Parameters::Named(parameters)),
        limit,
        cursor,
    };
    Ok((Request::SqlQuery(request), arguments))
}

/// Contracts, "Identity of an action": the identical call of the same user through the same agent in the
/// same session has the same key.
fn request_key(arrival: &Arrival, resource: Option<&str>, arguments: &Value) -> Hash {
    Hash::of_json(&json!({
        "user": arrival.principal.user.id(),
        "client_id": arrival.principal.agent.client_id,
        "session": arrival.principal.session.id,
        "tool": arrival.tool,
        "resource": resource,
        "arguments": arguments,
    }))
}
