//! bubblewrap: what it is told, whether it is there, and whether what it makes holds.

mod fault;
mod start;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::helper::{NOBODY, STEP_DOWN};
use super::protocol::{Bounds, HELPER, PATH, Plan, Report, SHARED, WORK};

pub use fault::Fault;
pub(super) use start::Started;

/// Where bubblewrap is looked for; never along the server's own `PATH`.
const BUBBLEWRAP: [&str; 3] = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"];
/// The first release with `--disable-userns`.
const OLDEST: (u32, u32) = (0, 8);
/// Where root puts what an ordinary user must be able to reach.
const REACHABLE: &str = "/tmp";
/// Files of `/etc` that programs need to start, and nothing that tells of this machine.
const ETC: [&str; 3] = ["/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"];
/// The folders above `/usr`: links to it almost everywhere, real folders on some systems.
const TOP: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// How long a sandbox may take to be there, on a machine that has a lot to do.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A sandbox that was tried and held.
#[derive(Debug)]
pub(super) struct Sandbox {
    bubblewrap: PathBuf,
    helper: PathBuf,
    is_root: bool,
    bounds: Bounds,
    layers: Vec<String>,
}

/// What of the host's folders is seen inside.
#[derive(Debug)]
pub(super) struct Mounts {
    /// Becomes `/work`.
    pub(super) work: PathBuf,
    /// Becomes `shared` in it, read-only always.
    pub(super) shared: Option<PathBuf>,
    /// Whether `/work` may be written.
    pub(super) change: bool,
}

impl Sandbox {
    /// Looks for bubblewrap, starts a probe in a sandbox and lets it try to get out. Blocks meanwhile.
    ///
    /// # Errors
    /// Which layer is missing, and why.
    pub(super) fn tried(
        helper: &Path,
        bounds: Bounds,
        shared: PathBuf,
        hidden: &Path,
    ) -> Result<Self, Fault> {
        let installed = BUBBLEWRAP.iter().map(PathBuf::from).find(|path| path.is_file());
        let bubblewrap = installed.ok_or(Fault::NoBubblewrap)?;
        if !helper.is_file() {
            return Err(Fault::NoHelper(helper.to_owned()));
        }
        let mut sandbox = Self {
            bubblewrap,
            helper: helper.to_owned(),
            is_root: rustix::process::geteuid().is_root(),
            bounds,
            layers: Vec::new(),
        };
        let mounts = Mounts {
            work: shared,
            shared: None,
            change: false,
        };
        let plan = Plan::Probe {
            bounds,
            hidden: vec![hidden.to_string_lossy().into_owned()],
        };
        // A thread of its own, because the caller may be on a runtime that must not be blocked on.
        let probing = std::thread::scope(|scope| {
            let probing = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| Fault::failed(&error))?;
                runtime.block_on(async {
                    let version = sandbox.version().await?;
                    let started = sandbox.prepare(&mounts).await?;
                    if started.uid().is_none_or(|uid| uid == 0) {
                        return Err(Fault::Weak(vec![
                            "what runs inside is root to the kernel".to_owned(),
                        ]));
                    }
                    Ok((version, started.ask(&plan, READY_WITHIN).await?))
                })
            });
            probing
                .join()
                .unwrap_or_else(|_| Err(Fault::Failed("the self-test panicked".to_owned())))
        });
        sandbox.layers = match probing? {
            (version, Report::Probed(probed)) if probed.breaches.is_empty() => {
                layers(&version, probed.landlock)
            }
            (_, Report::Probed(probed)) => return Err(Fault::Weak(probed.breaches)),
            (_, Report::Failed(why)) => return Err(Fault::Failed(why)),
            (_, Report::Ended { .. }) => return Err(Fault::Failed("the probe said nothing".to_owned())),
        };
        Ok(sandbox)
    }

    /// The layers that hold, as the self-test found them.
    #[must_use]
    pub(super) fn layers(&self) -> &[String] {
        &self.layers
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// A sandbox in which nothing runs yet.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn prepare(&self, mounts: &Mounts) -> Result<Started, Fault> {
        let (program, arguments) = self.command(mounts);
        tokio::time::timeout(READY_WITHIN, Started::new(program, arguments))
            .await
            .unwrap_or_else(|_| Err(Fault::Failed("it was not there in time".to_owned())))
    }

    async fn version(&self) -> Result<String, Fault> {
        let said = start::said(self.bubblewrap.clone(), vec!["--version".to_owned()]).await?;
        let version = said.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < OLDEST {
            return Err(Fault::TooOld(version));
        }
        Ok(version)
    }

    fn command(&self, mounts: &Mounts) -> (PathBuf, Vec<String>) {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        if !self.is_root {
            return (
                self.bubblewrap.clone(),
                self.inner(&text(&self.helper), &text(&mounts.work), mounts),
            );
        }
        // Root first binds what is needed where anybody may reach it, then steps down for good.
        let put = |name: &str| format!("{REACHABLE}/{name}");
        let mut outer = words("--die-with-parent --clearenv --dev-bind / / --tmpfs");
        outer.push(REACHABLE.to_owned());
        let mut bind = |how: &str, from: &Path, to: String| outer.extend([how.to_owned(), text(from), to]);
        bind("--ro-bind", &self.helper, put("tollgate"));
        bind("--bind", &mounts.work, put("work"));
        let mut inside = Mounts {
            work: put("work").into(),
            shared: None,
            change: mounts.change,
        };
        if let Some(shared) = &mounts.shared {
            bind("--ro-bind", shared, put("shared"));
            inside.shared = Some(put("shared").into());
        }
        outer.extend(words(
            "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --chdir / --",
        ));
        outer.extend([put("tollgate"), STEP_DOWN.to_owned(), text(&self.bubblewrap)]);
        outer.extend(self.inner(&put("tollgate"), &put("work"), &inside));
        (self.bubblewrap.clone(), outer)
    }

    /// What bubblewrap is told, as an ordinary user.
    fn inner(&self, helper: &str, work: &str, mounts: &Mounts) -> Vec<String> {
        let mut told = words(
            "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try \
             --disable-userns --die-with-parent --new-session --as-pid-1 --uid 1000 --gid 1000 \
             --hostname sandbox --cap-drop ALL --clearenv --setenv HOME /tmp --setenv LANG C.UTF-8 \
             --setenv TZ UTC --setenv PATH",
        );
        told.push(PATH.join(":"));
        told.extend(words("--ro-bind /usr /usr"));
        for path in TOP {
            match std::fs::read_link(path) {
                Ok(target) => told.extend([
                    "--symlink".to_owned(),
                    target.to_string_lossy().into_owned(),
                    path.to_owned(),
                ]),
                Err(_) => told.extend(["--ro-bind-try", path, path].map(str::to_owned)),
            }
        }
        for path in ETC {
            told.extend(["--ro-bind-try", path, path].map(str::to_owned));
        }
        told.extend(words(
            "--proc /proc --dev /dev --remount-ro /dev --perms 0700 --size",
        ));
        told.push(self.bounds.scratch.to_string());
        told.extend(words("--tmpfs /tmp"));
        let how = if mounts.change { "--bind" } else { "--ro-bind" };
        told.extend([how, work, WORK].map(str::to_owned));
        if let Some(shared) = &mounts.shared {
            let shared = shared.to_string_lossy().into_owned();
            told.extend(["--ro-bind".to_owned(), shared, format!("{WORK}/{SHARED}")]);
        }
        told.extend(
            [
                "--ro-bind",
                helper,
                HELPER,
                "--remount-ro",
                "/",
                "--chdir",
                WORK,
                "--",
            ]
            .map(str::to_owned),
        );
        told.extend([HELPER.to_owned(), super::helper::INSIDE.to_owned()]);
        told
    }

    /// Whose the work folders must be.
    pub(super) fn owner() -> Option<u32> {
        rustix::process::geteuid().is_root().then_some(NOBODY)
    }
}

fn layers(version: &str, landlock: u32) -> Vec<String> {
    let mut layers = vec![
        format!("bubblewrap {version}"),
        "user, mount, pid, network, ipc and uts namespaces".to_owned(),
        "no nested namespaces".to_owned(),
        "no capabilities".to_owned(),
        "no_new_privs".to_owned(),
        "seccomp".to_owned(),
        "rlimits".to_owned(),
    ];
    if landlock > 0 {
        layers.push(format!("landlock {landlock}"));
    }
    layers
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
