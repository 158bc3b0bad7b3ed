//! A PostgreSQL server of the test's own, with Debian's programs: a copy of a cluster that is made once.

use std::fs::{File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::until;

/// What the superuser `postgres` says over TCP.
pub(crate) const PASSWORD: &str = "superuser-of-the-tests";
/// The server refuses to run as root; then it runs as this (Debian's `nobody` and `nogroup`).
pub(crate) const NOBODY: u32 = 65_534;

/// A running server. It ends with the test, whatever becomes of that.
pub(crate) struct Postgres {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
    /// Settings beside, or instead of, those of every test.
    settings: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "the programs of a real server")]
fn program(name: &str) -> Command {
    Command::new(name)
}

/// The newest version there is, or the one whose programs are in the folder that `TOLLGATE_TEST_PG_BIN` names
/// (`scripts/newer`).
fn binaries() -> PathBuf {
    if let Some(named) = std::env::var_os("TOLLGATE_TEST_PG_BIN") {
        return named.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: run scripts/setup test");
    let versions = versions.map(|entry| entry.unwrap().path().join("bin"));
    let mut versions: Vec<_> = versions.filter(|bin| bin.join("initdb").exists()).collect();
    versions.sort();
    versions.pop().expect("PostgreSQL: run scripts/setup test")
}

/// One of the server's programs, as somebody who may run it, and who does not outlive this process.
fn as_server(name: &str) -> Command {
    let mut command = program("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
    }
    command.arg(binaries().join(name)).env_clear();
    command.env("LC_ALL", "C.UTF-8").current_dir("/");
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder in which the server may write.
fn folder() -> TempDir {
    let dir = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    dir
}

fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The cluster that every test copies, made by whichever test comes first.
fn template() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(tmp.join("postgres.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let version = binaries().parent().unwrap().file_name().unwrap().to_owned();
    let template = tmp.join(format!("postgres-{}", version.display()));
    if !template.exists() {
        let dir = folder();
        let (data, secret) = (dir.path().join("data"), dir.path().join("password"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(&secret, PASSWORD).unwrap();
        give(&data);
        give(&secret);
        let mut initdb = as_server("initdb");
        initdb.args([
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        ]);
        initdb.args([
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--wal-segsize=1",
        ]);
        succeed(initdb.arg("--pwfile").arg(&secret).arg("--pgdata").arg(&data));
        let half = tmp.join("postgres-half");
        let _ = std::fs::remove_dir_all(&half);
        succeed(program("cp").arg("-a").args([&data, &half]));
        std::fs::rename(half, &template).unwrap();
    }
    template
}

impl Postgres {
    /// A new server with nothing in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with other settings, `name=value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let template = template();
        let dir = folder();
        give(dir.path());
        succeed(
            program("cp")
                .arg("-a")
                .arg(&template)
                .arg(dir.path().join("data")),
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Self {
            dir,
            port,
            child: None,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
        };
        server.again().await;
        server
    }

    /// A standby of it, which follows asynchronously unless the server says otherwise.
    pub(crate) async fn follower(&self) -> Self {
        let dir = folder();
        give(dir.path());
        let data = dir.path().join("data");
        let mut copy = as_server("pg_basebackup");
        let source = format!(
            "host={} port={} user=postgres",
            self.dir.path().display(),
            self.port
        );
        copy.args(["-R", "-c", "fast", "-d", &source]);
        succeed(copy.arg("-D").arg(&data));
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut standby = Self {
            dir,
            port,
            child: None,
            settings: Vec::new(),
        };
        standby.again().await;
        until("a standby that follows", async || {
            let state = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            (self.sql("postgres", state) == "1").then_some(())
        })
        .await;
        standby
    }

    /// Other settings from its next start on.
    pub(crate) fn set(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    }

    /// Whether it is a standby from its next start on, of nobody.
    pub(crate) fn standby(&self, is: bool) {
        let signal = self.data().join("standby.signal");
        match is {
            true => {
                std::fs::write(&signal, "").unwrap();
                give(&signal);
            }
            false => std::fs::remove_file(signal).unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts it (again), on the same port, with the same data; ready when this returns.
    pub(crate) async fn again(&mut self) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let mut command = as_server("postgres");
        command.arg("-D").arg(self.data());
        for setting in [
            &format!("port={}", self.port),
            &format!("unix_socket_directories={}", self.dir.path().display()),
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "shared_buffers=16MB",
            "max_connections=60",
            "log_min_messages=log",
            "log_statement=all",
            "log_line_prefix=[%a] ",
        ] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let state = self.data().join("postmaster.pid");
        until("PostgreSQL is ready", async || {
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("PostgreSQL: {ended}: {}", self.log());
            }
            let lines = std::fs::read_to_string(&state).ok()?;
            let ready = lines
                .lines()
                .nth(7)
                .is_some_and(|line| matches!(line.trim(), "ready" | "standby"));
            ready.then_some(())
        })
        .await;
    }

    /// Stops it at once, as a crash does, when `hard`; else it breaks its connections and shuts down.
    pub(crate) fn stop(&mut self, hard: bool) {
        if let Some(mut child) = self.child.take() {
            let signal = if hard { Signal::QUIT } else { Signal::INT };
            let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            let _ = kill_process(id, signal);
            child.wait().unwrap();
        }
    }

    /// Tells it to break its connections and to shut down; [`Self::stop`] waits for that.
    pub(crate) fn shut_down(&self) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), Signal::INT).unwrap();
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `postgres://user@127.0.0.1:port/database`, without the secret.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@{}/{database}", self.address())
    }

    /// Runs a script as the superuser with `psql`, to what it prints (`a|b` per row, nothing else).
    pub(crate) fn sql(&self, database: &str, script: &str) -> String {
        self.sql_as(("postgres", PASSWORD), database, script)
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same as somebody with a password, over TCP; or what `psql` complains of.
    pub(crate) fn sql_as(
        &self,
        (user, password): (&str, &str),
        database: &str,
        script: &str,
    ) -> Result<String, String> {
        let mut psql = program("psql");
        psql.env_clear()
            .env("PGPASSWORD", password)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        let output = psql
            .args(["-d", &self.url(user, database), "-c", script])
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// All the server has written to its log, statements included.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(true);
    }
}

#[tokio::test]
async fn a_server_of_ones_own_keeps_its_data_over_a_crash() {
    let mut server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)",
    );
    for hard in [true, false] {
        server.stop(hard);
        server.again().await;
        assert_eq!(server.sql("shop", "SELECT * FROM t ORDER BY a"), "1|x\n2|");
    }
    assert!(server.log().contains("INSERT INTO t"));
    let refused = server
        .sql_as(("postgres", "a guess"), "shop", "SELECT 1")
        .unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
}
