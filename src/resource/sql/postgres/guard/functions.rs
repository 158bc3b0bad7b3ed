//! Which functions may be called: a rule over what the catalogue says of a signature.

use std::collections::BTreeSet;

/// What the catalogue says of one signature (`pg_proc`, `pg_language`, `pg_type`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource::sql::postgres) struct FunctionFacts {
    /// `pg_namespace.nspname`.
    pub(in crate::resource::sql::postgres) schema: String,
    /// `proname`.
    pub(in crate::resource::sql::postgres) name: String,
    /// `provolatile`: `i`, `s` or `v`.
    pub(in crate::resource::sql::postgres) volatility: char,
    /// `lanname`.
    pub(in crate::resource::sql::postgres) language: String,
    /// `prosecdef`.
    pub(in crate::resource::sql::postgres) definer: bool,
    /// `prokind`: `f`, `p`, `a` or `w`.
    pub(in crate::resource::sql::postgres) kind: char,
    /// `typname` of `proargtypes`, in order.
    pub(in crate::resource::sql::postgres) arguments: Vec<String>,
}

/// Volatile ones that have no effect and read nothing.
const HARMLESS: [&str; 4] = ["clock_timestamp", "gen_random_uuid", "random", "timeofday"];

/// Stable or immutable ones, and volatile ones for the record, that read tables, files, settings, the
/// catalogue, statistics or other sessions, that take locks or time, or that make a statement of a text.
const DENIED: [&str; 49] = [
    "col_description",
    "currtid2",
    "current_query",
    "current_setting",
    "currval",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "format_type",
    "getdatabaseencoding",
    "getpgusername",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "lastval",
    "makeaclitem",
    "mxid_age",
    "nextval",
    "obj_description",
    "oidvectortypes",
    "postgresql_fdw_validator",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "regclass",
    "row_security_active",
    "satisfies_hash_partition",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "set_config",
    "setseed",
    "setval",
    "shobj_description",
    "suppress_redundant_updates_trigger",
    "system_user",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_debug",
    "ts_parse",
    "ts_rewrite",
    "ts_stat",
    "ts_token_type",
    "unique_key_recheck",
    "xid",
];

/// Families, by how their names begin.
const DENIED_BEGINNINGS: [&str; 17] = [
    "acl",
    "amvalidate",
    "binary_upgrade_",
    "brin_",
    "dblink",
    "fmgr_",
    "has_",
    "lo_",
    "loread",
    "lowrite",
    "pg_",
    "plpgsql_",
    "reg",
    "row_security_",
    "to_reg",
    "txid_",
    "xid8",
];

/// Those of these families that only look at what they are given.
const OF_DENIED_FAMILIES: [&str; 16] = [
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_typeof",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "regexp_substr",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_slope",
];

/// Types of arguments of what belongs to the server's inside: input functions, support functions, and what
/// looks an object up.
const ARGUMENTS: [&str; 17] = [
    "cstring",
    "internal",
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "trigger",
    "event_trigger",
    "aclitem",
    "_aclitem",
    "refcursor",
    "pg_lsn",
];

/// Whether a signature may be called. A name may be called only if all its signatures may.
///
/// Of `pg_catalog`: what is immutable or stable, less what is named above. Of other schemas: what the
/// configuration lists as `schema.name`, and that is the operator's word.
pub(in crate::resource::sql::postgres) fn allowed(
    function: &FunctionFacts,
    listed: &BTreeSet<String>,
) -> bool {
    let name = function.name.as_str();
    if function.kind == 'p' {
        return false;
    }
    if function.schema != "pg_catalog" {
        return listed.contains(&format!("{}.{name}", function.schema));
    }
    let of_a_family = DENIED_BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning));
    let kept = OF_DENIED_FAMILIES.contains(&name) || name.starts_with("regr_");
    if DENIED.contains(&name) || of_a_family && !kept || function.definer {
        return false;
    }
    if HARMLESS.contains(&name) {
        return true;
    }
    let is_aggregate = matches!(function.kind, 'a' | 'w');
    let inside = |argument: &String| ARGUMENTS.contains(&argument.as_str());
    matches!(function.volatility, 'i' | 's') && (is_aggregate || !function.arguments.iter().any(inside))
}
