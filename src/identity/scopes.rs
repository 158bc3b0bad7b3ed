//! `[scopes]`: what the scopes of a token are worth, and which ones to ask for when they do not suffice.
//!
//! A tool may be in several scopes; any one of them opens it, so a broad scope needs no narrow one beside
//! it. A tool in no scope needs none.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::SpecError;
use crate::call::Scope;

/// Asked of an authorization server for a refresh token; it says nothing about a resource, so a resource
/// never asks for it.
const NOT_OF_RESOURCES: &str = "offline_access";

/// Scopes, and the tools each of them opens. The default has none, and then no token is bounded.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    tools: BTreeMap<String, BTreeSet<String>>,
    /// Tools in no scope.
    free: BTreeSet<String>,
}

impl Scopes {
    /// From the configured table, and the names of all tools there are.
    ///
    /// # Errors
    /// A scope that opens nothing, or a tool that does not exist, in words for whoever wrote the table.
    pub fn new<'a>(
        table: &BTreeMap<String, BTreeSet<String>>,
        all: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, SpecError> {
        let mut free: BTreeSet<String> = all.into_iter().map(str::to_owned).collect();
        for (scope, tools) in table {
            if scope == NOT_OF_RESOURCES {
                return Err(SpecError(format!(
                    "[scopes] `{scope}`: it asks for a refresh token and can open no tool; choose another name"
                )));
            }
            if let Some(unknown) = tools.iter().find(|tool| !free.contains(*tool)) {
                return Err(SpecError(format!(
                    "[scopes] `{scope}`: there is no tool `{unknown}`; `tollgate check` lists the tools there are"
                )));
            }
        }
        free.retain(|tool| !table.values().any(|tools| tools.contains(tool)));
        Ok(Self {
            tools: table.clone(),
            free,
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Every scope, in order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.tools.keys()
    }

    /// The tools a credential with these scopes is good for; `None` (anything) where no scope is configured.
    #[must_use]
    pub fn tools<'a>(&self, granted: impl IntoIterator<Item = &'a str>) -> Option<BTreeSet<String>> {
        if self.tools.is_empty() {
            return None;
        }
        let opened = granted.into_iter().filter_map(|scope| self.tools.get(scope));
        Some(opened.flatten().chain(&self.free).cloned().collect())
    }

    /// The scopes to ask for so that a credential that is good for `held` becomes good for all of `tools`
    /// too: those that are missing and those it has. `None` when nothing is missing, or when no
    /// scope could help.
    ///
    /// Strictly the scopes of the operation would do, and clients of the newest revision add what they
    /// have; older ones ask for exactly what they are told and would lose the rest.
    #[must_use]
    pub fn to_ask<'a>(
        &self,
        tools: impl IntoIterator<Item = &'a str>,
        held: &Scope,
    ) -> Option<BTreeSet<&str>> {
        let bound = held.tools.as_ref()?;
        let mut wanted = BTreeSet::new();
        for tool in tools {
            if !bound.contains(tool) {
                wanted.insert(self.narrowest(tool)?);
            }
        }
        if wanted.is_empty() {
            return None;
        }
        let has = |tools: &BTreeSet<String>| !tools.is_empty() && tools.is_subset(bound);
        let held = self.tools.iter().filter(|(_, tools)| has(tools));
        wanted.extend(held.map(|(scope, _)| scope.as_str()));
        Some(wanted)
    }

    /// The scope with this tool that opens the least besides.
    fn narrowest(&self, tool: &str) -> Option<&str> {
        let with = self.tools.iter().filter(|(_, tools)| tools.contains(tool));
        let least = with.min_by_key(|(_, tools)| tools.len());
        least.map(|(scope, _)| scope.as_str())
    }
}

/// What a client is told to ask for: each once, in order, and nothing that is not of a resource.
pub(super) fn worth_asking<'a>(scopes: impl IntoIterator<Item = &'a str>) -> String {
    let once: BTreeSet<&str> = scopes
        .into_iter()
        .filter(|scope| *scope != NOT_OF_RESOURCES)
        .collect();
    once.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 5] = ["list", "read", "search", "write", "run"];

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn table(rows: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        rows.iter()
            .map(|(scope, tools)| ((*scope).to_owned(), set(tools)))
            .collect()
    }

    fn scopes() -> Scopes {
        let rows: [(&str, &[&str]); 4] = [
            ("t:read", &["read", "search"]),
            ("t:change", &["write"]),
            ("t:all", &["read", "search", "write", "run"]),
            ("t:nothing", &[]),
        ];
        Scopes::new(&table(&rows), ALL).unwrap()
    }

    fn good_for(granted: &[&str]) -> Scope {
        Scope {
            tools: scopes().tools(granted.iter().copied()),
            resources: None,
        }
    }

    #[test]
    fn a_token_is_good_for_what_its_scopes_open_and_for_what_needs_none() {
        assert_eq!(good_for(&[]).tools, Some(set(&["list"])));
        assert_eq!(
            good_for(&["openid", "T:READ", "t:nothing"]).tools,
            Some(set(&["list"]))
        );
        assert_eq!(
            good_for(&["t:read"]).tools,
            Some(set(&["list", "read", "search"]))
        );
        assert_eq!(
            good_for(&["t:all"]).tools,
            Some(set(&ALL)),
            "a broad one is enough"
        );
        assert_eq!(
            Scopes::default().tools([]),
            None,
            "without scopes nothing is bounded"
        );
    }

    #[test]
    fn the_narrowest_missing_scopes_are_asked_for_with_those_that_are_there() {
        let scopes = scopes();
        let ask = |tools: &[&str], held: &[&str]| {
            let asked = scopes.to_ask(tools.iter().copied(), &good_for(held));
            asked.map(|asked| asked.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(ask(&["write"], &["t:read"]).as_deref(), Some("t:change t:read"));
        assert_eq!(
            ask(&["write", "run", "read"], &[]).as_deref(),
            Some("t:all t:change t:read")
        );
        assert_eq!(ask(&["read"], &["t:read"]), None, "nothing is missing");
        assert_eq!(ask(&["list"], &[]), None, "needs no scope");
        assert_eq!(ask(&["write", "unheard-of"], &[]), None, "no scope helps");
        assert_eq!(scopes.to_ask(["write"], &Scope::default()), None, "not bounded");
        let key = Scope {
            tools: Some(set(&[])),
            resources: None,
        };
        assert_eq!(Scopes::default().to_ask(["write"], &key), None);
    }

    #[test]
    fn a_table_that_cannot_be_meant_is_refused() {
        let refused = |scope: &str, tools: &[&str]| {
            Scopes::new(&table(&[(scope, tools)]), ALL)
                .unwrap_err()
                .to_string()
        };
        assert!(refused("x", &["reed"]).contains("there is no tool `reed`"));
        assert!(refused("offline_access", &["read"]).contains("refresh token"));
    }

    proptest::proptest! {
        /// Whatever is granted: what is asked for is enough, and never takes away.
        #[test]
        fn asking_is_enough_and_never_takes_away(held in 0_usize..16, wanted in 0_usize..32) {
            let scopes = scopes();
            let names: Vec<&str> = scopes.tools.keys().map(String::as_str).collect();
            let granted: Vec<&str> = (0..4).filter(|n| held >> n & 1 == 1).map(|n| names[n]).collect();
            let tools: Vec<&str> = (0..5).filter(|n| wanted >> n & 1 == 1).map(|n| ALL[n]).collect();
            let before = good_for(&granted);
            let fits = tools.iter().all(|tool| before.has_tool(tool));
            let asked = scopes.to_ask(tools.iter().copied(), &before);
            proptest::prop_assert_eq!(fits, asked.is_none());
            if let Some(asked) = asked {
                let after = Scope { tools: scopes.tools(asked), resources: None };
                proptest::prop_assert!(tools.iter().all(|tool| after.has_tool(tool)));
                proptest::prop_assert!(before.tools.unwrap().is_subset(&after.tools.unwrap()));
            }
        }
    }
}
