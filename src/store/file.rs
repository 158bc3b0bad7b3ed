//! The store as a file: where it is, who may write it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

fn unusable(path: &str, what: impl Into<String>) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        what: what.into(),
    }
}

/// The path in `sqlite:path` or `sqlite://path`.
pub(super) fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let rest = url.strip_prefix("sqlite:").ok_or_else(|| {
        unusable(
            url,
            "only sqlite is supported by this version; write `sqlite:tollgate.db`",
        )
    })?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.starts_with(":memory:") || path.contains(['?', '#', '\0']) {
        return Err(unusable(
            url,
            "the journal needs a file; write `sqlite:` and a path without ? or #",
        ));
    }
    Ok(PathBuf::from(path))
}

/// Creates a missing file before SQLite does, readable by its owner alone. SQLite gives its `-wal`
/// and `-shm` files the mode of the database file.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(
            &path.display().to_string(),
            format!("cannot be created ({error}); create its folder and make it writable for this user"),
        )),
    }
}

/// Refuses a file, or the folder it is in, that another user may write.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let about = folder.metadata()?;
    if about.mode() & 0o002 != 0 && about.mode() & 0o1000 == 0 {
        return Err(unusable(
            &folder.display().to_string(),
            "every user may replace files in this folder; `chmod o-w` it",
        ));
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = Path::new(&name);
        let about = match file.metadata() {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let shown = file.display().to_string();
        if about.mode() & 0o022 != 0 {
            return Err(unusable(&shown, "other users may write it; `chmod go-w` it"));
        }
        let me = rustix::process::geteuid().as_raw();
        if about.uid() != me && about.uid() != 0 && me != 0 {
            return Err(unusable(
                &shown,
                format!(
                    "it belongs to user {}, not to the user Tollgate runs as ({me})",
                    about.uid()
                ),
            ));
        }
    }
    Ok(())
}

/// Held while tables are created, so that two processes starting at once do it one after the other.
///
/// A file of its own: closing any descriptor of the database file would drop the locks that SQLite
/// holds on it in this process (POSIX advisory locks belong to the process, not the descriptor).
pub(super) fn lock_setup(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-setup");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(Path::new(&name))?;
    file.lock()?;
    Ok(file)
}
