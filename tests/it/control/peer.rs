//! Signing in at a certified provider (npm `oidc-provider`), on the page and from the terminal.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tollgate::approval::review::Choice;
use tollgate::clock::System;
use tollgate::console::{self, Spec};
use tollgate::identity::{GroupMap, HttpFetch, Identity, IdentitySpec, IssuerSpec};

use super::place::{Browser, CLIENT, ID, OneRequest, SHA, form, sheet};
use crate::identity::idp::Idp;
use crate::support::BINARY;

struct Certified {
    idp: Idp,
    url: String,
    desk: Arc<OneRequest>,
    stop: CancellationToken,
}

impl Drop for Certified {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Certified {
    async fn start() -> Self {
        let idp = Idp::start();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let mut issuer = IssuerSpec::new("idp", idp.issuer.clone(), "http://127.0.0.1:7330/mcp");
        issuer.control_audience = Some(CLIENT.to_owned());
        let spec = IdentitySpec {
            issuers: vec![issuer],
            groups: GroupMap::parse([("dba", vec!["idp:analysts"])]).unwrap(),
            resource: "http://127.0.0.1:7330/mcp".to_owned(),
            scopes: Vec::new(),
            facade: None,
            own: Vec::new(),
        };
        let world = Arc::new(System::new());
        let identity = Identity::new(spec, Arc::new(HttpFetch::new()), world.clone()).unwrap();
        let desk = Arc::new(OneRequest::new(sheet("UPDATE orders SET status = 'closed'")));
        let spec = Spec::new(url.parse().unwrap(), 300, world);
        let stop = CancellationToken::new();
        tokio::spawn(console::serve(
            desk.clone(),
            identity.people(),
            spec,
            listener,
            stop.clone(),
        ));
        Self { idp, url, desk, stop }
    }
}

/// Goes to where `url` leads and says there who one is; gives what was asked, and where it ended.
async fn sign_in(browser: &mut Browser, idp: &Idp, url: &str, user: &str) -> (Value, String, String) {
    let (asked_at, asked) = browser.open(url).await;
    assert!(asked_at.starts_with(&idp.issuer), "{asked_at}");
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let (end, page) = browser.open(&format!("{asked_at}?user={user}")).await;
    (asked, end, page)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_signs_in_at_a_certified_provider_and_again_when_it_must() {
    let place = Certified::start().await;
    let mut browser = Browser::lenient();
    let page = format!("{}/approvals/{ID}", place.url);
    let (_, end, html) = sign_in(&mut browser, &place.idp, &page, "alice").await;
    assert_eq!(end, page);
    let approve = format!("/approvals/{ID}/approve");
    let fields = form(&html, &approve);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // Signed in there already, and asked all the same: max_age=0 and prompt=login.
    let again = format!("{}/sign-in?again=1&back=%2Fapprovals%2F{ID}", place.url);
    let (asked, end, fresh) = sign_in(&mut browser, &place.idp, &again, "alice").await;
    assert_eq!(asked["prompt"], "login", "{asked}");
    assert_eq!(end, page);
    let address = format!("{}{approve}", place.url);
    let stale = browser.submit(&address, &fields, Some(&place.url)).await;
    assert_eq!(stale.status(), 403, "a form of the session before");
    let fields = form(&fresh, &approve);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let done = browser.submit(&address, &fields, Some(&place.url)).await;
    assert_eq!(done.status(), 303);
    let decided = place.desk.decided.lock().unwrap().clone();
    assert_eq!(decided, [("idp#alice".to_owned(), Choice::Approve)]);
    // Somebody whose ID token says nothing of groups is nobody.
    let mut nobody = Browser::lenient();
    let (_, _, html) = sign_in(&mut nobody, &place.idp, &page, "bob").await;
    assert!(html.contains("Not signed in"), "{html}");
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn start(place: &Certified, arguments: &[&str]) -> std::process::Child {
    std::process::Command::new(BINARY)
        .arg("approvals")
        .args(arguments)
        .args(["--server", &place.url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a command whose person is alice; gives its exit code and output.
async fn as_alice(place: &Certified, arguments: &[&str]) -> (i32, String, String) {
    let mut child = start(place, arguments);
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let (url, mut notes) = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.starts_with("http") {
            line.clear();
            assert!(notes.read_line(&mut line).unwrap() > 0, "it ended without asking");
        }
        (line.trim().to_owned(), notes)
    })
    .await
    .unwrap();
    let (_, end, said) = sign_in(&mut Browser::lenient(), &place.idp, &url, "alice").await;
    assert!(
        end.contains("/callback?") && said.contains("<p>Signed in."),
        "{end}: {said}"
    );
    tokio::task::spawn_blocking(move || {
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let mut rest = String::new();
        notes.read_to_string(&mut rest).unwrap();
        (child.wait().unwrap().code().unwrap(), printed, rest)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_signs_in_at_a_certified_provider_and_decides() {
    let place = Certified::start().await;
    let (code, printed, notes) = as_alice(&place, &["list", "--json"]).await;
    assert_eq!(code, 0, "{notes}");
    let listed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(listed["approvals"][0]["id"], ID);
    let (code, printed, _) = as_alice(&place, &["show", ID]).await;
    assert_eq!(code, 0);
    assert!(
        printed.contains("UPDATE orders") && printed.contains("This cannot be undone"),
        "{printed}"
    );
    let wrong = "0".repeat(64);
    let (code, _, notes) = as_alice(&place, &["approve", ID, "--action", &wrong]).await;
    assert_eq!(code, 1);
    assert!(notes.contains("Not what you saw"), "{notes}");
    place
        .desk
        .needs_key
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let (code, _, notes) = as_alice(&place, &["approve", ID, "--action", SHA]).await;
    assert_eq!(code, 1, "no terminal asks for a security key");
    assert!(
        notes.contains("Security key needed") && notes.contains("in a browser"),
        "{notes}"
    );
    let (code, _, notes) = as_alice(&place, &["deny", ID, "--action", SHA, "--reason", "not today"]).await;
    assert_eq!(code, 0, "{notes}");
    let decided = place.desk.decided.lock().unwrap().clone();
    assert_eq!(json!(decided.len()), json!(1));
    assert_eq!(
        decided[0],
        ("idp#alice".to_owned(), Choice::Refuse("not today".to_owned()))
    );
}
