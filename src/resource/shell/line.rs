//! What a command is, before it runs: `shell_run`'s arguments → the argument vectors that our own runner
//! will start, or a refusal. Pure: it reads no file, no environment and no clock.
//!
//! No shell ever sees the text, so there is no second reader to disagree with: what [`read`] gives is what
//! runs. A line is taken only if every shell would read it the same way; everything that a shell expands,
//! redirects or forks for is refused.

use std::collections::BTreeSet;

use crate::call::request::ShellRun;
use crate::call::{Refusal, ShellFacts};

use super::programs;

mod parse;
mod refusing;
#[cfg(test)]
mod tests;
mod words;

use words::{Joint, Words};

/// The most arguments of one program.
const ARGUMENTS: usize = 512;
/// The most bytes of one program's arguments; Linux takes 128 KiB for one of them.
const ARGUMENT_BYTES: usize = 64 * 1024;

/// What runs, in order: pipelines joined by how the one before ended. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The first is [`When::Always`].
    pub(super) steps: Vec<Step>,
}

/// One pipeline and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Looks at the exit status of the last pipeline that did run: one that was passed over leaves the
    /// status as it was, as in `a && b || c`.
    pub(super) when: When,
    /// Started together, each one's output being the next one's input; the status is the last one's.
    /// Never empty.
    pub(super) pipeline: Vec<Argv>,
}

/// On which exit status of the pipeline before a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The first step, and after `;`.
    Always,
    /// After `&&`: it was 0.
    OnSuccess,
    /// After `||`: it was not 0.
    OnFailure,
}

/// One program to start: `program` is a plain name from the resource's `programs`, found by the sandbox in its
/// own folders and never in the work folder; `args` are without argv\[0\].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argv {
    /// The name, without a slash.
    pub(super) program: String,
    /// The arguments, exactly.
    pub(super) args: Vec<String>,
    /// Whether its arguments were understood.
    pub(super) kind: ProgramKind,
}

/// What is known of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgramKind {
    /// In the table: every argument was understood and none of them writes, runs or follows anything.
    Inspection,
    /// What it does is decided by its text or by files; only the sandbox bounds it.
    Script,
}

/// argv or command, and the program names the resource allows → what would run.
///
/// # Errors
/// `invalid_arguments` for a text that is no plain line, `program_refused` for a program or an argument of it.
pub(super) fn read(run: &ShellRun, allowed: &BTreeSet<String>) -> Result<Line, Refusal> {
    let found = match (&run.argv, &run.command) {
        (Some(argv), None) => vec![alone(argv)?],
        (None, Some(command)) => plain(command, allowed)?,
        _ => {
            return Err(refusing::invalid(
                "Exactly one of `argv` and `command` is needed.",
                "Send a program and its arguments as `argv`, or a line as `command`.",
            ));
        }
    };
    let mut steps: Vec<Step> = Vec::new();
    for Words { after, words } in found {
        let argv = argv(words, allowed)?;
        let when = match (after, steps.last_mut()) {
            (Joint::Pipe, Some(step)) => {
                step.pipeline.push(argv);
                continue;
            }
            (Joint::And, _) => When::OnSuccess,
            (Joint::Or, _) => When::OnFailure,
            (Joint::Then | Joint::Pipe, _) => When::Always,
        };
        let pipeline = vec![argv];
        steps.push(Step { when, pipeline });
    }
    Ok(Line { steps })
}

/// A line, if both readers see the same plain words in it.
///
/// The names of the programs are looked at before the grammar is: it recurses for every `if`, `{` and `!` it
/// meets where a program is expected, and a stack that overflows takes the server with it.
fn plain(command: &str, allowed: &BTreeSet<String>) -> Result<Vec<Words>, Refusal> {
    let found = words::split(command)?;
    for program in &found {
        bounded(&program.words)?;
        let name = program.words.first().map_or("", String::as_str);
        programs::allowed(name, allowed)?;
    }
    match parse::parse(command) {
        Some(parsed) if parsed == found => Ok(found),
        _ => Err(refusing::not_understood()),
    }
}

/// One program whose words have no shell meaning at all.
fn alone(argv: &[String]) -> Result<Words, Refusal> {
    let unreadable = |c: &char| words::is_treacherous(*c) && !matches!(c, '\n' | '\t');
    if let Some(c) = argv.iter().flat_map(|word| word.chars()).find(unreadable) {
        return Err(refusing::unreadable("`argv`", c));
    }
    if argv.is_empty() {
        return Err(refusing::no_program());
    }
    Ok(Words {
        after: Joint::Then,
        words: argv.to_vec(),
    })
}

/// A program's words → what is started, if the resource allows the program and, for one in the table, every
/// argument is understood.
fn argv(words: Vec<String>, allowed: &BTreeSet<String>) -> Result<Argv, Refusal> {
    bounded(&words)?;
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    programs::allowed(&program, allowed)?;
    let args: Vec<String> = words.collect();
    let (kind, args) = match programs::inspect(&program, &args)? {
        Some(args) => (ProgramKind::Inspection, args),
        None => (ProgramKind::Script, args),
    };
    Ok(Argv { program, args, kind })
}

fn bounded(words: &[String]) -> Result<(), Refusal> {
    if words.len() > ARGUMENTS {
        return Err(refusing::too_much("A program", ARGUMENTS, "words"));
    }
    if words.iter().map(String::len).sum::<usize>() > ARGUMENT_BYTES {
        return Err(refusing::too_much("A program", ARGUMENT_BYTES, "bytes of words"));
    }
    Ok(())
}

/// What policy decides on and what a reviewer reads. `change`: whether the work folder is writable for it.
#[must_use]
pub(super) fn facts(line: &Line, change: bool) -> ShellFacts {
    let argvs = || line.steps.iter().flat_map(|step| &step.pipeline);
    let script = argvs().any(|argv| argv.kind == ProgramKind::Script);
    ShellFacts {
        kind: if script { "script" } else { "inspection" }.to_owned(),
        programs: argvs().map(|argv| argv.program.clone()).collect(),
        network: false,
        change,
        commands: argvs()
            .map(|argv| {
                std::iter::once(&argv.program)
                    .chain(&argv.args)
                    .cloned()
                    .collect()
            })
            .collect(),
    }
}

/// Reads a line that an agent sends; what is taken starts allowed programs alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let names = ["cat", "ls", "grep", "find", "sort", "git", "make", "echo", "jq"];
    let allowed: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let run = ShellRun {
        resource: "build".into(),
        argv: None,
        command: Some(String::from_utf8_lossy(data).into_owned()),
        change: None,
        timeout_seconds: None,
        reason: None,
    };
    if let Ok(line) = read(&run, &allowed) {
        assert!(!line.steps.is_empty());
        for argv in line.steps.iter().flat_map(|step| &step.pipeline) {
            assert!(allowed.contains(&argv.program), "{argv:?}");
        }
        let _ = facts(&line, false);
    }
}
