//! Policies that change while calls run, and policies that are only tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::support::process::{Process, history, phase, tollgate, verify};
use crate::support::site::{ANALYSTS, Site, envelope};
use crate::support::until;

const SHUT: &str = r#"@id("dbas") permit (principal in Tollgate::Group::"dba",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"shop");"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_set_changes_nothing_and_a_good_one_decides_from_then_on_while_calls_run() {
    let mut site = Site::for_process().await;
    site.set_policies(ANALYSTS);
    let server = Process::serve(&mut site, &[]).await;
    let (stop, shut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let answered = Arc::new(AtomicU64::new(0));
    let calls = {
        let client = site.client_in("ana", &["analyst"]);
        let (stop, shut, answered) = (Arc::clone(&stop), Arc::clone(&shut), Arc::clone(&answered));
        tokio::spawn(async move {
            let one = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
            while !stop.load(Ordering::SeqCst) {
                let may_fail = shut.load(Ordering::SeqCst);
                match client.call("sql_query", one.clone()).await {
                    Ok(result) => assert_eq!(envelope(&result)["data"]["rows"], json!([[8000]]), "{result}"),
                    Err(error) => assert!(may_fail && error.to_string().contains("Unknown tool"), "{error}"),
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let more = async |count: u64| {
        let now = answered.load(Ordering::SeqCst);
        until("calls", async || {
            (answered.load(Ordering::SeqCst) >= now + count).then_some(())
        })
        .await;
    };
    more(3).await;

    let file = site.dir.path().join("policies/all.cedar");
    for bad in [
        SHUT.strip_suffix(";").unwrap(),
        &SHUT.replace("dba", "nobody-knows"),
        &SHUT.replace("@id", "@ident"),
    ] {
        std::fs::write(&file, bad).unwrap();
        let reload = tollgate(&site, &["policy", "reload"]);
        let said = String::from_utf8(reload.stderr).unwrap() + &String::from_utf8(reload.stdout).unwrap();
        assert_eq!(reload.status.code(), Some(1), "{said}");
        assert!(said.contains("all.cedar"), "{said}");
        more(3).await;
    }
    shut.store(true, Ordering::SeqCst);
    std::fs::write(&file, SHUT).unwrap();
    let reload = tollgate(&site, &["policy", "reload", "--json"]);
    assert_eq!(
        reload.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&reload.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&reload.stdout).unwrap();
    assert_eq!(report["accepted"], json!(true), "{report}");
    let dba = site.client_in("dora", &["dba"]);
    let one = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    let allowed = dba.call("sql_query", one.clone()).await.unwrap();
    assert_eq!(envelope(&allowed)["status"], json!("ok"), "{allowed}");
    let analyst = site.client_in("ana", &["analyst"]);
    assert!(
        analyst.call("sql_query", one).await.is_err(),
        "the new set decides"
    );
    stop.store(true, Ordering::SeqCst);
    calls.await.unwrap();

    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    let call = envelope(&allowed)["call_id"].as_str().unwrap();
    let decided = history(&site, call).await["records"][1]["policy"].clone();
    assert_eq!(decided["ids"], json!(["dbas"]));
    assert_eq!(
        decided["digest"], report["digest"],
        "the record names the set that decided"
    );
    assert_eq!(phase(&site, "config").await.len(), 5, "the start and each reload");
    assert_eq!(verify(&site, &[])["intact"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_candidate_would_decide_otherwise_is_on_record_and_decides_nothing() {
    let mut site = Site::new().await;
    site.set_policies(ANALYSTS);
    let candidate = site.dir.path().join("candidate");
    std::fs::create_dir(&candidate).unwrap();
    std::fs::write(candidate.join("all.cedar"), SHUT).unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text = text.replace(
        "dir = \"policies\"",
        "dir = \"policies\"\ncandidate = \"candidate\"",
    );
    std::fs::write(site.config(), text).unwrap();
    let server = site.serve().await;
    let one = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    let answered = site
        .client_in("ana", &["analyst"])
        .call("sql_query", one.clone())
        .await
        .unwrap();
    assert_eq!(
        envelope(&answered)["status"],
        json!("ok"),
        "the candidate would have said no"
    );
    let both = site
        .client_in("eve", &["analyst", "dba"])
        .call("sql_query", one.clone())
        .await
        .unwrap();
    assert_eq!(envelope(&both)["status"], json!("ok"));
    let dba = site.client_in("dora", &["dba"]).call("sql_query", one).await;
    assert!(dba.is_err(), "the candidate would have said yes");
    server.stop().await;

    let differing = phase(&site, "decision").await;
    assert_eq!(
        differing.len(),
        1,
        "one call was decided otherwise: {differing:?}"
    );
    assert_eq!(
        differing[0].call_id.as_deref(),
        envelope(&answered)["call_id"].as_str()
    );
    let records = history(&site, differing[0].call_id.as_ref().unwrap()).await["records"].clone();
    let record = records
        .as_array()
        .unwrap()
        .iter()
        .find(|record| record["phase"] == json!("decision"))
        .unwrap();
    assert_eq!(record["candidate"]["verdict"], json!("deny"), "{record}");
    assert_eq!(record["outcome"]["status"], json!("permit"), "{record}");
}
