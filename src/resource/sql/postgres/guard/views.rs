//! How the definition of a view chooses its rows: by which columns of what. A view's columns can be masked; how many rows
//! it has, and in which order they come, cannot.
//!
//! Read from the server's own words (`pg_get_viewdef`), in which every relation has its schema. What is not plainly a
//! list of what is shown counts as choosing, subqueries with all they have; so a mistake here refuses too much.

use std::collections::{BTreeMap, BTreeSet};

use super::text;
use super::tree::{Node, Tree};

/// `SetOperation::SetopUnion`, as the grammar numbers it.
const UNION: i64 = 2;

/// Schema and name of a relation; no schema is one of `pg_catalog`, or a common table expression.
pub(in crate::resource::sql::postgres) type Named = (String, String);

/// By what rows are chosen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::resource::sql::postgres) struct Choice {
    /// Relations by what the definition calls them.
    tables: BTreeMap<String, BTreeSet<Named>>,
    /// Columns, with what they are qualified by. Without a name it is the whole row.
    columns: BTreeSet<(Option<String>, Option<String>)>,
    /// Names of joins, and of tables whose columns have other names: whatever is said of these may be any column.
    vague: BTreeSet<String>,
    commons: BTreeSet<String>,
}

impl Choice {
    /// Whether rows are chosen by a column that is `hidden`; it is asked with a relation, and a column of it or its whole
    /// row.
    pub(in crate::resource::sql::postgres) fn is_by(
        &self,
        hidden: impl Fn(&Named, Option<&str>) -> bool,
    ) -> bool {
        let known = |named: &&Named| !(named.0.is_empty() && self.commons.contains(&named.1));
        let any = |column: Option<&str>| {
            let mut all = self.tables.values().flatten().filter(known);
            all.any(|named| hidden(named, column))
        };
        self.columns.iter().any(|(qualifier, column)| match qualifier {
            None if self.vague.is_empty() => any(column.as_deref()),
            None => any(None),
            Some(qualifier) if self.vague.contains(qualifier) => any(None),
            // What is no table is a subquery, whose columns all count by themselves.
            Some(qualifier) => {
                let tables = self.tables.get(qualifier).into_iter().flatten();
                tables.filter(known).any(|named| hidden(named, column.as_deref()))
            }
        })
    }
}

/// Reads a definition; `widens`: whether a function among what it shows gives several rows. `None`: it is not understood.
pub(in crate::resource::sql::postgres) fn choice(definition: &str, widens: bool) -> Option<Choice> {
    let read = || {
        let tree = text::parse_ours(definition)?;
        let mut choice = Choice::default();
        let understood = match tree.of_kind("SelectStmt") {
            Some(select) => choice.select(select, widens),
            None => false,
        };
        Ok(understood.then_some(choice))
    };
    text::deep(read).ok().flatten()
}

impl Choice {
    /// A query whose rows are the view's. `counts`: whether what it shows decides about its rows.
    fn select(&mut self, select: &Node, counts: bool) -> bool {
        const SHOWN: [&str; 3] = ["target_list", "larg", "rarg"];
        let sorted = ["sort_clause", "limit_count", "limit_offset", "group_clause"];
        let by_place = |field: &&str| select.list(field).iter().any(has_constant);
        let counts = counts || !select.list("distinct_clause").is_empty() || sorted.iter().any(by_place);
        let arms = (select.node("larg"), select.node("rarg"));
        let understood = match arms {
            (Some(left), Some(right)) => {
                let plain = select.number("op") == UNION && select.flag("all");
                let ordered = sorted.iter().any(|field| !select.get(field).is_default());
                let counts = counts || !plain || ordered;
                self.select(left, counts) && self.select(right, counts)
            }
            (None, None) if counts => self.all(select.get("target_list")),
            (None, None) => self.shown(select.get("target_list")),
            _ => false,
        };
        let mut rest = select.fields.iter().filter(|(name, _)| !SHOWN.contains(name));
        understood && rest.all(|(_, value)| self.all(value))
    }

    /// What is shown decides about nothing, but for subqueries and the order that a window needs.
    fn shown(&mut self, tree: &Tree) -> bool {
        match tree {
            Tree::Node(node) if ["SubLink", "WindowDef", "SelectStmt"].contains(&node.kind) => self.all(tree),
            Tree::Node(node) => node.fields.iter().all(|(_, value)| self.shown(value)),
            Tree::List(items) => items.iter().all(|one| self.shown(one)),
            _ => true,
        }
    }

    /// Every column below counts.
    fn all(&mut self, tree: &Tree) -> bool {
        match tree {
            Tree::Node(node) => self.note(node) && node.fields.iter().all(|(_, value)| self.all(value)),
            Tree::List(items) => items.iter().all(|one| self.all(one)),
            _ => true,
        }
    }

    /// One node. `false` for a form in which it is not known what is meant.
    fn note(&mut self, node: &Node) -> bool {
        match node.kind {
            "ColumnRef" => self.column(node),
            "RangeVar" => {
                let alias = node.node("alias");
                let called = alias.map_or(node.text("relname"), |alias| alias.text("aliasname"));
                if alias.is_some_and(|alias| !alias.list("colnames").is_empty()) {
                    self.vague.insert(called.to_owned());
                }
                let named = (
                    node.text("schemaname").to_owned(),
                    node.text("relname").to_owned(),
                );
                self.tables.entry(called.to_owned()).or_default().insert(named);
                true
            }
            "JoinExpr" => {
                for alias in ["alias", "join_using_alias"] {
                    let alias = node.node(alias).map(|alias| alias.text("aliasname").to_owned());
                    self.vague.extend(alias);
                }
                let Some(using) = node.names("using_clause") else {
                    return false;
                };
                let each = using.into_iter().map(|name| (None, Some(name.to_owned())));
                self.columns.extend(each);
                !node.flag("is_natural")
            }
            "CommonTableExpr" => {
                self.commons.insert(node.text("ctename").to_owned());
                true
            }
            _ => true,
        }
    }

    fn column(&mut self, node: &Node) -> bool {
        let parts = node.list("fields");
        let names: Vec<&str> = parts.iter().filter_map(Tree::name).collect();
        let star = parts.last().is_some_and(|last| last.of_kind("AStar").is_some());
        let place = match (names.as_slice(), star) {
            ([column], false) => (None, Some((*column).to_owned())),
            ([.., table, column], false) => (Some((*table).to_owned()), Some((*column).to_owned())),
            ([.., table], true) => (Some((*table).to_owned()), None),
            ([], true) => (None, None),
            ([], false) => return false,
        };
        // A table's own name is its whole row.
        if let (None, Some(name)) = &place {
            self.columns.insert((Some(name.clone()), None));
        }
        self.columns.insert(place);
        true
    }
}

/// Whether something is chosen by its place among what is shown.
fn has_constant(tree: &Tree) -> bool {
    match tree {
        Tree::Node(node) => node.kind == "AConst" || node.fields.iter().any(|(_, value)| has_constant(value)),
        Tree::List(items) => items.iter().any(has_constant),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_by_email(definition: &str, widens: bool) -> bool {
        let hidden = |named: &Named, column: Option<&str>| {
            assert_eq!(named.0, "public", "{definition}");
            named.1 == "customers" && column.is_none_or(|column| column == "email")
        };
        choice(definition, widens).unwrap().is_by(hidden)
    }

    #[test]
    fn what_is_only_shown_chooses_nothing() {
        for definition in [
            "SELECT customers.id, customers.email FROM public.customers",
            "SELECT c.id, c.email FROM public.customers c WHERE c.id > 3",
            "SELECT c.id, lower(c.email) AS e FROM public.customers c JOIN public.orders o ON o.customer_id = c.id",
            "SELECT c.email FROM public.customers c UNION ALL SELECT o.email FROM public.orders o",
            "SELECT c.city, count(*) AS n, max(c.email) AS m FROM public.customers c GROUP BY c.city ORDER BY c.city",
            "SELECT o.id FROM public.orders o WHERE o.email = 'x'::text",
            "WITH x AS (SELECT o.id FROM public.orders o) SELECT x.id FROM x WHERE x.id > 2",
        ] {
            assert!(!is_by_email(definition, false), "{definition}");
        }
    }

    #[test]
    fn whatever_decides_about_rows_or_their_order_is_seen() {
        for definition in [
            "SELECT id FROM public.customers WHERE email = 'x'",
            "SELECT c.id FROM public.customers c WHERE c.email IS NULL",
            "SELECT c.id FROM public.customers c JOIN public.orders o ON o.note = c.email",
            "SELECT c.id FROM public.customers c JOIN public.leads l USING (email)",
            "SELECT count(*) AS n FROM public.customers c GROUP BY c.email",
            "SELECT c.city FROM public.customers c GROUP BY c.city HAVING max(c.email) > 'a'",
            "SELECT DISTINCT c.email FROM public.customers c",
            "SELECT DISTINCT ON (c.email) c.id FROM public.customers c",
            "SELECT c.email FROM public.customers c UNION SELECT o.email FROM public.orders o",
            "SELECT c.email FROM public.customers c EXCEPT ALL SELECT o.email FROM public.orders o",
            "SELECT c.email FROM public.customers c UNION ALL SELECT o.email FROM public.orders o ORDER BY 1",
            "SELECT c.id FROM public.customers c ORDER BY c.email",
            "SELECT c.id FROM public.customers c ORDER BY c.email LIMIT 1",
            "SELECT c.id, rank() OVER (ORDER BY c.email) AS r FROM public.customers c",
            "SELECT o.id FROM public.orders o WHERE o.customer_id IN (SELECT c.id FROM public.customers c WHERE c.email ~ 'x')",
            "SELECT o.id FROM public.orders o WHERE EXISTS (SELECT c.email FROM public.customers c)",
            "SELECT s.id FROM (SELECT c.id, c.email AS e FROM public.customers c) s WHERE s.e = 'x'",
            "WITH x AS (SELECT c.email AS e FROM public.customers c) SELECT x.e FROM x",
            "SELECT c.i FROM public.customers c(i, e) WHERE c.e = 'x'",
            "SELECT i FROM public.customers c(i, e) WHERE e = 'x'",
            "SELECT j.id FROM (public.customers c JOIN public.orders o ON true) j(a, b) WHERE j.b = 'x'",
            "SELECT c.id FROM public.customers c WHERE (c.*)::text ~ 'x'",
            "SELECT c.id FROM public.customers c WHERE c::text ~ 'x'",
            "SELECT c.id FROM public.customers c, LATERAL unnest(string_to_array(c.email, '.')) u(part)",
            "SELECT o.id, (SELECT c.id FROM public.customers c WHERE c.email = o.note) AS c FROM public.orders o",
        ] {
            assert!(is_by_email(definition, false), "{definition}");
        }
        assert!(is_by_email(
            "SELECT unnest(c.email) AS u FROM public.customers c",
            true
        ));
    }

    #[test]
    fn what_is_not_understood_is_nothing_to_rely_on() {
        for definition in [
            "",
            "SELEC",
            "TABLE",
            "SELECT a.x FROM public.a NATURAL JOIN public.b",
            "DELETE FROM public.a",
        ] {
            assert_eq!(choice(definition, false), None, "{definition}");
        }
    }
}
