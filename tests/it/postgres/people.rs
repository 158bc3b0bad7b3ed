//! Who asks reaches the database; what they are shown is what policies say.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;

use super::{Stand, query};
use crate::support::until;

#[tokio::test]
async fn the_person_reaches_row_level_security_and_the_call_the_servers_log() {
    let stand = Stand::with(
        "CREATE TABLE notes (owner text, body text);
         INSERT INTO notes VALUES ('corp#u-1', 'mine'), ('corp#u-2', 'theirs');
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON notes USING (owner = current_setting('app.user', true))",
        |spec| {
            spec.session = Some("app.user".to_owned());
            spec.columns.insert("notes.body".to_owned(), "public".to_owned());
        },
    )
    .await;
    for _ in 0..3 {
        assert_eq!(stand.rows("SELECT body FROM notes").await, json!([["mine"]]));
    }
    for statement in [
        "SELECT set_config('app.user', 'corp#u-2', true), body FROM notes",
        "SET app.user = 'corp#u-2'",
        "RESET ALL",
    ] {
        assert_eq!(
            stand.refused(statement).await.0,
            "statement_refused",
            "{statement}"
        );
    }
    let log = stand.server.log();
    let named = regex::Regex::new(r"\[tollgate[a-z0-9]{32}\] LOG: .*DECLARE").unwrap();
    assert!(named.is_match(&log), "{log}");
    assert!(!log.contains("[u-1"), "nothing a person is called");
    // Whatever a call has set is gone after it.
    until("every connection rests", async || {
        let busy = stand.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND (state <> 'idle' OR application_name <> 'tollgate')");
        (busy == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_policy_shows_what_nobody_else_sees_and_masks_decide_everything_else() {
    let stand = Stand::new("").await;
    let cancel = CancellationToken::new();
    let email = "SELECT email FROM customers ORDER BY id LIMIT 1";
    let seen = stand
        .call(&["dba"], Request::SqlQuery(query(email)), &cancel)
        .await;
    assert!(
        seen["data"]["rows"][0][0]
            .as_str()
            .unwrap()
            .contains("one@shop.example")
            || seen["masked"].is_array(),
        "{seen}"
    );
    let length = query("SELECT length(email), name FROM customers ORDER BY id LIMIT 1");
    let seen = stand.call(&["dba"], Request::SqlQuery(length), &cancel).await;
    assert_eq!(
        seen["data"]["rows"],
        json!([[16, "***"]]),
        "the address itself, and not the name: {seen}"
    );
    for (statement, rows) in [
        (email, json!([["***"]])),
        (
            "SELECT * FROM customers WHERE id = 1",
            json!([[1, "***", "***", "Oslo", null]]),
        ),
        ("SELECT length(email) FROM customers WHERE id = 1", json!([[3]])),
        (
            "SELECT id FROM customers WHERE email = 'one@shop.example'",
            json!([]),
        ),
        ("SELECT id FROM customers WHERE email LIKE '%shop%'", json!([])),
        ("SELECT count(DISTINCT email) FROM customers", json!([[1]])),
        (
            "SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id = 12",
            json!([[2]]),
        ),
        (
            "SELECT max(email), min(name) FROM customers",
            json!([["***", "***"]]),
        ),
        ("SELECT (c).email FROM customers c WHERE id = 2", json!([["***"]])),
        (
            "SELECT c::text FROM customers c WHERE id = 3",
            json!([["(3,***,***,,)"]]),
        ),
        (
            "SELECT to_jsonb(c)->>'email' FROM customers c WHERE id = 3",
            json!([["***"]]),
        ),
        (
            "WITH customers AS (SELECT email FROM public.customers) SELECT DISTINCT email FROM customers",
            json!([["***"]]),
        ),
        ("SELECT email FROM ONLY customers WHERE id = 1", json!([["***"]])),
        (
            "SELECT id FROM customers ORDER BY email DESC, id",
            json!([[1], [2], [3]]),
        ),
    ] {
        let answer = stand.query(statement).await;
        let given = answer["data"]["rows"].to_string();
        // A masked date is NULL or a constant: whatever it is, it is not one of those that are stored.
        let same =
            answer["data"]["rows"] == rows || statement.contains("* FROM") || statement.contains("::text");
        assert!(same, "{statement}: {answer}");
        for value in ["shop.example", "Customer", "1990", "1980", "1970"] {
            assert!(!given.contains(value), "{statement}: {answer}");
        }
    }
    let answer = stand.query(email).await;
    let told = answer["masked"].to_string();
    assert!(told.contains("customers.email"), "{answer}");
    // The recommended role: it may read the public columns alone, and every mask still works.
    stand.sql("REVOKE SELECT ON customers FROM reader; GRANT SELECT (id, city) ON customers TO reader");
    let answer = stand
        .rows("SELECT id, email, name, city FROM customers WHERE id = 1")
        .await;
    assert_eq!(answer, json!([[1, "***", "***", "Oslo"]]));
}
