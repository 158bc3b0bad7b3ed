//! What stands in a FROM: relations under their full names, common table expressions, subqueries, joins.

use sqlparser::ast::{
    Ident, Join, JoinConstraint, JoinOperator, JsonTableColumn, JsonTableColumnErrorHandling, ObjectName,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, ValueWithSpan,
};

use super::expressions::not_reserved;
use super::refusals::plainer;
use super::refused;
use super::scope::Item;
use super::walk::{Common, Done, Walk, full, name_parts};
use crate::call::Refusal;

impl Walk<'_> {
    /// A relation and what it is joined with.
    ///
    /// # Errors
    /// `statement_refused` for what is not available.
    pub(super) fn joined(&mut self, tables: &mut TableWithJoins) -> Done {
        let TableWithJoins { relation, joins } = tables;
        self.factor(relation)?;
        for join in joins {
            let Join {
                relation,
                global,
                join_operator,
            } = join;
            if *global {
                return Err(plainer("This join"));
            }
            self.factor(relation)?;
            match join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Left(constraint)
                | JoinOperator::LeftOuter(constraint)
                | JoinOperator::Right(constraint)
                | JoinOperator::RightOuter(constraint)
                | JoinOperator::CrossJoin(constraint)
                | JoinOperator::StraightJoin(constraint) => self.constraint(constraint)?,
                JoinOperator::FullOuter(_) => {
                    return Err(refused(
                        "FULL JOIN is not of MySQL or MariaDB.",
                        "Write a LEFT JOIN UNION a RIGHT JOIN.",
                    ));
                }
                _ => return Err(plainer("This join")),
            }
        }
        Ok(())
    }

    fn constraint(&mut self, constraint: &mut JoinConstraint) -> Done {
        match constraint {
            JoinConstraint::On(condition) => self.expression(condition),
            JoinConstraint::Using(names) => {
                for name in names {
                    match name_parts(name)?.as_slice() {
                        [column] => self
                            .scopes
                            .touch(self.catalog, None, &column.value, &mut self.columns),
                        _ => return Err(plainer("A qualified name in USING")),
                    }
                }
                Ok(())
            }
            JoinConstraint::Natural => {
                self.scopes.touch_shared(self.catalog, &mut self.columns);
                Ok(())
            }
            JoinConstraint::None => Ok(()),
        }
    }

    /// One thing of a FROM, with what it brings into scope.
    fn factor(&mut self, factor: &mut TableFactor) -> Done {
        match factor {
            TableFactor::Table { .. } => self.table(factor),
            TableFactor::Derived {
                lateral: _,
                subquery,
                alias,
                sample,
            } => {
                if sample.is_some() {
                    return Err(plainer("TABLESAMPLE"));
                }
                let name = match alias {
                    Some(alias) => self.alias(alias)?,
                    None => {
                        return Err(refused(
                            "A subquery in FROM has no name.",
                            "Name it: (SELECT …) AS t.",
                        ));
                    }
                };
                self.query(subquery)?;
                self.add(name, None);
                Ok(())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined(table_with_joins),
            TableFactor::JsonTable {
                json_expr,
                json_path,
                columns,
                alias: Some(alias),
            } => {
                self.expression(json_expr)?;
                string(json_path)?;
                columns.iter_mut().try_for_each(json_column)?;
                let name = self.alias(alias)?;
                self.functions.insert("json_table".to_owned());
                self.add(name, None);
                Ok(())
            }
            _ => Err(plainer("This item of a FROM")),
        }
    }

    fn add(&mut self, alias: String, relation: Option<String>) {
        self.scopes.add(Item { alias, relation });
    }

    /// A name in a FROM: a common table expression, or a relation.
    fn table(&mut self, factor: &mut TableFactor) -> Done {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Err(super::broken("a table"));
        };
        if !index_hints.is_empty() || !with_hints.is_empty() {
            return Err(refused(
                "Index hints are not available: what is read may be a view, which has none.",
                "Leave them out; the server chooses the index.",
            ));
        }
        if version.is_some() {
            return Err(refused(
                "FOR SYSTEM_TIME is not available: earlier versions of rows are not shown.",
                "Read the table as it is.",
            ));
        }
        let foreign = args.is_some() || *with_ordinality || json_path.is_some() || sample.is_some();
        if foreign || !partitions.is_empty() {
            return Err(plainer("A clause behind a table's name"));
        }
        let parts = name_parts(name)?;
        let called = match alias {
            Some(alias) if alias.columns.is_empty() => Some(self.alias(alias)?),
            Some(_) => return Err(plainer("A list of columns behind a table's name")),
            None => None,
        };
        if let [only] = parts.as_slice()
            && let Some(common) = self.common(&only.value)?
        {
            *name = ObjectName::from(vec![Ident::with_quote('`', common.sent)]);
            self.add(called.unwrap_or_else(|| only.value.clone()), None);
            alias.get_or_insert_with(|| alias_of(&only.value));
            return Ok(());
        }
        let relation = self.relation(&parts)?;
        let key = self.catalog.key(relation);
        if let Some(why) = self.catalog.closed.get(&key) {
            return Err(super::refusals::closed(&relation.name, *why));
        }
        self.relations.insert(key.clone());
        *name = full(&self.catalog.place, &relation.name);
        self.add(called.unwrap_or_else(|| relation.name.clone()), Some(key));
        Ok(())
    }

    /// The common table expression of this name: servers differ in whether case counts.
    fn common(&self, name: &str) -> Result<Option<Common>, Refusal> {
        let folded = name.to_lowercase();
        let mut known = self.commons.iter().rev();
        match known.find(|common| common.name.to_lowercase() == folded) {
            Some(common) if common.name == name => Ok(Some(common.clone())),
            Some(common) => Err(refused(
                format!(
                    "`{name}` and the common table expression `{}` differ in case.",
                    common.name
                ),
                "Write its name as WITH has it.",
            )),
            None => Ok(None),
        }
    }

    /// The name that an alias gives.
    pub(super) fn alias(&self, alias: &TableAlias) -> Result<String, Refusal> {
        let TableAlias {
            explicit: _,
            name,
            columns,
            at,
        } = alias;
        not_reserved(name)?;
        let plain = columns.iter().all(|TableAliasColumnDef { name, data_type }| {
            data_type.is_none() && matches!(name.quote_style, None | Some('`'))
        });
        if at.is_some() || !plain || !matches!(name.quote_style, None | Some('`')) {
            return Err(plainer("This form of an alias"));
        }
        Ok(name.value.clone())
    }
}

/// The alias by which a common table expression goes on being called as the statement has it.
fn alias_of(name: &str) -> TableAlias {
    TableAlias {
        explicit: true,
        name: Ident::with_quote('`', name),
        columns: Vec::new(),
        at: None,
    }
}

/// A string or number that stands where no expression may.
pub(super) fn string(value: &ValueWithSpan) -> Done {
    match value.value {
        Value::SingleQuotedString(_) | Value::Number(_, false) | Value::Null => Ok(()),
        _ => Err(plainer("What stands in the place of a string")),
    }
}

fn json_column(column: &mut JsonTableColumn) -> Done {
    match column {
        JsonTableColumn::ForOrdinality(_) => Ok(()),
        JsonTableColumn::Named(named) => {
            string(&named.path)?;
            for handling in [&named.on_empty, &named.on_error].into_iter().flatten() {
                if let JsonTableColumnErrorHandling::Default(value) = handling {
                    string(value)?;
                }
            }
            if super::types::allowed(&named.r#type) {
                Ok(())
            } else {
                Err(plainer("This type of a column"))
            }
        }
        JsonTableColumn::Nested(nested) => {
            string(&nested.path)?;
            nested.columns.iter_mut().try_for_each(json_column)
        }
    }
}
