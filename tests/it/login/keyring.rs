//! Logins in a real keyring: GNOME Keyring on a session bus of the test's own, read by `secret-tool` (libsecret),
//! which shares nothing with the program.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Machine, Place, close, refusal, text};

/// How our entries are found there.
const OURS: [&str; 2] = ["service", "tollgate"];
const SECRETS: &str = "org.freedesktop.secrets";

/// A desktop session: a bus, and an unlocked keyring on it. It ends with this value, or with the test process (the
/// shell's standard input closes, the bus ends with the shell, and the keyring with the bus).
struct Session {
    process: Child,
    _output: BufReader<ChildStdout>,
    desktop: Desktop,
    bus: String,
}

/// Where the keyring keeps its files, and where its sockets are.
struct Desktop {
    home: Arc<TempDir>,
    runtime: TempDir,
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Desktop {
    fn new(home: Arc<TempDir>) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        close(runtime.path(), 0o700);
        Self { home, runtime }
    }

    /// A program of the desktop, with nothing of the environment in which the tests run.
    #[expect(clippy::disallowed_methods, reason = "the desktop is other programs")]
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.runtime.path());
        command
    }
}

impl Session {
    fn start() -> Self {
        Self::of(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The person leaves the desktop and comes back: another bus, the same keyring, unlocked with the password.
    fn again(self) -> Self {
        let home = Arc::clone(&self.desktop.home);
        drop(self);
        Self::of(home)
    }

    /// The keyring has the empty password, and is unlocked by it when the session begins.
    fn of(home: Arc<TempDir>) -> Self {
        let desktop = Desktop::new(home);
        let script = "printf '\\n' | gnome-keyring-daemon --unlock --components=secrets >&2 && \
                      printf '%s\\n' \"$DBUS_SESSION_BUS_ADDRESS\" && read -r _";
        let mut process = desktop
            .program("dbus-run-session")
            .args(["--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-run-session is missing: run scripts/setup test");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut bus = String::new();
        output.read_line(&mut bus).unwrap();
        let session = Self {
            process,
            _output: output,
            desktop,
            bus: bus.trim().to_owned(),
        };
        assert!(
            !session.bus.is_empty(),
            "there is no keyring: run scripts/setup test"
        );
        session.ask("gdbus", &["wait", "--session", "--timeout", "60", SECRETS]);
        session
    }

    fn run(&self, name: &str, arguments: &[&str], input: &str) -> Output {
        let mut process = self
            .desktop
            .program(name)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; run scripts/setup test"));
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    }

    fn ask(&self, name: &str, arguments: &[&str]) -> String {
        text(&self.run(name, arguments, ""))
    }

    /// What an independent reader finds of ours: nothing, or one secret.
    fn kept(&self) -> Option<Value> {
        let output = self.run("secret-tool", &[&["lookup"], &OURS[..]].concat(), "");
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// How many entries of ours there are.
    fn entries(&self) -> usize {
        let output = self.run("secret-tool", &[&["search", "--all"], &OURS[..]].concat(), "");
        let told = String::from_utf8(output.stdout).unwrap();
        told.matches("secret = ").count()
    }

    /// As if the access token were about to end.
    fn age(&self) {
        let mut kept = self.kept().expect("nothing is kept");
        kept["expires_at"] = json!(1);
        let told = self.run("secret-tool", &[&["search", "--all"], &OURS[..]].concat(), "");
        let told = [told.stdout, told.stderr].concat(); // where it writes attributes depends on its version
        let told = String::from_utf8(told).unwrap();
        let name = told
            .lines()
            .find_map(|line| line.strip_prefix("attribute.username = "));
        let name = name.unwrap_or_else(|| panic!("{told}"));
        self.ask("secret-tool", &[&["clear"], &OURS[..]].concat());
        let store = [&["store", "--label", "tollgate"], &OURS[..], &["username", name]].concat();
        text(&self.run("secret-tool", &store, &kept.to_string()));
    }

    fn lock(&self) {
        let call = [
            "call",
            "--session",
            "--dest",
            SECRETS,
            "--object-path",
            "/org/freedesktop/secrets",
            "--method",
            "org.freedesktop.Secret.Service.Lock",
            "['/org/freedesktop/secrets/collection/login']",
        ];
        assert!(self.ask("gdbus", &call).contains("collection/login"));
    }

    /// A machine whose programs are of this session.
    fn machine(&self) -> Machine {
        on(&self.bus)
    }
}

fn on(bus: &str) -> Machine {
    Machine {
        bus: Some(bus.to_owned()),
        ..Machine::new()
    }
}

/// Neither token is in the file, or anywhere beside it.
fn nothing_in_files(machine: &Machine, tokens: &Value) {
    for entry in std::fs::read_dir(machine.folder()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for name in ["access", "refresh"] {
            assert!(!text.contains(tokens[name].as_str().unwrap()), "{text}");
        }
    }
    assert_eq!(machine.kept()["tokens"], Value::Null);
}

fn mode(machine: &Machine) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(machine.file()).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_a_login_are_in_the_keyring_and_in_no_file() {
    let (place, session) = (Place::new().await, Session::start());
    let machine = session.machine();
    let said = place.logs_in(&machine).await;
    assert!(!said.contains("keyring"), "{said}");
    let kept = session.kept().expect("the keyring has nothing");
    nothing_in_files(&machine, &kept);

    let token = text(&machine.run(&["token"]).await);
    assert_eq!(token.trim(), kept["access"]);
    let who: Value = serde_json::from_str(&text(&machine.run(&["whoami", "--json"]).await)).unwrap();
    assert_eq!(who["principal"]["user"]["id"], "corp#alice");
    assert_eq!(who["renewable"], true);

    place.logs_in(&machine).await; // in the place of the former login
    assert_eq!(place.provider.counts().await["revoked"], 1);
    assert_eq!(session.entries(), 1);
    assert_ne!(session.kept().unwrap()["refresh"], kept["refresh"]);

    // The same login, where nobody can ask the keyring.
    let mut elsewhere = machine;
    elsewhere.bus = None;
    let told = refusal(&elsewhere.run(&["token"]).await);
    assert!(
        told.contains("keyring") && told.contains("does not answer here"),
        "{told}"
    );
    let machine = Machine {
        bus: Some(session.bus.clone()),
        ..elsewhere
    };

    assert!(text(&machine.run(&["logout"]).await).contains("logged out"));
    assert_eq!(place.provider.counts().await["revoked"], 2);
    assert_eq!((session.kept(), session.entries()), (None, 0));
    assert!(!machine.file_exists());
    assert!(refusal(&machine.run(&["token"]).await).contains("tollgate login"));
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_renew_a_login_in_the_keyring_at_once_renew_once() {
    let (place, session) = (Place::new().await, Session::start());
    let machine = session.machine();
    place.logs_in(&machine).await;
    for round in 1..=2 {
        let before = session.kept().unwrap();
        session.age();
        let all = futures::future::join_all((0..4).map(|_| machine.run(&["token"]))).await;
        let tokens: Vec<String> = all.iter().map(text).collect();
        let kept = session.kept().unwrap();
        assert!(
            tokens.iter().all(|token| token.trim() == kept["access"]),
            "{tokens:?}"
        );
        assert_ne!(kept["access"], before["access"]);
        assert_ne!(kept["refresh"], before["refresh"]);
        assert_eq!(place.provider.counts().await["refresh_token"], round);
        assert_eq!(session.entries(), 1);
        nothing_in_files(&machine, &kept);
    }
    // The person takes it out by hand: logged out.
    session.ask("secret-tool", &[&["clear"], &OURS[..]].concat());
    assert!(refusal(&machine.run(&["token"]).await).contains("not logged in"));
    place.server.stop().await;
}

/// Where no window can ask for the password, a locked keyring neither gives nor takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keyring_is_named_and_a_file_takes_the_next_login() {
    let (place, session) = (Place::new().await, Session::start());
    let machine = session.machine();
    place.logs_in(&machine).await;
    let first = session.kept().unwrap();
    session.lock();
    for command in ["token", "whoami", "logout"] {
        let told = refusal(&machine.run(&[command]).await);
        assert!(
            told.contains("keyring") && told.contains("unlock it"),
            "{command}: {told}"
        );
    }
    assert!(
        machine.file_exists(),
        "the way to what the keyring has is not lost"
    );
    assert_eq!(place.provider.counts().await["revoked"], 0);

    let said = place.logs_in(&machine).await;
    assert!(said.contains("keyring does not take the login"), "{said}");
    let second = machine.kept()["tokens"].clone();
    assert_eq!(mode(&machine), 0o600);
    for name in ["access", "refresh"] {
        let (was, is) = (first[name].as_str().unwrap(), second[name].as_str().unwrap());
        assert!(was != is && !said.contains(was) && !said.contains(is), "{said}");
    }
    let token = text(&machine.run(&["token"]).await);
    assert_eq!(token.trim(), second["access"]);

    let session = session.again();
    assert_eq!(session.kept(), Some(first), "it was only locked");
    let machine = Machine {
        bus: Some(session.bus.clone()),
        ..machine
    };
    let token = text(&machine.run(&["token"]).await);
    assert_eq!(
        token.trim(),
        second["access"],
        "not the older one, which the keyring still has"
    );
    assert!(text(&machine.run(&["logout"]).await).contains("logged out"));
    assert_eq!((session.kept(), machine.file_exists()), (None, false));
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_keyring_answers_the_file_has_the_login() {
    let place = Place::new().await;
    let folder = tempfile::tempdir().unwrap();
    let silent = folder.path().join("silent");
    let _listener = UnixListener::bind(&silent).unwrap(); // takes connections and never says a word
    let nobody = folder.path().join("nobody");
    let address = |path: &std::path::Path| format!("unix:path={}", path.display());
    for bus in [address(&silent), address(&nobody), "no:address".to_owned()] {
        let machine = on(&bus);
        let said = place.logs_in(&machine).await;
        assert!(
            !said.contains("keyring"),
            "nobody is told of what they do not have: {said}"
        );
        assert_eq!(mode(&machine), 0o600);
        let token = text(&machine.run(&["token"]).await);
        assert_eq!(token.trim(), machine.kept()["tokens"]["access"]);
        assert!(text(&machine.run(&["logout"]).await).contains("logged out"));
        assert!(!machine.file_exists());
    }
    place.server.stop().await;
}
