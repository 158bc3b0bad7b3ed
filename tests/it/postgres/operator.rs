//! What the operator of a database is told, by the real binary.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{PASSWORD, SHOP};
use crate::policy::write;
use crate::support::BINARY;
use crate::support::postgres::Postgres;

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

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_the_grants_mend_it() {
    let mut server = Postgres::start().await;
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", SHOP);
    server.sql(
        "shop",
        &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}' SUPERUSER"),
    );
    let folder = tempfile::tempdir().unwrap();
    let made = tollgate(folder.path(), &["init", "gateway"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let gateway = folder.path().join("gateway");
    write(&gateway, "password", PASSWORD);
    let config = gateway.join("tollgate.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let resource = format!(
        "\n[[resource]]\nname = \"records\"\nkind = \"postgres\"\ndescription = \"the records\"\nurl = \"{}\"\npassword = \"file:{}\"\n\
         [resource.columns]\n\"customers.id\" = \"public\"\n\"customers.city\" = \"public\"\n\"orders.id\" = \"public\"\n",
        server.url("reader", "shop"),
        gateway.join("password").display(),
    );
    write(&gateway, "tollgate.toml", &(before + &resource));

    let (content, said) = doctor(&gateway);
    assert!(!content && said.contains("bad the role is a superuser"), "{said}");
    assert!(said.contains("nobody listed name, email, born"), "{said}");

    server.sql("shop", "ALTER ROLE reader NOSUPERUSER");
    let (content, said) = doctor(&gateway);
    assert!(
        content && said.contains("the role may not read id, city"),
        "{said}"
    );

    let grants = tollgate(&gateway, &["db", "grants", "records"]);
    assert!(grants.status.success(), "{}", text(&grants.stderr));
    let script = text(&grants.stdout);
    assert!(
        script.contains("GRANT SELECT (\"id\", \"city\") ON TABLE \"public\".\"customers\" TO \"reader\""),
        "{script}"
    );
    server.sql("shop", "GRANT SELECT ON customers TO reader");
    server.sql("shop", &script);
    let (content, said) = doctor(&gateway);
    assert!(
        content && !said.contains("may not read") && !said.contains("never need"),
        "{said}"
    );
    let raw = server.sql_as(("reader", PASSWORD), "shop", "SELECT email FROM customers");
    assert!(
        raw.unwrap_err().contains("permission denied"),
        "the database itself holds the mask"
    );

    let refused = server.sql_as(("reader", PASSWORD), "shop", "DELETE FROM orders WHERE id = 12");
    assert!(
        refused.unwrap_err().contains("permission denied"),
        "it only reads"
    );
    let writes = tollgate(
        &gateway,
        &["db", "grants", "records", "--write", "public.customers,orders"],
    );
    let script = text(&writes.stdout);
    for line in [
        "GRANT INSERT, UPDATE, DELETE ON TABLE \"public\".\"customers\" TO \"reader\";",
        "GRANT SELECT (ctid, xmin, xmax, tableoid) ON TABLE \"public\".\"orders\" TO \"reader\";",
    ] {
        assert!(script.contains(line), "{script}{}", text(&writes.stderr));
    }
    server.sql("shop", "GRANT DELETE ON orders TO reader");
    let (content, said) = doctor(&gateway);
    assert!(
        content && said.contains("may change public.orders, but not see"),
        "{said}"
    );
    for part in script.split_inclusive("COMMIT;\n") {
        server.sql("shop", part);
    }
    let (content, said) = doctor(&gateway);
    assert!(
        content && said.contains("may change public.orders; policies"),
        "{said}"
    );
    server
        .sql_as(("reader", PASSWORD), "shop", "DELETE FROM orders WHERE id = 12")
        .unwrap();
    let none = tollgate(&gateway, &["db", "grants", "records", "--write", "nothing"]);
    assert_eq!(none.status.code(), Some(1), "{}", text(&none.stderr));

    // What lies in the order of a masked column shows it, and no statement hides that.
    let lies = "the table of customers.email lies in the order of that masked column";
    server.sql("shop", "CREATE INDEX by_mail ON customers (lower(email))");
    server.sql("shop", "CREATE INDEX by_city ON customers (city)");
    server.sql("shop", "CLUSTER customers USING by_city");
    assert!(
        !doctor(&gateway).1.contains("lies in the order"),
        "by a public column"
    );
    server.sql("shop", "CLUSTER customers USING by_mail");
    let (content, said) = doctor(&gateway);
    assert!(content && said.contains(lies), "{said}");
    server.sql("shop", "CLUSTER customers USING customers_pkey");
    assert!(
        !doctor(&gateway).1.contains("lies in the order"),
        "in another order again"
    );

    server.sql("shop", "ALTER TABLE customers RENAME COLUMN city TO town");
    let (content, said) = doctor(&gateway);
    assert!(!content && said.contains("customers.city"), "{said}");
    server.stop(false);
    let (content, said) = doctor(&gateway);
    assert!(!content && said.contains("cannot be reached"), "{said}");
    let wrong = tollgate(&gateway, &["doctor", "db", "nothing"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("no [[resource]] `nothing`"),
        "{}",
        text(&wrong.stderr)
    );
}
