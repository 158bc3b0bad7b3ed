use futures::future::join_all;

use crate::call::Code;
use crate::policy::{CandidateDifference, Denial};
use crate::tool::UnknownTool;

use super::*;

#[tokio::test]
async fn a_pure_read_costs_one_commit_and_leaves_intent_then_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let before = bench.audit.stats();
    let (call_id, answer) = bench.call(Action::FileRead, "README.md").await;
    assert_eq!(answer.text(), "README.md");
    let after = bench.audit.stats();
    assert_eq!(
        (after.commits - before.commits, after.records - before.records),
        (1, 2)
    );

    let records = bench.records().await;
    assert_eq!(phases(&records)[&call_id], ["intent", "result"]);
    let (intent, result) = (&records[1], &records[2]);
    assert_eq!(
        intent["args_masked"],
        json!({"path": "README.md", "resource": "web"})
    );
    assert_eq!(intent["action_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(intent["action"], "file_read");
    assert_eq!(result["principal"]["id"], "corp#u-17");
    assert_eq!(result["policy"]["ids"], json!(["analysts-read"]));
    assert_eq!(result["outcome"], json!({"status": "ok"}));
    assert_eq!(result["masks"][0]["count"], 2);
    assert_eq!(result["delivered"], "offered");
    assert_eq!(result["payload"]["blob"], call_id.as_str());
    for record in &records {
        assert!(
            !record.to_string().contains("null"),
            "members that do not apply are absent: {record}"
        );
    }
}

#[tokio::test]
async fn an_effect_is_on_record_before_it_may_happen() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    for action in [
        Action::SqlWrite,
        Action::ShellRun,
        Action::GitCommit,
        Action::HttpSend,
        Action::Measure,
    ] {
        let arrival = bench.arrival("sql_execute", &json!({}));
        let mut entry = bench.audit.open(&arrival);
        let (invocation, facts) = invocation(&arrival, action);
        entry.intent(&invocation, &facts).await.expect("recorded");
        let records = bench.records().await;
        assert_eq!(
            phases(&records)[arrival.call_id.as_str()],
            ["intent"],
            "{action:?}"
        );
        let _ = entry.settle(&OneWord, answer(&arrival, "done")).await;
    }
    // The adapter finds more in it than the tool promised: it is no pure read any more.
    let arrival = bench.arrival("sql_query", &json!({}));
    let mut entry = bench.audit.open(&arrival);
    let (mut asked, mut found) = invocation(&arrival, Action::SqlRead);
    found.action = Action::SqlWrite;
    asked.action = Action::SqlRead;
    entry.intent(&asked, &found).await.expect("recorded");
    assert_eq!(
        phases(&bench.records().await)[arrival.call_id.as_str()],
        ["intent"]
    );
    let _ = entry.settle(&OneWord, answer(&arrival, "done")).await;
}

#[tokio::test]
async fn a_pure_read_is_not_written_before_somebody_needs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival("file_read", &json!({}));
    let mut entry = bench.audit.open(&arrival);
    let (asked, found) = invocation(&arrival, Action::FileRead);
    let before = bench.audit.stats().commits;
    entry.intent(&asked, &found).await.expect("queued");
    assert_eq!(bench.audit.stats().commits, before);
    // Another call's record takes it along, in the order in which they came.
    let (other, _) = bench.call(Action::ShellRun, "make").await;
    let records = bench.records().await;
    assert_eq!(phases(&records)[arrival.call_id.as_str()], ["intent"]);
    let order: Vec<&str> = records[1..]
        .iter()
        .filter_map(|record| record["call_id"].as_str())
        .collect();
    assert_eq!(order, [arrival.call_id.as_str(), &other, &other]);
    let _ = entry.settle(&OneWord, answer(&arrival, "text")).await;
}

#[tokio::test]
async fn refusals_are_recorded_with_what_was_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival("sql_query", &json!({"statement": format!("select '{SECRET}'")}));
    let mut entry = bench.audit.open(&arrival);
    let refusal = Refusal::new(Code::StatementRefused, "one statement", "send one")
        .detail(format!("parser said {SECRET}"));
    let masked = entry.refused(&OneWord, refusal);
    let masked = entry.settle(&OneWord, masked).await;
    assert_eq!(code(&masked), "statement_refused");
    let records = bench.records().await;
    let record = &records[1];
    assert_eq!(record["phase"], "refusal");
    assert_eq!(record["args_masked"]["statement"], "select '[masked]'");
    assert_eq!(record["outcome"]["code"], "statement_refused");
    assert_eq!(record["outcome"]["detail"], "parser said [masked]");

    let denied = Denial {
        refusal: Refusal::new(Code::NotPermitted, "no", "ask"),
        decision: decision(),
    };
    let mut entry = bench.audit.open(&arrival);
    let refusal = entry.denied(denied);
    let masked = entry.refused(&OneWord, refusal);
    let _ = entry.settle(&OneWord, masked).await;
    assert_eq!(
        bench.records().await[2]["policy"]["ids"],
        json!(["analysts-read"])
    );
}

#[tokio::test]
async fn a_candidate_that_would_decide_otherwise_is_a_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival("file_read", &json!({}));
    let mut entry = bench.audit.open(&arrival);
    let (asked, found) = invocation(&arrival, Action::FileRead);
    entry.intent(&asked, &found).await.expect("queued");
    let mut decision = decision();
    decision.candidate = Some(CandidateDifference {
        digest: Hash::of(b"candidate"),
        verdict: "deny".into(),
        ids: vec!["stricter".into()],
    });
    entry.permitted_by(&decision);
    let _ = entry.settle(&OneWord, answer(&arrival, "text")).await;
    let records = bench.records().await;
    assert_eq!(
        phases(&records)[arrival.call_id.as_str()],
        ["intent", "decision", "result"]
    );
    assert_eq!(records[2]["outcome"]["status"], "permit");
    assert_eq!(records[2]["candidate"]["verdict"], "deny");
}

#[tokio::test]
async fn a_caller_that_goes_away_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let read = bench.arrival("file_read", &json!({}));
    let mut entry = bench.audit.open(&read);
    let (asked, found) = invocation(&read, Action::FileRead);
    entry.intent(&asked, &found).await.expect("queued");
    drop(entry);
    let effect = bench.arrival("shell_run", &json!({}));
    let mut entry = bench.audit.open(&effect);
    let (asked, found) = invocation(&effect, Action::ShellRun);
    entry.intent(&asked, &found).await.expect("recorded");
    entry.permitted_by(&decision());
    drop(entry);
    drop(bench.audit.open(&bench.arrival("nothing", &json!({}))));
    bench.audit.flush().await.expect("written");
    let records = bench.records().await;
    let codes: Vec<&str> = records
        .iter()
        .filter_map(|record| record["outcome"]["code"].as_str())
        .collect();
    assert_eq!(codes, ["cancelled", "outcome_unknown", "cancelled"]);
    assert!(bench.verify().await.unfinished.is_empty());
}

#[tokio::test]
async fn a_settle_that_is_dropped_half_way_is_recorded_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival("file_read", &json!({}));
    let mut entry = bench.audit.open(&arrival);
    let (asked, found) = invocation(&arrival, Action::FileRead);
    entry.intent(&asked, &found).await.expect("queued");
    let mut settle = Box::pin(entry.settle(&OneWord, answer(&arrival, "text")));
    assert!(futures::poll!(settle.as_mut()).is_pending());
    drop(settle);
    bench.audit.flush().await.expect("written");
    assert_eq!(
        phases(&bench.records().await)[arrival.call_id.as_str()],
        ["intent", "result"]
    );
}

#[tokio::test]
async fn an_unknown_tool_is_recorded_with_its_name_masked_and_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let name = format!("{SECRET}{}", "x".repeat(5_000));
    let arrival = bench.arrival(&name, &json!({"a": 1}));
    let entry = bench.audit.open(&arrival);
    entry.unknown_tool(&UnknownTool { name }).await;
    let records = bench.records().await;
    assert_eq!(records[1]["outcome"]["code"], "unknown_tool");
    let tool = records[1]["tool"].as_str().expect("a name");
    assert!(
        tool.starts_with("[masked]xxx") && tool.chars().count() == 201,
        "{tool}"
    );
}

#[tokio::test]
async fn raw_arguments_are_nowhere_in_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival(
        "sql_query",
        &json!({"statement": SECRET, "deep": [{"x": SECRET}]}),
    );
    let entry = bench.audit.open(&arrival);
    let _ = walk(entry, &arrival, Action::SqlRead, "rows").await;
    bench
        .audit
        .config_change(json!({"event": "reload", "note": SECRET}))
        .await
        .expect("recorded");
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn large_arguments_are_cut_and_large_integers_kept_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let big = "ä".repeat(20_000);
    let arrival = bench.arrival("sql_query", &json!({"statement": big, "n": u64::MAX}));
    let entry = bench.audit.open(&arrival);
    let _ = walk(entry, &arrival, Action::SqlRead, "rows").await;
    let arrival = bench.arrival(
        "sql_query",
        &json!({"n": u64::MAX, "m": -9_007_199_254_740_993_i64, "k": 7}),
    );
    let entry = bench.audit.open(&arrival);
    let _ = walk(entry, &arrival, Action::SqlRead, "rows").await;
    let records = bench.records().await;
    let cut = &records[1]["args_masked"]["cut"];
    assert!(
        cut["bytes"].as_u64() > Some(40_000) && cut["head"].as_str().map(str::len) > Some(4_000),
        "{cut}"
    );
    assert_eq!(
        records[3]["args_masked"],
        json!({"n": "18446744073709551615", "m": "-9007199254740993", "k": 7})
    );
    assert!(bench.verify().await.intact);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_calls_share_commits_and_keep_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(
        folder.path(),
        Options {
            every: 100,
            ..Options::default()
        },
    )
    .await;
    let calls = join_all((0..64).map(async |lane| {
        for n in 0..5 {
            let action = if lane % 4 == 0 {
                Action::ShellRun
            } else {
                Action::FileRead
            };
            let (_, answer) = bench.call(action, &format!("{lane}-{n}")).await;
            assert_eq!(answer.text(), format!("{lane}-{n}"));
        }
    }));
    calls.await;
    bench.audit.close().await.expect("signed");
    let stats = bench.audit.stats();
    assert!(stats.commits < 320, "320 calls took {} commits", stats.commits);
    let records = bench.records().await;
    let phases = phases(&records);
    assert_eq!(phases.len(), 320);
    assert!(phases.values().all(|phases| *phases == ["intent", "result"]));
    let report = bench.verify().await;
    assert!(
        report.intact && report.payloads == 320 && report.checkpoints >= 4,
        "{report:?}"
    );
    assert_eq!(report.unsigned, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_a_store_and_do_not_declare_each_other_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = bench(
        folder.path(),
        Options {
            every: 7,
            ..Options::default()
        },
    )
    .await;
    // A call of the first is under way while the second starts.
    let arrival = first.arrival("shell_run", &json!({}));
    let mut entry = first.audit.open(&arrival);
    let (asked, found) = invocation(&arrival, Action::ShellRun);
    entry.intent(&asked, &found).await.expect("recorded");
    let second = bench(
        folder.path(),
        Options {
            seed: 2,
            every: 7,
            ..Options::default()
        },
    )
    .await;
    assert_eq!(second.report.interrupted, []);
    let lanes = (0..16).map(async |lane| {
        let journal = if lane % 2 == 0 { &first } else { &second };
        for n in 0..5 {
            let _ = journal.call(Action::FileRead, &format!("{lane}-{n}")).await;
        }
    });
    join_all(lanes).await;
    let _ = entry.settle(&OneWord, answer(&arrival, "done")).await;
    let report = second.verify().await;
    assert!(
        report.intact && report.unfinished.is_empty() && report.interrupted.is_empty(),
        "{report:?}"
    );
    assert_eq!(report.payloads, 81);
    first.audit.close().await.expect("closed");
    second.audit.close().await.expect("closed");
    assert!(second.verify().await.intact);
}

#[tokio::test]
async fn a_call_that_died_with_its_process_is_reported_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let arrival = {
        let bench = bench(folder.path(), Options::default()).await;
        let arrival = bench.arrival("shell_run", &json!({}));
        let mut entry = bench.audit.open(&arrival);
        let (asked, found) = invocation(&arrival, Action::ShellRun);
        entry.intent(&asked, &found).await.expect("recorded");
        std::mem::forget(entry); // gone without a word
        let report = bench.verify().await;
        assert_eq!(report.unfinished.len(), 1);
        // The writer ends and lets go of its lock file, as the kernel would for a killed process.
        bench.audit.close().await.expect("closed");
        arrival
    };
    crate::store::testing::age(&folder.path().join("tollgate.db")).await;
    let second = bench(
        folder.path(),
        Options {
            seed: 2,
            ..Options::default()
        },
    )
    .await;
    let ids: Vec<&str> = second
        .report
        .interrupted
        .iter()
        .map(|call| call.call_id.as_str())
        .collect();
    assert_eq!(ids, [arrival.call_id.as_str()]);
    let third = bench(
        folder.path(),
        Options {
            seed: 3,
            ..Options::default()
        },
    )
    .await;
    assert_eq!(third.report.interrupted, []);
    let report = third.verify().await;
    assert!(report.intact && report.unfinished.is_empty(), "{report:?}");
    assert_eq!(report.interrupted.len(), 1);
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .filter(|entry| {
            entry
                .as_ref()
                .is_ok_and(|e| e.file_name().to_string_lossy().contains("-live-"))
        })
        .count();
    let lives = if crate::store::testing::on_server() { 0 } else { 2 }; // a server keeps leases, not files
    assert_eq!(left, lives, "one lock file for each journal that lives");
}

#[tokio::test]
async fn checkpoints_come_every_so_many_records_and_are_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(
        folder.path(),
        Options {
            every: 4,
            publish: true,
            ..Options::default()
        },
    )
    .await;
    for n in 0..6 {
        let _ = bench.call(Action::FileRead, &n.to_string()).await;
    }
    let arrival = bench.arrival("file_read", &json!({}));
    bench.audit.accepted(&arrival.call_id);
    bench.audit.checkpoint().await.expect("signed");
    bench.audit.checkpoint().await.expect("nothing new to sign");
    let report = bench.verify().await;
    assert_eq!((report.unsigned, report.records), (0, 14));
    let published = std::fs::read_to_string(folder.path().join("checkpoints")).expect("published");
    let key: LogPublicKey = bench.report.public_key.parse().expect("a key");
    let sizes: Vec<u64> = published
        .split("\n\n")
        .collect::<Vec<_>>()
        .chunks_exact(2)
        .map(|note| {
            key.open(&format!("{}\n\n{}\n", note[0], note[1]))
                .expect("signed")
                .size
        })
        .collect();
    assert_eq!(sizes.last(), Some(&14));
    assert_eq!(sizes.len() as u64, report.checkpoints);
}

#[tokio::test]
async fn a_checkpoint_that_was_signed_and_not_published_is_published_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = |seed| Options {
        seed,
        publish: true,
        ..Options::default()
    };
    let first = bench(folder.path(), options(1)).await;
    let _ = first.call(Action::FileRead, "a").await;
    first.audit.close().await.expect("signed");
    let path = folder.path().join("checkpoints");
    let published = std::fs::read_to_string(&path).expect("published");
    std::fs::remove_file(&path).expect("there");
    let second = bench(folder.path(), options(2)).await;
    assert_eq!(std::fs::read_to_string(&path).expect("published"), published);
    drop(second);
    let _third = bench(folder.path(), options(3)).await;
    let again = std::fs::read_to_string(&path).expect("published");
    assert!(
        again.starts_with(&published) && again.matches(&published).count() == 1,
        "{again}"
    );
}

#[tokio::test]
async fn a_store_of_another_log_or_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    bench(folder.path(), Options::default())
        .await
        .audit
        .close()
        .await
        .expect("closed");
    std::fs::remove_file(folder.path().join("log.key")).expect("there");
    let refused = try_bench(
        folder.path(),
        Options {
            seed: 9,
            ..Options::default()
        },
    )
    .await;
    assert!(matches!(
        refused,
        Err(AuditError::Foreign { what: "the key", .. })
    ));
}

#[tokio::test]
async fn a_filling_disk_warns_early_and_refuses_before_it_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    assert_eq!(bench.audit.health().warnings, Vec::<String>::new());
    bench.free.store(1_500, Ordering::Relaxed);
    let (_, warned) = bench.call(Action::FileRead, "a").await;
    assert!(!warned.is_error());
    assert_eq!(bench.audit.health().warnings.len(), 1);
    bench.free.store(500, Ordering::Relaxed);
    let _ = bench.call(Action::FileRead, "b").await; // its commit sees the disk
    assert!(!bench.audit.health().takes_calls);
    for action in [Action::FileRead, Action::ShellRun] {
        let (call_id, refused) = bench.call(action, "c").await;
        assert_eq!(code(&refused), "audit_unavailable");
        assert_eq!(
            phases(&bench.records().await)[&call_id],
            ["refusal"],
            "the refusal itself has room"
        );
    }
    bench.free.store(5_000, Ordering::Relaxed);
    let (_, taken) = bench.call(Action::ShellRun, "d").await;
    assert!(!taken.is_error());
    assert!(bench.audit.health().takes_calls);
}

#[tokio::test]
async fn after_the_end_calls_are_refused_and_answers_withheld() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let arrival = bench.arrival("shell_run", &json!({}));
    let mut entry = bench.audit.open(&arrival);
    let (asked, found) = invocation(&arrival, Action::ShellRun);
    entry.intent(&asked, &found).await.expect("recorded");
    entry.permitted_by(&decision());
    bench.audit.close().await.expect("closed");
    let withheld = entry.settle(&OneWord, answer(&arrival, "rows")).await;
    assert_eq!(code(&withheld), "outcome_unknown");
    let (_, refused) = bench.call(Action::FileRead, "x").await;
    assert_eq!(code(&refused), "audit_unavailable");
}
