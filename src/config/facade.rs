//! `[facade]` and `[scopes]`: what programs need to get tokens of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::Spanned;
use url::{Host, Url};

use super::check::{Check, is_private_enough};
use super::raw::{self, Number, Text};
use super::{ClientDocuments, Facade, FacadeClient, Issuer, issuers, names};
use crate::secret::SecretRef;

/// Seconds.
const DAY: u64 = 24 * 3600;

/// The facade, where an issuer's mode needs one.
pub(super) fn facade(raw: Option<&raw::Facade>, all: &[Issuer], check: &mut Check<'_>) -> Option<Facade> {
    let needed = all.iter().any(|issuer| issuer.mode.is_facade());
    let nothing = raw::Facade::default();
    let raw = match (raw, needed) {
        (Some(raw), _) => raw,
        (None, true) => &nothing,
        (None, false) => return None,
    };
    let keys = keys(raw, check);
    if needed && keys.is_empty() && raw.key.is_none() {
        check.whole(
            "[facade] has no key: what identity providers give us for asking again must not lie open in the store",
            "add [facade] with key = \"env:TOLLGATE_FACADE_KEY\", and make one with `openssl rand -base64 32`",
        );
    }
    let mut seconds = |raw: Option<&Number>, key, range, default| {
        check.number(raw, key, range, default).map(Duration::from_secs)
    };
    let access = seconds(raw.access_seconds.as_ref(), "access_seconds", 60..=DAY, 900);
    let idle = seconds(
        raw.idle_seconds.as_ref(),
        "idle_seconds",
        300..=365 * DAY,
        14 * DAY,
    );
    let session = seconds(
        raw.session_seconds.as_ref(),
        "session_seconds",
        300..=365 * DAY,
        30 * DAY,
    );
    let recheck = seconds(raw.recheck_seconds.as_ref(), "recheck_seconds", 30..=DAY, 600);
    let unchecked = seconds(
        raw.unchecked_seconds.as_ref(),
        "unchecked_seconds",
        60..=7 * DAY,
        3600,
    );
    let clients = raw.client.iter().filter_map(|one| client(one, check)).collect();
    names::distinct(
        raw.client.iter().map(|one| &one.id),
        "client",
        &mut check.problems,
    );
    Some(Facade {
        keys,
        access: access?,
        idle: idle?,
        session: session?,
        recheck: recheck?,
        unchecked: unchecked?,
        registration: raw.registration,
        documents: documents(raw, check),
        clients,
    })
}

fn keys(raw: &raw::Facade, check: &mut Check<'_>) -> Vec<SecretRef> {
    let written = [(&raw.key, "key"), (&raw.former_key, "former_key")];
    let keys = written
        .into_iter()
        .filter_map(|(text, key)| check.secret(text.as_ref()?, key));
    keys.collect()
}

fn documents(raw: &raw::Facade, check: &mut Check<'_>) -> Option<ClientDocuments> {
    let wanted = raw
        .client_documents
        .as_ref()
        .is_none_or(|wanted| *wanted.get_ref());
    if let (false, Some(hosts)) = (wanted, &raw.client_document_hosts) {
        check.problem(
            hosts.span(),
            "client_document_hosts is of no use: client_documents is false",
            "leave one of them out",
        );
    }
    let hosts = raw
        .client_document_hosts
        .as_ref()
        .map(|hosts| hosts_of(hosts, check));
    wanted.then_some(ClientDocuments {
        hosts,
        allow_private: raw.client_documents_private,
    })
}

fn hosts_of(raw: &Spanned<Vec<Text>>, check: &mut Check<'_>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for entry in raw.get_ref() {
        match Host::parse(entry.get_ref()) {
            Ok(host) => {
                hosts.insert(host.to_string());
            }
            Err(_) => check.problem(
                entry.span(),
                "client_document_hosts names something that is not a host",
                "write host names alone, e.g. \"claude.ai\"",
            ),
        }
    }
    hosts
}

fn client(raw: &raw::FacadeClient, check: &mut Check<'_>) -> Option<FacadeClient> {
    let id = check.filled(&raw.id, "a client id")?;
    let name = match &raw.name {
        Some(name) => check.filled(name, "name")?,
        None => id.clone(),
    };
    if raw.redirect_uris.get_ref().is_empty() {
        check.problem(
            raw.redirect_uris.span(),
            "redirect_uris is empty, so nobody could come back to this client",
            "name where it takes its answers, e.g. \"http://127.0.0.1/callback\" (of a loopback address the port may vary)",
        );
    }
    let uris = raw.redirect_uris.get_ref().iter();
    Some(FacadeClient {
        id,
        name,
        redirect_uris: uris.filter_map(|uri| redirect_uri(uri, check)).collect(),
    })
}

fn redirect_uri(raw: &Text, check: &mut Check<'_>) -> Option<Url> {
    let fits = |url: &Url| is_private_enough(url) && url.fragment().is_none() && url.username().is_empty();
    let url = Url::parse(raw.get_ref()).ok().filter(fits);
    if url.is_none() {
        check.problem(
            raw.span(),
            "a redirect URI is not an https address without fragment",
            "write https://…, or http:// to a loopback host",
        );
    }
    url
}

/// `[scopes]`: scope = tools. Whether there are such tools is known only when they are loaded.
pub(super) fn scopes(
    raw: &BTreeMap<Text, Vec<Text>>,
    check: &mut Check<'_>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut scopes = BTreeMap::new();
    for (scope, tools) in raw {
        let tools = tools
            .iter()
            .filter_map(|tool| check.filled(tool, "a tool"))
            .collect();
        if let Some(scope) = issuers::scope(scope, check) {
            scopes.insert(scope, tools);
        }
    }
    scopes
}
