//! `tollgate db`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::out::{Out, printable};
use crate::app::{self, ViewsBy};
use crate::config::Config;

/// Prepare databases for what agents may read.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Print the grants of a role that can read what is shown and nothing else
    ///
    /// Nothing is changed; whoever owns the tables runs them. For example: tollgate db grants shop | psql shop
    Grants {
        /// The resource, of kind "postgres" or "mysql"
        name: String,
    },
    /// Print the masking views of a MySQL or MariaDB database, or make them with --apply
    ///
    /// Run it again whenever a table or a class has changed: until then the resource is closed. For example:
    /// tollgate db views shop --apply --as root --password file:/run/secrets/mysql-root
    Views {
        /// The resource, of kind "mysql"
        name: String,
        /// The administrator's account, who sees the tables; never the account of the resource
        #[arg(long = "as", value_name = "ACCOUNT", env = "TOLLGATE_DB_ADMIN")]
        account: String,
        /// Where the administrator's password is: env:NAME or file:/path
        #[arg(long, value_name = "REFERENCE", env = "TOLLGATE_DB_ADMIN_PASSWORD")]
        password: Option<String>,
        /// Run the statements, in order, instead of only printing them
        #[arg(long)]
        apply: bool,
    },
}

impl Db {
    pub(crate) async fn run(self, file: &Path, out: &mut Out) -> Result<ExitCode> {
        let config = Config::load(file)?;
        let script = match &self {
            Self::Grants { name } => app::db_grants(&config, name).await?,
            Self::Views {
                name,
                account,
                password,
                apply,
            } => {
                let by = ViewsBy {
                    name: account,
                    password: password.as_deref(),
                };
                app::db_views(&config, name, by, *apply).await?
            }
        };
        for line in script.lines() {
            out.line(&printable(line))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
