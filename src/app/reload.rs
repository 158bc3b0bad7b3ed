//! SIGHUP: load the policies again, say how it went, and keep deciding meanwhile.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::running::Running;
use crate::gate::Gate;

/// Reloads at every SIGHUP until `shutdown` fires; holds the right to serve the store.
///
/// # Errors
/// When the signal cannot be listened for.
pub(super) fn on_hangup(
    gate: Arc<Gate>,
    mut running: Running,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => reload(&gate, &mut running).await,
            }
        }
    })
}

async fn reload(gate: &Arc<Gate>, running: &mut Running) {
    let loading = {
        let gate = gate.clone();
        tokio::task::spawn_blocking(move || gate.policies.reload().map_err(|error| error.to_string()))
    };
    let outcome = loading
        .await
        .unwrap_or_else(|_| Err("loading panicked".to_owned()));
    let (accepted, message) = match outcome {
        Ok(report) => {
            tracing::info!(digest = %report.load.digest.hex(), "the policies were loaded again");
            (true, report.load.warnings.join("\n"))
        }
        Err(error) => {
            tracing::error!("the new policies are refused and the old ones stay in force: {error}");
            (false, error)
        }
    };
    let digest = gate.policies.current().digest().hex();
    let what = json!({ "policies": digest, "reload": if accepted { "accepted" } else { "refused" } });
    if let Err(error) = gate.audit.config_change(what).await {
        tracing::error!("the reload is not on record: {error}");
    }
    if let Err(error) = running.report(accepted, digest, message) {
        tracing::error!("whoever asked for the reload is not told: {error}");
    }
}
