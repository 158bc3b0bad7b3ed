//! The UserInfo endpoint (OpenID Connect Core 5.3): plain JSON alone, about the person we asked about.

use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::SignInError;
use super::discovery::wrong;
use crate::identity::claims::{name, subject};
use crate::identity::fetch::Fetch;
use crate::identity::jose::strict_json;
use crate::identity::rejection::Reason;
use crate::identity::spec::IssuerSpec;

/// What it says.
pub(super) enum Said {
    /// Claims of this very person.
    Claims(Map<String, Value>),
    /// The access token counts no more (RFC 6750 section 3.1).
    Gone,
    /// It does not name people by the claim that the issuer is configured with, so these may be anybody's.
    Nameless,
}

/// About whom it is asked.
#[derive(Clone, Copy)]
pub(super) enum Whom<'a> {
    /// The `sub` of the ID token of the same answer.
    Sub(&'a str),
    /// The subject of an earlier sign-in, by the claim that the issuer is configured with.
    Subject(&'a IssuerSpec, &'a str),
}

/// Asks about whomever the access token is of, who must be `whom`: the claims of another account are
/// what token substitution gives (section 5.3.2).
pub(super) async fn ask(
    fetch: &dyn Fetch,
    address: &Url,
    access: &str,
    whom: Whom<'_>,
) -> Result<Said, SignInError> {
    let authorization = Zeroizing::new(format!("Bearer {access}"));
    let answer = fetch.get_as(address, &authorization).await;
    let answer = answer.map_err(|error| wrong(&error.to_string()))?;
    match answer.status {
        200 => {}
        401 => return Ok(Said::Gone),
        status => return Err(wrong(&format!("its userinfo endpoint answered HTTP {status}"))),
    }
    let Ok(Value::Object(claims)) = strict_json(&answer.body) else {
        return Err(wrong(
            "its userinfo endpoint did not answer in plain JSON: let it send this client no signed or encrypted userinfo",
        ));
    };
    let same = match whom {
        Whom::Sub(sub) => name(&claims, "sub") == Ok(Some(sub)),
        Whom::Subject(issuer, known) => match subject(&claims, issuer) {
            Err(Reason::Subject) if !claims.contains_key(&issuer.subject_claim) => return Ok(Said::Nameless),
            said => said == Ok(known),
        },
    };
    if same {
        Ok(Said::Claims(claims))
    } else {
        Err(SignInError::Token(Reason::Claim("sub")))
    }
}
