//! One change: inspected, measured (done and undone), or made and looked at once more before it stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use super::anatomy::{self, Anatomy, Columns};
use super::catalog::{Relation, RelationKind};
use super::guard::{self, Checked, Mode, Target};
use super::impact::{Impact, Sides, Written};
use super::link::Link;
use super::loader::Loaded;
use super::locks;
use super::oracle::{Around, Deed, Reach};
use super::returning::{self, Asking, Done};
use super::{Database, Spec, commit, refusals, unmade};
use crate::call::answer::Changed;
use crate::call::request::{Parameters, SqlExecute};
use crate::call::{
    Bound, Effect, Facts, Invocation, LastLook, Limits, MaskCounts, Probe, RawOutput, Refusal,
};
use crate::resource::sql::bounds::{Expected, bounded, schema_changed, timed_out};
use crate::resource::sql::pages::names;

/// What a change is, before anything runs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) checked: Checked,
    pub(super) probe: Probe,
    target: Target,
    /// Of these tables.
    seeds: BTreeSet<u32>,
    anatomy: Anatomy,
    reach: Reach,
}

/// What is to be changed, and within which bounds.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) request: &'a SqlExecute,
    pub(super) limits: Limits,
    /// `table.column` shown raw in what RETURNING gives.
    pub(super) reveal: BTreeSet<String>,
    pub(super) expected: Expected,
    pub(super) probe: Probe,
}

impl<'a> Order<'a> {
    /// # Errors
    /// `wrong_tool`: the facts are of something else.
    pub(super) fn new(
        invocation: &'a Invocation,
        request: &'a SqlExecute,
        facts: &Facts,
        (limits, reveal): (Limits, BTreeSet<String>),
    ) -> Result<Self, Refusal> {
        Ok(Self {
            invocation,
            request,
            limits,
            reveal,
            expected: Expected::of(facts)?,
            probe: facts.probe,
        })
    }
}

/// The connection that makes a change, and one that sees what was before.
struct Pair {
    link: Link,
    beside: Link,
}

/// A change that was made in a transaction that has not ended.
struct Made {
    loaded: Arc<Loaded>,
    plan: Plan,
    impact: Impact,
    output: RawOutput,
}

/// What a statement would change. `link` is in a transaction, of which `loaded` is the catalogue.
///
/// # Errors
/// See [`Database::inspect`].
pub(super) async fn plan(
    link: &mut Link,
    loaded: &Loaded,
    spec: &Spec,
    (request, reveal): (&SqlExecute, &BTreeSet<String>),
) -> Result<Plan, Refusal> {
    let named = names(request.parameters.as_ref());
    let checked = guard::check(&request.statement, &named, &loaded.catalog, reveal, Mode::Change)?;
    let target = checked.target.clone();
    let target = target.ok_or_else(|| Refusal::internal("postgres: a change of nothing"))?;
    gives_no_masks(&target, request.parameters.as_ref())?;
    let mut seeds = BTreeSet::from([target.relation]);
    let (anatomy, reach) = loop {
        let anatomy = anatomy::read(link, &seeds).await?;
        let around = Around {
            anatomy: &anatomy,
            catalog: &loaded.catalog,
            spec,
        };
        let mut reach = around.reach(target.relation, deeds(&checked.facts.kind, &target));
        reach.tells |= around.gives_tokens(target.relation, &(&target.written - &target.defaults));
        if reach.named.is_subset(&seeds) {
            break (anatomy, reach);
        }
        seeds.extend(&reach.named); // what triggers name has triggers and keys of its own
    };
    if let Some(why) = &reach.barred {
        return Err(unmade::out_of_reach().detail(why.clone()));
    }
    let mut plan = Plan {
        // What a listed trigger makes of a row that has something classified is not known.
        probe: match reach.tells || checked.oracle && reach.triggers {
            true => Probe::Oracle,
            false => Probe::Measurable,
        },
        checked,
        target,
        seeds,
        anatomy,
        reach,
    };
    plan.may(spec)?;
    plan.with_written(loaded)?;
    Ok(plan)
}

fn deeds(kind: &str, target: &Target) -> Vec<Deed> {
    let written = || target.written.clone();
    match kind {
        "insert" => vec![Deed::Insert(written())],
        "upsert" => vec![Deed::Insert(written()), Deed::Update(written())],
        "update" => vec![Deed::Update(written())],
        _ => vec![Deed::Delete],
    }
}

/// A row that was read with masks and is written back would lose what they hide.
fn gives_no_masks(target: &Target, parameters: Option<&Parameters>) -> Result<(), Refusal> {
    let values: Vec<&Value> = match parameters {
        None => Vec::new(),
        Some(Parameters::Positional(values)) => values.iter().collect(),
        Some(Parameters::Named(values)) => values.values().collect(),
    };
    let is_mask = |(at, value): (usize, &&Value)| {
        let classified = target.parameters.contains(&(at + 1));
        holds_mask(value, classified)
    };
    match values.iter().enumerate().any(is_mask) {
        true => Err(unmade::gives_a_mask()),
        false => Ok(()),
    }
}

/// The same of lists and documents, whose parts a statement can take out.
fn holds_mask(value: &Value, classified: bool) -> bool {
    match value {
        Value::String(text) => guard::is_mask(text, classified),
        Value::Array(items) => items.iter().any(|item| holds_mask(item, classified)),
        Value::Object(members) => members
            .iter()
            .any(|(key, item)| guard::is_mask(key, classified) || holds_mask(item, classified)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Plan {
    /// Whether the role may do it, and see what it did.
    fn may(&self, spec: &Spec) -> Result<(), Refusal> {
        let whole = |oid: &u32| {
            let table = self.anatomy.tables.get(oid);
            table.map(|table| (format!("{}.{}", table.schema, table.name), &table.rights))
        };
        let Some((name, rights)) = whole(&self.target.relation) else {
            return Err(unmade::out_of_reach());
        };
        let kind = self.checked.facts.kind.as_str();
        let missing = match kind {
            "delete" if !rights.delete => Some("DELETE"),
            "insert" | "upsert" if !self.target.written.is_subset(&rights.insert) => Some("INSERT"),
            "update" if !self.target.written.is_subset(&rights.update) => Some("UPDATE"),
            _ => None,
        };
        if let Some(what) = missing {
            return Err(unmade::no_right(&spec.name, &name, what));
        }
        for oid in self.roots() {
            match whole(&oid) {
                Some((_, rights)) if rights.versions => {}
                Some((name, _)) => {
                    let what = "SELECT of ctid, xmin, xmax and tableoid";
                    return Err(unmade::no_right(&spec.name, &name, what));
                }
                None => return Err(unmade::out_of_reach()),
            }
        }
        Ok(())
    }

    /// The tables it may write, parts as what they are parts of.
    fn roots(&self) -> BTreeSet<u32> {
        let tables = self.reach.written.iter();
        tables
            .map(|oid| self.anatomy.tables.get(oid).map_or(*oid, |table| table.root))
            .collect()
    }

    /// Adds what is written to what was read.
    fn with_written(&mut self, loaded: &Loaded) -> Result<(), Refusal> {
        for oid in self.roots() {
            let relation = relation(loaded, oid).ok_or_else(|| {
                unmade::out_of_reach().detail("it would change a table that agents do not have")
            })?;
            let reached = loaded.catalog.reached(relation);
            self.checked.facts.tables.extend(reached);
            self.checked
                .classified
                .extend(loaded.catalog.classified(relation));
        }
        Ok(())
    }

    /// How rows of a table are told apart at another time. What triggers and cascades give to rows is the
    /// database's own choice; what the statement gives is what people approve.
    fn written<'l>(&self, relation: &'l Relation) -> Written<'l> {
        // What is another value every time.
        const CLOCKS: [&str; 5] = [
            "age",
            "clock_timestamp",
            "now",
            "statement_timestamp",
            "transaction_timestamp",
        ];
        let mut functions = self.checked.facts.functions.iter();
        let timed = self.target.clock
            || functions.any(|name| CLOCKS.contains(&name.rsplit('.').next().unwrap_or_default()));
        let mut given: Columns = Columns::new();
        if relation.oid == self.target.relation {
            // The time is another value only where a time is kept: elsewhere it would choose between values, and what
            // people saw would not be what it becomes.
            let keeps_time = |column: &i16| {
                let mut columns = relation.columns.iter().filter(|one| one.number == *column);
                let kinds = ["timestamp", "date", "time ", "time("];
                columns.any(|one| {
                    kinds
                        .iter()
                        .any(|kind| format!("{} ", one.declared_type).starts_with(kind))
                })
            };
            given.extend(&self.target.written - &self.target.defaults);
            given.retain(|column| !(timed && keeps_time(column)));
        }
        Written {
            relation,
            told_apart: !given.is_empty(),
            given,
        }
    }
}

fn relation(loaded: &Loaded, oid: u32) -> Option<&Relation> {
    let mut relations = loaded.catalog.relations.values();
    relations.find(|relation| {
        relation.oid == oid && matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned)
    })
}

impl Database {
    /// What the change would do: it is done and undone.
    ///
    /// # Errors
    /// See [`Database::measure`].
    pub(super) async fn try_change(
        &self,
        order: &Order<'_>,
        cancel: &CancellationToken,
    ) -> Result<Effect, Refusal> {
        if order.probe != Probe::Measurable {
            return Err(Refusal::internal(
                "postgres: this change is not to be tried before it is approved",
            ));
        }
        let work = async {
            let (mut pair, loaded) = self.pair(order).await?;
            let tried = async {
                let mut made = self.attempt(&mut pair, loaded, order, true).await?;
                made.sample(&mut pair).await?;
                self.unchanged(&mut pair.beside, &made.plan, order).await?;
                Ok(made.impact.effect)
            };
            let tried = tried.await;
            pair.link.give_back().await;
            pair.beside.give_back().await;
            tried
        };
        bounded(work, order.limits.seconds, cancel)
            .await
            .map_err(|refusal| {
                match refusal.code == timed_out().code {
                    true => unmade::not_measured(), // too long or too much: the same to an agent
                    false => refusal,
                }
            })
    }

    /// Makes the change. Nothing stays unless the last look allows it.
    ///
    /// # Errors
    /// See [`Database::run`].
    pub(super) async fn make_change(
        &self,
        order: &Order<'_>,
        (is_approved, seen): (bool, Option<&Effect>),
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        if order.probe == Probe::Oracle && !is_approved {
            return Err(unmade::approval_first());
        }
        let work = async {
            let (mut pair, loaded) = self.pair(order).await?;
            let made = async {
                let mut made = self.attempt(&mut pair, loaded, order, false).await?;
                if seen.is_some_and(|seen| !made.impact.effect.is_within(seen, Bound::Keys)) {
                    // People will be asked anew, unless they approved a count, and look at rows then too.
                    made.sample(&mut pair).await?;
                }
                self.unchanged(&mut pair.beside, &made.plan, order).await?;
                let ticket = commit::ticket(&mut pair.link, &mut pair.beside).await?;
                Ok((made, ticket))
            };
            let made = made.await;
            pair.beside.give_back().await;
            match made {
                Ok((made, ticket)) => Ok((pair.link, made, ticket)),
                Err(refusal) => {
                    pair.link.give_back().await;
                    Err(refusal)
                }
            }
        };
        let (link, made, ticket) = bounded(work, order.limits.seconds, cancel).await?;
        let mut allowed = last.look(Some(&made.impact.effect)).await;
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
        output.effect = Some(made.impact.effect);
        Ok(output)
    }

    /// The two connections of a change, and the catalogue as the first one sees it.
    async fn pair(&self, order: &Order<'_>) -> Result<(Pair, Arc<Loaded>), Refusal> {
        let (mut link, turn) = self.pool.changing().await?;
        let seconds = order.limits.seconds;
        let begun = async {
            let loaded = self.fresh(&mut link, order.invocation, seconds).await?;
            let moment = export(&mut link).await?;
            let mut beside = self.pool.beside(turn, &moment).await?;
            // The second one is told whose call it is, for row-level security.
            let told = self.fresh(&mut beside, order.invocation, seconds).await;
            Ok((beside, loaded, told.map(drop)))
        };
        match begun.await {
            Ok((beside, loaded, Ok(()))) => Ok((Pair { link, beside }, loaded)),
            Ok((beside, _, Err(refusal))) => {
                beside.give_back().await;
                link.give_back().await;
                Err(refusal)
            }
            Err(refusal) => {
                link.give_back().await;
                Err(refusal)
            }
        }
    }

    /// Checks everything again in the transaction, does the change, and finds what it did.
    async fn attempt(
        &self,
        pair: &mut Pair,
        loaded: Arc<Loaded>,
        order: &Order<'_>,
        measures: bool,
    ) -> Result<Made, Refusal> {
        let link = &mut pair.link;
        loaded.fit(self.spec.privileged)?;
        order.expected.matches_version(&loaded.catalog.version)?;
        let none = BTreeSet::new();
        let reveal = if measures { &none } else { &order.reveal };
        let plan = plan(link, &loaded, &self.spec, (order.request, reveal)).await?;
        order
            .expected
            .matches(&plan.checked.facts, &plan.checked.classified)?;
        if plan.probe != order.probe {
            return Err(schema_changed());
        }
        self.prepare(link).await?;
        let asking = Asking {
            request: order.request,
            limits: order.limits,
            checked: &plan.checked,
            loaded: &loaded,
            measures,
        };
        let done = returning::execute(link, &asking, plan.target.returning).await?;
        settle(link, measures).await?;
        let impact = self.found(pair, &loaded, (&plan, done.affected)).await;
        let impact = impact.map_err(|refusal| match measures {
            true => in_measuring(refusal),
            false => refusal,
        })?;
        let output = output(done, &plan.checked, order)?;
        Ok(Made {
            loaded,
            plan,
            impact,
            output,
        })
    }

    /// What the change did, which the server counts `affected` rows of.
    async fn found(
        &self,
        pair: &mut Pair,
        loaded: &Loaded,
        (plan, affected): (&Plan, u64),
    ) -> Result<Impact, Refusal> {
        let around = Around {
            anatomy: &plan.anatomy,
            catalog: &loaded.catalog,
            spec: &self.spec,
        };
        let found = locks::taken(&mut pair.link, loaded, &plan.checked, (&around, &plan.reach)).await?;
        let tables = found.written.iter().filter_map(|oid| relation(loaded, *oid));
        let tables: Vec<Written<'_>> = tables.map(|relation| plan.written(relation)).collect();
        let mut sides = Sides {
            after: &mut pair.link,
            before: &mut pair.beside,
            catalog: &loaded.catalog,
            kinds: &loaded.kinds,
        };
        let mut impact = sides.impact(&tables).await?;
        impact.effect.irreversible = plan.checked.facts.irreversible;
        impact.effect.schema = found.sequences;
        let family = plan.anatomy.family(plan.target.relation);
        let family = family.iter().filter_map(|oid| relation(loaded, *oid));
        let changed: u64 = family
            .map(|table| impact.changed(&loaded.catalog.shown(table)))
            .sum();
        match changed < affected {
            // Rows that row-level security, or a trigger, keeps out of sight.
            true => Err(unmade::not_possible().detail("the server counts more rows than can be seen")),
            false => Ok(impact),
        }
    }

    /// What the change is to be run with, for the length of its transaction.
    async fn prepare(&self, link: &mut Link) -> Result<(), Refusal> {
        // Triggers and defaults find what they name as they would for anybody else. Of names that are sent, each has
        // its schema but for operators, and the guard has refused those of the database's own.
        let path: Vec<String> = self
            .spec
            .schemas
            .iter()
            .map(|schema| super::link::quoted(schema))
            .collect();
        let asked = sqlx::query(
            "SELECT pg_catalog.set_config('search_path', $1, true),
               pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit')
                 WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true)",
        );
        let path = format!("pg_catalog, {}, pg_temp", path.join(", "));
        let set = asked.persistent(false).bind(path).execute(link.conn()?).await;
        set.map(drop).map_err(|error| refusals::away(&error))
    }

    /// What was inspected is so still, now that the change's locks keep it so: the server itself takes definitions
    /// as they are, not as the transaction's moment has them.
    async fn unchanged(&self, beside: &mut Link, plan: &Plan, order: &Order<'_>) -> Result<(), Refusal> {
        beside.look_anew().await?;
        let loaded = self.fresh(beside, order.invocation, order.limits.seconds).await?;
        order.expected.matches_version(&loaded.catalog.version)?;
        let anatomy = anatomy::read(beside, &plan.seeds).await?;
        match anatomy == plan.anatomy {
            true => Ok(()),
            false => Err(schema_changed()),
        }
    }
}

impl Made {
    async fn sample(&mut self, pair: &mut Pair) -> Result<(), Refusal> {
        let mut sides = Sides {
            after: &mut pair.link,
            before: &mut pair.beside,
            catalog: &self.loaded.catalog,
            kinds: &self.loaded.kinds,
        };
        sides.sample(&mut self.impact).await
    }
}

/// Of what an agent is told, nothing tells why a measurement failed, but that the server is not there or that
/// something is not available.
fn in_measuring(refusal: Refusal) -> Refusal {
    match [unmade::too_much().message, unmade::not_possible().message].contains(&refusal.message) {
        true => unmade::not_measured().detail(refusal.detail.unwrap_or(refusal.message)),
        false => refusal,
    }
}

async fn export(link: &mut Link) -> Result<String, Refusal> {
    let asked = sqlx::query("SELECT pg_catalog.pg_export_snapshot()").persistent(false);
    let row = asked.fetch_one(link.conn()?).await;
    let moment = row.and_then(|row| row.try_get(0));
    moment.map_err(|error| refusals::away(&error))
}

/// Has every constraint checked now that waits for the end, so that COMMIT has nothing left to refuse; and takes
/// the database's own schemas out of sight again.
async fn settle(link: &mut Link, measures: bool) -> Result<(), Refusal> {
    let text = "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path = pg_catalog, pg_temp";
    let set = sqlx::raw_sql(text).execute(link.conn()?).await;
    set.map(drop).map_err(|error| unmade::failed(&error, measures))
}

fn output(done: Done, checked: &Checked, order: &Order<'_>) -> Result<RawOutput, Refusal> {
    let rows = done.returned.as_ref().map_or(0, |rows| rows.row_count);
    let changed = Changed {
        rows_affected: done.affected,
        kind: checked.facts.kind.clone(),
        returned: done.returned,
    };
    let mut output =
        RawOutput::new(&changed).map_err(|error| Refusal::internal(format!("postgres change: {error}")))?;
    output.truncated = done.truncated;
    let mut masks = MaskCounts::default();
    for column in &checked.named {
        if order.reveal.contains(&column.column) {
            output.shown.insert(column.class.clone());
        } else {
            masks.add(&column.column, &column.class, rows.max(1));
        }
    }
    output.source_masks = masks;
    Ok(output)
}
