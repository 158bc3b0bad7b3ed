//! Canaille, a provider that shares no code with the other one (`tests/peers/canaille`; Flask and Authlib): pages with
//! passwords and a consent of its own, `RS256` ID tokens, accounts that are locked.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::clock::System;
use tollgate::identity::provider::{
    Again, Oidc, OidcClient, Provider, Question, SignInError, SignedIn, Upstream,
};
use tollgate::identity::{Fetch, HttpFetch, IssuerSpec};
use tollgate::secret::Secret;
use url::Url;

use super::idp::RESOURCE;
use crate::peers::script;

/// The secret of its one client, `tollgate`.
pub(crate) const SECRET: &str = "the secret/of+this client";
const REDIRECT: &str = "http://127.0.0.1:7330/oauth/callback/corp";

/// A running provider; it ends with this value, or with the test process (its standard input closes).
pub(crate) struct Canaille {
    process: Child,
    _output: BufReader<ChildStdout>,
    pub(crate) issuer: String,
    fetch: HttpFetch,
}

impl Drop for Canaille {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Canaille {
    /// Starts it with one client, whose people come back at `redirect`.
    #[expect(clippy::disallowed_methods, reason = "the provider is another program")]
    pub(crate) fn start(redirect: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/canaille");
        let mut process = std::process::Command::new(folder.join(".venv/bin/python"))
            .arg(folder.join("provider.py"))
            .arg(redirect)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Canaille is not installed: run tests/peers/setup-canaille");
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

    /// Calls a test-only address.
    pub(crate) async fn ask(&self, what: &str, query: &[(&str, &str)]) {
        let url = format!("{}/test/{what}", self.issuer);
        let url = Url::parse_with_params(&url, query).unwrap();
        let answer = self.fetch.get(&url).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{what}: {text}");
    }

    fn party(&self) -> Oidc {
        let client = OidcClient {
            id: "tollgate".to_owned(),
            secret: Some(Secret::new(SECRET.to_owned())),
            scopes: vec!["openid".to_owned(), "groups".to_owned()],
            acr_values: Vec::new(),
        };
        let spec = IssuerSpec::new("corp", &self.issuer, RESOURCE);
        Oidc::new(spec, client, Arc::new(HttpFetch::new()), Arc::new(System::new())).unwrap()
    }
}

async fn sign_in(party: &Oidc, number: u8, user: &str) -> Result<SignedIn, SignInError> {
    let question = Question {
        redirect_uri: REDIRECT.to_owned(),
        state: format!("state-{number}").into(),
        nonce: format!("nonce-{number}").into(),
        verifier: char::from(b'a' + number).to_string().repeat(43).into(),
        max_age: None,
        acr_values: Vec::new(),
    };
    let url = party.begin(&question).await.unwrap();
    let words = format!("correct horse {user}");
    let spec = json!({"url": url.as_str(), "user": user, "password": words, "to": REDIRECT});
    let ended = script("person.py", spec).await;
    let at = Url::parse(ended["at"].as_str().unwrap()).unwrap();
    assert!(at.as_str().starts_with(REDIRECT), "{ended}");
    let fields: Vec<(String, String)> = at.query_pairs().into_owned().collect();
    party.finish(&question, &fields).await
}

fn stands(again: &Result<Again, SignInError>) -> bool {
    matches!(again, Ok(Again::Stands { .. }))
}

fn groups_and_next(again: Result<Again, SignInError>) -> (Vec<String>, Upstream) {
    match again {
        Ok(Again::Stands { claimed, upstream }) => (claimed.unwrap().into_iter().collect(), upstream),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_provider_says_who_somebody_is_and_whether_they_still_are() {
    let provider = Canaille::start(REDIRECT);
    let party = provider.party();
    let ana = sign_in(&party, 0, "ana").await.unwrap();
    assert_eq!((ana.issuer.as_str(), ana.subject.as_str()), ("corp", "ana"));
    let said: Vec<&str> = ana.claimed.iter().map(String::as_str).collect();
    assert_eq!(said, ["analysts", "painters"]);

    let (groups, next) = groups_and_next(party.again("ana", &ana.upstream).await);
    assert_eq!(groups, ["analysts", "painters"]);
    provider
        .ask("group", &[("user", "ana"), ("group", "analysts"), ("out", "1")])
        .await;
    let (groups, next) = groups_and_next(party.again("ana", &next).await);
    assert_eq!(
        groups,
        ["painters"],
        "taken out of a group, heard at the next question"
    );
    let other = party.again("bob", &next).await;
    assert!(!stands(&other), "it is ana's: {other:?}");

    // Taken out of the last one, the provider says nothing of groups any more: then nobody knows them.
    provider
        .ask("group", &[("user", "ana"), ("group", "painters"), ("out", "1")])
        .await;
    let unknown = party.again("ana", &next).await;
    assert!(!stands(&unknown), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_locked_at_an_independent_provider_stands_no_longer() {
    let provider = Canaille::start(REDIRECT);
    let party = provider.party();
    let bob = sign_in(&party, 0, "bob").await.unwrap();
    let (_, next) = groups_and_next(party.again("bob", &bob.upstream).await);
    provider.ask("lock", &[("user", "bob")]).await;
    let locked = party.again("bob", &next).await;
    // It says `invalid_request`, which is no answer to our question: sessions stop when `recheck_seconds` are over.
    assert!(!stands(&locked), "{locked:?}");
}
