//! The same work without Tollgate: the same database and the same repository, in this process, with
//! the answer as JSON text.

use anyhow::{Context, Result};
use git2::{ObjectType, Repository, TreeWalkMode, TreeWalkResult};
use memchr::memmem;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::{Value, json};

use crate::site::Site;

/// What stays open between calls.
pub(crate) struct Direct {
    shop: Connection,
    code: Repository,
}

impl Direct {
    pub(crate) fn open(site: &Site) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self {
            shop: Connection::open_with_flags(site.path("shop.db"), flags)?,
            code: Repository::open_bare(site.path("code.git"))?,
        })
    }

    /// The answer's size in bytes.
    pub(crate) fn run(&self, tool: &str, arguments: &Value) -> Result<usize> {
        let word = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
        let answer = match tool {
            "sql_query" => self.query(word("statement"))?,
            "sql_schema" => self.schema()?,
            "file_read" => self.read(word("path"))?,
            "file_list" => self.list(word("path"))?,
            "file_search" => self.search(word("pattern"), arguments.get("limit").and_then(Value::as_u64))?,
            other => anyhow::bail!("nothing to compare {other} with"),
        };
        Ok(answer.to_string().len())
    }

    fn query(&self, statement: &str) -> Result<Value> {
        let mut statement = self.shop.prepare_cached(statement)?;
        let width = statement.column_count();
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = statement.raw_query();
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let mut cells = Vec::with_capacity(width);
            for at in 0..width {
                cells.push(match row.get_ref(at)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Real(number) => number.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                    ValueRef::Blob(bytes) => bytes.len().into(),
                });
            }
            all.push(Value::Array(cells));
        }
        Ok(json!({"columns": columns, "rows": all}))
    }

    fn schema(&self) -> Result<Value> {
        self.query(
            "SELECT t.name, t.type, c.name, c.type, c.pk FROM pragma_table_list t, pragma_table_info(t.name) c \
             WHERE t.schema = 'main' ORDER BY t.name, c.cid",
        )
    }

    fn tree(&self) -> Result<git2::Tree<'_>> {
        Ok(self
            .code
            .find_reference("refs/heads/main")?
            .peel_to_commit()?
            .tree()?)
    }

    fn read(&self, path: &str) -> Result<Value> {
        let entry = self.tree()?.get_path(path.as_ref())?;
        let blob = self.code.find_blob(entry.id())?;
        Ok(json!({"blob": entry.id().to_string(), "text": String::from_utf8_lossy(blob.content())}))
    }

    fn list(&self, path: &str) -> Result<Value> {
        let tree = self.code.find_tree(self.tree()?.get_path(path.as_ref())?.id())?;
        let database = self.code.odb()?;
        let mut entries = Vec::new();
        for entry in &tree {
            let size = match entry.kind() {
                Some(ObjectType::Blob) => Some(database.read_header(entry.id())?.0),
                _ => None,
            };
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            entries.push(json!({"path": format!("{path}/{name}"), "size": size}));
        }
        Ok(json!({ "entries": entries }))
    }

    fn search(&self, pattern: &str, limit: Option<u64>) -> Result<Value> {
        let most = usize::try_from(limit.context("a limit")?)?;
        let finder = memmem::Finder::new(pattern);
        let mut matches = Vec::new();
        self.tree()?
            .walk(TreeWalkMode::PreOrder, |folder, entry| {
                if entry.kind() == Some(ObjectType::Blob)
                    && let Ok(blob) = self.code.find_blob(entry.id())
                {
                    for (number, line) in blob.content().split(|byte| *byte == b'\n').enumerate() {
                        if matches.len() < most && finder.find(line).is_some() {
                            let name = String::from_utf8_lossy(entry.name_bytes());
                            let text = String::from_utf8_lossy(line);
                            matches.push(
                                json!({"path": format!("{folder}{name}"), "line": number + 1, "text": text}),
                            );
                        }
                    }
                }
                if matches.len() < most {
                    TreeWalkResult::Ok
                } else {
                    TreeWalkResult::Abort
                }
            })
            .or_else(|error| {
                if error.code() == git2::ErrorCode::User {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
        Ok(json!({ "matches": matches }))
    }
}
