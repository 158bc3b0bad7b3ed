//! What is served: the demo's shop and repository, and one large table.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tollgate::demo::{config_text, repo, shop};

use crate::issuer::Issuer;

/// Everything on disk, and who may use it.
pub(crate) struct Site {
    dir: TempDir,
    issuer: Issuer,
    /// Where a Tollgate of this site listens.
    pub(crate) address: SocketAddr,
    /// Whether the repository is this project's own.
    pub(crate) own_history: bool,
}

/// A group of its own reads the large table: the decision tests say what the others see.
const POLICY: &str = r#"@id("bench-large")
permit (
  principal in Tollgate::Group::"surveyor",
  action in [Tollgate::Action::"describe", Tollgate::Action::"sql_read"],
  resource in Tollgate::Label::"bench"
);
"#;

impl Site {
    pub(crate) fn new(issuer: Issuer, rows: u64) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        shop::create(&dir.path().join("shop.db"))?;
        let key = ["AK", "IAQ7ZL2NTVX4WJ3MRB"].concat(); // opens nothing
        let made = repo::create(dir.path(), project, &key)?;
        copy(&project.join("policies"), &dir.path().join("policies"))?;
        copy(&project.join("tools"), &dir.path().join("tools"))?;
        std::fs::write(dir.path().join("policies/90-bench.cedar"), POLICY)?;
        large(&dir.path().join("large.db"), rows)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?; // free again, and ours in a moment
        let site = Self {
            dir,
            issuer,
            address,
            own_history: made.own_history,
        };
        site.write("tollgate.toml", "journal.db", "")?;
        let bounds = format!("[limits]\nrows = {rows}\nbytes = {}\nseconds = 60\n", 64 << 20);
        site.write("raised.toml", "raised.db", &bounds)?;
        Ok(site)
    }

    fn write(&self, name: &str, store: &str, more: &str) -> Result<()> {
        let url = format!("http://{}", self.address);
        let text = config_text(&url, None, "bench", &self.issuer.url, "bearer")
            .replace("journal.db", store)
            .replace("[groups]\n", "[groups]\nsurveyor = [\"bench:surveyor\"]\n");
        let large = "[[resource]]\nname = \"large\"\nkind = \"sqlite\"\npath = \"large.db\"\n\
                     labels = [\"bench\"]\ncolumns_default = \"show\"\n";
        Ok(std::fs::write(
            self.path(name),
            format!("{text}\n{large}\n{more}"),
        )?)
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
