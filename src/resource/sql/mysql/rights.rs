//! What the account that makes changes may do, beside what it should; and the statements that give it that.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::admin::pattern;
use super::catalog::{Catalog, Relation};
use super::link::{Link, is_mariadb, literal, quoted};
use super::loader::{self, Loaded};
use super::probe::{self, LEDGER, Texts};
use super::{Database, Spec, Writer, ground, refusals, unmade};
use crate::call::{Code, Refusal};

/// What the account that asks can read, by whatever right.
const READABLE: &str = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = ? AND FIND_IN_SET('select', PRIVILEGES) > 0";

/// A right, and the columns it is given for, if only for some.
type Right = (String, Option<Vec<String>>);

/// Each in words for the operator; empty for an account as it should be.
pub(super) fn findings(spec: &Spec, catalog: &Catalog, grants: &[Texts]) -> Vec<String> {
    let lines = grants.iter().filter_map(|row| row.first().cloned().flatten());
    lines.filter_map(|line| finding(spec, catalog, &line)).collect()
}

/// Looks at the account that makes changes.
///
/// # Errors
/// `target_failed`: it may do more than it should, and the configuration does not say that it may.
pub(super) async fn fit(link: &mut Link, spec: &Spec, catalog: &Catalog) -> Result<(), Refusal> {
    if spec.privileged {
        return Ok(());
    }
    let mut found = findings(spec, catalog, &probe::grants(link.conn()?).await?);
    let own = [
        spec.database(),
        spec.views.clone(),
        "information_schema".to_owned(),
        "performance_schema".to_owned(),
    ];
    for row in probe::databases(link.conn()?).await? {
        let name = super::tables::text(&row, 0);
        if !own.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            found.push(format!("it can see the database {name}"));
        }
    }
    // By what is granted to nobody, in `mysql.db`, it reads what none of its own rights names.
    for row in probe::texts(link.conn()?, READABLE.to_owned(), &[&spec.database()])
        .await
        .map_err(|error| refusals::away(&error))?
    {
        let [table, name] = [0, 1].map(|at| super::tables::text(&row, at));
        let column = catalog.relation(&table).and_then(|relation| {
            let mut columns = relation.columns.iter();
            columns.find(|column| column.name == name)
        });
        if column.is_none_or(|column| column.class.is_some()) {
            found.push(format!("it can read {table}.{name}"));
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(unmade::privileged(&found)),
    }
}

/// The tables that the account may change something of, as the server lists its rights on single tables.
///
/// # Errors
/// `target_failed`.
pub(super) async fn changeable(link: &mut Link, spec: &Spec) -> Result<Vec<String>, Refusal> {
    let grants = probe::grants(link.conn()?).await?;
    let lines = grants.iter().filter_map(|row| row.first().cloned().flatten());
    let mut all = BTreeSet::new();
    for line in lines {
        let read = line
            .strip_prefix("GRANT ")
            .and_then(|line| line.split_once(" ON "));
        let Some((given, rest)) = read else {
            continue;
        };
        let object = rest.split_once(" TO ").map_or(rest, |(object, _)| object);
        let changes = ["INSERT", "UPDATE", "DELETE"];
        if rights(given)
            .iter()
            .any(|(right, _)| changes.contains(&right.as_str()))
        {
            match of(object) {
                Some((database, Some(table))) if database == spec.database() => {
                    all.insert(table);
                }
                Some((database, None)) if database.replace("\\_", "_") == spec.database() => {
                    all.insert("every table".to_owned());
                }
                _ => {}
            }
        }
    }
    Ok(all.into_iter().collect())
}

fn finding(spec: &Spec, catalog: &Catalog, line: &str) -> Option<String> {
    let read = line
        .strip_prefix("GRANT ")
        .and_then(|line| line.split_once(" ON "));
    let Some((given, rest)) = read else {
        let words: Vec<&str> = line.split(' ').take(2).collect();
        return Some(format!("it has what is no plain grant: {}", words.join(" ")));
    };
    let (object, whom) = rest.split_once(" TO ").unwrap_or((rest, ""));
    if whom.contains("GRANT OPTION") {
        return Some(format!("it may give away what it may do on {object}"));
    }
    let rights = rights(given);
    let only = |known: &[&str]| {
        rights
            .iter()
            .all(|(right, columns)| columns.is_none() && known.contains(&right.as_str()))
    };
    let fits = match of(object) {
        None => object == "*.*" && only(&["USAGE"]),
        Some((database, table)) => {
            let is =
                |name: &str| database == name || database.replace("\\_", "_").replace("\\%", "%") == name;
            match table {
                None if is(&spec.views) => only(&["SELECT", "SHOW VIEW"]),
                None if is(&spec.database()) && spec.behind_views() => only(&["INSERT", "UPDATE", "DELETE"]),
                None if is(&spec.database()) => only(&["SELECT", "INSERT", "UPDATE", "DELETE"]),
                Some(table) if is(&spec.views) => {
                    table == LEDGER && only(&["SELECT", "INSERT", "DELETE"]) || only(&["SELECT"])
                }
                Some(table) if is(&spec.database()) => on_table(catalog, &table, &rights),
                _ => false,
            }
        }
    };
    (!fits).then(|| {
        let names: BTreeSet<&str> = rights.iter().map(|(right, _)| right.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        format!(
            "it has {} on {object}, or on columns of it that are masked",
            names.join(", ")
        )
    })
}

/// It changes what it likes of a table, and reads what is public.
fn on_table(catalog: &Catalog, table: &str, rights: &[Right]) -> bool {
    rights.iter().all(|(right, columns)| match right.as_str() {
        "INSERT" | "UPDATE" | "DELETE" => true,
        "SELECT" => catalog.relation(table).is_some_and(|relation| {
            let mut masked = relation.columns.iter().filter(|column| column.class.is_some());
            match columns {
                None => masked.next().is_none(),
                Some(columns) => {
                    !masked.any(|column| columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name)))
                }
            }
        }),
        _ => false,
    })
}

/// The database and the table (`None` is all of them) of a grant; `None` for what is neither.
fn of(object: &str) -> Option<(String, Option<String>)> {
    let rest = object.strip_prefix('`')?;
    let (database, rest) = rest.split_once("`.")?;
    let table = match rest {
        "*" => None,
        name => Some(name.strip_prefix('`')?.strip_suffix('`')?.replace("``", "`")),
    };
    Some((database.replace("``", "`"), table))
}

/// `SELECT (`a`, `b`), INSERT`, as it is; in names a backtick is written twice.
fn rights(given: &str) -> Vec<Right> {
    let mut all: Vec<Right> = Vec::new();
    let (mut word, mut columns, mut name): (String, Option<Vec<String>>, Option<String>) = Default::default();
    let mut chars = given.chars().peekable();
    while let Some(c) = chars.next() {
        match (&mut name, &mut columns, c) {
            (Some(name), _, '`') if chars.peek() == Some(&'`') => name.extend(chars.next()),
            (Some(_), Some(columns), '`') => columns.extend(name.take()),
            (Some(name), _, c) => name.push(c),
            (None, Some(_), '`') => name = Some(String::new()),
            (None, Some(_), ')') => all.push((std::mem::take(&mut word).trim().to_owned(), columns.take())),
            (None, Some(_), _) => {}
            (None, None, '(') => columns = Some(Vec::new()),
            (None, None, ',') => all.push((std::mem::take(&mut word).trim().to_owned(), None)),
            (None, None, c) => word.push(c),
        }
    }
    all.push((word.trim().to_owned(), columns));
    all.retain(|(right, _)| !right.is_empty());
    all
}

impl Database {
    /// The statements that let the account of `write` change these tables, for an administrator. They can be run again.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server; no account of `write`; no such table.
    pub async fn write_grants(&self, tables: &[String]) -> Result<String, Refusal> {
        let refused = |why: String| Refusal::new(Code::TargetFailed, why, "");
        let Some(writer) = &self.spec.writer else {
            let why = "the resource has no account for changes: name one as write = \"…\"";
            return Err(refused(why.to_owned()));
        };
        let mut link = self.pool.reading().await?;
        let loaded = async {
            if !is_mariadb(link.version()) {
                return Err(unmade::not_mariadb());
            }
            let version = probe::ask(&mut link, &self.spec, "").await?;
            loader::load(&mut link, &self.spec, &version).await
        };
        let loaded = loaded.await;
        link.give_back().await;
        let loaded = loaded?;
        loaded.fit(self.spec.privileged)?;
        let mut listed = BTreeSet::new();
        for name in tables {
            let found = loaded.catalog.relation(name).filter(|relation| !relation.view);
            let found = found.ok_or_else(|| refused(format!("there is no table {name}")))?;
            listed.insert(found.name.clone());
        }
        Ok(script(&self.spec, writer, &loaded, &listed))
    }
}

fn script(spec: &Spec, writer: &Writer, loaded: &Loaded, listed: &BTreeSet<String>) -> String {
    let account = literal(&writer.account);
    let place = pattern(&spec.views);
    let mut text = format!(
        "-- As an administrator. '%' is any host: name Tollgate's where you can, in every line.\n\
         -- CREATE USER {account}@'%' IDENTIFIED BY '…' REQUIRE SSL;\n"
    );
    for statement in ground::statements(spec) {
        let _ = writeln!(text, "{statement};");
    }
    let _ = writeln!(text, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}@'%';");
    let _ = writeln!(text, "GRANT SELECT ON {place}.* TO {account}@'%';");
    let ledger = format!("{}.{LEDGER}", quoted(&spec.views));
    let _ = writeln!(text, "GRANT SELECT, INSERT, DELETE ON {ledger} TO {account}@'%';");
    for name in reached(&loaded.catalog, listed) {
        let Some(relation) = loaded.catalog.relation(&name) else {
            continue;
        };
        let mut rights = Vec::new();
        rights.extend(shown(relation));
        if listed.contains(&name) {
            rights.push("INSERT, UPDATE, DELETE".to_owned());
        }
        if !rights.is_empty() {
            let whole = format!("{}.{}", quoted(&spec.database()), quoted(&name));
            let _ = writeln!(text, "GRANT {} ON {whole} TO {account}@'%';", rights.join(", "));
        }
    }
    text
}

/// The columns that are public.
fn shown(relation: &Relation) -> Option<String> {
    let public = relation.columns.iter().filter(|column| column.class.is_none());
    let public: Vec<String> = public.map(|column| quoted(&column.name)).collect();
    (!public.is_empty()).then(|| format!("SELECT ({})", public.join(", ")))
}

/// These tables, and those that refer to them, whose rows a change may reach.
fn reached(catalog: &Catalog, listed: &BTreeSet<String>) -> BTreeSet<String> {
    let mut all = listed.clone();
    loop {
        let refers = |relation: &&Relation| {
            let mut references = relation
                .columns
                .iter()
                .filter_map(|column| column.references.as_deref());
            references.any(|to| to.rsplit_once('.').is_some_and(|(table, _)| all.contains(table)))
        };
        let more: BTreeSet<String> = catalog
            .relations
            .values()
            .filter(refers)
            .map(|relation| relation.name.clone())
            .collect();
        let many = all.len();
        all.extend(more);
        if all.len() == many {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::catalog::Column;
    use super::super::tests::spec;
    use super::*;
    use crate::resource::sql::MaskStyle;

    fn catalog() -> Catalog {
        let column = |name: &str, public: bool| Column {
            name: name.to_owned(),
            declared_type: "int".to_owned(),
            data_type: "int".to_owned(),
            not_null: true,
            primary_key: false,
            references: None,
            generated: false,
            class: (!public).then(|| ("c".to_owned(), MaskStyle::Constant)),
        };
        let relation = |name: &str, columns| Relation {
            name: name.to_owned(),
            view: false,
            engine: None,
            made: None,
            indexes: Vec::new(),
            ordered: false,
            columns,
        };
        let customers = relation("customers", vec![column("id", true), column("e, `mail", false)]);
        let orders = relation("orders", vec![column("id", true)]);
        let relations = [customers, orders].map(|relation| (relation.name.clone(), relation));
        Catalog {
            relations: BTreeMap::from(relations),
            ..Catalog::default()
        }
    }

    #[test]
    fn only_what_changes_need_is_none_too_much() {
        for (line, fits) in [
            ("GRANT USAGE ON *.* TO `w`@`%` IDENTIFIED BY PASSWORD '*D8'", true),
            ("GRANT SELECT ON `shop\\_tollgate`.* TO `w`@`%`", true),
            (
                "GRANT SELECT, INSERT, DELETE ON `shop_tollgate`.`tollgate_ledger` TO `w`@`%`",
                true,
            ),
            (
                "GRANT SELECT (`id`), INSERT, UPDATE, DELETE ON `shop`.`customers` TO `w`@`%`",
                true,
            ),
            (
                "GRANT INSERT, UPDATE (`id`, `e, ``mail`), SELECT (`id`) ON `shop`.`customers` TO `w`@`%`",
                true,
            ),
            ("GRANT SELECT, INSERT ON `shop`.`orders` TO `w`@`%`", true),
            ("GRANT INSERT, UPDATE, DELETE ON `shop`.* TO `w`@`%`", true),
            (
                "GRANT SELECT (`id`, `e, ``mail`) ON `shop`.`customers` TO `w`@`%`",
                false,
            ),
            ("GRANT SELECT, UPDATE ON `shop`.`customers` TO `w`@`%`", false),
            ("GRANT SELECT ON `shop`.* TO `w`@`%`", false),
            ("GRANT SELECT (`id`) ON `shop`.`nowhere` TO `w`@`%`", false),
            ("GRANT TRIGGER ON `shop`.`orders` TO `w`@`%`", false),
            ("GRANT INSERT, DROP ON `shop`.`orders` TO `w`@`%`", false),
            ("GRANT SELECT, INSERT ON `shop_tollgate`.* TO `w`@`%`", false),
            (
                "GRANT SELECT, UPDATE ON `shop_tollgate`.`tollgate_plan` TO `w`@`%`",
                false,
            ),
            ("GRANT SELECT ON `other`.`t` TO `w`@`%`", false),
            (
                "GRANT INSERT ON `shop`.`orders` TO `w`@`%` WITH GRANT OPTION",
                false,
            ),
            ("GRANT PROCESS ON *.* TO `w`@`%`", false),
            ("GRANT `boss` TO `w`@`%`", false),
            ("GRANT EXECUTE ON FUNCTION `shop`.`f` TO `w`@`%`", false),
        ] {
            let found = findings(&spec(), &catalog(), &[vec![Some(line.to_owned())]]);
            assert_eq!(found.is_empty(), fits, "{line}: {found:?}");
            assert!(
                !found.join("").contains("*D8"),
                "no hash of a password: {found:?}"
            );
        }
    }
}
