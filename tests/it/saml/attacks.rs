//! What is refused: one test for each way that SAML implementations were broken.

use regex::Regex;
use tollgate::identity::Reason;
use tollgate::identity::provider::SignInError;

use super::idp::{Answer, Client, GATE, Idp, question};
use super::words;

const SIGNATURE: SignInError = SignInError::Token(Reason::Signature);

async fn corp(who: &str) -> (Idp, Client, Answer) {
    let idp = Idp::start();
    let client = idp.client("corp").await;
    let answer = client.asked(&idp, who).await;
    (idp, client, answer)
}

/// The element of this name, with everything in it; none of the same name is in it.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let whole = Regex::new(&format!("(?s)<{name}[ >].*?</{name}>")).unwrap();
    whole.find(xml).unwrap_or_else(|| panic!("no {name}")).as_str()
}

/// The id in the first tag of an element.
fn id(element: &str) -> &str {
    let (_, rest) = element.split_once(" ID=\"").unwrap();
    rest.split('"').next().unwrap()
}

/// An assertion like this one, about somebody else, and not signed.
fn forged(assertion: &str, id: &str) -> String {
    let plain = assertion.replace(element(assertion, "ds:Signature"), "");
    let named = Regex::new(r#" ID="[^"]*""#).unwrap();
    let named = named.replace(&plain, format!(" ID=\"{id}\"")).into_owned();
    named.replace("u-alice", "u-bob").replace("analysts", "admins")
}

#[tokio::test]
async fn tampering_is_found() {
    let (_idp, client, answer) = corp("alice").await;
    for (from, to) in [
        ("u-alice", "u-bob"),
        ("analysts", "admins"),
        ("ac:classes:Password<", "ac:classes:Smartcard<"),
    ] {
        let changed = answer.xml.replace(from, to);
        assert_eq!(client.post_changed(&answer, &changed).await, SIGNATURE, "{from}");
    }
    let value = element(&answer.xml, "ds:SignatureValue");
    let changed = answer
        .xml
        .replace(value, "<ds:SignatureValue>AAAA</ds:SignatureValue>");
    assert_eq!(client.post_changed(&answer, &changed).await, SIGNATURE);
    let stripped = answer.xml.replace(element(&answer.xml, "ds:Signature"), "");
    let refused = client.post_changed(&answer, &stripped).await;
    assert!(words(&refused).contains("not signed itself"), "{refused}");
    // The same answer as it was is still good: none of these was held against it.
    client.post(&answer).await.unwrap();
}

/// XSW 1 to 8 (Somorovsky and others, On Breaking SAML, 2012).
#[tokio::test]
async fn wrapping_is_found() {
    let idp = Idp::start();
    for name in ["corp", "both"] {
        let client = idp.client(name).await;
        let answer = client.asked(&idp, "alice").await;
        for (attack, changed) in wrapped(&answer.xml) {
            let refused = client.post_changed(&answer, &changed).await;
            let whole = matches!(
                &refused,
                SignInError::Token(Reason::Signature | Reason::Malformed)
            );
            let odd = matches!(&refused, SignInError::Provider(what) if what.contains("not understood"));
            assert!(whole || odd, "{name} {attack}: {refused:?}");
        }
        client.post(&answer).await.unwrap();
    }
}

fn wrapped(xml: &str) -> Vec<(&'static str, String)> {
    let original = element(xml, "saml:Assertion");
    let signature = element(original, "ds:Signature");
    let evil = forged(original, "_evil");
    let same = forged(original, id(original));
    let response = element(xml, "samlp:Response");
    let open = Regex::new("^<[^>]*>").unwrap().find(response).unwrap().as_str();
    let renamed = Regex::new(r#" ID="[^"]*""#)
        .unwrap()
        .replace(open, " ID=\"_outer\"")
        .into_owned();
    let inside = |assertion: &str, what: &str| {
        assertion.replace("</saml:Assertion>", &format!("{what}</saml:Assertion>"))
    };
    let object = |what: &str| format!("<ds:Object>{what}</ds:Object></ds:Signature>");
    let bare = original.replace(signature, "");
    let moved = |what: &str| signature.replace("</ds:Signature>", what);
    vec![
        ("1: response in its own signature", {
            let wrapped = signature.replace("</ds:Signature>", &object(response));
            xml.replace(open, &renamed)
                .replace(original, &format!("{wrapped}{evil}"))
        }),
        ("2: response beside its signature", {
            xml.replace(open, &format!("{renamed}{signature}{response}"))
                .replacen(original, &evil, 1)
        }),
        (
            "3: evil first",
            xml.replace(original, &format!("{evil}{original}")),
        ),
        (
            "3b: evil last",
            xml.replace(original, &format!("{original}{evil}")),
        ),
        (
            "4: original in evil",
            xml.replace(original, &inside(&evil, original)),
        ),
        ("5: original last, its signature in evil", {
            let signed = evil.replacen("<saml:Subject>", &format!("{signature}<saml:Subject>"), 1);
            xml.replace(original, &format!("{signed}{bare}"))
        }),
        ("6: original in the signature of evil", {
            let signed = moved(&object(&bare));
            let signed = evil.replacen("<saml:Subject>", &format!("{signed}<saml:Subject>"), 1);
            xml.replace(original, &signed)
        }),
        ("7: evil in extensions", {
            let hidden = format!("<samlp:Extensions>{evil}</samlp:Extensions>{original}");
            xml.replace(original, &hidden)
        }),
        ("7b: original in extensions", {
            let hidden = format!("<samlp:Extensions>{original}</samlp:Extensions>{evil}");
            xml.replace(original, &hidden)
        }),
        ("8: original in an object of evil's signature", {
            let signed = moved(&object(original));
            let signed = evil.replacen("<saml:Subject>", &format!("{signed}<saml:Subject>"), 1);
            xml.replace(original, &signed)
        }),
        (
            "the same id twice",
            xml.replace(original, &format!("{same}{original}")),
        ),
        (
            "the same id twice, after",
            xml.replace(original, &format!("{original}{same}")),
        ),
        ("in the confirmation", {
            let hidden = Regex::new("(<saml:SubjectConfirmationData[^>]*)/>").unwrap();
            let put = format!(
                "$1>{}</saml:SubjectConfirmationData>",
                original.replace('$', "$$")
            );
            let evil = hidden.replace(&evil, put.as_str()).into_owned();
            xml.replace(original, &evil)
        }),
        ("an assertion of another namespace", {
            let foreign = evil.replace("<saml:Assertion ", "<x:Assertion xmlns:x=\"urn:x\" ");
            let foreign = foreign.replace("</saml:Assertion>", "</x:Assertion>");
            xml.replace(original, &format!("{foreign}{original}"))
        }),
    ]
}

#[tokio::test]
async fn what_two_readers_read_differently_is_refused() {
    let (_idp, client, answer) = corp("alice").await;
    let doctype = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    for (changed, part) in [
        (answer.xml.replace("u-alice", "u-<!-- -->alice"), "has a comment"),
        (answer.xml.replace("u-alice", "u-alice<!---->"), "has a comment"),
        (
            answer.xml.replace("u-alice", "u-<?x?>alice"),
            "has a processing instruction",
        ),
        (
            answer.xml.replace("u-alice", "<![CDATA[u-alice]]>"),
            "has a CDATA section",
        ),
        (format!("{doctype}{}", answer.xml), "has a document type"),
        (answer.xml.replace("u-alice", "&b;"), "refers to an entity"),
    ] {
        let refused = client.post_changed(&answer, &changed).await;
        assert!(words(&refused).contains(part), "{refused}");
    }
    let entities = answer
        .xml
        .replacen("<samlp:Response", &format!("{doctype}<samlp:Response"), 1);
    let refused = client.post_changed(&answer, &entities).await;
    assert!(words(&refused).contains("has a document type"), "{refused}");
}

#[tokio::test]
async fn an_assertion_works_once_and_for_the_request_it_answers() {
    let (idp, client, answer) = corp("alice").await;
    // Another browser's sign-in: another request, and its RelayState.
    let mut other = answer.clone();
    other.question = question(None);
    assert_eq!(client.post(&other).await.unwrap_err(), SignInError::NotBegunHere);
    // The request that was asked, with the other RelayState.
    let mut mixed = answer.clone();
    mixed.question.state = question(None).state;
    let fields = [
        ("SAMLResponse".to_owned(), "eA==".to_owned()),
        ("RelayState".to_owned(), answer.question.state.to_string()),
    ];
    let refused = client
        .provider
        .finish(&mixed.question, &fields)
        .await
        .unwrap_err();
    assert_eq!(refused, SignInError::NotBegunHere);

    client.post(&answer).await.unwrap();
    assert_eq!(client.post(&answer).await.unwrap_err(), SignInError::NotBegunHere);
    // An answer nobody asked for.
    let begin = format!(
        "{}/saml2/idp/SSOService.php?spentityid={GATE}/oauth/saml/corp",
        idp.address
    );
    let (_, fields) = idp.sign_in(&begin, "alice").await;
    let response = fields.iter().find(|(name, _)| name == "SAMLResponse").unwrap();
    let question = question(None);
    let fields = [
        response.clone(),
        ("RelayState".to_owned(), question.state.to_string()),
    ];
    let refused = client.provider.finish(&question, &fields).await.unwrap_err();
    assert_eq!(refused, SignInError::NotBegunHere);
}

#[tokio::test]
async fn an_assertion_has_its_time() {
    let (idp, client, answer) = corp("alice").await;
    client.clock.advance(-600);
    assert_eq!(
        client.post(&answer).await.unwrap_err(),
        SignInError::Token(Reason::NotYetValid)
    );
    client.clock.advance(600 + 361);
    assert_eq!(
        client.post(&answer).await.unwrap_err(),
        SignInError::Token(Reason::Expired)
    );
    client.clock.advance(-61);
    client.post(&answer).await.unwrap();

    let long = idp.client("long").await;
    let answer = long.asked(&idp, "alice").await;
    assert_eq!(
        long.post(&answer).await.unwrap_err(),
        SignInError::Token(Reason::Lifetime)
    );
}

#[tokio::test]
async fn an_assertion_for_somebody_else_is_refused() {
    let idp = Idp::start();
    let corp = idp.client("corp").await;
    for name in ["audience", "place"] {
        let client = idp.client(name).await;
        let answer = client.asked(&idp, "alice").await;
        corp.clock.set(&answer);
        let refused = corp.post(&answer).await.unwrap_err();
        assert_eq!(refused, SignInError::Token(Reason::Audience), "{name}");
    }
}

#[tokio::test]
async fn only_the_configured_key_signs() {
    let idp = Idp::start();
    // The same provider by name, another key; its certificate is in the message.
    let client = idp.client("other").await;
    let answer = client.asked(&idp, "alice").await;
    assert!(answer.xml.contains("<ds:X509Certificate>"));
    assert_eq!(client.post(&answer).await.unwrap_err(), SIGNATURE);
    // The same without the certificate, and with the right one beside the wrong signature.
    let key = super::idp::made("idp.crt");
    let key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let shown = element(&answer.xml, "ds:X509Certificate");
    let swapped = answer
        .xml
        .replace(shown, &format!("<ds:X509Certificate>{key}</ds:X509Certificate>"));
    assert_eq!(client.post_changed(&answer, &swapped).await, SIGNATURE);
    let bare = answer.xml.replace(element(&answer.xml, "ds:KeyInfo"), "");
    assert_eq!(client.post_changed(&answer, &bare).await, SIGNATURE);

    // A right signature needs no certificate in the message.
    let client = idp.client("corp").await;
    let answer = client.asked(&idp, "alice").await;
    let bare = answer.xml.replace(element(&answer.xml, "ds:KeyInfo"), "");
    client.post_text(&answer.question, &bare).await.unwrap();
}

#[tokio::test]
async fn another_provider_is_another_provider() {
    let (_idp, client, answer) = corp("alice").await;
    let issuer = "https://idp.example.test/saml";
    let changed = answer.xml.replace(issuer, "https://evil.example.test/saml");
    assert_eq!(
        client.post_changed(&answer, &changed).await,
        SignInError::OtherIssuer
    );
    let changed = answer
        .xml
        .replace(&element(&answer.xml, "saml:Issuer").to_owned(), "");
    assert!(matches!(
        client.post_changed(&answer, &changed).await,
        SignInError::OtherIssuer | SignInError::Token(_)
    ));
}

#[tokio::test]
async fn nothing_large_is_read() {
    let (_idp, client, answer) = corp("alice").await;
    let oversized = SignInError::Token(Reason::Oversized);
    let large = answer.xml.replace("u-alice", &"a".repeat(200 * 1024));
    assert_eq!(client.post_changed(&answer, &large).await, oversized);
    let deep = format!("{}{}", "<a>".repeat(3_000), "</a>".repeat(3_000));
    let deep = answer.xml.replace("u-alice", &deep);
    let refused = client.post_changed(&answer, &deep).await;
    assert!(words(&refused).contains("too deep"), "{refused}");
}

#[tokio::test]
async fn fields_are_unambiguous() {
    let (_idp, client, answer) = corp("alice").await;
    let relayed = ("RelayState".to_owned(), answer.question.state.to_string());
    let response = ("SAMLResponse".to_owned(), "PGEvPg==".to_owned());
    let malformed = SignInError::Token(Reason::Malformed);
    for (fields, refused) in [
        (vec![], SignInError::NotBegunHere),
        (vec![response.clone()], SignInError::NotBegunHere),
        (vec![relayed.clone()], SignInError::Token(Reason::Missing)),
        (
            vec![relayed.clone(), relayed.clone(), response.clone()],
            malformed.clone(),
        ),
        (
            vec![relayed.clone(), response.clone(), response.clone()],
            malformed,
        ),
    ] {
        let found = client.provider.finish(&answer.question, &fields).await;
        assert_eq!(found.unwrap_err(), refused);
    }
    for nonsense in ["", "!", "AAA", "gICA", "PA=="] {
        let fields = [relayed.clone(), ("SAMLResponse".to_owned(), nonsense.to_owned())];
        assert!(client.provider.finish(&answer.question, &fields).await.is_err());
    }
}
