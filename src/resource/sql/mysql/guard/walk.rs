//! What a statement refers to: every relation, column and function of it, scope by scope, and the full names that
//! are put in the place of relations.
//!
//! Every structure is taken apart with all of its fields, so that a field the library adds is an error when
//! this is built; every kind of node that is not named here is refused.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Cte, GroupByExpr, GroupByWithModifier, Ident, LimitClause, NamedWindowDefinition, NamedWindowExpr,
    ObjectName, ObjectNamePart, Offset, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, OrderBySort,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier,
    TableWithJoins, Values, WildcardAdditionalOptions, With,
};

use super::super::catalog::{Catalog, Relation};
use super::compared::Compared;
use super::expressions::not_reserved;
use super::lexer::{Kind, Token};
use super::plain::select_is_plain;
use super::refusals::{self, plainer};
use super::scope::{Columns, Scopes};
use super::{Checked, Mode, refused};
use crate::call::{Action, ClassifiedColumn, Refusal, SqlFacts};

pub(super) type Done = Result<(), Refusal>;

/// A common table expression in scope.
#[derive(Debug, Clone)]
pub(super) struct Common {
    /// As the statement names it.
    pub(super) name: String,
    /// What it is called in what is sent.
    pub(super) sent: String,
}

/// One walk over one statement.
#[derive(Debug)]
pub(super) struct Walk<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) mode: Mode,
    pub(super) scopes: Scopes,
    pub(super) commons: Vec<Common>,
    /// What common table expressions are called in what is sent.
    pub(super) sent: BTreeSet<String>,
    /// Relations met, by the catalogue's names.
    pub(super) relations: BTreeSet<String>,
    pub(super) columns: Columns,
    pub(super) functions: BTreeSet<String>,
    pub(super) compared: Compared,
    /// The table that a change is of, by its name.
    pub(super) target: Option<String>,
    /// Whether this is ON DUPLICATE KEY UPDATE, where VALUES(column) is what would have been inserted.
    pub(super) on_duplicate: bool,
    /// How common table expressions are called: a word that no name in the statement or the catalogue begins with.
    prefix: String,
}

impl<'c> Walk<'c> {
    pub(super) fn new(catalog: &'c Catalog, mode: Mode, tokens: &[Token<'_>]) -> Self {
        let mut prefix = "with".to_owned();
        let taken = |prefix: &str| {
            let begins = |name: &str| match name.is_ascii() {
                true => name
                    .get(..prefix.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
                false => name.to_lowercase().starts_with(prefix),
            };
            let named =
                |token: &Token<'_>| matches!(token.kind, Kind::Quoted | Kind::Word) && begins(&token.text);
            catalog.relations.keys().any(|name| begins(name))
                || tokens.iter().any(|token| named(token) && !token.is_word("WITH"))
        };
        while taken(&prefix) {
            prefix.push('_');
        }
        Self {
            catalog,
            mode,
            scopes: Scopes::default(),
            commons: Vec::new(),
            sent: BTreeSet::new(),
            relations: BTreeSet::new(),
            columns: Columns::new(),
            functions: BTreeSet::new(),
            compared: Compared::default(),
            target: None,
            on_duplicate: false,
            prefix,
        }
    }

    /// A query, in the scopes around it.
    ///
    /// # Errors
    /// `statement_refused` for what is not available.
    pub(super) fn query(&mut self, query: &mut Query) -> Done {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            return Err(refused(
                "FOR UPDATE and LOCK IN SHARE MODE are not available: a query takes no locks.",
                "Leave the clause out.",
            ));
        }
        if fetch.is_some() {
            return Err(refused("FETCH FIRST is not available.", "Write LIMIT."));
        }
        if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty()
        {
            return Err(plainer("A clause of this query"));
        }
        let depth = self.commons.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        // ORDER BY and LIMIT are of the whole; of a SELECT alone, they see its FROM.
        self.scopes.enter();
        self.body(body)?;
        if let Some(order_by) = order_by {
            self.order_by(order_by)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        self.scopes.leave();
        self.commons.truncate(depth);
        Ok(())
    }

    fn with(&mut self, with: &mut With) -> Done {
        let With {
            with_token: _,
            recursive,
            cte_tables,
        } = with;
        for cte in cte_tables {
            let Cte {
                alias,
                query,
                from,
                materialized,
                closing_paren_token: _,
            } = cte;
            if from.is_some() || materialized.is_some() {
                return Err(plainer("A clause of WITH"));
            }
            let name = self.alias(alias)?;
            if self
                .commons
                .iter()
                .any(|known| known.name.to_lowercase() == name.to_lowercase())
            {
                return Err(refused(
                    format!("Two common table expressions are called `{name}`."),
                    "Give each another name.",
                ));
            }
            let common = Common {
                name,
                sent: format!("{}{}", self.prefix, self.sent.len() + 1),
            };
            self.sent.insert(common.sent.clone());
            alias.name = Ident::with_quote('`', common.sent.clone());
            if *recursive {
                self.commons.push(common);
                self.query(query)?;
            } else {
                self.query(query)?;
                self.commons.push(common);
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &mut SetExpr) -> Done {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let known = match (op, set_quantifier) {
                    (SetOperator::Union | SetOperator::Except | SetOperator::Intersect, quantifier) => {
                        matches!(
                            quantifier,
                            SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
                        )
                    }
                    _ => false,
                };
                if !known {
                    return Err(plainer("This set operation"));
                }
                for arm in [left, right] {
                    self.scopes.enter();
                    self.body(arm)?;
                    self.scopes.leave();
                }
                Ok(())
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Table(_) => Err(refused(
                "TABLE is not available.",
                "Write SELECT * FROM and the table.",
            )),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                match self.mode {
                    Mode::Query => Err(refusals::not_a_select()),
                    Mode::Change => Err(plainer("A change within a statement")),
                }
            }
        }
    }

    pub(super) fn values(&mut self, values: &mut Values) -> Done {
        let Values {
            explicit_row: _,
            value_keyword: _,
            rows,
        } = values;
        for row in rows {
            self.all(&mut row.content)?;
        }
        Ok(())
    }

    fn select(&mut self, select: &mut Select) -> Done {
        select_is_plain(select)?;
        let Select {
            projection,
            from,
            selection,
            group_by,
            having,
            named_window,
            ..
        } = select;
        if !is_dual(from) {
            for tables in from.iter_mut() {
                self.joined(tables)?;
            }
        }
        for item in projection {
            self.shown(item)?;
        }
        for expression in [selection, having].into_iter().flatten() {
            self.expression(expression)?;
        }
        self.group_by(group_by)?;
        for NamedWindowDefinition(_, window) in named_window {
            match window {
                NamedWindowExpr::NamedWindow(_) => {}
                NamedWindowExpr::WindowSpec(spec) => self.window(spec)?,
            }
        }
        Ok(())
    }

    fn group_by(&mut self, group_by: &mut GroupByExpr) -> Done {
        match group_by {
            GroupByExpr::Expressions(expressions, modifiers)
                if modifiers
                    .iter()
                    .all(|modifier| *modifier == GroupByWithModifier::Rollup) =>
            {
                self.all(expressions)
            }
            _ => Err(refused(
                "This form of GROUP BY is not available.",
                "List the columns; WITH ROLLUP gives totals.",
            )),
        }
    }

    fn shown(&mut self, item: &mut SelectItem) -> Done {
        match item {
            SelectItem::UnnamedExpr(expression) => self.expression(expression),
            SelectItem::ExprWithAlias { expr, alias } => {
                column_alias(alias)?;
                self.expression(expr)
            }
            SelectItem::Wildcard(options) => {
                plain_wildcard(options)?;
                self.scopes.touch_all(self.catalog, None, &mut self.columns);
                Ok(())
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                plain_wildcard(options)?;
                let mut parts = name_parts(name)?;
                let item = self.qualifier(&mut parts)?;
                self.scopes
                    .touch_all(self.catalog, Some(&item), &mut self.columns);
                *name = ObjectName::from(parts);
                Ok(())
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _)
            | SelectItem::ExprWithAliases { .. } => Err(plainer("This item of a SELECT")),
        }
    }

    /// What qualifies a column, `table` or `database.table`, with the database as it is in what is sent.
    pub(super) fn qualifier(&self, parts: &mut [Ident]) -> Result<String, Refusal> {
        match parts {
            [item] => Ok(item.value.clone()),
            [_, _] if self.mode == Mode::Change => Err(refused(
                "A column with its database's name is not available in a change.",
                "Name columns alone, or as table.column.",
            )),
            [database, item] => {
                if !self.is_database(&database.value) {
                    return Err(refusals::no_relation(&format!(
                        "{}.{}",
                        database.value, item.value
                    )));
                }
                let relation = self.catalog.relation(&item.value);
                let relation = relation
                    .ok_or_else(|| refusals::no_relation(&format!("{}.{}", database.value, item.value)))?;
                *database = Ident::with_quote('`', self.catalog.place.clone());
                *item = Ident::with_quote('`', relation.name.clone());
                Ok(relation.name.clone())
            }
            _ => Err(plainer("A name of so many parts")),
        }
    }

    fn is_database(&self, name: &str) -> bool {
        match self.catalog.folded {
            true => name.to_lowercase() == self.catalog.database.to_lowercase(),
            false => name == self.catalog.database,
        }
    }

    /// A relation by the name that a statement gives it.
    ///
    /// # Errors
    /// `statement_refused`: it is not there, or in another database.
    pub(super) fn relation(&self, parts: &[Ident]) -> Result<&'c Relation, Refusal> {
        let shown = || {
            parts
                .iter()
                .map(|part| part.value.as_str())
                .collect::<Vec<_>>()
                .join(".")
        };
        let name = match parts {
            [name] => name,
            [database, name] if self.is_database(&database.value) => name,
            _ => return Err(refusals::no_relation(&shown())),
        };
        self.catalog
            .relation(&name.value)
            .ok_or_else(|| refusals::no_relation(&shown()))
    }

    fn order_by(&mut self, order_by: &mut OrderBy) -> Done {
        let OrderBy { kind, interpolate } = order_by;
        match kind {
            OrderByKind::Expressions(items) if interpolate.is_none() => self.ordered(items),
            _ => Err(plainer("This form of ORDER BY")),
        }
    }

    pub(super) fn ordered(&mut self, items: &mut [OrderByExpr]) -> Done {
        for item in items {
            let OrderByExpr {
                expr,
                options: OrderByOptions { sort, nulls_first },
                with_fill,
            } = item;
            if nulls_first.is_some() {
                return Err(refused(
                    "NULLS FIRST and NULLS LAST are not of MySQL or MariaDB.",
                    "Write ORDER BY x IS NULL, x.",
                ));
            }
            if with_fill.is_some() || !matches!(sort, None | Some(OrderBySort::Asc | OrderBySort::Desc)) {
                return Err(plainer("This form of ORDER BY"));
            }
            self.expression(expr)?;
        }
        Ok(())
    }

    fn limit(&mut self, limit: &mut LimitClause) -> Done {
        match limit {
            LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            } if limit_by.is_empty() => {
                if let Some(limit) = limit {
                    self.expression(limit)?;
                }
                match offset {
                    Some(Offset { value, rows: _ }) => self.expression(value),
                    None => Ok(()),
                }
            }
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.expression(offset)?;
                self.expression(limit)
            }
            LimitClause::LimitOffset { .. } => Err(plainer("This form of LIMIT")),
        }
    }

    /// What is told of a statement.
    pub(super) fn described(&self, sql: String, order: Vec<usize>) -> Checked {
        let relations = || {
            self.relations
                .iter()
                .filter_map(|key| self.catalog.relations.get(key))
        };
        let mut checked = Checked {
            sql,
            compared: self.compared.numbered(&order),
            order,
            facts: SqlFacts {
                kind: "select".to_owned(),
                tables: relations()
                    .flat_map(|relation| self.catalog.reached(relation))
                    .collect(),
                functions: self.functions.clone(),
                ..SqlFacts::default()
            },
            action: Action::SqlRead,
            classified: relations()
                .flat_map(|relation| self.catalog.classified(relation))
                .collect(),
            named: BTreeSet::new(),
            relations: relations().map(|relation| relation.name.clone()).collect(),
            target: None,
            which: None,
        };
        let columns =
            relations().flat_map(|relation| relation.columns.iter().map(move |column| (relation, column)));
        for (relation, column) in columns {
            if !self
                .columns
                .contains(&(relation.name.clone(), column.name.clone()))
            {
                continue;
            }
            let shown = format!("{}.{}", relation.name, column.name);
            if let Some((class, _)) = &column.class {
                checked.named.insert(ClassifiedColumn {
                    class: class.clone(),
                    column: shown.clone(),
                });
            }
            checked.facts.columns.insert(shown);
        }
        let used = relations().flat_map(|relation| self.catalog.used(relation));
        checked.facts.columns.extend(used);
        checked
    }
}

/// `` `database`.`name` ``.
pub(super) fn full(database: &str, name: &str) -> ObjectName {
    ObjectName::from(vec![
        Ident::with_quote('`', database),
        Ident::with_quote('`', name),
    ])
}

/// The parts of a name.
pub(super) fn name_parts(name: &ObjectName) -> Result<Vec<Ident>, Refusal> {
    let ObjectName(parts) = name;
    let parts = parts.iter().map(|part| match part {
        ObjectNamePart::Identifier(ident) if matches!(ident.quote_style, None | Some('`')) => {
            Ok(ident.clone())
        }
        _ => Err(plainer("This form of a name")),
    });
    parts.collect()
}

fn is_dual(from: &[TableWithJoins]) -> bool {
    match from {
        [TableWithJoins { relation, joins }] if joins.is_empty() => {
            relation.to_string().eq_ignore_ascii_case("dual")
        }
        _ => false,
    }
}

fn column_alias(alias: &Ident) -> Done {
    not_reserved(alias)?;
    match alias.quote_style {
        None | Some('`' | '\'') => Ok(()),
        Some(_) => Err(plainer("This form of an alias")),
    }
}

fn plain_wildcard(options: &WildcardAdditionalOptions) -> Done {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if plain {
        Ok(())
    } else {
        Err(plainer("What stands behind `*`"))
    }
}

/// Whether every SELECT of the outermost level has a WHERE.
pub(super) fn has_where(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.selection.is_some(),
        SetExpr::Query(query) => has_where(&query.body),
        SetExpr::SetOperation { left, right, .. } => has_where(left) && has_where(right),
        _ => false,
    }
}
