//! A second opinion on columns: an account that may read every column but the classified ones of the tables themselves, so the
//! server itself says which statements read one of these. It has to agree with the guard.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Executor, SqlSafeStr};
use tokio_util::sync::CancellationToken;
use tollgate::call::{CallId, Request};

use super::analyst::statements;
use super::twins::{leaks, twin};
use super::{PASSWORD, Stand, asked, query};

/// An account with rights to what is public, on the tables and views themselves.
async fn limited(stand: &Stand) -> MySqlConnection {
    let mut public: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (column, _) in stand.spec.columns.iter().filter(|(_, class)| *class == "public") {
        let (table, name) = column.split_once('.').unwrap();
        public.entry(table).or_default().push(format!("`{name}`"));
    }
    stand.sql(&format!("CREATE USER limited IDENTIFIED BY '{PASSWORD}'"));
    for (table, names) in public {
        stand.sql(&format!(
            "GRANT SELECT ({}) ON shop.`{table}` TO limited",
            names.join(", ")
        ));
    }
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(stand.spec.url.port().unwrap())
        .username("limited")
        .password(PASSWORD)
        .database("shop")
        .pipes_as_concat(false)
        .ssl_mode(MySqlSslMode::Preferred); // MySQL asks for the password itself over TLS alone
    let mut conn = options.connect().await.unwrap();
    let mode = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";
    sqlx::raw_sql(mode).execute(&mut conn).await.unwrap();
    conn
}

/// Whether the server denies a statement for want of a right; nothing if it cannot read it at all.
async fn denied(conn: &mut MySqlConnection, statement: &str) -> Option<bool> {
    let text = sqlx::AssertSqlSafe(statement.to_owned()).into_sql_str();
    let Err(error) = conn.prepare(text).await else {
        return Some(false);
    };
    let number = match &error {
        sqlx::Error::Database(error) => error.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number(),
        _ => panic!("{statement}: {error}"),
    };
    // ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR.
    matches!(number, 1142 | 1143).then_some(true)
}

#[tokio::test]
async fn the_server_refuses_exactly_what_reads_a_column_that_the_guard_calls_classified() {
    let stand = twin(true).await;
    let mut limited = limited(&stand).await;
    let public = |column: &&String| {
        stand
            .spec
            .columns
            .get(*column)
            .is_some_and(|class| class == "public")
    };
    // What a view reads is read with its definer's rights: the server says nothing of the columns behind it.
    let views = "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'shop'";
    let views = stand.sql(views);
    let views: BTreeSet<&str> = views.lines().collect();
    let of_view = |column: &str| views.contains(column.split('.').next().unwrap_or_default());
    assert!(views.contains("customer_overview"), "{views:?}");
    let never = CancellationToken::new();
    let (mut wrong, mut compared, mut refused) = (Vec::new(), 0, 0);
    let all: Vec<&str> = statements().into_iter().chain(leaks()).collect();
    for statement in all {
        let request = Request::SqlQuery(query(statement));
        let (invocation, _) = asked(&CallId::new(1, &[7; 10]), &["analyst"], request, &never);
        let Ok(facts) = stand.resources.inspect(&invocation, &never).await else {
            continue;
        };
        let read = facts.sql.unwrap().columns;
        let through_a_view = read.iter().any(|column| of_view(column));
        let beyond: Vec<&String> = read
            .iter()
            .filter(|column| !public(column))
            .filter(|column| !through_a_view || of_view(column))
            .collect();
        let Some(denied) = denied(&mut limited, statement).await else {
            continue; // it is wrong with the columns' own types
        };
        compared += 1;
        refused += usize::from(denied);
        // The server asks for no right to the columns that tables are joined on by name; the guard says that they are read.
        let by_name = statement.contains(" USING (") || statement.contains(" NATURAL ");
        if denied == beyond.is_empty() && (denied || !by_name) {
            wrong.push(format!("{statement}\n    {denied} {beyond:?} {read:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared >= 400 && refused >= 100, "{compared}, {refused} refused");
}
