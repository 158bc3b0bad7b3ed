//! A second opinion on columns: the role that `db grants` prints may read no classified column, so the server itself says
//! what a statement reads. It has to agree with the guard, on what is asked and on what is sent for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::clock::System;
use tollgate::resource::sql::postgres::Database;

use super::twins::{ANALYST, LEAKS, READS, cases, spec_of, twin};
use super::{PASSWORD, Stand, asked, query};

/// The first twin, with nothing but the rights that are printed for it.
pub(super) async fn limited() -> Stand {
    let stand = twin(true).await;
    let database = Database::new(spec_of(&stand.server), Arc::new(System::new())).unwrap();
    let report = database.report().await.unwrap();
    stand.sql("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader; REVOKE ALL ON ALL TABLES IN SCHEMA crm FROM reader");
    stand.sql(&report.grants());
    stand
}

fn all() -> Vec<&'static str> {
    let analyst = ANALYST.lines().filter(|line| !line.starts_with("--"));
    let cases = cases(READS).into_iter().chain(cases(LEAKS));
    let all = cases.map(|(_, statement)| statement).chain(analyst);
    all.filter(|statement| !statement.contains("$1")).collect()
}

/// `table.column` without its schema: no two tables of the schema have classified columns of one name.
fn short(column: &str) -> String {
    let column = column.replace('"', "");
    let bare = column
        .strip_prefix("public.")
        .or_else(|| column.strip_prefix("crm."));
    bare.unwrap_or(&column).to_owned()
}

#[tokio::test]
async fn what_is_sent_needs_no_right_to_a_classified_column() {
    let (stand, limited) = tokio::join!(twin(true), limited());
    let (mut wrong, mut taken) = (Vec::new(), 0);
    for statement in all() {
        let (one, other) = (stand.query(statement).await, limited.query(statement).await);
        if one["status"] != other["status"] || one["refusal"]["code"] != other["refusal"]["code"] {
            wrong.push(format!("{statement}\n    {one}\n    {other}"));
        }
        taken += usize::from(other["status"] == "ok");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(taken >= 500, "{taken}");
}

#[tokio::test]
async fn the_server_refuses_exactly_what_reads_a_column_that_the_guard_calls_classified() {
    let stand = limited().await;
    let may = "SELECT table_schema || '.' || table_name || '.' || column_name FROM information_schema.column_privileges
        WHERE grantee = 'reader' AND privilege_type = 'SELECT'";
    let may: BTreeSet<String> = stand.sql(may).lines().map(short).collect();
    assert!(
        may.contains("customers.name") && !may.contains("customers.email"),
        "{may:?}"
    );
    // What a view reads is read with its owner's rights: the server says nothing of the columns behind it.
    let views = "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace::regnamespace::text IN ('public', 'crm')";
    let views = stand.sql(views);
    let views: BTreeSet<&str> = views.lines().collect();
    let of_view = |column: &str| views.contains(column.split('.').next().unwrap_or_default());
    assert!(views.contains("customer_overview"), "{views:?}");
    let never = CancellationToken::new();
    let (mut wrong, mut compared, mut denied) = (Vec::new(), 0, 0);
    for statement in all() {
        let (invocation, _) = asked(&["analyst"], Request::SqlQuery(query(statement)), &never);
        let Ok(facts) = stand.resources.inspect(&invocation, &never).await else {
            continue;
        };
        let read = facts.sql.unwrap().columns;
        let through_a_view = read.iter().any(|column| of_view(&short(column)));
        let beyond: Vec<&String> = read
            .iter()
            .filter(|column| !may.contains(&short(column)))
            .filter(|column| !through_a_view || of_view(&short(column)))
            .collect();
        let script = format!("SET search_path = public, crm; SET timezone = 'UTC'; EXPLAIN {statement}");
        let refused = match stand.server.sql_as(("reader", PASSWORD), "shop", &script) {
            Ok(_) => false,
            Err(said) if said.contains("permission denied") => true,
            Err(_) => continue, // it is wrong with the columns' own types
        };
        compared += 1;
        denied += usize::from(refused);
        if refused == beyond.is_empty() {
            wrong.push(format!("{statement}\n    {refused} {beyond:?} {read:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared >= 400 && denied >= 100, "{compared}, {denied} denied");
}
