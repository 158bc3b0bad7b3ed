//! `tollgate init`: a configuration that starts, with words that explain it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::out::{Out, Tone, printable};

/// Everything `init` writes, by path below the folder.
const FILES: [(&str, &str); 4] = [
    ("tollgate.toml", include_str!("init/tollgate.toml")),
    ("policies/roles.cedar", include_str!("init/roles.cedar")),
    ("policies/tests/roles.toml", include_str!("init/roles-tests.toml")),
    (
        "tools/orders-by-status.toml",
        include_str!("init/orders-by-status.toml"),
    ),
];

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder to write into; made if it does not exist
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Init {
    pub(crate) fn run(self, out: &mut Out) -> Result<()> {
        let taken = FILES
            .iter()
            .map(|(name, _)| self.dir.join(name))
            .find(|path| path.symlink_metadata().is_ok());
        if let Some(path) = taken {
            bail!(
                "{} is there already; nothing was written. Choose an empty folder: tollgate init DIR",
                path.display()
            );
        }
        for (name, text) in FILES {
            write(&self.dir.join(name), text)?;
            out.item(Tone::Good, "wrote", &self.dir.join(name).display().to_string())?;
        }
        let config = self.dir.join("tollgate.toml").display().to_string();
        out.heading("next")?;
        let steps = [
            format!("edit {config}: name a database or a repository, and who may use it"),
            format!("tollgate --config {config} check"),
            format!(
                "claude mcp add tollgate -- tollgate --config {} stdio",
                absolute(&self.dir)
            ),
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

fn absolute(dir: &Path) -> String {
    let path = dir.join("tollgate.toml");
    std::path::absolute(&path).unwrap_or(path).display().to_string()
}
