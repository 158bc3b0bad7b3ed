//! Tool name + JSON → [`Invocation`]; the catalogue.
//!
//! The built-in tools come from the argument types in `call::request`; declared ones from
//! `tools/*.toml` (`docs/tools.md`). The schema an agent is shown is also what its arguments are checked
//! against, so the two cannot disagree. Nothing here depends on who asks except which tools exist.

mod arguments;
mod catalogue;
mod command;
mod declared;
mod lookup;
mod manifest;
mod parameter;
mod schema;
mod statement;
mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::call::{
    Action, Arrival, CallId, Code, Hash, Invocation, Refusal, Request, ResourceCard, ResourceKind, Visible,
};

use catalogue::{ACCESS_REQUEST, BUILT_IN};
use declared::Declared;
pub use lookup::Digesting;

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
    digest: Option<lookup::Digest>,
    ahead: bool,
}

#[derive(Debug)]
struct Tool {
    card: ToolCard,
    /// The kinds of resource it works on; none for `list_resources`, `approval_wait` and tools with steps.
    kinds: Vec<ResourceKind>,
    /// Present for tools from `tools/*.toml`.
    declared: Option<Declared>,
}

/// What agents are told of the built-in tools, which every server has.
#[must_use]
pub fn built_in() -> Vec<ToolCard> {
    let everywhere = BUILT_IN.iter().filter(|tool| tool.name != ACCESS_REQUEST); // only where people approve for a while
    everywhere.map(catalogue::BuiltIn::card).collect()
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
                kinds: built_in.kinds.to_vec(),
                declared: None,
            })
            .collect();
        if let Some(dir) = dir {
            let declared = manifest::load(dir, &kinds)?;
            tools.extend(declared.into_iter().map(|declared| Tool {
                card: declared.card(),
                kinds: declared.kind.into_iter().collect(),
                declared: Some(declared),
            }));
        }
        let digest = None;
        let mut tools = Self {
            tools,
            kinds,
            digest,
            ahead: false,
        };
        tools.settle_steps()?;
        Ok(tools)
    }

    /// The same tools, which keep of a value that is looked up only what `digest` makes of its column and it: the
    /// arguments in the journal have that in its place. Without one nothing can be looked up.
    #[must_use]
    pub fn digesting(mut self, digest: Digesting) -> Self {
        self.digest = Some(lookup::Digest(digest));
        self
    }

    /// The same tools, and `access_request`: there are people here who may approve for a while.
    #[must_use]
    pub fn asking_ahead(mut self) -> Self {
        self.ahead = true;
        self
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

    /// The tools a call of this one takes: itself, and those of its steps. `None` when it does not exist for
    /// the caller.
    #[must_use]
    pub fn taken_by(&self, name: &str, visible: &Visible) -> Option<Vec<&str>> {
        let tool = self.find(name, visible).ok()?;
        let steps = tool.declared.as_ref().and_then(Declared::steps);
        let steps = steps.into_iter().flatten().map(|step| step.tool.as_str());
        Some(std::iter::once(tool.card.name.as_str()).chain(steps).collect())
    }

    /// Names of every tool that is loaded, in the order of [`Tools::listed`]; for `check` and the matrix.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.card.name.as_str())
    }

    /// Names that a policy can meet as `context.tool`. A tool with steps is none: each of its steps is
    /// decided as the tool it is, so a policy that names the whole would decide nothing.
    pub fn decided(&self) -> impl Iterator<Item = &str> {
        let steps = |tool: &&Tool| {
            tool.declared
                .as_ref()
                .is_none_or(|declared| declared.steps().is_none())
        };
        self.tools
            .iter()
            .filter(steps)
            .filter(|tool| tool.card.name != ACCESS_REQUEST) // decided as the tool that it names
            .map(|tool| tool.card.name.as_str())
    }

    /// Checks and types a call.
    ///
    /// # Errors
    /// [`Misfit::Tool`] when the tool does not exist for this principal; otherwise a refusal that names
    /// the argument, what came and what was expected.
    #[tracing::instrument(level = "debug", skip_all, name = "tool")]
    pub fn invocation(&self, arrival: &Arrival, visible: &Visible) -> Result<Invocation, Misfit> {
        let tool = self.find(&arrival.tool, visible)?;
        let typed = self.typed(tool, &arrival.call_id, &arrival.arguments, visible)?;
        Ok(Invocation {
            call_id: arrival.call_id.clone(),
            user: arrival.principal.user.id(),
            session: arrival.principal.session.id.clone(),
            request_key: request_key(arrival, tool, &typed),
            tool: tool.card.name.clone(),
            action: match &typed.request {
                Request::Steps(_) => Action::Describe, // what it does is what its steps do
                _ => tool.card.action,
            },
            resource: typed.resource,
            request: typed.request,
            arguments: typed.arguments,
        })
    }

    /// The tool of that name, if it exists for the caller.
    fn find(&self, name: &str, visible: &Visible) -> Result<&Tool, Misfit> {
        let mut tools = self.tools.iter();
        tools
            .find(|tool| tool.card.name == name && self.exists(tool, visible))
            .ok_or_else(|| {
                Misfit::Tool(UnknownTool {
                    name: name.chars().take(128).collect(),
                })
            })
    }

    /// What a call of a tool asks for.
    fn typed(
        &self,
        tool: &Tool,
        call_id: &CallId,
        arguments: &Map<String, Value>,
        visible: &Visible,
    ) -> Result<Typed, Misfit> {
        let given = arguments::check(&tool.card, arguments)?;
        let resource = self.resource(tool, &given, visible)?;
        let (request, arguments) = match &tool.declared {
            None => {
                let (request, arguments) = catalogue::request(&tool.card.name, given)?;
                let arguments = lookup::digested(&request, arguments, self.digest.as_ref())?;
                (request, arguments)
            }
            Some(declared) => {
                let request = match declared.steps() {
                    Some(steps) => Request::Steps(self.steps_of(declared, steps, call_id, &given, visible)?),
                    None => declared.request(resource.as_deref().unwrap_or_default(), &given)?,
                };
                (request, Value::Object(given))
            }
        };
        Ok(Typed {
            resource,
            request,
            arguments,
        })
    }

    /// A tool exists iff its name is within bounds and some visible resource of its kind admits its action.
    fn exists(&self, tool: &Tool, visible: &Visible) -> bool {
        if !visible.admits(&tool.card.name) {
            return false;
        }
        let declared = tool.declared.as_ref();
        if tool.card.name == ACCESS_REQUEST && !(self.ahead && visible.ahead) {
            return false;
        }
        if let Some(steps) = declared.and_then(Declared::steps) {
            return self.steps_exist(steps, visible);
        }
        let fixed = declared.and_then(|declared| declared.resource.as_ref());
        match fixed {
            Some(name) => visible.may(tool.card.action, name),
            None if tool.kinds.is_empty() => !visible.resources.is_empty(),
            None => self
                .kinds
                .iter()
                .any(|(name, its)| tool.kinds.contains(its) && visible.may(tool.card.action, name)),
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
        let named = given.get("resource").and_then(Value::as_str);
        let Some(name) = named.filter(|_| !tool.kinds.is_empty()) else {
            return Ok(None);
        };
        match self.kinds.get(name) {
            Some(its) if visible.has(name) && tool.kinds.contains(its) => Ok(Some(name.to_owned())),
            Some(its) if visible.has(name) => Err(self.wrong_tool(tool, name, *its, visible)),
            _ => Err(Refusal::unknown_resource(name)),
        }
    }

    fn wrong_tool(&self, tool: &Tool, name: &str, its: ResourceKind, visible: &Visible) -> Refusal {
        let kinds = ResourceKind::words(&tool.kinds);
        let fitting: Vec<String> = self
            .tools
            .iter()
            .filter(|other| other.kinds.contains(&its) && other.declared.is_none())
            .filter(|other| visible.admits(&other.card.name) && visible.may(other.card.action, name))
            .map(|other| other.card.name.clone())
            .collect();
        let suggestion = match fitting.is_empty() {
            false => format!("For `{name}` use {}.", fitting.join(", ")),
            true => format!("Choose a resource of kind {kinds}: call list_resources."),
        };
        Refusal::new(
            Code::WrongTool,
            format!(
                "`{name}` is of kind {}; {} works on kind {kinds}.",
                its.as_str(),
                tool.card.name,
            ),
            suggestion,
        )
    }
}

/// A call whose arguments fit.
struct Typed {
    resource: Option<String>,
    request: Request,
    arguments: Value,
}

/// Contracts, "Identity of an action": the identical call of the same user through the same agent in the
/// same session has the same key; and of a declared tool only while its definition is the same.
fn request_key(arrival: &Arrival, tool: &Tool, typed: &Typed) -> Hash {
    let mut key = json!({
        "user": arrival.principal.user.id(),
        "client_id": arrival.principal.agent.client_id,
        "session": arrival.principal.session.id,
        "tool": tool.card.name,
        "resource": typed.resource,
        "arguments": typed.arguments,
    });
    if let (Some(declared), Some(key)) = (&tool.declared, key.as_object_mut()) {
        key.insert("definition".to_owned(), json!(declared.digest));
    }
    Hash::of_json(&key)
}
