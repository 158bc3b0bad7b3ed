//! From what an issuer says of a user's groups to the local names policies use.
//!
//! A groups claim that is missing, malformed or cut off refuses the login: with an empty set in its
//! place, every `forbid … in Group` would silently stop applying.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::spec::{IssuerSpec, LOCAL, SpecError};

/// The most groups one token may name.
const ENTRIES: usize = 1_000;
/// The longest group name, in characters.
const CHARACTERS: usize = 256;

/// `[groups]` of the configuration: local name = claims of named issuers.
#[derive(Debug, Clone, Default)]
pub struct GroupMap {
    /// issuer name → claim value → local names
    claims: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl GroupMap {
    /// Reads the configured table: local name → entries of the form `<issuer name>:<value>`, or
    /// `local:<login name or uid>` for stdio. An empty list makes a group nobody is in.
    ///
    /// # Errors
    /// An entry without issuer or value, or an empty local name.
    pub fn parse<'a, E>(table: impl IntoIterator<Item = (&'a str, E)>) -> Result<Self, SpecError>
    where
        E: IntoIterator<Item = &'a str>,
    {
        let mut map = Self::default();
        for (local, entries) in table {
            if local.is_empty() || local.len() > 63 || local.chars().any(char::is_control) {
                return Err(SpecError(format!(
                    "[groups] `{local}`: a name is 1 to 63 bytes of text"
                )));
            }
            for entry in entries {
                let (issuer, value) = entry.split_once(':').unwrap_or_default();
                if issuer.is_empty() || value.is_empty() {
                    return Err(SpecError(format!(
                        "[groups] {local}: `{entry}` must be `<issuer name>:<value of its groups claim>`"
                    )));
                }
                let values = map.claims.entry(issuer.to_owned()).or_default();
                values
                    .entry(value.to_owned())
                    .or_default()
                    .insert(local.to_owned());
            }
        }
        Ok(map)
    }

    /// Every issuer named must exist and give groups. `carries` says whether it does; `None` is unknown.
    pub(super) fn check(&self, carries: impl Fn(&str) -> Option<bool>) -> Result<(), SpecError> {
        for issuer in self.claims.keys().filter(|issuer| *issuer != LOCAL) {
            let fault = match carries(issuer) {
                Some(true) => continue,
                Some(false) => "has no groups_claim, so it can put nobody into a group",
                None => "is not a configured issuer",
            };
            return Err(SpecError(format!("[groups]: `{issuer}` {fault}")));
        }
        Ok(())
    }

    /// The local groups of somebody whom `issuer` puts into `values`. Others are ignored.
    pub(super) fn local<'a>(
        &self,
        issuer: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<String> {
        let Some(known) = self.claims.get(issuer) else {
            return BTreeSet::new();
        };
        let named = values.into_iter().filter_map(|value| known.get(value));
        named.flatten().cloned().collect()
    }
}

/// Why the groups of a token cannot be known. `Display` is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupsFault {
    /// The claim is absent.
    #[error(
        "the groups claim is missing: let the issuer put it into the tokens it gives for Tollgate, or, for signing in, into the ID token or userinfo (Okta: a groups claim of the custom authorization server; Keycloak: a group mapper; Auth0: an Action; Entra: groupMembershipClaims or app roles), or correct groups_claim"
    )]
    Missing,
    /// The claim is not a list of strings.
    #[error("the groups claim is not a list of strings")]
    NotAList,
    /// More than 1,000 entries, or one of more than 256 characters.
    #[error(
        "the groups claim is too large: at most 1,000 groups of at most 256 characters; let the issuer send only the groups you map"
    )]
    TooLarge,
    /// The issuer left the groups out because there are too many (Entra: `_claim_names`, `hasgroups`).
    #[error(
        "the issuer left the groups out because the user has too many (overage). In Entra: set the app registration's groupMembershipClaims to ApplicationGroup and assign to the application the groups you map; or use app roles and groups_claim = \"/roles\""
    )]
    Overage,
    /// Exactly as many as the issuer is known to stop at (Okta: 100).
    #[error(
        "the groups claim has exactly {0} entries, where an issuer may have cut it off. In Okta: narrow the filter of the groups claim, in the authorization server or the application, to the groups you map. For an issuer that never cuts off: groups_cut_at = 0"
    )]
    CutOff(usize),
}

/// The values of an issuer's groups claim.
///
/// # Errors
/// Whatever leaves a doubt that these are all the groups, and nothing else.
pub(super) fn claimed<'a>(
    claims: &'a Map<String, Value>,
    issuer: &IssuerSpec,
) -> Result<Vec<&'a str>, GroupsFault> {
    let Some(pointer) = &issuer.groups_claim else {
        return Ok(Vec::new());
    };
    if overage(claims) {
        return Err(GroupsFault::Overage);
    }
    let list = match at(claims, pointer) {
        None => return Err(GroupsFault::Missing),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(GroupsFault::NotAList),
    };
    if list.len() > ENTRIES {
        return Err(GroupsFault::TooLarge);
    }
    if issuer.groups_cut_at == Some(list.len()) {
        return Err(GroupsFault::CutOff(list.len()));
    }
    let texts = list.iter().map(|entry| match entry {
        Value::String(text) if text.chars().count() > CHARACTERS => Err(GroupsFault::TooLarge),
        Value::String(text) if !text.is_empty() => Ok(text.as_str()),
        _ => Err(GroupsFault::NotAList),
    });
    texts.collect()
}

/// Entra's signs that claims were left out: distributed claims (OpenID Connect Core §5.6.2), or
/// `hasgroups` in tokens of the implicit flow. `roles` is never left out, but then these signs say
/// nothing about it either; they refuse all the same.
fn overage(claims: &Map<String, Value>) -> bool {
    let has_groups = claims
        .get("hasgroups")
        .is_some_and(|value| *value != Value::Bool(false));
    has_groups || claims.contains_key("_claim_names")
}

/// [`Value::pointer`] for the claims, which are a map already.
fn at<'a>(claims: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(map) => map.get(&step),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: Value, pointer: &str) -> Result<Vec<String>, GroupsFault> {
        let mut issuer = IssuerSpec::new("corp", "https://login.example.com", "aud");
        issuer.groups_claim = Some(pointer.to_owned());
        let Value::Object(claims) = claims else { panic!() };
        claimed(&claims, &issuer).map(|list| list.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn missing_or_malformed_groups_are_never_an_empty_set() {
        assert_eq!(read(json!({}), "/groups"), Err(GroupsFault::Missing));
        for wrong in [
            json!(null),
            json!("admins"),
            json!({"0": "admins"}),
            json!([1]),
            json!(["a", null]),
            json!(["a", ["b"]]),
            json!([""]),
            json!(true),
        ] {
            assert_eq!(
                read(json!({"groups": wrong}), "/groups"),
                Err(GroupsFault::NotAList),
                "{wrong}"
            );
        }
        assert_eq!(read(json!({"groups": []}), "/groups"), Ok(vec![]));
    }

    #[test]
    fn entra_overage_refuses_even_beside_a_groups_claim() {
        let names = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}});
        assert_eq!(read(names, "/groups"), Err(GroupsFault::Overage));
        let mark = json!({"hasgroups": true, "groups": ["a"]});
        assert_eq!(read(mark, "/groups"), Err(GroupsFault::Overage));
        assert_eq!(
            read(json!({"hasgroups": "true", "groups": []}), "/groups"),
            Err(GroupsFault::Overage)
        );
        assert!(read(json!({"hasgroups": false, "groups": []}), "/groups").is_ok());
    }

    #[test]
    fn okta_stops_at_100_so_exactly_100_is_refused() {
        let list = |n: usize| json!({"groups": (0..n).map(|i| format!("g{i}")).collect::<Vec<_>>()});
        assert!(read(list(99), "/groups").is_ok());
        assert_eq!(read(list(100), "/groups"), Err(GroupsFault::CutOff(100)));
        assert!(read(list(101), "/groups").is_ok());
        assert!(read(list(1000), "/groups").is_ok());
        assert_eq!(read(list(1001), "/groups"), Err(GroupsFault::TooLarge));
        let long = |n: usize| json!({"groups": ["é".repeat(n)]});
        assert!(read(long(256), "/groups").is_ok());
        assert_eq!(read(long(257), "/groups"), Err(GroupsFault::TooLarge));
    }

    #[test]
    fn the_claim_is_found_by_json_pointer() {
        let claims = json!({"realm_access": {"roles": ["dba"]}, "https://x/y~z": ["b"], "l": [["a"]]});
        assert_eq!(read(claims.clone(), "/realm_access/roles").unwrap(), ["dba"]);
        assert_eq!(read(claims.clone(), "/https:~1~1x~1y~0z").unwrap(), ["b"]);
        assert_eq!(read(claims.clone(), "/realm_access"), Err(GroupsFault::NotAList));
        assert_eq!(
            read(claims.clone(), "/realm_access/roles/0"),
            Err(GroupsFault::Missing)
        );
        assert_eq!(read(claims, "/l/0"), Err(GroupsFault::Missing));
    }

    #[test]
    fn only_mapped_claims_of_the_named_issuer_make_groups() {
        let table = [
            ("analyst", vec!["corp:analysts", "corp:urn:x:y"]),
            ("dba", vec!["other:analysts", "local:alice"]),
            ("empty", vec![]),
        ];
        let map = GroupMap::parse(table).unwrap();
        let of = |issuer, value| map.local(issuer, [value]).into_iter().collect::<Vec<_>>();
        assert_eq!(of("corp", "analysts"), ["analyst"]);
        assert_eq!(
            of("corp", "urn:x:y"),
            ["analyst"],
            "only the first colon separates"
        );
        assert_eq!(of("other", "analysts"), ["dba"]);
        assert!(
            of("corp", "dba").is_empty(),
            "a claim that spells a local name gives nothing"
        );
        assert!(of("corp", "empty").is_empty());
        assert!(of("corp", "Analysts").is_empty());
        assert!(of("corp", "alice").is_empty(), "nobody becomes local by a claim");
        let check = map.check(|name| (name == "corp").then_some(true));
        assert!(
            check
                .unwrap_err()
                .to_string()
                .contains("`other` is not a configured issuer")
        );
        for bad in ["analysts", ":x", "corp:", ""] {
            assert!(GroupMap::parse([("g", vec![bad])]).is_err(), "{bad}");
        }
    }
}
