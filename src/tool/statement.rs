//! The placeholders of a declared statement.

use super::arguments::is_placeholder;

/// A placeholder in a statement; `name` is there for `:name` only.
pub(super) struct Placeholder {
    pub text: String,
    pub name: Option<String>,
}

/// Placeholders outside of string literals, quoted names and comments.
pub(super) fn placeholders(statement: &str) -> Vec<Placeholder> {
    let mut found = Vec::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '\'' | '"' | '`' => 1 + until(rest.get(1..), &first.to_string()),
            '[' => 1 + until(rest.get(1..), "]"),
            '-' if rest.starts_with("--") => until(Some(rest), "\n"),
            '/' if rest.starts_with("/*") => 2 + until(rest.get(2..), "*/"),
            ':' | '@' | '$' | '?' => {
                let name: String = rest
                    .chars()
                    .skip(1)
                    .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
                    .collect();
                found.push(Placeholder {
                    text: format!("{first}{name}"),
                    name: (first == ':' && is_placeholder(&name)).then(|| name.clone()),
                });
                1 + name.len()
            }
            // A name may contain `$`; a placeholder begins a word.
            character if character.is_alphanumeric() || character == '_' => rest
                .find(|next: char| !next.is_alphanumeric() && next != '_' && next != '$')
                .unwrap_or(rest.len()),
            character => character.len_utf8(),
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    found
}

/// Bytes up to and with an ending; all when it does not come.
fn until(text: Option<&str>, ending: &str) -> usize {
    let text = text.unwrap_or_default();
    text.find(ending).map_or(text.len(), |at| at + ending.len())
}
