//! `tollgate store`: the server's own database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::load;
use super::out::Out;
use crate::app;

/// Subcommands of `store`.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Bring the store's tables up to date, and show the steps
    ///
    /// `serve` does so by itself when it starts. Each step only adds, so replicas of the version before go on beside
    /// a newer one.
    Migrate {
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Print the steps as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the whole store, as it is in one moment, into a new file
    ///
    /// Servers go on meanwhile. The file is a SQLite store whichever engine it comes from. It holds what was offered
    /// to agents, and who is signed in; the signing key and [facade] key are not in it.
    Backup {
        /// A file that does not exist yet
        file: PathBuf,
    },
    /// Put a backup into the configured store, which must be empty, and check the journal
    ///
    /// Also the way from a file to PostgreSQL. Sessions end and open requests are withdrawn, because what happened
    /// after the backup is not known; keys that were taken back after it work again: look at `tollgate keys list`.
    Restore {
        /// What `store backup` has written
        file: PathBuf,
        /// The other store was stopped before the backup and is not used any more: sessions and requests go on
        #[arg(long)]
        moved: bool,
    },
}

impl Store {
    pub(crate) async fn run(self, config: &Path, out: &mut Out) -> Result<ExitCode> {
        let config = load(config)?;
        match self {
            Self::Migrate { dry_run, json } => {
                let report = app::store_migrate(&config, !dry_run).await?;
                if json {
                    out.json(&json!(report))?;
                    return Ok(ExitCode::SUCCESS);
                }
                out.line(&report.store)?;
                for (number, name, before) in report.steps {
                    let what = match (before, dry_run) {
                        (true, _) => "there",
                        (false, true) => "missing",
                        (false, false) => "made",
                    };
                    out.line(&format!("  {number:>4}  {name}: {what}"))?;
                }
            }
            Self::Backup { file } => {
                let rows = app::store_backup(&config, &file).await?;
                out.line(&format!("{rows} rows in {}", file.display()))?;
            }
            Self::Restore { file, moved } => {
                let (rows, report) = app::store_restore(&config, &file, moved).await?;
                if !report.intact {
                    bail!(
                        "{rows} rows were restored, and the journal is not intact; `tollgate audit verify` says where"
                    );
                }
                out.line(&format!(
                    "{rows} rows restored; the journal's {} records are intact",
                    report.records
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
