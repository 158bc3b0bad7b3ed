//! Sixty-four sessions of as many people, all at once, each sending its next call when it has its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tollgate::clock::World;

use crate::Plan;
use crate::beside::{Call, calls};
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, mebi, micros, say, table};
use crate::wire::{self, Wire};

const SESSIONS: u32 = 64;

/// What one session saw.
#[derive(Default)]
struct Seen {
    times: Times,
    errors: usize,
    error: Option<String>,
}

pub(crate) fn print(site: &Site, world: &dyn World, plan: Plan) -> Result<()> {
    let mut server = Server::spawn(site, &site.config())?;
    drop(server.connect(world)?);
    let calls = calls(site);
    let mixed = ["sql_query", "file_read", "list_resources"];
    let loads: [(&str, Vec<&Call>); 2] = [
        ("one-row sql_query", calls.iter().take(1).collect()),
        (
            "sql_query of 1 and 200 rows, file_read, list_resources",
            calls.iter().filter(|call| mixed.contains(&call.tool)).collect(),
        ),
    ];
    loaded(
        "64 sessions at once (aims: thousands of calls a second, no errors, under 60 MB)",
        (site, &server, world),
        plan.load,
        &loads,
    )?;
    std::thread::sleep(Duration::from_secs(1));
    say(&format!(
        "  the load shares the cores with the server; one second later it holds {}",
        mebi(server.memory()?.0)
    ))?;
    server.stop()
}

/// Prints what each of these loads came to.
pub(crate) fn loaded(
    title: &str,
    (site, server, world): (&Site, &Server, &dyn World),
    lasts: Duration,
    loads: &[(&str, Vec<&Call>)],
) -> Result<()> {
    let mut rows = Vec::new();
    let mut first_error = None;
    for (name, calls) in loads {
        server.forget_peak()?;
        let before = server.cpu()?;
        let start = world.monotonic();
        let (mut seen, highest) = load(site, server, world, lasts, calls)?;
        let lasted = world.monotonic() - start;
        let done = seen.times.len();
        let cpu = (server.cpu()? - before) / u32::try_from(done.max(1))?;
        first_error = first_error.or(seen.error);
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.0}", done as f64 / lasted.as_secs_f64()),
            seen.errors.to_string(),
            micros(seen.times.percentile(50)),
            micros(seen.times.percentile(99)),
            micros(cpu),
            mebi(highest),
            mebi(server.memory()?.1),
        ]);
    }
    table(
        title,
        &[
            "",
            "calls/s",
            "errors",
            "p50 µs",
            "p99 µs",
            "server CPU µs",
            "memory",
            "peak",
        ],
        &rows,
    )?;
    if let Some(error) = first_error {
        say(&format!("  the first error: {error}"))?;
    }
    Ok(())
}

/// Runs one load; gives what was seen and the most memory the server was seen to hold.
fn load(
    site: &Site,
    server: &Server,
    world: &dyn World,
    lasts: Duration,
    calls: &[&Call],
) -> Result<(Seen, u64)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|person| {
                let token = site.token(person);
                let requests: Vec<Vec<u8>> = calls
                    .iter()
                    .map(|call| wire::call(server.address, &token, call.tool, &call.arguments))
                    .collect();
                let over = &over;
                let skip = usize::try_from(person).unwrap_or(0);
                scope.spawn(move || session(server, world, &requests, skip, over))
            })
            .collect();
        let until = world.monotonic() + lasts;
        let mut highest = 0;
        while world.monotonic() < until {
            std::thread::sleep(Duration::from_millis(50));
            highest = highest.max(server.memory()?.0);
        }
        over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for session in sessions {
            let seen = session.join().ok().context("a session panicked")?;
            all.times.append(seen.times);
            all.errors += seen.errors;
            all.error = all.error.or(seen.error);
        }
        Ok((all, highest))
    })
}

fn session(server: &Server, world: &dyn World, requests: &[Vec<u8>], skip: usize, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut wire = None;
    for request in requests.iter().cycle().skip(skip) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let start = world.monotonic();
        let connected = match wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::connect(server.address).map_err(anyhow::Error::from),
        };
        let called = connected.and_then(|mut wire| wire.call(request).map(|_| wire));
        match called {
            Ok(good) => {
                seen.times.add(world.monotonic() - start);
                wire = Some(good);
            }
            Err(error) => {
                seen.errors += 1;
                seen.error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    seen
}
