//! Who asks reaches the database, and the server's own log names the call.

use serde_json::json;

use super::Stand;

#[tokio::test]
async fn the_person_reaches_the_database_and_the_call_the_servers_log() {
    let notes = "CREATE TABLE notes (owner varchar(50), body text);
        INSERT INTO notes VALUES ('corp#u-1', 'mine'), ('corp#u-2', 'theirs');
        CREATE FUNCTION person() RETURNS varchar(50) NO SQL RETURN @app_user;
        CREATE VIEW own_notes AS SELECT body FROM notes WHERE owner = person();
        CREATE USER IF NOT EXISTS 'tollgate_views'@'localhost' ACCOUNT LOCK;
        GRANT EXECUTE ON FUNCTION shop.person TO 'tollgate_views'@'localhost'";
    let stand = Stand::with(notes, |spec| {
        spec.session = Some("app_user".to_owned());
        spec.columns
            .insert("own_notes.body".to_owned(), "public".to_owned());
    })
    .await;
    for _ in 0..3 {
        assert_eq!(stand.rows("SELECT body FROM own_notes").await, json!([["mine"]]));
    }
    for statement in [
        "SET @app_user = 'corp#u-2'",
        "SELECT @app_user := 'corp#u-2', body FROM own_notes",
        "SELECT @app_user",
    ] {
        assert_eq!(
            stand.refused(statement).await.0,
            "statement_refused",
            "{statement}"
        );
    }
    let log = stand.server.log();
    for what in ["Prepare", "Execute"] {
        let named = format!(r"{what}\s/\* tollgate [a-z0-9]{{32}} \*/ SELECT .*own_notes");
        assert!(regex::Regex::new(&named).unwrap().is_match(&log), "{what}: {log}");
    }
    // Every call has a connection on which nothing was done before.
    let calls = regex::Regex::new(r"(?m)(\d+) (?:Prepare|Execute)\s/\* tollgate ").unwrap();
    let mut connections: Vec<&str> = calls
        .captures_iter(&log)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    let all = connections.len();
    connections.dedup();
    assert_eq!(
        connections.len() * 2,
        all,
        "each is prepared and executed once: {log}"
    );
}
