//! The people's side meets policies and journal: what each person may look up, under the policies that decide now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::ask::{actions, supposed};
use super::report::ExplainQuery;
use crate::approval::listing::Origin;
use crate::approval::review::Reviewer;
use crate::audit;
use crate::audit::list::Page;
use crate::audit::replay::Step;
use crate::call::{Transport, User};
use crate::config::Config;
use crate::console::EarlierCall;
use crate::console::insight::{Choices, Insight, Question, Right, SessionSeen, Unreadable};
use crate::gate::Gate;
use crate::policy::RuleSet;
use crate::policy::explain::{Explanation, PolicyNote};
use crate::store::Store;
use crate::store::read::EndedCall;

/// Records looked through for one page of sessions.
const LOOKED_AT: u32 = 500;
/// Steps of one page of a replay.
const STEPS: u32 = 20;
/// Pages of a replay that are looked through for a step that may be read.
const SKIPPED: usize = 50;
/// Earlier calls beside a request.
const EARLIER: u32 = 10;

/// Policies and journal of one gate.
pub(super) struct Lookup {
    pub(super) gate: Arc<Gate>,
    pub(super) store: Store,
    pub(super) config: Config,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

/// What of the journal somebody may read.
struct Reach {
    resources: BTreeSet<String>,
    /// Also what is about no resource: for who may read about all of them.
    everything: bool,
}

impl Reach {
    fn of(rules: &RuleSet, user: &User) -> Self {
        let all: BTreeSet<&str> = rules.resources().collect();
        let may = |name: &&str| rules.may_audit(user, name);
        let resources: BTreeSet<String> = all.iter().copied().filter(may).map(str::to_owned).collect();
        Self {
            everything: !all.is_empty() && resources.len() == all.len(),
            resources,
        }
    }

    fn covers(&self, resource: Option<&str>) -> bool {
        self.everything || resource.is_some_and(|name| self.resources.contains(name))
    }
}

fn resource_of(step: &Step) -> Option<&str> {
    Some(step.text("/resource")).filter(|name| !name.is_empty())
}

impl Lookup {
    fn reach(&self, user: &User) -> Reach {
        Reach::of(&self.gate.policies.current(), user)
    }

    /// The resources about which a person may ask the policies.
    fn overseen(&self, user: &User) -> Vec<String> {
        let rules = self.gate.policies.current();
        let may = |name: &&str| rules.may_audit(user, name) || rules.may_administer(user, name);
        rules.resources().filter(may).map(str::to_owned).collect()
    }

    async fn looked_through(
        &self,
        user: &User,
        before: Option<u64>,
    ) -> Result<Page<SessionSeen>, audit::AuditError> {
        let mut reader = self.store.reader().await?;
        let rows = reader.ended_before(before, LOOKED_AT).await?;
        reader.close().await?;
        let whole = rows.len() == LOOKED_AT as usize;
        let next = rows.last().map(|row| row.seq).filter(|_| whole);
        let reach = self.reach(user);
        let rows = rows
            .into_iter()
            .filter(|row| reach.covers(row.resource.as_deref()));
        Ok(Page {
            items: by_session(rows),
            next,
        })
    }

    async fn replayed(
        &self,
        user: &User,
        session: &str,
        from: u64,
    ) -> Result<Option<Page<Step>>, audit::AuditError> {
        let reach = self.reach(user);
        if reach.resources.is_empty() {
            return Ok(None);
        }
        // That there are calls they may not read about must not show: it goes on to the first one they may.
        let mut first = from;
        let mut found = None;
        for _ in 0..SKIPPED {
            let mut page = audit::replay::session(&self.store, session, first, STEPS).await?;
            page.items.retain(|step| reach.covers(resource_of(step)));
            match (page.items.is_empty(), page.next) {
                (false, _) => {
                    found = Some(page);
                    break;
                }
                (true, Some(next)) => first = next,
                (true, None) => break,
            }
        }
        let Some(page) = found else {
            return Ok(None);
        };
        let record = json!({"event": "replay", "by": user.id(), "session": session, "from": from});
        self.gate.audit.config_change(record).await?;
        Ok(Some(page))
    }
}

fn by_session(rows: impl Iterator<Item = EndedCall>) -> Vec<SessionSeen> {
    let mut order = Vec::new();
    let mut found: BTreeMap<String, SessionSeen> = BTreeMap::new();
    for row in rows {
        let (Some(session), Some(user)) = (row.session, row.user) else {
            continue;
        };
        let seen = found.entry(session.clone()).or_insert_with(|| {
            order.push(session.clone());
            SessionSeen {
                session,
                user,
                first: row.at.clone(),
                last: row.at.clone(),
                calls: 0,
                refused: 0,
                resources: Vec::new(),
            }
        });
        seen.first = row.at; // newest first: the last one seen is the earliest
        seen.calls += 1;
        seen.refused += u64::from(row.status.as_deref() != Some("ok"));
        if let Some(resource) = row.resource
            && !seen.resources.contains(&resource)
        {
            seen.resources.push(resource);
        }
    }
    order.iter().filter_map(|session| found.remove(session)).collect()
}

impl Insight for Lookup {
    fn rights(&self, who: &Reviewer) -> Vec<Right> {
        let rules = self.gate.policies.current();
        let user = &who.user;
        let right = |name: &str| Right {
            resource: name.to_owned(),
            approve: rules.may_approve(user, name, who.acr.as_deref()),
            approve_with: who
                .may_reach
                .iter()
                .find(|class| rules.may_approve(user, name, Some(class)))
                .cloned(),
            audit_read: rules.may_audit(user, name),
            administer: rules.may_administer(user, name),
        };
        let some = |right: &Right| {
            right.approve || right.approve_with.is_some() || right.audit_read || right.administer
        };
        rules.resources().map(right).filter(some).collect()
    }

    fn audits(&self, user: &User) -> bool {
        !self.reach(user).resources.is_empty()
    }

    fn sessions<'a>(
        &'a self,
        user: &'a User,
        before: Option<u64>,
    ) -> BoxFuture<'a, Result<Page<SessionSeen>, Unreadable>> {
        Box::pin(async move { self.looked_through(user, before).await.map_err(unreadable) })
    }

    fn replay<'a>(
        &'a self,
        user: &'a User,
        session: &'a str,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Page<Step>>, Unreadable>> {
        Box::pin(async move { self.replayed(user, session, from).await.map_err(unreadable) })
    }

    fn choices(&self, user: &User) -> Choices {
        Choices {
            resources: self.overseen(user),
            groups: self.config.groups.keys().cloned().collect(),
            actions: actions().map(str::to_owned).collect(),
        }
    }

    fn policies(&self, user: &User) -> Option<Vec<PolicyNote>> {
        let rules = self.gate.policies.current();
        (self.overseen(user).len() == rules.resources().count()).then(|| rules.all())
    }

    fn explain(&self, user: &User, question: &Question) -> Result<Explanation, String> {
        if !self.overseen(user).contains(&question.resource) {
            return Err("There is no such resource that you may ask about.".to_owned());
        }
        let query = ExplainQuery {
            user: question.person.clone(),
            service: false,
            groups: question.groups.clone(),
            agent: question.agent.clone(),
            agent_verified: question.verified,
            transport: Transport::Http,
            session_labels: Vec::new(),
            action: question.action.clone(),
            resource: Some(question.resource.clone()),
            tool: None,
            path: None,
            reference: None,
            tables: Vec::new(),
            columns: question.columns.clone(),
            functions: Vec::new(),
        };
        let supposed = supposed(&self.config, &query).map_err(|why| format!("{why:#}"))?;
        Ok(self.gate.policies.current().explain(supposed))
    }
}

fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    tracing::error!("the journal on the people's side: {error}");
    Unreadable
}

/// The latest calls of the session a request came from, as its reviewer may see them: with what was sent only on what the
/// request they decide is about, and where they may audit, and without the name of anything else. That policy lets them
/// approve elsewhere says nothing of whether they are asked there.
pub(super) async fn earlier(
    store: &Store,
    rules: &RuleSet,
    reviewer: &Reviewer,
    origin: &Origin,
) -> Option<Vec<EarlierCall>> {
    let steps = audit::replay::latest(store, &origin.session, origin.at, EARLIER).await;
    let steps = steps
        .inspect_err(|error| tracing::error!("what a session did before: {error}"))
        .ok()?;
    let user = &reviewer.user;
    let own = user.id() == origin.requester;
    let knows = |resource: Option<&str>| own || knows(rules, user, origin.resource.as_deref(), resource);
    let of_them = steps
        .iter()
        .filter(|step| step.text("/principal/id") == origin.requester);
    let shown = of_them.map(|step| {
        let resource = resource_of(step);
        let knows = knows(resource);
        let (status, code) = (step.text("/outcome/status"), step.text("/outcome/code"));
        EarlierCall {
            at: step.text("/at").to_owned(),
            tool: step.text("/tool").to_owned(),
            resource: resource.filter(|_| knows).map(str::to_owned),
            outcome: format!("{status} {code}").trim_end().to_owned(),
            arguments: step.arguments().filter(|_| knows && resource.is_some()).cloned(),
            is_hidden: !knows,
        }
    });
    Some(shown.collect())
}

/// Whether somebody who decides about `asked` may know what a call on `resource` was.
fn knows(rules: &RuleSet, user: &User, asked: Option<&str>, resource: Option<&str>) -> bool {
    resource.is_none_or(|name| asked == Some(name) || rules.may_audit(user, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Limits, ResourceCard, ResourceKind, UserKind};
    use crate::policy::{Policies, Scene};

    #[test]
    fn whom_nobody_asks_there_knows_nothing_of_another_resource() {
        let folder = tempfile::tempdir().unwrap();
        let policies = r#"@id("approve") permit (principal, action == Tollgate::Action::"approve", resource);
            @id("audit") permit (principal in Tollgate::Group::"audit", action == Tollgate::Action::"audit_read", resource);"#;
        std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
        let card = |name: &str| ResourceCard {
            name: name.to_owned(),
            kind: ResourceKind::Sqlite,
            description: String::new(),
            labels: BTreeSet::new(),
        };
        let scene = Scene {
            resources: vec![card("shop"), card("pay")],
            groups: ["dba", "audit"].map(str::to_owned).into(),
            classes: BTreeSet::new(),
            tools: BTreeSet::new(),
            limits: Limits {
                rows: 1,
                bytes: 1,
                seconds: 1,
            },
        };
        let rules = Policies::load(folder.path(), scene, None).unwrap().current();
        let person = |group: &str| User {
            issuer: "corp".to_owned(),
            subject: "dan".to_owned(),
            kind: UserKind::Person,
            groups: [group.to_owned()].into(),
        };
        assert!(rules.may_approve(&person("dba"), "pay", None), "and still:");
        for (group, resource, may) in [
            ("dba", Some("shop"), true),
            ("dba", Some("pay"), false),
            ("dba", None, true),
            ("audit", Some("pay"), true),
        ] {
            assert_eq!(knows(&rules, &person(group), Some("shop"), resource), may);
        }
    }
}
