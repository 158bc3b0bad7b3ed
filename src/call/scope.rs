//! The bounds of a credential.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a credential is good for at most, whoever holds it. Policy decides within it and never beyond:
/// the scopes of a token, or what an API key was made for. `None` bounds nothing; an empty set allows
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Tools, by name.
    pub tools: Option<BTreeSet<String>>,
    /// Resources, by configured name.
    pub resources: Option<BTreeSet<String>>,
}

impl Scope {
    /// Whether a tool is within it.
    #[must_use]
    pub fn has_tool(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.contains(tool))
    }

    /// Whether a resource is within it.
    #[must_use]
    pub fn has_resource(&self, resource: &str) -> bool {
        self.resources
            .as_ref()
            .is_none_or(|names| names.contains(resource))
    }

    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.tools.is_none() && self.resources.is_none()
    }
}
