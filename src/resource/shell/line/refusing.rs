//! What an agent is told when its line is no plain line.

use crate::call::{Code, Refusal};

const PLAIN: &str = "Send programs with plain words, joined by | && || or ;. Put single quotes around a word \
                     that needs special letters, or send `argv`.";

pub(super) fn invalid(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArguments, message, suggestion)
}

pub(super) fn too_much(what: &str, most: usize, unit: &str) -> Refusal {
    invalid(
        format!("{what} has more than {most} {unit}."),
        "Send less in one call.",
    )
}

pub(super) fn unreadable(what: &str, c: char) -> Refusal {
    let name = match c {
        '\n' => "a line break".to_owned(),
        '\r' => "a carriage return".to_owned(),
        '\0' => "a NUL".to_owned(),
        c => format!("the unseen letter U+{:04X}", u32::from(c)),
    };
    let suggestion = match c {
        '\n' => "Send one line; join commands with ; or &&.".to_owned(),
        _ => "Leave it out.".to_owned(),
    };
    invalid(format!("{what} holds {name}."), suggestion)
}

pub(super) fn not_plain(c: char, what: &str) -> Refusal {
    let suggestion = match what {
        "a file name pattern" => {
            "Nothing expands patterns here. Give the names, or quote the pattern for a program that \
             understands it, such as find -name '*.rs' or grep -r --include='*.rs'."
        }
        "a redirection" => "Output is returned to you; leave the redirection out. Join programs with |.",
        "an expansion" => {
            "There are no variables and no substitutions. Write the value itself, or single-quote the \
             letter if it is meant as it is."
        }
        _ => PLAIN,
    };
    invalid(
        format!("`{c}` would be {what} in a shell; no shell runs here."),
        suggestion,
    )
}

pub(super) fn unterminated(quote: &str) -> Refusal {
    invalid(format!("The line ends inside {quote}."), "Close the quotes.")
}

pub(super) fn not_a_joint(text: &str) -> Refusal {
    invalid(
        format!("`{}` does not join programs here.", text.get(..8).unwrap_or(text)),
        "Use | && || or ; and nothing in the background.",
    )
}

pub(super) fn no_program() -> Refusal {
    invalid("A program is missing.", PLAIN)
}

/// The two readers of a line disagree, or bash's grammar sees more in it than plain words.
pub(super) fn not_understood() -> Refusal {
    invalid("The line is not made of plain commands.", PLAIN)
}
