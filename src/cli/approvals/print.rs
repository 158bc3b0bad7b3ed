//! Requests on a terminal: the same order as on the page, the agent's own words last.

use std::collections::BTreeMap;

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
                "{} · {} for {} through {}{}{}",
                text(card, "state"),
                subject(card),
                text(card, "requester"),
                text(card, "agent"),
                match text(card, "state").as_str() {
                    "pending" => format!(" · decide by {}", text(card, "decide_by")),
                    _ => String::new(),
                },
                if waits { " · waits for you" } else { "" },
            ),
        )?;
    }
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        out.remark(5, &format!("older ones: --before {next}"))?;
    }
    Ok(())
}

/// One request.
pub(super) fn sheet(out: &mut Out, sheet: &Value) -> Result<()> {
    out.heading(&format!("{} · {}", subject(sheet), text(sheet, "state")))?;
    for (name, words) in [
        ("asked by", text(sheet, "requester")),
        ("through", text(sheet, "agent")),
        ("decides", seats(sheet)),
        ("approved", approved_by(sheet)),
        ("decide by", text(sheet, "decide_by")),
        ("run by", text(sheet, "execute_by")),
        ("action", text(sheet, "action_sha256")),
    ] {
        if !words.is_empty() {
            out.item(Tone::Faint, &format!("{name:>9}"), &words)?;
        }
    }
    effect(out, sheet)?;
    arguments(out, sheet)?;
    let because = sheet.get("because").and_then(Value::as_array);
    out.heading("Why people are asked")?;
    for one in because.into_iter().flatten() {
        let part = |place: usize| one.get(place).and_then(Value::as_str).unwrap_or_default();
        out.item(Tone::Plain, "-", &format!("{} ({})", part(1), part(0)))?;
    }
    offer(out, sheet)?;
    let history = sheet.get("history").and_then(Value::as_array);
    out.heading("So far")?;
    for one in history.into_iter().flatten() {
        let part = |place: usize| one.get(place).and_then(Value::as_str).unwrap_or_default();
        let by = Some(part(2)).filter(|by| !by.is_empty());
        let by = by.map_or_else(String::new, |by| format!(" by {by}"));
        let said = Some(part(3)).filter(|said| !said.is_empty());
        let said = said.map_or_else(String::new, |said| format!(": \"{said}\""));
        out.item(Tone::Faint, part(0), &format!("{}{by}{said}", part(1)))?;
    }
    if let Some(reason) = sheet.get("claimed_reason").and_then(Value::as_str) {
        out.heading("What the agent says (claimed, checked by nobody)")?;
        lines(out, reason)?;
    }
    Ok(())
}

fn effect(out: &mut Out, sheet: &Value) -> Result<()> {
    out.heading("What would change")?;
    let effect = sheet.get("effect").filter(|effect| !effect.is_null());
    let measured = effect.and_then(|effect| effect.get("irreversible"));
    if [measured, sheet.pointer("/facts/sql/irreversible")].contains(&Some(&Value::Bool(true))) {
        out.item(Tone::Bad, "!", "This cannot be undone.")?;
    }
    let Some(effect) = effect else {
        out.line("  Nothing was measured: judge it by its exact text.")?;
        return terms(out, sheet);
    };
    for (table, changes) in effect
        .get("rows")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let counts = changes.as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(kind, count)| format!("{count} {kind}")).collect();
        out.item(Tone::Plain, "-", &format!("{table}: {}", counts.join(", ")))?;
    }
    block(out, effect)?;
    terms(out, sheet)
}

/// For how long and how often it may be approved, where it may be for a while, and what may be freed by which name.
fn offer(out: &mut Out, sheet: &Value) -> Result<()> {
    let decides = sheet.get("may_decide").and_then(Value::as_bool) == Some(true);
    let Some(offer) = sheet.get("offer").filter(|offer| decides && !offer.is_null()) else {
        return Ok(());
    };
    out.heading("You may approve it for a while (approve … --minutes N --uses N)")?;
    let number = |name: &str| offer.get(name).and_then(Value::as_u64);
    let rows = match (number("rows"), offer.get("needs_rows").and_then(Value::as_bool)) {
        (Some(rows), _) => format!(", --rows {rows} at most"),
        (None, Some(true)) => ", --rows needed where you free something".to_owned(),
        (None, _) => String::new(),
    };
    let (minutes, uses) = (number("minutes").unwrap_or(0), number("uses").unwrap_or(0));
    let most = format!("--minutes {minutes} at most, --uses {uses} at most{rows}");
    out.item(Tone::Plain, "-", &most)?;
    for (name, value) in offer.get("free").and_then(Value::as_object).into_iter().flatten() {
        out.item(Tone::Plain, "-", &format!("--free \"{name}\" frees {value}"))?;
    }
    Ok(())
}

/// What an approval allows beyond the plain case.
fn terms(out: &mut Out, sheet: &Value) -> Result<()> {
    let has_effect = sheet.get("effect").is_some_and(|effect| !effect.is_null());
    if has_effect && sheet.get("bound").and_then(Value::as_str) == Some("count") {
        out.item(
            Tone::Careful,
            "!",
            "Counts only: an approval is for these numbers, and when it runs, other rows may be meant.",
        )?;
    }
    if sheet.get("unattended").and_then(Value::as_bool) == Some(true) {
        out.item(
            Tone::Careful,
            "!",
            "Runs by itself once approved, whether or not anybody still waits for it.",
        )?;
    }
    if sheet.get("ahead").and_then(Value::as_bool) == Some(true) {
        out.item(
            Tone::Careful,
            "!",
            "Asked ahead, for a while. Nothing runs by itself, but the call itself, if it is made meanwhile, runs once you approve.",
        )?;
    }
    Ok(())
}

fn arguments(out: &mut Out, sheet: &Value) -> Result<()> {
    out.heading("Exactly what would run")?;
    let Some(arguments) = sheet.get("arguments").filter(|arguments| !arguments.is_null()) else {
        out.line("  The request is final, and its arguments have been erased.")?;
        return Ok(());
    };
    // A declared tool's own text is what runs; what the agent sent is its values.
    let declared = sheet.get("runs").filter(|runs| !runs.is_null());
    let runs = declared.unwrap_or(arguments);
    for name in ["statement", "command", "script"] {
        if let Some(words) = runs.get(name).and_then(Value::as_str) {
            lines(out, words)?;
        }
    }
    let argv = runs.get("argv").and_then(Value::as_array);
    for (place, word) in argv.into_iter().flatten().enumerate() {
        out.item(Tone::Faint, "-", &format!("word {}", place + 1))?;
        lines(out, word.as_str().unwrap_or_default())?;
    }
    if let Some(runs) = declared {
        out.item(Tone::Faint, "-", "all of it, as JSON")?;
        block(out, runs)?;
    }
    out.item(Tone::Faint, "-", "what the agent sent, as JSON")?;
    block(out, arguments)?;
    if let Some(facts) = sheet.get("facts").filter(|facts| !facts.is_null()) {
        out.heading("What was found in it")?;
        block(out, facts)?;
    }
    Ok(())
}

/// The most that one policy asks of each group: one person counts in all of them.
fn seats(sheet: &Value) -> String {
    let mut seats: BTreeMap<&str, u64> = BTreeMap::new();
    for one in sheet.get("asks").and_then(Value::as_array).into_iter().flatten() {
        let group = one.get(1).and_then(Value::as_str).unwrap_or_default();
        let count = one.get(0).and_then(Value::as_u64).unwrap_or_default();
        let most = seats.entry(group).or_default();
        *most = count.max(*most);
    }
    let seats = seats
        .into_iter()
        .map(|(group, count)| format!("{count} of {group}"));
    seats.collect::<Vec<_>>().join(", ")
}

fn approved_by(sheet: &Value) -> String {
    let people = sheet.get("approved_by").and_then(Value::as_array);
    let people = people
        .into_iter()
        .flatten()
        .map(|one| format!("{}#{}", text(one, "issuer"), text(one, "subject")));
    people.collect::<Vec<_>>().join(", ")
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
