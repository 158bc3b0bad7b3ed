//! What a person is to a request: with their own groups, with those in which somebody named them to stand in, and
//! with the seats that are open to others because nobody decided in time.

use std::collections::BTreeSet;

use super::counting::{Held, is_other};
use super::people::People;
use super::review::{Reviewer, Via};
use super::terms::{Asked, Terms, due};
use crate::call::{User, UserKind};
use crate::policy::{Escalation, RuleSet};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, DelegationRow};
use crate::store::rows::Tx;

/// A reviewer at one moment.
pub(super) struct Acting<'a> {
    pub(super) reviewer: &'a Reviewer,
    delegations: Vec<DelegationRow>,
    now: u64,
    disjoint_issuers: bool,
}

/// How somebody decides one request.
pub(super) struct Standing {
    /// Them, with the groups in which they stand in for others.
    pub(super) user: User,
    /// The groups whose seats they may take.
    pub(super) seats: BTreeSet<String>,
    /// For whom and why, where it is not for themselves.
    pub(super) standing_for: Option<String>,
    /// What all of that rests on.
    pub(super) held: Held,
}

impl People {
    /// Them, with what was delegated to them and counts now.
    pub(super) async fn acting<'a>(
        &self,
        tx: &mut Tx,
        reviewer: &'a Reviewer,
    ) -> Result<Acting<'a>, StoreError> {
        let now = self.now();
        let user = &reviewer.user;
        let is_person = !matches!(reviewer.via, Via::Callback(_)); // nobody names a program to stand in
        let delegations = if self.settings.delegation_days > 0 && is_person {
            tx.delegations_to(&user.issuer, &user.subject, now).await?
        } else {
            Vec::new() // what was made before it was turned off does not count either
        };
        Ok(Acting {
            reviewer,
            delegations,
            now,
            disjoint_issuers: self.settings.disjoint_issuers,
        })
    }
}

impl Acting<'_> {
    /// Them in front of one request. Whoever asks cannot choose who decides: what they delegated does not count.
    pub(super) fn before(&self, row: &ApprovalRow, terms: &Terms) -> Standing {
        let mut user = self.reviewer.user.clone();
        let mut reasons = Vec::new();
        let mut held = Held {
            own: user.groups.clone(),
            ..Held::default()
        };
        for one in &self.delegations {
            if self.is_by_requester(one, row) || held.own.contains(&one.group) {
                continue;
            }
            held.delegated.push((one.id.clone(), one.group.clone()));
            if user.groups.insert(one.group.clone()) {
                reasons.push(format!("{}#{} in {}", one.issuer, one.subject, one.group));
            }
        }
        let mut seats = user.groups.clone();
        let late = |asked: &Asked| {
            let due = |one: &&Escalation| due(row.created_at, one) <= self.now;
            let later = asked.escalate.iter().filter(due);
            later
                .map(|one| &one.group)
                .find(|group| user.groups.contains(*group))
                .cloned()
        };
        let asked = || terms.asks.iter();
        let groups: BTreeSet<&String> = asked()
            .flat_map(|one| &one.seats)
            .map(|(_, group)| group)
            .collect();
        for group in groups {
            // Groups are counted for every obligation: each that asks this one must have escalated to theirs.
            let mut of = asked().filter(|one| one.seats.iter().any(|(_, seat)| seat == group));
            let by = asked().find_map(&late);
            if let Some(by) = by.filter(|_| of.all(|one| late(one).is_some()))
                && seats.insert(group.clone())
            {
                reasons.push(format!("{group}, as {by}, asked after a time"));
                held.later.push((group.clone(), by));
            }
        }
        Standing {
            user,
            seats,
            standing_for: (!reasons.is_empty()).then(|| reasons.join("; ")),
            held,
        }
    }

    /// Whether a delegation is the requester's, or may be: of a person at another issuer nobody knows who they are here.
    fn is_by_requester(&self, one: &DelegationRow, row: &ApprovalRow) -> bool {
        let same = one.issuer == row.issuer && one.subject == row.subject;
        same || !is_other(self.disjoint_issuers, &one.issuer, &row.issuer)
    }

    /// Whether an approval of theirs can count: not where they may be the requester, under another account. An integration
    /// is whom it says it approves for; without a person it is told to name one.
    pub(super) fn may_count(&self, row: &ApprovalRow) -> bool {
        let issuer = match &self.reviewer.via {
            Via::Callback(callback) => callback
                .on_behalf
                .as_deref()
                .map(|person| person.split('#').next()),
            Via::Control | Via::Message { .. } => Some(Some(self.reviewer.user.issuer.as_str())),
        };
        let issuer = issuer.map(Option::unwrap_or_default);
        issuer.is_none_or(|issuer| is_other(self.disjoint_issuers, issuer, &row.issuer))
    }
}

impl Acting<'_> {
    /// Them, with every group in which they stand in for somebody: whoever that is, so for some requests it is too much.
    pub(super) fn widest(&self) -> User {
        let mut user = self.reviewer.user.clone();
        let groups = self.delegations.iter().map(|one| one.group.clone());
        user.groups.extend(groups);
        user
    }

    /// The groups that may decide an open request by now beside those that are asked.
    pub(super) fn escalated(&self, row: &ApprovalRow, terms: &Terms) -> Vec<String> {
        if row.state != "pending" {
            return Vec::new();
        }
        let groups = terms.escalated(row.created_at, self.now);
        groups.into_iter().map(str::to_owned).collect()
    }
}

/// What a request is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// It does not exist for them.
    Nothing,
    /// They asked for it, whatever else they are (incident note H3).
    Own,
    /// Their group is asked, and policy does not let them decide.
    Only,
    /// They are asked, and policy lets them decide with a stronger sign-in than theirs.
    Weak,
    /// They are asked.
    Decides,
}

impl View {
    pub(super) fn is_shown(self) -> bool {
        matches!(self, Self::Own | Self::Decides | Self::Weak)
    }

    pub(super) fn of(acting: &Acting<'_>, rules: &RuleSet, row: &ApprovalRow, terms: &Terms) -> Self {
        let own = &acting.reviewer.user;
        if own.issuer == row.issuer && own.subject == row.subject {
            return Self::Own;
        }
        let standing = acting.before(row, terms);
        let resource = row.resource.as_deref().unwrap_or_default();
        if !terms.asks_of(&standing.seats) {
            Self::Nothing
        } else if own.kind != UserKind::Person && !matches!(acting.reviewer.via, Via::Callback(_)) {
            Self::Only
        } else if rules.may_approve(&standing.user, resource, acting.reviewer.acr.as_deref()) {
            Self::Decides
        } else if super::stronger::would_do(acting.reviewer, &standing.user, rules, resource).is_some() {
            Self::Weak
        } else {
            Self::Only
        }
    }
}
