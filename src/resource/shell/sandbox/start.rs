//! Starts bubblewrap and holds on to it: whatever becomes of the call, nothing of it stays.

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::super::protocol::{GREETING, Plan, Report};
use super::Fault;

/// The most bytes of what bubblewrap says of a failure, and of a report.
const SAID: u64 = 4 * 1024;
const REPORT: u64 = 64 * 1024;

/// A sandbox whose helper waits for its plan. Dropped, everything in it is killed.
#[derive(Debug)]
pub(in super::super) struct Started {
    /// The socket to the helper.
    pub(in super::super) control: UnixStream,
    pub(in super::super) stdout: pipe::Receiver,
    pub(in super::super) stderr: pipe::Receiver,
    leash: Leash,
    reaped: oneshot::Receiver<()>,
}

/// Kills when it is dropped.
#[derive(Debug)]
struct Leash {
    /// The first process of the namespace: when it ends, the kernel ends all others.
    first: Option<OwnedFd>,
    bubblewrap: OwnedFd,
}

impl Leash {
    fn kill(&self) {
        // bubblewrap outside ends by itself when the first process inside has ended, and that process has
        // ended only when all others have: so whoever sees bubblewrap reaped knows that nothing is left.
        let target = self.first.as_ref().unwrap_or(&self.bubblewrap);
        let _ = pidfd_send_signal(target, Signal::KILL); // gone already is good
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Started {
    /// Starts it and waits for the helper's greeting.
    ///
    /// # Errors
    /// What bubblewrap said.
    pub(super) async fn new(program: PathBuf, arguments: Vec<String>) -> Result<Self, Fault> {
        let failed = |error: std::io::Error| Fault::failed(&error);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let (stdout, out) = std::io::pipe().map_err(failed)?;
        let (stderr, err) = std::io::pipe().map_err(failed)?;
        let mut command = command(program, arguments);
        command.stdin(OwnedFd::from(theirs)).stdout(out).stderr(err);
        let (bubblewrap, reaped) = spawn(command).await.map_err(failed)?;
        let leash = Leash {
            first: None,
            bubblewrap,
        };
        ours.set_nonblocking(true).map_err(failed)?;
        let mut started = Self {
            control: UnixStream::from_std(ours).map_err(failed)?,
            stdout: pipe::Receiver::from_owned_fd(stdout.into()).map_err(failed)?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into()).map_err(failed)?,
            leash,
            reaped,
        };
        match started.greeted().await {
            Ok(Some(first)) => {
                started.leash.first = Some(first);
                Ok(started)
            }
            Ok(None) => {
                let mut said = Vec::new();
                started.leash.kill();
                let mut rest = (&mut started.stderr).take(SAID);
                rest.read_to_end(&mut said).await.map_err(failed)?;
                Err(Fault::Failed(String::from_utf8_lossy(&said).trim().to_owned()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The descriptor of the first process inside; `None` when there is none.
    async fn greeted(&self) -> std::io::Result<Option<OwnedFd>> {
        let receive = || {
            let mut byte = [0];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.control,
                &mut [IoSliceMut::new(&mut byte)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            let first = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
            Ok(first.filter(|_| received.bytes == 1 && byte == [GREETING]))
        };
        match self.control.async_io(Interest::READABLE, receive).await {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            other => other,
        }
    }

    /// Hands the helper its plan.
    ///
    /// # Errors
    /// When it is gone.
    pub(in super::super) async fn send(control: &mut UnixStream, plan: &Plan) -> std::io::Result<()> {
        control.write_all(&serde_json::to_vec(plan)?).await?;
        control.shutdown().await
    }

    /// What the helper reports, once; `None` when it ended without a word.
    pub(in super::super) async fn report(control: &mut UnixStream) -> Option<Report> {
        let mut text = Vec::new();
        control.take(REPORT).read_to_end(&mut text).await.ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Hands over a plan that gives no output, and waits for what comes of it.
    ///
    /// # Errors
    /// When nothing comes.
    pub(super) async fn ask(mut self, plan: &Plan, within: Duration) -> Result<Report, Fault> {
        let sent = Self::send(&mut self.control, plan).await;
        sent.map_err(|error| Fault::failed(&error))?;
        let report = tokio::time::timeout(within, Self::report(&mut self.control)).await;
        let mut said = Vec::new();
        self.kill();
        let _ = (&mut self.stderr).take(SAID).read_to_end(&mut said).await;
        self.gone().await;
        report.ok().flatten().ok_or_else(|| {
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            Fault::Failed(format!("the self-test ended without a word. {said}"))
        })
    }

    /// Whose the first process is to the kernel, whatever it is called inside (proc_pid_fdinfo(5),
    /// proc_pid_status(5)).
    pub(in super::super) fn uid(&self) -> Option<u32> {
        let first = self.leash.first.as_ref()?.as_raw_fd();
        let field = |path: String, name: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u32>().ok()
        };
        let pid = field(format!("/proc/self/fdinfo/{first}"), "Pid:")?;
        field(format!("/proc/{pid}/status"), "Uid:")
    }

    /// Kills everything inside.
    pub(in super::super) fn kill(&self) {
        self.leash.kill();
    }

    /// Waits until every process of the namespace has ended and bubblewrap has been reaped.
    pub(in super::super) async fn gone(self) {
        let _ = self.reaped.await;
    }
}

/// What a program says on standard output, for a question that takes no time.
///
/// # Errors
/// When it does not run.
pub(super) async fn said(program: PathBuf, arguments: Vec<String>) -> Result<String, Fault> {
    let failed = |error: std::io::Error| Fault::failed(&error);
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = command(program, arguments);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    let (_handle, reaped) = spawn(command).await.map_err(failed)?;
    let _ = reaped.await;
    let mut text = String::new();
    reader.take(SAID).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that starts processes"
)]
fn command(program: PathBuf, arguments: Vec<String>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    command
}

/// Starts a process on a thread that stays with it: it is reaped whatever becomes of the call, and "die when
/// the parent dies" (which the kernel ties to the parent's thread) does not fire before.
async fn spawn(mut command: Command) -> std::io::Result<(OwnedFd, oneshot::Receiver<()>)> {
    let (started, starting) = oneshot::channel();
    let (reaped, reaping) = oneshot::channel();
    let stay = move || {
        let child = command.spawn();
        drop(command); // and with it our copies of the other ends
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let handle = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| std::io::Error::other("no process number"))
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        let failed = handle.is_err();
        if started.send(handle).is_err() || failed {
            let _ = child.kill();
        }
        let _ = child.wait();
        let _ = reaped.send(());
    };
    std::thread::Builder::new()
        .name("sandbox".to_owned())
        .stack_size(128 * 1024)
        .spawn(stay)?;
    let handle = starting
        .await
        .map_err(|_| std::io::Error::other("the starting thread ended"))??;
    Ok((handle, reaping))
}
