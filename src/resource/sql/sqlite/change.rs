//! One change: inspected, measured (done and undone), or made and looked at once more before it stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::{Connection, ErrorCode, Statement};
use serde_json::Value;

use super::catalog;
use super::check::Checked;
use super::ddl;
use super::impact::{Before, Impact, Marks, Newness, Unmeasured};
use super::link::Access;
use super::oracle::Oracle;
use super::pool::{self, Pool};
use super::text::{self, change::Verb};
use super::unmade;
use super::values;
use super::watch::{self, MEMORY, Watch};
use super::writer::{self, Prepared, Writer};
use super::{Expected, engine, refusals};
use crate::call::answer::{Changed, Rows};
use crate::call::request::SqlExecute;
use crate::call::{Action, Bound, Code, Effect, Limits, MaskCounts, Probe, RawOutput, Refusal};

/// What a change is, before anything runs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) action: Action,
    pub(super) checked: Checked,
    pub(super) probe: Probe,
    pub(super) version: i64,
}

/// What is to be changed, and within which bounds.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: SqlExecute,
    pub(super) limits: Limits,
    /// `table.column` shown raw in what RETURNING gives.
    pub(super) reveal: BTreeSet<String>,
    pub(super) expected: Expected,
    pub(super) probe: Probe,
    /// Whether people approved this very change.
    pub(super) approved: bool,
    /// The effect they saw, if it was measured.
    pub(super) seen: Option<Effect>,
}

/// Asked once, with the effect, before it stays.
pub(super) type Ask<'a> = &'a mut dyn FnMut(&Effect) -> Result<(), Refusal>;

/// What a statement would change, and on which version of the schema.
///
/// # Errors
/// See [`super::Database::inspect`].
pub(super) fn inspect(pool: &Pool, request: &SqlExecute, stop: &Arc<AtomicBool>) -> Result<Plan, Refusal> {
    let statement = request.statement.as_str();
    let watch = Watch::new(&pool.world, stop, pool.spec().limits.seconds, MEMORY);
    if is_definition(statement)? {
        return ddl::inspect(pool, statement, &watch);
    }
    let mut writer = Writer::open(pool, Access::Prepare)?;
    let version = writer.link.catalog.version;
    let prepared = watched(&mut writer, &watch, |writer| writer.prepare(statement, &watch))?;
    writer.gives_no_masks(&prepared, request.parameters.as_ref())?;
    Ok(Plan {
        action: Action::SqlWrite,
        probe: probe(&writer, &prepared),
        checked: prepared.checked,
        version,
    })
}

/// What the change would do: it is done and undone.
///
/// # Errors
/// See [`super::Database::measure`].
pub(super) fn measure(pool: &Pool, order: &Order, stop: &Arc<AtomicBool>) -> Result<Effect, Refusal> {
    let watch = Watch::new(&pool.world, stop, order.limits.seconds, MEMORY);
    if order.probe != Probe::Measurable {
        return Err(Refusal::internal(
            "sqlite: this change is not to be tried before it is approved",
        ));
    }
    if is_definition(&order.request.statement)? {
        return ddl::measure(pool, order, &watch);
    }
    let mut writer = Writer::open(pool, Access::Change)?;
    let outcome = watched(&mut writer, &watch, |writer| {
        begin(&writer.link.conn, &watch)?;
        let (prepared, mut impact, _) = attempt(writer, order, &watch, true)?;
        settled(&writer.link.conn, true)?;
        sample(writer, &mut impact, &watch)?;
        impact.effect.irreversible = prepared.checked.facts.irreversible;
        Ok(impact.effect)
    });
    undo(&writer.link.conn);
    outcome
}

/// Takes the change back, with rows as they are after it and before it.
fn sample(writer: &Writer, impact: &mut Impact, watch: &Watch) -> Result<(), Refusal> {
    let (link, anatomy) = (&writer.link, &writer.anatomy);
    impact
        .look(link, anatomy, true, watch)
        .and_then(|()| Ok(link.conn.execute_batch("ROLLBACK TO before_change")?))
        .and_then(|()| impact.look(link, anatomy, false, watch))
        .map_err(|why| unmade::unmeasured(why, watch))
}

/// Makes the change. Nothing stays unless `ask` allows it.
///
/// # Errors
/// See [`super::Database::run`].
pub(super) fn run(
    pool: &Pool,
    order: &Order,
    stop: &Arc<AtomicBool>,
    ask: Ask<'_>,
) -> Result<RawOutput, Refusal> {
    let watch = Watch::new(&pool.world, stop, order.limits.seconds, MEMORY);
    if order.probe == Probe::Oracle && !order.approved {
        return Err(unmade::approval_first());
    }
    if is_definition(&order.request.statement)? {
        return ddl::run(pool, order, &watch, ask);
    }
    let mut writer = Writer::open(pool, Access::Change)?;
    let made = watched(&mut writer, &watch, |writer| {
        begin(&writer.link.conn, &watch)?;
        let (prepared, mut impact, mut output) = attempt(writer, order, &watch, false)?;
        settled(&writer.link.conn, false)?;
        impact.effect.irreversible = prepared.checked.facts.irreversible;
        let seen = order.seen.as_ref();
        if seen.is_some_and(|seen| !impact.effect.is_within(seen, Bound::Keys)) {
            // People will be asked anew, unless they approved a count, and look at rows then too.
            sample(writer, &mut impact, &watch)?;
            let (_, again, made) = attempt(writer, order, &watch, false)?;
            settled(&writer.link.conn, false)?;
            if again.effect.rows != impact.effect.rows {
                return Err(unmade::not_the_same());
            }
            output = made;
        }
        output.effect = Some(impact.effect);
        Ok(output)
    });
    let made = made.and_then(|output| {
        stay(&writer.link.conn, output.effect.as_ref(), &watch, ask)?;
        Ok(output)
    });
    undo(&writer.link.conn);
    made
}

/// Asks, and commits.
///
/// # Errors
/// What `ask` says; `target_failed` when somebody reads for too long; `outcome_unknown` when the engine
/// failed in a way that leaves open whether the change is there.
pub(super) fn stay(
    conn: &Connection,
    effect: Option<&Effect>,
    watch: &Watch,
    ask: Ask<'_>,
) -> Result<(), Refusal> {
    let nothing = Effect::default();
    ask(effect.unwrap_or(&nothing))?;
    loop {
        match conn.execute_batch("COMMIT") {
            Ok(()) => return Ok(()),
            Err(error) if pool::is_busy(&error) && !conn.is_autocommit() => {
                if watch.is_late() {
                    undo(conn);
                    return Err(unmade::busy());
                }
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                undo(conn);
                return Err(unmade::not_possible());
            }
            Err(error) => return Err(unmade::unknown(&error)),
        }
    }
}

/// Whether a statement changes the schema.
fn is_definition(statement: &str) -> Result<bool, Refusal> {
    let shape = text::read(statement).map_err(writer::one_change)?;
    match shape.first.as_str() {
        "create" | "drop" | "alter" => Ok(true),
        "with" | "insert" | "replace" | "update" | "delete" => Ok(false),
        "select" | "values" => Err(Refusal::new(
            Code::WrongTool,
            "The statement changes nothing.",
            "Use sql_query to read.",
        )),
        _ => Err(text::refused(
            "The statement is neither a data change nor a schema change.",
            "Send one INSERT, UPDATE, DELETE, REPLACE, or CREATE, DROP or ALTER; transactions, PRAGMA, ATTACH, \
             VACUUM and the like are not available.",
        )),
    }
}

fn probe(writer: &Writer, prepared: &Prepared) -> Probe {
    let oracle = Oracle {
        anatomy: &writer.anatomy,
        catalog: &writer.link.catalog,
    };
    if oracle.of_change(prepared) {
        Probe::Oracle
    } else {
        Probe::Measurable
    }
}

fn watched<T>(
    writer: &mut Writer,
    watch: &Watch,
    work: impl FnOnce(&mut Writer) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let watching = watch.over(&writer.link.conn);
    let outcome = watching
        .map_err(|_| Refusal::internal("sqlite: no progress handler"))
        .and_then(|()| work(writer));
    watch::off(&writer.link.conn);
    writer.ours();
    outcome
}

/// Takes the file's write lock, for as long as the call has time.
///
/// # Errors
/// `target_failed` (retry) when others write all that time; `cancelled`.
pub(super) fn begin(conn: &Connection, watch: &Watch) -> Result<(), Refusal> {
    loop {
        match conn.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => return Ok(()),
            Err(error) if pool::is_busy(&error) => {
                if let Some(why) = watch.ended() {
                    return Err(match why {
                        watch::Ended::TimedOut => unmade::busy(),
                        why => refusals::ended(why),
                    });
                }
            }
            Err(error) => return Err(pool::unreadable(error)),
        }
    }
}

/// Gives up whatever is not committed. A connection that cannot is closed next, which does the same.
pub(super) fn undo(conn: &Connection) {
    if !conn.is_autocommit() && conn.execute_batch("ROLLBACK").is_err() {
        tracing::warn!("a change could not be rolled back; its connection is closed");
    }
}

/// Checks everything again in the transaction, does the change, and finds what it did.
fn attempt(
    writer: &mut Writer,
    order: &Order,
    watch: &Watch,
    measures: bool,
) -> Result<(Prepared, Impact, RawOutput), Refusal> {
    let stopped = |why: Unmeasured| match measures {
        true => unmade::unmeasured(why, watch),
        false => unmade::unlimited(why, watch),
    };
    let prepared = again(writer, order, watch)?;
    let reveal = if measures {
        BTreeSet::new()
    } else {
        order.reveal.clone()
    };
    let text = writer.revealing(&order.request.statement, &prepared, &reveal)?;
    let (conn, schema, anatomy) = (&writer.link.conn, &writer.link.schema, &writer.anatomy);
    let before = Before::take(conn, schema, anatomy, &prepared.reach, watch).map_err(stopped)?;
    conn.execute_batch("SAVEPOINT before_change")
        .map_err(|error| refusals::running(&error, watch))?;
    let done = execute(writer, &text, order, watch);
    writer.ours();
    let output = match done {
        Err(Failed::Refused(refusal)) => return Err(refusal),
        Err(Failed::Engine(error)) => return Err(stopped(error.into())),
        Ok(done) => done.into_output(&prepared, order)?,
    };
    if conn.is_autocommit() {
        return Err(stopped(Unmeasured::Over)); // a trigger ended the transaction
    }
    let marks = |table: &str| marks(writer, &prepared, table);
    let impact = before
        .compare(conn, schema, anatomy, &marks, watch)
        .map_err(stopped)?;
    Ok((prepared, impact, output))
}

/// What was inspected must be so in the transaction too.
fn again(writer: &mut Writer, order: &Order, watch: &Watch) -> Result<Prepared, Refusal> {
    writer.ours();
    let version = catalog::version(&writer.link.conn, &writer.link.schema);
    let version = version.map_err(|error| refusals::running(&error, watch))?;
    order.expected.matches_version(version)?;
    order.expected.matches_version(writer.link.catalog.version)?;
    let prepared = writer.prepare(&order.request.statement, watch)?;
    order.expected.matches(&prepared.checked)?;
    writer.gives_no_masks(&prepared, order.request.parameters.as_ref())?;
    if probe(writer, &prepared) == order.probe {
        Ok(prepared)
    } else {
        Err(pool::schema_changed())
    }
}

/// How rows of a table can be told apart at another time. What triggers and cascades give to rows is the
/// database's own choice; what the statement gives is what people approve.
fn marks(writer: &Writer, prepared: &Prepared, lower: &str) -> Marks {
    let new = newness(writer, prepared, lower);
    let target = lower == prepared.change.target.to_ascii_lowercase();
    let given = match (writer.anatomy.tables.get(lower), prepared.told.written.get(lower)) {
        (Some(table), _) if target && (prepared.change.replaces || prepared.change.kind == "insert") => {
            let columns = table.columns.iter();
            columns.map(|column| column.name.to_ascii_lowercase()).collect()
        }
        (_, Some(written)) if target => written.updates.clone(),
        _ => BTreeSet::new(),
    };
    let given = if new == Newness::Counted {
        BTreeSet::new()
    } else {
        given
    };
    Marks { new, given }
}

/// How new rows of a table can be told apart at another time.
fn newness(writer: &Writer, prepared: &Prepared, lower: &str) -> Newness {
    // And what is another value every time.
    const CLOCKS: [&str; 12] = [
        "current_date",
        "current_time",
        "current_timestamp",
        "date",
        "datetime",
        "julianday",
        "random",
        "randomblob",
        "strftime",
        "time",
        "timediff",
        "unixepoch",
    ];
    let Some(table) = writer.anatomy.tables.get(lower) else {
        return Newness::Whole;
    };
    let timed = |words: Option<BTreeSet<String>>| {
        words.is_none_or(|words| CLOCKS.iter().any(|clock| words.contains(*clock)))
    };
    let mut defaults = table
        .columns
        .iter()
        .filter_map(|column| column.default.as_deref());
    let by_default = defaults.any(|default| timed(text::change::words_of(default)));
    let mut triggers = writer.anatomy.triggers.iter();
    let by_trigger =
        triggers.any(|(owner, sql)| prepared.reach.contains(owner) && timed(text::change::words_of(sql)));
    let by_itself = timed(Some(prepared.checked.facts.functions.clone()));
    if by_default || by_trigger || by_itself {
        return Newness::Counted;
    }
    let Some(alias) = table.rowid_alias().map(|alias| alias.name.to_ascii_lowercase()) else {
        return Newness::Whole;
    };
    let is_target = lower == prepared.change.target.to_ascii_lowercase();
    let listed = prepared.change.columns.as_ref();
    let updates = prepared.told.written.get(lower).map(|written| &written.updates);
    let given = match prepared.change.verb {
        Verb::Insert => listed.is_none_or(|listed| listed.contains(&alias)),
        Verb::Update => updates.is_none_or(|updates| updates.contains(&alias)), // a row under a new key is a new row
        Verb::Delete => false,
    };
    let others = table.stored().count() > 1;
    if is_target && given || !others {
        Newness::Whole
    } else {
        Newness::ButKey
    }
}

/// What the engine did.
struct Done {
    affected: u64,
    returned: Option<Rows>,
    truncated: bool,
}

/// Why it did not.
enum Failed {
    Engine(rusqlite::Error),
    Refused(Refusal),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

fn execute(writer: &Writer, text: &str, order: &Order, watch: &Watch) -> Result<Done, Failed> {
    if let Some(why) = watch.ended() {
        return Err(Failed::Refused(refusals::ended(why)));
    }
    writer.theirs();
    let conn = &writer.link.conn;
    let mut statement = conn.prepare(text)?;
    values::bind(&mut statement, order.request.parameters.as_ref()).map_err(Failed::Refused)?;
    let (returned, truncated) = returned(&mut statement, order.limits)?;
    drop(statement);
    Ok(Done {
        affected: conn.changes(),
        returned,
        truncated,
    })
}

/// Steps to the end, and keeps what an answer may hold. Rows come in an order that may tell of masked
/// values (that of an index), so they are given in the order of what they show.
fn returned(statement: &mut Statement<'_>, limits: Limits) -> Result<(Option<Rows>, bool), Failed> {
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let types = values::types(statement);
    let width = columns.len();
    let mut kept: Vec<(String, Vec<Value>)> = Vec::new();
    let (mut spent, mut truncated) = (0_u64, false);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut cost = 2;
        for at in 0..width {
            cost += values::cost(row.get_ref(at)?);
        }
        // Which rows fit must not depend on their order either: too many give none.
        truncated |= spent.saturating_add(cost) > limits.bytes || kept.len() as u64 >= limits.rows;
        spent = spent.saturating_add(cost);
        if truncated {
            kept.clear();
            continue;
        }
        let mut cells = Vec::with_capacity(width);
        for at in 0..width {
            cells.push(values::render(row.get_ref(at)?));
        }
        kept.push((Value::from(cells.clone()).to_string(), cells));
    }
    if width == 0 {
        return Ok((None, false));
    }
    kept.sort_by(|one, other| one.0.cmp(&other.0));
    let rows: Vec<Vec<Value>> = kept.into_iter().map(|(_, cells)| cells).collect();
    let row_count = rows.len() as u64;
    let rows = Rows {
        columns,
        types,
        rows,
        row_count,
    };
    Ok((Some(rows), truncated))
}

impl Done {
    fn into_output(self, prepared: &Prepared, order: &Order) -> Result<RawOutput, Refusal> {
        let rows = self.returned.as_ref().map_or(0, |rows| rows.row_count);
        let changed = Changed {
            rows_affected: self.affected,
            kind: prepared.checked.facts.kind.clone(),
            returned: self.returned,
        };
        let mut output = output(&changed)?;
        output.truncated = self.truncated;
        let mut masks = MaskCounts::default();
        for column in &prepared.checked.named {
            if !order.reveal.contains(&column.column) {
                masks.add(&column.column, &column.class, rows.max(1));
            } else {
                output.shown.insert(column.class.clone());
            }
        }
        output.source_masks = masks;
        Ok(output)
    }
}

/// The answer.
///
/// # Errors
/// `internal` when it has no JSON form, which cannot be.
pub(super) fn output(changed: &Changed) -> Result<RawOutput, Refusal> {
    RawOutput::new(changed).map_err(|error| Refusal::internal(format!("sqlite change: {error}")))
}

/// A transaction with a violated deferred key cannot be committed.
///
/// # Errors
/// One refusal when it is only measured, another when it is made.
pub(super) fn settled(conn: &Connection, measures: bool) -> Result<(), Refusal> {
    match (engine::is_unresolved(conn), measures) {
        (false, _) => Ok(()),
        (true, true) => Err(unmade::not_measured()),
        (true, false) => Err(unmade::not_possible()),
    }
}
