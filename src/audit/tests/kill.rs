//! kill -9 at every boundary of the path, and at any moment of a busy journal: this test binary
//! starts itself as the process that dies.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use futures::future::join_all;

use super::*;
use crate::audit::list::Kept;
use crate::store::testing;

const FOLDER: &str = "TOLLGATE_TEST_KILL_FOLDER";
const STAGE: &str = "TOLLGATE_TEST_KILL_STAGE";

/// Every boundary at which the process dies, in the order of the path.
const STAGES: [&str; 8] = [
    "opened",
    "intent asked",
    "intent",
    "permitted",
    "effect",
    "settle asked",
    "settled",
    "answered",
];

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

fn append(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("a file");
    writeln!(file, "{line}").expect("written");
}

/// The child: does nothing unless it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(folder), Ok(stage)) = (std::env::var(FOLDER), std::env::var(STAGE)) else {
        return;
    };
    let folder = Path::new(&folder);
    let seed = Sha256::digest([stage.as_bytes(), &std::process::id().to_be_bytes()].concat());
    let seed = u64::from_be_bytes(seed[..8].try_into().expect("eight bytes"));
    let bench = bench(
        folder,
        Options {
            seed,
            every: 5,
            ..Options::default()
        },
    )
    .await;
    if stage == "busy" {
        busy(&bench).await;
    }
    for action in [Action::FileRead, Action::ShellRun] {
        let whole = if action == Action::FileRead {
            "read"
        } else {
            "effect"
        };
        let (whole_stage, own) = stage.split_once(':').expect("a stage");
        let own = if whole_stage == whole { own } else { "" };
        one_call(&bench, folder, action, own).await;
    }
    panic!("the stage {stage} was not met");
}

async fn one_call(bench: &Bench, folder: &Path, action: Action, stage: &str) {
    let arrival = bench.arrival("tool", &json!({"n": 1}));
    let call_id = arrival.call_id.to_string();
    let mut entry = bench.audit.open(&arrival);
    die_at(stage, "opened");
    let (asked, found) = invocation(&arrival, action);
    die_waiting(stage, "intent asked", entry.intent(&asked, &found))
        .await
        .expect("recorded");
    die_at(stage, "intent");
    entry.permitted_by(&decision());
    die_at(stage, "permitted");
    append(
        &folder.join(if action.is_pure_read() { "reads" } else { "effects" }),
        &call_id,
    );
    die_at(stage, "effect");
    let settle = entry.settle(&OneWord, answer(&arrival, &format!("answer of {call_id}")));
    let given = die_waiting(stage, "settle asked", settle).await;
    die_at(stage, "settled");
    assert!(!given.is_error());
    append(&folder.join("answers"), &call_id);
    bench.audit.accepted(&arrival.call_id);
    die_at(stage, "answered");
}

/// Calls without end; each answer is a line on standard output.
async fn busy(bench: &Bench) {
    let lanes = (0..16).map(async |lane| {
        loop {
            let action = if lane % 3 == 0 {
                Action::ShellRun
            } else {
                Action::FileRead
            };
            let (call_id, _) = bench.call(action, "busy").await;
            let mut out = std::io::stdout().lock();
            writeln!(out, "answered {call_id}").expect("written");
            out.flush().expect("flushed");
        }
    });
    join_all(lanes).await;
}

#[expect(clippy::disallowed_methods, reason = "a process that dies is what is tested")]
fn child_command(folder: &Path, stage: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "audit::tests::kill::child", "--nocapture"])
        .env(FOLDER, folder)
        .env(STAGE, stage)
        .stderr(Stdio::null());
    command
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What must hold after every death, whenever it came.
async fn check(folder: &Path, at: &str, answered: &[String], effects: &[String]) -> Bench {
    testing::age(&folder.join("tollgate.db")).await;
    let bench = bench(
        folder,
        Options {
            seed: 7,
            ..Options::default()
        },
    )
    .await;
    let report = bench.verify().await;
    assert!(report.intact && report.unfinished.is_empty(), "{at}: {report:?}");
    let phases = phases(&bench.records().await);
    for call_id in answered {
        assert_eq!(phases[call_id][..2], ["intent", "result"], "{at}");
        let kept = show(&bench.store, call_id).await.expect("there").kept;
        assert!(matches!(kept, Some(Kept::Held { .. })), "{at}");
    }
    let interrupted: Vec<&str> = bench
        .report
        .interrupted
        .iter()
        .map(|call| call.call_id.as_str())
        .collect();
    for call_id in effects {
        let ended = phases
            .get(call_id)
            .unwrap_or_else(|| panic!("{at}: an effect without a record"));
        let named = interrupted.contains(&call_id.as_str());
        assert!(
            named || ended.iter().any(|phase| phase == "result"),
            "{at}: {ended:?}"
        );
    }
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_at_every_boundary_leaves_no_answer_and_no_effect_without_a_record() {
    for kind in ["read", "effect"] {
        for stage in STAGES {
            let folder = tempfile::tempdir().expect("a folder");
            let at = format!("{kind}:{stage}");
            let status = child_command(folder.path(), &at)
                .stdout(Stdio::null())
                .status()
                .expect("the child ran");
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(9),
                "{at}"
            );
            let answered = lines(&folder.path().join("answers"));
            let effects = lines(&folder.path().join("effects"));
            let bench = check(folder.path(), &at, &answered, &effects).await;
            let expected = match (kind, stage) {
                // Killed while the commit was under way: it may or may not have come through.
                (_, "intent asked" | "settle asked") => continue,
                // A pure read leaves nothing before its answer is durable; nothing was given either.
                ("read", _) | (_, "opened" | "settled" | "answered") => 0,
                _ => 1,
            };
            assert_eq!(bench.report.interrupted.len(), expected, "{at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_of_a_busy_journal_leaves_no_answer_without_a_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut answered = Vec::new();
    for round in 0..4 {
        let mut child = child_command(folder.path(), "busy")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child runs");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut seen = 0;
        for line in output.lines() {
            let line = line.expect("a line");
            if let Some(call_id) = line.strip_prefix("answered ") {
                answered.push(call_id.to_owned());
                seen += 1;
                if seen == 40 + round * 17 {
                    child.kill().expect("killed"); // what it still wrote is read to the end
                }
            }
        }
        child.wait().expect("gone");
        let bench = check(folder.path(), &format!("round {round}"), &answered, &[]).await;
        bench.audit.close().await.expect("closed");
    }
    assert!(answered.len() >= 4 * 40);
}
