//! A request as people are told of it where they cannot decide: what waits, for whom, how many rows, and the link to
//! its page. Never a statement, an argument or a row; and last, as what it is, what the program claims.

use crate::approval::Event;
use crate::approval::review::Posting;
use crate::console::slack::card::changes;
use crate::console::slack::words::{head, inert, is_point, shown};

/// The longest line, and the most lines of an effect.
const LINE: usize = 300;
const LINES: usize = 10;
/// The longest claim.
const CLAIM: usize = 600;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// One line.
    pub(super) title: String,
    /// Names and what they are.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What would change.
    pub(super) changes: Vec<String>,
    /// What the policies explain.
    pub(super) because: Vec<String>,
    /// Words of the person whose doing it was.
    pub(super) said: Option<String>,
    /// Words of the program.
    pub(super) claimed: Vec<String>,
    /// Where it is decided.
    pub(super) page: Option<String>,
    /// What the same notice is called whenever it is sent.
    pub(super) id: String,
}

impl Told {
    pub(super) fn of(event: &Event, posting: &Posting, mask: &dyn Fn(&str) -> String) -> Self {
        let asker = format!("{}#{}", posting.requester.issuer, posting.requester.subject);
        let mut wanted: Vec<String> = posting
            .asks
            .iter()
            .flat_map(|ask| &ask.seats)
            .map(|(count, group)| format!("{count} of {group}"))
            .collect();
        wanted.extend(
            posting
                .escalated_to
                .iter()
                .map(|group| format!("by now also {group}")),
        );
        wanted.dedup();
        let mut lines: Vec<String> = changes(posting).iter().map(|one| line(one)).collect();
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
        let explained = posting.asks.iter().filter_map(|ask| ask.explain.as_deref());
        let claims = posting
            .claimed_agent
            .iter()
            .map(|name| format!("It calls itself: {name}"))
            .chain(posting.claimed_reason.clone());
        Self {
            title: title(event, posting),
            facts: vec![
                ("Asked by", line(&mask(&asker))),
                ("Through", line(&mask(&posting.agent))),
                ("Who decides", line(&wanted.join(", "))),
                ("Decide by", posting.decide_by.rfc3339()),
            ],
            changes: lines,
            because: explained.map(line).collect(),
            said: event
                .words
                .as_deref()
                .filter(|_| event.by.is_some())
                .map(|words| claim(&mask(words))),
            claimed: claims
                .map(|words| claim(&mask(&words)))
                .filter(|words| !words.is_empty())
                .collect(),
            page: posting.page.clone(),
            id: format!("{}.{}", event.approval, event.seq),
        }
    }

    /// How it ended: who did that, and nothing of what would have been.
    pub(super) fn ended(event: &Event, posting: &Posting, mask: &dyn Fn(&str) -> String) -> Self {
        let mut told = Self::of(event, posting, mask);
        told.facts
            .retain(|(name, _)| matches!(*name, "Asked by" | "Through"));
        // That enough people approved is nobody's doing alone: it was all of theirs.
        let approved = posting.approved_by.iter().filter(|_| event.event == "granted");
        let approved = approved.map(|one| format!("{}#{}", one.issuer, one.subject));
        let by: Vec<String> = event.by.clone().into_iter().chain(approved).collect();
        if !by.is_empty() {
            told.facts.push(("By", line(&mask(&by.join(", ")))));
        }
        told.changes.clear();
        told.because.clear();
        told.claimed.clear();
        told
    }
}

/// What it is about, on one line.
fn title(event: &Event, posting: &Posting) -> String {
    let state = match event.event.as_str() {
        "break_glass" => "Not approved, the glass was broken",
        "escalated" => "Still waits for a decision",
        "granted" => "Approved",
        "refused" => "Refused",
        "expired" => "Expired, refused by silence",
        "cancelled" => "Withdrawn",
        _ => "Waits for a decision",
    };
    let tool = &posting.tool;
    match &posting.resource {
        Some(resource) => line(&format!("{state}: {tool} on {resource}")),
        None => line(&format!("{state}: {tool}")),
    }
}

/// The same line where a reader makes links of whatever looks like a host: what others name things after leads
/// nowhere. Names as every database has them (`public.orders`, `main.orders`) stay as they are.
pub(super) fn unlinked(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut label = String::new();
    let mut rest = words.chars().peekable();
    while let Some(c) = rest.next() {
        let leads_on = rest
            .peek()
            .is_some_and(|next| next.is_alphabetic() || !next.is_ascii());
        let is_schema = c == '.' && matches!(label.as_str(), "public" | "main");
        if is_point(c) && leads_on && !label.is_empty() && !is_schema {
            out.push('[');
            out.push(c);
            out.push(']');
        } else {
            out.push(c);
        }
        match c.is_alphanumeric() || c == '-' || c == '_' || !c.is_ascii() && !is_point(c) {
            true => label.push(c),
            false => label.clear(),
        }
    }
    out
}

/// Names are of the program's making, too: none is an address to follow.
fn line(words: &str) -> String {
    let plain = still(&shown(words, false)).replace("://", "[:]//");
    let plain = plain.replace("www.", "www[.]").replace("WWW.", "WWW[.]");
    head(&plain, LINE)
}

/// Cards replace `{{DATE(…)}}` and its like by what they make of it, in runs of text as well.
fn still(words: &str) -> String {
    words.replace("{{", "{ {").replace("{{", "{ {") // the second one for `{{{`
}

/// Nothing in it is an address to a reader that makes links by itself.
fn claim(words: &str) -> String {
    head(&inert(&still(&shown(words.trim(), false))), CLAIM)
}

#[cfg(test)]
mod tests {
    use super::{claim, line, unlinked};

    #[test]
    fn what_looks_like_a_host_is_none() {
        assert_eq!(
            unlinked("shop.com and a.public.zip: 3"),
            "shop[.]com and a[.]public.zip: 3"
        );
        assert_eq!(
            unlinked("shop\u{3002}com i\u{2764}.ws a.\u{2764}.ws"),
            "shop[\u{3002}]com i\u{2764}[.]ws a[.]\u{2764}[.]ws"
        );
        assert_eq!(
            unlinked("public.orders: update 3. And 00.000Z"),
            "public.orders: update 3. And 00.000Z"
        );
    }

    #[test]
    fn a_claim_is_on_one_line_and_links_nowhere() {
        assert_eq!(
            claim("see https://evil.example/x"),
            "see https[:]//evil[.]example/x"
        );
        assert_eq!(claim("a@b.example or tel:1"), "a[@]b[.]example or tel[:]1");
        assert_eq!(claim("one.\r\ntwo\u{202e}"), "one.⟨U+000D⟩⟨U+000A⟩two⟨U+202E⟩");
        assert_eq!(claim("{{{DATE(1)}}"), "{ { {DATE(1)}}");
        assert!(claim(&"x".repeat(5_000)).chars().count() <= 600);
        assert_eq!(claim(" \n "), "");
    }
    /// What a program names a table after is a name and nothing else.
    #[test]
    fn a_name_links_nowhere_and_is_no_command() {
        assert_eq!(
            line("schema, https://evil.example/{{DATE(2026-01-01T00:00:00Z)}}: create"),
            "schema, https[:]//evil.example/{ {DATE(2026-01-01T00:00:00Z)}}: create"
        );
        assert_eq!(
            line("www.evil.example and public.orders"),
            "www[.]evil.example and public.orders"
        );
        assert_eq!(line("a\u{202e}b\nc"), "a⟨U+202E⟩b⟨U+000A⟩c");
    }
}
