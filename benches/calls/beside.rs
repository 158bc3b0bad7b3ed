//! One session: each governed call beside the same work done directly.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tollgate::clock::World;

use crate::Plan;
use crate::direct::Direct;
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, mebi, micros, say, table};
use crate::wire::{self, Wire};

/// A call and its name in the table.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    /// Whether there is the same work without Tollgate.
    direct: bool,
    /// So many times fewer than the others.
    dear: u32,
}

impl Call {
    /// One that has nothing beside it.
    pub(crate) fn new(name: &'static str, tool: &'static str, arguments: Value) -> Self {
        Self {
            name,
            tool,
            arguments,
            direct: false,
            dear: 1,
        }
    }
}

/// The one-row read that the aims speak of.
pub(crate) const ONE_ROW: &str = "SELECT id, name, city FROM customers WHERE id = 1234";

/// What is measured.
pub(crate) fn calls(site: &Site) -> Vec<Call> {
    let (file, folder, pattern) = if site.own_history {
        ("src/gate.rs", "src", "Permit")
    } else {
        ("src/orders.py", "src", "return")
    };
    let call = |name, tool, arguments| Call {
        direct: true,
        ..Call::new(name, tool, arguments)
    };
    let query = |statement: &str| json!({"resource": "shop", "statement": statement});
    vec![
        call("sql_query, one row", "sql_query", query(ONE_ROW)),
        call(
            "sql_query, 200 rows",
            "sql_query",
            query("SELECT id, name, email, city, country, created_at FROM customers ORDER BY id LIMIT 200"),
        ),
        call("sql_schema", "sql_schema", json!({"resource": "shop"})),
        call(
            "file_read",
            "file_read",
            json!({"resource": "code", "path": file}),
        ),
        call(
            "file_list",
            "file_list",
            json!({"resource": "code", "path": folder}),
        ),
        Call {
            dear: 10,
            ..call(
                "file_search, 20 matches",
                "file_search",
                json!({"resource": "code", "pattern": pattern, "limit": 20}),
            )
        },
        Call {
            direct: false,
            ..call("list_resources", "list_resources", json!({}))
        },
    ]
}

/// How many are not counted: connections, caches and patterns come to be in them.
pub(crate) fn warm_up(count: u32) -> u32 {
    (count / 10).max(5)
}

pub(crate) fn print(site: &Site, world: &dyn World, plan: Plan) -> Result<()> {
    let direct = Direct::open(site)?;
    let mut server = Server::spawn(site, &site.config())?;
    let mut wire = server.connect(world)?;
    let health = wire::health(server.address);
    let (mut floor, _) = many(&server, &mut wire, world, plan.calls, |wire| {
        wire.exchange(&health).map(<[u8]>::len)
    })?;
    let (rest, _) = server.memory()?;
    let token = site.token(0);
    let mut rows = Vec::new();
    for call in calls(site) {
        let count = (plan.calls / call.dear).max(10);
        let request = wire::call(server.address, &token, call.tool, &call.arguments);
        let (mut governed, alone, cpu) = match call.direct {
            true => {
                let directly = || direct.run(call.tool, &call.arguments).map(drop);
                let timed = in_turn(&server, &mut wire, world, count, (&request, directly))?;
                (timed.0, Some(timed.1), timed.2)
            }
            false => {
                let (times, cpu) = many(&server, &mut wire, world, count, |wire| wire.call(&request))?;
                (times, None, cpu)
            }
        };
        let mut row = vec![
            call.name.to_owned(),
            micros(governed.percentile(50)),
            micros(governed.percentile(95)),
            micros(cpu),
        ];
        if let Some(mut alone) = alone {
            let (through, alone) = (governed.percentile(50), alone.percentile(50));
            row.push(micros(alone));
            row.push(micros(through.saturating_sub(alone)));
            row.push(format!("{:.1}", through.as_secs_f64() / alone.as_secs_f64()));
        }
        rows.push(row);
    }
    table(
        "One session over HTTP keep-alive, µs (aim: at most 300 added to a one-row read, one fsync included)",
        &["", "p50", "p95", "server CPU", "direct p50", "added", "ratio"],
        &rows,
    )?;
    say(&format!(
        "  of which the wire: GET /healthz takes {} µs at the median",
        micros(floor.percentile(50))
    ))?;
    say(&format!(
        "  memory: {} at rest (aim: 20 MB), {} after these calls, {} threads",
        mebi(rest),
        mebi(server.memory()?.0),
        server.threads()?
    ))?;
    server.stop()
}

/// So many in a row of what is timed in turn: each finds the machine as the same before it has left it.
const IN_A_ROW: u32 = 10;

/// Times many exchanges on one connection, and the same work done directly, some of the one and some of the other in turn:
/// whatever else the machine does meanwhile slows both. And the processor time of the server for one.
pub(crate) fn in_turn(
    server: &Server,
    wire: &mut Wire,
    world: &dyn World,
    count: u32,
    (request, mut direct): (&[u8], impl FnMut() -> Result<()>),
) -> Result<(Times, Times, Duration)> {
    let mut row = |many: u32, governed: &mut Times, alone: &mut Times| -> Result<()> {
        for _ in 0..many {
            let start = world.monotonic();
            wire.call(request)?;
            governed.add(world.monotonic() - start);
        }
        for _ in 0..many {
            let start = world.monotonic();
            direct()?;
            alone.add(world.monotonic() - start);
        }
        Ok(())
    };
    row(warm_up(count), &mut Times::default(), &mut Times::default())?;
    let (mut governed, mut alone) = (Times::default(), Times::default());
    let before = server.cpu()?;
    let mut left = count;
    while left > 0 {
        let many = left.min(IN_A_ROW);
        row(many, &mut governed, &mut alone)?;
        left -= many;
    }
    Ok((governed, alone, (server.cpu()? - before) / count))
}

/// Times many exchanges on one connection, and the processor time of the server for one.
pub(crate) fn many(
    server: &Server,
    wire: &mut Wire,
    world: &dyn World,
    count: u32,
    mut exchange: impl FnMut(&mut Wire) -> Result<usize>,
) -> Result<(Times, Duration)> {
    for _ in 0..warm_up(count) {
        exchange(wire)?;
    }
    let mut times = Times::default();
    let before = server.cpu()?;
    for _ in 0..count {
        let start = world.monotonic();
        exchange(wire)?;
        times.add(world.monotonic() - start);
    }
    Ok((times, (server.cpu()? - before) / count))
}
