//! Bounds on the shape of incoming JSON, checked on the bytes before anything is built from them.
//!
//! A parser that recurses spends stack per level, and a value tree spends some thirty bytes on each
//! two-byte element: both are refused before they are paid for.

/// Deepest nesting of arrays and objects.
pub(super) const LEVELS: usize = 64;
/// Most elements (values in arrays and members of objects) in one message.
pub(super) const ELEMENTS: usize = 50_000;

/// Which bound was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// More than [`LEVELS`].
    Depth,
    /// More than [`ELEMENTS`].
    Elements,
}

impl Excess {
    /// For the client.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Depth => {
                "Invalid request: the JSON is nested deeper than 64 levels. Send flatter arguments."
            }
            Self::Elements => "Invalid request: the JSON has more than 50000 elements. Send fewer values.",
        }
    }
}

/// Walks over the bytes once. It need not be JSON: what is malformed is left to the parser, and
/// cannot be deeper for it than it is here, because brackets count in the same places.
pub(super) fn check(json: &[u8]) -> Result<(), Excess> {
    let (mut depth, mut elements) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                elements += 1;
                if depth > LEVELS {
                    return Err(Excess::Depth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => elements += 1,
            _ => {}
        }
        if elements > ELEMENTS {
            return Err(Excess::Elements);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(open: &str, close: &str, levels: usize) -> String {
        format!("{}{}{}", open.repeat(levels), 1, close.repeat(levels))
    }

    #[test]
    fn sixty_four_levels_pass_and_one_more_does_not_for_arrays_objects_and_both() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), (" [ ", "]")] {
            assert_eq!(check(nested(open, close, LEVELS).as_bytes()), Ok(()));
            assert_eq!(
                check(nested(open, close, LEVELS + 1).as_bytes()),
                Err(Excess::Depth)
            );
        }
        let mixed = format!("{}1{}", "[{\"a\":".repeat(33), "}]".repeat(33));
        assert_eq!(check(mixed.as_bytes()), Err(Excess::Depth));
    }

    #[test]
    fn closing_and_opening_again_is_not_depth() {
        assert_eq!(check("[]".repeat(1000).as_bytes()), Ok(()));
        assert_eq!(check(format!("[{}1]", "[],".repeat(1000)).as_bytes()), Ok(()));
    }

    #[test]
    fn brackets_in_strings_do_not_count_however_they_are_quoted() {
        let quoted = format!(r#"{{"a":"{}","b":"\"{}\\"}}"#, "[".repeat(500), "{".repeat(500));
        assert_eq!(check(quoted.as_bytes()), Ok(()));
        // An escaped backslash ends the string, so these brackets are structure.
        let structure = format!(r#"["\\",{}"#, "[".repeat(100));
        assert_eq!(check(structure.as_bytes()), Err(Excess::Depth));
    }

    #[test]
    fn elements_are_counted() {
        let list = |n: usize| format!("[{}0]", "0,".repeat(n));
        assert_eq!(check(list(ELEMENTS - 1).as_bytes()), Ok(()));
        assert_eq!(check(list(ELEMENTS).as_bytes()), Err(Excess::Elements));
        assert_eq!(check("[]".repeat(ELEMENTS + 1).as_bytes()), Err(Excess::Elements));
    }

    #[test]
    fn what_passes_here_never_meets_the_parsers_own_recursion_limit() {
        let deepest = nested("[", "]", LEVELS);
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_agrees_with_a_real_parser(bytes in "[\\[\\]{}\",:a1\\\\ ]{0,200}") {
            let verdict = check(bytes.as_bytes());
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&bytes) {
                fn depth(value: &serde_json::Value) -> usize {
                    match value {
                        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
                        serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
                        _ => 0,
                    }
                }
                proptest::prop_assert_eq!(verdict.is_err(), depth(&value) > LEVELS);
            }
        }
    }
}
