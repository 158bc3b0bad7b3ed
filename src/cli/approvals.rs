//! `tollgate approvals`: a person's requests and decisions, from a terminal.
//!
//! A client of the control side like any other: it signs the person in at their issuer each time, keeps
//! the token in memory, and sends nothing that a page could not send.

mod client;
mod lasting;
mod print;

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use url::Url;

use super::out::{Out, Tone};
use crate::app;
use crate::config::Config;
use client::Client;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Dead letters shown.
const DEAD: u32 = 100;

/// Requests of agents that wait for people, and what people decide.
#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    /// List the requests you may see
    List(List),
    /// Show one request with everything it is decided on
    Show(Show),
    /// Approve exactly the action you are shown, once
    Approve(Approve),
    /// Refuse a request; who asked reads why
    #[command(alias = "deny")]
    Refuse(Refuse),
    /// Withdraw a request
    Cancel(Decide),
    #[command(flatten)]
    Lasting(lasting::Lasting),
    /// List notices that no channel took (for the operator, on the server)
    DeadLetters {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The address of the people's side (without it: control_url of the configuration)
    #[arg(long, value_name = "URL", env = "TOLLGATE_CONTROL")]
    server: Option<Url>,
    /// The issuer to sign in at, where there are several
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    server: Server,
    /// Those made before this request: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    server: Server,
    /// The request
    id: String,
    /// Wait until it is final
    #[arg(long)]
    wait: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    server: Server,
    /// The request
    id: String,
    /// The action you have seen, by its whole hash; without it you are shown the request and asked
    #[arg(long, value_name = "SHA256")]
    action: Option<String>,
    /// Wait until the request is final
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    decide: Decide,
    #[command(flatten)]
    wish: lasting::Wish,
}

#[derive(Debug, Args)]
pub(crate) struct Refuse {
    #[command(flatten)]
    decide: Decide,
    /// Why; the person who asked and their agent read it
    #[arg(long, value_name = "WORDS")]
    reason: String,
}

impl Approvals {
    pub(crate) async fn run(self, config: &Path, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        match self {
            Self::List(list) => {
                let client = list.server.client(config, notes).await?;
                let path = match &list.before {
                    Some(id) => format!("/api/approvals?before={}", lasting::plain(id)?),
                    None => "/api/approvals".to_owned(),
                };
                let answer = client.get(&path).await?;
                if list.json {
                    out.json(&answer)?;
                } else {
                    print::list(out, &answer)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Show(show) => show.run(config, out, notes).await,
            Self::Approve(approve) => {
                let extra = approve.wish.json().map(|wish| ("for", wish));
                approve.decide.run(config, out, notes, "approve", extra).await
            }
            Self::Refuse(refuse) => {
                let extra = Some(("reason", json!(refuse.reason)));
                refuse.decide.run(config, out, notes, "refuse", extra).await
            }
            Self::Cancel(decide) => decide.run(config, out, notes, "cancel", None).await,
            Self::Lasting(lasting) => lasting.run(config, out, notes).await,
            Self::DeadLetters { json } => dead(config, out, json).await,
        }
    }
}

impl Server {
    async fn client(&self, config: &Path, notes: &mut Out) -> Result<Client> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => Config::load(config)?
                .server
                .control
                .map(|control| control.url)
                .context("this configuration has no control_url; say where with --server")?,
        };
        Client::sign_in(server, self.issuer.as_deref(), |url| {
            let _ = notes.line("Open this address in a browser and sign in:");
            let _ = notes.line(&notes.paint(Tone::Plain, url.as_str()));
        })
        .await
    }
}

impl Show {
    async fn run(self, config: &Path, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        let client = self.server.client(config, notes).await?;
        let path = client::path(&self.id)?;
        let mut sheet = client.get(&path).await?;
        let code = if self.wait {
            sheet = until_final(&client, &path, notes).await?;
            ended(&sheet)
        } else {
            ExitCode::SUCCESS
        };
        if self.json {
            out.json(&sheet)?;
        } else {
            print::sheet(out, &sheet)?;
        }
        Ok(code)
    }
}

impl Decide {
    async fn run(
        self,
        config: &Path,
        out: &mut Out,
        notes: &mut Out,
        verb: &str,
        extra: Option<(&str, Value)>,
    ) -> Result<ExitCode> {
        let path = client::path(&self.id)?;
        if self.action.is_none() && !std::io::stdin().is_terminal() {
            bail!("there is nobody to ask: give the action you have seen with --action");
        }
        let client = self.server.client(config, notes).await?;
        let action = match self.action {
            Some(action) => action,
            None => {
                let sheet = client.get(&path).await?;
                print::sheet(out, &sheet)?;
                asked(out, verb)?;
                let action = sheet.get("action_sha256").and_then(Value::as_str);
                action
                    .context("the server does not say which action it is")?
                    .to_owned()
            }
        };
        let body = match (verb, extra) {
            ("cancel", _) => json!({}),
            (_, Some((name, value))) => json!({"action_sha256": action, name: value}),
            (_, None) => json!({"action_sha256": action}),
        };
        let mut card = client.post(&format!("{path}/{verb}"), &body).await?;
        let mut code = ExitCode::SUCCESS;
        if self.wait {
            card = until_final(&client, &path, notes).await?;
            if verb == "approve" {
                code = ended(&card);
            }
        }
        print::state(out, &card)?;
        Ok(code)
    }
}

/// A person says yes with a word; Enter alone is no.
fn asked(out: &mut Out, verb: &str) -> Result<()> {
    out.line("")?;
    out.line(&format!(
        "Type `{verb}` to {verb} exactly this, anything else to leave it:"
    ))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != verb {
        bail!("nothing was decided");
    }
    Ok(())
}

async fn until_final(client: &Client, path: &str, notes: &mut Out) -> Result<Value> {
    let mut said = String::new();
    loop {
        let sheet = client.get(path).await?;
        let state = sheet.get("state").and_then(Value::as_str).unwrap_or_default();
        if state != "pending" && state != "granted" {
            return Ok(sheet);
        }
        if said != state {
            state.clone_into(&mut said);
            notes.line(&notes.paint(Tone::Faint, &format!("{state} …")))?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Done means carried out; every other end is a failure of whoever waits for it.
fn ended(sheet: &Value) -> ExitCode {
    match sheet.get("state").and_then(Value::as_str) {
        Some("spent") => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

async fn dead(config: &Path, out: &mut Out, as_json: bool) -> Result<ExitCode> {
    let letters = app::dead_letters(&Config::load(config)?, DEAD).await?;
    if as_json {
        let letters: Vec<_> = letters
            .iter()
            .map(|(channel, event, why)| json!({"channel": channel, "event": event, "why": why}))
            .collect();
        out.json(&letters)?;
        return Ok(ExitCode::SUCCESS);
    }
    if letters.is_empty() {
        out.line("Every notice was taken, or is still being tried.")?;
    }
    for (channel, event, why) in &letters {
        out.item(
            Tone::Careful,
            &event.at,
            &format!("{} of {} to {channel}: {why}", event.event, event.approval),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
