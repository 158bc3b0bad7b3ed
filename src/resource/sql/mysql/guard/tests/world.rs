//! A catalogue as the server would give it, read from the file that also makes the tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Refusal;
use crate::resource::sql::MaskStyle;
use crate::resource::sql::mysql::catalog::{Catalog, Column, Relation};
use crate::resource::sql::mysql::guard::{self, Checked, Mode};

const SCHEMA: &str = include_str!("../../../../../../tests/it/mysql/data/schema.sql");

/// The catalogue of the cases.
pub(super) fn catalog() -> Catalog {
    let mut catalog = Catalog {
        closed: BTreeMap::new(),
        version: "1".to_owned(),
        database: "shop".to_owned(),
        place: "shop_masked".to_owned(),
        folded: false,
        relations: BTreeMap::new(),
    };
    for line in SCHEMA.lines() {
        let table = line.strip_prefix("CREATE TABLE ");
        let view = line.strip_prefix("CREATE VIEW ");
        let Some(rest) = table.or(view) else { continue };
        let (name, body) = rest
            .split_once(if view.is_some() { " AS " } else { " (" })
            .unwrap();
        let name = name.trim_matches('`').to_owned();
        let columns = match view {
            Some(_) => ["id int", "name text", "email text /* email */", "orders int"]
                .map(column)
                .to_vec(),
            None => {
                let listed = body.trim_end_matches(");").split(", ");
                listed
                    .filter(|text| text.contains(' ') && !text.starts_with("FULLTEXT"))
                    .map(column)
                    .collect()
            }
        };
        let relation = Relation {
            name: name.clone(),
            view: view.is_some(),
            engine: view.is_none().then(|| "InnoDB".to_owned()),
            made: None,
            indexes: Vec::new(),
            ordered: false,
            columns,
        };
        catalog.relations.insert(name, relation);
    }
    catalog
}

fn column(text: &str) -> Column {
    let class = text
        .split_once("/* ")
        .map(|(_, class)| class.trim_end_matches(" */").to_owned());
    let (name, rest) = text.trim_start_matches('`').split_once(['`', ' ']).unwrap();
    let declared = rest.split_whitespace().next().unwrap();
    Column {
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        data_type: declared.split('(').next().unwrap().to_owned(),
        not_null: false,
        primary_key: text.contains("PRIMARY KEY"),
        references: None,
        generated: false,
        class: class.map(|class| (class, MaskStyle::Constant)),
    }
}

/// A query against the catalogue of the cases.
pub(super) fn query(statement: &str) -> Result<Checked, Refusal> {
    guard::check(statement, &[], &catalog(), Mode::Query)
}

/// A change.
pub(super) fn change(statement: &str) -> Result<Checked, Refusal> {
    guard::check(statement, &[], &catalog(), Mode::Change)
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

/// Names, for comparing.
pub(super) fn names(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
