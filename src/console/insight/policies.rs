//! What the policies are, and what they say of a call that nobody made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Choices, Insight, Question, one};
use crate::approval::review::Reviewer;
use crate::console::front::Asked;
use crate::console::html::text;
use crate::console::problem::Problem;
use crate::policy::explain::{Explanation, PolicyNote};

pub(super) fn body(insight: &dyn Insight, who: &Reviewer, asked: &Asked) -> Result<String, Problem> {
    let choices = insight.choices(&who.user);
    if choices.resources.is_empty() {
        return Err(Problem::not_found());
    }
    let question = question(asked);
    let mut out = "<h1>Policies</h1>".to_owned();
    if let Some(question) = &question {
        match insight.explain(&who.user, question) {
            Ok(explained) => explanation(&mut out, &explained),
            Err(why) => {
                let _ = write!(
                    out,
                    "<section class=\"care\" role=\"alert\"><p>{}</p></section>",
                    text(&why)
                );
            }
        }
    }
    form(&mut out, &choices, &question.unwrap_or_default());
    if let Some(all) = insight.policies(&who.user) {
        let _ = write!(out, "<section><h2>All policies ({})</h2>", all.len());
        notes(&mut out, &all);
        out.push_str("</section>");
    }
    Ok(out)
}

fn question(asked: &Asked) -> Option<Question> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split([',', ' ', '\n', '\r']).map(str::trim);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let groups = asked.query.iter().filter(|(key, _)| key == "group");
    Some(Question {
        person: one(asked, "person")?.to_owned(),
        groups: groups.map(|(_, value)| value.clone()).collect(),
        agent: one(asked, "agent").unwrap_or("some-agent").to_owned(),
        verified: one(asked, "verified").is_some(),
        action: one(asked, "action").unwrap_or_default().to_owned(),
        resource: one(asked, "resource").unwrap_or_default().to_owned(),
        columns: one(asked, "columns").map(words).unwrap_or_default(),
    })
}

fn form(out: &mut String, choices: &Choices, question: &Question) {
    let blank = question.person.is_empty();
    let _ = write!(
        out,
        "<section><h2>What would they say?</h2><p class=\"faint\">About a call that nobody makes. Nothing runs.</p>\
         <form method=\"get\" action=\"/policies\" class=\"filter\">\
         <label>Person, as issuer#subject <input name=\"person\" required autocomplete=\"off\" value=\"{}\"></label>",
        text(&question.person)
    );
    let select = |out: &mut String, title: &str, name: &str, all: &[String], chosen: &str| {
        let _ = write!(out, "<label>{title} <select name=\"{name}\">");
        for one in all {
            let selected = if one == chosen { " selected" } else { "" };
            let _ = write!(out, "<option{selected}>{}</option>", text(one));
        }
        out.push_str("</select></label>");
    };
    let action = if blank { "sql_read" } else { &question.action };
    select(out, "Action", "action", &choices.actions, action);
    select(
        out,
        "Resource",
        "resource",
        &choices.resources,
        &question.resource,
    );
    let _ = write!(
        out,
        "<label>Program (client id) <input name=\"agent\" autocomplete=\"off\" value=\"{}\"></label>\
         <label>Columns it touches, as table.column <input name=\"columns\" autocomplete=\"off\" value=\"{}\"></label>\
         <fieldset><legend>Groups of that person</legend>",
        text(if blank { "some-agent" } else { &question.agent }),
        text(&question.columns.join(", "))
    );
    for group in &choices.groups {
        let checked = if question.groups.contains(group) {
            " checked"
        } else {
            ""
        };
        let group = text(group);
        let _ = write!(
            out,
            "<label class=\"check\"><input type=\"checkbox\" name=\"group\" value=\"{group}\"{checked}> {group}</label> "
        );
    }
    let checked = if blank || question.verified {
        " checked"
    } else {
        ""
    };
    let _ = write!(
        out,
        "</fieldset><label class=\"check\"><input type=\"checkbox\" name=\"verified\" value=\"1\"{checked}> somebody vouches for the program</label>\
         <button class=\"yes\">Explain</button></form></section>"
    );
}

fn explanation(out: &mut String, explained: &Explanation) {
    let (word, class) = match explained.verdict {
        "permit" => ("Permitted", "spent"),
        "ask" => ("Permitted once somebody agrees", "pending"),
        _ => ("Denied", "refused"),
    };
    let _ = write!(
        out,
        "<section aria-label=\"Answer\"><h2><span class=\"state {class}\">{word}</span></h2><p>{}</p>",
        text(&explained.question)
    );
    for assumed in &explained.assumed {
        let _ = write!(out, "<p class=\"faint\">Assumed: {}.</p>", text(assumed));
    }
    if explained.decided_by.is_empty() {
        out.push_str("<p>No policy permits it, and what nothing permits is denied.</p>");
    } else {
        out.push_str("<h3>Decided by</h3>");
        notes(out, &explained.decided_by);
    }
    if !explained.did_not_apply.is_empty() {
        out.push_str("<h3>In scope, but their conditions do not hold</h3>");
        notes(out, &explained.did_not_apply);
    }
    if let Some(limits) = explained.limits {
        let _ = write!(
            out,
            "<p>Bounds: {} rows, {} bytes, {} seconds.</p>",
            limits.rows, limits.bytes, limits.seconds
        );
    }
    columns(out, &explained.revealed, &explained.masked);
    if let Some(words) = &explained.agent_reads {
        let _ = write!(out, "<p>The agent reads: <q>{}</q></p>", text(words));
    }
    if let Some(detail) = &explained.detail {
        let _ = write!(out, "<p>For you only: {}</p>", text(detail));
    }
    if let Some(other) = &explained.candidate {
        let _ = write!(
            out,
            "<p>The candidate set would say <strong>{}</strong>: {}</p>",
            text(&other.verdict),
            text(&other.ids.join(", "))
        );
    }
    let _ = write!(
        out,
        "<p class=\"faint\">Policy set <code>{}</code></p></section>",
        text(&explained.digest.hex())
    );
}

fn columns(out: &mut String, revealed: &BTreeSet<String>, masked: &BTreeMap<String, BTreeSet<String>>) {
    if revealed.is_empty() && masked.is_empty() {
        return;
    }
    out.push_str("<ul>");
    for column in revealed {
        let _ = write!(
            out,
            "<li><code>{}</code> is shown although classified</li>",
            text(column)
        );
    }
    for (column, by) in masked {
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        let by = if by.is_empty() {
            "no policy reveals it".to_owned()
        } else {
            by.join(", ")
        };
        let _ = write!(
            out,
            "<li><code>{}</code> is masked: {}</li>",
            text(column),
            text(&by)
        );
    }
    out.push_str("</ul>");
}

fn notes(out: &mut String, notes: &[PolicyNote]) {
    out.push_str("<ul class=\"notes\">");
    for note in notes {
        let file = note
            .file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let _ = write!(
            out,
            "<li><code>{}</code> <span class=\"state\">{}</span> <span class=\"faint\">{}:{}</span>",
            text(&note.id),
            note.effect,
            text(&file.unwrap_or_default()),
            note.line
        );
        if let Some(asks) = &note.asks {
            let _ = write!(out, "<br>asks for {}", text(&asks.to_string()));
        }
        if let Some(explain) = &note.explain {
            let _ = write!(out, "<br><q>{}</q>", text(explain));
        }
        out.push_str("</li>");
    }
    out.push_str("</ul>");
}
