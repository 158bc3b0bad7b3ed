//! What a process finds that was cut off from the others, or whose store is not what it was.

use super::*;

fn phases_of(records: &[Value], call: &CallId) -> Vec<String> {
    let of_call = records.iter().filter(|record| record["call_id"] == call.as_str());
    of_call
        .map(|record| record["phase"].as_str().expect("a phase").to_owned())
        .collect()
}

fn seeded(seed: u64) -> Options {
    Options {
        seed,
        ..Options::default()
    }
}

/// Whether the call is a read or not, and however much this process has written since it was back.
#[tokio::test]
async fn a_call_that_ends_after_it_was_taken_for_interrupted_is_withheld() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = bench(folder.path(), Options::default()).await;
    let mut under_way = Vec::new();
    for action in [Action::ShellRun, Action::FileRead] {
        let arrival = here.arrival("shell_run", &json!({}));
        let mut entry = here.audit.open(&arrival);
        let (asked, facts) = invocation(&arrival, action);
        entry.intent(&asked, &facts).await.expect("recorded");
        entry.permitted_by(&decision());
        under_way.push((entry, arrival));
    }
    here.call(Action::FileRead, "the intents are written").await;
    let mut interrupted = vec!["intent", "refusal"];
    if testing::on_server() {
        testing::age(&folder.path().join("tollgate.db")).await;
        let there = bench(folder.path(), seeded(2)).await;
        assert_eq!(there.report.interrupted.len(), 2);
        interrupted.insert(1, "interrupted");
    } else {
        here.store.tamper(&[], "DELETE FROM open_call");
    }
    // The first that this process writes when it is back is of other calls.
    for _ in 0..2 {
        let (_, answer) = here.call(Action::FileRead, "x").await;
        assert!(!answer.is_error());
    }
    let codes = ["outcome_unknown", "audit_unavailable"];
    for ((entry, arrival), told) in under_way.into_iter().zip(codes) {
        let late = entry.settle(&OneWord, answer(&arrival, "late")).await;
        assert_eq!(code(&late), told);
        let records = here.records().await;
        assert_eq!(phases_of(&records, &arrival.call_id), interrupted);
        let last = records.last().expect("a record");
        assert_eq!(
            last["outcome"],
            json!({"status": "refused", "code": told, "withheld": true})
        );
        assert!(last.get("payload").is_none() && last.get("delivered").is_none());
    }
    let report = here.verify().await;
    assert!(report.intact && report.unfinished.is_empty(), "{report:?}");
    assert!(here.audit.health().takes_calls);
}

/// What was refused before it began was interrupted by nobody.
#[tokio::test]
async fn a_refusal_of_a_process_that_was_away_keeps_its_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = bench(folder.path(), Options::default()).await;
    testing::age(&folder.path().join("tollgate.db")).await;
    let arrival = here.arrival("shell_run", &json!({}));
    let mut entry = here.audit.open(&arrival);
    let refusal = Refusal::new(crate::call::Code::NotFound, "There is none.", "Name another.");
    let refused = entry.refused(&OneWord, refusal);
    let told = entry.settle(&OneWord, refused).await;
    assert_eq!(code(&told), "not_found");
    assert_eq!(phases_of(&here.records().await, &arrival.call_id), ["refusal"]);
}

/// A snapshot of the store was put back, and another process has written as many records since.
#[tokio::test]
async fn a_journal_that_went_back_and_on_is_not_continued() {
    for further in [0, 3] {
        let folder = tempfile::tempdir().expect("a folder");
        let here = bench(folder.path(), Options::default()).await;
        here.call(Action::FileRead, "x").await;
        here.store.tamper(
            &[("journal_no_update", "journal")],
            "UPDATE journal SET leaf = (SELECT leaf FROM journal WHERE seq = 0) WHERE seq = (SELECT max(seq) FROM \
             journal); UPDATE head SET last_leaf = (SELECT leaf FROM journal WHERE seq = 0)",
        );
        for number in 0..further {
            here.store.tamper(
                &[],
                &format!(
                    "INSERT INTO journal (seq, leaf, at, phase, record) SELECT max(seq) + 1, \
                     x'{number:064x}', 'now', 'config', x'7b7d' FROM journal; \
                     UPDATE head SET size = size + 1, last_leaf = x'{number:064x}'"
                ),
            );
        }
        let before = here.records().await.len();
        for _ in 0..2 {
            let (_, answer) = here.call(Action::FileRead, "y").await;
            assert_eq!(code(&answer), "audit_unavailable");
        }
        assert_eq!(here.records().await.len(), before, "nothing was written");
    }
}

/// How many share what is shared: those that serve, not those that have ended.
#[tokio::test]
async fn processes_are_counted_while_they_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = bench(folder.path(), Options::default()).await;
    assert_eq!(here.audit.replicas(), 1);
    let there = bench(folder.path(), seeded(2)).await;
    let both = if testing::on_server() { 2 } else { 1 };
    assert_eq!(there.audit.replicas(), both);
    there.audit.close().await.expect("closed");
    let third = bench(folder.path(), seeded(3)).await;
    assert_eq!(third.audit.replicas(), both);
    testing::age(&folder.path().join("tollgate.db")).await;
    let alone = bench(folder.path(), seeded(4)).await;
    assert_eq!(alone.audit.replicas(), 1);
    here.call(Action::FileRead, "it was only not heard of").await;
    let fifth = bench(folder.path(), seeded(5)).await;
    assert_eq!(fifth.audit.replicas(), if testing::on_server() { 3 } else { 1 });
}
