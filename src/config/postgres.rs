//! `kind = "postgres"`.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::check::Check;
use super::guard::Role;
use super::raw::{self, Text};
use super::resources::{columns, columns_default, foreign, not_shell, texts};
use super::{Postgres, names};

/// Tollgate's own schema: who may call what is in it may try guesses.
const OURS: &str = "tollgate";

/// A database of a PostgreSQL server.
pub(super) fn resource(
    raw: &raw::Resource,
    classes: &BTreeMap<Text, Text>,
    check: &mut Check<'_>,
) -> Option<Postgres> {
    foreign(raw.path.as_ref(), "path", "postgres", check);
    foreign(raw.refs.as_ref(), "refs", "postgres", check);
    foreign(raw.hidden.as_ref(), "hidden", "postgres", check);
    foreign(raw.views.as_ref(), "views", "postgres", check);
    foreign(raw.write.as_ref(), "write", "postgres", check);
    foreign(raw.write_password.as_ref(), "write_password", "postgres", check);
    not_shell(raw, "postgres", check);
    if !cfg!(feature = "postgres") {
        check.problem(
            raw.kind.span(),
            "this build of Tollgate has no PostgreSQL",
            "use a release, or build it with --features postgres (needs libclang)",
        );
        return None;
    }
    let ca = raw.ca.as_ref().map(|ca| check.file(ca, Role::Metadata));
    let schemas = schemas(raw, check);
    let functions = raw.functions.as_ref().map(|written| written.get_ref().as_slice());
    let functions = functions.unwrap_or_default();
    for function in functions {
        self::function(function, check);
    }
    if let Some(session) = &raw.session {
        self::session(session, check);
    }
    let mut secret = |written: &Option<Text>, key| written.as_ref().map(|text| check.secret(text, key));
    let password = secret(&raw.password, "password");
    let ddl_password = secret(&raw.ddl_password, "ddl_password");
    let url = url(raw, &["postgres", "postgresql"], check)?;
    Some(Postgres {
        ddl: definer(raw, &url, check),
        ddl_password: ddl_password.map_or(Some(None), |password| password.map(Some))?,
        url,
        password: password.map_or(Some(None), |password| password.map(Some))?,
        ca: match ca {
            Some(ca) => Some(ca?),
            None => None,
        },
        schemas,
        columns: columns(raw, classes, check),
        columns_default: columns_default(raw, check),
        functions: functions
            .iter()
            .map(|function| function.get_ref().clone())
            .collect::<BTreeSet<_>>(),
        session: raw.session.as_ref().map(|session| session.get_ref().clone()),
        privileged: raw
            .privileged
            .as_ref()
            .is_some_and(|privileged| *privileged.get_ref()),
    })
}

/// The role that changes schemas: another than the one that reads, which must not own what it reads.
fn definer(raw: &raw::Resource, url: &Url, check: &mut Check<'_>) -> Option<String> {
    let Some(written) = &raw.ddl else {
        if let Some(password) = &raw.ddl_password {
            check.problem(
                password.span(),
                "ddl_password is the password of nobody",
                "name the role that changes schemas, as in ddl = \"tollgate_ddl\"",
            );
        }
        return None;
    };
    let name = written.get_ref();
    let mut own = url.clone();
    let reads = own.set_username(name).is_err() || own.username() == url.username();
    if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) || reads {
        check.problem(
            written.span(),
            format!("`{}` cannot be the role that changes schemas", name.escape_debug()),
            "name a role of its own, as in ddl = \"tollgate_ddl\"; `tollgate db grants NAME --ddl TABLES` prints its rights",
        );
    }
    Some(name.clone())
}

/// The address of a database, without a password: an account, a host and the database's name, nothing else.
/// The first of `schemes` is the one that is told.
pub(super) fn url(raw: &raw::Resource, schemes: &[&str], check: &mut Check<'_>) -> Option<Url> {
    let scheme = schemes.first().copied().unwrap_or_default();
    let form = format!(
        "write url = \"{scheme}://tollgate@db.example.com/database\" and the password as password = \"file:/…\" or \"env:…\""
    );
    let Some(written) = &raw.url else {
        let message = format!("a {} resource does not say where it is", raw.kind.get_ref());
        check.problem(raw.name.span(), message, form);
        return None;
    };
    let found = Url::parse(written.get_ref()).ok();
    let plain = found.filter(|url| schemes.contains(&url.scheme()));
    let whole = |url: &Url| {
        let database = url.path().trim_start_matches('/');
        let extras = url.password().is_some() || url.query().is_some() || url.fragment().is_some();
        url.has_host()
            && !url.username().is_empty()
            && !database.is_empty()
            && !database.contains('/')
            && !extras
    };
    let Some(url) = plain.filter(whole) else {
        // Not quoted: there may be a password in it.
        check.problem(
            written.span(),
            "this is not the address of a database, or says more than that",
            form,
        );
        return None;
    };
    Some(url)
}

fn schemas(raw: &raw::Resource, check: &mut Check<'_>) -> Vec<String> {
    let Some(written) = &raw.schemas else {
        return vec!["public".to_owned()];
    };
    names::distinct(written.get_ref().iter(), "schema", &mut check.problems);
    for schema in written.get_ref() {
        self::schema(schema, check);
    }
    texts(written.get_ref())
}

fn schema(raw: &Text, check: &mut Check<'_>) {
    let name = raw.get_ref();
    if name.is_empty() || name.starts_with("pg_") || name == "information_schema" || name == OURS {
        check.problem(
            raw.span(),
            format!("`{}` cannot be a schema of a resource", name.escape_debug()),
            "name the schemas with the organisation's own tables, as in schemas = [\"public\"]",
        );
    }
}

fn function(raw: &Text, check: &mut Check<'_>) {
    let parts: Vec<&str> = raw.get_ref().split('.').collect();
    if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) || parts.first() == Some(&OURS) {
        check.problem(
            raw.span(),
            format!("`{}` does not name a function", raw.get_ref().escape_debug()),
            "write \"schema.name\"; every function of that name may then be called",
        );
    }
}

/// A custom setting: two plain names, so that it can hide none of the server's own.
fn session(raw: &Text, check: &mut Check<'_>) {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_') && part.len() <= 32
    };
    let parts: Vec<&str> = raw.get_ref().split('.').collect();
    if parts.len() != 2 || !parts.iter().all(|part| plain(part)) || parts.first() == Some(&OURS) {
        check.problem(
            raw.span(),
            format!("`{}` cannot be a session variable", raw.get_ref().escape_debug()),
            "write two lower-case names with a point, as in session = \"app.user\"",
        );
    }
}
