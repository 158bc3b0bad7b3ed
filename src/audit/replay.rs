//! What the model was offered, in order, for people to read.
//!
//! The text is the one that was offered; only what would act on a terminal (escape sequences, other
//! control characters, characters that reorder text) is shown instead of sent.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::AuditError;
use super::list::{Kept, PAGE_MAX, Page, Query, kept, records};
use crate::call::is_unseen;
use crate::clock::Timestamp;
use crate::store::Store;
use crate::store::read::{JournalReader, Stored};

const TIME: Style = AnsiColor::BrightBlack.on_default();
const WHO: Style = AnsiColor::Cyan.on_default();
const WHAT: Style = AnsiColor::Blue.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const NOTE: Style = AnsiColor::Yellow.on_default();

/// One call, as it went.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Step {
    /// How it ended.
    pub outcome: Value,
    /// What was about to happen, where that is a record of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Value>,
    /// What was offered; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// The calls that match, oldest first, a page at a time.
///
/// # Errors
/// When the store cannot be read.
pub async fn replay(store: &Store, query: &Query) -> Result<Page<Step>, AuditError> {
    let mut query = query.clone();
    query.oldest_first = true;
    query.filter.outcomes = true;
    let page = records(store, &query).await?;
    let mut reader = store.reader().await?;
    let items = steps(&mut reader, &page.items).await?;
    reader.close().await?;
    Ok(Page {
        items,
        next: page.next,
    })
}

/// The calls of one session from record `from` on, oldest first, at most `limit`.
///
/// # Errors
/// When the store cannot be read.
pub async fn session(store: &Store, session: &str, from: u64, limit: u32) -> Result<Page<Step>, AuditError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut reader = store.reader().await?;
    let mut rows = reader.session_from(session, from, limit + 1).await?;
    let next = rows.get(limit as usize).map(|(row, _)| row.seq);
    rows.truncate(limit as usize);
    let items = steps(&mut reader, &rows).await?;
    reader.close().await?;
    Ok(Page { items, next })
}

/// The latest calls of one session that ended before a moment, newest first, at most `limit`.
///
/// # Errors
/// When the store cannot be read.
pub async fn latest(
    store: &Store,
    session: &str,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Step>, AuditError> {
    let mut reader = store.reader().await?;
    let rows = reader
        .session_before(session, &before.rfc3339(), limit.clamp(1, PAGE_MAX))
        .await?;
    let items = steps(&mut reader, &rows).await?;
    reader.close().await?;
    Ok(items)
}

async fn steps(reader: &mut JournalReader, rows: &[Stored]) -> Result<Vec<Step>, AuditError> {
    let mut items = Vec::new();
    for (row, payload) in rows {
        let outcome: Value = serde_json::from_slice(&row.record).unwrap_or_default();
        let of_call = reader.call(row.call_id.as_deref().unwrap_or_default()).await?;
        let offered = outcome.get("payload").is_some();
        items.push(Step {
            kept: offered.then(|| kept(&outcome, payload.as_ref())),
            intent: intent_of(&of_call),
            outcome,
        });
    }
    Ok(items)
}

fn intent_of(records: &[Stored]) -> Option<Value> {
    let (row, _) = records.iter().find(|(row, _)| row.phase == "intent")?;
    serde_json::from_slice(&row.record).ok()
}

/// Writes a page. `colour` adds ANSI colours and nothing else.
///
/// # Errors
/// When `out` cannot be written.
pub fn render(page: &Page<Step>, colour: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let mut pen = Pen { out, colour };
    for step in &page.items {
        pen.step(step)?;
    }
    if page.items.is_empty() {
        pen.styled(NOTE, "no calls match")?;
        pen.plain("\n")?;
    }
    if let Some(next) = page.next {
        pen.styled(NOTE, &format!("more: --page {next}"))?;
        pen.plain("\n")?;
    }
    Ok(())
}

struct Pen<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl Step {
    /// A text of how it ended, by its JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.outcome.pointer(pointer);
        found.and_then(Value::as_str).unwrap_or_default()
    }

    /// What was sent, masked, as far as it is on record.
    #[must_use]
    pub fn arguments(&self) -> Option<&Value> {
        let intended = self.intent.as_ref().and_then(|intent| intent.get("args_masked"));
        intended.or_else(|| self.outcome.get("args_masked"))
    }
}

impl Pen<'_> {
    fn step(&mut self, step: &Step) -> std::io::Result<()> {
        let record = &step.outcome;
        let text = |pointer: &str| step.text(pointer);
        self.styled(TIME, text("/at"))?;
        self.plain(" ")?;
        self.styled(WHO, text("/principal/id"))?;
        let agent = text("/agent/client_id");
        self.plain(&format!(" through {agent}, session {}\n", text("/session/id")))?;
        self.styled(WHAT, text("/tool"))?;
        if !text("/resource").is_empty() {
            self.plain(" on ")?;
            self.styled(WHAT, text("/resource"))?;
        }
        let status = text("/outcome/status");
        let style = if status == "ok" { GOOD } else { BAD };
        self.plain("  ")?;
        self.styled(style, status)?;
        let code = text("/outcome/code");
        if !code.is_empty() {
            self.plain(" ")?;
            self.styled(style, code)?;
        }
        self.styled(TIME, &format!("  {}\n", text("/call_id")))?;
        if let Some(arguments) = step.arguments() {
            self.arguments(arguments)?;
        }
        self.masks(record)?;
        match text("/repeats") {
            "" => self.kept(step.kept.as_ref())?,
            earlier => self.styled(NOTE, &format!("  the answer of call {earlier} again\n"))?,
        }
        self.plain("\n")
    }

    fn arguments(&mut self, arguments: &Value) -> std::io::Result<()> {
        for (name, value) in arguments.as_object().into_iter().flatten() {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.plain(&format!("  {name}: "))?;
            self.block(&shown)?;
        }
        Ok(())
    }

    fn masks(&mut self, record: &Value) -> std::io::Result<()> {
        for mask in record
            .get("masks")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let part = |name: &str| mask.get(name).and_then(Value::as_str).unwrap_or_default();
            let count = mask.get("count").and_then(Value::as_u64).unwrap_or_default();
            self.styled(
                NOTE,
                &format!("  masked {count} × {} in {}", part("rule"), part("where")),
            )?;
            self.plain("\n")?;
        }
        Ok(())
    }

    fn kept(&mut self, kept: Option<&Kept>) -> std::io::Result<()> {
        match kept {
            None => self.styled(NOTE, "  nothing was offered")?,
            Some(Kept::Gone) => self.styled(NOTE, "  what was offered is no longer kept")?,
            Some(Kept::Changed) => self.styled(BAD, "  what is stored is not what was offered")?,
            Some(Kept::Held { offered }) => {
                for line in offered.text.lines() {
                    self.plain("  │ ")?;
                    self.plain(line)?;
                    self.plain("\n")?;
                }
                return Ok(());
            }
        }
        self.plain("\n")
    }

    /// Several lines, the later ones indented.
    fn block(&mut self, text: &str) -> std::io::Result<()> {
        let mut lines = text.lines();
        self.plain(lines.next().unwrap_or_default())?;
        for line in lines {
            self.plain("\n    ")?;
            self.plain(line)?;
        }
        self.plain("\n")
    }

    fn styled(&mut self, style: Style, text: &str) -> std::io::Result<()> {
        if self.colour {
            write!(self.out, "{style}")?;
        }
        self.plain(text)?;
        if self.colour {
            write!(self.out, "{style:#}")?;
        }
        Ok(())
    }

    fn plain(&mut self, text: &str) -> std::io::Result<()> {
        self.out.write_all(printable(text).as_bytes())
    }
}

/// Shows control characters instead of sending them, so that what a target answered cannot move the
/// cursor, change colours, or reverse the order of what is read.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => shown.push('\u{2421}'),
            _ if is_unseen(c) => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
            _ => shown.push(c),
        }
    }
    shown
}
