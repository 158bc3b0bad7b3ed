//! MariaDB: what it costs to check a statement and to write it anew, governed rows, and rows of tokens, beside the same rows read directly from behind the same views.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{Column, ConnectOptions, Row, TypeInfo};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::SqlQuery;
use tollgate::call::{Action, CallId, Hash, Invocation, Limits, Request};
use tollgate::clock::{System, World};
use tollgate::resource::sql::mysql::{Administrator, Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle, TokenScope};
use tollgate::secret::Secret;
use tollgate::telemetry::StageTimes;
use tracing_subscriber::layer::SubscriberExt;

use crate::Plan;
use crate::beside::{Call, in_turn};
use crate::load;
use crate::mysql::{self, Mysql};
use crate::server::Server;
use crate::site::Site;
use crate::table::{Times, mebi, micros, millis, table};
use crate::wire;

/// The account that reads; it opens nothing but this server, which ends with the benchmark.
const PASSWORD: &str = "reader-of-the-bench";
/// Shown; the note is masked and the address a token.
const PUBLIC: [&str; 4] = ["readings.id", "readings.day", "readings.sensor", "readings.value"];
const TOKENS: &str = "readings.address";
/// Its class, which is the one of tokens.
const CLASS: &str = "address";

pub(crate) fn print(site: &Site, runtime: &Runtime, world: &dyn World, plan: Plan) -> Result<()> {
    let quiet = ["general-log=0", "innodb-buffer-pool-size=128M"];
    let server = runtime.block_on(Mysql::start_with(&quiet));
    fill(&server, plan.rows);
    let database = runtime.block_on(views(&server))?;
    runtime.block_on(guard(&database, world, plan))?;
    let config = served(site, &server, plan.rows)?;
    rows(site, &config, runtime, &server, world, plan)?;
    together(site, &config, world, plan)
}

fn fill(server: &Mysql, rows: u64) {
    server.sql(
        "mysql",
        &format!(
            "CREATE DATABASE bench CHARACTER SET utf8mb4; CREATE USER reader IDENTIFIED BY '{PASSWORD}';
             CREATE TABLE bench.readings (id bigint PRIMARY KEY, day varchar(20) NOT NULL, sensor varchar(40) NOT NULL,
                value double NOT NULL, note text, address varchar(80) NOT NULL);
             INSERT INTO bench.readings SELECT seq, DATE_ADD('2024-01-01', INTERVAL seq % 700 DAY), CONCAT('sensor-', seq % 97),
                seq * 37 % 1000 / 10, IF(seq % 3 > 0, 'within the usual range', NULL), CONCAT(seq, '@people.example') FROM seq_1_to_{rows};
             ANALYZE TABLE bench.readings"
        ),
    );
}

async fn views(server: &Mysql) -> Result<Database> {
    let columns = PUBLIC.map(|column| (column.to_owned(), "public".to_owned()));
    let spec = Spec {
        writer: None,
        name: "lake".to_owned(),
        url: server.url("reader", "bench").parse()?,
        password: Some(Secret::new(PASSWORD.to_owned())),
        ca: None,
        views: "bench_tollgate".to_owned(),
        columns: columns
            .into_iter()
            .chain([(TOKENS.to_owned(), CLASS.to_owned())])
            .collect(),
        columns_default: ColumnsDefault::Mask,
        classes: BTreeMap::from([(CLASS.to_owned(), MaskStyle::Token(TokenScope::Deployment))]),
        session: None,
        privileged: false,
        limits: Limits {
            rows: 1000,
            bytes: 1 << 20,
            seconds: 60,
        },
    };
    let database = Database::new(spec, Arc::new(System::new())).map_err(anyhow::Error::msg)?;
    let root = Administrator {
        name: "root".to_owned(),
        password: Some(Secret::new(mysql::PASSWORD.to_owned())),
    };
    match database.make_views(&root).await {
        Ok(_) => Ok(database),
        Err(refusal) => bail!("{} {:?}", refusal.message, refusal.detail),
    }
}

/// A statement of about so many bytes that no cache knows: joins, conditions and groups as an analyst nests them.
fn statement(bytes: usize, turn: u32) -> String {
    let mut text = format!("WITH s0 AS (SELECT id, day, sensor, note FROM readings WHERE id > {turn})");
    let mut step = 0;
    while text.len() + 170 < bytes {
        let _ = write!(
            text,
            ", s{} AS (SELECT s.id, s.day, s.sensor, count(r.id) AS n, max(r.value) AS top FROM s{step} s LEFT JOIN readings r \
             ON r.id = s.id AND r.sensor <> 'sensor-{turn}' GROUP BY s.id, s.day, s.sensor)",
            step + 1
        );
        step += 1;
    }
    text + &format!(" SELECT id, sensor FROM s{step} ORDER BY sensor LIMIT 10")
}

/// Inspecting statements that were never seen, and each once more: what is known is not checked again.
async fn guard(database: &Database, world: &dyn World, plan: Plan) -> Result<()> {
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
                inspect(database, &text).await?;
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
        "MariaDB: guard and rewrite of one statement, µs (aim: p99 under 1,000 for 2 kB)",
        &["", "p50", "p99", "a whole inspection", "of a known one"],
        &rows,
    )
}

async fn inspect(database: &Database, statement: &str) -> Result<()> {
    let query = SqlQuery {
        lookup: None,
        resource: "lake".to_owned(),
        statement: statement.to_owned(),
        parameters: None,
        limit: None,
        cursor: None,
    };
    let invocation = Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "bench#person".to_owned(),
        session: String::new(),
        tool: "sql_query".to_owned(),
        action: Action::SqlRead,
        resource: Some("lake".to_owned()),
        arguments: json!({}),
        request_key: Hash::of(statement.as_bytes()),
        request: Request::SqlQuery(query),
    };
    match database.inspect(&invocation, &CancellationToken::new()).await {
        Ok(_) => Ok(()),
        Err(refusal) => bail!("{statement}: {} {:?}", refusal.message, refusal.detail),
    }
}

/// A configuration in which the whole of the table may leave.
fn served(site: &Site, server: &Mysql, rows: u64) -> Result<std::path::PathBuf> {
    site.secret("account.secret", PASSWORD)?;
    let mut text = format!(
        "[limits]\nrows = {rows}\nbytes = {}\nseconds = 60\n\n[[resource]]\nname = \"lake\"\n\
         kind = \"mysql\"\nurl = \"{}\"\npassword = \"file:{}\"\nlabels = [\"bench\"]\n[resource.columns]\n\"{TOKENS}\" = \"{CLASS}\"\n",
        64 << 20,
        server.url("reader", "bench"),
        site.path("account.secret").display()
    );
    for column in PUBLIC {
        let _ = writeln!(text, "\"{column}\" = \"public\"");
    }
    site.write("lake.toml", "lake.db", &text)?;
    let config = site.path("lake.toml");
    let written = std::fs::read_to_string(&config)?;
    let classes = format!("[classes]\n{CLASS} = \"token\"\n");
    std::fs::write(&config, written.replacen("[classes]\n", &classes, 1))?;
    Ok(config)
}

fn rows(
    site: &Site,
    config: &Path,
    runtime: &Runtime,
    server: &Mysql,
    world: &dyn World,
    plan: Plan,
) -> Result<()> {
    let url: url::Url = server.url("reader", "bench").parse()?;
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(url.port().unwrap_or_default())
        .username("reader")
        .password(PASSWORD)
        .database("bench_tollgate")
        .ssl_mode(MySqlSslMode::Disabled);
    let mut direct = runtime.block_on(options.connect())?;
    let mut gateway = Server::spawn(site, config)?;
    let mut wire = gateway.connect(world)?;
    let mut lines = Vec::new();
    for (name, columns, rows, count) in [
        ("one row", "day, sensor", 1, plan.calls / 2),
        ("100 rows", "day, sensor, value, note", 100, plan.calls / 4),
        (
            "10,000 rows",
            "day, sensor, value, note",
            10_000,
            (plan.calls / 25).max(10),
        ),
        (
            "10,000 rows with a token",
            "day, sensor, value, address",
            10_000,
            (plan.calls / 25).max(10),
        ),
        ("200,000 rows", "day, sensor, value, note", 200_000, 3),
    ] {
        let statement = format!("SELECT id, {columns} FROM readings WHERE id <= {rows}");
        let arguments = json!({"resource": "lake", "statement": statement});
        let request = wire::call(gateway.address, &site.token(0), "sql_query", &arguments);
        wire.call(&request)?;
        gateway.forget_peak()?;
        let directly = || runtime.block_on(directly(&mut direct, &statement)).map(drop);
        let (mut governed, mut alone, cpu) =
            in_turn(&gateway, &mut wire, world, count, (&request, directly))?;
        let (through, alone) = (governed.percentile(50), alone.percentile(50));
        lines.push(vec![
            name.to_owned(),
            millis(through),
            millis(governed.percentile(95)),
            millis(cpu),
            millis(alone),
            format!("{:.2}", through.as_secs_f64() / alone.as_secs_f64()),
            mebi(gateway.memory()?.1),
        ]);
    }
    table(
        "MariaDB over HTTP, one session (aim: 10,000 rows at most 1.3 times sqlx alone; memory bounded)",
        &["", "p50", "p95", "server CPU", "sqlx p50", "ratio", "peak"],
        &lines,
    )?;
    gateway.stop()
}

/// As many at once as on PostgreSQL, of the same kind.
fn together(site: &Site, config: &Path, world: &dyn World, plan: Plan) -> Result<()> {
    let mut server = Server::spawn(site, config)?;
    drop(server.connect(world)?);
    let arguments =
        json!({"resource": "lake", "statement": "SELECT id, day, sensor FROM readings WHERE id = 1234"});
    let one = Call::new("one-row sql_query", "sql_query", arguments);
    load::loaded(
        "64 sessions at once on MariaDB, which shares the cores",
        (site, &server, world),
        plan.load,
        &[("one-row sql_query", vec![&one])],
    )?;
    server.stop()
}

/// The same rows by sqlx alone, as the text of the same JSON.
async fn directly(connection: &mut MySqlConnection, statement: &str) -> Result<usize> {
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
                "BIGINT" => row.try_get::<i64, _>(at)?.into(),
                "DOUBLE" => row.try_get::<f64, _>(at)?.into(),
                _ => row.try_get::<Option<&str>, _>(at)?.into(),
            });
        }
        rows.push(Value::Array(cells));
    }
    Ok(json!({ "rows": rows }).to_string().len())
}
