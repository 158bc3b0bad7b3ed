//! `[[issuer]]` and `[groups]`: whose tokens are accepted, and what their groups are called here.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use url::Url;

use super::check::{Check, is_private_enough};
use super::guard::Role;
use super::raw::{self, Text};
use super::{Claim, Client, Issuer, Mode, Server, names, vouching};
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
    one_asked(raw, check);
    raw.iter().filter_map(|one| issuer(one, server, check)).collect()
}

/// A token that is no JWT does not say whose it is: to ask several issuers would show each of them the
/// tokens of the others.
fn one_asked(raw: &[raw::Issuer], check: &mut Check<'_>) {
    let asked = |issuer: &&raw::Issuer| issuer.opaque.as_ref().is_some_and(|opaque| *opaque.get_ref());
    for second in raw.iter().filter(asked).skip(1) {
        let span = second.opaque.as_ref().map_or(0..0, Spanned::span);
        check.problem(
            span,
            "another [[issuer]] has opaque = true too, and such a token does not say whose it is",
            "let all but one of them give JWT access tokens, or use mode = \"facade\"",
        );
    }
}

fn issuer(raw: &raw::Issuer, server: Option<&Server>, check: &mut Check<'_>) -> Option<Issuer> {
    let mode = mode(raw, check);
    let name = name(&raw.name, check);
    let url = url(&raw.url, check);
    let (audience, control_audience) = audiences(raw, server, check);
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
        mode: mode?,
        audience: audience?,
        control_audience,
        control_client_secret,
        control_acr: words(&raw.control_acr, "control_acr", check),
        groups_claim,
        groups_cut_at: usize::try_from(cut_at?).ok().filter(|cut| *cut > 0),
        algorithms: algorithms(raw.algorithms.as_ref(), check),
        accept_typ_jwt: raw.accept_typ_jwt,
        accept_missing_aud: missing_aud(raw, check),
        subject_claim: raw
            .subject_claim
            .as_ref()
            .map_or(Some("sub".to_owned()), |text| check.filled(text, "subject_claim"))?,
        introspection_endpoint: raw
            .introspection_endpoint
            .as_ref()
            .and_then(|text| endpoint(text, "introspection_endpoint", check)),
        client_ids: clients(raw.client_ids.as_ref(), check),
        required_scopes: raw
            .required_scopes
            .iter()
            .filter_map(|one| scope(one, check))
            .collect(),
        required_claims: vouching::required_claims(raw, check),
        services: vouching::services(raw, check),
        jwks_uri: raw
            .jwks_uri
            .as_ref()
            .and_then(|text| endpoint(text, "jwks_uri", check)),
        max_lifetime_seconds: lifetime?,
    })
}

/// The audience of agents' tokens, and that of the people's side.
fn audiences(
    raw: &raw::Issuer,
    server: Option<&Server>,
    check: &mut Check<'_>,
) -> (Option<String>, Option<String>) {
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
    for (client, key) in [
        (&raw.client_id, "client_id"),
        (&raw.login_client_id, "login_client_id"),
    ] {
        if let (Some(written), Some(client)) = (&raw.control_audience, client)
            && written.get_ref() == client.get_ref()
        {
            check.problem(
                written.span(),
                format!(
                    "control_audience is the same as {key}, so an ID token of the agents' side would open the people's"
                ),
                "register a second client at the issuer for the people's side, and name it here",
            );
        }
    }
    (audience, control_audience)
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
    if let Some(whose) = match name.as_str() {
        "service" => Some("API keys"),
        "callback" => Some("integrations that decide by callback"),
        _ => None,
    } {
        check.problem(
            raw.span(),
            format!("`{name}` is the issuer of {whose}, which Tollgate keeps for itself"),
            "give an issuer another name",
        );
        return None;
    }
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

fn missing_aud(raw: &raw::Issuer, check: &mut Check<'_>) -> bool {
    let Some(written) = raw
        .accept_missing_aud
        .as_ref()
        .filter(|written| *written.get_ref())
    else {
        return false;
    };
    if raw.client_ids.is_none() {
        check.problem(
            written.span(),
            "accept_missing_aud without client_ids would accept every token of this issuer, whatever it is for",
            "name in client_ids the clients that are used for Tollgate and for nothing else",
        );
    }
    true
}

fn endpoint(raw: &Text, key: &str, check: &mut Check<'_>) -> Option<String> {
    let fits =
        Url::parse(raw.get_ref()).is_ok_and(|url| is_private_enough(&url) && !has_more_than_a_place(&url));
    if !fits {
        check.problem(
            raw.span(),
            format!("{key} is not an https URL"),
            "write the address, or leave it out to use the issuer's discovery document",
        );
    }
    fits.then(|| raw.get_ref().clone())
}

fn has_more_than_a_place(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.fragment().is_some()
}

fn mode(raw: &raw::Issuer, check: &mut Check<'_>) -> Option<Mode> {
    let written = raw.mode.as_ref().map_or("facade", |mode| mode.get_ref().as_str());
    match written {
        "bearer" => bearer(raw, written, check),
        "facade" => {
            unused(raw.metadata.as_ref(), "metadata", written, check);
            unused(raw.opaque.as_ref(), "opaque", written, check);
            unused(raw.login_client_id.as_ref(), "login_client_id", written, check);
            client(raw, check).map(Mode::Facade)
        }
        "saml" => {
            unused(raw.client_id.as_ref(), "client_id", written, check);
            unused(raw.opaque.as_ref(), "opaque", written, check);
            let Some(metadata) = &raw.metadata else {
                check.problem(
                    raw.name.span(),
                    "mode \"saml\" needs the identity provider's metadata",
                    "add metadata = \"idp-metadata.xml\"",
                );
                return None;
            };
            let metadata = check.file(metadata, Role::Metadata)?;
            Some(Mode::Saml { metadata })
        }
        other => {
            let remedy = names::suggest(other, &["facade", "bearer", "saml"], "modes");
            let span = raw.mode.as_ref().map_or(0..0, Text::span);
            check.problem(span, format!("unknown mode `{}`", other.escape_debug()), remedy);
            None
        }
    }
}

/// Agents bring the issuer's own tokens.
fn bearer(raw: &raw::Issuer, written: &str, check: &mut Check<'_>) -> Option<Mode> {
    unused(raw.metadata.as_ref(), "metadata", written, check);
    unused(raw.scopes.as_ref(), "scopes", written, check);
    let opaque = raw.opaque.as_ref().is_some_and(|opaque| *opaque.get_ref());
    if opaque && raw.client_secret.is_none() {
        check.problem(
            raw.opaque.as_ref().map_or(0..0, Spanned::span),
            "opaque needs client_secret: an issuer says what a token is to a client it knows (RFC 7662)",
            "add client_id and client_secret of a client that may introspect",
        );
    }
    if !opaque {
        unused(
            raw.introspection_endpoint.as_ref(),
            "introspection_endpoint",
            "bearer without opaque = true",
            check,
        );
        unused(
            raw.client_id.as_ref(),
            "client_id",
            "bearer without opaque = true",
            check,
        );
    }
    let login_client = raw.login_client_id.as_ref();
    Some(Mode::Bearer {
        opaque: if opaque { Some(client(raw, check)?) } else { None },
        login_client: login_client.and_then(|text| check.filled(text, "login_client_id")),
    })
}

/// A key that would be silently ignored in this mode.
pub(super) fn unused<T>(written: Option<&Spanned<T>>, key: &str, mode: &str, check: &mut Check<'_>) {
    if let Some(written) = written {
        check.problem(
            written.span(),
            format!("{key} is of no use in mode {mode}"),
            "leave it out, or change the mode",
        );
    }
}

/// Our client at the issuer.
fn client(raw: &raw::Issuer, check: &mut Check<'_>) -> Option<Client> {
    let Some(id) = &raw.client_id else {
        let (span, message) = match &raw.mode {
            Some(mode) => (mode.span(), "there is no client_id"),
            None => (
                raw.name.span(),
                "there is no client_id, which mode \"facade\" (the default) needs",
            ),
        };
        check.problem(
            span,
            message,
            "add client_id, the id of the client you registered there for Tollgate; or mode = \"bearer\" if agents bring its access tokens",
        );
        return None;
    };
    let secret = raw
        .client_secret
        .as_ref()
        .and_then(|text| check.secret(text, "client_secret"));
    let scopes = raw.scopes.as_ref().map_or(&[][..], |scopes| scopes.get_ref());
    let mut scopes: Vec<String> = scopes.iter().filter_map(|one| scope(one, check)).collect();
    if !scopes.iter().any(|one| one == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    Some(Client {
        id: check.filled(id, "client_id")?,
        secret,
        scopes,
        acr: words(&raw.acr, "acr", check),
    })
}

/// Texts that are not empty and hold no space: they are sent joined by spaces.
fn words(raw: &[Text], key: &str, check: &mut Check<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for word in raw {
        if let Some(text) = check.filled(word, key) {
            if text.contains(char::is_whitespace) {
                check.problem(
                    word.span(),
                    format!("{key} has an entry with a space"),
                    "write each as its own text",
                );
            }
            words.push(text);
        }
    }
    words
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
pub(super) fn scope(raw: &Text, check: &mut Check<'_>) -> Option<String> {
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
    if issuer == "callback" {
        check.problem(
            raw.span(),
            "an integration is in the groups that its [[approval.channel]] names, and in no others",
            "leave it out, and name the group in callback_groups of the channel",
        );
        return None;
    }
    if issuer == "service" {
        check.problem(
            raw.span(),
            "a service is in the groups that its API key names, and in no others",
            "leave it out, and name the group when the key is made: tollgate keys create --group",
        );
        return None;
    }
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
