//! What exists for an agent, and what happens when it changes.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::call::Request;
use tollgate::resource::sql::ColumnsDefault;

use super::{PUBLIC, SHOP, Stand, code, query, server};
use crate::support::mysql;

#[tokio::test]
async fn a_description_has_names_types_keys_and_masks_and_nothing_else() {
    let stand = Stand::new(
        "CREATE TABLE notes (id int PRIMARY KEY COMMENT 'secret comment', body text DEFAULT ('secret default'), CHECK (body <> 'secret check'));
         CREATE VIEW oslo AS SELECT id, email FROM customers WHERE city = 'Oslo'",
    )
    .await;
    let answer = stand.schema(None).await;
    let tables = answer["data"]["tables"].as_array().unwrap();
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["customers", "notes", "orders", "oslo"]);
    assert_eq!(
        tables[0]["columns"],
        json!([
            {"name": "id", "type": if mysql::is_mysql() { "int" } else { "int(11)" }, "primary_key": true},
            {"name": "name", "type": "varchar(100)", "primary_key": false, "masked": "constant"},
            {"name": "email", "type": "varchar(100)", "primary_key": false, "masked": "constant"},
            {"name": "city", "type": "varchar(50)", "primary_key": false},
            {"name": "born", "type": "date", "primary_key": false, "masked": "constant"},
        ])
    );
    assert_eq!(tables[2]["columns"][1]["references"], "customers.id");
    assert_eq!(
        (&tables[3]["kind"], &tables[0]["kind"]),
        (&json!("view"), &json!("table"))
    );
    assert_eq!(tables[3]["columns"][0]["masked"], "constant", "nobody listed it");
    assert!(!answer.to_string().contains("secret"), "{answer}");
    let one = stand.schema(Some("orders")).await;
    assert_eq!(one["data"]["tables"].as_array().unwrap().len(), 1);
    for missing in [
        "nothing",
        "tollgate_plan",
        "tollgate_now",
        "mysql.user",
        "shop_tollgate.customers",
    ] {
        assert_eq!(code(&stand.schema(Some(missing)).await), "not_found", "{missing}");
    }
}

#[tokio::test]
async fn a_change_of_the_catalogue_under_way_ends_the_call() {
    let stand = Stand::new("").await;
    let never = CancellationToken::new();
    let request = || Request::SqlQuery(query("SELECT id FROM orders"));
    let change = || {
        stand.sql("ALTER TABLE orders ADD COLUMN note text");
    };
    let answer = stand.call_with(&["analyst"], request(), &never, change).await;
    assert_eq!(code(&answer), "target_failed", "{answer}");
    assert!(stand.closed().await.contains("orders has other columns"));
    stand.make_views().await;
    let answer = stand.rows("SELECT * FROM orders WHERE id = 10").await;
    assert_eq!(
        answer,
        json!([[10, 1, 500, "***"]]),
        "masked until somebody lists it"
    );
    // What is wrong with a statement that met another catalogue is not told either.
    let gone = || {
        stand.sql("RENAME TABLE orders TO former");
    };
    let answer = stand.call_with(&["analyst"], request(), &never, gone).await;
    assert_eq!(code(&answer), "target_failed", "{answer}");
    assert_eq!(answer["refusal"]["retry"], json!(true), "{answer}");
    assert!(
        answer["refusal"]["message"].as_str().unwrap().contains("changed"),
        "{answer}"
    );
}

#[tokio::test]
async fn without_anything_classified_the_tables_themselves_are_read() {
    let server = server(
        &[SHOP, "CREATE VIEW oslo AS SELECT id, email FROM customers; CREATE VIEW totals AS SELECT sum(cents) AS total FROM orders"],
        &[],
    )
    .await;
    server.sql("shop", "GRANT SELECT, SHOW VIEW ON shop.* TO reader");
    let stand = Stand::bare(server, |spec| {
        spec.columns_default = ColumnsDefault::Show;
        spec.columns = PUBLIC
            .iter()
            .map(|column| ((*column).to_owned(), "public".to_owned()))
            .collect();
        spec.columns
            .insert("totals.total".to_owned(), "public".to_owned());
    });
    let email = "SELECT email FROM customers WHERE id = 1";
    let seen = stand.query(email).await;
    assert_eq!(seen["status"], "ok", "{seen}");
    assert_eq!(stand.rows("SELECT total FROM totals").await, json!([["2100"]]));
    let tables = stand.schema(None).await["data"]["tables"].to_string();
    assert!(
        tables.contains("totals") && !tables.contains("oslo"),
        "a view may show anything: {tables}"
    );
    stand.sql("GRANT SELECT ON mysql.* TO reader");
    assert!(stand.closed().await.contains("SELECT on `mysql`.*"));
}
