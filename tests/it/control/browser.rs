//! The pages: a sign-in bound to the browser, forms bound to what they are about.

use tollgate::approval::review::Choice;

use super::place::{Browser, HOSTILE, ID, Place, SHA, form, hidden, place as leads_to, sheet};

fn page() -> String {
    format!("/approvals/{ID}")
}

/// The fields of a form, as `submit` takes them.
fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[tokio::test]
async fn a_person_signs_in_sees_everything_and_approves() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let (url, html) = browser.sign_in(&place, &page(), "second").await;
    assert_eq!(url, format!("{}{}", place.url, page()));
    for shown in [
        "May demo-agent run",
        "sql_execute",
        "shop",
        "demo#asker",
        "2 of <bdi>dba</bdi>",
        "first",
        "This cannot be undone",
        "drop index",
        "<del>open</del>",
        "<ins>closed</ins>",
        SHA,
        "Changes of orders need a second pair of eyes.",
        "2026-11-22 10:00:00 UTC",
        "UPDATE orders SET status = &#39;closed&#39;",
        "Claimed by the program, checked by nobody.",
    ] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
    assert_eq!(html.matches("<script").count(), 1, "one script, ours: {html}");
    assert!(html.contains("<script src=\"/events.js\" defer></script>"));
    let claimed = html.find("What the agent says").unwrap();
    assert!(
        claimed > html.find("What would change").unwrap() && claimed > html.find("Exactly what").unwrap()
    );
    let approve = format!("{}/approve", page());
    let fields = form(&html, &approve);
    let address = format!("{}{approve}", place.url);
    let answer = browser
        .submit(&address, &borrowed(&fields), Some(&place.url))
        .await;
    assert_eq!(answer.status(), 303);
    assert_eq!(place.decided(), [("demo#second".to_owned(), Choice::Approve)]);
    let (_, after) = browser.open(&leads_to(&answer, &address).unwrap()).await;
    assert!(after.contains("approved, not yet carried out") && !after.contains("<button class=\"yes\">"));
    assert!(
        after.contains("<button class=\"no\">") && after.contains("Withdraw the request"),
        "until it has run, people can stop it"
    );
    // The same form once more decides nothing more.
    let again = browser
        .submit(&address, &borrowed(&fields), Some(&place.url))
        .await;
    assert_eq!(again.status(), 409);
    assert_eq!(place.decided().len(), 1);
}

#[tokio::test]
async fn a_form_counts_for_its_session_its_verb_and_its_action_alone() {
    let place = Place::new().await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let (_, mine) = one.sign_in(&place, &page(), "second").await;
    let (_, theirs) = other.sign_in(&place, &page(), "third").await;
    let action = |verb: &str| format!("{}/{verb}", page());
    let address = |verb: &str| format!("{}{}", place.url, action(verb));
    let (mine, theirs) = (form(&mine, &action("approve")), form(&theirs, &action("approve")));
    let ours = Some(place.url.as_str());
    let status = |answer: reqwest::Response| answer.status().as_u16();
    // Made for somebody else, for another verb, for another action; without a token; twice the field.
    assert_eq!(
        status(one.submit(&address("approve"), &borrowed(&theirs), ours).await),
        403
    );
    let mut refusing = borrowed(&mine);
    refusing.push(("reason", "no"));
    assert_eq!(status(one.submit(&address("refuse"), &refusing, ours).await), 403);
    let mut changed = mine.clone();
    changed[0].1 = "0".repeat(64);
    assert_eq!(
        status(one.submit(&address("approve"), &borrowed(&changed), ours).await),
        403
    );
    assert_eq!(
        status(one.submit(&address("approve"), &borrowed(&mine)[..1], ours).await),
        400
    );
    let twice = [borrowed(&mine), borrowed(&mine)].concat();
    assert_eq!(status(one.submit(&address("approve"), &twice, ours).await), 400);
    // From elsewhere, or from nowhere.
    for origin in [
        None,
        Some("null"),
        Some("https://evil.example"),
        Some("http://localhost"),
    ] {
        let sent = one.submit(&address("approve"), &borrowed(&mine), origin).await;
        assert_eq!(status(sent), 403, "{origin:?}");
    }
    // Without the session, and by GET.
    let stranger = Browser::default()
        .submit(&address("approve"), &borrowed(&mine), ours)
        .await;
    assert_eq!(status(stranger), 303);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(borrowed(&mine))
        .finish();
    assert_eq!(
        status(one.get(&format!("{}?{query}", address("approve"))).await),
        405
    );
    assert!(place.decided().is_empty());
    assert_eq!(
        status(one.submit(&address("approve"), &borrowed(&mine), ours).await),
        303
    );
    assert_eq!(place.decided().len(), 1);
}

#[tokio::test]
async fn an_old_sign_in_shows_and_asks_again_before_it_decides() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, &page(), "second").await;
    let approve = format!("{}/approve", page());
    let old = form(&html, &approve);
    place.world.by(301);
    let address = format!("{}{approve}", place.url);
    let late = browser.submit(&address, &borrowed(&old), Some(&place.url)).await;
    assert_eq!(
        leads_to(&late, &address).unwrap(),
        format!("{}{}", place.url, page())
    );
    assert!(place.decided().is_empty());
    let (_, html) = browser.open(&format!("{}{}", place.url, page())).await;
    assert!(html.contains("UPDATE orders") && !html.contains("<button class=\"yes\">"));
    let again = regex::Regex::new(r#"href="(/sign-in\?[^"]*)""#).unwrap();
    let again = again.captures(&html).expect("a way to sign in again")[1].replace("&amp;", "&");
    let asked = browser.get(&format!("{}{again}", place.url)).await;
    let asked = leads_to(&asked, &place.url).unwrap();
    assert!(
        asked.contains("max_age=0") && asked.contains("prompt=login"),
        "{asked}"
    );
    let (url, html) = browser.sign_in(&place, &again, "second").await;
    assert_eq!(url, format!("{}{}", place.url, page()));
    // The form of the session before is not one of this.
    let stale = browser.submit(&address, &borrowed(&old), Some(&place.url)).await;
    assert_eq!(stale.status(), 403);
    let fresh = form(&html, &approve);
    let done = browser
        .submit(&address, &borrowed(&fresh), Some(&place.url))
        .await;
    assert_eq!(done.status(), 303);
    assert_eq!(place.decided().len(), 1);
}

#[tokio::test]
async fn a_sign_in_ends_in_the_browser_that_began_it_or_nowhere() {
    let place = Place::new().await;
    let (mut attacker, mut victim) = (Browser::default(), Browser::default());
    // The attacker signs in, stops before the last step, and hands the address to the victim.
    let (url, html) = attacker.open(&format!("{}/sign-in", place.url)).await;
    let mut fields = hidden(&html);
    fields.push(("username".into(), "stranger".into()));
    fields.push(("password".into(), place.secret("stranger").to_owned()));
    let answer = attacker.submit(&url, &borrowed(&fields), None).await;
    let back = leads_to(&answer, &url).unwrap();
    assert!(
        back.starts_with(&format!("{}/signed-in/demo?code=", place.url)),
        "{back}"
    );
    victim.get(&format!("{}/sign-in", place.url)).await; // the victim has a sign-in of their own under way
    let planted = victim.get(&back).await;
    assert_eq!(planted.status(), 400);
    assert!(
        planted
            .text()
            .await
            .unwrap()
            .contains("not begun in this browser")
    );
    let (url, _) = victim.open(&format!("{}{}", place.url, page())).await;
    assert!(url.contains("/authorize?"), "still nobody: {url}");
    // Somebody else's answer, an error, a second use, and ten minutes later.
    let foreign = back.replace("iss=", "iss=x");
    assert_eq!(attacker.get(&foreign).await.status(), 400);
    attacker.get(&format!("{}/sign-in", place.url)).await;
    assert_eq!(
        attacker.get(&back).await.status(),
        400,
        "state of another sign-in"
    );
}

#[tokio::test]
async fn a_sign_in_leads_back_to_pages_of_ours_alone() {
    let place = Place::new().await;
    for back in [
        "//evil.example",
        "https://evil.example/",
        "/approvals/../x",
        "/approvals//evil",
        "/sign-out",
        "/approvals\\x",
    ] {
        let mut browser = Browser::default();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("back", back)
            .finish();
        let (url, _) = browser
            .sign_in(&place, &format!("/sign-in?{query}"), "second")
            .await;
        assert_eq!(url, format!("{}/approvals", place.url), "{back}");
    }
}

#[tokio::test]
async fn h3_h8_the_requester_may_withdraw_and_strangers_see_nothing() {
    let place = Place::new().await;
    let mut asker = Browser::default();
    let (_, html) = asker.sign_in(&place, &page(), "asker").await;
    assert!(html.contains("You asked for this yourself") && !html.contains("/approve\""));
    let cancel = format!("{}/cancel", page());
    let address = format!("{}{cancel}", place.url);
    let fields = form(&html, &cancel);
    assert_eq!(
        asker
            .submit(&address, &borrowed(&fields), Some(&place.url))
            .await
            .status(),
        303
    );
    assert_eq!(*place.desk.cancelled.lock().unwrap(), ["demo#asker"]);
    let mut stranger = Browser::default();
    let (_, html) = stranger.sign_in(&place, &page(), "stranger").await;
    assert!(html.contains("nothing that you may see") && !html.contains("orders"));
    let (_, list) = stranger.open(&format!("{}/approvals", place.url)).await;
    assert!(list.contains("no request that you may see") && !list.contains(ID));
    let (_, list) = asker.open(&format!("{}/approvals", place.url)).await;
    assert!(list.contains(ID));
}

#[tokio::test]
async fn hostile_words_stay_words_on_the_page() {
    let mut hostile = sheet(HOSTILE);
    hostile.card.agent = HOSTILE.to_owned();
    hostile.card.tool = HOSTILE.to_owned();
    hostile.because[0].1 = Some(HOSTILE.to_owned());
    hostile.history[0].3 = Some(HOSTILE.to_owned());
    let place = Place::with(hostile, |_| {}).await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, &page(), "second").await;
    assert!(
        html.matches("<script").count() == 1 && !html.contains("<img"),
        "{html}"
    );
    assert!(!html.contains('\u{202e}') && !html.contains('\u{200b}'));
    assert!(html.contains("⟨U+202E⟩evil⟨U+200B⟩&quot;&#39;"));
    let elements = regex::Regex::new(r"<([a-z0-9]+)").unwrap();
    let known = "a bdi blockquote body br button code dd del details div dl dt form h1 h2 h3 head header html input ins label li link main meta nav noscript ol p pre q script section span strong summary table tbody td textarea th thead time title tr ul";
    for element in elements.captures_iter(&html) {
        assert!(
            known.split(' ').any(|one| one == &element[1]),
            "<{}>",
            &element[1]
        );
    }
}

#[tokio::test]
async fn what_a_declared_tool_runs_is_shown_line_by_line_and_not_only_what_the_agent_sent() {
    let mut declared = sheet("x");
    declared.arguments = Some(serde_json::json!({"order": 5}));
    let padded = format!(
        "DELETE FROM orders --{}WHERE id = 5\nRETURNING id",
        " ".repeat(200)
    );
    declared.runs = Some(serde_json::json!({"statement": padded, "parameters": [5]}));
    let place = Place::with(declared, |_| {}).await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, &page(), "second").await;
    // A wrapped line stays one line: what the comment swallows has no number of its own.
    let lines = html.split("<pre class=\"lines\">").nth(1).unwrap();
    let lines: Vec<&str> = lines
        .split("</pre>")
        .next()
        .unwrap()
        .split("<span>")
        .skip(1)
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("DELETE FROM orders --  ") && lines[0].ends_with("WHERE id = 5\n</span>"));
    assert_eq!(lines[1], "RETURNING id\n</span>");
    let sent = html.find("what the agent sent").unwrap();
    assert!(html.find("DELETE FROM orders").unwrap() < sent && html.contains("&quot;order&quot;: 5"));
    // The sheet is what makes the numbers, and what keeps spaces from vanishing at the edge.
    let (_, style) = browser.open(&format!("{}/style.css", place.url)).await;
    assert!(style.contains("content: counter(line)") && style.contains("white-space: break-spaces"));
    assert!(!style.contains("overflow: hidden") && !style.contains("max-height"));
}

#[tokio::test]
async fn signing_out_ends_the_session_and_only_our_own_page_does_it() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let (_, html) = browser.sign_in(&place, "/approvals", "second").await;
    let fields = form(&html, "/sign-out");
    let address = format!("{}/sign-out", place.url);
    let foreign = browser
        .submit(&address, &borrowed(&fields), Some("https://evil.example"))
        .await;
    assert_eq!(foreign.status(), 403);
    let (url, _) = browser.open(&format!("{}/approvals", place.url)).await;
    assert!(url.ends_with("/approvals"));
    assert_eq!(
        browser
            .submit(&address, &borrowed(&fields), Some(&place.url))
            .await
            .status(),
        200
    );
    let (url, _) = browser.open(&format!("{}/approvals", place.url)).await;
    assert!(url.contains("/authorize?"), "{url}");
}

#[tokio::test]
async fn a_session_ends_after_a_quarter_of_an_hour() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    browser.sign_in(&place, "/approvals", "second").await;
    place.world.by(15 * 60);
    let (url, _) = browser.open(&format!("{}/approvals", place.url)).await;
    assert!(url.contains("/authorize?"), "{url}");
}
