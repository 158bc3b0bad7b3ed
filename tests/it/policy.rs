//! Policies from their files to a verdict: what does not load, what is decided, what a reload does.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "helpers of tests are tests"
)]

mod choices;
mod decide;
mod evidence;
#[cfg(all(feature = "postgres", feature = "mysql"))]
mod examples;
mod load;
mod reload;
mod scope;
mod starter;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{ListResources, SqlQuery, SqlSchema};
use tollgate::call::{
    Action, Agent, Arrival, CallId, ClassifiedColumn, Evidence, Facts, FileFacts, Hash, Invocation, Limits,
    Principal, Probe, Request, ResourceCard, ResourceKind, Scope, Session, SqlFacts, Target, Transport, User,
    UserKind,
};
use tollgate::policy::{Denial, Permit, Policies, Scene, Verdict};

pub(crate) fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The configuration the starter policies are written for.
pub(crate) fn scene() -> Scene {
    let card = |name: &str, kind, labels: &[&str]| ResourceCard {
        name: name.to_owned(),
        kind,
        description: format!("the {name}"),
        labels: words(labels),
    };
    Scene {
        resources: vec![
            card("shop", ResourceKind::Sqlite, &["prod", "pii", "shop"]),
            card("code", ResourceKind::Git, &["code"]),
            card("work", ResourceKind::Shell, &["work"]),
        ],
        groups: words(&["analyst", "developer", "dba"]),
        classes: words(&["email", "card"]),
        tools: words(&["list_resources", "sql_schema", "sql_query", "file_read"]),
        limits: Limits {
            rows: 1000,
            bytes: 1_048_576,
            seconds: 30,
        },
    }
}

/// Writes files that only their owner may write, whatever the umask.
pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn folder(policies: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "all.cedar", policies);
    dir
}

/// Policies in a folder that lives as long as they do.
pub(crate) struct Loaded {
    pub(crate) dir: TempDir,
    pub(crate) policies: Policies,
}

pub(crate) fn loaded(text: &str) -> Loaded {
    let dir = folder(text);
    let policies = Policies::load(dir.path(), scene(), None).unwrap_or_else(|error| panic!("{error}"));
    Loaded { dir, policies }
}

/// One call, with everything a test may want to change in the open.
pub(crate) struct Call {
    pub(crate) arrival: Arrival,
    pub(crate) invocation: Invocation,
    pub(crate) facts: Facts,
}

pub(crate) fn principal(groups: &[&str]) -> Principal {
    Principal {
        user: User {
            issuer: "corp".to_owned(),
            subject: "u-1".to_owned(),
            kind: UserKind::Person,
            groups: words(groups),
        },
        agent: Agent {
            client_id: "agent".to_owned(),
            verified: true,
            claimed_name: "Agent".to_owned(),
            claimed_version: "1".to_owned(),
        },
        session: Session {
            id: "s-1".to_owned(),
            labels: BTreeSet::new(),
        },
        scope: Scope::default(),
    }
}

impl Call {
    fn new(groups: &[&str], action: Action, resource: Option<&str>, tool: &str, request: Request) -> Self {
        Self {
            arrival: Arrival {
                hold: None,
                call_id: CallId::new(1, &[7; 10]),
                principal: principal(groups),
                transport: Transport::Http,
                tool: tool.to_owned(),
                arguments: serde_json::Map::new(),
                cancel: CancellationToken::new(),
            },
            invocation: Invocation {
                call_id: CallId::new(1, &[7; 10]),
                user: "local#1@host".to_owned(),
                session: "one".to_owned(),
                tool: tool.to_owned(),
                action,
                resource: resource.map(str::to_owned),
                request,
                arguments: json!({}),
                request_key: Hash::of(tool.as_bytes()),
            },
            facts: Facts {
                shell: None,
                probe: Probe::None,
                action,
                target: Target::Tollgate,
                sql: None,
                file: None,
                classified: BTreeSet::new(),
            },
        }
    }

    /// A query on `shop` that reads from `tables`.
    pub(crate) fn query(groups: &[&str], tables: &[&str]) -> Self {
        let request = Request::SqlQuery(SqlQuery {
            lookup: None,
            resource: "shop".to_owned(),
            statement: "SELECT 1".to_owned(),
            parameters: None,
            limit: None,
            cursor: None,
        });
        let mut call = Self::new(groups, Action::SqlRead, Some("shop"), "sql_query", request);
        call.facts.sql = Some(SqlFacts {
            kind: "select".to_owned(),
            tables: words(tables),
            ..SqlFacts::default()
        });
        call
    }

    /// A look at the schema of `resource`.
    pub(crate) fn describe(groups: &[&str], resource: &str) -> Self {
        let request = Request::SqlSchema(SqlSchema {
            resource: resource.to_owned(),
            table: None,
        });
        Self::new(groups, Action::Describe, Some(resource), "sql_schema", request)
    }

    /// `list_resources`.
    pub(crate) fn list(groups: &[&str]) -> Self {
        let request = Request::ListResources(ListResources {
            kind: None,
            cursor: None,
        });
        Self::new(groups, Action::Describe, None, "list_resources", request)
    }

    /// The same call, doing something else to something else.
    pub(crate) fn doing(mut self, action: Action, resource: &str) -> Self {
        self.invocation.action = action;
        self.invocation.resource = Some(resource.to_owned());
        self.facts.action = action;
        self.facts.file = Some(FileFacts {
            path: "src/main.rs".to_owned(),
            reference: "refs/heads/main".to_owned(),
        });
        self
    }

    pub(crate) fn touching(mut self, columns: &[(&str, &str)]) -> Self {
        self.facts.classified = columns
            .iter()
            .map(|(column, class)| ClassifiedColumn {
                class: (*class).to_owned(),
                column: (*column).to_owned(),
            })
            .collect();
        self
    }

    pub(crate) fn decide(&self, policies: &Policies, evidence: &Evidence) -> Verdict {
        policies
            .current()
            .decide(&self.arrival, &self.invocation, &self.facts, evidence)
    }

    pub(crate) fn unasked(&self, policies: &Policies) -> Verdict {
        self.decide(policies, &Evidence::default())
    }
}

pub(crate) fn permit(verdict: Verdict) -> Permit {
    match verdict {
        Verdict::Permit(permit) => permit,
        other => panic!("not a permit: {other:?}"),
    }
}

pub(crate) fn denial(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Deny(denial) => denial,
        other => panic!("not a denial: {other:?}"),
    }
}

/// The ids of what is asked.
pub(crate) fn asked(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Ask(ask) => ask.obligations.into_iter().map(|one| one.id).collect(),
        other => panic!("nothing is asked: {other:?}"),
    }
}

/// Only that it is permitted.
pub(crate) fn permitted(verdict: Verdict) {
    drop(permit(verdict));
}
