//! What names stand for, scope by scope.

use std::collections::BTreeSet;

use super::tree::{Node, Tree};
use crate::resource::sql::postgres::catalog::Relation;

/// Columns by relation's and column's number.
type Columns = BTreeSet<(u32, i16)>;

/// One thing of a FROM.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// What columns may be qualified with; empty without a name.
    pub(super) alias: String,
    /// The schema of a relation that has no alias.
    pub(super) schema: Option<String>,
    pub(super) source: Source,
}

/// What an item is made of.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A relation of the database; its columns by the names they have here.
    Relation { oid: u32, columns: Vec<(String, i16)> },
    /// A subquery whose columns are known.
    Query(BTreeSet<String>),
    /// Something whose columns are not known here: a common table expression, a function.
    Unknown,
    /// A name for items.
    Join(Join),
}

/// A name for the items from one index to another. Which of their columns a name of its own list stands for depends on
/// what the joins share: each stands for all of them.
#[derive(Debug, Clone)]
pub(super) struct Join {
    items: (usize, usize),
    /// Its list of names.
    renamed: BTreeSet<String>,
    columns: Columns,
}

/// The scopes around a node, and the common table expressions it sees.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a> {
    levels: Vec<Vec<Item>>,
    pub(super) ctes: Vec<&'a str>,
    /// Whether a name is looked for beyond the nearest scope that has it: in a change, where what is read must
    /// not be missed, whatever hides it.
    pub(super) wide: bool,
}

impl Scopes<'_> {
    /// A scope within the present one.
    pub(super) fn enter(&mut self) {
        self.levels.push(Vec::new());
    }

    /// The end of the innermost scope.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Takes the innermost scope's items out of sight.
    pub(super) fn hide(&mut self) -> Vec<Item> {
        self.levels.last_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Puts them back.
    pub(super) fn unhide(&mut self, items: Vec<Item>) {
        if let Some(level) = self.levels.last_mut() {
            *level = items;
        }
    }

    /// How many items the innermost scope has.
    pub(super) fn len(&self) -> usize {
        self.levels.last().map_or(0, Vec::len)
    }

    /// Brings an item into the innermost scope.
    pub(super) fn add(&mut self, item: Item) {
        if let Some(level) = self.levels.last_mut() {
            level.push(item);
        }
    }

    /// Names the items from `first` on together, and with a list their columns.
    pub(super) fn join_alias(&mut self, first: usize, alias: &str, names: &[&str]) {
        let items = (first, self.len());
        let mut columns = Columns::new();
        let named = self.levels.last().into_iter().flatten().skip(first);
        named.for_each(|item| item.all(&mut columns));
        let join = Join {
            items,
            renamed: names.iter().map(|name| (*name).to_owned()).collect(),
            columns,
        };
        self.add(Item {
            alias: alias.to_owned(),
            schema: None,
            source: Source::Join(join),
        });
    }

    /// A column that items from `first` on share by `USING`.
    pub(super) fn touch(&self, first: usize, name: &str, into: &mut Columns) {
        let items = self.levels.last().into_iter().flatten().skip(first);
        for item in items {
            item.column(name, into);
        }
    }

    /// Every column name that two items from `first` on share.
    pub(super) fn touch_shared(&self, first: usize, into: &mut Columns) {
        let items: Vec<&Item> = self.levels.last().into_iter().flatten().skip(first).collect();
        for item in &items {
            let Source::Relation { columns, .. } = &item.source else {
                continue;
            };
            for (name, _) in columns {
                // An item of unknown columns may have it too.
                let others = items.iter().filter(|other| other.may_have(name)).count();
                if others > 1 {
                    self.touch(first, name, into);
                }
            }
        }
    }

    /// `*`.
    pub(super) fn touch_all(&self, into: &mut Columns) {
        for item in self.levels.last().into_iter().flatten() {
            item.all(into);
        }
    }

    /// A plain name: a column of the nearest scope that has it, else a whole row.
    pub(super) fn name(&self, name: &str, into: &mut Columns) {
        for level in self.levels.iter().rev() {
            let mut hit = false;
            for item in level {
                hit |= item.column(name, into);
            }
            if hit && !self.wide {
                return;
            }
        }
        self.whole(name, None, into);
    }

    /// A whole row of the nearest item of that name; whether there is one.
    pub(super) fn whole(&self, alias: &str, schema: Option<&str>, into: &mut Columns) -> bool {
        let found = self.find(alias, schema);
        for (level, item) in &found {
            match &item.source {
                Source::Join(join) => join.of(level).for_each(|item| item.all(into)),
                _ => item.all(into),
            }
        }
        !found.is_empty()
    }

    /// A column of the nearest item of that name; whether it is certainly one.
    pub(super) fn field(&self, alias: &str, schema: Option<&str>, name: &str, into: &mut Columns) -> bool {
        let mut certain = None;
        for (level, item) in self.find(alias, schema) {
            let mut hit = item.column(name, into);
            if let Source::Join(join) = &item.source {
                for item in join.of(level) {
                    hit |= item.column(name, into);
                }
            }
            certain.get_or_insert(hit);
        }
        certain.unwrap_or(false)
    }

    /// Whether anything around has this name.
    pub(super) fn knows(&self, alias: &str) -> bool {
        !self.find(alias, None).is_empty()
    }

    /// The items a name may stand for, nearest first. All of them count as read: which one the server takes depends
    /// on joins with names of their own.
    fn find(&self, alias: &str, schema: Option<&str>) -> Vec<(&Vec<Item>, &Item)> {
        let fits =
            |item: &&Item| item.alias == alias && (schema.is_none() || item.schema.as_deref() == schema);
        let levels = self.levels.iter().rev();
        let all = levels.flat_map(|level| level.iter().filter(fits).map(move |item| (level, item)));
        all.collect()
    }
}

impl Join {
    /// Its items, of the level that it is in.
    fn of<'l>(&self, level: &'l [Item]) -> impl Iterator<Item = &'l Item> {
        let (first, last) = self.items;
        level.iter().take(last).skip(first)
    }
}

impl Item {
    fn all(&self, into: &mut Columns) {
        if let Source::Relation { oid, columns } = &self.source {
            into.extend(columns.iter().map(|(_, number)| (*oid, *number)));
        }
    }

    /// Notes a column if this has it; whether it has.
    fn column(&self, name: &str, into: &mut Columns) -> bool {
        match &self.source {
            Source::Relation { oid, columns } => {
                let found = columns.iter().find(|(known, _)| known == name);
                if let Some((_, number)) = found {
                    into.insert((*oid, *number));
                }
                found.is_some()
            }
            Source::Query(names) => names.contains(name),
            Source::Join(join) => {
                let renamed = join.renamed.contains(name);
                if renamed {
                    into.extend(&join.columns);
                }
                renamed
            }
            Source::Unknown => false,
        }
    }

    fn may_have(&self, name: &str) -> bool {
        match &self.source {
            Source::Relation { columns, .. } => columns.iter().any(|(known, _)| known == name),
            Source::Query(names) => names.contains(name),
            Source::Unknown => true,
            Source::Join(join) => join.renamed.contains(name),
        }
    }
}

/// A relation's columns by the names an alias gives them: `AS c(a, b)` renames the first ones.
pub(super) fn renamed(relation: &Relation, names: &[&str]) -> Vec<(String, i16)> {
    let columns = relation.columns.iter().enumerate();
    columns
        .map(|(at, column)| {
            let name = names.get(at).map_or(column.name.as_str(), |name| name);
            (name.to_owned(), column.number)
        })
        .collect()
}

/// The names of a query's columns, where each has one that is plain to see.
pub(super) fn outputs(select: &Node) -> Option<BTreeSet<String>> {
    let mut first = select;
    while let Some(left) = first.node("larg") {
        first = left;
    }
    let targets = first.list("target_list");
    if targets.is_empty() {
        return None;
    }
    targets.iter().map(|target| output(target.node()?)).collect()
}

fn output(target: &Node) -> Option<String> {
    let name = target.text("name");
    if !name.is_empty() {
        return Some(name.to_owned());
    }
    let value = target.node("val")?;
    let parts = match value.kind {
        "ColumnRef" => value.list("fields"),
        "FuncCall" => value.list("funcname"),
        // The server names it; whatever that is, it is not vouched for here.
        _ => return Some(String::new()),
    };
    parts.last().and_then(Tree::name).map(str::to_owned)
}
