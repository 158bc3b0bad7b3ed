//! `tollgate doctor`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::out::{Out, Tone, printable};
use crate::app::{self, Examined};
use crate::config::Config;
use crate::identity::doctor::Level;

/// Ask what is around Tollgate whether it is as the configuration says.
#[derive(Debug, Subcommand)]
pub(crate) enum Doctor {
    /// Ask every issuer: discovery, keys, clock, redirect URIs, client credentials; with --login also a
    /// real sign-in
    ///
    /// Nothing is changed anywhere. For example: tollgate doctor identity --login --issuer corp
    Identity(Identity),
    /// Ask a database of a server: version, TLS, what the role may do, what nobody classified
    ///
    /// Nothing is changed there. For example: tollgate doctor db shop
    Db(Db),
    /// Ask the mail server of notices: reachable, TLS, user and secret
    ///
    /// No mail is sent. For example: tollgate doctor mail
    Mail(Mail),
}

#[derive(Debug, Args)]
pub(crate) struct Mail {
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Db {
    /// The resource, of kind "postgres" or "mysql"
    name: String,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// The issuer to ask (without it: all)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Also sign in, with your own browser, and show the names of the claims and your groups
    #[arg(long)]
    login: bool,
    /// The public client to sign in as, redirect URI http://127.0.0.1/callback with any port
    #[arg(long, value_name = "ID", requires = "login")]
    client: Option<String>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self, file: &Path, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        let config = Config::load(file)?;
        let asked = match self {
            Self::Identity(asked) => asked,
            Self::Db(asked) => {
                let examined = app::doctor_db(&config, &asked.name).await?;
                return tell(&[examined], asked.json, out);
            }
            Self::Mail(asked) => {
                let examined = app::doctor_mail(&config).await?;
                return tell(&[examined], asked.json, out);
            }
        };
        let mut all = app::doctor_identity(&config, asked.issuer.as_deref()).await?;
        if asked.login {
            let show = |url: &url::Url| {
                let place = printable(url.as_str()).into_owned();
                let _ = notes.line(&format!("Open this in a browser and sign in:\n\n  {place}\n"));
            };
            let read =
                app::doctor_login(&config, asked.issuer.as_deref(), asked.client.as_deref(), show).await?;
            all.push(read);
        }
        tell(&all, asked.json, out)
    }
}

fn tell(all: &[Examined], json: bool, out: &mut Out) -> Result<ExitCode> {
    if json {
        out.json(&all)?;
    } else {
        for examined in all {
            print(examined, out)?;
        }
    }
    Ok(match all.iter().all(|examined| examined.findings.passed()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn print(examined: &Examined, out: &mut Out) -> Result<()> {
    out.heading(&examined.issuer)?;
    for finding in &examined.findings.0 {
        let (tone, mark) = match finding.level {
            Level::Ok => (Tone::Good, "ok   "),
            Level::Note => (Tone::Careful, "note "),
            Level::Bad => (Tone::Bad, "bad  "),
        };
        out.item(tone, mark, &finding.text)?;
        if !finding.remedy.is_empty() {
            out.remark(8, &format!("do: {}", finding.remedy))?;
        }
    }
    Ok(())
}
