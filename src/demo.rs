//! `tollgate demo`: a shop, a repository, two people, and the real server between them.
//!
//! Everything is made new in one folder: databases, keys, secrets. The issuer is Tollgate's own
//! ([`crate::identity::issuer`]), on loopback, and knows the demo's two users only.

pub mod client;
pub mod play;
pub mod register;
pub mod repo;
pub mod run;
pub mod shop;

/// The configuration of the demo (and of the tests): one shop, one repository, one issuer.
///
/// `url` is where Tollgate will listen (`http://127.0.0.1:PORT`), `mode` how tokens are checked.
#[must_use]
pub fn config_text(url: &str, issuer: &str, issuer_url: &str, mode: &str) -> String {
    let uid = rustix::process::getuid().as_raw().to_string(); // so that `tollgate stdio` works on the same file
    [
        ("@LISTEN@", url.trim_start_matches("http://")),
        ("@URL@", url),
        ("@ISSUER@", issuer),
        ("@ISSUER_URL@", issuer_url),
        ("@MODE@", mode),
        ("@UID@", &uid),
    ]
    .iter()
    .fold(
        include_str!("demo/tollgate.toml").to_owned(),
        |text, (mark, value)| text.replace(mark, value),
    )
}
