//! We as a relying party, against an issuer that says what the test wants: what is asked, what is
//! believed, and everything that signs nobody in.

mod again;
mod bench;
mod chosen;
mod logout;
mod noise;
mod stronger;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::desk::{ISSUER, NOW, b64, set, with};
use crate::identity::provider::{Provider, SignInError};
use crate::identity::{GroupsFault, Reason};
use bench::{
    ACCESS, Bench, CLIENT, DISCOVERY, REDIRECT, SECRET, TOKEN, USERINFO, VERIFIER, fields, question,
};

fn token(reason: Reason) -> SignInError {
    SignInError::Token(reason)
}

fn groups(fault: GroupsFault) -> SignInError {
    SignInError::Groups(fault)
}

#[tokio::test]
async fn what_is_asked_for_is_in_the_address() {
    let mut bench = Bench::new();
    bench.metadata(json!({"authorization_endpoint": "https://login.example.com/auth?tenant=1"}));
    let plain = bench.asked(&question()).await;
    let said = |name: &str| plain.get(name).map(String::as_str);
    assert_eq!(said("tenant"), Some("1"), "what the endpoint has stays");
    assert_eq!(said("response_type"), Some("code"));
    assert_eq!(said("client_id"), Some(CLIENT));
    assert_eq!(said("redirect_uri"), Some(REDIRECT));
    assert_eq!(said("scope"), Some("openid offline_access groups"), "openid once");
    assert_eq!(said("state"), Some("the-state"));
    assert_eq!(said("nonce"), Some("the-nonce"));
    assert_eq!(said("code_challenge_method"), Some("S256"));
    let hash = crate::call::Hash::of(VERIFIER.as_bytes());
    assert_eq!(said("code_challenge"), Some(b64(hash.0).as_str()));
    for absent in [
        "max_age",
        "prompt",
        "acr_values",
        "code_verifier",
        "client_secret",
    ] {
        assert_eq!(said(absent), None, "{absent}");
    }
    let mut fresh = question();
    fresh.max_age = Some(0);
    fresh.acr_values = vec!["phr".to_owned(), "mfa".to_owned()];
    let fresh = bench.asked(&fresh).await;
    assert_eq!(fresh["max_age"], "0");
    assert_eq!(fresh["prompt"], "login");
    assert_eq!(fresh["acr_values"], "phr mfa");
    let mut recent = question();
    recent.max_age = Some(300);
    let recent = bench.asked(&recent).await;
    assert_eq!(recent["max_age"], "300");
    assert!(!recent.contains_key("prompt"));
    bench.remake(|client| client.acr_values = vec!["configured".to_owned()]);
    assert_eq!(bench.asked(&question()).await["acr_values"], "configured");
}

#[tokio::test]
async fn google_is_asked_for_refresh_tokens_in_its_own_words() {
    let mut bench = Bench::new();
    bench.issuer(|issuer| {
        issuer.bearer = false; // people sign in there; whose tokens it signs for anybody is not asked
        issuer.url = "https://accounts.google.com".to_owned();
    });
    let document = bench.document(json!({"issuer": "https://accounts.google.com"}));
    let at = "https://accounts.google.com/.well-known/openid-configuration";
    bench.net.page(at, 200, document.to_string().into_bytes());
    let asked = bench.asked(&question()).await;
    assert_eq!(asked["access_type"], "offline");
    assert_eq!(asked["prompt"], "consent");
    assert_eq!(
        asked["scope"], "openid groups",
        "it refuses scopes it does not know"
    );
    bench.remake(|client| client.scopes.clear());
    let asked = bench.asked(&question()).await;
    assert!(!asked.contains_key("access_type") && !asked.contains_key("prompt"));
}

#[tokio::test]
async fn a_verifier_of_another_length_ends_nothing() {
    let bench = Bench::new();
    for length in [0, 42, 129] {
        let mut question = question();
        question.verifier = "v".repeat(length).into();
        assert_eq!(
            bench.oidc.begin(&question).await.unwrap_err(),
            SignInError::NotBegunHere
        );
    }
}

#[tokio::test]
async fn somebody_signs_in() {
    let bench = Bench::new();
    let said = json!({"acr": "mfa", "sid": "s-1"});
    let signed_in = bench.sign_in(said).await.unwrap();
    assert_eq!(signed_in.issuer, "corp");
    assert_eq!(signed_in.subject, "alice");
    assert_eq!(signed_in.claimed, set(&["analysts", "unmapped"]));
    assert_eq!(signed_in.auth_time, Some(NOW));
    assert_eq!(signed_in.acr.as_deref(), Some("mfa"));
    assert_eq!(signed_in.sid.as_deref(), Some("s-1"));
    assert_eq!(signed_in.upstream.refresh.as_deref(), Some("upstream-refresh"));
    assert_eq!(signed_in.upstream.access, None, "one way to ask again is enough");
    let shown = format!("{signed_in:?} {:?}", bench.oidc);
    for secret in [ACCESS, "upstream-refresh", SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(
        bench.net.count(DISCOVERY),
        2,
        "one for the endpoints, one for the keys"
    );
}

#[tokio::test]
async fn the_client_proves_itself_as_the_issuer_wants() {
    let basic = format!("Basic {}", {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode("tollgate%3Agate:s%2Fecret%20%C3%A9%25")
    });
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    for (methods, header, in_form) in [
        (json!(["client_secret_post", "client_secret_basic"]), true, None),
        (Value::Null, true, None),
        (json!(["client_secret_post"]), false, Some(SECRET)),
    ] {
        let mut bench = Bench::new();
        bench.metadata(json!({"token_endpoint_auth_methods_supported": methods}));
        bench.sign_in(json!({})).await.unwrap();
        let sent = bench.net.sent(TOKEN);
        assert_eq!(sent.authorization.as_deref(), header.then_some(basic.as_str()));
        assert_eq!(sent.field("client_secret"), in_form);
        assert_eq!(sent.field("client_id"), in_form.map(|_| CLIENT));
        for (name, value) in exchange {
            assert_eq!(sent.field(name), Some(value), "{name}");
        }
    }
    let mut public = Bench::new();
    public.remake(|client| client.secret = None);
    public.sign_in(json!({})).await.unwrap();
    let sent = public.net.sent(TOKEN);
    assert_eq!(
        (sent.authorization.as_deref(), sent.field("client_secret")),
        (None, None)
    );
    assert_eq!(sent.field("client_id"), Some(CLIENT));
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let bench = Bench::new();
    let mut announced = Bench::new();
    announced.metadata(json!({"authorization_response_iss_parameter_supported": true}));
    let elsewhere = ("iss", "https://other.example.com");
    for (changes, error) in [
        (vec![("state", "another")], SignInError::NotBegunHere),
        (vec![("state", "")], SignInError::NotBegunHere),
        (vec![("iss", ISSUER), elsewhere], SignInError::OtherIssuer),
        (vec![elsewhere], SignInError::OtherIssuer), // mix-up
        (
            vec![elsewhere, ("error", "access_denied")],
            SignInError::OtherIssuer,
        ),
        (vec![("iss", "")], SignInError::OtherIssuer),
        (
            vec![("error", "access_denied")],
            SignInError::Refused("access_denied".to_owned()),
        ),
        (
            vec![("error", "<script>\"no\"\r\n")],
            SignInError::Refused("scriptno".to_owned()),
        ),
        (vec![("code", "")], SignInError::NotBegunHere),
        (vec![("code", "a"), ("code", "b")], SignInError::NotBegunHere),
        (
            vec![("state", "the-state"), ("state", "the-state")],
            SignInError::NotBegunHere,
        ),
    ] {
        let got = bench
            .oidc
            .finish(&question(), &fields(&changes))
            .await
            .unwrap_err();
        assert_eq!(got, error, "{changes:?}");
    }
    let silent = announced.oidc.finish(&question(), &fields(&[])).await;
    assert_eq!(
        silent.unwrap_err(),
        SignInError::OtherIssuer,
        "announced and not said"
    );
    assert!(
        announced
            .oidc
            .finish(&question(), &fields(&[("iss", ISSUER)]))
            .await
            .is_ok()
    );
    assert!(
        bench
            .oidc
            .finish(&question(), &fields(&[("iss", ISSUER)]))
            .await
            .is_ok()
    );
    let no_code: Vec<_> = fields(&[])
        .into_iter()
        .filter(|(name, _)| name != "code")
        .collect();
    let nothing = bench.oidc.finish(&question(), &no_code).await;
    assert_eq!(nothing.unwrap_err(), SignInError::NotBegunHere);
    let mut blank = question();
    blank.state = String::new().into();
    let unbound = bench.oidc.finish(&blank, &fields(&[("state", "")])).await;
    assert_eq!(unbound.unwrap_err(), SignInError::NotBegunHere);
    assert_eq!(
        bench.net.count(TOKEN),
        1,
        "a code is sent only for an answer that is ours"
    );
}

#[tokio::test]
async fn an_id_token_that_is_not_exactly_right_signs_nobody_in() {
    let bench = Bench::new();
    let claim = |name| token(Reason::Claim(name));
    for (changes, error) in [
        (json!({"nonce": "another"}), claim("nonce")), // code injection
        (json!({"nonce": null}), claim("nonce")),
        (json!({"nonce": 1}), claim("nonce")),
        (json!({"iss": "https://other.example.com"}), token(Reason::Issuer)),
        (json!({"iss": format!("{ISSUER}/")}), token(Reason::Issuer)),
        (json!({"iss": null}), claim("iss")),
        (json!({"aud": "another-client"}), token(Reason::Audience)),
        (
            json!({"aud": [CLIENT, "another-client"]}),
            token(Reason::Audience),
        ),
        (json!({"aud": []}), token(Reason::Audience)),
        (json!({"aud": null}), claim("aud")),
        (json!({"azp": "another-client"}), token(Reason::Client)),
        (json!({"exp": NOW - 31}), token(Reason::Expired)),
        (json!({"exp": null}), claim("exp")),
        (json!({"exp": NOW + 90_000}), token(Reason::Lifetime)),
        (json!({"iat": NOW + 60}), token(Reason::NotYetValid)),
        (json!({"iat": null}), claim("iat")),
        (json!({"nbf": NOW + 60}), token(Reason::NotYetValid)),
        (json!({"auth_time": NOW + 60}), token(Reason::NotYetValid)),
        (json!({"auth_time": "now"}), claim("auth_time")),
        (json!({"sub": null}), claim("sub")),
        (json!({"sub": ""}), claim("sub")),
        (json!({"sub": "a".repeat(256)}), claim("sub")),
        (json!({"sub": CLIENT}), claim("sub")),
        (json!({"at_hash": b64([0; 32])}), claim("at_hash")), // token substitution
        (json!({"at_hash": null}), SignInError::NoWay),       // optional in this flow
        (json!({"at_hash": 7}), claim("at_hash")),
        (json!({"scope": "openid"}), token(Reason::NotAnIdToken)),
        (json!({"client_id": CLIENT}), token(Reason::NotAnIdToken)),
        (json!({"events": {}}), token(Reason::NotAnIdToken)),
        (json!({"cnf": {}}), token(Reason::NotAnIdToken)),
        (json!({"typ": "Bearer"}), token(Reason::NotAnIdToken)),
        (json!({"token_use": "access"}), token(Reason::NotAnIdToken)),
    ] {
        let got = bench.sign_in(changes.clone()).await;
        match error {
            SignInError::NoWay => assert!(got.is_ok(), "{changes}"),
            error => assert_eq!(got.unwrap_err(), error, "{changes}"),
        }
    }
    for typ in ["at+jwt", "logout+jwt", "dpop+jwt", "x"] {
        let got = bench
            .answer_with(&json!({"alg": "EdDSA", "kid": "k1", "typ": typ}), json!({}))
            .await;
        assert_eq!(got.unwrap_err(), token(Reason::NotAnIdToken), "{typ}");
    }
}

#[tokio::test]
async fn only_the_issuers_own_signature_counts() {
    let bench = Bench::new();
    for (header, error) in [
        (json!({"alg": "none"}), Reason::Algorithm),
        (json!({"alg": "HS256", "kid": "k1"}), Reason::Algorithm),
        (json!({"alg": "ES256", "kid": "k1"}), Reason::UnknownKey),
        (json!({"alg": "EdDSA", "kid": "another"}), Reason::UnknownKey),
        (
            json!({"alg": "EdDSA", "kid": "k1", "crit": ["b64"], "b64": false}),
            Reason::Critical,
        ),
    ] {
        let got = bench.answer_with(&header, json!({})).await;
        assert_eq!(got.unwrap_err(), token(error), "{header}");
    }
    let good = bench.id_token(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut bent = signature.to_owned().into_bytes();
    bent[0] = if bent[0] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    for (forged, error) in [
        (format!("{signed}."), Reason::Signature),
        (format!("{signed}.{bent}"), Reason::Signature),
        (signed.to_owned(), Reason::Opaque),
        ("opaque".to_owned(), Reason::Opaque),
        (String::new(), Reason::Opaque),
        ("e30.e30.".repeat(4096), Reason::Oversized),
    ] {
        let got = bench.answer(json!({"id_token": forged})).await;
        assert_eq!(got.unwrap_err(), token(error));
    }
    let claims = with(bench.claims(), json!({}));
    let twice = claims.to_string().replacen('{', "{\"sub\":\"root\",", 1);
    let twice = bench
        .key
        .sign_text(&json!({"alg": "EdDSA", "kid": "k1"}).to_string(), &twice);
    let got = bench.answer(json!({"id_token": twice})).await;
    assert_eq!(
        got.unwrap_err(),
        token(Reason::Malformed),
        "two readers could see two people"
    );
}

#[tokio::test]
async fn a_token_endpoint_that_says_something_else_signs_nobody_in() {
    let bench = Bench::new();
    let body = |text: &str| text.as_bytes().to_vec();
    let whole = bench.whole(json!({})).to_string();
    let refused = |word: &str| SignInError::Refused(word.to_owned());
    for (status, said, error) in [
        (
            400,
            body(r#"{"error":"invalid_grant","error_description":"hush"}"#),
            Some(refused("invalid_grant")),
        ),
        (
            401,
            body(r#"{"error":"invalid_client"}"#),
            Some(refused("invalid_client")),
        ),
        (400, body(r#"{"error":"<b>\u0000x"}"#), Some(refused("bx"))),
        (400, body("<html>hush</html>"), None),
        (500, body(r#"{"error":"hush"}"#), None),
        (302, body(""), None),
        (200, body(""), None),
        (200, body("[]"), None),
        (200, body("{}"), None),
        (200, body(r#"{"id_token":"hush"}"#), None),
        (
            200,
            whole.replacen('{', "{\"id_token\":\"hush\",", 1).into_bytes(),
            None,
        ),
        (200, format!("{whole} hush").into_bytes(), None),
        (
            200,
            bench.whole(json!({"id_token": null})).to_string().into_bytes(),
            None,
        ),
        (
            200,
            bench.whole(json!({"id_token": 7})).to_string().into_bytes(),
            None,
        ),
        (
            200,
            bench
                .whole(json!({"access_token": null}))
                .to_string()
                .into_bytes(),
            None,
        ),
        (
            200,
            bench.whole(json!({"refresh_token": {}})).to_string().into_bytes(),
            None,
        ),
    ] {
        bench.net.posts(TOKEN, status, said.clone());
        let got = bench.oidc.finish(&question(), &fields(&[])).await.unwrap_err();
        let shown = format!("{got} {got:?}");
        assert!(!shown.contains("hush") && !shown.contains(ACCESS), "{shown}");
        match error {
            Some(error) => assert_eq!(got, error),
            None => assert!(matches!(got, SignInError::Provider(_)), "{status} {shown}"),
        }
    }
    bench.net.cut(TOKEN);
    let away = bench.oidc.finish(&question(), &fields(&[])).await.unwrap_err();
    assert!(matches!(away, SignInError::Provider(_)));
}

#[tokio::test]
async fn a_stronger_or_fresher_sign_in_is_checked_not_hoped_for() {
    let bench = Bench::new();
    let asked = |classes: &[&str], max_age| {
        let mut question = question();
        question.acr_values = classes.iter().map(|class| (*class).to_owned()).collect();
        question.max_age = max_age;
        question
    };
    let strong = asked(&["phr", "mfa"], None);
    for (acr, met) in [(json!("mfa"), true), (json!("pwd"), false), (Value::Null, false)] {
        bench.serve(bench.whole(json!({"id_token": bench.id_token(json!({"acr": acr}))})));
        let got = bench.oidc.finish(&strong, &fields(&[])).await;
        match met {
            true => assert_eq!(got.unwrap().acr.as_deref(), Some("mfa")),
            false => assert_eq!(got.unwrap_err(), token(Reason::Weak), "{acr}"),
        }
    }
    let mut configured = Bench::new();
    configured.remake(|client| client.acr_values = vec!["mfa".to_owned()]);
    assert_eq!(
        configured.sign_in(json!({})).await.unwrap_err(),
        token(Reason::Weak)
    );
    assert!(configured.sign_in(json!({"acr": "mfa"})).await.is_ok());
    for (auth_time, error) in [
        (json!(NOW - 5), None),
        (json!(NOW - 3600), Some(SignInError::NotFresh)),
        (Value::Null, Some(token(Reason::Claim("auth_time")))),
    ] {
        bench.serve(bench.whole(json!({"id_token": bench.id_token(json!({"auth_time": auth_time}))})));
        let got = bench.oidc.finish(&asked(&[], Some(0)), &fields(&[])).await;
        assert_eq!(got.err(), error, "{auth_time}");
        assert!(
            bench.oidc.finish(&question(), &fields(&[])).await.is_ok(),
            "not asked for"
        );
    }
}

#[tokio::test]
async fn groups_come_from_the_id_token_or_userinfo_and_are_never_none_by_mistake() {
    let bench = Bench::new();
    let many: Vec<String> = (0..100).map(|n| format!("g{n}")).collect();
    for (changes, fault) in [
        (json!({"groups": many}), GroupsFault::CutOff(100)),
        (json!({"groups": "analysts"}), GroupsFault::NotAList),
        (
            json!({"groups": null, "_claim_names": {"groups": "src1"}}),
            GroupsFault::Overage,
        ),
        (json!({"groups": null, "hasgroups": true}), GroupsFault::Overage),
    ] {
        let got = bench.sign_in(changes.clone()).await;
        assert_eq!(got.unwrap_err(), groups(fault), "{changes}");
        assert_eq!(bench.net.count(USERINFO), 0, "nothing else is asked");
    }
    let silent = json!({"groups": null});
    assert_eq!(
        bench.sign_in(json!({"groups": []})).await.unwrap().claimed,
        set(&[])
    );
    for (said, outcome) in [
        (json!({"sub": "alice", "groups": ["dba"]}), Ok(set(&["dba"]))),
        (json!({"sub": "alice", "groups": []}), Ok(set(&[]))),
        (json!({"sub": "alice"}), Err(groups(GroupsFault::Missing))),
        (
            json!({"sub": "alice", "hasgroups": true}),
            Err(groups(GroupsFault::Overage)),
        ),
        (
            json!({"sub": "mallory", "groups": ["dba"]}),
            Err(token(Reason::Claim("sub"))),
        ),
        (json!({"groups": ["dba"]}), Err(token(Reason::Claim("sub")))),
    ] {
        bench.net.page(USERINFO, 200, said.to_string().into_bytes());
        let got = bench
            .sign_in(silent.clone())
            .await
            .map(|signed_in| signed_in.claimed);
        assert_eq!(got, outcome, "{said}");
        assert_eq!(bench.net.bearers(USERINFO), [format!("Bearer {ACCESS}")]);
    }
    for (status, said) in [
        (401, b"{}".to_vec()),
        (500, b"{}".to_vec()),
        (200, b"eyJhbGciOiJub25lIn0.e30.".to_vec()),
        (200, br#"{"sub":"mallory","sub":"alice","groups":[]}"#.to_vec()),
    ] {
        bench.net.page(USERINFO, status, said);
        let got = bench.sign_in(silent.clone()).await.unwrap_err();
        assert!(matches!(got, SignInError::Provider(_)), "{got}");
    }
    // No way to ask there.
    for metadata in [json!({"userinfo_endpoint": null}), json!({})] {
        let mut bench = Bench::new();
        let is_dpop = metadata == json!({});
        bench.metadata(metadata);
        let id_token = bench.id_token(silent.clone());
        let kind = if is_dpop { "DPoP" } else { "bearer" };
        let got = bench
            .answer(json!({"id_token": id_token, "token_type": kind}))
            .await;
        assert_eq!(got.unwrap_err(), groups(GroupsFault::Missing));
        assert_eq!(bench.net.count(USERINFO), 0);
    }
    let mut without = Bench::new();
    without.issuer(|issuer| issuer.groups_claim = None);
    assert_eq!(without.sign_in(silent).await.unwrap().claimed, set(&[]));
}

#[tokio::test]
async fn metadata_is_of_this_very_issuer_and_looked_up_with_restraint() {
    for (changes, said) in [
        (
            json!({"issuer": "https://other.example.com"}),
            "names another issuer",
        ),
        (json!({"issuer": format!("{ISSUER}/")}), "names another issuer"),
        (json!({"authorization_endpoint": null}), "authorization_endpoint"),
        (
            json!({"authorization_endpoint": "http://login.example.com/auth"}),
            "authorization_endpoint",
        ),
        (
            json!({"authorization_endpoint": "javascript:alert(1)"}),
            "authorization_endpoint",
        ),
        (
            json!({"token_endpoint": "http://login.example.com/token"}),
            "token_endpoint",
        ),
        (json!({"token_endpoint": ["x"]}), "token_endpoint"),
        (
            json!({"userinfo_endpoint": "http://login.example.com/me"}),
            "userinfo_endpoint",
        ),
        (
            json!({"revocation_endpoint": "ftp://login.example.com"}),
            "revocation_endpoint",
        ),
        (json!({"code_challenge_methods_supported": ["plain"]}), "S256"),
    ] {
        let mut bench = Bench::new();
        bench.metadata(changes);
        let got = bench.oidc.begin(&question()).await.unwrap_err().to_string();
        assert!(got.contains(said), "{got}");
    }
    let bench = Bench::new();
    bench.net.cut(DISCOVERY);
    assert!(bench.oidc.probe().await.is_err());
    assert!(bench.oidc.begin(&question()).await.is_err());
    assert_eq!(bench.net.count(DISCOVERY), 1, "not again within ten seconds");
    let bench_metadata = bench.document(json!({}));
    bench
        .net
        .page(DISCOVERY, 200, bench_metadata.to_string().into_bytes());
    bench.clock.advance(10);
    assert!(bench.oidc.begin(&question()).await.is_ok());
    bench.clock.advance(599);
    assert!(bench.oidc.probe().await.is_ok());
    assert_eq!(bench.net.count(DISCOVERY), 1);
    bench.clock.advance(1);
    assert!(bench.oidc.probe().await.is_ok());
    assert_eq!(bench.net.count(DISCOVERY), 2);
}

/// Everything logged while it lives, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_in_a_log_an_error_or_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new();
    let mut seen = String::new();
    let good = bench.sign_in(json!({})).await.unwrap();
    let id_token = bench.id_token(json!({}));
    seen.push_str(&format!("{good:?} {:?}", bench.oidc));
    let echo = |status| json!({"error": "invalid_grant", "error_description": format!("{status} {SECRET} the-code")});
    for status in [200, 400, 401, 500] {
        bench
            .net
            .posts(TOKEN, status, echo(status).to_string().into_bytes());
        bench.net.page(USERINFO, status, ACCESS.as_bytes().to_vec());
        seen.push_str(&format!(
            "{:?}",
            bench.oidc.finish(&question(), &fields(&[])).await
        ));
        seen.push_str(&format!("{:?}", bench.oidc.again("alice", &good.upstream).await));
        bench.oidc.forget(&good.upstream).await;
        seen.push_str(&format!("{:?}", bench.sign_in(json!({"groups": null})).await));
        seen.push_str(&format!("{:?}", bench.sign_in(json!({"nonce": "x"})).await));
        seen.push_str(&format!("{:?}", bench.oidc.logged_out(&id_token).await));
    }
    drop(guard);
    seen.push_str(&String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(seen.contains("cannot be redeemed"), "the log is on: {seen}");
    let (_, signature) = id_token.rsplit_once('.').unwrap();
    let secrets = [
        ACCESS,
        SECRET,
        "upstream-refresh",
        "the-code",
        "the-state",
        "the-nonce",
        VERIFIER,
        signature,
    ];
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}
