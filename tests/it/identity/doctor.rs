//! `tollgate doctor identity` as a process, in front of the certified provider.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::idp::Idp;
use crate::support::BINARY;

const SECRET: &str = "s e+cret/%-of-this-test-alone-0123456789";

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
async fn doctor(folder: &Path, more: &[&str]) -> Output {
    let mut command = std::process::Command::new(BINARY);
    command
        .args(["doctor", "identity"])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .env("SECRET", SECRET)
        .env("WRONG", "wrong-secret-of-this-test")
        .env("KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
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
