//! The second opinion on a change: which relations the server has opened for it, and how. Locks stay until the
//! transaction ends.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::Checked;
use super::link::Link;
use super::loader::Loaded;
use super::oracle::{Around, Reach};
use super::{anatomy, unmade};
use crate::call::Refusal;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Tables, parts as what they are parts of.
    pub(super) written: BTreeSet<u32>,
    /// Sequences that gave numbers, which no ROLLBACK gives back, in words for people.
    pub(super) sequences: BTreeMap<String, String>,
}

type Lock = (i64, String, String, String, String, i64);

const TAKEN: &str = "SELECT DISTINCT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text,
    c.relkind::pg_catalog.text, l.mode,
    COALESCE(CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid END, c.oid)::pg_catalog.int8
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.relation >= 16384 AND l.granted
    AND c.relkind IN ('r','p','v','m','f','S')
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// What the transaction of `link` has opened.
///
/// # Errors
/// `internal`: the server read the statement another way than we did. `statement_refused`: a trigger reached what is
/// not available.
pub(super) async fn taken(
    link: &mut Link,
    loaded: &Loaded,
    checked: &Checked,
    (around, reach): (&Around<'_>, &Reach),
) -> Result<Found, Refusal> {
    let asked = sqlx::query_as::<_, Lock>(TAKEN).persistent(false);
    let locks = asked.fetch_all(link.conn()?).await;
    let locks = locks.map_err(|error| unmade::failed(&error, false))?;
    let expected = expected(loaded, checked, around, reach);
    let mut found = Found::default();
    for (oid, schema, name, kind, mode, root) in locks {
        let (oid, root) = (number(oid), number(root));
        let writes = match mode.as_str() {
            "AccessShareLock" | "RowShareLock" => false,
            "RowExclusiveLock" => true,
            // A trigger that truncates or defines something.
            _ => return Err(unmade::out_of_reach().detail(format!("{mode} on {schema}.{name}"))),
        };
        if kind == "S" {
            if writes {
                let words = "takes numbers from it, which are used up even if nothing else stays";
                found
                    .sequences
                    .insert(format!("{schema}.{name}"), words.to_owned());
            }
            continue;
        }
        if expected.as_ref().is_some_and(|expected| !expected.contains(&oid)) {
            return Err(unexpected("opened", oid));
        }
        if !writes {
            continue;
        }
        if !reach.written.contains(&oid) {
            match reach.triggers {
                false => return Err(unexpected("wrote", oid)),
                true => by_trigger(link, around, root).await?,
            }
        }
        found.written.insert(root);
    }
    Ok(found)
}

fn unexpected(what: &str, oid: u32) -> Refusal {
    Refusal::internal(format!(
        "postgres: the server {what} the relation {oid}, of which the check knows nothing"
    ))
}

/// All that may be opened; `None` is anything, where what is listed reads what it reads.
fn expected(loaded: &Loaded, checked: &Checked, around: &Around<'_>, reach: &Reach) -> Option<BTreeSet<u32>> {
    let calls = |oid: &u32| {
        let table = around.anatomy.tables.get(oid);
        table.is_none_or(|table| !table.calls.is_empty())
    };
    if reach.triggers || reach.written.iter().any(calls) {
        return None;
    }
    let mut all: BTreeSet<u32> = checked.relations.union(&reach.written).copied().collect();
    for key in &around.anatomy.keys {
        all.extend([key.child, key.parent]);
    }
    all.extend(around.anatomy.tables.keys()); // parts, and what they are parts of
    loaded.may_open(&all, &checked.facts.functions)
}

/// What a listed trigger wrote must be such that the agent's own statement could have: a table that it has, with
/// nothing around it that nobody listed.
async fn by_trigger(link: &mut Link, around: &Around<'_>, root: u32) -> Result<(), Refusal> {
    let known = around
        .catalog
        .relations
        .values()
        .find(|relation| relation.oid == root);
    let Some(relation) = known else {
        return Err(unmade::out_of_reach().detail("a trigger changed a table that agents do not have"));
    };
    let anatomy = anatomy::read(link, &BTreeSet::from([root])).await?;
    let here = Around {
        anatomy: &anatomy,
        ..*around
    };
    let barred = here.barred_at(root);
    let sees = anatomy
        .tables
        .get(&root)
        .is_some_and(|table| table.rights.versions && !table.filtered);
    match (barred, sees) {
        (Some(why), _) => Err(unmade::out_of_reach().detail(why)),
        (None, false) => Err(unmade::out_of_reach().detail(format!(
            "the role cannot see all row versions of {}.{}, which a trigger changed",
            relation.schema, relation.name
        ))),
        (None, true) => Ok(()),
    }
}

fn number(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or_default()
}
