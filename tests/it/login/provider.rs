//! Starts the provider of `tests/peers/idp/login.mjs`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tollgate::identity::{Fetch, HttpFetch};
use url::Url;

use crate::identity::idp::node;

pub(super) struct Provider {
    process: Child,
    _output: BufReader<ChildStdout>,
    pub(super) issuer: String,
    fetch: HttpFetch,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "the provider is another program")]
    pub(super) fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/idp");
        let mut process = Command::new(node(&folder))
            .arg(folder.join("login.mjs"))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the provider did not start");
        Self {
            process,
            _output: output,
            issuer: ready["ready"].as_str().unwrap().to_owned(),
            fetch: HttpFetch::new(),
        }
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/test/{what}", self.issuer);
        let url = Url::parse_with_params(&url, query).unwrap();
        let answer = self.fetch.get(&url).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{what}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Opens an address as a browser does, to its end.
    pub(super) async fn browser(&self, url: &str) -> Value {
        self.ask("browser", &[("url", url)]).await
    }

    /// Types a device code and agrees, or not.
    pub(super) async fn type_code(&self, address: &str, code: &str, agrees: bool) -> Value {
        let mut query = vec![("address", address), ("code", code)];
        if !agrees {
            query.push(("no", "1"));
        }
        self.ask("type", &query).await
    }

    /// How often each grant was used.
    pub(super) async fn counts(&self) -> Value {
        self.ask("counts", &[]).await
    }
}
