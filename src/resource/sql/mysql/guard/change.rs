//! Changes.

use std::collections::BTreeSet;

use sqlparser::ast::Statement;

use super::walk::Walk;
use super::{Checked, refused};
use crate::call::{Action, Refusal};
use crate::resource::sql::mysql::catalog::Catalog;

/// What a change is.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: &'static str,
    pub(super) table: String,
    pub(super) written: BTreeSet<String>,
    pub(super) has_where: bool,
    pub(super) irreversible: bool,
}

impl Change {
    pub(super) fn describe(self, checked: &mut Checked, _catalog: &Catalog) {
        checked.action = Action::SqlWrite;
        checked.facts.kind = self.kind.to_owned();
        checked.facts.has_where = self.has_where;
        checked.facts.irreversible = self.irreversible;
        checked.target = Some((self.table, self.written));
    }
}

impl Walk<'_> {
    pub(super) fn change(&mut self, _tree: &mut Statement) -> Result<Change, Refusal> {
        Err(refused("Changes are not available.", "Send a query."))
    }
}
