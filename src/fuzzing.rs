//! Every reader of what strangers send, by name: for `fuzz/`, and for the test that replays its seeds. In no release: it
//! is built for tests alone, and where cargo-fuzz says so (`--cfg fuzzing`).

use crate::identity::fuzzing as identity;
use crate::resource::shell;
#[cfg(feature = "mysql")]
use crate::resource::sql::mysql;
#[cfg(feature = "postgres")]
use crate::resource::sql::postgres;
use crate::resource::sql::sqlite;

/// A name, and what reads any bytes without falling over; it fails when what came of them must not be.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("api-key", identity::key),
    ("authorization-answer", identity::provider::answer),
    ("bearer", identity::bearer),
    ("client-document", identity::facade::document),
    ("cookies", identity::facade::cookies),
    ("discovery", identity::discovery),
    ("form", identity::facade::form),
    ("forwarded-for", identity::forwarded),
    ("introspection", identity::introspection),
    ("jwks", identity::keys),
    ("login-browser", identity::login::browser),
    ("login-cache", identity::login::cache),
    ("login-server", identity::login::server),
    #[cfg(feature = "mysql")]
    ("mysql-statement", mysql::fuzz),
    #[cfg(feature = "postgres")]
    ("postgres-statement", postgres::fuzz),
    ("redirect-uri", identity::facade::redirect),
    ("registration", identity::facade::registration),
    #[cfg(feature = "saml")]
    ("saml-metadata", identity::saml::provider),
    #[cfg(feature = "saml")]
    ("saml-response", identity::saml::response),
    ("shell-line", shell::fuzz),
    ("sql-statement", sqlite::fuzzing::statement),
    ("token", identity::token),
    ("userinfo", identity::provider::userinfo),
];

/// The reader of this name.
#[must_use]
pub fn target(name: &str) -> Option<fn(&[u8])> {
    let found = TARGETS.iter().find(|(one, _)| *one == name);
    found.map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::TARGETS;

    /// Whole, cut off anywhere, and with each byte another one: what a fuzzer tries first.
    fn around(seed: &[u8], mut each: impl FnMut(&[u8])) {
        each(seed);
        let step = seed.len() / 64 + 1;
        for at in (0..seed.len()).step_by(step) {
            each(&seed[..at]);
            let mut bent = seed.to_vec();
            for byte in [0, b'"', b'\n', 0xff] {
                bent[at] = byte;
                each(&bent);
            }
        }
    }

    /// Changed, joined and cut, blind; the same every time.
    fn changed(seeds: &[Vec<u8>], rounds: u64, target: fn(&[u8])) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below.max(1)
        };
        for _ in 0..rounds {
            let mut text = seeds[next(seeds.len())].clone();
            for _ in 0..=next(8) {
                let at = next(text.len() + 1);
                match next(5) {
                    0 => text.insert(at, b"\0\"\\\n%&=.:/{}[]<>'\xff\xc3"[next(19)]),
                    1 => text.truncate(at),
                    2 if at < text.len() => drop(text.remove(at)),
                    3 if at < text.len() => text[at] ^= 1 << next(8),
                    _ => {
                        let other = &seeds[next(seeds.len())];
                        let (from, to) = (next(other.len()), next(other.len()));
                        text.splice(at..at, other[from.min(to)..from.max(to)].to_vec());
                    }
                }
            }
            target(&text);
        }
    }

    #[test]
    fn every_reader_takes_its_seeds_and_what_is_near_them() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let rounds = std::env::var("TOLLGATE_FUZZ_ROUNDS").ok();
        let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(0);
        for (name, target) in TARGETS {
            let entries = std::fs::read_dir(seeds.join(name)).unwrap();
            let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let texts: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
            assert!(!texts.is_empty(), "fuzz/seeds/{name} is empty");
            for seed in &texts {
                around(seed, target);
            }
            changed(&texts, rounds, *target);
        }
        let folders = std::fs::read_dir(&seeds).unwrap();
        let folders: BTreeSet<String> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let names = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(folders.is_superset(&names), "{folders:?}");
    }
}
