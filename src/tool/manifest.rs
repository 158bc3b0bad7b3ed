//! Tools a deployment declares: `tools/*.toml`, one tool per file, no code. Format: `docs/tools.md`.
//!
//! What a declared tool does is fixed by its file; an agent gives values, which are checked here and
//! bound by the adapter or placed in one argument, never pasted. A statement and a command are
//! inspected at each call like one an agent wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::LoadError;
use super::arguments::is_placeholder;
use super::catalogue::BUILT_IN;
use super::command::Template;
use super::declared::{Declared, Does};
use super::parameter::Parameter;
use super::statement::placeholders;
use super::steps::{self, StepTemplate};
use crate::call::{Hash, ResourceKind};

/// Names of arguments that tools have without declaring them.
const RESERVED: &[&str] = &["resource", "limit", "cursor", "reason"];

/// The same of a tool with steps.
const OF_STEPS: &[&str] = &["reason"];

/// Longest time a command may ask for, in seconds; the server's own limit is usually less.
const LONGEST: u64 = 3_600;

/// Largest file, in bytes.
const LARGEST: u64 = 256 * 1024;

/// A file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    title: String,
    description: Spanned<String>,
    kind: Option<Spanned<ResourceKind>>,
    resource: Option<Spanned<String>>,
    statement: Option<Spanned<String>>,
    execute: Option<Spanned<String>>,
    command: Option<Spanned<Vec<Spanned<String>>>>,
    change: Option<Spanned<bool>>,
    timeout_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<Parameter>>,
    #[serde(default)]
    step: Vec<Spanned<steps::Written>>,
}

/// Loads every `*.toml` directly inside a folder, sorted by tool name.
pub(super) fn load(dir: &Path, kinds: &BTreeMap<String, ResourceKind>) -> Result<Vec<Declared>, LoadError> {
    let failed = |file: &Path, error: &std::io::Error| LoadError {
        file: file.to_owned(),
        line: None,
        message: format!("cannot be read: {error}"),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut tools: BTreeMap<String, (PathBuf, Declared)> = BTreeMap::new();
    for path in files {
        let size = std::fs::metadata(&path)
            .map_err(|error| failed(&path, &error))?
            .len();
        if size > LARGEST {
            return Err(LoadError {
                file: path,
                line: None,
                message: format!("is larger than {LARGEST} bytes; a tool is one statement"),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let declared = Source {
            path: &path,
            text: &text,
        }
        .declared(kinds)?;
        if let Some((other, _)) = tools.get(&declared.name) {
            return Err(LoadError {
                message: format!(
                    "`{}` is already declared in {}; choose another name",
                    declared.name,
                    other.display()
                ),
                file: path,
                line: None,
            });
        }
        tools.insert(declared.name.clone(), (path, declared));
    }
    Ok(tools.into_values().map(|(_, declared)| declared).collect())
}

/// One file while it is checked: knows where things are.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, at: Option<usize>, message: impl Into<String>) -> LoadError {
        LoadError {
            file: self.path.to_owned(),
            line: at.map(|at| self.line(at)),
            message: message.into(),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn declared(&self, kinds: &BTreeMap<String, ResourceKind>) -> Result<Declared, LoadError> {
        let file: File = toml::from_str(self.text)
            .map_err(|error| self.wrong(error.span().map(|span| span.start), error.message()))?;
        self.name(&file.name)?;
        if file.title.trim().is_empty() || file.description.get_ref().trim().is_empty() {
            let at = Some(file.description.span().start);
            return Err(self.wrong(at, "`title` and `description` must say what the tool does"));
        }
        if file.description.get_ref().chars().count() > 500 {
            let at = Some(file.description.span().start);
            return Err(self.wrong(
                at,
                "`description` is longer than 500 characters; every agent reads it in every session",
            ));
        }
        let mut parameters = BTreeMap::new();
        for (name, parameter) in &file.parameters {
            let reserved = if file.step.is_empty() { RESERVED } else { OF_STEPS };
            parameters.insert(name.clone(), self.parameter(name, parameter, reserved)?);
        }
        self.kind(&file, kinds)?;
        let does = self.does(&file, &parameters)?;
        let (does, used) = match does {
            Some(done) => done,
            None => self.steps(file.step, &parameters)?,
        };
        if let Some((name, parameter)) = file.parameters.iter().find(|(name, _)| !used.contains(*name)) {
            let place = match does {
                Does::Query(_) | Does::Change(_) => {
                    format!("put :{name} into the statement, outside of quotes and comments")
                }
                Does::Command { .. } => format!("put {{{name}}} into the command"),
                Does::Steps { .. } => format!("make \"{{{name}}}\" an argument of a step"),
            };
            return Err(self.wrong(
                Some(parameter.span().start),
                format!("parameter `{name}` is not used: {place}"),
            ));
        }
        Ok(Declared {
            name: file.name.into_inner(),
            title: file.title,
            description: file.description.into_inner(),
            kind: file.kind.map(Spanned::into_inner),
            resource: file.resource.map(Spanned::into_inner),
            does,
            parameters,
            file: self.path.to_owned(),
            digest: Hash::of(self.text.as_bytes()),
        })
    }

    /// The kind of resource fits what is declared, and the resource, if one is named, fits the kind.
    fn kind(&self, file: &File, kinds: &BTreeMap<String, ResourceKind>) -> Result<(), LoadError> {
        let does = [
            (
                file.statement.is_some(),
                "statement",
                &ResourceKind::DATABASES[..],
            ),
            (file.execute.is_some(), "execute", &ResourceKind::DATABASES[..]),
            (file.command.is_some(), "command", &[ResourceKind::Shell][..]),
            (!file.step.is_empty(), "[[step]]", &[][..]),
        ];
        let mut given = does.into_iter().filter(|(given, _, _)| *given);
        let (Some((_, word, fitting)), None) = (given.next(), given.next()) else {
            return Err(self.wrong(
                Some(file.name.span().start),
                "say what the tool does with exactly one of `statement` (a query), `execute` (a change of a database), `command` and [[step]]",
            ));
        };
        let at = file.kind.as_ref().map(|kind| kind.span().start);
        match &file.kind {
            Some(written) if fitting.contains(written.get_ref()) => {
                if let Some(resource) = &file.resource {
                    self.resource(resource, *written.get_ref(), kinds)?;
                }
            }
            _ if !fitting.is_empty() => {
                let quoted = fitting.iter().map(|kind| format!("\"{}\"", kind.as_str()));
                let fitting = ResourceKind::either(quoted);
                return Err(self.wrong(
                    at.or(Some(file.name.span().start)),
                    format!("`{word}` needs kind = {fitting}"),
                ));
            }
            None => {
                if let Some(resource) = &file.resource {
                    return Err(self.wrong(
                        Some(resource.span().start),
                        "a tool with steps has no `resource`: give it to each step, in its arguments",
                    ));
                }
            }
            Some(_) => {
                return Err(self.wrong(
                    at,
                    "a tool with steps has no `kind`: each step's tool has its own",
                ));
            }
        }
        self.only_of_commands(file)
    }

    /// Keys that only a command has.
    fn only_of_commands(&self, file: &File) -> Result<(), LoadError> {
        let foreign = [
            file.change.as_ref().map(|change| (change.span().start, "change")),
            file.timeout_seconds
                .as_ref()
                .map(|seconds| (seconds.span().start, "timeout_seconds")),
        ];
        match foreign
            .into_iter()
            .flatten()
            .next()
            .filter(|_| file.command.is_none())
        {
            Some((at, key)) => Err(self.wrong(Some(at), format!("`{key}` is for a tool with `command`"))),
            None => Ok(()),
        }
    }

    /// A statement or a command, and the parameters it uses; nothing for steps.
    fn does(
        &self,
        file: &File,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Option<(Does, BTreeSet<String>)>, LoadError> {
        if let Some(statement) = &file.statement {
            let used = self.statement(statement, "statement", &file.parameters, parameters)?;
            return Ok(Some((Does::Query(statement.get_ref().clone()), used)));
        }
        if let Some(statement) = &file.execute {
            let used = self.statement(statement, "execute", &file.parameters, parameters)?;
            return Ok(Some((Does::Change(statement.get_ref().clone()), used)));
        }
        let Some(command) = &file.command else {
            return Ok(None);
        };
        for (name, parameter) in parameters {
            let at = file.parameters.get(name).map(|parameter| parameter.span().start);
            parameter
                .fits_a_command()
                .map_err(|why| self.wrong(at, format!("parameter `{name}`: {why}")))?;
        }
        let timeout_seconds = file.timeout_seconds.as_ref();
        if let Some(seconds) = timeout_seconds.filter(|seconds| !(1..=LONGEST).contains(seconds.get_ref())) {
            return Err(self.wrong(
                Some(seconds.span().start),
                format!("`timeout_seconds` is from 1 to {LONGEST}"),
            ));
        }
        let elements = command.get_ref();
        let written: Vec<&str> = elements
            .iter()
            .map(|element| element.get_ref().as_str())
            .collect();
        let template = Template::parse(&written, parameters).map_err(|wrong| {
            let element = elements.get(wrong.element);
            let at = element.map_or(command.span().start, |element| element.span().start);
            self.wrong(Some(at), wrong.message)
        })?;
        let used = template.uses().into_iter().map(str::to_owned).collect();
        let does = Does::Command {
            template,
            change: file.change.as_ref().is_some_and(|change| *change.get_ref()),
            timeout_seconds: timeout_seconds.map(|seconds| *seconds.get_ref()),
        };
        Ok(Some((does, used)))
    }

    fn steps(
        &self,
        written: Vec<Spanned<steps::Written>>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<(Does, BTreeSet<String>), LoadError> {
        let mut steps = Vec::new();
        for (number, step) in (1..).zip(written) {
            let at = step.span().start;
            if number > steps::MOST {
                return Err(self.wrong(Some(at), format!("a tool has at most {} steps", steps::MOST)));
            }
            let line = self.line(step.get_ref().tool.span().start);
            let parsed = StepTemplate::parse(step.into_inner(), line, parameters);
            steps.push(parsed.map_err(|why| self.wrong(Some(at), format!("step {number}: {why}")))?);
        }
        let used = steps
            .iter()
            .flat_map(StepTemplate::uses)
            .map(str::to_owned)
            .collect();
        Ok((Does::Steps { steps, change: false }, used))
    }

    fn name(&self, name: &Spanned<String>) -> Result<(), LoadError> {
        let (at, name) = (Some(name.span().start), name.get_ref());
        let mut bytes = name.bytes();
        let fits = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && name.len() <= 40;
        if !fits {
            return Err(self.wrong(
                at,
                format!("the name {name:?} must be lower-case letters, digits and _, begin with a letter, and have at most 40 characters"),
            ));
        }
        if BUILT_IN.iter().any(|tool| tool.name == name) {
            return Err(self.wrong(at, format!("`{name}` is a built-in tool; choose another name")));
        }
        Ok(())
    }

    fn resource(
        &self,
        resource: &Spanned<String>,
        kind: ResourceKind,
        kinds: &BTreeMap<String, ResourceKind>,
    ) -> Result<(), LoadError> {
        let (at, name) = (Some(resource.span().start), resource.get_ref());
        match kinds.get(name) {
            Some(its) if *its == kind => Ok(()),
            Some(its) => Err(self.wrong(
                at,
                format!("resource `{name}` is of kind {}, this tool of kind {}", its.as_str(), kind.as_str()),
            )),
            None => Err(self.wrong(
                at,
                format!("no resource `{name}` is configured; name one, or leave `resource` out to make it an argument"),
            )),
        }
    }

    fn parameter(
        &self,
        name: &str,
        spanned: &Spanned<Parameter>,
        reserved: &[&str],
    ) -> Result<Parameter, LoadError> {
        let wrong = |message: String| {
            self.wrong(
                Some(spanned.span().start),
                format!("parameter `{name}`: {message}"),
            )
        };
        if !is_placeholder(name) {
            return Err(wrong(
                "a name is letters, digits and _, and begins with a letter".to_owned(),
            ));
        }
        if reserved.contains(&name) {
            return Err(wrong(format!(
                "this name is taken: a tool has its own {}",
                reserved.join(", ")
            )));
        }
        spanned.get_ref().clone().checked(name).map_err(wrong)
    }

    /// Every placeholder is declared, and there is one kind of placeholder. Gives those that are used.
    fn statement(
        &self,
        statement: &Spanned<String>,
        key: &str,
        written: &BTreeMap<String, Spanned<Parameter>>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<BTreeSet<String>, LoadError> {
        let span = statement.span();
        if statement.get_ref().trim().is_empty() {
            return Err(self.wrong(Some(span.start), format!("`{key}` is empty")));
        }
        for (name, parameter) in parameters {
            let at = written.get(name).map(|parameter| parameter.span().start);
            parameter
                .fits_a_statement()
                .map_err(|why| self.wrong(at, format!("parameter `{name}`: {why}")))?;
        }
        let mut used = BTreeSet::new();
        for placeholder in placeholders(statement.get_ref()) {
            let at = self.find(&span, &placeholder.text);
            match placeholder.name {
                Some(name) if parameters.contains_key(&name) => {
                    used.insert(name);
                }
                Some(name) => {
                    return Err(self.wrong(at, format!("`:{name}` has no [parameters.{name}]")));
                }
                None => {
                    return Err(
                        self.wrong(at, format!("`{}`: write placeholders as :name", placeholder.text))
                    );
                }
            }
        }
        Ok(used)
    }

    /// Where a piece of the statement stands in the file.
    fn find(&self, span: &Range<usize>, text: &str) -> Option<usize> {
        let inside = self.text.get(span.clone())?;
        Some(span.start + inside.find(text).unwrap_or_default())
    }
}
