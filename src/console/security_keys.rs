//! People's security keys: the page where they register and remove theirs, and what a form that needs one
//! carries. The only pages with a script.

use std::fmt::Write;

use http::Method;

use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::html::{text, when};
use super::pages;
use super::problem::Problem;
use super::sessions::Seated;
use crate::approval::review::Reviewer;
use crate::identity::security_keys::{About, Asking, Fault, Held, SecurityKeys};

/// The script, served at `/security-keys.js`.
pub(super) const SCRIPT: &str = include_str!("security-keys.js");
/// Runs it, on a page with a form that needs it.
pub(super) const RUN: &str = "<script src=\"/security-keys.js\" defer></script>";
/// Where it says what happens.
const SAYS: &str = "<p role=\"alert\"></p><noscript><p>This needs the script of this page, which asks your browser for \
     the key.</p></noscript>";

/// How long a new key is news to its owner, in milliseconds: a week.
const NEWS: u64 = 7 * 24 * 3_600_000;

/// What an approval needs, as its page is made.
pub(super) enum Need {
    /// No key.
    Nothing,
    /// A key, and the person has none.
    Registration,
    /// A key, and a sign-in later than the one theirs was registered under.
    Later,
    /// A key: what the browser is asked for.
    Use(String),
}

/// What approving this needs of this person.
pub(super) async fn need(front: &Front, reviewer: &Reviewer, about: About) -> Result<Need, Problem> {
    let Some(keys) = &front.spec.security_keys else {
        return Ok(Need::Nothing);
    };
    Ok(match keys.ask(reviewer.signed_in(), &about).await? {
        Asking::NoKey => Need::Registration,
        Asking::Later => Need::Later,
        Asking::Options(options) => Need::Use(options),
    })
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
        Some(keys) if !answer.is_empty() => Some(keys.prove(reviewer.signed_in(), about, answer).await?),
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
            keys.register(who.signed_in(), name, made, who.key.as_ref())
                .await?;
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
    let who = pages::reviewer(front, seated);
    let held = keys.list(&who.user).await?;
    let mut out = "<h1>Your security keys</h1><section><p>Approving a request needs one of them, beyond your sign-in. A key counts \
                   from the sign-in on that follows its registration.</p></section>"
        .to_owned();
    let fresh = front.fresh(&who).is_ok();
    if !fresh {
        let why = format!(
            "A change needs a sign-in within the last {} seconds, so that it is you and not an open browser.",
            front.spec.max_age
        );
        again(&mut out, &who, &why, "/security-keys");
    }
    if held.is_empty() {
        out.push_str("<p>You have registered none.</p>");
    }
    let asking = match fresh {
        true => keys.ask(who.signed_in(), &About::Register).await?,
        false => Asking::Later,
    };
    let changes = asking != Asking::Later;
    if fresh && !changes {
        again(&mut out, &who, LATER, "/security-keys");
    }
    for key in &held {
        one(&mut out, key);
        if changes {
            remove(&mut out, front, keys, (seated, &who), &key.id).await?;
        }
        out.push_str("</section>");
    }
    if changes {
        add(&mut out, front, keys, seated, &asking).await?;
    }
    out.push_str(RUN);
    Ok(out)
}

/// What is said to somebody whose keys do not count yet.
pub(super) const LATER: &str = "Your security key was registered under this very sign-in, and counts from the next one on: a stolen session \
     registers nothing that it can use.";

/// Leads through a new sign-in and back.
pub(super) fn again(out: &mut String, who: &Reviewer, why: &str, back: &str) {
    let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let _ = write!(
        out,
        "<section class=\"care\"><p>{}</p><p><a href=\"/sign-in?issuer={}&amp;again=1&amp;back={}\">Sign in again</a></p></section>",
        text(why),
        text(&who.user.issuer),
        text(&back),
    );
}

/// What a person is told of keys that were registered for them a short while ago, wherever they look.
pub(super) async fn notice(front: &Front, who: &Reviewer) -> Result<String, Problem> {
    let Some(keys) = &front.spec.security_keys else {
        return Ok(String::new());
    };
    let now = front.spec.world.now().0;
    let mut out = String::new();
    for key in keys.list(&who.user).await? {
        if now.saturating_sub(key.created_at.0) < NEWS {
            let _ = write!(
                out,
                "<section class=\"care\"><p>A security key was registered for you at {}, under the name <q><bdi>{}</bdi></q>. If that was \
                 not you, somebody has used your sign-in: tell whoever looks after security.</p></section>",
                when(&key.created_at.rfc3339()),
                text(&key.name),
            );
        }
    }
    Ok(out)
}

fn one(out: &mut String, key: &Held) {
    let _ = write!(
        out,
        "<section><h2><bdi>{}</bdi></h2><dl><dt>Key</dt><dd><code>{}</code></dd><dt>Registered</dt><dd>{}</dd>\
         <dt>Last used</dt><dd>{}</dd></dl>",
        text(&key.name),
        text(&key.id),
        when(&key.created_at.rfc3339()),
        key.used_at.map_or("never".to_owned(), |at| when(&at.rfc3339())),
    );
}

async fn remove(
    out: &mut String,
    front: &Front,
    keys: &SecurityKeys,
    (seated, who): (&Seated, &Reviewer),
    id: &str,
) -> Result<(), Problem> {
    let about = About::Remove(id.to_owned());
    let Asking::Options(options) = keys.ask(who.signed_in(), &about).await? else {
        return Ok(());
    };
    let (attribute, field) = parts(&options);
    let _ = write!(
        out,
        "<form method=\"post\" action=\"/security-keys/{}/remove\"{attribute}>\
         <input type=\"hidden\" name=\"token\" value=\"{}\">{field}<button class=\"no\">Remove it, with a key</button></form>",
        text(id),
        text(&front.sessions.token(seated, &["security-keys", "remove", id])),
    );
    Ok(())
}

async fn add(
    out: &mut String,
    front: &Front,
    keys: &SecurityKeys,
    seated: &Seated,
    asking: &Asking,
) -> Result<(), Problem> {
    let new = match keys.ask_new(&seated.person.user).await {
        Err(Fault::TooMany) => return Ok(()),
        asked => asked?,
    };
    let (title, attribute) = match asking {
        Asking::Options(options) => ("Another key", parts(options).0),
        _ => ("A first key", String::new()),
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
            Fault::Unrecorded | Fault::RemovedUnrecorded => {
                (Status::SERVICE_UNAVAILABLE, "unrecorded", "Not recorded")
            }
            Fault::Failed => (Status::SERVICE_UNAVAILABLE, "store", "Not possible now"),
            Fault::Known | Fault::TooMany => (Status::CONFLICT, "security-key", "Not registered"),
            Fault::Name => (Status::UNPROCESSABLE_ENTITY, "name", "Name needed"),
            Fault::Stale
            | Fault::Other
            | Fault::NotYours
            | Fault::TooNew
            | Fault::Unknown
            | Fault::Refused
            | Fault::WentBack
            | Fault::KeyNeeded => (Status::FORBIDDEN, "security-key", "Security key not accepted"),
        };
        Self::new(status, kind, title, Self::sentence(&why.to_string()))
    }
}
