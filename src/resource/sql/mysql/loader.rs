//! Reads what the account can see, and whether the masking views are what the configuration asks for. Where anything
//! is classified, what a statement names are these views; the plan that they were made by tells of the tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::catalog::{Catalog, Relation};
use super::guard::Checked;
use super::link::Link;
use super::probe::{self, MADE, MAKER, MARK, NOW, PLAN, Texts};
use super::tables::{self, text};
use super::{Spec, reach, refusals, role, tokens};
use crate::call::{Hash, Refusal};

/// One version of a catalogue, and what belongs to it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) catalog: Catalog,
    /// What the account may do that it should not.
    pub(super) findings: Vec<String>,
    /// What closes the resource, for the operator: views that are not there, or not those of the configuration.
    pub(super) misfit: Option<String>,
    /// Checks that were made against it.
    pub(super) checked: Mutex<BTreeMap<Question, Arc<Checked>>>,
    /// Whether the account sees nothing of the database with the tables.
    pub(super) hidden: bool,
    /// What it looks like at a [glance](probe::glance).
    pub(super) glimpse: Mutex<Option<Hash>>,
    /// What parts of it look like from a statement's transaction, by what asks for them.
    pub(super) shapes: Mutex<BTreeMap<String, Hash>>,
}

/// A statement, and the names of its parameters.
pub(super) type Question = (String, Vec<String>);

impl Loaded {
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

    /// What it looks like at a glance, if that is known.
    pub(super) fn glimpse(&self) -> Option<Hash> {
        *self.glimpse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on a glance says so much; nothing: the next call looks closely.
    pub(super) fn set_glimpse(&self, glimpse: Option<Hash>) {
        *self.glimpse.lock().unwrap_or_else(PoisonError::into_inner) = glimpse;
    }
}

/// Reads it all.
///
/// # Errors
/// `target_failed`; `limit_exceeded` for what does not fit in memory.
pub(super) async fn load(link: &mut Link, spec: &Spec, version: &str) -> Result<Loaded, Refusal> {
    let folded = tables::folded(link.conn()?).await?;
    let seen = tables::read(link.conn()?, &spec.database()).await?;
    let mut findings = role::findings(spec, &probe::grants(link.conn()?).await?);
    let databases = probe::databases(link.conn()?).await?;
    let database = spec.database().to_lowercase();
    let shows_tables = |row: &Texts| text(row, 0).to_lowercase() == database;
    let hidden = !databases.iter().any(shows_tables);
    findings.extend(role::elsewhere(spec, folded, &databases));
    let (relations, misfit) = match spec.behind_views() {
        true => {
            if let Some(table) = seen.keys().next() {
                findings.push(format!(
                    "the account can see {}.{table}, which it may only see through its masking view",
                    spec.database()
                ));
            }
            planned(link, spec, folded).await?
        }
        false => {
            let mut seen = seen;
            reach::learn(link.conn()?, spec, &mut seen).await?;
            direct(spec, folded, seen)
        }
    };
    let misfit = match probe::locked(link).await? {
        true => Some("the account is locked".to_owned()),
        false => misfit,
    };
    let key = |name: String| if folded { name.to_lowercase() } else { name };
    let mut catalog = Catalog {
        closed: BTreeMap::new(),
        version: version.to_owned(),
        database: spec.database(),
        place: spec.place(),
        folded,
        relations: relations
            .into_iter()
            .map(|(name, relation)| (key(name), relation))
            .collect(),
    };
    catalog.closed = reach::closed(&catalog, spec);
    Ok(Loaded {
        catalog,
        findings,
        misfit,
        checked: Mutex::default(),
        hidden,
        glimpse: Mutex::default(),
        shapes: Mutex::default(),
    })
}

type Found = (BTreeMap<String, Relation>, Option<String>);

/// Nothing is classified. A view of the database's own may show anything, so one with a column that nobody listed
/// does not exist.
fn direct(spec: &Spec, folded: bool, mut relations: BTreeMap<String, Relation>) -> Found {
    let misfit = tables::classify(spec, folded, &mut relations).err();
    relations.retain(|_, relation| relation.columns.iter().all(|column| column.class.is_none()));
    (relations, misfit)
}

/// What the plan says, if it is what the configuration and the tables say now and the views are those it made.
async fn planned(link: &mut Link, spec: &Spec, folded: bool) -> Result<Found, Refusal> {
    let mut questions = vec![
        ("relation, plan, made", PLAN, ""),
        // How a view is made comes before its columns, as where it has no name and no place.
        ("table_name, '', digest, ''", MADE, ""),
        (
            "table_name, column_name, column_type, IF(extra LIKE '% GENERATED%', 'made', '')",
            NOW,
            " ORDER BY table_name, at",
        ),
    ];
    if tokens::wanted(spec) {
        questions.extend([("made", MAKER, ""), ("token", MARK, "")]);
    }
    let mut all = Vec::new();
    for (what, of, order) in questions {
        let question = format!("SELECT {what} FROM {}{order}", probe::ours(spec, of));
        match probe::texts(link.conn()?, question, &[]).await {
            Ok(rows) => all.push(rows),
            Err(error) if refusals::is_missing(&error) => {
                let problem = format!(
                    "the masking views are not in the database {}, or an earlier version made them; {}",
                    spec.views,
                    remedy(spec)
                );
                return Ok((BTreeMap::new(), Some(problem)));
            }
            Err(error) => return Err(refusals::away(&error)),
        }
    }
    let mut all = all.into_iter();
    let mut next = || all.next().unwrap_or_default();
    let (plan, mut now) = (next(), next());
    now.extend(next());
    let (maker, mark) = (next(), next());
    let question = "SELECT TABLE_NAME, SHA2(CONCAT_WS('\n', VIEW_DEFINITION, SECURITY_TYPE, DEFINER), 256)
        FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?";
    let views = probe::texts(link.conn()?, question.to_owned(), &[&spec.views]).await;
    let views = views.map_err(|error| refusals::away(&error))?;
    let views: BTreeMap<String, String> = views.iter().map(|row| (text(row, 0), text(row, 1))).collect();
    let found = compare(spec, folded, &plan, &now, &views)
        .and_then(|found| tokens::installed(spec, &maker, &mark).map(|()| found));
    Ok(match found {
        Ok(relations) => (relations, None),
        Err(problem) => (BTreeMap::new(), Some(format!("{problem}; {}", remedy(spec)))),
    })
}

fn remedy(spec: &Spec) -> String {
    format!(
        "run `tollgate db views {} --apply` as an administrator",
        spec.name
    )
}

/// What is to be masked, if all of it agrees.
fn compare(
    spec: &Spec,
    folded: bool,
    plan: &[Texts],
    now: &[Texts],
    views: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Relation>, String> {
    let mut planned: BTreeMap<String, Relation> = BTreeMap::new();
    for row in plan {
        let name = text(row, 0);
        let relation: Relation = serde_json::from_str(&text(row, 1))
            .map_err(|_| format!("the plan of the masking view {name} cannot be read"))?;
        if views.get(&name) != Some(&text(row, 2)) {
            return Err(format!("the masking view {name} is not the one that was made"));
        }
        planned.insert(name, relation);
    }
    let mut wanted = planned.clone();
    tables::classify(spec, folded, &mut wanted)?;
    if let Some((name, _)) = wanted
        .iter()
        .find(|(name, relation)| planned.get(*name) != Some(relation))
    {
        return Err(format!(
            "the masking view {name} has other classes than the configuration"
        ));
    }
    described(&planned, now)?;
    Ok(wanted)
}

/// Whether tables and views are what they were when the plan was made.
fn described(planned: &BTreeMap<String, Relation>, now: &[Texts]) -> Result<(), String> {
    let mut columns: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    for row in now {
        let column = (text(row, 1), text(row, 2), !text(row, 3).is_empty());
        columns.entry(text(row, 0)).or_default().push(column);
    }
    let of_plan = |relation: &Relation| -> Vec<(String, String, bool)> {
        let each = |column: &super::catalog::Column| {
            (
                column.name.clone(),
                column.declared_type.clone(),
                column.generated,
            )
        };
        let made = relation.made.iter();
        let made = made.map(|made| (String::new(), made.digest.clone(), false));
        made.chain(relation.columns.iter().map(each)).collect()
    };
    for (name, relation) in planned {
        let mut there = columns.remove(name).unwrap_or_default();
        if relation.view && relation.made.is_none() {
            there.retain(|(column, ..)| !column.is_empty()); // of a view of which nothing is available anyway
        }
        if there != of_plan(relation) {
            return Err(match relation.made.is_some() {
                true => format!("the view {name} is made otherwise than when its masking view was"),
                false => format!("{name} has other columns than when its masking view was made"),
            });
        }
    }
    match columns.keys().next() {
        Some(name) => Err(format!("{name} has no masking view yet")),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An empty catalogue of this version.
    pub(in crate::resource::sql::mysql) fn loaded(version: &str) -> Arc<Loaded> {
        Arc::new(Loaded {
            catalog: Catalog {
                version: version.to_owned(),
                ..Catalog::default()
            },
            findings: Vec::new(),
            misfit: None,
            checked: Mutex::default(),
            hidden: true,
            glimpse: Mutex::default(),
            shapes: Mutex::default(),
        })
    }
}
