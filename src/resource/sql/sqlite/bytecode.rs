//! The second lock: what a prepared statement would open, by its own program.
//!
//! Names can be spelled in ways the authorizer is not asked about (columns joined by name, a CTE
//! that takes a view's name). Pages cannot: a program reads what its `OpenRead` opens
//! (<https://sqlite.org/opcode.html>). So the program of the very text is read, and every instruction
//! that is not known to be harmless refuses the statement.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::Connection;

use super::catalog::{Catalog, Column, Root};
use super::functions;

/// The attached database's number in programs: 0 is `main`, 1 is `temp`.
const ATTACHED: i64 = 2;
/// `OpenRead`'s flag for "the page number is in a register".
const P2_IS_REGISTER: i64 = 0x10;

/// What a program opens.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Tables, lower case.
    pub(super) tables: BTreeSet<String>,
    /// Indexes in whose order rows are visited: (table, position).
    pub(super) ordered_by: BTreeSet<(String, usize)>,
}

/// Why a program may not run; for the operator.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The engine could not explain it.
    Engine(rusqlite::Error),
    /// It does something it must not.
    Program(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

struct Step {
    at: i64,
    opcode: String,
    p1: i64,
    p2: i64,
    p3: i64,
    p4: String,
    p5: i64,
}

/// Reads the program of `text` on this connection, on which it was just prepared.
///
/// # Errors
/// [`Unfit`] when it opens a page that is not an exposed table's, a virtual table other than the JSON
/// ones, or contains an instruction that is not allow-listed.
pub(super) fn verify(
    conn: &Connection,
    text: &str,
    catalog: &Catalog,
    reveal: &BTreeSet<String>,
) -> Result<Opened, Unfit> {
    let steps = explain(conn, text)?;
    let mut opened = Opened::default();
    let mut cursors: Vec<(i64, &Root)> = Vec::new();
    let mut virtuals = HashSet::new();
    for step in &steps {
        match step.opcode.as_str() {
            "OpenRead" | "ReopenIdx" => {
                let root = root(step, catalog)?;
                opened.tables.insert(root.table.clone());
                cursors.push((step.p1, root));
            }
            "VOpen" => {
                virtuals.insert(step.p4.as_str());
            }
            "Transaction" if step.p2 == 0 => {}
            opcode if HARMLESS.binary_search(&opcode).is_ok() => {}
            opcode => return Err(Unfit::Program(format!("instruction {opcode}"))),
        }
    }
    for step in &steps {
        for (_, root) in cursors.iter().filter(|(cursor, _)| *cursor == step.p1) {
            if !reads_only_what_is_shown(step, root, catalog, reveal) {
                return Err(Unfit::Program(format!(
                    "{} {} of {}",
                    step.opcode, step.p2, root.table
                )));
            }
            match root.index {
                Some(index) if POSITIONING.contains(&step.opcode.as_str()) => {
                    opened.ordered_by.insert((root.table.clone(), index));
                }
                _ => {}
            }
        }
    }
    only_json(conn, &virtuals)?;
    Ok(opened)
}

/// Reads the program of a change. `roots` are all tables of the file by root page, `open` the ones the
/// engine may open for the change itself (lower case): its target, its triggers' and its foreign keys'.
/// Gives the tables whose rows it may write.
///
/// # Errors
/// As [`verify`]. Masking views are held to what they show, as there.
pub(super) fn verify_change(
    conn: &Connection,
    text: &str,
    catalog: &Catalog,
    roots: &HashMap<i64, String>,
    open: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, Unfit> {
    let steps = explain(conn, text)?;
    let mut reach = BTreeSet::new();
    let mut cursors: Vec<(i64, &Root)> = Vec::new();
    let mut virtuals = HashSet::new();
    // A trigger's own program follows, and counts its instructions from 0 again.
    let own = 1 + steps.iter().skip(1).take_while(|step| step.at != 0).count();
    let table = |root: i64, database: i64| {
        let table = roots.get(&root).filter(|_| database == ATTACHED);
        table.filter(|table| open.contains(table.as_str()) || *table == SEQUENCE)
    };
    for (at, step) in steps.iter().enumerate() {
        let plain = step.p5 & P2_IS_REGISTER == 0;
        match step.opcode.as_str() {
            "OpenWrite" | "Clear" => {
                let written = match step.opcode.as_str() {
                    "Clear" => table(step.p1, step.p2),
                    _ => table(step.p2, step.p3).filter(|_| plain),
                };
                let unknown =
                    || Unfit::Program(format!("{} {} {} {}", step.opcode, step.p1, step.p2, step.p3));
                reach.insert(written.ok_or_else(unknown)?.clone());
            }
            "OpenRead" | "ReopenIdx" if plain && table(step.p2, step.p3).is_some() => {}
            "OpenRead" | "ReopenIdx" if at < own => cursors.push((step.p1, root(step, catalog)?)),
            "VOpen" => {
                virtuals.insert(step.p4.as_str());
            }
            "Transaction" if step.p2 == 0 || step.p1 == ATTACHED => {}
            opcode if HARMLESS.binary_search(&opcode).is_ok() || WRITES.contains(&opcode) => {}
            opcode => return Err(Unfit::Program(format!("instruction {opcode}"))),
        }
    }
    let nothing = BTreeSet::new();
    for step in steps.iter().take(own) {
        let shown = |root: &Root| reads_only_what_is_shown(step, root, catalog, &nothing);
        let mut of_cursor = cursors.iter().filter(|(cursor, _)| *cursor == step.p1);
        if let Some((_, root)) = of_cursor.find(|(_, root)| !shown(root)) {
            return Err(Unfit::Program(format!(
                "{} {} of {}",
                step.opcode, step.p2, root.table
            )));
        }
    }
    only_json(conn, &virtuals)?;
    Ok(reach)
}

/// The engine's own table of AUTOINCREMENT numbers.
const SEQUENCE: &str = "sqlite_sequence";

/// What a change has beside a SELECT's instructions.
const WRITES: [&str; 9] = [
    "FkCheck",
    "FkCounter",
    "FkIfZero",
    "Param",
    "Program",
    "ResetCount",
    "RowData",
    "TypeCheck",
    "Abortable",
];

fn only_json(conn: &Connection, virtuals: &HashSet<&str>) -> Result<(), Unfit> {
    if virtuals.is_empty() {
        return Ok(());
    }
    let known = json_tables(conn)?;
    match virtuals.iter().find(|table| !known.contains(**table)) {
        Some(other) => Err(Unfit::Program(format!("virtual table {other}"))),
        None => Ok(()),
    }
}

/// Whether an instruction takes from a row only what the masking views would.
fn reads_only_what_is_shown(step: &Step, root: &Root, catalog: &Catalog, reveal: &BTreeSet<String>) -> bool {
    let Some(relation) = catalog.relations.get(&root.table) else {
        return false;
    };
    let reads = |column: &Column| relation.reads(column, reveal);
    match step.opcode.as_str() {
        "Column" => relation.may_read(root.index, step.p2, &reads),
        "Rowid" | "IdxRowid" | "SeekRowid" | "NotExists" => relation.may_read_rowid(&reads),
        "RowData" | "Offset" => false,
        // A comparison with the first p4 fields of an index tells of them. Without a number the whole
        // entry is compared: then the index counts as visited in its order.
        "SeekGE" | "SeekGT" | "SeekLE" | "SeekLT" | "IdxGE" | "IdxGT" | "IdxLE" | "IdxLT" | "Found"
        | "NotFound" | "NoConflict" | "IfNoHope" => {
            let fields = step.p4.parse::<i64>().unwrap_or(0);
            let by_rowid = root.index.is_none() && fields == 0;
            (!by_rowid || relation.may_read_rowid(&reads))
                && (0..fields).all(|at| relation.may_read(root.index, at, &reads))
        }
        _ => true,
    }
}

fn root<'c>(step: &Step, catalog: &'c Catalog) -> Result<&'c Root, Unfit> {
    let known = catalog.roots.get(&step.p2);
    match known {
        Some(root) if step.p3 == ATTACHED && step.p5 & P2_IS_REGISTER == 0 => Ok(root),
        _ => Err(Unfit::Program(format!(
            "opens page {} of database {}",
            step.p2, step.p3
        ))),
    }
}

/// How programs on this connection name the JSON tables: by address, so they are asked for anew.
fn json_tables(conn: &Connection) -> Result<HashSet<String>, Unfit> {
    let mut known = HashSet::new();
    for table in functions::TABLES {
        let steps = explain(conn, &format!("SELECT 1 FROM {table}('[]')"))?;
        known.extend(
            steps
                .into_iter()
                .filter(|step| step.opcode == "VOpen")
                .map(|step| step.p4),
        );
    }
    Ok(known)
}

fn explain(conn: &Connection, text: &str) -> Result<Vec<Step>, Unfit> {
    let mut statement = conn.prepare(&format!("EXPLAIN {text}"))?;
    if statement.is_explain() != 1 {
        return Err(Unfit::Program("not a listing of the program".to_owned()));
    }
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(Step {
            at: row.get(0)?,
            opcode: row.get(1)?,
            p1: row.get(2)?,
            p2: row.get(3)?,
            p3: row.get(4)?,
            // Constants of the statement, which may be any bytes; only addresses are read from here.
            p4: row.get::<_, String>(5).unwrap_or_default(),
            p5: row.get(6)?,
        });
    }
    if steps.is_empty() {
        return Err(Unfit::Program("empty program".to_owned()));
    }
    Ok(steps)
}

/// Instructions after which a cursor stands on a row.
const POSITIONING: [&str; 16] = [
    "Found",
    "IfNoHope",
    "IfSizeBetween",
    "Last",
    "NoConflict",
    "NotExists",
    "NotFound",
    "Rewind",
    "SeekEnd",
    "SeekGE",
    "SeekGT",
    "SeekLE",
    "SeekLT",
    "SeekRowid",
    "SeekScan",
    "Sort",
];

/// What a SELECT is made of, sorted. Instructions that insert or delete work on a SELECT's own
/// temporary tables: nothing here can open anything else for writing.
const HARMLESS: &[&str] = &[
    "Add",
    "AddImm",
    "Affinity",
    "AggFinal",
    "AggInverse",
    "AggStep",
    "AggStep1",
    "AggValue",
    "And",
    "BeginSubrtn",
    "BitAnd",
    "BitNot",
    "BitOr",
    "Blob",
    "Cast",
    "Close",
    "ClrSubtype",
    "CollSeq",
    "Column",
    "ColumnsUsed",
    "Compare",
    "Concat",
    "Copy",
    "Count",
    "CursorHint",
    "CursorLock",
    "CursorUnlock",
    "DecrJumpZero",
    "DeferredSeek",
    "Delete",
    "Divide",
    "ElseEq",
    "EndCoroutine",
    "Eq",
    "Explain",
    "Filter",
    "FilterAdd",
    "FinishSeek",
    "Found",
    "Function",
    "Ge",
    "GetSubtype",
    "Gosub",
    "Goto",
    "Gt",
    "Halt",
    "HaltIfNull",
    "IdxDelete",
    "IdxGE",
    "IdxGT",
    "IdxInsert",
    "IdxLE",
    "IdxLT",
    "IdxRowid",
    "If",
    "IfEmpty",
    "IfNoHope",
    "IfNot",
    "IfNotOpen",
    "IfNotZero",
    "IfNullRow",
    "IfPos",
    "IfSizeBetween",
    "Init",
    "InitCoroutine",
    "Insert",
    "Int64",
    "IntCopy",
    "Integer",
    "IsNull",
    "IsTrue",
    "IsType",
    "Jump",
    "Last",
    "Le",
    "Lt",
    "MakeRecord",
    "MemMax",
    "Move",
    "Multiply",
    "MustBeInt",
    "Ne",
    "NewRowid",
    "Next",
    "NoConflict",
    "Noop",
    "Not",
    "NotExists",
    "NotFound",
    "NotNull",
    "Null",
    "NullRow",
    "Offset",
    "OffsetLimit",
    "Once",
    "OpenAutoindex",
    "OpenDup",
    "OpenEphemeral",
    "OpenPseudo",
    "Or",
    "Permutation",
    "Prev",
    "PureFunc",
    "Real",
    "RealAffinity",
    "ReleaseReg",
    "Remainder",
    "ResetSorter",
    "ResultRow",
    "Return",
    "Rewind",
    "RowCell",
    "RowData",
    "RowSetAdd",
    "RowSetRead",
    "RowSetTest",
    "Rowid",
    "SCopy",
    "SeekEnd",
    "SeekGE",
    "SeekGT",
    "SeekHit",
    "SeekLE",
    "SeekLT",
    "SeekRowid",
    "SeekScan",
    "Sequence",
    "SequenceTest",
    "SetSubtype",
    "ShiftLeft",
    "ShiftRight",
    "SoftNull",
    "Sort",
    "SorterCompare",
    "SorterData",
    "SorterInsert",
    "SorterNext",
    "SorterOpen",
    "SorterSort",
    "String",
    "String8",
    "Subtract",
    "TableLock",
    "Trace",
    "VColumn",
    "VFilter",
    "VInitIn",
    "VNext",
    "Variable",
    "Yield",
    "ZeroOrNull",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(super::HARMLESS.is_sorted());
    }
}
