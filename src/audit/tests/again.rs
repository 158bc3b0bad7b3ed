//! An answer that is given again.

use super::*;
use crate::store::testing;

/// One call that was carried out, and what it was answered.
async fn carried_out(bench: &Bench) -> (CallId, Masked) {
    let arrival = bench.arrival("sql_execute", &json!({"resource": "web"}));
    let entry = bench.audit.open(&arrival);
    let answer = walk(entry, &arrival, Action::SqlWrite, "3 rows").await;
    (arrival.call_id, answer)
}

async fn again(bench: &Bench, earlier: &CallId) -> (String, Masked) {
    let arrival = bench.arrival("approval_wait", &json!({"approval_id": "x"}));
    let mut entry = bench.audit.open(&arrival);
    let answer = entry.repeats(&Mask::new(), earlier).await;
    let answer = entry.settle(&OneWord, answer).await;
    (arrival.call_id.to_string(), answer)
}

#[tokio::test]
async fn an_answer_is_given_again_as_it_was_and_kept_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let (earlier, first) = carried_out(&bench).await;
    for _ in 0..2 {
        let (call_id, answer) = again(&bench, &earlier).await;
        let mut expected = first.envelope().clone();
        expected["call_id"] = json!(call_id);
        expected["repeats"] = json!(earlier);
        assert_eq!(*answer.envelope(), expected);
        assert!(
            answer.text().starts_with("3 rows-- the answer of call"),
            "{}",
            answer.text()
        );
        assert!(!answer.is_error());
        let records = bench.records().await;
        let record = records.last().expect("a record");
        assert_eq!(
            (&record["call_id"], &record["repeats"]),
            (&json!(call_id), &json!(earlier))
        );
        assert!(record.get("payload").is_none(), "{record}");
    }
    let report = bench.verify().await;
    assert!(report.intact, "{report:?}");
    assert_eq!(report.payloads, 1);
}

#[tokio::test]
async fn what_was_erased_is_not_given_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let (earlier, _) = carried_out(&bench).await;
    again(&bench, &earlier).await;
    let what = Erase::Call(earlier.to_string());
    bench.audit.erase(&what, "asked for").await.expect("erased");
    let (_, answer) = again(&bench, &earlier).await;
    assert_eq!(code(&answer), "not_found");
    assert!(answer.text().contains(earlier.as_str()), "{}", answer.text());
}

#[tokio::test]
async fn an_answer_that_was_changed_in_the_store_is_not_given_again() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    let (earlier, _) = carried_out(&bench).await;
    let file = rusqlite::Connection::open(folder.path().join("tollgate.db")).expect("the store");
    file.execute("UPDATE payload SET salt = zeroblob(32)", [])
        .expect("changed");
    let (_, answer) = again(&bench, &earlier).await;
    assert_eq!(code(&answer), "not_found");
}
