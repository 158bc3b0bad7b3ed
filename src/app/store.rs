//! The configured store: opening it, bringing it up to date, taking it elsewhere.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::audit;
use crate::audit::verify::{Report, Trust};
use crate::clock::{System, World};
use crate::config::Config;
use crate::store::{Address, Restored, Store, Tuning};

/// Opens the store, and makes it where there is none.
pub(super) async fn open(config: &Config) -> Result<Store> {
    Ok(Store::open_at(&config.store.address, &tuning(config)?).await?)
}

/// Opens a store that is there.
pub(super) async fn existing(config: &Config) -> Result<Store> {
    Ok(Store::open_existing_at(&config.store.address, &tuning(config)?).await?)
}

fn tuning(config: &Config) -> Result<Tuning> {
    let password = match &config.store.password {
        Some(password) => {
            let secret = password
                .resolve(|name| std::env::var(name).ok())
                .map_err(|error| anyhow::anyhow!("password {error}; {}", error.remedy()));
            Some(Arc::new(secret.context("[store]")?))
        }
        None => None,
    };
    Ok(Tuning {
        password,
        ..Tuning::default()
    })
}

/// What became of a store's tables: the steps, and which had been taken before.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StepsReport {
    /// Which store.
    pub store: String,
    /// Number, name, and whether it had been taken.
    pub steps: Vec<(i64, &'static str, bool)>,
}

/// The steps that make the tables; with `take`, those that are missing are taken.
///
/// # Errors
/// The store cannot be opened, or is not fit.
pub async fn store_migrate(config: &Config, take: bool) -> Result<StepsReport> {
    let steps = Store::steps(&config.store.address, &tuning(config)?, take).await?;
    Ok(StepsReport {
        store: config.store.address.to_string(),
        steps,
    })
}

/// Writes everything, as it is in one moment, into a new file. Gives the number of rows.
///
/// # Errors
/// The store cannot be read; the file exists or cannot be written.
pub async fn store_backup(config: &Config, to: &Path) -> Result<u64> {
    let from = existing(config).await?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    drop(file.with_context(|| {
        format!(
            "{} cannot be made; give a file that does not exist yet",
            to.display()
        )
    })?);
    let made = Store::open_at(&Address::File(to.to_owned()), &Tuning::default()).await?;
    let copied = from.copy_into(&made, Restored::Moved).await;
    if copied.is_err() {
        let _ = std::fs::remove_file(to); // half a backup is none
    }
    let _ = std::fs::remove_file(beside(to, "-setup"));
    Ok(copied?)
}

/// Puts a backup into the configured store, which must be empty, and checks its journal there.
///
/// # Errors
/// The file is no backup; the store is not empty; the journal is damaged.
pub async fn store_restore(config: &Config, from: &Path, moved: bool) -> Result<(u64, Report)> {
    let backup = Store::open_existing_at(&Address::File(from.to_owned()), &Tuning::default()).await?;
    let store = open(config).await?;
    let restored = match moved {
        true => Restored::Moved,
        false => Restored::Later {
            now: System::new().now().0,
        },
    };
    let rows = backup.copy_into(&store, restored).await?;
    let _ = std::fs::remove_file(beside(from, "-setup"));
    let report = audit::verify_store(&store, &Trust::default()).await?;
    Ok((rows, report))
}

fn beside(file: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
