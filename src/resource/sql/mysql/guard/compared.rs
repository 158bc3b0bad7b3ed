//! Parameters that are compared with columns, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Expr, Value, ValueWithSpan};

/// The parameters that a walk met, by their places in the text that the library read, and the column that each
/// stands beside as `column = ?`; `None` where it stands anywhere else.
#[derive(Debug, Default)]
pub(super) struct Compared(BTreeMap<(u64, u64), Option<String>>);

/// Of every parameter, by its number from 0: the names of the columns that it stands beside as `column = ?`; `None`
/// where it stands anywhere else as well.
pub(super) type Places = BTreeMap<usize, Option<BTreeSet<String>>>;

impl Compared {
    /// Takes `left = right`, if that is a column and a parameter.
    pub(super) fn takes(&mut self, left: &Expr, right: &Expr) -> bool {
        let column = match left {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match (column, right) {
            (Some(column), Expr::Value(value)) if matches!(value.value, Value::Placeholder(_)) => {
                let name = Some(column.value.clone());
                let known = self.0.entry(place(value)).or_insert_with(|| name.clone());
                if *known != name {
                    *known = None;
                }
                true
            }
            _ => false,
        }
    }

    /// A parameter anywhere else.
    pub(super) fn elsewhere(&mut self, value: &ValueWithSpan) {
        self.0.insert(place(value), None);
    }

    /// By number; `order` has that of each `?` of the text. Where a parameter was not met, nothing is said of any.
    pub(super) fn numbered(&self, order: &[usize]) -> Places {
        let all = self.0.len() == order.len();
        let mut found = Places::new();
        let mut met = self.0.values();
        for number in order {
            let column = met.next().filter(|_| all).cloned().flatten();
            let places = found.entry(*number).or_insert_with(|| Some(BTreeSet::new()));
            match column {
                Some(column) => {
                    if let Some(places) = places {
                        places.insert(column);
                    }
                }
                None => *places = None,
            }
        }
        found
    }
}

fn place(value: &ValueWithSpan) -> (u64, u64) {
    let start = value.span.start;
    (start.line, start.column)
}
