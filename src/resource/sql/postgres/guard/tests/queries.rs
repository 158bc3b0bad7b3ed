//! Queries: what is sent for them.

use super::world::query;

fn sent(statement: &str) -> String {
    query(statement)
        .unwrap_or_else(|refusal| panic!("{statement}\n{refusal:?}"))
        .sql
}

#[test]
fn a_masked_relation_is_a_subquery_and_a_public_one_has_its_full_name() {
    assert_eq!(
        sent("SELECT o.note, d.name FROM crm.orders o, ONLY departments * JOIN departments AS d USING (id)"),
        ""
    );
}
