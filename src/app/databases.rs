//! Configured databases of servers → adapters. Nothing is connected yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::call::ResourceCard;
use crate::clock::World;
use crate::config::{Config, Mysql, Postgres};
use crate::lookups::Lookups;
use crate::resource::Resource;
use crate::resource::sql::{MaskStyle, TokenKey};
use crate::store::Store;
use crate::store::rows::Rows;
use crate::tool::Tools;

/// The key of tokens for a resource that makes them itself; none where no column of it has tokens.
pub(super) fn token_key(
    config: &Config,
    columns: &BTreeMap<String, String>,
    world: &Arc<dyn World>,
) -> Result<Option<TokenKey>> {
    let style = |class: &String| config.classes.get(class);
    let mut styles = columns.values().filter_map(style);
    let has = styles.any(|style| matches!(style, MaskStyle::Token(_)));
    let key = has.then(|| TokenKey::load_or_create(&config.token_key_file, world.as_ref()));
    Ok(key.transpose()?)
}

/// The tools, which can look values up where a class has tokens: the journal gets a digest under the same key.
pub(super) fn tools(config: &Config, cards: &[ResourceCard], world: &Arc<dyn World>) -> Result<Tools> {
    let mut tools = Tools::load(config.tools.as_deref(), cards).context("tools")?;
    let approval = &config.approval;
    if config.server.control.is_some() && approval.grant_minutes > 0 && !approval.security_key {
        tools = tools.asking_ahead();
    }
    let mut styles = config.classes.values();
    if !styles.any(|style| matches!(style, MaskStyle::Token(_))) {
        return Ok(tools);
    }
    let key = TokenKey::load_or_create(&config.token_key_file, world.as_ref())?;
    Ok(tools.digesting(Arc::new(move |column, value| key.digest(column, value))))
}

/// What people may look up, counted in the store.
pub(super) fn lookups(config: &Config, store: &Store, world: &Arc<dyn World>) -> Lookups {
    Lookups::new(
        Rows::new(store.clone()),
        world.clone(),
        config.limits.lookups_per_hour,
    )
}

#[cfg(feature = "postgres")]
pub(super) fn postgres(
    config: &Config,
    name: &str,
    postgres: &Postgres,
    world: &Arc<dyn World>,
) -> Result<Resource> {
    let database = postgres_database(config, name, postgres, world)?;
    Ok(Resource::Postgres(Box::new(database)))
}

#[cfg(feature = "postgres")]
pub(super) fn postgres_database(
    config: &Config,
    name: &str,
    postgres: &Postgres,
    world: &Arc<dyn World>,
) -> Result<crate::resource::sql::postgres::Database> {
    use crate::resource::sql::postgres::{Database, Definer, Spec};

    let password = postgres.password.as_ref().map(super::identity::resolved);
    let whose = || format!("password of `{name}`");
    let definer = match &postgres.ddl {
        None => None,
        Some(account) => {
            let password = postgres.ddl_password.as_ref().map(super::identity::resolved);
            Some(Definer {
                account: account.clone(),
                password: password
                    .transpose()
                    .with_context(|| format!("ddl_password of `{name}`"))?,
            })
        }
    };
    let spec = Spec {
        name: name.to_owned(),
        url: postgres.url.clone(),
        password: password.transpose().with_context(whose)?,
        ca: postgres.ca.clone(),
        schemas: postgres.schemas.clone(),
        columns: postgres.columns.clone(),
        columns_default: postgres.columns_default,
        classes: config.classes.clone(),
        functions: postgres.functions.clone(),
        session: postgres.session.clone(),
        privileged: postgres.privileged,
        definer,
        limits: config.limits.call,
    };
    let database = Database::new(spec, world.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(database.looked_at_by(super::mask().lookahead()))
}

#[cfg(not(feature = "postgres"))]
pub(super) fn postgres(_: &Config, name: &str, _: &Postgres, _: &Arc<dyn World>) -> Result<Resource> {
    anyhow::bail!("`{name}`: this build of Tollgate has no PostgreSQL")
}

#[cfg(feature = "mysql")]
pub(super) fn mysql(config: &Config, name: &str, mysql: &Mysql, world: &Arc<dyn World>) -> Result<Resource> {
    let database = mysql_database(config, name, mysql, world)?;
    Ok(Resource::Mysql(Box::new(database)))
}

#[cfg(feature = "mysql")]
pub(super) fn mysql_database(
    config: &Config,
    name: &str,
    mysql: &Mysql,
    world: &Arc<dyn World>,
) -> Result<crate::resource::sql::mysql::Database> {
    use crate::resource::sql::mysql::{Database, Spec, Writer};

    let password = mysql.password.as_ref().map(super::identity::resolved);
    let whose = || format!("password of `{name}`");
    let writer = match &mysql.write {
        None => None,
        Some(account) => {
            let password = mysql.write_password.as_ref().map(super::identity::resolved);
            Some(Writer {
                account: account.clone(),
                password: password
                    .transpose()
                    .with_context(|| format!("write_password of `{name}`"))?,
            })
        }
    };
    let spec = Spec {
        name: name.to_owned(),
        url: mysql.url.clone(),
        password: password.transpose().with_context(whose)?,
        ca: mysql.ca.clone(),
        views: mysql.views.clone(),
        columns: mysql.columns.clone(),
        columns_default: mysql.columns_default,
        classes: config.classes.clone(),
        session: mysql.session.clone(),
        privileged: mysql.privileged,
        writer,
        limits: config.limits.call,
    };
    let database = Database::new(spec, world.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(database.looked_at_by(super::mask().lookahead()))
}

#[cfg(not(feature = "mysql"))]
pub(super) fn mysql(_: &Config, name: &str, _: &Mysql, _: &Arc<dyn World>) -> Result<Resource> {
    anyhow::bail!("`{name}`: this build of Tollgate has no MySQL")
}
