//! What is around the tables that a change may touch: engines, triggers, keys, unique indexes, checks, generated
//! columns. Read through a view with the rights of the account that the masking views belong to, because the
//! account that makes changes sees of this only what it has rights to, and what it did not see it could not refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::Spec;
use super::admin::pattern;
use super::link::{Link, literal, quoted};
use super::probe::{self, GROUND, LEDGER, Texts};
use super::tables::text;
use super::tokens::DEFINER;
use super::{refusals, unmade};
use crate::call::Refusal;

/// Of the view's form: another one was made by another version of Tollgate.
const FORM: &str = "1";

/// Names of columns, lower case.
pub(super) type Columns = BTreeSet<String>;

/// All of it, of one database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ground {
    /// By name, as the server spells it.
    pub(super) tables: BTreeMap<String, Table>,
    /// By constraint and child.
    pub(super) keys: BTreeMap<(String, String), Key>,
    /// Tables (`database/table`, as the engine writes it) that tables of other databases refer to.
    abroad: BTreeSet<String>,
}

/// One table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// `BASE TABLE/InnoDB`.
    pub(super) kind: String,
    /// By name, lower case.
    pub(super) columns: BTreeMap<String, Column>,
    /// Events (`INSERT`, `UPDATE`, `DELETE`) for which triggers run.
    pub(super) triggers: BTreeSet<String>,
    /// Columns of each unique index, the primary key too.
    pub(super) uniques: BTreeMap<String, Columns>,
    /// What has to be true of a row.
    pub(super) checks: BTreeMap<String, String>,
}

/// One column.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    /// Whether a row that gives it nothing has a value in it.
    pub(super) filled: bool,
    /// Whether it takes numbers that no ROLLBACK gives back.
    pub(super) counts: bool,
    /// Whether what it has by itself is computed anew each time.
    pub(super) computed: bool,
    /// Whether it is given another value whenever its row becomes another one.
    pub(super) renewed: bool,
    /// What the server makes it of.
    pub(super) made_of: Option<String>,
}

/// A foreign key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) child: String,
    pub(super) parent: String,
    /// Of the child, of the parent; lower case.
    pub(super) columns: Vec<(String, String)>,
    pub(super) on_update: String,
    pub(super) on_delete: String,
    /// Whether it refers to another database.
    pub(super) leaves: bool,
}

impl Table {
    /// Whether what is done to it can be undone, and is done to it alone.
    pub(super) fn is_plain(&self) -> bool {
        self.kind.eq_ignore_ascii_case("BASE TABLE/InnoDB")
    }
}

impl Ground {
    /// Whether a table of another database refers to this one. Names that the engine writes in a way of its own are
    /// taken for any.
    pub(super) fn is_known_abroad(&self, database: &str, table: &str) -> bool {
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        self.abroad.iter().any(|known| match known.split_once('/') {
            Some((of, name)) if plain(of) && plain(name) && plain(database) && plain(table) => {
                of.eq_ignore_ascii_case(database) && name.eq_ignore_ascii_case(table)
            }
            _ => true,
        })
    }

    /// Reads it, as the account that makes changes.
    ///
    /// # Errors
    /// `target_failed`, with what to do for the operator.
    pub(super) async fn read(link: &mut Link, spec: &Spec) -> Result<Self, Refusal> {
        let question = format!(
            "SELECT part, one, two, three, four, five FROM {}.{GROUND}",
            quoted(&spec.views)
        );
        let rows = match probe::texts(link.conn()?, question, &[]).await {
            Ok(rows) => rows,
            Err(error) if refusals::is_missing(&error) => {
                return Err(unmade::not_prepared(&spec.name, "it is not there"));
            }
            Err(error) => return Err(refusals::away(&error)),
        };
        Self::of(&rows).map_err(|why| unmade::not_prepared(&spec.name, why))
    }

    fn of(rows: &[Texts]) -> Result<Self, &'static str> {
        let mut ground = Self::default();
        let (mut form, mut rights) = (String::new(), BTreeSet::new());
        for row in rows {
            match text(row, 0).as_str() {
                "form" => form = text(row, 1),
                "right" => {
                    rights.insert(text(row, 1));
                }
                _ => ground.add(row),
            }
        }
        if form != FORM {
            return Err("it is of another version");
        }
        // Without one of these the server shows less, and says nothing.
        match ["SELECT", "TRIGGER", "PROCESS"]
            .iter()
            .all(|right| rights.contains(*right))
        {
            true => Ok(ground),
            false => Err("the account it belongs to lacks SELECT, TRIGGER or PROCESS"),
        }
    }

    fn add(&mut self, row: &Texts) {
        let [name, two, three, four, five] = [1, 2, 3, 4, 5].map(|at| text(row, at));
        match text(row, 0).as_str() {
            "abroad" => {
                self.abroad.insert(name);
            }
            "key" => {
                let key = self.keys.entry((name, two.clone())).or_default();
                key.child = two;
                key.parent.clone_from(&four);
                key.columns.push((three.to_lowercase(), five.to_lowercase()));
            }
            "rule" => {
                let key = self.keys.entry((name, two.clone())).or_default();
                key.child = two;
                (key.on_update, key.on_delete) = (three, four);
                key.leaves = five != "here";
            }
            part => {
                let table = self.tables.entry(name).or_default();
                match part {
                    "table" => table.kind = two,
                    "trigger" => {
                        table.triggers.insert(two.to_ascii_uppercase());
                    }
                    "unique" => {
                        table.uniques.entry(two).or_default().insert(three.to_lowercase());
                    }
                    "check" => {
                        table.checks.insert(two, three);
                    }
                    _ => {
                        table
                            .columns
                            .insert(two.to_lowercase(), Column::of(&three, &four, &five));
                    }
                }
            }
        }
    }
}

impl Column {
    /// Of `EXTRA` and nullability, the default, and the expression of a generated column.
    fn of(extra: &str, default: &str, made_of: &str) -> Self {
        let extra = extra.to_ascii_lowercase();
        let generated = extra.contains("generated");
        let counts = extra.contains("auto_increment") || default.to_ascii_lowercase().contains("nextval");
        let nullable = extra.starts_with("yes/");
        Self {
            filled: generated || counts || !nullable || !(default.is_empty() || default == "NULL"),
            counts,
            computed: !default.starts_with('\'') && default.contains('('),
            renewed: extra.contains("on update"),
            made_of: generated.then(|| made_of.to_owned()),
        }
    }
}

/// The statements that make what changes need beside the masking views: the account of these gets the rights to see
/// what is around tables, and there is a table for what became of a COMMIT.
pub(super) fn statements(spec: &Spec) -> Vec<String> {
    let (place, database) = (quoted(&spec.views), spec.database());
    vec![
        format!("CREATE DATABASE IF NOT EXISTS {place} CHARACTER SET utf8mb4"),
        format!("CREATE USER IF NOT EXISTS {DEFINER} ACCOUNT LOCK"),
        format!("GRANT SELECT, TRIGGER ON {}.* TO {DEFINER}", pattern(&database)),
        format!("GRANT PROCESS ON *.* TO {DEFINER}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {place}.{LEDGER} (ticket CHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY, \
             made TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB"
        ),
        format!(
            "CREATE OR REPLACE DEFINER = {DEFINER} SQL SECURITY DEFINER VIEW {place}.{GROUND} AS\n  {}",
            view(&database)
        ),
    ]
}

fn view(database: &str) -> String {
    let (name, granted) = (literal(database), literal(pattern(database).trim_matches('`')));
    let own = "'\\'tollgate_views\\'@\\'localhost\\''";
    format!(
        "SELECT 'form' AS part, '{FORM}' AS one, '' AS two, '' AS three, '' AS four, '' AS five
  UNION ALL SELECT 'right', PRIVILEGE_TYPE, '', '', '', '' FROM information_schema.SCHEMA_PRIVILEGES
    WHERE TABLE_SCHEMA = {granted} AND GRANTEE = {own}
  UNION ALL SELECT 'right', PRIVILEGE_TYPE, '', '', '', '' FROM information_schema.USER_PRIVILEGES
    WHERE PRIVILEGE_TYPE = 'PROCESS' AND GRANTEE = {own}
  UNION ALL SELECT 'table', TABLE_NAME, CONCAT_WS('/', TABLE_TYPE, ENGINE), '', '', '' FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = {name}
  UNION ALL SELECT 'column', TABLE_NAME, COLUMN_NAME, CONCAT_WS('/', IS_NULLABLE, EXTRA), COALESCE(COLUMN_DEFAULT, ''),
    COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {name}
  UNION ALL SELECT 'trigger', EVENT_OBJECT_TABLE, EVENT_MANIPULATION, '', '', '' FROM information_schema.TRIGGERS
    WHERE EVENT_OBJECT_SCHEMA = {name}
  UNION ALL SELECT 'unique', TABLE_NAME, INDEX_NAME, COALESCE(COLUMN_NAME, ''), '', '' FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = {name} AND NON_UNIQUE = 0
  UNION ALL SELECT 'check', TABLE_NAME, CONCAT_WS('/', LEVEL, CONSTRAINT_NAME), CHECK_CLAUSE, '', ''
    FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {name}
  UNION ALL SELECT 'key', CONSTRAINT_NAME, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE WHERE CONSTRAINT_SCHEMA = {name} AND REFERENCED_TABLE_NAME IS NOT NULL
  UNION ALL SELECT 'rule', CONSTRAINT_NAME, TABLE_NAME, UPDATE_RULE, DELETE_RULE,
    IF(UNIQUE_CONSTRAINT_SCHEMA = CONSTRAINT_SCHEMA, 'here', 'elsewhere')
    FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {name}
  UNION ALL SELECT 'abroad', REF_NAME, '', '', '', '' FROM information_schema.INNODB_SYS_FOREIGN
    WHERE SUBSTRING_INDEX(FOR_NAME, '/', 1) <> SUBSTRING_INDEX(REF_NAME, '/', 1)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 6]) -> Texts {
        cells.iter().map(|cell| Some((*cell).to_owned())).collect()
    }

    fn rights(of: &[&str]) -> Vec<Texts> {
        let mut rows = vec![row(["form", FORM, "", "", "", ""])];
        rows.extend(of.iter().map(|right| row(["right", right, "", "", "", ""])));
        rows
    }

    #[test]
    fn a_view_that_may_show_less_than_there_is_is_not_believed() {
        assert!(Ground::of(&rights(&["SELECT", "TRIGGER", "PROCESS"])).is_ok());
        for few in [
            &["SELECT", "TRIGGER"][..],
            &["SELECT", "PROCESS"],
            &["TRIGGER", "PROCESS"],
            &[],
        ] {
            assert!(Ground::of(&rights(few)).is_err(), "{few:?}");
        }
        assert!(Ground::of(&[]).is_err());
    }

    #[test]
    fn a_reference_from_another_database_is_known_also_where_names_are_not_plain() {
        let mut rows = rights(&["SELECT", "TRIGGER", "PROCESS"]);
        rows.push(row(["abroad", "shop/orders", "", "", "", ""]));
        let ground = Ground::of(&rows).unwrap();
        assert!(ground.is_known_abroad("shop", "orders") && ground.is_known_abroad("Shop", "Orders"));
        assert!(!ground.is_known_abroad("shop", "customers"));
        assert!(
            ground.is_known_abroad("shop", "käse"),
            "written in a way of the engine's own"
        );
        rows.push(row(["abroad", "shop/k@00e4se", "", "", "", ""]));
        assert!(Ground::of(&rows).unwrap().is_known_abroad("shop", "customers"));
    }
}
