//! What functions, types, operators and collations may be named, and where names are in a text.

use pg_query::protobuf::Token;

use super::text::Tokens;
use super::tree::Node;
use super::{Mode, refused};
use crate::call::Refusal;
use crate::resource::sql::postgres::catalog::{self, Catalog};

/// Columns every table has beside its own: they tell of storage and of other transactions.
pub(super) const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// Where the server's own functions and types are.
const OWN: &str = "pg_catalog";

/// Types that look names up in the catalogue, or are of the server's inside; refused whatever the catalogue
/// says of them. `regconfig` and `regdictionary` name a text search configuration.
const TYPES: [&str; 28] = [
    "aclitem",
    "any",
    "anyarray",
    "anyelement",
    "anyenum",
    "anynonarray",
    "anyrange",
    "cid",
    "cstring",
    "event_trigger",
    "fdw_handler",
    "index_am_handler",
    "internal",
    "language_handler",
    "refcursor",
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "tid",
    "trigger",
    "xid",
    "xid8",
];

/// A function that may be called.
pub(super) struct Function {
    /// Its name, lower case.
    pub(super) shown: String,
    /// The schema that is written before its name.
    pub(super) add: Option<String>,
}

/// The function of a call.
///
/// # Errors
/// `statement_refused`, in the same words whether there is none of that name or it may not be called.
pub(super) fn function(catalog: &Catalog, call: &Node) -> Result<Function, Refusal> {
    let parts = call.names("funcname").unwrap_or_default();
    let (schema, name) = match parts.as_slice() {
        [name] => (None, *name),
        [schema, name] => (Some(*schema), *name),
        _ => (None, ""),
    };
    let written = parts.join(".");
    let none = || {
        refused(
            format!("The function `{written}` is not available."),
            "Use PostgreSQL's own scalar, aggregate, window, date, text and JSON functions; what reads files, \
             settings, statistics, the catalogue or other sessions, or has effects, is not among them.",
        )
    };
    let found = found(catalog, schema, name).ok_or_else(none)?;
    if !may_call(catalog, found, name) {
        return Err(none());
    }
    let shown = if found == OWN {
        name.to_lowercase()
    } else {
        format!("{found}.{name}").to_lowercase()
    };
    // unnest of several arrays is known to the grammar by its plain name alone.
    let several = name == "unnest" && call.list("args").len() > 1;
    let elsewhere = || {
        catalog
            .path
            .iter()
            .any(|schema| catalog.functions.contains_key(&(schema.clone(), name.to_owned())))
    };
    if several && elsewhere() {
        return Err(none());
    }
    Ok(Function {
        shown,
        add: (schema.is_none() && !several).then(|| found.to_owned()),
    })
}

fn found<'c>(catalog: &'c Catalog, schema: Option<&str>, name: &str) -> Option<&'c str> {
    let key_of = |schema: &str| {
        let key = (schema.to_owned(), name.to_owned());
        catalog
            .functions
            .get_key_value(&key)
            .map(|((schema, _), _)| schema.as_str())
    };
    match schema {
        Some(schema) if schema == OWN || catalog.path.iter().any(|known| known == schema) => key_of(schema),
        Some(_) => None,
        None => key_of(OWN).or_else(|| catalog.path.iter().find_map(|schema| key_of(schema))),
    }
}

/// Whether every signature of a name may be called: which one it is, only the server decides.
fn may_call(catalog: &Catalog, schema: &str, name: &str) -> bool {
    let signatures = catalog.functions.get(&(schema.to_owned(), name.to_owned()));
    signatures.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one.allowed))
}

/// `a.name` and `(a).name` are `name(a)` to the server where its `a` has no such column. Functions without arguments
/// cannot be meant.
///
/// # Errors
/// `statement_refused` if it could be a call of what may not be called.
pub(super) fn not_a_call(catalog: &Catalog, name: &str) -> Result<(), Refusal> {
    let schemas = std::iter::once(OWN).chain(catalog.path.iter().map(String::as_str));
    let takes_one = |function: &catalog::Function| !function.arguments.is_empty();
    let mut named = schemas.filter(|schema| {
        let found = catalog.functions.get(&((*schema).to_owned(), name.to_owned()));
        found.is_some_and(|all| all.iter().any(takes_one))
    });
    if named.all(|schema| may_call(catalog, schema, name)) {
        return Ok(());
    }
    Err(refused(
        format!("`{name}` may be a column here or a function that is not available."),
        format!("Give the column another name where it is made: AS {name}_value."),
    ))
}

/// The schema to write before a type's name, where it is one of the database's own.
///
/// # Errors
/// `statement_refused`, in the same words whether there is no such type or it may not be named.
pub(super) fn type_name(catalog: &Catalog, node: &Node) -> Result<Option<String>, Refusal> {
    let parts = node.names("names").unwrap_or_default();
    let written = parts.join(".");
    let none = || {
        refused(
            format!("The type `{written}` is not available."),
            "Use PostgreSQL's own types; rows of tables and names of catalogue objects are not among them.",
        )
    };
    let key = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
    let (schema, name) = match parts.as_slice() {
        [name] => {
            let own = catalog.types.contains_key(&key(OWN, name)).then_some(OWN);
            let path = || catalog.path.iter().map(String::as_str);
            let found = own.or_else(|| path().find(|schema| catalog.types.contains_key(&key(schema, name))));
            (found.ok_or_else(none)?, *name)
        }
        [schema, name] => (*schema, *name),
        _ => return Err(none()),
    };
    let known = catalog
        .types
        .get(&key(schema, name))
        .filter(|known| known.allowed);
    let is_row = catalog.relations.contains_key(&key(schema, name));
    let bare = name.trim_start_matches('_');
    if known.is_none() || is_row || schema == OWN && TYPES.contains(&bare) {
        return Err(none());
    }
    Ok((parts.len() == 1 && schema != OWN).then(|| schema.to_owned()))
}

/// An operator by its name: one of the server's own.
///
/// # Errors
/// `statement_refused`.
pub(super) fn operator(catalog: &Catalog, mode: Mode, node: &Node, field: &str) -> Result<(), Refusal> {
    let written = |name: &str| {
        Err(refused(
            format!("The operator `{name}` is not available."),
            "Use PostgreSQL's own operators, or a function that does the same.",
        ))
    };
    match node.names(field).as_deref() {
        // Queries run with a search path of nothing but pg_catalog. A change runs with the database's own
        // schemas in it, because triggers are written for them.
        Some([name]) if mode == Mode::Change && catalog.operators.contains(*name) => written(name),
        Some([] | [_]) => Ok(()),
        Some([schema, _]) if *schema == OWN => Ok(()),
        Some(parts) => written(&parts.join(".")),
        None => written("?"),
    }
}

/// Operators that are meant without being written: `=` of CASE, IN and USING, the comparisons of BETWEEN.
///
/// # Errors
/// `statement_refused`, in a change, where the database has operators of these names.
pub(super) fn implied(catalog: &Catalog, mode: Mode, node: &Node) -> Result<(), Refusal> {
    if mode == Mode::Query {
        return Ok(());
    }
    let between = |name: &str| name.contains("BETWEEN");
    let meant: &[&str] = match node.kind {
        "CaseExpr" if node.node("arg").is_some() => &["="],
        "SubLink" if node.node("testexpr").is_some() && node.list("oper_name").is_empty() => &["="],
        "JoinExpr" if node.flag("is_natural") || !node.list("using_clause").is_empty() => &["="],
        "AExpr"
            if node
                .names("name")
                .is_some_and(|names| names.into_iter().any(between)) =>
        {
            &["<", "<=", ">", ">="]
        }
        _ => &[],
    };
    match meant.iter().find(|name| catalog.operators.contains(**name)) {
        None => Ok(()),
        Some(name) => Err(refused(
            format!("The operator `{name}` is not available."),
            "Use PostgreSQL's own operators, or a function that does the same.",
        )),
    }
}

/// A collation by its name.
///
/// # Errors
/// `statement_refused`.
pub(super) fn collation(catalog: &Catalog, node: &Node) -> Result<(), Refusal> {
    let parts = node.names("collname").unwrap_or_default();
    match parts.as_slice() {
        [_] => Ok(()),
        [schema, _] if *schema == OWN || catalog.path.iter().any(|known| known == schema) => Ok(()),
        _ => Err(refused(
            format!("The collation `{}` is not available.", parts.join(".")),
            "Use one of PostgreSQL's own, such as \"C\".",
        )),
    }
}

/// The name of a common table expression: none that a table of the server's own has.
///
/// # Errors
/// `statement_refused`.
pub(super) fn cte(cte: &Node) -> Result<(), Refusal> {
    let name = cte.text("ctename");
    if name.starts_with("pg_") {
        return Err(refused(
            format!("`{name}` is not available as a name: names that begin with pg_ belong to the server."),
            "Give the common table expression another name.",
        ));
    }
    Ok(())
}

/// The method of TABLESAMPLE: one of the server's own.
///
/// # Errors
/// `statement_refused`.
pub(super) fn sampling(node: &Node) -> Result<(), Refusal> {
    match node.names("method").as_deref() {
        Some(["bernoulli" | "system"] | [OWN, "bernoulli" | "system"]) => Ok(()),
        _ => Err(refused(
            "This sampling method is not available.",
            "Use TABLESAMPLE BERNOULLI or SYSTEM.",
        )),
    }
}

/// Which rows a sample takes depends on how large they are.
pub(super) fn sampled() -> Refusal {
    refused(
        "TABLESAMPLE is not available for a table or view with masked columns.",
        "Filter or LIMIT instead: WHERE mod(id, 100) = 0.",
    )
}

/// Where a relation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its name with its schema.
    pub(super) name: (usize, usize),
    /// With `ONLY`, its brackets, and the `*` of descendants.
    pub(super) whole: (usize, usize),
    /// The word `TABLE` before it, where that stands for `SELECT * FROM`.
    pub(super) table: Option<(usize, usize)>,
}

/// The text of a relation in a FROM, from the byte where its name begins.
pub(super) fn relation_span(tokens: &Tokens<'_>, location: usize, only: bool) -> Option<Span> {
    let first = tokens.at(location)?;
    let mut last = first;
    while tokens.kind(Some(last + 1)) == Token::Ascii46 {
        last += 2;
    }
    let (mut from, mut to) = (first, last);
    if only {
        from = first.checked_sub(1)?;
        if tokens.kind(Some(from)) == Token::Ascii40 {
            from = from.checked_sub(1)?;
            to += 1;
            if tokens.kind(Some(to)) != Token::Ascii41 {
                return None;
            }
        }
        if tokens.kind(Some(from)) != Token::Only {
            return None;
        }
    } else if tokens.kind(Some(to + 1)) == Token::Ascii42 {
        to += 1;
    }
    let span = |from: usize, to: usize| Some((tokens.tokens.get(from)?.start, tokens.tokens.get(to)?.end));
    let before = from
        .checked_sub(1)
        .filter(|at| tokens.kind(Some(*at)) == Token::Table);
    Some(Span {
        name: span(first, last)?,
        whole: span(from, to)?,
        table: match before {
            Some(at) => Some(span(at, at)?),
            None => None,
        },
    })
}
