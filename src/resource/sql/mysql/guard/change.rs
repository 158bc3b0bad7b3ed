//! Changes: one INSERT, UPDATE or DELETE of one table, which reads nothing that is classified.
//!
//! The table that is changed is the database's own, not the view with masks; whatever else a change reads, it reads
//! through these views, like a query.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, ObjectName, OnInsert, SetExpr, Statement,
    TableFactor, TableObject, TableWithJoins, Update, Value,
};

use super::lexer::{Kind, Token};
use super::refusals::{self, plainer};
use super::scope::Item;
use super::walk::{Done, Walk, full, name_parts};
use super::{Checked, Chosen, Which, refused, text};
use crate::call::{Action, ClassifiedColumn, Refusal};
use crate::resource::sql::mysql::catalog::{Catalog, Column, Relation};
use crate::resource::sql::tokens::holds_token;

/// What stands for a text that is not shown.
const CONSTANT: &str = "***";
/// What a text of the backstop begins with.
const MARKER: &str = "[masked:";

/// What a change is.
#[derive(Debug)]
pub(super) struct Change {
    kind: &'static str,
    /// The relation, as the catalogue spells it.
    table: String,
    /// Columns it gives values to.
    written: BTreeSet<String>,
    has_where: bool,
    /// Whether no condition of it names a column of the table.
    irreversible: bool,
    /// Whether it changes a row that is there where it cannot add one.
    upserts: bool,
}

/// See [`super::is_mask`].
pub(super) fn is_mask(text: &str, strict: bool) -> bool {
    text.contains(MARKER) || holds_token(text) || strict && text.starts_with(CONSTANT)
}

impl Change {
    /// Adds to what is told of a statement.
    pub(super) fn describe(self, checked: &mut Checked, catalog: &Catalog, sent: &[Token<'_>]) {
        checked.which = Some(match (self.kind, self.upserts) {
            ("insert", false) => Which::New,
            ("insert", true) => Which::Perhaps,
            _ => Which::There(chosen(sent)),
        });
        checked.action = Action::SqlWrite;
        checked.facts.kind = self.kind.to_owned();
        checked.facts.has_where = self.has_where;
        checked.facts.irreversible = self.irreversible;
        let relation = catalog.relation(&self.table);
        let columns = relation.into_iter().flat_map(|relation| &relation.columns);
        for column in columns.filter(|column| self.written.contains(&column.name)) {
            let shown = format!("{}.{}", self.table, column.name);
            if let Some((class, _)) = &column.class {
                checked.named.insert(ClassifiedColumn {
                    class: class.clone(),
                    column: shown.clone(),
                });
            }
            checked.facts.columns.insert(shown);
        }
        checked.target = Some((self.table, self.written));
    }
}

/// The table and the condition of an UPDATE or DELETE of one table, as they are sent. Neither has a clause behind its
/// WHERE; what is in brackets is no clause of its own.
fn chosen(sent: &[Token<'_>]) -> Chosen {
    let (mut depth, mut begin, mut end, mut condition) = (0_usize, 0, None, None);
    for (at, token) in sent.iter().enumerate() {
        match token {
            token if token.is("(") => depth += 1,
            token if token.is(")") => depth = depth.saturating_sub(1),
            _ if depth > 0 || condition.is_some() => {}
            token if end.is_none() && (token.is_word("UPDATE") || token.is_word("FROM")) => begin = at + 1,
            token if token.is_word("SET") => end = end.or(Some(at)),
            token if token.is_word("WHERE") => condition = Some(at),
            _ => {}
        }
    }
    let condition = condition.unwrap_or(sent.len());
    let text = |tokens: Option<&[Token<'_>]>| {
        text::written(tokens.unwrap_or_default(), |token| text::literal(&token.text))
    };
    let before = sent.get(..condition).unwrap_or_default().iter();
    Chosen {
        from: text(sent.get(begin..end.unwrap_or(condition))),
        condition: text(sent.get(condition..)),
        skipped: before
            .filter(|token| matches!(token.kind, Kind::Parameter(_)))
            .count(),
    }
}

/// A clause that is refused whatever it holds.
fn without(present: bool, what: &str, way_out: &str) -> Done {
    if present {
        Err(refused(format!("{what} is not available in a change."), way_out))
    } else {
        Ok(())
    }
}

impl<'c> Walk<'c> {
    /// One change.
    ///
    /// # Errors
    /// `statement_refused`, `wrong_tool`.
    pub(super) fn change(&mut self, tree: &mut Statement, tokens: &[Token<'_>]) -> Result<Change, Refusal> {
        self.scopes.enter();
        let change = match tree {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Query(_) => Err(refusals::not_a_change()),
            _ => Err(plainer("This kind of change")),
        }?;
        self.scopes.leave();
        self.nothing_classified()?;
        let table = self.catalog.relation(&change.table);
        let columns = table.into_iter().flat_map(|table| &table.columns);
        let strict = columns
            .into_iter()
            .any(|column| column.class.is_some() && change.written.contains(&column.name));
        let is_mask = |token: &Token<'_>| token.kind == Kind::Text && is_mask(&token.text, strict);
        if tokens.iter().any(is_mask) {
            return Err(refused(
                "The statement writes a mask: what it stands for would be lost.",
                "Leave masked columns out of the statement, or give their real values.",
            ));
        }
        Ok(change)
    }

    fn insert(&mut self, insert: &mut Insert) -> Result<Change, Refusal> {
        insert_is_usual(insert)?;
        insert_is_plain(insert)?;
        let Insert {
            into,
            table,
            columns,
            source,
            assignments,
            on,
            ..
        } = insert;
        let TableObject::TableName(name) = table else {
            return Err(plainer("This target of an INSERT"));
        };
        *into = true;
        let relation = self.target(name, None)?;
        let mut written = BTreeSet::new();
        let mut given_to = Vec::new();
        for column in columns.iter() {
            given_to.push(own_column(relation, None, column)?);
        }
        if columns.is_empty() && assignments.is_empty() {
            given_to.extend(&relation.columns);
        }
        written.extend(given_to.iter().map(|column| column.name.clone()));
        if let Some(source) = source {
            given_rows(&source.body, &given_to)?;
            // What is inserted is read before there is a row: its scopes have no target.
            self.scopes.leave();
            self.query(source)?;
            self.scopes.enter();
            self.add_target(relation, None);
        }
        self.assigned(assignments, relation, &mut written)?;
        match on {
            None => {}
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => {
                self.on_duplicate = true;
                self.assigned(assignments, relation, &mut written)?;
                self.on_duplicate = false;
            }
            Some(_) => {
                return Err(refused(
                    "ON CONFLICT is not of MySQL or MariaDB.",
                    "Look with sql_query which of the rows are there; send an UPDATE for those, and an INSERT for the others.",
                ));
            }
        }
        Ok(Change {
            kind: "insert",
            table: relation.name.clone(),
            written,
            has_where: false,
            irreversible: false,
            upserts: on.is_some(),
        })
    }

    fn update(&mut self, update: &mut Update) -> Result<Change, Refusal> {
        let Update {
            update_token: _,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        without(
            !order_by.is_empty() || limit.is_some(),
            "ORDER BY or LIMIT",
            "Name the rows by their keys in WHERE.",
        )?;
        without(
            returning.is_some(),
            "RETURNING",
            "Read the rows with sql_query afterwards.",
        )?;
        if !optimizer_hints.is_empty() || from.is_some() || output.is_some() || or.is_some() {
            return Err(plainer("A clause of this UPDATE"));
        }
        let relation = self.only_target(table)?;
        let mut written = BTreeSet::new();
        self.assigned(assignments, relation, &mut written)?;
        let irreversible = self.condition(selection.as_mut(), relation)?;
        Ok(Change {
            kind: "update",
            table: relation.name.clone(),
            written,
            has_where: selection.is_some(),
            irreversible,
            upserts: false,
        })
    }

    fn delete(&mut self, delete: &mut Delete) -> Result<Change, Refusal> {
        let Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        without(
            !order_by.is_empty() || limit.is_some(),
            "ORDER BY or LIMIT",
            "Name the rows by their keys in WHERE.",
        )?;
        without(
            returning.is_some(),
            "RETURNING",
            "Read the rows with sql_query beforehand.",
        )?;
        if !tables.is_empty() || using.is_some() {
            return Err(several());
        }
        if !optimizer_hints.is_empty() || output.is_some() {
            return Err(plainer("A clause of this DELETE"));
        }
        let relation = match from {
            FromTable::WithFromKeyword(tables) => match tables.as_mut_slice() {
                [table] => self.only_target(table)?,
                _ => return Err(several()),
            },
            FromTable::WithoutKeyword(_) => return Err(plainer("DELETE without FROM")),
        };
        let irreversible = self.condition(selection.as_mut(), relation)?;
        Ok(Change {
            kind: "delete",
            table: relation.name.clone(),
            written: BTreeSet::new(),
            has_where: selection.is_some(),
            irreversible,
            upserts: false,
        })
    }

    /// The one table of an UPDATE or DELETE.
    fn only_target(&mut self, table: &mut TableWithJoins) -> Result<&'c Relation, Refusal> {
        let TableWithJoins { relation, joins } = table;
        if !joins.is_empty() {
            return Err(several());
        }
        let TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } = relation
        else {
            return Err(plainer("This target of a change"));
        };
        if !(with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty()) {
            return Err(plainer("PARTITION or an index hint"));
        }
        let alias = match alias {
            Some(alias) if alias.columns.is_empty() => Some(self.alias(alias)?),
            Some(_) => return Err(plainer("This form of an alias")),
            None => None,
        };
        self.target(name, alias)
    }

    /// The relation that is changed, under its full name, in scope.
    fn target(&mut self, name: &mut ObjectName, alias: Option<String>) -> Result<&'c Relation, Refusal> {
        let relation = self.relation(&name_parts(name)?)?;
        if relation.view {
            return Err(refused(
                format!("`{}` is a view; it is not changed.", relation.name),
                "Change the table that it shows.",
            ));
        }
        *name = full(&self.catalog.database, &relation.name);
        self.target = Some(relation.name.clone());
        self.add_target(relation, alias);
        Ok(relation)
    }

    fn add_target(&mut self, relation: &Relation, alias: Option<String>) {
        let key = self.catalog.key(relation);
        self.relations.insert(key.clone());
        self.scopes.add(Item {
            alias: alias.unwrap_or_else(|| relation.name.clone()),
            relation: Some(key),
        });
    }

    /// What is given to which columns.
    fn assigned(
        &mut self,
        assignments: &mut [Assignment],
        relation: &Relation,
        written: &mut BTreeSet<String>,
    ) -> Done {
        for Assignment { target, value } in assignments {
            let AssignmentTarget::ColumnName(name) = target else {
                return Err(plainer("A list of columns in SET"));
            };
            let target = self.scopes.outermost().map(|item| item.alias.as_str());
            let column = own_column(relation, target, name)?;
            written.insert(column.name.clone());
            given(column, value)?;
            self.expression(value)?;
        }
        Ok(())
    }

    /// A WHERE, and whether it names no column of the table that is changed.
    fn condition(&mut self, condition: Option<&mut Expr>, relation: &Relation) -> Result<bool, Refusal> {
        let Some(condition) = condition else {
            return Ok(true);
        };
        // What the server takes each name for says whether a row is excluded; what it might, what is read.
        let (columns, sent) = (std::mem::take(&mut self.columns), self.sent.clone());
        self.scopes.precise = true;
        let done = self.expression(&mut condition.clone());
        self.scopes.precise = false;
        let named = self.columns.iter().any(|(table, _)| *table == relation.name);
        (self.columns, self.sent) = (columns, sent);
        done?;
        self.expression(condition)?;
        Ok(!named)
    }

    /// Nothing that is classified may be read by a change.
    fn nothing_classified(&self) -> Done {
        for relation in self
            .relations
            .iter()
            .filter_map(|key| self.catalog.relations.get(key))
        {
            for column in relation.columns.iter().filter(|column| column.class.is_some()) {
                if self
                    .columns
                    .contains(&(relation.name.clone(), column.name.clone()))
                {
                    return Err(refused(
                        format!(
                            "A change may not read the classified column `{}.{}`.",
                            relation.name, column.name
                        ),
                        "Find the rows' keys with sql_query first, and name those; name columns instead of *.",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Refuses what INSERT may have elsewhere, with a way out for each.
fn insert_is_usual(insert: &Insert) -> Done {
    let refused = [
        (
            insert.ignore,
            "IGNORE",
            "Leave it out: a row that cannot be written is an error.",
        ),
        (
            insert.priority.is_some(),
            "A priority",
            "Leave LOW_PRIORITY, DELAYED or HIGH_PRIORITY out.",
        ),
        (
            insert.returning.is_some(),
            "RETURNING",
            "Read the rows with sql_query afterwards.",
        ),
        (
            insert.partitioned.is_some(),
            "PARTITION",
            "Leave it out; the server finds the partition.",
        ),
        (
            insert.replace_into,
            "REPLACE",
            "Look with sql_query which of the rows are there; send an UPDATE for those, and an INSERT for the others.",
        ),
    ];
    let mut refused = refused.into_iter();
    refused.try_for_each(|(present, what, way_out)| without(present, what, way_out))
}

/// Whether an INSERT has no clauses but those that are looked at.
fn insert_is_plain(insert: &Insert) -> Done {
    let Insert {
        insert_token: _,
        optimizer_hints,
        or,
        ignore: _,
        into: _,
        table: _,
        table_alias,
        columns: _,
        overwrite,
        source: _,
        assignments: _,
        partitioned: _,
        after_columns,
        has_table_keyword,
        on: _,
        returning: _,
        output,
        replace_into: _,
        priority: _,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let foreign = !optimizer_hints.is_empty()
        || or.is_some()
        || table_alias.is_some()
        || *overwrite
        || !after_columns.is_empty()
        || *has_table_keyword
        || output.is_some()
        || insert_alias.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || multi_table_insert_type.is_some()
        || !multi_table_into_clauses.is_empty()
        || !multi_table_when_clauses.is_empty()
        || multi_table_else_clause.is_some();
    if foreign {
        return Err(plainer("A clause of this INSERT"));
    }
    Ok(())
}

fn several() -> Refusal {
    refused(
        "A change of several tables is not available.",
        "Change one table at a time; name its rows with WHERE id IN (SELECT …).",
    )
}

/// The column of the changed table that a list or an assignment names.
fn own_column<'r>(
    relation: &'r Relation,
    target: Option<&str>,
    name: &ObjectName,
) -> Result<&'r Column, Refusal> {
    let parts = name_parts(name)?;
    let only = match parts.as_slice() {
        [only] => only,
        [item, only] if target == Some(item.value.as_str()) => only,
        _ => {
            return Err(refused(
                "A qualified column is written to.",
                "Name the column alone.",
            ));
        }
    };
    let mut columns = relation.columns.iter();
    let found = columns.find(|column| column.name.eq_ignore_ascii_case(&only.value));
    found.ok_or_else(|| {
        refused(
            format!("There is no column `{name}` in `{}`.", relation.name),
            super::SEE_SCHEMA,
        )
    })
}

/// What rows give to columns, place by place.
fn given_rows(body: &SetExpr, columns: &[&Column]) -> Done {
    if let SetExpr::Values(values) = body {
        for row in &values.rows {
            if row.content.len() != columns.len() {
                return Err(refused(
                    "A row has another number of values than there are columns.",
                    "Give one value for each column.",
                ));
            }
            let pairs = columns.iter().zip(&row.content);
            pairs
                .into_iter()
                .try_for_each(|(column, value)| given(column, value))?;
        }
        return Ok(());
    }
    match columns.iter().find(|column| column.class.is_some()) {
        Some(column) => Err(not_plain(column)),
        None => Ok(()),
    }
}

/// A classified column takes a constant, a parameter or DEFAULT: nothing that was read or computed.
fn given(column: &Column, value: &Expr) -> Done {
    let plain = match value {
        Expr::Value(value) => !matches!(value.value, Value::DoubleQuotedString(_)),
        Expr::Identifier(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case("DEFAULT"),
        Expr::UnaryOp {
            op: sqlparser::ast::UnaryOperator::Minus,
            expr,
        } => matches!(**expr, Expr::Value(_)),
        _ => false,
    };
    if plain || column.class.is_none() {
        Ok(())
    } else {
        Err(not_plain(column))
    }
}

fn not_plain(column: &Column) -> Refusal {
    refused(
        format!(
            "The classified column `{}` is given what is not a plain value.",
            column.name
        ),
        "Give it a constant or a parameter.",
    )
}
