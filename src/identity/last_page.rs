//! The last page of a sign-in that a terminal began, as a port of this machine answers the browser.

/// The look of the server's pages, as far as a sentence needs it.
const STYLE: &str = ":root{color-scheme:light dark}body{margin:0;font:16px/1.5 system-ui,sans-serif}\
main{max-width:40rem;margin:0 auto;padding:.75rem 1rem}h1{font-size:1rem;margin:0 0 1rem}\
p{border:1px solid #8888;border-radius:8px;padding:1rem;margin:0}";

/// A whole HTTP/1.1 answer with a status line's `status` and a page that says `words`. Both are ours:
/// nothing that was sent is repeated.
pub(super) fn answer(status: &str, words: &str) -> String {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Tollgate</title>\
         <style>{STYLE}</style></head><body><main><h1>Tollgate</h1><p>{words}</p></main></body></html>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\n\r\n{page}",
        page.len()
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_page_is_as_long_as_it_says() {
        let answer = super::answer("200 OK", "Signed in.");
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", page.len())));
        assert!(page.contains("<p>Signed in.</p>"));
    }
}
