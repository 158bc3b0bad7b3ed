//! Which programs are understood, and which of their arguments are taken.
//!
//! A program in the table only reads files below the work folder and writes to its output, provided each of
//! its arguments is on its allow-list. A program that is not in the table is a script: nothing is claimed of
//! it, the policy decides about it as such and the sandbox bounds it.

use std::collections::BTreeSet;

use crate::call::{Code, Refusal};

mod find;
mod jq;
mod options;
mod paths;
mod table;
#[cfg(test)]
mod tests;

/// Words that belong to shells: they start something, or name what to start, without being a program.
const SHELL_WORDS: &[&str] = &[
    "!",
    "[[",
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "builtin",
    "caller",
    "case",
    "cd",
    "command",
    "coproc",
    "declare",
    "disown",
    "do",
    "done",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "hash",
    "history",
    "if",
    "in",
    "jobs",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "then",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
    "{",
    "}",
];

/// Whether a program is in the table.
#[must_use]
#[cfg(test)]
pub(super) fn known(name: &str) -> bool {
    name == "find" || name == "jq" || table::program(name).is_some()
}

/// Whether the resource lets a program be started by this name.
///
/// # Errors
/// `program_refused` unless it is a plain name on the resource's list.
pub(super) fn allowed(name: &str, allowed: &BTreeSet<String>) -> Result<(), Refusal> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let plain = !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(is_plain);
    if SHELL_WORDS.contains(&name) {
        return Err(refused(
            format!("`{name}` is a word of the shell, not a program; no shell runs here."),
            names(name, allowed),
        ));
    }
    if name.contains('=') {
        return Err(refused(
            format!("`{}` would set a variable; there are none here.", shown(name)),
            "Begin with the program's name.",
        ));
    }
    if name.contains('/') {
        return Err(refused(
            format!("`{}` is a path; programs are given by name.", shown(name)),
            names(name, allowed),
        ));
    }
    if !plain || name == "[" || !allowed.contains(name) {
        return Err(refused(
            format!("`{}` is not a program that can be started here.", shown(name)),
            names(name, allowed),
        ));
    }
    Ok(())
}

/// A program's arguments, understood, with abbreviated options written out; `None` for a script.
///
/// # Errors
/// `program_refused` for an argument of a known program that is not on its list.
pub(super) fn inspect(program: &str, args: &[String]) -> Result<Option<Vec<String>>, Refusal> {
    match program {
        "find" => find::inspect(args).map(Some),
        "jq" => jq::inspect(args).map(Some),
        _ => match table::program(program) {
            Some(known) => options::inspect(known, args).map(Some),
            None => Ok(None),
        },
    }
}

fn refused(message: impl Into<String>, suggestion: impl Into<String>) -> Refusal {
    Refusal::new(Code::ProgramRefused, message, suggestion)
}

/// An agent's word in a message: short, and nothing in it acts on a screen.
fn shown(word: &str) -> String {
    let mut short: String = word.chars().take(60).flat_map(|c| c.escape_debug()).collect();
    if word.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// At most eight allowed names, those that begin alike first.
fn names(wanted: &str, allowed: &BTreeSet<String>) -> String {
    let wanted = wanted.rsplit('/').next().unwrap_or(wanted);
    let alike = |name: &str| {
        let same = name
            .chars()
            .zip(wanted.chars())
            .take_while(|(a, b)| a == b)
            .count();
        std::cmp::Reverse(same)
    };
    let mut names: Vec<&str> = allowed.iter().map(String::as_str).collect();
    names.sort_by_key(|name| (alike(name), *name));
    names.truncate(8);
    match names.as_slice() {
        [] => "No program can be started here.".to_owned(),
        names => format!("Use one of: {}.", names.join(", ")),
    }
}
