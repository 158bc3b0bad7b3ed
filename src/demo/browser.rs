//! A person's browser, as far as the demo needs one: it follows redirects, keeps cookies by host, and
//! fills in forms. Only the pages of the demo are ever shown to it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use regex::Regex;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, REFRESH, SET_COOKIE};
use url::Url;

use crate::app;

/// Redirects and forms after which something is wrong.
const STEPS: usize = 16;

/// One browser with its cookies.
pub struct Browser {
    http: reqwest::Client,
    /// By host (cookies know no ports, RFC 6265 section 8.5).
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where a page came from, and its text.
struct Page {
    at: Url,
    html: String,
    /// Where the page itself leads (`Refresh`).
    next: Option<Url>,
}

impl Browser {
    /// A fresh one.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new() -> Result<Self> {
        Ok(Self {
            http: app::http_client()?,
            cookies: BTreeMap::new(),
        })
    }

    /// Opens `url`, agrees to what is asked, signs in as `user`, and goes on until a page has no form.
    ///
    /// # Errors
    /// When a page cannot be had, or there are too many.
    pub async fn sign_in(&mut self, url: &Url, user: &str, secret: &str) -> Result<()> {
        let mut page = self.go(url.clone(), None).await?;
        for _ in 0..STEPS {
            if let Some(next) = page.next.take() {
                page = self.go(next, None).await?;
                continue;
            }
            let Some(form) = Form::of(&page.html) else {
                return Ok(());
            };
            let mut fields = form.fields;
            if form.asks_secret {
                fields.push(("username".to_owned(), user.to_owned()));
                fields.push(("password".to_owned(), secret.to_owned()));
            }
            let to = page.at.join(&form.action).context("where a form goes")?;
            page = self.go(to, Some((page.at, fields))).await?;
        }
        bail!("signing in does not come to an end")
    }

    /// One page: of a GET, or of a form that was on another page.
    async fn go(&mut self, url: Url, form: Option<(Url, Vec<(String, String)>)>) -> Result<Page> {
        let (mut at, mut form) = (url, form);
        for _ in 0..STEPS {
            let mut request = match form.take() {
                None => self.http.get(at.clone()),
                Some((from, fields)) => self
                    .http
                    .post(at.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .header(ORIGIN, from.origin().ascii_serialization())
                    .body(
                        url::form_urlencoded::Serializer::new(String::new())
                            .extend_pairs(fields)
                            .finish(),
                    ),
            };
            if let Some(kept) = self.cookies.get(at.host_str().unwrap_or_default()) {
                let pairs: Vec<String> = kept
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                request = request.header(COOKIE, pairs.join("; "));
            }
            let answer = request
                .send()
                .await
                .with_context(|| format!("open {}", bare(&at)))?;
            self.keep(&at, &answer);
            let next = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            match next {
                Some(next) => at = at.join(next).context("where a redirect goes")?,
                None => {
                    let leads = answer.headers().get(REFRESH).and_then(|to| to.to_str().ok());
                    let next = leads.and_then(|to| at.join(to.strip_prefix("0;url=")?).ok());
                    let html = answer.text().await?;
                    return Ok(Page { at, html, next });
                }
            }
        }
        bail!("{} leads round in a circle", bare(&at))
    }

    fn keep(&mut self, at: &Url, answer: &reqwest::Response) {
        let kept = self
            .cookies
            .entry(at.host_str().unwrap_or_default().to_owned())
            .or_default();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|text| text.split(';').next());
            match pair.and_then(|pair| pair.split_once('=')) {
                Some((name, "")) => drop(kept.remove(name)),
                Some((name, value)) => drop(kept.insert(name.to_owned(), value.to_owned())),
                None => {}
            }
        }
    }
}

/// Without the query, which may hold a code.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The first form of a page, as the button that agrees sends it.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    asks_secret: bool,
}

impl Form {
    fn of(html: &str) -> Option<Self> {
        let (_, rest) = html.split_once("<form")?;
        let (head, rest) = rest.split_once('>')?;
        let (body, _) = rest.split_once("</form>")?;
        let mut fields = Vec::new();
        let mut asks_secret = false;
        let mut button = None;
        for tag in Regex::new(r"<(input|button)\b([^>]*)>").ok()?.captures_iter(body) {
            let attributes = tag.get(2).map_or("", |found| found.as_str());
            let kind = attribute(attributes, "type").unwrap_or_default();
            let field = || {
                let name = attribute(attributes, "name")?;
                Some((name, attribute(attributes, "value").unwrap_or_default()))
            };
            if tag.get(1).is_some_and(|found| found.as_str() == "button") {
                let agrees = attribute(attributes, "class").is_some_and(|class| class == "yes");
                if agrees || button.is_none() {
                    button = field().map(|field| (agrees, field)).or(button);
                }
            } else if kind == "password" {
                asks_secret = true;
            } else if kind == "hidden" || attributes.contains(" checked") {
                fields.extend(field());
            }
        }
        fields.extend(button.map(|(_, field)| field));
        Some(Self {
            action: attribute(head, "action").unwrap_or_default(),
            fields,
            asks_secret,
        })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let plain = value
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_sent_by_the_button_that_agrees() {
        let html = "<p>Hello</p><form method=\"post\" action=\"/a?b=1&amp;c=2\"><input type=\"hidden\" name=\"id\" value=\"x&quot;y\">\
                    <input type=\"radio\" name=\"by\" value=\"one\" checked><input type=\"radio\" name=\"by\" value=\"two\">\
                    <button class=\"no\" name=\"deny\" value=\"1\">Deny</button><button class=\"yes\" name=\"at\" value=\"demo\">Allow</button></form>";
        let form = Form::of(html).unwrap();
        assert_eq!(form.action, "/a?b=1&c=2");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            form.fields,
            [pair("id", "x\"y"), pair("by", "one"), pair("at", "demo")]
        );
        assert!(!form.asks_secret);
        assert_eq!(Form::of("<p>Done</p>"), None);
    }
}
