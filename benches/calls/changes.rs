//! A change of one row: measured for the people who are asked, made, and made without Tollgate.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use memchr::memmem;
use rusqlite::Connection;
use serde_json::json;
use tollgate::clock::World;

use crate::Plan;
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, micros, table};
use crate::wire::{self, Wire};

/// A table, and the change of its `n`th row.
struct Case {
    name: String,
    /// The resource; its file is `<resource>.db`, and `<resource>-asks` needs an approval.
    resource: &'static str,
    table: &'static str,
    column: &'static str,
    count: u32,
}

impl Case {
    /// Never the same change twice: the identical call would get the earlier answer.
    fn statement(&self, way: &str, n: u32) -> String {
        let Self { table, column, .. } = self;
        format!(
            "UPDATE {table} SET {column} = 'bench {way} {n}' WHERE id = {}",
            n + 1
        )
    }
}

pub(crate) fn print(site: &Site, world: &dyn World, plan: Plan) -> Result<()> {
    let case = |name, resource, table, column, share: u32| Case {
        name,
        resource,
        table,
        column,
        count: (plan.calls / share).max(5),
    };
    let cases = [
        case("of 2,000 rows".to_owned(), "small", "customers", "name", 10),
        case(format!("of {} rows", plan.rows), "large", "readings", "note", 100),
    ];
    let mut server = Server::spawn(site, &site.config())?;
    let mut wire = server.connect(world)?;
    let token = site.token(1);
    let mut rows = Vec::new();
    for case in &cases {
        let asks = format!("{}-asks", case.resource);
        let mut send = |resource: &str, way: &str, expected: &[u8]| {
            let mut times = Times::default();
            for n in 0..case.count {
                let arguments = json!({"resource": resource, "statement": case.statement(way, n)});
                let request = wire::call(server.address, &token, "sql_execute", &arguments);
                times.add(timed(&mut wire, world, &request, expected)?);
            }
            anyhow::Ok(times)
        };
        let mut asked = send(&asks, "asked", br#""status":"approval_pending""#)?;
        let mut made = send(case.resource, "made", br#""rows_affected":1"#)?;
        let mut direct = direct(site, world, case)?;
        let [asked, made_p50, direct] =
            [&mut asked, &mut made, &mut direct].map(|times| times.percentile(50));
        rows.push(vec![
            case.name.clone(),
            micros(asked),
            micros(made_p50),
            micros(made.percentile(95)),
            micros(direct),
            format!("{:.1}", made_p50.as_secs_f64() / direct.as_secs_f64()),
        ]);
    }
    server.stop()?;
    table(
        "UPDATE of one row over HTTP, µs (what it changes is found by comparing whole tables)",
        &[
            "",
            "measured and asked p50",
            "made p50",
            "made p95",
            "direct p50",
            "ratio",
        ],
        &rows,
    )
}

fn timed(wire: &mut Wire, world: &dyn World, request: &[u8], expected: &[u8]) -> Result<Duration> {
    let start = world.monotonic();
    let body = wire.exchange(request)?;
    let took = world.monotonic() - start;
    if memmem::find(body, expected).is_none() {
        bail!("{}", String::from_utf8_lossy(body));
    }
    Ok(took)
}

fn direct(site: &Site, world: &dyn World, case: &Case) -> Result<Times> {
    let database = Connection::open(site.path(&format!("{}.db", case.resource)))?;
    let mut times = Times::default();
    for n in 0..case.count {
        let statement = case.statement("direct", n);
        let start = world.monotonic();
        let changed = database.execute(&statement, [])?;
        times.add(world.monotonic() - start);
        ensure!(changed == 1, "{statement} changed {changed} rows");
    }
    Ok(times)
}
