//! Every way in and out of the facade is used, well and badly, on the real binary; then everything that is left
//! behind or went out is searched for every secret that ever existed in the run.
//!
//! Not searched: what a token, a code or a cookie is handed out in (it has to be there), and the files that hold the
//! secrets of the configuration. The short code of a device is not looked for in the store: what a person types has
//! to be found there, and it opens nothing without their sign-in.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::stand::{Stand, field, random};
use crate::identity::idp::Idp;
use crate::support::agent::Agent;
use crate::support::process::{phase, tollgate};
use crate::support::site::ANALYSTS;

/// The provider's secret for us, where it is asked about opaque tokens.
const ASKS: &str = "s e+cret/%-of-this-test-alone-0123456789";
const USER_CODE: &str = "the short code of a device";

/// A second issuer, whose opaque tokens are asked about.
fn add_opaque(stand: &Stand, other: &Idp) {
    let secret = stand.file("asks.secret", "our secret for introspection", ASKS);
    stand.site.configure(&format!(
        "[[issuer]]\nname = \"desk\"\nurl = \"{}\"\nmode = \"bearer\"\nopaque = true\nclient_id = \"tollgate:asks\"\n\
         client_secret = \"file:{}\"\naudience = \"{}/opaque\"\ngroups_claim = \"/groups\"\n",
        other.issuer,
        secret.display(),
        stand.site.url
    ));
    for (id, secret) in [
        ("tollgate:asks", ASKS),
        ("gate-basic", "gate-secret of/this test"),
    ] {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        stand.note("a client secret, encoded", &encoded(secret));
        let basic = format!("{}:{}", encoded(id), encoded(secret));
        stand.note("a client secret, as it is sent", &STANDARD.encode(basic));
    }
}

/// Sign-in, refresh, theft, replay, revocation, and a wrong everything on the way.
async fn sessions(stand: &Stand) {
    let alice = stand.sign_in("alice").await;
    let agent = stand.agent(&alice);
    let count = json!({ "resource": "shop", "statement": "SELECT count(*) FROM orders" });
    let answer = agent.call("sql_query", count).await;
    assert_eq!(answer["structuredContent"]["status"], "ok", "{answer}");
    assert_eq!(stand.redeem(&alice.code, &alice.verifier).await.status, 400);
    assert_eq!(agent.status().await, 401, "a replayed code ends the session");

    let (code, verifier) = stand.code("alice").await;
    assert_eq!(stand.redeem(&code, &random()).await.status, 400);
    assert_eq!(stand.redeem(&random(), &verifier).await.status, 400);

    let gina = stand.sign_in("gina").await;
    let (_, second) = stand.tokens(&stand.refresh(&gina.refresh).await);
    let (_, third) = stand.tokens(&stand.refresh(&second).await);
    assert_eq!(stand.refresh(&gina.refresh).await.status, 400, "stolen");
    assert_eq!(stand.refresh(&third).await.status, 400, "and over");

    let gone = stand.sign_in("alice").await;
    for token in [&gone.access, &gone.refresh] {
        let fields = [("token", token.as_str()), ("client_id", "editor")];
        assert_eq!(stand.post("/oauth/revoke", &fields).await.status, 200);
    }
    assert_eq!(stand.agent(&gone).status().await, 401);
}

/// A program without a browser.
async fn device(stand: &Stand) {
    let begun = stand
        .post("/oauth/device_authorization", &[("client_id", "editor")])
        .await;
    let begun = begun.json();
    let (device, user_code) = (
        begun["device_code"].as_str().unwrap(),
        begun["user_code"].as_str().unwrap(),
    );
    stand.note("a device code", device);
    stand.note(USER_CODE, user_code);
    let typed = stand.submit("/device", "", &[("user_code", "BCDF-BCDF")]).await;
    assert_eq!(typed.status, 404);
    let question = stand.submit("/device", "", &[("user_code", user_code)]).await;
    assert_eq!(question.status, 200, "{}", question.text);
    let (callback, cookie) = stand.consent(&question, "alice").await;
    assert_eq!(stand.come_back(&callback, &cookie).await.status, 200);
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "editor"),
        ("device_code", device),
    ];
    let answer = stand.post("/oauth/token", &poll).await;
    let (access, _) = stand.tokens(&answer);
    assert_eq!(Agent::with(&stand.site, access).status().await, 200);
    assert_eq!(stand.post("/oauth/token", &poll).await.status, 400);
}

/// An API key, an opaque token of the provider, and the people's side by page and by token.
async fn others(stand: &Stand, other: &Idp) {
    let made = tollgate(
        &stand.site,
        &[
            "keys",
            "create",
            "nightly",
            "--tool",
            "sql_query",
            "--resource",
            "shop",
            "--expires",
            "1d",
        ],
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let (_, secret) = key.split_at(key.len() - 43);
    stand.note("an API key", secret);
    assert_eq!(Agent::with(&stand.site, key.clone()).status().await, 200);

    let resource = format!("{}/opaque", stand.site.url);
    let answer = other.login("alice", "ES256", &resource).await;
    let opaque = answer["access_token"].as_str().unwrap();
    assert!(!opaque.contains('.'));
    stand.note("an opaque token of the provider", opaque);
    assert_eq!(Agent::with(&stand.site, opaque.to_owned()).status().await, 200);

    let id_token = stand.id_token("alice").await;
    assert!(!stand.sessions(&id_token).await.is_empty());
    let begun = Stand::http().get(format!("{}/sign-in?back=%2Fsessions", stand.control));
    let begun = stand.send("a sign-in to decide", begun).await;
    let cookie = begun.cookie();
    let to = format!("{}/signed-in/corp", stand.control);
    let provider = begun.headers["location"].to_str().unwrap();
    let query = [("url", provider), ("to", to.as_str()), ("user", "alice")];
    let back = stand.idp.ask("visit", &query).await;
    let back = back.as_str().unwrap();
    stand.note(
        "a code of the provider for the people's side",
        &field(back, "code").unwrap(),
    );
    stand.note("the state of a sign-in to decide", &field(back, "state").unwrap());
    let come_back = || Stand::http().get(back).header("cookie", &cookie);
    let seated = stand.send("signed in to decide", come_back()).await;
    assert_eq!(seated.status, 303, "{}", seated.text);
    assert!(stand.send("the same again", come_back()).await.status >= 400);
    let query = [("client", "gate-basic"), ("user", "alice"), ("sid", "x")];
    let logout = stand.idp.ask("log-out", &query).await;
    let logout = logout.as_str().unwrap();
    stand.note("a logout token", logout);
    let (cut, _) = logout.split_at(logout.len() - 9);
    for token in [logout, cut] {
        stand
            .post("/oauth/logged-out/corp", &[("logout_token", token)])
            .await;
    }
}

/// Every kind of secret in every place where it does not belong.
async fn misplaced(stand: &Stand) {
    let mut kinds = BTreeSet::new();
    let mut one_of_each = stand.secrets();
    one_of_each.retain(|(what, secret)| secret.is_ascii() && kinds.insert(what.clone()));
    let url = &stand.site.url;
    for (what, secret) in &one_of_each {
        let http = Stand::http();
        let changed = format!("{secret}x");
        let bearer = |token: &str| format!("Bearer {token}");
        for request in [
            http.post(format!("{url}/mcp"))
                .header("authorization", bearer(&changed)),
            http.post(format!("{url}/mcp"))
                .header("authorization", format!("Basic {secret}")),
            http.post(format!("{url}/mcp?access_token={secret}"))
                .header("cookie", format!("session={secret}")),
            http.get(format!("{url}/oauth/token?refresh_token={secret}")),
            http.get(format!("{url}/oauth/callback/corp?code={secret}&state={secret}")),
            http.get(format!(
                "{url}/oauth/authorize?client_id=editor&redirect_uri={secret}&state={secret}"
            )),
            http.post(format!("{url}/oauth/token"))
                .json(&json!({ what: secret })),
            http.post(format!("{}/api/sessions", stand.control))
                .header("authorization", bearer(secret)),
            http.get(format!("{}/signed-in/corp?code={secret}", stand.control)),
        ] {
            let request = request
                .header("user-agent", format!("x/{secret}"))
                .header("x-api-key", secret);
            stand
                .send(&format!("{what} where it does not belong"), request)
                .await;
        }
    }
}

/// The texts and bytes by which a secret would be found, also where it was cut or decoded.
fn traces(secret: &str) -> Vec<Vec<u8>> {
    let parts: Vec<&str> = match secret.split('.').collect::<Vec<_>>().as_slice() {
        [_, claims, signature] => vec![claims, signature], // of a JWT the head is no secret
        _ => vec![secret],
    };
    let mut found = Vec::new();
    for part in parts {
        let bare = match part.split_once('_') {
            Some((prefix, rest)) if prefix.len() == 3 && prefix.starts_with("tg") => rest,
            _ => part,
        };
        let bytes = bare.as_bytes();
        found.push(bytes[..bytes.len().min(20)].to_vec());
        found.push(bytes[bytes.len().saturating_sub(20)..].to_vec());
        for decoded in [
            URL_SAFE_NO_PAD.decode(bare),
            STANDARD.decode(bare),
            // the value of a cookie may be more than the secret in it
        ] {
            found.extend(decoded.ok().filter(|bytes| bytes.len() >= 16));
        }
    }
    found
}

fn files(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, places);
        } else if !name.ends_with(".secret") && name != "facade.key" {
            places.push((name, std::fs::read(&path).unwrap()));
        }
    }
}

/// Where any of these secrets is.
fn search(secrets: &[(String, String)], places: &[(String, Vec<u8>)]) -> Vec<String> {
    let (mut names, mut needles) = (Vec::new(), Vec::new());
    for (what, secret) in secrets {
        for trace in traces(secret) {
            names.push(what);
            needles.push(trace);
        }
    }
    let finder = aho_corasick::AhoCorasick::new(&needles).unwrap();
    let mut found = Vec::new();
    for (place, bytes) in places {
        for hit in finder.find_iter(bytes) {
            let what = names[hit.pattern().as_usize()];
            if what != USER_CODE || !place.starts_with("journal.db") {
                let around = &bytes[hit.start().saturating_sub(120)..(hit.end() + 30).min(bytes.len())];
                found.push(format!("{what} in {place}: {}", String::from_utf8_lossy(around)));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_code_cookie_or_key_is_left_behind_or_given_away() {
    let mut stand = Stand::new(ANALYSTS, "").await;
    let other = Idp::start();
    add_opaque(&stand, &other);
    let server = stand.serve(&["--log", "trace"]).await;
    sessions(&stand).await;
    device(&stand).await;
    others(&stand, &other).await;
    let verifier = random();
    stand.note("a verifier", &verifier);
    let (callback, cookie) = stand.consent(&stand.question(&verifier).await, "alice").await;
    for issued in stand.idp.ask("issued", &[]).await.as_array().unwrap() {
        let text = |name: &str| issued[name].as_str().unwrap();
        stand.note(&format!("the provider's {}", text("kind")), text("token"));
    }
    stand.idp.stop(); // a code that cannot be redeemed, at a provider that is away
    let failed = stand.come_back(&callback, &cookie).await;
    assert_ne!(failed.status, 200, "{}", failed.text);
    misplaced(&stand).await;
    assert!(!phase(&stand.site, "result").await.is_empty());
    server.terminate();
    let log = server.log();
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it says a lot");

    let export = tollgate(&stand.site, &["audit", "export", "all.jsonl", "--payloads"]);
    assert!(export.status.success());
    let mut places = stand.refusals();
    assert!(places.len() > 60, "{}", places.len());
    for command in [&["audit", "list", "--all"][..], &["keys", "list", "--json"]] {
        let said = tollgate(&stand.site, command);
        places.push((command.join(" "), [said.stdout, said.stderr].concat()));
    }
    files(stand.site.dir.path(), &mut places);
    for place in ["journal.db", "serve.log", "all.jsonl"] {
        assert!(places.iter().any(|(name, _)| name == place), "{place}");
    }
    let secrets = stand.secrets();
    all_kinds(&secrets);
    let found = search(&secrets, &places);
    assert!(
        found.is_empty(),
        "{} found:\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );
    // The search does find what is there.
    for (what, secret) in &secrets {
        let there = [("here".to_owned(), format!("x{secret}y").into_bytes())];
        assert!(!search(&secrets, &there).is_empty(), "{what}");
    }
}

/// The run had every kind of secret there is.
fn all_kinds(secrets: &[(String, String)]) {
    let kinds: BTreeSet<&str> = secrets.iter().map(|(what, _)| what.as_str()).collect();
    for kind in [
        "a code",
        "a verifier",
        "access_token",
        "refresh_token",
        "a cookie",
        "a device code",
        USER_CODE,
        "an API key",
        "the sealing key",
        "our client secret at the provider",
        "our secret for introspection",
        "a code of the provider",
        "the provider's access_token",
        "the provider's refresh_token",
        "the provider's id_token",
        "an opaque token of the provider",
        "an ID token",
        "a logout token",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}
