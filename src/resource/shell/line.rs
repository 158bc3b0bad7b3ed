//! What a command is, before it runs: `shell_run`'s arguments → the argument vectors that our own runner
//! will start, or a refusal. Pure: it reads no file, no environment and no clock.
//!
//! No shell ever sees the text, so there is no second reader to disagree with: what [`read`] gives is what
//! runs. A line is taken only if every shell would read it the same way; everything that a shell expands,
//! redirects or forks for is refused.

use std::collections::BTreeSet;

use crate::call::request::ShellRun;
use crate::call::{Refusal, ShellFacts};

/// What runs, in order: pipelines joined by how the one before ended. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The first is [`When::Always`].
    pub steps: Vec<Step>,
}

/// One pipeline and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Looks at the exit status of the last pipeline that did run: one that was passed over leaves the
    /// status as it was, as in `a && b || c`.
    pub when: When,
    /// Started together, each one's output being the next one's input; the status is the last one's.
    /// Never empty.
    pub pipeline: Vec<Argv>,
}

/// On which exit status of the pipeline before a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
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
pub struct Argv {
    /// The name, without a slash.
    pub program: String,
    /// The arguments, exactly.
    pub args: Vec<String>,
    /// Whether its arguments were understood.
    pub kind: ProgramKind,
}

/// What is known of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKind {
    /// In the table: every argument was understood and none of them writes, runs or follows anything.
    Inspection,
    /// What it does is decided by its text or by files; only the sandbox bounds it.
    Script,
}

/// argv or command, and the program names the resource allows → what would run.
///
/// # Errors
/// `invalid_arguments` for a text that is no plain line, `program_refused` for a program or an argument of it.
pub fn read(_run: &ShellRun, _allowed: &BTreeSet<String>) -> Result<Line, Refusal> {
    Err(Refusal::internal("not yet"))
}

/// What policy decides on and what a reviewer reads. `change`: whether the work folder is writable for it.
#[must_use]
pub fn facts(line: &Line, change: bool) -> ShellFacts {
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
