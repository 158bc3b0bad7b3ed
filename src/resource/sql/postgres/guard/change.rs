//! One INSERT, UPDATE or DELETE of one table.
//!
//! The table that is changed is the database's own, so nothing that is classified in it may be read: not in
//! WHERE, SET, a conflict clause or a subquery. Everything else is behind masks, and those may not decide or
//! be written either. What RETURNING gives is masked here.

use std::collections::BTreeSet;

use super::masks::{self, CONSTANT, Look, quoted};
use super::scope::{Item, Source};
use super::text::Edit;
use super::tree::{Node, Tree};
use super::walk::Walk;
use super::{Target, refused};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Catalog, Column, Relation, RelationKind};
use pg_query::protobuf::Token;

/// What changes are made of, beside what queries are made of.
pub(super) const SHAPES: &[(&str, &[&str])] = &[
    (
        "DeleteStmt",
        &[
            "relation",
            "using_clause",
            "where_clause",
            "returning_clause",
            "with_clause",
        ],
    ),
    ("IndexElem", &["name", "ordering", "nulls_ordering"]),
    ("InferClause", &["index_elems", "where_clause"]),
    (
        "InsertStmt",
        &[
            "relation",
            "cols",
            "select_stmt",
            "on_conflict_clause",
            "returning_clause",
            "with_clause",
            "override",
        ],
    ),
    ("MultiAssignRef", &["source", "colno", "ncolumns"]),
    (
        "OnConflictClause",
        &["action", "infer", "target_list", "where_clause"],
    ),
    ("ReturningClause", &["exprs"]),
    ("SetToDefault", &[]),
    (
        "UpdateStmt",
        &[
            "relation",
            "target_list",
            "where_clause",
            "from_clause",
            "returning_clause",
            "with_clause",
        ],
    ),
];

/// What no text that is written may have in it: a row that was read and is written back whole would lose
/// what its masks hide.
pub(super) const MARKER: &str = "[masked:";

/// `OnConflictAction::OnconflictUpdate`.
const DO_UPDATE: i64 = 3;

/// What was found in a change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: &'static str,
    /// The schema and name of the table.
    pub(super) table: (String, String),
    pub(super) target: Target,
    /// Columns RETURNING gives.
    pub(super) returned: BTreeSet<i16>,
    /// The list that RETURNING becomes.
    pub(super) returning: Option<String>,
    pub(super) has_where: bool,
    pub(super) irreversible: bool,
}

impl<'a> Walk<'a> {
    /// Walks a change. `shown` is what RETURNING may show raw; for all else nothing is revealed.
    ///
    /// # Errors
    /// `statement_refused`.
    pub(super) fn change(&mut self, root: &'a Node, shown: &BTreeSet<String>) -> Result<Change, Refusal> {
        let catalog: &'a Catalog = self.catalog;
        self.with(root)?;
        let name = root
            .node("relation")
            .ok_or_else(|| broken("a change of nothing"))?;
        let table = self.table(name)?;
        let alias = name
            .node("alias")
            .map_or(name.text("relname"), |alias| alias.text("aliasname"));
        let mut change = Change {
            kind: "delete",
            table: (table.schema.clone(), table.name.clone()),
            target: Target {
                relation: table.oid,
                written: BTreeSet::new(),
                defaults: BTreeSet::new(),
                clock: self.tokens.tokens.iter().any(|lexeme| is_clock(lexeme.token)),
                conditions: BTreeSet::new(),
                returning: root.node("returning_clause").is_some(),
                parameters: BTreeSet::new(),
            },
            returned: BTreeSet::new(),
            returning: None,
            has_where: root.node("where_clause").is_some(),
            irreversible: false,
        };
        if root.kind == "InsertStmt" {
            self.insert(root, name, table, &mut change)?;
        } else {
            self.scopes.enter();
            self.scopes.add(item(name, table, alias));
            self.update_or_delete(root, table, &mut change)?;
            self.scopes.leave();
        }
        markers(root, &change, table)?;
        self.nothing_classified(catalog)?;
        if let Some(clause) = root.node("returning_clause") {
            let alone = root.list("from_clause").is_empty() && root.list("using_clause").is_empty();
            if !alone && clause.list("exprs").iter().any(is_bare_star) {
                return Err(only_columns());
            }
            let list = returning(catalog, clause, table, alias, shown, &mut change.returned)?;
            let word = self
                .tokens
                .tokens
                .iter()
                .rev()
                .find(|lexeme| lexeme.token == Token::Returning);
            let word = word.ok_or_else(|| broken("RETURNING"))?;
            self.seen
                .edits
                .push(Edit::new(word.end, self.tokens.text.len(), format!(" {list}")));
            change.returning = Some(list);
        }
        Ok(change)
    }

    /// The table that is changed, under its full name.
    fn table(&mut self, node: &'a Node) -> Result<&'a Relation, Refusal> {
        let catalog: &'a Catalog = self.catalog;
        let schema = Some(node.text("schemaname")).filter(|schema| !schema.is_empty());
        let name = node.text("relname");
        let written = || schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
        let relation = catalog.relation(schema, name);
        let relation = relation.ok_or_else(|| super::refusals::no_relation(&written()))?;
        if !matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned) {
            return Err(refused(
                format!("`{}` is not a table; only tables are changed.", written()),
                "Change the table that it is made of.",
            ));
        }
        self.seen
            .relations
            .insert((relation.schema.clone(), relation.name.clone()));
        self.splice(node, relation, None)?;
        Ok(relation)
    }

    fn insert(
        &mut self,
        root: &'a Node,
        name: &'a Node,
        table: &'a Relation,
        change: &mut Change,
    ) -> Result<(), Refusal> {
        change.kind = "insert";
        let listed: Vec<&'a Column> = match root.list("cols") {
            [] => table.columns.iter().collect(),
            cols => {
                let cols = cols.iter().filter_map(Tree::node);
                cols.map(|col| assigned(table, col)).collect::<Result<_, _>>()?
            }
        };
        change.target.written = listed.iter().map(|column| column.number).collect();
        if root.list("cols").is_empty() {
            // Fewer values than columns leave the last ones to the table.
            let values = root
                .node("select_stmt")
                .map_or(&[][..], |rows| rows.list("values_lists"));
            let known = values.iter().map(|values| row(values).len()).min().unwrap_or(0);
            let rest = listed.iter().skip(known).map(|column| column.number);
            change.target.defaults.extend(rest);
        }
        if let Some(rows) = root.node("select_stmt") {
            given_rows(rows, &listed, change)?;
            self.scopes.enter();
            self.insert_rows(rows)?;
            self.scopes.leave();
        }
        let Some(conflict) = root.node("on_conflict_clause") else {
            return Ok(());
        };
        let alias = name
            .node("alias")
            .map_or(name.text("relname"), |alias| alias.text("aliasname"));
        self.scopes.enter();
        self.scopes.add(item(name, table, alias));
        if let Some(infer) = conflict.node("infer") {
            for element in infer.list("index_elems").iter().filter_map(Tree::node) {
                self.scopes.name(element.text("name"), &mut self.seen.columns);
            }
            self.tree(infer.get("where_clause"))?;
        }
        if conflict.number("action") == DO_UPDATE {
            change.kind = "upsert";
            self.scopes.add(Item {
                alias: "excluded".to_owned(),
                schema: None,
                ..item(name, table, "excluded")
            });
            self.assignments(conflict.list("target_list"), table, change)?;
            self.tree(conflict.get("where_clause"))?;
        }
        self.scopes.leave();
        Ok(())
    }

    /// VALUES may hold DEFAULT here, and nowhere else.
    fn insert_rows(&mut self, rows: &'a Node) -> Result<(), Refusal> {
        let lists = rows.list("values_lists");
        if lists.is_empty() {
            return self.select(rows);
        }
        if rows.node("with_clause").is_some() {
            self.with(rows)?;
        }
        for value in lists
            .iter()
            .filter_map(Tree::node)
            .flat_map(|list| list.list("items"))
        {
            if value.of_kind("SetToDefault").is_none() {
                self.tree(value)?;
            }
        }
        let rest = rows
            .fields
            .iter()
            .filter(|(field, _)| !matches!(*field, "values_lists" | "with_clause"));
        for (_, value) in rest {
            self.tree(value)?;
        }
        super::refusals::in_select(rows, self.mode)
    }

    fn update_or_delete(
        &mut self,
        root: &'a Node,
        table: &'a Relation,
        change: &mut Change,
    ) -> Result<(), Refusal> {
        for item in root.list("from_clause").iter().chain(root.list("using_clause")) {
            self.in_from(item)?;
        }
        if root.kind == "UpdateStmt" {
            change.kind = "update";
            self.assignments(root.list("target_list"), table, change)?;
        }
        // What the server takes each name for says whether a row is excluded; what it might, what is read.
        let before = self.seen.clone();
        self.seen.columns.clear();
        self.scopes.wide = false;
        self.tree(root.get("where_clause"))?;
        let named = self.seen.columns.iter().filter(|(oid, _)| *oid == table.oid);
        change.target.conditions = named.map(|(_, number)| *number).collect();
        self.seen = before;
        self.scopes.wide = true;
        self.tree(root.get("where_clause"))?;
        change.irreversible = change.target.conditions.is_empty();
        Ok(())
    }

    /// What SET gives to which columns.
    fn assignments(
        &mut self,
        targets: &'a [Tree],
        table: &'a Relation,
        change: &mut Change,
    ) -> Result<(), Refusal> {
        for target in targets.iter().filter_map(Tree::node) {
            let column = assigned(table, target)?;
            change.target.written.insert(column.number);
            given(column, target.get("val"), change)?;
            match target.get("val") {
                Tree::Node(node) if node.kind == "SetToDefault" => {}
                // The parts of (a, b) = (…) share their source; each part's turn walks all of it.
                Tree::Node(node) if node.kind == "MultiAssignRef" && node.number("colno") > 1 => {}
                Tree::Node(node) if node.kind == "MultiAssignRef" => match node.node("source") {
                    Some(row) if row.kind == "RowExpr" => {
                        let values = row.list("args").iter();
                        let given = values.filter(|value| value.of_kind("SetToDefault").is_none());
                        given.into_iter().try_for_each(|value| self.tree(value))?;
                    }
                    _ => self.tree(node.get("source"))?,
                },
                value => self.tree(value)?,
            }
        }
        Ok(())
    }

    /// Nothing that is classified may be read by a change.
    fn nothing_classified(&self, catalog: &Catalog) -> Result<(), Refusal> {
        let relations = self
            .seen
            .relations
            .iter()
            .filter_map(|key| catalog.relations.get(key));
        for relation in relations {
            for column in &relation.columns {
                let is_read = self.seen.columns.contains(&(relation.oid, column.number));
                if is_read && (column.class.is_some() || !column.granted) {
                    return Err(refused(
                        format!(
                            "A change may not read the classified column `{}`.",
                            catalog.shown_column(relation, column)
                        ),
                        "Find the rows' keys with sql_query first, and name those; name columns instead of *.",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What the time is, asked by a keyword.
fn is_clock(token: Token) -> bool {
    matches!(
        token,
        Token::CurrentDate
            | Token::CurrentTime
            | Token::CurrentTimestamp
            | Token::Localtime
            | Token::Localtimestamp
    )
}

fn broken(what: &str) -> Refusal {
    Refusal::internal(format!("postgres guard: {what}"))
}

fn item(name: &Node, table: &Relation, alias: &str) -> Item {
    Item {
        alias: alias.to_owned(),
        schema: name.node("alias").is_none().then(|| table.schema.clone()),
        source: Source::Relation {
            oid: table.oid,
            columns: super::scope::renamed(table, &[]),
        },
    }
}

/// The column that an item of a list of assignments names.
fn assigned<'r>(table: &'r Relation, target: &Node) -> Result<&'r Column, Refusal> {
    let name = target.text("name");
    if !target.list("indirection").is_empty() {
        return Err(refused(
            format!("Only a part of `{name}` is assigned."),
            "Assign the whole column.",
        ));
    }
    table
        .columns
        .iter()
        .find(|column| column.name == name)
        .ok_or_else(|| {
            refused(
                format!("There is no column `{name}` in `{}`.", table.name),
                super::SEE_SCHEMA,
            )
        })
}

/// What rows give to columns, place by place.
fn given_rows(rows: &Node, columns: &[&Column], change: &mut Change) -> Result<(), Refusal> {
    let lists: Vec<&[Tree]> = rows.list("values_lists").iter().map(row).collect();
    for values in &lists {
        for (column, value) in columns.iter().zip(*values) {
            given(column, value, change)?;
        }
    }
    if !lists.is_empty() {
        return Ok(());
    }
    let classified: Option<&&Column> = columns.iter().find(|column| column.class.is_some());
    let targets = rows.list("target_list");
    let plain = rows.number("op") <= 1 && !targets.iter().any(is_star);
    match (plain, classified) {
        (true, _) => {
            let values = targets
                .iter()
                .filter_map(Tree::node)
                .map(|target| target.get("val"));
            for (column, value) in columns.iter().zip(values) {
                given(column, value, change)?;
            }
            Ok(())
        }
        (false, None) => Ok(()),
        (false, Some(column)) => Err(not_plain(column)),
    }
}

fn row(list: &Tree) -> &[Tree] {
    list.node().map_or(&[], |list| list.list("items"))
}

/// `*` without a qualifier: beside other tables it is theirs too.
fn is_bare_star(target: &Tree) -> bool {
    let value = target.node().and_then(|target| target.node("val"));
    is_star(target) && value.is_some_and(|value| value.list("fields").len() == 1)
}

fn only_columns() -> Refusal {
    refused(
        "RETURNING lists something other than columns of the changed table.",
        "List its columns: RETURNING id, status.",
    )
}

fn is_star(target: &Tree) -> bool {
    let value = target.node().map(|target| target.get("val"));
    let fields = value
        .and_then(|value| value.of_kind("ColumnRef"))
        .map(|column| column.list("fields"));
    fields.is_some_and(|fields| fields.iter().any(|field| field.of_kind("AStar").is_some()))
}

/// A classified column takes a constant, a parameter or DEFAULT: nothing that was read or computed.
fn given(column: &Column, value: &Tree, change: &mut Change) -> Result<(), Refusal> {
    if value.of_kind("SetToDefault").is_some() {
        change.target.defaults.insert(column.number);
    }
    if column.class.is_none() {
        return Ok(());
    }
    let mut inner = value;
    while let Some(cast) = inner.of_kind("TypeCast") {
        inner = cast.get("arg");
    }
    match inner.node() {
        Some(node) if matches!(node.kind, "AConst" | "SetToDefault") => Ok(()),
        Some(node) if node.kind == "ParamRef" => {
            change
                .target
                .parameters
                .extend(usize::try_from(node.number("number")));
            Ok(())
        }
        _ => Err(not_plain(column)),
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

/// Refuses texts that are masks.
fn markers(root: &Node, change: &Change, table: &Relation) -> Result<(), Refusal> {
    let written = |column: &&Column| change.target.written.contains(&column.number);
    let mut classified = table.columns.iter().filter(|column| column.class.is_some());
    let strict = classified.any(|column| written(&column));
    let mut texts = Vec::new();
    root.fields
        .iter()
        .for_each(|(_, value)| literals(value, &mut texts));
    if texts.iter().any(|text| super::is_mask(text, strict)) {
        return Err(refused(
            "The statement writes a mask: what it stands for would be lost.",
            "Leave masked columns out of the statement, or give their real values.",
        ));
    }
    Ok(())
}

fn literals<'t>(tree: &'t Tree, into: &mut Vec<&'t str>) {
    match tree {
        Tree::List(items) => items.iter().for_each(|item| literals(item, into)),
        Tree::Node(node) if node.kind == "String" => into.push(node.text("sval")),
        Tree::Node(node) => node.fields.iter().for_each(|(_, value)| literals(value, into)),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}

/// The list of RETURNING with masks in it. Only columns of the table may be listed.
fn returning(
    catalog: &Catalog,
    clause: &Node,
    table: &Relation,
    alias: &str,
    shown: &BTreeSet<String>,
    returned: &mut BTreeSet<i16>,
) -> Result<String, Refusal> {
    let mut list = Vec::new();
    for target in clause.list("exprs").iter().filter_map(Tree::node) {
        let column = target.get("val").of_kind("ColumnRef").ok_or_else(only_columns)?;
        let parts: Vec<Option<&str>> = column.list("fields").iter().map(Tree::name).collect();
        let last = match parts.as_slice() {
            [last] => *last,
            [Some(item), last] if *item == alias => *last,
            _ => return Err(only_columns()),
        };
        let columns: Vec<&Column> = match last {
            None => table.columns.iter().collect(),
            Some(name) => table
                .columns
                .iter()
                .filter(|column| column.name == name)
                .collect(),
        };
        if columns.is_empty() {
            return Err(only_columns());
        }
        for column in columns {
            let name = match target.text("name") {
                "" => column.name.as_str(),
                name => name,
            };
            let raw = column.class.is_none() || shown.contains(&catalog.shown_column(table, column));
            let value = match masks::look(catalog, column, raw) {
                Look::Raw => format!("{}.{}", quoted(alias), quoted(&column.name)),
                Look::Blind(mask) => mask,
                Look::Partial(_) => format!("'{CONSTANT}'::pg_catalog.text"),
            };
            list.push(format!("{value} AS {}", quoted(name)));
            returned.insert(column.number);
        }
    }
    Ok(list.join(", "))
}
