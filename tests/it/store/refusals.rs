//! Servers that could lose what was promised, or let others change it, are refused at the start.

use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::{Store, Tuning};

use super::{SECRET, server};
use crate::support::postgres::Postgres;

fn tuning() -> Tuning {
    Tuning {
        password: Some(std::sync::Arc::new(Secret::new(SECRET.to_owned()))),
        ..Tuning::default()
    }
}

async fn refusal(pg: &Postgres) -> String {
    let url = pg.url("tollgate", "gate");
    let said = match Store::open(&url, &tuning()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!said.contains(SECRET), "{said}");
    said
}

#[tokio::test]
async fn a_server_that_forgets_is_refused() {
    let mut pg = server().await;
    for (setting, word) in [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("synchronous_commit = local", "synchronous_commit is local"),
    ] {
        pg.sql("postgres", &format!("ALTER ROLE tollgate SET {setting}"));
        assert!(refusal(&pg).await.contains(word));
    }
    pg.sql("postgres", "ALTER ROLE tollgate RESET ALL");
    drop(Store::open(&pg.url("tollgate", "gate"), &tuning()).await.unwrap());
    pg.stop(false);
    pg.standby(true);
    pg.again().await;
    assert!(refusal(&pg).await.contains("standby; name the primary"));
    pg.stop(false);
    pg.standby(false);
    pg.set(&["fsync=off"]);
    pg.again().await;
    assert!(refusal(&pg).await.contains("fsync is off"));
}

#[tokio::test]
async fn an_asynchronous_standby_is_refused_and_a_synchronous_one_is_not() {
    let pg = server().await;
    let standby = pg.follower().await;
    let word = "an asynchronous standby is connected";
    assert!(refusal(&pg).await.contains("GRANT pg_read_all_stats TO tollgate"));
    pg.sql("postgres", "GRANT pg_read_all_stats TO tollgate");
    assert!(refusal(&pg).await.contains(word));
    pg.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    pg.sql("postgres", "SELECT pg_reload_conf()");
    crate::support::until("a synchronous standby", async || {
        (pg.sql("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync").then_some(())
    })
    .await;
    Store::open(&pg.url("tollgate", "gate"), &tuning()).await.unwrap();
    drop(standby);
}

#[tokio::test]
async fn a_schema_that_others_may_write_or_have_is_refused() {
    let pg = server().await;
    let url = pg.url("tollgate", "gate");
    drop(Store::open(&url, &tuning()).await.unwrap());
    pg.sql("gate", "CREATE ROLE other");
    for grant in [
        "INSERT ON tollgate.journal TO other",
        "UPDATE ON tollgate.approval TO PUBLIC",
        "TRIGGER ON tollgate.head TO other",
        "CREATE ON SCHEMA tollgate TO other",
        "UPDATE (state) ON tollgate.approval TO other",
        "INSERT (seq, record) ON tollgate.journal TO PUBLIC",
    ] {
        pg.sql("gate", &format!("GRANT {grant}"));
        assert!(refusal(&pg).await.contains("other roles may write it"), "{grant}");
        pg.sql("gate", &format!("REVOKE {}", grant.replace(" TO ", " FROM ")));
    }
    pg.sql("gate", "GRANT SELECT ON tollgate.journal TO other");
    drop(Store::open(&url, &tuning()).await.unwrap());
    pg.sql(
        "gate",
        "CREATE SCHEMA theirs AUTHORIZATION tollgate; CREATE TABLE theirs.customers (id int)",
    );
    let theirs = Store::open(&format!("{url}?schema=theirs"), &tuning()).await;
    assert!(theirs.unwrap_err().to_string().contains("something else"));
    let missing = Store::open_existing(&format!("{url}?schema=typo"), &tuning()).await;
    assert!(missing.unwrap_err().to_string().contains("there is no store"));
    assert_eq!(
        pg.sql("gate", "SELECT count(*) FROM pg_namespace WHERE nspname = 'typo'"),
        "0"
    );
}

/// What writers wait for is nothing that somebody can hold who may only connect, or read.
#[tokio::test]
async fn who_may_not_write_cannot_keep_others_from_writing() {
    let pg = server().await;
    let store = Store::open(&pg.url("tollgate", "gate"), &tuning()).await.unwrap();
    pg.sql(
        "gate",
        "CREATE ROLE other LOGIN PASSWORD 'others'; GRANT USAGE ON SCHEMA tollgate TO other; \
         GRANT SELECT ON ALL TABLES IN SCHEMA tollgate TO other",
    );
    let mut tx = Rows::new(store).write().await.unwrap();
    assert!(tx.row("none").await.unwrap().is_none());
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(pg.sql("gate", held), "0");
    tx.commit().await.unwrap();
    for sql in [
        "SELECT one FROM tollgate.writer FOR UPDATE",
        "SELECT one FROM tollgate.writer FOR SHARE",
        "BEGIN; LOCK TABLE tollgate.writer IN ROW EXCLUSIVE MODE; COMMIT",
        "SELECT size FROM tollgate.head FOR UPDATE",
    ] {
        let said = pg.sql_as(("other", "others"), "gate", sql).unwrap_err();
        assert!(said.contains("permission denied"), "{sql}: {said}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_repeated() {
    let pg = server().await;
    let wrong = Tuning {
        password: Some(std::sync::Arc::new(Secret::new("another-secret".to_owned()))),
        ..Tuning::default()
    };
    let error = Store::open(&pg.url("tollgate", "gate"), &wrong)
        .await
        .unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(!said.contains("another-secret"), "{said}");
}
