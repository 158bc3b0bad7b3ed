//! DROP, RENAME, TRUNCATE and COMMENT.

use pg_query::NodeEnum;
use pg_query::protobuf as pb;
use pg_query::protobuf::ObjectType;

use super::super::{refusals, refused};
use super::names::{nodes, texts};
use super::tables::list;
use super::{ACCESS_EXCLUSIVE, Clerk, Gone, unprinted};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Name, Relation, RelationKind};

/// The longest comment on an object.
const COMMENT: usize = 1_000;

impl<'a> Clerk<'a> {
    /// # Errors
    /// `statement_refused`.
    pub(super) fn drop(&mut self, drop: &mut pb::DropStmt) -> Result<(), Refusal> {
        self.found.cascade |= drop.behavior == i32::from(pb::DropBehavior::DropCascade);
        self.found.facts.irreversible = true;
        let what = ObjectType::try_from(drop.remove_type);
        for object in &mut drop.objects {
            let Some(NodeEnum::List(written)) = &object.node else {
                return Err(unprinted());
            };
            let name = texts(&written.items)?;
            let (full, oid) = match what {
                Ok(ObjectType::ObjectIndex) => {
                    let (full, (index, table)) = self.index(&name)?;
                    let table = self.relation_of(table)?;
                    self.touch(table, ACCESS_EXCLUSIVE);
                    let shown = self.known.catalog.shown(table);
                    self.becomes(shown, &format!("drop index {}", full.1));
                    (full, index)
                }
                Ok(ObjectType::ObjectTable | ObjectType::ObjectView | ObjectType::ObjectMatview) => {
                    let relation = self.named(&name)?;
                    let word = kind(relation);
                    if what != Ok(word.1) {
                        return Err(refused(
                            format!("`{}` is a {}.", relation.name, word.0),
                            "Name what it is: DROP TABLE, DROP VIEW or DROP MATERIALIZED VIEW.",
                        ));
                    }
                    self.unlisted(relation, None)?;
                    self.touch(relation, ACCESS_EXCLUSIVE);
                    let shown = self.known.catalog.shown(relation);
                    self.becomes(shown, &format!("drop {}", word.0));
                    ((relation.schema.clone(), relation.name.clone()), relation.oid)
                }
                _ => return Err(refusals::definition("")),
            };
            *object = list(nodes(&[&full.0, &full.1]));
            self.found.gone.insert(Gone::Relation(oid));
        }
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn rename(&mut self, rename: &mut pb::RenameStmt) -> Result<(), Refusal> {
        let what = ObjectType::try_from(rename.rename_type);
        let new = rename.newname.clone();
        if what == Ok(ObjectType::ObjectIndex) {
            return self.rename_index(rename);
        }
        let relation = self.relation(rename.relation.as_mut())?;
        let shown = self.known.catalog.shown(relation);
        self.touch(relation, ACCESS_EXCLUSIVE);
        let words = match (what, kind(relation).1) {
            (Ok(ObjectType::ObjectColumn), ObjectType::ObjectTable)
                if rename.relation_type == i32::from(ObjectType::ObjectTable) =>
            {
                let column = self.column(relation, &rename.subname)?;
                self.unlisted(relation, Some(&column.name))?;
                self.not_found_by_name(relation)?;
                let taken = relation.columns.iter().any(|other| other.name == new);
                if taken
                    || self
                        .known
                        .speaks_of(Some(&relation.schema), &relation.name, Some(&new))
                {
                    return Err(refused(
                        format!("`{new}` cannot be a new name here."),
                        "Choose another name.",
                    ));
                }
                self.names(relation, column);
                format!("rename column {} to {new}", column.name)
            }
            (Ok(ObjectType::ObjectTabconstraint), ObjectType::ObjectTable) => {
                format!("rename constraint {} to {new}", rename.subname)
            }
            (Ok(wanted), is) if wanted == is => {
                self.unlisted(relation, None)?;
                self.not_found_by_name(relation)?;
                self.free(&relation.schema, &new)?;
                self.found.makes_in.insert(relation.schema.clone());
                let new = self.shown(&relation.schema, &new);
                self.found.facts.tables.insert(new.clone());
                format!("rename to {new}")
            }
            _ => return Err(refusals::definition("")),
        };
        self.becomes(shown, &words);
        Ok(())
    }

    /// The database's own functions find what they read by its name, and what they give is not masked.
    fn not_found_by_name(&self, relation: &Relation) -> Result<(), Refusal> {
        let classified = relation.columns.iter().any(|column| column.class.is_some());
        match classified && self.known.has_functions {
            false => Ok(()),
            true => Err(refused(
                format!(
                    "`{}` has masked columns, and functions that agents may call could find it by its new name.",
                    relation.name
                ),
                "Ask your operator to rename it.",
            )),
        }
    }

    fn rename_index(&mut self, rename: &mut pb::RenameStmt) -> Result<(), Refusal> {
        let name = rename.relation.as_mut().ok_or_else(unprinted)?;
        let written: Vec<String> = [name.schemaname.clone(), name.relname.clone()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let (full, (_, table)) = self.index(&written)?;
        let table = self.relation_of(table)?;
        name.schemaname.clone_from(&full.0);
        self.touch(table, "SHARE UPDATE EXCLUSIVE");
        let words = format!("rename index {} to {}", full.1, rename.newname);
        self.becomes(self.known.catalog.shown(table), &words);
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn truncate(&mut self, truncate: &mut pb::TruncateStmt) -> Result<(), Refusal> {
        self.found.facts.kind = "truncate".to_owned();
        self.found.facts.irreversible = true;
        self.found.cascade = truncate.behavior == i32::from(pb::DropBehavior::DropCascade);
        for name in &mut truncate.relations {
            let Some(NodeEnum::RangeVar(name)) = &mut name.node else {
                return Err(unprinted());
            };
            let relation = self.table(Some(name))?;
            self.touch(relation, ACCESS_EXCLUSIVE).scans = true;
            self.found.emptied.insert(relation.oid);
            let numbers = match truncate.restart_seqs {
                true => "remove every row, and begin its numbers anew",
                false => "remove every row",
            };
            self.becomes(self.known.catalog.shown(relation), numbers);
        }
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn comment(&mut self, comment: &mut pb::CommentStmt) -> Result<(), Refusal> {
        if comment.comment.len() > COMMENT {
            return Err(refused(
                format!("The comment has more than {COMMENT} bytes."),
                "Write a shorter one.",
            ));
        }
        let object = comment.object.as_mut().ok_or_else(unprinted)?;
        let Some(NodeEnum::List(written)) = &object.node else {
            return Err(unprinted());
        };
        let mut name = texts(&written.items)?;
        let what = ObjectType::try_from(comment.objtype);
        let column = match what {
            Ok(ObjectType::ObjectColumn) => Some(name.pop().ok_or_else(unprinted)?),
            _ => None,
        };
        let relation = self.named(&name)?;
        if column.is_none() && what != Ok(kind(relation).1) {
            return Err(refused(
                "Comments can be put on tables, views and columns only.",
                "COMMENT ON TABLE orders IS 'what it holds'.",
            ));
        }
        let mut full = vec![relation.schema.as_str(), relation.name.as_str()];
        if let Some(name) = &column {
            let column = self.column(relation, name)?;
            self.names(relation, column);
            full.push(name);
        }
        **object = list(nodes(&full));
        self.touch(relation, "SHARE UPDATE EXCLUSIVE");
        let words = column.map_or_else(
            || "comment".to_owned(),
            |column| format!("comment on column {column}"),
        );
        self.becomes(self.known.catalog.shown(relation), &words);
        Ok(())
    }

    /// A relation by the parts of its name.
    fn named(&self, name: &[String]) -> Result<&'a Relation, Refusal> {
        let (schema, plain) = parts(name)?;
        let found = self.known.catalog.relation(schema, plain);
        found.ok_or_else(|| refusals::no_relation(plain))
    }

    /// An index by the parts of its name: what it is called in full, its number and its table's.
    fn index(&self, name: &[String]) -> Result<(Name, (u32, u32)), Refusal> {
        let (schema, plain) = parts(name)?;
        let mut path = self
            .known
            .catalog
            .path
            .iter()
            .filter(|known| schema.is_none_or(|schema| schema == *known));
        let found = path.find_map(|schema| {
            let full = (schema.clone(), plain.to_owned());
            self.known.indexes.get(&full).map(|index| (full, *index))
        });
        found.ok_or_else(|| {
            refused(
                format!("There is no index `{plain}`."),
                "Name an index of a table that sql_schema shows.",
            )
        })
    }

    /// The relation of this number, where agents have it.
    fn relation_of(&self, oid: u32) -> Result<&'a Relation, Refusal> {
        let mut relations = self.known.catalog.relations.values();
        let found = relations.find(|relation| relation.oid == oid);
        found.ok_or_else(|| {
            refused(
                "The index is of a table that is not available.",
                super::super::SEE_SCHEMA,
            )
        })
    }
}

fn parts(name: &[String]) -> Result<(Option<&str>, &str), Refusal> {
    match name {
        [plain] => Ok((None, plain)),
        [schema, plain] => Ok((Some(schema), plain)),
        _ => Err(refused("A name has too many parts.", "Write schema.name.")),
    }
}

/// What a relation is, in words and as the grammar has it.
fn kind(relation: &Relation) -> (&'static str, ObjectType) {
    match relation.kind {
        RelationKind::Table | RelationKind::Partitioned => ("table", ObjectType::ObjectTable),
        RelationKind::View => ("view", ObjectType::ObjectView),
        RelationKind::Materialized => ("materialized view", ObjectType::ObjectMatview),
        RelationKind::Foreign => ("foreign table", ObjectType::ObjectForeignTable),
    }
}
