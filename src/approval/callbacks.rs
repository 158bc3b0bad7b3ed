//! Decisions that an integration signed and sent back: what its notice carried, and what its word is worth.
//!
//! Whoever has the integration's key is the integration, and nobody else: it has one vote. For whom it says it decides
//! is a claim. A claim takes a vote away (the requester's own, or one that was given already), and never gives one.

use std::collections::BTreeSet;
use std::time::Duration;

use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use super::events::Events;
use super::people::People;
use super::review::{Choice, NotDecided, Reviewer, Via, unrecorded};
use super::terms::requester;
use crate::call::{ApprovalId, hex, is_unseen};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, DecisionRow};
use crate::store::rows::Tx;

/// How far the time that was signed may be from now, either way (Standard Webhooks).
pub const SIGNED_WITHIN: Duration = Duration::from_mins(5);

/// What came with a signed decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The integration's configured name.
    pub integration: String,
    /// What it calls its message (`webhook-id`), for the record.
    pub message: String,
    /// As its notice said it: 64 hexadecimal digits.
    pub nonce: String,
    /// The request's deadline as its notice said it.
    pub decide_by: String,
    /// The person for whom it says it decides, `<issuer>#<subject>`. Claimed.
    pub on_behalf: Option<String>,
}

impl Callback {
    /// How such a decision was given, for the record.
    pub(super) fn method(&self) -> String {
        let method = format!("callback {} {}", self.integration, self.message);
        match &self.on_behalf {
            Some(person) => format!("{method}, claimed on behalf of {person}"),
            None => method,
        }
    }
}

impl People {
    /// Whether a decision by callback is about what its notice told, and the first one to it: spends its nonce, in
    /// the transaction that decides. Other reviewers pass.
    pub(super) async fn called_back(
        &self,
        tx: &mut Tx,
        reviewer: &Reviewer,
        row: &ApprovalRow,
        choice: &Choice,
    ) -> Result<(), NotDecided> {
        let Via::Callback(callback) = &reviewer.via else {
            return Ok(());
        };
        if Timestamp(row.decide_by).rfc3339() != callback.decide_by {
            return Err(NotDecided::Changed);
        }
        let kept = tx
            .nonce_of(&row.id, &callback.integration)
            .await
            .map_err(unrecorded)?;
        let (nonce, spent) = kept.ok_or(NotDecided::Changed)?;
        if !bool::from(hex(&nonce).as_bytes().ct_eq(callback.nonce.as_bytes())) {
            return Err(NotDecided::Changed);
        }
        if spent {
            return Err(NotDecided::Twice);
        }
        match choice {
            Choice::Approve => {
                let before = tx.decisions(&row.id).await.map_err(unrecorded)?;
                claimed(callback, row, &before)?;
            }
            Choice::Refuse(_) => {}
            Choice::ApproveFor(_) => {
                let why = "an integration approves once, never for a while";
                return Err(NotDecided::NotOffered(why.to_owned()));
            }
        }
        let spent = tx.spend_nonce(&row.id, &callback.integration, self.now()).await;
        spent.map_err(unrecorded)?.then_some(()).ok_or(NotDecided::Twice)
    }
}

/// An approval names its person: not the requester, and nobody who approved before.
fn claimed(callback: &Callback, row: &ApprovalRow, before: &[DecisionRow]) -> Result<(), NotDecided> {
    let Some(person) = &callback.on_behalf else {
        let why = "an approval says on whose behalf it is: on_behalf";
        return Err(NotDecided::NotOffered(why.to_owned()));
    };
    let person = folded(person);
    if person == folded(&requester(row).id()) {
        return Err(NotDecided::OwnRequest);
    }
    let claims = |one: &DecisionRow| {
        one.on_behalf
            .as_deref()
            .is_some_and(|whom| folded(whom) == person)
    };
    let theirs = |one: &DecisionRow| folded(&id(one)) == person || claims(one);
    if before.iter().any(theirs) {
        return Err(NotDecided::Twice);
    }
    Ok(())
}

/// Leaves out the approvals of integrations on behalf of somebody who approved in person, or through another one.
pub(super) fn one_each(decisions: &mut Vec<DecisionRow>) {
    let mut counted: BTreeSet<String> = decisions
        .iter()
        .filter(|one| one.on_behalf.is_none())
        .map(|one| folded(&id(one)))
        .collect();
    decisions.retain(|one| match &one.on_behalf {
        Some(person) if one.approves => counted.insert(folded(person)),
        _ => true,
    });
}

/// One form for every spelling of a name that people would read as the same. A claim is typed or copied somewhere, and
/// takes a vote away: to find too many alike is the safe side.
fn folded(person: &str) -> String {
    let plain: String = person
        .nfkc()
        .filter(|c| !c.is_whitespace() && !is_unseen(*c))
        .collect();
    plain.to_uppercase().to_lowercase().nfkc().collect()
}

fn id(decision: &DecisionRow) -> String {
    format!("{}#{}", decision.issuer, decision.subject)
}

impl Events<'_> {
    /// What an integration repeats with its decision about a request: 64 hexadecimal digits, the same whenever it is
    /// told.
    ///
    /// # Errors
    /// The store's.
    pub async fn nonce(&self, id: &ApprovalId, integration: &str) -> Result<String, StoreError> {
        let mut tx = self.people.rows.read().await?;
        let kept = tx.nonce_of(&id.0, integration).await?;
        tx.commit().await?;
        if let Some((nonce, _)) = kept {
            return Ok(hex(&nonce));
        }
        let mut fresh = [0; 32];
        self.people.world.random(&mut fresh);
        let mut tx = self.people.rows.write().await?;
        let nonce = tx.nonce(&id.0, integration, &fresh, self.people.now()).await?;
        tx.commit().await?;
        Ok(hex(&nonce))
    }
}
