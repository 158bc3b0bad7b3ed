//! What people look up beyond requests: who they are here and what they may do, sessions in the journal step by step,
//! and what the policies say of a call nobody made.
//!
//! Who may see what is policy's business ([`Insight`]). To everybody else these pages do not exist.

mod me;
mod policies;
mod records;

use futures::future::BoxFuture;
use http::{Method, StatusCode};

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::pages;
use super::problem::Problem;
use crate::approval::review::Reviewer;
use crate::audit::list::Page;
use crate::audit::replay::Step;
use crate::call::User;
use crate::policy::explain::{Explanation, PolicyNote};

/// What a person may do with one resource on this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The resource.
    pub resource: String,
    /// Decide about requests, with the sign-in they have.
    pub approve: bool,
    /// Decide about them with a stronger sign-in: the class of it.
    pub approve_with: Option<String>,
    /// Read the journal of it.
    pub audit_read: bool,
    /// Look after keys of services for it.
    pub administer: bool,
}

/// A session of the journal, as far as it was looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSeen {
    /// Its id.
    pub session: String,
    /// Whose: `<issuer>#<subject>`.
    pub user: String,
    /// RFC 3339 UTC, of the earliest call seen.
    pub first: String,
    /// RFC 3339 UTC, of the latest.
    pub last: String,
    /// Calls seen.
    pub calls: u64,
    /// Those of them that did not end well.
    pub refused: u64,
    /// Resources they were on, in order.
    pub resources: Vec<String>,
}

/// A question to the policies, as a form asks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// `<issuer>#<subject>`.
    pub person: String,
    /// Groups they would be in.
    pub groups: Vec<String>,
    /// The client id of the program.
    pub agent: String,
    /// Whether it is vouched for.
    pub verified: bool,
    /// The verb.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// Columns it would touch, as `table.column`.
    pub columns: Vec<String>,
}

/// What a form can offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Resources this person may ask about.
    pub resources: Vec<String>,
    /// Configured groups.
    pub groups: Vec<String>,
    /// Verbs that can be asked about.
    pub actions: Vec<String>,
}

/// It cannot be read, or its reading cannot be put on record, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What the control side needs of whoever knows policies and journal.
pub trait Insight: Send + Sync + std::fmt::Debug {
    /// The resources with which a person may do something here.
    fn rights(&self, who: &Reviewer) -> Vec<Right>;
    /// Whether there is anything in the journal that this person may read (`audit_read`).
    fn audits(&self, user: &User) -> bool;
    /// Sessions with calls this person may read about, latest first; before that record of the journal.
    fn sessions<'a>(
        &'a self,
        user: &'a User,
        before: Option<u64>,
    ) -> BoxFuture<'a, Result<Page<SessionSeen>, Unreadable>>;
    /// The calls of one session that this person may read about, oldest first, from a record of the journal on. That
    /// they read it is on record before they do. `None` when there is none.
    fn replay<'a>(
        &'a self,
        user: &'a User,
        session: &'a str,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Page<Step>>, Unreadable>>;
    /// What this person may ask the policies about; no resources when nothing.
    fn choices(&self, user: &User) -> Choices;
    /// Every policy, for who may ask about every resource.
    fn policies(&self, user: &User) -> Option<Vec<PolicyNote>>;
    /// What the policies say, or what is wrong with the question.
    ///
    /// # Errors
    /// In words for the person.
    fn explain(&self, user: &User, question: &Question) -> Result<Explanation, String>;
}

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Me,
    Journal,
    Replay,
    Policies,
}

/// Which of them a path names.
pub(super) fn place(path: &[&str]) -> Option<Place> {
    match path {
        ["me"] => Some(Place::Me),
        ["journal"] => Some(Place::Journal),
        ["journal", "replay"] => Some(Place::Replay),
        ["policies"] => Some(Place::Policies),
        _ => None,
    }
}

/// Where this person can go.
pub(super) fn places(front: &Front, who: &Reviewer) -> Vec<(&'static str, &'static str)> {
    let Some(insight) = &front.spec.insight else {
        return Vec::new();
    };
    let mut places = Vec::new();
    if insight.audits(&who.user) {
        places.push(("/journal", "Journal"));
    }
    if !insight.choices(&who.user).resources.is_empty() {
        places.push(("/policies", "Policies"));
    }
    places.push(("/me", "You"));
    places
}

/// One page.
pub(super) async fn page(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    asked.only(&[Method::GET, Method::HEAD])?;
    let insight = front.spec.insight.as_deref().ok_or_else(Problem::not_found)?;
    let (path, title) = match place {
        Place::Me => ("/me", "You"),
        Place::Journal | Place::Replay => ("/journal", "Journal"),
        Place::Policies => ("/policies", "Policies"),
    };
    let Some(seated) = pages::seated(front, &asked.headers) else {
        return Ok(answer::see(&format!(
            "/sign-in?back=%2F{}",
            path.trim_start_matches('/')
        )));
    };
    let who = pages::reviewer(front, &seated);
    let body = match place {
        Place::Me => me::body(front, insight, &who),
        Place::Journal => records::sessions(front, insight, &who, &asked).await?,
        Place::Replay => records::replay(front, insight, &who, &asked).await?,
        Place::Policies => policies::body(insight, &who, &asked)?,
    };
    Ok(pages::page_at(front, &seated, path, title, &body))
}

/// A parameter that is there once and says something.
fn one<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let mut found = asked.query.iter().filter(|(key, _)| key == name);
    let value = found.next().map(|(_, value)| value.trim())?;
    (found.next().is_none() && !value.is_empty()).then_some(value)
}

impl From<Unreadable> for Problem {
    fn from(_: Unreadable) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not now",
            "The journal cannot be read, or your reading it cannot be put on record, at the moment; the operator's log has the cause.",
        )
    }
}
