//! Which nodes and fields a schema change may have. What is not here is refused.

use super::super::shapes::{self, Unlisted};
use super::super::tree::{Node, Tree, is_place};

/// Kinds of nodes and the fields they may have, besides places. Expressions have those of queries.
const SHAPES: &[(&str, &[&str])] = &[
    (
        "AlterTableCmd",
        &["subtype", "name", "def", "behavior", "missing_ok"],
    ),
    ("AlterTableStmt", &["relation", "cmds", "objtype", "missing_ok"]),
    ("ColumnDef", &["colname", "type_name", "is_local", "constraints"]),
    ("CommentStmt", &["objtype", "object", "comment"]),
    (
        "Constraint",
        &[
            "contype",
            "conname",
            "deferrable",
            "initdeferred",
            "is_enforced",
            "skip_validation",
            "initially_valid",
            "raw_expr",
            "generated_when",
            "nulls_not_distinct",
            "keys",
            "pktable",
            "fk_attrs",
            "pk_attrs",
            "fk_matchtype",
            "fk_upd_action",
            "fk_del_action",
        ],
    ),
    (
        "CreateStmt",
        &["relation", "table_elts", "oncommit", "if_not_exists"],
    ),
    ("DropStmt", &["objects", "remove_type", "behavior", "missing_ok"]),
    (
        "IndexElem",
        &["name", "expr", "opclass", "ordering", "nulls_ordering"],
    ),
    (
        "IndexStmt",
        &[
            "idxname",
            "relation",
            "access_method",
            "index_params",
            "index_including_params",
            "where_clause",
            "unique",
            "nulls_not_distinct",
            "if_not_exists",
        ],
    ),
    ("List", &["items"]),
    ("RangeVar", &["schemaname", "relname", "inh", "relpersistence"]),
    (
        "RenameStmt",
        &[
            "rename_type",
            "relation_type",
            "relation",
            "subname",
            "newname",
            "behavior",
        ],
    ),
    ("String", &["sval"]),
    ("TruncateStmt", &["relations", "restart_seqs", "behavior"]),
    ("TypeName", &["names", "typmods", "typemod", "array_bounds"]),
    ("ViewStmt", &["view", "aliases", "query", "with_check_option"]),
];

/// Fields that hold expressions, or a query, which have a check of their own.
const INNER: &[&str] = &[
    "raw_expr",
    "expr",
    "where_clause",
    "query",
    "typmods",
    "array_bounds",
];

const STATEMENTS: &[&str] = &[
    "AlterTableStmt",
    "CommentStmt",
    "CreateStmt",
    "DropStmt",
    "IndexStmt",
    "RenameStmt",
    "TruncateStmt",
    "ViewStmt",
];

fn of(kind: &str) -> Option<&'static [&'static str]> {
    let found = SHAPES.iter().find(|(listed, _)| *listed == kind);
    found.map(|(_, fields)| *fields)
}

/// Whether a kind of statement may be sent at all.
pub(super) fn is_statement(kind: &str) -> bool {
    STATEMENTS.contains(&kind)
}

/// Whether every node and field is listed.
///
/// # Errors
/// The first that is not.
pub(super) fn listed(tree: &Tree) -> Result<(), Unlisted> {
    match tree {
        Tree::Node(node) => node_is_listed(node),
        Tree::List(items) => items.iter().try_for_each(listed),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => Ok(()),
    }
}

fn node_is_listed(node: &Node) -> Result<(), Unlisted> {
    let unlisted = |field| Unlisted {
        kind: node.kind,
        field,
        location: node.location().filter(|at| *at > 0),
    };
    let fields = of(node.kind).ok_or_else(|| unlisted(None))?;
    for (field, value) in &node.fields {
        if is_place(field) {
            continue;
        }
        if !fields.contains(field) {
            return Err(unlisted(Some(*field)));
        }
        let is_default = *field == "def" && value.node().is_some_and(|def| of(def.kind).is_none());
        match INNER.contains(field) || is_default {
            true => shapes::listed(value)?,
            false => listed(value)?,
        }
    }
    Ok(())
}

/// Whether an expression is of values alone: nothing in it reads, and nothing comes from outside.
pub(super) fn is_of_values(tree: &Tree) -> bool {
    match tree {
        Tree::Node(node) => {
            let reads = ["SelectStmt", "SubLink", "ParamRef", "RangeVar", "SetToDefault"];
            !reads.contains(&node.kind) && node.fields.iter().all(|(_, value)| is_of_values(value))
        }
        Tree::List(items) => items.iter().all(is_of_values),
        Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => true,
    }
}
