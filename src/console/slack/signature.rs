//! Signatures of Slack's requests: `v0=` and the HMAC-SHA256 of `v0:<stamp>:<raw body>` (docs.slack.dev, "Verifying
//! requests from Slack"). A stamp to come proves nothing either.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// How far a stamp may be from now, in seconds, either way.
const WITHIN: u64 = 300;

/// Whether this body was signed with the secret a moment ago; compared in constant time.
pub(super) fn is_valid(secret: &Secret, stamp: &str, body: &[u8], signature: &str, now: u64) -> bool {
    let plain = !stamp.is_empty() && stamp.len() <= 20 && stamp.bytes().all(|byte| byte.is_ascii_digit());
    let at = stamp.parse::<u64>().ok().filter(|_| plain);
    let is_recent = at.is_some_and(|at| at.abs_diff(now) <= WITHIN);
    let sent = signature.strip_prefix("v0=").and_then(bytes);
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return false;
    };
    code.update(b"v0:");
    code.update(stamp.as_bytes());
    code.update(b":");
    code.update(body);
    let is_ours = sent.is_some_and(|sent| code.verify_slice(&sent).is_ok());
    is_recent && is_ours && !secret.expose().is_empty()
}

/// 64 hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(high * 16 + low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const STAMP: u64 = 1_531_420_618;
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn check(stamp: &str, body: &str, signature: &str, now: u64) -> bool {
        let secret = Secret::new(SECRET.to_owned());
        is_valid(&secret, stamp, body.as_bytes(), signature, now)
    }

    #[test]
    fn the_example_of_the_documentation_counts_for_five_minutes_either_way() {
        let stamp = STAMP.to_string();
        for now in [STAMP, STAMP + 300, STAMP - 300] {
            assert!(check(&stamp, BODY, SIGNATURE, now), "{now}");
        }
        for now in [STAMP + 301, STAMP - 301, 0, u64::MAX] {
            assert!(!check(&stamp, BODY, SIGNATURE, now), "{now}");
        }
    }

    #[test]
    fn nothing_else_counts() {
        let stamp = STAMP.to_string();
        let changed = format!("{BODY}&x");
        assert!(!check(&stamp, &changed, SIGNATURE, STAMP));
        assert!(!check("1531420619", BODY, SIGNATURE, STAMP));
        assert!(!check(&format!("+{stamp}"), BODY, SIGNATURE, STAMP));
        let (cut, bare) = (SIGNATURE.get(..60).unwrap(), SIGNATURE.get(3..).unwrap());
        for other in ["", "v0=", "v1=a2", bare, cut, "v0=zz"] {
            assert!(!check(&stamp, BODY, other, STAMP), "{other}");
        }
        let none = Secret::new(String::new());
        assert!(!is_valid(&none, &stamp, b"", SIGNATURE, STAMP));
    }
}
