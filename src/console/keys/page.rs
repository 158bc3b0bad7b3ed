//! The pages of API keys, written by hand: everything that comes from elsewhere passes [`text`].

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::{Key, KeyNames, KeyText, KeyVerb, Terms};
use crate::clock::Timestamp;
use crate::console::front::Front;
use crate::console::html::{text, when};
use crate::console::pages;
use crate::console::problem::Problem;
use crate::console::sessions::Seated;
use crate::identity::services::KeyState;

/// What the form for a new key is about.
pub(super) const CREATE: [&str; 2] = ["keys", "create"];

/// What a form about one key is about.
pub(super) fn act(verb: KeyVerb, id: &str) -> [&str; 3] {
    ["keys", verb.word(), id]
}

/// All keys, and the form for another one.
pub(super) fn list(front: &Front, seated: &Seated, keys: &[Key], names: &KeyNames) -> String {
    let fresh = front.fresh(&pages::reviewer(front, seated)).is_ok();
    let now = front.spec.world.now();
    let mut out = "<h1>API keys of services</h1>".to_owned();
    if !fresh {
        let _ = write!(
            out,
            "<section class=\"care\"><p>A change needs a sign-in within the last {} seconds, so that it is you and not an open browser.</p>\
             <p><a href=\"/sign-in?issuer={}&amp;again=1&amp;back=%2Fkeys\">Sign in again to change something</a></p></section>",
            front.spec.max_age,
            text(&seated.person.user.issuer)
        );
    }
    if keys.is_empty() {
        out.push_str("<p>There are no keys that you may administer.</p>");
    }
    for key in keys {
        one(&mut out, key, now);
        if fresh && key.state(now) == KeyState::Live {
            let token = |verb| front.sessions.token(seated, &act(verb, &key.id));
            acts(
                &mut out,
                &key.id,
                &token(KeyVerb::Rotate),
                &token(KeyVerb::Revoke),
            );
        }
        out.push_str("</section>");
    }
    if fresh {
        create(&mut out, names, &front.sessions.token(seated, &CREATE));
    }
    out
}

fn one(out: &mut String, key: &Key, now: Timestamp) {
    let words = |names: &BTreeSet<String>| match names.is_empty() {
        true => "none".to_owned(),
        false => text(&names.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    let _ = write!(
        out,
        "<section><h2>service#{} <span class=\"state\">{}</span></h2><dl><dt>Key</dt><dd><code>{}</code></dd>\
         <dt>Tools</dt><dd>{}</dd><dt>Resources</dt><dd>{}</dd><dt>Groups</dt><dd>{}</dd>\
         <dt>Made</dt><dd>{} by <bdi>{}</bdi></dd><dt>Ends</dt><dd>{}</dd><dt>Last used</dt><dd>{}</dd>",
        text(&key.service),
        key.state(now).as_str(),
        text(&key.id),
        words(&key.tools),
        words(&key.resources),
        words(&key.groups),
        when(&key.created_at.rfc3339()),
        text(&key.made_by),
        when(&key.expires_at.rfc3339()),
        key.used_at.map_or("never".to_owned(), |at| when(&at.rfc3339())),
    );
    if let (Some(at), Some(by)) = (key.revoked_at, &key.revoked_by) {
        let _ = write!(
            out,
            "<dt>Taken back</dt><dd>{} by <bdi>{}</bdi></dd>",
            when(&at.rfc3339()),
            text(by)
        );
    }
    out.push_str("</dl>");
}

fn acts(out: &mut String, id: &str, rotate: &str, revoke: &str) {
    let _ = write!(
        out,
        "<div class=\"decide\"><form method=\"post\" action=\"/keys/{id}/rotate\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label>The old key goes on for <input type=\"number\" name=\"hours\" min=\"0\" max=\"720\" value=\"24\" required> hours</label> \
         <button>Rotate</button></form>\
         <form method=\"post\" action=\"/keys/{id}/revoke\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <button class=\"no\">Revoke now</button></form></div>",
        text(rotate),
        text(revoke),
        id = text(id),
    );
}

fn create(out: &mut String, names: &KeyNames, token: &str) {
    let _ = write!(
        out,
        "<section><h2>A new service</h2><form method=\"post\" action=\"/keys\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label>Name <input name=\"service\" required maxlength=\"63\" pattern=\"[a-z0-9][a-z0-9._\\-]*\" autocomplete=\"off\"></label></p>",
        text(token)
    );
    for (title, name, known) in [
        ("Tools it may call", "tool", &names.tools),
        ("Resources it may use", "resource", &names.resources),
        ("Groups it is in", "group", &names.groups),
    ] {
        let _ = write!(out, "<fieldset><legend>{title}</legend>");
        for one in known {
            let one = text(one);
            let _ = write!(
                out,
                "<label><input type=\"checkbox\" name=\"{name}\" value=\"{one}\"> {one}</label> "
            );
        }
        out.push_str("</fieldset>");
    }
    out.push_str(
        "<p><label>Days until it ends <input type=\"number\" name=\"days\" min=\"1\" max=\"365\" value=\"90\" required></label></p>\
         <button class=\"yes\">Make the key</button></form></section>",
    );
}

/// A new key: the only page that one is ever on.
pub(super) fn made((key, shown): &(Key, KeyText)) -> String {
    format!(
        "<h1>The key of service#{}</h1><section class=\"care\"><p><strong>It is shown this once.</strong> \
         Only its hash is kept. It works until {}.</p><pre>{}</pre></section><p><a href=\"/keys\">All keys</a></p>",
        text(&key.service),
        when(&key.expires_at.rfc3339()),
        text(shown.expose())
    )
}

/// The key that a form asks for.
pub(super) fn asked_for(fields: &[(String, String)]) -> Result<Terms, Problem> {
    let all = |name: &str| {
        let values = fields.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.clone()).collect()
    };
    let days = number(fields, "days")?;
    Ok(Terms {
        service: pages::field(fields, "service")?.trim().to_owned(),
        groups: all("group"),
        tools: all("tool"),
        resources: all("resource"),
        life: Duration::from_secs(days.saturating_mul(86_400)),
    })
}

pub(super) fn number(fields: &[(String, String)], name: &str) -> Result<u64, Problem> {
    let text = pages::field(fields, name)?.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain);
    number.ok_or_else(|| Problem::malformed("The form is not complete."))
}
