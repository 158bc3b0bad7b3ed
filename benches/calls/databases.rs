//! PostgreSQL: what it costs to check a statement and to write it anew, and governed rows beside the same rows
//! read directly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Column, ConnectOptions, Row, TypeInfo};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::SqlQuery;
use tollgate::call::{Action, CallId, Hash, Invocation, Limits, Request};
use tollgate::clock::{System, World};
use tollgate::resource::sql::postgres::{Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle};
use tollgate::secret::Secret;
use tollgate::telemetry::StageTimes;
use tracing_subscriber::layer::SubscriberExt;

use crate::Plan;
use crate::beside::{Call, in_turn};
use crate::load;
use crate::postgres::Postgres;
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, mebi, micros, millis, table};
use crate::wire;

/// The role that reads; it opens nothing but this server, which ends with the benchmark.
const PASSWORD: &str = "reader-of-the-bench";
/// Shown; the e-mail address and the note are masked.
const PUBLIC: [&str; 7] = [
    "readings.id",
    "readings.day",
    "readings.sensor",
    "readings.value",
    "people.id",
    "people.name",
    "people.city",
];
const ONE_ROW: &str = "SELECT id, name, city FROM people WHERE id = 1234";

pub(crate) fn print(site: &Site, runtime: &Runtime, world: &dyn World, plan: Plan) -> Result<()> {
    let quiet = [
        "log_statement=none",
        "shared_buffers=128MB",
        "synchronous_commit=off",
    ];
    let postgres = runtime.block_on(Postgres::start_with(&quiet));
    fill(&postgres, plan.rows);
    runtime.block_on(guard(&postgres, world, plan))?;
    let config = served(site, &postgres, plan.rows)?;
    rows(site, &config, runtime, &postgres, world, plan)?;
    together(site, &config, world, plan)
}

fn fill(postgres: &Postgres, rows: u64) {
    postgres.sql("postgres", "CREATE DATABASE bench");
    postgres.sql(
        "bench",
        &format!(
            "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
             CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, city text NOT NULL);
             INSERT INTO people SELECT n, 'person ' || n, n || '@people.example', 'city ' || n % 97 FROM generate_series(1, 20000) n;
             CREATE TABLE readings (id bigint PRIMARY KEY, day text NOT NULL, sensor text NOT NULL, value float8 NOT NULL, note text);
             INSERT INTO readings SELECT n, (date '2024-01-01' + n % 700)::text, 'sensor-' || n % 97, n * 37 % 1000 / 10.0,
                CASE WHEN n % 3 > 0 THEN 'within the usual range' END FROM generate_series(1, {rows}) n;
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        ),
    );
    postgres.sql("bench", "VACUUM ANALYZE");
}

/// A statement of about so many bytes that no cache knows: joins, conditions and windows as an analyst nests them.
fn statement(bytes: usize, turn: u32) -> String {
    let mut text = format!("WITH s0 AS (SELECT id, name, city, email FROM people WHERE id > {turn})");
    let mut step = 0;
    while text.len() + 170 < bytes {
        let _ = write!(
            text,
            ", s{} AS (SELECT s.id, s.name, count(r.id) AS n, max(r.value) AS top FROM s{step} s LEFT JOIN readings r \
             ON r.id = s.id AND r.sensor <> 'sensor-{turn}' GROUP BY s.id, s.name)",
            step + 1
        );
        step += 1;
    }
    text + &format!(" SELECT id, name FROM s{step} ORDER BY name LIMIT 10")
}

fn spec(postgres: &Postgres) -> Result<Spec> {
    let columns = PUBLIC.map(|column| (column.to_owned(), "public".to_owned()));
    Ok(Spec {
        name: "bench".to_owned(),
        url: postgres.url("reader", "bench").parse()?,
        password: Some(Secret::new(PASSWORD.to_owned())),
        ca: None,
        schemas: vec!["public".to_owned()],
        columns: BTreeMap::from(columns),
        columns_default: ColumnsDefault::Mask,
        classes: BTreeMap::from([("unlisted".to_owned(), MaskStyle::Constant)]),
        functions: BTreeSet::new(),
        session: None,
        privileged: false,
        definer: None,
        limits: Limits {
            rows: 1000,
            bytes: 1 << 20,
            seconds: 60,
        },
    })
}

/// Inspecting statements that were never seen, and each once more: what is known is not checked again.
async fn guard(postgres: &Postgres, world: &dyn World, plan: Plan) -> Result<()> {
    let database = Database::new(spec(postgres)?, Arc::new(System::new())).map_err(anyhow::Error::msg)?;
    let mut rows = Vec::new();
    for bytes in [170, 430, 2_000, 8_000] {
        let (mut first, mut again) = (Times::default(), Times::default());
        let length = statement(bytes, 1_000).len();
        let stages = StageTimes::new(Arc::new(System::new()));
        let watched = tracing::subscriber::set_default(tracing_subscriber::registry().with(stages.clone()));
        for turn in 0..plan.calls.min(500) {
            let text = statement(bytes, 1_000 + turn);
            for times in [&mut first, &mut again] {
                let start = world.monotonic();
                inspect(&database, &text).await?;
                times.add(world.monotonic() - start);
            }
        }
        drop(watched);
        let mut times = stages.snapshot().into_iter();
        let guard = times.find(|time| time.stage == "guard").context("no guard")?;
        rows.push(vec![
            format!("{length} bytes"),
            guard.median.to_string(),
            guard.p99.to_string(),
            micros(first.percentile(50)),
            micros(again.percentile(50)),
        ]);
    }
    table(
        "Guard and rewrite of one statement, µs (aim: p99 under 1,000 for 2 kB)",
        &["", "p50", "p99", "a whole inspection", "of a known one"],
        &rows,
    )
}

async fn inspect(database: &Database, statement: &str) -> Result<()> {
    let invocation = Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "bench#person".to_owned(),
        session: String::new(),
        tool: "sql_query".to_owned(),
        action: Action::SqlRead,
        resource: Some("bench".to_owned()),
        arguments: json!({}),
        request_key: Hash::of(statement.as_bytes()),
        request: Request::SqlQuery(query(statement)),
    };
    let facts = database.inspect(&invocation, &CancellationToken::new()).await;
    match facts {
        Ok(_) => Ok(()),
        Err(refusal) => bail!("{statement}: {} {:?}", refusal.message, refusal.detail),
    }
}

fn query(statement: &str) -> SqlQuery {
    SqlQuery {
        lookup: None,
        resource: "bench".to_owned(),
        statement: statement.to_owned(),
        parameters: None,
        limit: None,
        cursor: None,
    }
}

/// A configuration in which the whole of the large table may leave.
fn served(site: &Site, postgres: &Postgres, rows: u64) -> Result<std::path::PathBuf> {
    site.secret("reader.secret", PASSWORD)?;
    let mut text = format!(
        "[limits]\nrows = {rows}\nbytes = {}\nseconds = 60\n\n[[resource]]\nname = \"warehouse\"\nkind = \"postgres\"\n\
         url = \"{}\"\npassword = \"file:{}\"\nlabels = [\"bench\"]\n[resource.columns]\n",
        64 << 20,
        postgres.url("reader", "bench"),
        site.path("reader.secret").display()
    );
    for column in PUBLIC {
        let _ = writeln!(text, "\"{column}\" = \"public\"");
    }
    site.write("databases.toml", "databases.db", &text)?;
    Ok(site.path("databases.toml"))
}

fn arguments(statement: &str) -> Value {
    json!({"resource": "warehouse", "statement": statement})
}

fn rows(
    site: &Site,
    config: &std::path::Path,
    runtime: &Runtime,
    postgres: &Postgres,
    world: &dyn World,
    plan: Plan,
) -> Result<()> {
    let (host, port) = postgres
        .address()
        .split_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .context("address")?;
    let options = PgConnectOptions::new_without_pgpass()
        .host(&host)
        .port(port.parse()?)
        .username("reader")
        .password(PASSWORD)
        .database("bench")
        .ssl_mode(PgSslMode::Disable);
    let mut direct = runtime.block_on(options.connect())?;
    let mut server = Server::spawn(site, config)?;
    let mut wire = server.connect(world)?;
    let mut lines = Vec::new();
    for (name, statement, count) in [
        ("one row", ONE_ROW.to_owned(), plan.calls),
        ("100 rows", first(100), plan.calls / 2),
        ("10,000 rows", first(10_000), (plan.calls / 25).max(10)),
        ("200,000 rows", first(200_000), 3),
    ] {
        let request = wire::call(
            server.address,
            &site.token(0),
            "sql_query",
            &arguments(&statement),
        );
        wire.call(&request)?;
        server.forget_peak()?;
        let directly = || runtime.block_on(directly(&mut direct, &statement)).map(drop);
        let (mut governed, mut alone, cpu) = in_turn(&server, &mut wire, world, count, (&request, directly))?;
        let (through, alone) = (governed.percentile(50), alone.percentile(50));
        lines.push(vec![
            name.to_owned(),
            millis(through),
            millis(governed.percentile(95)),
            millis(cpu),
            millis(alone),
            format!("{:.2}", through.as_secs_f64() / alone.as_secs_f64()),
            mebi(server.memory()?.1),
        ]);
    }
    table(
        "PostgreSQL over HTTP, one session (aim: 10,000 rows at most 1.3 times sqlx alone; memory bounded)",
        &["", "p50", "p95", "server CPU", "sqlx p50", "ratio", "peak"],
        &lines,
    )?;
    server.stop()
}

/// The first rows of the large table: five columns, of which one is masked.
fn first(rows: u32) -> String {
    format!("SELECT id, day, sensor, value, note FROM readings WHERE id <= {rows}")
}

/// The same rows by sqlx alone, as the text of the same JSON.
///
/// What is counted, on both sides: from the statement to JSON that could be read. Nobody reads it: the agent's end takes
/// the answer as bytes (`wire`), and this one measures its length. This side writes the rows once, in the driver's own
/// binary form and without a network to an agent; the governed side writes them twice (structured and as text), masks,
/// compresses and hashes them, waits for the disk and sends all of it. Neither is relieved of anything else.
async fn directly(connection: &mut PgConnection, statement: &str) -> Result<usize> {
    let found = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await?;
    // As a client does that knows its columns: by their types, which are those of the first row.
    let kinds: Vec<&str> = match found.first() {
        Some(row) => row
            .columns()
            .iter()
            .map(|column| column.type_info().name())
            .collect(),
        None => Vec::new(),
    };
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let mut cells = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            cells.push(match *kind {
                "INT8" => row.try_get::<i64, _>(at)?.into(),
                "FLOAT8" => row.try_get::<f64, _>(at)?.into(),
                _ => row.try_get::<Option<&str>, _>(at)?.into(),
            });
        }
        rows.push(Value::Array(cells));
    }
    Ok(json!({ "rows": rows }).to_string().len())
}

fn together(site: &Site, config: &std::path::Path, world: &dyn World, plan: Plan) -> Result<()> {
    let mut server = Server::spawn(site, config)?;
    drop(server.connect(world)?);
    let one = Call::new("one-row sql_query", "sql_query", arguments(ONE_ROW));
    load::loaded(
        "64 sessions at once on PostgreSQL, which shares the cores",
        (site, &server, world),
        plan.load,
        &[("one-row sql_query", vec![&one])],
    )?;
    server.stop()
}
