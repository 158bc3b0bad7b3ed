//! Where a repository's files are, and the refusal of every layout that reaches outside of them.
//!
//! No libgit2 repository is ever opened: opening one reads configuration (system, user and the
//! repository's own), follows `.git` files and `commondir`, and loads grafts and replacements. Only
//! the object database is handed to libgit2; everything else is read here, below one directory, and
//! no symbolic link is followed on the way.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Most names read from one directory tree of loose refs.
const MAX_NAMES: usize = 100_000;

/// Largest configuration file that is looked at.
const MAX_CONFIG: u64 = 1 << 20;

/// A repository's git directory: the bare repository itself, or the `.git` folder of a work tree.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    git_dir: PathBuf,
}

/// What identifies one version of a file, cheaply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Layout {
    /// Finds the git directory of `path` and checks it.
    ///
    /// # Errors
    /// In words for the operator: what is there and what is expected.
    pub(super) fn find(path: &Path) -> Result<Self, String> {
        let path = path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let dot_git = path.join(".git");
        let git_dir = match kind(&dot_git) {
            Some(FileType::Directory) => dot_git,
            Some(FileType::Symlink) => {
                return Err(format!(
                    "{}: is a symbolic link; give the path of the repository itself",
                    dot_git.display()
                ));
            }
            Some(_) => {
                return Err(format!(
                    "{}: is a file that points elsewhere (a linked worktree or a submodule); give the path of the repository itself",
                    dot_git.display()
                ));
            }
            None => path,
        };
        let layout = Self { git_dir };
        layout.check()?;
        layout.check_format()?;
        Ok(layout)
    }

    /// Refuses the SHA-256 object format. The one thing looked up in a repository's configuration, to
    /// say what is wrong: without it every ref would merely name nothing.
    fn check_format(&self) -> Result<(), String> {
        let config = self.read("config", MAX_CONFIG).ok().flatten().unwrap_or_default();
        let wide = String::from_utf8_lossy(&config).lines().any(|line| {
            let line = line.to_ascii_lowercase();
            line.split_once('=')
                .is_some_and(|(key, value)| key.trim() == "objectformat" && value.trim() == "sha256")
        });
        match wide {
            true => Err(format!(
                "{}: the SHA-256 object format is not supported",
                self.git_dir.display()
            )),
            false => Ok(()),
        }
    }

    /// Where the objects are.
    pub(super) fn objects(&self) -> PathBuf {
        self.git_dir.join("objects")
    }

    /// Whether everything that is read lies in this directory. Cheap enough for every call: what
    /// appears after the start is refused like what was there before.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn check(&self) -> Result<(), String> {
        let at = |name: &str| self.git_dir.join(name);
        let wrong = |name: &str, what: &str| Err(format!("{}: {what}", at(name).display()));
        if kind(&at("HEAD")) != Some(FileType::RegularFile) {
            return wrong("HEAD", "is not a plain file, so this is not a git repository");
        }
        for folder in ["objects", "refs"] {
            match kind(&at(folder)) {
                Some(FileType::Directory) => {}
                Some(FileType::Symlink) => return wrong(folder, "is a symbolic link, which is not followed"),
                _ => return wrong(folder, "is not a folder, so this is not a git repository"),
            }
        }
        for folder in ["objects/pack", "objects/info"] {
            if !matches!(kind(&at(folder)), None | Some(FileType::Directory)) {
                return wrong(folder, "is not a plain folder");
            }
        }
        if kind(&at("commondir")).is_some() {
            return wrong(
                "commondir",
                "this is a linked worktree; give the path of the main repository",
            );
        }
        if kind(&at("reftable")).is_some() {
            return wrong(
                "reftable",
                "the reftable format is not supported; use files (`git refs migrate --ref-format=files`)",
            );
        }
        for file in ["objects/info/alternates", "objects/info/http-alternates"] {
            if kind(&at(file)).is_some() {
                return wrong(
                    file,
                    "objects of another repository are not read; make this one complete (`git repack -a -d`) and remove the file",
                );
            }
        }
        Ok(())
    }

    /// The version of `objects/pack`, which changes when a pack comes or goes.
    pub(super) fn packs_version(&self) -> Option<Version> {
        fs::symlink_metadata(self.git_dir.join("objects/pack"))
            .ok()
            .map(|metadata| Version::of(&metadata))
    }

    /// Whether every file of `objects/pack` is a plain file.
    ///
    /// # Errors
    /// In words for the operator.
    pub(super) fn check_packs(&self) -> Result<(), String> {
        let folder = self.git_dir.join("objects/pack");
        let names = match fs::read_dir(&folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        };
        for name in names {
            let name = name.map_err(|error| format!("{}: {error}", folder.display()))?;
            if !name.file_type().is_ok_and(|kind| kind.is_file()) {
                return Err(format!("{}: is not a plain file", name.path().display()));
            }
        }
        Ok(())
    }

    /// The version of a file directly in the git directory, if it is a plain file.
    pub(super) fn version(&self, name: &str) -> Option<Version> {
        fs::symlink_metadata(self.git_dir.join(name))
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|metadata| Version::of(&metadata))
    }

    /// Reads a plain file by its `/`-separated name. Each folder is opened from the one above
    /// without following links, so that no swap on the way leads outside. `None`: there is none.
    ///
    /// # Errors
    /// A link or anything else that is not a plain file, a file above `cap` bytes, an I/O error.
    pub(super) fn read(&self, name: &str, cap: u64) -> io::Result<Option<Vec<u8>>> {
        let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
        let Some(folder) = self.folder(folders)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(&folder, file, flags, Mode::empty()) {
            Ok(opened) => fs::File::from(opened),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = opened.metadata()?;
        if metadata.is_dir() {
            return Ok(None); // `refs/heads/a` while `refs/heads/a/b` exists
        }
        if !metadata.is_file() {
            return Err(io::Error::other("not a plain file"));
        }
        let mut bytes = Vec::new();
        opened.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= cap) {
            return Ok(Some(bytes));
        }
        Err(io::Error::other("larger than it may be"))
    }

    /// Every plain file below a folder, as `/`-separated names starting with `under`, sorted.
    ///
    /// # Errors
    /// More names than a repository reasonably has, or an I/O error.
    pub(super) fn names(&self, under: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![under.to_owned()];
        while let Some(at) = folders.pop() {
            let Some(folder) = self.folder(&at)? else { continue };
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else {
                    continue;
                };
                if name == "." || name == ".." {
                    continue;
                }
                let status = rustix::fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                match FileType::from_raw_mode(status.st_mode) {
                    FileType::Directory => folders.push(format!("{at}/{name}")),
                    FileType::RegularFile => found.push(format!("{at}/{name}")),
                    _ => {}
                }
                if found.len() + folders.len() > MAX_NAMES {
                    return Err(io::Error::other("too many loose refs; run `git pack-refs --all`"));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn folder(&self, folders: &str) -> io::Result<Option<rustix::fd::OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&self.git_dir, flags, Mode::empty())?;
        for name in folders.split('/').filter(|name| !name.is_empty()) {
            at = match rustix::fs::openat(&at, name, flags, Mode::empty()) {
                Ok(next) => next,
                Err(rustix::io::Errno::NOENT) => return Ok(None),
                Err(rustix::io::Errno::NOTDIR) if !is_link(&at, name) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Some(at))
    }
}

fn is_link(folder: &rustix::fd::OwnedFd, name: &str) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
}

/// What a name is, itself: links are not followed. `None`: there is nothing.
pub(super) fn kind(path: &Path) -> Option<FileType> {
    match rustix::fs::lstat(path) {
        Ok(status) => Some(FileType::from_raw_mode(status.st_mode)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => None,
        Err(_) => Some(FileType::Unknown),
    }
}
