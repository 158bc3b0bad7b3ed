//! Which characters a reader does not see as themselves.

/// Whether a character acts on a screen instead of showing on it: controls (C0, C1), direction marks,
/// zero-width and blank-drawn ones, tags. The list is Unicode's `Cc`, the `Cf` that are not part of
/// ordinary words, the line and paragraph separators, the Hangul fillers (letters that draw nothing)
/// and the supplementary variation selectors. Line breaks and tabs are among them; who wants to keep
/// those says so.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::is_unseen;

    #[test]
    fn what_acts_or_hides_is_unseen_and_what_people_write_is_not() {
        for c in "\u{1b}\u{7f}\u{9b}\u{ad}\u{61c}\u{200d}\u{202e}\u{2066}\u{3164}\u{e0041}".chars() {
            assert!(is_unseen(c), "{c:?}");
        }
        for c in "az09 Zoë 中文 Ελ שלום مرحبا 한글 🙂".chars() {
            assert!(!is_unseen(c), "{c:?}");
        }
    }
}
