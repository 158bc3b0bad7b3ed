//! Agents of the demo: each gets its token as agents do, by its person signing in.

use anyhow::{Result, bail};

/// placeholder
pub async fn token(_endpoint: &str, _user: &str, _secret: &str) -> Result<String> {
    bail!("not yet")
}
