//! The part of Tollgate that runs inside the sandbox, as the first process of its namespaces: it takes away
//! what is still left to take away, starts the programs, and says how they ended. When it ends, the kernel
//! ends whatever is left in there.
//!
//! It is this program itself, started again by bubblewrap under a name no user types. It has no rights of
//! the server's: whoever starts it by hand restricts nobody but himself.

mod confine;
mod pipeline;
mod probe;

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use rustix::process::{DumpableBehavior, PidfdFlags, Signal};

use super::protocol::{GREETING, PLAN_BYTES, Plan, Report};

/// Says "be the helper".
pub(super) const INSIDE: &str = "__sandbox";
/// Says "become an ordinary user, then start what follows".
pub(super) const STEP_DOWN: &str = "__sandbox-step-down";
/// Who root becomes: `nobody`.
pub(super) const NOBODY: u32 = 65_534;

/// Runs the helper if that is what this process was started for.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    let done = if first == INSIDE {
        inside()
    } else if first == STEP_DOWN {
        step_down(arguments)
    } else {
        return None;
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is what a start that failed is explained with.
            let _ = writeln!(std::io::stderr(), "tollgate: sandbox helper: {error}");
            ExitCode::FAILURE
        }
    })
}

/// The server's end of the socket; used once, by whoever has something to report first.
struct Server(Mutex<Option<UnixStream>>);

impl Server {
    fn report(&self, report: &Report) -> std::io::Result<()> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taken {
            Some(mut stream) => stream.write_all(&serde_json::to_vec(report)?),
            None => Ok(()),
        }
    }
}

fn inside() -> std::io::Result<()> {
    confine::step_back();
    confine::keep_descriptors()?;
    // Programs run as the same user: none of them may look into this process or take a descriptor from it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    greet(&stream)?;
    let mut text = Vec::new();
    Read::by_ref(&mut stream)
        .take(PLAN_BYTES)
        .read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(()); // the server has changed its mind: nothing is to run
    }
    let server = Server(Mutex::new(Some(stream)));
    let plan: Plan = match serde_json::from_slice(&text) {
        Ok(plan) => plan,
        Err(error) => return server.report(&Report::Failed(error.to_string())),
    };
    match plan {
        Plan::Probe { bounds, hidden } => server.report(&probe::run(&bounds, &hidden)),
        Plan::Run {
            bounds,
            change,
            stages,
        } => match confine::confine(&bounds, change) {
            Ok(_) => pipeline::run(&stages, &bounds, &server),
            Err(error) => server.report(&Report::Failed(error)),
        },
    }
}

/// Sends a descriptor of this very process: whoever holds it can end everything in here, whatever
/// becomes of process numbers.
fn greet(stream: &UnixStream) -> std::io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let myself = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let descriptors = [myself.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(std::io::Error::other("no room for a descriptor"));
    }
    sendmsg(
        stream,
        &[IoSlice::new(&[GREETING])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Root binds what is needed where anybody may reach it, and then becomes nobody for good: what runs inside
/// is an ordinary user to the kernel, not root in disguise.
fn step_down(mut command: impl Iterator<Item = std::ffi::OsString>) -> std::io::Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // Changing users has taken this back: die when the parent dies.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let program = command
        .next()
        .ok_or_else(|| std::io::Error::other("nothing to start"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place that starts processes"
    )]
    let failed = std::process::Command::new(program).args(command).exec();
    Err(failed)
}
