//! Forms, read strictly: a parameter that comes twice means two things to two readers (RFC 6749 section 3.2).

use http::{HeaderMap, header};
use zeroize::{Zeroize, Zeroizing};

/// The most parameters, and the longest body, in bytes.
const MOST: usize = 64;
const BYTES: usize = 64 * 1024;

/// The parameters of a form. Wiped when dropped, because codes and tokens are among them; shows nothing.
pub struct Fields(Vec<(String, String)>);

impl Drop for Fields {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fields({})", self.0.len())
    }
}

/// What is wrong with a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadForm(pub &'static str);

impl Fields {
    /// Reads the body of a POST.
    ///
    /// # Errors
    /// In words for a client.
    pub fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, BadForm> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(BadForm("the body must be application/x-www-form-urlencoded"));
        }
        Self::of(body)
    }

    /// Reads a query or a body.
    ///
    /// # Errors
    /// In words for a client.
    pub fn of(text: &[u8]) -> Result<Self, BadForm> {
        if text.len() > BYTES {
            return Err(BadForm("the form is too large"));
        }
        let mut fields = Self(Vec::new());
        for (name, value) in url::form_urlencoded::parse(text) {
            let value = Zeroizing::new(value.into_owned());
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(BadForm("a parameter is not UTF-8"));
            }
            if fields.0.iter().any(|(known, _)| *known == name) {
                return Err(BadForm("a parameter is repeated"));
            }
            if fields.0.len() == MOST {
                return Err(BadForm("there are too many parameters"));
            }
            fields.0.push((name.into_owned(), value.as_str().to_owned()));
        }
        Ok(fields)
    }

    /// A parameter; one without a value counts as absent (RFC 6749 section 3.2).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}
