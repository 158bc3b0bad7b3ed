//! The demo's repository: this project's own history when it is a clone, else a generated one; on
//! top, one commit that a real team might regret: a key in a deployment script, and a `.env` file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::{Oid, Repository, RepositoryInitOptions, Signature, Time};

/// Where the planted key is.
pub const SETTINGS: &str = "deploy/settings.py";
/// The file that the configuration hides.
pub const ENV: &str = "deploy/.env";

/// What was made.
pub struct Made {
    /// The bare repository.
    pub path: PathBuf,
    /// Whether the history is this project's own.
    pub own_history: bool,
}

/// Makes `<dir>/code.git`. `project` is a folder that may be a clone of Tollgate; `key` looks like a
/// cloud access key and opens nothing.
///
/// # Errors
/// When the folder cannot be written.
pub fn create(dir: &Path, project: &Path, key: &str) -> Result<Made> {
    let path = dir.join("code.git");
    let mut options = RepositoryInitOptions::new();
    options.bare(true).initial_head("main");
    let repository =
        Repository::init_opts(&path, &options).with_context(|| format!("create {}", path.display()))?;
    let parent = import(&repository, project).ok(); // no clone here: a generated history does as well
    let own_history = parent.is_some();
    let parent = match parent {
        Some(commit) => commit,
        None => generated(&repository)?,
    };
    plant(&repository, parent, key)?;
    Ok(Made { path, own_history })
}

/// Copies what the project's HEAD reaches, over libgit2's local transport.
fn import(repository: &Repository, project: &Path) -> Result<Oid> {
    let source = Repository::open(project)?;
    let head = source.head()?.peel_to_commit()?.id();
    let name = source.head()?.name().context("HEAD has no name")?.to_owned();
    let location = source
        .path()
        .to_str()
        .context("the path is not UTF-8")?
        .to_owned();
    let mut remote = repository.remote_anonymous(&location)?;
    remote.fetch(&[format!("+{name}:refs/heads/main")], None, None)?;
    repository.find_commit(head)?;
    Ok(head)
}

fn generated(repository: &Repository) -> Result<Oid> {
    let mut parent = None;
    for (number, (path, text)) in [
        ("README.md", "# Shop\n\nThe back office of a small shop.\n"),
        (
            "src/orders.py",
            "def total(items):\n    return sum(item.price * item.quantity for item in items)\n",
        ),
        (
            "src/customers.py",
            "def greeting(customer):\n    return f\"Dear {customer.name}\"\n",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let message = format!("Add {path}");
        parent = Some(commit(repository, parent, &[(path, text)], &message, number)?);
    }
    parent.context("no commit was made")
}

fn plant(repository: &Repository, parent: Oid, key: &str) -> Result<Oid> {
    let settings = format!(
        "# Settings of the nightly export.\nREGION = \"eu-west-1\"\nBUCKET = \"shop-exports\"\n\
         AWS_ACCESS_KEY_ID = \"{key}\"\nCONTACT = \"exports@example.com\"\nRETRIES = 3\n"
    );
    let env = format!("EXPORT_KEY={key}\n");
    commit(
        repository,
        Some(parent),
        &[(SETTINGS, settings.as_str()), (ENV, env.as_str())],
        "Nightly export of orders",
        10,
    )
}

/// One commit on `main` that adds or replaces files; fixed times, so the ids are the same everywhere.
fn commit(
    repository: &Repository,
    parent: Option<Oid>,
    files: &[(&str, &str)],
    message: &str,
    number: usize,
) -> Result<Oid> {
    let parent = parent.map(|id| repository.find_commit(id)).transpose()?;
    let mut update = git2::build::TreeUpdateBuilder::new();
    for (path, text) in files {
        update.upsert(*path, repository.blob(text.as_bytes())?, git2::FileMode::Blob);
    }
    let base = match &parent {
        Some(parent) => parent.tree()?,
        None => repository.find_tree(repository.treebuilder(None)?.write()?)?,
    };
    let tree = repository.find_tree(update.create_updated(repository, &base)?)?;
    let seconds = 1_767_225_600 + i64::try_from(number).unwrap_or(0) * 3_600;
    let author = Signature::new("Tollgate demo", "demo@example.com", &Time::new(seconds, 0))?;
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let id = repository.commit(None, &author, &author, message, &tree, &parents)?;
    repository.reference("refs/heads/main", id, true, message)?;
    Ok(id)
}
