//! Views whose rows are chosen by what is masked. Their columns are masked like any other's, but how many rows there are
//! tells of the values: such a view does not exist for agents, unless its every column is listed, so that somebody has
//! said what it may tell.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Relation;
use super::guard::choice;
use super::lineage::{self, Made};
use super::link::Link;
use super::loader::OWN;
use super::reach::Anyone;
use super::{ColumnsDefault, Spec, refusals};
use crate::call::Refusal;

/// The longest definition that is read.
const LONGEST: i32 = 1 << 18;

type Row = (i64, Option<String>, bool);

/// Such views, by their numbers; also of other schemas, of which those of the exposed ones may be made.
///
/// # Errors
/// As [`super::loader::load`].
pub(super) async fn views(
    link: &mut Link,
    spec: &Spec,
    relations: &BTreeMap<u32, Relation>,
    (made, everyone): (&Made, &BTreeMap<u32, Anyone>),
) -> Result<BTreeSet<u32>, Refusal> {
    // What is listed and not there closes the resource anyway.
    let listed = lineage::listed(spec, relations).unwrap_or_default();
    let vouched = |view: &u32| {
        relations.get(view).is_some_and(|relation| {
            let mut columns = relation.columns.iter();
            columns.all(|column| listed.contains_key(&(*view, column.number)))
        })
    };
    let is_view = |one: &u32| everyone.get(one).is_some_and(Anyone::is_view);
    let order = lineage::by_depth(relations, made);
    let asked: Vec<i64> = order
        .iter()
        .filter(|view| **view >= OWN && is_view(view) && !vouched(view))
        .filter(|view| lineage::tainted(**view, spec, relations, made))
        .map(|view| i64::from(*view))
        .collect();
    let definitions = definitions(link, &asked).await?;
    let world = World {
        spec,
        relations,
        made,
        numbers: everyone
            .iter()
            .map(|(oid, one)| ((one.schema.as_str(), one.name.as_str()), *oid))
            .collect(),
    };
    let mut closed = BTreeSet::new();
    for view in order {
        let Some((text, widens)) = definitions.get(&view) else {
            continue;
        };
        let bases = made.reads.get(&view).into_iter().flatten();
        let inherits = bases.into_iter().any(|base| closed.contains(base));
        let chooses = match text.as_ref().and_then(|text| choice(text, *widens)) {
            None => true,
            Some(choice) => choice.is_by(|named, column| world.hides(named, column)),
        };
        if inherits || chooses {
            closed.insert(view);
        }
    }
    Ok(closed)
}

/// What each of them is, in the server's words, and whether a function among what it shows gives several rows. To write
/// that, the server locks what the view reads; these locks are given back, since they would look like the statement's.
async fn definitions(
    link: &mut Link,
    views: &[i64],
) -> Result<BTreeMap<u32, (Option<String>, bool)>, Refusal> {
    let mut all = BTreeMap::new();
    if views.is_empty() {
        return Ok(all);
    }
    let text = "SELECT d.view, CASE WHEN pg_catalog.length(d.made) <= $2 THEN d.made END, d.widens FROM (
            SELECT r.ev_class::pg_catalog.int8 AS view, pg_catalog.pg_get_viewdef(r.ev_class) AS made,
                pg_catalog.strpos(r.ev_action::pg_catalog.text, ':hasTargetSRFs true') > 0 AS widens
            FROM pg_catalog.pg_rewrite r
            WHERE r.ev_type = '1' AND r.ev_class::pg_catalog.int8 = ANY($1)) AS d";
    run(link, "SAVEPOINT tollgate").await?;
    let asked = sqlx::query_as::<_, Row>(text).persistent(false);
    let found = asked.bind(views).bind(LONGEST).fetch_all(link.conn()?).await;
    run(link, "ROLLBACK TO SAVEPOINT tollgate; RELEASE SAVEPOINT tollgate").await?;
    for (view, text, widens) in found.map_err(|error| refusals::away(&error))? {
        all.insert(u32::try_from(view).unwrap_or_default(), (text, widens));
    }
    Ok(all)
}

async fn run(link: &mut Link, text: &'static str) -> Result<(), Refusal> {
    let ran = sqlx::raw_sql(text).execute(link.conn()?).await;
    ran.map(drop).map_err(|error| refusals::away(&error))
}

/// What is masked, by name.
struct World<'a> {
    spec: &'a Spec,
    relations: &'a BTreeMap<u32, Relation>,
    made: &'a Made,
    numbers: BTreeMap<(&'a str, &'a str), u32>,
}

impl World<'_> {
    /// Whether a column of a relation is masked, or any of its whole row.
    fn hides(&self, (schema, name): &(String, String), column: Option<&str>) -> bool {
        let Some(oid) = self.numbers.get(&(schema.as_str(), name.as_str())) else {
            return true; // the server's own, which holds samples of values, or somebody's who came meanwhile
        };
        self.of(*oid, column)
    }

    fn of(&self, oid: u32, column: Option<&str>) -> bool {
        let has = |relation: &Relation| {
            let mut columns = relation.columns.iter();
            columns.any(|one| one.class.is_some() && column.is_none_or(|column| column == one.name))
        };
        match self.relations.get(&oid) {
            Some(relation) => has(relation),
            None if oid < OWN || self.spec.columns_default == ColumnsDefault::Mask => true,
            None if self.made.foreign.contains(&oid) => true,
            // Elsewhere, where unlisted is shown: what a view reads decides, and for a table its kin.
            None => match self.made.reads.contains_key(&oid) {
                true => lineage::tainted(oid, self.spec, self.relations, self.made),
                false => {
                    let family = lineage::family(oid, self.made);
                    family.iter().filter_map(|one| self.relations.get(one)).any(has)
                }
            },
        }
    }
}
