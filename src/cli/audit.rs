//! `tollgate audit`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::load;
use super::out::{Out, Tone, printable, printable_lines};
use crate::app;
use crate::app::report::{AuditFilter, CallStory, Erasure, ExportReport, VerifyReport};

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List calls, newest first
    ///
    /// Example: tollgate audit list --user corp#alice --refused
    List {
        #[command(flatten)]
        which: Which,
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
    /// Example: tollgate audit replay --session 4f2a --color always | less -R
    Replay {
        #[command(flatten)]
        which: Which,
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
    limit: u64,
    /// Where to go on: the number printed under the last page
    #[arg(long, value_name = "N")]
    page: Option<u64>,
}

impl Which {
    fn filter(self) -> Result<AuditFilter> {
        if let Some(since) = &self.since {
            instant(since)?;
        }
        Ok(AuditFilter {
            call_id: self.call,
            session: self.session,
            user: self.user,
            tool: self.tool,
            resource: self.resource,
            refused: self.refused,
            since: self.since,
            limit: self.limit,
            page: self.page,
        })
    }
}

impl Audit {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        match self {
            Self::List { which, json } => {
                let records = app::audit_list(&load(file)?, &which.filter()?).await?;
                if json {
                    out.json(&records)?
                } else {
                    print_list(&records, out)?
                }
            }
            Self::Show { call_id, json } => {
                let story = app::audit_show(&load(file)?, &call_id).await?;
                if json {
                    out.json(&story)?
                } else {
                    print_story(&story, out, true)?
                }
            }
            Self::Replay { which } => {
                for story in app::audit_replay(&load(file)?, &which.filter()?).await? {
                    print_story(&story, out, false)?;
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
                let said = format!("{erased} payloads erased; their records stay");
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
        let intact = report.problems.is_empty();
        Ok(if intact {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn print_exported(report: &ExportReport, to: &Path, out: &mut Out) -> Result<()> {
    let to = to.display();
    let counts = format!(
        "{} records, {} payloads, {} bytes in {to}",
        report.records, report.payloads, report.bytes
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

fn erasure(call: Option<String>, before: Option<String>, yes: bool) -> Result<Erasure> {
    let what = match (call, before) {
        (Some(call), None) => Erasure::Call(call),
        (None, Some(before)) => {
            instant(&before)?;
            Erasure::Before(before)
        }
        _ => bail!("say which payloads: --call CALL_ID or --before TIME"),
    };
    if !yes {
        bail!("nothing was erased: erasure cannot be undone; add --yes to do it");
    }
    Ok(what)
}

/// RFC 3339 in UTC: compared as text with what the journal writes, so only that form is taken.
fn instant(text: &str) -> Result<()> {
    let format = &time::format_description::well_known::Rfc3339;
    if !text.ends_with('Z') || time::OffsetDateTime::parse(text, format).is_err() {
        bail!(
            "`{}` is not a time: write it in UTC like 2026-01-01T00:00:00Z",
            text.escape_debug()
        );
    }
    Ok(())
}

/// A field of a record, as text; records of another version may lack it.
fn field<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

fn outcome(record: &Value) -> (Tone, String) {
    let phase = field(record, "/phase");
    match phase {
        "refusal" => (Tone::Bad, format!("refused {}", field(record, "/outcome/code"))),
        "interrupted" => (Tone::Careful, "interrupted".to_owned()),
        "result" => (Tone::Good, "ok".to_owned()),
        other => (Tone::Plain, other.to_owned()),
    }
}

fn user(record: &Value) -> &str {
    field(record, "/principal/id")
}

fn print_list(records: &[Value], out: &mut Out) -> Result<()> {
    for record in records {
        let (tone, outcome) = outcome(record);
        let id = out.paint(Tone::Faint, field(record, "/call_id"));
        let outcome = out.paint(tone, &outcome);
        let line = format!(
            "{}  {id}  {outcome}  {} {}  {}",
            printable(field(record, "/at")),
            printable(field(record, "/tool")),
            printable(field(record, "/resource")),
            printable(user(record)),
        );
        out.line(&line)?;
    }
    if records.is_empty() {
        out.line("no calls match")?;
    }
    Ok(())
}

fn print_story(story: &CallStory, out: &mut Out, every_field: bool) -> Result<()> {
    let Some(first) = story.records.first() else {
        return Ok(());
    };
    let title = format!(
        "{}  {} {}  by {} through {}",
        field(first, "/at"),
        field(first, "/tool"),
        field(first, "/resource"),
        user(first),
        field(first, "/agent/client_id"),
    );
    out.heading(&title)?;
    out.remark(2, field(first, "/call_id"))?;
    if let Some(arguments) = first.get("args_masked") {
        out.item(Tone::Plain, ">", &arguments.to_string())?;
    }
    if every_field {
        for record in &story.records {
            let text = serde_json::to_string_pretty(record)?;
            out.line(&printable_lines(&text))?;
        }
    }
    if let Some(last) = story.records.last() {
        let (tone, outcome) = outcome(last);
        out.item(tone, "<", &outcome)?;
    }
    match &story.offered {
        Some(offered) => {
            let margin = out.paint(Tone::Faint, "  | ");
            for line in printable_lines(offered).lines() {
                out.line(&format!("{margin}{line}"))?;
            }
        }
        None => out.remark(4, "nothing was offered, or it has been erased")?,
    }
    Ok(())
}

fn print_verified(report: &VerifyReport, out: &mut Out) -> Result<()> {
    for problem in &report.problems {
        out.item(Tone::Bad, "broken", problem)?;
    }
    for call in &report.interrupted {
        out.item(
            Tone::Careful,
            "interrupted",
            &format!("call {call} has an intent and no result"),
        )?;
    }
    for unproven in &report.unproven {
        out.item(Tone::Careful, "not shown", unproven)?;
    }
    let counts = format!(
        "{} records, {} checkpoints, root {}",
        report.records, report.checkpoints, report.root
    );
    if report.problems.is_empty() {
        out.item(Tone::Good, "verified", &counts)?;
    } else {
        out.item(Tone::Bad, "not verified", &counts)?;
    }
    Ok(())
}
