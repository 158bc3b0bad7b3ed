//! Which class each column has: as configured, as its kin, or as what it is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Column, Relation, RelationKind};
use super::loader::OWN;
use super::{ColumnsDefault, MaskStyle, Spec};

/// What nobody listed.
const UNLISTED: &str = "unlisted";
const PUBLIC: &str = "public";

/// A relation and a column of it, by their numbers.
pub(super) type Place = (u32, i16);

/// What relations are made of, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// What a view reads.
    pub(super) reads: BTreeMap<u32, BTreeSet<u32>>,
    /// Views that call what may read or tell anything.
    pub(super) unknown: BTreeSet<u32>,
    /// Relations that call functions of the database's own, in their rule or their policies.
    pub(super) calls_own: BTreeSet<u32>,
    /// What the server makes a generated column of, in the same table.
    pub(super) generated: Vec<(Place, i16)>,
    /// Child and parent.
    pub(super) inherits: Vec<(u32, u32)>,
    /// Foreign tables: what they hold is defined elsewhere, by somebody who need not know of any classes.
    pub(super) foreign: BTreeSet<u32>,
}

/// Gives each column its class.
///
/// # Errors
/// For the operator: what is listed and not there, or twice, or against itself. Every column then has some class,
/// but nothing should be shown.
pub(super) fn classify(
    spec: &Spec,
    relations: &mut BTreeMap<u32, Relation>,
    made: &Made,
) -> Result<(), String> {
    let mut listed = listed(spec, relations)?;
    kin(relations, made, &mut listed)?;
    let style = |class: &str| -> Result<Option<(String, MaskStyle)>, String> {
        match class {
            PUBLIC => Ok(None),
            class => {
                let style = spec
                    .classes
                    .get(class)
                    .ok_or(format!("there is no class `{class}`"))?;
                Ok(Some((class.to_owned(), *style)))
            }
        }
    };
    let unlisted = || Some((UNLISTED.to_owned(), MaskStyle::Constant));
    let foreign = with_foreign_rows(made);
    for relation in relations.values_mut() {
        let view = is_view(relation);
        let elsewhere = foreign.contains(&relation.oid);
        for column in &mut relation.columns {
            column.class = match (listed.get(&(relation.oid, column.number)), spec.columns_default) {
                (Some(class), _) => style(class)?,
                (None, ColumnsDefault::Show) if elsewhere => unlisted(),
                // Of a view it is decided below; until then it is nothing that taints.
                (None, ColumnsDefault::Show) => None,
                (None, ColumnsDefault::Mask) if view => None,
                (None, ColumnsDefault::Mask) => unlisted(),
            };
        }
    }
    for ((table, column), source) in &made.generated {
        let Some(table) = relations.get_mut(table) else {
            continue;
        };
        let classified = |one: &Column| one.number == *source && one.class.is_some();
        if !listed.contains_key(&(table.oid, *column)) && table.columns.iter().any(classified) {
            let made = table.columns.iter_mut().filter(|one| one.number == *column);
            made.for_each(|column| column.class = unlisted());
        }
    }
    for view in by_depth(relations, made) {
        if !tainted(view, spec, relations, made) {
            continue;
        }
        let Some(relation) = relations.get_mut(&view) else {
            continue;
        };
        for column in &mut relation.columns {
            if !listed.contains_key(&(view, column.number)) {
                column.class = unlisted();
            }
        }
    }
    Ok(())
}

/// Foreign tables, and those that have one among their parts: who reads these reads its rows.
fn with_foreign_rows(made: &Made) -> BTreeSet<u32> {
    let mut all = made.foreign.clone();
    let mut open: Vec<u32> = all.iter().copied().collect();
    while let Some(at) = open.pop() {
        let parents = made.inherits.iter().filter(|(child, _)| *child == at);
        open.extend(
            parents
                .map(|(_, parent)| *parent)
                .filter(|parent| all.insert(*parent)),
        );
    }
    all
}

/// A table with all that inherits from it or that it inherits from, over any number of steps.
pub(super) fn family(table: u32, made: &Made) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut open = vec![table];
    while let Some(at) = open.pop() {
        if all.insert(at) {
            for (child, parent) in &made.inherits {
                open.extend((*child == at).then_some(*parent));
                open.extend((*parent == at).then_some(*child));
            }
        }
    }
    all
}

fn is_view(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::Materialized)
}

/// Views, those first that others read.
pub(super) fn by_depth(relations: &BTreeMap<u32, Relation>, made: &Made) -> Vec<u32> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    let views = relations.values().filter(|relation| is_view(relation));
    let mut stack: Vec<(u32, bool)> = views.map(|view| (view.oid, false)).collect();
    while let Some((view, done)) = stack.pop() {
        if done {
            order.push(view);
        } else if seen.insert(view) {
            stack.push((view, true));
            let bases = made.reads.get(&view).into_iter().flatten();
            stack.extend(bases.map(|base| (*base, false)));
        }
    }
    order
}

/// Whether anything that a view reads or calls is, or may be, classified. Bases have their classes already.
pub(super) fn tainted(view: u32, spec: &Spec, relations: &BTreeMap<u32, Relation>, made: &Made) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![view];
    while let Some(at) = open.pop() {
        if !seen.insert(at) {
            continue;
        }
        if at < OWN || made.unknown.contains(&at) {
            return true; // the server's own catalogue holds samples of values
        }
        match (relations.get(&at), made.reads.get(&at)) {
            (Some(base), _) if at != view => {
                if base.columns.iter().any(|column| column.class.is_some()) {
                    return true;
                }
            }
            (_, Some(bases)) => open.extend(bases),
            (Some(_), None) => {}
            // A table elsewhere: nobody listed its columns, but its kin may be listed.
            (None, None) => {
                if spec.columns_default == ColumnsDefault::Mask || made.foreign.contains(&at) {
                    return true;
                }
                for (child, parent) in &made.inherits {
                    open.extend((*child == at).then_some(parent));
                    open.extend((*parent == at).then_some(child));
                }
            }
        }
    }
    false
}

/// The configured classes, by column.
pub(super) fn listed(
    spec: &Spec,
    relations: &BTreeMap<u32, Relation>,
) -> Result<BTreeMap<Place, String>, String> {
    let mut listed = BTreeMap::new();
    for (written, class) in &spec.columns {
        let parts: Vec<&str> = written.split('.').collect();
        let (schemas, table, column) = match parts.as_slice() {
            [table, column] => (spec.schemas.iter().map(String::as_str).collect(), *table, *column),
            [schema, table, column] => (vec![*schema], *table, *column),
            _ => return Err(format!("`{written}`: write table.column or schema.table.column")),
        };
        let found = schemas.iter().find_map(|schema| {
            let mut relations = relations.values();
            relations.find(|relation| relation.schema == *schema && relation.name == table)
        });
        let found = found.ok_or(format!("`{written}` is listed, but there is no table `{table}`"))?;
        let mut columns = found.columns.iter();
        let place = columns
            .find(|one| one.name == column)
            .map(|one| (found.oid, one.number));
        let place = place.ok_or(format!("`{written}` is listed, but `{table}` has no such column"))?;
        if listed.insert(place, class.clone()).is_some() {
            return Err(format!("`{written}` is listed twice"));
        }
    }
    Ok(listed)
}

/// Who reads a partition or a child reads rows of its parent, and the other way about: columns of one name have
/// one class there, and a class is stronger than `public`.
fn kin(
    relations: &BTreeMap<u32, Relation>,
    made: &Made,
    listed: &mut BTreeMap<Place, String>,
) -> Result<(), String> {
    let mut families: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut head: BTreeMap<u32, u32> = BTreeMap::new();
    for (child, parent) in &made.inherits {
        let (one, other) = (
            *head.get(child).unwrap_or(child),
            *head.get(parent).unwrap_or(parent),
        );
        let mut members = families.remove(&one).unwrap_or_else(|| BTreeSet::from([one]));
        members.extend(families.remove(&other).unwrap_or_else(|| BTreeSet::from([other])));
        for member in &members {
            head.insert(*member, one);
        }
        families.insert(one, members);
    }
    for members in families.values() {
        let mut by_name: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
        for relation in members.iter().filter_map(|oid| relations.get(oid)) {
            for column in &relation.columns {
                let places = by_name.entry(column.name.as_str()).or_default();
                places.push((relation.oid, column.number));
            }
        }
        for (name, places) in by_name {
            let said: BTreeSet<String> = places
                .iter()
                .filter_map(|place| listed.get(place).cloned())
                .collect();
            let classes: Vec<&String> = said.iter().filter(|class| *class != PUBLIC).collect();
            let class = match classes.as_slice() {
                [] => said.first(),
                [one] => Some(*one),
                _ => {
                    return Err(format!(
                        "`{name}` has two classes in tables that inherit from each other"
                    ));
                }
            };
            if let Some(class) = class {
                listed.extend(places.iter().map(|place| (*place, class.clone())));
            }
        }
    }
    Ok(())
}
