//! What the catalogue says of a schema change: what goes with what it removes, how large tables are, whose they are.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Name;
use super::guard::{Definition, Gone, Known};
use super::link::Link;
use super::loader::Loaded;
use super::{Spec, loader, refusals, unmade};
use crate::call::Refusal;

/// Objects of the database's own, by kind and number: what they are called.
pub(super) type Objects = BTreeMap<(String, u32), (String, String)>;

/// What goes, with what depends on it.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    /// By kind and number, as in [`Objects`].
    pub(super) objects: BTreeSet<(String, u32)>,
    /// What becomes of objects that the statement does not name.
    pub(super) words: BTreeMap<String, String>,
}

fn number(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or_default()
}

/// The indexes of the exposed schemas: number, and that of their table.
///
/// # Errors
/// What the connection says.
pub(super) async fn indexes(link: &mut Link, spec: &Spec) -> Result<BTreeMap<Name, (u32, u32)>, Refusal> {
    let found: Vec<(String, String, i64, i64)> = loader::rows(
        link,
        "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.oid::pg_catalog.int8, i.indrelid::pg_catalog.int8
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND c.relpersistence <> 't' LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    let one = |(schema, name, index, table)| ((schema, name), (number(index), number(table)));
    Ok(found.into_iter().map(one).collect())
}

/// What the server removes with what is removed: what belongs to it, and with `$6` (CASCADE) what needs it. An object
/// that something which goes is a part of goes as well: of a view, its rule is what reads.
const GONE: &str = "
WITH RECURSIVE gone (classid, objid, objsubid) AS (
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, o::pg_catalog.oid, 0
      FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS o
    UNION SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, x.t::pg_catalog.oid, x.c
      FROM unnest($2::pg_catalog.int8[], $3::pg_catalog.int4[]) AS x (t, c)
    UNION SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid, k.oid, 0
      FROM pg_catalog.pg_constraint k JOIN unnest($4::pg_catalog.int8[], $5::pg_catalog.text[]) AS y (t, n)
        ON k.conrelid = y.t::pg_catalog.oid AND k.conname = y.n
  UNION
    SELECT e.classid, e.objid, e.objsubid FROM gone g CROSS JOIN LATERAL (
      SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
      WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
        AND (d.deptype IN ('a', 'i', 'P', 'S') OR $6)
      UNION ALL
      SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_catalog.pg_depend d
      WHERE d.classid = g.classid AND d.objid = g.objid AND d.objsubid = g.objsubid AND d.deptype = 'i') AS e)
SELECT 'relation', c.oid::pg_catalog.int8, COALESCE(i.indrelid, 0)::pg_catalog.int8, n.nspname::pg_catalog.text,
    c.relname::pg_catalog.text, c.relkind::pg_catalog.text
  FROM gone g JOIN pg_catalog.pg_class c ON c.oid = g.objid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  WHERE g.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND g.objsubid = 0 AND n.nspname <> 'pg_toast'
UNION SELECT 'column', g.objid::pg_catalog.int8, g.objsubid::pg_catalog.int8, '', '', ''
  FROM gone g WHERE g.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND g.objsubid <> 0
UNION SELECT 'constraint', k.oid::pg_catalog.int8, k.conrelid::pg_catalog.int8, '', k.conname::pg_catalog.text, ''
  FROM gone g JOIN pg_catalog.pg_constraint k ON k.oid = g.objid
  WHERE g.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.contype <> 'n'
UNION SELECT 'trigger', t.oid::pg_catalog.int8, t.tgrelid::pg_catalog.int8, '', t.tgname::pg_catalog.text, ''
  FROM gone g JOIN pg_catalog.pg_trigger t ON t.oid = g.objid AND NOT t.tgisinternal
  WHERE g.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
UNION SELECT 'policy', p.oid::pg_catalog.int8, p.polrelid::pg_catalog.int8, '', p.polname::pg_catalog.text, ''
  FROM gone g JOIN pg_catalog.pg_policy p ON p.oid = g.objid
  WHERE g.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
UNION SELECT 'rule', r.oid::pg_catalog.int8, r.ev_class::pg_catalog.int8, '', r.rulename::pg_catalog.text, ''
  FROM gone g JOIN pg_catalog.pg_rewrite r ON r.oid = g.objid
  WHERE g.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
UNION SELECT 'default', f.oid::pg_catalog.int8, f.adrelid::pg_catalog.int8, f.adnum::pg_catalog.text,
    a.attname::pg_catalog.text, ''
  FROM gone g JOIN pg_catalog.pg_attrdef f ON f.oid = g.objid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  WHERE g.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
UNION SELECT 'other', g.objid::pg_catalog.int8, 0, '', pg_catalog.pg_describe_object(g.classid, g.objid, g.objsubid), ''
  FROM gone g LEFT JOIN pg_catalog.pg_type t
    ON g.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = g.objid
  WHERE g.classid NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass,
      'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
      'pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass,
      'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, 'pg_catalog.pg_publication_rel'::pg_catalog.regclass)
    AND NOT COALESCE(t.typtype = 'c' OR t.typcategory = 'A', false)
LIMIT 10001";

type GoneRow = (String, i64, i64, String, String, String);

/// What goes with what a statement removes. Each must be such that the statement could have named it.
///
/// # Errors
/// `statement_refused`; what the connection says.
pub(super) async fn gone(
    link: &mut Link,
    definition: &Definition,
    loaded: &Loaded,
    spec: &Spec,
) -> Result<Dependents, Refusal> {
    if definition.gone.is_empty() {
        return Ok(Dependents::default());
    }
    let (mut relations, mut tables, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of, mut constraints) = (Vec::new(), Vec::new());
    for gone in &definition.gone {
        match gone {
            Gone::Relation(oid) => relations.push(i64::from(*oid)),
            Gone::Column(table, column) => {
                tables.push(i64::from(*table));
                columns.push(i32::from(*column));
            }
            Gone::Constraint(table, name) => {
                of.push(i64::from(*table));
                constraints.push(name.clone());
            }
        }
    }
    let asked = sqlx::query_as::<_, GoneRow>(GONE)
        .persistent(false)
        .bind(relations)
        .bind(tables)
        .bind(columns)
        .bind(of)
        .bind(constraints)
        .bind(definition.cascade);
    let rows = asked.fetch_all(link.conn()?).await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    if rows.len() > 10_000 {
        return Err(unmade::too_much());
    }
    understood(&rows, definition, loaded, spec)
}

/// The same, row by row.
fn understood(
    rows: &[GoneRow],
    definition: &Definition,
    loaded: &Loaded,
    spec: &Spec,
) -> Result<Dependents, Refusal> {
    let of_kind = |wanted: &'static str| rows.iter().filter(move |row| row.0 == wanted);
    let relations: BTreeSet<u32> = of_kind("relation").map(|row| number(row.1)).collect();
    let beyond = |what: &str| Err(unmade::out_of_reach().detail(format!("{what} would be gone as well")));
    let mut found = Dependents::default();
    for row in rows {
        let (kind, oid, table, name) = (row.0.as_str(), number(row.1), number(row.2), &row.4);
        let seed = definition.gone.contains(&Gone::Relation(oid));
        found.objects.insert((row.0.clone(), oid));
        match kind {
            "relation" if ["i", "I"].contains(&row.5.as_str()) => {
                if !seed && !relations.contains(&table) {
                    found.add(loaded, table, &format!("drop index {name}"))?;
                }
            }
            "relation" if row.5 == "S" => {
                drop(found.words.insert(name.clone(), "drop its sequence".to_owned()))
            }
            "relation" if !seed => found.dependent(loaded, spec, oid)?,
            "relation" => {}
            "column" => {
                let column = i16::try_from(row.2).unwrap_or_default();
                let named = definition.gone.contains(&Gone::Column(oid, column));
                if !named && !relations.contains(&oid) {
                    return beyond("a column of another table");
                }
            }
            "constraint" => {
                let named = definition.gone.contains(&Gone::Constraint(table, name.clone()));
                if !named && !relations.contains(&table) {
                    found.add(loaded, table, &format!("drop constraint {name}"))?;
                }
            }
            "default" => {
                let column = row.3.parse().unwrap_or_default();
                let named = definition.gone.contains(&Gone::Column(table, column));
                if !named && !relations.contains(&table) {
                    found.add(loaded, table, &format!("drop the default of column {name}"))?;
                }
            }
            // What says who sees which rows, or runs by itself, goes only with its own table.
            "trigger" | "policy" | "rule" if relations.contains(&table) => {}
            _ => return beyond(&format!("{kind} {name}")),
        }
    }
    Ok(found)
}

impl Dependents {
    /// A view or table that the statement does not name.
    fn dependent(&mut self, loaded: &Loaded, spec: &Spec, oid: u32) -> Result<(), Refusal> {
        let relation = loaded
            .catalog
            .relations
            .values()
            .find(|relation| relation.oid == oid);
        let Some(relation) = relation else {
            return Err(
                unmade::out_of_reach().detail("a relation that agents do not have would be gone as well")
            );
        };
        let known = Known {
            catalog: &loaded.catalog,
            listed: &spec.columns,
            has_functions: false,
            indexes: &BTreeMap::new(),
        };
        if known.speaks_of(Some(&relation.schema), &relation.name, None) {
            return Err(unmade::out_of_reach().detail(format!(
                "{}.{}, of which the configuration speaks, would be gone as well",
                relation.schema, relation.name
            )));
        }
        let shown = loaded.catalog.shown(relation);
        self.words
            .insert(shown, "dropped, because it depends on what is dropped".to_owned());
        Ok(())
    }

    /// Something of a table that stays.
    fn add(&mut self, loaded: &Loaded, table: u32, what: &str) -> Result<(), Refusal> {
        let relation = loaded
            .catalog
            .relations
            .values()
            .find(|relation| relation.oid == table);
        let Some(relation) = relation else {
            return Err(unmade::out_of_reach()
                .detail("something of a table that agents do not have would be gone as well"));
        };
        let words = self.words.entry(loaded.catalog.shown(relation)).or_default();
        if !words.is_empty() {
            words.push_str("; ");
        }
        words.push_str(what);
        words.push_str(", because it depends on what is dropped");
        Ok(())
    }
}

/// Everything of the database's own that a schema change could take away or bring, but for what belongs to sessions, and
/// for NOT NULL, which is a part of its column (and since PostgreSQL 18 a constraint as well).
const OBJECTS: &str = "
SELECT 'relation', c.oid::pg_catalog.int8, n.nspname || '.' || c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f','S','i','I') AND c.relpersistence <> 't'
    AND n.nspname <> 'pg_toast'
UNION ALL SELECT 'constraint', oid::pg_catalog.int8, conrelid::pg_catalog.text || '.' || conname
  FROM pg_catalog.pg_constraint WHERE oid >= 16384 AND conrelid <> 0 AND contype <> 'n'
UNION ALL SELECT 'policy', oid::pg_catalog.int8, polrelid::pg_catalog.text || '.' || polname FROM pg_catalog.pg_policy
UNION ALL SELECT 'trigger', oid::pg_catalog.int8, tgrelid::pg_catalog.text || '.' || tgname
  FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'rule', oid::pg_catalog.int8, ev_class::pg_catalog.text || '.' || rulename
  FROM pg_catalog.pg_rewrite WHERE oid >= 16384 AND rulename <> '_RETURN'
UNION ALL SELECT 'function', oid::pg_catalog.int8, proname::pg_catalog.text FROM pg_catalog.pg_proc WHERE oid >= 16384
UNION ALL SELECT 'type', oid::pg_catalog.int8, typname::pg_catalog.text FROM pg_catalog.pg_type
  WHERE oid >= 16384 AND typtype <> 'c' AND typcategory <> 'A'
LIMIT 400001";

/// What there is, as the transaction of `link` sees it.
///
/// # Errors
/// What the connection says.
pub(super) async fn objects(link: &mut Link) -> Result<Objects, Refusal> {
    let rows: Vec<(String, i64, String)> = loader::rows(link, OBJECTS, &[]).await?;
    let one = |(kind, oid, name): (String, i64, String)| ((kind.clone(), number(oid)), (kind, name));
    Ok(rows.into_iter().map(one).collect())
}

/// About how many rows and bytes these tables have. Bytes are those of a power of four: how long masked values are
/// does not show in them, but for where one of these is crossed.
///
/// # Errors
/// What the connection says.
pub(super) async fn sizes(link: &mut Link, all: &BTreeSet<u32>) -> Result<BTreeMap<u32, String>, Refusal> {
    let oids: Vec<i64> = all.iter().map(|oid| i64::from(*oid)).collect();
    let asked = sqlx::query_as::<_, (i64, i64, Option<i64>)>(
        "SELECT c.oid::pg_catalog.int8, c.reltuples::pg_catalog.int8, pg_catalog.pg_total_relation_size(c.oid)
         FROM pg_catalog.pg_class c WHERE c.oid::pg_catalog.int8 = ANY($1) AND c.relkind IN ('r','p','m')",
    );
    let rows = asked.persistent(false).bind(oids).fetch_all(link.conn()?).await;
    let rows = rows.map_err(|error| unmade::failed(&error, false))?;
    let said = |(oid, tuples, bytes): (i64, i64, Option<i64>)| {
        let rows = match tuples < 0 {
            true => "rows never counted".to_owned(),
            false => format!("about {tuples} rows"),
        };
        let mut most: i64 = 1;
        let mebibytes = bytes.unwrap_or_default() / 1_048_576;
        while most <= mebibytes && most < i64::MAX / 4 {
            most *= 4;
        }
        (number(oid), format!("estimated: {rows}, less than {most} MiB"))
    };
    Ok(rows.into_iter().map(said).collect())
}

type RightsRow = (Option<bool>, String);

/// Whether the account that changes schemas may do this: it has to own what it changes.
///
/// # Errors
/// `target_failed`, with what is missing for the operator.
pub(super) async fn may(
    link: &mut Link,
    definition: &Definition,
    spec: &Spec,
    account: &str,
) -> Result<(), Refusal> {
    let touched = definition.touched.iter().filter(|(_, touch)| !touch.foreign);
    let owned: Vec<i64> = touched.map(|(oid, _)| i64::from(*oid)).collect();
    let made: Vec<String> = definition.makes_in.iter().cloned().collect();
    let asked = sqlx::query_as::<_, RightsRow>(
        "SELECT (SELECT pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE') FROM pg_catalog.pg_roles r
                WHERE r.rolname = $3::pg_catalog.text), 'to own ' || n.nspname || '.' || c.relname
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid::pg_catalog.int8 = ANY($1)
         UNION ALL
         SELECT (SELECT pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
                AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE') FROM pg_catalog.pg_roles r
                WHERE r.rolname = $3::pg_catalog.text), 'CREATE on the schema ' || n.nspname
         FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($2)",
    );
    let asked = asked.persistent(false).bind(owned).bind(made).bind(account);
    let rights = asked.fetch_all(link.conn()?).await;
    let rights = rights.map_err(|error| refusals::away(&error))?;
    match rights.into_iter().find(|(may, _)| *may != Some(true)) {
        Some((_, what)) => Err(unmade::no_right_to_define(&spec.name, account, &what)),
        None => Ok(()),
    }
}

/// Code that a schema change would run by itself: what waits for any of them, and what waits for TRUNCATE of these.
///
/// # Errors
/// What the connection says.
pub(super) async fn code(link: &mut Link, emptied: &[i64], spec: &Spec) -> Result<Option<String>, Refusal> {
    let asked = sqlx::query_as::<_, (String, String)>(
        "SELECT n.nspname || '.' || p.proname, 'an event trigger' FROM pg_catalog.pg_event_trigger e
           JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE e.evtenabled <> 'D'
         UNION ALL
         SELECT n.nspname || '.' || p.proname, 'a trigger on TRUNCATE' FROM pg_catalog.pg_trigger t
           JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE t.tgrelid::pg_catalog.int8 = ANY($1) AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND (t.tgtype & 32) <> 0",
    );
    let rows = asked
        .persistent(false)
        .bind(emptied)
        .fetch_all(link.conn()?)
        .await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    let unlisted = rows
        .into_iter()
        .find(|(function, _)| !spec.functions.contains(function));
    Ok(unlisted.map(|(function, what)| format!("{what} runs {function}, which `functions` does not list")))
}

/// What the server runs without being told to by name, of types that are named (`$1`), casts, operator classes and ranges:
/// what is not the server's own, nor compiled code of an extension.
const UNNAMED: &str = "
WITH RECURSIVE named (oid) AS (
    SELECT o::pg_catalog.oid FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS o
    UNION SELECT next.oid FROM named JOIN pg_catalog.pg_type t ON t.oid = named.oid, LATERAL (
      VALUES (t.typbasetype), (t.typelem)
      UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL SELECT d.refobjid FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d
          ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid
          AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
        WHERE k.contypid = t.oid
      UNION ALL SELECT d.refobjid FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
          AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass) AS next (oid)
    WHERE next.oid <> 0),
  uses (class, oid) AS (
    SELECT d.refclassid, d.refobjid FROM named JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = named.oid
    UNION SELECT d.refclassid, d.refobjid FROM named JOIN pg_catalog.pg_constraint k ON k.contypid = named.oid
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid),
  runs (what, oid) AS (
    SELECT 'a domain or type', oid FROM uses WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION SELECT 'a domain', o.oprcode::pg_catalog.oid FROM uses JOIN pg_catalog.pg_operator o
      ON uses.class = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = uses.oid
    UNION SELECT 'a cast', castfunc FROM pg_catalog.pg_cast
    UNION SELECT 'an operator class', amproc::pg_catalog.oid FROM pg_catalog.pg_amproc
    UNION SELECT 'an operator class', o.oprcode::pg_catalog.oid FROM pg_catalog.pg_amop a
      JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
    UNION SELECT 'a range', f.oid FROM pg_catalog.pg_range r, LATERAL (VALUES (r.rngcanonical::pg_catalog.oid),
      (r.rngsubdiff::pg_catalog.oid)) AS f (oid))
SELECT runs.what || ' runs ' || n.nspname || '.' || p.proname FROM runs
  JOIN pg_catalog.pg_proc p ON p.oid = runs.oid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= 16384 AND NOT (l.lanname IN ('c', 'internal') AND NOT p.prosecdef AND EXISTS (
    SELECT FROM pg_catalog.pg_depend e
    WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid AND e.deptype = 'e'))
UNION ALL SELECT t.typname || ' has values that have no place but their row' FROM named
  JOIN pg_catalog.pg_type t ON t.oid = named.oid WHERE t.typlen = -1 AND t.typstorage = 'p' AND t.typtype = 'd'
ORDER BY 1 LIMIT 1";

/// Why a statement that names these types may not compute or compare anything as the owner of the tables, listed or not;
/// `None` when it may.
///
/// # Errors
/// What the connection says.
pub(super) async fn unnamed(link: &mut Link, types: &BTreeSet<u32>) -> Result<Option<String>, Refusal> {
    let types: Vec<i64> = types.iter().map(|oid| i64::from(*oid)).collect();
    let asked = sqlx::query_scalar::<_, String>(UNNAMED)
        .persistent(false)
        .bind(types);
    let found = asked.fetch_optional(link.conn()?).await;
    found.map_err(|error| refusals::away(&error))
}
