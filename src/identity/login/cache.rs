//! Where logins are kept: one file each (0600) in a folder of our own (0700), or the secret half of it in the
//! operating system's keyring.
//!
//! Everything is opened relative to the folder, through handles, without following links, and looked at
//! before it is read: what somebody else could have put there is refused, not repaired. A file is replaced
//! whole. One process at a time changes a login (`flock`), because a refresh token that two use is taken for
//! a stolen one (RFC 9700 section 4.14.2).

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::grant::sendable;
#[cfg(feature = "keyring")]
use super::keyring::{Done, SERVICE};
use super::{Key, Login, LoginError, Site, TOKEN_BYTES, Tokens};
use crate::call::Hash;
use crate::identity::spec::{is_loopback, secure};
use crate::ownership::{self, shell_word};
use crate::secret::Secret;

/// What the files look like; a newer program may write another.
const VERSION: u32 = 1;
/// Room for two tokens and the addresses, in bytes.
const FILE_BYTES: usize = 2 * TOKEN_BYTES + 16 * 1024;
/// The server of the last login.
const LAST: &str = "last";
/// How many times we look whether another process still holds a login, and the time between two looks: in all
/// longer than a person is given to unlock the keyring.
const LOCK_WITHIN: u32 = 1800;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The logins of the user who runs this.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    #[cfg(feature = "keyring")]
    keyring: Option<super::keyring::Keyring>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    key: Key,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    /// `None`: they are in the keyring.
    tokens: Option<Kept>,
}

/// Tokens as they are written down.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    access: String,
    refresh: Option<String>,
    expires_at: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.access.zeroize();
        self.refresh.zeroize();
    }
}

impl Kept {
    pub(super) fn of(tokens: &Tokens) -> Self {
        let copy = |secret: &Secret| secret.expose().to_owned();
        Self {
            access: copy(&tokens.access),
            refresh: tokens.refresh.as_ref().map(copy),
            expires_at: tokens.expires_at,
        }
    }

    pub(super) fn tokens(&self) -> Option<Tokens> {
        let refresh = self.refresh.as_ref().map(|text| sendable(text));
        Some(Tokens {
            access: sendable(&self.access)?,
            refresh: match refresh {
                Some(token) => Some(token?),
                None => None,
            },
            expires_at: self.expires_at,
        })
    }
}

fn wrong(what: String) -> LoginError {
    LoginError::Cache(what)
}

impl Cache {
    /// The logins in this folder, which is made when the first is kept.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            #[cfg(feature = "keyring")]
            keyring: None,
        }
    }

    /// Keeps tokens in the keyring of the user's desktop from now on, where there is one.
    #[cfg(feature = "keyring")]
    #[must_use]
    pub fn with_keyring(mut self) -> Self {
        self.keyring = Some(super::keyring::Keyring::default());
        self
    }

    /// The folder of this user (XDG Base Directory Specification): `$XDG_STATE_HOME/tollgate`, else
    /// `~/.local/state/tollgate`. `variable` reads the environment.
    ///
    /// # Errors
    /// Neither variable is an absolute path.
    pub fn folder(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, LoginError> {
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("tollgate"))
            .ok_or_else(|| {
                wrong("there is no place to keep a login: neither HOME nor XDG_STATE_HOME is set".to_owned())
            })
    }

    /// The login at a server, if there is one.
    ///
    /// # Errors
    /// What keeps the file from being believed, and what to do.
    pub async fn read(&self, site: &Site) -> Result<Option<Login>, LoginError> {
        let Some(folder) = self.open(false)? else {
            return Ok(None);
        };
        self.login(&folder, site).await
    }

    /// The server of the last login.
    #[must_use]
    pub fn last(&self) -> Option<Site> {
        let folder = self.open(false).ok()??;
        let text = self.text(&folder, LAST).ok()??;
        Site::parse(std::str::from_utf8(&text).ok()?).ok()
    }

    /// Waits until no other process of this user changes the login at this server.
    ///
    /// # Errors
    /// The folder is not ours alone, or the other does not come to an end.
    pub(super) async fn lock(&self, site: &Site) -> Result<Lock<'_>, LoginError> {
        let folder = self.open(true)?;
        let folder = folder.ok_or_else(|| wrong(format!("{} cannot be opened", self.folder.display())))?;
        let name = name(site);
        let held = self.file(&folder, &format!("{name}.lock"), OFlags::RDWR | OFlags::CREATE)?;
        let held = held.ok_or_else(|| wrong("the lock file cannot be made".to_owned()))?;
        for _ in 0..LOCK_WITHIN {
            match flock(&held, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Lock {
                        cache: self,
                        folder,
                        name,
                        _held: held,
                    });
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(LOOK_EVERY).await,
                Err(error) => return Err(self.about(&name, error.into())),
            }
        }
        Err(wrong(format!(
            "another tollgate holds the login at {} and does not let go of it; end that process and try again",
            site.server()
        )))
    }

    /// Our folder, if it is there and nobody else's.
    fn open(&self, make: bool) -> Result<Option<OwnedFd>, LoginError> {
        let shown = self.folder.display();
        if make {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
            made.map_err(|error| wrong(format!("{shown} cannot be made: {error}")))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&self.folder, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(wrong(format!(
                    "{shown} is a link or no folder; logins are kept in a folder of their own: move it away"
                )));
            }
            Err(error) => return Err(wrong(format!("{shown} cannot be opened: {error}"))),
        };
        let status = rustix::fs::fstat(&folder).map_err(|error| self.about("", error.into()))?;
        let us = rustix::process::geteuid().as_raw();
        if status.st_uid != us {
            return Err(wrong(format!(
                "{shown} belongs to another user (uid {}); move it away, or set XDG_STATE_HOME",
                status.st_uid
            )));
        }
        if status.st_mode & 0o077 != 0 {
            return Err(wrong(format!(
                "{shown} is open to other users (mode {:04o}); if nobody else wrote there: chmod 700 {}",
                status.st_mode & 0o7777,
                shell_word(&self.folder)
            )));
        }
        Ok(Some(folder))
    }

    fn about(&self, name: &str, error: std::io::Error) -> LoginError {
        wrong(format!("{}: {error}", self.path(name).display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of ours, opened and then looked at, so that what was checked is what is used.
    fn file(&self, folder: &OwnedFd, name: &str, flags: OFlags) -> Result<Option<File>, LoginError> {
        let path = self.path(name);
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(wrong(format!(
                    "{} is a link, which nobody of us made; remove it",
                    path.display()
                )));
            }
            Err(error) => return Err(self.about(name, error.into())),
        };
        let metadata = file.metadata().map_err(|error| self.about(name, error))?;
        if !metadata.is_file() || metadata.nlink() != 1 {
            return Err(wrong(format!(
                "{} is not a file of its own; remove it",
                path.display()
            )));
        }
        trusted(&path, &metadata)?;
        Ok(Some(file))
    }

    fn text(&self, folder: &OwnedFd, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, LoginError> {
        let Some(file) = self.file(folder, name, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        let read = file.take(FILE_BYTES as u64 + 1).read_to_end(&mut text);
        read.map_err(|error| self.about(name, error))?;
        if text.len() > FILE_BYTES {
            return Err(self.damaged(name));
        }
        Ok(Some(text))
    }

    fn damaged(&self, name: &str) -> LoginError {
        wrong(format!(
            "{} is damaged; `tollgate login` makes a new one",
            self.path(name).display()
        ))
    }

    async fn login(&self, folder: &OwnedFd, site: &Site) -> Result<Option<Login>, LoginError> {
        let name = name(site);
        let Some(text) = self.text(folder, &name)? else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&text).map_err(|_| self.damaged(&name))?;
        if record.version != VERSION {
            return Err(wrong(format!(
                "{} is of another version of tollgate; `tollgate login` makes a new one",
                self.path(&name).display()
            )));
        }
        let kept = match record.tokens {
            Some(kept) => kept,
            None => match self.read_keyring(&record.key).await? {
                Some(kept) => kept,
                None => return Ok(None), // taken out of the keyring: logged out
            },
        };
        let local = site.is_local();
        let address = |text: &str| secure(text).ok().filter(|url| local || !is_loopback(url));
        let fits = record.key.server == site.server() && record.key.resource == site.resource().as_str();
        let revocation = record.revocation_endpoint.as_deref();
        let revocation = revocation.map_or(Some(None), |text| address(text).map(Some));
        match (kept.tokens(), address(&record.token_endpoint), revocation) {
            (Some(tokens), Some(token_endpoint), Some(revocation_endpoint)) if fits => Ok(Some(Login {
                key: record.key,
                token_endpoint,
                revocation_endpoint,
                tokens,
            })),
            _ => Err(self.damaged(&name)),
        }
    }

    #[cfg(feature = "keyring")]
    async fn read_keyring(&self, key: &Key) -> Result<Option<Kept>, LoginError> {
        match &self.keyring {
            Some(keyring) => keyring.get(key).await,
            None => Err(LoginError::Keyring("is not asked here; log in again".to_owned())),
        }
    }

    #[cfg(not(feature = "keyring"))]
    #[expect(clippy::unused_async, reason = "with the keyring it waits")]
    async fn read_keyring(&self, _: &Key) -> Result<Option<Kept>, LoginError> {
        Err(LoginError::Keyring(
            "is nothing that this tollgate was built to ask; log in again".to_owned(),
        ))
    }
}

/// A login while nobody else changes it. Gives way when dropped.
#[derive(Debug)]
pub(super) struct Lock<'a> {
    cache: &'a Cache,
    folder: OwnedFd,
    name: String,
    _held: File,
}

/// Room on the disk for what is not known yet.
#[derive(Debug)]
pub(super) struct Room(File);

impl Lock<'_> {
    /// As it is now.
    pub(super) async fn read(&self, site: &Site) -> Result<Option<Login>, LoginError> {
        self.cache.login(&self.folder, site).await
    }

    /// Takes the room that a login needs. Before it is renewed: a rotated token that cannot be kept would
    /// end the session at its next use.
    pub(super) fn room(&self) -> Result<Room, LoginError> {
        let new = self.new_file();
        let about = |error: std::io::Error| {
            wrong(format!(
                "{} cannot be written, so the login was left as it is: {error}",
                self.cache.path(&new).display()
            ))
        };
        let _ = unlinkat(&self.folder, new.as_str(), AtFlags::empty()); // left by a process that was killed
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, new.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|error| about(error.into()))?);
        let taken = file
            .write_all(&vec![b' '; FILE_BYTES])
            .and_then(|()| file.sync_all());
        if let Err(error) = taken {
            let _ = unlinkat(&self.folder, new.as_str(), AtFlags::empty());
            return Err(about(error));
        }
        Ok(Room(file))
    }

    /// Gives room back.
    pub(super) fn give_back(&self, room: Room) {
        drop(room);
        let _ = unlinkat(&self.folder, self.new_file().as_str(), AtFlags::empty());
    }

    /// Puts a login in the place of what was there.
    pub(super) async fn write(&self, room: Room, login: &Login) -> Result<(), LoginError> {
        let in_keyring = self.write_keyring(login).await;
        let record = Record {
            version: VERSION,
            key: login.key.clone(),
            token_endpoint: login.token_endpoint.to_string(),
            revocation_endpoint: login.revocation_endpoint.as_ref().map(ToString::to_string),
            tokens: (!in_keyring).then(|| Kept::of(&login.tokens)),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
        serde_json::to_writer(&mut *text, &record).map_err(|error| wrong(error.to_string()))?;
        if text.len() > FILE_BYTES {
            self.give_back(room);
            return Err(wrong("the login is too long to be kept".to_owned()));
        }
        self.replace(room, &text)
            .map_err(|error| self.cache.about(&self.name, error))
    }

    fn replace(&self, Room(file): Room, text: &[u8]) -> std::io::Result<()> {
        file.write_all_at(text, 0)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        renameat(
            &self.folder,
            self.new_file().as_str(),
            &self.folder,
            self.name.as_str(),
        )?;
        fsync(&self.folder)?;
        Ok(())
    }

    /// Remembers the server as the last one. Of no weight: it only saves typing.
    pub(super) fn remember(&self, site: &Site) {
        let new = format!("{LAST}.new");
        let written = || -> Option<()> {
            let _ = unlinkat(&self.folder, new.as_str(), AtFlags::empty());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(&self.folder, new.as_str(), flags, Mode::RUSR | Mode::WUSR).ok()?;
            let mut file = File::from(file);
            file.write_all(site.server().as_bytes()).ok()?;
            renameat(&self.folder, new.as_str(), &self.folder, LAST).ok()
        };
        if written().is_none() {
            tracing::debug!("the last server could not be noted");
        }
    }

    /// Forgets the login, also where the file says only that the keyring has it. The lock file stays:
    /// removing it would let two in.
    pub(super) async fn remove(&self) -> Result<(), LoginError> {
        let record = self.cache.text(&self.folder, &self.name).ok().flatten();
        if let Some(record) = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok()) {
            self.clear_keyring(&record).await;
        }
        match unlinkat(&self.folder, self.name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                let _ = fsync(&self.folder);
                Ok(())
            }
            Err(error) => Err(self.cache.about(&self.name, error.into())),
        }
    }

    fn new_file(&self) -> String {
        format!("{}.new", self.name)
    }

    /// Whether the tokens are in the keyring now.
    #[cfg(feature = "keyring")]
    async fn write_keyring(&self, login: &Login) -> bool {
        let Some(keyring) = &self.cache.keyring else {
            return false;
        };
        let done = keyring.put(&login.key, &Kept::of(&login.tokens)).await;
        if done == Done::Refused {
            tracing::warn!(
                file = %self.cache.path(&self.name).display(),
                "your desktop's keyring does not take the login (is it locked?); it is kept in a file that only \
                 you can read"
            );
        }
        done == Done::Yes
    }

    #[cfg(not(feature = "keyring"))]
    #[expect(clippy::unused_async, reason = "with the keyring it waits")]
    async fn write_keyring(&self, _: &Login) -> bool {
        false
    }

    #[cfg(feature = "keyring")]
    async fn clear_keyring(&self, record: &Record) {
        let Some(keyring) = &self.cache.keyring else {
            return;
        };
        if keyring.remove(&record.key).await == Done::Refused {
            tracing::warn!(
                "your desktop's keyring did not forget the login: remove its entry `{SERVICE}` there"
            );
        }
    }

    #[cfg(not(feature = "keyring"))]
    #[expect(clippy::unused_async, reason = "with the keyring it waits")]
    async fn clear_keyring(&self, _: &Record) {}
}

/// Ours, and closed to everybody else.
fn trusted(path: &Path, metadata: &std::fs::Metadata) -> Result<(), LoginError> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        return Err(wrong(format!(
            "{} belongs to another user (uid {}); remove it",
            path.display(),
            metadata.uid()
        )));
    }
    ownership::private(path, metadata).map_err(|exposure| {
        wrong(format!(
            "{exposure}; whoever could read it may have your login: `tollgate logout`, then log in again (or {})",
            exposure.remedy
        ))
    })
}

/// One file for one server.
fn name(site: &Site) -> String {
    format!("login-{}", Hash::of(site.server().as_bytes()).hex())
}
