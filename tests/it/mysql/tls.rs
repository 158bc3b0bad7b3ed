//! What is said to a server goes to that server alone.

use serde_json::{Value, json};

use super::{PASSWORD, SHOP, Stand, database, root};
use crate::support::certificates::Certificates;
use crate::support::mysql::{NOBODY, is_mysql};

/// What the server's log says once it let the account in.
const LET_IN: &str = "reader@127.0.0.1 on";

/// What an agent sees of a server that speaks TLS with some certificates, or does not, when its operator trusts an
/// authority.
async fn asked(certificates: Option<&Certificates>, trusted: &Certificates) -> (Stand, Value) {
    let settings = match certificates {
        Some(certificates) => {
            let (certificate, key) = certificates.server(NOBODY);
            vec![
                format!("ssl-cert={}", certificate.display()),
                format!("ssl-key={}", key.display()),
            ]
        }
        None if is_mysql() => vec!["tls-version=".to_owned()],
        None => vec!["skip-ssl".to_owned()],
    };
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = super::server(&[SHOP], &settings).await;
    let stand = Stand::bare(server, |spec| spec.ca = Some(trusted.ca()));
    let mut here = stand.spec.clone();
    here.ca = None; // the administrator of this machine
    // MySQL lets nobody in by TCP whom it does not remember, if not by TLS.
    if certificates.is_some() || !is_mysql() {
        database(&here).make_views(&root()).await.unwrap();
    }
    let answer = stand.query("SELECT id FROM orders ORDER BY id LIMIT 1").await;
    (stand, answer)
}

#[tokio::test]
async fn what_is_said_is_encrypted_to_a_server_that_the_authority_vouches_for() {
    let certificates = Certificates::of("IP:127.0.0.1");
    let (stand, answer) = asked(Some(&certificates), &certificates).await;
    assert_eq!(answer["data"]["rows"], json!([[10]]), "{answer}");
    let log = stand.server.log();
    let ways: Vec<&str> = log.lines().filter(|line| line.contains(LET_IN)).collect();
    assert!(
        !ways.is_empty() && ways.iter().all(|line| line.contains("SSL/TLS")),
        "{ways:?}"
    );
    assert!(database(&stand.spec).report().await.unwrap().encrypted);
    // One that insists on it, and one that does not.
    stand.sql("ALTER USER reader REQUIRE SSL");
    assert_eq!(
        stand.rows("SELECT id FROM orders WHERE id = 11").await,
        json!([[11]])
    );
}

#[tokio::test]
async fn no_password_reaches_a_server_that_nobody_vouches_for() {
    let ours = Certificates::of("IP:127.0.0.1");
    let strangers = Certificates::of("IP:127.0.0.1");
    let of_another_name = Certificates::of("IP:127.0.0.2,DNS:db.shop.example");
    for (served, trusted) in [
        (Some(&strangers), &ours),
        (Some(&of_another_name), &of_another_name),
        (None, &ours),
    ] {
        let (stand, answer) = asked(served, trusted).await;
        assert_eq!(answer["refusal"]["code"], "target_failed", "{answer}");
        assert_eq!(answer["refusal"]["retry"], json!(false), "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains("TLS"), "{answer}");
        let log = stand.server.log();
        assert!(!log.contains("reader@"), "not even the account's name: {log}");
        assert!(!answer.to_string().contains(PASSWORD), "{answer}");
    }
}
