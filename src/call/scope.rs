//! How far somebody reaches: by their credential, and by what policies might let them use.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Action;

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

/// What exists for a principal: every resource some policy might let them use, and for what.
///
/// Derived from the scopes of the same policies that decide calls, so the catalogue cannot promise
/// what a call will not find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visible {
    /// What may be done with each resource that exists.
    pub resources: BTreeMap<String, BTreeSet<Action>>,
    /// Tools that exist at most; `None` bounds nothing.
    pub tools: Option<BTreeSet<String>>,
    /// Whether people may approve some of it for a while.
    pub ahead: bool,
}

impl Visible {
    /// These resources, through any tool.
    #[must_use]
    pub fn of(resources: BTreeMap<String, BTreeSet<Action>>) -> Self {
        Self {
            resources,
            tools: None,
            ahead: false,
        }
    }

    /// What of it is within a scope.
    #[must_use]
    pub fn within(&self, scope: &Scope) -> Self {
        let resources = self.resources.iter();
        let inside = resources.filter(|(name, _)| scope.has_resource(name));
        Self {
            resources: inside
                .map(|(name, actions)| (name.clone(), actions.clone()))
                .collect(),
            tools: scope.tools.clone(),
            ahead: self.ahead,
        }
    }

    /// Whether a tool of that name can exist for this principal.
    #[must_use]
    pub fn admits(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.contains(tool))
    }

    /// Whether the resource exists for this principal at all.
    #[must_use]
    pub fn has(&self, resource: &str) -> bool {
        self.resources.contains_key(resource)
    }

    /// Whether some policy might allow `action` on `resource`.
    #[must_use]
    pub fn may(&self, action: Action, resource: &str) -> bool {
        self.resources
            .get(resource)
            .is_some_and(|actions| actions.contains(&action))
    }
}
