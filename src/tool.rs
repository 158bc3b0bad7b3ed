//! Tool name + JSON → [`Invocation`]; the catalogue.
use crate::call::{Action, Arrival, Invocation, Refusal, Visible};
use std::sync::Arc;

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
    pub input_schema: Arc<serde_json::Map<String, serde_json::Value>>,
    /// JSON Schema of the envelope.
    pub output_schema: Arc<serde_json::Map<String, serde_json::Value>>,
    /// What it does.
    pub action: Action,
}

/// The tool does not exist for this principal (JSON-RPC −32602).
#[derive(Debug)]
pub struct UnknownTool {
    /// As it was sent.
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

/// The catalogue.
pub struct Tools;

impl Tools {
    /// Tools that exist for a principal, in a fixed order.
    #[must_use]
    pub fn listed(&self, _visible: &Visible) -> Vec<ToolCard> {
        unimplemented!()
    }

    /// Checks and types a call.
    pub fn invocation(&self, _arrival: &Arrival, _visible: &Visible) -> Result<Invocation, Misfit> {
        unimplemented!()
    }
}
