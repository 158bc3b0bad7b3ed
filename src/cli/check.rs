//! `tollgate check`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::out::{Out, Tone};
use crate::app;
use crate::app::report::{CheckReport, Level};
use crate::config::{Config, ConfigError};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let report = match Config::load(file) {
            Ok(config) => app::check(&config).await,
            Err(error) => refused(&error),
        };
        if self.json {
            out.json(&report)?;
        } else {
            print(&report, out)?;
        }
        Ok(if report.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A configuration that is not understood is a report too, so that `--json` always gives one.
fn refused(error: &ConfigError) -> CheckReport {
    let mut report = CheckReport::default();
    for problem in &error.problems {
        let place = match problem.position {
            Some((line, column)) => format!("{}:{line}:{column}", error.file.display()),
            None => error.file.display().to_string(),
        };
        report.error(
            "configuration",
            format!("{place}: {}", problem.message),
            problem.remedy.clone(),
        );
    }
    report
}

fn print(report: &CheckReport, out: &mut Out) -> Result<()> {
    let mut group = "";
    for line in &report.lines {
        if line.group != group {
            group = line.group;
            out.heading(group)?;
        }
        let (tone, mark) = match line.level {
            Level::Ok => (Tone::Good, "ok   "),
            Level::Warn => (Tone::Careful, "warn "),
            Level::Error => (Tone::Bad, "error"),
        };
        out.item(tone, mark, &line.text)?;
        if !line.remedy.is_empty() {
            out.remark(8, &format!("instead: {}", line.remedy))?;
        }
    }
    if !report.gaps.is_empty() {
        out.heading("what this set-up does not protect against")?;
        for gap in &report.gaps {
            out.item(Tone::Careful, "-", &gap.what)?;
            out.remark(4, &gap.advice)?;
        }
    }
    let count = |level| report.lines.iter().filter(|line| line.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warn));
    let verdict = if report.passed() {
        out.paint(Tone::Good, "The server would start.")
    } else {
        out.paint(Tone::Bad, "The server would not start.")
    };
    out.line("")?;
    out.line(&format!("{verdict} Errors: {errors}, warnings: {warnings}."))?;
    Ok(())
}
