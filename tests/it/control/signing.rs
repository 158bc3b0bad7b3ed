//! Which tokens are a person's: the exact client, the exact kind, an `auth_time`, groups that can be read.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::clock::{System, World};
use tollgate::identity::people::People;
use tollgate::identity::{Bearer, GroupMap, HttpFetch, Identity, IdentitySpec, IssuerSpec, Reason};

use crate::support::issuer::Issuer;

const CLIENT: &str = "tollgate-control";

struct Desk {
    issuer: Issuer,
    people: Arc<People>,
    now: u64,
}

impl Desk {
    async fn new() -> Self {
        Self::asking(&[]).await
    }

    /// One whose people must meet one of these authentication context classes.
    async fn asking(classes: &[&str]) -> Self {
        let issuer = Issuer::start().await;
        let mut spec = IssuerSpec::new("corp", issuer.url.clone(), "http://127.0.0.1:1/mcp");
        spec.control_audience = Some(CLIENT.to_owned());
        spec.control_acr = classes.iter().map(|class| (*class).to_owned()).collect();
        let spec = IdentitySpec {
            issuers: vec![spec],
            groups: GroupMap::parse([("dba", vec!["corp:dba"])]).unwrap(),
            resource: "http://127.0.0.1:1/mcp".to_owned(),
            scopes: Vec::new(),
            facade: None,
            own: Vec::new(),
        };
        let world = Arc::new(System::new());
        let now = world.now().seconds();
        let identity = Identity::new(spec, Arc::new(HttpFetch::new()), world).unwrap();
        Self {
            issuer,
            people: identity.people(),
            now,
        }
    }

    fn good(&self) -> Value {
        json!({
            "iss": self.issuer.url, "aud": CLIENT, "sub": "second", "groups": ["dba"],
            "iat": self.now, "exp": self.now + 300, "auth_time": self.now,
        })
    }

    async fn admit(
        &self,
        typ: Option<&str>,
        claims: &Value,
    ) -> Result<tollgate::identity::people::Person, Reason> {
        let token = self.issuer.sign_as(typ, claims);
        self.people.admit(Bearer(Some(&token))).await
    }
}

#[tokio::test]
async fn an_id_token_of_the_client_is_a_person_with_groups() {
    let desk = Desk::new().await;
    for typ in [Some("JWT"), None] {
        let person = desk.admit(typ, &desk.good()).await.unwrap();
        assert_eq!(person.user.id(), "corp#second");
        assert!(person.user.groups.contains("dba"));
        assert_eq!(person.signed_in_at.seconds(), desk.now);
    }
    let mut listed = desk.good();
    listed["aud"] = json!([CLIENT]);
    listed["azp"] = json!(CLIENT);
    listed["nonce"] = json!("n");
    assert!(desk.admit(Some("JWT"), &listed).await.is_ok());
}

#[tokio::test]
async fn whatever_else_the_issuer_signs_is_not() {
    let desk = Desk::new().await;
    let now = desk.now;
    let with = |change: Value| {
        let mut claims = desk.good();
        for (name, value) in change.as_object().unwrap() {
            if value == "absent" {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    };
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "AT+JWT"] {
        let refused = desk.admit(Some(typ), &desk.good()).await;
        assert_eq!(refused, Err(Reason::NotAnIdToken), "{typ}");
    }
    for (change, reason) in [
        (json!({"aud": "http://127.0.0.1:1/mcp"}), Reason::Audience),
        (
            json!({"aud": [CLIENT, "http://127.0.0.1:1/mcp"]}),
            Reason::Audience,
        ),
        (json!({"aud": "tollgate-control2"}), Reason::Audience),
        (json!({"aud": []}), Reason::Audience),
        (json!({"azp": "some-agent"}), Reason::Client),
        (json!({"sub": CLIENT}), Reason::Claim("sub")),
        (json!({"sub": "absent"}), Reason::Claim("sub")),
        (json!({"auth_time": "absent"}), Reason::Claim("auth_time")),
        (json!({"auth_time": "1"}), Reason::Claim("auth_time")),
        (json!({"auth_time": now + 3600}), Reason::NotYetValid),
        (json!({"iat": "absent"}), Reason::Claim("iat")),
        (json!({"exp": now - 100}), Reason::Expired),
        (json!({"exp": now + 100_000}), Reason::Lifetime),
        (json!({"scope": "openid"}), Reason::NotAnIdToken),
        (json!({"client_id": "some-agent"}), Reason::NotAnIdToken),
        (json!({"events": {}}), Reason::NotAnIdToken),
        (json!({"typ": "Bearer"}), Reason::NotAnIdToken),
        (json!({"token_use": "access"}), Reason::NotAnIdToken),
        (json!({"cnf": {}}), Reason::NotAnIdToken),
        (json!({"iss": "https://elsewhere.example"}), Reason::Issuer),
    ] {
        assert_eq!(
            desk.admit(Some("JWT"), &with(change.clone())).await,
            Err(reason),
            "{change}"
        );
    }
    // Groups that cannot be known make nobody, not somebody without groups.
    let groupless = with(json!({"groups": "absent"}));
    assert!(matches!(
        desk.admit(Some("JWT"), &groupless).await,
        Err(Reason::Groups(_))
    ));
    // Signed by nobody we know.
    let stranger = Issuer::start().await;
    let mut forged = desk.good();
    forged["iss"] = json!(desk.issuer.url);
    let forged = stranger.sign_as(Some("JWT"), &forged);
    let refused = desk.people.admit(Bearer(Some(&forged))).await;
    assert_eq!(refused, Err(Reason::Signature));
}

#[tokio::test]
async fn a_sign_in_by_a_weaker_method_than_asked_for_decides_nothing() {
    let desk = Desk::asking(&["phr", "mfa"]).await;
    assert_eq!(desk.people.ways()[0].acr_values, ["phr", "mfa"]);
    for (acr, met) in [
        (json!("mfa"), Ok(Some("mfa".to_owned()))),
        (json!("pwd"), Err(Reason::Weak)),
        (json!(""), Err(Reason::Claim("acr"))),
        (json!(["mfa"]), Err(Reason::Claim("acr"))),
    ] {
        let mut claims = desk.good();
        claims["acr"] = acr.clone();
        let person = desk.admit(Some("JWT"), &claims).await;
        assert_eq!(person.map(|person| person.acr), met, "{acr}");
    }
    let silent = desk.admit(Some("JWT"), &desk.good()).await;
    assert_eq!(silent, Err(Reason::Weak));
    let begun = desk.people.begin(
        "corp",
        "https://control.example.com/signed-in/corp",
        "/",
        300,
        None,
    );
    let url = begun.await.unwrap().url;
    let asked = url.query_pairs().find(|(name, _)| name == "acr_values");
    assert_eq!(asked.unwrap().1, "phr mfa");
}
