//! The whole of a database's schema, exposed to agents or not: what a change can reach, and by what
//! its success could tell something of stored values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;

use super::masks::quoted;

/// One version of a database's schema, for those who change it.
#[derive(Debug, Default)]
pub(super) struct Anatomy {
    /// Tables by lower-case name; virtual ones have root 0.
    pub(super) tables: BTreeMap<String, Table>,
    /// Triggers and views, lower case: what the database's own text may be called.
    pub(super) code: BTreeSet<String>,
    /// Views, lower case.
    pub(super) views: BTreeSet<String>,
    /// Root page → table, lower case; indexes too.
    pub(super) roots: HashMap<i64, String>,
    pub(super) foreign: Vec<Foreign>,
    /// Schema object → (what it is, its table, its text): what a schema change changes.
    pub(super) objects: BTreeMap<String, (String, String, String)>,
    /// Texts of triggers, by table, lower case.
    pub(super) triggers: Vec<(String, String)>,
}

/// A stored table.
#[derive(Debug)]
pub(super) struct Table {
    /// As the schema spells it.
    pub(super) name: String,
    pub(super) sql: String,
    without_rowid: bool,
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<Index>,
}

/// A column of a stored table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Position in the primary key, from 1.
    pub(super) key: i64,
    pub(super) integer: bool,
    pub(super) generated: bool,
    /// Whether a value is stored for it.
    pub(super) stored: bool,
    pub(super) default: Option<String>,
}

/// An index, the primary key's included.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) unique: bool,
    /// Whether it is the primary key's.
    is_key: bool,
    /// Lower case; `None` is an expression.
    pub(super) columns: Vec<Option<String>>,
    pub(super) partial: bool,
    pub(super) sql: String,
}

/// A foreign key, all lower case.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) child: String,
    pub(super) parent: String,
    pub(super) from: Vec<String>,
    /// Empty: the parent's primary key.
    pub(super) to: Vec<String>,
}

/// What the engine calls the rowid where no column is called so.
const ROWID: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Whether a lower-case name may mean the rowid, and so the column that is another name of it.
pub(super) fn names_rowid(name: &str) -> bool {
    ROWID.contains(&name)
}

impl Table {
    /// The column that is another name of the rowid.
    pub(super) fn rowid_alias(&self) -> Option<&Column> {
        let mut key = self.columns.iter().filter(|column| column.key > 0);
        // INTEGER PRIMARY KEY DESC is a key beside the rowid, and may be NULL in many rows
        // (<https://sqlite.org/lang_createtable.html>, "ROWIDs and the INTEGER PRIMARY KEY").
        let has_index = self.indexes.iter().any(|index| index.is_key);
        match (key.next(), key.next()) {
            (Some(only), None) if only.integer && !self.without_rowid && !has_index => Some(only),
            _ => None,
        }
    }

    /// What names a row, as SQL: the rowid, or the primary key.
    pub(super) fn key(&self) -> Vec<String> {
        if self.without_rowid {
            let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
            key.sort_by_key(|column| column.key);
            return key.into_iter().map(|column| quoted(&column.name)).collect();
        }
        if let Some(alias) = self.rowid_alias() {
            return vec![quoted(&alias.name)];
        }
        let free = ROWID.into_iter().find(|name| {
            let taken = |column: &Column| column.name.eq_ignore_ascii_case(name);
            !self.columns.iter().any(taken)
        });
        free.map(str::to_owned).into_iter().collect()
    }

    /// Columns with a value of their own, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.stored)
    }

    pub(super) fn column(&self, lower: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(lower))
    }
}

impl Foreign {
    /// The parent's columns, lower case.
    pub(super) fn parent_columns(&self, anatomy: &Anatomy) -> Vec<String> {
        if !self.to.is_empty() {
            return self.to.clone();
        }
        let parent = anatomy.tables.get(&self.parent);
        let columns = parent.map(|parent| parent.columns.as_slice()).unwrap_or_default();
        let key = columns.iter().filter(|column| column.key > 0);
        key.map(|column| column.name.to_ascii_lowercase()).collect()
    }
}

impl Anatomy {
    /// Reads the schema `schema` of a connection.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn read(conn: &Connection, schema: &str) -> rusqlite::Result<Self> {
        let mut anatomy = Self::default();
        let from = quoted(schema);
        let mut statement = conn.prepare(&format!(
            "SELECT type, name, tbl_name, coalesce(rootpage, 0), coalesce(sql, '') FROM {from}.sqlite_schema"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (root, sql): (i64, String) = (row.get(3)?, row.get(4)?);
            let (lower, owner) = (name.to_ascii_lowercase(), table.to_ascii_lowercase());
            if root > 0 {
                anatomy.roots.insert(root, owner.clone());
            }
            match kind.as_str() {
                "table" => {
                    let table = table_of(conn, &from, &name, root, &sql)?;
                    anatomy.tables.insert(lower, table);
                }
                "trigger" => {
                    anatomy.code.insert(lower);
                    anatomy.triggers.push((owner, sql.clone()));
                }
                "view" => {
                    anatomy.code.insert(lower.clone());
                    anatomy.views.insert(lower);
                }
                _ => {}
            }
            if !name.starts_with("sqlite_") {
                anatomy.objects.insert(name, (kind, table, sql));
            }
        }
        let names: Vec<(String, String)> = anatomy
            .tables
            .iter()
            .map(|(lower, table)| (lower.clone(), table.name.clone()))
            .collect();
        for (lower, name) in names {
            anatomy.read_foreign(conn, &from, &lower, &name)?;
        }
        Ok(anatomy)
    }

    fn read_foreign(
        &mut self,
        conn: &Connection,
        from: &str,
        lower: &str,
        name: &str,
    ) -> rusqlite::Result<()> {
        let mut found: BTreeMap<i64, Foreign> = BTreeMap::new();
        let mut statement = conn.prepare(&format!("PRAGMA {from}.foreign_key_list({})", quoted(name)))?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let parent: String = row.get("table")?;
            let key = found.entry(row.get("id")?).or_insert_with(|| Foreign {
                child: lower.to_owned(),
                parent: parent.to_ascii_lowercase(),
                from: Vec::new(),
                to: Vec::new(),
            });
            key.from.push(row.get::<_, String>("from")?.to_ascii_lowercase());
            if let Some(to) = row.get::<_, Option<String>>("to")? {
                key.to.push(to.to_ascii_lowercase());
            }
        }
        self.foreign.extend(found.into_values());
        Ok(())
    }

    /// Tables that are one side of a foreign key.
    pub(super) fn related(&self) -> BTreeSet<String> {
        let sides = self
            .foreign
            .iter()
            .flat_map(|key| [key.child.clone(), key.parent.clone()]);
        sides.collect()
    }

    /// `table` and every table a deletion in it may reach through foreign keys and triggers' tables.
    pub(super) fn below(&self, table: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::from([table.to_owned()]);
        loop {
            let more: Vec<String> = self
                .foreign
                .iter()
                .filter(|key| reached.contains(&key.parent) && !reached.contains(&key.child))
                .map(|key| key.child.clone())
                .collect();
            if more.is_empty() {
                return reached;
            }
            reached.extend(more);
        }
    }
}

fn table_of(conn: &Connection, from: &str, name: &str, root: i64, sql: &str) -> rusqlite::Result<Table> {
    let mut columns = Vec::new();
    if root > 0 {
        let mut statement = conn.prepare(&format!("PRAGMA {from}.table_xinfo({})", quoted(name)))?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let hidden: i64 = row.get("hidden")?;
            let declared: String = row.get("type")?;
            columns.push(Column {
                name: row.get("name")?,
                key: row.get("pk")?,
                integer: declared.eq_ignore_ascii_case("integer"),
                generated: hidden >= 2,
                stored: hidden != 2,
                default: row.get("dflt_value")?,
            });
        }
    }
    let without_rowid = root > 0 && {
        let list = "SELECT wr FROM pragma_table_list(?1) WHERE schema = ?2";
        let mut statement = conn.prepare(list)?;
        let schema = from.trim_matches('"');
        statement.query_row([name, schema], |row| row.get(0))?
    };
    Ok(Table {
        name: name.to_owned(),
        sql: sql.to_owned(),
        without_rowid,
        indexes: if root > 0 {
            indexes(conn, from, name)?
        } else {
            Vec::new()
        },
        columns,
    })
}

fn indexes(conn: &Connection, from: &str, table: &str) -> rusqlite::Result<Vec<Index>> {
    let mut found = Vec::new();
    let mut list = conn.prepare(&format!("PRAGMA {from}.index_list({})", quoted(table)))?;
    let mut rows = list.raw_query();
    while let Some(row) = rows.next()? {
        let name: String = row.get("name")?;
        let mut columns = Vec::new();
        let mut info = conn.prepare(&format!("PRAGMA {from}.index_info({})", quoted(&name)))?;
        let mut parts = info.raw_query();
        while let Some(part) = parts.next()? {
            let column: Option<String> = part.get("name")?;
            columns.push(column.map(|column| column.to_ascii_lowercase()));
        }
        let text =
            format!("SELECT coalesce(sql, '') FROM {from}.sqlite_schema WHERE type = 'index' AND name = ?1");
        let sql = conn
            .query_row(&text, [&name], |row| row.get(0))
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(String::new()), // a key that is its table
                error => Err(error),
            })?;
        found.push(Index {
            unique: row.get("unique")?,
            is_key: row.get::<_, String>("origin")? == "pk",
            columns,
            partial: row.get("partial")?,
            sql,
        });
    }
    Ok(found)
}
