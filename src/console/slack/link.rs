//! Which account is which person: a link that the person makes, never an address that both happen to have.
//!
//! Who presses without a link is shown a code there, alone, and types it by hand on our page after a sign-in made for
//! it. No address carries the code, so no address that somebody is sent links anything; the page says whose account it
//! is before a second form confirms it; and then the account is asked whether it is that person's, and says so in Slack
//! ([`super::linking`]).

use std::fmt::Write;

use serde_json::json;

use super::api::Account;
use super::words::{head, shown};
use super::{Slack, back, card, linking};
use crate::approval::review::Reviewer;
use crate::attempts::Kind;
use crate::call::Hash;
use crate::clock::Timestamp;
use crate::console::answer::{self, Answer};
use crate::console::front::{Asked, Front};
use crate::console::html::{text, when};
use crate::console::pages;
use crate::console::problem::Problem;
use crate::console::security_keys::again;
use crate::console::sessions::Seated;
use crate::store::StoreError;
use crate::store::slack::{CodeRow, LinkRow, OfferRow};

/// Letters of a code: no vowels, so no words, and none that look alike (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many: some 43 bits, in two halves.
const LENGTH: usize = 10;
/// How long a code counts, in milliseconds.
const WITHIN: u64 = 600_000;
/// How far ahead of an identity provider's clock ours may be, in milliseconds.
const BEHIND: u64 = 60_000;
/// Somebody who has linked so many accounts links no more.
pub(super) const MOST: usize = 8;

/// Whether a link counts at `now`.
pub(super) fn stands(slack: &Slack, row: &LinkRow, now: u64) -> bool {
    let life = u64::try_from(slack.spec.link.as_millis()).unwrap_or(u64::MAX);
    now.saturating_sub(row.signed_in_at) <= life
}

/// Shows an account, and nobody else, a code and where to type it.
pub(super) async fn offer(slack: &Slack, account: &Account, channel: &str) -> Result<(), StoreError> {
    let Some(team) = slack.team.get() else {
        return Ok(());
    };
    let now = slack.world.now().0;
    let code = new_code(slack);
    let row = CodeRow {
        code: digest(&code),
        team: team.clone(),
        account: account.id.clone(),
        name: called(account),
        created_at: now,
        expires_at: now.saturating_add(WITHIN),
    };
    let mut tx = slack.parts.rows.write().await?;
    tx.keep_slack_code(&row).await?;
    tx.commit().await?;
    let (first, second) = code.split_at_checked(LENGTH / 2).unwrap_or((&code, ""));
    let words = format!(
        "Not taken: this account is not linked to a person, or its link is over.\n\
         Open the page, sign in there, and type this code: {first}-{second}\n\
         It is for you alone and counts for ten minutes. Give it to nobody: whoever types it decides through your account."
    );
    let page = format!("{}slack", slack.spec.control);
    let blocks = card::note(&words, &[card::link_button("Open the page", &page)]);
    let told = slack
        .api
        .whisper(channel, &account.id, &blocks, "Link your account");
    if let Err(fault) = told.await {
        tracing::warn!("nobody was told how to link an account: {fault}");
    }
    Ok(())
}

fn called(account: &Account) -> String {
    let name = head(&shown(&account.name, false), 80);
    match account.real_name.trim() {
        "" => name,
        real => format!("{} (@{name})", head(&shown(real, false), 80)),
    }
}

fn new_code(slack: &Slack) -> String {
    let mut code = String::new();
    while code.len() < LENGTH {
        let mut random = [0; 1];
        slack.world.random(&mut random);
        let [byte] = random;
        // 240 is the largest multiple of 20: a remainder beyond it would favour the first letters.
        if byte < 240
            && let Some(letter) = LETTERS.get(usize::from(byte % 20))
        {
            code.push(char::from(*letter));
        }
    }
    code
}

/// What a person typed, as the code is kept: case, spaces and dashes do not matter.
pub(super) fn digest(typed: &str) -> [u8; 32] {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    let code: String = letters.map(|c| c.to_ascii_uppercase()).take(64).collect();
    Hash::of(format!("slack code {code}").as_bytes()).0
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!("Slack: {error}");
        Self::new(
            http::StatusCode::SERVICE_UNAVAILABLE,
            "store",
            "Not possible now",
            "The store cannot be used at the moment.",
        )
    }
}

/// My linked accounts, and where a code is typed.
pub(super) async fn show(front: &Front, slack: &Slack, asked: &Asked) -> Result<Answer, Problem> {
    let Some(seated) = pages::seated(front, &asked.headers) else {
        return Ok(answer::see("/sign-in?again=1&back=%2Fslack"));
    };
    let body = mine(front, slack, &seated).await?;
    Ok(pages::page(front, &seated, "Slack", &body))
}

async fn mine(front: &Front, slack: &Slack, seated: &Seated) -> Result<String, Problem> {
    let who = pages::reviewer(front, seated);
    let mut out =
        "<h1>Your Slack accounts</h1><section><p>Who uses a linked account decides as you, for what may be \
                   decided by a message.</p></section>"
            .to_owned();
    let mut tx = slack.parts.rows.read().await?;
    let links = tx.slack_links(&who.user.issuer, &who.user.subject).await?;
    tx.commit().await?;
    let now = slack.world.now().0;
    for row in &links {
        let token = front
            .sessions
            .token(seated, &["slack", "unlink", &row.team, &row.account]);
        let _ = write!(
            out,
            "<section><h2><bdi>{}</bdi></h2><dl><dt>Account</dt><dd><code>{}</code> of workspace <code>{}</code></dd>\
             <dt>Linked</dt><dd>{}{}</dd></dl><form method=\"post\" action=\"/slack/unlink\">\
             <input type=\"hidden\" name=\"team\" value=\"{}\"><input type=\"hidden\" name=\"account\" value=\"{}\">\
             <input type=\"hidden\" name=\"token\" value=\"{}\"><button class=\"no\">Remove it</button></form></section>",
            text(&row.name),
            text(&row.account),
            text(&row.team),
            when(&Timestamp(row.linked_at).rfc3339()),
            if stands(slack, row, now) { "" } else { " (over)" },
            text(&row.team),
            text(&row.account),
            text(&token),
        );
    }
    if front.fresh(&who).is_err() {
        let why = "To link an account, sign in again, so that it is you and not an open browser.";
        again(&mut out, &who, why, "/slack");
        return Ok(out);
    }
    let token = front.sessions.token(seated, &["slack", "type"]);
    let _ = write!(
        out,
        "<section><h2>Link an account</h2><p>Press a button of a request in Slack: you are shown a code, you alone. Type \
         it here. Type no code that somebody sent you: their account would then decide as you.</p>\
         <form method=\"post\" action=\"/slack\" autocomplete=\"off\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label>The code <input name=\"code\" required maxlength=\"20\" autocapitalize=\"characters\" \
         spellcheck=\"false\"></label></p><button>Whose is it?</button></form></section>",
        text(&token)
    );
    Ok(out)
}

/// Who sends a form of ours about this; `None` when nobody is signed in.
async fn acting(front: &Front, asked: Asked) -> Result<Option<(Seated, Vec<(String, String)>)>, Problem> {
    pages::from_our_page(front, &asked.headers)?;
    let Some(seated) = pages::seated(front, &asked.headers) else {
        return Ok(None);
    };
    Ok(Some((seated, pages::form(front, asked).await?)))
}

fn checked(
    front: &Front,
    seated: &Seated,
    about: &[&str],
    fields: &[(String, String)],
) -> Result<(), Problem> {
    let token = pages::field(fields, "token")?;
    let ours = front.sessions.is_token(seated, about, token);
    ours.then_some(()).ok_or_else(Problem::forged)
}

/// The code's row, for somebody who signed in after it was made.
async fn meant(slack: &Slack, who: &Reviewer, code: &str) -> Result<Result<CodeRow, &'static str>, Problem> {
    let mut tx = slack.parts.rows.read().await?;
    let row = tx.slack_code(&digest(code), slack.world.now().0).await?;
    tx.commit().await?;
    let Some(row) = row else {
        return Ok(Err(
            "There is no such code, or its ten minutes are over. Press the button in Slack again.",
        ));
    };
    if who.signed_in_at.0.saturating_add(BEHIND) < row.created_at {
        return Ok(Err("Sign in again first: a link needs a sign-in made for it."));
    }
    Ok(Ok(row))
}

/// Somebody typed a code: whose account it is. Nothing is linked yet.
pub(super) async fn typed(front: &Front, slack: &Slack, asked: Asked) -> Result<Answer, Problem> {
    let from = asked.from;
    let Some((seated, fields)) = acting(front, asked).await? else {
        return Ok(back());
    };
    checked(front, &seated, &["slack", "type"], &fields)?;
    let who = pages::reviewer(front, &seated);
    if front.fresh(&who).is_err() {
        return Ok(back());
    }
    front.attempt(Kind::Page, from)?;
    let code = pages::field(&fields, "code")?;
    let row = match meant(slack, &who, code).await? {
        Ok(row) => row,
        Err(why) => {
            front.spec.attempts.failed(Kind::Page, from);
            let mut body = format!("<h1>Not linked</h1><section><p>{}</p></section>", text(why));
            again(&mut body, &who, "Or begin again.", "/slack");
            return Ok(pages::page(front, &seated, "Slack", &body));
        }
    };
    let token = front.sessions.token(&seated, &["slack", "link", code]);
    let body = format!(
        "<h1>Is this your own Slack account?</h1><section class=\"care\"><dl><dt>Account</dt><dd><strong><bdi>{}</bdi></strong> \
         <code>{}</code></dd><dt>Workspace</dt><dd><code>{}</code></dd><dt>Would decide as</dt><dd><bdi>{}</bdi> at {}</dd></dl>\
         <p>Whoever uses that account then approves and refuses in your name for {} days. If it is not yours, or somebody \
         asked you to type this code, do not link it, and tell whoever looks after security.</p></section>\
         <form method=\"post\" action=\"/slack/link\"><input type=\"hidden\" name=\"code\" value=\"{}\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\"><button class=\"yes\">It is mine: link it</button></form>\
         <p><a href=\"/slack\">No</a></p>",
        text(&row.name),
        text(&row.account),
        text(&row.team),
        text(&who.user.subject),
        text(&who.user.issuer),
        slack.spec.link.as_secs() / 86_400,
        text(code),
        text(&token),
    );
    Ok(pages::page(front, &seated, "Slack", &body))
}

/// The person confirmed, and the account is asked. Nothing is linked before it says yes in Slack.
pub(super) async fn confirmed(front: &Front, slack: &Slack, asked: Asked) -> Result<Answer, Problem> {
    let from = asked.from;
    let Some((seated, fields)) = acting(front, asked).await? else {
        return Ok(back());
    };
    let code = pages::field(&fields, "code")?;
    checked(front, &seated, &["slack", "link", code], &fields)?;
    let who = pages::reviewer(front, &seated);
    front.attempt(Kind::Page, from)?;
    if front.fresh(&who).is_err() {
        return Ok(back());
    }
    let Ok(meant) = meant(slack, &who, code).await? else {
        return Ok(back());
    };
    let now = slack.world.now().0;
    let answer = linking::new_code(slack);
    let row = OfferRow {
        code: digest(&answer),
        team: meant.team,
        account: meant.account,
        name: meant.name,
        issuer: who.user.issuer.clone(),
        subject: who.user.subject.clone(),
        groups: json!(who.user.groups).to_string(),
        signed_in_at: who.signed_in_at.0.min(now),
        expires_at: now.saturating_add(WITHIN),
    };
    let mut tx = slack.parts.rows.write().await?;
    if !tx.spend_slack_code(&meant.code).await? {
        return Ok(back());
    }
    tx.keep_slack_offer(&row, now).await?;
    tx.commit().await?; // used up, whatever becomes of it
    if let Err(fault) = linking::ask(slack, &row, &answer).await {
        tracing::warn!("an account was not asked whether it is its person's: {fault}");
        return Err(Problem::new(
            http::StatusCode::SERVICE_UNAVAILABLE,
            "slack",
            "Not linked",
            "Slack did not take the question to that account. Press a button there for a new code, and begin again.",
        ));
    }
    let body = format!(
        "<h1>One more step, in Slack</h1><section><p>The account <strong><bdi>{}</bdi></strong> <code>{}</code> was asked whether \
         it is yours, in a message of Tollgate's own. Answer there within ten minutes: until then nothing is \
         linked.</p></section><p><a href=\"/slack\">Your Slack accounts</a></p>",
        text(&row.name),
        text(&row.account),
    );
    Ok(pages::page(front, &seated, "Slack", &body))
}

/// Removes a link of this person: it takes rights away, so an older sign-in will do.
pub(super) async fn removed(front: &Front, slack: &Slack, asked: Asked) -> Result<Answer, Problem> {
    let Some((seated, fields)) = acting(front, asked).await? else {
        return Ok(back());
    };
    let (team, account) = (pages::field(&fields, "team")?, pages::field(&fields, "account")?);
    checked(front, &seated, &["slack", "unlink", team, account], &fields)?;
    let who = pages::reviewer(front, &seated).user;
    let mut tx = slack.parts.rows.write().await?;
    let mine = (who.issuer.as_str(), who.subject.as_str());
    let row = tx.slack_link(team, account).await?;
    let gone = tx.unlink_slack(mine, (team, account)).await?;
    tx.commit().await?;
    if let Some(row) = row.filter(|_| gone) {
        record(slack, "unlinked", &row).await?;
    }
    Ok(back())
}

pub(super) async fn record(slack: &Slack, what: &str, row: &LinkRow) -> Result<(), Problem> {
    let event = json!({
        "slack_account": what, "team": row.team, "account": row.account,
        "by": format!("{}#{}", row.issuer, row.subject),
    });
    if slack.parts.ledger.record(event).await {
        return Ok(());
    }
    Err(Problem::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        "unrecorded",
        "Not recorded",
        "The journal cannot be written, and without a record nothing is linked.",
    ))
}
