use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::db::query;
use super::*;
use crate::store::journal::Head;

fn url(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", folder.join(name).display())
}

async fn refusal(url: &str) -> String {
    match Store::open(url, &Tuning::default()).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{url} was opened"),
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

#[tokio::test]
async fn a_new_store_is_private_durable_and_marked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&url(folder.path(), "a.db"), &Tuning::default())
        .await
        .expect("made");
    let mut conn = store.connect().await.expect("open");
    for (pragma, expected) in [
        ("PRAGMA application_id", file::APPLICATION_ID),
        ("PRAGMA user_version", file::FORMAT),
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA trusted_schema", 0),
        ("PRAGMA secure_delete", 1),
    ] {
        let value: i64 = db::query_scalar(pragma)
            .fetch_one(&mut conn)
            .await
            .expect("a value");
        assert_eq!(value, expected, "{pragma}");
    }
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
    Store::open(&url(folder.path(), "a.db"), &Tuning::default())
        .await
        .expect("opened again");
}

#[tokio::test]
async fn many_first_starts_at_once_make_one_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = testing::url(&folder.path().join("a.db"));
    let opened =
        futures::future::join_all((0..8).map(async |_| Store::open(&url, &Tuning::default()).await)).await;
    assert!(opened.iter().all(Result::is_ok));
    let head = opened[0]
        .as_ref()
        .expect("open")
        .reader()
        .await
        .expect("read")
        .head()
        .await
        .expect("a head");
    assert_eq!(head, Head::default());
}

#[tokio::test]
async fn files_that_others_may_write_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = url(folder.path(), "a.db");
    drop(Store::open(&url, &Tuning::default()).await.expect("made"));
    let path = folder.path().join("a.db");
    for bad in [0o620, 0o602, 0o666] {
        mode(&path, bad);
        assert!(refusal(&url).await.contains("chmod go-w"), "{bad:o}");
    }
    mode(&path, 0o600);
    std::fs::write(folder.path().join("a.db-wal"), b"").expect("written");
    mode(&folder.path().join("a.db-wal"), 0o666);
    assert!(refusal(&url).await.contains("a.db-wal"));
    std::fs::remove_file(folder.path().join("a.db-wal")).expect("removed");
    mode(folder.path(), 0o777);
    assert!(refusal(&url).await.contains("replace files"));
    mode(folder.path(), 0o700);
    Store::open(&url, &Tuning::default()).await.expect("opened again");
}

#[tokio::test]
async fn what_is_not_a_store_of_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for bad in [
        "postgres:",
        "mysql://x",
        "tollgate.db",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:a.db?mode=ro",
    ] {
        assert!(refusal(bad).await.contains("write `"), "{bad}");
    }
    let other = folder.path().join("shop.db");
    let conn = rusqlite::Connection::open(&other).expect("made");
    conn.execute_batch("CREATE TABLE customers (id)").expect("made");
    mode(&other, 0o600);
    assert!(
        refusal(&url(folder.path(), "shop.db"))
            .await
            .contains("something else")
    );
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .expect("read");
    assert_eq!(tables, 1);

    let newer = url(folder.path(), "newer.db");
    drop(Store::open(&newer, &Tuning::default()).await.expect("made"));
    let conn = rusqlite::Connection::open(folder.path().join("newer.db")).expect("open");
    conn.execute_batch("PRAGMA user_version = 2").expect("set");
    assert!(refusal(&newer).await.contains("newer Tollgate"));

    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but more than a hundred bytes of text that is something else. ".repeat(9),
    )
    .expect("written");
    mode(&text, 0o600);
    assert!(
        Store::open(&url(folder.path(), "notes.txt"), &Tuning::default())
            .await
            .is_err()
    );
    let missing = url(folder.path(), "typo.db");
    assert!(Store::open_existing(&missing, &Tuning::default()).await.is_err());
    assert!(!folder.path().join("typo.db").exists());
}

#[tokio::test]
async fn records_can_be_added_and_neither_changed_nor_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = testing::open(&folder.path().join("a.db")).await;
    let mut conn = store.connect().await.expect("open");
    query("INSERT INTO journal (seq, leaf, at, phase, record) VALUES (0, ?, 'now', 'config', ?)")
        .bind(vec![0; 32])
        .bind(b"{}".to_vec())
        .execute(&mut conn)
        .await
        .expect("added");
    query("INSERT INTO checkpoint VALUES (1, 'note', ?)")
        .bind(Vec::new())
        .execute(&mut conn)
        .await
        .expect("added");
    for sql in [
        "UPDATE journal SET record = leaf",
        "DELETE FROM journal",
        "UPDATE checkpoint SET note = ''",
        "DELETE FROM checkpoint",
    ] {
        let error = query(sql).execute(&mut conn).await.expect_err(sql);
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_store_reached_over_a_link_has_the_same_leases() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(real.join("tollgate.db"), folder.path().join("other.db")).unwrap();
    let direct = Store::open(&url(&real, "tollgate.db"), &Tuning::default())
        .await
        .unwrap();
    for path in ["link/tollgate.db", "other.db"] {
        let linked = Store::open(&url(folder.path(), path), &Tuning::default())
            .await
            .unwrap();
        assert_eq!(linked.file(), direct.file(), "{path}");
    }
}

/// What a backup carries is all there is, on either engine: so both have the same tables and columns.
#[tokio::test]
async fn every_table_and_column_is_in_a_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = testing::open(&folder.path().join("a.db")).await;
    let mut conn = store.connect().await.expect("open");
    let sql = if conn.is_sqlite() {
        "SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    } else {
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    };
    let there: Vec<String> = db::query_scalar(sql).fetch_all(&mut conn).await.expect("columns");
    let mut there: Vec<&str> = there.iter().map(String::as_str).collect();
    // SQLite has it without naming it.
    there.retain(|column| *column != "approval.rowid" && !column.starts_with("_sqlx_migrations."));
    there.sort_unstable();
    let carried = copy::TABLES.iter().flat_map(|(table, columns)| {
        let names = columns.split(' ').filter_map(|column| column.split_once(':'));
        names.map(move |(name, _)| format!("{table}.{name}"))
    });
    let left_out = [
        // Said by the requests themselves, whenever one is written.
        "approval_asked.approval",
        "approval_asked.rule",
        "approval_asked.of_group",
        "approval_asked.later",
        "probe.one",
        "probe.filler",
        "replica.boot",
        "replica.seen_at",
        "writer.one",
    ];
    let mut carried: Vec<String> = carried
        .chain(left_out.map(str::to_owned))
        .filter(|column| column != "approval.rowid")
        .collect();
    carried.sort_unstable();
    assert_eq!(carried, there);
}

#[cfg(feature = "postgres")]
#[test]
fn both_engines_take_the_same_steps() {
    let names = |steps: &Steps| {
        steps
            .0
            .iter()
            .map(|(number, name, _)| (*number, *name))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&SQLITE), names(&POSTGRES));
}

/// A replica of the version before has written rows and goes on writing them its way, while a newer one takes the store
/// over: what it wrote is read, and what it writes is taken.
#[tokio::test]
async fn a_store_of_the_version_before_is_taken_over_while_that_version_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.db");
    let tuning = Tuning::default();
    let Ok(Address::File(path)) = Address::parse(&url(folder.path(), "a.db")) else {
        panic!("a file");
    };
    file::create(&path).expect("made");
    let before = Steps(&SQLITE.0[..SQLITE.0.len() - 1]);
    let database = file::Database::new(file.clone(), &tuning).expect("opened");
    let mut old = database.connect().await.expect("a connection");
    database.claim(&mut old).await.expect("claimed");
    let migrated = before.migrator().run_direct(None, &mut old, false).await;
    migrated.expect("the tables of the version before");
    let mut old = Conn::Sqlite(old);
    let request = |number: u8| {
        format!(
            "INSERT INTO approval (id, state, request_key, asked_sha256, action_sha256, issuer, subject, client_id, \
             session, tool, resource, unattended, terms, created_at, decide_by) VALUES ('{number}', 'pending', \
             x'{number:064x}', zeroblob(32), zeroblob(32), 'corp', 'ann', 'editor', 's', 'sql_execute', \
             'shop', 0, '{{}}', 1, 2)"
        )
    };
    let decision = |number: u8| {
        format!(
            "INSERT INTO approval_decision (approval, issuer, subject, groups, approves, at, method, wish, acr, \
             standing_for) VALUES ('{number}', 'corp', 'dan', '[\"dba\"]', 1, 1, NULL, NULL, NULL, NULL)"
        )
    };
    for sql in [request(1), decision(1)] {
        old.run(sql).await.expect("the version before writes");
    }
    let newer = Store::open_at(&Address::File(path), &tuning)
        .await
        .expect("taken over");
    for sql in [request(2), decision(2)] {
        old.run(sql).await.expect("the version before goes on");
    }
    let rows = rows::Rows::new(newer);
    let mut tx = rows.read().await.expect("read");
    for id in ["1", "2"] {
        let decisions = tx.decisions(id).await.expect("read");
        assert_eq!(decisions.len(), 1);
        assert_eq!(
            (decisions[0].groups.as_str(), &decisions[0].standing),
            ("[\"dba\"]", &None)
        );
    }
}
