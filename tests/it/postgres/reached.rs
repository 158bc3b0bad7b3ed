//! Facts are about what a statement reaches, not about what it names; views whose rows are chosen by masked columns; foreign
//! tables.

use std::collections::BTreeSet;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::{Evidence, Hash, Request, SqlFacts};
use tollgate::policy::{Policies, Scene, Verdict};
use tollgate::resource::sql::ColumnsDefault;

use super::changes::execute;
use super::{LIMITS, Stand, asked, card, code, query};
use crate::policy::{words, write};

/// What is behind views, in parts, and in a schema that no agent has.
const HR: &str = "
CREATE SCHEMA hr; GRANT USAGE ON SCHEMA hr TO reader;
CREATE TABLE hr.salaries (id int, person int, cents int) PARTITION BY RANGE (id);
CREATE TABLE hr.salaries_1 PARTITION OF hr.salaries FOR VALUES FROM (0) TO (10);
CREATE TABLE staff (id int, grade text);
CREATE VIEW pay AS SELECT s.id, s.cents, c.city FROM hr.salaries s JOIN customers c ON c.id = s.person;
CREATE VIEW over_pay AS SELECT id FROM pay;
CREATE MATERIALIZED VIEW kept AS SELECT id, cents FROM hr.salaries_1;
CREATE VIEW rows_of AS SELECT o AS whole FROM orders o;
CREATE TABLE events (id int, kind text, secret text) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE events_21 PARTITION OF events_2 FOR VALUES FROM (10) TO (15);
CREATE TABLE animals (id int, name text); CREATE TABLE dogs (barks bool) INHERITS (animals);
CREATE TABLE logged (id int); CREATE RULE noted AS ON INSERT TO logged DO ALSO SELECT * FROM staff;
INSERT INTO hr.salaries VALUES (1, 1, 100); REFRESH MATERIALIZED VIEW kept;
";

impl Stand {
    async fn facts(&self, request: Request) -> SqlFacts {
        let never = CancellationToken::new();
        let (invocation, _) = asked(&["analyst"], request, &never);
        let facts = self.resources.inspect(&invocation, &never).await;
        facts.unwrap_or_else(|refusal| panic!("{refusal:?}")).sql.unwrap()
    }

    async fn reaches(&self, statement: &str) -> Vec<String> {
        let facts = self.facts(Request::SqlQuery(query(statement))).await;
        facts.tables.into_iter().collect()
    }
}

fn shown(spec: &mut super::Spec) {
    spec.columns_default = ColumnsDefault::Show;
}

#[tokio::test]
async fn tables_are_those_behind_views_and_of_parts_and_wholes() {
    let stand = Stand::with(HR, shown).await;
    for (statement, tables) in [
        ("SELECT id FROM orders", &["orders"][..]),
        (
            "SELECT id FROM pay",
            &["customers", "hr.salaries", "hr.salaries_1", "pay"],
        ),
        (
            "SELECT id FROM over_pay",
            &["customers", "hr.salaries", "hr.salaries_1", "over_pay", "pay"],
        ),
        (
            "WITH x AS (SELECT * FROM over_pay) SELECT count(*) FROM x",
            &["customers", "hr.salaries", "hr.salaries_1", "over_pay", "pay"],
        ),
        ("SELECT id FROM kept", &["hr.salaries", "hr.salaries_1", "kept"]),
        ("SELECT id FROM events_1", &["events", "events_1"]),
        ("SELECT id FROM events_21", &["events", "events_2", "events_21"]),
        (
            "SELECT id FROM ONLY events",
            &["events", "events_1", "events_2", "events_21"],
        ),
        ("SELECT barks FROM dogs", &["animals", "dogs"]),
        ("SELECT name FROM animals", &["animals", "dogs"]),
        ("SELECT id FROM logged", &["logged"]),
        ("SELECT 1", &[]),
    ] {
        assert_eq!(stand.reaches(statement).await, tables, "{statement}");
    }
    // What is reached is what is read, whatever the facts cost.
    assert_eq!(stand.rows("SELECT cents FROM kept").await, json!([[100]]));
    // What the role has no right to is called as it would be with one.
    stand.sql("REVOKE ALL ON orders FROM reader; CREATE VIEW bills AS SELECT id FROM orders; GRANT SELECT ON bills TO reader");
    assert_eq!(stand.reaches("SELECT id FROM bills").await, ["bills", "orders"]);
}

#[tokio::test]
async fn columns_are_those_behind_views_and_in_parts_too() {
    let stand = Stand::with(HR, shown).await;
    for (statement, columns) in [
        (
            "SELECT id FROM kept",
            &[
                "hr.salaries.cents",
                "hr.salaries.id",
                "hr.salaries_1.cents",
                "hr.salaries_1.id",
                "kept.id",
            ][..],
        ),
        ("SELECT kind FROM events_1", &["events.kind", "events_1.kind"]),
        ("SELECT barks FROM dogs", &["dogs.barks"]),
        ("SELECT name FROM animals", &["animals.name", "dogs.name"]),
        (
            "SELECT whole IS NULL AS n FROM rows_of",
            &["orders.cents", "orders.customer_id", "orders.id", "rows_of.whole"],
        ),
    ] {
        let facts = stand.facts(Request::SqlQuery(query(statement))).await;
        let wanted: BTreeSet<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        assert_eq!(facts.columns, wanted, "{statement}");
    }
}

#[tokio::test]
async fn changes_of_parts_are_changes_of_wholes() {
    let stand = Stand::changing(
        &format!("{HR} CREATE VIEW ids AS SELECT id FROM hr.salaries"),
        shown,
    )
    .await;
    stand.sql("GRANT SELECT (ctid, xmin, xmax, tableoid) ON orders, events, events_1 TO reader");
    let facts = stand
        .facts(execute("UPDATE events_1 SET kind = 'x' WHERE id = 1", None))
        .await;
    let tables: Vec<&str> = facts.tables.iter().map(String::as_str).collect();
    assert!(tables.starts_with(&["events", "events_1"]), "{tables:?}");
    assert!(facts.columns.contains("events.kind"), "{:?}", facts.columns);
    let facts = stand
        .facts(execute(
            "DELETE FROM orders WHERE id IN (SELECT id FROM ids)",
            None,
        ))
        .await;
    assert!(facts.tables.contains("hr.salaries"), "{:?}", facts.tables);
}

#[tokio::test]
async fn policies_bite_behind_views_and_parts_and_what_was_agreed_to_is_another_thing_when_a_view_is() {
    let mut stand = Stand::with(HR, shown).await;
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "all.cedar",
        "@id(\"own\") permit (principal, action == Tollgate::Action::\"sql_read\", resource) when { \
           [\"orders\", \"customers\", \"pay\", \"plain\", \"events\", \"events_1\", \"hr.salaries\", \"hr.salaries_1\"].containsAll(context.sql.tables) };\n\
         @id(\"pay\") @explain(\"Nobody reads pay.\") forbid (principal, action == Tollgate::Action::\"sql_read\", resource) when { \
           context.sql.tables.contains(\"hr.salaries\") || context.sql.tables.contains(\"events\") };\n",
    );
    let scene = Scene {
        resources: vec![card()],
        groups: words(&["analyst"]),
        classes: words(&["email"]),
        tools: words(&["sql_schema", "sql_query", "sql_execute"]),
        limits: LIMITS,
    };
    stand.policies = Policies::load(folder.path(), scene, None).unwrap_or_else(|error| panic!("{error}"));
    stand.sql("CREATE VIEW plain AS SELECT id FROM orders; GRANT SELECT ON plain TO reader");
    let never = CancellationToken::new();
    let decided = async |statement: &str| {
        let (invocation, arrival) = asked(&["analyst"], Request::SqlQuery(query(statement)), &never);
        let facts = stand.resources.inspect(&invocation, &never).await.unwrap();
        let verdict = stand
            .policies
            .current()
            .decide(&arrival, &invocation, &facts, &Evidence::default());
        let id = match verdict {
            Verdict::Permit(_) => "permitted".to_owned(),
            Verdict::Deny(denial) => format!("{denial:?}"),
            Verdict::Ask(ask) => format!("{ask:?}"),
        };
        (id, facts.action_sha256(&invocation, None))
    };
    for statement in ["SELECT id FROM pay", "SELECT count(*) FROM events_1"] {
        let (verdict, _) = decided(statement).await;
        assert!(verdict.contains("\"pay\""), "{statement}: {verdict}");
    }
    let (verdict, before): (String, Hash) = decided("SELECT id FROM plain").await;
    assert_eq!(verdict, "permitted");
    // A view over something else is another action, whatever anybody agreed to, and policy is asked about that.
    stand.sql("CREATE OR REPLACE VIEW plain AS SELECT id FROM staff");
    let (verdict, after) = decided("SELECT id FROM plain").await;
    assert_ne!(verdict, "permitted", "`staff` is in no permit");
    assert_ne!(before, after);
}

const CHOOSING: &str = "
CREATE VIEW rich AS SELECT id, city FROM customers WHERE email LIKE 'one%';
CREATE VIEW over_rich AS SELECT id FROM rich;
CREATE VIEW sorted AS SELECT id FROM customers ORDER BY email;
CREATE VIEW born AS SELECT count(*) AS n FROM customers GROUP BY born;
CREATE MATERIALIZED VIEW kept AS SELECT DISTINCT name FROM customers;
CREATE VIEW joined AS SELECT o.id FROM orders o JOIN customers c ON o.customer_id = c.id AND c.email > 'o';
CREATE VIEW vouched AS SELECT id FROM customers WHERE email LIKE 'one%';
CREATE VIEW over_vouched AS SELECT id FROM vouched;
CREATE VIEW plain AS SELECT c.id, c.email FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.city = 'Oslo';
CREATE VIEW letters AS SELECT regexp_split_to_table(email, '') AS l FROM customers;
CREATE SCHEMA hidden; CREATE VIEW hidden.inner_one AS SELECT id FROM public.customers WHERE email LIKE 'one%';
CREATE VIEW outer_one AS SELECT id FROM hidden.inner_one;
CREATE VIEW known AS SELECT relname::text AS r FROM pg_class WHERE relname = 'customers';
";

#[tokio::test]
async fn a_view_that_masked_columns_choose_the_rows_of_is_refused_unless_it_is_listed() {
    for default in [ColumnsDefault::Mask, ColumnsDefault::Show] {
        let stand = Stand::with(CHOOSING, |spec| {
            spec.columns_default = default;
            for column in ["name", "born"] {
                spec.columns
                    .insert(format!("customers.{column}"), "email".to_owned());
            }
            spec.columns.insert("vouched.id".to_owned(), "public".to_owned());
        })
        .await;
        for view in [
            "rich",
            "over_rich",
            "sorted",
            "born",
            "kept",
            "joined",
            "letters",
            "outer_one",
            "known",
        ] {
            for statement in [
                format!("SELECT count(*) FROM {view}"),
                format!("SELECT 1 FROM orders WHERE EXISTS (TABLE {view})"),
            ] {
                let (code, words) = stand.refused(&statement).await;
                assert_eq!(code, "statement_refused", "{statement}: {words}");
                assert!(
                    words.contains("masked columns") && words.contains(view),
                    "{words}"
                );
            }
        }
        assert_eq!(stand.rows("SELECT id FROM vouched").await, json!([[1]]));
        assert_eq!(
            stand.rows("SELECT count(*) FROM over_vouched").await,
            json!([[1]]),
            "made of what is listed"
        );
        assert_eq!(
            stand.rows("SELECT email FROM plain").await,
            json!([["***"], ["***"]])
        );
    }
}

#[tokio::test]
async fn a_foreign_table_is_masked_where_everything_else_is_shown() {
    let stand = Stand::with(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE far (id int, mail text) SERVER files OPTIONS (program 'echo 7,seven@far.example', format 'csv');
         CREATE VIEW near AS SELECT mail FROM far;
         CREATE SCHEMA apart;
         CREATE FOREIGN TABLE apart.other (id int, mail text) SERVER files OPTIONS (program 'echo 8,eight@far.example', format 'csv');
         CREATE VIEW beside AS SELECT mail FROM apart.other;
         CREATE VIEW chosen AS SELECT 1 AS one FROM apart.other WHERE mail LIKE 'eight%';
         CREATE TABLE whole (id int, mail text) PARTITION BY RANGE (id);
         CREATE TABLE own PARTITION OF whole FOR VALUES FROM (100) TO (200);
         INSERT INTO whole VALUES (100, 'here');
         ALTER TABLE whole ATTACH PARTITION far FOR VALUES FROM (0) TO (10)",
        |spec| {
            shown(spec);
            spec.columns.insert("far.id".to_owned(), "public".to_owned());
        },
    )
    .await;
    assert_eq!(stand.rows("SELECT * FROM far").await, json!([[7, "***"]]));
    assert_eq!(stand.rows("SELECT * FROM near").await, json!([["***"]]));
    assert_eq!(stand.rows("SELECT * FROM beside").await, json!([["***"]]));
    assert_eq!(
        stand.rows("SELECT id, mail FROM whole ORDER BY id").await,
        json!([[7, "***"], [100, "***"]]),
        "rows of a part are rows of the whole"
    );
    assert_eq!(stand.rows("SELECT mail FROM own").await, json!([["here"]]));
    let answer = stand.query("SELECT count(*) FROM chosen").await;
    assert_eq!(code(&answer), "statement_refused", "{answer}");
}
