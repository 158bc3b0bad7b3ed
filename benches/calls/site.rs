//! What is served: the demo's shop, repository and work folder, and tables to change.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tollgate::demo::{Way, config_text, repo, shop};

use crate::issuer::Issuer;

/// Everything on disk, and who may use it.
pub(crate) struct Site {
    dir: TempDir,
    issuer: Arc<Issuer>,
    /// Where a Tollgate of this site listens.
    pub(crate) address: SocketAddr,
    /// Whether the repository is this project's own.
    pub(crate) own_history: bool,
}

/// A group of its own has the tables of the benchmark: the decision tests say what the others see.
const POLICY: &str = r#"@id("bench-tables")
permit (
  principal in Tollgate::Group::"surveyor",
  action in [
    Tollgate::Action::"describe",
    Tollgate::Action::"sql_read",
    Tollgate::Action::"sql_write",
    Tollgate::Action::"measure",
    Tollgate::Action::"approve"
  ],
  resource in Tollgate::Label::"bench"
);

@id("bench-asks")
@approval("1 surveyor")
forbid (
  principal,
  action == Tollgate::Action::"sql_write",
  resource in Tollgate::Label::"asks"
)
unless { context.satisfied.contains("bench-asks") };
"#;

/// The same files twice: one resource is changed at once, the other when somebody else has approved.
const TABLES: [(&str, &str, &str); 4] = [
    ("large", "large.db", r#""bench""#),
    ("large-asks", "large.db", r#""bench", "asks""#),
    ("small", "small.db", r#""bench""#),
    ("small-asks", "small.db", r#""bench", "asks""#),
];

impl Site {
    pub(crate) fn new(issuer: Arc<Issuer>, rows: u64) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        shop::create(&dir.path().join("shop.db"))?;
        std::fs::copy(dir.path().join("shop.db"), dir.path().join("small.db"))?;
        let key = ["AK", "IAQ7ZL2NTVX4WJ3MRB"].concat(); // opens nothing
        let made = repo::create(dir.path(), project, &key)?;
        copy(&project.join("policies"), &dir.path().join("policies"))?;
        copy(&project.join("tools"), &dir.path().join("tools"))?;
        std::fs::write(dir.path().join("policies/90-bench.cedar"), POLICY)?;
        large(&dir.path().join("large.db"), rows)?;
        let address = free()?;
        let site = Self {
            dir,
            issuer,
            address,
            own_history: made.own_history,
        };
        let asks = "[approval]\nhold_seconds = 0\npending_per_person = 1000\n"; // measured: until people are asked
        site.write("tollgate.toml", "journal.db", asks)?;
        let many = "[approval]\nrequests_per_hour = 100000\n";
        site.write("decisions.toml", "decisions.db", many)?;
        site.write_without_commands()?;
        let bounds = format!("[limits]\nrows = {rows}\nbytes = {}\nseconds = 60\n", 64 << 20);
        site.write("raised.toml", "raised.db", &bounds)?;
        Ok(site)
    }

    /// A configuration of its own, with more in it.
    pub(crate) fn write(&self, name: &str, store: &str, more: &str) -> Result<()> {
        let url = format!("http://{}", self.address);
        let people = Some(free()?.port());
        let mut text = config_text(&url, people, "bench", &self.issuer.url, Way::Bearer)
            .replace("journal.db", store)
            .replace("[groups]\n", "[groups]\nsurveyor = [\"bench:surveyor\"]\n")
            .replace("programs = [", "programs = [\"echo\", ");
        for (name, file, labels) in TABLES {
            text.push_str(&format!(
                "\n[[resource]]\nname = \"{name}\"\nkind = \"sqlite\"\npath = \"{file}\"\n\
                 labels = [{labels}]\ncolumns_default = \"show\"\n"
            ));
        }
        Ok(std::fs::write(self.path(name), format!("{text}\n{more}"))?)
    }

    /// `plain.toml`: the same server, but that `work` is one more database.
    fn write_without_commands(&self) -> Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        let mut kept: Vec<&str> = text.lines().collect();
        kept.retain(|line| !line.starts_with("workdir") && !line.starts_with("programs"));
        let text = kept
            .join("\n")
            .replace("\"shell\"", "\"sqlite\"\npath = \"small.db\"");
        Ok(std::fs::write(self.path("plain.toml"), text)?)
    }

    /// A file that only its owner reads.
    pub(crate) fn secret(&self, name: &str, text: &str) -> Result<()> {
        let mut options = std::fs::File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// Gives all of it to another user, who then serves it.
    pub(crate) fn give_to(&self, uid: u32) -> Result<()> {
        give(self.dir.path(), uid)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The last that the servers said.
    pub(crate) fn server_log(&self) -> String {
        let log = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        format!("the server's log ends with\n{}", last.join("\n"))
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("tollgate.toml")
    }

    /// An ID token of somebody who has just signed in to decide; so does whoever comes to the issuer in a browser.
    pub(crate) fn reviewer(&self, client: &str) -> String {
        let groups = &["surveyor"];
        self.issuer.at_the_browser("person-2", groups);
        self.issuer.id_token(client, "person-2", groups)
    }

    /// A token for one of many people, who may query the shop and read the code.
    pub(crate) fn token(&self, person: u32) -> String {
        let audience = format!("http://{}/mcp", self.address);
        self.issuer.token(
            &audience,
            &format!("person-{person}"),
            &["analyst", "developer", "surveyor"],
        )
    }
}

/// An address that is free again, and ours in a moment.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn give(path: &Path, uid: u32) -> Result<()> {
    lchown(path, Some(uid), Some(uid))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn large(path: &Path, rows: u64) -> Result<()> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(&format!(
        "CREATE TABLE readings (id INTEGER PRIMARY KEY, at TEXT NOT NULL, sensor TEXT NOT NULL, value REAL NOT NULL, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO readings
         SELECT i, date('2024-01-01', (i % 700) || ' days'), 'sensor-' || (i % 97), (i * 37 % 1000) / 10.0,
                CASE WHEN i % 3 THEN 'within the usual range' END
         FROM n;"
    ))?;
    Ok(())
}
