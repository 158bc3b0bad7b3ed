//! How columns look: by style, by type, by what may be revealed, and by what the role may read.

use std::collections::BTreeSet;

use super::world::catalog;
use crate::resource::sql::postgres::catalog::Catalog;
use crate::resource::sql::postgres::guard::{self, Mode};
use crate::resource::sql::{MaskStyle, TokenScope};

fn sent(catalog: &Catalog, reveal: &[&str], statement: &str) -> guard::Checked {
    let reveal: BTreeSet<String> = reveal.iter().map(|column| (*column).to_owned()).collect();
    guard::check(statement, &[], catalog, &reveal, Mode::Query).unwrap()
}

#[test]
fn a_mask_has_a_type_with_which_statements_still_run() {
    let sql = sent(&catalog(), &[], "SELECT * FROM customers").sql;
    for mask in [
        "'***'::pg_catalog.text AS \"email\"",
        "NULL::pg_catalog.\"text\" AS \"phone\"",
        "NULL::pg_catalog.\"int8\" AS \"income\"",
        "NULL::pg_catalog.\"jsonb\" AS \"profile\"",
        "'***'::pg_catalog.text AS \"feeling\"",
        "NULL::pg_catalog.\"bool\" AS \"consent\"",
        "pg_catalog.right(\"card\"::pg_catalog.text, 4)",
    ] {
        assert!(sql.contains(mask), "{mask}\n{sql}");
    }
    assert!(!sql.contains("\"email\"::"), "{sql}");
}

#[test]
fn what_policy_reveals_is_raw_and_nothing_else_is() {
    let checked = sent(
        &catalog(),
        &["customers.email", "orders.email"],
        "SELECT * FROM customers, orders",
    );
    assert!(
        checked
            .sql
            .contains("\"tags\", \"email\", '***'::pg_catalog.text AS \"ssn\""),
        "{}",
        checked.sql
    );
    assert!(
        checked.sql.ends_with("AS \"customers\", \"public\".\"orders\""),
        "{}",
        checked.sql
    );
    let named: Vec<&str> = checked
        .named
        .iter()
        .map(|column| column.column.as_str())
        .collect();
    assert!(
        named.contains(&"customers.email") && named.contains(&"customers.ssn"),
        "{named:?}"
    );
    let masked: Vec<i16> = checked.masked.iter().map(|(_, number)| *number).collect();
    assert_eq!(
        masked,
        [9, 11, 12, 13, 14, 15],
        "neither the revealed one nor the last4 one, which is read"
    );
}

#[test]
fn what_the_role_may_not_read_is_never_read() {
    let mut catalog = catalog();
    for relation in catalog
        .relations
        .values_mut()
        .filter(|relation| relation.name == "departments")
    {
        relation.columns[2].granted = false;
    }
    for reveal in [&[][..], &["departments.budget"]] {
        let checked = sent(&catalog, reveal, "SELECT budget FROM departments");
        assert_eq!(
            checked.sql,
            "SELECT budget FROM (SELECT \"id\", \"name\", NULL::pg_catalog.\"numeric\" AS \"budget\" \
             FROM \"public\".\"departments\") AS \"departments\""
        );
        assert_eq!(checked.masked.len(), 1);
    }
    assert!(
        guard::check(
            "UPDATE departments SET name = 'x' WHERE budget > 1",
            &[],
            &catalog,
            &BTreeSet::new(),
            Mode::Change
        )
        .is_err()
    );
}

#[test]
fn facts_name_what_the_statement_names() {
    let checked = sent(
        &catalog(),
        &[],
        "SELECT lower(c.name), slug(o.status) FROM customers c JOIN orders o USING (email) WHERE c.id = 1",
    );
    let facts = checked.facts;
    assert_eq!(facts.kind, "select");
    assert!(facts.has_where);
    assert_eq!(
        facts.tables,
        BTreeSet::from(["customers".to_owned(), "orders".to_owned()])
    );
    assert_eq!(
        facts.functions,
        BTreeSet::from(["lower".to_owned(), "public.slug".to_owned()])
    );
    let columns: Vec<&str> = facts.columns.iter().map(String::as_str).collect();
    assert_eq!(
        columns,
        [
            "customers.email",
            "customers.id",
            "customers.name",
            "orders.email",
            "orders.status"
        ]
    );
    assert_eq!(checked.named.len(), 2);
    let other = sent(&catalog(), &[], "SELECT note FROM crm.orders");
    assert_eq!(
        other.facts.tables,
        BTreeSet::from(["crm.orders".to_owned()]),
        "the plain name is another's"
    );
}

#[test]
fn tokens_are_made_by_the_databases_function_and_never_written() {
    let mut catalog = catalog();
    let classes = catalog
        .relations
        .values_mut()
        .flat_map(|relation| &mut relation.columns);
    for (class, style) in classes.filter_map(|column| column.class.as_mut()) {
        if class == "email" {
            *style = MaskStyle::Token(TokenScope::Deployment);
        }
    }
    let token = "tollgate.token('email'::pg_catalog.text, \"email\"::pg_catalog.text) AS \"email\"";
    let joined = sent(
        &catalog,
        &[],
        "SELECT count(*) FROM customers c JOIN orders o USING (email)",
    );
    assert_eq!(joined.sql.matches(token).count(), 2, "{}", joined.sql);
    assert!(
        joined.facts.functions.iter().all(|name| !name.contains("token")),
        "{:?}",
        joined.facts
    );
    // Where nothing may be read of it, or there are too few values, it is a constant.
    let mut blind = catalog.clone();
    let columns = blind
        .relations
        .values_mut()
        .flat_map(|relation| &mut relation.columns);
    for column in columns.filter(|column| column.name == "email") {
        column.granted = false;
    }
    let sql = sent(&blind, &[], "SELECT email FROM customers").sql;
    assert!(
        sql.contains("'***'::pg_catalog.text AS \"email\"") && !sql.contains("tollgate."),
        "{sql}"
    );
    for column in catalog
        .relations
        .values_mut()
        .flat_map(|relation| &mut relation.columns)
    {
        column.declared_type = "character(2)".to_owned();
    }
    let sql = sent(&catalog, &[], "SELECT email FROM customers").sql;
    assert!(
        sql.contains("'***'::pg_catalog.text AS \"email\"") && !sql.contains("tollgate."),
        "{sql}"
    );
    for statement in [
        "UPDATE departments SET name = 'tok_00112233445566778899aabbccddeeff' WHERE id = 1",
        "INSERT INTO departments (id, name) VALUES (9, 'of tok_00112233445566778899AABBCCDDEEFF')",
    ] {
        let refused = guard::check(statement, &[], &catalog, &BTreeSet::new(), Mode::Change).unwrap_err();
        assert!(
            refused.message.contains("writes a mask"),
            "{statement}: {refused:?}"
        );
    }
}
