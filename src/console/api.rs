//! The API for programs of people: the command line, and whoever reads `/api/openapi.json`.

use axum::body::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::{self, Answer};
use super::front::{Asked, Front, Verb};
use super::keys;
use super::openapi;
use super::problem::Problem;
use crate::approval::listing::Shelf;
use crate::approval::review::{Choice, Reviewer, Wish};
use crate::attempts::Kind;
use crate::call::ApprovalId;
use crate::identity::{Bearer, Reason};

/// Answers below `/api`.
pub(super) enum Place {
    /// The description of all this.
    Description,
    /// How to sign in.
    SignIn,
    /// All requests.
    List,
    /// One request.
    Show(ApprovalId),
    /// A decision about it.
    Act(ApprovalId, Verb),
    /// API keys of services.
    Keys(keys::Place),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    action_sha256: String,
    /// For a while, too.
    #[serde(default, rename = "for")]
    wish: Option<Wish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    action_sha256: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// One request to one answer.
pub(super) async fn answer(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    if !front.names.owns_origin(&asked.headers) {
        return Err(Problem::foreign());
    }
    let (reads, acts) = (&[Method::GET, Method::HEAD][..], &[Method::POST][..]);
    match place {
        Place::Description => {
            asked.only(reads)?;
            Ok(answer::json(&openapi::document(&front.spec.url)))
        }
        Place::SignIn => {
            asked.only(reads)?;
            Ok(ways(front))
        }
        Place::List => {
            asked.only(reads)?;
            let reviewer = reviewer(front, &asked).await?;
            list(front, &reviewer, &asked).await
        }
        Place::Show(id) => {
            asked.only(reads)?;
            let reviewer = reviewer(front, &asked).await?;
            Ok(answer::json(&front.desk.show(&reviewer, &id).await?))
        }
        Place::Act(id, verb) => {
            asked.only(acts)?;
            let reviewer = reviewer(front, &asked).await?;
            act(front, &reviewer, &id, verb, asked).await
        }
        Place::Keys(place) => keys::answer(front, place, asked).await,
    }
}

async fn list(front: &Front, reviewer: &Reviewer, asked: &Asked) -> Result<Answer, Problem> {
    let wanted = super::lists::wanted(asked, Some(Shelf::All))?;
    let wanted = wanted.ok_or_else(Problem::not_found)?;
    let page = front.desk.page(reviewer, &wanted).await?;
    Ok(answer::json(&match page.next {
        Some(next) => json!({ "approvals": page.items, "next": next }),
        None => json!({ "approvals": page.items }),
    }))
}

async fn act(
    front: &Front,
    reviewer: &Reviewer,
    id: &ApprovalId,
    verb: Verb,
    asked: Asked,
) -> Result<Answer, Problem> {
    let body = body(front, reviewer, asked).await?;
    let card = match verb {
        Verb::Approve => {
            let said: Approve = parsed(&body)?;
            let seen = said.action_sha256;
            let choice = said.wish.map_or(Choice::Approve, Choice::ApproveFor);
            front.desk.decide(reviewer, id, choice, &seen).await?
        }
        Verb::Refuse => {
            let said: Refuse = parsed(&body)?;
            let choice = Choice::Refuse(said.reason);
            front
                .desk
                .decide(reviewer, id, choice, &said.action_sha256)
                .await?
        }
        Verb::Cancel => {
            let Nothing {} = parsed(&body)?;
            front.desk.cancel(reviewer, id).await?
        }
    };
    Ok(answer::json(&card))
}

/// What somebody who has just signed in sends.
pub(super) async fn acting<T: DeserializeOwned>(
    front: &Front,
    reviewer: &Reviewer,
    asked: Asked,
) -> Result<T, Problem> {
    parsed(&body(front, reviewer, asked).await?)
}

async fn body(front: &Front, reviewer: &Reviewer, asked: Asked) -> Result<Bytes, Problem> {
    front.fresh(reviewer)?;
    if !is_json(&asked.headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Unsupported media type",
            "Send application/json.",
        ));
    }
    front.body(asked.body).await
}

/// Only the Authorization header carries a credential here: never a cookie, the query or the body.
pub(super) async fn reviewer(front: &Front, asked: &Asked) -> Result<Reviewer, Problem> {
    let mut credentials = asked.headers.get_all(header::AUTHORIZATION).iter();
    let first = credentials.next();
    if credentials.next().is_some() {
        return Err(Problem::malformed("There is more than one Authorization header."));
    }
    let text = match first.map(|value| value.to_str()) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(Problem::unauthenticated(Reason::Malformed)),
    };
    let bearer = Bearer::from_authorization(text);
    let counts = bearer.0.is_some();
    if counts {
        front.attempt(Kind::Credential, asked.from)?;
    }
    let admitted = front.people.admit(bearer).await;
    if counts && admitted.is_ok() {
        front.spec.attempts.give_back(Kind::Credential, asked.from);
    }
    let person = admitted.map_err(Problem::unauthenticated)?;
    Ok(front.reviewer(person))
}

fn ways(front: &Front) -> Answer {
    let ways: Vec<_> = front
        .people
        .ways()
        .into_iter()
        .map(|way| {
            json!({
                "name": way.issuer,
                "url": way.url,
                "client_id": way.client_id,
                "public": way.is_public,
                "acr_values": way.acr_values,
            })
        })
        .collect();
    answer::json(&json!({"issuers": ways, "max_age_seconds": front.spec.max_age}))
}

pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde names at most the member; a value is never repeated.
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "The body has a member too many, too few, or of another type"
            }
            _ => "The body is not JSON",
        };
        Problem::malformed(format!("{what}: see /api/openapi.json."))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = one.to_str().ok().and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
