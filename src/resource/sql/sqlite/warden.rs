//! The first lock for changes: what the engine asks while it prepares one.
//!
//! Everything a change reads it reads behind the same masking views as a query, but for one table: its
//! target, which it has to name in the file. Of the target it may read shown columns alone. The
//! engine's own work comes through here too: foreign keys (without a name of who asks) and the
//! database's triggers and views (with theirs). A name that the agent's text spells anywhere is never
//! trusted to be theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::guard::{self, Denial, Mode, Rules, Seen};

/// What one change may do.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// For what it reads through views.
    pub(super) rules: Rules,
    /// The table it changes, lower case.
    pub(super) target: String,
    /// Columns of the target it must not read, lower case.
    pub(super) hidden: BTreeSet<String>,
    /// The target's columns, lower case.
    pub(super) columns: BTreeSet<String>,
    /// Tables the engine may look into or change for a foreign key, lower case.
    pub(super) related: BTreeSet<String>,
    /// Triggers and views of the file whose names the agent's text does not spell, lower case.
    pub(super) code: BTreeSet<String>,
}

/// What happens to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) inserts: bool,
    pub(super) deletes: bool,
    /// Lower case.
    pub(super) updates: BTreeSet<String>,
}

/// What was seen of a change.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) seen: Seen,
    /// By table, lower case.
    pub(super) written: BTreeMap<String, Written>,
    /// (table, column) read by triggers and views of the file.
    pub(super) read_by_code: BTreeSet<(String, String)>,
    /// The hidden column of the target that was read, if one was.
    pub(super) hidden: Option<String>,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    scope: Scope,
    told: Told,
}

/// The authorizer of a connection for changes.
#[derive(Debug)]
pub(super) struct Warden(Mutex<State>);

impl Warden {
    /// Starts in [`Mode::Ours`], with nothing allowed to an agent.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            mode: Mode::Ours,
            scope: Scope::default(),
            told: Told::default(),
        })))
    }

    /// Lays down what the next statement may do.
    pub(super) fn allow(&self, scope: Scope) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).scope = scope;
    }

    /// Says who the next statement is from.
    pub(super) fn enter(&self, mode: Mode) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.mode = mode;
        state.told = Told::default();
    }

    /// What was seen since [`Self::enter`].
    pub(super) fn told(&self) -> Told {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).told)
    }

    /// The engine's question.
    pub(super) fn authorize(&self, asked: AuthContext<'_>) -> Authorization {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if state.mode == Mode::Ours {
            return Authorization::Allow;
        }
        match judge(&state.scope, &asked, &mut state.told) {
            Ok(()) => Authorization::Allow,
            Err(denial) => {
                state.told.seen.denial.get_or_insert(denial);
                Authorization::Deny
            }
        }
    }
}

/// Who asks.
enum Asker<'a> {
    /// The agent's text, or the engine for a foreign key.
    TopLevel,
    /// A trigger or view of the file.
    Code,
    /// A masking view, a common table expression, or a name that could be either's.
    Named(&'a str),
}

fn judge(scope: &Scope, asked: &AuthContext<'_>, told: &mut Told) -> Result<(), Denial> {
    let asker = match asked.accessor {
        None => Asker::TopLevel,
        Some(name) if scope.code.contains(&name.to_ascii_lowercase()) => Asker::Code,
        Some(name) => Asker::Named(name),
    };
    let in_file = asked.database_name == Some(scope.rules.schema.as_str());
    match asked.action {
        AuthAction::Insert { table_name } if in_file => {
            let table = written(scope, &asker, table_name, told)?;
            table.inserts = true;
            Ok(())
        }
        AuthAction::Delete { table_name } if in_file => {
            let table = written(scope, &asker, table_name, told)?;
            table.deletes = true;
            Ok(())
        }
        AuthAction::Update {
            table_name,
            column_name,
        } if in_file => {
            let (lower, column) = (table_name.to_ascii_lowercase(), column_name.to_ascii_lowercase());
            let table = written(scope, &asker, table_name, told)?;
            if matches!(asker, Asker::TopLevel) && lower == scope.target && !scope.columns.contains(&column) {
                return Err(Denial::Relation(lower)); // the rowid, as below
            }
            table.updates.insert(column);
            Ok(())
        }
        AuthAction::Read {
            table_name,
            column_name,
        } if in_file => read(scope, &asker, asked, (table_name, column_name), told),
        // What a trigger calls is the database's own choice; the engine keeps from it what is not
        // safe in a schema.
        AuthAction::Function { .. } if matches!(asker, Asker::Code) => Ok(()),
        _ => guard::judge(&scope.rules, asked, &mut told.seen),
    }
}

fn written<'t>(
    scope: &Scope,
    asker: &Asker<'_>,
    table: &str,
    told: &'t mut Told,
) -> Result<&'t mut Written, Denial> {
    let lower = table.to_ascii_lowercase();
    let allowed = match asker {
        Asker::TopLevel => lower == scope.target || scope.related.contains(&lower),
        Asker::Code => true,
        Asker::Named(_) => false,
    };
    if allowed {
        Ok(told.written.entry(lower).or_default())
    } else {
        Err(Denial::Change)
    }
}

fn read(
    scope: &Scope,
    asker: &Asker<'_>,
    asked: &AuthContext<'_>,
    (table, column): (&str, &str),
    told: &mut Told,
) -> Result<(), Denial> {
    let (table, column) = (table.to_ascii_lowercase(), column.to_ascii_lowercase());
    match asker {
        Asker::Code => {
            told.read_by_code.insert((table, column));
            Ok(())
        }
        Asker::Named(name) if scope.rules.inner.contains_key(*name) => {
            guard::judge(&scope.rules, asked, &mut told.seen)
        }
        Asker::TopLevel | Asker::Named(_) if table == scope.target => {
            if scope.hidden.contains(&column) {
                told.hidden.get_or_insert(column);
                return Err(Denial::Change);
            }
            if !column.is_empty() && !scope.columns.contains(&column) {
                return Err(Denial::Relation(table)); // the rowid, which does not exist for an agent
            }
            told.seen.relations.insert(table.clone());
            if !column.is_empty() {
                told.seen.columns.insert((table, column));
            }
            Ok(())
        }
        // A masked relation that is only counted.
        Asker::TopLevel | Asker::Named(_) if column.is_empty() && scope.rules.outer.contains_key(&table) => {
            guard::judge(&scope.rules, asked, &mut told.seen)
        }
        // Nothing the agent writes can name another table of the file: a foreign key's.
        Asker::TopLevel if scope.related.contains(&table) => Ok(()),
        Asker::TopLevel | Asker::Named(_) => Err(Denial::Relation(table)),
    }
}
