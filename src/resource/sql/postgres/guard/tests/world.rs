//! A catalogue as the server would give it: the functions and types of PostgreSQL 15, and the tables of the
//! cases, read from the file that also makes them.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Refusal;
use crate::resource::sql::MaskStyle;
use crate::resource::sql::postgres::catalog::{Catalog, Column, Function, Relation, RelationKind, Type};
use crate::resource::sql::postgres::guard::{self, Checked, FunctionFacts, Mode};

const PROCEDURES: &str = include_str!("pg_proc.txt");
const TYPES: &str = include_str!("pg_type.txt");
const SCHEMA: &str = include_str!("../../../../../../tests/it/postgres/data/schema.sql");

fn style(class: &str) -> MaskStyle {
    match class {
        "card" => MaskStyle::Last4,
        "domain" => MaskStyle::Domain,
        "phone" => MaskStyle::Null,
        _ => MaskStyle::Constant,
    }
}

/// The catalogue of the cases.
pub(super) fn catalog() -> Catalog {
    let mut catalog = Catalog {
        path: vec!["public".to_owned(), "crm".to_owned()],
        ..Catalog::default()
    };
    for line in TYPES.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let known = Type {
            oid: parts[1].parse().unwrap(),
            allowed: parts[2] != "p",
        };
        catalog
            .types
            .insert(("pg_catalog".to_owned(), parts[0].to_owned()), known);
    }
    for (oid, name) in [(50_001, "mood"), (50_002, "positive")] {
        let known = Type { oid, allowed: true };
        catalog
            .types
            .insert(("public".to_owned(), name.to_owned()), known);
    }
    let listed = BTreeSet::from(["public.slug".to_owned()]);
    for line in PROCEDURES.lines() {
        add_function(&mut catalog, "pg_catalog", line, &listed);
    }
    for line in ["get_email s f - int4", "slug i f - text", "shout v f d text"] {
        add_function(&mut catalog, "public", line, &listed);
    }
    for (at, line) in SCHEMA.lines().enumerate() {
        add_relation(&mut catalog, 10_000 + u32::try_from(at).unwrap(), line);
    }
    catalog
}

fn add_function(catalog: &mut Catalog, schema: &str, line: &str, listed: &BTreeSet<String>) {
    let parts: Vec<&str> = line.split(' ').collect();
    let letter = |at: usize| parts[at].chars().next().unwrap();
    let arguments = parts[4].split(',').filter(|name| *name != "-").map(str::to_owned);
    let facts = FunctionFacts {
        schema: schema.to_owned(),
        name: parts[0].to_owned(),
        volatility: letter(1),
        language: "internal".to_owned(),
        definer: parts[3] == "d",
        kind: letter(2),
        arguments: arguments.collect(),
    };
    let function = Function {
        oid: 0,
        arguments: vec![0; facts.arguments.len()], // how many there are is all that counts here
        allowed: guard::allowed(&facts, listed),
        aggregate: facts.kind == 'a',
        takes_rows: false,
    };
    let name = (schema.to_owned(), parts[0].to_owned());
    catalog.functions.entry(name).or_default().push(function);
}

/// A line of the schema, which is written so that this can read it.
fn add_relation(catalog: &mut Catalog, oid: u32, line: &str) {
    let (kind, rest) = match (
        line.strip_prefix("CREATE TABLE "),
        line.strip_prefix("CREATE VIEW "),
    ) {
        (Some(rest), _) => (RelationKind::Table, rest),
        (_, Some(rest)) => (RelationKind::View, rest),
        _ => return,
    };
    let (full, body) = rest
        .split_once(if kind == RelationKind::View { " AS " } else { " (" })
        .unwrap();
    let (schema, name) = full.split_once('.').unwrap();
    let name = name.trim_matches('"').to_owned();
    let columns: Vec<Column> = match kind {
        RelationKind::View => vec![
            column(catalog, 1, "id int4"),
            column(catalog, 2, "name text"),
            column(catalog, 3, "email text /* email */"),
            column(catalog, 4, "orders int8"),
        ],
        _ => {
            let body = body.trim_end_matches(");");
            let listed = body.split(", ").enumerate();
            listed
                .map(|(at, text)| column(catalog, i16::try_from(at).unwrap() + 1, text))
                .collect()
        }
    };
    let relation = Relation {
        oid,
        schema: schema.to_owned(),
        name: name.clone(),
        kind,
        columns,
    };
    catalog.relations.insert((schema.to_owned(), name), relation);
}

fn column(catalog: &Catalog, number: i16, text: &str) -> Column {
    let class = text
        .split_once("/* ")
        .map(|(_, class)| class.trim_end_matches(" */").to_owned());
    let text = text.trim_start_matches('"');
    let (name, rest) = text.split_once(['"', ' ']).unwrap();
    let declared = rest.split_whitespace().next().unwrap();
    let of = |schema: &str| catalog.types.get(&(schema.to_owned(), declared.to_owned()));
    let known = of("pg_catalog")
        .or_else(|| of("public"))
        .unwrap_or_else(|| panic!("{declared}"));
    Column {
        number,
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        type_oid: known.oid,
        not_null: false,
        primary_key: text.contains("PRIMARY KEY"),
        references: None,
        class: class.map(|class| {
            let style = style(&class);
            (class, style)
        }),
        granted: true,
    }
}

thread_local! {
    pub(super) static CATALOG: Catalog = catalog();
}

/// A query against the catalogue of the cases.
pub(super) fn query(statement: &str) -> Result<Checked, Refusal> {
    CATALOG.with(|catalog| guard::check(statement, &[], catalog, &BTreeSet::new(), Mode::Query))
}

/// A change.
pub(super) fn change(statement: &str) -> Result<Checked, Refusal> {
    CATALOG.with(|catalog| guard::check(statement, &[], catalog, &BTreeSet::new(), Mode::Change))
}

/// The statements of a file: what is expected, and the text.
pub(super) fn cases(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
        .collect()
}

/// All that is not as expected, at once.
pub(super) fn wrong(found: &BTreeMap<&str, String>) {
    let said: Vec<String> = found
        .iter()
        .map(|(case, what)| format!("{case}\n    {what}"))
        .collect();
    assert!(said.is_empty(), "{} wrong:\n{}", said.len(), said.join("\n"));
}
