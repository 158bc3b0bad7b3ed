//! Who decides, and what proves that it is them.

use super::callbacks::Callback;
use super::counting::Count;
use super::people::{People, failed, millis};
use super::review::NotDecided;
use super::terms::{Terms, approvers, requester};
use super::words;
use crate::call::{Approver, Refusal, Unmet, User};
use crate::clock::Timestamp;
use crate::identity::security_keys::{About, Proof, SignedIn};
use crate::policy::RuleSet;
use crate::store::approvals::{ApprovalRow, BreakGlassRow, DecisionRow, EventRow};
use crate::store::rows::Tx;

/// Who approved, and who went on without them.
pub(super) type Agreed = (Vec<Approver>, Option<Approver>);

/// How far ahead of ours the clock of an identity provider may be, in milliseconds.
const AHEAD: u64 = 60_000;
/// What the record of an approval begins with that was proven by a key; its id follows.
pub(super) const KEY: &str = "security-key ";

/// Where a person decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Via {
    /// On our own pages or API, under a sign-in of a moment ago.
    #[default]
    Control,
    /// By a message in a chat whose account they linked to themselves with a sign-in: for as long as the link
    /// lasts, and only what may be decided there.
    Message {
        /// The account, for the record: `slack <team>/<user>`.
        account: String,
        /// The message they acted on: `<channel>/<ts>`.
        message: String,
    },
    /// By an integration, which signed it: one principal, whoever used it, and only what may be decided by a message.
    Callback(Callback),
}

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
    /// Where they decide.
    pub via: Via,
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

    /// One account approves once, also when it was linked to somebody else meanwhile: whoever holds it is one person.
    pub(super) fn first_by_account(&self, before: &[DecisionRow]) -> Result<(), NotDecided> {
        let Via::Message { account, .. } = &self.via else {
            return Ok(());
        };
        let by_it = |how: &String| {
            how.strip_prefix(account.as_str())
                .is_some_and(|rest| rest.starts_with(' '))
        };
        let twice = before.iter().any(|one| one.method.as_ref().is_some_and(by_it));
        (!twice).then_some(()).ok_or(NotDecided::Twice)
    }

    /// How an approval of theirs was proven or given, for the record.
    pub(super) fn method(&self) -> Option<String> {
        match (&self.key, &self.via) {
            (Some(key), _) => Some(format!("{KEY}{}", key.key())),
            (None, Via::Control) => None,
            (None, Via::Message { account, message }) => Some(format!("{account} {message}")),
            (None, Via::Callback(callback)) => Some(callback.method()),
        }
    }
}

impl People {
    /// A decision needs a person who proved who they are: a moment ago, or where they decide by a message, when they
    /// linked their account there. A time to come proves nothing.
    pub(super) fn signed_in(&self, reviewer: &Reviewer) -> Result<(), NotDecided> {
        let (now, at) = (self.now(), reviewer.signed_in_at.0);
        let most = match reviewer.via {
            Via::Control => self.settings.max_age,
            Via::Message { .. } => self.settings.link,
            Via::Callback(_) => super::callbacks::SIGNED_WITHIN,
        };
        if at > now.saturating_add(AHEAD) || now.saturating_sub(at) > millis(most) {
            return Err(NotDecided::SignInAgain(most.as_secs()));
        }
        Ok(())
    }

    /// Whether a request may be decided where this reviewer is: not everything by a message.
    pub(super) fn decided_here(
        &self,
        reviewer: &Reviewer,
        row: &ApprovalRow,
        terms: &Terms,
    ) -> Result<(), NotDecided> {
        let Some(why) = self.page_only(terms).filter(|_| reviewer.via != Via::Control) else {
            return Ok(());
        };
        let page = self.page(&row.id).unwrap_or_else(|| "its page".to_owned());
        Err(NotDecided::OnItsPage(why, page))
    }

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

    /// The people of a granted row, counted again; or its requester, who went on without them. `Ok(None)` when they are
    /// not enough any more, though they were.
    ///
    /// # Errors
    /// Why it does not run, as a refusal, where asking anew would not help.
    pub(super) async fn met(
        &self,
        tx: &mut Tx,
        row: &ApprovalRow,
        terms: &Terms,
        rules: Option<&RuleSet>,
    ) -> Result<Option<Agreed>, Unmet> {
        let decisions = tx.decisions(&row.id).await.map_err(failed)?;
        let broken = tx.broken_glass(&row.id).await.map_err(failed)?;
        let asker = requester(row);
        let mut count = Count::of(terms, &asker);
        if let Some(rules) = rules {
            count = count.under(rules, row.resource.as_deref());
        }
        let people = self.counted(tx, &decisions, count).await.map_err(failed)?;
        if terms.is_met(&people, &asker) {
            return Ok(Some((people, None)));
        }
        let refused = decisions.iter().any(|one| !one.approves);
        let broken = broken.filter(|_| !refused);
        if let Some(by) = broken.and_then(|by| breaker(row, terms, &by)) {
            return Ok(Some((people, Some(by))));
        }
        let all = approvers(&decisions).map_err(failed)?;
        if !terms.is_met(&all, &asker) {
            return Err(Refusal::internal("a granted approval without its people").into());
        }
        let unkeyed = |one: &DecisionRow| one.method.as_ref().is_none_or(|how| !how.starts_with(KEY));
        if self.settings.security_key && decisions.iter().any(unkeyed) {
            return Err(words::unkeyed().into());
        }
        Ok(None)
    }
}

/// Who broke the glass, if it was the requester and each obligation lets them.
fn breaker(row: &ApprovalRow, terms: &Terms, by: &BreakGlassRow) -> Option<Approver> {
    let own = by.issuer == row.issuer && by.subject == row.subject && by.action_sha256 == row.action_sha256;
    let groups = serde_json::from_str(&by.groups).ok()?;
    (own && terms.breaks(&groups)).then(|| Approver {
        issuer: by.issuer.clone(),
        subject: by.subject.clone(),
        groups,
    })
}

/// A transition as people read it.
pub(super) fn told(event: &EventRow) -> String {
    match &event.method {
        Some(how) if how.starts_with(KEY) => format!("{}, with a security key", event.word),
        Some(how) => format!("{}, by {how}", event.word),
        None => event.word.clone(),
    }
}
