//! What is there before the masking views are made: nothing of somebody else's is written over, and the account that
//! they belong to must be one that nobody can use.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlConnection;

use super::catalog::Relation;
use super::link::{is_mariadb, literal, numbers, quoted};
use super::probe::{self, CATALOGUE, LEDGER, PLAN, RESERVED, text};
use super::tokens::{self, DEFINER, FUNCTION, OWNER};
use super::{Spec, refusals};
use crate::call::Refusal;

/// The oldest MariaDB with `RANDOM_BYTES`.
const RANDOM_BYTES: (u32, u32) = (10, 10);

/// What was found in the database of the views.
#[derive(Debug, Default)]
pub(super) struct There {
    /// Views that are ours, by their names.
    pub(super) views: Vec<String>,
    /// The body of the function that makes tokens, and whose it is.
    pub(super) function: Option<(String, String)>,
    /// Whether the server is MySQL itself.
    pub(super) mysql: bool,
}

/// Looks at what is there.
///
/// # Errors
/// `target_failed` when the administrator is not let in or may not look; `Ok(Err(…))`, for the operator, when something
/// there is not ours.
pub(super) async fn there(
    conn: &mut MySqlConnection,
    spec: &Spec,
    relations: &BTreeMap<String, Relation>,
) -> Result<Result<There, String>, Refusal> {
    if let Err(problem) = definer(conn).await? {
        return Ok(Err(problem));
    }
    let question = "SELECT t.TABLE_NAME, t.TABLE_TYPE, COALESCE(v.DEFINER, '') FROM information_schema.TABLES AS t \
        LEFT JOIN information_schema.VIEWS AS v ON v.TABLE_SCHEMA = t.TABLE_SCHEMA AND v.TABLE_NAME = t.TABLE_NAME \
        WHERE t.TABLE_SCHEMA = ?";
    let found = ask(conn, question, &[&spec.views]).await?;
    let planned = match found.iter().any(|row| text(row, 0) == PLAN) {
        true => planned(conn, spec).await?,
        false => BTreeSet::new(),
    };
    let mut views = Vec::new();
    for row in &found {
        let (name, is_view, owner) = (text(row, 0), text(row, 1) == "VIEW", text(row, 2));
        let ours = match name.as_str() {
            PLAN | LEDGER => !is_view,
            // Somebody may have put another in the place of one that the plan has.
            _ => is_view && (owner == OWNER || planned.contains(&name)),
        };
        let reserved = RESERVED.contains(&name.as_str());
        if !ours && (reserved || relations.contains_key(&name)) {
            return Ok(Err(format!(
                "{}.{name} is there and is somebody else's: drop it, or name another database in views",
                spec.views
            )));
        }
        if is_view && owner == OWNER {
            views.push(name);
        }
    }
    let function = function(conn, spec, FUNCTION).await?;
    let version = ask(conn, "SELECT VERSION()", &[]).await?;
    let version = version.first().map(|row| text(row, 0)).unwrap_or_default();
    let mysql = !is_mariadb(&version);
    if tokens::wanted(spec) && !mysql && numbers(&version) < RANDOM_BYTES {
        return Ok(Err(
            "tokens need MariaDB 10.10 or later, which can make their key; give the classes another mask"
                .to_owned(),
        ));
    }
    let catalogue = self::function(conn, spec, CATALOGUE).await?;
    if mysql && catalogue.is_some_and(|(_, other)| other != OWNER) {
        return Ok(Err(format!(
            "{}.{CATALOGUE} is somebody else's function: drop it, or name another database in views",
            spec.views
        )));
    }
    Ok(Ok(There {
        views,
        function,
        mysql,
    }))
}

/// The body of a function in the database of the views, and whose it is.
async fn function(
    conn: &mut MySqlConnection,
    spec: &Spec,
    name: &str,
) -> Result<Option<(String, String)>, Refusal> {
    let question = "SELECT ROUTINE_DEFINITION, DEFINER FROM information_schema.ROUTINES \
        WHERE ROUTINE_SCHEMA = ? AND ROUTINE_NAME = ? AND ROUTINE_TYPE = 'FUNCTION'";
    let found = ask(conn, question, &[&spec.views, name]).await?;
    Ok(found.first().map(|row| (text(row, 0), text(row, 1))))
}

/// The names in the plan of an earlier run; none where it cannot be read as ours.
async fn planned(conn: &mut MySqlConnection, spec: &Spec) -> Result<BTreeSet<String>, Refusal> {
    let question = format!("SELECT relation FROM {}.{PLAN}", quoted(&spec.views));
    match probe::texts(conn, question, &[]).await {
        Ok(rows) => Ok(rows.iter().map(|row| text(row, 0)).collect()),
        Err(sqlx::Error::Database(_)) => Ok(BTreeSet::new()),
        Err(error) => Err(refusals::away(&error)),
    }
}

/// Whether the account that the views belong to is as this made it, if it is there: locked, without a role or a stand-in,
/// and with no rights but to read.
async fn definer(conn: &mut MySqlConnection) -> Result<Result<(), String>, Refusal> {
    let (name, host) = OWNER.split_once('@').unwrap_or_default();
    let known = "SELECT 1 FROM mysql.user WHERE User = ? AND Host = ?";
    if ask(conn, known, &[name, host]).await?.is_empty() {
        return Ok(Ok(()));
    }
    let wrong = |what: String| {
        Ok(Err(format!(
            "the account {DEFINER}, which the views belong to, {what}; mend it, or drop it and all that belongs to it"
        )))
    };
    let made = ask(conn, &format!("SHOW CREATE USER {DEFINER}"), &[]).await?;
    let locked = |row: &probe::Texts| text(row, 0).contains(" ACCOUNT LOCK");
    if !made.iter().any(locked) {
        return wrong("is not locked".to_owned());
    }
    let stand_ins = "SELECT 1 FROM mysql.proxies_priv WHERE Proxied_user = ?";
    if !ask(conn, stand_ins, &[name]).await?.is_empty() {
        return wrong("can be stood in for by another (PROXY)".to_owned());
    }
    let grants = ask(conn, &format!("SHOW GRANTS FOR {DEFINER}"), &[]).await?;
    let excess = grants.iter().map(|row| text(row, 0)).find(|line| !reads(line));
    match excess {
        None => Ok(Ok(())),
        Some(line) => wrong(format!("has more than it needs: {}", shown(&line))),
    }
}

/// Whether a line of rights is one that the views of some resource need.
fn reads(line: &str) -> bool {
    let plain = line
        .strip_prefix("GRANT ")
        .and_then(|line| line.split_once(" ON "));
    let Some((rights, rest)) = plain else {
        return false; // a role
    };
    let (object, whom) = rest.split_once(" TO ").unwrap_or((rest, ""));
    let system = ["`mysql`.", "`sys`.", "`performance_schema`.", "`%"];
    let only = |known: &[&str]| rights.split(", ").all(|right| known.contains(&right));
    !whom.contains("GRANT OPTION")
        && match object {
            // Of a locked account: what its views see of others' statements and of triggers.
            "*.*" => only(&["USAGE", "PROCESS"]),
            // Views of the database's own may call functions, and read other databases.
            object if object.starts_with("FUNCTION ") => only(&["EXECUTE"]),
            object => {
                let system = system.iter().any(|own| object.starts_with(own));
                only(&["SELECT", "SHOW VIEW", "TRIGGER"]) && object.starts_with('`') && !system
            }
        }
}

/// The rights and what they are on: what follows may have a digest of a password.
fn shown(line: &str) -> String {
    let line = line.split(" TO ").next().unwrap_or_default();
    line.chars().take(200).flat_map(char::escape_debug).collect()
}

async fn ask(
    conn: &mut MySqlConnection,
    question: &str,
    bound: &[&str],
) -> Result<Vec<probe::Texts>, Refusal> {
    let rows = probe::texts(conn, question.to_owned(), bound).await;
    rows.map_err(|error| refusals::away(&error))
}

/// A statement as it can be shown and run again: one with a name that would not be seen as it is, by way of a text in
/// hexadecimal, with the name beside it in escapes.
pub(super) fn legible(statement: &str, names: &[&str]) -> String {
    if !names.iter().any(|name| name.contains(crate::call::is_unseen)) {
        return format!("{statement};\n");
    }
    let named: Vec<String> = names
        .iter()
        .map(|name| name.escape_default().to_string())
        .collect();
    let digits = crate::call::hex(statement.as_bytes());
    format!(
        "-- Of {}:\nSET @tollgate = CONVERT(X'{digits}' USING utf8mb4);\nPREPARE tollgate FROM @tollgate;\n\
         EXECUTE tollgate;\nDEALLOCATE PREPARE tollgate;\n",
        named.join(", ")
    )
}

/// For the comparison of names with those of accounts.
pub(super) fn account(name: &str, host: &str) -> String {
    format!("{}@{}", literal(name), literal(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_the_views_reads_and_nothing_else() {
        for (line, fits) in [
            ("GRANT USAGE ON *.* TO `tollgate_views`@`localhost`", true),
            ("GRANT SELECT ON `shop`.* TO `tollgate_views`@`localhost`", true),
            ("GRANT SELECT, TRIGGER ON `shop`.* TO `t`@`localhost`", true),
            ("GRANT SELECT, SHOW VIEW ON `shop`.* TO `t`@`localhost`", true),
            ("GRANT SUPER ON *.* TO `t`@`localhost`", false),
            (
                "GRANT SELECT ON `shop_tollgate_key`.`tollgate_key` TO `tollgate_views`@`localhost`",
                true,
            ),
            (
                "GRANT EXECUTE ON FUNCTION `s`.`tollgate_token` TO `tollgate_views`@`localhost`",
                true,
            ),
            (
                "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `s`.`tollgate_token` TO `t`@`localhost`",
                false,
            ),
            (
                "GRANT EXECUTE ON PROCEDURE `s`.`tollgate_token` TO `t`@`localhost`",
                false,
            ),
            ("GRANT SELECT, INSERT ON `shop`.* TO `t`@`localhost`", false),
            ("GRANT SELECT ON *.* TO `t`@`localhost`", false),
            ("GRANT SELECT ON `mysql`.* TO `t`@`localhost`", false),
            ("GRANT SELECT ON `%`.* TO `t`@`localhost`", false),
            (
                "GRANT SELECT ON `shop`.* TO `t`@`localhost` WITH GRANT OPTION",
                false,
            ),
            ("GRANT SELECT ON `shop`.`customers` TO `t`@`localhost`", true),
            ("GRANT `boss` TO `t`@`localhost`", false),
            ("", false),
        ] {
            assert_eq!(reads(line), fits, "{line}");
        }
        let line = ["GRANT USAGE ON *.* TO `t` IDENTIFIED BY PASSWORD ", "'*D8'"].concat();
        assert!(!shown(&line).contains("*D8"));
    }

    #[test]
    fn a_name_that_would_steer_a_terminal_is_shown_in_escapes_and_run_as_it_is() {
        assert_eq!(legible("SELECT 1", &["a`b"]), "SELECT 1;\n");
        for name in ["a\nb", "\u{1b}[2J", "\u{202e}x", "z\u{200b}w"] {
            let said = legible(&format!("DROP VIEW {}", quoted(name)), &[name]);
            assert!(
                said.chars().all(|c| c == '\n' || (' '..='~').contains(&c)),
                "{said}"
            );
            assert!(said.contains("PREPARE tollgate"), "{said}");
        }
    }
}
