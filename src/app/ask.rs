//! Questions to the policies that need no server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::parts;
use super::report::{ExplainQuery, PolicyFailure, PolicyTests, ReloadReport};
use super::running;
use crate::call::{Action, Agent, ClassifiedColumn, FileFacts, SqlFacts, User, UserKind};
use crate::config::Config;
use crate::policy::Policies;
use crate::policy::explain::{Explanation, Supposed};
use crate::tool::Tools;

/// Whether somebody would be allowed to do something, and which policies decide.
///
/// # Errors
/// The policies do not load; a name in the question is unknown.
pub async fn policy_explain(config: &Config, query: &ExplainQuery) -> Result<Explanation> {
    let policies = load(config, &config.policies.dir)?;
    Ok(policies.current().explain(supposed(config, query)?))
}

fn supposed(config: &Config, query: &ExplainQuery) -> Result<Supposed> {
    let action = Action::ALL.into_iter().find(|action| action.as_str() == query.action).with_context(|| {
        let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        format!("there is no action `{}`; write one of {}", query.action, known.join(", "))
    })?;
    let (issuer, subject) = query
        .user
        .split_once('#')
        .with_context(|| format!("write the user as <issuer>#<subject>, not `{}`", query.user))?;
    if let Some(group) = query.groups.iter().find(|group| !config.groups.contains_key(*group)) {
        bail!("[groups] has no group `{group}`");
    }
    if config.resource(&query.resource).is_none() {
        bail!("there is no resource `{}` in {}", query.resource, config.file.display());
    }
    let user = User {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        kind: UserKind::Person,
        groups: query.groups.iter().cloned().collect(),
    };
    let mut supposed = Supposed::new(user, action, Some(query.resource.clone()));
    supposed.agent = Agent {
        client_id: query.agent.clone(),
        verified: query.agent_verified,
        claimed_name: String::new(),
        claimed_version: String::new(),
    };
    if let Some(tool) = &query.tool {
        supposed.tool.clone_from(tool);
    }
    supposed.file = query.path.as_ref().map(|path| FileFacts {
        path: path.clone(),
        reference: query.reference.clone().unwrap_or_else(|| "refs/heads/main".to_owned()),
    });
    if !query.tables.is_empty() || !query.columns.is_empty() {
        supposed.sql = Some(SqlFacts {
            kind: "select".to_owned(),
            tables: query.tables.iter().cloned().collect(),
            columns: query.columns.iter().cloned().collect(),
            ..SqlFacts::default()
        });
    }
    supposed.classified = classified(query);
    Ok(supposed)
}

fn classified(query: &ExplainQuery) -> BTreeSet<ClassifiedColumn> {
    let Some(class) = &query.class else { return BTreeSet::new() };
    let columns = if query.columns.is_empty() { vec!["any.column".to_owned()] } else { query.columns.clone() };
    columns.into_iter().map(|column| ClassifiedColumn { class: class.clone(), column }).collect()
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
    Ok(PolicyTests { total: report.rows.len() as u64, failures })
}

/// Asks the running server of this store to load its policies again, and waits for what it says.
///
/// # Errors
/// No server runs, or it does not answer in time.
pub async fn policy_reload(config: &Config) -> Result<ReloadReport> {
    Ok(running::reload(&config.store.path).await?)
}

fn load(config: &Config, dir: &Path) -> Result<Policies> {
    let cards = parts::cards(config);
    let tools = Tools::load(config.tools.as_deref(), &cards).context("tools")?;
    let scene = parts::scene(config, cards, &tools);
    Ok(Policies::load(dir, scene, None)?)
}
