//! Real processes: one that dies by kill -9 at every boundary between grant and record, and two that
//! reach for the same row. This test binary starts itself.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::bench::*;
use crate::approval::review::{Choice, State};
use crate::approval::*;
use crate::audit::{Audit, AuditSpec, DiskRule, load_or_create_key};
use crate::call::refusal::Code;
use crate::mask::{Mask, Masked};

const FOLDER: &str = "TOLLGATE_TEST_APPROVAL_FOLDER";
const STAGE: &str = "TOLLGATE_TEST_APPROVAL_STAGE";
const STATEMENT: &str = "UPDATE 1";

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

fn die_at(stage: &str, here: &str) {
    if stage == here {
        die();
    }
}

/// Runs a future until it waits for the first time, then dies.
async fn die_waiting<T>(stage: &str, here: &str, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    if stage == here {
        let _ = futures::poll!(future.as_mut());
        die();
    }
    future.await
}

/// The journal, in a process that dies before or after it has the grant.
struct Mortal {
    audit: Audit,
    stage: String,
}

impl Ledger for Mortal {
    fn record<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async move {
            if event.event == "granted" {
                die_at(&self.stage, "grant unrecorded");
            }
            let recorded = self.audit.record(event).await;
            if event.event == "granted" {
                die_at(&self.stage, "grant recorded");
            }
            recorded
        })
    }
}

/// One more process: its journal, which records what others left, and its approvals.
async fn process(folder: &Path, seed: u64, stage: &str) -> (Bench, Audit) {
    let mut bench = bench(folder, seed).await;
    let key = load_or_create_key(&folder.join("log.key"), "example.org/tollgate", &*bench.clock).unwrap();
    let spec = AuditSpec {
        key,
        checkpoint_every: 1_000,
        publish: None,
        disk: DiskRule::of(&bench.store),
        start: json!({"version": "test"}),
    };
    let mask = Arc::new(Mask::new());
    let (audit, _) = Audit::start(bench.store.clone(), spec, mask, bench.clock.clone())
        .await
        .unwrap();
    let ledger = Arc::new(Mortal {
        audit: audit.clone(),
        stage: stage.to_owned(),
    });
    let settings = Settings {
        hold: std::time::Duration::ZERO,
        ..Settings::default()
    };
    bench.approvals = Approvals::with_people(&bench.store, ledger, bench.clock.clone(), settings, None);
    bench.approvals.tick().await.unwrap();
    (bench, audit)
}

fn append(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    writeln!(file, "{line}").unwrap();
}

fn effects(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("effects"))
        .unwrap_or_default()
        .lines()
        .count()
}

/// From the evidence to the record, as the gate walks.
async fn execute(bench: &Bench, audit: &Audit, folder: &Path, stage: &str) -> Result<(), Unmet> {
    let call = bench.call(STATEMENT);
    let mut entry = audit.open(&call.arrival);
    entry.intent(&call.invocation, &call.facts).await?;
    die_at(stage, "intended");
    let evidence = bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await;
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(unmet) => {
            drop(entry);
            return Err(unmet);
        }
    };
    let following = bench.approvals.follow(&call.arrival.call_id);
    let measured = effect(&["1"]);
    let rules = bench.rules();
    let spend = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&measured), &rules);
    die_waiting(stage, "spend asked", spend).await?;
    die_at(stage, "spent");
    append(&folder.join("effects"), call.arrival.call_id.as_str());
    die_at(stage, "effect");
    let envelope = json!({"status": "ok", "call_id": call.arrival.call_id, "data": {"rows": 1}});
    let answer = Masked::for_tests(envelope, "one row".to_owned(), false);
    let settled = die_waiting(stage, "settle asked", entry.settle(&Mask::new(), answer)).await;
    assert!(!settled.is_error());
    die_at(stage, "settled");
    following.settle(true).await;
    die_at(stage, "followed");
    Ok(())
}

/// The child: does nothing unless it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(folder), Ok(stage)) = (std::env::var(FOLDER), std::env::var(STAGE)) else {
        return;
    };
    let folder = Path::new(&folder);
    if stage == "hands" {
        return hands(folder).await;
    }
    let (bench, audit) = process(folder, 1, &stage).await;
    let id = bench.opened(STATEMENT).await;
    append(&folder.join("id"), &id.0);
    bench.approve("dan", &["dba"], &id).await;
    die_at(&stage, "granted");
    execute(&bench, &audit, folder, &stage).await.unwrap();
    panic!("the stage {stage} was not met");
}

#[expect(clippy::disallowed_methods, reason = "a process of its own is what is tested")]
fn child_command(folder: &Path, stage: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "approval::tests::kill::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(STAGE, stage)
        .stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_between_grant_spend_effect_and_record_never_runs_twice() {
    for (stage, states) in [
        ("grant unrecorded", &["granted"][..]),
        ("grant recorded", &["granted"]),
        ("granted", &["granted"]),
        ("intended", &["granted"]),
        ("spend asked", &["granted", "unknown"]), // killed while it was under way
        ("spent", &["unknown"]),
        ("effect", &["unknown"]),
        ("settle asked", &["spent", "unknown"]),
        ("settled", &["spent"]),
        ("followed", &["spent"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let status = child_command(folder.path(), stage)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9),
            "{stage}"
        );
        crate::store::testing::age(&folder.path().join("tollgate.db")).await;
        let (bench, audit) = process(folder.path(), 2, "").await;
        let id = std::fs::read_to_string(folder.path().join("id")).unwrap();
        let id = ApprovalId(id.trim().to_owned());
        let row = bench.row(&id).await;
        assert!(states.contains(&row.state.as_str()), "{stage}: {}", row.state);
        assert_eq!(row.sealed.is_some(), row.state == "granted", "{stage}");
        let before = effects(folder.path());
        let again = execute(&bench, &audit, folder.path(), "").await;
        match (row.state.as_str(), &again) {
            ("granted", Ok(())) => assert_eq!((before, effects(folder.path())), (0, 1), "{stage}"),
            ("unknown", Err(Unmet::Refused(refusal))) => {
                assert_eq!(refusal.code, Code::OutcomeUnknown, "{stage}");
                assert_eq!(effects(folder.path()), before, "{stage}");
            }
            ("spent", Err(Unmet::Answered(call_id))) => {
                assert_eq!(Some(call_id.as_str()), row.call_id.as_deref(), "{stage}");
                assert_eq!((before, effects(folder.path())), (1, 1), "{stage}");
                let kept = crate::audit::show(&bench.store, call_id.as_str())
                    .await
                    .unwrap()
                    .kept;
                assert!(
                    matches!(kept, Some(crate::audit::list::Kept::Held { .. })),
                    "{stage}"
                );
            }
            other => panic!("{stage}: {other:?}"),
        }
        audit.close().await.unwrap();
    }
}

/// A process that does what it reads: `run <statement>` or `approve <person> <id>`.
async fn hands(folder: &Path) {
    let seed = u64::from(std::process::id());
    let bench = bench(folder, seed).await;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let done = match line.split_once(' ').unwrap() {
            ("run", statement) => run(&bench, statement).await,
            (_, decision) => {
                let (person, id) = decision.split_once(' ').unwrap();
                let id = ApprovalId(id.to_owned());
                bench
                    .decide(person_of(person), &["dba"], &id, Choice::Approve)
                    .await
                    == Ok(State::Granted)
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nhands {done}").unwrap();
        out.flush().unwrap();
    }
}

fn person_of(name: &str) -> &'static str {
    if name == "dan" { "dan" } else { "eve" }
}

async fn run(bench: &Bench, statement: &str) -> bool {
    let call = bench.call(statement);
    bench.intended(&call);
    let Ok(evidence) = bench.walk(&call, asks(&[(1, "dba")]), &effect(&["1", "2"])).await else {
        return false;
    };
    let following = bench.approvals.follow(&call.arrival.call_id);
    let spent = bench
        .approvals
        .spend(call.subject(), &evidence, Some(&effect(&["1"])), &bench.rules())
        .await;
    if spent.is_ok() {
        following.settle(true).await;
    }
    spent.is_ok()
}

/// A child, and what it says.
struct Hands {
    child: Child,
    out: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Hands {
    fn new(folder: &Path) -> Self {
        let mut child = child_command(folder, "hands")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    fn tell(&mut self, what: &str) {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        writeln!(stdin, "{what}").unwrap();
        stdin.flush().unwrap();
    }

    fn heard(&mut self) -> bool {
        for line in self.out.by_ref() {
            if let Some(done) = line.unwrap().strip_prefix("hands ") {
                return done == "true";
            }
        }
        panic!("it went away")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h9_two_real_processes_decide_once_and_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), 1).await;
    let mut both = [Hands::new(folder.path()), Hands::new(folder.path())];
    for round in 0..60 {
        let statement = format!("UPDATE {round}");
        let id = bench.opened(&statement).await;
        for (hands, person) in both.iter_mut().zip(["dan", "eve"]) {
            hands.tell(&format!("approve {person} {id}"));
        }
        let granted = both.iter_mut().map(Hands::heard).filter(|done| *done).count();
        assert_eq!(
            (granted, bench.row(&id).await.state.as_str()),
            (1, "granted"),
            "{round}"
        );
        for hands in &mut both {
            hands.tell(&format!("run {statement}"));
        }
        let runs = both.iter_mut().map(Hands::heard).filter(|done| *done).count();
        assert_eq!(
            (runs, bench.row(&id).await.state.as_str()),
            (1, "spent"),
            "{round}"
        );
    }
    for mut hands in both {
        drop(hands.child.stdin.take());
        assert!(hands.child.wait().unwrap().success());
    }
}
