//! Everything of a large table: what is kept back, and what that costs in memory.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tollgate::clock::World;

use crate::Plan;
use crate::server::Server;
use crate::site::Site;
use crate::table::{mebi, millis, table};
use crate::wire;

pub(crate) fn print(site: &Site, world: &dyn World, plan: Plan) -> Result<()> {
    let rows = vec![
        row(
            site,
            world,
            "the usual bounds (1,000 rows, 1 MiB)",
            &site.config(),
        )?,
        row(
            site,
            world,
            "rows and bytes raised: the whole table",
            &site.path("raised.toml"),
        )?,
    ];
    table(
        &format!(
            "SELECT * over {} rows (aim: under 64 MB with the usual bounds)",
            plan.rows
        ),
        &["", "answer", "took", "memory before", "peak", "after"],
        &rows,
    )
}

fn row(site: &Site, world: &dyn World, name: &str, config: &Path) -> Result<Vec<String>> {
    let mut server = Server::spawn(site, config)?;
    let mut wire = server.connect(world)?;
    let token = site.token(0);
    let query = |statement: &str| {
        let arguments = json!({"resource": "large", "statement": statement});
        wire::call(server.address, &token, "sql_query", &arguments)
    };
    wire.call(&query("SELECT 1 FROM readings LIMIT 1"))?;
    let before = server.memory()?.0;
    server.forget_peak()?;
    let start = world.monotonic();
    let bytes = wire.call(&query("SELECT * FROM readings"))?;
    let took = world.monotonic() - start;
    let (after, peak) = server.memory()?;
    server.stop()?;
    Ok(vec![
        name.to_owned(),
        mebi(u64::try_from(bytes)?),
        millis(took),
        mebi(before),
        mebi(peak),
        mebi(after),
    ])
}
