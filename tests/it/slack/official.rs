//! Slack's own software: its clients accept the stand-in, and its models and types accept what we send.

use serde_json::{Value, json};

use super::Bench;
use super::fake::Fake;
use super::signed::SECRET;
use crate::peers::run;
use crate::support::site::root;

fn folder() -> std::path::PathBuf {
    root().join("tests/peers/slack")
}

/// Runs something of the folder, to what it prints.
async fn runs(program: &str, args: &[&str]) -> (bool, String) {
    let path = match program {
        "node" => "node".into(),
        _ => folder().join(program),
    };
    let (script, more) = args.split_first().unwrap();
    let mut all = vec![folder().join(script).display().to_string()];
    all.extend(more.iter().map(|arg| (*arg).to_owned()));
    let output = run(path, all, vec![]).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), said)
}

/// What `slack_sdk` says of these blocks, views and signatures.
pub(super) async fn blocks(spec: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("spec.json");
    std::fs::write(&file, spec.to_string()).unwrap();
    let (good, said) = runs(".venv/bin/python", &["blocks.py", file.to_str().unwrap()]).await;
    assert!(good, "{said}");
    serde_json::from_str(said.lines().next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slacks_clients_accept_the_stand_in() {
    let fake = Fake::start().await;
    let (good, said) = runs("node", &["certify.mjs", &fake.url]).await;
    assert!(good, "{said}");
    let line = said.lines().find(|line| line.starts_with('{')).unwrap();
    let seen: Value = serde_json::from_str(line).unwrap();
    assert_eq!(seen["acks"], json!(["e1", "e2"]), "{said}");
    assert_eq!(seen["taken"], json!(["tollgate_approve", "no"]));
    assert_eq!(seen["came_back"], true);
    let fake = Fake::start().await;
    let (good, said) = runs(".venv/bin/python", &["certify.py", &fake.url]).await;
    assert!(good && said.contains("block_actions"), "{said}");
}

/// Changes, when a `dba` agrees.
pub(super) const ALL: &str = r#"
@id("writers") permit (principal in Tollgate::Group::"analyst",
  action in [Tollgate::Action::"measure", Tollgate::Action::"sql_write"], resource in Tollgate::Label::"shop");
@id("people-agree-to-changes") @approval("1 dba")
forbid (principal, action == Tollgate::Action::"sql_write", resource)
unless { context.satisfied.contains("people-agree-to-changes") };
"#;

/// So many bytes of these letters, whole ones.
fn much(letters: &str, bytes: usize) -> String {
    letters.repeat(bytes / letters.len())
}

/// Queries that the operator declared: their statements may be longer (100,000 bytes) than an agent's (64 KiB).
fn declare(site: &crate::support::site::Site) {
    let of = |letters: &str| {
        format!(
            "SELECT count(*) FROM orders WHERE status = '{}'",
            much(letters, 99_900)
        )
    };
    let lines = format!(
        "SELECT count(*)\n{}FROM orders",
        much("-- <!here> *more*\n", 99_900)
    );
    for (name, statement) in [
        ("large_plain", of("x")),
        ("large_hostile", of("<!channel>\u{202e}*x*\u{200b}`")),
        ("large_right_to_left", of("مرحبا")),
        ("large_lines", lines),
    ] {
        // A JSON text is a TOML text.
        let text = format!(
            "name = \"{name}\"\ntitle = \"Large\"\ndescription = \"Large.\"\nkind = \"sqlite\"\nresource = \"shop\"\n\
             statement = {}\n",
            json!(statement)
        );
        std::fs::write(site.dir.path().join(format!("tools/{name}.toml")), text).unwrap();
    }
}

/// Everything an agent may fill, as full as it may be: tool and arguments.
fn everything() -> Vec<(&'static str, Value)> {
    let read = |statement: &str| ("sql_query", json!({"resource": "shop", "statement": statement}));
    let of = |letters: &str| {
        let statement = format!(
            "SELECT count(*) FROM orders WHERE status = '{}'",
            much(letters, 65_400)
        );
        ("sql_query", json!({"resource": "shop", "statement": statement}))
    };
    let hostile =
        "SELECT count(*) FROM orders WHERE status = '<!channel> <@U1> *x* \u{202e}evil\u{200b} `</script>`'";
    let many = format!("SELECT count(*)\n{}FROM orders", "-- more\n".repeat(8_000));
    let values = json!({"resource": "shop", "statement": "SELECT count(*) FROM orders WHERE status IN (?1, ?2)",
        "parameters": [much("<!channel>\u{202e}", 60_000), much("مرحبا", 60_000)]});
    let set = format!(
        "UPDATE orders SET status = '{}' WHERE id = 1",
        much("<@U1> \u{202e}*paid*", 65_400)
    );
    let change =
        json!({"resource": "shop", "statement": set, "reason": much("<@U1> \u{202e}*please*", 4_096)});
    vec![
        read("SELECT 1 FROM orders"),
        read(hostile),
        read(&many),
        read("SELECT count(*) FROM orders WHERE status = 'مرحبا'"),
        of("x"),
        of("<!channel>\u{202e}"),
        of("مرحبا"),
        of("🙂"),
        of("\\\""),
        ("sql_query", values),
        ("sql_execute", change),
        ("large_plain", json!({})),
        ("large_hostile", json!({})),
        ("large_right_to_left", json!({})),
        ("large_lines", json!({})),
    ]
}

/// Cards of short, 100 kB, hostile and right-to-left content, the reason's form and what one person is told.
#[tokio::test(flavor = "multi_thread")]
async fn slacks_models_and_types_accept_what_we_send() {
    let bench = Bench::dressed(&format!("{}{ALL}", super::POLICY), "", "", declare).await;
    bench.fake.connected(1).await;
    let all = everything();
    let mut waits = Vec::new();
    for (at, (tool, arguments)) in all.iter().enumerate() {
        waits.push(bench.calls(&format!("asker-{at}"), tool, arguments.clone()));
    }
    let cards = tokio::select! {
        cards = bench.fake.messages(all.len()) => cards,
        (ended, ..) = futures::future::select_all(&mut waits) => panic!("not asked about: {}", ended.unwrap()),
    };
    let text = json!(cards).to_string();
    assert!(!text.contains('\u{202e}') && !text.contains('\u{200b}'));
    assert!(text.contains("⟨U+202E⟩"));
    for card in &cards {
        assert!(
            !card["blocks"].to_string().contains("\"mrkdwn\""),
            "nothing is read as markup"
        );
        assert!(!card["text"].as_str().unwrap().contains('<'));
    }
    // Of what is long: how long it is, and its digest, so that who opens the page sees that it is this one.
    let long = text.matches("These are its first lines. All of it: ").count();
    assert_eq!(long, 11, "{text}");
    assert!(text.contains("All of it: 99945 bytes"), "{text}");
    let short = cards
        .iter()
        .find(|card| card.to_string().contains("SELECT 1 FROM"));
    bench
        .fake
        .press(short.unwrap(), &super::fake::Press::new("U1", "approve", "1.1"))
        .await;
    let offer = bench.fake.told("ephemerals", "not linked").await;
    bench.link("U1", "second").await;
    bench
        .fake
        .press(short.unwrap(), &super::fake::Press::new("U1", "refuse", "1.2"))
        .await;
    let view = bench.fake.told("views", "Why not?").await["view"].clone();
    let mut messages: Vec<Value> = cards.iter().map(|card| card["blocks"].clone()).collect();
    messages.push(offer["blocks"].clone());
    let spec = json!({"messages": messages, "views": [view], "now": 0, "secret": SECRET, "sign": []});
    assert!(blocks(&spec).await["blocks"].as_u64().unwrap() > 100);
    typed(&messages, &view).await;
    taken(&cards).await;
    for wait in waits {
        wait.abort();
    }
    bench.end().await;
}

/// All of Slack's software on these messages, words beside them, and the form that says this.
pub(super) async fn accepted(cards: &[Value], more: &[Value], form: &str, fake: &Fake) {
    let view = fake.told("views", form).await["view"].clone();
    let mut messages: Vec<Value> = cards.iter().map(|card| card["blocks"].clone()).collect();
    messages.extend(more.iter().cloned());
    let spec = json!({"messages": messages, "views": [view], "now": 0, "secret": SECRET, "sign": []});
    assert!(blocks(&spec).await["blocks"].as_u64().unwrap() > 30);
    typed(&messages, &view).await;
    taken(cards).await;
}

/// `@slack/web-api` posts and updates each of them, and Bolt takes what is pressed on it.
async fn taken(cards: &[Value]) {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cards.json");
    let ours = cards
        .iter()
        .map(|card| json!({"blocks": card["blocks"], "text": card["text"]}));
    std::fs::write(&file, json!(ours.collect::<Vec<_>>()).to_string()).unwrap();
    let (good, said) = runs("node", &["cards.mjs", &fake.url, file.to_str().unwrap()]).await;
    assert!(good, "{said}");
    let seen: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(seen["taken"], json!(cards.len()), "{said}");
}

/// `tsc --strict` with `@slack/types`, and that it would have found a fault.
async fn typed(messages: &[Value], view: &Value) {
    let dir = tempfile::tempdir_in(folder().join("node_modules")).unwrap();
    let file = dir.path().join("ours.ts");
    let text = |messages: &Value| {
        format!(
            "import type {{ KnownBlock, View }} from '@slack/types';\n\
             export const messages: KnownBlock[][] = {messages};\nexport const view: View = {view};\n"
        )
    };
    let path = file.display().to_string();
    let tsc = "node_modules/typescript/bin/tsc";
    let args = [
        tsc,
        "--strict",
        "--noEmit",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--ignoreConfig",
        &path,
    ];
    std::fs::write(&file, text(&json!(messages))).unwrap();
    let (good, said) = runs("node", &args).await;
    assert!(good, "{said}");
    let wrong = json!([[{"type": "section", "text": {"type": "plain", "text": "x"}}]]);
    std::fs::write(&file, text(&wrong)).unwrap();
    let (good, said) = runs("node", &args).await;
    assert!(!good && said.contains("ours.ts"), "{said}");
}
