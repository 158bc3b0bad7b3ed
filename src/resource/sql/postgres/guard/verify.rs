//! What was written, read again: it may differ from the agent's statement only where a mask or a schema was
//! put, and nothing of it may reach a masked column but its mask.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::masks::{self, Look};
use super::text::parse_ours;
use super::tree::{Node, Tree, is_place};
use super::walk::{self, Found};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{Catalog, Column, Relation};

fn broken(what: &str) -> Refusal {
    Refusal::internal(format!("postgres guard: verification: {what}"))
}

/// Generated subqueries as trees. A text of ours always means the same, so one stays as long as its catalogue.
#[derive(Debug, Default)]
pub(in crate::resource::sql::postgres) struct Masks(Mutex<BTreeMap<String, Arc<Tree>>>);

/// How many are kept.
const REMEMBERED: usize = 1_024;

impl Clone for Masks {
    /// Another catalogue finds its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Masks {
    fn parsed(&self, subquery: &str) -> Result<Arc<Tree>, Refusal> {
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(subquery)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = Arc::new(parse_ours(subquery)?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REMEMBERED {
            kept.clear();
        }
        kept.insert(subquery.to_owned(), Arc::clone(&made));
        Ok(made)
    }
}

/// Compares two trees node by node.
pub(super) struct Compare<'a> {
    pub(super) found: &'a BTreeMap<usize, Found>,
    /// Generated subqueries that were parsed already.
    pub(super) masks: &'a Masks,
    /// The list that RETURNING became.
    pub(super) returning: Option<&'a str>,
}

impl<'a> Compare<'a> {
    /// Whether `new` is `old` with what was found in place.
    ///
    /// # Errors
    /// `internal`: it differs in something else.
    pub(super) fn trees(&mut self, old: &'a Tree, new: &Tree) -> Result<(), Refusal> {
        match (old, new) {
            (Tree::Node(old), Tree::Node(new)) => self.nodes(old, new),
            (Tree::List(old), Tree::List(new)) if old.len() == new.len() => old
                .iter()
                .zip(new)
                .try_for_each(|(old, new)| self.trees(old, new)),
            _ if old == new => Ok(()),
            _ => Err(broken("a value differs")),
        }
    }

    fn nodes(&mut self, old: &'a Node, new: &Node) -> Result<(), Refusal> {
        let found = match old.kind {
            "RangeVar" | "FuncCall" | "TypeName" | "ColumnRef" => {
                old.location().and_then(|location| self.found.get(&location))
            }
            _ => None,
        };
        match (old.kind, found) {
            ("RangeVar", Some(Found::Plain { schema, name })) if new.kind == "RangeVar" => {
                let named = new.text("schemaname") == schema && new.text("relname") == name;
                if !named {
                    return Err(broken("a relation has another name"));
                }
                self.same_fields(old, new, &["schemaname", "relname"])
            }
            ("RangeVar", Some(Found::Masked { subquery, .. })) => self.masked(old, new, subquery),
            ("FuncCall", Some(Found::Schema(schema))) if new.kind == "FuncCall" => {
                prefixed(old, new, "funcname", schema)?;
                self.same_fields(old, new, &["funcname"])
            }
            ("TypeName", Some(Found::Schema(schema))) if new.kind == "TypeName" => {
                prefixed(old, new, "names", schema)?;
                self.same_fields(old, new, &["names"])
            }
            ("ColumnRef", Some(Found::Stripped)) if new.kind == "ColumnRef" => {
                let shorter = old.list("fields").get(1..).unwrap_or_default();
                if shorter != new.list("fields") {
                    return Err(broken("a column has another name"));
                }
                Ok(())
            }
            ("RangeVar", Some(_)) => Err(broken("a relation became something else")),
            ("ReturningClause", _) if new.kind == "ReturningClause" => {
                let list = self.returning.ok_or_else(|| broken("RETURNING"))?;
                let made = parse_ours(&format!("SELECT {list}"))?;
                let made = made.node().map(|select| select.get("target_list"));
                if made.is_some_and(|made| same(made, new.get("exprs"))) && new.fields.len() == 1 {
                    Ok(())
                } else {
                    Err(broken("RETURNING differs"))
                }
            }
            _ => self.same_fields(old, new, &[]),
        }
    }

    fn same_fields(&mut self, old: &'a Node, new: &Node, except: &[&str]) -> Result<(), Refusal> {
        if old.kind != new.kind {
            return Err(broken("a node has another kind"));
        }
        let counts = |field: &str| !is_place(field) && !except.contains(&field);
        let mut olds = old.fields.iter().filter(|(field, _)| counts(field));
        let mut news = new.fields.iter().filter(|(field, _)| counts(field));
        loop {
            match (olds.next(), news.next()) {
                (None, None) => return Ok(()),
                (Some((old_field, old)), Some((new_field, new))) if old_field == new_field => {
                    self.trees(old, new)?;
                }
                _ => return Err(broken("a node has other fields")),
            }
        }
    }

    /// A relation became a subquery: exactly the one that was made, under the same name.
    fn masked(&mut self, old: &'a Node, new: &Node, subquery: &'a str) -> Result<(), Refusal> {
        if new.kind != "RangeSubselect" || new.flag("lateral") {
            return Err(broken("a relation is not behind its masks"));
        }
        let alias = new.node("alias").ok_or_else(|| broken("a mask without a name"))?;
        match old.node("alias") {
            Some(before) => self.same_fields(before, alias, &[])?,
            None => {
                let same =
                    alias.text("aliasname") == old.text("relname") && alias.list("colnames").is_empty();
                if !same {
                    return Err(broken("a mask has another name"));
                }
            }
        }
        if same(&*self.masks.parsed(subquery)?, new.get("subquery")) {
            Ok(())
        } else {
            Err(broken("a mask differs"))
        }
    }
}

fn prefixed(old: &Node, new: &Node, field: &str, schema: &str) -> Result<(), Refusal> {
    let (old, new) = (old.names(field), new.names(field));
    match (old.as_deref(), new.as_deref()) {
        (Some([name]), Some([added, same])) if *added == schema && name == same => Ok(()),
        _ => Err(broken("a name differs")),
    }
}

/// Whether two trees are the same but for places.
pub(super) fn same(one: &Tree, other: &Tree) -> bool {
    match (one, other) {
        (Tree::Node(one), Tree::Node(other)) => {
            let counts = |field: &&(&'static str, Tree)| !is_place(field.0);
            one.kind == other.kind
                && one.fields.iter().filter(counts).count() == other.fields.iter().filter(counts).count()
                && one
                    .fields
                    .iter()
                    .filter(counts)
                    .zip(other.fields.iter().filter(counts))
                    .all(|((one_field, one), (other_field, other))| {
                        one_field == other_field && same(one, other)
                    })
        }
        (Tree::List(one), Tree::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ => one == other,
    }
}

/// The last look, at nothing but what will be sent: every name in a FROM is a common table expression of the
/// statement, or a known relation by its full name; and a relation with masked columns stands only within a
/// subquery that gives masks for them.
pub(super) struct Sealed<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) reveal: &'a BTreeSet<String>,
    pub(super) ctes: &'a BTreeSet<String>,
    /// The relation that a change is of, once, as the one that is no subquery.
    pub(super) target: Option<(String, String)>,
    /// How the columns of a relation look, by its number: a statement may name it often.
    pub(super) looks: RefCell<BTreeMap<u32, Rc<[Look]>>>,
}

impl Sealed<'_> {
    /// # Errors
    /// `internal`: something could be reached.
    pub(super) fn check(&self, tree: &Tree) -> Result<(), Refusal> {
        match tree {
            Tree::List(items) => items.iter().try_for_each(|item| self.check(item)),
            Tree::Node(node) => self.node(node),
            Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => Ok(()),
        }
    }

    fn node(&self, node: &Node) -> Result<(), Refusal> {
        if node.kind == "RangeSubselect"
            && let Some(query) = node.node("subquery")
            && self.is_mask(query)
        {
            return Ok(());
        }
        if node.kind == "RangeVar" {
            return self.name(node);
        }
        let is_change = matches!(node.kind, "InsertStmt" | "UpdateStmt" | "DeleteStmt");
        for (field, value) in &node.fields {
            if is_change && *field == "relation" {
                self.target(value)?;
            } else {
                self.check(value)?;
            }
        }
        Ok(())
    }

    fn relation(&self, node: &Node) -> Option<&Relation> {
        let key = (
            node.text("schemaname").to_owned(),
            node.text("relname").to_owned(),
        );
        self.catalog.relations.get(&key)
    }

    fn target(&self, value: &Tree) -> Result<(), Refusal> {
        let node = value.of_kind("RangeVar").ok_or_else(|| broken("a target"))?;
        let named = (
            node.text("schemaname").to_owned(),
            node.text("relname").to_owned(),
        );
        if self.target == Some(named) && self.relation(node).is_some() {
            Ok(())
        } else {
            Err(broken("another target"))
        }
    }

    fn name(&self, node: &Node) -> Result<(), Refusal> {
        if node.text("schemaname").is_empty() {
            return if self.ctes.contains(node.text("relname")) {
                Ok(())
            } else {
                Err(broken("a name without its schema"))
            };
        }
        match self.relation(node) {
            Some(relation) if !walk::is_masked(self.catalog, relation, self.reveal) => Ok(()),
            Some(_) => Err(broken("a relation without its masks")),
            None => Err(broken("an unknown relation")),
        }
    }

    fn looks(&self, relation: &Relation) -> Rc<[Look]> {
        let look = |column: &Column| {
            let raw = column.class.is_none() || walk::revealed(self.catalog, relation, column, self.reveal);
            masks::look(self.catalog, column, raw)
        };
        let mut known = self.looks.borrow_mut();
        let known = known.entry(relation.oid);
        Rc::clone(known.or_insert_with(|| relation.columns.iter().map(look).collect()))
    }

    /// Whether a query is nothing but the columns of one masked relation, each as it may be seen.
    fn is_mask(&self, query: &Node) -> bool {
        let from = query.list("from_clause");
        let only: Vec<&str> = query.fields.iter().map(|(field, _)| *field).collect();
        let plain = only
            .iter()
            .all(|field| matches!(*field, "target_list" | "from_clause" | "limit_option" | "op"));
        let relation = match from {
            [Tree::Node(node)] if node.kind == "RangeVar" && node.node("alias").is_none() => {
                self.relation(node)
            }
            _ => None,
        };
        let Some(relation) = relation.filter(|_| plain && query.number("op") <= 1) else {
            return false;
        };
        let targets = query.list("target_list");
        targets.len() == relation.columns.len()
            && self
                .looks(relation)
                .iter()
                .zip(targets)
                .zip(&relation.columns)
                .all(|((look, target), column)| {
                    let Some(target) = target.of_kind("ResTarget") else {
                        return false;
                    };
                    let mut read = Vec::new();
                    columns_read(target.get("val"), &mut read);
                    let own = |fields: &Vec<&str>| fields.as_slice() == [column.name.as_str()];
                    match look {
                        Look::Raw => {
                            target.text("name").is_empty() && is_column(target.get("val"), &column.name)
                        }
                        Look::Blind(_) => target.text("name") == column.name && read.is_empty(),
                        Look::Partial(_) => target.text("name") == column.name && read.iter().all(own),
                    }
                })
    }
}

fn is_column(tree: &Tree, name: &str) -> bool {
    tree.of_kind("ColumnRef")
        .is_some_and(|node| node.names("fields").as_deref() == Some(&[name]))
}

/// Every column a tree reads, by the parts of its name; a star or a query is an empty one.
fn columns_read<'t>(tree: &'t Tree, into: &mut Vec<Vec<&'t str>>) {
    match tree {
        Tree::List(items) => items.iter().for_each(|item| columns_read(item, into)),
        Tree::Node(node) if node.kind == "ColumnRef" => into.push(node.names("fields").unwrap_or_default()),
        Tree::Node(node) if node.kind == "SubLink" => into.push(Vec::new()),
        Tree::Node(node) => node
            .fields
            .iter()
            .for_each(|(_, value)| columns_read(value, into)),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}
