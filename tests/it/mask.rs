//! Masking of content: what is found, what is not, and that pieces give the same as the whole.
//!
//! Nothing here may look like a live secret to a scanner of this repository: secrets are put together
//! when a test runs.

mod answers;
mod recall;
mod rows;
pub(crate) mod samples;
mod streams;

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;
use tollgate::call::MaskCounts;
use tollgate::mask::Mask;

use samples::{Random, key_block};

#[test]
fn what_only_looks_like_a_secret_is_left_alone() {
    let mask = Mask::new();
    let samples = [
        "let password = read_password()?;",
        "pub struct Login { user: String, password: String, token: Option<Token> }",
        "    password: String,",
        "mysql -u app -p shop",
        "mysql -uroot -p$MYSQL_PASS shop",
        "curl -sS -u $USER:$PASS https://x.example",
        "curl -u deploy https://x.example",
        "sshpass -p $PASS ssh db.x.example",
        "ENV PATH /usr/local/bin:/usr/bin",
        "ENV DB_PASSWORD=${DB_PASSWORD}",
        "<add key=\"PageSize\" value=\"25\"/>",
        "    pub secret: SecretString,",
        "password=${DB_PASSWORD}",
        "password: \"{{ vault.db }}\"",
        "password = \"****\"",
        "password: <your password>",
        "PASSWORD=changeme",
        "secret = \"env:APPROVAL_WEBHOOK_SECRET\"",
        "secret = \"file:/run/secrets/webhook\"",
        "api_key: process.env.API_KEY,",
        "client_secret=os.environ[\"CLIENT_SECRET\"]",
        "the password is required",
        "Enter your password: then press return",
        "\"password\": \"Enter your password\"",
        "\"secret\": \"string\"",
        "if password == other { return; }",
        "token = lexer.next_token();",
        "RefreshToken::new(\"abc123def456\".to_owned())",
        "\"progressToken\": \"a1b2c3d4e5f6\"",
        "login --token … or --password …",
        "next_token: abc123def456ghi789",
        "let token: Token = tokens[3];",
        "PWD=/home/user/project",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "postgres://user:${PASSWORD}@localhost/db",
        "postgres://user:password@localhost/db",
        "https://localhost:8080/@scope/package",
        "git@github.com:owner/repository.git",
        "background: url(logo@2x.png)",
        "npm install left-pad@1.3.0 @types/node",
        "@app.route(\"/\")",
        "4111 1111 1111 1112",    // Luhn
        "order 1234567890123456", // no issuer
        "1700000000000000",       // microseconds
        "4.111111111111111",      // a decimal that Luhn would accept
        "0.4111111111111111",
        "DE00 3704 0044 0532 0130 00", // check digits
        "XX89 3704 0044 0532 0130 00", // no such country
        "eyJub3QiOiJhIGp3dCJ9.eyJ.x",  // a header without an algorithm
        "Authorization: Bearer <token>",
        "Authorization: Bearer ${TOKEN}",
        "use the Bearer authentication scheme",
        "starts_with(\"-----BEGIN ", // completed below
        "[masked:email] and password=[masked:password]",
    ];
    for sample in samples {
        assert_eq!(mask.text(sample), sample);
    }
    let documented = format!("AKIAIOSFODNN7{0} wJalrXUtnFEMI/K7MDENG/bPxRfiCY{0}KEY", "EXAMPLE");
    assert_eq!(mask.text(&documented), documented);
    let stars = format!("ghp{}{}", "_", "x".repeat(36));
    assert_eq!(mask.text(&stars), stars);
    let code = format!(
        "if text.starts_with(\"-----BEGIN {0} KEY-----\") {{\n    return parse(text);\n}}\n",
        "PRIVATE"
    );
    assert_eq!(mask.text(&code), code);
}

#[test]
fn this_repository_reads_as_it_is() {
    let mask = Mask::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut bytes, mut hits) = (0, 0, Vec::new());
    let mut folders = vec![root.join("src"), root.join("tests"), root.join("tools")];
    let mut paths = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && ![".venv", "node_modules", "mask"].contains(&name.as_str()) {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "toml")
                && name != "mask.rs"
            {
                paths.push(path);
            }
        }
    }
    // The mask's own sources and tests name what it looks for; its sources must read well all the same.
    paths.extend(
        std::fs::read_dir(root.join("src/mask"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        // Addresses of customers, and of the domains reserved for examples (RFC 2606), are no false alarms.
        let text = ["@shop.example", "@example.com", "@example.org"]
            .iter()
            .fold(text, |text, domain| text.replace(domain, " of example"));
        files += 1;
        bytes += text.len();
        if let Cow::Owned(masked) = mask.text(&text) {
            let before: Vec<&str> = text.lines().collect();
            let changed = masked
                .lines()
                .find(|line| !before.contains(line))
                .unwrap_or_default();
            hits.push(format!(
                "{}: {}: {changed}",
                path.display(),
                masked.matches("[masked:").count()
            ));
        }
    }
    println!("{files} files, {bytes} bytes, hits:\n{}", hits.join("\n"));
    assert!(files > 30);
    assert!(
        hits.len() * 20 <= files,
        "too many false alarms:\n{}",
        hits.join("\n")
    );
}

#[test]
fn masking_twice_is_masking_once() {
    let mask = Mask::new();
    let mut random = Random::new(11);
    let all = recall::cases(&mut random)
        .into_iter()
        .map(|case| case.text)
        .collect::<Vec<_>>()
        .join("\n");
    for text in [all, key_block(&mut random, "RSA PRIVATE", 20)] {
        let once = mask.text(&text).into_owned();
        assert!(once.contains("[masked:"));
        for (twice, once) in mask.text(&once).lines().zip(once.lines()) {
            assert_eq!(twice, once);
        }
        assert_eq!(mask.text(&once), once);
    }
}

#[test]
fn journal_arguments_and_log_lines_are_masked() {
    let mask = Mask::new();
    let mut counts = MaskCounts::default();
    let mut arguments = json!({
        "resource": "shop",
        "statement": "SELECT * FROM customers WHERE email = 'jane@example.com'",
        "parameters": {"card": 4_111_111_111_111_111_u64, "note": ["ok", "iban DE89370400440532013000"]},
        "limit": 5,
    });
    mask.value(&mut arguments, &mut counts);
    assert_eq!(
        arguments,
        json!({
            "resource": "shop",
            "statement": "SELECT * FROM customers WHERE email = '[masked:email]'",
            "parameters": {"card": "[masked:payment-card]", "note": ["ok", "iban [masked:iban]"]},
            "limit": 5,
        })
    );
    let notes: Vec<String> = counts
        .notes()
        .iter()
        .map(|note| format!("{} {} {}", note.place, note.rule, note.count))
        .collect();
    assert_eq!(
        notes,
        [
            "parameters.card payment-card 1",
            "parameters.note iban 1",
            "statement email 1"
        ]
    );
    assert_eq!(
        mask.text("connect postgres://app:s3cr3t!x@db.example.com/shop failed"),
        "connect postgres://app:[masked:url-password]@db.example.com/shop failed"
    );
}
