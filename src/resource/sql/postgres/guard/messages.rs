//! How the grammar's answer is laid out: labels of nodes and of fields, as the JSON output of the version of
//! `pg_query` that `Cargo.toml` names gives them, and what they are called here. Nodes that no statement may have
//! are known by their kind alone.
//!
//! Nothing rests on this table alone: a name that is not in it is refused, and the tests read every statement they
//! have through the library's own types as well.

/// A message: a kind of node.
#[derive(Debug)]
pub(super) struct Message {
    /// As it stands in the answer.
    label: &'static str,
    /// As the library's own type is called.
    pub(super) kind: &'static str,
    /// In the order in which they are written.
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// As it stands in the answer.
    pub(super) label: &'static str,
    pub(super) name: &'static str,
    pub(super) holds: Holds,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holds {
    Flag,
    /// Of any width, signed or not.
    Number,
    /// One of these words; it is known by its place, from 1.
    Choice(&'static [&'static str]),
    Text,
    /// Any node.
    Node,
    /// Any number of any nodes.
    List,
    /// A message of one kind.
    One(&'static Message),
    /// Any number of messages of one kind.
    Many(&'static Message),
    /// A message of a kind that no statement may have.
    Other,
}

/// What a label among all nodes stands for.
#[derive(Debug)]
pub(super) enum Known {
    /// Statements may have it.
    Listed(&'static Message),
    /// They may not: its kind.
    Unlisted(&'static str),
}

/// What most nodes are.
static OFTEN: [&Message; 7] = [
    &STRING,
    &COLUMN_REF,
    &RES_TARGET,
    &A_CONST,
    &A_EXPR,
    &RANGE_VAR,
    &FUNC_CALL,
];

/// What a label stands for.
pub(super) fn known(label: &[u8]) -> Option<Known> {
    if let Some(often) = OFTEN.iter().find(|often| often.label.as_bytes() == label) {
        return Some(Known::Listed(often));
    }
    if let Ok(at) = LISTED.binary_search_by(|listed| listed.label.as_bytes().cmp(label)) {
        return LISTED.get(at).map(|listed| Known::Listed(listed));
    }
    let at = UNLISTED.binary_search_by(|(listed, _)| listed.as_bytes().cmp(label));
    let (_, kind) = UNLISTED.get(at.ok()?)?;
    Some(Known::Unlisted(kind))
}

macro_rules! holds {
    ([[$to:ident]]) => {
        Holds::Many(&$to)
    };
    ([$to:ident]) => {
        Holds::One(&$to)
    };
    (($of:ident)) => {
        Holds::Choice($of)
    };
    ($simple:ident) => {
        Holds::$simple
    };
}

/// The second of two names where there are two.
macro_rules! second {
    ($one:expr) => {
        $one
    };
    ($one:expr, $other:expr) => {
        $other
    };
}

macro_rules! messages {
    ($($message:ident $kind:literal $($label:literal)?:
        $($field:ident $holds:tt $(= $written:literal)?),*;)*) => {
        $(pub(super) static $message: Message = Message {
            label: second!($kind $(, $label)?),
            kind: $kind,
            fields: &[$(Field {
                label: second!(stringify!($field) $(, $written)?),
                name: stringify!($field),
                holds: holds!($holds),
            }),*],
        };)*

        /// In the order of their labels.
        static LISTED: &[&Message] = &[$(&$message),*];
    };
}

macro_rules! choices {
    ($($choice:ident: $($word:literal)*;)*) => {
        $(const $choice: &[&str] = &[$($word),*];)*
    };
}

macro_rules! unlisted {
    ($($label:literal $(= $kind:literal)?,)*) => {
        /// Labels and kinds, in the order of the labels.
        static UNLISTED: &[(&str, &str)] = &[$(($label, second!($label $(, $kind)?))),*];
    };
}

messages! {
    A_ARRAY_EXPR "AArrayExpr" "A_ArrayExpr": elements List, list_start Number, list_end Number,
        location Number;
    A_CONST "AConst" "A_Const": val [INTEGER] = "ival", val [FLOAT] = "fval", val [BOOLEAN] = "boolval",
        val [STRING] = "sval", val [BIT_STRING] = "bsval", isnull Flag, location Number;
    A_EXPR "AExpr" "A_Expr": kind (A_EXPR_KIND), name List, lexpr Node, rexpr Node,
        rexpr_list_start Number, rexpr_list_end Number, location Number;
    A_INDICES "AIndices" "A_Indices": is_slice Flag, lidx Node, uidx Node;
    A_INDIRECTION "AIndirection" "A_Indirection": arg Node, indirection List;
    A_STAR "AStar" "A_Star":;
    ALIAS "Alias": aliasname Text, colnames List;
    BIT_STRING "BitString": bsval Text;
    BOOL_EXPR "BoolExpr": boolop (BOOL_EXPR_TYPE), args List, location Number;
    BOOLEAN "Boolean": boolval Flag;
    BOOLEAN_TEST "BooleanTest": arg Node, booltesttype (BOOL_TEST_TYPE), location Number;
    CTE_CYCLE_CLAUSE "CteCycleClause" "CTECycleClause": cycle_col_list List, cycle_mark_column Text,
        cycle_mark_value Node, cycle_mark_default Node, cycle_path_column Text, location Number,
        cycle_mark_type Number, cycle_mark_typmod Number, cycle_mark_collation Number,
        cycle_mark_neop Number;
    CTE_SEARCH_CLAUSE "CteSearchClause" "CTESearchClause": search_col_list List,
        search_breadth_first Flag, search_seq_column Text, location Number;
    CASE_EXPR "CaseExpr": casetype Number, casecollid Number, arg Node, args List, defresult Node,
        location Number;
    CASE_WHEN "CaseWhen": expr Node, result Node, location Number;
    COALESCE_EXPR "CoalesceExpr": coalescetype Number, coalescecollid Number, args List, location Number;
    COLLATE_CLAUSE "CollateClause": arg Node, collname List, location Number;
    COLUMN_DEF "ColumnDef": colname Text, type_name [TYPE_NAME] = "typeName", compression Text,
        inhcount Number, is_local Flag, is_not_null Flag, is_from_type Flag, storage Text,
        storage_name Text, raw_default Node, cooked_default Node, identity Text,
        identity_sequence [RANGE_VAR] = "identitySequence", generated Text,
        coll_clause [COLLATE_CLAUSE] = "collClause", coll_oid Number = "collOid", constraints List,
        fdwoptions List, location Number;
    COLUMN_REF "ColumnRef": fields List, location Number;
    COMMON_TABLE_EXPR "CommonTableExpr": ctename Text, aliascolnames List,
        ctematerialized (CTEMATERIALIZE), ctequery Node, search_clause [CTE_SEARCH_CLAUSE],
        cycle_clause [CTE_CYCLE_CLAUSE], location Number, cterecursive Flag, cterefcount Number,
        ctecolnames List, ctecoltypes List, ctecoltypmods List, ctecolcollations List;
    DELETE_STMT "DeleteStmt": relation [RANGE_VAR], using_clause List = "usingClause",
        where_clause Node = "whereClause", returning_clause [RETURNING_CLAUSE] = "returningClause",
        with_clause [WITH_CLAUSE] = "withClause";
    FLOAT "Float": fval Text;
    FUNC_CALL "FuncCall": funcname List, args List, agg_order List, agg_filter Node, over [WINDOW_DEF],
        agg_within_group Flag, agg_star Flag, agg_distinct Flag, func_variadic Flag,
        funcformat (COERCION_FORM), location Number;
    GROUPING_FUNC "GroupingFunc": args List, refs List, agglevelsup Number, location Number;
    GROUPING_SET "GroupingSet": kind (GROUPING_SET_KIND), content List, location Number;
    INDEX_ELEM "IndexElem": name Text, expr Node, indexcolname Text, collation List, opclass List,
        opclassopts List, ordering (SORT_BY_DIR), nulls_ordering (SORT_BY_NULLS);
    INFER_CLAUSE "InferClause": index_elems List = "indexElems", where_clause Node = "whereClause",
        conname Text, location Number;
    INSERT_STMT "InsertStmt": relation [RANGE_VAR], cols List, select_stmt Node = "selectStmt",
        on_conflict_clause [ON_CONFLICT_CLAUSE] = "onConflictClause",
        returning_clause [RETURNING_CLAUSE] = "returningClause", with_clause [WITH_CLAUSE] = "withClause",
        override (OVERRIDING_KIND);
    INTEGER "Integer": ival Number;
    JOIN_EXPR "JoinExpr": jointype (JOIN_TYPE), is_natural Flag = "isNatural", larg Node, rarg Node,
        using_clause List = "usingClause", join_using_alias [ALIAS], quals Node, alias [ALIAS],
        rtindex Number;
    JSON_AGG_CONSTRUCTOR "JsonAggConstructor": output [JSON_OUTPUT], agg_filter Node, agg_order List,
        over [WINDOW_DEF], location Number;
    JSON_ARGUMENT "JsonArgument": val [JSON_VALUE_EXPR], name Text;
    JSON_ARRAY_AGG "JsonArrayAgg": constructor [JSON_AGG_CONSTRUCTOR], arg [JSON_VALUE_EXPR],
        absent_on_null Flag;
    JSON_ARRAY_CONSTRUCTOR "JsonArrayConstructor": exprs List, output [JSON_OUTPUT],
        absent_on_null Flag, location Number;
    JSON_ARRAY_QUERY_CONSTRUCTOR "JsonArrayQueryConstructor": query Node, output [JSON_OUTPUT],
        format [JSON_FORMAT], absent_on_null Flag, location Number;
    JSON_BEHAVIOR "JsonBehavior": btype (JSON_BEHAVIOR_TYPE), expr Node, coerce Flag, location Number;
    JSON_FORMAT "JsonFormat": format_type (JSON_FORMAT_TYPE), encoding (JSON_ENCODING), location Number;
    JSON_FUNC_EXPR "JsonFuncExpr": op (JSON_EXPR_OP), column_name Text, context_item [JSON_VALUE_EXPR],
        pathspec Node, passing List, output [JSON_OUTPUT], on_empty [JSON_BEHAVIOR],
        on_error [JSON_BEHAVIOR], wrapper (JSON_WRAPPER), quotes (JSON_QUOTES), location Number;
    JSON_IS_PREDICATE "JsonIsPredicate": expr Node, format [JSON_FORMAT], item_type (JSON_VALUE_TYPE),
        unique_keys Flag, location Number;
    JSON_KEY_VALUE "JsonKeyValue": key Node, value [JSON_VALUE_EXPR];
    JSON_OBJECT_AGG "JsonObjectAgg": constructor [JSON_AGG_CONSTRUCTOR], arg [JSON_KEY_VALUE],
        absent_on_null Flag, unique Flag;
    JSON_OBJECT_CONSTRUCTOR "JsonObjectConstructor": exprs List, output [JSON_OUTPUT],
        absent_on_null Flag, unique Flag, location Number;
    JSON_OUTPUT "JsonOutput": type_name [TYPE_NAME] = "typeName", returning [JSON_RETURNING];
    JSON_PARSE_EXPR "JsonParseExpr": expr [JSON_VALUE_EXPR], output [JSON_OUTPUT], unique_keys Flag,
        location Number;
    JSON_RETURNING "JsonReturning": format [JSON_FORMAT], typid Number, typmod Number;
    JSON_SCALAR_EXPR "JsonScalarExpr": expr Node, output [JSON_OUTPUT], location Number;
    JSON_SERIALIZE_EXPR "JsonSerializeExpr": expr [JSON_VALUE_EXPR], output [JSON_OUTPUT],
        location Number;
    JSON_TABLE "JsonTable": context_item [JSON_VALUE_EXPR], pathspec [JSON_TABLE_PATH_SPEC],
        passing List, columns List, on_error [JSON_BEHAVIOR], alias [ALIAS], lateral Flag,
        location Number;
    JSON_TABLE_COLUMN "JsonTableColumn": coltype (JSON_TABLE_COLUMN_TYPE), name Text,
        type_name [TYPE_NAME] = "typeName", pathspec [JSON_TABLE_PATH_SPEC], format [JSON_FORMAT],
        wrapper (JSON_WRAPPER), quotes (JSON_QUOTES), columns List, on_empty [JSON_BEHAVIOR],
        on_error [JSON_BEHAVIOR], location Number;
    JSON_TABLE_PATH_SPEC "JsonTablePathSpec": string Node, name Text, name_location Number,
        location Number;
    JSON_VALUE_EXPR "JsonValueExpr": raw_expr Node, formatted_expr Node, format [JSON_FORMAT];
    LIST "List": items List;
    MIN_MAX_EXPR "MinMaxExpr": minmaxtype Number, minmaxcollid Number, inputcollid Number,
        op (MIN_MAX_OP), args List, location Number;
    MULTI_ASSIGN_REF "MultiAssignRef": source Node, colno Number, ncolumns Number;
    NAMED_ARG_EXPR "NamedArgExpr": arg Node, name Text, argnumber Number, location Number;
    NULL_TEST "NullTest": arg Node, nulltesttype (NULL_TEST_TYPE), argisrow Flag, location Number;
    ON_CONFLICT_CLAUSE "OnConflictClause": action (ON_CONFLICT_ACTION), infer [INFER_CLAUSE],
        target_list List = "targetList", where_clause Node = "whereClause", location Number;
    PARAM_REF "ParamRef": number Number, location Number;
    PARSE_RESULT "ParseResult": version Number, stmts [[RAW_STMT]];
    RANGE_FUNCTION "RangeFunction": lateral Flag, ordinality Flag, is_rowsfrom Flag, functions List,
        alias [ALIAS], coldeflist List;
    RANGE_SUBSELECT "RangeSubselect": lateral Flag, subquery Node, alias [ALIAS];
    RANGE_TABLE_FUNC "RangeTableFunc": lateral Flag, docexpr Node, rowexpr Node, namespaces List,
        columns List, alias [ALIAS], location Number;
    RANGE_TABLE_FUNC_COL "RangeTableFuncCol": colname Text, type_name [TYPE_NAME] = "typeName",
        for_ordinality Flag, is_not_null Flag, colexpr Node, coldefexpr Node, location Number;
    RANGE_TABLE_SAMPLE "RangeTableSample": relation Node, method List, args List, repeatable Node,
        location Number;
    RANGE_VAR "RangeVar": catalogname Text, schemaname Text, relname Text, inh Flag,
        relpersistence Text, alias [ALIAS], location Number;
    RAW_STMT "RawStmt": stmt Node, stmt_location Number, stmt_len Number;
    RES_TARGET "ResTarget": name Text, indirection List, val Node, location Number;
    RETURNING_CLAUSE "ReturningClause": options List, exprs List;
    ROW_EXPR "RowExpr": args List, row_typeid Number, row_format (COERCION_FORM), colnames List,
        location Number;
    SQL_VALUE_FUNCTION "SqlValueFunction" "SQLValueFunction": op (SQLVALUE_FUNCTION_OP), type Number,
        typmod Number, location Number;
    SELECT_STMT "SelectStmt": distinct_clause List = "distinctClause", into_clause Other = "intoClause",
        target_list List = "targetList", from_clause List = "fromClause", where_clause Node = "whereClause",
        group_clause List = "groupClause", group_distinct Flag = "groupDistinct",
        having_clause Node = "havingClause", window_clause List = "windowClause",
        values_lists List = "valuesLists", sort_clause List = "sortClause", limit_offset Node = "limitOffset",
        limit_count Node = "limitCount", limit_option (LIMIT_OPTION) = "limitOption",
        locking_clause List = "lockingClause", with_clause [WITH_CLAUSE] = "withClause", op (SET_OPERATION),
        all Flag, larg [SELECT_STMT], rarg [SELECT_STMT];
    SET_TO_DEFAULT "SetToDefault": type_id Number = "typeId", type_mod Number = "typeMod", collation Number,
        location Number;
    SORT_BY "SortBy": node Node, sortby_dir (SORT_BY_DIR), sortby_nulls (SORT_BY_NULLS),
        use_op List = "useOp", location Number;
    STRING "String": sval Text;
    SUB_LINK "SubLink": sub_link_type (SUB_LINK_TYPE) = "subLinkType", sub_link_id Number = "subLinkId",
        testexpr Node, oper_name List = "operName", subselect Node, location Number;
    TYPE_CAST "TypeCast": arg Node, type_name [TYPE_NAME] = "typeName", location Number;
    TYPE_NAME "TypeName": names List, type_oid Number = "typeOid", setof Flag, pct_type Flag,
        typmods List, typemod Number, array_bounds List = "arrayBounds", location Number;
    UPDATE_STMT "UpdateStmt": relation [RANGE_VAR], target_list List = "targetList",
        where_clause Node = "whereClause", from_clause List = "fromClause",
        returning_clause [RETURNING_CLAUSE] = "returningClause", with_clause [WITH_CLAUSE] = "withClause";
    WINDOW_DEF "WindowDef": name Text, refname Text, partition_clause List = "partitionClause",
        order_clause List = "orderClause", frame_options Number = "frameOptions",
        start_offset Node = "startOffset", end_offset Node = "endOffset", location Number;
    WITH_CLAUSE "WithClause": ctes List, recursive Flag, location Number;
    XML_EXPR "XmlExpr": op (XML_EXPR_OP), name Text, named_args List, arg_names List, args List,
        xmloption (XML_OPTION_TYPE), indent Flag, type Number, typmod Number, location Number;
    XML_SERIALIZE "XmlSerialize": xmloption (XML_OPTION_TYPE), expr Node,
        type_name [TYPE_NAME] = "typeName", indent Flag, location Number;
}

choices! {
    A_EXPR_KIND: "AEXPR_OP" "AEXPR_OP_ANY" "AEXPR_OP_ALL" "AEXPR_DISTINCT" "AEXPR_NOT_DISTINCT"
        "AEXPR_NULLIF" "AEXPR_IN" "AEXPR_LIKE" "AEXPR_ILIKE" "AEXPR_SIMILAR" "AEXPR_BETWEEN"
        "AEXPR_NOT_BETWEEN" "AEXPR_BETWEEN_SYM" "AEXPR_NOT_BETWEEN_SYM";
    BOOL_EXPR_TYPE: "AND_EXPR" "OR_EXPR" "NOT_EXPR";
    BOOL_TEST_TYPE: "IS_TRUE" "IS_NOT_TRUE" "IS_FALSE" "IS_NOT_FALSE" "IS_UNKNOWN" "IS_NOT_UNKNOWN";
    CTEMATERIALIZE: "CTEMaterializeDefault" "CTEMaterializeAlways" "CTEMaterializeNever";
    COERCION_FORM: "COERCE_EXPLICIT_CALL" "COERCE_EXPLICIT_CAST" "COERCE_IMPLICIT_CAST"
        "COERCE_SQL_SYNTAX";
    GROUPING_SET_KIND: "GROUPING_SET_EMPTY" "GROUPING_SET_SIMPLE" "GROUPING_SET_ROLLUP"
        "GROUPING_SET_CUBE" "GROUPING_SET_SETS";
    JOIN_TYPE: "JOIN_INNER" "JOIN_LEFT" "JOIN_FULL" "JOIN_RIGHT" "JOIN_SEMI" "JOIN_ANTI"
        "JOIN_RIGHT_SEMI" "JOIN_RIGHT_ANTI" "JOIN_UNIQUE_OUTER" "JOIN_UNIQUE_INNER";
    JSON_BEHAVIOR_TYPE: "JSON_BEHAVIOR_NULL" "JSON_BEHAVIOR_ERROR" "JSON_BEHAVIOR_EMPTY"
        "JSON_BEHAVIOR_TRUE" "JSON_BEHAVIOR_FALSE" "JSON_BEHAVIOR_UNKNOWN" "JSON_BEHAVIOR_EMPTY_ARRAY"
        "JSON_BEHAVIOR_EMPTY_OBJECT" "JSON_BEHAVIOR_DEFAULT";
    JSON_ENCODING: "JS_ENC_DEFAULT" "JS_ENC_UTF8" "JS_ENC_UTF16" "JS_ENC_UTF32";
    JSON_EXPR_OP: "JSON_EXISTS_OP" "JSON_QUERY_OP" "JSON_VALUE_OP" "JSON_TABLE_OP";
    JSON_FORMAT_TYPE: "JS_FORMAT_DEFAULT" "JS_FORMAT_JSON" "JS_FORMAT_JSONB";
    JSON_QUOTES: "JS_QUOTES_UNSPEC" "JS_QUOTES_KEEP" "JS_QUOTES_OMIT";
    JSON_TABLE_COLUMN_TYPE: "JTC_FOR_ORDINALITY" "JTC_REGULAR" "JTC_EXISTS" "JTC_FORMATTED" "JTC_NESTED";
    JSON_VALUE_TYPE: "JS_TYPE_ANY" "JS_TYPE_OBJECT" "JS_TYPE_ARRAY" "JS_TYPE_SCALAR";
    JSON_WRAPPER: "JSW_UNSPEC" "JSW_NONE" "JSW_CONDITIONAL" "JSW_UNCONDITIONAL";
    LIMIT_OPTION: "LIMIT_OPTION_DEFAULT" "LIMIT_OPTION_COUNT" "LIMIT_OPTION_WITH_TIES";
    MIN_MAX_OP: "IS_GREATEST" "IS_LEAST";
    NULL_TEST_TYPE: "IS_NULL" "IS_NOT_NULL";
    ON_CONFLICT_ACTION: "ONCONFLICT_NONE" "ONCONFLICT_NOTHING" "ONCONFLICT_UPDATE";
    OVERRIDING_KIND: "OVERRIDING_NOT_SET" "OVERRIDING_USER_VALUE" "OVERRIDING_SYSTEM_VALUE";
    SQLVALUE_FUNCTION_OP: "SVFOP_CURRENT_DATE" "SVFOP_CURRENT_TIME" "SVFOP_CURRENT_TIME_N"
        "SVFOP_CURRENT_TIMESTAMP" "SVFOP_CURRENT_TIMESTAMP_N" "SVFOP_LOCALTIME" "SVFOP_LOCALTIME_N"
        "SVFOP_LOCALTIMESTAMP" "SVFOP_LOCALTIMESTAMP_N" "SVFOP_CURRENT_ROLE" "SVFOP_CURRENT_USER"
        "SVFOP_USER" "SVFOP_SESSION_USER" "SVFOP_CURRENT_CATALOG" "SVFOP_CURRENT_SCHEMA";
    SET_OPERATION: "SETOP_NONE" "SETOP_UNION" "SETOP_INTERSECT" "SETOP_EXCEPT";
    SORT_BY_DIR: "SORTBY_DEFAULT" "SORTBY_ASC" "SORTBY_DESC" "SORTBY_USING";
    SORT_BY_NULLS: "SORTBY_NULLS_DEFAULT" "SORTBY_NULLS_FIRST" "SORTBY_NULLS_LAST";
    SUB_LINK_TYPE: "EXISTS_SUBLINK" "ALL_SUBLINK" "ANY_SUBLINK" "ROWCOMPARE_SUBLINK" "EXPR_SUBLINK"
        "MULTIEXPR_SUBLINK" "ARRAY_SUBLINK" "CTE_SUBLINK";
    XML_EXPR_OP: "IS_XMLCONCAT" "IS_XMLELEMENT" "IS_XMLFOREST" "IS_XMLPARSE" "IS_XMLPI" "IS_XMLROOT"
        "IS_XMLSERIALIZE" "IS_DOCUMENT";
    XML_OPTION_TYPE: "XMLOPTION_DOCUMENT" "XMLOPTION_CONTENT";
}

unlisted! {
    "ATAlterConstraint" = "AtAlterConstraint", "AccessPriv", "Aggref", "AlterCollationStmt",
    "AlterDatabaseRefreshCollStmt", "AlterDatabaseSetStmt", "AlterDatabaseStmt",
    "AlterDefaultPrivilegesStmt", "AlterDomainStmt", "AlterEnumStmt", "AlterEventTrigStmt",
    "AlterExtensionContentsStmt", "AlterExtensionStmt", "AlterFdwStmt", "AlterForeignServerStmt",
    "AlterFunctionStmt", "AlterObjectDependsStmt", "AlterObjectSchemaStmt", "AlterOpFamilyStmt",
    "AlterOperatorStmt", "AlterOwnerStmt", "AlterPolicyStmt", "AlterPublicationStmt",
    "AlterRoleSetStmt", "AlterRoleStmt", "AlterSeqStmt", "AlterStatsStmt", "AlterSubscriptionStmt",
    "AlterSystemStmt", "AlterTSConfigurationStmt" = "AlterTsConfigurationStmt",
    "AlterTSDictionaryStmt" = "AlterTsDictionaryStmt", "AlterTableCmd", "AlterTableMoveAllStmt",
    "AlterTableSpaceOptionsStmt", "AlterTableStmt", "AlterTypeStmt", "AlterUserMappingStmt",
    "AlternativeSubPlan", "ArrayCoerceExpr", "ArrayExpr", "CallContext", "CallStmt", "CaseTestExpr",
    "CheckPointStmt", "ClosePortalStmt", "ClusterStmt", "CoerceToDomain", "CoerceToDomainValue",
    "CoerceViaIO" = "CoerceViaIo", "CollateExpr", "CommentStmt", "CompositeTypeStmt", "Constraint",
    "ConstraintsSetStmt", "ConvertRowtypeExpr", "CopyStmt", "CreateAmStmt", "CreateCastStmt",
    "CreateConversionStmt", "CreateDomainStmt", "CreateEnumStmt", "CreateEventTrigStmt",
    "CreateExtensionStmt", "CreateFdwStmt", "CreateForeignServerStmt", "CreateForeignTableStmt",
    "CreateFunctionStmt", "CreateOpClassItem", "CreateOpClassStmt", "CreateOpFamilyStmt",
    "CreatePLangStmt", "CreatePolicyStmt", "CreatePublicationStmt", "CreateRangeStmt", "CreateRoleStmt",
    "CreateSchemaStmt", "CreateSeqStmt", "CreateStatsStmt", "CreateStmt", "CreateSubscriptionStmt",
    "CreateTableAsStmt", "CreateTableSpaceStmt", "CreateTransformStmt", "CreateTrigStmt",
    "CreateUserMappingStmt", "CreatedbStmt", "CurrentOfExpr", "DeallocateStmt", "DeclareCursorStmt",
    "DefElem", "DefineStmt", "DiscardStmt", "DistinctExpr", "DoStmt", "DropOwnedStmt", "DropRoleStmt",
    "DropStmt", "DropSubscriptionStmt", "DropTableSpaceStmt", "DropUserMappingStmt", "DropdbStmt",
    "ExecuteStmt", "ExplainStmt", "FetchStmt", "FieldSelect", "FieldStore", "FromExpr", "FuncExpr",
    "FunctionParameter", "GrantRoleStmt", "GrantStmt", "ImportForeignSchemaStmt", "IndexStmt",
    "InferenceElem", "InlineCodeBlock", "IntList", "IntoClause", "JsonConstructorExpr", "JsonExpr",
    "JsonTablePath", "JsonTablePathScan", "JsonTableSiblingJoin", "ListenStmt", "LoadStmt", "LockStmt",
    "LockingClause", "MergeAction", "MergeStmt", "MergeSupportFunc", "MergeWhenClause", "NextValueExpr",
    "NotifyStmt", "NullIfExpr", "ObjectWithArgs", "OidList", "OnConflictExpr", "OpExpr",
    "PLAssignStmt" = "PlAssignStmt", "Param", "PartitionBoundSpec", "PartitionCmd", "PartitionElem",
    "PartitionRangeDatum", "PartitionSpec", "PrepareStmt", "PublicationObjSpec", "PublicationTable",
    "Query", "RTEPermissionInfo" = "RtePermissionInfo", "RangeTblEntry", "RangeTblFunction",
    "RangeTblRef", "ReassignOwnedStmt", "RefreshMatViewStmt", "ReindexStmt", "RelabelType",
    "RenameStmt", "ReplicaIdentityStmt", "ReturnStmt", "ReturningExpr", "ReturningOption", "RoleSpec",
    "RowCompareExpr", "RowMarkClause", "RuleStmt", "ScalarArrayOpExpr", "SecLabelStmt",
    "SetOperationStmt", "SortGroupClause", "StatsElem", "SubPlan", "SubscriptingRef", "TableFunc",
    "TableLikeClause", "TableSampleClause", "TargetEntry", "TransactionStmt", "TriggerTransition",
    "TruncateStmt", "UnlistenStmt", "VacuumRelation", "VacuumStmt", "Var", "VariableSetStmt",
    "VariableShowStmt", "ViewStmt", "WindowClause", "WindowFunc", "WindowFuncRunCondition",
    "WithCheckOption",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_so_that_they_can_be_searched() {
        assert!(LISTED.is_sorted_by_key(|message| message.label));
        assert!(UNLISTED.is_sorted());
        assert_eq!(LISTED.len() + UNLISTED.len(), 271 + 1); // every node, and the answer itself
    }
}
