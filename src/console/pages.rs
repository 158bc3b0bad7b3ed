//! Pages for browsers: sign in, see, decide. They work without scripts, but for security keys.

use http::header;
use http::{HeaderMap, Method};

use super::answer::{self, Answer};
use super::front::{Asked, Front, Verb};
use super::problem::Problem;
use super::sessions::{LIFE, Seated};
use super::{events, grants, html, insight, lists, security_keys, sheet};
use crate::approval::review::{Choice, NotDecided, Reviewer};
use crate::attempts::Kind;
use crate::call::ApprovalId;
use crate::identity::security_keys::About;

const SESSION: &str = "__Host-tollgate-session";
const SIGN_IN: &str = "__Host-tollgate-signin";
/// How long a sign-in may take, in seconds; as the cookie's content says.
const SIGN_IN_SECONDS: u64 = 600;

/// Answers outside `/api`.
pub(super) enum Place {
    List,
    Show(ApprovalId),
    Act(ApprovalId, Verb),
    SignIn,
    SignedIn(String),
    SignOut,
}

/// One request to one answer.
pub(super) async fn answer(front: &Front, place: Place, asked: Asked) -> Result<Answer, Problem> {
    let (reads, acts) = (&[Method::GET, Method::HEAD][..], &[Method::POST][..]);
    match place {
        Place::List => {
            asked.only(reads)?;
            let Some(seated) = seated(front, &asked.headers) else {
                return Ok(answer::see("/sign-in?back=%2Fapprovals"));
            };
            let reviewer = reviewer(front, &seated);
            let wanted = lists::wanted(&asked, None)?;
            let body = lists::body(front, &reviewer, wanted.as_ref()).await?;
            let page = page_at(front, &seated, "/approvals", "Requests", &body);
            Ok(answer::with_events(page))
        }
        Place::Show(id) => {
            asked.only(reads)?;
            show(front, &id, &asked.headers).await
        }
        Place::Act(id, verb) => {
            asked.only(acts)?;
            act(front, &id, verb, asked).await
        }
        Place::SignIn => {
            asked.only(reads)?;
            front.attempt(Kind::Page, asked.from)?;
            sign_in(front, &asked).await
        }
        Place::SignedIn(issuer) => {
            asked.only(reads)?;
            front.attempt(Kind::Page, asked.from)?;
            signed_in(front, &issuer, &asked).await
        }
        Place::SignOut => {
            asked.only(acts)?;
            sign_out(front, asked).await
        }
    }
}

async fn show(front: &Front, id: &ApprovalId, headers: &HeaderMap) -> Result<Answer, Problem> {
    let Some(seated) = seated(front, headers) else {
        return Ok(answer::see(&format!("/sign-in?back=%2Fapprovals%2F{id}")));
    };
    let reviewer = reviewer(front, &seated);
    let shown = match front.desk.show(&reviewer, id).await {
        Err(NotDecided::StrongerSignIn(class)) => {
            let offer = sheet::stronger(&reviewer, id, &class);
            return Ok(page(front, &seated, "Request", &offer));
        }
        shown => shown?,
    };
    let token = |verb: Verb| {
        front
            .sessions
            .token(&seated, &[verb.word(), &id.0, &shown.action_sha256])
    };
    let is_fresh = front.fresh(&reviewer).is_ok();
    let need = if is_fresh && shown.card.may_decide {
        security_keys::need(front, &reviewer, approving(id, &shown.action_sha256)).await?
    } else {
        security_keys::Need::Nothing
    };
    let around = front.desk.around(&reviewer, id).await?;
    let stand = sheet::Stand {
        around: around.as_ref(),
        now: front.spec.world.now(),
        reviewer: &reviewer,
        is_fresh,
        need: &need,
        max_age: front.spec.max_age,
        tokens: [Verb::Approve, Verb::Refuse, Verb::Cancel].map(|verb| (verb, token(verb))),
    };
    let notice = security_keys::notice(front, &reviewer).await?;
    let more = grants::forms(front, &seated, &shown, &token(Verb::Approve));
    let renewed = events::parts(front, &reviewer, Some(id)).await;
    let body = notice + &sheet::sheet(&shown, &stand) + &more + &renewed;
    let page = page_at(front, &seated, "/approvals", "Request", &body);
    Ok(match need {
        security_keys::Need::Use(_) => answer::with_keys(page),
        _ => answer::with_events(page),
    })
}

fn approving(id: &ApprovalId, seen: &str) -> About {
    About::Approve {
        approval: id.0.clone(),
        action_sha256: seen.to_owned(),
    }
}

/// A decision: by a form of ours, made for this session, this request and this action, sent from our own
/// page, by somebody who signed in a moment ago.
async fn act(front: &Front, id: &ApprovalId, verb: Verb, asked: Asked) -> Result<Answer, Problem> {
    from_our_page(front, &asked.headers)?;
    let Some(seated) = seated(front, &asked.headers) else {
        return Ok(answer::see(&format!("/approvals/{id}")));
    };
    let fields = form(front, asked).await?;
    let seen = field(&fields, "action_sha256")?;
    let token = field(&fields, "token")?;
    if !front
        .sessions
        .is_token(&seated, &[verb.word(), &id.0, seen], token)
    {
        return Err(Problem::forged());
    }
    let reviewer = reviewer(front, &seated);
    if front.fresh(&reviewer).is_err() {
        return Ok(answer::see(&format!("/approvals/{id}"))); // which says so, and how to go on
    }
    match verb {
        Verb::Approve => {
            let about = approving(id, seen);
            let reviewer = security_keys::proven(front, reviewer, &about, &fields).await?;
            let choice = grants::choice(&fields)?;
            front.desk.decide(&reviewer, id, choice, seen).await?
        }
        Verb::Refuse => {
            let reason = field(&fields, "reason")?.trim().replace("\r\n", "\n");
            front
                .desk
                .decide(&reviewer, id, Choice::Refuse(reason), seen)
                .await?
        }
        Verb::Cancel => front.desk.cancel(&reviewer, id).await?,
    };
    Ok(answer::see(&format!("/approvals/{id}")))
}

async fn sign_in(front: &Front, asked: &Asked) -> Result<Answer, Problem> {
    let one = |name: &str| {
        let found = asked.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let back = one("back").filter(|back| is_ours(back)).unwrap_or("/approvals");
    let again = one("again").is_some();
    let class = one("acr").filter(|class| is_class(class));
    let ways = front.people.ways();
    let issuer = match (one("issuer"), ways.as_slice()) {
        (Some(issuer), _) => issuer,
        (None, [only]) => only.issuer.as_str(),
        (None, _) => {
            let names = ways.iter().map(|way| way.issuer.as_str());
            return Ok(answer::page(html::layout(
                "Sign in",
                None,
                &sheet::ways(names, back, again),
            )));
        }
    };
    let max_age = if again { 0 } else { front.spec.max_age };
    let begun = front
        .people
        .begin(issuer, &redirect_uri(front, issuer), back, max_age, class)
        .await?;
    let answer = answer::see(begun.url.as_str());
    Ok(answer::with_cookie(
        answer,
        SIGN_IN,
        &begun.cookie,
        SIGN_IN_SECONDS,
    ))
}

/// Whether a text can be an authentication context class: one word, since several are separated by spaces.
fn is_class(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

async fn signed_in(front: &Front, issuer: &str, asked: &Asked) -> Result<Answer, Problem> {
    let cookie = cookie(&asked.headers, SIGN_IN).unwrap_or_default();
    let finished = front
        .people
        .finish(issuer, &redirect_uri(front, issuer), cookie, &asked.query)
        .await;
    let (person, back) = match finished {
        Ok(finished) => finished,
        Err(why) => {
            front.spec.attempts.failed(Kind::Page, asked.from);
            tracing::info!(issuer, %why, "nobody signed in on the control side");
            return Ok(answer::with_cookie(Problem::from(why).page(), SIGN_IN, "", 0));
        }
    };
    // A new session for every sign-in: one that was there before could be somebody else's.
    if let Some(old) = self::cookie(&asked.headers, SESSION) {
        front.sessions.close(old);
    }
    let session = front.sessions.open(person);
    let place = if is_ours(&back) {
        back
    } else {
        "/approvals".to_owned()
    };
    let answer = answer::with_cookie(answer::see(&place), SIGN_IN, "", 0);
    Ok(answer::with_cookie(answer, SESSION, &session, LIFE.as_secs()))
}

async fn sign_out(front: &Front, asked: Asked) -> Result<Answer, Problem> {
    from_our_page(front, &asked.headers)?;
    let gone = "<h1>Signed out</h1><p><a href=\"/approvals\">Sign in</a></p>";
    let answer = answer::with_cookie(
        answer::page(html::layout("Signed out", None, gone)),
        SESSION,
        "",
        0,
    );
    let Some(seated) = seated(front, &asked.headers) else {
        return Ok(answer);
    };
    let cookie = cookie(&asked.headers, SESSION).unwrap_or_default().to_owned();
    let fields = form(front, asked).await?;
    if !front
        .sessions
        .is_token(&seated, &["sign-out"], field(&fields, "token")?)
    {
        return Err(Problem::forged());
    }
    front.sessions.close(&cookie);
    Ok(answer)
}

pub(super) fn page(front: &Front, seated: &Seated, title: &str, body: &str) -> Answer {
    page_at(front, seated, "", title, body)
}

/// A page that is one of those at the top: `here` is its path.
pub(super) fn page_at(front: &Front, seated: &Seated, here: &str, title: &str, body: &str) -> Answer {
    let token = front.sessions.token(seated, &["sign-out"]);
    let mut places = vec![("/approvals", "Requests")];
    if front.spec.grants.is_some() {
        places.push(("/grants", "For a while"));
    }
    if front.spec.sessions.is_some() {
        places.push(("/sessions", "Programs"));
    }
    let who = reviewer(front, seated);
    if front.spec.keys.as_ref().is_some_and(|desk| desk.opens_to(&who)) {
        places.push(("/keys", "API keys"));
    }
    if front.spec.security_keys.is_some() {
        places.push(("/security-keys", "Security keys"));
    }
    if front.spec.slack.is_some() {
        places.push(("/slack", "Slack"));
    }
    places.extend(insight::places(front, &who));
    let head = html::Head {
        seated,
        token: &token,
        places: &places,
        here,
    };
    answer::page(html::layout(title, Some(&head), body))
}

/// One for each issuer, so that an answer of one cannot be taken for another's (RFC 9700 4.4.2.2).
fn redirect_uri(front: &Front, issuer: &str) -> String {
    format!("{}signed-in/{issuer}", front.spec.url)
}

/// A path of ours and nothing that could lead elsewhere.
fn is_ours(path: &str) -> bool {
    if matches!(
        path,
        "/keys" | "/security-keys" | "/grants" | "/slack" | "/me" | "/policies" | "/journal"
    ) {
        return true;
    }
    let below = path.strip_prefix("/approvals");
    path == "/sessions"
        || below.is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('/')
                    .is_some_and(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        })
}

/// Browsers say where a form comes from: `Origin` always, `Sec-Fetch-Site` the newer ones. Both must say:
/// from here.
pub(super) fn from_our_page(front: &Front, headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site");
    let ours = headers.contains_key(header::ORIGIN)
        && front.names.owns_origin(headers)
        && site.is_none_or(|site| site == "same-origin");
    ours.then_some(()).ok_or_else(Problem::foreign)
}

pub(super) async fn form(front: &Front, asked: Asked) -> Result<Vec<(String, String)>, Problem> {
    let kind = asked.headers.get(header::CONTENT_TYPE);
    let essence = kind.and_then(|value| value.to_str().ok()?.split(';').next());
    if essence.map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(Problem::malformed("This is not a form of ours."));
    }
    let body = front.body(asked.body).await?;
    Ok(url::form_urlencoded::parse(&body).into_owned().collect())
}

/// A field that is there once.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Result<&'a str, Problem> {
    let mut found = fields.iter().filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(value),
        _ => Err(Problem::malformed("The form is not complete.")),
    }
}

pub(super) fn seated(front: &Front, headers: &HeaderMap) -> Option<Seated> {
    front.sessions.find(cookie(headers, SESSION)?)
}

/// A cookie that is there once: of two of the same name, nobody knows whose the first is.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter();
    let pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'));
    let mut found = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// The person who sits there.
pub(super) fn reviewer(front: &Front, seated: &Seated) -> Reviewer {
    front.reviewer(seated.person.clone())
}
