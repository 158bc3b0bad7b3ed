//! Turns configuration into parts: the only place that does.

pub mod report;
pub mod running;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::config::gaps::gaps;
use crate::config::{Config, Kind};
use crate::telemetry::LineMask;
use report::{
    AuditFilter, CallStory, CheckReport, Erasure, ExplainQuery, Explanation, ExportReport, PolicyTests,
    ReloadReport, VerifyReport,
};

const NOT_BUILT: &str = "this part is not built yet";

/// What every log line passes through.
#[must_use]
pub fn line_mask() -> LineMask {
    Arc::new(|line| line.to_owned())
}

/// Serves MCP over HTTP until SIGTERM or SIGINT, then lets running calls end.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(_config: Config) -> Result<()> {
    bail!(NOT_BUILT)
}

/// Serves MCP over standard input and output for the user who started it.
///
/// # Errors
/// What keeps it from starting.
pub async fn stdio(_config: Config) -> Result<()> {
    bail!(NOT_BUILT)
}

/// Plays the demonstration, or leaves it running.
///
/// # Errors
/// What keeps it from starting.
pub async fn demo(_serve: bool) -> Result<()> {
    bail!(NOT_BUILT)
}

/// Everything that can be known before the first call.
pub async fn check(config: &Config) -> CheckReport {
    let mut report = CheckReport::default();
    report.ok(
        "configuration",
        format!("{} is understood", config.file.display()),
    );
    for resource in &config.resources {
        let kind = resource.resource_kind().as_str();
        report.ok("resources", format!("{} ({kind})", resource.name));
        let idle = matches!(&resource.kind, Kind::Git(git) if git.refs.is_empty());
        if idle {
            report.warn(
                "resources",
                format!("{} allows no ref", resource.name),
                "add refs, e.g. [\"refs/heads/main\"]",
            );
        }
    }
    report.gaps = gaps(config);
    report
}

/// Records that match, newest first, in the journal's JSON form.
///
/// # Errors
/// The store cannot be read.
pub async fn audit_list(_config: &Config, _filter: &AuditFilter) -> Result<Vec<serde_json::Value>> {
    bail!(NOT_BUILT)
}

/// Every record of one call and what was offered, in order.
///
/// # Errors
/// The store cannot be read; there is no such call.
pub async fn audit_show(_config: &Config, _call_id: &str) -> Result<CallStory> {
    bail!(NOT_BUILT)
}

/// The calls that match with what was offered to the agent, oldest first.
///
/// # Errors
/// The store cannot be read.
pub async fn audit_replay(_config: &Config, _filter: &AuditFilter) -> Result<Vec<CallStory>> {
    bail!(NOT_BUILT)
}

/// Checks the journal of the store; `public_key` and `held` (a checkpoint file) come from elsewhere.
///
/// # Errors
/// The store or the checkpoint cannot be read.
pub async fn audit_verify(
    _config: &Config,
    _public_key: Option<&str>,
    _held: Option<&Path>,
) -> Result<VerifyReport> {
    bail!(NOT_BUILT)
}

/// Checks an export with nothing but it, a public key and perhaps a checkpoint; needs no configuration.
///
/// # Errors
/// The export or the checkpoint cannot be read.
pub async fn audit_verify_export(
    _export: &Path,
    _public_key: &str,
    _held: Option<&Path>,
) -> Result<VerifyReport> {
    bail!(NOT_BUILT)
}

/// Writes the journal to a file.
///
/// # Errors
/// The store cannot be read, the file cannot be written or exists.
pub async fn audit_export(_config: &Config, _to: &Path, _payloads: bool) -> Result<ExportReport> {
    bail!(NOT_BUILT)
}

/// Erases payloads; records and proofs stay, and the reason is recorded.
///
/// # Errors
/// The store cannot be changed; nothing matches.
pub async fn audit_erase(_config: &Config, _what: &Erasure, _reason: &str) -> Result<u64> {
    bail!(NOT_BUILT)
}

/// Whether somebody would be allowed to do something, and which policies decide.
///
/// # Errors
/// The policies do not load; a name in the question is unknown.
pub async fn policy_explain(_config: &Config, _query: &ExplainQuery) -> Result<Explanation> {
    bail!(NOT_BUILT)
}

/// Runs the decision tests of a policy folder.
///
/// # Errors
/// The policies do not load.
pub async fn policy_test(_config: &Config, _dir: &Path) -> Result<PolicyTests> {
    bail!(NOT_BUILT)
}

/// Asks the running server of this store to load its policies again, and waits for what it says.
///
/// # Errors
/// No server runs, or it does not answer in time.
pub async fn policy_reload(config: &Config) -> Result<ReloadReport> {
    Ok(running::reload(&config.store.path).await?)
}
