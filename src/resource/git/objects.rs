//! Objects by id: the one place that talks to libgit2, and only to its object database.
//!
//! Commits, tags and trees are parsed here from their raw bytes, so no graft, replacement, shallow
//! boundary or configuration can change what they say. Every object's size is known from its header
//! before it is inflated. libgit2 verifies each object's hash when it reads it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use git2::{ObjectType, Odb, OdbObject, Oid};
use rustix::fs::FileType;

use super::layout::{self, Layout, Version};
use super::work::Stop;
use crate::call::{Code, Refusal};

/// Idle database handles kept open per repository.
const MAX_IDLE: usize = 8;
/// Largest commit or tag, in bytes.
const MAX_COMMIT: u64 = 1 << 20;
/// Largest tree: about 700,000 entries.
const MAX_TREE: u64 = 32 << 20;
/// Largest loose object file. Deflate cannot make what fits the other caps much larger than itself.
const MAX_LOOSE_FILE: u64 = 48 << 20;
/// Annotated tags that point to tags.
const MAX_PEEL: usize = 8;

/// Why an object was not read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The repository does not have it (a partial clone, or damage).
    Missing(Oid),
    /// It is not what it should be, or could not be read. For the operator.
    Broken(String),
    /// It has this many bytes, more than may be read.
    TooLarge(u64),
    /// A bound on the work was reached.
    TooMuch(&'static str),
    /// The call ended early.
    Stopped(Refusal),
}

impl Fault {
    /// The cause in words, for whoever runs Tollgate.
    pub(super) fn for_operator(self) -> String {
        let refusal = Refusal::from(self);
        refusal.detail.unwrap_or(refusal.message)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let failed = |detail: String| {
            Refusal::new(
                Code::TargetFailed,
                "The repository could not be read.",
                "Tell your operator the call_id; the log has the cause.",
            )
            .detail(detail)
        };
        match fault {
            Fault::Missing(id) => failed(format!("object {id} is missing (a partial clone, or damage)")),
            Fault::Broken(detail) => failed(detail),
            Fault::TooLarge(bytes) => Refusal::new(
                Code::LimitExceeded,
                format!("This object has {bytes} bytes, more than can be read."),
                "Read a smaller file, or find the part you need with file_search.",
            ),
            Fault::TooMuch(what) => Refusal::new(
                Code::LimitExceeded,
                "This is more than one call may look through.",
                "Ask for a smaller folder, or tell your operator the call_id.",
            )
            .detail(what),
            Fault::Stopped(refusal) => refusal,
        }
    }
}

/// The object database of one repository, with a few open handles.
pub(super) struct Store {
    layout: Layout,
    idle: Mutex<Vec<Odb<'static>>>,
    packs: Mutex<Option<Version>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Wraps a checked layout.
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            idle: Mutex::default(),
            packs: Mutex::default(),
        }
    }

    /// Takes a handle for one call, after checking that nothing points outside.
    ///
    /// # Errors
    /// What is wrong with the repository, for the operator.
    pub(super) fn lease<'a>(&'a self, stop: &'a Stop) -> Result<Objects<'a>, Fault> {
        self.check().map_err(Fault::Broken)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let odb = match idle {
            Some(odb) => odb,
            None => self.open().map_err(Fault::Broken)?,
        };
        Ok(Objects {
            store: self,
            odb: Some(odb),
            stop,
            folders: RefCell::default(),
            failed: Cell::new(false),
        })
    }

    fn check(&self) -> Result<(), String> {
        self.layout.check()?;
        let now = self.layout.packs_version();
        let mut checked = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        if *checked != now || now.is_none() {
            self.layout.check_packs()?;
            *checked = now;
        }
        Ok(())
    }

    /// libgit2 loads `info/alternates` when a directory is added, and only then; that there is none
    /// is checked before and after.
    fn open(&self) -> Result<Odb<'static>, String> {
        let objects = self.layout.objects();
        let path = objects
            .to_str()
            .ok_or_else(|| format!("{}: the path is not UTF-8", objects.display()))?;
        let odb = Odb::new().map_err(|error| error.to_string())?;
        odb.add_disk_alternate(path).map_err(|error| error.to_string())?;
        self.layout.check()?;
        Ok(odb)
    }
}

/// A handle on the objects, for one call.
pub(super) struct Objects<'a> {
    store: &'a Store,
    odb: Option<Odb<'static>>,
    /// Ends long work.
    pub(super) stop: &'a Stop,
    /// Folders of loose objects already seen to be plain.
    folders: RefCell<HashSet<u8>>,
    failed: Cell<bool>,
}

impl Drop for Objects<'_> {
    fn drop(&mut self) {
        if let Some(odb) = self.odb.take().filter(|_| !self.failed.get()) {
            let mut idle = self.store.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(odb);
            }
        }
    }
}

impl Objects<'_> {
    /// Inflated size and type, without inflating.
    fn header(&self, id: Oid) -> Result<(u64, ObjectType), Fault> {
        self.check_loose(id)?;
        self.header_of(id)
    }

    fn header_of(&self, id: Oid) -> Result<(u64, ObjectType), Fault> {
        let (bytes, kind) = self
            .odb()?
            .read_header(id)
            .map_err(|error| self.fault(id, &error))?;
        Ok((u64::try_from(bytes).unwrap_or(u64::MAX), kind))
    }

    /// Size of a blob, without inflating it.
    pub(super) fn blob_size(&self, id: Oid) -> Result<u64, Fault> {
        match self.header(id)? {
            (bytes, ObjectType::Blob) => Ok(bytes),
            (_, other) => Err(Fault::Broken(format!("{id} is a {other}, not a blob"))),
        }
    }

    /// A blob of at most `cap` bytes.
    pub(super) fn blob(&self, id: Oid, cap: u64) -> Result<OdbObject<'_>, Fault> {
        self.read(id, ObjectType::Blob, cap)
    }

    /// A tree, parsed.
    pub(super) fn tree(&self, id: Oid) -> Result<Tree, Fault> {
        Tree::parse(self.read(id, ObjectType::Tree, MAX_TREE)?.data())
            .ok_or_else(|| Fault::Broken(format!("tree {id} is malformed")))
    }

    /// The root tree of a commit.
    pub(super) fn root_of(&self, commit: Oid) -> Result<Oid, Fault> {
        let object = self.read(commit, ObjectType::Commit, MAX_COMMIT)?;
        header_id(object.data(), "tree ")
            .ok_or_else(|| Fault::Broken(format!("commit {commit} is malformed")))
    }

    /// The commit a ref's object is, or that an annotated tag names. `None`: it names something else.
    pub(super) fn peel(&self, id: Oid) -> Result<Option<Oid>, Fault> {
        let mut id = id;
        for _ in 0..MAX_PEEL {
            match self.header(id)?.1 {
                ObjectType::Commit => return Ok(Some(id)),
                ObjectType::Tag => {
                    let tag = self.read(id, ObjectType::Tag, MAX_COMMIT)?;
                    id = header_id(tag.data(), "object ")
                        .ok_or_else(|| Fault::Broken(format!("tag {id} is malformed")))?;
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn read(&self, id: Oid, kind: ObjectType, cap: u64) -> Result<OdbObject<'_>, Fault> {
        let stored = self.check_loose(id)?;
        let (bytes, found) = self.header_of(id)?;
        if found != kind {
            return Err(Fault::Broken(format!("{id} is a {found}, not a {kind}")));
        }
        if bytes > cap || stored > MAX_LOOSE_FILE {
            return Err(Fault::TooLarge(bytes));
        }
        self.odb()?.read(id).map_err(|error| self.fault(id, &error))
    }

    /// A handle that failed is not used for another call: packs may have been replaced under it.
    fn fault(&self, id: Oid, error: &git2::Error) -> Fault {
        self.failed.set(true);
        match error.code() {
            git2::ErrorCode::NotFound => Fault::Missing(id),
            _ => Fault::Broken(format!("object {id}: {error}")),
        }
    }

    fn odb(&self) -> Result<&Odb<'static>, Fault> {
        self.odb
            .as_ref()
            .ok_or_else(|| Fault::Broken("the handle was given back".to_owned()))
    }

    /// Refuses a loose object that is not a plain file in a plain folder: libgit2 would follow a
    /// link, or wait on a pipe. Gives the file's size; 0 when the object is not loose.
    fn check_loose(&self, id: Oid) -> Result<u64, Fault> {
        let text = id.to_string();
        let (folder, file) = text.split_at_checked(2).unwrap_or_default();
        let first = id.as_bytes().first().copied().unwrap_or_default();
        let path: PathBuf = self.store.layout.objects().join(folder);
        if !self.folders.borrow().contains(&first) {
            match layout::kind(&path) {
                Some(FileType::Directory) => {}
                None => return Ok(0),
                Some(_) => {
                    return Err(Fault::Broken(format!(
                        "{}: is not a plain folder",
                        path.display()
                    )));
                }
            }
            self.folders.borrow_mut().insert(first);
        }
        let path = path.join(file);
        match rustix::fs::lstat(&path) {
            Err(rustix::io::Errno::NOENT) => Ok(0),
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(status.st_size).unwrap_or(u64::MAX))
            }
            _ => Err(Fault::Broken(format!("{}: is not a plain file", path.display()))),
        }
    }
}

/// The id in the first line of a commit or tag (git-hash-object(1), object formats).
fn header_id(raw: &[u8], key: &str) -> Option<Oid> {
    let line = raw.split(|byte| *byte == b'\n').next()?;
    let hexadecimal = line.strip_prefix(key.as_bytes())?;
    (hexadecimal.len() == 40).then_some(())?;
    Oid::from_str(std::str::from_utf8(hexadecimal).ok()?).ok()
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    Submodule,
}

impl Kind {
    fn of_mode(mode: u32) -> Option<Self> {
        match mode & 0o170_000 {
            0o040_000 => Some(Self::Folder),
            0o100_000 => Some(Self::File),
            0o120_000 => Some(Self::Symlink),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }

    /// The word in answers.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::Submodule => "submodule",
        }
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) id: Oid,
}

/// An entry, with its name's place in the raw tree.
type Stored = (Range<usize>, Kind, Oid);

/// A folder's entries, in order of their names' bytes.
#[derive(Debug)]
pub(super) struct Tree {
    raw: Vec<u8>,
    entries: Vec<Stored>,
    /// Entries at the end that repeat a name: nobody can address them.
    repeated: usize,
}

impl Tree {
    fn parse(raw: &[u8]) -> Option<Self> {
        let mut entries = Vec::with_capacity(raw.len() / 40);
        let mut at = 0;
        while at < raw.len() {
            let space = at + raw.get(at..)?.iter().position(|byte| *byte == b' ')?;
            let mode = std::str::from_utf8(raw.get(at..space)?).ok()?;
            let mode = (mode.len() <= 7).then(|| u32::from_str_radix(mode, 8).ok())??;
            let nul = space + raw.get(space..)?.iter().position(|byte| *byte == 0)?;
            let id = Oid::from_bytes(raw.get(nul + 1..nul + 21)?).ok()?;
            if let Some(kind) = Kind::of_mode(mode) {
                entries.push((space + 1..nul, kind, id));
            }
            at = nul + 21;
        }
        let name = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        entries.sort_by(|(a, ..), (b, ..)| name(a).cmp(name(b)));
        let (mut first, mut repeats) = (Vec::<Stored>::with_capacity(entries.len()), Vec::<Stored>::new());
        for entry in entries {
            match first.last() {
                Some((last, ..)) if name(last) == name(&entry.0) => repeats.push(entry),
                _ => first.push(entry),
            }
        }
        let repeated = repeats.len();
        first.append(&mut repeats);
        Some(Self {
            raw: raw.to_vec(),
            entries: first,
            repeated,
        })
    }

    /// Every entry, also those that repeat a name.
    pub(super) fn every_entry(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|entry| self.entry(entry))
    }

    /// The entry at a position among those that can be addressed.
    pub(super) fn get(&self, index: usize) -> Option<Entry<'_>> {
        let addressable = self.entries.len() - self.repeated;
        self.entries
            .get(index)
            .filter(|_| index < addressable)
            .map(|entry| self.entry(entry))
    }

    /// The position of the first name that is not before `name`.
    pub(super) fn position(&self, name: &[u8]) -> usize {
        self.entries
            .get(..self.entries.len() - self.repeated)
            .unwrap_or_default()
            .partition_point(|entry| self.entry(entry).name < name)
    }

    fn entry(&self, (name, kind, id): &Stored) -> Entry<'_> {
        Entry {
            name: self.raw.get(name.clone()).unwrap_or_default(),
            kind: *kind,
            id: *id,
        }
    }
}
