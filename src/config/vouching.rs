//! `kind` and `required_claims`: whom an issuer of bearer tokens vouches for.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use url::Url;

use super::check::Check;
use super::issuers::unused;
use super::names;
use super::raw::{self, Text, Texts};
use crate::identity::{OTHERWISE_CHECKED, shared};

/// Claims that every token must carry, and what each may say.
pub(super) fn required_claims(
    raw: &raw::Issuer,
    check: &mut Check<'_>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mode = mode(raw);
    let Some(written) = &raw.required_claims else {
        everybodys(raw, mode, check);
        return BTreeMap::new();
    };
    if mode != "bearer" {
        unused(raw.required_claims.as_ref(), "required_claims", mode, check);
    }
    if written.get_ref().is_empty() {
        check.problem(
            written.span(),
            "required_claims is empty, so it requires nothing",
            "name a claim and what it must say, e.g. { repository_owner_id = \"1234567\" }, or leave it out",
        );
    }
    let entries = written.get_ref().iter();
    entries
        .map(|(claim, texts)| (claim.get_ref().clone(), allowed(claim, texts, check)))
        .collect()
}

/// What one claim may say.
fn allowed(claim: &Text, texts: &Spanned<Texts>, check: &mut Check<'_>) -> BTreeSet<String> {
    let allowed: BTreeSet<String> = match texts.get_ref() {
        Texts::One(text) => BTreeSet::from([text.clone()]),
        Texts::Several(texts) => texts.iter().cloned().collect(),
    };
    if claim.get_ref().is_empty() || allowed.is_empty() || allowed.contains("") {
        check.problem(
            texts.span(),
            "required_claims has a claim without a name or without a value",
            "write what the token must say, as it is there: a text, or a list of texts of which one must be it",
        );
    }
    if OTHERWISE_CHECKED.contains(&claim.get_ref().as_str()) {
        check.problem(
            claim.span(),
            format!(
                "`{}` is checked of every token already, and does not say whose it is",
                claim.get_ref()
            ),
            "name a claim that only your own tokens have, such as the owner of the repository",
        );
    }
    allowed
}

/// An issuer that signs for whoever asks, with nothing that tells ours from theirs.
fn everybodys(raw: &raw::Issuer, mode: &str, check: &mut Check<'_>) {
    let url = Url::parse(raw.url.get_ref()).ok();
    if let (Some(claim), "bearer") = (url.as_ref().and_then(shared), mode) {
        check.problem(
            raw.url.span(),
            "everybody can get a token of this issuer for your audience",
            format!("say whose are accepted: required_claims = {{ {claim} = \"…\" }} (docs/login.md)"),
        );
    }
}

/// Whether whoever the issuer vouches for is a service.
pub(super) fn services(raw: &raw::Issuer, check: &mut Check<'_>) -> bool {
    let Some(kind) = &raw.kind else {
        return false;
    };
    if mode(raw) != "bearer" {
        unused(Some(kind), "kind", mode(raw), check);
    }
    match kind.get_ref().as_str() {
        "service" => {
            if let Some(control) = &raw.control_audience {
                check.problem(
                    control.span(),
                    "control_audience lets people decide, and whoever this issuer vouches for is a service",
                    "leave it out, or leave out kind = \"service\"",
                );
            }
            true
        }
        "person" => false,
        other => {
            let remedy = names::suggest(other, &["person", "service"], "kinds");
            let message = format!("unknown kind `{}`", other.escape_debug());
            check.problem(kind.span(), message, remedy);
            false
        }
    }
}

fn mode(raw: &raw::Issuer) -> &str {
    raw.mode.as_ref().map_or("facade", |mode| mode.get_ref().as_str())
}
