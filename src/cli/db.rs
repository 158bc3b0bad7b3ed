//! `tollgate db`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::out::{Out, printable};
use crate::app;
use crate::config::Config;

/// Prepare databases for what agents may read.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Print the grants of a role that can read what is shown and nothing else
    ///
    /// Nothing is changed; whoever owns the tables runs them. For example: tollgate db grants shop | psql shop
    Grants {
        /// The resource, of kind "postgres"
        name: String,
        /// Tables that agents may change with sql_execute, besides: table or schema.table, separated by commas
        #[arg(long, value_name = "TABLES", value_delimiter = ',')]
        write: Vec<String>,
    },
    /// Propose classes for columns that nobody listed, from their names, types, comments and some of their values
    ///
    /// Lines for [resource.columns], each with its reason and never with a value. Up to 200 rows of each table are looked
    /// at, as whom the configuration names: of PostgreSQL, what that role may read. Nothing is changed.
    Classify {
        /// The resource, of kind "postgres" or "sqlite"
        name: String,
        /// Look at no values; name each column that nobody listed, and fail if there is one
        #[arg(long)]
        check: bool,
    },
}

impl Db {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let config = Config::load(file)?;
        match self {
            Self::Grants { name, write } => {
                let grants = app::db_grants(&config, &name, &write).await?;
                for line in grants.lines() {
                    out.line(&printable(line))?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Classify { name, check: false } => {
                let found = app::db_classify(&config, &name, true).await?;
                for line in found.text.lines() {
                    out.line(&printable(line))?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Classify { name, check: true } => {
                let found = app::db_classify(&config, &name, false).await?;
                for column in &found.unlisted {
                    out.line(&printable(&format!("{name}: nobody classified {column}")))?;
                }
                Ok(match found.unlisted.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }
        }
    }
}
