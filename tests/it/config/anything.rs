//! Whatever is written, there is an answer: a configuration, or problems with a place and a remedy.

use std::path::Path;

use proptest::prelude::*;
use tollgate::config::Config;

const WHOLE: &str = include_str!("../../../src/cli/init/tollgate.toml");

fn answer(text: &str) {
    let Err(error) = Config::parse(text, Path::new("/etc/tollgate/tollgate.toml")) else {
        return;
    };
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        assert!(
            !problem.message.is_empty() && !problem.remedy.is_empty(),
            "{problem:?}"
        );
        let (line, column) = problem.position.unwrap_or((1, 1));
        assert!(
            line >= 1 && line <= text.lines().count() + 1 && column >= 1,
            "{problem:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_configuration_is_answered(
        at in 0..WHOLE.len(),
        cut in 0..80_usize,
        put in r#"[a-z\[\]\"'=#.,{}0-9\n€ -]{0,12}"#,
    ) {
        let before = String::from_utf8_lossy(&WHOLE.as_bytes()[..at]);
        let after = String::from_utf8_lossy(&WHOLE.as_bytes()[(at + cut).min(WHOLE.len())..]);
        answer(&format!("{before}{put}{after}"));
    }

    #[test]
    fn any_value_of_any_key_is_answered(
        key in prop::sample::select(vec![
            "server.listen", "server.public_url", "server.control_url", "store.url", "policies.dir",
            "limits.rows", "limits.calls_per_person", "audit.origin", "audit.key_file", "groups.x",
            "classes.x", "tools.dir", "issuer", "resource", "approval.channel",
        ]),
        value in prop_oneof![
            r#""[^"\\\n]{0,20}""#,
            "-?[0-9]{1,18}",
            r#"\["[a-z:/*]{0,8}"\]"#,
            Just("[{}]".to_owned()),
            Just("[[]]".to_owned()),
            Just("{}".to_owned()),
            Just("true".to_owned()),
            Just("nan".to_owned()),
        ],
    ) {
        answer(&format!("{key} = {value}\n"));
    }
}
