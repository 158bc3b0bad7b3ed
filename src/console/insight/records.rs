//! Sessions in the journal, and one of them step by step: what was sent, how it ended, and what the agent was offered,
//! masked as it was then.

use std::fmt::Write;

use serde_json::Value;

use super::{Insight, one};
use crate::approval::review::Reviewer;
use crate::audit::list::Kept;
use crate::audit::replay::Step;
use crate::clock::Timestamp;
use crate::console::front::{Asked, Front};
use crate::console::html::{exact, query, text, when_from};
use crate::console::problem::Problem;

/// Longest session id that is looked up.
const LONGEST: usize = 256;
/// Most of an answer that is drawn, in characters.
const DRAWN: usize = 100_000;

/// A number of a record.
fn record(asked: &Asked, name: &str) -> Result<Option<u64>, Problem> {
    one(asked, name)
        .map(|text| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| plain);
            number.ok_or_else(|| Problem::malformed("There is no such page."))
        })
        .transpose()
}

pub(super) async fn sessions(
    front: &Front,
    insight: &dyn Insight,
    who: &Reviewer,
    asked: &Asked,
) -> Result<String, Problem> {
    if !insight.audits(&who.user) {
        return Err(Problem::not_found());
    }
    let now = front.spec.world.now();
    let page = insight.sessions(&who.user, record(asked, "before")?).await?;
    let mut out = "<h1>Sessions in the journal</h1><p>What agents did, session by session. That you replay one is put on \
                   record.</p>"
        .to_owned();
    if page.items.is_empty() {
        out.push_str("<section><p>There is none that you may read.</p></section>");
    }
    out.push_str("<ul class=\"list\">");
    for seen in &page.items {
        let resources: Vec<String> = seen
            .resources
            .iter()
            .map(|name| format!("<code>{}</code>", text(name)))
            .collect();
        let _ = write!(
            out,
            "<li class=\"request\"><p class=\"title\"><a href=\"/journal/replay?{}\">Session <code>{}</code></a></p>\
             <p>for <bdi>{}</bdi>{}</p><p class=\"faint\">{} {}, {} not carried out; latest {}, earliest seen here {}</p></li>",
            query(&[("session", &seen.session)]),
            text(&seen.session),
            text(&seen.user),
            match resources.is_empty() {
                true => String::new(),
                false => format!(", on {}", resources.join(", ")),
            },
            seen.calls,
            if seen.calls == 1 { "call" } else { "calls" },
            seen.refused,
            when_from(&seen.last, now),
            when_from(&seen.first, now),
        );
    }
    out.push_str("</ul>");
    if let Some(next) = page.next {
        let _ = write!(
            out,
            "<nav class=\"onwards\" aria-label=\"More\"><a rel=\"next\" href=\"/journal?before={next}\">Older</a></nav>"
        );
    }
    Ok(out)
}

pub(super) async fn replay(
    front: &Front,
    insight: &dyn Insight,
    who: &Reviewer,
    asked: &Asked,
) -> Result<String, Problem> {
    let session = one(asked, "session").filter(|id| id.len() <= LONGEST);
    let session = session.ok_or_else(Problem::not_found)?;
    let from = record(asked, "from")?.unwrap_or(0);
    let page = insight.replay(&who.user, session, from).await?;
    let page = page.ok_or_else(Problem::not_found)?;
    let now = front.spec.world.now();
    let mut out = format!(
        "<h1>Replay of session <code>{}</code></h1><p>Step by step, oldest first, masked as it was offered. <strong>Your \
         reading this is on record.</strong></p><ol class=\"list steps\">",
        text(session)
    );
    for step in &page.items {
        draw(&mut out, step, now);
    }
    out.push_str("</ol>");
    let mut links = vec!["<a href=\"/journal\">All sessions</a>".to_owned()];
    if from > 0 {
        links.push(format!(
            "<a href=\"/journal/replay?{}\">From the beginning</a>",
            query(&[("session", session)])
        ));
    }
    if let Some(next) = page.next {
        let next = next.to_string();
        links.push(format!(
            "<a rel=\"next\" href=\"/journal/replay?{}\">Next steps</a>",
            query(&[("session", session), ("from", &next)])
        ));
    }
    let _ = write!(
        out,
        "<nav class=\"onwards\" aria-label=\"More\">{}</nav>",
        links.join(" ")
    );
    Ok(out)
}

fn draw(out: &mut String, step: &Step, now: Timestamp) {
    let (tool, resource) = (step.text("/tool"), step.text("/resource"));
    let _ = write!(out, "<li class=\"request\"><h2><code>{}</code>", text(tool));
    if !resource.is_empty() {
        let _ = write!(out, " on <code>{}</code>", text(resource));
    }
    let (status, code) = (step.text("/outcome/status"), step.text("/outcome/code"));
    let _ = write!(
        out,
        " <span class=\"state {}\">{} {}</span></h2><p>{}</p><p class=\"faint\">for <bdi>{}</bdi>, through <bdi>{}</bdi>, call <code>{}</code></p>",
        if status == "ok" { "spent" } else { "refused" },
        text(status),
        text(code),
        when_from(step.text("/at"), now),
        text(step.text("/principal/id")),
        text(step.text("/agent/client_id")),
        text(step.text("/call_id")),
    );
    sent(out, step.arguments());
    masks(out, &step.outcome);
    match step.text("/repeats") {
        "" => offered(out, step.kept.as_ref()),
        earlier => {
            let _ = write!(
                out,
                "<p>The answer of call <code>{}</code> again.</p>",
                text(earlier)
            );
        }
    }
    out.push_str("</li>");
}

fn sent(out: &mut String, arguments: Option<&Value>) {
    for (name, value) in arguments.and_then(Value::as_object).into_iter().flatten() {
        let words = value.as_str().map_or_else(
            || serde_json::to_string_pretty(value).unwrap_or_default(),
            str::to_owned,
        );
        let _ = write!(out, "<h3>Sent: {}</h3><pre>{}</pre>", text(name), cut(&words));
    }
}

fn masks(out: &mut String, outcome: &Value) {
    for mask in outcome
        .get("masks")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |name: &str| mask.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = mask.get("count").and_then(Value::as_u64).unwrap_or_default();
        let _ = write!(
            out,
            "<p class=\"faint\">masked {count} × {} in {}</p>",
            text(part("rule")),
            text(part("where"))
        );
    }
}

fn offered(out: &mut String, kept: Option<&Kept>) {
    match kept {
        None => out.push_str("<p>Nothing was offered.</p>"),
        Some(Kept::Gone) => out.push_str("<p>What was offered is no longer kept.</p>"),
        Some(Kept::Changed) => {
            out.push_str("<p class=\"care\"><strong>What is stored is not what was offered.</strong></p>");
        }
        Some(Kept::Held { offered }) => {
            let _ = write!(
                out,
                "<h3>What the agent was offered</h3><pre>{}</pre>",
                cut(&offered.text)
            );
        }
    }
}

/// The beginning of a long text, which says how much is missing.
fn cut(words: &str) -> String {
    match words.char_indices().nth(DRAWN) {
        None => exact(words),
        Some((at, _)) => {
            let (head, rest) = words.split_at_checked(at).unwrap_or((words, ""));
            format!(
                "{}\n… and {} bytes more: tollgate replay",
                exact(head),
                rest.len()
            )
        }
    }
}
