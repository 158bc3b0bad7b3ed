//! A command in the sandbox beside the same program without one, and beside a sandbox without Tollgate.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use tollgate::clock::World;

use crate::Plan;
use crate::beside::{many, warm_up};
use crate::issuer::Issuer;
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, micros, say, table};
use crate::wire;

/// The least there is to run.
const ECHO: [&str; 2] = ["/usr/bin/echo", "hello"];
/// What the adapter asks of bubblewrap, as far as time goes: the same namespaces and mounts.
const BARE: &str = "/usr/bin/bwrap --unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts \
    --unshare-cgroup-try --disable-userns --die-with-parent --new-session --cap-drop ALL --clearenv \
    --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
    --proc /proc --dev /dev --remount-ro /dev --tmpfs /tmp --remount-ro / --";
/// `nobody`, whom root stands in for when there is no other ordinary user.
const ORDINARY: u32 = 65_534;

pub(crate) fn print(site: &Site, issuer: &Arc<Issuer>, world: &dyn World, plan: Plan) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let mut add = |name: &str, measured: Result<Vec<String>>| match measured {
        Ok(figures) => rows.push([name.to_owned()].into_iter().chain(figures).collect()),
        Err(error) => failures.push(format!("  {name}: not measured: {error:#}")),
    };
    if root {
        add("served by root", row(site, world, plan, None));
        let other = Site::new(Arc::clone(issuer), 1)?;
        other.give_to(ORDINARY)?;
        add("served by nobody", row(&other, world, plan, Some(ORDINARY)));
    } else {
        add("served by an ordinary user", row(site, world, plan, None));
    }
    table(
        "Sandboxed `echo hello` over HTTP, µs (aim: at most 10,000 added; intent and result are an fsync each)",
        &[
            "",
            "p50",
            "p95",
            "bwrap alone p50",
            "exec p50",
            "added",
            "to bwrap",
        ],
        &rows,
    )?;
    failures.iter().try_for_each(|line| say(line))
}

fn row(site: &Site, world: &dyn World, plan: Plan, uid: Option<u32>) -> Result<Vec<String>> {
    let count = (plan.calls / 5).max(20);
    let mut server = Server::spawn_as(site, &site.config(), uid)?;
    let mut wire = server.connect(world)?;
    let arguments = json!({"resource": "work", "argv": ["echo", "hello"]});
    let request = wire::call(server.address, &site.token(0), "shell_run", &arguments);
    let (mut governed, _) = many(&server, &mut wire, world, count, |wire| wire.call(&request))?;
    server.stop()?;
    let bare: Vec<&str> = BARE.split_whitespace().chain(ECHO).collect();
    let mut boxed = runs(&bare, world, count, uid)?;
    let mut plain = runs(&ECHO, world, count, uid)?;
    let [through, boxed, plain] = [&mut governed, &mut boxed, &mut plain].map(|times| times.percentile(50));
    Ok(vec![
        micros(through),
        micros(governed.percentile(95)),
        micros(boxed),
        micros(plain),
        micros(through.saturating_sub(plain)),
        micros(through.saturating_sub(boxed)),
    ])
}

/// Starts a program so many times, and reads what it says.
#[expect(
    clippy::disallowed_methods,
    reason = "the same program without Tollgate is another process too"
)]
fn runs(argv: &[&str], world: &dyn World, count: u32, uid: Option<u32>) -> Result<Times> {
    let mut times = Times::default();
    let (program, arguments) = argv.split_first().unwrap_or((&ECHO[0], &[]));
    for turn in 0..count + warm_up(count) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let start = world.monotonic();
        let ended = command.output()?;
        let took = world.monotonic() - start;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.stdout == b"hello\n", "{program}: {said}");
        if turn >= warm_up(count) {
            times.add(took);
        }
    }
    Ok(times)
}
