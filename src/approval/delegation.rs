//! Standing in: a reviewer who is away names somebody for one of their groups, between two times. And escalation:
//! further groups are asked when nobody decides.
//!
//! Whoever stands in counts as themselves, once, and for nobody whose request it is; what was delegated to them they
//! cannot delegate.

use serde::{Deserialize, Serialize};

use super::people::People;
use super::review::{NotDecided, Reviewer, unrecorded};
use super::terms::{Terms, readable};
use super::{Approvals, Event};
use crate::call::{ApprovalId, Hash, UserKind};
use crate::clock::Timestamp;
use crate::identity::SERVICE;
use crate::store::StoreError;
use crate::store::approvals::DelegationRow;
use crate::store::rows::Tx;

const DAY: u64 = 24 * 3_600_000;
/// After how long a request that cannot be read is looked at again, in milliseconds.
const AGAIN: u64 = 60_000;
/// How far ahead a delegation may begin, in milliseconds.
const AHEAD: u64 = 92 * DAY;
/// Most delegations of one person that are not over.
const MOST: usize = 20;
/// The longest name of a person, in bytes.
const NAME: usize = 512;
/// Delegations in one list.
const LISTED: u32 = 500;

/// Who is to stand in for whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegate {
    /// `<issuer>#<subject>`.
    pub to: String,
    /// In which group of the one who delegates.
    pub group: String,
    /// From when on, in seconds since 1970; without it from now on.
    #[serde(default)]
    pub from: Option<u64>,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// One delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DelegationCard {
    /// Its id: 32 of `[a-z0-9]`.
    pub id: String,
    /// Who named somebody: `<issuer>#<subject>`.
    pub by: String,
    /// Who stands in: `<issuer>#<subject>`.
    pub to: String,
    /// In which group.
    pub group: String,
    /// RFC 3339 UTC.
    pub from: String,
    /// RFC 3339 UTC.
    pub until: String,
    /// `ahead`, `counts` or `over`.
    pub state: &'static str,
    /// Whether this person may end it now.
    pub may_end: bool,
}

impl Approvals {
    /// For how many days at most somebody may stand in for another; 0 is never.
    #[must_use]
    pub fn delegation_days(&self) -> u32 {
        self.people
            .as_ref()
            .map_or(0, |people| people.settings.delegation_days)
    }

    /// Names somebody to stand in. Needs a fresh sign-in, like a decision. Returns once it is on record.
    ///
    /// # Errors
    /// [`NotDecided::NotOffered`] says what is wrong.
    pub async fn delegate(&self, reviewer: &Reviewer, wish: &Delegate) -> Result<DelegationCard, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        people.signed_in(reviewer)?;
        let row = people.delegation(reviewer, wish)?;
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        people.has_room(&mut tx, &row).await?;
        tx.commit().await.map_err(unrecorded)?;
        // On record before it counts; if it cannot be made after that, the record tells of one that never did. Nothing is held
        // meanwhile: where the store is a file, the journal could not be written to it.
        people.tell(&row, "delegated", &reviewer.user.id()).await?;
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        people.has_room(&mut tx, &row).await?;
        tx.delegate(&row).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        Ok(card(&row, &reviewer.user.id(), people.now()))
    }

    /// The delegations that concern this person: theirs, to them, and in groups of theirs.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn delegations(&self, reviewer: &Reviewer) -> Result<Vec<DelegationCard>, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Vec::new());
        };
        let now = people.now();
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let rows = tx.latest_delegations(now, LISTED).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let who = reviewer.user.id();
        let theirs = |row: &&DelegationRow| {
            let card = card(row, &who, now);
            card.by == who || card.to == who || reviewer.user.groups.contains(&row.group)
        };
        Ok(rows
            .iter()
            .filter(theirs)
            .map(|row| card(row, &who, now))
            .collect())
    }

    /// Ends a delegation at once: who made it may, and who stands in. Returns once it is on record.
    ///
    /// # Errors
    /// [`NotDecided::Unknown`] also for one of other people.
    pub async fn end_delegation(&self, reviewer: &Reviewer, id: &str) -> Result<(), NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        let (now, who) = (people.now(), reviewer.user.id());
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let rows = tx.latest_delegations(now, LISTED).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let row = rows.into_iter().find(|row| row.id == id);
        let row = row.ok_or(NotDecided::Unknown)?;
        let held = card(&row, &who, now);
        if held.by != who && held.to != who {
            return Err(NotDecided::Unknown);
        }
        if !held.may_end {
            return Err(NotDecided::Final("over"));
        }
        people.tell(&row, "delegation_ended", &who).await?; // with nothing held, as above
        let mut tx = people.rows.write().await.map_err(unrecorded)?;
        if !tx.end_delegation(id, now, &who).await.map_err(unrecorded)? {
            return Err(NotDecided::Final("over"));
        }
        // What was agreed to for a while by it is over with it.
        for grant in tx.grants_by_delegation(id).await.map_err(unrecorded)? {
            let ended = people.end_grant(&mut tx, &grant, "void", None).await;
            ended.map_err(unrecorded)?;
            people.drop_uses(&mut tx, &grant).await.map_err(unrecorded)?;
        }
        tx.commit().await.map_err(unrecorded)?;
        people.wake();
        people.record(None).await.map_err(|_| NotDecided::Unrecorded)
    }
}

impl People {
    fn delegation(&self, reviewer: &Reviewer, wish: &Delegate) -> Result<DelegationRow, NotDecided> {
        let (now, user, days) = (self.now(), &reviewer.user, self.settings.delegation_days);
        if days == 0 {
            return Err(no(
                "nobody can stand in for others here: [approval] delegation_days is 0".to_owned(),
            ));
        }
        if user.kind != UserKind::Person || !user.groups.contains(&wish.group) {
            return Err(no("you are not in that group yourself".to_owned()));
        }
        let (issuer, subject) = wish.to.split_once('#').unwrap_or_default();
        if issuer.is_empty() || subject.is_empty() || issuer == SERVICE || wish.to.len() > NAME {
            return Err(no("name a person as <issuer>#<subject>".to_owned()));
        }
        if wish.to == user.id() {
            return Err(no("you cannot stand in for yourself".to_owned()));
        }
        let starts_at = wish.from.map_or(now, |at| at.saturating_mul(1_000)).max(now);
        let ends_at = wish.until.saturating_mul(1_000);
        let longest = u64::from(days).saturating_mul(DAY);
        let ahead = starts_at > now.saturating_add(AHEAD);
        if ends_at <= starts_at || ahead || ends_at.saturating_sub(starts_at) > longest {
            return Err(no(format!(
                "it must end after it begins, and last at most {days} days"
            )));
        }
        Ok(DelegationRow {
            id: self.new_id(),
            issuer: user.issuer.clone(),
            subject: user.subject.clone(),
            to_issuer: issuer.to_owned(),
            to_subject: subject.to_owned(),
            group: wish.group.clone(),
            starts_at,
            ends_at,
            created_at: now,
            ended_at: None,
            ended_by: None,
        })
    }

    /// Whether its maker may name one more.
    async fn has_room(&self, tx: &mut Tx, row: &DelegationRow) -> Result<(), NotDecided> {
        let before = tx.delegations_by(&row.issuer, &row.subject, self.now()).await;
        if before.map_err(unrecorded)?.len() >= MOST {
            return Err(no(format!("you have named {MOST} people already; end one first")));
        }
        Ok(())
    }

    /// Puts what is no transition of a request on record.
    async fn tell(&self, row: &DelegationRow, word: &str, by: &str) -> Result<(), NotDecided> {
        let (from, until) = (
            Timestamp(row.starts_at).rfc3339(),
            Timestamp(row.ends_at).rfc3339(),
        );
        let told = format!(
            "{}#{} stands in for {}#{} in {} from {from} to {until}",
            row.to_issuer, row.to_subject, row.issuer, row.subject, row.group
        );
        let event = Event {
            rules: Vec::new(),
            waited: None,
            seq: 0,
            approval: ApprovalId(row.id.clone()),
            at: Timestamp(self.now()).rfc3339(),
            event: word.to_owned(),
            by: Some(by.to_owned()),
            action_sha256: Hash::of(told.as_bytes()).hex(),
            words: Some(told),
            method: None,
            call_id: None,
            requester: by.to_owned(),
            agent: "control".to_owned(),
            session: "control".to_owned(),
            tool: "approvals".to_owned(),
            resource: None,
            effect: None,
        };
        self.note(&event).await.map_err(|_| NotDecided::Unrecorded)
    }

    /// Tells of requests that nobody decided in time that further groups may, once for each time.
    pub(super) async fn escalate(&self) -> Result<(), StoreError> {
        let mut tx = self.rows.read().await?;
        let due = tx.escalating(self.now()).await?;
        tx.commit().await?;
        for id in due {
            let now = self.now();
            let mut tx = self.rows.write().await?;
            let row = self.taken(&mut tx, &id).await?;
            if let Some(row) = row
                && let Some(at) = row.escalate_at.filter(|at| *at <= now)
            {
                match readable(Terms::read(&row))? {
                    Some(terms) => {
                        let next = terms.next_escalation(row.created_at, now);
                        if tx.escalated(&id, at, next).await? {
                            let groups: Vec<&str> =
                                terms.escalated(row.created_at, now).into_iter().collect();
                            let told = groups.join(", ");
                            tx.event(&id, now, "escalated", None, Some(&told), None).await?;
                        }
                    }
                    None => drop(tx.escalated(&id, at, Some(now.saturating_add(AGAIN))).await?),
                }
            }
            tx.commit().await?;
            self.wake();
        }
        Ok(())
    }
}

fn card(row: &DelegationRow, who: &str, now: u64) -> DelegationCard {
    let by = format!("{}#{}", row.issuer, row.subject);
    let to = format!("{}#{}", row.to_issuer, row.to_subject);
    let state = match () {
        () if row.ended_at.is_some() || row.ends_at <= now => "over",
        () if row.starts_at > now => "ahead",
        () => "counts",
    };
    DelegationCard {
        may_end: state != "over" && (by == who || to == who),
        id: row.id.clone(),
        by,
        to,
        group: row.group.clone(),
        from: Timestamp(row.starts_at).rfc3339(),
        until: Timestamp(row.ends_at).rfc3339(),
        state,
    }
}

fn no(what: String) -> NotDecided {
    NotDecided::NotOffered(what)
}
