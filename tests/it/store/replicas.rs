//! Two replicas that serve at once.

use futures::future::join_all;
use serde_json::{Value, json};

use super::Two;
use crate::effects::{RAISE, change, changed, dan, pending, prices, ran, wait};
use crate::support::process::verify;
use crate::support::site::envelope;
use crate::support::until;

fn read(number: usize) -> Value {
    json!({ "resource": "shop", "statement": format!("SELECT {number}") })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_write_one_journal_without_a_gap() {
    let mut two = Two::new(0).await;
    let (here, there) = (two.serve_here().await, two.serve_there().await);
    let agent = dan(two.site());
    let other = two.there(&agent);
    let calls = (0..60).map(|number| {
        let agent = if number % 2 == 0 { &agent } else { &other };
        agent.call("sql_query", read(number))
    });
    for answer in join_all(calls).await {
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    }
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
    assert!(report["records"].as_u64().unwrap() >= 120, "{report}");
    let boots = two.sql("SELECT count(*) FROM tollgate.replica");
    assert_eq!(boots, "2", "both have written");
    assert_eq!(
        two.sql("SELECT count(*) = max(seq) + 1 AND min(seq) = 0 FROM tollgate.journal"),
        "t"
    );
    for server in [here, there] {
        server.terminate();
        assert!(server.exit().await.success());
    }
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
    for log in ["serve.log", "there.log"] {
        let log = std::fs::read_to_string(two.site().dir.path().join(log)).unwrap();
        assert!(!log.contains(super::SECRET), "{log}");
    }
}

/// Whoever comes first of all who ask at both replicas at once makes the change; the others are given its answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_decided_at_one_and_spent_once_over_both() {
    let mut two = Two::new(0).await;
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let lea = two.all.person("lea", &["dba"]);
    for round in 0..3 {
        let raise = format!("{RAISE} AND id > -{}", round + 1);
        let before = prices(two.site());
        let agent = dan(two.site());
        let other = two.there(&agent);
        let id = pending(&agent.call("sql_execute", change(&raise)).await);
        let sheet = lea.asked().await;
        let decided = join_all([lea.try_approve(&sheet), lea.try_approve(&sheet)]).await;
        let taken = decided.iter().filter(|(status, _)| *status == 200).count();
        assert_eq!(taken, 1, "{decided:?}");
        let racing = (0..8).map(|number| {
            let agent = if number % 2 == 0 { &agent } else { &other };
            agent.call("approval_wait", wait(&id))
        });
        let answers = join_all(racing).await;
        // A token that names no session is another one at each replica: there the answer is not given again.
        let made = |answer: &&Value| envelope(answer)["status"] == "ok";
        let first = answers
            .iter()
            .filter(made)
            .filter(|answer| envelope(answer)["repeats"].is_null());
        assert_eq!(first.clone().count(), 1, "{answers:?}");
        first.for_each(|answer| changed(answer, 3));
        assert_eq!(prices(two.site()), before + 300, "once");
        assert_eq!(ran(two.site(), "sql_execute").await.len(), round + 1);
        let spent = format!(
            "SELECT count(*) FROM tollgate.approval_event WHERE word = 'spent' AND approval = '{id}'"
        );
        assert_eq!(two.sql(&spent), "1");
    }
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// A replica of the version before goes on beside one that has added to the tables, and a new one of it does not start.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_replica_goes_on_beside_a_newer_store_without_a_refused_call() {
    let mut two = Two::new(0).await;
    let here = two.serve_here().await;
    let agent = dan(two.site());
    let during = async {
        for number in 0..40 {
            let answer = agent.call("sql_query", read(number)).await;
            assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
        }
    };
    let newer = async {
        two.sql(
            "BEGIN; ALTER TABLE tollgate.approval ADD COLUMN newer TEXT; ALTER TABLE tollgate.journal ADD COLUMN newer \
             TEXT; CREATE TABLE tollgate.newer (id BIGINT); INSERT INTO tollgate._sqlx_migrations (version, \
             description, success, checksum, execution_time) VALUES (9999, 'newer', true, '', 0); COMMIT",
        );
    };
    tokio::join!(during, newer);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    let lea = two.all.person("lea", &["dba"]);
    lea.approve(&lea.asked().await).await;
    changed(&agent.call("approval_wait", wait(&id)).await, 3);
    let refused = crate::support::process::tollgate(two.site(), &["store", "migrate"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("a newer Tollgate has written it"), "{said}");
    here.terminate();
    assert!(here.exit().await.success());
}

/// Two replicas change places one after the other while agents go on at whichever is up: nothing is refused.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_replaced_one_by_one_without_a_refused_call() {
    let mut two = Two::new(0).await;
    let mut here = two.serve_here().await;
    let there = two.serve_there().await;
    let agent = dan(two.site());
    let other = two.there(&agent);
    let call = async |agent: &crate::support::agent::Agent, number: usize| {
        let answer = agent.call("sql_query", read(number)).await;
        assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    };
    for number in 0..5 {
        call(&agent, number).await;
        call(&other, number).await;
    }
    here.terminate();
    let ended = async { here.exit().await };
    let going = async {
        for number in 0..20 {
            call(&other, number).await;
        }
    };
    assert!(tokio::join!(ended, going).0.success());
    here = two.serve_here().await;
    there.terminate();
    let ended = async { there.exit().await };
    let going = async {
        for number in 0..20 {
            call(&agent, number).await;
        }
    };
    assert!(tokio::join!(ended, going).0.success());
    drop(here);
    assert_eq!(verify(two.site(), &[])["problem_count"], json!(0));
}

/// What a killed replica was at is on record as interrupted, by the one that goes on, once the killed one was not
/// seen for a minute (here its last sign of life is moved back).
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_buried_by_the_other() {
    let mut two = Two::new(0).await;
    two.all.site.allow_long_statements();
    let here = two.serve_here().await;
    let agent = dan_as_analyst(&two);
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let asked = json!({ "resource": "shop", "statement": endless });
    let killed = async {
        until("the call is under way", async || {
            (two.sql("SELECT count(*) FROM tollgate.open_call") == "1").then_some(())
        })
        .await;
        here.kill();
    };
    // The connection breaks: there is no answer.
    let broken = tokio::spawn(async move { agent.call("sql_query", asked).await });
    killed.await;
    assert!(broken.await.is_err());
    let _there = two.serve_there().await;
    assert_eq!(
        two.sql("SELECT count(*) FROM tollgate.open_call"),
        "1",
        "perhaps it lives"
    );
    two.sql("UPDATE tollgate.replica SET seen_at = seen_at - 100000 WHERE boot IN (SELECT boot FROM tollgate.open_call)");
    until("it is buried", async || {
        (two.sql("SELECT count(*) FROM tollgate.open_call") == "0").then_some(())
    })
    .await;
    let report = verify(two.site(), &[]);
    assert_eq!(report["problem_count"], json!(0), "{report}");
    assert_eq!(
        report["interrupted"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
}

/// One person's seats are one number over both replicas, and all of one when the other has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_persons_seats_are_shared_by_the_replicas_that_serve() {
    let mut two = Two::new(0).await;
    two.all.site.allow_long_statements();
    for file in [two.site().config(), two.there.clone()] {
        let text = std::fs::read_to_string(&file).unwrap();
        let limits = "[limits]\ncalls_per_person = 2\n";
        let text = match text.contains("[limits]\n") {
            true => text.replacen("[limits]\n", limits, 1),
            false => format!("{text}\n{limits}"),
        };
        std::fs::write(&file, text).unwrap();
    }
    let _here = two.serve_here().await;
    let agent = dan_as_analyst(&two);
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let asked = json!({ "resource": "shop", "statement": endless });
    let other = agent.clone();
    let _endless = tokio::spawn(async move { other.call("sql_query", asked).await });
    until("the call is under way", async || {
        (two.sql("SELECT count(*) FROM tollgate.open_call") == "1").then_some(())
    })
    .await;
    assert_eq!(envelope(&agent.call("sql_query", read(1)).await)["status"], "ok");
    let there = two.serve_there().await;
    until("here knows of there", async || {
        let answer = agent.call("sql_query", read(2)).await;
        (envelope(&answer)["refusal"]["code"] == "overloaded").then_some(())
    })
    .await;
    let answer = two.there(&agent).call("sql_query", read(3)).await;
    assert_eq!(envelope(&answer)["status"], "ok", "{answer}");
    there.terminate();
    assert!(there.exit().await.success());
    until("here knows that it is alone", async || {
        let answer = agent.call("sql_query", read(4)).await;
        (envelope(&answer)["status"] == "ok").then_some(())
    })
    .await;
}

fn dan_as_analyst(two: &Two) -> crate::support::agent::Agent {
    crate::support::agent::Agent::new(two.site(), "ann", &["analyst"])
}

/// A commit of one process is told to the others, also after the database was away.
#[tokio::test]
async fn a_change_wakes_the_others() {
    use tollgate::store::rows::Rows;
    use tollgate::store::{Store, Tuning};
    let mut pg = super::server().await;
    let tuning = Tuning {
        password: Some(std::sync::Arc::new(tollgate::secret::Secret::new(
            super::SECRET.to_owned(),
        ))),
        ..Tuning::default()
    };
    let url = pg.url("tollgate", "gate");
    let here = Store::open(&url, &tuning).await.unwrap();
    let there = Store::open(&url, &tuning).await.unwrap();
    let changes = here.changes();
    let changed = async || {
        let rows = Rows::new(there.clone());
        let mut changed = std::pin::pin!(changes.next());
        until("it is told", async || {
            let mut tx = rows.write().await.ok()?;
            tx.client_used("nobody", 1).await.ok()?;
            tx.commit().await.ok()?;
            futures::poll!(&mut changed).is_ready().then_some(())
        })
        .await;
    };
    changed().await;
    changed().await;
    pg.stop(true);
    pg.again().await;
    changed().await;
    let other = Store::open(&format!("{url}?schema=other"), &tuning)
        .await
        .unwrap();
    let quiet = other.changes();
    changed().await;
    // It hears that it listens, and nothing of another schema.
    quiet.next().await;
    changed().await;
    assert!(futures::poll!(std::pin::pin!(quiet.next())).is_pending());
}

/// What one person looks up is counted over both replicas, and nobody's record has the value.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_are_counted_over_both_replicas_and_their_values_are_nowhere() {
    let policies = |also: &str| {
        let read = "Tollgate::Action::\"sql_read\"";
        format!(
            "@id(\"reads\") permit (principal in Tollgate::Group::\"analyst\", action in [{read}{also}], resource);"
        )
    };
    let mut two = Two::new(0).await;
    for file in [two.site().config(), two.there.clone()] {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replacen("\nemail = \"constant\"", "\nemail = \"token\"", 1);
        assert!(text.contains("\nemail = \"token\""), "{text}");
        let limits = "[limits]\nlookups_per_hour = 3\n";
        let text = match text.contains("[limits]\n") {
            true => text.replacen("[limits]\n", limits, 1),
            false => format!("{text}\n{limits}"),
        };
        std::fs::write(&file, text).unwrap();
    }
    let value = "nobody.at.all@shop.example";
    let asked = |statement: &str| json!({ "resource": "shop", "statement": statement, "lookup": { "column": "customers.email", "value": value } });
    let finds = asked("SELECT id FROM customers WHERE email = :lookup");
    two.site().set_policies(&policies(""));
    let agent = dan_as_analyst(&two);
    {
        let here = two.serve_here().await;
        let answer = agent.call("sql_query", finds.clone()).await;
        let denied = envelope(&answer);
        assert_eq!(denied["refusal"]["code"], "not_permitted", "{denied}");
        here.terminate();
        assert!(here.exit().await.success());
    }
    two.site()
        .set_policies(&policies(", Tollgate::Action::\"lookup\""));
    let (_here, _there) = (two.serve_here().await, two.serve_there().await);
    let other = two.there(&agent);
    let racing = (0..8).map(|number| {
        let agent = if number % 2 == 0 { &agent } else { &other };
        agent.call("sql_query", finds.clone())
    });
    let answers = join_all(racing).await;
    let codes: Vec<Value> = answers
        .iter()
        .map(|answer| envelope(answer)["refusal"]["code"].clone())
        .collect();
    let found = codes.iter().filter(|code| code.is_null()).count();
    let spent = codes.iter().filter(|code| **code == "limit_exceeded").count();
    assert_eq!((found, spent), (3, 5), "{answers:?}");
    // Without one, and refused before anything is decided: neither is counted, and neither is told.
    assert_eq!(envelope(&agent.call("sql_query", read(1)).await)["status"], "ok");
    for wrong in [
        json!(value),
        json!({ "column": "customers.email", "value": [value] }),
        json!({ "value": value }),
    ] {
        let asked = json!({ "resource": "shop", "statement": "SELECT 1", "lookup": wrong });
        let answer = agent.call("sql_query", asked).await;
        let answer = envelope(&answer);
        assert_eq!(answer["refusal"]["code"], "invalid_arguments", "{answer}");
        assert!(!answer.to_string().contains("nobody.at.all"), "{answer}");
    }
    let answer = other.call("sql_query", asked("SELECT :lookup")).await;
    let echo = envelope(&answer);
    assert_eq!(echo["refusal"]["code"], "statement_refused", "{echo}");
    let kept = two.sql("SELECT string_agg(convert_from(record, 'UTF8'), E'\\n') FROM tollgate.journal");
    assert!(
        kept.contains("\"value\":\"hmac:") && kept.contains("customers.email"),
        "{kept}"
    );
    assert!(
        kept.contains("[masked:lookup]") && !kept.contains("nobody.at.all"),
        "{kept}"
    );
    assert!(!kept.contains("[masked:email]"), "not by luck: {kept}");
    for log in ["serve.log", "there.log"] {
        let log = std::fs::read_to_string(two.site().dir.path().join(log)).unwrap();
        assert!(!log.contains("nobody.at.all"), "{log}");
    }
    assert_eq!(two.sql("SELECT spent FROM tollgate.lookup_spent"), "3");
}
