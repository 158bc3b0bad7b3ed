//! The first lock: what the engine asks about every name while it prepares a statement.
//!
//! The engine also passes the name of the innermost view an access comes from. A user's CTE can take
//! any name there, so the only names trusted are random ones nobody has been told.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::functions;

/// Who the engine works for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Our own fixed statements.
    Ours,
    /// An agent's statement.
    Agent,
}

/// What may be read, by name.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The attached database.
    pub(super) schema: String,
    /// Relations an agent may name, lower case → as spelled.
    pub(super) outer: HashMap<String, String>,
    /// Tables the engine makes up, lower case.
    pub(super) engine: BTreeSet<String>,
    /// The function that makes tokens, under its random name; in masks alone, as nobody else can name it.
    pub(super) token: String,
    /// Random view → the relation it stands for.
    pub(super) inner: HashMap<String, Inner>,
}

/// An inner view.
#[derive(Debug)]
pub(super) struct Inner {
    /// The relation it stands for, lower case.
    pub(super) relation: String,
    /// Whether it stands on a table of the file; else it is a view of the database.
    pub(super) over_table: bool,
    /// The only columns it may read from the file, lower case.
    pub(super) reads: BTreeSet<String>,
}

/// What a statement was seen to touch.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Relations, lower case.
    pub(super) relations: BTreeSet<String>,
    /// (relation, column), lower case, as the agent or a view of the database named them.
    pub(super) columns: BTreeSet<(String, String)>,
    /// Functions, lower case.
    pub(super) functions: BTreeSet<String>,
    /// The first thing refused.
    pub(super) denial: Option<Denial>,
}

/// Why the engine was told no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denial {
    /// A relation that does not exist for an agent.
    Relation(String),
    /// A function that is not allow-listed.
    Function(String),
    /// Anything but reading.
    Change,
    /// A PRAGMA, ATTACH or DETACH.
    Engine,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    seen: Seen,
}

/// The authorizer of one connection.
#[derive(Debug)]
pub(super) struct Guard {
    rules: Mutex<Rules>,
    state: Mutex<State>,
}

impl Guard {
    /// Starts in [`Mode::Ours`] with no rules: nothing is allowed to an agent yet.
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            mode: Mode::Ours,
            seen: Seen::default(),
        };
        Arc::new(Self {
            rules: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Lays down what may be read.
    pub(super) fn rule(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Says who the next statement is from.
    pub(super) fn enter(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.mode = mode;
        state.seen = Seen::default();
    }

    /// What was seen since [`Self::enter`].
    pub(super) fn seen(&self) -> Seen {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.seen)
    }

    /// The engine's question.
    pub(super) fn authorize(&self, asked: AuthContext<'_>) -> Authorization {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.mode == Mode::Ours {
            return Authorization::Allow;
        }
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        match judge(&rules, &asked, &mut state.seen) {
            Ok(()) => Authorization::Allow,
            Err(denial) => {
                state.seen.denial.get_or_insert(denial);
                Authorization::Deny
            }
        }
    }
}

/// Whether a read may be, and what it touches.
///
/// # Errors
/// Why not.
pub(super) fn judge(rules: &Rules, asked: &AuthContext<'_>, seen: &mut Seen) -> Result<(), Denial> {
    match asked.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Function { function_name } => function(rules, asked, function_name, seen),
        AuthAction::Read {
            table_name,
            column_name,
        } => read(rules, asked, table_name, column_name, seen),
        AuthAction::Pragma { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Err(Denial::Engine)
        }
        // Every other action changes something, and so may one this library does not know.
        _ => Err(Denial::Change),
    }
}

fn function(rules: &Rules, asked: &AuthContext<'_>, name: &str, seen: &mut Seen) -> Result<(), Denial> {
    let name = name.to_ascii_lowercase();
    if name == rules.token {
        return Ok(()); // not one that the statement calls
    }
    if !functions::allowed(&name) {
        return Err(Denial::Function(name));
    }
    let from = asked.accessor.and_then(|accessor| rules.inner.get(accessor));
    let in_a_mask = from.is_some_and(|inner| inner.over_table);
    if !in_a_mask {
        seen.functions.insert(name);
    }
    Ok(())
}

fn read(
    rules: &Rules,
    asked: &AuthContext<'_>,
    table: &str,
    column: &str,
    seen: &mut Seen,
) -> Result<(), Denial> {
    let lower = table.to_ascii_lowercase();
    let no = || Err(Denial::Relation(lower.clone()));
    match asked.database_name {
        Some("temp") if rules.outer.contains_key(&lower) => {
            // An empty column: the relation is named, none of its columns is used.
            if !column.is_empty() {
                seen.columns.insert((lower.clone(), column.to_ascii_lowercase()));
            }
            seen.relations.insert(lower);
            Ok(())
        }
        Some("temp") => match rules.inner.get(table) {
            Some(inner) if column.is_empty() || is(asked.accessor, &inner.relation) => Ok(()),
            _ => no(),
        },
        Some(schema) if schema == rules.schema => {
            let from = asked.accessor.and_then(|accessor| rules.inner.get(accessor));
            let through_its_view = from.is_some_and(|inner| {
                inner.relation == lower && inner.reads.contains(&column.to_ascii_lowercase())
            });
            let only_counted = column.is_empty() && rules.outer.contains_key(&lower);
            if through_its_view || only_counted {
                seen.relations.insert(lower);
                Ok(())
            } else {
                no()
            }
        }
        Some("main") if functions::TABLES.contains(&lower.as_str()) => {
            seen.functions.insert(lower);
            Ok(())
        }
        // Named without a schema, and none of its columns used: a CTE, or one of the engine's own tables.
        None if column.is_empty() && functions::TABLES.contains(&lower.as_str()) => {
            seen.functions.insert(lower);
            Ok(())
        }
        None if column.is_empty() && !rules.engine.contains(&lower) && !is_reserved(&lower) => Ok(()),
        _ => no(),
    }
}

fn is_reserved(lower: &str) -> bool {
    lower.starts_with("pragma_") || lower.starts_with("sqlite_")
}

fn is(accessor: Option<&str>, name: &str) -> bool {
    accessor.is_some_and(|accessor| accessor.eq_ignore_ascii_case(name))
}
