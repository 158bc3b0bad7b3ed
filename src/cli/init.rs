//! `tollgate init`: a configuration that starts, with words that explain it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::out::{Out, Tone, printable};
use crate::ownership::shell_word;

/// Every text file `init` writes, by path below the folder. `@UID@` becomes the caller's user id.
const FILES: [(&str, &str); 4] = [
    ("tollgate.toml", include_str!("init/tollgate.toml")),
    ("policies/roles.cedar", include_str!("init/roles.cedar")),
    ("policies/tests/roles.toml", include_str!("init/roles-tests.toml")),
    (
        "tools/orders_of_customer.toml",
        include_str!("init/orders_of_customer.toml"),
    ),
];

/// The sample database, so that the very first query has an answer.
const SAMPLE: (&str, &str) = ("example.db", include_str!("init/example.sql"));

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder to write into; made if it does not exist
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Init {
    pub(crate) fn run(self, out: &mut Out) -> Result<()> {
        let names = FILES.iter().map(|(name, _)| *name).chain([SAMPLE.0]);
        let taken = names
            .map(|name| self.dir.join(name))
            .find(|path| path.symlink_metadata().is_ok());
        if let Some(path) = taken {
            bail!(
                "{} is there already; nothing was written. Choose an empty folder: tollgate init DIR",
                path.display()
            );
        }
        let uid = rustix::process::getuid().as_raw().to_string();
        for (name, text) in FILES {
            write(&self.dir.join(name), &text.replace("@UID@", &uid))?;
            out.item(Tone::Good, "wrote", &self.dir.join(name).display().to_string())?;
        }
        sample(&self.dir.join(SAMPLE.0))?;
        out.item(
            Tone::Good,
            "wrote",
            &self.dir.join(SAMPLE.0).display().to_string(),
        )?;
        let config = shell_word(&self.dir.join("tollgate.toml"));
        let absolute = shell_word(&absolute(&self.dir));
        // Agents do not always start with the PATH of this shell.
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tollgate"));
        let program = shell_word(&program);
        out.heading("next")?;
        let steps = [
            format!("tollgate --config {config} check"),
            format!("claude mcp add tollgate -- {program} stdio --config {absolute}"),
            format!("put your own database or repository into {config}, and say in policies/ who may use it"),
            "commands in a sandbox, and changes that a second person approves: what is commented out there"
                .to_owned(),
        ];
        for (number, step) in (1..).zip(&steps) {
            out.line(&format!("  {number}. {}", printable(step)))?;
        }
        Ok(())
    }
}

/// Never over a file that is there, and never open to others, whatever the umask.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn sample(path: &Path) -> Result<()> {
    write(path, "")?; // ours, and closed to others, before anything is in it
    rusqlite::Connection::open(path)
        .and_then(|connection| connection.execute_batch(SAMPLE.1))
        .with_context(|| format!("{} cannot be made", path.display()))
}

fn absolute(dir: &Path) -> PathBuf {
    let path = dir.join("tollgate.toml");
    std::path::absolute(&path).unwrap_or(path)
}
