//! The second reader of a line: a full bash grammar (`brush-parser`), of whose tree only plain commands are
//! taken. It never sees more than [`words::split`](super::words::split) let pass.

use brush_parser::ast::{AndOr, AndOrList, Command, CommandPrefixOrSuffixItem, Pipeline, SeparatorOperator};
use brush_parser::word::{WordPiece, WordPieceWithSource};
use brush_parser::{Parser, ParserOptions, SourceInfo};
use tracing::subscriber::{NoSubscriber, with_default};

use super::words::{Joint, Words};

/// A line → its programs' words; `None` if it is no line of bash or more than plain commands.
pub(super) fn parse(line: &str) -> Option<Vec<Words>> {
    // The parser writes what it reads to the debug log; arguments have no business there.
    with_default(NoSubscriber::default(), || {
        let options = ParserOptions::default();
        let mut parser = Parser::new(line.as_bytes(), &options, &SourceInfo::default());
        let program = parser.parse_program().ok()?;
        let mut found = Vec::new();
        let [items] = program.complete_commands.as_slice() else {
            return None;
        };
        for item in &items.0 {
            match item.1 {
                SeparatorOperator::Sequence => list(&item.0, &mut found)?,
                SeparatorOperator::Async => return None,
            }
        }
        Some(found)
    })
}

fn list(list: &AndOrList, found: &mut Vec<Words>) -> Option<()> {
    pipeline(&list.first, Joint::Then, found)?;
    for next in &list.additional {
        match next {
            AndOr::And(next) => pipeline(next, Joint::And, found)?,
            AndOr::Or(next) => pipeline(next, Joint::Or, found)?,
        }
    }
    Some(())
}

fn pipeline(pipeline: &Pipeline, after: Joint, found: &mut Vec<Words>) -> Option<()> {
    if pipeline.bang || pipeline.timed.is_some() || pipeline.seq.is_empty() {
        return None;
    }
    let joints = std::iter::once(after).chain(std::iter::repeat(Joint::Pipe));
    for (command, after) in pipeline.seq.iter().zip(joints) {
        let words = simple(command)?;
        found.push(Words { after, words });
    }
    Some(())
}

fn simple(command: &Command) -> Option<Vec<String>> {
    let Command::Simple(command) = command else {
        return None;
    };
    if command.prefix.is_some() {
        return None;
    }
    let mut words = vec![text(&command.word_or_name.as_ref()?.value)?];
    for item in command.suffix.iter().flat_map(|suffix| &suffix.0) {
        match item {
            // After the program's name `a=b` is a word like any other.
            CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
                words.push(text(&word.value)?);
            }
            CommandPrefixOrSuffixItem::IoRedirect(_)
            | CommandPrefixOrSuffixItem::ProcessSubstitution(_, _) => return None,
        }
    }
    Some(words)
}

/// A word without its quotes; `None` if a shell would put something else in its place.
fn text(raw: &str) -> Option<String> {
    let pieces = brush_parser::word::parse(raw, &ParserOptions::default()).ok()?;
    let mut whole = String::new();
    for piece in pieces {
        match piece.piece {
            WordPiece::Text(text) | WordPiece::SingleQuotedText(text) => whole.push_str(&text),
            WordPiece::EscapeSequence(escape) => whole.push_str(escape.strip_prefix('\\')?),
            WordPiece::DoubleQuotedSequence(inner) => whole.push_str(&double_quoted(inner)?),
            _ => return None,
        }
    }
    Some(whole)
}

fn double_quoted(pieces: Vec<WordPieceWithSource>) -> Option<String> {
    let mut whole = String::new();
    for piece in pieces {
        match piece.piece {
            WordPiece::Text(text) => whole.push_str(&text),
            WordPiece::EscapeSequence(escape) => whole.push_str(escape.strip_prefix('\\')?),
            _ => return None,
        }
    }
    Some(whole)
}
