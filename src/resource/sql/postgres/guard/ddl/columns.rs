//! Columns, types, expressions and constraints.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf as pb;
use pg_query::protobuf::ConstrType;

use super::super::derived;
use super::super::{Mode, refused};
use super::names::{masked, nodes, texts};
use super::{ACCESS_EXCLUSIVE, Clerk, printed, shapes, unprinted};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::Relation;

/// Types that are a number from a sequence: the grammar knows them, the catalogue does not.
const SERIAL: &[&str] = &[
    "serial",
    "serial2",
    "serial4",
    "serial8",
    "bigserial",
    "smallserial",
];

/// Types whose values are never kept outside of their row, however long they are: whether the row still fits a page
/// would tell how long the others are.
const IN_ROW: &[&str] = &["tsquery", "oidvector", "int2vector"];

/// Of which table a constraint or an expression is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    /// The table, when it exists and the constraint is one of all its rows; none of a new table or column.
    pub(super) rows: Option<&'a Relation>,
    /// Schema and name, also of a new one.
    pub(super) name: (&'a str, &'a str),
    /// The FROM that expressions are checked with.
    pub(super) from: &'a str,
}

/// What a column of a statement turned out to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// A value of its type, as text, named as the column.
    pub(super) sample: String,
    /// Whether rows that exist may be written anew to have it.
    pub(super) rewrites: bool,
    /// Whether its success may tell how many there are.
    pub(super) counts: bool,
}

impl Clerk<'_> {
    /// A type, its name made complete. Gives a NULL of it, as text.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn type_of(&mut self, name: Option<&mut pb::TypeName>) -> Result<String, Refusal> {
        let name = name.ok_or_else(unprinted)?;
        let written = texts(&name.names)?;
        if written.last().is_some_and(|last| IN_ROW.contains(&last.as_str())) {
            return Err(refused(
                "Columns of this type are not available: its values have no place but their row.",
                "Keep it as text.",
            ));
        }
        if let [plain] = written.as_slice() {
            let types = &self.known.catalog.types;
            let in_schema = |schema: &str| types.contains_key(&(schema.to_owned(), plain.clone()));
            let mut path = self.known.catalog.path.iter();
            if let (false, Some(schema)) = (in_schema("pg_catalog"), path.find(|schema| in_schema(schema))) {
                name.names = nodes(&[schema, plain]);
            }
        }
        let cast = NodeEnum::TypeCast(Box::new(pb::TypeCast {
            arg: Some(Box::new(node(NodeEnum::AConst(pb::AConst {
                isnull: true,
                ..pb::AConst::default()
            })))),
            type_name: Some(name.clone()),
            ..pb::TypeCast::default()
        }));
        let text = self.values(&node(cast), "")?;
        text.strip_prefix("SELECT ")
            .map(str::to_owned)
            .ok_or_else(unprinted)
    }

    /// An expression over public columns of `from`. Gives the SELECT it was checked as, without `from`.
    ///
    /// # Errors
    /// `statement_refused`.
    fn values(&mut self, expression: &pb::Node, from: &str) -> Result<String, Refusal> {
        let tree = derived::of(expression).ok_or_else(unprinted)?;
        if !shapes::is_of_values(&tree) {
            return Err(refused(
                "An expression of a schema change may neither read nor take parameters.",
                "Write the value itself, or make a column of it.",
            ));
        }
        let text = printed(NodeEnum::SelectStmt(Box::new(pb::SelectStmt {
            target_list: vec![node(NodeEnum::ResTarget(Box::new(pb::ResTarget {
                val: Some(Box::new(expression.clone())),
                ..pb::ResTarget::default()
            })))],
            limit_option: pb::LimitOption::Default.into(),
            op: pb::SetOperation::SetopNone.into(),
            ..pb::SelectStmt::default()
        })))?;
        let catalog = self.known.catalog;
        let none = BTreeSet::new();
        let checked = super::super::read(&format!("{text}{from}"), &[], catalog, &none, Mode::Query)?;
        if let Some(column) = checked.named.first() {
            return Err(masked(&column.column));
        }
        // It would be called by the table's owner, whom neither grants nor row-level security bind as they bind agents.
        if let Some(function) = checked.facts.functions.iter().find(|name| name.contains('.')) {
            return Err(refused(
                format!("`{function}` is of the database's own: it would run as the owner of the table."),
                "Use PostgreSQL's own functions, or ask your operator to make the change.",
            ));
        }
        self.found.facts.functions.extend(checked.facts.functions);
        self.found.facts.columns.extend(checked.facts.columns);
        Ok(text)
    }

    /// An expression of a table: of `of.rows` it is noted which columns it looks at.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn expression(&mut self, expression: Option<&pb::Node>, of: Of<'_>) -> Result<(), Refusal> {
        let expression = expression.ok_or_else(unprinted)?;
        let before = std::mem::take(&mut self.found.facts.columns);
        self.values(expression, of.from)?;
        let named = std::mem::replace(&mut self.found.facts.columns, before);
        if let Some(relation) = of.rows {
            let catalog = self.known.catalog;
            for column in &relation.columns {
                if named.contains(&catalog.shown_column(relation, column)) {
                    let column = self.open(relation, &column.name)?;
                    let touch = self.touch(relation, ACCESS_EXCLUSIVE);
                    touch.reads.insert(column.number);
                }
            }
        }
        self.found.facts.columns.extend(named);
        Ok(())
    }

    /// A new column.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn new_column(
        &mut self,
        column: &mut pb::ColumnDef,
        table: (&str, &str),
    ) -> Result<Made, Refusal> {
        let shown = self.shown(table.0, table.1);
        if self
            .known
            .speaks_of(Some(table.0), table.1, Some(&column.colname))
        {
            return Err(refused(
                format!("`{}` cannot be a new name here.", column.colname),
                "Choose another name.",
            ));
        }
        let mut made = Made::default();
        let written = column
            .type_name
            .as_ref()
            .map(|name| texts(&name.names))
            .transpose()?;
        let plain = column
            .type_name
            .as_ref()
            .is_some_and(|name| name.array_bounds.is_empty() && name.typmods.is_empty());
        let serial = written
            .is_some_and(|written| matches!(written.as_slice(), [one] if SERIAL.contains(&one.as_str())));
        let sample = match plain && serial {
            true => {
                made.rewrites = true;
                "NULL::bigint".to_owned()
            }
            false => self.type_of(column.type_name.as_mut())?,
        };
        // A domain has constraints as a column has.
        let names = column.type_name.iter().map(|name| texts(&name.names));
        let names = names.collect::<Result<Vec<_>, _>>()?.concat();
        made.counts |= matches!(names.as_slice(), [schema, _] if schema != "pg_catalog");
        made.sample = format!("{sample} AS {}", quoted(&column.colname));
        let from = format!(" FROM (SELECT {}) AS {}", made.sample, quoted(table.1));
        for constraint in &mut column.constraints {
            let Some(NodeEnum::Constraint(constraint)) = &mut constraint.node else {
                return Err(unprinted());
            };
            let of = Of {
                rows: None,
                name: table,
                from: &from,
            };
            let kind = ConstrType::try_from(constraint.contype);
            made.counts |= !matches!(kind, Ok(ConstrType::ConstrNull | ConstrType::ConstrDefault));
            made.rewrites |= self.of_column(constraint, of)?;
        }
        self.found
            .facts
            .columns
            .insert(format!("{shown}.{}", column.colname));
        Ok(made)
    }

    /// A constraint of a new column. Gives whether rows that exist may be written anew.
    fn of_column(&mut self, constraint: &mut pb::Constraint, of: Of<'_>) -> Result<bool, Refusal> {
        match ConstrType::try_from(constraint.contype) {
            Ok(
                ConstrType::ConstrNull
                | ConstrType::ConstrNotnull
                | ConstrType::ConstrPrimary
                | ConstrType::ConstrUnique
                | ConstrType::ConstrAttrDeferrable
                | ConstrType::ConstrAttrNotDeferrable
                | ConstrType::ConstrAttrDeferred
                | ConstrType::ConstrAttrImmediate,
            ) => Ok(false),
            Ok(ConstrType::ConstrDefault) => {
                let calls = self.found.facts.functions.len();
                self.values(constraint.raw_expr.as_deref().ok_or_else(unprinted)?, "")?;
                Ok(self.found.facts.functions.len() > calls)
            }
            Ok(ConstrType::ConstrIdentity) => Ok(true),
            Ok(ConstrType::ConstrCheck) => {
                self.values(constraint.raw_expr.as_deref().ok_or_else(unprinted)?, of.from)?;
                Ok(false)
            }
            Ok(ConstrType::ConstrForeign) => self.refers(constraint, of.name).map(|()| false),
            _ => Err(not_available()),
        }
    }

    /// A constraint of a table.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn of_table(&mut self, constraint: &mut pb::Constraint, of: Of<'_>) -> Result<(), Refusal> {
        let keys = match ConstrType::try_from(constraint.contype) {
            Ok(ConstrType::ConstrCheck) => {
                self.expression(constraint.raw_expr.as_deref(), of)?;
                Vec::new()
            }
            Ok(ConstrType::ConstrPrimary | ConstrType::ConstrUnique) => texts(&constraint.keys)?,
            Ok(ConstrType::ConstrForeign) => {
                self.refers(constraint, of.name)?;
                texts(&constraint.fk_attrs)?
            }
            _ => return Err(not_available()),
        };
        let Some(relation) = of.rows else {
            return Ok(());
        };
        // A constraint that is not yet valid is one for whatever is written from now on.
        for key in keys {
            let column = self.open(relation, &key)?;
            self.names(relation, column);
            self.touch(relation, ACCESS_EXCLUSIVE).reads.insert(column.number);
        }
        self.touch(relation, ACCESS_EXCLUSIVE).scans |= !constraint.skip_validation;
        Ok(())
    }

    /// What a foreign key refers to: public columns, of a table that agents have.
    fn refers(&mut self, constraint: &mut pb::Constraint, of: (&str, &str)) -> Result<(), Refusal> {
        let name = constraint.pktable.as_mut().ok_or_else(unprinted)?;
        let itself = name.relname == of.1 && (name.schemaname.is_empty() || name.schemaname == of.0);
        let schema = Some(name.schemaname.as_str()).filter(|schema| !schema.is_empty());
        if itself && self.known.catalog.relation(schema, &name.relname).is_none() {
            of.0.clone_into(&mut name.schemaname); // a new table that refers to itself
            return Ok(());
        }
        let relation = self.table(Some(name))?;
        let mut keys = texts(&constraint.pk_attrs)?;
        if keys.is_empty() {
            let primary = relation.columns.iter().filter(|column| column.primary_key);
            keys = primary.map(|column| column.name.clone()).collect();
        }
        for key in &keys {
            let column = self.open(relation, key)?;
            self.names(relation, column);
            let touch = self.touch(relation, "SHARE ROW EXCLUSIVE");
            touch.reads.insert(column.number);
            touch.foreign = true;
        }
        match keys.is_empty() {
            true => Err(refused(
                format!("`{}` has no primary key to refer to.", relation.name),
                "Name the columns that the key refers to.",
            )),
            false => Ok(()),
        }
    }
}

fn not_available() -> Refusal {
    refused(
        "This kind of constraint is not available: generated columns, exclusions and the like compute or compare rows.",
        "Use NOT NULL, DEFAULT, IDENTITY, CHECK, PRIMARY KEY, UNIQUE or REFERENCES.",
    )
}

/// A node of this kind.
pub(super) fn node(inner: NodeEnum) -> pb::Node {
    pb::Node { node: Some(inner) }
}

pub(super) fn quoted(name: &str) -> String {
    super::super::masks::quoted(name)
}
