//! A change of MariaDB as an organisation has it: the real binary and the shipped policies, an agent that asks, a
//! person who sees the effect and decides. It happens once, whatever ends in between.

use serde_json::{Value, json};

use super::changes::WRITES;
use super::{PASSWORD, SHOP, server};
use crate::effects::{changed, dan, pending, ran, wait};
use crate::policy::write;
use crate::support::BINARY;
use crate::support::governed::Governed;
use crate::support::mysql::{self, Mysql};
use crate::support::process::verify;
use crate::support::site::envelope;

const RAISE: &str = "UPDATE orders SET cents = cents + 100 WHERE customer_id = 1";

fn change(statement: &str) -> Value {
    json!({ "resource": "records", "statement": statement })
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn printed(folder: &std::path::Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(BINARY);
    let output = command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server with the shop, made ready by what the program prints, and a Tollgate whose resource `records` it is.
pub(super) async fn stand() -> (Mysql, Governed) {
    let server = server(&[SHOP], &[]).await;
    let (account, password) = WRITES;
    server.sql(
        "mysql",
        &format!("CREATE USER {account} IDENTIFIED BY '{password}'"),
    );
    let all = Governed::new(0).await;
    let folder = all.site.dir.path().to_owned();
    std::fs::remove_dir_all(folder.join("policies/tests")).unwrap(); // they know of no second database
    write(&folder, "password", PASSWORD);
    write(&folder, "writes", password);
    write(&folder, "root", mysql::PASSWORD);
    all.site.configure(&format!(
        "[[resource]]\nname = \"records\"\nkind = \"mysql\"\ndescription = \"the records\"\nlabels = [\"shop\", \"prod\"]\nurl = \"{}\"\n\
         password = \"file:{folder}/password\"\nwrite = \"{account}\"\nwrite_password = \"file:{folder}/writes\"\n\
         [resource.columns]\n\"customers.id\" = \"public\"\n\"orders.id\" = \"public\"\n\"orders.customer_id\" = \"public\"\n\"orders.cents\" = \"public\"\n",
        server.url("reader", "shop"),
        folder = folder.display(),
    ));
    let root = format!("file:{}", folder.join("root").display());
    printed(
        &folder,
        &[
            "db",
            "views",
            "records",
            "--apply",
            "--as",
            "root",
            "--password",
            &root,
        ],
    );
    let grants = printed(
        &folder,
        &["db", "grants", "records", "--write", "orders,customers"],
    );
    assert!(
        grants.contains("GRANT SELECT (`id`), INSERT, UPDATE, DELETE ON `shop`.`customers` TO 'writer'@'%';"),
        "{grants}"
    );
    server.sql("mysql", &grants);
    let said = printed(&folder, &["doctor", "db", "records"]);
    assert!(said.contains("writer"), "{said}");
    (server, all)
}

fn cents(server: &Mysql) -> String {
    server.sql(
        "shop",
        "SELECT GROUP_CONCAT(cents ORDER BY id SEPARATOR ' ') FROM orders",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_sees_the_effect_approves_it_and_it_happens_once() {
    let (database, mut all) = stand().await;
    let server = all.serve().await;
    let agent = dan(&all.site);
    let id = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_eq!(cents(&database), "500 700 900", "it was only measured");
    let (dan_person, lea) = (all.person("dan", &["dba"]), all.person("lea", &["dba"]));
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["effect"]["rows"],
        json!({"orders": {"updated": 2}}),
        "{sheet}"
    );
    let sample = sheet["effect"]["sample"].as_array().unwrap();
    assert_eq!(sample.len(), 2, "{sheet}");
    for row in sample {
        let cents = |side: &str| row[side]["cents"].as_i64().unwrap();
        assert_eq!(cents("after"), cents("before") + 100, "{row}");
    }
    assert_eq!(dan_person.try_approve(&sheet).await.0, 403, "their own request");
    lea.approve(&sheet).await;
    // Another row of the same kind appears: more than was approved is asked anew, with what it would be now.
    database.sql("shop", "UPDATE orders SET customer_id = 1 WHERE id = 12");
    let new = pending(&agent.call("sql_execute", change(RAISE)).await);
    assert_ne!(new, id);
    assert_eq!(cents(&database), "500 700 900", "nothing stayed");
    let sheet = lea.asked().await;
    assert_eq!(
        sheet["effect"]["rows"],
        json!({"orders": {"updated": 3}}),
        "{sheet}"
    );
    assert_eq!(sheet["effect"]["sample"].as_array().unwrap().len(), 3, "{sheet}");
    lea.approve(&sheet).await;
    let several = (0..4).map(|_| agent.call("sql_execute", change(RAISE)));
    for answer in futures::future::join_all(several).await {
        // Who comes while another one is at it is told to come again.
        let waits = envelope(&answer)["status"] == "approval_pending";
        if !waits && envelope(&answer)["refusal"]["code"] != json!("target_failed") {
            changed(&answer, 3);
        }
    }
    let again = agent.call("approval_wait", wait(&new)).await;
    assert!(envelope(&again)["repeats"].is_string(), "{again}");
    assert_eq!(cents(&database), "600 800 1000", "once");
    let ran = ran(&all.site, "sql_execute").await;
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0]["approval"]["approvers"], json!(["test#lea"]), "{}", ran[0]);
    assert_eq!(ran[0]["effect"]["rows"], json!({"orders": {"updated": 3}}));
    // A mask is never written back, and a name that nobody may know is not in the journal.
    let mask = agent
        .call(
            "sql_execute",
            change("UPDATE customers SET name = '***' WHERE id = 1"),
        )
        .await;
    assert_eq!(
        envelope(&mask)["refusal"]["code"],
        json!("statement_refused"),
        "{mask}"
    );
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    assert_eq!(verify(&all.site, &[])["problem_count"], json!(0));
}
