//! Words of others as they may stand in a message: what would act on a screen shows, and nothing is cut unsaid.

use std::fmt::Write;

use crate::call::is_unseen;

/// What begins the code point of something that would act.
const OPENS: char = '\u{27e8}';

/// Everything that acts instead of showing as its code point; line breaks and tabs stay with `lines`.
pub(in crate::console) fn shown(words: &str, lines: bool) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            _ if is_unseen(c) => {
                let _ = write!(out, "{OPENS}U+{:04X}\u{27e9}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// What stands for a point in a host's name, in whatever script: RFC 3490 section 3.1 has three more, and compatibility
/// forms of them are read the same.
pub(in crate::console) fn is_point(c: char) -> bool {
    matches!(
        c,
        '.' | '\u{2024}' | '\u{3002}' | '\u{fe12}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}'
    )
}

/// Words of others where a reader makes links and mentions by itself, of whatever looks like one: no point, colon or at
/// sign in them leads on to anything, nor does a path of another machine.
pub(in crate::console) fn inert(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words.chars().peekable();
    while let Some(c) = rest.next() {
        let colon = matches!(c, ':' | '\u{fe13}' | '\u{fe55}' | '\u{ff1a}');
        let at = matches!(c, '@' | '\u{fe6b}' | '\u{ff20}');
        let more =
            |next: &char| next.is_alphanumeric() || !next.is_ascii() || matches!(next, '/' | '-' | '_' | '<');
        let leads_on = rest.peek().is_some_and(|next| *next != OPENS && more(next));
        let path = c == '\\' && rest.peek() == Some(&'\\');
        if path || leads_on && (colon || at || is_point(c)) {
            out.push('[');
            out.push(c);
            out.push(']');
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a text, with `…` where it goes on; at most `most` characters as UTF-16 counts them.
pub(in crate::console) fn head(text: &str, most: usize) -> String {
    if units(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        let enough = left >= c.len_utf16();
        left = left.saturating_sub(c.len_utf16());
        enough
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push('…');
    out
}

/// Lines with their numbers, up to `lines` of them and `most` characters; a line that is cut says so.
pub(super) fn first_lines(text: &str, lines: usize, most: usize) -> String {
    let mut out = String::new();
    for (at, line) in text.split('\n').take(lines).enumerate() {
        let line = numbered(at, line);
        let left = most.saturating_sub(units(&out));
        out.push_str(&head(&line, left));
        if units(&line) > left {
            break;
        }
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// Whether [`first_lines`] shows all of it.
pub(super) fn is_whole(text: &str, lines: usize, most: usize) -> bool {
    let mut all = 0;
    for (at, line) in text.split('\n').enumerate() {
        all += units(&numbered(at, line));
        if at >= lines || all > most {
            return false;
        }
    }
    true
}

fn numbered(at: usize, line: &str) -> String {
    format!("{:>3}  {}\n", at + 1, shown(line, true))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_screen_shows() {
        assert_eq!(
            shown("a\u{202e}b\u{200b}c\nd", false),
            "a⟨U+202E⟩b⟨U+200B⟩c⟨U+000A⟩d"
        );
        assert_eq!(shown("a\n\tb\rc", true), "a\n\tb⟨U+000D⟩c");
    }

    #[test]
    fn nothing_is_a_link_or_a_mention_by_itself() {
        for (words, inert_words) in [
            ("see https://evil.example/x", "see https[:]//evil[.]example/x"),
            ("i\u{2764}.ws", "i\u{2764}[.]ws"),
            ("a.\u{2764}.b", "a[.]\u{2764}[.]b"),
            ("evil\u{ff0e}example", "evil[\u{ff0e}]example"),
            (
                "evil\u{3002}example evil\u{ff61}com",
                "evil[\u{3002}]example evil[\u{ff61}]com",
            ),
            ("https\u{ff1a}//x", "https[\u{ff1a}]//x"),
            ("@channel a\u{ff20}b.c", "[@]channel a[\u{ff20}]b[.]c"),
            ("@<U1> mailto:x", "[@]<U1> mailto[:]x"),
            ("10.0.0.1 x.-y", "10[.]0[.]0[.]1 x[.]-y"),
            ("\\\\host\\share C:\\x", "[\\]\\host\\share C:\\x"),
            (
                "It is done. So: yes... (see below.)",
                "It is done. So: yes... (see below.)",
            ),
        ] {
            assert_eq!(inert(words), inert_words);
        }
    }

    #[test]
    fn nothing_is_cut_unsaid() {
        assert_eq!(head("abcd", 4), "abcd");
        assert_eq!(head("abcde", 4), "abc…");
        assert_eq!(head("a🙂🙂", 4), "a🙂…");
        assert_eq!(first_lines("a\nb", 9, 100), "  1  a\n  2  b");
        assert!(is_whole("a\nb", 2, 100) && !is_whole("a\nb\nc", 2, 100));
        let long = "x".repeat(200);
        assert!(!is_whole(&long, 2, 100));
        let cut = first_lines(&long, 2, 100);
        assert!(cut.ends_with('…') && cut.encode_utf16().count() <= 100, "{cut}");
    }
}
