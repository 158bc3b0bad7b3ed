//! `tollgate demo`: a shop, a repository, a work folder, four people, and the real server between them.
//!
//! Everything is made new in one folder: databases, keys, secrets. The issuer is Tollgate's own
//! ([`crate::identity::issuer`]), on loopback, and knows the demo's users only.

pub mod agents;
pub mod browser;
pub mod changes;
pub mod client;
pub mod people;
pub mod play;
pub mod register;
pub mod repo;
pub mod run;
pub mod shop;

use std::path::Path;

/// The client of the demo's issuer that people sign in with to decide.
pub const CONTROL: &str = "tollgate-control";

/// The client of the demo's issuer that the facade is.
pub const FACADE: &str = "tollgate";

/// Claude Code, by the address of its document, so that it need not be fetched: the demo is also played where
/// there is no way out, and over and over, which a registration in its store would not outlive.
const CLAUDE_CODE: &str = r#"
[[facade.client]]
id = "https://claude.ai/oauth/claude-code-client-metadata"
name = "Claude Code"
redirect_uris = ["http://localhost/callback", "http://127.0.0.1/callback"]
"#;

/// How agents come in.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// With tokens of the issuer.
    Bearer,
    /// With tokens of ours, after a sign-in at the issuer. The file holds the sealing key.
    Facade(&'a Path),
}

impl Way<'_> {
    /// The lines of the issuer, and the tables for the end.
    fn lines(&self, url: &str) -> (String, String) {
        match self {
            Self::Bearer => (
                format!("mode = \"bearer\"\naudience = \"{url}/mcp\"\n"),
                String::new(),
            ),
            Self::Facade(key) => (
                format!("mode = \"facade\"\nclient_id = \"{FACADE}\"\n"),
                format!(
                    "\n[facade]\nkey = \"file:{}\"\nregistration = true\nunchecked_seconds = 43200\n{CLAUDE_CODE}",
                    key.display()
                ),
            ),
        }
    }
}

/// The configuration of the demo (and of the tests): one shop, one repository, one issuer.
///
/// `url` is where Tollgate will listen (`http://127.0.0.1:PORT`), `control` the port of the people's side
/// if there is one.
#[must_use]
pub fn config_text(url: &str, control: Option<u16>, issuer: &str, issuer_url: &str, way: Way<'_>) -> String {
    let (lines, tables) = way.lines(url);
    let (side, audience) = control.map_or_else(Default::default, |port| {
        (
            format!("control_listen = \"127.0.0.1:{port}\"\ncontrol_url = \"http://localhost:{port}\"\n"),
            format!("control_audience = \"{CONTROL}\"\n"),
        )
    });
    let uid = rustix::process::getuid().as_raw().to_string(); // so that `tollgate stdio` works on the same file
    [
        ("@LISTEN@", url.trim_start_matches("http://")),
        ("@URL@", url),
        ("@ISSUER@", issuer),
        ("@ISSUER_URL@", issuer_url),
        ("@WAY@\n", &lines),
        ("@TABLES@\n", &tables),
        ("@CONTROL@\n", &side),
        ("@CONTROL_AUDIENCE@\n", &audience),
        ("@UID@", &uid),
    ]
    .iter()
    .fold(
        include_str!("demo/tollgate.toml").to_owned(),
        |text, (mark, value)| text.replace(mark, value),
    )
}
