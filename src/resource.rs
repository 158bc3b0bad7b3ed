//! Permit + Invocation → [`RawOutput`]: the only code that touches a target.

pub mod git;
pub mod shell;
pub mod sql;

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use crate::call::answer::{ResourceEntry, ResourceList};
use crate::call::{
    Action, Effect, Facts, Invocation, LastLook, Probe, RawOutput, Refusal, Request, ResourceCard, Target,
};
use crate::policy::Permit;

/// One configured thing that can be read or changed. A closed set: each kind is an arm here.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is the adapter of that kind")]
pub enum Resource {
    Git(git::Repository),
    Sqlite(sql::sqlite::Database),
    #[cfg(feature = "postgres")]
    Postgres(Box<sql::postgres::Database>),
    #[cfg(feature = "mysql")]
    Mysql(Box<sql::mysql::Database>),
    Shell(Box<shell::Folder>),
}

impl Resource {
    /// Why every call is refused, as far as that is known without asking anybody.
    fn refused(&self) -> Option<Refusal> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.refused(),
            #[cfg(feature = "mysql")]
            Self::Mysql(database) => database.refused(),
            _ => None,
        }
    }

    async fn look(&self) -> Result<(), Refusal> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.look().await,
            #[cfg(feature = "mysql")]
            Self::Mysql(database) => database.look().await,
            _ => Ok(()),
        }
    }
}

/// The configured resources, by name.
#[derive(Debug, Default)]
pub struct Resources(BTreeMap<String, (ResourceCard, Resource)>);

impl Resources {
    /// Collects opened resources; a later one of the same name replaces an earlier one, so
    /// configuration refuses duplicates before.
    #[must_use]
    pub fn new(resources: impl IntoIterator<Item = (ResourceCard, Resource)>) -> Self {
        Self(
            resources
                .into_iter()
                .map(|(card, resource)| (card.name.clone(), (card, resource)))
                .collect(),
        )
    }

    /// Looks at every database of a server before anybody asks: one that is not as the configuration says is refused
    /// from the start, and the log says why. One that does not answer is looked at by the first call that reaches it.
    pub async fn look(&self) {
        let each = self.0.iter();
        let each = each.map(|(name, (_, resource))| async move { (name, resource.look().await) });
        for (resource, looked) in futures::future::join_all(each).await {
            if let Err(refusal) = looked {
                let why = refusal.detail.unwrap_or(refusal.message);
                tracing::error!(resource, "refused at start: {why}");
            }
        }
    }

    /// Each resource, and whether every call to it is refused as it is.
    pub fn refused(&self) -> impl Iterator<Item = (&str, bool)> {
        let each = self.0.iter();
        each.map(|(name, (_, resource))| (name.as_str(), resource.refused().is_some()))
    }

    /// What a request would touch, by the adapter that would execute it. Runs nothing.
    ///
    /// # Errors
    /// What the adapter refuses before anything runs.
    #[tracing::instrument(level = "debug", skip_all, name = "inspect")]
    pub async fn inspect(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
    ) -> Result<Facts, Refusal> {
        match self.of(invocation)? {
            None => Ok(Facts {
                shell: None,
                probe: Probe::None,
                action: invocation.action,
                target: Target::Tollgate,
                sql: None,
                file: None,
                classified: Default::default(),
            }),
            Some(Resource::Git(repository)) => repository.inspect(invocation, cancel).await,
            Some(Resource::Sqlite(database)) => database.inspect(invocation, cancel).await,
            #[cfg(feature = "postgres")]
            Some(Resource::Postgres(database)) => database.inspect(invocation, cancel).await,
            #[cfg(feature = "mysql")]
            Some(Resource::Mysql(database)) => database.inspect(invocation, cancel).await,
            Some(Resource::Shell(folder)) => folder.inspect(invocation).await,
        }
    }

    /// Measures the effect of what the permit is for, and leaves nothing of it.
    ///
    /// # Errors
    /// `internal` when the permit is for another action, or not for measuring; otherwise what the adapter
    /// says. What it says must not tell the outcome of the measurement.
    #[tracing::instrument(level = "debug", skip_all, name = "measure")]
    pub async fn measure(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        if !permit.is_for_measuring() || permit.action_sha256() != facts.action_sha256(invocation, None) {
            return Err(Refusal::internal("permit is for another action"));
        }
        match self.of(invocation)? {
            Some(Resource::Sqlite(database)) => database.measure(permit, invocation, facts, cancel).await,
            #[cfg(feature = "postgres")]
            Some(Resource::Postgres(database)) => database.measure(permit, invocation, facts, cancel).await,
            #[cfg(feature = "mysql")]
            Some(Resource::Mysql(database)) => database.measure(permit, invocation, facts, cancel).await,
            _ => Err(Refusal::internal("this resource has nothing to measure")),
        }
    }

    /// Does what the permit is for, once. `approved` is the effect people approved, if any; `last` is asked
    /// before anything becomes final.
    ///
    /// # Errors
    /// `internal` when the permit is for another action; otherwise what the adapter says.
    #[tracing::instrument(level = "debug", skip_all, name = "resource")]
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        approved: Option<&Effect>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        if permit.is_for_measuring() || permit.action_sha256() != facts.action_sha256(invocation, approved) {
            return Err(Refusal::internal("permit is for another action"));
        }
        let reads = invocation.action.is_pure_read() && facts.action.is_pure_read();
        if reads && permit.is_approved() {
            last.look(None).await?; // adapters look before changes; an approved read is used up as well
        }
        match self.of(invocation)? {
            None => self.list(&permit, invocation),
            Some(Resource::Git(repository)) => repository.run(permit, invocation, facts, cancel).await,
            Some(Resource::Sqlite(database)) => {
                database
                    .run(permit, invocation, facts, approved, last, cancel)
                    .await
            }
            #[cfg(feature = "postgres")]
            Some(Resource::Postgres(database)) => {
                database
                    .run(permit, invocation, facts, approved, last, cancel)
                    .await
            }
            #[cfg(feature = "mysql")]
            Some(Resource::Mysql(database)) => {
                database
                    .run(permit, invocation, facts, approved, last, cancel)
                    .await
            }
            Some(Resource::Shell(folder)) => folder.run(permit, invocation, facts, last, cancel).await,
        }
    }

    /// The labels of what a request reads from; none for a mere description.
    #[must_use]
    pub fn labels(&self, invocation: &Invocation, facts: &Facts) -> &BTreeSet<String> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        let described = [invocation.action, facts.action] == [Action::Describe; 2];
        let named = invocation.resource.as_ref().filter(|_| !described);
        named
            .and_then(|name| self.0.get(name))
            .map_or(&NONE, |(card, _)| &card.labels)
    }

    fn of(&self, invocation: &Invocation) -> Result<Option<&Resource>, Refusal> {
        let Some(name) = &invocation.resource else {
            return Ok(None);
        };
        match self.0.get(name) {
            Some((_, resource)) => Ok(Some(resource)),
            None => Err(Refusal::unknown_resource(name)),
        }
    }

    fn list(&self, permit: &Permit, invocation: &Invocation) -> Result<RawOutput, Refusal> {
        let Request::ListResources(request) = &invocation.request else {
            return Err(Refusal::internal(
                "a request without a resource is not list_resources",
            ));
        };
        let limit = usize::try_from(permit.limits().rows).unwrap_or(usize::MAX);
        let mut wanted = self
            .0
            .values()
            .filter(|(card, _)| permit.resources().contains(&card.name))
            .filter(|(card, _)| request.kind.is_none_or(|kind| kind == card.kind))
            .filter(|(card, _)| request.cursor.as_ref().is_none_or(|after| card.name > *after));
        let resources: Vec<ResourceEntry> = wanted.by_ref().take(limit).map(entry).collect();
        let more = wanted.next().is_some();
        let last = resources.last().map(|entry| entry.name.clone());
        let mut raw = RawOutput::new(ResourceList { resources })
            .map_err(|error| Refusal::internal(format!("list_resources: {error}")))?;
        raw.truncated = more;
        raw.next_cursor = last.filter(|_| more);
        Ok(raw)
    }
}

fn entry((card, resource): &(ResourceCard, Resource)) -> ResourceEntry {
    ResourceEntry {
        name: card.name.clone(),
        kind: card.kind.as_str().to_owned(),
        description: card.description.clone(),
        labels: card.labels.iter().cloned().collect(),
        unavailable: resource.refused().map(|refusal| refusal.message),
    }
}
