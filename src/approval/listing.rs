//! What a person looks through: their requests, those that wait for them, and those that do no more, a page at a
//! time; and who is behind one of them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::Approvals;
use super::people::is_over;
use super::review::{Card, NotDecided, Reviewer, State, drawn, unrecorded};
use super::stand::{Acting, View};
use super::stronger::would_do;
use super::terms::{Sealed, Terms, readable};
use crate::call::{ApprovalId, User, UserKind};
use crate::clock::Timestamp;
use crate::policy::RuleSet;
pub use crate::store::approvals::Shelf;
use crate::store::approvals::{ApprovalRow, Filter, Sight};

/// Most requests of one page.
pub const PAGE: u32 = 50;
/// So far requests are counted; beyond it is "at least".
pub const COUNTED: u32 = 1_000;

/// Which requests somebody wants to see; every part that is set must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where to look.
    pub shelf: Shelf,
    /// In this state.
    pub state: Option<State>,
    /// That this policy asks about.
    pub rule: Option<String>,
    /// On this resource.
    pub resource: Option<String>,
    /// With this tool.
    pub tool: Option<String>,
    /// Of this person, as `<issuer>#<subject>`.
    pub requester: Option<String>,
    /// Made before this one: the `next` of the page before.
    pub before: Option<ApprovalId>,
    /// Requests on the page, at most [`PAGE`].
    pub limit: u32,
}

impl Wanted {
    /// The newest of a shelf.
    #[must_use]
    pub fn on(shelf: Shelf) -> Self {
        Self {
            shelf,
            state: None,
            rule: None,
            resource: None,
            tool: None,
            requester: None,
            before: None,
            limit: PAGE,
        }
    }

    fn filter(&self) -> Filter<'_> {
        Filter {
            state: self.state.map(State::as_str),
            rule: self.rule.as_deref(),
            resource: self.resource.as_deref(),
            tool: self.tool.as_deref(),
            // Who is nobody's name is nobody.
            requester: self
                .requester
                .as_deref()
                .map(|name| name.split_once('#').unwrap_or(("", ""))),
            before: self.before.as_ref().map(|id| id.0.as_str()),
        }
    }
}

/// One request in a list, with the policies that ask.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The request.
    #[serde(flatten)]
    pub card: Card,
    /// Ids of the policies, in order.
    pub rules: BTreeSet<String>,
    /// What it would do, in a few words each: nothing of rows but how many. For people; programs read the request.
    #[serde(skip)]
    pub would: Vec<String>,
}

/// A page of requests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Listing {
    /// Newest first.
    pub items: Vec<Listed>,
    /// Where the next page begins, if there is one.
    pub next: Option<ApprovalId>,
}

/// How many requests there are for somebody, up to [`COUNTED`] each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// That wait for their decision.
    pub waiting: u64,
    /// Their own, in whatever state.
    pub own: u64,
    /// That they were asked about and that wait for them no more.
    pub decided: u64,
}

/// Through what a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The requester, as the journal names them: `<issuer>#<subject>`.
    pub requester: String,
    /// The session it was made in.
    pub session: String,
    /// When. An agent that waits asks again and again, which is not what it did before.
    pub at: Timestamp,
    /// On what.
    pub resource: Option<String>,
    /// What the program was then; gone once the request is final.
    pub program: Option<Program>,
}

/// A program that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Whether somebody other than the program vouches for its client id.
    pub verified: bool,
    /// What it calls itself.
    pub claimed_name: String,
    /// Which version it says it is.
    pub claimed_version: String,
}

impl Approvals {
    /// A page of the requests this person may see: of those that exist for them in a list, newest first.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn page(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        wanted: &Wanted,
    ) -> Result<Listing, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Listing::default());
        };
        let now = people.now();
        let limit = wanted.limit.clamp(1, PAGE);
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let acting = people.acting(&mut tx, reviewer).await.map_err(unrecorded)?;
        let widest = acting.widest();
        let sight = sight(&acting, &widest, rules, now);
        let mut rows = tx
            .shelf(&sight, wanted.shelf, &wanted.filter(), limit + 1)
            .await
            .map_err(unrecorded)?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| ApprovalId(row.id.clone()));
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut decisions = tx.decisions_of(&ids).await.map_err(unrecorded)?; // one question for the page
        let mut items = Vec::new();
        for row in &rows {
            let Some(terms) = readable(Terms::read(row)).map_err(unrecorded)? else {
                continue;
            };
            if View::of(&acting, rules, row, &terms).is_shown() {
                let theirs = decisions.remove(&row.id).unwrap_or_default();
                let drawn = drawn(theirs, &acting, rules, row, &terms);
                items.push(Listed {
                    card: at(drawn.map_err(unrecorded)?, row, now),
                    would: would(&terms),
                    rules: terms.asks.into_iter().map(|asked| asked.id).collect(),
                });
            }
        }
        tx.commit().await.map_err(unrecorded)?;
        Ok(Listing { items, next })
    }

    /// How many requests there are on each shelf of this person.
    ///
    /// # Errors
    /// [`NotDecided::Unrecorded`] when the store cannot be read.
    pub async fn counts(&self, reviewer: &Reviewer, rules: &RuleSet) -> Result<Counts, NotDecided> {
        let Some(people) = &self.people else {
            return Ok(Counts::default());
        };
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let acting = people.acting(&mut tx, reviewer).await.map_err(unrecorded)?;
        let widest = acting.widest();
        let sight = sight(&acting, &widest, rules, people.now());
        let mut counted = [0; 3];
        for (count, shelf) in counted
            .iter_mut()
            .zip([Shelf::Waiting, Shelf::Own, Shelf::Decided])
        {
            let all = Filter::default();
            *count = tx
                .on_shelf(&sight, shelf, &all, COUNTED)
                .await
                .map_err(unrecorded)?;
        }
        tx.commit().await.map_err(unrecorded)?;
        let [waiting, own, decided] = counted;
        Ok(Counts {
            waiting,
            own,
            decided,
        })
    }

    /// Through what a request came, for whoever sees its evidence.
    ///
    /// # Errors
    /// [`NotDecided::Unknown`] also for one that exists and whose evidence is not theirs to see.
    pub async fn origin(
        &self,
        reviewer: &Reviewer,
        rules: &RuleSet,
        id: &ApprovalId,
    ) -> Result<Origin, NotDecided> {
        let people = self.people.as_ref().ok_or(NotDecided::Unknown)?;
        let mut tx = people.rows.read().await.map_err(unrecorded)?;
        let row = tx.row(&id.0).await.map_err(unrecorded)?;
        let acting = people.acting(&mut tx, reviewer).await.map_err(unrecorded)?;
        tx.commit().await.map_err(unrecorded)?;
        let row = row.ok_or(NotDecided::Unknown)?;
        let terms = Terms::read(&row).map_err(unrecorded)?;
        if !matches!(View::of(&acting, rules, &row, &terms), View::Own | View::Decides) {
            return Err(NotDecided::Unknown);
        }
        let sealed = Sealed::read(&row).map_err(unrecorded)?;
        let program = sealed.map(|sealed| {
            let agent = sealed.principal(&row).agent;
            Program {
                verified: agent.verified,
                claimed_name: agent.claimed_name,
                claimed_version: agent.claimed_version,
            }
        });
        Ok(Origin {
            requester: format!("{}#{}", row.issuer, row.subject),
            session: row.session,
            at: Timestamp(row.created_at),
            resource: row.resource,
            program,
        })
    }

    /// Told whenever something may have changed about some request, here or at a process that shares the store.
    #[must_use]
    pub fn changes(&self) -> Option<watch::Receiver<()>> {
        self.people.as_ref().map(|people| people.woken())
    }
}

/// What the store has to know of who looks, `widest` with every group in which they stand in for somebody. Only people
/// are asked; of each request that is found, [`View`] says whether it is theirs to see.
fn sight<'a>(acting: &Acting<'a>, widest: &'a User, rules: &'a RuleSet, now: u64) -> Sight<'a> {
    let reviewer = acting.reviewer;
    let decides = |resource: &&str| {
        widest.kind == UserKind::Person
            && (rules.may_approve(widest, resource, reviewer.acr.as_deref())
                || would_do(reviewer, widest, rules, resource).is_some())
    };
    Sight {
        issuer: &widest.issuer,
        subject: &widest.subject,
        groups: widest.groups.iter().map(String::as_str).collect(),
        resources: rules.resources().filter(decides).collect(),
        now,
    }
}

/// What people see of it in a list: what is lost first, then relations with their counts, then programs.
fn would(terms: &Terms) -> Vec<String> {
    let counts = terms.counts.as_ref();
    let is = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let mut all = Vec::new();
    if is(counts.and_then(|counts| counts.get("irreversible")))
        || is(terms.facts.pointer("/sql/irreversible"))
    {
        all.push("cannot be undone".to_owned());
    }
    let members = |name: &str| {
        counts
            .and_then(|counts| counts.get(name))
            .and_then(Value::as_object)
    };
    for (object, change) in members("schema").into_iter().flatten() {
        all.push(format!("{object}: {}", change.as_str().unwrap_or("changed")));
    }
    for (relation, kinds) in members("rows").into_iter().flatten() {
        let count = |word: &str| kinds.get(word).and_then(Value::as_u64).unwrap_or_default();
        let said = [
            ("inserted", "new"),
            ("updated", "changed"),
            ("deleted", "removed"),
        ];
        let said = said.map(|(word, said)| (count(word), said)).into_iter();
        let said: Vec<String> = said
            .filter(|(count, _)| *count > 0)
            .map(|(count, said)| format!("{count} {said}"))
            .collect();
        if !said.is_empty() {
            all.push(format!("{relation}: {}", said.join(", ")));
        }
    }
    if let Some(shell) = terms.facts.get("shell").filter(|shell| !shell.is_null()) {
        let programs = shell
            .get("programs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let programs: Vec<&str> = programs.filter_map(Value::as_str).collect();
        all.push(format!("runs {}", programs.join(", ")));
        if is(shell.get("change")) {
            all.push("may write the work folder".to_owned());
        }
    }
    all
}

/// As it stands at this moment: silence is refusal at once, not when the next tick writes it down.
fn at(card: Card, row: &ApprovalRow, now: u64) -> Card {
    if !is_over(row, now) {
        return card;
    }
    Card {
        state: State::Expired,
        may_decide: false,
        may_refuse: false,
        may_withdraw: false,
        ..card
    }
}
