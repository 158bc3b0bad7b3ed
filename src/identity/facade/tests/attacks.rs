use std::sync::atomic::Ordering;

use http::{StatusCode, header};

use super::place::*;

#[tokio::test]
async fn cve_2026_27124_a_browser_whose_person_did_not_say_yes_gets_nowhere() {
    let place = Place::new().await;
    let mut attacker = Browser::default();
    let captured = attacker.approved(&place.facade, &request(&[])).await;
    // The victim opens the captured address; at the provider they are signed in already.
    let mut victim = Browser::default();
    assert_stays(
        &victim.get(&place.facade, &callback("corp", &captured)).await,
        "no cookie",
    );
    // Also when they have said yes to something of their own meanwhile.
    let own = victim.approved(&place.facade, &request(&[])).await;
    assert_stays(
        &victim.get(&place.facade, &callback("corp", &captured)).await,
        "another's cookie",
    );
    // Or the attacker could plant a cookie of that name: it is not the one that was set.
    let name = attacker
        .0
        .keys()
        .find(|name| name.contains("bound"))
        .unwrap()
        .clone();
    victim.0.insert(name, "A".repeat(43));
    assert_stays(
        &victim.get(&place.facade, &callback("corp", &captured)).await,
        "a planted cookie",
    );
    assert_eq!(
        place.corp.finished.load(Ordering::SeqCst),
        0,
        "the provider's answer was not even looked at"
    );
    let answer = victim.get(&place.facade, &callback("corp", &own)).await;
    assert!(location(&answer).is_some(), "their own goes on");
}

#[tokio::test]
async fn consent_cannot_be_skipped() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    // The id is known to the page, and the browser has a cookie, but nobody has said yes.
    assert_stays(
        &browser.get(&place.facade, &callback("corp", &form.id)).await,
        "undecided",
    );
    let asked = browser.0.values().next().unwrap().clone();
    let name = browser.0.keys().next().unwrap().replace("asked", "bound");
    browser.0.insert(name, asked);
    assert_stays(
        &browser.get(&place.facade, &callback("corp", &form.id)).await,
        "the first cookie is not the second",
    );
    assert_stays(
        &browser.get(&place.facade, "/oauth/callback/corp?code=x").await,
        "no state",
    );
    assert_stays(
        &browser
            .get(&place.facade, "/oauth/callback/corp?state=&code=x")
            .await,
        "an empty state",
    );
    assert_eq!(place.column::<i64>("SELECT count(*) FROM code"), 0);
}

#[tokio::test]
async fn a_second_client_asks_again_and_the_first_one_too() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    browser.signed_in(&place.facade, &request(&[])).await;
    let native = request(&[
        ("client_id", Some("native")),
        ("redirect_uri", Some("http://127.0.0.1:1/cb")),
    ]);
    for query in [native, request(&[])] {
        let answer = browser.authorize(&place.facade, &query).await;
        assert!(html(&answer).contains("A program asks to act for you"));
        assert!(location(&answer).is_none() && onward(&answer).is_none());
    }
}

#[tokio::test]
async fn a_second_browser_cannot_send_the_first_ones_form() {
    let place = Place::new().await;
    let (mut one, mut other) = (Browser::default(), Browser::default());
    let mine = one.asked(&place.facade, &request(&[])).await;
    let theirs = other.asked(&place.facade, &request(&[])).await;
    assert_stays(
        &other.decide(&place.facade, &mine, ("at", "corp")).await,
        "no cookie of that sign-in",
    );
    let mixed = Form {
        id: mine.id.clone(),
        token: theirs.token.clone(),
    };
    assert_stays(
        &one.decide(&place.facade, &mixed, ("at", "corp")).await,
        "a token of another sign-in",
    );
    // One's own cookie under the name of the other sign-in.
    let name = one.0.keys().next().unwrap().clone();
    let value = other.0.values().next().unwrap().clone();
    other.0.insert(name, value);
    assert_stays(
        &other.decide(&place.facade, &mine, ("at", "corp")).await,
        "another browser's cookie",
    );
    for token in ["", "AAAA", "%%%"] {
        let bent = Form {
            id: mine.id.clone(),
            token: token.to_owned(),
        };
        assert_stays(&one.decide(&place.facade, &bent, ("at", "corp")).await, token);
    }
    assert!(onward(&one.decide(&place.facade, &mine, ("at", "corp")).await).is_some());
}

#[tokio::test]
async fn csrf_the_form_counts_only_from_our_own_page() {
    let mut spec = spec();
    spec.url = "http://127.0.0.1:7330".to_owned();
    let place = Place::with(spec).await;
    // On loopback a page on another port may plant all cookies, and can know every one of these values.
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    assert!(browser.0.keys().all(|name| name.starts_with("tollgate-asked-")));
    let yes = ("at", "corp");
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[
            ("origin", "http://127.0.0.1:9999"),
            ("sec-fetch-site", "same-site"),
        ],
        &[
            ("origin", "http://127.0.0.1:7330"),
            ("sec-fetch-site", "same-site"),
        ],
        &[
            ("origin", "http://127.0.0.1:7330"),
            ("sec-fetch-site", "cross-site"),
        ],
        &[("origin", "http://127.0.0.1:7330"), ("sec-fetch-site", "none")],
        &[("origin", "http://localhost:7330")],
        &[("origin", "http://127.0.0.1:73300")],
        &[("origin", "http://127.0.0.1")],
        &[("sec-fetch-site", "same-origin")],
    ] {
        let answer = browser.post_form(&place.facade, &form, yes, headers).await;
        assert_stays(&answer, &format!("{headers:?}"));
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
    }
    let body = encoded(&[("id", &form.id), ("token", &form.token), yes]);
    let get = browser
        .get(&place.facade, &format!("/oauth/consent?{body}"))
        .await;
    assert_stays(&get, "not by GET");
    let here = [
        ("origin", "http://127.0.0.1:7330"),
        ("content-type", "text/plain"),
    ];
    let plain = browser
        .send(&place.facade, "POST", "/oauth/consent", &here, &body)
        .await;
    assert_eq!(
        plain.status(),
        StatusCode::FORBIDDEN,
        "what a form can send as text"
    );
    let good = [
        ("origin", "http://127.0.0.1:7330"),
        ("sec-fetch-site", "same-origin"),
    ];
    for unclear in [("at", "nobody"), ("x", "y")] {
        assert_stays(
            &browser.post_form(&place.facade, &form, unclear, &good).await,
            "unclear",
        );
    }
    let answer = browser.post_form(&place.facade, &form, yes, &good).await;
    assert!(onward(&answer).is_some());
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    assert!(
        set.into_iter()
            .all(|line| !line.to_str().unwrap().contains("Secure"))
    );
}

#[tokio::test]
async fn open_redirect_nobody_is_sent_to_an_address_that_was_not_registered() {
    let place = Place::new().await;
    for (client, uri) in [
        ("site", "https://evil.example/back"),
        ("site", "https://agent.example.net@evil.example/back"),
        ("site", "https://evil.example\\@agent.example.net/back"),
        ("site", "https://agent.example.net\\.evil.example/back"),
        ("site", "https://agent.example.net/back#evil"),
        ("site", "https://agent.example.net.evil.example/back"),
        ("site", "https://evilagent.example.net/back"),
        ("site", "https://agent.example.net/back/../evil"),
        ("site", "https://agent.example.net/back%2f..%2fevil"),
        ("site", "https://agent.example.net:8443/back"),
        ("site", "http://agent.example.net/back"),
        ("site", "https://agent.example.net/back?next=https://evil.example"),
        ("site", "//evil.example/back"),
        ("site", "javascript:alert(1)//"),
        ("site", "data:text/html,x"),
        ("site", "https://agent.example.net/back\r\nX: y"),
        ("site", ""),
        ("native", "http://127.0.0.1:80@evil.example/cb"),
        ("native", "http://127.0.0.1:49152/other"),
        ("native", "http://127.0.0.1.evil.example/cb"),
        ("native", "https://127.0.0.1:49152/cb"),
        ("native", SITE),
        (DOCUMENT, "https://evil.example/cb"),
        ("tollgate-cli", "http://127.0.0.1:1/other"),
        ("tollgate-cli", "http://localhost:1/callback"),
        ("nobody", SITE),
        ("", SITE),
        ("https://unknown.example/client.json", SITE),
        ("reg_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SITE),
    ] {
        // Also when something else is wrong: an error does not open the way either.
        for response_type in ["code", "token"] {
            let query = request(&[
                ("client_id", Some(client)),
                ("redirect_uri", Some(uri)),
                ("response_type", Some(response_type)),
            ]);
            let answer = Browser::default().authorize(&place.facade, &query).await;
            assert_stays(&answer, &format!("{client} {uri}"));
        }
    }
    for (name, value) in [("client_id", "site"), ("redirect_uri", SITE)] {
        let twice = format!("{}&{}", request(&[]), encoded(&[(name, value)]));
        assert_stays(&Browser::default().authorize(&place.facade, &twice).await, name);
        assert_stays(
            &Browser::default()
                .authorize(&place.facade, &request(&[(name, None)]))
                .await,
            name,
        );
    }
    assert_eq!(place.column::<i64>("SELECT count(*) FROM sign_in"), 0);
}

/// The error a configured client is told.
async fn told(place: &Place, query: &str) -> String {
    let answer = Browser::default().authorize(&place.facade, query).await;
    let back = location(&answer).unwrap_or_else(|| panic!("{query}: {}", html(&answer)));
    assert!(back.as_str().starts_with(SITE) && field(&back, "code").is_none());
    assert_eq!(field(&back, "iss").as_deref(), Some(URL));
    field(&back, "error").unwrap()
}

#[tokio::test]
async fn pkce_cannot_be_left_out_or_weakened() {
    let place = Place::new().await;
    for changes in [
        &[("code_challenge", None), ("code_challenge_method", None)][..],
        &[("code_challenge", None)],
        &[("code_challenge_method", None)],
        &[("code_challenge_method", Some("plain"))],
        &[("code_challenge_method", Some("s256"))],
        &[("code_challenge", Some(""))],
        &[("code_challenge", Some("short"))],
        &[(
            "code_challenge",
            Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"),
        )],
        &[(
            "code_challenge",
            Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cMM"),
        )],
    ] {
        assert_eq!(
            told(&place, &request(changes)).await,
            "invalid_request",
            "{changes:?}"
        );
    }
}

#[tokio::test]
async fn a_token_for_another_resource_or_scope_is_not_to_be_had() {
    let place = Place::new().await;
    for resource in [
        "https://other.example.com/mcp",
        "https://gate.example.com",
        "https://gate.example.com/mcp/x",
        "https://gate.example.com/mcp#x",
        "http://gate.example.com/mcp",
        "https://gate.example.com@evil.example/mcp",
        "mcp",
    ] {
        let query = request(&[("resource", Some(resource))]);
        assert_eq!(told(&place, &query).await, "invalid_target", "{resource}");
    }
    for scope in ["admin", "mcp:read admin", "mcp:read\tmcp:write", "openid"] {
        assert_eq!(
            told(&place, &request(&[("scope", Some(scope))])).await,
            "invalid_scope",
            "{scope}"
        );
    }
    // Left out, it is ours; written otherwise but the same address, it is kept as ours; scopes as a set.
    for (resource, scope, kept) in [
        (None, None, "mcp:read mcp:write"),
        (
            Some("HTTPS://gate.example.com:443/mcp"),
            Some("mcp:write mcp:read  mcp:write"),
            "mcp:read mcp:write",
        ),
        (Some(RESOURCE), Some("mcp:write"), "mcp:write"),
    ] {
        let query = request(&[("resource", resource), ("scope", scope)]);
        Browser::default().signed_in(&place.facade, &query).await;
        assert_eq!(place.column::<String>("SELECT resource FROM code"), RESOURCE);
        assert_eq!(place.column::<String>("SELECT scope FROM code"), kept);
        place.execute("DELETE FROM code");
    }
}

#[tokio::test]
async fn repeated_and_strange_parameters_are_refused() {
    let place = Place::new().await;
    for name in [
        "response_type",
        "code_challenge",
        "code_challenge_method",
        "resource",
        "scope",
        "nonce",
    ] {
        let twice = format!("{}&{}", request(&[(name, Some("a"))]), encoded(&[(name, "b")]));
        assert_eq!(told(&place, &twice).await, "invalid_request", "{name}");
    }
    let states = format!("{}&state=other", request(&[]));
    let answer = Browser::default().authorize(&place.facade, &states).await;
    assert_eq!(
        field(&location(&answer).unwrap(), "state"),
        None,
        "it is open which is theirs"
    );
    let many: String = (0..65).map(|n| format!("&x{n}=1")).collect();
    assert_eq!(
        told(&place, &format!("{}{many}", request(&[]))).await,
        "invalid_request"
    );
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("response_mode", "form_post", "invalid_request"),
        ("request", "eyJ", "request_not_supported"),
        ("request_uri", "https://evil.example", "request_uri_not_supported"),
        ("prompt", "none", "consent_required"),
        ("state", "caf\u{e9}", "invalid_request"),
        ("state", "a\nb", "invalid_request"),
    ] {
        assert_eq!(
            told(&place, &request(&[(name, Some(value))])).await,
            error,
            "{name}={value}"
        );
    }
    let long = request(&[("state", Some(&"x".repeat(20_000)))]);
    assert_stays(&Browser::default().authorize(&place.facade, &long).await, "long");
    let put = Browser::default()
        .send(&place.facade, "PUT", "/oauth/authorize", &[], "")
        .await;
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    // POST is the same (RFC 6749 3.1).
    let kind = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let posted = Browser::default()
        .send(&place.facade, "POST", "/oauth/authorize", &kind, &request(&[]))
        .await;
    assert_eq!(posted.status(), StatusCode::OK);
}

#[tokio::test]
async fn strangers_cannot_use_our_address_to_send_people_to_theirs() {
    let place = Place::new().await;
    let wrong = request(&[("client_id", Some(DOCUMENT)), ("scope", Some("nonsense"))]);
    let answer = Browser::default().authorize(&place.facade, &wrong).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(location(&answer).is_none() && onward(&answer).is_none());
    assert!(html(&answer).contains("Back to <bdi>agent.example.net</bdi>"));
}

#[tokio::test]
async fn a_sign_in_has_ten_minutes() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    let state = browser.approved(&place.facade, &request(&[])).await;
    place.clock.by(600);
    for what in [("at", "corp"), ("deny", "1")] {
        assert_stays(&browser.clone().decide(&place.facade, &form, what).await, "late");
    }
    assert_stays(
        &browser.get(&place.facade, &callback("corp", &state)).await,
        "late",
    );
    assert_eq!(place.corp.finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_providers_answer_counts_once_on_all_replicas() {
    let place = Place::new().await;
    for _ in 0..8 {
        let mut browser = Browser::default();
        let state = browser.approved(&place.facade, &request(&[])).await;
        let (mut one, mut two) = (browser.clone(), browser.clone());
        let path = callback("corp", &state);
        let (here, there) = tokio::join!(one.get(&place.facade, &path), two.get(&place.twin, &path));
        let codes = [&here, &there].map(|answer| location(answer).and_then(|url| field(&url, "code")));
        assert_eq!(codes.iter().flatten().count(), 1, "{codes:?}");
        assert_stays(&browser.get(&place.twin, &path).await, "again");
        assert_stays(&browser.get(&place.facade, &path).await, "again");
    }
    assert_eq!(place.corp.finished.load(Ordering::SeqCst), 8);
    // The question as well: two replicas, one yes.
    let mut browser = Browser::default();
    let form = browser.asked(&place.facade, &request(&[])).await;
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (here, there) = tokio::join!(
        one.decide(&place.facade, &form, ("at", "corp")),
        two.decide(&place.twin, &form, ("at", "other"))
    );
    assert_eq!([onward(&here), onward(&there)].iter().flatten().count(), 1);
}

#[tokio::test]
async fn mix_up_one_providers_answer_is_not_anothers() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let state = browser.approved(&place.facade, &request(&[])).await;
    for path in [
        callback("other", &state),
        callback("post", &state),
        callback("nobody", &state),
    ] {
        assert_stays(&browser.get(&place.facade, &path).await, &path);
    }
    let answer = browser.get(&place.facade, &callback("corp", &state)).await;
    assert!(location(&answer).is_some(), "the right one still counts");
}

#[tokio::test]
async fn two_cookies_of_one_name_are_none() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let state = browser.approved(&place.facade, &request(&[])).await;
    let (name, value) = browser
        .0
        .iter()
        .next()
        .map(|(name, value)| (name.clone(), value.clone()))
        .unwrap();
    let cookies = format!("{name}=planted; {name}={value}");
    let path = callback("corp", &state);
    let mut bare = Browser::default();
    assert_stays(
        &bare
            .send(&place.facade, "GET", &path, &[("cookie", &cookies)], "")
            .await,
        "planted",
    );
}

#[tokio::test]
async fn fields_of_the_providers_answer_come_once() {
    let place = Place::new().await;
    let mut browser = Browser::default();
    let state = browser.approved(&place.facade, &request(&[])).await;
    let path = callback("corp", &state);
    for twice in ["code=other", "state=other", "as=mallory"] {
        assert_stays(
            &browser.get(&place.facade, &format!("{path}&{twice}")).await,
            twice,
        );
    }
    assert!(location(&browser.get(&place.facade, &path).await).is_some());
}

#[tokio::test]
async fn a_flood_of_devices_keeps_nobody_from_beginning() {
    let place = Place::new().await;
    let row = |n: u8| crate::store::sessions::DeviceRow {
        hash: [n; 32],
        user_code: format!("{n:08}"),
        client_id: "native".to_owned(),
        client_name: "x".to_owned(),
        verified: false,
        resource: RESOURCE.to_owned(),
        scope: String::new(),
        created_at: NOW + u64::from(n),
        expires_at: NOW + 600_000 + u64::from(n),
        polled_at: None,
        pause: 5_000,
        denied: false,
        code: None,
    };
    let mut tx = place.rows.write().await.unwrap();
    for n in 0..3 {
        assert!(tx.insert_device(&row(n), 3).await.unwrap(), "{n}");
    }
    assert!(
        tx.leave_for_device(&[1; 32], &[9; 32], NOW)
            .await
            .unwrap()
            .is_some()
    );
    for n in 10..60 {
        assert!(tx.insert_device(&row(n), 3).await.unwrap(), "{n}");
    }
    for n in 58..60 {
        assert!(
            tx.leave_for_device(&[n; 32], &[n; 32], NOW)
                .await
                .unwrap()
                .is_some()
        );
    }
    assert!(
        !tx.insert_device(&row(70), 3).await.unwrap(),
        "somebody signed in for each"
    );
    tx.commit().await.unwrap();
    assert_eq!(
        place.column::<String>(
            "SELECT group_concat(user_code, ' ') FROM (SELECT * FROM device ORDER BY user_code) AS d"
        ),
        "00000001 00000058 00000059",
        "the one somebody signed in for stayed"
    );
}

#[tokio::test]
async fn a_flood_that_says_yes_does_not_push_out_who_is_still_reading() {
    let place = Place::new().await;
    let row = |n: u8, left: u64| crate::store::sign_ins::SignInRow {
        hash: [n; 32],
        client_id: "native".to_owned(),
        client_name: "x".to_owned(),
        verified: false,
        redirect_uri: None,
        state: None,
        challenge: None,
        resource: RESOURCE.to_owned(),
        scope: String::new(),
        device: None,
        created_at: NOW,
        expires_at: NOW + left,
    };
    let yes = crate::store::sign_ins::Approved {
        issuer: "corp".to_owned(),
        nonce: "n".to_owned(),
        sealed: Vec::new(),
        bound: [1; 32],
    };
    let mut tx = place.rows.write().await.unwrap();
    for n in 0..60 {
        if n == 20 {
            tx.begin_sign_in(&row(100, 500_000), 10).await.unwrap();
        }
        tx.begin_sign_in(&row(n, 600_000), 10).await.unwrap();
        assert!(tx.approve_sign_in(&[n; 32], &yes, NOW).await.unwrap(), "{n}");
    }
    let reader = tx.undecided_sign_in(&[100; 32], NOW).await.unwrap();
    assert!(reader.is_some(), "though it is the one that ends first");
    tx.commit().await.unwrap();
    assert_eq!(place.column::<i64>("SELECT count(*) FROM sign_in"), 10);
}
