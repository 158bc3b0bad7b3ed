//! CREATE and ALTER of tables, CREATE of views and indexes.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf as pb;
use pg_query::protobuf::AlterTableType as Alter;

use super::super::{Mode, refused};
use super::columns::{Of, node, quoted};
use super::names::{is_table, masked, texts};
use super::{ACCESS_EXCLUSIVE, Clerk, Gone, printed, typed, unprinted};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Relation, RelationKind};

/// Access methods of the server's own.
const METHODS: &[&str] = &["", "btree", "hash", "gin", "gist", "brin", "spgist"];

impl<'a> Clerk<'a> {
    /// # Errors
    /// `statement_refused`.
    pub(super) fn create_table(&mut self, create: &mut pb::CreateStmt) -> Result<(), Refusal> {
        if create.oncommit > pb::OnCommitAction::OncommitNoop.into() {
            return Err(unprinted());
        }
        let (schema, name) = self.made(create.relation.as_mut())?;
        let mut samples = Vec::new();
        for part in &mut create.table_elts {
            if let Some(NodeEnum::ColumnDef(column)) = &mut part.node {
                samples.push(self.new_column(column, (&schema, &name))?.sample);
            }
        }
        let from = match samples.is_empty() {
            true => String::new(),
            false => format!(" FROM (SELECT {}) AS {}", samples.join(", "), quoted(&name)),
        };
        for part in &mut create.table_elts {
            match &mut part.node {
                Some(NodeEnum::ColumnDef(_)) => {}
                Some(NodeEnum::Constraint(constraint)) => {
                    let of = Of {
                        rows: None,
                        name: (&schema, &name),
                        from: &from,
                    };
                    self.of_table(constraint, of)?;
                }
                _ => return Err(unprinted()),
            }
        }
        let shown = self.shown(&schema, &name);
        self.found.facts.tables.insert(shown.clone());
        self.becomes(shown, "create table");
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn alter_table(&mut self, alter: &mut pb::AlterTableStmt) -> Result<(), Refusal> {
        if alter.objtype != i32::from(pb::ObjectType::ObjectTable) {
            return Err(refused(
                "Only tables can be altered.",
                "Drop a view or an index and create it anew; ask your operator for the rest.",
            ));
        }
        let relation = self.table(alter.relation.as_mut())?;
        self.touch(relation, ACCESS_EXCLUSIVE);
        for command in &mut alter.cmds {
            match &mut command.node {
                Some(NodeEnum::AlterTableCmd(command)) => self.alter(relation, command)?,
                _ => return Err(unprinted()),
            }
        }
        // A constraint was checked with the types that columns have now: with others it may call other functions.
        let has = |wanted: Alter| {
            let mut commands = alter.cmds.iter();
            commands.any(|command| {
                matches!(&command.node, Some(NodeEnum::AlterTableCmd(one)) if one.subtype == i32::from(wanted))
            })
        };
        match has(Alter::AtAlterColumnType) && has(Alter::AtAddConstraint) {
            false => Ok(()),
            true => Err(refused(
                "A change of a type and a new constraint cannot be one statement.",
                "Send them one after the other.",
            )),
        }
    }

    fn alter(&mut self, relation: &'a Relation, command: &mut pb::AlterTableCmd) -> Result<(), Refusal> {
        let shown = self.known.catalog.shown(relation);
        let name = command.name.clone();
        self.found.cascade |= command.behavior == i32::from(pb::DropBehavior::DropCascade);
        let words = match Alter::try_from(command.subtype) {
            Ok(Alter::AtAddColumn) => return self.add_column(relation, command),
            Ok(Alter::AtAddConstraint) => return self.add_constraint(relation, command),
            Ok(Alter::AtColumnDefault) => {
                self.alter_default(relation, command)?;
                "alter the default of column"
            }
            Ok(Alter::AtDropNotNull) => {
                self.column(relation, &name)?;
                "let be empty: column"
            }
            Ok(Alter::AtSetNotNull) => {
                let column = self.open(relation, &name)?;
                let touch = self.touch(relation, ACCESS_EXCLUSIVE);
                touch.scans = true;
                touch.reads.insert(column.number);
                "require a value in column"
            }
            Ok(Alter::AtDropColumn) => {
                let column = self.column(relation, &name)?;
                self.unlisted(relation, Some(&name))?;
                self.found.gone.insert(Gone::Column(relation.oid, column.number));
                self.found.facts.irreversible = true;
                "drop column"
            }
            Ok(Alter::AtDropConstraint) => {
                self.found
                    .gone
                    .insert(Gone::Constraint(relation.oid, name.clone()));
                "drop constraint"
            }
            Ok(Alter::AtAlterColumnType) => {
                self.alter_type(relation, command)?;
                "alter the type of column"
            }
            _ => {
                return Err(refused(
                    "This kind of ALTER TABLE is not available.",
                    "Add, drop or rename columns and constraints, change types, defaults and NOT NULL; ask your operator for \
                     the rest.",
                ));
            }
        };
        if let Some(column) = relation.columns.iter().find(|column| column.name == name) {
            self.names(relation, column);
        }
        self.becomes(shown, &format!("{words} {name}"));
        Ok(())
    }

    fn alter_default(&mut self, relation: &'a Relation, command: &pb::AlterTableCmd) -> Result<(), Refusal> {
        let Some(value) = command.def.as_deref() else {
            return self.column(relation, &command.name).map(drop);
        };
        // A default of a masked column could be the guess that a token is compared with.
        self.open(relation, &command.name)?;
        let of = Of {
            rows: None,
            name: (&relation.schema, &relation.name),
            from: "",
        };
        self.expression(Some(value), of)
    }

    fn add_column(&mut self, relation: &'a Relation, command: &mut pb::AlterTableCmd) -> Result<(), Refusal> {
        let Some(NodeEnum::ColumnDef(column)) = command.def.as_mut().and_then(|def| def.node.as_mut()) else {
            return Err(unprinted());
        };
        if relation.columns.iter().any(|known| known.name == column.colname) {
            return Err(refused(
                format!("There is a column `{}` already.", column.colname),
                "Choose another name.",
            ));
        }
        let made = self.new_column(column, (&relation.schema, &relation.name))?;
        let words = format!("add column {}", column.colname);
        let touch = self.touch(relation, ACCESS_EXCLUSIVE);
        touch.rewrites |= made.rewrites;
        touch.counts |= made.counts || made.rewrites;
        touch.adds.insert(column.colname.clone());
        self.becomes(self.known.catalog.shown(relation), &words);
        Ok(())
    }

    fn add_constraint(
        &mut self,
        relation: &'a Relation,
        command: &mut pb::AlterTableCmd,
    ) -> Result<(), Refusal> {
        let Some(NodeEnum::Constraint(constraint)) = command.def.as_mut().and_then(|def| def.node.as_mut())
        else {
            return Err(unprinted());
        };
        let from = format!(" FROM {}.{}", quoted(&relation.schema), quoted(&relation.name));
        let of = Of {
            rows: Some(relation),
            name: (&relation.schema, &relation.name),
            from: &from,
        };
        self.of_table(constraint, of)?;
        let words = format!("add constraint {}", constraint.conname);
        self.becomes(self.known.catalog.shown(relation), words.trim_end());
        Ok(())
    }

    /// A type is changed by the server's own casts; whether each value has a form in the new one tells of it.
    fn alter_type(&mut self, relation: &'a Relation, command: &mut pb::AlterTableCmd) -> Result<(), Refusal> {
        let column = self.open(relation, &command.name)?;
        let Some(NodeEnum::ColumnDef(def)) = command.def.as_mut().and_then(|def| def.node.as_mut()) else {
            return Err(unprinted());
        };
        if !def.constraints.is_empty() {
            return Err(unprinted());
        }
        self.type_of(def.type_name.as_mut())?;
        let touch = self.touch(relation, ACCESS_EXCLUSIVE);
        touch.rewrites = true;
        touch.reads.insert(column.number);
        self.found.facts.irreversible = true; // what the new type has no room for is lost
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn create_view(&mut self, view: &mut pb::ViewStmt) -> Result<(), Refusal> {
        if view.replace || view.with_check_option > pb::ViewCheckOption::NoCheckOption.into() {
            return Err(refused(
                "OR REPLACE and WITH CHECK OPTION are not available.",
                "Drop the view first, then create it.",
            ));
        }
        let (schema, name) = self.made(view.view.as_mut())?;
        texts(&view.aliases)?;
        let query = view.query.as_mut().ok_or_else(unprinted)?;
        let text = printed(query.node.clone().ok_or_else(unprinted)?)?;
        let catalog = self.known.catalog;
        let checked = super::super::read(&text, &[], catalog, &BTreeSet::new(), Mode::Query)?;
        if checked.parameters > 0 {
            return Err(refused(
                "A view takes no parameters.",
                "Write the values into the statement.",
            ));
        }
        // It would read as its owner does, whom no mask and no row-level security binds.
        if let Some(column) = checked.classified.first() {
            return Err(refused(
                format!(
                    "The view would read a relation with the masked column `{}`.",
                    column.column
                ),
                "Read relations that are public in every column, or ask your operator for the view.",
            ));
        }
        for relation in catalog.relations.values() {
            if !checked.relations.contains(&relation.oid) {
                continue;
            }
            // Another view may show more to the owner of this one than to whoever asks.
            is_table(relation)?;
            if let Some(column) = relation.columns.iter().find(|column| !column.granted) {
                return Err(masked(&catalog.shown_column(relation, column)));
            }
            let all: BTreeSet<i16> = relation.columns.iter().map(|column| column.number).collect();
            let touch = self.touch(relation, "ACCESS SHARE");
            touch.reads.extend(all);
            touch.foreign = true;
        }
        self.found.facts.functions.extend(checked.facts.functions);
        self.found.facts.columns.extend(checked.facts.columns);
        query.node = Some(typed(&checked.sql).ok_or_else(unprinted)?);
        let shown = self.shown(&schema, &name);
        self.found.facts.tables.insert(shown.clone());
        self.becomes(shown, "create view");
        Ok(())
    }

    /// # Errors
    /// `statement_refused`.
    pub(super) fn create_index(&mut self, index: &mut pb::IndexStmt) -> Result<(), Refusal> {
        let relation = self.relation(index.relation.as_mut())?;
        if relation.kind != RelationKind::Materialized {
            is_table(relation)?;
        }
        if !METHODS.contains(&index.access_method.as_str()) {
            return Err(refused(
                "This kind of index is not available.",
                "Use btree, hash, gin, gist, brin or spgist.",
            ));
        }
        let catalog = self.known.catalog;
        if !index.idxname.is_empty()
            && self
                .known
                .indexes
                .contains_key(&(relation.schema.clone(), index.idxname.clone()))
        {
            return Err(refused(
                format!("There is an index `{}` already.", index.idxname),
                "Choose another name.",
            ));
        }
        let touch = self.touch(relation, "SHARE");
        touch.scans = true;
        let from = format!(" FROM {}.{}", quoted(&relation.schema), quoted(&relation.name));
        let parts = index.index_params.iter().chain(&index.index_including_params);
        for part in parts {
            let Some(NodeEnum::IndexElem(part)) = &part.node else {
                return Err(unprinted());
            };
            if !part.name.is_empty() {
                let column = self.open(relation, &part.name)?;
                self.names(relation, column);
                self.touch(relation, "SHARE").reads.insert(column.number);
            }
            if let Some(expression) = &part.expr {
                self.indexed(expression, relation, &from)?;
            }
            texts(&part.opclass)?;
        }
        if let Some(condition) = &index.where_clause {
            self.indexed(condition, relation, &from)?;
        }
        let what = match index.unique {
            true => "create unique index",
            false => "create index",
        };
        let words = format!("{what} {}", index.idxname);
        self.becomes(catalog.shown(relation), words.trim_end());
        Ok(())
    }

    fn indexed(&mut self, expression: &pb::Node, relation: &'a Relation, from: &str) -> Result<(), Refusal> {
        let of = Of {
            rows: Some(relation),
            name: (&relation.schema, &relation.name),
            from,
        };
        self.expression(Some(expression), of)
    }
}

/// For objects: a list as one node.
pub(super) fn list(items: Vec<pb::Node>) -> pb::Node {
    node(NodeEnum::List(pb::List { items }))
}
