//! Names: their grammar, the reserved ones, and "did you mean".

use toml::Spanned;

use super::error::Problems;

/// Names that mean something to Tollgate itself.
const RESERVED: [&str; 2] = ["tollgate", "local"];

/// Checks a name that is written in configuration and read in policies and journals.
///
/// Letters, digits, `_`, `-` and `.`, starting with a letter or digit, at most 63: nothing that needs
/// quoting in Cedar, a shell, a URL or a log line.
pub(super) fn checked(name: &Spanned<String>, what: &str, problems: &mut Problems<'_>) -> Option<String> {
    let text = name.get_ref();
    let fits = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if fits {
        return Some(text.clone());
    }
    problems.at(
        name.span(),
        format!("`{}` cannot be the name of {what}", text.escape_debug()),
        "use 1 to 63 of a-z A-Z 0-9 _ - . and start with a letter or digit",
    );
    None
}

/// As [`checked`], and not one of the names Tollgate uses itself.
pub(super) fn unreserved(name: &Spanned<String>, what: &str, problems: &mut Problems<'_>) -> Option<String> {
    let text = checked(name, what, problems)?;
    if RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
        problems.at(
            name.span(),
            format!("`{text}` is a name Tollgate keeps for itself"),
            format!("give {what} another name"),
        );
        return None;
    }
    Some(text)
}

/// Refuses a name that an earlier one already has, whatever its case.
pub(super) fn distinct<'n>(
    names: impl Iterator<Item = &'n Spanned<String>>,
    what: &str,
    problems: &mut Problems<'_>,
) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name.get_ref().to_lowercase()) {
            problems.at(
                name.span(),
                format!("there is another {what} `{}`", name.get_ref().escape_debug()),
                format!("give each {what} its own name; names that differ only in case count as the same"),
            );
        }
    }
}

/// "did you mean `x`?", or the list of what is known.
pub(crate) fn suggest(given: &str, known: &[&str], what: &str) -> String {
    let close = known
        .iter()
        .map(|word| (distance(given, word), *word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min();
    let list = || {
        known
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match close {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are {}", list()),
    }
}

/// Edits between two words (optimal string alignment: insert, delete, replace, swap neighbours).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().flat_map(char::to_lowercase).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, ours) in from.chars().flat_map(char::to_lowercase).enumerate() {
        let mut current = vec![row + 1];
        for (column, theirs) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(ours != *theirs))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column
                .checked_sub(1)
                .is_some_and(|left| to.get(left) == Some(&ours) && previous == Some(*theirs));
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(ours);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, suggest};

    #[test]
    fn edits_are_counted_as_people_make_them() {
        assert_eq!(distance("labels", "labels"), 0);
        assert_eq!(distance("lables", "labels"), 1);
        assert_eq!(distance("label", "labels"), 1);
        assert_eq!(distance("Labels", "labels"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn only_a_close_word_is_proposed() {
        assert_eq!(
            suggest("read_only-true", &["name", "kind"], "keys here"),
            "the keys here are `name`, `kind`"
        );
        assert_eq!(
            suggest("nmae", &["name", "kind"], "keys here"),
            "did you mean `name`?"
        );
    }
}
