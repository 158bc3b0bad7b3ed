//! What all figures depend on.

use std::io::Write;

use anyhow::Result;
use tollgate::clock::World;

use crate::site::Site;
use crate::table::{Times, micros, say};

/// How often the disk is asked.
const SYNCS: u32 = 300;
/// What a small commit appends to a write-ahead log: some pages of 4 KiB.
const COMMIT: [u8; 16 * 1024] = [7; 16 * 1024];

/// The machine, its load, and one `fdatasync` where the journal lies: no recorded call can be faster.
pub(crate) fn print(site: &Site, world: &dyn World) -> Result<()> {
    let first_line = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    say(&format!(
        "machine: {} cores ({}), Linux {}, load average {}",
        std::thread::available_parallelism()?,
        model.map_or("?", |model| model.trim_start_matches([' ', '\t', ':'])),
        first_line("/proc/sys/kernel/osrelease"),
        load_average(),
    ))?;
    let mut file = std::fs::File::create(site.path("probe"))?;
    let mut times = Times::default();
    for _ in 0..SYNCS {
        let start = world.monotonic();
        file.write_all(&COMMIT)?;
        file.sync_data()?;
        times.add(world.monotonic() - start);
    }
    say(&format!(
        "disk: append 16 KiB and fdatasync beside the journal: p50 {} µs, p95 {} µs. Every answer waits for one.",
        micros(times.percentile(50)),
        micros(times.percentile(95)),
    ))
}

/// Over one, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
