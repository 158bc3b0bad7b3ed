//! Whom to ask for tokens for a server, as the server and its issuer say themselves (RFC 9728, RFC 8414).

use serde_json::Value;
use url::Url;

use super::{Key, LoginError, Site};
use crate::identity::facade;
use crate::identity::fetch::Fetch;
use crate::identity::jose::strict_json;
use crate::identity::spec::{is_loopback, metadata_url, secure};

/// The member of the resource's metadata that names our client at each issuer of the organisation's own.
pub(in crate::identity) const CLIENTS: &str = "tollgate_login_client_ids";
/// The longest scope that is asked for, in bytes.
const SCOPE_BYTES: usize = 4096;
/// The scope that some issuers want for a refresh token (OpenID Connect Core 11).
const OFFLINE: &str = "offline_access";

/// What is needed to log in at a server.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) key: Key,
    pub(super) authorization: Option<Url>,
    pub(super) device: Option<Url>,
    pub(super) token: Url,
    pub(super) revocation: Option<Url>,
    pub(super) scope: String,
    /// It says who it is in its answers (RFC 9207).
    pub(super) names_itself: bool,
}

impl Plan {
    /// Asks the server for its issuer, and the issuer for its endpoints. With `issuer`, that one of the
    /// server's issuers; with `client_id`, that client.
    ///
    /// # Errors
    /// Which document cannot be had or believed.
    pub async fn find(
        fetch: &dyn Fetch,
        site: &Site,
        issuer: Option<&str>,
        client_id: Option<&str>,
    ) -> Result<Self, LoginError> {
        let document = read(fetch, &metadata_url(site.resource()), "the server's metadata").await?;
        let document = document.ok_or_else(|| {
            wrong(format!(
                "{} says nothing about logging in; is it the address of a Tollgate?",
                site.server()
            ))
        })?;
        if document.get("resource").and_then(Value::as_str) != Some(site.resource().as_str()) {
            return Err(wrong(format!(
                "the server's metadata is about another resource than {}; use the server's public address",
                site.resource()
            )));
        }
        let issuer = chosen(&document, issuer)?;
        let client_id = client(&document, site, &issuer, client_id)?;
        let key = Key {
            server: site.server().to_owned(),
            issuer,
            client_id,
            resource: site.resource().to_string(),
        };
        let scopes = words(&document, "scopes_supported");
        Self::of_issuer(fetch, key, scopes, site.is_local()).await
    }

    /// Reads the metadata of the issuer, which must be of this very issuer. RFC 8414 section 3.1 and OpenID
    /// Connect Discovery 4 put it in three places, of which the first that has one counts.
    async fn of_issuer(
        fetch: &dyn Fetch,
        key: Key,
        mut scopes: Vec<String>,
        local: bool,
    ) -> Result<Self, LoginError> {
        let issuer = endpoint(&key.issuer, "the issuer", local)?;
        let path = issuer.path().trim_end_matches('/').to_owned();
        let places = [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ];
        let mut found = None;
        for place in places {
            let mut address = issuer.clone();
            address.set_path(&place);
            found = read(fetch, &address, "the authorization server's metadata").await?;
            if found.is_some() {
                break;
            }
        }
        let document = found.ok_or_else(|| wrong(format!("{issuer} publishes no metadata")))?;
        if document.get("issuer").and_then(Value::as_str) != Some(key.issuer.as_str()) {
            return Err(wrong(format!(
                "the metadata of {issuer} is that of another issuer"
            )));
        }
        // Entra does not say what it supports here; who lists methods without S256 does not have it.
        let methods = words(&document, "code_challenge_methods_supported");
        if document.get("code_challenge_methods_supported").is_some()
            && !methods.iter().any(|method| method == "S256")
        {
            return Err(wrong(format!("{issuer} does not support PKCE with S256")));
        }
        let named = |name: &str| {
            let text = document.get(name).and_then(Value::as_str);
            text.map(|text| endpoint(text, name, local)).transpose()
        };
        let token = named("token_endpoint")?;
        if words(&document, "scopes_supported")
            .iter()
            .any(|scope| scope == OFFLINE)
            && !scopes.iter().any(|scope| scope == OFFLINE)
        {
            scopes.push(OFFLINE.to_owned());
        }
        Ok(Self {
            authorization: named("authorization_endpoint")?,
            device: named("device_authorization_endpoint")?,
            token: token.ok_or_else(|| wrong(format!("{issuer} names no token_endpoint")))?,
            revocation: named("revocation_endpoint")?,
            scope: scopes.join(" "),
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            key,
        })
    }

    /// What the login will be for.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether a terminal without a browser can be used.
    #[must_use]
    pub fn has_device(&self) -> bool {
        self.device.is_some()
    }

    /// Whether refresh tokens need the person's consent each time (OpenID Connect Core 11).
    pub(super) fn asks_offline(&self) -> bool {
        self.scope.split(' ').any(|scope| scope == OFFLINE)
    }
}

fn wrong(what: String) -> LoginError {
    LoginError::Metadata(what)
}

/// One document; `None` when there is none at that address.
async fn read(fetch: &dyn Fetch, address: &Url, what: &str) -> Result<Option<Value>, LoginError> {
    let answer = fetch.get(address).await;
    let answer = answer.map_err(|error| wrong(format!("{what} cannot be had: {error}")))?;
    match answer.status {
        200 => strict_json(&answer.body)
            .map(Some)
            .map_err(|_| wrong(format!("{what} at {address} is not JSON"))),
        400..=499 => Ok(None),
        status => Err(wrong(format!("{what}: {address} answered HTTP {status}"))),
    }
}

/// A server elsewhere must not send us to a program on this machine.
fn endpoint(text: &str, name: &str, local: bool) -> Result<Url, LoginError> {
    let url = secure(text).map_err(|why| wrong(format!("{name} {why}")))?;
    if !local && is_loopback(&url) {
        return Err(wrong(format!(
            "{name} is an address of this machine, and the server is not"
        )));
    }
    Ok(url)
}

/// The texts of a list that can be one word of a scope; everything else in it is passed over.
fn words(document: &Value, name: &str) -> Vec<String> {
    let list = document.get(name).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    let fits = |text: &&str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let mut length = 0;
    texts
        .filter(fits)
        .take_while(|text| {
            length += text.len() + 1;
            length <= SCOPE_BYTES
        })
        .map(str::to_owned)
        .collect()
}

/// The issuer: the one that was asked for, if the server has it, else the server's first.
fn chosen(document: &Value, asked: Option<&str>) -> Result<String, LoginError> {
    let list = document.get("authorization_servers").and_then(Value::as_array);
    let mut issuers = list.into_iter().flatten().filter_map(Value::as_str);
    let found = match asked {
        None => issuers.next(),
        Some(asked) => issuers.find(|issuer| issuer.trim_end_matches('/') == asked.trim_end_matches('/')),
    };
    found.map(str::to_owned).ok_or_else(|| {
        wrong(match asked {
            None => "the server names no authorization server: nobody can log in there".to_owned(),
            Some(_) => "the server does not take tokens of that issuer".to_owned(),
        })
    })
}

/// The client to be: the one that was given, the one the server names for this issuer, or at the server's
/// own authorization server the one that is always there.
fn client(document: &Value, site: &Site, issuer: &str, given: Option<&str>) -> Result<String, LoginError> {
    let named = document
        .get(CLIENTS)
        .and_then(|clients| clients.get(issuer))
        .and_then(Value::as_str);
    let own = (issuer == site.server()).then_some(facade::CLI);
    let id = given.or(named).or(own).ok_or_else(|| LoginError::NoClient {
        issuer: issuer.to_owned(),
    })?;
    if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
        return Err(wrong("the client id cannot be one".to_owned()));
    }
    Ok(id.to_owned())
}
