//! `tollgate.toml`: what is refused, where, and what to write instead.

use std::path::Path;

use tollgate::config::Config;

mod anything;
mod bearer;
mod files;
mod gaps;
mod refusals;
mod slack;

/// The smallest configuration there is.
const LEAST: &str = "[store]\nurl = \"sqlite:tollgate.db\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/tollgate/tollgate.toml")).map_err(|error| error.to_string())
}

/// What is said about a text that must be refused.
fn refusal(text: &str) -> String {
    parse(text).expect_err("accepted").replace("/etc/tollgate/", "")
}

/// The same for text after the smallest configuration.
fn refusal_of(rest: &str) -> String {
    refusal(&format!("{LEAST}{rest}"))
}
