//! `tollgate security-keys`: the keys people approve with, for the operator at the server.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::load;
use super::out::{Out, Tone};
use crate::app;
use crate::clock::Timestamp;
use crate::identity::security_keys::Held;

/// Subcommands of `security-keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecurityKeys {
    /// List everybody's keys: whose they are, when they were registered and used
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a key whose owner has lost it, or who never registered it
    ///
    /// People remove their own on the page, with a key. Who has none left can register a first one again.
    Remove {
        /// The key, as in `security-keys list`
        id: String,
    },
}

impl SecurityKeys {
    pub(crate) async fn run(self, config: &Path, out: &mut Out) -> Result<ExitCode> {
        let config = load(config)?;
        match self {
            Self::List { json } => {
                let keys = app::security_keys_list(&config).await?;
                if json {
                    let keys: Vec<_> = keys.iter().map(described).collect();
                    out.json(&json!({ "security_keys": keys }))?;
                } else {
                    list(&keys, out)?;
                }
            }
            Self::Remove { id } => {
                let key = app::security_keys_remove(&config, &id).await?;
                let text = format!("{} of {} counts no more", key.id, key.owner);
                out.item(Tone::Good, "removed", &text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn described(key: &Held) -> serde_json::Value {
    json!({
        "id": key.id,
        "owner": key.owner,
        "name": key.name,
        "created_at": key.created_at.rfc3339(),
        "used_at": key.used_at.map(Timestamp::rfc3339),
    })
}

fn list(keys: &[Held], out: &mut Out) -> Result<()> {
    if keys.is_empty() {
        out.line("nobody has registered a security key")?;
    }
    for key in keys {
        out.item(Tone::Plain, &key.id, &format!("{}  {}", key.owner, key.name))?;
        let used = key.used_at.map_or("never".to_owned(), Timestamp::rfc3339);
        out.remark(
            2,
            &format!("registered {}, last used {used}", key.created_at.rfc3339()),
        )?;
    }
    Ok(())
}
