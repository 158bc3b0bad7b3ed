//! `tollgate policy`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::load;
use super::out::{Out, Tone};
use crate::app;
use crate::app::report::{ExplainQuery, PolicyTests};
use crate::call::Transport;
use crate::policy::explain::Explanation;

/// Subcommands of `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Would this user, through this agent, be allowed to do this, and which policies decide?
    ///
    /// Example: tollgate policy explain --user corp#alice --group analyst sql_read shop --column customers.email
    Explain(Box<Explain>),
    /// Run the decision tests beside the policies
    Test {
        /// Another policy folder, e.g. a candidate
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the running server load its policies again
    ///
    /// The server loads, validates and tests the new set first; a bad set keeps the old one in force, and
    /// this command says why and ends with 1.
    Reload {
        /// Print the server's answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `policy explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// What would be done: sql_read, file_read, file_search, describe …
    action: String,
    /// The resource it would be done to; leave it out for list_resources
    resource: Option<String>,
    /// Who, as <issuer>#<subject>; on stdio local#<uid>@<host>
    #[arg(long)]
    user: String,
    /// The user is a service, not a person
    #[arg(long)]
    service: bool,
    /// A local group the user is in; repeat for more
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The agent's client id
    #[arg(long, default_value = "some-agent")]
    agent: String,
    /// The issuer does not vouch for the client id
    #[arg(long)]
    unverified: bool,
    /// Over standard input and output, instead of HTTP
    #[arg(long)]
    stdio: bool,
    /// A label of a resource the session has read from already; repeat for more
    #[arg(long = "session-label", value_name = "LABEL")]
    session_labels: Vec<String>,
    /// The tool, when not the built-in one of the action
    #[arg(long)]
    tool: Option<String>,
    /// A file's path
    #[arg(long)]
    path: Option<String>,
    /// A full ref name, e.g. refs/heads/main
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// A table the statement reads; repeat for more
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// A column the statement reads, as table.column; repeat for more
    #[arg(long = "column", value_name = "COLUMN")]
    columns: Vec<String>,
    /// A function the statement calls; repeat for more
    #[arg(long = "function", value_name = "NAME")]
    functions: Vec<String>,
    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
}

impl Policy {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let config = load(file)?;
        let good = match self {
            Self::Explain(explain) => {
                let json = explain.json;
                let explanation = app::policy_explain(&config, &(*explain).into()).await?;
                if json {
                    out.json(&explanation)?;
                } else {
                    print_explanation(&explanation, out)?;
                }
                true // an explained denial is a good answer
            }
            Self::Test { dir, json } => {
                let dir = dir.unwrap_or_else(|| config.policies.dir.clone());
                let tests = app::policy_test(&config, &dir).await?;
                if json {
                    out.json(&tests)?;
                } else {
                    print_tests(&tests, out)?;
                }
                tests.failures.is_empty()
            }
            Self::Reload { json } => {
                let report = app::policy_reload(&config).await?;
                let digest = report.digest.get(..16).unwrap_or(&report.digest);
                if json {
                    out.json(&report)?;
                } else if report.accepted {
                    out.item(Tone::Good, "ok", &format!("policy set {digest} decides now"))?;
                } else {
                    out.item(
                        Tone::Bad,
                        "refused",
                        &format!("policy set {digest} stays in force: {}", report.message),
                    )?;
                }
                report.accepted
            }
        };
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

impl From<Explain> for ExplainQuery {
    fn from(asked: Explain) -> Self {
        Self {
            user: asked.user,
            service: asked.service,
            groups: asked.groups,
            agent: asked.agent,
            agent_verified: !asked.unverified,
            transport: if asked.stdio {
                Transport::Stdio
            } else {
                Transport::Http
            },
            session_labels: asked.session_labels,
            action: asked.action,
            resource: asked.resource,
            tool: asked.tool,
            path: asked.path,
            reference: asked.reference,
            tables: asked.tables,
            columns: asked.columns,
            functions: asked.functions,
        }
    }
}

fn print_explanation(explanation: &Explanation, out: &mut Out) -> Result<()> {
    let tone = match explanation.verdict {
        "permit" => Tone::Good,
        "ask" => Tone::Careful,
        _ => Tone::Bad,
    };
    for line in explanation.to_string().lines() {
        if line.trim() == explanation.verdict.to_uppercase() {
            let line = out.paint(tone, line);
            out.line(&line)?;
        } else {
            out.line(line)?;
        }
    }
    Ok(())
}

fn print_tests(tests: &PolicyTests, out: &mut Out) -> Result<()> {
    for failure in &tests.failures {
        out.item(Tone::Bad, "failed", &failure.place)?;
        out.remark(4, &failure.message)?;
    }
    let failed = tests.failures.len();
    let passed = tests.total.saturating_sub(failed as u64);
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    let line = out.paint(tone, &format!("{passed} passed, {failed} failed"));
    out.line(&line)?;
    Ok(())
}
