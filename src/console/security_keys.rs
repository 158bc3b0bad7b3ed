//! People's security keys: the page where they register and remove theirs, and what a form that needs one
//! carries. The only pages with a script.

use std::fmt::Write;

use http::Method;

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::html::text;
use super::pages;
use super::problem::Problem;
use super::sessions::Seated;
use crate::approval::review::Reviewer;
use crate::clock::Timestamp;
use crate::identity::security_keys::{About, Fault, Held, SecurityKeys};

/// The script, served at `/security-keys.js`.
pub(super) const SCRIPT: &str = include_str!("security-keys.js");
/// Runs it, on a page with a form that needs it.
pub(super) const RUN: &str = "<script src=\"/security-keys.js\" defer></script>";
/// Where it says what happens.
const SAYS: &str = "<p role=\"alert\"></p><noscript><p>This needs the script of this page, which asks your browser for \
     the key.</p></noscript>";

/// What an approval needs, as its page is made.
pub(super) enum Need {
    /// No key.
    Nothing,
    /// A key, and the person has none.
    Registration,
    /// A key: what the browser is asked for.
    Use(String),
}

/// What approving this needs of this person.
pub(super) async fn need(front: &Front, reviewer: &Reviewer, about: About) -> Result<Need, Problem> {
    let Some(keys) = &front.spec.security_keys else {
        return Ok(Need::Nothing);
    };
    Ok(keys
        .ask(&reviewer.user, about)
        .await?
        .map_or(Need::Registration, Need::Use))
}

/// The attribute and the field of a form whose sending asks for a key.
pub(super) fn parts(options: &str) -> (String, String) {
    (
        format!(" data-use=\"{}\"", text(options)),
        format!("<input type=\"hidden\" name=\"assertion\">{SAYS}"),
    )
}

/// The same person, with the proof that a form carries for this, if it carries one.
pub(super) async fn proven(
    front: &Front,
    reviewer: Reviewer,
    about: &About,
    fields: &[(String, String)],
) -> Result<Reviewer, Problem> {
    let answer = pages::field(fields, "assertion").unwrap_or_default();
    let key = match &front.spec.security_keys {
        Some(keys) if !answer.is_empty() => Some(keys.prove(&reviewer.user, about, answer).await?),
        _ => None,
    };
    Ok(Reviewer { key, ..reviewer })
}

/// One request to the pages at `/security-keys`.
pub(super) async fn page(front: &Front, rest: &[&str], asked: Asked) -> Result<Answer, Problem> {
    let keys = front.spec.security_keys.clone();
    let keys = keys.as_deref().ok_or_else(Problem::not_found)?;
    match rest {
        [] if asked.method != Method::POST => {
            asked.only(&[Method::GET, Method::HEAD, Method::POST])?;
            let Some(seated) = pages::seated(front, &asked.headers) else {
                return Ok(answer::see("/sign-in?back=%2Fsecurity-keys"));
            };
            let body = list(front, keys, &seated).await?;
            Ok(answer::with_keys(pages::page(
                front,
                &seated,
                "Security keys",
                &body,
            )))
        }
        [] => {
            let Some((who, fields)) = acting(front, asked, &["security-keys", "register"]).await? else {
                return Ok(answer::see("/security-keys")); // which says what is missing
            };
            let who = proven(front, who, &About::Register, &fields).await?;
            let name = pages::field(&fields, "name")?;
            let made = pages::field(&fields, "registration")?;
            keys.register(&who.user, name, made, who.key.as_ref()).await?;
            Ok(answer::see("/security-keys"))
        }
        [id, "remove"] => {
            asked.only(&[Method::POST])?;
            let Some((who, fields)) = acting(front, asked, &["security-keys", "remove", id]).await? else {
                return Ok(answer::see("/security-keys"));
            };
            let who = proven(front, who, &About::Remove((*id).to_owned()), &fields).await?;
            let proof = who.key.as_ref().ok_or(Fault::KeyNeeded)?;
            keys.remove(&who.user, id, proof).await?;
            Ok(answer::see("/security-keys"))
        }
        _ => Err(Problem::not_found()),
    }
}

/// Who sends a form of ours, about this, freshly signed in; nobody, when that is what is missing.
async fn acting(
    front: &Front,
    asked: Asked,
    about: &[&str],
) -> Result<Option<(Reviewer, Vec<(String, String)>)>, Problem> {
    pages::from_our_page(front, &asked.headers)?;
    let Some(seated) = pages::seated(front, &asked.headers) else {
        return Ok(None);
    };
    let fields = pages::form(front, asked).await?;
    let token = pages::field(&fields, "token")?;
    if !front.sessions.is_token(&seated, about, token) {
        return Err(Problem::forged());
    }
    let who = pages::reviewer(front, &seated);
    Ok(front.fresh(&who).is_ok().then_some((who, fields)))
}

async fn list(front: &Front, keys: &SecurityKeys, seated: &Seated) -> Result<String, Problem> {
    let user = &seated.person.user;
    let held = keys.list(user).await?;
    let fresh = front.fresh(&pages::reviewer(front, seated)).is_ok();
    let mut out = "<h1>Your security keys</h1><section><p>Approving a request needs one of them, beyond your sign-in.</p></section>"
        .to_owned();
    if !fresh {
        let _ = write!(
            out,
            "<section class=\"care\"><p>A change needs a sign-in within the last {} seconds, so that it is you and not an open browser.</p>\
             <p><a href=\"/sign-in?issuer={}&amp;again=1&amp;back=%2Fsecurity-keys\">Sign in again to change something</a></p></section>",
            front.spec.max_age,
            text(&user.issuer)
        );
    }
    if held.is_empty() {
        out.push_str("<p>You have registered none.</p>");
    }
    for key in &held {
        one(&mut out, key);
        if fresh {
            let about = About::Remove(key.id.clone());
            let (attribute, field) = parts(&keys.ask(user, about).await?.unwrap_or_default());
            let _ = write!(
                out,
                "<form method=\"post\" action=\"/security-keys/{}/remove\"{attribute}>\
                 <input type=\"hidden\" name=\"token\" value=\"{}\">{field}<button class=\"no\">Remove it, with a key</button></form>",
                text(&key.id),
                text(
                    &front
                        .sessions
                        .token(seated, &["security-keys", "remove", &key.id])
                ),
            );
        }
        out.push_str("</section>");
    }
    if fresh {
        add(&mut out, front, keys, seated).await?;
    }
    out.push_str(RUN);
    Ok(out)
}

fn one(out: &mut String, key: &Held) {
    let _ = write!(
        out,
        "<section><h2><bdi>{}</bdi></h2><dl><dt>Key</dt><dd><code>{}</code></dd><dt>Registered</dt><dd>{}</dd>\
         <dt>Last used</dt><dd>{}</dd></dl>",
        text(&key.name),
        text(&key.id),
        key.created_at.rfc3339(),
        key.used_at.map_or("never".to_owned(), Timestamp::rfc3339),
    );
}

async fn add(out: &mut String, front: &Front, keys: &SecurityKeys, seated: &Seated) -> Result<(), Problem> {
    let user = &seated.person.user;
    let new = match keys.ask_new(user).await {
        Err(Fault::TooMany) => return Ok(()),
        asked => asked?,
    };
    let used = keys.ask(user, About::Register).await?;
    let (title, attribute) = match &used {
        Some(options) => ("Another key", parts(options).0),
        None => ("A first key", String::new()),
    };
    let _ = write!(
        out,
        "<section><h2>{title}</h2><form method=\"post\" action=\"/security-keys\" autocomplete=\"off\"{attribute} data-make=\"{}\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\"><input type=\"hidden\" name=\"registration\">\
         <input type=\"hidden\" name=\"assertion\">\
         <p><label>Its name <input name=\"name\" required maxlength=\"64\"></label></p>{SAYS}\
         <button class=\"yes\">Register it</button></form></section>",
        text(&new),
        text(&front.sessions.token(seated, &["security-keys", "register"])),
    );
    Ok(())
}

impl From<Fault> for Problem {
    fn from(why: Fault) -> Self {
        use http::StatusCode as Status;
        let (status, kind, title) = match why {
            Fault::Malformed => (Status::BAD_REQUEST, "malformed", "Malformed request"),
            Fault::Unrecorded => (Status::SERVICE_UNAVAILABLE, "unrecorded", "Not recorded"),
            Fault::Failed => (Status::SERVICE_UNAVAILABLE, "store", "Not possible now"),
            Fault::Known | Fault::TooMany => (Status::CONFLICT, "security-key", "Not registered"),
            Fault::Name => (Status::UNPROCESSABLE_ENTITY, "name", "Name needed"),
            Fault::Stale
            | Fault::Other
            | Fault::NotYours
            | Fault::Refused
            | Fault::WentBack
            | Fault::KeyNeeded => (Status::FORBIDDEN, "security-key", "Security key not accepted"),
        };
        Self::new(status, kind, title, Self::sentence(&why.to_string()))
    }
}
