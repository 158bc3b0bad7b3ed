//! What else could be in the folder of logins.

use std::os::unix::fs::symlink;

use super::{Machine, close, refusal};
use crate::support::BINARY;

const SERVER: &str = "http://127.0.0.1:9";

/// A machine with a login at an address where nothing is.
fn machine() -> Machine {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.folder()).unwrap();
    close(&machine.folder(), 0o700);
    let name = format!("login-{}", tollgate::call::Hash::of(SERVER.as_bytes()).hex());
    let file = machine.folder().join(name);
    let login = serde_json::json!({
        "version": 1,
        "key": {"server": SERVER, "issuer": SERVER, "client_id": "c", "resource": format!("{SERVER}/mcp")},
        "token_endpoint": format!("{SERVER}/oauth/token"),
        "revocation_endpoint": null,
        "tokens": {"access": "the-access-token", "refresh": "the-refresh-token", "expires_at": u32::MAX},
    });
    std::fs::write(&file, login.to_string()).unwrap();
    close(&file, 0o600);
    machine
}

async fn token(machine: &Machine) -> std::process::Output {
    machine.run(&["token", "--server", SERVER]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_ours_alone_is_used() {
    let output = token(&machine()).await;
    assert_eq!(super::text(&output), "the-access-token\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_could_have_written_or_read_is_refused() {
    let told = |output: &std::process::Output| {
        let told = refusal(output);
        assert!(
            !told.contains("the-access") && !told.contains("the-refresh"),
            "{told}"
        );
        told
    };
    let open_file = machine();
    close(&open_file.file(), 0o644);
    assert!(told(&token(&open_file).await).contains("can be read"));

    let open_folder = machine();
    close(&open_folder.folder(), 0o755);
    assert!(told(&token(&open_folder).await).contains("open to other users"));

    let linked = machine();
    let (file, elsewhere) = (linked.file(), linked.home.path().join("elsewhere"));
    std::fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(told(&token(&linked).await).contains("is a link"));

    let two_names = machine();
    std::fs::hard_link(two_names.file(), two_names.home.path().join("second")).unwrap();
    assert!(told(&token(&two_names).await).contains("not a file of its own"));

    let linked_folder = machine();
    let (folder, elsewhere) = (
        linked_folder.folder(),
        linked_folder.home.path().join("elsewhere"),
    );
    std::fs::rename(&folder, &elsewhere).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    assert!(told(&token(&linked_folder).await).contains("is a link"));

    let pipe = machine();
    std::fs::remove_file(pipe.file()).unwrap_or_default();
    let name = format!("login-{}", tollgate::call::Hash::of(SERVER.as_bytes()).hex());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pipe.folder().join(name),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(told(&token(&pipe).await).contains("not a file of its own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_login_is_refused_and_can_be_logged_out() {
    type Damage = fn(&str) -> String;
    let damages: [(&str, Damage); 6] = [
        ("empty", |_| String::new()),
        ("cut off", |text| text.chars().take(40).collect()),
        ("huge", |text| {
            text.replace("the-access-token", &"a".repeat(200_000))
        }),
        ("a line break in a token", |text| {
            text.replace("the-access-token", r"a\r\nHost: b")
        }),
        ("of another server", |text| {
            text.replace(SERVER, "https://gate.example.com")
        }),
        ("a token endpoint that is not private", |text| {
            text.replace(&format!("{SERVER}/oauth/token"), "http://login.example.com/token")
        }),
    ];
    for (what, damage) in damages {
        let machine = machine();
        let text = std::fs::read_to_string(machine.file()).unwrap();
        std::fs::write(machine.file(), damage(&text)).unwrap();
        let told = refusal(&token(&machine).await);
        assert!(told.contains("damaged"), "{what}: {told}");
        let output = machine.run(&["logout", "--server", SERVER]).await;
        assert!(super::text(&output).contains("logged out here"), "{what}");
        assert!(!machine.file_exists(), "{what}");
    }
}

/// The room is taken before the token is renewed: on a full disk the login stays as it was.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test, where no file may grow"
)]
async fn on_a_full_disk_a_login_is_not_renewed_and_not_lost() {
    let place = super::Place::new().await;
    let machine = place.person().await;
    machine.age();
    let before = std::fs::read(machine.file()).unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"",
            BINARY,
            "token",
        ])
        .env_clear()
        .env("HOME", machine.home.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let told = refusal(&output);
    assert!(
        told.contains("cannot be written, so the login was left as it is"),
        "{told}"
    );
    assert_eq!(std::fs::read(machine.file()).unwrap(), before);
    assert_eq!(place.provider.counts().await["refresh_token"], 0);
    super::text(&machine.run(&["token"]).await); // and goes on when there is room
    place.server.stop().await;
}
