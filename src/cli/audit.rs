//! `tollgate audit`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::load;
use super::out::{Out, Tone, printable, printable_lines};
use crate::app;
use crate::app::report::{ExportReport, counted};
use crate::audit::Erase;
use crate::audit::list::{CallHistory, Kept, Listed, Page, Query};
use crate::audit::replay::render;
use crate::audit::verify::Report;
use crate::clock::Timestamp;
use crate::store::read::RecordFilter;

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List calls, newest first
    ///
    /// Example: tollgate audit list --user corp#alice --refused
    List {
        #[command(flatten)]
        which: Which,
        /// Every record, not only how calls ended: intents, delivery notes, starts and reloads too
        #[arg(long)]
        all: bool,
        /// Print records as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show every record of one call
    Show {
        /// The call's id, as in answers and `audit list`
        call_id: String,
        /// Print records as JSON
        #[arg(long)]
        json: bool,
    },
    /// Replay calls: exactly what was offered to the agent, in order
    ///
    /// Example: tollgate audit replay --user corp#alice --color always | less -R
    Replay {
        #[command(flatten)]
        which: Which,
        /// Print the calls as JSON
        #[arg(long)]
        json: bool,
        /// Print the recording of one command instead, for a player of asciicasts
        ///
        /// Example: tollgate audit replay --cast 0198c6… > run.cast; asciinema play run.cast
        #[arg(long, value_name = "CALL_ID", conflicts_with = "json")]
        cast: Option<String>,
    },
    /// Check that nothing in the journal was changed, added or taken out
    ///
    /// Without --export the store is checked. With it, only the export and the public key are needed: no
    /// configuration, no store, no network.
    Verify(Verify),
    /// Write the journal to a file that can be verified anywhere
    Export {
        /// The file to make
        file: PathBuf,
        /// Also what was offered to agents, not only its commitment
        #[arg(long)]
        payloads: bool,
    },
    /// Erase what was offered; records and proofs stay valid
    Erase {
        /// Erase the payload of one call
        #[arg(
            long,
            value_name = "CALL_ID",
            conflicts_with = "before",
            required_unless_present = "before"
        )]
        call: Option<String>,
        /// Erase the payloads of all calls before a time, e.g. 2026-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        /// Why, for the record that is kept of the erasure
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Really do it: erasure cannot be undone
        #[arg(long)]
        yes: bool,
    },
}

/// What to check, and against what.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A file made by `audit export`, instead of the store
    #[arg(long, value_name = "FILE", requires = "public_key")]
    export: Option<PathBuf>,
    /// The log's public key, as `audit export` printed it (C2SP note verifier key), kept apart from the store
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// A signed checkpoint that somebody else has kept: nothing up to it can have been rewritten
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Which calls.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only this call
    #[arg(long, value_name = "CALL_ID")]
    call: Option<String>,
    /// Only this session
    #[arg(long)]
    session: Option<String>,
    /// Only this user, as <issuer>#<subject>
    #[arg(long)]
    user: Option<String>,
    /// Only this tool
    #[arg(long)]
    tool: Option<String>,
    /// Only this resource
    #[arg(long)]
    resource: Option<String>,
    /// Only refused calls
    #[arg(long)]
    refused: bool,
    /// Only since a time, e.g. 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The most calls
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Where to go on: the number printed under the last page
    #[arg(long, value_name = "N")]
    page: Option<u64>,
}

impl Which {
    fn query(self) -> Result<Query> {
        let since = self.since.as_deref().map(instant).transpose()?;
        let filter = RecordFilter {
            call_id: self.call,
            session: self.session,
            user: self.user,
            tool: self.tool,
            resource: self.resource,
            phase: self.refused.then(|| "refusal".to_owned()),
            since,
            ..RecordFilter::default()
        };
        Ok(Query {
            filter,
            limit: self.limit,
            page: self.page,
            oldest_first: false,
        })
    }
}

impl Audit {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        match self {
            Self::List { which, all, json } => {
                let mut query = which.query()?;
                query.filter.outcomes = !all;
                let page = app::audit_list(&load(file)?, &query).await?;
                if json {
                    out.json(&page)?
                } else {
                    print_list(&page, out)?
                }
            }
            Self::Show { call_id, json } => {
                let history = app::audit_show(&load(file)?, &call_id).await?;
                if json {
                    out.json(&history)?
                } else {
                    print_history(&history, out)?
                }
            }
            Self::Replay {
                cast: Some(call_id), ..
            } => {
                let history = app::audit_recording(&load(file)?, &call_id).await?;
                out.bytes(recording(&history)?.as_bytes())?;
            }
            Self::Replay { which, json, .. } => {
                let page = app::audit_replay(&load(file)?, &which.query()?).await?;
                if json {
                    out.json(&page)?;
                } else {
                    let mut text = Vec::new();
                    render(&page, out.is_coloured(), &mut text)?;
                    out.bytes(&text)?;
                }
            }
            Self::Verify(verify) => return verify.run(file, out).await,
            Self::Export { file: to, payloads } => {
                let report = app::audit_export(&load(file)?, &to, payloads).await?;
                print_exported(&report, &to, out)?;
            }
            Self::Erase {
                call,
                before,
                reason,
                yes,
            } => {
                let what = erasure(call, before, yes)?;
                let erased = app::audit_erase(&load(file)?, &what, &reason).await?;
                let said = format!("{} erased; the records stay", counted(erased, "payload"));
                out.item(Tone::Good, "ok", &said)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let (key, held) = (self.public_key.as_deref(), self.checkpoint.as_deref());
        let report = match (&self.export, key) {
            (Some(export), Some(key)) => app::audit_verify_export(export, key, held).await?,
            _ => app::audit_verify(&load(file)?, key, held).await?,
        };
        if self.json {
            out.json(&report)?;
        } else {
            print_verified(&report, out)?;
        }
        Ok(ExitCode::from(report.exit_code()))
    }
}

fn print_exported(report: &ExportReport, to: &Path, out: &mut Out) -> Result<()> {
    let to = to.display();
    let counts = format!(
        "{}, {}, {} in {to}",
        counted(report.records, "record"),
        counted(report.checkpoints, "checkpoint"),
        counted(report.bytes, "byte")
    );
    out.item(Tone::Good, "ok", &counts)?;
    out.remark(5, "keep it with somebody else; they verify it with")?;
    let verify = format!(
        "tollgate audit verify --export {to} --public-key '{}'",
        report.public_key
    );
    out.line(&format!("     {}", printable(&verify)))?;
    Ok(())
}

fn erasure(call: Option<String>, before: Option<String>, yes: bool) -> Result<Erase> {
    let what = match (call, before) {
        (Some(call), None) => Erase::Call(call),
        (None, Some(before)) => Erase::Before(instant(&before)?),
        _ => bail!("say which payloads: --call CALL_ID or --before TIME"),
    };
    if !yes {
        bail!("nothing was erased: erasure cannot be undone; add --yes to do it");
    }
    Ok(what)
}

/// RFC 3339 in UTC, in the very form the journal writes: times are compared there as text, and
/// `…:00Z` sorts after `…:00.500Z`.
fn instant(text: &str) -> Result<String> {
    let format = &time::format_description::well_known::Rfc3339;
    let millis = time::OffsetDateTime::parse(text, format)
        .ok()
        .filter(|_| text.ends_with('Z'))
        .and_then(|when| u64::try_from(when.unix_timestamp_nanos() / 1_000_000).ok());
    match millis {
        Some(millis) => Ok(Timestamp(millis).rfc3339()),
        None => bail!(
            "`{}` is not a time: write it in UTC like 2026-01-01T00:00:00Z",
            text.escape_debug()
        ),
    }
}

/// Columns as wide as what is in them, so that a page can be read down.
fn print_list(page: &Page<Listed>, out: &mut Out) -> Result<()> {
    const TITLES: [&str; 6] = ["time (UTC)", "outcome", "tool", "resource", "user", "call"];
    if page.items.is_empty() {
        out.line("no records match")?;
        return Ok(());
    }
    let rows: Vec<([String; 6], Tone)> = page.items.iter().map(columns).collect();
    let mut widths = TITLES.map(str::len);
    for (row, _) in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 6], tone: Option<Tone>, out: &Out| {
        let mut line = String::new();
        for (number, (text, width)) in row.iter().zip(widths).enumerate() {
            let padded = format!("{text:<width$}  ");
            line.push_str(&match (tone, number) {
                (Some(tone), 1) => out.paint(tone, &padded),
                (Some(_), 0 | 5) | (None, _) => out.paint(Tone::Faint, &padded),
                _ => padded,
            });
        }
        line.trim_end().to_owned()
    };
    let titles = line(&TITLES.map(str::to_owned), None, out);
    out.line(&titles)?;
    for (row, tone) in &rows {
        let line = line(row, Some(*tone), out);
        out.line(&line)?;
    }
    if let Some(next) = page.next {
        out.remark(0, &format!("more: --page {next}"))?;
    }
    Ok(())
}

/// One record as the cells of its line. Milliseconds are in `--json`.
fn columns(record: &Listed) -> ([String; 6], Tone) {
    let said = |field: &Option<String>| printable(field.as_deref().unwrap_or_default()).into_owned();
    let masked = match record.masked {
        0 => String::new(),
        count => format!(", {count} masked"),
    };
    let (tone, how) = match (record.phase.as_str(), &record.code) {
        ("refusal", Some(code)) => (Tone::Bad, format!("refused: {code}")),
        ("result", _) => (Tone::Good, format!("ok{masked}")),
        ("interrupted", _) => (Tone::Careful, "interrupted".to_owned()),
        (phase, _) => (
            Tone::Faint,
            record.event.clone().unwrap_or_else(|| phase.to_owned()),
        ),
    };
    let time = record.at.get(..19).unwrap_or(&record.at).replace('T', " ");
    let cells = [
        printable(&time).into_owned(),
        printable(&how).into_owned(),
        said(&record.tool),
        said(&record.resource),
        said(&record.user),
        said(&record.call_id),
    ];
    (cells, tone)
}

/// The recording that was kept with a call.
fn recording(history: &CallHistory) -> Result<&str> {
    let Some(kept) = &history.kept else {
        bail!("nothing was offered for this call, so there is no recording");
    };
    match kept {
        Kept::Held { offered } => offered
            .recording
            .as_deref()
            .ok_or_else(|| anyhow::anyhow!("this call was no command: there is no recording")),
        Kept::Gone => bail!("what was kept of this call is no longer there"),
        Kept::Changed => bail!("what is stored of this call is not what was kept: it is not shown"),
    }
}

fn print_history(history: &CallHistory, out: &mut Out) -> Result<()> {
    out.heading(&history.call_id)?;
    for record in &history.records {
        let text = serde_json::to_string_pretty(record)?;
        out.line(&printable_lines(&text))?;
    }
    let offered = match &history.kept {
        Some(Kept::Held { offered }) => &offered.text,
        Some(Kept::Gone) => return Ok(out.remark(2, "what was offered has been erased")?),
        Some(Kept::Changed) => {
            return Ok(out.item(Tone::Bad, "broken", "what was offered has been changed")?);
        }
        None => return Ok(out.remark(2, "nothing was offered")?),
    };
    out.heading("offered")?;
    let margin = out.paint(Tone::Faint, "  | ");
    for line in printable_lines(offered).lines() {
        out.line(&format!("{margin}{line}"))?;
    }
    Ok(())
}

fn print_verified(report: &Report, out: &mut Out) -> Result<()> {
    for problem in &report.problems {
        let place = problem
            .seq
            .map_or_else(String::new, |seq| format!("record {seq}: "));
        out.item(Tone::Bad, "broken", &format!("{place}{}", problem.what))?;
    }
    let calls = report.interrupted.iter().map(|call| (call, "was interrupted"));
    for (call, how) in calls.chain(
        report
            .unfinished
            .iter()
            .map(|call| (call, "has an intent and no outcome")),
    ) {
        let what = format!("call {} ({} by {}) {how}", call.call_id, call.tool, call.user);
        out.item(Tone::Careful, "look", &what)?;
    }
    let counts = format!(
        "{}, {}, {}, root {}",
        counted(report.records, "record"),
        counted(report.checkpoints, "checkpoint"),
        counted(report.payloads, "payload"),
        report.root
    );
    let (tone, mark) = if report.intact {
        (Tone::Good, "verified")
    } else {
        (Tone::Bad, "not verified")
    };
    out.item(tone, mark, &counts)?;
    if report.unsigned > 0 {
        out.remark(
            2,
            &format!(
                "{} of {} records are newer than the last signed checkpoint: whoever can write the store could \
                 have rewritten those",
                report.unsigned, report.records
            ),
        )?;
    }
    if report.erased > 0 {
        out.remark(2, &format!("{} payloads were erased, on record", report.erased))?;
    }
    match (report.held_elsewhere, report.key_from_outside) {
        (Some(size), _) => out.remark(
            2,
            &format!("it continues the checkpoint over {size} records held elsewhere"),
        )?,
        (None, true) => out.remark(
            2,
            "without a checkpoint held elsewhere, a rewrite by the key's owner cannot be seen",
        )?,
        (None, false) => out.remark(
            2,
            "the key came from the store itself: give --public-key and --checkpoint for proof",
        )?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_does_not_take_what_came_within_its_second_or_its_day() {
        let bound = instant("2026-01-01T00:00:00Z").unwrap();
        let just_after = Timestamp(1_767_225_600_001).rfc3339();
        let just_before = Timestamp(1_767_225_599_999).rfc3339();
        assert!(just_before < bound && bound < just_after, "{bound}");
        for other in ["2026-01-01t00:00:00Z", "2026-01-01T00:00:00.000000Z"] {
            if let Ok(same) = instant(other) {
                assert_eq!(same, bound, "{other}");
            }
        }
        for wrong in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00+01:00",
            "1969-12-31T23:59:59Z",
            "yesterdayZ",
        ] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}
