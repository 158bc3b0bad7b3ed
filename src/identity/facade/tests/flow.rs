use std::sync::atomic::Ordering;

use http::{StatusCode, header};
use serde_json::Value;

use super::place::*;
use crate::call::{Hash, hex};
use crate::identity::facade::authorize::Wanted;
use crate::identity::facade::{CLI, prefix};
use crate::identity::provider::Upstream;

#[tokio::test]
async fn the_metadata_says_what_is_there_and_no_more() {
    let mut quiet = spec();
    (quiet.registration, quiet.documents) = (false, None);
    quiet.scopes.clear();
    for (spec, open) in [(spec(), true), (quiet, false)] {
        let place = Place::with(spec).await;
        let mut documents = Vec::new();
        for path in [
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
        ] {
            let answer = Browser::default().get(&place.facade, path).await;
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
            documents.push(serde_json::from_slice::<Value>(answer.body()).unwrap());
        }
        assert_eq!(documents[0], documents[1]);
        let document = &documents[0];
        assert_eq!(document["issuer"], URL);
        assert_eq!(
            document["authorization_endpoint"],
            format!("{URL}/oauth/authorize")
        );
        assert_eq!(document["token_endpoint"], format!("{URL}/oauth/token"));
        assert_eq!(
            document["code_challenge_methods_supported"],
            serde_json::json!(["S256"])
        );
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["client_id_metadata_document_supported"], open);
        assert_eq!(document.get("registration_endpoint").is_some(), open);
        assert_eq!(document.get("scopes_supported").is_some(), open);
        assert_eq!(place.facade.serves("/oauth/register"), open);
        assert!(!place.facade.serves("/oauth/callback/") && !place.facade.serves("/mcp"));
    }
}

#[tokio::test]
async fn a_person_says_yes_signs_in_and_the_program_gets_a_code() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let page = browser.authorize(&place.facade, &request(&[])).await;
    assert_eq!(page.status(), StatusCode::OK);
    let shown = html(&page);
    for words in [
        "The site",
        "agent.example.net",
        "mcp:read",
        "sql_query",
        "corp",
        "other",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("<script") && !shown.contains("mcp:write"));
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "'sha256-",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.headers()[header::X_FRAME_OPTIONS], "DENY");
    // Before they say yes there is one cookie, and the provider's answer would not count with it.
    let cookies: Vec<_> = page.headers().get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(cookies.len(), 1);
    let asked = cookies[0].to_str().unwrap();
    assert!(asked.starts_with("__Host-tollgate-asked-"), "{asked}");
    assert!(
        asked.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Strict; Secure"),
        "{asked}"
    );

    let form = form(&page);
    let answer = browser.decide(&place.facade, &form, ("at", "corp")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let bound = answer
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .map(|line| line.to_str().unwrap());
    let bound: Vec<_> = bound
        .filter(|line| line.starts_with("__Host-tollgate-bound-"))
        .collect();
    assert_eq!(bound.len(), 1);
    assert!(
        bound[0].ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
        "{bound:?}"
    );
    let state = field(&onward(&answer).unwrap(), "state").unwrap();

    let answer = browser.get(&place.facade, &callback("corp", &state)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let back = location(&answer).unwrap();
    assert!(back.as_str().starts_with(&format!("{SITE}?")));
    assert_eq!(field(&back, "state").as_deref(), Some("s p&c=1"));
    assert_eq!(field(&back, "iss").as_deref(), Some(URL));
    assert!(browser.0.is_empty(), "its cookies are gone: {browser:?}");
    let code = field(&back, "code").unwrap();
    assert!(code.starts_with(prefix::CODE) && code.len() == prefix::CODE.len() + 43);
    a_code_is_worth(&place, &code);
}

fn a_code_is_worth(place: &Place, code: &str) {
    let hash = Hash::of(code.as_bytes());
    assert_eq!(place.column::<Vec<u8>>("SELECT hash FROM code"), hash.0);
    for (column, value) in [
        ("client_id", "site"),
        ("client_name", "The site"),
        ("redirect_uri", SITE),
        ("challenge", CHALLENGE),
        ("resource", RESOURCE),
        ("scope", "mcp:read"),
        ("issuer", "corp"),
        ("subject", "alice"),
        ("claimed", "[\"analysts\"]"),
        ("provider_sid", "sid-1"),
    ] {
        assert_eq!(
            place.column::<String>(&format!("SELECT {column} FROM code")),
            value
        );
    }
    assert!(place.column::<bool>("SELECT verified FROM code"));
    assert_eq!(
        place.column::<i64>("SELECT expires_at - created_at FROM code"),
        60_000
    );
    let sealed: Vec<u8> = place.column("SELECT sealed FROM code");
    let opened = place.facade.seal.open(&hex(&hash.0), &sealed).unwrap();
    let upstream: Upstream = serde_json::from_slice(&opened).unwrap();
    assert_eq!(upstream.refresh.as_deref(), Some("upstream-refresh-secret"));
    // Nothing that is worth something lies open in the file.
    let bytes = place.bytes();
    for secret in [code, "upstream-refresh-secret"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
}

#[tokio::test]
async fn programs_on_the_persons_machine_choose_a_port_and_people_are_warned() {
    let place = Place::new().await;
    for (client, uri) in [
        ("native", "http://127.0.0.1:49152/cb"),
        (CLI, "http://127.0.0.1:50000/callback"),
        (DOCUMENT, "http://localhost:3118/cb"),
    ] {
        let mut browser = Browser::default();
        let query = request(&[("client_id", Some(client)), ("redirect_uri", Some(uri))]);
        let page = html(&browser.authorize(&place.facade, &query).await);
        assert!(
            page.contains("Any program on this computer can receive the answer"),
            "{page}"
        );
        let back = browser.signed_in(&place.facade, &query).await;
        assert!(back.as_str().starts_with(uri), "{back}");
    }
}

#[tokio::test]
async fn a_denial_is_told_and_final() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    let kept = browser.clone();
    let answer = browser.decide(&place.facade, &form, ("deny", "1")).await;
    let back = onward(&answer).unwrap();
    assert!(back.as_str().starts_with(SITE));
    assert_eq!(field(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(field(&back, "state").as_deref(), Some("s p&c=1"));
    assert_eq!(field(&back, "iss").as_deref(), Some(URL));
    for what in [("at", "corp"), ("deny", "1")] {
        assert_stays(&kept.clone().decide(&place.facade, &form, what).await, "decided");
    }
    // And a yes cannot be taken back by the same form.
    let form = browser.asked(&place.facade, &request(&[])).await;
    let kept = browser.clone();
    browser.decide(&place.facade, &form, ("at", "corp")).await;
    for what in [("at", "other"), ("deny", "1")] {
        assert_stays(&kept.clone().decide(&place.facade, &form, what).await, "decided");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_costs_nobody_their_sign_in() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    *place.corp.away.lock().unwrap() = true;
    let answer = browser.decide(&place.facade, &form, ("at", "corp")).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(answer.headers().get(header::SET_COOKIE).is_none());
    *place.corp.away.lock().unwrap() = false;
    assert!(onward(&browser.decide(&place.facade, &form, ("at", "corp")).await).is_some());
}

#[tokio::test]
async fn a_providers_refusal_is_told_in_our_words() {
    let place = Place::new().await;
    for (said, told) in [
        ("access_denied", "access_denied"),
        ("login_required", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("invalid_request", "server_error"),
        ("<script>&iss=https://evil.example", "server_error"),
    ] {
        let mut browser = Browser::default();
        let state = browser.approved(&place.facade, &request(&[])).await;
        let query = encoded(&[
            ("state", &state),
            ("error", said),
            ("error_description", "RAW WORDS"),
        ]);
        let answer = browser
            .get(&place.facade, &format!("/oauth/callback/corp?{query}"))
            .await;
        let back = location(&answer).unwrap();
        assert_eq!(field(&back, "error").as_deref(), Some(told));
        assert_eq!(field(&back, "iss").as_deref(), Some(URL));
        assert!(!back.as_str().contains("RAW") && !back.as_str().contains("evil"));
        assert_eq!(field(&back, "code"), None);
    }
    // Also one that speaks for another is none.
    let mut browser = Browser::default();
    let state = browser.approved(&place.facade, &request(&[])).await;
    let query = encoded(&[("state", &state), ("as", "alice"), ("issuer", "other")]);
    let answer = browser
        .get(&place.facade, &format!("/oauth/callback/corp?{query}"))
        .await;
    assert_eq!(
        field(&location(&answer).unwrap(), "error").as_deref(),
        Some("server_error")
    );
    assert_eq!(place.column::<i64>("SELECT count(*) FROM code"), 0);
}

#[tokio::test]
async fn a_posted_answer_comes_with_its_cookie_and_at_its_own_path() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    let answer = browser.decide(&place.facade, &form, ("at", "post")).await;
    let lines = answer.headers().get_all(header::SET_COOKIE).iter();
    assert!(
        lines
            .filter(|line| line.to_str().unwrap().contains("SameSite=None; Secure"))
            .count()
            == 1
    );
    let state = field(&onward(&answer).unwrap(), "state").unwrap();
    assert_stays(
        &browser.get(&place.facade, &callback("post", &state)).await,
        "not by query",
    );
    let body = encoded(&[("RelayState", &state), ("as", "alice"), ("SAMLResponse", "x")]);
    let kind = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "https://post.example"),
    ];
    assert_stays(
        &browser
            .send(&place.facade, "POST", "/oauth/saml/corp", &kind, &body)
            .await,
        "not that provider",
    );
    assert_stays(
        &Browser::default()
            .send(&place.facade, "POST", "/oauth/saml/post", &kind, &body)
            .await,
        "not that browser",
    );
    let answer = browser
        .send(&place.facade, "POST", "/oauth/saml/post", &kind, &body)
        .await;
    assert!(field(&onward(&answer).unwrap(), "code").is_some());
}

#[tokio::test]
async fn a_device_waits_for_the_same_question() {
    let place = Place::new().await;
    for (n, deny) in [(1u8, false), (2, true)] {
        let hash = [n; 32];
        place.execute(&format!(
            "INSERT INTO device (hash, user_code, client_id, client_name, verified, resource, scope, created_at, \
             expires_at, pause) VALUES (x'{}', 'code-{n}', 'native', 'n', 1, 'r', '', {NOW}, {NOW} + 900000, 5000)",
            hex(&hash)
        ));
        let wanted = Wanted {
            client: place.facade.client("native").await.unwrap(),
            redirect: None,
            state: None,
            challenge: None,
            scope: "mcp:read".to_owned(),
            device: Some(hash),
        };
        let mut browser = Browser::default();
        let page = place.facade.ask(&wanted).await;
        browser.keep(&page);
        assert!(html(&page).contains("Nobody else may send you such a code"));
        if deny {
            let answer = browser.decide(&place.facade, &form(&page), ("deny", "1")).await;
            assert!(onward(&answer).is_none());
            assert!(place.column::<bool>("SELECT denied FROM device WHERE user_code = 'code-2'"));
            continue;
        }
        let answer = browser.decide(&place.facade, &form(&page), ("at", "corp")).await;
        let state = field(&onward(&answer).unwrap(), "state").unwrap();
        let answer = browser.get(&place.facade, &callback("corp", &state)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(location(&answer).is_none() && html(&answer).contains("You are signed in"));
        let left: Vec<u8> = place.column("SELECT code FROM device WHERE user_code = 'code-1'");
        assert_eq!(place.column::<Vec<u8>>("SELECT hash FROM code"), left);
        assert_eq!(
            place.column::<i64>("SELECT expires_at FROM code").unsigned_abs(),
            NOW + 900_000
        );
    }
    assert_eq!(place.corp.finished.load(Ordering::SeqCst), 1);
    // A question is the answer to a code that was typed, and has no address that somebody could send.
    let form = Browser::default().asked(&place.facade, &request(&[])).await;
    let path = format!("/oauth/consent?id={}", form.id);
    assert_stays(&Browser::default().get(&place.facade, &path).await, "a link");
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_a_flood_pushes_out_itself() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let state = browser.approved(&place.facade, &request(&[])).await;
    // Whoever floods is pushed out first: a sign-in under way stays.
    let mut tx = place.rows.write().await.unwrap();
    for n in 0..30u8 {
        let row = crate::store::sign_ins::SignInRow {
            hash: [n; 32],
            client_id: "x".to_owned(),
            client_name: "x".to_owned(),
            verified: false,
            redirect_uri: None,
            state: None,
            challenge: None,
            resource: RESOURCE.to_owned(),
            scope: String::new(),
            device: None,
            created_at: NOW,
            expires_at: NOW + 600_000 + u64::from(n),
        };
        tx.begin_sign_in(&row, 10).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(place.column::<i64>("SELECT count(*) FROM sign_in"), 10);
    let answer = browser.get(&place.facade, &callback("corp", &state)).await;
    assert!(field(&location(&answer).unwrap(), "code").is_some());
    place.clock.by(601);
    place.facade.prune().await.unwrap();
    assert_eq!(place.column::<i64>("SELECT count(*) FROM sign_in"), 0);
    assert_eq!(
        place.column::<i64>("SELECT count(*) FROM code"),
        1,
        "a second use is still noticed"
    );
    place.clock.by(3661);
    place.facade.prune().await.unwrap();
    assert_eq!(place.column::<i64>("SELECT count(*) FROM code"), 0);
}

#[tokio::test]
async fn what_a_saml_provider_is_to_be_told_is_there_to_fetch() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let answer = browser.get(&place.facade, "/oauth/saml/post/metadata").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()[header::CONTENT_TYPE],
        "application/samlmetadata+xml"
    );
    assert_eq!(answer.body(), b"<EntityDescriptor/>");
    for other in ["corp", "nobody", "", "post/metadata", "post/x"] {
        let path = format!("/oauth/saml/{other}/metadata");
        let answer = browser.get(&place.facade, &path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let posted = browser
        .send(&place.facade, "POST", "/oauth/saml/post/metadata", &[], "")
        .await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}
