//! The people's side meets the approval stage: under the policies that decide now.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::approval::listing::{Counts, Listing, Wanted};
use crate::approval::review::{Card, Choice, NotDecided, Reviewer, Sheet};
use crate::approval::{Approvals, Event, Ledger, Unrecorded};
use crate::call::ApprovalId;
use crate::clock::System;
use crate::config::Config;
use crate::console::callbacks::{Callbacks, Integration};
use crate::console::notices::{Answers, Channel};
use crate::console::{Around, Desk};
use crate::gate::Gate;
use crate::secret::{Secret, SecretRef};
use crate::store::Store;

/// The approvals of one gate.
pub(super) struct Reviews(pub(super) Arc<Gate>, pub(super) Store);

impl Desk for Reviews {
    fn page<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Listing, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.page(reviewer, &rules, wanted).await
        })
    }

    fn counts<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Counts, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            self.0.approvals.counts(reviewer, &rules).await
        })
    }

    fn around<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Around>, NotDecided>> {
        Box::pin(async move {
            let rules = self.0.policies.current();
            let origin = self.0.approvals.origin(reviewer, &rules, id).await?;
            let calls = super::insight::earlier(&self.1, &rules, reviewer, &origin).await;
            Ok(Some(Around {
                program: origin.program,
                calls,
            }))
        })
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        self.0.approvals.changes()
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

/// Who is told by a configuration, with their secrets, and the integrations among them that may decide.
pub(super) struct Channels {
    pub(super) channels: Vec<Channel>,
    pub(super) callbacks: Option<Arc<Callbacks>>,
}

/// What is told and who may answer.
///
/// # Errors
/// Which channel has no usable secret or address, or a secret that another one has as well.
pub(super) fn channels(config: &Config) -> Result<Channels> {
    super::slack::spec(config)?; // its secrets as well
    let (mut told, mut answered): (Vec<Secret>, Vec<Secret>) = (Vec::new(), Vec::new());
    let (mut channels, mut integrations) = (Vec::new(), Vec::new());
    for webhook in &config.webhooks {
        let host = webhook.url.host_str().unwrap_or_default();
        let place = || format!("[[approval.channel]] at {host}");
        let resolved = |reference: &SecretRef, key: &str| {
            let secret = reference.resolve(|name| std::env::var(name).ok());
            secret
                .map_err(|error| anyhow::anyhow!("{key} {error}; {}", error.remedy()))
                .with_context(place)
        };
        let secret = resolved(&webhook.secret, "secret")?;
        let mut channel =
            Channel::new(webhook.url.clone(), &secret, webhook.allow_private).with_context(place)?;
        told.push(secret);
        if let Some(callback) = &webhook.callback {
            let secrets = callback.secrets.iter();
            let secrets: Vec<Secret> = secrets
                .map(|one| resolved(one, "callback_secrets"))
                .collect::<Result<_>>()?;
            let (name, groups) = (callback.name.clone(), callback.groups.clone());
            integrations.push(Integration::new(name.clone(), &secrets, groups.clone()).with_context(place)?);
            answered.extend(secrets);
            channel = channel.answered_by(Answers { name, groups });
        }
        channels.push(channel);
    }
    for teams in &config.teams {
        let place = "[[approval.channel]] of kind teams";
        let address = teams.address.resolve(|name| std::env::var(name).ok());
        let address = address
            .map_err(|error| anyhow::anyhow!("secret {error}; {}", error.remedy()))
            .context(place)?;
        channels.push(Channel::teams(&address, teams.allow_private).context(place)?);
    }
    channels.extend(super::mail::channels(config)?);
    if is_elsewhere(&answered, &told) {
        anyhow::bail!(
            "[[approval.channel]]: what one integration signs with is a secret of another place, too: whoever has it there \
             could decide; make one for each: echo whsec_$(openssl rand -base64 32)"
        );
    }
    let issuers = config.issuers.iter().map(|issuer| issuer.name.clone()).collect();
    let callbacks = (!integrations.is_empty()).then(|| Arc::new(Callbacks::new(integrations, issuers)));
    Ok(Channels { channels, callbacks })
}

/// Whether what an integration signs with is known to anybody else.
fn is_elsewhere(answered: &[Secret], told: &[Secret]) -> bool {
    let mut rest = answered.iter();
    while let Some(one) = rest.next() {
        if rest.clone().chain(told).any(|other| other == one) {
            return true;
        }
    }
    false
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
