//! What the server and its helper inside the sandbox say to each other, over one socket: the helper greets
//! with a descriptor of itself, the server sends one [`Plan`], the helper answers with one [`Report`].

use serde::{Deserialize, Serialize};

/// Where the work folder is inside.
pub(super) const WORK: &str = "/work";
/// Where the operator's files are inside, below the work folder.
pub(super) const SHARED: &str = "shared";
/// Where the helper is inside; out of reach once the programs run.
pub(super) const HELPER: &str = "/.tollgate";
/// The folders in which programs are found, and the `PATH` they get.
pub(super) const PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// The byte that comes with the helper's descriptor.
pub(super) const GREETING: u8 = b'h';
/// The most bytes of a plan.
pub(super) const PLAN_BYTES: u64 = 4 * 1024 * 1024;

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Plan {
    /// Try to get out, and say what held.
    Probe {
        /// How the programs would be bound.
        bounds: Bounds,
        /// Paths of the host that must not exist inside.
        hidden: Vec<String>,
    },
    /// Run these.
    Run {
        /// How the programs are bound.
        bounds: Bounds,
        /// Whether the work folder may be written.
        change: bool,
        /// In order.
        stages: Vec<Stage>,
    },
}

/// One pipeline and when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) when: Whether,
    /// Argument vectors, the program's name first.
    pub(super) pipeline: Vec<Vec<String>>,
}

/// On which exit status of the last pipeline that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whether {
    Always,
    OnSuccess,
    OnFailure,
}

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of memory of all programs together, looked at many times a second.
    pub memory: u64,
    /// Bytes of address space of one program.
    pub address_space: u64,
    /// Seconds of processor time of one program.
    pub cpu_seconds: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of `/tmp`.
    pub scratch: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Open files of one program.
    pub files: u64,
    /// Bytes of output, kept or not, after which everything is stopped.
    pub output: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            memory: 1024 * MIB,
            address_space: 4096 * MIB,
            cpu_seconds: 20,
            file: 256 * MIB,
            scratch: 64 * MIB,
            processes: 256,
            files: 256,
            output: 64 * MIB,
        }
    }
}

/// What came of a plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The programs ended.
    Ended {
        /// Of the last pipeline that ran: its last program's status, 128 + signal when one ended it.
        code: i32,
        /// `cpu` or `memory`.
        stopped_by: Option<String>,
    },
    /// What the probe found.
    Probed(Probed),
    /// The helper could not do its part; nothing was started.
    Failed(String),
}

/// What the probe found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Probed {
    /// What did not hold, in words. Empty is good.
    pub(super) breaches: Vec<String>,
    /// The Landlock version that is enforced; 0 for none.
    pub(super) landlock: u32,
}
