//! What somebody with the rights of a developer, or a careless administrator, could have prepared.

use serde_json::json;
use tollgate::resource::sql::ColumnsDefault;

use super::{Stand, database, root};
use crate::support::mysql::is_mysql;

/// A column that the server makes of a classified one tells what that one holds.
#[tokio::test]
async fn what_is_made_of_a_masked_column_is_masked_unless_it_is_listed() {
    let table = "CREATE TABLE made (id int PRIMARY KEY, secret varchar(50), note varchar(60),
          copy varchar(60) AS (concat(secret, '!')) VIRTUAL, kept varchar(60) AS (upper(secret)) STORED, listed int AS (length(secret)) STORED);
        INSERT INTO made (id, secret, note) VALUES (1, 'alpha7777', 'a note');
        CREATE TABLE plain (id int PRIMARY KEY, twice int AS (id * 2) VIRTUAL); INSERT INTO plain (id) VALUES (4);";
    let stand = Stand::with(table, |spec| {
        spec.columns_default = ColumnsDefault::Show;
        spec.columns.insert("made.secret".to_owned(), "email".to_owned());
        spec.columns.insert("made.listed".to_owned(), "public".to_owned());
    })
    .await;
    assert_eq!(
        stand.rows("SELECT * FROM made").await,
        json!([[1, "***", "a note", "***", "***", 9]])
    );
    assert_eq!(stand.rows("SELECT * FROM plain").await, json!([[4, 8]]));
    stand.sql("ALTER TABLE made DROP COLUMN note; ALTER TABLE made ADD COLUMN note varchar(60) AS (concat(secret, '?')) VIRTUAL AFTER secret");
    let why = stand.closed().await;
    assert!(why.contains("made has other columns"), "{why}");
    stand.make_views().await;
    assert_eq!(stand.rows("SELECT note FROM made").await, json!([["***"]]));
}

/// The zeros before a number are not of its digits.
#[tokio::test]
async fn a_short_number_filled_with_zeros_is_not_shown() {
    let table =
        "CREATE TABLE pins (id int PRIMARY KEY, pin int(10) ZEROFILL, big bigint(20) unsigned ZEROFILL);
        INSERT INTO pins VALUES (1, 4321, 4321), (2, 1234567890, 18446744073709551615)";
    let stand = Stand::with(table, |spec| {
        spec.columns.insert("pins.id".to_owned(), "public".to_owned());
        for column in ["pins.pin", "pins.big"] {
            spec.columns.insert(column.to_owned(), "tail".to_owned());
        }
    })
    .await;
    assert_eq!(
        stand.rows("SELECT pin, big FROM pins ORDER BY id").await,
        json!([["***", "***"], ["***7890", "***1615"]])
    );
}

/// What is granted to everybody is in no line about the account.
#[tokio::test]
async fn a_right_that_everybody_has_closes_the_resource() {
    let stand = Stand::new("CREATE DATABASE other; CREATE TABLE other.t (a int); CREATE ROLE boss").await;
    stand.rows("SELECT id FROM orders").await;
    for (give, take, named) in [
        (
            "GRANT SELECT ON other.* TO PUBLIC",
            "REVOKE SELECT ON other.* FROM PUBLIC",
            "other",
        ),
        (
            "GRANT EXECUTE ON shop_tollgate.* TO PUBLIC",
            "REVOKE EXECUTE ON shop_tollgate.* FROM PUBLIC",
            "EXECUTE",
        ),
        (
            "GRANT SELECT ON shop.customers TO PUBLIC",
            "REVOKE SELECT ON shop.customers FROM PUBLIC",
            "customers",
        ),
        (
            "GRANT SELECT (id) ON shop.customers TO PUBLIC",
            "REVOKE SELECT (id) ON shop.customers FROM PUBLIC",
            "customers",
        ),
        (
            "GRANT boss TO reader",
            "REVOKE boss FROM reader",
            "no plain grant",
        ),
        (
            "GRANT PROXY ON boss TO reader",
            "REVOKE PROXY ON boss FROM reader",
            "PROXY",
        ),
        (
            "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'other', '', 'Y'); FLUSH PRIVILEGES",
            "DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES",
            "other",
        ),
        (
            "SET GLOBAL mandatory_roles = 'boss'",
            "SET GLOBAL mandatory_roles = ''",
            "no plain grant",
        ),
        (
            "GRANT SHOW_ROUTINE ON *.* TO reader",
            "REVOKE SHOW_ROUTINE ON *.* FROM reader",
            "SHOW_ROUTINE",
        ),
    ] {
        let (alone, other) = (
            give.contains("PUBLIC"),
            give.contains("SHOW_") || give.contains("mandatory"),
        );
        if is_mysql() && alone || !is_mysql() && other {
            continue; // what one kind of server has not
        }
        stand.sql(give);
        let why = stand.closed().await;
        assert!(why.contains(named), "{give}: {why}");
        stand.sql(take);
        stand.rows("SELECT id FROM orders").await;
    }
}

/// Names are quoted in what an administrator runs, by us and by the server's own client.
#[tokio::test]
async fn hostile_names_are_names() {
    let long = "l".repeat(64);
    let names = [
        "a`b",
        "x'; DROP TABLE shop.orders; -- ",
        "`; DROP TABLE shop.orders; -- x",
        "new\nDROP TABLE shop.orders;\nx",
        "back\\",
        "'\\'",
        "\"q\"",
        "/*! x */",
        "\\! touch x",
        "delimiter //",
        "*/",
        "näme",
        "Orders",
        "tab\tle",
        long.as_str(),
    ];
    let mut script = String::new();
    for name in names {
        let quoted = format!("`{}`", name.trim_end().replace('`', "``"));
        script += &format!(
            "CREATE TABLE {quoted} ({quoted} varchar(40), id int, kind enum('a\\'b','c\\\\','`;x')); INSERT INTO {quoted} VALUES ('alpha7777', 1, 1);"
        );
    }
    let stand = Stand::new(&script).await;
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
    assert_eq!(
        stand.rows("SELECT * FROM Orders").await,
        json!([["***", null, "***"]])
    );
    let made = database(&stand.spec).views(&root()).await.unwrap();
    for place in ["shop", "shop_tollgate", "mysql"] {
        stand.server.sql(
            "mysql",
            "DROP DATABASE shop_tollgate; CREATE DATABASE shop_tollgate",
        );
        stand.server.sql(place, &made.script());
        assert_eq!(
            stand.rows("SELECT count(*) FROM orders").await,
            json!([[3]]),
            "{place}"
        );
        for name in names {
            let quoted = format!("`{}`", name.trim_end().replace('`', "``"));
            let seen = stand
                .server
                .sql("shop_tollgate", &format!("SELECT * FROM {quoted}"));
            assert!(seen.starts_with("***\t"), "{name}: {seen}");
        }
    }
}

/// A client that takes the end of a name for a half of a letter would run a later name as commands.
#[tokio::test]
async fn a_client_that_would_misread_names_stops_before_them() {
    let hostile = "CREATE TABLE `縗` (`縡` int, `x\\! touch nothing` int)";
    let stand = Stand::new(hostile).await;
    let script = database(&stand.spec).views(&root()).await.unwrap().script();
    stand.server.sql("mysql", "DROP DATABASE shop_tollgate");
    for (charset, right) in [
        ("gbk", false),
        ("sjis", false),
        ("big5", false),
        ("latin1", true),
        ("utf8mb4", true),
    ] {
        let run = stand.server.sql_in(charset, "mysql", &script);
        assert_eq!(run.is_ok(), right, "{charset}: {run:?}");
        let made =
            stand.sql("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'shop_tollgate'");
        assert_eq!(made == "1", right, "{charset}");
    }
}

/// Views that somebody else made in a database that was named by mistake are not ours to drop.
#[tokio::test]
async fn another_s_view_is_not_dropped() {
    let stand = Stand::new("").await;
    stand.sql("CREATE VIEW shop_tollgate.report AS SELECT 1 AS one");
    stand.make_views().await;
    assert_eq!(stand.sql("SELECT one FROM shop_tollgate.report"), "1");
    let (code, _) = stand.refused("SELECT one FROM report").await;
    assert_ne!(code, "none");
}

/// What the server makes of quotation marks, backslashes and bars by itself is not what our connections have.
#[tokio::test]
async fn the_servers_own_modes_change_nothing() {
    let stand = Stand::new("").await;
    for mode in [
        "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE",
        "ORACLE",
        "MSSQL",
        "EMPTY_STRING_IS_NULL,PAD_CHAR_TO_FULL_LENGTH,REAL_AS_FLOAT,NO_UNSIGNED_SUBTRACTION",
        "PAD_CHAR_TO_FULL_LENGTH,REAL_AS_FLOAT,NO_UNSIGNED_SUBTRACTION,TIME_TRUNCATE_FRACTIONAL",
    ] {
        let others = if is_mysql() {
            ["ORACLE", "MSSQL", "EMPTY"].as_slice()
        } else {
            &["TRUNCATE"]
        };
        if others.iter().any(|other| mode.contains(other)) {
            continue; // a mode of the other kind of server
        }
        stand.sql(&format!(
            "SET GLOBAL sql_mode = '{mode}'; SET GLOBAL character_set_client = latin1; SET GLOBAL character_set_connection = latin1;
             SET GLOBAL character_set_results = latin1; SET GLOBAL init_connect = 'SET NAMES gbk'"
        ));
        stand.make_views().await;
        let stand_ref = &stand;
        // Connections that were ready before the change have none of it either way; new ones follow them.
        for _ in 0..3 {
            let rows = stand_ref
                .rows("SELECT \"email\", 'a\\'b', '\\\\', '縗\\' OR 1=1 -- ', '' IS NULL, not 1 between -5 and 5, email FROM customers WHERE id = 1")
                .await;
            assert_eq!(
                rows,
                json!([["email", "a'b", "\\", "縗' OR 1=1 -- ", 0, 0, "***"]]),
                "{mode}"
            );
        }
    }
}

/// What is there and was made by somebody else is not written over, whatever its name.
#[tokio::test]
async fn another_s_things_are_not_written_over() {
    let stand = Stand::new("").await;
    stand.sql("CREATE VIEW shop_tollgate.report AS SELECT 1 AS one; CREATE TABLE report (a int)");
    let refused = database(&stand.spec).make_views(&root()).await.unwrap_err();
    let why = refused.detail.unwrap();
    assert!(
        why.contains("shop_tollgate.report is there and is somebody else's"),
        "{why}"
    );
    assert_eq!(stand.sql("SELECT one FROM shop_tollgate.report"), "1");
    stand.sql("DROP VIEW shop_tollgate.report; CREATE TABLE shop_tollgate.report (kept int)");
    assert!(database(&stand.spec).views(&root()).await.is_err());
    stand.sql("DROP TABLE shop_tollgate.report");
    stand.make_views().await;
    // One that was made and that somebody put another in the place of is made again.
    stand.sql("CREATE OR REPLACE VIEW shop_tollgate.report AS SELECT 1 AS one");
    stand.make_views().await;
    assert_eq!(stand.rows("SELECT count(*) FROM report").await, json!([[0]]));
}

/// The views have the rights of an account that nobody may use.
#[tokio::test]
async fn an_account_that_somebody_can_use_owns_no_views() {
    let stand = Stand::new("CREATE ROLE boss").await;
    for (change, undo, word) in [
        (
            "ALTER USER tollgate_views@localhost ACCOUNT UNLOCK",
            "ALTER USER tollgate_views@localhost ACCOUNT LOCK",
            "is not locked",
        ),
        (
            "ALTER USER tollgate_views@localhost IDENTIFIED BY 'known-to-somebody' ACCOUNT UNLOCK",
            "ALTER USER tollgate_views@localhost ACCOUNT LOCK",
            "is not locked",
        ),
        (
            "GRANT PROXY ON tollgate_views@localhost TO reader",
            "REVOKE PROXY ON tollgate_views@localhost FROM reader",
            "PROXY",
        ),
        (
            "GRANT FILE ON *.* TO tollgate_views@localhost",
            "REVOKE FILE ON *.* FROM tollgate_views@localhost",
            "FILE ON *.*",
        ),
        (
            "GRANT INSERT ON shop.* TO tollgate_views@localhost",
            "REVOKE INSERT ON shop.* FROM tollgate_views@localhost",
            "INSERT",
        ),
        (
            "GRANT boss TO tollgate_views@localhost",
            "REVOKE boss FROM tollgate_views@localhost",
            "boss",
        ),
        (
            "GRANT SELECT ON shop.* TO tollgate_views@localhost WITH GRANT OPTION",
            "REVOKE GRANT OPTION ON shop.* FROM tollgate_views@localhost",
            "SELECT, SHOW VIEW ON `shop`.*",
        ),
    ] {
        stand.sql(change);
        let refused = database(&stand.spec).make_views(&root()).await.unwrap_err();
        let why = refused.detail.unwrap();
        assert!(
            why.contains(word) && why.contains("'tollgate_views'@'localhost'"),
            "{change}: {why}"
        );
        assert!(
            !why.contains("known-to-somebody") && !why.contains("PASSWORD '"),
            "{why}"
        );
        stand.sql(undo);
        stand.make_views().await;
    }
}

/// What is printed for an administrator to read shows every character, and is run as it is meant.
#[tokio::test]
async fn a_name_that_would_steer_a_terminal_is_shown_in_escapes() {
    let names = [
        "a\u{1b}[2Jb",
        "one\r\nDROP TABLE shop.orders;",
        "\u{202e}snwo",
        "z\u{200b}z",
    ];
    let tables: Vec<String> = names
        .iter()
        .map(|name| format!("CREATE TABLE `{name}` (`{name}` varchar(40), id int)"))
        .collect();
    let stand = Stand::new(&tables.join(";")).await;
    let script = database(&stand.spec).views(&root()).await.unwrap().script();
    let hidden = |c: char| c != '\n' && tollgate::call::is_unseen(c);
    assert!(!script.contains(hidden), "{script}");
    assert!(
        !script.lines().any(|line| line.starts_with("DROP TABLE")),
        "{script}"
    );
    stand.server.sql(
        "mysql",
        "DROP DATABASE shop_tollgate; CREATE DATABASE shop_tollgate",
    );
    stand.server.sql("mysql", &script);
    assert_eq!(stand.rows("SELECT count(*) FROM orders").await, json!([[3]]));
}
