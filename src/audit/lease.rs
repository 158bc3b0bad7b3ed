//! Which process runs a call: a start must report the calls that died with an earlier process, and
//! leave alone those of one that lives beside it.
//!
//! Beside a store that is a file, each process holds an exclusive `flock` on a file of its own, named after its boot
//! id, for as long as it lives. The kernel drops the lock with the process, however that ends. On a server, a
//! process is seen again and again ([`crate::store::journal::Ask::beat`]).

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::call::hex;
use crate::clock::World;
use crate::store::journal::OpenCall;

/// Held while a process may have calls under way.
#[derive(Debug)]
pub(crate) struct Lease {
    boot: String,
    held: Option<(PathBuf, File)>,
}

fn file_of(store: &Path, boot: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(format!("-live-{boot}"));
    PathBuf::from(name)
}

impl Lease {
    /// Takes a fresh boot id and its lock.
    pub(crate) fn take(store: Option<&Path>, world: &dyn World) -> std::io::Result<Self> {
        loop {
            let mut random = [0; 16];
            world.random(&mut random);
            let boot = hex(&random);
            let Some(store) = store else {
                return Ok(Self { boot, held: None });
            };
            let path = file_of(store, &boot);
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            // A sweep may have taken the file for a dead one's between creation and lock.
            let same = path.metadata().is_ok_and(|now| {
                file.metadata()
                    .is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
            });
            if same {
                return Ok(Self {
                    boot,
                    held: Some((path, file)),
                });
            }
        }
    }

    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Whether the process that runs a call is gone. When that cannot be told, it is taken to live:
    /// a call wrongly declared dead would be a false record.
    pub(crate) fn is_dead(&self, store: Option<&Path>, call: &OpenCall) -> bool {
        let Some(store) = store else {
            return call.gone.is_some();
        };
        let boot = call.boot.as_str();
        if boot == self.boot {
            return false;
        }
        match File::open(file_of(store, boot)) {
            Ok(file) => !matches!(
                file.try_lock(),
                Err(TryLockError::WouldBlock | TryLockError::Error(_))
            ),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.held {
            let _ = std::fs::remove_file(path); // the lock goes with the descriptor either way
        }
    }
}

/// Removes the lock files that dead processes left. Call after their calls have been reported.
pub(crate) fn sweep(store: &Path) {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let prefix = format!("{name}-live-");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&prefix))
        {
            let dead = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if dead {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
