//! Power cuts, full disks, failing syncs: no answer without a record.

use futures::future::join_all;

use super::vfs::{Disk, Image};
use super::*;
use crate::audit::list::Kept;
use crate::store::testing;

/// What a call answered, so that it can be told from its id.
fn text_of(n: usize) -> String {
    format!(
        "answer {n} {}",
        crate::call::hex(&Sha256::digest(n.to_be_bytes())).repeat(20)
    )
}

/// Some calls one after the other, some at once, an erasure (which empties the write-ahead log into
/// the file) and a checkpoint; each answer is noted at the moment it is given.
async fn work(bench: &Bench, disk: &Disk) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for n in 0..6 {
        let action = if n % 2 == 0 {
            Action::FileRead
        } else {
            Action::ShellRun
        };
        let (call_id, answer) = bench.call(action, &text_of(n)).await;
        disk.answered(&call_id);
        texts.insert(call_id, answer.text().to_owned());
    }
    let first = texts.keys().next().cloned().expect("a call");
    bench
        .audit
        .erase(&Erase::Call(first.clone()), "test")
        .await
        .expect("erased");
    texts.insert(first, String::new());
    let lanes = (6..14).map(async |n| {
        let action = if n % 4 == 0 {
            Action::SqlWrite
        } else {
            Action::SqlRead
        };
        let (call_id, answer) = bench.call(action, &text_of(n)).await;
        disk.answered(&call_id);
        (call_id, answer.text().to_owned())
    });
    texts.extend(join_all(lanes).await);
    bench.audit.checkpoint().await.expect("signed");
    texts
}

/// Opens what a power cut left, and checks every answer given before it.
async fn check(number: usize, image: &Image, key: &Path, texts: &BTreeMap<String, String>) {
    let at = format!("cut {number}, {} survived", image.survived);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in &image.files {
        std::fs::write(folder.path().join(name), bytes).expect("written");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(folder.path().join(name), private).expect("chmod");
    }
    std::fs::copy(key, folder.path().join("log.key")).expect("the key");
    let bench = match try_bench(
        folder.path(),
        Options {
            seed: 99,
            every: 3,
            ..Options::default()
        },
    )
    .await
    {
        Ok(bench) => bench,
        Err(error) => panic!("{at}: {error}"),
    };
    let report = bench.verify().await;
    assert!(report.intact, "{at}: {:?}", report.problems);
    assert!(
        report.unfinished.is_empty(),
        "{at}: everything unfinished is reported by the start"
    );
    assert_eq!(report.interrupted.len(), bench.report.interrupted.len(), "{at}");
    for call_id in &image.answered {
        let history = show(&bench.store, call_id)
            .await
            .unwrap_or_else(|error| panic!("{at}: {error}"));
        let result = history.records.iter().find(|record| record["phase"] == "result");
        assert!(
            result.is_some(),
            "{at}: {call_id} was answered and is not on record"
        );
        match history.kept {
            Some(Kept::Held { offered }) if texts[call_id].is_empty() => {
                assert!(offered.text.starts_with("answer 0"), "{at}: not erased yet");
            }
            Some(Kept::Held { offered }) => assert_eq!(offered.text, texts[call_id], "{at}"),
            Some(Kept::Gone) => assert_eq!(texts[call_id], "", "{at}: only the erased one is gone"),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_sync_leaves_every_answer_on_record() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let disk = Disk::register("tollgate-power");
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        every: 3,
        vfs: Some("tollgate-power".into()),
        ..Options::default()
    };
    let bench = bench(folder.path(), options).await;
    let texts = work(&bench, &disk).await;
    let images = disk.images();
    assert!(images.len() > 3 * 12, "only {} images", images.len());
    assert_eq!(images.last().expect("an image").answered.len(), 14);
    for (number, image) in images.iter().enumerate() {
        check(number / 3, image, &folder.path().join("log.key"), &texts).await;
    }
    bench.audit.close().await.expect("closed");
}

/// The test above must be able to fail: a store that does not sync loses answers in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_a_power_cut_would_lose_answers() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let disk = Disk::register("tollgate-unsynced");
    let folder = tempfile::tempdir().expect("a folder");
    let vfs = Some("tollgate-unsynced".into());
    let bench = bench(
        folder.path(),
        Options {
            vfs,
            ..Options::default()
        },
    )
    .await;
    let (call_id, _) = bench.call(Action::FileRead, "synced").await;
    disk.answered(&call_id);
    let image = disk
        .images()
        .into_iter()
        .rev()
        .find(|image| image.survived == "nothing")
        .expect("an image");
    let wal = &image.files["tollgate.db-wal"];
    assert!(
        wal.windows(32).any(|window| window == call_id.as_bytes()),
        "the call went through a sync"
    );
    let conn = rusqlite::Connection::open_with_flags_and_vfs(
        folder.path().join("tollgate.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
        "tollgate-unsynced",
    )
    .expect("the file");
    conn.execute_batch("PRAGMA synchronous = OFF; INSERT INTO meta VALUES ('lost-without-sync', 'x')")
        .expect("written");
    let image = disk
        .images()
        .into_iter()
        .rev()
        .find(|image| image.survived == "nothing")
        .expect("an image");
    let lost = image
        .files
        .values()
        .all(|bytes| !bytes.windows(17).any(|window| window == b"lost-without-sync"));
    assert!(lost, "the disk keeps what was not synced: it would find nothing");
}

/// Calls until one is taken: the store is not tried at every call while it fails.
async fn recovered(bench: &Bench) -> (String, u64) {
    for refused in 0..200 {
        let (call_id, answer) = bench.call(Action::FileRead, "after").await;
        if !answer.is_error() {
            return (call_id, refused);
        }
    }
    panic!("it does not recover");
}

/// Where the store fails: before the intent is durable, or between the effect and its record.
async fn refused_then_withheld(bench: &Bench, doubtful: bool, fail: impl Fn(bool)) {
    let (good, _) = bench.call(Action::ShellRun, "before").await;
    let read = bench.arrival("file_read", &json!({}));
    let write = bench.arrival("shell_run", &json!({}));
    let mut entries = Vec::new();
    for (arrival, action) in [(&read, Action::FileRead), (&write, Action::ShellRun)] {
        let mut entry = bench.audit.open(arrival);
        let (asked, found) = invocation(arrival, action);
        entry.intent(&asked, &found).await.expect("recorded");
        entry.permitted_by(&decision());
        entries.push(entry);
    }
    fail(true);
    let big = |n: usize| {
        (0..4_000)
            .map(|at| crate::call::hex(&Sha256::digest((n * 10_000 + at).to_be_bytes())))
            .collect::<String>()
    };
    let second = entries.pop().expect("two");
    let first = entries.pop().expect("two");
    let withheld = first.settle(&OneWord, answer(&read, &big(1))).await;
    assert_eq!(code(&withheld), "audit_unavailable");
    let withheld = second.settle(&OneWord, answer(&write, &big(2))).await;
    assert_eq!(code(&withheld), "outcome_unknown");
    assert!(!bench.audit.health().takes_calls);
    let mut refused = Vec::new();
    for action in [Action::FileRead, Action::ShellRun] {
        let (call_id, answer) = bench.call(action, "during").await;
        assert_eq!(code(&answer), "audit_unavailable", "{action:?}");
        refused.push(call_id);
    }
    assert!(bench.audit.flush().await.is_err());

    fail(false);
    told_afterwards(bench, doubtful, &good, &read, &write, &refused).await;
}

/// What the journal says of it once it can be written again.
async fn told_afterwards(
    bench: &Bench,
    doubtful: bool,
    good: &str,
    read: &Arrival,
    write: &Arrival,
    refused: &[String],
) {
    let (after, _) = recovered(bench).await;
    assert!(bench.audit.health().takes_calls);
    let records = bench.records().await;
    let phases = phases(&records);
    assert_eq!(phases[good], ["intent", "result"]);
    assert_eq!(phases[&after], ["intent", "result"]);
    for (arrival, code) in [(read, "audit_unavailable"), (write, "outcome_unknown")] {
        let id = arrival.call_id.as_str();
        // A failed sync may have written; then the record of the offer is there, and that it was
        // withheld follows.
        let written = doubtful && phases[id] == ["intent", "result", "refusal"];
        assert!(written || phases[id] == ["intent", "refusal"], "{:?}", phases[id]);
        let record = records
            .iter()
            .rfind(|record| record["call_id"] == id)
            .expect("a record");
        assert_eq!(
            record["outcome"],
            json!({"status": "refused", "code": code, "withheld": true})
        );
        assert!(record.get("payload").is_none() && record.get("delivered").is_none());
    }
    for call_id in refused {
        assert_eq!(phases[call_id].last().map(String::as_str), Some("refusal"));
        assert!(doubtful || phases[call_id].len() == 1);
    }
    let mut intents = records
        .iter()
        .filter(|record| record["phase"] == "intent")
        .map(|r| r["call_id"].as_str());
    let mut seen = BTreeSet::new();
    assert!(intents.all(|id| seen.insert(id)), "nothing is recorded twice");
    let report = bench.verify().await;
    assert!(report.intact && report.unfinished.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_its_size_bound_the_store_refuses_and_withholds_and_recovers() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    refused_then_withheld(&bench, false, |full| {
        bench.store.limit_bytes(full.then_some(100 * 1024))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_refuses_and_withholds_and_recovers() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let disk = Disk::register("tollgate-full");
    let folder = tempfile::tempdir().expect("a folder");
    let vfs = Some("tollgate-full".into());
    let bench = bench(
        folder.path(),
        Options {
            vfs,
            ..Options::default()
        },
    )
    .await;
    refused_then_withheld(&bench, false, |full| disk.full.store(full, Ordering::Relaxed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_syncs_fail_it_refuses_and_withholds_and_recovers() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let disk = Disk::register("tollgate-unsyncable");
    let folder = tempfile::tempdir().expect("a folder");
    let vfs = Some("tollgate-unsyncable".into());
    let bench = bench(
        folder.path(),
        Options {
            vfs,
            ..Options::default()
        },
    )
    .await;
    refused_then_withheld(&bench, true, |bad| disk.unsyncable.store(bad, Ordering::Relaxed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_longer_than_memory_is_told_by_number() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let disk = Disk::register("tollgate-outage");
    let folder = tempfile::tempdir().expect("a folder");
    let vfs = Some("tollgate-outage".into());
    let bench = bench(
        folder.path(),
        Options {
            vfs,
            ..Options::default()
        },
    )
    .await;
    disk.full.store(true, Ordering::Relaxed);
    let lanes = (0..50).map(async |_| {
        for _ in 0..100 {
            let (_, answer) = bench.call(Action::FileRead, "x").await;
            assert_eq!(code(&answer), "audit_unavailable");
        }
    });
    join_all(lanes).await;
    disk.full.store(false, Ordering::Relaxed);
    let (_, refused_after) = recovered(&bench).await;
    let records = bench.records().await;
    let refusals = records
        .iter()
        .filter(|record| record["phase"] == "refusal")
        .count() as u64;
    let told: u64 = records
        .iter()
        .filter_map(|record| record["config"]["calls"].as_u64())
        .sum();
    assert!(refusals < 5_000 && told > 0, "{refusals} + {told}");
    assert_eq!(refusals + told, 5_000 + refused_after);
    assert!(bench.verify().await.intact);
}
