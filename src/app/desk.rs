//! The people's side meets the approval stage: under the policies that decide now.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;

use crate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet};
use crate::approval::{Approvals, Event, Ledger, Unrecorded};
use crate::call::ApprovalId;
use crate::clock::System;
use crate::config::Config;
use crate::console::Desk;
use crate::console::notices::Channel;
use crate::gate::Gate;

/// The approvals of one gate.
pub(super) struct Reviews(pub(super) Arc<Gate>);

impl Desk for Reviews {
    fn list<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Vec<Card>, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.list(reviewer, &rules).await
        })
    }

    fn show<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Sheet, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.show(reviewer, &rules, id).await
        })
    }

    fn decide<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        choice: Choice,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.decide(reviewer, &rules, id, choice, seen).await
        })
    }

    fn cancel<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Card, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.cancel(reviewer, &rules, id).await
        })
    }
}

/// The webhooks of a configuration, with their secrets.
///
/// # Errors
/// Which one has no usable secret or address.
pub(super) fn channels(config: &Config) -> Result<Vec<Channel>> {
    let channel = |webhook: &crate::config::Webhook| {
        let host = webhook.url.host_str().unwrap_or_default();
        let place = || format!("[[approval.channel]] at {host}");
        let secret = webhook
            .secret
            .resolve(|name| std::env::var(name).ok())
            .map_err(|error| anyhow::anyhow!("secret {error}; {}", error.remedy()))
            .with_context(place)?;
        Channel::new(webhook.url.clone(), &secret, webhook.allow_private).with_context(place)
    };
    config.webhooks.iter().map(channel).collect()
}

/// Notices that were given up, newest first: (channel, event, why).
///
/// # Errors
/// When the store cannot be read.
pub async fn dead_letters(config: &Config, limit: u32) -> Result<Vec<(String, Event, String)>> {
    if config.store.address.file().is_some_and(|file| !file.exists()) {
        return Ok(Vec::new());
    }
    let store = super::store::open(config).await?;
    let world = Arc::new(System::new());
    let approvals = Approvals::with_people(&store, Arc::new(NoJournal), world, config.approval, None);
    let events = approvals.events().context("there are no approvals")?;
    Ok(events.dead(limit).await?)
}

/// Who only reads records nothing.
struct NoJournal;

impl Ledger for NoJournal {
    fn record<'a>(&'a self, _event: &'a Event) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async { Err(Unrecorded) })
    }
}
