//! The masking views: what an administrator runs once, and again whenever tables or classes change. They belong to an
//! account of their own that nobody can sign in as and that can read the tables; the account of the resource can read
//! the views alone. The plan they were made by is put beside them, so that a call can tell whether they are right.

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;

use super::catalog::Relation;
use super::link::{literal, quoted};
use super::ours::{self, There, account, legible};
use super::probe::{self, CATALOGUE, GROUND, KINDS, MADE, MAKER, MARK, NOW, PLAN, RESERVED};
use super::tables::{self, text};
use super::tokens::{self, DEFINER};
use super::{Database, Spec, masks, reach, refusals};
use crate::call::{Code, Refusal};
use crate::resource::sql::address::decoded;
use crate::secret::Secret;

/// Whoever may make databases, views and accounts on the server. Never the account of the resource.
#[derive(Debug)]
pub struct Administrator {
    /// The account's name.
    pub name: String,
    /// Its password, if it has one.
    pub password: Option<Secret>,
}

/// The statements that make the views, in order. Nothing of them is a value of a row.
#[derive(Debug)]
pub struct Views {
    /// Each without a semicolon, and the names of the database's own in it.
    statements: Vec<(String, Vec<String>)>,
}

impl Views {
    /// A script for the server's own client.
    #[must_use]
    pub fn script(&self) -> String {
        let mut text =
            String::from("-- As an administrator. It can be run again: it changes nothing that is right.\n");
        for (statement, names) in &self.statements {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            text += &legible(statement, &names);
        }
        text
    }
}

impl Database {
    /// What has to be run so that the masking views are what the configuration asks for, as the tables are now.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server; for what cannot be, with words for the operator.
    pub async fn views(&self, administrator: &Administrator) -> Result<Views, Refusal> {
        let mut conn = self.administered(administrator).await?;
        views(&mut conn, &self.spec).await
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`Self::views`]; the number of the statement that failed and the server's number of the error.
    pub async fn make_views(&self, administrator: &Administrator) -> Result<Views, Refusal> {
        let mut conn = self.administered(administrator).await?;
        let made = views(&mut conn, &self.spec).await?;
        for (at, (statement, _)) in made.statements.iter().enumerate() {
            let run = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()));
            if let Err(error) = run.execute(&mut conn).await {
                let why = refusals::away(&error).detail.unwrap_or_default();
                let first = statement.lines().next().unwrap_or_default();
                let first: String = first.chars().flat_map(char::escape_debug).collect();
                return Err(unmakeable(format!(
                    "statement {} of {} failed ({why}): {first}",
                    at + 1,
                    made.statements.len()
                )));
            }
        }
        Ok(made)
    }

    /// A connection of theirs.
    ///
    /// # Errors
    /// `target_failed` when there is no way to the server.
    pub(super) async fn administered(
        &self,
        administrator: &Administrator,
    ) -> Result<MySqlConnection, Refusal> {
        let password = administrator
            .password
            .as_ref()
            .map_or("", |secret| secret.expose());
        self.pool.administrator(&administrator.name, password).await
    }
}

fn unmakeable(why: impl Into<String>) -> Refusal {
    Refusal::new(Code::TargetFailed, "The masking views cannot be made.", "").detail(why)
}

async fn views(conn: &mut MySqlConnection, spec: &Spec) -> Result<Views, Refusal> {
    if !spec.behind_views() {
        return Err(unmakeable(
            "nothing of this resource is classified, so it needs none",
        ));
    }
    let mut relations = tables::read(conn, &spec.database()).await?;
    let reserved = |name: &&String| RESERVED.contains(&name.to_lowercase().as_str());
    if let Some(name) = relations.keys().find(reserved) {
        return Err(unmakeable(format!(
            "the database has a table {name}, a name that Tollgate needs"
        )));
    }
    if relations.is_empty() {
        let why = format!(
            "{} has no tables, or the administrator may not see them",
            spec.database()
        );
        return Err(unmakeable(why));
    }
    let folded = tables::folded(conn).await?;
    tables::classify(spec, folded, &mut relations).map_err(unmakeable)?;
    reach::learn(conn, spec, &mut relations).await?;
    tables::indexes(conn, &spec.database(), &mut relations).await?;
    let there = ours::there(conn, spec, &relations).await?;
    let there = there.map_err(unmakeable)?;
    let question = "SELECT Host FROM mysql.user WHERE User = ? ORDER BY Host";
    let name = decoded(spec.url.username());
    let hosts = ask(conn, question.to_owned(), &[&name]).await?;
    let accounts: Vec<String> = hosts.iter().map(|host| account(&name, host)).collect();
    Ok(Views {
        statements: statements(spec, &relations, &there, &accounts)?,
    })
}

async fn ask(conn: &mut MySqlConnection, question: String, bound: &[&str]) -> Result<Vec<String>, Refusal> {
    let rows = probe::texts(conn, question, bound).await;
    let rows = rows.map_err(|error| refusals::away(&error))?;
    Ok(rows.iter().map(|row| text(row, 0)).collect())
}

/// A statement with no name of the database's own, beside those of the resource.
fn plain(statement: String) -> (String, Vec<String>) {
    (statement, Vec::new())
}

fn statements(
    spec: &Spec,
    relations: &BTreeMap<String, Relation>,
    there: &There,
    accounts: &[String],
) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let place = quoted(&spec.views);
    let mut all: Vec<(String, Vec<String>)> = prepared(spec).into_iter().map(plain).collect();
    if tokens::wanted(spec) {
        let made = tokens::statements(spec, there.function.as_ref()).map_err(unmakeable)?;
        all.extend(made.into_iter().map(plain));
    }
    let wanted = looked(spec);
    let mut stays: Vec<&str> = wanted.iter().map(|one| one.name).collect();
    stays.push(GROUND);
    if tokens::wanted(spec) {
        stays.push(MARK);
    }
    for name in &there.views {
        if !relations.contains_key(name) && !stays.contains(&name.as_str()) {
            let drop = format!("DROP VIEW IF EXISTS {place}.{}", quoted(name));
            all.push((drop, vec![name.clone()]));
        }
    }
    let names: Vec<String> = relations.keys().map(|name| literal(name)).collect();
    let keep = format!(
        "DELETE FROM {place}.{PLAN} WHERE relation NOT IN ({})",
        names.join(", ")
    );
    all.push((keep, relations.keys().cloned().collect()));
    for relation in relations.values() {
        let columns = relation.columns.iter();
        let names = columns.flat_map(|column| [column.name.clone(), column.declared_type.clone()]);
        let names: Vec<String> = names.chain([relation.name.clone()]).collect();
        all.push((view(spec, relation), names.clone()));
        all.push((planned(spec, relation)?, names));
    }
    all.extend(shown(spec, &wanted, there.mysql).into_iter().map(plain));
    for account in accounts {
        let views = pattern(&spec.views);
        all.push(plain(format!(
            "GRANT SELECT, SHOW VIEW ON {views}.* TO {account}"
        )));
        if tokens::wanted(spec) {
            all.push(plain(tokens::grant(spec, account)));
        }
    }
    let ours = there
        .function
        .as_ref()
        .filter(|(_, owner)| owner == tokens::OWNER);
    if !tokens::wanted(spec) && ours.is_some() {
        all.push(plain(tokens::unmade(spec))); // no view calls it any more
    }
    Ok(all)
}

/// What stands before all views.
fn prepared(spec: &Spec) -> Vec<String> {
    let place = quoted(&spec.views);
    vec![
        "SET NAMES utf8mb4".to_owned(),
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
            .to_owned(),
        canary("縗"),
        canary("縡"),
        format!("CREATE DATABASE IF NOT EXISTS {place} CHARACTER SET utf8mb4"),
        format!("CREATE USER IF NOT EXISTS {DEFINER} ACCOUNT LOCK"),
        format!(
            "GRANT SELECT, SHOW VIEW ON {}.* TO {DEFINER}",
            pattern(&spec.database())
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {place}.{PLAN} (relation VARCHAR(64) NOT NULL PRIMARY KEY, plan LONGTEXT NOT NULL, \
             made CHAR(64) NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
    ]
}

/// Fails in a client whose own character set takes the end of such a name for a half of a letter (GBK, Shift JIS, Big5).
/// Such a client would take a part of some later name for commands of its own, some of which run programs.
fn canary(name: &str) -> String {
    format!("DO (SELECT 1 FROM (SELECT 1 AS `{name}`, 2 AS `;`) AS utf8)")
}

/// A database in a grant, where `_` and `%` stand for others unless they are escaped.
pub(super) fn pattern(database: &str) -> String {
    quoted(
        &database
            .replace('\\', "\\\\")
            .replace('_', "\\_")
            .replace('%', "\\%"),
    )
}

fn view(spec: &Spec, relation: &Relation) -> String {
    let column = |column| {
        let shown = masks::expression("t", column);
        format!("{shown} AS {}", quoted(&column.name))
    };
    let columns: Vec<String> = relation.columns.iter().map(column).collect();
    let key = match tokens::has(relation) {
        true => tokens::join(spec),
        false => String::new(),
    };
    let classified = relation.columns.iter().any(|column| column.class.is_some());
    // A view has no indexes of its own.
    let hint = match classified && !relation.view {
        true => {
            let names: Vec<String> = relation.indexes.iter().map(|name| quoted(name)).collect();
            format!(" USE INDEX ({})", names.join(", "))
        }
        false => String::new(),
    };
    format!(
        "CREATE OR REPLACE ALGORITHM = MERGE DEFINER = {DEFINER} SQL SECURITY DEFINER VIEW {}.{} AS\n  SELECT {}\n  FROM {}.{} AS t{hint}{key}",
        quoted(&spec.views),
        quoted(&relation.name),
        columns.join(",\n    "),
        quoted(&spec.database()),
        quoted(&relation.name)
    )
}

/// The plan's line for a view, with a digest of what the server made of it.
fn planned(spec: &Spec, relation: &Relation) -> Result<String, Refusal> {
    let plan = serde_json::to_string(relation);
    let plan = plan.map_err(|error| Refusal::internal(format!("mysql plan: {error}")))?;
    Ok(format!(
        "REPLACE INTO {}.{PLAN} (relation, plan, made) SELECT {name}, {},\n  \
         SHA2(CONCAT_WS('\\n', VIEW_DEFINITION, SECURITY_TYPE, DEFINER), 256)\n  \
         FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {name}",
        quoted(&spec.views),
        literal(&plan),
        literal(&spec.views),
        name = literal(&relation.name),
    ))
}

/// A view that calls look at.
struct Looked {
    name: &'static str,
    /// Its columns and their types.
    columns: &'static [(&'static str, &'static str)],
    /// What it shows of the server's own descriptions.
    shows: String,
}

/// The views that calls look at: what columns there are, how views are made, and what makes tokens, as the account of the
/// masking views sees it. Each is of one kind of thing: what is put together (UNION) the server writes down first, whatever
/// is asked of it.
fn looked(spec: &Spec) -> Vec<Looked> {
    const TABLE: (&str, &str) = ("table_name", "VARCHAR(64)");
    let database = literal(&spec.database());
    let columns = format!(
        "SELECT TABLE_NAME AS table_name, ORDINAL_POSITION AS at, COLUMN_NAME AS column_name, COLUMN_TYPE AS column_type,\n    \
         CONCAT_WS('/', IS_NULLABLE, COLUMN_KEY, EXTRA) AS extra\n  \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {database}"
    );
    let views = format!(
        "SELECT TABLE_NAME AS table_name, {} AS digest\n  FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {database}",
        reach::DIGEST
    );
    let kinds = format!(
        "SELECT TABLE_NAME AS table_name, TABLE_TYPE AS kind, CREATE_TIME AS since\n  \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {database}"
    );
    let of = |name, columns, shows| Looked { name, columns, shows };
    let mut all = vec![
        of(
            NOW,
            &[
                TABLE,
                ("at", "BIGINT"),
                ("column_name", "VARCHAR(64)"),
                ("column_type", "LONGTEXT"),
                ("extra", "VARCHAR(1000)"),
            ],
            columns,
        ),
        of(MADE, &[TABLE, ("digest", "LONGTEXT")], views),
        of(
            KINDS,
            &[TABLE, ("kind", "VARCHAR(64)"), ("since", "DATETIME")],
            kinds,
        ),
    ];
    if tokens::wanted(spec) {
        all.push(of(MAKER, &[("made", "LONGTEXT")], tokens::maker(spec)));
    }
    all
}

/// What makes these views: on MySQL from what one function gives, which is asked for each by its name.
fn shown(spec: &Spec, looked: &[Looked], mysql: bool) -> Vec<String> {
    let view = |name: &str, shows: &str| {
        let place = probe::ours(spec, name);
        format!("CREATE OR REPLACE DEFINER = {DEFINER} SQL SECURITY DEFINER VIEW {place} AS\n  {shows}")
    };
    let function = probe::ours(spec, CATALOGUE);
    let mut all = match mysql {
        true => catalogue(&function, looked),
        false => Vec::new(),
    };
    all.extend(looked.iter().map(|one| match mysql {
        true => view(one.name, &listed(&function, one)),
        false => view(one.name, &one.shows),
    }));
    if tokens::wanted(spec) {
        all.push(view(MARK, &tokens::mark(spec)));
    }
    all
}

/// The function: a list of rows of what is asked for.
fn catalogue(function: &str, looked: &[Looked]) -> Vec<String> {
    let each = looked.iter().map(|one| {
        let names: Vec<&str> = one.columns.iter().map(|(name, _)| *name).collect();
        format!(
            "WHEN {} THEN (SELECT JSON_ARRAYAGG(JSON_ARRAY({})) FROM (\n  {}) AS seen)",
            literal(one.name),
            names.join(", "),
            one.shows
        )
    });
    let each: Vec<String> = each.collect();
    vec![
        format!("DROP FUNCTION IF EXISTS {function}"),
        format!(
            "CREATE DEFINER = {DEFINER} FUNCTION {function}(what VARCHAR(64)) RETURNS JSON\n  \
             NOT DETERMINISTIC READS SQL DATA SQL SECURITY DEFINER\n  RETURN CASE what {} END",
            each.join("\n  ")
        ),
        format!("GRANT EXECUTE ON FUNCTION {function} TO {DEFINER}"),
    ]
}

/// What reads such a list as a table.
fn listed(function: &str, one: &Looked) -> String {
    let names: Vec<&str> = one.columns.iter().map(|(name, _)| *name).collect();
    let columns = one.columns.iter().enumerate();
    let columns: Vec<String> = columns
        .map(|(at, (name, kind))| format!("{name} {kind} PATH '$[{at}]'"))
        .collect();
    format!(
        "SELECT {} FROM JSON_TABLE({function}({}), '$[*]' COLUMNS (\n    {})) AS seen",
        names.join(", "),
        literal(one.name),
        columns.join(", ")
    )
}
