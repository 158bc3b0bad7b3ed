//! Every detector, on secrets it must find, in the places where they are found.

#![expect(clippy::string_slice, reason = "helpers of tests fail loudly")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tollgate::mask::Mask;

use super::samples::{Random, key_block, key_body};

/// A secret in its line.
pub(crate) struct Case {
    pub rule: &'static str,
    pub secret: String,
    pub text: String,
}

fn case(rule: &'static str, secret: String, around: &str) -> Case {
    Case {
        rule,
        text: around.replace("{}", &secret),
        secret,
    }
}

/// Tokens that are known by their shape alone.
fn tokens(r: &mut Random) -> Vec<(&'static str, String)> {
    let jwt = |payload: &str, signature: String| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!(
            "{}.{}.{signature}",
            part("{\"alg\":\"ES256\",\"typ\":\"JWT\"}"),
            part(payload)
        )
    };
    vec![
        (
            "aws-access-key",
            format!("AK{}{}", "IA", r.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        ),
        (
            "aws-access-key",
            format!("AS{}{}", "IA", r.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        ),
        ("github-token", format!("gh{}{}", "p_", r.alnum(36))),
        ("github-token", format!("gh{}{}", "s_", r.alnum(36))),
        (
            "github-token",
            format!("github{}{}_{}", "_pat_", r.alnum(22), r.alnum(59)),
        ),
        ("gitlab-token", format!("gl{}{}", "pat-", r.url(20))),
        ("gitlab-token", format!("gl{}{}", "rt-", r.url(20))),
        (
            "slack-token",
            format!("xo{}{}-{}-{}", "xb-", r.digits(12), r.digits(12), r.alnum(24)),
        ),
        (
            "slack-token",
            format!("xo{}{}-{}-{}", "xp-", r.digits(12), r.digits(12), r.hex(32)),
        ),
        (
            "slack-token",
            format!("xa{}1-A{}-{}-{}", "pp-", r.digits(10), r.digits(13), r.hex(64)),
        ),
        ("stripe-key", format!("sk{}{}", "_live_", r.alnum(24))),
        ("stripe-key", format!("rk{}{}", "_test_", r.alnum(99))),
        ("stripe-key", format!("wh{}{}", "sec_", r.alnum(32))),
        ("google-api-key", format!("AI{}{}", "za", r.url(35))),
        ("google-oauth", format!("GOC{}{}", "SPX-", r.url(28))),
        ("google-oauth", format!("ya{}{}", "29.", r.url(120))),
        ("azure-key", format!("{}8Q{}{}", r.alnum(3), "~", r.alnum(34))),
        ("tollgate-token", format!("tg{}{}", "a_", r.url(43))),
        ("tollgate-token", format!("tg{}{}_{}", "k_", r.hex(12), r.url(43))),
        ("npm-token", format!("np{}{}", "m_", r.alnum(36))),
        ("pypi-token", format!("py{}{}", "pi-AgEIcHlwaS5vcmc", r.url(90))),
        ("anthropic-key", format!("sk-{}-{}", "ant-api03", r.url(95))),
        ("openai-key", format!("sk-{}-{}", "proj", r.url(120))),
        (
            "openai-key",
            format!("sk-{}{}{}", r.alnum(20), "T3BlbkFJ", r.alnum(20)),
        ),
        ("huggingface-token", format!("hf{}{}", "_", r.alnum(34))),
        ("sendgrid-key", format!("S{}{}.{}", "G.", r.url(22), r.url(43))),
        ("twilio-key", format!("S{}{}", "K", r.hex(32))),
        (
            "telegram-token",
            format!("{}:A{}{}", r.digits(10), "A", r.url(33)),
        ),
        ("digitalocean-token", format!("do{}{}", "p_v1_", r.hex(64))),
        ("databricks-token", format!("da{}{}", "pi", r.hex(32))),
        ("shopify-token", format!("sh{}{}", "pat_", r.hex(32))),
        ("vault-token", format!("hv{}{}", "s.", r.url(90))),
        ("docker-token", format!("dc{}{}", "kr_pat_", r.url(27))),
        (
            "grafana-token",
            format!("gl{}{}_{}", "sa_", r.alnum(32), r.hex(8)),
        ),
        ("sentry-token", format!("sn{}{}", "trys_", r.alnum(80))),
        (
            "terraform-token",
            format!("{}.atlas{}{}", r.alnum(14), "v1.", r.url(67)),
        ),
        ("rubygems-key", format!("ruby{}{}", "gems_", r.hex(48))),
        ("crates-io-token", format!("ci{}{}", "o", r.alnum(32))),
        ("atlassian-token", format!("ATA{}{}", "TT3", r.url(180))),
        ("postman-key", format!("PM{}{}-{}", "AK-", r.hex(24), r.hex(34))),
        ("linear-key", format!("li{}{}", "n_api_", r.alnum(40))),
        (
            "new-relic-key",
            format!("NR{}{}", "AK-", r.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 27)),
        ),
        ("mailgun-key", format!("ke{}{}", "y-", r.hex(32))),
        ("mailchimp-key", format!("{}-u{}", r.hex(32), "s21")),
        (
            "airtable-token",
            format!("pa{}{}.{}", "t", r.alnum(14), r.hex(64)),
        ),
        ("square-token", format!("sq{}{}", "0csp-", r.url(43))),
        ("supabase-key", format!("sb{}{}", "p_", r.hex(40))),
        ("planetscale-token", format!("psc{}{}", "ale_tkn_", r.url(43))),
        ("groq-key", format!("gs{}{}", "k_", r.alnum(52))),
        ("pulumi-token", format!("pu{}{}", "l-", r.hex(40))),
        ("figma-token", format!("fi{}{}", "gd_", r.url(40))),
        ("jwt", jwt("{\"sub\":\"u1\"}", r.url(86))),
        (
            "jwt",
            jwt(&format!("{{\"sub\":\"{}\"}}", r.alnum(3000)), r.url(86)),
        ),
        (
            "private-key",
            format!(
                "AGE-SECRET{}{}",
                "-KEY-1",
                r.of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)
            ),
        ),
        ("payment-card", r.card("4", 16)),
        ("payment-card", r.card("51", 16)),
        ("payment-card", r.card("2221", 16)),
        ("payment-card", r.card("37", 15)),
        ("payment-card", r.card("6011", 16)),
        ("payment-card", r.card("3530", 16)),
        ("payment-card", r.card("36", 14)),
        ("payment-card", r.card("62", 19)),
        ("payment-card", r.card("4", 13)),
        ("iban", r.iban("DE", 22)),
        ("iban", r.iban("NO", 15)),
        ("iban", r.iban("MT", 31)),
        ("iban", r.iban("FR", 27)),
        ("email", "jane.o'neil+news@mail.example.co".to_owned()),
        ("email", "j@xn--bcher-kva.example".to_owned()),
        ("email", "jürgen@exämple.com".to_owned()),
    ]
}

/// Secrets that are known by what stands before them.
fn named(r: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for around in [
        "password = \"{}\"",
        "password='{}'",
        "\"password\": \"{}\"",
        "{\\\"password\\\":\\\"{}\\\",\\\"a\\\":1}",
        "DB_PASSWORD={}",
        "export PGPASSWORD={}",
        "MYSQL_PWD={}",
        "  db_password: {}",
        "passwd => '{}'",
        "Server=db;User Id=app;Password={};Encrypt=yes",
        "https://x.example/login?user=a&password={}&b=c",
        "<password>{}</password>",
        "mysql --user=app --password {} shop",
        "mysql -uroot -p{} shop",
        "curl -sS -u deploy:{} https://x.example/api",
        "sshpass -p '{}' ssh db.x.example",
        "machine x.example login deploy password {}",
        "ENV DB_PASSWORD {}",
        "curl --pass={}",
        "CREATE USER app IDENTIFIED BY '{}'",
        "ALTER ROLE app WITH PASSWORD '{}'",
        "spring.datasource.password={}",
        "let passphrase = b\"{}\";",
        "config['password'] = '{}'",
    ] {
        let secret = format!("{}!{}", r.alnum(5), r.alnum(6));
        cases.push(case("password", secret, around));
    }
    for around in [
        "api_key = \"{}\"",
        "API_KEY={}",
        "\"apiKey\": \"{}\"",
        "x-api-key: {}",
        "client_secret: '{}'",
        "SECRET_KEY_BASE={}",
        "//registry.example/:_authToken={}",
        "auth_token={}",
        "login --token {}",
        "?access_token={}&x=1",
        "<add key=\"ShopApiKey\" value=\"{}\"/>",
    ] {
        let secret = format!("{}9a", r.alnum(30));
        cases.push(case("secret", secret, around));
    }
    for around in [
        "Authorization: Bearer {}",
        "\"authorization\":\"Basic {}\"",
        "-H 'Authorization: token {}'",
        "bearer {}",
    ] {
        let secret = format!("{}5b", r.alnum(38));
        cases.push(case("authorization", secret, around));
    }
    for around in [
        "postgres://app:{}@db.example.com:5432/shop",
        "redis://:{}@cache:6379/0",
        "url=amqp://u:{}@mq/%2f",
    ] {
        let secret = format!("p{}-7", r.alnum(9));
        cases.push(case("url-password", secret, around));
    }
    cases.push(case(
        "url-password",
        format!("{}7", r.alnum(39)),
        "https://{}@git.example.com/a/b.git",
    ));
    cases.push(case("aws-secret-key", r.base64(40), "aws_secret_access_key = {}"));
    cases.push(case(
        "aws-secret-key",
        r.base64(40),
        "\"SecretAccessKey\": \"{}\"",
    ));
    cases.push(case(
        "gcp-service-account",
        r.hex(40),
        "\"private_key_id\": \"{}\",",
    ));
    cases.push(case(
        "azure-key",
        r.base64(86) + "==",
        "AccountName=x;AccountKey={};EndpointSuffix=core.windows.net",
    ));
    cases.push(case(
        "slack-webhook",
        format!("services/T{}/B{}/{}", r.digits(9), r.digits(9), r.alnum(24)),
        "https://hooks.slack.com/{}",
    ));
    cases.push(case(
        "discord-token",
        format!("{}/{}", r.digits(18), r.url(68)),
        "https://discord.com/api/webhooks/{}",
    ));
    cases.push(case(
        "discord-token",
        format!("MT{}.{}.{}", r.alnum(24), r.url(6), r.url(38)),
        "discord bot: {}",
    ));
    cases
}

/// Every case.
pub(crate) fn cases(r: &mut Random) -> Vec<Case> {
    let mut cases = named(r);
    for (rule, secret) in tokens(r) {
        for around in ["{}", "a \"{}\" b", "x: ({}), y", "KEY {}\nnext", "é{} ü"] {
            // A letter right before a number or an address belongs to it.
            if !(around.starts_with('é') && matches!(rule, "email" | "iban")) {
                cases.push(case(rule, secret.clone(), around));
            }
        }
    }
    cases
}

#[test]
fn every_detector_finds_what_it_is_for() {
    let mask = Mask::new();
    for seed in 1..6 {
        for case in cases(&mut Random::new(seed)) {
            let masked = mask.text(&case.text);
            assert!(
                !masked.contains(&case.secret),
                "seed {seed}: {} left in {masked}",
                case.rule
            );
            let longest = case
                .secret
                .split(['.', '/', ' '])
                .max_by_key(|part| part.len())
                .unwrap();
            assert!(
                longest.len() < 8 || !masked.contains(longest),
                "seed {seed}: a part of {} left in {masked}",
                case.rule
            );
            assert!(
                masked.contains(&format!("[masked:{}]", case.rule)),
                "seed {seed}: {} named otherwise in {masked}",
                case.rule
            );
        }
    }
}

#[test]
fn what_surrounds_a_secret_stays() {
    let mask = Mask::new();
    for case in cases(&mut Random::new(3)) {
        let masked = mask.text(&case.text);
        let (before, after) = case.text.split_once(&case.secret).unwrap();
        assert_eq!(masked, format!("{before}[masked:{}]{after}", case.rule));
    }
}

#[test]
fn cards_and_ibans_in_groups() {
    let mask = Mask::new();
    let mut r = Random::new(5);
    for separator in [" ", "-", ".", "\u{a0}", "\u{2013}"] {
        let card = r.card("4", 16);
        let groups = [&card[..4], &card[4..8], &card[8..12], &card[12..]].join(separator);
        assert_eq!(
            mask.text(&format!("pay {groups} 12/29 123")),
            "pay [masked:payment-card] 12/29 123",
            "{separator:?}"
        );
    }
    let card = r.card("37", 15);
    let groups = [&card[..4], &card[4..10], &card[10..]].join(" ");
    assert_eq!(mask.text(&groups), "[masked:payment-card]");
    let spread: Vec<String> = card.chars().map(String::from).collect();
    assert_eq!(mask.text(&spread.join(" ")), "[masked:payment-card]");
    // Two cards, and a check number behind the second.
    let (one, two) = (r.card("4", 16), r.card("51", 16));
    assert_eq!(
        mask.text(&format!("{one} {two} 912")),
        "[masked:payment-card] [masked:payment-card] 912"
    );
    let iban = r.iban("GB", 22);
    assert_eq!(
        mask.text(&format!("{} and more", iban.to_lowercase())),
        "[masked:iban] and more"
    );
}

#[test]
fn private_keys_of_every_kind_and_cut() {
    let mask = Mask::new();
    let mut r = Random::new(9);
    for label in [
        "PRIVATE",
        "RSA PRIVATE",
        "EC PRIVATE",
        "OPENSSH PRIVATE",
        "ENCRYPTED PRIVATE",
    ] {
        let block = key_block(&mut r, label, 12);
        let expected =
            format!("a\n-----BEGIN {label} KEY-----\n[masked:private-key]\n-----END {label} KEY-----\nb");
        assert_eq!(mask.text(&format!("a\n{block}b")), expected);
    }
    let body = key_body(&mut r, 9);
    let begin = format!("-----BEGIN {} KEY-----", "PRIVATE");
    let end = begin.replace("BEGIN", "END");
    let full = body.join("\n");
    // Without END, without BEGIN, and with text that is not of the key after it.
    assert_eq!(
        mask.text(&format!("{begin}\n{full}")),
        format!("{begin}\n[masked:private-key]\n")
    );
    assert_eq!(
        mask.text(&format!("{full}\n{end}\nmore")),
        format!("[masked:private-key]\n{end}\nmore")
    );
    assert_eq!(
        mask.text(&format!("{}\n{end}", &full[20..])),
        format!("[masked:private-key]\n{end}")
    );
    assert_eq!(
        mask.text(&format!("{begin}\n{full}\n\nfn main() {{}}\n")),
        format!("{begin}\n[masked:private-key]\n\nfn main() {{}}\n")
    );
    // In one line, as JSON and .env files have it; quoted, indented, commented, in a diff.
    assert_eq!(
        mask.text(&format!("KEY=\"{begin}\\n{}\\n{end}\\n\"", body.join("\\n"))),
        format!("KEY=\"{begin}[masked:private-key]{end}\\n\"")
    );
    for (before, after) in [
        ("    ", ""),
        ("+", ""),
        ("# ", ""),
        ("> ", ""),
        ("\"", "\\n\" +"),
        ("", "\r"),
    ] {
        let lines: Vec<String> = [begin.clone()]
            .iter()
            .chain(&body)
            .chain([&end])
            .map(|line| format!("{before}{line}{after}"))
            .collect();
        let masked = mask.text(&lines.join("\n")).into_owned();
        assert!(body.iter().all(|line| !masked.contains(line)), "{masked}");
    }
    let pgp = format!(
        "-----BEGIN PGP {0} KEY BLOCK-----\nVersion: x\n\n{full}\n=aB3d\n-----END PGP {0} KEY BLOCK-----",
        "PRIVATE"
    );
    let masked = mask.text(&pgp).into_owned();
    assert!(
        masked.contains("Version: x") && !masked.contains("=aB3d"),
        "{masked}"
    );
    // A certificate is public.
    let public = format!("-----BEGIN CERTIFICATE-----\n{full}\n-----END CERTIFICATE-----\n");
    assert_eq!(mask.text(&public), public);
}

#[test]
fn one_layer_of_encoding_is_looked_through() {
    let mask = Mask::new();
    let mut r = Random::new(4);
    let token = format!("gh{}{}", "p_", r.alnum(36));
    let hex: String = "mail jane@example.com now"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let key = key_block(&mut r, "PRIVATE", 8);
    for (text, rule) in [
        (STANDARD.encode(&token), "github-token"),
        (URL_SAFE_NO_PAD.encode(format!("??>>{token}")), "github-token"),
        (hex.clone(), "email"),
        (hex.to_uppercase(), "email"),
        (STANDARD.encode(key), "private-key"),
    ] {
        assert_eq!(mask.text(&format!("v {text} w")), format!("v [masked:{rule}] w"));
    }
    let harmless = STANDARD.encode("nothing to see here, move along please");
    assert_eq!(mask.text(&harmless), harmless);
}
