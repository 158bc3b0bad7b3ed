//! Requests on a terminal: the same order as on the page, the agent's own words last.

use anyhow::Result;
use serde_json::Value;

use crate::cli::out::{Out, Tone};

/// All requests.
pub(super) fn list(out: &mut Out, answer: &Value) -> Result<()> {
    let cards = answer.get("approvals").and_then(Value::as_array);
    let cards = cards.map(Vec::as_slice).unwrap_or_default();
    if cards.is_empty() {
        out.line("There is no request that you may see.")?;
    }
    for card in cards {
        let waits = card.get("may_decide").and_then(Value::as_bool) == Some(true);
        let tone = if waits { Tone::Careful } else { Tone::Plain };
        out.item(
            tone,
            &text(card, "id"),
            &format!(
                "{} · {} for {} through {} · decide by {}{}",
                text(card, "state"),
                subject(card),
                text(card, "requester"),
                text(card, "agent"),
                text(card, "decide_by"),
                if waits { " · waits for you" } else { "" },
            ),
        )?;
    }
    Ok(())
}

/// One request.
pub(super) fn sheet(out: &mut Out, sheet: &Value) -> Result<()> {
    out.heading(&format!("{} · {}", subject(sheet), text(sheet, "state")))?;
    for (name, words) in [
        ("for", text(sheet, "requester")),
        ("through", text(sheet, "agent")),
        ("decide by", text(sheet, "decide_by")),
        ("action", text(sheet, "action_sha256")),
    ] {
        out.item(Tone::Faint, &format!("{name:>9}"), &words)?;
    }
    let effect = sheet.get("effect").filter(|effect| !effect.is_null());
    out.heading("What would change")?;
    match effect {
        None => out.line("  Nothing was measured: judge it by its exact text.")?,
        Some(effect) => {
            if effect.get("irreversible").and_then(Value::as_bool) == Some(true) {
                out.item(Tone::Bad, "!", "This cannot be undone.")?;
            }
            block(out, effect)?;
        }
    }
    out.heading("Exactly what would run")?;
    match sheet.get("arguments").filter(|arguments| !arguments.is_null()) {
        None => out.line("  The request is final, and its arguments have been erased.")?,
        Some(arguments) => {
            let runs = sheet.get("runs").filter(|runs| !runs.is_null());
            for name in ["statement", "command", "script"] {
                if let Some(words) = runs.unwrap_or(arguments).get(name).and_then(Value::as_str) {
                    lines(out, words)?;
                }
            }
            if let Some(runs) = runs {
                block(out, runs)?;
                out.heading("What the agent sent")?;
            }
            block(out, arguments)?;
        }
    }
    if let Some(facts) = sheet.get("facts").filter(|facts| !facts.is_null()) {
        out.heading("What was found in it")?;
        block(out, facts)?;
    }
    let because = sheet.get("because").and_then(Value::as_array);
    out.heading("Why people are asked")?;
    for one in because.into_iter().flatten() {
        let part = |place: usize| one.get(place).and_then(Value::as_str).unwrap_or_default();
        out.item(Tone::Plain, "-", &format!("{} ({})", part(1), part(0)))?;
    }
    if let Some(reason) = sheet.get("claimed_reason").and_then(Value::as_str) {
        out.heading("What the agent says (claimed, checked by nobody)")?;
        lines(out, reason)?;
    }
    Ok(())
}

/// Where a request is now.
pub(super) fn state(out: &mut Out, card: &Value) -> Result<()> {
    out.item(Tone::Good, &text(card, "id"), &text(card, "state"))?;
    Ok(())
}

fn subject(card: &Value) -> String {
    match card.get("resource").and_then(Value::as_str) {
        Some(resource) => format!("{} on {resource}", text(card, "tool")),
        None => text(card, "tool"),
    }
}

fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn block(out: &mut Out, value: &Value) -> Result<()> {
    lines(out, &serde_json::to_string_pretty(value)?)
}

/// Line by line behind a number and a bar, and folded by us: what a terminal wraps would begin at its edge,
/// where words can draw a number and a bar of their own.
fn lines(out: &mut Out, words: &str) -> Result<()> {
    let room = out.width().saturating_sub(LEAD);
    for (place, line) in words.split('\n').enumerate() {
        let mut lead = format!("{:>5} | ", place + 1);
        for part in folded(&out.paint(Tone::Plain, line), room) {
            out.line(&format!("{lead}{part}"))?;
            lead = "      : ".to_owned();
        }
    }
    Ok(())
}

/// Columns before a line of theirs.
const LEAD: usize = 8;

/// Parts of at most `room` columns; whatever is not ASCII may take two.
fn folded(line: &str, room: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut part, mut used) = (String::new(), 0);
    for character in line.chars() {
        let columns = match character {
            '\t' => 8,
            _ if character.is_ascii() => 1,
            _ => 2,
        };
        if used + columns > room && used > 0 {
            parts.push(std::mem::take(&mut part));
            used = 0;
        }
        part.push(character);
        used += columns;
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn a_long_line_is_folded_by_us_and_not_by_the_terminal() {
        let line = format!("DELETE FROM orders --{}    2 | WHERE id = 5", " ".repeat(80));
        for room in [20, 32, 92] {
            let parts = folded(&line, room);
            assert!(parts.len() > 1);
            assert!(parts.iter().all(|part| part.chars().count() <= room));
            assert_eq!(parts.concat(), line, "nothing is lost");
        }
        assert_eq!(folded("\u{4e2d}\u{6587}ab", 4), ["\u{4e2d}\u{6587}", "ab"]);
        assert_eq!(folded("", 10), [""]);
    }
}
