//! Only the policies that could apply: an index by scope.
//!
//! A Cedar policy is its scope and its conditions, and-ed together, so one whose scope does not
//! match can neither permit nor forbid nor err. Sets of policies compose as well: a request is
//! denied if any set has a satisfied `forbid`, else permitted if any has a satisfied `permit`. So
//! the policies are kept as many small sets, one per (principal, resource, actions) of their
//! scopes; a decision looks up the few that match and evaluates nothing else, and nothing is built
//! or cached per call.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};

use super::load::Rule;
use super::schema;
use crate::call::Action;

/// A set of actions, one bit for each of [`Action::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActionMask(u32);

impl ActionMask {
    /// The actions a scope lets through; groups are spelled out.
    pub(super) fn of(constraint: &ActionConstraint) -> Self {
        let named: Vec<&str> = match constraint {
            ActionConstraint::Any => return Self(Action::ALL.into_iter().fold(0, |mask, a| mask | bit(a))),
            ActionConstraint::Eq(uid) => vec![uid.id().unescaped()],
            ActionConstraint::In(uids) => uids.iter().map(|uid| uid.id().unescaped()).collect(),
        };
        // `==` never means a group; the schema has no request for the groups themselves.
        let groups = matches!(constraint, ActionConstraint::In(_));
        Self(
            Action::ALL
                .into_iter()
                .filter(|action| {
                    named.contains(&action.as_str())
                        || groups && schema::action_group(*action).is_some_and(|group| named.contains(&group))
                })
                .fold(0, |mask, action| mask | bit(action)),
        )
    }

    pub(super) fn has(self, action: Action) -> bool {
        self.0 & bit(action) != 0
    }

    /// Whether it is this action and nothing else.
    pub(super) fn only(self, action: Action) -> bool {
        self.0 == bit(action)
    }
}

fn bit(action: Action) -> u32 {
    1 << (action as u32)
}

/// What a scope says of the principal or the resource: whether an entity is inside is whether it,
/// or one of its parents, is the one named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Any,
    Named(EntityUid),
    /// Something the request's entity can never be.
    Never,
}

impl Scope {
    pub(super) fn principal(constraint: &PrincipalConstraint, user: &EntityTypeName) -> Self {
        match constraint {
            PrincipalConstraint::Any => Self::Any,
            PrincipalConstraint::Is(kind) if kind == user => Self::Any,
            PrincipalConstraint::Eq(uid) if uid.type_name() == user => Self::Named(uid.clone()),
            PrincipalConstraint::In(uid) => Self::Named(uid.clone()),
            PrincipalConstraint::IsIn(kind, uid) if kind == user => Self::Named(uid.clone()),
            PrincipalConstraint::Eq(_) | PrincipalConstraint::Is(_) | PrincipalConstraint::IsIn(..) => {
                Self::Never
            }
        }
    }

    pub(super) fn resource(constraint: &ResourceConstraint, resource: &EntityTypeName) -> Self {
        match constraint {
            ResourceConstraint::Any => Self::Any,
            ResourceConstraint::Is(kind) if kind == resource => Self::Any,
            ResourceConstraint::Eq(uid) if uid.type_name() == resource => Self::Named(uid.clone()),
            ResourceConstraint::In(uid) => Self::Named(uid.clone()),
            ResourceConstraint::IsIn(kind, uid) if kind == resource => Self::Named(uid.clone()),
            ResourceConstraint::Eq(_) | ResourceConstraint::Is(_) | ResourceConstraint::IsIn(..) => {
                Self::Never
            }
        }
    }

    /// Under which entity it is filed: `Some(None)` for all of them.
    fn key(&self) -> Option<Option<&EntityUid>> {
        match self {
            Self::Any => Some(None),
            Self::Named(uid) => Some(Some(uid)),
            Self::Never => None,
        }
    }
}

/// An entity and what it is in: where to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) own: &'a EntityUid,
    pub(super) parents: &'a [EntityUid],
}

impl<'a> Place<'a> {
    fn keys(self) -> impl Iterator<Item = Option<&'a EntityUid>> {
        [None, Some(self.own)]
            .into_iter()
            .chain(self.parents.iter().map(Some))
    }
}

/// The policies that share one scope.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) actions: ActionMask,
    pub(super) set: PolicySet,
    /// Whether there is a permit, whatever its conditions.
    pub(super) permits: bool,
    /// Whether there is a forbid without conditions.
    pub(super) forbids_always: bool,
    /// Whether people may approve for a while what one of them asks about.
    pub(super) grantable: bool,
}

type ByResource = HashMap<Option<EntityUid>, Vec<Bucket>>;

/// The policies, by scope.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Option<EntityUid>, ByResource>);

impl Index {
    /// Files every policy once. `policies` are keyed by the same ids as `rules`.
    pub(super) fn new(rules: &BTreeMap<String, Rule>, policies: &[Policy]) -> Result<Self, String> {
        let mut index = Self::default();
        for policy in policies {
            let id: &str = policy.id().as_ref();
            let rule = rules.get(id).ok_or_else(|| format!("no rule for `{id}`"))?;
            let (Some(principal), Some(resource)) = (rule.principal.key(), rule.resource.key()) else {
                continue;
            };
            let buckets = index
                .0
                .entry(principal.cloned())
                .or_default()
                .entry(resource.cloned())
                .or_default();
            let bucket = match buckets
                .iter_mut()
                .position(|bucket| bucket.actions == rule.actions)
            {
                Some(at) => buckets.get_mut(at),
                None => {
                    buckets.push(Bucket {
                        actions: rule.actions,
                        set: PolicySet::new(),
                        permits: false,
                        forbids_always: false,
                        grantable: false,
                    });
                    buckets.last_mut()
                }
            }
            .ok_or("a bucket vanished")?;
            bucket
                .set
                .add(policy.clone())
                .map_err(|error| error.to_string())?;
            bucket.permits |= rule.effect == Effect::Permit;
            bucket.grantable |= rule.choices.grantable.is_some();
            bucket.forbids_always |= rule.effect == Effect::Forbid && !rule.conditional;
        }
        Ok(index)
    }

    /// Every set whose scope matches, whatever the action.
    pub(super) fn slices<'a>(
        &'a self,
        principal: Place<'a>,
        resource: Place<'a>,
    ) -> impl Iterator<Item = &'a Bucket> {
        principal
            .keys()
            .filter_map(|key| self.0.get(&key.cloned()))
            .flat_map(move |by_resource| {
                resource
                    .keys()
                    .filter_map(move |key| by_resource.get(&key.cloned()))
            })
            .flatten()
    }

    /// Whether some policy's scope names this very entity.
    pub(super) fn names_principal(&self, own: &EntityUid) -> bool {
        self.0.contains_key(&Some(own.clone()))
    }
}
