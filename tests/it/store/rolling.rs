//! Two replicas behind one address are replaced one after the other while agents and people go on: nothing is refused.
//!
//! `TOLLGATE_BEFORE=/path/to/tollgate` of an older version begins with two replicas of that one, and the store as it
//! made it; `tollgate store migrate` of this version is then run beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use tokio::net::{TcpListener, TcpStream};
use tollgate::secret::Secret;
use tollgate::store::{Store, StoreError, Tuning};

use super::{SECRET, Two, free};
use crate::effects::{RAISE, change, changed, dan, pending, prices, wait};
use crate::support::agent::{Agent, last};
use crate::support::governed::Person;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, tollgate, verify};
use crate::support::site::{envelope, root};
use crate::support::{BINARY, until};

/// Gives each connection to the next server that takes it, and knows nothing of what is sent on it.
fn switch(listener: TcpListener, servers: [String; 2]) {
    let turn = AtomicUsize::new(0);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let first = turn.fetch_add(1, Ordering::SeqCst) % 2;
            let order = [servers[first].clone(), servers[1 - first].clone()];
            tokio::spawn(async move {
                for server in order {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
}

/// An organisation's Tollgate on two replicas behind one address for agents and one for people.
struct Rolling {
    two: Two,
    configs: [PathBuf; 2],
}

impl Rolling {
    async fn new(hold: u32) -> Self {
        let mut two = Two::new(hold).await;
        let here = two.site().config();
        let text = std::fs::read_to_string(&here).unwrap();
        let key = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} = ")));
            line.unwrap().split('"').nth(1).unwrap().to_owned()
        };
        let (agents, people) = (key(&text, "listen"), key(&text, "control_listen"));
        let (mine, control) = (free().await, free().await);
        let text = text
            .replacen(
                &format!("\nlisten = \"{agents}\""),
                &format!("\nlisten = \"{mine}\""),
                1,
            )
            .replacen(
                &format!("control_listen = \"{people}\""),
                &format!("control_listen = \"{control}\""),
                1,
            );
        std::fs::write(&here, &text).unwrap();
        let there = std::fs::read_to_string(&two.there).unwrap();
        let (other, other_control) = (key(&there, "listen"), key(&there, "control_listen"));
        let listener = two.all.site.listener.take().unwrap();
        switch(listener, [mine, other]);
        switch(TcpListener::bind(people).await.unwrap(), [control, other_control]);
        let configs = [here, two.there.clone()];
        Self { two, configs }
    }

    async fn serve(&self, which: usize, program: &Path) -> Process {
        Process::replica_of(self.two.site(), &self.configs[which], program).await
    }
}

/// What a call came to.
async fn called(agent: &Agent, tool: &str, arguments: Value) -> Result<Value, String> {
    let params = json!({ "name": tool, "arguments": arguments });
    let sent = agent.modern("tools/call", params, &json!({})).send().await;
    let response = sent.map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("{}: {:?}", response.status(), response.text().await));
    }
    let message = last(response).await;
    match message.get("result") {
        Some(result) => Ok(result.clone()),
        None => Err(message.to_string()),
    }
}

/// What is done meanwhile.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    /// Nothing waits to be decided any more.
    decided: AtomicBool,
    reads: AtomicUsize,
    changes: AtomicUsize,
}

impl Load {
    async fn reading(&self, agent: Agent) -> Vec<String> {
        let mut failed = Vec::new();
        for number in 0.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            let asked = json!({ "resource": "shop", "statement": format!("SELECT {number}") });
            match called(&agent, "sql_query", asked).await {
                Ok(answer) if envelope(&answer)["status"] == "ok" => {
                    self.reads.fetch_add(1, Ordering::SeqCst);
                }
                other => failed.push(format!("read {number}: {other:?}")),
            }
        }
        failed
    }

    /// Changes that people decide about, one after the other, each waited for as agents do.
    async fn changing(&self, agent: Agent) -> Vec<String> {
        let mut failed = Vec::new();
        for number in 1.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            let mut answer = called(
                &agent,
                "sql_execute",
                change(&format!("{RAISE} AND id > -{number}")),
            )
            .await;
            while let Ok(told) = &answer
                && envelope(told)["status"] == "approval_pending"
            {
                answer = called(&agent, "approval_wait", wait(&pending(told))).await;
            }
            match answer {
                Ok(answer) if envelope(&answer)["status"] == "ok" => {
                    changed(&answer, 3);
                    self.changes.fetch_add(1, Ordering::SeqCst);
                }
                other => failed.push(format!("change {number}: {other:?}")),
            }
        }
        failed
    }

    /// Somebody who agrees to whatever is asked.
    async fn deciding(&self, person: Person) -> Vec<String> {
        let mut failed = Vec::new();
        while !self.decided.load(Ordering::SeqCst) {
            for card in person.waiting().await {
                let sheet = person.show(card["id"].as_str().unwrap()).await;
                let (status, said) = person.try_approve(&sheet).await;
                if status != 200 {
                    failed.push(format!("decision {status}: {said}"));
                }
            }
        }
        failed
    }

    /// Until so much more has been done.
    async fn goes_on(&self) {
        let count = || {
            (
                self.reads.load(Ordering::SeqCst),
                self.changes.load(Ordering::SeqCst),
            )
        };
        let before = count();
        until("calls that are answered", async || {
            let now = count();
            (now.0 >= before.0 + 30 && now.1 >= before.1 + 2).then_some(())
        })
        .await;
    }
}

/// The version before, or this one; and how the store comes to be newer than it.
fn before() -> Option<PathBuf> {
    std::env::var_os("TOLLGATE_BEFORE").map(PathBuf::from)
}

/// What a step of the version after this one would do.
const NEWER: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; ALTER TABLE tollgate.approval ADD COLUMN newer TEXT; \
    ALTER TABLE tollgate.journal ADD COLUMN newer TEXT; CREATE TABLE tollgate.newer (id BIGINT); \
    INSERT INTO tollgate._sqlx_migrations (version, description, success, checksum, execution_time) \
    SELECT 9999, 'newer, beside ' || max(version), true, '', 0 FROM tollgate._sqlx_migrations; COMMIT";

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_behind_one_address_are_replaced_without_a_refused_call() {
    let rolling = Rolling::new(45).await;
    let site = rolling.two.site();
    let old = before().unwrap_or_else(|| PathBuf::from(BINARY));
    let replicas = [rolling.serve(0, &old).await, rolling.serve(1, &old).await];
    let start = prices(site);
    let load = Arc::new(Load::default());
    let mut working = Vec::new();
    for _ in 0..3 {
        let (load, agent) = (Arc::clone(&load), dan(site));
        working.push(tokio::spawn(async move { load.reading(agent).await }));
    }
    let (shared, agent) = (Arc::clone(&load), dan(site));
    working.push(tokio::spawn(async move { shared.changing(agent).await }));
    let (shared, lea) = (Arc::clone(&load), rolling.two.all.person("lea", &["dba"]));
    let deciding = tokio::spawn(async move { shared.deciding(lea).await });
    let replicas = rolling.replaced(replicas, &load).await;
    load.over.store(true, Ordering::SeqCst);
    let mut failed: Vec<String> = Vec::new();
    for done in join_all(working).await {
        failed.extend(done.unwrap());
    }
    load.decided.store(true, Ordering::SeqCst);
    failed.extend(deciding.await.unwrap());
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    let (reads, changes) = (count(&load.reads), count(&load.changes));
    let all = format!(
        "{} of {reads} reads, {changes} changes: {failed:#?}",
        failed.len()
    );
    assert!(failed.is_empty(), "{all}");
    println!("{all}");
    let raised = 300 * i64::try_from(changes).unwrap();
    assert_eq!(prices(site), start + raised, "each once");
    for replica in replicas {
        replica.terminate();
        assert!(replica.exit().await.success());
    }
    let report = verify_as_it_is(&rolling);
    assert_eq!(report["problem_count"], json!(0), "{report}");
}

impl Rolling {
    /// The store made newer, and then one replica after the other replaced by one of this version.
    async fn replaced(&self, old: [Process; 2], load: &Load) -> Vec<Process> {
        load.goes_on().await;
        if before().is_some() {
            let migrated = tollgate(self.two.site(), &["store", "migrate"]);
            let said = String::from_utf8_lossy(&migrated.stderr);
            assert!(migrated.status.success(), "{said}");
        } else {
            self.two.sql(NEWER);
        }
        load.goes_on().await;
        let mut replicas = Vec::new();
        for (which, replica) in old.into_iter().enumerate() {
            replica.terminate();
            assert!(replica.exit().await.success());
            load.goes_on().await;
            replicas.push(self.serve(which, Path::new(BINARY)).await);
            load.goes_on().await;
        }
        replicas
    }
}

/// The journal, by commands of this version, which do not read what a newer one has added.
fn verify_as_it_is(rolling: &Rolling) -> Value {
    rolling
        .two
        .sql("DELETE FROM tollgate._sqlx_migrations WHERE version = 9999");
    verify(rolling.two.site(), &[])
}

/// Commands that read or copy everything do not do so beside steps they do not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_starts_beside_newer_steps_made_for_it_and_nothing_is_copied_by_it() {
    let rolling = Rolling::new(0).await;
    let first = rolling.serve(0, Path::new(BINARY)).await;
    first.terminate();
    assert!(first.exit().await.success());
    rolling.two.sql(NEWER);
    let again = rolling.serve(0, Path::new(BINARY)).await;
    assert!(
        again.log().contains("this version goes on beside it"),
        "{}",
        again.log()
    );
    let answer = dan(rolling.two.site())
        .call("sql_query", change("SELECT 1"))
        .await;
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    let file = rolling.two.site().dir.path().join("copy.db");
    let refused = tollgate(rolling.two.site(), &["store", "backup", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("a newer Tollgate has written it"), "{said}");
    assert!(!file.exists());
    again.terminate();
    assert!(again.exit().await.success());
    let further =
        "UPDATE tollgate._sqlx_migrations SET description = 'newer, beside 9998' WHERE version = 9999";
    rolling.two.sql(further);
    let refused = tollgate(rolling.two.site(), &["store", "migrate"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("a newer Tollgate has written it"), "{said}");
}

/// A call that waits for people is told so when its server stops, and waited for at the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_waited_for_at_the_other_replica() {
    let rolling = Rolling::new(3600).await;
    let first = rolling.serve(0, Path::new(BINARY)).await;
    let site = rolling.two.site();
    let start = prices(site);
    let agent = dan(site);
    let held = tokio::spawn({
        let agent = agent.clone();
        async move { called(&agent, "sql_execute", change(RAISE)).await }
    });
    let lea = rolling.two.all.person("lea", &["dba"]);
    let sheet = lea.asked().await;
    let _second = rolling.serve(1, Path::new(BINARY)).await;
    first.terminate();
    let id = pending(&held.await.unwrap().unwrap());
    assert!(first.exit().await.success());
    lea.approve(&sheet).await;
    changed(&called(&agent, "approval_wait", wait(&id)).await.unwrap(), 3);
    assert_eq!(prices(site), start + 300, "once");
}

/// The steps of a store on a server, as they are in `migrations/postgres`.
fn steps() -> Vec<Migration> {
    let folder = root().join("migrations/postgres");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let step = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let (number, name) = name.split_once('_').unwrap();
        let sql = sqlx::AssertSqlSafe(std::fs::read_to_string(&file).unwrap());
        let sql = sqlx::SqlSafeStr::into_sql_str(sql);
        Migration::new(
            number.parse().unwrap(),
            name.to_owned().into(),
            MigrationType::Simple,
            sql,
            false,
        )
    };
    files.into_iter().map(step).collect()
}

async fn connection(pg: &Postgres) -> sqlx::PgConnection {
    let url = pg
        .url("tollgate", "gate")
        .replacen("tollgate@", &format!("tollgate:{SECRET}@"), 1);
    let mut conn = sqlx::PgConnection::connect(&url).await.unwrap();
    let settings = "SET search_path = tollgate; SET lock_timeout = '8s'";
    sqlx::raw_sql(settings).execute(&mut conn).await.unwrap();
    conn
}

fn tuning() -> Tuning {
    Tuning {
        password: Some(Arc::new(Secret::new(SECRET.to_owned()))),
        ..Tuning::default()
    }
}

/// From every step on, the rest is taken beside somebody who reads and writes as the version of that step did.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_each_version_before_is_brought_up_to_date_in_use() {
    let pg = super::server().await;
    let all = steps();
    for known in 1..all.len() {
        pg.sql(
            "gate",
            "DROP SCHEMA IF EXISTS tollgate CASCADE; CREATE SCHEMA tollgate AUTHORIZATION tollgate",
        );
        let mut old = connection(&pg).await;
        let mut migrator = Migrator::with_migrations(all[..known].to_vec());
        migrator.set_locking(false);
        migrator.run_direct(None, &mut old, false).await.unwrap();
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT relname::text FROM pg_class WHERE relnamespace = 'tollgate'::regnamespace AND relkind = 'r'")
                .fetch_all(&mut old)
                .await
                .unwrap();
        // It has read everything there is, and goes on reading after the others have waited for it in vain.
        let read = |table: &String| sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::raw_sql("BEGIN").execute(&mut old).await.unwrap();
        for table in &tables {
            sqlx::raw_sql(read(table)).execute(&mut old).await.unwrap();
        }
        let url = pg.url("tollgate", "gate");
        let opening = tokio::spawn(async move { Store::open(&url, &tuning()).await });
        let mut other = connection(&pg).await;
        let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
        until("a step that waits, where one has to", async || {
            let waiting = sqlx::raw_sql(waits).fetch_optional(&mut other).await.unwrap();
            (waiting.is_some() || opening.is_finished()).then_some(())
        })
        .await;
        for table in &tables {
            let seen = sqlx::raw_sql(read(table)).execute(&mut other).await;
            assert!(seen.is_ok(), "{known}: {table} could not be read: {seen:?}");
            let seen = sqlx::raw_sql(read(table)).execute(&mut old).await;
            assert!(seen.is_ok(), "{known}: {table} could not be read again: {seen:?}");
        }
        sqlx::raw_sql("COMMIT").execute(&mut old).await.unwrap();
        let opened: Result<Store, StoreError> = opening.await.unwrap();
        opened.unwrap_or_else(|error| panic!("from {known}: {error}"));
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
            .fetch_one(&mut old)
            .await
            .unwrap();
        assert_eq!(usize::try_from(count).unwrap(), all.len());
    }
}
