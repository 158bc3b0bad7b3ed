//! The real server with a facade, in front of a provider.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};
use tollgate::demo::Way;

use crate::identity::idp::Idp;
use crate::peers::{clients, script};
use crate::support::process::Process;
use crate::support::site::Site;

/// A site whose people sign in at `provider` through the facade; nobody is registered.
pub(crate) async fn site(provider: &str, client: &str) -> Site {
    let site = Site::for_process().await;
    let key = site.dir.path().join("facade.key");
    std::fs::write(&key, "bm90LWEtc2VjcmV0LWJ1dC1sb25nLWVub3VnaC1mb3ItYS1rZXk=").unwrap();
    private(&key);
    let text = tollgate::demo::config_text(&site.url, None, "corp", provider, Way::Facade(&key))
        .replace(
            "client_id = \"tollgate\"",
            &format!("client_id = \"{client}\"\nscopes = [\"openid\", \"offline_access\"]"),
        )
        .replace("\"corp:analyst\"", "\"corp:analysts\"")
        .replace("registration = true\n", "recheck_seconds = 30\n");
    std::fs::write(site.config(), text).unwrap();
    site
}

/// More lines for `[facade]`.
pub(crate) fn with(site: &Site, lines: &str) {
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text = text.replacen("\n[facade]\n", &format!("\n[facade]\n{lines}\n"), 1);
    std::fs::write(site.config(), text).unwrap();
}

pub(super) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A client-ID metadata document over TLS (`tests/peers/clients/document.py`); ends with this value.
pub(super) struct Document {
    process: Child,
    _output: BufReader<ChildStdout>,
    pub(super) address: String,
    pub(super) authority: PathBuf,
}

impl Drop for Document {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Document {
    #[expect(clippy::disallowed_methods, reason = "another program serves the document")]
    pub(super) fn serve(folder: &Path) -> Self {
        let mut process = std::process::Command::new(clients().join(".venv/bin/python"))
            .arg(clients().join("document.py"))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run tests/peers/setup-clients");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the document is not served");
        Self {
            process,
            _output: output,
            address: ready["ready"].as_str().unwrap().to_owned(),
            authority: ready["authority"].as_str().unwrap().into(),
        }
    }
}

/// A server in front of `oidc-provider`.
pub(crate) struct Served {
    _idp: Idp,
    pub(crate) site: Site,
    pub(crate) server: Process,
}

impl Served {
    /// With more lines for `[facade]`.
    pub(crate) async fn with(lines: &str) -> Self {
        let idp = Idp::start();
        let mut site = site(&idp.issuer, "gate-none").await;
        with(&site, lines);
        let server = Process::serve(&mut site, &[]).await;
        Self {
            _idp: idp,
            site,
            server,
        }
    }
}

/// A person with a browser: `tests/peers/clients/person.py`.
pub(crate) async fn person(spec: Value) -> Value {
    script("person.py", spec).await
}

/// Somebody opens an address that a program showed, says yes, and signs in.
pub(crate) async fn signs_in(url: &str, user: &str, code: Option<&str>) -> Value {
    person(json!({"url": url, "user": user, "code": code})).await
}
