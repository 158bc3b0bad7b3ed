//! `tollgate db` and `tollgate doctor db`: what a database is, for its operator.

use anyhow::{Result, bail};

use super::Examined;
use crate::config::Config;

/// The statements that give the role of a resource what it needs and nothing else.
///
/// # Errors
/// No such PostgreSQL resource, or no way to its server.
#[cfg(feature = "postgres")]
pub async fn db_grants(config: &Config, name: &str) -> Result<String> {
    Ok(report(config, name).await?.grants())
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
        let remedy = remedy.to_owned();
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

#[cfg(feature = "postgres")]
fn findings(
    report: &crate::resource::sql::postgres::Report,
    add: &mut impl FnMut(crate::identity::doctor::Level, String, &str),
) {
    use crate::identity::doctor::Level;

    add(
        Level::Ok,
        format!(
            "{} as {}: PostgreSQL {}",
            report.database, report.role, report.version
        ),
        "",
    );
    match report.encrypted {
        true => add(Level::Ok, "what is said there is encrypted".to_owned(), ""),
        false => add(
            Level::Note,
            "the connection is not encrypted: it stays on this machine".to_owned(),
            "",
        ),
    }
    if report.excess.is_empty() {
        add(
            Level::Ok,
            "the role can do nothing but read what it is granted".to_owned(),
            "",
        );
    }
    for excess in &report.excess {
        let (level, remedy) = match report.privileged {
            true => (
                Level::Note,
                "privileged = true allows it; a role of its own would be better",
            ),
            false => (
                Level::Bad,
                "make a role of its own: tollgate db grants NAME prints what it needs",
            ),
        };
        add(level, excess.clone(), remedy);
    }
    if let Some(misfit) = &report.misfit {
        add(
            Level::Bad,
            misfit.clone(),
            "mend [resource.columns]; every call is refused until then",
        );
    }
    for table in &report.tables {
        let of = |keep: &dyn Fn(&crate::resource::sql::postgres::TableColumn) -> bool| -> Vec<&str> {
            let columns = table.columns.iter().filter(|column| keep(column));
            columns.map(|column| column.name.as_str()).collect()
        };
        let unlisted = of(&|column| column.class.as_deref() == Some("unlisted"));
        if !unlisted.is_empty() {
            add(
                Level::Note,
                format!("{}: nobody listed {}; masked", table.name, unlisted.join(", ")),
                "list them in [resource.columns], as a class or as \"public\"",
            );
        }
        let missing = of(&|column| column.needed && !column.granted);
        if !missing.is_empty() {
            add(
                Level::Note,
                format!(
                    "{}: the role may not read {}; agents see masks or nothing",
                    table.name,
                    missing.join(", ")
                ),
                "tollgate db grants NAME prints what is missing",
            );
        }
        let extra = of(&|column| column.granted && !column.needed);
        if !extra.is_empty() {
            add(
                Level::Note,
                format!(
                    "{}: the role may read {}, which masks never need",
                    table.name,
                    extra.join(", ")
                ),
                "revoke that, and the database itself holds the masks: tollgate db grants NAME",
            );
        }
    }
}

#[cfg(feature = "postgres")]
async fn report(config: &Config, name: &str) -> Result<crate::resource::sql::postgres::Report> {
    let report = database(config, name)?.report().await;
    report.map_err(|refusal| anyhow::anyhow!("{} {}", refusal.message, refusal.detail.unwrap_or_default()))
}

#[cfg(feature = "postgres")]
fn database(config: &Config, name: &str) -> Result<crate::resource::sql::postgres::Database> {
    use crate::config::Kind;

    let found = config.resources.iter().find(|resource| resource.name == name);
    match found.map(|resource| &resource.kind) {
        Some(Kind::Postgres(postgres)) => {
            let world: std::sync::Arc<dyn crate::clock::World> =
                std::sync::Arc::new(crate::clock::System::new());
            super::parts::postgres_database(config, name, postgres, &world)
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
pub async fn db_grants(_: &Config, _: &str) -> Result<String> {
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
