//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::names;

/// Why a configuration is refused: at least one problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Everything found; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong. Values are not quoted where they could be secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 1-based line and column (in characters); `None` when it is about a whole file.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to write or run instead.
    pub remedy: String,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let remedy = if error.kind() == std::io::ErrorKind::NotFound {
            "run `tollgate init` to make one, or name another with --config"
        } else if error.kind() == std::io::ErrorKind::IsADirectory {
            "name the file itself with --config"
        } else {
            "let the user that runs tollgate read it"
        };
        Self {
            file: file.to_owned(),
            problems: vec![Problem {
                position: None,
                message: format!("cannot be read: {error}"),
                remedy: remedy.to_owned(),
            }],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some((line, column)) = problem.position {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", problem.message)?;
            if !problem.remedy.is_empty() {
                write!(f, "\n  instead: {}", problem.remedy)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects problems while a configuration is checked, so that one run reports all of them.
pub(super) struct Problems<'a> {
    file: &'a Path,
    text: &'a str,
    found: Vec<(usize, Problem)>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    /// A problem at bytes of the text.
    pub(super) fn at(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem {
            position: Some(position(self.text, span.start)),
            message: message.into(),
            remedy: remedy.into(),
        };
        self.found.push((span.start, problem));
    }

    /// A problem of the whole file.
    pub(super) fn whole(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem {
            position: None,
            message: message.into(),
            remedy: remedy.into(),
        };
        self.found.push((0, problem));
    }

    /// What the TOML parser or serde found, in our words where we know better.
    pub(super) fn toml(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let (message, remedy) = explain(error.message(), &place_of(self.text, span.start));
        self.at(span, message, remedy);
    }

    /// `value` if nothing was found.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.found.is_empty() {
            Ok(value)
        } else {
            Err(self.into_error())
        }
    }

    /// What was found, where no value could be made because of it.
    pub(super) fn into_error(mut self) -> ConfigError {
        if self.found.is_empty() {
            self.whole("could not be understood", "compare it with docs/configuration.md");
        }
        self.found.sort_by_key(|(offset, _)| *offset);
        ConfigError {
            file: self.file.to_owned(),
            problems: self.found.into_iter().map(|(_, problem)| problem).collect(),
        }
    }
}

/// 1-based line and column, both in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Where an offset is: in the section of the table header above it, as written.
fn place_of(text: &str, offset: usize) -> String {
    let end = text.get(offset..).and_then(|rest| rest.find('\n'));
    let until = end.map_or(text.len(), |end| offset + end);
    let mut lines = text.get(..until).unwrap_or(text).lines().rev();
    let header = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let found = line.starts_with('[') && line.ends_with(']') && !line.contains('=');
        found.then(|| line.to_owned())
    };
    match lines.next().and_then(header) {
        Some(this) => format!("in the header {this}"),
        None => lines.find_map(header).map_or_else(
            || "at the top of the file".to_owned(),
            |above| format!("in {above}"),
        ),
    }
}

/// Says a parser's message in the reader's words, without quoting a value.
fn explain(message: &str, place: &str) -> (String, String) {
    let documented = "see docs/configuration.md".to_owned();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let key = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return (
            format!("unknown key `{key}` {place}"),
            names::suggest(key, &known, "keys here"),
        );
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let place = place.replace("in the header", "in");
        return (format!("{rest} is missing {place}"), documented);
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        let found = rest.split_whitespace().next().unwrap_or_default();
        let wanted = match rest.rsplit_once("expected ") {
            Some((_, "i64")) => "a whole number",
            Some((_, "a sequence")) => "a list",
            Some((_, wanted)) if !wanted.contains("struct") => wanted,
            _ => "a table",
        };
        let article = if found.starts_with(['a', 'e', 'i', 'o']) {
            "an"
        } else {
            "a"
        };
        return (
            format!("{article} {found} where {wanted} is expected, {place}"),
            documented,
        );
    }
    (format!("{} ({place})", message.trim_end()), documented)
}
