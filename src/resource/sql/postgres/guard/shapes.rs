//! Which nodes and fields of the grammar a statement may have. What is not here is refused.

use super::tree::{Node, Tree, is_place};

/// A kind of node and the fields it may have, besides places.
type Shape = (&'static str, &'static [&'static str]);

/// What queries are made of. `IntoClause` and `LockingClause` are refused with words of their own.
const READS: &[Shape] = &[
    ("AArrayExpr", &["elements"]),
    ("AConst", &["isnull", "val"]),
    ("AExpr", &["kind", "name", "lexpr", "rexpr"]),
    ("AIndices", &["is_slice", "lidx", "uidx"]),
    ("AIndirection", &["arg", "indirection"]),
    ("AStar", &[]),
    ("Alias", &["aliasname", "colnames"]),
    ("BitString", &["bsval"]),
    ("BoolExpr", &["boolop", "args"]),
    ("Boolean", &["boolval"]),
    ("BooleanTest", &["arg", "booltesttype"]),
    ("CaseExpr", &["arg", "args", "defresult"]),
    ("CaseWhen", &["expr", "result"]),
    ("CoalesceExpr", &["args"]),
    ("CollateClause", &["arg", "collname"]),
    ("ColumnDef", &["colname", "type_name", "is_local", "coll_clause"]),
    ("ColumnRef", &["fields"]),
    (
        "CommonTableExpr",
        &[
            "ctename",
            "aliascolnames",
            "ctematerialized",
            "ctequery",
            "search_clause",
            "cycle_clause",
        ],
    ),
    (
        "CteCycleClause",
        &[
            "cycle_col_list",
            "cycle_mark_column",
            "cycle_mark_value",
            "cycle_mark_default",
            "cycle_path_column",
        ],
    ),
    (
        "CteSearchClause",
        &["search_col_list", "search_breadth_first", "search_seq_column"],
    ),
    ("Float", &["fval"]),
    (
        "FuncCall",
        &[
            "funcname",
            "args",
            "agg_order",
            "agg_filter",
            "over",
            "agg_within_group",
            "agg_star",
            "agg_distinct",
            "func_variadic",
            "funcformat",
        ],
    ),
    ("GroupingFunc", &["args"]),
    ("GroupingSet", &["kind", "content"]),
    ("Integer", &["ival"]),
    (
        "JoinExpr",
        &[
            "jointype",
            "is_natural",
            "larg",
            "rarg",
            "using_clause",
            "join_using_alias",
            "quals",
            "alias",
        ],
    ),
    (
        "JsonAggConstructor",
        &["output", "agg_filter", "agg_order", "over"],
    ),
    ("JsonArgument", &["val", "name"]),
    ("JsonArrayAgg", &["constructor", "arg", "absent_on_null"]),
    ("JsonArrayConstructor", &["exprs", "output", "absent_on_null"]),
    (
        "JsonArrayQueryConstructor",
        &["query", "output", "format", "absent_on_null"],
    ),
    ("JsonBehavior", &["btype", "expr", "coerce"]),
    ("JsonFormat", &["format_type", "encoding"]),
    (
        "JsonFuncExpr",
        &[
            "op",
            "context_item",
            "pathspec",
            "passing",
            "output",
            "on_empty",
            "on_error",
            "wrapper",
            "quotes",
        ],
    ),
    ("JsonIsPredicate", &["expr", "format", "item_type", "unique_keys"]),
    ("JsonKeyValue", &["key", "value"]),
    (
        "JsonObjectAgg",
        &["constructor", "arg", "absent_on_null", "unique"],
    ),
    (
        "JsonObjectConstructor",
        &["exprs", "output", "absent_on_null", "unique"],
    ),
    ("JsonOutput", &["type_name", "returning"]),
    ("JsonParseExpr", &["expr", "output", "unique_keys"]),
    ("JsonReturning", &["format"]),
    ("JsonScalarExpr", &["expr", "output"]),
    ("JsonSerializeExpr", &["expr", "output"]),
    (
        "JsonTable",
        &[
            "context_item",
            "pathspec",
            "passing",
            "columns",
            "on_error",
            "alias",
            "lateral",
        ],
    ),
    (
        "JsonTableColumn",
        &[
            "coltype",
            "name",
            "type_name",
            "pathspec",
            "format",
            "wrapper",
            "quotes",
            "columns",
            "on_empty",
            "on_error",
        ],
    ),
    ("JsonTablePathSpec", &["string", "name"]),
    ("JsonValueExpr", &["raw_expr", "format"]),
    ("List", &["items"]),
    ("MinMaxExpr", &["op", "args"]),
    ("NamedArgExpr", &["arg", "name", "argnumber"]),
    ("NullTest", &["arg", "nulltesttype"]),
    ("ParamRef", &["number"]),
    (
        "RangeFunction",
        &[
            "lateral",
            "ordinality",
            "is_rowsfrom",
            "functions",
            "alias",
            "coldeflist",
        ],
    ),
    ("RangeSubselect", &["lateral", "subquery", "alias"]),
    (
        "RangeTableFunc",
        &["lateral", "docexpr", "rowexpr", "namespaces", "columns", "alias"],
    ),
    (
        "RangeTableFuncCol",
        &[
            "colname",
            "type_name",
            "for_ordinality",
            "is_not_null",
            "colexpr",
            "coldefexpr",
        ],
    ),
    ("RangeTableSample", &["relation", "method", "args", "repeatable"]),
    (
        "RangeVar",
        &["schemaname", "relname", "inh", "relpersistence", "alias"],
    ),
    ("ResTarget", &["name", "indirection", "val"]),
    ("RowExpr", &["args", "row_format"]),
    (
        "SelectStmt",
        &[
            "distinct_clause",
            "target_list",
            "from_clause",
            "where_clause",
            "group_clause",
            "group_distinct",
            "having_clause",
            "window_clause",
            "values_lists",
            "sort_clause",
            "limit_offset",
            "limit_count",
            "limit_option",
            "with_clause",
            "op",
            "all",
            "larg",
            "rarg",
        ],
    ),
    ("SortBy", &["node", "sortby_dir", "sortby_nulls", "use_op"]),
    ("SqlValueFunction", &["op", "typmod"]),
    ("String", &["sval"]),
    (
        "SubLink",
        &["sub_link_type", "testexpr", "oper_name", "subselect"],
    ),
    ("TypeCast", &["arg", "type_name"]),
    ("TypeName", &["names", "typmods", "typemod", "array_bounds"]),
    (
        "WindowDef",
        &[
            "name",
            "refname",
            "partition_clause",
            "order_clause",
            "frame_options",
            "start_offset",
            "end_offset",
        ],
    ),
    ("WithClause", &["ctes", "recursive"]),
    (
        "XmlExpr",
        &[
            "op",
            "name",
            "named_args",
            "arg_names",
            "args",
            "xmloption",
            "indent",
        ],
    ),
    ("XmlSerialize", &["xmloption", "expr", "type_name", "indent"]),
];

/// What a statement has that is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unlisted {
    /// The kind of node.
    pub(super) kind: &'static str,
    /// The field of it, if the kind is listed.
    pub(super) field: Option<&'static str>,
    /// The byte where it begins, if it is known.
    pub(super) location: Option<usize>,
}

fn of(kind: &str) -> Option<&'static [&'static str]> {
    let tables = [READS, super::change::SHAPES];
    tables.iter().find_map(|table| {
        let at = table.binary_search_by(|(listed, _)| (*listed).cmp(kind)).ok()?;
        table.get(at).map(|(_, fields)| *fields)
    })
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
        // A node without a place of its own looks as if it began at the first byte.
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
        listed(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::READS;

    #[test]
    fn the_tables_are_sorted_so_that_they_can_be_searched() {
        assert!(READS.is_sorted());
        assert!(super::super::change::SHAPES.is_sorted());
    }
}
