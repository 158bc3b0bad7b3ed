//! A request as a message (Block Kit): who, what, which effect as counts, what policy says, and last what the agent
//! claims. Values of rows are never on it. Everything from elsewhere is in `plain_text` or in elements of `rich_text`,
//! which Slack shows and does not read: no markup, no mention, no link can be made in them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::words::{first_lines, head, inert, is_whole, shown};
use crate::approval::review::{Posting, State};
use crate::call::{Bound, Hash};

/// What buttons are called in what comes back.
pub(super) const APPROVE: &str = "tollgate_approve";
pub(super) const REFUSE: &str = "tollgate_refuse";
pub(super) const PAGE: &str = "tollgate_page";
pub(super) const LINK: &str = "tollgate_link";
pub(super) const UNLINK: &str = "tollgate_unlink";
/// The version of what a button's value says.
const VALUE: &str = "v1";
/// The longest text of a section or a quote here; Slack takes 3000.
const SECTION: usize = 2_800;
/// The most lines of a statement.
const LINES: usize = 60;
/// What is shown of one that is longer.
const FIRST: usize = 15;
/// The most tables of an effect.
const TABLES: usize = 20;
/// The most that all blocks together may be, in bytes of JSON. Slack refuses more than about 13,200 as
/// `msg_blocks_too_long`, and nowhere says what it counts (slackapi/bolt-js#2509, #2867): this stays well below.
const WHOLE: usize = 10_000;

/// How much of everything is shown.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// The longest text of a section.
    section: usize,
    /// The most lines of a statement.
    lines: usize,
    /// The most tables.
    tables: usize,
    /// The longest text of a fact, and of what is claimed.
    fact: usize,
    claim: usize,
}

/// What nearly every request fits into.
const WIDE: Room = Room {
    section: SECTION,
    lines: LINES,
    tables: TABLES,
    fact: 300,
    claim: 600,
};
/// What always fits: the worst of it, each character four bytes or escaped, is below [`WHOLE`].
const NARROW: Room = Room {
    section: 300,
    lines: 5,
    tables: 4,
    fact: 70,
    claim: 120,
};

/// A message: its blocks, what notifications say of it, and whether it decides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) blocks: Value,
    pub(super) text: String,
    pub(super) decides: bool,
}

/// What is shown of what would run, and why that is not all of it, where it is not.
struct Evidence {
    blocks: Vec<Value>,
    missing: Option<String>,
}

/// The message of a request. `mask` hides secrets in words of people and programs. What does not fit as a whole is
/// shown in part, and then decides nothing.
/// `called`: the user groups that are called to it while it waits.
pub(super) fn message(posting: &Posting, mask: &dyn Fn(&str) -> String, called: &[&str]) -> Message {
    let wide = drawn(posting, mask, (WIDE, called), None);
    if wide.blocks.to_string().len() <= WHOLE {
        return wide;
    }
    narrow(posting, mask, called)
}

/// The message where Slack does not take the whole of it: it decides nothing.
pub(super) fn narrow(posting: &Posting, mask: &dyn Fn(&str) -> String, called: &[&str]) -> Message {
    let why = "all of it together does not fit here";
    drawn(posting, mask, (NARROW, called), Some(why.to_owned()))
}

/// `missing`: why it decides nothing, whatever is shown.
fn drawn(
    posting: &Posting,
    mask: &dyn Fn(&str) -> String,
    (room, called): (Room, &[&str]),
    mut missing: Option<String>,
) -> Message {
    let what = match &posting.resource {
        Some(resource) => format!("{} on {resource}", posting.tool),
        None => posting.tool.clone(),
    };
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&head(&shown(&what, false), 140))}),
        section(&status(posting, room)),
    ];
    let called = if posting.state == State::Pending {
        called
    } else {
        &[]
    };
    blocks.extend(calls(called));
    let is_open = matches!(posting.state, State::Pending | State::Granted);
    blocks.push(facts(posting, mask, room));
    if is_open {
        let effect = effect(posting, room);
        let evidence = evidence(posting, mask, room);
        missing = missing.or(effect.missing).or(evidence.missing);
        blocks.extend(effect.blocks);
        blocks.extend(evidence.blocks);
        blocks.extend(because(posting, room));
        blocks.extend(claimed(posting, mask, room));
    }
    let decides = is_open && posting.page_only.is_none() && missing.is_none();
    if is_open && !decides {
        let why = posting
            .page_only
            .map(str::to_owned)
            .or(missing)
            .unwrap_or_default();
        blocks.push(section(&format!(
            "No button here: {why}. Open its page, sign in, and decide there."
        )));
    }
    blocks.extend(buttons(posting, decides));
    let calls: String = called
        .iter()
        .map(|group| format!("<!subteam^{group}> "))
        .collect();
    Message {
        blocks: Value::Array(blocks),
        text: format!("{calls}{}", fallback(&format!("{}: {what}", word(posting)))),
        decides,
    }
}

/// Who is called: user groups by their ids, from the configuration and nowhere else.
fn calls(called: &[&str]) -> Option<Value> {
    let groups = called
        .iter()
        .map(|group| json!({"type": "usergroup", "usergroup_id": group}));
    let elements: Vec<Value> = groups
        .flat_map(|group| [group, json!({"type": "text", "text": " "})])
        .collect();
    let line =
        json!({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]});
    (!called.is_empty()).then_some(line)
}

/// What a button's value says: which request, and exactly which action.
pub(super) fn value(approval: &str, action_sha256: &str) -> String {
    format!("{VALUE} {approval} {action_sha256}")
}

/// Reads it: (request, action).
pub(super) fn read_value(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split(' ');
    let read = (parts.next()? == VALUE).then_some((parts.next()?, parts.next()?));
    read.filter(|_| parts.next().is_none())
}

/// The form that asks for the reason of a refusal. `about` comes back with it.
pub(super) fn reason_form(about: &str) -> Value {
    json!({
        "type": "modal",
        "callback_id": REFUSE,
        "private_metadata": about,
        "title": plain("Refuse this request"),
        "submit": plain("Refuse"),
        "close": plain("Back"),
        "blocks": [{
            "type": "input",
            "block_id": "reason",
            "label": plain("Why not?"),
            "hint": plain("The person who asked and their agent read it."),
            "element": {
                "type": "plain_text_input", "action_id": "reason", "multiline": true, "min_length": 1, "max_length": 500,
            },
        }],
    })
}

/// Words of ours for one person, with what they may press.
pub(super) fn note(words: &str, buttons: &[Value]) -> Value {
    let mut blocks = vec![section(&head(words, SECTION))];
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    Value::Array(blocks)
}

/// The same as a message to a channel or an account.
pub(super) fn said(channel: &str, words: &str, buttons: &[Value]) -> Value {
    json!({
        "channel": channel, "blocks": note(words, buttons), "text": fallback(words),
        "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false,
    })
}

/// Text as notifications show it, where Slack would read markup.
pub(super) fn fallback(text: &str) -> String {
    let text = shown(text, false);
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    head(&text, 300)
}

pub(super) fn word(posting: &Posting) -> &'static str {
    match (posting.state, posting.answered) {
        (State::Pending, _) => "Waits for a decision",
        (State::Granted, _) if posting.broken_by.is_some() => {
            "Not approved: whoever asked broke the glass, and it can run now"
        }
        (State::Granted, _) => "Approved, not yet carried out",
        (State::Refused, _) => "Refused",
        (State::Expired, _) => "Expired: nobody decided or carried it out in time",
        (State::Cancelled, _) => "Withdrawn",
        (State::Spent, None) => "Being carried out",
        (State::Spent, Some(true)) => "Carried out",
        (State::Spent, Some(false)) => "Approved, and it failed",
        (State::Unknown, _) => "Outcome unknown: look at the target",
    }
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": plain(text)})
}

fn status(posting: &Posting, room: Room) -> String {
    let mut text = word(posting).to_owned();
    if posting.state == State::Pending {
        let wanted: u32 = seats(posting).values().sum();
        text = format!("{text}: {} of {wanted} approved", posting.approved_by.len());
    }
    let names: Vec<String> = posting
        .approved_by
        .iter()
        .map(|one| shown(&format!("{}#{}", one.issuer, one.subject), false))
        .collect();
    if !names.is_empty() {
        text = format!("{text}\nApproved by {}", head(&names.join(", "), 2 * room.fact));
    }
    if let Some(by) = &posting.broken_by {
        text = format!(
            "{text}\nThe glass was broken by {}",
            head(&shown(by, false), room.fact)
        );
    }
    if posting.state == State::Pending && !posting.escalated_to.is_empty() {
        let groups = shown(&posting.escalated_to.join(", "), false);
        text = format!(
            "{text}\nNobody decided in time: so may {}",
            head(&groups, room.fact)
        );
    }
    text
}

/// How many people of which group: the most that one policy asks for.
fn seats(posting: &Posting) -> BTreeMap<&str, u32> {
    let mut seats = BTreeMap::new();
    for (count, group) in posting.asks.iter().flat_map(|ask| &ask.seats) {
        let most = seats.entry(group.as_str()).or_insert(0);
        *most = (*count).max(*most);
    }
    seats
}

fn facts(posting: &Posting, mask: &dyn Fn(&str) -> String, room: Room) -> Value {
    let field =
        |name: &str, value: &str| plain(&format!("{name}\n{}", head(&shown(value, false), room.fact)));
    let wanted: Vec<String> = seats(posting)
        .into_iter()
        .map(|(group, count)| format!("{count} of {group}"))
        .collect();
    let asker = format!("{}#{}", posting.requester.issuer, posting.requester.subject);
    let mut fields = vec![
        field("Asked by", &mask(&asker)),
        field("Through", &mask(&posting.agent)),
        field("Who decides", &wanted.join(", ")),
        field("Decide by", &posting.decide_by.rfc3339()),
    ];
    if let Some(by) = posting.execute_by {
        fields.push(field("Run by", &by.rfc3339()));
    }
    fields.push(field("Action", &posting.action_sha256));
    json!({"type": "section", "fields": fields})
}

/// What would change, a line each: counts and never rows.
pub(in crate::console) fn changes(posting: &Posting) -> Vec<String> {
    let mut lines = Vec::new();
    let object = |name: &str| posting.counts.as_ref()?.get(name)?.as_object();
    let (rows, schema) = (object("rows"), object("schema"));
    for (table, changes) in rows.into_iter().flatten() {
        let count = |kind: &str| changes.get(kind).and_then(Value::as_u64).unwrap_or(0);
        lines.push(format!(
            "{}: {} new, {} changed, {} removed",
            shown(table, false),
            count("inserted"),
            count("updated"),
            count("deleted")
        ));
    }
    for (object, change) in schema.into_iter().flatten() {
        let change = change.as_str().map_or_else(|| change.to_string(), str::to_owned);
        lines.push(format!(
            "schema, {}: {}",
            shown(object, false),
            shown(&change, false)
        ));
    }
    if posting.counts.is_some() && lines.is_empty() {
        lines.push("no row and no schema object".to_owned());
    }
    lines
}

fn effect(posting: &Posting, room: Room) -> Evidence {
    let mut lines = changes(posting);
    let mut missing = None;
    if lines.len() > room.tables || lines.iter().any(|line| line.chars().count() > 130) {
        missing = Some("what it would change does not fit here".to_owned());
    }
    let measured = posting.counts.as_ref().and_then(|counts| counts.get("measured"));
    if measured == Some(&Value::Bool(false)) {
        missing = Some("it was not tried before, and what is known of it does not fit here".to_owned());
    }
    let more = lines.len().saturating_sub(room.tables);
    lines.truncate(room.tables);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    if posting.counts.is_some() && posting.bound == Bound::Count {
        lines.push("Counts only: when it runs, other rows may be meant.".to_owned());
    }
    if posting.unattended {
        lines.push("Once approved, the server carries it out, whether or not anybody waits.".to_owned());
    }
    if lines.is_empty() {
        return Evidence {
            blocks: Vec::new(),
            missing,
        };
    }
    let lines: Vec<String> = lines.iter().map(|line| head(line, 130)).collect();
    Evidence {
        blocks: vec![section(&format!("What would change\n{}", lines.join("\n")))],
        missing,
    }
}

fn evidence(posting: &Posting, mask: &dyn Fn(&str) -> String, room: Room) -> Evidence {
    let none = |why: &str| Evidence {
        blocks: Vec::new(),
        missing: Some(why.to_owned()),
    };
    let Some(runs) = &posting.runs else {
        return none("what would run is not kept any more");
    };
    let commands = posting.facts.pointer("/shell/commands").and_then(Value::as_array);
    let (title, text) = match (runs.get("statement").and_then(Value::as_str), commands) {
        (Some(statement), _) => ("Exactly this statement would run", statement.to_owned()),
        (None, Some(commands)) => {
            let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
            ("Exactly these argument vectors would run", lines.join("\n"))
        }
        (None, None) => return none("what would run is shown on its page alone"),
    };
    let mut evidence = exactly(title, &text, mask, room);
    let values = runs.get("parameters").map_or(0, |all| {
        all.as_array()
            .map(Vec::len)
            .or_else(|| all.as_object().map(serde_json::Map::len))
            .unwrap_or(1)
    });
    if values > 0 {
        evidence.blocks.push(section(&format!(
            "{values} of its values are parameters: they are on its page, and never here."
        )));
        evidence
            .missing
            .get_or_insert_with(|| "its parameters are values, which are not shown here".to_owned());
    }
    evidence
}

/// A text with a number at each line, or its first lines, size and digest.
fn exactly(title: &str, text: &str, mask: &dyn Fn(&str) -> String, room: Room) -> Evidence {
    let masked = mask(text);
    let numbered = first_lines(&masked, room.lines, room.section);
    let fits = is_whole(&masked, room.lines, room.section);
    let missing = if masked != text {
        Some("a secret in it is not shown here".to_owned())
    } else if !fits {
        Some("it does not fit here".to_owned())
    } else if text.chars().any(is_right_to_left) {
        Some("letters that are written from right to left can show it in another order".to_owned())
    } else {
        None
    };
    let drawn = if fits {
        numbered
    } else {
        first_lines(&masked, room.lines.min(FIRST), room.section)
    };
    let mut blocks = vec![
        section(title),
        json!({"type": "rich_text", "elements": [
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": drawn}]},
        ]}),
    ];
    if !fits {
        blocks.push(section(&format!(
            "These are its first lines. All of it: {} bytes, {} lines, SHA-256 {}",
            text.len(),
            text.split('\n').count(),
            Hash::of(text.as_bytes()).hex()
        )));
    }
    let foreign = text.chars().filter(|c| !c.is_ascii()).count();
    if foreign > 0 {
        blocks.push(section(&format!(
            "{foreign} of its characters are not ASCII: letters may not be what they look like."
        )));
    }
    Evidence { blocks, missing }
}

/// The blocks of letters that Unicode reserves for scripts written from right to left.
fn is_right_to_left(c: char) -> bool {
    matches!(u32::from(c), 0x590..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfefe | 0x1_0800..=0x1_0fff | 0x1_e800..=0x1_efff)
}

fn because(posting: &Posting, room: Room) -> Vec<Value> {
    let line = |ask: &crate::approval::review::PostedAsk| {
        let words = ask.explain.as_deref();
        let words = words.unwrap_or("The policy asks for people's approval.");
        format!("{} ({})", shown(words, false), shown(&ask.policy, false))
    };
    let lines: Vec<String> = posting.asks.iter().map(line).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let text = format!("Why you are asked\n{}", lines.join("\n"));
    vec![section(&head(&text, room.section))]
}

/// Last, and as what it is.
fn claimed(posting: &Posting, mask: &dyn Fn(&str) -> String, room: Room) -> Vec<Value> {
    let name = posting
        .claimed_agent
        .as_deref()
        .map(|name| format!("It calls itself: {name}"));
    let said: Vec<String> = name
        .into_iter()
        .chain(posting.claimed_reason.clone())
        .map(|words| head(&inert(&shown(&mask(&words), false)), room.claim))
        .filter(|words| !words.trim().is_empty())
        .collect();
    if said.is_empty() {
        return Vec::new();
    }
    vec![
        section("Claimed by the program, checked by nobody:"),
        json!({"type": "rich_text", "elements": [
            {"type": "rich_text_quote", "elements": [{"type": "text", "text": said.join("\n")}]},
        ]}),
    ]
}

fn buttons(posting: &Posting, decides: bool) -> Option<Value> {
    let value = value(&posting.id.0, &posting.action_sha256);
    let button = |id: &str, label: &str, style: &str| json!({"type": "button", "action_id": id, "text": plain(label), "style": style, "value": value});
    let mut elements = Vec::new();
    if decides && posting.state == State::Pending {
        elements.push(button(APPROVE, "Approve exactly this, once", "primary"));
    }
    if decides {
        elements.push(button(REFUSE, "Refuse", "danger"));
    }
    if let Some(page) = &posting.page {
        elements.push(link_button("Open its page", page));
    }
    let last = json!({"type": "actions", "block_id": "tollgate_decide", "elements": elements});
    (!elements.is_empty()).then_some(last)
}

/// A button that says something back: `id` is one of those above.
pub(super) fn answer_button(id: &str, label: &str, style: &str, value: &str) -> Value {
    json!({"type": "button", "action_id": id, "text": plain(label), "style": style, "value": format!("{VALUE} {value}")})
}

/// What such a button said.
pub(super) fn answered(text: &str) -> Option<&str> {
    text.strip_prefix(VALUE)?.strip_prefix(' ')
}

/// A button that opens a page of ours.
pub(super) fn link_button(label: &str, url: &str) -> Value {
    json!({"type": "button", "action_id": PAGE, "text": plain(label), "url": url})
}

#[cfg(test)]
pub(super) mod tests;
