use std::os::unix::fs::PermissionsExt;

use super::world;
use crate::audit::merkle::leaf_hash;
use crate::audit::note::*;

/// A key pair from the documentation of Go's `golang.org/x/mod/sumdb/note`, the reference
/// implementation of signed notes.
const GO_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

#[test]
fn keys_are_those_of_the_reference_implementation() {
    let key = LogKey::parse(GO_PRIVATE).expect("Go's key");
    assert_eq!(key.public().to_string(), GO_PUBLIC);
    assert_eq!(GO_PUBLIC.parse::<LogPublicKey>().expect("Go's key"), key.public());
}

/// Made with Python's `cryptography` from the key above; Ed25519 signatures are deterministic.
const GOLDEN: &str = "PeterNeumann\n1234\nvGcR+7+G9KQfYd320SE4a5yhf9fdF/4IXtBKB95BHQQ=\n\n— PeterNeumann x08gozgxOyKeQYwQkkkM0IwyD7rm1H83sXs8RR4DMDbhRjNjzXHoqUVU+sxQxGU9d+aOkgTAhljAdwlRfbnpabCCvws=\n";

#[test]
fn a_checkpoint_is_the_one_another_implementation_signs() {
    let key = LogKey::parse(GO_PRIVATE).expect("Go's key");
    assert_eq!(key.sign(1234, &leaf_hash(b"tollgate")), GOLDEN);
    let checkpoint = key.public().open(GOLDEN).expect("signed");
    assert_eq!((checkpoint.size, checkpoint.root), (1234, leaf_hash(b"tollgate")));
}

#[test]
fn a_changed_checkpoint_is_refused_wherever_it_was_changed() {
    let key = LogKey::generate("example.org/log", &*world(1)).expect("a key");
    let note = key.sign(77, &leaf_hash(b"x"));
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(key.public().open(&changed).is_err(), "byte {at}: {changed:?}");
        }
    }
    let other = LogKey::generate("example.org/log", &*world(2)).expect("a key");
    assert_eq!(other.public().open(&note), Err(NoteError::Signature));
    let elsewhere = LogKey::generate("example.org/else", &*world(1)).expect("a key");
    assert_eq!(
        elsewhere.public().open(&note),
        Err(NoteError::Origin("example.org/log".into()))
    );
}

#[test]
fn another_signature_beside_ours_is_passed_over() {
    let key = LogKey::generate("example.org/log", &*world(1)).expect("a key");
    let note = format!(
        "{}— witness.example AAAAAGFiYw==\n",
        key.sign(5, &leaf_hash(b"x"))
    );
    assert_eq!(key.public().open(&note).expect("ours is there").size, 5);
}

#[test]
fn names_that_would_break_the_form_are_refused() {
    for name in ["", "a b", "a+b", "a\nb", "a\u{2028}b"] {
        assert!(LogKey::generate(name, &*world(1)).is_err(), "{name:?}");
    }
}

#[test]
fn the_key_file_is_private_and_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.key");
    let first = load_or_create_key(&path, "example.org/log", &*world(1)).expect("made");
    let mode = path.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = load_or_create_key(&path, "example.org/log", &*world(2)).expect("read");
    assert_eq!(first.public(), again.public());
    assert!(matches!(
        load_or_create_key(&path, "example.org/other", &*world(1)),
        Err(KeyFileError::Content {
            error: NoteError::Origin(_),
            ..
        })
    ));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(matches!(
        load_or_create_key(&path, "example.org/log", &*world(1)),
        Err(KeyFileError::Exposed(_))
    ));
}
