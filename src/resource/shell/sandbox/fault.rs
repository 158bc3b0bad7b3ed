//! Why there is no sandbox, and how to get one.

use std::fmt;
use std::path::PathBuf;

/// Why there is no sandbox. For the operator; the agent only learns that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// bubblewrap is not installed.
    NoBubblewrap,
    /// It cannot do what is needed.
    TooOld(String),
    /// The program that is to run inside is not there (any more).
    NoHelper(PathBuf),
    /// It does not start.
    Failed(String),
    /// It starts and does not hold.
    Weak(Vec<String>),
}

impl Fault {
    pub(super) fn failed(error: &dyn fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// What the operator does about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoBubblewrap => {
                "install bubblewrap 0.8 or newer: apt-get install bubblewrap (Debian, Ubuntu), \
                 dnf install bubblewrap (Fedora), apk add bubblewrap (Alpine)"
            }
            Self::TooOld(_) => "install bubblewrap 0.8 or newer: older ones allow nested user namespaces",
            Self::NoHelper(_) => "start Tollgate again: its program file was replaced or removed",
            Self::Failed(text) if text.contains("RTM_NEWADDR") || text.contains("setting up uid map") => {
                "Ubuntu 24.04 and newer keep programs from making user namespaces: give bubblewrap an AppArmor \
                 profile (docs/shell.md), or set kernel.apparmor_restrict_unprivileged_userns=0 with sysctl"
            }
            Self::Failed(_) => {
                "user namespaces must be allowed here: user.max_user_namespaces above 0 with sysctl, \
                 kernel.unprivileged_userns_clone=1 on older Debian; in a container see docs/shell.md"
            }
            Self::Weak(_) => "commands are refused until this holds: see docs/shell.md",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBubblewrap => f.write_str("bubblewrap is not installed"),
            Self::TooOld(version) => write!(f, "bubblewrap {version} is too old"),
            Self::NoHelper(path) => write!(f, "{} is not there", path.display()),
            Self::Failed(why) => write!(f, "the sandbox does not start: {why}"),
            Self::Weak(breaches) => write!(f, "the sandbox does not hold: {}", breaches.join("; ")),
        }
    }
}
