//! Who runs the tests as root runs them as an ordinary user as well.

use std::os::unix::fs::PermissionsExt;

use super::support::helper;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test binary started again as somebody else"
)]
fn all_of_it_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return; // then all the others have just shown it
    }
    // Copied, because an ordinary user may not be able to reach where it was built.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(dir.path().join("deps")).unwrap();
    let tests = dir.path().join("deps/tests");
    std::fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    std::fs::copy(helper(), dir.path().join("tollgate")).unwrap();
    let child = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(&tests)
        .args(["resource::shell::tests::", "--test-threads", "1"])
        .args(["--skip", "a_thousand", "--skip", "ordinary"])
        .env("TMPDIR", "/tmp")
        .current_dir("/tmp")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let ran: usize = said
        .lines()
        .filter(|line| line.starts_with("test ") && line.ends_with(" ok"))
        .count();
    assert!(ran >= 20, "{said}");
}
