//! Who stands in for whom: the list, with a button to end each, and the form by which somebody names a stand-in.

use std::fmt::Write;

use crate::approval::delegation::{Delegate, DelegationCard};
use crate::approval::review::Reviewer;
use crate::clock::Timestamp;
use crate::clock::moment::Moment;
use crate::console::front::Front;
use crate::console::html::{text, when};
use crate::console::pages::field;
use crate::console::problem::Problem;

/// The list. `token` is that of the form which ends one.
pub(super) fn list(out: &mut String, cards: &[DelegationCard], token: impl Fn(&str) -> String) {
    out.push_str("<section><h2>Standing in</h2><ul class=\"list\">");
    if cards.is_empty() {
        out.push_str("<li>Nobody stands in for anybody in a group of yours.</li>");
    }
    for card in cards {
        let _ = write!(
            out,
            "<li class=\"request\"><p><bdi>{}</bdi> for <bdi>{}</bdi> in <bdi>{}</bdi> <span class=\"state\">{}</span></p>\
             <p class=\"faint\">from {} until {}</p>",
            text(&card.to),
            text(&card.by),
            text(&card.group),
            card.state,
            when(&card.from),
            when(&card.until),
        );
        if card.may_end {
            let path = format!("/delegations/{}/end", card.id);
            super::button(out, &path, &token(&card.id), "End it");
        }
        out.push_str("</li>");
    }
    out.push_str("</ul></section>");
}

/// The form, where somebody can stand in at all: at most `days` long.
pub(super) fn form(out: &mut String, front: &Front, reviewer: &Reviewer, (days, token): (u32, &str)) {
    if days == 0 || reviewer.user.groups.is_empty() {
        return;
    }
    out.push_str(
        "<section class=\"decide\"><h2>Name somebody to stand in for you</h2><p>While it lasts they decide for you in the \
         groups you choose, as themselves and once. What you ask for yourself they do not decide by it, and they cannot pass \
         it on. Either of you can end it at once.</p>",
    );
    if front.fresh(reviewer).is_err() {
        super::again(
            out,
            front,
            reviewer,
            "Naming somebody",
            "Sign in again to name somebody",
        );
        out.push_str("</section>");
        return;
    }
    let _ = write!(
        out,
        "<form method=\"post\" action=\"/delegations\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label for=\"to\">Who</label> <span class=\"faint\" id=\"to-hint\">issuer#subject, as their page <a href=\"/me\">You</a> \
         shows it to them</span>\
         <input id=\"to\" name=\"to\" required maxlength=\"512\" spellcheck=\"false\" aria-describedby=\"to-hint\"></p>\
         <fieldset><legend>In which of your groups</legend>",
        text(token)
    );
    let checked = if reviewer.user.groups.len() == 1 {
        " checked"
    } else {
        ""
    };
    for group in &reviewer.user.groups {
        let group = text(group);
        let _ = write!(
            out,
            "<label class=\"check\"><input type=\"checkbox\" name=\"group\" value=\"{group}\"{checked}> <bdi>{group}</bdi></label>"
        );
    }
    let plural = if days == 1 { "" } else { "s" };
    let _ = write!(
        out,
        "</fieldset><p><label for=\"from\">From when on</label> <span class=\"faint\" id=\"from-hint\">left empty: from now on</span>\
         <input id=\"from\" name=\"from\" maxlength=\"32\" spellcheck=\"false\" aria-describedby=\"from-hint until-hint\"></p>\
         <p><label for=\"until\">Until when</label> <span class=\"faint\" id=\"until-hint\">so long from now, such as 8h or 3d, or a \
         moment of UTC, such as 2026-12-01T09:00Z; at most {days} day{plural} in all</span>\
         <input id=\"until\" name=\"until\" required maxlength=\"32\" spellcheck=\"false\" aria-describedby=\"until-hint\"></p>\
         <button>Name them</button></form></section>"
    );
}

/// What such a form asks for: one for each group.
pub(super) fn wishes(fields: &[(String, String)], now: Timestamp) -> Result<Vec<Delegate>, Problem> {
    let to = field(fields, "to")?.trim();
    let from = moment(field(fields, "from")?, "From when on", now)?;
    let until = moment(field(fields, "until")?, "Until when", now)?;
    let until = until.ok_or_else(|| Problem::malformed("Until when? It has to end."))?;
    let groups = fields.iter().filter(|(name, _)| name == "group");
    let wishes: Vec<Delegate> = groups
        .map(|(_, group)| Delegate {
            to: to.to_owned(),
            group: group.clone(),
            from,
            until,
        })
        .collect();
    if wishes.is_empty() {
        return Err(Problem::malformed("Choose at least one of your groups."));
    }
    Ok(wishes)
}

/// In seconds since 1970, where something is said at all.
fn moment(said: &str, label: &str, now: Timestamp) -> Result<Option<u64>, Problem> {
    match said.trim() {
        "" => Ok(None),
        said => match said.parse::<Moment>() {
            Ok(moment) => Ok(Some(moment.seconds(now))),
            Err(why) => Err(Problem::malformed(format!("{label}: {why}."))),
        },
    }
}
