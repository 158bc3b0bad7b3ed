//! What a view of the database's own reads, and by what it chooses its rows: from its definition as the server keeps it, in
//! which every name is in backticks and every table has its database.
//!
//! What is read here is not sent anywhere. It is not a grammar: all that is told apart is what the server writes in one
//! place alone, and what is not plainly a list of what is shown counts as choosing. Whatever else there is makes a view
//! that nothing is known of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A database and a table; the database is empty for that of the view.
pub(in crate::resource::sql::mysql) type Table = (String, String);

/// How a view is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::resource::sql::mysql) struct Made {
    /// Of its definition, by which another one is noticed.
    pub(in crate::resource::sql::mysql) digest: String,
    pub(in crate::resource::sql::mysql) reads: BTreeSet<Table>,
    /// The columns of these that it uses.
    pub(in crate::resource::sql::mysql) uses: BTreeSet<(Table, String)>,
    /// Those that may decide which rows it has, how many, and in which order.
    pub(in crate::resource::sql::mysql) by: BTreeSet<(Table, String)>,
    /// Whether it calls a function of a database's own, which may read anything.
    pub(in crate::resource::sql::mysql) calls: bool,
}

/// A part of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Names with points between them.
    Names(Vec<String>),
    /// A word, in upper case.
    Word(String),
    Sign(char),
    /// A string.
    Value,
}

/// What decides about rows or their order by what a query shows, wherever it stands.
const CHOOSING: [&str; 12] = [
    "DISTINCT",
    "DISTINCTROW",
    "GROUP",
    "HAVING",
    "ORDER",
    "OVER",
    "LIMIT",
    "OFFSET",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "WINDOW",
];

/// The first names of all that has a point in it: databases are among them.
pub(in crate::resource::sql::mysql) fn databases(definition: &str) -> BTreeSet<String> {
    let parts = parts(definition).unwrap_or_default();
    let firsts = parts.into_iter().filter_map(|part| match part {
        Part::Names(names) if names.len() > 1 => names.into_iter().next(),
        _ => None,
    });
    firsts.collect()
}

/// Reads a definition. `is_table` tells whether a database has a table or a view of this name.
pub(in crate::resource::sql::mysql) fn read(
    definition: &str,
    database: &str,
    is_table: impl Fn(&str, &str) -> bool,
) -> Option<Made> {
    let parts = parts(definition)?;
    // What may not be seen is empty; behind the names of partitions an alias stands for a table that is not told here.
    if !parts.contains(&word("SELECT")) || parts.contains(&word("PARTITION")) {
        return None;
    }
    let reader = Reader {
        parts: &parts,
        database,
        is_table: &is_table,
    };
    let mut made = Made::default();
    let called = reader.called(&mut made.reads);
    let counts = all_counts(&parts);
    let (mut depth, mut shows) = (0_usize, false);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Sign('(') => depth += 1,
            Part::Sign(')') => depth = depth.saturating_sub(1),
            Part::Word(word) if word == "SELECT" => shows = true,
            Part::Word(word) if word == "FROM" && depth == 0 => shows = false,
            Part::Names(names) => {
                let columns = reader.columns(names, &called)?;
                // One of the view's own database may have no database's name before it.
                made.calls |= reader.is_call(at);
                if counts || !shows {
                    made.by.extend(columns.iter().cloned());
                }
                made.uses.extend(columns);
            }
            _ => {}
        }
    }
    Some(made)
}

/// One definition, and what there is.
struct Reader<'a> {
    parts: &'a [Part],
    database: &'a str,
    is_table: &'a dyn Fn(&str, &str) -> bool,
}

impl<'a> Reader<'a> {
    fn table(&self, database: &str, name: &str) -> Table {
        let other = if database == self.database { "" } else { database };
        (other.to_owned(), name.to_owned())
    }

    fn is_call(&self, at: usize) -> bool {
        self.parts.get(at + 1) == Some(&Part::Sign('('))
    }

    /// What tables are called; nothing is known of what a subquery's name stands for, whose columns count by themselves.
    fn called(&self, reads: &mut BTreeSet<Table>) -> BTreeMap<&'a str, BTreeSet<Table>> {
        let mut called: BTreeMap<&str, BTreeSet<Table>> = BTreeMap::new();
        for (at, part) in self.parts.iter().enumerate() {
            let Part::Names(names) = part else { continue };
            let before = at.checked_sub(1).and_then(|before| self.parts.get(before));
            let follows = self.parts.get(at + 1);
            match names.as_slice() {
                [first, second] if (self.is_table)(first, second) && !self.is_call(at) => {
                    let found = self.table(first, second);
                    called.entry(second).or_default().insert(found.clone());
                    if let Some(Part::Names(alias)) = follows
                        && let [alias] = alias.as_slice()
                    {
                        called.entry(alias).or_default().insert(found.clone());
                    }
                    reads.insert(found);
                }
                // Of a subquery; of a common table expression.
                [one] if before == Some(&Part::Sign(')')) || follows == Some(&word("AS")) => {
                    called.entry(one).or_default();
                }
                _ => {}
            }
        }
        called
    }

    /// The columns that names stand for; `None` where they stand for nothing that is known.
    fn columns(
        &self,
        names: &[String],
        called: &BTreeMap<&str, BTreeSet<Table>>,
    ) -> Option<BTreeSet<(Table, String)>> {
        match names {
            [_] => Some(BTreeSet::new()),
            [first, second] if (self.is_table)(first, second) => Some(BTreeSet::new()),
            [alias, column] => match called.get(alias.as_str()) {
                Some(tables) => Some(
                    tables
                        .iter()
                        .map(|table| (table.clone(), column.clone()))
                        .collect(),
                ),
                // A function of a database; a table that may not be seen is followed by no bracket.
                None => self.calls(names).then(BTreeSet::new),
            },
            [first, second, column] if (self.is_table)(first, second) => {
                Some(BTreeSet::from([(self.table(first, second), column.clone())]))
            }
            _ => None,
        }
    }

    /// Whether these names are called wherever they are.
    fn calls(&self, names: &[String]) -> bool {
        let same = |part: &Part| matches!(part, Part::Names(others) if others == names);
        let mut places = self.parts.iter().enumerate().filter(|(_, part)| same(part));
        places.all(|(at, _)| self.is_call(at))
    }
}

/// Whether what is shown decides about rows, too.
fn all_counts(parts: &[Part]) -> bool {
    let mut depth = 0_usize;
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Sign('(') => depth += 1,
            Part::Sign(')') => depth = depth.saturating_sub(1),
            Part::Word(one) if CHOOSING.contains(&one.as_str()) => return true,
            Part::Word(one) if one == "UNION" && parts.get(at + 1) != Some(&word("ALL")) => return true,
            Part::Word(one) if one == "SELECT" && depth > 0 => return true, // a subquery
            _ => {}
        }
    }
    false
}

fn word(word: &str) -> Part {
    Part::Word(word.to_owned())
}

/// `None` for what the server does not write.
fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut joins = false; // whether a point has just been
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' => {
                let mut name = String::new();
                loop {
                    match rest.next()? {
                        '`' if rest.peek() == Some(&'`') => name.extend(rest.next()),
                        '`' => break,
                        c => name.push(c),
                    }
                }
                match parts.last_mut() {
                    Some(Part::Names(names)) if joins => names.push(name),
                    _ if joins => return None,
                    _ => parts.push(Part::Names(vec![name])),
                }
                joins = false;
            }
            '.' if matches!(parts.last(), Some(Part::Names(_))) && rest.peek() == Some(&'`') => joins = true,
            '\'' | '"' => {
                loop {
                    match rest.next()? {
                        // Whether it escapes what follows depends on who made the view.
                        '\\' => return None,
                        one if one == c && rest.peek() == Some(&c) => drop(rest.next()),
                        one if one == c => break,
                        _ => {}
                    }
                }
                parts.push(Part::Value);
            }
            '#' => return None,
            '/' if rest.peek() == Some(&'*') => return None,
            '-' if rest.peek() == Some(&'-') => return None,
            c if c.is_whitespace() => {}
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let mut one = c.to_uppercase().to_string();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '$') {
                    one.extend(c.to_uppercase());
                }
                // A name without backticks would be taken for a word.
                let joined = rest.peek() == Some(&'.') && !one.starts_with(|c: char| c.is_ascii_digit());
                if joined {
                    return None;
                }
                parts.push(Part::Word(one));
            }
            '.' if matches!(parts.last(), Some(Part::Names(_))) => return None,
            c => parts.push(Part::Sign(c)),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(definition: &str) -> Option<Made> {
        let tables = [("shop", "customers"), ("shop", "orders"), ("hr", "salaries")];
        read(definition, "shop", |database, table| {
            tables.contains(&(database, table))
        })
    }

    fn by(definition: &str) -> Vec<String> {
        let made = made(definition).unwrap_or_else(|| panic!("{definition}"));
        let each = made.by.into_iter();
        each.map(|((database, table), column)| format!("{database}/{table}.{column}"))
            .collect()
    }

    #[test]
    fn what_is_only_shown_chooses_nothing() {
        for definition in [
            "select `shop`.`customers`.`id` AS `id`,`shop`.`customers`.`email` AS `email` from `shop`.`customers`",
            "select `c`.`email` AS `e` from `shop`.`customers` `c` union all select lower(`c`.`email`) AS `l` from `shop`.`customers` `c`",
            "select trim(both 'x' from `c`.`email`) AS `t`,extract(year from `c`.`born`) AS `y` from `shop`.`customers` `c`",
        ] {
            assert_eq!(by(definition), [""; 0], "{definition}");
        }
    }

    #[test]
    fn whatever_may_decide_about_rows_is_told() {
        let email = "/customers.email";
        for (definition, columns) in [
            (
                "select `c`.`id` AS `id` from `shop`.`customers` `c` where `c`.`email` like 'a''%'",
                &[email][..],
            ),
            (
                "select `o`.`id` AS `id` from (`shop`.`orders` `o` join `shop`.`customers` `c` on(`o`.`note` = `c`.`email`))",
                &[email, "/orders.note"],
            ),
            (
                "select distinct `c`.`email` AS `e` from `shop`.`customers` `c`",
                &[email],
            ),
            (
                "select `c`.`email` AS `e` from `shop`.`customers` `c` union select `c`.`email` AS `e` from `shop`.`customers` `c`",
                &[email],
            ),
            (
                "select `c`.`email` AS `e` from `shop`.`customers` `c` order by `e` limit 1",
                &[email],
            ),
            (
                "select count(0) AS `n` from `shop`.`customers` `c` group by `c`.`email`",
                &[email],
            ),
            (
                "select `s`.`e` AS `e` from (select `c`.`email` AS `e` from `shop`.`customers` `c`) `s`",
                &[email],
            ),
            (
                "select (select `c`.`email` from `shop`.`customers` `c`) AS `e`,`o`.`id` AS `id` from `shop`.`orders` `o`",
                &[email, "/orders.id"],
            ),
            (
                "with `x` as (select `c`.`email` AS `e` from `shop`.`customers` `c`)select `x`.`e` AS `e` from `x`",
                &[email],
            ),
            (
                "select `s`.`id` AS `id` from `hr`.`salaries` `s` where `s`.`cents` > 3",
                &["hr/salaries.cents"],
            ),
            (
                "select `shop`.`customers`.`id` AS `id` from `shop`.`customers` where `shop`.`customers`.`email` = ''",
                &[email],
            ),
        ] {
            assert_eq!(by(definition), columns, "{definition}");
        }
    }

    #[test]
    fn tables_are_all_that_it_reads_and_what_is_not_plain_is_nothing_to_rely_on() {
        let found = made(
            "select `s`.`id` AS `id`,`shop`.`f`(1) AS `f` from (`hr`.`salaries` `s` join `shop`.`orders` `o`)",
        );
        let found = found.unwrap();
        let tables = [("", "orders"), ("hr", "salaries")].map(|(one, two)| (one.to_owned(), two.to_owned()));
        assert_eq!(found.reads, BTreeSet::from(tables));
        assert!(found.calls);
        let own = made("select `f`() AS `f` from `shop`.`orders` `o`").unwrap();
        assert!(own.calls, "a function of the view's own database");
        let none =
            made("select count(`o`.`id`) AS `n` from `shop`.`orders` `o` where `o`.`id` in (1,2)").unwrap();
        assert!(!none.calls);
        for definition in [
            "",
            "select `x`.`id` AS `id` from `elsewhere`.`x`",
            "select `x`.`id` AS `id` from `elsewhere`.`x` `x`",
            "select `elsewhere`.`x`.`id` AS `id` from `elsewhere`.`x`",
            "select customers.id AS id from shop.customers",
            "select `c`.`id` AS `id` from `shop`.`customers` `c` where `c`.`city` = 'a\\'",
            "select `c`.`id` AS `id` from `shop`.`customers` `c` -- x",
            "select `c`.`id` AS `id` from `shop`.`customers` partition (`p`) `c`",
            "select `c",
        ] {
            assert_eq!(made(definition), None, "{definition}");
        }
    }
}
