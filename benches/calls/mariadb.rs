//! MariaDB: governed rows, and rows of tokens, beside the same rows read directly from behind the same views.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Row};
use tokio::runtime::Runtime;
use tollgate::call::Limits;
use tollgate::clock::{System, World};
use tollgate::resource::sql::mysql::{Administrator, Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle, TokenScope};
use tollgate::secret::Secret;

use crate::Plan;
use crate::beside::{many, warm_up};
use crate::mysql::{self, Mysql};
use crate::server::Server;
use crate::site::Site;
use crate::table::Times;
use crate::table::{mebi, millis, table};
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
    runtime.block_on(views(&server))?;
    rows(site, runtime, &server, world, plan)
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

async fn views(server: &Mysql) -> Result<()> {
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
        Ok(_) => Ok(()),
        Err(refusal) => bail!("{} {:?}", refusal.message, refusal.detail),
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

fn rows(site: &Site, runtime: &Runtime, server: &Mysql, world: &dyn World, plan: Plan) -> Result<()> {
    let config = served(site, server, plan.rows)?;
    let url: url::Url = server.url("reader", "bench").parse()?;
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(url.port().unwrap_or_default())
        .username("reader")
        .password(PASSWORD)
        .database("bench_tollgate")
        .ssl_mode(MySqlSslMode::Disabled);
    let mut direct = runtime.block_on(options.connect())?;
    let mut gateway = Server::spawn(site, &config)?;
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
        let (mut governed, cpu) = many(&gateway, &mut wire, world, count, |wire| wire.call(&request))?;
        let mut times = Times::default();
        for turn in 0..count + warm_up(count) {
            let start = world.monotonic();
            runtime.block_on(directly(&mut direct, &statement))?;
            if turn >= warm_up(count) {
                times.add(world.monotonic() - start);
            }
        }
        let (through, alone) = (governed.percentile(50), times.percentile(50));
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

/// The same rows by sqlx alone, as the text of the same JSON.
async fn directly(connection: &mut MySqlConnection, statement: &str) -> Result<usize> {
    let found = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let mut cells: Vec<Value> = vec![row.try_get::<i64, _>(0)?.into()];
        for at in 1..row.len() {
            cells.push(match row.try_get::<Option<&str>, _>(at) {
                Ok(text) => text.into(),
                Err(_) => row.try_get::<f64, _>(at)?.into(),
            });
        }
        rows.push(Value::Array(cells));
    }
    Ok(json!({ "rows": rows }).to_string().len())
}
