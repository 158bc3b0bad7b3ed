//! `make bench`: what a governed call costs beside the same work done directly, on this machine, now.
//!
//! A throw-away site (shop, repository, work folder, issuer) is made beside the build, where files are as durable as
//! the store of a real server, and the real program serves it as a process of its own. Everything is
//! printed, nothing is asserted: a figure depends on the machine and on what else runs on it, so the
//! machine, its load and the price of one `fdatasync` are printed with it. Aims are those of a quiet
//! machine with two cores.
//!
//! Counts and times are bounded: two minutes or so. `make bench ARGS=--quick` takes a few seconds, and
//! `--identity` alone says what it costs to know who asks, `--databases` alone what governed
//! databases of servers do.

mod beside;
mod changes;
mod console;
#[cfg(feature = "postgres")]
mod databases;
mod decisions;
mod direct;
mod identity;
mod inside;
#[path = "../../tests/it/support/issuer.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared with the tests, where a helper may fail the test"
)]
#[allow(dead_code, reason = "the tests may ask it for more than the benchmark does")]
mod issuer;
mod large;
mod load;
mod machine;
#[cfg(feature = "mysql")]
mod mariadb;
#[cfg(feature = "mysql")]
#[path = "../../tests/it/support/mysql.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with the tests, where a helper may fail the test"
)]
#[allow(dead_code, reason = "the tests may ask it for more than the benchmark does")]
mod mysql;
#[cfg(feature = "postgres")]
#[path = "../../tests/it/support/postgres.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with the tests, where a helper may fail the test"
)]
#[allow(dead_code, reason = "the tests may ask it for more than the benchmark does")]
mod postgres;
mod sandbox;
mod server;
mod sign_in;
mod site;
mod start;
mod table;
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[path = "../../tests/it/support/until.rs"]
#[expect(
    clippy::panic,
    reason = "shared with the tests, where a helper may fail the test"
)]
mod until;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use site::Site;
use tollgate::clock::{System, World};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use until::until;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Calls of each kind at one session.
    calls: u32,
    /// How long each load lasts.
    load: Duration,
    /// Starts of the program.
    starts: u32,
    /// Rows of the large table.
    rows: u64,
}

const WHOLE: Plan = Plan {
    calls: 1_000,
    load: Duration::from_secs(8),
    starts: 7,
    rows: 200_000,
};
const QUICK: Plan = Plan {
    calls: 100,
    load: Duration::from_secs(1),
    starts: 3,
    rows: 200_000,
};

fn main() -> Result<()> {
    let mut plan = WHOLE;
    let (mut only_identity, mut only_databases, mut only_decisions) = (false, false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => {} // cargo's own
            "--quick" => plan = QUICK,
            "--identity" => only_identity = true,
            "--databases" => only_databases = true,
            "--decisions" => only_decisions = true,
            other => {
                bail!("unknown argument {other}; there are --quick, --identity, --databases and --decisions")
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let world = System::new();
    let issuer = runtime.block_on(issuer::Issuer::start());
    let issuer = Arc::new(issuer);
    let site = Site::new(Arc::clone(&issuer), plan.rows)?;
    let before = match only_identity || only_databases || only_decisions {
        true => machine::print(&site, &world),
        false => processes(&site, &issuer, &world, plan),
    };
    let before = before.and_then(|()| match only_identity || only_decisions {
        true => Ok(()),
        false => databases(&site, &runtime, &world, plan).and_then(|()| lake(&site, &runtime, &world, plan)),
    });
    let measured = before.and_then(|()| {
        runtime.block_on(async {
            if only_databases {
                return Ok(());
            }
            if only_decisions {
                return decisions::print(&site, plan).await;
            }
            let mut aimed = Ok(());
            if !only_identity {
                inside::print(&site, plan).await?;
                aimed = decisions::print(&site, plan).await; // what misses its aim keeps nothing else from being measured
            }
            identity::print(&site, &issuer, plan).await?;
            aimed
        })
    });
    measured.with_context(|| site.server_log())?;
    table::say(&format!(
        "\n{:.0} s in all; load average now {}",
        world.monotonic().as_secs_f64(),
        machine::load_average()
    ))
}

#[cfg(feature = "postgres")]
fn databases(site: &Site, runtime: &tokio::runtime::Runtime, world: &System, plan: Plan) -> Result<()> {
    databases::print(site, runtime, world, plan)
}

#[cfg(not(feature = "postgres"))]
fn databases(_: &Site, _: &tokio::runtime::Runtime, _: &System, _: Plan) -> Result<()> {
    Ok(())
}

#[cfg(feature = "mysql")]
fn lake(site: &Site, runtime: &tokio::runtime::Runtime, world: &System, plan: Plan) -> Result<()> {
    mariadb::print(site, runtime, world, plan)
}

#[cfg(not(feature = "mysql"))]
fn lake(_: &Site, _: &tokio::runtime::Runtime, _: &System, _: Plan) -> Result<()> {
    Ok(())
}

/// What is measured on the program as a process of its own.
fn processes(site: &Site, issuer: &Arc<issuer::Issuer>, world: &System, plan: Plan) -> Result<()> {
    machine::print(site, world)?;
    start::print(site, world, plan)?;
    beside::print(site, world, plan)?;
    load::print(site, world, plan)?;
    large::print(site, world, plan)?;
    sandbox::print(site, issuer, world, plan)?;
    changes::print(site, world, plan)
}
