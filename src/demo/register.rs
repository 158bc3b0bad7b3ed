//! How to register the running demo in the agents people use. A command stands alone on its line, from
//! the first column, so that it can be copied whole.

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::play::Stage;
use crate::identity::issuer::Credential;

/// Who signs in for an agent.
const WHO: [(&str, &str); 3] = [
    ("analyst", "who queries the shop's database"),
    ("developer", "who reads the repository and runs commands"),
    ("dba", "who changes the shop's database, if somebody else agrees"),
];
/// Who decides about the others' calls.
const DECIDES: &str = "lead";
/// What to say to an agent of each of [`WHO`].
const ASK: [(&str, &str); 4] = [
    (
        "analyst",
        "Who are our five best customers, and what are their e-mail addresses?",
    ),
    (
        "developer",
        "How often does each kind of error occur in shared/app.log?",
    ),
    (
        "developer",
        "Write a bash script that counts the lines of each log by hour, and run it.",
    ),
    ("dba", "Cancel the open orders of customer 18."),
];

/// Where the demo runs. `program` and `config` are shell words, the others URLs.
pub struct Place<'a> {
    /// MCP.
    pub endpoint: &'a str,
    /// The people's side.
    pub control: &'a str,
    /// This program.
    pub program: &'a str,
    /// Its configuration.
    pub config: &'a str,
}

/// Prints how to register the demo; as whom to sign in, with the `secrets` of this start; what to ask; and
/// how to decide.
///
/// # Errors
/// When it cannot be printed.
pub fn register(stage: &mut Stage<'_>, place: &Place<'_>, secrets: &[Credential]) -> Result<()> {
    let endpoint = place.endpoint;
    stage.scene("Register it in your agent (good until you stop the demo with Ctrl-C)")?;
    stage.say("There is nothing to prepare: the agent opens a browser in which you sign in.")?;
    for (agent, command) in commands(endpoint) {
        stage.command(agent, &command)?;
    }
    stage.command("Cursor, as a link", &cursor_link(endpoint))?;
    stage.say("")?;
    stage.say("Sign in as one of these, with the secret of this start:")?;
    for (user, does) in WHO {
        if let Some((_, secret)) = secrets.iter().find(|(name, _)| name == user) {
            stage.command(&format!("{user}, {does}"), secret)?;
        }
    }
    stage.say("")?;
    stage.say("Ask it, for instance:")?;
    for (user, words) in ASK {
        stage.say(&format!("  as {user:<9} {words}"))?;
    }
    decide(stage, place, secrets)?;
    stage.command(
        "What was called",
        &format!("{} audit list --config {}", place.program, place.config),
    )?;
    stage.command(
        "Afterwards",
        "claude mcp remove tollgate; codex mcp remove tollgate",
    )
}

/// Where, as whom and how a person decides what an agent waits for.
fn decide(stage: &mut Stage<'_>, place: &Place<'_>, secrets: &[Credential]) -> Result<()> {
    let Some((user, secret)) = secrets.iter().find(|(user, _)| user == DECIDES) else {
        return Ok(());
    };
    let (secret, program, control) = (secret.as_str(), place.program, place.control);
    stage.scene(&format!(
        "Decide what it waits for, as {user}: nobody decides what they asked for"
    ))?;
    stage.say("Scripts, writable folders and changes of the shop wait for a second person.")?;
    stage.command("In a browser", &format!("{control}/approvals"))?;
    stage.command(&format!("Sign in as {user}, with the secret"), secret)?;
    stage.command(
        "Or in a terminal, which prints an address to sign in at",
        &format!("{program} approvals list --server {control}"),
    )?;
    stage.say("")?;
    stage.say("and with the ID it lists: approvals show ID, approve ID --wait, deny ID --reason WHY,")?;
    stage.say("each with the same --server")
}

/// The commands and files of each agent.
fn commands(endpoint: &str) -> [(&'static str, String); 4] {
    [
        (
            "Claude Code",
            format!("claude mcp add --transport http tollgate {endpoint} && claude mcp login tollgate"),
        ),
        (
            "Codex",
            format!("codex mcp add tollgate --url {endpoint} && codex mcp login tollgate"),
        ),
        (
            "VS Code",
            format!("code --add-mcp '{{\"name\":\"tollgate\",\"type\":\"http\",\"url\":\"{endpoint}\"}}'"),
        ),
        (
            "Cursor, with .cursor/mcp.json",
            format!("{{\"mcpServers\":{{\"tollgate\":{{\"url\":\"{endpoint}\"}}}}}}"),
        ),
    ]
}

/// Cursor's install link: the server's entry as JSON, in plain base64, percent-encoded.
fn cursor_link(endpoint: &str) -> String {
    let config = STANDARD.encode(json!({ "url": endpoint }).to_string());
    let config: String = url::form_urlencoded::byte_serialize(config.as_bytes()).collect();
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name=tollgate&config={config}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_to_be_pasted_is_well_formed() {
        let endpoint = "http://127.0.0.1:7330/mcp";
        let commands = commands(endpoint);
        let cursor: serde_json::Value = serde_json::from_str(&commands[3].1).unwrap();
        assert_eq!(cursor["mcpServers"]["tollgate"]["url"], endpoint);
        let code = commands[2].1.strip_prefix("code --add-mcp '").unwrap();
        let code: serde_json::Value = serde_json::from_str(code.strip_suffix('\'').unwrap()).unwrap();
        assert_eq!(code["url"], endpoint);
        assert_eq!(code["name"], "tollgate");

        let link = url::Url::parse(&cursor_link(endpoint)).unwrap();
        let pairs: BTreeMap<String, String> = link.query_pairs().into_owned().collect();
        assert_eq!(pairs["name"], "tollgate");
        let entry = STANDARD.decode(&pairs["config"]).unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        assert_eq!(entry["url"], endpoint);
    }
}
