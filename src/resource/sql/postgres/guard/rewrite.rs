//! The text that is sent: the agent's, with edits, and how its places lead back.

use super::text::{Edit, MAX_SENT};
use super::{refused, text};
use crate::call::Refusal;

/// Where characters of a written text came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::resource::sql::postgres) struct Places {
    /// In order: the first character here, how many, and the first in the agent's statement, both from 0.
    /// `None` is text of ours.
    pieces: Vec<(usize, usize, Option<usize>)>,
}

impl Places {
    /// The character of the agent's statement for one of the text that was sent, both from 1 as the server
    /// counts them. `None` within text of ours.
    pub(in crate::resource::sql::postgres) fn at(&self, character: usize) -> Option<usize> {
        let at = character.checked_sub(1)?;
        let piece = self
            .pieces
            .iter()
            .find(|(start, length, _)| (*start..*start + *length).contains(&at));
        let (start, _, origin) = piece?;
        origin.map(|origin| origin + (at - start) + 1)
    }

    /// The places of `self` seen through those of a text it was made of.
    fn through(self, before: &Self) -> Self {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for (start, length, origin) in self.pieces {
            let Some(origin) = origin else {
                pieces.push((start, length, None));
                continue;
            };
            // A piece may lie over several of the earlier text.
            for (from, many, first) in &before.pieces {
                let begin = origin.max(*from);
                let end = (origin + length).min(from + many);
                if begin < end {
                    let earlier = first.map(|first| first + (begin - from));
                    pieces.push((start + (begin - origin), end - begin, earlier));
                }
            }
        }
        Self { pieces }
    }
}

/// A text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sql: String,
    pub(super) places: Places,
}

impl Written {
    /// A text as it is.
    pub(super) fn verbatim(sql: &str) -> Self {
        let length = sql.chars().count();
        Self {
            sql: sql.to_owned(),
            places: Places {
                pieces: vec![(0, length, Some(0))],
            },
        }
    }

    /// This text with edits.
    ///
    /// # Errors
    /// `statement_refused` when it becomes too long; `internal` when edits overlap.
    pub(super) fn edited(&self, mut edits: Vec<Edit>) -> Result<Self, Refusal> {
        edits.sort_by_key(|edit| (edit.start, edit.end));
        let mut sql =
            String::with_capacity(self.sql.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
        let mut pieces = Vec::with_capacity(edits.len() * 2 + 1);
        let (mut from, mut read, mut written) = (0, 0, 0);
        for edit in &edits {
            let broken = || Refusal::internal("postgres guard: edits overlap");
            let kept = self.sql.get(from..edit.start).ok_or_else(broken)?;
            let gone = self.sql.get(edit.start..edit.end).ok_or_else(broken)?;
            let (many, added) = (kept.chars().count(), edit.text.chars().count());
            pieces.push((written, many, Some(read)));
            pieces.push((written + many, added, None));
            written += many + added;
            read += many + gone.chars().count();
            sql.push_str(kept);
            sql.push_str(&edit.text);
            from = edit.end;
            if sql.len() > MAX_SENT {
                return Err(refused(
                    format!("With its masks the statement has more than {MAX_SENT} bytes."),
                    "Name wide tables fewer times, or split the statement.",
                ));
            }
        }
        let rest = self.sql.get(from..).unwrap_or("");
        pieces.push((written, rest.chars().count(), Some(read)));
        sql.push_str(rest);
        pieces.retain(|(_, length, _)| *length > 0);
        Ok(Self {
            sql,
            places: Places { pieces }.through(&self.places),
        })
    }
}

/// A statement without comments, with numbers in place of its parameters' names.
///
/// Comments say nothing to the server, but something to poolers and planner extensions before and in it.
///
/// # Errors
/// `statement_refused`.
pub(super) fn plain(statement: &str, named: &[String]) -> Result<Written, Refusal> {
    let tokens = text::read(statement)?;
    let mut edits = text::numbered(&tokens, named)?;
    edits.extend(
        tokens
            .comments
            .iter()
            .map(|(start, end)| Edit::new(*start, *end, " ")),
    );
    let ends = tokens
        .tokens
        .iter()
        .filter(|lexeme| lexeme.token == pg_query::protobuf::Token::Ascii59);
    edits.extend(ends.map(|lexeme| Edit::new(lexeme.start, lexeme.end, " ")));
    let written = Written::verbatim(statement);
    if edits.is_empty() {
        Ok(written)
    } else {
        written.edited(edits)
    }
}
