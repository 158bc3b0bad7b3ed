//! Schema changes: planned from the catalogue, never tried, made once as a role of their own.
//!
//! Trying one would take its locks and rewrite its tables, so people are shown what the catalogue knows: the very
//! text, what depends on what it removes, about how large the tables are, who has to wait. When it is made, what it
//! did to the catalogue is looked at before it stays: a column that has a class keeps it, the configuration still
//! fits, and nothing is gone that was not foreseen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use super::anatomy::{self, Anatomy};
use super::catalog::{Relation, RelationKind};
use super::change::Order;
use super::dependents::{self, Dependents, Objects};
use super::guard::{self, Definition, Known};
use super::link::{Link, quoted};
use super::loader::{self, Loaded};
use super::oracle::{Around, Deed};
use super::probe::{self, Moment, Voice};
use super::{Database, Spec, commit, refusals, role, unmade};
use crate::call::answer::Changed;
use crate::call::effect::{Affected, RowChanges};
use crate::call::request::SqlExecute;
use crate::call::{Effect, LastLook, Probe, RawOutput, Refusal};
use crate::resource::sql::bounds::{bounded, schema_changed};

/// Rows of a table that are counted before it is emptied; of more it is said that they are more.
const COUNTED: u64 = 1_000_000;

/// Columns of a table with masked ones to which more may be added, or whose rows are written anew. A value takes at most
/// 64 bytes of a row (a `name`; longer ones are kept outside of it), so as many fit a page (8 KiB) whatever is in them.
const COLUMNS: usize = 100;

/// A schema change, and what is known of it without making it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) definition: Definition,
    anatomy: Anatomy,
    gone: Dependents,
    /// Tables whose rows all go: root by root, with those that CASCADE adds.
    emptied: Vec<Relation>,
}

/// What a statement would change. `link` is in a transaction, of which `loaded` is the catalogue.
///
/// # Errors
/// See [`Database::inspect`].
pub(super) async fn plan(
    link: &mut Link,
    loaded: &Loaded,
    spec: &Spec,
    request: &SqlExecute,
) -> Result<Plan, Refusal> {
    let definer = spec
        .definer
        .as_ref()
        .ok_or_else(|| unmade::no_definer(&spec.name))?;
    if request.parameters.is_some() {
        return Err(unmade::no_parameters());
    }
    let indexes = dependents::indexes(link, spec).await?;
    let known = Known {
        catalog: &loaded.catalog,
        listed: &spec.columns,
        has_functions: !spec.functions.is_empty(),
        indexes: &indexes,
    };
    let definition = guard::define(&request.statement, known)?;
    let touched = definition.touched.keys().copied();
    let is_table = |oid: &u32| {
        let kind = relation(loaded, *oid).map(|relation| relation.kind);
        matches!(kind, Some(RelationKind::Table | RelationKind::Partitioned))
    };
    let seeds: BTreeSet<u32> = touched.filter(is_table).collect();
    let anatomy = anatomy::read(link, &seeds).await?;
    let gone = dependents::gone(link, &definition, loaded, spec).await?;
    let mut plan = Plan {
        definition,
        anatomy,
        gone,
        emptied: Vec::new(),
    };
    plan.emptied = plan.emptied(loaded)?;
    let emptied = plan.emptied.iter();
    let emptied = emptied.flat_map(|table| loaded.catalog.reached(table));
    plan.definition.facts.tables.extend(emptied);
    plan.tells_nothing(loaded, spec)?;
    plan.runs_nothing(link, spec).await?;
    dependents::may(link, &plan.definition, spec, &definer.account).await?;
    Ok(plan)
}

impl Plan {
    /// The tables that TRUNCATE empties.
    fn emptied(&self, loaded: &Loaded) -> Result<Vec<Relation>, Refusal> {
        let mut all = self.definition.emptied.clone();
        loop {
            let before = all.len();
            if self.definition.cascade && !all.is_empty() {
                let keys = self.anatomy.keys.iter();
                let family: BTreeSet<u32> = all.iter().flat_map(|oid| self.anatomy.family(*oid)).collect();
                let further = keys
                    .filter(|key| family.contains(&key.parent))
                    .map(|key| key.child);
                all.extend(further.collect::<Vec<_>>());
            }
            if all.len() == before {
                break;
            }
        }
        all.iter()
            .map(|oid| {
                let found = relation(loaded, *oid);
                found.cloned().ok_or_else(|| {
                    unmade::out_of_reach().detail("it would empty a table that agents do not have")
                })
            })
            .collect()
    }

    /// Whether its success is independent of everything that is masked, or that row-level security hides.
    fn tells_nothing(&self, loaded: &Loaded, spec: &Spec) -> Result<(), Refusal> {
        let around = Around {
            anatomy: &self.anatomy,
            catalog: &loaded.catalog,
            spec,
        };
        let emptied = self.emptied.iter().map(|relation| (relation.oid, true, None));
        let touched = self.definition.touched.iter();
        let touched = touched.map(|(oid, touch)| {
            let looks = touch.scans || touch.counts || !touch.reads.is_empty();
            (*oid, looks, Some(touch).filter(|touch| touch.rewrites))
        });
        self.adds_nothing_to_masked(loaded)?;
        for (oid, looks, rewritten) in touched.chain(emptied) {
            for part in self.anatomy.family(oid) {
                let Some(found) = relation(loaded, part) else {
                    return Err(
                        unmade::out_of_reach().detail("it is, or has, a part that agents do not have")
                    );
                };
                let filtered = self.anatomy.tables.get(&part).is_some_and(|table| table.filtered);
                if looks && filtered {
                    return Err(unmade::hidden_rows(&loaded.catalog.shown(found)));
                }
            }
            let tells = |touch: &guard::Touch| {
                !touch.reads.is_empty() && around.reach(oid, vec![Deed::Update(touch.reads.clone())]).tells
            };
            if rewritten.is_some_and(tells) {
                return Err(unmade::tells_of_masked());
            }
        }
        Ok(())
    }

    /// Whether new columns are new in every part of the table, and no row becomes so wide that its masked values
    /// decide whether it fits a page.
    fn adds_nothing_to_masked(&self, loaded: &Loaded) -> Result<(), Refusal> {
        let touched = self.definition.touched.iter();
        for (oid, touch) in touched.filter(|(_, touch)| touch.rewrites || !touch.adds.is_empty()) {
            for part in self.anatomy.family(*oid) {
                let names = self.anatomy.tables.get(&part).map(|table| &table.names);
                let mut names = names.into_iter().flatten();
                // The server would make one of both, and hold what is new to the values that are there.
                if part != *oid && names.any(|(_, name)| touch.adds.contains(name)) {
                    return Err(unmade::column_of_a_part());
                }
                let columns = relation(loaded, part).map(|relation| &relation.columns);
                let is_masked = columns.is_some_and(|all| all.iter().any(|column| column.class.is_some()));
                let count = columns.map_or(0, Vec::len).saturating_add(touch.adds.len());
                if is_masked && count > COLUMNS {
                    return Err(unmade::too_wide(COLUMNS));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing of the database's own runs with it that nobody listed.
    async fn runs_nothing(&self, link: &mut Link, spec: &Spec) -> Result<(), Refusal> {
        for (oid, touch) in &self.definition.touched {
            let computes = touch.rewrites || touch.scans || !touch.reads.is_empty();
            let tables = self.anatomy.family(*oid);
            let tables = tables.iter().filter_map(|part| self.anatomy.tables.get(part));
            let mut calls = tables.flat_map(|table| &table.calls);
            let unlisted = calls
                .find(|function| !function.starts_with("pg_catalog.") && !spec.functions.contains(*function));
            if let Some(function) = unlisted.filter(|_| computes && !touch.foreign) {
                return Err(unmade::out_of_reach().detail(format!(
                    "a default, check, index, policy or domain of the table runs {function}, which `functions` does not list"
                )));
            }
        }
        if self.definition.computes
            && let Some(why) = dependents::unnamed(link, &self.definition.types).await?
        {
            return Err(unmade::own_code().detail(why));
        }
        let emptied: Vec<i64> = self
            .emptied
            .iter()
            .flat_map(|table| self.anatomy.family(table.oid))
            .map(i64::from)
            .collect();
        match dependents::code(link, &emptied, spec).await? {
            Some(why) => Err(unmade::out_of_reach().detail(why)),
            None => Ok(()),
        }
    }

    /// What people are shown: nothing of it was tried, but the rows that go are counted.
    async fn effect(&self, link: &mut Link, loaded: &Loaded) -> Result<Effect, Refusal> {
        let mut effect = Effect {
            schema: self.definition.schema.clone(),
            irreversible: self.definition.facts.irreversible,
            ..Effect::default()
        };
        for (object, words) in &self.gone.words {
            let all = effect.schema.entry(object.clone()).or_default();
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(words);
        }
        for table in &self.emptied {
            let count = count(link, table).await?;
            let changes = RowChanges {
                deleted: Affected {
                    count,
                    keys: BTreeSet::new(),
                },
                ..RowChanges::default()
            };
            effect.rows.insert(loaded.catalog.shown(table), changes);
        }
        Ok(effect)
    }

    /// What is known of it beside that: estimates, which bind nobody.
    async fn known(&self, link: &mut Link, loaded: &Loaded) -> Result<BTreeMap<String, String>, Refusal> {
        let mut words = BTreeMap::new();
        let touched = self.definition.touched.keys();
        let emptied = self.emptied.iter().map(|table| table.oid);
        let all: BTreeSet<u32> = touched
            .copied()
            .chain(emptied)
            .flat_map(|oid| self.anatomy.family(oid))
            .collect();
        let sizes = dependents::sizes(link, &all).await?;
        for oid in all {
            let Some(relation) = relation(loaded, oid) else {
                continue;
            };
            let mut said: Vec<String> = sizes.get(&oid).cloned().into_iter().collect();
            if let Some(touch) = self.definition.touched.get(&oid) {
                said.push(format!("takes the lock {} on it", touch.lock));
                if touch.rewrites {
                    said.push("may write every row anew".to_owned());
                } else if touch.scans {
                    said.push("looks at every row".to_owned());
                }
            }
            words.insert(loaded.catalog.shown(relation), said.join("; "));
        }
        words.insert("runs exactly".to_owned(), self.definition.sql.clone());
        Ok(words)
    }
}

fn relation(loaded: &Loaded, oid: u32) -> Option<&Relation> {
    loaded
        .catalog
        .relations
        .values()
        .find(|relation| relation.oid == oid)
}

/// How many rows a table has, up to one more than are counted.
async fn count(link: &mut Link, table: &Relation) -> Result<u64, Refusal> {
    let text = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {}.{} LIMIT {}) AS counted",
        quoted(&table.schema),
        quoted(&table.name),
        COUNTED + 1
    );
    let asked = sqlx::query_scalar::<_, i64>(AssertSqlSafe(text)).persistent(false);
    let count = asked.fetch_one(link.conn()?).await;
    let count = count.map_err(|error| unmade::failed(&error, false))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A schema change that was made in a transaction that has not ended.
struct Made {
    effect: Effect,
    output: RawOutput,
}

impl Database {
    /// What a schema change would do, as far as it is known without making it.
    ///
    /// # Errors
    /// See [`Database::measure`].
    pub(super) async fn foresee(
        &self,
        order: &Order<'_>,
        cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        let work = async {
            let mut link = self.pool.reading().await?;
            let foreseen = async {
                let (loaded, plan) = self.planned(&mut link, order).await?;
                let mut effect = plan.effect(&mut link, &loaded).await?;
                effect.unmeasured = plan.known(&mut link, &loaded).await?;
                Ok(effect)
            };
            let foreseen = foreseen.await;
            link.give_back().await;
            foreseen
        };
        bounded(work, order.limits.seconds, cancel).await
    }

    /// Makes the schema change. Nothing stays unless the last look allows it.
    ///
    /// # Errors
    /// See [`Database::run`].
    pub(super) async fn make_definition(
        &self,
        order: &Order<'_>,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        let pool = self
            .defining
            .as_ref()
            .ok_or_else(|| unmade::no_definer(&self.spec.name))?;
        let work = async {
            let mut beside = self.pool.reading().await?;
            let begun = async {
                let planned = self.planned(&mut beside, order).await?;
                Ok((planned, pool.defining().await?))
            };
            let ((loaded, plan), mut link) = match begun.await {
                Ok(begun) => begun,
                Err(refusal) => {
                    beside.give_back().await;
                    return Err(refusal);
                }
            };
            let made = async {
                let made = self
                    .define((&mut link, &mut beside), &loaded, &plan, order)
                    .await?;
                let ticket = commit::ticket(&mut link, &mut beside).await?;
                Ok((made, ticket))
            };
            let made = made.await;
            beside.give_back().await;
            match made {
                Ok((made, ticket)) => Ok((link, made, ticket)),
                Err(refusal) => {
                    link.give_back().await;
                    Err(refusal)
                }
            }
        };
        let (link, made, ticket) = bounded(work, order.limits.seconds, cancel).await?;
        let mut allowed = last.look(Some(&made.effect)).await;
        if cancel.is_cancelled() {
            allowed = allowed.and(Err(Refusal::cancelled()));
        }
        if let Err(refusal) = allowed {
            link.give_back().await;
            return Err(refusal);
        }
        // From here on nobody's patience counts: what is half done is done to its end.
        commit::commit(link, Arc::clone(&self.pool), ticket).await?;
        let mut output = made.output;
        output.effect = Some(made.effect);
        Ok(output)
    }

    /// The plan again, which must be the one that was decided on.
    async fn planned(&self, link: &mut Link, order: &Order<'_>) -> Result<(Arc<Loaded>, Plan), Refusal> {
        let loaded = self.fresh(link, order.invocation, order.limits.seconds).await?;
        loaded.fit(self.spec.privileged)?;
        order.expected.matches_version(&loaded.catalog.version)?;
        let plan = plan(link, &loaded, &self.spec, order.request).await?;
        let (facts, classified) = (&plan.definition.facts, &plan.definition.classified);
        order.expected.matches(facts, classified)?;
        match order.probe == Probe::Measurable {
            true => Ok((loaded, plan)),
            false => Err(schema_changed()),
        }
    }

    /// Makes it in the transaction of the first link, and looks at what became of the catalogue.
    async fn define(
        &self,
        (link, beside): (&mut Link, &mut Link),
        loaded: &Loaded,
        plan: &Plan,
        order: &Order<'_>,
    ) -> Result<Made, Refusal> {
        self.begin(link, order).await?;
        for table in &plan.emptied {
            let text = format!(
                "LOCK TABLE {}.{} IN ACCESS EXCLUSIVE MODE",
                quoted(&table.schema),
                quoted(&table.name)
            );
            self.send(link, text).await?;
        }
        let effect = plan.effect(link, loaded).await?;
        let before = dependents::objects(beside).await?;
        self.send(link, plan.definition.sql.clone()).await?;
        let after = dependents::objects(link).await?;
        foreseen(&before, &after, &plan.gone)?;
        self.keeps_its_masks(link, loaded, &plan.gone).await?;
        // What was looked at is so still, now that the locks keep it so.
        beside.look_anew().await?;
        let now = self.fresh(beside, order.invocation, order.limits.seconds).await?;
        order.expected.matches_version(&now.catalog.version)?;
        let removed = effect.rows.values().map(|changes| changes.deleted.count).sum();
        let changed = Changed {
            rows_affected: removed,
            kind: plan.definition.facts.kind.clone(),
            returned: None,
        };
        let output = RawOutput::new(&changed)
            .map_err(|error| Refusal::internal(format!("postgres schema change: {error}")))?;
        Ok(Made { effect, output })
    }

    /// Tells the server whose call it is, and looks at the role.
    async fn begin(&self, link: &mut Link, order: &Order<'_>) -> Result<(), Refusal> {
        let voice = Voice::of(order.invocation, order.limits.seconds);
        probe::ask(link, &self.spec, &voice, &Moment::default()).await?;
        let excess = role::excess(link).await?;
        if !excess.is_empty() && !self.spec.privileged {
            return Err(refusals::privileged(&excess));
        }
        self.send(link, "SET LOCAL synchronous_commit = on".to_owned())
            .await
    }

    async fn send(&self, link: &mut Link, text: String) -> Result<(), Refusal> {
        let sent = sqlx::raw_sql(AssertSqlSafe(text)).execute(link.conn()?).await;
        sent.map(drop)
            .map_err(|error| unmade::undefined(&error, &self.spec.name))
    }

    /// No column that is masked may come out shown, and the configuration has to fit what is there then.
    async fn keeps_its_masks(
        &self,
        link: &mut Link,
        loaded: &Loaded,
        gone: &Dependents,
    ) -> Result<(), Refusal> {
        let (relations, misfit) = loader::classes(link, &self.spec).await?;
        if let Some(problem) = misfit {
            return Err(unmade::unfit().detail(problem));
        }
        let before = loaded.catalog.relations.values().chain(&loaded.unreadable);
        for relation in before {
            let Some(now) = relations.get(&relation.oid) else {
                // What is not to be seen is not known to keep anything.
                if gone.objects.contains(&("relation".to_owned(), relation.oid)) {
                    continue;
                }
                return Err(unmade::unfit().detail(format!(
                    "{}.{} would be out of sight",
                    relation.schema, relation.name
                )));
            };
            for column in &relation.columns {
                let Some((class, _)) = &column.class else {
                    continue;
                };
                let now = now.columns.iter().find(|one| one.number == column.number);
                let keeps = now.is_none_or(|now| {
                    let after = now.class.as_ref().map(|(class, _)| class.as_str());
                    after == Some(class) || after == Some("unlisted")
                });
                if !keeps {
                    return Err(unmade::unfit().detail(format!(
                        "{}.{}.{} would have another class than {class}",
                        relation.schema, relation.name, column.name
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether everything that is gone was foreseen, and nothing is new that runs by itself or says who sees what.
fn foreseen(before: &Objects, after: &Objects, gone: &Dependents) -> Result<(), Refusal> {
    let names: BTreeSet<&(String, String)> = after.values().collect();
    for (object, named) in before {
        // A change of a type makes indexes and constraints anew under their names.
        let lost = !after.contains_key(object) && !names.contains(named);
        if lost && !gone.objects.contains(object) {
            return Err(
                unmade::out_of_reach().detail(format!("{} {} would be gone as well", named.0, named.1))
            );
        }
    }
    for (object, (kind, name)) in after {
        let known = ["relation", "constraint"].contains(&kind.as_str()) || before.contains_key(object);
        if !known {
            return Err(unmade::out_of_reach().detail(format!("{kind} {name} would be new")));
        }
    }
    Ok(())
}
