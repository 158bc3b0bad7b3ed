//! A statement with its literals numbered. The engine's grammar is over kinds of tokens, so another literal of the same
//! kind in the same place makes the same parse tree.

use super::{Reader, Token};
use crate::call::{Literal, LiteralKind, Template};

/// `None` for what cannot be read, and where a number is not one token here (`1e+5`, `.5`): nothing is free then.
pub(in super::super) fn template(text: &str) -> Option<Template> {
    let mut reader = Reader::new(text);
    let mut out = Template::default();
    let mut before: Option<(bool, usize)> = None; // whether it can be a part of what follows, and where it ended
    while let Some(token) = reader.next().ok()? {
        let (start, end) = (text.len() - reader.began, text.len() - reader.rest.len());
        let raw = text.get(start..end)?;
        let joined = before.is_some_and(|(part, at)| part && at == start);
        let kind = match &token {
            Token::Text(_) if !joined => Some(LiteralKind::Text),
            Token::Literal => match number(raw) {
                Some(_) if joined => return None,
                kind => kind,
            },
            _ => None,
        };
        if kind.is_none() && raw.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        match kind {
            Some(kind) => {
                out.literals.push(Literal {
                    kind,
                    text: raw.to_owned(),
                });
                out.text.push_str("\u{ab}literal\u{bb}");
            }
            None if raw.contains('\u{ab}') => return None, // a name that could pass for a numbered place
            None => out.text.push_str(raw),
        }
        out.text.push(' ');
        before = Some((matches!(token, Token::Word(_) | Token::Symbol('.')), end));
    }
    Some(out)
}

fn number(raw: &str) -> Option<LiteralKind> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match raw.split_once('.') {
        None => digits(raw).then_some(LiteralKind::Integer),
        Some((whole, part)) => (digits(whole) && digits(part)).then_some(LiteralKind::Decimal),
    }
}

#[cfg(test)]
mod tests {
    use super::template;

    fn literals(text: &str) -> Vec<String> {
        template(text)
            .unwrap()
            .literals
            .into_iter()
            .map(|one| one.text)
            .collect()
    }

    #[test]
    fn literals_are_what_the_engine_reads_as_such() {
        assert_eq!(
            literals("UPDATE o SET a = 'it''s', b = 2.5 -- 7\nWHERE id = 41 AND \"9\" = ?1 AND c1 > -3"),
            ["'it''s'", "2.5", "41", "3"]
        );
        let (one, other) = ("SELECT a FROM o WHERE id = 1", "SELECT a FROM o  WHERE id=22");
        assert_eq!(template(one).unwrap().text, template(other).unwrap().text);
        assert_ne!(
            template(one).unwrap().text,
            template("SELECT b FROM o WHERE id = 1").unwrap().text
        );
        // A literal of text that looks like another statement stays one literal.
        assert_eq!(literals("SELECT 'x'' OR 1=1 --' FROM o"), ["'x'' OR 1=1 --'"]);
        assert!(literals("SELECT X'ab' FROM o").is_empty(), "a blob is not a text");
        for text in [
            "SELECT 1e5",
            "SELECT 1e+5",
            "SELECT .5",
            "SELECT 0x1f",
            "SELECT 'open",
        ] {
            assert_eq!(template(text), None, "{text}");
        }
    }

    #[test]
    fn no_text_can_be_mistaken_for_a_numbered_place() {
        for text in [
            "SELECT \"\u{ab}literal\u{bb}\", 1",
            "SELECT \u{ab}literal\u{bb}, 1",
        ] {
            assert_eq!(template(text), None, "{text}");
        }
    }
}
