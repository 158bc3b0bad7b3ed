//! What a database holds for the account that reads it, with the configured classes laid over it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::guard::views::Made;
use super::reach::Closed;
use crate::call::ClassifiedColumn;
use crate::resource::sql::MaskStyle;

/// One version of what the account can see.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// A digest of everything here; another one means that a check has to be made again.
    pub(super) version: String,
    /// The database with the tables: the only one that a statement may name.
    pub(super) database: String,
    /// Where what a statement names really is: the database of the masking views, or the same where nothing
    /// is classified.
    pub(super) place: String,
    /// Whether names of tables are compared without case (`lower_case_table_names` is not 0).
    pub(super) folded: bool,
    /// Relations that exist for an agent, by name (lower case where `folded`).
    pub(super) relations: BTreeMap<String, Relation>,
    /// Views that no statement may name, in the same way, and why.
    pub(super) closed: BTreeMap<String, Closed>,
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relation {
    /// As the server spells it.
    pub(super) name: String,
    /// Whether it is a view of the database's own.
    pub(super) view: bool,
    /// The storage engine of a table (`InnoDB`); views have none.
    pub(super) engine: Option<String>,
    /// How a view of the database's own is made, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made: Option<Made>,
    /// Its indexes without classified columns, where its masking view was made: the only ones that the view uses. Read
    /// through another, rows come in the order of what is masked.
    pub(super) indexes: Vec<String>,
    /// Whether it has any other index, by which the server may read it through a view of the database's own: rows come in
    /// the order of that. A plan that does not say so was made before it was asked.
    #[serde(default = "yes")]
    pub(super) ordered: bool,
    /// In order.
    pub(super) columns: Vec<Column>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    /// As the server spells it; compared without case.
    pub(super) name: String,
    /// `COLUMN_TYPE`: what `sql_schema` says.
    pub(super) declared_type: String,
    /// `DATA_TYPE`, lower case: what a mask depends on.
    pub(super) data_type: String,
    pub(super) not_null: bool,
    pub(super) primary_key: bool,
    /// `table.column` it refers to, if that is exposed.
    pub(super) references: Option<String>,
    /// Whether the server makes its value of others.
    pub(super) generated: bool,
    /// Class and style; `None` is public. A view's unlisted columns are classified whatever the default.
    pub(super) class: Option<(String, MaskStyle)>,
}

fn yes() -> bool {
    true
}

impl Relation {
    /// Whether its rows lie in the order of its primary key.
    pub(super) fn lies_by_key(&self) -> bool {
        let engine = self.engine.as_deref().unwrap_or_default();
        engine.eq_ignore_ascii_case("innodb")
    }
}

impl Catalog {
    /// The relation that a name stands for.
    pub(super) fn relation(&self, name: &str) -> Option<&Relation> {
        match self.folded {
            true => self.relations.get(&name.to_lowercase()),
            false => self.relations.get(name),
        }
    }

    /// By what a relation of it is found in `relations`.
    pub(super) fn key(&self, relation: &Relation) -> String {
        match self.folded {
            true => relation.name.to_lowercase(),
            false => relation.name.clone(),
        }
    }

    /// The classified columns of a relation, as `table.column`.
    pub(super) fn classified(&self, relation: &Relation) -> BTreeSet<ClassifiedColumn> {
        let columns = relation.columns.iter();
        let classified = columns.filter_map(|column| Some((column, column.class.as_ref()?)));
        classified
            .map(|(column, (class, _))| ClassifiedColumn {
                class: class.clone(),
                column: format!("{}.{}", relation.name, column.name),
            })
            .collect()
    }
}
