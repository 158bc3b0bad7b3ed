//! Whether somebody else could change a file Tollgate relies on, or read one it keeps secret.
//!
//! Rows 19 and 44 of the incident ledger: an agent that can write its own gateway's policies, tools, key
//! or journal has no gateway. "Somebody else" is any user but the one that runs Tollgate, and root. A
//! group of which that user is the only member (a user private group, whose files are group-writable on
//! Ubuntu by default) lets nobody else in; any other group does.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const READABLE_OR_MORE: u32 = 0o077;

/// What somebody else could do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// The command that puts it right.
    pub remedy: String,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

impl Exposure {
    /// A file that cannot be looked at; what cannot be seen is not trusted.
    #[must_use]
    pub fn unseen(path: &Path, error: &std::io::Error) -> Self {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let (what, remedy) = if missing {
            ("does not exist".to_owned(), "make it, or correct the path")
        } else {
            (
                format!("cannot be looked at: {error}"),
                "let the user that runs tollgate read it",
            )
        };
        Self {
            path: path.to_owned(),
            what,
            remedy: remedy.to_owned(),
        }
    }
}

/// Whether only we and root can change a file or folder. Take the metadata of an open file where it is
/// read afterwards, so that it cannot be exchanged in between.
///
/// # Errors
/// What is wrong and the command that puts it right.
pub fn unwritable(path: &Path, metadata: &Metadata) -> Result<(), Exposure> {
    let us = rustix::process::geteuid().as_raw();
    let mode = metadata.mode();
    let exposed = |what: String, remedy: String| {
        Err(Exposure {
            path: path.to_owned(),
            what,
            remedy,
        })
    };
    if metadata.uid() != us && metadata.uid() != 0 {
        return exposed(
            format!("belongs to another user (uid {})", metadata.uid()),
            format!("chown {us} {}", shell_word(path)),
        );
    }
    let who = if mode & WRITABLE_BY_OTHERS != 0 {
        "everybody"
    } else if mode & WRITABLE_BY_GROUP != 0 && !is_our_own_group(us, metadata.gid()) {
        "its group"
    } else {
        return Ok(());
    };
    exposed(
        format!("can be changed by {who}"),
        format!("chmod go-w {}", shell_word(path)),
    )
}

/// Whether only we and root can read or change a file: mode 0600 or less.
///
/// # Errors
/// What is wrong and the command that puts it right.
pub fn private(path: &Path, metadata: &Metadata) -> Result<(), Exposure> {
    let mode = metadata.mode();
    if mode & READABLE_OR_MORE != 0 {
        return Err(Exposure {
            path: path.to_owned(),
            what: format!(
                "can be read or changed by other users (mode {:04o})",
                mode & 0o7777
            ),
            remedy: format!("chmod 600 {}", shell_word(path)),
        });
    }
    unwritable(path, metadata)
}

/// Whether a group is ours alone, by the local account files. An account that is kept elsewhere (LDAP)
/// is not found there, and then the answer is no.
fn is_our_own_group(us: u32, gid: u32) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    is_private_group(us, gid, &read("/etc/passwd"), &read("/etc/group"))
}

/// passwd(5) and group(5): the user's primary group, nobody else's, without other members.
fn is_private_group(uid: u32, gid: u32, passwd: &str, group: &str) -> bool {
    let number = |field: Option<&&str>| field.and_then(|text| text.parse::<u32>().ok());
    let accounts: Vec<Vec<&str>> = passwd.lines().map(|line| line.split(':').collect()).collect();
    let of_group = accounts
        .iter()
        .filter(|account| number(account.get(3)) == Some(gid));
    let mut names = Vec::new();
    for account in of_group {
        if number(account.get(2)) != Some(uid) {
            return false;
        }
        names.extend(account.first().copied());
    }
    let mut entries = group
        .lines()
        .map(|line| line.split(':').collect::<Vec<&str>>())
        .filter(|entry| number(entry.get(2)) == Some(gid));
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        return false;
    };
    let mut members = entry
        .get(3)
        .copied()
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty());
    !names.is_empty() && members.all(|member| names.contains(&member))
}

/// A path as one word of a shell command, to be copied by a person.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nana:x:1000:1000::/:/bin/sh\nben:x:1001:100::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nana:x:1000:\nusers:x:100:ana\nshared:x:1002:ana,ben\n";

    #[test]
    fn a_group_is_our_own_only_when_nobody_else_is_in_it() {
        assert!(is_private_group(1000, 1000, PASSWD, GROUP));
        assert!(is_private_group(
            1000,
            1000,
            PASSWD,
            &GROUP.replace("ana:x:1000:", "ana:x:1000:ana")
        ));
        assert!(!is_private_group(
            1000,
            1000,
            PASSWD,
            &GROUP.replace("ana:x:1000:", "ana:x:1000:ben")
        ));
        assert!(!is_private_group(1001, 100, PASSWD, GROUP), "others are members");
        assert!(
            !is_private_group(1000, 1002, PASSWD, GROUP),
            "not the primary group"
        );
        assert!(
            !is_private_group(1000, 1000, &PASSWD.replace(":100:", ":1000:"), GROUP),
            "also ben's primary group"
        );
        assert!(
            !is_private_group(1000, 1000, "", GROUP),
            "an account we cannot see"
        );
        assert!(!is_private_group(1000, 1000, PASSWD, ""), "a group we cannot see");
        assert!(!is_private_group(1001, 1000, PASSWD, GROUP), "somebody else's");
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(shell_word(Path::new("/etc/tollgate.toml")), "/etc/tollgate.toml");
        assert_eq!(shell_word(Path::new("a b'c")), r"'a b'\''c'");
    }
}
