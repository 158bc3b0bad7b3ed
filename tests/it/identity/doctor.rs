//! `tollgate doctor identity` as a process, in front of the certified provider.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;
use url::Url;

use super::idp::Idp;
use crate::support::BINARY;

const SECRET: &str = "s e+cret/%-of-this-test-alone-0123456789";

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "identity"])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .env("SECRET", SECRET)
        .env("WRONG", "wrong-secret-of-this-test")
        .env("KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    command
}

async fn doctor(folder: &Path, more: &[&str]) -> Output {
    let mut command = command(folder, more);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn write(folder: &Path, issuer: &str) {
    let config = format!(
        "[server]\npublic_url = \"https://gate.example.com\"\ncontrol_listen = \"127.0.0.1:7331\"\n\
         control_url = \"http://localhost:7331\"\n[store]\nurl = \"sqlite:t.db\"\n[facade]\nkey = \"env:KEY\"\n\
         [[issuer]]\nname = \"corp\"\ngroups_claim = \"/groups\"\n{issuer}"
    );
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::fs::write(folder.join("tollgate.toml"), config).unwrap();
}

fn said(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    let text = String::from_utf8(both).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("wrong-secret"), "{text}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_a_provider_that_fits_from_one_that_does_not() {
    let idp = Idp::start();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let opaque = format!(
        "url = \"{}\"\nmode = \"bearer\"\nopaque = true\nclient_id = \"tollgate:asks\"\nclient_secret = \"env:SECRET\"\n\
         control_audience = \"tollgate-control\"\n",
        idp.issuer
    );
    write(dir, &opaque);
    let output = doctor(dir, &[]).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for part in [
        "discovery: it is http://127.0.0.1:",
        "keys: 5 can be used",
        "clock: 0 s apart",
        "redirect URI to register there: http://localhost:7331/signed-in/corp",
        "people who decide: the issuer accepts our client credentials",
        "opaque tokens: it can be asked at",
    ] {
        assert!(
            text.replace("clock: 1 s", "clock: 0 s").contains(part),
            "{part} in {text}"
        );
    }
    let json = doctor(dir, &["--json", "--issuer", "corp"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json[0]["issuer"], "corp");

    write(dir, &opaque.replace("env:SECRET", "env:WRONG"));
    let output = doctor(dir, &[]).await;
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("refuses our client_id"),
        "{text}"
    );

    let facade = format!(
        "url = \"{}\"\nclient_id = \"tollgate:asks\"\nclient_secret = \"env:WRONG\"\n",
        idp.issuer
    );
    write(dir, &facade);
    let output = doctor(dir, &[]).await;
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    for part in [
        "redirect URI to register there: https://gate.example.com/oauth/callback/corp",
        "agents: the issuer refuses our client (invalid_client)",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }

    write(dir, &opaque.replacen("\"\nmode", "/\"\nmode", 1));
    let output = doctor(dir, &[]).await;
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("names another issuer") && text.contains(&idp.issuer),
        "{text}"
    );
    let none = doctor(dir, &["--issuer", "nobody"]).await;
    assert!(said(&none).contains("there is no such [[issuer]]"));
}

/// Starts `doctor identity --login` and gives the address it asks the person to open.
#[expect(
    clippy::zombie_processes,
    reason = "whoever gets the child waits for it; a panic ends the test's process"
)]
fn begin(folder: &Path, more: &[&str]) -> (Child, BufReader<ChildStderr>, Url) {
    let mut command = command(folder, &[&["--login"], more].concat());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(
            notes.read_line(&mut line).unwrap() > 0,
            "it ended without an address"
        );
        if let Ok(url) = Url::parse(line.trim()) {
            return (child, notes, url);
        }
    }
}

/// Signs `user` in as a browser does, and reads all that the doctor says then.
async fn signs_in(idp: &Idp, folder: &Path, more: &[&str], user: &str) -> (bool, String) {
    let (mut child, mut notes, url) = begin(folder, more);
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri");
    let redirect = redirect.unwrap().1.into_owned();
    assert!(redirect.starts_with("http://127.0.0.1:"), "{redirect}");
    let query = [("url", url.as_str()), ("to", redirect.as_str()), ("user", user)];
    let end = idp.ask("visit", &query).await;
    let http = tollgate::app::http_client().unwrap();
    let page = http.get(end.as_str().unwrap()).send().await.unwrap();
    assert_eq!(page.status(), 200);
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        notes.read_to_string(&mut text).unwrap();
        let passed = child.wait().unwrap().success();
        (passed, text.split_whitespace().collect::<Vec<_>>().join(" "))
    })
    .await
    .unwrap()
}

/// What is asked at an issuer whose people sign in at the facade, and what a real sign-in there says.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_sign_in_is_read_at_an_issuer_of_the_facade() {
    let idp = Idp::start();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let facade = |scopes: &str| {
        format!(
            "url = \"{}\"\nclient_id = \"gate-none\"\nscopes = {scopes}\n\
             [groups]\nanalyst = [\"corp:analysts\"]\n",
            idp.issuer
        )
    };
    write(dir, &facade("[\"openid\", \"offline_access\"]"));
    let as_a_terminal = ["--client", "tollgate-control"];
    let (passed, text) = signs_in(&idp, dir, &as_a_terminal, "alice").await;
    assert!(passed, "{text}");
    for part in [
        "agents: redirect URI to register there: https://gate.example.com/oauth/callback/corp",
        "agents: the issuer accepts our client credentials",
        "standing: asked again by refresh token",
        "logout: it can tell us when it ends a session",
        "sign-in: the ID token's signature is right",
        "groups: 2 there: analysts, unmapped",
        "groups: here these make analyst",
        "auth_time: said",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("eyJ"), "no token is shown: {text}");
    // Without refresh tokens it says so; who has no groups would be kept out, and it says that.
    write(dir, &facade("[\"openid\"]"));
    let (passed, text) = signs_in(&idp, dir, &as_a_terminal, "bob").await;
    assert!(!passed, "{text}");
    for part in [
        "standing: asked again at the userinfo endpoint",
        "every sign-in is refused until that is mended",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
