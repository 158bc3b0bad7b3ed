//! The command line: arguments, printing, exit codes. What is done is in [`crate::app`].
//!
//! Exit codes: 0 done, 1 failed or refused, 2 the command was not understood. Answers go to standard
//! output, everything about them (errors, logs) to standard error.

mod approvals;
mod audit;
mod check;
mod db;
mod doctor;
mod init;
mod keys;
mod login;
mod out;
mod policy;
mod security_keys;
mod store;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::app;
use crate::clock::System;
use crate::config::Config;
use crate::demo;
use crate::telemetry::{self, Seen, StageTimes};
use out::{ColorChoice, Out};

/// Typed, authorised, masked and recorded tool calls for coding agents.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  tollgate demo                      see it work, on a small shop database and a repository
  tollgate init my-gateway           write a commented configuration, starter policies and a tool
  tollgate check                     what is wrong, and what this set-up does not protect against
  tollgate serve                     serve MCP over HTTP
  claude mcp add shop -- tollgate stdio --config /path/to/tollgate.toml

Every option of the configuration: docs/configuration.md")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "TOLLGATE_CONFIG",
        default_value = "tollgate.toml"
    )]
    config: PathBuf,
    /// What to log to standard error: error, warn, info, debug, or e.g. info,tollgate::audit=debug
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "TOLLGATE_LOG",
        hide_env_values = true,
        value_parser = log_directives
    )]
    log: Option<String>,
    /// The form of log lines
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Colour in answers (auto also honours NO_COLOR)
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    color: ColorChoice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over HTTP, for an organisation
    ///
    /// Agents connect to <public_url>/mcp with an access token of a configured issuer. SIGHUP (or
    /// `tollgate policy reload`) loads the policies again; SIGTERM lets running calls end.
    Serve,
    /// Serve MCP over standard input and output, for yourself
    ///
    /// Register it in an agent: claude mcp add shop -- tollgate stdio --config /path/to/tollgate.toml
    ///
    /// With --server it serves nothing itself: it carries messages to that server, with your login
    /// (`tollgate login`).
    Stdio {
        /// Carry messages to this server instead, e.g. https://gate.example.com
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// Log in at a server, for agents that start on this machine
    ///
    /// In a browser on this machine; over SSH or without a desktop, by a code that you type into a browser
    /// elsewhere. The login is kept for you alone, and renewed while it lasts.
    Login(login::Login),
    /// Log out: the server ends the login, and it is forgotten here
    Logout(login::Logout),
    /// Say who the server takes you for
    Whoami(login::Whoami),
    /// Print an access token for agents, e.g. for a header helper
    ///
    /// Nothing else goes to standard output. The token is an agent's: it opens nothing on the people's side.
    Token(login::Token),
    /// Check configuration, tools and policies, and say what this set-up does not protect against
    Check(check::Check),
    /// Ask identity providers, databases and the mail server whether they are as the configuration says, with what to do
    #[command(subcommand)]
    Doctor(doctor::Doctor),
    /// Prepare databases for what agents may read
    #[command(subcommand)]
    Db(db::Db),
    /// Write a commented configuration with starter policies and a tool
    Init(init::Init),
    /// Read the journal: what was asked, decided and offered
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Decide requests of agents that wait for people
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// Make, rotate and take back API keys of services (for the operator, on the server)
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Bring the server's own store up to date, back it up, restore it
    #[command(subcommand)]
    Store(store::Store),
    /// See and remove the security keys people approve with (for the operator, on the server)
    #[command(subcommand)]
    SecurityKeys(security_keys::SecurityKeys),
    /// Ask, test and reload the policies
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Play a short agent session on a demonstration database and repository
    ///
    /// Everything is made new in one folder, which the next demo removes.
    Demo {
        /// Leave it running and print how to register it in Claude Code, Codex, VS Code and Cursor
        #[arg(long)]
        serve: bool,
        /// The folder to make it in
        #[arg(long, value_name = "DIR", default_value = "demo-run")]
        dir: PathBuf,
    },
    /// Print a completion script for a shell
    ///
    /// For example: tollgate completions bash > ~/.local/share/bash-completion/completions/tollgate
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The program: reads the arguments, does the command, gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse(); // ends with 2 when the arguments make no sense
    let color = cli.global.color;
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            Out::stderr(color).error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { global, command } = cli;
    let mut out = Out::stdout(global.color);
    let seen = start_logging(&global, &command)?;
    let code = match command {
        Command::Init(init) => init.run(&mut out).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => completions(shell, &mut out).map(|()| ExitCode::SUCCESS),
        Command::Check(check) => on_runtime(check.run(&global.config, &mut out)),
        Command::Demo { serve, dir } => {
            let colour = out.is_coloured();
            let options = demo::run::Options { dir, serve, colour };
            on_runtime(play(&options)).map(|()| ExitCode::SUCCESS)
        }
        Command::Serve => {
            on_runtime(app::serve(load(&global.config)?, seen.clone())).map(|()| ExitCode::SUCCESS)
        }
        Command::Stdio { server: Some(server) } => {
            on_runtime(app::bridge(&server)).map(|()| ExitCode::SUCCESS)
        }
        Command::Login(login) => {
            let mut notes = Out::stderr(global.color);
            on_runtime(login.run(&mut out, &mut notes))
        }
        Command::Logout(logout) => on_runtime(logout.run(&mut out)),
        Command::Whoami(whoami) => on_runtime(whoami.run(&mut out)),
        Command::Token(token) => on_runtime(token.run(&mut out)),
        Command::Stdio { server: None } => {
            let config = load(&global.config)?;
            if std::io::stdin().is_terminal() {
                Out::stderr(global.color).line(
                    "tollgate stdio speaks MCP with an agent that starts it, not with a terminal (Ctrl-D ends it).\n\
                     To register it: claude mcp add tollgate -- tollgate stdio --config /path/to/tollgate.toml",
                )?;
            }
            on_runtime(app::stdio(config)).map(|()| ExitCode::SUCCESS)
        }
        Command::Audit(audit) => on_runtime(audit.run(&global.config, &mut out)),
        Command::Approvals(approvals) => {
            let mut notes = Out::stderr(global.color);
            on_runtime(approvals.run(&global.config, &mut out, &mut notes))
        }
        Command::Keys(keys) => {
            let mut notes = Out::stderr(global.color);
            on_runtime(keys.run(&global.config, &mut out, &mut notes))
        }
        Command::SecurityKeys(keys) => on_runtime(keys.run(&global.config, &mut out)),
        Command::Doctor(doctor) => {
            let mut notes = Out::stderr(global.color);
            on_runtime(doctor.run(&global.config, &mut out, &mut notes))
        }
        Command::Store(store) => on_runtime(store.run(&global.config, &mut out)),
        Command::Db(db) => on_runtime(db.run(&global.config, &mut out)),
        Command::Policy(policy) => on_runtime(policy.run(&global.config, &mut out)),
    };
    for stage in seen.stages.iter().flat_map(StageTimes::snapshot) {
        tracing::debug!(?stage, "microseconds");
    }
    code
}

/// The demo, told on standard output.
async fn play(options: &demo::run::Options) -> Result<()> {
    demo::run::run(options, &mut std::io::stdout(), app::on_signals()?).await
}

/// The configuration, whole or not at all.
fn load(path: &Path) -> Result<Config> {
    Ok(Config::load(path)?)
}

fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let done = runtime.block_on(work);
    // Does not wait for a thread that still reads a terminal: everything that counts has ended.
    runtime.shutdown_background();
    done
}

/// Servers say what they do; a command that answers speaks up only when something is wrong. With `debug`,
/// the stages of calls are timed and said at the end.
fn start_logging(global: &Global, command: &Command) -> Result<Seen> {
    let level = match command {
        Command::Serve => "info,rmcp=warn", // which would say twice of every request that it came and went
        Command::Check(_) => "error",       // its report says what is only worth a warning
        _ => "warn",
    };
    let filter = global.log.clone().unwrap_or_else(|| level.to_owned());
    let told = matches!(command, Command::Serve); // as metrics
    let timed = told || filter.contains("debug") || filter.contains("trace");
    let seen = Seen {
        stages: timed.then(|| StageTimes::new(Arc::new(System::new()))),
        #[cfg(feature = "otlp")]
        otlp: told.then(|| telemetry::otlp::Otlp::new(Arc::new(System::new()), app::line_mask())),
    };
    telemetry::start(telemetry::Options {
        filter,
        format: match global.log_format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
        color: global.color.on(std::io::stderr().is_terminal()),
        mask: app::line_mask(),
        seen: seen.clone(),
    })?;
    Ok(seen)
}

/// Checked while arguments are read, so that a typing mistake is a usage error.
fn log_directives(text: &str) -> Result<String, telemetry::TelemetryError> {
    telemetry::directives(text).map(|_| text.to_owned())
}

fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tollgate", &mut script);
    out.bytes(&script)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_is() {
        fn walk(command: &clap::Command, silent: &mut Vec<String>) {
            for option in command
                .get_arguments()
                .filter(|option| option.get_help().is_none())
            {
                silent.push(format!("{} {}", command.get_name(), option.get_id()));
            }
            for inner in command.get_subcommands() {
                if inner.get_about().is_none() {
                    silent.push(inner.get_name().to_owned());
                }
                walk(inner, silent);
            }
        }
        let mut silent = Vec::new();
        walk(&Cli::command(), &mut silent);
        assert_eq!(silent, Vec::<String>::new());
    }
}
