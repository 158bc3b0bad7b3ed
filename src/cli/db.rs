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
}

impl Db {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let Self::Grants { name, write } = self;
        let config = Config::load(file)?;
        let grants = app::db_grants(&config, &name, &write).await?;
        for line in grants.lines() {
            out.line(&printable(line))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
