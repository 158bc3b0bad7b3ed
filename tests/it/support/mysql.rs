//! A MariaDB server of the test's own, with Debian's programs: a copy of a data folder that is made once.
//!
//! `TOLLGATE_TEST_MYSQLD` names another server's program, of MariaDB or of MySQL, to be started instead; its client lies
//! where Debian puts it, in `../bin` from there (`scripts/newer` brings both).

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{Seek, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::until;

/// What `root` says over TCP.
pub(crate) const PASSWORD: &str = "root-of-the-tests";
/// The server does not run as root (Debian's `nobody` and `nogroup`).
pub(crate) const NOBODY: u32 = 65_534;

/// A running server. It ends with the test, whatever becomes of that.
pub(crate) struct Mysql {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
    /// Settings beside those of every test.
    settings: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "the programs of a real server")]
fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// What is started.
struct Server {
    program: PathBuf,
    /// What it says it is, if it is not the machine's own.
    version: Option<String>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var_os("TOLLGATE_TEST_MYSQLD") {
        Some(named) => Server {
            version: Some(succeed(program(&named).arg("--version"))),
            program: named.into(),
        },
        None => Server {
            program: "mariadbd".into(),
            version: None,
        },
    })
}

/// Whether the tests run against MySQL itself, which lacks some of what MariaDB has.
pub(crate) fn is_mysql() -> bool {
    let version = server().version.as_ref();
    version.is_some_and(|version| !version.contains("MariaDB"))
}

/// The folder above the server's, where it is not the machine's own.
fn above() -> Option<&'static Path> {
    server().version.as_ref()?;
    server().program.parent()?.parent()
}

/// A program beside the server.
fn beside(name: &str) -> PathBuf {
    above().map_or_else(|| name.into(), |above| above.join("bin").join(name))
}

fn client() -> Command {
    program(beside(if is_mysql() { "mysql" } else { "mariadb" }))
}

/// One of the server's programs, as somebody who may run it, and who does not outlive this process.
fn as_server(name: impl AsRef<OsStr>) -> Command {
    let mut command = program("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
    }
    command.arg(name).env_clear().env("LC_ALL", "C.UTF-8");
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/");
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("MariaDB: run scripts/setup test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A script as the server understands it: what MariaDB alone has, MySQL has by other names or as a text.
fn of_server(script: &str) -> String {
    if !is_mysql() {
        return script.to_owned();
    }
    let numbers = "(WITH RECURSIVE s (seq) AS (SELECT $1 UNION ALL SELECT seq + 1 FROM s WHERE seq < $2) SELECT seq FROM s) AS numbers";
    let mut said = script.to_owned();
    for (there, here) in [
        (r"\bseq_([0-9]+)_to_([0-9]+)\b", numbers),
        (r"\buuid([,)])", "char(36)$1"),
        (r"\binet6([,)])", "varchar(39)$1"),
        (r"\bmax_statement_time = 0\.5", "max_execution_time = 500"),
        (r"\bmysql\.global_priv\b", "mysql.user"),
    ] {
        let there = regex::Regex::new(there).unwrap();
        said = there.replace_all(&said, here).into_owned();
    }
    match said.contains(" RECURSIVE s (seq) ") {
        true => format!("SET SESSION cte_max_recursion_depth = 1000000; {said}"),
        false => said,
    }
}

/// A folder in which the server may write.
fn folder() -> TempDir {
    let dir = tempfile::Builder::new().prefix("my").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    if geteuid().is_root() {
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    dir
}

/// What makes the data of a server with nothing in it, in which `root` needs no password on this machine.
fn install() -> Command {
    if is_mysql() {
        let mut install = as_server(&server().program);
        install.args(["--no-defaults", "--initialize-insecure"]);
        return install;
    }
    let mut install = as_server(beside("mariadb-install-db"));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
    install.args(["--skip-test-db", "--innodb-log-file-size=4M"]);
    if let Some(above) = above() {
        install.arg(format!("--basedir={}", above.display()));
    }
    install
}

/// The data that every test copies, made by whichever test comes first.
fn template() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(tmp.join("mariadb.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let template = match &server().version {
        // By what it says: the program behind a name may have become another.
        Some(version) => {
            let version: String = version.chars().filter(char::is_ascii_alphanumeric).collect();
            tmp.join(format!("mysql-data-{version}"))
        }
        None => tmp.join("mariadb-data"),
    };
    if !template.exists() {
        let dir = folder();
        let data = dir.path().join("data");
        succeed(install().arg(format!("--datadir={}", data.display())));
        let half = tmp.join("mariadb-half");
        let _ = std::fs::remove_dir_all(&half);
        succeed(program("cp").arg("-a").args([&data, &half]));
        std::fs::rename(half, &template).unwrap();
    }
    template
}

impl Mysql {
    /// A new server with nothing in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with other settings, `name=value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let template = template();
        let dir = folder();
        let data = dir.path().join("data");
        succeed(program("cp").arg("-a").arg(&template).arg(data));
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
        let root = format!(
            "DROP USER IF EXISTS root@127.0.0.1; CREATE USER root@127.0.0.1 IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION"
        );
        server.sql("mysql", &root);
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it (again), on the same port, with the same data; ready when this returns.
    pub(crate) async fn again(&mut self) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path("errors"))
            .unwrap();
        let mut command = as_server(&server().program);
        command.arg("--no-defaults");
        for setting in [
            &format!("datadir={}", self.path("data").display()),
            &format!("socket={}", self.path("socket").display()),
            &format!("pid-file={}", self.path("pid").display()),
            &format!("general-log-file={}", self.path("log").display()),
            &format!("tmpdir={}", self.dir.path().display()),
            &format!("port={}", self.port),
            "bind-address=127.0.0.1",
            "skip-name-resolve",
            "general-log=1",
            "innodb-buffer-pool-size=16M",
            "innodb-flush-log-at-trx-commit=2",
            "innodb-buffer-pool-load-at-startup=0",
            "innodb-buffer-pool-dump-at-shutdown=0",
            "key-buffer-size=1M",
            "max-connections=60",
        ] {
            command.arg(format!("--{setting}"));
        }
        command.args(match is_mysql() {
            true => [
                "--skip-log-bin",
                "--mysqlx=OFF",
                "--secure-file-priv=",
                "--innodb-redo-log-capacity=8M",
                "--explain-format=TRADITIONAL",
            ]
            .as_slice(),
            false => &["--aria-pagecache-buffer-size=8M", "--innodb-log-file-size=4M"],
        });
        for setting in &self.settings {
            command.arg(format!("--{setting}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("MariaDB: run scripts/setup test"));
        until("MariaDB is ready", async || {
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!(
                    "MariaDB: {ended}: {}",
                    std::fs::read_to_string(self.path("errors")).unwrap()
                );
            }
            self.try_sql("mysql", "SELECT 1").ok()
        })
        .await;
    }

    /// Stops it at once, as a crash does, when `hard`; else it shuts down.
    pub(crate) fn stop(&mut self, hard: bool) {
        if let Some(mut child) = self.child.take() {
            let signal = if hard { Signal::KILL } else { Signal::TERM };
            let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            let _ = kill_process(id, signal);
            child.wait().unwrap();
        }
    }

    /// Tells it to end, at once as a crash does when `hard`; [`Self::stop`] waits for that.
    pub(crate) fn signal(&self, hard: bool) {
        let signal = if hard { Signal::KILL } else { Signal::TERM };
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// `mysql://user@127.0.0.1:port/database`, without the secret.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a script as root with the server's own client, to what it prints (a tab between values, nothing else).
    pub(crate) fn sql(&self, database: &str, script: &str) -> String {
        self.try_sql(database, script)
            .unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, or what the client complains of.
    pub(crate) fn try_sql(&self, database: &str, script: &str) -> Result<String, String> {
        let socket = format!("--socket={}", self.path("socket").display());
        Self::client(&["--user=root", &socket, database], script)
    }

    /// The same by a client with another character set, read from its standard input as a script is.
    pub(crate) fn sql_in(&self, charset: &str, database: &str, script: &str) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(script.as_bytes()).unwrap();
        file.rewind().unwrap();
        let mut client = client();
        client
            .env_clear()
            .args(["--no-defaults", "--batch", "--user=root"]);
        client.arg(format!("--default-character-set={charset}"));
        client.arg(format!("--socket={}", self.path("socket").display()));
        let output = client.arg(database).stdin(file).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The same as somebody with a password, over TCP.
    pub(crate) fn sql_as(
        &self,
        (user, password): (&str, &str),
        database: &str,
        script: &str,
    ) -> Result<String, String> {
        let (user, port) = (format!("--user={user}"), format!("--port={}", self.port));
        let words = format!("--password={password}");
        Self::client(&[&user, &words, "--host=127.0.0.1", &port, database], script)
    }

    fn client(arguments: &[&str], script: &str) -> Result<String, String> {
        let script = of_server(script);
        let mut client = client();
        client
            .env_clear()
            .args(["--no-defaults", "--batch", "--skip-column-names"]);
        client.arg("--default-character-set=utf8mb4").args(arguments);
        let output = client.arg(format!("--execute={script}")).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// Every statement that the server was sent.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        self.stop(true);
    }
}

#[tokio::test]
async fn a_server_of_ones_own_keeps_its_data_over_a_crash() {
    let mut server = Mysql::start().await;
    server.sql("mysql", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)",
    );
    for hard in [true, false] {
        server.stop(hard);
        server.again().await;
        assert_eq!(server.sql("shop", "SELECT * FROM t ORDER BY a"), "1\tx\n2\tNULL");
    }
    assert!(server.log().contains("INSERT INTO t"));
    let refused = server
        .sql_as(("root", "a guess"), "shop", "SELECT 1")
        .unwrap_err();
    assert!(refused.contains("Access denied"), "{refused}");
}
