//! HTML, written by hand: everything that comes from elsewhere passes [`text`] or [`exact`].

use std::fmt::Write;

use super::sessions::Seated;
use crate::call::is_unseen;
use crate::clock::Timestamp;

/// The style sheet, served at `/style.css`.
pub(super) const STYLE: &str = include_str!("style.css");

/// Text in an element or a quoted attribute: nothing in it is markup, and what would act on the screen
/// instead of showing on it shows as its code point.
pub(super) fn text(words: &str) -> String {
    escaped(words, false)
}

/// The same for `<pre>`: line breaks and tabs stay.
pub(super) fn exact(words: &str) -> String {
    escaped(words, true)
}

fn escaped(words: &str, lines: bool) -> String {
    let mut out = String::with_capacity(words.len() + words.len() / 8);
    for character in words.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' if lines => out.push(character),
            _ if is_unseen(character) => {
                let _ = write!(out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

/// What is above a page: who is signed in, the token of the form that signs them out, and where they can go (path and
/// name, both ours).
pub(super) struct Head<'a> {
    pub(super) seated: &'a Seated,
    pub(super) token: &'a str,
    pub(super) places: &'a [(&'static str, &'static str)],
    /// The one of them that this page is.
    pub(super) here: &'a str,
}

/// A whole page around `body`, which is HTML.
pub(super) fn layout(title: &str, head: Option<&Head<'_>>, body: &str) -> String {
    let aside = head.map_or_else(String::new, |head| {
        let user = &head.seated.person.user;
        let link = |(path, name): &(&str, &str)| {
            let here = if *path == head.here { " aria-current=\"page\"" } else { "" };
            format!("<a href=\"{path}\"{here}>{name}</a>")
        };
        let links: String = head.places.iter().map(link).collect();
        format!(
            "<nav aria-label=\"Pages\">{links}</nav><form class=\"who\" method=\"post\" action=\"/sign-out\"><span><bdi>{}</bdi> at {}</span>\
             <input type=\"hidden\" name=\"token\" value=\"{}\">\
             <button class=\"plain\">Sign out</button></form>",
            text(&user.subject),
            text(&user.issuer),
            text(head.token)
        )
    });
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{} · Tollgate</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body>\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\
         <header><a href=\"/approvals\">Tollgate</a>{aside}</header><main id=\"main\" tabindex=\"-1\">{body}</main></body></html>\n",
        text(title)
    )
}

/// A moment of RFC 3339 as people write it, to the second.
pub(super) fn when(moment: &str) -> String {
    let readable = moment.split_once('T').and_then(|(day, time)| {
        let time = time.strip_suffix('Z')?;
        let time = time.split_once('.').map_or(time, |(whole, _)| whole);
        Some(format!("{day} {time} UTC"))
    });
    let readable = readable.as_deref().unwrap_or(moment);
    format!("<time datetime=\"{}\">{}</time>", text(moment), text(readable))
}

/// The same, and how far from now that is.
pub(super) fn when_from(moment: &str, now: Timestamp) -> String {
    let absolute = when(moment);
    match Timestamp::parse(moment) {
        Some(at) => format!("{absolute} <span class=\"faint\">({})</span>", at.relative(now)),
        None => absolute,
    }
}

/// A query, for an attribute.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    text(&query.extend_pairs(pairs).finish())
}

#[cfg(test)]
mod tests {
    use super::{exact, text};

    #[test]
    fn nothing_is_markup_and_nothing_is_unseen() {
        assert_eq!(
            text("<script>'\"&</script>"),
            "&lt;script&gt;&#39;&quot;&amp;&lt;/script&gt;"
        );
        assert_eq!(text("a\u{202e}b\nc"), "a⟨U+202E⟩b⟨U+000A⟩c");
        assert_eq!(exact("a\tb\nc\rd\u{200b}"), "a\tb\nc⟨U+000D⟩d⟨U+200B⟩");
        assert_eq!(text("Zoë 中文 🙂"), "Zoë 中文 🙂");
    }
}
