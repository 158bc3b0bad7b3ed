//! Schema changes: which are taken, and what is sent.

use std::collections::BTreeMap;

use super::queries::spelled;
use super::world::{CATALOG, cases, wrong};
use crate::call::{Code, Refusal};
use crate::resource::sql::postgres::guard::{self, Definition, Gone, Known};

const BYPASS: &str = include_str!("../../../../../../tests/it/postgres/data/bypass.sql");

fn define(statement: &str) -> Result<Definition, Refusal> {
    CATALOG.with(|catalog| {
        let index = ("public".to_owned(), "by_name".to_owned());
        let table = catalog.relation(None, "departments").unwrap().oid;
        let known = Known {
            catalog,
            listed: &BTreeMap::from([("departments.name".to_owned(), "public".to_owned())]),
            has_functions: false,
            indexes: &BTreeMap::from([(index, (90_000, table))]),
        };
        guard::define(statement, known)
    })
}

fn sent(statement: &str) -> String {
    define(statement)
        .unwrap_or_else(|refusal| panic!("{statement}\n{refusal:?}"))
        .sql
}

/// What no schema change may be about.
const DANGEROUS: &[&str] = &[
    " ROLE",
    " USER",
    "FUNCTION",
    "TRIGGER",
    " RULE",
    "EXTENSION",
    "POLICY",
    "GRANT",
    "REVOKE",
    "COPY",
    "DO ",
    " CAST",
    "OPERATOR",
    "SERVER",
    "TABLESPACE",
    "SYSTEM",
    "OWNER",
    " SCHEMA ",
    " TEMP",
    "UNLOGGED",
    "MATERIALIZED",
    "INHERIT",
    "PARTITION",
    "CONCURRENTLY",
    " LIKE ",
    "DATABASE",
];

#[test]
fn of_what_is_no_read_only_what_is_listed_defines_anything() {
    let mut found = BTreeMap::new();
    let mut taken = 0;
    for (_, statement) in cases(BYPASS) {
        let about = statement.to_uppercase();
        let is = match define(&spelled(statement)) {
            Ok(definition) if DANGEROUS.iter().any(|word| about.contains(word)) => definition.sql,
            Ok(definition) => {
                taken += 1;
                // What was printed is taken as it is, and says the same.
                match define(&definition.sql) {
                    Ok(again) if again.sql == definition.sql => continue,
                    other => format!("{} then {other:?}", definition.sql),
                }
            }
            Err(refusal) if refusal.code == Code::Internal => format!("{refusal:?}"),
            Err(refusal) if refusal.message.is_empty() || refusal.suggestion.is_empty() => {
                "no way out".to_owned()
            }
            Err(_) => continue,
        };
        found.insert(statement, is);
    }
    wrong(&found);
    assert!(taken > 3, "{taken}");
}

#[test]
fn names_get_their_schema_and_nothing_else_is_sent() {
    assert_eq!(
        sent(
            "create table Things(id serial primary key, m mood not null default 'ok'::public.mood /* a comment */);"
        ),
        "CREATE TABLE public.things (id serial PRIMARY KEY, m public.mood NOT NULL DEFAULT 'ok'::public.mood)"
    );
    assert_eq!(
        sent("ALTER TABLE departments ADD boss int REFERENCES products"),
        "ALTER TABLE public.departments ADD COLUMN boss int REFERENCES public.products"
    );
    assert_eq!(
        sent("DROP INDEX by_name CASCADE"),
        "DROP INDEX public.by_name CASCADE"
    );
    assert_eq!(
        sent("COMMENT ON COLUMN departments.name IS 'x'"),
        "COMMENT ON COLUMN public.departments.name IS 'x'"
    );
    assert_eq!(
        sent("CREATE VIEW few (a) AS SELECT name FROM departments"),
        "CREATE VIEW public.few (a) AS SELECT name FROM public.departments"
    );
    assert_eq!(
        sent("ALTER INDEX by_name RENAME TO by_other"),
        "ALTER INDEX public.by_name RENAME TO by_other"
    );
    let dropped = define("ALTER TABLE departments DROP CONSTRAINT c CASCADE").unwrap();
    assert!(
        dropped.cascade
            && dropped
                .gone
                .iter()
                .all(|gone| matches!(gone, Gone::Constraint(_, name) if name == "c"))
    );
    assert!(!guard::defines("UPDATE t SET a = 1") && guard::defines(" -- x\n Truncate t"));
}

#[test]
fn what_is_asked_about_is_told() {
    let facts = define("ALTER TABLE customers ADD note text, DROP COLUMN phone").unwrap();
    assert!(facts.facts.irreversible && !facts.classified.is_empty());
    assert!(
        facts.facts.columns.contains("customers.phone") && facts.facts.columns.contains("customers.note")
    );
    let facts = define("TRUNCATE departments RESTART IDENTITY CASCADE").unwrap();
    assert_eq!(facts.facts.kind, "truncate");
    assert!(facts.cascade && facts.emptied.len() == 1);
}
