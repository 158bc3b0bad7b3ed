//! What is said to a server goes to that server alone.

use serde_json::{Value, json};

use super::{PASSWORD, Stand};
use crate::support::certificates::Certificates;
use crate::support::postgres::{NOBODY, Postgres};

/// A server that speaks TLS with these certificates, or does not.
async fn server(certificates: Option<&Certificates>) -> Postgres {
    let Some(certificates) = certificates else {
        return Postgres::start_with(&["log_connections=on"]).await;
    };
    let (certificate, key) = certificates.server(NOBODY);
    let settings = [
        "log_connections=on".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    Postgres::start_with(&settings.each_ref().map(String::as_str)).await
}

/// What the server's log says once it let the role in.
const LET_IN: &str = "connection authorized: user=reader";

/// What an agent sees of a server when its operator trusts an authority.
async fn asked(certificates: Option<&Certificates>, trusted: &Certificates) -> (Stand, Value) {
    let stand = Stand::made(server(certificates).await, &[super::SHOP], |spec| {
        spec.ca = Some(trusted.ca());
    })
    .await;
    let answer = stand.query("SELECT id FROM orders ORDER BY id LIMIT 1").await;
    (stand, answer)
}

#[tokio::test]
async fn what_is_said_is_encrypted_to_a_server_that_the_authority_vouches_for() {
    let certificates = Certificates::of("IP:127.0.0.1");
    let (stand, answer) = asked(Some(&certificates), &certificates).await;
    assert_eq!(answer["data"]["rows"], json!([[10]]), "{answer}");
    assert!(stand.server.log().contains(LET_IN));
    let encrypted =
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'reader'";
    assert_eq!(stand.server.sql("shop", encrypted), "t");
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
        let log = stand.server.log();
        assert!(!log.contains(LET_IN), "{log}");
        assert!(!answer.to_string().contains(PASSWORD), "{answer}");
    }
}
