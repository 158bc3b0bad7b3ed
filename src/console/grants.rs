//! Approvals for a while, stand-ins, and broken glass: what people see of them and do about them.
//!
//! Revoking a grant and ending a delegation take rights away and need no fresh sign-in; what gives a right does.

mod standing;

use std::fmt::Write;

use futures::future::BoxFuture;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::html::{exact, query, text, when};
use super::problem::Problem;
use super::sessions::Seated;
use crate::approval::break_glass::BrokenGlass;
use crate::approval::delegation::{Delegate, DelegationCard};
use crate::approval::grants::GrantCard;
use crate::approval::review::{Card, Choice, NotDecided, Offer, Reviewer, Sheet, Wish};
use crate::approval::stats::Stats;
use crate::call::ApprovalId;

/// What the control side needs of whoever keeps these; see [`crate::approval::Approvals`] for each.
#[expect(missing_docs, reason = "each is the method of that name of Approvals")]
pub trait GrantDesk: Send + Sync + std::fmt::Debug {
    fn grants<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Vec<GrantCard>, NotDecided>>;
    fn revoke<'a>(&'a self, reviewer: &'a Reviewer, id: &'a str) -> BoxFuture<'a, Result<(), NotDecided>>;
    fn delegations<'a>(
        &'a self,
        reviewer: &'a Reviewer,
    ) -> BoxFuture<'a, Result<Vec<DelegationCard>, NotDecided>>;
    fn delegate<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        wish: &'a Delegate,
    ) -> BoxFuture<'a, Result<DelegationCard, NotDecided>>;
    fn delegation_days(&self) -> u32;
    fn end_delegation<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a str,
    ) -> BoxFuture<'a, Result<(), NotDecided>>;
    fn broken_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
    ) -> BoxFuture<'a, Result<Vec<BrokenGlass>, NotDecided>>;
    fn break_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        reason: &'a str,
        seen: &'a str,
    ) -> BoxFuture<'a, Result<Card, NotDecided>>;
    fn review_broken_glass<'a>(
        &'a self,
        reviewer: &'a Reviewer,
        id: &'a ApprovalId,
        words: &'a str,
    ) -> BoxFuture<'a, Result<(), NotDecided>>;
    fn stats<'a>(&'a self, reviewer: &'a Reviewer) -> BoxFuture<'a, Result<Stats, NotDecided>>;
}

/// What is done there. Ids are of the form that ours have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Grants,
    Revoke(String),
    Delegations,
    EndDelegation(String),
    Broken,
    Break(String),
    Review(String),
    Stats,
}

/// Which of them a path names.
pub(super) fn place(path: &[&str]) -> Option<Place> {
    let ours = |id: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        id.len() == 32 && id.bytes().all(fits)
    };
    Some(match path {
        ["grants"] => Place::Grants,
        ["grants", id, "revoke"] if ours(id) => Place::Revoke((*id).to_owned()),
        ["delegations"] => Place::Delegations,
        ["delegations", id, "end"] if ours(id) => Place::EndDelegation((*id).to_owned()),
        ["break-glass"] => Place::Broken,
        ["approvals", id, "break-glass"] if ours(id) => Place::Break((*id).to_owned()),
        ["break-glass", id, "review"] if ours(id) => Place::Review((*id).to_owned()),
        ["stats"] => Place::Stats,
        _ => return None,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Break {
    action_sha256: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    words: String,
}

fn desk(front: &Front) -> Result<&dyn GrantDesk, Problem> {
    front.spec.grants.as_deref().ok_or_else(Problem::not_found)
}

/// The API.
pub(super) async fn api(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    let makes = place == Place::Delegations && asked.method == Method::POST;
    match place {
        Place::Grants | Place::Broken | Place::Stats => asked.only(&[Method::GET, Method::HEAD])?,
        Place::Delegations => asked.only(&[Method::GET, Method::HEAD, Method::POST])?,
        _ => asked.only(&[Method::POST])?,
    }
    let desk = desk(front)?;
    let reviewer = &super::api::reviewer(front, &asked).await?;
    let done = match place {
        Place::Grants => json!({ "grants": desk.grants(reviewer).await? }),
        Place::Stats => json!(desk.stats(reviewer).await?),
        Place::Delegations if makes => {
            let wish: Delegate = super::api::acting(front, reviewer, asked).await?;
            json!(desk.delegate(reviewer, &wish).await?)
        }
        Place::Delegations => json!({ "delegations": desk.delegations(reviewer).await? }),
        Place::Broken => json!({ "break_glass": desk.broken_glass(reviewer).await? }),
        Place::Revoke(id) => {
            desk.revoke(reviewer, &id).await?;
            json!({ "id": id, "state": "revoked" })
        }
        Place::EndDelegation(id) => {
            desk.end_delegation(reviewer, &id).await?;
            json!({ "id": id, "state": "over" })
        }
        Place::Break(id) => {
            let said: Break = super::api::acting(front, reviewer, asked).await?;
            let (id, seen) = (ApprovalId(id), &said.action_sha256);
            json!(desk.break_glass(reviewer, &id, &said.reason, seen).await?)
        }
        Place::Review(id) => {
            let said: Review = super::api::acting(front, reviewer, asked).await?;
            let named = ApprovalId(id);
            desk.review_broken_glass(reviewer, &named, &said.words).await?;
            json!({ "id": named, "state": "reviewed" })
        }
    };
    Ok(answer::json(&done))
}

/// The pages.
pub(super) async fn page(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    let desk = desk(front)?;
    let acts = match place {
        Place::Grants => false,
        Place::Delegations => true,
        Place::Revoke(_) | Place::EndDelegation(_) | Place::Break(_) | Place::Review(_) => true,
        Place::Broken | Place::Stats => return Err(Problem::not_found()),
    };
    if !acts {
        asked.only(&[Method::GET, Method::HEAD])?;
        let Some(seated) = super::pages::seated(front, &asked.headers) else {
            return Ok(answer::see("/sign-in?back=%2Fgrants"));
        };
        let reviewer = super::pages::reviewer(front, &seated);
        let body = overview(front, desk, &seated, &reviewer).await?;
        return Ok(super::pages::page(front, &seated, "For a while", &body));
    }
    act(front, desk, place, asked).await
}

async fn act(front: &Front, desk: &dyn GrantDesk, place: Place, asked: Asked) -> Result<Answer, Problem> {
    asked.only(&[Method::POST])?;
    super::pages::from_our_page(front, &asked.headers)?;
    let Some(seated) = super::pages::seated(front, &asked.headers) else {
        return Ok(answer::see("/grants"));
    };
    let fields = super::pages::form(front, asked).await?;
    let field = |name| super::pages::field(&fields, name);
    let (word, id) = match &place {
        Place::Revoke(id) => ("revoke", id.as_str()),
        Place::Delegations => ("delegate", ""),
        Place::EndDelegation(id) => ("end-delegation", id.as_str()),
        Place::Review(id) => ("review", id.as_str()),
        Place::Break(id) => ("break-glass", id.as_str()),
        _ => return Err(Problem::not_found()),
    };
    let seen = if word == "break-glass" {
        field("action_sha256")?
    } else {
        ""
    };
    if !front
        .sessions
        .is_token(&seated, &[word, id, seen], field("token")?)
    {
        return Err(Problem::forged());
    }
    let reviewer = super::pages::reviewer(front, &seated);
    let back = if word == "break-glass" {
        format!("/approvals/{id}")
    } else {
        "/grants".to_owned()
    };
    let gives = matches!(place, Place::Break(_) | Place::Review(_) | Place::Delegations);
    if gives && front.fresh(&reviewer).is_err() {
        return Ok(answer::see(&back)); // which says so
    }
    let named = ApprovalId(id.to_owned());
    match &place {
        Place::Revoke(id) => desk.revoke(&reviewer, id).await?,
        Place::EndDelegation(id) => desk.end_delegation(&reviewer, id).await?,
        Place::Delegations => {
            for wish in standing::wishes(&fields, front.spec.world.now())? {
                desk.delegate(&reviewer, &wish).await?;
            }
        }
        Place::Review(_) => {
            desk.review_broken_glass(&reviewer, &named, field("words")?)
                .await?
        }
        _ => {
            desk.break_glass(&reviewer, &named, field("reason")?, seen)
                .await?;
        }
    }
    Ok(answer::see(&back))
}

/// The choice that a form of approval makes: once, or for a while.
pub(super) fn choice(fields: &[(String, String)]) -> Result<Choice, Problem> {
    let one = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
    };
    if one("minutes").is_none() {
        return Ok(Choice::Approve);
    }
    let number = |name: &str| {
        let number = one(name).and_then(|value| value.parse().ok());
        number.ok_or_else(|| Problem::malformed("Minutes and uses are whole numbers."))
    };
    let rows = one("rows").filter(|rows| !rows.is_empty());
    let rows = rows.map(str::parse).transpose();
    let free = fields.iter().filter(|(key, _)| key == "free");
    Ok(Choice::ApproveFor(Wish {
        minutes: number("minutes")?,
        uses: number("uses")?,
        rows: rows.map_err(|_| Problem::malformed("Rows are a whole number."))?,
        session: one("session").is_some(),
        free: free.map(|(_, value)| value.clone()).collect(),
    }))
}

/// Below a request: approving it for a while, where that is offered, and going on alone, where that is.
/// `approve` is the token of the form that approves it once: this one gives the same right, and more.
pub(super) fn forms(front: &Front, seated: &Seated, shown: &Sheet, approve: &str) -> String {
    let mut out = String::new();
    if front.fresh(&super::pages::reviewer(front, seated)).is_err() {
        return out;
    }
    let (id, seen) = (text(&shown.card.id.0), text(&shown.action_sha256));
    if let Some(offer) = shown.offer.as_ref().filter(|_| shown.card.may_decide) {
        for_a_while(&mut out, offer, (&id, &seen), approve);
    }
    if shown.may_break_glass {
        let token = front
            .sessions
            .token(seated, &["break-glass", &shown.card.id.0, &shown.action_sha256]);
        let _ = write!(
            out,
            "<section class=\"decide\"><h2>Emergency</h2><p>You may go on without the people who are asked. Every channel \
             is told at once, with your reason, and somebody else reviews it afterwards.</p>\
             <form method=\"post\" action=\"/approvals/{id}/break-glass\" autocomplete=\"off\">\
             <input type=\"hidden\" name=\"action_sha256\" value=\"{seen}\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
             <label for=\"emergency\">Why can this not wait?</label>\
             <textarea id=\"emergency\" name=\"reason\" required maxlength=\"500\"></textarea>\
             <button class=\"no\">Break the glass</button></form></section>",
            text(&token)
        );
    }
    out
}

fn for_a_while(out: &mut String, offer: &Offer, (id, seen): (&str, &str), approve: &str) {
    let _ = write!(
        out,
        "<section class=\"decide\"><h2>Or approve it for a while</h2><p>The same call by the same person through \
         the same program then runs without asking, within these bounds, until somebody revokes it. All who make up \
         the quorum have to say so in the same words.</p>\
         <form method=\"post\" action=\"/approvals/{id}/approve\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"action_sha256\" value=\"{seen}\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label>Minutes (at most {minutes}) <input name=\"minutes\" type=\"number\" min=\"1\" max=\"{minutes}\" value=\"{}\" required></label>\
         <label>Further uses (at most {uses}) <input name=\"uses\" type=\"number\" min=\"1\" max=\"{uses}\" value=\"1\" required></label>",
        text(approve),
        offer.minutes.min(30),
        minutes = offer.minutes,
        uses = offer.uses,
    );
    if let Some(rows) = offer.rows {
        let _ = write!(
            out,
            "<label>Rows of each use (at most {rows}) <input name=\"rows\" type=\"number\" min=\"0\" max=\"{rows}\" value=\"{rows}\"></label>"
        );
    }
    if offer.needs_rows && !offer.free.is_empty() {
        out.push_str(
            "<label>Rows of each use (needed where you free something) <input name=\"rows\" type=\"number\" min=\"1\"></label>",
        );
    }
    out.push_str(
        "<label><input type=\"checkbox\" name=\"session\" value=\"1\"> Only in this session</label>",
    );
    if !offer.free.is_empty() {
        out.push_str("<fieldset><legend>Everything stays as it is, but for what you free here</legend>");
        for (name, value) in &offer.free {
            let _ = write!(
                out,
                "<label><input type=\"checkbox\" name=\"free\" value=\"{}\"> {}: <code>{}</code></label>",
                text(name),
                text(name),
                text(&value.to_string())
            );
        }
        out.push_str("</fieldset>");
    }
    out.push_str("<button>Approve, and calls like it for a while</button></form></section>");
}

async fn overview(
    front: &Front,
    desk: &dyn GrantDesk,
    seated: &Seated,
    reviewer: &Reviewer,
) -> Result<String, Problem> {
    let token = |word: &str, id: &str| front.sessions.token(seated, &[word, id, ""]);
    let mut out =
        String::from("<h1>For a while</h1><section><h2>Approved for a while</h2><ul class=\"list\">");
    let grants = desk.grants(reviewer).await?;
    if grants.is_empty() {
        out.push_str("<li>Nothing that you may see is approved for a while.</li>");
    }
    for card in &grants {
        grant(&mut out, card);
        if card.may_revoke {
            button(
                &mut out,
                &format!("/grants/{}/revoke", card.id),
                &token("revoke", &card.id),
                "Revoke it",
            );
        }
        out.push_str("</li>");
    }
    out.push_str("</ul></section>");
    let delegations = desk.delegations(reviewer).await?;
    standing::list(&mut out, &delegations, |id| token("end-delegation", id));
    let names = token("delegate", "");
    standing::form(&mut out, front, reviewer, (desk.delegation_days(), &names));
    let all = desk.broken_glass(reviewer).await?;
    broken(&mut out, &all, front.fresh(reviewer).is_ok(), token);
    if all.iter().any(|one| one.may_review) && front.fresh(reviewer).is_err() {
        again(
            &mut out,
            front,
            reviewer,
            "Closing a review",
            "Sign in again to close a review",
        );
    }
    Ok(out)
}

fn button(out: &mut String, path: &str, token: &str, words: &str) {
    let _ = write!(
        out,
        "<form method=\"post\" action=\"{path}\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <button class=\"no\">{words}</button></form>",
        text(token)
    );
}

fn grant(out: &mut String, card: &GrantCard) {
    let people: Vec<String> = card.approved_by.iter().map(|one| text(&one.subject)).collect();
    let free: Vec<String> = card.free.iter().map(|name| text(name)).collect();
    let _ = write!(
        out,
        "<li class=\"request\"><p class=\"title\"><a href=\"/approvals/{}\"><code>{}</code> on <code>{}</code></a> \
         <span class=\"state\">{}</span></p>\
         <p>for <bdi>{}</bdi>, through <bdi>{}</bdi>; agreed to by <bdi>{}</bdi></p>\
         <p class=\"faint\">{} of {} uses left, until {}{}{}; {}</p>",
        text(&card.approval),
        text(&card.tool),
        text(card.resource.as_deref().unwrap_or("nothing")),
        text(&card.state),
        text(&card.requester),
        text(&card.agent),
        people.join(", "),
        card.uses_left,
        card.uses,
        when(&card.ends_at),
        if card.session.is_some() {
            ", in one session"
        } else {
            ""
        },
        card.rows
            .map_or_else(String::new, |rows| format!(", at most {rows} rows each")),
        if free.is_empty() {
            "nothing is free".to_owned()
        } else {
            format!("free: {}", free.join(", "))
        },
    );
    if let Some(runs) = card.call.as_ref().and_then(|call: &Value| call.get("runs")) {
        let _ = write!(
            out,
            "<pre>{}</pre>",
            exact(&serde_json::to_string_pretty(runs).unwrap_or_default())
        );
    }
}

/// Why there is no form here, and how to have it.
fn again(out: &mut String, front: &Front, reviewer: &Reviewer, what: &str, words: &str) {
    let asked = [
        ("issuer", reviewer.user.issuer.as_str()),
        ("again", "1"),
        ("back", "/grants"),
    ];
    let _ = write!(
        out,
        "<p>{what} needs a sign-in within the last {} seconds, so that it is you and not an open browser.</p>\
         <p><a href=\"/sign-in?{}\">{words}</a></p>",
        front.spec.max_age,
        query(&asked)
    );
}

fn broken(out: &mut String, all: &[BrokenGlass], is_fresh: bool, token: impl Fn(&str, &str) -> String) {
    if all.is_empty() {
        return;
    }
    out.push_str("<section><h2>Went on without approval</h2><ul class=\"list\">");
    for one in all {
        let _ = write!(
            out,
            "<li class=\"request\"><p><a href=\"/approvals/{}\"><code>{}</code></a> by <bdi>{}</bdi> at {}</p><p><q><bdi>{}</bdi></q></p>",
            text(&one.approval),
            text(&one.tool),
            text(&one.by),
            when(&one.at),
            text(&one.reason),
        );
        if let (Some(by), Some(words)) = (&one.reviewed_by, &one.review) {
            let _ = write!(
                out,
                "<p>Reviewed by <bdi>{}</bdi>: <q><bdi>{}</bdi></q></p>",
                text(by),
                text(words)
            );
        } else {
            out.push_str("<p><strong>Nobody has reviewed it.</strong></p>");
        }
        if one.may_review && is_fresh {
            let id = &one.approval;
            let _ = write!(
                out,
                "<form method=\"post\" action=\"/break-glass/{id}/review\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <label for=\"review-{id}\">What did you find?</label>\
                 <textarea id=\"review-{id}\" name=\"words\" required maxlength=\"500\"></textarea>\
                 <button>Close the review</button></form>",
                text(&token("review", id)),
            );
        }
        out.push_str("</li>");
    }
    out.push_str("</ul></section>");
}
