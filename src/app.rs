//! Turns configuration into parts: the only place that does. The command line asks here.

mod ask;
mod check;
mod classify;
mod databases;
mod db;
mod demo;
mod desk;
mod doctor;
mod facade;
mod grants;
mod identity;
mod insight;
mod journal;
mod keys;
pub mod login;
mod mail;
mod parts;
mod proposals;
mod reload;
pub mod report;
pub mod running;
mod security_keys;
mod sides;
mod slack;
mod store;
mod watch;

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::mask::Mask;
use crate::telemetry::{LineMask, Seen};

pub use ask::{policy_explain, policy_reload, policy_test};
pub use check::check;
pub use classify::{Classified, db_classify};
pub use db::{ViewsBy, db_grants, db_views, doctor_db};
pub use desk::dead_letters;
pub use doctor::{Examined, doctor_identity, doctor_login};
pub use journal::{
    audit_erase, audit_export, audit_list, audit_recording, audit_replay, audit_show, audit_verify,
    audit_verify_export,
};
pub use keys::{KeyChange, keys_change, keys_list};
pub use login::bridge;
pub use mail::doctor_mail;
pub use parts::{App, Purpose, http_client};
pub use security_keys::{security_keys_list, security_keys_remove};
pub use store::{StepsReport, store_backup, store_migrate, store_restore};

/// The one masking engine of this process: answers, journal and log lines pass through the same.
fn mask() -> Arc<Mask> {
    static MASK: OnceLock<Arc<Mask>> = OnceLock::new();
    MASK.get_or_init(|| Arc::new(Mask::new())).clone()
}

/// What every log line passes through.
#[must_use]
pub fn line_mask() -> LineMask {
    Arc::new(|line| mask().text(line).into_owned())
}

/// Serves MCP over HTTP until SIGTERM or SIGINT, then lets running calls end.
///
/// # Errors
/// What keeps it from starting, or from closing the journal.
pub async fn serve(config: Config, seen: Seen) -> Result<()> {
    let running = running::Running::claim(&config.place())?;
    let address = config.server.listen;
    let listener = listen(address, "listen").await?;
    let control = match &config.server.control {
        Some(control) => Some(listen(control.listen, "control_listen").await?),
        None => None,
    };
    let metrics = match config.server.metrics_listen {
        Some(address) => Some(listen(address, "metrics_listen").await?),
        None => None,
    };
    if config.issuers.is_empty() {
        tracing::warn!("there is no [[issuer]]: every call is refused with 401; `tollgate check` says more");
    }
    if config.server.has_unnamed_proxy() {
        tracing::warn!(
            "attempts of everybody behind the TLS proxy count together: name its address in [server] trusted_proxies"
        );
    }
    let url = config.server.mcp_url();
    let people = config.server.control.as_ref().map(|control| control.url.clone());
    #[cfg(feature = "otlp")]
    let exporting = exporting(&config, &seen)?;
    let app = App::build(config, Purpose::Serve).await?;
    let shutdown = on_signals()?;
    let reloading = tokio::spawn(reload::on_hangup(app.gate.clone(), running, shutdown.clone())?);
    let watching = metrics.map(|metrics| tokio::spawn(app.watched(metrics, seen, shutdown.clone())));
    if let Some(url) = people {
        tracing::info!(%url, "serving people");
    }
    tracing::info!(%url, "serving MCP");
    let served = app.serve_both(listener, control, shutdown.clone()).await;
    shutdown.cancel();
    reloading.await?;
    if let Some(watching) = watching {
        watching.await??;
    }
    #[cfg(feature = "otlp")]
    if let Some((exporting, end)) = exporting {
        end.cancel(); // last, so that what the end of the others says is sent too
        exporting.await?;
    }
    served
}

/// Begins to send traces and log lines, where configuration says where to.
#[cfg(feature = "otlp")]
fn exporting(
    config: &Config,
    seen: &Seen,
) -> Result<Option<(tokio::task::JoinHandle<()>, CancellationToken)>> {
    use crate::telemetry::otlp::Parts;

    let (Some(telemetry), Some(otlp)) = (&config.telemetry, &seen.otlp) else {
        return Ok(None);
    };
    let mut headers = http::HeaderMap::new();
    for (name, reference) in &telemetry.headers {
        let secret = reference.resolve(|name| std::env::var(name).ok());
        let secret = secret.with_context(|| format!("[telemetry.headers] {name}"))?;
        let mut value = http::HeaderValue::from_str(secret.expose()).map_err(|_| {
            anyhow::anyhow!("[telemetry.headers] {name}: what {reference} holds cannot be a header")
        })?;
        value.set_sensitive(true);
        headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value);
    }
    let http = http_client()?;
    let end = CancellationToken::new();
    let sender = otlp.start(telemetry, Parts { http, headers });
    Ok(sender.map(|sender| (tokio::spawn(sender.run(end.clone())), end)))
}

async fn listen(address: std::net::SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("nothing can listen on {address}; another port goes into [server] {key}"))
}

/// Serves MCP over standard input and output for the user who started it.
///
/// # Errors
/// What keeps it from starting.
pub async fn stdio(config: Config) -> Result<()> {
    let shutdown = on_signals()?;
    App::build(config, Purpose::Stdio).await?.stdio(shutdown).await
}

/// Fires at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn on_signals() -> Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let fire = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if std::io::stderr().is_terminal() {
            tracing::info!("stopping; calls under way may finish");
        }
        fire.cancel();
    });
    Ok(shutdown)
}
