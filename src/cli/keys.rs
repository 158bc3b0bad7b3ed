//! `tollgate keys`: API keys of services, for the operator at the server.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::load;
use super::out::{Out, Tone};
use crate::app::{self, KeyChange};
use crate::clock::moment::duration;
use crate::clock::{System, Timestamp, World};
use crate::console::keys::described;
use crate::identity::services::{Key, KeyState, KeyText, Terms};

/// Subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List keys: what they are for, whose they are, when they end
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key for a service; it is printed once, alone on standard output
    ///
    /// Example: tollgate keys create nightly --group analyst --tool sql_query --resource shop --expires 90d
    Create(Create),
    /// Make a second key for the same service; the old one goes on for a while
    Rotate(Rotate),
    /// Take a key back, at once
    Revoke {
        /// The key's public name, as in `keys list`
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The service, as policies and the journal call it: service#<name>
    name: String,
    /// A local group it is in; may be given again
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A tool it may call at most; may be given again. None: it can call nothing
    #[arg(long = "tool", value_name = "TOOL")]
    tools: Vec<String>,
    /// A resource it may use at most; may be given again. None: it can use nothing
    #[arg(long = "resource", value_name = "RESOURCE")]
    resources: Vec<String>,
    /// How long it works: a number with m, h or d, at most 365d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Duration,
    /// Print key and description as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The key to replace, by its public name
    id: String,
    /// How long the old key goes on working: a number with m, h or d, at most 30d; 0m ends it now
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
    overlap: Duration,
    /// How long the new key works (without it: as long as the old one was made for)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
    /// Print key and description as JSON
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(crate) async fn run(self, config: &Path, out: &mut Out, notes: &mut Out) -> Result<ExitCode> {
        let config = load(config)?;
        let now = System::new().now();
        match self {
            Self::List { json: true } => {
                let keys = app::keys_list(&config).await?;
                let keys: Vec<_> = keys.iter().map(|key| described(key, now)).collect();
                out.json(&json!({ "keys": keys }))?;
            }
            Self::List { json: false } => list(&app::keys_list(&config).await?, now, out)?,
            Self::Create(create) => {
                let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
                let terms = Terms {
                    service: create.name,
                    groups: set(create.groups),
                    tools: set(create.tools),
                    resources: set(create.resources),
                    life: create.expires,
                };
                let made = app::keys_change(&config, KeyChange::Create(terms)).await?;
                print(&made, create.json, out, notes)?;
            }
            Self::Rotate(rotate) => {
                let change = KeyChange::Rotate {
                    id: rotate.id,
                    overlap: rotate.overlap,
                    life: rotate.expires,
                };
                let made = app::keys_change(&config, change).await?;
                print(&made, rotate.json, out, notes)?;
            }
            Self::Revoke { id } => {
                let (key, _) = app::keys_change(&config, KeyChange::Revoke(id)).await?;
                let text = format!("{} of service#{} works no more", key.id, key.service);
                out.item(Tone::Good, "revoked", &text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The key alone on standard output, so that it can go into a secret store without being seen.
fn print((key, text): &(Key, Option<KeyText>), as_json: bool, out: &mut Out, notes: &mut Out) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if as_json {
        let mut made = described(key, key.created_at);
        if let Some(members) = made.as_object_mut() {
            members.insert("key".to_owned(), json!(text.expose()));
        }
        out.json(&made)?;
        return Ok(());
    }
    out.line(text.expose())?;
    let about = format!(
        "Key {} of service#{}, until {}. It is shown this once: only its hash is kept.",
        key.id,
        key.service,
        key.expires_at.rfc3339()
    );
    notes.line(&notes.paint(Tone::Faint, &about))?;
    if key.tools.is_empty() || key.resources.is_empty() {
        let nothing = "It names no tool or no resource, so nothing can be done with it.";
        notes.line(&notes.paint(Tone::Careful, nothing))?;
    }
    Ok(())
}

fn list(keys: &[Key], now: Timestamp, out: &mut Out) -> Result<()> {
    if keys.is_empty() {
        out.line("there are no keys")?;
    }
    for key in keys {
        let state = key.state(now);
        let tone = match state {
            KeyState::Live => Tone::Good,
            KeyState::Expired | KeyState::Revoked => Tone::Faint,
        };
        let head = format!(
            "{}  service#{}  until {}",
            key.id,
            key.service,
            key.expires_at.rfc3339()
        );
        out.item(tone, state.as_str(), &head)?;
        let words = |names: &BTreeSet<String>| match names.is_empty() {
            true => "none".to_owned(),
            false => names.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        out.remark(2, &format!("tools: {}", words(&key.tools)))?;
        out.remark(2, &format!("resources: {}", words(&key.resources)))?;
        out.remark(2, &format!("groups: {}", words(&key.groups)))?;
        let used = key.used_at.map_or("never".to_owned(), Timestamp::rfc3339);
        out.remark(2, &format!("made by {}, last used {used}", key.made_by))?;
    }
    Ok(())
}
