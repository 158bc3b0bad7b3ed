//! `tollgate db` and `tollgate doctor db`: what a database is, for its operator.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(
        unreachable_code,
        unused_mut,
        unused_variables,
        dead_code,
        reason = "a build without servers says so, and has nothing to ask"
    )
)]

use anyhow::{Result, bail};

use super::Examined;
use crate::config::{Config, Kind};
use crate::identity::doctor::{Finding, Findings, Level};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::secret::SecretRef;

/// The statements that give the role or account of a resource what it needs to read, to change `write`, and
/// nothing else; and the role of `ddl` what it needs to change what the tables of `ddl` are.
///
/// # Errors
/// No such resource or table, or no way to its server.
pub async fn db_grants(config: &Config, name: &str, write: &[String], ddl: &[String]) -> Result<String> {
    match kind(config, name)? {
        #[cfg(feature = "postgres")]
        Kind::Postgres(postgres) => {
            let database = super::databases::postgres_database(config, name, postgres, &world())?;
            let report = database.report().await;
            let mut grants = report.map_err(|refusal| told(&refusal))?.grants();
            if !write.is_empty() {
                let writing = database.write_grants(write).await;
                grants += &writing.map_err(|refusal| told(&refusal))?;
            }
            if !ddl.is_empty() {
                let defining = database.ddl_grants(ddl).await;
                grants += &defining.map_err(|refusal| told(&refusal))?;
            }
            Ok(grants)
        }
        #[cfg(feature = "mysql")]
        Kind::Mysql(_) if !ddl.is_empty() => bail!("`{name}`: schema changes are of kind \"postgres\" only"),
        #[cfg(feature = "mysql")]
        Kind::Mysql(mysql) => {
            let database = super::databases::mysql_database(config, name, mysql, &world())?;
            match write.is_empty() {
                true => Ok(database.grants()),
                // Of another account: what the first may do is not printed again, so that it is not taken away.
                false => Ok(database
                    .write_grants(write)
                    .await
                    .map_err(|refusal| told(&refusal))?),
            }
        }
        _ => bail!("`{name}` is no database of a server that this build of Tollgate knows"),
    }
}

/// Whoever makes the masking views of a resource, or looks at what is behind them: an account, and where its password is.
#[derive(Debug, Clone)]
pub struct ViewsBy<'a> {
    /// The account's name.
    pub name: &'a str,
    /// `env:NAME` or `file:/path`; without it the account has no password.
    pub password: Option<&'a str>,
}

/// The account, with its password.
///
/// # Errors
/// What is wrong with the reference to the password.
#[cfg(feature = "mysql")]
pub(super) fn administrator(by: ViewsBy<'_>) -> Result<crate::resource::sql::mysql::Administrator> {
    let reference = by.password.map(reference).transpose()?;
    let password = reference.as_ref().map(super::identity::resolved);
    Ok(crate::resource::sql::mysql::Administrator {
        name: by.name.to_owned(),
        password: password.transpose()?,
    })
}

/// Where an administrator's password is.
///
/// # Errors
/// What is wrong with the reference.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn reference(text: &str) -> Result<SecretRef> {
    SecretRef::parse(text).map_err(|error| anyhow::anyhow!("password: {error}; {}", error.remedy()))
}

/// The statements that make the masking views of a resource; with `apply` they are run as well.
///
/// # Errors
/// No such MySQL or MariaDB resource, no way to its server, a password that is not there, a statement that fails.
#[cfg(feature = "mysql")]
pub async fn db_views(config: &Config, name: &str, by: ViewsBy<'_>, apply: bool) -> Result<String> {
    let Kind::Mysql(mysql) = kind(config, name)? else {
        bail!("`{name}` is not of kind \"mysql\": only its masks are views");
    };
    let administrator = administrator(by)?;
    let database = super::databases::mysql_database(config, name, mysql, &world())?;
    let views = match apply {
        true => database.make_views(&administrator).await,
        false => database.views(&administrator).await,
    };
    Ok(views.map_err(|refusal| told(&refusal))?.script())
}

/// This build has none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "mysql"))]
pub async fn db_views(_: &Config, _: &str, _: ViewsBy<'_>, _: bool) -> Result<String> {
    bail!("this build of Tollgate has no MySQL")
}

/// What is right and wrong with a database and the role or account in use.
///
/// # Errors
/// No such resource.
pub async fn doctor_db(config: &Config, name: &str) -> Result<Examined> {
    let mut found = Vec::new();
    let mut add = |level, text: String, remedy: &str| {
        let remedy = remedy.replace("{name}", name); // what it says can be copied
        found.push(Finding { level, text, remedy });
    };
    match kind(config, name)? {
        #[cfg(feature = "postgres")]
        Kind::Postgres(postgres) => {
            let database = super::databases::postgres_database(config, name, postgres, &world())?;
            match database.report().await {
                Err(refusal) => away(&refusal, &mut add),
                Ok(report) => findings(&report, &mut add),
            }
        }
        #[cfg(feature = "mysql")]
        Kind::Mysql(mysql) => {
            let database = super::databases::mysql_database(config, name, mysql, &world())?;
            match database.report().await {
                Err(refusal) => away(&refusal, &mut add),
                Ok(report) => mysql_findings(&report, &mut add),
            }
        }
        _ => bail!("`{name}` is no database of a server that this build of Tollgate knows"),
    }
    Ok(Examined {
        issuer: name.to_owned(),
        findings: Findings(found),
    })
}

fn kind<'c>(config: &'c Config, name: &str) -> Result<&'c Kind> {
    let found = config.resources.iter().find(|resource| resource.name == name);
    match found {
        Some(resource) => Ok(&resource.kind),
        None => bail!("there is no [[resource]] `{name}`"),
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn world() -> std::sync::Arc<dyn crate::clock::World> {
    std::sync::Arc::new(crate::clock::System::new())
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn told(refusal: &crate::call::Refusal) -> anyhow::Error {
    anyhow::anyhow!(
        "{} {}",
        refusal.message,
        refusal.detail.as_deref().unwrap_or_default()
    )
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn away(refusal: &crate::call::Refusal, add: &mut Add<'_>) {
    add(
        Level::Bad,
        told(refusal).to_string(),
        "see that the server runs, that url, password and ca are right, and that it lets the role in",
    );
}

/// Takes one finding.
type Add<'a> = dyn FnMut(Level, String, &str) + 'a;

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn encryption(encrypted: bool, add: &mut Add<'_>) {
    let (level, said) = match encrypted {
        true => (Level::Ok, "what is said there is encrypted"),
        false => (
            Level::Note,
            "the connection is not encrypted: it stays on this machine",
        ),
    };
    add(level, said.to_owned(), "");
}

#[cfg(feature = "postgres")]
fn changes(changes: &[crate::resource::sql::postgres::Changeable], add: &mut Add<'_>) {
    for table in changes {
        let (after, remedy) = match table.versions {
            true => (
                "; policies say who does, and who approves it",
                "revoke it if no agent should",
            ),
            false => (
                ", but not see which rows are new: every change is refused",
                "tollgate db grants {name} --write prints what is missing",
            ),
        };
        add(
            Level::Note,
            format!("the role may change {}{after}", table.name),
            remedy,
        );
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn excesses(excesses: &[String], privileged: bool, add: &mut Add<'_>) {
    if excesses.is_empty() {
        let said = "the role can do nothing but what it is granted";
        add(Level::Ok, said.to_owned(), "");
    }
    for excess in excesses {
        let (level, remedy) = match privileged {
            true => (
                Level::Note,
                "privileged = true allows it; a role of its own would be better",
            ),
            false => (
                Level::Bad,
                "make a role of its own: tollgate db grants {name} prints what it needs",
            ),
        };
        add(level, excess.clone(), remedy);
    }
}

#[cfg(feature = "mysql")]
fn mysql_findings(report: &crate::resource::sql::mysql::Report, add: &mut Add<'_>) {
    let whom = format!("{} as {}: {}", report.database, report.account, report.version);
    add(Level::Ok, whom, "");
    encryption(report.encrypted, add);
    excesses(&report.excess, report.privileged, add);
    if let Some(misfit) = &report.misfit {
        let remedy = "mend [resource.columns], or make the views again; every call is refused until then";
        add(Level::Bad, misfit.clone(), remedy);
    }
    if let (Some(views), None) = (&report.views, &report.misfit) {
        let said =
            format!("statements name the masking views in {views}, which are as the configuration asks");
        add(Level::Ok, said, "");
    }
    if let Some(changes) = &report.changes {
        mysql_changes(changes, add);
    }
    for table in &report.tables {
        if !table.unlisted.is_empty() {
            let text = format!(
                "{}: nobody listed {}; masked",
                table.name,
                table.unlisted.join(", ")
            );
            let remedy = "list them in [resource.columns], as a class or as \"public\"";
            add(Level::Note, text, remedy);
        }
        if !table.lies_by.is_empty() {
            let text = format!(
                "{}: its rows lie in the order of {}, which is masked: whoever reads them sees that order",
                table.name,
                table.lies_by.join(", ")
            );
            let remedy = "list the columns of the primary key as public, or give the table another key";
            add(Level::Note, text, remedy);
        }
    }
}

#[cfg(feature = "mysql")]
fn mysql_changes(changes: &crate::resource::sql::mysql::Changes, add: &mut Add<'_>) {
    if let Some(problem) = &changes.problem {
        let text = format!("every change is refused: {problem}");
        add(
            Level::Bad,
            text,
            "tollgate db grants {name} --write TABLES prints what the account of `write` needs",
        );
    }
    if !changes.tables.is_empty() {
        let text = format!(
            "{} may change {}; policies say who does, and who approves it",
            changes.account,
            changes.tables.join(", ")
        );
        add(Level::Note, text, "revoke it if no agent should");
    }
}

#[cfg(feature = "postgres")]
fn findings(report: &crate::resource::sql::postgres::Report, add: &mut Add<'_>) {
    let whom = format!(
        "{} as {}: PostgreSQL {}",
        report.database, report.role, report.version
    );
    add(Level::Ok, whom, "");
    encryption(report.encrypted, add);
    excesses(&report.excess, report.privileged, add);
    changes(&report.changes, add);
    if let Some(definer) = &report.definer {
        self::definer(definer, report.privileged, add);
    }
    if let Some(misfit) = &report.misfit {
        let remedy = "mend [resource.columns]; every call is refused until then";
        add(Level::Bad, misfit.clone(), remedy);
    }
    if report.tokens.is_some() && report.misfit.is_none() {
        let said = "tokens are made by our function, and the role cannot read its key";
        add(Level::Ok, said.to_owned(), "");
    }
    for column in &report.lies_by {
        add(
            Level::Note,
            format!(
                "the table of {column} lies in the order of that masked column (CLUSTER): rows come in it"
            ),
            "CLUSTER it by an index of public columns, then it lies in their order",
        );
    }
    for table in &report.tables {
        columns(table, add);
    }
}

/// The role that changes schemas.
#[cfg(feature = "postgres")]
fn definer(definer: &crate::resource::sql::postgres::DefinerReport, privileged: bool, add: &mut Add<'_>) {
    if let Some(problem) = &definer.problem {
        add(
            Level::Bad,
            format!(
                "{}, who changes schemas, cannot be used: {problem}",
                definer.account
            ),
            "see ddl and ddl_password; tollgate db grants {name} --ddl TABLES prints what it needs",
        );
        return;
    }
    for excess in &definer.excess {
        let (level, remedy) = match privileged {
            true => (
                Level::Note,
                "privileged = true allows it; a lesser role would be better",
            ),
            false => (
                Level::Bad,
                "every schema change is refused until it is not so any more",
            ),
        };
        add(
            level,
            format!("{}, who changes schemas: {excess}", definer.account),
            remedy,
        );
    }
    let text = match definer.owns.is_empty() {
        true => format!("{} owns nothing here, so it changes no table", definer.account),
        false => format!(
            "{} may change what {} are; policies say who does, and who approves it",
            definer.account,
            definer.owns.join(", ")
        ),
    };
    add(
        Level::Note,
        text,
        "tollgate db grants {name} --ddl TABLES prints what it needs",
    );
}

/// What nobody classified, and where the role's rights and the masks differ.
#[cfg(feature = "postgres")]
fn columns(table: &crate::resource::sql::postgres::Table, add: &mut Add<'_>) {
    use crate::resource::sql::postgres::TableColumn;

    let of = |keep: &dyn Fn(&TableColumn) -> bool| -> String {
        let columns = table.columns.iter().filter(|column| keep(column));
        let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        names.join(", ")
    };
    let unlisted = of(&|column| column.class.as_deref() == Some("unlisted"));
    let missing = of(&|column| column.needed && !column.granted);
    let extra = of(&|column| column.granted && !column.needed);
    for (columns, before, after, remedy) in [
        (
            unlisted,
            "nobody listed ",
            "; masked",
            "list them in [resource.columns], as a class or as \"public\"",
        ),
        (
            missing,
            "the role may not read ",
            "; agents see masks or nothing",
            "tollgate db grants {name} prints what is missing",
        ),
        (
            extra,
            "the role may read ",
            ", which masks never need",
            "revoke that, and the database itself holds the masks: tollgate db grants {name}",
        ),
    ] {
        if !columns.is_empty() {
            let text = format!("{}: {before}{columns}{after}", table.name);
            add(Level::Note, text, remedy);
        }
    }
}
