//! Commands in a sandbox.
//!
//! [`line`] says what would run, [`sandbox`] makes the place it runs in, [`runner`] runs it there through the
//! [`helper`], and [`output`] makes of what it writes something that can be shown. `docs/shell.md` says what
//! is promised.

pub mod helper;
mod line;
#[cfg(any(test, fuzzing))]
pub(crate) use line::fuzz;
mod output;
mod place;
mod programs;
mod protocol;
mod recording;
mod runner;
mod sandbox;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::call::answer::CommandOutput;
use crate::call::request::ShellRun;
use crate::call::{
    Code, Facts, Invocation, LastLook, Limits, MaskCounts, Probe, RawOutput, Refusal, Request, Screen, Target,
};
use crate::clock::World;
use crate::policy::Permit;

use line::{Line, When};
use place::Place;
pub use protocol::Bounds;
use protocol::{Plan, Stage, Whether};
use runner::{Allowance, Around, Broken, Ended};
pub use sandbox::Fault;
use sandbox::{Mounts, Sandbox};

/// The most bytes of the beginning, and of the end, of each stream that are given.
const KEEP: u64 = 32 * 1024;

/// A configured work folder.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Resource name.
    pub name: String,
    /// The folder below which each user has one.
    pub workdir: PathBuf,
    /// Names of the programs that may run.
    pub programs: BTreeSet<String>,
    /// What one call may use.
    pub bounds: Bounds,
    /// The program file whose [`helper`] runs inside.
    pub helper: PathBuf,
    /// What hides what must not leave, before anything is cut or passed on.
    pub screen: Arc<dyn Screen>,
}

/// An opened work folder in which programs run.
#[derive(Debug)]
pub struct Folder {
    programs: BTreeSet<String>,
    place: Place,
    sandbox: Result<Sandbox, Fault>,
    screen: Arc<dyn Screen>,
    world: Arc<dyn World>,
}

/// One command that may run.
struct Job<'a> {
    user: &'a str,
    change: bool,
    line: &'a Line,
    allowance: Allowance,
}

impl Folder {
    /// Opens it, and tries the sandbox. Without one the folder is there, and every call is refused.
    ///
    /// # Errors
    /// When the work folder cannot be made or is not what it should be.
    pub fn open(spec: Spec, world: Arc<dyn World>) -> std::io::Result<Self> {
        let place = Place::open(&spec.workdir, Sandbox::owner())?;
        let sandbox = Sandbox::tried(&spec.helper, spec.bounds, place.shared(), &place.users());
        Ok(Self {
            programs: spec.programs,
            place,
            sandbox,
            screen: spec.screen,
            world,
        })
    }

    /// The layers of the sandbox that hold here.
    ///
    /// # Errors
    /// Why there is no sandbox, for the operator.
    pub fn layers(&self) -> Result<&[String], &Fault> {
        self.sandbox.as_ref().map(Sandbox::layers)
    }

    /// What a command would start, without starting anything.
    ///
    /// # Errors
    /// `program_refused`, `invalid_arguments`, `sandbox_unavailable`.
    #[expect(clippy::unused_async, reason = "as every adapter's")]
    pub async fn inspect(&self, invocation: &Invocation) -> Result<Facts, Refusal> {
        let sandbox = self.sandbox()?;
        let (asked, line) = self.line(invocation)?;
        Ok(Facts {
            action: invocation.action,
            target: Target::Shell {
                workdir: self.place.of(&invocation.user).display().to_string(),
                sandbox: sandbox.layers().to_vec(),
            },
            sql: None,
            file: None,
            shell: Some(line::facts(&line, changes(asked))),
            classified: BTreeSet::new(),
            probe: Probe::None,
        })
    }

    /// Runs the command in the sandbox, once.
    ///
    /// # Errors
    /// `sandbox_unavailable`, `cancelled`, `outcome_unknown`, and what the last look says.
    pub async fn run(
        &self,
        permit: Permit,
        invocation: &Invocation,
        facts: &Facts,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        if self.inspect(invocation).await? != *facts {
            return Err(Refusal::internal("the command is not the one that was inspected"));
        }
        let (asked, line) = self.line(invocation)?;
        let job = Job {
            user: &invocation.user,
            change: changes(asked),
            line: &line,
            allowance: allowance(asked, permit.limits(), self.sandbox()?.bounds()),
        };
        self.execute(job, last, cancel).await
    }

    async fn execute(
        &self,
        job: Job<'_>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let sandbox = self.sandbox()?;
        let ready = self.place.ready(job.user);
        let work = ready.map_err(|error| unavailable().detail(format!("the work folder: {error}")))?;
        let mounts = Mounts {
            work,
            shared: Some(self.place.shared()),
            change: job.change,
        };
        let prepared = tokio::select! {
            () = cancel.cancelled() => return Err(Refusal::cancelled()),
            prepared = sandbox.prepare(&mounts) => prepared,
        };
        let started = prepared.map_err(|fault| unavailable().detail(fault.to_string()))?;
        last.look(None).await?; // dropped on an error, and the sandbox with it: nothing has run
        let plan = Plan::Run {
            bounds: sandbox.bounds(),
            change: mounts.change,
            stages: stages(job.line),
        };
        let around = Around {
            world: &*self.world,
            screen: &*self.screen,
            last,
        };
        match runner::run(started, &plan, job.allowance, &around, cancel).await {
            Ok(ended) => answer(ended),
            Err(Broken::Cancelled) => Err(Refusal::cancelled()),
            Err(Broken::NotStarted(why)) => Err(unavailable().detail(why)),
            Err(Broken::Silent) => Err(Refusal::new(
                Code::OutcomeUnknown,
                "The command was started, and nothing is known of its end.",
                "Look at the work folder before you repeat it.",
            )),
        }
    }

    fn sandbox(&self) -> Result<&Sandbox, Refusal> {
        let detail = |fault: &Fault| unavailable().detail(fault.to_string());
        self.sandbox.as_ref().map_err(detail)
    }

    fn line<'a>(&self, invocation: &'a Invocation) -> Result<(&'a ShellRun, Line), Refusal> {
        let Request::ShellRun(asked) = &invocation.request else {
            return Err(Refusal::internal("this is not shell_run"));
        };
        Ok((asked, line::read(asked, &self.programs)?))
    }
}

fn changes(asked: &ShellRun) -> bool {
    asked.change == Some(true)
}

fn stages(line: &Line) -> Vec<Stage> {
    let whether = |when| match when {
        When::Always => Whether::Always,
        When::OnSuccess => Whether::OnSuccess,
        When::OnFailure => Whether::OnFailure,
    };
    let argv = |argv: &line::Argv| {
        std::iter::once(&argv.program)
            .chain(&argv.args)
            .cloned()
            .collect()
    };
    line.steps
        .iter()
        .map(|step| Stage {
            when: whether(step.when),
            pipeline: step.pipeline.iter().map(argv).collect(),
        })
        .collect()
}

fn allowance(asked: &ShellRun, limits: Limits, bounds: Bounds) -> Allowance {
    let seconds = asked.timeout_seconds.unwrap_or(u64::MAX).min(limits.seconds);
    let keep = KEEP.min(limits.bytes / 4); // two ends of two streams
    Allowance {
        wall: Duration::from_secs(seconds),
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
        output: bounds.output,
    }
}

/// What a bomb leaves is not an answer: it is refused, and what it wrote is counted.
fn bomb(ended: &Ended) -> Option<Refusal> {
    let (used, instead) = match ended.stopped_by.as_deref()? {
        "memory" => ("memory", "Let it look at less at once."),
        "output" => (
            "output",
            "Let it write less: head, grep or wc can follow after a |.",
        ),
        _ => return None,
    };
    let written = ended.stdout.bytes.saturating_add(ended.stderr.bytes);
    Some(Refusal::new(
        Code::LimitExceeded,
        format!("The command was stopped by the limit on {used}, after it had written {written} bytes."),
        instead,
    ))
}

fn answer(ended: Ended) -> Result<RawOutput, Refusal> {
    if let Some(refusal) = bomb(&ended) {
        return Err(refusal);
    }
    let mut masks = MaskCounts::default();
    for (place, kept) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        for (rule, count) in &kept.masks {
            masks.add(place, rule, *count);
        }
    }
    let is_cut = ended.stdout.is_cut || ended.stderr.is_cut || ended.stopped_by.is_some();
    let mut raw = RawOutput::new(CommandOutput {
        exit_code: ended.code,
        stdout_bytes: ended.stdout.bytes,
        stderr_bytes: ended.stderr.bytes,
        stdout: ended.stdout.text,
        stderr: ended.stderr.text,
        stopped_by: ended.stopped_by,
    })
    .map_err(|error| Refusal::internal(format!("shell_run: {error}")))?;
    raw.truncated = is_cut;
    raw.source_masks = masks;
    raw.recording = Some(ended.recording);
    Ok(raw)
}

fn unavailable() -> Refusal {
    Refusal::new(
        Code::SandboxUnavailable,
        "Commands cannot be run here: there is no sandbox.",
        "Ask your operator to run `tollgate check`.",
    )
}

#[cfg(test)]
mod tests;
