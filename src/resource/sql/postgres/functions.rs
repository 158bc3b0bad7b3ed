//! What may be called: of each signature the server has, what the guard says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Spec;
use super::catalog::{Function, Name};
use super::guard::{self, FunctionFacts};
use super::link::Link;
use super::loader::rows;
use crate::call::Refusal;

type FunctionRow = (i64, String, String, String, String, bool, String, String);

/// Types of arguments that take anything, so also a whole row.
const ANYTHING: &[&str] = &[
    "any",
    "anyarray",
    "anycompatible",
    "anycompatiblearray",
    "anycompatiblenonarray",
    "anyelement",
    "anynonarray",
    "record",
    "_record",
];

/// Every signature of the server's own and of the exposed schemas.
///
/// # Errors
/// What the connection says.
pub(super) async fn load(link: &mut Link, spec: &Spec) -> Result<BTreeMap<Name, Vec<Function>>, Refusal> {
    let types: Vec<(i64, String)> = rows(
        link,
        "SELECT oid::pg_catalog.int8, typname::pg_catalog.text FROM pg_catalog.pg_type
         WHERE oid IN (SELECT pg_catalog.unnest(proargtypes::pg_catalog.oid[]) FROM pg_catalog.pg_proc) LIMIT 400001",
        &[],
    )
    .await?;
    let types: BTreeMap<u32, String> = types
        .into_iter()
        .filter_map(|(oid, name)| Some((u32::try_from(oid).ok()?, name)))
        .collect();
    let found: Vec<FunctionRow> = rows(
        link,
        "SELECT p.oid::pg_catalog.int8, n.nspname::pg_catalog.text, p.proname::pg_catalog.text,
            p.prokind::pg_catalog.text, p.provolatile::pg_catalog.text, p.prosecdef, l.lanname::pg_catalog.text,
            pg_catalog.array_to_string(p.proargtypes::pg_catalog.oid[], ' ')
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
            JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE n.nspname = 'pg_catalog' OR n.nspname = ANY($1) ORDER BY p.oid LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    let mut functions: BTreeMap<Name, Vec<Function>> = BTreeMap::new();
    for (oid, schema, name, kind, volatility, definer, language, arguments) in found {
        let arguments: Vec<u32> = arguments.split(' ').filter_map(|oid| oid.parse().ok()).collect();
        let named = arguments
            .iter()
            .map(|oid| types.get(oid).cloned().unwrap_or_default());
        let facts = FunctionFacts {
            schema: schema.clone(),
            name: name.clone(),
            volatility: kind_of(&volatility),
            language,
            definer,
            kind: kind_of(&kind),
            arguments: named.collect(),
        };
        let function = Function {
            oid: u32::try_from(oid).unwrap_or_default(),
            arguments,
            allowed: guard::allowed(&facts, &spec.functions),
            aggregate: matches!(facts.kind, 'a' | 'w'),
            takes_rows: facts
                .arguments
                .iter()
                .any(|name| ANYTHING.contains(&name.as_str())),
        };
        functions.entry((schema, name)).or_default().push(function);
    }
    Ok(functions)
}

fn kind_of(text: &str) -> char {
    text.chars().next().unwrap_or('?')
}

/// Names of operators of the exposed schemas that call what nobody has looked at. Those of an extension, written
/// in C and immutable, are not among them.
///
/// # Errors
/// What the connection says.
pub(super) async fn operators(link: &mut Link, spec: &Spec) -> Result<BTreeSet<String>, Refusal> {
    let found: Vec<(String,)> = rows(
        link,
        "SELECT DISTINCT o.oprname::pg_catalog.text
         FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
            LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
            LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE n.nspname = ANY($1) AND NOT (
            p.provolatile = 'i' AND l.lanname IN ('c', 'internal') AND NOT p.prosecdef
            AND EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid = o.oid
                AND d.deptype = 'e')) LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}
