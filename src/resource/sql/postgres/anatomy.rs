//! What surrounds a table that is to be changed: what the server looks at, runs or changes with it. Read anew
//! for every change, of the tables it can reach: the check of queries rests on none of it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::link::Link;
use super::refusals;
use crate::call::{Code, Refusal};

/// The most tables one change may reach.
const TABLES: usize = 500;

/// Columns of relations, by number.
pub(super) type Columns = BTreeSet<i16>;

/// Everything that a change of one table can reach, by `pg_class.oid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Anatomy {
    pub(super) tables: BTreeMap<u32, Table>,
    /// Foreign keys of these tables and to them.
    pub(super) keys: BTreeSet<Key>,
    /// Child and parent.
    inherits: BTreeSet<(u32, u32)>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) kind: String,
    /// What it is a part of, in the end; itself for all that is no partition.
    pub(super) root: u32,
    /// Whether the role sees and changes only some of its rows.
    pub(super) filtered: bool,
    /// Whether rules turn changes of it into something else.
    pub(super) ruled: bool,
    /// Its columns: a part may number them otherwise.
    pub(super) names: BTreeMap<i16, String>,
    /// Columns that get a value by themselves.
    pub(super) filled: Columns,
    pub(super) indexes: BTreeSet<Index>,
    /// Of each CHECK its columns, and whether all rows are known to pass it, now as when they were made.
    pub(super) checks: BTreeSet<(Vec<i16>, bool)>,
    /// Of each generated column: itself, and what it is made of.
    pub(super) generated: BTreeSet<(i16, i16)>,
    /// What policies look at: relation and column.
    pub(super) policies: BTreeSet<(u32, i16)>,
    pub(super) triggers: BTreeSet<Trigger>,
    /// `schema.name` of the database's own functions that its defaults, checks, indexes, policies, domains and the
    /// conditions of its triggers call, by name or by an operator.
    pub(super) calls: BTreeSet<String>,
    /// Of these, name and text where it can be read.
    pub(super) texts: BTreeSet<(String, String)>,
    pub(super) rights: Rights,
}

/// One index.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Index {
    /// Whether it can refuse a row: a unique one, or that of an exclusion.
    pub(super) refuses: bool,
    /// Whether it has an expression or a predicate.
    pub(super) computes: bool,
    /// Whether two rows without a value are in each other's way.
    pub(super) nulls: bool,
    /// All columns it looks at.
    pub(super) columns: Vec<i16>,
}

/// One foreign key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) child: u32,
    pub(super) from: Vec<i16>,
    pub(super) parent: u32,
    pub(super) to: Vec<i16>,
    /// What becomes of children: `a` nothing, `r` restricts, `c` cascades, `n` NULL, `d` default.
    pub(super) on_update: String,
    pub(super) on_delete: String,
}

/// One trigger that is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trigger {
    /// `schema.name` of what it calls.
    pub(super) function: String,
    /// Its text, of a language whose text can be read.
    pub(super) body: Option<String>,
    /// Whether inserting, updating or deleting a row (or none) has it run.
    pub(super) on: [bool; 3],
}

/// What the role may do with a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) insert: Columns,
    pub(super) update: Columns,
    pub(super) delete: bool,
    /// Whether it may see which rows are new: `ctid`, `xmin`, `xmax` and `tableoid`.
    pub(super) versions: bool,
}

/// Reads what a change of `targets` reaches: their children, what refers to any of these, and so on.
///
/// # Errors
/// What the connection says; `limit_exceeded`.
pub(super) async fn read(link: &mut Link, targets: &BTreeSet<u32>) -> Result<Anatomy, Refusal> {
    let seeds: Vec<i64> = targets.iter().map(|oid| i64::from(*oid)).collect();
    let found: Vec<TableRow> = ask(link, TABLES_SQL, &seeds).await?;
    if found.len() > TABLES {
        return Err(Refusal::new(
            Code::LimitExceeded,
            format!("The change could reach more than {TABLES} tables."),
            "Tell your operator the call_id.",
        ));
    }
    let mut anatomy = Anatomy::default();
    for (oid, schema, name, kind, root, filtered, ruled, delete, versions) in found {
        let table = Table {
            schema,
            name,
            kind,
            root: number(root),
            filtered,
            ruled,
            rights: Rights {
                delete,
                versions,
                ..Rights::default()
            },
            ..Table::default()
        };
        anatomy.tables.insert(number(oid), table);
    }
    let oids: Vec<i64> = anatomy.tables.keys().map(|oid| i64::from(*oid)).collect();
    columns(link, &oids, &mut anatomy).await?;
    constraints(link, &oids, &mut anatomy).await?;
    code(link, &oids, &mut anatomy).await?;
    Ok(anatomy)
}

type TableRow = (i64, String, String, String, i64, bool, bool, bool, bool);

const TABLES_SQL: &str = "
WITH RECURSIVE reach (oid) AS (
  SELECT pg_catalog.unnest($1)::pg_catalog.oid
  UNION SELECT next.oid FROM reach, LATERAL (
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = reach.oid
    UNION ALL SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
      WHERE i.inhrelid = reach.oid AND p.relkind = 'p'
    UNION ALL SELECT k.conrelid FROM pg_catalog.pg_constraint k
      WHERE k.confrelid = reach.oid AND k.contype = 'f') AS next (oid))
SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
  COALESCE(CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid END, c.oid)::pg_catalog.int8,
  pg_catalog.row_security_active(c.oid),
  EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1'),
  pg_catalog.has_table_privilege(c.oid, 'DELETE'),
  CASE WHEN c.relkind = 'v' THEN false -- which has no such columns: the server would say so (42703)
    ELSE pg_catalog.has_column_privilege(c.oid, 'ctid', 'SELECT')
      AND pg_catalog.has_column_privilege(c.oid, 'xmin', 'SELECT')
      AND pg_catalog.has_column_privilege(c.oid, 'xmax', 'SELECT')
      AND pg_catalog.has_column_privilege(c.oid, 'tableoid', 'SELECT') END
FROM reach JOIN pg_catalog.pg_class c ON c.oid = reach.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LIMIT 1000";

type ColumnRow = (i64, i16, String, bool, bool, bool);

async fn columns(link: &mut Link, oids: &[i64], anatomy: &mut Anatomy) -> Result<(), Refusal> {
    let found: Vec<ColumnRow> = ask(
        link,
        "SELECT a.attrelid::pg_catalog.int8, a.attnum, a.attname::pg_catalog.text, a.atthasdef OR a.attidentity <> ''
             OR EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typdefault IS NOT NULL),
           pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT'),
           pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid::pg_catalog.int8 = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped",
        oids,
    )
    .await?;
    for (table, column, name, filled, insert, update) in found {
        let Some(table) = anatomy.tables.get_mut(&number(table)) else {
            continue;
        };
        table.names.insert(column, name);
        for (is, set) in [
            (filled, &mut table.filled),
            (insert, &mut table.rights.insert),
            (update, &mut table.rights.update),
        ] {
            if is {
                set.insert(column);
            }
        }
    }
    let generated: Vec<(i64, i16, i16)> = ask(
        link,
        "SELECT f.adrelid::pg_catalog.int8, f.adnum, d.refobjsubid::pg_catalog.int2
         FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
           JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
             AND d.refobjid = f.adrelid AND d.refobjsubid > 0 AND d.refobjsubid <> f.adnum
             AND (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
               OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = f.adrelid AND d.objsubid = f.adnum)
         WHERE f.adrelid::pg_catalog.int8 = ANY($1) AND a.attgenerated <> ''",
        oids,
    )
    .await?;
    for (table, column, of) in generated {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.generated.insert((column, of));
        }
    }
    let inherits: Vec<(i64, i64)> = ask(
        link,
        "SELECT inhrelid::pg_catalog.int8, inhparent::pg_catalog.int8 FROM pg_catalog.pg_inherits
         WHERE inhparent::pg_catalog.int8 = ANY($1)",
        oids,
    )
    .await?;
    let inherits = inherits.into_iter();
    anatomy.inherits = inherits
        .map(|(child, parent)| (number(child), number(parent)))
        .collect();
    Ok(())
}

type KeyRow = (i64, Vec<i16>, i64, Vec<i16>, String, String);

async fn constraints(link: &mut Link, oids: &[i64], anatomy: &mut Anatomy) -> Result<(), Refusal> {
    let keys: Vec<KeyRow> = ask(
        link,
        "SELECT conrelid::pg_catalog.int8, conkey, confrelid::pg_catalog.int8, confkey,
           confupdtype::pg_catalog.text, confdeltype::pg_catalog.text
         FROM pg_catalog.pg_constraint
         WHERE contype = 'f' AND (conrelid::pg_catalog.int8 = ANY($1) OR confrelid::pg_catalog.int8 = ANY($1))",
        oids,
    )
    .await?;
    let keys = keys.into_iter();
    anatomy.keys = keys
        .map(|(child, from, parent, to, on_update, on_delete)| Key {
            child: number(child),
            from,
            parent: number(parent),
            to,
            on_update,
            on_delete,
        })
        .collect();
    let checks: Vec<(i64, Vec<i16>, bool)> = ask(
        link,
        "SELECT conrelid::pg_catalog.int8, COALESCE(conkey, '{}'), convalidated
           AND conbin::pg_catalog.text !~ 'SQLVALUEFUNCTION' AND NOT EXISTS (
             SELECT FROM pg_catalog.regexp_matches(conbin::pg_catalog.text, ':(?:op)?funcid ([0-9]+)', 'g') AS f (found)
               JOIN pg_catalog.pg_proc p ON p.oid = f.found[1]::pg_catalog.oid WHERE p.provolatile <> 'i')
         FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid::pg_catalog.int8 = ANY($1)",
        oids,
    )
    .await?;
    for (table, columns, valid) in checks {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.checks.insert((columns, valid));
        }
    }
    indexes(link, oids, anatomy).await
}

/// Indexes: what they refuse, and what they are made of.
async fn indexes(link: &mut Link, oids: &[i64], anatomy: &mut Anatomy) -> Result<(), Refusal> {
    let indexes: Vec<(i64, bool, bool, bool, Vec<i16>)> = ask(
        link,
        "SELECT i.indrelid::pg_catalog.int8, i.indisunique OR i.indisexclusion,
           i.indexprs IS NOT NULL OR i.indpred IS NOT NULL,
           COALESCE((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::pg_catalog.bool, false),
           ARRAY(SELECT DISTINCT of FROM (SELECT pg_catalog.unnest(i.indkey::pg_catalog.int2[]) UNION ALL
             SELECT d.refobjsubid::pg_catalog.int2 FROM pg_catalog.pg_depend d
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid) AS all_of (of)
             WHERE of > 0 ORDER BY of)
         FROM pg_catalog.pg_index i WHERE i.indrelid::pg_catalog.int8 = ANY($1)",
        oids,
    )
    .await?;
    for (table, refuses, computes, nulls, columns) in indexes {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.indexes.insert(Index {
                refuses,
                computes,
                nulls,
                columns,
            });
        }
    }
    Ok(())
}

/// What an extension brings with its types is not asked after; what is called by name is, whosever it is.
const CALLS: &str = "
WITH RECURSIVE types (of, oid) AS (
    SELECT attrelid, atttypid FROM pg_catalog.pg_attribute
    WHERE attrelid::pg_catalog.int8 = ANY($1) AND attnum > 0 AND NOT attisdropped
    UNION SELECT types.of, next.oid FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid, LATERAL (
      VALUES (t.typbasetype), (t.typelem)
      UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS next (oid)
    WHERE next.oid <> 0),
  parts (of, class, part, but) AS (
    SELECT adrelid, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid, 0::pg_catalog.oid FROM pg_catalog.pg_attrdef
    UNION ALL SELECT conrelid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_constraint
    UNION ALL SELECT indrelid, 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid, 0 FROM pg_catalog.pg_index
    UNION ALL SELECT polrelid, 'pg_catalog.pg_policy'::pg_catalog.regclass, oid, 0 FROM pg_catalog.pg_policy
    UNION ALL SELECT tgrelid, 'pg_catalog.pg_trigger'::pg_catalog.regclass, oid, tgfoid FROM pg_catalog.pg_trigger
      WHERE tgenabled <> 'D' AND NOT tgisinternal
    UNION ALL SELECT types.of, 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0
      FROM types JOIN pg_catalog.pg_constraint c ON c.contypid = types.oid
    UNION ALL SELECT types.of, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0
      FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid WHERE t.typtype = 'd'),
  uses (of, class, oid) AS (
    SELECT parts.of, d.refclassid, d.refobjid FROM parts
      JOIN pg_catalog.pg_depend d ON d.classid = parts.class AND d.objid = parts.part AND d.refobjid <> parts.but
    WHERE parts.of::pg_catalog.int8 = ANY($1)),
  calls (of, oid, named) AS (
    SELECT of, oid, true FROM uses WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION SELECT uses.of, o.oprcode::pg_catalog.oid, false FROM uses JOIN pg_catalog.pg_operator o
      ON uses.class = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = uses.oid
    UNION SELECT uses.of, p.amproc::pg_catalog.oid, false FROM uses JOIN pg_catalog.pg_opclass k
        ON uses.class = 'pg_catalog.pg_opclass'::pg_catalog.regclass AND k.oid = uses.oid
      JOIN pg_catalog.pg_amproc p ON p.amprocfamily = k.opcfamily)
SELECT DISTINCT calls.of::pg_catalog.int8, n.nspname || '.' || p.proname,
  CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN
    CASE p.prosrc WHEN '' THEN pg_catalog.pg_get_functiondef(p.oid) ELSE p.prosrc END END
FROM calls JOIN pg_catalog.pg_proc p ON p.oid = calls.oid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= 16384 AND (calls.named OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
  WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid AND e.deptype = 'e'))";

type TriggerRow = (i64, String, bool, String, i16);

/// What runs: triggers, and functions of the database's own in whatever belongs to a table.
async fn code(link: &mut Link, oids: &[i64], anatomy: &mut Anatomy) -> Result<(), Refusal> {
    let triggers: Vec<TriggerRow> = ask(
        link,
        "SELECT t.tgrelid::pg_catalog.int8, n.nspname || '.' || p.proname, l.lanname IN ('sql', 'plpgsql'), p.prosrc,
           t.tgtype
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
           JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE t.tgrelid::pg_catalog.int8 = ANY($1) AND NOT t.tgisinternal AND t.tgenabled <> 'D'",
        oids,
    )
    .await?;
    for (table, function, readable, body, kind) in triggers {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.triggers.insert(Trigger {
                function,
                body: readable.then_some(body),
                on: [kind & 4 != 0, kind & 16 != 0, kind & 8 != 0], // TRIGGER_TYPE_INSERT, _UPDATE, _DELETE
            });
        }
    }
    let calls: Vec<(i64, String, Option<String>)> = ask(link, CALLS, oids).await?;
    for (table, function, text) in calls {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.texts.extend(text.map(|text| (function.clone(), text)));
            table.calls.insert(function);
        }
    }
    let policies: Vec<(i64, i64, i16)> = ask(
        link,
        "SELECT p.polrelid::pg_catalog.int8, d.refobjid::pg_catalog.int8, d.refobjsubid::pg_catalog.int2
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_depend d
           ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE p.polrelid::pg_catalog.int8 = ANY($1)",
        oids,
    )
    .await?;
    for (table, of, column) in policies {
        if let Some(table) = anatomy.tables.get_mut(&number(table)) {
            table.policies.insert((number(of), column));
        }
    }
    Ok(())
}

impl Anatomy {
    /// The columns of `to` with the names of these columns of `from`, which is a part of it or has it as a part.
    pub(super) fn moved(&self, columns: &Columns, from: u32, to: u32) -> Columns {
        let names = |table: &u32| self.tables.get(table).map(|table| &table.names);
        let (true, Some(old), Some(new)) = (from != to, names(&from), names(&to)) else {
            return columns.clone();
        };
        let moved: BTreeSet<&String> = columns.iter().filter_map(|column| old.get(column)).collect();
        let same = new.iter().filter(|(_, name)| moved.contains(name));
        same.map(|(column, _)| *column).collect()
    }

    /// A table and everything that inherits from it.
    pub(super) fn family(&self, table: u32) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let mut open = vec![table];
        while let Some(one) = open.pop() {
            if all.insert(one) {
                let children = self.inherits.iter().filter(|(_, parent)| *parent == one);
                open.extend(children.map(|(child, _)| *child));
            }
        }
        all
    }
}

fn number(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or_default()
}

async fn ask<T>(link: &mut Link, text: &'static str, oids: &[i64]) -> Result<Vec<T>, Refusal>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as::<_, T>(text).persistent(false).bind(oids);
    let rows = query.fetch_all(link.conn()?).await;
    rows.map_err(|error| refusals::away(&error))
}
