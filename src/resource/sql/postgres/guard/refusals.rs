//! What was wrong with a statement, and a way out.

use super::shapes::Unlisted;
use super::tree::Node;
use super::{Mode, SEE_SCHEMA, refused, text};
use crate::call::{Code, Refusal};

/// The same words whether a relation is not there or not exposed.
pub(super) fn no_relation(name: &str) -> Refusal {
    refused(format!("There is no table or view `{name}`."), SEE_SCHEMA)
}

/// How many rows the view has would tell of what is masked in it.
pub(super) fn chosen_by_masked(view: &str) -> Refusal {
    refused(
        format!(
            "The view `{view}` chooses or orders its rows by masked columns, so how many there are tells of their values."
        ),
        "Ask for the tables that it is made of, or have your operator list every column of the view in \
         [resource.columns].",
    )
}

/// This tool only reads.
pub(super) fn not_a_select() -> Refusal {
    Refusal::new(
        Code::WrongTool,
        "The statement is not a SELECT; this tool only reads.",
        "Send one SELECT here, and changes with sql_execute.",
    )
}

/// Data-modifying common table expressions: several changes in one statement, in no order.
pub(super) fn changes_in_with(mode: Mode) -> Refusal {
    match mode {
        Mode::Query => not_a_select(),
        Mode::Change => refused(
            "A change within WITH or FROM is not available.",
            "Send one INSERT, UPDATE or DELETE at a time.",
        ),
    }
}

/// A kind of statement that is never run.
pub(super) fn statement(kind: &str, mode: Mode) -> Refusal {
    match kind {
        // A plan would tell of statistics, which are made of values.
        "ExplainStmt" => refused(
            "A plan is not shown: it tells of data that may be masked.",
            "Send the SELECT itself.",
        ),
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" | "CreateStmt" | "CreateTableAsStmt"
        | "ViewStmt" | "IndexStmt" | "AlterTableStmt" | "DropStmt" | "TruncateStmt" | "RenameStmt"
            if mode == Mode::Query =>
        {
            not_a_select()
        }
        "TransactionStmt" => refused(
            "Transactions are not the statement's to open or end: each runs in one of its own.",
            "Send the statement alone.",
        ),
        "VariableSetStmt" | "VariableShowStmt" | "AlterSystemStmt" | "DiscardStmt" => refused(
            "Settings cannot be shown or changed.",
            "Write what you need into the statement: AT TIME ZONE, to_char, COLLATE.",
        ),
        "CopyStmt" => refused(
            "COPY is not available.",
            "Read with SELECT; write rows with INSERT.",
        ),
        "MergeStmt" => refused(
            "MERGE is not available.",
            "Send INSERT … ON CONFLICT, UPDATE and DELETE, one at a time.",
        ),
        _ => refused(
            "This kind of statement is not available.",
            match mode {
                Mode::Query => "Send one SELECT; call sql_schema for tables and columns.",
                Mode::Change => {
                    "Send one INSERT, UPDATE, DELETE, or CREATE, ALTER or DROP of a table, index or view."
                }
            },
        ),
    }
}

/// A kind of schema change that is never run.
pub(super) fn definition(kind: &str) -> Refusal {
    let (what, way_out) = match kind {
        "CreateTableAsStmt" => (
            "CREATE TABLE AS and CREATE MATERIALIZED VIEW copy rows, and are not available.",
            "Create the table, then INSERT … SELECT; or create a view of public columns.",
        ),
        "AlterObjectSchemaStmt" | "AlterOwnerStmt" => (
            "Schemas and owners of objects are not changed here.",
            "Ask your operator: the configuration and the grants go with them.",
        ),
        _ => (
            "This kind of schema change is not available: it would change who may do what, or code that runs by itself.",
            "Available are CREATE, ALTER and DROP of tables, indexes and views, their renaming, TRUNCATE and COMMENT; ask \
             your operator for the rest.",
        ),
    };
    refused(what, way_out)
}

/// Clauses of a SELECT that do more than read.
///
/// # Errors
/// `statement_refused`, or `wrong_tool`.
pub(super) fn in_select(node: &Node, mode: Mode) -> Result<(), Refusal> {
    if node.node("into_clause").is_some() {
        return Err(match mode {
            Mode::Query => not_a_select(),
            Mode::Change => refused(
                "SELECT INTO is not available.",
                "Create the table, then INSERT … SELECT.",
            ),
        });
    }
    if !node.list("locking_clause").is_empty() {
        return Err(refused(
            "FOR UPDATE and FOR SHARE are not available: a query takes no locks.",
            "Leave the clause out.",
        ));
    }
    Ok(())
}

/// Something nobody listed.
pub(super) fn unlisted(unlisted: &Unlisted, statement: &str) -> Refusal {
    let place = unlisted
        .location
        .map(|byte| format!(" ({})", text::place_of(statement, byte)));
    let place = place.unwrap_or_default();
    let (kind, way_out) = match (unlisted.kind, unlisted.field) {
        ("IntoClause", _) | ("SelectStmt", Some("into_clause")) => return not_a_select(),
        ("LockingClause", _) | ("SelectStmt", Some("locking_clause")) => {
            return refused(
                format!("FOR UPDATE and FOR SHARE are not available: a query takes no locks{place}."),
                "Leave the clause out.",
            );
        }
        ("RangeVar", Some("catalogname")) => {
            return refused(
                "Another database cannot be named.",
                "Name tables as schema.table, or plainly.",
            );
        }
        ("TypeName", Some("pct_type" | "setof")) => ("This form of a type", "Name the type itself."),
        ("SetToDefault", _) => ("DEFAULT", "Write the value."),
        ("CurrentOfExpr", _) => ("CURRENT OF", "Name the rows by their key."),
        ("InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt", None) => return not_a_select(),
        _ => (
            "Something in the statement",
            "Write it in plainer SQL: SELECT with joins, subqueries, WITH, windows, aggregates and JSON.",
        ),
    };
    let field = unlisted
        .field
        .map(|field| format!(".{field}"))
        .unwrap_or_default();
    refused(format!("{kind} is not available here{place}."), way_out)
        .detail(format!("{}{field}", unlisted.kind))
}
