//! What a database holds for the role that reads it, with the configured classes laid over it.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::Masks;
use super::reach::Beyond;
use crate::call::ClassifiedColumn;
use crate::resource::sql::MaskStyle;

/// A schema and a name, as the catalogue spells them.
pub(super) type Name = (String, String);

/// One version of what the role can see.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// A digest of everything here; another one means that a check has to be made again.
    pub(super) version: String,
    /// Where plain names of relations, functions and types are looked up, after `pg_catalog`.
    pub(super) path: Vec<String>,
    /// Relations that exist for an agent: those of the schemas in `path`. Nothing of `pg_catalog`.
    pub(super) relations: BTreeMap<Name, Relation>,
    /// Every function of `pg_catalog` and of `path` that may be called, and those that may not, by name.
    pub(super) functions: BTreeMap<Name, Vec<Function>>,
    /// Types that may be named (in casts): those of `pg_catalog` and of `path`.
    pub(super) types: BTreeMap<Name, Type>,
    /// Names of operators outside of `pg_catalog` in `path`: what they call is not looked at, so they are refused.
    pub(super) operators: BTreeSet<String>,
    /// What stands in the place of relations, as the guard read it.
    pub(super) masks: Masks,
    /// What is reached beside what is named.
    pub(super) beyond: Beyond,
    /// Views that no statement may name, by `pg_class.oid`: what is masked chooses their rows.
    pub(super) closed: BTreeSet<u32>,
}

/// A table, or what looks like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: RelationKind,
    /// In order; without dropped ones.
    pub(super) columns: Vec<Column>,
}

/// `pg_class.relkind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    Partitioned,
    View,
    Materialized,
    Foreign,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// `pg_attribute.attnum`.
    pub(super) number: i16,
    pub(super) name: String,
    /// `format_type`: what `sql_schema` says and what a mask is cast to.
    pub(super) declared_type: String,
    pub(super) type_oid: u32,
    pub(super) not_null: bool,
    pub(super) primary_key: bool,
    /// `table.column` it refers to, if that is exposed.
    pub(super) references: Option<String>,
    /// Class and style; `None` is public. Views and children have those of what they are made of.
    pub(super) class: Option<(String, MaskStyle)>,
    /// Whether the role may read it at all.
    pub(super) granted: bool,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) oid: u32,
    /// Types of the arguments it is called with.
    pub(super) arguments: Vec<u32>,
    /// Whether a call of it is without effect and tells nothing but of its arguments.
    pub(super) allowed: bool,
    pub(super) aggregate: bool,
    /// Whether it takes anything at all (`"any"`, `anyelement`, `record` …), so also a whole row.
    pub(super) takes_rows: bool,
}

/// A type that may be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) oid: u32,
    /// Whether its input function may be called: the server's own, or an enum, a domain over such a type.
    pub(super) allowed: bool,
}

impl Catalog {
    /// The relation that a name stands for: the first of the search path for a plain one.
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> Option<&Relation> {
        let find = |schema: &str| self.relations.get(&(schema.to_owned(), name.to_owned()));
        match schema {
            Some(schema) => find(schema),
            None => self.path.iter().find_map(|schema| find(schema)),
        }
    }

    /// How agents and policies call a relation: plainly when the search path finds it, else with its schema.
    pub(super) fn shown(&self, relation: &Relation) -> String {
        match self.relation(None, &relation.name) {
            Some(found) if found.oid == relation.oid => relation.name.clone(),
            _ => format!("{}.{}", relation.schema, relation.name),
        }
    }

    /// `table.column`, as in the configuration, in policies and in answers.
    pub(super) fn shown_column(&self, relation: &Relation, column: &Column) -> String {
        format!("{}.{}", self.shown(relation), column.name)
    }

    /// How policies call a relation and all that is reached with it.
    pub(super) fn reached(&self, relation: &Relation) -> BTreeSet<String> {
        let mut all = self.beyond.tables(relation.oid);
        all.insert(self.shown(relation));
        all
    }

    /// The classified columns of a relation.
    pub(super) fn classified(&self, relation: &Relation) -> BTreeSet<ClassifiedColumn> {
        let columns = relation.columns.iter();
        let classified = columns.filter_map(|column| Some((column, column.class.as_ref()?)));
        classified
            .map(|(column, (class, _))| ClassifiedColumn {
                class: class.clone(),
                column: self.shown_column(relation, column),
            })
            .collect()
    }
}
