//! `tollgate login`, `token`, `logout` and `stdio --server` as processes of their own, against a certified
//! provider (`tests/peers/idp/login.mjs`) and a Tollgate that takes its tokens.

mod bridge;
mod cache;
mod facade;
#[cfg(feature = "keyring")]
mod keyring;
mod provider;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::BINARY;
use crate::support::site::{Server, Site};
use provider::Provider;

/// A person's machine: a home of their own, and nothing else in the environment.
struct Machine {
    home: TempDir,
    /// Where its session bus is, if it has one.
    bus: Option<String>,
}

impl Machine {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            bus: None,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .args(arguments)
            .stdin(Stdio::null());
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        }
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Starts a login and reads what it shows the person.
    async fn begin(&self, arguments: &[&str], starts: &'static [&'static str]) -> (Login, Vec<String>) {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut notes = BufReader::new(child.stderr.take().unwrap());
            let (mut found, mut all) = (Vec::new(), String::new());
            while found.len() < starts.len() {
                let mut line = String::new();
                assert!(notes.read_line(&mut line).unwrap() > 0, "it ended: {all}");
                all.push_str(&line);
                if line.trim().starts_with(starts[found.len()]) {
                    found.push(line.trim().to_owned());
                }
            }
            (Login { child, notes }, found)
        });
        shown.await.unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(".local/state/tollgate")
    }

    /// The one login that is kept.
    fn file(&self) -> PathBuf {
        let is_login = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("login-") && !name.contains('.')
        };
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut logins = entries.map(|entry| entry.unwrap().path()).filter(is_login);
        logins.next().expect("no login is kept")
    }

    fn kept(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).unwrap()).unwrap()
    }

    /// As if the access token were about to end.
    fn age(&self) {
        let mut kept = self.kept();
        kept["tokens"]["expires_at"] = json!(1);
        std::fs::write(self.file(), kept.to_string()).unwrap();
    }
}

/// A login under way.
struct Login {
    child: Child,
    notes: BufReader<std::process::ChildStderr>,
}

impl Login {
    async fn end(mut self) -> (bool, String) {
        tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            self.child
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            self.notes.read_to_string(&mut said).unwrap();
            (self.child.wait().unwrap().success(), said)
        })
        .await
        .unwrap()
    }
}

/// A provider, and a Tollgate that takes its tokens.
struct Place {
    provider: Provider,
    site: Site,
    server: Server,
}

impl Place {
    async fn new() -> Self {
        let provider = Provider::start();
        let mut site = Site::new().await;
        let text = std::fs::read_to_string(site.config()).unwrap();
        let text = text.replacen("analyst = [", "analyst = [\"corp:analysts\", ", 1);
        std::fs::write(site.config(), text).unwrap();
        site.configure(&format!(
            "[[issuer]]\nname = \"corp\"\nurl = \"{}\"\nmode = \"bearer\"\ngroups_claim = \"/groups\"\n\
             login_client_id = \"tollgate-login\"\n",
            provider.issuer
        ));
        let server = site.serve().await;
        Self {
            provider,
            site,
            server,
        }
    }

    /// `login` at this place, with more arguments.
    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let base = [
            "login",
            "--server",
            &self.site.url,
            "--issuer",
            &self.provider.issuer,
        ];
        [&base, more].concat()
    }

    /// A person who has logged in with a browser.
    async fn person(&self) -> Machine {
        let machine = Machine::new();
        self.logs_in(&machine).await;
        machine
    }

    /// Somebody logs in there with a browser; what they are told.
    async fn logs_in(&self, machine: &Machine) -> String {
        let (login, shown) = machine.begin(&self.arguments(&["--browser"]), &["http"]).await;
        let page = self.provider.browser(&shown[0]).await;
        assert!(page["text"].as_str().unwrap().contains("Logged in"), "{page}");
        let (done, said) = login.end().await;
        assert!(done, "{said}");
        said
    }
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_with_a_browser_and_out_again() {
    let place = Place::new().await;
    let machine = place.person().await;
    let token = text(&machine.run(&["token"]).await); // of the last login
    assert_eq!(token.lines().count(), 1);
    let header = text(
        &machine
            .run(&["token", "--header", "--server", &place.site.endpoint()])
            .await,
    );
    let header: Value = serde_json::from_str(&header).unwrap();
    assert_eq!(
        header,
        json!({"Authorization": format!("Bearer {}", token.trim())})
    );
    let who = text(&machine.run(&["whoami", "--json"]).await);
    let who: Value = serde_json::from_str(&who).unwrap();
    assert_eq!(who["principal"]["user"]["id"], "corp#alice");
    assert_eq!(who["principal"]["user"]["groups"], json!(["analyst"]));
    assert_eq!(who["principal"]["agent"]["client_id"], "tollgate-login");
    assert_eq!(who["issuer"], json!(place.provider.issuer));
    assert_eq!(who["renewable"], true);
    let shown = text(&machine.run(&["whoami"]).await);
    assert!(
        shown.contains("corp#alice") && !shown.contains(token.trim()),
        "{shown}"
    );

    assert!(text(&machine.run(&["logout"]).await).contains("logged out"));
    assert_eq!(place.provider.counts().await["revoked"], 1);
    assert!(!machine.file_exists());
    let told = refusal(&machine.run(&["token"]).await);
    assert!(
        told.contains(&format!("tollgate login --server {}", place.site.url)),
        "{told}"
    );
    assert!(text(&machine.run(&["logout"]).await).contains("not logged in"));
    place.server.stop().await;
}

impl Machine {
    fn file_exists(&self) -> bool {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.any(|name| name.starts_with("login-") && !name.contains('.'))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_browser_types_a_code_elsewhere() {
    let place = Place::new().await;
    let machine = Machine::new(); // no DISPLAY: the device flow is chosen by itself
    let (login, shown) = machine.begin(&place.arguments(&[]), &["http", ""]).await;
    assert!(!shown[0].contains("user_code"), "pre-filled: {}", shown[0]);
    place.provider.type_code(&shown[0], &shown[1], true).await;
    let (done, said) = login.end().await;
    assert!(done, "{said}");
    assert!(!text(&machine.run(&["token"]).await).is_empty());

    let other = Machine::new();
    let (login, shown) = other.begin(&place.arguments(&["--device"]), &["http", ""]).await;
    place.provider.type_code(&shown[0], &shown[1], false).await;
    let (done, said) = login.end().await;
    assert!(!done && said.contains("access_denied"), "{said}");
    place.server.stop().await;
}

/// Four processes find the same token about to end: one renews it, and all have its result. Two uses of one
/// refresh token would have ended the session.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_renew_at_once_renew_once() {
    let place = Place::new().await;
    let machine = place.person().await;
    for round in 1..=3 {
        let before = text(&machine.run(&["token"]).await);
        machine.age();
        let all = futures::future::join_all((0..4).map(|_| machine.run(&["token"]))).await;
        let tokens: Vec<String> = all.iter().map(text).collect();
        assert!(
            tokens.iter().all(|token| *token == tokens[0] && *token != before),
            "{tokens:?}"
        );
        assert_eq!(place.provider.counts().await["refresh_token"], round);
    }
    place.server.stop().await;
}

/// A refresh token that was used by a thief ends the session at the provider; here it is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_elsewhere_is_forgotten() {
    let place = Place::new().await;
    let machine = place.person().await;
    let stolen = std::fs::read(machine.file()).unwrap();
    machine.age();
    text(&machine.run(&["token"]).await);
    let thief = Machine::new();
    std::fs::create_dir_all(thief.folder()).unwrap();
    for folder in [".local", ".local/state", ".local/state/tollgate"] {
        close(&thief.home.path().join(folder), 0o700);
    }
    let file = thief.folder().join(machine.file().file_name().unwrap());
    std::fs::write(&file, stolen).unwrap();
    close(&file, 0o600);
    thief.age();
    let server = ["token", "--server", &place.site.url];
    assert!(refusal(&thief.run(&server).await).contains("has ended"));
    machine.age();
    let told = refusal(&machine.run(&["token"]).await);
    assert!(
        told.contains("has ended") && told.contains("tollgate login"),
        "{told}"
    );
    assert!(!machine.file_exists());
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_works_also_when_the_server_is_away() {
    let place = Place::new().await;
    let machine = place.person().await;
    drop(place.provider);
    let said = text(&machine.run(&["logout"]).await);
    assert!(said.contains("was not told"), "{said}");
    assert!(!machine.file_exists());
    place.server.stop().await;
}

fn close(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
