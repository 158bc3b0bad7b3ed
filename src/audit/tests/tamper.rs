//! Whoever can write the store or an export changes it; the verifier says so.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::audit::verify::Fault;
use crate::store::testing;

const KEY: &str = "example.org/tollgate";

struct Sample {
    _folder: tempfile::TempDir,
    store: Store,
    key: LogPublicKey,
    lines: Vec<Vec<u8>>,
    checkpoint: String,
}

/// Some calls, checkpoints among them and one at the end.
async fn sample(payloads: bool) -> Sample {
    sample_of(6, payloads).await
}

async fn sample_of(calls: u32, payloads: bool) -> Sample {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(
        folder.path(),
        Options {
            every: 5,
            publish: true,
            ..Options::default()
        },
    )
    .await;
    for n in 0..calls {
        let _ = bench.call(Action::FileRead, &format!("file {n}")).await;
    }
    bench.audit.close().await.expect("signed");
    let mut export_bytes = Vec::new();
    export(&bench.store, payloads, &mut export_bytes)
        .await
        .expect("exported");
    let published = std::fs::read_to_string(folder.path().join("checkpoints")).expect("published");
    let published = format!("\n{published}");
    let last = published.rsplit_once(&format!("\n{KEY}\n")).expect("a note").1;
    Sample {
        store: bench.store.clone(),
        key: bench.report.public_key.parse().expect("a key"),
        lines: export_bytes
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect(),
        checkpoint: format!("{KEY}\n{}", last.strip_suffix('\n').expect("a blank line")),
        _folder: folder,
    }
}

impl Sample {
    fn check(&self, lines: &[Vec<u8>]) -> Report {
        verify_export(lines.concat().as_slice(), self.key.clone(), &Trust::default()).expect("readable")
    }

    fn check_with_checkpoint(&self, lines: &[Vec<u8>]) -> Report {
        verify_export(lines.concat().as_slice(), self.key.clone(), &self.trust()).expect("readable")
    }

    fn trust(&self) -> Trust {
        Trust {
            public_key: Some(self.key.clone()),
            held_elsewhere: Some(self.checkpoint.clone()),
        }
    }

    /// Changes the store as its owner could, triggers and all.
    fn change(&self, sql: &str) {
        let triggers = [
            ("journal_no_update", "journal"),
            ("journal_no_delete", "journal"),
            ("checkpoint_no_update", "checkpoint"),
            ("checkpoint_no_delete", "checkpoint"),
        ];
        self.store.tamper(&triggers, sql);
    }

    async fn faults(&self, trust: &Trust) -> Vec<Fault> {
        let report = verify_store(&self.store, trust).await.expect("readable");
        assert_eq!(report.intact, report.problems.is_empty());
        report.problems.iter().map(|problem| problem.fault).collect()
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

#[test]
fn an_untouched_export_is_intact_with_and_without_payloads() {
    for payloads in [false, true] {
        let sample = block(sample(payloads));
        let report = sample.check_with_checkpoint(&sample.lines);
        assert!(report.intact, "{report:?}");
        assert_eq!(report.records, 13);
        assert_eq!(report.held_elsewhere, Some(13));
        assert_eq!(
            (report.payloads, report.payloads_absent),
            if payloads { (6, 0) } else { (0, 6) }
        );
        assert_eq!(report.exit_code(), 0);
    }
}

#[test]
fn any_changed_byte_of_an_export_is_found() {
    let sample = block(sample_of(1, false)); // a header, three records, a checkpoint
    let whole = sample.lines.concat();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 7);
        let report =
            verify_export(changed.as_slice(), sample.key.clone(), &Trust::default()).expect("readable");
        assert!(!report.intact, "byte {at} of {}", whole.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn removed_repeated_moved_and_invented_lines_are_found(
        at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), how in 0..4
    ) {
        let sample = block(sample(false));
        let (at, to) = (at.index(sample.lines.len()), to.index(sample.lines.len()));
        let mut lines = sample.lines.clone();
        match how {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, sample.lines[at].clone()),
            2 => lines.swap(at, to),
            _ => lines.insert(to, b"{\"leaf\":\"00\",\"record\":{},\"type\":\"record\"}\n".to_vec()),
        }
        prop_assume!(lines != sample.lines);
        let report = sample.check(&lines);
        prop_assert!(!report.intact, "{how} {at} {to}");
    }

    #[test]
    fn a_truncation_with_a_rewritten_header_is_found_by_the_checkpoint_held_elsewhere(
        keep in any::<prop::sample::Index>()
    ) {
        let sample = block(sample(false));
        // What somebody with the key could do: everything after a point is forgotten, and the header
        // is made to fit.
        let keep = 1 + keep.index(sample.lines.len() - 2);
        let mut lines = sample.lines[..keep].to_vec();
        let kept: Vec<Value> =
            lines[1..].iter().map(|line| serde_json::from_slice(line).expect("a line")).collect();
        let leaves: Vec<merkle::Node> = kept
            .iter()
            .filter(|line| line["type"] == "record")
            .map(|line| merkle::leaf_hash(&crate::call::canonical(&line["record"])))
            .collect();
        prop_assume!(leaves.len() < 13);
        let mut header: Value = serde_json::from_slice(&lines[0]).expect("a header");
        header["records"] = json!(leaves.len());
        header["checkpoints"] = json!(kept.len() - leaves.len());
        header["root"] = json!(base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            merkle::root(&leaves)
        ));
        lines[0] = crate::call::canonical(&header);
        lines[0].push(b'\n');
        let alone = sample.check(&lines);
        let signed = alone.checkpoints > 0;
        prop_assert_eq!(alone.intact, signed, "nothing inside says that more was there: {:?}", alone);
        let report = sample.check_with_checkpoint(&lines);
        prop_assert!(report.problems.iter().any(|problem| problem.fault == Fault::Truncated));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn changes_in_the_store_are_found_and_named() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    use Fault::{Checkpoint, Index, Order, PayloadChanged, PayloadMissing, Record, Truncated};
    let cases: [(&str, &[Fault]); 10] = [
        (
            "UPDATE journal SET record = CAST(replace(CAST(record AS TEXT), 'corp#u-17', 'corp#u-18') AS BLOB) WHERE seq = 3",
            &[Record],
        ),
        ("UPDATE journal SET leaf = zeroblob(32) WHERE seq = 4", &[Record]),
        ("DELETE FROM journal WHERE seq = 5", &[Order]),
        ("DELETE FROM journal WHERE seq >= 8", &[Truncated, Index]),
        ("UPDATE journal SET user = 'corp#nobody' WHERE seq = 2", &[Index]),
        ("UPDATE head SET size = 12", &[Index]),
        (
            "UPDATE checkpoint SET note = replace(note, 'example.org/tollgate' || char(10), 'example.org/tollgate' || char(10) || '1') WHERE size = (SELECT min(size) FROM checkpoint)",
            &[Checkpoint],
        ),
        ("DELETE FROM payload WHERE seq = 2", &[PayloadMissing]),
        (
            "UPDATE payload SET data = (SELECT data FROM payload WHERE seq = 4) WHERE seq = 2",
            &[PayloadChanged],
        ),
        (
            "UPDATE payload SET salt = zeroblob(32) WHERE seq = 2",
            &[PayloadChanged],
        ),
    ];
    for (sql, expected) in cases {
        let sample = sample(false).await;
        assert_eq!(sample.faults(&Trust::default()).await, [], "before");
        sample.change(sql);
        let faults = sample.faults(&Trust::default()).await;
        for fault in expected {
            assert!(faults.contains(fault), "{sql}: {faults:?}");
        }
    }
}

/// The whole chain after a change is recomputed, as somebody without the key could.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rewritten_history_does_not_fit_the_signatures() {
    let sample = sample(false).await;
    let mut reader = sample.store.reader().await.expect("a reader");
    let rows = reader.range(0, 100).await.expect("rows");
    reader.close().await.expect("closed");
    let Some(file) = sample.store.file() else { return };
    let conn = Connection::open(file).expect("the file");
    conn.execute_batch("DROP TRIGGER journal_no_update")
        .expect("dropped");
    let mut frontier = merkle::Frontier::default();
    let mut prev: Option<merkle::Node> = None;
    for (row, _) in rows {
        let mut record: Value = serde_json::from_slice(&row.record).expect("a record");
        if row.seq == 3 {
            record["tool"] = json!("harmless");
        }
        if let Some(prev) = prev {
            record["prev"] = json!(crate::call::hex(&prev));
        }
        let bytes = crate::call::canonical(&record);
        let leaf = merkle::leaf_hash(&bytes);
        conn.execute(
            "UPDATE journal SET record = ?1, leaf = ?2, tool = ?3 WHERE seq = ?4",
            rusqlite::params![bytes, leaf.to_vec(), record["tool"].as_str(), row.seq as i64],
        )
        .expect("rewritten");
        frontier.push(leaf);
        prev = Some(leaf);
    }
    conn.execute(
        "UPDATE head SET last_leaf = ?1, frontier = ?2",
        rusqlite::params![prev.expect("a leaf").to_vec(), frontier.peaks().concat()],
    )
    .expect("rewritten");
    drop(conn);
    let faults = sample.faults(&Trust::default()).await;
    assert!(
        faults.iter().all(|fault| *fault == Fault::Checkpoint) && faults.len() >= 2,
        "{faults:?}"
    );
    // Without the checkpoints inside, only the one that was carried away tells.
    sample.change("DELETE FROM checkpoint");
    assert_eq!(sample.faults(&Trust::default()).await, []);
    let both = [Fault::Checkpoint, Fault::Checkpoint];
    assert_eq!(sample.faults(&sample.trust()).await, both);
}

/// Whoever can write the store takes out every checkpoint and writes a history of their own: with the
/// key from outside, a journal that nothing signs is not "verified".
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_journal_without_any_signature_is_not_verified_by_a_key() {
    let sample = sample(false).await;
    sample.change("DELETE FROM checkpoint");
    let key = Trust {
        public_key: Some(sample.key.clone()),
        held_elsewhere: None,
    };
    assert_eq!(sample.faults(&key).await, [Fault::Checkpoint]);
    let mut lines: Vec<Vec<u8>> = sample.lines.clone();
    lines.retain(|line| !line.starts_with(b"{\"note\""));
    let mut header: Value = serde_json::from_slice(&lines[0]).expect("a header");
    header["checkpoints"] = json!(0);
    lines[0] = [crate::call::canonical(&header), b"\n".to_vec()].concat();
    let report = sample.check(&lines);
    assert!(!report.intact);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_tail_stops_the_start() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    for sql in [
        "UPDATE journal SET record = x'7b7d' WHERE seq = 14",
        "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE head SET frontier = zeroblob(32)",
        "UPDATE checkpoint SET frontier = zeroblob(length(frontier)) WHERE size = (SELECT max(size) FROM checkpoint)",
        "UPDATE checkpoint SET note = replace(note, '13', '12') WHERE size = 13",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let first = bench(
            folder.path(),
            Options {
                every: 13,
                ..Options::default()
            },
        )
        .await;
        for n in 0..7 {
            let _ = first.call(Action::FileRead, &n.to_string()).await;
        }
        let sample = Sample {
            store: first.store.clone(),
            key: first.report.public_key.parse().expect("a key"),
            lines: Vec::new(),
            checkpoint: String::new(),
            _folder: tempfile::tempdir().expect("a folder"),
        };
        sample.change(sql);
        let refused = try_bench(
            folder.path(),
            Options {
                seed: 2,
                ..Options::default()
            },
        )
        .await;
        assert!(
            matches!(
                refused,
                Err(AuditError::Store(StoreError::Damaged(_)) | AuditError::Checkpoint(_))
            ),
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn inclusion_and_consistency_can_be_shown_from_the_store() {
    let sample = sample(false).await;
    let mut reader = sample.store.reader().await.expect("a reader");
    let leaves = reader.leaves(13).await.expect("leaves");
    let signed = sample.key.open(&sample.checkpoint).expect("signed");
    assert_eq!(merkle::root(&leaves), signed.root);
    let path = merkle::inclusion_proof(&leaves, 4).expect("a leaf");
    assert!(merkle::includes(&leaves[4], 4, 13, &path, &signed.root));
    let first = reader.checkpoints(0, 1).await.expect("checkpoints").remove(0);
    let earlier = sample.key.open(&first.note).expect("signed");
    let path = merkle::consistency_proof(&leaves, earlier.size as usize).expect("a prefix");
    assert!(merkle::consistent(
        earlier.size,
        &earlier.root,
        13,
        &signed.root,
        &path
    ));
}
