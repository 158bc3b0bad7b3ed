//! The same path inside this process: where the microseconds of a call go, and what the journal does.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::app::{App, Purpose, line_mask};
use tollgate::audit::Stats;
use tollgate::call::{Arrival, CallId, Caller, Confirmation, Transport};
use tollgate::clock::{System, World};
use tollgate::config::Config;
use tollgate::gate::Gate;
use tollgate::identity::Bearer;
use tollgate::telemetry::{self, Format, Seen, StageTimes};

use crate::Plan;
use crate::beside::{ONE_ROW, warm_up};
use crate::site::Site;
use crate::table::{say, table};

/// Tasks that call at the same time.
const TASKS: u32 = 64;

/// Nobody to ask.
pub(crate) struct Nobody;

impl Caller for Nobody {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Confirmation> {
        Box::pin(async { Confirmation::Unavailable })
    }
}

pub(crate) async fn print(site: &Site, plan: Plan) -> Result<()> {
    let world = Arc::new(System::new());
    let stages = StageTimes::new(world.clone());
    telemetry::start(telemetry::Options {
        filter: "error".to_owned(),
        format: Format::Text,
        color: false,
        mask: line_mask(),
        seen: Seen {
            stages: Some(stages.clone()),
            ..Seen::default()
        },
    })?;
    let app = App::build(Config::load(&site.config())?, Purpose::Serve).await?;
    let gate = app.gate;
    let token: Arc<str> = site.token(0).into();
    let before = gate.audit.stats();
    for _ in 0..plan.calls + warm_up(plan.calls) {
        call(&gate, &*world, &token).await?;
    }
    let alone = gate.audit.stats();
    let rows: Vec<Vec<String>> = stages
        .snapshot()
        .into_iter()
        .map(|time| {
            let figures = [time.median, time.p99, time.min];
            [time.stage.to_owned()]
                .into_iter()
                .chain(figures.map(|figure| figure.to_string()))
                .collect()
        })
        .collect();
    table(
        "Inside the process, µs of a one-row sql_query by stage (a query asks policy twice; `settle` holds the fsync)",
        &["", "p50", "p99", "least"],
        &rows,
    )?;
    let each = plan.calls.div_ceil(10).max(10);
    let tasks = (0..TASKS).map(|person| {
        let (gate, world, token) = (gate.clone(), world.clone(), site.token(person));
        tokio::spawn(async move {
            for _ in 0..each {
                call(&gate, &*world, &token).await?;
            }
            anyhow::Ok(())
        })
    });
    for ended in join_all(tasks).await {
        ended??;
    }
    let together = gate.audit.stats();
    table(
        "The journal (a commit is one fsync)",
        &["", "calls", "records", "commits", "records a commit", "largest"],
        &[
            row(
                "one after the other",
                plan.calls + warm_up(plan.calls),
                before,
                alone,
            ),
            row("64 at once", TASKS * each, alone, together),
        ],
    )?;
    gate.audit.close().await?;
    say("  `largest` counts from the start; a small answer is an intent and a result in one commit")
}

fn row(name: &str, calls: u32, before: Stats, after: Stats) -> Vec<String> {
    let (records, commits) = (after.records - before.records, after.commits - before.commits);
    vec![
        name.to_owned(),
        calls.to_string(),
        records.to_string(),
        commits.to_string(),
        format!("{:.1}", records as f64 / commits.max(1) as f64),
        after.largest_batch.to_string(),
    ]
}

async fn call(gate: &Gate, world: &dyn World, token: &str) -> Result<()> {
    let arguments = json!({"resource": "shop", "statement": ONE_ROW});
    let arrival = arrival(gate, world, token, "sql_query", &arguments).await?;
    let answer = gate.call(arrival, &Nobody).await.ok().context("no such tool")?;
    anyhow::ensure!(!answer.is_error(), "{}", answer.text());
    Ok(())
}

/// A call as a transport would bring it.
pub(crate) async fn arrival(
    gate: &Gate,
    world: &dyn World,
    token: &str,
    tool: &str,
    arguments: &Value,
) -> Result<Arrival> {
    let principal = gate
        .admit(Bearer(Some(token)))
        .await
        .ok()
        .context("the token is refused")?;
    let mut random = [0; 10];
    world.random(&mut random);
    Ok(Arrival {
        hold: None,
        call_id: CallId::new(world.now().0, &random),
        principal,
        transport: Transport::Http,
        tool: tool.to_owned(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
        cancel: CancellationToken::new(),
    })
}
