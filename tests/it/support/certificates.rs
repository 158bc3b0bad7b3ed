//! An authority of the test's own, and what it vouches for, with OpenSSL's program.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

/// Files of one authority and one server.
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// A server that may call itself by these names (`DNS:localhost`, `IP:127.0.0.1`).
    pub(crate) fn of(names: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tls").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        let made = Self { dir };
        std::fs::write(made.file("names"), format!("subjectAltName={names}\n")).unwrap();
        let (key, new) = (
            ["-nodes", "-keyout"],
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        );
        made.openssl(&[
            &new[..],
            &["-x509", "-days", "2", "-subj", "/CN=authority of the tests"],
            &key,
            &["ca.key", "-out", "ca.pem"],
        ]);
        made.openssl(&[
            &new[..],
            &["-subj", "/CN=server of the tests"],
            &key,
            &["server.key", "-out", "server.csr"],
        ]);
        made.openssl(&[
            &[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                "server.csr",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
            ],
            &["-CAcreateserial", "-extfile", "names", "-out", "server.pem"],
        ]);
        made
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate and its key, which is given to the user that a server of the tests runs as.
    pub(crate) fn server(&self, user: u32) -> (PathBuf, PathBuf) {
        let key = self.file("server.key");
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        if geteuid().is_root() {
            chown(&key, Some(user), Some(user)).unwrap();
        }
        (self.file("server.pem"), key)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "OpenSSL's own program")]
    fn openssl(&self, arguments: &[&[&str]]) {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments.concat())
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
