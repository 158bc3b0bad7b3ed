//! What tells a secret from something that only looks like one.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::detectors::Candidate;

/// Words that stand where a secret would stand. Compared as a whole, without case.
const STAND_INS: &[&str] = &[
    "…",
    "any",
    "apikey",
    "api_key",
    "auto",
    "bool",
    "boolean",
    "bytes",
    "change-me",
    "change_me",
    "changeit",
    "changeme",
    "char",
    "constant",
    "default",
    "disabled",
    "empty",
    "enabled",
    "error",
    "example",
    "expired",
    "f32",
    "f64",
    "false",
    "fixme",
    "float",
    "hash",
    "hidden",
    "i32",
    "i64",
    "int",
    "int32",
    "int64",
    "integer",
    "invalid",
    "kennwort",
    "mandatory",
    "masked",
    "missing",
    "never",
    "nil",
    "none",
    "null",
    "number",
    "object",
    "option",
    "optional",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "placeholder",
    "plain",
    "prompt",
    "redacted",
    "removed",
    "required",
    "sample",
    "secret",
    "secretstr",
    "secretstring",
    "self",
    "str",
    "string",
    "text",
    "todo",
    "token",
    "true",
    "u16",
    "u32",
    "u64",
    "u8",
    "undefined",
    "unknown",
    "unset",
    "usize",
    "value",
    "varchar",
    "void",
];

/// Beginnings of references to a secret kept elsewhere, and of templates.
const REFERENCES: &[&str] = &[
    "$",
    "{{",
    "{%",
    "<%",
    "<",
    "#{",
    "%(",
    "%{",
    "{",
    "env:",
    "env.",
    "file:",
    "vault:",
    "op://",
    "ref:",
    "arn:aws:secretsmanager",
    "process.env",
    "os.environ",
    "os.getenv",
    "getenv",
    "std::env",
    "secrets.",
    "[masked",
    "(masked",
    "your-",
    "your_",
    "<your",
    "my-secret",
    "insert-",
    "replace-",
    "example-",
];

/// Whether a value only stands in for a secret: a variable, a template, a row of stars, a word such as
/// `changeme`, or a mask of ours.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let lower = value.to_ascii_lowercase();
    let Some(first) = lower.first() else { return true };
    lower.iter().all(|byte| byte == first)
        || lower.iter().all(|byte| b"*.-_x#?\xE2\x80\xA2".contains(byte))
        || REFERENCES.iter().any(|start| lower.starts_with(start.as_bytes()))
        || STAND_INS.iter().any(|word| lower == word.as_bytes())
        || (lower.starts_with(b"%") && lower.ends_with(b"%"))
        || matches!(lower.as_slice(), [b'%', b's' | b'd' | b'v' | b'q'])
}

/// Shannon entropy in bits per byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut seen = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = seen.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    seen.iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

pub(super) fn bytes<'a>(line: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    line.get(range.clone()).unwrap_or_default()
}

/// A token with a prefix of its own: everything but an obvious stand-in (`ghp_xxxxxxxx…`).
pub(super) fn token(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let secret = bytes(line, &found.secret);
    let body = secret.get(secret.len().saturating_sub(20)..).unwrap_or(secret);
    if entropy(body) >= 1.8 && !is_placeholder(secret) {
        out.push(found.secret.clone());
    }
}

/// AWS documents keys that end in `EXAMPLE` or `EXAMPLEKEY`; those are nobody's.
pub(super) fn aws(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let secret = bytes(line, &found.secret);
    if !secret.ends_with(b"EXAMPLE") && !secret.ends_with(b"EXAMPLEKEY") && entropy(secret) >= 2.5 {
        out.push(found.secret.clone());
    }
}

/// What follows a word such as `Bearer`: a word of the prose around it is not a credential.
pub(super) fn credential(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let secret = bytes(line, &found.secret);
    let mixed = secret.iter().any(u8::is_ascii_digit) || secret.len() >= 24 && has_both_cases(secret);
    if mixed && entropy(secret) >= 2.5 && !is_placeholder(secret) {
        out.push(found.secret.clone());
    }
}

pub(super) fn has_both_cases(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_lowercase) && bytes.iter().any(u8::is_ascii_uppercase)
}

/// The password in a URL's userinfo (RFC 3986, 3.2.1).
pub(super) fn url_password(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    if !is_placeholder(bytes(line, &found.secret)) {
        out.push(found.secret.clone());
    }
}

/// A JWT or JWE: the first part is base64url of a JSON object that names an algorithm (RFC 7515, 4.1.1).
pub(super) fn jwt(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let token = bytes(line, &found.whole);
    // Two parts are a token only where it is cut off: at the end of what there is to see.
    let cut = found.whole.end == line.len();
    if token.iter().filter(|byte| **byte == b'.').count() < 2 && !cut {
        return;
    }
    let header = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    // A long header is cut to whole groups: the algorithm's name is near the front of a real one.
    let header = header.get(..header.len().min(4096)).unwrap_or_default();
    let decoded = URL_SAFE_NO_PAD
        .decode(header)
        .or_else(|_| URL_SAFE_NO_PAD.decode(header.get(..header.len() / 4 * 4).unwrap_or_default()))
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded);
    if text.contains("\"alg\"") || text.contains("\"enc\"") || text.contains("\"typ\"") {
        out.push(found.whole.clone());
    }
}

/// Endings that make `name@2x.png` a file and not an address.
const FILE_ENDINGS: &[&str] = &[
    "avif", "bmp", "cfg", "conf", "cpp", "css", "csv", "gif", "gz", "html", "ico", "jpeg", "jpg", "js",
    "json", "jsx", "lock", "map", "mjs", "mp4", "pdf", "png", "scss", "service", "socket", "svg", "tar",
    "target", "tgz", "timer", "toml", "ts", "tsx", "txt", "webp", "woff", "xml", "yaml", "yml", "zip",
];

/// An e-mail address. Addresses at example domains (RFC 2606) are masked too: what looks personal is
/// treated as personal.
pub(super) fn email(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let address = bytes(line, &found.whole);
    let before = line.get(..found.whole.start).unwrap_or_default();
    let next = line.get(found.whole.end);
    let ending = address
        .rsplit(|byte| *byte == b'.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let local = address.split(|byte| *byte == b'@').next().unwrap_or_default();
    let remote = local == b"git" && matches!(next, Some(b':' | b'/'));
    // `scheme://name:password@host`: what stands before the @ is judged by the rules for URLs.
    let near = before.get(before.len().saturating_sub(512)..).unwrap_or_default();
    let token = near
        .rsplit(|byte| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte))
        .next()
        .unwrap_or_default();
    let userinfo = token
        .windows(3)
        .rposition(|three| three == b"://")
        .and_then(|at| token.get(at + 3..))
        .is_some_and(|authority| !authority.contains(&b'/'));
    if !FILE_ENDINGS.iter().any(|known| ending == known.as_bytes()) && !remote && !userinfo {
        out.push(found.whole.clone());
    }
}
