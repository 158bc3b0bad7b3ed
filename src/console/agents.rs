//! Programs that are signed in for people: what a person sees of their own, and ends; administrators see
//! everybody's.
//!
//! Ending one's own session needs no fresh sign-in: it takes rights away, and a form of ours from one's own
//! page. Ending somebody else's is an administrator's act like any other.

use std::fmt::Write;

use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::html::{text, when};
use super::problem::Problem;
use crate::call::User;

/// A session of an agent's program, as people see it. It holds no token and no hash of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionCard {
    /// Its id: 32 of `[a-z0-9]`; no credential.
    pub id: String,
    /// Whose it is: configured issuer name.
    pub issuer: String,
    /// Whose it is: the subject there.
    pub subject: String,
    /// The program's name; claimed unless `verified`.
    pub client_name: String,
    /// Its client id.
    pub client_id: String,
    /// Whether somebody other than the program vouches for the client id.
    pub verified: bool,
    /// RFC 3339 UTC.
    pub created_at: String,
    /// RFC 3339 UTC.
    pub used_at: String,
    /// When it ends if nobody ends it before. RFC 3339 UTC.
    pub ends_at: String,
}

impl SessionCard {
    fn is_of(&self, user: &User) -> bool {
        self.issuer == user.issuer && self.subject == user.subject
    }
}

/// Sessions cannot be read or ended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// What the control side needs of whoever keeps sessions.
pub trait SessionDesk: Send + Sync + std::fmt::Debug {
    /// Whether policy makes this person an administrator (`administer`).
    fn administers(&self, user: &User) -> bool;
    /// The open sessions of one person, or of everybody; newest first.
    fn list<'a>(&'a self, of: Option<&'a User>) -> BoxFuture<'a, Result<Vec<SessionCard>, Unavailable>>;
    /// One open session.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<SessionCard>, Unavailable>>;
    /// Ends a session, durably, and tells whoever holds something for it. Ending what has ended is nothing.
    fn end<'a>(&'a self, id: &'a str, by: &'a User) -> BoxFuture<'a, Result<(), Unavailable>>;
}

/// What is done there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    List,
    End(String),
}

/// Which of them a path names.
pub(super) fn place(path: &[&str]) -> Option<Place> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match path {
        ["sessions"] => Some(Place::List),
        ["sessions", id, "end"] if id.len() == 32 && id.bytes().all(fits) => {
            Some(Place::End((*id).to_owned()))
        }
        _ => None,
    }
}

fn desk(front: &Front) -> Result<&dyn SessionDesk, Problem> {
    front.spec.sessions.as_deref().ok_or_else(Problem::not_found)
}

/// What this person may see: their own; an administrator everybody's.
pub(super) async fn visible(front: &Front, user: &User) -> Result<Vec<SessionCard>, Problem> {
    let desk = desk(front)?;
    let of = (!desk.administers(user)).then_some(user);
    Ok(desk.list(of).await?)
}

/// Ends one. `fresh` says why not, when their sign-in is too old for somebody else's. To who may not see it,
/// it does not exist.
async fn end(front: &Front, id: &str, user: &User, fresh: Result<(), Problem>) -> Result<(), Problem> {
    let desk = desk(front)?;
    let card = desk.find(id).await?.ok_or_else(Problem::not_found)?;
    if !card.is_of(user) {
        if !desk.administers(user) {
            return Err(Problem::not_found());
        }
        fresh?;
    }
    desk.end(id, user).await?;
    let (by, whose) = (user.id(), format!("{}#{}", card.issuer, card.subject));
    tracing::info!(
        session = id,
        by,
        whose,
        client = card.client_id,
        "a session was ended"
    );
    Ok(())
}

/// The API.
pub(super) async fn api(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    match place {
        Place::List => {
            asked.only(&[Method::GET, Method::HEAD])?;
            let reviewer = super::api::reviewer(front, &asked).await?;
            let cards = visible(front, &reviewer.user).await?;
            Ok(answer::json(&json!({ "sessions": cards })))
        }
        Place::End(id) => {
            asked.only(&[Method::POST])?;
            let reviewer = super::api::reviewer(front, &asked).await?;
            end(front, &id, &reviewer.user, front.fresh(&reviewer)).await?;
            Ok(answer::json(&json!({ "id": id, "state": "ended" })))
        }
    }
}

/// The pages.
pub(super) async fn page(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    let methods = match place {
        Place::List => &[Method::GET, Method::HEAD][..],
        Place::End(_) => &[Method::POST][..],
    };
    asked.only(methods)?;
    desk(front)?;
    let acts = matches!(place, Place::End(_));
    if acts {
        super::pages::from_our_page(front, &asked.headers)?;
    }
    let Some(seated) = super::pages::seated(front, &asked.headers) else {
        return Ok(answer::see("/sign-in?back=%2Fsessions"));
    };
    let user = &seated.person.user;
    let Place::End(id) = place else {
        let cards = visible(front, user).await?;
        let token = |card: &SessionCard| front.sessions.token(&seated, &["end-session", &card.id]);
        return Ok(super::pages::page(
            front,
            &seated,
            "Signed-in programs",
            &list(&cards, user, token),
        ));
    };
    let fields = super::pages::form(front, asked).await?;
    let token = super::pages::field(&fields, "token")?;
    if !front.sessions.is_token(&seated, &["end-session", &id], token) {
        return Err(Problem::forged());
    }
    let fresh = front.fresh(&super::pages::reviewer(front, &seated));
    end(front, &id, user, fresh).await?;
    Ok(answer::see("/sessions"))
}

fn list(cards: &[SessionCard], user: &User, token: impl Fn(&SessionCard) -> String) -> String {
    let mut out = String::from("<h1>Signed-in programs</h1>");
    if cards.is_empty() {
        out.push_str("<section><p>No program is signed in for you.</p></section>");
    }
    out.push_str("<ul class=\"list\">");
    for card in cards {
        let vouched = if card.verified {
            "its name is vouched for"
        } else {
            "the name is its own claim"
        };
        let whose = if card.is_of(user) {
            "you".to_owned()
        } else {
            format!("<bdi>{}</bdi> at {}", text(&card.subject), text(&card.issuer))
        };
        let _ = write!(
            out,
            "<li class=\"request\"><p><strong><bdi>{}</bdi></strong> <span class=\"faint\">({vouched})</span> for {whose}</p>\
             <p><code>{}</code></p><p class=\"faint\">since {}, last used {}, ends {}</p>\
             <form method=\"post\" action=\"/sessions/{}/end\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
             <button class=\"no\">Sign it out</button></form></li>",
            text(&card.client_name),
            text(&card.client_id),
            when(&card.created_at),
            when(&card.used_at),
            when(&card.ends_at),
            text(&card.id),
            text(&token(card)),
        );
    }
    out.push_str("</ul>");
    out
}

impl From<Unavailable> for Problem {
    fn from(_: Unavailable) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not now",
            "Sessions cannot be read or ended at the moment; the operator's log has the cause.",
        )
    }
}
