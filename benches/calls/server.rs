//! The program as a process of its own, and what the kernel says of it.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tollgate::clock::World;

use crate::site::Site;
use crate::wire::Wire;

/// A running `tollgate serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// The kernel's clock tick: 100 a second on every Linux that matters (`sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

impl Server {
    /// Starts it; it may not be listening yet.
    pub(crate) fn spawn(site: &Site, config: &Path) -> Result<Self> {
        Self::spawn_as(site, config, None)
    }

    /// The same, as another user if one is named.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under measurement is another process"
    )]
    pub(crate) fn spawn_as(site: &Site, config: &Path, uid: Option<u32>) -> Result<Self> {
        let log = File::options()
            .append(true)
            .create(true)
            .open(site.path("server.log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["serve", "--config"]).arg(config);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self {
            child,
            address: site.address,
        })
    }

    /// Connects as soon as it listens.
    pub(crate) fn connect(&mut self, world: &dyn World) -> Result<Wire> {
        let until = world.monotonic() + Duration::from_secs(30);
        loop {
            match Wire::connect(self.address) {
                Ok(wire) => return Ok(wire),
                Err(error) if world.monotonic() > until => return Err(error).context("it does not listen"),
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once: {status}; see server.log");
            }
        }
    }

    /// Ends it as an operator does, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    /// Bytes in memory now, and the most since [`Server::forget_peak`].
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let kibi = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|line| line.split_whitespace().next());
            Ok(word.with_context(|| format!("no {key}"))?.parse::<u64>()? * 1024)
        };
        Ok((kibi("VmRSS:")?, kibi("VmHWM:")?))
    }

    /// Lets the kernel count the peak anew (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(self.proc("clear_refs"), "5")?)
    }

    /// Processor time used so far, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        let after_name = stat.rsplit_once(") ").context("stat")?.1;
        let fields = after_name.split(' ').skip(11).take(2); // utime and stime
        let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(TICK * ticks)
    }

    pub(crate) fn threads(&self) -> Result<usize> {
        Ok(std::fs::read_dir(self.proc("task"))?.count())
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            std::thread::sleep(Duration::from_millis(300)); // something went wrong: let it say what
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
