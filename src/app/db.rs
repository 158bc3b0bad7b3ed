//! `tollgate db` and `tollgate doctor db`: what a database is, for its operator.

use anyhow::{Result, bail};

use super::Examined;
use crate::config::Config;

/// The statements that give the role of a resource what it needs to read, to change `write`, and nothing else.
///
/// # Errors
/// No such PostgreSQL resource or table, or no way to its server.
#[cfg(feature = "postgres")]
pub async fn db_grants(config: &Config, name: &str, write: &[String]) -> Result<String> {
    let mut grants = report(config, name).await?.grants();
    if !write.is_empty() {
        let writing = database(config, name)?.write_grants(write).await;
        grants += &writing.map_err(said)?;
    }
    Ok(grants)
}

/// What is right and wrong with a database and the role in use.
///
/// # Errors
/// No such PostgreSQL resource.
#[cfg(feature = "postgres")]
pub async fn doctor_db(config: &Config, name: &str) -> Result<Examined> {
    use crate::identity::doctor::{Finding, Findings, Level};

    let database = database(config, name)?;
    let mut found = Vec::new();
    let mut add = |level, text: String, remedy: &str| {
        let remedy = remedy.replace("{name}", name); // what it says can be copied
        found.push(Finding { level, text, remedy });
    };
    match database.report().await {
        Err(refusal) => {
            let why = refusal.detail.unwrap_or_default();
            add(
                Level::Bad,
                format!("{} {why}", refusal.message),
                "see that the server runs, that url, password and ca are right, and that it lets the role in",
            );
        }
        Ok(report) => findings(&report, &mut add),
    }
    Ok(Examined {
        issuer: name.to_owned(),
        findings: Findings(found),
    })
}

/// Takes one finding.
#[cfg(feature = "postgres")]
type Add<'a> = dyn FnMut(crate::identity::doctor::Level, String, &str) + 'a;

#[cfg(feature = "postgres")]
fn findings(report: &crate::resource::sql::postgres::Report, add: &mut Add<'_>) {
    use crate::identity::doctor::Level;

    let whom = format!(
        "{} as {}: PostgreSQL {}",
        report.database, report.role, report.version
    );
    add(Level::Ok, whom, "");
    let (level, said) = match report.encrypted {
        true => (Level::Ok, "what is said there is encrypted"),
        false => (
            Level::Note,
            "the connection is not encrypted: it stays on this machine",
        ),
    };
    add(level, said.to_owned(), "");
    if report.excess.is_empty() {
        let said = match report.changes.is_empty() {
            true => "the role can do nothing but read what it is granted",
            false => "the role can do nothing but read and change what it is granted",
        };
        add(Level::Ok, said.to_owned(), "");
    }
    for table in &report.changes {
        let (name, seen) = (&table.name, table.versions);
        let (after, remedy) = match seen {
            true => (
                "; policies say who does, and who approves it",
                "revoke it if no agent should",
            ),
            false => (
                ", but not see which rows are new: every change is refused",
                "tollgate db grants {name} --write prints what is missing",
            ),
        };
        add(Level::Note, format!("the role may change {name}{after}"), remedy);
    }
    for excess in &report.excess {
        let (level, remedy) = match report.privileged {
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
    if let Some(misfit) = &report.misfit {
        let remedy = "mend [resource.columns]; every call is refused until then";
        add(Level::Bad, misfit.clone(), remedy);
    }
    if report.tokens.is_some() && report.misfit.is_none() {
        let said = "tokens are made by our function, and the role cannot read its key";
        add(Level::Ok, said.to_owned(), "");
    }
    for table in &report.tables {
        columns(table, add);
    }
}

/// What nobody classified, and where the role's rights and the masks differ.
#[cfg(feature = "postgres")]
fn columns(table: &crate::resource::sql::postgres::Table, add: &mut Add<'_>) {
    use crate::identity::doctor::Level;
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

#[cfg(feature = "postgres")]
async fn report(config: &Config, name: &str) -> Result<crate::resource::sql::postgres::Report> {
    let report = database(config, name)?.report().await;
    report.map_err(said)
}

#[cfg(feature = "postgres")]
fn said(refusal: crate::call::Refusal) -> anyhow::Error {
    anyhow::anyhow!("{} {}", refusal.message, refusal.detail.unwrap_or_default())
}

#[cfg(feature = "postgres")]
fn database(config: &Config, name: &str) -> Result<crate::resource::sql::postgres::Database> {
    use crate::config::Kind;

    let found = config.resources.iter().find(|resource| resource.name == name);
    match found.map(|resource| &resource.kind) {
        Some(Kind::Postgres(postgres)) => {
            let world: std::sync::Arc<dyn crate::clock::World> =
                std::sync::Arc::new(crate::clock::System::new());
            super::databases::postgres_database(config, name, postgres, &world)
        }
        Some(_) => bail!("`{name}` is not of kind \"postgres\""),
        None => bail!("there is no [[resource]] `{name}`"),
    }
}

/// This build has none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "postgres"))]
pub async fn db_grants(_: &Config, _: &str, _: &[String]) -> Result<String> {
    bail!("this build of Tollgate has no PostgreSQL")
}

/// This build has none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "postgres"))]
pub async fn doctor_db(_: &Config, _: &str) -> Result<Examined> {
    bail!("this build of Tollgate has no PostgreSQL")
}
