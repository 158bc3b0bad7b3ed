//! SQLite through its public face. What needs the inside (the attempts, the locks, the bounds) is
//! tested beside the adapter, in `src/resource/sql/sqlite/tests`.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test it helps")]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::request::{SqlExecute, SqlQuery, SqlSchema};
use tollgate::call::{Action, CallId, Code, Hash, Invocation, Limits, Request, Target};
use tollgate::clock::System;
use tollgate::resource::sql::sqlite::{Database, Spec};
use tollgate::resource::sql::{ColumnsDefault, MaskStyle};

fn spec(folder: &tempfile::TempDir) -> Spec {
    let path = folder.path().join("shop.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, city TEXT)")
        .unwrap();
    let columns = [
        ("people.id", "public"),
        ("people.email", "email"),
        ("people.city", "public"),
    ];
    Spec {
        name: "shop".to_owned(),
        path,
        columns: columns
            .map(|(column, class)| (column.to_owned(), class.to_owned()))
            .into(),
        columns_default: ColumnsDefault::Mask,
        classes: BTreeMap::from([("email".to_owned(), MaskStyle::Constant)]),
        tokens: None,
        limits: Limits {
            rows: 100,
            bytes: 10_000,
            seconds: 5,
        },
    }
}

fn invocation(action: Action, request: Request) -> Invocation {
    Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: "sql_query".to_owned(),
        action,
        resource: Some("shop".to_owned()),
        request,
        arguments: json!({}),
        request_key: Hash::of(b"test"),
    }
}

fn query(statement: &str) -> Invocation {
    let request = SqlQuery {
        lookup: None,
        resource: "shop".to_owned(),
        statement: statement.to_owned(),
        parameters: None,
        limit: None,
        cursor: None,
    };
    invocation(Action::SqlRead, Request::SqlQuery(request))
}

#[tokio::test]
async fn inspection_tells_policy_what_would_be_touched_and_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(spec(&folder), Arc::new(System::new())).unwrap();
    let cancel = CancellationToken::new();
    let facts = database
        .inspect(&query("SELECT city FROM people WHERE email = 'x'"), &cancel)
        .await
        .unwrap();
    assert_eq!(facts.action, Action::SqlRead);
    assert!(
        matches!(
            facts.target,
            Target::Sqlite {
                schema_version: 1,
                ..
            }
        ),
        "{:?}",
        facts.target
    );
    let sql = facts.sql.unwrap();
    assert_eq!(Vec::from_iter(sql.columns), ["people.city", "people.email"]);
    let classified: Vec<_> = facts
        .classified
        .iter()
        .map(|c| (c.class.as_str(), c.column.as_str()))
        .collect();
    assert_eq!(classified, [("email", "people.email")]);
}

#[tokio::test]
async fn describing_names_every_classified_column_so_that_policy_can_reveal_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(spec(&folder), Arc::new(System::new())).unwrap();
    let request = |table: Option<&str>| SqlSchema {
        resource: "shop".to_owned(),
        table: table.map(str::to_owned),
    };
    let cancel = CancellationToken::new();
    for (table, classified) in [(None, 1), (Some("people"), 1), (Some("nothing"), 0)] {
        let asked = invocation(Action::Describe, Request::SqlSchema(request(table)));
        let facts = database.inspect(&asked, &cancel).await.unwrap();
        assert_eq!(
            (facts.action, facts.classified.len()),
            (Action::Describe, classified)
        );
    }
}

#[tokio::test]
async fn what_is_not_a_read_is_refused_before_policy_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(spec(&folder), Arc::new(System::new())).unwrap();
    let cancel = CancellationToken::new();
    let refusal = database
        .inspect(&query("DELETE FROM people"), &cancel)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, Code::WrongTool);
    let refusal = database
        .inspect(&query("SELECT load_extension('x')"), &cancel)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, Code::StatementRefused);
}

/// A policy about a table holds for every view of it.
#[tokio::test]
async fn tables_are_those_behind_views() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(&folder);
    let file = rusqlite::Connection::open(&spec.path).unwrap();
    file.execute_batch(
        "CREATE VIEW cities AS SELECT city FROM people; CREATE VIEW again AS SELECT city FROM cities",
    )
    .unwrap();
    drop(file);
    let database = Database::open(spec, Arc::new(System::new())).unwrap();
    let cancel = CancellationToken::new();
    for statement in [
        "SELECT city FROM again",
        "SELECT count(*) FROM again",
        "SELECT 1 FROM [Again]",
        "SELECT count(*) FROM (SELECT 1), 'again'",
        "SELECT count(*) FROM people JOIN \"again\"",
    ] {
        let facts = database.inspect(&query(statement), &cancel).await;
        let tables = facts.unwrap().sql.unwrap().tables;
        assert!(
            tables.contains("people") && tables.contains("again"),
            "{statement}: {tables:?}"
        );
    }
    let facts = database
        .inspect(&query("SELECT city FROM people WHERE city <> 'again'"), &cancel)
        .await;
    assert!(!facts.unwrap().sql.unwrap().tables.contains("again"), "a value");
}

#[tokio::test]
async fn two_statements_in_any_argument_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(spec(&folder), Arc::new(System::new())).unwrap();
    let cancel = CancellationToken::new();
    let second = "DELETE FROM people";
    for joint in ["; ", ";", " ;\n", "; --\n", ";/**/", "; COMMIT; "] {
        for first in [
            "SELECT 1",
            "SELECT city FROM people",
            "DELETE FROM people WHERE id = 1",
        ] {
            let text = format!("{first}{joint}{second}");
            let change = Request::SqlExecute(SqlExecute {
                resource: "shop".to_owned(),
                statement: text.clone(),
                parameters: None,
                reason: None,
            });
            for asked in [query(&text), invocation(Action::SqlWrite, change)] {
                let refusal = database.inspect(&asked, &cancel).await.unwrap_err();
                assert_eq!(refusal.code, Code::StatementRefused, "{text}: {refusal:?}");
            }
        }
    }
    let asked = SqlSchema {
        resource: "shop".to_owned(),
        table: Some(format!("people; {second}")),
    };
    let facts = database
        .inspect(&invocation(Action::Describe, Request::SqlSchema(asked)), &cancel)
        .await
        .unwrap();
    assert!(facts.classified.is_empty(), "no table has such a name");
}
