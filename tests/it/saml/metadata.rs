//! The operator's file: what a provider may be, and what is refused at the start instead of at a sign-in.

use std::io::Read as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use tollgate::identity::provider::{Question, SignInError};
use tollgate::identity::saml;
use url::Url;

use super::idp::{Client, GATE, made, question, spec};
use super::words;

fn certificate(name: &str) -> String {
    made(name).lines().filter(|line| !line.starts_with('-')).collect()
}

fn key(usage: &str, certificate: &str) -> String {
    format!(
        "<md:KeyDescriptor{usage}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}\
         </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )
}

/// As providers write it.
fn metadata(root: &str, role: &str, keys: &str, place: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\r\n<!-- from the provider -->\r\n\
         <md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"https://idp.example.test/?a=1&amp;b=2\"{root}>\
         <md:IDPSSODescriptor{role} protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         Location=\"https://idp.example.test/post\"/>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{place}\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

const PLACE: &str = "https://idp.example.test/sso?idpid=C0&amp;x=y";

fn good() -> String {
    let keys = [
        key("", &certificate("idp.crt")),
        key(" use=\"signing\"", &certificate("other.crt")),
        key(" use=\"encryption\"", &certificate("short.crt")),
    ];
    metadata("", "", &keys.concat(), PLACE)
}

fn refused(metadata: &str) -> String {
    let clock = Client::new(spec("corp", good())).clock;
    let made = saml::provider(spec("corp", metadata.to_owned()), clock);
    made.expect_err("a provider was made of it").to_string()
}

#[test]
fn a_file_that_cannot_be_trusted_is_refused_in_words() {
    let signing = key("", &certificate("idp.crt"));
    let with = |keys: &str| metadata("", "", keys, PLACE);
    let chain = signing.replace(
        "</ds:X509Data>",
        &format!(
            "<ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>",
            certificate("other.crt")
        ),
    );
    let federation = format!(
        "<x:EntitiesDescriptor xmlns:x=\"urn:oasis:names:tc:SAML:2.0:metadata\">{}</x:EntitiesDescriptor>",
        good().split_once("-->").unwrap().1
    );
    for (text, part) in [
        (String::new(), "is not well-formed XML"),
        ("<a/>".to_owned(), "is no SAML 2.0 metadata"),
        (
            format!("<!DOCTYPE a>{}", good().split_once("-->").unwrap().1),
            "has a document type",
        ),
        (federation, "describes a federation"),
        (with(""), "has no signing certificate"),
        (
            with(&key(" use=\"encryption\"", &certificate("idp.crt"))),
            "has no signing certificate",
        ),
        (with(&key("", &certificate("short.crt"))), "fewer than 2048"),
        (with(&key("", "AAAA")), "has a certificate that is none"),
        (with(&chain), "is not exactly one certificate"),
        (
            metadata("", " WantAuthnRequestsSigned=\"true\"", &signing, PLACE),
            "wants signed requests",
        ),
        (
            metadata("", "", &signing, "http://idp.example.test/sso"),
            "must be https",
        ),
        (metadata("", "", &signing, "javascript:alert(1)"), "must be https"),
        (
            metadata(" validUntil=\"tomorrow\"", "", &signing, PLACE),
            "validUntil",
        ),
        (
            good().replace("HTTP-Redirect", "HTTP-Artifact"),
            "names no SingleSignOnService",
        ),
        (
            good().replace("SAML:2.0:protocol", "SAML:1.1:protocol"),
            "does not speak SAML 2.0",
        ),
        ("x".repeat(saml::METADATA_BYTES + 1), "larger than 1 MiB"),
    ] {
        let said = refused(&text);
        assert!(
            said.starts_with("issuer `corp`: ") && said.contains(part),
            "{said}"
        );
    }
    let mut seven = String::new();
    for _ in 0..7 {
        seven.push_str(&signing);
    }
    // The same key again is one key.
    saml::provider(
        spec("corp", with(&seven)),
        Client::new(spec("corp", good())).clock,
    )
    .unwrap();
}

#[tokio::test]
async fn metadata_ends_when_it_says_so() {
    let signing = key("", &certificate("idp.crt"));
    let ended = metadata(" validUntil=\"2020-01-01T00:00:00Z\"", "", &signing, PLACE);
    let client = Client::new(spec("corp", ended));
    let refused = client.provider.begin(&question(None)).await.unwrap_err();
    assert!(words(&refused).contains("has expired"), "{refused}");
    let lasting = metadata(" validUntil=\"2999-01-01T00:00:00Z\"", "", &signing, PLACE);
    Client::new(spec("corp", lasting))
        .provider
        .begin(&question(None))
        .await
        .unwrap();
}

/// The request as the provider reads it, and its RelayState.
async fn request(question: &Question) -> (Url, String, String) {
    let client = Client::new(spec("corp", good()));
    let address = client.provider.begin(question).await.unwrap();
    let value = |name: &str| {
        let found = address.query_pairs().find(|(key, _)| key == name);
        found.unwrap().1.into_owned()
    };
    let deflated = STANDARD.decode(value("SAMLRequest")).unwrap();
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(&*deflated)
        .read_to_string(&mut text)
        .unwrap();
    let relayed = value("RelayState");
    (address, text, relayed)
}

#[tokio::test]
async fn the_request_says_what_is_asked_and_no_more() {
    let mut asked = question(None);
    let (address, text, relayed) = request(&asked).await;
    assert!(
        address
            .as_str()
            .starts_with("https://idp.example.test/sso?idpid=C0&x=y&SAMLRequest=")
    );
    assert_eq!(relayed, *asked.state);
    let ours = format!("{GATE}/oauth/saml/corp");
    for part in [
        format!(" ID=\"_{}\"", *asked.nonce),
        " Version=\"2.0\"".to_owned(),
        " Destination=\"https://idp.example.test/sso?idpid=C0&amp;x=y\"".to_owned(),
        format!(" AssertionConsumerServiceURL=\"{ours}\""),
        format!("<saml:Issuer>{ours}</saml:Issuer>"),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    assert!(!text.contains("ForceAuthn") && !text.contains("RequestedAuthnContext"));
    let verifier = asked.verifier.to_string();
    assert!(!text.contains(&verifier) && !address.as_str().contains(&verifier));

    for max_age in [0, 300] {
        asked.max_age = Some(max_age);
        assert!(request(&asked).await.1.contains(" ForceAuthn=\"true\""));
    }
    asked.acr_values = vec!["urn:a".to_owned(), "<evil attr=\"&\">".to_owned()];
    let (_, text, _) = request(&asked).await;
    let classes = Regex::new("<saml:AuthnContextClassRef>([^<]*)</saml:AuthnContextClassRef>").unwrap();
    let found: Vec<_> = classes
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(found, ["urn:a", "&lt;evil attr=&quot;&amp;&quot;&gt;"]);

    for nonce in [
        "",
        "short",
        "with space and more of it",
        "\"><x>aaaaaaaaaaaaaaaaaaaa",
    ] {
        let mut odd = question(None);
        *odd.nonce = nonce.to_owned();
        let client = Client::new(spec("corp", good()));
        let refused = client.provider.begin(&odd).await.unwrap_err();
        assert_eq!(refused, SignInError::NotBegunHere);
    }
}
