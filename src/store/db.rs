//! One text of SQL for two engines: statements are written once, with `?` placeholders and what SQLite and
//! PostgreSQL both understand, and run on a [`Conn`] of either.
//!
//! Integers are 64 bits on both, truth values are the integers 0 and 1, and a missing value has a type, because
//! PostgreSQL wants to know it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
#[cfg(feature = "postgres")]
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, ColumnIndex, Connection, Row as _, Sqlite, SqliteConnection};

#[cfg(feature = "postgres")]
use super::remote::{PgQuery, Remote};

/// A connection to the store's database.
#[derive(Debug)]
pub(crate) enum Conn {
    /// The file.
    Sqlite(SqliteConnection),
    /// The server.
    #[cfg(feature = "postgres")]
    Postgres(Remote),
}

/// One value to bind.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($from:ty => $kind:ident, $some:expr;)+) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let some: fn($from) -> _ = $some;
                Self::$kind(some(value))
            }
        })+
    };
}

values! {
    i64 => Int, Some;
    Option<i64> => Int, |value| value;
    u32 => Int, |value| Some(i64::from(value));
    bool => Int, |value| Some(i64::from(value));
    Option<bool> => Int, |value| value.map(i64::from);
    String => Text, Some;
    &str => Text, |value| Some(value.to_owned());
    &String => Text, |value| Some(value.clone());
    Option<&str> => Text, |value| value.map(str::to_owned);
    Option<String> => Text, |value| value;
    Option<&String> => Text, |value| value.cloned();
    &Option<String> => Text, Clone::clone;
    Vec<u8> => Bytes, Some;
    &[u8] => Bytes, |value| Some(value.to_vec());
    &Vec<u8> => Bytes, |value| Some(value.clone());
    Option<Vec<u8>> => Bytes, |value| value;
    &Option<Vec<u8>> => Bytes, Clone::clone;
    Option<&[u8]> => Bytes, |value| value.map(<[u8]>::to_vec);
    Arc<[u8]> => Bytes, |value| Some(value.to_vec());
}

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement that gives one column.
#[derive(Debug)]
pub(crate) struct Scalar<T>(Query, PhantomData<fn() -> T>);

/// What a statement has done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done(u64);

impl Done {
    pub(crate) fn rows_affected(self) -> u64 {
        self.0
    }
}

/// A statement of ours: one, with `?` or `?1` for values.
pub(crate) fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query {
        sql: sql.into(),
        values: Vec::new(),
    }
}

/// A statement of ours that gives one column.
pub(crate) fn query_scalar<T>(sql: impl Into<Cow<'static, str>>) -> Scalar<T> {
    Scalar(query(sql), PhantomData)
}

type SqliteQuery = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

impl Query {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) async fn execute(self, conn: &mut Conn) -> Result<Done, sqlx::Error> {
        match conn {
            Conn::Sqlite(conn) => Ok(Done(self.sqlite().execute(conn).await?.rows_affected())),
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => conn.execute(self.postgres()).await.map(Done),
        }
    }

    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<Row, sqlx::Error> {
        match conn {
            Conn::Sqlite(conn) => self.sqlite().fetch_one(conn).await.map(Row::Sqlite),
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => conn.fetch_one(self.postgres()).await.map(Row::Postgres),
        }
    }

    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<Row>, sqlx::Error> {
        match conn {
            Conn::Sqlite(conn) => Ok(self.sqlite().fetch_optional(conn).await?.map(Row::Sqlite)),
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => Ok(conn.fetch_optional(self.postgres()).await?.map(Row::Postgres)),
        }
    }

    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<Row>, sqlx::Error> {
        match conn {
            Conn::Sqlite(conn) => {
                let rows = self.sqlite().fetch_all(conn).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => {
                let rows = conn.fetch_all(self.postgres()).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The rows one after the other, without holding them all.
    pub(crate) fn stream(self, conn: &mut Conn) -> BoxStream<'_, Result<Row, sqlx::Error>> {
        match conn {
            Conn::Sqlite(conn) => self.sqlite().fetch(conn).map_ok(Row::Sqlite).boxed(),
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => conn.stream(self.postgres()).map_ok(Row::Postgres).boxed(),
        }
    }

    fn sqlite(self) -> SqliteQuery {
        let query = match self.sql {
            Cow::Borrowed(sql) => sqlx::query(sql),
            Cow::Owned(sql) => sqlx::query(AssertSqlSafe(sql)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    #[cfg(feature = "postgres")]
    fn postgres(self) -> PgQuery {
        let query = sqlx::query(AssertSqlSafe(numbered(&self.sql)));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value.map(|text| without_nul(&text).into_owned())),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

impl<T: Cell> Scalar<T> {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.0 = self.0.bind(value);
        self
    }

    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<T, sqlx::Error> {
        self.0.fetch_one(conn).await?.try_get(0)
    }

    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<T>, sqlx::Error> {
        let row = self.0.fetch_optional(conn).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<T>, sqlx::Error> {
        let rows = self.0.fetch_all(conn).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

impl Conn {
    /// Runs statements without values, as they are, one after the other.
    pub(crate) async fn run(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.into());
        match self {
            Self::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => conn.run(sql).await,
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => conn.close().await,
        }
    }
}

/// One row of an answer.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(PgRow),
}

/// A column, by its place or its name.
#[cfg(feature = "postgres")]
pub(crate) trait Place: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}
#[cfg(feature = "postgres")]
impl<T: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Place for T {}
/// A column, by its place or its name.
#[cfg(not(feature = "postgres"))]
pub(crate) trait Place: ColumnIndex<SqliteRow> {}
#[cfg(not(feature = "postgres"))]
impl<T: ColumnIndex<SqliteRow>> Place for T {}

/// What a column can be read as.
pub(crate) trait Cell: Sized {
    fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error>;
}

impl Row {
    pub(crate) fn try_get<T: Cell>(&self, place: impl Place) -> Result<T, sqlx::Error> {
        T::of(self, place)
    }
}

macro_rules! cells {
    ($($cell:ty),+) => {
        $(impl Cell for $cell {
            fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
                match row {
                    Row::Sqlite(row) => row.try_get(place),
                    #[cfg(feature = "postgres")]
                    Row::Postgres(row) => row.try_get(place),
                }
            }
        })+
    };
}

cells!(i64, Option<i64>, String, Option<String>, Vec<u8>, Option<Vec<u8>>);

impl Cell for bool {
    fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        i64::of(row, place).map(|value| value != 0)
    }
}

impl Cell for Option<bool> {
    fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        Option::<i64>::of(row, place).map(|value| value.map(|value| value != 0))
    }
}

impl Cell for u32 {
    fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        i64::of(row, place)?
            .try_into()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
}

impl Cell for u8 {
    fn of(row: &Row, place: impl Place) -> Result<Self, sqlx::Error> {
        i64::of(row, place)?
            .try_into()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
}

/// A text as every engine can hold it: PostgreSQL has no U+0000, and what an agent writes must not be what keeps a
/// record from being written. U+2400 stands for it.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{2400}").into(),
        false => text.into(),
    }
}

/// PostgreSQL's numbering of the same placeholders: `?3` is `$3`, and each bare `?` the next. What is inside
/// quotes stays.
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "there is only SQLite"))]
pub(crate) fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut rest, mut next, mut quote) = (sql.chars().peekable(), 1_u32, None);
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '?') => {
                out.push('$');
                if rest.peek().is_some_and(char::is_ascii_digit) {
                    continue; // the digits follow as they are
                }
                let _ = write!(out, "{next}"); // a String takes everything
                next += 1;
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{numbered, without_nul};

    #[test]
    fn a_text_with_nul_is_held_as_one_that_shows_it() {
        assert_eq!(without_nul("a\0b"), "a\u{2400}b");
        assert_eq!(without_nul("plain"), "plain");
    }

    #[test]
    fn placeholders_are_numbered_outside_quotes_alone() {
        for (ours, theirs) in [
            ("SELECT 1", "SELECT 1"),
            ("a = ?1 AND b = ?12 OR c = ?1", "a = $1 AND b = $12 OR c = $1"),
            ("VALUES (?,?),(?,?)", "VALUES ($1,$2),($3,$4)"),
            (
                "a = '?' AND \"?1\" = ? AND b = 'it''s ?'",
                "a = '?' AND \"?1\" = $1 AND b = 'it''s ?'",
            ),
            ("é = ?", "é = $1"),
        ] {
            assert_eq!(numbered(ours), theirs);
        }
    }
}
