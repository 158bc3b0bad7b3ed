//! What the operator of a database is told, by the real binary.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tollgate::resource::sql::mysql::Writer;

use super::{PASSWORD, SHOP, Stand, database, server};
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

/// What the doctor finds, one line each, and whether it is content.
fn doctor(folder: &Path) -> (bool, String) {
    let output = tollgate(folder, &["doctor", "db", "records", "--json"]);
    let said = text(&output.stdout);
    let found: Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", text(&output.stderr)));
    let findings = found[0]["findings"].as_array().unwrap().iter();
    let lines = findings.map(|one| {
        format!(
            "{} {}",
            one["level"].as_str().unwrap(),
            one["text"].as_str().unwrap()
        )
    });
    (output.status.success(), lines.collect::<Vec<_>>().join("\n"))
}

/// What a command prints that must go well.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = tollgate(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_grants_and_views_mend_it() {
    let mut server = server(&[SHOP, "GRANT ALL ON *.* TO reader WITH GRANT OPTION"], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init", "gateway"]);
    let gateway = folder.path().join("gateway");
    write(&gateway, "password", PASSWORD);
    write(&gateway, "root", mysql::PASSWORD);
    let before = std::fs::read_to_string(gateway.join("tollgate.toml")).unwrap();
    let resource = format!(
        "\n[[resource]]\nname = \"records\"\nkind = \"mysql\"\ndescription = \"the records\"\nurl = \"{}\"\npassword = \"file:{}\"\n\
         [resource.columns]\n\"customers.id\" = \"public\"\n\"customers.city\" = \"public\"\n\"orders.id\" = \"public\"\n",
        server.url("reader", "shop"),
        gateway.join("password").display(),
    );
    write(&gateway, "tollgate.toml", &(before + &resource));

    let (content, said) = doctor(&gateway);
    assert!(
        !content && said.contains("bad the account may give away "),
        "{said}"
    );
    assert!(
        said.contains("bad the masking views are not in the database shop_tollgate"),
        "{said}"
    );

    let grants = printed(&gateway, &["db", "grants", "records"]);
    assert!(
        grants.contains("GRANT SELECT, SHOW VIEW ON `shop\\_tollgate`.* TO 'reader'@'%';"),
        "{grants}"
    );
    server.sql("mysql", &grants);

    let root = format!("file:{}", gateway.join("root").display());
    let views = ["db", "views", "records", "--as", "root", "--password", &root];
    let script = printed(&gateway, &views);
    assert!(script.contains("'***' AS `email`"), "{script}");
    let (content, said) = doctor(&gateway);
    assert!(
        !content && said.contains("not in the database"),
        "printing changes nothing: {said}"
    );
    server.sql("mysql", &script);
    let (content, said) = doctor(&gateway);
    assert!(
        content && said.contains("customers: nobody listed name, email, born; masked"),
        "{said}"
    );
    assert!(
        said.contains("ok statements name the masking views in shop_tollgate"),
        "{said}"
    );

    // What lies in the order of a masked column shows it, and no view hides that.
    assert!(!said.contains("its rows lie in the order"), "{said}");
    server.sql(
        "shop",
        "CREATE TABLE people (email varchar(100), at int, PRIMARY KEY (at, email))",
    );
    server.sql(
        "shop",
        "CREATE TABLE heap (email varchar(100) PRIMARY KEY) ENGINE = MyISAM",
    );
    printed(&gateway, &[&views[..], &["--apply"]].concat());
    let (content, said) = doctor(&gateway);
    assert!(
        content && said.contains("people: its rows lie in the order of email, at, which is masked"),
        "{said}"
    );
    assert!(!said.contains("heap: its rows"), "{said}");

    server.sql("shop", "ALTER TABLE customers RENAME COLUMN city TO town");
    let (content, said) = doctor(&gateway);
    assert!(!content && said.contains("customers has other columns"), "{said}");
    let refused = tollgate(&gateway, &[&views[..], &["--apply"]].concat());
    assert!(
        text(&refused.stderr).contains("customers.city, which is not there"),
        "{}",
        text(&refused.stderr)
    );
    server.sql("shop", "ALTER TABLE customers RENAME COLUMN town TO city");
    printed(&gateway, &[&views[..], &["--apply"]].concat());
    assert!(doctor(&gateway).0);

    let limited = tollgate(
        &gateway,
        &[
            "db",
            "views",
            "records",
            "--as",
            "reader",
            "--password",
            &format!("file:{}", gateway.join("password").display()),
        ],
    );
    assert!(!limited.status.success());
    let wrong = tollgate(
        &gateway,
        &["db", "views", "records", "--as", "root", "--password", "hunter2"],
    );
    assert!(
        !wrong.status.success() && !text(&wrong.stderr).contains("hunter2"),
        "{}",
        text(&wrong.stderr)
    );
    server.stop(false);
    let (content, said) = doctor(&gateway);
    assert!(!content && said.contains("cannot be reached"), "{said}");
}

/// What an account needs for changes is said where changes can be made, and nothing half of it elsewhere.
#[tokio::test]
async fn what_changes_need_is_printed_or_refused_with_what_is_missing() {
    let stand = Stand::with("", |spec| {
        spec.writer = Some(Writer {
            account: "writer".to_owned(),
            password: None,
        });
    })
    .await;
    let said = database(&stand.spec).write_grants(&["orders".to_owned()]).await;
    match mysql::is_mysql() {
        true => {
            let refusal = said.unwrap_err();
            assert!(refusal.message.contains("need MariaDB"), "{refusal:?}");
            assert!(!refusal.suggestion.is_empty(), "{refusal:?}");
        }
        false => assert!(
            said.unwrap()
                .contains("INSERT, UPDATE, DELETE ON `shop`.`orders`")
        ),
    }
}
