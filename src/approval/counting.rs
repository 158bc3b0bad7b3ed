//! Whose approval counts now: in the groups they still stand in, with the key they still have, where policy still lets
//! them, and each human once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::callbacks::one_each;
use super::people::People;
use super::reviewer::KEY;
use super::terms::{Asked, Terms, all_met};
use crate::call::{Approver, User, UserKind};
use crate::identity::{CALLBACK, LOCAL, SERVICE};
use crate::policy::RuleSet;
use crate::store::StoreError;
use crate::store::approvals::{DecisionRow, PersonRow};
use crate::store::rows::Tx;

/// In which groups somebody decides, and why: kept with the decision, because a part of it may end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Their own, by their sign-in.
    pub(super) own: BTreeSet<String>,
    /// Those in which they stand in for somebody: delegation, group.
    #[serde(default)]
    pub(super) delegated: Vec<(String, String)>,
    /// Seats that are open to them because nobody decided in time: seat, their group that was asked later.
    #[serde(default)]
    pub(super) later: Vec<(String, String)>,
}

impl Held {
    /// As it was written down. A version that wrote nothing down knew of the groups in which nobody stood in for anybody;
    /// of the others it cannot be told any more what they rest on, so they are none.
    pub(super) fn read(decision: &DecisionRow) -> Result<Self, StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Damaged(format!("a decision: {error}"));
        match (&decision.standing, &decision.standing_for) {
            (Some(held), _) => serde_json::from_str(held).map_err(damaged),
            (None, None) => Ok(Self {
                own: serde_json::from_str(&decision.groups).map_err(damaged)?,
                ..Self::default()
            }),
            (None, Some(_)) => Ok(Self::default()),
        }
    }
}

/// What people are counted for.
#[derive(Clone, Copy)]
pub(super) struct Count<'a> {
    /// What is asked of whom.
    pub(super) asks: &'a [Asked],
    /// Who asked.
    pub(super) requester: &'a User,
    /// The policies, and the resource, where they are asked once more whether somebody may approve.
    pub(super) rules: Option<(&'a RuleSet, &'a str)>,
    /// Whether it was approved for a while: then a delegation that is over has an end, however it came.
    pub(super) lasting: bool,
}

impl<'a> Count<'a> {
    /// For one request.
    pub(super) fn of(terms: &'a Terms, requester: &'a User) -> Self {
        Self {
            asks: &terms.asks,
            requester,
            rules: None,
            lasting: terms.grant.is_some(),
        }
    }

    /// And as policy says now.
    pub(super) fn under(self, rules: &'a RuleSet, resource: Option<&'a str>) -> Self {
        Self {
            rules: Some((rules, resource.unwrap_or_default())),
            ..self
        }
    }
}

/// Somebody whose approval counts.
pub(super) struct Counted {
    pub(super) person: Approver,
    /// The issuer whose human that is: of an integration, that of the person it says it approved for.
    issuer: String,
}

impl People {
    /// The people whose approval counts now, in the order of their decisions. Nobody, where one of them refused.
    pub(super) async fn counted(
        &self,
        tx: &mut Tx,
        decisions: &[DecisionRow],
        count: Count<'_>,
    ) -> Result<Vec<Approver>, StoreError> {
        let people = self.standing_people(tx, decisions, count).await?;
        Ok(self.distinct(people, count))
    }

    /// As [`Self::counted`], without asking whether two of them may be one human.
    pub(super) async fn standing_people(
        &self,
        tx: &mut Tx,
        decisions: &[DecisionRow],
        count: Count<'_>,
    ) -> Result<Vec<Counted>, StoreError> {
        let mut people = Vec::new();
        if decisions.iter().any(|one| !one.approves) {
            return Ok(people);
        }
        let mut decisions = decisions.to_vec();
        one_each(&mut decisions);
        for one in &decisions {
            if self.has_proof(tx, one).await? {
                people.extend(self.standing_person(tx, one, count).await?);
            }
        }
        Ok(people)
    }

    /// Where a security key is needed, nobody counts without one: not who approved before it was, and not who did it at
    /// another process that does not ask. And nobody counts by a key that they have no more: it may be somebody else's.
    async fn has_proof(&self, tx: &mut Tx, one: &DecisionRow) -> Result<bool, StoreError> {
        let key = one.method.as_deref().and_then(|how| how.strip_prefix(KEY));
        match key {
            Some(key) => tx.has_security_key(&one.issuer, &one.subject, key).await,
            None => Ok(!self.settings.security_key),
        }
    }

    async fn standing_person(
        &self,
        tx: &mut Tx,
        one: &DecisionRow,
        count: Count<'_>,
    ) -> Result<Option<Counted>, StoreError> {
        let held = Held::read(one)?;
        let mut groups = held.own;
        for (delegation, group) in held.delegated {
            let row = tx.delegation(&delegation).await?;
            let stands = row
                .is_some_and(|row| row.ended_at.is_none() && !(count.lasting && row.ends_at <= self.now()));
            if stands && self.settings.delegation_days > 0 {
                groups.insert(group);
            }
        }
        let mut user = User {
            issuer: one.issuer.clone(),
            subject: one.subject.clone(),
            kind: if one.issuer == CALLBACK {
                UserKind::Service
            } else {
                UserKind::Person
            },
            groups,
        };
        if let Some((rules, resource)) = count.rules
            && !rules.may_approve(&user, resource, one.acr.as_deref())
        {
            return Ok(None);
        }
        for (seat, by) in held.later {
            let of = |asked: &&Asked| asked.seats.iter().any(|(_, group)| *group == seat);
            let offers = |asked: &Asked| asked.escalate.iter().any(|one| user.groups.contains(&one.group));
            if user.groups.contains(&by) && count.asks.iter().filter(of).all(offers) {
                user.groups.insert(seat);
            }
        }
        let claimed = one.on_behalf.as_deref().and_then(|person| person.split_once('#'));
        Ok(Some(Counted {
            issuer: claimed
                .map_or(user.issuer.as_str(), |(issuer, _)| issuer)
                .to_owned(),
            person: Approver {
                issuer: user.issuer,
                subject: user.subject,
                groups: user.groups,
            },
        }))
    }

    /// Of people at several issuers those of one: nobody here can tell whether two accounts at two of them are one human's.
    /// It is the requester's issuer; where a service asked, one whose people are enough.
    pub(super) fn distinct(&self, people: Vec<Counted>, count: Count<'_>) -> Vec<Approver> {
        let of = |issuer: Option<&str>| {
            let theirs = |one: &&Counted| issuer.is_none_or(|issuer| one.issuer == issuer);
            let theirs = people.iter().filter(theirs);
            theirs.map(|one| one.person.clone()).collect::<Vec<_>>()
        };
        let requester = count.requester;
        if self.settings.disjoint_issuers {
            return of(None);
        }
        if !has_no_account(&requester.issuer) {
            return of(Some(&requester.issuer));
        }
        let issuers: BTreeSet<&str> = people.iter().map(|one| one.issuer.as_str()).collect();
        let mut issuers = issuers.into_iter();
        let enough = issuers.find(|issuer| all_met(count.asks, &of(Some(issuer)), requester));
        let first = people.first().map(|one| one.issuer.as_str());
        enough
            .or(first)
            .map(|issuer| of(Some(issuer)))
            .unwrap_or_default()
    }

    /// Whether somebody is beyond doubt another human than the one of this issuer.
    pub(super) fn is_other(&self, user: &User, issuer: &str) -> bool {
        is_other(self.settings.disjoint_issuers, &user.issuer, issuer)
    }
}

/// As [`People::is_other`], by the issuer of somebody; two accounts at one issuer are two humans.
pub(super) fn is_other(disjoint_issuers: bool, theirs: &str, issuer: &str) -> bool {
    disjoint_issuers || has_no_account(issuer) || theirs == issuer
}

/// Whether what asks is no account of an issuer: a service, or the user of a machine, whose own the configuration is.
fn has_no_account(issuer: &str) -> bool {
    issuer == SERVICE || issuer == LOCAL
}

/// Who approved a request, as they are kept with the grant that came of it.
pub(super) fn person(decision: &DecisionRow) -> PersonRow {
    PersonRow {
        issuer: decision.issuer.clone(),
        subject: decision.subject.clone(),
        groups: decision.groups.clone(),
        at: decision.at,
        method: decision.method.clone(),
        acr: decision.acr.clone(),
        standing_for: decision.standing_for.clone(),
        standing: decision.standing.clone(),
    }
}

/// The same as a decision, to be counted again.
pub(super) fn decision(person: &PersonRow) -> DecisionRow {
    DecisionRow {
        issuer: person.issuer.clone(),
        subject: person.subject.clone(),
        groups: person.groups.clone(),
        approves: true,
        at: person.at,
        method: person.method.clone(),
        wish: None,
        acr: person.acr.clone(),
        standing_for: person.standing_for.clone(),
        on_behalf: None,
        standing: person.standing.clone(),
    }
}
