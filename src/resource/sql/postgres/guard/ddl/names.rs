//! What the names of a schema change stand for, and which names it may give.

use pg_query::NodeEnum;
use pg_query::protobuf as pb;

use super::super::{SEE_SCHEMA, refusals, refused};
use super::{Clerk, Known};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Column, Relation, RelationKind};

/// Names that the configuration speaks of are the operator's to move.
const LISTED: &str =
    "Ask your operator: the configuration speaks of it by that name, and has to be changed first.";

impl<'a> Clerk<'a> {
    /// The relation that is named, and its name made complete.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn relation(&self, name: Option<&mut pb::RangeVar>) -> Result<&'a Relation, Refusal> {
        let name = name.ok_or_else(super::unprinted)?;
        permanent(name)?;
        let schema = Some(name.schemaname.as_str()).filter(|schema| !schema.is_empty());
        let found = self.known.catalog.relation(schema, &name.relname);
        let found = found.ok_or_else(|| refusals::no_relation(&name.relname))?;
        name.schemaname.clone_from(&found.schema);
        Ok(found)
    }

    /// The same of one that must be a table.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn table(&self, name: Option<&mut pb::RangeVar>) -> Result<&'a Relation, Refusal> {
        let found = self.relation(name)?;
        is_table(found)?;
        Ok(found)
    }

    /// Where something new is made: a schema of the resource.
    ///
    /// # Errors
    /// `statement_refused` for a name that exists already, or of which something is said already.
    pub(super) fn made(&mut self, name: Option<&mut pb::RangeVar>) -> Result<(String, String), Refusal> {
        let name = name.ok_or_else(super::unprinted)?;
        permanent(name)?;
        if name.schemaname.is_empty() {
            name.schemaname = self.known.catalog.path.first().cloned().unwrap_or_default();
        }
        self.free(&name.schemaname, &name.relname)?;
        self.found.makes_in.insert(name.schemaname.clone());
        Ok((name.schemaname.clone(), name.relname.clone()))
    }

    /// Whether a relation may be called so.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn free(&self, schema: &str, name: &str) -> Result<(), Refusal> {
        let catalog = self.known.catalog;
        if !catalog.path.iter().any(|known| known == schema) {
            return Err(refused(format!("There is no schema `{schema}`."), SEE_SCHEMA));
        }
        // In another schema it would stand before or behind that one, for whoever names it plainly.
        if catalog
            .path
            .iter()
            .any(|schema| catalog.relation(Some(schema), name).is_some())
        {
            return Err(refused(
                format!("There is a table or view `{name}` already."),
                "Choose another name.",
            ));
        }
        if name.starts_with("pg_") || self.known.speaks_of(Some(schema), name, None) {
            return Err(refused(
                format!("`{name}` cannot be a new name here."),
                "Choose another name.",
            ));
        }
        Ok(())
    }

    /// How agents would call something new.
    pub(super) fn shown(&self, schema: &str, name: &str) -> String {
        match self
            .known
            .catalog
            .path
            .first()
            .is_some_and(|first| first == schema)
        {
            true => name.to_owned(),
            false => format!("{schema}.{name}"),
        }
    }

    /// Refuses to take away a name that the configuration has.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn unlisted(&self, relation: &Relation, column: Option<&str>) -> Result<(), Refusal> {
        match self
            .known
            .speaks_of(Some(&relation.schema), &relation.name, column)
        {
            false => Ok(()),
            true => {
                let shown = self.known.catalog.shown(relation);
                let what = column.map_or_else(|| shown.clone(), |column| format!("{shown}.{column}"));
                Err(refused(
                    format!("`{what}` is not the statement's to remove or rename."),
                    LISTED,
                ))
            }
        }
    }

    /// A column by its name.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn column<'r>(&self, relation: &'r Relation, name: &str) -> Result<&'r Column, Refusal> {
        let found = relation.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| {
            refused(
                format!(
                    "There is no column `{name}` in `{}`.",
                    self.known.catalog.shown(relation)
                ),
                SEE_SCHEMA,
            )
        })
    }

    /// A column whose values the statement may look at.
    ///
    /// # Errors
    /// `statement_refused`: whether the statement succeeds would tell of values that are masked.
    pub(super) fn open<'r>(&self, relation: &'r Relation, name: &str) -> Result<&'r Column, Refusal> {
        let column = self.column(relation, name)?;
        match column.class.is_none() && column.granted {
            true => Ok(column),
            false => Err(masked(&self.known.catalog.shown_column(relation, column))),
        }
    }

    /// Names a column in the facts.
    pub(super) fn names(&mut self, relation: &Relation, column: &Column) {
        let catalog = self.known.catalog;
        self.found
            .facts
            .columns
            .insert(catalog.shown_column(relation, column));
        let same = catalog.beyond.same(relation.oid, &column.name);
        self.found.facts.columns.extend(same);
    }
}

impl Known<'_> {
    /// Whether `[resource.columns]` has something of this relation, or of this column of it. A plain name counts for
    /// every schema.
    pub(in crate::resource::sql::postgres) fn speaks_of(
        &self,
        schema: Option<&str>,
        name: &str,
        column: Option<&str>,
    ) -> bool {
        self.listed.keys().any(|written| {
            let parts: Vec<&str> = written.split('.').collect();
            let (within, table, said) = match parts.as_slice() {
                [table, said] => (None, *table, *said),
                [within, table, said] => (Some(*within), *table, *said),
                _ => return true,
            };
            table == name
                && within.is_none_or(|_| within == schema)
                && column.is_none_or(|column| column == said)
        })
    }
}

/// A temporary or unlogged table is something else under the same name.
fn permanent(name: &pb::RangeVar) -> Result<(), Refusal> {
    match name.relpersistence == "p" && name.catalogname.is_empty() && name.alias.is_none() {
        true => Ok(()),
        false => Err(refused(
            "Only ordinary, logged tables of this database can be made or changed.",
            "Leave TEMPORARY, UNLOGGED and the database's name out.",
        )),
    }
}

pub(super) fn is_table(relation: &Relation) -> Result<(), Refusal> {
    match relation.kind {
        RelationKind::Table | RelationKind::Partitioned => Ok(()),
        RelationKind::View | RelationKind::Materialized | RelationKind::Foreign => Err(refused(
            format!("`{}` is not a table.", relation.name),
            "Name a table of this database.",
        )),
    }
}

/// Whether it works would tell.
pub(super) fn masked(column: &str) -> Refusal {
    refused(
        format!(
            "The statement would look at values of `{column}`, which is masked: whether it succeeds would tell of them."
        ),
        "Name public columns only, or ask your operator to make the change.",
    )
}

/// The texts of a list of names.
///
/// # Errors
/// `statement_refused` for anything else.
pub(super) fn texts(nodes: &[pb::Node]) -> Result<Vec<String>, Refusal> {
    let text = |node: &pb::Node| match &node.node {
        Some(NodeEnum::String(text)) => Ok(text.sval.clone()),
        _ => Err(super::unprinted()),
    };
    nodes.iter().map(text).collect()
}

/// A list of names of these texts.
pub(super) fn nodes(texts: &[&str]) -> Vec<pb::Node> {
    let node = |text: &&str| pb::Node {
        node: Some(NodeEnum::String(pb::String {
            sval: (*text).to_owned(),
        })),
    };
    texts.iter().map(node).collect()
}
