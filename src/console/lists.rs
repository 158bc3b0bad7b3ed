//! The start, and the lists of requests: what waits for a person, what they asked for, what is over. Similar ones stand
//! together.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::events;
use super::front::{Asked, Front};
use super::html::{query, text, when, when_from};
use super::problem::Problem;
use super::security_keys;
use super::sheet::{subject, words};
use crate::approval::listing::{COUNTED, Counts, Listed, Listing, PAGE, Shelf, Wanted};
use crate::approval::review::{Reviewer, State};
use crate::clock::Timestamp;

/// Requests of a shelf on the start page.
const FEW: u32 = 5;

/// The name of a shelf in an address, and what it is called.
const SHELVES: [(Shelf, &str, &str); 3] = [
    (Shelf::Waiting, "waiting", "Waiting for you"),
    (Shelf::Own, "own", "Your requests"),
    (Shelf::Decided, "decided", "Decided"),
];

fn named(shelf: Shelf) -> (&'static str, &'static str) {
    let found = SHELVES.iter().find(|(one, _, _)| *one == shelf);
    found.map_or(("waiting", "Waiting for you"), |(_, word, title)| (word, title))
}

/// Which list an address asks for, `otherwise` where it says none; `None` is the start.
pub(super) fn wanted(asked: &Asked, otherwise: Option<Shelf>) -> Result<Option<Wanted>, Problem> {
    let one = |name: &str| {
        let mut found = asked.query.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.trim())
    };
    let named = |word: &str| {
        let found = SHELVES.into_iter().find(|(_, name, _)| *name == word);
        found.map(|(shelf, _, _)| shelf).ok_or_else(Problem::not_found)
    };
    let Some(shelf) = one("show").map(named).transpose()?.or(otherwise) else {
        return Ok(None);
    };
    let told = |name: &str| one(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let mut wanted = Wanted::on(shelf);
    if let Some(state) = told("state") {
        wanted.state =
            Some(State::parse(&state).ok_or_else(|| Problem::malformed("There is no such state."))?);
    }
    if let Some(before) = told("before") {
        let id =
            super::front::approval(&before).ok_or_else(|| Problem::malformed("There is no such page."))?;
        wanted.before = Some(id);
    }
    wanted.rule = told("rule");
    wanted.resource = told("resource");
    wanted.tool = told("tool");
    wanted.requester = told("person");
    Ok(Some(wanted))
}

/// One of the lists, or the start with the newest of each.
pub(super) async fn body(
    front: &Front,
    reviewer: &Reviewer,
    wanted: Option<&Wanted>,
) -> Result<String, Problem> {
    let now = front.spec.world.now();
    let counts = front.desk.counts(reviewer).await?;
    let notice = security_keys::notice(front, reviewer).await?;
    let mut out = format!("<h1>Requests</h1>{notice}");
    out.push_str("<div data-part=\"lists\">");
    shelves(&mut out, counts, wanted.map(|wanted| wanted.shelf));
    match wanted {
        Some(wanted) => {
            let listing = front.desk.page(reviewer, wanted).await?;
            let (_, title) = named(wanted.shelf);
            let _ = write!(out, "<h2>{title}</h2>");
            requests(&mut out, &listing, now);
            onwards(&mut out, wanted, &listing);
        }
        None => start(&mut out, front, reviewer, counts).await?,
    }
    out.push_str("</div>");
    if let Some(wanted) = wanted {
        filters(&mut out, wanted);
    }
    out.push_str(&events::parts(front, reviewer, None).await);
    Ok(out)
}

async fn start(out: &mut String, front: &Front, reviewer: &Reviewer, counts: Counts) -> Result<(), Problem> {
    let now = front.spec.world.now();
    if counts == Counts::default() {
        out.push_str("<section><p>There is no request that you may see: none that you are asked about, and none of yours.</p></section>");
        return Ok(());
    }
    for (shelf, word, title) in SHELVES {
        let mut wanted = Wanted::on(shelf);
        wanted.limit = if shelf == Shelf::Waiting { PAGE } else { FEW };
        let listing = front.desk.page(reviewer, &wanted).await?;
        if listing.items.is_empty() && shelf != Shelf::Waiting {
            continue;
        }
        let _ = write!(out, "<h2>{title}</h2>");
        if listing.items.is_empty() {
            out.push_str("<section><p>Nothing waits for you.</p></section>");
            continue;
        }
        requests(out, &listing, now);
        if listing.next.is_some() {
            let _ = write!(
                out,
                "<p><a href=\"/approvals?show={word}\">All of them: {title}</a></p>"
            );
        }
    }
    Ok(())
}

fn count(count: u64) -> String {
    if count >= u64::from(COUNTED) {
        format!("{COUNTED}+")
    } else {
        count.to_string()
    }
}

fn shelves(out: &mut String, counts: Counts, here: Option<Shelf>) {
    out.push_str("<nav class=\"shelves\" aria-label=\"Lists\">");
    for (shelf, word, title) in SHELVES {
        let many = match shelf {
            Shelf::Waiting => counts.waiting,
            Shelf::Own => counts.own,
            Shelf::Decided | Shelf::All => counts.decided,
        };
        let current = if here == Some(shelf) {
            " aria-current=\"page\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<a href=\"/approvals?show={word}\"{current}>{title} <span class=\"count\">{}</span></a>",
            count(many)
        );
    }
    out.push_str("</nav>");
}

/// What makes requests similar: the same policies ask about the same tool, resource and person.
fn kind(one: &Listed) -> (&BTreeSet<String>, &str, Option<&str>, &str) {
    let card = &one.card;
    (&one.rules, &card.tool, card.resource.as_deref(), &card.requester)
}

fn requests(out: &mut String, listing: &Listing, now: Timestamp) {
    if listing.items.is_empty() {
        out.push_str("<section><p>There is none.</p></section>");
        return;
    }
    let mut groups: Vec<Vec<&Listed>> = Vec::new();
    for one in &listing.items {
        let same = |group: &&mut Vec<&Listed>| group.first().is_some_and(|first| kind(first) == kind(one));
        match groups.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    out.push_str("<ul class=\"list\">");
    for group in groups {
        let Some((first, rest)) = group.split_first() else {
            continue;
        };
        out.push_str("<li class=\"request\">");
        request(out, first, now);
        if !rest.is_empty() {
            let _ = write!(
                out,
                "<details><summary>{} more like this: same policy, tool, resource and person</summary><ul class=\"list\">",
                rest.len()
            );
            for one in rest {
                out.push_str("<li>");
                brief(out, one, now);
                out.push_str("</li>");
            }
            out.push_str("</ul></details>");
        }
        out.push_str("</li>");
    }
    out.push_str("</ul>");
}

fn request(out: &mut String, one: &Listed, now: Timestamp) {
    let card = &one.card;
    let rules: Vec<String> = one
        .rules
        .iter()
        .map(|rule| format!("<code>{}</code>", text(rule)))
        .collect();
    let _ = write!(
        out,
        "<p class=\"title\"><a href=\"/approvals/{}\">{}</a> <span class=\"state {}\">{}</span></p>\
         <p>for <bdi>{}</bdi>, through <bdi>{}</bdi></p>{}<p class=\"faint\">asked {}{}{}</p>",
        text(&card.id.0),
        subject(card),
        card.state.as_str(),
        text(words(card.state)),
        text(&card.requester),
        text(&card.agent),
        would(one, "<p>", "</p>"),
        when_from(&card.created_at, now),
        if card.state == State::Pending {
            format!(", decide by {}", when_from(&card.decide_by, now))
        } else {
            String::new()
        },
        if card.may_decide {
            " · <strong>waits for you</strong>"
        } else {
            ""
        },
    );
    if !rules.is_empty() {
        let _ = write!(out, "<p class=\"faint\">policy {}</p>", rules.join(", "));
    }
}

fn brief(out: &mut String, one: &Listed, now: Timestamp) {
    let card = &one.card;
    let at = Timestamp::parse(&card.created_at).map(|at| format!(" ({})", at.relative(now)));
    let _ = write!(
        out,
        "<p><a href=\"/approvals/{}\">asked {}{}</a> <span class=\"state {}\">{}</span>{}</p>",
        text(&card.id.0),
        when(&card.created_at),
        at.unwrap_or_default(),
        card.state.as_str(),
        text(words(card.state)),
        would(one, " ", ""),
    );
}

/// What it would do, so that one need not open it to know which it is.
fn would(one: &Listed, before: &str, after: &str) -> String {
    let all: Vec<String> = one
        .would
        .iter()
        .map(|one| format!("<bdi>{}</bdi>", text(one)))
        .collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("{before}{}{after}", all.join(" · ")),
    }
}

fn pairs(wanted: &Wanted) -> Vec<(&'static str, &str)> {
    let (word, _) = named(wanted.shelf);
    let told = [
        ("state", wanted.state.map(State::as_str)),
        ("rule", wanted.rule.as_deref()),
        ("resource", wanted.resource.as_deref()),
        ("tool", wanted.tool.as_deref()),
        ("person", wanted.requester.as_deref()),
    ];
    let mut pairs = vec![("show", word)];
    pairs.extend(told.into_iter().filter_map(|(name, value)| Some((name, value?))));
    pairs
}

fn onwards(out: &mut String, wanted: &Wanted, listing: &Listing) {
    let mut links = Vec::new();
    if wanted.before.is_some() {
        links.push(format!(
            "<a href=\"/approvals?{}\">Newest</a>",
            query(&pairs(wanted))
        ));
    }
    if let Some(next) = &listing.next {
        let mut pairs = pairs(wanted);
        pairs.push(("before", &next.0));
        links.push(format!(
            "<a rel=\"next\" href=\"/approvals?{}\">Older</a>",
            query(&pairs)
        ));
    }
    if !links.is_empty() {
        let _ = write!(
            out,
            "<nav class=\"onwards\" aria-label=\"More\">{}</nav>",
            links.join(" ")
        );
    }
}

fn filters(out: &mut String, wanted: &Wanted) {
    let (word, _) = named(wanted.shelf);
    let _ = write!(
        out,
        "<section><h2>Filter</h2><form method=\"get\" action=\"/approvals\" class=\"filter\">\
         <input type=\"hidden\" name=\"show\" value=\"{word}\">"
    );
    if wanted.shelf != Shelf::Waiting {
        out.push_str("<label>State <select name=\"state\"><option value=\"\">any</option>");
        for state in State::ALL {
            let chosen = if wanted.state == Some(state) {
                " selected"
            } else {
                ""
            };
            let _ = write!(
                out,
                "<option value=\"{}\"{chosen}>{}</option>",
                state.as_str(),
                words(state)
            );
        }
        out.push_str("</select></label>");
    }
    for (title, name, value) in [
        ("Policy", "rule", &wanted.rule),
        ("Resource", "resource", &wanted.resource),
        ("Tool", "tool", &wanted.tool),
        ("Person", "person", &wanted.requester),
    ] {
        let _ = write!(
            out,
            "<label>{title} <input name=\"{name}\" value=\"{}\" autocomplete=\"off\"></label>",
            text(value.as_deref().unwrap_or_default())
        );
    }
    out.push_str("<button>Show</button></form></section>");
}
