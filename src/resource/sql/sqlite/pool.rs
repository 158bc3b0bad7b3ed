//! Connections by what they show, all on one version of the schema.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::{self, Catalog};
use super::link::{Access, Key, Link};
use super::masks;
use super::{ColumnsDefault, MaskStyle, Spec};
use crate::call::{Code, Refusal};
use crate::clock::World;

/// Idle connections kept, over all keys.
const IDLE: usize = 8;

/// Which file is meant: a path may be given to another one at any time.
type FileId = (u64, u64);

/// The connections of one database.
#[derive(Debug)]
pub(super) struct Pool {
    spec: Spec,
    pub(super) world: Arc<dyn World>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    catalog: Arc<Catalog>,
    file: FileId,
    /// The longest idle first.
    idle: Vec<Link>,
}

impl Pool {
    /// # Errors
    /// For the operator; see [`super::Database::open`].
    pub(super) fn open(spec: Spec, world: Arc<dyn World>) -> Result<Self, String> {
        let at = |what: String| format!("resource `{}`: {what}", spec.name);
        let file = spec.path.display();
        let metadata = std::fs::metadata(&spec.path)
            .map_err(|error| at(format!("cannot open the database {file}: {error}")))?;
        if !metadata.is_file() {
            return Err(at(format!("{file} is not a file")));
        }
        let unknown = catalog::unknown_classes(&spec);
        if !unknown.is_empty() {
            return Err(at(format!(
                "unknown class: {}; define it in [classes], or use \"public\"",
                unknown.join(", ")
            )));
        }
        let repeated = catalog::repeated_columns(&spec);
        if !repeated.is_empty() {
            return Err(at(format!("configured twice: {}", repeated.join(", "))));
        }
        let tokens = |style: &MaskStyle| matches!(style, MaskStyle::Token(_));
        if spec.tokens.is_none()
            && spec
                .columns
                .values()
                .filter_map(|class| spec.classes.get(class))
                .any(tokens)
        {
            return Err(at("there is no key for its tokens".to_owned()));
        }
        let link = Link::discover(&spec, world.as_ref())
            .map_err(|error| at(format!("cannot read {file} as a SQLite database: {error}")))?;
        let missing = link.catalog.missing(&spec);
        if !missing.is_empty() {
            return Err(at(format!(
                "no such column among the tables and views that can be shown: {}; write \"table.column\" as in the \
                 schema (virtual tables and what belongs to them are never shown)",
                missing.join(", ")
            )));
        }
        if let Some(column) = masks::too_few(&link.catalog) {
            return Err(at(column));
        }
        let state = State {
            catalog: Arc::clone(&link.catalog),
            file: (metadata.dev(), metadata.ino()),
            idle: vec![link],
        };
        Ok(Self {
            spec,
            world,
            state: Mutex::new(state),
        })
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The catalogue of the schema as it is now.
    ///
    /// # Errors
    /// `target_failed` when the file cannot be read.
    pub(super) fn current_catalog(&self) -> Result<Arc<Catalog>, Refusal> {
        let link = self.lease(&Key::default())?;
        let catalog = Arc::clone(&link.catalog);
        self.give_back(link);
        Ok(catalog)
    }

    /// A connection that shows `key`, on the schema as it is now.
    ///
    /// # Errors
    /// `target_failed` when the file cannot be read.
    pub(super) fn lease(&self, key: &Key) -> Result<Link, Refusal> {
        for _ in 0..3 {
            let link = self.take(key)?;
            match link.version() {
                Ok(version) if version == link.catalog.version => return Ok(link),
                Err(error) if is_busy(&error) => return Err(unreadable(error)),
                Ok(_) | Err(_) => {} // another schema, or one this connection cannot follow
            }
            self.rediscover()?;
        }
        Err(schema_changed())
    }

    /// A connection that shows `key`; whoever runs on it checks the schema's version in the
    /// transaction.
    pub(super) fn take(&self, key: &Key) -> Result<Link, Refusal> {
        if self.file()? != self.state().file {
            self.rediscover()?;
        }
        let catalog = {
            let mut state = self.state();
            if let Some(at) = state.idle.iter().rposition(|link| link.key == *key) {
                return Ok(state.idle.remove(at));
            }
            Arc::clone(&state.catalog)
        };
        Link::open(&self.spec, self.world.as_ref(), key.clone(), &catalog).map_err(unreadable)
    }

    /// A connection for one change, on the schema as it is known. It is not kept.
    ///
    /// # Errors
    /// `target_failed` when the file cannot be read.
    pub(super) fn open_for(&self, key: Key, access: Access) -> Result<Link, Refusal> {
        let catalog = self.current_catalog()?;
        Link::open_for(&self.spec, self.world.as_ref(), key, &catalog, access).map_err(unreadable)
    }

    /// Keeps a connection for the next call, unless the schema has moved on. It must not be in a
    /// transaction.
    pub(super) fn give_back(&self, link: Link) {
        let mut state = self.state();
        if link.conn.is_autocommit() && Arc::ptr_eq(&link.catalog, &state.catalog) {
            if state.idle.len() >= IDLE {
                state.idle.remove(0);
            }
            state.idle.push(link);
        }
    }

    /// Reads the schema anew and drops connections to the old one.
    pub(super) fn rediscover(&self) -> Result<(), Refusal> {
        let file = self.file()?;
        let link = Link::discover(&self.spec, self.world.as_ref()).map_err(unreadable)?;
        let missing = link.catalog.missing(&self.spec);
        if let Some(column) = masks::too_few(&link.catalog) {
            return Err(misfit(column));
        }
        // A classified column that was renamed would now be an unlisted one, and be shown.
        if self.spec.columns_default == ColumnsDefault::Show && !missing.is_empty() {
            return Err(misfit(format!(
                "configured columns that are gone: {}",
                missing.join(", ")
            )));
        }
        let mut state = self.state();
        state.catalog = Arc::clone(&link.catalog);
        state.file = file;
        state.idle = vec![link];
        Ok(())
    }

    /// How many connections wait.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.state().idle.len()
    }

    fn file(&self) -> Result<FileId, Refusal> {
        let metadata = std::fs::metadata(&self.spec.path).map_err(|error| {
            Refusal::new(
                Code::TargetFailed,
                "The database could not be read.",
                "Tell your operator the call_id.",
            )
            .detail(format!("the file is gone: {}", error.kind()))
        })?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn misfit(what: String) -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database does not fit its configuration any more.",
        "Tell your operator the call_id.",
    )
    .detail(what)
}

/// The schema is not the one that was inspected.
pub(super) fn schema_changed() -> Refusal {
    Refusal::new(
        Code::TargetFailed,
        "The database's schema changed while the call was under way.",
        "Send the call again.",
    )
    .retry()
}

/// What to say when the engine cannot use the file.
pub(super) fn unreadable(error: rusqlite::Error) -> Refusal {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let busy = is_busy(&error);
    let refusal = Refusal::new(
        Code::TargetFailed,
        if busy {
            "The database is being written to."
        } else {
            "The database could not be read."
        },
        if busy {
            "Send the call again in a moment."
        } else {
            "Tell your operator the call_id."
        },
    )
    .detail(format!("SQLite result code {code}"));
    if busy { refusal.retry() } else { refusal }
}

/// Whether somebody else has the file locked.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}
