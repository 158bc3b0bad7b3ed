//! The real server in front of a provider that shares no code with the other one.

use serde_json::json;

use super::served::{Document, site, with};
use crate::identity::canaille::{Canaille, SECRET};
use crate::peers::script;
use crate::support::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn people_of_an_independent_provider_get_what_their_groups_permit() {
    let mut site = site("http://127.0.0.1:1", "tollgate").await; // the provider wants to know our address first
    let provider = Canaille::start(&format!("{}/oauth/callback/corp", site.url));
    let secret = site.dir.path().join("client.secret");
    std::fs::write(&secret, SECRET).unwrap();
    super::served::private(&secret);
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text = text
        .replace("http://127.0.0.1:1\"", &format!("{}\"", provider.issuer))
        .replace(
            "scopes = [\"openid\", \"offline_access\"]",
            &format!(
                "scopes = [\"openid\", \"groups\"]\nclient_secret = \"file:{}\"",
                secret.display()
            ),
        );
    std::fs::write(site.config(), text).unwrap();
    with(&site, "client_documents_private = true");
    let document = Document::serve(site.dir.path());
    let server = Process::serve_trusting(&mut site, &document.authority).await;
    for (user, knows) in [("ana", true), ("bob", false)] {
        let words = format!("correct horse {user}");
        let spec = json!({
            "url": site.endpoint(), "user": user, "password": words, "document": document.address,
            "mode": "auto", "acts": ["work"],
        });
        let all = script("oauth.py", spec).await;
        if knows {
            assert_eq!(all["error"], serde_json::Value::Null, "{all}");
            let asked = &all["told"][0]["results"][1]["structured"];
            assert_eq!(asked["status"], "ok", "{all}");
        } else {
            // Signed in, in a group that is mapped to nothing: the tools of the shop are not there for him.
            assert_eq!(all["tokens"].as_array().unwrap().len(), 1, "{all}");
            assert!(all["error"].as_str().unwrap().contains("Unknown tool"), "{all}");
        }
    }
    let log = server.log();
    assert!(!log.contains(SECRET) && !log.contains("correct horse"), "{log}");
}
