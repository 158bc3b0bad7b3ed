//! Questions to the policies that need no server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::parts;
use super::report::{ExplainQuery, PolicyFailure, PolicyTests, ReloadReport};
use super::running;
use crate::call::{Action, Agent, ClassifiedColumn, FileFacts, SqlFacts, User, UserKind};
use crate::config::{Config, Kind};
use crate::policy::Policies;
use crate::policy::explain::{Explanation, Supposed};
use crate::resource::sql::ColumnsDefault;
use crate::tool::Tools;

/// Whether somebody would be allowed to do something, and which policies decide.
///
/// # Errors
/// The policies do not load; a name in the question is unknown.
pub async fn policy_explain(config: &Config, query: &ExplainQuery) -> Result<Explanation> {
    let policies = load(config, &config.policies.dir)?;
    Ok(policies.current().explain(supposed(config, query)?))
}

/// The action of that name, if it is one that can be asked about alone.
fn action(name: &str) -> Result<Action> {
    let action = Action::ALL
        .into_iter()
        .find(|action| action.as_str() == name)
        .with_context(|| {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            format!("there is no action `{name}`; write one of {}", known.join(", "))
        })?;
    if matches!(action, Action::Reveal | Action::Lookup) {
        bail!(
            "`reveal` (and `lookup`, in a decision test) is decided for each classified column of a call: ask for sql_read with --column \
             table.column, and the answer says what is shown and what stays masked"
        );
    }
    Ok(action)
}

/// The verbs that can be asked about.
pub(super) fn actions() -> impl Iterator<Item = &'static str> {
    let alone = |action: &Action| !matches!(action, Action::Reveal | Action::Lookup);
    Action::ALL.into_iter().filter(alone).map(Action::as_str)
}

/// The call that a question is about.
///
/// # Errors
/// What in it names nothing.
pub(super) fn supposed(config: &Config, query: &ExplainQuery) -> Result<Supposed> {
    let action = action(&query.action)?;
    let (issuer, subject) = query
        .user
        .split_once('#')
        .with_context(|| format!("write the user as <issuer>#<subject>, not `{}`", query.user))?;
    if let Some(group) = query
        .groups
        .iter()
        .find(|group| !config.groups.contains_key(*group))
    {
        bail!("[groups] has no group `{group}`");
    }
    if let Some(name) = query
        .resource
        .as_ref()
        .filter(|name| config.resource(name).is_none())
    {
        bail!("there is no resource `{name}` in {}", config.file.display());
    }
    let user = User {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        kind: if query.service {
            UserKind::Service
        } else {
            UserKind::Person
        },
        groups: query.groups.iter().cloned().collect(),
    };
    let mut supposed = Supposed::new(user, action, query.resource.clone());
    supposed.agent = Agent {
        client_id: query.agent.clone(),
        verified: query.agent_verified,
        claimed_name: String::new(),
        claimed_version: String::new(),
    };
    supposed.transport = query.transport;
    supposed.session.labels = query.session_labels.iter().cloned().collect();
    if let Some(tool) = &query.tool {
        supposed.tool.clone_from(tool);
    }
    facts(config, query, &mut supposed);
    Ok(supposed)
}

/// What the adapter would find, as far as the question says.
fn facts(config: &Config, query: &ExplainQuery, supposed: &mut Supposed) {
    supposed.file = query.path.as_ref().map(|path| FileFacts {
        path: path.clone(),
        reference: query
            .reference
            .clone()
            .unwrap_or_else(|| "refs/heads/main".to_owned()),
    });
    if !(query.tables.is_empty() && query.columns.is_empty() && query.functions.is_empty()) {
        supposed.sql = Some(SqlFacts {
            kind: "select".to_owned(),
            tables: query.tables.iter().cloned().collect(),
            columns: query.columns.iter().cloned().collect(),
            functions: query.functions.iter().cloned().collect(),
            has_where: false,
            irreversible: false,
            template: None,
        });
    }
    supposed.classified = classified(config, query);
}

/// The classes that the configuration gives to the columns in question.
fn classified(config: &Config, query: &ExplainQuery) -> BTreeSet<ClassifiedColumn> {
    let Some(resource) = query.resource.as_ref().and_then(|name| config.resource(name)) else {
        return BTreeSet::new();
    };
    let (columns, default) = match &resource.kind {
        Kind::Sqlite(database) => (&database.columns, database.columns_default),
        Kind::Postgres(database) => (&database.columns, database.columns_default),
        Kind::Mysql(database) => (&database.columns, database.columns_default),
        Kind::Git(_) | Kind::Shell(_) => return BTreeSet::new(),
    };
    let mut classified = BTreeSet::new();
    for column in &query.columns {
        let class = match (columns.get(column), default) {
            (Some(class), _) if class == "public" => continue,
            (Some(class), _) => class.clone(),
            (None, ColumnsDefault::Mask) => "unlisted".to_owned(),
            (None, ColumnsDefault::Show) => continue,
        };
        classified.insert(ClassifiedColumn {
            class,
            column: column.clone(),
        });
    }
    classified
}

/// Runs the decision tests of a policy folder.
///
/// # Errors
/// The policies do not load.
pub async fn policy_test(config: &Config, dir: &Path) -> Result<PolicyTests> {
    let report = load(config, dir)?.current().run_tests();
    let mut failures: Vec<PolicyFailure> = report
        .failures()
        .map(|row| PolicyFailure {
            place: format!("{}:{}", row.file.display(), row.line),
            message: format!("{}: {}", row.name, row.differences.join("; ")),
        })
        .collect();
    failures.extend(report.invalid.iter().map(|fault| PolicyFailure {
        place: String::new(),
        message: fault.to_string(),
    }));
    Ok(PolicyTests {
        total: report.rows.len() as u64,
        failures,
    })
}

/// Asks the running server of this store to load its policies again, and waits for what it says.
///
/// # Errors
/// No server runs, or it does not answer in time.
pub async fn policy_reload(config: &Config) -> Result<ReloadReport> {
    Ok(running::reload(&config.place()).await?)
}

fn load(config: &Config, dir: &Path) -> Result<Policies> {
    let cards = parts::cards(config);
    let tools = Tools::load(config.tools.as_deref(), &cards).context("tools")?;
    let scene = parts::scene(config, cards, &tools);
    Ok(Policies::load(dir, scene, None)?)
}
