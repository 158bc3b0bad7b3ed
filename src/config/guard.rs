//! Whether somebody else could change a file Tollgate relies on, or read one it keeps secret.
//!
//! Rows 19 and 44 of the incident ledger: an agent that can write its own gateway's policies, tools,
//! key or journal has no gateway. "Somebody else" is any user but the one that runs Tollgate and
//! root. A folder counts like the files in it, because whoever may write it may replace them.

use std::fmt;
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Problems;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const READABLE_OR_MORE: u32 = 0o077;
const STICKY: u32 = 0o1000;
/// Entries looked at below one folder; more is a mistake in the configuration, not a policy set.
const MOST_ENTRIES: usize = 100_000;

/// What a configured path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Policies,
    Tools,
    /// Made at first start, private ever after.
    Key,
    /// Made at first start.
    Store,
    /// Made when the first checkpoint is published.
    Checkpoint,
    /// A target: only has to be there. Who may write it is the organisation's own matter.
    Repository,
    /// A target, as above.
    Database,
}

/// A path the configuration relies on, and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Need {
    path: PathBuf,
    role: Role,
    span: Range<usize>,
}

impl Need {
    pub(super) fn new(path: PathBuf, role: Role, span: Range<usize>) -> Self {
        Self { path, role, span }
    }
}

/// What somebody else could do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// The command that puts it right.
    pub remedy: String,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

/// Looks at everything a configuration relies on.
pub(super) fn check(file: &Path, needs: &[Need], problems: &mut Problems<'_>) {
    if let Err(exposure) = unwritable(file) {
        problems.whole(exposure.to_string(), exposure.remedy);
    }
    for need in needs {
        let found = match need.role {
            Role::Policies | Role::Tools => folder(&need.path),
            Role::Key if need.path.exists() => private(&need.path).and_then(|()| unwritable(&need.path)),
            Role::Store if need.path.exists() => unwritable(&need.path),
            Role::Key | Role::Store | Role::Checkpoint => home(&need.path),
            Role::Repository => present(&need.path, "git init --bare, or correct the path"),
            Role::Database => present(&need.path, "correct the path; Tollgate makes no databases"),
        };
        if let Err(exposure) = found {
            problems.at(need.span.clone(), exposure.to_string(), exposure.remedy);
        }
    }
}

/// Whether only we and root can change a file: itself, its folder, and the way to it.
///
/// Symbolic links are followed first. A file that does not exist is an [`Exposure`] too.
///
/// # Errors
/// What is wrong and the command that puts it right.
pub fn unwritable(path: &Path) -> Result<(), Exposure> {
    let path = canonical(path)?;
    owned_and_closed(&path, false)?;
    way_to(&path)
}

/// Whether only we (and root) can read a file: mode 0600 or less.
///
/// # Errors
/// What is wrong and the command that puts it right.
pub fn private(path: &Path) -> Result<(), Exposure> {
    let path = canonical(path)?;
    let metadata = metadata(&path)?;
    if metadata.mode() & READABLE_OR_MORE != 0 {
        return Err(Exposure {
            what: format!(
                "can be read or changed by other users (mode {:04o})",
                metadata.mode() & 0o7777
            ),
            remedy: format!("chmod 600 {}", shell_word(&path)),
            path,
        });
    }
    owned_and_closed(&path, false)
}

/// A folder and everything below it: only we and root can change any of it.
///
/// # Errors
/// The first exposed file or folder.
pub fn folder(path: &Path) -> Result<(), Exposure> {
    let path = canonical(path)?;
    if !metadata(&path)?.is_dir() {
        return Err(Exposure {
            what: "is not a folder".to_owned(),
            remedy: "name the folder, not a file in it".to_owned(),
            path,
        });
    }
    way_to(&path)?;
    let mut waiting = vec![path.clone()];
    let mut seen = 0;
    while let Some(next) = waiting.pop() {
        seen += 1;
        if seen > MOST_ENTRIES {
            return Err(Exposure {
                what: format!("holds more than {MOST_ENTRIES} entries"),
                remedy: "name a folder that holds nothing else".to_owned(),
                path,
            });
        }
        owned_and_closed(&next, false)?;
        if next.is_dir() {
            let entries = std::fs::read_dir(&next).map_err(|error| unreadable(&next, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| unreadable(&next, &error))?.path();
                if entry.is_symlink() {
                    unwritable(&entry)?;
                } else {
                    waiting.push(entry);
                }
            }
        }
    }
    Ok(())
}

/// The folder a file will be made in exists and is closed to others.
fn home(path: &Path) -> Result<(), Exposure> {
    let folder = canonical(path.parent().unwrap_or(Path::new("/")))?;
    owned_and_closed(&folder, false)?;
    way_to(&folder)
}

fn present(path: &Path, remedy: &str) -> Result<(), Exposure> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Exposure {
            remedy: remedy.to_owned(),
            ..unreadable(path, &error)
        }),
    }
}

/// Every folder above: in one that others may write without the sticky bit, they could put another
/// file of the same name in place of ours.
fn way_to(path: &Path) -> Result<(), Exposure> {
    let mut above = path.ancestors().skip(1);
    if let Some(folder) = above.next() {
        owned_and_closed(folder, true)?;
    }
    for folder in above {
        let mode = metadata(folder)?.mode();
        if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
            return Err(open_to("everybody", folder, "o-w"));
        }
    }
    Ok(())
}

fn owned_and_closed(path: &Path, sticky_is_enough: bool) -> Result<(), Exposure> {
    let metadata = metadata(path)?;
    let mode = metadata.mode();
    if sticky_is_enough && metadata.is_dir() && mode & STICKY != 0 && metadata.uid() == 0 {
        return Ok(()); // as /tmp: nobody can replace what is ours
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(Exposure {
            what: format!("belongs to another user (uid {})", metadata.uid()),
            remedy: format!("chown {us} {}", shell_word(path)),
            path: path.to_owned(),
        });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(open_to("everybody", path, "go-w"));
    }
    if mode & WRITABLE_BY_GROUP != 0 {
        return Err(open_to("its group", path, "go-w"));
    }
    Ok(())
}

fn open_to(who: &str, path: &Path, change: &str) -> Exposure {
    Exposure {
        path: path.to_owned(),
        what: format!("can be changed by {who}"),
        remedy: format!("chmod {change} {}", shell_word(path)),
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Exposure> {
    path.canonicalize().map_err(|error| unreadable(path, &error))
}

fn metadata(path: &Path) -> Result<Metadata, Exposure> {
    std::fs::metadata(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exposure {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    Exposure {
        path: path.to_owned(),
        what: if missing {
            "does not exist".to_owned()
        } else {
            format!("cannot be looked at: {error}")
        },
        remedy: if missing {
            "make it, or correct the path".to_owned()
        } else {
            "let the user that runs tollgate read it".to_owned()
        },
    }
}

/// A path as one word of a shell command, to be copied by a person.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
