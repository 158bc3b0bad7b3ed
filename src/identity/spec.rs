//! What identity is told about issuers, checked before anything trusts it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use url::{Host, Url};

use super::OwnTokens;
use super::groups::GroupMap;
use super::jose::Algorithm;
use crate::secret::Secret;

/// The issuer name of stdio principals; no configured issuer may take it.
pub const LOCAL: &str = "local";
/// The issuer name of services, which authenticate with API keys ([`super::services`]); no configured
/// issuer may take it.
pub const SERVICE: &str = "service";
/// The issuer of integrations, whose signed callbacks decide about approvals.
pub const CALLBACK: &str = "callback";
/// The issuer name of the demo issuer ([`super::issuer`]): loopback only.
pub const DEMO: &str = "demo";

/// Everything identity needs; `app` makes it from the configuration.
#[derive(Debug, Clone)]
pub struct IdentitySpec {
    /// Whose tokens are accepted. None: every bearer token is refused.
    pub issuers: Vec<IssuerSpec>,
    /// Which claims make which local groups.
    pub groups: GroupMap,
    /// The canonical URL of the MCP endpoint (RFC 8707), such as `https://tollgate.example.com/mcp`.
    pub resource: String,
    /// The scopes a client should ask for; may be empty.
    pub scopes: Vec<String>,
    /// The identifier of our own authorization server, where there is one (RFC 8414 §2).
    pub facade: Option<String>,
    /// Tokens of our own.
    pub own: Vec<Arc<dyn OwnTokens>>,
}

/// One issuer of access tokens.
#[derive(Debug, Clone)]
pub struct IssuerSpec {
    /// Its local name, `[a-z0-9_-]`: the first part of every user's id.
    pub name: String,
    /// The exact `iss` value, character for character; discovery starts from it.
    pub url: String,
    /// Whether agents may bring tokens that it signed; otherwise people sign in there and no more.
    pub bearer: bool,
    /// The exact `aud` value its tokens for us carry.
    pub audience: String,
    /// The algorithms it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Where the groups are in the claims, as a JSON pointer (RFC 6901). `None`: this issuer gives
    /// no groups, and then no group may name it.
    pub groups_claim: Option<String>,
    /// A groups claim with exactly this many entries counts as cut off: Okta stops at 100 without a
    /// word. `None` for an issuer known not to.
    pub groups_cut_at: Option<usize>,
    /// Accept `typ: JWT`, or no `typ`, from an issuer that cannot set `at+jwt` (Entra, Okta, Keycloak).
    pub accept_typ_jwt: bool,
    /// Accept tokens without any `aud` from the clients of `client_ids`, which then must be set: of an
    /// issuer that cannot name an audience (Cognito, Keycloak without a mapper). A token that has an
    /// `aud` must name ours all the same.
    pub accept_missing_aud: bool,
    /// The claim that names the person; `sub` unless the issuer gives each client another one (Entra: `oid`).
    pub subject_claim: String,
    /// How it is asked about tokens that are no JWT (RFC 7662); `None`: they are refused. Of all
    /// issuers one at most, because such a token does not say whose it is.
    pub opaque: Option<Opaque>,
    /// The clients whose tokens are accepted; `None` is any, an empty set is nobody.
    pub client_ids: Option<BTreeSet<String>>,
    /// Scopes every token must carry.
    pub required_scopes: Vec<String>,
    /// Claims every token must carry, each as a text that is one of these: of an issuer that vouches for
    /// the jobs or people of many organisations.
    pub required_claims: BTreeMap<String, BTreeSet<String>>,
    /// Whoever it vouches for is a service, whatever its tokens say.
    pub services: bool,
    /// Where the keys are, for an issuer whose keys are not on its own host (Google) or that has no
    /// discovery document. Set, it replaces discovery.
    pub jwks_uri: Option<String>,
    /// Tokens valid for longer than this many seconds from now are refused.
    pub max_lifetime_seconds: u64,
    /// The client of this issuer whose ID tokens open the people's side; `None` opens it for nobody.
    pub control_audience: Option<String>,
    /// That client's secret, where it has one.
    pub control_credential: Option<Secret>,
    /// Authentication context classes, one of which a sign-in on the people's side must meet (`acr`);
    /// empty asks for none.
    pub control_acr: Vec<String>,
    /// The public client that `tollgate login` is at this issuer.
    pub login_client: Option<String>,
}

/// As whom, and where, an issuer is asked about opaque tokens (RFC 7662).
#[derive(Debug, Clone)]
pub struct Opaque {
    /// Our client there; it must be allowed to introspect.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The endpoint, where it is not on the issuer's own host or not in its discovery document. Set, it
    /// replaces discovery.
    pub endpoint: Option<String>,
}

impl IssuerSpec {
    /// An issuer with the defaults: [`Algorithm::DEFAULT`], groups in `/groups`, cut off at 100,
    /// strict `typ`, any client, no required scope, discovery, at most 24 hours.
    pub fn new(name: impl Into<String>, url: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            bearer: true,
            audience: audience.into(),
            algorithms: Algorithm::DEFAULT.to_vec(),
            groups_claim: Some("/groups".to_owned()),
            groups_cut_at: Some(100),
            accept_typ_jwt: false,
            accept_missing_aud: false,
            subject_claim: "sub".to_owned(),
            opaque: None,
            client_ids: None,
            required_scopes: Vec::new(),
            required_claims: BTreeMap::new(),
            services: false,
            jwks_uri: None,
            max_lifetime_seconds: 86_400,
            control_audience: None,
            control_credential: None,
            control_acr: Vec::new(),
            login_client: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        let wrong = |what: String| SpecError(format!("issuer `{}`: {what}", self.name));
        self.check_name().map_err(|why| wrong(why.to_owned()))?;
        let url = secure(&self.url).map_err(|why| wrong(format!("url `{}` {why}", self.url)))?;
        if url.query().is_some() {
            return Err(wrong(format!(
                "url `{}` has a query; an issuer has none",
                self.url
            )));
        }
        if self.name == DEMO && !is_loopback(&url) {
            return Err(wrong(
                "the name `demo` is kept for the demo issuer, on loopback only".to_owned(),
            ));
        }
        if let Some(uri) = &self.jwks_uri {
            secure(uri).map_err(|why| wrong(format!("jwks_uri `{uri}` {why}")))?;
        }
        if let Some(endpoint) = self.opaque.as_ref().and_then(|opaque| opaque.endpoint.as_ref()) {
            secure(endpoint).map_err(|why| wrong(format!("introspection_endpoint `{endpoint}` {why}")))?;
        }
        self.check_audiences().map_err(|why| wrong(why.to_owned()))?;
        if self.algorithms.is_empty() {
            return Err(wrong(
                "algorithms is empty, so no token could pass; leave it out for the default".to_owned(),
            ));
        }
        if self
            .groups_claim
            .as_ref()
            .is_some_and(|pointer| !pointer.starts_with('/'))
        {
            return Err(wrong(
                "groups_claim must be a JSON pointer such as `/groups`".to_owned(),
            ));
        }
        if let Some(scope) = self.required_scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(wrong(format!(
                "required scope `{scope}` is not one scope (RFC 6749 §3.3)"
            )));
        }
        if self.max_lifetime_seconds == 0 {
            return Err(wrong(
                "max_lifetime_seconds is 0, so no token could pass".to_owned(),
            ));
        }
        Ok(())
    }
}

impl IssuerSpec {
    fn check_name(&self) -> Result<(), &'static str> {
        match self.name.as_str() {
            LOCAL => Err("the name `local` is kept for the users of stdio"),
            SERVICE => Err("the name `service` is kept for services, which have API keys"),
            CALLBACK => Err("the name `callback` is kept for integrations that decide by signed callback"),
            name if !is_name(name) => Err("a name is 1 to 63 characters of a-z, 0-9, _ and -"),
            _ => Ok(()),
        }
    }

    fn check_audiences(&self) -> Result<(), &'static str> {
        if self.audience.is_empty() {
            return Err("audience is empty; write the value its tokens carry in `aud`");
        }
        if self.accept_missing_aud && self.client_ids.as_ref().is_none_or(BTreeSet::is_empty) {
            return Err(
                "accept_missing_aud needs client_ids: without an audience only the client says whom a token is for",
            );
        }
        if self.subject_claim.is_empty() {
            return Err("subject_claim is empty; leave it out for `sub`");
        }
        match &self.control_audience {
            Some(control) if control.is_empty() || *control == self.audience => Err(
                "control_audience is empty or the same as audience; give the people's side its own client",
            ),
            _ => Ok(()),
        }
    }
}

impl IssuerSpec {
    /// Whom it vouches for.
    fn check_vouching(&self) -> Result<(), String> {
        if !self.bearer && (self.services || !self.required_claims.is_empty()) {
            return Err("services and required_claims are for issuers of bearer tokens".to_owned());
        }
        if self.services && self.control_audience.is_some() {
            return Err("services decide nothing; an issuer of services has no control_audience".to_owned());
        }
        for (claim, values) in &self.required_claims {
            if OTHERWISE_CHECKED.contains(&claim.as_str()) {
                return Err(format!("required_claims: `{claim}` is checked already"));
            }
            if claim.is_empty() || values.is_empty() || values.contains("") {
                return Err("required_claims names a claim or a value that is empty".to_owned());
            }
        }
        match Url::parse(&self.url).ok().as_ref().and_then(shared) {
            Some(claim) if self.bearer && self.required_claims.is_empty() => Err(format!(
                "everybody can get a token of it for any audience; say whose are accepted: \
                 required_claims = {{ {claim} = \"…\" }}"
            )),
            _ => Ok(()),
        }
    }
}

/// Claims that say nothing of whose a token is, or are checked by other keys.
pub const OTHERWISE_CHECKED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Issuers that sign for the customers of a whole service, whatever audience they ask for; and a claim
/// that says whose a token is.
const SHARED: [(&str, &str); 5] = [
    ("token.actions.githubusercontent.com", "repository_owner_id"),
    ("gitlab.com", "namespace_id"),
    ("agent.buildkite.com", "organization_slug"),
    ("app.terraform.io", "terraform_organization_id"),
    ("accounts.google.com", "email"),
];

/// The claim that says whose a token is, when this is an issuer that everybody can get tokens of.
#[must_use]
pub fn shared(url: &Url) -> Option<&'static str> {
    let host = url.host_str()?.trim_end_matches('.');
    let found = SHARED.iter().find(|(known, _)| *known == host);
    found.map(|(_, claim)| *claim)
}

/// What is wrong with an [`IdentitySpec`], in words for whoever wrote the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

impl IdentitySpec {
    /// Checks every issuer, the resource, the scopes and the groups against each other.
    pub(super) fn check(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        let mut urls = BTreeSet::new();
        for issuer in &self.issuers {
            issuer.check()?;
            let about = |what| SpecError(format!("issuer `{}`: {what}", issuer.name));
            issuer.check_vouching().map_err(about)?;
            if !names.insert(issuer.name.as_str()) {
                return Err(SpecError(format!("issuer `{}` is configured twice", issuer.name)));
            }
            if !urls.insert(issuer.url.as_str()) {
                return Err(SpecError(format!(
                    "issuer `{}`: url `{}` is configured twice; its tokens would belong to two issuers",
                    issuer.name, issuer.url
                )));
            }
        }
        let mut opaque = self.issuers.iter().filter(|issuer| issuer.opaque.is_some());
        if let (Some(one), Some(other)) = (opaque.next(), opaque.next()) {
            return Err(SpecError(format!(
                "issuers `{}` and `{}` both have opaque tokens, which do not say whose they are; only one issuer may",
                one.name, other.name
            )));
        }
        secure(&self.resource).map_err(|why| SpecError(format!("resource `{}` {why}", self.resource)))?;
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(SpecError(format!(
                "scope `{scope}` is not one scope (RFC 6749 §3.3)"
            )));
        }
        let carries = |name: &str| {
            let issuer = self.issuers.iter().find(|issuer| issuer.name == name)?;
            Some(issuer.groups_claim.is_some())
        };
        self.groups.check(carries)
    }
}

/// Where the metadata of a resource is (RFC 9728 §3.1): the well-known part goes between host and path.
pub(super) fn metadata_url(resource: &Url) -> Url {
    let mut url = resource.clone();
    let path = resource.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/oauth-protected-resource{path}"));
    url
}

/// An absolute URL that is https, or http to loopback, without user name or fragment.
pub(super) fn secure(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an absolute URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user name or password");
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#)");
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("must be https, or http to loopback"),
    }
}

/// Whether the host is this machine: `localhost` or a loopback address.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=63).contains(&name.len()) && name.bytes().all(fits)
}

fn is_scope(scope: &str) -> bool {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.bytes().all(fits)
}
