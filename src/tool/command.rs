//! Commands a deployment declares: an argument vector with places for values.
//!
//! No shell reads it and nothing is parsed again: a value fills its place in one argument and cannot
//! become a second argument, an option or another program. What comes out is inspected at each call by
//! the adapter that would run it, like an `argv` an agent wrote.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::arguments::is_placeholder;
use super::parameter::Parameter;
use crate::call::{Code, Refusal, is_unseen};

/// Most elements of a command.
const MOST_ELEMENTS: usize = 64;

/// Most bytes of one argument, with its values.
const MOST_BYTES: usize = 4096;

/// What joins commands in a shell. Nobody writes these as arguments on purpose.
const SHELL_WORDS: [&str; 10] = ["|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "2>&1"];

/// Programs that run what their arguments say. A value in such a command would be code. This is a help
/// for the author, no defence: what may run is decided by the resource's `programs` and by policy.
const INTERPRETERS: [&str; 27] = [
    "sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "xargs", "eval", "exec", "sudo", "su",
    "nice", "nohup", "timeout", "setsid", "parallel", "watch", "awk", "gawk", "mawk", "sed", "perl", "ruby",
    "node", "python",
];

/// A command with places for values.
#[derive(Debug)]
pub(super) struct Template {
    elements: Vec<Element>,
}

#[derive(Debug)]
struct Element {
    parts: Vec<Part>,
    /// Stands after a literal `--`, where nothing is an option any more.
    guarded: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `{name}`
    Value(String),
    /// `{name...}`, an argument for each item; alone in its element.
    Values(String),
}

/// What is wrong with a command, for its author.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Which element.
    pub element: usize,
    /// What to write instead.
    pub message: String,
}

impl Template {
    /// Reads a command as it is written.
    pub(super) fn parse(written: &[&str], parameters: &BTreeMap<String, Parameter>) -> Result<Self, Wrong> {
        let mut elements: Vec<Element> = Vec::new();
        let mut guarded = false;
        for (index, text) in written.iter().enumerate() {
            let wrong = |message: String| Wrong {
                element: index,
                message,
            };
            let element = Element {
                parts: parts(text).map_err(wrong)?,
                guarded,
            };
            if index == 0 {
                program(text).map_err(wrong)?;
            }
            element.check(text, parameters).map_err(wrong)?;
            guarded |= *text == "--";
            elements.push(element);
        }
        let template = Self { elements };
        let size = template.elements.len();
        if size == 0 || size > MOST_ELEMENTS {
            return Err(Wrong {
                element: 0,
                message: format!(
                    "`command` is a list of 1 to {MOST_ELEMENTS} texts: the program, then its arguments"
                ),
            });
        }
        if let Some(name) = written.first().filter(|name| is_interpreter(name))
            && !template.uses().is_empty()
        {
            return Err(Wrong {
                element: 0,
                message: format!(
                    "`{name}` runs what its arguments say, so a value would be code: leave the placeholders out, or name the program itself"
                ),
            });
        }
        Ok(template)
    }

    /// Names of the parameters that have a place.
    pub(super) fn uses(&self) -> BTreeSet<&str> {
        let parts = self.elements.iter().flat_map(|element| &element.parts);
        parts.filter_map(Part::name).collect()
    }

    /// The arguments with every value in its place. A value is looked at once: what looks like a
    /// placeholder in it is text.
    ///
    /// # Errors
    /// `invalid_arguments` for a value that could be taken for something else than a value.
    pub(super) fn argv(&self, values: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
        let mut argv = Vec::with_capacity(self.elements.len());
        for element in &self.elements {
            if let [Part::Values(name)] = element.parts.as_slice() {
                let items = values.get(name).and_then(Value::as_array);
                for item in items.into_iter().flatten() {
                    argv.push(text(item, element.guarded).map_err(|why| unfit(name, why))?);
                }
                continue;
            }
            let mut whole = String::new();
            for part in &element.parts {
                match part {
                    Part::Text(text) => whole.push_str(text),
                    Part::Value(name) | Part::Values(name) => {
                        let value = values.get(name).unwrap_or(&Value::Null);
                        whole.push_str(&text(value, element.guarded).map_err(|why| unfit(name, why))?);
                    }
                }
            }
            argv.push(whole);
        }
        match argv.iter().find(|argument| argument.len() > MOST_BYTES) {
            Some(long) => Err(Refusal::new(
                Code::InvalidArguments,
                format!(
                    "An argument of the command would have {} bytes; at most {MOST_BYTES} are taken.",
                    long.len()
                ),
                "Send shorter values.",
            )),
            None => Ok(argv),
        }
    }
}

impl Part {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Value(name) | Self::Values(name) => Some(name),
        }
    }
}

impl Element {
    fn check(&self, written: &str, parameters: &BTreeMap<String, Parameter>) -> Result<(), String> {
        if written.is_empty() || written.len() > MOST_BYTES || written.chars().any(is_hidden) {
            return Err(format!(
                "an argument is plain text of 1 to {MOST_BYTES} bytes, without line breaks and invisible characters"
            ));
        }
        if !self.guarded && SHELL_WORDS.contains(&written) {
            return Err(format!(
                "`{written}`: a command is one program and no shell reads it; take several steps, or let agents use shell_run"
            ));
        }
        let named: Vec<&str> = self.parts.iter().filter_map(Part::name).collect();
        if !named.is_empty() && !self.guarded && written.starts_with('-') && !names_its_option(written) {
            return Err(
                "a value must not choose an option: write `--option={name}`, or give the value an element of its own"
                    .to_owned(),
            );
        }
        for part in &self.parts {
            let Some(name) = part.name() else { continue };
            let parameter = parameters.get(name).ok_or_else(|| {
                format!("`{{{name}}}` has no [parameters.{name}]; for a brace write {{{{ or }}}}")
            })?;
            let several = matches!(part, Part::Values(_));
            if several != parameter.is_list() {
                return Err(match several {
                    true => {
                        format!("`{{{name}...}}` is for a list: give [parameters.{name}] type = \"list\"")
                    }
                    false => format!("`{name}` is a list: write {{{name}...}} as an element of its own"),
                });
            }
            if several && (self.parts.len() > 1 || !self.guarded) {
                return Err(format!(
                    "`{{{name}...}}` stands alone in its element, and after \"--\""
                ));
            }
            if !self.guarded && parameter.may_be_negative() {
                return Err(format!(
                    "`{name}` may be negative and would look like an option: give it min = 0, or put it after \"--\""
                ));
            }
            for value in parameter.known_values() {
                let each = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                for value in each {
                    text(&value, self.guarded).map_err(|why| format!("a value of `{name}` {why}"))?;
                }
            }
        }
        Ok(())
    }
}

/// The text and the placeholders of one element; `{{` and `}}` are braces.
fn parts(element: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = element.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '{' | '}' if rest.peek() == Some(&character) => {
                rest.next();
                text.push(character);
            }
            '{' => {
                let inside: String = rest.by_ref().take_while(|next| *next != '}').collect();
                let name = inside.strip_suffix("...");
                let part = match name {
                    Some(name) => Part::Values(name.to_owned()),
                    None => Part::Value(inside.clone()),
                };
                if !element.contains(&format!("{{{inside}}}")) || !part.name().is_some_and(is_placeholder) {
                    return Err("a placeholder is {name} or {name...}; for a brace write {{ or }}".to_owned());
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(part);
            }
            '}' => return Err("for a brace write {{ or }}".to_owned()),
            other => text.push(other),
        }
    }
    if !text.is_empty() || parts.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// `--name=` in front of the first placeholder: the option is the author's, only its value is not.
fn names_its_option(element: &str) -> bool {
    element
        .strip_prefix("--")
        .and_then(|rest| rest.split_once('='))
        .is_some_and(|(name, _)| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|next| next.is_ascii_alphanumeric() || next == '-')
        })
}

/// The first element: a name, to be looked up in the resource's `programs`.
fn program(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name
            .chars()
            .all(|next| next.is_ascii_alphanumeric() || "._+-".contains(next));
    match fits {
        true => Ok(()),
        false => Err(
            "the first element is the program: a name from the resource's `programs`, neither a path nor a placeholder"
                .to_owned(),
        ),
    }
}

fn is_interpreter(name: &str) -> bool {
    let bare = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    INTERPRETERS.contains(&bare)
}

/// What a value may not hold: what acts on a screen instead of showing, and every white space but a space.
fn is_hidden(character: char) -> bool {
    is_unseen(character) || character.is_whitespace() && character != ' '
}

/// The minus sign, and what a reader takes for one.
fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// A value as (part of) an argument, or why it cannot be one.
fn text(value: &Value, guarded: bool) -> Result<String, &'static str> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("is neither a text nor a number"),
    };
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().any(is_hidden) {
        return Err("holds a line break, a control or an invisible character");
    }
    if !guarded && text.starts_with(is_dash) {
        return Err("begins with a dash, where it could be taken for an option");
    }
    Ok(text)
}

fn unfit(name: &str, why: &str) -> Refusal {
    Refusal::new(
        Code::InvalidArguments,
        format!("`{name}` {why}."),
        format!("Send `{name}` as a plain value."),
    )
}
