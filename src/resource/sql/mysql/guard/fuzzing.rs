//! For `crate::fuzzing`.

use std::collections::BTreeMap;

use super::lexer::{self, Kind};
use super::{Mode, check};
use crate::call::Code;
use crate::resource::sql::MaskStyle;
use crate::resource::sql::mysql::catalog::{Catalog, Column, Relation};

fn relation(name: &str, classified: &[&str]) -> (String, Relation) {
    let column = |column: &str| Column {
        name: column.to_owned(),
        declared_type: "varchar(80)".to_owned(),
        data_type: "varchar".to_owned(),
        not_null: false,
        primary_key: column == "id",
        references: None,
        generated: false,
        class: classified
            .contains(&column)
            .then(|| (column.to_owned(), MaskStyle::Constant)),
    };
    let relation = Relation {
        name: name.to_owned(),
        view: false,
        engine: Some("InnoDB".to_owned()),
        made: None,
        indexes: Vec::new(),
        ordered: false,
        columns: ["id", "name", "email", "status"].map(column).to_vec(),
    };
    (name.to_owned(), relation)
}

/// Reads a statement that an agent sends. What would be sent of a query names no table of the database but
/// under the name of its masks, and no statement is our own fault.
pub(in crate::resource::sql::mysql) fn statement(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let catalog = Catalog {
        closed: BTreeMap::new(),
        version: String::new(),
        database: "shop".to_owned(),
        place: "masks".to_owned(),
        folded: false,
        relations: BTreeMap::from([relation("customers", &["email"]), relation("products", &[])]),
    };
    for mode in [Mode::Query, Mode::Change] {
        match check(&text, &[], &catalog, mode) {
            Err(refusal) => assert_ne!(refusal.code, Code::Internal, "{text}\n{refusal:?}"),
            Ok(checked) if mode == Mode::Query => {
                let tokens = lexer::scan(&checked.sql, &[]).unwrap_or_default();
                assert!(!tokens.is_empty(), "{}", checked.sql);
                let is_bare = |pair: &[lexer::Token<'_>]| match pair {
                    [from, name] => {
                        (from.is_word("FROM") || from.is_word("JOIN"))
                            && name.kind == Kind::Word
                            && ["customers", "products", "shop", "mysql"].contains(&&*name.text)
                    }
                    _ => false,
                };
                // Within these, a column of such a name may stand behind FROM.
                let functions = &checked.facts.functions;
                let inner = ["extract", "substring", "trim"]
                    .iter()
                    .any(|name| functions.contains(*name));
                assert!(inner || !tokens.windows(2).any(is_bare), "{}", checked.sql);
            }
            Ok(checked) => assert!(checked.target.is_some(), "{}", checked.sql),
        }
    }
}
