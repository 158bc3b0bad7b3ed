//! For `crate::fuzzing`.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use futures::FutureExt;
use url::Url;

use super::{Cache, Plan, Site, grant, loopback};
use crate::call::Hash;
use crate::identity::fuzzing::{Says, World};

const SERVER: &str = "https://gate.example.com";

/// A login as it is kept in a file.
pub(crate) fn cache(data: &[u8]) {
    let folder = std::env::temp_dir().join(format!("tollgate-fuzz-{}", std::process::id()));
    let (Ok(site), made) = (
        Site::parse(SERVER),
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder),
    ) else {
        return;
    };
    let name = format!("login-{}", Hash::of(SERVER.as_bytes()).hex());
    let written = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(name))
        .and_then(|mut file| file.write_all(data));
    assert!(
        made.is_ok() && written.is_ok(),
        "there is no room in {}",
        folder.display()
    );
    let read = Cache::at(folder).read(&site).now_or_never();
    if let Some(Ok(Some(login))) = read {
        assert_eq!(login.key.server, SERVER);
        assert_eq!(login.token_endpoint.scheme(), "https");
        assert!(
            login
                .access()
                .expose()
                .bytes()
                .all(|byte| byte.is_ascii_graphic())
        );
    }
}

/// What the browser brings to the port that waits for it.
pub(crate) fn browser(data: &[u8]) {
    let _ = loopback::query(data);
}

/// What a server and its authorization server say about logging in, and what the token endpoint answers.
pub(crate) fn server(data: &[u8]) {
    let says = Says(data.to_vec());
    let Ok(site) = Site::parse(SERVER) else { return };
    let _ = Plan::find(&says, &site, None, None).now_or_never();
    let Ok(endpoint) = Url::parse("https://login.example.com/token") else {
        return;
    };
    let asked = grant::ask(&says, &World, &endpoint, &[]).now_or_never();
    if let Some(Ok(tokens)) = asked {
        assert!(tokens.access.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
