//! Facts are about what a statement reaches, not about what it names; and views of the database's own whose rows are chosen
//! by masked columns.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::{Arrival, CallId, Evidence, Hash, Invocation, Request, SqlFacts};
use tollgate::policy::{Policies, Scene, Verdict};
use tollgate::resource::sql::ColumnsDefault;

use super::{LIMITS, PUBLIC, SHOP, Stand, asked, card, code, query, server};
use crate::policy::{words, write};

const VIEWS: &str = "
CREATE DATABASE hr; CREATE TABLE hr.salaries (id int PRIMARY KEY, person int, cents int);
INSERT INTO hr.salaries VALUES (1, 1, 100);
CREATE VIEW hr.raised AS SELECT id FROM hr.salaries;
CREATE TABLE staff (id int PRIMARY KEY, grade varchar(10));
CREATE VIEW pay AS SELECT s.id, s.cents, c.city FROM hr.salaries s JOIN customers c;
CREATE VIEW over_pay AS SELECT id FROM pay;
CREATE VIEW abroad AS SELECT id FROM hr.raised;
CREATE VIEW plain AS SELECT id, cents FROM orders WHERE id < 100;
CREATE VIEW part AS SELECT c.id, c.email FROM customers c WHERE c.city IN ('Oslo', 'Bergen');
CREATE VIEW mails AS SELECT id FROM customers WHERE email LIKE 'one%';
CREATE VIEW over_mails AS SELECT id FROM mails;
CREATE VIEW vouched AS SELECT id FROM customers WHERE email LIKE 'one%';
CREATE VIEW sorted AS SELECT id FROM customers ORDER BY email;
CREATE VIEW counted AS SELECT count(*) AS n FROM customers GROUP BY born;
";

fn listed(spec: &mut super::Spec) {
    for column in [
        "vouched.id",
        "pay.id",
        "pay.cents",
        "pay.city",
        "plain.id",
        "over_pay.id",
    ] {
        spec.columns.insert(column.to_owned(), "public".to_owned());
    }
}

impl Stand {
    async fn facts(&self, statement: &str) -> SqlFacts {
        let (invocation, _) = self.reading(statement);
        let facts = self
            .resources
            .inspect(&invocation, &CancellationToken::new())
            .await;
        let facts = facts.unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"));
        facts.sql.unwrap()
    }

    fn reading(&self, statement: &str) -> (Invocation, Arrival) {
        let never = CancellationToken::new();
        let request = Request::SqlQuery(query(statement));
        asked(&CallId::new(1, &[7; 10]), &["analyst"], request, &never)
    }
}

#[tokio::test]
async fn tables_and_columns_are_those_behind_views() {
    let stand = Stand::with(VIEWS, listed).await;
    for (statement, tables, columns) in [
        ("SELECT id FROM orders", &["orders"][..], &["orders.id"][..]),
        (
            "SELECT id FROM plain",
            &["orders", "plain"],
            &["orders.cents", "orders.id", "plain.id"],
        ),
        (
            "SELECT id FROM pay",
            &["customers", "hr.salaries", "pay"],
            &["customers.city", "hr.salaries.cents", "hr.salaries.id", "pay.id"],
        ),
        (
            "WITH x AS (SELECT id FROM over_pay) SELECT count(*) FROM x",
            &["customers", "hr.salaries", "over_pay", "pay"],
            &[
                "customers.city",
                "hr.salaries.cents",
                "hr.salaries.id",
                "over_pay.id",
                "pay.id",
            ],
        ),
        (
            "SELECT email FROM part",
            &["customers", "part"],
            &["customers.city", "customers.email", "customers.id", "part.email"],
        ),
    ] {
        let facts = stand.facts(statement).await;
        assert_eq!(
            facts.tables.into_iter().collect::<Vec<_>>(),
            tables,
            "{statement}"
        );
        assert_eq!(
            facts.columns.into_iter().collect::<Vec<_>>(),
            columns,
            "{statement}"
        );
    }
    assert_eq!(
        stand.rows("SELECT id FROM plain WHERE id = 10").await,
        json!([[10]])
    );
}

#[tokio::test]
async fn a_view_that_masked_columns_choose_the_rows_of_is_refused_unless_it_is_listed() {
    let stand = Stand::with(VIEWS, listed).await;
    for view in ["mails", "over_mails", "sorted", "counted"] {
        let (code, words) = stand.refused(&format!("SELECT count(*) FROM {view}")).await;
        assert_eq!(code, "statement_refused", "{view}: {words}");
        assert!(
            words.contains("masked columns") && words.contains(view),
            "{words}"
        );
    }
    assert_eq!(stand.rows("SELECT id FROM vouched").await, json!([[1]]));
    assert_eq!(
        stand.rows("SELECT email FROM part").await,
        json!([["***"], ["***"]])
    );
    let (code, words) = stand.refused("SELECT count(*) FROM abroad").await;
    assert_eq!(code, "statement_refused");
    assert!(words.contains("not known"), "a view of another database: {words}");
}

#[tokio::test]
async fn another_definition_closes_until_the_views_are_made_again() {
    let stand = Stand::with(VIEWS, listed).await;
    assert_eq!(stand.facts("SELECT id FROM plain").await.tables.len(), 2);
    stand.sql("CREATE OR REPLACE VIEW plain AS SELECT id, id + 0 AS cents FROM staff");
    let said = stand.closed().await;
    assert!(
        said.contains("plain") && said.contains("tollgate db views shop --apply"),
        "{said}"
    );
    stand.make_views().await;
    let tables = stand.facts("SELECT id FROM plain").await.tables;
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), ["plain", "staff"]);
    // A plan of a version that knew nothing of this, and whoever may not see how views are made.
    stand.server.sql(
        "shop_tollgate",
        "UPDATE tollgate_plan SET plan = JSON_REMOVE(plan, '$.made') WHERE relation = 'plain'",
    );
    let (code, words) = stand.refused("SELECT id FROM plain").await;
    assert!(
        code == "statement_refused" && words.contains("not known"),
        "{words}"
    );
    stand.make_views().await;
    stand.sql("REVOKE SHOW VIEW ON shop.* FROM tollgate_views@localhost");
    let said = stand.closed().await;
    assert!(said.contains("made otherwise"), "{said}");
    stand.make_views().await;
    assert_eq!(stand.rows("SELECT id FROM plain").await, json!([]));
}

#[tokio::test]
async fn policies_bite_behind_views_and_another_view_is_another_action() {
    let mut stand = Stand::with(VIEWS, listed).await;
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "all.cedar",
        "@id(\"own\") permit (principal, action == Tollgate::Action::\"sql_read\", resource) when { \
           [\"orders\", \"plain\", \"pay\", \"customers\", \"hr.salaries\"].containsAll(context.sql.tables) };\n\
         @id(\"pay\") @explain(\"Nobody reads pay.\") forbid (principal, action == Tollgate::Action::\"sql_read\", resource) when { \
           context.sql.tables.contains(\"hr.salaries\") };\n",
    );
    let scene = Scene {
        resources: vec![card()],
        groups: words(&["analyst"]),
        classes: words(&["email"]),
        tools: words(&["sql_schema", "sql_query", "sql_execute"]),
        limits: LIMITS,
    };
    stand.policies = Policies::load(folder.path(), scene, None).unwrap_or_else(|error| panic!("{error}"));
    let decided = async |statement: &str| -> (String, Hash) {
        let (invocation, arrival) = stand.reading(statement);
        let never = CancellationToken::new();
        let facts = stand.resources.inspect(&invocation, &never).await.unwrap();
        let rules = stand.policies.current();
        let verdict = rules.decide(&arrival, &invocation, &facts, &Evidence::default());
        let said = match verdict {
            Verdict::Permit(_) => "permitted".to_owned(),
            other => format!("{other:?}"),
        };
        (said, facts.action_sha256(&invocation, None))
    };
    let (said, _) = decided("SELECT id FROM pay").await;
    assert!(said.contains("\"pay\""), "{said}");
    let (said, before) = decided("SELECT id FROM plain").await;
    assert_eq!(said, "permitted");
    stand.sql("CREATE OR REPLACE VIEW plain AS SELECT id, id + 0 AS cents FROM staff");
    stand.make_views().await;
    let (said, after) = decided("SELECT id FROM plain").await;
    assert_ne!(said, "permitted");
    assert_ne!(before, after);
}

/// The server reads a table by whichever index has all that is asked for, and gives rows in its order.
#[tokio::test]
async fn a_view_of_a_table_with_an_index_of_masked_columns_is_refused_unless_it_is_listed() {
    let views = "
CREATE INDEX mails ON customers (email);
CREATE VIEW folk AS SELECT id, city FROM customers;
CREATE VIEW over_folk AS SELECT id FROM folk;
CREATE VIEW told AS SELECT id FROM customers;
CREATE VIEW sums AS SELECT customer_id, cents FROM orders;
CREATE DATABASE hr; CREATE TABLE hr.staff (id int PRIMARY KEY, born date, KEY (born));
CREATE VIEW elders AS SELECT id, born FROM hr.staff;";
    let stand = Stand::with(views, |spec| {
        for column in ["folk.id", "told.id", "sums.cents", "elders.id"] {
            spec.columns.insert(column.to_owned(), "public".to_owned());
        }
    })
    .await;
    for view in ["folk", "over_folk", "elders"] {
        let (code, words) = stand.refused(&format!("SELECT id FROM {view}")).await;
        assert_eq!(code, "statement_refused", "{view}: {words}");
        assert!(
            words.contains("order of its rows") && words.contains(view),
            "{words}"
        );
    }
    stand.rows("SELECT cents FROM sums").await;
    assert_eq!(
        stand.rows("SELECT id FROM told ORDER BY id").await,
        json!([[1], [2], [3]])
    );
    let raw = stand.server.sql(
        "shop",
        "UPDATE customers SET email = concat(4 - id, email); SELECT group_concat(id) FROM folk",
    );
    assert_eq!(raw.trim(), "3,2,1", "what the refusal is for");
}

#[tokio::test]
async fn where_nothing_is_classified_the_account_sees_itself_how_views_are_made() {
    let server = server(
        &[
            SHOP,
            "CREATE TABLE hidden (id int); CREATE VIEW totals AS SELECT sum(cents) AS total FROM orders;
             CREATE VIEW one AS SELECT id FROM orders; CREATE VIEW two AS SELECT id FROM one",
        ],
        &[],
    )
    .await;
    server.sql("shop", "GRANT SELECT ON shop.* TO reader");
    let stand = Stand::bare(server, |spec| {
        spec.columns_default = ColumnsDefault::Show;
        let columns = PUBLIC.iter().chain(&["totals.total", "two.id"]);
        spec.columns = columns
            .map(|column| ((*column).to_owned(), "public".to_owned()))
            .collect();
    });
    let answer = stand.query("SELECT total FROM totals").await;
    assert_eq!(code(&answer), "statement_refused", "{answer}");
    assert!(answer.to_string().contains("SHOW VIEW"), "{answer}");
    stand.sql("GRANT SHOW VIEW ON shop.* TO reader");
    let tables = stand.facts("SELECT total FROM totals").await.tables;
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), ["orders", "totals"]);
    assert_eq!(stand.rows("SELECT total FROM totals").await, json!([["2100"]]));
    let (code, _) = stand.refused("SELECT id FROM two").await;
    assert_eq!(code, "statement_refused", "of a view that no agent has");
}

/// The server keeps such a call without the name of the database, like one of its own functions but for the backticks.
#[tokio::test]
async fn a_view_that_calls_a_function_of_its_own_database_is_refused_until_it_is_listed() {
    let old = "CREATE FUNCTION is_old(which int) RETURNS int READS SQL DATA
            RETURN (SELECT born < '1975-01-01' FROM customers WHERE id = which);
        CREATE VIEW veterans AS SELECT id FROM customers WHERE is_old(id);
        CREATE USER IF NOT EXISTS 'tollgate_views'@'localhost' ACCOUNT LOCK;
        GRANT EXECUTE ON FUNCTION shop.is_old TO 'tollgate_views'@'localhost'";
    let stand = Stand::new(old).await;
    let (code, words) = stand.refused("SELECT count(*) FROM veterans").await;
    assert_eq!(code, "statement_refused", "{words}");
    assert!(
        words.contains("chooses or orders its rows by masked columns"),
        "{words}"
    );
    let listed = Stand::with(old, |spec| {
        spec.columns.insert("veterans.id".to_owned(), "public".to_owned());
    })
    .await;
    assert_eq!(listed.rows("SELECT id FROM veterans").await, json!([[3]]));
}
