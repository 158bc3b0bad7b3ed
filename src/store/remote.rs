//! A connection to a PostgreSQL server that may vanish without a word: nothing is waited for longer than a bound.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Connection, PgConnection, Postgres, SqlSafeStr};

/// A statement with its values.
pub(super) type PgQuery = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A connection that is used up once something sent on it was not answered to its end: what the server made of that
/// is open, and the next answer might be that one's.
#[derive(Debug)]
pub(crate) struct Remote {
    conn: PgConnection,
    within: Duration,
    /// Something was sent, and its answer has not been read to the end.
    asked: bool,
}

impl Remote {
    /// Each answer, and each row of one, must be there `within` that time.
    pub(super) fn new(conn: PgConnection, within: Duration) -> Self {
        Self {
            conn,
            within,
            asked: false,
        }
    }

    pub(super) async fn run(&mut self, sql: impl SqlSafeStr + Send + 'static) -> Result<(), sqlx::Error> {
        let asking = Asking::begin(&mut self.asked, self.within)?;
        asking
            .end(sqlx::raw_sql(sql).execute(&mut self.conn))
            .await
            .map(drop)
    }

    pub(super) async fn execute(&mut self, query: PgQuery) -> Result<u64, sqlx::Error> {
        let asking = Asking::begin(&mut self.asked, self.within)?;
        let done = asking.end(query.execute(&mut self.conn)).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn fetch_one(&mut self, query: PgQuery) -> Result<PgRow, sqlx::Error> {
        let asking = Asking::begin(&mut self.asked, self.within)?;
        asking.end(query.fetch_one(&mut self.conn)).await
    }

    pub(super) async fn fetch_optional(&mut self, query: PgQuery) -> Result<Option<PgRow>, sqlx::Error> {
        let asking = Asking::begin(&mut self.asked, self.within)?;
        asking.end(query.fetch_optional(&mut self.conn)).await
    }

    pub(super) async fn fetch_all(&mut self, query: PgQuery) -> Result<Vec<PgRow>, sqlx::Error> {
        let asking = Asking::begin(&mut self.asked, self.within)?;
        asking.end(query.fetch_all(&mut self.conn)).await
    }

    /// The rows one after the other. Left before its end, the connection is used up.
    pub(super) fn stream(&mut self, query: PgQuery) -> BoxStream<'_, Result<PgRow, sqlx::Error>> {
        let within = self.within;
        let asking = match Asking::begin(&mut self.asked, within) {
            Ok(asking) => asking,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed(),
        };
        let rows = query.fetch(&mut self.conn);
        stream::unfold(Some((rows, asking)), next_row).boxed()
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        let Self {
            conn,
            within,
            mut asked,
        } = self;
        Asking::begin(&mut asked, within)?.end(conn.close()).await
    }
}

type Asked<'a> = (BoxStream<'a, Result<PgRow, sqlx::Error>>, Asking<'a>);

/// The next row, and what the one after it is asked of.
async fn next_row(asked: Option<Asked<'_>>) -> Option<(Result<PgRow, sqlx::Error>, Option<Asked<'_>>)> {
    let (mut rows, asking) = asked?;
    match tokio::time::timeout(asking.within, rows.next()).await {
        Ok(Some(Ok(row))) => Some((Ok(row), Some((rows, asking)))),
        Ok(Some(Err(error))) => {
            asking.answered();
            Some((Err(error), None))
        }
        Ok(None) => {
            asking.answered();
            None
        }
        Err(_) => Some((Err(silent(asking.within)), None)),
    }
}

/// Something that was sent.
struct Asking<'a> {
    asked: &'a mut bool,
    within: Duration,
}

impl<'a> Asking<'a> {
    fn begin(asked: &'a mut bool, within: Duration) -> Result<Self, sqlx::Error> {
        if std::mem::replace(asked, true) {
            return Err(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::NotConnected,
                "the connection was given up: an answer did not come",
            )));
        }
        Ok(Self { asked, within })
    }

    async fn end<T>(self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let within = self.within;
        let answer = tokio::time::timeout(within, answer)
            .await
            .map_err(|_| silent(within))?;
        self.answered();
        answer
    }

    fn answered(self) {
        *self.asked = false;
    }
}

/// What is said of a server that does not answer.
pub(super) fn silent(within: Duration) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("the server has not answered for {} s", within.as_secs_f32()),
    ))
}

/// Whether it is what [`silent`] says.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
