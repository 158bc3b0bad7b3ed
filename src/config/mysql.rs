//! `kind = "mysql"`: MySQL and MariaDB.

use std::collections::BTreeMap;

use super::Mysql;
use super::check::Check;
use super::guard::Role;
use super::postgres;
use super::raw::{self, Text};
use super::resources::{columns, columns_default, foreign, not_shell};

/// Databases of the server's own, which are nobody's resource.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A database of a MySQL or MariaDB server.
pub(super) fn resource(
    raw: &raw::Resource,
    classes: &BTreeMap<Text, Text>,
    check: &mut Check<'_>,
) -> Option<Mysql> {
    foreign(raw.path.as_ref(), "path", "mysql", check);
    foreign(raw.refs.as_ref(), "refs", "mysql", check);
    foreign(raw.hidden.as_ref(), "hidden", "mysql", check);
    foreign(raw.schemas.as_ref(), "schemas", "mysql", check);
    foreign(raw.functions.as_ref(), "functions", "mysql", check);
    not_shell(raw, "mysql", check);
    if !cfg!(feature = "mysql") {
        check.problem(
            raw.kind.span(),
            "this build of Tollgate has no MySQL",
            "use a release, or build it with --features mysql",
        );
        return None;
    }
    let password = raw
        .password
        .as_ref()
        .map(|password| check.secret(password, "password"));
    let ca = raw.ca.as_ref().map(|ca| check.file(ca, Role::Metadata));
    if let Some(session) = &raw.session {
        self::session(session, check);
    }
    let url = postgres::url(raw, &["mysql", "mariadb"], check)?;
    let database = url.path().trim_start_matches('/').to_owned();
    if SYSTEM.contains(&database.to_ascii_lowercase().as_str()) {
        let span = raw.url.as_ref().map_or(0..0, Text::span);
        check.problem(
            span,
            format!("`{}` is the server's own", database.escape_debug()),
            "name the database with the organisation's own tables",
        );
    }
    Some(Mysql {
        views: views(raw, &database, check),
        url,
        password: match password {
            Some(password) => Some(password?),
            None => None,
        },
        ca: match ca {
            Some(ca) => Some(ca?),
            None => None,
        },
        columns: columns(raw, classes, check),
        columns_default: columns_default(raw, check),
        session: raw.session.as_ref().map(|session| session.get_ref().clone()),
        privileged: raw
            .privileged
            .as_ref()
            .is_some_and(|privileged| *privileged.get_ref()),
    })
}

/// The database with the masking views: a plain name, and not the one with the tables.
fn views(raw: &raw::Resource, database: &str, check: &mut Check<'_>) -> String {
    let Some(written) = &raw.views else {
        return format!("{database}_tollgate");
    };
    let name = written.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let own = SYSTEM.contains(&name.to_ascii_lowercase().as_str());
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || own {
        check.problem(
            written.span(),
            format!("`{}` cannot be the database of the views", name.escape_debug()),
            "write a name of letters, digits and _, as in views = \"shop_tollgate\"",
        );
    } else if name.eq_ignore_ascii_case(database) {
        check.problem(
            written.span(),
            "the views cannot be where the tables are",
            "name a database of its own, which `tollgate db views` fills",
        );
    }
    name.clone()
}

/// A user variable: a plain name, which statements of agents can never name.
fn session(raw: &Text, check: &mut Check<'_>) {
    let name = raw.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        check.problem(
            raw.span(),
            format!("`{}` cannot be a user variable", name.escape_debug()),
            "write a lower-case name, as in session = \"app_user\" for @app_user",
        );
    }
}
