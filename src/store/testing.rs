//! Stores for tests, on the engine they are run with: files, or the server of `TOLLGATE_TEST_POSTGRES`
//! (`scripts/with-postgres` starts one).

use std::path::Path;

pub(crate) use super::db::Cell;
use super::db::{Conn, query};
use super::{Address, Store, StoreError, Tuning};

/// The address of the store that a test means by this file: the file, or a schema of its own.
pub(crate) fn url(file: &Path) -> String {
    let Ok(server) = std::env::var("TOLLGATE_TEST_POSTGRES") else {
        return format!("sqlite:{}", file.display());
    };
    let name = file.to_str().expect("UTF-8");
    let hash = crate::call::Hash::of(name.as_bytes()).hex();
    format!("{server}?schema=t{}", hash.get(..24).expect("hexadecimal"))
}

pub(crate) fn on_server() -> bool {
    std::env::var_os("TOLLGATE_TEST_POSTGRES").is_some()
}

pub(crate) async fn open(file: &Path) -> Store {
    try_open(file, &Tuning::default()).await.expect("a store")
}

pub(crate) async fn try_open(file: &Path, tuning: &Tuning) -> Result<Store, StoreError> {
    Store::open_at(&Address::parse(&url(file)).expect("an address"), tuning).await
}

/// On a thread and a runtime of its own, so that what is not async can ask.
fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("an answer"))
}

/// What both engines are told in tests, in the words of this one.
fn spoken(conn: &Conn, sql: &str) -> String {
    match conn.is_sqlite() {
        true => sql.to_owned(),
        false => sql.replace("x'", "'\\x").replace("group_concat(", "string_agg("),
    }
}

/// Time passes until processes that are gone are taken for dead.
pub(crate) async fn age(file: &Path) {
    if on_server() {
        let store = open(file).await;
        store.tamper(&[], "UPDATE replica SET seen_at = seen_at - 100000");
    }
}

impl Store {
    /// Runs statements behind everybody's back, triggers of that name away.
    pub(crate) fn tamper(&self, without: &[(&str, &str)], sql: &str) {
        apart(async {
            let mut conn = self.connect().await.expect("a connection");
            for (trigger, table) in without {
                let on = if conn.is_sqlite() {
                    String::new()
                } else {
                    format!(" ON {table}")
                };
                conn.run(format!("DROP TRIGGER IF EXISTS {trigger}{on}"))
                    .await
                    .expect("dropped");
            }
            let sql = spoken(&conn, sql);
            conn.run(sql.clone()).await.expect(&sql);
            conn.close().await.expect("closed");
        });
    }

    /// The first column of the first row.
    pub(crate) fn peek<T: Cell + Send>(&self, sql: &str) -> T {
        apart(async {
            let mut conn = self.connect().await.expect("a connection");
            let row = query(spoken(&conn, sql)).fetch_one(&mut conn).await.expect(sql);
            conn.close().await.expect("closed");
            row.try_get(0).expect(sql)
        })
    }
}
