//! One program for all readers; `TOLLGATE_READER` says which (`tollgate::fuzzing::TARGETS` has the names).

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static READER: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("TOLLGATE_READER").unwrap_or_default();
    tollgate::fuzzing::target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = tollgate::fuzzing::TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("set TOLLGATE_READER to one of: {}", names.join(" "));
    })
}

fuzz_target!(|data: &[u8]| READER.get_or_init(chosen)(data));
