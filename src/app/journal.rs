//! Reading the journal, checking it, carrying it elsewhere, erasing what was offered.

use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::parts;
use super::report::ExportReport;
use crate::audit::list::{CallHistory, Listed, Page, Query};
use crate::audit::replay::Step;
use crate::audit::verify::{Report, Trust};
use crate::audit::{self, Erase, LogPublicKey};
use crate::clock::{System, World};
use crate::config::Config;
use crate::identity::LocalUser;
use crate::store::Store;

/// Records that match, newest first.
///
/// # Errors
/// The store cannot be read.
pub async fn audit_list(config: &Config, query: &Query) -> Result<Page<Listed>> {
    Ok(audit::list(&store(config).await?, query).await?)
}

/// Every record of one call, and what was offered.
///
/// # Errors
/// The store cannot be read; there is no such call.
pub async fn audit_show(config: &Config, call_id: &str) -> Result<CallHistory> {
    Ok(audit::show(&store(config).await?, call_id).await?)
}

/// The calls that match with what was offered to the agent, oldest first. That they are read is on record before they
/// are, as on the people's side, under the operating-system user.
///
/// # Errors
/// The store cannot be read, or the journal not be written.
pub async fn audit_replay(config: &Config, query: &Query) -> Result<Page<Step>> {
    let page = audit::replay(&store(config).await?, query).await?;
    let asked = &query.filter;
    replayed(
        config,
        json!({
            "session": asked.session, "user": asked.user, "call": asked.call_id, "tool": asked.tool,
            "resource": asked.resource, "since": asked.since, "until": asked.until, "calls": page.items.len(),
        }),
    )
    .await?;
    Ok(page)
}

/// The recording of one call, on record like [`audit_replay`].
///
/// # Errors
/// As there; there is no such call.
pub async fn audit_recording(config: &Config, call_id: &str) -> Result<CallHistory> {
    let history = audit::show(&store(config).await?, call_id).await?;
    replayed(config, json!({ "call": call_id, "calls": 1 })).await?;
    Ok(history)
}

/// Puts on record who replays what.
async fn replayed(config: &Config, what: Value) -> Result<()> {
    let world: Arc<dyn World> = Arc::new(System::new());
    let user = LocalUser::current();
    let mut record = json!({"event": "replay", "by": format!("local#{}@{}", user.uid, user.host)});
    if let (Some(record), Value::Object(what)) = (record.as_object_mut(), what) {
        record.extend(what.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let start = json!({ "command": "audit replay" });
    let unrecorded = "what is replayed has to be put on record first (`tollgate audit list` reads without)";
    let (journal, _, _) = parts::audit(config, &super::mask(), &world, start)
        .await
        .context(unrecorded)?;
    journal.config_change(record).await.context(unrecorded)?;
    journal.close().await?;
    Ok(())
}

/// Checks the journal of the store; `public_key` and `held` (a checkpoint file) come from elsewhere.
///
/// # Errors
/// The store or the checkpoint cannot be read.
pub async fn audit_verify(config: &Config, public_key: Option<&str>, held: Option<&Path>) -> Result<Report> {
    let trust = trust(public_key, held)?;
    Ok(audit::verify_store(&store(config).await?, &trust).await?)
}

/// Checks an export with nothing but it, a public key and perhaps a checkpoint; needs no configuration.
///
/// # Errors
/// The export or the checkpoint cannot be read.
pub async fn audit_verify_export(export: &Path, public_key: &str, held: Option<&Path>) -> Result<Report> {
    let trust = trust(Some(public_key), held)?;
    let key = public_key
        .parse()
        .map_err(|error| anyhow::anyhow!("the public key: {error}"))?;
    let file = std::fs::File::open(export).with_context(|| format!("open {}", export.display()))?;
    let read = move || audit::verify_export(BufReader::new(file), key, &trust);
    tokio::task::spawn_blocking(read)
        .await?
        .with_context(|| format!("read {}", export.display()))
}

fn trust(public_key: Option<&str>, held: Option<&Path>) -> Result<Trust> {
    let parse = |key: &str| -> Result<LogPublicKey> {
        key.parse()
            .map_err(|error| anyhow::anyhow!("the public key: {error}"))
    };
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    Ok(Trust {
        public_key: public_key.map(parse).transpose()?,
        held_elsewhere: held.map(read).transpose()?,
    })
}

/// Writes the journal to a new file of mode 0600.
///
/// # Errors
/// The store cannot be read, the file cannot be written or exists.
pub async fn audit_export(config: &Config, to: &Path, payloads: bool) -> Result<ExportReport> {
    let store = store(config).await?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    let mut out = BufWriter::new(file.with_context(|| {
        format!(
            "{} cannot be made; give a file that does not exist yet",
            to.display()
        )
    })?);
    let exported = audit::export(&store, payloads, &mut out).await?;
    out.flush().with_context(|| format!("write {}", to.display()))?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let mut reader = store.reader().await?;
    let public_key = reader.meta("key").await?.unwrap_or_default();
    reader.close().await?;
    Ok(ExportReport {
        records: exported.records,
        checkpoints: exported.checkpoints,
        bytes: file.metadata()?.len(),
        public_key,
    })
}

/// Erases payloads; records and proofs stay, and the reason is recorded. Gives how many.
///
/// # Errors
/// The store cannot be changed; nothing matches.
pub async fn audit_erase(config: &Config, what: &Erase, reason: &str) -> Result<u64> {
    let world: Arc<dyn World> = Arc::new(System::new());
    let start = json!({ "command": "audit erase" });
    let (journal, _, _) = parts::audit(config, &super::mask(), &world, start).await?;
    let erased = journal.erase(what, reason).await?;
    journal.close().await?;
    Ok(erased)
}

async fn store(config: &Config) -> Result<Store> {
    super::store::existing(config).await
}
