//! The Slack app: its secrets, its parts, and where its links go on record.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::audit::Audit;
use crate::clock::World;
use crate::config::{Config, SlackDelivery};
use crate::console::slack::{Delivery, LinkLedger, Parts, Slack, Spec};
use crate::gate::Gate;
use crate::secret::{Secret, SecretRef};
use crate::store::Store;
use crate::store::rows::Rows;

/// Links go into the journal.
struct OnRecord(Audit);

impl LinkLedger for OnRecord {
    fn record(&self, what: Value) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let recorded = self.0.config_change(what).await;
            recorded
                .inspect_err(|error| tracing::error!("a link to a Slack account is not on record: {error}"))
                .is_ok()
        })
    }
}

/// The installation of a configuration, with its secrets; `None` without one, or without a side for people.
///
/// # Errors
/// Which secret is none, or that the address is not one.
pub(super) fn spec(config: &Config) -> Result<Option<Spec>> {
    let (Some(slack), Some(control)) = (&config.slack, &config.server.control) else {
        return Ok(None);
    };
    let secret = |reference: &SecretRef, key: &str| -> Result<Secret> {
        reference
            .resolve(|name| std::env::var(name).ok())
            .map_err(|error| anyhow::anyhow!("{key} {error}; {}", error.remedy()))
            .context("[[approval.channel]] of kind slack")
    };
    let acr = config.issuers.iter();
    Ok(Some(Spec {
        url: slack.url.clone(),
        bot_token: secret(&slack.bot_token, "bot_token")?,
        delivery: match &slack.delivery {
            SlackDelivery::Socket(token) => Delivery::Socket(secret(token, "app_token")?),
            SlackDelivery::Http(signing) => Delivery::Http(secret(signing, "signing_secret")?),
        },
        channel: slack.channel.clone(),
        routes: slack.routes.clone(),
        escalation: slack.escalation.clone(),
        link: slack.link,
        control: control.url.clone(),
        acr: acr
            .map(|issuer| (issuer.name.clone(), issuer.control_acr.clone()))
            .collect(),
    }))
}

/// The installation at work.
///
/// # Errors
/// As [`spec`].
pub(super) fn slack(
    config: &Config,
    gate: &Arc<Gate>,
    store: &Store,
    world: &Arc<dyn World>,
) -> Result<Option<Arc<Slack>>> {
    let Some(spec) = spec(config)? else {
        return Ok(None);
    };
    let mask = gate.mask.clone();
    let parts = Parts {
        approvals: gate.approvals.clone(),
        desk: Arc::new(super::desk::Reviews(gate.clone(), store.clone())),
        rows: Rows::new(store.clone()),
        mask: Arc::new(move |words| mask.text(words).into_owned()),
        ledger: Arc::new(OnRecord(gate.audit.clone())),
        world: world.clone(),
    };
    Slack::new(spec, parts)
        .map(Some)
        .map_err(anyhow::Error::msg)
        .context("[[approval.channel]] of kind slack")
}
