//! Who is let in, by what: the identity stage from the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::clock::World;
use crate::config::{self, Config};
use crate::identity::provider::Provider;
use crate::identity::saml::{self, METADATA_BYTES, SamlSpec};
use crate::identity::{GroupMap, IdentitySpec, IssuerSpec, Opaque, Scopes};
use crate::secret::{Secret, SecretRef};
use crate::tool::Tools;

/// Whose tokens are accepted, and what groups they make.
///
/// # Errors
/// An entry identity does not understand.
pub(super) fn spec(config: &Config) -> Result<IdentitySpec> {
    let entries: BTreeMap<&str, Vec<String>> = config
        .groups
        .iter()
        .map(|(group, claims)| {
            let claims = claims
                .iter()
                .map(|claim| format!("{}:{}", claim.issuer, claim.value))
                .collect();
            (group.as_str(), claims)
        })
        .collect();
    let table = entries
        .iter()
        .map(|(group, claims)| (*group, claims.iter().map(String::as_str)));
    Ok(IdentitySpec {
        issuers: config.issuers.iter().map(provider_spec).collect::<Result<_>>()?,
        groups: GroupMap::parse(table)?,
        resource: config.server.mcp_url(),
        scopes: config.scopes.keys().cloned().collect(),
        facade: config
            .issuers
            .iter()
            .any(|issuer| issuer.mode.is_facade())
            .then(|| facade_url(config)),
        own: Vec::new(),
    })
}

/// One issuer.
///
/// # Errors
/// An entry identity does not understand.
pub(super) fn provider_spec(issuer: &config::Issuer) -> Result<IssuerSpec> {
    let algorithm = |name: &String| {
        name.parse()
            .map_err(|_| anyhow::anyhow!("issuer `{}`: unknown algorithm {name}", issuer.name))
    };
    let secret = issuer.control_client_secret.as_ref();
    let about = |error| anyhow::anyhow!("issuer `{}`: control_client_secret {error}", issuer.name);
    let secret = secret.map(resolved).transpose().map_err(about)?;
    Ok(IssuerSpec {
        name: issuer.name.clone(),
        url: issuer.url.clone(),
        bearer: !issuer.mode.is_facade(),
        audience: issuer.audience.clone(),
        algorithms: issuer.algorithms.iter().map(algorithm).collect::<Result<_>>()?,
        groups_claim: issuer.groups_claim.clone(),
        groups_cut_at: issuer.groups_cut_at,
        accept_typ_jwt: issuer.accept_typ_jwt,
        accept_missing_aud: issuer.accept_missing_aud,
        subject_claim: issuer.subject_claim.clone(),
        opaque: opaque(issuer)?,
        client_ids: issuer.client_ids.clone(),
        required_scopes: issuer.required_scopes.clone(),
        required_claims: issuer.required_claims.clone(),
        services: issuer.services,
        jwks_uri: issuer.jwks_uri.clone(),
        max_lifetime_seconds: issuer.max_lifetime_seconds,
        control_audience: issuer.control_audience.clone(),
        control_credential: secret,
        control_acr: issuer.control_acr.clone(),
        login_client: match &issuer.mode {
            config::Mode::Bearer { login_client, .. } => login_client.clone(),
            _ => None,
        },
    })
}

/// As whom an issuer is asked about opaque tokens.
fn opaque(issuer: &config::Issuer) -> Result<Option<Opaque>> {
    let config::Mode::Bearer {
        opaque: Some(client), ..
    } = &issuer.mode
    else {
        return Ok(None);
    };
    let about = |error: anyhow::Error| anyhow::anyhow!("issuer `{}`: client_secret {error}", issuer.name);
    let Some(secret) = &client.secret else {
        anyhow::bail!("issuer `{}`: opaque needs a client_secret", issuer.name)
    };
    Ok(Some(Opaque {
        client_id: client.id.clone(),
        client_secret: resolved(secret).map_err(about)?,
        endpoint: issuer.introspection_endpoint.clone(),
    }))
}

/// What the scopes of tokens are worth, once it is known which tools there are.
///
/// # Errors
/// A scope of a tool that does not exist.
pub(super) fn scopes(config: &Config, tools: &Tools) -> Result<Scopes> {
    Ok(Scopes::new(&config.scopes, tools.names())?)
}

/// The identifier of our own authorization server: the public address, without a slash at its end
/// (RFC 8414 section 2).
pub(super) fn facade_url(config: &Config) -> String {
    config.server.public_url.as_str().trim_end_matches('/').to_owned()
}

/// The secret a reference of the configuration points to.
///
/// # Errors
/// What is wrong with it and what to do, without the name of the key.
pub(super) fn resolved(reference: &SecretRef) -> Result<Secret> {
    let found = reference.resolve(|name| std::env::var(name).ok());
    found.map_err(|error| anyhow::anyhow!("{error}; {}", error.remedy()))
}

/// The providers that people sign in with by SAML.
///
/// # Errors
/// A metadata file that cannot be used, two issuers that are one provider, a key of the configuration that
/// means nothing there; or that this build has no SAML.
pub(super) fn saml(config: &Config, world: &Arc<dyn World>) -> Result<Vec<Arc<dyn Provider>>> {
    let mut providers = Vec::new();
    let mut files = BTreeSet::new();
    for issuer in &config.issuers {
        let config::Mode::Saml { metadata } = &issuer.mode else {
            continue;
        };
        let about = |what: &str| anyhow::anyhow!("issuer `{}`: {what}", issuer.name);
        if issuer.control_audience.is_some() {
            return Err(about(
                "control_audience is a client of OpenID Connect, which the people's side signs in with; \
                 leave it out with mode \"saml\"",
            ));
        }
        let spec = saml_spec(config, issuer, metadata)?;
        if !files.insert(spec.metadata.clone()) {
            return Err(about(
                "another issuer has the same metadata; name each provider once",
            ));
        }
        providers.push(saml::provider(spec, Arc::clone(world))?);
    }
    Ok(providers)
}

/// One provider that speaks SAML, by its metadata file.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn saml_spec(config: &Config, issuer: &config::Issuer, metadata: &Path) -> Result<SamlSpec> {
    let text = xml(metadata).map_err(|error| anyhow::anyhow!("issuer `{}`: {error}", issuer.name))?;
    Ok(SamlSpec {
        name: issuer.name.clone(),
        public_url: facade_url(config),
        metadata: text,
        groups_claim: issuer.groups_claim.clone(),
        groups_cut_at: issuer.groups_cut_at,
        max_lifetime_seconds: issuer.max_lifetime_seconds,
    })
}

fn xml(file: &Path) -> Result<String, String> {
    let named = |what: &str| format!("its SAML metadata {}: {what}", file.display());
    let opened = std::fs::File::open(file).map_err(|error| named(&error.to_string()))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(METADATA_BYTES).unwrap_or(u64::MAX);
    let read = opened.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| named(&error.to_string()))?;
    if bytes.len() > METADATA_BYTES {
        return Err(named("larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| named("not UTF-8"))
}
