//! `tollgate db classify`, by the real binary, for both kinds of databases.

use std::path::Path;
use std::process::Output;

use insta::assert_snapshot;

use super::PASSWORD;
use crate::policy::write;
use crate::support::BINARY;
use crate::support::postgres::Postgres;

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn classify(folder: &Path, name: &str, more: &[&str]) -> Output {
    let mut command = std::process::Command::new(BINARY);
    command
        .args(["db", "classify", name])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A folder with one resource.
fn site(resource: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    write(&policies, "none.cedar", "");
    write(
        folder.path(),
        "tollgate.toml",
        &format!("[store]\nurl = \"sqlite:tollgate.db\"\n[policies]\ndir = \"policies\"\n{resource}"),
    );
    folder
}

const TABLE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, contact TEXT, phone_number TEXT, paid_with TEXT, vip BOOLEAN,
    shade TEXT, remarks TEXT, listed TEXT)";
const ROWS: &str = "INSERT INTO people VALUES
    (1, 'one@shop.example.com', '+47 1', 'card 4111 1111 1111 1111', true, 'teal', 'calls at noon', 'x'),
    (2, 'two@shop.example.com', '+47 2', 'cash', false, 'plum', NULL, 'y'),
    (3, 'not known', NULL, 'cash', NULL, 'ochre', NULL, 'z')";
const VALUES: &[&str] = &["shop.example", "+47", "4111", "cash", "teal", "noon", "not known"];

#[test]
fn what_a_sqlite_file_holds_is_proposed_with_reasons_and_never_with_values() {
    let folder = site(
        "[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"shop.db\"\n[resource.columns]\n\"people.listed\" = \"public\"\n",
    );
    let conn = rusqlite::Connection::open(folder.path().join("shop.db")).unwrap();
    conn.execute_batch(&format!("{TABLE}; {ROWS}")).unwrap();
    let proposal = classify(folder.path(), "shop", &[]);
    let text = said(&proposal);
    assert!(proposal.status.success());
    assert!(!VALUES.iter().any(|value| text.contains(value)), "{text}");
    assert_snapshot!(text, @r#"
    # `shop`: 7 columns that nobody listed. Proposals, to be reviewed.

    [classes]
    card = "constant"
    email = "constant"
    free_text = "constant"
    phone = "constant"

    [resource.columns]
    "people.contact" = "email"  # the detector `email` hit 2 of 3 samples
    "people.id" = "public"  # a key made of numbers (integer); no detector hit any of 3 samples
    "people.paid_with" = "card"  # the detector `payment-card` hit 1 of 3 samples
    "people.phone_number" = "phone"  # its name says `phone`
    "people.remarks" = "free_text"  # its name says `remarks`
    # "people.shade" = "…"  # TEXT and nothing speaks for a class: no detector hit any of 3 samples
    "people.vip" = "public"  # a type that says little by itself (boolean); no detector hit any of 2 samples
    "#);
    let failed = classify(folder.path(), "shop", &["--check"]);
    assert_eq!(failed.status.code(), Some(1));
    let lines = said(&failed);
    assert!(
        lines.lines().count() == 7 && lines.contains("shop: nobody classified people.shade"),
        "{lines}"
    );
    // What is proposed, with an answer to the open question, is a configuration under which nothing is left to say.
    let (classes, columns) = text.split_once("[resource.columns]\n").unwrap();
    let config = std::fs::read_to_string(folder.path().join("tollgate.toml")).unwrap();
    let classes = classes.split_once("[classes]\n").unwrap().1;
    let columns = columns.replace("# \"people.shade\" = \"…\"", "\"people.shade\" = \"public\"");
    let config = config.replace("[[resource]]", &format!("[classes]\n{classes}\n[[resource]]"));
    write(folder.path(), "tollgate.toml", &format!("{config}{columns}"));
    let content = classify(folder.path(), "shop", &["--check"]);
    assert_eq!((content.status.code(), said(&content)), (Some(0), String::new()));
    // With tokens the key is made when it is first needed, for its owner alone.
    let config = std::fs::read_to_string(folder.path().join("tollgate.toml")).unwrap();
    let key = folder.path().join("tollgate.tokens.key");
    assert!(!key.exists());
    let tokens = config.replace("email = \"constant\"", "email = \"token\"");
    write(folder.path(), "tollgate.toml", &tokens);
    assert_eq!(
        classify(folder.path(), "shop", &["--check"]).status.code(),
        Some(0)
    );
    let made = std::fs::read_to_string(&key).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&key.metadata().unwrap()) & 0o777;
    assert_eq!((made.trim_end().len(), mode), (64, 0o600));
    classify(folder.path(), "shop", &["--check"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), made, "the key stays");
    write(folder.path(), "tollgate.toml", &config);
    // A column that is added later fails the check again, also where unlisted columns are shown.
    conn.execute_batch("ALTER TABLE people ADD COLUMN late TEXT")
        .unwrap();
    let config = std::fs::read_to_string(folder.path().join("tollgate.toml")).unwrap();
    let shows = config.replace(
        "path = \"shop.db\"",
        "path = \"shop.db\"\ncolumns_default = \"show\"",
    );
    for config in [config, shows] {
        write(folder.path(), "tollgate.toml", &config);
        let late = classify(folder.path(), "shop", &["--check"]);
        assert_eq!(
            (late.status.code(), said(&late)),
            (Some(1), "shop: nobody classified people.late\n".to_owned())
        );
    }
    let wrong = classify(folder.path(), "nothing", &[]);
    assert!(
        wrong.status.code() == Some(1)
            && String::from_utf8_lossy(&wrong.stderr).contains("no [[resource]] `nothing`")
    );
}

#[tokio::test]
async fn what_a_postgres_role_may_read_is_looked_at_and_comments_are_read() {
    let server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"));
    server.sql("shop", TABLE);
    server.sql("shop", ROWS);
    server.sql(
        "shop",
        "COMMENT ON COLUMN people.shade IS 'what the person chose as a password, alas';
         GRANT SELECT (id, contact, vip, listed) ON people TO reader;
         CREATE VIEW broken AS SELECT 1 / (id - id) AS share, id FROM people; GRANT SELECT ON broken TO reader;
         CREATE TABLE closed (email text)",
    );
    let folder = site("");
    write(folder.path(), "password", PASSWORD);
    let resource = format!(
        "[[resource]]\nname = \"shop\"\nkind = \"postgres\"\nurl = \"{}\"\npassword = \"file:{}\"\n[resource.columns]\n\"people.listed\" = \"public\"\n",
        server.url("reader", "shop"),
        folder.path().join("password").display()
    );
    let config = std::fs::read_to_string(folder.path().join("tollgate.toml")).unwrap();
    write(folder.path(), "tollgate.toml", &format!("{config}{resource}"));
    let proposal = classify(folder.path(), "shop", &[]);
    let text = said(&proposal);
    assert!(
        proposal.status.success() && !VALUES.iter().any(|value| text.contains(value)),
        "{text}"
    );
    assert!(!text.contains("alas"), "{text}");
    assert_snapshot!(text, @r#"
    # `shop`: 10 columns that nobody listed. Proposals, to be reviewed.
    # Of 7 of them no value could be read: --as names an administrator who looks at them.

    [classes]
    email = "constant"
    free_text = "constant"
    phone = "constant"
    secret = "constant"

    [resource.columns]
    # "broken.id" = "…"  # integer and nothing speaks for a class: its values could not be read
    # "broken.share" = "…"  # integer and nothing speaks for a class: its values could not be read
    "closed.email" = "email"  # its name says `email`
    "people.contact" = "email"  # the detector `email` hit 2 of 3 samples
    "people.id" = "public"  # a key made of numbers (integer); no detector hit any of 3 samples
    # "people.paid_with" = "…"  # text and nothing speaks for a class: its values could not be read
    "people.phone_number" = "phone"  # its name says `phone`
    "people.remarks" = "free_text"  # its name says `remarks`
    "people.shade" = "secret"  # its comment says `password`
    "people.vip" = "public"  # a type that says little by itself (boolean); no detector hit any of 2 samples
    "#);
    let check = classify(folder.path(), "shop", &["--check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(said(&check).contains("shop: nobody classified closed.email"));
}

/// Whoever owns a table may have functions called by reading it. None of them gets an administrator's rights.
#[tokio::test]
async fn an_administrator_looks_at_everything_and_runs_nothing_of_anybodys() {
    let server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        &format!(
            "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data;
             {TABLE}; {ROWS};
             CREATE FUNCTION ran(text) RETURNS text LANGUAGE plpgsql AS
                $$BEGIN RAISE LOG 'a trap ran as %', current_user; RETURN $1; END$$;
             CREATE TYPE mood AS ENUM ('glad', 'sad');
             CREATE FUNCTION told(mood) RETURNS text LANGUAGE sql AS $$SELECT public.ran('glad')$$;
             CREATE CAST (mood AS text) WITH FUNCTION told(mood) AS ASSIGNMENT;
             CREATE TABLE moods (mood mood); INSERT INTO moods VALUES ('glad');
             CREATE TABLE rowwise (shade text); INSERT INTO rowwise VALUES ('teal');
             CREATE POLICY mine ON rowwise USING (ran('x') = 'x'); ALTER TABLE rowwise ENABLE ROW LEVEL SECURITY;
             CREATE VIEW seen AS SELECT ran(contact) AS contact FROM people"
        ),
    );
    let folder = site("");
    write(folder.path(), "password", PASSWORD);
    let config = std::fs::read_to_string(folder.path().join("tollgate.toml")).unwrap();
    let file = folder.path().join("password").display().to_string();
    let resource = format!(
        "[[resource]]\nname = \"shop\"\nkind = \"postgres\"\nurl = \"{}\"\npassword = \"file:{file}\"\n",
        server.url("reader", "shop"),
    );
    write(folder.path(), "tollgate.toml", &format!("{config}{resource}"));
    let by = |more: &[&str]| {
        let password = format!("file:{file}");
        let by = ["--as", "keeper", "--password", &password];
        classify(folder.path(), "shop", &[&by, more].concat())
    };
    let text = said(&by(&[]));
    assert!(!VALUES.iter().any(|value| text.contains(value)), "{text}");
    assert_snapshot!(text, @r#"
    # `shop`: 11 columns that nobody listed. Proposals, to be reviewed.

    [classes]
    card = "constant"
    email = "constant"
    free_text = "constant"
    phone = "constant"

    [resource.columns]
    # "moods.mood" = "…"  # public.mood and nothing speaks for a class: no detector hit any of 1 samples
    "people.contact" = "email"  # the detector `email` hit 2 of 3 samples
    "people.id" = "public"  # a key made of numbers (integer); no detector hit any of 3 samples
    # "people.listed" = "…"  # text and nothing speaks for a class: no detector hit any of 3 samples
    "people.paid_with" = "card"  # the detector `payment-card` hit 1 of 3 samples
    "people.phone_number" = "phone"  # its name says `phone`
    "people.remarks" = "free_text"  # its name says `remarks`
    # "people.shade" = "…"  # text and nothing speaks for a class: no detector hit any of 3 samples
    "people.vip" = "public"  # a type that says little by itself (boolean); no detector hit any of 2 samples
    # "rowwise.shade" = "…"  # text and nothing speaks for a class: its values could not be read
    # "seen.contact" = "…"  # text and nothing speaks for a class: its values could not be read
    "#);
    assert_eq!(by(&["--check"]).status.code(), Some(1));
    assert!(!server.log().contains("a trap ran as keeper"), "{}", server.log());
    // The traps are traps: the one who may be had to run them does.
    server.sql("shop", "GRANT SELECT ON seen TO reader");
    server
        .sql_as(("reader", PASSWORD), "shop", "SELECT contact FROM seen")
        .unwrap();
    assert!(server.log().contains("a trap ran as reader"), "{}", server.log());
    // Nobody gets in with a wrong name, and a password that is not there is named.
    let stranger = classify(
        folder.path(),
        "shop",
        &["--as", "nobody", "--password", &format!("file:{file}")],
    );
    let missing = classify(
        folder.path(),
        "shop",
        &["--as", "keeper", "--password", "env:NOT_THERE"],
    );
    let error = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (stranger.status.code(), missing.status.code()),
        (Some(1), Some(1))
    );
    assert!(error(&missing).contains("NOT_THERE"), "{}", error(&missing));
    assert!(!error(&stranger).contains(PASSWORD), "{}", error(&stranger));
}

/// Who may name a table or a type writes no line of the configuration.
#[test]
fn a_name_does_not_become_a_line_of_the_proposal() {
    let folder =
        site("[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"shop.db\"\n[resource.columns]\n");
    let conn = rusqlite::Connection::open(folder.path().join("shop.db")).unwrap();
    conn.execute_batch(
        "CREATE TABLE \"t\n'people.ssn' = 'public' #\" (\"phone\n'ab' = 'public' #\" TEXT, shade \"VARIED\n'c.d' = 'public' #\")",
    )
    .unwrap();
    let text = said(&classify(folder.path(), "shop", &[]));
    assert!(text.contains("people.ssn"), "{text}");
    let line =
        |line: &str| line.is_empty() || line.starts_with(['#', '[', '"']) || line == "phone = \"constant\"";
    assert!(text.lines().all(line), "{text}");
    let parsed: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(
        parsed["resource"]["columns"].as_table().unwrap().len(),
        1,
        "{text}"
    );
    assert!(
        parsed["resource"]["columns"].to_string().contains("phone"),
        "{text}"
    );
}
