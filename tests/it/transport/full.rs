//! A journal that cannot grow.

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::process::{Process, assert_on_record, phase, verify};
use crate::support::site::{Site, envelope};
use crate::support::until;

/// No file of the server may grow from now on, or each may again.
fn bound_files(server: &Process, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(server.pid()), Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_can_be_recorded_nothing_is_answered_and_later_it_is_again() {
    let mut site = Site::for_process().await;
    let server = Process::serve_bounded(&mut site).await;
    let client = site.client_in("ana", &["analyst", "developer"]);
    let read = json!({ "resource": "code", "path": "README.md" });
    let before = client.call("file_read", read.clone()).await.unwrap();
    assert_eq!(envelope(&before)["status"], json!("ok"));

    bound_files(&server, Some(0));
    let recorded = phase(&site, "result").await.len();
    for _ in 0..5 {
        let refused = client.call("file_read", read.clone()).await.unwrap();
        assert_eq!(
            envelope(&refused)["refusal"]["code"],
            json!("audit_unavailable"),
            "{refused}"
        );
        assert_eq!(envelope(&refused)["refusal"]["retry"], json!(true));
        assert!(
            envelope(&refused)
                .get("data")
                .is_none_or(serde_json::Value::is_null),
            "{refused}"
        );
    }
    assert_eq!(phase(&site, "result").await.len(), recorded);

    bound_files(&server, None);
    let after = until("an answer again", async || {
        let result = client.call("file_read", read.clone()).await.unwrap();
        (envelope(&result)["status"] == json!("ok")).then_some(result)
    })
    .await;
    for result in [&before, &after] {
        assert_on_record(&site, result).await;
    }
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    let report = verify(&site, &[]);
    assert_eq!(report["intact"], json!(true), "{report}");
    assert_eq!(report["unsigned"], json!(0));
}
