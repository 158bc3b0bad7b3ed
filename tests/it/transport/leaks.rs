//! Secrets are put wherever a client can put something, and classified values are asked for in every
//! way at hand; then everything that is left behind or went out is searched for them.

use std::path::Path;

use serde_json::{Value, json};

use crate::mask::samples::Random;
use crate::support::agent::Agent;
use crate::support::process::{Process, phase, tollgate};
use crate::support::site::{Site, planted_key};

/// Secrets that open nothing, and one word that is no secret.
struct Planted {
    key: String,
    github: String,
    card: String,
    email: String,
    iban: String,
    word: &'static str,
}

impl Planted {
    fn new() -> Self {
        let mut random = Random::new(17);
        Self {
            key: planted_key(),
            github: format!("ghp_{}", random.alnum(36)),
            card: random.card("4556", 16),
            email: format!("{}@example.org", random.hex(12)),
            iban: ["GB82", "WEST", "1234", "5698", "7654", "32"].concat(),
            word: "zebrafinch",
        }
    }

    fn secrets(&self) -> Vec<String> {
        [&self.key, &self.github, &self.card, &self.email, &self.iban]
            .map(Clone::clone)
            .to_vec()
    }

    fn all(&self) -> String {
        let Self {
            key,
            github,
            card,
            email,
            iban,
            word,
        } = self;
        format!("{word} key {key} token {github} card {card} mail {email} account {iban}")
    }
}

/// Every classified value of the shop.
fn classified(shop: &Path) -> Vec<String> {
    let shop = rusqlite::Connection::open(shop).unwrap();
    let mut values = Vec::new();
    for sql in [
        "SELECT email FROM customers",
        "SELECT phone FROM customers WHERE phone IS NOT NULL",
        "SELECT card_number FROM payments",
    ] {
        let mut statement = shop.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        values.extend(found.map(Result::unwrap));
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Calls with a secret in every place a call has.
fn calls(planted: &Planted) -> Vec<(String, Value)> {
    let all = planted.all();
    let (key, email) = (&planted.key, &planted.email);
    let sql = |statement: String| {
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": statement }),
        )
    };
    let mut calls = vec![
        sql("SELECT id, email, phone FROM customers".to_owned()),
        sql("SELECT card_number, card_number || '' FROM payments".to_owned()),
        sql("SELECT contact, hex(contact) FROM customer_contacts".to_owned()),
        sql("SELECT CAST(email AS INTEGER) + abs(-9223372036854775808) FROM customers".to_owned()),
        sql(format!("SELECT '{all}'")),
        sql(format!("SELECT name FROM customers WHERE email = '{email}'")),
        sql(format!("SELECT \"{all}\" FROM customers")),
        sql(format!("SELECT 1 AS \"{all}\"")),
        sql(format!("SELECT * FROM \"{all}\"")),
        sql(format!("SELECT {key}(1)")),
        sql(format!("SELEKT '{all}")),
        sql(format!("DELETE FROM customers WHERE email = '{email}' -- {key}")),
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": "SELECT ?1", "parameters": [all] }),
        ),
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": "SELECT :a", "parameters": { &all: all } }),
        ),
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": "SELECT 1", "cursor": all }),
        ),
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": "SELECT 1", &all: all }),
        ),
        (
            "sql_query".to_owned(),
            json!({ "resource": "shop", "statement": { &all: all } }),
        ),
        (
            "sql_query".to_owned(),
            json!({ "resource": all, "statement": "SELECT 1" }),
        ),
        (
            "sql_schema".to_owned(),
            json!({ "resource": "shop", "table": all }),
        ),
        (
            "orders_of_customer".to_owned(),
            json!({ "resource": "shop", "customer_id": 1, "status": all }),
        ),
        ("file_read".to_owned(), json!({ "resource": "code", "path": all })),
        (
            "file_read".to_owned(),
            json!({ "resource": "code", "path": "README.md", "ref": all }),
        ),
        (
            "file_list".to_owned(),
            json!({ "resource": "code", "path": "", "cursor": all }),
        ),
        (
            "file_search".to_owned(),
            json!({ "resource": "code", "pattern": key }),
        ),
        (
            "file_search".to_owned(),
            json!({ "resource": "code", "pattern": format!("({all}"), "regex": true }),
        ),
        (
            "file_search".to_owned(),
            json!({ "resource": "code", "pattern": "AWS_ACCESS" }),
        ),
        (
            "file_search".to_owned(),
            json!({ "resource": "code", "pattern": "x", "glob": all }),
        ),
        (all.clone(), json!({})),
        ("list_resources".to_owned(), json!({ "kind": all })),
    ];
    for path in [tollgate::demo::repo::SETTINGS, tollgate::demo::repo::ENV] {
        calls.push((
            "file_read".to_owned(),
            json!({ "resource": "code", "path": path }),
        ));
    }
    calls
}

/// Requests that do not come as far as a call.
async fn strangers(site: &Site, planted: &Planted) -> Vec<String> {
    let http = tollgate::app::http_client().unwrap();
    let good = site.token("ana", &["analyst"]);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let mut tokens = vec![
        planted.github.clone(),
        planted.all(),
        format!("{head}.x{signature}"),
        format!("{good}.{good}"),
    ];
    tokens.push(
        site.issuer
            .token("https://elsewhere.example.com/mcp", &planted.email, &["analyst"]),
    );
    let mut heard = Vec::new();
    for token in &tokens {
        let request = http.post(site.endpoint()).bearer_auth(token).body(planted.all());
        heard.push(request.send().await.unwrap().text().await.unwrap());
    }
    for path in ["/mcp", "/nowhere", "/.well-known/oauth-protected-resource"] {
        let url = format!("{}{path}?access_token={good}&key={}", site.url, planted.key);
        let request = http
            .post(url)
            .header("cookie", format!("session={}", planted.github))
            .header("x-api-key", &planted.key)
            .header("user-agent", planted.all())
            .header("origin", format!("https://{}.example.com", planted.key))
            .body(planted.all());
        heard.push(request.send().await.unwrap().text().await.unwrap());
    }
    let raw = [b"\x16\x03\x01".as_slice(), planted.all().as_bytes(), b"\r\n\r\n"].concat();
    let address = site.url.trim_start_matches("http://");
    let mut line = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut line, &raw)
        .await
        .unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_left_behind_or_given_away() {
    let planted = Planted::new();
    let mut site = Site::for_process().await;
    let server = Process::serve(&mut site, &["--log", "trace"]).await;
    let agent = Agent::new(&site, "ana", &["analyst", "developer"]);
    let session = agent.open(&json!({})).await;
    let mut places = Vec::new();
    for (n, (tool, arguments)) in (1..).zip(calls(&planted)) {
        let params = json!({ "name": tool, "arguments": arguments });
        let named = agent
            .modern("tools/call", params, &json!({}))
            .header("mcp-param-key", &planted.key);
        for request in [named, agent.older_call(&session, n, &tool, &arguments)] {
            let text = request.send().await.unwrap().text().await.unwrap();
            places.push((format!("the answer to {tool} {arguments}"), text.into_bytes()));
        }
    }
    for heard in strangers(&site, &planted).await {
        places.push(("what a stranger heard".to_owned(), heard.into_bytes()));
    }
    server.terminate();
    let log = server.log();
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(phase(&site, "result").await.len() > 10 && phase(&site, "refusal").await.len() > 30);

    let export = tollgate(&site, &["audit", "export", "all.jsonl", "--payloads"]);
    assert!(
        export.status.success(),
        "{}",
        String::from_utf8_lossy(&export.stderr)
    );
    let replay = tollgate(&site, &["audit", "replay", "--json", "--limit", "1000"]);
    let list = tollgate(&site, &["audit", "list", "--limit", "1000"]);
    let shown = String::from_utf8(replay.stdout.clone()).unwrap();
    assert!(shown.contains(planted.word), "what is no secret is there");
    assert!(shown.contains("[masked:"), "and what is one was there");
    assert!(log.contains("tollgate"), "there is a log: {log}");
    places.extend([
        ("replay".to_owned(), replay.stdout),
        ("list".to_owned(), list.stdout),
    ]);
    for file in std::fs::read_dir(site.dir.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("journal.db") || name.starts_with("serve.log") || name.starts_with("all.jsonl") {
            places.push((name, std::fs::read(path).unwrap()));
        }
    }

    let mut needles = planted.secrets();
    needles.extend(classified(&site.dir.path().join("shop.db")));
    needles.extend(
        agent
            .token()
            .split('.')
            .skip(1)
            .map(|part| part.chars().take(40).collect::<String>()),
    );
    assert!(needles.len() > 4_000, "{}", needles.len());
    let search = aho_corasick::AhoCorasick::new(&needles).unwrap();
    let mut found = Vec::new();
    for (place, bytes) in &places {
        for hit in search.find_iter(bytes) {
            let around = &bytes[hit.start().saturating_sub(80)..(hit.end() + 20).min(bytes.len())];
            found.push(format!("{place}: {}", String::from_utf8_lossy(around)));
        }
    }
    assert!(
        found.is_empty(),
        "{} found:\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );
}
