//! Looks at everything a configuration relies on: that it is there, and that nobody else could change
//! it. A folder counts like the files in it, because whoever may write it may replace them.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Problems;
use crate::ownership::{self, Exposure};

const WRITABLE_BY_OTHERS: u32 = 0o002;
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
    /// An identity provider's: whoever can change it can vouch for anybody.
    Metadata,
    /// A target: only has to be there. Who may write it is the organisation's own matter.
    Repository,
    /// A target, as above.
    Database,
    /// Made at first start. Nobody else may put another folder in its place.
    Workdir,
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

/// Looks at everything a configuration relies on. What is wrong with a folder that several things lie in is said once.
pub(super) fn check(file: &Path, needs: &[Need], problems: &mut Problems<'_>) {
    let mut told = BTreeSet::new();
    if let Err(exposure) = unwritable(file) {
        told.insert(exposure.to_string());
        problems.whole(exposure.to_string(), exposure.remedy);
    }
    for need in needs {
        let found = match need.role {
            Role::Policies | Role::Tools => folder(&need.path),
            Role::Key if need.path.exists() => private(&need.path),
            Role::Store | Role::Workdir if need.path.exists() => unwritable(&need.path),
            Role::Key | Role::Store | Role::Checkpoint | Role::Workdir => home(&need.path),
            Role::Metadata => unwritable(&need.path),
            Role::Repository => present(&need.path, "git init --bare, or correct the path"),
            Role::Database => present(&need.path, "correct the path; Tollgate makes no databases"),
        };
        if let Err(exposure) = found
            && told.insert(exposure.to_string())
        {
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
    ownership::unwritable(&path, &metadata(&path)?)?;
    way_to(&path)
}

/// The same for a file that nobody else may read either.
///
/// # Errors
/// What is wrong and the command that puts it right.
pub fn private(path: &Path) -> Result<(), Exposure> {
    let path = canonical(path)?;
    ownership::private(&path, &metadata(&path)?)?;
    way_to(&path)
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
        ownership::unwritable(&next, &metadata(&next)?)?;
        if next.is_dir() {
            let entries = std::fs::read_dir(&next).map_err(|error| Exposure::unseen(&next, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| Exposure::unseen(&next, &error))?.path();
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
    ownership::unwritable(&folder, &metadata(&folder)?)?;
    way_to(&folder)
}

fn present(path: &Path, remedy: &str) -> Result<(), Exposure> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Exposure {
            remedy: remedy.to_owned(),
            ..Exposure::unseen(path, &error)
        }),
    }
}

/// Every folder above: in one that others may write without the sticky bit, they could put another
/// file of the same name in place of ours.
fn way_to(path: &Path) -> Result<(), Exposure> {
    let mut above = path.ancestors().skip(1);
    if let Some(folder) = above.next() {
        let metadata = metadata(folder)?;
        if !(is_sticky(&metadata) && metadata.uid() == 0) {
            ownership::unwritable(folder, &metadata)?;
        }
    }
    for folder in above {
        let metadata = metadata(folder)?;
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 && !is_sticky(&metadata) {
            return Err(Exposure {
                path: folder.to_owned(),
                what: "can be changed by everybody".to_owned(),
                remedy: format!("chmod o-w {}", ownership::shell_word(folder)),
            });
        }
    }
    Ok(())
}

/// As `/tmp`: everybody may add to it, nobody can replace what is ours.
fn is_sticky(metadata: &Metadata) -> bool {
    metadata.mode() & STICKY != 0
}

fn canonical(path: &Path) -> Result<PathBuf, Exposure> {
    path.canonicalize()
        .map_err(|error| Exposure::unseen(path, &error))
}

fn metadata(path: &Path) -> Result<Metadata, Exposure> {
    std::fs::metadata(path).map_err(|error| Exposure::unseen(path, &error))
}
