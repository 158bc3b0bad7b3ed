//! What stands around a request: what it touches, what of it nobody could measure, through which program it came, and
//! what the same session did before.

use std::fmt::Write;

use serde_json::Value;

use super::{plain, pretty};
use crate::approval::listing::Program;
use crate::approval::review::Sheet;
use crate::call::Bound;
use crate::clock::Timestamp;
use crate::console::html::{exact, text, when_from};
use crate::console::{Around, EarlierCall};

/// Most names in one line; the rest is counted.
const NAMES: usize = 60;

/// The program that asks: what is vouched for, and what it says of itself.
pub(super) fn program(client_id: &str, program: Option<&Program>) -> String {
    let mut out = format!("<bdi>{}</bdi>", text(client_id));
    let Some(program) = program else {
        return out;
    };
    out.push_str(if program.verified {
        " <span class=\"faint\">(verified: the issuer or the configuration vouches for this name)</span>"
    } else {
        " <strong>(claimed: nobody vouches for this name)</strong>"
    });
    if !program.claimed_name.is_empty() {
        let _ = write!(
            out,
            "<br><span class=\"faint\">It calls itself <q><bdi>{}</bdi></q>",
            text(&program.claimed_name)
        );
        if !program.claimed_version.is_empty() {
            let _ = write!(
                out,
                ", version <q><bdi>{}</bdi></q>",
                text(&program.claimed_version)
            );
        }
        out.push_str("; claimed.</span>");
    }
    out
}

/// Relations, columns, functions, files, programs, and the sandbox, as the executing adapter found them.
pub(super) fn touches(out: &mut String, shown: &Sheet) {
    let at = |pointer: &str| shown.facts.pointer(pointer).filter(|value| !value.is_null());
    let rows = [
        ("Kind of statement", at("/sql/kind")),
        ("Tables", at("/sql/tables")),
        ("Columns", at("/sql/columns")),
        ("Functions", at("/sql/functions")),
        ("Programs", at("/shell/programs")),
        ("Sandbox", at("/target/sandbox")),
        ("Work folder", at("/target/workdir")),
        ("File", at("/file/path")),
        ("Ref", at("/file/ref")),
        ("Commit", at("/target/commit")),
        ("Database", at("/target/database")),
        ("As", at("/target/role").or_else(|| at("/target/account"))),
    ];
    let mut list = String::new();
    for (name, value) in rows {
        let words = value.map(names).unwrap_or_default();
        if !words.is_empty() {
            let _ = write!(list, "<dt>{name}</dt><dd>{words}</dd>");
        }
    }
    if let Some(true) =
        at("/shell").map(|_| shown.facts.pointer("/shell/network") == Some(&Value::Bool(false)))
    {
        list.push_str("<dt>Network</dt><dd>none</dd>");
    }
    let masked: Vec<String> = at("/classified")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| {
            let (column, class) = (one.get("column")?.as_str()?, one.get("class")?.as_str()?);
            Some(format!("<code>{}</code> ({})", text(column), text(class)))
        })
        .collect();
    if !masked.is_empty() {
        let _ = write!(list, "<dt>Classified columns</dt><dd>{}</dd>", masked.join(", "));
    }
    if !list.is_empty() {
        let _ = write!(
            out,
            "<section><h2>What it touches</h2><p class=\"faint\">As the parser of the engine that runs it reads it.</p><dl>{list}</dl></section>"
        );
    }
}

fn names(value: &Value) -> String {
    let Some(all) = value.as_array() else {
        let words = plain(value);
        return match words.is_empty() {
            true => String::new(),
            false => format!("<code>{}</code>", text(&words)),
        };
    };
    let named: Vec<String> = all
        .iter()
        .take(NAMES)
        .map(|name| format!("<code>{}</code>", text(&plain(name))))
        .collect();
    match all.len().checked_sub(NAMES).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", named.join(", ")),
        None => named.join(", "),
    }
}

/// What the evidence does not show, in so many words.
pub(super) fn unmeasured(out: &mut String, shown: &Sheet) {
    let mut missing = Vec::new();
    let at = |pointer: &str| shown.facts.pointer(pointer).filter(|value| !value.is_null());
    match (&shown.effect, at("/probe").and_then(Value::as_str)) {
        (Some(effect), _) => {
            missing.extend(sampled(effect));
            missing.push("What happens in the meantime: it was measured in a transaction that was undone. When it runs it is measured again, and what goes beyond this does not become final.".to_owned());
        }
        (None, Some("oracle")) => missing.push(
            "Its effect: even trying it could tell something of a classified value, so nothing was tried."
                .to_owned(),
        ),
        (None, _) if at("/shell").is_some() => missing.push(
            "Its effect: what a command does is known when it has run. Its sandbox bounds it.".to_owned(),
        ),
        (None, _) => missing.push("Its effect: nothing was tried.".to_owned()),
    }
    if at("/classified")
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty())
    {
        missing.push("Values of classified columns: they are masked here, and may change unseen.".to_owned());
    }
    if shown.bound == Bound::Count && shown.effect.is_some() {
        missing.push("Which rows: your approval is bound to the numbers.".to_owned());
    }
    out.push_str("<section><h2>What could not be measured</h2><ul>");
    for one in missing {
        let _ = write!(out, "<li>{}</li>", text(&one));
    }
    out.push_str("</ul></section>");
}

/// How many rows are shown of how many.
fn sampled(effect: &Value) -> Option<String> {
    let shown = effect.get("sample").and_then(Value::as_array).map_or(0, Vec::len);
    let tables = effect.get("rows").and_then(Value::as_object)?;
    let kinds = tables
        .values()
        .filter_map(Value::as_object)
        .flat_map(|kinds| kinds.values());
    let counted: u64 = kinds
        .filter_map(|kind| kind.as_u64().or_else(|| kind.get("count")?.as_u64()))
        .sum();
    let more = counted.checked_sub(shown as u64).filter(|more| *more > 0)?;
    Some(format!(
        "The content of {more} of the {counted} rows: they are counted, and not in the sample."
    ))
}

/// What the session did before, newest first.
pub(super) fn earlier(out: &mut String, around: Option<&Around>, now: Timestamp) {
    let Some(around) = around else {
        return;
    };
    out.push_str("<section><h2>What this session did before</h2>");
    match &around.calls {
        None => out.push_str("<p>The journal cannot be read now.</p>"),
        Some(calls) if calls.is_empty() => out.push_str("<p>Nothing: this is its first call on record.</p>"),
        Some(calls) => {
            out.push_str("<p class=\"faint\">Its latest calls out of the journal, newest first, masked.</p><ol class=\"list calls\">");
            for call in calls {
                one(out, call, now);
            }
            out.push_str("</ol>");
        }
    }
    out.push_str("</section>");
}

fn one(out: &mut String, call: &EarlierCall, now: Timestamp) {
    let _ = write!(
        out,
        "<li><p>{} <code>{}</code>",
        when_from(&call.at, now),
        text(&call.tool)
    );
    if let Some(resource) = &call.resource {
        let _ = write!(out, " on <code>{}</code>", text(resource));
    }
    let _ = write!(out, " <span class=\"state\">{}</span></p>", text(&call.outcome));
    if call.is_hidden {
        out.push_str("<p class=\"faint\">On something that you neither decide about nor audit.</p>");
    }
    if let Some(arguments) = &call.arguments {
        let _ = write!(
            out,
            "<details><summary>What was sent</summary><pre>{}</pre></details>",
            exact(&pretty(arguments))
        );
    }
    out.push_str("</li>");
}
