//! Starts the pipelines of a line, one after the other, and looks after memory meanwhile. No shell.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Signal, WaitOptions};

use super::super::protocol::{Bounds, PATH, Report, Stage, Whether};
use super::Server;

/// As a shell says it: the program cannot be started, and there is none.
const CANNOT_START: i32 = 126;
const NO_SUCH_PROGRAM: i32 = 127;
const SIGNALLED: i32 = 128;
/// How long a program may take memory before somebody looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs every stage whose turn comes, and reports how it ended.
pub(super) fn run(stages: &[Stage], bounds: &Bounds, server: &Server) -> std::io::Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let mut line = Line::default();
    std::thread::scope(|scope| {
        let watch = std::thread::Builder::new().stack_size(128 * 1024);
        let watching = watch.spawn_scoped(scope, || watch_memory(bounds.memory, &over, server));
        if watching.is_ok() {
            line.run(stages);
        }
        over.store(true, Ordering::Release);
        watching.map(|handle| handle.thread().unpark())
    })?;
    server.report(&Report::Ended {
        code: line.code,
        stopped_by: line.out_of_time.then(|| "cpu".to_owned()),
    })
}

#[derive(Default)]
struct Line {
    /// Of the last pipeline that ran.
    code: i32,
    /// Whether a program used up its processor time.
    out_of_time: bool,
}

impl Line {
    fn run(&mut self, stages: &[Stage]) {
        for stage in stages {
            let now = match stage.when {
                Whether::Always => true,
                Whether::OnSuccess => self.code == 0,
                Whether::OnFailure => self.code != 0,
            };
            if now && !self.out_of_time {
                self.code = self.pipeline(&stage.pipeline);
            }
        }
    }

    /// Starts the programs together, waits for all of them, and gives the status of the last.
    fn pipeline(&mut self, programs: &[Vec<String>]) -> i32 {
        let mut running = BTreeSet::new();
        let mut last = Err(CANNOT_START);
        let mut input = Stdio::null();
        for (index, argv) in programs.iter().enumerate() {
            let (output, next) = if index + 1 == programs.len() {
                (Stdio::inherit(), Stdio::null())
            } else {
                match std::io::pipe() {
                    Ok((reader, writer)) => (writer.into(), reader.into()),
                    Err(error) => {
                        say(&format!("a pipe: {error}"));
                        break;
                    }
                }
            };
            last = start(argv, std::mem::replace(&mut input, next), output);
            running.extend(last.ok());
        }
        drop(input);
        let mut code = last.err().unwrap_or_default();
        while !running.is_empty() {
            // Orphans come here too, because this is the first process of its namespace.
            let (pid, status) = match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some(ended)) => ended,
                Ok(None) | Err(rustix::io::Errno::INTR) => continue,
                Err(_) => break,
            };
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if !running.remove(&pid) {
                continue;
            }
            let signal = status.terminating_signal();
            self.out_of_time |= signal == Some(Signal::XCPU.as_raw());
            if last == Ok(pid) {
                code = signal
                    .map(|signal| SIGNALLED + signal)
                    .or(status.exit_status())
                    .unwrap_or(CANNOT_START);
            }
        }
        code
    }
}

/// Starts one program and gives its process number, or the status a shell would give.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that starts processes"
)]
fn start(argv: &[String], input: Stdio, output: Stdio) -> Result<u32, i32> {
    let Some((name, arguments)) = argv.split_first() else {
        return Err(NO_SUCH_PROGRAM);
    };
    let Some(path) = find(name) else {
        say(&format!("{name}: there is no such program in the sandbox"));
        return Err(NO_SUCH_PROGRAM);
    };
    Command::new(path)
        .arg0(name)
        .args(arguments)
        .stdin(input)
        .stdout(output)
        .spawn()
        .map(|child| child.id())
        .map_err(|error| {
            say(&format!("{name}: {error}"));
            CANNOT_START
        })
}

/// The file of a program's name, from our own folders and never from the work folder.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return None;
    }
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    PATH.iter()
        .map(|folder| Path::new(folder).join(name))
        .find(is_program)
}

/// For whoever reads standard error; the reader of the other end takes out what must not leave.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "tollgate: {text}");
}

/// Ends everything when the programs together hold more memory than they may, and when the server is gone.
/// Without a delegated control group this is the only sum there is; a single program is bound by its
/// address space as well.
fn watch_memory(limit: u64, over: &AtomicBool, server: &Server) {
    while !over.load(Ordering::Acquire) {
        std::thread::park_timeout(LOOK_EVERY);
        if server_is_gone() {
            std::process::exit(0);
        }
        if memory() > limit {
            let stopped = Report::Ended {
                code: SIGNALLED + Signal::KILL.as_raw(),
                stopped_by: Some("memory".to_owned()),
            };
            let _ = server.report(&stopped);
            std::process::exit(0); // and with the first process ends every other
        }
    }
}

/// Whether nobody holds the other end of our socket any more. The signal that is sent when a parent dies does
/// not always come: bubblewrap started by root keeps no right to signal the ordinary user we run as, and it
/// is the dying parent's rights that count.
fn server_is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdin = std::io::stdin();
    let mut ends = [PollFd::new(&stdin, PollFlags::empty())];
    let asked = poll(&mut ends, Some(&Timespec::default()));
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    asked.is_ok() && ends.iter().any(|end| end.revents().intersects(gone))
}

/// Bytes that the programs hold: each one's own and what it shares with others (proc_pid_status(5)), so that
/// memory is not outside of the bound for being shared, and segments that no program may hold any more.
fn memory() -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let programs: u64 = processes
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .first()
                .is_some_and(u8::is_ascii_digit)
        })
        .filter(|entry| entry.file_name() != "1")
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok())
        .map(|status| held(&status))
        .fold(0, u64::saturating_add);
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    programs.saturating_add(in_segments(&segments))
}

/// Bytes of one program: files that it has mapped are not its memory.
fn held(status: &str) -> u64 {
    const OWN: [&str; 3] = ["RssAnon:", "RssShmem:", "VmSwap:"];
    let kibibytes = status.lines().filter_map(|line| {
        let value = OWN.iter().find_map(|name| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    });
    kibibytes.fold(0, u64::saturating_add).saturating_mul(1024)
}

/// Bytes of the System V segments of this namespace (proc_sysvipc(5)): they outlive their programs. The last two
/// of a line are what is resident and what is swapped out.
fn in_segments(list: &str) -> u64 {
    let segments = list.lines().skip(1);
    let numbers = segments.flat_map(|line| line.split_whitespace().rev().take(2));
    let bytes = numbers.map(|number| number.parse::<u64>().unwrap_or(0));
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_held_alone_or_together() {
        let status = "Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t  10 kB\nRssFile:\t 500 kB\nRssShmem:\t  30 kB\nVmSwap:\t  2 kB\n";
        assert_eq!(held(status), 42 * 1024);
        assert_eq!(held(""), 0);
        let list = "       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime        rss       swap\n\
                             0          0  1600  300000000     2     2      0  1000  1000  1000  1000          0          0          0    4096000       8192\n";
        assert_eq!(in_segments(list), 4_104_192);
        assert_eq!(in_segments(""), 0);
    }
}
