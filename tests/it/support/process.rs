//! The real binary as a process of its own, on a site.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tollgate::audit::list::{Listed, Query};
use tollgate::store::read::RecordFilter;

use super::site::Site;
use super::{BINARY, until};

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

/// Runs a command of the binary on the site's configuration to its end.
pub(crate) fn tollgate(site: &Site, arguments: &[&str]) -> Output {
    on(&site.config(), arguments)
}

/// Runs a command of the binary on a configuration, in its folder, to its end.
pub(crate) fn on(config: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = command(BINARY);
    command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .current_dir(config.parent().unwrap());
    command.output().unwrap()
}

/// Runs a command for which somebody signs in in a browser, to its exit code, what it prints and its notes. Whoever the
/// site's issuer has at the browser is who signs in.
pub(crate) async fn signed_in(site: &Site, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(BINARY);
    command
        .args(arguments)
        .arg("--config")
        .arg(site.config())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.starts_with("http") {
            line.clear();
            let read = notes.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without asking");
        }
        (line.trim().to_owned(), notes)
    });
    let (url, mut notes) = reading.await.unwrap();
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = browser.get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Signed in."), "{page}");
    let reading = tokio::task::spawn_blocking(move || {
        let (mut printed, mut rest) = (String::new(), String::new());
        let mut out = child.stdout.take().unwrap();
        out.read_to_string(&mut printed).unwrap();
        notes.read_to_string(&mut rest).unwrap();
        (child.wait().unwrap().code().unwrap(), printed, rest)
    });
    reading.await.unwrap()
}

/// What `audit verify --json` says; the exit code has to agree.
pub(crate) fn verify(site: &Site, more: &[&str]) -> Value {
    let output = tollgate(site, &[&["audit", "verify", "--json"], more].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["intact"], json!(output.status.success()), "{report}");
    report
}

/// Records of the site's journal, oldest first.
pub(crate) async fn records(site: &Site, filter: RecordFilter) -> Vec<Listed> {
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let query = Query {
        filter,
        limit: 1000,
        page: None,
        oldest_first: true,
    };
    // Before the server has made it there is no journal yet.
    match tollgate::app::audit_list(&config, &query).await {
        Ok(page) => page.items,
        Err(_) => Vec::new(),
    }
}

/// Records of one phase.
pub(crate) async fn phase(site: &Site, phase: &str) -> Vec<Listed> {
    let filter = RecordFilter {
        phase: Some(phase.to_owned()),
        ..RecordFilter::default()
    };
    records(site, filter).await
}

/// Waits until so many records of one phase are durable, and gives them.
pub(crate) async fn wait_for(site: &Site, word: &str, count: usize) -> Vec<Listed> {
    until(&format!("{count} × {word} on record"), async || {
        Some(phase(site, word).await).filter(|records| records.len() >= count)
    })
    .await
}

/// Every record of one call with what was offered, as JSON.
pub(crate) async fn history(site: &Site, call_id: &str) -> Value {
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let history = tollgate::app::audit_show(&config, call_id).await;
    serde_json::to_value(history.unwrap()).unwrap()
}

/// An answer a client has got is on record exactly so.
pub(crate) async fn assert_on_record(site: &Site, result: &Value) {
    let call_id = result["structuredContent"]["call_id"].as_str().unwrap();
    let kept = history(site, call_id).await["kept"].clone();
    assert_eq!(kept["state"], json!("held"), "{call_id}");
    assert_eq!(kept["offered"]["structured"], result["structuredContent"]);
    assert_eq!(kept["offered"]["text"], result["content"][0]["text"]);
}

/// `tollgate serve`.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it and waits until it serves.
    pub(crate) async fn serve(site: &mut Site, arguments: &[&str]) -> Self {
        let mut command = command(BINARY);
        command.args(arguments);
        Self::start(site, command).await
    }

    /// The same where a file that may not grow is an error and not the end (SIGXFSZ is ignored).
    pub(crate) async fn serve_bounded(site: &mut Site) -> Self {
        let mut command = command("/bin/sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
        Self::start(site, command).await
    }

    /// Trusting, over TLS, whatever this authority (a PEM file) vouches for.
    pub(crate) async fn serve_trusting(site: &mut Site, authority: &std::path::Path) -> Self {
        let mut command = command(BINARY);
        command.env("SSL_CERT_FILE", authority);
        Self::start(site, command).await
    }

    /// One more server of the site, with a configuration of its own beside the site's.
    pub(crate) async fn replica(site: &Site, config: &std::path::Path) -> Self {
        Self::start_on(site, config, command(BINARY)).await
    }

    /// The same by another program of this kind.
    pub(crate) async fn replica_of(site: &Site, config: &std::path::Path, program: &std::path::Path) -> Self {
        Self::start_on(site, config, command(program.to_str().unwrap())).await
    }

    async fn start(site: &mut Site, command: Command) -> Self {
        drop(site.listener.take()); // the port is its to take
        let config = site.config();
        Self::start_on(site, &config, command).await
    }

    async fn start_on(site: &Site, config: &std::path::Path, mut command: Command) -> Self {
        let log = config.with_file_name(match config == site.config() {
            true => "serve.log".to_owned(),
            false => format!("{}.log", config.file_stem().unwrap().display()),
        });
        let started = std::fs::read_to_string(&log).unwrap_or_default().len();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.unwrap();
        command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .current_dir(site.dir.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = command.spawn().unwrap();
        let mut process = Self { child, log };
        until("a server that serves", async || {
            let log = process.log();
            assert!(process.child.try_wait().unwrap().is_none(), "it ended: {log}");
            let new = log.get(started..).unwrap_or_default();
            new.contains("serving MCP").then_some(())
        })
        .await;
        process
    }

    /// Everything on standard output and error so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8(std::fs::read(&self.log).unwrap()).unwrap()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        until("the end of the server", async || self.child.try_wait().unwrap()).await
    }

    /// Waits for its end, and gives all it has said.
    pub(crate) async fn log_at_end(self) -> String {
        let log = self.log.clone();
        let ended = self.exit().await;
        assert!(ended.success(), "{ended}");
        String::from_utf8(std::fs::read(log).unwrap()).unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tollgate stdio` with an open session of the older era.
pub(crate) struct Lines {
    child: Child,
    write: Option<Box<dyn Write + Send>>,
    read: BufReader<ChildStdout>,
    log: tempfile::NamedTempFile,
    next: u64,
}

impl Lines {
    pub(crate) fn start(site: &Site) -> Self {
        let (theirs, ours) = std::io::pipe().unwrap();
        Self::reading(site, theirs.into(), Box::new(ours))
    }

    /// With an input that only a thread of its own can read, as a terminal is.
    pub(crate) fn start_on_a_socket(site: &Site) -> Self {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        Self::reading(site, std::os::fd::OwnedFd::from(theirs).into(), Box::new(ours))
    }

    fn reading(site: &Site, input: Stdio, write: Box<dyn Write + Send>) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = command(BINARY);
        command
            .arg("stdio")
            .arg("--config")
            .arg(site.config())
            .current_dir(site.dir.path())
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdio = Self {
            write: Some(write),
            read: BufReader::new(child.stdout.take().unwrap()),
            child,
            log,
            next: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "lines", "version": "1" },
        });
        stdio.request("initialize", &hello);
        stdio.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        stdio
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.write.as_mut().unwrap(), "{message}").unwrap();
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params }));
        let mut line = String::new();
        self.read.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["id"], json!(self.next), "{message}");
        message["result"].clone()
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Ends its input and waits for it.
    pub(crate) fn finish(mut self) -> ExitStatus {
        drop(self.write.take());
        let status = self.child.wait().unwrap();
        self.assert_quiet();
        status
    }

    /// Tells it to stop, with its input still open, and waits for it.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = until("the end of stdio", async || self.child.try_wait().unwrap()).await;
        self.assert_quiet();
        status
    }

    fn assert_quiet(&self) {
        let log = std::fs::read_to_string(self.log.path()).unwrap();
        assert!(!log.contains("ERROR"), "{log}");
    }
}
