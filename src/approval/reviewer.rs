//! Who decides, and what proves that it is them.

use super::people::People;
use super::review::NotDecided;
use crate::call::User;
use crate::clock::Timestamp;
use crate::identity::security_keys::{About, Proof};
use crate::store::approvals::{ApprovalRow, EventRow};

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
    /// How an approval of theirs was proven, for the record.
    pub(super) fn method(&self) -> Option<String> {
        let key = self.key.as_ref()?;
        Some(format!("security-key {}", key.key()))
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
}

/// A transition as people read it.
pub(super) fn told(event: &EventRow) -> String {
    match event.method {
        Some(_) => format!("{}, with a security key", event.word),
        None => event.word.clone(),
    }
}
