//! The work folders: one per user below the configured folder, and the operator's files beside them.
//!
//! ```text
//! workdir/shared/          the operator's files; everybody sees them, read-only
//! workdir/users/<hash>/    one user's own folder, /work
//! ```
//!
//! Every step down is openat2(2) that stays beneath and follows no link. Programs write only inside one
//! user's folder, never in a folder on the way to it.

use std::fs::{DirBuilder, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat, mkdirat, openat2};
use rustix::io::Errno;

use super::protocol::SHARED;
use crate::call::Hash;

const USERS: &str = "users";

/// The configured folder, opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    folder: OwnedFd,
    /// Whose the folders are when that is not us.
    owner: Option<u32>,
}

impl Place {
    /// Opens the configured folder, and makes what is not there yet.
    ///
    /// # Errors
    /// What cannot be made, or is no folder.
    pub(super) fn open(path: &Path, owner: Option<u32>) -> std::io::Result<Self> {
        if !path.exists() {
            DirBuilder::new().mode(0o700).create(path)?;
        }
        let path = path.canonicalize()?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())?;
        let place = Self { path, folder, owner };
        made(&place.folder, USERS, 0o700)?;
        let shared = made(&place.folder, SHARED, 0o755)?;
        if owner.is_some() && fstat(&shared)?.st_mode & 0o005 != 0o005 {
            std::fs::set_permissions(place.shared(), Permissions::from_mode(0o755))?;
        }
        Ok(place)
    }

    /// The operator's files.
    pub(super) fn shared(&self) -> PathBuf {
        self.path.join(SHARED)
    }

    /// Where the users' folders are.
    pub(super) fn users(&self) -> PathBuf {
        self.path.join(USERS)
    }

    /// Where the folder of a user is: the name tells nobody who it is.
    pub(super) fn of(&self, user: &str) -> PathBuf {
        self.users().join(name(user))
    }

    /// The folder of a user, made if need be, private to whoever the programs run as.
    ///
    /// # Errors
    /// When it cannot be made or is not what it should be.
    pub(super) fn ready(&self, user: &str) -> std::io::Result<PathBuf> {
        let users = beneath(&self.folder, USERS)?;
        let folder = made(&users, &name(user), 0o700)?;
        if let Some(owner) = self.owner {
            let found = fstat(&folder)?;
            if (found.st_uid, found.st_gid) != (owner, owner) {
                fchown(&folder, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
            }
        }
        fchmod(&folder, Mode::from_raw_mode(0o700))?;
        made(&folder, SHARED, 0o755)?; // what the operator's files are mounted on
        Ok(self.of(user))
    }
}

fn name(user: &str) -> String {
    let mut hash = Hash::of(user.as_bytes()).hex();
    hash.truncate(32);
    hash
}

/// A folder in a folder, made if it is not there.
fn made(folder: &OwnedFd, name: &str, mode: u32) -> std::io::Result<OwnedFd> {
    match mkdirat(folder, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    beneath(folder, name)
}

fn beneath(folder: &OwnedFd, name: &str) -> std::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(folder, name, flags, Mode::empty(), resolve)?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Directory {
        return Err(std::io::Error::other(format!("{name} is not a folder")));
    }
    Ok(found)
}
