//! The one server of a store: who it is, and how to ask it to load its policies again.
//!
//! `serve` holds an exclusive lock (`flock`) on `<store>.lock` for its whole life and writes its process
//! id into it. A process id is believed only while the lock is held, so a stale file can never point a
//! signal at a stranger. A reload is SIGHUP; the server answers in `<store>.reload`, replaced as a whole.
//! Both files lie in the store's folder, which nobody else may write ([`crate::config::guard`]).

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::report::ReloadReport;

/// How long to wait for a server's answer; loading 10,000 policies takes about two seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why there is no server to speak of, or none that answers.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// Another process serves this store.
    #[error("process {pid} serves this store already; stop it first, or give this server its own [store]")]
    Taken {
        /// Its process id, `0` when it has not written it yet.
        pid: i32,
    },
    /// Nobody serves it.
    #[error("no server is running on {}; a server reads its policies when it starts", store.display())]
    NotRunning {
        /// The store.
        store: PathBuf,
    },
    /// It runs and does not say how the reload went.
    #[error("process {pid} has not answered for {} seconds; its log says how the reload went", PATIENCE.as_secs())]
    Silent {
        /// Its process id.
        pid: i32,
    },
    /// It ended while we waited.
    #[error("the server stopped during the reload; its log says why")]
    Stopped,
    /// We may not signal it.
    #[error("process {pid} cannot be signalled: {cause}; run this as the user that runs the server")]
    Forbidden {
        /// Its process id.
        pid: i32,
        /// The operating system's words.
        cause: std::io::Error,
    },
    /// A file of ours cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        cause: std::io::Error,
    },
}

/// The right to serve a store; held until dropped.
#[derive(Debug)]
#[must_use]
pub struct Running {
    /// Keeps the lock; the kernel frees it with the process.
    _lock: File,
    answer: PathBuf,
    count: u64,
}

impl Running {
    /// Takes the store for this process.
    ///
    /// # Errors
    /// [`RunningError::Taken`] when another process has it.
    pub fn claim(store: &Path) -> Result<Self, RunningError> {
        let path = beside(store, "lock");
        let wrong = |cause| RunningError::File {
            path: path.clone(),
            cause,
        };
        let mut lock = open(&path).map_err(wrong)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(RunningError::Taken {
                pid: pid_in(&mut lock),
            });
        }
        let answer = beside(store, "reload");
        match std::fs::remove_file(&answer) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(wrong(cause)),
            _ => {}
        }
        lock.set_len(0).map_err(wrong)?;
        writeln!(lock, "{}", std::process::id()).map_err(wrong)?;
        Ok(Self {
            _lock: lock,
            answer,
            count: 0,
        })
    }

    /// Tells whoever asked how a reload went.
    ///
    /// # Errors
    /// The answer cannot be written.
    pub fn report(&mut self, accepted: bool, digest: String, message: String) -> Result<(), RunningError> {
        self.count += 1;
        let report = ReloadReport {
            count: self.count,
            accepted,
            digest,
            message,
        };
        let new = self.answer.with_extension("reload-new");
        let written = serde_json::to_vec(&report)
            .map_err(std::io::Error::from)
            .and_then(|bytes| {
                std::fs::write(&new, bytes)?;
                std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
                std::fs::rename(&new, &self.answer)
            });
        written.map_err(|cause| RunningError::File {
            path: self.answer.clone(),
            cause,
        })
    }
}

/// The process that serves a store now.
///
/// # Errors
/// [`RunningError::NotRunning`], or the lock file cannot be read.
pub fn find(store: &Path) -> Result<i32, RunningError> {
    let path = beside(store, "lock");
    let nobody = || RunningError::NotRunning {
        store: store.to_owned(),
    };
    let mut lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Err(nobody()),
        Err(cause) => return Err(RunningError::File { path, cause }),
    };
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return Err(nobody()); // whoever wrote it is gone
    }
    match pid_in(&mut lock) {
        pid if pid > 1 => Ok(pid),
        _ => Err(nobody()), // it is just starting and will read the policies anyway
    }
}

/// Signals the server of a store and waits for its answer.
///
/// # Errors
/// [`RunningError`].
pub async fn reload(store: &Path) -> Result<ReloadReport, RunningError> {
    let pid = find(store)?;
    let before = answer(store)?.map_or(0, |report| report.count);
    let process = Pid::from_raw(pid).ok_or(RunningError::Silent { pid })?;
    kill_process(process, Signal::HUP).map_err(|cause| RunningError::Forbidden {
        pid,
        cause: cause.into(),
    })?;
    let wait = async {
        loop {
            if let Some(report) = answer(store)?.filter(|report| report.count > before) {
                return Ok(report);
            }
            if find(store).ok() != Some(pid) {
                return Err(RunningError::Stopped);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or(Err(RunningError::Silent { pid }))
}

fn answer(store: &Path) -> Result<Option<ReloadReport>, RunningError> {
    let path = beside(store, "reload");
    let wrong = |cause| RunningError::File {
        path: path.clone(),
        cause,
    };
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| wrong(error.into())),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(wrong(cause)),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn pid_in(lock: &mut File) -> i32 {
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
}

/// Beside the file itself, whatever links the configuration names it by: one store has one server.
fn beside(store: &Path, extension: &str) -> PathBuf {
    let real = store.canonicalize().or_else(|_| {
        let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
        Ok::<_, std::io::Error>(folder.join(store.file_name().unwrap_or_default()))
    });
    let store = &real.unwrap_or_else(|_| store.to_owned());
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    store.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_server_and_a_left_over_file_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("tollgate.db");
        assert!(matches!(find(&store), Err(RunningError::NotRunning { .. })));
        let running = Running::claim(&store).unwrap();
        assert_eq!(find(&store).unwrap().unsigned_abs(), std::process::id());
        assert!(matches!(Running::claim(&store), Err(RunningError::Taken { pid }) if pid > 1));
        drop(running);
        assert!(folder.path().join("tollgate.db.lock").exists());
        assert!(matches!(find(&store), Err(RunningError::NotRunning { .. })));
    }

    #[test]
    fn a_store_named_by_a_link_has_the_same_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        let _first = Running::claim(&real.join("tollgate.db")).unwrap();
        let second = Running::claim(&folder.path().join("link/tollgate.db"));
        assert!(matches!(second, Err(RunningError::Taken { .. })));
    }

    #[test]
    fn answers_are_replaced_whole_and_forgotten_by_the_next_server() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("tollgate.db");
        let mut running = Running::claim(&store).unwrap();
        assert_eq!(answer(&store).unwrap(), None);
        running.report(true, "aa".to_owned(), String::new()).unwrap();
        running.report(false, "aa".to_owned(), "bad".to_owned()).unwrap();
        let report = answer(&store).unwrap().unwrap();
        assert_eq!(
            (report.count, report.accepted, report.message.as_str()),
            (2, false, "bad")
        );
        drop(running);
        let _next = Running::claim(&store).unwrap();
        assert_eq!(answer(&store).unwrap(), None);
    }

    #[tokio::test]
    async fn a_reload_reaches_the_server_and_brings_back_its_answer() {
        use tokio::signal::unix::{SignalKind, signal};
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("tollgate.db");
        let mut hangup = signal(SignalKind::hangup()).unwrap(); // before anybody can send one
        let mut running = Running::claim(&store).unwrap();
        running.report(true, "old".to_owned(), String::new()).unwrap();
        let server = async {
            hangup.recv().await;
            running
                .report(false, "old".to_owned(), "roles.cedar:3: no".to_owned())
                .unwrap();
        };
        let (asked, ()) = tokio::join!(reload(&store), server);
        let report = asked.unwrap();
        assert!(!report.accepted);
        assert_eq!((report.count, report.message.as_str()), (2, "roles.cedar:3: no"));
    }
}
