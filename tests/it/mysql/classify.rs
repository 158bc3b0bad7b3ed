//! `tollgate db classify`, by the real binary.

use std::path::Path;
use std::process::Output;

use insta::assert_snapshot;

use super::{PASSWORD, server};
use crate::policy::write;
use crate::support::{BINARY, mysql};

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(BINARY);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Columns of many kinds, a hostile name and a hostile view.
const PEOPLE: &str = "CREATE TABLE people (id int PRIMARY KEY, contact text, phone_number varchar(40), paid_with text, vip tinyint(1),
    shade varchar(40), code varchar(40) COMMENT 'the passport of a guest', listed longtext, born date, pic blob, kind enum('aa','bb'), place point,
    `a\"b\n[classes]\nx = 1` varchar(10), seen datetime(3));
  INSERT INTO people (id, contact, phone_number, paid_with, vip, shade, code, listed, pic, kind, place) VALUES
    (1, 'one@shop.example.com', '+47 1', 'card 4111 1111 1111 1111', true, 'teal', 'K 1', 'x', x'ff00', 'aa', POINT(1, 1)),
    (2, 'two@shop.example.com', '+47 2', 'cash', false, 'plum', NULL, 'y', NULL, NULL, NULL),
    (3, 'not known', NULL, 'cash', NULL, 'ochre', NULL, REPEAT('z', 70000), NULL, 'bb', NULL);
  CREATE TABLE mysql.marks (a int) ENGINE = MyISAM;
  CREATE FUNCTION tell() RETURNS int READS SQL DATA RETURN (SELECT SLEEP(100));
  CREATE SQL SECURITY INVOKER VIEW trap AS SELECT tell() AS card_no;
  CREATE VIEW gone AS SELECT a FROM mysql.marks; DROP TABLE mysql.marks";
const VALUES: &[&str] = &[
    "shop.example",
    "+47",
    "4111",
    "cash",
    "teal",
    "K 1",
    "not known",
    "zz",
];

#[tokio::test]
async fn what_a_server_holds_is_proposed_with_reasons_and_never_with_values() {
    let server = server(&[PEOPLE], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("policies")).unwrap();
    write(&at.join("policies"), "none.cedar", "");
    write(at, "password", PASSWORD);
    write(at, "root", mysql::PASSWORD);
    let config = format!(
        "[store]\nurl = \"sqlite:tollgate.db\"\n[policies]\ndir = \"policies\"\n[[resource]]\nname = \"shop\"\nkind = \"mysql\"\n\
         url = \"{}\"\npassword = \"file:{}\"\n[resource.columns]\n\"people.listed\" = \"public\"\n",
        server.url("reader", "shop"),
        at.join("password").display()
    );
    write(at, "tollgate.toml", &config);
    let root = format!("file:{}", at.join("root").display());
    let by_root = ["--as", "root", "--password", root.as_str()];
    let proposal = tollgate(at, &[&["db", "classify", "shop"][..], &by_root].concat());
    let said = text(&proposal.stdout);
    assert!(proposal.status.success(), "{}", text(&proposal.stderr));
    assert!(!VALUES.iter().any(|value| said.contains(value)), "{said}");
    // MySQL gives integers no width, and no text of bytes that are none.
    let said = match mysql::is_mysql() {
        true => said.replace("(int)", "(int(11))").replace(
            "blob and nothing speaks for a class: no detector hit any of 0",
            "blob and nothing speaks for a class: no detector hit any of 1",
        ),
        false => said,
    };
    assert_snapshot!(said, @r##"
    # `shop`: 14 columns that nobody listed. Proposals, to be reviewed.

    [classes]
    birth = "constant"
    card = "constant"
    email = "constant"
    national_id = "constant"
    phone = "constant"

    [resource.columns]
    "people.id" = "public"  # a key made of numbers (int(11)); no detector hit any of 3 samples
    "people.contact" = "email"  # the detector `email` hit 2 of 3 samples
    "people.phone_number" = "phone"  # its name says `phone`
    "people.paid_with" = "card"  # the detector `payment-card` hit 1 of 3 samples
    "people.vip" = "public"  # a type that says little by itself (tinyint(1)); no detector hit any of 2 samples
    # "people.shade" = "…"  # varchar(40) and nothing speaks for a class: no detector hit any of 3 samples
    "people.code" = "national_id"  # its comment says `passport`
    "people.born" = "birth"  # its name says `born`
    # "people.pic" = "…"  # blob and nothing speaks for a class: no detector hit any of 1 samples
    # "people.kind" = "…"  # enum('aa','bb') and nothing speaks for a class: no detector hit any of 2 samples
    # "people.place" = "…"  # point and nothing speaks for a class: no detector hit any of 0 samples
    # "people.a\"b\u000a[classes]\u000ax = 1" = "…"  # varchar(10) and nothing speaks for a class: no detector hit any of 0 samples
    "people.seen" = "public"  # a type that says little by itself (datetime(3)); no detector hit any of 0 samples
    "trap.card_no" = "card"  # its name says `card`
    "##);
    // Without an administrator: by what the masking views tell, once they are there.
    let check = ["db", "classify", "shop", "--check"];
    let early = tollgate(at, &check);
    assert!(
        !early.status.success() && text(&early.stderr).contains("--as"),
        "{}",
        text(&early.stderr)
    );
    let by = tollgate(at, &[&check[..], &by_root].concat());
    server.sql("shop", "DROP VIEW trap, gone; DROP FUNCTION tell");
    let made = tollgate(at, &[&["db", "views", "shop", "--apply"][..], &by_root].concat());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let (seen, failed) = (text(&by.stdout), tollgate(at, &check));
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let others = seen.lines().filter(|line| !line.contains("trap."));
    assert_eq!(
        text(&failed.stdout).lines().collect::<Vec<_>>(),
        others.collect::<Vec<_>>()
    );
    assert!(
        seen.lines().count() > 10 && seen.contains("shop: nobody classified people.shade"),
        "{seen}"
    );
    // A column that is added later is told, also before the views are made again.
    server.sql("shop", "ALTER TABLE people ADD COLUMN late text");
    assert!(text(&tollgate(at, &check).stdout).contains("people.late"));
    // All of it classified: nothing is left to say, to whoever asks.
    let columns = server.sql(
        "shop",
        "SELECT CONCAT('people.', COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND COLUMN_NAME NOT LIKE '%x = 1' AND COLUMN_NAME <> 'listed'",
    );
    let lines: String = columns
        .lines()
        .map(|column| format!("\"{column}\" = \"public\"\n"))
        .collect();
    server.sql("shop", "ALTER TABLE people DROP COLUMN `a\"b\n[classes]\nx = 1`");
    write(at, "tollgate.toml", &format!("{config}{lines}"));
    for more in [&[][..], &by_root] {
        let content = tollgate(at, &[&check[..], more].concat());
        let told = (content.status.code(), text(&content.stdout));
        assert_eq!(told, (Some(0), String::new()), "{}", text(&content.stderr));
    }
}
