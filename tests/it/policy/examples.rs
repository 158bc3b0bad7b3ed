//! The examples of policies for databases of servers: what they say is tested, and every one of them.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use tempfile::TempDir;

use super::write;
use crate::support::process::on;

/// A copy that only its owner may write, whatever the checkout's umask was.
fn copied() -> (TempDir, PathBuf) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/examples/warehouse");
    let dir = tempfile::tempdir().unwrap();
    for sub in ["", "policies", "policies/tests"] {
        for entry in fs::read_dir(from.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = Path::new(sub).join(path.file_name().unwrap());
                write(
                    dir.path(),
                    name.to_str().unwrap(),
                    &fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    let config = dir.path().join("tollgate.toml");
    (dir, config)
}

fn passes(config: &Path) -> (bool, String) {
    let output = on(config, &["policy", "test"]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_examples_for_servers_pass_and_none_can_be_taken_out_unnoticed() {
    let (dir, config) = copied();
    let (passed, said) = passes(&config);
    assert!(passed, "{said}");
    let one = Regex::new(r#"(?s)@id\("([a-z-]+)"\).*?;\n"#).unwrap();
    let mut taken = 0;
    for file in ["10-servers.cedar", "20-changes.cedar"] {
        let file = dir.path().join("policies").join(file);
        let text = fs::read_to_string(&file).unwrap();
        for policy in one.captures_iter(&text) {
            fs::write(&file, text.replace(&policy[0], "")).unwrap();
            let (passed, said) = passes(&config);
            assert!(!passed, "nothing notices that {} is gone: {said}", &policy[1]);
            taken += 1;
        }
        fs::write(&file, text).unwrap();
    }
    assert_eq!(taken, 17);
}
