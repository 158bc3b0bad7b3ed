use super::*;
use crate::audit::list::Kept;
use crate::audit::replay::{printable, render};
use crate::store::testing;

const ROWS: &str = "id │ name\n1  │ \u{1b}[2Jgone\u{202e}";

async fn some_calls(folder: &Path) -> (Bench, Vec<String>) {
    let bench = bench(folder, Options::default()).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let action = if n % 2 == 0 {
            Action::FileRead
        } else {
            Action::SqlWrite
        };
        ids.push(bench.call(action, &format!("{ROWS} {n}")).await.0);
    }
    (bench, ids)
}

fn outcomes() -> RecordFilter {
    RecordFilter {
        outcomes: true,
        ..RecordFilter::default()
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_gap_or_repetition() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, ids) = some_calls(folder.path()).await;
    for oldest_first in [true, false] {
        let mut seen = Vec::new();
        let mut query = Query {
            filter: RecordFilter {
                phase: Some("result".into()),
                ..outcomes()
            },
            limit: 3,
            oldest_first,
            ..Query::default()
        };
        loop {
            let page = list(&bench.store, &query).await.expect("readable");
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().filter_map(|item| item.call_id));
            match page.next {
                Some(next) => query.page = Some(next),
                None => break,
            }
        }
        if !oldest_first {
            seen.reverse();
        }
        assert_eq!(seen, ids);
    }
    let nobody = RecordFilter {
        user: Some("corp#other".into()),
        ..RecordFilter::default()
    };
    assert_eq!(bench.listed(nobody).await, []);
    let all = bench.listed(RecordFilter::default()).await;
    let cut = RecordFilter {
        since: Some(all[3].at.clone()),
        until: Some(all[6].at.clone()),
        ..RecordFilter::default()
    };
    assert_eq!(bench.listed(cut).await.len(), 3);
    let by = RecordFilter {
        user: Some("corp#u-17".into()),
        session: Some("session-1".into()),
        tool: Some("file_read".into()),
        resource: Some("web".into()),
        status: Some("ok".into()),
        ..RecordFilter::default()
    };
    let found = bench.listed(by).await;
    assert_eq!(found.len(), 7);
    assert_eq!(
        (found[1].action.as_deref(), found[1].masked),
        (Some("sql_write"), 2)
    );
    assert_eq!(all[0].event.as_deref(), Some("start"));
}

#[tokio::test]
async fn show_gives_every_record_of_a_call_and_the_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, ids) = some_calls(folder.path()).await;
    let history = show(&bench.store, &ids[2]).await.expect("there");
    assert_eq!(history.records.len(), 2);
    let Some(Kept::Held { offered }) = history.kept else {
        panic!("the answer is kept");
    };
    assert_eq!(offered.text, format!("{ROWS} 2"));
    assert_eq!(offered.structured["data"]["text"], format!("{ROWS} 2"));
    assert!(matches!(
        show(&bench.store, "nope").await,
        Err(AuditError::UnknownCall(_))
    ));
}

#[tokio::test]
async fn replay_shows_exactly_what_was_offered_in_order_and_nothing_that_acts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, ids) = some_calls(folder.path()).await;
    let mut query = Query {
        limit: 4,
        ..Query::default()
    };
    query.filter.session = Some("session-1".into());
    let page = replay(&bench.store, &query).await.expect("readable");
    let order: Vec<&str> = page
        .items
        .iter()
        .filter_map(|step| step.outcome["call_id"].as_str())
        .collect();
    assert_eq!(order, ids[..4].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        page.items[0].intent.as_ref().expect("an intent")["phase"],
        "intent"
    );

    let mut plain = Vec::new();
    render(&page, false, &mut plain).expect("written");
    let plain = String::from_utf8(plain).expect("text");
    assert!(
        !plain.contains('\u{1b}') && !plain.contains('\u{202e}'),
        "{plain}"
    );
    assert!(plain.contains("1  │ ␛[2Jgone<U+202E> 3\n"), "{plain}");
    assert!(plain.contains("masked 2 × email in text"));
    assert!(plain.ends_with(&format!("more: --page {}\n", page.next.expect("more"))));

    let mut coloured = Vec::new();
    render(&page, true, &mut coloured).expect("written");
    let coloured = String::from_utf8(coloured).expect("text");
    assert!(coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').expect("a colour code").1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain, "colour adds nothing but colour");

    query.page = page.next;
    let rest = replay(&bench.store, &query).await.expect("readable");
    assert_eq!((rest.items.len(), rest.next), (3, None));
}

#[test]
fn every_character_that_acts_on_a_terminal_is_shown() {
    for c in (0..=0x9f)
        .chain(0x2028..=0x202e)
        .chain(0x2066..=0x2069)
        .chain([0xad, 0x61c, 0x180e, 0x3164, 0xe0041])
        .filter_map(char::from_u32)
    {
        let shown = printable(&c.to_string());
        let harmless = |c: char| !crate::call::is_unseen(c);
        assert!(matches!(c, '\n' | '\t') || shown.chars().all(harmless), "{c:?}");
    }
    assert_eq!(printable("grün 日本 \u{1f600}"), "grün 日本 \u{1f600}");
}

#[tokio::test]
async fn erasing_takes_the_bytes_out_of_the_files_and_leaves_the_proofs() {
    if testing::on_server() {
        return; // what is tested is the file
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, ids) = some_calls(folder.path()).await;
    let mut reader = bench.store.reader().await.expect("a reader");
    let salts: Vec<Vec<u8>> = reader
        .call(&ids[1])
        .await
        .expect("records")
        .into_iter()
        .filter_map(|(_, payload)| payload.map(|payload| payload.salt))
        .collect();
    reader.close().await.expect("closed");
    assert_eq!(salts.len(), 1);
    let in_files = |needle: &[u8]| {
        std::fs::read_dir(folder.path())
            .expect("the folder")
            .any(|entry| {
                let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
                bytes.windows(needle.len()).any(|window| window == needle)
            })
    };
    assert!(in_files(&salts[0]));
    let erased = bench
        .audit
        .erase(&Erase::Call(ids[1].clone()), &format!("request 12 of {SECRET}"))
        .await
        .expect("erased");
    assert_eq!(erased, 1);
    assert!(!in_files(&salts[0]), "the salt is gone from the file and its log");
    assert_eq!(
        show(&bench.store, &ids[1]).await.expect("there").kept,
        Some(Kept::Gone)
    );
    let report = bench.verify().await;
    assert!(report.intact, "{report:?}");
    assert_eq!((report.erased, report.payloads), (1, 6));
    let last = bench.records().await.pop().expect("a record");
    assert_eq!(last["config"]["event"], "erased");
    assert_eq!(last["config"]["reason"], "request 12 of [masked]");
    assert!(matches!(
        bench.audit.erase(&Erase::Call("nope".into()), "x").await,
        Err(AuditError::UnknownCall(_))
    ));
}

#[tokio::test]
async fn old_payloads_are_erased_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bench, ids) = some_calls(folder.path()).await;
    let results = RecordFilter {
        phase: Some("result".into()),
        ..outcomes()
    };
    let edge = bench.listed(results).await[3].at.clone();
    let erased = bench
        .audit
        .erase(&Erase::Before(edge.clone()), "retention")
        .await
        .expect("erased");
    assert_eq!(erased, 3);
    assert_eq!(
        bench
            .audit
            .erase(&Erase::Before(edge), "retention")
            .await
            .expect("nothing left"),
        0
    );
    let report = bench.verify().await;
    assert!(report.intact, "{report:?}");
    assert_eq!((report.erased, report.payloads), (3, 4));
    let last = show(&bench.store, &ids[3]).await.expect("there").kept;
    assert!(matches!(last, Some(Kept::Held { .. })));
}

#[tokio::test]
async fn large_and_small_answers_come_back_whole_from_one_compressor() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench(folder.path(), Options::default()).await;
    for size in [0, 1, 70_000, 3, 33_000, 2_000_000, 10] {
        let text: String = (0..size)
            .map(|n: u32| char::from(b'a' + (n.wrapping_mul(n) % 26) as u8))
            .collect();
        let (call_id, _) = bench.call(Action::FileRead, &text).await;
        let Some(Kept::Held { offered }) = show(&bench.store, &call_id).await.expect("there").kept else {
            panic!("{size} bytes are kept");
        };
        assert!(
            offered.text == text && offered.structured["data"]["text"] == text.as_str(),
            "{size}"
        );
    }
    assert_eq!(bench.verify().await.payloads, 7);
}
