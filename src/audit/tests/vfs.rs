//! A disk that can lose power, fill up, or fail to sync, under the real SQLite.
#![expect(
    unsafe_code,
    reason = "a SQLite VFS is a table of C functions; this one passes through to the default VFS and \
              remembers what has been synced"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi::{
    SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_OK, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

/// What of a file would be left after a power cut, and what the running system sees.
#[derive(Debug, Clone, Default)]
struct Tracked {
    current: Vec<u8>,
    synced: Option<Vec<u8>>,
}

/// Files, by name, as they could be found after a power cut, and the answers given before it.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) survived: &'static str,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) answered: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Tracked>,
    answered: Vec<String>,
    images: Vec<Image>,
}

/// One disk, and its switches.
#[derive(Debug, Default)]
pub(super) struct Disk {
    state: Mutex<State>,
    /// Every write fails with "full".
    pub(super) full: AtomicBool,
    /// Every sync fails.
    pub(super) unsyncable: AtomicBool,
    pub(super) syncs: AtomicU32,
}

impl Disk {
    /// Registers a VFS of this name over the default one.
    pub(super) fn register(name: &str) -> Arc<Self> {
        let disk = Arc::new(Self::default());
        let name = CString::new(name).expect("a name").into_raw();
        // SAFETY: the default VFS always exists and is never freed. The copy differs from it in its
        // name and in two functions; it and its name are leaked, since SQLite keeps pointers to them.
        unsafe {
            let base = sqlite3_vfs_find(std::ptr::null());
            let mut vfs = Box::new(*base);
            vfs.zName = name;
            vfs.pNext = std::ptr::null_mut();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            let vfs = Box::into_raw(vfs);
            lock(&DISKS).insert(vfs as usize, (base as usize, Arc::clone(&disk)));
            assert_eq!(sqlite3_vfs_register(vfs, 0), SQLITE_OK);
        }
        disk
    }

    /// Notes that an answer has been given: it must be on record in every later image.
    pub(super) fn answered(&self, call_id: &str) {
        lock(&self.state).answered.push(call_id.to_owned());
    }

    /// Takes the images collected at every sync so far, and one of now.
    pub(super) fn images(&self) -> Vec<Image> {
        let mut state = lock(&self.state);
        state.cut();
        std::mem::take(&mut state.images)
    }
}

impl State {
    /// The power could go now: with nothing that was not synced left, with all of it, or with every
    /// other sector of it.
    fn cut(&mut self) {
        for survived in ["nothing", "everything", "every other sector"] {
            let mut files = BTreeMap::new();
            for (name, file) in &self.files {
                let left = match survived {
                    "nothing" => file.synced.clone(),
                    "everything" => Some(file.current.clone()),
                    _ => Some(file.torn()),
                };
                if let Some(left) = left {
                    files.insert(name.clone(), left);
                }
            }
            self.images.push(Image {
                survived,
                files,
                answered: self.answered.clone(),
            });
        }
    }
}

impl Tracked {
    fn torn(&self) -> Vec<u8> {
        const SECTOR: usize = 512;
        let old = self.synced.clone().unwrap_or_default();
        let mut torn = old.clone();
        torn.resize(self.current.len(), 0);
        for (number, sector) in self.current.chunks(SECTOR).enumerate() {
            let at = number * SECTOR;
            let unchanged = old.get(at..at + sector.len()) == Some(sector);
            if unchanged || number % 2 == 0 {
                torn[at..at + sector.len()].copy_from_slice(sector);
            }
        }
        torn
    }
}

struct Open {
    base: &'static sqlite3_io_methods,
    name: String,
    disk: Arc<Disk>,
}

static DISKS: Mutex<BTreeMap<usize, (usize, Arc<Disk>)>> = Mutex::new(BTreeMap::new());
static FILES: Mutex<BTreeMap<usize, Arc<Open>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn opened(file: *mut sqlite3_file) -> Arc<Open> {
    Arc::clone(lock(&FILES).get(&(file as usize)).expect("a file of ours"))
}

/// The last part of a path that SQLite hands in.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn file_name(path: *const c_char) -> Option<String> {
    if path.is_null() {
        return None;
    }
    // SAFETY: by the contract of this function.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    path.rsplit('/').next().map(str::to_owned)
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let (base, disk) = lock(&DISKS).get(&(vfs as usize)).cloned().expect("a VFS of ours");
    // SAFETY: arguments are passed on as they came, to the function they are meant for. On success
    // the file has a method table, which is replaced by a leaked copy that differs in four functions.
    unsafe {
        let result = ((*(base as *mut sqlite3_vfs)).xOpen.expect("xOpen"))(vfs, path, file, flags, out);
        let methods = (*file).pMethods;
        let Some(name) = file_name(path).filter(|_| result == SQLITE_OK && !methods.is_null()) else {
            return result;
        };
        let mut patched = Box::new(*methods);
        patched.xClose = Some(close);
        patched.xWrite = Some(write);
        patched.xTruncate = Some(truncate);
        patched.xSync = Some(sync);
        (*file).pMethods = Box::into_raw(patched);
        lock(&disk.state).files.entry(name.clone()).or_default();
        let opened = Open {
            base: &*methods,
            name,
            disk,
        };
        lock(&FILES).insert(file as usize, Arc::new(opened));
        result
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    let (base, disk) = lock(&DISKS).get(&(vfs as usize)).cloned().expect("a VFS of ours");
    // SAFETY: passed on as it came.
    unsafe {
        if let Some(name) = file_name(path) {
            lock(&disk.state).files.remove(&name);
        }
        ((*(base as *mut sqlite3_vfs)).xDelete.expect("xDelete"))(vfs, path, sync)
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let opened = opened(file);
    lock(&FILES).remove(&(file as usize));
    // SAFETY: passed on as it came.
    unsafe { (opened.base.xClose.expect("xClose"))(file) }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    size: c_int,
    at: sqlite3_int64,
) -> c_int {
    let opened = opened(file);
    if opened.disk.full.load(Ordering::Relaxed) {
        return SQLITE_FULL;
    }
    // SAFETY: SQLite gives `size` readable bytes; passed on as it came.
    unsafe {
        let result = (opened.base.xWrite.expect("xWrite"))(file, data, size, at);
        if result == SQLITE_OK {
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size as usize);
            let mut state = lock(&opened.disk.state);
            let tracked = state.files.entry(opened.name.clone()).or_default();
            let (from, to) = (at as usize, at as usize + bytes.len());
            if tracked.current.len() < to {
                tracked.current.resize(to, 0);
            }
            tracked.current[from..to].copy_from_slice(bytes);
        }
        result
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let opened = opened(file);
    // SAFETY: passed on as it came.
    let result = unsafe { (opened.base.xTruncate.expect("xTruncate"))(file, size) };
    if result == SQLITE_OK {
        let mut state = lock(&opened.disk.state);
        let tracked = state.files.entry(opened.name.clone()).or_default();
        tracked.current.resize(size as usize, 0);
    }
    result
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let opened = opened(file);
    let disk = &opened.disk;
    disk.syncs.fetch_add(1, Ordering::Relaxed);
    if disk.unsyncable.load(Ordering::Relaxed) {
        return SQLITE_IOERR_FSYNC;
    }
    lock(&disk.state).cut();
    // SAFETY: passed on as it came.
    let result = unsafe { (opened.base.xSync.expect("xSync"))(file, flags) };
    if result == SQLITE_OK {
        let mut state = lock(&disk.state);
        let tracked = state.files.entry(opened.name.clone()).or_default();
        tracked.synced = Some(tracked.current.clone());
    }
    result
}
