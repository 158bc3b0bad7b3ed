//! Who am I here, and what may I do.

use std::fmt::Write;

use super::{Insight, Right};
use crate::approval::review::Reviewer;
use crate::console::front::Front;
use crate::console::html::{text, when_from};

pub(super) fn body(front: &Front, insight: &dyn Insight, who: &Reviewer) -> String {
    let now = front.spec.world.now();
    let user = &who.user;
    let groups: Vec<String> = user
        .groups
        .iter()
        .map(|group| format!("<bdi>{}</bdi>", text(group)))
        .collect();
    let mut out = format!(
        "<h1>You</h1><section><dl><dt>Person</dt><dd><bdi>{}</bdi></dd><dt>Signed in at</dt><dd>{}</dd>\
         <dt>As others write you</dt><dd><code>{}</code></dd>\
         <dt>Groups</dt><dd>{}</dd><dt>Last proved it is you</dt><dd>{}</dd><dt>Class of that sign-in</dt><dd>{}</dd></dl>",
        text(&user.subject),
        text(&user.issuer),
        text(&user.id()),
        if groups.is_empty() {
            "none".to_owned()
        } else {
            groups.join(", ")
        },
        when_from(&who.signed_in_at.rfc3339(), now),
        who.acr
            .as_deref()
            .map_or("not said".to_owned(), |acr| format!("<code>{}</code>", text(acr))),
    );
    out.push_str(if front.fresh(who).is_ok() {
        "<p>You can decide now, without signing in again.</p></section>"
    } else {
        "<p>You can look at everything that is yours to see. To decide, you sign in again first.</p></section>"
    });
    out.push_str("<section><h2>What you may do here</h2>");
    let rights = insight.rights(who);
    if rights.is_empty() {
        out.push_str("<p>See and withdraw what you asked for. Policies give you nothing else on this side.</p></section>");
        return out;
    }
    out.push_str(
        "<p>See and withdraw what you asked for, and with these resources what the policies say. A request also asks for \
         people of a group: you decide it if you are in one. Never your own.</p>\
         <div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Rights by resource\"><table><thead><tr>\
         <th scope=\"col\">Resource</th><th scope=\"col\">Decide</th><th scope=\"col\">Read the journal</th>\
         <th scope=\"col\">Administer</th></tr></thead><tbody>",
    );
    for right in &rights {
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td></tr>",
            text(&right.resource),
            decide(right),
            yes(right.audit_read),
            yes(right.administer)
        );
    }
    out.push_str("</tbody></table></div></section>");
    out
}

fn decide(right: &Right) -> String {
    match (&right.approve_with, right.approve) {
        (_, true) => "yes".to_owned(),
        (Some(class), false) => format!("with a sign-in of class <code>{}</code>", text(class)),
        (None, false) => "no".to_owned(),
    }
}

fn yes(may: bool) -> &'static str {
    if may { "yes" } else { "no" }
}
