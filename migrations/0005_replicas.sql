-- Processes that share the store over a server, and when each was last seen (milliseconds since 1970, by the
-- database's clock). Of a file, locks beside it tell who lives.

CREATE TABLE replica (
    boot    TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
