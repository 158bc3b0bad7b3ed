//! `[[issuer]]` and `[groups]`: whose tokens are accepted, and what their groups are called here.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use url::Url;

use super::check::{Check, is_private_enough};
use super::raw::{self, Text};
use super::{Claim, Issuer, Server, names};
use crate::secret::SecretRef;

/// Signature algorithms an issuer may be allowed to use: asymmetric ones alone, so that no published
/// key can be taken for a shared secret (RFC 8725, section 3.1).
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
/// Used when `algorithms` is left out.
const COMMON_ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// Every `[[issuer]]`.
pub(super) fn issuers(raw: &[raw::Issuer], server: Option<&Server>, check: &mut Check<'_>) -> Vec<Issuer> {
    names::distinct(
        raw.iter().map(|issuer| &issuer.name),
        "issuer",
        &mut check.problems,
    );
    let mut urls = BTreeSet::new();
    for issuer in raw {
        if !urls.insert(issuer.url.get_ref().trim_end_matches('/')) {
            let message = "another [[issuer]] has the same url, so its tokens would belong to two";
            check.problem(issuer.url.span(), message, "name each issuer once");
        }
    }
    raw.iter().filter_map(|one| issuer(one, server, check)).collect()
}

fn issuer(raw: &raw::Issuer, server: Option<&Server>, check: &mut Check<'_>) -> Option<Issuer> {
    mode(raw.mode.as_ref(), check);
    let name = name(&raw.name, check);
    let url = url(&raw.url, check);
    let audience = match &raw.audience {
        Some(audience) => check.filled(audience, "audience"),
        None => server.map(Server::mcp_url),
    };
    let control_audience = raw
        .control_audience
        .as_ref()
        .and_then(|text| check.filled(text, "control_audience"));
    if let Some(written) = &raw.control_audience
        && control_audience.is_some()
        && control_audience == audience
    {
        check.problem(
            written.span(),
            "control_audience is the same as audience, so an agent's token would open the people's side",
            "give the people's side its own audience, e.g. \"tollgate-control\"",
        );
    }
    let control_client_secret = client_secret(raw, check);
    let groups_claim = raw.groups_claim.as_ref().and_then(|text| pointer(text, check));
    let cut_at = check.number(raw.groups_cut_at.as_ref(), "groups_cut_at", 0..=100_000, 100);
    let lifetime = check.number(
        raw.max_lifetime_seconds.as_ref(),
        "max_lifetime_seconds",
        1..=31_536_000,
        86_400,
    );
    Some(Issuer {
        name: name?,
        url: url?,
        audience: audience?,
        control_audience,
        control_client_secret,
        groups_claim,
        groups_cut_at: usize::try_from(cut_at?).ok().filter(|cut| *cut > 0),
        algorithms: algorithms(raw.algorithms.as_ref(), check),
        accept_typ_jwt: raw.accept_typ_jwt,
        client_ids: clients(raw.client_ids.as_ref(), check),
        required_scopes: raw
            .required_scopes
            .iter()
            .filter_map(|one| scope(one, check))
            .collect(),
        jwks_uri: raw.jwks_uri.as_ref().and_then(|text| keys(text, check)),
        max_lifetime_seconds: lifetime?,
    })
}

fn client_secret(raw: &raw::Issuer, check: &mut Check<'_>) -> Option<SecretRef> {
    let secret = raw
        .control_client_secret
        .as_ref()
        .and_then(|text| check.secret(text, "control_client_secret"));
    if let (Some(written), None) = (&raw.control_client_secret, &raw.control_audience) {
        check.problem(
            written.span(),
            "control_client_secret is the secret of no client: there is no control_audience",
            "add control_audience, the client id the issuer gave you for the people's side",
        );
    }
    secret
}

/// Narrower than other names: it is the first part of every user's id.
fn name(raw: &Text, check: &mut Check<'_>) -> Option<String> {
    let name = names::unreserved(raw, "an issuer", &mut check.problems)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if name.len() > 63 || !name.chars().all(fits) {
        check.problem(
            raw.span(),
            format!("`{name}` cannot be the name of an issuer"),
            "use 1 to 63 of a-z 0-9 _ - : it is the first part of every user's id",
        );
        return None;
    }
    Some(name)
}

fn url(raw: &Text, check: &mut Check<'_>) -> Option<String> {
    let problem = match Url::parse(raw.get_ref()) {
        Err(error) => format!("an issuer's url is not a URL ({error})"),
        Ok(url) if has_more_than_a_place(&url) || url.query().is_some() => {
            "an issuer's url has more than scheme, host and path".to_owned()
        }
        Ok(url) if !is_private_enough(&url) => "an issuer's url is not https".to_owned(),
        Ok(_) => return Some(raw.get_ref().clone()),
    };
    check.problem(
        raw.span(),
        problem,
        "write exactly what `iss` says in its tokens, e.g. \"https://login.example.com\"; http is for loopback hosts only",
    );
    None
}

fn keys(raw: &Text, check: &mut Check<'_>) -> Option<String> {
    let fits =
        Url::parse(raw.get_ref()).is_ok_and(|url| is_private_enough(&url) && !has_more_than_a_place(&url));
    if !fits {
        check.problem(
            raw.span(),
            "jwks_uri is not an https URL",
            "write the address of the issuer's key set, or leave it out to use its discovery document",
        );
    }
    fits.then(|| raw.get_ref().clone())
}

fn has_more_than_a_place(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.fragment().is_some()
}

fn mode(mode: Option<&Text>, check: &mut Check<'_>) {
    let Some(mode) = mode else { return };
    match mode.get_ref().as_str() {
        "bearer" => {}
        "facade" => check.problem(
            mode.span(),
            "mode \"facade\" is not available in this version",
            "write mode = \"bearer\" and let clients get their tokens from the issuer",
        ),
        other => {
            let remedy = names::suggest(other, &["bearer"], "modes of this version");
            check.problem(
                mode.span(),
                format!("unknown mode `{}`", other.escape_debug()),
                remedy,
            );
        }
    }
}

/// A JSON pointer (RFC 6901): `/`-led tokens in which `~` is followed by 0 or 1. The empty pointer
/// (the whole token) is refused: it is never a list of groups.
fn pointer(raw: &Text, check: &mut Check<'_>) -> Option<String> {
    let text = raw.get_ref();
    let escaped = |rest: &str| rest.starts_with('0') || rest.starts_with('1');
    if text.starts_with('/') && text.split('~').skip(1).all(escaped) {
        return Some(text.clone());
    }
    check.problem(
        raw.span(),
        "groups_claim is not a JSON pointer (RFC 6901)",
        "start with a slash, e.g. \"/groups\" or \"/realm_access/roles\"",
    );
    None
}

fn algorithms(raw: Option<&Spanned<Vec<Text>>>, check: &mut Check<'_>) -> Vec<String> {
    let Some(raw) = raw else {
        return COMMON_ALGORITHMS.iter().map(|&word| word.to_owned()).collect();
    };
    if raw.get_ref().is_empty() {
        check.problem(
            raw.span(),
            "algorithms is empty, so no token could be accepted",
            "leave it out for the default, or name what the issuer signs with",
        );
    }
    for word in raw.get_ref() {
        if !ALGORITHMS.contains(&word.get_ref().as_str()) {
            let message = format!(
                "the algorithm `{}` is not accepted",
                word.get_ref().escape_debug()
            );
            let remedy = format!("name what the issuer signs with, of {}", ALGORITHMS.join(", "));
            check.problem(word.span(), message, remedy);
        }
    }
    raw.get_ref().iter().map(|word| word.get_ref().clone()).collect()
}

fn clients(raw: Option<&Spanned<Vec<Text>>>, check: &mut Check<'_>) -> Option<BTreeSet<String>> {
    let raw = raw?;
    if raw.get_ref().is_empty() {
        check.problem(
            raw.span(),
            "client_ids is empty, so no agent could call",
            "name the clients, or leave client_ids out to accept every client of this issuer",
        );
    }
    Some(
        raw.get_ref()
            .iter()
            .filter_map(|one| check.filled(one, "a client id"))
            .collect(),
    )
}

/// One scope-token (RFC 6749, section 3.3).
fn scope(raw: &Text, check: &mut Check<'_>) -> Option<String> {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let text = raw.get_ref();
    if !text.is_empty() && text.bytes().all(fits) {
        return Some(text.clone());
    }
    check.problem(
        raw.span(),
        "a required scope is not one scope",
        "write each as its own text: [\"mcp:read\", \"mcp:write\"]",
    );
    None
}

/// `[groups]`: local name = claims.
pub(super) fn groups(
    raw: &BTreeMap<Text, Vec<Text>>,
    issuers: &[raw::Issuer],
    check: &mut Check<'_>,
) -> BTreeMap<String, Vec<Claim>> {
    names::distinct(raw.keys(), "group", &mut check.problems);
    let mut groups = BTreeMap::new();
    for (name, members) in raw {
        let claims = members
            .iter()
            .filter_map(|member| claim(member, issuers, check))
            .collect();
        if let Some(name) = names::checked(name, "a group", &mut check.problems) {
            groups.insert(name, claims);
        }
    }
    groups
}

fn claim(raw: &Text, issuers: &[raw::Issuer], check: &mut Check<'_>) -> Option<Claim> {
    let written = raw.get_ref();
    let Some((issuer, value)) = written.split_once(':').filter(|(_, value)| !value.is_empty()) else {
        check.problem(
            raw.span(),
            format!("`{}` does not say whose claim it is", written.escape_debug()),
            "write \"<issuer name>:<group there>\", or \"local:<user name>\"",
        );
        return None;
    };
    let configured = issuers.iter().find(|one| one.name.get_ref() == issuer);
    if configured.is_none() && issuer != "local" {
        let mut known: Vec<&str> = issuers.iter().map(|one| one.name.get_ref().as_str()).collect();
        known.push("local");
        let remedy = names::suggest(issuer, &known, "issuers");
        check.problem(
            raw.span(),
            format!("there is no issuer `{}`", issuer.escape_debug()),
            remedy,
        );
        return None;
    }
    if configured.is_some_and(|one| one.groups_claim.is_none()) {
        check.problem(
            raw.span(),
            format!("issuer `{issuer}` has no groups_claim, so nobody could be in this group"),
            "add groups_claim to the [[issuer]], e.g. groups_claim = \"/groups\"",
        );
    }
    Some(Claim {
        issuer: issuer.to_owned(),
        value: value.to_owned(),
    })
}
