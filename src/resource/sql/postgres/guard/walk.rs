//! What a statement refers to: every relation, column, function and type of it, found scope by scope as the
//! server finds them, and the edits that put masks in the place of relations.

use std::collections::{BTreeMap, BTreeSet};

use super::masks::{self, Look, quoted};
use super::names::{self, SYSTEM_COLUMNS};
use super::scope::{Item, Scopes, Source};
use super::text::{Edit, Tokens};
use super::tree::{Node, Tree};
use super::{Mode, SEE_SCHEMA, refused};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Catalog, Column, Relation};

/// What a name in the statement was found to be, by the byte where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A relation that is read as it is, under its full name.
    Plain { schema: String, name: String },
    /// A relation in whose place a subquery stands.
    Masked {
        schema: String,
        name: String,
        subquery: String,
    },
    /// A function or type that gets its schema.
    Schema(String),
    /// `schema.table.column`, which loses its schema.
    Stripped,
}

/// What the walk finds.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) found: BTreeMap<usize, Found>,
    pub(super) edits: Vec<Edit>,
    /// By their full names.
    pub(super) relations: BTreeSet<(String, String)>,
    /// Relation's number and column's number.
    pub(super) columns: BTreeSet<(u32, i16)>,
    pub(super) functions: BTreeSet<String>,
    /// The largest `$n`.
    pub(super) parameters: usize,
    /// Every name of a common table expression.
    pub(super) ctes: BTreeSet<String>,
    copied: usize,
    /// Names of columns that are no call by another name.
    columns_only: BTreeSet<String>,
    /// What stands for a relation, by its number and whether it stands with `ONLY`: a statement may name it often.
    subqueries: BTreeMap<(u32, bool), Option<String>>,
}

/// One walk over one statement.
pub(super) struct Walk<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) reveal: &'a BTreeSet<String>,
    pub(super) tokens: &'a Tokens<'a>,
    pub(super) mode: Mode,
    pub(super) scopes: Scopes<'a>,
    pub(super) seen: Seen,
}

type Done = Result<(), Refusal>;

impl<'a> Walk<'a> {
    /// Any node, in the scope it stands in.
    ///
    /// # Errors
    /// `statement_refused` for what is not available; `wrong_tool` for a change within a query.
    pub(super) fn tree(&mut self, tree: &'a Tree) -> Done {
        match tree {
            Tree::Node(node) => self.node(node),
            Tree::List(items) => items.iter().try_for_each(|item| self.tree(item)),
            Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => Ok(()),
        }
    }

    fn fields(&mut self, node: &'a Node) -> Done {
        node.fields.iter().try_for_each(|(_, value)| self.tree(value))
    }

    fn node(&mut self, node: &'a Node) -> Done {
        names::implied(self.catalog, self.mode, node)?;
        match node.kind {
            "SelectStmt" => self.select(node),
            "RangeVar" | "RangeSubselect" | "RangeFunction" | "RangeTableFunc" | "JsonTable" | "JoinExpr"
            | "RangeTableSample" => Err(Refusal::internal(format!(
                "postgres guard: {} out of place",
                node.kind
            ))),
            "ColumnRef" => self.column(node),
            "ParamRef" => self.parameter(node),
            "FuncCall" => {
                self.function(node)?;
                self.fields(node)
            }
            "TypeName" => {
                self.type_name(node)?;
                self.fields(node)
            }
            "AExpr" => {
                names::operator(self.catalog, self.mode, node, "name")?;
                self.fields(node)
            }
            "SubLink" => {
                names::operator(self.catalog, self.mode, node, "oper_name")?;
                self.fields(node)
            }
            "SortBy" => {
                names::operator(self.catalog, self.mode, node, "use_op")?;
                self.fields(node)
            }
            "CollateClause" => {
                names::collation(self.catalog, node)?;
                self.fields(node)
            }
            "AIndirection" => {
                self.selected_fields(node)?;
                self.fields(node)
            }
            "SetToDefault" => Err(refused("DEFAULT is not available here.", "Write the value.")),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" => Err(super::refusals::changes_in_with(self.mode)),
            _ => self.fields(node),
        }
    }

    /// A SELECT, VALUES, TABLE, or a set operation of them.
    pub(super) fn select(&mut self, node: &'a Node) -> Done {
        let depth = self.with(node)?;
        let done = self.body(node);
        self.scopes.ctes.truncate(depth);
        done
    }

    /// Common table expressions: each sees those before it, and all of them where the WITH is RECURSIVE.
    /// Gives what the list of names is cut back to.
    pub(super) fn with(&mut self, node: &'a Node) -> Result<usize, Refusal> {
        let depth = self.scopes.ctes.len();
        let Some(with) = node.node("with_clause") else {
            return Ok(depth);
        };
        let recursive = with.flag("recursive");
        let ctes: Vec<&Node> = with.list("ctes").iter().filter_map(Tree::node).collect();
        for cte in &ctes {
            names::cte(cte)?;
            self.seen.ctes.insert(cte.text("ctename").to_owned());
            self.seen.copied += usize::from(cte.number("ctematerialized") == 3);
            if recursive {
                self.scopes.ctes.push(cte.text("ctename"));
            }
        }
        if self.seen.copied > 2 {
            return Err(refused(
                "More than two common table expressions are NOT MATERIALIZED.",
                "Leave NOT MATERIALIZED out; the server decides.",
            ));
        }
        for cte in &ctes {
            let query = cte.node("ctequery").filter(|query| query.kind == "SelectStmt");
            let query = query.ok_or_else(|| super::refusals::changes_in_with(self.mode))?;
            // What is around a WITH is what is around its statement: none of its own FROM.
            self.select(query)?;
            for clause in ["search_clause", "cycle_clause"] {
                self.tree(cte.get(clause))?;
            }
            if !recursive {
                self.scopes.ctes.push(cte.text("ctename"));
            }
        }
        Ok(depth)
    }

    fn body(&mut self, node: &'a Node) -> Done {
        super::refusals::in_select(node, self.mode)?;
        if node.number("op") > 1 {
            for arm in ["larg", "rarg"] {
                if let Some(arm) = node.node(arm) {
                    self.select(arm)?;
                }
            }
        }
        self.scopes.enter();
        let done = self.clauses(node);
        self.scopes.leave();
        done
    }

    fn clauses(&mut self, node: &'a Node) -> Done {
        for item in node.list("from_clause") {
            self.in_from(item)?;
        }
        let rest = node.fields.iter().filter(|(field, _)| {
            !matches!(
                *field,
                "with_clause" | "from_clause" | "larg" | "rarg" | "distinct_clause"
            )
        });
        for (_, value) in rest {
            self.tree(value)?;
        }
        self.tree(node.get("distinct_clause"))
    }

    /// One thing of a FROM, with what it brings into scope.
    pub(super) fn in_from(&mut self, item: &'a Tree) -> Done {
        let Some(node) = item.node() else {
            return Ok(());
        };
        match node.kind {
            "RangeVar" => self.relation(node, false),
            "RangeSubselect" => self.subselect(node),
            "RangeTableSample" => {
                for field in ["args", "repeatable"] {
                    self.tree(node.get(field))?;
                }
                names::sampling(node)?;
                match node.node("relation") {
                    Some(relation) if relation.kind == "RangeVar" => self.relation(relation, true),
                    _ => Err(names::sampled()),
                }
            }
            "JoinExpr" => self.join(node),
            "RangeFunction" | "RangeTableFunc" | "JsonTable" => {
                let inner = node.fields.iter().filter(|(field, _)| *field != "alias");
                for (_, value) in inner {
                    self.tree(value)?;
                }
                let alias = node.node("alias").map(|alias| alias.text("aliasname"));
                self.scopes.add(Item {
                    alias: alias.unwrap_or("").to_owned(),
                    schema: None,
                    source: Source::Unknown,
                });
                Ok(())
            }
            _ => Err(Refusal::internal(format!(
                "postgres guard: {} in FROM",
                node.kind
            ))),
        }
    }

    fn subselect(&mut self, node: &'a Node) -> Done {
        let query = node.node("subquery").filter(|query| query.kind == "SelectStmt");
        let query = query.ok_or_else(|| super::refusals::changes_in_with(self.mode))?;
        // Without LATERAL it sees nothing of the FROM it stands in.
        let hidden = (!node.flag("lateral")).then(|| self.scopes.hide());
        let done = self.select(query);
        if let Some(hidden) = hidden {
            self.scopes.unhide(hidden);
        }
        done?;
        let alias = node.node("alias");
        let renamed = alias.is_some_and(|alias| !alias.list("colnames").is_empty());
        let source = match super::scope::outputs(query) {
            Some(names) if !renamed => Source::Query(names),
            _ => Source::Unknown,
        };
        self.scopes.add(Item {
            alias: alias.map_or("", |alias| alias.text("aliasname")).to_owned(),
            schema: None,
            source,
        });
        Ok(())
    }

    fn join(&mut self, node: &'a Node) -> Done {
        names::implied(self.catalog, self.mode, node)?;
        let first = self.scopes.len();
        for side in ["larg", "rarg"] {
            self.in_from(node.get(side))?;
        }
        let shared: Vec<&str> = match node.names("using_clause") {
            Some(names) => names,
            None => return Err(Refusal::internal("postgres guard: USING")),
        };
        for name in shared {
            self.scopes.touch(first, name, &mut self.seen.columns);
        }
        if node.flag("is_natural") {
            self.scopes.touch_shared(first, &mut self.seen.columns);
        }
        self.tree(node.get("quals"))?;
        for alias in ["alias", "join_using_alias"] {
            if let Some(alias) = node.node(alias) {
                let names = alias.names("colnames").unwrap_or_default();
                self.scopes.join_alias(first, alias.text("aliasname"), &names);
            }
        }
        Ok(())
    }

    /// A name in a FROM: a common table expression, or a relation.
    fn relation(&mut self, node: &'a Node, sampled: bool) -> Done {
        let (schema, name) = (node.text("schemaname"), node.text("relname"));
        let alias = node.node("alias");
        let shown_as = alias.map_or(name, |alias| alias.text("aliasname")).to_owned();
        if schema.is_empty() && self.scopes.ctes.contains(&name) {
            self.scopes.add(Item {
                alias: shown_as,
                schema: None,
                source: Source::Unknown,
            });
            return Ok(());
        }
        let schema = Some(schema).filter(|schema| !schema.is_empty());
        let relation = self.catalog.relation(schema, name).ok_or_else(|| {
            let written = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
            super::refusals::no_relation(&written)
        })?;
        if self.catalog.closed.contains(&relation.oid) {
            return Err(super::refusals::chosen_by_masked(&self.catalog.shown(relation)));
        }
        let key = (relation.schema.clone(), relation.name.clone());
        self.seen.relations.insert(key);
        let only = !node.flag("inh");
        let made = self.seen.subqueries.entry((relation.oid, only));
        let made = made.or_insert_with(|| subquery(self.catalog, relation, self.reveal, only));
        let subquery = made.clone();
        if sampled && subquery.is_some() {
            return Err(names::sampled());
        }
        self.splice(node, relation, subquery)?;
        let renamed = alias
            .and_then(|alias| alias.names("colnames"))
            .unwrap_or_default();
        self.scopes.add(Item {
            alias: shown_as,
            schema: alias.is_none().then(|| relation.schema.clone()),
            source: Source::Relation {
                oid: relation.oid,
                columns: super::scope::renamed(relation, &renamed),
            },
        });
        Ok(())
    }

    /// Puts a relation's full name, or its masks, in the place of its name.
    pub(super) fn splice(&mut self, node: &'a Node, relation: &Relation, subquery: Option<String>) -> Done {
        let lost = || Refusal::internal("postgres guard: a relation's place");
        let location = node.location().ok_or_else(lost)?;
        let span = names::relation_span(self.tokens, location, !node.flag("inh")).ok_or_else(lost)?;
        let (schema, name) = (relation.schema.clone(), relation.name.clone());
        let found = match subquery {
            None => {
                let full = format!("{}.{}", quoted(&schema), quoted(&name));
                self.seen.edits.push(Edit::new(span.name.0, span.name.1, full));
                Found::Plain { schema, name }
            }
            Some(subquery) => {
                if let Some((start, end)) = span.table {
                    self.seen.edits.push(Edit::new(start, end, "SELECT * FROM"));
                }
                let alias = match node.node("alias") {
                    Some(_) => String::new(),
                    None => format!(" AS {}", quoted(node.text("relname"))),
                };
                let text = format!("({subquery}){alias}");
                self.seen.edits.push(Edit::new(span.whole.0, span.whole.1, text));
                Found::Masked {
                    schema,
                    name,
                    subquery,
                }
            }
        };
        self.seen.found.insert(location, found);
        Ok(())
    }

    fn parameter(&mut self, node: &Node) -> Done {
        let number = usize::try_from(node.number("number")).unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            return Err(refused(
                "A parameter's number is out of range.",
                "Number parameters from $1.",
            ));
        }
        self.seen.parameters = self.seen.parameters.max(number);
        Ok(())
    }

    fn function(&mut self, node: &'a Node) -> Done {
        let function = names::function(self.catalog, node)?;
        self.seen.functions.insert(function.shown);
        if let (Some(schema), Some(location)) = (function.add, node.location()) {
            self.add_schema(location, schema);
        }
        Ok(())
    }

    fn type_name(&mut self, node: &'a Node) -> Done {
        if let (Some(schema), Some(location)) = (names::type_name(self.catalog, node)?, node.location()) {
            self.add_schema(location, schema);
        }
        Ok(())
    }

    fn add_schema(&mut self, location: usize, schema: String) {
        let edit = Edit::new(location, location, format!("{}.", quoted(&schema)));
        // A column definition's type may be met twice.
        if !self.seen.edits.contains(&edit) {
            self.seen.edits.push(edit);
        }
        self.seen.found.insert(location, Found::Schema(schema));
    }

    /// [`names::not_a_call`], once for each name.
    fn no_call(&mut self, name: &str) -> Done {
        if !self.seen.columns_only.contains(name) {
            names::not_a_call(self.catalog, name)?;
            self.seen.columns_only.insert(name.to_owned());
        }
        Ok(())
    }

    /// `(expression).name`: a field, or a function in another notation.
    fn selected_fields(&mut self, node: &'a Node) -> Done {
        for name in node.list("indirection").iter().filter_map(Tree::name) {
            self.system(name)?;
            self.no_call(name)?;
        }
        Ok(())
    }

    fn system(&self, name: &str) -> Done {
        if SYSTEM_COLUMNS.contains(&name) {
            return Err(refused(
                format!("The system column `{name}` is not available."),
                "Name the key column.",
            ));
        }
        Ok(())
    }

    fn column(&mut self, node: &'a Node) -> Done {
        let fields = node.list("fields");
        let named: Vec<Option<&str>> = fields.iter().map(Tree::name).collect();
        if let Some(Some(last)) = named.last() {
            self.system(last)?;
        }
        match named.as_slice() {
            [None] => {
                self.scopes.touch_all(&mut self.seen.columns);
                Ok(())
            }
            [Some("old" | "new")] if self.mode == Mode::Change => Err(no_item("old")),
            [Some(item), _] if self.mode == Mode::Change && !self.scopes.knows(item) => Err(no_item(item)),
            [Some(name)] => {
                self.scopes.name(name, &mut self.seen.columns);
                Ok(())
            }
            [Some(item), None] => {
                self.scopes.whole(item, None, &mut self.seen.columns);
                Ok(())
            }
            [Some(item), Some(name)] => {
                // Whatever we find: should the server find another item of that name, it would be a call.
                self.scopes.field(item, None, name, &mut self.seen.columns);
                self.no_call(name)
            }
            [Some(schema), Some(item), last] => self.qualified(node, schema, item, *last),
            _ => Err(refused(
                "A column's name has more than three parts.",
                "Name it as table.column, or with the table's alias.",
            )),
        }
    }

    /// `schema.table.column`. A masked relation is a subquery with the table's name, so the schema goes.
    fn qualified(&mut self, node: &'a Node, schema: &str, item: &str, last: Option<&str>) -> Done {
        if let Some(name) = last {
            self.no_call(name)?;
        }
        let known = match last {
            Some(name) => self
                .scopes
                .field(item, Some(schema), name, &mut self.seen.columns),
            None => self.scopes.whole(item, Some(schema), &mut self.seen.columns),
        };
        if !known {
            return Err(refused(
                format!(
                    "There is no column `{schema}.{item}.{}` here.",
                    last.unwrap_or("*")
                ),
                format!("Name it with the table's alias as the FROM gives it. {SEE_SCHEMA}"),
            ));
        }
        let relation = self.catalog.relation(Some(schema), item);
        let masked = relation.is_some_and(|relation| is_masked(self.catalog, relation, self.reveal));
        if masked {
            let lost = || Refusal::internal("postgres guard: a column's place");
            let location = node.location().ok_or_else(lost)?;
            let at = self.tokens.at(location).ok_or_else(lost)?;
            let table = self.tokens.tokens.get(at + 2).ok_or_else(lost)?;
            self.seen.edits.push(Edit::new(location, table.start, ""));
            self.seen.found.insert(location, Found::Stripped);
        }
        Ok(())
    }
}

/// A qualifier that is nothing here. In a change it must not be left to the server what it is.
fn no_item(name: &str) -> Refusal {
    refused(
        format!("There is no table or alias `{name}` here."),
        "Qualify columns with the tables and aliases of the statement.",
    )
}

/// Whether a column may be shown raw. Mostly none may, and then its name is not asked for.
pub(super) fn revealed(
    catalog: &Catalog,
    relation: &Relation,
    column: &Column,
    reveal: &BTreeSet<String>,
) -> bool {
    !reveal.is_empty() && reveal.contains(&catalog.shown_column(relation, column))
}

/// Whether a subquery has to stand for a relation.
pub(super) fn is_masked(catalog: &Catalog, relation: &Relation, reveal: &BTreeSet<String>) -> bool {
    let mut columns = relation.columns.iter();
    columns.any(|column| {
        !column.granted || column.class.is_some() && !revealed(catalog, relation, column, reveal)
    })
}

/// What stands for a relation: its columns in order, masked ones as masks. `None` if none is masked.
pub(super) fn subquery(
    catalog: &Catalog,
    relation: &Relation,
    reveal: &BTreeSet<String>,
    only: bool,
) -> Option<String> {
    if !is_masked(catalog, relation, reveal) {
        return None;
    }
    let mut columns = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let name = quoted(&column.name);
        let raw = column.class.is_none() || revealed(catalog, relation, column, reveal);
        columns.push(match masks::look(catalog, column, raw) {
            Look::Raw => name,
            Look::Blind(mask) | Look::Partial(mask) => format!("{mask} AS {name}"),
        });
    }
    Some(format!(
        "SELECT {} FROM {}{}.{}",
        columns.join(", "),
        if only { "ONLY " } else { "" },
        quoted(&relation.schema),
        quoted(&relation.name)
    ))
}
