//! A facade on loopback, a provider for people behind it, and a program in front of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Html;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tollgate::call::Hash;
use tollgate::clock::System;
use tollgate::identity::facade::{DocumentFetch, Documents, Facade, FacadeSpec, KnownClient, Times};
use tollgate::identity::provider::{Again, Provider, Question, SignInError, SignedIn, Upstream};
use tollgate::identity::seal::Seal;
use tollgate::identity::{Fetch, Form, HttpFetch};
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::{Store, Tuning};
use url::Url;

use crate::identity::idp::node;

/// The provider of `tests/peers/idp/people.mjs`; ends with this value.
pub(super) struct People {
    process: Child,
    _output: BufReader<ChildStdout>,
    pub(super) issuer: String,
}

impl Drop for People {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl People {
    #[expect(clippy::disallowed_methods, reason = "the provider is another program")]
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/idp");
        let mut process = std::process::Command::new(node(&folder))
            .arg(folder.join("people.mjs"))
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
        }
    }
}

/// A relying party just good enough to show that the browser's half of the facade is right.
#[derive(Debug)]
struct Party {
    issuer: String,
    fetch: HttpFetch,
}

impl Provider for Party {
    fn name(&self) -> &str {
        "corp"
    }

    fn begin<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Url, SignInError>> {
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(question.verifier.as_bytes()).0);
        let fields = [
            ("client_id", "gate"),
            ("response_type", "code"),
            ("scope", "openid"),
            ("redirect_uri", &question.redirect_uri),
            ("state", &question.state),
            ("nonce", &question.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let url = Url::parse_with_params(&format!("{}/auth", self.issuer), fields).unwrap();
        Box::pin(async { Ok(url) })
    }

    fn finish<'a>(
        &'a self,
        question: &'a Question,
        fields: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<SignedIn, SignInError>> {
        Box::pin(async move {
            let get = |name: &str| {
                fields
                    .iter()
                    .find(|(one, _)| one == name)
                    .map(|(_, value)| value.as_str())
            };
            if let Some(error) = get("error") {
                return Err(SignInError::Refused(error.to_owned()));
            }
            assert_eq!(get("iss"), Some(self.issuer.as_str()));
            let form = Form {
                fields: &[
                    ("grant_type", "authorization_code"),
                    ("client_id", "gate"),
                    ("code", get("code").unwrap()),
                    ("redirect_uri", &question.redirect_uri),
                    ("code_verifier", &question.verifier),
                ],
                authorization: None,
            };
            let token = Url::parse(&format!("{}/token", self.issuer)).unwrap();
            let answer = self.fetch.post(&token, form).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            let claims = answer["id_token"]
                .as_str()
                .unwrap()
                .split('.')
                .nth(1)
                .unwrap()
                .to_owned();
            let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
            assert_eq!(claims["nonce"], question.nonce.as_str());
            Ok(SignedIn {
                issuer: "corp".to_owned(),
                subject: claims["sub"].as_str().unwrap().to_owned(),
                claimed: ["analysts".to_owned()].into(),
                auth_time: None,
                acr: None,
                sid: None,
                upstream: Upstream::default(),
            })
        })
    }

    fn again<'a>(&'a self, _: &'a str, _: &'a Upstream) -> BoxFuture<'a, Result<Again, SignInError>> {
        Box::pin(async { Ok(Again::CannotAsk) })
    }
}

/// Everything a browser meets.
pub(super) struct Gate {
    pub(super) url: String,
    /// Where the program listens: any path is answered with a page that says so.
    pub(super) program: String,
    pub(super) people: People,
    _folder: TempDir,
}

/// A server of one page, at any path; its address.
pub(crate) async fn page(html: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move || async move { Html(html) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl Gate {
    pub(super) async fn open() -> Self {
        let people = People::start();
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("a.db").display());
        let store = Store::open(&store, &Tuning::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let party = Arc::new(Party {
            issuer: people.issuer.clone(),
            fetch: HttpFetch::new(),
        });
        let key = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
        let facade = Arc::new(Facade::new(
            spec(&url),
            Rows::new(store),
            vec![party],
            Arc::new(Seal::new(vec![key]).unwrap()),
            Arc::new(DocumentFetch::new(true)),
            Arc::new(System::new()),
        ));
        let router = Router::new().fallback(move |request: Request| answer(Arc::clone(&facade), request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            program: page("<title>The program</title>".to_owned()).await,
            people,
            _folder: folder,
        }
    }

    /// A request of a client that takes its answer at `path` of the program.
    pub(super) fn asks(&self, client: &str, path: &str) -> String {
        let fields = [
            ("client_id", client),
            ("redirect_uri", &format!("{}{path}", self.program)),
            ("response_type", "code"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("state", "s 1"),
        ];
        Url::parse_with_params(&format!("{}/oauth/authorize", self.url), fields)
            .unwrap()
            .into()
    }
}

async fn answer(facade: Arc<Facade>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 256 * 1024).await.unwrap().to_vec();
    let request = http::Request::from_parts(parts, body);
    let answer = facade.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
    answer.map(Body::from)
}

fn spec(url: &str) -> FacadeSpec {
    let client = |id: &str, path: &str| KnownClient {
        id: id.to_owned(),
        name: format!("The program {id}"),
        redirect_uris: vec![Url::parse(&format!("http://127.0.0.1{path}")).unwrap()],
    };
    FacadeSpec {
        url: url.to_owned(),
        resource: format!("{url}/mcp"),
        scopes: BTreeMap::new(),
        times: Times {
            access: Duration::from_secs(900),
            idle: Duration::from_secs(3600),
            session: Duration::from_secs(7200),
            recheck: Duration::from_secs(600),
            unchecked: Duration::from_secs(3600),
        },
        registration: false,
        documents: Some(Documents {
            hosts: None,
            allow_private: true,
        }),
        clients: vec![client("first", "/first"), client("second", "/second")],
    }
}
