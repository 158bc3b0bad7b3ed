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
        /// Tables that agents may change with sql_execute, besides: table or schema.table, separated by commas
        #[arg(long, value_name = "TABLES", value_delimiter = ',')]
        write: Vec<String>,
        /// Of PostgreSQL: tables whose schema agents may change with sql_execute, as the role of `ddl`, which owns them then
        #[arg(long, value_name = "TABLES", value_delimiter = ',')]
        ddl: Vec<String>,
    },
    /// Propose classes for columns that nobody listed, from their names, types, comments and some of their values
    ///
    /// Lines for [resource.columns], each with its reason and never with a value. Up to 200 rows of each table are looked
    /// at: of a server as the administrator that --as names, or else as the role of the resource, which sees what it is
    /// granted (and of MySQL and MariaDB masks alone: there --check without --as needs the masking views). Nothing is
    /// changed. For example: tollgate db classify shop --as postgres --password env:ADMIN_PASSWORD
    Classify {
        /// The resource, of kind "postgres", "mysql" or "sqlite"
        name: String,
        /// Of a server: the administrator's account, who sees the tables
        #[arg(long = "as", value_name = "ACCOUNT", env = "TOLLGATE_DB_ADMIN")]
        account: Option<String>,
        /// Where the administrator's password is: env:NAME or file:/path
        #[arg(
            long,
            value_name = "REFERENCE",
            env = "TOLLGATE_DB_ADMIN_PASSWORD",
            requires = "account"
        )]
        password: Option<String>,
        /// Look at no values; name each column that nobody listed, and fail if there is one
        #[arg(long)]
        check: bool,
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
            Self::Grants { name, write, ddl } => app::db_grants(&config, name, write, ddl).await?,
            Self::Classify {
                name,
                account,
                password,
                check,
            } => {
                let by = account.as_deref().map(|name| ViewsBy {
                    name,
                    password: password.as_deref(),
                });
                let found = app::db_classify(&config, name, by, !check).await?;
                if !check {
                    return print(out, &found.text);
                }
                for column in &found.unlisted {
                    out.line(&printable(&format!("{name}: nobody classified {column}")))?;
                }
                return Ok(match found.unlisted.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
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
        print(out, &script)
    }
}

fn print(out: &mut Out, text: &str) -> Result<ExitCode> {
    for line in text.lines() {
        out.line(&printable(line))?;
    }
    Ok(ExitCode::SUCCESS)
}
