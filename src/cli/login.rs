//! `tollgate login`, `logout`, `whoami` and `token`: a person's login at a server.
//!
//! No configuration is read: a person's machine has none.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::out::{Out, Tone};
use crate::app::login::{Desk, How, Shown};
use crate::clock::Timestamp;
use crate::identity::login::Ending;

#[derive(Debug, Args)]
struct Server {
    /// The server's address, e.g. https://gate.example.com (without it: that of the last login)
    #[arg(long, value_name = "URL", env = "TOLLGATE_SERVER")]
    server: Option<String>,
}

impl Server {
    async fn desk(&self) -> Result<Desk> {
        let given = self.server.as_deref().filter(|server| !server.trim().is_empty());
        Desk::at(given).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    server: Server,
    /// By a code that you type into a browser elsewhere
    #[arg(long, conflicts_with = "browser")]
    device: bool,
    /// In a browser on this machine, even if there seems to be none
    #[arg(long)]
    browser: bool,
    /// The public client to be, where the server's issuer does not know this program
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The issuer to log in at, where the server has several
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    server: Server,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    server: Server,
    /// Print {"Authorization": "Bearer …"}, as header helpers of agents do
    #[arg(long)]
    header: bool,
}

impl Login {
    pub(crate) async fn run(self, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        let desk = self.server.desk().await?;
        let how = How {
            device: self.device,
            browser: self.browser,
            client_id: self.client_id,
            issuer: self.issuer,
        };
        let key = desk
            .login(&how, |shown| {
                let _ = show(notes, &shown);
            })
            .await?;
        out.item(
            Tone::Good,
            "logged in",
            &format!("at {} through {}", key.server, key.issuer),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(notes: &mut Out, shown: &Shown<'_>) -> std::io::Result<()> {
    match shown {
        Shown::Address(url) => {
            notes.line("Open this address in a browser on this machine:")?;
            notes.line(&notes.paint(Tone::Plain, url.as_str()))?;
            notes.line(&notes.paint(Tone::Faint, "Waiting for the browser, five minutes at most …"))
        }
        Shown::Code(prompt) => {
            notes.line("Open this address in any browser, and type the code there:")?;
            notes.line(&format!(
                "  {}",
                notes.paint(Tone::Plain, prompt.address.as_str())
            ))?;
            notes.line(&format!("  {}", notes.paint(Tone::Heading, &prompt.code)))?;
            notes.line(&notes.paint(
                Tone::Faint,
                "Only type a code that you see in your own terminal. Waiting …",
            ))
        }
    }
}

impl Logout {
    pub(crate) async fn run(self, out: &mut Out) -> Result<ExitCode> {
        let desk = self.server.desk().await?;
        let server = desk.site.server();
        match desk.logout().await? {
            Ending::None => out.line(&format!("You were not logged in at {server}."))?,
            Ending::Ended => out.item(Tone::Good, "logged out", &format!("at {server}"))?,
            Ending::Untold(why) => {
                out.item(
                    Tone::Careful,
                    "logged out here",
                    &format!(
                        "but the server was not told, so the login may live on there until it ends by itself: {why}"
                    ),
                )?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Whoami {
    pub(crate) async fn run(self, out: &mut Out) -> Result<ExitCode> {
        let desk = self.server.desk().await?;
        let who = desk.whoami().await?;
        let login = who.login.as_ref();
        let expires = login.map(|login| Timestamp(login.expires_at().saturating_mul(1000)).rfc3339());
        if self.json {
            out.json(&json!({
                "server": desk.site.server(),
                "issuer": login.map(|login| &login.key.issuer),
                "client_id": login.map(|login| &login.key.client_id),
                "access_token_expires_at": expires,
                "renewable": login.map(crate::identity::login::Login::is_renewable),
                "principal": who.said,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let text = |pointer: &str| {
            let value = who.said.pointer(pointer);
            value.and_then(Value::as_str).unwrap_or("?").to_owned()
        };
        let groups = who.said.pointer("/user/groups").and_then(Value::as_array);
        let groups: Vec<&str> = groups.into_iter().flatten().filter_map(Value::as_str).collect();
        out.item(Tone::Plain, "server", desk.site.server())?;
        out.item(Tone::Plain, "user  ", &text("/user/id"))?;
        out.item(Tone::Plain, "kind  ", &text("/user/kind"))?;
        out.item(
            Tone::Plain,
            "groups",
            &if groups.is_empty() {
                "none".to_owned()
            } else {
                groups.join(", ")
            },
        )?;
        out.item(Tone::Plain, "agent ", &text("/agent/client_id"))?;
        match (login, expires) {
            (Some(login), Some(expires)) => {
                out.item(Tone::Plain, "issuer", &login.key.issuer)?;
                let renewed = if login.is_renewable() {
                    "renewed by itself"
                } else {
                    "then log in again"
                };
                out.item(Tone::Plain, "token ", &format!("until {expires}, {renewed}"))?;
            }
            _ => out.item(Tone::Plain, "token ", "from the environment")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Token {
    pub(crate) async fn run(self, out: &mut Out) -> Result<ExitCode> {
        let desk = self.server.desk().await?;
        let token = desk.token().await?;
        let mut line = zeroize::Zeroizing::new(if self.header {
            json!({"Authorization": format!("Bearer {}", token.expose())}).to_string()
        } else {
            token.expose().to_owned()
        });
        line.push('\n');
        out.bytes(line.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
