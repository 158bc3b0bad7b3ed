//! What is served beside agents: people, channels, and those who watch.

use std::sync::Arc;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::console;
use crate::telemetry::Seen;

impl App {
    /// Tells those who watch, until `shutdown` fires.
    pub(super) fn watched(
        &self,
        listener: tokio::net::TcpListener,
        seen: Seen,
        shutdown: CancellationToken,
    ) -> impl Future<Output = std::io::Result<()>> + Send + use<> {
        let watching = Arc::new(super::watch::Watching {
            gate: self.gate.clone(),
            seen,
            world: self.world.clone(),
        });
        crate::transport::http::watch::serve(watching, listener, shutdown)
    }

    /// Tells every channel what becomes of requests.
    pub(super) fn tell(&self, stop: CancellationToken) -> Result<Vec<tokio::task::JoinHandle<()>>> {
        let channels = super::desk::channels(&self.config)?.channels;
        let control = self.config.server.control.as_ref().map(|control| &control.url);
        let told = channels.into_iter().map(|channel| {
            let mask = self.gate.mask.clone();
            let teller = console::notices::Teller::new(
                self.gate.approvals.clone(),
                channel,
                control.cloned(),
                Arc::new(move |words| mask.text(words).into_owned()),
                self.world.clone(),
            );
            tokio::spawn(teller.run(stop.clone()))
        });
        Ok(told.collect())
    }

    /// The people's side, where there is one.
    pub(super) async fn control_side(
        &self,
        listener: Option<tokio::net::TcpListener>,
        slack: Option<Arc<console::slack::Slack>>,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let (Some(listener), Some(control)) = (listener, &self.config.server.control) else {
            return Ok(());
        };
        let max_age = self.config.approval.max_age.as_secs();
        let mut spec = console::Spec::new(control.url.clone(), max_age, self.world.clone());
        spec.keys = Some(Arc::new(super::keys::Administered::new(
            &self.config,
            &self.gate,
            &self.services,
        )));
        spec.grants = Some(Arc::new(super::grants::Lasting(
            self.gate.clone(),
            self.store.clone(),
        )));
        spec.security_keys.clone_from(&self.security_keys);
        spec.slack = slack;
        let channels = super::desk::channels(&self.config).map_err(std::io::Error::other)?;
        spec.callbacks = channels.callbacks;
        spec.attempts = self.attempts.clone();
        spec.leave_within = self.config.server.leave;
        spec.trusted_proxies
            .clone_from(&self.config.server.trusted_proxies);
        if self.config.server.has_unnamed_proxy() {
            spec.max_connections_per_address = spec.max_connections;
        }
        let issuers = self.config.issuers.iter();
        spec.acr = issuers
            .map(|issuer| (issuer.name.clone(), issuer.control_acr.clone()))
            .collect();
        if let Some(server) = &self.facade {
            spec.sessions = Some(Arc::new(super::facade::SessionsDesk {
                server: server.clone(),
                gate: self.gate.clone(),
                resources: self.config.resources.iter().map(|one| one.name.clone()).collect(),
            }));
        }
        spec.insight = Some(Arc::new(super::insight::Lookup {
            gate: self.gate.clone(),
            store: self.store.clone(),
            config: self.config.clone(),
        }));
        let desk = Arc::new(super::desk::Reviews(self.gate.clone(), self.store.clone()));
        console::serve(desk, self.gate.identity.people(), spec, listener, shutdown).await
    }
}
