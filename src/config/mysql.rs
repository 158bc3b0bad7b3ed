//! `kind = "mysql"`: MySQL and MariaDB.

use std::collections::BTreeMap;

use url::Url;

use super::check::Check;
use super::guard::Role;
use super::postgres;
use super::raw::{self, Text};
use super::resources::{columns, columns_default, foreign, not_shell};
use super::{Kind, Mysql, Resource};
use crate::resource::sql::ColumnsDefault;

/// Databases of the server's own, which are nobody's resource.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A database of a MySQL or MariaDB server.
pub(super) fn resource(
    raw: &raw::Resource,
    classes: &BTreeMap<Text, Text>,
    check: &mut Check<'_>,
) -> Option<Mysql> {
    of_others(raw, check);
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
    let write_password = raw
        .write_password
        .as_ref()
        .map(|password| check.secret(password, "write_password"));
    let url = postgres::url(raw, &["mysql", "mariadb"], check)?;
    let database = url.path().trim_start_matches('/').to_owned();
    not_the_servers(raw, &database, check);
    Some(Mysql {
        views: views(raw, &database, check),
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
        write: writer(raw, &url, check),
        url,
        write_password: match write_password {
            Some(password) => Some(password?),
            None => None,
        },
    })
}

/// Keys of other kinds.
fn of_others(raw: &raw::Resource, check: &mut Check<'_>) {
    foreign(raw.path.as_ref(), "path", "mysql", check);
    foreign(raw.refs.as_ref(), "refs", "mysql", check);
    foreign(raw.hidden.as_ref(), "hidden", "mysql", check);
    foreign(raw.schemas.as_ref(), "schemas", "mysql", check);
    foreign(raw.functions.as_ref(), "functions", "mysql", check);
    foreign(raw.ddl.as_ref(), "ddl", "mysql", check);
    foreign(raw.ddl_password.as_ref(), "ddl_password", "mysql", check);
    not_shell(raw, "mysql", check);
}

/// The database is the organisation's.
fn not_the_servers(raw: &raw::Resource, database: &str, check: &mut Check<'_>) {
    if SYSTEM.contains(&database.to_ascii_lowercase().as_str()) {
        let span = raw.url.as_ref().map_or(0..0, Text::span);
        check.problem(
            span,
            format!("`{}` is the server's own", database.escape_debug()),
            "name the database with the organisation's own tables",
        );
    }
}

/// The account that makes changes: another than the one that reads, which must not be able to.
fn writer(raw: &raw::Resource, url: &Url, check: &mut Check<'_>) -> Option<String> {
    let Some(written) = &raw.write else {
        if let Some(password) = &raw.write_password {
            check.problem(
                password.span(),
                "write_password is the password of nobody",
                "name the account that makes changes, as in write = \"tollgate_write\"",
            );
        }
        return None;
    };
    let name = written.get_ref();
    let mut own = url.clone();
    let reads = own.set_username(name).is_err() || own.username() == url.username();
    if name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control) || reads {
        check.problem(
            written.span(),
            format!("`{}` cannot be the account that makes changes", name.escape_debug()),
            "name an account of its own, as in write = \"tollgate_write\"; `tollgate db grants NAME --write TABLES` prints \
             its rights",
        );
    }
    Some(name.clone())
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

/// Refuses two resources of one server whose masking views would be in one place and not be the same: each `tollgate db
/// views` would undo the other's. Nor may the views of one be where the key of another's tokens is.
pub(super) fn apart(raw: &[raw::Resource], resources: &[Resource], check: &mut Check<'_>) {
    let mut before: Vec<(&str, &Mysql)> = Vec::new();
    for resource in resources {
        let Kind::Mysql(mysql) = &resource.kind else {
            continue;
        };
        if !behind_views(mysql) {
            continue;
        }
        let clash = before
            .iter()
            .find(|(_, other)| server(other) == server(mysql) && clash(other, mysql));
        if let (Some((other, _)), Some(raw)) =
            (clash, raw.iter().find(|raw| *raw.name.get_ref() == resource.name))
        {
            let span = raw.views.as_ref().map_or_else(|| raw.name.span(), Text::span);
            check.problem(
                span,
                format!(
                    "`{}` and `{other}` would have different masking views in one place ({})",
                    resource.name, mysql.views
                ),
                format!(
                    "give it a database of its own, as in views = \"{}_views\"",
                    resource.name.replace('-', "_")
                ),
            );
        }
        before.push((&resource.name, mysql));
    }
}

fn behind_views(mysql: &Mysql) -> bool {
    mysql.columns_default == ColumnsDefault::Mask || mysql.columns.values().any(|class| class != "public")
}

fn server(mysql: &Mysql) -> (Option<&str>, u16) {
    (mysql.url.host_str(), mysql.url.port().unwrap_or(3306))
}

fn clash(one: &Mysql, other: &Mysql) -> bool {
    let same = one.url.path() == other.url.path()
        && one.columns == other.columns
        && one.columns_default == other.columns_default;
    let place = |mysql: &Mysql| mysql.views.to_lowercase();
    let key = |mysql: &Mysql| format!("{}_key", place(mysql));
    place(one) == place(other) && !same || place(one) == key(other) || key(one) == place(other)
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
