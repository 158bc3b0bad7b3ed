//! API keys of services: what a key may name, who may make it, and a record of every change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::parts;
use crate::approval::review::Reviewer;
use crate::audit::Audit;
use crate::clock::{System, World};
use crate::config::{Config, suggest};
use crate::console::keys::{KeyDesk, KeyNames, KeyProblem};
use crate::gate::Gate;
use crate::identity::LocalUser;
use crate::identity::services::{Draft, Key, KeyFault, KeyText, Services, Terms};
use crate::store::rows::Rows;
use crate::tool::Tools;

/// The keys of one store, with every change on record.
#[derive(Debug)]
struct KeyBook {
    services: Arc<Services>,
    audit: Audit,
    names: KeyNames,
}

impl KeyBook {
    /// Makes a key. It is on record before it works: no record, no key.
    async fn create(&self, terms: Terms, by: &str) -> Result<(Key, KeyText), KeyProblem> {
        self.exist(&terms)?;
        let draft = self.services.draft(terms, by).await.map_err(refused)?;
        self.keep(draft, "create", by).await
    }

    async fn rotate(
        &self,
        id: &str,
        overlap: Duration,
        life: Option<Duration>,
        by: &str,
    ) -> Result<(Key, KeyText), KeyProblem> {
        let draft = self.services.draft_rotation(id, overlap, life, by).await;
        self.keep(draft.map_err(refused)?, "rotate", by).await
    }

    async fn keep(&self, draft: Draft, change: &str, by: &str) -> Result<(Key, KeyText), KeyProblem> {
        let record = made(&draft, change, by);
        self.record(&record).await?;
        match self.services.keep(draft).await {
            Ok(kept) => Ok(kept),
            Err(fault) => {
                let mut record = record;
                if let Some(members) = record.as_object_mut() {
                    members.insert("failed".to_owned(), json!(true));
                }
                // That it was begun is on record; that it failed is worth a second line and no more.
                let _ = self.record(&record).await;
                Err(refused(fault))
            }
        }
    }

    /// Takes a key back first and records it then: a journal that cannot be written must not keep a stolen
    /// key alive.
    async fn revoke(&self, id: &str, by: &str) -> Result<Key, KeyProblem> {
        let key = self.services.revoke(id, by).await.map_err(refused)?;
        let record = json!({"event": "api_key_revoke", "key": key.id, "service": key.service, "by": by});
        match self.record(&record).await {
            Ok(()) => Ok(key),
            Err(_) => Err(KeyProblem::DoneUnrecorded),
        }
    }

    async fn record(&self, what: &Value) -> Result<(), KeyProblem> {
        let recorded = self.audit.config_change(what.clone()).await;
        recorded.map_err(|error| {
            tracing::error!("a change of API keys is not on record: {error}");
            KeyProblem::Unrecorded
        })
    }

    /// Whether everything a key is to name exists.
    fn exist(&self, terms: &Terms) -> Result<(), KeyProblem> {
        let lists = [
            ("group", &terms.groups, &self.names.groups),
            ("tool", &terms.tools, &self.names.tools),
            ("resource", &terms.resources, &self.names.resources),
        ];
        for (what, asked, known) in lists {
            if let Some(name) = asked.difference(known).next() {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
                let better = suggest(&name, &known, &format!("{what}s"));
                return Err(KeyProblem::Wrong(format!(
                    "there is no {what} `{name}`: {better}"
                )));
            }
        }
        Ok(())
    }
}

/// What the journal says of a new key: never the key.
fn made(draft: &Draft, change: &str, by: &str) -> Value {
    let key = &draft.key;
    let mut record = json!({
        "event": format!("api_key_{change}"), "key": key.id, "service": key.service, "groups": key.groups,
        "tools": key.tools, "resources": key.resources, "expires_at": key.expires_at.rfc3339(), "by": by,
    });
    if let (Some((old, ends)), Some(members)) = (&draft.replaces, record.as_object_mut()) {
        members.insert(
            "replaces".to_owned(),
            json!({"key": old, "ends_at": ends.rfc3339()}),
        );
    }
    record
}

fn refused(fault: KeyFault) -> KeyProblem {
    match fault {
        KeyFault::Unknown(_) => KeyProblem::Unknown,
        KeyFault::Store(error) => {
            tracing::error!("API keys: {error}");
            KeyProblem::Failed
        }
        KeyFault::Taken(_) | KeyFault::Over(_) | KeyFault::TooMany(_) => {
            KeyProblem::Conflict(fault.to_string())
        }
        KeyFault::Name(_) | KeyFault::Life | KeyFault::Overlap | KeyFault::TooLong => {
            KeyProblem::Wrong(fault.to_string())
        }
    }
}

fn names(config: &Config, tools: &Tools) -> KeyNames {
    KeyNames {
        groups: config.groups.keys().cloned().collect(),
        tools: tools.names().map(str::to_owned).collect(),
        resources: config
            .resources
            .iter()
            .map(|resource| resource.name.clone())
            .collect(),
    }
}

/// Keys in the hands of people whom policies permit to `administer`.
pub(super) struct Administered {
    book: KeyBook,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for Administered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Administered").finish_non_exhaustive()
    }
}

impl Administered {
    pub(super) fn new(config: &Config, gate: &Arc<Gate>, services: &Arc<Services>) -> Self {
        let book = KeyBook {
            services: services.clone(),
            audit: gate.audit.clone(),
            names: names(config, &gate.tools),
        };
        Self {
            book,
            gate: gate.clone(),
        }
    }

    /// Whoever looks after a key may administer every resource that it names and that there is; where it
    /// names none, any resource.
    fn may(&self, who: &Reviewer, resources: &BTreeSet<String>) -> Result<(), KeyProblem> {
        let rules = self.gate.policies.current();
        let may = |name: &&String| rules.may_administer(&who.user, name);
        let mut named = resources.intersection(&self.book.names.resources).peekable();
        if named.peek().is_none() {
            let any = self.book.names.resources.iter().any(|name| may(&name));
            return any
                .then_some(())
                .ok_or_else(|| KeyProblem::NotPermitted("any resource".to_owned()));
        }
        match named.find(|name| !may(name)) {
            None => Ok(()),
            Some(name) => Err(KeyProblem::NotPermitted(format!("`{name}`"))),
        }
    }

    /// A key of that id; one that is not this person's business looks like one that does not exist.
    async fn theirs(&self, who: &Reviewer, id: &str) -> Result<Key, KeyProblem> {
        let key = self.book.services.find(id).await.map_err(refused)?;
        self.may(who, &key.resources).map_err(|_| KeyProblem::Unknown)?;
        Ok(key)
    }
}

impl KeyDesk for Administered {
    fn list<'a>(&'a self, who: &'a Reviewer) -> BoxFuture<'a, Result<Vec<Key>, KeyProblem>> {
        Box::pin(async move {
            self.may(who, &BTreeSet::new())?;
            let mut keys = self.book.services.list().await.map_err(refused)?;
            keys.retain(|key| self.may(who, &key.resources).is_ok());
            Ok(keys)
        })
    }

    fn create<'a>(
        &'a self,
        who: &'a Reviewer,
        terms: Terms,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>> {
        Box::pin(async move {
            self.may(who, &BTreeSet::new())?; // before anything is said of what exists
            self.book.exist(&terms)?;
            self.may(who, &terms.resources)?;
            self.book.create(terms, &who.user.id()).await
        })
    }

    fn rotate<'a>(
        &'a self,
        who: &'a Reviewer,
        id: &'a str,
        overlap: Duration,
        life: Option<Duration>,
    ) -> BoxFuture<'a, Result<(Key, KeyText), KeyProblem>> {
        Box::pin(async move {
            let key = self.theirs(who, id).await?;
            self.book.rotate(&key.id, overlap, life, &who.user.id()).await
        })
    }

    fn revoke<'a>(&'a self, who: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<Key, KeyProblem>> {
        Box::pin(async move {
            let key = self.theirs(who, id).await?;
            self.book.revoke(&key.id, &who.user.id()).await
        })
    }

    fn names(&self) -> KeyNames {
        self.book.names.clone()
    }

    fn opens_to(&self, who: &Reviewer) -> bool {
        self.may(who, &BTreeSet::new()).is_ok()
    }
}

/// The keys in a configuration's store, for the server that admits them.
pub(super) async fn services(config: &Config, world: &Arc<dyn World>) -> Result<Arc<Services>> {
    let store = super::store::open(config).await?;
    Ok(Arc::new(Services::new(Rows::new(store), world.clone())))
}

/// Every key, those that work first.
///
/// # Errors
/// The store cannot be read.
pub async fn keys_list(config: &Config) -> Result<Vec<Key>> {
    let store = super::store::existing(config).await?;
    Ok(Services::new(Rows::new(store), Arc::new(System::new()))
        .list()
        .await?)
}

/// What the operator does with keys, at the server.
#[derive(Debug)]
pub enum KeyChange {
    /// A key for a service that has none that works.
    Create(Terms),
    /// Another key for the same.
    Rotate {
        /// The key to replace.
        id: String,
        /// How long that one goes on.
        overlap: Duration,
        /// How long the new one works; `None` as long as the old one was made for.
        life: Option<Duration>,
    },
    /// Takes a key back.
    Revoke(String),
}

/// Makes, rotates or takes back a key, on record under the operating-system user. Gives the key's text when
/// there is a new one.
///
/// # Errors
/// What it names does not exist; the journal cannot be written; see [`KeyProblem`].
pub async fn keys_change(config: &Config, change: KeyChange) -> Result<(Key, Option<KeyText>)> {
    let world: Arc<dyn World> = Arc::new(System::new());
    let tools = Tools::load(config.tools.as_deref(), &parts::cards(config)).context("tools")?;
    let user = LocalUser::current();
    let by = format!("local#{}@{}", user.uid, user.host);
    let start = json!({ "command": "keys" });
    let (audit, store, _) = parts::audit(config, &super::mask(), &world, start).await?;
    let book = KeyBook {
        services: Arc::new(Services::new(Rows::new(store), world)),
        audit: audit.clone(),
        names: names(config, &tools),
    };
    let done = match change {
        KeyChange::Create(terms) => book.create(terms, &by).await.map(with_text),
        KeyChange::Rotate { id, overlap, life } => book.rotate(&id, overlap, life, &by).await.map(with_text),
        KeyChange::Revoke(id) => book.revoke(&id, &by).await.map(|key| (key, None)),
    };
    audit.close().await?;
    Ok(done?)
}

fn with_text((key, text): (Key, KeyText)) -> (Key, Option<KeyText>) {
    (key, Some(text))
}
