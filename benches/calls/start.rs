//! From the start of the process to its first answer.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tollgate::clock::World;

use crate::Plan;
use crate::beside::ONE_ROW;
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, millis, say};
use crate::wire;

/// Starts it over and over: to the first answer at all, and to the first governed one, for which it has
/// to fetch the issuer's keys. With a work folder it tries the sandbox first.
pub(crate) fn print(site: &Site, world: &dyn World, plan: Plan) -> Result<()> {
    for (name, config) in [("", "plain.toml"), (" with a work folder", "tollgate.toml")] {
        let (mut awake, mut answered) = starts(site, &site.path(config), world, plan)?;
        say(&format!(
            "start{name}: first answer after {}, first recorded query after {} (medians of {}; aim: 30 ms)",
            millis(awake.percentile(50)),
            millis(answered.percentile(50)),
            awake.len(),
        ))?;
    }
    Ok(())
}

fn starts(site: &Site, config: &Path, world: &dyn World, plan: Plan) -> Result<(Times, Times)> {
    let token = site.token(0);
    let (mut awake, mut answered) = (Times::default(), Times::default());
    for _ in 0..plan.starts {
        let start = world.monotonic();
        let mut server = Server::spawn(site, config)?;
        let mut wire = server.connect(world)?;
        wire.exchange(&wire::health(server.address))?;
        awake.add(world.monotonic() - start);
        let arguments = json!({"resource": "shop", "statement": ONE_ROW});
        wire.call(&wire::call(server.address, &token, "sql_query", &arguments))?;
        answered.add(world.monotonic() - start);
        server.stop()?;
    }
    Ok((awake, answered))
}
