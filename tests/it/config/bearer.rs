//! What an issuer writes differently, and the keys that may loosen a check only as a whole.

use super::{LEAST, parse, refusal_of};

const ISSUER: &str = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nmode = \"bearer\"\n";

#[test]
fn opaque_tokens_need_a_client_and_one_issuer() {
    let opaque = "opaque = true\nclient_id = \"tollgate\"\nclient_secret = \"env:SECRET\"\n";
    let config = parse(&format!("{LEAST}{ISSUER}{opaque}")).unwrap();
    assert_eq!(config.issuers[0].introspection_endpoint, None);
    let public = refusal_of(&format!("{ISSUER}opaque = true\nclient_id = \"tollgate\"\n"));
    assert!(public.contains("opaque needs client_secret"), "{public}");
    let other = ISSUER.replace("corp", "other").replace("login.", "login2.");
    let two = refusal_of(&format!("{ISSUER}{opaque}{other}{opaque}"));
    assert!(two.contains("does not say whose it is"), "{two}");
    for endpoint in [
        "http://login.example.com/i",
        "https://u@login.example.com/i",
        "login.example.com",
        "",
    ] {
        let text = format!("{ISSUER}{opaque}introspection_endpoint = \"{endpoint}\"\n");
        assert!(
            refusal_of(&text).contains("introspection_endpoint is not an https URL"),
            "{endpoint}"
        );
    }
    let unused = refusal_of(&format!(
        "{ISSUER}introspection_endpoint = \"https://login.example.com/i\"\n"
    ));
    assert!(unused.contains("introspection_endpoint is of no use"), "{unused}");
}

#[test]
fn a_missing_audience_is_accepted_only_of_named_clients() {
    let alone = refusal_of(&format!("{ISSUER}accept_missing_aud = true\n"));
    assert!(alone.contains("without client_ids"), "{alone}");
    let empty = refusal_of(&format!("{ISSUER}accept_missing_aud = true\nclient_ids = []\n"));
    assert!(empty.contains("client_ids is empty"), "{empty}");
    let named = format!("{LEAST}{ISSUER}accept_missing_aud = true\nclient_ids = [\"agent\"]\n");
    assert!(parse(&named).unwrap().issuers[0].accept_missing_aud);
    let issuers = parse(&format!("{LEAST}{ISSUER}accept_missing_aud = false\n"))
        .unwrap()
        .issuers;
    assert!(!issuers[0].accept_missing_aud);
}

#[test]
fn a_person_goes_by_sub_unless_the_file_says_otherwise() {
    let subject = |line: &str| {
        let config = parse(&format!("{LEAST}{ISSUER}{line}"));
        config.map(|config| config.issuers[0].subject_claim.clone())
    };
    assert_eq!(subject("").unwrap(), "sub");
    assert_eq!(subject("subject_claim = \"oid\"\n").unwrap(), "oid");
    assert!(subject("subject_claim = \"\"\n").is_err());
}

#[test]
fn an_issuer_may_vouch_for_services_alone_and_for_ours_alone() {
    let claims = "kind = \"service\"\nrequired_claims = { repository_owner_id = \"4711\", event_name = [\"push\", \"schedule\"] }\n";
    let issuer = &parse(&format!("{LEAST}{ISSUER}{claims}")).unwrap().issuers[0];
    assert!(issuer.services);
    let written: Vec<(&str, Vec<&str>)> = issuer
        .required_claims
        .iter()
        .map(|(claim, values)| (claim.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        written,
        [
            ("event_name", vec!["push", "schedule"]),
            ("repository_owner_id", vec!["4711"])
        ]
    );
    let plain = &parse(&format!("{LEAST}{ISSUER}kind = \"person\"\n"))
        .unwrap()
        .issuers[0];
    assert!(!plain.services && plain.required_claims.is_empty());

    let facade = ISSUER.replace("bearer", "facade") + "client_id = \"tollgate\"\n";
    for (text, expected) in [
        (
            format!("{ISSUER}required_claims = {{}}\n"),
            "required_claims is empty",
        ),
        (
            format!("{ISSUER}required_claims = {{ a = \"\" }}\n"),
            "without a value",
        ),
        (
            format!("{ISSUER}required_claims = {{ a = [] }}\n"),
            "without a value",
        ),
        (
            format!("{ISSUER}required_claims = {{ a = [\"b\", \"\"] }}\n"),
            "without a value",
        ),
        (
            format!("{ISSUER}required_claims = {{ \"\" = \"b\" }}\n"),
            "without a name",
        ),
        (
            format!("{ISSUER}required_claims = {{ a = true }}\n"),
            "a text, or a list of texts",
        ),
        (
            format!("{ISSUER}required_claims = {{ iss = \"x\" }}\n"),
            "`iss` is checked of every token already",
        ),
        (
            format!("{facade}required_claims = {{ a = \"b\" }}\n"),
            "required_claims is of no use in mode facade",
        ),
        (
            format!("{facade}kind = \"service\"\n"),
            "kind is of no use in mode facade",
        ),
        (format!("{ISSUER}kind = \"servise\"\n"), "did you mean `service`?"),
        (
            format!("{ISSUER}kind = \"service\"\ncontrol_audience = \"people\"\n"),
            "whoever this issuer vouches for is a service",
        ),
    ] {
        let said = refusal_of(&text);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn an_issuer_that_signs_for_everybody_is_refused_until_it_is_said_whose() {
    for (url, claim) in [
        (
            "https://token.actions.githubusercontent.com",
            "repository_owner_id",
        ),
        (
            "https://token.actions.githubusercontent.com/acme",
            "repository_owner_id",
        ),
        ("https://gitlab.com", "namespace_id"),
    ] {
        let issuer = ISSUER.replace("https://login.example.com", url);
        let said = refusal_of(&issuer);
        assert!(
            said.contains("everybody can get a token of this issuer"),
            "{said}"
        );
        assert!(
            said.contains(&format!("required_claims = {{ {claim} = ")),
            "{said}"
        );
        parse(&format!(
            "{LEAST}{issuer}required_claims = {{ {claim} = \"1\" }}\n"
        ))
        .unwrap();
    }
}
