//! One change: inspected, measured (done and undone), or made and looked at once more before it stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{Executor, SqlSafeStr};
use tokio_util::sync::CancellationToken;

use super::catalog::{Column, Relation};
use super::ground::{Columns, Ground};
use super::guard::{self, Checked, Chosen, Mode, Which};
use super::impact::{Bound, Scene};
use super::keys::RowKey;
use super::link::{Link, Pool, comment, is_mariadb, quoted};
use super::loader::Loaded;
use super::oracle::{Around, Deed, Reach};
use super::{Database, Spec, parameters, refusals, rights, unmade, writing};
use crate::call::answer::Changed;
use crate::call::request::{Parameters, SqlExecute};
use crate::call::{Effect, Facts, Invocation, LastLook, Limits, MaskCounts, Probe, RawOutput, Refusal};
use crate::resource::sql::bounds::{Expected, bounded, schema_changed, timed_out};
use crate::resource::sql::pages::names;

/// Functions whose value is another one each time, beside the time of the statement.
const CHANCE: [&str; 5] = ["rand", "sysdate", "uuid", "uuid_short", "random_bytes"];
/// What asks for the time.
const CLOCKS: [&str; 12] = [
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "localtime",
    "localtimestamp",
    "now",
    "unix_timestamp",
    "utc_date",
    "utc_time",
    "utc_timestamp",
];
/// Types that keep a time.
const TIMES: [&str; 5] = ["date", "datetime", "time", "timestamp", "year"];

/// What a change is, before anything runs.
#[derive(Debug)]
pub(super) struct Plan {
    checked: Checked,
    which: Option<Chosen>,
    target: Relation,
    written: Columns,
    reach: Reach,
    ground: Ground,
    pub(super) probe: Probe,
}

/// What is to be changed, and within which bounds.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) request: &'a SqlExecute,
    pub(super) limits: Limits,
    pub(super) expected: Expected,
    pub(super) probe: Probe,
}

/// A change that was made in a transaction that has not ended.
struct Made {
    checked: Checked,
    affected: u64,
    effect: Effect,
}

/// What a statement would change.
///
/// # Errors
/// See [`Database::inspect`].
fn plan(loaded: &Loaded, ground: Ground, request: &SqlExecute) -> Result<Plan, Refusal> {
    let named = names(request.parameters.as_ref());
    let catalog = &loaded.catalog;
    let mut checked = guard::check(&request.statement, &named, catalog, Mode::Change)?;
    let (Some((target, written)), Some(which)) = (checked.target.clone(), checked.which.clone()) else {
        return Err(Refusal::internal("mysql: a change of nothing"));
    };
    let target = catalog.relation(&target).cloned();
    let target = target.ok_or_else(|| Refusal::internal("mysql: a change of an unknown table"))?;
    gives_no_masks(&target, &written, request.parameters.as_ref())?;
    let written: Columns = written.iter().map(|name| name.to_lowercase()).collect();
    let key = RowKey::of(&target).ok_or_else(|| unmade::no_key(&target.name))?;
    let chosen = match which {
        Which::New => None,
        Which::Perhaps => return Err(unmade::upserts()),
        Which::There(_) if key.is_given_by(&written) => return Err(unmade::key_given(&target.name)),
        Which::There(chosen) => Some(chosen),
    };
    is_steady(loaded, &ground, &checked, &target)?;
    let deed = match (&chosen, checked.facts.kind.as_str()) {
        (None, _) => Deed::Insert(written.clone()),
        (Some(_), "update") => Deed::Update(written.clone()),
        (Some(_), _) => Deed::Delete,
    };
    let around = Around {
        ground: &ground,
        catalog,
    };
    let reach = around.reach(&target.name, deed);
    reads_apart(&checked, &target, (&written, chosen.is_none()), &reach)?;
    if let Some(why) = &reach.barred {
        return Err(unmade::out_of_reach(why.clone()));
    }
    for name in &reach.written {
        checked.facts.tables.insert(name.clone());
        let relation = catalog.relation(name);
        checked.classified.extend(
            relation
                .into_iter()
                .flat_map(|relation| catalog.classified(relation)),
        );
    }
    Ok(Plan {
        probe: match reach.tells {
            true => Probe::Oracle,
            false => Probe::Measurable,
        },
        checked,
        which: chosen,
        target,
        written,
        reach,
        ground,
    })
}

/// What the statement reads beside its table is neither given to masked columns of new rows, nor changed by it.
fn reads_apart(
    checked: &Checked,
    target: &Relation,
    (written, adds): (&Columns, bool),
    reach: &Reach,
) -> Result<(), Refusal> {
    let masked = |column: &Column| column.class.is_some() && written.contains(&column.name.to_lowercase());
    if adds && checked.relations.len() > 1 && target.columns.iter().any(masked) {
        return Err(unmade::reads_beside(&target.name));
    }
    let mut beside = checked.relations.iter().filter(|name| **name != target.name);
    match beside.find(|name| reach.written.contains(*name)) {
        Some(name) => Err(unmade::reads_what_follows(name, &target.name)),
        None => Ok(()),
    }
}

/// What the statement reads is the same when its rows are chosen and when it runs.
fn is_steady(loaded: &Loaded, ground: &Ground, checked: &Checked, target: &Relation) -> Result<(), Refusal> {
    let mut functions = checked.facts.functions.iter();
    if let Some(function) = functions.find(|name| CHANCE.contains(&name.as_str())) {
        return Err(unmade::by_chance(function));
    }
    let catalog = &loaded.catalog;
    let through = format!("{}.{}", quoted(&catalog.place), quoted(&target.name));
    let itself = usize::from(catalog.place == catalog.database);
    if checked.sql.matches(&through).count() > itself {
        return Err(unmade::reads_itself(&target.name));
    }
    let steady = |name: &String| {
        let relation = catalog.relation(name);
        relation.is_some_and(|relation| !relation.view)
            && ground
                .tables
                .get(name)
                .is_some_and(super::ground::Table::is_plain)
    };
    let mut read = checked.relations.iter().filter(|name| **name != target.name);
    match read.find(|name| !steady(name)) {
        Some(name) => Err(unmade::reads_unsteady(name)),
        None => Ok(()),
    }
}

/// A row that was read with masks and is written back would lose what they hide.
fn gives_no_masks(
    target: &Relation,
    written: &BTreeSet<String>,
    parameters: Option<&Parameters>,
) -> Result<(), Refusal> {
    let values: Vec<&Value> = match parameters {
        None => Vec::new(),
        Some(Parameters::Positional(values)) => values.iter().collect(),
        Some(Parameters::Named(values)) => values.values().collect(),
    };
    let mut classified = target.columns.iter().filter(|column| column.class.is_some());
    let strict = classified.any(|column| written.contains(&column.name));
    let mut texts = values.into_iter().filter_map(Value::as_str);
    match texts.any(|text| guard::is_mask(text, strict)) {
        true => Err(unmade::gives_a_mask()),
        false => Ok(()),
    }
}

impl Plan {
    /// Columns whose new values people approve: those that the statement gives, as far as they may be known and are not
    /// another value every time.
    fn given(&self) -> Vec<&Column> {
        let mut functions = self.checked.facts.functions.iter();
        let timed = functions.any(|name| CLOCKS.contains(&name.as_str()));
        let ground = self.ground.tables.get(&self.target.name);
        let columns = self.target.columns.iter();
        let given = columns.filter(|column| {
            let name = column.name.to_lowercase();
            let known = ground.and_then(|ground| ground.columns.get(&name));
            let computed = known.is_none_or(|known| known.counts || known.computed);
            let time = timed && TIMES.contains(&column.data_type.as_str());
            self.written.contains(&name) && column.class.is_none() && !computed && !time
        });
        given.collect()
    }

    /// Whether it gives values to columns that the account that makes it may not read.
    fn unseen(&self) -> bool {
        let mut classified = self.target.columns.iter().filter(|column| column.class.is_some());
        classified.any(|column| self.written.contains(&column.name.to_lowercase()))
    }

    /// What no ROLLBACK gives back.
    fn numbers(&self, effect: &mut Effect) {
        let columns = self.ground.tables.get(&self.target.name).into_iter();
        let counting = columns
            .flat_map(|table| &table.columns)
            .filter(|(_, column)| column.counts);
        if self.which.is_none() {
            for (name, _) in counting {
                let words = "takes numbers from it, which are used up even if nothing else stays";
                effect
                    .schema
                    .insert(format!("{}.{name}", self.target.name), words.to_owned());
            }
        }
    }

    /// The text, and what is bound to it.
    fn change(&self, order: &Order<'_>) -> Result<Bound, Refusal> {
        let arguments = parameters::bind(&self.checked, order.request.parameters.as_ref())?;
        Ok((format!("{} {}", order.comment(), self.checked.sql), arguments))
    }
}

impl<'a> Order<'a> {
    /// # Errors
    /// `wrong_tool`: the facts are of something else.
    pub(super) fn new(
        invocation: &'a Invocation,
        request: &'a SqlExecute,
        facts: &Facts,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            invocation,
            request,
            limits,
            expected: Expected::of(facts)?,
            probe: facts.probe,
        })
    }

    /// Stands before everything that is made of the statement.
    fn comment(&self) -> String {
        comment(&self.invocation.call_id)
    }
}

impl Database {
    /// What a statement would change, as far as that is known before it is tried.
    ///
    /// # Errors
    /// See [`Database::inspect`].
    pub(super) async fn inspect_change(
        &self,
        loaded: &Loaded,
        request: &SqlExecute,
        facts: &mut Facts,
    ) -> Result<(), Refusal> {
        let (pool, _) = self.writer()?;
        let mut link = pool.reading().await?;
        let ground = match is_mariadb(link.version()) {
            true => Ground::read(&mut link, &self.spec).await,
            false => Err(unmade::not_mariadb()),
        };
        link.give_back().await;
        let plan = plan(loaded, ground?, request)?;
        facts.action = plan.checked.action;
        facts.probe = plan.probe;
        facts.sql = Some(plan.checked.facts);
        facts.classified = plan.checked.classified;
        Ok(())
    }

    /// The connections of the account that makes changes, and its name.
    pub(super) fn writer(&self) -> Result<(&Arc<Pool>, &str), Refusal> {
        match (&self.writes, &self.spec.writer) {
            (Some(pool), Some(writer)) => Ok((pool, &writer.account)),
            _ => Err(refusals::reads_only()),
        }
    }

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
                "mysql: this change is not to be tried before it is approved",
            ));
        }
        let work = async {
            let (link, made) = self.attempt(order, true).await?;
            link.give_back().await;
            Ok(made.effect)
        };
        bounded(work, order.limits.seconds, cancel)
            .await
            .map_err(|refusal| match refusal.code == timed_out().code {
                true => unmade::not_measured(), // too long or too much: the same to an agent
                false => refusal,
            })
    }

    /// Makes the change. Nothing stays unless the last look allows it.
    ///
    /// # Errors
    /// See [`Database::run`].
    pub(super) async fn make_change(
        &self,
        order: &Order<'_>,
        is_approved: bool,
        last: &dyn LastLook,
        cancel: &CancellationToken,
    ) -> Result<RawOutput, Refusal> {
        if order.probe == Probe::Oracle && !is_approved {
            return Err(unmade::approval_first());
        }
        let (pool, _) = self.writer()?;
        let work = async {
            let (mut link, made) = self.attempt(order, false).await?;
            match writing::ticket(&mut link, &self.spec, self.world.as_ref()).await {
                Ok(ticket) => Ok((link, made, ticket)),
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
        writing::commit(link, Arc::clone(pool), Arc::clone(&self.spec), ticket).await?;
        made.into_output()
    }

    /// Checks everything again beside the transaction, does the change, and finds what it did.
    async fn attempt(&self, order: &Order<'_>, measures: bool) -> Result<(Link, Made), Refusal> {
        let loaded = self.fresh().await?;
        loaded.fit(self.spec.privileged)?;
        order.expected.matches_version(&loaded.catalog.version)?;
        let (pool, _) = self.writer()?;
        let mut link = writing::changing(pool, &self.spec, &order.invocation.user).await?;
        match self.attempted(&mut link, &loaded, order, measures).await {
            Ok(made) => Ok((link, made)),
            Err(refusal) => {
                link.give_back().await;
                Err(refusal)
            }
        }
    }

    async fn attempted(
        &self,
        link: &mut Link,
        loaded: &Loaded,
        order: &Order<'_>,
        measures: bool,
    ) -> Result<Made, Refusal> {
        rights::fit(link, &self.spec, &loaded.catalog).await?;
        let ground = Ground::read(link, &self.spec).await?;
        let plan = plan(loaded, ground, order.request)?;
        order
            .expected
            .matches(&plan.checked.facts, &plan.checked.classified)?;
        if plan.probe != order.probe {
            return Err(schema_changed());
        }
        prepared(link, &plan, order).await?;
        let change = plan.change(order)?;
        let mut scene = Scene {
            link,
            catalog: &loaded.catalog,
            spec: &self.spec,
            reach: &plan.reach,
            target: &plan.target,
            given: plan.given(),
            comment: order.comment(),
            measures,
        };
        let (affected, mut effect) = match &plan.which {
            None if plan.unseen() => scene.adds_unseen(change).await?,
            None => scene.adds(change).await?,
            Some(chosen) => {
                let parameters = order.request.parameters.as_ref();
                let narrowed = parameters::bind_from(&plan.checked, parameters, chosen.skipped)?;
                let deletes = plan.checked.facts.kind == "delete";
                scene.changes((chosen, narrowed), deletes, change).await?
            }
        };
        effect.irreversible = plan.checked.facts.irreversible;
        plan.numbers(&mut effect);
        self.unchanged(link, loaded, &plan).await?;
        Ok(Made {
            checked: plan.checked,
            affected,
            effect,
        })
    }

    /// What was inspected is so still, now that what the change has used cannot be defined anew before it ends.
    async fn unchanged(&self, link: &mut Link, loaded: &Loaded, plan: &Plan) -> Result<(), Refusal> {
        if Ground::read(link, &self.spec).await? != plan.ground {
            return Err(schema_changed());
        }
        match self.fresh().await?.catalog.version == loaded.catalog.version {
            true => Ok(()),
            false => Err(schema_changed()),
        }
    }
}

/// Has the server read the text, whose mistakes depend on nothing that is stored; and stops the clock, so that the rows
/// are chosen at the same time as they are changed.
async fn prepared(link: &mut Link, plan: &Plan, order: &Order<'_>) -> Result<(), Refusal> {
    let text = format!("{} {}", order.comment(), plan.checked.sql);
    let text = sqlx::AssertSqlSafe(text).into_sql_str();
    let read = link.conn()?.prepare(text).await;
    if let Err(error) = read {
        return Err(match unmade::number(&error) {
            Some(1044 | 1142 | 1143 | 1227 | 1370) => unmade::failed(&error, false),
            _ => refusals::running(&error, &order.request.statement),
        });
    }
    // Whatever the statement calls: a TIME that becomes a DATETIME asks for the day, too.
    let stop = sqlx::raw_sql("SET @@SESSION.timestamp = UNIX_TIMESTAMP(NOW(6))");
    let stopped = stop.execute(link.conn()?).await;
    stopped.map_err(|error| unmade::failed(&error, false))?;
    Ok(())
}

impl Made {
    fn into_output(self) -> Result<RawOutput, Refusal> {
        let changed = Changed {
            rows_affected: self.affected,
            kind: self.checked.facts.kind.clone(),
            returned: None,
        };
        let mut output =
            RawOutput::new(&changed).map_err(|error| Refusal::internal(format!("mysql change: {error}")))?;
        let mut masks = MaskCounts::default();
        for column in &self.checked.named {
            masks.add(&column.column, &column.class, 1);
        }
        output.source_masks = masks;
        output.effect = Some(self.effect);
        Ok(output)
    }
}

/// The resource's own description of itself, without a person.
impl Spec {
    /// The name of the account that a call of this kind uses.
    pub(super) fn account(&self, changes: bool) -> String {
        match (&self.writer, changes) {
            (Some(writer), true) => writer.account.clone(),
            _ => crate::resource::sql::address::decoded(self.url.username()),
        }
    }
}
