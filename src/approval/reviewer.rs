//! Who decides, and what proves that it is them.

use super::people::{People, failed};
use super::review::NotDecided;
use super::terms::{Terms, approvers, requester};
use super::words;
use crate::call::{Approver, Refusal, Unmet, User};
use crate::clock::Timestamp;
use crate::identity::security_keys::{About, Proof, SignedIn};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, DecisionRow, EventRow};

/// What the record of an approval begins with that was proven by a key; its id follows.
const KEY: &str = "security-key ";

/// A person on the control side.
#[derive(Debug, Clone)]
pub struct Reviewer {
    /// Who they are, with the groups of their latest sign-in.
    pub user: User,
    /// When they last proved it interactively (`auth_time`, OpenID Connect Core 2).
    pub signed_in_at: Timestamp,
    /// How: the class of that sign-in (`acr`), where the issuer says.
    pub acr: Option<String>,
    /// The classes their issuer can be asked for, best first.
    pub may_reach: Vec<String>,
    /// The use of a security key that was proven for this decision.
    pub key: Option<Proof>,
}

impl Reviewer {
    /// Them, under this sign-in.
    #[must_use]
    pub fn signed_in(&self) -> SignedIn<'_> {
        SignedIn {
            user: &self.user,
            at: self.signed_in_at,
        }
    }

    /// How an approval of theirs was proven, for the record.
    pub(super) fn method(&self) -> Option<String> {
        let key = self.key.as_ref()?;
        Some(format!("{KEY}{}", key.key()))
    }
}

impl People {
    /// Where a security key is needed for approving: that theirs was used for this person, this request and this
    /// action. A proof for anything else is refused, needed or not.
    pub(super) fn keyed(&self, reviewer: &Reviewer, row: &ApprovalRow, seen: &str) -> Result<(), NotDecided> {
        let about = About::Approve {
            approval: row.id.clone(),
            action_sha256: seen.to_owned(),
        };
        let proven = match &reviewer.key {
            Some(proof) => proof.is_for(&reviewer.user, &about),
            None => !self.settings.security_key,
        };
        let page = || self.page(&row.id).unwrap_or_else(|| "its page".to_owned());
        proven
            .then_some(())
            .ok_or_else(|| NotDecided::SecurityKey(page()))
    }

    /// The people whose approval counts, in the order of their decisions. Where a security key is needed, nobody
    /// without one: not who approved before it was, and not who did it at another process that does not ask.
    pub(super) fn counted(&self, mut decisions: Vec<DecisionRow>) -> Result<Vec<Approver>, StoreError> {
        if self.settings.security_key {
            let keyed = |method: &Option<String>| method.as_ref().is_some_and(|how| how.starts_with(KEY));
            decisions.retain(|one| !one.approves || keyed(&one.method));
        }
        approvers(&decisions)
    }

    /// The people of a granted row, counted again.
    pub(super) fn met(
        &self,
        row: &ApprovalRow,
        terms: &Terms,
        decisions: Vec<DecisionRow>,
    ) -> Result<Vec<Approver>, Unmet> {
        let all = approvers(&decisions).map_err(failed)?;
        let people = self.counted(decisions).map_err(failed)?;
        if terms.is_met(&people, &requester(row)) {
            return Ok(people);
        }
        let why = if terms.is_met(&all, &requester(row)) {
            words::unkeyed()
        } else {
            Refusal::internal("a granted approval without its people")
        };
        Err(why.into())
    }
}

/// A transition as people read it.
pub(super) fn told(event: &EventRow) -> String {
    match event.method {
        Some(_) => format!("{}, with a security key", event.word),
        None => event.word.clone(),
    }
}
