//! `[[resource]]` and `[classes]`.

use std::collections::BTreeMap;

use toml::Spanned;

use super::check::Check;
use super::error::Problems;
use super::guard::Role;
use super::raw::{self, Text};
use super::{Git, Kind, Resource, Shell, Sqlite, masking, mysql, names, postgres};
use crate::resource::sql::{ColumnsDefault, MaskStyle, TokenScope};

const KINDS: [&str; 5] = ["git", "sqlite", "postgres", "mysql", "shell"];
/// Kinds of the contracts that a later version brings.
const LATER: [&str; 2] = ["ssh", "http"];
const STYLES: [&str; 5] = ["constant", "null", "last4", "domain", "token"];
/// The style whose classes need many possible values.
const TOKEN: &str = "token";
/// Classes with a built-in meaning: shown, and "nobody said".
const BUILT_IN: [&str; 2] = ["public", "unlisted"];

/// `[classes]`: class = how it looks when masked.
pub(super) fn classes(
    raw: &BTreeMap<Text, Text>,
    scope: TokenScope,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, MaskStyle> {
    names::distinct(raw.keys(), "class", problems);
    let mut classes = BTreeMap::new();
    for (name, style) in raw {
        if BUILT_IN.contains(&name.get_ref().to_ascii_lowercase().as_str()) {
            problems.at(
                name.span(),
                format!("the class `{}` is built in", name.get_ref()),
                "choose another name: `public` always shows, `unlisted` is what no line in columns names",
            );
            continue;
        }
        let checked = names::checked(name, "a class", problems);
        if style.get_ref() == TOKEN {
            masking::many(name, name.get_ref(), "the class", problems);
        }
        if let (Some(name), Some(style)) = (checked, self::style(style, scope, problems)) {
            classes.insert(name, style);
        }
    }
    classes
}

fn style(raw: &Text, scope: TokenScope, problems: &mut Problems<'_>) -> Option<MaskStyle> {
    match raw.get_ref().as_str() {
        "constant" => return Some(MaskStyle::Constant),
        "null" => return Some(MaskStyle::Null),
        "last4" => return Some(MaskStyle::Last4),
        "domain" => return Some(MaskStyle::Domain),
        TOKEN => return Some(MaskStyle::Token(scope)),
        other => {
            let remedy = names::suggest(other, &STYLES, "ways to mask");
            problems.at(
                raw.span(),
                format!("unknown way to mask `{}`", other.escape_debug()),
                remedy,
            );
        }
    }
    None
}

/// Every `[[resource]]`.
pub(super) fn resources(
    raw: &[raw::Resource],
    classes: &BTreeMap<Text, Text>,
    check: &mut Check<'_>,
) -> Vec<Resource> {
    names::distinct(
        raw.iter().map(|resource| &resource.name),
        "resource",
        &mut check.problems,
    );
    let resources: Vec<Resource> = raw
        .iter()
        .filter_map(|one| resource(one, classes, check))
        .collect();
    mysql::apart(raw, &resources, check);
    resources
}

fn resource(raw: &raw::Resource, classes: &BTreeMap<Text, Text>, check: &mut Check<'_>) -> Option<Resource> {
    let name = names::unreserved(&raw.name, "a resource", &mut check.problems);
    let mut labels: Vec<String> = raw
        .labels
        .iter()
        .filter_map(|label| names::checked(label, "a label", &mut check.problems))
        .collect();
    labels.sort();
    labels.dedup();
    let kind = match raw.kind.get_ref().as_str() {
        "git" => git(raw, check).map(Kind::Git),
        "sqlite" => sqlite(raw, classes, check).map(Kind::Sqlite),
        "postgres" => postgres::resource(raw, classes, check).map(Kind::Postgres),
        "mysql" => mysql::resource(raw, classes, check).map(Kind::Mysql),
        "shell" => shell(raw, check).map(Kind::Shell),
        later if LATER.contains(&later) => {
            let message = format!("resources of kind \"{later}\" are not available in this version");
            check.problem(
                raw.kind.span(),
                message,
                "this version has the kinds `git`, `sqlite`, `postgres`, `mysql` and `shell`",
            );
            None
        }
        other => {
            let remedy = names::suggest(other, &KINDS, "kinds of this version");
            let message = format!("unknown kind `{}`", other.escape_debug());
            check.problem(raw.kind.span(), message, remedy);
            None
        }
    };
    Some(Resource {
        name: name?,
        description: raw
            .description
            .as_ref()
            .map(|text| text.get_ref().clone())
            .unwrap_or_default(),
        labels,
        kind: kind?,
    })
}

fn git(raw: &raw::Resource, check: &mut Check<'_>) -> Option<Git> {
    if let Some(url) = &raw.url {
        check.problem(
            url.span(),
            "remote repositories come later",
            "clone it (git clone --mirror) and give `path`",
        );
    }
    foreign(raw.columns.as_ref(), "columns", "git", check);
    foreign(raw.columns_default.as_ref(), "columns_default", "git", check);
    not_shell(raw, "git", check);
    not_served(raw, "git", check);
    let Some(refs) = &raw.refs else {
        check.problem(
            raw.name.span(),
            "a git resource does not say which refs may be read",
            "add refs = [\"refs/heads/main\", \"refs/tags/*\"]",
        );
        return None;
    };
    for reference in refs.get_ref() {
        self::reference(reference, check);
    }
    let hidden = raw
        .hidden
        .as_ref()
        .map(|hidden| hidden.get_ref().as_slice())
        .unwrap_or_default();
    for pattern in hidden {
        self::pattern(pattern, check);
    }
    Some(Git {
        path: path(raw, Role::Repository, check)?,
        refs: texts(refs.get_ref()),
        hidden: texts(hidden),
    })
}

fn sqlite(raw: &raw::Resource, classes: &BTreeMap<Text, Text>, check: &mut Check<'_>) -> Option<Sqlite> {
    foreign(raw.refs.as_ref(), "refs", "sqlite", check);
    foreign(raw.hidden.as_ref(), "hidden", "sqlite", check);
    foreign(raw.url.as_ref(), "url", "sqlite", check);
    not_shell(raw, "sqlite", check);
    not_served(raw, "sqlite", check);
    let columns_default = columns_default(raw, check);
    let columns = columns(raw, classes, check);
    Some(Sqlite {
        path: path(raw, Role::Database, check)?,
        columns,
        columns_default,
    })
}

fn shell(raw: &raw::Resource, check: &mut Check<'_>) -> Option<Shell> {
    foreign(raw.path.as_ref(), "path", "shell", check);
    foreign(raw.refs.as_ref(), "refs", "shell", check);
    foreign(raw.hidden.as_ref(), "hidden", "shell", check);
    foreign(raw.url.as_ref(), "url", "shell", check);
    foreign(raw.columns.as_ref(), "columns", "shell", check);
    foreign(raw.columns_default.as_ref(), "columns_default", "shell", check);
    not_served(raw, "shell", check);
    let workdir = match &raw.workdir {
        Some(workdir) => check.file(workdir, Role::Workdir),
        None => {
            check.problem(
                raw.name.span(),
                "a shell resource does not say where its programs run",
                "add workdir = \"work\", relative to this file; it is made when it is not there",
            );
            None
        }
    };
    let Some(programs) = &raw.programs else {
        check.problem(
            raw.name.span(),
            "a shell resource does not say which programs may run",
            "add programs = [\"ls\", \"cat\", \"grep\", \"head\", \"tail\", \"wc\"]",
        );
        return None;
    };
    names::distinct(programs.get_ref().iter(), "program", &mut check.problems);
    for program in programs.get_ref() {
        self::program(program, check);
    }
    Some(Shell {
        workdir: workdir?,
        programs: texts(programs.get_ref()).into_iter().collect(),
    })
}

/// A plain name: the sandbox finds the file in its own folders.
fn program(raw: &Text, check: &mut Check<'_>) {
    let name = raw.get_ref();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-[".contains(c);
    if name.is_empty() || name.starts_with(['.', '-']) || name.len() > 64 || !name.chars().all(fits) {
        check.problem(
            raw.span(),
            format!("`{}` is not the name of a program", name.escape_debug()),
            "write the name alone, as in \"grep\", without a path and without arguments",
        );
    }
}

/// `columns_default`.
pub(super) fn columns_default(raw: &raw::Resource, check: &mut Check<'_>) -> ColumnsDefault {
    match raw.columns_default.as_ref().map(|text| text.get_ref().as_str()) {
        None | Some("mask") => ColumnsDefault::Mask,
        Some("show") => ColumnsDefault::Show,
        Some(other) => {
            let span = raw.columns_default.as_ref().map_or(0..0, Text::span);
            let remedy = names::suggest(other, &["mask", "show"], "values");
            check.problem(
                span,
                format!("unknown columns_default `{}`", other.escape_debug()),
                remedy,
            );
            ColumnsDefault::Mask
        }
    }
}

/// `[resource.columns]`.
pub(super) fn columns(
    raw: &raw::Resource,
    classes: &BTreeMap<Text, Text>,
    check: &mut Check<'_>,
) -> BTreeMap<String, String> {
    let mut columns = BTreeMap::new();
    if let Some(written) = &raw.columns {
        names::distinct(written.get_ref().keys(), "column", &mut check.problems);
        for (column, class) in written.get_ref() {
            self::column(column, class, classes, check);
            columns.insert(column.get_ref().clone(), class.get_ref().clone());
        }
    }
    columns
}

fn column(column: &Text, class: &Text, classes: &BTreeMap<Text, Text>, check: &mut Check<'_>) {
    let named = column.get_ref().split_once('.');
    if named.is_none_or(|(table, column)| table.is_empty() || column.is_empty()) {
        check.problem(
            column.span(),
            format!("`{}` does not name a column", column.get_ref().escape_debug()),
            "write \"table.column\" = \"class\", with the quotes",
        );
    }
    let style = classes.iter().find(|(name, _)| name.get_ref() == class.get_ref());
    if style.is_some_and(|(_, style)| style.get_ref() == TOKEN) {
        let name = column.get_ref().rsplit('.').next().unwrap_or_default();
        masking::many(column, name, "the column", &mut check.problems);
    }
    let mut known: Vec<&str> = classes.keys().map(|name| name.get_ref().as_str()).collect();
    known.push("public");
    if !known.contains(&class.get_ref().as_str()) {
        let remedy = format!(
            "{} (a class is defined in [classes], as in email = \"constant\")",
            names::suggest(class.get_ref(), &known, "classes"),
        );
        let message = format!("unknown class `{}`", class.get_ref().escape_debug());
        check.problem(class.span(), message, remedy);
    }
}

/// A full ref name (git-check-ref-format), or a prefix of one ending in `/*`.
fn reference(raw: &Text, check: &mut Check<'_>) {
    let text = raw.get_ref();
    let stem = text.strip_suffix("/*").unwrap_or(text);
    let well_formed = stem.starts_with("refs/")
        && !stem.contains("..")
        && !stem.contains("@{")
        && stem
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !stem.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    if well_formed {
        return;
    }
    let remedy = if text.starts_with("refs/") || text.contains(['*', ' ', '~', '^', ':']) {
        "write full names like \"refs/heads/main\", or all below one with \"refs/tags/*\"".to_owned()
    } else {
        format!("write \"refs/heads/{}\"", text.escape_debug())
    };
    check.problem(
        raw.span(),
        format!("`{}` is not a full ref name", text.escape_debug()),
        remedy,
    );
}

fn pattern(raw: &Text, check: &mut Check<'_>) {
    let text = raw.get_ref();
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') || text.chars().any(char::is_control) {
        check.problem(
            raw.span(),
            format!("`{}` hides nothing", text.escape_debug()),
            "write a gitignore pattern, e.g. \"*.pem\" or \"secrets/\", or take it out",
        );
    }
}

fn path(raw: &raw::Resource, role: Role, check: &mut Check<'_>) -> Option<std::path::PathBuf> {
    match &raw.path {
        Some(path) => check.file(path, role),
        None => {
            if raw.url.is_none() {
                let message = format!("`{}` has no path", raw.name.get_ref().escape_debug());
                check.problem(
                    raw.name.span(),
                    message,
                    "add path = \"…\", relative to this file",
                );
            }
            None
        }
    }
}

/// A key that belongs to another kind is a mistake, not a remark.
pub(super) fn foreign<T>(key: Option<&Spanned<T>>, word: &str, kind: &str, check: &mut Check<'_>) {
    if let Some(key) = key {
        let message = format!("`{word}` does not belong to a resource of kind \"{kind}\"");
        check.problem(key.span(), message, "take it out, or correct `kind`");
    }
}

pub(super) fn not_shell(raw: &raw::Resource, kind: &str, check: &mut Check<'_>) {
    foreign(raw.workdir.as_ref(), "workdir", kind, check);
    foreign(raw.programs.as_ref(), "programs", kind, check);
}

/// What only databases of servers have.
fn not_served(raw: &raw::Resource, kind: &str, check: &mut Check<'_>) {
    foreign(raw.password.as_ref(), "password", kind, check);
    foreign(raw.ca.as_ref(), "ca", kind, check);
    foreign(raw.schemas.as_ref(), "schemas", kind, check);
    foreign(raw.functions.as_ref(), "functions", kind, check);
    foreign(raw.session.as_ref(), "session", kind, check);
    foreign(raw.privileged.as_ref(), "privileged", kind, check);
    foreign(raw.write.as_ref(), "write", kind, check);
    foreign(raw.write_password.as_ref(), "write_password", kind, check);
    foreign(raw.ddl.as_ref(), "ddl", kind, check);
    foreign(raw.ddl_password.as_ref(), "ddl_password", kind, check);
    foreign(raw.views.as_ref(), "views", kind, check);
}

pub(super) fn texts(raw: &[Text]) -> Vec<String> {
    raw.iter().map(|text| text.get_ref().clone()).collect()
}
