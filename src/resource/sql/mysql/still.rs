//! What a statement was run with, asked where it ran. Its transaction has not ended, so nothing that it used can be defined
//! anew: what these are now they were when it ran. The catalogue was glanced at when the call came; of that, what the
//! statement used is looked at closely, and one text asks for it, ends the transaction, and tells whether the connection is
//! clean.

use std::sync::PoisonError;

use super::guard::Checked;
use super::link::{Link, is_mariadb, literal};
use super::loader::Loaded;
use super::probe::{self, COLUMN, MARK, NOW};
use super::{Database, Spec, tokens};
use crate::call::{Hash, RawOutput, Refusal};
use crate::resource::sql::bounds::schema_changed;

/// More relations than this are no cheaper to ask for than all.
const RELATIONS: usize = 4;
/// The most questions whose answer is kept.
const REMEMBERED: usize = 256;

/// What asks for all that a statement used: how each masking view is made, what columns are behind it, and of the key of
/// tokens one that is made with it. None where that is not all: views of the database's own are made of others, and a server
/// may show less in a transaction than beside it.
pub(super) fn question(loaded: &Loaded, checked: &Checked, spec: &Spec, version: &str) -> Option<String> {
    if !spec.behind_views() || !is_mariadb(version) || checked.relations.len() > RELATIONS {
        return None;
    }
    let mut text = String::new();
    for name in &checked.relations {
        let relation = loaded.catalog.relation(name).filter(|relation| !relation.view)?;
        text += &format!(
            "SHOW CREATE VIEW {}; SELECT {COLUMN} FROM {} WHERE table_name = {}; ",
            probe::ours(spec, &relation.name),
            probe::ours(spec, NOW),
            literal(&relation.name)
        );
        if tokens::has(relation) {
            text += &format!("SELECT token FROM {}; ", probe::ours(spec, MARK));
        }
    }
    Some(text)
}

impl Database {
    /// What a statement gave, if what it used is what it was checked against. The first statement of a kind tells what that
    /// looks like from its transaction: a look at all of the catalogue, made while that is under way, says what it is of.
    pub(super) async fn still_the_same(
        &self,
        mut link: Link,
        loaded: &Loaded,
        question: &str,
        output: RawOutput,
    ) -> Result<RawOutput, Refusal> {
        let known = {
            let shapes = loaded.shapes.lock().unwrap_or_else(PoisonError::into_inner);
            shapes.get(question).cloned()
        };
        let Some(known) = known else {
            let shape = shape(link.asked(question).await);
            let output = self.of_one_catalog(loaded, Ok(output)).await;
            match (&output, shape) {
                (Ok(_), Some(shape)) => {
                    remember(loaded, question, shape);
                    link.rest("").await;
                }
                _ => link.give_back().await,
            }
            return output;
        };
        match shape(link.rest(question).await) {
            Some(shape) if shape == known => Ok(output),
            _ => {
                let mut shapes = loaded.shapes.lock().unwrap_or_else(PoisonError::into_inner);
                shapes.remove(question); // the next one looks at all of it
                loaded.set_glimpse(None);
                Err(schema_changed())
            }
        }
    }
}

/// A statement that is under way, and may have been checked after a glance. Whatever ends it before what it used was compared,
/// be it its time or whoever sent it, the next call looks closely.
pub(super) struct Unproven<'l>(Option<&'l Loaded>);

impl<'l> Unproven<'l> {
    pub(super) fn new(loaded: &'l Loaded) -> Self {
        Self(Some(loaded))
    }

    /// It was compared.
    pub(super) fn proven(mut self) {
        self.0 = None;
    }
}

impl Drop for Unproven<'_> {
    fn drop(&mut self) {
        if let Some(loaded) = self.0 {
            loaded.set_glimpse(None);
        }
    }
}

fn remember(loaded: &Loaded, question: &str, shape: Hash) {
    let mut shapes = loaded.shapes.lock().unwrap_or_else(PoisonError::into_inner);
    if shapes.len() >= REMEMBERED {
        shapes.clear();
    }
    shapes.insert(question.to_owned(), shape);
}

fn shape(rows: Option<Vec<sqlx::mysql::MySqlRow>>) -> Option<Hash> {
    let rows: Result<Vec<probe::Texts>, _> = rows?.iter().map(probe::row).collect();
    Some(Hash::of(format!("{:?}", rows.ok()?).as_bytes()))
}
