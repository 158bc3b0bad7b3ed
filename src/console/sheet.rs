//! One request as a person reads it: our words first, what was measured, the exact text, and last and
//! apart what the agent says about itself.

mod around;
mod effect;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::Around;
use super::front::Verb;
use super::html::{exact, text, when_from};
use super::security_keys::{self, Need};
use crate::approval::review::{Card, Reviewer, Sheet, State};
use crate::call::ApprovalId;
use crate::clock::Timestamp;

/// Who looks, and what they may do.
pub(super) struct Stand<'a> {
    pub(super) reviewer: &'a Reviewer,
    pub(super) is_fresh: bool,
    pub(super) max_age: u64,
    pub(super) need: &'a Need,
    pub(super) tokens: [(Verb, String); 3],
    pub(super) around: Option<&'a Around>,
    pub(super) now: Timestamp,
}

/// What a state is called.
pub(super) fn words(state: State) -> &'static str {
    match state {
        State::Pending => "waiting for a decision",
        State::Granted => "approved, not yet carried out",
        State::Refused => "refused",
        State::Expired => "expired",
        State::Cancelled => "cancelled",
        State::Spent => "carried out",
        State::Unknown => "outcome unknown: look at the target",
    }
}

/// Instead of a request: its policy wants a stronger sign-in of whoever decides it.
pub(super) fn stronger(reviewer: &Reviewer, id: &ApprovalId, class: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("issuer", &reviewer.user.issuer)
        .append_pair("again", "1")
        .append_pair("acr", class)
        .append_pair("back", &format!("/approvals/{id}"))
        .finish();
    format!(
        "<h1>Request</h1><section><p>You are one of those who are asked, and policy wants a stronger sign-in for it than \
         yours.</p><p><a href=\"/sign-in?{}\">Sign in again, more strongly</a></p></section>",
        text(&query)
    )
}

/// Where people of several issuers choose theirs.
pub(super) fn ways<'a>(issuers: impl Iterator<Item = &'a str>, back: &str, again: bool) -> String {
    let mut out = String::from("<h1>Sign in</h1><section>");
    let mut none = true;
    for issuer in issuers {
        none = false;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("issuer", issuer)
            .append_pair("back", back)
            .extend_pairs(again.then_some(("again", "1")))
            .finish();
        let _ = write!(
            out,
            "<p><a href=\"/sign-in?{}\">Sign in at {}</a></p>",
            text(&query),
            text(issuer)
        );
    }
    if none {
        out.push_str("<p>Nobody can sign in: no [[issuer]] has a control_audience.</p>");
    }
    out.push_str("</section>");
    out
}

/// One request with everything a person decides on.
pub(super) fn sheet(shown: &Sheet, stand: &Stand<'_>) -> String {
    let mut out = head(shown, stand);
    effect::effect(&mut out, shown);
    around::unmeasured(&mut out, shown);
    around::touches(&mut out, shown);
    arguments(&mut out, shown);
    because(&mut out, shown);
    out.push_str("<div data-part=\"history\">");
    history(&mut out, shown, stand.now);
    out.push_str("</div>");
    around::earlier(&mut out, stand.around, stand.now);
    claimed(&mut out, shown);
    out.push_str("<div data-part=\"decide\">");
    decide(&mut out, shown, stand);
    out.push_str("</div>");
    out
}

/// What is asked for: the tool, and on what.
pub(super) fn subject(card: &Card) -> String {
    match &card.resource {
        Some(resource) => format!(
            "<code>{}</code> on <code>{}</code>",
            text(&card.tool),
            text(resource)
        ),
        None => format!("<code>{}</code>", text(&card.tool)),
    }
}

fn head(shown: &Sheet, stand: &Stand<'_>) -> String {
    let (card, now) = (&shown.card, stand.now);
    let mut out = format!(
        "<h1>May {} run {}?</h1><div data-part=\"state\"><section><dl>",
        text(&card.agent),
        subject(card)
    );
    let mut row = |name: &str, value: String| {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    row(
        "State",
        format!(
            "<span class=\"state {}\">{}</span>",
            card.state.as_str(),
            text(words(card.state))
        ),
    );
    row("Asked by", format!("<bdi>{}</bdi>", text(&card.requester)));
    let program = stand.around.and_then(|around| around.program.as_ref());
    row("Through", around::program(&card.agent, program));
    row(
        "Who decides",
        or_nobody(
            seats(card)
                .into_iter()
                .map(|(group, count)| format!("{count} of <bdi>{}</bdi>", text(group))),
        ),
    );
    row(
        "Approved so far",
        or_nobody(
            card.approved_by
                .iter()
                .map(|one| format!("<bdi>{}</bdi> ({})", text(&one.subject), text(&one.issuer))),
        ),
    );
    row("Asked at", when_from(&card.created_at, now));
    row(
        "Decide by",
        format!(
            "{} <span class=\"faint\">(afterwards it is refused)</span>",
            when_from(&card.decide_by, now)
        ),
    );
    if let Some(execute_by) = &card.execute_by {
        row("Run by", when_from(execute_by, now));
    }
    row("Action", format!("<code>{}</code>", text(&shown.action_sha256)));
    out.push_str("</dl>");
    if card.may_decide {
        out.push_str("<p><a href=\"#decide\">To your decision</a></p>");
    }
    out.push_str("</section></div>");
    out
}

/// Names of people as a list.
fn or_nobody(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return "nobody".to_owned();
    }
    names.join(", ")
}

/// How many people of which group: one person counts in each policy that asks, so the most that one of
/// them asks for is what it takes.
fn seats(card: &Card) -> BTreeMap<&str, u32> {
    let mut seats = BTreeMap::new();
    for (count, group) in &card.asks {
        let most = seats.entry(group.as_str()).or_insert(0);
        *most = (*count).max(*most);
    }
    seats
}

/// The exact text, as the executing adapter gets it: what has its own form as such, and everything as JSON.
fn arguments(out: &mut String, shown: &Sheet) {
    out.push_str("<section><h2>Exactly what would run</h2>");
    match &shown.arguments {
        None => out.push_str("<p>The request is final, and its arguments have been erased.</p>"),
        Some(arguments) => {
            let runs = shown.runs.as_ref().unwrap_or(arguments);
            for name in ["statement", "command", "script"] {
                if let Some(words) = runs.get(name).and_then(Value::as_str) {
                    numbered(out, name, words.split('\n').map(exact));
                }
            }
            if let Some(words) = runs.get("argv").and_then(Value::as_array) {
                let words = words.iter().map(|word| text(&plain(word)));
                numbered(out, "argv, one word a number", words);
            }
            foreign(out, runs);
            if let Some(runs) = &shown.runs {
                json(out, "all of it, as JSON", runs, is_more(runs));
            }
            // Open, where the agent sent other words than those that run.
            let open = match &shown.runs {
                Some(runs) => bare(arguments) != bare(runs),
                None => is_more(arguments),
            };
            json(out, "what the agent sent, as JSON", arguments, open);
        }
    }
    if !shown.facts.is_null() {
        json(out, "what was found in it", &present(&shown.facts), false);
    }
    out.push_str("</section>");
}

/// What is asked of the target, without what the head of the page and its end show.
fn bare(value: &Value) -> Vec<(&String, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !matches!(name.as_str(), "resource" | "reason"))
        .collect()
}

/// Whether there is more in it than is shown line by line.
fn is_more(value: &Value) -> bool {
    let lines = ["statement", "command", "script", "argv"];
    bare(value)
        .iter()
        .any(|(name, _)| !lines.contains(&name.as_str()))
}

/// Folded where all of it stands elsewhere on the page: what is long is not read at night.
fn json(out: &mut String, title: &str, value: &Value, open: bool) {
    let open = if open { " open" } else { "" };
    let _ = write!(
        out,
        "<details{open}><summary>{title}</summary><pre>{}</pre></details>",
        exact(&pretty(value))
    );
}

/// Every line with its number, which no text can draw: a long line that is wrapped looks like two, and
/// then what a comment swallows looks like a line of its own.
fn numbered(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let _ = write!(out, "<h3>{title}</h3><pre class=\"lines\">");
    for line in lines {
        let _ = write!(out, "<span>{line}\n</span>");
    }
    out.push_str("</pre>");
}

/// An object without the members that do not apply.
fn present(value: &Value) -> Value {
    let Some(object) = value.as_object() else {
        return value.clone();
    };
    let there = object.iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Letters that look like others are the cheapest way to make a name look like another.
fn foreign(out: &mut String, runs: &Value) {
    let count = runs.to_string().chars().filter(|c| !c.is_ascii()).count();
    if count > 0 {
        let _ = write!(
            out,
            "<p class=\"faint\">{count} of its characters are not ASCII: letters may not be what they look like.</p>"
        );
    }
}

fn because(out: &mut String, shown: &Sheet) {
    if shown.because.is_empty() {
        return;
    }
    out.push_str("<section><h2>Why you are asked</h2><ul>");
    for (policy, explain) in &shown.because {
        let _ = write!(
            out,
            "<li>{} <code>{}</code></li>",
            text(
                explain
                    .as_deref()
                    .unwrap_or("The policy asks for people's approval.")
            ),
            text(policy)
        );
    }
    out.push_str("</ul></section>");
}

fn history(out: &mut String, shown: &Sheet, now: Timestamp) {
    if shown.history.is_empty() {
        return;
    }
    out.push_str("<section><h2>So far</h2><ul>");
    for (at, word, by, said) in &shown.history {
        let _ = write!(out, "<li>{} {}", when_from(at, now), text(word));
        if let Some(by) = by {
            let _ = write!(out, " by <bdi>{}</bdi>", text(by));
        }
        if let Some(said) = said {
            let _ = write!(out, ": <q><bdi>{}</bdi></q>", text(said));
        }
        out.push_str("</li>");
    }
    out.push_str("</ul></section>");
}

fn claimed(out: &mut String, shown: &Sheet) {
    if let Some(reason) = &shown.claimed_reason {
        let _ = write!(
            out,
            "<section class=\"claimed\"><h2>What the agent says</h2><p class=\"faint\">Claimed by the program, checked by nobody.</p><blockquote>{}</blockquote></section>",
            text(reason)
        );
    }
}

fn decide(out: &mut String, shown: &Sheet, stand: &Stand<'_>) {
    let card = &shown.card;
    if card.state != State::Pending && card.state != State::Granted {
        return;
    }
    let user = &stand.reviewer.user;
    let own = card.requester == format!("{}#{}", user.issuer, user.subject);
    out.push_str("<section class=\"decide\" id=\"decide\"><h2>Your decision</h2>");
    if own {
        out.push_str("<p>You asked for this yourself; other people decide it. You can withdraw it.</p>");
    } else if card.state == State::Granted {
        out.push_str("<p>Enough people approved. It runs when the program that asked takes it up; until then it can still be stopped. Load this page again to see what became of it.</p>");
    } else if card
        .approved_by
        .iter()
        .any(|one| one.issuer == user.issuer && one.subject == user.subject)
    {
        out.push_str("<p>You approved this; it waits for others. Until it has run you can think better of it, and refuse it or withdraw it.</p>");
    } else if !card.may_decide {
        out.push_str("<p>You cannot approve this. Until it has run you can stop it.</p>");
    }
    if !card.may_decide && !card.may_refuse && !card.may_withdraw {
        out.push_str("</section>");
        return;
    }
    if !stand.is_fresh {
        let _ = write!(
            out,
            "<p>A decision needs a sign-in within the last {} seconds, so that it is you and not an open browser.</p>\
             <p><a href=\"/sign-in?issuer={}&amp;again=1&amp;back=%2Fapprovals%2F{}\">Sign in again to decide</a></p></section>",
            stand.max_age,
            text(&user.issuer),
            text(&card.id.0)
        );
        return;
    }
    forms(out, shown, stand);
    out.push_str("</section>");
}

fn forms(out: &mut String, shown: &Sheet, stand: &Stand<'_>) {
    let card = &shown.card;
    for (verb, token) in &stand.tokens {
        let (mut attribute, mut asks) = (String::new(), String::new());
        if let (Verb::Approve, Need::Use(options)) = (verb, stand.need) {
            (attribute, asks) = security_keys::parts(options);
        }
        let inner = match verb {
            Verb::Approve if !card.may_decide => continue,
            Verb::Approve if matches!(stand.need, Need::Registration) => {
                out.push_str(
                    "<p>Approving needs a security key, and you have registered none. \
                     <a href=\"/security-keys\">Register one</a>, then come back.</p>",
                );
                continue;
            }
            Verb::Approve if matches!(stand.need, Need::Later) => {
                let back = format!("/approvals/{}", card.id.0);
                security_keys::again(out, stand.reviewer, security_keys::LATER, &back);
                continue;
            }
            Verb::Approve if !asks.is_empty() => {
                "<button class=\"yes\">Approve exactly this, once, with your security key</button>"
            }
            Verb::Refuse if !card.may_refuse => continue,
            Verb::Cancel if !card.may_withdraw => continue,
            Verb::Approve => "<button class=\"yes\">Approve exactly this, once</button>",
            Verb::Refuse => {
                "<label for=\"reason\">Why not? The person who asked and their agent read it.</label>\
                 <textarea id=\"reason\" name=\"reason\" required maxlength=\"500\"></textarea>\
                 <button class=\"no\">Refuse</button>"
            }
            Verb::Cancel => {
                "<p class=\"faint\">Withdrawn, it ends without a yes or a no: the same call may ask again.</p>\
                 <button>Withdraw the request</button>"
            }
        };
        let _ = write!(
            out,
            "<form method=\"post\" action=\"/approvals/{}/{}\" autocomplete=\"off\"{attribute}>\
             <input type=\"hidden\" name=\"action_sha256\" value=\"{}\">\
             <input type=\"hidden\" name=\"token\" value=\"{}\">{asks}{inner}</form>",
            text(&card.id.0),
            verb.word(),
            text(&shown.action_sha256),
            text(token)
        );
    }
    if matches!(stand.need, Need::Use(_)) {
        out.push_str(security_keys::RUN);
    }
}

/// A value in a table: text without quotes, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(words) => words.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::console::html::when;

    #[test]
    fn moments_are_readable_and_whole() {
        let html = when("2026-11-22T09:30:07.123Z");
        assert!(html.contains("datetime=\"2026-11-22T09:30:07.123Z\""));
        assert!(html.contains(">2026-11-22 09:30:07 UTC<"));
        assert!(when("<soon>").contains("&lt;soon&gt;"));
    }
}
