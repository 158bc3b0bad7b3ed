//! Who started this process: the principal of stdio.
//!
//! The operating system's answers only: an environment variable such as `USER` is whatever the
//! agent that starts us writes into it.

use std::collections::BTreeSet;

use super::groups::GroupMap;
use super::spec::LOCAL;
use crate::call::{Agent, Principal, Scope, Session, User, UserKind};

/// The operating-system user of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The real user id.
    pub uid: u32,
    /// The login name in `/etc/passwd`; absent for users that are not there (directory services).
    pub login: Option<String>,
    /// The host's name.
    pub host: String,
}

impl LocalUser {
    /// Asks the operating system.
    #[must_use]
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        Self {
            uid,
            login: login_name(&String::from_utf8_lossy(&passwd), uid),
            host: plain(&rustix::system::uname().nodename().to_string_lossy()),
        }
    }

    /// The principal of this user in the session `session`: groups by `local:<login name>` and
    /// `local:<uid>`, the client is `stdio` and nobody vouches for it.
    pub(super) fn principal(&self, groups: &GroupMap, session: &str) -> Principal {
        let uid = self.uid.to_string();
        let names = [Some(uid.as_str()), self.login.as_deref()];
        Principal {
            user: User {
                issuer: LOCAL.to_owned(),
                subject: format!("{uid}@{}", self.host),
                kind: UserKind::Person,
                groups: groups.local(LOCAL, names.into_iter().flatten()),
            },
            agent: Agent {
                client_id: "stdio".to_owned(),
                verified: false,
                claimed_name: String::new(),
                claimed_version: String::new(),
            },
            session: Session {
                id: session.to_owned(),
                labels: BTreeSet::new(),
            },
            scope: Scope::default(),
        }
    }
}

/// The first entry of this uid, as getpwuid finds it. A name made of digits could be taken for
/// another user's uid in `[groups]`, so it does not count.
fn login_name(passwd: &str, uid: u32) -> Option<String> {
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })?;
    let is_number = entry.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then(|| entry.to_owned())
}

/// A host name with only the characters host names have.
fn plain(host: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    host.chars()
        .take(253)
        .map(|c| if fits(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
                          broken\nbob:x:notanumber:1::/:/bin/sh\ntwin:x:1000:1000::/:/bin/sh\n2000:x:1001:1::/:\n";

    #[test]
    fn the_login_name_is_the_first_entry_of_the_uid() {
        assert_eq!(login_name(PASSWD, 1000).as_deref(), Some("alice"));
        assert_eq!(login_name(PASSWD, 0).as_deref(), Some("root"));
        assert_eq!(login_name(PASSWD, 4242), None);
        assert_eq!(login_name("", 0), None);
        assert_eq!(
            login_name(PASSWD, 1001),
            None,
            "a login name of digits is not somebody's uid"
        );
    }

    #[test]
    fn local_groups_come_by_login_name_or_uid_alone() {
        let table = [
            ("dba", vec!["local:alice"]),
            ("ops", vec!["local:1000", "corp:ops"]),
            ("root", vec!["local:root", "local:0"]),
        ];
        let groups = GroupMap::parse(table).unwrap();
        let alice = LocalUser {
            uid: 1000,
            login: Some("alice".to_owned()),
            host: plain("build host\n7"),
        };
        let principal = alice.principal(&groups, "s");
        assert_eq!(principal.user.id(), "local#1000@build_host_7");
        assert_eq!(
            principal.user.groups.into_iter().collect::<Vec<_>>(),
            ["dba", "ops"]
        );
        assert_eq!(principal.agent.client_id, "stdio");
        assert!(!principal.agent.verified);
    }
}
