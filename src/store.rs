//! The server's own store (SQLite by default): the only place, with `resource/sql`, that knows sqlx.
