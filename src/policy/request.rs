//! A call → a Cedar request and its entities, without JSON and without parsing any text of theirs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression, Schema};

use super::schema::{self, Detail, Presence};
use super::slice::Place;
use crate::call::{
    Action, Agent, ClassifiedColumn, FileFacts, ResourceCard, Scope, Session, ShellFacts, SqlFacts,
    Transport, User,
};

/// What is asked, apart from the action and the resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) user: &'a User,
    pub(super) agent: &'a Agent,
    pub(super) session: &'a Session,
    /// What the credential is good for at most.
    pub(super) scope: &'a Scope,
    pub(super) transport: Transport,
    pub(super) tool: &'a str,
    pub(super) sql: Option<&'a SqlFacts>,
    pub(super) file: Option<&'a FileFacts>,
    pub(super) shell: Option<&'a ShellFacts>,
    /// The class of a person's sign-in.
    pub(super) acr: Option<&'a str>,
}

/// The user as Cedar sees them.
#[derive(Debug)]
pub(super) struct Who {
    uid: EntityUid,
    groups: Vec<EntityUid>,
    entity: Entity,
}

impl Who {
    /// # Errors
    /// When the identity could be mistaken for another one: `<issuer>#<subject>` is unambiguous
    /// only while the issuer's name has no `#` and neither part is empty.
    pub(super) fn new(user: &User, types: &schema::Types) -> Result<Self, String> {
        if user.issuer.is_empty() || user.issuer.contains('#') || user.subject.is_empty() {
            return Err(format!(
                "issuer {:?} and subject {:?} do not make one clear identity",
                user.issuer, user.subject
            ));
        }
        let uid = schema::uid(&types.user, &user.id());
        let groups: Vec<EntityUid> = user
            .groups
            .iter()
            .map(|group| schema::uid(&types.group, group))
            .collect();
        let kind = text(schema::user_kind(user.kind));
        let entity = Entity::new(
            uid.clone(),
            HashMap::from([("kind".to_owned(), kind)]),
            groups.iter().cloned().collect(),
        )
        .map_err(|error| error.to_string())?;
        Ok(Self { uid, groups, entity })
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            own: &self.uid,
            parents: &self.groups,
        }
    }
}

/// A configured resource as Cedar sees it.
#[derive(Debug)]
pub(super) struct What {
    uid: EntityUid,
    labels: Vec<EntityUid>,
    entity: Entity,
}

impl What {
    pub(super) fn new(card: &ResourceCard, types: &schema::Types) -> Result<Self, String> {
        let uid = schema::uid(&types.resource, &card.name);
        let labels: Vec<EntityUid> = card
            .labels
            .iter()
            .map(|label| schema::uid(&types.label, label))
            .collect();
        let entity = Entity::new(
            uid.clone(),
            HashMap::from([("kind".to_owned(), text(card.kind.as_str()))]),
            labels.iter().cloned().collect(),
        )
        .map_err(|error| error.to_string())?;
        Ok(Self { uid, labels, entity })
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            own: &self.uid,
            parents: &self.labels,
        }
    }
}

/// The actions as Cedar sees them, made once per set.
#[derive(Debug)]
pub(super) struct Verbs(BTreeMap<Action, (EntityUid, Entity)>);

impl Verbs {
    pub(super) fn new(types: &schema::Types) -> Self {
        Self(
            Action::ALL
                .into_iter()
                .map(|action| {
                    let uid = schema::uid(&types.action, action.as_str());
                    let groups: HashSet<EntityUid> = schema::action_group(action)
                        .map(|group| schema::uid(&types.action, group))
                        .into_iter()
                        .collect();
                    (action, (uid.clone(), Entity::new_no_attrs(uid, groups)))
                })
                .collect(),
        )
    }
}

/// Who and what a call is about, with the entities its evaluations need.
#[derive(Debug)]
pub(super) struct Parties<'a> {
    pub(super) who: &'a Who,
    pub(super) what: &'a What,
    pub(super) entities: Entities,
}

impl<'a> Parties<'a> {
    /// The entities are the user in their groups, the resource in its labels, and the actions in
    /// their groups. Nothing else exists; a policy that reads an attribute of any other entity errs,
    /// and an error is a denial.
    pub(super) fn new(
        who: &'a Who,
        what: &'a What,
        verbs: &Verbs,
        actions: &BTreeSet<Action>,
    ) -> Result<Self, String> {
        let needed = actions.iter().filter_map(|action| verbs.0.get(action));
        let verbs = needed.map(|(_, verb)| verb.clone());
        let all = [who.entity.clone(), what.entity.clone()].into_iter().chain(verbs);
        let entities = Entities::from_entities(all, None).map_err(|error| error.to_string())?;
        Ok(Self { who, what, entities })
    }
}

/// The request, validated against the schema: what an action must carry and does not is an error.
pub(super) fn request(
    asking: &Asking<'_>,
    parties: &Parties<'_>,
    verbs: &Verbs,
    (action, classified): (Action, Option<&ClassifiedColumn>),
    satisfied: &BTreeSet<String>,
    schema: &Schema,
) -> Result<Request, String> {
    let (verb, _) = verbs.0.get(&action).ok_or("an action without an entity")?;
    let mut context = vec![
        ("tool".to_owned(), text(asking.tool)),
        ("agent".to_owned(), agent(asking.agent)?),
        ("session".to_owned(), session(asking.session)?),
        ("transport".to_owned(), text(asking.transport.as_str())),
        ("satisfied".to_owned(), words(satisfied)),
    ];
    for detail in Detail::ALL {
        if schema::presence(action, detail) == Presence::Absent {
            continue;
        }
        let value = match detail {
            Detail::Sql => asking.sql.map(sql).transpose()?,
            Detail::File => asking.file.map(file).transpose()?,
            Detail::Shell => asking.shell.map(shell).transpose()?,
            Detail::Acr => asking.acr.map(text),
            Detail::Class => classified.map(|column| text(&column.class)),
            Detail::Column => classified.map(|column| text(&column.column)),
        };
        context.extend(value.map(|value| (detail.as_str().to_owned(), value)));
    }
    let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
    Request::new(
        parties.who.uid.clone(),
        verb.clone(),
        parties.what.uid.clone(),
        context,
        Some(schema),
    )
    .map_err(|error| error.to_string())
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn words(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value)))
}

fn record<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(fields.map(|(name, value)| (name.to_owned(), value)))
        .map_err(|error| error.to_string())
}

fn agent(agent: &Agent) -> Result<RestrictedExpression, String> {
    record([
        ("client_id", text(&agent.client_id)),
        ("verified", RestrictedExpression::new_bool(agent.verified)),
        ("claimed_name", text(&agent.claimed_name)),
    ])
}

fn session(session: &Session) -> Result<RestrictedExpression, String> {
    record([("id", text(&session.id)), ("labels", words(&session.labels))])
}

fn sql(facts: &SqlFacts) -> Result<RestrictedExpression, String> {
    record([
        ("kind", text(&facts.kind)),
        ("tables", words(&facts.tables)),
        ("columns", words(&facts.columns)),
        ("functions", words(&facts.functions)),
        ("has_where", RestrictedExpression::new_bool(facts.has_where)),
        ("irreversible", RestrictedExpression::new_bool(facts.irreversible)),
    ])
}

fn shell(facts: &ShellFacts) -> Result<RestrictedExpression, String> {
    record([
        ("kind", text(&facts.kind)),
        ("programs", words(&facts.programs)),
        ("network", RestrictedExpression::new_bool(facts.network)),
        ("change", RestrictedExpression::new_bool(facts.change)),
    ])
}

fn file(facts: &FileFacts) -> Result<RestrictedExpression, String> {
    record([("path", text(&facts.path)), ("ref", text(&facts.reference))])
}
