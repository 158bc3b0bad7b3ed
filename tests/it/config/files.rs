//! Files another user could change keep the server from starting.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use tollgate::config::{Config, guard};

/// A complete set-up of our own.
struct SetUp {
    folder: tempfile::TempDir,
}

impl SetUp {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("policies/tests")).unwrap();
        std::fs::create_dir(at("tools")).unwrap();
        std::fs::create_dir(at("state")).unwrap();
        let files = [
            ("policies/roles.cedar", ""),
            ("policies/tests/roles.toml", ""),
            ("tools/one.toml", ""),
            ("shop.db", ""),
            ("state/tollgate.db", ""),
            ("state/journal.key", ""),
            (
                "tollgate.toml",
                "[store]\nurl = \"sqlite:state/tollgate.db\"\n[policies]\ndir = \"policies\"\n[tools]\ndir = \"tools\"\n\
                 [audit]\nkey_file = \"state/journal.key\"\n[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"shop.db\"\n",
            ),
        ];
        for (name, text) in files {
            std::fs::write(at(name), text).unwrap();
        }
        let set_up = Self { folder };
        for name in ["", "policies", "policies/tests", "tools", "state"] {
            set_up.chmod(name, 0o755);
        }
        for (name, _) in files {
            set_up.chmod(name, 0o644);
        }
        set_up.chmod("state/journal.key", 0o600);
        set_up
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.folder.path().to_owned()
        } else {
            self.folder.path().join(name)
        }
    }

    fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self) -> Result<Config, String> {
        let folder = self.folder.path().display().to_string();
        Config::load(&self.at("tollgate.toml")).map_err(|error| error.to_string().replace(&folder, ""))
    }
}

/// Row 19: an agent edited its own gateway's configuration to enable writes.
#[test]
fn incident_19_what_others_can_change_is_a_refusal_to_start() {
    let set_up = SetUp::new();
    set_up.load().unwrap();
    let files = [
        ("tollgate.toml", 0o644),
        ("policies", 0o755),
        ("policies/roles.cedar", 0o644),
        ("policies/tests", 0o755),
        ("policies/tests/roles.toml", 0o644),
        ("tools", 0o755),
        ("tools/one.toml", 0o644),
        ("state", 0o755),
        ("state/tollgate.db", 0o644),
        ("", 0o755),
    ];
    for (name, closed) in files {
        for open in [0o020, 0o002] {
            // A group of ours alone is nobody else; only root can hand a file to another group.
            let path = set_up.at(name);
            let group = std::fs::metadata(&path).unwrap().gid();
            if open == 0o020 && chown(&path, None, Some(65_533)).is_err() {
                continue;
            }
            set_up.chmod(name, closed | open);
            let refused = set_up.load().expect_err(name);
            assert!(refused.contains("can be changed by"), "{name}: {refused}");
            assert!(refused.contains("chmod go-w"), "{name}: {refused}");
            chown(&path, None, Some(group)).unwrap();
            set_up.chmod(name, closed);
        }
    }
    set_up.load().unwrap();
}

#[test]
fn a_key_others_can_read_is_a_refusal_to_start() {
    let set_up = SetUp::new();
    for mode in [0o640, 0o604, 0o644] {
        set_up.chmod("state/journal.key", mode);
        let refused = set_up.load().unwrap_err();
        assert!(refused.contains("chmod 600 /state/journal.key"), "{refused}");
    }
}

#[test]
fn a_file_of_another_user_is_not_ours() {
    let set_up = SetUp::new();
    let policy = set_up.at("policies/roles.cedar");
    if chown(&policy, Some(65_533), None).is_err() {
        return; // only root may give files away; as anybody else this cannot be arranged
    }
    let refused = set_up.load().unwrap_err();
    assert!(
        refused.contains("belongs to another user (uid 65533)"),
        "{refused}"
    );
    assert!(refused.contains("chown"), "{refused}");
}

#[test]
fn a_link_is_judged_by_what_it_points_to() {
    let set_up = SetUp::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("more.cedar");
    std::fs::write(&target, "").unwrap();
    symlink(&target, set_up.at("policies/more.cedar")).unwrap();
    set_mode(&target, 0o666);
    assert!(set_up.load().unwrap_err().contains("can be changed by everybody"));
    set_mode(&target, 0o644);
    set_up.load().unwrap();
    set_mode(outside.path(), 0o777);
    assert!(set_up.load().unwrap_err().contains("can be changed by everybody"));
}

#[test]
fn a_folder_above_that_everybody_may_change_is_found() {
    let set_up = SetUp::new();
    std::fs::create_dir_all(set_up.at("a/b/c")).unwrap();
    let file = set_up.at("a/b/c/file");
    std::fs::write(&file, "").unwrap();
    for name in ["a", "a/b", "a/b/c"] {
        set_up.chmod(name, 0o755);
    }
    set_mode(&file, 0o600);
    guard::unwritable(&file).unwrap();
    set_up.chmod("a", 0o777);
    let exposure = guard::unwritable(&file).unwrap_err();
    assert_eq!(exposure.path, set_up.at("a").canonicalize().unwrap());
    set_up.chmod("a", 0o1777);
    guard::unwritable(&file).unwrap();
}

#[test]
fn what_is_missing_is_named_where_it_is_written() {
    let set_up = SetUp::new();
    std::fs::remove_file(set_up.at("shop.db")).unwrap();
    std::fs::remove_dir_all(set_up.at("tools")).unwrap();
    insta::assert_snapshot!(set_up.load().unwrap_err(), @r#"
    /tollgate.toml:6:7: /tools does not exist
      instead: make it, or correct the path
    /tollgate.toml:12:8: /shop.db does not exist
      instead: correct the path; Tollgate makes no databases
    "#);
}

#[test]
fn store_key_and_journal_may_not_exist_yet() {
    let set_up = SetUp::new();
    std::fs::remove_file(set_up.at("state/tollgate.db")).unwrap();
    std::fs::remove_file(set_up.at("state/journal.key")).unwrap();
    set_up.load().unwrap();
    std::fs::remove_dir(set_up.at("state")).unwrap();
    assert!(set_up.load().unwrap_err().contains("does not exist"));
}

#[test]
fn no_file_at_all_says_how_to_get_one() {
    let error = Config::load(Path::new("/nonexistent/tollgate.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("tollgate init"), "{error}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
