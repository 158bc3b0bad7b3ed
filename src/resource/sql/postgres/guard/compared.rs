//! Parameters that are compared with columns, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Node, Tree};

/// `AEXPR_OP`, an operator between two expressions, as the grammar numbers it.
const OPERATOR: i64 = 1;

/// Of every parameter, by number: the names of the columns that it stands beside as `column = $n`; `None` where it
/// stands anywhere else as well.
pub(super) fn of(root: &Node) -> BTreeMap<i64, Option<BTreeSet<String>>> {
    let mut found = BTreeMap::new();
    node(root, &mut found);
    found
}

fn tree(tree: &Tree, found: &mut BTreeMap<i64, Option<BTreeSet<String>>>) {
    match tree {
        Tree::Node(inner) => node(inner, found),
        Tree::List(items) => items.iter().for_each(|item| self::tree(item, found)),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}

fn node(node: &Node, found: &mut BTreeMap<i64, Option<BTreeSet<String>>>) {
    if let Some((column, number)) = comparison(node) {
        if let Some(columns) = found.entry(number).or_insert_with(|| Some(BTreeSet::new())) {
            columns.insert(column.to_owned());
        }
        return;
    }
    if node.kind == "ParamRef" {
        found.insert(node.number("number"), None);
    }
    for (_, value) in &node.fields {
        tree(value, found);
    }
}

/// `column = $n`.
fn comparison(node: &Node) -> Option<(&str, i64)> {
    let plain = node.kind == "AExpr" && node.number("kind") == OPERATOR;
    if !plain || node.names("name")? != ["="] {
        return None;
    }
    let column = node.get("lexpr").of_kind("ColumnRef")?;
    let parameter = node.get("rexpr").of_kind("ParamRef")?;
    let name = column.list("fields").last()?.name()?;
    Some((name, parameter.number("number")))
}
