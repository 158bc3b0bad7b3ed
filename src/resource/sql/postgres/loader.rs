//! Reads what the role can see, and lays the configured classes over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use sqlx::FromRow;
use sqlx::postgres::PgRow;

use super::catalog::{Catalog, Column, Function, Name, Relation, RelationKind, Type};
use super::guard::Checked;
use super::lineage::{self, Made, Place};
use super::link::Link;
use super::probe::Moment;
use super::reach::{self, Beyond};
use super::{Spec, choosing, functions, refusals, role, tokens};
use crate::call::{Code, Refusal};

/// The most relations, columns and other entries that are kept in memory for a resource.
const RELATIONS: usize = 20_000;
const ENTRIES: usize = 400_000;
/// Indexes find rows and do not order them: what an index has found is read as it lies in the table.
const UNORDERED: &str = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off";
/// The first number that an object of the database's own can have (`FirstNormalObjectId`).
pub(super) const OWN: u32 = 16_384;

/// One version of a catalogue, and what belongs to it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) catalog: Catalog,
    /// How values of a type are written and read, by its number.
    pub(super) kinds: BTreeMap<u32, Kind>,
    /// What the role may do that it should not.
    pub(super) findings: Vec<String>,
    /// Relations without a grant: they do not exist for agents.
    pub(super) unreadable: Vec<Relation>,
    /// What of the configuration is not there.
    pub(super) misfit: Option<String>,
    /// Plain names of functions outside `pg_catalog`, in lower case.
    own: BTreeSet<String>,
    /// Where the key of tokens lies, which their function opens.
    token_table: Option<u32>,
    /// What the server may open when it opens a relation: what a view reads, children, what policies read.
    opens: BTreeMap<u32, BTreeSet<u32>>,
    /// Relations whose opening may open anything: the server copies the text of SQL functions into plans.
    anything: BTreeSet<u32>,
    /// Tables that an index gives in the order of a classified column.
    ordered: BTreeSet<u32>,
    /// Checks that were made against it.
    pub(super) checked: Mutex<BTreeMap<Question, Arc<Checked>>>,
}

/// A statement, the names of its parameters, and what it is shown.
pub(super) type Question = (String, Vec<String>, BTreeSet<String>);

/// A type of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: Name,
    /// The function that writes a value as it is sent.
    pub(super) send: Name,
    /// Of arrays: the type of the elements.
    pub(super) element: Option<u32>,
    /// Whether a text may be made into one.
    pub(super) allowed: bool,
}

impl Loaded {
    /// All that the server may open for a statement that names these relations and functions; `None` is anything.
    pub(super) fn may_open(
        &self,
        relations: &BTreeSet<u32>,
        functions: &BTreeSet<String>,
    ) -> Option<BTreeSet<u32>> {
        let plain = |name: &String| name.rsplit('.').next().unwrap_or_default().to_lowercase();
        if functions.iter().map(plain).any(|name| self.own.contains(&name)) {
            return None;
        }
        let mut all: BTreeSet<u32> = self.token_table.into_iter().collect();
        let mut open: Vec<u32> = relations.iter().copied().collect();
        while let Some(relation) = open.pop() {
            if self.anything.contains(&relation) {
                return None;
            }
            if all.insert(relation) {
                open.extend(self.opens.get(&relation).into_iter().flatten());
            }
        }
        Some(all)
    }

    /// For the rest of a transaction indexes find rows and do not order them, if rows of what may be opened could come in
    /// the order of a classified column; `None` is anything.
    ///
    /// # Errors
    /// `target_failed`.
    pub(super) async fn hide_order(
        &self,
        link: &mut Link,
        opened: Option<&BTreeSet<u32>>,
    ) -> Result<(), Refusal> {
        let tells = match opened {
            None => !self.ordered.is_empty(),
            Some(opened) => !opened.is_disjoint(&self.ordered),
        };
        if tells {
            let plans = sqlx::raw_sql(UNORDERED).execute(link.conn()?).await;
            plans.map_err(|error| refusals::away(&error))?;
        }
        Ok(())
    }

    /// Whether statements may be sent at all.
    ///
    /// # Errors
    /// `target_failed`, with what to do for the operator.
    pub(super) fn fit(&self, privileged: bool) -> Result<(), Refusal> {
        if let Some(problem) = &self.misfit {
            return Err(refusals::misfit(problem));
        }
        match self.findings.is_empty() || privileged {
            true => Ok(()),
            false => Err(refusals::privileged(&self.findings)),
        }
    }
}

/// Reads it all, in the transaction of the link, which sees one moment.
///
/// # Errors
/// `target_failed`; `limit_exceeded` for what does not fit in memory.
pub(super) async fn load(link: &mut Link, spec: &Spec, moment: &Moment) -> Result<Loaded, Refusal> {
    let called = functions::load(link, spec).await?;
    let mut relations = relations(link, spec).await?;
    columns(link, spec, &mut relations).await?;
    let made = made(link, &called).await?;
    let misfit = lineage::classify(spec, &mut relations, &made).err();
    let everyone = reach::everyone(link).await?;
    let closed = choosing::views(link, spec, &relations, (&made, &everyone)).await?;
    let misfit = misfit.or(casts(link, spec).await?);
    let misfit = misfit.or_else(|| tokens::too_few(&relations));
    let tokens::Installed { table, fault } = tokens::installed(link, spec).await?;
    let misfit = misfit.or(fault);
    let kinds = kinds(link, spec).await?;
    let ordered = ordered(link, &relations).await?;
    let types = kinds.iter().map(|(oid, kind)| {
        let (oid, allowed) = (*oid, kind.allowed);
        (kind.name.clone(), Type { oid, allowed })
    });
    let (readable, unreadable): (Vec<_>, Vec<_>) = relations
        .into_values()
        .partition(|relation| relation.columns.iter().any(|column| column.granted));
    let mut catalog = Catalog {
        masks: Default::default(),
        version: moment.version.clone(),
        path: spec.schemas.clone(),
        relations: readable
            .into_iter()
            .map(|relation| ((relation.schema.clone(), relation.name.clone()), relation))
            .collect(),
        functions: called,
        types: types.collect(),
        operators: functions::operators(link, spec).await?,
        beyond: Beyond::default(),
        closed,
    };
    keys(link, spec, &mut catalog).await?;
    catalog.beyond = Beyond::of(link, &everyone, &made, &catalog).await?;
    let (opens, anything) = opens(link, made).await?;
    let own = catalog.functions.keys();
    let own = own.filter(|(schema, _)| schema != "pg_catalog");
    Ok(Loaded {
        own: own.map(|(_, name)| name.to_lowercase()).collect(),
        catalog,
        kinds,
        findings: role::findings(link, spec).await?,
        unreadable,
        misfit,
        token_table: table,
        opens,
        anything,
        ordered,
        checked: Mutex::default(),
    })
}

/// The relations as the transaction of `link` sees them, with their classes, and what of the configuration would not be
/// there any more.
///
/// # Errors
/// As [`load`].
pub(super) async fn classes(
    link: &mut Link,
    spec: &Spec,
) -> Result<(BTreeMap<u32, Relation>, Option<String>), Refusal> {
    let called = functions::load(link, spec).await?;
    let mut relations = relations(link, spec).await?;
    columns(link, spec, &mut relations).await?;
    let made = made(link, &called).await?;
    let misfit = lineage::classify(spec, &mut relations, &made).err();
    let misfit = misfit.or(casts(link, spec).await?);
    let misfit = misfit.or_else(|| tokens::too_few(&relations));
    Ok((relations, misfit))
}

/// What one of our own questions gives; `$1` is the list of the exposed schemas where it has that.
pub(super) async fn rows<T>(
    link: &mut Link,
    text: &'static str,
    schemas: &[String],
) -> Result<Vec<T>, Refusal>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut query = sqlx::query_as::<_, T>(text).persistent(false);
    if text.contains("$1") {
        query = query.bind(schemas);
    }
    let rows = query.fetch_all(link.conn()?).await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    match rows.len() > ENTRIES {
        true => Err(too_large()),
        false => Ok(rows),
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        "The database has more tables and columns than Tollgate keeps in mind.",
        "Tell your operator the call_id.",
    )
    .detail("name fewer schemas, or give the role fewer tables")
}

fn number(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or_default()
}

async fn relations(link: &mut Link, spec: &Spec) -> Result<BTreeMap<u32, Relation>, Refusal> {
    let found: Vec<(i64, String, String, String)> = rows(
        link,
        "SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
            c.relkind::pg_catalog.text
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't'
         LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    if found.len() > RELATIONS {
        return Err(too_large());
    }
    let relation = |(oid, schema, name, kind): (i64, String, String, String)| {
        let kind = match kind.as_str() {
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::Materialized,
            "f" => RelationKind::Foreign,
            _ => RelationKind::Table,
        };
        let relation = Relation {
            oid: number(oid),
            schema,
            name,
            kind,
            columns: Vec::new(),
        };
        (relation.oid, relation)
    };
    Ok(found.into_iter().map(relation).collect())
}

type ColumnRow = (i64, i16, String, String, i64, bool, bool);

async fn columns(
    link: &mut Link,
    spec: &Spec,
    relations: &mut BTreeMap<u32, Relation>,
) -> Result<(), Refusal> {
    let found: Vec<ColumnRow> = rows(
        link,
        "SELECT a.attrelid::pg_catalog.int8, a.attnum, a.attname::pg_catalog.text,
            pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::pg_catalog.int8, a.attnotnull,
            pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't'
            AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attrelid, a.attnum LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    for (relation, number_of, name, declared_type, type_oid, not_null, granted) in found {
        if let Some(relation) = relations.get_mut(&number(relation)) {
            relation.columns.push(Column {
                number: number_of,
                name,
                declared_type,
                type_oid: number(type_oid),
                not_null,
                primary_key: false,
                references: None,
                class: None,
                granted,
            });
        }
    }
    Ok(())
}

/// A cast that runs code of the database's own, which nothing in a statement names: it could read anything.
async fn casts(link: &mut Link, spec: &Spec) -> Result<Option<String>, Refusal> {
    let own: Vec<(String, String)> = rows(
        link,
        "SELECT n.nspname || '.' || p.proname,
            pg_catalog.format_type(c.castsource, NULL) || ' to ' || pg_catalog.format_type(c.casttarget, NULL)
         FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
            JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
            JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE c.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') ORDER BY 1, 2 LIMIT 1000",
        &[],
    )
    .await?;
    let unlisted = own
        .into_iter()
        .find(|(function, _)| !spec.functions.contains(function));
    Ok(unlisted.map(|(function, cast)| {
        format!("the cast from {cast} runs {function}, which nothing in a statement names; drop it, or list {function} in `functions`")
    }))
}

/// What relations are made of. Of a view the server records what it reads, but for its own catalogue; that, and what the
/// view calls, stands in its rule.
async fn made(link: &mut Link, called: &BTreeMap<Name, Vec<Function>>) -> Result<Made, Refusal> {
    let read: Vec<(i64, i64)> = rows(
        link,
        "SELECT DISTINCT r.ev_class::pg_catalog.int8, d.refobjid::pg_catalog.int8
         FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE r.oid >= 16384 AND d.refobjid <> r.ev_class
         UNION SELECT r.ev_class::pg_catalog.int8, own[1]::pg_catalog.int8
         FROM pg_catalog.pg_rewrite r,
            pg_catalog.regexp_matches(r.ev_action::pg_catalog.text, ':relid ([0-9]{1,5}) ', 'g') AS own
         WHERE r.oid >= 16384 AND own[1] <> '0' AND own[1]::pg_catalog.int8 < 16384 LIMIT 400001",
        &[],
    )
    .await?;
    let calls: Vec<(i64, i64)> = rows(
        link,
        "SELECT DISTINCT r.ev_class::pg_catalog.int8, called[1]::pg_catalog.int8
         FROM pg_catalog.pg_rewrite r, pg_catalog.regexp_matches(r.ev_action::pg_catalog.text,
            ':(?:funcid|aggfnoid|winfnoid|opfuncid|opno) ([0-9]+)', 'g') AS called
         WHERE r.oid >= 16384 AND called[1] <> '0'
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_operator o
                WHERE o.oid = called[1]::pg_catalog.oid AND o.oid < 16384) LIMIT 400001",
        &[],
    )
    .await?;
    let inherited: Vec<(i64, i64)> = rows(
        link,
        "SELECT inhrelid::pg_catalog.int8, inhparent::pg_catalog.int8 FROM pg_catalog.pg_inherits
         WHERE inhrelid >= 16384 LIMIT 400001",
        &[],
    )
    .await?;
    let harmless: BTreeSet<u32> = called
        .values()
        .flatten()
        .filter(|function| function.allowed)
        .map(|function| function.oid)
        .collect();
    let mut made = Made::default();
    for (view, base) in read {
        made.reads.entry(number(view)).or_default().insert(number(base));
    }
    let own = calls.iter().filter(|(_, function)| number(*function) >= OWN);
    made.calls_own = own.map(|(view, _)| number(*view)).collect();
    let unknown = calls
        .into_iter()
        .filter(|(_, function)| !harmless.contains(&number(*function)));
    made.unknown = unknown.map(|(view, _)| number(view)).collect();
    made.generated = generated(link).await?;
    made.foreign = foreign(link).await?;
    made.inherits = inherited
        .into_iter()
        .map(|(child, parent)| (number(child), number(parent)))
        .collect();
    Ok(made)
}

/// Foreign tables, of every schema.
async fn foreign(link: &mut Link) -> Result<BTreeSet<u32>, Refusal> {
    let found: Vec<(i64,)> = rows(
        link,
        "SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c WHERE c.relkind = 'f' LIMIT 400001",
        &[],
    )
    .await?;
    Ok(found.into_iter().map(|(table,)| number(table)).collect())
}

/// Tables with an index of a classified column, or of an expression, beside something else: found by what stands before
/// it, or read in the place of the table, rows come in its order.
async fn ordered(link: &mut Link, relations: &BTreeMap<u32, Relation>) -> Result<BTreeSet<u32>, Refusal> {
    let found: Vec<(i64, i16)> = rows(
        link,
        "SELECT indrelid::pg_catalog.int8, pg_catalog.unnest(indkey::pg_catalog.int2[])
         FROM pg_catalog.pg_index WHERE indrelid >= 16384 AND indnatts > 1 LIMIT 400001",
        &[],
    )
    .await?;
    let classified = |(table, at): &(i64, i16)| {
        let relation = relations.get(&number(*table));
        relation.is_some_and(|relation| {
            let mut columns = relation.columns.iter();
            let masked = columns.any(|column| column.number == *at && column.class.is_some());
            masked || *at == 0 && relation.columns.iter().any(|column| column.class.is_some())
        })
    };
    let found = found.into_iter().filter(classified);
    Ok(found.map(|(table, _)| number(table)).collect())
}

/// Generated columns, and each column that one is made of. Which of the two it is that depends on the other, the
/// column or its expression, changed with PostgreSQL 15.
async fn generated(link: &mut Link) -> Result<Vec<(Place, i16)>, Refusal> {
    let found: Vec<(i64, i16, i32)> = rows(
        link,
        "SELECT DISTINCT a.attrelid::pg_catalog.int8, a.attnum, d.refobjsubid
         FROM pg_catalog.pg_attribute a
            JOIN pg_catalog.pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
            JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.refobjid = a.attrelid AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum
                AND (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = e.oid
                    OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid
                        AND d.objsubid = a.attnum)
         WHERE a.attgenerated <> '' AND a.attrelid >= 16384 LIMIT 400001",
        &[],
    )
    .await?;
    let place = |(table, column, source): (i64, i16, i32)| {
        let source = i16::try_from(source).unwrap_or_default();
        ((number(table), column), source)
    };
    Ok(found.into_iter().map(place).collect())
}

/// What is opened with a relation, and those with which anything may be.
async fn opens(
    link: &mut Link,
    made: Made,
) -> Result<(BTreeMap<u32, BTreeSet<u32>>, BTreeSet<u32>), Refusal> {
    let policies: Vec<(i64, i64, bool)> = rows(
        link,
        "SELECT DISTINCT p.polrelid::pg_catalog.int8, d.refobjid::pg_catalog.int8,
            d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
         WHERE d.refclassid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)
         LIMIT 400001",
        &[],
    )
    .await?;
    let (mut opens, mut anything) = (made.reads, made.calls_own);
    anything.extend(made.unknown); // what these call may read by a text of its own
    for (child, parent) in made.inherits {
        opens.entry(parent).or_default().insert(child);
    }
    for (table, other, reads) in policies {
        match reads {
            true => opens.entry(number(table)).or_default().insert(number(other)),
            false => anything.insert(number(table)),
        };
    }
    Ok((opens, anything))
}

type KeyRow = (i64, String, Vec<i16>, i64, Option<Vec<i16>>);

/// Primary keys, and what columns refer to.
async fn keys(link: &mut Link, spec: &Spec, catalog: &mut Catalog) -> Result<(), Refusal> {
    let found: Vec<KeyRow> = rows(
        link,
        "SELECT k.conrelid::pg_catalog.int8, k.contype::pg_catalog.text, k.conkey,
            k.confrelid::pg_catalog.int8, k.confkey
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND k.contype IN ('p','f') ORDER BY k.oid LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    let mut names = BTreeMap::new();
    for relation in catalog.relations.values() {
        for column in &relation.columns {
            let shown = catalog.shown_column(relation, column);
            names.insert((relation.oid, column.number), shown);
        }
    }
    let mut primary = BTreeSet::new();
    let mut refers = BTreeMap::new();
    for (relation, kind, own, other, theirs) in found {
        for (at, column) in own.iter().enumerate() {
            let column = (number(relation), *column);
            let target = theirs.as_ref().and_then(|theirs| theirs.get(at));
            let target = target.and_then(|target| names.get(&(number(other), *target)));
            match (kind.as_str(), target) {
                ("p", _) => drop(primary.insert(column)),
                (_, Some(target)) => drop(refers.insert(column, target.clone())),
                _ => {}
            }
        }
    }
    for relation in catalog.relations.values_mut() {
        for column in &mut relation.columns {
            let place = (relation.oid, column.number);
            column.primary_key = primary.contains(&place);
            column.references = refers.remove(&place);
        }
    }
    Ok(())
}

type TypeRow = (i64, String, String, String, i64, i64, String, String, i64, bool);

/// Types, and whether a text may be made into one: by the server's own functions, which look at nothing but the
/// text; for enums; and for domains over such a type without checks that call anything of the database's own.
async fn kinds(link: &mut Link, spec: &Spec) -> Result<BTreeMap<u32, Kind>, Refusal> {
    let found: Vec<TypeRow> = rows(
        link,
        "SELECT t.oid::pg_catalog.int8, n.nspname::pg_catalog.text, t.typname::pg_catalog.text,
            t.typtype::pg_catalog.text, t.typbasetype::pg_catalog.int8,
            CASE WHEN t.typcategory = 'A' THEN t.typelem::pg_catalog.int8 ELSE 0 END,
            sn.nspname::pg_catalog.text, s.proname::pg_catalog.text, t.typinput::pg_catalog.oid::pg_catalog.int8,
            EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d
                ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid
                AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
              WHERE k.contypid = t.oid)
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
            JOIN pg_catalog.pg_proc s ON s.oid = t.typsend
            JOIN pg_catalog.pg_namespace sn ON sn.oid = s.pronamespace
         WHERE (n.nspname = 'pg_catalog' OR n.nspname = ANY($1)) AND t.typtype IN ('b','d','e','r','m')
         ORDER BY t.oid LIMIT 400001",
        &spec.schemas,
    )
    .await?;
    let mut kinds = BTreeMap::new();
    let mut made_of = BTreeMap::new();
    for (oid, schema, name, kind, base, element, send_schema, send, input, calls) in found {
        let element = Some(number(element)).filter(|element| *element != 0);
        let own = number(input) < OWN && !NAMES_OF_OBJECTS.contains(&name.trim_start_matches('_'));
        let entry = Kind {
            name: (schema, name),
            send: (send_schema, send),
            element,
            allowed: own && !calls && kind != "r" && kind != "m" || number(oid) < OWN && own,
        };
        let base = Some(number(base)).filter(|base| *base != 0);
        made_of.insert(number(oid), base.or(element));
        kinds.insert(number(oid), entry);
    }
    let allowed: BTreeSet<u32> = kinds
        .keys()
        .copied()
        .filter(|oid| sound(*oid, &kinds, &made_of))
        .collect();
    for (oid, kind) in &mut kinds {
        kind.allowed = allowed.contains(oid);
    }
    Ok(kinds)
}

/// Types whose input looks a name up in the catalogue, so that it tells what is there.
const NAMES_OF_OBJECTS: &[&str] = &[
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "aclitem",
];

fn sound(oid: u32, kinds: &BTreeMap<u32, Kind>, made_of: &BTreeMap<u32, Option<u32>>) -> bool {
    let mut at = Some(oid);
    for _ in 0..16 {
        let Some(now) = at else { return true };
        if !kinds.get(&now).is_some_and(|kind| kind.allowed) {
            return false;
        }
        at = made_of.get(&now).copied().flatten();
    }
    false
}
