//! The server's own functions that a statement may call: those that compute from what they are given, and the time.
//!
//! A name of these is never another's: both servers have every one of them, find their own functions before any that
//! were added, and what is sent has no space between such a name and its bracket. What one of them alone has is left
//! out: on the other it would be a function of the database's own.

/// Functions, lower case, sorted.
const ALLOWED: &[&str] = &[
    "abs",
    "acos",
    "adddate",
    "addtime",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "avg",
    "bin",
    "bit_and",
    "bit_count",
    "bit_length",
    "bit_or",
    "bit_xor",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "conv",
    "convert_tz",
    "cos",
    "cot",
    "count",
    "crc32",
    "cume_dist",
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "date",
    "date_add",
    "date_format",
    "date_sub",
    "datediff",
    "day",
    "dayname",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "degrees",
    "dense_rank",
    "elt",
    "exp",
    "export_set",
    "field",
    "find_in_set",
    "first_value",
    "floor",
    "format",
    "from_base64",
    "from_days",
    "from_unixtime",
    "get_format",
    "greatest",
    "group_concat",
    "hex",
    "hour",
    "if",
    "ifnull",
    "inet6_aton",
    "inet6_ntoa",
    "inet_aton",
    "inet_ntoa",
    "insert",
    "instr",
    "is_ipv4",
    "is_ipv6",
    "isnull",
    "json_array",
    "json_array_append",
    "json_array_insert",
    "json_arrayagg",
    "json_contains",
    "json_contains_path",
    "json_depth",
    "json_extract",
    "json_insert",
    "json_keys",
    "json_length",
    "json_merge_patch",
    "json_merge_preserve",
    "json_object",
    "json_objectagg",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_search",
    "json_set",
    "json_type",
    "json_unquote",
    "json_valid",
    "json_value",
    "lag",
    "last_day",
    "last_value",
    "lcase",
    "lead",
    "least",
    "left",
    "length",
    "ln",
    "localtime",
    "localtimestamp",
    "locate",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "make_set",
    "makedate",
    "maketime",
    "max",
    "md5",
    "microsecond",
    "mid",
    "min",
    "minute",
    "mod",
    "month",
    "monthname",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "oct",
    "octet_length",
    "ord",
    "percent_rank",
    "period_add",
    "period_diff",
    "pi",
    "position",
    "pow",
    "power",
    "quarter",
    "quote",
    "radians",
    "rand",
    "rank",
    "regexp_instr",
    "regexp_replace",
    "regexp_substr",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "rpad",
    "rtrim",
    "sec_to_time",
    "second",
    "sha",
    "sha1",
    "sha2",
    "sign",
    "sin",
    "soundex",
    "space",
    "sqrt",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "str_to_date",
    "strcmp",
    "subdate",
    "substr",
    "substring",
    "substring_index",
    "subtime",
    "sum",
    "sysdate",
    "tan",
    "time",
    "time_format",
    "time_to_sec",
    "timediff",
    "timestamp",
    "timestampadd",
    "timestampdiff",
    "to_base64",
    "to_days",
    "to_seconds",
    "trim",
    "truncate",
    "ucase",
    "unhex",
    "unix_timestamp",
    "upper",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "var_pop",
    "var_samp",
    "variance",
    "week",
    "weekday",
    "weekofyear",
    "year",
    "yearweek",
];

/// Words that are functions of the time without brackets.
const TIMES: &[&str] = &["utc_date", "utc_time", "utc_timestamp"];

/// Words that tell of the account or the session without brackets, or stand for more than a column.
const WORDS: &[&str] = &[
    "current_user",
    "current_role",
    "session_user",
    "system_user",
    "rownum",
    "sql_rownum",
    "maxvalue",
    "nextval",
    "currval",
];

/// Reserved words that the library takes for names where a clause is cut short.
const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CROSS",
    "DESC",
    "DISTINCT",
    "DIV",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FOR",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LIKE",
    "LIMIT",
    "MATCH",
    "MOD",
    "NATURAL",
    "NOT",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "REGEXP",
    "RLIKE",
    "SELECT",
    "SEPARATOR",
    "SET",
    "STRAIGHT_JOIN",
    "TABLE",
    "THEN",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "XOR",
];

/// Whether a word is no name unless it stands in backticks.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// Functions whose first argument is a unit of time.
const UNITED: &[&str] = &["timestampadd", "timestampdiff"];

/// Units of time, upper case.
const UNITS: &[&str] = &[
    "MICROSECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
    "QUARTER",
    "YEAR",
    "SECOND_MICROSECOND",
    "MINUTE_MICROSECOND",
    "MINUTE_SECOND",
    "HOUR_MICROSECOND",
    "HOUR_SECOND",
    "HOUR_MINUTE",
    "DAY_MICROSECOND",
    "DAY_SECOND",
    "DAY_MINUTE",
    "DAY_HOUR",
    "YEAR_MONTH",
];

/// Whether a function may be called; in lower case.
pub(super) fn allowed(name: &str) -> bool {
    ALLOWED.contains(&name)
}

/// Whether a bare word is a function of the time.
pub(super) fn is_time(word: &str) -> bool {
    TIMES.iter().any(|time| word.eq_ignore_ascii_case(time))
}

/// Whether a bare word is one that is not a column's name, and is not available.
pub(super) fn is_withheld(word: &str) -> bool {
    WORDS.iter().any(|withheld| word.eq_ignore_ascii_case(withheld))
}

/// Whether a function's first argument is a unit.
pub(super) fn takes_unit(name: &str) -> bool {
    UNITED.contains(&name)
}

/// Whether a word is a unit of time.
pub(super) fn is_unit(word: &str) -> bool {
    let plain = word.strip_prefix("SQL_TSI_").unwrap_or(word);
    UNITS.iter().any(|unit| plain.eq_ignore_ascii_case(unit))
}

/// Why a function is not available, for those that are asked for most.
pub(super) fn way_out(name: &str) -> &'static str {
    match name {
        "sleep" | "benchmark" | "get_lock" | "release_lock" | "is_free_lock" | "is_used_lock" => {
            "Queries take no time and no locks of their own: leave it out."
        }
        "load_file" | "load_data" => "Files cannot be read.",
        "user" | "current_user" | "session_user" | "system_user" | "current_role" | "database" | "schema"
        | "version" | "connection_id" => "The session is not the statement's to see: leave it out.",
        "extractvalue" | "updatexml" => {
            "Its errors carry values: use the JSON functions, or SUBSTRING_INDEX."
        }
        "last_insert_id" | "row_count" | "found_rows" => {
            "It tells of other statements: use COUNT(*) in a query."
        }
        "char" => "Write the text itself.",
        "regexp_like" => "Write x REGEXP 'pattern'.",
        "median" | "percentile_cont" | "percentile_disc" => {
            "Number the rows with ROW_NUMBER() OVER and take the middle."
        }
        "nvl" => "Write IFNULL(a, b).",
        "json_pretty" | "json_detailed" => "Read the JSON as it is.",
        _ => "Use the server's functions for texts, numbers, dates, JSON, aggregates and windows.",
    }
}
