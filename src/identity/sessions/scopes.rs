//! What a token's scopes are good for.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Scope;

/// `[scopes]` of the configuration, and every tool there is.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    table: BTreeMap<String, BTreeSet<String>>,
    tools: BTreeSet<String>,
}

impl Scopes {
    /// Scope → the tools that need it; and all tools, by name.
    #[must_use]
    pub fn new(table: BTreeMap<String, BTreeSet<String>>, tools: BTreeSet<String>) -> Self {
        Self { table, tools }
    }

    /// What a token with these scopes (separated by spaces) may call: tools whose scope it has, and tools
    /// that are in no scope. Without a table nothing is bounded.
    #[must_use]
    pub fn of(&self, granted: &str) -> Scope {
        if self.table.is_empty() {
            return Scope::default();
        }
        let granted: BTreeSet<&str> = granted.split(' ').collect();
        let (has, has_not): (Vec<_>, Vec<_>) = self
            .table
            .iter()
            .partition(|(scope, _)| granted.contains(scope.as_str()));
        let has: BTreeSet<&String> = has.into_iter().flat_map(|(_, tools)| tools).collect();
        let has_not: BTreeSet<&String> = has_not.into_iter().flat_map(|(_, tools)| tools).collect();
        let within = |tool: &&String| has.contains(tool) || !has_not.contains(tool);
        Scope {
            tools: Some(self.tools.iter().filter(within).cloned().collect()),
            resources: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_tool_needs_one_of_its_scopes_and_a_tool_without_scope_none() {
        let table = [
            ("read", set(&["sql_query", "file_read"])),
            ("write", set(&["sql_execute", "file_read"])),
        ];
        let table = table.into_iter().map(|(scope, tools)| (scope.to_owned(), tools));
        let all = set(&["sql_query", "file_read", "sql_execute", "approval_wait"]);
        let scopes = Scopes::new(table.collect(), all.clone());
        let of = |granted| scopes.of(granted).tools;
        assert_eq!(of(""), Some(set(&["approval_wait"])));
        assert_eq!(
            of("read"),
            Some(set(&["approval_wait", "file_read", "sql_query"]))
        );
        assert_eq!(
            of("write"),
            Some(set(&["approval_wait", "file_read", "sql_execute"]))
        );
        assert_eq!(of("rea"), of(""), "a prefix is not a scope");
        assert_eq!(of("read write"), Some(all.clone()));
        assert_eq!(Scopes::new(BTreeMap::new(), all).of(""), Scope::default());
    }
}
