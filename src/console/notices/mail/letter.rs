//! A notice as a mail (RFC 5322): plain text in ASCII, with headers of ours. Made of the same notice again it is the
//! same mail to the byte, so that one that comes twice is one to who reads it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::super::told::{Told, unlinked};
use crate::clock::Timestamp;

/// The longest line that every server takes (RFC 2045 has 76 for this encoding).
const LINE: usize = 76;
/// The longest subject that stays as it is, and bytes of one encoded word of a longer one: with what is around it each
/// stays within a line (RFC 2047 has 75 characters for a word).
const SUBJECT: usize = 66;
const WORD: usize = 36;

/// Which of a request's mails it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::notices) enum Which {
    /// What opens its thread.
    First,
    /// How it ended.
    End,
    /// Whoever asked went on without being approved.
    Glass,
}

impl Which {
    fn id(self, approval: &str, domain: &str) -> String {
        let more = match self {
            Self::First => "",
            Self::End => ".end",
            Self::Glass => ".glass",
        };
        format!("<{approval}{more}@{domain}>")
    }
}

/// The mail. `at` is when what it tells of happened.
pub(super) fn letter(
    (from, to): (&str, &str),
    told: &Told,
    which: Which,
    (approval, at): (&str, &str),
) -> String {
    let domain = from.rsplit_once('@').map_or(from, |(_, domain)| domain);
    let first = Which::First.id(approval, domain);
    let mut mail = String::with_capacity(2_048);
    let mut header = |name: &str, value: &str| {
        // Written by us or read by config, each of them; and if not, it is still no further header.
        let value: String = value
            .chars()
            .filter(|c| !c.is_control() && c.is_ascii())
            .collect();
        let _ = write!(mail, "{name}: {value}\r\n");
    };
    header("From", &format!("Tollgate <{from}>"));
    header("To", to);
    header("Date", &date(at));
    header("Message-ID", &which.id(approval, domain));
    if which != Which::First {
        header("In-Reply-To", &first);
        header("References", &first);
    }
    header("Auto-Submitted", "auto-generated");
    header("X-Auto-Response-Suppress", "All");
    header("MIME-Version", "1.0");
    header("Content-Type", "text/plain; charset=utf-8");
    header("Content-Transfer-Encoding", "quoted-printable");
    let _ = write!(mail, "Subject: {}\r\n\r\n", subject(&told.title));
    mail.push_str(&quoted_printable(&words(told, which)));
    mail
}

/// What it says.
fn words(told: &Told, which: Which) -> String {
    let mut text = format!("{}\n\n", told.title);
    if let Some(page) = &told.page {
        let about = match which {
            Which::First => {
                "Decide on its page, signed in. Opening the link decides nothing, and neither does an answer to this mail:"
            }
            Which::End | Which::Glass => "Its page:",
        };
        let _ = write!(text, "{about}\n{page}\n\n");
    }
    for (name, value) in told.facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name}: {}", unlinked(value));
    }
    let lists = [
        ("What would change", &told.changes, true),
        ("Why you are asked", &told.because, false),
    ];
    for (title, lines, of_others) in lists {
        if lines.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{title}\n");
        for line in lines {
            let line = if of_others { unlinked(line) } else { line.clone() };
            let _ = writeln!(text, "  - {line}");
        }
    }
    if let Some(said) = &told.said {
        let _ = write!(text, "\nSaid by that person:\n> \u{201c}{said}\u{201d}\n");
    }
    if !told.claimed.is_empty() {
        text.push_str("\nClaimed by the program, checked by nobody:\n");
        for line in &told.claimed {
            let _ = writeln!(text, "> \u{201c}{line}\u{201d}");
        }
    }
    text
}

/// As RFC 5322 writes a time.
fn date(at: &str) -> String {
    let seconds = Timestamp::parse(at).map_or(0, Timestamp::seconds);
    let seconds = i64::try_from(seconds).unwrap_or_default();
    let when = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    when.format(&Rfc2822).unwrap_or_default()
}

/// A subject on one line of ASCII, or on several that are one (RFC 2047).
fn subject(title: &str) -> String {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic();
    if title.len() <= SUBJECT && title.chars().all(plain) && !title.contains("=?") {
        return title.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    for c in title.chars() {
        match words.last_mut() {
            Some(last) if last.len() + c.len_utf8() <= WORD => last.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let encoded: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    encoded.join("\r\n ")
}

/// Text as quoted-printable (RFC 2045 6.7).
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let mut width = 0;
        let bytes = line.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let is_last = at + 1 == bytes.len();
            let as_is = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || *byte == b' ' && !is_last;
            let more = if as_is { 1 } else { 3 };
            if width + more > LINE - 1 {
                out.push_str("=\r\n");
                width = 0;
            }
            width += more;
            if as_is {
                out.push(char::from(*byte));
            } else {
                let _ = write!(out, "={byte:02X}");
            }
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str) -> Told {
        Told {
            title: format!("Waits for a decision: {words}"),
            facts: vec![("Asked by", words.to_owned()), ("Through", String::new())],
            changes: vec![words.to_owned()],
            because: vec!["Second pair of eyes".to_owned()],
            claimed: vec![words.to_owned()],
            said: None,
            page: Some("https://approve.example.com/approvals/1".to_owned()),
            id: "1.2".to_owned(),
        }
    }

    fn made(words: &str, which: Which) -> String {
        let about = ("0199", "2026-11-22T09:30:00.000Z");
        letter(
            ("tollgate@example.com", "dba@example.com"),
            &told(words),
            which,
            about,
        )
    }

    #[test]
    fn a_mail_is_ascii_on_short_lines_and_the_same_when_it_is_made_again() {
        let hostile = format!(
            "x\r\nBcc: ceo@example.com\r\n\r\n.\r\nQUIT é\u{202e} {}",
            "y".repeat(4_000)
        );
        for which in [Which::First, Which::End, Which::Glass] {
            let mail = made(&hostile, which);
            assert_eq!(mail, made(&hostile, which));
            assert!(mail.is_ascii());
            let (head, _) = mail.split_once("\r\n\r\n").unwrap();
            for line in mail.split("\r\n") {
                assert!(line.len() <= 78 && !line.contains(['\r', '\n']), "{line:?}");
            }
            let names: Vec<&str> = head
                .split("\r\n")
                .filter(|line| !line.starts_with(' '))
                .map(|line| line.split_once(": ").unwrap().0)
                .collect();
            assert_eq!(names.iter().filter(|name| **name == "To").count(), 1, "{head}");
            assert!(
                !names.iter().any(|name| name.eq_ignore_ascii_case("bcc")),
                "{head}"
            );
            assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
        }
    }

    #[test]
    fn the_mails_of_a_request_are_one_thread() {
        let first = made("sql_query on shop", Which::First);
        assert!(
            first.contains("\r\nMessage-ID: <0199@example.com>\r\n"),
            "{first}"
        );
        assert!(
            first.contains("\r\nDate: Sun, 22 Nov 2026 09:30:00 +0000\r\n"),
            "{first}"
        );
        assert!(
            first.contains("\r\nSubject: Waits for a decision: sql_query on shop\r\n"),
            "{first}"
        );
        assert!(!first.contains("References"), "{first}");
        let end = made("sql_query on shop", Which::End);
        assert!(
            end.contains("\r\nMessage-ID: <0199.end@example.com>\r\n"),
            "{end}"
        );
        assert!(
            end.contains("\r\nIn-Reply-To: <0199@example.com>\r\nReferences: <0199@example.com>\r\n"),
            "{end}"
        );
    }

    #[test]
    fn what_the_program_claims_is_last_quoted_and_called_that() {
        let text = words(&told("buy.this now"), Which::First);
        let (before, claims) = text
            .split_once("Claimed by the program, checked by nobody:\n")
            .unwrap();
        assert_eq!(claims, "> \u{201c}buy.this now\u{201d}\n");
        assert!(
            before.contains("https://approve.example.com/approvals/1\n"),
            "{before}"
        );
        assert!(
            before.contains("  - buy[.]this now\n"),
            "what a table is called is no link: {before}"
        );
        assert!(!before.contains("Through"), "{before}");
    }

    #[test]
    fn encodings_are_those_of_the_standards() {
        assert_eq!(quoted_printable("a=b é \nx "), "a=3Db =C3=A9=20\r\nx=20\r\n");
        let long = quoted_printable(&"é".repeat(100));
        assert!(long.split("\r\n").all(|line| line.len() <= 76), "{long}");
        assert_eq!(
            long.replace("=\r\n", "").replace("=C3=A9", "é").trim(),
            "é".repeat(100)
        );
        assert_eq!(
            subject("Refused: sql_query on shop"),
            "Refused: sql_query on shop"
        );
        assert_eq!(subject("é"), "=?utf-8?B?w6k=?=");
        assert_eq!(subject("=?utf-8?Q?x?="), "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?=");
    }
}
